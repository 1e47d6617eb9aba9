/* service/scheduler_fire.c: from a date, or the end of another execution, to a new execution. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "flows/context.h"
#include "flows/precondition.h"
#include "service/reach.h"
#include "service/scheduler_private.h"

sl_flow_ref *sl_scheduler_flow(sl_engine *e, sl_trigger_entry *t, int64_t now)
{
    sl_flow_row row;
    bool found;
    sl_err err;
    sl_flow_ref *ref = NULL;
    if (!sl_repository_flow(e->store, e->turn_arena, t->row.ns, t->row.flow_id, 0, &row, &found, &err)) {
        sl_engine_break(e, &err);
        return NULL;
    }
    if (found && !row.deleted)
        ref = sl_flow_cache_get(e->flows, row.source, row.revision, NULL, &err);
    if (ref == NULL && found) {
        t->row.problem = sl_str_dup(e->scheduler->arena, sl_str_c(err.message));
        sl_scheduler_save(e, t, now);
    }
    return ref;
}

static const sl_val *labels_of(sl_arena *a, const sl_val *v, const sl_expr_env *env)
{
    sl_val *out = sl_map(a);
    for (size_t i = 0; i < sl_val_count(v); i++) {
        bool map = sl_is(v, SL_MAP);
        sl_str key = map ? v->map.entries[i].key : sl_get_text(sl_at(v, i), "key"), text;
        sl_err err;
        const sl_val *value = map ? v->map.entries[i].value : sl_get(sl_at(v, i), "value");
        if (sl_render(a, env, sl_val_text(a, value), &text, &err))
            sl_map_set(a, out, key, sl_val_str(a, text));
        else
            sl_log(SL_WARN, "trigger", "the label '%.*s' is left out: %s", SL_ARG(key), err.message);
    }
    return out;
}

static void merge(sl_arena *a, sl_val *into, const sl_val *from)
{
    for (size_t i = 0; i < sl_val_count(from); i++)
        sl_map_set(a, into, from->map.entries[i].key, from->map.entries[i].value);
}

static sl_expr_env env_of(sl_engine *e, sl_arena *a, const sl_firing *f, sl_expr_host *host)
{
    sl_val *vars = sl_map_shallow(a, sl_context_flow_vars(a, f->ref->flow, e->globals));
    merge(a, vars, f->more);
    sl_map_setc(a, vars, "trigger", f->vars);
    if (f->t->dated)
        sl_map_setc(a, vars, "schedule", f->vars);
    *host = sl_engine_host(e, a, f->ref->flow);
    return sl_loop_env(vars, host);
}

/* An execution that could not be given its inputs is made all the same, as a failed one: nothing gets lost silently. */
void sl_scheduler_launch(sl_engine *e, sl_firing *f, int64_t now)
{
    sl_arena *a = e->turn_arena;
    sl_expr_host host;
    sl_expr_env env = env_of(e, a, f, &host);
    sl_val *inputs = sl_map(a), *labels = sl_map(a), *trigger = sl_map(a);
    const sl_val *own = sl_get(f->spec, "inputs"), *rendered = NULL;
    sl_err err;
    if (own != NULL && !sl_render_val(a, &env, own, true, &rendered, &err))
        f->refusal = sl_fmt(a, "the trigger's inputs: %s", err.message);
    merge(a, inputs, rendered);
    merge(a, inputs, f->inputs);
    if (f->correlation.n > 0)
        sl_map_set_str(a, labels, "system.correlationId", f->correlation);
    merge(a, labels, labels_of(a, sl_get(f->spec, "labels"), &env));
    merge(a, labels, f->labels);
    sl_map_set_str(a, trigger, "id", f->t->row.id);
    sl_map_set_str(a, trigger, "type", f->t->row.type);
    sl_map_setc(a, trigger, "variables", f->vars);
    sl_new_execution n;
    sl_problems problems = { .arena = a };
    if (f->refusal.n > 0 || !sl_execution_prepare(e, a, f->ref->flow, f->id, inputs, NULL, labels, trigger, &n, &problems)) {
        if (f->refusal.n == 0)
            f->refusal = problems.first->message;
        char id[23];
        sl_ordered_id(id);
        sl_str own_id = f->id.n ? f->id : sl_str_dup(a, sl_str_c(id));
        if (sl_get(labels, "system.correlationId") == NULL)
            sl_map_set_str(a, labels, "system.correlationId", own_id);
        n = (sl_new_execution){ .id = own_id, .inputs = sl_map(a), .labels = labels, .trigger = trigger, .refusal = f->refusal };
    }
    n.ref = f->ref;
    n.tick_kind = f->tick_kind;
    n.tick_ms = f->tick_ms;
    (void)sl_execution_create(e, &n, now);
    e->scheduler->fired++;
}

