/* connectors/s3/fetch.c: io.kestra.plugin.aws.s3.Download and Downloads. */
#include "base/arena.h"
#include "connectors/s3/s3.h"

typedef struct download_cfg {
    sl_aws_cfg aws;
    sl_str bucket, key, version, action, customer_key;
    const sl_val *move_to;
    sl_s3_listing listing;
    bool validate;
} download_cfg;

#define BUCKET { .name = "bucket", .type = SL_OPT_STR, .offset = SL_FIELD(download_cfg, bucket), .flags = SL_REQUIRED, .doc = "The bucket." }
#define VALIDATE { .name = "validateChecksum", .type = SL_OPT_BOOL, .offset = SL_FIELD(download_cfg, validate), .doc = "Warn when there is no checksum to compare; where there is one it is compared in any case." }

#define CUSTOMER_KEY { .name = "sseCustomerKey", .type = SL_OPT_SECRET, .offset = SL_FIELD(download_cfg, customer_key), .doc = SL_S3_KEY_DOC }

static const sl_opt download_opts[] = {
    SL_AWS_OPTS(download_cfg),
    BUCKET,
    { .name = "key", .type = SL_OPT_STR, .offset = SL_FIELD(download_cfg, key), .doc = "The object; else all that prefix, delimiter and regexp find." },
    { .name = "versionId", .type = SL_OPT_STR, .offset = SL_FIELD(download_cfg, version), .doc = "Its version." },
    CUSTOMER_KEY,
    VALIDATE,
    SL_S3_LISTING_OPTS(download_cfg),
    SL_S3_MAX_FILES_OPT(download_cfg),
    { 0 },
};
static const sl_opt download_outs[] = {
    { .name = "uri", .type = SL_OPT_STR, .doc = "The file." },
    { .name = "eTag", .type = SL_OPT_STR, .doc = "The object's ETag, in quotes." },
    { .name = "contentLength", .type = SL_OPT_INT, .doc = "Its bytes." },
    { .name = "contentType", .type = SL_OPT_STR, .doc = "Its Content-Type." },
    { .name = "metadata", .type = SL_OPT_MAP, .doc = "Its own metadata." },
    { .name = "versionId", .type = SL_OPT_STR, .doc = "Its version." },
    { .name = "checksumAlgorithm", .type = SL_OPT_STR, .doc = "What its checksum was computed with." },
    { .name = "checksumValue", .type = SL_OPT_STR, .doc = "Its checksum (base64)." },
    { .name = "files", .type = SL_OPT_MAP, .doc = "Several: key to the outputs of one." },
    { 0 },
};
static const sl_opt downloads_opts[] = {
    SL_AWS_OPTS(download_cfg),
    BUCKET,
    SL_S3_LISTING_OPTS(download_cfg),
    SL_S3_MAX_FILES_OPT(download_cfg),
    { .name = "filter", .type = SL_OPT_ENUM, .offset = SL_FIELD(download_cfg, listing.filter), .values = "FILES DIRECTORY BOTH", .fallback = "BOTH", .doc = "Keys that end in / are directories, and never downloaded." },
    { .name = "action", .type = SL_OPT_ENUM, .offset = SL_FIELD(download_cfg, action), .values = "NONE DELETE MOVE", .fallback = "NONE", .doc = "What becomes of the objects afterwards." },
    { .name = "moveTo", .type = SL_OPT_MAP, .offset = SL_FIELD(download_cfg, move_to), .sub = sl_s3_move_opts, .doc = "MOVE: where to." },
    CUSTOMER_KEY,
    VALIDATE,
    { 0 },
};
static const sl_opt downloads_outs[] = {
    { .name = "objects", .type = SL_OPT_LIST, .doc = "The objects; uri is the file." }, { .name = "outputFiles", .type = SL_OPT_MAP, .doc = "Key to file." }, { 0 },
};

static const sl_val *request_headers(sl_arena *a, const download_cfg *c)
{
    sl_val *h = sl_map(a);
    sl_map_opt_str(a, h, "x-amz-expected-bucket-owner", c->listing.owner);
    sl_map_opt_str(a, h, "x-amz-request-payer", c->listing.payer);
    return h;
}

static void miss_sum(sl_s3 *s, const download_cfg *c, const sl_val *got)
{
    if (c->validate && sl_get(got, "checksumValue") == NULL)
        sl_task_log(s->aws.task, SL_WARN, "%.*s has no checksum to compare", SL_ARG(sl_s3_text(s, s->aws.arena, sl_get_text(got, "key"))));
}

