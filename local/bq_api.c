/* local/bq_api.c: the routes of BigQuery v2: datasets, tables, rows, jobs, queries. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "local/bq_work.h"

/* What every handler begins with. */
typedef struct face {
    sl_cloud *c;
    sl_duck_con *k;
    sl_arena *a;
    sl_str project;
} face;

static bool enter(face *f, void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_err err;
    *f = (face){ .c = self, .a = req->arena, .project = req->segments[3] };
    if (!sl_cloud_authorized(f->c, req, resp))
        return false;
    f->k = bq_connect(f->c, &err);
    if (f->k == NULL)
        sl_cloud_refuse(req, resp, 500, "internalError", "%s", err.message);
    return f->k != NULL;
}

static void leave(face *f)
{
    sl_duck_disconnect(f->k);
}

static bool run(face *f, sl_server_request *req, sl_server_response *resp, sl_str sql)
{
    sl_err err;
    if (sl_duck_run(f->k, f->a, sql, NULL, NULL, &err))
        return true;
    sl_cloud_refuse(req, resp, 500, "internalError", "%s", err.message);
    return false;
}

/* ---- datasets ---- */

static void no_dataset(face *f, sl_server_request *req, sl_server_response *resp, sl_str dataset)
{
    sl_cloud_refuse(req, resp, 404, "notFound", "Not found: Dataset %.*s:%.*s", SL_ARG(f->project), SL_ARG(dataset));
}

static bool save_dataset(face *f, sl_server_request *req, sl_server_response *resp, sl_str dataset, const sl_val *meta)
{
    return run(f, req, resp, sl_fmt(f->a, "CREATE SCHEMA IF NOT EXISTS %.*s", SL_ARG(sl_duck_ident(f->a, bq_schema(f->a, f->project, dataset)))))
           && run(f, req, resp, sl_fmt(f->a, "INSERT OR REPLACE INTO _sl.datasets VALUES(%.*s, %.*s, %.*s)", SL_ARG(sl_duck_text(f->a, f->project)), SL_ARG(sl_duck_text(f->a, dataset)), SL_ARG(sl_duck_text(f->a, sl_json(f->a, meta)))));
}

static void dataset_insert(void *self, sl_server_request *req, sl_server_response *resp)
{
    face f;
    sl_err err;
    if (!enter(&f, self, req, resp))
        return;
    const sl_val *body = sl_json_parse(f.a, req->body, &err);
    sl_str dataset = sl_get_text(sl_get(body, "datasetReference"), "datasetId");
    if (dataset.n == 0)
        sl_cloud_refuse(req, resp, 400, "invalid", "Dataset ID is missing.");
    else if (bq_dataset(f.c, f.k, f.a, f.project, dataset) != NULL)
        sl_cloud_refuse(req, resp, 409, "duplicate", "Already Exists: Dataset %.*s:%.*s", SL_ARG(f.project), SL_ARG(dataset));
    else {
        sl_val *meta = sl_map_shallow(f.a, body);
        sl_str now = sl_fmt(f.a, "%lld", (long long)sl_now_ms());
        if (sl_get_text(meta, "location").n == 0)
            sl_map_set_str(f.a, meta, "location", SL_S("US"));
        sl_map_set_str(f.a, meta, "creationTime", now);
        sl_map_set_str(f.a, meta, "lastModifiedTime", now);
        if (save_dataset(&f, req, resp, dataset, meta))
            sl_respond_json(req, resp, 200, bq_dataset(f.c, f.k, f.a, f.project, dataset));
    }
    leave(&f);
}

static void dataset_get(void *self, sl_server_request *req, sl_server_response *resp)
{
    face f;
    if (!enter(&f, self, req, resp))
        return;
    const sl_val *d = bq_dataset(f.c, f.k, f.a, f.project, req->segments[5]);
    if (d == NULL)
        no_dataset(&f, req, resp, req->segments[5]);
    else
        sl_respond_json(req, resp, 200, d);
    leave(&f);
}

