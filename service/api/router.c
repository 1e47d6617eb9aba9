/* service/api/router.c: from a request to its handler: access, media type, body; and the shape of answers. */
#include <stdarg.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/secret.h"
#include "net/multipart.h"
#include "service/api/api.h"
#include "service/audit.h"
#include "service/session.h"

const sl_api_route *const sl_api_tables[] = { sl_api_misc, sl_api_validate, sl_api_graph, sl_api_execution_actions, sl_api_executions, sl_api_flows_many, sl_api_flows, sl_api_logs, sl_api_metrics, sl_api_triggers_many, sl_api_triggers, sl_api_kv, sl_api_secrets, sl_api_files, sl_api_users, sl_api_login, sl_api_plugins, NULL };

struct sl_api {
    sl_engine *engine;
    sl_readers *readers;
    sl_access *access;
    sl_arena *arena;
    sl_route *routes;
};

/* ---- answers ---- */

void sl_reply(sl_call *c, int status, const sl_val *body)
{
    sl_respond_json(c->req, c->resp, status, body);
}

void sl_reply_empty(sl_call *c, int status)
{
    c->resp->status = status;
}

/* The self link as Kestra's server writes it, nulls included. */
static const sl_val *self_link(sl_arena *a, sl_str path)
{
    static const char *const nulls[] = { "profile", "deprecation", "title", "hreflang", "type", "name" };
    sl_val *self = sl_map_of(a, "href", sl_val_str(a, path));
    sl_map_set_bool(a, self, "templated", false);
    for (size_t i = 0; i < SL_COUNT(nulls); i++)
        sl_map_setc(a, self, nulls[i], &sl_null_val);
    return sl_map_of(a, "self", self);
}

static const sl_val *one_error(sl_arena *a, sl_str message, sl_str path)
{
    sl_val *one = sl_map_of(a, "message", sl_val_str(a, sl_redact(a, message)));
    sl_map_setc(a, one, "logref", &sl_null_val);
    sl_map_setc(a, one, "path", path.n ? sl_val_str(a, path) : &sl_null_val);
    sl_map_setc(a, one, "_links", sl_map(a));
    sl_map_setc(a, one, "_embedded", sl_map(a));
    return one;
}

static const sl_val *error_body(sl_arena *a, sl_str path, sl_str message, const sl_problems *problems)
{
    sl_val *body = sl_map_of(a, "message", sl_val_str(a, sl_redact(a, message))), *embedded = sl_map(a), *errors = sl_list(a);
    for (const sl_problem *p = problems ? problems->first : NULL; p != NULL; p = p->next)
        sl_list_add(a, errors, one_error(a, p->message, p->line > 0 ? sl_fmt(a, "%u:%u", p->line, p->column) : SL_S("")));
    if (errors->list.n > 0)
        sl_map_setc(a, embedded, "errors", errors);
    sl_map_setc(a, body, "logref", &sl_null_val);
    sl_map_setc(a, body, "path", &sl_null_val);
    sl_map_setc(a, body, "_links", self_link(a, path));
    sl_map_setc(a, body, "_embedded", embedded);
    return body;
}

static void reply_text(sl_call *c, int status, sl_str message, const sl_problems *problems)
{
    sl_respond_json(c->req, c->resp, status, error_body(c->arena, c->req->path, message, problems));
    if (status == 401)
        c->resp->headers = sl_map_of(c->arena, "WWW-Authenticate", sl_val_c(c->arena, "Basic realm=\"sluice\""));
}

void sl_reply_error(sl_call *c, int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sl_str s = sl_vfmt(c->arena, fmt, ap);
    va_end(ap);
    reply_text(c, status, s, NULL);
}

void sl_reply_err(sl_call *c, const sl_err *err)
{
    static const int statuses[] = { [SL_ERR_CONFIG] = 422, [SL_ERR_AUTH] = 401, [SL_ERR_NOT_FOUND] = 404, [SL_ERR_CONFLICT] = 409, [SL_ERR_LIMIT] = 429, [SL_ERR_DATA] = 422 };
    int status = (size_t)err->kind < SL_COUNT(statuses) && statuses[err->kind] ? statuses[err->kind] : 500;
    if (strcmp(err->code, "kv.expired") == 0)
        status = 410;
    if (strcmp(err->code, "io.disk_full") == 0)
        status = 507;
    if (strcmp(err->code, "engine.stopped") == 0)
        status = 503;
    sl_reply_error(c, status, "%s%s", status == 404 ? "Not Found: " : "", err->message);
}

