/* service/scheduler_private.h: what scheduler.c, scheduler_fire.c and scheduler_do.c share. */
#pragma once

#include "flows/trigger.h"
#include "service/engine_private.h"
#include "service/scheduler.h"

typedef struct sl_trigger_entry {
    sl_trigger_row row;
    const sl_trigger_type *type;
    bool dated;                 /* a schedule that can be read */
    sl_schedule schedule;
    const sl_task_type *polls;  /* one that looks now and then; NULL = it does not */
    bool off;                   /* the flow, or the trigger in it, is disabled */
} sl_trigger_entry;

struct sl_scheduler {
    sl_arena *arena;            /* of the entries; renewed when flows change */
    sl_trigger_entry *entries;
    size_t count;
    int64_t wake_ms;
    size_t fired;               /* in this turn */
    bool dirty;                 /* look at all of them */
    bool after_outage;          /* the first look after a start */
};

/* The trigger as the flow has it; lives for the turn. */
const sl_val *sl_scheduler_spec(sl_engine *e, const sl_trigger_entry *t);
sl_trigger_entry *sl_scheduler_find(sl_engine *e, sl_str ns, sl_str flow_id, sl_str id);
void sl_scheduler_save(sl_engine *e, sl_trigger_entry *t, int64_t now_ms);
/* false: the flow cannot be run; the row says why, and the date stays due. True also when conditions said no. */
bool sl_scheduler_fire(sl_engine *e, sl_trigger_entry *t, int64_t at_ms, sl_str kind, const sl_val *inputs, const sl_val *labels, int64_t now_ms);
/* Executions of the trigger that are alive, by what made them ("schedule", SL_TICK_POLLED, or the id of a backfill). */
size_t sl_scheduler_alive(sl_engine *e, const sl_trigger_entry *t, sl_str kind);
/* The flow as it is now; NULL: the row says why. */
sl_flow_ref *sl_scheduler_flow(sl_engine *e, sl_trigger_entry *t, int64_t now_ms);
/* What has fired becomes an execution. */
typedef struct sl_firing {
    sl_trigger_entry *t;
    const sl_val *spec;
    sl_flow_ref *ref;
    const sl_val *vars;         /* {{ trigger }} */
    const sl_val *more;         /* further variables, such as $labels; NULL = none */
    const sl_val *inputs, *labels;
    sl_str id;                  /* of the execution; .n == 0: a new one */
    sl_str tick_kind, correlation;
    int64_t tick_ms;
    sl_str refusal;             /* it fires, and has failed already */
} sl_firing;
void sl_scheduler_launch(sl_engine *e, sl_firing *f, int64_t now_ms);
/* The trigger's conditions. An error is one of the trigger. */
bool sl_scheduler_conditions(sl_engine *e, const sl_firing *f, const sl_val *conditions, bool *hold, sl_err *err);
/* scheduler_poll.c: looks, when it is time. */
void sl_poll_turn(sl_engine *e, sl_trigger_entry *t, int64_t now_ms);
/* Sets the end that is not given, and refuses what is no range. */
bool sl_backfill_range(sl_trigger_request *r, int64_t now_ms, sl_err *err);
/* Does a backfill of that mode want a date with (or without) such an execution? */
bool sl_backfill_wants(sl_str only, bool found, sl_state state);
