/* base/ion.c: see ion.h. */
#include "base/ion.h"

#include <math.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/limits.h"

static bool identifier(sl_str s)
{
    static const char *const reserved[] = { "null", "true", "false", "nan" };
    for (size_t i = 0; i < SL_COUNT(reserved); i++)
        if (s.n <= 5 && sl_str_eqc(s, reserved[i]))
            return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool letter = (unsigned)((c | 32) - 'a') < 26 || c == '_' || c == '$';
        if (!letter && !(i > 0 && (unsigned)(c - '0') < 10))
            return false;
    }
    return s.n > 0;
}

static void write_time(sl_buf *out, sl_arena *arena, sl_time t)
{
    sl_str text = sl_time_java(arena, t);
    switch (t.kind) {
    case SL_TIME_DATE: sl_buf_add(out, text); break;
    case SL_TIME_INSTANT: {
        sl_civil c = sl_civil_from_seconds(t.s);
        /* Milliseconds, and what is finer where there is any. */
        int finer = t.ns % 1000000 == 0 ? 3 : t.ns % 1000 == 0 ? 6 : 9;
        sl_buf_fmt(out, "%04lld-%02d-%02dT%02d:%02d:%02d.%0*dZ", (long long)c.year, c.month, c.day, c.hour, c.minute, c.second, finer, finer == 3 ? t.ns / 1000000 : finer == 6 ? t.ns / 1000 : t.ns);
        break;
    }
    case SL_TIME_ZONED: sl_buf_fmt(out, "%s::\"%.*s\"", t.zone ? "ZonedDateTime" : "OffsetDateTime", SL_ARG(text)); break;
    case SL_TIME_LOCAL: sl_buf_fmt(out, "LocalDateTime::\"%.*s\"", SL_ARG(text)); break;
    case SL_TIME_OF_DAY: sl_buf_fmt(out, "LocalTime::\"%.*s\"", SL_ARG(text)); break;
    }
}

static void write_double(sl_buf *out, double d)
{
    if (!isfinite(d)) {
        sl_buf_addc(out, isnan(d) ? "nan" : d > 0 ? "+inf" : "-inf");
        return;
    }
    char digits[20];
    int exponent = 0, n = 1;
    if (signbit(d))
        sl_buf_char(out, '-');
    if (d == 0)
        digits[0] = '0';
    else
        n = sl_double_digits(fabs(d), digits, &exponent);
    char text[48];
    size_t at = 0;
    bool scientific = exponent < -4 || exponent >= n; /* 1.5e3, as C's %g has it */
    int whole = scientific ? 1 : exponent + 1;
    if (whole <= 0) {
        memcpy(text, "0.000", 5);
        at = (size_t)(2 - whole);
        whole = n;
    }
    memcpy(text + at, digits, (size_t)whole);
    at += (size_t)whole;
    if (n > whole) {
        text[at++] = '.';
        memcpy(text + at, digits + whole, (size_t)(n - whole));
        at += (size_t)(n - whole);
    }
    text[at++] = 'e';
    sl_buf_add(out, (sl_str){ text, at });
    sl_buf_int(out, scientific ? exponent : 0);
}

void sl_ion_write(sl_buf *out, sl_arena *arena, const sl_val *v)
{
    switch (v->type) {
    case SL_NULL: sl_buf_addc(out, "null"); break;
    case SL_BOOL: sl_buf_addc(out, v->b ? "true" : "false"); break;
    case SL_INT: sl_buf_int(out, v->i); break;
    case SL_DOUBLE: write_double(out, v->d); break;
    case SL_STRING: sl_json_quote(out, v->s); break;
    case SL_DURATION: sl_buf_fmt(out, "Duration::\"%.*s\"", SL_ARG(sl_duration_text(arena, v->i))); break;
    case SL_TIME: write_time(out, arena, v->t); break;
    case SL_LIST:
        sl_buf_char(out, '[');
        for (size_t i = 0; i < v->list.n; i++) {
            if (i > 0)
                sl_buf_char(out, ',');
            sl_ion_write(out, arena, v->list.items[i]);
        }
        sl_buf_char(out, ']');
        break;
    case SL_MAP:
        sl_buf_char(out, '{');
        for (size_t i = 0; i < v->map.n; i++) {
            sl_str key = v->map.entries[i].key;
            if (i > 0)
                sl_buf_char(out, ',');
            if (identifier(key))
                sl_buf_add(out, key);
            else {
                sl_buf_char(out, '\'');
                sl_buf_add(out, sl_str_replace(arena, sl_str_replace(arena, key, SL_S("\\"), SL_S("\\\\")), SL_S("'"), SL_S("\\'")));
                sl_buf_char(out, '\'');
            }
            sl_buf_char(out, ':');
            sl_ion_write(out, arena, v->map.entries[i].value);
        }
        sl_buf_char(out, '}');
        break;
    }
}

