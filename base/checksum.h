/*
 * base/checksum.h: checksums by name: those that object stores know.
 * Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
 */
#pragma once

#include "base/io.h"

typedef enum sl_algorithm { SL_SUM_CRC32C, SL_SUM_CRC32, SL_SUM_CRC64NVME, SL_SUM_SHA1, SL_SUM_SHA256, SL_SUM_MD5 } sl_algorithm;

typedef struct sl_checksum {
    sl_algorithm algorithm;
    uint64_t crc;
    sl_hash *hash;
} sl_checksum;

/* "CRC32C" (also Kestra's CRC32_C), "SHA256", …; false: there is no such one. */
bool sl_checksum_find(sl_str name, sl_algorithm *ret);
const char *sl_checksum_name(sl_algorithm a);   /* "CRC32C" */

sl_checksum sl_checksum_new(sl_arena *arena, sl_algorithm a);
void sl_checksum_add(sl_checksum *s, const void *data, size_t n);
sl_str sl_checksum_end(sl_checksum *s, sl_arena *arena);   /* raw bytes, big-endian */

/* Of a CRC: that of two pieces of bytes, one behind the other, from theirs. */
bool sl_checksum_joins(sl_algorithm a);
uint64_t sl_checksum_join(sl_algorithm a, uint64_t first, uint64_t second, int64_t second_size);

/* The sums of bytes begin..end-1 of a file, in one reading. `stop` as in sl_io_copy. */
bool sl_checksum_file(int fd, const char *path, int64_t begin, int64_t end, sl_checksum *sums, size_t n, bool (*stop)(void *), void *stop_arg, sl_err *err);
