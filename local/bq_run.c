/* local/bq_run.c: what a statement of a query does. Runs inside of the caller's transaction. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "local/bq_work.h"

sl_str bq_result_table(sl_arena *a, sl_str job_id)
{
    return sl_fmt(a, "anon_%.*s", SL_ARG(job_id));
}

sl_str bq_partition_of(sl_str table_id)
{
    ptrdiff_t dollar = sl_str_find(table_id, SL_S("$"));
    return dollar > 0 ? sl_str_sub(table_id, (size_t)dollar + 1, table_id.n) : SL_S("");
}

sl_str bq_table_sql(sl_arena *a, const sl_val *ref)
{
    sl_str table = sl_get_text(ref, "tableId"), part = bq_partition_of(table);
    if (part.n > 0)
        table = sl_str_sub(table, 0, table.n - part.n - 1);
    return sl_fmt(a, "%.*s.%.*s", SL_ARG(sl_duck_ident(a, bq_schema(a, sl_get_text(ref, "projectId"), sl_get_text(ref, "datasetId")))), SL_ARG(sl_duck_ident(a, table)));
}

bool bq_dataset_known(bq_work *w, const sl_val *ref)
{
    const sl_val *d = bq_dataset(w->c, w->k, w->a, sl_get_text(ref, "projectId"), sl_get_text(ref, "datasetId"));
    if (d == NULL || (w->location.n > 0 && !sl_str_ieq(w->location, sl_get_text(d, "location"))))
        return sl_err_set(w->err, SL_ERR_NOT_FOUND, "notFound", "Not found: Dataset %.*s:%.*s was not found in location %.*s", SL_ARG(sl_get_text(ref, "projectId")), SL_ARG(sl_get_text(ref, "datasetId")),
                          SL_ARG(w->location.n ? w->location : SL_S("US")));
    return true;
}

bool bq_run(bq_work *w, sl_str sql, int64_t *changed)
{
    return sl_duck_run(w->k, w->a, sql, NULL, changed, w->err);
}

int64_t bq_count(bq_work *w, sl_str from)
{
    const sl_val *rows;
    sl_err ignored;
    int64_t n = 0;
    if (sl_duck_run(w->k, w->a, sl_fmt(w->a, "SELECT CAST(count(*) AS VARCHAR) FROM %.*s", SL_ARG(from)), &rows, NULL, &ignored))
        (void)sl_parse_int(sl_text(sl_at(sl_at(rows, 0), 0)), &n);
    return n;
}

/* ---- statements ---- */

/* Options of CREATE EXTERNAL TABLE and of FROM FILES to the names of the API. */
static const sl_val *external_config(sl_arena *a, const gs_statement *s, const sl_val *options)
{
    static const struct {
        const char *sql, *api;
        bool csv;
    } names[] = { { "uris", "sourceUris", false }, { "max_bad_records", "maxBadRecords", false }, { "ignore_unknown_values", "ignoreUnknownValues", false }, { "skip_leading_rows", "skipLeadingRows", true },
                  { "field_delimiter", "fieldDelimiter", true }, { "quote", "quote", true }, { "allow_jagged_rows", "allowJaggedRows", true }, { "allow_quoted_newlines", "allowQuotedNewlines", true },
                  { "encoding", "encoding", true }, { "null_marker", "nullMarker", true }, { "compression", "compression", false } };
    sl_val *config = sl_map(a), *csv = sl_map(a);
    sl_str format = sl_str_upper(a, sl_get_text(options, "format"));
    sl_map_set_str(a, config, "sourceFormat", sl_str_eqc(format, "JSON") ? SL_S("NEWLINE_DELIMITED_JSON") : format);
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (sl_get(options, names[i].sql) != NULL)
            sl_map_setc(a, names[i].csv ? csv : config, names[i].api, sl_get(options, names[i].sql));
    if (csv->map.n > 0)
        sl_map_setc(a, config, "csvOptions", csv);
    sl_map_set_bool(a, config, "autodetect", s->columns == NULL);
    return config;
}

