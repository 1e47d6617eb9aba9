/* kv/keyring.c: see keyring.h. */
#include "kv/keyring.h"

#include "base/arena.h"
#include "base/clock.h"

enum { FORMAT = 1, HEAD = 11, PAD = 32 };

static sl_str wrap_aad(sl_arena *a, int64_t id)
{
    return sl_fmt(a, "sluice dek %lld", (long long)id);
}

static bool wrap(sl_arena *a, const sl_secret *kek, int64_t id, sl_str key, sl_str *ret, sl_err *err)
{
    uint8_t nonce[SL_NONCE_SIZE];
    sl_str sealed;
    sl_random(nonce, sizeof nonce);
    if (!sl_xaes_seal(a, (const uint8_t *)sl_secret_reveal(kek).p, nonce, wrap_aad(a, id), key, &sealed, err))
        return false;
    sl_buf b = sl_buf_new(a, 256);
    sl_buf_add(&b, (sl_str){ (const char *)nonce, sizeof nonce });
    sl_buf_add(&b, sealed);
    *ret = sl_buf_str(&b);
    return true;
}

static bool unwrap(sl_keyring *k, sl_arena *a, int64_t id, sl_str kek_id, sl_str wrapped, sl_err *err)
{
    const sl_secret *kek = NULL;
    if (kek_id.n == 4 && memcmp(kek_id.p, k->kek.id, 4) == 0)
        kek = k->kek.key;
    else if (kek_id.n == 4 && k->kek.previous != NULL && memcmp(kek_id.p, k->kek.previous_id, 4) == 0)
        kek = k->kek.previous;
    if (kek == NULL)
        return sl_err_set(err, SL_ERR_CONFIG, "kek.other", "the store was encrypted with another key (id %.*s) than the one from %s; restore that key, or name it with SLUICE_KEK_FILE",
                          SL_ARG(sl_hex(a, kek_id)), k->kek.source);
    sl_str plain;
    if (wrapped.n < SL_NONCE_SIZE
        || !sl_xaes_open(a, (const uint8_t *)sl_secret_reveal(kek).p, (const uint8_t *)wrapped.p, wrap_aad(a, id), sl_str_sub(wrapped, SL_NONCE_SIZE, wrapped.n), &plain, err))
        return sl_err_ctx(err, "opening data key %lld", (long long)id);
    sl_dek *d = sl_malloc(sizeof *d);
    *d = (sl_dek){ .next = k->deks, .id = id, .key = sl_secret_new(plain) };
    k->deks = d;
    sl_wipe((void *)(uintptr_t)plain.p, plain.n);
    return true;
}

bool sl_keyring_load(sl_keyring *k, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_stmt *s = sl_db_query(k->db, err, "SELECT id, kek_id, wrapped FROM deks ORDER BY id", "");
    if (s == NULL)
        return false;
    int rc;
    while ((rc = sl_stmt_next(s, err)) == 1)
        if (!unwrap(k, a, sl_col_int(s, 0), sl_col_str(s, a, 1), sl_col_str(s, a, 2), err)) {
            sl_stmt_done(s);
            return false;
        }
    return rc == 0;
}

bool sl_keyring_add(sl_keyring *k, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    uint8_t key[SL_KEY_SIZE];
    int64_t id = k->deks ? k->deks->id + 1 : 1;
    sl_random(key, sizeof key);
    sl_str wrapped;
    bool ok = wrap(a, k->kek.key, id, (sl_str){ (const char *)key, sizeof key }, &wrapped, err)
              && sl_db_run(k->db, err, "INSERT INTO deks(id, kek_id, wrapped, created_ms) VALUES(?,?,?,?)", "ibbi", id, (sl_str){ (const char *)k->kek.id, 4 }, wrapped, sl_now_ms());
    if (ok) {
        sl_dek *d = sl_malloc(sizeof *d);
        *d = (sl_dek){ .next = k->deks, .id = id, .key = sl_secret_new((sl_str){ (const char *)key, sizeof key }) };
        k->deks = d;
    }
    sl_wipe(key, sizeof key);
    return ok;
}

void sl_keyring_done(sl_keyring *k)
{
    while (k->deks != NULL) {
        sl_dek *d = k->deks;
        k->deks = d->next;
        sl_secret_free(d->key);
        free(d);
    }
    sl_kek_done(&k->kek);
}

