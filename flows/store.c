/* flows/store.c: the schema, transactions, and what is written of an execution. */
#include "base/arena.h"
#include "base/io.h"
#include "base/json.h"
#include "base/secret.h"
#include "flows/store_private.h"

static const sl_migration migrations[] = {
    { 1, "CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
         "CREATE TABLE sources(hash TEXT PRIMARY KEY, source TEXT NOT NULL) STRICT, WITHOUT ROWID;"
         "CREATE TABLE executions(id TEXT PRIMARY KEY, ns TEXT NOT NULL, flow_id TEXT NOT NULL, revision INTEGER NOT NULL, source TEXT NOT NULL REFERENCES sources(hash),"
         " state TEXT NOT NULL, phase INTEGER NOT NULL, killing INTEGER NOT NULL, inputs TEXT NOT NULL, labels TEXT NOT NULL, trigger TEXT, outputs TEXT, epoch INTEGER NOT NULL,"
         " created_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
         "CREATE INDEX executions_by_flow ON executions(ns, flow_id, created_ms);"
         "CREATE INDEX executions_live ON executions(state) WHERE ended_ms = 0;"
         "CREATE TABLE taskruns(execution TEXT NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL, task TEXT NOT NULL, parent TEXT, role INTEGER NOT NULL, value TEXT,"
         " iteration INTEGER NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL, waiting INTEGER NOT NULL, wake_ms INTEGER NOT NULL, choice TEXT, outputs TEXT,"
         " checkpoint TEXT, error TEXT, epoch INTEGER NOT NULL, created_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL, first_started_ms INTEGER NOT NULL,"
         " ended_ms INTEGER NOT NULL, PRIMARY KEY(execution, id)) STRICT, WITHOUT ROWID;"
         "CREATE TABLE history(execution TEXT NOT NULL, taskrun TEXT NOT NULL, seq INTEGER NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
         " PRIMARY KEY(execution, taskrun, seq)) STRICT, WITHOUT ROWID" },
    { 2, "ALTER TABLE executions ADD COLUMN sealed TEXT; ALTER TABLE taskruns ADD COLUMN sealed TEXT" },
    { 3, "ALTER TABLE executions ADD COLUMN over INTEGER NOT NULL DEFAULT 0;"
         "ALTER TABLE executions ADD COLUMN history TEXT NOT NULL DEFAULT '';"
         "ALTER TABLE executions ADD COLUMN original_id TEXT; ALTER TABLE executions ADD COLUMN parent_id TEXT;"
         "ALTER TABLE executions ADD COLUMN attempt_number INTEGER NOT NULL DEFAULT 1;"
         "ALTER TABLE executions ADD COLUMN held INTEGER NOT NULL DEFAULT 0; ALTER TABLE executions ADD COLUMN kill_state TEXT NOT NULL DEFAULT 'KILLED';"
         "ALTER TABLE executions ADD COLUMN schedule_ms INTEGER NOT NULL DEFAULT 0; ALTER TABLE executions ADD COLUMN deadline_ms INTEGER NOT NULL DEFAULT 0;"
         "ALTER TABLE executions ADD COLUMN variables TEXT;"
         /* one tick of a trigger makes one execution: tick_kind is 'schedule' or the id of a backfill */
         "ALTER TABLE executions ADD COLUMN trigger_id TEXT; ALTER TABLE executions ADD COLUMN tick_ms INTEGER; ALTER TABLE executions ADD COLUMN tick_kind TEXT;"
         "UPDATE executions SET over = 1 WHERE ended_ms > 0;"
         "ALTER TABLE taskruns ADD COLUMN history TEXT NOT NULL DEFAULT '';"
         "DROP TABLE history; DROP INDEX executions_live; DROP INDEX executions_by_flow;"
         "CREATE INDEX executions_open ON executions(created_ms) WHERE over = 0;"
         "CREATE INDEX executions_by_time ON executions(created_ms);"
         "CREATE INDEX executions_by_flow ON executions(ns, flow_id, created_ms, state);"
         "CREATE UNIQUE INDEX executions_by_tick ON executions(ns, flow_id, trigger_id, tick_ms, tick_kind) WHERE tick_ms IS NOT NULL;"
         "CREATE TABLE flows(ns TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL, source TEXT NOT NULL REFERENCES sources(hash), deleted INTEGER NOT NULL,"
         " disabled INTEGER NOT NULL, labels TEXT NOT NULL, description TEXT, updated_ms INTEGER NOT NULL, PRIMARY KEY(ns, id)) STRICT, WITHOUT ROWID;"
         "CREATE TABLE revisions(ns TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL, source TEXT NOT NULL REFERENCES sources(hash), deleted INTEGER NOT NULL,"
         " author TEXT NOT NULL, created_ms INTEGER NOT NULL, PRIMARY KEY(ns, id, revision)) STRICT, WITHOUT ROWID;"
         /* next_ms: the next date of a schedule, the high-water mark (INT64_MAX: never); spec: the trigger as JSON, defaults put in */
         "CREATE TABLE triggers(ns TEXT NOT NULL, flow_id TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, spec TEXT NOT NULL, disabled INTEGER NOT NULL,"
         " next_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, backfill TEXT, problem TEXT, state TEXT, updated_ms INTEGER NOT NULL,"
         " PRIMARY KEY(ns, flow_id, id)) STRICT, WITHOUT ROWID;"
         "CREATE TABLE metrics(execution TEXT NOT NULL, seq INTEGER NOT NULL, taskrun TEXT NOT NULL, task TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,"
         " value REAL NOT NULL, tags TEXT, at_ms INTEGER NOT NULL, PRIMARY KEY(execution, seq)) STRICT, WITHOUT ROWID;"
         "CREATE TABLE users(name TEXT PRIMARY KEY, password TEXT NOT NULL, role TEXT NOT NULL, ns TEXT NOT NULL, created_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
         "CREATE TABLE tokens(hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, owner TEXT NOT NULL, prefix TEXT NOT NULL, role TEXT NOT NULL, ns TEXT NOT NULL,"
         " kind TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID" },
    { 4, "CREATE TABLE audit(seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, who TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, mac TEXT NOT NULL) STRICT" },
    { 5, "ALTER TABLE executions ADD COLUMN first_attempt_ms INTEGER NOT NULL DEFAULT 0" },
    /* what an object store behind the internal storage has yet to follow; path: below the storage */
    { 6, "CREATE TABLE unsynced(path TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID" },
    { 7, "ALTER TABLE executions ADD COLUMN ended_by TEXT" },
    { 0, NULL },
};

