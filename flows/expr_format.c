/*
 * flows/expr_format.c: the filter `format`: java.util.Formatter's language, without dates (there is `date`), hash codes and %a.
 * Source: https://docs.oracle.com/en/java/javase/21/docs/api/java.base/java/util/Formatter.html
 */
#include <math.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/unicode.h"
#include "flows/expr_ast.h"

enum { WIDTH_MAX = 10000, DIGITS_MAX = 400 };

typedef struct spec {
    size_t index;                 /* from 1; 0: the next one */
    bool again, minus, hash, plus, space, zero, comma, paren;
    int width, precision;         /* -1: none */
    char kind;
    sl_str text;                  /* as it is written */
} spec;

typedef struct formatter {
    ex_context *x;
    const ex_node *at;
    const sl_val *const *args;
    size_t count, next, last;     /* arguments; the next one and the one before, from 1 */
    sl_buf out;
} formatter;

static bool fail(formatter *f, const spec *s, const char *what)
{
    ex_fail(f->x, f->at, "expr.format", "`format`: '%.*s' %s", SL_ARG(s->text), what);
    return false;
}

static int number_at(sl_str t, size_t *at)
{
    int n = -1;
    for (; *at < t.n && t.p[*at] >= '0' && t.p[*at] <= '9'; ++*at)
        n = n > WIDTH_MAX ? n : (n < 0 ? 0 : n * 10) + (t.p[*at] - '0');
    return n;
}

static bool *flag_of(spec *s, char c)
{
    switch (c) {
    case '-': return &s->minus;
    case '#': return &s->hash;
    case '+': return &s->plus;
    case ' ': return &s->space;
    case '0': return &s->zero;
    case ',': return &s->comma;
    case '(': return &s->paren;
    default: return NULL;
    }
}

/* Behind a '%': %[index$][flags][width][.precision]conversion. */
static bool read_spec(formatter *f, sl_str t, size_t *at, spec *s)
{
    size_t from = *at - 1, digits = *at;
    *s = (spec){ .width = -1, .precision = -1 };
    int index = number_at(t, &digits);
    if (index > 0 && digits < t.n && t.p[digits] == '$') {
        s->index = (size_t)index;
        *at = digits + 1;
    } else if (*at < t.n && t.p[*at] == '<') {
        s->again = true;
        ++*at;
    }
    for (bool *flag; *at < t.n && (flag = flag_of(s, t.p[*at])) != NULL && !*flag; ++*at)
        *flag = true;
    s->width = number_at(t, at);
    if (*at < t.n && t.p[*at] == '.') {
        ++*at;
        s->precision = number_at(t, at);
    }
    s->kind = *at < t.n ? t.p[(*at)++] : '\0';
    s->text = sl_str_sub(t, from, *at);
    if (s->width > WIDTH_MAX || s->precision > DIGITS_MAX)
        return fail(f, s, "asks for too many places");
    return (s->kind != '\0' && strchr("bBsScCdoxXeEfgGn%", s->kind) != NULL) || fail(f, s, "is no conversion that `format` knows; there are s, d, f, e, g, x, o, c, b, n and %");
}

static bool argument(formatter *f, const spec *s, const sl_val **ret)
{
    size_t i = s->again ? f->last : s->index > 0 ? s->index : ++f->next;
    if (i == 0 || i > f->count)
        return fail(f, s, "has no argument");
    f->last = i;
    *ret = f->args[i - 1];
    return true;
}

static size_t characters(sl_str t)
{
    size_t n = 0;
    for (size_t i = 0; i < t.n; i++)
        n += ((unsigned char)t.p[i] & 0xC0) != 0x80;
    return n;
}

/* At most so many characters. */
static sl_str head(sl_str t, size_t most)
{
    size_t i = 0, n = 0;
    while (i < t.n && (n += ((unsigned char)t.p[i] & 0xC0) != 0x80) <= most)
        i++;
    return sl_str_sub(t, 0, i);
}

/* Padded to the width, in characters. */
static void put(formatter *f, const spec *s, sl_str t)
{
    int n = s->width - (int)characters(t);
    for (int i = 0; !s->minus && i < n; i++)
        sl_buf_char(&f->out, ' ');
    sl_buf_add(&f->out, t);
    for (int i = 0; s->minus && i < n; i++)
        sl_buf_char(&f->out, ' ');
}