void sl_reply_problems(sl_call *c, const sl_problems *problems)
{
    sl_buf b = sl_buf_new(c->arena, 1 << 16);
    sl_buf_addc(&b, "Invalid entity: ");
    for (const sl_problem *p = problems->first; p != NULL; p = p->next) {
        if (p->line > 0)
            sl_buf_fmt(&b, "%u:%u: ", p->line, p->column);
        sl_buf_fmt(&b, "%.*s%s", SL_ARG(p->message), p->next ? ", " : "");
    }
    reply_text(c, 422, sl_buf_str(&b), problems);
}

void sl_reply_page(sl_call *c, const sl_val *results, int64_t total)
{
    sl_val *body = sl_map_of(c->arena, "results", results);
    sl_map_set_int(c->arena, body, "total", total);
    sl_reply(c, 200, body);
}

void sl_reply_count(sl_call *c, int64_t done, const sl_val *invalid)
{
    if (sl_val_count(invalid) == 0) {
        sl_reply(c, 200, sl_map_of(c->arena, "count", sl_val_int(c->arena, done)));
        return;
    }
    sl_val *body = sl_map_of(c->arena, "message", sl_val_c(c->arena, "invalid bulk action"));
    sl_map_setc(c->arena, body, "invalids", invalid);
    sl_map_set_int(c->arena, body, "count", done);
    sl_reply(c, 400, body);
}

/* ---- parameters ---- */

sl_str sl_query(const sl_call *c, const char *name)
{
    return sl_request_param(c->req, name);
}

sl_str sl_query_filter(const sl_call *c, const char *name)
{
    sl_str plain = sl_query(c, name), field = sl_fmt(c->arena, "filters[%s][", strcmp(name, "q") == 0 ? "query" : name);
    for (size_t i = 0; plain.n == 0 && i < sl_val_count(c->req->params); i++)
        if (sl_str_starts(c->req->params->map.entries[i].key, field))
            return sl_text(c->req->params->map.entries[i].value);
    return plain;
}

bool sl_query_bool(const sl_call *c, const char *name, bool fallback)
{
    sl_str v = sl_query(c, name);
    return v.n == 0 ? fallback : sl_str_ieq(v, SL_S("true"));
}

static bool number(sl_call *c, const char *name, int64_t least, int64_t most, int64_t *ret)
{
    sl_str v = sl_query(c, name);
    if (v.n == 0)
        return true;
    if (sl_parse_int(v, ret) && *ret >= least && *ret <= most)
        return true;
    sl_reply_error(c, 400, "Bad Request: '%s' must be a number from %lld to %lld, not '%.*s'", name, (long long)least, (long long)most, SL_ARG(v));
    return false;
}

bool sl_query_page(sl_call *c, int64_t *offset, int64_t *size)
{
    int64_t page = 1;
    *size = 10;
    if (!number(c, "page", 1, INT32_MAX, &page) || !number(c, "size", 1, 1000, size))
        return false;
    *offset = (page - 1) * *size;
    return true;
}

bool sl_query_time(sl_call *c, const char *name, int64_t *ret)
{
    sl_str v = sl_query(c, name);
    sl_time t;
    *ret = 0;
    if (v.n == 0)
        return true;
    if (!sl_time_parse(v, &t) || t.kind == SL_TIME_OF_DAY) {
        sl_reply_error(c, 400, "Bad Request: '%s' must be a date-time such as 2024-03-30T00:00:00Z, not '%.*s'", name, SL_ARG(v));
        return false;
    }
    *ret = t.s * 1000 + t.ns / 1000000;
    return true;
}

