/* connectors/gcs/bucket.c: CreateBucket, UpdateBucket, DeleteBucket, CreateBucketIamPolicy. */
#include "base/arena.h"
#include "connectors/gcs/gcs.h"

typedef struct bucket_cfg {
    sl_gcp_cfg gcp;
    sl_str name, storage_class, location, index_page, not_found_page, kms_key, if_exists, member, role;
    bool force;
    const sl_val *requester_pays, *versioning, *event_hold; /* NULL: as they are */
    const sl_val *labels, *lifecycle, *cors, *acl, *default_acl, *iam, *logging;
    int64_t retention_s;
} bucket_cfg;

#define CLASSES "REGIONAL MULTI_REGIONAL NEARLINE COLDLINE STANDARD ARCHIVE DURABLE_REDUCED_AVAILABILITY"
#define SETTINGS                                                                                                                                                                 \
    { .name = "name", .type = SL_OPT_STR, .offset = SL_FIELD(bucket_cfg, name), .flags = SL_REQUIRED, .doc = "Name of the bucket." },                                            \
    { .name = "storageClass", .type = SL_OPT_ENUM, .offset = SL_FIELD(bucket_cfg, storage_class), .values = CLASSES, .doc = "Default storage class." },                          \
    { .name = "location", .type = SL_OPT_STR, .offset = SL_FIELD(bucket_cfg, location), .doc = "Where the data lies." },                                                         \
    { .name = "requesterPays", .type = SL_OPT_FLAG, .offset = SL_FIELD(bucket_cfg, requester_pays), .doc = "Who asks pays." },                                                   \
    { .name = "versioningEnabled", .type = SL_OPT_FLAG, .offset = SL_FIELD(bucket_cfg, versioning), .doc = "Keep old versions." },                                               \
    { .name = "defaultEventBasedHold", .type = SL_OPT_FLAG, .offset = SL_FIELD(bucket_cfg, event_hold), .doc = "Hold new objects." },                                            \
    { .name = "indexPage", .type = SL_OPT_STR, .offset = SL_FIELD(bucket_cfg, index_page), .doc = "Index page of a web site." },                                                 \
    { .name = "notFoundPage", .type = SL_OPT_STR, .offset = SL_FIELD(bucket_cfg, not_found_page), .doc = "Error page of a web site." },                                          \
    { .name = "defaultKmsKeyName", .type = SL_OPT_STR, .offset = SL_FIELD(bucket_cfg, kms_key), .doc = "Encryption key." },                                                      \
    { .name = "labels", .type = SL_OPT_MAP, .offset = SL_FIELD(bucket_cfg, labels), .doc = "Labels." },                                                                          \
    { .name = "retentionPeriod", .type = SL_OPT_INT, .offset = SL_FIELD(bucket_cfg, retention_s), .doc = "Least age of an object that may be deleted, in seconds." },            \
    { .name = "lifecycleRules", .type = SL_OPT_LIST, .offset = SL_FIELD(bucket_cfg, lifecycle), .doc = "List of {condition: {age}, action: {type, value}}." },                   \
    { .name = "cors", .type = SL_OPT_LIST, .offset = SL_FIELD(bucket_cfg, cors), .flags = SL_STATIC, .doc = "List of {maxAgeSeconds, methods, origins, responseHeaders}." },     \
    { .name = "acl", .type = SL_OPT_LIST, .offset = SL_FIELD(bucket_cfg, acl), .doc = "List of {entity: {type, value}, role}." },                                                \
    { .name = "defaultAcl", .type = SL_OPT_LIST, .offset = SL_FIELD(bucket_cfg, default_acl), .doc = "The same for new objects." },                                              \
    { .name = "iamConfiguration", .type = SL_OPT_MAP, .offset = SL_FIELD(bucket_cfg, iam), .flags = SL_STATIC, .doc = "{uniformBucketLevelAccessEnabled, publicAccessPrevention}." }, \
    { .name = "logging", .type = SL_OPT_MAP, .offset = SL_FIELD(bucket_cfg, logging), .flags = SL_STATIC, .doc = "{logBucket, logObjectPrefix}." }

static const sl_opt create_opts[] = {
    SL_GCP_OPTS(bucket_cfg),
    SETTINGS,
    { .name = "ifExists", .type = SL_OPT_ENUM, .offset = SL_FIELD(bucket_cfg, if_exists), .values = "ERROR UPDATE SKIP", .fallback = "ERROR", .doc = "What to do when it is there." },
    { 0 },
};

static const sl_opt update_opts[] = { SL_GCP_OPTS(bucket_cfg), SETTINGS, { 0 } };

