/* local/bq_run.c: what a job does: scripts of statements, load, extract, copy. Runs inside of the caller's transaction. */
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "local/bq.h"

sl_str bq_result_table(sl_arena *a, sl_str job_id)
{
    return sl_fmt(a, "anon_%.*s", SL_ARG(job_id));
}

static sl_str duck_table(sl_arena *a, const sl_val *ref)
{
    sl_str table = sl_get_text(ref, "tableId");
    ptrdiff_t dollar = sl_str_find(table, SL_S("$"));
    if (dollar > 0)
        table = sl_str_sub(table, 0, (size_t)dollar);
    return sl_fmt(a, "%.*s.%.*s", SL_ARG(sl_duck_ident(a, bq_schema(a, sl_get_text(ref, "projectId"), sl_get_text(ref, "datasetId")))), SL_ARG(sl_duck_ident(a, table)));
}

static bool dataset_known(sl_cloud *c, sl_duck_con *k, sl_arena *a, const sl_val *ref, sl_str location, sl_err *err)
{
    const sl_val *d = bq_dataset(c, k, a, sl_get_text(ref, "projectId"), sl_get_text(ref, "datasetId"));
    if (d == NULL || (location.n > 0 && !sl_str_ieq(location, sl_get_text(d, "location"))))
        return sl_err_set(err, SL_ERR_NOT_FOUND, "notFound", "Not found: Dataset %.*s:%.*s was not found in location %.*s", SL_ARG(sl_get_text(ref, "projectId")), SL_ARG(sl_get_text(ref, "datasetId")),
                          SL_ARG(location.n ? location : SL_S("US")));
    return true;
}

typedef struct work {
    sl_cloud *c;
    sl_duck_con *k;
    sl_arena *a;
    sl_val *job, *stats, *query; /* statistics and statistics.query */
    sl_str project, location;
    sl_err *err;
} work;

static bool run(work *w, sl_str sql, int64_t *changed)
{
    return sl_duck_run(w->k, w->a, sql, NULL, changed, w->err);
}

/* ---- statements ---- */

/* Options of CREATE EXTERNAL TABLE to the names of the API. */
static const sl_val *external_config(sl_arena *a, const gs_statement *s)
{
    static const struct {
        const char *sql, *api;
        bool csv;
    } names[] = { { "uris", "sourceUris", false }, { "max_bad_records", "maxBadRecords", false }, { "ignore_unknown_values", "ignoreUnknownValues", false }, { "skip_leading_rows", "skipLeadingRows", true },
                  { "field_delimiter", "fieldDelimiter", true }, { "quote", "quote", true }, { "allow_jagged_rows", "allowJaggedRows", true }, { "allow_quoted_newlines", "allowQuotedNewlines", true },
                  { "encoding", "encoding", true }, { "null_marker", "nullMarker", true }, { "compression", "compression", false } };
    sl_val *config = sl_map(a), *csv = sl_map(a);
    sl_str format = sl_str_upper(a, sl_get_text(s->options, "format"));
    sl_map_set_str(a, config, "sourceFormat", sl_str_eqc(format, "JSON") ? SL_S("NEWLINE_DELIMITED_JSON") : format);
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (sl_get(s->options, names[i].sql) != NULL)
            sl_map_setc(a, names[i].csv ? csv : config, names[i].api, sl_get(s->options, names[i].sql));
    if (csv->map.n > 0)
        sl_map_setc(a, config, "csvOptions", csv);
    sl_map_set_bool(a, config, "autodetect", s->columns == NULL);
    return config;
}

static bool create_external(work *w, const gs_statement *s)
{
    const sl_val *config = external_config(w->a, s);
    sl_str reader;
    if (!bq_reader_sql(w->c, w->a, config, s->columns, &reader, w->err))
        return false;
    if (s->if_not_exists && bq_fields(w->k, w->a, sl_get_text(s->target, "projectId"), sl_get_text(s->target, "datasetId"), sl_get_text(s->target, "tableId")) != NULL)
        return true;
    sl_str name = duck_table(w->a, s->target);
    if (s->or_replace && !run(w, sl_fmt(w->a, "DROP VIEW IF EXISTS %.*s", SL_ARG(name)), NULL))
        return false;
    if (!run(w, sl_fmt(w->a, "CREATE VIEW %.*s AS SELECT * FROM %.*s", SL_ARG(name), SL_ARG(reader)), NULL))
        return false;
    sl_val *meta = sl_map(w->a), *schema = sl_map(w->a);
    sl_map_setc(w->a, schema, "fields", s->columns ? s->columns : sl_list(w->a));
    sl_map_set_str(w->a, meta, "type", SL_S("EXTERNAL"));
    sl_map_setc(w->a, meta, "schema", schema);
    sl_map_setc(w->a, meta, "externalDataConfiguration", config);
    sl_map_set_str(w->a, meta, "x-view", reader);
    return bq_remember_table(w->k, w->a, s->target, meta, w->err);
}

