/* connectors/serdes/numfmt_digits.c: numbers: General, digits and their places, exponents, fractions. See numfmt.h. */
#include <math.h>

#include "connectors/serdes/numfmt.h"

enum { DIGITS = 15, FIXED_MAX = 400 };

/* ---- decimals ---- */

/* `value` with so many decimals, rounded as the fifteen digits say that Excel knows of it: 1.005 is not 1.00499999999999989. */
static void fixed(double value, int decimals, char *to, size_t room)
{
    char known[40];
    (void)snprintf(known, sizeof known, "%.*e", DIGITS - 1, value);
    int exponent = (int)strtol(strchr(known, 'e') + 1, NULL, 10), keep = exponent + decimals;
    if (keep >= DIGITS - 1) {
        (void)snprintf(to, room, "%.*f", decimals, strtod(known, NULL));
        return;
    }
    char digits[DIGITS + 1] = { known[0] };
    memcpy(digits + 1, known + 2, DIGITS - 1);
    double scaled = 0;
    if (keep >= -1) { /* the digits that stay, and one more by the next */
        for (int i = 0; i <= keep; i++)
            scaled = scaled * 10 + (digits[i] - '0');
        scaled += digits[keep + 1] >= '5';
    }
    char whole[FIXED_MAX];
    int n = snprintf(whole, sizeof whole, "%0*.0f", decimals + 1, scaled);
    (void)snprintf(to, room, "%.*s%s%s", n - decimals, whole, decimals > 0 ? "." : "", whole + n - decimals);
}

static void strip_zeros(char *text)
{
    char *point = strchr(text, '.'), *e = strchr(text, 'E');
    if (point == NULL)
        return;
    char *end = e ? e : text + strlen(text), *last = end;
    while (last > point + 1 && last[-1] == '0')
        last--;
    if (last == point + 1)
        last = point;
    memmove(last, end, strlen(end) + 1);
}

static void exponential(double value, int decimals, char *to, size_t room)
{
    (void)snprintf(to, room, "%.*E", decimals, value);
    strip_zeros(to);
}

/* Eleven characters are all that a cell has. */
sl_str sl_numfmt_general(sl_arena *a, double value)
{
    enum { WIDTH = 11 };
    char text[FIXED_MAX];
    if (value == 0)
        return SL_S("0");
    int power = (int)floor(log10(value));
    if (power > 10 || power < -9) {
        exponential(value, 5, text, sizeof text);
        return sl_str_dup(a, sl_str_c(text));
    }
    for (int decimals = power >= 9 ? 0 : power >= 0 ? 9 - power : 9; decimals >= 0; decimals--) {
        fixed(value, decimals, text, sizeof text);
        strip_zeros(text);
        if (strlen(text) > WIDTH)
            continue;
        /* Not at the cost of the digits of something small. */
        if (power >= -4 || fabs(strtod(text, NULL) - value) <= value * 1e-14)
            return sl_str_dup(a, sl_str_c(text));
        break;
    }
    exponential(value, 5, text, sizeof text);
    return sl_str_dup(a, sl_str_c(text));
}

/* ---- digits in their places ---- */

typedef struct layout {
    const sl_numfmt_section *s;
    size_t point, end;            /* tokens: of the point (or the end of the whole part); behind the digits */
    size_t whole, decimals;       /* placeholders */
    bool thousands, pointed;
} layout;

static size_t commas(const sl_numfmt_section *s, size_t at, size_t end)
{
    size_t n = 0;
    while (at + n < end && s->tokens[at + n].kind == SL_NF_COMMA)
        n++;
    return n;
}

/* tokens begin..end-1; *value is scaled: by percent, and by commas behind the last digit of the whole part or of all. */
static layout look(const sl_numfmt_section *s, size_t begin, size_t end, double *value)
{
    layout l = { .s = s, .point = end, .end = end };
    size_t first = end, last = end, last_whole = end;
    for (size_t i = begin; i < end; i++) {
        sl_numfmt_kind kind = s->tokens[i].kind;
        if (kind == SL_NF_POINT && !l.pointed) {
            l.point = i;
            l.pointed = true;
        } else if (kind == SL_NF_DIGIT) {
            *(l.pointed ? &l.decimals : &l.whole) += 1;
            first = first == end ? i : first;
            last = i;
            last_whole = l.pointed ? last_whole : i;
        } else if (kind == SL_NF_PERCENT)
            *value *= 100;
    }
    for (size_t i = first; last_whole < end && i < last_whole; i++)
        l.thousands |= s->tokens[i].kind == SL_NF_COMMA;
    size_t scaling = last_whole < end ? commas(s, last_whole + 1, l.point) : 0;
    scaling += l.pointed && last < end && last > l.point ? commas(s, last + 1, end) : 0;
    while (scaling-- > 0)
        *value /= 1000;
    return l;
}

