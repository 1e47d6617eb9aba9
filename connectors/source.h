/*
 * connectors/source.h: bytes that lie somewhere (an object, an address, a file), read in order while threads fetch ahead.
 *
 * What is read is one state of them: pieces of different states are never mixed, what changed meanwhile is an error. A cut
 * connection is followed by a request for the rest. Size and checksum are compared at the end, in the reading pass.
 * Memory: at most SL_SOURCE_AHEAD blocks of SL_SOURCE_BLOCK bytes. The reader belongs to one thread.
 */
#pragma once

#include "base/checksum.h"
#include "base/made_file.h"
#include "connectors/task.h"

enum { SL_SOURCE_BLOCK = 4 << 20, SL_SOURCE_THREADS = 4, SL_SOURCE_AHEAD = 5 };
/* For copies: bytes of one request, so many that the wait for its first byte is short beside it; sources of one request, at a time. */
enum { SL_SOURCE_PIECE = 8 << 20, SL_SOURCE_TOGETHER = 32 };

typedef struct sl_source {
    sl_task *task;
    const char *what;             /* for messages: s3://bucket/key */
    const char *service;          /* prefix of error codes: "s3" */
    int64_t size;                 /* bytes; -1: nobody knows before the end */
    bool ranged;                  /* pieces can be asked for; else there is only the whole, from its beginning */
    sl_str state;                 /* tells this content from another: a generation, an ETag; .n == 0: nothing does */
    bool summed;                  /* a checksum of the whole is known, at the latest with the first byte of one request: */
    sl_algorithm algorithm;
    sl_str expected;              /* base64; hex for MD5 */
    void *self;
    /* One of the two. Where nothing has to be fetched ahead: a reader from that byte on. */
    sl_reader *(*open)(const struct sl_source *s, int64_t from);
    /* Bytes begin..end-1 (end -1: all that follow) into `to`, in one request. Any thread, each with an arena of its own. */
    bool (*fetch)(void *self, sl_arena *arena, int64_t begin, int64_t end, sl_writer *to, sl_err *err);
} sl_source;

/* From byte `from` on (0 where it is not ranged; the checksum is only compared from 0 on). The source must outlive the reader. */
sl_reader *sl_source_open(const sl_source *s, int64_t from);
/* All of it, of a source with fetch(), by several threads; does not finish `to`. ret_size may be NULL. */
bool sl_source_copy(const sl_source *s, sl_made_file *to, int64_t *ret_size, sl_err *err);
/* A file of this machine. It must outlive the source. */
bool sl_source_file(sl_task *t, sl_str path, const char *what, sl_source *ret, sl_err *err);
/* "bytes=begin-", or "bytes=begin-(end-1)" (RFC 9110 section 14.2). end -1: all that follow. */
sl_str sl_source_range(sl_arena *arena, int64_t begin, int64_t end);
