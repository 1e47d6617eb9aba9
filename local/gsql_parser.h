/*
 * local/gsql_parser.h: one statement's tokens, and what its parts are made of. Pure; private to gsql_*.c.
 *
 * What takes something moves p->i behind it. false: an error is set, or (at_word, take_word) it is not there.
 */
#pragma once

#include "local/gsql.h"

typedef struct gs_parser {
    gs_context *x;
    const gs_token *t;
    size_t n, i;
    size_t i_name;                /* where the name of a table is that is made */
    gs_statement *s;
} gs_parser;

bool gs_at_word(const gs_parser *p, const char *word);
bool gs_take_word(gs_parser *p, const char *word);
/* A table: s->target, unless it is one of the script's own; *duck: its name for DuckDB. */
bool gs_take_name(gs_parser *p, sl_str *duck);
/* OPTIONS (…), where it is there. *ret: name -> value. */
bool gs_take_options(gs_parser *p, const sl_val **ret);
/* The same without the word. */
bool gs_take_list(gs_parser *p, const sl_val **ret);
/* (column type, …), where it is there: s->columns, and as DuckDB writes it. */
bool gs_take_columns(gs_parser *p, sl_buf *sql);
/* PARTITION BY, CLUSTER BY, OPTIONS, in any order. */
bool gs_take_clauses(gs_parser *p);
/* The end of the statement is here. */
bool gs_at_end(gs_parser *p);

/* LOAD DATA, EXPORT DATA, EXECUTE IMMEDIATE (gsql_execute.c). At the first word. */
bool gs_execute(gs_parser *p);
bool gs_load_data(gs_parser *p);
bool gs_export_data(gs_parser *p);
/* t[0, n), which is not empty, as *ret. */
bool gs_one_statement(gs_context *x, const gs_token *t, size_t n, gs_statement *ret);
