/* service/task_ctx.h: one attempt: what stands behind connectors/task.h's sl_task. */
#pragma once

#include "connectors/task.h"
#include "service/engine_private.h"
#include "service/expr_host.h"
#include "service/stored.h"

struct sl_task {
    sl_engine *engine;
    sl_job *job;
    sl_arena *arena;
    sl_task_info info;
    sl_expr_host host;
    sl_expr_env env;
    sl_val *vars;               /* own copy of the top level */
    sl_val *outputs;
    sl_val *made;               /* paths of files of the storage that this attempt has made, if there is an object store behind it */
    sl_val *metrics;            /* [{kind, name, value}] */
    const sl_val *labels;
    const sl_val *variables;    /* SetVariables: all of them */
    bool exits;
    sl_state exit_state;
    const sl_val *saved;
    int64_t deadline_ms;        /* monotonic; INT64_MAX = none */
    bool timed_out;
    int64_t undo_until_ms;        /* monotonic; > 0: a kill is being carried out, and only this ends it */
    int64_t wait_ms;
    sl_str workdir;
    bool workdir_shared;
};

void sl_task_open(sl_task *t, sl_engine *e, sl_job *job);
void sl_task_close(sl_task *t);
/* The folder of a WorkingDirectory's task run: the same before and after a restart. */
sl_str sl_workdir_of(const sl_engine *e, sl_arena *arena, const sl_taskrun *run);
/* workdir.c: before the first and after the last task of a WorkingDirectory (enter: nothing for other tasks). */
bool sl_workdir_enter(sl_task *t, sl_err *err);
bool sl_workdir_leave(sl_task *t, sl_err *err);
/* worker.c: the arena goes to the loop with the message: by then the folder is gone and the pool has let go of the job. */
void sl_task_hand_over(sl_task *t, sl_message *m);
bool sl_task_should_run(sl_task *t, const sl_task_def *def, bool *ret, sl_err *err);
/* Outputs as they will be after a restart: through JSON, and bounded. */
bool sl_task_settle_outputs(sl_task *t, const sl_val **ret, sl_err *err);
/*
 * task_cache.c: the folder of what a run of the task with these properties has left, whether there is one or not; its outputs as this
 * run's (*hit false: there are none, or they are older than ttl_ms; 0 = any age); and this run's outputs left there for others.
 */
bool sl_task_cache_find(sl_task *t, const sl_task_def *def, sl_str *ret_folder, sl_err *err);
bool sl_task_cache_take(sl_task *t, sl_str folder, int64_t ttl_ms, bool *hit, sl_err *err);
bool sl_task_cache_keep(sl_task *t, sl_str folder, int64_t ttl_ms, sl_err *err);
/* loop.c: the items of a Loop as its choice; what comes out of its iterations. */
bool sl_loop_items(sl_task *t, const sl_task_def *d, sl_event *ev, sl_err *err);
bool sl_loop_outputs(sl_task *t, const sl_task_def *d, sl_err *err);
/* evaluate.c */
void sl_flowable_evaluate(sl_task *t);
void sl_flowable_leave(sl_task *t);
