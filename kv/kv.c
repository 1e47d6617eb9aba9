/*
 * kv/kv.c: the store. See kv.h.
 *
 * The head is (seq, XOR of a MAC per stored record). It is checked when the store is opened and kept outside of the data
 * folder as well, so that neither a single row nor the whole file can be put back to an older state unnoticed.
 */
#include "kv/kv.h"

#include <sys/file.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "db/db.h"
#include "kv/keyring.h"

static const sl_migration migrations[] = {
    { 1, "CREATE TABLE deks(id INTEGER PRIMARY KEY, kek_id BLOB NOT NULL, wrapped BLOB NOT NULL, created_ms INTEGER NOT NULL) STRICT;"
         "CREATE TABLE entries(ns TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, type TEXT NOT NULL,"
         " description TEXT, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, fingerprint BLOB NOT NULL,"
         " record BLOB NOT NULL, PRIMARY KEY(ns, kind, key, version)) STRICT, WITHOUT ROWID;"
         "CREATE TABLE head(one INTEGER PRIMARY KEY CHECK(one = 1), store BLOB NOT NULL, seq INTEGER NOT NULL, sum BLOB NOT NULL, mac BLOB NOT NULL) STRICT" },
    { 0, NULL },
};

enum { SUM = 32 };

struct sl_kv {
    sl_db *db;
    sl_keyring ring;
    char head_path[600];
};

static const char *kind_name(sl_kv_kind kind)
{
    return kind == SL_KV_SECRET ? "secret" : "kv";
}

/* ---- the head ---- */

typedef struct head {
    sl_str store;
    int64_t seq;
    uint8_t sum[SUM];
} head;

static bool head_mac(sl_kv *kv, sl_arena *a, const head *h, uint8_t *mac, sl_err *err)
{
    sl_str parts[] = { h->store, sl_fmt(a, "%lld", (long long)h->seq), { (const char *)h->sum, SUM } };
    return sl_keyring_mac(&kv->ring, "head", sl_aad(a, parts, SL_COUNT(parts)), mac, SUM, err);
}

static bool head_read(sl_kv *kv, sl_arena *a, head *h, sl_err *err)
{
    sl_stmt *s = sl_db_query(kv->db, err, "SELECT store, seq, sum, mac FROM head", "");
    if (s == NULL || sl_stmt_next(s, err) != 1)
        return s != NULL && sl_err_set(err, SL_ERR_DATA, "kv.head", "the store has lost its head record; it was damaged or changed");
    h->store = sl_col_str(s, a, 0);
    h->seq = sl_col_int(s, 1);
    sl_str sum = sl_col_str(s, a, 2), mac = sl_col_str(s, a, 3);
    sl_stmt_done(s);
    uint8_t right[SUM];
    if (sum.n != SUM || mac.n != SUM)
        return sl_err_set(err, SL_ERR_DATA, "kv.head", "the store's head record is damaged");
    memcpy(h->sum, sum.p, SUM);
    if (!head_mac(kv, a, h, right, err))
        return false;
    return memcmp(right, mac.p, SUM) == 0 || sl_err_set(err, SL_ERR_DATA, "kv.tampered", "the store's head record was changed by somebody without the key");
}

static bool head_write(sl_kv *kv, sl_arena *a, const head *h, sl_err *err)
{
    uint8_t mac[SUM];
    return head_mac(kv, a, h, mac, err)
           && sl_db_run(kv->db, err, "INSERT INTO head(one, store, seq, sum, mac) VALUES(1,?,?,?,?) ON CONFLICT(one) DO UPDATE SET seq=excluded.seq, sum=excluded.sum, mac=excluded.mac",
                        "bibb", h->store, h->seq, (sl_str){ (const char *)h->sum, SUM }, (sl_str){ (const char *)mac, SUM });
}

