/* connectors/s3/list.c: listings (ListObjectsV2); List, Delete, DeleteList. */
#include <pthread.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "base/regex.h"
#include "base/xml.h"
#include "connectors/s3/s3.h"

enum { PAGE_MAX = 1000, DELETERS_MAX = 64 };

typedef struct search {
    sl_s3 *s;
    const sl_s3_listing *l;
    sl_regex *regex;
    sl_val *objects;
    int64_t seen;
    bool stop;
    bool encoded;                 /* keys come form-encoded. Not asked for unless XML cannot say them: servers differ on what '+' means */
} search;

static sl_str decoded(const search *q, sl_str text)
{
    sl_str plain;
    return q->encoded && sl_percent_decode(q->s->aws.arena, text, true, &plain) ? plain : text;
}

static const sl_val *object_of(search *q, const sl_val *e)
{
    sl_arena *a = q->s->aws.arena;
    sl_val *o = sl_map(a), *owner = sl_map(a);
    sl_str key = decoded(q, sl_xml_text(e, "Key")), size = sl_xml_text(e, "Size");
    int64_t bytes = 0;
    (void)sl_parse_int(size, &bytes);
    sl_map_set_str(a, o, "uri", sl_s3_text(q->s, a, key));
    sl_map_set_str(a, o, "key", key);
    sl_map_set_str(a, o, "etag", sl_xml_text(e, "ETag"));
    sl_map_set_int(a, o, "size", bytes);
    sl_map_opt_str(a, o, "lastModified", sl_xml_text(e, "LastModified"));
    sl_map_opt_str(a, owner, "id", sl_xml_text(e, "Owner/ID"));
    sl_map_opt_str(a, owner, "displayName", sl_xml_text(e, "Owner/DisplayName"));
    if (owner->map.n > 0)
        sl_map_setc(a, o, "owner", owner);
    sl_map_opt_str(a, o, "checksumAlgorithm", sl_xml_text(e, "ChecksumAlgorithm"));
    return o;
}

static bool take(search *q, const sl_val *e, sl_err *err)
{
    const sl_val *o = object_of(q, e);
    bool directory = sl_str_ends(sl_get_text(o, "key"), SL_S("/")), hit = true;
    if (q->l->max_keys > 0 && q->seen++ >= q->l->max_keys) {
        q->stop = true;
        return true;
    }
    if ((sl_str_eqc(q->l->filter, "FILES") && directory) || (sl_str_eqc(q->l->filter, "DIRECTORY") && !directory))
        return true;
    if (q->regex != NULL && !sl_regex_full(q->regex, sl_get_text(o, "key"), &hit, err))
        return false;
    if (!hit)
        return true;
    if (q->l->max_files > 0 && q->objects->list.n == (size_t)q->l->max_files) {
        sl_task_log(q->s->aws.task, SL_WARN, "only the first %lld of more objects are taken; raise maxFiles", (long long)q->l->max_files);
        q->stop = true;
        return true;
    }
    sl_list_add(q->s->aws.arena, q->objects, o);
    return true;
}

static sl_str page_query(const search *q, sl_str token)
{
    sl_arena *a = q->s->aws.arena;
    sl_val *params = sl_map(a);
    sl_map_set_str(a, params, "list-type", SL_S("2"));
    if (q->encoded)
        sl_map_set_str(a, params, "encoding-type", SL_S("url"));
    sl_map_set_str(a, params, "fetch-owner", SL_S("true"));
    sl_map_set_int(a, params, "max-keys", q->l->max_keys > 0 && q->l->max_keys < PAGE_MAX ? q->l->max_keys : PAGE_MAX);
    sl_map_opt_str(a, params, "prefix", q->l->prefix);
    sl_map_opt_str(a, params, "delimiter", q->l->delimiter);
    sl_map_opt_str(a, params, "start-after", q->l->marker);
    sl_map_opt_str(a, params, "continuation-token", token);
    return sl_url_query(a, params);
}

