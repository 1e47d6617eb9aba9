/*
 * local/redshift_literals.c: 'a\\d' is a\d there, as in all PostgreSQL before 9.1, and \ is what escapes in a LIKE; DuckDB takes both as they are.
 * Sources: https://www.postgresql.org/docs/8.0/sql-syntax.html (4.1.2.1), https://docs.aws.amazon.com/redshift/latest/dg/r_patternmatching_condition_like.html
 */
#include "base/arena.h"
#include "local/redshift_tokens.h"

typedef sl_redshift_tokens tokens;

/* '…' with its escapes done; octal and \x stay what they are without their backslash. */
static sl_str plain(sl_arena *a, sl_str literal)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    sl_buf b = sl_buf_new(a, SIZE_MAX / 4);
    for (size_t i = 0; i < literal.n; i++) {
        if (literal.p[i] == '\\' && i + 2 < literal.n) {
            const char *known = strchr(from, literal.p[++i]);
            sl_buf_char(&b, known && *known ? to[known - from] : literal.p[i]);
        } else
            sl_buf_char(&b, literal.p[i]);
    }
    return sl_buf_str(&b);
}

sl_str sl_redshift_literals(sl_arena *a, sl_str statement)
{
    tokens k;
    if (sl_str_find(statement, SL_S("\\")) < 0 || !sl_redshift_tokens_of(a, statement, &k))
        return statement;
    sl_buf b = sl_buf_new(a, SIZE_MAX / 4);
    const char *done = statement.p;
    for (size_t i = 0; i < k.n; i++) {
        bool escapes = i > 0 && sl_token_at(&k, i - 1, "E") && !sl_token_gap(&k, i); /* E'…': DuckDB does it */
        if (k.t[i].p[0] != '\'' || sl_str_find(k.t[i], SL_S("\\")) < 0 || escapes)
            continue;
        sl_str text = plain(a, k.t[i]);
        sl_buf_add(&b, (sl_str){ done, (size_t)(k.t[i].p - done) });
        sl_buf_add(&b, text);
        bool pattern = i > 0 && (sl_token_at(&k, i - 1, "LIKE") || sl_token_at(&k, i - 1, "ILIKE"));
        if (pattern && !sl_token_at(&k, i + 1, "ESCAPE") && sl_str_find(text, SL_S("\\")) >= 0)
            sl_buf_addc(&b, " ESCAPE '\\'");
        done = k.t[i].p + k.t[i].n;
    }
    sl_buf_add(&b, (sl_str){ done, (size_t)(statement.p + statement.n - done) });
    return sl_buf_str(&b);
}