static bool remember_created(work *w, const gs_statement *s)
{
    sl_val *meta = sl_map(w->a), *schema = sl_map(w->a);
    sl_map_set_str(w->a, meta, "type", strcmp(s->type, "CREATE_VIEW") == 0 ? SL_S("VIEW") : SL_S("TABLE"));
    if (s->columns != NULL) {
        sl_map_setc(w->a, schema, "fields", s->columns);
        sl_map_setc(w->a, meta, "schema", schema);
    }
    if (s->partition != NULL)
        sl_map_setc(w->a, meta, "timePartitioning", s->partition);
    if (s->clustering != NULL) {
        sl_val *v = sl_map(w->a);
        sl_map_setc(w->a, v, "fields", s->clustering);
        sl_map_setc(w->a, meta, "clustering", v);
    }
    if (sl_get_text(s->options, "description").n > 0)
        sl_map_set_str(w->a, meta, "description", sl_get_text(s->options, "description"));
    return bq_remember_table(w->k, w->a, s->target, meta, w->err);
}

static bool create_schema(work *w, const gs_statement *s)
{
    sl_str project = sl_get_text(s->target, "projectId"), dataset = sl_get_text(s->target, "datasetId");
    if (bq_dataset(w->c, w->k, w->a, project, dataset) != NULL)
        return s->if_not_exists || sl_err_set(w->err, SL_ERR_CONFLICT, "duplicate", "Already Exists: Dataset %.*s:%.*s", SL_ARG(project), SL_ARG(dataset));
    sl_val *meta = sl_map(w->a);
    sl_str location = sl_get_text(s->options, "location"), now = sl_fmt(w->a, "%lld", (long long)sl_now_ms());
    sl_map_set_str(w->a, meta, "location", location.n ? location : w->location.n ? w->location : SL_S("US"));
    sl_map_set_str(w->a, meta, "creationTime", now);
    sl_map_set_str(w->a, meta, "lastModifiedTime", now);
    return run(w, sl_fmt(w->a, "CREATE SCHEMA IF NOT EXISTS %.*s", SL_ARG(sl_duck_ident(w->a, bq_schema(w->a, project, dataset)))), NULL)
           && run(w, sl_fmt(w->a, "INSERT INTO _sl.datasets VALUES(%.*s, %.*s, %.*s)", SL_ARG(sl_duck_text(w->a, project)), SL_ARG(sl_duck_text(w->a, dataset)), SL_ARG(sl_duck_text(w->a, sl_json(w->a, meta)))), NULL);
}

static bool ddl(work *w, const gs_statement *s)
{
    sl_str project = sl_get_text(s->target, "projectId"), dataset = sl_get_text(s->target, "datasetId"), table = sl_get_text(s->target, "tableId");
    if (strcmp(s->type, "CREATE_SCHEMA") == 0)
        return create_schema(w, s);
    if (!dataset_known(w->c, w->k, w->a, s->target, w->location, w->err))
        return false;
    bool exists = bq_fields(w->k, w->a, project, dataset, table) != NULL;
    bool create = strncmp(s->type, "CREATE", 6) == 0;
    if (create)
        sl_map_set_str(w->a, w->query, "ddlOperationPerformed", exists && s->if_not_exists ? SL_S("SKIP") : exists && s->or_replace ? SL_S("REPLACE") : SL_S("CREATE"));
    else
        sl_map_set_str(w->a, w->query, "ddlOperationPerformed", SL_S("DROP"));
    sl_map_setc(w->a, w->query, "ddlTargetTable", s->target);
    if (create && exists && !s->or_replace && !s->if_not_exists)
        return sl_err_set(w->err, SL_ERR_CONFLICT, "duplicate", "Already Exists: Table %.*s:%.*s.%.*s", SL_ARG(project), SL_ARG(dataset), SL_ARG(table));
    if (create && exists && s->if_not_exists)
        return true;
    if (strcmp(s->type, "CREATE_EXTERNAL_TABLE") == 0)
        return create_external(w, s);
    if (!create) {
        const sl_val *old = bq_table(w->c, w->k, w->a, project, dataset, table, false);
        if (old == NULL && !s->if_not_exists)
            return sl_err_set(w->err, SL_ERR_NOT_FOUND, "notFound", "Not found: Table %.*s:%.*s.%.*s", SL_ARG(project), SL_ARG(dataset), SL_ARG(table));
        bool view = old != NULL && !sl_str_eqc(sl_get_text(old, "type"), "TABLE");
        sl_str sql = view ? sl_fmt(w->a, "DROP VIEW %.*s", SL_ARG(duck_table(w->a, s->target))) : s->sql;
        return run(w, sql, NULL) && bq_forget_table(w->k, w->a, s->target, w->err);
    }
    return run(w, s->sql, NULL) && remember_created(w, s);
}

