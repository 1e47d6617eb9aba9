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
                            "CREATE TABLE IF NOT EXISTS _sl.inserted(tab VARCHAR, id VARCHAR, made BIGINT, PRIMARY KEY(tab, id));"
                            "CREATE TABLE IF NOT EXISTS _sl.exports(job VARCHAR PRIMARY KEY);";

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
        ok = ok && k != NULL && sl_duck_exec(k, "SET default_null_order = 'nulls_first_on_asc_last_on_desc'", err);
        while (k != NULL && ok && rest.n > 0 && sl_str_cut(&rest, ';', &one))
            ok = one.n == 0 || sl_duck_run(k, a, one, NULL, NULL, err);
        for (size_t i = 0; k != NULL && ok && bq_macros[i] != NULL; i++)
            ok = sl_duck_run(k, a, sl_fmt(a, "CREATE OR REPLACE MACRO %s", bq_macros[i]), NULL, NULL, err);
        sl_duck_disconnect(k);
        if (!ok) { /* the next one tries again */
            sl_duck_close(c->duck);
            c->duck = NULL;
        }
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

bool bq_drop_dataset(sl_duck_con *k, sl_arena *a, sl_str project, sl_str dataset, bool contents, sl_err *err)
{
    const sl_val *rows;
    sl_str schema = bq_schema(a, project, dataset), quoted = sl_duck_ident(a, schema), of = sl_fmt(a, "project=%.*s AND dataset=%.*s", SL_ARG(sl_duck_text(a, project)), SL_ARG(sl_duck_text(a, dataset)));
    if (!sl_duck_run(k, a, sl_fmt(a, "SELECT 1 FROM information_schema.tables WHERE table_schema=%.*s LIMIT 1", SL_ARG(sl_duck_text(a, schema))), &rows, NULL, err))
        return false;
    if (!contents && rows->list.n > 0)
        return sl_err_set(err, SL_ERR_CONFLICT, "resourceInUse", "Dataset %.*s:%.*s is still in use", SL_ARG(project), SL_ARG(dataset));
    return sl_duck_run(k, a, sl_fmt(a, "DROP SCHEMA IF EXISTS %.*s CASCADE", SL_ARG(quoted)), NULL, NULL, err) && sl_duck_run(k, a, sl_fmt(a, "DELETE FROM _sl.datasets WHERE %.*s", SL_ARG(of)), NULL, NULL, err)
           && sl_duck_run(k, a, sl_fmt(a, "DELETE FROM _sl.tables WHERE %.*s", SL_ARG(of)), NULL, NULL, err);
}

bool bq_forget_table(sl_duck_con *k, sl_arena *a, const sl_val *ref, sl_err *err)
{
    return sl_duck_run(k, a, sl_fmt(a, "DELETE FROM _sl.tables WHERE project=%.*s AND dataset=%.*s AND name=%.*s", SL_ARG(sl_duck_text(a, sl_get_text(ref, "projectId"))),
                                    SL_ARG(sl_duck_text(a, sl_get_text(ref, "datasetId"))), SL_ARG(sl_duck_text(a, sl_get_text(ref, "tableId")))),
                       NULL, NULL, err);
}
