/*
 * connectors/s3/checksum.h: the checksums that S3 knows.
 * Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
 */
#pragma once

#include "base/io.h"

typedef enum sl_s3_algorithm { SL_S3_CRC32C, SL_S3_CRC32, SL_S3_CRC64NVME, SL_S3_SHA1, SL_S3_SHA256, SL_S3_MD5 } sl_s3_algorithm;

typedef struct sl_s3_sum {
    sl_s3_algorithm algorithm;
    uint64_t crc;
    sl_hash *hash;
} sl_s3_sum;

/* "CRC32C" (also Kestra's CRC32_C), "SHA256", …; false: there is no such one. */
bool sl_s3_algorithm_find(sl_str name, sl_s3_algorithm *ret);
const char *sl_s3_algorithm_name(sl_s3_algorithm a);   /* as in x-amz-checksum-algorithm and <Checksum…> */
const char *sl_s3_algorithm_header(sl_s3_algorithm a); /* x-amz-checksum-crc32c; MD5: content-md5 */

sl_s3_sum sl_s3_sum_new(sl_arena *arena, sl_s3_algorithm a);
void sl_s3_sum_add(sl_s3_sum *s, const void *data, size_t n);
sl_str sl_s3_sum_end(sl_s3_sum *s, sl_arena *arena);   /* raw bytes, big-endian */

/* The sums of bytes begin..end-1 of a file, in one reading. `stop` as in sl_io_copy. */
bool sl_s3_sum_file(int fd, const char *path, int64_t begin, int64_t end, sl_s3_sum *sums, size_t n, bool (*stop)(void *), void *stop_arg, sl_err *err);
