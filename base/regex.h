/*
 * base/regex.h: regular expressions in Java's common syntax, by PCRE2 with bounded work (docs/adr/0003).
 *
 * Threads: no state. A pattern that needs more than the match limit is an error, never a hang.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

typedef struct sl_regex sl_regex;

sl_regex *sl_regex_new(sl_arena *arena, sl_str pattern, sl_err *err);
/* Does the whole text match? */
bool sl_regex_full(const sl_regex *r, sl_str text, bool *ret, sl_err *err);
/* Replaces all; $1 and \$ in `with` as Java's replaceAll. */
bool sl_regex_replace(sl_arena *arena, const sl_regex *r, sl_str text, sl_str with, sl_str *ret, sl_err *err);
/* The first match at or after `from`: offsets of the whole match. *found = false when there is none. */
bool sl_regex_find(const sl_regex *r, sl_str text, size_t from, bool *found, size_t *start, size_t *end, sl_err *err);
/* The text of the first match's first group; empty where that group took no part. *found = false: no match, or no group in the pattern. */
bool sl_regex_group(const sl_regex *r, sl_str text, bool *found, sl_str *group, sl_err *err);