static bool is_dml(const char *type)
{
    static const char *const types[] = { "INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE_TABLE", "ALTER_TABLE" };
    for (size_t i = 0; i < SL_COUNT(types); i++)
        if (strcmp(type, types[i]) == 0)
            return true;
    return false;
}

static bool dml(work *w, const gs_statement *s)
{
    int64_t changed = 0;
    if (s->target != NULL) {
        if (!dataset_known(w->c, w->k, w->a, s->target, w->location, w->err))
            return false;
        const sl_val *t = bq_table(w->c, w->k, w->a, sl_get_text(s->target, "projectId"), sl_get_text(s->target, "datasetId"), sl_get_text(s->target, "tableId"), false);
        if (t == NULL)
            return sl_err_set(w->err, SL_ERR_NOT_FOUND, "notFound", "Not found: Table %.*s:%.*s.%.*s was not found in location %.*s", SL_ARG(sl_get_text(s->target, "projectId")),
                              SL_ARG(sl_get_text(s->target, "datasetId")), SL_ARG(sl_get_text(s->target, "tableId")), SL_ARG(w->location));
    }
    if (!run(w, s->sql, &changed))
        return false;
    if (strcmp(s->type, "ALTER_TABLE") != 0)
        sl_map_set_str(w->a, w->query, "numDmlAffectedRows", sl_fmt(w->a, "%lld", (long long)changed));
    return true;
}

/* The rows of a query go to its destination, or to an anonymous table that is kept for paging. */
static bool select_into(work *w, const gs_statement *s, const sl_val *conf)
{
    sl_str id = sl_get_text(sl_get(w->job, "jobReference"), "jobId"), write = sl_get_text(conf, "writeDisposition");
    const sl_val *destination = sl_get(conf, "destinationTable");
    if (destination == NULL || sl_str_starts(sl_get_text(destination, "datasetId"), SL_S("_anon"))) {
        sl_str table = bq_result_table(w->a, id);
        sl_val *ref = sl_map(w->a), *q = sl_map_shallow(w->a, conf), *c = sl_map_shallow(w->a, sl_get(w->job, "configuration"));
        sl_map_set_str(w->a, ref, "projectId", w->project);
        sl_map_set_str(w->a, ref, "datasetId", SL_S("_anon"));
        sl_map_set_str(w->a, ref, "tableId", table);
        sl_map_setc(w->a, q, "destinationTable", ref);
        sl_map_setc(w->a, c, "query", q);
        sl_map_setc(w->a, w->job, "configuration", c);
        return run(w, sl_fmt(w->a, "CREATE OR REPLACE TABLE _sl.%.*s AS %.*s", SL_ARG(sl_duck_ident(w->a, table)), SL_ARG(s->sql)), NULL);
    }
    if (!dataset_known(w->c, w->k, w->a, destination, w->location, w->err))
        return false;
    sl_str name = duck_table(w->a, destination);
    bool exists = bq_fields(w->k, w->a, sl_get_text(destination, "projectId"), sl_get_text(destination, "datasetId"), sl_get_text(destination, "tableId")) != NULL;
    if (exists && (write.n == 0 || sl_str_eqc(write, "WRITE_EMPTY")))
        return sl_err_set(w->err, SL_ERR_CONFLICT, "duplicate", "Already Exists: Table %.*s", SL_ARG(name));
    sl_val *meta = sl_map(w->a);
    if (sl_get(conf, "timePartitioning") != NULL)
        sl_map_setc(w->a, meta, "timePartitioning", sl_get(conf, "timePartitioning"));
    if (sl_get(conf, "clustering") != NULL)
        sl_map_setc(w->a, meta, "clustering", sl_get(conf, "clustering"));
    if (exists && sl_str_eqc(write, "WRITE_APPEND"))
        return run(w, sl_fmt(w->a, "INSERT INTO %.*s %.*s", SL_ARG(name), SL_ARG(s->sql)), NULL);
    return run(w, sl_fmt(w->a, "CREATE OR REPLACE TABLE %.*s AS %.*s", SL_ARG(name), SL_ARG(s->sql)), NULL) && bq_remember_table(w->k, w->a, destination, meta, w->err);
}

