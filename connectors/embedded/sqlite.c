/* connectors/embedded/sqlite.c: Query, Queries and Trigger of SQLite. */
#include <sqlite3.h>

#include "base/arena.h"
#include "base/sql.h"
#include "connectors/embedded/embedded.h"

enum { BUSY_MS = 10000, STEPS = 10000 };

static int stop(void *task)
{
    return sl_task_cancelled(task);
}

static bool failed(sqlite3 *db, sl_err *err)
{
    int code = sqlite3_extended_errcode(db);
    if ((code & 255) == SQLITE_INTERRUPT)
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped on request");
    sl_err_kind kind = (code & 255) == SQLITE_BUSY ? SL_ERR_TRANSIENT : (code & 255) == SQLITE_FULL ? SL_ERR_IO : SL_ERR_DATA;
    return sl_err_set(err, kind, (code & 255) == SQLITE_FULL ? "io.disk_full" : "sqlite", "SQLite: %s", sqlite3_errmsg(db));
}

static void *sqlite_open(sl_task *t, const sl_embedded_cfg *c, const char *path, sl_str dir, sl_err *err)
{
    sqlite3 *db = NULL;
    (void)c;
    (void)dir;
    if (sqlite3_open_v2(*path != '\0' ? path : ":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        (void)failed(db, err);
        (void)sqlite3_close(db);
        (void)sl_err_ctx(err, "opening '%s'", path);
        return NULL;
    }
    (void)sqlite3_busy_timeout(db, BUSY_MS);
    sqlite3_progress_handler(db, STEPS, stop, t);
    return db;
}

static void sqlite_close(void *db)
{
    (void)sqlite3_close(db);
}

static bool bind_one(sqlite3_stmt *s, int i, sl_arena *a, const sl_val *v)
{
    sl_str t;
    switch (v->type) {
    case SL_NULL: return sqlite3_bind_null(s, i) == SQLITE_OK;
    case SL_BOOL: return sqlite3_bind_int(s, i, v->b) == SQLITE_OK;
    case SL_INT: return sqlite3_bind_int64(s, i, v->i) == SQLITE_OK;
    case SL_DOUBLE: return sqlite3_bind_double(s, i, v->d) == SQLITE_OK;
    default: t = sl_val_text(a, v); return sqlite3_bind_text64(s, i, t.p ? t.p : "", t.n, SQLITE_TRANSIENT, SQLITE_UTF8) == SQLITE_OK;
    }
}

static const sl_val *value(sl_arena *a, sqlite3_stmt *s, int i)
{
    const void *p;
    switch (sqlite3_column_type(s, i)) {
    case SQLITE_INTEGER: return sl_val_int(a, sqlite3_column_int64(s, i));
    case SQLITE_FLOAT: return sl_val_double(a, sqlite3_column_double(s, i));
    case SQLITE_NULL: return &sl_null_val;
    case SQLITE_BLOB: p = sqlite3_column_blob(s, i); return sl_val_str(a, sl_base64(a, (sl_str){ p ? p : "", (size_t)sqlite3_column_bytes(s, i) }));
    default: p = sqlite3_column_text(s, i); return sl_val_str(a, sl_str_dup(a, (sl_str){ p ? p : "", (size_t)sqlite3_column_bytes(s, i) }));
    }
}

static bool step_all(sqlite3 *db, sqlite3_stmt *s, sl_embedded_rows *r, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    int n = sqlite3_column_count(s), rc;
    sl_str *names = SL_ARRAY(a, sl_str, (size_t)n);
    for (int i = 0; i < n; i++)
        names[i] = sl_str_dup(a, sl_str_c(sqlite3_column_name(s, i)));
    sl_arena_mark mark = sl_arena_get_mark(a);
    r->rows = n > 0;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        sl_val *row = sl_map(a);
        for (int i = 0; i < n; i++)
            sl_map_set(a, row, names[i], value(a, s, i));
        if (r->each != NULL && !r->each(r->self, row, err))
            return false;
        sl_arena_rewind(a, mark);
    }
    if (rc != SQLITE_DONE)
        return failed(db, err);
    r->changed = sqlite3_stmt_readonly(s) ? 0 : sqlite3_changes64(db);
    return true;
}

