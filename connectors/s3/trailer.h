/*
 * connectors/s3/trailer.h: a body whose checksum goes behind it, so that it is read once: aws-chunked, unsigned, with a trailer.
 *
 * Not every service that speaks S3 knows this coding; one that does not may keep the framing as if it were content. So it is for parts
 * alone, which nobody sees before the upload is completed, and only an answer that gives the checksum back counts.
 * Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
 */
#pragma once

#include "base/checksum.h"

enum { SL_S3_CHUNK = 1 << 20 };   /* bytes; S3 wants 8 KiB at least */

typedef struct sl_s3_trailed {
    sl_reader reader;
    /* Set by the caller. */
    sl_arena *arena;
    sl_reader *(*open)(void *self, sl_err *err);  /* the content, from its beginning each time */
    void *self;
    int64_t size;                 /* of the content, in bytes */
    sl_algorithm algorithm;       /* not MD5, which has no trailer */
    /* While it is read. */
    sl_reader *content;
    sl_checksum checksum;
    int64_t left, chunk;          /* bytes: of the content, of the chunk */
    char frame[256];
    size_t frame_n, frame_at;
    bool ended;
    /* When it has been read. */
    sl_str sum;                   /* base64 */
} sl_s3_trailed;

/* Bytes of the body. */
int64_t sl_s3_trailed_size(int64_t size, sl_algorithm algorithm);
/* self: the sl_s3_trailed; as open_body of a request. */
sl_reader *sl_s3_trailed_open(void *self, sl_err *err);