static void dataset_patch(void *self, sl_server_request *req, sl_server_response *resp)
{
    face f;
    sl_err err;
    if (!enter(&f, self, req, resp))
        return;
    const sl_val *old = bq_dataset(f.c, f.k, f.a, f.project, req->segments[5]), *body = sl_json_parse(f.a, req->body, &err);
    if (old == NULL)
        no_dataset(&f, req, resp, req->segments[5]);
    else {
        sl_val *meta = sl_map_shallow(f.a, old);
        for (size_t i = 0; i < sl_val_count(body); i++)
            if (!sl_str_eqc(body->map.entries[i].key, "location"))
                sl_map_set(f.a, meta, body->map.entries[i].key, body->map.entries[i].value);
        sl_map_set_str(f.a, meta, "lastModifiedTime", sl_fmt(f.a, "%lld", (long long)sl_now_ms()));
        if (save_dataset(&f, req, resp, req->segments[5], meta))
            sl_respond_json(req, resp, 200, bq_dataset(f.c, f.k, f.a, f.project, req->segments[5]));
    }
    leave(&f);
}

static void dataset_delete(void *self, sl_server_request *req, sl_server_response *resp)
{
    face f;
    sl_err err;
    if (!enter(&f, self, req, resp))
        return;
    sl_str dataset = req->segments[5];
    if (bq_dataset(f.c, f.k, f.a, f.project, dataset) == NULL)
        no_dataset(&f, req, resp, dataset);
    else if (bq_drop_dataset(f.k, f.a, f.project, dataset, sl_str_eqc(sl_request_param(req, "deleteContents"), "true"), &err))
        resp->status = 204;
    else if (strcmp(err.code, "resourceInUse") == 0)
        sl_cloud_refuse(req, resp, 400, err.code, "%s", err.message);
    else
        sl_cloud_refuse(req, resp, 500, "backendError", "%s", err.message);
    leave(&f);
}

static void dataset_list(void *self, sl_server_request *req, sl_server_response *resp)
{
    face f;
    sl_err err;
    const sl_val *rows = NULL;
    if (!enter(&f, self, req, resp))
        return;
    sl_val *doc = sl_map(f.a), *list = sl_list(f.a);
    (void)sl_duck_run(f.k, f.a, sl_fmt(f.a, "SELECT dataset FROM _sl.datasets WHERE project=%.*s ORDER BY dataset", SL_ARG(sl_duck_text(f.a, f.project))), &rows, NULL, &err);
    for (size_t i = 0; i < sl_val_count(rows); i++)
        sl_list_add(f.a, list, bq_dataset(f.c, f.k, f.a, f.project, sl_text(sl_at(sl_at(rows, i), 0))));
    sl_map_set_str(f.a, doc, "kind", SL_S("bigquery#datasetList"));
    if (list->list.n > 0)
        sl_map_setc(f.a, doc, "datasets", list);
    sl_respond_json(req, resp, 200, doc);
    leave(&f);
}

/* ---- tables ---- */

static void no_table(face *f, sl_server_request *req, sl_server_response *resp, sl_str table)
{
    sl_cloud_refuse(req, resp, 404, "notFound", "Not found: Table %.*s:%.*s.%.*s", SL_ARG(f->project), SL_ARG(req->segments[5]), SL_ARG(table));
}

static sl_str create_sql(face *f, sl_str dataset, sl_str table, const sl_val *fields)
{
    sl_buf b = sl_buf_new(f->a, 16 << 20);
    sl_buf_fmt(&b, "CREATE TABLE %.*s.%.*s (", SL_ARG(sl_duck_ident(f->a, bq_schema(f->a, f->project, dataset))), SL_ARG(sl_duck_ident(f->a, table)));
    for (size_t i = 0; i < sl_val_count(fields); i++)
        sl_buf_fmt(&b, "%s%.*s %.*s%s", i ? ", " : "", SL_ARG(sl_duck_ident(f->a, sl_get_text(sl_at(fields, i), "name"))), SL_ARG(gs_duck_type(f->a, sl_at(fields, i))),
                   sl_str_eqc(sl_get_text(sl_at(fields, i), "mode"), "REQUIRED") ? " NOT NULL" : "");
    sl_buf_char(&b, ')');
    return sl_buf_str(&b);
}

