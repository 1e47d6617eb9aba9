/*
 * flows/input.h: values of an execution's inputs: defaults, coercion, checks, dependencies (flow language section 3).
 *
 * Threads: no state.
 */
#pragma once

#include "base/bind.h"
#include "flows/expr.h"

/* Its `id`, or `name`, as it was once called. */
sl_str sl_input_id(const sl_val *input);
/* The input of that name, or NULL. */
const sl_val *sl_input_find(const sl_val *inputs, sl_str id);
/* The inputs as they are resolved: those of a FORM in its place, as FORM.INPUT. The same list where there is none. */
const sl_val *sl_inputs_flat(sl_arena *arena, const sl_val *inputs);
/*
 * given: map of what the caller gave (texts or native values). env: for expressions in defaults, conditions and options.
 * *ret: the map for {{ inputs }}. Every problem is reported; false when there is any. Ids with dots make nested maps.
 */
/*
 * As Kestra's engine keeps them: durations as seconds, times with their seconds, and, of inputs, instants with microseconds; all else
 * as it is.
 */
const sl_val *sl_input_plain(sl_arena *arena, const sl_val *v, bool input);
/* Inputs that the execution has not, because of their dependsOn, as their defaults; what cannot be rendered stays away. */
const sl_val *sl_inputs_with_defaults(sl_arena *arena, const sl_val *inputs, const sl_val *stored, const sl_expr_env *env);
bool sl_inputs_resolve(sl_arena *arena, const sl_val *inputs, const sl_val *given, const sl_expr_env *env, const sl_val **ret, sl_problems *problems);
/*
 * The same, and how each fares, added to the list `report`: {input (as declared), enabled, isDefault, value (when there is one), errors:
 * [{message}]}.
 */
bool sl_inputs_look(sl_arena *arena, const sl_val *inputs, const sl_val *given, const sl_expr_env *env, const sl_val **ret, sl_val *report, sl_problems *problems);
/* One value to a declared type (flow outputs use the same rules). */
bool sl_input_coerce(sl_arena *arena, const sl_val *declaration, sl_str type, const sl_val *v, const sl_val **ret, sl_err *err);
