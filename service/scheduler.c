/* service/scheduler.c: see scheduler.h. The turn of the loop: which dates have come, what is to be looked at. */
#include "service/scheduler_private.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"

enum { FIRED_PER_TURN = 64, NO_ROOM_MS = 2000 };

/* Of a thousand triggers only what the next look needs is kept; the rest is read again when one fires. */
static bool open_entry(sl_scheduler *s, sl_engine *e, sl_trigger_entry *t, sl_err *err)
{
    SL_ARENA scratch = sl_arena_new();
    sl_err ignored;
    t->type = sl_trigger_find(t->row.type);
    t->polls = t->type ? NULL : sl_registry_find_trigger(e->options.registry, t->row.type);
    bool dated = t->type != NULL && (t->type->kind == SL_TRIGGER_SCHEDULE || t->type->kind == SL_TRIGGER_DATES);
    sl_arena *where = dated && t->type->kind == SL_TRIGGER_SCHEDULE ? scratch : s->arena; /* a list of dates stays */
    const sl_val *spec = sl_json_parse(where, t->row.spec, &ignored);
    t->dated = dated && sl_schedule_open(where, spec, &t->schedule, &ignored);
    sl_stmt *q = sl_db_query(sl_store_db(e->store), err, "SELECT deleted OR disabled FROM flows WHERE ns=? AND id=?", "ss", t->row.ns, t->row.flow_id);
    int rc = q ? sl_stmt_next(q, err) : -1;
    t->off = rc != 1 || sl_col_int(q, 0) != 0 || sl_get_bool(spec, "disabled", false);
    if (rc == 1)
        sl_stmt_done(q);
    return rc >= 0;
}

static bool load(sl_scheduler *s, sl_engine *e, sl_err *err)
{
    s->arena = sl_arena_new();
    sl_trigger_row *rows;
    if (!sl_repository_triggers(e->store, s->arena, (sl_str){ NULL, 0 }, (sl_str){ NULL, 0 }, &rows, &s->count, err))
        return false;
    s->entries = SL_ARRAY(s->arena, sl_trigger_entry, s->count + 1);
    for (size_t i = 0; i < s->count; i++) {
        s->entries[i].row = rows[i];
        if (!open_entry(s, e, &s->entries[i], err))
            return false;
    }
    s->dirty = true;
    return true;
}

const sl_val *sl_scheduler_spec(sl_engine *e, const sl_trigger_entry *t)
{
    sl_err ignored;
    return sl_json_parse(e->turn_arena, t->row.spec, &ignored);
}

sl_scheduler *sl_scheduler_new(sl_engine *e, sl_err *err)
{
    sl_scheduler *s = sl_malloc(sizeof *s);
    *s = (sl_scheduler){ .after_outage = true };
    if (load(s, e, err))
        return s;
    sl_scheduler_free(s);
    return NULL;
}

void sl_scheduler_free(sl_scheduler *s)
{
    if (s == NULL)
        return;
    sl_arena_free(s->arena);
    free(s);
}

void sl_scheduler_reload(sl_engine *e)
{
    sl_err err;
    if (e->scheduler == NULL)
        return;
    sl_arena_free(e->scheduler->arena);
    *e->scheduler = (sl_scheduler){ 0 };
    if (!load(e->scheduler, e, &err))
        sl_engine_break(e, &err);
}

sl_trigger_entry *sl_scheduler_find(sl_engine *e, sl_str ns, sl_str flow_id, sl_str id)
{
    sl_scheduler *s = e->scheduler;
    for (size_t i = 0; s != NULL && i < s->count; i++)
        if (sl_str_eq(s->entries[i].row.id, id) && sl_str_eq(s->entries[i].row.flow_id, flow_id) && sl_str_eq(s->entries[i].row.ns, ns))
            return &s->entries[i];
    return NULL;
}

void sl_scheduler_save(sl_engine *e, sl_trigger_entry *t, int64_t now)
{
    sl_err err;
    t->row.updated_ms = now;
    if (!sl_repository_save_trigger(e->store, &t->row, &err))
        sl_engine_break(e, &err);
}

static size_t running(const sl_engine *e, const sl_trigger_entry *t, sl_str kind)
{
    size_t n = 0, at = 0;
    for (sl_live *l = sl_live_each(e, &at, NULL); l != NULL; l = sl_live_each(e, &at, l)) {
        const sl_exec *x = l->x;
        n += x->tick_kind.n > 0 && !sl_state_final(x->state) && sl_str_eq(x->tick_kind, kind) && sl_str_eq(sl_get_text(x->trigger, "id"), t->row.id)
             && sl_str_eq(x->flow->id, t->row.flow_id) && sl_str_eq(x->flow->ns, t->row.ns);
    }
    return n;
}

