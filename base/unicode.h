/*
 * base/unicode.h: UTF-8 text: letters in upper and lower case as Java maps them, and UTF-16 units, in which Java counts.
 * What is not UTF-8 passes as it is. Threads: any. Source: Unicode's UnicodeData.txt (by the C library), SpecialCasing.txt.
 */
#pragma once

#include "base/str.h"

/* ß becomes SS, ﬁ becomes FI. */
sl_str sl_unicode_upper(sl_arena *arena, sl_str s);
/* A Σ at the end of a word becomes ς. */
sl_str sl_unicode_lower(sl_arena *arena, sl_str s);
/* The first character of each word (all: or of the first alone) in upper case, one character for one: ß stays. */
sl_str sl_unicode_capital(sl_arena *arena, sl_str s, bool all);
/* Bytes of the character that s begins with, and what it is; 1 and the byte itself where it is none. s.n > 0. */
size_t sl_unicode_char(sl_str s, uint32_t *ret);
/* UTF-16 units of the text, and the byte at which such a unit begins (of a pair: its character). */
size_t sl_unicode_units(sl_str s);
size_t sl_unicode_offset(sl_str s, size_t unit);
