/*
 * db/duck.h: DuckDB through its C API, loaded at run time, so that everything else works without it.
 *
 * The library is looked for in $SLUICE_DUCKDB, beside the program, in ../lib/sluice, and by the loader. Threads: a connection belongs to one thread at a time; the database may be shared.
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

typedef struct sl_duck sl_duck;             /* an open database */
typedef struct sl_duck_con sl_duck_con;

sl_str sl_duck_library(sl_arena *arena, sl_err *err);  /* "path (version)" */
/* path "": in memory. One file may be open several times in one process; "duckdb.locked", transient: another process has it. */
sl_duck *sl_duck_open(const char *path, sl_err *err);
void sl_duck_close(sl_duck *d);
sl_duck_con *sl_duck_connect(sl_duck *d, sl_err *err);
void sl_duck_disconnect(sl_duck_con *c);
void sl_duck_interrupt(sl_duck_con *c);     /* from another thread */

/* Runs one statement. *ret (may be NULL): list of rows, each a list of texts and nulls. *changed (may be NULL): rows changed. */
bool sl_duck_run(sl_duck_con *c, sl_arena *arena, sl_str sql, const sl_val **ret, int64_t *changed, sl_err *err);
/* As sl_duck_run, and the result's columns: list of {name, type}, type: DuckDB's number; NULL: the statement has no rows to give. */
bool sl_duck_query(sl_duck_con *c, sl_arena *arena, sl_str sql, const sl_val **rows, const sl_val **columns, int64_t *changed, sl_err *err);
bool sl_duck_exec(sl_duck_con *c, const char *sql, sl_err *err);

/*
 * Each row of one statement as a map of native values; big results come in blocks and are never whole in memory. values: list bound
 * to $1, $2, …, or NULL. zone: TIMESTAMP is a time
 * there, TIMESTAMPTZ one in UTC; NULL: a local time, and an instant. A row lives until `each` returns. *rows: the statement has a result set.
 */
typedef struct sl_duck_rows {
    void *self;
    bool (*each)(void *self, const sl_val *row, sl_err *err);
    const sl_tz *zone;
    bool rows;
    int64_t changed;
} sl_duck_rows;
bool sl_duck_each(sl_duck_con *c, sl_str sql, const sl_val *values, sl_duck_rows *r, sl_err *err);

sl_str sl_duck_text(sl_arena *arena, sl_str s);   /* 'literal' */
sl_str sl_duck_ident(sl_arena *arena, sl_str s);  /* "identifier" */
