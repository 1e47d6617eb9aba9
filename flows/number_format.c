/* flows/number_format.c: see number_format.h. */
#include "flows/number_format.h"

#include <math.h>

#include "base/arena.h"

enum { PATTERN_MAX = 200, TEXT_MAX = 2048 };

typedef struct layout {
    sl_str prefix, suffix, minus_prefix, minus_suffix;
    int least_int, most_int, least, most, group, exponent; /* exponent: digits of it at least; 0 = none */
    int scale;                    /* 1, 100 or 1000 */
    bool has_minus;
} layout;

typedef struct reader {
    sl_arena *arena;
    sl_str pattern;
    size_t at;
    const char *wrong;
    layout *l;
} reader;

static bool digit_part(char c)
{
    return c == '#' || c == '0' || c == ',' || c == '.';
}

/* Up to the number, or behind it up to ; or the end. */
static sl_str affix(reader *r, bool before)
{
    sl_buf b = sl_buf_new(r->arena, TEXT_MAX);
    bool quoted = false;
    for (; r->at < r->pattern.n; r->at++) {
        char c = r->pattern.p[r->at];
        if (c == '\'') {
            bool twice = r->at + 1 < r->pattern.n && r->pattern.p[r->at + 1] == '\'';
            if (twice) {
                sl_buf_char(&b, '\'');
                r->at++;
            } else
                quoted = !quoted;
            continue;
        }
        if (!quoted && (c == ';' || (before && digit_part(c))))
            break;
        if (!quoted && digit_part(c)) {
            r->wrong = "a digit of the number stands behind its end; put literal text in single quotes";
            break;
        }
        if (!quoted && c == '%')
            r->l->scale = 100;
        if (!quoted && r->pattern.n - r->at >= 3 && memcmp(r->pattern.p + r->at, "\xE2\x80\xB0", 3) == 0)
            r->l->scale = 1000;
        sl_buf_char(&b, c);
    }
    if (quoted)
        r->wrong = "a quote is open at its end";
    return sl_buf_str(&b);
}

/* Java reads # before the first 0 and behind it apart; a pattern without any 0 gets one. */
static void number_part(reader *r)
{
    int left = 0, zeros = 0, right = 0, point = -1, group = -1;
    for (; r->at < r->pattern.n && digit_part(r->pattern.p[r->at]); r->at++) {
        char c = r->pattern.p[r->at];
        if (c == '#')
            *(zeros > 0 ? &right : &left) += 1;
        else if (c == '0') {
            if (right > 0)
                r->wrong = "a 0 stands behind a #";
            zeros++;
        } else if (c == '.') {
            if (point >= 0)
                r->wrong = "there are two points";
            point = left + zeros + right;
        } else
            group = 0;
        if ((c == '#' || c == '0') && group >= 0 && point < 0)
            group++;
    }
    if (r->at < r->pattern.n && r->pattern.p[r->at] == 'E') {
        for (r->at++; r->at < r->pattern.n && r->pattern.p[r->at] == '0'; r->at++)
            r->l->exponent++;
        if (r->l->exponent == 0 || group >= 0)
            r->wrong = "E needs zeros behind it, and no grouping";
    }
    if (zeros == 0 && left > 0 && point >= 0) {
        int n = point == 0 ? 1 : point;
        right = left - n;
        left = n - 1;
        zeros = 1;
    }
    if (group == 0 || (point >= 0 && (point < left || point > left + zeros)))
        r->wrong = group == 0 ? "no digit stands behind the last comma" : "# and 0 stand in the wrong order";
    int total = left + zeros + right, whole = point >= 0 ? point : total;
    r->l->least_int = whole - left;
    r->l->most_int = whole;
    r->l->most = point >= 0 ? total - point : 0;
    r->l->least = point >= 0 ? left + zeros - point : 0;
    r->l->group = group > 0 ? group : 0;
}

static bool read_pattern(sl_arena *arena, sl_str pattern, layout *l, sl_err *err)
{
    layout ignored = { .scale = 1 };
    *l = (layout){ .scale = 1, .minus_prefix = SL_S("-"), .minus_suffix = SL_S("") };
    reader r = { .arena = arena, .pattern = pattern, .l = l };
    l->prefix = affix(&r, true);
    number_part(&r);
    if (r.wrong == NULL)
        l->suffix = affix(&r, false);
    if (r.wrong == NULL && r.at < pattern.n) { /* what a negative number has around it; its digits are as those before */
        r.at++;
        r.l = &ignored;
        l->minus_prefix = affix(&r, true);
        number_part(&r);
        l->minus_suffix = r.wrong == NULL ? affix(&r, false) : SL_S("");
        l->has_minus = !sl_str_eq(l->minus_prefix, l->prefix) || !sl_str_eq(l->minus_suffix, l->suffix);
    }
    if (pattern.n > PATTERN_MAX)
        r.wrong = "it is longer than 200 bytes";
    return r.wrong == NULL || sl_err_set(err, SL_ERR_CONFIG, "number.pattern", "the number format '%.*s' is wrong: %s", SL_ARG(pattern), r.wrong);
}

