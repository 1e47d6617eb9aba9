/*
 * flows/hint.h: what is probably a mistake in a flow that is valid: names in expressions that nothing in the flow gives. Pure.
 */
#pragma once

#include "flows/model.h"

/* Of `flow`, as it was parsed; each hint has its line and column in the source. */
void sl_flow_hints(sl_arena *arena, const sl_flow *flow, sl_problems *hints);
