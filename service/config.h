/*
 * service/config.h: sluice.yaml: one table of keys; unknown keys are refused. docs/SERVER.md has the same words.
 */
#pragma once

#include "base/bind.h"
#include "service/retention.h"
#include "service/stored.h"

typedef struct sl_config {
    sl_str host, data_dir, environment, url;
    int64_t port, workers;
    const sl_val *process_environment; /* list of names */
    bool container_host_access, namespace_isolation;
    const sl_val *local_files;
    const sl_val *plugin_defaults;     /* list */
    const sl_val *globals;             /* map */
    sl_retention retention;
    sl_stored_cfg storage;
} sl_config;

extern const sl_opt sl_config_opts[];

/* path NULL: only the defaults. Problems carry line and column. */
bool sl_config_load(sl_arena *arena, const char *path, sl_config *ret, sl_problems *problems);