/* A table, a view or an external table, as the resource says. */
static bool make_table(face *f, sl_str dataset, sl_str table, const sl_val *body, sl_val *meta, sl_err *err)
{
    const sl_val *fields = sl_get(sl_get(body, "schema"), "fields"), *external = sl_get(body, "externalDataConfiguration"), *view = sl_get(body, "view");
    sl_str name = sl_fmt(f->a, "%.*s.%.*s", SL_ARG(sl_duck_ident(f->a, bq_schema(f->a, f->project, dataset))), SL_ARG(sl_duck_ident(f->a, table))), reader;
    sl_map_set_str(f->a, meta, "type", external ? SL_S("EXTERNAL") : view ? SL_S("VIEW") : SL_S("TABLE"));
    if (external != NULL) {
        if (fields == NULL)
            fields = sl_get(sl_get(external, "schema"), "fields");
        if (!bq_reader_sql(f->c, f->a, external, fields, &reader, err))
            return false;
        sl_map_set_str(f->a, meta, "x-view", reader);
        if (fields != NULL) {
            sl_val *schema = sl_map(f->a);
            sl_map_setc(f->a, schema, "fields", fields);
            sl_map_setc(f->a, meta, "schema", schema);
        }
        return sl_duck_run(f->k, f->a, sl_fmt(f->a, "CREATE VIEW %.*s AS SELECT * FROM %.*s", SL_ARG(name), SL_ARG(reader)), NULL, NULL, err);
    }
    if (view != NULL) {
        gs_context x = { .arena = f->a, .project = f->project, .text = sl_get_text(view, "query"), .err = err };
        gs_statement *list;
        size_t n;
        return gs_translate(&x, &list, &n) && sl_duck_run(f->k, f->a, sl_fmt(f->a, "CREATE VIEW %.*s AS %.*s", SL_ARG(name), SL_ARG(list[0].sql)), NULL, NULL, err);
    }
    if (sl_val_count(fields) == 0) /* BigQuery allows a table without columns; DuckDB does not */
        return sl_err_set(err, SL_ERR_DATA, "invalid", "the local cloud needs a schema for a new table");
    return sl_duck_run(f->k, f->a, create_sql(f, dataset, table, fields), NULL, NULL, err);
}

static void table_insert(void *self, sl_server_request *req, sl_server_response *resp)
{
    face f;
    sl_err err;
    if (!enter(&f, self, req, resp))
        return;
    const sl_val *body = sl_json_parse(f.a, req->body, &err);
    sl_str dataset = req->segments[5], table = sl_get_text(sl_get(body, "tableReference"), "tableId");
    if (bq_dataset(f.c, f.k, f.a, f.project, dataset) == NULL)
        no_dataset(&f, req, resp, dataset);
    else if (table.n == 0)
        sl_cloud_refuse(req, resp, 400, "required", "Required parameter is missing: tableId");
    else if (bq_fields(f.k, f.a, f.project, dataset, table) != NULL)
        sl_cloud_refuse(req, resp, 409, "duplicate", "Already Exists: Table %.*s:%.*s.%.*s", SL_ARG(f.project), SL_ARG(dataset), SL_ARG(table));
    else {
        sl_val *meta = sl_map_shallow(f.a, body), *ref = sl_map(f.a);
        sl_map_set_str(f.a, ref, "projectId", f.project);
        sl_map_set_str(f.a, ref, "datasetId", dataset);
        sl_map_set_str(f.a, ref, "tableId", table);
        if (make_table(&f, dataset, table, body, meta, &err) && bq_remember_table(f.k, f.a, ref, meta, &err))
            sl_respond_json(req, resp, 200, bq_table(f.c, f.k, f.a, f.project, dataset, table, true));
        else {
            const sl_val *e = bq_error(f.c, f.a, &err);
            sl_cloud_refuse(req, resp, sl_str_eqc(sl_get_text(e, "reason"), "notFound") ? 404 : 400, sl_get_text(e, "reason").p, "%.*s", SL_ARG(sl_get_text(e, "message")));
        }
    }
    leave(&f);
}

static void table_get(void *self, sl_server_request *req, sl_server_response *resp)
{
    face f;
    if (!enter(&f, self, req, resp))
        return;
    const sl_val *t = NULL;
    if (bq_dataset(f.c, f.k, f.a, f.project, req->segments[5]) == NULL && !sl_str_eqc(req->segments[5], "_anon"))
        no_dataset(&f, req, resp, req->segments[5]);
    else if (sl_str_eqc(req->segments[5], "_anon")) {
        const sl_val *fields = bq_fields(f.k, f.a, f.project, SL_S(""), req->segments[7]);
        if (fields != NULL) {
            sl_val *v = sl_map(f.a), *schema = sl_map(f.a), *ref = sl_map(f.a);
            sl_map_setc(f.a, schema, "fields", fields);
            sl_map_set_str(f.a, ref, "projectId", f.project);
            sl_map_set_str(f.a, ref, "datasetId", SL_S("_anon"));
            sl_map_set_str(f.a, ref, "tableId", req->segments[7]);
            sl_map_setc(f.a, v, "tableReference", ref);
            sl_map_setc(f.a, v, "schema", schema);
            sl_map_set_str(f.a, v, "type", SL_S("TABLE"));
            t = v;
        }
        if (t == NULL)
            no_table(&f, req, resp, req->segments[7]);
        else
            sl_respond_json(req, resp, 200, t);
    } else {
        t = bq_table(f.c, f.k, f.a, f.project, req->segments[5], req->segments[7], true);
        if (t == NULL)
            no_table(&f, req, resp, req->segments[7]);
        else
            sl_respond_json(req, resp, 200, t);
    }
    leave(&f);
}

