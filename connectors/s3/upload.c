/* connectors/s3/upload.c: io.kestra.plugin.aws.s3.Upload (one file or several). */
#include <pthread.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/parallel.h"
#include "base/time.h"
#include "connectors/s3/put.h"

enum { CONCURRENT_MAX = 64 };

typedef struct upload_cfg {
    sl_aws_cfg aws;
    const sl_val *from, *metadata, *tagging;
    sl_str bucket, key, cache_control, content_type, content_encoding, content_disposition, content_language, expires, acl, storage_class, sse, kms_key, algorithm, checksum, owner, lock_mode, legal_hold, retain_until,
        payer, if_match, if_none_match, customer_key;
    int64_t content_length, concurrent;
    bool bucket_key;
} upload_cfg;

#define TEXT(yaml, field, words) { .name = yaml, .type = SL_OPT_STR, .offset = SL_FIELD(upload_cfg, field), .doc = words }

static const sl_opt opts[] = {
    SL_AWS_OPTS(upload_cfg),
    { .name = "from", .type = SL_OPT_ANY, .offset = SL_FIELD(upload_cfg, from), .flags = SL_REQUIRED, .doc = "A file (kestra:// URI), a list of files, or a map of names to files." },
    { .name = "bucket", .type = SL_OPT_STR, .offset = SL_FIELD(upload_cfg, bucket), .flags = SL_REQUIRED, .doc = "The bucket." },
    { .name = "key", .type = SL_OPT_STR, .offset = SL_FIELD(upload_cfg, key), .flags = SL_REQUIRED, .doc = "Key of the object; for several files what comes before their names." },
    { .name = "metadata", .type = SL_OPT_MAP, .offset = SL_FIELD(upload_cfg, metadata), .doc = "The object's own metadata." },
    TEXT("cacheControl", cache_control, "Cache-Control of the object."),
    TEXT("contentType", content_type, "Content-Type of the object."),
    TEXT("contentEncoding", content_encoding, "Content-Encoding of the object."),
    TEXT("contentDisposition", content_disposition, "Content-Disposition of the object."),
    TEXT("contentLanguage", content_language, "Content-Language of the object."),
    { .name = "contentLength", .type = SL_OPT_INT, .offset = SL_FIELD(upload_cfg, content_length), .fallback = "-1", .doc = "Fail when the file has another size." },
    TEXT("expires", expires, "When caches are to drop it (ISO 8601)."),
    TEXT("acl", acl, "Canned access control list."),
    TEXT("storageClass", storage_class, "Storage class."),
    TEXT("serverSideEncryption", sse, "AES256, AWS_KMS or AWS_KMS_DSSE."),
    TEXT("kmsKeyId", kms_key, "Key for AWS_KMS."),
    { .name = "sseCustomerKey", .type = SL_OPT_SECRET, .offset = SL_FIELD(upload_cfg, customer_key), .doc = SL_S3_KEY_DOC },
    { .name = "bucketKeyEnabled", .type = SL_OPT_BOOL, .offset = SL_FIELD(upload_cfg, bucket_key), .doc = "Use the bucket's key for AWS_KMS." },
    TEXT("checksumAlgorithm", algorithm, "CRC32C (the default), CRC32, CRC64NVME, SHA1 or SHA256."),
    TEXT("checksum", checksum, "Fail when the file's checksum (base64) is another one."),
    TEXT("expectedBucketOwner", owner, "Fail when the bucket belongs to another account."),
    TEXT("objectLockMode", lock_mode, "GOVERNANCE or COMPLIANCE."),
    TEXT("objectLockLegalHoldStatus", legal_hold, "ON or OFF."),
    TEXT("objectLockRetainUntilDate", retain_until, "Until when (ISO 8601)."),
    { .name = "tagging", .type = SL_OPT_MAP, .offset = SL_FIELD(upload_cfg, tagging), .doc = "Tags of the object." },
    TEXT("requestPayer", payer, "'requester' where the caller pays."),
    TEXT("ifMatch", if_match, "Only replace the object with this ETag."),
    TEXT("ifNoneMatch", if_none_match, "'*': only when there is no such object."),
    { .name = "concurrentUploads", .type = SL_OPT_INT, .offset = SL_FIELD(upload_cfg, concurrent), .fallback = "50", .doc = "Files at the same time, at most 64." },
    { 0 },
};

