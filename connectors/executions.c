/* connectors/executions.c: tasks that look at, and clear away, other executions; and switch triggers (flow language 4.6, 4.7, 4.10). */
#include "base/arena.h"
#include "base/ion.h"
#include "base/time.h"
#include "connectors/connectors.h"

#define CORE "io.kestra.plugin.core."

typedef struct executions_cfg {
    sl_str ns, flow_id, execution_id, start, end, level, expression, trigger;
    const sl_val *states, *flows, *namespaces, *tasks, *inputs, *levels;
    bool purge_execution, purge_log, purge_metrics, purge_files, enabled;
    int64_t batch_size;
} executions_cfg;

#define NS { .name = "namespace", .type = SL_OPT_STR, .offset = SL_FIELD(executions_cfg, ns), .doc = "Namespace, with those below it." }
#define FLOW { .name = "flowId", .type = SL_OPT_STR, .offset = SL_FIELD(executions_cfg, flow_id), .doc = "Only of this flow." }
#define START(more) { .name = "startDate", .type = SL_OPT_STR, .offset = SL_FIELD(executions_cfg, start), .flags = more, .doc = "Created then or later (a date-time)." }
#define END(more) { .name = "endDate", .type = SL_OPT_STR, .offset = SL_FIELD(executions_cfg, end), .flags = more, .doc = "Created then or earlier (a date-time)." }
#define STATES { .name = "states", .type = SL_OPT_STRS, .offset = SL_FIELD(executions_cfg, states), .doc = "Only in one of these states." }
#define ID(text) { .name = "executionId", .type = SL_OPT_STR, .offset = SL_FIELD(executions_cfg, execution_id), .doc = text }

static bool take_date(sl_str text, const char *name, int64_t *ret, sl_err *err)
{
    sl_time t;
    *ret = 0;
    if (text.n == 0)
        return true;
    if (!sl_time_parse(text, &t) || t.kind == SL_TIME_OF_DAY)
        return sl_err_set(err, SL_ERR_CONFIG, "execution.date", "'%s' must be a date-time such as 2024-03-30T00:00:00Z, not '%.*s'", name, SL_ARG(text));
    *ret = t.s * 1000 + t.ns / 1000000;
    return true;
}

static bool query_of(const executions_cfg *c, sl_execution_query *q, sl_err *err)
{
    *q = (sl_execution_query){ .ns = c->ns, .flow_id = c->flow_id, .id = c->execution_id, .states = c->states };
    return take_date(c->start, "startDate", &q->start_ms, err) && take_date(c->end, "endDate", &q->end_ms, err);
}

/* ---- execution.PurgeExecutions ---- */

static const sl_opt purge_opts[] = {
    NS, FLOW, START(0), END(SL_REQUIRED), STATES,
    { .name = "purgeExecution", .type = SL_OPT_BOOL, .offset = SL_FIELD(executions_cfg, purge_execution), .fallback = "true", .doc = "Remove the executions." },
    { .name = "purgeLog", .type = SL_OPT_BOOL, .offset = SL_FIELD(executions_cfg, purge_log), .fallback = "true", .doc = "Remove their logs." },
    { .name = "purgeMetric", .type = SL_OPT_BOOL, .offset = SL_FIELD(executions_cfg, purge_metrics), .fallback = "true", .doc = "Remove their metrics." },
    { .name = "purgeStorage", .type = SL_OPT_BOOL, .offset = SL_FIELD(executions_cfg, purge_files), .fallback = "true", .doc = "Remove their files." },
    { .name = "batchSize", .type = SL_OPT_INT, .offset = SL_FIELD(executions_cfg, batch_size), .fallback = "100", .doc = "How many are looked up at a time." },
    { 0 },
};

static const sl_opt purge_outs[] = {
    { .name = "executionsCount", .type = SL_OPT_INT, .doc = "Executions." },
    { .name = "logsCount", .type = SL_OPT_INT, .doc = "Log entries." },
    { .name = "storagesCount", .type = SL_OPT_INT, .doc = "Files." },
    { .name = "metricsCount", .type = SL_OPT_INT, .doc = "Metrics." },
    { 0 },
};

