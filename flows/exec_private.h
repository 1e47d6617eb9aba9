/* flows/exec_private.h: what the files of the state machine share: exec.c (events), exec_scope.c (lists), exec_restore.c. */
#pragma once

#include "flows/exec.h"

/* exec.c */
void sl_exec_mark(sl_exec *x, sl_taskrun *r);
void sl_exec_act(sl_exec *x, sl_action_kind kind, sl_taskrun *r);
void sl_exec_set_run_state(sl_exec *x, sl_taskrun *r, sl_state state, int64_t now);
void sl_exec_set_state(sl_exec *x, sl_state state, int64_t now);
void sl_exec_wake_at(sl_exec *x, sl_taskrun *r, int64_t at_ms);
/* A task that was begun and has no outputs is in {{ outputs }} all the same, as an empty map, once for all values of loops. */
void sl_exec_name_outputs(sl_exec *x, const sl_taskrun *r);
void sl_exec_set_outputs(sl_exec *x, sl_taskrun *r, const sl_val *outputs);
/* LoopUntil: a round does not see outputs of the one before. */
void sl_exec_forget_outputs(sl_exec *x, const sl_scope *s);
void sl_exec_end_run(sl_exec *x, sl_taskrun *r, sl_state state, int64_t now);
sl_state sl_exec_softened(const sl_task_def *d, sl_state s);
/* The first event of an execution that has no stored task run. */
void sl_exec_start(sl_exec *x, int64_t now);

/* exec_scope.c */
sl_taskrun *sl_scope_add_run(sl_exec *x, sl_str id, const sl_task_def *def, sl_taskrun *parent, sl_phase role);
/* Starts what can start; goes on to the next phase when a list is over. */
void sl_scope_advance(sl_exec *x, sl_scope *s, int64_t now);
void sl_scope_enter(sl_exec *x, sl_taskrun *r, int64_t now);
void sl_scope_child_ended(sl_exec *x, sl_taskrun *r, int64_t now);
void sl_scope_end_execution(sl_exec *x, int64_t now);
/* A task that runs beside another, and counts for nothing. */
void sl_scope_start_aside(sl_exec *x, sl_taskrun *beside, const sl_task_def *def, int64_t now);
/* LoopUntil: the list once more. */
void sl_scope_again(sl_exec *x, sl_scope *s, int64_t now);
const sl_task_list *sl_scope_list(const sl_exec *x, const sl_scope *s);
bool sl_scope_is_loop(const sl_scope *s);
/* One value of a loop, made when it is asked for. */
sl_scope *sl_scope_iteration(sl_exec *x, sl_scope *loop, size_t index);
/* What the end of an iteration means for its loop. */
void sl_scope_count_iteration(const sl_exec *x, sl_scope *loop, const sl_scope *s);
void sl_scope_take_values(sl_exec *x, sl_taskrun *r);
/* Only what has something to evaluate, or a folder to fill, goes to a worker first. */
bool sl_flowable_evaluates(const sl_task_def *d);
