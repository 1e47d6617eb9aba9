/*
 * local/oauth.c: the token endpoint and the local cloud's own service account.
 *
 * The key is a real RSA key; assertions are really verified: signature, issuer, audience, times, at most an hour.
 * Sources: RFC 7523 sections 2.1 and 3; Google's service account documentation.
 */
#include "auth/jwt.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/io.h"
#include "local/cloud_private.h"

enum { LIFE_S = 3600, LEEWAY_S = 300 };

static bool make_key(sl_cloud *c, const char *path, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_str pem;
    uint8_t id[20];
    if (!sl_rsa_generate(a, &pem, err))
        return false;
    sl_random(id, sizeof id);
    sl_val *doc = sl_map(a);
    sl_map_set_str(a, doc, "type", SL_S("service_account"));
    sl_map_set_str(a, doc, "project_id", c->project);
    sl_map_set_str(a, doc, "private_key_id", sl_hex(a, (sl_str){ (const char *)id, sizeof id }));
    sl_map_set_str(a, doc, "private_key", pem);
    sl_map_set_str(a, doc, "client_email", sl_fmt(a, "local@%.*s.iam.gserviceaccount.com", SL_ARG(c->project)));
    sl_map_set_str(a, doc, "client_id", SL_S("100000000000000000000"));
    sl_map_set_str(a, doc, "token_uri", sl_fmt(a, "%s/token", c->url));
    return sl_fs_write_atomic(path, sl_json_pretty(a, doc), 0600, err);
}

/* The port, and with it the token endpoint, may have changed since the key was written. */
static bool refresh_uri(sl_cloud *c, const char *path, sl_str text, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    const sl_val *doc = sl_json_parse(a, text, err);
    sl_str uri = sl_fmt(a, "%s/token", c->url);
    if (doc == NULL)
        return sl_err_ctx(err, "reading %s", path);
    if (!sl_str_eq(sl_get_text(doc, "token_uri"), uri)) {
        sl_val *changed = sl_map_shallow(a, doc);
        sl_map_set_str(a, changed, "token_uri", uri);
        doc = changed;
        if (!sl_fs_write_atomic(path, sl_json_pretty(a, doc), 0600, err))
            return false;
    }
    c->key = sl_secret_new(sl_json(a, doc));
    sl_redact_add(sl_get_text(doc, "private_key"));
    return true;
}

bool sl_oauth_init(sl_cloud *c, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_str path = sl_fmt(a, "%s/service-account.json", c->dir), text;
    if (!sl_fs_exists(path.p) && !make_key(c, path.p, err))
        return false;
    return sl_fs_read(a, path.p, 1 << 16, &text, err) && refresh_uri(c, path.p, text, err);
}

static void refuse(sl_server_request *req, sl_server_response *resp, const char *error, const char *why)
{
    sl_val *v = sl_map(req->arena);
    sl_map_set_str(req->arena, v, "error", sl_str_c(error));
    sl_map_set_str(req->arena, v, "error_description", sl_str_c(why));
    sl_respond_json(req, resp, 400, v);
}

static sl_str form_value(sl_server_request *req, const char *name)
{
    sl_str rest = req->body, pair;
    while (rest.n > 0 && sl_str_cut(&rest, '&', &pair)) {
        sl_str value = pair, key, out;
        (void)sl_str_cut(&value, '=', &key);
        if (sl_str_eqc(key, name) && value.p != NULL && sl_percent_decode(req->arena, value, true, &out))
            return out;
    }
    return SL_S("");
}

