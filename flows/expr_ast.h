/*
 * flows/expr_ast.h: what the parser hands to the evaluator. Private to flows/expr_*.c.
 */
#pragma once

#include "flows/expr.h"

typedef enum ex_kind {
    EX_LITERAL, EX_NAME, EX_LIST, EX_MAP, EX_ATTRIBUTE, EX_CALL, EX_METHOD, EX_FILTER, EX_UNARY, EX_BINARY, EX_TEST,
    EX_TERNARY, EX_JOIN, /* "a #{b} c" */
} ex_kind;

typedef enum ex_op {
    OP_OR, OP_AND, OP_CONTAINS, OP_IN, OP_NOT_IN, OP_IS_IN, OP_EQ, OP_NE, OP_LT, OP_GT, OP_LE, OP_GE, OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_MOD,
    OP_CONCAT, OP_RANGE, OP_COALESCE, OP_IF_UNDEFINED, OP_NOT, OP_PLUS, OP_MINUS,
} ex_op;

typedef struct ex_arg {
    struct ex_arg *next;
    sl_str name;            /* .p == NULL: positional */
    struct ex_node *value;
} ex_arg;

typedef struct ex_node {
    ex_kind kind;
    ex_op op;
    uint32_t line, column;
    bool negated;           /* EX_TEST: is not */
    sl_str name;            /* EX_NAME, EX_CALL, EX_METHOD, EX_FILTER, EX_TEST */
    const sl_val *literal;
    struct ex_node *left, *right, *third;
    ex_arg *args;           /* arguments; list items; map: name.p == NULL, key in `left` of a pair node */
} ex_node;

typedef enum tp_kind { TP_TEXT, TP_RAW, TP_PRINT, TP_IF, TP_FOR, TP_SET, TP_MACRO, TP_BLOCK, TP_FILTER } tp_kind;

typedef struct tp_node {
    struct tp_node *next;
    tp_kind kind;
    uint32_t line;
    bool is_elseif;         /* TP_IF as the next branch of another one */
    sl_str text;            /* TP_TEXT, TP_RAW; the name of TP_FOR, TP_SET, TP_MACRO, TP_BLOCK */
    ex_node *expr;          /* TP_PRINT, TP_IF condition, TP_FOR, TP_SET; TP_FILTER: filters over EX_NAME "" */
    ex_arg *params;         /* TP_MACRO: names with default values */
    struct tp_node *body, *otherwise; /* TP_IF: otherwise is the next branch (a TP_IF) or the else body */
} tp_node;

bool ex_parse(sl_arena *arena, sl_str text, tp_node **ret, sl_err *err);

/* ---- the evaluator's side, for filters and functions ---- */

typedef struct ex_frame {
    struct ex_frame *up;
    sl_str name;
    const sl_val *value;
    const tp_node *macro;
} ex_frame;

typedef struct ex_context {
    sl_arena *arena;
    const sl_expr_env *env;
    sl_str text;            /* the template, for messages */
    ex_frame *frames;
    const tp_node *blocks;
    size_t steps;
    int depth;
    size_t raws;            /* raw texts kept aside while render() repeats itself */
    sl_val *raw_texts;      /* NULL outside render() */
    sl_err *err;
} ex_context;

enum { EX_ARGS_MAX = 8 };

/* args[i] is the i-th parameter of the table, NULL when not given. NULL result: x->err is set. */
typedef const sl_val *(*ex_function)(ex_context *x, const ex_node *at, const sl_val *input, const sl_val *const *args);

typedef struct ex_entry {
    const char *name;
    const char *params;     /* blank-separated */
    ex_function fn;
    bool null_passes;       /* filters: called with null input too; otherwise null gives null */
} ex_entry;

extern const ex_entry ex_text_filters[], ex_value_filters[], ex_date_filters[], ex_functions[], ex_date_functions[];

/* What the node names, of filters and of functions (expr_check.c). NULL: there is none, and x->err says so. */
const ex_entry *ex_find_filter(ex_context *x, const ex_node *n);
const ex_entry *ex_find_function(ex_context *x, const ex_node *n);
/* Sets the error with the place; returns NULL. */
const sl_val *ex_fail(ex_context *x, const ex_node *at, const char *code, const char *fmt, ...) SL_PRINTF(4, 5);
const sl_val *ex_eval(ex_context *x, const ex_node *n);
/* Renders with the current variables and frames; recursive = until nothing changes. */
const sl_val *ex_render_again(ex_context *x, const ex_node *at, const sl_val *v, bool recursive);
bool ex_is_undefined(const sl_err *err);
/* One more of the steps that an expression may take. */
bool ex_step(ex_context *x, const ex_node *at);
bool ex_truth(ex_context *x, const ex_node *at, const sl_val *v, bool *ret);
/* What a macro, or a block of the template, writes (expr_render.c). */
const sl_val *ex_call_macro(ex_context *x, const ex_node *call, const tp_node *macro);
const sl_val *ex_call_block(ex_context *x, const ex_node *call);
const sl_val *ex_range(ex_context *x, const ex_node *at, const sl_val *from, const sl_val *to, const sl_val *step);
/* Lists and maps as Java prints them, for `~`, `isIn` and `format`: [a, b], {k=v}; null is "null". */
void ex_java_text(sl_arena *arena, sl_buf *to, const sl_val *v);
/* The filter `format` (expr_format.c). */
const sl_val *ex_format(ex_context *x, const ex_node *at, const sl_val *in, const sl_val *const *args);
int ex_compare(const sl_val *a, const sl_val *b);