/* Sign, grouping and zeros in front of `digits` (which may go on behind a point). */
static bool put_number(formatter *f, const spec *s, bool negative, sl_str digits)
{
    sl_arena *a = f->x->arena;
    if (s->minus && s->zero)
        return fail(f, s, "has both '-' and '0'");
    if ((s->minus || s->zero) && s->width < 0)
        return fail(f, s, "needs a width");
    size_t whole = 0;
    while (whole < digits.n && digits.p[whole] >= '0' && digits.p[whole] <= '9')
        whole++;
    sl_buf b = sl_buf_new(a, SL_EXPR_OUTPUT_MAX);
    sl_str sign = negative ? (s->paren ? SL_S("(") : SL_S("-")) : s->plus ? SL_S("+") : s->space ? SL_S(" ") : SL_S(""), end = negative && s->paren ? SL_S(")") : SL_S("");
    sl_buf_add(&b, sign);
    size_t used = sign.n + end.n + digits.n + (s->comma && whole > 0 ? (whole - 1) / 3 : 0);
    for (size_t i = used; s->zero && i < (size_t)s->width; i++)
        sl_buf_char(&b, '0');
    for (size_t i = 0; i < whole; i++) {
        if (s->comma && i > 0 && (whole - i) % 3 == 0)
            sl_buf_char(&b, ',');
        sl_buf_char(&b, digits.p[i]);
    }
    sl_buf_add(&b, sl_str_sub(digits, whole, digits.n));
    sl_buf_add(&b, end);
    put(f, s, sl_buf_str(&b));
    return true;
}

static bool put_integer(formatter *f, const spec *s, const sl_val *v)
{
    if (v->type != SL_INT)
        return fail(f, s, sl_fmt(f->x->arena, "needs an integer, not a %s", sl_type_name(v->type)).p);
    if (s->precision >= 0)
        return fail(f, s, "cannot have a precision");
    if (s->kind == 'd' && s->hash)
        return fail(f, s, "cannot have '#'");
    if (s->kind == 'd')
        return put_number(f, s, v->i < 0, sl_fmt(f->x->arena, "%llu", v->i < 0 ? 0ULL - (unsigned long long)v->i : (unsigned long long)v->i));
    if (s->comma || s->plus || s->space || s->paren)
        return fail(f, s, "has flags that only decimal numbers have");
    sl_str digits = sl_fmt(f->x->arena, s->kind == 'o' ? "%s%llo" : "%s%llx", !s->hash ? "" : s->kind == 'o' ? "0" : "0x", (unsigned long long)v->i);
    spec own = *s;
    return put_number(f, &own, false, s->kind == 'X' ? sl_unicode_upper(f->x->arena, digits) : digits);
}

/* ---- decimals: of the shortest digits that are the number, rounded half up, as Java does ---- */

typedef struct decimal {
    char digits[40];              /* digits[0] counts 10^exponent */
    int n, exponent;
} decimal;

static void decimal_of(double d, decimal *ret)
{
    char text[64];
    sl_arena *a = sl_arena_new();
    sl_str t = sl_double_text(a, d);
    size_t n = t.n < sizeof text - 1 ? t.n : sizeof text - 1;
    memcpy(text, t.p, n);
    text[n] = '\0';
    sl_arena_free(a);
    *ret = (decimal){ .exponent = -1 };
    bool point = false, begun = false;
    const char *p = text;
    for (; *p != '\0' && *p != 'E'; p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        begun |= *p != '0';
        if (begun)
            ret->digits[ret->n++] = *p;
        ret->exponent += (begun && !point) - (!begun && point);
    }
    int64_t e;
    if (*p == 'E' && sl_parse_int(sl_str_c(p + 1), &e))
        ret->exponent += (int)e;
    if (ret->n == 0)
        ret->exponent = 0;
}

/* `keep` digits are left (0 and less: at most the one before them, that may come of rounding). */
static void round_to(decimal *d, int keep)
{
    if (keep >= d->n)
        return;
    bool up = keep >= 0 && d->digits[keep] >= '5';
    d->n = keep > 0 ? keep : 0;
    int i = d->n - 1;
    for (; up && i >= 0; i--) {
        up = d->digits[i] == '9';
        d->digits[i] = up ? '0' : (char)(d->digits[i] + 1);
    }
    if (!up)
        return;
    memmove(d->digits + 1, d->digits, (size_t)d->n);
    d->digits[0] = '1';
    d->n++;
    d->exponent++;
}

static char digit_at(const decimal *d, int power)
{
    int i = d->exponent - power;
    return i >= 0 && i < d->n ? d->digits[i] : '0';
}

static sl_str plain(sl_arena *a, decimal *d, int precision, bool point)
{
    sl_buf b = sl_buf_new(a, SL_EXPR_OUTPUT_MAX);
    round_to(d, d->exponent + 1 + precision);
    for (int power = d->n > 0 && d->exponent > 0 ? d->exponent : 0; power >= -precision; power--) {
        if (power == -1)
            sl_buf_char(&b, '.');
        sl_buf_char(&b, digit_at(d, power));
    }
    if (point && precision == 0)
        sl_buf_char(&b, '.');
    return sl_buf_str(&b);
}

static sl_str scientific(sl_arena *a, decimal *d, int precision, bool point)
{
    sl_buf b = sl_buf_new(a, SL_EXPR_OUTPUT_MAX);
    round_to(d, precision + 1);
    int exponent = d->n > 0 ? d->exponent : 0;
    for (int i = 0; i <= precision; i++) {
        if (i == 1)
            sl_buf_char(&b, '.');
        sl_buf_char(&b, digit_at(d, exponent - i));
    }
    sl_buf_fmt(&b, "%se%c%02d", point && precision == 0 ? "." : "", exponent < 0 ? '-' : '+', exponent < 0 ? -exponent : exponent);
    return sl_buf_str(&b);
}

