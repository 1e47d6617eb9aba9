/* local/bq_catalog.c: datasets and tables: DuckDB's own catalogue, and beside it what only BigQuery has. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "local/bq_work.h"

static const char SETUP[] = "CREATE SCHEMA IF NOT EXISTS _sl;"
                            "CREATE TABLE IF NOT EXISTS _sl.datasets(project VARCHAR, dataset VARCHAR, meta VARCHAR, PRIMARY KEY(project, dataset));"
                            "CREATE TABLE IF NOT EXISTS _sl.tables(project VARCHAR, dataset VARCHAR, name VARCHAR, meta VARCHAR, PRIMARY KEY(project, dataset, name));"
                            "CREATE TABLE IF NOT EXISTS _sl.jobs(project VARCHAR, id VARCHAR, state VARCHAR, parent VARCHAR, created BIGINT, job VARCHAR, PRIMARY KEY(project, id));"
                            "CREATE OR REPLACE MACRO sl_string(x) AS CASE WHEN typeof(x) LIKE 'DECIMAL%' AND contains(CAST(x AS VARCHAR), '.') THEN rtrim(rtrim(CAST(x AS VARCHAR), '0'), '.')"
                            " WHEN typeof(x) IN ('DOUBLE', 'FLOAT') AND ends_with(CAST(x AS VARCHAR), '.0') THEN replace(CAST(x AS VARCHAR), '.0', '')"
                            " WHEN typeof(x) = 'TIMESTAMP' THEN CAST(x AS VARCHAR) ELSE CAST(x AS VARCHAR) END;";

sl_duck_con *bq_connect(sl_cloud *c, sl_err *err)
{
    return sl_bq_warehouse(c, err) ? sl_duck_connect(c->duck, err) : NULL;
}

bool sl_bq_warehouse(sl_cloud *c, sl_err *err)
{
    pthread_mutex_lock(&c->lock);
    bool ok = true, opened = false;
    if (c->duck == NULL) {
        SL_ARENA a = sl_arena_new();
        c->duck = sl_duck_open(sl_fmt(a, "%s/warehouse.duckdb", c->dir).p, err);
        ok = opened = c->duck != NULL;
        sl_duck_con *k = ok ? sl_duck_connect(c->duck, err) : NULL;
        sl_str rest = sl_str_c(SETUP), one;
        while (k != NULL && ok && rest.n > 0 && sl_str_cut(&rest, ';', &one))
            ok = one.n == 0 || sl_duck_run(k, a, one, NULL, NULL, err);
        sl_duck_disconnect(k);
    }
    pthread_mutex_unlock(&c->lock);
    return ok && (!opened || bq_jobs_take_up(c, err));
}

sl_str bq_schema(sl_arena *a, sl_str project, sl_str dataset)
{
    return sl_fmt(a, "%.*s.%.*s", SL_ARG(project), SL_ARG(dataset));
}

static const sl_val *one_text(sl_duck_con *k, sl_arena *a, sl_str sql)
{
    sl_err err;
    const sl_val *rows;
    if (!sl_duck_run(k, a, sql, &rows, NULL, &err))
        return NULL;
    const sl_val *v = sl_at(sl_at(rows, 0), 0);
    return sl_is(v, SL_STRING) ? v : NULL;
}

const sl_val *bq_dataset(sl_cloud *c, sl_duck_con *k, sl_arena *a, sl_str project, sl_str dataset)
{
    sl_err err;
    const sl_val *meta = one_text(k, a, sl_fmt(a, "SELECT meta FROM _sl.datasets WHERE project=%.*s AND dataset=%.*s", SL_ARG(sl_duck_text(a, project)), SL_ARG(sl_duck_text(a, dataset))));
    if (meta == NULL)
        return NULL;
    sl_val *v = sl_map_shallow(a, sl_json_parse(a, meta->s, &err)), *ref = sl_map(a);
    sl_map_set_str(a, ref, "projectId", project);
    sl_map_set_str(a, ref, "datasetId", dataset);
    sl_map_set_str(a, v, "kind", SL_S("bigquery#dataset"));
    sl_map_set_str(a, v, "id", sl_fmt(a, "%.*s:%.*s", SL_ARG(project), SL_ARG(dataset)));
    sl_map_set_str(a, v, "selfLink", sl_fmt(a, "%s/bigquery/v2/projects/%.*s/datasets/%.*s", c->url, SL_ARG(project), SL_ARG(dataset)));
    sl_map_setc(a, v, "datasetReference", ref);
    sl_map_set_str(a, v, "etag", sl_fmt(a, "\"%.*s\"", SL_ARG(sl_get_text(v, "lastModifiedTime"))));
    return v;
}

static const sl_val *table_meta(sl_duck_con *k, sl_arena *a, sl_str project, sl_str dataset, sl_str table)
{
    sl_err err;
    const sl_val *text = one_text(k, a, sl_fmt(a, "SELECT meta FROM _sl.tables WHERE project=%.*s AND dataset=%.*s AND name=%.*s", SL_ARG(sl_duck_text(a, project)), SL_ARG(sl_duck_text(a, dataset)), SL_ARG(sl_duck_text(a, table))));
    return text ? sl_json_parse(a, text->s, &err) : NULL;
}

static const sl_val *described(const sl_val *fields, sl_str name)
{
    for (size_t i = 0; i < sl_val_count(fields); i++)
        if (sl_str_ieq(sl_get_text(sl_at(fields, i), "name"), name))
            return sl_at(fields, i);
    return NULL;
}

const sl_val *bq_fields(sl_duck_con *k, sl_arena *a, sl_str project, sl_str dataset, sl_str table)
{
    sl_err err;
    const sl_val *rows;
    sl_str schema = dataset.n ? bq_schema(a, project, dataset) : SL_S("_sl");
    if (!sl_duck_run(k, a, sl_fmt(a, "SELECT column_name, data_type, is_nullable FROM duckdb_columns() WHERE schema_name=%.*s AND table_name=%.*s AND database_name=current_database() ORDER BY column_index",
                                  SL_ARG(sl_duck_text(a, schema)), SL_ARG(sl_duck_text(a, table))),
                     &rows, NULL, &err)
        || rows->list.n == 0)
        return NULL;
    const sl_val *given = sl_get(sl_get(table_meta(k, a, project, dataset, table), "schema"), "fields");
    sl_val *fields = sl_list(a);
    for (size_t i = 0; i < rows->list.n; i++) {
        sl_str name = sl_text(sl_at(sl_at(rows, i), 0));
        sl_val *f = sl_map_shallow(a, gs_field_of(a, name, sl_text(sl_at(sl_at(rows, i), 1))));
        const sl_val *was = described(given, name);
        if (sl_get(was, "description") != NULL)
            sl_map_setc(a, f, "description", sl_get(was, "description"));
        if (sl_str_eqc(sl_text(sl_at(sl_at(rows, i), 2)), "false") && sl_str_eqc(sl_get_text(f, "mode"), "NULLABLE"))
            sl_map_set_str(a, f, "mode", SL_S("REQUIRED"));
        sl_list_add(a, fields, f);
    }
    return fields;
}

const sl_val *bq_table(sl_cloud *c, sl_duck_con *k, sl_arena *a, sl_str project, sl_str dataset, sl_str table, bool counts)
{
    ptrdiff_t dollar = sl_str_find(table, SL_S("$"));
    if (dollar > 0)
        table = sl_str_sub(table, 0, (size_t)dollar);
    const sl_val *fields = bq_fields(k, a, project, dataset, table), *meta = table_meta(k, a, project, dataset, table);
    if (fields == NULL)
        return NULL;
    sl_val *v = meta ? sl_map_shallow(a, meta) : sl_map(a), *ref = sl_map(a), *schema = sl_map(a);
    sl_map_set_str(a, ref, "projectId", project);
    sl_map_set_str(a, ref, "datasetId", dataset);
    sl_map_set_str(a, ref, "tableId", table);
    sl_map_setc(a, schema, "fields", fields);
    sl_map_set_str(a, v, "kind", SL_S("bigquery#table"));
    sl_map_set_str(a, v, "id", sl_fmt(a, "%.*s:%.*s.%.*s", SL_ARG(project), SL_ARG(dataset), SL_ARG(table)));
    sl_map_set_str(a, v, "selfLink", sl_fmt(a, "%s/bigquery/v2/projects/%.*s/datasets/%.*s/tables/%.*s", c->url, SL_ARG(project), SL_ARG(dataset), SL_ARG(table)));
    sl_map_setc(a, v, "tableReference", ref);
    sl_map_setc(a, v, "schema", schema);
    if (sl_get(v, "type") == NULL)
        sl_map_set_str(a, v, "type", SL_S("TABLE"));
    sl_map_set_str(a, v, "etag", sl_fmt(a, "\"%.*s\"", SL_ARG(sl_get_text(v, "lastModifiedTime"))));
    sl_map_set_str(a, v, "location", sl_get_text(bq_dataset(c, k, a, project, dataset), "location"));
    if (counts && sl_str_eqc(sl_get_text(v, "type"), "TABLE")) {
        const sl_val *n = one_text(k, a, sl_fmt(a, "SELECT CAST(count(*) AS VARCHAR) FROM %.*s.%.*s", SL_ARG(sl_duck_ident(a, bq_schema(a, project, dataset))), SL_ARG(sl_duck_ident(a, table))));
        sl_map_set_str(a, v, "numRows", n ? n->s : SL_S("0"));
        sl_map_set_str(a, v, "numBytes", sl_fmt(a, "%lld", (long long)((n ? strtoll(n->s.p, NULL, 10) : 0) * 16 * (int64_t)sl_val_count(fields))));
    }
    return v;
}

bool bq_remember_table(sl_duck_con *k, sl_arena *a, const sl_val *ref, const sl_val *meta, sl_err *err)
{
    sl_val *v = sl_map_shallow(a, meta);
    sl_str now = sl_fmt(a, "%lld", (long long)sl_now_ms());
    if (sl_get(v, "creationTime") == NULL)
        sl_map_set_str(a, v, "creationTime", now);
    sl_map_set_str(a, v, "lastModifiedTime", now);
    return sl_duck_run(k, a, sl_fmt(a, "INSERT OR REPLACE INTO _sl.tables VALUES(%.*s, %.*s, %.*s, %.*s)", SL_ARG(sl_duck_text(a, sl_get_text(ref, "projectId"))), SL_ARG(sl_duck_text(a, sl_get_text(ref, "datasetId"))),
                                    SL_ARG(sl_duck_text(a, sl_get_text(ref, "tableId"))), SL_ARG(sl_duck_text(a, sl_json(a, v)))),
                       NULL, NULL, err);
}

bool bq_forget_table(sl_duck_con *k, sl_arena *a, const sl_val *ref, sl_err *err)
{
    return sl_duck_run(k, a, sl_fmt(a, "DELETE FROM _sl.tables WHERE project=%.*s AND dataset=%.*s AND name=%.*s", SL_ARG(sl_duck_text(a, sl_get_text(ref, "projectId"))),
                                    SL_ARG(sl_duck_text(a, sl_get_text(ref, "datasetId"))), SL_ARG(sl_duck_text(a, sl_get_text(ref, "tableId")))),
                       NULL, NULL, err);
}

/* ---- readers ---- */