typedef struct reader {
    sl_arena *arena;
    sl_str rest;
    sl_err *err;
    int depth;
} reader;

static const sl_val *bad(reader *r, const char *what)
{
    sl_err_set(r->err, SL_ERR_DATA, "ion.syntax", "not valid Ion text near '%.*s': %s", (int)(r->rest.n < 40 ? r->rest.n : 40), r->rest.p, what);
    return NULL;
}

static void skip(reader *r)
{
    if (r->rest.n > 0 && (unsigned char)r->rest.p[0] > ' ' && r->rest.p[0] != '/')
        return;
    for (;;) {
        r->rest = sl_str_trim((sl_str){ r->rest.p, r->rest.n });
        if (sl_str_starts(r->rest, SL_S("//"))) {
            ptrdiff_t end = sl_str_find(r->rest, SL_S("\n"));
            r->rest = sl_str_sub(r->rest, end < 0 ? r->rest.n : (size_t)end, r->rest.n);
        } else if (sl_str_starts(r->rest, SL_S("/*"))) {
            ptrdiff_t end = sl_str_find(r->rest, SL_S("*/"));
            r->rest = sl_str_sub(r->rest, end < 0 ? r->rest.n : (size_t)end + 2, r->rest.n);
        } else
            return;
    }
}

static void add_utf8(sl_buf *b, uint32_t c)
{
    if (c < 0x80)
        sl_buf_char(b, (char)c);
    else if (c < 0x800) {
        sl_buf_char(b, (char)(0xC0 | c >> 6));
        sl_buf_char(b, (char)(0x80 | (c & 63)));
    } else if (c < 0x10000) {
        sl_buf_char(b, (char)(0xE0 | c >> 12));
        sl_buf_char(b, (char)(0x80 | (c >> 6 & 63)));
        sl_buf_char(b, (char)(0x80 | (c & 63)));
    } else {
        sl_buf_char(b, (char)(0xF0 | c >> 18));
        sl_buf_char(b, (char)(0x80 | (c >> 12 & 63)));
        sl_buf_char(b, (char)(0x80 | (c >> 6 & 63)));
        sl_buf_char(b, (char)(0x80 | (c & 63)));
    }
}

/* "…" or '…'; leaves *rest behind it. */
static bool quoted(reader *r, sl_str *ret)
{
    char quote = r->rest.p[0];
    const char *closing = memchr(r->rest.p + 1, quote, r->rest.n - 1);
    if (closing != NULL && memchr(r->rest.p + 1, '\\', (size_t)(closing - r->rest.p - 1)) == NULL) {
        *ret = sl_str_dup(r->arena, (sl_str){ r->rest.p + 1, (size_t)(closing - r->rest.p - 1) });
        r->rest = sl_str_sub(r->rest, ret->n + 2, r->rest.n);
        return true;
    }
    sl_buf b = sl_buf_new(r->arena, r->rest.n);
    size_t i = 1;
    for (; i < r->rest.n && r->rest.p[i] != quote; i++) {
        char c = r->rest.p[i];
        if (c != '\\') {
            sl_buf_char(&b, c);
            continue;
        }
        if (++i >= r->rest.n)
            break;
        static const char from[] = "ntrabfv0", to[] = "\n\t\r\a\b\f\v";
        const char *hit = strchr(from, r->rest.p[i]);
        if (r->rest.p[i] == 'u' || r->rest.p[i] == 'U' || r->rest.p[i] == 'x') {
            size_t digits = r->rest.p[i] == 'u' ? 4 : r->rest.p[i] == 'U' ? 8 : 2;
            uint32_t code = (uint32_t)strtoul(sl_cstr(r->arena, sl_str_sub(r->rest, i + 1, i + 1 + digits)), NULL, 16);
            add_utf8(&b, code);
            i += digits;
        } else if (hit != NULL && *hit != '\0')
            sl_buf_char(&b, hit - from < 7 ? to[hit - from] : '\0');
        else if (r->rest.p[i] != '\n')
            sl_buf_char(&b, r->rest.p[i]);
    }
    if (i >= r->rest.n)
        return bad(r, "a string is not closed") != NULL;
    *ret = sl_buf_str(&b);
    r->rest = sl_str_sub(r->rest, i + 1, r->rest.n);
    return true;
}

