/* connectors/gcp/gcp.c: see gcp.h. Error bodies: Google's API design guide, and B6.1 / B7.9 of the connectors reference. */
#include "connectors/gcp/gcp.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/secret.h"

enum { WAITS_MAX = 5 }; /* for one call, on top of what the HTTP client does */

bool sl_gcp_open(sl_gcp *g, sl_task *t, const char *service, const sl_gcp_cfg *cfg, sl_err *err)
{
    bool gcs = strcmp(service, "gcs") == 0;
    *g = (sl_gcp){ .task = t, .arena = sl_task_arena(t), .service = gcs ? "GCS" : "BigQuery" };
    const char *endpoint = sl_task_endpoint(t, service, &g->local);
    bool explicit_key = cfg->service_account.n > 0 || cfg->impersonate.n > 0;
    g->base = sl_str_c(endpoint ? endpoint : gcs ? "https://storage.googleapis.com" : "https://bigquery.googleapis.com");
    g->project = cfg->project;
    if (cfg->service_account.n > 0)
        sl_redact_add(cfg->service_account);
    if (endpoint == NULL || g->local || explicit_key) {
        sl_google_options o = { .service_account = sl_str_trim(cfg->service_account), .impersonate = cfg->impersonate, .scopes = cfg->scopes };
        sl_google_cred *cred = sl_google_find(sl_task_google(t), &o, err);
        if (cred == NULL)
            return false;
        g->auth = sl_google_http_auth(cred);
        g->identity = sl_google_identity(cred);
        g->pool = sl_fmt(g->arena, "google %.*s", SL_ARG(g->identity));
        if (g->project.n == 0)
            g->project = sl_google_project(cred);
    }
    static const char *const variables[] = { "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT" };
    for (size_t i = 0; g->project.n == 0 && i < SL_COUNT(variables); i++)
        g->project = sl_str_c(getenv(variables[i]));
    return true;
}

bool sl_gcp_need_project(const sl_gcp *g, sl_err *err)
{
    return g->project.n > 0 || sl_err_set(err, SL_ERR_CONFIG, "gcp.project", "no project is known; set 'projectId', or GOOGLE_CLOUD_PROJECT");
}

void sl_gcp_prepare(sl_gcp *g, sl_http_request *req)
{
    req->auth = g->auth;
    req->pool = g->pool;
    sl_task_prepare(g->task, req);
}

static const sl_val *first_error(sl_arena *arena, sl_str body, const sl_val **ret_error)
{
    sl_err ignored;
    const sl_val *doc = sl_json_parse(arena, body, &ignored), *e = sl_get(doc, "error");
    *ret_error = sl_is(e, SL_MAP) ? e : NULL;
    return sl_at(sl_get(e, "errors"), 0);
}

/* Reasons say more than the status (B7.9): a 403 may be a rate limit, a 400 a passing trouble. */
static sl_err_kind kind_of(int status, sl_str reason)
{
    static const struct {
        const char *reason;
        sl_err_kind kind;
    } reasons[] = {
        { "rateLimitExceeded", SL_ERR_THROTTLED },     { "userRateLimitExceeded", SL_ERR_THROTTLED }, { "jobRateLimitExceeded", SL_ERR_THROTTLED }, { "backendError", SL_ERR_TRANSIENT },
        { "internalError", SL_ERR_TRANSIENT },         { "tableUnavailable", SL_ERR_TRANSIENT },      { "jobBackendError", SL_ERR_TRANSIENT },      { "jobInternalError", SL_ERR_TRANSIENT },
        { "quotaExceeded", SL_ERR_REMOTE },            { "accessDenied", SL_ERR_AUTH },               { "duplicate", SL_ERR_CONFLICT },             { "notFound", SL_ERR_NOT_FOUND },
        { "invalidQuery", SL_ERR_DATA },               { "invalid", SL_ERR_DATA },
    };
    for (size_t i = 0; i < SL_COUNT(reasons); i++)
        if (sl_str_eqc(reason, reasons[i].reason))
            return reasons[i].kind;
    return sl_http_status_kind(status);
}

