/* connectors/files.h: inputFiles and outputFiles of a working folder (flow language section 6.4). */
#pragma once

#include "connectors/task.h"

/*
 * namespaceFiles: {enabled, include, exclude, namespaces, ifExists, folderPerNamespace}, rendered: files of the flow's namespace
 * (or of others that it may read) into the folder. NULL: none.
 */
extern const sl_opt sl_files_namespace_opts[];
bool sl_files_bring(sl_task *t, sl_str dir, const sl_val *namespace_files, sl_err *err);

/* map name -> content or kestra:// URI; the map may be a JSON text. Already rendered. */
bool sl_files_put(sl_task *t, sl_str dir, const sl_val *input_files, sl_err *err);
/* Files that match one of the globs (or regex:…), stored; *ret maps relative path -> URI. */
bool sl_files_take(sl_task *t, sl_str dir, const sl_val *globs, const sl_val **ret, sl_err *err);
