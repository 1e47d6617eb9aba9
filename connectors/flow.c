/*
 * connectors/flow.c: tasks about executions: flow.Subflow, the three parts of flow.ForEachItem, execution.Exit, execution.Assert,
 * execution.SetVariables, execution.UnsetVariables. A task that waits for others holds no thread: it is called again when one ends.
 */
#include "base/arena.h"
#include "base/ion.h"
#include "connectors/connectors.h"
#include "connectors/pieces.h"

#define CORE "io.kestra.plugin.core."

enum {
    LOOK_AGAIN_MS = 600000,       /* only in case that nobody wakes it */
    OUTPUTS_MAX = 64 << 20,       /* bytes of one execution's outputs as Ion */
};

static const sl_opt no_outs[] = { { 0 } };

static const sl_val *label_map(sl_arena *a, const sl_val *v)
{
    sl_val *out = sl_map(a);
    for (size_t i = 0; i < sl_val_count(v); i++) {
        bool map = sl_is(v, SL_MAP);
        sl_str key = map ? v->map.entries[i].key : sl_get_text(sl_at(v, i), "key");
        sl_map_set(a, out, key, sl_val_str(a, sl_val_text(a, map ? v->map.entries[i].value : sl_get(sl_at(v, i), "value"))));
    }
    return out;
}

static sl_outcome outcome_of(sl_str state, sl_str id, sl_err *err)
{
    if (sl_str_eqc(state, "SUCCESS") || sl_str_eqc(state, "SKIPPED"))
        return SL_TASK_DONE;
    if (sl_str_eqc(state, "WARNING"))
        return SL_TASK_WARNING;
    sl_err_set(err, SL_ERR_REMOTE, "subflow.failed", "the subflow's execution %.*s ended as %.*s", SL_ARG(id), SL_ARG(state));
    return SL_TASK_FAILED;
}

/* ---- flow.Subflow ---- */

typedef struct subflow_cfg {
    sl_str ns, flow_id, schedule_date;
    int64_t revision;
    const sl_val *inputs, *labels, *outputs;
    bool wait, transmit_failed, inherit_labels;
} subflow_cfg;

