/*
 * flows/number_format.h: numbers as java.text.DecimalFormat writes them in English: 0 # . , E % ‰ ; and quoted text. HALF_EVEN.
 * Threads: no state. Source: https://docs.oracle.com/en/java/javase/21/docs/api/java.base/java/text/DecimalFormat.html
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

/* number: SL_INT or SL_DOUBLE. false with err (CONFIG): the pattern is none, and what is wrong with it. */
bool sl_number_format(sl_arena *arena, sl_str pattern, const sl_val *number, sl_str *ret, sl_err *err);