sl_store *sl_store_open(const char *path, sl_kv *kv, sl_err *err)
{
    sl_db *db = sl_db_open(path, migrations, err);
    if (db == NULL)
        return NULL;
    sl_store *s = sl_malloc(sizeof *s);
    *s = (sl_store){ .db = db, .kv = kv };
    sl_stmt *q = NULL;
    bool ok = sl_db_run(db, err, "INSERT INTO meta(name, value) VALUES('epoch', '1') ON CONFLICT(name) DO UPDATE SET value = CAST(value AS INTEGER) + 1", "")
              && (q = sl_db_query(db, err, "SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'epoch'", "")) != NULL && sl_stmt_next(q, err) == 1;
    if (ok) {
        s->epoch = sl_col_int(q, 0);
        sl_stmt_done(q);
        return s;
    }
    sl_store_close(s);
    return NULL;
}

sl_store *sl_store_open_reader(const char *path, sl_kv *kv, sl_err *err)
{
    sl_db *db = sl_db_open_reader(path, err);
    if (db == NULL)
        return NULL;
    sl_store *s = sl_malloc(sizeof *s);
    *s = (sl_store){ .db = db, .kv = kv };
    return s;
}

sl_db *sl_store_db(sl_store *s)
{
    return s->db;
}

void sl_store_close(sl_store *s)
{
    if (s == NULL)
        return;
    sl_db_close(s->db);
    free(s);
}

bool sl_store_begin(sl_store *s, sl_err *err)
{
    return sl_db_begin(s->db, err);
}

bool sl_store_commit(sl_store *s, sl_err *err)
{
    return sl_db_commit(s->db, err);
}

void sl_store_rollback(sl_store *s)
{
    sl_db_rollback(s->db);
}

/* ---- what must not be readable on disk ---- */

