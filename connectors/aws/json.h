/* connectors/aws/json.h: AWS services that speak JSON (DynamoDB, Redshift Data, Redshift Serverless): one call, with retries. */
#pragma once

#include "connectors/aws/aws.h"

typedef struct sl_aws_api {
    sl_aws_client aws;
    const char *target;           /* "DynamoDB_20120810" */
    const char *version;          /* of the protocol: "1.0", "1.1" */
    const char *name;             /* for messages: "DynamoDB" */
    bool crc32;                   /* answers carry x-amz-crc32 */
} sl_aws_api;

/*
 * Re-signed on every retry; a wrong clock or expired keys are put right. Throttling and failures of the service are tried again,
 * up to ten times: every call must bear that. false: err->code is "<name>.<exception>", doing comes first in its message.
 */
bool sl_aws_json(sl_aws_api *api, sl_arena *arena, const char *operation, const sl_val *body, const char *doing, const sl_val **ret, sl_err *err);
/* Is it this exception? */
bool sl_aws_is(const sl_aws_api *api, const sl_err *err, const char *exception);