const sl_val *sl_query_all(const sl_call *c, const char *name)
{
    sl_val *list = sl_list(c->arena);
    sl_str rest = c->req->query, pair, key, decoded_key, decoded;
    while (rest.n > 0 && sl_str_cut(&rest, '&', &pair)) {
        sl_str value = pair;
        (void)sl_str_cut(&value, '=', &key);
        if (value.p != NULL && sl_percent_decode(c->arena, key, true, &decoded_key) && sl_str_eqc(decoded_key, name) && sl_percent_decode(c->arena, value, true, &decoded))
            sl_list_add(c->arena, list, sl_val_str(c->arena, decoded));
    }
    return list;
}

bool sl_call_may(sl_call *c, sl_str ns)
{
    if (sl_principal_may(&c->who, c->route->role, ns))
        return true;
    sl_reply_error(c, 403, "Forbidden: %s may not do this in the namespace '%.*s'", c->who.name, SL_ARG(ns));
    return false;
}

const sl_val *sl_call_parts(sl_call *c)
{
    const sl_val *parts;
    sl_err err;
    if (sl_multipart_parse(c->arena, sl_request_header(c->req, "content-type"), c->body, &parts, &err))
        return parts;
    sl_reply_error(c, 400, "Bad Request: %s", err.message);
    return NULL;
}

/* ---- a request ---- */

static sl_str media_type(const sl_call *c)
{
    sl_str v = sl_request_header(c->req, "content-type"), type = v;
    (void)sl_str_cut(&v, ';', &type);
    return sl_str_trim(type);
}

static bool media_fits(const sl_call *c)
{
    static const char *const wanted[][4] = {
        [SL_BODY_NONE] = { NULL },
        [SL_BODY_JSON] = { "application/json", NULL },
        [SL_BODY_YAML] = { "application/x-yaml", "application/yaml", "text/yaml", NULL },
        [SL_BODY_MULTIPART] = { "multipart/form-data", NULL },
        [SL_BODY_TEXT] = { "text/plain", NULL },
    };
    sl_str type = media_type(c);
    if (c->route->body == SL_BODY_ANY || c->route->body == SL_BODY_NONE)
        return true;
    if (type.n == 0 && c->route->body == SL_BODY_MULTIPART)
        return true; /* no inputs: no body */
    for (size_t i = 0; wanted[c->route->body][i] != NULL; i++)
        if (sl_str_ieq(type, sl_str_c(wanted[c->route->body][i])))
            return true;
    return false;
}

/* The {…} of the path; {namespace} must be one of the caller's. */
static bool take_args(sl_call *c)
{
    size_t prefix = c->req->segment_count, n = 0, at = 0;
    sl_str rest = sl_str_sub(sl_str_c(c->route->path), 1, strlen(c->route->path)), piece;
    sl_str count = rest;
    while (sl_str_cut(&count, '/', &piece))
        n++;
    prefix -= n;
    for (size_t i = 0; sl_str_cut(&rest, '/', &piece); i++) {
        if (!sl_str_starts(piece, SL_S("{")))
            continue;
        sl_assert(at < SL_COUNT(c->args));
        c->args[at++] = c->req->segments[prefix + i];
        if (sl_str_eqc(piece, "{namespace}") && c->route->role != SL_ROLE_NONE && !sl_call_may(c, c->req->segments[prefix + i]))
            return false;
    }
    return true;
}

/*
 * A browser brings its cookies and its stored password to any site's requests: what changes something has to come from our own
 * page. Clients that are no browsers send neither of these headers.
 */
static bool from_here(const sl_call *c, sl_str session)
{
    sl_str site = sl_request_header(c->req, "sec-fetch-site");
    if (strcmp(c->route->method, "GET") == 0)
        return true;
    if (sl_str_eqc(site, "cross-site") || sl_str_eqc(site, "same-site"))
        return false;
    return session.n == 0 || sl_secret_equal(sl_request_header(c->req, "x-csrf-token"), sl_session_csrf(c->arena, session));
}

