/*
 * db/db.h: SQLite behind a small interface: prepared statements, bound values, transactions, migrations.
 *
 * Threads: one connection serves one thread at a time; sl_db_lock/unlock is there for those that share one.
 * Durability: WAL with synchronous=FULL: a transaction that has returned survives a power cut.
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

typedef struct sl_db sl_db;
typedef struct sl_stmt sl_stmt;

typedef struct sl_migration {
    int version;       /* 1, 2, 3 … */
    const char *sql;
} sl_migration;

/* Opens or creates the file, applies the migrations that it lacks; one from a newer program is refused. */
sl_db *sl_db_open(const char *path, const sl_migration *migrations, sl_err *err);
/* Another connection to a file that is open already; it can only read, and sees what has been committed. */
sl_db *sl_db_open_reader(const char *path, sl_err *err);
/* From now on, commits on this connection leave the write-ahead log alone: somebody else calls sl_db_checkpoint. */
bool sl_db_checkpoint_elsewhere(sl_db *db, sl_err *err);
/* Moves what is committed from the write-ahead log into the database, without holding up anybody. Any connection, a reader too. */
bool sl_db_checkpoint(sl_db *db, sl_err *err);
void sl_db_close(sl_db *db);
void sl_db_lock(sl_db *db);
void sl_db_unlock(sl_db *db);

bool sl_db_exec(sl_db *db, const char *sql, sl_err *err);
bool sl_db_begin(sl_db *db, sl_err *err);      /* IMMEDIATE */
/* A reader's: until sl_db_rollback, everything that is read is of one instant. */
bool sl_db_snapshot(sl_db *db, sl_err *err);
bool sl_db_commit(sl_db *db, sl_err *err);
void sl_db_rollback(sl_db *db);
void sl_db_shrink(sl_db *db);                  /* gives back the memory of pages that were read */
bool sl_db_integrity(sl_db *db, sl_err *err);  /* PRAGMA integrity_check */

/*
 * A statement is prepared once per connection and text, and cached. Values are bound in order by a format:
 * s = sl_str (NULL pointer binds NULL), i = int64_t, b = sl_str as blob, d = double.
 * `sql` must be a literal of the program.
 */
sl_stmt *sl_db_query(sl_db *db, sl_err *err, const char *sql, const char *format, ...);
/* 1 = a row, 0 = no more, -1 = error. At 0 and -1 the statement is done. */
int sl_stmt_next(sl_stmt *s, sl_err *err);
void sl_stmt_done(sl_stmt *s);                 /* when rows are left unread */
bool sl_db_run(sl_db *db, sl_err *err, const char *sql, const char *format, ...);
int64_t sl_db_changes(sl_db *db);

bool sl_col_null(sl_stmt *s, int column);
int64_t sl_col_int(sl_stmt *s, int column);
sl_str sl_col_str(sl_stmt *s, sl_arena *arena, int column);  /* .p == NULL for NULL */
