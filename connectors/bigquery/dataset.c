/* connectors/bigquery/dataset.c: CreateDataset, UpdateDataset, DeleteDataset. */
#include "base/arena.h"
#include "connectors/bigquery/bigquery.h"

typedef struct dataset_cfg {
    sl_gcp_cfg gcp;
    sl_bq_cfg bq;
    sl_str name, description, friendly_name, if_exists;
    const sl_val *acl, *encryption, *labels;
    int64_t table_lifetime, partition_expiration;
    bool delete_contents;
} dataset_cfg;

#define NAME { .name = "name", .type = SL_OPT_STR, .offset = SL_FIELD(dataset_cfg, name), .flags = SL_REQUIRED, .doc = "Name of the dataset." }
#define SETTINGS                                                                                                                                                                          \
    NAME, { .name = "acl", .type = SL_OPT_LIST, .offset = SL_FIELD(dataset_cfg, acl), .doc = "List of {entity: {type, value}, role}." },                                                  \
        { .name = "defaultTableLifetime", .type = SL_OPT_INT, .offset = SL_FIELD(dataset_cfg, table_lifetime), .doc = "Life of new tables in ms, at least 3600000." },                    \
        { .name = "defaultPartitionExpirationMs", .type = SL_OPT_INT, .offset = SL_FIELD(dataset_cfg, partition_expiration), .doc = "Life of new partitions in ms." },                    \
        { .name = "description", .type = SL_OPT_STR, .offset = SL_FIELD(dataset_cfg, description), .doc = "For people." },                                                                \
        { .name = "friendlyName", .type = SL_OPT_STR, .offset = SL_FIELD(dataset_cfg, friendly_name), .doc = "For people." },                                                             \
        { .name = "defaultEncryptionConfiguration", .type = SL_OPT_MAP, .offset = SL_FIELD(dataset_cfg, encryption), .doc = "{kmsKeyName}." },                                            \
        { .name = "labels", .type = SL_OPT_MAP, .offset = SL_FIELD(dataset_cfg, labels), .doc = "Labels." }

static const sl_opt create_opts[] = {
    SL_BQ_OPTS(dataset_cfg),
    SETTINGS,
    { .name = "ifExists", .type = SL_OPT_ENUM, .offset = SL_FIELD(dataset_cfg, if_exists), .values = "ERROR UPDATE SKIP", .fallback = "ERROR", .doc = "What to do when it is there." },
    { 0 },
};
static const sl_opt update_opts[] = { SL_BQ_OPTS(dataset_cfg), SETTINGS, { 0 } };
static const sl_opt delete_opts[] = {
    SL_BQ_OPTS(dataset_cfg),
    NAME,
    { .name = "deleteContents", .type = SL_OPT_BOOL, .offset = SL_FIELD(dataset_cfg, delete_contents), .doc = "Delete its tables, too." },
    { 0 },
};
static const sl_opt dataset_outs[] = {
    { .name = "dataset", .type = SL_OPT_STR, .doc = "Its name." },        { .name = "project", .type = SL_OPT_STR, .doc = "Its project." },
    { .name = "friendlyName", .type = SL_OPT_STR, .doc = "For people." }, { .name = "description", .type = SL_OPT_STR, .doc = "For people." },
    { .name = "location", .type = SL_OPT_STR, .doc = "Where it lies." },  { 0 },
};
static const sl_opt delete_outs[] = { { .name = "dataset", .type = SL_OPT_STR, .doc = "Its name." }, { 0 } };

static const sl_val *access_list(sl_arena *a, const sl_val *acl)
{
    static const char *const types[][2] = { { "DOMAIN", "domain" }, { "GROUP", "groupByEmail" }, { "USER", "userByEmail" }, { "IAM_MEMBER", "iamMember" } };
    sl_val *out = sl_list(a);
    for (size_t i = 0; i < sl_val_count(acl); i++) {
        const sl_val *e = sl_get(sl_at(acl, i), "entity");
        sl_val *one = sl_map(a);
        for (size_t k = 0; k < SL_COUNT(types); k++)
            if (sl_str_eqc(sl_get_text(e, "type"), types[k][0]))
                sl_map_set_str(a, one, types[k][1], sl_get_text(e, "value"));
        sl_map_opt_str(a, one, "role", sl_get_text(sl_at(acl, i), "role"));
        sl_list_add(a, out, one);
    }
    return out;
}

static sl_val *body_of(sl_bq *b, const dataset_cfg *c)
{
    sl_arena *a = b->arena;
    sl_val *v = sl_map(a);
    sl_map_setc(a, v, "datasetReference", sl_bq_dataset_ref(b, c->name));
    if (c->bq.location.n > 0)
        sl_map_set_str(a, v, "location", c->bq.location);
    if (c->description.n > 0)
        sl_map_set_str(a, v, "description", c->description);
    if (c->friendly_name.n > 0)
        sl_map_set_str(a, v, "friendlyName", c->friendly_name);
    if (c->table_lifetime > 0)
        sl_map_set_str(a, v, "defaultTableExpirationMs", sl_fmt(a, "%lld", (long long)c->table_lifetime));
    if (c->partition_expiration > 0)
        sl_map_set_str(a, v, "defaultPartitionExpirationMs", sl_fmt(a, "%lld", (long long)c->partition_expiration));
    if (c->encryption != NULL)
        sl_map_setc(a, v, "defaultEncryptionConfiguration", c->encryption);
    if (c->labels != NULL)
        sl_map_setc(a, v, "labels", c->labels);
    if (c->acl != NULL)
        sl_map_setc(a, v, "access", access_list(a, c->acl));
    return v;
}

