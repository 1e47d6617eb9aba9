/* flows/store.c: see store.h. */
#include "flows/store.h"

#include "base/arena.h"
#include "base/io.h"
#include "base/json.h"
#include "base/secret.h"

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
    { 0, NULL },
};

struct sl_store {
    sl_db *db;
    sl_kv *kv;
    int64_t epoch;
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

static sl_str json_or_null(sl_arena *a, const sl_val *v)
{
    return v ? sl_json(a, v) : (sl_str){ NULL, 0 };
}

/* ---- what must not be readable on disk ---- */

/* *ret: the document as it may be read; *sealed: all of it, when that is not the same (NULL text otherwise). */
static bool protect(sl_store *s, sl_arena *a, sl_str owner, const sl_val *v, sl_str *ret, sl_str *sealed, sl_err *err)
{
    sl_str plain = json_or_null(a, v), raw;
    *sealed = (sl_str){ NULL, 0 };
    *ret = v ? sl_json(a, sl_redact_val(a, v)) : plain;
    if (sl_str_eq(*ret, plain))
        return true;
    if (!sl_kv_seal(s->kv, a, "state", owner, plain, &raw, err))
        return false;
    *sealed = sl_base64(a, raw);
    return true;
}

/* What was hidden is a secret from here on, too, though nobody has asked for it in this process. */
static void know_secrets(const sl_val *plain, const sl_val *shown)
{
    if (sl_is(plain, SL_STRING)) {
        if (!sl_str_eq(plain->s, sl_text(shown)))
            sl_redact_add(plain->s);
        return;
    }
    for (size_t i = 0; i < sl_val_count(plain); i++) {
        bool map = sl_is(plain, SL_MAP), same = sl_val_count(shown) == sl_val_count(plain) && sl_is(shown, plain->type);
        if (same)
            know_secrets(map ? plain->map.entries[i].value : sl_at(plain, i), map ? shown->map.entries[i].value : sl_at(shown, i));
    }
}

static bool reveal(sl_store *s, sl_arena *a, sl_str owner, sl_str shown, sl_str sealed, const sl_val **ret, sl_err *err)
{
    sl_str raw, plain;
    *ret = shown.p ? sl_json_parse(a, shown, err) : NULL;
    if (shown.p != NULL && *ret == NULL)
        return false;
    if (sealed.p == NULL)
        return true;
    if (!sl_base64_decode(a, sealed, &raw) || !sl_kv_unseal(s->kv, a, "state", owner, raw, &plain, err))
        return sl_err_ctx(err, "reading the secret values of %.*s", SL_ARG(owner));
    const sl_val *v = sl_json_parse(a, plain, err);
    if (v == NULL)
        return false;
    know_secrets(v, *ret);
    *ret = v;
    return true;
}

/* ---- writing ---- */

static bool save_run(sl_store *s, sl_arena *a, const sl_exec *x, const sl_taskrun *r, int64_t now, sl_err *err)
{
    sl_str state = sl_str_c(sl_state_name(r->state)), none = { NULL, 0 }, outputs, sealed;
    if (!protect(s, a, r->id, r->outputs, &outputs, &sealed, err))
        return false;
    if (!sl_db_run(s->db, err,
                   "INSERT INTO taskruns(execution, seq, id, task, parent, role, value, iteration, state, attempt, waiting, wake_ms, choice, outputs, checkpoint, error, epoch,"
                   " created_ms, started_ms, first_started_ms, ended_ms, sealed)"
                   " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
                   " ON CONFLICT(execution, id) DO UPDATE SET state=excluded.state, attempt=excluded.attempt, waiting=excluded.waiting, wake_ms=excluded.wake_ms,"
                   " choice=excluded.choice, outputs=excluded.outputs, checkpoint=excluded.checkpoint, error=excluded.error, epoch=excluded.epoch,"
                   " started_ms=excluded.started_ms, ended_ms=excluded.ended_ms, sealed=excluded.sealed",
                   "sisssisisiiissssiiiiis", x->id, (int64_t)r->seq, r->id, r->def->id, r->parent ? r->parent->id : none, (int64_t)r->role, r->value, r->iteration, state, (int64_t)r->attempt,
                   (int64_t)r->waiting, r->wake_ms, r->chosen ? (r->choice.p ? r->choice : SL_S("")) : none, outputs, json_or_null(a, r->checkpoint),
                   r->error.n ? r->error : none, s->epoch, r->created_ms, r->started_ms, r->first_started_ms, r->ended_ms, sealed))
        return false;
    return sl_db_run(s->db, err,
                     "INSERT INTO history(execution, taskrun, seq, state, attempt, at_ms)"
                     " SELECT ?1, ?2, (SELECT count(*) FROM history WHERE execution=?1 AND taskrun=?2), ?3, ?4, ?5"
                     " WHERE NOT EXISTS (SELECT 1 FROM history WHERE execution=?1 AND taskrun=?2 AND seq=(SELECT max(seq) FROM history WHERE execution=?1 AND taskrun=?2)"
                     " AND state=?3 AND attempt=?4)",
                     "sssii", x->id, r->id, state, (int64_t)r->attempt, now);
}

static bool save_execution(sl_store *s, sl_arena *a, const sl_exec *x, sl_err *err)
{
    const sl_flow *f = x->flow;
    sl_str hash = sl_hex(a, sl_digest(a, "SHA256", f->source)), inputs, outputs, both, sealed, none;
    sl_val *doc = sl_map(a);
    sl_map_setc(a, doc, "inputs", x->inputs);
    sl_map_opt(a, doc, "outputs", x->outputs);
    return protect(s, a, x->id, x->inputs, &inputs, &none, err) && protect(s, a, x->id, x->outputs, &outputs, &none, err) && protect(s, a, x->id, doc, &both, &sealed, err)
           && sl_db_run(s->db, err, "INSERT INTO sources(hash, source) VALUES(?,?) ON CONFLICT DO NOTHING", "ss", hash, f->source)
           && sl_db_run(s->db, err,
                        "INSERT INTO executions(id, ns, flow_id, revision, source, state, phase, killing, inputs, labels, trigger, outputs, epoch, created_ms, started_ms, ended_ms, sealed)"
                        " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(id) DO UPDATE SET state=excluded.state, phase=excluded.phase, killing=excluded.killing, labels=excluded.labels,"
                        " outputs=excluded.outputs, epoch=excluded.epoch, started_ms=excluded.started_ms, ended_ms=excluded.ended_ms, sealed=excluded.sealed",
                        "sssissiissssiiiis", x->id, f->ns, f->id, f->revision, hash, sl_str_c(sl_state_name(x->state)), (int64_t)x->root.phase, (int64_t)x->killing, inputs,
                        sl_json(a, sl_redact_val(a, x->labels)), json_or_null(a, x->trigger), outputs, s->epoch, x->created_ms, x->started_ms, x->ended_ms, sealed);
}

bool sl_store_save(sl_store *s, sl_exec *x, int64_t now_ms, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    if (x->dirty && !save_execution(s, a, x, err))
        return false;
    /* The list has the newest first; rows are numbered in the order of creation. */
    size_t n = 0, i = 0;
    for (sl_taskrun *r = x->dirty_runs; r != NULL; r = r->next_dirty)
        n++;
    sl_taskrun **order = SL_ARRAY(a, sl_taskrun *, n + 1);
    for (sl_taskrun *r = x->dirty_runs; r != NULL; r = r->next_dirty)
        order[i++] = r;
    while (i > 0)
        if (!save_run(s, a, x, order[--i], now_ms, err))
            return false;
    return true;
}

bool sl_store_flow_source(sl_store *s, sl_arena *arena, sl_str execution_id, sl_str *ret, sl_err *err)
{
    sl_stmt *q = sl_db_query(s->db, err, "SELECT s.source FROM executions e JOIN sources s ON s.hash = e.source WHERE e.id = ?", "s", execution_id);
    if (q == NULL)
        return false;
    int rc = sl_stmt_next(q, err);
    if (rc != 1)
        return rc == 0 && sl_err_set(err, SL_ERR_NOT_FOUND, "execution.unknown", "there is no execution '%.*s' in this data folder", SL_ARG(execution_id));
    *ret = sl_col_str(q, arena, 0);
    sl_stmt_done(q);
    return true;
}

static const sl_task_def *find_def(const sl_flow *f, sl_str id)
{
    for (size_t i = 0; i < f->task_count; i++)
        if (sl_str_eq(f->all[i]->id, id))
            return f->all[i];
    return NULL;
}

static sl_taskrun *find_run(const sl_exec *x, sl_str id)
{
    for (sl_taskrun *r = x->first; r != NULL && id.p != NULL; r = r->next)
        if (sl_str_eq(r->id, id))
            return r;
    return NULL;
}

static const sl_val *parse_or_null(sl_arena *a, sl_str text)
{
    sl_err ignored;
    return text.p ? sl_json_parse(a, text, &ignored) : NULL;
}

static bool load_runs(sl_store *s, sl_exec *x, sl_err *err)
{
    sl_arena *a = x->arena;
    sl_stmt *q = sl_db_query(s->db, err,
                             "SELECT id, task, parent, role, value, iteration, state, attempt, waiting, wake_ms, choice, outputs, checkpoint, error, created_ms, started_ms, first_started_ms, ended_ms, sealed"
                             " FROM taskruns WHERE execution=? ORDER BY seq",
                             "s", x->id);
    if (q == NULL)
        return false;
    int rc;
    while ((rc = sl_stmt_next(q, err)) == 1) {
        const sl_task_def *def = find_def(x->flow, sl_col_str(q, a, 1));
        if (def == NULL) {
            sl_stmt_done(q);
            return sl_err_set(err, SL_ERR_DATA, "execution.task", "the execution '%.*s' has a task that its flow lacks", SL_ARG(x->id));
        }
        sl_taskrun *r = sl_exec_restore(x, sl_col_str(q, a, 0), def, find_run(x, sl_col_str(q, a, 2)), (sl_phase)sl_col_int(q, 3), sl_col_str(q, a, 4), sl_col_int(q, 5));
        (void)sl_state_parse(sl_col_str(q, a, 6), &r->state);
        r->attempt = (int)sl_col_int(q, 7);
        r->waiting = sl_col_int(q, 8) != 0;
        r->wake_ms = sl_col_int(q, 9);
        r->choice = sl_col_str(q, a, 10);
        r->chosen = r->choice.p != NULL;
        if (!reveal(s, a, r->id, sl_col_str(q, a, 11), sl_col_str(q, a, 18), &r->outputs, err)) {
            sl_stmt_done(q);
            return false;
        }
        r->checkpoint = parse_or_null(a, sl_col_str(q, a, 12));
        r->error = sl_col_str(q, a, 13);
        r->created_ms = sl_col_int(q, 14);
        r->started_ms = sl_col_int(q, 15);
        r->first_started_ms = sl_col_int(q, 16);
        r->ended_ms = sl_col_int(q, 17);
    }
    return rc == 0;
}

sl_exec *sl_store_load(sl_store *s, const sl_flow *flow, sl_str id, sl_err *err)
{
    sl_exec *x = sl_exec_new(flow, id, 0);
    sl_stmt *q = sl_db_query(s->db, err, "SELECT state, killing, inputs, labels, trigger, outputs, created_ms, started_ms, ended_ms, sealed FROM executions WHERE id=?", "s", id);
    bool ok = q != NULL && sl_stmt_next(q, err) == 1;
    if (ok) {
        (void)sl_state_parse(sl_col_str(q, x->arena, 0), &x->state);
        x->killing = sl_col_int(q, 1) != 0;
        sl_str inputs = sl_col_str(q, x->arena, 2), outputs = sl_col_str(q, x->arena, 5), sealed = sl_col_str(q, x->arena, 9);
        sl_str shown = sl_fmt(x->arena, "{\"inputs\":%.*s%s%.*s}", SL_ARG(inputs), outputs.p ? ",\"outputs\":" : "", SL_ARG(outputs));
        x->labels = sl_json_parse(x->arena, sl_col_str(q, x->arena, 3), err);
        x->trigger = parse_or_null(x->arena, sl_col_str(q, x->arena, 4));
        x->created_ms = sl_col_int(q, 6);
        x->started_ms = sl_col_int(q, 7);
        x->ended_ms = sl_col_int(q, 8);
        sl_stmt_done(q);
        const sl_val *both;
        ok = x->labels != NULL && reveal(s, x->arena, x->id, shown, sealed, &both, err);
        x->inputs = ok ? sl_get(both, "inputs") : NULL;
        x->outputs = ok ? sl_get(both, "outputs") : NULL;
        ok = x->inputs != NULL && load_runs(s, x, err);
    }
    if (ok)
        return x;
    sl_arena_free(x->arena);
    return NULL;
}
