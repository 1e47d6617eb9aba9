/*
 * auth/aws.h: AWS credentials: where they come from, keys that are renewed before they expire, requests signed with them.
 *
 * Order without explicit keys (the SDKs' default chain): environment, web identity, profile (static keys, role_arn with
 * source_profile, credential_source or web_identity_token_file, credential_process, SSO), container, instance (IMDSv2).
 * Sources: https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html, …/feature-imds-credentials.html,
 * https://docs.aws.amazon.com/STS/latest/APIReference/. Threads: everything may be called at once.
 */
#pragma once

#include "base/secret.h"
#include "net/http.h"

typedef struct sl_aws sl_aws;
typedef struct sl_aws_cred sl_aws_cred;

typedef struct sl_aws_options {
    sl_str key_id, secret, token;            /* static; .n == 0: the chain */
    sl_str role_arn, external_id, session_name; /* AssumeRole on top */
    int64_t role_duration_s;                 /* 0 = 900 */
    sl_str sts_endpoint;                     /* .n == 0: AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL, the regional one */
    sl_str region;                           /* of STS; .n == 0: sl_aws_region */
} sl_aws_options;

typedef struct sl_aws_keys {
    sl_str id, secret, token;
    int64_t expires_s;                       /* 0 = never */
} sl_aws_keys;

sl_aws *sl_aws_new(sl_http *http);
void sl_aws_free(sl_aws *aws);
/* Keys to be used where the chain would be searched; for the local cloud. */
void sl_aws_set_default(sl_aws *aws, sl_str key_id, sl_str secret);

/* What answers have taught about an endpoint, while the process lives; beyond 256 facts new ones are not kept. */
void sl_aws_learn(sl_aws *aws, const char *fact, sl_str endpoint);
bool sl_aws_learnt(sl_aws *aws, const char *fact, sl_str endpoint);

/* The credential for these options; the same object for the same options, owned by aws. Files are read; no network. */
sl_aws_cred *sl_aws_find(sl_aws *aws, const sl_aws_options *options, sl_err *err);
/* The same, and what was tried, in order: a list of {link, found, detail}. */
sl_aws_cred *sl_aws_explain(sl_aws *aws, sl_arena *arena, const sl_aws_options *options, sl_val *steps, sl_err *err);
/* Keys good for some minutes. refresh: those that were given are not accepted. */
bool sl_aws_get_keys(sl_aws_cred *cred, sl_arena *arena, bool refresh, sl_aws_keys *ret, sl_err *err);
sl_str sl_aws_identity(const sl_aws_cred *cred); /* for messages and pools; no secret */

/* AWS_REGION, AWS_DEFAULT_REGION, the profile's region; empty when there is none. */
sl_str sl_aws_region(sl_arena *arena);
/*
 * What AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, or the profile say, without a slash at its end; NULL: the service's own.
 * service as in the variables: "S3", "DYNAMODB", "STS", "REDSHIFT_DATA".
 */
const char *sl_aws_endpoint(sl_arena *arena, const char *service);

/* What AWS_CA_BUNDLE or the profile's ca_bundle say; NULL: nothing. */
const char *sl_aws_ca_file(sl_arena *arena);

/* Signs requests for one service and region. Lives as long as the arena; the credential must outlive it. */
typedef struct sl_aws_signer {
    sl_http_auth auth;
    sl_aws_cred *cred;
    sl_str region, service;
    bool s3;
} sl_aws_signer;
/*
 * A request with the header x-amz-content-sha256 is signed with that; else with the hash of its body in memory, which S3 gets
 * told. A body that is streamed needs the header.
 */
sl_aws_signer *sl_aws_signer_new(sl_arena *arena, sl_aws_cred *cred, sl_str region, sl_str service);
/* The service says that our clock is wrong: its Date header. Later signatures count from it. false: the clock is not the trouble. */
bool sl_aws_set_clock(sl_aws_cred *cred, sl_str date);
