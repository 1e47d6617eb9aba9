/*
 * service/engine.h: the loop that owns all state, the workers, and everything that they share.
 *
 * Events come in through a queue; the loop takes all that are there, computes, writes one transaction, and only then acts.
 * Threads: sl_engine_loop runs on the caller's thread; the other functions may be called from any.
 */
#pragma once

#include <pthread.h>

#include "auth/google.h"
#include "flows/exec.h"
#include "flows/expr.h"
#include "flows/logs.h"
#include "flows/storage.h"
#include "flows/store.h"
#include "kv/kv.h"

typedef struct sl_engine sl_engine;

/* Where the services are, when they are not where they usually are. */
typedef struct sl_endpoints {
    const char *gcs, *bigquery, *iam;   /* base URLs; NULL = the environment's, then the real ones */
    bool local;                         /* they are our local cloud's */
    sl_str google_key;                  /* the local cloud's service account key */
} sl_endpoints;

typedef struct sl_engine_options {
    const char *data_dir;
    const sl_registry *registry;
    int workers;                        /* 0 = 8 */
    sl_endpoints endpoints;
    const sl_val *process_env;          /* list of names that child processes may see besides PATH */
    void *self;
    void (*on_log)(void *self, const sl_log_entry *e);
    void (*on_run)(void *self, const sl_exec *x, const sl_taskrun *run);       /* after each change of a task run, from the loop */
    void (*on_progress)(void *self, sl_str task_id, int64_t done, int64_t total);
} sl_engine_options;

sl_engine *sl_engine_open(const sl_engine_options *options, sl_err *err);
void sl_engine_close(sl_engine *e);

/*
 * A new execution; starts with the loop. NULL: problems says what is wrong with the inputs. The flow must outlive it.
 * files: map of FILE inputs to paths, which the caller is allowed to read; they are copied. NULL = none.
 */
sl_exec *sl_engine_create(sl_engine *e, const sl_flow *flow, const sl_val *inputs, const sl_val *files, const sl_val *labels, sl_problems *problems);
/* Takes up an execution that was interrupted; one that has ended is only loaded, for its result. */
sl_exec *sl_engine_continue(sl_engine *e, sl_arena *flow_arena, sl_str execution_id, sl_err *err);
/* Runs until every execution is over. false: state could not be written; what was promised is on disk, the rest can be continued. */
bool sl_engine_loop(sl_engine *e, sl_err *err);
/* Ends all executions as KILLED; may be called from a signal handler. */
void sl_engine_kill_all(sl_engine *e);

sl_logs *sl_engine_logs(sl_engine *e);
/* An environment for rendering outside of a task. */
sl_expr_host sl_engine_host(sl_engine *e, const sl_flow *flow, sl_str execution_id);