static bool put_real(formatter *f, const spec *s, const sl_val *v)
{
    sl_arena *a = f->x->arena;
    if (v->type != SL_DOUBLE)
        return fail(f, s, sl_fmt(a, "needs a number with a point, not %s %s", v->type == SL_INT ? "an" : "a", sl_type_name(v->type)).p);
    if (isnan(v->d) || isinf(v->d)) {
        spec own = *s;
        own.zero = false;
        put(f, &own, isnan(v->d) ? SL_S("NaN") : v->d < 0 ? (s->paren ? SL_S("(Infinity)") : SL_S("-Infinity")) : s->plus ? SL_S("+Infinity") : SL_S("Infinity"));
        return true;
    }
    decimal d;
    decimal_of(fabs(v->d), &d);
    int precision = s->precision < 0 ? 6 : s->precision;
    char kind = (char)(s->kind | 0x20);
    if (kind == 'g' && s->hash)
        return fail(f, s, "cannot have '#'");
    if (kind == 'e' && s->comma)
        return fail(f, s, "cannot be grouped by commas");
    if (kind == 'g') {
        precision = precision == 0 ? 1 : precision;
        round_to(&d, precision);
        bool small = d.n > 0 && d.exponent < -4, large = d.n > 0 && d.exponent >= precision;
        kind = small || large ? 'e' : 'f';
        precision = kind == 'e' ? precision - 1 : precision - 1 - (d.n > 0 ? d.exponent : 0);
    }
    sl_str digits = kind == 'f' ? plain(a, &d, precision, s->hash) : scientific(a, &d, precision, s->hash);
    return put_number(f, s, signbit(v->d) != 0, s->kind < 'a' ? sl_unicode_upper(a, digits) : digits);
}

static bool put_text(formatter *f, const spec *s, const sl_val *v)
{
    sl_arena *a = f->x->arena;
    sl_buf b = sl_buf_new(a, SL_EXPR_OUTPUT_MAX);
    if (s->hash || s->plus || s->space || s->zero || s->comma || s->paren)
        return fail(f, s, "has flags that only numbers have");
    if (s->minus && s->width < 0)
        return fail(f, s, "needs a width");
    if ((s->kind | 0x20) == 'b')
        sl_buf_addc(&b, v->type == SL_NULL || (v->type == SL_BOOL && !v->b) ? "false" : "true");
    else if ((s->kind | 0x20) == 'c' && v->type != SL_NULL && (v->type != SL_STRING || characters(v->s) != 1))
        return fail(f, s, "needs one character");
    else
        ex_java_text(a, &b, v);
    sl_str t = sl_buf_str(&b);
    if (s->precision >= 0)
        t = head(t, (size_t)s->precision);
    put(f, s, s->kind < 'a' ? sl_unicode_upper(a, t) : t);
    return true;
}

static bool put_spec(formatter *f, const spec *s)
{
    const sl_val *v;
    if (s->kind == 'n') {
        sl_buf_char(&f->out, '\n');
        return s->width < 0 || fail(f, s, "cannot have a width");
    }
    if (s->kind == '%') {
        put(f, s, SL_S("%"));
        return true;
    }
    if (!argument(f, s, &v))
        return false;
    if (v->type == SL_NULL && strchr("doxXeEfgG", s->kind) != NULL) {
        put(f, s, s->kind < 'a' ? SL_S("NULL") : SL_S("null"));
        return true;
    }
    switch (s->kind) {
    case 'd':
    case 'o':
    case 'x':
    case 'X': return put_integer(f, s, v);
    case 'e':
    case 'E':
    case 'f':
    case 'g':
    case 'G': return put_real(f, s, v);
    default: return put_text(f, s, v);
    }
}

const sl_val *ex_format(ex_context *x, const ex_node *at, const sl_val *in, const sl_val *const *args)
{
    formatter f = { .x = x, .at = at, .args = args, .out = sl_buf_new(x->arena, SL_EXPR_OUTPUT_MAX) };
    sl_str t = sl_val_text(x->arena, in);
    while (f.count < EX_ARGS_MAX && args[f.count] != NULL)
        f.count++;
    for (size_t i = 0; i < t.n;) {
        char c = t.p[i++];
        spec s;
        if (c != '%')
            sl_buf_char(&f.out, c);
        else if (!read_spec(&f, t, &i, &s) || !put_spec(&f, &s))
            return NULL;
    }
    if (f.out.overflow)
        return ex_fail(x, at, "expr.size", "the text is larger than %d bytes", SL_EXPR_OUTPUT_MAX);
    return sl_val_str(x->arena, sl_buf_str(&f.out));
}
