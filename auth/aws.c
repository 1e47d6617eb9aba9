/* auth/aws.c: the table of credentials, keys that are renewed by one caller while the others go on, signatures. */
#include "auth/aws_cred.h"

#include "auth/step.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/sha256.h"
#include "base/time.h"

enum { REFRESH_EARLY_S = 300, LENT_S = 10, STATIC_STABILITY_S = 300 };

sl_aws *sl_aws_new(sl_http *http)
{
    sl_aws *a = sl_malloc(sizeof *a);
    *a = (sl_aws){ .http = http };
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

static sl_str keep(sl_str s)
{
    char *p = sl_malloc(s.n + 1);
    memcpy(p, s.p ? s.p : "", s.n);
    p[s.n] = '\0';
    return (sl_str){ p, s.n };
}

static void drop(sl_str *s)
{
    free((char *)(uintptr_t)s->p);
    *s = (sl_str){ NULL, 0 };
}

void sl_aws_free(sl_aws *a)
{
    if (a == NULL)
        return;
    for (sl_aws_cred *c = a->creds; c != NULL;) {
        sl_aws_cred *next = c->next;
        drop(&c->locked.id);
        sl_secret_free(c->locked.secret);
        sl_secret_free(c->locked.token);
        sl_wipe(c->locked.scope_key, sizeof c->locked.scope_key);
        pthread_mutex_destroy(&c->locked.lock);
        pthread_cond_destroy(&c->locked.done);
        sl_arena_free(c->arena);
        c = next;
    }
    drop(&a->fallback_id);
    sl_secret_free(a->fallback_secret);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

void sl_aws_set_default(sl_aws *a, sl_str key_id, sl_str secret)
{
    drop(&a->fallback_id);
    sl_secret_free(a->fallback_secret);
    a->fallback_id = keep(key_id);
    a->fallback_secret = sl_secret_new(secret);
}

/* ---- what was learnt ---- */

static uint64_t fact_hash(const char *fact, sl_str endpoint)
{
    return sl_str_hash(sl_str_c(fact)) * 31 + sl_str_hash(endpoint);
}

static bool known_fact(const sl_aws *a, uint64_t hash)
{
    for (size_t i = 0; i < a->fact_count; i++)
        if (a->facts[i] == hash)
            return true;
    return false;
}

void sl_aws_learn(sl_aws *a, const char *fact, sl_str endpoint)
{
    uint64_t hash = fact_hash(fact, endpoint);
    pthread_mutex_lock(&a->lock);
    if (!known_fact(a, hash) && a->fact_count < SL_AWS_FACTS_MAX)
        a->facts[a->fact_count++] = hash;
    pthread_mutex_unlock(&a->lock);
}

bool sl_aws_learnt(sl_aws *a, const char *fact, sl_str endpoint)
{
    pthread_mutex_lock(&a->lock);
    bool known = known_fact(a, fact_hash(fact, endpoint));
    pthread_mutex_unlock(&a->lock);
    return known;
}

/* ---- credentials ---- */

sl_aws_cred *sl_aws_cred_new(sl_aws *a, sl_aws_kind kind, sl_str name)
{
    sl_arena *arena = sl_arena_new();
    sl_aws_cred *c = SL_NEW(arena, sl_aws_cred);
    *c = (sl_aws_cred){ .next = a->creds, .owner = a, .arena = arena, .kind = kind, .name = sl_str_dup(arena, name) };
    pthread_mutex_init(&c->locked.lock, NULL);
    pthread_cond_init(&c->locked.done, NULL);
    a->creds = c;
    return c;
}

sl_aws_cred *sl_aws_static(sl_aws *a, sl_str name, sl_str id, sl_str secret, sl_str token)
{
    sl_aws_cred *c = sl_aws_cred_new(a, SL_A_STATIC, name);
    c->key_id = sl_str_dup(c->arena, id);
    c->secret = sl_secret_in(c->arena, secret);
    c->token = token.n > 0 ? sl_secret_in(c->arena, token) : NULL;
    return c;
}

/* ---- finding ---- */

static sl_aws_cred *with_role(sl_aws *a, sl_arena *arena, sl_aws_cred *source, const sl_aws_options *o, sl_val *steps)
{
    sl_aws_cred *c = sl_aws_cred_new(a, SL_A_ROLE, o->role_arn);
    c->source = source;
    c->role_arn = sl_str_dup(c->arena, o->role_arn);
    c->external_id = sl_str_dup(c->arena, o->external_id);
    c->session_name = sl_str_dup(c->arena, o->session_name);
    c->duration_s = o->role_duration_s > 0 ? o->role_duration_s : 900;
    c->sts_endpoint = sl_str_dup(c->arena, o->sts_endpoint);
    c->region = sl_str_dup(c->arena, o->region);
    sl_auth_step(arena, steps, "property stsRoleArn", true, c->role_arn);
    return c;
}

static sl_aws_cred *make(sl_aws *a, sl_arena *arena, const sl_aws_options *o, sl_val *steps, sl_err *err)
{
    sl_aws_cred *c;
    if ((o->key_id.n > 0) != (o->secret.n > 0)) {
        sl_err_set(err, SL_ERR_CONFIG, "aws.keys", "'accessKeyId' and 'secretKeyId' belong together; '%s' is missing", o->key_id.n ? "secretKeyId" : "accessKeyId");
        return NULL;
    }
    if (o->key_id.n > 0) {
        c = sl_aws_static(a, o->key_id, o->key_id, o->secret, o->token);
        sl_auth_step(arena, steps, "properties accessKeyId and secretKeyId", true, o->key_id);
    } else if (a->fallback_secret != NULL)
        c = sl_aws_static(a, a->fallback_id, a->fallback_id, sl_secret_reveal(a->fallback_secret), SL_S(""));
    else
        c = sl_aws_chain(a, arena, steps, err);
    return c == NULL || o->role_arn.n == 0 ? c : with_role(a, arena, c, o, steps);
}

sl_aws_cred *sl_aws_explain(sl_aws *a, sl_arena *arena, const sl_aws_options *o, sl_val *steps, sl_err *err)
{
    const sl_str parts[] = { o->key_id, o->secret, o->token, o->role_arn, o->external_id, o->session_name, o->sts_endpoint, o->region };
    sl_hash *h = sl_hash_new(arena, "SHA256");
    for (size_t i = 0; i < SL_COUNT(parts); i++) {
        sl_hash_add(h, &parts[i].n, sizeof parts[i].n);
        sl_hash_add(h, parts[i].p ? parts[i].p : "", parts[i].n);
    }
    sl_hash_add(h, &o->role_duration_s, sizeof o->role_duration_s);
    sl_str hash = sl_hex(arena, sl_hash_end(h, arena));
    pthread_mutex_lock(&a->lock);
    sl_aws_cred *c = a->creds;
    while (c != NULL && (steps != NULL || !sl_str_eq(c->hash, hash)))
        c = c->next;
    if (c == NULL && (c = make(a, arena, o, steps, err)) != NULL)
        c->hash = sl_str_dup(c->arena, hash);
    pthread_mutex_unlock(&a->lock);
    return c;
}

sl_aws_cred *sl_aws_find(sl_aws *a, const sl_aws_options *options, sl_err *err)
{
    SL_ARENA arena = sl_arena_new();
    return sl_aws_explain(a, arena, options, NULL, err);
}

sl_str sl_aws_identity(const sl_aws_cred *c)
{
    return c->name;
}

/* ---- keys ---- */

static bool usable_locked(const sl_aws_cred *c, int64_t now_s, int64_t margin_s)
{
    return c->locked.secret != NULL && (c->locked.expires_s == 0 || c->locked.expires_s - margin_s > now_s);
}

static void give_locked(const sl_aws_cred *c, sl_arena *arena, sl_aws_keys *ret)
{
    *ret = (sl_aws_keys){ .id = sl_str_dup(arena, c->locked.id), .secret = sl_str_dup(arena, sl_secret_reveal(c->locked.secret)), .expires_s = c->locked.expires_s };
    if (c->locked.token != NULL)
        ret->token = sl_str_dup(arena, sl_secret_reveal(c->locked.token));
}

static void take_locked(sl_aws_cred *c, const sl_aws_keys *keys)
{
    drop(&c->locked.id);
    sl_secret_free(c->locked.secret);
    sl_secret_free(c->locked.token);
    c->locked.id = keep(keys->id);
    c->locked.secret = sl_secret_new(keys->secret);
    c->locked.token = keys->token.n > 0 ? sl_secret_new(keys->token) : NULL;
    c->locked.expires_s = keys->expires_s;
    c->locked.scope_day[0] = '\0';
}

/* One caller renews; the others go on with the old keys as long as they hold. */
static bool renew(sl_aws_cred *c, sl_arena *arena, bool refresh, sl_aws_keys *ret, sl_err *err)
{
    pthread_mutex_lock(&c->locked.lock);
    for (;;) {
        int64_t now_s = sl_now_ms() / 1000;
        bool waits = c->locked.retry_s > now_s && c->locked.secret != NULL;
        if ((usable_locked(c, now_s, REFRESH_EARLY_S) || waits || (c->locked.refreshing && usable_locked(c, now_s, LENT_S))) && !refresh) {
            give_locked(c, arena, ret);
            pthread_mutex_unlock(&c->locked.lock);
            return true;
        }
        if (!c->locked.refreshing)
            break;
        pthread_cond_wait(&c->locked.done, &c->locked.lock);
        refresh = false; /* somebody has just fetched new ones */
    }
    c->locked.refreshing = true;
    pthread_mutex_unlock(&c->locked.lock);
    sl_aws_keys keys;
    bool ok = sl_aws_fetch(c->owner->http, c, arena, &keys, err);
    pthread_mutex_lock(&c->locked.lock);
    c->locked.refreshing = false;
    if (ok)
        take_locked(c, &keys);
    else if (c->kind == SL_A_INSTANCE && c->locked.secret != NULL) { /* static stability: the instance's old keys may well go on */
        c->locked.retry_s = sl_now_ms() / 1000 + STATIC_STABILITY_S;
        ok = true;
    }
    if (ok)
        give_locked(c, arena, ret);
    pthread_cond_broadcast(&c->locked.done);
    pthread_mutex_unlock(&c->locked.lock);
    return ok;
}

bool sl_aws_get_keys(sl_aws_cred *c, sl_arena *arena, bool refresh, sl_aws_keys *ret, sl_err *err)
{
    if (c->kind != SL_A_STATIC)
        return renew(c, arena, refresh, ret, err);
    *ret = (sl_aws_keys){ .id = c->key_id, .secret = sl_secret_reveal(c->secret), .token = c->token ? sl_secret_reveal(c->token) : SL_S("") };
    return true;
}

/* ---- signing ---- */

/* The key of the day for a region and service; nearly always that of the last request. */
static void scope_key(sl_aws_cred *c, const sl_aws_keys *keys, const sl_sigv4_scope *scope, uint8_t out[static SL_SIGV4_KEY])
{
    char place[96];
    (void)snprintf(place, sizeof place, "%.*s/%.*s/%.*s", (int)(keys->id.n < 40 ? keys->id.n : 40), keys->id.p, SL_ARG(scope->region), SL_ARG(scope->service));
    pthread_mutex_lock(&c->locked.lock);
    bool known = strncmp(c->locked.scope_day, scope->time, 8) == 0 && strcmp(c->locked.scope_place, place) == 0;
    if (known)
        memcpy(out, c->locked.scope_key, SL_SIGV4_KEY);
    pthread_mutex_unlock(&c->locked.lock);
    if (known)
        return;
    sl_sigv4_key(keys->secret, scope, out);
    pthread_mutex_lock(&c->locked.lock);
    (void)snprintf(c->locked.scope_day, sizeof c->locked.scope_day, "%.8s", scope->time);
    (void)snprintf(c->locked.scope_place, sizeof c->locked.scope_place, "%s", place);
    memcpy(c->locked.scope_key, out, SL_SIGV4_KEY);
    pthread_mutex_unlock(&c->locked.lock);
}

static bool sign(void *self, sl_arena *arena, const sl_http_request *req, sl_val *headers, bool refresh, sl_err *err)
{
    sl_aws_signer *s = self;
    sl_aws_keys keys;
    sl_url url;
    uint8_t key[SL_SIGV4_KEY];
    sl_sigv4_scope scope;
    if (!sl_url_parse(req->url, &url, err) || !sl_aws_get_keys(s->cred, arena, refresh, &keys, err))
        return false;
    sl_str payload = sl_get_text(headers, "x-amz-content-sha256");
    sl_assert(payload.n > 0 || req->open_body == NULL);
    if (payload.n == 0)
        payload = sl_sha256_hex(arena, req->body);
    if (s->s3)
        sl_map_set_str(arena, headers, "x-amz-content-sha256", payload);
    if (keys.token.n > 0)
        sl_map_set_str(arena, headers, "x-amz-security-token", keys.token);
    sl_sigv4_scope_at(&scope, sl_now_ms() / 1000 + s->cred->owner->clock_offset_s, s->region, s->service);
    sl_map_set_str(arena, headers, "x-amz-date", sl_str_dup(arena, sl_str_c(scope.time)));
    bool usual = url.port == (sl_str_ieq(url.scheme, SL_S("https")) ? 443 : 80);
    sl_val *all = sl_map_shallow(arena, headers); /* with the Host that the client will send */
    sl_map_set_str(arena, all, "host", usual ? url.host : sl_fmt(arena, "%.*s:%d", SL_ARG(url.host), url.port));
    scope_key(s->cred, &keys, &scope, key);
    sl_sigv4_request r = { .method = sl_str_c(req->method ? req->method : "GET"), .path = url.path, .query = url.query, .headers = all, .payload = payload, .s3 = s->s3 };
    sl_map_set_str(arena, headers, "Authorization", sl_sigv4_authorization(arena, &r, &scope, keys.id, key, NULL));
    sl_wipe(key, sizeof key);
    return true;
}

sl_aws_signer *sl_aws_signer_new(sl_arena *arena, sl_aws_cred *cred, sl_str region, sl_str service)
{
    sl_aws_signer *s = SL_NEW(arena, sl_aws_signer);
    *s = (sl_aws_signer){ .cred = cred, .region = sl_str_dup(arena, region), .service = sl_str_dup(arena, service), .s3 = sl_str_eqc(service, "s3") };
    s->auth = (sl_http_auth){ .self = s, .authorize = sign };
    return s;
}

bool sl_aws_set_clock(sl_aws_cred *c, sl_str date)
{
    enum { TOLERATED_S = 60 };
    sl_time t;
    if (!sl_time_parse_pattern(sl_str_trim(date), SL_S("EEE, dd MMM yyyy HH:mm:ss 'GMT'"), &t))
        return false;
    int64_t offset = t.s - sl_now_ms() / 1000, change = offset - c->owner->clock_offset_s;
    if (change > -TOLERATED_S && change < TOLERATED_S)
        return false;
    c->owner->clock_offset_s = offset;
    return true;
}