static sl_str json_or_null(sl_arena *a, const sl_val *v)
{
    return v ? sl_json(a, v) : (sl_str){ NULL, 0 };
}

/* *ret: the document as it may be read; *sealed: all of it, when that is not the same (NULL text otherwise). */
static bool protect(sl_store *s, sl_arena *a, sl_str owner, const sl_val *v, sl_str *ret, sl_str *sealed, sl_err *err)
{
    sl_str plain = json_or_null(a, v), raw;
    const sl_val *shown = v ? sl_redact_val(a, v) : NULL;
    *sealed = (sl_str){ NULL, 0 };
    *ret = shown == v ? plain : sl_json(a, shown);
    if (shown == v || sl_str_eq(*ret, plain))
        return true;
    if (!sl_kv_seal(s->kv, a, "state", owner, plain, &raw, err))
        return false;
    *sealed = sl_base64(a, raw);
    return true;
}

/* ---- writing ---- */

/* "RUNNING 1 1700000000000;…" */
static sl_str history_text(sl_arena *a, const sl_history *h)
{
    sl_buf b = sl_buf_new(a, 64 << 20);
    for (size_t i = 0; i < h->n; i++)
        sl_buf_fmt(&b, "%s%s %d %lld", i ? ";" : "", sl_state_name(h->items[i].state), h->items[i].attempt, (long long)h->items[i].at_ms);
    return sl_buf_str(&b);
}

static bool save_run(sl_store *s, sl_arena *a, const sl_exec *x, const sl_taskrun *r, sl_err *err)
{
    sl_str state = sl_str_c(sl_state_name(r->state)), none = { NULL, 0 }, outputs, sealed;
    if (!protect(s, a, r->id, r->outputs, &outputs, &sealed, err))
        return false;
    return sl_db_run(s->db, err,
                     "INSERT INTO taskruns(execution, seq, id, task, parent, role, value, iteration, state, attempt, waiting, wake_ms, choice, outputs, checkpoint, error, epoch,"
                     " created_ms, started_ms, first_started_ms, ended_ms, sealed, history)"
                     " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
                     " ON CONFLICT(execution, id) DO UPDATE SET state=excluded.state, attempt=excluded.attempt, waiting=excluded.waiting, wake_ms=excluded.wake_ms,"
                     " choice=excluded.choice, outputs=excluded.outputs, checkpoint=excluded.checkpoint, error=excluded.error, epoch=excluded.epoch,"
                     " started_ms=excluded.started_ms, first_started_ms=excluded.first_started_ms, ended_ms=excluded.ended_ms, sealed=excluded.sealed, history=excluded.history",
                     "sisssisisiiissssiiiiiss", x->id, (int64_t)r->seq, r->id, r->def->id, r->parent ? r->parent->id : none, (int64_t)r->role, r->value, r->iteration, state,
                     (int64_t)r->attempt, (int64_t)r->waiting, r->wake_ms, r->chosen ? (r->choice.p ? r->choice : SL_S("")) : none, outputs, json_or_null(a, r->checkpoint),
                     r->error.n ? r->error : none, s->epoch, r->created_ms, r->started_ms, r->first_started_ms, r->ended_ms, sealed, history_text(a, &r->history));
}

/* What never changes after the first time. A tick is unique: a second execution for it is a conflict. */
static bool insert_execution(sl_store *s, sl_arena *a, const sl_exec *x, sl_err *err)
{
    const sl_flow *f = x->flow;
    sl_str none = { NULL, 0 };
    if (!sl_db_run(s->db, err, "INSERT INTO sources(hash, source) VALUES(?,?) ON CONFLICT DO NOTHING", "ss", f->hash, f->source)
        || !sl_db_run(s->db, err,
                      "INSERT INTO executions(id, ns, flow_id, revision, source, state, phase, killing, inputs, labels, trigger, epoch, created_ms, started_ms, ended_ms, original_id, parent_id,"
                      " schedule_ms, deadline_ms, first_attempt_ms) VALUES(?,?,?,?,?,'CREATED',0,0,'{}','{}',?,?,?,0,0,?,?,?,?,?) ON CONFLICT DO NOTHING",
                      "sssissiissiii", x->id, f->ns, f->id, f->revision, f->hash, json_or_null(a, x->trigger ? sl_redact_val(a, x->trigger) : NULL), s->epoch, x->created_ms, x->original_id,
                      x->parent_id.n ? x->parent_id : none, x->schedule_ms, x->deadline_ms, x->first_attempt_ms))
        return false;
    sl_str trigger = sl_get_text(x->trigger, "id");
    return trigger.n == 0
           || (x->tick_kind.n > 0
                   ? sl_db_run(s->db, err, "UPDATE executions SET trigger_id=?, tick_ms=?, tick_kind=? WHERE id=?", "siss", trigger, x->tick_ms, x->tick_kind, x->id)
                   : sl_db_run(s->db, err, "UPDATE executions SET trigger_id=? WHERE id=?", "ss", trigger, x->id));
}

