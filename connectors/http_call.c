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
    sl_http_options_put(a, c->options, headers, req);
    req->insecure = sl_get_bool(c->ssl, "insecureTrustAllCertificates", req->insecure);
    if (req->insecure)
        sl_task_log(t, SL_WARN, "the certificate of %.*s is not checked (insecureTrustAllCertificates)", SL_ARG(c->uri));
    req->headers = headers;
    sl_task_prepare(t, req);
    return true;
}

bool sl_http_accepted(sl_arena *a, const sl_http_cfg *c, int status)
{
    return c->allow_failed || sl_http_options_accept(a, c->options, status);
}

sl_outcome sl_http_refused(const sl_http_response *r, sl_err *err)
{
    sl_str head = sl_str_sub(r->body, 0, 300);
    sl_err_set(err, sl_http_status_kind(r->status), "http.status", "Failed http request with response code '%d' from %.*s%s%.*s", r->status, SL_ARG(r->url), head.n ? ": " : "", SL_ARG(head));
    err->status = r->status;
    return SL_TASK_FAILED;
}
