/*
 * connectors/task.h: everything the engine knows about a connector, and all that a connector may ask of the engine.
 *
 * A task type is a const struct: option table, output table, one function. The function runs one attempt on a worker thread
 * and may block, but a task that merely waits (for a remote job, for a time) returns SL_TASK_WAIT and is called again later
 * with its checkpoint: waiting holds no thread.
 *
 * Effects on the outside world are effectively once. Before a call whose repetition would matter, the task writes a small
 * document with sl_task_checkpoint; after a crash it gets that document back (sl_task_saved) and must ask the remote what
 * became of it before doing anything again. Keys come from sl_task_key: the same after a restart, new for a new attempt.
 *
 * A connector never sleeps, never retries the whole task (it sets the error's kind; policy decides), keeps no mutable static
 * state, and never logs a credential. What these functions return lives in sl_task_arena unless it says otherwise.
 */
#pragma once

#include "auth/aws.h"
#include "auth/google.h"
#include "base/bind.h"
#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "base/made_file.h"
#include "net/http.h"

typedef struct sl_task sl_task;          /* one attempt of one task, on one worker thread */

typedef enum sl_outcome {
    SL_TASK_DONE,
    SL_TASK_WARNING,                     /* done, with something to look at */
    SL_TASK_FAILED,                      /* *err says why; outputs set so far are kept */
    SL_TASK_WAIT,                        /* call again after the time given to sl_task_wait */
} sl_outcome;

typedef struct sl_task_type {
    const char *type;                    /* full name: io.kestra.plugin.gcp.gcs.Upload */
    const char *aliases;                 /* older full names, blank-separated, or NULL */
    const char *doc;                     /* one sentence */
    size_t cfg_size;                     /* the engine allocates it, zeroed and bound, in the attempt's arena */
    const sl_opt *opts;                  /* properties; ends with {0} */
    const sl_opt *outs;                  /* outputs: name, type and doc count; ends with {0} */
    /* REQUIRED. One attempt. May block; polls sl_task_cancelled. */
    sl_outcome (*run)(sl_task *t, void *cfg, sl_err *err);
    /* Nothing but outputs, labels, variables and log entries comes of it, at once: the engine may run it in its own turn. */
    bool pure;
    /* OPTIONAL. Before the properties are rendered: variables that they may use (sl_task_set_var). `props` are as they were written. */
    bool (*before)(sl_task *t, const sl_val *props, sl_err *err);
    /* OPTIONAL. Static checks beyond the table, on the properties as written. No I/O. */
    void (*check)(const sl_val *props, sl_str where, sl_problems *problems);
    /* OPTIONAL. The attempt was killed while it waited: undo or cancel what is under way, from the checkpoint. May block. */
    void (*kill)(sl_task *t, void *cfg);
} sl_task_type;

typedef struct sl_connector {
    const char *name;                    /* "gcs": log component, metrics prefix */
    const sl_task_type *const *tasks;    /* ends with NULL */
    const sl_task_type *const *triggers; /* those that poll (see sl_task_polled); ends with NULL; NULL = none */
} sl_connector;

typedef struct sl_task_info {
    sl_str ns, flow_id, execution_id, task_id, taskrun_id, trigger_id;
    int attempt;                         /* from 1 */
} sl_task_info;

/* ---- services of a running attempt ---- */
sl_arena *sl_task_arena(sl_task *t);
const sl_task_info *sl_task_about(const sl_task *t);
sl_http *sl_task_http(sl_task *t);
sl_google *sl_task_google(sl_task *t);
sl_aws *sl_task_aws(sl_task *t);
/* Fills the fields that every request of this attempt needs: cancellation, deadline. */
void sl_task_prepare(sl_task *t, sl_http_request *req);
/* Killed, timed out, or the server stops: end soon. */
bool sl_task_cancelled(void *t);
/* Is the service of that name ("gcs", "bigquery", "s3", "dynamodb", "redshift") somewhere else? Base URL or NULL. *ret_local: it is our local cloud. */
const char *sl_task_endpoint(sl_task *t, const char *service, bool *ret_local);

/* The document is on disk when this returns true. At most SL_CHECKPOINT_SIZE_MAX bytes of JSON. */
bool sl_task_checkpoint(sl_task *t, const sl_val *document, sl_err *err);
/* What this attempt has checkpointed so far, before or after a restart; NULL when nothing. */
const sl_val *sl_task_saved(const sl_task *t);
/* For credentials inside of a checkpoint, such as upload session URIs. */
bool sl_task_seal(sl_task *t, sl_str plain, sl_str *ret, sl_err *err);
bool sl_task_unseal(sl_task *t, sl_str sealed, sl_str *ret, sl_err *err);
/* [a-z0-9_-]: made from execution, task run, attempt and `part`. */
sl_str sl_task_key(sl_task *t, const char *part);
sl_outcome sl_task_wait(sl_task *t, int64_t ms);

