/*
 * net/sse.h: server-sent events out of a stream of bytes that comes in pieces of any size.
 *
 * An event is over at an empty line; one without data is none, and one that the end of the stream cuts off is lost. What an event
 * points to lives in the arena. Threads: no state but *s.
 * Source: WHATWG HTML Living Standard, section 9.2.6 (fields `id` and `retry` are told with the event that they stand in).
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

typedef struct sl_sse_event {
    sl_str data;
    sl_str id, name, comment;      /* .p == NULL: there is none */
    int64_t retry_ms;              /* -1: none */
} sl_sse_event;

typedef struct sl_sse {
    /* Set by the caller. */
    sl_arena *arena;
    bool (*event)(void *self, const sl_sse_event *e, sl_err *err);
    void *self;
    size_t bytes_max;              /* of the whole stream; more is LIMIT, code sse.size */
    /* Private; zero. */
    sl_buf line, data;
    sl_sse_event now;
    size_t bytes;
    bool begun, after_cr, has_data;
} sl_sse;

bool sl_sse_feed(sl_sse *s, const void *from, size_t n, sl_err *err);