static const sl_opt outs[] = {
    { .name = "bucket", .type = SL_OPT_STR, .doc = "The bucket." },
    { .name = "key", .type = SL_OPT_STR, .doc = "The key, or what the keys begin with." },
    { .name = "eTag", .type = SL_OPT_STR, .doc = "The object's ETag, in quotes." },
    { .name = "versionId", .type = SL_OPT_STR, .doc = "Its version." },
    { .name = "files", .type = SL_OPT_MAP, .doc = "Several files: name to {eTag, versionId, contentLength}." },
    { 0 },
};

/* ---- headers of the object ---- */

static sl_str tag_header(sl_arena *a, const sl_val *tags)
{
    sl_val *texts = sl_map(a);
    for (size_t i = 0; i < sl_val_count(tags); i++)
        sl_map_set_str(a, texts, tags->map.entries[i].key.p, sl_val_text(a, tags->map.entries[i].value));
    return sl_url_query(a, texts);
}

static bool time_header(sl_arena *a, sl_val *headers, const char *name, const char *property, sl_str text, bool http, sl_err *err)
{
    sl_time at;
    sl_str said;
    if (text.n == 0)
        return true;
    if (!sl_time_parse(text, &at) || at.kind == SL_TIME_OF_DAY)
        return sl_err_set(err, SL_ERR_CONFIG, "s3.time", "'%s' must be a time such as 2026-01-31T12:00:00Z, not '%.*s'", property, SL_ARG(text));
    at = sl_time_at(at.s, 0, sl_tz_utc());
    if (!sl_time_format(a, at, http ? SL_S("EEE, dd MMM yyyy HH:mm:ss 'GMT'") : SL_S("yyyy-MM-dd'T'HH:mm:ss'Z'"), &said, err))
        return false;
    sl_map_set_str(a, headers, name, said);
    return true;
}

static sl_str wire_sse(sl_str s)
{
    return sl_str_eqc(s, "AWS_KMS") ? SL_S("aws:kms") : sl_str_eqc(s, "AWS_KMS_DSSE") ? SL_S("aws:kms:dsse") : s;
}

static const sl_val *headers_of(sl_arena *a, const upload_cfg *c, sl_err *err)
{
    sl_val *h = sl_map(a);
    const struct {
        const char *name;
        sl_str value;
    } texts[] = {
        { "content-type", c->content_type.n ? c->content_type : SL_S("application/octet-stream") }, { "cache-control", c->cache_control }, { "content-encoding", c->content_encoding },
        { "content-disposition", c->content_disposition }, { "content-language", c->content_language }, { "x-amz-acl", c->acl }, { "x-amz-storage-class", c->storage_class },
        { "x-amz-server-side-encryption", wire_sse(c->sse) }, { "x-amz-server-side-encryption-aws-kms-key-id", c->kms_key }, { "x-amz-expected-bucket-owner", c->owner }, { "x-amz-object-lock-mode", c->lock_mode },
        { "x-amz-object-lock-legal-hold", c->legal_hold }, { "x-amz-request-payer", c->payer },
    };
    for (size_t i = 0; i < SL_COUNT(texts); i++)
        sl_map_opt_str(a, h, texts[i].name, texts[i].value);
    if (c->bucket_key)
        sl_map_set_str(a, h, "x-amz-server-side-encryption-bucket-key-enabled", SL_S("true"));
    if (sl_val_count(c->tagging) > 0)
        sl_map_set_str(a, h, "x-amz-tagging", tag_header(a, c->tagging));
    for (size_t i = 0; i < sl_val_count(c->metadata); i++)
        sl_map_set_str(a, h, sl_fmt(a, "x-amz-meta-%.*s", SL_ARG(sl_str_lower(a, c->metadata->map.entries[i].key))).p, sl_val_text(a, c->metadata->map.entries[i].value));
    return time_header(a, h, "expires", "expires", c->expires, true, err) && time_header(a, h, "x-amz-object-lock-retain-until-date", "objectLockRetainUntilDate", c->retain_until, false, err) ? h : NULL;
}

/* ---- the files ---- */

typedef struct batch {
    sl_s3 s;
    const upload_cfg *c;
    sl_s3_put *puts;              /* one for each file; the small ones first go out together */
    sl_str *names;
    size_t count;
    bool several;
    pthread_mutex_t lock;         /* on the task's arena, while small ones go out */
} batch;

