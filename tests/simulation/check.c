/* tests/simulation/check.c: what has to hold, after every turn, after every loss, and at the end. */
#include "base/arena.h"
#include "flows/trigger.h"
#include "tests/simulation/world.h"

static bool same(const sl_taskrun *a, const sl_taskrun *b)
{
    return a == NULL || b == NULL ? a == b : sl_str_eq(a->id, b->id) && a->state == b->state && a->attempt == b->attempt && a->waiting == b->waiting;
}

static const char *state_of(const sl_taskrun *r)
{
    return r ? sl_state_name(r->state) : "nothing";
}

/* What is in memory is on disk. */
static void compare(sl_live *l)
{
    sl_err err;
    sl_exec *x = sl_store_load(sim->engine->store, l->x->flow, l->x->id, &err);
    if (x == NULL) {
        sim_fail("%.*s is in memory only: %s", SL_ARG(l->x->id), err.message);
        return;
    }
    const sl_taskrun *memory = l->x->first, *disk = x->first;
    while (memory != NULL && same(memory, disk)) {
        memory = memory->next;
        disk = disk->next;
    }
    if (x->state != l->x->state || !same(memory, disk))
        sim_fail("%.*s: in memory %s, on disk %s; the task run '%.*s' %s in memory, %s on disk", SL_ARG(x->id), sl_state_name(l->x->state), sl_state_name(x->state),
                 SL_ARG(memory ? memory->def->id : SL_S("-")), state_of(memory), state_of(disk));
    sl_arena_free(x->arena);
}

void check_live(void)
{
    size_t at = 0, limited = 0, scheduled = 0, n = 0;
    sl_live *any = NULL;
    if (sim->engine->touched != NULL)
        return; /* a start that has not been written yet */
    for (sl_live *l = sl_live_each(sim->engine, &at, NULL); l != NULL; l = sl_live_each(sim->engine, &at, l)) {
        sl_state s = l->x->state;
        if (sl_state_final(s))
            continue;
        limited += sl_str_eqc(l->x->flow->id, "limited") && s != SL_CREATED && s != SL_QUEUED;
        scheduled += sl_str_eqc(l->x->flow->id, "scheduled");
        if (sim_below(++n) == 0)
            any = l;
    }
    if (limited > 2)
        sim_fail("%zu executions run where the limit is 2", limited);
    if (scheduled > 1)
        sim_fail("%zu dates of a schedule run at the same time", scheduled);
    if (any != NULL && sim_chance(20))
        compare(any);
}

static int64_t number_with(const char *sql, const char *flow, int64_t at_ms)
{
    sl_err err;
    sl_stmt *q = sl_db_query(sl_store_db(sim->engine->store), &err, sql, "si", sl_str_c(flow), at_ms);
    int64_t n = q != NULL && sl_stmt_next(q, &err) == 1 ? sl_col_int(q, 0) : -1;
    if (q != NULL)
        sl_stmt_done(q);
    return n;
}

/* sql: a literal; statements are kept by it. */
static int64_t number(const char *sql)
{
    sl_err err;
    sl_stmt *q = sl_db_query(sl_store_db(sim->engine->store), &err, sql, "");
    int64_t n = q != NULL && sl_stmt_next(q, &err) == 1 ? sl_col_int(q, 0) : -1;
    if (q != NULL)
        sl_stmt_done(q);
    return n;
}

static void check_state(sl_str id, sl_state state)
{
    for (size_t i = 0; i < sim->ended_count; i++)
        if (sl_str_eqc(id, sim->ended[i].id)) {
            if (sim->ended[i].state != state)
                sim_fail("%.*s had ended as %s and is %s now", SL_ARG(id), sl_state_name(sim->ended[i].state), sl_state_name(state));
            return;
        }
    if (!sl_state_final(state) || sim->ended_count == ENDED_MAX)
        return;
    ended *e = &sim->ended[sim->ended_count++];
    (void)snprintf(e->id, sizeof e->id, "%.*s", SL_ARG(id));
    e->state = state;
}

void check_disk(void)
{
    SL_ARENA a = sl_arena_new();
    sl_err err;
    sl_stmt *q = sl_db_query(sl_store_db(sim->engine->store), &err, "SELECT id, state FROM executions", "");
    while (q != NULL && sl_stmt_next(q, &err) == 1) {
        sl_state state = SL_CREATED;
        sl_str name = sl_col_str(q, a, 1);
        if (!sl_state_parse(name, &state))
            sim_fail("the state '%.*s'", SL_ARG(name));
        check_state(sl_col_str(q, a, 0), state);
    }
}

/* Executions for a date: of the schedule itself, or of backfills. */
static int64_t by_schedule(const char *flow, int64_t at_ms)
{
    return number_with("SELECT count(*) FROM executions WHERE flow_id=? AND tick_ms=? AND tick_kind='schedule'", flow, at_ms);
}

