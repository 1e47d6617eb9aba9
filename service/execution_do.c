/* service/execution_do.c: what may be done to an execution: kill, pause, resume, restart, replay, and the like. */
#include "base/arena.h"
#include "base/clock.h"
#include "service/engine_private.h"
#include "service/stored.h"

static bool refuse(sl_request *r, const sl_exec *x, const char *wanted)
{
    return sl_err_set(&r->err, SL_ERR_CONFLICT, "execution.state", "Illegal state: Execution must be %s, current state is '%s'", wanted, sl_state_name(x->state));
}

static sl_taskrun *find_run(const sl_exec *x, sl_str id)
{
    for (sl_taskrun *r = x->first; r != NULL; r = r->next)
        if (sl_str_eq(r->id, id))
            return r;
    return NULL;
}

/* Those that it has called and does not wait for: the tasks of the others end with it. And those below them. */
static bool kill_called(sl_engine *e, sl_request *r, sl_str id, int64_t now)
{
    sl_val *ids = sl_list(e->turn_arena);
    sl_stmt *q = sl_db_query(sl_store_db(e->store), &r->err, "SELECT id FROM executions WHERE over=0 AND json_extract(trigger, '$.variables.executionId')=?", "s", id);
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, &r->err)) == 1)
        sl_list_add(e->turn_arena, ids, sl_val_str(e->turn_arena, sl_col_str(q, e->turn_arena, 0)));
    for (size_t i = 0; rc == 0 && i < ids->list.n; i++) {
        sl_live *l = sl_execution_open(e, sl_text(sl_at(ids, i)), &r->err);
        if (l == NULL)
            return false;
        bool first = !l->x->killing && !sl_state_final(l->x->state);
        if (first)
            sl_engine_feed(e, l, &(sl_event){ .kind = SL_EV_KILL }, now);
        sl_live_touch(e, l);
        if (first && !kill_called(e, r, l->x->id, now))
            return false;
    }
    return rc == 0;
}

static bool do_kill(sl_engine *e, sl_request *r, sl_live *l, int64_t now)
{
    bool final = sl_state_final(l->x->state);
    if (final && r->alone)
        return refuse(r, l->x, "running to be killed");
    if (!final) /* a final one stays what it is */
        sl_engine_feed(e, l, &(sl_event){ .kind = SL_EV_KILL }, now);
    return r->alone || kill_called(e, r, l->x->id, now);
}

static bool do_pause(sl_engine *e, sl_request *r, sl_live *l, int64_t now)
{
    if (l->x->state != SL_RUNNING)
        return refuse(r, l->x, "running to be paused");
    sl_engine_feed(e, l, &(sl_event){ .kind = SL_EV_PAUSE }, now);
    return true;
}

static bool do_resume(sl_engine *e, sl_request *r, sl_live *l, int64_t now)
{
    sl_taskrun *run = r->taskrun_id.n ? find_run(l->x, r->taskrun_id) : NULL;
    if (l->x->state != SL_PAUSED)
        return refuse(r, l->x, "paused to be resumed");
    if (r->taskrun_id.n > 0 && (run == NULL || run->state != SL_PAUSED))
        return sl_err_set(&r->err, SL_ERR_NOT_FOUND, "taskrun.unknown", "the execution has no paused task run '%.*s'", SL_ARG(r->taskrun_id));
    sl_engine_feed(e, l, &(sl_event){ .kind = SL_EV_RESUME, .run = run, .outputs = r->values }, now);
    return true;
}

/* The flow at that revision (0 = as the execution runs it), to be given back. */
static sl_flow_ref *flow_at(sl_engine *e, sl_request *r, const sl_live *l)
{
    sl_flow_row row;
    bool found;
    if (r->revision == 0)
        return l->ref ? sl_flow_cache_share(e->flows, l->ref) : NULL;
    if (!sl_repository_flow(e->store, e->turn_arena, l->x->flow->ns, l->x->flow->id, r->revision, &row, &found, &r->err))
        return NULL;
    if (!found)
        sl_err_set(&r->err, SL_ERR_NOT_FOUND, "flow.revision", "the flow '%.*s' has no revision %lld", SL_ARG(l->x->flow->id), (long long)r->revision);
    return found ? sl_flow_cache_get(e->flows, row.source, row.revision, NULL, &r->err) : NULL;
}