static bool is_gzip(sl_str path)
{
    sl_err err;
    SL_READER r = sl_reader_file(path.p, &err);
    char two[2] = "";
    return r != NULL && r->read(r, two, 2, &err) == 2 && (unsigned char)two[0] == 0x1F && (unsigned char)two[1] == 0x8B;
}

static sl_str path_list(sl_arena *a, const sl_val *paths)
{
    sl_buf b = sl_buf_new(a, 16 << 20);
    for (size_t i = 0; i < sl_val_count(paths); i++)
        sl_buf_fmt(&b, "%s%.*s", i ? ", " : "", SL_ARG(sl_duck_text(a, sl_text(sl_at(paths, i)))));
    return sl_buf_str(&b);
}

/* Text of an option that may be a string, a number or a boolean, in either place of the API. */
static sl_str opt_text(sl_arena *a, const sl_val *config, const char *name)
{
    const sl_val *v = sl_get(sl_get(config, "csvOptions"), name);
    if (v == NULL)
        v = sl_get(config, name);
    return v ? sl_val_text(a, v) : SL_S("");
}

static sl_str column_struct(sl_arena *a, const sl_val *fields, sl_str *ret_strings)
{
    sl_buf b = sl_buf_new(a, 1 << 20), s = sl_buf_new(a, 1 << 20);
    for (size_t i = 0; i < sl_val_count(fields); i++) {
        sl_str name = sl_get_text(sl_at(fields, i), "name"), type = gs_duck_type(a, sl_at(fields, i));
        sl_buf_fmt(&b, "%s%.*s: %.*s", i ? ", " : "", SL_ARG(sl_duck_text(a, name)), SL_ARG(sl_duck_text(a, type)));
        if (sl_str_eqc(type, "VARCHAR"))
            sl_buf_fmt(&s, "%s%.*s", s.n ? ", " : "", SL_ARG(sl_duck_text(a, name)));
    }
    *ret_strings = sl_buf_str(&s);
    return sl_buf_str(&b);
}