static bool create_external(bq_work *w, const gs_statement *s)
{
    const sl_val *config = external_config(w->a, s, s->options);
    sl_str reader;
    if (!bq_reader_sql(w->c, w->a, config, s->columns, &reader, w->err))
        return false;
    if (s->if_not_exists && bq_fields(w->k, w->a, sl_get_text(s->target, "projectId"), sl_get_text(s->target, "datasetId"), sl_get_text(s->target, "tableId")) != NULL)
        return true;
    sl_str name = bq_table_sql(w->a, s->target);
    if (s->or_replace && !bq_run(w, sl_fmt(w->a, "DROP VIEW IF EXISTS %.*s", SL_ARG(name)), NULL))
        return false;
    if (!bq_run(w, sl_fmt(w->a, "CREATE VIEW %.*s AS SELECT * FROM %.*s", SL_ARG(name), SL_ARG(reader)), NULL))
        return false;
    sl_val *meta = sl_map(w->a), *schema = sl_map(w->a);
    sl_map_setc(w->a, schema, "fields", s->columns ? s->columns : sl_list(w->a));
    sl_map_set_str(w->a, meta, "type", SL_S("EXTERNAL"));
    sl_map_setc(w->a, meta, "schema", schema);
    sl_map_setc(w->a, meta, "externalDataConfiguration", config);
    sl_map_set_str(w->a, meta, "x-view", reader);
    return bq_remember_table(w->k, w->a, s->target, meta, w->err);
}

static bool remember_created(bq_work *w, const gs_statement *s)
{
    sl_val *meta = sl_map(w->a), *schema = sl_map(w->a);
    sl_map_set_str(w->a, meta, "type", strcmp(s->type, "CREATE_VIEW") == 0 ? SL_S("VIEW") : strcmp(s->type, "CREATE_MATERIALIZED_VIEW") == 0 ? SL_S("MATERIALIZED_VIEW") : SL_S("TABLE"));
    if (s->columns != NULL) {
        sl_map_setc(w->a, schema, "fields", s->columns);
        sl_map_setc(w->a, meta, "schema", schema);
    }
    if (s->view.n > 0) {
        sl_val *view = sl_map_of(w->a, "query", sl_val_str(w->a, s->view));
        sl_map_set_bool(w->a, view, "useLegacySql", false);
        sl_map_setc(w->a, meta, strcmp(s->type, "CREATE_VIEW") == 0 ? "view" : "materializedView", view);
    }
    sl_map_opt(w->a, meta, "timePartitioning", s->partition);
    sl_map_opt(w->a, meta, "rangePartitioning", s->range);
    if (s->clustering != NULL)
        sl_map_setc(w->a, meta, "clustering", sl_map_of(w->a, "fields", s->clustering));
    if (sl_get_text(s->options, "description").n > 0)
        sl_map_set_str(w->a, meta, "description", sl_get_text(s->options, "description"));
    return bq_remember_table(w->k, w->a, s->target, meta, w->err);
}

static bool create_schema(bq_work *w, const gs_statement *s)
{
    sl_str project = sl_get_text(s->target, "projectId"), dataset = sl_get_text(s->target, "datasetId");
    if (bq_dataset(w->c, w->k, w->a, project, dataset) != NULL)
        return s->if_not_exists || sl_err_set(w->err, SL_ERR_CONFLICT, "duplicate", "Already Exists: Dataset %.*s:%.*s", SL_ARG(project), SL_ARG(dataset));
    sl_val *meta = sl_map(w->a);
    sl_str location = sl_get_text(s->options, "location"), now = sl_fmt(w->a, "%lld", (long long)sl_now_ms());
    sl_map_set_str(w->a, meta, "location", location.n ? location : w->location.n ? w->location : SL_S("US"));
    sl_map_set_str(w->a, meta, "creationTime", now);
    sl_map_set_str(w->a, meta, "lastModifiedTime", now);
    return bq_run(w, sl_fmt(w->a, "CREATE SCHEMA IF NOT EXISTS %.*s", SL_ARG(sl_duck_ident(w->a, bq_schema(w->a, project, dataset)))), NULL)
           && bq_run(w, sl_fmt(w->a, "INSERT INTO _sl.datasets VALUES(%.*s, %.*s, %.*s)", SL_ARG(sl_duck_text(w->a, project)), SL_ARG(sl_duck_text(w->a, dataset)), SL_ARG(sl_duck_text(w->a, sl_json(w->a, meta)))), NULL);
}