/* RESTART or REPLAY as a new execution; at: of a replay, where it begins. */
static bool do_copy(sl_engine *e, sl_request *r, sl_live *l, const sl_taskrun *at, int64_t now)
{
    sl_flow_ref *ref = flow_at(e, r, l);
    if (r->revision > 0 && ref == NULL)
        return false;
    const sl_flow *flow = ref ? ref->flow : l->x->flow;
    bool restart = r->verb == SL_DO_RESTART;
    sl_ordered_id(r->new_id);
    sl_exec *x = restart ? sl_exec_restart_as(l->x, flow, sl_str_c(r->new_id), now) : sl_exec_replay(l->x, flow, at, sl_str_c(r->new_id), now);
    if (x == NULL) {
        sl_flow_cache_put(e->flows, ref);
        return restart ? sl_err_set(&r->err, SL_ERR_CONFIG, "execution.restart", "Illegal argument: No task found to restart execution from!")
                       : sl_err_set(&r->err, SL_ERR_CONFIG, "execution.replay", "Illegal argument: the task '%.*s', or one around it, is not in revision %lld of the flow, or not in its place", SL_ARG(at->def->id), (long long)r->revision);
    }
    sl_live *copy = sl_live_add(e, x, ref);
    if (at == NULL && !restart)
        sl_engine_feed(e, copy, &(sl_event){ .kind = SL_EV_START }, now);
    else
        sl_exec_resume(x, now);
    return true;
}

static bool do_restart(sl_engine *e, sl_request *r, sl_live *l, int64_t now)
{
    sl_exec *x = l->x;
    if (x->state == SL_PAUSED)
        return do_resume(e, r, l, now);
    if (!sl_exec_over(x))
        return refuse(r, x, "terminated to be restarted");
    if (r->revision > 0)
        return do_copy(e, r, l, NULL, now);
    if (!sl_exec_restart(x, now))
        return sl_err_set(&r->err, SL_ERR_CONFIG, "execution.restart", "Illegal argument: No task found to restart execution from!");
    l->ended = false;
    sl_exec_resume(x, now);
    return true;
}

static bool do_replay(sl_engine *e, sl_request *r, sl_live *l, int64_t now)
{
    const sl_taskrun *at = r->taskrun_id.n ? find_run(l->x, r->taskrun_id) : NULL;
    if (r->taskrun_id.n > 0 && at == NULL)
        return sl_err_set(&r->err, SL_ERR_NOT_FOUND, "taskrun.unknown", "the execution has no task run '%.*s'", SL_ARG(r->taskrun_id));
    if (!sl_state_final(l->x->state) && l->x->state != SL_PAUSED)
        return refuse(r, l->x, "terminated or paused to be replayed");
    return do_copy(e, r, l, at, now);
}

/* The main list's task that failed has succeeded after all, say. */
static bool do_run_state(sl_engine *e, sl_request *r, sl_live *l, int64_t now)
{
    (void)e;
    sl_taskrun *run = find_run(l->x, r->taskrun_id);
    if (!sl_exec_over(l->x))
        return refuse(r, l->x, "terminated for a task run to get another state");
    if (run == NULL)
        return sl_err_set(&r->err, SL_ERR_NOT_FOUND, "taskrun.unknown", "the execution has no task run '%.*s'", SL_ARG(r->taskrun_id));
    if (!sl_state_final(r->status) || r->status == SL_RETRIED)
        return sl_err_set(&r->err, SL_ERR_CONFIG, "taskrun.state", "Illegal argument: a task run can be set to SUCCESS, WARNING, FAILED, SKIPPED, KILLED or CANCELLED, not to %s", sl_state_name(r->status));
    if (!sl_exec_set_run(l->x, run, r->status, now))
        return sl_err_set(&r->err, SL_ERR_CONFIG, "taskrun.place", "Illegal argument: the state of '%.*s' cannot be changed: it ran for an errors, finally or afterExecution block, or in a WorkingDirectory", SL_ARG(run->def->id));
    l->ended = false;
    sl_exec_resume(l->x, now);
    return true;
}