static void table_patch(void *self, sl_server_request *req, sl_server_response *resp)
{
    face f;
    sl_err err;
    if (!enter(&f, self, req, resp))
        return;
    const sl_val *old = bq_table(f.c, f.k, f.a, f.project, req->segments[5], req->segments[7], false), *body = sl_json_parse(f.a, req->body, &err);
    if (old == NULL)
        no_table(&f, req, resp, req->segments[7]);
    else {
        sl_val *meta = sl_map_shallow(f.a, old);
        bool ok = true;
        const sl_val *fields = sl_get(sl_get(body, "schema"), "fields"), *have = sl_get(sl_get(old, "schema"), "fields");
        for (size_t i = sl_val_count(have); ok && i < sl_val_count(fields); i++) /* columns can only be added at the end */
            ok = run(&f, req, resp, sl_fmt(f.a, "ALTER TABLE %.*s.%.*s ADD COLUMN %.*s %.*s", SL_ARG(sl_duck_ident(f.a, bq_schema(f.a, f.project, req->segments[5]))), SL_ARG(sl_duck_ident(f.a, req->segments[7])),
                                           SL_ARG(sl_duck_ident(f.a, sl_get_text(sl_at(fields, i), "name"))), SL_ARG(gs_duck_type(f.a, sl_at(fields, i)))));
        for (size_t i = 0; i < sl_val_count(body); i++)
            sl_map_set(f.a, meta, body->map.entries[i].key, body->map.entries[i].value);
        if (ok && bq_remember_table(f.k, f.a, sl_get(old, "tableReference"), meta, &err))
            sl_respond_json(req, resp, 200, bq_table(f.c, f.k, f.a, f.project, req->segments[5], req->segments[7], true));
    }
    leave(&f);
}

/* DELETE …/tables/t$20240131 empties that partition. */
static void partition_delete(face *f, sl_server_request *req, sl_server_response *resp, const sl_val *table, sl_str id)
{
    sl_str expression = bq_partition_sql(f->a, table);
    if (expression.n == 0)
        sl_cloud_refuse(req, resp, 400, "invalid", "Table %.*s is not partitioned by a column", SL_ARG(sl_get_text(sl_get(table, "tableReference"), "tableId")));
    else if (run(f, req, resp, sl_fmt(f->a, "DELETE FROM %.*s WHERE %.*s = %.*s", SL_ARG(bq_table_sql(f->a, sl_get(table, "tableReference"))), SL_ARG(expression), SL_ARG(sl_duck_text(f->a, id)))))
        resp->status = 204;
}

static void table_delete(void *self, sl_server_request *req, sl_server_response *resp)
{
    face f;
    sl_err err;
    if (!enter(&f, self, req, resp))
        return;
    const sl_val *t = bq_table(f.c, f.k, f.a, f.project, req->segments[5], req->segments[7], false), *ref = sl_get(t, "tableReference");
    if (t == NULL)
        no_table(&f, req, resp, req->segments[7]);
    else if (bq_partition_of(req->segments[7]).n > 0)
        partition_delete(&f, req, resp, t, bq_partition_of(req->segments[7]));
    else {
        bool view = !sl_str_eqc(sl_get_text(t, "type"), "TABLE");
        if (run(&f, req, resp, sl_fmt(f.a, "DROP %s %.*s", view ? "VIEW" : "TABLE", SL_ARG(bq_table_sql(f.a, ref)))) && bq_forget_table(f.k, f.a, ref, &err))
            resp->status = 204;
    }
    leave(&f);
}