static bool drop_schema(bq_work *w, const gs_statement *s)
{
    sl_str project = sl_get_text(s->target, "projectId"), dataset = sl_get_text(s->target, "datasetId");
    if (bq_dataset(w->c, w->k, w->a, project, dataset) == NULL)
        return s->if_not_exists || sl_err_set(w->err, SL_ERR_NOT_FOUND, "notFound", "Not found: Dataset %.*s:%.*s", SL_ARG(project), SL_ARG(dataset));
    sl_map_set_str(w->a, w->query, "ddlOperationPerformed", SL_S("DROP"));
    return bq_drop_dataset(w->k, w->a, project, dataset, s->cascade, w->err);
}

/* What the job says of itself: CREATE TABLE AS SELECT and DML have their table as destination. */
static void set_destination(bq_work *w, const sl_val *ref)
{
    sl_val *c = sl_map_shallow(w->a, sl_get(w->job, "configuration")), *q = sl_map_shallow(w->a, sl_get(c, "query"));
    sl_map_setc(w->a, q, "destinationTable", ref);
    sl_map_setc(w->a, c, "query", q);
    sl_map_setc(w->a, w->job, "configuration", c);
}

/* CREATE FUNCTION, DROP FUNCTION. */
static bool routine(bq_work *w, const gs_statement *s)
{
    sl_arena *a = w->a;
    const sl_val *rows;
    sl_str project = sl_get_text(s->target, "projectId"), dataset = sl_get_text(s->target, "datasetId"), name = sl_get_text(s->target, "tableId");
    bool creates = strcmp(s->type, "CREATE_FUNCTION") == 0;
    if (!bq_dataset_known(w, s->target)
        || !sl_duck_run(w->k, a, sl_fmt(a, "SELECT 1 FROM duckdb_functions() WHERE schema_name = %.*s AND function_name = lower(%.*s)", SL_ARG(sl_duck_text(a, bq_schema(a, project, dataset))), SL_ARG(sl_duck_text(a, name))), &rows, NULL, w->err))
        return false;
    bool exists = sl_val_count(rows) > 0, skips = creates ? exists && s->if_not_exists : !exists && s->if_not_exists;
    sl_val *ref = sl_map_of(a, "projectId", sl_val_str(a, project));
    sl_map_set_str(a, ref, "datasetId", dataset);
    sl_map_set_str(a, ref, "routineId", name);
    sl_map_setc(a, w->query, "ddlTargetRoutine", ref);
    sl_map_set_str(a, w->query, "ddlOperationPerformed", sl_str_c(skips ? "SKIP" : !creates ? "DROP" : exists ? "REPLACE" : "CREATE"));
    if (skips)
        return true;
    if (creates && exists && !s->or_replace)
        return sl_err_set(w->err, SL_ERR_CONFLICT, "duplicate", "Already Exists: Routine %.*s:%.*s.%.*s", SL_ARG(project), SL_ARG(dataset), SL_ARG(name));
    if (!creates && !exists)
        return sl_err_set(w->err, SL_ERR_NOT_FOUND, "notFound", "Not found: Routine %.*s:%.*s.%.*s", SL_ARG(project), SL_ARG(dataset), SL_ARG(name));
    return bq_run(w, s->sql, NULL);
}

static bool ddl(bq_work *w, const gs_statement *s)
{
    if (strcmp(s->type, "CREATE_FUNCTION") == 0 || strcmp(s->type, "DROP_FUNCTION") == 0)
        return routine(w, s);
    sl_str project = sl_get_text(s->target, "projectId"), dataset = sl_get_text(s->target, "datasetId"), table = sl_get_text(s->target, "tableId");
    if (strcmp(s->type, "CREATE_SCHEMA") == 0)
        return create_schema(w, s);
    if (strcmp(s->type, "DROP_SCHEMA") == 0)
        return drop_schema(w, s);
    if (!bq_dataset_known(w, s->target))
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
        sl_str sql = view ? sl_fmt(w->a, "DROP VIEW %.*s", SL_ARG(bq_table_sql(w->a, s->target))) : s->sql;
        return bq_run(w, sql, NULL) && bq_forget_table(w->k, w->a, s->target, w->err);
    }
    bool selects = strcmp(s->type, "CREATE_TABLE_AS_SELECT") == 0;
    if (selects)
        set_destination(w, s->target);
    return bq_run(w, s->sql, NULL) && (!selects || bq_widen(w, s->target, false)) && remember_created(w, s);
}

