/* connectors/http_call.c: see http_call.h. */
#include "connectors/http_call.h"

#include "base/arena.h"
#include "base/secret.h"
#include "connectors/http_body.h"

static const sl_opt auth_opts[] = {
    { .name = "type", .type = SL_OPT_ENUM, .values = "BASIC BEARER", .doc = "Kind of authentication." },
    { .name = "username", .type = SL_OPT_STR, .doc = "For BASIC." },
    { .name = "password", .type = SL_OPT_SECRET, .doc = "For BASIC." },
    { .name = "token", .type = SL_OPT_SECRET, .doc = "For BEARER." },
    { 0 },
};

static const sl_opt timeout_opts[] = {
    { .name = "connectTimeout", .type = SL_OPT_DURATION, .doc = "Time to connect." },
    { .name = "readIdleTimeout", .type = SL_OPT_DURATION, .doc = "Longest silence (PT5M)." },
    { 0 },
};

static const sl_opt proxy_opts[] = {
    { .name = "type", .type = SL_OPT_ENUM, .values = "DIRECT HTTP SOCKS", .doc = "Kind of proxy." },
    { .name = "address", .type = SL_OPT_STR, .doc = "Its host." },
    { .name = "port", .type = SL_OPT_INT, .doc = "Its port." },
    { .name = "username", .type = SL_OPT_STR, .doc = "User at the proxy." },
    { .name = "password", .type = SL_OPT_SECRET, .doc = "Password at the proxy." },
    { 0 },
};

const sl_opt sl_http_ssl_opts[] = {
    { .name = "insecureTrustAllCertificates", .type = SL_OPT_BOOL, .doc = "Do not check certificates; logged as a warning." },
    { 0 },
};

const sl_opt sl_http_option_opts[] = {
    { .name = "timeout", .type = SL_OPT_MAP, .sub = timeout_opts, .doc = "Times." },
    { .name = "proxy", .type = SL_OPT_MAP, .sub = proxy_opts, .doc = "Proxy." },
    { .name = "auth", .type = SL_OPT_MAP, .sub = auth_opts, .doc = "Authentication." },
    { .name = "ssl", .type = SL_OPT_MAP, .sub = sl_http_ssl_opts, .doc = "TLS." },
    { .name = "followRedirects", .type = SL_OPT_BOOL, .doc = "Follow redirects (true)." },
    { .name = "allowFailed", .type = SL_OPT_BOOL, .doc = "A status of 400 or more is no failure." },
    { .name = "allowedResponseCodes", .type = SL_OPT_LIST, .doc = "Status codes that are no failure." },
    { .name = "defaultCharset", .type = SL_OPT_STR, .doc = "Encoding of the body, and of an answer that names none (UTF-8)." },
    { .name = "logs", .type = SL_OPT_STRS, .doc = "Accepted; requests are traced with SL_TRACE_COMPONENTS=http." },
    { .name = "connectTimeout", .type = SL_OPT_DURATION, .flags = SL_DEPRECATED, .doc = "Older form of timeout.connectTimeout." },
    { .name = "readTimeout", .type = SL_OPT_DURATION, .flags = SL_DEPRECATED, .doc = "Longest silence." },
    { .name = "readIdleTimeout", .type = SL_OPT_DURATION, .flags = SL_DEPRECATED, .doc = "Longest silence." },
    { .name = "connectionPoolIdleTimeout", .type = SL_OPT_DURATION, .flags = SL_DEPRECATED, .doc = "Accepted and ignored." },
    { .name = "maxContentLength", .type = SL_OPT_INT, .flags = SL_DEPRECATED, .doc = "Limit of a body held in memory." },
    { .name = "proxyType", .type = SL_OPT_ENUM, .values = "DIRECT HTTP SOCKS", .flags = SL_DEPRECATED, .doc = "Older form of proxy.type." },
    { .name = "proxyAddress", .type = SL_OPT_STR, .flags = SL_DEPRECATED, .doc = "Older form of proxy.address." },
    { .name = "proxyPort", .type = SL_OPT_INT, .flags = SL_DEPRECATED, .doc = "Older form of proxy.port." },
    { .name = "logLevel", .type = SL_OPT_STR, .flags = SL_DEPRECATED, .doc = "Accepted and ignored." },
    { .name = "basicAuthUser", .type = SL_OPT_STR, .flags = SL_DEPRECATED, .doc = "Older form of auth.username." },
    { .name = "basicAuthPassword", .type = SL_OPT_SECRET, .flags = SL_DEPRECATED, .doc = "Older form of auth.password." },
    { 0 },
};

static int64_t duration_of(sl_arena *a, const sl_val *map, const char *key)
{
    int64_t ms = 0;
    const sl_val *v = sl_get(map, key);
    return v != NULL && sl_duration_parse(sl_val_text(a, v), &ms) ? ms : 0;
}