/* What stands between the digits is shown here. */
static bool is_digit(sl_buf *b, const sl_numfmt_token *t)
{
    if (t->kind == SL_NF_LITERAL)
        sl_buf_add(b, t->text);
    else if (t->kind == SL_NF_PERCENT)
        sl_buf_char(b, '%');
    return t->kind == SL_NF_DIGIT;
}

static void whole_part(sl_buf *b, const layout *l, size_t begin, const char *digits, size_t n)
{
    size_t left = l->whole, put = 0; /* placeholders to come; digits written */
    if (n == 1 && digits[0] == '0')
        n = 0; /* only a placeholder shows it */
    for (size_t i = begin; i < l->point; i++) {
        const sl_numfmt_token *t = &l->s->tokens[i];
        if (!is_digit(b, t))
            continue;
        size_t here = n > left && put == 0 ? n - left + 1 : 1; /* the first one takes all that have no place of their own */
        left--;
        for (size_t k = here; k-- > 0;) {
            size_t place = left + k; /* digits behind this one */
            bool real = place < n;
            if (real)
                sl_buf_char(b, digits[put++]);
            else if (t->c != '#')
                sl_buf_char(b, t->c == '0' ? '0' : ' ');
            if (l->thousands && place > 0 && place % 3 == 0 && (real || t->c == '0'))
                sl_buf_char(b, ',');
        }
    }
}

static void decimal_part(sl_buf *b, const layout *l, const char *digits)
{
    size_t n = l->decimals, at = 0;
    while (n > 0 && digits[n - 1] == '0')
        n--; /* those that # leaves out */
    if (l->pointed)
        sl_buf_char(b, '.');
    for (size_t i = l->pointed ? l->point + 1 : l->end; i < l->end; i++) {
        const sl_numfmt_token *t = &l->s->tokens[i];
        if (!is_digit(b, t))
            continue;
        if (at < n || t->c == '0')
            sl_buf_char(b, digits[at]);
        else if (t->c == '?')
            sl_buf_char(b, ' ');
        at++;
    }
}

static void plain(sl_buf *b, const sl_numfmt_section *s, size_t begin, size_t end, double value)
{
    char text[FIXED_MAX * 2];
    layout l = look(s, begin, end, &value);
    fixed(value, (int)l.decimals, text, sizeof text);
    char *point = strchr(text, '.');
    size_t n = point ? (size_t)(point - text) : strlen(text);
    whole_part(b, &l, begin, text, n);
    decimal_part(b, &l, point ? point + 1 : "");
}

/* ---- exponents ---- */

/* With several digits before the point, the exponent is a multiple of their number. */
static void scientific(sl_buf *b, const sl_numfmt_section *s, size_t e, double value)
{
    double ignored = 1;
    layout l = look(s, 0, e, &ignored);
    int step = l.whole > 1 ? (int)l.whole : 1, power = value > 0 ? (int)floor(log10(value)) : 0;
    char text[FIXED_MAX * 2];
    power = power >= 0 ? power / step * step : -((-power + step - 1) / step) * step;
    fixed(value / pow(10, power), (int)l.decimals, text, sizeof text);
    if (strtod(text, NULL) >= pow(10, step)) { /* rounded up to the next one */
        power += step;
        fixed(value / pow(10, power), (int)l.decimals, text, sizeof text);
    }
    plain(b, s, 0, e, strtod(text, NULL));
    sl_buf_char(b, 'E');
    if (power < 0 || s->tokens[e].c == '+')
        sl_buf_char(b, power < 0 ? '-' : '+');
    plain(b, s, e + 1, s->count, abs(power));
}

/* ---- fractions ---- */