static sl_str name_of(sl_str uri)
{
    return sl_str_sub(uri, (size_t)(sl_str_rfind(uri, SL_S("/")) + 1), uri.n);
}

/* Text that is JSON stands for the list or map that it says. */
static bool sources(batch *b, sl_err *err)
{
    sl_arena *a = b->s.aws.arena;
    const sl_val *from = b->c->from;
    if (from->type == SL_STRING) {
        sl_str text = sl_str_trim(from->s);
        if (text.n > 0 && (text.p[0] == '[' || text.p[0] == '{') && (from = sl_json_parse(a, text, err)) == NULL)
            return sl_err_ctx(err, "property 'from'");
    }
    b->several = from->type != SL_STRING;
    b->count = b->several ? sl_val_count(from) : 1;
    b->puts = sl_alloc(a, (b->count + 1) * sizeof *b->puts);
    b->names = sl_alloc(a, (b->count + 1) * sizeof *b->names);
    if (b->several && from->type != SL_LIST && from->type != SL_MAP)
        return sl_err_set(err, SL_ERR_CONFIG, "s3.from", "'from' must be a file, a list of files, or a map of names to files");
    sl_str prefix = b->c->key;
    while (prefix.n > 0 && prefix.p[prefix.n - 1] == '/')
        prefix.n--;
    for (size_t i = 0; i < b->count; i++) {
        sl_str uri = !b->several ? from->s : sl_val_text(a, from->type == SL_LIST ? sl_at(from, i) : from->map.entries[i].value);
        b->puts[i].fd = -1;
        b->names[i] = from->type == SL_MAP ? from->map.entries[i].key : name_of(uri);
        b->puts[i].to.key = !b->several ? b->c->key : prefix.n ? sl_fmt(a, "%.*s/%.*s", SL_ARG(prefix), SL_ARG(b->names[i])) : b->names[i];
        if (!sl_task_local_file(b->s.aws.task, uri, &b->puts[i].path, err))
            return false;
    }
    return true;
}

static bool prepare(batch *b, sl_task *t, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    const upload_cfg *c = b->c;
    sl_val *conditions = sl_map(a);
    sl_algorithm algorithm = SL_SUM_CRC32C;
    sl_map_opt_str(a, conditions, "if-match", c->if_match);
    sl_map_opt_str(a, conditions, "if-none-match", c->if_none_match);
    if (c->algorithm.n > 0 && !sl_checksum_find(c->algorithm, &algorithm))
        return sl_err_set(err, SL_ERR_CONFIG, "s3.checksum", "'checksumAlgorithm' is '%.*s'; S3 knows CRC32C, CRC32, CRC64NVME, SHA1 and SHA256", SL_ARG(c->algorithm));
    const sl_val *headers = headers_of(a, c, err);
    if (headers == NULL || !sl_s3_open(&b->s, t, &c->aws, c->bucket, err) || !sl_s3_use_key(&b->s, c->customer_key, err) || !sources(b, err))
        return false;
    if (b->several && c->checksum.n > 0)
        return sl_err_set(err, SL_ERR_CONFIG, "s3.checksum", "'checksum' is that of one file, but 'from' names several");
    for (size_t i = 0; i < b->count; i++) {
        sl_s3_put *p = &b->puts[i];
        *p = (sl_s3_put){ .to = { &b->s, p->to.key, headers, conditions, algorithm, c->algorithm.n > 0 }, .path = p->path, .expected = c->checksum, .one_max = c->aws.compatibility ? SL_S3_PUT_MAX : SL_S3_ONE_MAX, .again = sl_task_saved(t) != NULL, .fd = -1 };
    }
    return true;
}

/* A small one; a large one is left for later. */
static bool send_small(void *self, size_t i, sl_arena *arena, sl_err *err)
{
    batch *b = self;
    sl_s3_put *p = &b->puts[i];
    if (sl_task_cancelled(b->s.aws.task))
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while uploading");
    bool ok = sl_s3_put_open(p, err);
    if (ok && b->c->content_length >= 0 && p->size != b->c->content_length)
        ok = sl_err_set(err, SL_ERR_DATA, "s3.size", "the file has %lld bytes, 'contentLength' says %lld", (long long)p->size, (long long)b->c->content_length);
    if (ok && p->size <= p->one_max)
        ok = sl_s3_put_one(p, arena, err);
    sl_s3_put_close(p);
    /* The item's arena ends here. */
    pthread_mutex_lock(&b->lock);
    p->etag = sl_str_dup(b->s.aws.arena, p->etag);
    p->version = sl_str_dup(b->s.aws.arena, p->version);
    pthread_mutex_unlock(&b->lock);
    return ok;
}

