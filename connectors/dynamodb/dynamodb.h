/*
 * connectors/dynamodb/dynamodb.h: what the DynamoDB tasks share: the table, native values and DynamoDB's.
 * API: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/
 */
#pragma once

#include "connectors/aws/json.h"
#include "connectors/result.h"

typedef struct sl_dynamo {
    sl_aws_api api;
    sl_str table;
    const sl_val *definitions;    /* of the key's attributes: [{AttributeName, AttributeType}]; NULL: not asked for yet */
    const sl_val *key_schema;     /* [{AttributeName, KeyType}] */
} sl_dynamo;

bool sl_dynamo_open(sl_dynamo *d, sl_task *t, const sl_aws_cfg *cfg, sl_str table, sl_err *err);
bool sl_dynamo_call(sl_dynamo *d, const char *operation, const sl_val *body, const char *doing, const sl_val **ret, sl_err *err);
/* Fills definitions and key_schema. */
bool sl_dynamo_describe(sl_dynamo *d, sl_err *err);
/* {"TableName": …} */
sl_val *sl_dynamo_body(const sl_dynamo *d);

/*
 * A native value as an AttributeValue, as Kestra writes them: text S, bool BOOL, null NULL, map M, a list a set of texts (SS), and
 * numbers S. native: numbers N, lists L.
 */
const sl_val *sl_dynamo_value(sl_arena *arena, const sl_val *v, bool native);
/* A map of them. Attributes of the key get the type that the table's definition demands. */
bool sl_dynamo_item(sl_dynamo *d, const sl_val *map, bool native, const sl_val **ret, sl_err *err);
/* Back, all ten types: N as a number when that is exact, B as its base64 text. */
const sl_val *sl_dynamo_native(sl_arena *arena, const sl_val *attribute);
const sl_val *sl_dynamo_row(sl_arena *arena, const sl_val *item);
/* A property that is a map, or text that is a JSON object. */
bool sl_dynamo_map(sl_arena *arena, const sl_val *v, const char *property, const sl_val **ret, sl_err *err);

#define SL_DYNAMO_OPTS(struct_type) \
    SL_AWS_OPTS(struct_type), \
        { .name = "tableName", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, table), .flags = SL_REQUIRED, .doc = "The table." }

extern const sl_task_type sl_dynamo_put, sl_dynamo_get, sl_dynamo_delete, sl_dynamo_batch_put, sl_dynamo_query, sl_dynamo_scan, sl_dynamo_create_table;