#define NAME { .name = "name", .type = SL_OPT_STR, .offset = SL_FIELD(bucket_cfg, name), .flags = SL_REQUIRED, .doc = "Name of the bucket." }
static const sl_opt delete_opts[] = {
    SL_GCP_OPTS(bucket_cfg),
    NAME,
    { .name = "force", .type = SL_OPT_BOOL, .offset = SL_FIELD(bucket_cfg, force), .doc = "Delete all of its objects first." },
    { 0 },
};
static const sl_opt iam_opts[] = {
    SL_GCP_OPTS(bucket_cfg),
    NAME,
    { .name = "member", .type = SL_OPT_STR, .offset = SL_FIELD(bucket_cfg, member), .flags = SL_REQUIRED, .doc = "user:…, serviceAccount:…, group:…" },
    { .name = "role", .type = SL_OPT_STR, .offset = SL_FIELD(bucket_cfg, role), .flags = SL_REQUIRED, .doc = "Role, such as roles/storage.objectViewer." },
    { .name = "ifExists", .type = SL_OPT_ENUM, .offset = SL_FIELD(bucket_cfg, if_exists), .values = "ERROR SKIP", .fallback = "SKIP", .doc = "What to do when the member has the role." },
    { 0 },
};
static const sl_opt delete_outs[] = { { .name = "bucket", .type = SL_OPT_STR, .doc = "Its name." }, { .name = "bucketUri", .type = SL_OPT_STR, .doc = "Its URI." }, { 0 } };
static const sl_opt iam_outs[] = {
    { .name = "bucket", .type = SL_OPT_STR, .doc = "The bucket." }, { .name = "member", .type = SL_OPT_STR, .doc = "The member." },
    { .name = "role", .type = SL_OPT_STR, .doc = "The role." },     { .name = "created", .type = SL_OPT_BOOL, .doc = "It was added now." },
    { 0 },
};

static const sl_opt bucket_outs[] = {
    { .name = "bucket", .type = SL_OPT_MAP, .doc = "{name, uri, location, indexPage, notFoundPage}." },
    { .name = "created", .type = SL_OPT_BOOL, .doc = "It was made now." },
    { .name = "updated", .type = SL_OPT_BOOL, .doc = "It was changed now." },
    { 0 },
};

static const sl_val *acl_body(sl_arena *a, const sl_val *list)
{
    sl_val *out = sl_list(a);
    for (size_t i = 0; i < sl_val_count(list); i++) {
        const sl_val *e = sl_get(sl_at(list, i), "entity");
        sl_val *one = sl_map(a);
        sl_str type = sl_str_lower(a, sl_get_text(e, "type"));
        sl_map_set_str(a, one, "entity", sl_fmt(a, "%.*s-%.*s", SL_ARG(type), SL_ARG(sl_get_text(e, "value"))));
        sl_map_set_str(a, one, "role", sl_get_text(sl_at(list, i), "role"));
        sl_list_add(a, out, one);
    }
    return out;
}

static const sl_val *lifecycle_body(sl_arena *a, const sl_val *rules)
{
    sl_val *out = sl_map(a), *list = sl_list(a);
    for (size_t i = 0; i < sl_val_count(rules); i++) {
        const sl_val *action = sl_get(sl_at(rules, i), "action");
        sl_val *rule = sl_map(a), *act = sl_map(a);
        bool set = sl_str_eqc(sl_get_text(action, "type"), "SET_STORAGE_CLASS");
        sl_map_set_str(a, act, "type", set ? SL_S("SetStorageClass") : SL_S("Delete"));
        if (set)
            sl_map_set_str(a, act, "storageClass", sl_get_text(action, "value"));
        sl_map_setc(a, rule, "action", act);
        sl_map_setc(a, rule, "condition", sl_get(sl_at(rules, i), "condition") ? sl_get(sl_at(rules, i), "condition") : sl_map(a));
        sl_list_add(a, list, rule);
    }
    sl_map_setc(a, out, "rule", list);
    return out;
}

static const sl_val *cors_body(sl_arena *a, const sl_val *list)
{
    sl_val *out = sl_list(a);
    for (size_t i = 0; i < sl_val_count(list); i++) {
        const sl_val *c = sl_at(list, i);
        sl_val *one = sl_map(a);
        static const char *const names[][2] = { { "maxAgeSeconds", "maxAgeSeconds" }, { "methods", "method" }, { "origins", "origin" }, { "responseHeaders", "responseHeader" } };
        for (size_t k = 0; k < SL_COUNT(names); k++)
            if (sl_get(c, names[k][0]) != NULL)
                sl_map_setc(a, one, names[k][1], sl_get(c, names[k][0]));
        sl_list_add(a, out, one);
    }
    return out;
}