static bool one_statement(work *w, const gs_statement *s, const sl_val *conf)
{
    sl_map_set_str(w->a, w->query, "statementType", sl_str_c(s->type));
    if (strncmp(s->type, "CREATE", 6) == 0 || strncmp(s->type, "DROP", 4) == 0)
        return ddl(w, s);
    if (is_dml(s->type))
        return dml(w, s);
    if (strcmp(s->type, "SELECT") == 0)
        return select_into(w, s, conf);
    return sl_err_set(w->err, SL_ERR_DATA, "invalid", "%s is not supported by the local cloud", s->type);
}

static bool query_job(work *w, const sl_val *conf)
{
    sl_str sql = sl_get_text(conf, "query");
    gs_context x = { .arena = w->a, .project = w->project, .dataset = sl_get_text(sl_get(conf, "defaultDataset"), "datasetId"), .text = sql, .err = w->err };
    if (sl_get_text(sl_get(conf, "defaultDataset"), "projectId").n > 0)
        x.project = sl_get_text(sl_get(conf, "defaultDataset"), "projectId");
    gs_statement *list;
    size_t n;
    if (sl_get_bool(conf, "useLegacySql", true))
        return sl_err_set(w->err, SL_ERR_DATA, "invalid", "the local cloud has no legacy SQL; set useLegacySql to false");
    if (!gs_translate(&x, &list, &n))
        return false;
    if (!bq_refresh_externals(w->c, w->k, w->a, w->err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!one_statement(w, &list[i], conf))
            return n > 1 ? sl_err_ctx(w->err, "statement %zu of %zu", i + 1, n) : false;
    if (n > 1) {
        sl_map_set_str(w->a, w->query, "statementType", SL_S("SCRIPT"));
        sl_map_set_str(w->a, w->stats, "numChildJobs", sl_fmt(w->a, "%zu", n));
    }
    return true;
}

/* ---- load, extract, copy ---- */

static int64_t count_rows(work *w, sl_str from)
{
    const sl_val *rows;
    sl_err ignored;
    int64_t n = 0;
    if (sl_duck_run(w->k, w->a, sl_fmt(w->a, "SELECT CAST(count(*) AS VARCHAR) FROM %.*s", SL_ARG(from)), &rows, NULL, &ignored))
        (void)sl_parse_int(sl_text(sl_at(sl_at(rows, 0), 0)), &n);
    return n;
}

static bool load_job(work *w, const sl_val *conf)
{
    const sl_val *to = sl_get(conf, "destinationTable"), *fields = sl_get(sl_get(conf, "schema"), "fields");
    sl_str reader, name = duck_table(w->a, to), write = sl_get_text(conf, "writeDisposition");
    if (!dataset_known(w->c, w->k, w->a, to, w->location, w->err))
        return false;
    const sl_val *have = bq_fields(w->k, w->a, sl_get_text(to, "projectId"), sl_get_text(to, "datasetId"), sl_get_text(to, "tableId"));
    if (fields == NULL && !sl_get_bool(conf, "autodetect", false))
        fields = have;
    if (!bq_reader_sql(w->c, w->a, conf, fields, &reader, w->err))
        return false;
    if (have == NULL && sl_str_eqc(sl_get_text(conf, "createDisposition"), "CREATE_NEVER"))
        return sl_err_set(w->err, SL_ERR_NOT_FOUND, "notFound", "Not found: Table %.*s", SL_ARG(name));
    int64_t before = have ? count_rows(w, name) : 0, changed = 0;
    if (have != NULL && sl_str_eqc(write, "WRITE_EMPTY") && before > 0)
        return sl_err_set(w->err, SL_ERR_CONFLICT, "duplicate", "Already Exists: Table %.*s", SL_ARG(name));
    bool replace = have == NULL || sl_str_eqc(write, "WRITE_TRUNCATE");
    sl_str sql = replace ? sl_fmt(w->a, "CREATE OR REPLACE TABLE %.*s AS SELECT * FROM %.*s", SL_ARG(name), SL_ARG(reader)) : sl_fmt(w->a, "INSERT INTO %.*s BY NAME SELECT * FROM %.*s", SL_ARG(name), SL_ARG(reader));
    if (!run(w, sql, &changed))
        return false;
    if (replace) {
        sl_val *meta = sl_map(w->a);
        static const char *const kept[] = { "schema", "timePartitioning", "clustering", "rangePartitioning" };
        for (size_t i = 0; i < SL_COUNT(kept); i++)
            if (sl_get(conf, kept[i]) != NULL)
                sl_map_setc(w->a, meta, kept[i], sl_get(conf, kept[i]));
        if (!bq_remember_table(w->k, w->a, to, meta, w->err))
            return false;
        before = 0;
    }
    sl_val *load = sl_map(w->a);
    int64_t rows = count_rows(w, name) - before;
    sl_map_set_str(w->a, load, "outputRows", sl_fmt(w->a, "%lld", (long long)rows));
    sl_map_set_str(w->a, load, "outputBytes", sl_fmt(w->a, "%lld", (long long)rows * 16));
    sl_map_set_str(w->a, load, "inputFiles", sl_fmt(w->a, "%zu", sl_val_count(sl_get(conf, "sourceUris"))));
    sl_map_set_str(w->a, load, "badRecords", SL_S("0"));
    sl_map_setc(w->a, w->stats, "load", load);
    return true;
}

/* The file is made beside the blobs and becomes an object in the end. */
static bool store_export(work *w, sl_str path, sl_str blob, sl_str uri)
{
    sl_str rest = sl_str_sub(uri, 5, uri.n), bucket;
    (void)sl_str_cut(&rest, '/', &bucket);
    if (!sl_gcs_bucket_exists(w->c, w->a, bucket, NULL))
        return sl_err_set(w->err, SL_ERR_NOT_FOUND, "notFound", "Not found: URI %.*s", SL_ARG(uri));
    SL_READER r = sl_reader_file(path.p, w->err);
    if (r == NULL)
        return false;
    char *block = sl_malloc(1 << 18);
    uint32_t crc = 0;
    int64_t size = 0;
    ptrdiff_t n;
    while ((n = r->read(r, block, 1 << 18, w->err)) > 0) {
        crc = sl_crc32c(crc, block, (size_t)n);
        size += n;
    }
    free(block);
    sl_server_request req = { .arena = w->a, .params = sl_map(w->a) };
    sl_server_response resp = { 0 };
    sl_val *meta = sl_map(w->a);
    sl_map_set_str(w->a, meta, "contentType", SL_S("application/octet-stream"));
    sl_gcs_put(w->c, &req, &resp, bucket, rest, meta, blob, size, crc, SL_S(""), NULL);
    return resp.status == 200 || sl_err_set(w->err, SL_ERR_IO, "invalid", "the export to %.*s could not be stored", SL_ARG(uri));
}

static bool extract_job(work *w, const sl_val *conf)
{
    const sl_val *from = sl_get(conf, "sourceTable"), *uris = sl_get(conf, "destinationUris");
    sl_str format = sl_get_text(conf, "destinationFormat"), compression = sl_get_text(conf, "compression"), delimiter = sl_get_text(conf, "fieldDelimiter");
    sl_val *counts = sl_list(w->a), *extract = sl_map(w->a);
    bool gzip = sl_str_eqc(compression, "GZIP");
    if (!dataset_known(w->c, w->k, w->a, from, w->location, w->err) || !bq_refresh_externals(w->c, w->k, w->a, w->err))
        return false;
    for (size_t i = 0; i < sl_val_count(uris); i++) {
        sl_str uri = sl_str_replace(w->a, sl_text(sl_at(uris, i)), SL_S("*"), SL_S("000000000000")), blob = sl_gcs_new_blob(w->c, w->a), path = sl_gcs_blob_path(w->c, w->a, blob), options;
        if (format.n == 0 || sl_str_eqc(format, "CSV"))
            options = sl_fmt(w->a, "FORMAT CSV, HEADER %s, DELIMITER %.*s%s", sl_get_bool(conf, "printHeader", true) ? "true" : "false", SL_ARG(sl_duck_text(w->a, delimiter.n ? delimiter : SL_S(","))),
                             gzip ? ", COMPRESSION gzip" : "");
        else if (sl_str_eqc(format, "NEWLINE_DELIMITED_JSON"))
            options = sl_fmt(w->a, "FORMAT JSON%s", gzip ? ", COMPRESSION gzip" : "");
        else if (sl_str_eqc(format, "PARQUET"))
            options = SL_S("FORMAT PARQUET");
        else
            return sl_err_set(w->err, SL_ERR_DATA, "invalid", "the local cloud does not write the format %.*s", SL_ARG(format));
        if (!run(w, sl_fmt(w->a, "COPY (SELECT * FROM %.*s) TO %.*s (%.*s)", SL_ARG(duck_table(w->a, from)), SL_ARG(sl_duck_text(w->a, path)), SL_ARG(options)), NULL) || !store_export(w, path, blob, uri))
            return false;
        sl_list_add(w->a, counts, sl_val_c(w->a, "1"));
    }
    sl_map_setc(w->a, extract, "destinationUriFileCounts", counts);
    sl_map_setc(w->a, w->stats, "extract", extract);
    return true;
}

static bool copy_job(work *w, const sl_val *conf)
{
    const sl_val *to = sl_get(conf, "destinationTable"), *sources = sl_get(conf, "sourceTables");
    sl_val *single = sl_list(w->a);
    if (sources == NULL && sl_get(conf, "sourceTable") != NULL) {
        sl_list_add(w->a, single, sl_get(conf, "sourceTable"));
        sources = single;
    }
    sl_str name = duck_table(w->a, to), write = sl_get_text(conf, "writeDisposition");
    if (!dataset_known(w->c, w->k, w->a, to, w->location, w->err))
        return false;
    bool exists = bq_fields(w->k, w->a, sl_get_text(to, "projectId"), sl_get_text(to, "datasetId"), sl_get_text(to, "tableId")) != NULL;
    if (exists && (write.n == 0 || sl_str_eqc(write, "WRITE_EMPTY")) && count_rows(w, name) > 0)
        return sl_err_set(w->err, SL_ERR_CONFLICT, "duplicate", "Already Exists: Table %.*s", SL_ARG(name));
    for (size_t i = 0; i < sl_val_count(sources); i++) {
        sl_str from = duck_table(w->a, sl_at(sources, i));
        if (bq_fields(w->k, w->a, sl_get_text(sl_at(sources, i), "projectId"), sl_get_text(sl_at(sources, i), "datasetId"), sl_get_text(sl_at(sources, i), "tableId")) == NULL)
            return sl_err_set(w->err, SL_ERR_NOT_FOUND, "notFound", "Not found: Table %.*s", SL_ARG(from));
        bool append = i > 0 || (exists && sl_str_eqc(write, "WRITE_APPEND"));
        if (!run(w, append ? sl_fmt(w->a, "INSERT INTO %.*s SELECT * FROM %.*s", SL_ARG(name), SL_ARG(from)) : sl_fmt(w->a, "CREATE OR REPLACE TABLE %.*s AS SELECT * FROM %.*s", SL_ARG(name), SL_ARG(from)), NULL))
            return false;
    }
    return bq_remember_table(w->k, w->a, to, sl_map(w->a), w->err);
}

bool bq_run_job(sl_cloud *c, sl_duck_con *k, sl_arena *a, sl_val *job, sl_err *err)
{
    const sl_val *conf = sl_get(job, "configuration");
    work w = { .c = c, .k = k, .a = a, .job = job, .err = err, .stats = (sl_val *)(uintptr_t)sl_get(job, "statistics"), .query = sl_map(a) };
    w.project = sl_get_text(sl_get(job, "jobReference"), "projectId");
    w.location = sl_get_text(sl_get(job, "jobReference"), "location");
    bool ok;
    if (sl_get(conf, "query") != NULL) {
        sl_map_set_str(a, w.query, "totalBytesProcessed", SL_S("0"));
        sl_map_set_str(a, w.query, "totalBytesBilled", SL_S("0"));
        sl_map_set_bool(a, w.query, "cacheHit", false);
        ok = query_job(&w, sl_get(conf, "query"));
        sl_map_setc(a, w.stats, "query", w.query);
        sl_map_set_str(a, w.stats, "totalBytesProcessed", SL_S("0"));
        return ok;
    }
    if (sl_get(conf, "load") != NULL)
        return load_job(&w, sl_get(conf, "load"));
    if (sl_get(conf, "extract") != NULL)
        return extract_job(&w, sl_get(conf, "extract"));
    if (sl_get(conf, "copy") != NULL)
        return copy_job(&w, sl_get(conf, "copy"));
    return sl_err_set(err, SL_ERR_DATA, "invalid", "the job has no configuration of query, load, extract or copy");
}
