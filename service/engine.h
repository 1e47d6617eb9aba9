/*
 * service/engine.h: the loop that owns all state, the workers, and everything that they share.
 *
 * Events and calls come in through a queue; the loop takes all that are there, computes, writes one transaction, and only
 * then acts and answers. Threads: sl_engine_loop runs on one thread. Functions marked "loop" may only be called from inside
 * of a call (sl_engine_call) or before the loop runs; the others from any thread.
 */
#pragma once

#include <pthread.h>

#include "auth/google.h"
#include "flows/exec.h"
#include "flows/expr.h"
#include "flows/logs.h"
#include "flows/repository.h"
#include "flows/storage.h"
#include "flows/store.h"
#include "kv/kv.h"
#include "service/flow_cache.h"
#include "service/watch.h"

typedef struct sl_engine sl_engine;
typedef struct sl_live sl_live;         /* an execution in memory */

/* Where the services are, when they are not where they usually are. */
typedef struct sl_endpoints {
    const char *gcs, *bigquery, *s3, *dynamodb, *redshift; /* base URLs; NULL = the environment's, then the real ones */
    bool local;                         /* they are our local cloud's */
    sl_str google_key;                  /* the local cloud's service account key */
    sl_str aws_key_id, aws_secret;      /* and access key */
    const sl_val *env;                  /* the same for scripts: NAME -> value; NULL = none */
} sl_endpoints;

typedef struct sl_engine_options {
    const char *data_dir;
    const sl_registry *registry;
    int workers;                        /* 0 = 8, at most SL_WORKERS_MAX */
    sl_endpoints endpoints;
    const sl_val *process_env;          /* list of names that child processes may see besides PATH; NULL = none */
    bool container_host_access;         /* containers of scripts may mount folders of this machine, and be privileged */
    bool namespace_isolation;           /* service/reach.h */
    const sl_val *local_files;          /* list of folders whose files file:///… may name; NULL = none */
    const sl_val *plugin_defaults;      /* the server's, a list; NULL = none */
    const sl_val *globals;              /* {{ globals }}; NULL = none */
    sl_str environment, url;            /* {{ kestra.environment }}, {{ kestra.url }}; .n == 0: none */
    const struct sl_stored_cfg *storage; /* the object store behind the internal storage; NULL = none */
    bool serve;                         /* go on when nothing runs; fire triggers; let go of executions that have ended */
    void *self;
    void (*on_log)(void *self, const sl_log_entry *e);
    void (*on_progress)(void *self, sl_str task_id, int64_t done, int64_t total);
} sl_engine_options;

enum { SL_WORKERS_MAX = 64 };

sl_engine *sl_engine_open(const sl_engine_options *options, sl_err *err);
void sl_engine_close(sl_engine *e);
/* Runs until every execution is over, or, when it serves, until sl_engine_stop. false: state could not be written; what was
   promised is on disk, the rest can be continued. */
bool sl_engine_loop(sl_engine *e, sl_err *err);
/* The loop ends; what runs is taken up again at the next start. May be called from a signal handler. */
void sl_engine_stop(sl_engine *e);
/* Ends all executions as KILLED; may be called from a signal handler. */
void sl_engine_kill_all(sl_engine *e);
/*
 * fn runs on the loop, and what it changes is part of that turn's transaction. Returns when it is on disk; false: it never
 * will be. What fn refuses, it says through arg.
 */
bool sl_engine_call(sl_engine *e, void (*fn)(sl_engine *e, void *arg, int64_t now_ms), void *arg, sl_err *err);

/*
 * Is there room on the disk for new work? What runs may use the rest (SL_DISK_RESERVE) to come to its end. false: LIMIT with code
 * io.disk_full. loop.
 */
bool sl_engine_has_room(sl_engine *e, sl_err *err);

sl_logs *sl_engine_logs(sl_engine *e);
sl_kv *sl_engine_kv(sl_engine *e);
const sl_storage *sl_engine_storage(sl_engine *e);
const sl_registry *sl_engine_registry(sl_engine *e);
const sl_engine_options *sl_engine_settings(sl_engine *e);
const char *sl_engine_data_dir(sl_engine *e);
sl_flow_cache *sl_engine_flows(sl_engine *e);
sl_watch *sl_engine_watch(sl_engine *e);
sl_store *sl_engine_store(sl_engine *e);                 /* loop */
/* What expressions may ask outside of a task: of a flow alone, of an execution. `self` lives in the arena, which the execution outlives. */
sl_expr_host sl_engine_host(sl_engine *e, sl_arena *arena, const sl_flow *flow);
sl_expr_host sl_engine_host_of(sl_engine *e, sl_arena *arena, const sl_exec *x);
/* For expressions that the server's loop evaluates itself: no HTTP, and a second at most for jq. Changes *host. */
sl_expr_env sl_loop_env(const sl_val *vars, sl_expr_host *host);

/* Numbers for /metrics. */
typedef struct sl_engine_stats {
    int64_t live, queued_jobs, running_jobs, turns, commits, started, ended[16]; /* ended: by sl_state */
} sl_engine_stats;
void sl_engine_stats_now(sl_engine *e, sl_engine_stats *ret);
