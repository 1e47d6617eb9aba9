/* connectors/bigquery/table.c: CreateTable, UpdateTable, DeleteTable, TableMetadata. API: …/rest/v2/tables */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "connectors/bigquery/bigquery.h"

typedef struct table_cfg {
    sl_gcp_cfg gcp;
    sl_bq_cfg bq;
    sl_str dataset, table, friendly_name, description, if_missing;
    const sl_val *definition, *labels, *require_filter, *encryption;
    int64_t expiration_ms;
} table_cfg;

#define NAMES                                                                                                                                   \
    { .name = "dataset", .type = SL_OPT_STR, .offset = SL_FIELD(table_cfg, dataset), .flags = SL_REQUIRED, .doc = "The dataset." },            \
    { .name = "table", .type = SL_OPT_STR, .offset = SL_FIELD(table_cfg, table), .flags = SL_REQUIRED, .doc = "The table." }

static const sl_opt definition_opts[] = {
    { .name = "type", .type = SL_OPT_ENUM, .values = "TABLE VIEW MATERIALIZED_VIEW EXTERNAL", .doc = "Kind of table." },
    { .name = "schema", .type = SL_OPT_MAP, .doc = "{fields: [{name, type, mode, description, subFields, policyTags}]}." },
    { .name = "standardTableDefinition", .type = SL_OPT_MAP, .doc = "{clustering, timePartitioning, rangePartitioning}." },
    { .name = "viewDefinition", .type = SL_OPT_MAP, .doc = "{query}." },
    { .name = "materializedViewDefinition", .type = SL_OPT_MAP, .doc = "{query, enableRefresh, refreshInterval}." },
    { .name = "externalTableDefinition", .type = SL_OPT_MAP, .doc = "{sourceUris, formatType, autodetect, compression, maxBadRecords, ignoreUnknownValues}." },
    { 0 },
};

static const sl_opt change_opts[] = {
    SL_BQ_OPTS(table_cfg),
    NAMES,
    { .name = "tableDefinition", .type = SL_OPT_MAP, .offset = SL_FIELD(table_cfg, definition), .sub = definition_opts, .doc = "Columns, and how the data lies." },
    { .name = "friendlyName", .type = SL_OPT_STR, .offset = SL_FIELD(table_cfg, friendly_name), .doc = "For people." },
    { .name = "description", .type = SL_OPT_STR, .offset = SL_FIELD(table_cfg, description), .doc = "For people." },
    { .name = "labels", .type = SL_OPT_MAP, .offset = SL_FIELD(table_cfg, labels), .doc = "Labels." },
    { .name = "requirePartitionFilter", .type = SL_OPT_ANY, .offset = SL_FIELD(table_cfg, require_filter), .doc = "Queries must name partitions." },
    { .name = "encryptionConfiguration", .type = SL_OPT_MAP, .offset = SL_FIELD(table_cfg, encryption), .doc = "{kmsKeyName}." },
    { .name = "expirationDuration", .type = SL_OPT_DURATION, .offset = SL_FIELD(table_cfg, expiration_ms), .doc = "Life of the table from now." },
    { 0 },
};
static const sl_opt delete_opts[] = { SL_BQ_OPTS(table_cfg), NAMES, { 0 } };
static const sl_opt metadata_opts[] = {
    SL_BQ_OPTS(table_cfg),
    NAMES,
    { .name = "ifNotExists", .type = SL_OPT_ENUM, .offset = SL_FIELD(table_cfg, if_missing), .values = "ERROR SKIP", .fallback = "ERROR", .doc = "What to do when it is not there." },
    { 0 },
};
#define TEXT_OUT(name_text, doc_text) { .name = name_text, .type = SL_OPT_STR, .doc = doc_text }
static const sl_opt delete_outs[] = { TEXT_OUT("projectId", "The project."), TEXT_OUT("datasetId", "The dataset."), TEXT_OUT("table", "The table."), { 0 } };
static const sl_opt table_outs[] = {
    TEXT_OUT("projectId", "The project."),
    TEXT_OUT("datasetId", "The dataset."),
    TEXT_OUT("table", "The table."),
    TEXT_OUT("etag", "Changes with the table."),
    TEXT_OUT("generatedId", "Id of the resource."),
    TEXT_OUT("selfLink", "Address of the resource."),
    TEXT_OUT("friendlyName", "For people."),
    TEXT_OUT("description", "For people."),
    { .name = "creationTime", .type = SL_OPT_INT, .doc = "Milliseconds since 1970." },
    { .name = "expirationTime", .type = SL_OPT_INT, .doc = "Milliseconds since 1970." },
    { .name = "lastModifiedTime", .type = SL_OPT_INT, .doc = "Milliseconds since 1970." },
    { .name = "numBytes", .type = SL_OPT_INT, .doc = "Size." },
    { .name = "numLongTermBytes", .type = SL_OPT_INT, .doc = "Size of what is billed as long-term." },
    { .name = "numRows", .type = SL_OPT_INT, .doc = "Rows." },
    { .name = "definition", .type = SL_OPT_MAP, .doc = "{type, schema, …}." },
    { .name = "encryptionConfiguration", .type = SL_OPT_MAP, .doc = "{kmsKeyName}." },
    { .name = "labels", .type = SL_OPT_MAP, .doc = "Labels." },
    { .name = "requirePartitionFilter", .type = SL_OPT_BOOL, .doc = "Queries must name partitions." },
    { 0 },
};