/* All that match when rows stay: else each round finds the next ones. */
static bool purge_all(sl_task *t, const executions_cfg *c, sl_execution_purge *what, int64_t *count, sl_err *err)
{
    sl_execution_query q;
    const sl_val *found;
    if (!query_of(c, &q, err))
        return false;
    q.over = true;
    int64_t limit = what->execution ? (c->batch_size > 0 ? c->batch_size : 100) : -1;
    for (bool more = true; more;) {
        more = false;
        if (!sl_task_find_executions(t, &q, limit, &found, err))
            return false;
        for (size_t i = 0; i < sl_val_count(found); i++) {
            bool removed;
            if (sl_task_cancelled(t))
                return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped after %lld executions", (long long)*count);
            if (!sl_task_purge_execution(t, sl_at(found, i), what, &removed, err))
                return false;
            *count += removed;
            more |= removed && what->execution;
            sl_task_progress(t, *count, -1);
        }
    }
    return true;
}

static sl_outcome purge_run(sl_task *t, void *cfg, sl_err *err)
{
    const executions_cfg *c = cfg;
    sl_execution_purge what = { .execution = c->purge_execution, .log = c->purge_log, .metrics = c->purge_metrics, .files = c->purge_files };
    int64_t count = 0;
    if (!purge_all(t, c, &what, &count, err))
        return SL_TASK_FAILED;
    sl_task_out_int(t, "executionsCount", count);
    sl_task_out_int(t, "logsCount", what.log_count);
    sl_task_out_int(t, "storagesCount", what.file_count);
    sl_task_out_int(t, "metricsCount", what.metric_count);
    sl_task_counter(t, "executions.count", (double)count);
    return SL_TASK_DONE;
}

static const sl_task_type purge = {
    .type = CORE "execution.PurgeExecutions", .aliases = "io.kestra.core.tasks.storages.Purge io.kestra.plugin.core.storage.Purge", .doc = "Removes executions that have ended, with what belongs to them.",
    .cfg_size = sizeof(executions_cfg), .opts = purge_opts, .outs = purge_outs, .run = purge_run,
};

/* ---- execution.Count ---- */

static const sl_opt count_flow_opts[] = {
    { .name = "namespace", .type = SL_OPT_STR, .flags = SL_REQUIRED, .doc = "Namespace of the flow." },
    { .name = "flowId", .type = SL_OPT_STR, .flags = SL_REQUIRED, .doc = "The flow." },
    { 0 },
};

static const sl_opt count_opts[] = {
    { .name = "flows", .type = SL_OPT_LIST, .offset = SL_FIELD(executions_cfg, flows), .sub = count_flow_opts, .doc = "Flows to count the executions of." },
    { .name = "namespaces", .type = SL_OPT_STRS, .offset = SL_FIELD(executions_cfg, namespaces), .doc = "Namespaces whose flows to count." },
    STATES, START(0), END(0),
    { .name = "expression", .type = SL_OPT_STR, .offset = SL_FIELD(executions_cfg, expression), .flags = SL_REQUIRED | SL_LATE, .doc = "Which flows are kept: sees {{ count }}." },
    { 0 },
};

static const sl_opt count_outs[] = {
    { .name = "results", .type = SL_OPT_LIST, .doc = "{namespace, flowId, count} of the flows that are kept." }, { .name = "total", .type = SL_OPT_INT, .doc = "Their sum." }, { 0 },
};

static bool count_one(sl_task *t, const executions_cfg *c, const sl_execution_query *q, sl_val *results, int64_t *total, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    const sl_val *found;
    if (!sl_task_count_executions(t, q, &found, err))
        return false;
    sl_val *none = sl_map_of(a, "namespace", sl_val_str(a, q->ns)), *one = sl_list(a);
    sl_map_set_str(a, none, "flowId", q->flow_id);
    sl_map_set_int(a, none, "count", 0);
    sl_list_add(a, one, none);
    if (sl_val_count(found) == 0 && q->flow_id.n > 0)
        found = one; /* a flow that was named and has none counts 0 */
    for (size_t i = 0; i < sl_val_count(found); i++) {
        bool keep;
        sl_task_set_var(t, "count", sl_get(sl_at(found, i), "count"));
        if (!sl_task_holds(t, c->expression, &keep, err))
            return sl_err_ctx(err, "property 'expression'");
        if (!keep)
            continue;
        sl_list_add(a, results, sl_at(found, i));
        *total += sl_get_int(sl_at(found, i), "count", 0);
    }
    return true;
}