bool sl_keyring_rewrap(sl_keyring *k, const sl_secret *new_kek, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    uint8_t id[4];
    sl_kek_id(new_kek, id);
    if (!sl_db_begin(k->db, err))
        return false;
    bool ok = true;
    for (sl_dek *d = k->deks; ok && d != NULL; d = d->next) {
        sl_str wrapped;
        ok = wrap(a, new_kek, d->id, sl_secret_reveal(d->key), &wrapped, err)
             && sl_db_run(k->db, err, "UPDATE deks SET kek_id=?, wrapped=? WHERE id=?", "bbi", (sl_str){ (const char *)id, 4 }, wrapped, d->id);
    }
    if (ok && sl_db_commit(k->db, err))
        return true;
    sl_db_rollback(k->db);
    return false;
}

static bool purpose_key(const sl_dek *d, const char *purpose, uint8_t *ret, sl_err *err)
{
    return sl_hkdf((const uint8_t *)sl_secret_reveal(d->key).p, sl_str_c(purpose), ret, err);
}

static void put32(char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (char)(v >> (8 * i) & 255);
}

static uint32_t get32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

bool sl_record_seal(sl_keyring *k, sl_arena *arena, const char *purpose, sl_str aad, sl_str plain, sl_str *ret, sl_err *err)
{
    sl_assert(k->deks != NULL);
    uint8_t key[SL_KEY_SIZE], nonce[SL_NONCE_SIZE];
    size_t padded = (plain.n + 4 + PAD - 1) / PAD * PAD;
    char *text = sl_alloc(arena, padded);
    put32(text, (uint32_t)plain.n);
    if (plain.n > 0)
        memcpy(text + 4, plain.p, plain.n);
    char head[HEAD] = { 'S', 'L', FORMAT };
    memcpy(head + 3, k->kek.id, 4);
    put32(head + 7, (uint32_t)k->deks->id);
    sl_random(nonce, sizeof nonce);
    sl_str sealed;
    bool ok = purpose_key(k->deks, purpose, key, err) && sl_xaes_seal(arena, key, nonce, aad, (sl_str){ text, padded }, &sealed, err);
    sl_wipe(key, sizeof key);
    sl_wipe(text, padded);
    if (!ok)
        return false;
    sl_buf b = sl_buf_new(arena, SIZE_MAX / 4);
    sl_buf_add(&b, (sl_str){ head, HEAD });
    sl_buf_add(&b, (sl_str){ (const char *)nonce, sizeof nonce });
    sl_buf_add(&b, sealed);
    *ret = sl_buf_str(&b);
    return true;
}

bool sl_record_open(sl_keyring *k, sl_arena *arena, const char *purpose, sl_str aad, sl_str record, sl_str *ret, sl_err *err)
{
    if (record.n < HEAD + SL_NONCE_SIZE + SL_TAG_SIZE || record.p[0] != 'S' || record.p[1] != 'L' || record.p[2] != FORMAT)
        return sl_err_set(err, SL_ERR_DATA, "kv.format", "an encrypted record has an unknown format; it was damaged, or written by another version");
    int64_t id = get32(record.p + 7);
    const sl_dek *d = k->deks;
    while (d != NULL && d->id != id)
        d = d->next;
    if (d == NULL)
        return sl_err_set(err, SL_ERR_DATA, "kv.key", "an encrypted record names data key %lld, which does not exist", (long long)id);
    uint8_t key[SL_KEY_SIZE];
    sl_str text;
    bool ok = purpose_key(d, purpose, key, err)
              && sl_xaes_open(arena, key, (const uint8_t *)record.p + HEAD, aad, sl_str_sub(record, HEAD + SL_NONCE_SIZE, record.n), &text, err);
    sl_wipe(key, sizeof key);
    if (!ok)
        return false;
    uint32_t n = text.n >= 4 ? get32(text.p) : UINT32_MAX;
    if (n > text.n - 4)
        return sl_err_set(err, SL_ERR_DATA, "kv.tampered", "an encrypted record has a wrong length");
    *ret = sl_str_dup(arena, sl_str_sub(text, 4, 4 + (size_t)n));
    sl_wipe((void *)(uintptr_t)text.p, text.n);
    return true;
}

bool sl_keyring_mac(sl_keyring *k, const char *purpose, sl_str data, uint8_t *ret, size_t n, sl_err *err)
{
    /* Under the oldest data key, which never changes, so that fingerprints and heads survive a rotation. */
    const sl_dek *d = k->deks;
    while (d != NULL && d->next != NULL)
        d = d->next;
    sl_assert(d != NULL);
    uint8_t key[SL_KEY_SIZE];
    if (!purpose_key(d, purpose, key, err))
        return false;
    sl_hmac(key, data, ret, n);
    sl_wipe(key, sizeof key);
    return true;
}
