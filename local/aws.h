/* local/aws.h: what the AWS faces share: the access key, verified requests, error answers. One port serves them all. */
#pragma once

#include "auth/sigv4.h"
#include "base/checksum.h"
#include "local/cloud_private.h"

enum { SL_AWS_SKEW_S = 900 };

/* Who asks; all that is needed to verify the chunks of a streamed body. */
typedef struct sl_caller {
    sl_str id, signature, payload; /* payload: x-amz-content-sha256, or UNSIGNED-PAYLOAD of a presigned URL */
    sl_sigv4_scope scope;
    uint8_t key[SL_SIGV4_KEY];
} sl_caller;

/* An error of S3 or of a JSON service. status 0 = none. */
typedef struct sl_refusal {
    int status;
    const char *code;
    sl_str message;
} sl_refusal;

/* aws_auth_v2.c: a presigned URL of Signature Version 2; S3 only. */
bool sl_aws_is_v2(sl_server_request *req);
bool sl_aws_verify_v2(sl_cloud *c, sl_server_request *req, sl_caller *ret, sl_refusal *why);
/* Header or presigned signature; the body's hash is for the caller to compare. false: *why. */
bool sl_aws_verify(sl_cloud *c, sl_server_request *req, sl_caller *ret, sl_refusal *why);
bool sl_refuse(sl_refusal *why, sl_arena *arena, int status, const char *code, const char *fmt, ...) SL_PRINTF(5, 6); /* always false */
void sl_s3_refuse(sl_server_request *req, sl_server_response *resp, const sl_refusal *why);
/* JSON services have names of their own for what a signature can lack; they answer 400. */
void sl_aws_json_code(sl_refusal *why);
void sl_aws_json_refuse(sl_server_request *req, sl_server_response *resp, const sl_refusal *why);

/* aws.c */
bool sl_aws_face_start(sl_cloud *c, sl_err *err);
/* Of a cloud that another process serves. */
bool sl_aws_face_join(sl_cloud *c, sl_err *err);
void sl_aws_face_stop(sl_cloud *c);
/* The secret of an access key that this cloud has given out, and the token that belongs to it ("" = none). */
bool sl_aws_secret(sl_cloud *c, sl_arena *arena, sl_str id, sl_str *ret_secret, sl_str *ret_token, bool *expired);
void sl_aws_sts(sl_cloud *c, sl_server_request *req, sl_server_response *resp);

/* s3_*.c */
extern const sl_route sl_s3_routes[];
