/* connectors/core.c: io.kestra.plugin.core: log, debug, flow.Sleep, execution, storage.PurgeCurrentExecutionFiles. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "connectors/connectors.h"

#define CORE "io.kestra.plugin.core."

static const sl_opt no_outs[] = { { 0 } };

/* ---- log.Log ---- */

typedef struct log_cfg {
    const sl_val *message;
    sl_str level;
} log_cfg;

static const sl_opt log_opts[] = {
    { .name = "message", .type = SL_OPT_ANY, .offset = SL_FIELD(log_cfg, message), .flags = SL_REQUIRED, .doc = "Text, or list of texts, to log." },
    { .name = "level", .type = SL_OPT_ENUM, .offset = SL_FIELD(log_cfg, level), .values = "ERROR WARN INFO DEBUG TRACE", .fallback = "INFO", .doc = "Level of the entries." },
    { 0 },
};

static sl_outcome log_run(sl_task *t, void *cfg, sl_err *err)
{
    const log_cfg *c = cfg;
    sl_level level = SL_INFO;
    (void)err;
    (void)sl_level_parse(c->level, &level);
    if (c->message->type != SL_LIST)
        sl_task_log_str(t, level, sl_val_text(sl_task_arena(t), c->message));
    for (size_t i = 0; c->message->type == SL_LIST && i < c->message->list.n; i++)
        sl_task_log_str(t, level, sl_val_text(sl_task_arena(t), c->message->list.items[i]));
    return SL_TASK_DONE;
}

static const sl_task_type log_log = {
    .type = CORE "log.Log", .aliases = "io.kestra.core.tasks.log.Log", .doc = "Writes entries to the execution's log.", .cfg_size = sizeof(log_cfg), .opts = log_opts, .outs = no_outs, .run = log_run,
    .pure = true,
};

/* ---- debug.Return ---- */

typedef struct return_cfg {
    sl_str format;
} return_cfg;

static const sl_opt return_opts[] = {
    { .name = "format", .type = SL_OPT_STR, .offset = SL_FIELD(return_cfg, format), .doc = "The text to give back." },
    { 0 },
};

static const sl_opt return_outs[] = { { .name = "value", .type = SL_OPT_STR, .doc = "The rendered text." }, { 0 } };

static sl_outcome return_run(sl_task *t, void *cfg, sl_err *err)
{
    const return_cfg *c = cfg;
    (void)err;
    if (c->format.p != NULL)
        sl_task_out_str(t, "value", c->format);
    else
        sl_task_out(t, "value", &sl_null_val);
    return SL_TASK_DONE;
}

static const sl_task_type debug_return = {
    .type = CORE "debug.Return", .aliases = "io.kestra.core.tasks.debugs.Return", .doc = "Gives a rendered text back as its output.", .cfg_size = sizeof(return_cfg), .opts = return_opts, .outs = return_outs,
    .run = return_run, .pure = true,
};

/* ---- debug.Echo, metric.Publish ---- */

typedef struct echo_cfg {
    sl_str format, level;
} echo_cfg;

static const sl_opt echo_opts[] = {
    { .name = "format", .type = SL_OPT_STR, .offset = SL_FIELD(echo_cfg, format), .doc = "The text to log." },
    { .name = "level", .type = SL_OPT_ENUM, .offset = SL_FIELD(echo_cfg, level), .values = "ERROR WARN INFO DEBUG TRACE", .fallback = "INFO", .doc = "Level of the entry." },
    { 0 },
};

static sl_outcome echo_run(sl_task *t, void *cfg, sl_err *err)
{
    const echo_cfg *c = cfg;
    sl_level level = SL_INFO;
    (void)err;
    (void)sl_level_parse(c->level, &level);
    sl_task_log_str(t, level, c->format.p ? c->format : SL_S(""));
    return SL_TASK_DONE;
}

static const sl_task_type debug_echo = {
    .type = CORE "debug.Echo", .aliases = "io.kestra.core.tasks.debugs.Echo", .doc = "Older form of log.Log.", .cfg_size = sizeof(echo_cfg), .opts = echo_opts, .outs = no_outs, .run = echo_run, .pure = true,
};

typedef struct publish_cfg {
    const sl_val *metrics;
} publish_cfg;

