/* service/api/metrics.c: what tasks have counted and measured; misc.c has the server's own metrics. */
#include "base/arena.h"
#include "base/clock.h"
#include "service/api/api.h"
#include "service/api/execution_call.h"

static sl_str or_empty(sl_str s)
{
    return s.p ? s : SL_S(""); /* a NULL pointer would be SQL's NULL */
}

static void of_execution(sl_call *c)
{
    sl_str ns, flow;
    sl_err err;
    sl_val *list = sl_list(c->arena);
    if (!sl_call_execution(c, c->args[0], &ns, &flow))
        return;
    sl_stmt *q = sl_db_query(sl_store_db(c->store), &err, "SELECT taskrun, task, kind, name, value, at_ms FROM metrics WHERE execution=?1 AND (?2='' OR taskrun=?2) AND (?3='' OR task=?3) ORDER BY seq", "sss", c->args[0],
                             or_empty(sl_query(c, "taskRunId")), or_empty(sl_query(c, "taskId")));
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, &err)) == 1) {
        sl_val *one = sl_map(c->arena);
        double value = 0;
        sl_map_set_str(c->arena, one, "namespace", ns);
        sl_map_set_str(c->arena, one, "flowId", flow);
        sl_map_set_str(c->arena, one, "executionId", c->args[0]);
        sl_map_set_str(c->arena, one, "taskRunId", sl_col_str(q, c->arena, 0));
        sl_map_set_str(c->arena, one, "taskId", sl_col_str(q, c->arena, 1));
        sl_map_set_str(c->arena, one, "type", sl_col_str(q, c->arena, 2));
        sl_map_set_str(c->arena, one, "name", sl_col_str(q, c->arena, 3));
        (void)sl_parse_double(sl_col_str(q, c->arena, 4), &value);
        sl_map_setc(c->arena, one, "value", sl_val_double(c->arena, value));
        sl_map_set_str(c->arena, one, "timestamp", sl_time_rfc3339(c->arena, sl_col_int(q, 5)));
        sl_list_add(c->arena, list, one);
    }
    if (rc == 0)
        sl_reply_page(c, list, (int64_t)list->list.n);
    else
        sl_reply_err(c, &err);
}

static void names(sl_call *c)
{
    sl_err err;
    sl_val *list = sl_list(c->arena);
    sl_stmt *q = sl_db_query(sl_store_db(c->store), &err, "SELECT DISTINCT m.name FROM executions x JOIN metrics m ON m.execution=x.id WHERE x.ns=?1 AND x.flow_id=?2 AND (?3='' OR m.task=?3) ORDER BY m.name", "sss", c->args[0],
                             c->args[1], or_empty(sl_query(c, "taskId")));
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, &err)) == 1)
        sl_list_add(c->arena, list, sl_val_str(c->arena, sl_col_str(q, c->arena, 0)));
    if (rc == 0)
        sl_reply(c, 200, list);
    else
        sl_reply_err(c, &err);
}

/* How finely a span of time is cut: its name, and strftime's pattern. */
static const char *grouping(int64_t span_ms, const char **ret_pattern)
{
    static const struct {
        int64_t hours;
        const char *name, *pattern;
    } steps[] = { { 365 * 24, "month", "%Y-%m-01T00:00:00Z" }, { 24, "day", "%Y-%m-%dT00:00:00Z" }, { 1, "hour", "%Y-%m-%dT%H:00:00Z" }, { -1, "minute", "%Y-%m-%dT%H:%M:00Z" } };
    size_t i = 0;
    while (span_ms / 3600000 <= steps[i].hours)
        i++;
    *ret_pattern = steps[i].pattern;
    return steps[i].name;
}

static void aggregates(sl_call *c)
{
    sl_str how = sl_query(c, "aggregation").n ? sl_str_lower(c->arena, sl_query(c, "aggregation")) : SL_S("sum");
    const char *pattern;
    int64_t from, to;
    sl_err err;
    if (!sl_str_eqc(how, "sum") && !sl_str_eqc(how, "avg") && !sl_str_eqc(how, "min") && !sl_str_eqc(how, "max")) {
        sl_reply_error(c, 422, "Invalid entity: 'aggregation' must be sum, avg, min or max, not '%.*s'", SL_ARG(how));
        return;
    }
    if (!sl_query_time(c, "startDate", &from) || !sl_query_time(c, "endDate", &to))
        return;
    to = to ? to : sl_now_ms();
    from = from ? from : to - INT64_C(30) * 86400000;
    const char *group = grouping(to - from, &pattern);
    sl_val *list = sl_list(c->arena), *out = sl_map_of(c->arena, "groupBy", sl_val_c(c->arena, group));
    sl_stmt *q = sl_db_query(sl_store_db(c->store), &err,
                             "SELECT strftime(?7, m.at_ms / 1000, 'unixepoch') AS at, CAST(CASE ?8 WHEN 'sum' THEN sum(m.value) WHEN 'avg' THEN avg(m.value) WHEN 'min' THEN min(m.value) ELSE max(m.value) END AS TEXT)"
                             " FROM executions x JOIN metrics m ON m.execution=x.id WHERE x.ns=?1 AND x.flow_id=?2 AND m.name=?3 AND m.at_ms>=?4 AND m.at_ms<=?5 AND (?6='' OR m.task=?6) GROUP BY at ORDER BY at",
                             "sssiisss", c->args[0], c->args[1], c->args[2], from, to, or_empty(sl_query(c, "taskId")), sl_str_c(pattern), how);
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, &err)) == 1) {
        double value = 0;
        (void)sl_parse_double(sl_col_str(q, c->arena, 1), &value);
        sl_val *one = sl_map_of(c->arena, "name", sl_val_str(c->arena, c->args[2]));
        sl_map_setc(c->arena, one, "value", sl_val_double(c->arena, value));
        sl_map_set_str(c->arena, one, "date", sl_col_str(q, c->arena, 0));
        sl_list_add(c->arena, list, one);
    }
    sl_map_setc(c->arena, out, "aggregations", list);
    if (rc == 0)
        sl_reply(c, 200, out);
    else
        sl_reply_err(c, &err);
}

const sl_api_route sl_api_metrics[] = {
    { "GET", "/metrics/names/{namespace}/{flowId}", SL_ROLE_VIEWER, SL_BODY_NONE, "taskId", "Names of the metrics that a flow's tasks have given.", names },
    { "GET", "/metrics/aggregates/{namespace}/{flowId}/{metric}", SL_ROLE_VIEWER, SL_BODY_NONE, "aggregation startDate endDate taskId", "A metric over time: by month, day, hour or minute.", aggregates },
    { "GET", "/metrics/{executionId}", SL_ROLE_VIEWER, SL_BODY_NONE, "taskRunId taskId", "Metrics of an execution.", of_execution },
    { 0 },
};
