/*
 * connectors/s3/download.c: one object into the internal storage.
 *
 * What the object is comes first (HEAD); every request for bytes then names its ETag (If-Match), so that an object replaced
 * meanwhile is an error and never a mix. A cut connection is followed by a request for the rest. The checksum is computed in
 * the reading pass. Memory: one block.
 * API: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
 */
#include "base/arena.h"
#include "connectors/fetch.h"
#include "connectors/s3/s3.h"

typedef struct download {
    sl_s3 *s;
    sl_s3_request get;
    const char *what;
    int64_t size;
    bool summed;
    sl_checksum sum;
    sl_str expected;              /* base64; hex for MD5 */
} download;

static void add_sum(void *self, const void *bytes, size_t n)
{
    download *d = self;
    if (d->summed)
        sl_checksum_add(&d->sum, bytes, n);
}

/* The checksum of the whole that the service knows, cheapest first; an ETag is an MD5 unless the object was made in parts or encrypted with a key of its own. */
static void choose_sum(sl_arena *a, download *d, const sl_http_response *head)
{
    static const sl_algorithm order[] = { SL_SUM_CRC32C, SL_SUM_CRC64NVME, SL_SUM_CRC32, SL_SUM_SHA1, SL_SUM_SHA256 };
    for (size_t i = 0; i < SL_COUNT(order) && !d->summed; i++) {
        d->expected = sl_http_header(head, sl_s3_checksum_header(order[i]));
        d->summed = d->expected.n > 0 && memchr(d->expected.p, '-', d->expected.n) == NULL;
        if (d->summed)
            d->sum = sl_checksum_new(a, order[i]);
    }
    sl_str etag = sl_http_header(head, "etag"), sse = sl_http_header(head, "x-amz-server-side-encryption");
    if (d->summed || etag.n != 34 || memchr(etag.p, '-', etag.n) != NULL || sl_str_starts(sse, SL_S("aws:kms")) || sl_http_header(head, "x-amz-server-side-encryption-customer-algorithm").n > 0)
        return;
    d->summed = true;
    d->expected = sl_str_lower(a, sl_str_sub(etag, 1, 33));
    d->sum = sl_checksum_new(a, SL_SUM_MD5);
}

static bool compare(download *d, int64_t came, sl_err *err)
{
    sl_arena *a = d->s->aws.arena;
    if (d->size != came)
        return sl_err_set(err, SL_ERR_DATA, "s3.size", "%s has %lld bytes, but %lld came; try again", d->what, (long long)d->size, (long long)came);
    if (!d->summed)
        return true;
    sl_str raw = sl_checksum_end(&d->sum, a), ours = d->sum.algorithm == SL_SUM_MD5 ? sl_hex(a, raw) : sl_base64(a, raw);
    return sl_str_eq(ours, d->expected)
           || sl_err_set(err, SL_ERR_DATA, "s3.checksum", "%s has the %s %.*s, but what came has %.*s; try again", d->what, sl_checksum_name(d->sum.algorithm), SL_ARG(d->expected), SL_ARG(ours));
}

static bool get_rest(void *self, sl_fetch *f, sl_err *err)
{
    download *d = self;
    sl_arena *a = d->s->aws.arena;
    sl_http_response r;
    int64_t from = f->at;
    sl_s3_request req = d->get;
    sl_val *headers = sl_map_shallow(a, req.headers);
    if (d->size == 0)
        return true;
    if (from > 0)
        sl_map_set_str(a, headers, "range", sl_fmt(a, "bytes=%lld-", (long long)from));
    req.headers = headers;
    req.sink = &f->writer;
    if (!sl_s3_call(d->s, a, &req, sl_fmt(a, "downloading %s", d->what).p, &r, err))
        return false;
    return from == 0 || r.status == 206 || sl_err_set(err, SL_ERR_REMOTE, "s3.range", "asked for the rest of %s from byte %lld, S3 sent something else (status %d)", d->what, (long long)from, r.status);
}

/* What the outputs say of it. */
static sl_val *described(sl_arena *a, const sl_http_response *head, const download *d)
{
    sl_val *o = sl_map(a), *metadata = sl_map(a);
    sl_map_set_str(a, o, "eTag", sl_http_header(head, "etag"));
    sl_map_set_int(a, o, "contentLength", d->size);
    sl_map_opt_str(a, o, "contentType", sl_http_header(head, "content-type"));
    sl_map_opt_str(a, o, "versionId", sl_http_header(head, "x-amz-version-id"));
    for (size_t i = 0; i < sl_val_count(head->headers); i++) {
        sl_str name = head->headers->map.entries[i].key;
        if (sl_str_starts(name, SL_S("x-amz-meta-")))
            sl_map_set_str(a, metadata, sl_str_sub(name, 11, name.n).p, sl_http_header(head, name.p));
    }
    sl_map_setc(a, o, "metadata", metadata);
    if (d->summed && d->sum.algorithm != SL_SUM_MD5) {
        sl_map_set_str(a, o, "checksumAlgorithm", sl_str_c(sl_checksum_name(d->sum.algorithm)));
        sl_map_set_str(a, o, "checksumValue", d->expected);
    }
    return o;
}

bool sl_s3_download(sl_s3 *s, sl_str key, sl_str version, const sl_val *headers, const sl_val **ret, sl_err *err)
{
    sl_arena *a = s->aws.arena;
    SL_WRITER out = NULL;
    sl_http_response head;
    sl_str uri, name = sl_str_sub(key, (size_t)(sl_str_rfind(key, SL_S("/")) + 1), key.n);
    download d = { .s = s, .what = sl_s3_text(s, a, key).p };
    sl_val *asked = sl_map_shallow(a, headers), *same = sl_map_shallow(a, headers);
    sl_map_set_str(a, asked, "x-amz-checksum-mode", SL_S("ENABLED"));
    d.get = (sl_s3_request){ .method = "HEAD", .key = key, .headers = asked, .query = version.n ? sl_fmt(a, "versionId=%.*s", SL_ARG(sl_percent(a, version, NULL))) : SL_S("") };
    if (!sl_s3_call(s, a, &d.get, sl_fmt(a, "looking for %s", d.what).p, &head, err))
        return false;
    if (!sl_parse_int(sl_http_header(&head, "content-length"), &d.size))
        return sl_err_set(err, SL_ERR_REMOTE, "s3.size", "S3 does not say how large %s is", d.what);
    choose_sum(a, &d, &head);
    sl_map_opt_str(a, same, "if-match", sl_http_header(&head, "etag"));
    d.get.method = "GET";
    d.get.headers = same;
    if (!sl_task_open_out(s->aws.task, name, &out, &uri, err))
        return false;
    sl_fetch f = { .out = out, .self = &d, .seen = add_sum, .get = get_rest };
    if (!sl_fetch_all(&f, s->aws.task, d.what, err) || !compare(&d, f.at, err) || !out->finish(out, err))
        return false;
    sl_val *o = described(a, &head, &d);
    sl_map_set_str(a, o, "uri", uri);
    sl_map_set_str(a, o, "key", key);
    sl_task_counter(s->aws.task, "file.size", (double)d.size);
    *ret = o;
    return true;
}