static void table_list(void *self, sl_server_request *req, sl_server_response *resp)
{
    face f;
    sl_err err;
    const sl_val *rows = NULL;
    if (!enter(&f, self, req, resp))
        return;
    if (bq_dataset(f.c, f.k, f.a, f.project, req->segments[5]) == NULL)
        no_dataset(&f, req, resp, req->segments[5]);
    else {
        sl_val *doc = sl_map(f.a), *list = sl_list(f.a);
        (void)sl_duck_run(f.k, f.a, sl_fmt(f.a, "SELECT table_name FROM information_schema.tables WHERE table_schema=%.*s ORDER BY table_name", SL_ARG(sl_duck_text(f.a, bq_schema(f.a, f.project, req->segments[5])))), &rows, NULL, &err);
        for (size_t i = 0; i < sl_val_count(rows); i++)
            sl_list_add(f.a, list, bq_table(f.c, f.k, f.a, f.project, req->segments[5], sl_text(sl_at(sl_at(rows, i), 0)), false));
        sl_map_set_str(f.a, doc, "kind", SL_S("bigquery#tableList"));
        sl_map_setc(f.a, doc, "tables", list);
        sl_map_set_int(f.a, doc, "totalItems", (int64_t)list->list.n);
        sl_respond_json(req, resp, 200, doc);
    }
    leave(&f);
}

/* ---- rows ---- */

enum { PAGE_MAX = 10000 };

/* Fills rows, totalRows, pageToken of a table's page. */
static bool add_page(face *f, sl_server_request *req, sl_str from, const sl_val *fields, sl_val *doc, sl_err *err)
{
    const sl_val *count;
    int64_t offset = 0, limit = PAGE_MAX, total = 0;
    sl_str token = sl_request_param(req, "pageToken"), plain;
    if (token.n > 0 && sl_base64_decode(f->a, token, &plain))
        (void)sl_parse_int(plain, &offset);
    else
        (void)sl_parse_int(sl_request_param(req, "startIndex"), &offset);
    bool limited = sl_parse_int(sl_request_param(req, "maxResults"), &limit);
    if (limit > PAGE_MAX || limit < 0)
        limit = PAGE_MAX;
    bool micros = sl_str_eqc(sl_request_param(req, "formatOptions.useInt64Timestamp"), "true") || sl_str_ieq(sl_request_param(req, "formatOptions.useInt64Timestamp"), SL_S("true"));
    if (!sl_duck_run(f->k, f->a, sl_fmt(f->a, "SELECT CAST(count(*) AS VARCHAR) FROM %.*s", SL_ARG(from)), &count, NULL, err))
        return false;
    (void)sl_parse_int(sl_text(sl_at(sl_at(count, 0), 0)), &total);
    sl_val *rows = sl_list(f->a);
    if (!(limited && limit == 0) && !bq_rows(f->k, f->a, from, fields, offset, limit, micros, rows, err))
        return false;
    sl_map_set_str(f->a, doc, "totalRows", sl_fmt(f->a, "%lld", (long long)total));
    if (rows->list.n > 0)
        sl_map_setc(f->a, doc, "rows", rows);
    int64_t next = offset + (int64_t)rows->list.n;
    if (next < total && rows->list.n > 0)
        sl_map_set_str(f->a, doc, "pageToken", sl_base64url(f->a, sl_fmt(f->a, "%lld", (long long)next)));
    return true;
}

static void table_data(void *self, sl_server_request *req, sl_server_response *resp)
{
    face f;
    sl_err err;
    if (!enter(&f, self, req, resp))
        return;
    bool anonymous = sl_str_eqc(req->segments[5], "_anon");
    const sl_val *fields = bq_fields(f.k, f.a, f.project, anonymous ? SL_S("") : req->segments[5], req->segments[7]);
    if (fields == NULL)
        no_table(&f, req, resp, req->segments[7]);
    else {
        sl_val *doc = sl_map(f.a);
        sl_str schema = anonymous ? SL_S("_sl") : sl_duck_ident(f.a, bq_schema(f.a, f.project, req->segments[5]));
        sl_map_set_str(f.a, doc, "kind", SL_S("bigquery#tableDataList"));
        if (add_page(&f, req, sl_fmt(f.a, "%.*s.%.*s", SL_ARG(schema), SL_ARG(sl_duck_ident(f.a, req->segments[7]))), fields, doc, &err))
            sl_respond_json(req, resp, 200, doc);
        else
            sl_cloud_refuse(req, resp, 400, "invalid", "%s", err.message);
    }
    leave(&f);
}

/* ---- jobs and queries ---- */

