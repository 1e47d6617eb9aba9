/*
 * connectors/target.h: where a stream of bytes goes, in order and of unknown length. Nothing of it can be seen before complete().
 *
 * What a target has got outlives the process: state() is a small map that must be on disk before bytes count as there, and the
 * target that is opened with it goes on. Bytes that are there already may be given again: they are compared, not sent.
 * Threads: one at a time; open, complete and state belong to the task's thread.
 */
#pragma once

#include "connectors/task.h"

typedef struct sl_target sl_target;
struct sl_target {
    sl_writer writer;             /* finish() does nothing; close() frees all and leaves what was sent to a later process */
    const char *what;             /* s3://bucket/key */
    int64_t at;                   /* bytes given so far, those before the start included */
    uint32_t crc;                 /* their CRC32C */
    bool whole;                   /* it was taken up and has all: only complete() is left */
    bool lost;                    /* after an error: what it had is gone, begin anew */
    bool (*flush)(sl_target *t, sl_err *err);      /* sends what is left; no write() after it */
    bool (*complete)(sl_target *t, sl_err *err);   /* makes it visible */
    void (*abort)(sl_target *t);                   /* nothing stays behind. Best effort */
    /* So many bytes from the beginning on, with this CRC32C, are there for good. */
    void (*durable)(sl_target *t, int64_t *bytes, uint32_t *crc);
    bool (*state)(sl_target *t, sl_arena *arena, sl_val **ret, sl_err *err);
    /* Set by the owner: puts state() on disk. Called when it has changed, on the task's thread. */
    bool (*keep)(void *owner, sl_err *err);
    void *owner;
    /* Set by complete(). */
    sl_str uri, etag, version;
};

/* How it is made. */
typedef struct sl_target_how {
    sl_task *task;
    int64_t size;                 /* that it will have; -1 = not known */
    bool several;                 /* one of many at once: less memory each, and all requests on the writing thread */
    int64_t at;                   /* where the stream begins, when it is taken up; and the CRC32C of what is before */
    uint32_t crc;
    const sl_val *state;          /* NULL: it begins */
    sl_str content_type, content_encoding, storage_class;
    const sl_val *metadata;       /* the object's own; NULL = none */
} sl_target_how;

void sl_target_close(sl_target **t);
/* A new file in the internal storage. It cannot be taken up. */
bool sl_target_stored(const sl_target_how *how, sl_str name, sl_target **ret, sl_err *err);
