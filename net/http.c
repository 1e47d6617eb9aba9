/* net/http.c: what stands above one exchange: redirects, retries, credentials. The exchange itself is http_curl.c. */
#include "net/http.h"
#include "net/unpack.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/log.h"

struct sl_http {
    sl_http_transport transport;
};

sl_http *sl_http_new(const sl_http_transport *transport)
{
    sl_http *h = sl_malloc(sizeof *h);
    h->transport = transport ? *transport : sl_http_curl();
    return h;
}

void sl_http_free(sl_http *h)
{
    if (h == NULL)
        return;
    if (h->transport.close != NULL)
        h->transport.close(h->transport.self);
    free(h);
}

sl_str sl_http_header(const sl_http_response *r, const char *name)
{
    return sl_text(sl_at(sl_get(r->headers, name), 0));
}

int64_t sl_http_retry_after(const sl_http_response *r)
{
    enum { CAP_MS = 300000 };
    sl_str v = sl_str_trim(sl_http_header(r, "retry-after"));
    int64_t seconds;
    sl_time t;
    if (v.n == 0)
        return -1;
    if (sl_parse_int(v, &seconds))
        return seconds < 0 ? -1 : seconds > CAP_MS / 1000 ? CAP_MS : seconds * 1000;
    if (!sl_time_parse_pattern(v, SL_S("EEE, dd MMM yyyy HH:mm:ss 'GMT'"), &t))
        return -1;
    int64_t ms = t.s * 1000 - sl_now_ms();
    return ms < 0 ? 0 : ms > CAP_MS ? CAP_MS : ms;
}

sl_err_kind sl_http_status_kind(int status)
{
    switch (status) {
    case 401:
    case 403: return SL_ERR_AUTH;
    case 404:
    case 410: return SL_ERR_NOT_FOUND;
    case 409:
    case 412: return SL_ERR_CONFLICT;
    case 429: return SL_ERR_THROTTLED;
    case 408:
    case 500:
    case 502:
    case 503:
    case 504: return SL_ERR_TRANSIENT;
    default: return SL_ERR_REMOTE;
    }
}

int64_t sl_http_backoff_ms(int n, int64_t base_ms, int64_t cap_ms)
{
    int64_t top = base_ms;
    for (int i = 0; i < n && top < cap_ms; i++)
        top *= 2;
    if (top > cap_ms)
        top = cap_ms;
    int64_t low = base_ms / 2 < top ? base_ms / 2 : top;
    return low + (int64_t)sl_random_below((uint64_t)(top - low) + 1);
}

bool sl_http_sleep(const sl_http_request *req, int64_t ms)
{
    while (ms > 0) {
        if (req->cancelled != NULL && req->cancelled(req->cancel_self))
            return false;
        int64_t part = ms < 100 ? ms : 100;
        sl_sleep_ms(part);
        ms -= part;
    }
    return !(req->cancelled != NULL && req->cancelled(req->cancel_self));
}

