/* local/dynamo.c: tables and items of the DynamoDB face. See dynamo.h. API: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/ */
#include "local/dynamo.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"

enum { PAGE_BYTES = 1 << 20, ITEM_MAX = 400 << 10, BATCH_MAX = 25 };

#define ERROR "com.amazonaws.dynamodb.v20120810#"
#define INVALID "com.amazon.coral.validate#ValidationException"

typedef struct call {
    sl_cloud *c;
    sl_arena *a;
    const sl_val *body, *table;   /* table: its definition */
    sl_str name;
    sl_val *answer;
    sl_refusal why;
} call;

static bool invalid(call *x, const char *message)
{
    return sl_refuse(&x->why, x->a, 400, INVALID, "%s", message);
}

static bool broken(call *x, const sl_err *err)
{
    return sl_refuse(&x->why, x->a, 500, ERROR "InternalServerError", "%s", err->message);
}

/* ---- tables ---- */

static bool find_table(call *x, sl_str name)
{
    sl_err err;
    x->name = name;
    x->table = NULL;
    sl_db_lock(x->c->db);
    sl_stmt *s = sl_db_query(x->c->db, &err, "SELECT definition FROM ddb_tables WHERE name=?", "s", name);
    if (s != NULL && sl_stmt_next(s, &err) == 1) {
        x->table = sl_json_parse(x->a, sl_col_str(s, x->a, 0), &err);
        sl_stmt_done(s);
    }
    sl_db_unlock(x->c->db);
    return x->table != NULL || sl_refuse(&x->why, x->a, 400, ERROR "ResourceNotFoundException", "Requested resource not found: Table: %.*s not found", SL_ARG(name));
}

static bool need_table(call *x)
{
    return find_table(x, sl_get_text(x->body, "TableName"));
}

static const sl_val *description(call *x)
{
    sl_err err;
    int64_t count = 0;
    sl_val *d = sl_map_shallow(x->a, x->table);
    sl_db_lock(x->c->db);
    sl_stmt *s = sl_db_query(x->c->db, &err, "SELECT count(*) FROM ddb_items WHERE tab=?", "s", x->name);
    if (s != NULL && sl_stmt_next(s, &err) == 1) {
        count = sl_col_int(s, 0);
        sl_stmt_done(s);
    }
    sl_db_unlock(x->c->db);
    sl_map_set_int(x->a, d, "ItemCount", count);
    return d;
}

static bool create_table(call *x)
{
    sl_err err;
    sl_arena *a = x->a;
    sl_str name = sl_get_text(x->body, "TableName");
    sl_val *d = sl_map_of(a, "TableName", sl_val_str(a, name));
    const sl_val *schema = sl_get(x->body, "KeySchema"), *attributes = sl_get(x->body, "AttributeDefinitions");
    if (name.n < 3 || name.n > 255 || sl_val_count(schema) < 1 || sl_val_count(schema) > 2 || attributes == NULL)
        return invalid(x, "A table needs TableName (3 to 255 characters), KeySchema (one or two) and AttributeDefinitions");
    if (sl_get(x->body, "GlobalSecondaryIndexes") != NULL || sl_get(x->body, "LocalSecondaryIndexes") != NULL)
        return invalid(x, "The local cloud has no secondary indexes");
    if (find_table(x, name))
        return sl_refuse(&x->why, a, 400, ERROR "ResourceInUseException", "Table already exists: %.*s", SL_ARG(name));
    x->why = (sl_refusal){ 0 };
    sl_map_setc(a, d, "KeySchema", schema);
    sl_map_setc(a, d, "AttributeDefinitions", attributes);
    sl_map_set_str(a, d, "TableStatus", SL_S("ACTIVE"));
    sl_map_set_str(a, d, "TableArn", sl_fmt(a, "arn:aws:dynamodb:us-east-1:000000000000:table/%.*s", SL_ARG(name)));
    sl_map_set_int(a, d, "CreationDateTime", sl_now_ms() / 1000);
    sl_db_lock(x->c->db);
    bool ok = sl_db_run(x->c->db, &err, "INSERT INTO ddb_tables(name, definition) VALUES(?,?)", "ss", name, sl_json(a, d));
    sl_db_unlock(x->c->db);
    x->table = d;
    x->name = name;
    sl_map_setc(a, x->answer, "TableDescription", description(x));
    return ok || broken(x, &err);
}

static bool describe_table(call *x)
{
    if (!need_table(x))
        return false;
    sl_map_setc(x->a, x->answer, "Table", description(x));
    return true;
}

