/* auth/google_fetch.c: token requests, one function per kind of credential. Sources: RFC 7523, 6749, 8693; Google's AIP-4112 to 4117. */
#include "auth/google_cred.h"
#include "auth/jwt.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"

/* RFC 6749 error answers: what they mean and whether asking again helps. */
static bool refused(const sl_http_response *r, sl_arena *arena, const char *who, sl_err *err)
{
    sl_err ignored;
    const sl_val *doc = sl_json_parse(arena, r->body, &ignored), *e = sl_get(doc, "error");
    sl_str name = e && e->type == SL_MAP ? sl_get_text(e, "status") : sl_text(e);
    sl_str detail = e && e->type == SL_MAP ? sl_get_text(e, "message") : sl_get_text(doc, "error_description");
    sl_err_kind kind = r->status == 400 ? SL_ERR_AUTH : sl_http_status_kind(r->status);
    const char *advice = sl_str_eqc(name, "invalid_grant") ? "; the key may be revoked, the account deleted, or this machine's clock wrong"
                         : r->status == 403               ? "; the account lacks the permission (role Service Account Token Creator for impersonation)"
                                                          : "";
    sl_err_set(err, kind, "google.token", "%s refused to give a token (HTTP %d %.*s%s%.*s)%s", who, r->status, SL_ARG(name), detail.n ? ": " : "", SL_ARG(detail), advice);
    err->status = r->status;
    sl_redact_err(err);
    return false;
}

static bool post(sl_http *http, sl_arena *arena, sl_str url, const char *type, sl_str body, const sl_val *more, const char *who, const sl_val **ret, sl_err *err)
{
    sl_val *headers = sl_map_shallow(arena, more);
    sl_map_set_str(arena, headers, "Content-Type", sl_str_c(type));
    sl_http_request req = { .method = "POST", .url = url, .headers = headers, .body = body, .idempotent = true, .attempts_max = 4, .total_ms = 60000,
                            .body_max = SL_HTTP_ERROR_BODY_MAX, .pool = SL_S("google-token") };
    sl_http_response r;
    if (!sl_http_call(http, arena, &req, &r, err))
        return sl_err_ctx(err, "asking %s for an access token", who);
    if (r.status / 100 != 2)
        return refused(&r, arena, who, err);
    *ret = sl_json_parse(arena, r.body, err);
    return *ret != NULL || sl_err_ctx(err, "reading the token answer of %s", who);
}

/* access_token and expires_in of an answer; the life counts from before the request. */
static bool take_token(const sl_val *doc, int64_t asked_s, sl_str *ret, int64_t *expires_s, sl_err *err)
{
    sl_str token = sl_get_text(doc, "access_token");
    int64_t life = sl_get_int(doc, "expires_in", 0);
    if (token.n == 0)
        return sl_err_set(err, SL_ERR_REMOTE, "google.token", "the token answer has no access_token");
    sl_redact_add(token);
    if (life <= 0 || life > SL_TOKEN_LIFE_MAX_S)
        return sl_err_set(err, SL_ERR_REMOTE, "google.lifetime", "the token answer has a wrong expires_in (%lld s)", (long long)life);
    *ret = token;
    *expires_s = asked_s + life;
    return true;
}

static bool fetch_service_account(sl_http *http, const sl_google_cred *c, sl_arena *arena, sl_str *ret, int64_t *expires_s, sl_err *err)
{
    int64_t now_s = sl_now_ms() / 1000;
    sl_val *header = sl_map(arena), *claims = sl_map(arena);
    if (c->key_id.n > 0)
        sl_map_set_str(arena, header, "kid", c->key_id);
    sl_map_set_str(arena, claims, "iss", c->email);
    sl_map_set_str(arena, claims, "scope", c->scopes);
    sl_map_set_str(arena, claims, "aud", c->token_uri);
    sl_map_set_int(arena, claims, "iat", now_s);
    sl_map_set_int(arena, claims, "exp", now_s + 3600);
    sl_str assertion;
    if (!sl_jwt_sign(arena, header, claims, sl_secret_reveal(c->secret), &assertion, err))
        return sl_err_ctx(err, "signing for %.*s", SL_ARG(c->email));
    sl_str body = sl_fmt(arena, "grant_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant-type%%3Ajwt-bearer&assertion=%.*s", SL_ARG(assertion));
    const sl_val *doc;
    return post(http, arena, c->token_uri, "application/x-www-form-urlencoded", body, NULL, sl_cstr(arena, c->token_uri), &doc, err)
           && take_token(doc, now_s, ret, expires_s, err);
}

