/*
 * connectors/s3/put.h: a local file as an object: one PUT, or a multipart upload that a later process can go on with.
 *
 * Memory: a block per request. A part is read once where the service knows trailers (trailer.h), else twice, the second time from the page cache.
 */
#pragma once

#include "connectors/s3/multipart.h"

#define SL_S3_ONE_MAX INT64_C(16777216) /* up to here one PUT, in bytes */
#define SL_S3_PUT_MAX INT64_C(5368709120) /* that S3 takes in one; https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */

typedef struct sl_s3_put {
    /* Set by the caller. */
    sl_s3_target to;
    sl_str path;
    sl_str expected;              /* base64 of the whole file's checksum; .n == 0: whatever it is */
    int64_t one_max;              /* up to here one PUT */
    bool again;                   /* an earlier process may have sent it already */
    /* Set by sl_s3_put_open. */
    int fd;
    int64_t size, mtime_ns;       /* bytes; ns since 1970 */
    /* Set when it is done. */
    sl_str etag, version;
} sl_s3_put;

/* Close it in any case. */
bool sl_s3_put_open(sl_s3_put *p, sl_err *err);
void sl_s3_put_close(sl_s3_put *p);
/* Is the file still the one that was opened? Its parts would not fit together. */
bool sl_s3_put_unchanged(const sl_s3_put *p, sl_err *err);
/* One request. What it gives lives in the arena. Any thread. */
bool sl_s3_put_one(sl_s3_put *p, sl_arena *arena, sl_err *err);
/* In parts, several at a time; {key, size, mtimeNs, uploadId, partSize} is the task's checkpoint meanwhile. The task's thread. */
bool sl_s3_put_parts(sl_s3_put *p, sl_err *err);
/* ---- shared by put.c and parts.c ---- */

/* Bytes begin..end-1 of the file. */
typedef struct sl_s3_piece {
    sl_reader reader;
    const sl_s3_put *put;
    int64_t begin, end, at;
} sl_s3_piece;
/* `piece` must outlive what is given. */
sl_s3_body sl_s3_piece_of(const sl_s3_put *p, int64_t begin, int64_t end, sl_s3_piece *piece);
/* Is there an object with these very bytes, and as this upload makes it? part_size 0: it was one PUT. */
bool sl_s3_put_there(sl_s3_put *p, sl_arena *arena, int64_t part_size, bool *ret, sl_err *err);
