/* connectors/s3/copy.c: copies within the service, moves, io.kestra.plugin.aws.s3.Copy. */
#include <pthread.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "base/xml.h"
#include "connectors/s3/multipart.h"

enum { COPY_IDLE_MS = 600000, COPIERS = 8 };
static const int64_t COPY_ONE_MAX = 5LL << 30, COPY_PART = 512LL << 20;

/* ---- copies ---- */

static sl_str copy_source(sl_arena *a, const sl_s3_copy *c)
{
    sl_str path = sl_fmt(a, "/%.*s/%.*s", SL_ARG(c->bucket), SL_ARG(sl_percent(a, c->key, "/")));
    return c->version.n ? sl_fmt(a, "%.*s?versionId=%.*s", SL_ARG(path), SL_ARG(sl_percent(a, c->version, NULL))) : path;
}

/* The source, and the key that opens it. */
static sl_val *source_headers(sl_arena *a, const sl_s3_copy *c, const sl_val *more)
{
    sl_val *h = sl_map_shallow(a, more);
    sl_map_set_str(a, h, "x-amz-copy-source", copy_source(a, c));
    for (size_t i = 0; i < sl_val_count(c->customer); i++) {
        sl_str name = c->customer->map.entries[i].key;
        sl_map_set(a, h, sl_fmt(a, "x-amz-copy-source-%.*s", SL_ARG(sl_str_sub(name, 6, name.n))), c->customer->map.entries[i].value);
    }
    return h;
}

/* A copy in parts: several at a time, all of the same source. */
typedef struct copying {
    sl_s3 *s;
    const sl_s3_copy *c;
    sl_str upload, etag;          /* etag: of the source, which must not change meanwhile */
    const sl_val *customer;       /* headers of a key that the copy is encrypted with */
    int64_t size;
    sl_s3_part *parts;
    pthread_mutex_t lock;         /* of the arena of `parts` */
    const char *doing;
} copying;

static bool copy_part(void *self, size_t i, sl_arena *a, sl_err *err)
{
    copying *k = self;
    sl_s3 s = *k->s;
    sl_http_response r;
    const int64_t from = (int64_t)i * COPY_PART, to = from + COPY_PART < k->size ? from + COPY_PART : k->size;
    if (sl_task_cancelled(s.aws.task))
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while %s", k->doing);
    sl_val *headers = source_headers(a, k->c, k->customer);
    sl_map_set_str(a, headers, "x-amz-copy-source-range", sl_fmt(a, "bytes=%lld-%lld", (long long)from, (long long)to - 1));
    sl_map_opt_str(a, headers, "x-amz-copy-source-if-match", k->etag);
    sl_s3_request req = { .method = "PUT", .key = k->c->to_key, .query = sl_fmt(a, "partNumber=%zu&uploadId=%.*s", i + 1, SL_ARG(sl_percent(a, k->upload, NULL))), .headers = headers, .xml_result = true, .idle_ms = COPY_IDLE_MS };
    if (!sl_s3_call(&s, a, &req, k->doing, &r, err))
        return false;
    const sl_val *doc = sl_xml_parse(a, r.body, NULL, err);
    if (doc == NULL)
        return sl_err_ctx(err, "%s", k->doing);
    pthread_mutex_lock(&k->lock);
    k->parts[i] = (sl_s3_part){ .etag = sl_str_dup(k->s->aws.arena, sl_xml_text(doc, "ETag")), .size = to - from };
    pthread_mutex_unlock(&k->lock);
    return true;
}

/* An answer that was lost: the upload is no more because it is an object now, of that size and so many parts. */
static bool complete_copy(copying *k, size_t count, sl_str *ret_etag, sl_err *err)
{
    sl_arena *a = k->s->aws.arena;
    sl_s3_target to = { .s = k->s, .key = k->c->to_key };
    sl_s3_made made;
    bool ok = sl_s3_multipart_complete(&to, k->upload, k->parts, count, &made, err);
    if (!ok && made.gone) {
        sl_http_response r;
        sl_err ignored;
        int64_t size;
        sl_s3_request head = { .method = "HEAD", .key = k->c->to_key };
        ok = sl_s3_send(k->s, a, &head, &r, &ignored) && r.status == 200 && sl_parse_int(sl_http_header(&r, "content-length"), &size) && size == k->size
             && sl_str_ends(sl_str_replace(a, sl_http_header(&r, "etag"), SL_S("\""), SL_S("")), sl_fmt(a, "-%zu", count));
        made.etag = ok ? sl_http_header(&r, "etag") : made.etag;
    }
    if (ok && ret_etag != NULL)
        *ret_etag = made.etag;
    return ok || sl_err_ctx(err, "%s", k->doing);
}