static bool is_dml(const char *type)
{
    static const char *const types[] = { "INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE_TABLE" };
    for (size_t i = 0; i < SL_COUNT(types); i++)
        if (strcmp(type, types[i]) == 0)
            return true;
    return false;
}

static bool dml(bq_work *w, const gs_statement *s)
{
    int64_t changed = 0;
    if (s->target != NULL) {
        if (!bq_dataset_known(w, s->target))
            return false;
        const sl_val *t = bq_table(w->c, w->k, w->a, sl_get_text(s->target, "projectId"), sl_get_text(s->target, "datasetId"), sl_get_text(s->target, "tableId"), false);
        if (t == NULL)
            return sl_err_set(w->err, SL_ERR_NOT_FOUND, "notFound", "Not found: Table %.*s:%.*s.%.*s was not found in location %.*s", SL_ARG(sl_get_text(s->target, "projectId")),
                              SL_ARG(sl_get_text(s->target, "datasetId")), SL_ARG(sl_get_text(s->target, "tableId")), SL_ARG(w->location));
    }
    if (!bq_run(w, s->sql, &changed))
        return false;
    if (s->target != NULL)
        set_destination(w, s->target);
    sl_map_set_str(w->a, w->query, "numDmlAffectedRows", sl_fmt(w->a, "%lld", (long long)changed));
    return true;
}

static bool alter(bq_work *w, const gs_statement *s)
{
    sl_str project = sl_get_text(s->target, "projectId"), dataset = sl_get_text(s->target, "datasetId"), name = sl_get_text(s->target, "tableId");
    if (!bq_dataset_known(w, s->target))
        return false;
    const sl_val *t = bq_table(w->c, w->k, w->a, project, dataset, name, false);
    if (t == NULL)
        return s->if_not_exists || sl_err_set(w->err, SL_ERR_NOT_FOUND, "notFound", "Not found: Table %.*s:%.*s.%.*s", SL_ARG(project), SL_ARG(dataset), SL_ARG(name));
    for (size_t i = 0; i < sl_val_count(s->more); i++)
        if (!bq_run(w, sl_text(sl_at(s->more, i)), NULL))
            return false;
    sl_map_set_str(w->a, w->query, "ddlOperationPerformed", SL_S("ALTER"));
    sl_map_setc(w->a, w->query, "ddlTargetTable", s->target);
    sl_val *meta = sl_map_shallow(w->a, t), *ref = sl_map_shallow(w->a, s->target);
    if (sl_get(s->options, "description") != NULL)
        sl_map_setc(w->a, meta, "description", sl_get(s->options, "description"));
    if (s->renamed.n > 0)
        sl_map_set_str(w->a, ref, "tableId", s->renamed);
    return (s->renamed.n == 0 || bq_forget_table(w->k, w->a, s->target, w->err)) && bq_remember_table(w->k, w->a, ref, meta, w->err);
}

/* The rows of a query go to its destination, or to an anonymous table that is kept for paging. */
static bool select_into(bq_work *w, const gs_statement *s, const sl_val *conf)
{
    sl_str id = sl_get_text(sl_get(w->job, "jobReference"), "jobId"), write = sl_get_text(conf, "writeDisposition");
    const sl_val *destination = sl_get(conf, "destinationTable");
    if (destination == NULL || sl_str_starts(sl_get_text(destination, "datasetId"), SL_S("_anon"))) {
        sl_str table = bq_result_table(w->a, id);
        sl_val *ref = sl_map(w->a);
        sl_map_set_str(w->a, ref, "projectId", w->project);
        sl_map_set_str(w->a, ref, "datasetId", SL_S("_anon"));
        sl_map_set_str(w->a, ref, "tableId", table);
        set_destination(w, ref);
        return bq_run(w, sl_fmt(w->a, "CREATE OR REPLACE TABLE _sl.%.*s AS %.*s", SL_ARG(sl_duck_ident(w->a, table)), SL_ARG(s->sql)), NULL);
    }
    if (!bq_dataset_known(w, destination))
        return false;
    sl_str name = bq_table_sql(w->a, destination);
    const sl_val *have = bq_fields(w->k, w->a, sl_get_text(destination, "projectId"), sl_get_text(destination, "datasetId"), sl_get_text(destination, "tableId"));
    bool exists = have != NULL;
    if (exists && (write.n == 0 || sl_str_eqc(write, "WRITE_EMPTY")))
        return sl_err_set(w->err, SL_ERR_CONFLICT, "duplicate", "Already Exists: Table %.*s", SL_ARG(name));
    sl_val *meta = sl_map(w->a);
    if (sl_get(conf, "timePartitioning") != NULL)
        sl_map_setc(w->a, meta, "timePartitioning", sl_get(conf, "timePartitioning"));
    if (sl_get(conf, "clustering") != NULL)
        sl_map_setc(w->a, meta, "clustering", sl_get(conf, "clustering"));
    if (exists && sl_str_eqc(write, "WRITE_APPEND"))
        return bq_fit_schema(w, conf, destination, have, s->sql) && bq_run(w, sl_fmt(w->a, "INSERT INTO %.*s BY NAME %.*s", SL_ARG(name), SL_ARG(s->sql)), NULL);
    return bq_run(w, sl_fmt(w->a, "CREATE OR REPLACE TABLE %.*s AS %.*s", SL_ARG(name), SL_ARG(s->sql)), NULL) && bq_widen(w, destination, false) && bq_remember_table(w->k, w->a, destination, meta, w->err);
}

