/*
 * base/ion.h: Ion text, the format of record files in internal storage (connectors reference A0.4).
 *
 * Source: the Amazon Ion 1.0 text specification; the subset that Kestra writes and reads: null, bool, int, decimal, float,
 * timestamp, string, symbol, blob, list, struct, and one annotation. Threads: no state.
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

/* One value, no line end. Numbers: a double is an Ion float (always with an exponent). */
void sl_ion_write(sl_buf *out, sl_arena *arena, const sl_val *v);
/* Reads the value at the start of *rest and moves past it. NULL with kind NONE at the end of the text. */
const sl_val *sl_ion_read(sl_arena *arena, sl_str *rest, sl_err *err);
