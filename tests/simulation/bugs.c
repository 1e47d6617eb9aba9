/*
 * tests/simulation/bugs.c: mistakes such as a programmer makes, planted between the files of the engine by the linker's
 * --wrap: the simulation has to find each of them.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "flows/precondition.h"
#include "tests/simulation/world.h"

bug bug_planted;
const char *const bug_names[BUG_COUNT] = {
    [BUG_NONE] = "none", [BUG_LIMIT] = "the concurrency limit is not kept", [BUG_QUEUE] = "a slot that becomes free is not given away", [BUG_SAVE] = "now and then an execution is not saved",
    [BUG_DATE] = "now and then a date is left out", [BUG_RESUME] = "attempts that were lost are not begun again", [BUG_WAKE] = "waiting task runs are not woken",
    [BUG_OPEN] = "after a start only the oldest open execution is found", [BUG_ENDED] = "the scheduler is not told of an end", [BUG_COMMIT] = "actions come before the commit",
    [BUG_CHECKPOINT] = "checkpoints are not kept", [BUG_KILL] = "a kill is lost", [BUG_TICK] = "executions of a date are not found",
};

bool __real_sl_execution_fill_slots(sl_engine *e, int64_t now_ms, sl_err *err);
bool __wrap_sl_execution_fill_slots(sl_engine *e, int64_t now_ms, sl_err *err);
bool __wrap_sl_execution_fill_slots(sl_engine *e, int64_t now_ms, sl_err *err)
{
    if (bug_planted != BUG_QUEUE)
        return __real_sl_execution_fill_slots(e, now_ms, err);
    e->slots_freed = NULL;
    return true;
}

bool __real_sl_store_save(sl_store *s, sl_exec *x, sl_err *err);
bool __wrap_sl_store_save(sl_store *s, sl_exec *x, sl_err *err);
bool __wrap_sl_store_save(sl_store *s, sl_exec *x, sl_err *err)
{
    return (bug_planted == BUG_SAVE && x->created && sim_chance(5)) || __real_sl_store_save(s, x, err);
}

int64_t __real_sl_schedule_next(const sl_schedule *s, int64_t after_ms);
int64_t __wrap_sl_schedule_next(const sl_schedule *s, int64_t after_ms);
int64_t real_schedule_next(const sl_schedule *s, int64_t after_ms)
{
    return __real_sl_schedule_next(s, after_ms);
}

int64_t __wrap_sl_schedule_next(const sl_schedule *s, int64_t after_ms)
{
    int64_t at = __real_sl_schedule_next(s, after_ms);
    return bug_planted == BUG_DATE && at != INT64_MAX && sim_chance(5) ? __real_sl_schedule_next(s, at) : at;
}

void __real_sl_exec_resume(sl_exec *x, int64_t now_ms);
void __wrap_sl_exec_resume(sl_exec *x, int64_t now_ms);
void __wrap_sl_exec_resume(sl_exec *x, int64_t now_ms)
{
    __real_sl_exec_resume(x, now_ms);
    if (bug_planted == BUG_RESUME)
        x->action_count = 0;
}

void __real_sl_live_reschedule(sl_engine *e, sl_live *l, int64_t wake_ms);
void __wrap_sl_live_reschedule(sl_engine *e, sl_live *l, int64_t wake_ms);
void __wrap_sl_live_reschedule(sl_engine *e, sl_live *l, int64_t wake_ms)
{
    __real_sl_live_reschedule(e, l, bug_planted == BUG_WAKE ? INT64_MAX : wake_ms);
}

bool __real_sl_store_open_executions(sl_store *s, sl_arena *arena, const sl_val **ret, sl_err *err);
bool __wrap_sl_store_open_executions(sl_store *s, sl_arena *arena, const sl_val **ret, sl_err *err);
bool __wrap_sl_store_open_executions(sl_store *s, sl_arena *arena, const sl_val **ret, sl_err *err)
{
    bool ok = __real_sl_store_open_executions(s, arena, ret, err);
    if (ok && bug_planted == BUG_OPEN && sl_val_count(*ret) > 1) {
        sl_val *first = sl_list(arena);
        sl_list_add(arena, first, sl_at(*ret, 0));
        *ret = first;
    }
    return ok;
}

void __real_sl_scheduler_ended(sl_engine *e, const sl_live *l, int64_t now_ms);
void __wrap_sl_scheduler_ended(sl_engine *e, const sl_live *l, int64_t now_ms);
void __wrap_sl_scheduler_ended(sl_engine *e, const sl_live *l, int64_t now_ms)
{
    if (bug_planted != BUG_ENDED)
        __real_sl_scheduler_ended(e, l, now_ms);
}

/* A lost process, at the worst places of a turn; and the bug of two turns in one transaction. */
static bool open_turn;
bool __real_sl_store_begin(sl_store *s, sl_err *err);
bool __wrap_sl_store_begin(sl_store *s, sl_err *err);
bool __wrap_sl_store_begin(sl_store *s, sl_err *err)
{
    return open_turn || __real_sl_store_begin(s, err);
}

