/* service/engine_private.h: what the files of the engine share: engine.c (the loop), live.c, execution.c, scheduler.c, worker.c, task_ctx.c. */
#pragma once

#include <stdatomic.h>

#include "service/engine.h"
#include "service/execution.h"
#include "service/watch.h"

/* One look of a trigger that polls: an execution of a flow of that one task, in memory only. */
typedef struct sl_poll {
    sl_arena *arena;            /* of all this */
    sl_flow flow;
    sl_task_def def, *all;
    sl_str spec;                /* of the trigger, when the look began */
    sl_str execution_id;        /* of the execution that it may make: its files lie there already */
} sl_poll;

/* tick_kind of a look, and of the executions that looks make. */
#define SL_TICK_POLL "poll"
#define SL_TICK_POLLED "polled"
/* Among the outputs of a look: {fires, again, kept}. */
#define SL_POLL_RESULT "$poll"

/* An execution in memory. */
struct sl_live {
    sl_exec *x;
    sl_flow_ref *ref;           /* NULL: the caller owns the flow */
    sl_poll *poll;              /* NULL: a real execution */
    sl_live *hash_next;
    sl_live *next_touched;
    bool touched;               /* changed in this turn */
    bool ended;                 /* what follows from its end was done */
    bool paused_told;           /* triggers have been told that it pauses */
    bool sla_broken;            /* only the first violation acts */
    bool keep;                  /* the caller wants to see it afterwards */
    size_t jobs;                /* actions that were handed out and have not come back */
    int64_t wake_ms;            /* its place in the heap; INT64_MAX = not in it */
    size_t heap_at;
};

typedef struct sl_job {
    struct sl_job *next;
    sl_action_kind kind;
    sl_live *live;
    sl_exec *exec;
    sl_taskrun *run;
    sl_arena *arena;            /* of the attempt */
    const sl_val *vars;         /* snapshot */
    const sl_val *checkpoint;
    int attempt;
    int64_t attempt_started_ms, run_created_ms;
    const sl_val *iterations;   /* of a Loop that ends; NULL otherwise */
    int64_t round;              /* LoopUntil: rounds so far; -1 = not about that */
    int slot;                   /* of the worker that has it */
    bool ahead;                 /* the loop runs it itself, see ahead.c */
    struct sl_message *result;  /* what came of it then; NULL: nothing */
    atomic_bool stop;
} sl_job;

typedef struct sl_message {
    struct sl_message *next;
    void (*call)(sl_engine *e, void *arg, int64_t now_ms); /* else an event */
    void *arg;
    sl_live *live;
    sl_event event;
    bool ends_job;
    const sl_val *metrics;      /* of the attempt: [{kind, name, value}]; NULL = none */
    sl_arena *arena;            /* holds what the event points to; freed by the loop; NULL: the sender's */
    bool *written;              /* set, and the condition signalled, once it is on disk */
} sl_message;

/* An action that has no job yet: jobs are made only as fast as workers take them, so that a wide loop costs little memory. */
typedef struct sl_pending {
    struct sl_pending *next;
    sl_live *live;
    sl_action action;
    bool stop;
} sl_pending;

typedef struct sl_scheduler sl_scheduler;

struct sl_engine {
    sl_engine_options options;
    char *data_dir, *storage_root, *work_root;
    int lock_fd;
    sl_store *store;
    sl_kv *kv;
    sl_logs *logs;
    sl_http *http;
    sl_google *google;
    sl_aws *aws;
    sl_storage storage;
    struct sl_stored *stored;   /* NULL: files lie in the local folder only */
    sl_flow_cache *flows;
    sl_watch *watch;
    sl_scheduler *scheduler;
    const sl_val *globals;      /* envs and such, for {{ }} */
    sl_arena *arena;
    sl_arena *turn_arena;       /* of the turn that is going on */

    sl_live **table;            /* live ones by id; the loop's */
    size_t table_size, live_count;
    sl_live **heap;             /* by wake_ms */
    size_t heap_count, heap_capacity;
    sl_live *touched;
    sl_pending *pending_first, *pending_last;
    sl_message *ahead;          /* this turn: what came of jobs that the loop ran itself */
    sl_val *slots_freed;        /* this turn: flows with a concurrency limit of which an execution has ended: "ns/id" -> live flow */
    sl_err problem;             /* of a call: the store could not be written; the turn fails */
    bool broken;
    bool low_on_disk;
    struct {
        bool loaded;
        char key[32], mac[65];
        int64_t seq;            /* of the last record */
    } audit;
    int64_t disk_looked_ms;     /* monotonic */

