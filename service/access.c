/* service/access.c: see access.h. */
#include "service/access.h"

#include <argon2.h>
#include <openssl/crypto.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/secret.h"

/* OWASP's least for argon2id: 19 MiB, two passes. */
enum { ARGON_PASSES = 2, ARGON_KIB = 19456, SALT = 16, HASH = 32, ENCODED = 160, PASSWORD_MIN = 8, PASSWORD_MAX = 1024 };
enum { REMEMBERED = 64, REMEMBER_MS = 300000, FAILURES_MAX = 5, FAILURE_WINDOW_MS = 900000, WATCHED_NAMES = 256, HASHES_AT_ONCE = 2 };
static const int64_t TOKEN_LIFE_MS = 90LL * 86400000;

struct sl_access {
    pthread_mutex_t lock;
    pthread_cond_t free_hash;
    int hashing;
    uint8_t key[32];                    /* of this process: what is remembered is no password */
    char local[68];                     /* SHA-256 of the local token, in hex; empty when there is none */
    struct {
        uint8_t proof[32];              /* SHA-256 over key, name, password */
        sl_principal who;
        int64_t until_ms;
    } remembered[REMEMBERED];
    size_t next;
    struct {
        uint64_t name;
        int count;
        int64_t since_ms;
    } failures[WATCHED_NAMES];
};

static const char *const role_names[] = { "none", "viewer", "operator", "author", "admin" };

const char *sl_role_name(sl_role role)
{
    sl_assert((size_t)role < SL_COUNT(role_names));
    return role_names[role];
}

bool sl_role_parse(sl_str name, sl_role *ret)
{
    for (size_t i = 1; i < SL_COUNT(role_names); i++)
        if (sl_str_ieq(name, sl_str_c(role_names[i]))) {
            *ret = (sl_role)i;
            return true;
        }
    return false;
}

bool sl_principal_may(const sl_principal *p, sl_role role, sl_str ns)
{
    sl_str own = sl_str_c(p->ns);
    bool inside = own.n == 0 || sl_str_eq(own, ns) || (ns.n > own.n && sl_str_starts(ns, own) && ns.p[own.n] == '.');
    return p->role >= role && p->role != SL_ROLE_NONE && inside;
}

sl_access *sl_access_new(void)
{
    sl_access *a = sl_malloc(sizeof *a);
    memset(a, 0, sizeof *a);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->free_hash, NULL);
    sl_random(a->key, sizeof a->key);
    return a;
}

void sl_access_free(sl_access *a)
{
    if (a == NULL)
        return;
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->free_hash);
    sl_wipe(a, sizeof *a);
    free(a);
}

void sl_access_forget(sl_access *a)
{
    pthread_mutex_lock(&a->lock);
    memset(a->remembered, 0, sizeof a->remembered);
    pthread_mutex_unlock(&a->lock);
}

/* ---- passwords ---- */

static void proof_of(const sl_access *a, sl_arena *arena, sl_str name, sl_str password, uint8_t *ret)
{
    sl_hash *h = sl_hash_new(arena, "SHA256");
    sl_hash_add(h, a->key, sizeof a->key);
    sl_hash_add(h, name.p, name.n);
    sl_hash_add(h, "\0", 1);
    sl_hash_add(h, password.p, password.n);
    sl_str digest = sl_hash_end(h, arena);
    memcpy(ret, digest.p, 32);
}

static bool recall(sl_access *a, const uint8_t *proof, sl_principal *ret)
{
    bool found = false;
    int64_t now = sl_mono_ms();
    for (size_t i = 0; i < REMEMBERED; i++)
        if (a->remembered[i].until_ms > now && CRYPTO_memcmp(a->remembered[i].proof, proof, 32) == 0) {
            *ret = a->remembered[i].who;
            found = true;
        }
    return found;
}

static bool locked_out(sl_access *a, sl_str name, bool failed_now)
{
    uint64_t key = sl_str_hash(name) | 1;
    size_t at = key % WATCHED_NAMES;
    int64_t now = sl_mono_ms();
    if (a->failures[at].name != key || now - a->failures[at].since_ms > FAILURE_WINDOW_MS) {
        if (!failed_now)
            return false;
        a->failures[at].name = key;
        a->failures[at].count = 0;
        a->failures[at].since_ms = now;
    }
    a->failures[at].count += failed_now;
    return a->failures[at].count >= FAILURES_MAX;
}

