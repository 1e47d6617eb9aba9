/*
 * base/made_file.h: a file that several threads write, each its piece at its place. It comes into its place whole: by rename, after
 * fsync, with the CRC32C of its content, which is put together from those of the pieces (summed.h).
 * Threads: writing and asking from any; opening, finish and close belong to one.
 */
#pragma once

#include "base/io.h"

typedef struct sl_made_file sl_made_file;

sl_made_file *sl_made_file_new(const char *path, sl_err *err);
/* No byte twice. */
bool sl_made_file_write(sl_made_file *f, int64_t at, const void *from, size_t n, sl_err *err);
/* So many bytes from the beginning on are there; *ret_crc, which may be NULL: their CRC32C. */
int64_t sl_made_file_begun(sl_made_file *f, uint32_t *ret_crc);
/* Of those that are there. */
bool sl_made_file_read(sl_made_file *f, int64_t at, void *to, size_t n, sl_err *err);
bool sl_made_file_finish(sl_made_file *f, sl_err *err);
/* Without finish() nothing is left. *f may be NULL, and is afterwards. */
void sl_made_file_close(sl_made_file **f);
#define SL_MADE_FILE SL_CLEANUP(sl_made_file_close) sl_made_file *