bool sl_s3_find(sl_s3 *s, const sl_s3_listing *l, const sl_val **ret, sl_err *err)
{
    sl_arena *a = s->aws.arena;
    search q = { .s = s, .l = l, .objects = sl_list(a) };
    sl_str token = SL_S(""), doing = sl_fmt(a, "listing s3://%.*s/%.*s", SL_ARG(s->bucket), SL_ARG(l->prefix));
    sl_val *headers = sl_map(a);
    sl_map_opt_str(a, headers, "x-amz-expected-bucket-owner", l->owner);
    sl_map_opt_str(a, headers, "x-amz-request-payer", l->payer);
    if (l->regexp.n > 0 && (q.regex = sl_regex_new(a, l->regexp, err)) == NULL)
        return false;
    bool again;
    do {
        sl_http_response r;
        again = false;
        sl_s3_request req = { .method = "GET", .query = page_query(&q, token), .headers = headers };
        if (!sl_s3_call(s, a, &req, doing.p, &r, err))
            return false;
        const sl_val *doc = sl_xml_parse(a, r.body, NULL, err), *found = sl_xml_all(doc, "Contents");
        if (doc == NULL && q.encoded)
            return sl_err_ctx(err, "%s", doing.p);
        if (doc == NULL) {
            q.encoded = again = true; /* a key with control characters */
            continue;
        }
        for (size_t i = 0; !q.stop && i < sl_val_count(found); i++)
            if (!take(&q, sl_at(found, i), err))
                return false;
        token = sl_str_eqc(sl_xml_text(doc, "IsTruncated"), "true") ? sl_xml_text(doc, "NextContinuationToken") : SL_S("");
        if (sl_task_cancelled(s->aws.task))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while %s", doing.p);
    } while (again || (token.n > 0 && !q.stop));
    *ret = q.objects;
    return true;
}

/* ---- tasks ---- */

typedef struct list_cfg {
    sl_aws_cfg aws;
    sl_str bucket, key, mfa;
    sl_s3_listing listing;
    int64_t concurrent;
    bool error_on_empty, bypass;
} list_cfg;

#define BUCKET { .name = "bucket", .type = SL_OPT_STR, .offset = SL_FIELD(list_cfg, bucket), .flags = SL_REQUIRED, .doc = "The bucket." }
#define FILTER { .name = "filter", .type = SL_OPT_ENUM, .offset = SL_FIELD(list_cfg, listing.filter), .values = "FILES DIRECTORY BOTH", .fallback = "BOTH", .doc = "Keys that end in / count as directories." }

static const sl_opt list_opts[] = { SL_AWS_OPTS(list_cfg), BUCKET, SL_S3_LISTING_OPTS(list_cfg), FILTER, SL_S3_MAX_FILES_OPT(list_cfg), { 0 } };
static const sl_opt list_outs[] = { { .name = "objects", .type = SL_OPT_LIST, .doc = "{uri, key, etag, size, lastModified, owner} of each." }, { 0 } };

static sl_outcome list_run(sl_task *t, void *cfg, sl_err *err)
{
    const list_cfg *c = cfg;
    sl_s3 s;
    const sl_val *objects;
    if (!sl_s3_open(&s, t, &c->aws, c->bucket, err) || !sl_s3_find(&s, &c->listing, &objects, err))
        return SL_TASK_FAILED;
    sl_task_out(t, "objects", objects);
    sl_task_counter(t, "size", (double)sl_val_count(objects));
    sl_task_log(t, SL_INFO, "%zu objects in s3://%.*s/%.*s", sl_val_count(objects), SL_ARG(c->bucket), SL_ARG(c->listing.prefix));
    return SL_TASK_DONE;
}

static const sl_opt delete_opts[] = {
    SL_AWS_OPTS(list_cfg),
    BUCKET,
    { .name = "key", .type = SL_OPT_STR, .offset = SL_FIELD(list_cfg, key), .flags = SL_REQUIRED, .doc = "The object." },
    { .name = "bypassGovernanceRetention", .type = SL_OPT_BOOL, .offset = SL_FIELD(list_cfg, bypass), .doc = "Delete it in spite of a lock in governance mode." },
    { .name = "mfa", .type = SL_OPT_STR, .offset = SL_FIELD(list_cfg, mfa), .doc = "Serial number and code of a device, for buckets that ask for it." },
    { .name = "requestPayer", .type = SL_OPT_STR, .offset = SL_FIELD(list_cfg, listing.payer), .doc = "'requester' where the caller pays." },
    { 0 },
};
static const sl_opt delete_outs[] = {
    { .name = "versionId", .type = SL_OPT_STR, .doc = "The version that was made or removed." },
    { .name = "deleteMarker", .type = SL_OPT_BOOL, .doc = "Whether that is a delete marker." },
    { .name = "requestCharged", .type = SL_OPT_STR, .doc = "Who paid." },
    { 0 },
};