static bool admitted(sl_call *c)
{
    sl_err err;
    if (c->route->role == SL_ROLE_NONE)
        return true;
    sl_str authorization = sl_request_header(c->req, "authorization"), session = sl_session_cookie(sl_request_header(c->req, "cookie"));
    bool by_session = authorization.n == 0 && session.n > 0, bearer = sl_str_starts(authorization, SL_S("Bearer "));
    bool ok = by_session ? sl_session_check(c->store, c->arena, session, &c->who, &err) : sl_access_check(c->api->access, c->store, authorization, &c->who, &err);
    if (!ok) {
        sl_reply_err(c, &err);
        return false;
    }
    if (!bearer && !from_here(c, by_session ? session : SL_S(""))) {
        sl_reply_error(c, 403, "Forbidden: this request was made by another site, or lacks the X-CSRF-Token of its session");
        return false;
    }
    if (c->who.role >= c->route->role)
        return true;
    sl_reply_error(c, 403, "Forbidden: this needs the role %s, %s is %s", sl_role_name(c->route->role), c->who.name, sl_role_name(c->who.role));
    return false;
}

static size_t pieces_of(sl_str path, sl_str *ret, size_t max)
{
    size_t n = 0;
    path = sl_str_sub(path, 1, path.n);
    while (n < max && sl_str_cut(&path, '/', &ret[n]))
        n++;
    return n;
}

/* A flow may be called as something else is: POST /executions/NAMESPACE/labels with a form makes an execution of it. */
static const sl_api_route *by_form(const sl_call *c)
{
    enum { PIECES = 16 };
    sl_str wanted[PIECES], is[PIECES];
    size_t n = pieces_of(sl_str_c(c->route->path), is, PIECES), prefix = c->req->segment_count - n;
    for (const sl_api_route *const *t = sl_api_tables; *t != NULL; t++)
        for (const sl_api_route *r = *t; r->method != NULL; r++) {
            bool fits = r->body == SL_BODY_MULTIPART && strcmp(r->method, c->route->method) == 0 && pieces_of(sl_str_c(r->path), wanted, PIECES) == n;
            for (size_t i = 0; fits && i < n; i++)
                fits = sl_str_starts(wanted[i], SL_S("{")) || sl_str_eq(wanted[i], c->req->segments[prefix + i]);
            if (fits)
                return r;
        }
    return c->route;
}

static void *begin(void *self, sl_server_request *req)
{
    sl_api *api = self;
    sl_call *c = SL_NEW(req->arena, sl_call);
    sl_err err;
    *c = (sl_call){ .api = api, .engine = api->engine, .arena = req->arena, .req = req, .route = req->route->data, .resp = SL_NEW(req->arena, sl_server_response) };
    c->buffer = sl_buf_new(req->arena, SL_HTTP_BODY_MAX);
    if (!media_fits(c) && sl_str_ieq(media_type(c), SL_S("multipart/form-data")))
        c->route = by_form(c);
    c->store = sl_readers_take(api->readers, &err);
    if (c->store == NULL) {
        sl_reply_err(c, &err);
        c->refused = true;
    } else if (!admitted(c) || !take_args(c))
        c->refused = true;
    else if (!media_fits(c)) {
        sl_str type = media_type(c);
        sl_reply_error(c, 415, "Unsupported Media Type: %s %.*s does not take a body of type '%.*s'", req->method, SL_ARG(req->path), SL_ARG(type));
        c->refused = true;
    }
    return c;
}

static bool data(void *self, sl_server_request *req, const void *bytes, size_t n)
{
    (void)self;
    sl_call *c = req->stream;
    if (!c->refused)
        sl_buf_add(&c->buffer, (sl_str){ bytes, n });
    return !c->refused && !c->buffer.overflow;
}

static bool take_body(sl_call *c)
{
    sl_err err;
    if (c->buffer.overflow) {
        sl_reply_error(c, 413, "Request Entity Too Large: a body has at most %d bytes", SL_HTTP_BODY_MAX);
        return false;
    }
    c->body = sl_buf_str(&c->buffer);
    if (c->route->body != SL_BODY_JSON)
        return true;
    c->json = sl_json_parse(c->arena, c->body, &err);
    if (c->json == NULL)
        sl_reply_error(c, 400, "Bad Request: the body is not JSON: %s", err.message);
    return c->json != NULL;
}