/* Outside of the data folder: what was last seen. Behind the transaction, so it can only lag. */
static bool head_publish(sl_kv *kv, sl_arena *a, const head *h, sl_err *err)
{
    return sl_fs_write_atomic(kv->head_path, sl_fmt(a, "%lld\n", (long long)h->seq), 0600, err);
}

static bool row_mac(sl_kv *kv, sl_arena *a, sl_str ns, sl_str kind, sl_str key, int64_t version, sl_str record, uint8_t *ret, sl_err *err)
{
    sl_str parts[] = { ns, kind, key, sl_fmt(a, "%lld", (long long)version), record };
    return sl_keyring_mac(&kv->ring, "row", sl_aad(a, parts, SL_COUNT(parts)), ret, SUM, err);
}

static bool sum_toggle(sl_kv *kv, sl_arena *a, head *h, sl_str ns, sl_str kind, sl_str key, int64_t version, sl_str record, sl_err *err)
{
    uint8_t mac[SUM];
    if (!row_mac(kv, a, ns, kind, key, version, record, mac, err))
        return false;
    for (int i = 0; i < SUM; i++)
        h->sum[i] ^= mac[i];
    return true;
}

/* The sum of the rows that are there. */
static bool head_sum(sl_kv *kv, sl_arena *a, head *h, sl_err *err)
{
    memset(h->sum, 0, SUM);
    sl_stmt *s = sl_db_query(kv->db, err, "SELECT ns, kind, key, version, record FROM entries", "");
    if (s == NULL)
        return false;
    int rc;
    while ((rc = sl_stmt_next(s, err)) == 1)
        if (!sum_toggle(kv, a, h, sl_col_str(s, a, 0), sl_col_str(s, a, 1), sl_col_str(s, a, 2), sl_col_int(s, 3), sl_col_str(s, a, 4), err)) {
            sl_stmt_done(s);
            return false;
        }
    return rc == 0;
}

static bool head_check_rows(sl_kv *kv, sl_arena *a, const head *h, sl_err *err)
{
    head now = { .store = h->store };
    if (!head_sum(kv, a, &now, err))
        return false;
    return memcmp(now.sum, h->sum, SUM) == 0
           || sl_err_set(err, SL_ERR_DATA, "kv.tampered", "records of the store were removed, added or put back to older versions behind its back; restore a backup, or accept it with --accept-rollback");
}

static bool head_check(sl_kv *kv, bool accept, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    head h = { 0 };
    if (!head_read(kv, a, &h, err))
        return false;
    sl_str seen = SL_S("");
    int64_t seq = 0;
    (void)snprintf(kv->head_path, sizeof kv->head_path, "%.500s/head-%.16s", kv->ring.kek.head_dir, sl_hex(a, h.store).p);
    bool known = sl_fs_exists(kv->head_path);
    if (known && !sl_fs_read(a, kv->head_path, 64, &seen, err))
        return sl_err_ctx(err, "looking up which change of the store was last seen here");
    if (known && !sl_parse_int(sl_str_trim(seen), &seq) && !accept)
        return sl_err_set(err, SL_ERR_DATA, "kv.head", "%s does not hold the number of the last change of the store; put it back from a backup, or go on with --accept-rollback", kv->head_path);
    if (accept) {
        if (!head_sum(kv, a, &h, err))
            return false;
        h.seq = (seq > h.seq ? seq : h.seq) + 1;
        return head_write(kv, a, &h, err) && head_publish(kv, a, &h, err);
    }
    if (seq > h.seq)
        return sl_err_set(err, SL_ERR_DATA, "kv.rollback", "the store is older (change %lld) than what was last seen here (change %lld): an old copy was put back; accept it with --accept-rollback if you did that",
                          (long long)h.seq, (long long)seq);
    return head_check_rows(kv, a, &h, err);
}

/* ---- opening ---- */

static bool is_new(sl_db *db, bool *ret, sl_err *err)
{
    sl_stmt *s = sl_db_query(db, err, "SELECT count(*) FROM deks", "");
    if (s == NULL || sl_stmt_next(s, err) != 1)
        return false;
    *ret = sl_col_int(s, 0) == 0;
    sl_stmt_done(s);
    return true;
}