static const sl_val *read_value(reader *r);

static const sl_val *read_list(reader *r)
{
    sl_val *list = sl_list(r->arena);
    char close = r->rest.p[0] == '[' ? ']' : ')';
    r->rest = sl_str_sub(r->rest, 1, r->rest.n);
    for (;;) {
        skip(r);
        if (r->rest.n == 0)
            return bad(r, "a list is not closed");
        if (r->rest.p[0] == close) {
            r->rest = sl_str_sub(r->rest, 1, r->rest.n);
            return list;
        }
        const sl_val *v = read_value(r);
        if (v == NULL)
            return NULL;
        sl_list_add(r->arena, list, v);
        skip(r);
        if (r->rest.n > 0 && r->rest.p[0] == ',')
            r->rest = sl_str_sub(r->rest, 1, r->rest.n);
    }
}

static sl_str word(reader *r)
{
    static const bool ends[256] = { [','] = true, [':'] = true, [']'] = true, ['}'] = true, [')'] = true, [' '] = true, ['\t'] = true, ['\r'] = true, ['\n'] = true, ['\''] = true, ['"'] = true, ['\0'] = true };
    size_t n = 0;
    while (n < r->rest.n && !ends[(unsigned char)r->rest.p[n]])
        n++;
    /* A timestamp holds colons. */
    if (n == 13 && r->rest.p[4] == '-' && r->rest.p[10] == 'T')
        while (n < r->rest.n && strchr(",]}) \r\n", r->rest.p[n]) == NULL)
            n++;
    sl_str w = sl_str_sub(r->rest, 0, n);
    r->rest = sl_str_sub(r->rest, n, r->rest.n);
    return w;
}

static const sl_val *read_struct(reader *r)
{
    sl_val *map = sl_map(r->arena);
    uint64_t seen = 0;
    r->rest = sl_str_sub(r->rest, 1, r->rest.n);
    for (;;) {
        skip(r);
        if (r->rest.n == 0)
            return bad(r, "a struct is not closed");
        if (r->rest.p[0] == '}') {
            r->rest = sl_str_sub(r->rest, 1, r->rest.n);
            return map;
        }
        sl_str key;
        if (r->rest.p[0] == '"' || r->rest.p[0] == '\'') {
            if (!quoted(r, &key))
                return NULL;
        } else
            key = sl_str_dup(r->arena, word(r));
        skip(r);
        if (r->rest.n == 0 || r->rest.p[0] != ':' || key.n == 0)
            return bad(r, "':' was expected after a field's name");
        r->rest = sl_str_sub(r->rest, 1, r->rest.n);
        const sl_val *v = read_value(r);
        if (v == NULL)
            return NULL;
        sl_map_put(r->arena, map, key, v, &seen);
        skip(r);
        if (r->rest.n > 0 && r->rest.p[0] == ',')
            r->rest = sl_str_sub(r->rest, 1, r->rest.n);
    }
}

