/* connectors/dynamodb/item.c: PutItem, GetItem, DeleteItem, io.sluice.aws.dynamodb.BatchPutItem. */
#include "base/arena.h"
#include "base/json.h"
#include "connectors/dynamodb/dynamodb.h"
#include "connectors/records.h"

enum { BATCH_MAX = 25, ROUNDS_MAX = 12 };

typedef struct item_cfg {
    sl_aws_cfg aws;
    sl_str table, from_uri;
    const sl_val *item, *key, *from;
    bool native;
} item_cfg;

#define NATIVE { .name = "nativeTypes", .type = SL_OPT_BOOL, .offset = SL_FIELD(item_cfg, native), .doc = "Numbers are written as N and lists as L; else, as in Kestra, as text and as sets of texts." }
#define KEY { .name = "key", .type = SL_OPT_ANY, .offset = SL_FIELD(item_cfg, key), .flags = SL_REQUIRED, .doc = "Its key: name to value." }

static const sl_opt put_opts[] = {
    SL_DYNAMO_OPTS(item_cfg),
    { .name = "item", .type = SL_OPT_ANY, .offset = SL_FIELD(item_cfg, item), .flags = SL_REQUIRED, .doc = "The item: a map, or a JSON object." },
    NATIVE,
    { 0 },
};
static const sl_opt key_opts[] = { SL_DYNAMO_OPTS(item_cfg), KEY, { 0 } };
static const sl_opt get_outs[] = { { .name = "row", .type = SL_OPT_MAP, .doc = "The item; absent when there is none." }, { 0 } };
static const sl_opt no_outs[] = { { 0 } };

static sl_outcome put_run(sl_task *t, void *cfg, sl_err *err)
{
    const item_cfg *c = cfg;
    sl_dynamo d;
    const sl_val *map, *item, *answer;
    if (!sl_dynamo_map(sl_task_arena(t), c->item, "item", &map, err) || !sl_dynamo_open(&d, t, &c->aws, c->table, err) || !sl_dynamo_item(&d, map, c->native, &item, err))
        return SL_TASK_FAILED;
    sl_val *body = sl_dynamo_body(&d);
    sl_map_setc(d.api.aws.arena, body, "Item", item);
    return sl_dynamo_call(&d, "PutItem", body, "putting an item into", &answer, err) ? SL_TASK_DONE : SL_TASK_FAILED;
}

static bool by_key(sl_dynamo *d, sl_task *t, const item_cfg *c, const char *operation, const char *doing, const sl_val **answer, sl_err *err)
{
    const sl_val *map, *key;
    if (!sl_dynamo_map(sl_task_arena(t), c->key, "key", &map, err) || !sl_dynamo_open(d, t, &c->aws, c->table, err) || !sl_dynamo_item(d, map, false, &key, err))
        return false;
    sl_val *body = sl_dynamo_body(d);
    sl_map_setc(d->api.aws.arena, body, "Key", key);
    return sl_dynamo_call(d, operation, body, doing, answer, err);
}

static sl_outcome get_run(sl_task *t, void *cfg, sl_err *err)
{
    sl_dynamo d;
    const sl_val *answer;
    if (!by_key(&d, t, cfg, "GetItem", "getting an item from", &answer, err))
        return SL_TASK_FAILED;
    if (sl_get(answer, "Item") != NULL)
        sl_task_out(t, "row", sl_dynamo_row(d.api.aws.arena, sl_get(answer, "Item")));
    return SL_TASK_DONE;
}

static sl_outcome delete_run(sl_task *t, void *cfg, sl_err *err)
{
    sl_dynamo d;
    const sl_val *answer;
    return by_key(&d, t, cfg, "DeleteItem", "deleting an item from", &answer, err) ? SL_TASK_DONE : SL_TASK_FAILED;
}

/* ---- batches ---- */

static const sl_opt batch_opts[] = {
    SL_DYNAMO_OPTS(item_cfg),
    { .name = "from", .type = SL_OPT_ANY, .offset = SL_FIELD(item_cfg, from), .flags = SL_REQUIRED, .doc = "A stored file of records (Ion, or JSON lines), or a list of items." },
    NATIVE,
    { 0 },
};
static const sl_opt batch_outs[] = { { .name = "size", .type = SL_OPT_INT, .doc = "Items that were read." }, { 0 } };

typedef struct batch {
    sl_dynamo *d;
    bool native;
    const sl_val *items[BATCH_MAX];
    size_t n;
    int64_t count;
} batch;

