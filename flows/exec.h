/*
 * flows/exec.h: one execution as a state machine without any I/O.
 *
 * sl_exec_event takes what has happened and the time, changes the execution and says what is to be done (actions). The
 * caller writes everything that is marked dirty in one transaction and only then carries out the actions. Restoring is
 * building the same object from the stored rows and calling sl_exec_resume. See flows/README.md for the diagram.
 *
 * Memory: one arena; nothing is freed before the end. Threads: owned by one thread.
 */
#pragma once

#include "base/val.h"
#include "flows/model.h"

typedef enum sl_state {
    SL_CREATED, SL_RUNNING, SL_PAUSED, SL_RESTARTED, SL_KILLING, SL_SUCCESS, SL_WARNED, SL_FAILED, SL_KILLED, SL_CANCELLED, SL_QUEUED,
    SL_RETRYING, SL_RETRIED, SL_SKIPPED,
} sl_state;
const char *sl_state_name(sl_state s);
bool sl_state_parse(sl_str name, sl_state *ret);
bool sl_state_final(sl_state s);

/* Which list of its parent a task run belongs to; also the phase that a scope is in. */
typedef enum sl_phase { SL_PHASE_MAIN, SL_PHASE_ERRORS, SL_PHASE_FINALLY, SL_PHASE_END, SL_PHASE_AFTER, SL_PHASE_OVER } sl_phase;

typedef struct sl_taskrun sl_taskrun;

/* A running list of tasks: the flow itself, or a flowable's children. */
typedef struct sl_scope {
    sl_taskrun *owner;             /* NULL: the flow */
    sl_phase phase;
    const sl_task_list *list;      /* of the phase */
    size_t next;                   /* index of the next task to start */
    size_t running;
    sl_state main_state;           /* outcome of the main list, once it is over */
    bool failed, killed, warned;   /* in the current list */
    bool over;
} sl_scope;

struct sl_taskrun {
    sl_taskrun *next;              /* all of the execution, in the order of creation */
    sl_str id;
    size_t seq;                    /* position in the order of creation */
    const sl_task_def *def;
    sl_taskrun *parent;
    sl_phase role;
    sl_str value;                  /* loop value; .p == NULL outside of loops */
    int64_t iteration;
    sl_state state;
    int attempt;                   /* from 1; 0 before the first */
    int64_t created_ms, started_ms, ended_ms, first_started_ms;
    int64_t wake_ms;               /* waiting or retrying until then; 0 = not */
    bool waiting;                  /* the attempt waits (SL_TASK_WAIT) and is to be called again */
    bool busy;                     /* a worker has it */
    const sl_val *outputs;         /* map or NULL */
    const sl_val *checkpoint;
    sl_str choice;                 /* If: then/else; Switch: the case; of the evaluation, kept for a restart */
    bool chosen;
    sl_str error;
    sl_scope *scope;               /* flowable */
    bool dirty;                    /* to be written */
    sl_taskrun *next_dirty;
};

typedef enum sl_action_kind {
    SL_ACT_RUN,                    /* hand the attempt to a worker (again, when it waited) */
    SL_ACT_EVALUATE,               /* runIf and condition of a flowable; WorkingDirectory: fill the folder */
    SL_ACT_LEAVE,                  /* WorkingDirectory: collect its files and remove the folder */
    SL_ACT_STOP,                   /* a worker has it: make it end */
    SL_ACT_KILL,                   /* it waits: call the type's kill function */
} sl_action_kind;

typedef struct sl_action {
    sl_action_kind kind;
    sl_taskrun *run;
} sl_action;

typedef struct sl_exec {
    sl_arena *arena;
    const sl_flow *flow;
    sl_str id;
    sl_state state;
    const sl_val *inputs, *labels, *trigger; /* maps; trigger may be NULL */
    const sl_val *outputs;         /* of the flow, rendered at its end */
    sl_val *task_outputs;          /* {{ outputs }} */
    int64_t created_ms, started_ms, ended_ms;
    bool killing;
    bool outputs_pending;          /* the flow's outputs have to be rendered before it can end */
    sl_scope root;
    sl_taskrun *first, *last;
    size_t run_count;
    bool dirty;
    sl_taskrun *dirty_runs;
    sl_action *actions;            /* of the last event */
    size_t action_count, action_capacity;
    sl_str (*new_id)(void *self, sl_arena *arena);
    void *new_id_self;
} sl_exec;

typedef enum sl_event_kind {
    SL_EV_START,
    SL_EV_FINISHED,                /* an attempt ended: state SUCCESS, WARNING, FAILED, SKIPPED or KILLED */
    SL_EV_WAITING,                 /* the attempt wants to be called again at wake_ms */
    SL_EV_EVALUATED,               /* choice, or FAILED/SKIPPED */
    SL_EV_LEFT,                    /* WorkingDirectory is cleared: state and outputs */
    SL_EV_TIMER,                   /* look at everything that was to wake up by now */
    SL_EV_CHECKPOINT,
    SL_EV_KILL,
    SL_EV_OUTPUTS,                 /* the flow's outputs are rendered (outputs), or FAILED */
} sl_event_kind;

typedef struct sl_event {
    sl_event_kind kind;
    sl_taskrun *run;
    sl_state state;
    const sl_val *outputs;         /* copied into the execution's arena */
    const sl_val *checkpoint;      /* likewise */
    const sl_val *labels;          /* merged into the execution's */
    sl_str choice, error;
    int64_t wake_ms;
    double random;                 /* 0..1, for retries of type random */
} sl_event;

sl_exec *sl_exec_new(const sl_flow *flow, sl_str id, int64_t now_ms);
void sl_exec_event(sl_exec *x, const sl_event *e, int64_t now_ms);
/* After the rows have been put back with sl_exec_restore: what was busy runs again, with its checkpoint. */
void sl_exec_resume(sl_exec *x, int64_t now_ms);
/* Adds a stored task run (in the order of creation); the caller fills its fields. */
sl_taskrun *sl_exec_restore(sl_exec *x, sl_str id, const sl_task_def *def, sl_taskrun *parent, sl_phase role, sl_str value, int64_t iteration);
/* The next time to send SL_EV_TIMER; INT64_MAX when there is none. */
int64_t sl_exec_next_wake(const sl_exec *x);
/* Ended, and what runs after the end has run, too. */
bool sl_exec_over(const sl_exec *x);
void sl_exec_written(sl_exec *x); /* the dirty marks are done with */
