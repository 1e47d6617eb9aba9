/* connectors/dynamodb/read.c: Query and Scan: all pages, until they end or `limit` items are there. */
#include "base/arena.h"
#include "connectors/dynamodb/dynamodb.h"

typedef struct read_cfg {
    sl_aws_cfg aws;
    sl_str table, key_condition, filter, projection, index, fetch_type;
    const sl_val *values, *names;
    int64_t limit;
    bool consistent, forward;
} read_cfg;

#define READ_OPTS                                                                                                                                                                                             \
    { .name = "filterExpression", .type = SL_OPT_STR, .offset = SL_FIELD(read_cfg, filter), .doc = "Which of the items found are given back." },                                                             \
        { .name = "expressionAttributeNames", .type = SL_OPT_ANY, .offset = SL_FIELD(read_cfg, names), .doc = "Names in the expressions (#n): map to attributes." },                                         \
        { .name = "projectionExpression", .type = SL_OPT_STR, .offset = SL_FIELD(read_cfg, projection), .doc = "Attributes that are given back." },                                                          \
        { .name = "indexName", .type = SL_OPT_STR, .offset = SL_FIELD(read_cfg, index), .doc = "A secondary index to read from." },                                                                          \
        { .name = "consistentRead", .type = SL_OPT_BOOL, .offset = SL_FIELD(read_cfg, consistent), .doc = "What was written before is seen." },                                                              \
        { .name = "limit", .type = SL_OPT_INT, .offset = SL_FIELD(read_cfg, limit), .doc = "At most so many items." },                                                                                       \
        { .name = "fetchType", .type = SL_OPT_ENUM, .offset = SL_FIELD(read_cfg, fetch_type), .values = SL_FETCH_TYPES, .fallback = "STORE", .doc = "What becomes of the items." }

static const sl_opt query_opts[] = {
    SL_DYNAMO_OPTS(read_cfg),
    { .name = "keyConditionExpression", .type = SL_OPT_STR, .offset = SL_FIELD(read_cfg, key_condition), .flags = SL_REQUIRED, .doc = "Condition on the key, with names such as :id for values." },
    { .name = "expressionAttributeValues", .type = SL_OPT_ANY, .offset = SL_FIELD(read_cfg, values), .flags = SL_REQUIRED, .doc = "Values in the expressions: map of :name to value." },
    { .name = "scanIndexForward", .type = SL_OPT_BOOL, .offset = SL_FIELD(read_cfg, forward), .fallback = "true", .doc = "In the order of the sort key; false: the other way." },
    READ_OPTS,
    { 0 },
};
static const sl_opt scan_opts[] = {
    SL_DYNAMO_OPTS(read_cfg),
    { .name = "expressionAttributeValues", .type = SL_OPT_ANY, .offset = SL_FIELD(read_cfg, values), .doc = "Values in the expressions: map of :name to value." },
    READ_OPTS,
    { 0 },
};
static const sl_opt outs[] = {
    { .name = "size", .type = SL_OPT_INT, .doc = "Items." },
    { .name = "row", .type = SL_OPT_MAP, .doc = "FETCH_ONE: the first item." },
    { .name = "rows", .type = SL_OPT_LIST, .doc = "FETCH: the items." },
    { .name = "uri", .type = SL_OPT_STR, .doc = "STORE: the file, Ion text." },
    { 0 },
};

/* Values that are compared with attributes of the key get its types. */
static bool typed_values(sl_dynamo *d, const read_cfg *c, const sl_val **ret, sl_err *err)
{
    sl_arena *a = d->api.aws.arena;
    const sl_val *map;
    sl_val *out = sl_map(a);
    if (!sl_dynamo_map(a, c->values, "expressionAttributeValues", &map, err) || !sl_dynamo_describe(d, err))
        return false;
    for (size_t i = 0; i < sl_val_count(map); i++) {
        sl_str name = map->map.entries[i].key, text = sl_val_text(a, map->map.entries[i].value), type = SL_S("");
        double number;
        /* The condition says which attribute: "id = :id", "ts BETWEEN :a AND :b". */
        for (size_t k = 0; k < sl_val_count(d->definitions); k++) {
            sl_str attribute = sl_get_text(sl_at(d->definitions, k), "AttributeName");
            ptrdiff_t at = sl_str_find(c->key_condition, attribute), use = sl_str_find(c->key_condition, name);
            if (at >= 0 && use > at)
                type = sl_get_text(sl_at(d->definitions, k), "AttributeType");
        }
        bool is_number = sl_str_eqc(type, "N") && sl_parse_double(text, &number);
        sl_map_set(a, out, name, is_number ? sl_map_of(a, "N", sl_val_str(a, text)) : sl_dynamo_value(a, map->map.entries[i].value, false));
    }
    *ret = out;
    return true;
}