static bool create(sl_kv *kv, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    uint8_t store[8];
    sl_random(store, sizeof store);
    head h = { .store = { (const char *)store, sizeof store }, .seq = 1 };
    return sl_db_begin(kv->db, err) && sl_keyring_add(&kv->ring, err) && head_write(kv, a, &h, err) && sl_db_commit(kv->db, err);
}

sl_kv *sl_kv_open(const char *path, const char *data_dir, bool accept_rollback, sl_err *err)
{
    sl_kv *kv = sl_malloc(sizeof *kv);
    *kv = (sl_kv){ 0 };
    bool fresh = false;
    kv->db = sl_db_open(path, migrations, err);
    bool ok = kv->db != NULL && is_new(kv->db, &fresh, err) && sl_kek_load(&kv->ring.kek, data_dir, fresh, err);
    kv->ring.db = kv->db;
    ok = ok && sl_keyring_load(&kv->ring, err);
    if (ok && fresh && !(ok = create(kv, err)) && kv->db != NULL)
        sl_db_rollback(kv->db);
    ok = ok && head_check(kv, accept_rollback, err);
    if (ok)
        return kv;
    sl_err_ctx(err, "opening the key-value store %s", path);
    sl_kv_close(kv);
    return NULL;
}

void sl_kv_close(sl_kv *kv)
{
    if (kv == NULL)
        return;
    sl_keyring_done(&kv->ring);
    sl_db_close(kv->db);
    free(kv);
}

const sl_kek *sl_kv_kek(const sl_kv *kv)
{
    return &kv->ring.kek;
}

static bool name_ok(const char *what, sl_str name, size_t longest, sl_err *err)
{
    bool ok = name.n > 0 && name.n <= longest;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        ok &= alnum || (i > 0 && (c == '.' || c == '_' || c == '-'));
    }
    return ok || sl_err_set(err, SL_ERR_CONFIG, "kv.key", "the %s '%.*s' is not allowed: it must start with a letter or digit and hold only letters, digits, '.', '_' and '-', at most %zu of them", what,
                            (int)(name.n < 100 ? name.n : 100), name.p, longest);
}

bool sl_kv_key_ok(sl_str key, sl_err *err)
{
    return name_ok("key", key, 255, err);
}

static sl_str entry_aad(sl_arena *a, sl_str ns, sl_kv_kind kind, sl_str key, int64_t version, sl_str type, int64_t created, int64_t expires)
{
    sl_str parts[] = { ns, sl_str_c(kind_name(kind)), key, sl_fmt(a, "%lld", (long long)version), type, sl_fmt(a, "%lld", (long long)created), sl_fmt(a, "%lld", (long long)expires) };
    return sl_aad(a, parts, SL_COUNT(parts));
}

/* Takes rows out of the store and out of the head's sum. versions_below: only versions < it. */
static bool drop_rows(sl_kv *kv, sl_arena *a, head *h, sl_kv_kind kind, sl_str ns, sl_str key, int64_t versions_below, int64_t *dropped, sl_err *err)
{
    sl_str k = sl_str_c(kind_name(kind));
    sl_stmt *s = sl_db_query(kv->db, err, "SELECT version, record FROM entries WHERE ns=? AND kind=? AND key=? AND version<?", "sssi", ns, k, key, versions_below);
    if (s == NULL)
        return false;
    int rc;
    *dropped = 0;
    while ((rc = sl_stmt_next(s, err)) == 1) {
        ++*dropped;
        if (!sum_toggle(kv, a, h, ns, k, key, sl_col_int(s, 0), sl_col_str(s, a, 1), err)) {
            sl_stmt_done(s);
            return false;
        }
    }
    return rc == 0 && (*dropped == 0 || sl_db_run(kv->db, err, "DELETE FROM entries WHERE ns=? AND kind=? AND key=? AND version<?", "sssi", ns, k, key, versions_below));
}

