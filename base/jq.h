/* base/jq.h: the jq language on values, by libjq. Threads: every call makes its own jq state. */
#pragma once

#include "base/err.h"
#include "base/val.h"

/* All results of the program on `input`, as a list. */
const sl_val *sl_jq(sl_arena *arena, const sl_val *input, sl_str program, sl_err *err);
