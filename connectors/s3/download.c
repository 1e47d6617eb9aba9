/*
 * connectors/s3/download.c: an object as a source of bytes, and into the internal storage.
 *
 * What the object is comes first (HEAD); every request for bytes then names its ETag (If-Match), so that an object replaced
 * meanwhile is an error and never a mix.
 * API: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
 */
#include "base/arena.h"
#include "connectors/s3/s3.h"

typedef struct object {
    sl_s3 *s;
    sl_s3_request get;
    const char *what;
    int64_t size;
} object;

/* The checksum of the whole that the service knows, cheapest first; an ETag is an MD5 unless the object was made in parts or encrypted with a key of its own. */
static void choose_sum(sl_arena *a, sl_source *s, const sl_http_response *head)
{
    static const sl_algorithm order[] = { SL_SUM_CRC32C, SL_SUM_CRC64NVME, SL_SUM_CRC32, SL_SUM_SHA1, SL_SUM_SHA256 };
    for (size_t i = 0; i < SL_COUNT(order) && !s->summed; i++) {
        s->expected = sl_http_header(head, sl_s3_checksum_header(order[i]));
        s->summed = s->expected.n > 0 && memchr(s->expected.p, '-', s->expected.n) == NULL;
        s->algorithm = order[i];
    }
    sl_str etag = sl_http_header(head, "etag"), sse = sl_http_header(head, "x-amz-server-side-encryption");
    if (s->summed || etag.n != 34 || memchr(etag.p, '-', etag.n) != NULL || sl_str_starts(sse, SL_S("aws:kms")) || sl_http_header(head, "x-amz-server-side-encryption-customer-algorithm").n > 0)
        return;
    s->summed = true;
    s->expected = sl_str_lower(a, sl_str_sub(etag, 1, 33));
    s->algorithm = SL_SUM_MD5;
}

static bool fetch(void *self, sl_arena *a, int64_t begin, int64_t end, sl_writer *to, sl_err *err)
{
    const object *o = self;
    sl_http_response r;
    sl_s3_request req = o->get;
    bool part = begin > 0 || (end >= 0 && end < o->size);
    sl_val *headers = sl_map_shallow(a, req.headers);
    if (part)
        sl_map_set_str(a, headers, "range", sl_source_range(a, begin, end < o->size ? end : -1));
    req.headers = headers;
    req.sink = to;
    if (!sl_s3_call(o->s, a, &req, sl_fmt(a, "downloading %s", o->what).p, &r, err))
        return false;
    return !part || r.status == 206 || sl_err_set(err, SL_ERR_REMOTE, "s3.range", "asked for %s from byte %lld, S3 sent something else (status %d)", o->what, (long long)begin, r.status);
}

bool sl_s3_source(sl_s3 *s, sl_str key, sl_str version, const sl_val *headers, sl_source *ret, sl_http_response *head, sl_err *err)
{
    sl_arena *a = s->aws.arena;
    object *o = sl_alloc(a, sizeof *o);
    sl_val *asked = sl_map_shallow(a, headers), *same = sl_map_shallow(a, headers);
    sl_map_set_str(a, asked, "x-amz-checksum-mode", SL_S("ENABLED"));
    *o = (object){ .s = s, .what = sl_s3_text(s, a, key).p };
    o->get = (sl_s3_request){ .method = "HEAD", .key = key, .headers = asked, .query = version.n ? sl_fmt(a, "versionId=%.*s", SL_ARG(sl_percent(a, version, NULL))) : SL_S("") };
    if (!sl_s3_call(s, a, &o->get, sl_fmt(a, "looking for %s", o->what).p, head, err))
        return false;
    if (!sl_parse_int(sl_http_header(head, "content-length"), &o->size))
        return sl_err_set(err, SL_ERR_REMOTE, "s3.size", "S3 does not say how large %s is", o->what);
    sl_map_opt_str(a, same, "if-match", sl_http_header(head, "etag"));
    o->get.method = "GET";
    o->get.headers = same;
    *ret = (sl_source){ .task = s->aws.task, .what = o->what, .service = "s3", .size = o->size, .ranged = true, .state = sl_http_header(head, "etag"), .self = o, .fetch = fetch };
    choose_sum(a, ret, head);
    return true;
}

/* What the outputs say of it. */
static sl_val *described(sl_arena *a, const sl_http_response *head, const sl_source *s)
{
    sl_val *o = sl_map(a), *metadata = sl_map(a);
    sl_map_set_str(a, o, "eTag", sl_http_header(head, "etag"));
    sl_map_set_int(a, o, "contentLength", s->size);
    sl_map_opt_str(a, o, "contentType", sl_http_header(head, "content-type"));
    sl_map_opt_str(a, o, "versionId", sl_http_header(head, "x-amz-version-id"));
    for (size_t i = 0; i < sl_val_count(head->headers); i++) {
        sl_str name = head->headers->map.entries[i].key;
        if (sl_str_starts(name, SL_S("x-amz-meta-")))
            sl_map_set_str(a, metadata, sl_str_sub(name, 11, name.n).p, sl_http_header(head, name.p));
    }
    sl_map_setc(a, o, "metadata", metadata);
    if (s->summed && s->algorithm != SL_SUM_MD5) {
        sl_map_set_str(a, o, "checksumAlgorithm", sl_str_c(sl_checksum_name(s->algorithm)));
        sl_map_set_str(a, o, "checksumValue", s->expected);
    }
    return o;
}

bool sl_s3_download(sl_s3 *s, sl_str key, sl_str version, const sl_val *headers, const sl_val **ret, sl_err *err)
{
    sl_arena *a = s->aws.arena;
    SL_WRITER out = NULL;
    sl_http_response head;
    sl_source from;
    sl_str uri, name = sl_str_sub(key, (size_t)(sl_str_rfind(key, SL_S("/")) + 1), key.n);
    if (!sl_s3_source(s, key, version, headers, &from, &head, err) || !sl_task_open_out(s->aws.task, name, &out, &uri, err))
        return false;
    if (!sl_source_copy(&from, out, NULL, err) || !out->finish(out, err))
        return false;
    sl_val *o = described(a, &head, &from);
    sl_map_set_str(a, o, "uri", uri);
    sl_map_set_str(a, o, "key", key);
    sl_task_counter(s->aws.task, "file.size", (double)from.size);
    *ret = o;
    return true;
}
