/*
 * base/behind.h: a writer whose bytes another thread takes to the next one, so that making them and writing them (its checksums, the
 * kernel's copying, the disk) go on at the same time. Short streams stay on the caller's thread.
 *
 * What fails there is told by the next write, or by finish. Threads: the writer belongs to one thread, as all do; `to` is used by the
 * other one from the first bytes until finish or close.
 */
#pragma once

#include "base/io.h"

/* Takes over `to`. */
sl_writer *sl_writer_behind(sl_writer *to);
