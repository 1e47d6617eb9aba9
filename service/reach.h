/*
 * service/reach.h: which namespaces a flow may reach. Anywhere, as in Kestra, for values, files and flows; where the configuration says
 * namespaceIsolation, only its own, those below, and, for what changes nothing there, those above. Clearing away (executions, logs,
 * values by pattern) and triggers: its own and those below, always. Flows of `system` reach all. Threads: no state.
 */
#pragma once

#include "service/engine.h"

#define SL_HOUSEKEEPING "system"

bool sl_namespace_is_below(sl_str ns, sl_str above);
/* Its own and those below, or everything. */
bool sl_reach_below(sl_str own, sl_str ns);
/* changes: something is written or removed there. CONFIG, code namespace.isolated. */
bool sl_reach(const sl_engine *e, sl_str own, sl_str ns, bool changes, sl_err *err);
