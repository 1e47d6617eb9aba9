/*
 * connectors/s3/multipart.h: bytes sent with their checksum, and the calls of a multipart upload.
 *
 * Checksums are computed by us and checked by the service (CRC32C; MD5 where an endpoint refuses that): before a whole object, behind
 * a part where the service knows trailers (trailer.h).
 * Threads: sl_s3_put_body and sl_s3_multipart_send may be called at once with arenas of their own.
 * API: https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
 */
#pragma once

#include "connectors/s3/s3.h"

enum { SL_S3_PARTS_MAX = 10000, SL_S3_PART_MIN = 8 << 20 }; /* parts; bytes of a part that we make */

/* The object that is made. */
typedef struct sl_s3_target {
    sl_s3 *s;
    sl_str key;
    const sl_val *headers;        /* of the object */
    const sl_val *conditions;     /* If-Match, If-None-Match */
    sl_algorithm algorithm;
    bool algorithm_given;         /* by the user: it is not replaced by another */
} sl_s3_target;

/* Bytes that are summed and sent, from the beginning each time. */
typedef struct sl_s3_body {
    void *self;
    sl_reader *(*open)(void *self, sl_err *err);
    bool (*sum)(void *self, sl_checksum *sums, size_t n, sl_err *err);
    int64_t size;
} sl_s3_body;

/* PUT to key?query. true: there is an answer. *ret_sum: base64. */
bool sl_s3_put_body(const sl_s3_target *to, sl_arena *arena, const sl_s3_body *body, sl_str query, const sl_val *headers, sl_http_response *ret, sl_str *ret_sum, sl_err *err);

typedef struct sl_s3_part {
    sl_str etag, sum;             /* etag.n > 0: it is there; sum: base64 */
    int64_t size;                 /* bytes */
} sl_s3_part;

/* May turn the target to MD5. */
bool sl_s3_multipart_begin(sl_s3_target *to, sl_str *ret_id, sl_err *err);
/* on_part: once for each part, from 1. *known: false when the service knows this upload no more. */
bool sl_s3_multipart_list(const sl_s3_target *to, sl_str id, bool (*on_part)(void *self, int64_t number, const sl_s3_part *part, sl_err *err), void *self, bool *known, sl_err *err);
/* number: from 1. *ret lives in the arena. */
bool sl_s3_multipart_send(const sl_s3_target *to, sl_arena *arena, sl_str id, int64_t number, const sl_s3_body *body, sl_s3_part *ret, sl_err *err);
/* On an error, *gone: an answer may have been lost, so that the upload may be an object now. */
typedef struct sl_s3_made {
    sl_str etag, version;
    bool gone;
} sl_s3_made;
bool sl_s3_multipart_complete(const sl_s3_target *to, sl_str id, const sl_s3_part *parts, size_t count, sl_s3_made *ret, sl_err *err);
/* Where that fails, the task's log says so. */
void sl_s3_multipart_abort(sl_s3 *s, sl_str key, sl_str id);
/* What the object says of itself: the checksum of the parts' checksums, as base64 (hex for MD5) and "-count". */
sl_str sl_s3_multipart_sum(sl_arena *arena, sl_algorithm algorithm, const sl_s3_part *parts, size_t count);
/* Of a multipart upload of so many bytes. */
int64_t sl_s3_part_size(int64_t size);