static int64_t by_backfill(const char *flow, int64_t at_ms)
{
    return number_with("SELECT count(*) FROM executions WHERE flow_id=? AND tick_ms=? AND tick_kind<>'schedule'", flow, at_ms);
}

/* Every date up to the high-water mark has one execution. */
static void check_schedule(const char *flow, const char *cron, const char *zone)
{
    SL_ARENA a = sl_arena_new();
    sl_err err;
    sl_schedule s;
    sl_val *spec = sl_map_of(a, "cron", sl_val_c(a, cron));
    sl_map_set_str(a, spec, "timezone", sl_str_c(zone));
    sl_assert(sl_schedule_open(a, spec, &s, &err));
    int64_t next = number_with("SELECT next_ms FROM triggers WHERE flow_id=? AND ?>0", flow, 1), count = 0, at = real_schedule_next(&s, sim->began_ms);
    for (; at < next; at = real_schedule_next(&s, at), count++)
        if (by_schedule(flow, at) != 1)
            sim_fail("%s has %lld executions for the date %lld", flow, (long long)by_schedule(flow, at), (long long)at);
    if (at != next)
        sim_fail("the next date of %s is %lld, not %lld", flow, (long long)next, (long long)at);
    if (next <= sim->now_ms)
        sim_fail("%s stopped at %lld, %lld ms ago", flow, (long long)next, (long long)(sim->now_ms - next));
    int64_t all = number_with("SELECT count(*) FROM executions WHERE flow_id=? AND ?>0 AND tick_kind='schedule'", flow, 1);
    if (all != count)
        sim_fail("%s has %lld executions for %lld dates", flow, (long long)all, (long long)count);
}

/* The longest fill contains the others; what the first ones have done, the later ones do not repeat. */
static void check_fills(void)
{
    if (sim->fill_count == 0 || number("SELECT count(*) FROM triggers WHERE backfill IS NOT NULL") != 0) {
        if (sim->fill_count > 0)
            sim_fail("a backfill does not end");
        return;
    }
    const fill *last = &sim->fills[sim->fill_count - 1];
    int64_t hour = 3600000, first = (last->start_ms + hour - 1) / hour * hour;
    for (int64_t at = first; at <= last->end_ms; at += hour)
        if (by_backfill("filled", at) != 1)
            sim_fail("the backfill has %lld executions for the date %lld", (long long)by_backfill("filled", at), (long long)at);
}

/* Every effect of an attempt that succeeded was done, and no attempt was forgotten. */
static void check_effects(void)
{
    SL_ARENA a = sl_arena_new();
    sl_err err;
    sl_stmt *q = sl_db_query(sl_store_db(sim->engine->store), &err, "SELECT id || '/' || attempt FROM taskruns WHERE state='SUCCESS' AND task LIKE 'effect%'", "");
    while (q != NULL && sl_stmt_next(q, &err) == 1) {
        sl_str key = sl_col_str(q, a, 0);
        int count = 0;
        for (size_t i = 0; i < sim->effect_count; i++)
            count += sl_str_eqc(key, sim->effects[i].key) ? sim->effects[i].count : 0;
        if (count != 1)
            sim_fail("%.*s succeeded, and its effect was done %d times", SL_ARG(key), count);
    }
}

void check_end(void)
{
    check_disk();
    if (number("SELECT count(*) FROM executions WHERE over=0") != 0)
        sim_fail("%lld executions have not ended", (long long)number("SELECT count(*) FROM executions WHERE over=0"));
    check_schedule("scheduled", "*/30 * * * *", "Europe/Berlin");
    check_schedule("filled", "0 * * * *", "UTC");
    check_fills();
    check_effects();
    int64_t lone = number("SELECT count(*) FROM executions s WHERE flow_id='scheduled' AND (SELECT count(*) FROM executions f WHERE f.flow_id='after' AND f.trigger->>'$.variables.executionId' = s.id) <> 1");
    if (lone != 0)
        sim_fail("%lld executions were not followed by exactly one other", (long long)lone);
    int64_t wrong = number("SELECT count(*) FROM executions x WHERE state='SUCCESS' AND flow_id IN ('scheduled','limited','filled','after')"
                           " AND (SELECT count(*) FROM taskruns r WHERE r.execution=x.id AND r.state='SUCCESS') <> CASE flow_id WHEN 'scheduled' THEN 5 WHEN 'limited' THEN 3 ELSE 2 END");
    if (wrong != 0)
        sim_fail("%lld executions ended without all of their tasks", (long long)wrong);
    if (number("SELECT count(*) FROM taskruns WHERE state IN ('CREATED','RUNNING','KILLING','RETRYING','PAUSED')") != 0)
        sim_fail("a task run of an execution that is over has not ended");
}
