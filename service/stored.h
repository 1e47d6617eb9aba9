/*
 * service/stored.h: files of the internal storage: in the local folder, and in an object store behind it where one is configured.
 *
 * What a task run has made is in the store before its end is recorded. All else that changes (inputs, files of namespaces, what is
 * removed) follows within seconds: the path is written into the table `unsynced` first, and stays there until both places are the
 * same. Then the local files are a cache: what is needed and not there is fetched, and beyond its size what was used longest ago
 * goes. Without a store these functions do what is left: look whether a file is there.
 *
 * Paths are whole ones, below the storage's root. Threads: any, unless it says otherwise.
 */
#pragma once

#include "connectors/aws/aws.h"
#include "connectors/gcp/gcp.h"
#include "service/engine.h"

/* Configuration, key `storage`. */
typedef struct sl_stored_cfg {
    sl_gcp_cfg gcp;
    sl_aws_cfg aws;
    sl_str url;                   /* s3://bucket[/prefix], gs://bucket[/prefix]; .n == 0: no store */
    sl_str cache;                 /* as it was written */
    int64_t cache_bytes;          /* of local files of executions; 0 = no limit */
} sl_stored_cfg;

typedef struct sl_stored sl_stored;
/* The configuration must outlive it. Its table is in the engine's database. */
sl_stored *sl_stored_new(const sl_stored_cfg *cfg, const char *root, sl_err *err);
void sl_stored_free(sl_stored *s);
/* s3://bucket/prefix: is it one? */
bool sl_stored_url_is_good(sl_str url);

/* ---- for the engine's files: `t` does the requests; where there is no attempt, one of its own ---- */

/* A task context without a task: for requests outside of attempts. arena: the caller's. */
sl_task *sl_task_alone(sl_engine *e, sl_arena *arena);

/* Is the file there to be read? It is fetched when it has to be. uri: for the message (SL_ERR_NOT_FOUND "storage.missing"). */
bool sl_stored_have(sl_task *t, sl_str path, sl_str uri, sl_err *err);
/* The same for all files of a namespace, by their folder; there need not be any. */
bool sl_stored_have_namespace(sl_task *t, sl_str folder, sl_err *err);
/* Has it the file, here or there? */
bool sl_stored_exists(sl_task *t, sl_str path, bool *ret, sl_err *err);
/* The attempt's own: they are in the store when this is true. */
bool sl_stored_keep_made(sl_task *t, sl_err *err);
/* Removes all of an execution; *ret: the URIs of what was there. */
bool sl_stored_purge(sl_task *t, sl_str ns, sl_str flow_id, sl_str execution_id, const sl_val **ret, sl_err *err);
/* Until sl_stored_unpin the file is not dropped from the cache. */
void sl_stored_pin(sl_task *t, sl_str path);
void sl_stored_unpin(sl_task *t);

/*
 * A file or folder is about to change, or has changed, by writing, moving or removing: the store follows. Call it before and after
 * the change: before, so that it is known after a crash; after, since the first may have been seen to already.
 */
bool sl_stored_changes(sl_engine *e, sl_str path, sl_err *err);
/* The same as part of this turn. loop. */
bool sl_stored_changes_now(sl_engine *e, sl_str path, sl_err *err);

/* ---- stored_keeper.c ---- */

/* A thread that makes the store follow, and keeps the cache in bounds, until the engine's watch is stopped. Without a store: nothing. */
typedef struct sl_stored_keeper sl_stored_keeper;
sl_stored_keeper *sl_stored_keeper_start(sl_engine *e);
void sl_stored_keeper_join(sl_stored_keeper *k);