/* ---- the definition, in the API's words ---- */

static const sl_val *fields_body(sl_arena *a, const sl_val *fields)
{
    sl_val *out = sl_list(a);
    for (size_t i = 0; i < sl_val_count(fields); i++) {
        const sl_val *f = sl_at(fields, i), *inner = sl_get(f, "subFields") ? sl_get(f, "subFields") : sl_get(f, "fields");
        sl_val *one = sl_map(a);
        static const char *const same[] = { "name", "type", "mode", "description", "policyTags" };
        for (size_t k = 0; k < SL_COUNT(same); k++)
            if (sl_get(f, same[k]) != NULL)
                sl_map_setc(a, one, same[k], sl_get(f, same[k]));
        if (inner != NULL)
            sl_map_setc(a, one, "fields", fields_body(a, inner));
        sl_list_add(a, out, one);
    }
    return out;
}

static void put_standard(sl_arena *a, sl_val *body, const sl_val *d)
{
    const sl_val *time = sl_get(d, "timePartitioning"), *range = sl_get(d, "rangePartitioning"), *clustering = sl_get(d, "clustering");
    if (clustering != NULL) {
        sl_val *v = sl_map(a);
        sl_map_setc(a, v, "fields", clustering);
        sl_map_setc(a, body, "clustering", v);
    }
    if (time != NULL) {
        sl_val *v = sl_map(a);
        int64_t ms;
        static const char *const same[] = { "type", "field", "requirePartitionFilter" };
        for (size_t i = 0; i < SL_COUNT(same); i++)
            if (sl_get(time, same[i]) != NULL)
                sl_map_setc(a, v, same[i], sl_get(time, same[i]));
        if (sl_get(time, "expiration") != NULL && sl_duration_parse(sl_val_text(a, sl_get(time, "expiration")), &ms))
            sl_map_set_str(a, v, "expirationMs", sl_fmt(a, "%lld", (long long)ms));
        sl_map_setc(a, body, "timePartitioning", v);
    }
    if (range != NULL)
        sl_map_setc(a, body, "rangePartitioning", range);
}

static void put_external(sl_arena *a, sl_val *body, const sl_val *d)
{
    sl_val *v = sl_map_shallow(a, d);
    sl_str format = sl_get_text(d, "formatType");
    (void)sl_map_remove(v, SL_S("formatType"));
    sl_map_set_str(a, v, "sourceFormat", sl_str_eqc(format, "JSON") ? SL_S("NEWLINE_DELIMITED_JSON") : format);
    if (sl_get(body, "schema") != NULL) {
        sl_map_setc(a, v, "schema", sl_get(body, "schema"));
        (void)sl_map_remove(body, SL_S("schema"));
    }
    sl_map_setc(a, body, "externalDataConfiguration", v);
}