#define BQ_REJECTS "bad_records_" /* and the reader's limit */

bool bq_check_bad_records(bq_work *w, int64_t *ret_count)
{
    const sl_val *tables, *counts;
    *ret_count = 0;
    if (!sl_duck_run(w->k, w->a, SL_S("SELECT table_name FROM duckdb_tables() WHERE temporary AND starts_with(table_name, '" BQ_REJECTS "')"), &tables, NULL, w->err))
        return false;
    for (size_t i = 0; i < sl_val_count(tables); i++) {
        sl_str table = sl_text(sl_at(sl_at(tables, i), 0));
        int64_t limit = 0, n = 0;
        (void)sl_parse_int(sl_str_sub(table, strlen(BQ_REJECTS), table.n), &limit);
        sl_str sql = sl_fmt(w->a, "SELECT CAST(count(DISTINCT (file_id, line)) AS VARCHAR), CAST(min(line) AS VARCHAR), arg_min(error_message, line), arg_min(file_path, line) FROM %.*s e JOIN reject_scans s USING (scan_id, file_id)"
                                   " GROUP BY scan_id ORDER BY count(DISTINCT (file_id, line)) DESC LIMIT 1",
                            SL_ARG(sl_duck_ident(w->a, table)));
        if (!sl_duck_run(w->k, w->a, sql, &counts, NULL, w->err))
            return false;
        const sl_val *row = sl_at(counts, 0);
        (void)sl_parse_int(sl_text(sl_at(row, 0)), &n);
        sl_str uri = sl_gcs_uri_of(w->c, w->a, sl_text(sl_at(row, 3)));
        if (n > limit)
            return sl_err_set(w->err, SL_ERR_DATA, "invalid", "Error while reading data, error message: CSV table encountered too many errors, giving up. Rows: %.*s; errors: %lld; max bad: %lld; 1. %.*s; line_number: %.*s%s%.*s",
                              SL_ARG(sl_text(sl_at(row, 1))), (long long)n, (long long)limit, SL_ARG(sl_text(sl_at(row, 2))), SL_ARG(sl_text(sl_at(row, 1))), uri.n ? " File: " : "", SL_ARG(uri));
        *ret_count += n;
    }
    return true;
}