/* The best with a denominator of at most `most`, by continued fractions. */
static void approximate(double x, int64_t most, int64_t *p, int64_t *q)
{
    int64_t p0 = 0, q0 = 1, p1 = 1, q1 = 0;
    double rest = x;
    for (int i = 0; i < 40; i++) {
        double whole = floor(rest);
        int64_t a = (int64_t)whole, p2 = a * p1 + p0, q2 = a * q1 + q0;
        if (q2 > most)
            break;
        p0 = p1, q0 = q1, p1 = p2, q1 = q2;
        if (fabs(x - (double)p1 / (double)q1) < 1e-12 || rest - whole < 1e-12)
            break;
        rest = 1 / (rest - whole);
    }
    *p = p1;
    *q = q1;
}

/* Digits right-aligned (or left, of a denominator) in so many places. */
static void place(sl_buf *b, double v, size_t places, bool left)
{
    char text[FIXED_MAX];
    size_t n = (size_t)snprintf(text, sizeof text, "%.0f", v);
    for (size_t i = n; !left && i < places; i++)
        sl_buf_char(b, ' ');
    sl_buf_addc(b, text);
    for (size_t i = n; left && i < places; i++)
        sl_buf_char(b, ' ');
}

static void fraction(sl_buf *b, const sl_numfmt_section *s, size_t slash, double value)
{
    size_t top = slash, bottom = slash + 1, above = 0, below = 0;
    int64_t denominator = 0, p = 0, q = 1;
    const double most = 1e15; /* beyond it there are whole numbers only */
    while (top > 0 && s->tokens[top - 1].kind == SL_NF_DIGIT) {
        top--;
        above++;
    }
    for (; bottom < s->count; bottom++, below++) {
        const sl_numfmt_token *t = &s->tokens[bottom];
        bool digit = t->kind == SL_NF_LITERAL && t->text.n == 1 && t->text.p[0] >= '0' && t->text.p[0] <= '9';
        if (t->kind != SL_NF_DIGIT && !digit)
            break;
        if (digit || (t->c == '0' && denominator > 0))
            denominator = denominator * 10 + (digit ? t->text.p[0] - '0' : 0);
    }
    size_t before = top; /* is there a place for whole numbers? */
    while (before > 0 && s->tokens[before - 1].kind != SL_NF_DIGIT)
        before--;
    bool mixed = before > 0;
    double whole = mixed ? floor(value) : 0;
    if (value - whole >= most)
        ;
    else if (denominator > 0 && denominator < 1000000000) {
        q = denominator;
        p = llround((value - whole) * (double)q);
    } else
        approximate(value - whole, (int64_t)pow(10, (double)(below < 7 ? below : 7)) - 1, &p, &q);
    if (mixed && p == q) {
        whole += 1;
        p = 0;
    }
    if (mixed && (whole > 0 || p == 0 || s->tokens[before - 1].c == '0'))
        plain(b, s, 0, before, whole);
    if (mixed && whole == 0 && p == 0 && s->tokens[before - 1].c != '0')
        sl_buf_char(b, '0');
    for (size_t i = before; mixed && i < top; i++)
        if (s->tokens[i].kind == SL_NF_LITERAL)
            sl_buf_add(b, s->tokens[i].text);
    if (mixed && p == 0)
        for (size_t i = 0; i < above + 1 + below; i++)
            sl_buf_char(b, ' ');
    else {
        place(b, value - whole >= most ? value : (double)p, above, false);
        sl_buf_char(b, '/');
        place(b, (double)q, below, true);
    }
    for (size_t i = bottom; i < s->count; i++)
        if (s->tokens[i].kind == SL_NF_LITERAL)
            sl_buf_add(b, s->tokens[i].text);
}

sl_str sl_numfmt_digits(sl_arena *a, const sl_numfmt_section *s, double value)
{
    sl_buf b = sl_buf_new(a, 8192);
    for (size_t i = 0; i < s->count; i++) {
        if (s->tokens[i].kind == SL_NF_EXPONENT) {
            scientific(&b, s, i, value);
            return sl_buf_str(&b);
        }
        if (s->tokens[i].kind == SL_NF_SLASH && i > 0 && s->tokens[i - 1].kind == SL_NF_DIGIT) {
            fraction(&b, s, i, value);
            return sl_buf_str(&b);
        }
    }
    plain(&b, s, 0, s->count, value);
    return sl_buf_str(&b);
}