bool sl_scheduler_conditions(sl_engine *e, const sl_firing *f, const sl_val *conditions, bool *hold, sl_err *err)
{
    sl_expr_host host;
    sl_expr_env env = env_of(e, e->turn_arena, f, &host);
    return sl_conditions_hold(e->turn_arena, conditions, &env, hold, err);
}

/* {{ trigger }}, its next and previous dates being such for which the conditions hold, too. */
static const sl_val *neighbours(sl_engine *e, const sl_firing *f, const sl_val *conditions, int64_t at)
{
    sl_expr_host host;
    sl_expr_env env = env_of(e, e->turn_arena, f, &host);
    sl_schedule_filter filter = { &f->t->schedule, conditions, &env };
    int64_t next = INT64_MAX, previous = INT64_MIN;
    sl_err err;
    if (!sl_schedule_seek(&filter, at, true, &next, &err) || !sl_schedule_seek(&filter, at, false, &previous, &err))
        sl_log(SL_WARN, "trigger", "the dates before and after this one of '%.*s' are left out: %s", SL_ARG(f->t->row.id), err.message);
    return sl_schedule_variables(e->turn_arena, &f->t->schedule, at, next, previous);
}

static bool tick_exists(sl_engine *e, const sl_trigger_entry *t, int64_t at, sl_str kind)
{
    sl_err err;
    sl_stmt *q = sl_db_query(sl_store_db(e->store), &err, "SELECT 1 FROM executions WHERE ns=? AND flow_id=? AND trigger_id=? AND tick_ms=? AND tick_kind=?", "sssis", t->row.ns, t->row.flow_id,
                             t->row.id, at, kind);
    int rc = q ? sl_stmt_next(q, &err) : -1;
    if (rc == 1)
        sl_stmt_done(q);
    else if (rc < 0)
        sl_engine_break(e, &err);
    return rc != 0;
}

bool sl_scheduler_fire(sl_engine *e, sl_trigger_entry *t, int64_t at, sl_str kind, const sl_val *inputs, const sl_val *labels, int64_t now)
{
    if (tick_exists(e, t, at, kind))
        return !e->broken; /* the clock went back, or the trigger was made anew: that date has had its execution */
    const sl_val *spec = sl_scheduler_spec(e, t), *conditions = sl_schedule_conditions(spec);
    const int64_t next = sl_schedule_next(&t->schedule, at), previous = sl_schedule_previous(&t->schedule, at);
    sl_firing f = { .t = t, .spec = spec, .vars = sl_schedule_variables(e->turn_arena, &t->schedule, at, next, previous), .inputs = inputs, .labels = labels, .tick_kind = kind, .tick_ms = at };
    f.ref = sl_scheduler_flow(e, t, now);
    if (f.ref == NULL)
        return false;
    bool hold;
    sl_err err;
    t->row.problem = (sl_str){ NULL, 0 };
    if (!sl_scheduler_conditions(e, &f, conditions, &hold, &err))
        f.refusal = sl_fmt(e->turn_arena, "a condition of the trigger: %s", err.message);
    else if (!hold) {
        sl_flow_cache_put(e->flows, f.ref);
        return true;
    } else if (sl_val_count(conditions) > 0)
        f.vars = neighbours(e, &f, conditions, at);
    sl_scheduler_launch(e, &f, now);
    return true;
}

/* ---- the end of another execution ---- */

static const sl_val *upstream_vars(sl_arena *a, const sl_exec *x)
{
    sl_val *v = sl_map(a);
    sl_map_set_str(a, v, "executionId", x->id);
    sl_map_set_str(a, v, "namespace", x->flow->ns);
    sl_map_set_str(a, v, "flowId", x->flow->id);
    sl_map_set_int(a, v, "flowRevision", x->flow->revision);
    sl_map_set_str(a, v, "state", sl_str_c(sl_state_name(x->state)));
    sl_map_setc(a, v, "outputs", x->outputs ? x->outputs : sl_map(a));
    sl_map_setc(a, v, "executionLabels", sl_context_labels(a, x->labels, "system.correlationId"));
    return v;
}

/* The names of all states that attempts have had, of tasks that were tried again. */
static const sl_val *attempt_states(sl_arena *a, const sl_exec *x)
{
    sl_val *list = sl_list(a);
    for (const sl_taskrun *r = x->first; r != NULL; r = r->next)
        for (size_t i = 0; i < r->history.n; i++)
            if (r->attempt > 1 && r->history.items[i].attempt > 0)
                sl_list_add(a, list, sl_val_c(a, sl_state_name(r->history.items[i].state)));
    return list;
}

/* What EXPRESSION filters see: the variables of the execution that has ended, but for `flow`, which is the trigger's. */
static sl_expr_env own_env(sl_engine *e, sl_arena *a, const sl_exec *x, const sl_expr_env *env)
{
    sl_val *vars = sl_map_shallow(a, sl_context_vars(a, x, NULL, e->globals));
    sl_map_opt(a, vars, "flow", sl_get(env->vars, "flow"));
    (void)sl_map_remove(vars, SL_S("trigger"));
    sl_expr_env own = *env;
    own.vars = vars;
    return own;
}

