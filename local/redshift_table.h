/*
 * local/redshift_table.h: private to local/redshift_*.c: definitions of tables, and the lengths of text in them.
 *
 * A length counts bytes. Threads: none of its own; a session belongs to one.
 */
#pragma once

#include "local/redshift_words.h"

typedef struct sl_redshift_text {
    int64_t length;               /* 0: no text */
    bool fixed;                   /* CHAR: of ASCII alone */
} sl_redshift_text;
/* The type at *rest, behind which *rest stands then; 0: another, and *rest stays. */
bool sl_redshift_text_type(sl_str *rest, sl_redshift_text *ret, sl_err *err);
sl_str sl_redshift_text_name(sl_arena *arena, sl_redshift_text type);
/* Is the error of DuckDB that of a text too long for its column? */
bool sl_redshift_too_long(const char *message, sl_redshift_text *ret);

/* CREATE TABLE name (…) as DuckDB's, but for what sl_redshift_rewrite does to every statement; others stay as they are. */
bool sl_redshift_table(sl_redshift_session *s, sl_arena *arena, sl_str statement, sl_str *ret, sl_err *err);
/* Behind ALTER TABLE table ADD|ALTER|DROP: adds the statements that do it, or nothing where one of DuckDB's does. */
bool sl_redshift_alter_table(sl_redshift_session *s, sl_arena *arena, sl_str table, sl_str action, sl_str rest, sl_val *parts, sl_err *err);

/* ---- redshift_catalog.c ---- */

typedef struct sl_redshift_place {
    sl_str database, schema, name; /* without quotes */
    sl_str sql;                   /* its CREATE TABLE */
} sl_redshift_place;
/* schema.table, and *rest behind it. */
sl_str sl_redshift_take_table(sl_str *rest);
/* The table of that name as a statement of Redshift has it, by the session's search_path. "pg.42P01": there is none. */
bool sl_redshift_find(sl_redshift_session *s, sl_arena *arena, sl_str table, sl_redshift_place *ret, sl_err *err);
/* The condition that picks it in DuckDB's own lists. */
sl_str sl_redshift_where(sl_arena *arena, const sl_redshift_place *place);
