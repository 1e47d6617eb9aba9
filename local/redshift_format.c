/*
 * local/redshift_format.c: TO_CHAR of a moment with a format that is a literal, piece by piece.
 * Source: https://docs.aws.amazon.com/redshift/latest/dg/r_FORMAT_strings.html
 */
#include "base/arena.h"
#include "local/redshift_words.h"

enum { SQL_MAX = 1 << 20, NAME_WIDTH = 9 };

typedef enum kind { NUMBER, NAME, SHORT_NAME, HALF } kind;

/* $: the moment. The longer come first. */
static const struct pattern {
    const char *word;
    kind kind;
    const char *sql;
} patterns[] = {
    { "HH24", NUMBER, "strftime($, '%H')" },
    { "HH12", NUMBER, "strftime($, '%I')" },
    { "HH", NUMBER, "strftime($, '%I')" },
    { "MI", NUMBER, "strftime($, '%M')" },
    { "SSSSS", NUMBER, "CAST(hour($) * 3600 + minute($) * 60 + second($) AS VARCHAR)" },
    { "SSSS", NUMBER, "CAST(hour($) * 3600 + minute($) * 60 + second($) AS VARCHAR)" },
    { "SS", NUMBER, "strftime($, '%S')" },
    { "MS", NUMBER, "strftime($, '%g')" },
    { "US", NUMBER, "strftime($, '%f')" },
    { "IYYY", NUMBER, "strftime($, '%G')" },
    { "IYY", NUMBER, "right(strftime($, '%G'), 3)" },
    { "IY", NUMBER, "right(strftime($, '%G'), 2)" },
    { "IDDD", NUMBER, "lpad(CAST((weekofyear($) - 1) * 7 + isodow($) AS VARCHAR), 3, '0')" },
    { "ID", NUMBER, "CAST(isodow($) AS VARCHAR)" },
    { "IW", NUMBER, "lpad(CAST(weekofyear($) AS VARCHAR), 2, '0')" },
    { "Y,YYY", NUMBER, "format('{:,}', year($))" },
    { "YYYY", NUMBER, "strftime($, '%Y')" },
    { "YYY", NUMBER, "right(strftime($, '%Y'), 3)" },
    { "YY", NUMBER, "strftime($, '%y')" },
    { "Y", NUMBER, "right(strftime($, '%Y'), 1)" },
    { "MONTH", NAME, "strftime($, '%B')" },
    { "MON", SHORT_NAME, "strftime($, '%b')" },
    { "MM", NUMBER, "strftime($, '%m')" },
    { "DAY", NAME, "strftime($, '%A')" },
    { "DY", SHORT_NAME, "strftime($, '%a')" },
    { "DDD", NUMBER, "strftime($, '%j')" },
    { "DD", NUMBER, "strftime($, '%d')" },
    { "D", NUMBER, "CAST(dayofweek($) + 1 AS VARCHAR)" },
    { "WW", NUMBER, "lpad(CAST((dayofyear($) - 1) / 7 + 1 AS VARCHAR), 2, '0')" },
    { "W", NUMBER, "CAST((day($) - 1) / 7 + 1 AS VARCHAR)" },
    { "CC", NUMBER, "lpad(CAST((year($) + 99) / 100 AS VARCHAR), 2, '0')" },
    { "Q", NUMBER, "CAST(quarter($) AS VARCHAR)" },
    { "AM", HALF, "strftime($, '%p')" },
    { "PM", HALF, "strftime($, '%p')" },
    { "A.M.", HALF, "replace(replace(strftime($, '%p'), 'AM', 'A.M.'), 'PM', 'P.M.')" },
    { "P.M.", HALF, "replace(replace(strftime($, '%p'), 'AM', 'A.M.'), 'PM', 'P.M.')" },
    { "TZ", HALF, "'UTC'" },
};

static bool starts(sl_str s, const char *word)
{
    return is(sl_str_sub(s, 0, strlen(word)), word);
}

static void add_literal(sl_arena *a, sl_buf *b, sl_str text)
{
    if (text.n == 0)
        return;
    sl_str quoted = sl_duck_text(a, text);
    sl_buf_fmt(b, " || %.*s", SL_ARG(quoted));
}

/* st, nd, rd, th behind a number, written as in the format. */
static sl_str ordinal(sl_arena *a, sl_str number, bool upper)
{
    const char *last = sl_fmt(a, "CAST(%.*s AS INTEGER) %% 10", SL_ARG(number)).p;
    sl_str end = sl_fmt(a, "CASE WHEN CAST(%.*s AS INTEGER) %% 100 BETWEEN 11 AND 13 THEN 'th' WHEN %s = 1 THEN 'st' WHEN %s = 2 THEN 'nd' WHEN %s = 3 THEN 'rd' ELSE 'th' END", SL_ARG(number), last, last, last);
    return sl_fmt(a, "%.*s || %s(%.*s)", SL_ARG(number), upper ? "upper" : "lower", SL_ARG(end));
}

static sl_str piece(sl_arena *a, const struct pattern *p, sl_str written, sl_str moment, bool fill)
{
    sl_str sql = sl_str_replace(a, sl_str_c(p->sql), SL_S("$"), moment);
    bool first = written.p[0] >= 'A' && written.p[0] <= 'Z', second = written.n > 1 && written.p[1] >= 'A' && written.p[1] <= 'Z';
    if (p->kind == NUMBER)
        return fill ? sql : sl_fmt(a, "regexp_replace(%.*s, '^0+(.)', '\\1')", SL_ARG(sql));
    if (!first || (p->kind != HALF && second))
        sql = sl_fmt(a, "%s(%.*s)", first ? "upper" : "lower", SL_ARG(sql));
    return p->kind == NAME && fill ? sl_fmt(a, "rpad(%.*s, %d, ' ')", SL_ARG(sql), NAME_WIDTH) : sql;
}

sl_str sl_redshift_to_char(sl_arena *a, sl_str moment, sl_str format)
{
    sl_buf b = sl_buf_new(a, SQL_MAX), literal = sl_buf_new(a, SQL_MAX);
    bool fill = true;
    sl_buf_addc(&b, "(''");
    while (format.n > 0) {
        const struct pattern *known = NULL;
        for (size_t i = 0; i < SL_COUNT(patterns) && known == NULL; i++)
            if (starts(format, patterns[i].word))
                known = &patterns[i];
        if (starts(format, "FM")) {
            fill = false;
            format = sl_str_sub(format, 2, format.n);
            continue;
        }
        if (known == NULL) {
            ptrdiff_t end = format.p[0] == '"' ? sl_str_find(sl_str_sub(format, 1, format.n), SL_S("\"")) : -1;
            sl_buf_add(&literal, end < 0 ? sl_str_sub(format, 0, 1) : sl_str_sub(format, 1, (size_t)end + 1));
            format = sl_str_sub(format, end < 0 ? 1 : (size_t)end + 2, format.n);
            continue;
        }
        size_t n = strlen(known->word);
        sl_str sql = piece(a, known, format, moment, fill);
        format = sl_str_sub(format, n, format.n);
        if (known->kind == NUMBER && starts(format, "TH")) {
            sql = ordinal(a, sql, format.p[0] == 'T');
            format = sl_str_sub(format, 2, format.n);
        }
        add_literal(a, &b, sl_buf_str(&literal));
        literal.n = 0;
        sl_buf_fmt(&b, " || %.*s", SL_ARG(sql));
        fill = true;
    }
    add_literal(a, &b, sl_buf_str(&literal));
    sl_buf_char(&b, ')');
    return sl_buf_str(&b);
}
