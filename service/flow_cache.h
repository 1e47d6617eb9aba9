/*
 * service/flow_cache.h: parsed flows, shared by the executions that run them. Threads: any.
 */
#pragma once

#include "flows/model.h"

typedef struct sl_flow_cache sl_flow_cache;
typedef struct sl_flow_ref {
    const sl_flow *flow;
    size_t users;                 /* the cache's lock protects it */
    struct sl_flow_ref *next;
    int64_t used;                 /* order of the last use */
} sl_flow_ref;

sl_flow_cache *sl_flow_cache_new(const sl_registry *registry, const sl_val *defaults);
void sl_flow_cache_free(sl_flow_cache *c);
/* Parses, or finds what was parsed. Give it back with sl_flow_cache_put. NULL: problems (or err, when problems is NULL) say why. */
sl_flow_ref *sl_flow_cache_get(sl_flow_cache *c, sl_str source, int64_t revision, sl_problems *problems, sl_err *err);
/* One more user. */
sl_flow_ref *sl_flow_cache_share(sl_flow_cache *c, sl_flow_ref *ref);
void sl_flow_cache_put(sl_flow_cache *c, sl_flow_ref *ref); /* NULL is fine */
