/*
 * flows/expr.h: the expression language {{ … }} {% … %} {# … #} (flow language section 5, Pebble as Kestra configures it).
 *
 * Rendering is strict: an undefined variable is an error that names it and its place, except under ??, ???, `is defined`
 * and `default`. Nothing is HTML-escaped. What a template prints is never parsed again, unless it says render().
 * The evaluator has no access to anything but `vars` and the host's functions. Work, depth and output are bounded.
 * Threads: no state; renders may run at once with their own arenas.
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

/* Among the variables: the task runs so far, [{taskId, value, state}]; not a name that a template could write. */
#define SL_CONTEXT_RUNS "$runs"

/* What an expression may ask of the world. Any function may be NULL: calling it is then an error that says so. */
typedef struct sl_expr_host {
    void *self;
    /* ns.p == NULL: the flow's namespace and its parents. A missing key gives *ret = NULL and true. */
    bool (*kv)(void *self, sl_arena *arena, sl_str key, sl_str ns, const sl_val **ret, sl_err *err);
    bool (*secret)(void *self, sl_arena *arena, sl_str key, sl_str ns, sl_str *ret, sl_err *err);
    bool (*read)(void *self, sl_arena *arena, sl_str path, sl_str *ret, sl_err *err);
    bool (*file_size)(void *self, sl_str uri, int64_t *ret, sl_err *err);     /* NOT_FOUND when missing */
    bool (*file_uri)(void *self, sl_arena *arena, sl_str path, sl_str *ret, sl_err *err);
    bool (*error_logs)(void *self, sl_arena *arena, const sl_val **ret, sl_err *err);
    /* request: {uri, method, query, body, contentType, headers, options, accept}; *ret = the parsed reply. */
    bool (*http)(void *self, sl_arena *arena, const sl_val *request, const sl_val **ret, sl_err *err);
} sl_expr_host;

typedef struct sl_expr_env {
    const sl_val *vars;          /* map of root variables */
    const sl_expr_host *host;    /* NULL = no functions that reach out */
    int64_t steps_max;           /* of one string; 0 = SL_EXPR_STEPS_MAX */
    int64_t jq_ms;               /* what a jq program has; 0 = SL_JQ_MS, < 0: jq is an error */
} sl_expr_env;

/* The text with everything evaluated. */
bool sl_render(sl_arena *arena, const sl_expr_env *env, sl_str text, sl_str *ret, sl_err *err);
/* A template of exactly one {{ }} gives the native value, anything else a string. */
bool sl_render_typed(sl_arena *arena, const sl_expr_env *env, sl_str text, const sl_val **ret, sl_err *err);
/* Every string in a value, keys too. typed: see above, for each string. */
bool sl_render_val(sl_arena *arena, const sl_expr_env *env, const sl_val *v, bool typed, const sl_val **ret, sl_err *err);
/* Syntax, and the names of filters and functions; nothing is evaluated. */
bool sl_expr_check(sl_str text, sl_err *err);
/* Every root.name and root['name'] of variables in a template that is right, but where it may be missing: under ??, `default`, `is defined` and their like. */
void sl_expr_names(sl_str text, void (*on_name)(void *self, sl_str root, sl_str name, uint32_t line, uint32_t column), void *self);
/* Truth of a rendered condition (section 2.1): false for nothing, "", "0", "-0", "false"; blanks around are ignored. */
bool sl_truthy_text(sl_str text);
