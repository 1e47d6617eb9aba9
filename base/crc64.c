/*
 * base/crc64.c: CRC-64/NVME, the checksum that S3 computes when nobody names another. Declared in io.h.
 *
 * By tables, eight bytes a step; with carry-less multiplication sixty-four: bytes far from the end are multiplied by a power of x and
 * added to those that are nearer, until sixteen stand for all.
 * Sources: NVM Express' NVM Command Set Specification (64b CRC); Gopal et al., "Fast CRC Computation for Generic
 * Polynomials Using PCLMULQDQ Instruction", Intel, 2009.
 */
#include <pthread.h>

#include "base/io.h"

#if defined __x86_64__
#include <immintrin.h>
#endif

#define POLYNOMIAL 0x9A6C9329AC4BC9B5ULL /* reflected: bit 63 - i is the coefficient of x^i */

static uint64_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint64_t times_x(uint64_t v)
{
    return v >> 1 ^ (POLYNOMIAL & (0 - (v & 1)));
}

static uint64_t by_table(uint64_t crc, const unsigned char *p, size_t n)
{
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t next = 0;
        for (unsigned i = 0; i < 8; i++)
            next ^= table[7 - i][(crc >> (8 * i) & 255) ^ p[i]];
        crc = next;
    }
    for (; n > 0; p++, n--)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 255];
    return crc;
}

#if defined __x86_64__
enum { STEP = 64, LEAST = 256 };  /* bytes; fewer are not worth it */

static bool multiplies;
static uint64_t far[2], near[2];  /* what both halves of sixteen bytes are multiplied by: 64 and 16 bytes ahead */

static uint64_t power(int n)
{
    uint64_t v = 1ULL << 63;
    while (n-- > 0)
        v = times_x(v);
    return v;
}

/* A product of two reflected factors comes out times x: hence one power less. The lower half is the farther one, by 64. */
static void init_powers(void)
{
    multiplies = __builtin_cpu_supports("pclmul");
    far[0] = power(8 * STEP + 63);
    far[1] = power(8 * STEP - 1);
    near[0] = power(128 + 63);
    near[1] = power(128 - 1);
}

__attribute__((target("pclmul"))) static __m128i ahead(__m128i v, __m128i powers, __m128i there)
{
    return _mm_xor_si128(there, _mm_xor_si128(_mm_clmulepi64_si128(v, powers, 0x00), _mm_clmulepi64_si128(v, powers, 0x11)));
}

/* A multiple of STEP bytes, twice that at least. */
__attribute__((target("pclmul"))) static uint64_t by_multiplying(uint64_t crc, const unsigned char *p, size_t n)
{
    const __m128i *from = (const __m128i *)(const void *)p;
    __m128i k = _mm_loadu_si128((const __m128i *)(const void *)far), v[4];
    unsigned char rest[16];
    for (int i = 0; i < 4; i++)
        v[i] = _mm_loadu_si128(from + i);
    v[0] = _mm_xor_si128(v[0], _mm_cvtsi64_si128((long long)crc));
    for (n -= STEP, from += 4; n > 0; n -= STEP, from += 4)
        for (int i = 0; i < 4; i++)
            v[i] = ahead(v[i], k, _mm_loadu_si128(from + i));
    k = _mm_loadu_si128((const __m128i *)(const void *)near);
    for (int i = 0; i < 3; i++)
        v[i + 1] = ahead(v[i], k, v[i + 1]);
    _mm_storeu_si128((__m128i *)(void *)rest, v[3]);
    return by_table(0, rest, sizeof rest);
}
#endif

static void init(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t x = i;
        for (int k = 0; k < 8; k++)
            x = times_x(x);
        table[0][i] = x;
    }
    for (unsigned i = 0; i < 256; i++)
        for (int t = 1; t < 8; t++)
            table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 255];
#if defined __x86_64__
    init_powers();
#endif
}

uint64_t sl_crc64nvme(uint64_t crc, const void *data, size_t n)
{
    const unsigned char *p = data;
    (void)pthread_once(&once, init);
    crc = ~crc;
#if defined __x86_64__
    size_t many = n / STEP * STEP;
    if (multiplies && n >= LEAST) {
        crc = by_multiplying(crc, p, many);
        p += many;
        n -= many;
    }
#endif
    return ~by_table(crc, p, n);
}