static bool delete_table(call *x)
{
    sl_err err;
    if (!need_table(x))
        return false;
    sl_map_setc(x->a, x->answer, "TableDescription", description(x));
    sl_db_lock(x->c->db);
    bool ok = sl_db_run(x->c->db, &err, "DELETE FROM ddb_items WHERE tab=?", "s", x->name) && sl_db_run(x->c->db, &err, "DELETE FROM ddb_tables WHERE name=?", "s", x->name);
    sl_db_unlock(x->c->db);
    return ok || broken(x, &err);
}

static bool list_tables(call *x)
{
    sl_err err;
    sl_val *names = sl_list(x->a);
    sl_db_lock(x->c->db);
    sl_stmt *s = sl_db_query(x->c->db, &err, "SELECT name FROM ddb_tables ORDER BY name", "");
    while (s != NULL && sl_stmt_next(s, &err) == 1)
        sl_list_add(x->a, names, sl_val_str(x->a, sl_col_str(s, x->a, 0)));
    sl_db_unlock(x->c->db);
    sl_map_setc(x->a, x->answer, "TableNames", names);
    return true;
}

/* ---- keys ---- */

static sl_str key_type(const call *x, sl_str name)
{
    const sl_val *list = sl_get(x->table, "AttributeDefinitions");
    for (size_t i = 0; i < sl_val_count(list); i++)
        if (sl_str_eq(sl_get_text(sl_at(list, i), "AttributeName"), name))
            return sl_get_text(sl_at(list, i), "AttributeType");
    return SL_S("S");
}

typedef struct key {
    const sl_val *map;            /* {name: value} of the key alone */
    sl_str partition, sort;       /* as text; the sort key's number is `order` as well */
    double order;
} key;

/* Of an item, or of a Key (then nothing else may be there). */
static bool read_key(call *x, const sl_val *item, bool alone, key *ret)
{
    const sl_val *schema = sl_get(x->table, "KeySchema");
    sl_val *map = sl_map(x->a);
    *ret = (key){ .map = map, .sort = SL_S("") };
    for (size_t i = 0; i < sl_val_count(schema); i++) {
        sl_str name = sl_get_text(sl_at(schema, i), "AttributeName"), type = key_type(x, name);
        const sl_val *v = sl_get_str(item, name), *inner = sl_get_str(v, type);
        if (inner == NULL || inner->type != SL_STRING || sl_val_count(v) != 1)
            return sl_refuse(&x->why, x->a, 400, INVALID, v == NULL ? "One or more parameter values were invalid: Missing the key %.*s in the item" : "One or more parameter values were invalid: Type mismatch for key %.*s", SL_ARG(name));
        if (inner->s.n == 0)
            return invalid(x, "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value.");
        sl_map_set(x->a, map, name, v);
        bool first = sl_str_eqc(sl_get_text(sl_at(schema, i), "KeyType"), "HASH");
        double number = 0;
        bool numeric = sl_str_eqc(type, "N");
        if (numeric && !sl_parse_double(inner->s, &number))
            return sl_refuse(&x->why, x->a, 400, INVALID, "The parameter cannot be converted to a numeric value: %.*s", SL_ARG(inner->s));
        *(first ? &ret->partition : &ret->sort) = numeric ? sl_double_text(x->a, number) : inner->s; /* 1 and 1.0 are one key */
        if (!first)
            ret->order = number;
    }
    return !alone || sl_val_count(item) == map->map.n || invalid(x, "The provided key element does not match the schema");
}

static bool load(call *x, const key *k, const sl_val **ret)
{
    sl_err err;
    *ret = NULL;
    sl_db_lock(x->c->db);
    sl_stmt *s = sl_db_query(x->c->db, &err, "SELECT item FROM ddb_items WHERE tab=? AND pk=? AND sk=?", "sss", x->name, k->partition, k->sort);
    if (s != NULL && sl_stmt_next(s, &err) == 1) {
        *ret = sl_json_parse(x->a, sl_col_str(s, x->a, 0), &err);
        sl_stmt_done(s);
    }
    sl_db_unlock(x->c->db);
    return s != NULL || broken(x, &err);
}

