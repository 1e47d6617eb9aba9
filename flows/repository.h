/*
 * flows/repository.h: flows with their revisions, and the state of their triggers, in the store.
 *
 * Writing functions belong to the engine's thread and run inside of its transaction; reading ones work on any store.
 */
#pragma once

#include "flows/store.h"

typedef struct sl_flow_row {
    sl_str ns, id, source;
    int64_t revision, updated_ms;
    bool deleted, disabled;
} sl_flow_row;

/* revision 0 = the newest. *found = false: there is none (a deleted flow is found, with `deleted`). */
bool sl_repository_flow(sl_store *s, sl_arena *arena, sl_str ns, sl_str id, int64_t revision, sl_flow_row *ret, bool *found, sl_err *err);
/*
 * Stores the flow as a new revision, unless its source is the newest one's; its triggers follow: new and changed ones start
 * with their next date after now_ms.
 */
bool sl_repository_put(sl_store *s, const sl_flow *flow, sl_str author, int64_t now_ms, int64_t *ret_revision, sl_err *err);
/* Marks it as deleted; its triggers are gone. */
bool sl_repository_delete(sl_store *s, sl_str ns, sl_str id, sl_str author, int64_t now_ms, sl_err *err);

typedef struct sl_trigger_row {
    sl_str ns, flow_id, id, type;
    sl_str spec;                 /* the trigger as JSON */
    bool disabled;               /* over the API or by stopAfter; the flow's own `disabled` is in spec */
    int64_t next_ms;             /* next date of a schedule; INT64_MAX = never */
    int64_t last_ms;             /* date that fired last; 0 = none */
    const sl_val *backfill;      /* map or NULL: id, start, end, current, paused, parallel, only, inputs, labels (times in ms) */
    sl_str problem;              /* why it did not fire, when something was wrong */
    const sl_val *state;         /* Flow: which preconditions were met, and when; one that polls: {execution, kept, again} */
    int64_t updated_ms;
} sl_trigger_row;

/* ns.p NULL: of all namespaces; flow_id.p NULL: of all flows. In the order of their names. */
bool sl_repository_triggers(sl_store *s, sl_arena *arena, sl_str ns, sl_str flow_id, sl_trigger_row **ret, size_t *ret_count, sl_err *err);
bool sl_repository_save_trigger(sl_store *s, const sl_trigger_row *t, sl_err *err);

/* State of the newest execution for a date of a trigger, whatever made it; *found = false: there is none. */
bool sl_repository_tick(sl_store *s, sl_str ns, sl_str flow_id, sl_str trigger_id, int64_t tick_ms, bool *found, sl_state *ret_state, sl_err *err);
