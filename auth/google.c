/*
 * auth/google.c: finds credentials, checks their documents, caches tokens. The requests are google_fetch.c.
 *
 * No message shows any part of a key: only the names of fields that are missing or wrong.
 */
#include "auth/google.h"

#include "auth/google_cred.h"
#include "auth/jwt.h"
#include "auth/step.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"

enum { REFRESH_EARLY_S = 225 };

static const char CLOUD_PLATFORM[] = "https://www.googleapis.com/auth/cloud-platform";

struct sl_google {
    sl_http *http;
    pthread_mutex_t lock;
    sl_google_cred *creds;
    sl_secret *fallback; /* the local cloud's key */
};

sl_google *sl_google_new(sl_http *http)
{
    sl_google *g = sl_malloc(sizeof *g);
    *g = (sl_google){ .http = http };
    pthread_mutex_init(&g->lock, NULL);
    return g;
}

void sl_google_free(sl_google *g)
{
    if (g == NULL)
        return;
    for (sl_google_cred *c = g->creds; c != NULL;) {
        sl_google_cred *next = c->next;
        sl_secret_free(c->locked.token);
        pthread_mutex_destroy(&c->locked.lock);
        pthread_cond_destroy(&c->locked.done);
        sl_arena_free(c->arena);
        c = next;
    }
    sl_secret_free(g->fallback);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

void sl_google_set_default(sl_google *g, sl_str json)
{
    sl_secret_free(g->fallback);
    g->fallback = sl_secret_new(json);
}

static bool authorize(void *self, sl_arena *arena, const sl_http_request *req, sl_val *headers, bool refresh, sl_err *err)
{
    (void)req;
    sl_google_cred *c = self;
    sl_str token;
    if (!sl_google_token(c, arena, refresh, &token, NULL, err))
        return false;
    sl_map_set_str(arena, headers, "Authorization", sl_fmt(arena, "Bearer %.*s", SL_ARG(token)));
    if (c->quota_project.n > 0)
        sl_map_set_str(arena, headers, "x-goog-user-project", c->quota_project);
    return true;
}

static sl_google_cred *cred_new(sl_google *g, sl_google_kind kind)
{
    sl_arena *arena = sl_arena_new();
    sl_google_cred *c = SL_NEW(arena, sl_google_cred);
    c->owner = g;
    c->arena = arena;
    c->kind = kind;
    c->lifetime_s = 3600;
    c->http_auth = (sl_http_auth){ .self = c, .authorize = authorize };
    pthread_mutex_init(&c->locked.lock, NULL);
    pthread_cond_init(&c->locked.done, NULL);
    return c;
}

/* A text field of a key document; says which one is missing, shows nothing. */
static bool field(sl_google_cred *c, const sl_val *doc, const char *name, sl_str *ret, sl_err *err)
{
    sl_str v = sl_get_text(doc, name);
    if (v.n == 0)
        return sl_err_set(err, SL_ERR_AUTH, "google.key", "the Google credential lacks the field '%s'; use the JSON file as it was downloaded", name);
    *ret = sl_str_dup(c->arena, v);
    return true;
}

static bool secret_field(sl_google_cred *c, const sl_val *doc, const char *name, sl_secret **ret, sl_err *err)
{
    sl_str v = sl_get_text(doc, name);
    if (v.n == 0)
        return sl_err_set(err, SL_ERR_AUTH, "google.key", "the Google credential lacks the field '%s'; use the JSON file as it was downloaded", name);
    *ret = sl_secret_in(c->arena, v);
    return true;
}

static bool check_private_key(sl_google_cred *c, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_str token;
    if (sl_jwt_sign(a, NULL, sl_map(a), sl_secret_reveal(c->secret), &token, err))
        return true;
    return sl_err_set(err, SL_ERR_AUTH, "google.key", "the field 'private_key' of the Google credential is not a PEM-encoded RSA key; was it cut or its line ends (\\n) changed?");
}

static bool read_service_account(sl_google_cred *c, const sl_val *doc, sl_err *err)
{
    c->project = sl_str_dup(c->arena, sl_get_text(doc, "project_id"));
    c->key_id = sl_str_dup(c->arena, sl_get_text(doc, "private_key_id"));
    c->quota_project = sl_str_dup(c->arena, sl_get_text(doc, "quota_project_id"));
    sl_str uri = sl_get_text(doc, "token_uri");
    c->token_uri = sl_str_dup(c->arena, uri.n ? uri : SL_S("https://oauth2.googleapis.com/token"));
    return field(c, doc, "client_email", &c->email, err) && secret_field(c, doc, "private_key", &c->secret, err) && check_private_key(c, err);
}

static bool read_user(sl_google_cred *c, const sl_val *doc, sl_err *err)
{
    sl_str uri = sl_get_text(doc, "token_uri");
    c->token_uri = sl_str_dup(c->arena, uri.n ? uri : SL_S("https://oauth2.googleapis.com/token"));
    c->quota_project = sl_str_dup(c->arena, sl_get_text(doc, "quota_project_id"));
    c->email = SL_S("authorized user");
    return field(c, doc, "client_id", &c->client_id, err) && secret_field(c, doc, "client_secret", &c->client_secret, err) && secret_field(c, doc, "refresh_token", &c->secret, err);
}

/* …/serviceAccounts/NAME@PROJECT.iam.gserviceaccount.com:generateAccessToken */
static sl_str email_of_url(sl_google_cred *c, sl_str url)
{
    sl_str base = sl_path_base(url);
    ptrdiff_t colon = sl_str_rfind(base, SL_S(":"));
    return sl_str_dup(c->arena, sl_str_sub(base, 0, colon < 0 ? base.n : (size_t)colon));
}

static sl_google_cred *from_document(sl_google *g, const sl_val *doc, sl_str scopes, int depth, sl_err *err);

static bool read_impersonated(sl_google_cred *c, const sl_val *doc, int depth, sl_err *err)
{
    if (!field(c, doc, "service_account_impersonation_url", &c->url, err))
        return false;
    c->email = email_of_url(c, c->url);
    c->delegates = sl_val_copy(c->arena, sl_get(doc, "delegates"));
    c->quota_project = sl_str_dup(c->arena, sl_get_text(doc, "quota_project_id"));
    const sl_val *source = sl_get(doc, "source_credentials");
    if (!sl_is(source, SL_MAP))
        return sl_err_set(err, SL_ERR_AUTH, "google.key", "the Google credential lacks the field 'source_credentials'");
    c->source = from_document(c->owner, source, sl_str_c(CLOUD_PLATFORM), depth + 1, err);
    return c->source != NULL || sl_err_ctx(err, "reading source_credentials");
}

static bool read_external(sl_google_cred *c, const sl_val *doc, sl_err *err)
{
    const sl_val *source = sl_get(doc, "credential_source");
    sl_str url = sl_get_text(doc, "token_url");
    c->token_uri = sl_str_dup(c->arena, url.n ? url : SL_S("https://sts.googleapis.com/v1/token"));
    c->url = sl_str_dup(c->arena, sl_get_text(doc, "service_account_impersonation_url"));
    c->email = c->url.n ? email_of_url(c, c->url) : SL_S("external account");
    c->workforce_project = sl_str_dup(c->arena, sl_get_text(doc, "workforce_pool_user_project"));
    c->quota_project = sl_str_dup(c->arena, sl_get_text(doc, "quota_project_id"));
    c->client_id = sl_str_dup(c->arena, sl_get_text(doc, "client_id"));
    if (sl_get_text(doc, "client_secret").n > 0)
        c->client_secret = sl_secret_in(c->arena, sl_get_text(doc, "client_secret"));
    c->lifetime_s = sl_get_int(sl_get(doc, "service_account_impersonation"), "token_lifetime_seconds", 3600);
    if (sl_get_text(source, "file").n == 0 && sl_get_text(source, "url").n == 0)
        return sl_err_set(err, SL_ERR_AUTH, "google.key", "the credential_source of this external_account is not supported; supported are 'file' and 'url'");
    if (sl_get_text(source, "environment_id").n > 0)
        return sl_err_set(err, SL_ERR_AUTH, "google.key", "external_account credentials from AWS (environment_id) are not supported yet");
    c->source_config = sl_val_copy(c->arena, source);
    return field(c, doc, "audience", &c->audience, err) && field(c, doc, "subject_token_type", &c->subject_token_type, err);
}

static sl_google_cred *from_document(sl_google *g, const sl_val *doc, sl_str scopes, int depth, sl_err *err)
{
    sl_str type = sl_get_text(doc, "type");
    static const struct {
        const char *name;
        sl_google_kind kind;
    } kinds[] = { { "service_account", SL_G_SERVICE_ACCOUNT }, { "authorized_user", SL_G_USER }, { "impersonated_service_account", SL_G_IMPERSONATED }, { "external_account", SL_G_EXTERNAL } };
    size_t i = 0;
    while (i < SL_COUNT(kinds) && !sl_str_eqc(type, kinds[i].name))
        i++;
    if (i == SL_COUNT(kinds) || depth > 3) {
        if (type.n == 0)
            sl_err_set(err, SL_ERR_AUTH, "google.key", "the Google credential lacks the field 'type'; use the JSON file as it was downloaded");
        else
            sl_err_set(err, SL_ERR_AUTH, "google.key", "Google credentials of type '%.*s' are not supported", (int)(type.n < 60 ? type.n : 60), type.p);
        return NULL;
    }
    sl_google_cred *c = cred_new(g, kinds[i].kind);
    c->scopes = sl_str_dup(c->arena, scopes);
    bool ok = c->kind == SL_G_SERVICE_ACCOUNT ? read_service_account(c, doc, err)
              : c->kind == SL_G_USER          ? read_user(c, doc, err)
              : c->kind == SL_G_IMPERSONATED  ? read_impersonated(c, doc, depth, err)
                                              : read_external(c, doc, err);
    if (!ok) {
        sl_arena_free(c->arena);
        return NULL;
    }
    c->next = g->creds;
    g->creds = c;
    return c;
}

static sl_google_cred *from_text(sl_google *g, sl_str json, sl_str scopes, const char *where, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_redact_add(json);
    const sl_val *doc = sl_json_parse(a, json, err);
    if (!sl_is(doc, SL_MAP)) {
        sl_err_set(err, SL_ERR_AUTH, "google.key", "the Google credential %s is not a JSON document; use the JSON file as it was downloaded, not base64 and not the bare key", where);
        return NULL;
    }
    sl_google_cred *c = from_document(g, doc, scopes, 0, err);
    if (c == NULL)
        sl_err_ctx(err, "in %s", where);
    return c;
}

static sl_google_cred *from_metadata(sl_google *g, sl_arena *arena, sl_str scopes, sl_val *steps)
{
    const char *off = getenv("NO_GCE_CHECK");
    if (off != NULL && strcmp(off, "true") == 0) {
        sl_auth_step(arena, steps, "metadata server", false, SL_S("switched off by NO_GCE_CHECK"));
        return NULL;
    }
    sl_http_response r;
    sl_err err;
    if (!sl_google_metadata_get(g->http, arena, "instance/service-accounts/default/email", 1000, &r, &err) || r.status != 200) {
        sl_auth_step(arena, steps, "metadata server", false, SL_S("no answer: this is not a Google machine"));
        return NULL;
    }
    sl_google_cred *c = cred_new(g, SL_G_METADATA);
    c->scopes = sl_str_dup(c->arena, scopes);
    c->email = sl_str_dup(c->arena, sl_str_trim(r.body));
    if (sl_google_metadata_get(g->http, arena, "project/project-id", 1000, &r, &err) && r.status == 200)
        c->project = sl_str_dup(c->arena, sl_str_trim(r.body));
    c->next = g->creds;
    g->creds = c;
    sl_auth_step(arena, steps, "metadata server", true, c->email);
    return c;
}

/* The three places of Application Default Credentials. A file that is there and broken is an error, not a reason to go on. */
static sl_google_cred *search(sl_google *g, sl_arena *arena, sl_str scopes, sl_val *steps, sl_err *err)
{
    const char *env = getenv("GOOGLE_APPLICATION_CREDENTIALS"), *config = getenv("CLOUDSDK_CONFIG"), *home = getenv("HOME");
    sl_str text, gcloud = config && *config ? sl_fmt(arena, "%s/application_default_credentials.json", config)
                                            : sl_fmt(arena, "%s/.config/gcloud/application_default_credentials.json", home ? home : "");
    if (env != NULL && *env != '\0') {
        if (!sl_fs_read(arena, env, 1 << 20, &text, err)) {
            sl_err_ctx(err, "reading the file that GOOGLE_APPLICATION_CREDENTIALS names");
            return NULL;
        }
        sl_google_cred *c = from_text(g, text, scopes, env, err);
        sl_auth_step(arena, steps, "GOOGLE_APPLICATION_CREDENTIALS", c != NULL, sl_str_c(env));
        return c;
    }
    sl_auth_step(arena, steps, "GOOGLE_APPLICATION_CREDENTIALS", false, SL_S("not set"));
    if (sl_fs_exists(gcloud.p) && sl_fs_read(arena, gcloud.p, 1 << 20, &text, err)) {
        sl_google_cred *c = from_text(g, text, scopes, gcloud.p, err);
        sl_auth_step(arena, steps, "gcloud's file", c != NULL, gcloud);
        return c;
    }
    sl_auth_step(arena, steps, "gcloud's file", false, sl_fmt(arena, "%.*s does not exist", SL_ARG(gcloud)));
    sl_google_cred *c = from_metadata(g, arena, scopes, steps);
    if (c == NULL)
        sl_err_set(err, SL_ERR_AUTH, "google.none",
                   "no Google credentials were found; set the property 'serviceAccount' (for example to \"{{ secret('GCP_CREDS') }}\"), or GOOGLE_APPLICATION_CREDENTIALS; "
                   "`sluice auth explain google` shows where was looked");
    return c;
}

static sl_str scopes_text(sl_arena *arena, const sl_val *scopes)
{
    sl_buf b = sl_buf_new(arena, 8192);
    for (size_t i = 0; i < sl_val_count(scopes); i++) {
        sl_buf_addc(&b, i ? " " : "");
        sl_buf_add(&b, sl_text(sl_at(scopes, i)));
    }
    return b.n ? sl_buf_str(&b) : sl_str_c(CLOUD_PLATFORM);
}

static sl_google_cred *make(sl_google *g, sl_arena *a, const sl_google_options *o, sl_str scopes, sl_val *steps, sl_err *err)
{
    sl_str source_scopes = o->impersonate.n ? sl_str_c(CLOUD_PLATFORM) : scopes;
    sl_google_cred *c;
    if (o->service_account.n > 0) {
        c = from_text(g, o->service_account, source_scopes, "the property 'serviceAccount'", err);
        sl_auth_step(a, steps, "property serviceAccount", c != NULL, c ? c->email : SL_S("unusable"));
    } else if (g->fallback != NULL)
        c = from_text(g, sl_secret_reveal(g->fallback), source_scopes, "the local cloud's key", err);
    else
        c = search(g, a, source_scopes, steps, err);
    if (c == NULL || o->impersonate.n == 0)
        return c;
    sl_google_cred *as = cred_new(g, SL_G_IMPERSONATED);
    const char *base = getenv("SLUICE_GOOGLE_IAM_ENDPOINT");
    as->source = c;
    as->scopes = sl_str_dup(as->arena, scopes);
    as->email = sl_str_dup(as->arena, o->impersonate);
    as->project = c->project;
    as->quota_project = c->quota_project;
    as->url = sl_fmt(as->arena, "%s/v1/projects/-/serviceAccounts/%.*s:generateAccessToken", base && *base ? base : "https://iamcredentials.googleapis.com",
                     SL_ARG(sl_percent(a, o->impersonate, "@")));
    as->next = g->creds;
    g->creds = as;
    sl_auth_step(a, steps, "impersonatedServiceAccount", true, as->email);
    return as;
}

sl_google_cred *sl_google_explain(sl_google *g, sl_arena *arena, const sl_google_options *o, sl_val *steps, sl_err *err)
{
    sl_str scopes = scopes_text(arena, o->scopes);
    sl_str hashed = sl_fmt(arena, "%zu:%.*s %zu:%.*s %.*s", o->service_account.n, SL_ARG(o->service_account), o->impersonate.n, SL_ARG(o->impersonate), SL_ARG(scopes));
    sl_str key = sl_hex(arena, sl_digest(arena, "SHA256", hashed));
    pthread_mutex_lock(&g->lock);
    sl_google_cred *c = g->creds;
    while (c != NULL && (steps != NULL || !sl_str_eq(c->key, key)))
        c = c->next;
    if (c == NULL && (c = make(g, arena, o, scopes, steps, err)) != NULL)
        c->key = sl_str_dup(c->arena, key);
    pthread_mutex_unlock(&g->lock);
    return c;
}

sl_google_cred *sl_google_find(sl_google *g, const sl_google_options *options, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    return sl_google_explain(g, a, options, NULL, err);
}

const sl_http_auth *sl_google_http_auth(sl_google_cred *cred)
{
    return &cred->http_auth;
}

sl_str sl_google_identity(const sl_google_cred *cred)
{
    return cred->email;
}

sl_str sl_google_project(const sl_google_cred *cred)
{
    return cred->project;
}

static bool usable_locked(const sl_google_cred *c, int64_t now_s, int64_t margin_s)
{
    return c->locked.token != NULL && c->locked.expires_s - margin_s > now_s;
}

bool sl_google_token(sl_google_cred *c, sl_arena *arena, bool refresh, sl_str *ret, int64_t *expires_s, sl_err *err)
{
    pthread_mutex_lock(&c->locked.lock);
    for (;;) {
        int64_t now_s = sl_now_ms() / 1000;
        bool good = usable_locked(c, now_s, REFRESH_EARLY_S) && !refresh;
        bool lent = c->locked.refreshing && usable_locked(c, now_s, 10) && !refresh;
        if (good || lent) {
            *ret = sl_str_dup(arena, sl_secret_reveal(c->locked.token));
            if (expires_s != NULL)
                *expires_s = c->locked.expires_s;
            pthread_mutex_unlock(&c->locked.lock);
            return true;
        }
        if (!c->locked.refreshing)
            break;
        pthread_cond_wait(&c->locked.done, &c->locked.lock);
        refresh = false; /* somebody has just fetched a new one */
    }
    c->locked.refreshing = true;
    pthread_mutex_unlock(&c->locked.lock);

    sl_str token = { 0 };
    int64_t expires = 0;
    bool ok = sl_google_fetch(c->owner->http, c, arena, &token, &expires, err);

    pthread_mutex_lock(&c->locked.lock);
    c->locked.refreshing = false;
    if (ok) {
        sl_secret_free(c->locked.token);
        c->locked.token = sl_secret_new(token);
        c->locked.expires_s = expires;
        *ret = token;
        if (expires_s != NULL)
            *expires_s = expires;
    }
    pthread_cond_broadcast(&c->locked.done);
    pthread_mutex_unlock(&c->locked.lock);
    return ok;
}
