/* connectors/files_opts.c: the property namespaceFiles. Apart from files.c, because flows have it, too (WorkingDirectory). */
#include "connectors/files.h"

const sl_opt sl_files_namespace_opts[] = {
    { .name = "enabled", .type = SL_OPT_BOOL, .doc = "Bring them (true)." },
    { .name = "include", .type = SL_OPT_STRS, .doc = "Globs; else all." },
    { .name = "exclude", .type = SL_OPT_STRS, .doc = "Globs of those that are left out." },
    { .name = "namespaces", .type = SL_OPT_STRS, .doc = "Whose files, a later one over an earlier; else the flow's own." },
    { .name = "ifExists", .type = SL_OPT_ENUM, .values = "OVERWRITE FAIL WARN IGNORE", .doc = "When the folder has such a file (OVERWRITE)." },
    { .name = "folderPerNamespace", .type = SL_OPT_BOOL, .doc = "Each namespace's files in a folder of its name." },
    { 0 },
};