static void csv_sql(sl_arena *a, sl_buf *b, const sl_val *config, const sl_val *fields)
{
    sl_str skip = opt_text(a, config, "skipLeadingRows"), delimiter = opt_text(a, config, "fieldDelimiter"), quote = opt_text(a, config, "quote"), bad = opt_text(a, config, "maxBadRecords"), strings,
           null_marker = opt_text(a, config, "nullMarker");
    bool no_quote = sl_get(sl_get(config, "csvOptions"), "quote") != NULL && quote.n == 0;
    if (sl_str_ieq(delimiter, SL_S("tab")) || sl_str_eqc(delimiter, "\\t"))
        delimiter = SL_S("\t");
    /* Without a schema the line before the data is the heading; unless skipLeadingRows says where it is, it is looked for. */
    int64_t lines = 0;
    (void)sl_parse_int(skip, &lines);
    bool known = sl_val_count(fields) > 0, heading = !known && lines > 0;
    if (known || skip.n > 0)
        sl_buf_fmt(b, ", header=%s, skip=%lld", heading ? "true" : "false", (long long)(heading ? lines - 1 : lines));
    sl_buf_fmt(b, ", delim=%.*s, quote=%.*s, escape=%.*s", SL_ARG(sl_duck_text(a, delimiter.n ? delimiter : SL_S(","))),
               SL_ARG(sl_duck_text(a, no_quote ? SL_S("") : quote.n ? quote : SL_S("\""))), SL_ARG(sl_duck_text(a, no_quote ? SL_S("") : quote.n ? quote : SL_S("\""))));
    if (sl_val_count(fields) > 0) {
        sl_str columns = column_struct(a, fields, &strings);
        sl_buf_fmt(b, ", auto_detect=false, columns={%.*s}", SL_ARG(columns));
        if (strings.n > 0 && null_marker.n == 0)
            sl_buf_fmt(b, ", force_not_null=[%.*s]", SL_ARG(strings)); /* an empty STRING is empty, not NULL */
    } else
        sl_buf_addc(b, ", auto_detect=true");
    if (null_marker.n > 0)
        sl_buf_fmt(b, ", nullstr=%.*s", SL_ARG(sl_duck_text(a, null_marker)));
    if (bad.n > 0 && !sl_str_eqc(bad, "0"))
        sl_buf_fmt(b, ", store_rejects=true, rejects_table='" BQ_REJECTS "%.*s'", SL_ARG(bad)); /* counted by bq_check_bad_records */
    if (sl_str_eqc(opt_text(a, config, "allowJaggedRows"), "true"))
        sl_buf_addc(b, ", null_padding=true");
    if (sl_str_eqc(opt_text(a, config, "ignoreUnknownValues"), "true"))
        sl_buf_addc(b, ", strict_mode=false");
}

