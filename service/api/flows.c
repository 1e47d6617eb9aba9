/* service/api/flows.c: flows and their revisions. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/yaml.h"
#include "service/api/api.h"
#include "service/api/execution_call.h"
#include "service/api/flow_call.h"

const sl_val *sl_call_flow_json(sl_call *c, const sl_flow_row *row, bool source)
{
    sl_err err;
    sl_arena *a = c->arena;
    const sl_val *doc = sl_yaml_parse(a, row->source, &err);
    sl_val *out = sl_map(a), *labels = sl_list(a);
    sl_map_set_str(a, out, "id", row->id);
    sl_map_set_str(a, out, "namespace", row->ns);
    sl_map_set_int(a, out, "revision", row->revision);
    for (size_t i = 0; sl_is(doc, SL_MAP) && i < doc->map.n; i++)
        if (sl_get_str(out, doc->map.entries[i].key) == NULL)
            sl_map_set(a, out, doc->map.entries[i].key, doc->map.entries[i].value);
    const sl_val *given = sl_get(doc, "labels");
    for (size_t i = 0; sl_is(given, SL_MAP) && i < given->map.n; i++) {
        sl_val *one = sl_map(a);
        sl_map_set_str(a, one, "key", given->map.entries[i].key);
        sl_map_set_str(a, one, "value", sl_val_text(a, given->map.entries[i].value));
        sl_list_add(a, labels, one);
    }
    if (labels->list.n > 0)
        sl_map_setc(a, out, "labels", labels);
    sl_map_set_bool(a, out, "disabled", row->disabled);
    sl_map_set_bool(a, out, "deleted", row->deleted);
    if (source)
        sl_map_set_str(a, out, "source", row->source);
    return out;
}

static void set_etag(sl_call *c, int64_t revision)
{
    c->resp->headers = sl_map_of(c->arena, "ETag", sl_val_str(c->arena, sl_fmt(c->arena, "\"%lld\"", (long long)revision)));
}

static void reply_flow(sl_call *c, sl_str ns, sl_str id, bool source)
{
    sl_flow_row row;
    bool found;
    sl_err err;
    int64_t revision = 0;
    (void)sl_parse_int(sl_query(c, "revision"), &revision);
    if (!sl_repository_flow(c->store, c->arena, ns, id, revision, &row, &found, &err)) {
        sl_reply_err(c, &err);
        return;
    }
    if (!found || (row.deleted && !sl_query_bool(c, "allowDeleted", false))) {
        sl_reply_error(c, 404, "Not Found");
        return;
    }
    sl_reply(c, 200, sl_call_flow_json(c, &row, source));
    set_etag(c, row.revision);
}

/* ---- writing ---- */

bool sl_call_flow_parse(sl_call *c, sl_str source, sl_flow **ret)
{
    sl_problems problems = { .arena = c->arena };
    *ret = sl_flow_parse(c->arena, sl_engine_registry(c->engine), sl_engine_settings(c->engine)->plugin_defaults, source, &problems);
    if (*ret == NULL)
        sl_reply_problems(c, &problems);
    return *ret != NULL && sl_call_may(c, (*ret)->ns);
}

bool sl_call_flows_put(sl_call *c, sl_flow_change *change)
{
    sl_err err;
    change->author = sl_str_c(c->who.name);
    if (sl_flows_put(c->engine, change, &err))
        return true;
    sl_reply_err(c, &err);
    return false;
}

/* If-Match: "REVISION": nothing is changed when somebody else was quicker. */
static bool precondition(sl_call *c, int64_t *ret)
{
    sl_str v = sl_str_trim(sl_request_header(c->req, "if-match"));
    *ret = -1;
    if (v.n == 0 || sl_str_eqc(v, "*"))
        return true;
    if (v.n > 2 && v.p[0] == '"' && sl_parse_int(sl_str_sub(v, 1, v.n - 1), ret))
        return true;
    sl_reply_error(c, 400, "Bad Request: If-Match takes the ETag that the flow was read with");
    return false;
}

static void create(sl_call *c)
{
    sl_flow *flow;
    sl_flow_change change = { .flows = &flow, .count = 1, .must_be_new = true };
    if (sl_call_flow_parse(c, c->body, &flow) && sl_call_flows_put(c, &change))
        reply_flow(c, flow->ns, flow->id, true);
}

static void update(sl_call *c)
{
    sl_flow *flow;
    sl_flow_change change = { .flows = &flow, .count = 1, .must_exist = true };
    if (!precondition(c, &change.if_revision) || !sl_call_flow_parse(c, c->body, &flow))
        return;
    if (!sl_str_eq(flow->id, c->args[1]) || !sl_str_eq(flow->ns, c->args[0]))
        sl_reply_error(c, 422, "Invalid entity: %s", sl_str_eq(flow->id, c->args[1]) ? "Illegal namespace update" : "Illegal flow id update");
    else if (sl_call_flows_put(c, &change))
        reply_flow(c, flow->ns, flow->id, true);
}