static sl_outcome delete_run(sl_task *t, void *cfg, sl_err *err)
{
    const list_cfg *c = cfg;
    sl_s3 s;
    sl_http_response r;
    if (!sl_s3_open(&s, t, &c->aws, c->bucket, err))
        return SL_TASK_FAILED;
    sl_arena *a = s.aws.arena;
    sl_val *headers = sl_map(a);
    if (c->bypass)
        sl_map_set_str(a, headers, "x-amz-bypass-governance-retention", SL_S("true"));
    sl_map_opt_str(a, headers, "x-amz-mfa", c->mfa);
    sl_map_opt_str(a, headers, "x-amz-request-payer", c->listing.payer);
    sl_s3_request req = { .method = "DELETE", .key = c->key, .headers = headers };
    if (!sl_s3_call(&s, a, &req, sl_s3_doing(&s, a, "deleting", c->key), &r, err))
        return SL_TASK_FAILED;
    if (sl_http_header(&r, "x-amz-version-id").n > 0)
        sl_task_out_str(t, "versionId", sl_http_header(&r, "x-amz-version-id"));
    sl_task_out(t, "deleteMarker", sl_val_bool(sl_str_eqc(sl_http_header(&r, "x-amz-delete-marker"), "true")));
    if (sl_http_header(&r, "x-amz-request-charged").n > 0)
        sl_task_out_str(t, "requestCharged", sl_http_header(&r, "x-amz-request-charged"));
    return SL_TASK_DONE;
}

static const sl_opt delete_list_opts[] = {
    SL_AWS_OPTS(list_cfg),
    BUCKET,
    SL_S3_LISTING_OPTS(list_cfg),
    FILTER,
    { .name = "concurrent", .type = SL_OPT_INT, .offset = SL_FIELD(list_cfg, concurrent), .flags = SL_STATIC, .doc = "Deletions at the same time (1; at most 64)." },
    { .name = "errorOnEmpty", .type = SL_OPT_BOOL, .offset = SL_FIELD(list_cfg, error_on_empty), .doc = "Fail when nothing was found." },
    { 0 },
};
static const sl_opt delete_list_outs[] = { { .name = "count", .type = SL_OPT_INT, .doc = "Objects that were deleted." }, { .name = "size", .type = SL_OPT_INT, .doc = "Their bytes." }, { 0 } };

typedef struct deletion {
    sl_s3 *s;
    const sl_val *objects;
} deletion;

static bool delete_nth(void *self, size_t i, sl_arena *arena, sl_err *err)
{
    deletion *d = self;
    sl_http_response r;
    if (sl_task_cancelled(d->s->aws.task))
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while deleting");
    return sl_s3_delete(d->s, arena, sl_get_text(sl_at(d->objects, i), "key"), &r, err);
}

static sl_outcome delete_list_run(sl_task *t, void *cfg, sl_err *err)
{
    const list_cfg *c = cfg;
    sl_s3 s;
    deletion d = { .s = &s };
    int64_t size = 0;
    if (!sl_s3_open(&s, t, &c->aws, c->bucket, err) || !sl_s3_find(&s, &c->listing, &d.objects, err))
        return SL_TASK_FAILED;
    size_t n = sl_val_count(d.objects), threads = c->concurrent > 1 ? (size_t)c->concurrent : 1;
    if (n == 0 && c->error_on_empty) {
        sl_err_set(err, SL_ERR_NOT_FOUND, "s3.missing", "nothing to delete in s3://%.*s/%.*s (and 'errorOnEmpty' is true)", SL_ARG(c->bucket), SL_ARG(c->listing.prefix));
        return SL_TASK_FAILED;
    }
    if (!sl_parallel(threads < DELETERS_MAX ? threads : DELETERS_MAX, n, delete_nth, &d, err))
        return SL_TASK_FAILED;
    for (size_t i = 0; i < n; i++)
        size += sl_get_int(sl_at(d.objects, i), "size", 0);
    sl_task_out_int(t, "count", (int64_t)n);
    sl_task_out_int(t, "size", size);
    sl_task_counter(t, "count", (double)n);
    return SL_TASK_DONE;
}

#define S3 "io.kestra.plugin.aws.s3."
const sl_task_type sl_s3_list_task = { .type = S3 "List", .doc = "Lists objects of a bucket.", .cfg_size = sizeof(list_cfg), .opts = list_opts, .outs = list_outs, .run = list_run };
const sl_task_type sl_s3_delete_task = { .type = S3 "Delete", .doc = "Deletes an object.", .cfg_size = sizeof(list_cfg), .opts = delete_opts, .outs = delete_outs, .run = delete_run };
const sl_task_type sl_s3_delete_list_task = { .type = S3 "DeleteList", .doc = "Deletes all objects that a listing finds.", .cfg_size = sizeof(list_cfg), .opts = delete_list_opts, .outs = delete_list_outs, .run = delete_list_run };
