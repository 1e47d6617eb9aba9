/* connectors/http.c: io.kestra.plugin.core.http.Request and Download (flow language section 4.9). */
#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/secret.h"
#include "connectors/connectors.h"
#include "connectors/http_body.h"
#include "net/multipart.h"

typedef struct http_cfg {
    sl_str uri, method, content_type, save_as;
    const sl_val *params, *headers, *body, *form, *options, *ssl;
    sl_str response_condition;
    bool allow_failed, fail_on_empty;
} http_cfg;

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

static const sl_opt ssl_opts[] = {
    { .name = "insecureTrustAllCertificates", .type = SL_OPT_BOOL, .doc = "Do not check certificates; logged as a warning." },
    { 0 },
};

static const sl_opt option_opts[] = {
    { .name = "timeout", .type = SL_OPT_MAP, .sub = timeout_opts, .doc = "Times." },
    { .name = "proxy", .type = SL_OPT_MAP, .sub = proxy_opts, .doc = "Proxy." },
    { .name = "auth", .type = SL_OPT_MAP, .sub = auth_opts, .doc = "Authentication." },
    { .name = "ssl", .type = SL_OPT_MAP, .sub = ssl_opts, .doc = "TLS." },
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

#define METHODS "GET POST PUT DELETE PATCH HEAD OPTIONS TRACE CONNECT"
#define SHARED                                                                                                                                         \
    { .name = "uri", .type = SL_OPT_STR, .offset = SL_FIELD(http_cfg, uri), .flags = SL_REQUIRED, .doc = "The address." },                             \
    { .name = "method", .type = SL_OPT_ENUM, .offset = SL_FIELD(http_cfg, method), .values = METHODS, .fallback = "GET", .doc = "The HTTP method." }, \
    { .name = "params", .type = SL_OPT_MAP, .offset = SL_FIELD(http_cfg, params), .doc = "Query parameters." },                                       \
    { .name = "headers", .type = SL_OPT_MAP, .offset = SL_FIELD(http_cfg, headers), .doc = "Request headers." },                                      \
    { .name = "contentType", .type = SL_OPT_STR, .offset = SL_FIELD(http_cfg, content_type), .doc = "Content-Type of the body." },                    \
    { .name = "body", .type = SL_OPT_ANY, .offset = SL_FIELD(http_cfg, body), .doc = "The body: a text, or what becomes JSON." },                     \
    { .name = "formData", .type = SL_OPT_MAP, .offset = SL_FIELD(http_cfg, form), .doc = "A form: URL-encoded, or as multipart/form-data, with files." }, \
    { .name = "options", .type = SL_OPT_MAP, .offset = SL_FIELD(http_cfg, options), .sub = option_opts, .doc = "Times, proxy, authentication." },     \
    { .name = "sslOptions", .type = SL_OPT_MAP, .offset = SL_FIELD(http_cfg, ssl), .sub = ssl_opts, .flags = SL_DEPRECATED, .doc = "Older form of options.ssl." }

static const sl_opt request_opts[] = {
    SHARED,
    { .name = "allowFailed", .type = SL_OPT_BOOL, .offset = SL_FIELD(http_cfg, allow_failed), .doc = "A status of 400 or more is no failure." },
    { 0 },
};

static const sl_opt request_outs[] = {
    { .name = "uri", .type = SL_OPT_STR, .doc = "The address that was asked for." },
    { .name = "code", .type = SL_OPT_INT, .doc = "The status." },
    { .name = "headers", .type = SL_OPT_MAP, .doc = "Name to list of values." },
    { .name = "body", .type = SL_OPT_STR, .doc = "The body as text, where there may be one." },
    { 0 },
};

static const sl_opt trigger_opts[] = {
    SHARED,
    { .name = "responseCondition", .type = SL_OPT_STR, .offset = SL_FIELD(http_cfg, response_condition), .flags = SL_LATE, .fallback = "{{ response.statusCode < 400 }}", .doc = "Fires when this holds; sees {{ response }}." },
    { 0 },
};

static const sl_opt download_opts[] = {
    SHARED,
    { .name = "failOnEmptyResponse", .type = SL_OPT_BOOL, .offset = SL_FIELD(http_cfg, fail_on_empty), .fallback = "true", .doc = "An empty body is a failure." },
    { .name = "saveAs", .type = SL_OPT_STR, .offset = SL_FIELD(http_cfg, save_as), .doc = "Name of the stored file." },
    { 0 },
};

static const sl_opt download_outs[] = {
    { .name = "uri", .type = SL_OPT_STR, .doc = "The stored file." },
    { .name = "code", .type = SL_OPT_INT, .doc = "The status." },
    { .name = "length", .type = SL_OPT_INT, .doc = "Bytes." },
    { .name = "headers", .type = SL_OPT_MAP, .doc = "Name to list of values." },
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

static bool prepare(sl_task *t, const http_cfg *c, sl_http_request *req, sl_err *err)
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

static bool accepted(sl_arena *a, const http_cfg *c, int status)
{
    const sl_val *codes = sl_get(c->options, "allowedResponseCodes");
    for (size_t i = 0; i < sl_val_count(codes); i++) {
        int64_t code;
        if (sl_parse_int(sl_val_text(a, sl_at(codes, i)), &code) && code == status)
            return true;
    }
    return status < 400 || c->allow_failed || sl_get_bool(c->options, "allowFailed", false);
}

static sl_outcome refused(sl_task *t, const sl_http_response *r, sl_err *err)
{
    sl_str head = sl_str_sub(r->body, 0, 300);
    (void)t;
    sl_err_set(err, sl_http_status_kind(r->status), "http.status", "Failed http request with response code '%d' from %.*s%s%.*s", r->status, SL_ARG(r->url), head.n ? ": " : "", SL_ARG(head));
    err->status = r->status;
    return SL_TASK_FAILED;
}

static void put_outputs(sl_task *t, const sl_http_response *r)
{
    sl_task_out_int(t, "code", r->status);
    sl_task_out(t, "headers", r->headers ? r->headers : sl_map(sl_task_arena(t)));
}

/* The answer, whatever its status; its outputs are set. */
static bool exchange(sl_task *t, const http_cfg *c, sl_http_response *r, sl_err *err)
{
    sl_http_request req = { .total_ms = 600000 };
    if (!prepare(t, c, &req, err))
        return false;
    int64_t most = sl_get_int(c->options, "maxContentLength", 0);
    req.body_max = most > 0 ? (size_t)most : 10U << 20;
    if (!sl_http_call(sl_task_http(t), sl_task_arena(t), &req, r, err))
        return false;
    sl_task_out_str(t, "uri", req.url);
    put_outputs(t, r);
    sl_task_counter(t, "request.length", (double)(req.open_body ? req.body_size : (int64_t)req.body.n));
    sl_task_counter(t, "response.length", (double)r->body_size);
    return true;
}

/* The body as text, with a word about what was none. */
static sl_str body_text(sl_task *t, const http_cfg *c, const sl_http_response *r)
{
    bool damaged;
    sl_str text = sl_http_text(sl_task_arena(t), r, sl_get_text(c->options, "defaultCharset"), &damaged);
    if (damaged)
        sl_task_log(t, SL_WARN, "the answer of %.*s is not text: some of its bytes are lost in the output 'body'; http.Download keeps them", SL_ARG(c->uri));
    return text;
}

static sl_outcome request_run(sl_task *t, void *cfg, sl_err *err)
{
    const http_cfg *c = cfg;
    sl_http_response r;
    if (!exchange(t, c, &r, err))
        return SL_TASK_FAILED;
    if (!accepted(sl_task_arena(t), c, r.status))
        return refused(t, &r, err);
    if (!sl_str_eqc(c->method, "HEAD") && r.status != 204 && r.status != 304)
        sl_task_out_str(t, "body", body_text(t, c, &r));
    return SL_TASK_DONE;
}

static sl_outcome trigger_run(sl_task *t, void *cfg, sl_err *err)
{
    const http_cfg *c = cfg;
    sl_arena *a = sl_task_arena(t);
    sl_http_response r;
    bool fires;
    if (!exchange(t, c, &r, err))
        return SL_TASK_FAILED;
    sl_str body = body_text(t, c, &r);
    sl_task_out_str(t, "body", body);
    sl_val *response = sl_map(a);
    sl_map_set_int(a, response, "statusCode", r.status);
    sl_map_set_str(a, response, "body", body);
    sl_map_setc(a, response, "headers", r.headers ? r.headers : sl_map(a));
    sl_task_set_var(t, "response", response);
    if (!sl_task_holds(t, c->response_condition, &fires, err)) {
        sl_err_ctx(err, "property 'responseCondition'");
        return SL_TASK_FAILED;
    }
    sl_task_polled(t, fires, NULL, false);
    return SL_TASK_DONE;
}

/* saveAs, else Content-Disposition's file name, else a fixed stem with the extension of the address. */
static sl_str stored_name(sl_task *t, const http_cfg *c, const sl_http_response *r)
{
    enum { NAME_MAX_BYTES = 120 };
    sl_arena *a = sl_task_arena(t);
    sl_str given = sl_header_parameter(a, sl_http_header(r, "content-disposition"), "filename");
    if (c->save_as.n > 0)
        return c->save_as;
    if (given.n > 0 && given.n <= NAME_MAX_BYTES && given.p[0] != '.')
        return sl_str_replace(a, sl_str_replace(a, given, SL_S("/"), SL_S("_")), SL_S("\\"), SL_S("_"));
    sl_url u;
    sl_err ignored;
    sl_str ext = sl_url_parse(sl_url_escape(a, c->uri), &u, &ignored) ? sl_path_extension(u.path) : SL_S("");
    if (ext.n > 16 || memchr(ext.p, '%', ext.n) != NULL)
        ext = SL_S("");
    return sl_fmt(a, "download%.*s", SL_ARG(ext));
}

/* The stored file: made when the first byte comes, since its name is told by the answer's headers. */
typedef struct stored {
    sl_writer writer;
    sl_task *t;
    const http_cfg *c;
    const sl_http_response *answer;
    sl_writer *out;
    sl_str uri;
} stored;

static bool stored_open(stored *s, sl_err *err)
{
    return s->out != NULL || sl_task_open_out(s->t, stored_name(s->t, s->c, s->answer), &s->out, &s->uri, err);
}

static bool stored_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    stored *s = (stored *)self;
    return stored_open(s, err) && s->out->write(s->out, from, n, err);
}

static bool stored_finish(sl_writer *self, sl_err *err)
{
    stored *s = (stored *)self;
    return stored_open(s, err) && s->out->finish(s->out, err);
}

static void stored_close(sl_writer *self)
{
    sl_writer_close(&((stored *)self)->out);
}

typedef struct progress_self {
    sl_task *t;
} progress_self;

static void on_progress(void *self, int64_t sent, int64_t received)
{
    (void)sent;
    sl_task_progress(((progress_self *)self)->t, received, -1);
}

static sl_outcome download_run(sl_task *t, void *cfg, sl_err *err)
{
    const http_cfg *c = cfg;
    sl_http_request req = { .body_max = SL_HTTP_ERROR_BODY_MAX };
    sl_http_response r = { 0 };
    progress_self progress = { t };
    stored file = { .writer = { stored_write, stored_finish, stored_close }, .t = t, .c = c, .answer = &r };
    if (!prepare(t, c, &req, err))
        return SL_TASK_FAILED;
    req.progress = on_progress;
    req.progress_self = &progress;
    SL_WRITER sink = &file.writer;
    req.sink = sink;
    if (!sl_http_call(sl_task_http(t), sl_task_arena(t), &req, &r, err))
        return SL_TASK_FAILED;
    put_outputs(t, &r);
    if (!accepted(sl_task_arena(t), c, r.status) || r.status / 100 != 2)
        return refused(t, &r, err);
    sl_task_out_int(t, "length", r.unpacked_size);
    if (r.unpacked_size == 0 && c->fail_on_empty) {
        sl_err_set(err, SL_ERR_DATA, "http.empty", "No response from server: %.*s sent an empty body (allow it with failOnEmptyResponse: false)", SL_ARG(c->uri));
        return SL_TASK_FAILED;
    }
    int64_t announced;
    if (sl_parse_int(sl_http_header(&r, "content-length"), &announced) && announced != r.body_size) {
        sl_err_set(err, SL_ERR_TRANSIENT, "http.short", "%.*s announced %lld bytes and sent %lld", SL_ARG(c->uri), (long long)announced, (long long)r.body_size);
        return SL_TASK_FAILED;
    }
    if (!sink->finish(sink, err))
        return SL_TASK_FAILED;
    sl_task_out_str(t, "uri", file.uri);
    sl_task_counter(t, "response.length", (double)r.unpacked_size);
    return SL_TASK_DONE;
}

static const sl_task_type http_request = {
    .type = "io.kestra.plugin.core.http.Request", .aliases = "io.kestra.plugin.fs.http.Request", .doc = "Sends an HTTP request.", .cfg_size = sizeof(http_cfg), .opts = request_opts, .outs = request_outs,
    .run = request_run,
};
static const sl_task_type http_download = {
    .type = "io.kestra.plugin.core.http.Download", .aliases = "io.kestra.plugin.fs.http.Download", .doc = "Fetches a file into the internal storage.", .cfg_size = sizeof(http_cfg), .opts = download_opts,
    .outs = download_outs, .run = download_run,
};

static const sl_task_type http_trigger = {
    .type = "io.kestra.plugin.core.http.Trigger", .aliases = "io.kestra.plugin.fs.http.Trigger", .doc = "Fires when an HTTP answer meets a condition.", .cfg_size = sizeof(http_cfg), .opts = trigger_opts,
    .outs = request_outs, .run = trigger_run,
};

static const sl_task_type *const tasks[] = { &http_request, &http_download, NULL };
static const sl_task_type *const triggers[] = { &http_trigger, NULL };
const sl_connector sl_connector_http = { .name = "http", .tasks = tasks, .triggers = triggers };