static void remove_flow(sl_call *c)
{
    sl_flow_change change = { .delete_ns = c->args[0], .delete_id = c->args[1] };
    if (sl_call_flows_put(c, &change))
        sl_reply_empty(c, 204);
}

bool sl_call_flows_parse(sl_call *c, sl_str text, sl_flow ***flows, size_t *n)
{
    sl_str rest = text, document;
    while (sl_yaml_cut(&rest, &document)) {
        sl_flow *flow;
        if (sl_str_trim(document).n == 0)
            continue;
        if (!sl_call_flow_parse(c, document, &flow))
            return false;
        if ((*n & (*n - 1)) == 0) /* a power of two, or none: the array is full */
            *flows = sl_realloc(c->arena, *flows, *n * sizeof **flows, (*n ? *n * 2 : 1) * sizeof **flows);
        (*flows)[(*n)++] = flow;
    }
    return true;
}

static void reply_many(sl_call *c, sl_flow **flows, size_t n)
{
    sl_val *list = sl_list(c->arena);
    for (size_t i = 0; i < n; i++) {
        sl_flow_row row;
        bool found;
        sl_err err;
        if (!sl_repository_flow(c->store, c->arena, flows[i]->ns, flows[i]->id, 0, &row, &found, &err)) {
            sl_reply_err(c, &err);
            return;
        }
        sl_list_add(c->arena, list, sl_call_flow_json(c, &row, true));
    }
    sl_reply(c, 200, list);
}

static void bulk(sl_call *c)
{
    sl_flow **flows = NULL;
    size_t n = 0;
    if (sl_query_bool(c, "delete", false)) {
        sl_reply_error(c, 422, "Illegal argument: delete=true is not supported over all namespaces; POST /flows/{namespace}?delete=true replaces the flows of one");
        return;
    }
    if (!sl_call_flows_parse(c, c->body, &flows, &n))
        return;
    sl_flow_change change = { .flows = flows, .count = n, .if_revision = -1 };
    if (sl_call_flows_put(c, &change))
        reply_many(c, flows, n);
}

static void replace_namespace(sl_call *c)
{
    sl_flow **flows = NULL;
    size_t n = 0;
    if (!sl_call_flows_parse(c, c->body, &flows, &n))
        return;
    for (size_t i = 0; i < n; i++)
        if (!sl_str_eq(flows[i]->ns, c->args[0])) {
            sl_reply_error(c, 422, "Invalid entity: the flow '%.*s' is of the namespace '%.*s', not '%.*s'", SL_ARG(flows[i]->id), SL_ARG(flows[i]->ns), SL_ARG(c->args[0]));
            return;
        }
    sl_flow_change change = { .flows = flows, .count = n, .if_revision = -1 };
    if (sl_query_bool(c, "delete", true))
        change.only_ns = c->args[0];
    if (sl_call_flows_put(c, &change))
        reply_many(c, flows, n);
}

/* ---- reading ---- */

static void get(sl_call *c)
{
    reply_flow(c, c->args[0], c->args[1], sl_query_bool(c, "source", false));
}

#define VISIBLE "(?1 = '' OR f.ns = ?1 OR substr(f.ns, 1, length(?1) + 1) = ?1 || '.') AND (?2 = '' OR f.ns = ?2 OR substr(f.ns, 1, length(?2) + 1) = ?2 || '.')" \
                " AND (?3 = '' OR instr(lower(f.id), lower(?3)) OR instr(lower(f.ns), lower(?3)) OR (?4 AND instr(s.source, ?3))) AND f.deleted = 0" \
                " AND (?5 = '' OR NOT EXISTS (SELECT 1 FROM json_each(?5) l WHERE json_extract(f.labels, '$.\"' || json_extract(l.value, '$[0]') || '\"') IS NOT json_extract(l.value, '$[1]')))"

