/* service/api/logs.c: logs of executions. */
#include "base/arena.h"
#include "base/json.h"
#include "service/api/api.h"
#include "service/api/execution_call.h"

/* The entries of one execution as Kestra shows them. */
static bool entries(sl_call *c, sl_str id, sl_str ns, sl_str flow, sl_val *into)
{
    const sl_val *list;
    sl_err err;
    sl_level least = SL_TRACE;
    int64_t attempt = -1;
    sl_str task = sl_query(c, "taskId"), run = sl_query(c, "taskRunId"), text = sl_query(c, "q");
    (void)sl_level_parse(sl_query(c, "minLevel"), &least);
    (void)sl_parse_int(sl_query(c, "attempt"), &attempt);
    if (!sl_logs_read(sl_engine_logs(c->engine), c->arena, id, least, &list, &err)) {
        sl_reply_err(c, &err);
        return false;
    }
    for (size_t i = 0; i < sl_val_count(list); i++) {
        const sl_val *e = sl_at(list, i);
        if ((task.n && !sl_str_eq(task, sl_get_text(e, "taskId"))) || (run.n && !sl_str_eq(run, sl_get_text(e, "taskRunId"))) || (attempt >= 0 && sl_get_int(e, "attemptNumber", -1) != attempt)
            || (text.n && sl_str_find(sl_get_text(e, "message"), text) < 0))
            continue;
        sl_val *one = sl_map(c->arena);
        sl_map_set_str(c->arena, one, "namespace", ns);
        sl_map_set_str(c->arena, one, "flowId", flow);
        sl_map_set_str(c->arena, one, "executionId", id);
        for (size_t k = 0; k < e->map.n; k++)
            sl_map_set(c->arena, one, e->map.entries[k].key, e->map.entries[k].value);
        sl_map_set_str(c->arena, one, "thread", SL_S("worker"));
        sl_map_set_bool(c->arena, one, "deleted", false);
        sl_list_add(c->arena, into, one);
    }
    return true;
}

static void of_execution(sl_call *c)
{
    sl_str ns, flow;
    sl_val *list = sl_list(c->arena);
    if (sl_call_execution(c, c->args[0], &ns, &flow) && entries(c, c->args[0], ns, flow, list))
        sl_reply(c, 200, list);
}

static void download(sl_call *c)
{
    sl_str ns, flow;
    sl_val *list = sl_list(c->arena);
    sl_buf b = sl_buf_new(c->arena, 256 << 20);
    if (!sl_call_execution(c, c->args[0], &ns, &flow) || !entries(c, c->args[0], ns, flow, list))
        return;
    for (size_t i = 0; i < list->list.n; i++) {
        const sl_val *e = list->list.items[i];
        sl_buf_fmt(&b, "%.*s %.*s %.*s\n", SL_ARG(sl_get_text(e, "timestamp")), SL_ARG(sl_get_text(e, "level")), SL_ARG(sl_get_text(e, "message")));
    }
    sl_respond_text(c->resp, 200, sl_buf_str(&b));
}

static int by_time(const void *a, const void *b, void *descending)
{
    int order = sl_str_cmp(sl_get_text(*(const sl_val *const *)a, "timestamp"), sl_get_text(*(const sl_val *const *)b, "timestamp"));
    return *(const bool *)descending ? -order : order;
}

/* sort=timestamp:asc|desc. false: answered. */
static bool sort_entries(sl_call *c, sl_val *all)
{
    sl_str rest = sl_query(c, "sort"), field;
    if (rest.n == 0)
        return true;
    (void)sl_str_cut(&rest, ':', &field);
    bool descending = rest.p != NULL && sl_str_ieq(rest, SL_S("desc"));
    if (!sl_str_eqc(field, "timestamp")) {
        sl_reply_error(c, 422, "Unprocessable Entity: Invalid sort parameter");
        return false;
    }
    if (all->list.n > 0)
        qsort_r(all->list.items, all->list.n, sizeof *all->list.items, by_time, &descending);
    return true;
}