static void job_insert(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    sl_err err;
    if (!sl_cloud_authorized(c, req, resp))
        return;
    const sl_val *body = sl_json_parse(req->arena, req->body, &err);
    if (!sl_is(sl_get(body, "configuration"), SL_MAP)) {
        sl_cloud_refuse(req, resp, 400, "parseError", "Parse Error: the body is not a job");
        return;
    }
    const sl_val *job = bq_job_submit(c, req, resp, req->segments[3], body);
    if (job != NULL)
        sl_respond_json(req, resp, 200, job);
}

static const sl_val *job_or_404(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_str id)
{
    if (!sl_cloud_authorized(c, req, resp))
        return NULL;
    const sl_val *job = bq_job_get(c, req->arena, req->segments[3], id);
    sl_str location = sl_request_param(req, "location"), actual = sl_get_text(sl_get(job, "jobReference"), "location");
    bool multi = sl_str_ieq(actual, SL_S("US")) || sl_str_ieq(actual, SL_S("EU"));
    /* Outside of the multi-regions a job is only found by who names its location. */
    if (job == NULL || (location.n > 0 ? !sl_str_ieq(location, actual) : !multi)) {
        sl_cloud_refuse(req, resp, 404, "notFound", "Not found: Job %.*s:%.*s", SL_ARG(req->segments[3]), SL_ARG(id));
        return NULL;
    }
    return job;
}

static void job_get(void *self, sl_server_request *req, sl_server_response *resp)
{
    const sl_val *job = job_or_404(self, req, resp, req->segments[5]);
    if (job != NULL)
        sl_respond_json(req, resp, 200, job);
}

static void job_cancel(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    const sl_val *job = job_or_404(c, req, resp, req->segments[5]);
    if (job == NULL)
        return;
    sl_str key = sl_fmt(req->arena, "%.*s/%.*s", SL_ARG(req->segments[3]), SL_ARG(req->segments[5]));
    pthread_mutex_lock(&c->lock);
    for (bq_running *r = c->running; r != NULL; r = r->next)
        if (sl_str_eqc(key, r->id))
            sl_duck_interrupt(r->con);
    pthread_mutex_unlock(&c->lock);
    sl_val *doc = sl_map(req->arena);
    sl_map_set_str(req->arena, doc, "kind", SL_S("bigquery#jobCancelResponse"));
    sl_map_setc(req->arena, doc, "job", job);
    sl_respond_json(req, resp, 200, doc);
}

static void job_list(void *self, sl_server_request *req, sl_server_response *resp)
{
    face f;
    sl_err err;
    const sl_val *rows = NULL;
    if (!enter(&f, self, req, resp))
        return;
    sl_val *doc = sl_map(f.a), *list = sl_list(f.a);
    sl_str parent = sl_request_param(req, "parentJobId"), of = parent.n > 0 ? sl_fmt(f.a, "parent=%.*s", SL_ARG(sl_duck_text(f.a, parent))) : SL_S("parent IS NULL");
    /* The token is the offset: jobs are only ever added, at the front, so that a page may repeat some but leaves none out. */
    int64_t offset = 0, limit = 0;
    (void)sl_parse_int(sl_request_param(req, "pageToken"), &offset);
    if (!sl_parse_int(sl_request_param(req, "maxResults"), &limit) || limit < 1 || limit > 1000)
        limit = 1000;
    (void)sl_duck_run(f.k, f.a, sl_fmt(f.a, "SELECT job FROM _sl.jobs WHERE project=%.*s AND %.*s ORDER BY created DESC, id DESC LIMIT %lld OFFSET %lld", SL_ARG(sl_duck_text(f.a, f.project)), SL_ARG(of), (long long)limit,
                                       (long long)offset), &rows, NULL, &err);
    for (size_t i = 0; i < sl_val_count(rows); i++)
        sl_list_add(f.a, list, sl_json_parse(f.a, sl_text(sl_at(sl_at(rows, i), 0)), &err));
    sl_map_set_str(f.a, doc, "kind", SL_S("bigquery#jobList"));
    if (list->list.n == (size_t)limit)
        sl_map_set_str(f.a, doc, "nextPageToken", sl_fmt(f.a, "%lld", (long long)(offset + limit)));
    sl_map_setc(f.a, doc, "jobs", list);
    sl_respond_json(req, resp, 200, doc);
    leave(&f);
}