void sl_task_log(sl_task *t, sl_level level, const char *fmt, ...) SL_PRINTF(3, 4);
void sl_task_log_str(sl_task *t, sl_level level, sl_str message);
void sl_task_out(sl_task *t, const char *name, const sl_val *value);
void sl_task_out_str(sl_task *t, const char *name, sl_str value);
void sl_task_out_int(sl_task *t, const char *name, int64_t value);
/* The attempt as one of another task (a map with its type), which takes this one's outputs, checkpoint and key; kinds of tasks that hold others are refused. */
sl_outcome sl_task_run_as(sl_task *t, const sl_val *task, sl_err *err);
void sl_task_counter(sl_task *t, const char *name, double value);
void sl_task_timer(sl_task *t, const char *name, double seconds);
void sl_task_progress(sl_task *t, int64_t done, int64_t total);   /* total -1 = unknown */

bool sl_task_render(sl_task *t, sl_str text, sl_str *ret, sl_err *err);
/* Truth of a rendered condition. */
bool sl_task_holds(sl_task *t, sl_str condition, bool *ret, sl_err *err);
bool sl_task_render_val(sl_task *t, const sl_val *v, const sl_val **ret, sl_err *err);
/* With `fields` (of a map; "value" for another one) as variables over the task's; what comes of it is in the arena. */
bool sl_task_render_with(sl_task *t, sl_arena *arena, sl_str text, const sl_val *fields, sl_str *ret, sl_err *err);
/* Adds a variable for rendering ({{ workingDir }}). */
void sl_task_set_var(sl_task *t, const char *name, const sl_val *value);

/* Internal storage (kestra:///…). */
bool sl_task_open_in(sl_task *t, sl_str uri, sl_reader **ret, sl_err *err);
/* A path to read the file from, valid while the attempt runs. */
bool sl_task_local_file(sl_task *t, sl_str uri, sl_str *ret_path, sl_err *err);
/* The folder of a namespace's files, which need not be there. changes: files in it will be written or removed. */
bool sl_task_namespace_folder(sl_task *t, sl_str ns, bool changes, sl_str *ret, sl_err *err);
/* A new file of this task run; its URI is known now and readable after finish(). */
bool sl_task_open_out(sl_task *t, sl_str name, sl_writer **ret, sl_str *ret_uri, sl_err *err);
/* The same, written by several threads. Not at once with other calls for this task's files. */
bool sl_task_make_file(sl_task *t, sl_str name, sl_made_file **ret, sl_str *ret_uri, sl_err *err);
/* Moves (or copies) a local file into storage. */
bool sl_task_store_file(sl_task *t, const char *path, sl_str name, sl_str *ret_uri, sl_err *err);
/* Before and after a file of sl_task_namespace_folder is written or removed: what stands behind the storage follows. */
bool sl_task_file_changes(sl_task *t, sl_str path, sl_err *err);
bool sl_task_remove_file(sl_task *t, sl_str uri, bool *ret_was_there, sl_err *err);
bool sl_task_purge_files(sl_task *t, const sl_val **ret_uris, sl_err *err);
/* An empty folder for this attempt (shared inside of a WorkingDirectory), removed afterwards. */
bool sl_task_workdir(sl_task *t, sl_str *ret_path, sl_err *err);
bool sl_task_workdir_shared(const sl_task *t);

/* A folder that is kept between executions, for what can be made again. */
bool sl_task_cache_dir(sl_task *t, const char *kind, sl_str *ret_path, sl_err *err);

/* Key-value store. */
bool sl_task_kv_get(sl_task *t, sl_str ns, sl_str key, const sl_val **ret, sl_err *err);  /* *ret NULL when missing */
bool sl_task_kv_set(sl_task *t, sl_str ns, sl_str key, const sl_val *value, sl_str type, int64_t ttl_ms, bool overwrite, sl_str description, sl_err *err);
/*
 * The value as `fn` makes it of what is there (NULL = nothing), which may be called again when somebody else writes meanwhile; its end
 * stays, and its description where it has one.
 */
typedef bool (*sl_kv_change)(void *self, sl_arena *arena, const sl_val *old, const sl_val **ret, sl_err *err);
bool sl_task_kv_change(sl_task *t, sl_str ns, sl_str key, sl_kv_change fn, void *self, sl_str description, sl_err *err);
bool sl_task_kv_delete(sl_task *t, sl_str ns, sl_str key, bool *existed, sl_err *err);
bool sl_task_kv_keys(sl_task *t, sl_str ns, sl_str prefix, const sl_val **ret, sl_err *err);
typedef struct sl_kv_purge {
    sl_str pattern, namespace_pattern;   /* globs; namespace_pattern .n == 0: those of the list */
    const sl_val *namespaces;            /* list; empty or NULL: the flow's */
    bool children, expired_only;
} sl_kv_purge;
/* Of this flow's namespace and those below it; of all in the namespace `system`. What lies elsewhere is refused when it is named, and passed over by a pattern. */
bool sl_task_kv_purge(sl_task *t, const sl_kv_purge *what, int64_t *ret_count, sl_err *err);

