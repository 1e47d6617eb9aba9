/*
 * service/scheduler_poll.c: triggers that look now and then whether something is there.
 *
 * A look is an execution of one task that lives in memory only: it may be lost at any time. What it has found, the execution
 * that follows from it and what is to be remembered are written in one transaction. Until that execution has ended there is
 * no further look, unless the trigger asked for one.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "service/scheduler_private.h"
#include "service/stored.h"

static sl_live *look_of(sl_engine *e, const sl_trigger_entry *t)
{
    size_t at = 0;
    for (sl_live *l = sl_live_each(e, &at, NULL); l != NULL; l = sl_live_each(e, &at, l))
        if (l->poll != NULL && sl_str_eq(sl_get_text(l->x->trigger, "id"), t->row.id) && sl_str_eq(l->x->flow->id, t->row.flow_id) && sl_str_eq(l->x->flow->ns, t->row.ns))
            return l;
    return NULL;
}

static sl_poll *poll_new(const sl_trigger_entry *t, const sl_flow *flow, sl_str execution_id, sl_err *err)
{
    sl_arena *a = sl_arena_new();
    sl_poll *p = SL_NEW(a, sl_poll);
    *p = (sl_poll){ .arena = a, .spec = sl_str_dup(a, t->row.spec), .execution_id = sl_str_dup(a, execution_id) };
    const sl_val *spec = sl_json_parse(a, p->spec, err);
    p->all = &p->def;
    p->def = (sl_task_def){ .id = sl_get_text(spec, "id"), .type = t->polls, .type_name = sl_str_c(t->polls->type), .props = spec };
    p->flow = (sl_flow){ .arena = a, .id = flow->id, .ns = flow->ns, .revision = flow->revision, .labels = sl_map(a), .inputs = sl_list(a), .variables = flow->variables, .hash = flow->hash };
    p->flow.tasks = (sl_task_list){ &p->all, 1 };
    p->flow.task_count = 1;
    p->flow.all = &p->all;
    p->flow.by_id = sl_map(a);
    return p;
}

/*
 * The id of the execution that may follow is on disk before the look begins: what a look that was lost has put there is
 * removed by the next one, which has the same id.
 */
static bool reserve_id(sl_engine *e, sl_trigger_entry *t, sl_str *ret, int64_t now)
{
    sl_arena *a = e->scheduler->arena;
    sl_str id = sl_get_text(t->row.state, "execution");
    const sl_val *gone;
    sl_err err;
    if (id.n > 0) {
        sl_str folder = sl_fmt(e->turn_arena, "%s/%.*s", e->storage_root, SL_ARG(sl_storage_execution_prefix(e->turn_arena, t->row.ns, t->row.flow_id, id)));
        if (!sl_stored_changes_now(e, folder, &err) || !sl_storage_purge(&e->storage, e->turn_arena, t->row.ns, t->row.flow_id, id, &gone, &err))
            sl_log(SL_WARN, "trigger", "%.*s.%.*s: %.*s: files of an earlier look: %s", SL_ARG(t->row.ns), SL_ARG(t->row.flow_id), SL_ARG(t->row.id), err.message);
        *ret = id;
        return true;
    }
    char fresh[23];
    sl_ordered_id(fresh);
    sl_val *state = sl_map(a);
    *ret = sl_str_dup(a, sl_str_c(fresh));
    sl_map_set_str(a, state, "execution", *ret);
    sl_map_opt(a, state, "kept", sl_get(t->row.state, "kept"));
    t->row.state = state;
    sl_scheduler_save(e, t, now);
    return !e->broken;
}

/* false: it is not to look this time. */
static bool wants_to_look(sl_engine *e, sl_trigger_entry *t, sl_flow_ref *ref)
{
    const sl_val *spec = sl_scheduler_spec(e, t);
    sl_firing f = { .t = t, .spec = spec, .ref = ref, .vars = sl_map(e->turn_arena) };
    bool hold;
    sl_err err;
    if (sl_scheduler_conditions(e, &f, sl_get(spec, "conditions"), &hold, &err))
        return hold;
    t->row.problem = sl_fmt(e->scheduler->arena, "a condition of the trigger: %s", err.message);
    return false;
}

static void look(sl_engine *e, sl_trigger_entry *t, int64_t now)
{
    sl_flow_ref *ref = sl_scheduler_flow(e, t, now);
    sl_str execution_id;
    char id[23];
    sl_err err;
    if (ref == NULL)
        return;
    if (!wants_to_look(e, t, ref) || !reserve_id(e, t, &execution_id, now)) {
        sl_flow_cache_put(e->flows, ref);
        return;
    }
    sl_poll *p = poll_new(t, ref->flow, execution_id, &err);
    sl_random_id(id);
    sl_exec *x = sl_exec_new(&p->flow, sl_str_c(id), now);
    sl_val *trigger = sl_map(x->arena);
    sl_map_set_str(x->arena, trigger, "id", sl_get_text(p->def.props, "id"));
    sl_map_set_str(x->arena, trigger, "type", p->def.type_name);
    if (sl_get(t->row.state, "kept") != NULL)
        sl_map_setc(x->arena, trigger, "state", sl_val_copy(x->arena, sl_get(t->row.state, "kept")));
    x->inputs = x->labels = sl_map(x->arena);
    x->trigger = trigger;
    x->tick_kind = SL_S(SL_TICK_POLL);
    sl_live *l = sl_live_add(e, x, ref);
    l->poll = p;
    sl_engine_feed(e, l, &(sl_event){ .kind = SL_EV_START }, now);
}