static const sl_val *customer_of(sl_arena *a, const sl_val *headers)
{
    sl_val *out = sl_map(a);
    for (size_t i = 0; i < sl_val_count(headers); i++)
        if (sl_str_starts(headers->map.entries[i].key, SL_S("x-amz-server-side-encryption-customer-")))
            sl_map_set(a, out, headers->map.entries[i].key, headers->map.entries[i].value);
    return out;
}

static bool copy_in_parts(sl_s3 *s, const sl_s3_copy *c, const sl_val *described, sl_str source_etag, int64_t size, const char *doing, sl_str *ret_etag, sl_err *err)
{
    sl_arena *a = s->aws.arena;
    sl_http_response r;
    sl_s3_request begin = { .method = "POST", .key = c->to_key, .query = SL_S("uploads="), .headers = described };
    if (!sl_s3_call(s, a, &begin, doing, &r, err))
        return false;
    const sl_val *doc = sl_xml_parse(a, r.body, NULL, err);
    sl_str id = sl_xml_text(doc, "UploadId");
    if (id.n == 0)
        return sl_err_set(err, SL_ERR_REMOTE, "s3.upload", "S3 gave no id for an upload (%s)", doing);
    const size_t count = (size_t)((size + COPY_PART - 1) / COPY_PART);
    copying k = { .s = s, .c = c, .upload = id, .etag = source_etag, .customer = customer_of(a, c->headers), .size = size, .parts = SL_ARRAY(a, sl_s3_part, count), .lock = PTHREAD_MUTEX_INITIALIZER, .doing = doing };
    bool ok = sl_parallel(COPIERS, count, copy_part, &k, err) && complete_copy(&k, count, ret_etag, err);
    if (!ok)
        sl_s3_multipart_abort(s, c->to_key, id);
    return ok;
}

static bool find_source(sl_s3 *s, const sl_s3_copy *c, sl_http_response *ret, int64_t *ret_size, sl_err *err)
{
    sl_arena *a = s->aws.arena;
    sl_s3 from = { .aws = s->aws, .bucket = c->bucket, .path_style = s->path_style, .customer = c->customer };
    sl_s3_request head = { .method = "HEAD", .key = c->key, .query = c->version.n ? sl_fmt(a, "versionId=%.*s", SL_ARG(sl_percent(a, c->version, NULL))) : SL_S("") };
    return sl_s3_call(&from, a, &head, sl_s3_doing(&from, a, "looking for", c->key), ret, err)
           && (sl_parse_int(sl_http_header(ret, "content-length"), ret_size) || sl_err_set(err, SL_ERR_REMOTE, "s3.size", "S3 does not say how large %.*s is", SL_ARG(c->key)));
}

/* A copy in parts takes over nothing by itself. */
static const sl_val *taken_over(sl_arena *a, const sl_http_response *source, const sl_val *headers)
{
    static const char *const names[] = { "content-type", "content-encoding", "content-disposition", "content-language", "cache-control", "expires" };
    sl_val *all = sl_map(a);
    for (size_t i = 0; i < SL_COUNT(names); i++)
        sl_map_opt_str(a, all, names[i], sl_http_header(source, names[i]));
    for (size_t i = 0; i < sl_val_count(source->headers); i++) {
        sl_str name = source->headers->map.entries[i].key;
        if (sl_str_starts(name, SL_S("x-amz-meta-")))
            sl_map_set_str(a, all, name.p, sl_http_header(source, name.p));
    }
    for (size_t i = 0; i < sl_val_count(headers); i++)
        sl_map_set(a, all, headers->map.entries[i].key, headers->map.entries[i].value);
    return all;
}

bool sl_s3_copy_object(sl_s3 *s, const sl_s3_copy *c, sl_str *ret_etag, sl_err *err)
{
    sl_arena *a = s->aws.arena;
    sl_http_response r;
    int64_t size;
    sl_str doing = sl_fmt(a, "copying s3://%.*s/%.*s to %.*s", SL_ARG(c->bucket), SL_ARG(c->key), SL_ARG(sl_s3_text(s, a, c->to_key)));
    if (!find_source(s, c, &r, &size, err))
        return false;
    if (size > COPY_ONE_MAX)
        return copy_in_parts(s, c, taken_over(a, &r, c->headers), sl_http_header(&r, "etag"), size, doing.p, ret_etag, err);
    sl_s3_request req = { .method = "PUT", .key = c->to_key, .headers = source_headers(a, c, c->headers), .xml_result = true, .idle_ms = COPY_IDLE_MS };
    if (!sl_s3_call(s, a, &req, doing.p, &r, err))
        return false;
    const sl_val *doc = sl_xml_parse(a, r.body, NULL, err);
    if (doc != NULL && ret_etag != NULL)
        *ret_etag = sl_xml_text(doc, "ETag");
    return doc != NULL || sl_err_ctx(err, "%s", doing.p);
}