/* As a load job; into a table that is there, its columns say what the files hold. */
static bool load_data(bq_work *w, const gs_statement *s)
{
    sl_arena *a = w->a;
    const sl_val *loaded = NULL;
    sl_val *conf = sl_map_shallow(a, external_config(a, s, s->files));
    bool there = bq_fields(w->k, a, sl_get_text(s->target, "projectId"), sl_get_text(s->target, "datasetId"), sl_get_text(s->target, "tableId")) != NULL;
    sl_map_setc(a, conf, "destinationTable", s->target);
    sl_map_set_str(a, conf, "writeDisposition", s->or_replace ? SL_S("WRITE_TRUNCATE") : SL_S("WRITE_APPEND"));
    sl_map_set_bool(a, conf, "autodetect", s->columns == NULL && (s->or_replace || !there));
    if (s->columns != NULL)
        sl_map_setc(a, conf, "schema", sl_map_of(a, "fields", s->columns));
    sl_map_opt(a, conf, "timePartitioning", s->partition);
    sl_map_opt(a, conf, "rangePartitioning", s->range);
    if (s->clustering != NULL)
        sl_map_setc(a, conf, "clustering", sl_map_of(a, "fields", s->clustering));
    bool ok = bq_load(w, conf, &loaded);
    sl_map_opt(a, w->query, "loadQueryStatistics", loaded);
    return ok;
}

static bool one_statement(bq_work *w, const gs_statement *s, const sl_val *conf)
{
    sl_map_set_str(w->a, w->query, "statementType", sl_str_c(s->type));
    if (s->temporary) {
        for (size_t i = 0; i < sl_val_count(s->more); i++)
            if (!bq_run(w, sl_text(sl_at(s->more, i)), NULL))
                return false;
        return s->sql.n == 0 || bq_run(w, s->sql, NULL);
    }
    if (strncmp(s->type, "CREATE", 6) == 0 || strncmp(s->type, "DROP", 4) == 0)
        return ddl(w, s);
    if (is_dml(s->type))
        return dml(w, s);
    if (strcmp(s->type, "ALTER_TABLE") == 0)
        return alter(w, s);
    if (strcmp(s->type, "SELECT") == 0)
        return select_into(w, s, conf);
    if (strcmp(s->type, "LOAD_DATA") == 0)
        return load_data(w, s);
    if (strcmp(s->type, "EXPORT_DATA") == 0)
        return bq_export(w, s->sql, s->files);
    return sl_err_set(w->err, SL_ERR_DATA, "invalid", "%s is not supported by the local cloud", s->type);
}

