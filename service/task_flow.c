/* service/task_flow.c: what a running attempt may do about executions (connectors/task.h). */
#include "base/arena.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "service/reach.h"
#include "service/task_ctx.h"

typedef struct calling {
    const sl_task *t;
    const sl_flow_call *call;
    sl_str id;
    sl_called *ret;
    bool exists, found;
    sl_flow_row row;
    const sl_val *labels;           /* of the calling execution */
    sl_new_execution *n;            /* NULL: only look */
    bool created;
    sl_err err;
    bool ok;
} calling;

/* The same for the same attempt, before and after a restart. */
static sl_str id_of(const sl_task *t, const char *part)
{
    sl_str text = sl_fmt(t->arena, "%.*s/%d/%s", SL_ARG(t->info.taskrun_id), t->info.attempt, part);
    return sl_str_sub(sl_hex(t->arena, sl_digest(t->arena, "SHA256", text)), 0, 22);
}

/* Into c->ret; one that was retried as a new execution stands as that one does. */
static bool look_at(sl_engine *e, calling *c, sl_str id)
{
    const sl_live *l = sl_live_find(e, id);
    sl_arena *a = c->t->arena;
    sl_state state = l ? l->x->state : SL_CREATED;
    *c->ret = (sl_called){ .id = id };
    c->exists = l != NULL;
    if (l != NULL)
        c->ret->outputs = l->x->outputs ? sl_val_copy(a, l->x->outputs) : NULL;
    else if (!sl_store_result(e->store, a, id, &c->exists, &state, &c->ret->outputs, &c->err)) {
        sl_engine_break(e, &c->err);
        return false;
    }
    c->ret->ended = c->exists && sl_state_final(state);
    c->ret->state = c->exists ? sl_str_c(sl_state_name(state)) : SL_S("");
    return c->exists && state == SL_RETRIED ? look_at(e, c, sl_execution_next_attempt(a, id)) : true;
}

/* loop: does it exist, and how does it stand? If not: the flow as it is stored. */
static void look(sl_engine *e, void *arg, int64_t now)
{
    calling *c = arg;
    (void)now;
    c->ok = true;
    if (!look_at(e, c, c->id) || c->exists)
        return;
    c->labels = sl_val_copy(c->t->arena, c->t->job->exec->labels);
    if (!sl_repository_flow(e->store, c->t->arena, c->call->ns, c->call->flow_id, c->call->revision, &c->row, &c->found, &c->err))
        sl_engine_break(e, &c->err);
}

static void create(sl_engine *e, void *arg, int64_t now)
{
    calling *c = arg;
    if (sl_live_find(e, c->id) == NULL) {
        (void)sl_execution_create(e, c->n, now);
        c->created = true;
    }
}

static const sl_val *child_labels(const calling *c)
{
    sl_arena *a = c->t->arena;
    sl_val *labels = sl_map(a);
    for (size_t i = 0; i < sl_val_count(c->labels); i++) {
        const sl_entry *e = &c->labels->map.entries[i];
        bool internal = sl_str_starts(e->key, SL_S("system."));
        if (sl_str_eqc(e->key, "system.correlationId") || (c->call->inherit_labels && !internal))
            sl_map_set(a, labels, e->key, e->value);
    }
    for (size_t i = 0; i < sl_val_count(c->call->labels); i++)
        sl_map_set(a, labels, c->call->labels->map.entries[i].key, c->call->labels->map.entries[i].value);
    return labels;
}

static const sl_val *child_trigger(const sl_task *t)
{
    sl_arena *a = t->arena;
    sl_val *trigger = sl_map(a), *vars = sl_map(a);
    sl_map_set_str(a, trigger, "id", t->info.task_id);
    sl_map_set_str(a, trigger, "type", t->job->run->def->type_name);
    sl_map_set_str(a, vars, "executionId", t->info.execution_id);
    sl_map_set_str(a, vars, "namespace", t->info.ns);
    sl_map_set_str(a, vars, "flowId", t->info.flow_id);
    sl_map_set_int(a, vars, "flowRevision", t->job->exec->flow->revision);
    sl_map_set_str(a, vars, "taskRunId", t->info.taskrun_id);
    sl_map_setc(a, trigger, "variables", vars);
    return trigger;
}

static bool make(sl_task *t, calling *c, sl_err *err)
{
    const sl_flow_call *call = c->call;
    sl_problems problems = { .arena = t->arena };
    sl_new_execution n;
    if (!sl_reach(t->engine, t->info.ns, call->ns, false, err))
        return false;
    if (!c->found || c->row.deleted)
        return sl_err_set(err, SL_ERR_NOT_FOUND, "subflow.unknown", "Unable to find flow '%.*s'.'%.*s'", SL_ARG(call->ns), SL_ARG(call->flow_id));
    sl_flow_ref *ref = sl_flow_cache_get(t->engine->flows, c->row.source, c->row.revision, NULL, err);
    if (ref == NULL)
        return false;
    sl_time at = { 0 };
    bool ok = call->schedule_date.n == 0 || sl_time_parse(call->schedule_date, &at)
              || sl_err_set(err, SL_ERR_CONFIG, "subflow.date", "'scheduleDate' must be a date-time, not '%.*s'", SL_ARG(call->schedule_date));
    if (ok && ref->flow->disabled)
        ok = sl_err_set(err, SL_ERR_CONFIG, "subflow.disabled", "Cannot execute a flow which is disabled");
    if (ok && !sl_execution_prepare(t->engine, t->arena, ref->flow, c->id, call->inputs ? call->inputs : sl_map(t->arena), NULL, child_labels(c), child_trigger(t), &n, &problems))
        ok = sl_err_set(err, SL_ERR_CONFIG, "subflow.inputs", "the flow '%.*s' cannot be run: %.*s", SL_ARG(call->flow_id), SL_ARG(problems.first->message));
    n.ref = ref;
    n.schedule_ms = at.s * 1000;
    c->n = &n;
    if (ok)
        ok = sl_engine_call(t->engine, create, c, err);
    if (!c->created)
        sl_flow_cache_put(t->engine->flows, ref);
    return ok;
}

bool sl_task_call_flow(sl_task *t, const sl_flow_call *call, sl_called *ret, sl_err *err)
{
    calling c = { .t = t, .call = call, .id = id_of(t, call->part), .ret = ret };
    if (!sl_engine_call(t->engine, look, &c, err))
        return false;
    if (c.exists)
        return true;
    if (t->job->kind == SL_ACT_KILL || !make(t, &c, err))
        return t->job->kind == SL_ACT_KILL;
    return sl_engine_call(t->engine, look, &c, err);
}

void sl_task_kill_called(sl_task *t, const char *part)
{
    sl_err err;
    sl_str id = id_of(t, part);
    for (bool there = true; there; id = sl_execution_next_attempt(t->arena, id)) { /* each attempt that is an execution of its own */
        sl_request r = { .verb = SL_DO_KILL, .id = id };
        there = sl_execution_do(t->engine, &r, &err);
        if (!there && err.kind != SL_ERR_NOT_FOUND)
            sl_task_log(t, SL_WARN, "the subflow's execution could not be killed: %s", err.message);
    }
}

void sl_task_exit(sl_task *t, sl_str state)
{
    t->exits = sl_state_parse(state, &t->exit_state);
}

const sl_val *sl_task_variables(const sl_task *t)
{
    return sl_get(t->vars, "vars");
}

void sl_task_set_variables(sl_task *t, const sl_val *all)
{
    t->variables = all;
}
