/*
 * local/redshift_tokens.h: private to local/redshift_*.c: a statement as a row of tokens, with its brackets, values and lists.
 *
 * Pure. Threads: no state.
 */
#pragma once

#include "local/redshift_words.h"

typedef struct sl_redshift_tokens {
    sl_str text;
    sl_str *t;
    size_t n;
} sl_redshift_tokens;

/* false: there are none, or its brackets are not closed, or nested too deep for us; DuckDB may say so. */
bool sl_redshift_tokens_of(sl_arena *arena, sl_str text, sl_redshift_tokens *ret);

static inline bool sl_token_at(const sl_redshift_tokens *k, size_t i, const char *word)
{
    return i < k->n && is(k->t[i], word);
}

/* Is there a blank or the end of a comment before it? */
bool sl_token_gap(const sl_redshift_tokens *k, size_t i);
/* Is it a name, or a word that may be one? Not a literal, an operator or a reserved word. */
bool sl_token_is_name(const sl_redshift_tokens *k, size_t i);
/* The bracket that closes the one at i; n when there is none. */
size_t sl_token_close(const sl_redshift_tokens *k, size_t i);
/* That word, or comma, outside of brackets; `to` when there is none. */
size_t sl_token_find(const sl_redshift_tokens *k, size_t from, size_t to, const char *word);
/* Where the value begins that ends with token i: its calls, parts and casts belong to it, operators and signs do not. */
size_t sl_token_value(const sl_redshift_tokens *k, size_t i);
