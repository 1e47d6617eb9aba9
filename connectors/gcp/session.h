/*
 * connectors/gcp/session.h: Google's resumable upload sessions: the requests, for files (resumable.h) and streams (gcs/stream.h).
 *
 * A session's URI is a credential: it is sealed where it is kept. One thread.
 * API: https://cloud.google.com/storage/docs/performing-resumable-uploads
 */
#pragma once

#include "connectors/gcp/gcp.h"

typedef struct sl_session {
    /* Set by the caller. */
    sl_gcp *g;
    sl_str url;                /* starts a session */
    sl_str metadata;           /* JSON body of that request */
    sl_str content_type;       /* of the file; empty = application/octet-stream */
    sl_str target;             /* for messages: gs://bucket/name */
    /* Set by sl_session_start, or by sl_session_take_up. */
    sl_str uri;
} sl_session;

/* size: bytes, -1 = not known yet. */
bool sl_session_start(sl_session *s, int64_t size, sl_err *err);
bool sl_session_seal(const sl_session *s, sl_str *ret, sl_err *err);
bool sl_session_take_up(sl_session *s, sl_str sealed, sl_err *err);

/* Bytes from..to-1 of `total` (-1: more will come). from == to: asks where it stands. */
typedef struct sl_session_put {
    int64_t from, to, total;
    sl_reader *(*open_body)(void *self, sl_err *err);
    void *body_self;
    void (*progress)(void *self, int64_t sent, int64_t received);
} sl_session_put;

typedef struct sl_session_state {
    bool lost;                 /* the session is no more: a week old, or lost by the server */
    int64_t next;              /* the first byte that it has not */
    const sl_val *done;        /* the final answer; NULL = it goes on */
} sl_session_state;
/* One request, no retries: after an error, ask where it stands. What comes lives in the arena. */
bool sl_session_send(const sl_session *s, sl_arena *arena, const sl_session_put *put, sl_session_state *ret, sl_err *err);
/* After so many failures in a row: is there to be another round? Says so and waits. */
bool sl_session_retry(const sl_session *s, int round, sl_err *err);
/* Nothing half-done stays behind. Where that fails, the task's log says so.
 * https://cloud.google.com/storage/docs/performing-resumable-uploads#cancel-upload */
void sl_session_cancel(sl_gcp *g, sl_str sealed);