static sl_val *body_of(sl_arena *a, const bucket_cfg *c)
{
    sl_val *b = sl_map(a);
    if (c->storage_class.n > 0)
        sl_map_set_str(a, b, "storageClass", c->storage_class);
    if (c->location.n > 0)
        sl_map_set_str(a, b, "location", c->location);
    if (c->labels != NULL)
        sl_map_setc(a, b, "labels", c->labels);
    if (c->requester_pays != NULL)
        sl_map_setc(a, b, "billing", sl_map_of(a, "requesterPays", c->requester_pays));
    if (c->versioning != NULL)
        sl_map_setc(a, b, "versioning", sl_map_of(a, "enabled", c->versioning));
    if (c->event_hold != NULL)
        sl_map_setc(a, b, "defaultEventBasedHold", c->event_hold);
    if (c->index_page.n > 0 || c->not_found_page.n > 0) {
        sl_val *site = sl_map(a);
        sl_map_opt_str(a, site, "mainPageSuffix", c->index_page);
        sl_map_opt_str(a, site, "notFoundPage", c->not_found_page);
        sl_map_setc(a, b, "website", site);
    }
    if (c->kms_key.n > 0) {
        sl_val *key = sl_map(a);
        sl_map_set_str(a, key, "defaultKmsKeyName", c->kms_key);
        sl_map_setc(a, b, "encryption", key);
    }
    if (c->retention_s > 0) {
        sl_val *r = sl_map(a);
        sl_map_set_str(a, r, "retentionPeriod", sl_fmt(a, "%lld", (long long)c->retention_s));
        sl_map_setc(a, b, "retentionPolicy", r);
    }
    if (c->lifecycle != NULL)
        sl_map_setc(a, b, "lifecycle", lifecycle_body(a, c->lifecycle));
    if (c->cors != NULL)
        sl_map_setc(a, b, "cors", cors_body(a, c->cors));
    if (c->acl != NULL)
        sl_map_setc(a, b, "acl", acl_body(a, c->acl));
    if (c->default_acl != NULL)
        sl_map_setc(a, b, "defaultObjectAcl", acl_body(a, c->default_acl));
    if (c->iam != NULL) {
        sl_val *iam = sl_map(a);
        if (sl_get(c->iam, "uniformBucketLevelAccessEnabled") != NULL)
            sl_map_setc(a, iam, "uniformBucketLevelAccess", sl_map_of(a, "enabled", sl_val_bool(sl_get_bool(c->iam, "uniformBucketLevelAccessEnabled", false))));
        if (sl_get(c->iam, "publicAccessPrevention") != NULL)
            sl_map_set_str(a, iam, "publicAccessPrevention", sl_str_lower(a, sl_get_text(c->iam, "publicAccessPrevention")));
        sl_map_setc(a, b, "iamConfiguration", iam);
    }
    if (c->logging != NULL)
        sl_map_setc(a, b, "logging", c->logging);
    return b;
}

static sl_outcome outputs(sl_task *t, const sl_val *bucket, bool created, bool updated)
{
    sl_arena *a = sl_task_arena(t);
    sl_val *out = sl_map(a);
    sl_map_set_str(a, out, "name", sl_get_text(bucket, "name"));
    sl_map_set_str(a, out, "uri", sl_fmt(a, "gs://%.*s", SL_ARG(sl_get_text(bucket, "name"))));
    sl_map_set_str(a, out, "location", sl_get_text(bucket, "location"));
    if (sl_get(sl_get(bucket, "website"), "mainPageSuffix") != NULL)
        sl_map_setc(a, out, "indexPage", sl_get(sl_get(bucket, "website"), "mainPageSuffix"));
    if (sl_get(sl_get(bucket, "website"), "notFoundPage") != NULL)
        sl_map_setc(a, out, "notFoundPage", sl_get(sl_get(bucket, "website"), "notFoundPage"));
    sl_task_out(t, "bucket", out);
    sl_task_out(t, "created", sl_val_bool(created));
    sl_task_out(t, "updated", sl_val_bool(updated));
    return SL_TASK_DONE;
}