static void add_whole(sl_buf *b, const layout *l, sl_str digits)
{
    size_t least = (size_t)l->least_int, zeros = digits.n < least ? least - digits.n : 0, n = zeros + digits.n;
    for (size_t i = 0; i < n; i++) {
        if (l->group > 0 && i > 0 && (n - i) % (size_t)l->group == 0)
            sl_buf_char(b, ',');
        sl_buf_char(b, i < zeros ? '0' : digits.p[i - zeros]);
    }
}

static void plain(sl_arena *arena, sl_buf *b, const layout *l, const sl_val *v, double d)
{
    bool exact = v->type == SL_INT && l->scale == 1; /* doubles do not hold every integer */
    sl_str digits = exact ? sl_fmt(arena, "%llu", v->i < 0 ? 0ULL - (unsigned long long)v->i : (unsigned long long)v->i) : sl_fmt(arena, "%.*f", l->most, d);
    ptrdiff_t point = sl_str_find(digits, SL_S("."));
    sl_str whole = sl_str_sub(digits, 0, point < 0 ? digits.n : (size_t)point), part = point < 0 ? SL_S("") : sl_str_sub(digits, (size_t)point + 1, digits.n);
    while ((int)part.n > l->least && part.p[part.n - 1] == '0')
        part.n--;
    if (sl_str_eqc(whole, "0") && l->least_int == 0 && (part.n > 0 || l->most_int > 0))
        whole.n = part.n > 0 ? 0 : 1;
    add_whole(b, l, whole);
    if (part.n > 0 || (int)part.n < l->least)
        sl_buf_fmt(b, ".%.*s", SL_ARG(part));
    for (int i = (int)part.n; i < l->least; i++)
        sl_buf_char(b, '0');
}

/* A pattern with more places before the point than zeros keeps the exponent a multiple of them. */
static void scientific(sl_arena *arena, sl_buf *b, const layout *l, double d)
{
    int significant = l->most_int + l->most, least_int = l->least_int;
    sl_str text = sl_fmt(arena, "%.*e", significant > 0 ? significant - 1 : 0, d), digits = sl_str_replace(arena, sl_str_sub(text, 0, (size_t)sl_str_find(text, SL_S("e"))), SL_S("."), SL_S(""));
    int64_t power = 0;
    (void)sl_parse_int(sl_str_sub(text, (size_t)sl_str_find(text, SL_S("e")) + 1, text.n), &power);
    while (digits.n > 0 && digits.p[digits.n - 1] == '0')
        digits.n--;
    bool zero = digits.n == 0;
    int places = zero ? 0 : (int)power + 1, exponent = places, repeat = l->most_int;
    if (repeat > 1 && repeat > least_int) {
        exponent = exponent >= 1 ? (exponent - 1) / repeat * repeat : (exponent - repeat) / repeat * repeat;
        least_int = 1;
    } else
        exponent -= least_int;
    int whole = zero ? least_int : places - exponent, total = l->least_int + l->least;
    total = total < whole ? whole : total;
    total = total < (int)digits.n ? (int)digits.n : total;
    for (int i = 0; i < total; i++) {
        if (i == whole)
            sl_buf_char(b, '.');
        sl_buf_char(b, i < (int)digits.n ? digits.p[i] : '0');
    }
    exponent = zero ? 0 : exponent;
    sl_buf_fmt(b, "E%s%0*d", exponent < 0 ? "-" : "", l->exponent, exponent < 0 ? -exponent : exponent);
}

bool sl_number_format(sl_arena *arena, sl_str pattern, const sl_val *number, sl_str *ret, sl_err *err)
{
    layout l;
    if (!read_pattern(arena, pattern, &l, err))
        return false;
    double d = (number->type == SL_INT ? (double)number->i : number->d) * l.scale;
    bool minus = number->type == SL_INT ? number->i < 0 : signbit(d) != 0;
    sl_buf b = sl_buf_new(arena, TEXT_MAX);
    if (isnan(d)) {
        *ret = SL_S("NaN");
        return true;
    }
    if (minus && !l.has_minus)
        sl_buf_char(&b, '-');
    sl_buf_add(&b, minus && l.has_minus ? l.minus_prefix : l.prefix);
    if (isinf(d))
        sl_buf_addc(&b, "\xE2\x88\x9E");
    else if (l.exponent > 0)
        scientific(arena, &b, &l, fabs(d));
    else
        plain(arena, &b, &l, number, fabs(d));
    sl_buf_add(&b, minus && l.has_minus ? l.minus_suffix : l.suffix);
    *ret = sl_buf_str(&b);
    return !b.overflow || sl_err_set(err, SL_ERR_LIMIT, "number.pattern", "the number format '%.*s' gives more than %d bytes", SL_ARG(pattern), TEXT_MAX);
}