static const sl_opt publish_opts[] = {
    { .name = "metrics", .type = SL_OPT_LIST, .offset = SL_FIELD(publish_cfg, metrics), .flags = SL_REQUIRED, .doc = "List of {name, type: counter or timer, value, tags, description}." },
    { 0 },
};

/* A timer's value is a duration, or seconds. */
static sl_outcome publish_run(sl_task *t, void *cfg, sl_err *err)
{
    const publish_cfg *c = cfg;
    sl_arena *a = sl_task_arena(t);
    for (size_t i = 0; i < sl_val_count(c->metrics); i++) {
        const sl_val *m = sl_at(c->metrics, i);
        sl_str name = sl_get_text(m, "name"), type = sl_get_text(m, "type"), text = sl_get(m, "value") ? sl_str_trim(sl_val_text(a, sl_get(m, "value"))) : SL_S("");
        bool timer = sl_str_eqc(type, "timer");
        double value = 0;
        int64_t ms;
        bool good = sl_parse_double(text, &value) || (timer && sl_duration_parse(text, &ms));
        if (name.n == 0 || !good || (!timer && !sl_str_eqc(type, "counter"))) {
            sl_err_set(err, SL_ERR_CONFIG, "metric.shape", "metrics[%zu]: a metric has a name, a type (counter or timer) and a value that is a number or, of a timer, a duration", i);
            return SL_TASK_FAILED;
        }
        if (timer && !sl_parse_double(text, &value))
            value = (double)ms / 1000;
        if (timer)
            sl_task_timer(t, sl_cstr(a, name), value);
        else
            sl_task_counter(t, sl_cstr(a, name), value);
    }
    return SL_TASK_DONE;
}

static const sl_task_type metric_publish = {
    .type = CORE "metric.Publish", .doc = "Gives metrics.", .cfg_size = sizeof(publish_cfg), .opts = publish_opts, .outs = no_outs, .run = publish_run, .pure = true,
};

/* ---- flow.Sleep ---- */

typedef struct sleep_cfg {
    int64_t duration_ms;
} sleep_cfg;

static const sl_opt sleep_opts[] = {
    { .name = "duration", .type = SL_OPT_DURATION, .offset = SL_FIELD(sleep_cfg, duration_ms), .flags = SL_REQUIRED, .doc = "How long to wait." },
    { 0 },
};

/* The end is on disk, so that a restart does not wait anew; waiting holds no thread. */
static sl_outcome sleep_run(sl_task *t, void *cfg, sl_err *err)
{
    const sleep_cfg *c = cfg;
    const sl_val *saved = sl_task_saved(t);
    int64_t until = sl_get_int(saved, "until", 0), now = sl_now_ms();
    if (until == 0) {
        sl_val *doc = sl_map(sl_task_arena(t));
        until = now + c->duration_ms;
        sl_map_set_int(sl_task_arena(t), doc, "until", until);
        if (!sl_task_checkpoint(t, doc, err))
            return SL_TASK_FAILED;
    }
    return until <= now ? SL_TASK_DONE : sl_task_wait(t, until - now);
}

static const sl_task_type flow_sleep = {
    .type = CORE "flow.Sleep", .aliases = NULL, .doc = "Waits.", .cfg_size = sizeof(sleep_cfg), .opts = sleep_opts, .outs = no_outs, .run = sleep_run,
};

/* ---- execution.Fail, execution.Labels ---- */

typedef struct fail_cfg {
    sl_str condition, message;
} fail_cfg;

static const sl_opt fail_opts[] = {
    { .name = "condition", .type = SL_OPT_STR, .offset = SL_FIELD(fail_cfg, condition), .doc = "Fail only when it is true; without it, always." },
    { .name = "errorMessage", .type = SL_OPT_STR, .offset = SL_FIELD(fail_cfg, message), .fallback = "Task failure", .doc = "What to say." },
    { 0 },
};

static sl_outcome fail_run(sl_task *t, void *cfg, sl_err *err)
{
    const fail_cfg *c = cfg;
    (void)t;
    sl_str s = sl_str_trim(c->condition.p ? c->condition : SL_S("true"));
    if (s.n == 0 || sl_str_eqc(s, "false") || sl_str_eqc(s, "0") || sl_str_eqc(s, "-0"))
        return SL_TASK_DONE;
    sl_err_set(err, SL_ERR_REMOTE, "task.fail", "%.*s", SL_ARG(c->message));
    return SL_TASK_FAILED;
}

