/* service/task_executions.c: what a task may ask of, and do to, other executions (connectors/task.h). */
#include "base/arena.h"
#include "base/json.h"
#include "service/execution.h"
#include "service/reach.h"
#include "service/scheduler.h"
#include "service/task_ctx.h"

static bool may_reach(const sl_task *t, sl_str ns, sl_err *err)
{
    return sl_reach_below(t->info.ns, ns)
           || sl_err_set(err, SL_ERR_CONFIG, "execution.namespace", "a flow of the namespace '%.*s' reaches executions of it and those below, not of '%.*s'; flows of the namespace '" SL_HOUSEKEEPING "' reach all",
                         SL_ARG(t->info.ns), SL_ARG(ns));
}

/* A connection of its own: however long it reads, the engine goes on. */
static sl_store *reader(sl_task *t, sl_err *err)
{
    return sl_store_open_reader(sl_fmt(t->arena, "%s/state.db", t->engine->data_dir).p, t->engine->kv, err);
}

static sl_str scope_of(const sl_task *t, const sl_execution_query *q)
{
    return q->ns.n ? q->ns : sl_str_eqc(t->info.ns, SL_HOUSEKEEPING) ? SL_S("") : t->info.ns;
}

#define MATCHES                                                                                                                                        \
    " WHERE (?1 = '' OR ns = ?1 OR substr(ns, 1, length(?1) + 1) = ?1 || '.') AND (?2 = '' OR flow_id = ?2) AND created_ms >= ?3 AND created_ms <= ?4" \
    " AND (?5 = '' OR state IN (SELECT value FROM json_each(?5))) AND over >= ?6 AND id <> ?7 AND (?9 = '' OR id = ?9)"

static sl_stmt *ask(sl_task *t, sl_store *s, const char *sql, const sl_execution_query *q, int64_t limit, sl_err *err)
{
    sl_str flow = q->flow_id.n ? q->flow_id : SL_S(""), states = sl_val_count(q->states) ? sl_json(t->arena, q->states) : SL_S("");
    return sl_db_query(sl_store_db(s), err, sql, "ssiisisis", scope_of(t, q), flow, q->start_ms, q->end_ms > 0 ? q->end_ms : INT64_MAX, states, (int64_t)q->over, t->info.execution_id, limit, q->id.n ? q->id : SL_S(""));
}

bool sl_task_find_executions(sl_task *t, const sl_execution_query *q, int64_t limit, const sl_val **ret, sl_err *err)
{
    sl_val *list = sl_list(t->arena);
    if (!may_reach(t, scope_of(t, q), err))
        return false;
    sl_store *s = reader(t, err);
    sl_stmt *rows = s ? ask(t, s, "SELECT id, ns, flow_id FROM executions" MATCHES " ORDER BY created_ms LIMIT ?8", q, limit, err) : NULL;
    int rc = rows ? 1 : -1;
    while (rows != NULL && (rc = sl_stmt_next(rows, err)) == 1) {
        sl_val *one = sl_map(t->arena);
        sl_map_set_str(t->arena, one, "id", sl_col_str(rows, t->arena, 0));
        sl_map_set_str(t->arena, one, "namespace", sl_col_str(rows, t->arena, 1));
        sl_map_set_str(t->arena, one, "flowId", sl_col_str(rows, t->arena, 2));
        sl_list_add(t->arena, list, one);
    }
    sl_store_close(s);
    *ret = list;
    return rc == 0;
}

bool sl_task_count_executions(sl_task *t, const sl_execution_query *q, const sl_val **ret, sl_err *err)
{
    sl_val *list = sl_list(t->arena);
    if (!may_reach(t, scope_of(t, q), err))
        return false;
    sl_store *s = reader(t, err);
    sl_stmt *rows = s ? ask(t, s, "SELECT ns, flow_id, count(*) FROM executions" MATCHES " GROUP BY ns, flow_id ORDER BY ns, flow_id LIMIT ?8", q, -1, err) : NULL;
    int rc = rows ? 1 : -1;
    while (rows != NULL && (rc = sl_stmt_next(rows, err)) == 1) {
        sl_val *one = sl_map(t->arena);
        sl_map_set_str(t->arena, one, "namespace", sl_col_str(rows, t->arena, 0));
        sl_map_set_str(t->arena, one, "flowId", sl_col_str(rows, t->arena, 1));
        sl_map_set_int(t->arena, one, "count", sl_col_int(rows, 2));
        sl_list_add(t->arena, list, one);
    }
    sl_store_close(s);
    *ret = list;
    return rc == 0;
}

