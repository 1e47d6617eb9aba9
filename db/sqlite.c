/* db/sqlite.c: see db.h; the only file of the engine that knows SQLite. */
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/fault.h"
#include "db/db.h"

struct sl_stmt {
    struct sl_stmt *next;
    const char *sql;
    sqlite3_stmt *stmt;
    sl_db *db;
    bool busy;
};

struct sl_db {
    sqlite3 *handle;
    pthread_mutex_t lock;
    sl_stmt *cache;
    char *path;
};

static bool failed(sl_db *db, sl_err *err, const char *doing)
{
    int code = sqlite3_extended_errcode(db->handle);
    const char *advice = code == SQLITE_FULL ? "; the disk is full, free some space and try again" : code == SQLITE_BUSY ? "; another process uses it" : "";
    sl_err_kind kind = (code & 255) == SQLITE_CONSTRAINT ? SL_ERR_CONFLICT : SL_ERR_IO;
    return sl_err_set(err, kind, (code & 255) == SQLITE_FULL ? "io.disk_full" : "db", "the database '%s' failed while %s: %s%s", db->path, doing, sqlite3_errmsg(db->handle), advice);
}

static int user_version(sl_db *db)
{
    sqlite3_stmt *s = NULL;
    int version = -1;
    if (sqlite3_prepare_v2(db->handle, "PRAGMA user_version", -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        version = sqlite3_column_int(s, 0);
    (void)sqlite3_finalize(s);
    return version;
}

static bool migrate(sl_db *db, const sl_migration *steps, sl_err *err)
{
    int have = user_version(db), newest = 0;
    for (const sl_migration *m = steps; m->sql != NULL; m++)
        newest = m->version;
    if (have < 0)
        return failed(db, err, "reading its version");
    if (have > newest)
        return sl_err_set(err, SL_ERR_CONFIG, "db.newer", "'%s' was written by a newer Sluice (schema %d, this one knows %d); use that version", db->path, have, newest);
    for (const sl_migration *m = steps; m->sql != NULL; m++) {
        if (m->version <= have)
            continue;
        char sql[64];
        (void)snprintf(sql, sizeof sql, "PRAGMA user_version=%d", m->version);
        if (!sl_db_begin(db, err))
            return false;
        if (!sl_db_exec(db, m->sql, err) || !sl_db_exec(db, sql, err) || !sl_db_commit(db, err)) {
            sl_db_rollback(db);
            return sl_err_ctx(err, "bringing it to schema %d", m->version);
        }
    }
    return true;
}

sl_db *sl_db_open(const char *path, const sl_migration *migrations, sl_err *err)
{
    sl_db *db = sl_malloc(sizeof *db);
    *db = (sl_db){ 0 };
    pthread_mutex_init(&db->lock, NULL);
    size_t n = strlen(path) + 1;
    db->path = memcpy(sl_malloc(n), path, n);
    mode_t old = umask(077);
    int rc = sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    bool ok = rc == SQLITE_OK || failed(db, err, "opening it");
    if (ok) {
        (void)sqlite3_busy_timeout(db->handle, 10000);
        (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        ok = sl_db_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON; PRAGMA cache_size=-2048", err)
             && migrate(db, migrations, err);
    }
    umask(old);
    if (ok)
        return db;
    sl_db_close(db);
    return NULL;
}

sl_db *sl_db_open_reader(const char *path, sl_err *err)
{
    sl_db *db = sl_malloc(sizeof *db);
    *db = (sl_db){ 0 };
    pthread_mutex_init(&db->lock, NULL);
    size_t n = strlen(path) + 1;
    db->path = memcpy(sl_malloc(n), path, n);
    bool ok = sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK || failed(db, err, "opening it");
    if (ok) {
        (void)sqlite3_busy_timeout(db->handle, 10000);
        (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        ok = sl_db_exec(db, "PRAGMA query_only=ON; PRAGMA cache_size=-1024", err);
    }
    if (ok)
        return db;
    sl_db_close(db);
    return NULL;
}

bool sl_db_checkpoint_elsewhere(sl_db *db, sl_err *err)
{
    return sqlite3_wal_autocheckpoint(db->handle, 0) == SQLITE_OK || failed(db, err, "leaving checkpoints to others");
}

bool sl_db_checkpoint(sl_db *db, sl_err *err)
{
    int rc = sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return rc == SQLITE_OK || rc == SQLITE_BUSY || failed(db, err, "a checkpoint");
}

void sl_db_close(sl_db *db)
{
    if (db == NULL)
        return;
    for (sl_stmt *s = db->cache; s != NULL;) {
        sl_stmt *next = s->next;
        (void)sqlite3_finalize(s->stmt);
        free(s);
        s = next;
    }
    (void)sqlite3_close(db->handle);
    pthread_mutex_destroy(&db->lock);
    free(db->path);
    free(db);
}

void sl_db_lock(sl_db *db)
{
    pthread_mutex_lock(&db->lock);
}

void sl_db_unlock(sl_db *db)
{
    pthread_mutex_unlock(&db->lock);
}

bool sl_db_exec(sl_db *db, const char *sql, sl_err *err)
{
    return sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK || failed(db, err, "running a statement");
}

bool sl_db_begin(sl_db *db, sl_err *err)
{
    return sl_db_run(db, err, "BEGIN IMMEDIATE", "");
}

bool sl_db_snapshot(sl_db *db, sl_err *err)
{
    return sl_db_run(db, err, "BEGIN DEFERRED", "");
}

bool sl_db_commit(sl_db *db, sl_err *err)
{
    return SL_FAULT("db.before_commit", err) && sl_db_run(db, err, "COMMIT", "") && SL_FAULT("db.after_commit", err);
}

void sl_db_rollback(sl_db *db)
{
    sl_err ignored;
    if (sqlite3_get_autocommit(db->handle) == 0)
        (void)sl_db_run(db, &ignored, "ROLLBACK", "");
}

void sl_db_shrink(sl_db *db)
{
    (void)sqlite3_db_release_memory(db->handle);
}

bool sl_db_integrity(sl_db *db, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_stmt *s = sl_db_query(db, err, "PRAGMA integrity_check(1)", "");
    if (s == NULL || sl_stmt_next(s, err) != 1)
        return false;
    sl_str answer = sl_col_str(s, a, 0);
    sl_stmt_done(s);
    return sl_str_eqc(answer, "ok") || sl_err_set(err, SL_ERR_DATA, "db.corrupt", "the database '%s' is damaged: %.*s; restore it from a backup", db->path, SL_ARG(answer));
}

static bool bind_all(sl_stmt *s, const char *format, va_list ap)
{
    int at = 1, rc = SQLITE_OK;
    for (const char *f = format; *f != '\0' && rc == SQLITE_OK; f++, at++) {
        if (*f == 'i')
            rc = sqlite3_bind_int64(s->stmt, at, va_arg(ap, int64_t));
        else if (*f == 'd')
            rc = sqlite3_bind_double(s->stmt, at, va_arg(ap, double));
        else {
            sl_str text = va_arg(ap, sl_str);
            if (text.p == NULL)
                rc = sqlite3_bind_null(s->stmt, at);
            else if (*f == 's')
                rc = sqlite3_bind_text64(s->stmt, at, text.p, text.n, SQLITE_TRANSIENT, SQLITE_UTF8);
            else
                rc = sqlite3_bind_blob64(s->stmt, at, text.p, text.n, SQLITE_TRANSIENT);
        }
    }
    return rc == SQLITE_OK;
}

static sl_stmt *prepare(sl_db *db, const char *sql, sl_err *err)
{
    for (sl_stmt *s = db->cache; s != NULL; s = s->next)
        if (s->sql == sql && !s->busy)
            return s;
    sl_stmt *s = sl_malloc(sizeof *s);
    *s = (sl_stmt){ .sql = sql, .db = db };
    if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL) != SQLITE_OK) {
        failed(db, err, "preparing a statement");
        free(s);
        return NULL;
    }
    s->next = db->cache;
    db->cache = s;
    return s;
}

static sl_stmt *query(sl_db *db, sl_err *err, const char *sql, const char *format, va_list ap)
{
    sl_stmt *s = prepare(db, sql, err);
    if (s == NULL)
        return NULL;
    s->busy = true;
    if (bind_all(s, format, ap))
        return s;
    failed(db, err, "binding values");
    sl_stmt_done(s);
    return NULL;
}

sl_stmt *sl_db_query(sl_db *db, sl_err *err, const char *sql, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    sl_stmt *s = query(db, err, sql, format, ap);
    va_end(ap);
    return s;
}

bool sl_db_run(sl_db *db, sl_err *err, const char *sql, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    sl_stmt *s = query(db, err, sql, format, ap);
    va_end(ap);
    if (s == NULL)
        return false;
    int rc;
    while ((rc = sl_stmt_next(s, err)) == 1)
        ;
    return rc == 0;
}

int sl_stmt_next(sl_stmt *s, sl_err *err)
{
    int rc = sqlite3_step(s->stmt);
    if (rc == SQLITE_ROW)
        return 1;
    if (rc != SQLITE_DONE)
        failed(s->db, err, "running a statement");
    sl_stmt_done(s);
    return rc == SQLITE_DONE ? 0 : -1;
}

void sl_stmt_done(sl_stmt *s)
{
    (void)sqlite3_reset(s->stmt);
    (void)sqlite3_clear_bindings(s->stmt);
    s->busy = false;
}

int64_t sl_db_changes(sl_db *db)
{
    return sqlite3_changes(db->handle);
}

bool sl_col_null(sl_stmt *s, int column)
{
    return sqlite3_column_type(s->stmt, column) == SQLITE_NULL;
}

int64_t sl_col_int(sl_stmt *s, int column)
{
    return sqlite3_column_int64(s->stmt, column);
}

sl_str sl_col_str(sl_stmt *s, sl_arena *arena, int column)
{
    const void *p = sqlite3_column_blob(s->stmt, column);
    int n = sqlite3_column_bytes(s->stmt, column);
    if (sl_col_null(s, column))
        return (sl_str){ NULL, 0 };
    return sl_str_dup(arena, (sl_str){ p ? p : "", (size_t)n });
}