static bool fetch_user(sl_http *http, const sl_google_cred *c, sl_arena *arena, sl_str *ret, int64_t *expires_s, sl_err *err)
{
    int64_t now_s = sl_now_ms() / 1000;
    sl_val *form = sl_map(arena);
    sl_map_set_str(arena, form, "grant_type", SL_S("refresh_token"));
    sl_map_set_str(arena, form, "client_id", c->client_id);
    sl_map_set_str(arena, form, "client_secret", sl_secret_reveal(c->client_secret));
    sl_map_set_str(arena, form, "refresh_token", sl_secret_reveal(c->secret));
    const sl_val *doc;
    return post(http, arena, c->token_uri, "application/x-www-form-urlencoded", sl_url_query(arena, form), NULL, sl_cstr(arena, c->token_uri), &doc, err)
           && take_token(doc, now_s, ret, expires_s, err);
}

sl_str sl_google_metadata_url(sl_arena *arena, const char *path)
{
    const char *host = getenv("GCE_METADATA_HOST");
    if (host == NULL || *host == '\0')
        host = getenv("GCE_METADATA_ROOT");
    return sl_fmt(arena, "http://%s/computeMetadata/v1/%s", host && *host ? host : "metadata.google.internal", path);
}

bool sl_google_metadata_get(sl_http *http, sl_arena *arena, const char *path, int64_t timeout_ms, sl_http_response *ret, sl_err *err)
{
    sl_val *headers = sl_map(arena);
    sl_map_set_str(arena, headers, "Metadata-Flavor", SL_S("Google"));
    sl_http_request req = { .url = sl_google_metadata_url(arena, path), .headers = headers, .no_proxy = true, .link_local = true, .connect_ms = timeout_ms,
                            .total_ms = timeout_ms * 3, .attempts_max = 3, .body_max = SL_HTTP_ERROR_BODY_MAX };
    if (!sl_http_call(http, arena, &req, ret, err))
        return sl_err_ctx(err, "asking the metadata server");
    if (!sl_str_ieq(sl_http_header(ret, "metadata-flavor"), SL_S("Google")))
        return sl_err_set(err, SL_ERR_REMOTE, "google.metadata", "%.*s answers, but is not a Google metadata server", SL_ARG(req.url));
    return true;
}

static bool fetch_metadata(sl_http *http, const sl_google_cred *c, sl_arena *arena, sl_str *ret, int64_t *expires_s, sl_err *err)
{
    int64_t now_s = sl_now_ms() / 1000;
    sl_http_response r;
    sl_str path = sl_fmt(arena, "instance/service-accounts/default/token?scopes=%.*s", SL_ARG(sl_percent(arena, sl_str_replace(arena, c->scopes, SL_S(" "), SL_S(",")), ",:/")));
    if (!sl_google_metadata_get(http, arena, path.p, 3000, &r, err))
        return false;
    if (r.status != 200)
        return refused(&r, arena, "the metadata server", err);
    const sl_val *doc = sl_json_parse(arena, r.body, err);
    return doc != NULL && take_token(doc, now_s, ret, expires_s, err);
}

/* Acts as another account: the source's token buys one of the target's. */
static bool impersonate(sl_http *http, const sl_google_cred *c, sl_str source_token, sl_arena *arena, sl_str *ret, int64_t *expires_s, sl_err *err)
{
    sl_val *headers = sl_map(arena), *body = sl_map(arena), *scopes = sl_list(arena);
    sl_str rest = c->scopes, scope;
    while (rest.n > 0 && sl_str_cut(&rest, ' ', &scope))
        sl_list_add(arena, scopes, sl_val_str(arena, scope));
    sl_map_set_str(arena, headers, "Authorization", sl_fmt(arena, "Bearer %.*s", SL_ARG(source_token)));
    sl_map_setc(arena, body, "delegates", c->delegates ? c->delegates : sl_list(arena));
    sl_map_setc(arena, body, "scope", scopes);
    sl_map_set_str(arena, body, "lifetime", sl_fmt(arena, "%llds", (long long)c->lifetime_s));
    const sl_val *doc;
    if (!post(http, arena, c->url, "application/json", sl_json(arena, body), headers, sl_cstr(arena, c->url), &doc, err))
        return sl_err_ctx(err, "impersonating %.*s", SL_ARG(c->email));
    sl_time t;
    *ret = sl_get_text(doc, "accessToken");
    if (ret->n == 0 || !sl_time_parse(sl_get_text(doc, "expireTime"), &t))
        return sl_err_set(err, SL_ERR_REMOTE, "google.token", "the impersonation answer of %.*s has no accessToken or expireTime", SL_ARG(c->url));
    sl_redact_add(*ret);
    *expires_s = t.s;
    return true;
}

