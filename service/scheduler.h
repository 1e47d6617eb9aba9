/*
 * service/scheduler.h: the triggers of all flows: dates that come, executions that end, backfills.
 *
 * What is remembered is the row of each trigger (its next date is the high-water mark) and is written in the transaction
 * that makes the execution: a date fires once. Whether a trigger is running is never stored: it is counted over the
 * executions that are alive.
 */
#pragma once

#include "service/engine.h"

typedef enum sl_trigger_verb { SL_TRIGGER_ENABLE, SL_TRIGGER_DISABLE, SL_BACKFILL_START, SL_BACKFILL_PAUSE, SL_BACKFILL_RESUME, SL_BACKFILL_CANCEL, SL_TRIGGER_RESET } sl_trigger_verb;

typedef struct sl_trigger_request {
    sl_trigger_verb verb;
    sl_str ns, flow_id, id;
    int64_t start_ms, end_ms;       /* BACKFILL_START: both included; end 0 = now */
    const sl_val *inputs, *labels;  /* maps or NULL: over those of the trigger */
    int64_t parallel;               /* executions at a time; 0 = 1 */
    sl_str only;                    /* "", "missing", "failed" */
    sl_err err;
    bool ok;
} sl_trigger_request;

/* Any thread; on disk when it returns true. */
bool sl_trigger_do(sl_engine *e, sl_trigger_request *r, sl_err *err);
/* loop: the triggers of a flow (or, with both empty, of all) have changed in the store. */
void sl_scheduler_reload(sl_engine *e);

/*
 * What a backfill would do: [{date, state, conditions, runs}], state empty for a date without an execution, conditions: do they
 * hold. Any thread, any store.
 */
bool sl_backfill_plan(sl_engine *e, sl_store *store, sl_arena *arena, const sl_trigger_row *row, const sl_trigger_request *r, int64_t now_ms, const sl_val **ret, sl_err *err);
enum { SL_BACKFILL_DATES_MAX = 100000 };

/* Why a trigger does not fire now, or when it will: one sentence. Any thread, any store. */
bool sl_trigger_why(sl_engine *e, sl_store *store, sl_arena *arena, const sl_trigger_row *row, int64_t now_ms, sl_str *ret, sl_err *err);
