/* base/crc_isal.c: CRC32C and CRC-32 by Intel's ISA-L, at the speed of the cache. Declared in io.h. */
#include <isa-l/crc.h>

#include "base/io.h"

enum { STEP = 1 << 30 };          /* bytes; crc32_iscsi counts them in an int */

uint32_t sl_crc32c(uint32_t crc, const void *data, size_t n)
{
    unsigned char *p = (unsigned char *)(uintptr_t)data; /* it only reads, but does not say so */
    unsigned int state = ~crc;
    for (; n > STEP; p += STEP, n -= STEP)
        state = crc32_iscsi(p, STEP, state);
    return ~crc32_iscsi(p, (int)n, state);
}

uint32_t sl_crc32(uint32_t crc, const void *data, size_t n)
{
    return crc32_gzip_refl(crc, data, n);
}
