/* local/redshift_words.h: private to local/redshift_*.c: what the readers of COPY, UNLOAD and the rest of Redshift's SQL share. */
#pragma once

#include "local/redshift.h"

/* What the sequences of IDENTITY columns are called. */
#define SL_REDSHIFT_IDENTITY "_sl.id_"

/* The schema of our own views in place of information_schema's. */
#define SL_REDSHIFT_INFORMATION "_rs"

/* Is the token that word, in any case? */
static inline bool is(sl_str token, const char *word)
{
    return sl_str_ieq(token, sl_str_c(word));
}

/* 'it''s' without its quotes; anything else as it is. */
sl_str sl_redshift_unquoted(sl_arena *arena, sl_str token);
/* The value of an option, with or without AS. */
sl_str sl_redshift_value(sl_arena *arena, sl_str *rest);

/* Up to one of the brackets' commas, or their end; *last: which of both. */
sl_str sl_redshift_item(sl_str *rest, bool *last);
/* (…), if that is what comes next. */
void sl_redshift_skip_list(sl_str *rest);

/* A statement that does nothing. */
#define SL_REDSHIFT_NOTHING SL_S("SET VARIABLE sl_nothing = 0")

/* ---- redshift_shape.c ---- */

sl_str sl_redshift_shape(sl_arena *arena, sl_str statement);

/* ---- redshift_literals.c ---- */

/* Literals without backslash escapes, and LIKE with the escape that it has there. Once only for each statement. */
sl_str sl_redshift_literals(sl_arena *arena, sl_str statement);

/* ---- redshift_format.c ---- */

/* SQL for TO_CHAR(moment, 'format'); both as DuckDB has them, the format without its quotes. */
sl_str sl_redshift_to_char(sl_arena *arena, sl_str moment, sl_str format);

/* ---- redshift_unnest.c ---- */

/* FROM t, t.list AS x as DuckDB has it. */
sl_str sl_redshift_unnest(sl_arena *arena, sl_str statement);

/* ---- redshift_names.c ---- */

/* Columns of SELECTs without a name get the one that Redshift gives them. */
sl_str sl_redshift_names(sl_arena *arena, sl_str statement);

/* ---- redshift_cast.c ---- */

/* x::varchar(n) and other casts to texts written as CAST(x AS …); the others stay as they are. */
sl_str sl_redshift_casts(sl_arena *arena, sl_str statement);

/* ---- redshift_objects.c ---- */

typedef struct sl_redshift_files {
    sl_val *paths, *names;        /* of blobs on the disk; their URLs */
} sl_redshift_files;
/* Adds all objects whose keys begin so (exact: that one). None is no error; for _there it is. */
bool sl_redshift_objects(sl_redshift_session *s, sl_arena *arena, sl_str url, bool exact, sl_redshift_files *files, sl_err *err);
bool sl_redshift_objects_there(sl_redshift_session *s, sl_arena *arena, sl_str url, bool exact, sl_redshift_files *files, sl_err *err);
/* Those that the manifest at the URL names. */
bool sl_redshift_manifest(sl_redshift_session *s, sl_arena *arena, sl_str url, sl_redshift_files *files, sl_err *err);
