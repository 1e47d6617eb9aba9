/*
 * local/gsql.h: GoogleSQL to DuckDB's SQL. Lexer, and a rewriter that works on tokens: names, strings, types, functions and
 * the clauses of DDL are translated, everything else is passed on.
 *
 * Source: https://cloud.google.com/bigquery/docs/reference/standard-sql. Pure. What is not known is passed on and fails in
 * DuckDB with a message that names it.
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

typedef enum gs_kind { GS_END, GS_IDENT, GS_QUOTED /* `name` */, GS_STRING, GS_BYTES, GS_NUMBER, GS_OP, GS_PARAM } gs_kind;

typedef struct gs_token {
    gs_kind kind;
    sl_str text;       /* identifiers and strings: decoded; operators as written */
    size_t at, end;    /* in the source */
    uint32_t line, column;
    bool space_before;
} gs_token;

/* IF, WHILE and their like become branches and jumps. */
typedef enum gs_flow {
    GS_RUN,
    GS_BRANCH,                 /* `sql` gives one boolean; jump when it is not true */
    GS_GOTO,
    GS_RAISE,                  /* `sql` gives a message */
    GS_FETCH,                  /* the next row of `cursor` into the variable `record`; jump when there is none */
    GS_EXECUTE                 /* `sql` gives the text of a statement; `more` sets its parameters, which `options` lists; `columns`: the variables that get its first row */
} gs_flow;
enum { GS_CURSORS_MAX = 64 };

typedef struct gs_statement {
    const char *type;          /* BigQuery's statementType: SELECT, CREATE_TABLE, … */
    sl_str sql;                /* for DuckDB; CREATE_EXTERNAL_TABLE: empty */
    const sl_val *target;      /* {projectId, datasetId, tableId} of DDL and DML, or NULL */
    bool or_replace, if_not_exists, cascade; /* if_not_exists: of DROP and ALTER, IF EXISTS */
    bool temporary;            /* made anew when a script is taken up again: a table, a function, a variable of its own */
    const sl_val *columns;     /* of a column list: [{name, type, mode, description}] */
    const sl_val *options;     /* of OPTIONS(…) */
    const sl_val *partition;   /* {type, field}: timePartitioning */
    const sl_val *range;       /* {field, range}: rangePartitioning */
    const sl_val *clustering;  /* [names] */
    const sl_val *more;        /* of ALTER TABLE: further statements for DuckDB */
    sl_str renamed;            /* of ALTER TABLE: the new name */
    sl_str view;               /* of CREATE VIEW: its query as it was written */
    const sl_val *files;       /* options of FROM FILES and of EXPORT DATA */
    gs_flow flow;
    size_t jump;               /* of GS_BRANCH, GS_GOTO and GS_FETCH: which statement comes next; the number of all: none */
    size_t handler;            /* where an error leads to; 0: nowhere */
    size_t cursor;             /* from 1: its rows are those of a FOR; 0: no matter */
    sl_str record;
    size_t wild_from, wild_to; /* which of the context's wildcards it reads */
    size_t from, to;           /* place in the script */
} gs_statement;

/* What a script has declared so far. */
enum { GS_DECLARED_MAX = 64 };
typedef struct gs_declared {
    sl_str name;
    sl_str type;               /* DuckDB's, of a variable; .n == 0: a temporary table */
    bool record;               /* a row of a FOR, or a variable without a type: it has the type of its value */
} gs_declared;

typedef struct gs_context {
    sl_arena *arena;
    sl_str project, dataset;   /* defaults for names; dataset may be empty */
    sl_str text;
    sl_err *err;
    bool information;          /* set: INFORMATION_SCHEMA is read (temporary tables info_tables and so on) */
    const sl_val *parameters;  /* [{name, parameterType, parameterValue}] of the query, as its job has them, or [{name, variable}]; NULL = none */
    sl_val *wildcards;         /* set: [{projectId, datasetId, prefix}] of tables that are read as `prefix*`, by the names sl_wild_0, …; NULL = none */
    bool by_place;             /* a STRUCT without names is a value for something that has them: a column, the list's first */
    sl_str target[2];          /* name and alias of the table that is changed */
    gs_declared declared[GS_DECLARED_MAX];
    size_t declared_count;
} gs_context;

/* All tokens of a text; ends with GS_END. NULL on an unclosed string or comment. */
gs_token *gs_lex(sl_arena *arena, sl_str text, size_t *ret_count, sl_err *err);
/* ? becomes the parameter "1", "2" … (gsql_param.c). */
void gs_number_parameters(gs_context *x, gs_token *t, size_t n);
/* A parameter as a literal of DuckDB, or as the variable that has its value; fails where it was not given. @@name is one of the system's. */
sl_str gs_parameter(gs_context *x, const gs_token *t);
/* The statements of a script. */
bool gs_translate(gs_context *x, gs_statement **ret, size_t *ret_count);
/* One range of tokens as an expression or query. */
sl_str gs_rewrite(gs_context *x, const gs_token *t, size_t n);
/* Arguments of a call. */
enum { GS_ARGUMENTS_MAX = 32 };
typedef struct gs_range {
    const gs_token *t;
    size_t n;
} gs_range;
/* t[0, n) at its commas; none when n is 0, at most `room`. */
size_t gs_arguments(const gs_token *t, size_t n, gs_range *ret, size_t room);
/* name ( … ), `inside` being what is between the brackets. false: no function that has to be translated. */
bool gs_call(gs_context *x, const gs_token *name, const gs_token *inside, size_t n, sl_str *ret);
bool gs_part_call(gs_context *x, const gs_token *name, const gs_token *inside, size_t n, sl_str *ret);
bool gs_format(gs_context *x, const gs_token *name, const gs_token *inside, size_t n, sl_str *ret);
/* FORMAT_DATE and its like. */
bool gs_format_date(gs_context *x, const gs_token *name, const gs_token *inside, size_t n, sl_str *ret);
/* A literal of format elements, as a literal for strftime. */
bool gs_date_format(gs_context *x, const gs_token *format, sl_str *ret);
/* Columns, each with its name, as one struct. */
sl_str gs_structure(gs_context *x, const gs_token *t, size_t n);
/* A type at t[*i]; moves past it. NULL on error. */
bool gs_type(gs_context *x, const gs_token *t, size_t n, size_t *i, sl_str *ret_duck, const sl_val **ret_field);
/* "proj.ds"."table" for a name of one to three parts. */
sl_str gs_table(gs_context *x, const sl_str *parts, size_t count, const sl_val **ret_ref);
/* A table or variable of the script by that name; NULL: there is none. */
const gs_declared *gs_find_declared(const gs_context *x, sl_str name, bool variable);
bool gs_declare(gs_context *x, const gs_token *at, const gs_declared *one);
/* What sets a script's variable in DuckDB; a type that is empty: that of its value. */
sl_str gs_assignment(sl_arena *arena, sl_str name, sl_str value, sl_str duck_type);
bool gs_fail(gs_context *x, const gs_token *at, const char *fmt, ...) SL_PRINTF(3, 4);
bool gs_is(const gs_token *t, const char *word);
bool gs_op(const gs_token *t, const char *op);
bool gs_is_integer(const gs_token *t);
/* Index behind the bracket that closes the one at i. n when it is not closed. */
size_t gs_close(const gs_token *t, size_t n, size_t i);
/* BigQuery's name of a DuckDB type, as a field {name, type, mode, fields}. */
const sl_val *gs_field_of(sl_arena *arena, sl_str name, sl_str duck_type);
/* DuckDB's type of a BigQuery field. */
sl_str gs_duck_type(sl_arena *arena, const sl_val *field);
