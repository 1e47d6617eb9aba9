/*
 * base/sql.h: SQL text cut into statements, its :names made into parameters, the verb of a statement.
 *
 * Quotes ('…' "…" `…`), comments (-- and nested slash-star), dollar quotes and casts (::) are respected; BEGIN … END bodies of
 * routines stay whole. Nothing is parsed beyond that. Threads: no state.
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

typedef struct sl_statement {
    sl_str text;                  /* trimmed, without its ';' */
    size_t offset;                /* of text in the whole, in bytes */
} sl_statement;

/* Statements that hold more than comments. */
size_t sl_sql_split(sl_arena *arena, sl_str sql, sl_statement **ret);
/* Upper-case first word behind comments and opening parentheses; "" when there is none. */
sl_str sl_sql_verb(sl_arena *arena, sl_str statement);
/* Does it only read? Unsure is no. */
bool sl_sql_reads(sl_arena *arena, sl_str statement);
/* Does it change nothing more when it runs a second time? Unsure is no. */
bool sl_sql_repeatable(sl_arena *arena, sl_str statement);
/* May it stand in a transaction? (VACUUM, CREATE DATABASE, … CONCURRENTLY and their like may not.) */
bool sl_sql_in_transaction(sl_arena *arena, sl_str statement);

/*
 * :name becomes $1, $2, … (the same name the same number); *ret_values: the values in that order. A name that `parameters` does not
 * have is an error. Without parameters the text stays as it is.
 */
bool sl_sql_bind(sl_arena *arena, sl_str statement, const sl_val *parameters, sl_str *ret, sl_val *ret_values, sl_err *err);
/* ? becomes $1, $2, …; *count of them. */
sl_str sl_sql_positions(sl_arena *arena, sl_str statement, size_t *count);
/* $1, $2, … become literals: texts in quotes (E'…' where there are backslashes), nulls NULL. false: there is no such value. */
bool sl_sql_fill(sl_arena *arena, sl_str statement, const sl_val *values, sl_str *ret);

/* Words, quoted things and single characters, one after the other; comments and blanks are passed over. .n == 0: the end. */
sl_str sl_sql_token(sl_str *rest);

/* Line and column (from 1) of a byte. */
void sl_sql_place(sl_str sql, size_t offset, uint32_t *line, uint32_t *column);
/* "a""b" */
sl_str sl_sql_name(sl_arena *arena, sl_str name);
/* 'a''b' */
sl_str sl_sql_text(sl_arena *arena, sl_str text);