/* Whatever changes something is in the audit log before it is answered. */
static void handle_recorded(sl_call *c)
{
    bool reads = strcmp(c->route->method, "GET") == 0 || c->route->role == SL_ROLE_NONE;
    sl_audit_record record = { .who = sl_str_c(c->who.name), .method = sl_str_c(c->route->method), .path = sl_redact(c->arena, c->req->path) };
    sl_err err;
    if (!reads)
        sl_audit_post(c->engine, &record);
    c->route->handle(c);
    if (reads || sl_audit_wait(c->engine, &record, &err))
        return;
    if (c->resp->pulled_out != NULL)
        c->resp->pulled_out(c->resp->pull_self);
    *c->resp = (sl_server_response){ 0 };
    sl_reply_err(c, &err);
}

static void handle(void *self, sl_server_request *req, sl_server_response *resp)
{
    (void)self;
    sl_call *c = req->stream;
    if (!c->refused && take_body(c))
        handle_recorded(c);
    *resp = *c->resp;
    sl_val *headers = sl_map_shallow(c->arena, resp->headers);
    sl_map_set_str(c->arena, headers, "X-Content-Type-Options", SL_S("nosniff"));
    sl_map_set_str(c->arena, headers, "Cache-Control", SL_S("no-store"));
    sl_map_set_str(c->arena, headers, "Content-Security-Policy", SL_S("default-src 'none'; frame-ancestors 'none'"));
    resp->headers = headers;
}

static void end(void *self, sl_server_request *req)
{
    sl_api *api = self;
    sl_call *c = req->stream;
    if (c != NULL)
        sl_readers_put(api->readers, c->store);
}

void sl_api_unmatched(void *self, sl_server_request *req, sl_server_response *resp, sl_str allow)
{
    (void)self;
    int status = allow.n > 0 ? 405 : 404;
    sl_str message = allow.n > 0 ? sl_fmt(req->arena, "Method Not Allowed: %s; this path takes %.*s", req->method, SL_ARG(allow)) : SL_S("Not Found");
    sl_respond_json(req, resp, status, error_body(req->arena, req->path, message, NULL));
    if (allow.n > 0)
        resp->headers = sl_map_of(req->arena, "Allow", sl_val_str(req->arena, allow));
}

/* ---- the table ---- */

static const char *pattern_of(sl_arena *a, const char *prefix, const char *path)
{
    sl_buf b = sl_buf_new(a, 512);
    sl_str rest = sl_str_sub(sl_str_c(path), 1, strlen(path)), piece;
    sl_buf_addc(&b, prefix);
    while (sl_str_cut(&rest, '/', &piece)) {
        sl_buf_char(&b, '/');
        sl_buf_add(&b, sl_str_starts(piece, SL_S("{")) ? SL_S("+") : piece);
    }
    return sl_buf_str(&b).p;
}

static void fill_routes(sl_api *api)
{
    static const char *const prefixes[] = { "/api/v1/main", "/api/v1" };
    size_t n = 0;
    for (const sl_api_route *const *t = sl_api_tables; *t != NULL; t++)
        for (const sl_api_route *r = *t; r->method != NULL; r++)
            n += 2;
    api->routes = SL_ARRAY(api->arena, sl_route, n + 1);
    n = 0;
    for (const sl_api_route *const *t = sl_api_tables; *t != NULL; t++)
        for (const sl_api_route *r = *t; r->method != NULL; r++) {
            bool top = sl_str_starts(sl_str_c(r->path), SL_S("//")); /* outside of /api/v1 */
            for (size_t i = 0; i < (top ? 1 : SL_COUNT(prefixes)); i++)
                api->routes[n++] = (sl_route){ .method = r->method, .pattern = pattern_of(api->arena, top ? "" : prefixes[i], top ? r->path + 1 : r->path), .handle = handle, .on_begin = begin, .on_data = data, .on_end = end, .data = r };
        }
}

sl_api *sl_api_new(sl_engine *e)
{
    sl_api *api = sl_malloc(sizeof *api);
    *api = (sl_api){ .engine = e, .readers = sl_readers_new(e), .access = sl_access_new(), .arena = sl_arena_new() };
    fill_routes(api);
    return api;
}

void sl_api_free(sl_api *api)
{
    if (api == NULL)
        return;
    sl_access_free(api->access);
    sl_readers_free(api->readers);
    sl_arena_free(api->arena);
    free(api);
}

sl_access *sl_api_access(sl_api *api)
{
    return api->access;
}

const sl_route *sl_api_routes(sl_api *api)
{
    return api->routes;
}