/* ---- purging ---- */

typedef struct metrics_purge {
    sl_str id;
    int64_t count;
    bool ok;
    sl_err err;
} metrics_purge;

static void purge_metrics(sl_engine *e, void *arg, int64_t now)
{
    metrics_purge *p = arg;
    (void)now;
    p->ok = sl_db_run(sl_store_db(e->store), &p->err, "DELETE FROM metrics WHERE execution=?", "s", p->id);
    p->count = p->ok ? sl_db_changes(sl_store_db(e->store)) : 0;
}

bool sl_task_purge_execution(sl_task *t, const sl_val *found, sl_execution_purge *what, bool *removed, sl_err *err)
{
    sl_str id = sl_get_text(found, "id"), ns = sl_get_text(found, "namespace");
    const sl_val *files;
    unsigned levels = what->levels ? what->levels : ~0U;
    int64_t entries = 0;
    metrics_purge metrics = { .id = id };
    *removed = false;
    if (!may_reach(t, ns, err))
        return false;
    if (what->log && !sl_logs_cut(t->engine->logs, id, levels, !what->execution, &entries, err))
        return false;
    what->log_count += entries;
    if (what->metrics && (!sl_engine_call(t->engine, purge_metrics, &metrics, err) || !metrics.ok)) {
        *err = metrics.ok ? *err : metrics.err;
        return false;
    }
    what->metric_count += metrics.count;
    if (what->files) {
        if (!sl_stored_purge(t, ns, sl_get_text(found, "flowId"), id, &files, err))
            return false;
        what->file_count += (int64_t)sl_val_count(files);
    }
    if (!what->execution)
        return (*removed = true);
    sl_request r = { .verb = SL_DO_DELETE, .id = id, .keep_logs = !what->log, .keep_files = true };
    *removed = sl_execution_do(t->engine, &r, err);
    return *removed || err->kind == SL_ERR_NOT_FOUND || err->kind == SL_ERR_CONFLICT; /* somebody was quicker, or restarted it */
}

/* ---- one of them ---- */

static bool where_is(sl_task *t, sl_str id, sl_str *ns, sl_err *err)
{
    sl_store *s = reader(t, err);
    sl_stmt *q = s ? sl_db_query(sl_store_db(s), err, "SELECT ns FROM executions WHERE id=?", "s", id) : NULL;
    int rc = q ? sl_stmt_next(q, err) : -1;
    if (rc == 1) {
        *ns = sl_col_str(q, t->arena, 0);
        sl_stmt_done(q);
    }
    sl_store_close(s);
    return rc == 1 || (rc == 0 && sl_err_set(err, SL_ERR_NOT_FOUND, "execution.unknown", "there is no execution '%.*s'", SL_ARG(id)));
}

bool sl_task_read_log(sl_task *t, sl_str ns, sl_str id, sl_level least, const sl_val **ret, sl_err *err)
{
    sl_str own = id.n ? id : t->info.execution_id, real;
    if (!where_is(t, own, &real, err) || !may_reach(t, real, err))
        return false;
    if (ns.n > 0 && !sl_str_eq(ns, real))
        return sl_err_set(err, SL_ERR_NOT_FOUND, "execution.unknown", "there is no execution '%.*s' in the namespace '%.*s'", SL_ARG(own), SL_ARG(ns));
    return sl_logs_read(t->engine->logs, t->arena, own, least, ret, err);
}

bool sl_task_resume_execution(sl_task *t, sl_str id, const sl_val *inputs, sl_err *err)
{
    sl_str ns;
    if (!where_is(t, id, &ns, err) || !may_reach(t, ns, err))
        return false;
    sl_request r = { .verb = SL_DO_RESUME, .id = id, .values = sl_val_count(inputs) ? sl_map_of(t->arena, "onResume", inputs) : NULL };
    return sl_execution_do(t->engine, &r, err);
}

bool sl_task_toggle_trigger(sl_task *t, sl_str ns, sl_str flow_id, sl_str trigger, bool enabled, sl_err *err)
{
    sl_trigger_request r = { .verb = enabled ? SL_TRIGGER_ENABLE : SL_TRIGGER_DISABLE, .ns = ns.n ? ns : t->info.ns, .flow_id = flow_id.n ? flow_id : t->info.flow_id, .id = trigger };
    if (t->engine->scheduler == NULL)
        return sl_err_set(err, SL_ERR_CONFIG, "trigger.server", "triggers live on a server; this is a single run");
    return may_reach(t, r.ns, err) && sl_trigger_do(t->engine, &r, err);
}