static const sl_task_type execution_fail = {
    .type = CORE "execution.Fail", .aliases = "io.kestra.core.tasks.executions.Fail", .doc = "Fails on purpose.", .cfg_size = sizeof(fail_cfg), .opts = fail_opts, .outs = no_outs, .run = fail_run,
};

typedef struct labels_cfg {
    const sl_val *labels;
} labels_cfg;

static const sl_opt labels_opts[] = {
    { .name = "labels", .type = SL_OPT_ANY, .offset = SL_FIELD(labels_cfg, labels), .flags = SL_REQUIRED, .doc = "Map, list of {key, value}, or text that is a JSON map." },
    { 0 },
};

static sl_outcome labels_run(sl_task *t, void *cfg, sl_err *err)
{
    const labels_cfg *c = cfg;
    sl_arena *a = sl_task_arena(t);
    const sl_val *v = c->labels;
    if (v->type == SL_STRING && (v = sl_json_parse(a, v->s, err)) == NULL) {
        sl_err_ctx(err, "reading 'labels'");
        return SL_TASK_FAILED;
    }
    if (v->type == SL_LIST) {
        sl_val *map = sl_map(a);
        for (size_t i = 0; i < v->list.n; i++)
            if (sl_get(v->list.items[i], "key") != NULL)
                sl_map_set(a, map, sl_val_text(a, sl_get(v->list.items[i], "key")), sl_get(v->list.items[i], "value") ? sl_get(v->list.items[i], "value") : &sl_null_val);
        v = map;
    }
    if (v->type != SL_MAP) {
        sl_err_set(err, SL_ERR_CONFIG, "labels", "'labels' must be a map");
        return SL_TASK_FAILED;
    }
    return sl_task_labels(t, v, err) ? SL_TASK_DONE : SL_TASK_FAILED;
}

static const sl_task_type execution_labels = {
    .type = CORE "execution.Labels", .aliases = "io.kestra.core.tasks.executions.Labels", .doc = "Sets labels of the execution.", .cfg_size = sizeof(labels_cfg), .opts = labels_opts, .outs = no_outs,
    .run = labels_run, .pure = true,
};

/* ---- output.OutputValues ---- */

typedef struct values_cfg {
    const sl_val *values;
} values_cfg;

static const sl_opt values_opts[] = {
    { .name = "values", .type = SL_OPT_MAP, .offset = SL_FIELD(values_cfg, values), .flags = SL_REQUIRED, .doc = "Values to give back." },
    { 0 },
};

static const sl_opt values_outs[] = { { .name = "values", .type = SL_OPT_MAP, .doc = "The rendered values." }, { 0 } };

static sl_outcome values_run(sl_task *t, void *cfg, sl_err *err)
{
    (void)err;
    sl_task_out(t, "values", ((const values_cfg *)cfg)->values);
    return SL_TASK_DONE;
}

static const sl_task_type output_values = {
    .type = CORE "output.OutputValues", .aliases = NULL, .doc = "Gives rendered values back as its output.", .cfg_size = sizeof(values_cfg), .opts = values_opts, .outs = values_outs, .run = values_run,
    .pure = true,
};

/* ---- storage.PurgeCurrentExecutionFiles ---- */

static const sl_opt no_opts[] = { { 0 } };
static const sl_opt purge_outs[] = { { .name = "uris", .type = SL_OPT_STRS, .doc = "The files that were removed." }, { 0 } };

static sl_outcome purge_run(sl_task *t, void *cfg, sl_err *err)
{
    (void)cfg;
    const sl_val *uris;
    if (!sl_task_purge_files(t, &uris, err))
        return SL_TASK_FAILED;
    sl_task_out(t, "uris", uris);
    return SL_TASK_DONE;
}

static const sl_task_type purge = {
    .type = CORE "storage.PurgeCurrentExecutionFiles",
    .aliases = "io.kestra.core.tasks.storages.PurgeExecution io.kestra.plugin.core.storage.PurgeExecution",
    .doc = "Removes all files of this execution from the internal storage.",
    .cfg_size = 1,
    .opts = no_opts,
    .outs = purge_outs,
    .run = purge_run,
};

static const sl_task_type *const tasks[] = { &log_log, &debug_return, &debug_echo, &metric_publish, &flow_sleep, &execution_fail, &execution_labels, &output_values, &purge, NULL };
const sl_connector sl_connector_core = { .name = "core", .tasks = tasks };
