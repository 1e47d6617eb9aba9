/* base/unicode.c: see unicode.h. */
#include "base/unicode.h"

#include <locale.h>
#include <pthread.h>
#include <wctype.h>

#include "base/arena.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static locale_t utf8;

static void open_locale(void)
{
    utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (utf8 == (locale_t)0)
        utf8 = newlocale(LC_CTYPE_MASK, "en_US.UTF-8", (locale_t)0);
}

/* Without such a locale ASCII alone has cases. */
static uint32_t simple(uint32_t c, bool upper)
{
    if (c < 0x80)
        return upper && c >= 'a' && c <= 'z' ? c - 32 : !upper && c >= 'A' && c <= 'Z' ? c + 32 : c;
    (void)pthread_once(&once, open_locale);
    if (utf8 == (locale_t)0)
        return c;
    return (uint32_t)(upper ? towupper_l((wint_t)c, utf8) : towlower_l((wint_t)c, utf8));
}

static bool letter(uint32_t c)
{
    (void)pthread_once(&once, open_locale);
    return c < 0x80 ? (c | 32) >= 'a' && (c | 32) <= 'z' : utf8 != (locale_t)0 && iswalpha_l((wint_t)c, utf8) != 0;
}

size_t sl_unicode_char(sl_str s, uint32_t *ret)
{
    unsigned char c = (unsigned char)s.p[0];
    size_t n = c < 0xC2 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 1;
    *ret = c;
    if (n == 1 || n > s.n)
        return 1;
    uint32_t v = c & (0x7FU >> n);
    for (size_t i = 1; i < n; i++) {
        if (((unsigned char)s.p[i] & 0xC0) != 0x80)
            return 1;
        v = v << 6 | ((unsigned char)s.p[i] & 0x3F);
    }
    *ret = v;
    return n;
}

static void add(sl_buf *b, uint32_t c)
{
    if (c < 0x80)
        sl_buf_char(b, (char)c);
    else if (c < 0x800) {
        sl_buf_char(b, (char)(0xC0 | c >> 6));
        sl_buf_char(b, (char)(0x80 | (c & 0x3F)));
    } else {
        if (c >= 0x10000) {
            sl_buf_char(b, (char)(0xF0 | c >> 18));
            sl_buf_char(b, (char)(0x80 | (c >> 12 & 0x3F)));
        } else
            sl_buf_char(b, (char)(0xE0 | c >> 12));
        sl_buf_char(b, (char)(0x80 | (c >> 6 & 0x3F)));
        sl_buf_char(b, (char)(0x80 | (c & 0x3F)));
    }
}

/* One character whose upper case is several. */
static const char *special_upper(uint32_t c)
{
    static const struct {
        uint32_t c;
        const char *upper;
    } many[] = { { 0xDF, "SS" },    { 0x149, "\xCA\xBCN" }, { 0x1F0, "J\xCC\x8C" }, { 0x587, "\xD4\xB5\xD5\x92" }, { 0xFB00, "FF" },
                 { 0xFB01, "FI" },  { 0xFB02, "FL" },       { 0xFB03, "FFI" },      { 0xFB04, "FFL" },             { 0xFB05, "ST" }, { 0xFB06, "ST" } };
    for (size_t i = 0; i < SL_COUNT(many); i++)
        if (many[i].c == c)
            return many[i].upper;
    return NULL;
}

sl_str sl_unicode_upper(sl_arena *arena, sl_str s)
{
    sl_buf b = sl_buf_new(arena, 3 * s.n + 1);
    uint32_t c;
    for (size_t i = 0; i < s.n;) {
        size_t n = sl_unicode_char(sl_str_sub(s, i, s.n), &c);
        const char *special = n > 1 ? special_upper(c) : NULL;
        if (special != NULL)
            sl_buf_addc(&b, special);
        else if (n == 1)
            sl_buf_char(&b, (char)(c < 0x80 ? simple(c, true) : c));
        else
            add(&b, simple(c, true));
        i += n;
    }
    return sl_buf_str(&b);
}

sl_str sl_unicode_lower(sl_arena *arena, sl_str s)
{
    sl_buf b = sl_buf_new(arena, 3 * s.n + 1);
    bool behind_letter = false;
    uint32_t c, next;
    for (size_t i = 0; i < s.n;) {
        size_t n = sl_unicode_char(sl_str_sub(s, i, s.n), &c);
        i += n;
        if (n == 1)
            sl_buf_char(&b, (char)(c < 0x80 ? simple(c, false) : c));
        else if (c == 0x130)
            sl_buf_addc(&b, "i\xCC\x87"); /* İ */
        else if (c == 0x3A3 && behind_letter && (i == s.n || (sl_unicode_char(sl_str_sub(s, i, s.n), &next) > 0 && !letter(next))))
            add(&b, 0x3C2);
        else
            add(&b, simple(c, false));
        behind_letter = letter(c);
    }
    return sl_buf_str(&b);
}

sl_str sl_unicode_capital(sl_arena *arena, sl_str s, bool all)
{
    sl_buf b = sl_buf_new(arena, 2 * s.n + 1);
    bool begins = true;
    uint32_t c;
    for (size_t i = 0; i < s.n;) {
        size_t n = sl_unicode_char(sl_str_sub(s, i, s.n), &c);
        bool blank = n == 1 && (c == ' ' || (c >= '\t' && c <= '\r'));
        if (n == 1 && c >= 0x80)
            sl_buf_char(&b, s.p[i]);
        else
            add(&b, begins && !blank ? simple(c, true) : c);
        begins = blank ? begins || all : false;
        i += n;
    }
    return sl_buf_str(&b);
}

size_t sl_unicode_units(sl_str s)
{
    size_t units = 0;
    uint32_t c;
    for (size_t i = 0; i < s.n; units += c >= 0x10000 ? 2 : 1)
        i += sl_unicode_char(sl_str_sub(s, i, s.n), &c);
    return units;
}

size_t sl_unicode_offset(sl_str s, size_t unit)
{
    size_t i = 0, units = 0;
    uint32_t c;
    while (i < s.n && units < unit) {
        size_t n = sl_unicode_char(sl_str_sub(s, i, s.n), &c);
        units += c >= 0x10000 ? 2 : 1;
        if (units > unit)
            return i;
        i += n;
    }
    return i;
}
