/* tests/unit/test_kv.c: XAES-256-GCM against the vectors of https://c2sp.org/XAES-256-GCM; the store, and attacks on it. */
#include <glob.h>
#include <string.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "db/db.h"
#include "kv/crypto.h"
#include "tests/unit/fixture.h"

static const char nonce[] = "ABCDEFGHIJKLMNOPQRSTUVWX";

static void vector(sl_test_context *t, int byte, sl_str aad, const char *want)
{
    uint8_t key[32];
    sl_err err;
    sl_str sealed, opened;
    memset(key, byte, sizeof key);
    CHECK(sl_xaes_seal(t->arena, key, (const uint8_t *)nonce, aad, SL_S("XAES-256-GCM"), &sealed, &err));
    CHECK(sl_str_eqc(sl_hex(t->arena, sealed), want));
    CHECK(sl_xaes_open(t->arena, key, (const uint8_t *)nonce, aad, sealed, &opened, &err));
    CHECK(sl_str_eqc(opened, "XAES-256-GCM"));
    /* Any changed bit, and any other context, is refused. */
    for (size_t i = 0; i < sealed.n; i++) {
        sl_str changed = sl_str_dup(t->arena, sealed);
        ((char *)(uintptr_t)changed.p)[i] ^= 1;
        CHECK(!sl_xaes_open(t->arena, key, (const uint8_t *)nonce, aad, changed, &opened, &err));
    }
    CHECK(!sl_xaes_open(t->arena, key, (const uint8_t *)nonce, SL_S("another place"), sealed, &opened, &err));
    CHECK(!sl_xaes_open(t->arena, key, (const uint8_t *)nonce, aad, sl_str_sub(sealed, 0, 15), &opened, &err));
}

SL_TEST(kv, xaes_vectors)
{
    vector(t, 1, SL_S(""), "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271");
    vector(t, 3, SL_S("c2sp.org/XAES-256-GCM"), "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d");
}

/* ---- the store ---- */

static bool put(sl_test_context *t, sl_kv *kv, const char *ns, const char *key, const char *value, int64_t ttl_ms)
{
    sl_kv_options o = { .type = SL_S("STRING"), .ttl_ms = ttl_ms };
    return sl_kv_put(kv, SL_KV_VALUE, sl_str_c(ns), sl_str_c(key), sl_str_c(value), &o, &t->err);
}

/* The value, "-" when there is none, "!" on an error. */
static sl_str get(sl_test_context *t, sl_kv *kv, const char *ns, const char *key, bool inherit)
{
    sl_kv_entry e;
    bool found;
    if (!sl_kv_find(kv, t->arena, SL_KV_VALUE, sl_str_c(ns), sl_str_c(key), inherit, &found, &e, &t->err))
        return SL_S("!");
    return found ? e.value : SL_S("-");
}

SL_TEST(kv, only_of_a_version)
{
    sl_kv *kv = fixture_kv(t);
    CHECK_OK(kv != NULL);
    sl_kv_options o = { .type = SL_S("STRING"), .if_version = true };
    CHECK_OK(sl_kv_put(kv, SL_KV_VALUE, SL_S("a"), SL_S("k"), SL_S("1"), &o, &t->err));
    CHECK(!sl_kv_put(kv, SL_KV_VALUE, SL_S("a"), SL_S("k"), SL_S("2"), &o, &t->err));
    CHECK(strcmp(t->err.code, "kv.changed") == 0);
    o.version = 1;
    CHECK_OK(sl_kv_put(kv, SL_KV_VALUE, SL_S("a"), SL_S("k"), SL_S("3"), &o, &t->err));
    CHECK(!sl_kv_put(kv, SL_KV_VALUE, SL_S("a"), SL_S("k"), SL_S("4"), &o, &t->err));
    CHECK(sl_str_eqc(get(t, kv, "a", "k", false), "3"));
    sl_kv_close(kv);
}

SL_TEST(kv, namespaces_inherit)
{
    sl_kv *kv = fixture_kv(t);
    CHECK_OK(kv != NULL);
    CHECK_OK(put(t, kv, "a", "k", "\"of a\"", 0) && put(t, kv, "a.b.c", "own", "\"1\"", 0));
    CHECK_STR(get(t, kv, "a.b.c", "k", true), "\"of a\"");
    CHECK_STR(get(t, kv, "a.b.c", "k", false), "-");
    CHECK_STR(get(t, kv, "a.b", "own", true), "-");
    CHECK_STR(get(t, kv, "ab", "k", true), "-");
    CHECK_OK(put(t, kv, "a.b", "k", "\"of a.b\"", 0));
    CHECK_STR(get(t, kv, "a.b.c", "k", true), "\"of a.b\"");
    bool existed;
    CHECK_OK(sl_kv_remove(kv, SL_KV_VALUE, SL_S("a.b"), SL_S("k"), &existed, &t->err) && existed);
    CHECK_STR(get(t, kv, "a.b.c", "k", true), "\"of a\"");
    sl_kv_close(kv);
}

