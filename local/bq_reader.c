/* local/bq_reader.c: files as tables: what DuckDB is told of CSV, JSON and Parquet, the rows that it left out, external tables. */
#include "base/arena.h"
#include "base/io.h"
#include "base/json.h"
#include "local/bq_work.h"

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

/* In files of text they are base64. */
static bool is_bytes(const sl_val *field)
{
    return sl_str_ieq(sl_get_text(field, "type"), SL_S("BYTES")) && !sl_str_eqc(sl_get_text(field, "mode"), "REPEATED");
}

static sl_str column_struct(sl_arena *a, const sl_val *fields, sl_str *ret_strings)
{
    sl_buf b = sl_buf_new(a, 1 << 20), s = sl_buf_new(a, 1 << 20);
    for (size_t i = 0; i < sl_val_count(fields); i++) {
        sl_str name = sl_get_text(sl_at(fields, i), "name"), type = is_bytes(sl_at(fields, i)) ? SL_S("VARCHAR") : gs_duck_type(a, sl_at(fields, i));
        sl_buf_fmt(&b, "%s%.*s: %.*s", i ? ", " : "", SL_ARG(sl_duck_text(a, name)), SL_ARG(sl_duck_text(a, type)));
        if (sl_str_eqc(type, "VARCHAR") && !is_bytes(sl_at(fields, i)))
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

static sl_str with_bytes(sl_arena *a, sl_str reader, const sl_val *fields)
{
    sl_buf b = sl_buf_new(a, 1 << 20);
    for (size_t i = 0; i < sl_val_count(fields); i++)
        if (is_bytes(sl_at(fields, i))) {
            sl_str name = sl_duck_ident(a, sl_get_text(sl_at(fields, i), "name"));
            sl_buf_fmt(&b, "%sfrom_base64(%.*s) AS %.*s", b.n ? ", " : "", SL_ARG(name), SL_ARG(name));
        }
    sl_str changed = sl_buf_str(&b);
    return changed.n == 0 ? reader : sl_fmt(a, "(SELECT * REPLACE (%.*s) FROM %.*s)", SL_ARG(changed), SL_ARG(reader));
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
    if (format.n == 0 || sl_str_eqc(format, "CSV")) {
        sl_buf_fmt(&b, "read_csv([%.*s], compression='%s'", SL_ARG(path_list(a, paths)), gzip ? "gzip" : "none");
        csv_sql(a, &b, config, fields);
    } else if (sl_str_eqc(format, "NEWLINE_DELIMITED_JSON") || sl_str_eqc(format, "JSON")) {
        sl_str ignored;
        sl_buf_fmt(&b, "read_json([%.*s], format='newline_delimited', compression='%s'", SL_ARG(path_list(a, paths)), gzip ? "gzip" : "uncompressed");
        sl_str columns = column_struct(a, fields, &ignored);
        if (columns.n > 0)
            sl_buf_fmt(&b, ", columns={%.*s}", SL_ARG(columns));
    } else if (sl_str_eqc(format, "PARQUET"))
        sl_buf_fmt(&b, "read_parquet([%.*s]", SL_ARG(path_list(a, paths)));
    else
        return sl_err_set(err, SL_ERR_DATA, "invalid", "the local cloud does not read the format %.*s; it reads CSV, NEWLINE_DELIMITED_JSON and PARQUET", SL_ARG(format));
    sl_buf_char(&b, ')');
    *ret = sl_str_eqc(format, "PARQUET") ? sl_buf_str(&b) : with_bytes(a, sl_buf_str(&b), fields);
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
