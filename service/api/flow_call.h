/* service/api/flow_call.h: what the handlers about flows share. */
#pragma once

#include "service/api/api.h"
#include "service/flows_do.h"

/* The flow as its text says, with what the server knows. */
const sl_val *sl_call_flow_json(sl_call *c, const sl_flow_row *row, bool source);
/* Each answers the request and gives false when it cannot do what was asked for. */
bool sl_call_flow_parse(sl_call *c, sl_str source, sl_flow **ret);
/* Documents separated by ---; added to *flows, an array of *n in the call's arena. */
bool sl_call_flows_parse(sl_call *c, sl_str text, sl_flow ***flows, size_t *n);
bool sl_call_flows_put(sl_call *c, sl_flow_change *change);

enum { SL_FLOWS_FOUND_MAX = 100000 };

typedef struct sl_flow_search {
    sl_str ns;                     /* and below; .n == 0: all that the caller may see */
    sl_str text;                   /* in the id or the namespace; .n == 0: any */
    bool in_source;                /* or in the source */
    const sl_val *labels;          /* list of key:value; NULL = any */
    sl_str sort;                   /* "id:asc", "id:desc", "namespace:asc" (as without it) or "namespace:desc" */
    int64_t offset, size;
} sl_flow_search;

/* Rows in the call's arena, by namespace and id. */
bool sl_call_flows_found(sl_call *c, const sl_flow_search *search, sl_flow_row **rows, size_t *n);
/* archive.c: the request's answer becomes a ZIP file of these: [{name, text}] or [{name, path}]. */
void sl_call_reply_zip(sl_call *c, const sl_val *entries, const char *file_name);
/* archive.c: entries of a ZIP file that came in: [{name, text}]; folders are left out. NULL: answered. */
const sl_val *sl_call_unzip(sl_call *c, sl_str bytes);
/* The source with its line `key: …` at the top changed, or one added. */
sl_str sl_flow_source_with(sl_arena *arena, sl_str source, const char *key, sl_str value);