bool bq_reader_sql(sl_cloud *c, sl_arena *a, const sl_val *config, const sl_val *fields, sl_str *ret, sl_err *err)
{
    const sl_val *uris = sl_get(config, "sourceUris");
    sl_val *paths = sl_list(a), *names = sl_list(a);
    if (sl_get(config, "x-upload") != NULL) /* a file that was sent with the job */
        sl_list_add(a, paths, sl_val_str(a, sl_gcs_blob_path(c, a, sl_get_text(config, "x-upload"))));
    for (size_t i = 0; i < sl_val_count(uris); i++)
        if (!sl_gcs_resolve(c, a, sl_text(sl_at(uris, i)), paths, names, err))
            return false;
    if (paths->list.n == 0)
        return sl_err_set(err, SL_ERR_DATA, "invalid", "no source URIs are given");
    sl_str format = sl_get_text(config, "sourceFormat");
    bool gzip = is_gzip(sl_text(sl_at(paths, 0)));
    sl_buf b = sl_buf_new(a, 16 << 20);
    const char *compression = gzip ? "gzip" : "none";
    if (format.n == 0 || sl_str_eqc(format, "CSV")) {
        sl_buf_fmt(&b, "read_csv([%.*s], compression='%s'", SL_ARG(path_list(a, paths)), compression);
        csv_sql(a, &b, config, fields);
    } else if (sl_str_eqc(format, "NEWLINE_DELIMITED_JSON") || sl_str_eqc(format, "JSON")) {
        sl_str ignored;
        sl_buf_fmt(&b, "read_json([%.*s], format='newline_delimited', compression='%s'", SL_ARG(path_list(a, paths)), compression);
        sl_str columns = column_struct(a, fields, &ignored);
        if (columns.n > 0)
            sl_buf_fmt(&b, ", columns={%.*s}", SL_ARG(columns));
    } else if (sl_str_eqc(format, "PARQUET"))
        sl_buf_fmt(&b, "read_parquet([%.*s]", SL_ARG(path_list(a, paths)));
    else
        return sl_err_set(err, SL_ERR_DATA, "invalid", "the local cloud does not read the format %.*s; it reads CSV, NEWLINE_DELIMITED_JSON and PARQUET", SL_ARG(format));
    sl_buf_char(&b, ')');
    *ret = sl_buf_str(&b);
    return true;
}