static void respond_results(face *f, sl_server_request *req, sl_server_response *resp, const sl_val *job)
{
    sl_err err;
    sl_val *doc = sl_map(f->a), *schema = sl_map(f->a);
    const sl_val *status = sl_get(job, "status"), *error = sl_get(status, "errorResult"), *query = sl_get(sl_get(job, "statistics"), "query");
    bool done = sl_str_eqc(sl_get_text(status, "state"), "DONE");
    sl_map_set_str(f->a, doc, "kind", SL_S("bigquery#getQueryResultsResponse"));
    sl_map_setc(f->a, doc, "jobReference", sl_get(job, "jobReference"));
    sl_map_set_bool(f->a, doc, "jobComplete", done);
    sl_map_set_bool(f->a, doc, "cacheHit", false);
    if (error != NULL) {
        sl_str reason = sl_get_text(error, "reason");
        sl_cloud_refuse(req, resp, sl_str_eqc(reason, "notFound") ? 404 : sl_str_eqc(reason, "duplicate") ? 409 : 400, reason.p, "%.*s", SL_ARG(sl_get_text(error, "message")));
        return;
    }
    sl_map_set_str(f->a, doc, "totalBytesProcessed", SL_S("0"));
    if (sl_get(query, "numDmlAffectedRows") != NULL)
        sl_map_setc(f->a, doc, "numDmlAffectedRows", sl_get(query, "numDmlAffectedRows"));
    const sl_val *to = sl_get(sl_get(sl_get(job, "configuration"), "query"), "destinationTable");
    sl_str kind = sl_get_text(query, "statementType");
    if (done && to != NULL && (sl_str_eqc(kind, "SELECT") || sl_str_eqc(kind, "SCRIPT"))) {
        bool anonymous = sl_str_eqc(sl_get_text(to, "datasetId"), "_anon");
        sl_str table = sl_get_text(to, "tableId"), prefix = anonymous ? SL_S("_sl") : sl_duck_ident(f->a, bq_schema(f->a, sl_get_text(to, "projectId"), sl_get_text(to, "datasetId")));
        const sl_val *fields = bq_fields(f->k, f->a, sl_get_text(to, "projectId"), anonymous ? SL_S("") : sl_get_text(to, "datasetId"), table);
        sl_map_setc(f->a, schema, "fields", fields ? fields : sl_list(f->a));
        sl_map_setc(f->a, doc, "schema", schema);
        if (fields != NULL && !add_page(f, req, sl_fmt(f->a, "%.*s.%.*s", SL_ARG(prefix), SL_ARG(sl_duck_ident(f->a, table))), fields, doc, &err)) {
            sl_cloud_refuse(req, resp, 500, "internalError", "%s", err.message);
            return;
        }
    } else if (done)
        sl_map_set_str(f->a, doc, "totalRows", SL_S("0"));
    sl_respond_json(req, resp, 200, doc);
}

static void query_results(void *self, sl_server_request *req, sl_server_response *resp)
{
    face f;
    int64_t timeout = 10000, waited = 0;
    if (!enter(&f, self, req, resp))
        return;
    (void)sl_parse_int(sl_request_param(req, "timeoutMs"), &timeout);
    const sl_val *job = job_or_404(f.c, req, resp, req->segments[5]);
    while (job != NULL && !sl_str_eqc(sl_get_text(sl_get(job, "status"), "state"), "DONE") && waited < timeout && waited < 60000) {
        sl_sleep_ms(20);
        waited += 20;
        job = bq_job_get(f.c, f.a, f.project, req->segments[5]);
    }
    if (job != NULL)
        respond_results(&f, req, resp, job);
    leave(&f);
}

/* jobs.query: a job under an id of ours, answered with its first page. */
static void query_post(void *self, sl_server_request *req, sl_server_response *resp)
{
    face f;
    sl_err err;
    if (!enter(&f, self, req, resp))
        return;
    const sl_val *body = sl_json_parse(f.a, req->body, &err);
    sl_val *job = sl_map(f.a), *conf = sl_map(f.a), *query = sl_map(f.a), *ref = sl_map(f.a), *params = sl_map_shallow(f.a, req->params);
    static const char *const kept[] = { "query", "useLegacySql", "defaultDataset", "useQueryCache", "queryParameters", "parameterMode" };
    for (size_t i = 0; i < SL_COUNT(kept); i++)
        if (sl_get(body, kept[i]) != NULL)
            sl_map_setc(f.a, query, kept[i], sl_get(body, kept[i]));
    if (sl_get_text(body, "location").n > 0)
        sl_map_set_str(f.a, ref, "location", sl_get_text(body, "location"));
    if (sl_get(body, "maxResults") != NULL)
        sl_map_set_str(f.a, params, "maxResults", sl_val_text(f.a, sl_get(body, "maxResults")));
    if (sl_get_bool(sl_get(body, "formatOptions"), "useInt64Timestamp", false))
        sl_map_set_str(f.a, params, "formatOptions.useInt64Timestamp", SL_S("true"));
    req->params = params;
    sl_map_setc(f.a, conf, "query", query);
    if (sl_get_bool(body, "dryRun", false))
        sl_map_set_bool(f.a, conf, "dryRun", true);
    sl_map_setc(f.a, job, "configuration", conf);
    sl_map_setc(f.a, job, "jobReference", ref);
    const sl_val *done = bq_job_submit(f.c, req, resp, f.project, job);
    for (int i = 0; done != NULL && !sl_str_eqc(sl_get_text(sl_get(done, "status"), "state"), "DONE") && i < 500; i++) {
        sl_sleep_ms(20);
        done = bq_job_get(f.c, f.a, f.project, sl_get_text(sl_get(done, "jobReference"), "jobId"));
    }
    if (done != NULL)
        respond_results(&f, req, resp, done);
    leave(&f);
}

