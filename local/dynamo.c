/* local/dynamo.c: the DynamoDB face's operations on single items and batches. See dynamo.h. API: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/ */
#include "local/dynamo.h"

#include "base/arena.h"
#include "base/json.h"

enum { BATCH_MAX = 25, BATCH_GET_MAX = 100, PAGE_BYTES = 16 << 20 };

bool sl_ddb_invalid(sl_ddb_call *x, const char *message)
{
    return sl_refuse(&x->why, x->a, 400, SL_DDB_INVALID, "%s", message);
}

bool sl_ddb_broken(sl_ddb_call *x, const sl_err *err)
{
    return sl_refuse(&x->why, x->a, 500, SL_DDB_ERROR "InternalServerError", "%s", err->message);
}

sl_ddb_names sl_ddb_names_of(const sl_ddb_call *x)
{
    return (sl_ddb_names){ sl_get(x->body, "ExpressionAttributeNames"), sl_get(x->body, "ExpressionAttributeValues") };
}

/* PutItem and DeleteItem. */
static bool write_item(sl_ddb_call *x, const sl_val *item, const sl_val *key_source)
{
    sl_ddb_key k;
    const sl_val *old;
    bool holds;
    sl_ddb_names n = sl_ddb_names_of(x);
    if (!sl_ddb_read_key(x, key_source, item == NULL, &k) || !sl_ddb_indexable(x, item) || !sl_ddb_load(x, &k, &old) || !sl_ddb_holds(x->a, sl_get_text(x->body, "ConditionExpression"), &n, old, &holds, &x->why))
        return false;
    if (!holds)
        return sl_refuse(&x->why, x->a, 400, SL_DDB_ERROR "ConditionalCheckFailedException", "The conditional request failed");
    if (old != NULL && sl_str_eqc(sl_get_text(x->body, "ReturnValues"), "ALL_OLD"))
        sl_map_setc(x->a, x->answer, "Attributes", old);
    return sl_ddb_store(x, &k, item);
}

static bool put_item(sl_ddb_call *x)
{
    const sl_val *item = sl_get(x->body, "Item");
    return sl_ddb_need_table(x) && (item != NULL || sl_ddb_invalid(x, "Item is missing")) && write_item(x, item, item);
}

static bool delete_item(sl_ddb_call *x)
{
    return sl_ddb_need_table(x) && write_item(x, NULL, sl_get(x->body, "Key"));
}

static bool get_item(sl_ddb_call *x)
{
    sl_ddb_key k;
    const sl_val *item, *shown;
    sl_ddb_names n = sl_ddb_names_of(x);
    if (!sl_ddb_need_table(x) || !sl_ddb_read_key(x, sl_get(x->body, "Key"), true, &k) || !sl_ddb_load(x, &k, &item))
        return false;
    if (item == NULL)
        return true;
    if (!sl_ddb_project(x->a, sl_get_text(x->body, "ProjectionExpression"), &n, item, &shown, &x->why))
        return false;
    sl_map_setc(x->a, x->answer, "Item", shown);
    return true;
}

/* ---- batches ---- */

static bool first_time(sl_ddb_call *x, const sl_ddb_key *k, sl_val *seen)
{
    sl_val *id = sl_list(x->a);
    sl_list_add(x->a, id, sl_val_str(x->a, k->partition));
    sl_list_add(x->a, id, sl_val_str(x->a, k->sort));
    sl_str text = sl_json(x->a, id);
    if (sl_get_str(seen, text) != NULL)
        return sl_ddb_invalid(x, "Provided list of item keys contains duplicates");
    sl_map_set(x->a, seen, text, &sl_true_val);
    return true;
}

/* seen: the keys so far. NULL: all requests have been looked at, and this one is done. */
static bool batch_one(sl_ddb_call *x, const sl_val *request, sl_val *seen)
{
    const sl_val *item = sl_get(sl_get(request, "PutRequest"), "Item"), *removed = sl_get(sl_get(request, "DeleteRequest"), "Key");
    sl_ddb_key k;
    if ((item == NULL) == (removed == NULL))
        return sl_ddb_invalid(x, "Supplied AttributeValue has more than one or no request");
    if (!sl_ddb_read_key(x, item ? item : removed, item == NULL, &k) || !sl_ddb_indexable(x, item))
        return false;
    return seen != NULL ? first_time(x, &k, seen) : sl_ddb_store(x, &k, item);
}