SL_TEST(kv, values_expire_and_versions_count)
{
    fixture_clock(1700000000000);
    sl_kv *kv = fixture_kv(t);
    sl_kv_entry e;
    bool found;
    CHECK_OK(put(t, kv, "n", "k", "\"1\"", 0) && put(t, kv, "n", "k", "\"2\"", 0) && put(t, kv, "n", "short", "\"x\"", 60000));
    CHECK_OK(sl_kv_find(kv, t->arena, SL_KV_VALUE, SL_S("n"), SL_S("k"), false, &found, &e, &t->err));
    CHECK(found && e.version == 2);
    CHECK_STR(e.value, "\"2\"");
    sl_kv_options once = { .type = SL_S("STRING"), .no_overwrite = true };
    CHECK(!sl_kv_put(kv, SL_KV_VALUE, SL_S("n"), SL_S("k"), SL_S("\"3\""), &once, &t->err));
    fixture_clock(1700000059999);
    CHECK_STR(get(t, kv, "n", "short", false), "\"x\"");
    fixture_clock(1700000060000);
    CHECK_STR(get(t, kv, "n", "short", false), "!");
    CHECK(strcmp(t->err.code, "kv.expired") == 0);
    CHECK_STR(get(t, kv, "n", "short", false), "-");
    sl_kv_close(kv);
    fixture_clock(0);
}

/* Runs SQL on the store's file, as somebody without the key could. */
static void meddle(sl_test_context *t, const char *sql)
{
    static const sl_migration none[] = { { 0, NULL } };
    sl_db *db = sl_db_open(sl_fmt(t->arena, "%s/data/other.db", sl_test_dir(t)).p, none, &t->err);
    CHECK_OK(db != NULL);
    CHECK_OK(sl_db_exec(db, sl_fmt(t->arena, "ATTACH '%s/data/kv.db' AS s; %s; DETACH s", sl_test_dir(t), sql).p, &t->err));
    sl_db_close(db);
}

SL_TEST(kv, what_was_changed_behind_its_back_does_not_open)
{
    static const char *const attacks[] = {
        "UPDATE s.entries SET key='other' WHERE key='k'",                                                              /* moved */
        "UPDATE s.entries SET ns='m'",                                                                                 /* to another namespace */
        "UPDATE s.entries SET type='JSON' WHERE key='k'",                                                              /* of another type */
        "UPDATE s.entries SET expires_ms=expires_ms+1000000 WHERE key='k'",                                            /* longer life */
        "UPDATE s.entries SET record=(SELECT record FROM s.entries WHERE key='l') WHERE key='k'",                      /* swapped */
        "UPDATE s.entries SET record=CAST(substr(record, 1, length(record) - 1) || x'00' AS BLOB) WHERE key='k'",      /* damaged */
        "DELETE FROM s.entries WHERE key='l'",                                                                         /* removed */
    };
    for (size_t i = 0; i < SL_COUNT(attacks); i++) {
        sl_kv *kv = fixture_kv(t);
        CHECK_OK(kv != NULL);
        CHECK_OK(put(t, kv, "n", "k", "\"value of k\"", 3600000) && put(t, kv, "n", "l", "\"value of l\"", 3600000));
        sl_kv_close(kv);
        meddle(t, attacks[i]);
        /* Either the store is refused as a whole, or verify says so, or the record does not open. */
        kv = fixture_kv(t);
        int64_t records;
        bool refused = kv == NULL || !sl_kv_verify(kv, &records, &t->err);
        if (!refused)
            sl_test_fail(t, __FILE__, __LINE__, "'%s' was not noticed", attacks[i]);
        sl_kv_close(kv);
        CHECK_OK(sl_fs_remove(sl_fmt(t->arena, "%s/data", sl_test_dir(t)).p, &t->err) && sl_fs_remove(sl_fmt(t->arena, "%s/config", sl_test_dir(t)).p, &t->err));
    }
}

SL_TEST(kv, an_old_copy_is_refused)
{
    const char *file = sl_fmt(t->arena, "%s/data/kv.db", sl_test_dir(t)).p;
    sl_str old;
    sl_kv *kv = fixture_kv(t);
    CHECK_OK(put(t, kv, "n", "k", "\"old\"", 0));
    sl_kv_close(kv);
    CHECK_OK(sl_fs_read(t->arena, file, 1 << 24, &old, &t->err));
    kv = fixture_kv(t);
    CHECK_OK(put(t, kv, "n", "k", "\"new\"", 0));
    sl_kv_close(kv);
    CHECK_OK(sl_fs_write_atomic(file, old, 0600, &t->err));
    CHECK_ERR((kv = fixture_kv(t)) != NULL, "an old copy was put back");
    /* Who did it on purpose says so. */
    kv = sl_kv_open(file, sl_fmt(t->arena, "%s/data", sl_test_dir(t)).p, true, &t->err);
    CHECK_OK(kv != NULL);
    CHECK_STR(get(t, kv, "n", "k", false), "\"old\"");
    sl_kv_close(kv);
}