/* "Not now" that the status alone does not show: 403 rateLimitExceeded, 400 jobRateLimitExceeded, … */
static bool asks_to_wait(const sl_gcp *g, const sl_http_response *r)
{
    const sl_val *e;
    if (r->status != 400 && r->status != 403)
        return false;
    sl_err_kind kind = kind_of(r->status, sl_get_text(first_error(g->arena, r->body, &e), "reason"));
    return kind == SL_ERR_THROTTLED || kind == SL_ERR_TRANSIENT;
}

bool sl_gcp_send(sl_gcp *g, const char *method, sl_str path, const sl_val *body, bool idempotent, sl_http_response *r, sl_err *err)
{
    sl_val *headers = sl_map(g->arena);
    if (body != NULL)
        sl_map_set_str(g->arena, headers, "Content-Type", SL_S("application/json; charset=UTF-8"));
    sl_http_request req = { .method = method, .url = sl_fmt(g->arena, "%.*s%.*s", SL_ARG(g->base), SL_ARG(path)), .headers = headers, .idempotent = idempotent, .idle_ms = 300000, .total_ms = 900000 };
    if (body != NULL)
        req.body = sl_json(g->arena, body);
    sl_gcp_prepare(g, &req);
    for (int i = 0;; i++) {
        if (!sl_http_call(sl_task_http(g->task), g->arena, &req, r, err))
            return false;
        int64_t after = sl_http_retry_after(r);
        if (i == WAITS_MAX || !asks_to_wait(g, r) || !sl_http_sleep(&req, after >= 0 ? after : sl_http_backoff_ms(i, 1000, 32000)))
            return true;
    }
}

bool sl_gcp_error(const sl_gcp *g, const sl_http_response *r, const char *doing, sl_err *err)
{
    const sl_val *e, *one = first_error(g->arena, r->body, &e);
    sl_str reason = sl_get_text(one, "reason"), message = sl_get_text(e, "message");
    if (message.n == 0)
        message = sl_str_trim(sl_str_sub(r->body, 0, 300));
    const char *advice = "";
    if (r->status == 401)
        advice = "; the token was refused: is the key revoked, or the clock wrong?";
    else if (r->status == 403 && !sl_str_eqc(reason, "rateLimitExceeded"))
        advice = sl_fmt(g->arena, "; %.*s lacks the permission", SL_ARG(g->identity.n ? g->identity : SL_S("the account"))).p;
    sl_err_set(err, kind_of(r->status, reason), sl_fmt(g->arena, "%s.%d", g->service, r->status).p, "%s: %s answered %d%s%.*s%s: %.*s%s", doing, g->service, r->status, reason.n ? " (" : "",
               SL_ARG(reason), reason.n ? ")" : "", SL_ARG(message), advice);
    err->status = r->status;
    err->retry_after_ms = sl_http_retry_after(r);
    sl_redact_err(err);
    return false;
}

bool sl_gcp_call(sl_gcp *g, const char *method, sl_str path, const sl_val *body, bool idempotent, const sl_val **ret, sl_err *err)
{
    sl_http_response r;
    if (!sl_gcp_send(g, method, path, body, idempotent, &r, err))
        return false;
    sl_str shown = path;
    ptrdiff_t question = sl_str_find(path, SL_S("?"));
    if (question > 0)
        shown = sl_str_sub(path, 0, (size_t)question);
    if (r.status / 100 != 2)
        return sl_gcp_error(g, &r, sl_fmt(g->arena, "%s %.*s", method, SL_ARG(shown)).p, err);
    if (ret == NULL)
        return true;
    *ret = r.body.n > 0 ? sl_json_parse(g->arena, r.body, err) : sl_map(g->arena);
    return *ret != NULL || sl_err_ctx(err, "reading the answer of %s", g->service);
}
