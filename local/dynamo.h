/* local/dynamo.h: the DynamoDB face: requests in JSON 1.0, conditions over items. Items are in the cloud's database, as JSON. */
#pragma once

#include "local/aws.h"

/* {"DynamoDB_20120810.<operation>"}: answers the request. */
void sl_dynamo_face(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_str operation);

/* ---- dynamo_expr.c ---- */

typedef struct sl_dynamo_names {
    const sl_val *names, *values; /* ExpressionAttributeNames and Values; NULL = none */
} sl_dynamo_names;
/* Does the item (may be NULL: there is none) meet the condition? false with *why: the expression is not one. */
bool sl_dynamo_holds(sl_arena *arena, sl_str expression, const sl_dynamo_names *n, const sl_val *item, bool *ret, sl_refusal *why);
/* The attributes that a projection names. */
bool sl_dynamo_project(sl_arena *arena, sl_str expression, const sl_dynamo_names *n, const sl_val *item, const sl_val **ret, sl_refusal *why);
/* Order of two AttributeValues of the same type; 2 when they cannot be compared. */
int sl_dynamo_compare(const sl_val *a, const sl_val *b);