bool bq_refresh_externals(sl_cloud *c, sl_duck_con *k, sl_arena *a, sl_err *err)
{
    const sl_val *rows;
    if (!sl_duck_run(k, a, SL_S("SELECT project, dataset, name, meta FROM _sl.tables WHERE contains(meta, '\"externalDataConfiguration\"')"), &rows, NULL, err))
        return false;
    for (size_t i = 0; i < sl_val_count(rows); i++) {
        const sl_val *row = sl_at(rows, i), *meta = sl_json_parse(a, sl_text(sl_at(row, 3)), err), *config = sl_get(meta, "externalDataConfiguration");
        sl_str reader, view;
        sl_err ignored;
        if (config == NULL || !bq_reader_sql(c, a, config, sl_get(sl_get(meta, "schema"), "fields"), &reader, &ignored))
            continue; /* the files are gone: who reads the table is told so by the old view */
        view = sl_fmt(a, "CREATE OR REPLACE VIEW %.*s.%.*s AS SELECT * FROM %.*s", SL_ARG(sl_duck_ident(a, bq_schema(a, sl_text(sl_at(row, 0)), sl_text(sl_at(row, 1))))), SL_ARG(sl_duck_ident(a, sl_text(sl_at(row, 2)))),
                      SL_ARG(reader));
        /* Only when it changed: a view that is replaced conflicts with every reader beside it. */
        if (sl_str_eq(sl_get_text(meta, "x-view"), reader))
            continue;
        sl_val *changed = sl_map_shallow(a, meta), *ref = sl_map(a);
        sl_map_set_str(a, changed, "x-view", reader);
        sl_map_setc(a, ref, "projectId", sl_at(row, 0));
        sl_map_setc(a, ref, "datasetId", sl_at(row, 1));
        sl_map_setc(a, ref, "tableId", sl_at(row, 2));
        if (!sl_duck_run(k, a, view, NULL, NULL, err) || !bq_remember_table(k, a, ref, changed, err))
            return false;
    }
    return true;
}

/* ---- rows ---- */