bool bq_statements_of(sl_arena *a, const sl_val *job, sl_str text, const sl_val *parameters, const bq_script *within, bq_script *ret, sl_err *err)
{
    const sl_val *conf = sl_get(sl_get(job, "configuration"), "query"), *dataset = sl_get(conf, "defaultDataset");
    sl_str project = sl_get_text(dataset, "projectId");
    gs_context *x = SL_NEW(a, gs_context);
    *x = (gs_context){ .arena = a, .project = project.n ? project : sl_get_text(sl_get(job, "jobReference"), "projectId"), .dataset = sl_get_text(dataset, "datasetId"), .text = text, .parameters = parameters, .err = err };
    for (size_t i = 0; within != NULL && i < within->declared_count; i++)
        if (within->declared[i].type.n == 0 && !within->declared[i].record)
            x->declared[x->declared_count++] = within->declared[i];
    bool ok = gs_translate(x, &ret->list, &ret->n);
    ret->information = x->information;
    ret->wildcards = x->wildcards;
    ret->declared = x->declared;
    ret->declared_count = x->declared_count;
    return ok;
}

bool bq_statements(sl_arena *a, const sl_val *job, bq_script *ret, sl_err *err)
{
    const sl_val *conf = sl_get(sl_get(job, "configuration"), "query");
    *ret = (bq_script){ 0 };
    if (sl_get_bool(conf, "useLegacySql", true))
        return sl_err_set(err, SL_ERR_DATA, "invalid", "the local cloud has no legacy SQL; set useLegacySql to false");
    return bq_statements_of(a, job, sl_get_text(conf, "query"), sl_get(conf, "queryParameters"), NULL, ret, err);
}

static bq_work begin(sl_cloud *c, sl_duck_con *k, sl_arena *a, const sl_val *job, sl_err *err)
{
    bq_work w = { .c = c, .k = k, .a = a, .job = (sl_val *)(uintptr_t)job, .err = err, .stats = (sl_val *)(uintptr_t)sl_get(job, "statistics"), .query = sl_map(a) };
    w.project = sl_get_text(sl_get(job, "jobReference"), "projectId");
    w.location = sl_get_text(sl_get(job, "jobReference"), "location");
    return w;
}

/* What the statement reads and DuckDB does not have. */
static bool prepare(bq_work *w, const bq_script *x, const gs_statement *s)
{
    return bq_refresh_externals(w->c, w->k, w->a, w->err) && (!x->information || bq_information(w)) && bq_make_wildcards(w, x->wildcards, s->wild_from, s->wild_to);
}

bool bq_run_statement(sl_cloud *c, sl_duck_con *k, sl_arena *a, sl_val *job, const bq_script *x, const gs_statement *s, sl_err *err)
{
    bq_work w = begin(c, k, a, job, err);
    int64_t bad;
    sl_map_set_str(a, w.query, "totalBytesProcessed", SL_S("0"));
    sl_map_set_str(a, w.query, "totalBytesBilled", SL_S("0"));
    sl_map_set_bool(a, w.query, "cacheHit", false);
    bool ok = prepare(&w, x, s) && one_statement(&w, s, sl_get(sl_get(job, "configuration"), "query")) && bq_check_bad_records(&w, &bad);
    sl_map_setc(a, w.stats, "query", w.query);
    sl_map_set_str(a, w.stats, "totalBytesProcessed", SL_S("0"));
    return ok;
}

bool bq_run_value(sl_cloud *c, sl_duck_con *k, sl_arena *a, const sl_val *job, const bq_script *x, const gs_statement *s, const sl_val **ret, sl_err *err)
{
    bq_work w = begin(c, k, a, job, err);
    const sl_val *rows;
    if (!prepare(&w, x, s) || !sl_duck_run(k, a, s->sql, &rows, NULL, err))
        return false;
    *ret = sl_at(sl_at(rows, 0), 0);
    return true;
}

bool bq_run_other(sl_cloud *c, sl_duck_con *k, sl_arena *a, sl_val *job, sl_err *err)
{
    const sl_val *conf = sl_get(job, "configuration"), *loaded = NULL;
    bq_work w = begin(c, k, a, job, err);
    if (sl_get(conf, "load") != NULL) {
        bool ok = bq_load(&w, sl_get(conf, "load"), &loaded);
        sl_map_opt(a, w.stats, "load", loaded);
        return ok;
    }
    if (sl_get(conf, "extract") != NULL)
        return bq_extract(&w, sl_get(conf, "extract"));
    if (sl_get(conf, "copy") != NULL)
        return bq_copy(&w, sl_get(conf, "copy"));
    return sl_err_set(err, SL_ERR_DATA, "invalid", "the job has no configuration of query, load, extract or copy");
}
