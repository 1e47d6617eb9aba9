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

/* One entry of a history: when a state began. */
typedef struct sl_change {
    sl_state state;
    int attempt;                   /* of a task run; 0 of an execution */
    int64_t at_ms;
} sl_change;

typedef struct sl_history {
    sl_change *items;
    size_t n, capacity;
} sl_history;

/* Which list of its parent a task run belongs to; also the phase that a scope is in. */
typedef enum sl_phase { SL_PHASE_MAIN, SL_PHASE_ERRORS, SL_PHASE_FINALLY, SL_PHASE_END, SL_PHASE_AFTER, SL_PHASE_OVER,
    SL_PHASE_ASIDE /* only as a role: beside a pause */ } sl_phase;

typedef struct sl_taskrun sl_taskrun;

/* A running list of tasks: the flow itself, a flowable's children, one value of a loop; or a loop, whose items are values. */
typedef struct sl_scope {
    sl_taskrun *owner;             /* NULL: the flow */
    struct sl_scope *outer;        /* one value of a loop: the loop */
    sl_phase phase;
    const sl_task_list *list;      /* of the phase */
    size_t next;                   /* index of the next task (or value) to start */
    size_t running;
    uint8_t *begun;                /* Dag: which tasks were started */
    sl_str value;                  /* of an iteration */
    int64_t iteration;             /* of an iteration; LoopUntil: how often the list was begun before */
    sl_val *outputs;               /* of an iteration of a Loop: of its tasks, which nobody else sees; NULL = none yet */
    sl_state main_state;           /* outcome of the main list, once it is over */
    bool failed, killed, warned;   /* in the current list */
    bool over;
    bool advancing;                /* advance() is at work further up the stack */
} sl_scope;

struct sl_taskrun {
    sl_taskrun *next;              /* all of the execution, in the order of creation */
    sl_str id;
    size_t seq;                    /* position in the order of creation */
    const sl_task_def *def;
    sl_taskrun *parent;
    sl_scope *in;                  /* the list that it belongs to */
    sl_phase role;
    sl_str value;                  /* value of the innermost loop around it; .p == NULL outside of loops */
    int64_t iteration;
    sl_state state;
    int attempt;                   /* from 1; 0 before the first */
    int64_t created_ms, started_ms, ended_ms, first_started_ms;
    int64_t wake_ms;               /* waiting, retrying or pausing until then; 0 = not */
    bool waiting;                  /* the attempt waits (SL_TASK_WAIT) and is to be called again */
    bool busy;                     /* a worker has it */
    bool woken;                    /* what it waits for came while it was busy */
    const sl_val *outputs;         /* map or NULL */
    const sl_val *checkpoint;
    sl_str choice;                 /* of the evaluation, kept for a restart. If: then/else; Switch: case:NAME; Pause: the behaviour; ForEach: JSON list of values (or {keys, values}) */
    bool chosen;
    sl_str error;
    sl_scope *scope;               /* flowable */
    const sl_val *values;          /* ForEach: list of texts */
    const sl_val *keys;            /* Loop over a map: its keys; NULL otherwise */
    sl_scope **iterations;         /* ForEach: by value */
    sl_history history;
    bool dirty;                    /* to be written */
    sl_taskrun *next_dirty;
};

typedef enum sl_action_kind {
    SL_ACT_RUN,                    /* hand the attempt to a worker (again, when it waited) */
    SL_ACT_EVALUATE,               /* runIf and condition of a flowable; WorkingDirectory: fill the folder; LoopUntil: once more? */
    SL_ACT_LEAVE,                  /* WorkingDirectory: collect its files and remove the folder; Loop: its outputs */
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
    sl_str original_id, parent_id; /* of a replay: the first and the replayed one; original_id is its own id otherwise */
    int64_t attempt_number;        /* from 1: restarts and replays count */
    const sl_val *inputs, *labels; /* maps */
    const sl_val *variables;       /* what SetVariables has put over the flow's; NULL = nothing */
    const sl_val *trigger;         /* {id, type, variables} or NULL */
    const sl_val *outputs;         /* of the flow, rendered at its end */
    sl_val *task_outputs;          /* {{ outputs }} */
    int64_t created_ms, started_ms, ended_ms;
    int64_t schedule_ms;           /* not before; 0 = at once */
    int64_t first_attempt_ms;      /* of a retry (CREATE_NEW_EXECUTION): when the first attempt started; 0 = this is the first */
    sl_str tick_kind;              /* made for a date of a trigger: "schedule", or the id of a backfill; .n == 0 otherwise */
    int64_t tick_ms;
    int64_t deadline_ms;           /* MAX_DURATION of the sla; 0 = none */
    bool killing, held;            /* held: paused by hand */
    sl_str ended_by;               /* id of the task run that has ended it all: what is around it ends as the execution does; .n == 0: none */
    sl_state kill_state;           /* what a kill ends in: KILLED, or what an sla or Exit said */
    size_t paused;                 /* task runs that pause */
    size_t aside;                  /* task runs beside pauses that have not ended */
    bool outputs_pending;          /* the flow's outputs have to be rendered before it can end */
    sl_scope root;
    sl_taskrun *first, *last;
    size_t run_count;
    sl_val *removed;               /* ids of task runs that a restart has thrown away; NULL = none */
    sl_history history;
    bool dirty;
    bool created;                  /* its row exists */
    sl_taskrun *dirty_runs;
    int64_t wake_ms;               /* no run is to be woken before; INT64_MAX = none */
    sl_action *actions;            /* to be carried out; whoever does, sets the count to 0 */
    size_t action_count, action_capacity;
    sl_str (*new_id)(void *self, sl_arena *arena);
    void *new_id_self;
} sl_exec;