static bool exists(sl_s3 *s, sl_str key, bool *ret, sl_err *err)
{
    sl_arena *a = s->aws.arena;
    sl_http_response r;
    sl_s3_request head = { .method = "HEAD", .key = key };
    if (!sl_s3_send(s, a, &head, &r, err))
        return false;
    *ret = r.status / 100 == 2;
    return *ret || r.status == 404 || sl_s3_error(s, a, &r, sl_s3_doing(s, a, "looking for", key), err);
}

/* Copy, then deletion. After an interruption (there is a checkpoint), one that was finished is recognised. */
static bool move(sl_s3 *s, sl_s3 *to, const sl_s3_copy *c, sl_str *ret_etag, sl_err *err)
{
    bool source = true, target = false;
    sl_http_response r;
    if (sl_task_saved(s->aws.task) != NULL && (!exists(s, c->key, &source, err) || !exists(to, c->to_key, &target, err)))
        return false;
    if (!source && target)
        return true;
    return sl_s3_copy_object(to, c, ret_etag, err) && sl_s3_delete(s, s->aws.arena, c->key, &r, err);
}

const sl_opt sl_s3_move_opts[] = {
    { .name = "bucket", .type = SL_OPT_STR, .doc = "The bucket; the same one when absent." },
    { .name = "key", .type = SL_OPT_STR, .doc = "What the new keys begin with, before a slash and the last part of the old one." },
    { 0 },
};

bool sl_s3_may_act(sl_str action, const sl_val *move_to, sl_err *err)
{
    return !sl_str_eqc(action, "MOVE") || move_to != NULL || sl_err_set(err, SL_ERR_CONFIG, "s3.move", "action MOVE needs 'moveTo' ({bucket, key})");
}

/* An object that was replaced since is not the one that was meant; it will be found again. */
static bool replaced(sl_s3 *s, const sl_val *object, bool *ret, sl_err *err)
{
    sl_arena *a = s->aws.arena;
    sl_http_response r;
    sl_str key = sl_get_text(object, "key"), etag = sl_get_text(object, "etag");
    sl_s3_request head = { .method = "HEAD", .key = key };
    if (!sl_s3_send(s, a, &head, &r, err))
        return false;
    *ret = r.status / 100 == 2 && etag.n > 0 && !sl_str_eq(sl_http_header(&r, "etag"), etag);
    if (*ret)
        sl_task_log(s->aws.task, SL_WARN, "%.*s has been replaced meanwhile and stays where it is", SL_ARG(sl_s3_text(s, a, key)));
    return true;
}

bool sl_s3_act(sl_s3 *s, const sl_aws_cfg *cfg, sl_str action, const sl_val *move_to, const sl_val *objects, sl_err *err)
{
    sl_arena *a = s->aws.arena;
    sl_str bucket = sl_get_text(move_to, "bucket"), prefix = sl_get_text(move_to, "key");
    sl_http_response r;
    sl_s3 to;
    if (action.n == 0 || sl_str_eqc(action, "NONE"))
        return true;
    bool moves = sl_str_eqc(action, "MOVE"), other;
    if (moves && !sl_s3_open(&to, s->aws.task, cfg, bucket.n ? bucket : s->bucket, err))
        return false;
    to.customer = s->customer; /* what is moved stays as closed as it was */
    while (prefix.n > 0 && prefix.p[prefix.n - 1] == '/')
        prefix.n--;
    for (size_t i = 0; i < sl_val_count(objects); i++) {
        sl_str key = sl_get_text(sl_at(objects, i), "key"), name = sl_str_sub(key, (size_t)(sl_str_rfind(key, SL_S("/")) + 1), key.n);
        sl_s3_copy c = { .bucket = s->bucket, .key = key, .customer = s->customer, .to_key = prefix.n ? sl_fmt(a, "%.*s/%.*s", SL_ARG(prefix), SL_ARG(name)) : name };
        if (!replaced(s, sl_at(objects, i), &other, err) || (!other && !(moves ? move(s, &to, &c, NULL, err) : sl_s3_delete(s, a, key, &r, err))))
            return false;
    }
    return true;
}

/* ---- Copy ---- */

typedef struct copy_cfg {
    sl_aws_cfg aws;
    const sl_val *from, *to;
    bool delete_source;
} copy_cfg;

