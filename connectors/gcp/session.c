/* connectors/gcp/session.c: see session.h. */
#include "connectors/gcp/session.h"

#include "base/arena.h"
#include "base/fault.h"
#include "base/json.h"

enum { ROUNDS_MAX = 12 };

bool sl_session_start(sl_session *s, int64_t size, sl_err *err)
{
    sl_arena *a = s->g->arena;
    sl_val *headers = sl_map(a);
    sl_map_set_str(a, headers, "Content-Type", SL_S("application/json; charset=UTF-8"));
    if (size >= 0)
        sl_map_set_str(a, headers, "X-Upload-Content-Length", sl_fmt(a, "%lld", (long long)size));
    sl_map_set_str(a, headers, "X-Upload-Content-Type", s->content_type.n ? s->content_type : SL_S("application/octet-stream"));
    sl_http_request req = { .method = "POST", .url = s->url, .headers = headers, .body = s->metadata, .idempotent = true };
    sl_http_response r;
    sl_gcp_prepare(s->g, &req);
    if (!SL_FAULT("upload.before_session", err) || !sl_http_call(sl_task_http(s->g->task), a, &req, &r, err) || !SL_FAULT("upload.after_session", err))
        return false;
    if (r.status / 100 != 2)
        return sl_gcp_error(s->g, &r, sl_fmt(a, "starting the upload to %.*s", SL_ARG(s->target)).p, err);
    s->uri = sl_http_header(&r, "location");
    return s->uri.n > 0 || sl_err_set(err, SL_ERR_REMOTE, "upload.session", "%s gave no session address for the upload to %.*s", s->g->service, SL_ARG(s->target));
}

bool sl_session_seal(const sl_session *s, sl_str *ret, sl_err *err)
{
    return sl_task_seal(s->g->task, s->uri, ret, err);
}

bool sl_session_take_up(sl_session *s, sl_str sealed, sl_err *err)
{
    sl_task_log(s->g->task, SL_INFO, "taking up the upload to %.*s where it stands", SL_ARG(s->target));
    return sl_task_unseal(s->g->task, sealed, &s->uri, err);
}

/* What a PUT to the session said. most: bytes that it can have. */
static bool read_answer(const sl_session *s, sl_arena *a, const sl_http_response *r, int64_t most, sl_session_state *ret, sl_err *err)
{
    if (r->status == 200 || r->status == 201) {
        ret->done = sl_json_parse(a, r->body, err);
        return ret->done != NULL || sl_err_ctx(err, "reading what %s made of the upload to %.*s", s->g->service, SL_ARG(s->target));
    }
    if (r->status == 404 || r->status == 410) {
        ret->lost = true;
        return true;
    }
    if (r->status != 308)
        return sl_gcp_error(s->g, r, sl_fmt(a, "uploading to %.*s", SL_ARG(s->target)).p, err);
    sl_str range = sl_http_header(r, "range");
    ptrdiff_t dash = sl_str_rfind(range, SL_S("-"));
    int64_t last = -1;
    if (range.n > 0 && (dash < 0 || !sl_parse_int(sl_str_sub(range, (size_t)dash + 1, range.n), &last) || (most >= 0 && last >= most)))
        return sl_err_set(err, SL_ERR_REMOTE, "upload.range", "%s answered the upload to %.*s with a strange range '%.*s'", s->g->service, SL_ARG(s->target), SL_ARG(range));
    /* Sessions keep whole blocks of 256 KiB; a server that says 0-0 means that it has nothing, and sending byte 0 again harms nothing. */
    ret->next = last > 0 ? last + 1 : 0;
    return true;
}

bool sl_session_send(const sl_session *s, sl_arena *a, const sl_session_put *put, sl_session_state *ret, sl_err *err)
{
    sl_gcp g = *s->g;
    sl_http_response r;
    sl_val *headers = sl_map(a);
    bool asks = put->to == put->from;
    sl_str total = put->total < 0 ? SL_S("*") : sl_fmt(a, "%lld", (long long)put->total);
    g.arena = a;
    *ret = (sl_session_state){ 0 };
    sl_map_set_str(a, headers, "Content-Range", asks ? sl_fmt(a, "bytes */%.*s", SL_ARG(total)) : sl_fmt(a, "bytes %lld-%lld/%.*s", (long long)put->from, (long long)put->to - 1, SL_ARG(total)));
    sl_http_request req = { .method = "PUT", .url = s->uri, .headers = headers, .attempts_max = 1, .idle_ms = 120000, .progress = put->progress, .progress_self = put->body_self };
    sl_gcp_prepare(&g, &req); /* the address is the credential, but servers other than Google's may want the token as well */
    if (!asks) {
        req.open_body = put->open_body;
        req.body_self = put->body_self;
        req.body_size = put->to - put->from;
    }
    if ((!asks && !SL_FAULT("upload.before_chunk", err)) || !sl_http_call(sl_task_http(g.task), a, &req, &r, err) || (!asks && !SL_FAULT("upload.after_chunk", err)))
        return false;
    return read_answer(s, a, &r, put->total, ret, err);
}

bool sl_session_retry(const sl_session *s, int round, sl_err *err)
{
    if (round >= ROUNDS_MAX || !sl_err_retryable(err) || sl_task_cancelled(s->g->task))
        return false;
    sl_http_request req = { 0 };
    sl_task_prepare(s->g->task, &req);
    int64_t wait = err->retry_after_ms >= 0 ? err->retry_after_ms : sl_http_backoff_ms(round < 6 ? round : 6, 500, 32000);
    sl_task_log_str(s->g->task, SL_WARN, sl_fmt(s->g->arena, "%s; asking the session and going on in %lld ms", err->message, (long long)wait));
    return sl_http_sleep(&req, wait);
}

void sl_session_cancel(sl_gcp *g, sl_str sealed)
{
    sl_err err;
    sl_str uri;
    sl_http_response r = { 0 };
    if (sealed.n == 0)
        return;
    bool ok = sl_task_unseal(g->task, sealed, &uri, &err);
    if (ok) {
        sl_http_request req = { .method = "DELETE", .url = uri, .attempts_max = 2, .total_ms = 10000, .auth = g->auth, .pool = g->pool };
        ok = sl_http_call(sl_task_http(g->task), g->arena, &req, &r, &err);
    }
    const bool gone = r.status == 499 || r.status == 404 || r.status == 410 || r.status / 100 == 2; /* 499 says that it is cancelled */
    if (!ok)
        sl_task_log(g->task, SL_WARN, "the unfinished upload stays until its session ends in a week: %s", err.message);
    else if (!gone)
        sl_task_log(g->task, SL_WARN, "the unfinished upload stays until its session ends in a week: cancelling it was answered with %d", r.status);
}
