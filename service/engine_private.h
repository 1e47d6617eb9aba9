/* service/engine_private.h: what engine.c, worker.c and task_ctx.c share. */
#pragma once

#include "service/engine.h"

typedef struct sl_job {
    struct sl_job *next;
    sl_action_kind kind;
    sl_exec *exec;
    sl_taskrun *run;
    sl_arena *arena;            /* of the attempt */
    const sl_val *vars;         /* snapshot */
    const sl_val *checkpoint;
    int attempt;
    int64_t attempt_started_ms;
    int slot;                   /* of the worker that has it */
    volatile bool stop;
} sl_job;

typedef struct sl_message {
    struct sl_message *next;
    sl_exec *exec;
    sl_event event;
    sl_arena *arena;            /* holds what the event points to; freed by the loop */
    bool *written;              /* set, and the condition signalled, once it is on disk */
} sl_message;

struct sl_engine {
    sl_engine_options options;
    char *data_dir, *storage_root, *work_root;
    int lock_fd;
    sl_store *store;
    sl_kv *kv;
    sl_logs *logs;
    sl_http *http;
    sl_google *google;
    sl_storage storage;
    const sl_val *globals;      /* envs and such, for {{ }} */
    sl_arena *arena;

    sl_exec *execs[64];         /* live ones, the loop's */
    size_t exec_count;

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
        sl_job *running[64];
        int idle;                   /* threads that wait for work */
        bool stop;
    } jobs;
    pthread_t threads[64];
    int thread_count;
    volatile int kill_requested;
};

void sl_engine_post(sl_engine *e, sl_message *m);
/* Posts and waits until it is on disk. */
bool sl_engine_post_durable(sl_engine *e, sl_message *m, sl_err *err);
bool sl_workers_start(sl_engine *e, sl_err *err);
void sl_workers_stop(sl_engine *e);
void sl_workers_add(sl_engine *e, sl_job *job);
/* Asks a running job of that task run to end. */
void sl_workers_signal(sl_engine *e, const sl_taskrun *run);
void sl_engine_log(sl_engine *e, const sl_exec *x, const sl_taskrun *r, sl_level level, sl_str message);
