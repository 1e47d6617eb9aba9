/* local/redshift_tokens.c: see redshift_tokens.h. */
#include "local/redshift_tokens.h"

#include "base/arena.h"
#include "base/sql.h"

typedef sl_redshift_tokens tokens;

sl_str sl_redshift_item(sl_str *rest, bool *last)
{
    sl_str begin = *rest, token;
    int depth = 0;
    while ((token = sl_sql_token(rest)).n > 0) {
        *last = depth == 0 && is(token, ")");
        if (*last || (depth == 0 && is(token, ",")))
            return sl_str_trim((sl_str){ begin.p, (size_t)(token.p - begin.p) });
        depth += is(token, "(") - is(token, ")");
    }
    *last = true;
    return sl_str_trim(begin);
}

void sl_redshift_skip_list(sl_str *rest)
{
    sl_str ahead = *rest;
    bool last = false;
    if (!is(sl_sql_token(&ahead), "("))
        return;
    while (!last)
        (void)sl_redshift_item(&ahead, &last);
    *rest = ahead;
}

/* 0: brackets are nested too deep for us, or not closed. */
static size_t count(sl_str statement)
{
    enum { DEPTH_MAX = 500 };
    size_t n = 0;
    int depth = 0;
    for (sl_str token; (token = sl_sql_token(&statement)).n > 0; n++) {
        depth += is(token, "(") - is(token, ")");
        if (depth < 0 || depth > DEPTH_MAX)
            return 0;
    }
    return depth == 0 ? n : 0;
}

bool sl_redshift_tokens_of(sl_arena *a, sl_str text, tokens *ret)
{
    *ret = (tokens){ .text = text, .n = count(text) };
    ret->t = SL_ARRAY(a, sl_str, ret->n);
    for (size_t i = 0; i < ret->n; i++)
        ret->t[i] = sl_sql_token(&text);
    return ret->n > 0;
}

bool sl_token_gap(const tokens *k, size_t i)
{
    return k->t[i].p > k->text.p && strchr(" \t\r\n\f/", k->t[i].p[-1]) != NULL;
}

size_t sl_token_close(const tokens *k, size_t i)
{
    int depth = 0;
    for (; i < k->n; i++) {
        depth += sl_token_at(k, i, "(") - sl_token_at(k, i, ")");
        if (depth == 0)
            return i;
    }
    return k->n;
}

size_t sl_token_find(const tokens *k, size_t from, size_t to, const char *word)
{
    for (size_t i = from; i < to; i++) {
        if (sl_token_at(k, i, word))
            return i;
        if (sl_token_at(k, i, "("))
            i = sl_token_close(k, i);
    }
    return to;
}

/* What opens the thing that closes at i; 0: nothing does. */
static size_t open_of(const tokens *k, size_t i, const char *open, const char *close)
{
    int depth = 0;
    do {
        depth += sl_token_at(k, i, close) - sl_token_at(k, i, open);
        if (depth == 0)
            return i;
    } while (i-- > 0);
    return 0;
}

bool sl_token_is_name(const tokens *k, size_t i)
{
    static const char *const reserved[] = { "SELECT", "WHERE", "AND", "OR", "NOT", "IN", "ON", "WHEN", "THEN", "ELSE", "END", "BY", "HAVING", "FROM", "JOIN", "USING", "VALUES", "BETWEEN", "LIKE", "ILIKE", "TO", "IS", "CASE", "DISTINCT", "ALL", "ANY", "SOME", "AS",
                                            "UNION", "EXCEPT", "MINUS", "INTERSECT", "LIMIT", "OFFSET", "SET", "QUALIFY", "EXISTS", "DEFAULT", "NULL", "TRUE", "FALSE", "ISNULL", "NOTNULL", "ZONE", "OVER", "ORDER", "GROUP", "ESCAPE", "COLLATE", "SIMILAR" };
    if (i >= k->n)
        return false;
    char c = k->t[i].p[0];
    bool letter = c == '_' || c == '"' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c > 127;
    for (size_t w = 0; letter && w < SL_COUNT(reserved); w++)
        letter = !is(k->t[i], reserved[w]);
    return letter;
}

/* Where the value begins that ends with token i, without what is before its last cast, call or part. */
static size_t piece(const tokens *k, size_t i)
{
    static const char *const typed[] = { "DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIME", "INTERVAL" };
    if (sl_token_at(k, i, "]")) {
        i = open_of(k, i, "[", "]");
        i -= i > 0;
    }
    if (sl_token_at(k, i, "END"))
        return open_of(k, i, "CASE", "END");
    while (sl_token_at(k, i, ")")) {
        i = open_of(k, i, "(", ")");
        size_t behind = i > 1 && sl_token_at(k, i - 1, "OVER") ? 2 : i > 2 && sl_token_at(k, i - 1, "GROUP") && sl_token_at(k, i - 2, "WITHIN") ? 3 : 0;
        if (behind == 0)
            return i > 0 && sl_token_is_name(k, i - 1) ? i - 1 : i;
        i -= behind;
    }
    if (i > 0 && sl_token_at(k, i, "PRECISION") && sl_token_at(k, i - 1, "DOUBLE"))
        return i - 1;
    for (size_t w = 0; i > 0 && k->t[i].p[0] == '\'' && w < SL_COUNT(typed); w++)
        if (sl_token_at(k, i - 1, typed[w]))
            return i - 1;
    return i;
}

size_t sl_token_value(const tokens *k, size_t i)
{
    for (;;) {
        i = piece(k, i);
        if (i > 1 && sl_token_at(k, i - 1, "."))
            i -= 2;
        else if (i > 2 && sl_token_at(k, i - 1, ":") && sl_token_at(k, i - 2, ":"))
            i -= 3;
        else
            return i;
    }
}
