/*
 * base/joined.h: the CRC of a whole from those of its pieces, which come in any order. Threads: any; it has a lock.
 */
#pragma once

#include "base/checksum.h"

typedef struct sl_joined sl_joined;

sl_joined *sl_joined_new(sl_algorithm a);  /* one that sl_checksum_joins */
/* The bytes at..at+n-1, their CRC alone. Pieces do not overlap. */
void sl_joined_add(sl_joined *j, int64_t at, int64_t n, uint64_t crc);
/* So many bytes from the beginning on are there without a gap; *ret_crc: theirs. */
int64_t sl_joined_begun(sl_joined *j, uint64_t *ret_crc);
void sl_joined_free(sl_joined *j);         /* NULL is allowed */
