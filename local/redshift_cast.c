/*
 * local/redshift_cast.c: x::varchar(n) and x::char(n) as calls of CAST, since such a cast cuts a text that is too long; DuckDB leaves it whole.
 * Source: https://docs.aws.amazon.com/redshift/latest/dg/r_CAST_function.html
 */
#include "base/arena.h"
#include "base/sql.h"
#include "local/redshift_table.h"

enum { TOKENS_MAX = 1 << 20 };

typedef struct tokens {
    sl_str *t;
    size_t n;
} tokens;

static bool at(const tokens *s, size_t i, const char *word)
{
    return i < s->n && is(s->t[i], word);
}

/* The bracket that opens what the one at i closes; 0: none. */
static size_t open_of(const tokens *s, size_t i, const char *open, const char *close)
{
    int depth = 0;
    do {
        depth += at(s, i, close) - at(s, i, open);
        if (depth == 0)
            return i;
    } while (i-- > 0);
    return 0;
}

/* Words behind which a bracket opens that is no call's. */
static bool stands_alone(sl_str word)
{
    static const char *const words[] = { "SELECT", "WHERE", "AND", "OR", "NOT", "IN", "ON", "WHEN", "THEN", "ELSE", "BY", "HAVING", "FROM", "JOIN", "USING", "VALUES", "BETWEEN", "LIKE", "ILIKE", "TO", "IS", "CASE", "DISTINCT", "ALL", "ANY", "SOME", "AS", "UNION",
                                         "EXCEPT", "MINUS", "INTERSECT", "LIMIT", "OFFSET", "SET", "QUALIFY", "EXISTS", "DEFAULT", "RETURN" };
    char c = word.n > 0 ? word.p[0] : '(';
    if (c != '_' && c != '"' && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && (unsigned char)c < 128)
        return true;
    for (size_t i = 0; i < SL_COUNT(words); i++)
        if (is(word, words[i]))
            return true;
    return false;
}

/* Where the value begins that ends with token i, without what is before its last cast, call or part. */
static size_t piece_begin(const tokens *s, size_t i)
{
    static const char *const typed[] = { "DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIME", "INTERVAL" };
    if (at(s, i, "]"))
        i = open_of(s, i, "[", "]") - (i > 0);
    if (at(s, i, "END"))
        return open_of(s, i, "CASE", "END");
    if (at(s, i, ")")) {
        i = open_of(s, i, "(", ")");
        if (i > 1 && at(s, i - 1, "OVER"))
            return piece_begin(s, i - 2);
        return i > 0 && !stands_alone(s->t[i - 1]) ? i - 1 : i;
    }
    if (i > 0 && at(s, i, "PRECISION") && at(s, i - 1, "DOUBLE"))
        return i - 1;
    for (size_t k = 0; i > 0 && s->t[i].p[0] == '\'' && k < SL_COUNT(typed); k++)
        if (at(s, i - 1, typed[k]))
            return i - 1;
    return i;
}

static size_t value_begin(const tokens *s, size_t i)
{
    for (;;) {
        i = piece_begin(s, i);
        if (i > 1 && at(s, i - 1, "."))
            i -= 2;
        else if (i > 2 && at(s, i - 1, ":") && at(s, i - 2, ":"))
            i -= 3;
        else
            return i;
    }
}

sl_str sl_redshift_casts(sl_arena *a, sl_str statement)
{
    tokens s = { 0 };
    bool any = false;
    if (sl_str_find(statement, SL_S("::")) < 0)
        return statement;
    for (sl_str rest = statement; sl_sql_token(&rest).n > 0 && s.n < TOKENS_MAX;)
        s.n++;
    s.t = SL_ARRAY(a, sl_str, s.n);
    sl_str *casts = SL_ARRAY(a, sl_str, s.n); /* at the first ':' of one: its type */
    size_t *opens = SL_ARRAY(a, size_t, s.n), i = 0;
    for (sl_str rest = statement; i < s.n; i++)
        s.t[i] = sl_sql_token(&rest);
    for (i = 1; i + 4 < s.n; i++) {
        sl_redshift_text type;
        sl_err ignored;
        if (!at(&s, i, ":") || !at(&s, i + 1, ":"))
            continue;
        const char *from = s.t[i + 2].p;
        sl_str rest = { from, (size_t)(statement.p + statement.n - from) };
        if (!sl_redshift_text_type(&rest, &type, &ignored) || type.length == 0 || rest.p[-1] != ')')
            continue;
        casts[i] = (sl_str){ from, (size_t)(rest.p - from) };
        opens[value_begin(&s, i - 1)]++;
        any = true;
    }
    if (!any)
        return statement;
    sl_buf b = sl_buf_new(a, SIZE_MAX / 4);
    const char *done = statement.p;
    for (i = 0; i < s.n; i++) {
        if (s.t[i].p < done)
            continue; /* of a type that is written already */
        sl_buf_add(&b, (sl_str){ done, (size_t)(s.t[i].p - done) });
        for (size_t k = 0; k < opens[i]; k++)
            sl_buf_addc(&b, " CAST(");
        sl_str type = casts[i];
        if (type.n > 0)
            sl_buf_fmt(&b, " AS %.*s)", SL_ARG(type));
        else
            sl_buf_add(&b, s.t[i]);
        done = type.n > 0 ? type.p + type.n : s.t[i].p + s.t[i].n;
    }
    sl_buf_add(&b, (sl_str){ done, (size_t)(statement.p + statement.n - done) });
    return sl_buf_str(&b);
}
