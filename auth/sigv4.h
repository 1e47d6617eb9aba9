/*
 * auth/sigv4.h: AWS Signature Version 4: canonical request, string to sign, key, signature; in headers, in a query, in chunks.
 *
 * Pure: nothing here knows the time, asks for credentials or sends anything. Sources:
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html,
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html, …/sigv4-streaming-trailers.html.
 * Threads: no state.
 */
#pragma once

#include "base/str.h"
#include "base/val.h"

#define SL_SIGV4_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" /* SHA-256 of nothing, in hex */
#define SL_SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"
#define SL_SIGV4_STREAM "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
#define SL_SIGV4_STREAM_TRAILER "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
#define SL_SIGV4_UNSIGNED_TRAILER "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

enum { SL_SIGV4_KEY = 32, SL_SIGV4_HEX = 64 };

typedef struct sl_sigv4_request {
    sl_str method, path, query;     /* as sent, encoded; query without '?' */
    const sl_val *headers;          /* map name -> text, or list of texts; with host and x-amz-date */
    sl_str payload;                 /* SHA-256 in hex, or one of the words above */
    bool s3;                        /* the path is encoded once and never normalised */
} sl_sigv4_request;

/* date/region/service/aws4_request */
typedef struct sl_sigv4_scope {
    char time[17];                  /* 20150830T123600Z */
    sl_str region, service;
} sl_sigv4_scope;

void sl_sigv4_scope_at(sl_sigv4_scope *scope, int64_t seconds, sl_str region, sl_str service);
sl_str sl_sigv4_scope_text(sl_arena *arena, const sl_sigv4_scope *scope);

/* *ret_signed: names of the signed headers, a;b;c. */
sl_str sl_sigv4_canonical(sl_arena *arena, const sl_sigv4_request *r, sl_str *ret_signed);
sl_str sl_sigv4_string_to_sign(sl_arena *arena, const sl_sigv4_scope *scope, sl_str canonical);
/* Good for the scope's day, region and service. Wipe it. */
void sl_sigv4_key(sl_str secret, const sl_sigv4_scope *scope, uint8_t key[static SL_SIGV4_KEY]);
sl_str sl_sigv4_signature(sl_arena *arena, const uint8_t key[static SL_SIGV4_KEY], sl_str string_to_sign);

/* The Authorization header. *ret_signature (may be NULL) is the seed for chunks. */
sl_str sl_sigv4_authorization(sl_arena *arena, const sl_sigv4_request *r, const sl_sigv4_scope *scope, sl_str key_id, const uint8_t key[static SL_SIGV4_KEY], sl_str *ret_signature);
/* The query of a presigned URL: `query` with X-Amz-… added, for so many seconds. token: .n == 0 = none. */
sl_str sl_sigv4_presign(sl_arena *arena, const sl_sigv4_request *r, const sl_sigv4_scope *scope, sl_str key_id, sl_str token, const uint8_t key[static SL_SIGV4_KEY], int64_t expires_s);

/* Signature of a chunk (payload: its SHA-256 in hex), or of the trailer ("name:value\n…"), after the one before. */
sl_str sl_sigv4_chunk(sl_arena *arena, const uint8_t key[static SL_SIGV4_KEY], const sl_sigv4_scope *scope, sl_str previous, sl_str payload);
sl_str sl_sigv4_trailer(sl_arena *arena, const uint8_t key[static SL_SIGV4_KEY], const sl_sigv4_scope *scope, sl_str previous, sl_str trailer);
