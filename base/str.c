/* base/str.c: views, the builder, number parsing. Encodings are in encode.c. */
#include "base/str.h"

#include <errno.h>
#include <float.h>
#include <math.h>

#include "base/arena.h"

sl_str sl_str_c(const char *text)
{
    return (sl_str){ text ? text : "", text ? strlen(text) : 0 };
}

bool sl_str_eq(sl_str a, sl_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool sl_str_eqc(sl_str a, const char *b)
{
    return sl_str_eq(a, sl_str_c(b));
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

bool sl_str_ieq(sl_str a, sl_str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

int sl_str_cmp(sl_str a, sl_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

bool sl_str_starts(sl_str s, sl_str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool sl_str_ends(sl_str s, sl_str suffix)
{
    return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

ptrdiff_t sl_str_find(sl_str s, sl_str what)
{
    if (what.n == 0)
        return 0;
    const char *hit = s.n >= what.n ? memmem(s.p, s.n, what.p, what.n) : NULL;
    return hit ? hit - s.p : -1;
}

ptrdiff_t sl_str_rfind(sl_str s, sl_str what)
{
    if (what.n > s.n)
        return -1;
    for (size_t i = s.n - what.n + 1; i-- > 0;)
        if (memcmp(s.p + i, what.p, what.n) == 0)
            return (ptrdiff_t)i;
    return -1;
}

sl_str sl_str_sub(sl_str s, size_t from, size_t to)
{
    if (to > s.n)
        to = s.n;
    if (from > to)
        from = to;
    return (sl_str){ s.p ? s.p + from : s.p, to - from };
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

sl_str sl_str_trim(sl_str s)
{
    while (s.n > 0 && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

bool sl_str_cut(sl_str *rest, char separator, sl_str *part)
{
    if (rest->p == NULL)
        return false;
    const char *hit = rest->n ? memchr(rest->p, separator, rest->n) : NULL;
    if (hit == NULL) {
        *part = *rest;
        *rest = (sl_str){ NULL, 0 };
        return true;
    }
    size_t at = (size_t)(hit - rest->p);
    *part = (sl_str){ rest->p, at };
    *rest = (sl_str){ hit + 1, rest->n - at - 1 };
    return true;
}

uint64_t sl_str_hash(sl_str s)
{
    uint64_t h = 1469598103934665603ULL;
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 1099511628211ULL;
    return h;
}

size_t sl_str_distance(sl_str a, sl_str b, size_t most)
{
    enum { WIDTH_MAX = 64 };
    if (a.n >= WIDTH_MAX || b.n >= WIDTH_MAX)
        return sl_str_ieq(a, b) ? 0 : most + 1;
    size_t row[WIDTH_MAX + 1];
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t cost = diagonal + (lower(a.p[i - 1]) != lower(b.p[j - 1]));
            diagonal = row[j];
            size_t step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = cost < step ? cost : step;
        }
    }
    return row[b.n] > most ? most + 1 : row[b.n];
}

bool sl_str_is_utf8(sl_str s)
{
    const unsigned char *p = (const unsigned char *)s.p, *end = p + s.n;
    while (p < end) {
        uint64_t eight;
        if (end - p >= 8 && (memcpy(&eight, p, 8), (eight & 0x8080808080808080U) == 0)) {
            p += 8;
            continue;
        }
        if (*p < 0x80) {
            p++;
            continue;
        }
        int more = (*p & 0xE0) == 0xC0 ? 1 : (*p & 0xF0) == 0xE0 ? 2 : (*p & 0xF8) == 0xF0 ? 3 : -1;
        if (more < 0 || end - p <= more)
            return false;
        uint32_t c = *p & (0x3FU >> more);
        for (int i = 1; i <= more; i++) {
            if ((p[i] & 0xC0) != 0x80)
                return false;
            c = c << 6 | (p[i] & 0x3F);
        }
        if (c < (uint32_t[]){ 0x80, 0x800, 0x10000 }[more - 1] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
            return false;
        p += more + 1;
    }
    return true;
}

sl_str sl_str_dup(sl_arena *arena, sl_str s)
{
    char *p = sl_alloc(arena, s.n + 1);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return (sl_str){ p, s.n };
}

const char *sl_cstr(sl_arena *arena, sl_str s)
{
    return sl_str_dup(arena, s).p;
}

sl_str sl_vfmt(sl_arena *arena, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    char small[256];
    int n = vsnprintf(small, sizeof small, fmt, ap);
    sl_assert(n >= 0);
    char *p = sl_alloc(arena, (size_t)n + 1);
    if ((size_t)n < sizeof small)
        memcpy(p, small, (size_t)n + 1);
    else
        (void)vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return (sl_str){ p, (size_t)n };
}

sl_str sl_fmt(sl_arena *arena, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sl_str s = sl_vfmt(arena, fmt, ap);
    va_end(ap);
    return s;
}

sl_str sl_cat(sl_arena *arena, const sl_str *parts, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += parts[i].n;
    char *text = sl_alloc(arena, n + 1), *to = text;
    for (size_t i = 0; i < count; i++)
        if (parts[i].n > 0)
            to = mempcpy(to, parts[i].p, parts[i].n);
    *to = '\0';
    return (sl_str){ text, n };
}

sl_str sl_str_lower(sl_arena *arena, sl_str s)
{
    char *p = sl_alloc(arena, s.n + 1);
    for (size_t i = 0; i < s.n; i++)
        p[i] = (char)lower(s.p[i]);
    return (sl_str){ p, s.n };
}

sl_str sl_str_upper(sl_arena *arena, sl_str s)
{
    char *p = sl_alloc(arena, s.n + 1);
    for (size_t i = 0; i < s.n; i++)
        p[i] = (char)(s.p[i] >= 'a' && s.p[i] <= 'z' ? s.p[i] - 32 : s.p[i]);
    return (sl_str){ p, s.n };
}

sl_str sl_str_replace(sl_arena *arena, sl_str s, sl_str what, sl_str with)
{
    if (what.n == 0 || sl_str_find(s, what) < 0)
        return sl_str_dup(arena, s);
    sl_buf b = sl_buf_new(arena, SIZE_MAX / 4);
    ptrdiff_t at;
    while ((at = sl_str_find(s, what)) >= 0) {
        sl_buf_add(&b, sl_str_sub(s, 0, (size_t)at));
        sl_buf_add(&b, with);
        s = sl_str_sub(s, (size_t)at + what.n, s.n);
    }
    sl_buf_add(&b, s);
    return sl_buf_str(&b);
}

sl_buf sl_buf_new(sl_arena *arena, size_t max)
{
    return (sl_buf){ .arena = arena, .max = max };
}

char *sl_buf_room(sl_buf *b, size_t n)
{
    if (b->overflow || n > b->max || b->n > b->max - n) {
        b->overflow = true;
        return NULL;
    }
    if (b->n + n + 1 > b->capacity) {
        size_t wanted = b->capacity ? b->capacity * 2 : 64;
        if (wanted < b->n + n + 1)
            wanted = b->n + n + 1;
        b->p = sl_realloc(b->arena, b->p, b->capacity, wanted);
        b->capacity = wanted;
    }
    return b->p + b->n;
}

void sl_buf_add(sl_buf *b, sl_str s)
{
    char *to = sl_buf_room(b, s.n);
    if (to == NULL || s.n == 0)
        return;
    memcpy(to, s.p, s.n);
    b->n += s.n;
}

void sl_buf_addc(sl_buf *b, const char *text)
{
    sl_buf_add(b, sl_str_c(text));
}

void sl_buf_char_more(sl_buf *b, char c)
{
    sl_buf_add(b, (sl_str){ &c, 1 });
}

void sl_buf_fmt(sl_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    sl_assert(n >= 0);
    char *to = sl_buf_room(b, (size_t)n);
    if (to != NULL) {
        (void)vsnprintf(to, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

sl_str sl_buf_str(sl_buf *b)
{
    if (b->p == NULL)
        return (sl_str){ "", 0 };
    b->p[b->n] = '\0';
    return (sl_str){ b->p, b->n };
}

bool sl_parse_uint(sl_str s, uint64_t *ret)
{
    if (s.n == 0 || s.n > 20)
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *ret = v;
    return true;
}

bool sl_parse_int(sl_str s, int64_t *ret)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
        s = sl_str_sub(s, 1, s.n);
    uint64_t v;
    if (!sl_parse_uint(s, &v) || v > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool sl_parse_size(sl_str s, int64_t *ret)
{
    static const char units[] = "KMGTkmgt";
    const double most = 9e18;
    double factor = 1, n;
    s = sl_str_trim(s);
    if (s.n > 1 && (s.p[s.n - 1] == 'B' || s.p[s.n - 1] == 'b'))
        s.n--;
    const char *unit = s.n > 1 ? memchr(units, s.p[s.n - 1], sizeof units - 1) : NULL;
    if (unit != NULL) {
        factor = (double)((int64_t)1 << (10 * ((unit - units) % 4 + 1)));
        s.n--;
    }
    if (!sl_parse_double(sl_str_trim(s), &n) || !(n >= 0) || n * factor > most)
        return false;
    *ret = (int64_t)(n * factor);
    return true;
}

/*
 * [-]digits[.digits][e[+-]digits] with at most 19 digits, and exact in itself: a mantissa below 2^53 times or by a power of ten that
 * a double holds gives the nearest double in one rounding (Clinger, "How to Read Floating Point Numbers Accurately", 1990).
 */
static bool plain_double(sl_str s, double *ret)
{
    static const double tens[] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    const char *p = s.p, *end = s.p + s.n;
    bool negative = p < end && *p == '-';
    uint64_t mantissa = 0;
    int digits = 0, exponent = 0, power = 0;
    for (p += negative; p < end && (unsigned char)(*p - '0') <= 9; p++, digits++)
        mantissa = mantissa * 10 + (uint64_t)(*p - '0');
    if (p < end && *p == '.')
        for (p++; p < end && (unsigned char)(*p - '0') <= 9; p++, digits++, exponent--)
            mantissa = mantissa * 10 + (uint64_t)(*p - '0');
    if (digits == 0 || digits > 19 || mantissa > UINT64_C(1) << 53)
        return false;
    if (p < end && (*p | 32) == 'e' && end - p <= 4) {
        bool below = ++p < end && *p == '-';
        p += p < end && (*p == '-' || *p == '+');
        if (p == end)
            return false;
        for (; p < end && (unsigned char)(*p - '0') <= 9; p++)
            power = power * 10 + (*p - '0');
        exponent += below ? -power : power;
    }
    if (p != end || exponent < -22 || exponent > 22)
        return false;
    double d = exponent < 0 ? (double)mantissa / tens[-exponent] : (double)mantissa * tens[exponent];
    *ret = negative ? -d : d;
    return true;
}

bool sl_parse_double(sl_str s, double *ret)
{
    if (plain_double(s, ret))
        return true;
    char text[400];
    if (s.n == 0 || s.n >= sizeof text)
        return false;
    bool digit = false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        digit |= c >= '0' && c <= '9';
        if (!((c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E'))
            return false;
    }
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    char *end;
    double d = strtod(text, &end);
    if (!digit || end != text + s.n || !isfinite(d))
        return false;
    *ret = d;
    return true;
}

static size_t put_uint(char *to, uint64_t v)
{
    char text[20];
    size_t n = 0;
    do
        text[n++] = (char)('0' + v % 10);
    while ((v /= 10) != 0);
    for (size_t i = 0; i < n; i++)
        to[i] = text[n - 1 - i];
    return n;
}

void sl_buf_int(sl_buf *b, int64_t i)
{
    char text[24];
    text[0] = '-';
    size_t sign = i < 0, n = put_uint(text + sign, i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
    sl_buf_add(b, (sl_str){ text, sign + n });
}

/* Java's Double.toString: scientific form below 1e-3 and from 1e7 on, always a fraction digit. */
static size_t java_text(char to[40], bool negative, const char *digits, int n, int exponent)
{
    size_t at = 0;
    if (negative)
        to[at++] = '-';
    if (exponent < -3 || exponent >= 7)
        return at + (size_t)snprintf(to + at, 40 - at, "%c.%.*sE%d", digits[0], n > 1 ? n - 1 : 1, n > 1 ? digits + 1 : "0", exponent);
    if (exponent < 0) {
        memcpy(to + at, "0.00", 4);
        at += (size_t)(1 - exponent);
        memcpy(to + at, digits, (size_t)n);
        return at + (size_t)n;
    }
    for (int i = 0; i <= exponent; i++)
        to[at++] = i < n ? digits[i] : '0';
    to[at++] = '.';
    if (n <= exponent + 1) {
        to[at++] = '0';
        return at;
    }
    memcpy(to + at, digits + exponent + 1, (size_t)(n - exponent - 1));
    return at + (size_t)(n - exponent - 1);
}

/* Most numbers have a few digits behind the point: with x and 10^k exact, x / 10^k is the double that the text would be read as. */
static bool few_decimals(double d, uint64_t *digits, int *behind)
{
    static const double tens[] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6 };
    for (int k = 0; k < (int)SL_COUNT(tens); k++) {
        double x = d * tens[k];
        if (x >= 9007199254740992.0)
            return false;
        if (x == (double)(uint64_t)x && x / tens[k] == d) {
            *digits = (uint64_t)x;
            *behind = k;
            return true;
        }
    }
    return false;
}

int sl_double_digits(double d, char digits[20], int *exponent)
{
    uint64_t whole;
    int behind;
    if (few_decimals(d, &whole, &behind)) {
        char text[24];
        int n = (int)put_uint(text, whole);
        *exponent = n - 1 - behind;
        while (n > 1 && text[n - 1] == '0')
            n--;
        memcpy(digits, text, (size_t)n);
        return n;
    }
    char text[40];
    /* If 15 digits or fewer are enough, these are they, and zeros; what is left without those is the shortest. Not so of subnormal ones. */
    for (int precision = d < DBL_MIN ? 0 : 14; precision <= 16; precision++) {
        (void)snprintf(text, sizeof text, "%.*e", precision, d);
        if (strtod(text, NULL) == d)
            break;
    }
    char *e = strchr(text, 'e');
    *exponent = (int)strtol(e + 1, NULL, 10);
    int n = 0;
    for (const char *p = text; p < e; p++)
        if (*p != '.')
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    return n;
}

size_t sl_double_java(double d, char to[40])
{
    const char *word = isnan(d) ? "NaN" : isinf(d) ? (d > 0 ? "Infinity" : "-Infinity") : d != 0 ? NULL : signbit(d) ? "-0.0" : "0.0";
    if (word != NULL) {
        memcpy(to, word, strlen(word));
        return strlen(word);
    }
    char digits[20];
    int exponent, n = sl_double_digits(fabs(d), digits, &exponent);
    return java_text(to, d < 0, digits, n, exponent);
}

sl_str sl_double_text(sl_arena *arena, double d)
{
    char text[40];
    return sl_str_dup(arena, (sl_str){ text, sl_double_java(d, text) });
}

sl_str sl_float_text(sl_arena *arena, float f)
{
    if (!isfinite(f) || f == 0.0F)
        return sl_double_text(arena, (double)f);
    char shortest[40], digits[20], text[40];
    for (int precision = 0; precision <= 9; precision++) {
        (void)snprintf(shortest, sizeof shortest, "%.*e", precision, (double)fabsf(f));
        if (strtof(shortest, NULL) == fabsf(f))
            break;
    }
    int n = 0;
    const char *e = strchr(shortest, 'e');
    for (const char *p = shortest; p < e && n < (int)sizeof digits; p++)
        if (*p != '.')
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    return sl_str_dup(arena, (sl_str){ text, java_text(text, f < 0, digits, n, (int)strtol(e + 1, NULL, 10)) });
}
