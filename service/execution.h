/*
 * service/execution.h: executions from the outside: making them, and what may be done to them while they run and afterwards.
 */
#pragma once

#include "service/engine.h"

/* A new execution, inputs resolved and checked. */
typedef struct sl_new_execution {
    sl_flow_ref *ref;              /* taken over by sl_execution_create; NULL: the caller's flow outlives the engine */
    const sl_flow *flow;
    sl_str id;
    const sl_val *inputs, *labels; /* resolved; all labels */
    const sl_val *trigger;         /* {id, type, variables} or NULL */
    int64_t schedule_ms;           /* not before; 0 = at once */
    sl_str tick_kind;              /* see sl_exec */
    int64_t tick_ms;
    sl_str refusal;                /* it is made, but has failed already: why; .n == 0 otherwise */
    sl_str warning;                /* a check that only warns */
} sl_new_execution;

/*
 * Resolves inputs and evaluates the flow's checks; what it fills in lives in the arena. Any thread.
 * files: map of FILE inputs to paths that the caller may read; they are copied into the storage. NULL = none.
 * vars: further variables for expressions ({trigger: …}); NULL = none. id: .n == 0 for a new one.
 */
bool sl_execution_prepare(sl_engine *e, sl_arena *arena, const sl_flow *flow, sl_str id, const sl_val *given, const sl_val *files, const sl_val *labels, const sl_val *trigger,
                          sl_new_execution *ret, sl_problems *problems);
/* The flow's checks that fail: [{message, style, behavior}]. */
const sl_val *sl_execution_checks(sl_arena *arena, const sl_flow *flow, const sl_expr_env *env);
/* loop: it starts, waits for its date, or queues. */
sl_live *sl_execution_create(sl_engine *e, const sl_new_execution *n, int64_t now_ms);
/* Any thread: makes it and returns when it is on disk. When it does not, the flow is given back. */
bool sl_execution_submit(sl_engine *e, const sl_new_execution *n, sl_err *err);

typedef enum sl_verb { SL_DO_KILL, SL_DO_PAUSE, SL_DO_RESUME, SL_DO_RESTART, SL_DO_REPLAY, SL_DO_LABELS, SL_DO_RUN, SL_DO_STATUS, SL_DO_RUN_STATE, SL_DO_DELETE } sl_verb;

/* Something to do with one execution. RUN: a queued one starts whatever the limit says. STATUS: another final state. RUN_STATE: of a
   task run; the execution goes on from there. */
typedef struct sl_request {
    sl_verb verb;
    sl_str id;
    sl_str taskrun_id;             /* RESUME, REPLAY: that task run; .n == 0: all, from the start. RUN_STATE: that one */
    int64_t revision;              /* RESTART, REPLAY: of the flow, as a new execution; 0 = the one that it runs */
    bool alone;                    /* KILL: not those that it has called as well */
    const sl_val *values;          /* RESUME: outputs {onResume}; LABELS: map */
    sl_state status;               /* STATUS, RUN_STATE */
    bool keep_logs, keep_files;    /* DELETE */
    char new_id[23];               /* of the new execution; "" = there is none */
    sl_err err;                    /* NOT_FOUND; CONFLICT: not in this state; CONFIG: makes no sense */
    bool ok;
} sl_request;

/* Any thread; on disk when it returns true. */
bool sl_execution_do(sl_engine *e, sl_request *r, sl_err *err);
/* loop: the same as part of something larger. */
bool sl_execution_apply(sl_engine *e, sl_request *r, int64_t now_ms);
/* loop: in memory, loaded when it has to be. */
sl_live *sl_execution_open(sl_engine *e, sl_str id, sl_err *err);
/* Before the loop runs: takes up an execution that was interrupted, and keeps it for the caller; one that has ended is only loaded. */
sl_exec *sl_execution_continue(sl_engine *e, sl_str id, sl_err *err);
/* Before the loop runs: as sl_execution_create, kept for the caller. */
sl_exec *sl_execution_create_kept(sl_engine *e, const sl_new_execution *n);
/* Where attempts are executions (retry with CREATE_NEW_EXECUTION): the id of the one behind `id`, whether there is one or not. */
sl_str sl_execution_next_attempt(sl_arena *arena, sl_str id);
/* The last attempt that x, which is kept, has led to: x itself when it was not retried. After the loop. */
sl_exec *sl_execution_last_attempt(sl_engine *e, sl_arena *arena, sl_exec *x);

/* The running or paused executions of a flow: how many of its concurrency limit's slots are taken. loop. */
size_t sl_execution_slots_taken(sl_engine *e, const sl_flow *flow);