void sl_poll_turn(sl_engine *e, sl_trigger_entry *t, int64_t now)
{
    int64_t wake = t->row.next_ms;
    bool again = sl_get_bool(t->row.state, "again", false);
    if (wake <= now || again) {
        bool concurrent = sl_get_bool(sl_scheduler_spec(e, t), "allowConcurrent", false);
        if (look_of(e, t) != NULL || (!again && !concurrent && sl_scheduler_alive(e, t, SL_S(SL_TICK_POLLED)) > 0))
            return; /* their end makes the scheduler look again */
        t->row.next_ms = wake = now + sl_trigger_interval(sl_scheduler_spec(e, t));
        look(e, t, now);
    }
    if (wake < e->scheduler->wake_ms)
        e->scheduler->wake_ms = wake;
}

static const sl_val *without_result(sl_arena *a, const sl_val *outputs)
{
    sl_val *vars = sl_map(a);
    for (size_t i = 0; i < sl_val_count(outputs); i++)
        if (!sl_str_eqc(outputs->map.entries[i].key, SL_POLL_RESULT))
            sl_map_set(a, vars, outputs->map.entries[i].key, outputs->map.entries[i].value);
    return vars;
}

/* refusal: the execution has failed already; .n == 0: it has not. */
static void fire(sl_engine *e, sl_trigger_entry *t, const sl_live *l, const sl_val *outputs, sl_str refusal, int64_t now)
{
    sl_firing f = { .t = t, .spec = sl_scheduler_spec(e, t), .ref = sl_scheduler_flow(e, t, now), .vars = without_result(e->turn_arena, outputs), .id = l->poll->execution_id, .tick_kind = SL_S(SL_TICK_POLLED), .tick_ms = now,
                    .refusal = refusal };
    if (f.ref != NULL)
        sl_scheduler_launch(e, &f, now);
    t->row.last_ms = now;
    if (t->row.next_ms <= now) /* the look took longer than the interval */
        t->row.next_ms = now + 1;
}

void sl_poll_ended(sl_engine *e, sl_live *l, int64_t now)
{
    sl_arena *a = e->scheduler->arena;
    const sl_taskrun *r = l->x->first;
    sl_trigger_entry *t = sl_scheduler_find(e, l->x->flow->ns, l->x->flow->id, sl_get_text(l->x->trigger, "id"));
    e->scheduler->dirty = true;
    /* What was found with an older text, or after a stop, does not count: the next look finds it. */
    if (t == NULL || t->off || t->row.disabled || !sl_str_eq(t->row.spec, l->poll->spec) || l->x->state == SL_KILLED)
        return;
    const sl_val *result = r ? sl_get(r->outputs, SL_POLL_RESULT) : NULL;
    sl_val *state = sl_map(a);
    bool fires = sl_get_bool(result, "fires", false), fails = result == NULL && sl_get_bool(sl_scheduler_spec(e, t), "failOnTriggerError", false);
    t->row.problem = (sl_str){ NULL, 0 };
    if (result == NULL) {
        t->row.problem = sl_fmt(a, "its last look failed: %.*s", SL_ARG(r ? r->error : SL_S("it did not start")));
        sl_log(SL_WARN, "trigger", "%.*s.%.*s: %.*s: %.*s", SL_ARG(t->row.ns), SL_ARG(t->row.flow_id), SL_ARG(t->row.id), SL_ARG(t->row.problem));
        if (!fails)
            sl_map_set_str(a, state, "execution", l->poll->execution_id);
        sl_map_opt(a, state, "kept", sl_get(t->row.state, "kept"));
    } else {
        if (!fires)
            sl_map_set_str(a, state, "execution", l->poll->execution_id);
        if (sl_get(result, "kept") != NULL)
            sl_map_setc(a, state, "kept", sl_val_copy(a, sl_get(result, "kept")));
        sl_map_set_bool(a, state, "again", sl_get_bool(result, "again", false));
    }
    t->row.state = state;
    if (fires || fails)
        fire(e, t, l, r ? r->outputs : NULL, fails ? sl_fmt(e->turn_arena, "the trigger: %.*s", SL_ARG(t->row.problem)) : SL_S(""), now);
    sl_scheduler_save(e, t, now);
}