static const char *claims_problem(sl_cloud *c, sl_arena *a, const sl_val *claims, const sl_val *key)
{
    int64_t now = sl_now_ms() / 1000, iat = sl_get_int(claims, "iat", 0), exp = sl_get_int(claims, "exp", 0);
    sl_str aud = sl_get_text(claims, "aud");
    (void)c;
    if (!sl_str_eq(sl_get_text(claims, "iss"), sl_get_text(key, "client_email")))
        return "Invalid grant: account not found";
    if (!sl_str_eq(aud, sl_get_text(key, "token_uri")) && !sl_str_eqc(aud, "https://oauth2.googleapis.com/token"))
        return "Invalid JWT: Failed audience check.";
    if (exp <= now - LEEWAY_S || iat > now + LEEWAY_S || iat == 0)
        return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.";
    if (exp - iat > LIFE_S)
        return "Invalid JWT: Token must be a short-lived token (60 minutes).";
    (void)a;
    return sl_get_text(claims, "scope").n > 0 || sl_get_text(claims, "target_audience").n > 0 ? NULL : "Invalid OAuth scope or ID token audience provided.";
}

static sl_str token_hash(sl_arena *a, sl_str token)
{
    return sl_hex(a, sl_digest(a, "SHA256", token));
}

void sl_oauth_token(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    sl_arena *a = req->arena;
    sl_err err;
    const sl_val *key = sl_json_parse(a, sl_secret_reveal(c->key), &err), *claims;
    if (!sl_str_eqc(form_value(req, "grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer")) {
        refuse(req, resp, "unsupported_grant_type", "only urn:ietf:params:oauth:grant-type:jwt-bearer is supported");
        return;
    }
    if (!sl_jwt_verify(a, form_value(req, "assertion"), sl_get_text(key, "private_key"), &claims, &err)) {
        refuse(req, resp, "invalid_grant", "Invalid JWT Signature.");
        return;
    }
    const char *problem = claims_problem(c, a, claims, key);
    if (problem != NULL) {
        refuse(req, resp, strstr(problem, "scope") ? "invalid_scope" : "invalid_grant", problem);
        return;
    }
    uint8_t raw[32];
    sl_random(raw, sizeof raw);
    sl_str token = sl_fmt(a, "ya29.local-%.*s", SL_ARG(sl_base64url(a, (sl_str){ (const char *)raw, sizeof raw })));
    int64_t expires = sl_now_ms() + LIFE_S * 1000;
    sl_db_lock(c->db);
    bool ok = sl_db_run(c->db, &err, "DELETE FROM tokens WHERE expires_ms < ?", "i", sl_now_ms()) && sl_db_run(c->db, &err, "INSERT INTO tokens(hash, expires_ms) VALUES(?,?)", "si", token_hash(a, token), expires);
    sl_db_unlock(c->db);
    if (!ok) {
        sl_cloud_refuse(req, resp, 500, "internalError", "%s", err.message);
        return;
    }
    sl_val *v = sl_map(a);
    sl_map_set_str(a, v, "access_token", token);
    sl_map_set_int(a, v, "expires_in", LIFE_S - 1);
    sl_map_set_str(a, v, "token_type", SL_S("Bearer"));
    sl_respond_json(req, resp, 200, v);
}

bool sl_cloud_authorized(sl_cloud *c, sl_server_request *req, sl_server_response *resp)
{
    sl_str header = sl_request_header(req, "authorization");
    sl_err err;
    bool good = header.n == 0 && c->anonymous;
    if (sl_str_starts(header, SL_S("Bearer "))) {
        sl_db_lock(c->db);
        sl_stmt *s = sl_db_query(c->db, &err, "SELECT 1 FROM tokens WHERE hash=? AND expires_ms>?", "si", token_hash(req->arena, sl_str_sub(header, 7, header.n)), sl_now_ms());
        good = s != NULL && sl_stmt_next(s, &err) == 1;
        if (good)
            sl_stmt_done(s);
        sl_db_unlock(c->db);
    }
    if (!good) {
        if (header.n > 0)
            sl_cloud_refuse(req, resp, 401, "authError", "Invalid Credentials");
        else
            sl_cloud_refuse(req, resp, 401, "required", "Login Required: the request has no token. `sluice local env` shows the key's file; `sluice local --anonymous` asks for none.");
        sl_val *h = sl_map(req->arena);
        sl_map_set_str(req->arena, h, "WWW-Authenticate", SL_S("Bearer realm=\"https://accounts.google.com/\", error=\"invalid_token\""));
        resp->headers = h;
    }
    return good;
}
