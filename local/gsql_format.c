/*
 * local/gsql_format.c: FORMAT(…), and formats of CAST. Both have to be literals here.
 * Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements, …/string_functions#format_string
 */
#include "base/arena.h"
#include "db/duck.h"
#include "local/gsql.h"

/* ---- CAST(x AS y FORMAT 'YYYY-MM-DD') ---- */

bool gs_date_format(gs_context *x, const gs_token *format, sl_str *ret)
{
    static const struct {
        const char *element, *duck;
    } elements[] = { /* longer ones first */
        { "YYYY", "%Y" }, { "MONTH", "%B" }, { "MON", "%b" }, { "MM", "%m" }, { "MI", "%M" }, { "DDD", "%j" }, { "DD", "%d" }, { "DAY", "%A" }, { "DY", "%a" }, { "YY", "%y" },
        { "HH24", "%H" }, { "HH12", "%I" }, { "HH", "%I" }, { "SS", "%S" }, { "FF6", "%f" }, { "FF3", "%g" }, { "AM", "%p" }, { "PM", "%p" }, { "TZH", "%z" },
    };
    if (format->kind != GS_STRING)
        return gs_fail(x, format, "a FORMAT that is no literal is not supported by the local cloud");
    sl_buf b = sl_buf_new(x->arena, 1 << 16);
    for (sl_str rest = format->text; rest.n > 0;) {
        size_t taken = 0;
        for (size_t i = 0; i < SL_COUNT(elements) && taken == 0; i++) {
            size_t n = strlen(elements[i].element);
            if (rest.n >= n && sl_str_ieq(sl_str_sub(rest, 0, n), sl_str_c(elements[i].element))) {
                sl_buf_addc(&b, elements[i].duck);
                taken = n;
            }
        }
        if (taken == 0 && ((rest.p[0] | 32) >= 'a' && (rest.p[0] | 32) <= 'z' && rest.p[0] != 'T'))
            return gs_fail(x, format, "the format element at '%.*s' is not supported by the local cloud", SL_ARG(rest));
        if (taken == 0)
            sl_buf_add(&b, sl_str_sub(rest, 0, 1));
        rest = sl_str_sub(rest, taken ? taken : 1, rest.n);
    }
    *ret = sl_duck_text(x->arena, sl_buf_str(&b));
    return true;
}

/* ---- FORMAT('%d items', n) ---- */

/* One specifier behind the %, with its argument; the result is a text. */
static bool specifier(gs_context *x, const gs_token *at, sl_str spec, sl_str arg, sl_str *ret)
{
    sl_arena *a = x->arena;
    char kind = spec.p[spec.n - 1];
    sl_str flags = sl_str_sub(spec, 0, spec.n - 1), plain = sl_str_replace(a, flags, SL_S("'"), SL_S(""));
    bool grouped = plain.n < flags.n;
    switch (kind) {
    case 's':
    case 't':
    case 'T': {
        const char *null = kind == 's' ? "" : "coalesce(", *end = kind == 's' ? "" : ", 'NULL')";
        sl_str text = kind == 'T' ? sl_fmt(a, "sl_literal(%.*s)", SL_ARG(arg)) : sl_fmt(a, "sl_text(%.*s)", SL_ARG(arg));
        *ret = plain.n > 0 ? sl_fmt(a, "printf('%%%.*ss', %s%.*s%s)", SL_ARG(plain), null, SL_ARG(text), end) : sl_fmt(a, "%s%.*s%s", null, SL_ARG(text), end);
        return true;
    }
    case 'd':
    case 'i':
    case 'x':
    case 'X':
    case 'o':
        if (grouped)
            *ret = plain.n > 0 ? sl_fmt(a, "printf('%%%.*ss', format('{:,}', CAST(%.*s AS BIGINT)))", SL_ARG(plain), SL_ARG(arg)) : sl_fmt(a, "format('{:,}', CAST(%.*s AS BIGINT))", SL_ARG(arg));
        else
            *ret = sl_fmt(a, "printf('%%%.*s%c', CAST(%.*s AS BIGINT))", SL_ARG(plain), kind == 'i' ? 'd' : kind, SL_ARG(arg));
        return true;
    case 'f':
    case 'F':
    case 'e':
    case 'E':
    case 'g':
    case 'G':
        if (grouped) {
            ptrdiff_t dot = sl_str_find(plain, SL_S("."));
            *ret = sl_fmt(a, "format('{:,%s%.*sf}', CAST(%.*s AS DOUBLE))", dot < 0 ? ".6" : "", SL_ARG(dot < 0 ? SL_S("") : sl_str_sub(plain, (size_t)dot, plain.n)), SL_ARG(arg));
        } else
            *ret = sl_fmt(a, "printf('%%%.*s%c', CAST(%.*s AS DOUBLE))", SL_ARG(plain), kind, SL_ARG(arg));
        return true;
    default: return gs_fail(x, at, "the format specifier %%%.*s is not supported by the local cloud", SL_ARG(spec));
    }
}

