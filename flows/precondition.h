/*
 * flows/precondition.h: several executions that have to end within a window before a Flow trigger fires (flow language
 * section 4.11). Pure: what was met so far comes in and goes out as a value.
 */
#pragma once

#include "flows/exec.h"
#include "flows/expr.h"

/* The execution that has just ended. */
typedef struct sl_upstream {
    sl_str ns, flow_id;
    sl_state state;
    const sl_val *labels, *outputs;
    const sl_expr_env *env;      /* for named conditions */
    const sl_expr_env *own;      /* for EXPRESSION filters: its own variables */
} sl_upstream;

/*
 * preconditions: the map as written, or a MultipleCondition. state: what was met so far ({element: ms, outputs: {element: map}}) or NULL. True when
 * everything is met now; *ret is the state to keep, *changed whether it differs. *outputs: of all executions that have met something,
 * those of earlier ones first.
 */
bool sl_preconditions_match(sl_arena *arena, const sl_val *preconditions, const sl_val *state, const sl_upstream *x, int64_t now_ms, const sl_val **ret, const sl_val **outputs, bool *changed);

/* Of a timeWindow. */
extern const sl_opt sl_window_opts[];
/* What the option tables do not say: times of the day, states, patterns, what a comparison needs. */
void sl_preconditions_check(const sl_val *preconditions, sl_str where, sl_problems *problems);
/* Names of states: a list, or one of them. */
bool sl_states_have(const sl_val *states, sl_str state);
void sl_states_check(const sl_val *states, sl_str where, sl_problems *problems);
