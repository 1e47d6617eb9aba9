/*
 * base/jq.h: the jq language on values, by libjq, in a process of its own: 256 MB, 100,000 results and so many ms are the most
 * that a program has, and a fault of the library is an error like another. Threads: any; it blocks.
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

enum { SL_JQ_MS = 10000 };

/* All results of the program on `input`, as a list. NULL with err: CONFIG (no program), DATA (it failed, or wanted too much). */
const sl_val *sl_jq(sl_arena *arena, const sl_val *input, sl_str program, int64_t max_ms, sl_err *err);
