/*
 * connectors/aws/aws.h: what all AWS tasks share: common properties, endpoints, credentials, signed calls.
 *
 * AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL or the property endpointOverride replace scheme and host.
 */
#pragma once

#include "auth/aws.h"
#include "connectors/task.h"

/* First member of every AWS task's config. */
typedef struct sl_aws_cfg {
    sl_str key_id, secret, token, region, endpoint, role_arn, role_external_id, role_session_name, sts_endpoint;
    int64_t role_duration_ms;
    bool compatibility, path_style;
} sl_aws_cfg;

#define SL_AWS_OPTS(struct_type)                                                                                                                                                                  \
    { .name = "accessKeyId", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, aws.key_id), .doc = "Access key; else the default chain of credentials." },                                     \
        { .name = "secretKeyId", .type = SL_OPT_SECRET, .offset = SL_FIELD(struct_type, aws.secret), .doc = "Secret of the access key." },                                                       \
        { .name = "sessionToken", .type = SL_OPT_SECRET, .offset = SL_FIELD(struct_type, aws.token), .doc = "Session token of temporary keys." },                                                \
        { .name = "region", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, aws.region), .doc = "Region; else AWS_REGION or the profile's." },                                               \
        { .name = "endpointOverride", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, aws.endpoint), .doc = "Address of another service that speaks the same protocol." },                   \
        { .name = "stsRoleArn", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, aws.role_arn), .doc = "Role to assume." },                                                                   \
        { .name = "stsRoleExternalId", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, aws.role_external_id), .doc = "External id that the role asks for." },                                \
        { .name = "stsRoleSessionName", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, aws.role_session_name), .doc = "Name of the role's session." },                                      \
        { .name = "stsRoleSessionDuration", .type = SL_OPT_DURATION, .offset = SL_FIELD(struct_type, aws.role_duration_ms), .fallback = "PT15M", .doc = "How long keys of the role are valid." }, \
        { .name = "stsEndpointOverride", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, aws.sts_endpoint), .doc = "Address of another STS." },                                              \
        { .name = "compatibilityMode", .type = SL_OPT_BOOL, .offset = SL_FIELD(struct_type, aws.compatibility), .doc = "Uploads of files: one PUT for each of up to 5 GB, for stores without multipart uploads; after an interruption it begins again." }, \
        { .name = "forcePathStyle", .type = SL_OPT_BOOL, .offset = SL_FIELD(struct_type, aws.path_style), .doc = "The bucket is part of the path, not of the host." }

typedef struct sl_aws_client {
    sl_task *task;
    sl_arena *arena;
    const char *service;          /* as it signs: "s3", "dynamodb" */
    sl_str base;                  /* an endpoint that was given, without trailing slash; .n == 0: AWS itself */
    sl_str region;
    sl_aws_cred *cred;
    sl_str pool;
    const char *ca_file;          /* NULL: the usual ones */
} sl_aws_client;

/* variable: as in AWS_ENDPOINT_URL_<…>: "S3", "DYNAMODB". */
bool sl_aws_open(sl_aws_client *c, sl_task *t, const char *service, const char *variable, const sl_aws_cfg *cfg, sl_err *err);
/* https://SERVICE.REGION.amazonaws.com, or the endpoint that was given. */
sl_str sl_aws_base(const sl_aws_client *c, sl_arena *arena);
/* amazonaws.com, or amazonaws.com.cn for China's regions. */
const char *sl_aws_domain(sl_str region);
