/*
 * service/api/execution_json.h: executions as Kestra's API shows them (flow language section 6.6), from their rows: no flow is parsed,
 * and nothing of the engine is touched.
 */
#pragma once

#include "flows/store.h"

typedef struct sl_execution_filter {
    sl_str ns, flow_id, text, trigger_id, parent_execution; /* .n == 0: any */
    const sl_val *states, *labels;    /* lists of texts; labels as key:value */
    int64_t from_ms, to_ms;           /* created; 0 = any */
    sl_str visible_ns;                /* only in this namespace and below; "" = all */
    bool ascending;
    int64_t offset, size;
} sl_execution_filter;

/* key:value texts as JSON for a statement, [["key", "value"]]; "" for none. A key with a quote in it matches nothing. */
sl_str sl_label_pairs(sl_arena *arena, const sl_val *labels);
/* *ret NULL: there is none. */
bool sl_execution_json(sl_store *store, sl_arena *arena, sl_str id, const sl_val **ret, sl_err *err);
bool sl_execution_search(sl_store *store, sl_arena *arena, const sl_execution_filter *f, const sl_val **ret, int64_t *ret_total, sl_err *err);
/* Namespace, flow and state of an execution; *found false: there is none. */
bool sl_execution_head(sl_store *store, sl_arena *arena, sl_str id, bool *found, sl_str *ret_ns, sl_str *ret_flow, sl_state *ret_state, bool *ret_over, sl_err *err);