/* Is everything met? Remembers what this execution has met. The outputs that the trigger shows are those of all that were needed. */
static bool preconditions_met(sl_engine *e, sl_firing *f, const sl_exec *x, const sl_expr_env *env, int64_t now)
{
    sl_arena *a = e->turn_arena;
    sl_trigger_entry *t = f->t;
    const sl_val *p = sl_get(f->spec, "preconditions"), *state, *outputs;
    bool changed, met;
    if (p == NULL)
        p = sl_conditions_multiple(sl_get(f->spec, "conditions"));
    if (p == NULL)
        return true;
    sl_expr_env own = own_env(e, a, x, env);
    sl_upstream up = { .ns = x->flow->ns, .flow_id = x->flow->id, .state = x->state, .labels = x->labels, .outputs = x->outputs, .env = env, .own = &own };
    met = sl_preconditions_match(a, p, t->row.state, &up, now, &state, &outputs, &changed);
    sl_val *vars = sl_map_shallow(a, f->vars);
    sl_map_setc(a, vars, "outputs", outputs);
    f->vars = vars;
    if (changed) {
        t->row.state = state ? sl_val_copy(e->scheduler->arena, state) : NULL;
        sl_scheduler_save(e, t, now);
    }
    return met;
}

static void flow_trigger(sl_engine *e, sl_trigger_entry *t, const sl_exec *x, int64_t now)
{
    const sl_val *spec = sl_scheduler_spec(e, t), *states = sl_get(spec, "states");
    bool wanted = !sl_is_null(states) ? sl_states_have(states, sl_str_c(sl_state_name(x->state))) : sl_state_final(x->state);
    if ((sl_str_eq(t->row.flow_id, x->flow->id) && sl_str_eq(t->row.ns, x->flow->ns)) || !wanted)
        return;
    sl_arena *a = e->turn_arena;
    sl_err err;
    if (!sl_reach(e, t->row.ns, x->flow->ns, false, &err))
        return;
    sl_firing f = { .t = t, .spec = spec, .vars = upstream_vars(a, x), .correlation = sl_get_text(x->labels, "system.correlationId") };
    sl_val *more = sl_map(a);
    sl_map_setc(a, more, "$labels", x->labels);
    if (sl_get(spec, "conditions") != NULL)
        sl_map_setc(a, more, "$attempts", attempt_states(a, x));
    sl_map_setc(a, more, "outputs", x->outputs ? x->outputs : sl_map(a));
    f.more = more;
    f.ref = sl_scheduler_flow(e, t, now);
    if (f.ref == NULL)
        return;
    sl_expr_host host;
    sl_expr_env env = env_of(e, a, &f, &host);
    bool hold;
    if (!sl_conditions_hold(a, sl_get(spec, "conditions"), &env, &hold, &err)) {
        sl_log(SL_WARN, "trigger", "%.*s.%.*s: a condition of the trigger '%.*s' counts as false: %s", SL_ARG(t->row.ns), SL_ARG(t->row.flow_id), SL_ARG(t->row.id), err.message);
        hold = false;
    }
    if (hold && preconditions_met(e, &f, x, &env, now))
        sl_scheduler_launch(e, &f, now);
    else
        sl_flow_cache_put(e->flows, f.ref);
}

static void stop_after(sl_engine *e, const sl_exec *x, int64_t now)
{
    sl_trigger_entry *t = sl_scheduler_find(e, x->flow->ns, x->flow->id, sl_get_text(x->trigger, "id"));
    if (t == NULL || !sl_states_have(sl_get(sl_scheduler_spec(e, t), "stopAfter"), sl_str_c(sl_state_name(x->state))))
        return;
    t->row.disabled = true;
    t->row.backfill = NULL;
    t->row.problem = sl_fmt(e->scheduler->arena, "stopAfter: the execution %.*s ended as %s", SL_ARG(x->id), sl_state_name(x->state));
    sl_scheduler_save(e, t, now);
}

static void flow_triggers(sl_engine *e, const sl_exec *x, int64_t now)
{
    for (size_t i = 0; i < e->scheduler->count && !e->broken; i++) {
        sl_trigger_entry *t = &e->scheduler->entries[i];
        if (t->type != NULL && t->type->kind == SL_TRIGGER_FLOW && !t->off && !t->row.disabled)
            flow_trigger(e, t, x, now);
    }
}

void sl_scheduler_ended(sl_engine *e, const sl_live *l, int64_t now)
{
    if (l->x->trigger != NULL) {
        stop_after(e, l->x, now);
        e->scheduler->dirty = true; /* a date may have waited for it */
    }
    flow_triggers(e, l->x, now);
}

void sl_scheduler_paused(sl_engine *e, const sl_live *l, int64_t now)
{
    flow_triggers(e, l->x, now);
}