/* Newest executions first, their entries in order, until the page is full: a search never reads everything there is. */
static void search(sl_call *c)
{
    enum { EXECUTIONS_MAX = 200 };
    sl_execution_filter f;
    const sl_val *found;
    int64_t total, offset, size;
    sl_err err;
    sl_val *all = sl_list(c->arena), *page = sl_list(c->arena);
    if (!sl_query_page(c, &offset, &size))
        return;
    f = (sl_execution_filter){ .ns = sl_query_filter(c, "namespace"), .flow_id = sl_query_filter(c, "flowId"), .trigger_id = sl_query(c, "triggerId"), .visible_ns = sl_str_c(c->who.ns), .size = EXECUTIONS_MAX };
    if (!sl_query_time(c, "startDate", &f.from_ms) || !sl_query_time(c, "endDate", &f.to_ms))
        return;
    if (!sl_execution_search(c->store, c->arena, &f, &found, &total, &err)) {
        sl_reply_err(c, &err);
        return;
    }
    for (size_t i = 0; i < sl_val_count(found); i++) {
        const sl_val *x = sl_at(found, i);
        if (!entries(c, sl_get_text(x, "id"), sl_get_text(x, "namespace"), sl_get_text(x, "flowId"), all))
            return;
    }
    if (!sort_entries(c, all))
        return;
    for (size_t i = (size_t)offset; i < all->list.n && i < (size_t)(offset + size); i++)
        sl_list_add(c->arena, page, all->list.items[i]);
    sl_reply_page(c, page, (int64_t)all->list.n);
}

static void remove_log(sl_call *c)
{
    sl_str ns, flow;
    sl_err err;
    if (!sl_call_execution(c, c->args[0], &ns, &flow))
        return;
    if (sl_logs_delete(sl_engine_logs(c->engine), c->args[0], &err))
        sl_reply_empty(c, 204);
    else
        sl_reply_err(c, &err);
}

/* Of all executions of a flow. */
static void remove_logs(sl_call *c)
{
    sl_err err;
    sl_stmt *q = sl_db_query(sl_store_db(c->store), &err, "SELECT id FROM executions WHERE ns=? AND flow_id=?", "ss", c->args[0], c->args[1]);
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, &err)) == 1)
        if (!sl_logs_delete(sl_engine_logs(c->engine), sl_col_str(q, c->arena, 0), &err)) {
            sl_stmt_done(q);
            rc = -1;
            break;
        }
    if (rc < 0)
        sl_reply_err(c, &err);
    else
        sl_reply_empty(c, 204);
}

const sl_api_route sl_api_logs[] = {
    { "GET", "/logs/search", SL_ROLE_VIEWER, SL_BODY_NONE, "q page size namespace flowId triggerId minLevel startDate endDate sort", "Entries of the newest executions that match.", search },
    { "GET", "/logs/{executionId}", SL_ROLE_VIEWER, SL_BODY_NONE, "minLevel taskRunId taskId attempt", "The log of an execution.", of_execution },
    { "GET", "/logs/{executionId}/download", SL_ROLE_VIEWER, SL_BODY_NONE, "minLevel taskRunId taskId attempt", "The log as text.", download },
    { "GET", "/logs/{executionId}/follow", SL_ROLE_VIEWER, SL_BODY_NONE, "minLevel", "Server-sent events: the log so far, then as it grows.", sl_follow_logs },
    { "DELETE", "/logs/{executionId}", SL_ROLE_OPERATOR, SL_BODY_NONE, NULL, "Removes the log of an execution.", remove_log },
    { "DELETE", "/logs/{namespace}/{flowId}", SL_ROLE_OPERATOR, SL_BODY_NONE, NULL, "Removes the logs of all executions of a flow.", remove_logs },
    { 0 },
};
