/*
 * service/types.h: all types of tasks and triggers that this program has, and their JSON Schemas, for the command line, the API and
 * editors. Threads: no state.
 */
#pragma once

#include "flows/model.h"

typedef struct sl_type_entry {
    const char *type, *doc, *kind;       /* kind: task, flowable or trigger */
    const sl_opt *opts, *common;         /* common: NULL = opts has all */
    const sl_opt *outputs;               /* NULL = none */
} sl_type_entry;

void sl_types_each(const sl_registry *registry, void (*fn)(void *self, const sl_type_entry *e), void *self);
/* By its name, older and short ones included; false: there is none. */
bool sl_type_find(sl_arena *arena, const sl_registry *registry, sl_str name, sl_type_entry *ret);
const sl_val *sl_type_schema(sl_arena *arena, const sl_type_entry *e);
/* Of a whole flow, with all types in it. */
const sl_val *sl_flow_schema(sl_arena *arena, const sl_registry *registry);