static bool put_locked(sl_kv *kv, sl_arena *a, head *h, sl_kv_kind kind, sl_str ns, sl_str key, sl_str value, const sl_kv_options *o, sl_err *err)
{
    sl_str k = sl_str_c(kind_name(kind)), type = o->type.n ? o->type : SL_S("STRING");
    int64_t now = sl_now_ms(), version = 1, created = now, expires = o->ttl_ms > 0 ? now + o->ttl_ms : 0, dropped;
    sl_stmt *s = sl_db_query(kv->db, err, "SELECT version, created_ms, expires_ms FROM entries WHERE ns=? AND kind=? AND key=? ORDER BY version DESC LIMIT 1", "sss", ns, k, key);
    if (s == NULL)
        return false;
    int rc = sl_stmt_next(s, err);
    if (rc == 1) {
        bool expired = sl_col_int(s, 2) != 0 && sl_col_int(s, 2) <= now;
        version = sl_col_int(s, 0) + 1;
        created = sl_col_int(s, 1);
        sl_stmt_done(s);
        if (o->no_overwrite && !expired)
            return sl_err_set(err, SL_ERR_CONFLICT, "kv.exists", "Cannot set value for key '%.*s'. Key already exists and `overwrite` is set to `false`.", SL_ARG(key));
    } else if (rc < 0)
        return false;
    if (o->if_version && o->version != version - 1)
        return sl_err_set(err, SL_ERR_CONFLICT, "kv.changed", "the value of '%.*s' has changed meanwhile; try again", SL_ARG(key));
    uint8_t print[8];
    sl_str record;
    return sl_keyring_mac(&kv->ring, "fingerprint", value, print, sizeof print, err)
           && sl_record_seal(&kv->ring, a, kind_name(kind), entry_aad(a, ns, kind, key, version, type, created, expires), value, &record, err)
           && sl_db_run(kv->db, err, "INSERT INTO entries(ns, kind, key, version, type, description, created_ms, updated_ms, expires_ms, fingerprint, record) VALUES(?,?,?,?,?,?,?,?,?,?,?)",
                        "sssissiiibb", ns, k, key, version, type, o->description.n ? o->description : (sl_str){ NULL, 0 }, created, now, expires, (sl_str){ (const char *)print, sizeof print },
                        record)
           && sum_toggle(kv, a, h, ns, k, key, version, record, err) && drop_rows(kv, a, h, kind, ns, key, version - SL_KV_VERSIONS_MAX + 1, &dropped, err);
}

/* Every change: one transaction with the head in it, then the head outside. */
typedef bool (*change)(sl_kv *kv, sl_arena *a, head *h, void *self, sl_err *err);

static bool with_head(sl_kv *kv, change fn, void *self, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    head h = { 0 };
    sl_db_lock(kv->db);
    bool ok = sl_db_begin(kv->db, err);
    if (ok) {
        ok = head_read(kv, a, &h, err) && fn(kv, a, &h, self, err);
        h.seq++;
        ok = ok && head_write(kv, a, &h, err) && sl_db_commit(kv->db, err) && SL_FAULT("kv.before_head", err) && head_publish(kv, a, &h, err);
        if (!ok)
            sl_db_rollback(kv->db);
    }
    sl_db_unlock(kv->db);
    return ok;
}

typedef struct put_args {
    sl_kv_kind kind;
    sl_str ns, key, value;
    const sl_kv_options *options;
    bool existed;
} put_args;

static bool do_put(sl_kv *kv, sl_arena *a, head *h, void *self, sl_err *err)
{
    const put_args *p = self;
    return put_locked(kv, a, h, p->kind, p->ns, p->key, p->value, p->options, err);
}

