/* base/digest.c: CRC32C by the processor's own instruction (table otherwise), the others by OpenSSL. Declared in io.h. */
#include <openssl/evp.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>
#endif

#include "base/arena.h"
#include "base/io.h"

static uint32_t crc_bytes(uint32_t crc, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (0x82F63B78U & (0 - (crc & 1)));
    }
    return crc;
}

#if defined(__x86_64__)
enum { LANE = 1024 };

/* x^(8n) mod P by repeated squaring, to move a lane's CRC past the bytes behind it. */
static uint32_t gf_multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (int i = 0; i < 32; i++) {
        if (a & 0x80000000U)
            product ^= b;
        a <<= 1;
        b = b >> 1 ^ (0x82F63B78U & (0 - (b & 1)));
    }
    return product;
}

static uint32_t gf_shift(size_t bytes)
{
    uint32_t result = 0x80000000U, square = 0x00800000U; /* 1, and x^8 */
    for (; bytes > 0; bytes >>= 1) {
        if (bytes & 1)
            result = gf_multiply(result, square);
        square = gf_multiply(square, square);
    }
    return result;
}

/* Three independent lanes hide the instruction's latency of three cycles. */
__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t crc, const unsigned char *p, size_t n)
{
    static uint32_t shift1, shift2;
    if (__atomic_load_n(&shift2, __ATOMIC_ACQUIRE) == 0) {
        __atomic_store_n(&shift1, gf_shift(LANE), __ATOMIC_RELAXED);
        __atomic_store_n(&shift2, gf_shift(2 * LANE), __ATOMIC_RELEASE);
    }
    uint32_t by1 = __atomic_load_n(&shift1, __ATOMIC_RELAXED), by2 = __atomic_load_n(&shift2, __ATOMIC_RELAXED);
    for (; n >= 3 * LANE; p += 3 * LANE, n -= 3 * LANE) {
        uint64_t a = crc, b = 0, c = 0, x;
        for (size_t i = 0; i < LANE; i += 8) {
            memcpy(&x, p + i, 8);
            a = _mm_crc32_u64(a, x);
            memcpy(&x, p + LANE + i, 8);
            b = _mm_crc32_u64(b, x);
            memcpy(&x, p + 2 * LANE + i, 8);
            c = _mm_crc32_u64(c, x);
        }
        crc = gf_multiply((uint32_t)a, by2) ^ gf_multiply((uint32_t)b, by1) ^ (uint32_t)c;
    }
    uint64_t wide = crc;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t x;
        memcpy(&x, p, 8);
        wide = _mm_crc32_u64(wide, x);
    }
    return crc_bytes((uint32_t)wide, p, n);
}
#endif

uint32_t sl_crc32c(uint32_t crc, const void *data, size_t n)
{
    crc = ~crc;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_hardware(crc, data, n);
#endif
    return ~crc_bytes(crc, data, n);
}

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