bool __real_sl_store_commit(sl_store *s, sl_err *err);
bool __wrap_sl_store_commit(sl_store *s, sl_err *err);
bool __wrap_sl_store_commit(sl_store *s, sl_err *err)
{
    if (!sim->calm && sim_chance(1))
        return sl_err_set(err, SL_ERR_IO, "sim", "lost before the commit");
    open_turn = bug_planted == BUG_COMMIT && !sim->calm && !open_turn;
    if (open_turn)
        return true;
    return __real_sl_store_commit(s, err) && (sim->calm || !sim_chance(1) || sl_err_set(err, SL_ERR_IO, "sim", "lost after the commit"));
}

void __real_sl_store_close(sl_store *s);
void __wrap_sl_store_close(sl_store *s);
void __wrap_sl_store_close(sl_store *s)
{
    open_turn = false;
    __real_sl_store_close(s);
}

void __real_sl_exec_event(sl_exec *x, const sl_event *e, int64_t now_ms);
void __wrap_sl_exec_event(sl_exec *x, const sl_event *e, int64_t now_ms);
void __wrap_sl_exec_event(sl_exec *x, const sl_event *e, int64_t now_ms)
{
    if ((bug_planted == BUG_CHECKPOINT && e->kind == SL_EV_CHECKPOINT) || (bug_planted == BUG_KILL && e->kind == SL_EV_KILL))
        return;
    sl_event changed = *e;
    if (bug_planted == BUG_LIMIT && e->kind == SL_EV_QUEUE)
        changed.kind = SL_EV_START;
    __real_sl_exec_event(x, &changed, now_ms);
}

bool __real_sl_repository_tick(sl_store *s, sl_str ns, sl_str flow_id, sl_str trigger_id, int64_t tick_ms, bool *found, sl_state *ret_state, sl_err *err);
bool __wrap_sl_repository_tick(sl_store *s, sl_str ns, sl_str flow_id, sl_str trigger_id, int64_t tick_ms, bool *found, sl_state *ret_state, sl_err *err);
bool __wrap_sl_repository_tick(sl_store *s, sl_str ns, sl_str flow_id, sl_str trigger_id, int64_t tick_ms, bool *found, sl_state *ret_state, sl_err *err)
{
    bool ok = __real_sl_repository_tick(s, ns, flow_id, trigger_id, tick_ms, found, ret_state, err);
    if (bug_planted == BUG_TICK)
        *found = false;
    return ok;
}

/* A call is answered by turning the engine until it is on disk: there is one thread only. */
bool __real_sl_engine_call(sl_engine *e, void (*fn)(sl_engine *e, void *arg, int64_t now_ms), void *arg, sl_err *err);
bool __wrap_sl_engine_call(sl_engine *e, void (*fn)(sl_engine *e, void *arg, int64_t now_ms), void *arg, sl_err *err);
bool __wrap_sl_engine_call(sl_engine *e, void (*fn)(sl_engine *e, void *arg, int64_t now_ms), void *arg, sl_err *err)
{
    sl_arena *a = sl_arena_new();
    sl_message *m = SL_NEW(a, sl_message);
    *m = (sl_message){ .call = fn, .arg = arg, .arena = a };
    sl_engine_post(e, m);
    sim->turns++;
    return sl_engine_step(e, err);
}