static const sl_val *read_word(reader *r)
{
    sl_str w = word(r);
    int64_t i;
    double d;
    sl_time t;
    if (w.n == 0)
        return bad(r, "a value was expected");
    bool digit = (unsigned char)(w.p[w.p[0] == '-' && w.n > 1] - '0') <= 9;
    if (digit && sl_parse_int(w, &i))
        return sl_val_int(r->arena, i);
    if (digit && sl_parse_double(w, &d))
        return sl_val_double(r->arena, d);
    if (sl_str_starts(w, SL_S("null")))
        return &sl_null_val;
    if (sl_str_eqc(w, "true") || sl_str_eqc(w, "false"))
        return sl_val_bool(w.p[0] == 't');
    if (sl_str_eqc(w, "nan") || sl_str_eqc(w, "+inf") || sl_str_eqc(w, "-inf"))
        return sl_val_double(r->arena, w.p[0] == 'n' ? NAN : w.p[0] == '+' ? INFINITY : -INFINITY);
    if (sl_parse_int(w, &i))
        return sl_val_int(r->arena, i);
    if (sl_parse_double(sl_str_replace(r->arena, w, SL_S("d"), SL_S("e")), &d))
        return sl_val_double(r->arena, d);
    if (w.p[0] >= '0' && w.p[0] <= '9' && sl_time_parse(w, &t))
        return sl_val_time(r->arena, t);
    return sl_val_str(r->arena, sl_str_dup(r->arena, w));
}

static const sl_val *annotated(reader *r, sl_str name)
{
    const sl_val *v = read_value(r);
    sl_time t;
    int64_t ms;
    if (v == NULL || v->type != SL_STRING)
        return v;
    if (sl_str_eqc(name, "Duration") && sl_duration_parse(v->s, &ms))
        return sl_val_duration(r->arena, ms);
    if ((sl_str_ends(name, SL_S("Time")) || sl_str_eqc(name, "Instant") || sl_str_eqc(name, "LocalDate")) && sl_time_parse(v->s, &t))
        return sl_val_time(r->arena, t);
    return v;
}

static const sl_val *read_blob(reader *r)
{
    ptrdiff_t end = sl_str_find(r->rest, SL_S("}}"));
    if (end < 0)
        return bad(r, "a blob is not closed");
    sl_str text = sl_str_trim(sl_str_sub(r->rest, 2, (size_t)end));
    r->rest = sl_str_sub(r->rest, (size_t)end + 2, r->rest.n);
    return sl_val_str(r->arena, sl_str_dup(r->arena, text));
}

static const sl_val *read_value(reader *r)
{
    skip(r);
    if (r->rest.n == 0)
        return bad(r, "the text ends where a value was expected");
    if (++r->depth > SL_JSON_DEPTH_MAX)
        return bad(r, "it is nested too deeply");
    const sl_val *v;
    sl_str s;
    char c = r->rest.p[0];
    if (sl_str_starts(r->rest, SL_S("{{")))
        v = read_blob(r);
    else if (c == '{')
        v = read_struct(r);
    else if (c == '[' || c == '(')
        v = read_list(r);
    else if (c == '"' || c == '\'') {
        if (!quoted(r, &s))
            return NULL;
        v = sl_val_str(r->arena, s);
    } else {
        size_t n = 0;
        while (n < r->rest.n && ((r->rest.p[n] | 32) >= 'a' && (r->rest.p[n] | 32) <= 'z'))
            n++;
        if (n > 0 && n + 1 < r->rest.n && r->rest.p[n] == ':' && r->rest.p[n + 1] == ':') {
            sl_str name = sl_str_sub(r->rest, 0, n);
            r->rest = sl_str_sub(r->rest, n + 2, r->rest.n);
            v = annotated(r, name);
        } else
            v = read_word(r);
    }
    r->depth--;
    return v;
}

const sl_val *sl_ion_read(sl_arena *arena, sl_str *rest, sl_err *err)
{
    sl_err_clear(err);
    reader r = { .arena = arena, .rest = *rest, .err = err };
    skip(&r);
    const sl_val *v = r.rest.n > 0 ? read_value(&r) : NULL;
    *rest = r.rest;
    return v;
}