    struct {
        pthread_mutex_t lock;
        pthread_cond_t wake;        /* the loop */
        pthread_cond_t durable;     /* who waits for a commit */
        sl_message *first, *last;
        bool failed;                /* nothing will be written any more */
    } queue;
    struct {
        pthread_mutex_t lock;
        pthread_cond_t work;
        sl_job *first, *last;
        size_t waiting;             /* jobs in the list */
        sl_job *running[SL_WORKERS_MAX];
        int idle;                   /* threads that wait for work */
        bool stop;
    } jobs;
    pthread_t threads[SL_WORKERS_MAX];
    int thread_count;
    atomic_int kill_requested, stop_requested; /* lock-free: set by signal handlers */
    _Atomic int64_t turns, commits, started, ended[16], live_now, running_now;
};

/* engine.c */
sl_job *sl_engine_job(sl_engine *e, sl_live *l, const sl_action *action);
void sl_engine_hand_out_later(sl_engine *e, sl_live *l, const sl_action *action);
void sl_engine_post(sl_engine *e, sl_message *m);
/* Posts and waits until it is on disk. */
bool sl_engine_post_durable(sl_engine *e, sl_message *m, sl_err *err);
/* For a message that was posted with that flag. */
bool sl_engine_wait(sl_engine *e, const bool *written, sl_err *err);
/* loop: an event for an execution; its actions are carried out after the commit. */
void sl_engine_feed(sl_engine *e, sl_live *l, const sl_event *event, int64_t now_ms);
/* loop: the store failed in the middle of a turn: nothing of the turn may become durable. */
void sl_engine_break(sl_engine *e, const sl_err *err);
/* One turn, when there is something to do; waits a little for it. false: nothing can be written any more. */
bool sl_engine_step(sl_engine *e, sl_err *err);
/* When there is something to do even if no message comes; INT64_MAX: never. */
int64_t sl_engine_next_wake(const sl_engine *e);
void sl_engine_log(sl_engine *e, const sl_exec *x, const sl_taskrun *r, sl_level level, sl_str message);

/* live.c */
sl_live *sl_live_find(sl_engine *e, sl_str id);
sl_live *sl_live_add(sl_engine *e, sl_exec *x, sl_flow_ref *ref);
void sl_live_remove(sl_engine *e, sl_live *l);
void sl_live_touch(sl_engine *e, sl_live *l);
/* The time at which it has something to do has changed. */
void sl_live_reschedule(sl_engine *e, sl_live *l, int64_t wake_ms);
sl_live *sl_live_due(sl_engine *e, int64_t now_ms);   /* NULL: none */
int64_t sl_live_next_wake(const sl_engine *e);
sl_live *sl_live_each(const sl_engine *e, size_t *at, sl_live *before); /* start with at = 0 and NULL */

/* worker.c */
bool sl_workers_start(sl_engine *e, sl_err *err);
void sl_workers_stop(sl_engine *e);
void sl_workers_add(sl_engine *e, sl_job *job);
bool sl_workers_hungry(sl_engine *e);
/* Asks a running job of that task run to end. */
void sl_workers_signal(sl_engine *e, const sl_taskrun *run);
/* A pure task, at once and in the loop's thread, without functions that reach out; NULL: it has come to nothing, and is for a worker. */
sl_message *sl_workers_ahead(sl_engine *e, sl_live *l, const sl_action *action);

/* execution.c */
void sl_execution_ended(sl_engine *e, sl_live *l, int64_t now_ms);
bool sl_execution_fill_slots(sl_engine *e, int64_t now_ms, sl_err *err);
/* EXECUTION_ASSERTION of the sla, after a change. */
void sl_execution_assert(sl_engine *e, sl_live *l, int64_t now_ms);
int64_t sl_execution_wake(const sl_live *l);
void sl_execution_wake_up(sl_engine *e, sl_live *l, int64_t now_ms);
bool sl_execution_take_up(sl_engine *e, int64_t now_ms, sl_err *err);

/* scheduler.c */
sl_scheduler *sl_scheduler_new(sl_engine *e, sl_err *err);
void sl_scheduler_free(sl_scheduler *s);
void sl_scheduler_turn(sl_engine *e, int64_t now_ms);
int64_t sl_scheduler_next_wake(const sl_engine *e);
void sl_scheduler_ended(sl_engine *e, const sl_live *l, int64_t now_ms);
void sl_scheduler_paused(sl_engine *e, const sl_live *l, int64_t now_ms);

/* scheduler_poll.c */
void sl_poll_ended(sl_engine *e, sl_live *l, int64_t now_ms);
