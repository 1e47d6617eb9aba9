/*
 * connectors/source_fetch.h: what a source's requests bring, each byte once and in order, in spite of cut connections. For source.c
 * and source_copy.c. Threads: one at a time.
 */
#pragma once

#include <stdatomic.h>

#include "connectors/source.h"

typedef struct sl_source_fetch {
    const sl_source *s;
    sl_arena *arena;              /* of this thread */
    sl_writer *to;
    const _Atomic bool *stop;
    /* Its own: */
    sl_writer writer;             /* what the requests write to */
    int64_t at, skip;             /* bytes of the source before this request's next one; those to be left out */
    uint32_t crc, skipped;        /* of what is there; of what was left out */
} sl_source_fetch;

/* Bytes begin..end-1 (end -1: all that follow; begin is 0 where the source is not ranged). Patience starts anew with each byte that comes. */
bool sl_source_fetch_bytes(sl_source_fetch *f, int64_t begin, int64_t end, sl_err *err);
/* The error of one that was stopped. Returns false. */
bool sl_source_stopped(const sl_source *s, sl_err *err);
/* What came against what the source is known to be. sum: raw bytes; only read where the source is summed. */
bool sl_source_compare(const sl_source *s, sl_arena *arena, int64_t size, sl_str sum, sl_err *err);
