/*
 * connectors/script/docker.h: the Docker Engine API, as far as running one container needs it. Podman's service speaks it, too.
 *
 * Source: https://docs.docker.com/reference/api/engine/version/v1.41/ (paths without a version: the engine's newest). One thread.
 */
#pragma once

#include "connectors/task.h"

typedef struct sl_docker {
    sl_task *task;
    const char *unix_socket;      /* NULL: TCP */
    sl_str base, shown;           /* URL of the API; how messages name the engine */
} sl_docker;

/* host: unix:///path, tcp://name:port or http(s)://…; "" = DOCKER_HOST, then the sockets that Docker and Podman have by custom. */
bool sl_docker_open(sl_docker *d, sl_task *t, sl_str host, sl_err *err);

/* auth: {username, password, …} for the registry, or NULL. Progress goes to the log at DEBUG. */
bool sl_docker_pull(sl_docker *d, sl_str image, const sl_val *auth, sl_err *err);
bool sl_docker_has_image(sl_docker *d, sl_str image, bool *ret, sl_err *err);

/* false with kind CONFLICT: there is one of that name. */
bool sl_docker_create(sl_docker *d, sl_str name, const sl_val *document, sl_err *err);
/* *ret: what `docker inspect` shows; NULL: there is none of that name. */
bool sl_docker_inspect(sl_docker *d, sl_str name, const sl_val **ret, sl_err *err);
/*
 * Both streams as frames (application/vnd.docker.multiplexed-stream). attach_and_start: from the first byte until the container ends,
 * of one that has not been started. output: all that an ended container has printed. (What Podman gives for /logs?follow has gaps.)
 */
bool sl_docker_attach_and_start(sl_docker *d, sl_str name, sl_writer *frames, sl_err *err);
bool sl_docker_output(sl_docker *d, sl_str name, sl_writer *frames, sl_err *err);
/* A tar stream is unpacked at /, or made of the folder. */
bool sl_docker_put(sl_docker *d, sl_str name, sl_reader *(*open)(void *self, sl_err *err), void *self, int64_t size, sl_err *err);
bool sl_docker_get(sl_docker *d, sl_str name, sl_str folder, sl_writer *tar, sl_err *err);

/* These two work for a task that is cancelled as well. grace_s 0: killed at once. */
void sl_docker_stop(sl_docker *d, sl_str name, int64_t grace_s);
/* Ends it if it runs; missing is fine. */
bool sl_docker_remove(sl_docker *d, sl_str name, sl_err *err);