/* Without it an older copy could not be told: so the store stays closed. */
SL_TEST(kv, what_was_last_seen_can_be_read)
{
    glob_t found;
    const char *data = sl_fmt(t->arena, "%s/data", sl_test_dir(t)).p, *file = sl_fmt(t->arena, "%s/kv.db", data).p;
    sl_kv *kv = fixture_kv(t);
    CHECK_OK(put(t, kv, "n", "k", "\"v\"", 0));
    sl_kv_close(kv);
    CHECK(glob(sl_fmt(t->arena, "%s/config/sluice/head-*", sl_test_dir(t)).p, 0, NULL, &found) == 0 && found.gl_pathc == 1);
    const char *head = found.gl_pathv[0];
    CHECK_OK(sl_fs_write_atomic(head, SL_S("no number\n"), 0600, &t->err));
    CHECK_ERR((kv = fixture_kv(t)) != NULL, "does not hold the number of the last change of the store");
    CHECK_OK(sl_fs_remove(head, &t->err) && sl_fs_mkdirs(head, &t->err));
    CHECK_ERR((kv = fixture_kv(t)) != NULL, "looking up which change of the store was last seen here");
    CHECK_OK(sl_fs_remove(head, &t->err) && sl_fs_write_atomic(head, SL_S("x"), 0600, &t->err));
    kv = sl_kv_open(file, data, true, &t->err);
    CHECK_OK(kv != NULL);
    sl_kv_close(kv);
    kv = fixture_kv(t);
    CHECK_OK(kv != NULL);
    CHECK_STR(get(t, kv, "n", "k", false), "\"v\"");
    sl_kv_close(kv);
    globfree(&found);
}

SL_TEST(kv, keys_rotate)
{
    int64_t records;
    sl_kv *kv = fixture_kv(t);
    for (int i = 0; i < 300; i++)
        CHECK_OK(put(t, kv, "n", sl_fmt(t->arena, "k%d", i).p, sl_fmt(t->arena, "\"v%d\"", i).p, 0));
    sl_str sealed, plain;
    CHECK_OK(sl_kv_seal(kv, t->arena, "checkpoint", SL_S("run-1"), SL_S("a session"), &sealed, &t->err));
    CHECK_OK(sl_kv_rotate(kv, &records, &t->err));
    CHECK_INT(records, 300);
    CHECK_STR(get(t, kv, "n", "k299", false), "\"v299\"");
    CHECK_OK(sl_kv_unseal(kv, t->arena, "checkpoint", SL_S("run-1"), sealed, &plain, &t->err)); /* what others keep still opens */
    CHECK_STR(plain, "a session");
    CHECK(!sl_kv_unseal(kv, t->arena, "checkpoint", SL_S("run-2"), sealed, &plain, &t->err));
    CHECK(!sl_kv_unseal(kv, t->arena, "state", SL_S("run-1"), sealed, &plain, &t->err));
    CHECK_OK(sl_kv_verify(kv, &records, &t->err) && records == 300);
    sl_kv_close(kv);
    /* Without the key it says so, and where it was looked for. */
    CHECK_OK(sl_fs_remove(sl_fmt(t->arena, "%s/config/sluice/sluice.kek", sl_test_dir(t)).p, &t->err));
    CHECK_ERR((kv = fixture_kv(t)) != NULL, "its key file");
}

SL_TEST(kv, types_go_there_and_back)
{
    static const char *const cases[][3] = { { "\"text\"", "STRING", "text" },         { "41", "NUMBER", "41" },      { "1.5", "NUMBER", "1.5" },
                                            { "true", "BOOLEAN", "true" },            { "{\"a\":[1]}", "JSON", "{\"a\":[1]}" } };
    for (size_t i = 0; i < SL_COUNT(cases); i++) {
        sl_kv_entry e = { .type = sl_str_c(cases[i][1]) };
        sl_str type;
        const sl_val *v = sl_json_parse(t->arena, sl_str_c(cases[i][0]), &t->err);
        CHECK_OK(sl_kv_encode(t->arena, v, SL_S(""), &e.value, &type, &t->err));
        CHECK_STR(type, cases[i][1]);
        CHECK_OK((v = sl_kv_decode(t->arena, &e, &t->err)) != NULL);
        CHECK_STR(sl_val_text(t->arena, v), cases[i][2]);
    }
    sl_str json, type;
    CHECK(!sl_kv_encode(t->arena, sl_val_c(t->arena, "no number"), SL_S("NUMBER"), &json, &type, &t->err));
    CHECK(!sl_kv_key_ok(SL_S("a b"), &t->err) && !sl_kv_key_ok(SL_S(""), &t->err) && sl_kv_key_ok(SL_S("a.b-c_1"), &t->err));
}