static sl_str cell_sql(sl_arena *a, const sl_val *f, bool int64_timestamp)
{
    sl_str name = sl_duck_ident(a, sl_get_text(f, "name")), type = sl_get_text(f, "type");
    if (sl_str_eqc(sl_get_text(f, "mode"), "REPEATED") || sl_str_eqc(type, "RECORD"))
        return sl_fmt(a, "CAST(to_json(%.*s) AS VARCHAR)", SL_ARG(name));
    if (sl_str_eqc(type, "TIMESTAMP"))
        return int64_timestamp ? sl_fmt(a, "CAST(epoch_us(%.*s) AS VARCHAR)", SL_ARG(name)) : sl_fmt(a, "CAST(epoch_us(%.*s) / 1000000.0 AS VARCHAR)", SL_ARG(name));
    if (sl_str_eqc(type, "DATETIME"))
        return sl_fmt(a, "replace(CAST(%.*s AS VARCHAR), ' ', 'T')", SL_ARG(name));
    if (sl_str_eqc(type, "BYTES"))
        return sl_fmt(a, "to_base64(%.*s)", SL_ARG(name));
    return sl_fmt(a, "sl_string(%.*s)", SL_ARG(name));
}

static const sl_val *cell_json(sl_arena *a, const sl_val *f, const sl_val *v);

static const sl_val *record_json(sl_arena *a, const sl_val *fields, const sl_val *v)
{
    sl_val *row = sl_map(a), *cells = sl_list(a);
    for (size_t i = 0; i < sl_val_count(fields); i++) {
        const sl_val *one = sl_get_str(v, sl_get_text(sl_at(fields, i), "name"));
        sl_val *cell = sl_map(a);
        sl_map_setc(a, cell, "v", cell_json(a, sl_at(fields, i), one ? one : &sl_null_val));
        sl_list_add(a, cells, cell);
    }
    sl_map_setc(a, row, "f", cells);
    return row;
}

static const sl_val *cell_json(sl_arena *a, const sl_val *f, const sl_val *v)
{
    if (sl_str_eqc(sl_get_text(f, "mode"), "REPEATED") && v->type != SL_MAP) {
        sl_val *list = sl_list(a), *plain = sl_map_shallow(a, f);
        sl_map_set_str(a, plain, "mode", SL_S("NULLABLE"));
        for (size_t i = 0; i < sl_val_count(v); i++) {
            sl_val *cell = sl_map(a);
            sl_map_setc(a, cell, "v", cell_json(a, plain, sl_at(v, i)));
            sl_list_add(a, list, cell);
        }
        return list;
    }
    if (v->type == SL_NULL)
        return v;
    return sl_str_eqc(sl_get_text(f, "type"), "RECORD") ? record_json(a, sl_get(f, "fields"), v) : sl_val_str(a, sl_val_text(a, v));
}

bool bq_rows(sl_duck_con *k, sl_arena *a, sl_str from, const sl_val *fields, int64_t offset, int64_t limit, bool int64_timestamp, sl_val *rows, sl_err *err)
{
    sl_buf b = sl_buf_new(a, 16 << 20);
    const sl_val *texts;
    sl_buf_addc(&b, "SELECT ");
    for (size_t i = 0; i < sl_val_count(fields); i++)
        sl_buf_fmt(&b, "%s%.*s", i ? ", " : "", SL_ARG(cell_sql(a, sl_at(fields, i), int64_timestamp)));
    sl_buf_fmt(&b, " FROM %.*s LIMIT %lld OFFSET %lld", SL_ARG(from), (long long)limit, (long long)offset);
    if (!sl_duck_run(k, a, sl_buf_str(&b), &texts, NULL, err))
        return false;
    for (size_t i = 0; i < sl_val_count(texts); i++) {
        sl_val *row = sl_map(a), *cells = sl_list(a);
        for (size_t n = 0; n < sl_val_count(fields); n++) {
            const sl_val *f = sl_at(fields, n), *v = sl_at(sl_at(texts, i), n);
            bool nested = sl_str_eqc(sl_get_text(f, "mode"), "REPEATED") || sl_str_eqc(sl_get_text(f, "type"), "RECORD");
            sl_err ignored;
            if (nested) {
                const sl_val *doc = v->type == SL_STRING ? sl_json_parse(a, v->s, &ignored) : NULL;
                v = cell_json(a, f, doc ? doc : &sl_null_val);
            }
            sl_val *cell = sl_map(a);
            sl_map_setc(a, cell, "v", v);
            sl_list_add(a, cells, cell);
        }
        sl_map_setc(a, row, "f", cells);
        sl_list_add(a, rows, row);
    }
    return true;
}