static bool request(sl_dynamo *d, const read_cfg *c, sl_val **ret, sl_err *err)
{
    sl_arena *a = d->api.aws.arena;
    const sl_val *values = NULL, *names = NULL;
    sl_val *body = sl_dynamo_body(d);
    if (c->filter.n > 0 && c->values == NULL && memchr(c->filter.p, ':', c->filter.n) != NULL)
        return sl_err_set(err, SL_ERR_CONFIG, "dynamodb.values", "'filterExpression' has values, but 'expressionAttributeValues' does not say them");
    if ((c->values != NULL && !typed_values(d, c, &values, err)) || (c->names != NULL && !sl_dynamo_map(a, c->names, "expressionAttributeNames", &names, err)))
        return false;
    sl_map_opt_str(a, body, "KeyConditionExpression", c->key_condition);
    sl_map_opt_str(a, body, "FilterExpression", c->filter);
    sl_map_opt_str(a, body, "ProjectionExpression", c->projection);
    sl_map_opt_str(a, body, "IndexName", c->index);
    sl_map_opt(a, body, "ExpressionAttributeNames", names);
    if (sl_val_count(values) > 0)
        sl_map_setc(a, body, "ExpressionAttributeValues", values);
    if (c->consistent)
        sl_map_set_bool(a, body, "ConsistentRead", true);
    if (c->key_condition.n > 0)
        sl_map_set_bool(a, body, "ScanIndexForward", c->forward);
    *ret = body;
    return true;
}

static bool take(sl_dynamo *d, const read_cfg *c, sl_result *result, const sl_val *items, sl_err *err)
{
    sl_arena *a = d->api.aws.arena;
    for (size_t i = 0; i < sl_val_count(items) && (c->limit <= 0 || result->count < c->limit); i++)
        if (!sl_result_add(result, sl_dynamo_row(a, sl_at(items, i)), err))
            return false;
    return true;
}

static bool read_all(sl_dynamo *d, const read_cfg *c, sl_result *result, sl_err *err)
{
    sl_arena *a = d->api.aws.arena;
    const char *operation = c->key_condition.n > 0 ? "Query" : "Scan";
    sl_val *body;
    const sl_val *answer;
    if (!request(d, c, &body, err))
        return false;
    SL_ARENA pages = sl_arena_new();
    for (const sl_val *last = NULL;;) {
        sl_arena_mark mark = sl_arena_get_mark(a);
        bool keeps = sl_result_keeps(result);
        sl_map_opt(a, body, "ExclusiveStartKey", last);
        if (c->limit > 0 && c->filter.n == 0)
            sl_map_set_int(a, body, "Limit", c->limit - result->count); /* evaluated items: without a filter those that come */
        if (sl_task_cancelled(d->api.aws.task))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while reading from DynamoDB");
        if (!sl_dynamo_call(d, operation, body, "reading from", &answer, err) || !take(d, c, result, sl_get(answer, "Items"), err))
            return false;
        /* An empty page may have a successor. */
        last = sl_get(answer, "LastEvaluatedKey");
        if (sl_val_count(last) == 0 || (c->limit > 0 && result->count >= c->limit) || (result->one && result->count > 0))
            return true;
        last = sl_val_copy(pages, last);
        if (!keeps) {
            sl_arena_rewind(a, mark);
            if (!request(d, c, &body, err))
                return false;
        }
    }
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    const read_cfg *c = cfg;
    sl_dynamo d;
    sl_result result = { 0 };
    bool ok = sl_dynamo_open(&d, t, &c->aws, c->table, err) && sl_dynamo_describe(&d, err) && sl_result_open(&result, t, c->fetch_type, 0, err) && read_all(&d, c, &result, err) && sl_result_out(&result, err);
    sl_result_close(&result);
    return ok ? SL_TASK_DONE : SL_TASK_FAILED;
}

#define DYNAMO "io.kestra.plugin.aws.dynamodb."
const sl_task_type sl_dynamo_query = { .type = DYNAMO "Query", .doc = "Reads the items of a DynamoDB table that have a key.", .cfg_size = sizeof(read_cfg), .opts = query_opts, .outs = outs, .run = run };
const sl_task_type sl_dynamo_scan = { .type = DYNAMO "Scan", .doc = "Reads all items of a DynamoDB table.", .cfg_size = sizeof(read_cfg), .opts = scan_opts, .outs = outs, .run = run };
