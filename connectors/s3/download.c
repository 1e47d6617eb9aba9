/*
 * connectors/s3/download.c: an object as a source of bytes, and into a file.
 *
 * What the object is comes first (HEAD, or a listing); every request for bytes then names its ETag (If-Match), so that an object
 * replaced meanwhile is an error and never a mix.
 * API: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
 */
#include "base/arena.h"
#include "connectors/s3/s3.h"

typedef struct object {
    sl_s3 *s;
    sl_arena *arena;
    sl_s3_request get;
    const char *what;
    int64_t size;
    sl_source *listed;            /* no HEAD went before; this is told what it would have said: */
    sl_http_response head;
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

/* In front of the bytes of a listed object: what its first answer says of it is known with the first byte. */
typedef struct first {
    sl_writer writer, *to;
    object *o;
    const sl_http_response *r;
} first;

static bool learn(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    first *f = (first *)self;
    object *o = f->o;
    if (o->head.headers == NULL) {
        o->head = (sl_http_response){ .status = f->r->status, .headers = sl_val_copy(o->arena, f->r->headers) };
        choose_sum(o->arena, o->listed, &o->head);
    }
    return f->to->write(f->to, from, n, err);
}

static bool fetch(void *self, sl_arena *a, int64_t begin, int64_t end, sl_writer *to, sl_err *err)
{
    object *o = self;
    sl_http_response r;
    sl_s3_request req = o->get;
    first learns = { { learn, sl_writer_no_finish, sl_writer_no_close }, to, o, &r };
    bool part = begin > 0 || (end >= 0 && end < o->size);
    sl_val *headers = sl_map_shallow(a, req.headers);
    if (part)
        sl_map_set_str(a, headers, "range", sl_source_range(a, begin, end < o->size ? end : -1));
    req.headers = headers;
    req.sink = o->listed != NULL ? &learns.writer : to;
    if (!sl_s3_call(o->s, a, &req, sl_fmt(a, "downloading %s", o->what).p, &r, err))
        return false;
    return !part || r.status == 206 || sl_err_set(err, SL_ERR_REMOTE, "s3.range", "asked for %s from byte %lld, S3 sent something else (status %d)", o->what, (long long)begin, r.status);
}

static void begin(object *o, sl_s3 *s, sl_arena *a, sl_str key, sl_str version, sl_source *ret)
{
    *o = (object){ .s = s, .arena = a, .what = sl_s3_text(s, a, key).p };
    o->get = (sl_s3_request){ .method = "GET", .key = key, .query = version.n ? sl_fmt(a, "versionId=%.*s", SL_ARG(sl_percent(a, version, NULL))) : SL_S("") };
    *ret = (sl_source){ .task = s->aws.task, .what = o->what, .service = "s3", .ranged = true, .self = o, .fetch = fetch };
}

static const sl_val *with_sums(sl_arena *a, const sl_val *headers)
{
    sl_val *h = sl_map_shallow(a, headers);
    sl_map_set_str(a, h, "x-amz-checksum-mode", SL_S("ENABLED"));
    return h;
}

static const sl_val *same_object(sl_arena *a, const sl_val *headers, sl_str etag)
{
    sl_val *h = sl_map_shallow(a, headers);
    sl_map_opt_str(a, h, "if-match", etag);
    return h;
}

bool sl_s3_source(sl_s3 *s, sl_arena *a, sl_str key, sl_str version, const sl_val *headers, sl_source *ret, sl_http_response *head, sl_err *err)
{
    object *o = sl_alloc(a, sizeof *o);
    begin(o, s, a, key, version, ret);
    sl_s3_request look = o->get;
    look.method = "HEAD";
    look.headers = with_sums(a, headers);
    if (!sl_s3_call(s, a, &look, sl_fmt(a, "looking for %s", o->what).p, head, err))
        return false;
    if (!sl_parse_int(sl_http_header(head, "content-length"), &o->size))
        return sl_err_set(err, SL_ERR_REMOTE, "s3.size", "S3 does not say how large %s is", o->what);
    ret->size = o->size;
    ret->state = sl_http_header(head, "etag");
    o->get.headers = same_object(a, headers, ret->state);
    choose_sum(a, ret, head);
    return true;
}

/* ---- into the storage ---- */

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

/* A small one that a listing has told of: in one request, whose answer says what a HEAD would. *ret_gone: it is another one by now. */
static bool get_listed(sl_s3 *s, sl_arena *a, const sl_s3_wanted *w, sl_made_file *to, sl_source *ret, sl_http_response *head, bool *ret_gone, sl_err *err)
{
    object o;
    begin(&o, s, a, w->key, SL_S(""), ret);
    o.listed = ret;
    o.size = ret->size = w->size;
    o.get.headers = with_sums(a, same_object(a, w->headers, w->etag));
    if (!sl_source_copy(ret, to, NULL, err)) {
        *ret_gone = (err->status == 412 || err->kind == SL_ERR_NOT_FOUND) && sl_made_file_begun(to, NULL) == 0;
        return false;
    }
    *head = o.head;
    return true;
}

bool sl_s3_download(sl_s3 *s, sl_arena *a, const sl_s3_wanted *w, sl_made_file *to, sl_val **ret, sl_err *err)
{
    sl_http_response head;
    sl_source from;
    bool gone = false, listed = w->etag.n > 0 && w->size > 0 && w->size <= SL_SOURCE_PIECE;
    bool ok = listed && get_listed(s, a, w, to, &from, &head, &gone, err);
    if (!listed || gone)
        ok = sl_s3_source(s, a, w->key, w->version, w->headers, &from, &head, err) && sl_source_copy(&from, to, NULL, err);
    if (!ok || !sl_made_file_finish(to, err))
        return false;
    *ret = described(a, &head, &from);
    sl_map_set_str(a, *ret, "key", w->key);
    return true;
}