bool sl_kv_put(sl_kv *kv, sl_kv_kind kind, sl_str ns, sl_str key, sl_str value, const sl_kv_options *options, sl_err *err)
{
    static const sl_kv_options none = { 0 };
    if (!sl_kv_key_ok(key, err) || !name_ok("namespace", ns, 150, err))
        return false;
    if (value.n > SL_KV_VALUE_MAX)
        return sl_err_set(err, SL_ERR_LIMIT, "kv.size", "the value of '%.*s' is larger than %d bytes; put large data into a file", SL_ARG(key), SL_KV_VALUE_MAX);
    put_args p = { .kind = kind, .ns = ns, .key = key, .value = value, .options = options ? options : &none };
    return with_head(kv, do_put, &p, err);
}

static bool do_remove(sl_kv *kv, sl_arena *a, head *h, void *self, sl_err *err)
{
    put_args *p = self;
    int64_t dropped;
    bool ok = drop_rows(kv, a, h, p->kind, p->ns, p->key, INT64_MAX, &dropped, err);
    p->existed = dropped > 0;
    return ok;
}

bool sl_kv_remove(sl_kv *kv, sl_kv_kind kind, sl_str ns, sl_str key, bool *existed, sl_err *err)
{
    put_args p = { .kind = kind, .ns = ns, .key = key };
    if (!with_head(kv, do_remove, &p, err))
        return false;
    if (existed != NULL)
        *existed = p.existed;
    return true;
}

static void read_entry(sl_stmt *s, sl_arena *a, sl_kv_entry *e)
{
    *e = (sl_kv_entry){ .ns = sl_col_str(s, a, 0), .key = sl_col_str(s, a, 1), .version = sl_col_int(s, 2), .type = sl_col_str(s, a, 3), .description = sl_col_str(s, a, 4),
                        .created_ms = sl_col_int(s, 5), .updated_ms = sl_col_int(s, 6), .expires_ms = sl_col_int(s, 7), .fingerprint = sl_hex(a, sl_col_str(s, a, 8)) };
}

static bool find_in(sl_kv *kv, sl_arena *a, sl_kv_kind kind, sl_str ns, sl_str key, bool *found, sl_kv_entry *ret, sl_err *err)
{
    sl_stmt *s = sl_db_query(kv->db, err,
                             "SELECT ns, key, version, type, description, created_ms, updated_ms, expires_ms, fingerprint, record FROM entries WHERE ns=? AND kind=? AND key=? ORDER BY version DESC LIMIT 1",
                             "sss", ns, sl_str_c(kind_name(kind)), key);
    if (s == NULL)
        return false;
    int rc = sl_stmt_next(s, err);
    *found = rc == 1;
    if (rc != 1)
        return rc == 0;
    read_entry(s, a, ret);
    sl_str record = sl_col_str(s, a, 9);
    sl_stmt_done(s);
    if (!sl_record_open(&kv->ring, a, kind_name(kind), entry_aad(a, ns, kind, key, ret->version, ret->type, ret->created_ms, ret->expires_ms), record, &ret->value, err))
        return sl_err_ctx(err, "reading '%.*s' of the namespace '%.*s'", SL_ARG(key), SL_ARG(ns));
    return true;
}

bool sl_kv_find(sl_kv *kv, sl_arena *arena, sl_kv_kind kind, sl_str ns, sl_str key, bool inherit, bool *found, sl_kv_entry *ret, sl_err *err)
{
    bool ok = true;
    *found = false;
    while (ok && !*found) {
        sl_db_lock(kv->db);
        ok = find_in(kv, arena, kind, ns, key, found, ret, err);
        sl_db_unlock(kv->db);
        if (ok && *found && ret->expires_ms != 0 && ret->expires_ms <= sl_now_ms()) {
            *found = false;
            return sl_kv_remove(kv, kind, ns, key, NULL, err) && sl_err_set(err, SL_ERR_NOT_FOUND, "kv.expired", "The requested value has expired ('%.*s' in the namespace '%.*s')", SL_ARG(key), SL_ARG(ns));
        }
        ptrdiff_t dot = sl_str_rfind(ns, SL_S("."));
        if (*found || !inherit || dot < 0)
            break;
        ns = sl_str_sub(ns, 0, (size_t)dot);
    }
    return ok;
}

