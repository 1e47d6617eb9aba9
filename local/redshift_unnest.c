/*
 * local/redshift_unnest.c: FROM t, t.list AS x: the elements of a list in a SUPER column, as tables.
 * Source: https://docs.aws.amazon.com/redshift/latest/dg/query-super.html (unnesting)
 */
#include "base/arena.h"
#include "local/redshift_tokens.h"

typedef sl_redshift_tokens tokens;

static bool at(const tokens *k, size_t i, const char *word)
{
    return sl_token_at(k, i, word);
}

/* Is that the name of a table in FROM before it, and not a schema's? */
static bool is_table_before(const tokens *k, size_t from, size_t i)
{
    for (size_t b = from; b < i; b++)
        if (sl_token_is_name(k, b) && !at(k, b + 1, ".") && sl_str_ieq(k->t[b], k->t[i]))
            return true;
    return false;
}

/* t.a.b[0] at i; where it ends, or i. */
static size_t path_end(const tokens *k, size_t i)
{
    size_t end = i + 1;
    while (end + 1 < k->n && ((at(k, end, ".") && sl_token_is_name(k, end + 1)) || at(k, end, "["))) {
        if (at(k, end, "["))
            while (end + 1 < k->n && !at(k, end, "]"))
                end++;
        end += at(k, end, "]") ? 1 : 2;
    }
    return sl_token_is_name(k, i) && end > i + 1 ? end : i;
}

static bool ends_from(const tokens *k, size_t i)
{
    static const char *const words[] = { "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "UNION", "EXCEPT", "MINUS", "INTERSECT", "QUALIFY", "SET", "WHEN", ")", ";" };
    for (size_t w = 0; w < SL_COUNT(words); w++)
        if (at(k, i, words[w]))
            return true;
    return false;
}

/* An item at i, behind a comma. Where it ends, or i: it is none of ours. */
static size_t unnest(const tokens *k, size_t from, size_t i, sl_buf *b)
{
    size_t end = path_end(k, i), alias = end + at(k, end, "AS");
    if (end == i || !is_table_before(k, from, i) || !sl_token_is_name(k, alias) || at(k, alias + 1, "AT"))
        return i;
    sl_str last = k->t[end - 1], path = { k->t[i].p, (size_t)(last.p + last.n - k->t[i].p) };
    sl_buf_fmt(b, " unnest(CASE WHEN json_type(%.*s) = 'ARRAY' THEN CAST(%.*s AS JSON[]) WHEN %.*s IS NOT NULL THEN [CAST(%.*s AS JSON)] END) AS sl_%zu(%.*s)", SL_ARG(path), SL_ARG(path), SL_ARG(path), SL_ARG(path), i, SL_ARG(k->t[alias]));
    return alias + 1;
}

sl_str sl_redshift_unnest(sl_arena *a, sl_str statement)
{
    tokens k;
    if (!sl_redshift_tokens_of(a, statement, &k))
        return statement;
    sl_buf b = sl_buf_new(a, SIZE_MAX / 4);
    const char *done = statement.p;
    for (size_t from = 0; from < k.n; from++) {
        if (!at(&k, from, "FROM") || k.t[from].p < done)
            continue;
        for (size_t i = from + 1; i < k.n && !ends_from(&k, i); i++) {
            if (at(&k, i, "(")) {
                i = sl_token_close(&k, i);
                continue;
            }
            if (!at(&k, i, ",") || k.t[i].p < done)
                continue;
            sl_buf item = sl_buf_new(a, SIZE_MAX / 4);
            size_t next = unnest(&k, from + 1, i + 1, &item);
            if (next == i + 1)
                continue;
            const char *begin = k.t[i].p + 1, *end = k.t[next - 1].p + k.t[next - 1].n;
            sl_buf_add(&b, (sl_str){ done, (size_t)(begin - done) });
            sl_buf_add(&b, sl_buf_str(&item));
            done = end;
            i = next - 1;
        }
    }
    sl_buf_add(&b, (sl_str){ done, (size_t)(statement.p + statement.n - done) });
    return sl_buf_str(&b);
}