static sl_outcome count_run(sl_task *t, void *cfg, sl_err *err)
{
    const executions_cfg *c = cfg;
    sl_execution_query q;
    sl_val *results = sl_list(sl_task_arena(t));
    int64_t total = 0;
    if (!query_of(c, &q, err))
        return SL_TASK_FAILED;
    for (size_t i = 0; i < sl_val_count(c->flows); i++) {
        q.ns = sl_get_text(sl_at(c->flows, i), "namespace");
        q.flow_id = sl_get_text(sl_at(c->flows, i), "flowId");
        if (!count_one(t, c, &q, results, &total, err))
            return SL_TASK_FAILED;
    }
    q.flow_id = SL_S("");
    for (size_t i = 0; i < sl_val_count(c->namespaces); i++) {
        q.ns = sl_text(sl_at(c->namespaces, i));
        if (!count_one(t, c, &q, results, &total, err))
            return SL_TASK_FAILED;
    }
    q.ns = SL_S("");
    if (sl_val_count(c->flows) + sl_val_count(c->namespaces) == 0 && !count_one(t, c, &q, results, &total, err))
        return SL_TASK_FAILED;
    sl_task_out(t, "results", results);
    sl_task_out_int(t, "total", total);
    return SL_TASK_DONE;
}

static const sl_task_type count = {
    .type = CORE "execution.Count", .aliases = "io.kestra.core.tasks.executions.Counts", .doc = "Counts executions by flow.", .cfg_size = sizeof(executions_cfg), .opts = count_opts, .outs = count_outs, .run = count_run,
};

/* ---- execution.Resume, trigger.Toggle ---- */

static const sl_opt resume_opts[] = {
    NS, FLOW,
    { .name = "executionId", .type = SL_OPT_STR, .offset = SL_FIELD(executions_cfg, execution_id), .fallback = "{{ trigger.executionId }}", .flags = SL_LATE, .doc = "The execution; by default the one that fired the trigger." },
    { .name = "inputs", .type = SL_OPT_MAP, .offset = SL_FIELD(executions_cfg, inputs), .doc = "What its Pause asks for." },
    { 0 },
};
static const sl_opt no_outs[] = { { 0 } };

static sl_outcome resume_run(sl_task *t, void *cfg, sl_err *err)
{
    const executions_cfg *c = cfg;
    sl_str id;
    if (!sl_task_render(t, c->execution_id, &id, err)) {
        sl_err_ctx(err, "property 'executionId'");
        return SL_TASK_FAILED;
    }
    return sl_task_resume_execution(t, sl_str_trim(id), c->inputs, err) ? SL_TASK_DONE : SL_TASK_FAILED;
}

static const sl_task_type resume = { .type = CORE "execution.Resume", .doc = "Resumes a paused execution.", .cfg_size = sizeof(executions_cfg), .opts = resume_opts, .outs = no_outs, .run = resume_run };

static const sl_opt toggle_opts[] = {
    NS, FLOW,
    { .name = "trigger", .type = SL_OPT_STR, .offset = SL_FIELD(executions_cfg, trigger), .flags = SL_REQUIRED, .doc = "Name of the trigger." },
    { .name = "enabled", .type = SL_OPT_BOOL, .offset = SL_FIELD(executions_cfg, enabled), .fallback = "false", .doc = "On or off." },
    { 0 },
};

static sl_outcome toggle_run(sl_task *t, void *cfg, sl_err *err)
{
    const executions_cfg *c = cfg;
    return sl_task_toggle_trigger(t, c->ns, c->flow_id, c->trigger, c->enabled, err) ? SL_TASK_DONE : SL_TASK_FAILED;
}

static const sl_task_type toggle = {
    .type = CORE "trigger.Toggle", .aliases = "io.kestra.core.tasks.trigger.Toggle", .doc = "Enables or disables a trigger.", .cfg_size = sizeof(executions_cfg), .opts = toggle_opts, .outs = no_outs, .run = toggle_run,
};

/* ---- log.Fetch, log.PurgeLogs ---- */

