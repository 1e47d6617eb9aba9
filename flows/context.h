/* flows/context.h: the variables that an expression of a task sees (flow language section 6.1). */
#pragma once

#include "flows/exec.h"

/* Values are shared with the execution, which never changes what it has given out. run may be NULL (flow level). */
const sl_val *sl_context_vars(sl_arena *arena, const sl_exec *x, const sl_taskrun *run, const sl_val *globals);
/* Of a Loop whose items are all done: [{item, state, vars}], vars to be put over those of the loop itself. */
const sl_val *sl_context_iterations(sl_arena *arena, const sl_exec *x, const sl_taskrun *loop);
/* Labels as {{ labels }} has them: names with dots are nested. without: but this one; NULL = none. */
const sl_val *sl_context_labels(sl_arena *arena, const sl_val *labels, const char *without);
/* flow, inputs and vars only: before an execution exists. */
const sl_val *sl_context_flow_vars(sl_arena *arena, const sl_flow *flow, const sl_val *globals);
