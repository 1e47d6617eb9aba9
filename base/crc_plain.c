/* base/crc_plain.c: CRC32C by the processor's own instruction where it has one, CRC-32 by zlib: where there is no ISA-L. Declared in io.h. */
#include <zlib.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

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
__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t crc, const unsigned char *p, size_t n)
{
    uint64_t wide = crc, x;
    for (; n >= sizeof x; p += sizeof x, n -= sizeof x) {
        memcpy(&x, p, sizeof x);
        wide = _mm_crc32_u64(wide, x);
    }
    return crc_bytes((uint32_t)wide, p, n);
}
#endif

uint32_t sl_crc32c(uint32_t crc, const void *data, size_t n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_hardware(~crc, data, n);
#endif
    return ~crc_bytes(~crc, data, n);
}

uint32_t sl_crc32(uint32_t crc, const void *data, size_t n)
{
    return (uint32_t)crc32_z(crc, data, n);
}