/* ---- errors ---- */

static const sl_val *error_of(sl_arena *a, const char *reason, sl_str message, const char *location)
{
    sl_val *v = sl_map(a);
    sl_map_set_str(a, v, "reason", sl_str_c(reason));
    if (location != NULL)
        sl_map_set_str(a, v, "location", sl_str_c(location));
    sl_map_set_str(a, v, "message", message);
    return v;
}

/* What stands behind `label` in the message, to the end of that line. */
static sl_str line_behind(sl_str message, const char *label)
{
    ptrdiff_t at = sl_str_find(message, sl_str_c(label));
    sl_str rest = at < 0 ? SL_S("") : sl_str_sub(message, (size_t)at + strlen(label), message.n), line = rest;
    (void)sl_str_cut(&rest, '\n', &line);
    return sl_str_trim(line);
}

/* A row that could not be read: with its line, and the object that it is in. */
static const sl_val *csv_error(sl_cloud *c, sl_arena *a, sl_str m)
{
    sl_str line = line_behind(m, "Line: "), what = line_behind(m, "Error when converting"), uri = sl_gcs_uri_of(c, a, line_behind(m, "file = "));
    sl_str number = line.n ? line : SL_S("?"), detail = what.n ? sl_fmt(a, "Error when converting %.*s", SL_ARG(what)) : SL_S("the row does not fit the schema");
    sl_str text = sl_fmt(a, "Error while reading data, error message: CSV table encountered too many errors, giving up. Rows: %.*s; errors: 1. %.*s; line_number: %.*s%s%.*s", SL_ARG(number), SL_ARG(detail),
                         SL_ARG(number), uri.n ? " File: " : "", SL_ARG(uri));
    return error_of(a, "invalid", text, uri.n ? uri.p : NULL);
}

const sl_val *bq_error(sl_cloud *c, sl_arena *a, const sl_err *err)
{
    sl_str m = sl_str_c(err->message), first = m;
    ptrdiff_t line_end = sl_str_find(m, SL_S("\n"));
    if (line_end > 0)
        first = sl_str_sub(m, 0, (size_t)line_end);
    if (strcmp(err->code, "notFound") == 0 || strcmp(err->code, "invalid") == 0 || strcmp(err->code, "duplicate") == 0)
        return error_of(a, err->code, m, NULL);
    if (sl_str_find(m, SL_S("CSV Error on Line: ")) >= 0 || sl_str_find(m, SL_S("Error when converting column")) >= 0)
        return csv_error(c, a, m);
    if (sl_str_find(m, SL_S("does not exist")) >= 0 && sl_str_find(m, SL_S("Catalog Error: Table")) >= 0) {
        ptrdiff_t at = sl_str_find(m, SL_S("with name "));
        sl_str name = at >= 0 ? sl_str_sub(m, (size_t)at + 10, m.n) : m, only;
        (void)sl_str_cut(&name, ' ', &only);
        return error_of(a, "notFound", sl_fmt(a, "Not found: Table %.*s was not found", SL_ARG(only)), NULL);
    }
    if (sl_str_find(m, SL_S("Transaction conflict")) >= 0 || sl_str_find(m, SL_S("Conflict on tuple")) >= 0 || sl_str_find(m, SL_S("write-write conflict")) >= 0)
        return error_of(a, "invalidQuery", SL_S("Could not serialize access to table due to concurrent update"), NULL);
    if (sl_str_find(m, SL_S("INTERRUPT")) >= 0)
        return error_of(a, "stopped", SL_S("Job execution was cancelled: User requested cancellation"), NULL);
    return error_of(a, "invalidQuery", first, "query");
}
