/*
 * connectors/serdes/numfmt.h: a value as Excel shows it under a number format. Pure.
 *
 * Sections with their signs and conditions, digits, thousands, scaling, percent, exponents, fractions, dates, times that run past a
 * day, currencies, text. In English, whatever locale a format names; colours and widths are left out.
 * Source: ECMA-376 part 1, 18.8.30 and 18.8.31.
 */
#pragma once

#include "base/arena.h"
#include "base/str.h"

enum { SL_NUMFMT_BUILT_IN = 50 };

/* The format of a number that needs none in the file: 14 is "m/d/yy". NULL: there is none, or "General". */
const char *sl_numfmt_built_in(int64_t id);
sl_str sl_numfmt_number(sl_arena *arena, sl_str format, double value, bool since_1904);
sl_str sl_numfmt_text(sl_arena *arena, sl_str format, sl_str text);

/* ---- shared by numfmt.c, numfmt_digits.c and numfmt_date.c: one section of a format ---- */

typedef enum sl_numfmt_kind {
    SL_NF_LITERAL,                /* text */
    SL_NF_DIGIT,                  /* 0, # or ? */
    SL_NF_POINT,
    SL_NF_COMMA,
    SL_NF_PERCENT,
    SL_NF_EXPONENT,               /* E+ or E- */
    SL_NF_SLASH,
    SL_NF_AT,
    SL_NF_GENERAL,
    SL_NF_DATE,                   /* y, m, d, h, s: so many of one letter */
    SL_NF_ELAPSED,                /* [h], [m], [s] */
    SL_NF_HALF,                   /* AM/PM, A/P */
} sl_numfmt_kind;

typedef struct sl_numfmt_token {
    sl_numfmt_kind kind;
    char c;                       /* digit: which; date and elapsed: its letter, n for minutes; exponent: its sign; half: A for A/P */
    size_t n;                     /* of date and elapsed: how many letters */
    sl_str text;                  /* of a literal */
} sl_numfmt_token;

enum { SL_NF_TOKENS = 128 };

typedef struct sl_numfmt_section {
    sl_numfmt_token tokens[SL_NF_TOKENS];
    size_t count;
    char condition[3];            /* "<", ">=", …; "": none */
    double bound;
    bool date, at;
} sl_numfmt_section;

/* value: not negative. General as a cell shows it. */
sl_str sl_numfmt_general(sl_arena *arena, double value);
sl_str sl_numfmt_digits(sl_arena *arena, const sl_numfmt_section *s, double value);
/* false: the date is out of the calendar. */
bool sl_numfmt_date(sl_arena *arena, const sl_numfmt_section *s, double value, bool since_1904, sl_str *ret);