static size_t specifier_length(sl_str s)
{
    size_t n = 0;
    while (n < s.n && strchr("0123456789-+ #'.", s.p[n]) != NULL)
        n++;
    return n < s.n ? n + 1 : 0;
}

bool gs_format(gs_context *x, const gs_token *name, const gs_token *inside, size_t n, sl_str *ret)
{
    gs_range args[GS_ARGUMENTS_MAX];
    size_t count = gs_arguments(inside, n, args, SL_COUNT(args)), used = 1;
    if (count == 0 || args[0].n != 1 || args[0].t->kind != GS_STRING)
        return gs_fail(x, name, "FORMAT with a format that is no literal is not supported by the local cloud");
    sl_buf b = sl_buf_new(x->arena, 1 << 20);
    sl_str rest = args[0].t->text;
    sl_buf_addc(&b, "(''");
    while (rest.n > 0) {
        ptrdiff_t at = sl_str_find(rest, SL_S("%"));
        sl_str words = sl_str_sub(rest, 0, at < 0 ? rest.n : (size_t)at), one;
        if (words.n > 0)
            sl_buf_fmt(&b, " || %.*s", SL_ARG(sl_duck_text(x->arena, words)));
        if (at < 0)
            break;
        rest = sl_str_sub(rest, (size_t)at + 1, rest.n);
        if (sl_str_starts(rest, SL_S("%"))) {
            sl_buf_addc(&b, " || '%'");
            rest = sl_str_sub(rest, 1, rest.n);
            continue;
        }
        size_t length = specifier_length(rest);
        if (length == 0 || used == count)
            return gs_fail(x, args[0].t, length == 0 ? "FORMAT: %% has no specifier behind it" : "FORMAT: there are fewer arguments than specifiers");
        sl_str spec = sl_str_sub(rest, 0, length), value = gs_rewrite(x, args[used].t, args[used].n);
        used++;
        if (!specifier(x, args[0].t, spec, value, &one))
            return false;
        sl_buf_fmt(&b, " || %.*s", SL_ARG(one));
        rest = sl_str_sub(rest, length, rest.n);
    }
    if (used < count)
        return gs_fail(x, args[used].t, "FORMAT: there are more arguments than specifiers");
    sl_buf_char(&b, ')');
    *ret = sl_buf_str(&b);
    return true;
}

/* ---- FORMAT_DATE(format, x) and its like ---- */

/* What strftime of DuckDB has under another name, and what it has not: an expression of the moment $. */
static const struct {
    const char *element, *same, *other;
} moments[] = { /* longer ones first */
    { "E4Y", "%Y", NULL }, { "E3S", "%S.%g", NULL }, { "E6S", "%S.%f", NULL }, { "E*S", NULL, "regexp_replace(strftime($, '%S.%f'), '\\.?0+$', '')" }, { "F", "%Y-%m-%d", NULL }, { "T", "%H:%M:%S", NULL },
    { "R", "%H:%M", NULL }, { "D", "%m/%d/%y", NULL }, { "h", "%b", NULL }, { "n", "\n", NULL }, { "t", "\t", NULL }, { "e", NULL, "lpad(CAST(day($) AS VARCHAR), 2, ' ')" }, { "Q", NULL, "CAST(quarter($) AS VARCHAR)" },
    { "s", NULL, "CAST(CAST(floor(epoch($)) AS BIGINT) AS VARCHAR)" }, { "k", NULL, "lpad(CAST(hour($) AS VARCHAR), 2, ' ')" }, { "l", NULL, "lpad(CAST((hour($) + 11) % 12 + 1 AS VARCHAR), 2, ' ')" },
    { "C", NULL, "lpad(CAST(year($) // 100 AS VARCHAR), 2, '0')" }, { "P", NULL, "lower(strftime($, '%p'))" }, { "u", NULL, "CAST(isodow($) AS VARCHAR)" }, { "g", NULL, "lpad(CAST(isoyear($) % 100 AS VARCHAR), 2, '0')" },
};

