/*
 * local/redshift_external.h: private to local/redshift_external*.c: an external table, in pieces.
 *
 * _table.c reads its definition, _files.c makes the view over what it names, the third keeps, alters and drops it.
 */
#pragma once

#include "local/redshift_words.h"

typedef struct sl_external_column {
    sl_str name, type;
} sl_external_column;

enum { SL_EXTERNAL_COLUMNS_MAX = 1600 };

typedef struct sl_external {
    sl_redshift_session *s;
    sl_arena *a;
    sl_str schema, table, location, format, delimiter, quote, escape;
    sl_external_column *columns;
    size_t count, parts;          /* parts: how many of them, at the end, are folders */
    int64_t skip;
} sl_external;

/* ---- words ---- */
bool sl_external_syntax(const char *what, sl_str token, sl_err *err);
/* The next token must be that word. */
bool sl_external_take(sl_str *rest, const char *word, sl_err *err);
/* Takes it, if it is. */
bool sl_external_taken(sl_str *rest, const char *word);
/* Lower case, without quotes. */
sl_str sl_external_name(sl_arena *arena, sl_str token);

/* Behind CREATE EXTERNAL TABLE. */
bool sl_external_parse(sl_external *x, sl_str *rest, sl_err *err);

bool sl_external_run(sl_external *x, sl_str sql, const sl_val **rows, sl_err *err);
/* WHERE schema_name='…' AND table_name='…' */
sl_str sl_external_where(sl_external *x);
/* The file without rows that stands in where there are no objects. */
bool sl_external_make_empty(sl_external *x, sl_err *err);
/* The session's variables say which files there are now. */
bool sl_external_set(sl_external *x, bool parted, sl_err *err);
/* SELECT of the view over them. */
sl_str sl_external_view(sl_external *x);
