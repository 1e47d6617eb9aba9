/* base/checksum.c: see checksum.h. */
#include "base/checksum.h"

#include <unistd.h>

#include "base/arena.h"

static const struct {
    const char *name, *alias, *digest;
    uint64_t polynomial;          /* of a CRC, reflected: bit 0 is the highest power */
    int width;
} known[] = {
    [SL_SUM_CRC32C] = { "CRC32C", "CRC32_C", NULL, 0x82F63B78, 32 },
    [SL_SUM_CRC32] = { "CRC32", "CRC32", NULL, 0xEDB88320, 32 },
    [SL_SUM_CRC64NVME] = { "CRC64NVME", "CRC64_NVME", NULL, 0x9A6C9329AC4BC9B5ULL, 64 },
    [SL_SUM_SHA1] = { "SHA1", "SHA1", "SHA1", 0, 0 },
    [SL_SUM_SHA256] = { "SHA256", "SHA256", "SHA256", 0, 0 },
    [SL_SUM_MD5] = { "MD5", "MD5", "MD5", 0, 0 },
};

bool sl_checksum_find(sl_str name, sl_algorithm *ret)
{
    for (size_t i = 0; i < SL_SUM_MD5; i++)
        if (sl_str_ieq(name, sl_str_c(known[i].name)) || sl_str_ieq(name, sl_str_c(known[i].alias))) {
            *ret = (sl_algorithm)i;
            return true;
        }
    return false;
}

const char *sl_checksum_name(sl_algorithm a)
{
    return known[a].name;
}

sl_checksum sl_checksum_new(sl_arena *arena, sl_algorithm a)
{
    return (sl_checksum){ .algorithm = a, .hash = known[a].digest ? sl_hash_new(arena, known[a].digest) : NULL };
}

void sl_checksum_add(sl_checksum *s, const void *data, size_t n)
{
    if (s->hash != NULL)
        sl_hash_add(s->hash, data, n);
    else if (s->algorithm == SL_SUM_CRC32C)
        s->crc = sl_crc32c((uint32_t)s->crc, data, n);
    else if (s->algorithm == SL_SUM_CRC32)
        s->crc = sl_crc32((uint32_t)s->crc, data, n);
    else
        s->crc = sl_crc64nvme(s->crc, data, n);
}

sl_str sl_checksum_end(sl_checksum *s, sl_arena *arena)
{
    if (s->hash != NULL)
        return sl_hash_end(s->hash, arena);
    size_t n = s->algorithm == SL_SUM_CRC64NVME ? 8 : 4;
    char *bytes = sl_alloc(arena, n);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(s->crc >> (8 * (n - 1 - i)) & 255);
    return (sl_str){ bytes, n };
}

/* ---- of two pieces ---- */

/* a * b modulo the polynomial. */
static uint64_t times(sl_algorithm algorithm, uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (int bit = known[algorithm].width - 1; bit >= 0; bit--) {
        product ^= b & (0 - (a >> bit & 1));
        b = b >> 1 ^ (known[algorithm].polynomial & (0 - (b & 1)));
    }
    return product;
}

bool sl_checksum_joins(sl_algorithm a)
{
    return known[a].width > 0;
}

/* x^(8n) */
static uint64_t power_of(sl_algorithm a, int64_t bytes)
{
    uint64_t power = 1ULL << (known[a].width - 9), product = 1ULL << (known[a].width - 1); /* x^8, 1 */
    for (uint64_t n = (uint64_t)bytes; n > 0; n >>= 1) {
        if (n & 1)
            product = times(a, power, product);
        power = times(a, power, power);
    }
    return product;
}

/* n zero bytes behind the first piece multiply it by x^(8n); what a CRC begins and ends with cancels out in the sum. */
uint64_t sl_checksum_join(sl_algorithm a, uint64_t first, uint64_t second, int64_t second_size)
{
    /* Most pieces are as long as the one before. */
    static _Thread_local struct {
        sl_algorithm algorithm;
        int64_t bytes;
        uint64_t power;
    } last = { .bytes = -1 };
    if (last.bytes != second_size || last.algorithm != a) {
        last.algorithm = a;
        last.bytes = second_size;
        last.power = power_of(a, second_size);
    }
    return times(a, last.power, first) ^ second;
}

enum { FILE_BLOCK = 128 << 10 }; /* stays in the second cache between its copy and its sum */

bool sl_checksum_file(int fd, const char *path, int64_t begin, int64_t end, sl_checksum *sums, size_t n, bool (*stop)(void *), void *stop_arg, sl_err *err)
{
    char *block = sl_malloc(FILE_BLOCK);
    bool ok = true;
    while (ok && begin < end) {
        ssize_t got = pread(fd, block, end - begin < FILE_BLOCK ? (size_t)(end - begin) : FILE_BLOCK, begin);
        if (got < 0)
            ok = sl_err_errno(err, "read", path);
        else if (got == 0)
            ok = sl_err_set(err, SL_ERR_DATA, "upload.short", "'%s' became shorter while it was read", path);
        else if (stop != NULL && stop(stop_arg))
            ok = sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while reading '%s'", path);
        for (size_t i = 0; ok && i < n; i++)
            sl_checksum_add(&sums[i], block, (size_t)got);
        begin += got;
    }
    free(block);
    return ok;
}