static bool store(call *x, const key *k, const sl_val *item)
{
    sl_err err;
    sl_str text = item ? sl_json(x->a, item) : SL_S("");
    if (text.n > ITEM_MAX)
        return invalid(x, "Item size has exceeded the maximum allowed size");
    sl_db_lock(x->c->db);
    bool ok = item ? sl_db_run(x->c->db, &err, "INSERT OR REPLACE INTO ddb_items(tab, pk, sk, ord, item) VALUES(?,?,?,?,?)", "sssds", x->name, k->partition, k->sort, k->order, text)
                   : sl_db_run(x->c->db, &err, "DELETE FROM ddb_items WHERE tab=? AND pk=? AND sk=?", "sss", x->name, k->partition, k->sort);
    sl_db_unlock(x->c->db);
    return ok || broken(x, &err);
}

/* ---- single items ---- */

static sl_dynamo_names names_of(const call *x)
{
    return (sl_dynamo_names){ sl_get(x->body, "ExpressionAttributeNames"), sl_get(x->body, "ExpressionAttributeValues") };
}

/* PutItem and DeleteItem. */
static bool write_item(call *x, const sl_val *item, const sl_val *key_source)
{
    key k;
    const sl_val *old;
    bool holds;
    sl_dynamo_names n = names_of(x);
    if (!read_key(x, key_source, item == NULL, &k) || !load(x, &k, &old) || !sl_dynamo_holds(x->a, sl_get_text(x->body, "ConditionExpression"), &n, old, &holds, &x->why))
        return false;
    if (!holds)
        return sl_refuse(&x->why, x->a, 400, ERROR "ConditionalCheckFailedException", "The conditional request failed");
    if (old != NULL && sl_str_eqc(sl_get_text(x->body, "ReturnValues"), "ALL_OLD"))
        sl_map_setc(x->a, x->answer, "Attributes", old);
    return store(x, &k, item);
}

static bool put_item(call *x)
{
    const sl_val *item = sl_get(x->body, "Item");
    return need_table(x) && (item != NULL || invalid(x, "Item is missing")) && write_item(x, item, item);
}

static bool delete_item(call *x)
{
    return need_table(x) && write_item(x, NULL, sl_get(x->body, "Key"));
}

static bool get_item(call *x)
{
    key k;
    const sl_val *item, *shown;
    sl_dynamo_names n = names_of(x);
    if (!need_table(x) || !read_key(x, sl_get(x->body, "Key"), true, &k) || !load(x, &k, &item))
        return false;
    if (item == NULL)
        return true;
    if (!sl_dynamo_project(x->a, sl_get_text(x->body, "ProjectionExpression"), &n, item, &shown, &x->why))
        return false;
    sl_map_setc(x->a, x->answer, "Item", shown);
    return true;
}

static bool batch_one(call *x, const sl_val *request, sl_val *seen)
{
    const sl_val *item = sl_get(sl_get(request, "PutRequest"), "Item"), *removed = sl_get(sl_get(request, "DeleteRequest"), "Key");
    key k;
    if ((item == NULL) == (removed == NULL))
        return invalid(x, "Supplied AttributeValue has more than one or no request");
    if (!read_key(x, item ? item : removed, item == NULL, &k))
        return false;
    sl_str id = sl_json(x->a, k.map);
    if (sl_get_str(seen, id) != NULL)
        return invalid(x, "Provided list of item keys contains duplicates");
    sl_map_set(x->a, seen, id, &sl_true_val);
    return store(x, &k, item);
}

static bool batch_write(call *x)
{
    const sl_val *tables = sl_get(x->body, "RequestItems");
    size_t total = 0;
    for (size_t i = 0; i < sl_val_count(tables); i++)
        total += sl_val_count(tables->map.entries[i].value);
    if (total == 0 || total > BATCH_MAX)
        return invalid(x, "1 to 25 requests are allowed in a BatchWriteItem");
    for (size_t i = 0; i < sl_val_count(tables); i++) {
        const sl_val *list = tables->map.entries[i].value;
        sl_val *seen = sl_map(x->a);
        if (!find_table(x, tables->map.entries[i].key))
            return false;
        for (size_t k = 0; k < sl_val_count(list); k++)
            if (!batch_one(x, sl_at(list, k), seen))
                return false;
    }
    sl_map_setc(x->a, x->answer, "UnprocessedItems", sl_map(x->a));
    return true;
}

/* ---- Query and Scan ---- */

typedef struct look {
    call *x;
    sl_dynamo_names n;
    sl_str condition, filter, projection;
    int64_t limit, scanned;
    size_t bytes;
    sl_val *items;
    bool count_only;
    const sl_val *last;           /* key of the last item that was looked at, when there may be more */
} look;

