/* connectors/dynamodb/dynamodb.c: calls, the table's key, the connector. See dynamodb.h. */
#include "connectors/dynamodb/dynamodb.h"

#include "base/arena.h"
#include "connectors/connectors.h"

bool sl_dynamo_open(sl_dynamo *d, sl_task *t, const sl_aws_cfg *cfg, sl_str table, sl_err *err)
{
    *d = (sl_dynamo){ .api = { .target = "DynamoDB_20120810", .version = "1.0", .name = "DynamoDB", .crc32 = true }, .table = table };
    return sl_aws_open(&d->api.aws, t, "dynamodb", "DYNAMODB", cfg, err);
}

bool sl_dynamo_call(sl_dynamo *d, const char *operation, const sl_val *body, const char *doing, const sl_val **ret, sl_err *err)
{
    return sl_aws_json(&d->api, d->api.aws.arena, operation, body, sl_fmt(d->api.aws.arena, "%s the table '%.*s'", doing, SL_ARG(d->table)).p, ret, err);
}

sl_val *sl_dynamo_body(const sl_dynamo *d)
{
    return sl_map_of(d->api.aws.arena, "TableName", sl_val_str(d->api.aws.arena, d->table));
}

bool sl_dynamo_describe(sl_dynamo *d, sl_err *err)
{
    const sl_val *answer;
    if (d->definitions != NULL)
        return true;
    if (!sl_dynamo_call(d, "DescribeTable", sl_dynamo_body(d), "looking at", &answer, err))
        return false;
    d->definitions = sl_get(sl_get(answer, "Table"), "AttributeDefinitions");
    d->key_schema = sl_get(sl_get(answer, "Table"), "KeySchema");
    return (d->definitions != NULL && d->key_schema != NULL) || sl_err_set(err, SL_ERR_REMOTE, "dynamodb.table", "DynamoDB does not say which key the table '%.*s' has", SL_ARG(d->table));
}

static const sl_task_type *const tasks[] = { &sl_dynamo_put, &sl_dynamo_get, &sl_dynamo_delete, &sl_dynamo_batch_put, &sl_dynamo_query, &sl_dynamo_scan, &sl_dynamo_create_table, NULL };
const sl_connector sl_connector_dynamodb = { .name = "dynamodb", .tasks = tasks };
