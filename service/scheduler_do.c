/* service/scheduler_do.c: what may be done to a trigger: enable, disable, backfill. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "service/scheduler_private.h"

bool sl_backfill_range(sl_trigger_request *r, int64_t now, sl_err *err)
{
    if (r->start_ms == 0)
        return sl_err_set(err, SL_ERR_CONFIG, "backfill.start", "a backfill needs a start date");
    if (r->end_ms == 0)
        r->end_ms = now;
    if (r->end_ms < r->start_ms)
        return sl_err_set(err, SL_ERR_CONFIG, "backfill.range", "the end of a backfill must not be before its start");
    if (r->only.n > 0 && !sl_str_eqc(r->only, "missing") && !sl_str_eqc(r->only, "failed"))
        return sl_err_set(err, SL_ERR_CONFIG, "backfill.only", "a backfill is of all dates, or only of those 'missing' or 'failed', not '%.*s'", SL_ARG(r->only));
    if (r->parallel < 0 || r->parallel > 1000)
        return sl_err_set(err, SL_ERR_CONFIG, "backfill.parallel", "a backfill runs 1 to 1000 executions at a time");
    return true;
}

static bool start_backfill(sl_engine *e, sl_trigger_entry *t, sl_trigger_request *r, int64_t now)
{
    sl_arena *a = e->scheduler->arena;
    char id[23];
    if (!t->dated)
        return sl_err_set(&r->err, SL_ERR_CONFIG, "backfill.type", "the trigger '%.*s' has no dates to backfill", SL_ARG(t->row.id));
    if (t->off || t->row.disabled)
        return sl_err_set(&r->err, SL_ERR_CONFLICT, "backfill.disabled", "the trigger '%.*s' or its flow is disabled; enable it first", SL_ARG(t->row.id));
    if (t->row.backfill != NULL)
        return sl_err_set(&r->err, SL_ERR_CONFLICT, "backfill.running", "the trigger '%.*s' has a backfill already; wait for its end, or cancel it", SL_ARG(t->row.id));
    if (!sl_backfill_range(r, now, &r->err))
        return false;
    sl_random_id(id);
    sl_val *b = sl_map(a);
    sl_map_set_str(a, b, "id", sl_str_c(id));
    sl_map_set_int(a, b, "start", r->start_ms);
    sl_map_set_int(a, b, "end", r->end_ms);
    sl_map_set_int(a, b, "current", sl_schedule_next(&t->schedule, r->start_ms - 1));
    sl_map_set_bool(a, b, "paused", false);
    sl_map_set_int(a, b, "parallel", r->parallel ? r->parallel : 1);
    sl_map_opt_str(a, b, "only", r->only);
    sl_map_opt(a, b, "inputs", r->inputs ? sl_val_copy(a, r->inputs) : NULL);
    sl_map_opt(a, b, "labels", r->labels ? sl_val_copy(a, r->labels) : NULL);
    t->row.backfill = b;
    return true;
}

static bool change_backfill(sl_engine *e, sl_trigger_entry *t, sl_trigger_request *r)
{
    if (t->row.backfill == NULL)
        return sl_err_set(&r->err, SL_ERR_CONFLICT, "backfill.none", "the trigger '%.*s' has no backfill", SL_ARG(t->row.id));
    if (r->verb == SL_BACKFILL_CANCEL) {
        t->row.backfill = NULL; /* what runs goes on to its end */
        return true;
    }
    sl_val *b = sl_map_shallow(e->scheduler->arena, t->row.backfill);
    sl_map_set_bool(e->scheduler->arena, b, "paused", r->verb == SL_BACKFILL_PAUSE);
    t->row.backfill = b;
    return true;
}

static void enable(sl_trigger_entry *t, bool on, int64_t now)
{
    bool was_off = t->row.disabled;
    t->row.disabled = !on;
    t->row.problem = (sl_str){ NULL, 0 };
    if (on && was_off && t->dated)
        t->row.next_ms = sl_schedule_due(&t->schedule, t->row.next_ms, now, true);
}

static void apply(sl_engine *e, void *arg, int64_t now)
{
    sl_trigger_request *r = arg;
    sl_trigger_entry *t = sl_scheduler_find(e, r->ns, r->flow_id, r->id);
    sl_err_clear(&r->err);
    r->ok = t != NULL;
    if (t == NULL) {
        sl_err_set(&r->err, SL_ERR_NOT_FOUND, "trigger.unknown", "there is no trigger '%.*s' in the flow %.*s.%.*s", SL_ARG(r->id), SL_ARG(r->ns), SL_ARG(r->flow_id));
        return;
    }
    switch (r->verb) {
    case SL_TRIGGER_ENABLE: enable(t, true, now); break;
    case SL_TRIGGER_DISABLE: enable(t, false, now); break;
    case SL_TRIGGER_RESET:
        t->row.next_ms = t->dated ? sl_schedule_next(&t->schedule, now) : t->polls ? now : INT64_MAX;
        t->row.state = NULL;
        t->row.problem = (sl_str){ NULL, 0 };
        break;
    case SL_BACKFILL_START: r->ok = start_backfill(e, t, r, now); break;
    default: r->ok = change_backfill(e, t, r); break;
    }
    if (r->ok)
        sl_scheduler_save(e, t, now);
    e->scheduler->dirty = true;
}

bool sl_trigger_do(sl_engine *e, sl_trigger_request *r, sl_err *err)
{
    if (!sl_engine_call(e, apply, r, err))
        return false;
    if (!r->ok)
        *err = r->err;
    return r->ok;
}