static bool sqlite_exec(void *self, sl_str statement, const sl_val *values, sl_embedded_rows *r, sl_err *err)
{
    sqlite3 *db = self;
    SL_ARENA a = sl_arena_new();
    sqlite3_stmt *s = NULL;
    r->rows = false;
    r->changed = 0;
    if (sqlite3_prepare_v2(db, statement.p, (int)statement.n, &s, NULL) != SQLITE_OK)
        return failed(db, err);
    bool ok = true;
    for (size_t i = 0; ok && i < sl_val_count(values); i++)
        ok = bind_one(s, (int)i + 1, a, sl_at(values, i)) || failed(db, err);
    ok = ok && step_all(db, s, r, err);
    (void)sqlite3_finalize(s);
    return ok;
}

/* A PRAGMA may do nothing in a transaction, without a word. */
static bool sqlite_fits(sl_arena *a, sl_str statement)
{
    static const char *const not[] = { "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "VACUUM", "ATTACH", "DETACH", "PRAGMA" };
    sl_str verb = sl_sql_verb(a, statement);
    for (size_t i = 0; i < SL_COUNT(not); i++)
        if (sl_str_eqc(verb, not[i]))
            return false;
    return true;
}

static const char *const keys[] = { "CREATE TABLE IF NOT EXISTS sluice_transactions (key TEXT PRIMARY KEY, made TEXT)", NULL };
static const sl_embedded_driver driver = {
    .name = "SQLite",
    .scheme = "jdbc:sqlite:",
    .extension = ".db",
    .open = sqlite_open,
    .close = sqlite_close,
    .exec = sqlite_exec,
    .fits = sqlite_fits,
    .make_keys = keys,
    .has_key = "SELECT 1 FROM sluice_transactions WHERE key = $1",
    .add_key = "INSERT INTO sluice_transactions VALUES ($1, datetime('now'))",
    .forget_keys = "DELETE FROM sluice_transactions WHERE made < datetime('now', '-90 days')",
};

#define SQLITE_OPTS { .name = "sqliteFile", .type = SL_OPT_STR, .offset = SL_FIELD(sl_embedded_cfg, database_uri), .doc = "A stored database to start from." }
#define URL "jdbc:sqlite:"
static const sl_opt query_opts[] = { SL_EMBEDDED_OPTS(URL, "NONE"), SQLITE_OPTS, SL_EMBEDDED_AFTER, { 0 } };
static const sl_opt queries_opts[] = { SL_EMBEDDED_OPTS(URL, "NONE"), SQLITE_OPTS, SL_EMBEDDED_TRANSACTION, { 0 } };
static const sl_opt trigger_opts[] = { SL_EMBEDDED_OPTS(URL, "FETCH"), SQLITE_OPTS, SL_EMBEDDED_AFTER, { 0 } };

static sl_outcome query_run(sl_task *t, void *cfg, sl_err *err)
{
    return sl_embedded_run(t, &driver, cfg, false, NULL, err);
}

static sl_outcome queries_run(sl_task *t, void *cfg, sl_err *err)
{
    return sl_embedded_run(t, &driver, cfg, true, NULL, err);
}

static sl_outcome trigger_run(sl_task *t, void *cfg, sl_err *err)
{
    return sl_embedded_look(t, &driver, cfg, err);
}

#define TYPE(what, opt_table, out_table, function, words) { .type = "io.kestra.plugin.jdbc.sqlite." what, .doc = words, .cfg_size = sizeof(sl_embedded_cfg), .opts = opt_table, .outs = out_table, .run = function }
const sl_task_type sl_sqlite_query = TYPE("Query", query_opts, sl_embedded_query_outs, query_run, "Runs one statement in SQLite.");
const sl_task_type sl_sqlite_queries = TYPE("Queries", queries_opts, sl_embedded_queries_outs, queries_run, "Runs statements in SQLite, in one transaction.");
const sl_task_type sl_sqlite_trigger = TYPE("Trigger", trigger_opts, sl_embedded_query_outs, trigger_run, "Fires when a query in SQLite has rows.");
