/*
 * connectors/s3/put.h: a local file as an object: one PUT, or a multipart upload that a later process can go on with.
 *
 * Checksums are computed by us and checked by the service (CRC32C; MD5 where an endpoint refuses that). Memory: a block per
 * request; a part is read twice, the second time from the page cache.
 * API: https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
 */
#pragma once

#include "connectors/s3/s3.h"

enum { SL_S3_ONE_MAX = 16 << 20 }; /* up to here one PUT, in bytes */

typedef struct sl_s3_put {
    /* Set by the caller. */
    sl_s3 *s;
    sl_str key, path;
    const sl_val *headers;        /* of the object */
    const sl_val *conditions;     /* If-Match, If-None-Match */
    sl_algorithm algorithm;
    bool algorithm_given;         /* by the user: it is not replaced by another */
    sl_str expected;              /* base64 of the whole file's checksum; .n == 0: whatever it is */
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
/* One request. What it gives lives in the arena. Any thread. */
bool sl_s3_put_one(sl_s3_put *p, sl_arena *arena, sl_err *err);
/* In parts, several at a time; {key, size, mtimeNs, uploadId, partSize} is the task's checkpoint meanwhile. The task's thread. */
bool sl_s3_put_parts(sl_s3_put *p, sl_err *err);
/* Of a multipart upload of so many bytes. */
int64_t sl_s3_part_size(int64_t size);
/* Aborts the upload that a checkpoint names, so that its parts do not stay (and cost) for ever. Best effort. */
void sl_s3_put_abort(sl_s3 *s, const sl_val *saved);

/* ---- shared by put.c and parts.c ---- */

typedef struct sl_s3_piece {
    sl_reader reader;
    const sl_s3_put *put;
    int64_t begin, end, at;
} sl_s3_piece;
/* PUTs bytes begin..end-1 to key?query with their checksum; the sum as base64 in *ret_sum. */
bool sl_s3_put_piece(sl_s3_put *p, sl_arena *arena, int64_t begin, int64_t end, sl_str query, const sl_val *headers, sl_http_response *ret, sl_str *ret_sum, sl_err *err);
/* Is there an object with these very bytes, and as this upload makes it? part_size 0: it was one PUT. */
bool sl_s3_put_there(sl_s3_put *p, sl_arena *arena, int64_t part_size, bool *ret, sl_err *err);
