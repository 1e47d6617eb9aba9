/* service/audit.c: see audit.h. */
#include "service/audit.h"

#include <openssl/crypto.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/sha256.h"
#include "service/engine_private.h"

enum { KEY = 32, MAC_HEX = 64 };

static sl_str mac_of(sl_arena *a, sl_str key, sl_str text)
{
    uint8_t out[SL_SHA256];
    sl_hmac_sha256(key, text, out);
    return sl_hex(a, (sl_str){ (const char *)out, sizeof out });
}

/* Lengths before the texts: no two records are the same bytes. */
static sl_str record_text(sl_arena *a, sl_str before, int64_t seq, int64_t at, sl_str who, sl_str method, sl_str path)
{
    return sl_fmt(a, "%.*s|%lld|%lld|%zu:%.*s|%zu:%.*s|%zu:%.*s", SL_ARG(before), (long long)seq, (long long)at, who.n, SL_ARG(who), method.n, SL_ARG(method), path.n, SL_ARG(path));
}

static bool meta(sl_db *db, sl_arena *a, const char *name, sl_str *ret, sl_err *err)
{
    sl_stmt *q = sl_db_query(db, err, "SELECT value FROM meta WHERE name=?", "s", sl_str_c(name));
    int rc = q ? sl_stmt_next(q, err) : -1;
    *ret = (sl_str){ NULL, 0 };
    if (rc == 1) {
        *ret = sl_col_str(q, a, 0);
        sl_stmt_done(q);
    }
    return rc >= 0;
}

static bool set_meta(sl_db *db, const char *name, sl_str value, sl_err *err)
{
    return sl_db_run(db, err, "INSERT INTO meta(name, value) VALUES(?,?) ON CONFLICT(name) DO UPDATE SET value=excluded.value", "ss", sl_str_c(name), value);
}

/* *ret .p NULL: there is none yet. */
static bool find_key(sl_db *db, sl_kv *kv, sl_arena *a, sl_str *ret, sl_err *err)
{
    sl_str sealed, raw;
    if (!meta(db, a, "audit_key", &sealed, err))
        return false;
    *ret = (sl_str){ NULL, 0 };
    if (sealed.p == NULL)
        return true;
    return (sl_base64_decode(a, sealed, &raw) || sl_err_set(err, SL_ERR_DATA, "audit.key", "the key of the audit log is damaged")) && sl_kv_unseal(kv, a, "audit", SL_S("audit"), raw, ret, err);
}

static bool make_key(sl_db *db, sl_kv *kv, sl_arena *a, sl_str *ret, sl_err *err)
{
    char *key = sl_alloc(a, KEY);
    sl_str sealed;
    sl_random(key, KEY);
    *ret = (sl_str){ key, KEY };
    return sl_kv_seal(kv, a, "audit", SL_S("audit"), *ret, &sealed, err) && set_meta(db, "audit_key", sl_base64(a, sealed), err);
}

/* "SEQ MAC HEADMAC": the last record, and that it is the last. */
static sl_str head_text(sl_arena *a, sl_str key, int64_t seq, sl_str mac)
{
    sl_str own = mac_of(a, key, sl_fmt(a, "head|%lld|%.*s", (long long)seq, SL_ARG(mac)));
    return sl_fmt(a, "%lld %.*s %.*s", (long long)seq, SL_ARG(mac), SL_ARG(own));
}

static bool read_head(sl_db *db, sl_arena *a, int64_t *seq, sl_str *mac, sl_err *err)
{
    sl_str head, number;
    *seq = 0;
    *mac = SL_S("");
    if (!meta(db, a, "audit_head", &head, err))
        return false;
    if (head.p == NULL)
        return true;
    return (sl_str_cut(&head, ' ', &number) && sl_parse_int(number, seq) && sl_str_cut(&head, ' ', mac)) || sl_err_set(err, SL_ERR_DATA, "audit.head", "the head of the audit log is damaged");
}

/* The key and the end of the chain stay in memory: a turn that fails is the engine's last. */
static bool load(sl_engine *e, sl_err *err)
{
    sl_arena *a = e->turn_arena;
    sl_db *db = sl_store_db(e->store);
    sl_str key, mac;
    if (e->audit.loaded)
        return true;
    if (!find_key(db, e->kv, a, &key, err) || (key.p == NULL && !make_key(db, e->kv, a, &key, err)) || !read_head(db, a, &e->audit.seq, &mac, err))
        return false;
    if (key.n != KEY)
        return sl_err_set(err, SL_ERR_DATA, "audit.key", "the key of the audit log is damaged");
    memcpy(e->audit.key, key.p, KEY);
    (void)snprintf(e->audit.mac, sizeof e->audit.mac, "%.*s", SL_ARG(mac));
    e->audit.loaded = true;
    return true;
}