static void add_moment(gs_context *x, sl_buf *b, const char *expression, sl_str moment)
{
    sl_buf_addc(b, " || ");
    for (const char *c = expression; *c != '\0'; c++)
        if (*c == '$' && c[1] != '\'') /* not the end of a pattern */
            sl_buf_add(b, moment);
        else
            sl_buf_char(b, *c);
    (void)x;
}

static void add_plain(gs_context *x, sl_buf *b, sl_buf *plain, sl_str moment)
{
    if (plain->n > 0)
        sl_buf_fmt(b, " || strftime(%.*s, %.*s)", SL_ARG(moment), SL_ARG(sl_duck_text(x->arena, sl_buf_str(plain))));
    *plain = sl_buf_new(x->arena, 1 << 16);
}

/* The offset of a zone: %Ez, %z; zone .n == 0: UTC. Its length, or 0. */
static size_t add_zone(gs_context *x, sl_buf *b, sl_buf *plain, sl_str rest, sl_str value, sl_str zone, sl_str moment)
{
    bool colon = sl_str_starts(rest, SL_S("Ez"));
    if (!colon && rest.p[0] != 'z' && (rest.p[0] != 'Z' || zone.n > 0))
        return 0;
    if (zone.n == 0)
        sl_buf_addc(plain, colon ? "+00:00" : rest.p[0] == 'z' ? "+0000" : "UTC");
    else {
        add_plain(x, b, plain, moment);
        sl_buf_fmt(b, " || sl_offset(%.*s, %.*s, '%s')", SL_ARG(value), SL_ARG(zone), colon ? ":" : "");
    }
    return colon ? 2 : 1;
}

/* format: the text of a literal. value: a timestamp where there is a zone. */
static sl_str strftime_sql(gs_context *x, sl_str format, sl_str value, sl_str zone, sl_str moment)
{
    sl_buf b = sl_buf_new(x->arena, 1 << 20), plain = sl_buf_new(x->arena, 1 << 16);
    sl_buf_addc(&b, "(''");
    for (sl_str rest = format; rest.n > 0;) {
        if (rest.p[0] != '%' || rest.n == 1) {
            sl_buf_add(&plain, sl_str_sub(rest, 0, 1));
            rest = sl_str_sub(rest, 1, rest.n);
            continue;
        }
        rest = sl_str_sub(rest, 1, rest.n);
        size_t taken = add_zone(x, &b, &plain, rest, value, zone, moment);
        for (size_t i = 0; i < SL_COUNT(moments) && taken == 0; i++)
            if (sl_str_starts(rest, sl_str_c(moments[i].element))) {
                taken = strlen(moments[i].element);
                if (moments[i].same != NULL)
                    sl_buf_addc(&plain, moments[i].same);
                else {
                    add_plain(x, &b, &plain, moment);
                    add_moment(x, &b, moments[i].other, moment);
                }
            }
        if (taken == 0) {
            sl_buf_fmt(&plain, "%%%c", rest.p[0]);
            taken = 1;
        }
        rest = sl_str_sub(rest, taken, rest.n);
    }
    add_plain(x, &b, &plain, moment);
    sl_buf_char(&b, ')');
    return sl_buf_str(&b);
}

bool gs_format_date(gs_context *x, const gs_token *name, const gs_token *inside, size_t n, sl_str *ret)
{
    gs_range args[GS_ARGUMENTS_MAX];
    size_t count = gs_arguments(inside, n, args, SL_COUNT(args));
    if (count < 2 || count > (gs_is(name, "FORMAT_TIMESTAMP") ? 3U : 2U))
        return gs_fail(x, name, "No matching signature for function %.*s with %zu arguments", SL_ARG(name->text), count);
    sl_str value = gs_rewrite(x, args[1].t, args[1].n), zone = count == 3 ? gs_rewrite(x, args[2].t, args[2].n) : SL_S("");
    sl_str moment = zone.n > 0 ? sl_fmt(x->arena, "((%.*s) AT TIME ZONE (%.*s))", SL_ARG(value), SL_ARG(zone)) : sl_fmt(x->arena, gs_is(name, "FORMAT_TIME") ? "(DATE '1970-01-01' + (%.*s))" : "CAST(%.*s AS TIMESTAMP)", SL_ARG(value));
    if (args[0].n == 1 && args[0].t->kind == GS_STRING)
        *ret = strftime_sql(x, args[0].t->text, value, zone, moment);
    else
        *ret = sl_fmt(x->arena, "strftime(%.*s, sl_formats(%.*s))", SL_ARG(moment), SL_ARG(gs_rewrite(x, args[0].t, args[0].n)));
    return true;
}
