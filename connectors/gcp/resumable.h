/*
 * connectors/gcp/resumable.h: a local file sent to one of Google's resumable upload sessions (GCS objects, BigQuery loads).
 *
 * The session's URI (a credential: sealed) is on disk before the first byte. After a crash, or any doubt, the session is
 * asked how much it has ("bytes STAR/N") and the upload goes on there; a finished one is recognised. Checksums are computed
 * in the reading pass. Memory: one block. One thread.
 */
#pragma once

#include <time.h>

#include "base/io.h"
#include "connectors/gcp/session.h"

typedef struct sl_resumable {
    /* Set by the caller. */
    sl_session session;
    const sl_val *checkpoint;  /* what else the checkpoint has to say while the upload runs; may be NULL */
    sl_hash *md5;              /* NULL: not wanted */
    /* Set by sl_resumable_open. */
    sl_str path;
    int64_t size;              /* bytes */
    struct timespec mtime;
    /* What has been read in order so far. A part that is sent again is not added again. */
    uint32_t crc;
    int64_t hashed;
    /* Private. */
    int fd;
    int64_t begin, offset, end;   /* of the piece that is being sent */
    sl_reader reader;
} sl_resumable;

/* Opens the stored file `from`; 0 in every other field is fine so far. Close it in any case. */
bool sl_resumable_open(sl_resumable *u, sl_str from, sl_err *err);
void sl_resumable_close(sl_resumable *u);
/* The checkpoint's words for this very file: {size, mtimeNs} on top of `checkpoint`. */
sl_val *sl_resumable_mark(const sl_resumable *u);
/* Does the checkpoint speak of this very file? */
bool sl_resumable_same(const sl_resumable *u, const sl_val *saved);

/* Sends the file, in the session of the checkpoint when that is of this file. *ret_answer: the final JSON answer. */
bool sl_resumable_send(sl_resumable *u, const sl_val **ret_answer, sl_err *err);
/* Reads on until `crc` (and md5) cover the whole file. */
bool sl_resumable_sum(sl_resumable *u, sl_err *err);
/* Reads the whole file to `to`, which has room for `size` bytes. */
bool sl_resumable_read(sl_resumable *u, char *to, sl_err *err);
