/*
 * connectors/script/runner.h: the properties of the container runner, and the container that they describe to the engine.
 *
 * Pure but for the question whether the machine's files may be mounted. Source: flow language section 4.14;
 * https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerCreate
 */
#pragma once

#include "connectors/script/container.h"

typedef struct sl_runner_cfg {
    sl_str type, version, host, user, network, pull, files, shm;
    const sl_val *config, *credentials, *entry_point, *extra_hosts, *ports, *volumes, *devices, *cpu, *memory;
    bool privileged, remove, wait, resume;
    int64_t grace_ms;
} sl_runner_cfg;

/* runner: rendered properties; NULL = none. */
bool sl_runner_bind(sl_arena *arena, const sl_val *runner, sl_runner_cfg *ret, sl_err *err);
/* Is the working folder mounted, in place of files being copied? */
bool sl_runner_mounts(const sl_runner_cfg *c);
/* The body of POST /containers/create. */
bool sl_runner_document(sl_task *t, const sl_runner_cfg *c, const sl_container *k, const sl_val **ret, sl_err *err);
/* Credentials for the registry of the image; NULL = none are said. */
const sl_val *sl_runner_auth(sl_arena *arena, const sl_runner_cfg *c, sl_str image);