static sl_outcome create_run(sl_task *t, void *cfg, sl_err *err)
{
    const bucket_cfg *c = cfg;
    sl_gcp g;
    sl_http_response r;
    const sl_val *bucket;
    sl_arena *a = sl_task_arena(t);
    if (!sl_gcp_open(&g, t, "gcs", &c->gcp, err))
        return SL_TASK_FAILED;
    sl_str path = sl_fmt(a, "/storage/v1/b/%.*s", SL_ARG(sl_percent(a, c->name, NULL)));
    if (!sl_gcp_send(&g, "GET", path, NULL, true, &r, err))
        return SL_TASK_FAILED;
    if (r.status == 404) {
        sl_val *body = body_of(a, c);
        sl_map_set_str(a, body, "name", c->name);
        if (!sl_gcp_need_project(&g, err))
            return SL_TASK_FAILED;
        sl_str insert = sl_fmt(a, "/storage/v1/b?project=%.*s", SL_ARG(sl_percent(a, g.project, NULL)));
        if (!sl_gcp_call(&g, "POST", insert, body, true, &bucket, err)) {
            /* A repeated request whose first answer was lost finds its own bucket. */
            if (err->status != 409 || !sl_gcp_call(&g, "GET", path, NULL, true, &bucket, err))
                return SL_TASK_FAILED;
        }
        return outputs(t, bucket, true, false);
    }
    if (r.status / 100 != 2) {
        sl_gcp_error(&g, &r, sl_fmt(a, "looking for the bucket '%.*s'", SL_ARG(c->name)).p, err);
        return SL_TASK_FAILED;
    }
    if (sl_str_eqc(c->if_exists, "ERROR")) {
        sl_err_set(err, SL_ERR_CONFLICT, "gcs.bucket.exists", "Bucket %.*s already exists (and 'ifExists' is ERROR)", SL_ARG(c->name));
        return SL_TASK_FAILED;
    }
    bool update = sl_str_eqc(c->if_exists, "UPDATE");
    if (!sl_gcp_call(&g, update ? "PATCH" : "GET", path, update ? body_of(a, c) : NULL, true, &bucket, err))
        return SL_TASK_FAILED;
    return outputs(t, bucket, false, update);
}

const sl_task_type sl_gcs_create_bucket = {
    .type = "io.kestra.plugin.gcp.gcs.CreateBucket", .doc = "Makes a bucket.", .cfg_size = sizeof(bucket_cfg), .opts = create_opts, .outs = bucket_outs, .run = create_run,
};

static sl_outcome update_run(sl_task *t, void *cfg, sl_err *err)
{
    const bucket_cfg *c = cfg;
    sl_gcp g;
    const sl_val *bucket;
    sl_str path = sl_fmt(sl_task_arena(t), "/storage/v1/b/%.*s", SL_ARG(sl_percent(sl_task_arena(t), c->name, NULL)));
    return sl_gcp_open(&g, t, "gcs", &c->gcp, err) && sl_gcp_call(&g, "PATCH", path, body_of(g.arena, c), true, &bucket, err) ? outputs(t, bucket, false, true) : SL_TASK_FAILED;
}

static sl_outcome delete_run(sl_task *t, void *cfg, sl_err *err)
{
    const bucket_cfg *c = cfg;
    sl_gcp g;
    sl_http_response r;
    int64_t count, size;
    const sl_val *objects;
    sl_arena *a = sl_task_arena(t);
    sl_gs_listing all = { .listing_type = SL_S("RECURSIVE"), .filter = SL_S("BOTH"), .all_versions = true };
    sl_str uri = sl_fmt(a, "gs://%.*s", SL_ARG(c->name)), path = sl_fmt(a, "/storage/v1/b/%.*s", SL_ARG(sl_percent(a, c->name, NULL)));
    if (!sl_gcp_open(&g, t, "gcs", &c->gcp, err))
        return SL_TASK_FAILED;
    /* An interrupted attempt may have got it through; then the bucket is gone. */
    bool again = sl_task_saved(t) != NULL;
    sl_val *intent = sl_map(a);
    sl_map_set_str(a, intent, "bucket", c->name);
    if (!again && !sl_task_checkpoint(t, intent, err))
        return SL_TASK_FAILED;
    if (c->force && !(sl_gs_find_all(&g, uri, &all, &objects, err) && sl_gs_delete_all(&g, objects, true, 8, &count, &size, err)) && !(again && err->status == 404))
        return SL_TASK_FAILED;
    if (!sl_gcp_send(&g, "DELETE", path, NULL, true, &r, err))
        return SL_TASK_FAILED;
    if (r.status / 100 != 2 && !(r.status == 404 && (again || r.attempts > 1))) {
        sl_gcp_error(&g, &r, sl_fmt(a, "deleting the bucket '%.*s'", SL_ARG(c->name)).p, err);
        return SL_TASK_FAILED;
    }
    sl_task_out_str(t, "bucket", c->name);
    sl_task_out_str(t, "bucketUri", uri);
    return SL_TASK_DONE;
}

