/*
 * local/redshift_cast.c: x::varchar(n), x::text and their like as calls of CAST, for redshift_shape.c: such a cast cuts a text that is too long, and takes the quotes from one of JSON.
 * Source: https://docs.aws.amazon.com/redshift/latest/dg/r_CAST_function.html
 */
#include "base/arena.h"
#include "local/redshift_table.h"
#include "local/redshift_tokens.h"

sl_str sl_redshift_casts(sl_arena *a, sl_str statement)
{
    sl_redshift_tokens s;
    bool any = false;
    if (sl_str_find(statement, SL_S("::")) < 0 || !sl_redshift_tokens_of(a, statement, &s))
        return statement;
    sl_str *casts = SL_ARRAY(a, sl_str, s.n); /* at the first ':' of one: its type */
    size_t *opens = SL_ARRAY(a, size_t, s.n);
    for (size_t i = 1; i + 4 < s.n; i++) {
        sl_redshift_text type;
        sl_err ignored;
        if (!sl_token_at(&s, i, ":") || !sl_token_at(&s, i + 1, ":"))
            continue;
        const char *from = s.t[i + 2].p;
        sl_str rest = { from, (size_t)(statement.p + statement.n - from) };
        if (!sl_redshift_text_type(&rest, &type, &ignored) || type.length == 0)
            continue;
        casts[i] = (sl_str){ from, (size_t)(rest.p - from) };
        opens[sl_token_value(&s, i - 1)]++;
        any = true;
    }
    if (!any)
        return statement;
    sl_buf b = sl_buf_new(a, SIZE_MAX / 4);
    const char *done = statement.p;
    for (size_t i = 0; i < s.n; i++) {
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
