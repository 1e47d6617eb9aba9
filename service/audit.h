/*
 * service/audit.h: who has changed what over the API: a chain of records in the state database, each with an HMAC-SHA256 over itself
 * and the one before, under a key that is sealed with the store's. Edited, removed, reordered and cut-off records are found.
 */
#pragma once

#include "service/engine.h"

/* One record on its way; lives with the request. */
typedef struct sl_audit_record {
    sl_str who, method, path;
    bool written;
} sl_audit_record;

/* Any thread. The record becomes durable no later than anything that is asked of the engine afterwards. */
void sl_audit_post(sl_engine *e, sl_audit_record *r);
/* Waits until it is on disk; false: it never will be, and the request must not be answered as done. */
bool sl_audit_wait(sl_engine *e, sl_audit_record *r, sl_err *err);

/* Newest first: {seq, date, user, method, path}. Any store. */
bool sl_audit_list(sl_store *store, sl_arena *arena, int64_t offset, int64_t size, const sl_val **ret, int64_t *ret_total, sl_err *err);
/* Recomputes the whole chain. */
bool sl_audit_verify(sl_db *db, sl_kv *kv, int64_t *ret_records, sl_err *err);
