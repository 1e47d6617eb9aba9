/*
 * connectors/transfer/web.c: an address as a source of bytes.
 *
 * HEAD says whether pieces can be asked for (Accept-Ranges, and an ETag or a date that tells one state from another); where it
 * says nothing, or is refused, there is only the whole. Sources: RFC 9110 sections 8.8, 13.1, 14.
 */
#include "base/arena.h"
#include "connectors/transfer/transfer.h"

enum { IDLE_MS = 300000 };

typedef struct web {
    sl_task *task;
    sl_str url;
    const sl_val *headers;
    sl_str etag, modified;        /* of the state that is read */
    int64_t size;
} web;

static bool call(const web *w, sl_arena *a, const char *method, const sl_val *headers, sl_writer *sink, int attempts, sl_http_response *r, sl_err *err)
{
    sl_http_request req = { .method = method, .url = w->url, .headers = headers, .sink = sink, .follow = true, .keep_encoding = true, .idle_ms = IDLE_MS, .attempts_max = attempts };
    sl_task_prepare(w->task, &req);
    return sl_http_call(sl_task_http(w->task), a, &req, r, err);
}

static bool fetch(void *self, sl_arena *a, int64_t begin, int64_t end, sl_writer *to, sl_err *err)
{
    const web *w = self;
    sl_http_response r;
    sl_val *headers = sl_map_shallow(a, w->headers);
    bool part = begin > 0 || (end >= 0 && end < w->size);
    sl_map_set_str(a, headers, "Accept-Encoding", SL_S("identity"));
    if (part)
        sl_map_set_str(a, headers, "Range", sl_source_range(a, begin, end < w->size ? end : -1));
    if (part && w->etag.n > 0)
        sl_map_set_str(a, headers, "If-Match", w->etag);
    else if (part)
        sl_map_set_str(a, headers, "If-Unmodified-Since", w->modified);
    if (!call(w, a, "GET", headers, to, begin > 0 ? 1 : 0, &r, err))
        return false;
    if (r.status == 412 || (r.status / 100 == 2 && w->etag.n > 0 && !sl_str_eq(w->etag, sl_http_header(&r, "etag"))))
        return sl_err_set(err, SL_ERR_DATA, "source.changed", "%.*s has changed while it was read; try again", SL_ARG(w->url));
    if (r.status / 100 != 2) {
        sl_str head = sl_str_sub(r.body, 0, 300);
        sl_err_set(err, sl_http_status_kind(r.status), "http.status", "reading %.*s: the server answered %d%s%.*s", SL_ARG(w->url), r.status, head.n ? ": " : "", SL_ARG(head));
        err->status = r.status;
        return false;
    }
    return !part || r.status == 206 || sl_err_set(err, SL_ERR_REMOTE, "http.range", "asked for %.*s from byte %lld, the server sent something else (status %d)", SL_ARG(w->url), (long long)begin, r.status);
}

bool sl_copy_web(sl_task *t, sl_str url, const sl_val *headers, sl_source *ret, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_http_response r;
    web *w = sl_alloc(a, sizeof *w);
    sl_val *asked = sl_map_shallow(a, headers);
    sl_map_set_str(a, asked, "Accept-Encoding", SL_S("identity"));
    *w = (web){ .task = t, .url = url, .headers = headers, .size = -1 };
    *ret = (sl_source){ .task = t, .what = sl_cstr(a, url), .service = "http", .size = -1, .self = w, .fetch = fetch };
    if (!call(w, a, "HEAD", asked, NULL, 0, &r, err))
        return false;
    if (r.status / 100 != 2)
        return true; /* addresses that were signed for GET refuse it; what is wrong, GET will say */
    sl_str etag = sl_http_header(&r, "etag");
    w->etag = sl_str_starts(etag, SL_S("W/")) ? SL_S("") : etag;
    w->modified = sl_http_header(&r, "last-modified");
    ret->state = w->etag.n ? w->etag : w->modified;
    ret->ranged = ret->state.n > 0 && sl_str_ieq(sl_http_header(&r, "accept-ranges"), SL_S("bytes")) && sl_parse_int(sl_http_header(&r, "content-length"), &w->size) && w->size >= 0;
    ret->size = ret->ranged ? w->size : -1;
    return true;
}