static const sl_opt fetch_opts[] = {
    NS, FLOW, ID("The execution; this one when absent."),
    { .name = "tasksId", .type = SL_OPT_STRS, .offset = SL_FIELD(executions_cfg, tasks), .doc = "Only of these tasks." },
    { .name = "level", .type = SL_OPT_ENUM, .offset = SL_FIELD(executions_cfg, level), .values = "ERROR WARN INFO DEBUG TRACE", .fallback = "INFO", .doc = "Least level." },
    { 0 },
};
static const sl_opt fetch_outs[] = { { .name = "size", .type = SL_OPT_INT, .doc = "Entries." }, { .name = "uri", .type = SL_OPT_STR, .doc = "The file, Ion text." }, { 0 } };

static bool listed(const sl_val *list, sl_str name)
{
    for (size_t i = 0; i < sl_val_count(list); i++)
        if (sl_str_eq(sl_text(sl_at(list, i)), name))
            return true;
    return sl_val_count(list) == 0;
}

static sl_outcome fetch_run(sl_task *t, void *cfg, sl_err *err)
{
    const executions_cfg *c = cfg;
    sl_arena *a = sl_task_arena(t);
    sl_level least = SL_INFO;
    const sl_val *log;
    sl_str uri;
    int64_t size = 0;
    (void)sl_level_parse(c->level, &least);
    if (!sl_task_read_log(t, c->ns, c->execution_id, least, &log, err))
        return SL_TASK_FAILED;
    sl_writer *opened = NULL;
    if (!sl_task_open_out(t, SL_S("log.ion"), &opened, &uri, err))
        return SL_TASK_FAILED;
    SL_WRITER out = opened;
    for (size_t i = 0; i < sl_val_count(log); i++) {
        if (!listed(c->tasks, sl_get_text(sl_at(log, i), "taskId")))
            continue;
        sl_buf line = sl_buf_new(a, SIZE_MAX / 4);
        sl_ion_write(&line, a, sl_at(log, i));
        sl_buf_char(&line, '\n');
        if (!out->write(out, line.p, line.n, err))
            return SL_TASK_FAILED;
        size++;
    }
    if (!out->finish(out, err))
        return SL_TASK_FAILED;
    sl_task_out_int(t, "size", size);
    sl_task_out_str(t, "uri", uri);
    return SL_TASK_DONE;
}

static const sl_task_type log_fetch = { .type = CORE "log.Fetch", .doc = "Fetches log entries into a file.", .cfg_size = sizeof(executions_cfg), .opts = fetch_opts, .outs = fetch_outs, .run = fetch_run };

static const sl_opt purge_logs_opts[] = {
    NS, FLOW, ID("Only of this execution."),
    { .name = "logLevels", .type = SL_OPT_STRS, .offset = SL_FIELD(executions_cfg, levels), .doc = "Only entries of these levels." },
    START(0), END(SL_REQUIRED), { 0 },
};
static const sl_opt purge_logs_outs[] = { { .name = "count", .type = SL_OPT_INT, .doc = "Entries that were removed." }, { 0 } };

static bool levels_of(const sl_val *list, unsigned *ret, sl_err *err)
{
    for (size_t i = 0; i < sl_val_count(list); i++) {
        sl_level level;
        if (!sl_level_parse(sl_text(sl_at(list, i)), &level))
            return sl_err_set(err, SL_ERR_CONFIG, "execution.level", "'logLevels' must be of ERROR, WARN, INFO, DEBUG and TRACE, not '%.*s'", SL_ARG(sl_text(sl_at(list, i))));
        *ret |= 1U << level;
    }
    return true;
}

static sl_outcome purge_logs_run(sl_task *t, void *cfg, sl_err *err)
{
    const executions_cfg *c = cfg;
    sl_execution_purge what = { .log = true };
    int64_t executions = 0;
    if (!levels_of(c->levels, &what.levels, err) || !purge_all(t, cfg, &what, &executions, err))
        return SL_TASK_FAILED;
    sl_task_out_int(t, "count", what.log_count);
    return SL_TASK_DONE;
}

static const sl_task_type purge_logs = {
    .type = CORE "log.PurgeLogs", .doc = "Removes the logs of executions that have ended.", .cfg_size = sizeof(executions_cfg), .opts = purge_logs_opts, .outs = purge_logs_outs, .run = purge_logs_run,
};

static const sl_task_type *const tasks[] = { &purge, &count, &resume, &toggle, &log_fetch, &purge_logs, NULL };
const sl_connector sl_connector_executions = { .name = "executions", .tasks = tasks };