static bool collect(sl_kv *kv, sl_arena *arena, sl_stmt *s, sl_kv_entry **ret, size_t *ret_count, sl_err *err)
{
    size_t n = 0, capacity = 0;
    sl_kv_entry *list = NULL;
    int rc = s ? 1 : -1;
    while (s != NULL && (rc = sl_stmt_next(s, err)) == 1) {
        if (n == capacity) {
            size_t wanted = capacity ? capacity * 2 : 16;
            list = sl_realloc(arena, list, capacity * sizeof *list, wanted * sizeof *list);
            capacity = wanted;
        }
        read_entry(s, arena, &list[n++]);
    }
    sl_db_unlock(kv->db);
    *ret = list;
    *ret_count = n;
    return rc == 0;
}

#define NEWEST "SELECT ns, key, max(version), type, description, created_ms, updated_ms, expires_ms, fingerprint FROM entries WHERE kind=?1"

bool sl_kv_entries(sl_kv *kv, sl_arena *arena, sl_kv_kind kind, sl_str ns, sl_str prefix, sl_kv_entry **ret, size_t *ret_count, sl_err *err)
{
    sl_db_lock(kv->db);
    sl_stmt *s = sl_db_query(kv->db, err, NEWEST " AND (?2 IS NULL OR ns=?2) AND substr(key, 1, length(?3))=?3 AND (expires_ms=0 OR expires_ms>?4) GROUP BY ns, key ORDER BY ns, key", "sssi",
                             sl_str_c(kind_name(kind)), ns, prefix.p ? prefix : SL_S(""), sl_now_ms());
    return collect(kv, arena, s, ret, ret_count, err);
}

bool sl_kv_expired(sl_kv *kv, sl_arena *arena, sl_kv_kind kind, sl_kv_entry **ret, size_t *ret_count, sl_err *err)
{
    sl_db_lock(kv->db);
    sl_stmt *s = sl_db_query(kv->db, err, NEWEST " GROUP BY ns, key HAVING expires_ms>0 AND expires_ms<=?2 ORDER BY ns, key", "si", sl_str_c(kind_name(kind)), sl_now_ms());
    return collect(kv, arena, s, ret, ret_count, err);
}

/* ---- rotation, verification ---- */

static bool reseal(sl_kv *kv, sl_arena *a, head *h, const sl_kv_entry *e, sl_kv_kind kind, sl_str old, sl_err *err)
{
    sl_str aad = entry_aad(a, e->ns, kind, e->key, e->version, e->type, e->created_ms, e->expires_ms), value, record, k = sl_str_c(kind_name(kind));
    return sl_record_open(&kv->ring, a, kind_name(kind), aad, old, &value, err) && sl_record_seal(&kv->ring, a, kind_name(kind), aad, value, &record, err)
           && sum_toggle(kv, a, h, e->ns, k, e->key, e->version, old, err) && sum_toggle(kv, a, h, e->ns, k, e->key, e->version, record, err)
           && sl_db_run(kv->db, err, "UPDATE entries SET record=? WHERE ns=? AND kind=? AND key=? AND version=?", "bsssi", record, e->ns, k, e->key, e->version);
}