#define CALL_OPTS                                                                                                                                                             \
    { .name = "namespace", .type = SL_OPT_STR, .offset = SL_FIELD(subflow_cfg, ns), .flags = SL_REQUIRED, .doc = "Namespace of the flow." },                                      \
        { .name = "flowId", .type = SL_OPT_STR, .offset = SL_FIELD(subflow_cfg, flow_id), .flags = SL_REQUIRED, .doc = "The flow." },                                             \
        { .name = "revision", .type = SL_OPT_INT, .offset = SL_FIELD(subflow_cfg, revision), .doc = "Its revision; the newest when absent." },                                    \
        { .name = "labels", .type = SL_OPT_ANY, .offset = SL_FIELD(subflow_cfg, labels), .doc = "Labels of its execution." },                                                     \
        { .name = "wait", .type = SL_OPT_BOOL, .offset = SL_FIELD(subflow_cfg, wait), .fallback = "true", .doc = "Until it has ended." },                                         \
        { .name = "transmitFailed", .type = SL_OPT_BOOL, .offset = SL_FIELD(subflow_cfg, transmit_failed), .fallback = "true", .doc = "Its failure is this task's failure." },    \
        { .name = "inheritLabels", .type = SL_OPT_BOOL, .offset = SL_FIELD(subflow_cfg, inherit_labels), .doc = "It gets this execution's labels." },                             \
        { .name = "scheduleDate", .type = SL_OPT_STR, .offset = SL_FIELD(subflow_cfg, schedule_date), .doc = "It does not start before this date." },                             \
        { .name = "restartBehavior", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Accepted: a restart of this task makes a new execution." }

static const sl_opt subflow_opts[] = {
    CALL_OPTS,
    { .name = "inputs", .type = SL_OPT_MAP, .offset = SL_FIELD(subflow_cfg, inputs), .flags = SL_TYPED, .doc = "Its inputs." },
    { .name = "outputs", .type = SL_OPT_ANY, .offset = SL_FIELD(subflow_cfg, outputs), .flags = SL_LATE | SL_DEPRECATED, .doc = "Accepted and ignored: give the flow outputs of its own." },
    { 0 },
};

static const sl_opt subflow_outs[] = {
    { .name = "executionId", .type = SL_OPT_STR, .doc = "The execution that was made." },
    { .name = "state", .type = SL_OPT_STR, .doc = "How it ended; CREATED where nobody waits for it." },
    { .name = "outputs", .type = SL_OPT_MAP, .doc = "The outputs of the flow." },
    { 0 },
};

static sl_outcome subflow_run(sl_task *t, void *cfg, sl_err *err)
{
    const subflow_cfg *c = cfg;
    sl_flow_call call = { .ns = c->ns, .flow_id = c->flow_id, .revision = c->revision, .inputs = c->inputs, .labels = label_map(sl_task_arena(t), c->labels), .inherit_labels = c->inherit_labels,
                          .schedule_date = c->schedule_date, .part = "subflow" };
    sl_called called;
    if (!sl_task_call_flow(t, &call, &called, err))
        return SL_TASK_FAILED;
    sl_task_out_str(t, "executionId", called.id);
    if (c->wait && !called.ended)
        return sl_task_wait(t, LOOK_AGAIN_MS);
    sl_task_out_str(t, "state", c->wait ? called.state : SL_S("CREATED"));
    if (!c->wait)
        return SL_TASK_DONE;
    if (called.outputs != NULL)
        sl_task_out(t, "outputs", called.outputs);
    return c->transmit_failed ? outcome_of(called.state, called.id, err) : SL_TASK_DONE;
}

static void subflow_kill(sl_task *t, void *cfg)
{
    (void)cfg;
    sl_task_kill_called(t, "subflow");
}

static const sl_task_type subflow = {
    .type = CORE "flow.Subflow", .aliases = "io.kestra.core.tasks.flows.Subflow io.kestra.core.tasks.flows.Flow io.kestra.plugin.core.flow.Flow", .doc = "Runs another flow.", .cfg_size = sizeof(subflow_cfg),
    .opts = subflow_opts, .outs = subflow_outs, .run = subflow_run, .kill = subflow_kill,
};

/* ---- flow.ForEachItem: split, items, merge ---- */

typedef struct split_cfg {
    sl_str items;
    const sl_val *batch;
} split_cfg;

static const sl_opt split_opts[] = {
    { .name = "items", .type = SL_OPT_STR, .offset = SL_FIELD(split_cfg, items), .flags = SL_REQUIRED, .doc = "File of the internal storage." },
    { .name = "batch", .type = SL_OPT_MAP, .offset = SL_FIELD(split_cfg, batch), .doc = "One of rows (1), bytes, partitions and regexPattern, as storage.Split has them; separator." },
    { 0 },
};

static const sl_opt split_outs[] = { { .name = "splits", .type = SL_OPT_STR, .doc = "URI of a file that lists the batches." }, { 0 } };

static sl_outcome split_run(sl_task *t, void *cfg, sl_err *err)
{
    const split_cfg *c = cfg;
    sl_arena *a = sl_task_arena(t);
    sl_pieces_how how = { .regex = sl_get_text(c->batch, "regexPattern"), .bytes = sl_get(c->batch, "bytes"), .separator = sl_get_text(c->batch, "separator") };
    const sl_val *uris, *partitions = sl_get(c->batch, "partitions"), *rows = sl_get(c->batch, "rows");
    sl_writer *list = NULL;
    sl_str uri;
    how.separator = how.separator.n > 0 ? how.separator : SL_S("\n");
    if ((partitions != NULL && !sl_parse_int(sl_val_text(a, partitions), &how.partitions)) || (rows != NULL && !sl_parse_int(sl_val_text(a, rows), &how.rows))) {
        sl_err_set(err, SL_ERR_CONFIG, "split.how", "'rows' and 'partitions' of 'batch' must be whole numbers");
        return SL_TASK_FAILED;
    }
    if (how.regex.n == 0 && how.bytes == NULL && how.partitions <= 0 && how.rows <= 0)
        how.rows = 1;
    if (!sl_pieces_cut(t, c->items, &how, "batch", &uris, err))
        return SL_TASK_FAILED;
    bool ok = sl_task_open_out(t, SL_S("splits.txt"), &list, &uri, err);
    for (size_t i = 0; ok && i < sl_val_count(uris); i++) {
        sl_str line = sl_fmt(a, "%.*s\n", SL_ARG(sl_text(sl_at(uris, i))));
        ok = list->write(list, line.p, line.n, err);
    }
    ok = ok && list->finish(list, err);
    if (list != NULL)
        sl_writer_close(&list);
    if (!ok)
        return SL_TASK_FAILED;
    sl_task_out_str(t, "splits", uri);
    return SL_TASK_DONE;
}

static const sl_task_type each_split = { .type = CORE "flow.ForEachItem.Split", .doc = "First part of ForEachItem: cuts the file into batches.", .cfg_size = sizeof(split_cfg), .opts = split_opts, .outs = split_outs, .run = split_run };

typedef struct items_cfg {
    subflow_cfg call;      /* first: CALL_OPTS fill it */
    sl_str splits;
    const sl_val *inputs;  /* rendered for each batch */
} items_cfg;

static const sl_opt items_opts[] = {
    CALL_OPTS,
    { .name = "splits", .type = SL_OPT_STR, .offset = SL_FIELD(items_cfg, splits), .flags = SL_REQUIRED, .doc = "File that lists the batches." },
    { .name = "inputs", .type = SL_OPT_MAP, .offset = SL_FIELD(items_cfg, inputs), .flags = SL_LATE, .doc = "Inputs of each batch's execution." },
    { 0 },
};

static const sl_opt items_outs[] = {
    { .name = "iterations", .type = SL_OPT_MAP, .doc = "How many executions ended in which state." },
    { .name = "numberOfBatches", .type = SL_OPT_INT, .doc = "How many there were." },
    { .name = "uri", .type = SL_OPT_STR, .doc = "File with the outputs of each, where they have any." },
    { 0 },
};

/* {{ taskrun.items }} and {{ taskrun.iteration }} for the inputs of one batch. */
static bool batch_inputs(sl_task *t, const items_cfg *c, sl_str uri, int64_t index, const sl_val **ret, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_val *run = sl_map_of(a, "id", sl_val_str(a, sl_task_about(t)->taskrun_id));
    sl_map_set_str(a, run, "items", uri);
    sl_map_set_int(a, run, "iteration", index);
    sl_task_set_var(t, "taskrun", run);
    *ret = sl_map(a);
    return c->inputs == NULL || sl_task_render_val(t, c->inputs, ret, err);
}

static bool read_splits(sl_task *t, sl_str uri, sl_val **ret, sl_err *err)
{
    sl_reader *in;
    sl_str line;
    int rc;
    *ret = sl_list(sl_task_arena(t));
    if (!sl_task_open_in(t, uri, &in, err))
        return false;
    sl_lines *lines = sl_lines_new(sl_task_arena(t), in, 1 << 16);
    while ((rc = sl_lines_next(lines, &line, err)) == 1)
        sl_list_add(sl_task_arena(t), *ret, sl_val_str(sl_task_arena(t), sl_str_dup(sl_task_arena(t), line)));
    sl_reader_close(&in);
    return rc == 0;
}

/* The outputs of those that have any, an Ion struct a line; *uri stays empty where none has. */
static bool write_outputs(sl_task *t, const sl_val *outputs, sl_str *uri, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_writer *out = NULL;
    bool ok = true;
    for (size_t i = 0; ok && i < sl_val_count(outputs); i++) {
        if (sl_val_count(sl_at(outputs, i)) == 0)
            continue;
        sl_buf line = sl_buf_new(a, OUTPUTS_MAX);
        sl_ion_write(&line, a, sl_at(outputs, i));
        sl_buf_addc(&line, "\n");
        ok = (out != NULL || sl_task_open_out(t, SL_S("outputs.ion"), &out, uri, err)) && out->write(out, sl_buf_str(&line).p, line.n, err);
    }
    ok = ok && (out == NULL || out->finish(out, err));
    if (out != NULL)
        sl_writer_close(&out);
    return ok;
}

static sl_outcome each_ended(sl_task *t, const items_cfg *c, const sl_val *states, const sl_val *outputs, sl_err *err)
{
    sl_str uri = { NULL, 0 };
    if (sl_val_count(outputs) == 0)
        return SL_TASK_DONE;
    if (!write_outputs(t, outputs, &uri, err))
        return SL_TASK_FAILED;
    sl_task_out(t, "iterations", states);
    sl_task_out_int(t, "numberOfBatches", (int64_t)sl_val_count(outputs));
    if (uri.n > 0)
        sl_task_out_str(t, "uri", uri);
    if (!c->call.transmit_failed || !c->call.wait)
        return SL_TASK_DONE;
    for (size_t i = 0; i < sl_val_count(states); i++)
        if (sl_get_int(states, sl_cstr(sl_task_arena(t), states->map.entries[i].key), 0) > 0 && outcome_of(states->map.entries[i].key, SL_S("of a batch"), err) == SL_TASK_FAILED)
            return SL_TASK_FAILED;
    return sl_get(states, "WARNING") != NULL ? SL_TASK_WARNING : SL_TASK_DONE;
}

static sl_outcome items_run(sl_task *t, void *cfg, sl_err *err)
{
    const items_cfg *c = cfg;
    sl_arena *a = sl_task_arena(t);
    sl_val *batches, *states = sl_map(a), *outputs = sl_list(a);
    bool all = true;
    sl_map_set_int(a, states, "CREATED", 0);
    sl_map_set_int(a, states, "RUNNING", 0);
    if (!read_splits(t, c->splits, &batches, err))
        return SL_TASK_FAILED;
    for (size_t i = 0; i < batches->list.n; i++) {
        sl_called called;
        sl_flow_call call = { .ns = c->call.ns, .flow_id = c->call.flow_id, .revision = c->call.revision, .labels = label_map(a, c->call.labels), .inherit_labels = c->call.inherit_labels,
                              .schedule_date = c->call.schedule_date, .part = sl_fmt(a, "batch%zu", i).p };
        if (!batch_inputs(t, c, sl_text(sl_at(batches, i)), (int64_t)i, &call.inputs, err) || !sl_task_call_flow(t, &call, &called, err))
            return SL_TASK_FAILED;
        all &= called.ended;
        sl_str state = called.ended ? called.state : SL_S("RUNNING");
        sl_map_set(a, states, state, sl_val_int(a, sl_get_int(states, sl_cstr(a, state), 0) + 1));
        sl_list_add(a, outputs, called.outputs ? called.outputs : sl_map(a));
    }
    if (!all && c->call.wait)
        return sl_task_wait(t, LOOK_AGAIN_MS);
    return each_ended(t, c, states, outputs, err);
}

static void items_kill(sl_task *t, void *cfg)
{
    const items_cfg *c = cfg;
    sl_val *batches;
    sl_err ignored;
    for (size_t i = 0; read_splits(t, c->splits, &batches, &ignored) && i < batches->list.n; i++)
        sl_task_kill_called(t, sl_fmt(sl_task_arena(t), "batch%zu", i).p);
}

static const sl_task_type each_items = { .type = CORE "flow.ForEachItem.Items", .doc = "Second part of ForEachItem: runs a flow for each batch.", .cfg_size = sizeof(items_cfg), .opts = items_opts, .outs = items_outs,
                                         .run = items_run, .kill = items_kill };

typedef struct merge_cfg {
    sl_str uri;
} merge_cfg;

static const sl_opt merge_opts[] = { { .name = "uri", .type = SL_OPT_STR, .offset = SL_FIELD(merge_cfg, uri), .doc = "File with the outputs of each batch; empty: there are none." }, { 0 } };
static const sl_opt merge_outs[] = { { .name = "subflowOutputs", .type = SL_OPT_STR, .doc = "File with the outputs of each batch's execution, an Ion struct a line." }, { 0 } };

static sl_outcome merge_run(sl_task *t, void *cfg, sl_err *err)
{
    const merge_cfg *c = cfg;
    (void)err;
    if (c->uri.n > 0)
        sl_task_out_str(t, "subflowOutputs", c->uri);
    return SL_TASK_DONE;
}

static const sl_task_type each_merge = { .type = CORE "flow.ForEachItem.Merge", .doc = "Third part of ForEachItem: the outputs of all batches.", .cfg_size = sizeof(merge_cfg), .opts = merge_opts, .outs = merge_outs, .run = merge_run };

/* ---- execution.Exit, Assert, SetVariables, UnsetVariables ---- */

typedef struct exit_cfg {
    sl_str state;
} exit_cfg;

static const sl_opt exit_opts[] = { { .name = "state", .type = SL_OPT_ENUM, .offset = SL_FIELD(exit_cfg, state), .values = "SUCCESS WARNING KILLED FAILED CANCELED CANCELLED", .fallback = "SUCCESS", .doc = "What the execution ends in." }, { 0 } };

static sl_outcome exit_run(sl_task *t, void *cfg, sl_err *err)
{
    (void)err;
    sl_str state = ((const exit_cfg *)cfg)->state;
    sl_task_exit(t, sl_str_eqc(state, "CANCELED") ? SL_S("CANCELLED") : state);
    return SL_TASK_DONE;
}

static const sl_task_type execution_exit = { .type = CORE "execution.Exit", .doc = "Ends the execution now.", .cfg_size = sizeof(exit_cfg), .opts = exit_opts, .outs = no_outs, .run = exit_run };

typedef struct assert_cfg {
    const sl_val *conditions;
    sl_str message;
} assert_cfg;

static const sl_opt assert_opts[] = {
    { .name = "conditions", .type = SL_OPT_STRS, .offset = SL_FIELD(assert_cfg, conditions), .flags = SL_REQUIRED, .doc = "Each has to be true." },
    { .name = "errorMessage", .type = SL_OPT_STR, .offset = SL_FIELD(assert_cfg, message), .doc = "What to say when one is not." },
    { 0 },
};

static const sl_opt assert_outs[] = { { .name = "success", .type = SL_OPT_INT, .doc = "How many held." }, { .name = "failed", .type = SL_OPT_INT, .doc = "How many did not." }, { 0 } };

static sl_outcome assert_run(sl_task *t, void *cfg, sl_err *err)
{
    const assert_cfg *c = cfg;
    int64_t failed = 0, n = (int64_t)sl_val_count(c->conditions);
    for (size_t i = 0; i < sl_val_count(c->conditions); i++) {
        sl_str s = sl_str_trim(sl_text(sl_at(c->conditions, i)));
        if (s.n > 0 && !sl_str_eqc(s, "false") && !sl_str_eqc(s, "0") && !sl_str_eqc(s, "-0"))
            continue;
        failed++;
        sl_task_log(t, SL_ERROR, "condition %zu is false", i + 1);
    }
    sl_task_out_int(t, "success", n - failed);
    sl_task_out_int(t, "failed", failed);
    if (failed == 0)
        return SL_TASK_DONE;
    sl_err_set(err, SL_ERR_DATA, "task.assert", "%lld assertion(s) failed!%s%.*s", (long long)failed, c->message.n ? " " : "", SL_ARG(c->message));
    return SL_TASK_FAILED;
}

static const sl_task_type execution_assert = { .type = CORE "execution.Assert", .doc = "Fails when a condition does not hold.", .cfg_size = sizeof(assert_cfg), .opts = assert_opts, .outs = assert_outs, .run = assert_run, .pure = true };

typedef struct variables_cfg {
    const sl_val *variables, *names;
    bool overwrite, ignore_missing;
} variables_cfg;

static const sl_opt set_opts[] = {
    { .name = "variables", .type = SL_OPT_MAP, .offset = SL_FIELD(variables_cfg, variables), .flags = SL_REQUIRED | SL_TYPED, .doc = "Merged into vars." },
    { .name = "overwrite", .type = SL_OPT_BOOL, .offset = SL_FIELD(variables_cfg, overwrite), .fallback = "true", .doc = "May replace what is there." },
    { 0 },
};

static const sl_opt unset_opts[] = {
    { .name = "variables", .type = SL_OPT_STRS, .offset = SL_FIELD(variables_cfg, names), .flags = SL_REQUIRED, .doc = "Names to remove from vars." },
    { .name = "ignoreMissing", .type = SL_OPT_BOOL, .offset = SL_FIELD(variables_cfg, ignore_missing), .doc = "One that is not there is no failure." },
    { 0 },
};

static const sl_val *merged(sl_arena *a, const sl_val *into, const sl_val *from)
{
    sl_val *out = sl_map_shallow(a, into);
    for (size_t i = 0; i < sl_val_count(from); i++) {
        const sl_entry *e = &from->map.entries[i];
        const sl_val *have = sl_get_str(into, e->key);
        sl_map_set(a, out, e->key, sl_is(have, SL_MAP) && sl_is(e->value, SL_MAP) ? merged(a, have, e->value) : e->value);
    }
    return out;
}

static sl_outcome set_run(sl_task *t, void *cfg, sl_err *err)
{
    const variables_cfg *c = cfg;
    const sl_val *have = sl_task_variables(t);
    for (size_t i = 0; !c->overwrite && i < sl_val_count(c->variables); i++)
        if (sl_get_str(have, c->variables->map.entries[i].key) != NULL) {
            sl_err_set(err, SL_ERR_CONFIG, "vars.exists", "the variable '%.*s' exists already, and overwrite is false", SL_ARG(c->variables->map.entries[i].key));
            return SL_TASK_FAILED;
        }
    sl_task_set_variables(t, merged(sl_task_arena(t), have, c->variables));
    return SL_TASK_DONE;
}

static sl_outcome unset_run(sl_task *t, void *cfg, sl_err *err)
{
    const variables_cfg *c = cfg;
    sl_val *left = sl_map_shallow(sl_task_arena(t), sl_task_variables(t));
    for (size_t i = 0; i < sl_val_count(c->names); i++)
        if (!sl_map_remove(left, sl_text(sl_at(c->names, i))) && !c->ignore_missing) {
            sl_err_set(err, SL_ERR_NOT_FOUND, "vars.missing", "there is no variable '%.*s' to remove", SL_ARG(sl_text(sl_at(c->names, i))));
            return SL_TASK_FAILED;
        }
    sl_task_set_variables(t, left);
    return SL_TASK_DONE;
}

static const sl_task_type set_variables = { .type = CORE "execution.SetVariables", .doc = "Sets variables for the rest of the execution.", .cfg_size = sizeof(variables_cfg), .opts = set_opts, .outs = no_outs, .run = set_run, .pure = true };
static const sl_task_type unset_variables = { .type = CORE "execution.UnsetVariables", .doc = "Removes variables.", .cfg_size = sizeof(variables_cfg), .opts = unset_opts, .outs = no_outs, .run = unset_run, .pure = true };

static const sl_task_type *const tasks[] = { &subflow, &each_split, &each_items, &each_merge, &execution_exit, &execution_assert, &set_variables, &unset_variables, NULL };
const sl_connector sl_connector_flow = { .name = "flow", .tasks = tasks };