/* Routines and models: there are none here. */
static void none_list(void *self, sl_server_request *req, sl_server_response *resp)
{
    if (sl_cloud_authorized(self, req, resp))
        sl_respond_json(req, resp, 200, sl_map(req->arena));
}

static void project_list(void *self, sl_server_request *req, sl_server_response *resp)
{
    const sl_cloud *c = self;
    sl_arena *a = req->arena;
    sl_val *doc = sl_map(a), *list = sl_list(a), *one = sl_map(a);
    if (!sl_cloud_authorized(self, req, resp))
        return;
    sl_str id = c->project;
    sl_map_set_str(a, one, "kind", SL_S("bigquery#project"));
    sl_map_set_str(a, one, "id", id);
    sl_map_set_str(a, one, "numericId", SL_S("1"));
    sl_map_set_str(a, one, "friendlyName", id);
    sl_map_setc(a, one, "projectReference", sl_map_of(a, "projectId", sl_val_str(a, id)));
    sl_list_add(a, list, one);
    sl_map_set_str(a, doc, "kind", SL_S("bigquery#projectList"));
    sl_map_setc(a, doc, "projects", list);
    sl_map_set_int(a, doc, "totalItems", 1);
    sl_respond_json(req, resp, 200, doc);
}

#define P "/bigquery/v2/projects/+/"
const sl_route sl_bq_routes[] = {
    { .method = "GET", .pattern = P "datasets", .handle = dataset_list },
    { .method = "POST", .pattern = P "datasets", .handle = dataset_insert },
    { .method = "GET", .pattern = P "datasets/+", .handle = dataset_get },
    { .method = "PATCH", .pattern = P "datasets/+", .handle = dataset_patch },
    { .method = "PUT", .pattern = P "datasets/+", .handle = dataset_patch },
    { .method = "DELETE", .pattern = P "datasets/+", .handle = dataset_delete },
    { .method = "GET", .pattern = P "datasets/+/tables", .handle = table_list },
    { .method = "POST", .pattern = P "datasets/+/tables", .handle = table_insert },
    { .method = "GET", .pattern = P "datasets/+/tables/+", .handle = table_get },
    { .method = "PATCH", .pattern = P "datasets/+/tables/+", .handle = table_patch },
    { .method = "PUT", .pattern = P "datasets/+/tables/+", .handle = table_patch },
    { .method = "DELETE", .pattern = P "datasets/+/tables/+", .handle = table_delete },
    { .method = "GET", .pattern = P "datasets/+/tables/+/data", .handle = table_data },
    { .method = "POST", .pattern = P "datasets/+/tables/+/insertAll", .handle = bq_insert_all },
    { .method = "GET", .pattern = P "datasets/+/routines", .handle = none_list },
    { .method = "GET", .pattern = P "datasets/+/models", .handle = none_list },
    { .method = "GET", .pattern = "/bigquery/v2/projects", .handle = project_list },
    { .method = "GET", .pattern = P "jobs", .handle = job_list },
    { .method = "POST", .pattern = P "jobs", .handle = job_insert },
    { .method = "GET", .pattern = P "jobs/+", .handle = job_get },
    { .method = "POST", .pattern = P "jobs/+/cancel", .handle = job_cancel },
    { .method = "GET", .pattern = P "queries/+", .handle = query_results },
    { .method = "POST", .pattern = P "queries", .handle = query_post },
    { 0 },
};
