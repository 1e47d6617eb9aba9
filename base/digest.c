/* base/digest.c: digests by OpenSSL, and how a CRC is written. Declared in io.h. */
#include <openssl/evp.h>

#include "base/arena.h"
#include "base/io.h"

sl_str sl_crc32c_base64(sl_arena *arena, uint32_t crc)
{
    char bytes[4] = { (char)(crc >> 24), (char)(crc >> 16 & 255), (char)(crc >> 8 & 255), (char)(crc & 255) };
    return sl_base64(arena, (sl_str){ bytes, 4 });
}

struct sl_hash {
    EVP_MD_CTX *ctx;
};

static void hash_free(void *ctx)
{
    EVP_MD_CTX_free(ctx);
}

sl_hash *sl_hash_new(sl_arena *arena, const char *name)
{
    sl_hash *h = SL_NEW(arena, sl_hash);
    h->ctx = EVP_MD_CTX_new();
    sl_assert(h->ctx != NULL);
    sl_arena_on_free(arena, hash_free, h->ctx);
    const EVP_MD *md = EVP_get_digestbyname(name);
    sl_assert(md != NULL);
    int rc = EVP_DigestInit_ex(h->ctx, md, NULL);
    sl_assert(rc == 1);
    return h;
}

void sl_hash_add(sl_hash *h, const void *data, size_t n)
{
    int rc = EVP_DigestUpdate(h->ctx, data, n);
    sl_assert(rc == 1);
}

sl_str sl_hash_end(sl_hash *h, sl_arena *arena)
{
    unsigned char out[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int rc = EVP_DigestFinal_ex(h->ctx, out, &n);
    sl_assert(rc == 1);
    return sl_str_dup(arena, (sl_str){ (const char *)out, n });
}

sl_str sl_digest(sl_arena *arena, const char *name, sl_str data)
{
    sl_hash *h = sl_hash_new(arena, name);
    sl_hash_add(h, data.p ? data.p : "", data.n);
    return sl_hash_end(h, arena);
}
