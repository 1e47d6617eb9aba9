/*
 * connectors/script/tar.h: a folder as a tar stream, and back: how files come into containers and out of them.
 *
 * Written: POSIX ustar, with pax records for what does not fit (long names, sizes over 8 GiB). Read: that, and GNU's long names.
 * Only folders and regular files; links and devices are passed over. Source: IEEE Std 1003.1-2017, pax, "pax Interchange Format".
 * Memory: one block. One thread.
 */
#pragma once

#include "base/io.h"

/*
 * Everything below `root`, named below `prefix` (relative, such as "work/x"), readable for everybody. *ret_size: bytes of the whole
 * stream. Files that change their size meanwhile are an error. root and prefix must outlive the reader.
 */
sl_reader *sl_tar_reader(sl_arena *arena, sl_str root, sl_str prefix, size_t max_files, int64_t *ret_size, sl_err *err);

/*
 * Unpacks into `root`, without the first part of the names and without what begins with `skip` behind it. Names that lead out of
 * `root` are errors. finish() says whether the stream was whole.
 */
sl_writer *sl_tar_writer(sl_arena *arena, sl_str root, sl_str skip, size_t max_files);