/* Those that wait in the queue of a concurrency limit are not in memory. */
static size_t queued(sl_engine *e, const sl_trigger_entry *t, sl_str kind)
{
    sl_err err;
    sl_stmt *q = sl_db_query(sl_store_db(e->store), &err, "SELECT count(*) FROM executions WHERE over=0 AND state='QUEUED' AND ns=? AND flow_id=? AND trigger_id=? AND tick_kind=?", "ssss", t->row.ns,
                             t->row.flow_id, t->row.id, kind);
    if (q == NULL || sl_stmt_next(q, &err) != 1) {
        sl_engine_break(e, &err);
        return 0;
    }
    size_t n = (size_t)sl_col_int(q, 0);
    sl_stmt_done(q);
    return n;
}

size_t sl_scheduler_alive(sl_engine *e, const sl_trigger_entry *t, sl_str kind)
{
    return running(e, t, kind) + queued(e, t, kind);
}

/* ---- schedules ---- */

static void turn_schedule(sl_engine *e, sl_trigger_entry *t, int64_t now)
{
    int64_t next = sl_schedule_due(&t->schedule, t->row.next_ms, now, e->scheduler->after_outage);
    bool moved = next != t->row.next_ms;
    t->row.next_ms = next;
    while (t->row.next_ms <= now && e->scheduler->fired < FIRED_PER_TURN) {
        if (!t->schedule.concurrent && sl_scheduler_alive(e, t, SL_S("schedule")) > 0)
            break; /* it fires late, when that one has ended */
        if (!sl_scheduler_fire(e, t, t->row.next_ms, SL_S("schedule"), NULL, NULL, now))
            break;
        t->row.last_ms = t->row.next_ms;
        t->row.next_ms = sl_schedule_next(&t->schedule, t->row.next_ms);
        moved = true;
    }
    if (moved)
        sl_scheduler_save(e, t, now);
    /* A date that is held up waits for an execution's end, which makes the scheduler look again. */
    int64_t wake = t->row.next_ms <= now ? (e->scheduler->fired >= FIRED_PER_TURN ? now : INT64_MAX) : t->row.next_ms;
    if (wake < e->scheduler->wake_ms)
        e->scheduler->wake_ms = wake;
}

/* ---- backfills ---- */

static bool wanted(sl_engine *e, const sl_trigger_entry *t, sl_str only, int64_t at)
{
    bool found;
    sl_state state = SL_CREATED;
    sl_err err;
    if (only.n == 0)
        return true;
    if (!sl_repository_tick(e->store, t->row.ns, t->row.flow_id, t->row.id, at, &found, &state, &err)) {
        sl_engine_break(e, &err);
        return false;
    }
    return sl_backfill_wants(only, found, state);
}

bool sl_backfill_wants(sl_str only, bool found, sl_state state)
{
    bool failed = found && (state == SL_FAILED || state == SL_KILLED || state == SL_CANCELLED);
    return only.n == 0 || (sl_str_eqc(only, "missing") ? !found : failed);
}

static void turn_backfill(sl_engine *e, sl_trigger_entry *t, int64_t now)
{
    sl_scheduler *s = e->scheduler;
    const sl_val *b = t->row.backfill;
    int64_t at = sl_get_int(b, "current", 0), end = sl_get_int(b, "end", 0), parallel = sl_get_int(b, "parallel", 1), was = at;
    sl_str id = sl_get_text(b, "id"), only = sl_get_text(b, "only");
    if (sl_get_bool(b, "paused", false))
        return;
    size_t busy = sl_scheduler_alive(e, t, id);
    while (at <= end && busy < (size_t)parallel && s->fired < FIRED_PER_TURN && !e->broken) {
        if (wanted(e, t, only, at)) {
            if (!sl_scheduler_fire(e, t, at, id, sl_get(b, "inputs"), sl_get(b, "labels"), now))
                return;
            busy = sl_scheduler_alive(e, t, id);
        }
        at = sl_schedule_next(&t->schedule, at);
    }
    if (at <= end && s->fired >= FIRED_PER_TURN)
        s->wake_ms = now;
    if (at > end && busy == 0)
        t->row.backfill = NULL; /* done */
    else if (at != was) {
        sl_val *next = sl_map_shallow(s->arena, b);
        sl_map_set_int(s->arena, next, "current", at);
        t->row.backfill = next;
    } else
        return;
    sl_scheduler_save(e, t, now);
}

void sl_scheduler_turn(sl_engine *e, int64_t now)
{
    sl_scheduler *s = e->scheduler;
    if (!s->dirty && now < s->wake_ms)
        return;
    sl_err full;
    if (!sl_engine_has_room(e, &full)) { /* dates that have come wait */
        s->dirty = false;
        s->wake_ms = now + NO_ROOM_MS;
        return;
    }
    s->dirty = false;
    s->fired = 0;
    s->wake_ms = INT64_MAX;
    for (size_t i = 0; i < s->count && !e->broken; i++) {
        sl_trigger_entry *t = &s->entries[i];
        if (t->off || t->row.disabled)
            continue;
        if (t->polls != NULL)
            sl_poll_turn(e, t, now);
        if (!t->dated)
            continue;
        turn_schedule(e, t, now);
        if (t->row.backfill != NULL)
            turn_backfill(e, t, now);
    }
    s->after_outage = false;
}

int64_t sl_scheduler_next_wake(const sl_engine *e)
{
    return e->scheduler->dirty ? 0 : e->scheduler->wake_ms;
}