/* At most HASHES_AT_ONCE: each takes 19 MiB. */
static int verify_hash(sl_access *a, const char *encoded, sl_str password)
{
    pthread_mutex_lock(&a->lock);
    while (a->hashing >= HASHES_AT_ONCE)
        pthread_cond_wait(&a->free_hash, &a->lock);
    a->hashing++;
    pthread_mutex_unlock(&a->lock);
    int rc = argon2id_verify(encoded, password.p, password.n);
    pthread_mutex_lock(&a->lock);
    a->hashing--;
    pthread_cond_signal(&a->free_hash);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

static bool hash_password(sl_str password, char *encoded, sl_err *err)
{
    uint8_t salt[SALT];
    sl_random(salt, sizeof salt);
    int rc = argon2id_hash_encoded(ARGON_PASSES, ARGON_KIB, 1, password.p, password.n, salt, sizeof salt, HASH, encoded, ENCODED);
    return rc == ARGON2_OK || sl_err_set(err, SL_ERR_BUG, "access.hash", "a password could not be hashed: %s", argon2_error_message(rc));
}

static bool load_user(sl_store *store, sl_arena *arena, sl_str name, bool *found, sl_str *encoded, sl_principal *ret, sl_err *err)
{
    sl_stmt *q = sl_db_query(sl_store_db(store), err, "SELECT password, role, ns FROM users WHERE name=?", "s", name);
    int rc = q ? sl_stmt_next(q, err) : -1;
    *found = rc == 1;
    if (rc == 1) {
        *encoded = sl_col_str(q, arena, 0);
        *ret = (sl_principal){ 0 };
        (void)snprintf(ret->name, sizeof ret->name, "%.*s", SL_ARG(name));
        sl_str ns = sl_col_str(q, arena, 2), role = sl_col_str(q, arena, 1);
        (void)snprintf(ret->ns, sizeof ret->ns, "%.*s", SL_ARG(ns));
        if (!sl_role_parse(role, &ret->role))
            ret->role = SL_ROLE_NONE;
        sl_stmt_done(q);
    }
    return rc >= 0;
}

static bool refused(sl_err *err)
{
    return sl_err_set(err, SL_ERR_AUTH, "access.denied", "wrong user name, password or token");
}

/* An unknown name costs as much time as a wrong password. */
static bool check_password(sl_access *a, sl_store *store, sl_arena *arena, sl_str name, sl_str password, sl_principal *ret, sl_err *err)
{
    static const char nobody[] = "$argon2id$v=19$m=19456,t=2,p=1$c2x1aWNlc2x1aWNlLi4$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    uint8_t proof[32];
    sl_str encoded = sl_str_c(nobody);
    bool found = false;
    proof_of(a, arena, name, password, proof);
    pthread_mutex_lock(&a->lock);
    bool known = recall(a, proof, ret), locked = !known && locked_out(a, name, false);
    pthread_mutex_unlock(&a->lock);
    if (known)
        return true;
    if (locked)
        return sl_err_set(err, SL_ERR_LIMIT, "access.locked", "too many wrong passwords for this name; try again in a quarter of an hour");
    if (password.n > PASSWORD_MAX || !load_user(store, arena, name, &found, &encoded, ret, err))
        return refused(err);
    bool right = verify_hash(a, encoded.p, password) == ARGON2_OK && found && ret->role != SL_ROLE_NONE;
    pthread_mutex_lock(&a->lock);
    if (!right)
        (void)locked_out(a, name, true);
    else {
        memcpy(a->remembered[a->next].proof, proof, sizeof proof);
        a->remembered[a->next].who = *ret;
        a->remembered[a->next].until_ms = sl_mono_ms() + REMEMBER_MS;
        a->next = (a->next + 1) % REMEMBERED;
    }
    pthread_mutex_unlock(&a->lock);
    return right || refused(err);
}

/* ---- tokens ---- */

static sl_str random_token(sl_arena *arena)
{
    uint8_t raw[32];
    sl_random(raw, sizeof raw);
    sl_str token = sl_fmt(arena, "sl_%.43s", sl_base64url(arena, (sl_str){ (const char *)raw, sizeof raw }).p);
    sl_wipe(raw, sizeof raw);
    sl_redact_add(token);
    return token;
}

bool sl_access_local_token(sl_access *a, sl_arena *arena, sl_str *ret)
{
    *ret = random_token(arena);
    (void)snprintf(a->local, sizeof a->local, "%s", sl_hex(arena, sl_digest(arena, "SHA256", *ret)).p);
    return true;
}

static bool check_token(const sl_access *a, sl_store *store, sl_arena *arena, sl_str token, sl_principal *ret, sl_err *err)
{
    sl_str hash = sl_hex(arena, sl_digest(arena, "SHA256", token));
    if (a->local[0] != '\0' && hash.n == 64 && CRYPTO_memcmp(hash.p, a->local, 64) == 0) {
        *ret = (sl_principal){ .name = "local", .role = SL_ROLE_ADMIN };
        return true;
    }
    sl_stmt *q = sl_db_query(sl_store_db(store), err, "SELECT owner, role, ns, expires_ms FROM tokens WHERE hash=? AND kind='token'", "s", hash);
    int rc = q ? sl_stmt_next(q, err) : -1;
    if (rc != 1)
        return refused(err);
    *ret = (sl_principal){ 0 };
    sl_str owner = sl_col_str(q, arena, 0), role = sl_col_str(q, arena, 1), ns = sl_col_str(q, arena, 2);
    (void)snprintf(ret->name, sizeof ret->name, "%.*s", SL_ARG(owner));
    (void)snprintf(ret->ns, sizeof ret->ns, "%.*s", SL_ARG(ns));
    bool known = sl_role_parse(role, &ret->role), expired = sl_col_int(q, 3) <= sl_now_ms();
    sl_stmt_done(q);
    if (expired)
        return sl_err_set(err, SL_ERR_AUTH, "access.expired", "the token has expired; make another one");
    return known || refused(err);
}

bool sl_access_check(sl_access *a, sl_store *store, sl_str header, sl_principal *ret, sl_err *err)
{
    SL_ARENA arena = sl_arena_new();
    sl_str rest = header, scheme, name, decoded;
    if (!sl_str_cut(&rest, ' ', &scheme) || rest.p == NULL)
        return refused(err);
    if (sl_str_ieq(scheme, SL_S("Bearer")))
        return check_token(a, store, arena, sl_str_trim(rest), ret, err);
    if (!sl_str_ieq(scheme, SL_S("Basic")) || !sl_base64_decode(arena, sl_str_trim(rest), &decoded))
        return refused(err);
    rest = decoded;
    if (!sl_str_cut(&rest, ':', &name) || rest.p == NULL)
        return refused(err);
    return check_password(a, store, arena, name, rest, ret, err);
}

bool sl_access_password(sl_access *a, sl_store *store, sl_str name, sl_str password, sl_principal *ret, sl_err *err)
{
    SL_ARENA arena = sl_arena_new();
    return check_password(a, store, arena, name, password, ret, err);
}

/* ---- changes ---- */

bool sl_access_put_user(sl_store *store, sl_str name, sl_str password, sl_role role, sl_str ns, int64_t now, sl_err *err)
{
    char encoded[ENCODED] = "";
    if (name.n == 0 || name.n > 100 || sl_str_find(name, SL_S(":")) >= 0)
        return sl_err_set(err, SL_ERR_CONFIG, "user.name", "a user's name has 1 to 100 characters and no colon");
    if (role == SL_ROLE_NONE)
        return sl_err_set(err, SL_ERR_CONFIG, "user.role", "a role is viewer, operator, author or admin");
    if (password.n < PASSWORD_MIN || password.n > PASSWORD_MAX)
        return sl_err_set(err, SL_ERR_CONFIG, "user.password", "a password has %d to %d characters", PASSWORD_MIN, PASSWORD_MAX);
    return hash_password(password, encoded, err)
           && sl_db_run(sl_store_db(store), err,
                        "INSERT INTO users(name, password, role, ns, created_ms) VALUES(?,?,?,?,?) ON CONFLICT(name) DO UPDATE SET password=excluded.password, role=excluded.role, ns=excluded.ns",
                        "ssssi", name, sl_str_c(encoded), sl_str_c(sl_role_name(role)), ns, now);
}

bool sl_access_delete_user(sl_store *store, sl_str name, bool *existed, sl_err *err)
{
    bool ok = sl_db_run(sl_store_db(store), err, "DELETE FROM tokens WHERE owner=?", "s", name) && sl_db_run(sl_store_db(store), err, "DELETE FROM users WHERE name=?", "s", name);
    *existed = ok && sl_db_changes(sl_store_db(store)) > 0;
    return ok;
}

bool sl_access_make_token(sl_store *store, sl_arena *arena, sl_str name, sl_str owner, sl_role role, sl_str ns, int64_t now, int64_t expires, sl_str *ret, sl_str *ret_id, sl_err *err)
{
    char id[23];
    if (role == SL_ROLE_NONE)
        return sl_err_set(err, SL_ERR_CONFIG, "token.role", "a role is viewer, operator, author or admin");
    sl_random_id(id);
    *ret = random_token(arena);
    *ret_id = sl_str_dup(arena, sl_str_c(id));
    return sl_db_run(sl_store_db(store), err, "INSERT INTO tokens(hash, id, name, owner, prefix, role, ns, kind, created_ms, expires_ms) VALUES(?,?,?,?,?,?,?,'token',?,?)", "sssssssii",
                     sl_hex(arena, sl_digest(arena, "SHA256", *ret)), *ret_id, name, owner, sl_str_sub(*ret, 0, 7), sl_str_c(sl_role_name(role)), ns, now, expires > 0 ? expires : now + TOKEN_LIFE_MS);
}

bool sl_access_delete_token(sl_store *store, sl_str id, bool *existed, sl_err *err)
{
    bool ok = sl_db_run(sl_store_db(store), err, "DELETE FROM tokens WHERE id=?", "s", id);
    *existed = ok && sl_db_changes(sl_store_db(store)) > 0;
    return ok;
}

bool sl_access_users(sl_store *store, sl_arena *a, const sl_val **ret, sl_err *err)
{
    sl_val *list = sl_list(a);
    sl_stmt *q = sl_db_query(sl_store_db(store), err, "SELECT name, role, ns, created_ms FROM users ORDER BY name", "");
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, err)) == 1) {
        sl_val *one = sl_map(a);
        sl_map_set_str(a, one, "name", sl_col_str(q, a, 0));
        sl_map_set_str(a, one, "role", sl_col_str(q, a, 1));
        sl_map_set_str(a, one, "namespace", sl_col_str(q, a, 2));
        sl_map_set_str(a, one, "created", sl_time_rfc3339(a, sl_col_int(q, 3)));
        sl_list_add(a, list, one);
    }
    *ret = list;
    return rc == 0;
}

bool sl_access_tokens(sl_store *store, sl_arena *a, const sl_val **ret, sl_err *err)
{
    sl_val *list = sl_list(a);
    sl_stmt *q = sl_db_query(sl_store_db(store), err, "SELECT id, name, owner, prefix, role, ns, created_ms, expires_ms FROM tokens WHERE kind='token' ORDER BY created_ms", "");
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, err)) == 1) {
        static const char *const names[] = { "id", "name", "owner", "prefix", "role", "namespace" };
        sl_val *one = sl_map(a);
        for (int i = 0; i < (int)SL_COUNT(names); i++)
            sl_map_set_str(a, one, names[i], sl_col_str(q, a, i));
        sl_map_set_str(a, one, "created", sl_time_rfc3339(a, sl_col_int(q, 6)));
        sl_map_set_str(a, one, "expires", sl_time_rfc3339(a, sl_col_int(q, 7)));
        sl_list_add(a, list, one);
    }
    *ret = list;
    return rc == 0;
}
