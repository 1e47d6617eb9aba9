/*
 * base/str.h: string views, a bounded string builder, strict number parsing, encodings.
 *
 * Parsers accept the whole text or nothing: no leading blanks, no trailing rubbish, no locale.
 * Threads: none of these functions has state.
 */
#pragma once

#include <stdarg.h>

#include "base/base.h"

/* Views. */
sl_str sl_str_c(const char *text);                 /* NULL gives the empty view */
bool sl_str_eq(sl_str a, sl_str b);
bool sl_str_eqc(sl_str a, const char *b);
bool sl_str_ieq(sl_str a, sl_str b);               /* ASCII case only */
int sl_str_cmp(sl_str a, sl_str b);                /* byte order */
bool sl_str_starts(sl_str s, sl_str prefix);
bool sl_str_ends(sl_str s, sl_str suffix);
ptrdiff_t sl_str_find(sl_str s, sl_str what);      /* first offset or -1; the empty string is found at 0 */
ptrdiff_t sl_str_rfind(sl_str s, sl_str what);
sl_str sl_str_sub(sl_str s, size_t from, size_t to); /* clamped */
sl_str sl_str_trim(sl_str s);                      /* ASCII white space */
/* Cuts *rest at the first `separator`: returns the part before, leaves the part after. false when *rest.p is NULL (the end). */
bool sl_str_cut(sl_str *rest, char separator, sl_str *part);
uint64_t sl_str_hash(sl_str s);
/* Levenshtein distance up to `most`; larger distances give most + 1. For "did you mean". */
size_t sl_str_distance(sl_str a, sl_str b, size_t most);
bool sl_str_is_utf8(sl_str s);

/* Copies into an arena, NUL behind. */
sl_str sl_str_dup(sl_arena *arena, sl_str s);
const char *sl_cstr(sl_arena *arena, sl_str s);
sl_str sl_fmt(sl_arena *arena, const char *fmt, ...) SL_PRINTF(2, 3);
sl_str sl_vfmt(sl_arena *arena, const char *fmt, va_list ap);
/* The parts behind one another. */
sl_str sl_cat(sl_arena *arena, const sl_str *parts, size_t count);
#define SL_CAT(arena, ...) sl_cat((arena), (const sl_str[]){ __VA_ARGS__ }, sizeof((const sl_str[]){ __VA_ARGS__ }) / sizeof(sl_str))
sl_str sl_str_lower(sl_arena *arena, sl_str s);    /* ASCII */
sl_str sl_str_upper(sl_arena *arena, sl_str s);
sl_str sl_str_replace(sl_arena *arena, sl_str s, sl_str what, sl_str with);

/* Builder. Past `max` bytes it stops growing and `overflow` stays set: check it once at the end. */
typedef struct sl_buf {
    sl_arena *arena;
    char *p;
    size_t n, capacity, max;
    bool overflow;
} sl_buf;

sl_buf sl_buf_new(sl_arena *arena, size_t max);
void sl_buf_add(sl_buf *b, sl_str s);
void sl_buf_addc(sl_buf *b, const char *text);
void sl_buf_int(sl_buf *b, int64_t i);
void sl_buf_char_more(sl_buf *b, char c); /* for sl_buf_char */
static inline void sl_buf_char(sl_buf *b, char c)
{
    if (b->n + 1 < b->capacity && b->n < b->max && !b->overflow)
        b->p[b->n++] = c;
    else
        sl_buf_char_more(b, c);
}
void sl_buf_fmt(sl_buf *b, const char *fmt, ...) SL_PRINTF(2, 3);
/* Room for n more bytes at the returned place (NULL on overflow); account for them with b->n += used. */
char *sl_buf_room(sl_buf *b, size_t n);
/* The text so far, NUL behind; valid until the next change. */
sl_str sl_buf_str(sl_buf *b);

/* Numbers. */
bool sl_parse_int(sl_str s, int64_t *ret);         /* [+-]digits, int64 range */
bool sl_parse_size(sl_str s, int64_t *ret);        /* bytes: "10MB", "1.5 GB", "512"; units are powers of 1024, as Kestra counts */
bool sl_parse_uint(sl_str s, uint64_t *ret);
bool sl_parse_double(sl_str s, double *ret);       /* decimal with optional fraction and exponent; not nan, inf, hex */
/* The fewest digits that read back as the same double, d.ddd × 10^*exponent; d is finite and greater than 0. Returns how many. */
int sl_double_digits(double d, char digits[20], int *exponent);
/* sl_double_text, in place; returns its length. */
size_t sl_double_java(double d, char to[40]);
/* Shortest text that reads back as the same double, in Java's form: 1.5, 1.0, 1.0E10, NaN, Infinity. */
sl_str sl_double_text(sl_arena *arena, double d);
sl_str sl_float_text(sl_arena *arena, float f);

/* Encodings. Decoders return false on anything that is not exactly the encoding. */
sl_str sl_hex(sl_arena *arena, sl_str bytes);
sl_str sl_base64(sl_arena *arena, sl_str bytes);
sl_str sl_base64url(sl_arena *arena, sl_str bytes);      /* no padding */
bool sl_base64_decode(sl_arena *arena, sl_str text, sl_str *ret);    /* either alphabet, padding optional, blanks refused */
/* RFC 3986: all but unreserved characters as %XX; `keep` lists further characters to leave. */
sl_str sl_percent(sl_arena *arena, sl_str s, const char *keep);
bool sl_percent_decode(sl_arena *arena, sl_str s, bool plus_is_space, sl_str *ret);