static sl_val *body_of(sl_bq *b, const table_cfg *c)
{
    sl_arena *a = b->arena;
    sl_val *v = sl_map(a), *ref = sl_map(a);
    const sl_val *d = c->definition, *dataset = sl_bq_dataset_ref(b, c->dataset), *fields = sl_get(sl_get(d, "schema"), "fields");
    sl_map_setc(a, ref, "projectId", sl_get(dataset, "projectId"));
    sl_map_setc(a, ref, "datasetId", sl_get(dataset, "datasetId"));
    sl_map_set_str(a, ref, "tableId", c->table);
    sl_map_setc(a, v, "tableReference", ref);
    if (fields != NULL) {
        sl_val *schema = sl_map(a);
        sl_map_setc(a, schema, "fields", fields_body(a, fields));
        sl_map_setc(a, v, "schema", schema);
    }
    if (sl_get(d, "standardTableDefinition") != NULL)
        put_standard(a, v, sl_get(d, "standardTableDefinition"));
    if (sl_get(d, "viewDefinition") != NULL) {
        sl_val *view = sl_map_shallow(a, sl_get(d, "viewDefinition"));
        sl_map_set_bool(a, view, "useLegacySql", false);
        sl_map_setc(a, v, "view", view);
    }
    if (sl_get(d, "materializedViewDefinition") != NULL)
        sl_map_setc(a, v, "materializedView", sl_get(d, "materializedViewDefinition"));
    if (sl_get(d, "externalTableDefinition") != NULL)
        put_external(a, v, sl_get(d, "externalTableDefinition"));
    if (c->friendly_name.n > 0)
        sl_map_set_str(a, v, "friendlyName", c->friendly_name);
    if (c->description.n > 0)
        sl_map_set_str(a, v, "description", c->description);
    if (c->labels != NULL)
        sl_map_setc(a, v, "labels", c->labels);
    if (c->require_filter != NULL)
        sl_map_setc(a, v, "requirePartitionFilter", c->require_filter);
    if (c->encryption != NULL)
        sl_map_setc(a, v, "encryptionConfiguration", c->encryption);
    if (c->expiration_ms > 0)
        sl_map_set_str(a, v, "expirationTime", sl_fmt(a, "%lld", (long long)(sl_now_ms() + c->expiration_ms)));
    return v;
}

static sl_str tables_path(sl_bq *b, const table_cfg *c, bool one)
{
    sl_arena *a = b->arena;
    const sl_val *d = sl_bq_dataset_ref(b, c->dataset);
    sl_str all = sl_fmt(a, "/bigquery/v2/projects/%.*s/datasets/%.*s/tables", SL_ARG(sl_percent(a, sl_get_text(d, "projectId"), ":")), SL_ARG(sl_percent(a, sl_get_text(d, "datasetId"), NULL)));
    return one ? sl_fmt(a, "%.*s/%.*s", SL_ARG(all), SL_ARG(sl_percent(a, c->table, "$"))) : all;
}

static const sl_val *definition_of(sl_arena *a, const sl_val *table)
{
    sl_val *d = sl_map(a);
    static const char *const same[] = { "type", "schema", "clustering", "timePartitioning", "rangePartitioning", "view", "materializedView", "externalDataConfiguration" };
    for (size_t i = 0; i < SL_COUNT(same); i++)
        if (sl_get(table, same[i]) != NULL)
            sl_map_setc(a, d, same[i], sl_get(table, same[i]));
    return d;
}

static sl_outcome outputs(sl_task *t, const sl_val *table)
{
    const sl_val *ref = sl_get(table, "tableReference");
    static const char *const texts[][2] = { { "etag", "etag" }, { "generatedId", "id" }, { "selfLink", "selfLink" }, { "friendlyName", "friendlyName" }, { "description", "description" } };
    static const char *const numbers[] = { "creationTime", "expirationTime", "lastModifiedTime", "numBytes", "numLongTermBytes", "numRows" };
    static const char *const values[] = { "encryptionConfiguration", "labels", "requirePartitionFilter" };
    sl_task_out_str(t, "projectId", sl_get_text(ref, "projectId"));
    sl_task_out_str(t, "datasetId", sl_get_text(ref, "datasetId"));
    sl_task_out_str(t, "table", sl_get_text(ref, "tableId"));
    for (size_t i = 0; i < SL_COUNT(texts); i++)
        if (sl_get(table, texts[i][1]) != NULL)
            sl_task_out_str(t, texts[i][0], sl_get_text(table, texts[i][1]));
    for (size_t i = 0; i < SL_COUNT(numbers); i++)
        if (sl_get(table, numbers[i]) != NULL)
            sl_task_out_int(t, numbers[i], sl_get_int(table, numbers[i], 0));
    for (size_t i = 0; i < SL_COUNT(values); i++)
        if (sl_get(table, values[i]) != NULL)
            sl_task_out(t, values[i], sl_get(table, values[i]));
    sl_task_out(t, "definition", definition_of(sl_task_arena(t), table));
    return SL_TASK_DONE;
}

/* Puts on disk that the effect is about to happen; *again: an interrupted attempt has said so before. */
static bool intend(sl_bq *b, const table_cfg *c, bool *again, sl_err *err)
{
    *again = sl_task_saved(b->task) != NULL;
    sl_val *doc = sl_map(b->arena);
    sl_map_set_str(b->arena, doc, "table", c->table);
    return *again || sl_task_checkpoint(b->task, doc, err);
}

