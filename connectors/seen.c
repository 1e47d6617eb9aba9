/* connectors/seen.c: see seen.h. */
#include "connectors/seen.h"

#include "base/arena.h"
#include "base/clock.h"

typedef struct look {
    const sl_seen_store *s;
    const sl_seen_cfg *c;
    sl_arena *arena;
    const sl_val *before;         /* seen, earlier */
    sl_val *seen, *pending, *taken;
    int64_t now_ms;
    bool limited;
} look;

static void remember(look *l, sl_str id, sl_str version, int64_t at)
{
    sl_val *entry = sl_map_of(l->arena, "version", sl_val_str(l->arena, version));
    sl_map_set_int(l->arena, entry, "at", at);
    sl_map_set(l->arena, l->seen, id, entry);
}

static bool take(look *l, const sl_val *o, bool is_new, sl_err *err)
{
    sl_val *described;
    const sl_val *todo;
    if (!l->s->take(l->s->self, o, &described, &todo, err))
        return false;
    sl_map_set_str(l->arena, described, "changeType", is_new ? SL_S("CREATE") : SL_S("UPDATE"));
    sl_list_add(l->arena, l->taken, described);
    if (l->s->acts)
        sl_list_add(l->arena, l->pending, todo);
    return true;
}

static bool consider(look *l, const sl_val *o, sl_err *err)
{
    sl_str id = l->s->id(l->s->self, o), version = l->s->version(l->s->self, o);
    const sl_val *was = sl_get_str(l->before, id);
    int64_t at = sl_get_int(was, "at", 0);
    bool is_new = was == NULL || (l->c->ttl_ms > 0 && at + l->c->ttl_ms <= l->now_ms), changed = !is_new && !sl_str_eq(sl_get_text(was, "version"), version);
    if (!is_new && !changed) {
        remember(l, id, version, at);
        return true;
    }
    bool wanted = !sl_str_eqc(l->c->on, is_new ? "UPDATE" : "CREATE");
    if (wanted && l->s->max_files > 0 && l->taken->list.n >= (size_t)l->s->max_files) {
        if (was != NULL && !is_new)
            remember(l, id, sl_get_text(was, "version"), at); /* it is still changed at the next look */
        l->limited = true;
        return true;
    }
    if (sl_task_cancelled(l->s->task))
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while looking");
    if (wanted && !take(l, o, is_new, err))
        return false;
    if (!wanted || !l->s->acts)
        remember(l, id, version, l->now_ms);
    return true;
}

static bool look_around(look *l, sl_err *err)
{
    const sl_val *objects;
    if (!l->s->list(l->s->self, &objects, err))
        return false;
    for (size_t i = 0; i < sl_val_count(objects); i++)
        if (!consider(l, sl_at(objects, i), err))
            return false;
    return true;
}

/* Each may have been done before the process was lost: the checkpoint makes a move ask. */
static sl_outcome act(look *l, const sl_val *state, sl_err *err)
{
    sl_val *rest = sl_map_shallow(l->arena, state);
    sl_map_setc(l->arena, rest, "pending", l->pending);
    if (!sl_task_checkpoint(l->s->task, sl_map(l->arena), err) || !l->s->act(l->s->self, sl_get(state, "pending"), err))
        return SL_TASK_FAILED;
    sl_task_polled(l->s->task, false, rest, false);
    return SL_TASK_DONE;
}

sl_outcome sl_seen_look(const sl_seen_store *s, const sl_seen_cfg *c, sl_err *err)
{
    const sl_val *state = sl_task_trigger_state(s->task);
    sl_arena *a = sl_task_arena(s->task);
    look l = { .s = s, .c = c, .arena = a, .now_ms = sl_now_ms(), .seen = sl_map(a), .pending = sl_list(a), .taken = sl_list(a) };
    if (sl_val_count(sl_get(state, "pending")) > 0)
        return act(&l, state, err);
    if (sl_str_eq(sl_get_text(state, "key"), c->state_key))
        l.before = sl_get(state, "seen");
    if (!look_around(&l, err))
        return SL_TASK_FAILED;
    sl_val *next = sl_map(a);
    sl_map_set_str(a, next, "key", c->state_key);
    sl_map_setc(a, next, "seen", l.seen);
    sl_map_setc(a, next, "pending", l.pending);
    if (l.limited)
        sl_task_log(s->task, SL_INFO, "%lld objects are taken (maxFiles), the others at a later look", (long long)s->max_files);
    sl_task_out(s->task, s->output, l.taken);
    sl_task_polled(s->task, l.taken->list.n > 0, next, l.pending->list.n > 0);
    return SL_TASK_DONE;
}