static bool save_execution(sl_store *s, sl_arena *a, const sl_exec *x, sl_err *err)
{
    sl_str inputs, outputs, both, sealed, none;
    sl_val *doc = sl_map(a);
    sl_map_setc(a, doc, "inputs", x->inputs);
    sl_map_opt(a, doc, "outputs", x->outputs);
    return (x->created || insert_execution(s, a, x, err)) && protect(s, a, x->id, x->inputs, &inputs, &none, err) && protect(s, a, x->id, x->outputs, &outputs, &none, err)
           && protect(s, a, x->id, doc, &both, &sealed, err)
           && sl_db_run(s->db, err,
                        "UPDATE executions SET state=?, phase=?, killing=?, held=?, kill_state=?, ended_by=?, inputs=?, labels=?, variables=?, outputs=?, epoch=?, attempt_number=?, started_ms=?,"
                        " ended_ms=?, sealed=?, over=?, history=? WHERE id=?",
                        "siiissssssiiiisiss", sl_str_c(sl_state_name(x->state)), (int64_t)x->root.phase, (int64_t)x->killing, (int64_t)x->held, sl_str_c(sl_state_name(x->kill_state)),
                        x->ended_by, inputs, sl_json(a, sl_redact_val(a, x->labels)), json_or_null(a, x->variables ? sl_redact_val(a, x->variables) : NULL), outputs,
                        s->epoch, x->attempt_number, x->started_ms, x->ended_ms, sealed, (int64_t)sl_exec_over(x), history_text(a, &x->history), x->id);
}

static bool remove_runs(sl_store *s, const sl_exec *x, sl_err *err)
{
    for (size_t i = 0; i < sl_val_count(x->removed); i++)
        if (!sl_db_run(s->db, err, "DELETE FROM taskruns WHERE execution=? AND id=?", "ss", x->id, x->removed->map.entries[i].key))
            return false;
    return true;
}

bool sl_store_save(sl_store *s, sl_exec *x, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    if (!remove_runs(s, x, err) || (x->dirty && !save_execution(s, a, x, err)))
        return false;
    /* The list has the newest first; rows are numbered in the order of creation. */
    size_t n = 0, i = 0;
    for (sl_taskrun *r = x->dirty_runs; r != NULL; r = r->next_dirty)
        n++;
    sl_taskrun **order = SL_ARRAY(a, sl_taskrun *, n + 1);
    for (sl_taskrun *r = x->dirty_runs; r != NULL; r = r->next_dirty)
        order[i++] = r;
    while (i > 0)
        if (!save_run(s, a, x, order[--i], err))
            return false;
    return true;
}

bool sl_store_add_metrics(sl_store *s, const sl_exec *x, const sl_taskrun *run, const sl_val *metrics, int64_t now, sl_err *err)
{
    for (size_t i = 0; i < sl_val_count(metrics); i++) {
        const sl_val *m = sl_at(metrics, i);
        if (!sl_db_run(s->db, err,
                       "INSERT INTO metrics(execution, seq, taskrun, task, kind, name, value, at_ms) SELECT ?1, coalesce(max(seq), 0) + 1, ?2, ?3, ?4, ?5, ?6, ?7 FROM metrics WHERE execution=?1",
                       "sssssdi", x->id, run->id, run->def->id, sl_get_text(m, "kind"), sl_get_text(m, "name"), sl_get(m, "value")->d, now))
            return false;
    }
    return true;
}