static bool append(sl_engine *e, const sl_audit_record *r, int64_t now, sl_err *err)
{
    sl_arena *a = e->turn_arena;
    sl_db *db = sl_store_db(e->store);
    sl_str key = { e->audit.key, KEY };
    if (!load(e, err))
        return false;
    int64_t seq = ++e->audit.seq;
    sl_str mac = mac_of(a, key, record_text(a, sl_str_c(e->audit.mac), seq, now, r->who, r->method, r->path));
    (void)snprintf(e->audit.mac, sizeof e->audit.mac, "%.*s", SL_ARG(mac));
    return sl_db_run(db, err, "INSERT INTO audit(seq, at_ms, who, method, path, mac) VALUES(?,?,?,?,?,?)", "iissss", seq, now, r->who, r->method, r->path, mac)
           && set_meta(db, "audit_head", head_text(a, key, seq, mac), err);
}

static void record(sl_engine *e, void *arg, int64_t now)
{
    sl_err err;
    if (!append(e, arg, now, &err))
        sl_engine_break(e, &err);
}

void sl_audit_post(sl_engine *e, sl_audit_record *r)
{
    sl_arena *a = sl_arena_new();
    sl_message *m = SL_NEW(a, sl_message);
    r->written = false;
    *m = (sl_message){ .call = record, .arg = r, .arena = a, .written = &r->written };
    sl_engine_post(e, m);
}

bool sl_audit_wait(sl_engine *e, sl_audit_record *r, sl_err *err)
{
    return sl_engine_wait(e, &r->written, err);
}

bool sl_audit_list(sl_store *store, sl_arena *a, int64_t offset, int64_t size, const sl_val **ret, int64_t *total, sl_err *err)
{
    sl_db *db = sl_store_db(store);
    sl_val *list = sl_list(a);
    sl_stmt *q = sl_db_query(db, err, "SELECT count(*) FROM audit", "");
    if (q == NULL || sl_stmt_next(q, err) != 1)
        return false;
    *total = sl_col_int(q, 0);
    sl_stmt_done(q);
    q = sl_db_query(db, err, "SELECT seq, at_ms, who, method, path FROM audit ORDER BY seq DESC LIMIT ? OFFSET ?", "ii", size, offset);
    int rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, err)) == 1) {
        sl_val *one = sl_map(a);
        sl_map_set_int(a, one, "seq", sl_col_int(q, 0));
        sl_map_set_str(a, one, "date", sl_time_rfc3339(a, sl_col_int(q, 1)));
        sl_map_set_str(a, one, "user", sl_col_str(q, a, 2));
        sl_map_set_str(a, one, "method", sl_col_str(q, a, 3));
        sl_map_set_str(a, one, "path", sl_col_str(q, a, 4));
        sl_list_add(a, list, one);
    }
    *ret = list;
    return rc == 0;
}

static bool same(sl_str a, sl_str b)
{
    return a.n == b.n && a.n == MAC_HEX && CRYPTO_memcmp(a.p, b.p, a.n) == 0;
}

static bool verify_chain(sl_db *db, sl_str key, int64_t *records, sl_str *last, sl_err *err)
{
    sl_arena *scratch = NULL;
    sl_str before = SL_S("");
    bool good = true;
    sl_stmt *q = sl_db_query(db, err, "SELECT seq, at_ms, who, method, path, mac FROM audit ORDER BY seq", "");
    int rc = q ? 1 : -1;
    while (good && q != NULL && (rc = sl_stmt_next(q, err)) == 1) {
        scratch = sl_arena_new();
        int64_t seq = sl_col_int(q, 0);
        sl_str mac = sl_col_str(q, scratch, 5);
        sl_str text = record_text(scratch, before, seq, sl_col_int(q, 1), sl_col_str(q, scratch, 2), sl_col_str(q, scratch, 3), sl_col_str(q, scratch, 4));
        ++*records;
        good = (seq == *records && same(mac, mac_of(scratch, key, text))) || sl_err_set(err, SL_ERR_DATA, "audit.chain", "the audit log was changed at record %lld", (long long)*records);
        (void)snprintf((char *)(uintptr_t)last->p, MAC_HEX + 1, "%.*s", SL_ARG(mac));
        last->n = mac.n < MAC_HEX ? mac.n : MAC_HEX;
        before = *last;
        sl_arena_free(scratch);
    }
    if (!good)
        sl_stmt_done(q);
    return good && rc == 0;
}

bool sl_audit_verify(sl_db *db, sl_kv *kv, int64_t *records, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_str key, head, last = { sl_alloc(a, MAC_HEX + 1), 0 };
    *records = 0;
    if (!find_key(db, kv, a, &key, err) || !meta(db, a, "audit_head", &head, err))
        return false;
    if (key.p == NULL) { /* nothing was ever recorded */
        sl_stmt *q = sl_db_query(db, err, "SELECT 1 FROM audit LIMIT 1", "");
        int rc = q ? sl_stmt_next(q, err) : -1;
        if (rc == 1)
            sl_stmt_done(q);
        return rc == 0 || (rc == 1 && sl_err_set(err, SL_ERR_DATA, "audit.key", "the key of the audit log is gone"));
    }
    return verify_chain(db, key, records, &last, err)
           && (sl_str_eq(head, head_text(a, key, *records, last)) || sl_err_set(err, SL_ERR_DATA, "audit.head", "records were cut off the end of the audit log, or added to it"));
}