/* false: an error. *full: the page ends behind this item. */
static bool consider(look *l, const sl_val *item, bool *full)
{
    bool hit, kept;
    const sl_val *shown;
    key k;
    if (!sl_dynamo_holds(l->x->a, l->condition, &l->n, item, &hit, &l->x->why))
        return false;
    if (!hit)
        return true;
    l->scanned++;
    l->bytes += sl_json(l->x->a, item).n;
    if (!read_key(l->x, item, false, &k) || !sl_dynamo_holds(l->x->a, l->filter, &l->n, item, &kept, &l->x->why) || !sl_dynamo_project(l->x->a, l->projection, &l->n, item, &shown, &l->x->why))
        return false;
    if (kept)
        sl_list_add(l->x->a, l->items, shown);
    l->last = k.map;
    *full = (l->limit > 0 && l->scanned == l->limit) || l->bytes > PAGE_BYTES;
    return true;
}

/* All items of the table in the order of their keys; what stands before the start key is passed over. */
static bool walk(look *l, bool backwards)
{
    sl_err err;
    call *x = l->x;
    const sl_val *start = sl_get(x->body, "ExclusiveStartKey");
    bool passing = start != NULL, ok = true, full = false;
    sl_db_lock(x->c->db);
    sl_stmt *s = backwards ? sl_db_query(x->c->db, &err, "SELECT item FROM ddb_items WHERE tab=? ORDER BY pk DESC, ord DESC, sk DESC", "s", x->name)
                           : sl_db_query(x->c->db, &err, "SELECT item FROM ddb_items WHERE tab=? ORDER BY pk, ord, sk", "s", x->name);
    bool opened = s != NULL;
    while (s != NULL && ok && !full && sl_stmt_next(s, &err) == 1) {
        key k;
        const sl_val *item = sl_json_parse(x->a, sl_col_str(s, x->a, 0), &err);
        if (passing) {
            passing = !(read_key(x, item, false, &k) && sl_val_eq(k.map, start));
            continue;
        }
        ok = consider(l, item, &full);
    }
    if (s != NULL)
        sl_stmt_done(s);
    sl_db_unlock(x->c->db);
    if (!full)
        l->last = NULL;
    return opened ? ok : broken(x, &err);
}

static bool read_many(call *x, bool query)
{
    look l = { .x = x, .n = names_of(x), .filter = sl_get_text(x->body, "FilterExpression"), .projection = sl_get_text(x->body, "ProjectionExpression"), .limit = sl_get_int(x->body, "Limit", 0), .items = sl_list(x->a),
               .count_only = sl_str_eqc(sl_get_text(x->body, "Select"), "COUNT") };
    if (!need_table(x))
        return false;
    if (sl_get(x->body, "IndexName") != NULL)
        return invalid(x, "The local cloud has no secondary indexes");
    if (query && (l.condition = sl_get_text(x->body, "KeyConditionExpression")).n == 0)
        return invalid(x, "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.");
    bool wrong_limit = sl_get(x->body, "Limit") != NULL && l.limit < 1, ignored;
    if (wrong_limit)
        return invalid(x, "Limit must be greater than or equal to 1");
    /* Wrong expressions are refused for an empty table, too. */
    if (!sl_dynamo_holds(x->a, l.condition, &l.n, NULL, &ignored, &x->why) || !sl_dynamo_holds(x->a, l.filter, &l.n, NULL, &ignored, &x->why) || !walk(&l, query && !sl_get_bool(x->body, "ScanIndexForward", true)))
        return false;
    if (!l.count_only)
        sl_map_setc(x->a, x->answer, "Items", l.items);
    sl_map_set_int(x->a, x->answer, "Count", (int64_t)l.items->list.n);
    sl_map_set_int(x->a, x->answer, "ScannedCount", l.scanned);
    sl_map_opt(x->a, x->answer, "LastEvaluatedKey", l.last);
    return true;
}

static bool query(call *x)
{
    return read_many(x, true);
}

static bool scan(call *x)
{
    return read_many(x, false);
}

void sl_dynamo_face(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_str operation)
{
    static const struct {
        const char *name;
        bool (*run)(call *);
    } known[] = { { "CreateTable", create_table }, { "DescribeTable", describe_table }, { "DeleteTable", delete_table }, { "ListTables", list_tables }, { "PutItem", put_item }, { "GetItem", get_item },
                  { "DeleteItem", delete_item },   { "BatchWriteItem", batch_write },   { "Query", query },               { "Scan", scan } };
    sl_err err;
    sl_caller caller;
    call x = { .c = c, .a = req->arena, .answer = sl_map(req->arena) };
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
