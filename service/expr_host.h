/* service/expr_host.h: what expressions may ask of the world: values, secrets, files, logs. */
#pragma once

#include "connectors/task.h"
#include "service/engine.h"

typedef struct sl_host_self {
    sl_engine *engine;
    sl_str ns, flow_id;
    sl_lineage execution;        /* id .n == 0: there is none */
    const sl_val *call;          /* {executionId, namespace, flowId} of what called or triggered it; NULL = nothing */
} sl_host_self;

/* Where a file of the execution, of those it is related to (sl_store_related), or of its namespace is; it need not be there. */
bool sl_host_find(const sl_host_self *h, sl_arena *arena, sl_str uri, sl_str *ret, sl_err *err);
/* The same, and it is there. t: the attempt that asks; NULL: none does. */
bool sl_host_file(const sl_host_self *h, sl_task *t, sl_arena *arena, sl_str uri, sl_str *ret, sl_err *err);

/* A host whose `self` lives in the arena. trigger: what made the execution, replayed: the one it repeats; NULL and .n == 0: nothing. */
sl_expr_host sl_host_make(sl_engine *e, sl_arena *arena, const sl_flow *flow, sl_str execution_id, const sl_val *trigger, sl_str replayed);
/* secret('X'): the store (namespace and parents), then SECRET_X in the environment, then the local cloud's own keys. */
bool sl_host_secret(sl_engine *e, sl_arena *arena, sl_str ns, sl_str key, sl_str *ret, sl_err *err);