static bool do_labels(sl_engine *e, sl_request *r, sl_live *l, int64_t now)
{
    for (size_t i = 0; i < sl_val_count(r->values); i++)
        if (sl_str_starts(r->values->map.entries[i].key, SL_S("system.")))
            return sl_err_set(&r->err, SL_ERR_CONFIG, "labels.system", "System labels can only be set by the system itself, offending label: %.*s", SL_ARG(r->values->map.entries[i].key));
    sl_engine_feed(e, l, &(sl_event){ .kind = SL_EV_LABELS, .labels = r->values }, now);
    return true;
}

static bool do_run(sl_engine *e, sl_request *r, sl_live *l, int64_t now)
{
    if (l->x->state != SL_QUEUED && l->x->state != SL_CREATED)
        return refuse(r, l->x, "queued to be started");
    sl_engine_feed(e, l, &(sl_event){ .kind = SL_EV_START }, now);
    return true;
}

static bool do_status(sl_engine *e, sl_request *r, sl_live *l, int64_t now)
{
    (void)e;
    if (!sl_exec_over(l->x))
        return sl_err_set(&r->err, SL_ERR_CONFIG, "execution.state", "Illegal argument: You can only change the state of a terminated execution.");
    if (!sl_state_final(r->status))
        return sl_err_set(&r->err, SL_ERR_CONFIG, "execution.state", "Illegal argument: You can only change the state of an execution to a terminal state.");
    sl_exec_set_final(l->x, r->status, now);
    return true;
}

static bool do_delete(sl_engine *e, sl_request *r, sl_live *l, int64_t now)
{
    (void)now;
    static const char *const tables[] = { "DELETE FROM taskruns WHERE execution=?", "DELETE FROM metrics WHERE execution=?", "DELETE FROM executions WHERE id=?" };
    const sl_exec *x = l->x;
    const sl_val *gone;
    sl_err err;
    if (!sl_exec_over(x) || l->jobs > 0)
        return refuse(r, x, "terminated to be deleted");
    for (size_t i = 0; i < SL_COUNT(tables); i++)
        if (!sl_db_run(sl_store_db(e->store), &err, tables[i], "s", x->id)) {
            sl_engine_break(e, &err);
            return false;
        }
    if (!r->keep_files) {
        sl_str folder = sl_fmt(e->turn_arena, "%s/%.*s", e->storage_root, SL_ARG(sl_storage_execution_prefix(e->turn_arena, x->flow->ns, x->flow->id, x->id)));
        if (!sl_stored_changes_now(e, folder, &err)) {
            sl_engine_break(e, &err);
            return false;
        }
        if (!sl_storage_purge(&e->storage, e->turn_arena, x->flow->ns, x->flow->id, x->id, &gone, &err))
            sl_log(SL_WARN, "storage", "files of the deleted execution %s are left behind: %s", x->id.p, err.message);
    }
    if (!r->keep_logs && !sl_logs_delete(e->logs, x->id, &err))
        sl_log(SL_WARN, "logs", "the log of the deleted execution %s is left behind: %s", x->id.p, err.message);
    return true;
}

bool sl_execution_apply(sl_engine *e, sl_request *r, int64_t now)
{
    static bool (*const verbs[])(sl_engine *e, sl_request *r, sl_live *l, int64_t now) = {
        [SL_DO_KILL] = do_kill, [SL_DO_PAUSE] = do_pause,   [SL_DO_RESUME] = do_resume, [SL_DO_RESTART] = do_restart, [SL_DO_REPLAY] = do_replay,
        [SL_DO_LABELS] = do_labels, [SL_DO_RUN] = do_run, [SL_DO_STATUS] = do_status, [SL_DO_RUN_STATE] = do_run_state, [SL_DO_DELETE] = do_delete,
    };
    sl_err_clear(&r->err);
    sl_live *l = sl_execution_open(e, r->id, &r->err);
    r->ok = l != NULL && verbs[r->verb](e, r, l, now);
    if (l != NULL)
        sl_live_touch(e, l);
    return r->ok;
}

static void apply(sl_engine *e, void *arg, int64_t now)
{
    (void)sl_execution_apply(e, arg, now);
}

bool sl_execution_do(sl_engine *e, sl_request *r, sl_err *err)
{
    if (!sl_engine_call(e, apply, r, err))
        return false;
    if (!r->ok)
        *err = r->err;
    return r->ok;
}