/* The token of the other identity provider, from a file or a URL, as text or as a field of a JSON document. */
static bool subject_token(sl_http *http, const sl_google_cred *c, sl_arena *arena, sl_str *ret, sl_err *err)
{
    const sl_val *from = c->source_config, *format = sl_get(from, "format");
    sl_str text;
    if (sl_get_text(from, "file").n > 0) {
        if (!sl_fs_read(arena, sl_get_text(from, "file").p, SL_HTTP_ERROR_BODY_MAX, &text, err))
            return sl_err_ctx(err, "reading the subject token");
    } else {
        sl_http_request req = { .url = sl_get_text(from, "url"), .headers = sl_get(from, "headers"), .attempts_max = 3, .total_ms = 15000, .link_local = true, .no_proxy = true,
                                .body_max = SL_HTTP_ERROR_BODY_MAX };
        sl_http_response r;
        if (!sl_http_call(http, arena, &req, &r, err))
            return sl_err_ctx(err, "fetching the subject token");
        if (r.status != 200)
            return sl_err_set(err, sl_http_status_kind(r.status), "google.subject", "the subject token's URL %.*s answered with HTTP %d", SL_ARG(req.url), r.status);
        text = r.body;
    }
    if (sl_str_eqc(sl_get_text(format, "type"), "json")) {
        const sl_val *doc = sl_json_parse(arena, text, err);
        if (doc == NULL)
            return sl_err_ctx(err, "reading the subject token");
        text = sl_get_text(doc, sl_cstr(arena, sl_get_text(format, "subject_token_field_name")));
    }
    *ret = sl_str_trim(text);
    sl_redact_add(*ret);
    return ret->n > 0 || sl_err_set(err, SL_ERR_AUTH, "google.subject", "the subject token is empty");
}

static bool fetch_external(sl_http *http, const sl_google_cred *c, sl_arena *arena, sl_str *ret, int64_t *expires_s, sl_err *err)
{
    int64_t now_s = sl_now_ms() / 1000;
    sl_str subject;
    if (!subject_token(http, c, arena, &subject, err))
        return false;
    sl_val *form = sl_map(arena), *headers = sl_map(arena);
    sl_map_set_str(arena, form, "grant_type", SL_S("urn:ietf:params:oauth:grant-type:token-exchange"));
    sl_map_set_str(arena, form, "audience", c->audience);
    sl_map_set_str(arena, form, "scope", c->url.n ? SL_S("https://www.googleapis.com/auth/cloud-platform") : c->scopes);
    sl_map_set_str(arena, form, "requested_token_type", SL_S("urn:ietf:params:oauth:token-type:access_token"));
    sl_map_set_str(arena, form, "subject_token", subject);
    sl_map_set_str(arena, form, "subject_token_type", c->subject_token_type);
    if (c->workforce_project.n > 0)
        sl_map_set_str(arena, form, "options", sl_fmt(arena, "{\"userProject\":\"%.*s\"}", SL_ARG(c->workforce_project)));
    if (c->client_id.n > 0 && c->client_secret != NULL) {
        sl_str pair = sl_fmt(arena, "%.*s:%.*s", SL_ARG(c->client_id), SL_ARG(sl_secret_reveal(c->client_secret)));
        sl_map_set_str(arena, headers, "Authorization", sl_fmt(arena, "Basic %.*s", SL_ARG(sl_base64(arena, pair))));
    }
    const sl_val *doc;
    sl_str token;
    int64_t expires;
    if (!post(http, arena, c->token_uri, "application/x-www-form-urlencoded", sl_url_query(arena, form), headers, sl_cstr(arena, c->token_uri), &doc, err)
        || !take_token(doc, now_s, &token, &expires, err))
        return false;
    if (c->url.n > 0)
        return impersonate(http, c, token, arena, ret, expires_s, err);
    *ret = token;
    *expires_s = expires;
    return true;
}

bool sl_google_fetch(sl_http *http, const sl_google_cred *c, sl_arena *arena, sl_str *ret, int64_t *expires_s, sl_err *err)
{
    sl_str token;
    switch (c->kind) {
    case SL_G_SERVICE_ACCOUNT: return fetch_service_account(http, c, arena, ret, expires_s, err);
    case SL_G_USER: return fetch_user(http, c, arena, ret, expires_s, err);
    case SL_G_METADATA: return fetch_metadata(http, c, arena, ret, expires_s, err);
    case SL_G_EXTERNAL: return fetch_external(http, c, arena, ret, expires_s, err);
    case SL_G_IMPERSONATED:
        return sl_google_token(c->source, arena, false, &token, NULL, err) && impersonate(http, c, token, arena, ret, expires_s, err);
    }
    return false;
}