static sl_outcome create_run(sl_task *t, void *cfg, sl_err *err)
{
    const table_cfg *c = cfg;
    sl_bq b;
    bool again;
    const sl_val *table;
    sl_http_response r;
    if (!sl_bq_open(&b, t, &c->gcp, &c->bq, err) || !intend(&b, c, &again, err) || !sl_gcp_send(&b.g, "POST", tables_path(&b, c, false), body_of(&b, c), true, &r, err))
        return SL_TASK_FAILED;
    /* Only where an answer may have been lost is a table that is there taken for our own. */
    if (r.status / 100 != 2 && !(r.status == 409 && (again || r.attempts > 1))) {
        sl_gcp_error(&b.g, &r, sl_fmt(b.arena, "creating the table '%.*s.%.*s'", SL_ARG(c->dataset), SL_ARG(c->table)).p, err);
        return SL_TASK_FAILED;
    }
    return sl_gcp_call(&b.g, "GET", tables_path(&b, c, true), NULL, true, &table, err) ? outputs(t, table) : SL_TASK_FAILED;
}

static sl_outcome update_run(sl_task *t, void *cfg, sl_err *err)
{
    const table_cfg *c = cfg;
    sl_bq b;
    const sl_val *table;
    return sl_bq_open(&b, t, &c->gcp, &c->bq, err) && sl_gcp_call(&b.g, "PATCH", tables_path(&b, c, true), body_of(&b, c), true, &table, err) ? outputs(t, table) : SL_TASK_FAILED;
}

static sl_outcome delete_run(sl_task *t, void *cfg, sl_err *err)
{
    const table_cfg *c = cfg;
    sl_bq b;
    bool again;
    sl_http_response r;
    if (!sl_bq_open(&b, t, &c->gcp, &c->bq, err) || !intend(&b, c, &again, err) || !sl_gcp_send(&b.g, "DELETE", tables_path(&b, c, true), NULL, true, &r, err))
        return SL_TASK_FAILED;
    if (r.status / 100 != 2 && !(r.status == 404 && (again || r.attempts > 1))) {
        sl_gcp_error(&b.g, &r, sl_fmt(b.arena, "deleting the table '%.*s.%.*s'", SL_ARG(c->dataset), SL_ARG(c->table)).p, err);
        return SL_TASK_FAILED;
    }
    const sl_val *d = sl_bq_dataset_ref(&b, c->dataset);
    sl_task_out_str(t, "projectId", sl_get_text(d, "projectId"));
    sl_task_out_str(t, "datasetId", sl_get_text(d, "datasetId"));
    sl_task_out_str(t, "table", c->table);
    return SL_TASK_DONE;
}

static sl_outcome metadata_run(sl_task *t, void *cfg, sl_err *err)
{
    const table_cfg *c = cfg;
    sl_bq b;
    sl_http_response r;
    if (!sl_bq_open(&b, t, &c->gcp, &c->bq, err) || !sl_gcp_send(&b.g, "GET", tables_path(&b, c, true), NULL, true, &r, err))
        return SL_TASK_FAILED;
    if (r.status == 404 && sl_str_eqc(c->if_missing, "SKIP"))
        return SL_TASK_DONE;
    const sl_val *table = r.status / 100 == 2 ? sl_json_parse(b.arena, r.body, err) : NULL;
    if (r.status / 100 != 2)
        sl_gcp_error(&b.g, &r, sl_fmt(b.arena, "reading about the table '%.*s.%.*s'", SL_ARG(c->dataset), SL_ARG(c->table)).p, err);
    return table != NULL ? outputs(t, table) : SL_TASK_FAILED;
}

#define BQ "io.kestra.plugin.gcp.bigquery."
const sl_task_type sl_bq_create_table = { .type = BQ "CreateTable", .doc = "Makes a table.", .cfg_size = sizeof(table_cfg), .opts = change_opts, .outs = table_outs, .run = create_run };
const sl_task_type sl_bq_update_table = { .type = BQ "UpdateTable", .doc = "Changes a table.", .cfg_size = sizeof(table_cfg), .opts = change_opts, .outs = table_outs, .run = update_run };
const sl_task_type sl_bq_delete_table = { .type = BQ "DeleteTable", .doc = "Deletes a table.", .cfg_size = sizeof(table_cfg), .opts = delete_opts, .outs = delete_outs, .run = delete_run };
const sl_task_type sl_bq_table_metadata = { .type = BQ "TableMetadata", .doc = "Tells about a table.", .cfg_size = sizeof(table_cfg), .opts = metadata_opts, .outs = table_outs, .run = metadata_run };
