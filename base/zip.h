/*
 * base/zip.h: the entries of a ZIP file, by libzip.
 *
 * Nothing is trusted: an entry gives an error when it is larger than its reader's limit, whatever the directory says, and when its
 * CRC is wrong. One thread for each archive and its readers.
 */
#pragma once

#include "base/io.h"

typedef struct sl_zip sl_zip;

/* NULL with err. The file stays open until sl_zip_close; of bytes, they are the caller's for that long. */
sl_zip *sl_zip_open(const char *path, sl_err *err);
sl_zip *sl_zip_memory(sl_str bytes, sl_err *err);
void sl_zip_close(sl_zip *z);             /* NULL is fine */
size_t sl_zip_count(const sl_zip *z);
/* As it is in the archive (UTF-8): it may be absolute and hold "..". "" of one without. Valid until sl_zip_close. A folder's ends with '/'. */
sl_str sl_zip_name(const sl_zip *z, size_t index);
/* false: there is none. */
bool sl_zip_find(const sl_zip *z, const char *name, size_t *ret_index);
/* bytes_max: more of them, unpacked, are an error. To be closed before the archive. NULL with err. */
sl_reader *sl_zip_read(sl_zip *z, size_t index, int64_t bytes_max, sl_err *err);

/* ---- writing ---- */

/* A new archive at `path`, which is there once sl_zip_finish returns true; sl_zip_close without that leaves nothing. */
sl_zip *sl_zip_new(const char *path, sl_err *err);
/* The bytes must stay until sl_zip_finish. */
bool sl_zip_add(sl_zip *z, sl_str name, sl_str bytes, sl_err *err);
/* The file is read by sl_zip_finish. */
bool sl_zip_add_file(sl_zip *z, sl_str name, const char *path, sl_err *err);
bool sl_zip_finish(sl_zip *z, sl_err *err);
