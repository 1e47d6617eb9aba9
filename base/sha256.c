/* base/sha256.c: see sha256.h. */
#include "base/sha256.h"

#include <openssl/evp.h>
#include <pthread.h>

#include "base/secret.h"

enum { BLOCK = 64 };

static const EVP_MD *algorithm; /* lives as long as the process */

static void fetch(void)
{
    algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
}

/* The hash of `first` and then `second`. */
static void hash(EVP_MD_CTX *c, sl_str first, sl_str second, uint8_t out[static SL_SHA256])
{
    bool ok = EVP_DigestInit_ex2(c, algorithm, NULL) == 1 && EVP_DigestUpdate(c, first.p, first.n) == 1 && EVP_DigestUpdate(c, second.p, second.n) == 1 && EVP_DigestFinal_ex(c, out, NULL) == 1;
    sl_assert(ok);
}

static EVP_MD_CTX *context(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, fetch);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    sl_assert(algorithm != NULL && c != NULL);
    return c;
}

void sl_sha256(sl_str data, uint8_t out[static SL_SHA256])
{
    EVP_MD_CTX *c = context();
    hash(c, data, SL_S(""), out);
    EVP_MD_CTX_free(c);
}

sl_str sl_sha256_hex(sl_arena *arena, sl_str data)
{
    uint8_t out[SL_SHA256];
    sl_sha256(data, out);
    return sl_hex(arena, (sl_str){ (const char *)out, sizeof out });
}

void sl_hmac_sha256(sl_str key, sl_str text, uint8_t out[static SL_SHA256])
{
    uint8_t inner[BLOCK], outer[BLOCK], short_key[SL_SHA256];
    EVP_MD_CTX *c = context();
    if (key.n > BLOCK) {
        hash(c, key, SL_S(""), short_key);
        key = (sl_str){ (const char *)short_key, sizeof short_key };
    }
    for (size_t i = 0; i < BLOCK; i++) {
        uint8_t k = i < key.n ? (uint8_t)key.p[i] : 0;
        inner[i] = k ^ 0x36;
        outer[i] = k ^ 0x5c;
    }
    hash(c, (sl_str){ (const char *)inner, BLOCK }, text, out);
    hash(c, (sl_str){ (const char *)outer, BLOCK }, (sl_str){ (const char *)out, SL_SHA256 }, out);
    sl_wipe(inner, sizeof inner);
    sl_wipe(outer, sizeof outer);
    sl_wipe(short_key, sizeof short_key);
    EVP_MD_CTX_free(c);
}