static void set_auth(sl_arena *a, const sl_val *options, sl_val *headers, sl_http_request *req)
{
    const sl_val *auth = sl_get(options, "auth");
    sl_str user = sl_get_text(auth, "username"), password = sl_get_text(auth, "password"), token = sl_get_text(auth, "token");
    if (auth == NULL) {
        user = sl_get_text(options, "basicAuthUser");
        password = sl_get_text(options, "basicAuthPassword");
    }
    if (user.n > 0) {
        sl_redact_add(password);
        sl_str pair = sl_base64(a, sl_fmt(a, "%.*s:%.*s", SL_ARG(user), SL_ARG(password)));
        sl_redact_add(pair);
        sl_map_set_str(a, headers, "Authorization", sl_fmt(a, "Basic %.*s", SL_ARG(pair)));
        req->pool = sl_fmt(a, "basic %.*s", SL_ARG(user));
    } else if (token.n > 0) {
        sl_redact_add(token);
        sl_map_set_str(a, headers, "Authorization", sl_fmt(a, "Bearer %.*s", SL_ARG(token)));
        req->pool = sl_fmt(a, "bearer %.*s", SL_ARG(sl_hex(a, sl_digest(a, "SHA256", token))));
    }
}

static void set_proxy(sl_arena *a, const sl_val *options, sl_http_request *req)
{
    const sl_val *p = sl_get(options, "proxy");
    sl_str host = p ? sl_get_text(p, "address") : sl_get_text(options, "proxyAddress"), type = p ? sl_get_text(p, "type") : sl_get_text(options, "proxyType");
    int64_t port = p ? sl_get_int(p, "port", 8080) : sl_get_int(options, "proxyPort", 8080);
    req->no_proxy = sl_str_ieq(type, SL_S("DIRECT"));
    if (host.n > 0 && !req->no_proxy)
        req->proxy = sl_fmt(a, "%s://%.*s:%lld", sl_str_ieq(type, SL_S("SOCKS")) ? "socks5h" : "http", SL_ARG(host), (long long)port);
}

bool sl_http_prepare(sl_task *t, const sl_http_cfg *c, sl_http_request *req, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_val *headers = sl_map_shallow(a, c->headers);
    sl_http_content content = { .body = c->body, .form = c->form, .type = c->content_type, .charset = sl_get_text(c->options, "defaultCharset") };
    req->method = c->method.p;
    req->url = sl_url_escape(a, c->uri);
    if (sl_val_count(c->params) > 0)
        req->url = sl_fmt(a, "%.*s%c%.*s", SL_ARG(req->url), sl_str_find(req->url, SL_S("?")) < 0 ? '?' : '&', SL_ARG(sl_url_query(a, c->params)));
    if (!sl_http_content_put(t, &content, headers, req, err))
        return false;
    const sl_val *timeout = sl_get(c->options, "timeout");
    req->connect_ms = duration_of(a, timeout ? timeout : c->options, "connectTimeout");
    req->idle_ms = duration_of(a, timeout ? timeout : c->options, "readIdleTimeout");
    if (req->idle_ms == 0)
        req->idle_ms = 300000;
    req->follow = sl_get_bool(c->options, "followRedirects", true);
    req->insecure = sl_get_bool(c->ssl, "insecureTrustAllCertificates", sl_get_bool(sl_get(c->options, "ssl"), "insecureTrustAllCertificates", false));
    if (req->insecure)
        sl_task_log(t, SL_WARN, "the certificate of %.*s is not checked (insecureTrustAllCertificates)", SL_ARG(c->uri));
    set_auth(a, c->options, headers, req);
    set_proxy(a, c->options, req);
    req->headers = headers;
    sl_task_prepare(t, req);
    return true;
}

bool sl_http_accepted(sl_arena *a, const sl_http_cfg *c, int status)
{
    const sl_val *codes = sl_get(c->options, "allowedResponseCodes");
    for (size_t i = 0; i < sl_val_count(codes); i++) {
        int64_t code;
        if (sl_parse_int(sl_val_text(a, sl_at(codes, i)), &code) && code == status)
            return true;
    }
    return status < 400 || c->allow_failed || sl_get_bool(c->options, "allowFailed", false);
}

sl_outcome sl_http_refused(const sl_http_response *r, sl_err *err)
{
    sl_str head = sl_str_sub(r->body, 0, 300);
    sl_err_set(err, sl_http_status_kind(r->status), "http.status", "Failed http request with response code '%d' from %.*s%s%.*s", r->status, SL_ARG(r->url), head.n ? ": " : "", SL_ARG(head));
    err->status = r->status;
    return SL_TASK_FAILED;
}