static const sl_opt from_opts[] = {
    { .name = "bucket", .type = SL_OPT_STR, .flags = SL_REQUIRED, .doc = "The bucket." },
    { .name = "key", .type = SL_OPT_STR, .flags = SL_REQUIRED, .doc = "The object." },
    { .name = "versionId", .type = SL_OPT_STR, .doc = "Its version." },
    { .name = "sseCustomerKey", .type = SL_OPT_SECRET, .doc = SL_S3_KEY_DOC },
    { 0 },
};
static const sl_opt to_opts[] = {
    { .name = "bucket", .type = SL_OPT_STR, .doc = "The bucket; the source's when absent." },
    { .name = "key", .type = SL_OPT_STR, .doc = "The object; the source's when absent." },
    { .name = "serverSideEncryption", .type = SL_OPT_ENUM, .values = "NONE AES256 AWS_KMS", .doc = "How S3 encrypts it." },
    { .name = "kmsKeyId", .type = SL_OPT_STR, .doc = "The key, for AWS_KMS." },
    { .name = "sseCustomerKey", .type = SL_OPT_SECRET, .doc = SL_S3_KEY_DOC },
    { 0 },
};
static const sl_opt copy_opts[] = {
    SL_AWS_OPTS(copy_cfg),
    { .name = "from", .type = SL_OPT_MAP, .offset = SL_FIELD(copy_cfg, from), .flags = SL_REQUIRED, .sub = from_opts, .doc = "The source." },
    { .name = "to", .type = SL_OPT_MAP, .offset = SL_FIELD(copy_cfg, to), .sub = to_opts, .doc = "The target." },
    { .name = "delete", .type = SL_OPT_BOOL, .offset = SL_FIELD(copy_cfg, delete_source), .doc = "Delete the source afterwards." },
    { 0 },
};
static const sl_opt copy_outs[] = {
    { .name = "bucket", .type = SL_OPT_STR, .doc = "Bucket of the target." }, { .name = "key", .type = SL_OPT_STR, .doc = "Its key." }, { .name = "eTag", .type = SL_OPT_STR, .doc = "Its ETag." }, { 0 },
};

static sl_outcome copy_run(sl_task *t, void *cfg, sl_err *err)
{
    const copy_cfg *c = cfg;
    sl_arena *a = sl_task_arena(t);
    sl_str bucket = sl_get_text(c->to, "bucket"), key = sl_get_text(c->to, "key"), sse = sl_get_text(c->to, "serverSideEncryption"), etag = SL_S("");
    sl_str from_key = sl_get_text(c->from, "sseCustomerKey"), to_key = sl_get_text(c->to, "sseCustomerKey");
    sl_s3 from, to;
    sl_val *headers = sl_map(a);
    sl_s3_copy copy = { .bucket = sl_get_text(c->from, "bucket"), .key = sl_get_text(c->from, "key"), .version = sl_get_text(c->from, "versionId"), .headers = headers };
    bucket = bucket.n ? bucket : copy.bucket;
    copy.to_key = key.n ? key : copy.key;
    if (sl_str_eq(bucket, copy.bucket) && sl_str_eq(copy.key, copy.to_key) && copy.version.n == 0 && sse.n == 0 && sl_str_eq(from_key, to_key)) {
        sl_err_set(err, SL_ERR_CONFIG, "s3.copy", "s3://%.*s/%.*s cannot be copied onto itself; give another 'to', or a 'versionId'", SL_ARG(bucket), SL_ARG(copy.key));
        return SL_TASK_FAILED;
    }
    if (sl_str_eqc(sse, "AES256") || sl_str_eqc(sse, "AWS_KMS"))
        sl_map_set_str(a, headers, "x-amz-server-side-encryption", sl_str_eqc(sse, "AES256") ? sse : SL_S("aws:kms"));
    sl_map_opt_str(a, headers, "x-amz-server-side-encryption-aws-kms-key-id", sl_get_text(c->to, "kmsKeyId"));
    sl_val *intent = sl_map_of(a, "to", sl_val_str(a, copy.to_key));
    if (!sl_s3_open(&from, t, &c->aws, copy.bucket, err) || !sl_s3_use_key(&from, from_key, err) || !sl_s3_open(&to, t, &c->aws, bucket, err) || !sl_s3_use_key(&to, to_key, err))
        return SL_TASK_FAILED;
    copy.customer = from.customer;
    if ((c->delete_source && sl_task_saved(t) == NULL && !sl_task_checkpoint(t, intent, err))
        || !(c->delete_source ? move(&from, &to, &copy, &etag, err) : sl_s3_copy_object(&to, &copy, &etag, err)))
        return SL_TASK_FAILED;
    sl_task_out_str(t, "bucket", bucket);
    sl_task_out_str(t, "key", copy.to_key);
    sl_task_out_str(t, "eTag", etag);
    return SL_TASK_DONE;
}

const sl_task_type sl_s3_copy_task = { .type = "io.kestra.plugin.aws.s3.Copy", .doc = "Copies an object within S3.", .cfg_size = sizeof(copy_cfg), .opts = copy_opts, .outs = copy_outs, .run = copy_run };