bool sl_call_flows_found(sl_call *c, const sl_flow_search *search, sl_flow_row **rows, size_t *n)
{
    sl_err err;
    size_t capacity = 0;
    sl_str empty = SL_S(""), ns = search->ns.n ? search->ns : empty, text = search->text.n ? search->text : empty;
    sl_stmt *q = sl_db_query(sl_store_db(c->store), &err,
                             "SELECT f.ns, f.id, f.revision, s.source, f.disabled, f.updated_ms FROM flows f JOIN sources s ON s.hash = f.source WHERE " VISIBLE
                             " ORDER BY CASE WHEN ?6 = 'id:asc' THEN f.id END, CASE WHEN ?6 = 'id:desc' THEN f.id END DESC, CASE WHEN ?6 = 'namespace:desc' THEN f.ns END DESC, f.ns, f.id LIMIT ?7 OFFSET ?8",
                             "sssissii", sl_str_c(c->who.ns), ns, text, (int64_t)search->in_source, sl_label_pairs(c->arena, search->labels), search->sort.n ? search->sort : empty, search->size,
                             search->offset);
    int rc = q ? 1 : -1;
    *rows = NULL;
    *n = 0;
    while (q != NULL && (rc = sl_stmt_next(q, &err)) == 1) {
        if (*n == capacity) {
            *rows = sl_realloc(c->arena, *rows, capacity * sizeof **rows, (capacity ? 2 * capacity : 16) * sizeof **rows);
            capacity = capacity ? 2 * capacity : 16;
        }
        (*rows)[(*n)++] = (sl_flow_row){ .ns = sl_col_str(q, c->arena, 0), .id = sl_col_str(q, c->arena, 1), .revision = sl_col_int(q, 2), .source = sl_col_str(q, c->arena, 3), .disabled = sl_col_int(q, 4) != 0 };
    }
    if (rc < 0)
        sl_reply_err(c, &err);
    return rc >= 0;
}

static bool count_flows(sl_call *c, const sl_flow_search *search, int64_t *total)
{
    sl_err err;
    sl_str empty = SL_S("");
    sl_stmt *q = sl_db_query(sl_store_db(c->store), &err, "SELECT count(*) FROM flows f JOIN sources s ON s.hash = f.source WHERE " VISIBLE, "sssis", sl_str_c(c->who.ns), search->ns.n ? search->ns : empty,
                             search->text.n ? search->text : empty, (int64_t)search->in_source, sl_label_pairs(c->arena, search->labels));
    bool ok = q != NULL && sl_stmt_next(q, &err) == 1;
    if (ok) {
        *total = sl_col_int(q, 0);
        sl_stmt_done(q);
    } else
        sl_reply_err(c, &err);
    return ok;
}

static const sl_val *flows_json(sl_call *c, const sl_flow_row *rows, size_t n, bool source)
{
    sl_val *list = sl_list(c->arena);
    for (size_t i = 0; i < n; i++)
        sl_list_add(c->arena, list, sl_call_flow_json(c, &rows[i], source));
    return list;
}

/* id or namespace, :asc (or nothing) or :desc. false: answered. */
static bool sort_of(sl_call *c, sl_str *ret)
{
    sl_str rest = sl_query(c, "sort"), field;
    if (rest.n == 0)
        return true;
    (void)sl_str_cut(&rest, ':', &field);
    bool known = sl_str_eqc(field, "id") || sl_str_eqc(field, "namespace");
    *ret = sl_fmt(c->arena, "%.*s:%s", SL_ARG(field), rest.p != NULL && sl_str_ieq(rest, SL_S("desc")) ? "desc" : "asc");
    if (!known)
        sl_reply_error(c, 422, "Unprocessable Entity: Invalid sort parameter");
    return known;
}

static void reply_search(sl_call *c, bool in_source)
{
    sl_flow_row *rows;
    size_t n;
    int64_t total;
    sl_flow_search what = { .ns = sl_query_filter(c, "namespace"), .text = sl_query_filter(c, "q"), .in_source = in_source, .labels = sl_query_all(c, "labels") };
    if (sort_of(c, &what.sort) && sl_query_page(c, &what.offset, &what.size) && count_flows(c, &what, &total) && sl_call_flows_found(c, &what, &rows, &n))
        sl_reply_page(c, flows_json(c, rows, n, in_source), total);
}

static void search(sl_call *c)
{
    reply_search(c, false);
}

static void search_source(sl_call *c)
{
    reply_search(c, true);
}

static void of_namespace(sl_call *c)
{
    sl_flow_row *rows;
    size_t n;
    sl_flow_search what = { .ns = c->args[0], .in_source = true, .size = SL_FLOWS_FOUND_MAX };
    if (sl_call_flows_found(c, &what, &rows, &n))
        sl_reply(c, 200, flows_json(c, rows, n, true));
}

