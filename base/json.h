/*
 * base/json.h: JSON text to values and back. Reading is jansson's; limits are base/limits.h's.
 *
 * Threads: no state. Source: RFC 8259.
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

/* Whole text, UTF-8, duplicate keys refused. err has line and column. */
const sl_val *sl_json_parse(sl_arena *arena, sl_str text, sl_err *err);
/* The same by jansson alone: what sl_json_parse does with all that is not plain (json_plain.c). For tests. */
const sl_val *sl_json_parse_exactly(sl_arena *arena, sl_str text, sl_err *err);
/* Compact. Null map values are kept. Dates and durations are written as ISO-8601 strings, NaN and infinities as null. */
sl_str sl_json(sl_arena *arena, const sl_val *v);
/* Compact, null map values left out: how an expression prints a map. */
sl_str sl_json_text(sl_arena *arena, const sl_val *v);
sl_str sl_json_pretty(sl_arena *arena, const sl_val *v);
/* Eight bytes at once: at least so many come before the first that is a quote, a backslash, or below the blank; 8: none is. */
static inline size_t sl_json_plain_bytes(const char *p)
{
    const uint64_t ones = 0x0101010101010101U, high = 0x8080808080808080U;
    uint64_t w;
    __builtin_memcpy(&w, p, 8);
    uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\';
    uint64_t found = (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((w - ones * 0x20) & ~w)) & high;
    if (found == 0)
        return 8;
    /* A borrow makes false marks behind a true one only, so the first is exact; in the other byte order, before it. */
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? (size_t)__builtin_ctzll(found) / 8 : 0;
}
/* A JSON string literal, with its quotes. */
void sl_json_quote(sl_buf *b, sl_str s);
