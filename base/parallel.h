/*
 * base/parallel.h: the same work for 0..count-1 on a few threads, the caller's among them.
 *
 * fn gets an arena of its own for each item. The first error ends it: nothing new is begun, what runs comes to its end.
 */
#pragma once

#include "base/err.h"

typedef bool (*sl_parallel_fn)(void *self, size_t index, sl_arena *arena, sl_err *err);

/* threads: at least 1, at most 64. */
bool sl_parallel(size_t threads, size_t count, sl_parallel_fn fn, void *self, sl_err *err);