/* What the service had no capacity for comes back, and is sent again. */
static bool send(batch *b, sl_err *err)
{
    sl_arena *a = b->d->api.aws.arena;
    sl_val *requests = sl_list(a);
    for (size_t i = 0; i < b->n; i++)
        sl_list_add(a, requests, sl_map_of(a, "PutRequest", sl_map_of(a, "Item", b->items[i])));
    const sl_val *left = sl_map_of(a, b->d->table.p, requests), *answer;
    for (int round = 0; sl_val_count(left) > 0; round++) {
        if (round == ROUNDS_MAX)
            return sl_err_set(err, SL_ERR_THROTTLED, "dynamodb.unprocessed", "DynamoDB had no capacity for some items of the table '%.*s', although they were sent %d times; give it more capacity", SL_ARG(b->d->table), ROUNDS_MAX);
        sl_http_request stop = { 0 };
        sl_task_prepare(b->d->api.aws.task, &stop);
        if (round > 0 && !sl_http_sleep(&stop, sl_http_backoff_ms(round, 50, 20000)))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while waiting for DynamoDB");
        if (!sl_dynamo_call(b->d, "BatchWriteItem", sl_map_of(a, "RequestItems", left), "putting items into", &answer, err))
            return false;
        left = sl_get(answer, "UnprocessedItems");
    }
    b->n = 0;
    return true;
}

static bool same_key(const sl_dynamo *d, const sl_val *x, const sl_val *y)
{
    for (size_t i = 0; i < sl_val_count(d->key_schema); i++) {
        sl_str name = sl_get_text(sl_at(d->key_schema, i), "AttributeName");
        const sl_val *one = sl_get_str(x, name), *other = sl_get_str(y, name);
        if (one == NULL || other == NULL || !sl_val_eq(one, other))
            return false;
    }
    return true;
}

/* The same key twice in a request is refused: the later one counts, as if they came one after the other. */
static bool add(batch *b, const sl_val *row, sl_err *err)
{
    const sl_val *item;
    if (row->type != SL_MAP)
        return sl_err_set(err, SL_ERR_DATA, "dynamodb.row", "record %lld is no map", (long long)b->count + 1);
    if (!sl_dynamo_item(b->d, row, b->native, &item, err))
        return sl_err_ctx(err, "record %lld", (long long)b->count + 1);
    b->count++;
    for (size_t i = 0; i < b->n; i++)
        if (same_key(b->d, b->items[i], item)) {
            b->items[i] = item;
            return true;
        }
    b->items[b->n++] = item;
    return true;
}

static bool add_file(batch *b, sl_str uri, sl_err *err)
{
    sl_records in;
    sl_arena *a = b->d->api.aws.arena;
    const sl_val *row;
    int got = sl_records_open(&in, b->d->api.aws.task, uri, err) ? 1 : -1;
    sl_arena_mark mark = sl_arena_get_mark(a);
    while (got == 1 && (got = sl_records_next(&in, a, &row, err)) == 1) {
        if (!add(b, row, err) || (b->n == BATCH_MAX && !send(b, err)))
            got = -1;
        else if (b->n == 0)
            sl_arena_rewind(a, mark);
    }
    sl_records_close(&in);
    return got == 0;
}

static sl_outcome batch_run(sl_task *t, void *cfg, sl_err *err)
{
    const item_cfg *c = cfg;
    sl_dynamo d;
    batch b = { .d = &d, .native = c->native };
    const sl_val *from = c->from;
    if (!sl_dynamo_open(&d, t, &c->aws, c->table, err) || !sl_dynamo_describe(&d, err))
        return SL_TASK_FAILED;
    sl_str text = from->type == SL_STRING ? sl_str_trim(from->s) : SL_S("");
    if (text.n > 0 && text.p[0] == '[' && (from = sl_json_parse(d.api.aws.arena, text, err)) == NULL)
        return SL_TASK_FAILED;
    bool ok = from->type == SL_LIST || from->type == SL_STRING || sl_err_set(err, SL_ERR_CONFIG, "dynamodb.from", "'from' must be a stored file or a list of items");
    if (ok && from->type == SL_STRING)
        ok = add_file(&b, text, err);
    for (size_t i = 0; ok && from->type == SL_LIST && i < from->list.n; i++)
        ok = add(&b, from->list.items[i], err) && (b.n < BATCH_MAX || send(&b, err));
    if (!ok || (b.n > 0 && !send(&b, err)))
        return SL_TASK_FAILED;
    sl_task_out_int(t, "size", b.count);
    sl_task_counter(t, "records", (double)b.count);
    return SL_TASK_DONE;
}

#define DYNAMO "io.kestra.plugin.aws.dynamodb."
const sl_task_type sl_dynamo_put = { .type = DYNAMO "PutItem", .doc = "Puts an item into a DynamoDB table.", .cfg_size = sizeof(item_cfg), .opts = put_opts, .outs = no_outs, .run = put_run };
const sl_task_type sl_dynamo_get = { .type = DYNAMO "GetItem", .doc = "Gets an item of a DynamoDB table by its key.", .cfg_size = sizeof(item_cfg), .opts = key_opts, .outs = get_outs, .run = get_run };
const sl_task_type sl_dynamo_delete = { .type = DYNAMO "DeleteItem", .doc = "Deletes an item of a DynamoDB table.", .cfg_size = sizeof(item_cfg), .opts = key_opts, .outs = no_outs, .run = delete_run };
const sl_task_type sl_dynamo_batch_put = {
    .type = "io.sluice.aws.dynamodb.BatchPutItem", .doc = "Puts many items into a DynamoDB table, 25 a request.", .cfg_size = sizeof(item_cfg), .opts = batch_opts, .outs = batch_outs, .run = batch_run,
};
