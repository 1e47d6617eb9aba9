/* tests/unit/test_kv.c: XAES-256-GCM against the vectors of its specification (https://c2sp.org/XAES-256-GCM). */
#include <string.h>

#include "base/arena.h"
#include "base/str.h"
#include "kv/crypto.h"
#include "tests/harness/test.h"

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