static bool batch_write(sl_ddb_call *x)
{
    const sl_val *tables = sl_get(x->body, "RequestItems");
    size_t total = 0;
    for (size_t i = 0; i < sl_val_count(tables); i++)
        total += sl_val_count(tables->map.entries[i].value);
    if (total == 0 || total > BATCH_MAX)
        return sl_ddb_invalid(x, "1 to 25 requests are allowed in a BatchWriteItem");
    for (size_t i = 0; i < 2 * sl_val_count(tables); i++) {
        bool look = i < sl_val_count(tables);
        const sl_entry *e = &tables->map.entries[i % sl_val_count(tables)];
        sl_val *seen = look ? sl_map(x->a) : NULL;
        if (!sl_ddb_find_table(x, e->key))
            return false;
        for (size_t k = 0; k < sl_val_count(e->value); k++)
            if (!batch_one(x, sl_at(e->value, k), seen))
                return false;
    }
    sl_map_setc(x->a, x->answer, "UnprocessedItems", sl_map(x->a));
    return true;
}

/* Of one table: what is found, and what the answer has no room for. */
static bool batch_get_table(sl_ddb_call *x, const sl_entry *table, size_t *bytes, sl_val *found, sl_val *left)
{
    sl_arena *a = x->a;
    const sl_val *keys = sl_get(table->value, "Keys"), *item, *shown;
    sl_ddb_names n = { sl_get(table->value, "ExpressionAttributeNames"), NULL };
    sl_val *seen = sl_map(a), *items = sl_list(a), *rest = sl_list(a);
    if (!sl_ddb_find_table(x, table->key))
        return false;
    for (size_t i = 0; i < sl_val_count(keys); i++) {
        sl_ddb_key k;
        if (!sl_ddb_read_key(x, sl_at(keys, i), true, &k) || !first_time(x, &k, seen))
            return false;
        if (*bytes > PAGE_BYTES) {
            sl_list_add(a, rest, sl_at(keys, i));
            continue;
        }
        if (!sl_ddb_load(x, &k, &item) || (item != NULL && !sl_ddb_project(a, sl_get_text(table->value, "ProjectionExpression"), &n, item, &shown, &x->why)))
            return false;
        if (item == NULL)
            continue;
        *bytes += sl_json(a, item).n;
        sl_list_add(a, items, shown);
    }
    sl_map_set(a, found, table->key, items);
    if (rest->list.n > 0) {
        sl_val *again = sl_map_shallow(a, table->value);
        sl_map_setc(a, again, "Keys", rest);
        sl_map_set(a, left, table->key, again);
    }
    return true;
}

static bool batch_get(sl_ddb_call *x)
{
    const sl_val *tables = sl_get(x->body, "RequestItems");
    sl_val *found = sl_map(x->a), *left = sl_map(x->a);
    size_t total = 0, bytes = 0;
    for (size_t i = 0; i < sl_val_count(tables); i++)
        total += sl_val_count(sl_get(tables->map.entries[i].value, "Keys"));
    if (total == 0 || total > BATCH_GET_MAX)
        return sl_ddb_invalid(x, "1 to 100 keys are allowed in a BatchGetItem");
    for (size_t i = 0; i < sl_val_count(tables); i++)
        if (!batch_get_table(x, &tables->map.entries[i], &bytes, found, left))
            return false;
    sl_map_setc(x->a, x->answer, "Responses", found);
    sl_map_setc(x->a, x->answer, "UnprocessedKeys", left);
    return true;
}

void sl_ddb_face(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_str operation)
{
    static const struct {
        const char *name;
        bool (*run)(sl_ddb_call *);
    } known[] = { { "CreateTable", sl_ddb_create_table }, { "DescribeTable", sl_ddb_describe_table }, { "DeleteTable", sl_ddb_delete_table }, { "ListTables", sl_ddb_list_tables },
                  { "PutItem", put_item },                  { "GetItem", get_item },                        { "DeleteItem", delete_item },                { "UpdateItem", sl_ddb_update_item },
                  { "BatchWriteItem", batch_write },        { "BatchGetItem", batch_get },                  { "Query", sl_ddb_query },                 { "Scan", sl_ddb_scan } };
    sl_err err;
    sl_caller caller;
    sl_ddb_call x = { .c = c, .a = req->arena, .answer = sl_map(req->arena) };
    bool ok = sl_aws_verify(c, req, &caller, &x.why) && ((x.body = sl_json_parse(x.a, req->body, &err)) != NULL || sl_refuse(&x.why, x.a, 400, "com.amazon.coral.service#SerializationException", "%s", err.message)), done = false;
    for (size_t i = 0; ok && !done && i < SL_COUNT(known); i++)
        if (sl_str_eqc(operation, known[i].name)) {
            ok = known[i].run(&x);
            done = true;
        }
    if (ok && !done)
        ok = sl_refuse(&x.why, x.a, 400, "com.amazon.coral.service#UnknownOperationException", "The local cloud's DynamoDB does not know %.*s.", SL_ARG(operation));
    if (!ok) {
        sl_aws_json_code(&x.why);
        sl_aws_json_refuse(req, resp, &x.why);
        return;
    }
    sl_respond_json(req, resp, 200, x.answer);
    resp->content_type = "application/x-amz-json-1.0";
}