static sl_outcome outputs(sl_task *t, const sl_val *d)
{
    const sl_val *ref = sl_get(d, "datasetReference");
    sl_task_out_str(t, "dataset", sl_get_text(ref, "datasetId"));
    sl_task_out_str(t, "project", sl_get_text(ref, "projectId"));
    static const char *const texts[] = { "friendlyName", "description", "location" };
    for (size_t i = 0; i < SL_COUNT(texts); i++)
        if (sl_get(d, texts[i]) != NULL)
            sl_task_out_str(t, texts[i], sl_get_text(d, texts[i]));
    return SL_TASK_DONE;
}

static sl_str path_of(sl_bq *b, const dataset_cfg *c)
{
    const sl_val *ref = sl_bq_dataset_ref(b, c->name);
    return sl_fmt(b->arena, "/bigquery/v2/projects/%.*s/datasets/%.*s", SL_ARG(sl_percent(b->arena, sl_get_text(ref, "projectId"), ":")), SL_ARG(sl_percent(b->arena, sl_get_text(ref, "datasetId"), NULL)));
}

static sl_outcome create_run(sl_task *t, void *cfg, sl_err *err)
{
    const dataset_cfg *c = cfg;
    sl_bq b;
    const sl_val *d;
    sl_http_response r;
    if (!sl_bq_open(&b, t, &c->gcp, &c->bq, err) || !sl_gcp_send(&b.g, "POST", sl_bq_path(&b, "datasets"), body_of(&b, c), true, &r, err))
        return SL_TASK_FAILED;
    if (r.status == 409 && !sl_str_eqc(c->if_exists, "ERROR")) {
        bool update = sl_str_eqc(c->if_exists, "UPDATE");
        return sl_gcp_call(&b.g, update ? "PATCH" : "GET", path_of(&b, c), update ? body_of(&b, c) : NULL, true, &d, err) ? outputs(t, d) : SL_TASK_FAILED;
    }
    /* Our own answer may have been lost: then the second try meets the first one's dataset. */
    if (r.status == 409 && r.attempts > 1)
        return sl_gcp_call(&b.g, "GET", path_of(&b, c), NULL, true, &d, err) ? outputs(t, d) : SL_TASK_FAILED;
    if (r.status / 100 != 2) {
        sl_gcp_error(&b.g, &r, sl_fmt(b.arena, "creating the dataset '%.*s'", SL_ARG(c->name)).p, err);
        return SL_TASK_FAILED;
    }
    return sl_gcp_call(&b.g, "GET", path_of(&b, c), NULL, true, &d, err) ? outputs(t, d) : SL_TASK_FAILED;
}

static sl_outcome update_run(sl_task *t, void *cfg, sl_err *err)
{
    const dataset_cfg *c = cfg;
    sl_bq b;
    const sl_val *d;
    return sl_bq_open(&b, t, &c->gcp, &c->bq, err) && sl_gcp_call(&b.g, "PATCH", path_of(&b, c), body_of(&b, c), true, &d, err) ? outputs(t, d) : SL_TASK_FAILED;
}

static sl_outcome delete_run(sl_task *t, void *cfg, sl_err *err)
{
    const dataset_cfg *c = cfg;
    sl_bq b;
    sl_http_response r;
    if (!sl_bq_open(&b, t, &c->gcp, &c->bq, err))
        return SL_TASK_FAILED;
    sl_str own = path_of(&b, c), path = sl_fmt(b.arena, "%.*s?deleteContents=%s", SL_ARG(own), c->delete_contents ? "true" : "false");
    if (!sl_gcp_send(&b.g, "DELETE", path, NULL, true, &r, err))
        return SL_TASK_FAILED;
    if (r.status / 100 != 2 && !(r.status == 404 && r.attempts > 1)) {
        sl_gcp_error(&b.g, &r, sl_fmt(b.arena, "deleting the dataset '%.*s'", SL_ARG(c->name)).p, err);
        return SL_TASK_FAILED;
    }
    sl_task_out_str(t, "dataset", c->name);
    return SL_TASK_DONE;
}

#define BQ "io.kestra.plugin.gcp.bigquery."
const sl_task_type sl_bq_create_dataset = { .type = BQ "CreateDataset", .doc = "Makes a dataset.", .cfg_size = sizeof(dataset_cfg), .opts = create_opts, .outs = dataset_outs, .run = create_run };
const sl_task_type sl_bq_update_dataset = { .type = BQ "UpdateDataset", .doc = "Changes a dataset.", .cfg_size = sizeof(dataset_cfg), .opts = update_opts, .outs = dataset_outs, .run = update_run };
const sl_task_type sl_bq_delete_dataset = { .type = BQ "DeleteDataset", .doc = "Deletes a dataset.", .cfg_size = sizeof(dataset_cfg), .opts = delete_opts, .outs = delete_outs, .run = delete_run };
