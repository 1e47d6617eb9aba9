/*
 * flows/store.h: executions and task runs in SQLite. Logs are elsewhere (flows/logs.h).
 *
 * Threads: one at a time; the engine's thread has the one that writes. Everything between sl_store_begin and sl_store_commit is one transaction.
 */
#pragma once

#include "db/db.h"
#include "flows/exec.h"
#include "kv/kv.h"

typedef struct sl_store sl_store;

/*
 * Opens the state of a data folder; the epoch (number of this start) is counted up. Inputs and outputs in which the redactor
 * finds a secret are kept twice: redacted, for who reads, and sealed with `kv`'s key (not owned), for a restart.
 */
sl_store *sl_store_open(const char *path, sl_kv *kv, sl_err *err);
/* A connection of its own that only reads: what it does never holds up the engine. */
sl_store *sl_store_open_reader(const char *path, sl_kv *kv, sl_err *err);
void sl_store_close(sl_store *s);
bool sl_store_begin(sl_store *s, sl_err *err);
bool sl_store_commit(sl_store *s, sl_err *err);
void sl_store_rollback(sl_store *s);
/* The database itself, for queries of the modules beside this one. */
sl_db *sl_store_db(sl_store *s);
/* Writes what is marked dirty in the execution. CONFLICT: there is one for the same tick already. */
bool sl_store_save(sl_store *s, sl_exec *x, sl_err *err);
/* [{kind, name, value}] of an attempt; NULL = none. */
bool sl_store_add_metrics(sl_store *s, const sl_exec *x, const sl_taskrun *run, const sl_val *metrics, int64_t now_ms, sl_err *err);
/* The source of the flow that an execution runs; NOT_FOUND when there is no such execution. */
bool sl_store_flow_source(sl_store *s, sl_arena *arena, sl_str execution_id, sl_str *ret, int64_t *ret_revision, sl_err *err);
/* Fills a new execution from its rows. `flow` was parsed from sl_store_flow_source. */
sl_exec *sl_store_load(sl_store *s, const sl_flow *flow, sl_str execution_id, sl_err *err);
/* Ids of the executions that have not ended, but for those that are queued; oldest first. */
bool sl_store_open_executions(sl_store *s, sl_arena *arena, const sl_val **ret, sl_err *err);
/* The oldest queued execution of a flow; .p == NULL: none. */
bool sl_store_next_queued(sl_store *s, sl_arena *arena, sl_str ns, sl_str flow_id, sl_str *ret, sl_err *err);
/* How an execution stands: its state, and its outputs, secret values included. */
bool sl_store_result(sl_store *s, sl_arena *arena, sl_str execution_id, bool *found, sl_state *ret_state, const sl_val **ret_outputs, sl_err *err);
/*
 * Executions come from others: as a replay, called, triggered. Have the one with that id and this one (its id, and those it comes from,
 * which count although it may not be written yet; .n == 0: none) one in common, or does one come from the other? Whose is it?
 */
typedef struct sl_lineage {
    sl_str id, replayed, caller;
} sl_lineage;
bool sl_store_related(sl_store *s, sl_arena *arena, const sl_lineage *self, sl_str id, bool *related, sl_str *ret_ns, sl_str *ret_flow_id, sl_err *err);
bool sl_history_parse(sl_arena *arena, sl_str text, sl_history *ret);