/* doc: {objects, outputFiles, files} */
static bool get_all(sl_s3 *s, const download_cfg *c, const sl_val **ret, sl_err *err)
{
    const sl_val *objects, *all;
    sl_arena *a = s->aws.arena;
    sl_val *list = sl_list(a), *paths = sl_map(a), *files = sl_map(a), *doc = sl_map(a);
    sl_s3_listing listing = c->listing;
    listing.filter = SL_S("FILES");
    if (!sl_s3_find(s, &listing, &objects, err) || !sl_s3_store_all(s, objects, request_headers(a, c), &all, err))
        return false;
    for (size_t i = 0; i < sl_val_count(objects); i++) {
        const sl_val *got = sl_at(all, i);
        sl_str key = sl_get_text(got, "key");
        sl_val *o = sl_map_shallow(a, sl_at(objects, i));
        miss_sum(s, c, got);
        sl_map_setc(a, o, "uri", sl_get(got, "uri"));
        sl_list_add(a, list, o);
        sl_map_set(a, paths, key, sl_get(got, "uri"));
        sl_map_set(a, files, key, got);
    }
    sl_map_setc(a, doc, "objects", list);
    sl_map_setc(a, doc, "outputFiles", paths);
    sl_map_setc(a, doc, "files", files);
    *ret = doc;
    return true;
}

static bool get_one(sl_s3 *s, const download_cfg *c, const sl_val **ret, sl_err *err)
{
    sl_val *got;
    sl_s3_wanted w = { .key = c->key, .version = c->version, .headers = request_headers(s->aws.arena, c) };
    if (!sl_s3_store(s, &w, &got, err))
        return false;
    miss_sum(s, c, got);
    *ret = got;
    return true;
}

static sl_outcome download_run(sl_task *t, void *cfg, sl_err *err)
{
    const download_cfg *c = cfg;
    sl_s3 s;
    const sl_val *got;
    bool several = c->listing.prefix.n > 0 || c->listing.delimiter.n > 0 || c->listing.regexp.n > 0;
    if (!several && c->key.n == 0) {
        sl_err_set(err, SL_ERR_CONFIG, "s3.key", "give 'key' (one object), or 'prefix', 'delimiter' or 'regexp' (several)");
        return SL_TASK_FAILED;
    }
    if (!sl_s3_open(&s, t, &c->aws, c->bucket, err) || !sl_s3_use_key(&s, c->customer_key, err) || !(several ? get_all(&s, c, &got, err) : get_one(&s, c, &got, err)))
        return SL_TASK_FAILED;
    if (several)
        sl_task_out(t, "files", sl_get(got, "files"));
    for (const sl_opt *o = download_outs; !several && o->name != NULL; o++)
        if (sl_get(got, o->name) != NULL)
            sl_task_out(t, o->name, sl_get(got, o->name));
    return SL_TASK_DONE;
}

static sl_outcome downloads_run(sl_task *t, void *cfg, sl_err *err)
{
    const download_cfg *c = cfg;
    sl_s3 s;
    const sl_val *done = sl_task_saved(t);
    bool acts = !sl_str_eqc(c->action, "NONE");
    /* Before the first object is moved or deleted, it is on disk that all are here. */
    if (!sl_s3_may_act(c->action, c->move_to, err) || !sl_s3_open(&s, t, &c->aws, c->bucket, err) || !sl_s3_use_key(&s, c->customer_key, err)
        || (done == NULL && (!get_all(&s, c, &done, err) || (acts && !sl_task_checkpoint(t, done, err)))))
        return SL_TASK_FAILED;
    if (acts && !sl_s3_act(&s, &c->aws, c->action, c->move_to, sl_get(done, "objects"), err))
        return SL_TASK_FAILED;
    sl_task_out(t, "objects", sl_get(done, "objects"));
    sl_task_out(t, "outputFiles", sl_get(done, "outputFiles"));
    sl_task_log(t, SL_INFO, "%zu objects downloaded from s3://%.*s/%.*s", sl_val_count(sl_get(done, "objects")), SL_ARG(c->bucket), SL_ARG(c->listing.prefix));
    return SL_TASK_DONE;
}

#define S3 "io.kestra.plugin.aws.s3."
const sl_task_type sl_s3_download_task = { .type = S3 "Download", .doc = "Downloads an object, or several.", .cfg_size = sizeof(download_cfg), .opts = download_opts, .outs = download_outs, .run = download_run };
const sl_task_type sl_s3_downloads_task = {
    .type = S3 "Downloads", .doc = "Downloads all objects that a listing finds.", .cfg_size = sizeof(download_cfg), .opts = downloads_opts, .outs = downloads_outs, .run = downloads_run,
};