/* Merged into the execution's labels when the attempt ends. */
bool sl_task_labels(sl_task *t, const sl_val *labels, sl_err *err);
/* NAME=value list for a child process: only what the configuration names. */
const sl_val *sl_task_process_env(sl_task *t);
/* Where clients in scripts find the local cloud (--local): NAME -> value; NULL: there is none. */
const sl_val *sl_task_cloud_env(const sl_task *t);
/* May containers mount this machine's folders and be privileged? */
bool sl_task_host_access(const sl_task *t);

/*
 * ---- polling triggers ----
 * run() looks once; the outputs are {{ trigger }} of the execution that it makes. A look may be lost or repeated at any time:
 * effects that must not come before the execution is on disk wait for another look.
 */
/* What an earlier look has left; NULL = nothing. */
const sl_val *sl_task_trigger_state(const sl_task *t);
/* Once, at the end. The state (NULL = none) and the execution, if it fires, become durable together. again: look again at once. */
void sl_task_polled(sl_task *t, bool fires, const sl_val *state, bool again);

/* ---- executions ---- */

typedef struct sl_flow_call {
    sl_str ns, flow_id;
    int64_t revision;                    /* 0 = the newest */
    const sl_val *inputs, *labels;       /* maps or NULL */
    bool inherit_labels;                 /* it gets this execution's labels, too */
    sl_str schedule_date;                /* not before; .n == 0: at once */
    const char *part;                    /* tells several calls of one attempt apart */
} sl_flow_call;

typedef struct sl_called {
    sl_str id, state;
    bool ended;
    const sl_val *outputs;               /* of the flow; NULL when there are none */
} sl_called;

/*
 * Others: of this flow's namespace and those below it; of all in the namespace `system`. What lies elsewhere is refused.
 */
typedef struct sl_execution_query {
    sl_str ns, flow_id;                  /* ns: that one and those below; .n == 0: all that may be seen */
    sl_str id;                           /* only this one; .n == 0: any */
    const sl_val *states;                /* list of names; NULL = any */
    int64_t start_ms, end_ms;            /* created in between; end 0 = no end */
    bool over;                           /* only those that have ended */
} sl_execution_query;
/* [{id, namespace, flowId}], the oldest first, at most `limit`. */
bool sl_task_find_executions(sl_task *t, const sl_execution_query *q, int64_t limit, const sl_val **ret, sl_err *err);
/* [{namespace, flowId, count}] */
bool sl_task_count_executions(sl_task *t, const sl_execution_query *q, const sl_val **ret, sl_err *err);
typedef struct sl_execution_purge {
    bool execution, log, metrics, files; /* what is removed */
    unsigned levels;                     /* of the log, without the execution: only these (bits 1 << sl_level); 0 = all */
    int64_t log_count, file_count, metric_count; /* and how much of it was there; added to */
} sl_execution_purge;
/* found: {id, namespace, flowId} as above. *removed: false when it runs (again). */
bool sl_task_purge_execution(sl_task *t, const sl_val *found, sl_execution_purge *what, bool *removed, sl_err *err);
/* Log entries of at least that level; id .n == 0: this execution. */
bool sl_task_read_log(sl_task *t, sl_str ns, sl_str id, sl_level least, const sl_val **ret, sl_err *err);
bool sl_task_resume_execution(sl_task *t, sl_str id, const sl_val *inputs, sl_err *err);
bool sl_task_toggle_trigger(sl_task *t, sl_str ns, sl_str flow_id, sl_str trigger, bool enabled, sl_err *err);

/*
 * Makes an execution of another flow, once: the same attempt and part always mean the same one, after a restart too. Says how it
 * stands. A task that waits (sl_task_wait) is called again as soon as one of its executions has ended.
 */
bool sl_task_call_flow(sl_task *t, const sl_flow_call *call, sl_called *ret, sl_err *err);
void sl_task_kill_called(sl_task *t, const char *part);
/* The execution ends in that state as soon as this attempt has ended. */
void sl_task_exit(sl_task *t, sl_str state);
/* {{ vars }} as it is, and as it is to be from the end of this attempt on. */
const sl_val *sl_task_variables(const sl_task *t);
void sl_task_set_variables(sl_task *t, const sl_val *all);
