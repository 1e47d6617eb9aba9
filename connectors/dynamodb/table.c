/* connectors/dynamodb/table.c: io.sluice.aws.dynamodb.CreateTable. */
#include "base/arena.h"
#include "connectors/dynamodb/dynamodb.h"

enum { POLL_MS = 1000 };

typedef struct table_cfg {
    sl_aws_cfg aws;
    sl_str table, billing, if_exists;
    const sl_val *partition, *sort;
    int64_t read_units, write_units;
} table_cfg;

static const sl_opt key_opts[] = {
    { .name = "name", .type = SL_OPT_STR, .flags = SL_REQUIRED, .doc = "The attribute." },
    { .name = "type", .type = SL_OPT_ENUM, .values = "S N B", .doc = "Text (the default), number or bytes." },
    { 0 },
};
static const sl_opt opts[] = {
    SL_DYNAMO_OPTS(table_cfg),
    { .name = "partitionKey", .type = SL_OPT_MAP, .offset = SL_FIELD(table_cfg, partition), .flags = SL_REQUIRED, .sub = key_opts, .doc = "First part of the key." },
    { .name = "sortKey", .type = SL_OPT_MAP, .offset = SL_FIELD(table_cfg, sort), .sub = key_opts, .doc = "Second part of the key." },
    { .name = "billingMode", .type = SL_OPT_ENUM, .offset = SL_FIELD(table_cfg, billing), .values = "PAY_PER_REQUEST PROVISIONED", .fallback = "PAY_PER_REQUEST", .doc = "How capacity is paid for." },
    { .name = "readCapacityUnits", .type = SL_OPT_INT, .offset = SL_FIELD(table_cfg, read_units), .fallback = "5", .doc = "PROVISIONED: reads a second." },
    { .name = "writeCapacityUnits", .type = SL_OPT_INT, .offset = SL_FIELD(table_cfg, write_units), .fallback = "5", .doc = "PROVISIONED: writes a second." },
    { .name = "ifExists", .type = SL_OPT_ENUM, .offset = SL_FIELD(table_cfg, if_exists), .values = "SKIP ERROR", .fallback = "SKIP", .doc = "When the table is there already." },
    { 0 },
};
static const sl_opt outs[] = { { .name = "tableName", .type = SL_OPT_STR, .doc = "The table." }, { .name = "arn", .type = SL_OPT_STR, .doc = "Its ARN." }, { .name = "created", .type = SL_OPT_BOOL, .doc = "It was not there before." }, { 0 } };

static void add_key(sl_arena *a, sl_val *definitions, sl_val *schema, const sl_val *key, const char *kind)
{
    sl_str type = sl_get_text(key, "type");
    if (key == NULL)
        return;
    sl_val *definition = sl_map_of(a, "AttributeName", sl_get(key, "name")), *part = sl_map_of(a, "AttributeName", sl_get(key, "name"));
    sl_map_set_str(a, definition, "AttributeType", type.n ? type : SL_S("S"));
    sl_map_set_str(a, part, "KeyType", sl_str_c(kind));
    sl_list_add(a, definitions, definition);
    sl_list_add(a, schema, part);
}

/* *made: false when there was one already. */
static bool create(sl_dynamo *d, const table_cfg *c, bool *made, sl_err *err)
{
    sl_arena *a = d->api.aws.arena;
    const sl_val *answer;
    sl_val *body = sl_dynamo_body(d), *definitions = sl_list(a), *schema = sl_list(a);
    add_key(a, definitions, schema, c->partition, "HASH");
    add_key(a, definitions, schema, c->sort, "RANGE");
    sl_map_setc(a, body, "AttributeDefinitions", definitions);
    sl_map_setc(a, body, "KeySchema", schema);
    sl_map_set_str(a, body, "BillingMode", c->billing);
    if (sl_str_eqc(c->billing, "PROVISIONED")) {
        sl_val *units = sl_map(a);
        sl_map_set_int(a, units, "ReadCapacityUnits", c->read_units);
        sl_map_set_int(a, units, "WriteCapacityUnits", c->write_units);
        sl_map_setc(a, body, "ProvisionedThroughput", units);
    }
    *made = sl_dynamo_call(d, "CreateTable", body, "creating", &answer, err);
    return *made || (sl_aws_is(&d->api, err, "ResourceInUseException") && !sl_str_eqc(c->if_exists, "ERROR"));
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    const table_cfg *c = cfg;
    sl_dynamo d;
    const sl_val *saved = sl_task_saved(t), *answer;
    bool made = sl_get_bool(saved, "created", false);
    if (!sl_dynamo_open(&d, t, &c->aws, c->table, err))
        return SL_TASK_FAILED;
    sl_arena *a = d.api.aws.arena;
    if (saved == NULL && !sl_task_checkpoint(t, sl_map_of(a, "creating", sl_val_bool(true)), err))
        return SL_TASK_FAILED;
    if (sl_get(saved, "created") == NULL) {
        table_cfg again = *c;
        if (saved != NULL)
            again.if_exists = SL_S("SKIP"); /* an interrupted attempt of ours may have made it */
        if (!create(&d, &again, &made, err) || !sl_task_checkpoint(t, sl_map_of(a, "created", sl_val_bool(made |= saved != NULL)), err))
            return SL_TASK_FAILED;
    }
    sl_err_clear(err);
    if (!sl_dynamo_call(&d, "DescribeTable", sl_dynamo_body(&d), "looking at", &answer, err))
        return SL_TASK_FAILED;
    const sl_val *table = sl_get(answer, "Table");
    if (!sl_str_eqc(sl_get_text(table, "TableStatus"), "ACTIVE"))
        return sl_task_wait(t, POLL_MS);
    sl_task_out_str(t, "tableName", c->table);
    sl_task_out_str(t, "arn", sl_get_text(table, "TableArn"));
    sl_task_out(t, "created", sl_val_bool(made));
    return SL_TASK_DONE;
}

const sl_task_type sl_dynamo_create_table = {
    .type = "io.sluice.aws.dynamodb.CreateTable", .doc = "Creates a DynamoDB table and waits until it can be used.", .cfg_size = sizeof(table_cfg), .opts = opts, .outs = outs, .run = run,
};
