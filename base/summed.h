/*
 * base/summed.h: files that carry the size and the CRC32C of their content, so that a disk which returns something else is found out.
 *
 * Both lie in an extended attribute: it comes and goes with the file in one rename, and needs no file beside it. Where the file
 * system keeps none, files carry nothing and every check holds. A file is read for a check once: what this process wrote or has
 * checked is known by its inode and time. Threads: every function may be called from any thread.
 */
#pragma once

#include "base/io.h"

#define SL_SUMMED_ATTRIBUTE "user.sluice.crc32c"   /* "SIZE CRC", decimal and 8 hex digits */

/* As sl_writer_file. */
sl_writer *sl_writer_summed(const char *path, sl_err *err);
/* For a file that came to its place in another way. Reads it. `stop` as in sl_io_copy. */
bool sl_summed_add(const char *path, bool (*stop)(void *), void *stop_arg, sl_err *err);
/* SL_ERR_IO "file.damaged" when the content is not what was written. what: its name in that message. */
bool sl_summed_check(const char *path, const char *what, bool (*stop)(void *), void *stop_arg, sl_err *err);
/* The same, whatever is known; *ret_carries: there was something to compare with. */
bool sl_summed_check_anew(const char *path, const char *what, bool *ret_carries, sl_err *err);

/* Before the last fsync of a file. */
bool sl_summed_set(int fd, const char *path, int64_t size, uint32_t crc, sl_err *err);
/* It is in its place, and need not be read again. */
void sl_summed_know(int fd);