static bool safe_method(const char *method)
{
    static const char *const methods[] = { "GET", "HEAD", "PUT", "DELETE", "OPTIONS" };
    for (size_t i = 0; i < SL_COUNT(methods); i++)
        if (strcmp(method, methods[i]) == 0)
            return true;
    return false;
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Headers for a new origin: only those that say nothing about who asks. */
static const sl_val *harmless_headers(sl_arena *arena, const sl_val *headers)
{
    static const char *const keep[] = { "accept", "accept-encoding", "accept-language", "user-agent", "content-type" };
    sl_val *out = sl_map(arena);
    for (size_t i = 0; i < sl_val_count(headers); i++)
        for (size_t k = 0; k < SL_COUNT(keep); k++)
            if (sl_str_ieq(headers->map.entries[i].key, sl_str_c(keep[k])))
                sl_map_set(arena, out, headers->map.entries[i].key, headers->map.entries[i].value);
    return out;
}

/* Prepares `now` for the place that the response points to. */
static bool redirect(sl_arena *arena, sl_http_request *now, const sl_http_response *r, sl_err *err)
{
    sl_str to = sl_url_resolve(arena, now->url, sl_http_header(r, "location"));
    sl_url old, next;
    if (!sl_url_parse(now->url, &old, err) || !sl_url_parse(to, &next, err))
        return sl_err_ctx(err, "following the redirect of %.*s", SL_ARG(now->url));
    if (sl_str_ieq(old.scheme, SL_S("https")) && !sl_str_ieq(next.scheme, SL_S("https")))
        return sl_err_set(err, SL_ERR_REMOTE, "http.redirect", "%.*s redirects from https to the unprotected %.*s; refused", SL_ARG(now->url), SL_ARG(to));
    if (!sl_url_same_origin(&old, &next)) {
        now->headers = harmless_headers(arena, now->headers);
        now->auth = NULL;
        now->pool = SL_S("");
    }
    bool to_get = r->status == 303 || ((r->status == 301 || r->status == 302) && strcmp(now->method, "POST") == 0);
    if (to_get && strcmp(now->method, "HEAD") != 0) {
        now->method = "GET";
        now->body = SL_S("");
        now->open_body = NULL;
    }
    now->url = to;
    return true;
}

static bool authorize(sl_arena *arena, sl_http_request *now, const sl_val *plain, bool refresh, sl_err *err)
{
    if (now->auth == NULL)
        return true;
    sl_val *headers = sl_map_shallow(arena, plain);
    if (!now->auth->authorize(now->auth->self, arena, now, headers, refresh, err))
        return false;
    now->headers = headers;
    return true;
}

/* One exchange; the Content-Encoding of its answer is undone. */
static bool send_once(sl_http *h, sl_arena *arena, const sl_http_request *req, sl_http_response *ret, sl_err *err)
{
    sl_http_request now = *req;
    sl_unpack unpack;
    bool streams = req->sink != NULL && !req->keep_encoding;
    ret->unpacked_size = 0;
    if (streams) {
        sl_unpack_begin(&unpack, req->sink, ret);
        now.sink = &unpack.writer;
    }
    bool ok = SL_FAULT("http.before_send", err) && h->transport.send(h->transport.self, arena, &now, ret, err);
    if (streams)
        ok = sl_unpack_end(&unpack, arena, req->url, ok, err);
    return ok && SL_FAULT("http.after_reply", err) && sl_unpack_body(arena, req, ret, err);
}

/* One request with its redirects and, once, fresh credentials after a 401. */
static bool exchange(sl_http *h, sl_arena *arena, const sl_http_request *req, sl_http_response *ret, sl_err *err)
{
    sl_http_request now = *req;
    if (now.method == NULL)
        now.method = "GET";
    const sl_val *plain = req->headers;
    bool refreshed = false;
    if (!authorize(arena, &now, plain, false, err))
        return false;
    for (int hops = 0;;) {
        if (!send_once(h, arena, &now, ret, err))
            return false;
        ret->url = now.url;
        sl_log(SL_TRACE, "http", "%s %.*s -> %d (%lld bytes)", now.method, SL_ARG(now.url), ret->status, (long long)ret->body_size);
        if (ret->status == 401 && now.auth != NULL && !refreshed) {
            refreshed = true;
            if (!authorize(arena, &now, plain, true, err))
                return false;
            continue;
        }
        if (!req->follow || !is_redirect(ret->status) || sl_http_header(ret, "location").n == 0)
            return true;
        if (++hops > SL_HTTP_REDIRECTS_MAX)
            return sl_err_set(err, SL_ERR_REMOTE, "http.redirects", "%.*s redirects more than %d times", SL_ARG(req->url), SL_HTTP_REDIRECTS_MAX);
        if (!redirect(arena, &now, ret, err))
            return false;
        plain = now.headers;
    }
}

static bool status_retryable(int status)
{
    sl_err_kind kind = sl_http_status_kind(status);
    return kind == SL_ERR_TRANSIENT || kind == SL_ERR_THROTTLED;
}

bool sl_http_call(sl_http *h, sl_arena *arena, const sl_http_request *req, sl_http_response *ret, sl_err *err)
{
    int most = req->attempts_max > 0 ? req->attempts_max : 5;
    bool again = req->idempotent || safe_method(req->method ? req->method : "GET");
    int64_t deadline = req->total_ms > 0 ? sl_mono_ms() + req->total_ms : INT64_MAX;
    for (int n = 1;; n++) {
        *ret = (sl_http_response){ .attempts = n };
        sl_err_clear(err);
        bool ok = exchange(h, arena, req, ret, err);
        ret->attempts = n;
        int64_t wait = -1;
        if (ok && !status_retryable(ret->status))
            return true;
        /* "http.connect": nothing was sent, so that even a POST may be repeated. */
        bool unsent = !ok && strcmp(err->code, "http.connect") == 0;
        bool retry = n < most && (again || unsent) && (ok || sl_err_retryable(err)) && !(req->sink != NULL && !ok && ret->body_size > 0);
        if (ok)
            wait = sl_http_retry_after(ret);
        if (wait < 0)
            wait = sl_http_backoff_ms(n - 1, 500, 30000);
        if (!retry || sl_mono_ms() + wait > deadline)
            return ok;
        sl_log(SL_DEBUG, "http", "trying %.*s again in %lld ms", SL_ARG(req->url), (long long)wait);
        if (!sl_http_sleep(req, wait))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while waiting to ask %.*s again", SL_ARG(req->url));
    }
}
