/*
 * flows/storage.h: internal storage: kestra:/// URIs over a local folder (flow language section 6.3).
 *
 * A task reads files of its own execution and of its namespace's files only. Names from outside pass one gate
 * (sl_path_is_safe). A file is visible when it is complete. Threads: no state but the root.
 */
#pragma once

#include "base/err.h"
#include "base/io.h"
#include "base/val.h"

typedef struct sl_storage {
    const char *root;
} sl_storage;

/* "my.ns", "flow" -> "my/ns/flow-slug/executions/ID" */
sl_str sl_storage_execution_prefix(sl_arena *arena, sl_str ns, sl_str flow_id, sl_str execution_id);
/* The id in kestra:///…/executions/ID/…; .n == 0: there is none. */
sl_str sl_storage_execution_in(sl_str uri);
/* Where the file of a URI is, when it may be read by that execution; it need not be there. */
bool sl_storage_path(const sl_storage *s, sl_arena *arena, sl_str uri, sl_str ns, sl_str flow_id, sl_str execution_id, sl_str *ret_path, sl_err *err);
/* Path and URI of a new file of a task run; its folder is made. */
bool sl_storage_new(const sl_storage *s, sl_arena *arena, sl_str ns, sl_str flow_id, sl_str execution_id, sl_str task_id, sl_str taskrun_id, sl_str name, sl_str *ret_path,
                    sl_str *ret_uri, sl_err *err);
/* The same for a file that was given as an input. */
bool sl_storage_input(const sl_storage *s, sl_arena *arena, sl_str ns, sl_str flow_id, sl_str execution_id, sl_str input_id, sl_str name, sl_str *ret_path, sl_str *ret_uri, sl_err *err);
/* Removes everything of the execution; *ret is the list of URIs that were there. */
bool sl_storage_purge(const sl_storage *s, sl_arena *arena, sl_str ns, sl_str flow_id, sl_str execution_id, const sl_val **ret, sl_err *err);
sl_str sl_slugify(sl_arena *arena, sl_str text);