static void revisions(sl_call *c)
{
    sl_err err;
    sl_val *list = sl_list(c->arena);
    sl_stmt *q = sl_db_query(sl_store_db(c->store), &err, "SELECT r.revision, s.source, r.deleted, r.author, r.created_ms FROM revisions r JOIN sources s ON s.hash = r.source WHERE r.ns=? AND r.id=? ORDER BY r.revision",
                             "ss", c->args[0], c->args[1]);
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, &err)) == 1) {
        sl_flow_row row = { .ns = c->args[0], .id = c->args[1], .revision = sl_col_int(q, 0), .source = sl_col_str(q, c->arena, 1), .deleted = sl_col_int(q, 2) != 0 };
        sl_val *one = (sl_val *)(uintptr_t)sl_call_flow_json(c, &row, true);
        sl_map_set_str(c->arena, one, "author", sl_col_str(q, c->arena, 3));
        sl_map_set_str(c->arena, one, "updated", sl_time_rfc3339(c->arena, sl_col_int(q, 4)));
        sl_list_add(c->arena, list, one);
    }
    if (rc < 0)
        sl_reply_err(c, &err);
    else if (list->list.n == 0)
        sl_reply_error(c, 404, "Not Found");
    else
        sl_reply(c, 200, list);
}

static void namespaces(sl_call *c)
{
    sl_err err;
    sl_val *list = sl_list(c->arena);
    sl_stmt *q = sl_db_query(sl_store_db(c->store), &err, "SELECT DISTINCT ns FROM flows WHERE deleted=0 AND (?1 = '' OR ns = ?1 OR substr(ns, 1, length(?1) + 1) = ?1 || '.') ORDER BY ns", "s", sl_str_c(c->who.ns));
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, &err)) == 1)
        sl_list_add(c->arena, list, sl_val_str(c->arena, sl_col_str(q, c->arena, 0)));
    if (rc < 0)
        sl_reply_err(c, &err);
    else
        sl_reply(c, 200, list);
}

/* With what plugin defaults put in. */
static void task_of_flow(sl_call *c)
{
    int64_t revision = 0;
    (void)sl_parse_int(sl_query(c, "revision"), &revision);
    sl_flow_ref *ref = sl_call_flow(c, c->args[0], c->args[1], revision);
    if (ref == NULL)
        return;
    const sl_task_def *task = sl_flow_task(ref->flow, c->args[2]);
    if (task != NULL)
        sl_reply(c, 200, task->props);
    else
        sl_reply_error(c, 404, "Not Found: the flow has no task '%.*s'", SL_ARG(c->args[2]));
    sl_flow_cache_put(sl_engine_flows(c->engine), ref);
}

static void of_execution(sl_call *c)
{
    sl_str ns, flow, source;
    int64_t revision;
    sl_err err;
    if (!sl_call_execution(c, c->args[0], &ns, &flow))
        return;
    if (!sl_store_flow_source(c->store, c->arena, c->args[0], &source, &revision, &err)) {
        sl_reply_err(c, &err);
        return;
    }
    sl_flow_row row = { .ns = ns, .id = flow, .source = source, .revision = revision };
    sl_reply(c, 200, sl_call_flow_json(c, &row, false));
}

const sl_api_route sl_api_flows[] = {
    { "GET", "/flows/search", SL_ROLE_VIEWER, SL_BODY_NONE, "q page size sort namespace labels", "Flows that match.", search },
    { "GET", "/flows/source", SL_ROLE_VIEWER, SL_BODY_NONE, "q page size sort namespace labels", "Flows whose text holds something.", search_source },
    { "GET", "/flows/distinct-namespaces", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "Namespaces that have flows.", namespaces },
    { "POST", "/flows/bulk", SL_ROLE_AUTHOR, SL_BODY_YAML, "delete", "Stores several flows: all, or none when one is invalid.", bulk },
    { "POST", "/flows", SL_ROLE_AUTHOR, SL_BODY_YAML, NULL, "Stores a new flow.", create },
    { "GET", "/flows/{namespace}/{id}/revisions", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "All revisions of a flow.", revisions },
    { "GET", "/flows/{namespace}/{id}/tasks/{taskId}", SL_ROLE_VIEWER, SL_BODY_NONE, "revision", "A task of a flow.", task_of_flow },
    { "GET", "/flows/{namespace}/{id}", SL_ROLE_VIEWER, SL_BODY_NONE, "source revision allowDeleted", "A flow.", get },
    { "PUT", "/flows/{namespace}/{id}", SL_ROLE_AUTHOR, SL_BODY_YAML, NULL, "Changes a flow; If-Match keeps two from overwriting each other.", update },
    { "DELETE", "/flows/{namespace}/{id}", SL_ROLE_AUTHOR, SL_BODY_NONE, NULL, "Deletes a flow.", remove_flow },
    { "GET", "/flows/{namespace}", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "All flows of a namespace and below.", of_namespace },
    { "POST", "/flows/{namespace}", SL_ROLE_AUTHOR, SL_BODY_YAML, "delete", "Replaces the flows of a namespace.", replace_namespace },
    { "GET", "/executions/{executionId}/flow", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "The flow as the execution runs it.", of_execution },
    { 0 },
};