static bool has_member(const sl_val *binding, sl_str member)
{
    const sl_val *members = sl_get(binding, "members");
    for (size_t i = 0; i < sl_val_count(members); i++)
        if (sl_str_eq(sl_text(sl_at(members, i)), member))
            return true;
    return false;
}

/* The policy with the member added to the role's unconditional binding; *there: it has been one before. */
static const sl_val *with_member(sl_arena *a, const sl_val *policy, const bucket_cfg *c, bool *there)
{
    const sl_val *old = sl_get(policy, "bindings");
    sl_val *next = sl_map_shallow(a, policy), *bindings = sl_list(a);
    bool placed = false;
    *there = false;
    for (size_t i = 0; i < sl_val_count(old); i++) {
        const sl_val *binding = sl_at(old, i);
        if (!placed && sl_str_eq(sl_get_text(binding, "role"), c->role) && sl_get(binding, "condition") == NULL) {
            *there = has_member(binding, c->member);
            sl_val *mine = sl_map_shallow(a, binding), *members = sl_list(a);
            for (size_t k = 0; k < sl_val_count(sl_get(binding, "members")); k++)
                sl_list_add(a, members, sl_at(sl_get(binding, "members"), k));
            sl_list_add(a, members, sl_val_str(a, c->member));
            sl_map_setc(a, mine, "members", members);
            binding = mine;
            placed = true;
        }
        sl_list_add(a, bindings, binding);
    }
    if (!placed) {
        sl_val *mine = sl_map(a), *members = sl_list(a);
        sl_list_add(a, members, sl_val_str(a, c->member));
        sl_map_set_str(a, mine, "role", c->role);
        sl_map_setc(a, mine, "members", members);
        sl_list_add(a, bindings, mine);
    }
    sl_map_setc(a, next, "bindings", bindings);
    return next;
}

static sl_outcome iam_run(sl_task *t, void *cfg, sl_err *err)
{
    const bucket_cfg *c = cfg;
    sl_gcp g;
    sl_arena *a = sl_task_arena(t);
    const sl_val *policy, *answer;
    bool there = false;
    sl_str path = sl_fmt(a, "/storage/v1/b/%.*s/iam", SL_ARG(sl_percent(a, c->name, NULL)));
    if (!sl_gcp_open(&g, t, "gcs", &c->gcp, err))
        return SL_TASK_FAILED;
    /* Read, change, write under its etag; somebody else's change in between means once more. */
    for (int round = 0;; round++) {
        if (!sl_gcp_call(&g, "GET", sl_fmt(a, "%.*s?optionsRequestedPolicyVersion=3", SL_ARG(path)), NULL, true, &policy, err))
            return SL_TASK_FAILED;
        const sl_val *next = with_member(a, policy, c, &there);
        if (there || sl_gcp_call(&g, "PUT", path, next, true, &answer, err))
            break;
        if ((err->status != 412 && err->status != 409) || round == 5)
            return SL_TASK_FAILED;
    }
    if (there && sl_str_eqc(c->if_exists, "ERROR")) {
        sl_err_set(err, SL_ERR_CONFLICT, "gcs.iam", "%.*s has the role %.*s on '%.*s' already (and 'ifExists' is ERROR)", SL_ARG(c->member), SL_ARG(c->role), SL_ARG(c->name));
        return SL_TASK_FAILED;
    }
    sl_task_out_str(t, "bucket", c->name);
    sl_task_out_str(t, "member", c->member);
    sl_task_out_str(t, "role", c->role);
    sl_task_out(t, "created", sl_val_bool(!there));
    return SL_TASK_DONE;
}

#define GCS "io.kestra.plugin.gcp.gcs."
const sl_task_type sl_gcs_update_bucket = { .type = GCS "UpdateBucket", .doc = "Changes a bucket.", .cfg_size = sizeof(bucket_cfg), .opts = update_opts, .outs = bucket_outs, .run = update_run };
const sl_task_type sl_gcs_delete_bucket = { .type = GCS "DeleteBucket", .doc = "Deletes a bucket.", .cfg_size = sizeof(bucket_cfg), .opts = delete_opts, .outs = delete_outs, .run = delete_run };
const sl_task_type sl_gcs_create_bucket_iam_policy = {
    .type = GCS "CreateBucketIamPolicy", .doc = "Gives a member a role on a bucket.", .cfg_size = sizeof(bucket_cfg), .opts = iam_opts, .outs = iam_outs, .run = iam_run,
};