/* In parts, one file after the other: an earlier process came as far as the file of the checkpoint. */
static bool send_large(batch *b, sl_s3_put *p, sl_err *err)
{
    bool there = false;
    const sl_val *saved = sl_task_saved(b->s.aws.task);
    bool ok = sl_s3_put_open(p, err);
    if (ok && b->several && p->again && !sl_str_eq(sl_get_text(saved, "key"), p->to.key))
        ok = sl_s3_put_there(p, b->s.aws.arena, sl_s3_part_size(p->size), &there, err);
    ok = ok && (there || sl_s3_put_parts(p, err));
    sl_s3_put_close(p);
    return ok;
}

static bool send_all(batch *b, sl_err *err)
{
    sl_task *t = b->s.aws.task;
    size_t threads = b->c->concurrent > 1 ? (size_t)b->c->concurrent : 1;
    sl_val *intent = sl_map_of(b->s.aws.arena, "key", sl_val_str(b->s.aws.arena, b->c->key));
    if ((sl_task_saved(t) == NULL && !sl_task_checkpoint(t, intent, err)) || !sl_parallel(threads < CONCURRENT_MAX ? threads : CONCURRENT_MAX, b->count, send_small, b, err))
        return false;
    for (size_t i = 0; i < b->count; i++)
        if (b->puts[i].size > b->puts[i].one_max && !send_large(b, &b->puts[i], err))
            return false;
    return true;
}

static void tell(batch *b, sl_task *t)
{
    sl_arena *a = b->s.aws.arena;
    sl_val *files = sl_map(a);
    int64_t size = 0;
    for (size_t i = 0; i < b->count; i++) {
        sl_val *one = sl_map_of(a, "eTag", sl_val_str(a, b->puts[i].etag));
        sl_map_opt_str(a, one, "versionId", b->puts[i].version);
        sl_map_set_int(a, one, "contentLength", b->puts[i].size);
        sl_map_set(a, files, b->names[i], one);
        size += b->puts[i].size;
    }
    sl_task_out_str(t, "bucket", b->s.bucket);
    sl_task_out_str(t, "key", b->c->key);
    if (b->several)
        sl_task_out(t, "files", files);
    else {
        sl_task_out_str(t, "eTag", b->puts[0].etag);
        if (b->puts[0].version.n > 0)
            sl_task_out_str(t, "versionId", b->puts[0].version);
    }
    sl_task_counter(t, "file.count", (double)b->count);
    sl_task_counter(t, "file.size", (double)size);
    sl_task_log(t, SL_INFO, "%lld bytes are %s", (long long)size, sl_s3_doing(&b->s, a, "at", b->c->key));
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    batch b = { .c = cfg, .lock = PTHREAD_MUTEX_INITIALIZER };
    if (!prepare(&b, t, err) || !send_all(&b, err))
        return SL_TASK_FAILED;
    tell(&b, t);
    return SL_TASK_DONE;
}

static void kill_upload(sl_task *t, void *cfg)
{
    const upload_cfg *c = cfg;
    sl_s3 s;
    sl_err err;
    sl_str key = sl_get_text(sl_task_saved(t), "key"), id = sl_get_text(sl_task_saved(t), "uploadId");
    if (id.n == 0)
        return;
    if (sl_s3_open(&s, t, &c->aws, c->bucket, &err))
        sl_s3_multipart_abort(&s, key, id);
    else
        sl_task_log(t, SL_WARN, "the parts of the upload to %.*s stay; io.sluice.aws.s3.AbortUploads removes them: %s", SL_ARG(key), err.message);
}

const sl_task_type sl_s3_upload_task = {
    .type = "io.kestra.plugin.aws.s3.Upload", .doc = "Uploads a file, or several, to a bucket.", .cfg_size = sizeof(upload_cfg), .opts = opts, .outs = outs, .run = run, .kill = kill_upload,
};