/* One step: up to 100 records that are still under an older data key. */
static bool do_rotate_step(sl_kv *kv, sl_arena *a, head *h, void *self, sl_err *err)
{
    int64_t *moved = self;
    char mark[4];
    for (int i = 0; i < 4; i++)
        mark[i] = (char)(kv->ring.deks->id >> (8 * i) & 255);
    struct {
        sl_kv_entry e;
        sl_kv_kind kind;
        sl_str record;
    } *batch = sl_alloc(a, 100 * sizeof *batch);
    size_t n = 0;
    sl_stmt *s = sl_db_query(kv->db, err,
                             "SELECT ns, key, version, type, description, created_ms, updated_ms, expires_ms, fingerprint, record, kind FROM entries WHERE substr(record, 8, 4)<>? LIMIT 100", "b",
                             (sl_str){ mark, 4 });
    if (s == NULL)
        return false;
    int rc;
    while ((rc = sl_stmt_next(s, err)) == 1) {
        read_entry(s, a, &batch[n].e);
        batch[n].record = sl_col_str(s, a, 9);
        batch[n++].kind = sl_str_eqc(sl_col_str(s, a, 10), "secret") ? SL_KV_SECRET : SL_KV_VALUE;
    }
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (!reseal(kv, a, h, &batch[i].e, batch[i].kind, batch[i].record, err))
            return false;
    *moved = (int64_t)n;
    return rc == 0;
}

static bool do_new_key(sl_kv *kv, sl_arena *a, head *h, void *self, sl_err *err)
{
    (void)a;
    (void)h;
    (void)self;
    return sl_keyring_add(&kv->ring, err);
}

bool sl_kv_rotate(sl_kv *kv, int64_t *ret_records, sl_err *err)
{
    int64_t moved = 1, total = 0;
    if (!with_head(kv, do_new_key, NULL, err))
        return false;
    while (moved > 0) {
        if (!with_head(kv, do_rotate_step, &moved, err))
            return false;
        total += moved;
    }
    *ret_records = total;
    return true;
}

bool sl_kv_rewrap(sl_kv *kv, const sl_secret *new_kek, sl_err *err)
{
    sl_db_lock(kv->db);
    bool ok = sl_keyring_rewrap(&kv->ring, new_kek, err);
    sl_db_unlock(kv->db);
    return ok;
}

bool sl_kv_verify(sl_kv *kv, int64_t *ret_records, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    head h = { 0 };
    int64_t n = 0;
    sl_db_lock(kv->db);
    bool ok = sl_db_integrity(kv->db, err) && head_read(kv, a, &h, err) && head_check_rows(kv, a, &h, err);
    sl_stmt *s = ok ? sl_db_query(kv->db, err, "SELECT ns, key, version, type, description, created_ms, updated_ms, expires_ms, fingerprint, record, kind FROM entries", "") : NULL;
    int rc = s ? 0 : -1;
    while (ok && s != NULL && (rc = sl_stmt_next(s, err)) == 1) {
        sl_kv_entry e;
        sl_str value;
        read_entry(s, a, &e);
        sl_kv_kind kind = sl_str_eqc(sl_col_str(s, a, 10), "secret") ? SL_KV_SECRET : SL_KV_VALUE;
        ok = sl_record_open(&kv->ring, a, kind_name(kind), entry_aad(a, e.ns, kind, e.key, e.version, e.type, e.created_ms, e.expires_ms), sl_col_str(s, a, 9), &value, err);
        n++;
        if (!ok)
            sl_stmt_done(s);
    }
    sl_db_unlock(kv->db);
    *ret_records = n;
    return ok && rc == 0;
}

bool sl_kv_seal(sl_kv *kv, sl_arena *arena, const char *purpose, sl_str aad, sl_str plain, sl_str *ret, sl_err *err)
{
    sl_db_lock(kv->db);
    bool ok = sl_record_seal(&kv->ring, arena, purpose, aad, plain, ret, err);
    sl_db_unlock(kv->db);
    return ok;
}

bool sl_kv_unseal(sl_kv *kv, sl_arena *arena, const char *purpose, sl_str aad, sl_str sealed, sl_str *ret, sl_err *err)
{
    sl_db_lock(kv->db);
    bool ok = sl_record_open(&kv->ring, arena, purpose, aad, sealed, ret, err);
    sl_db_unlock(kv->db);
    return ok;
}