typedef enum sl_event_kind {
    SL_EV_START,
    SL_EV_QUEUE,                   /* the flow's concurrency limit is reached: wait for SL_EV_START */
    SL_EV_REFUSE,                  /* the same, but end now: state CANCELLED or FAILED */
    SL_EV_FINISHED,                /* an attempt ended: state SUCCESS, WARNING, FAILED, SKIPPED or KILLED */
    SL_EV_WAITING,                 /* the attempt wants to be called again at wake_ms */
    SL_EV_EVALUATED,               /* choice, or FAILED/SKIPPED */
    SL_EV_LEFT,                    /* WorkingDirectory is cleared, Loop is summed up: state and outputs */
    SL_EV_TIMER,                   /* look at everything that was to wake up by now */
    SL_EV_WAKE,                    /* what `run` waits for has come */
    SL_EV_CHECKPOINT,
    SL_EV_KILL,                    /* state: what it ends in; 0 = KILLED */
    SL_EV_PAUSE,                   /* by hand: what runs ends, nothing new starts */
    SL_EV_RESUME,                  /* run: that one; NULL: all that pauses. outputs: what was asked for */
    SL_EV_LABELS,
    SL_EV_OUTPUTS,                 /* the flow's outputs are rendered (outputs), or FAILED */
} sl_event_kind;

typedef struct sl_event {
    sl_event_kind kind;
    sl_taskrun *run;
    sl_state state;
    const sl_val *outputs;         /* copied into the execution's arena */
    const sl_val *checkpoint;      /* likewise */
    const sl_val *labels;          /* merged into the execution's */
    const sl_val *variables;       /* replace the execution's; NULL = as they were */
    sl_str choice, error;
    int64_t wake_ms;
    bool exits;                    /* the task asks the execution to end in exit_state */
    sl_state exit_state;
    double random;                 /* 0..1, for retries of type random */
} sl_event;

sl_exec *sl_exec_new(const sl_flow *flow, sl_str id, int64_t now_ms);
void sl_exec_event(sl_exec *x, const sl_event *e, int64_t now_ms);
/* After the rows have been put back with sl_exec_restore: what was busy runs again, with its checkpoint. */
void sl_exec_resume(sl_exec *x, int64_t now_ms);
/* Where everything stood, from the restored runs, without going on: for looking at it. Part of sl_exec_resume. */
void sl_exec_rebuild(sl_exec *x);
/* Adds a stored task run (in the order of creation); the caller fills its fields. */
sl_taskrun *sl_exec_restore(sl_exec *x, sl_str id, const sl_task_def *def, sl_taskrun *parent, sl_phase role, sl_str value, int64_t iteration);
/*
 * Takes an execution that has ended up again where it failed: failed and killed task runs get another attempt, everything
 * that ran because of the failure is thrown away. false: there is nothing to run again. Then sl_exec_resume.
 */
bool sl_exec_restart(sl_exec *x, int64_t now_ms);
/*
 * A new execution of `flow` (another revision, or the same one) with what `from` had done before the task run `at` (NULL: nothing),
 * which runs again, as does all that follows. Then sl_exec_resume. NULL: `at`, or what is around it, is not in that revision.
 */
sl_exec *sl_exec_replay(const sl_exec *from, const sl_flow *flow, const sl_taskrun *at, sl_str id, int64_t now_ms);
/* sl_exec_restart as a new execution on another revision. NULL: there is nothing to run again there. */
sl_exec *sl_exec_restart_as(const sl_exec *from, const sl_flow *flow, sl_str id, int64_t now_ms);
/*
 * By hand, of an execution that is over: `r` ended in `state`, and the execution goes on from there. What ran because of a failure
 * around it is thrown away. false: r is not of a main list, or of a WorkingDirectory, whose folder is gone. Then sl_exec_resume.
 */
bool sl_exec_set_run(sl_exec *x, sl_taskrun *r, sl_state state, int64_t now_ms);
/*
 * Of one that has ended as RETRIED (retry with behavior CREATE_NEW_EXECUTION): when the next attempt may start, which is a replay
 * from the start; else 0. random: 0..1.
 */
int64_t sl_exec_new_attempt_at(const sl_exec *x, int64_t now_ms, double random);
/* By hand: another final state for an execution that is over. */
void sl_exec_set_final(sl_exec *x, sl_state state, int64_t now_ms);
/* Not before this time SL_EV_TIMER has something to do; INT64_MAX when there is nothing. */
int64_t sl_exec_next_wake(const sl_exec *x);
/* Ended, and what runs after the end has run, too. */
bool sl_exec_over(const sl_exec *x);
void sl_exec_written(sl_exec *x); /* the dirty marks are done with */
