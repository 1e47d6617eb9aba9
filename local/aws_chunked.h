/*
 * local/aws_chunked.h: bodies with Content-Encoding aws-chunked, signed or not, with trailers or without, unpacked as they come.
 * Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html, …/sigv4-streaming-trailers.html
 */
#pragma once

#include "base/io.h"
#include "local/aws.h"

enum { SL_CHUNK_LINE_MAX = 8192, SL_CHUNK_TRAILERS_MAX = 8192 };

typedef struct sl_chunked {
    /* Private. */
    sl_arena *arena;
    const sl_caller *caller;      /* NULL: chunks are not signed */
    bool trailer;                 /* trailers follow the last chunk */
    enum { SL_CH_SIZE, SL_CH_DATA, SL_CH_DATA_END, SL_CH_TRAILER, SL_CH_END } state;
    sl_buf line;
    int64_t left;
    sl_str previous, announced;
    sl_hash *hash;
    sl_buf trailers_text;         /* as signed: name:value\n */
    sl_val *trailers;             /* name -> value */
    bool last, trailer_signed;
} sl_chunked;

/* payload: what x-amz-content-sha256 says. false: that is not a chunked body. */
bool sl_chunked_begin(sl_chunked *c, sl_arena *arena, const sl_caller *caller, sl_str payload);
typedef bool (*sl_chunked_sink)(void *self, const void *data, size_t n);
/* Gives the content found to sink. false: why says what is wrong, or the sink has said no. */
bool sl_chunked_add(sl_chunked *c, const char *data, size_t n, sl_chunked_sink sink, void *self, sl_refusal *why);
/* Did all of it come? */
bool sl_chunked_complete(const sl_chunked *c);
