/* base/timefmt.c: java.time patterns, both ways, English locale. Letters as java.time.format.DateTimeFormatter lists them. */
#include "base/arena.h"
#include "base/str.h"
#include "base/time.h"

static const char *const months[] = { "January", "February", "March",     "April",   "May",      "June",
                                      "July",    "August",   "September", "October", "November", "December" };
static const char *const weekdays[] = { "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday" };

typedef struct fields {
    sl_time t;
    sl_civil c;
    const sl_time_names *names;   /* NULL: English */
} fields;

static void add_number(sl_buf *b, int64_t v, int width)
{
    sl_buf_fmt(b, "%0*lld", width, (long long)v);
}

static void add_name(sl_buf *b, const char *name, int width)
{
    if (width == 5)
        sl_buf_char(b, name[0]);
    else
        sl_buf_fmt(b, "%.*s", width >= 4 ? (int)strlen(name) : 3, name);
}

/* The n-th of a list of names; width 5: its first character. */
static void add_nth(sl_buf *b, const char *list, int n, int width)
{
    sl_str rest = sl_str_c(list), one = SL_S("");
    for (int i = 0; i < n; i++)
        (void)sl_str_cut(&rest, '|', &one);
    size_t most = one.n;
    for (size_t i = 1; width == 5 && i < one.n && most == one.n; i++)
        if (((unsigned char)one.p[i] & 0xC0) != 0x80)
            most = i;
    sl_buf_add(b, sl_str_sub(one, 0, most));
}

static void add_month(sl_buf *b, const fields *f, bool alone, int width)
{
    const sl_time_names *n = f->names;
    if (n == NULL)
        add_name(b, months[f->c.month - 1], width);
    else if (width == 3)
        add_nth(b, alone && n->months_short_alone ? n->months_short_alone : n->months_short, f->c.month, width);
    else
        add_nth(b, alone && n->months_alone ? n->months_alone : n->months, f->c.month, width);
}

static void add_weekday(sl_buf *b, const fields *f, int width)
{
    if (f->names == NULL)
        add_name(b, weekdays[f->c.weekday - 1], width);
    else
        add_nth(b, width <= 3 ? f->names->days_short : f->names->days, f->c.weekday, width);
}

static void add_fraction(sl_buf *b, int32_t ns, int width)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%09d", ns);
    sl_buf_fmt(b, "%.*s", width < 9 ? width : 9, text);
}

/* X and x: 1 = +02 or +0230, 2 = +0200, 3 = +02:00; X prints Z for zero. */
static void add_offset(sl_buf *b, int32_t offset, int width, bool zulu)
{
    if (zulu && offset == 0) {
        sl_buf_char(b, 'Z');
        return;
    }
    int32_t a = offset < 0 ? -offset : offset;
    sl_buf_fmt(b, "%c%02d", offset < 0 ? '-' : '+', a / 3600);
    if (width == 1 && a / 60 % 60 == 0)
        return;
    sl_buf_fmt(b, "%s%02d", width == 3 || width == 5 ? ":" : "", a / 60 % 60);
}

static int iso_week(const sl_civil *c, int64_t *week_year)
{
    int week = (c->yearday - c->weekday + 10) / 7;
    *week_year = c->year;
    if (week < 1) {
        *week_year = c->year - 1;
        int64_t last = sl_days_from_civil(c->year - 1, 12, 31) * 86400;
        int64_t ignored;
        sl_civil d = sl_civil_from_seconds(last);
        return iso_week(&d, &ignored);
    }
    if (week == 53) {
        sl_civil first = sl_civil_from_seconds(sl_days_from_civil(c->year + 1, 1, 1) * 86400);
        if (first.weekday <= 4) {
            *week_year = c->year + 1;
            return 1;
        }
    }
    return week;
}

static bool format_time_letter(sl_buf *b, const fields *f, char letter, int width)
{
    const sl_civil *c = &f->c;
    switch (letter) {
    case 'H': add_number(b, c->hour, width); return true;
    case 'k': add_number(b, c->hour ? c->hour : 24, width); return true;
    case 'K': add_number(b, c->hour % 12, width); return true;
    case 'h': add_number(b, c->hour % 12 ? c->hour % 12 : 12, width); return true;
    case 'a':
        if (f->names != NULL)
            add_nth(b, f->names->halves, c->hour < 12 ? 1 : 2, 1);
        else
            sl_buf_addc(b, c->hour < 12 ? "AM" : "PM");
        return true;
    case 'm': add_number(b, c->minute, width); return true;
    case 's': add_number(b, c->second, width); return true;
    case 'S': add_fraction(b, f->t.ns, width); return true;
    case 'n': add_number(b, f->t.ns, width); return true;
    case 'N': add_number(b, (c->hour * 3600LL + c->minute * 60 + c->second) * 1000000000 + f->t.ns, width); return true;
    case 'A': add_number(b, (c->hour * 3600LL + c->minute * 60 + c->second) * 1000 + f->t.ns / 1000000, width); return true;
    default: return false;
    }
}

static bool format_zone_letter(sl_buf *b, const fields *f, char letter, int width)
{
    int32_t offset = f->t.kind == SL_TIME_ZONED ? f->t.offset_s : 0;
    switch (letter) {
    case 'X': add_offset(b, offset, width, true); return true;
    case 'x': add_offset(b, offset, width, false); return true;
    case 'Z':
        if (width == 4)
            sl_buf_addc(b, "GMT");
        if (width != 4 || offset != 0)
            add_offset(b, offset, width >= 4 ? 3 : 2, width == 5);
        return true;
    case 'O': {
        int32_t a = offset < 0 ? -offset : offset;
        sl_buf_fmt(b, "GMT");
        if (offset != 0)
            sl_buf_fmt(b, "%c%d", offset < 0 ? '-' : '+', a / 3600);
        if (offset != 0 && a / 60 % 60)
            sl_buf_fmt(b, ":%02d", a / 60 % 60);
        return true;
    }
    case 'V':
    case 'z': {
        sl_str abbreviation = SL_S("UTC");
        if (f->t.zone != NULL)
            (void)sl_tz_offset(f->t.zone, f->t.s, &abbreviation);
        if (f->t.zone == NULL && offset != 0)
            add_offset(b, offset, 3, true);
        else
            sl_buf_add(b, letter == 'V' && f->t.zone ? sl_tz_name(f->t.zone) : abbreviation);
        return true;
    }
    default: return false;
    }
}

static bool format_date_letter(sl_buf *b, const fields *f, char letter, int width)
{
    const sl_civil *c = &f->c;
    int64_t week_year;
    int week = iso_week(c, &week_year);
    switch (letter) {
    case 'y':
    case 'u':
        if (width == 2)
            add_number(b, (c->year % 100 + 100) % 100, 2);
        else
            add_number(b, c->year, width);
        return true;
    case 'M':
    case 'L':
        if (width >= 3)
            add_month(b, f, letter == 'L', width);
        else
            add_number(b, c->month, width);
        return true;
    case 'd': add_number(b, c->day, width); return true;
    case 'D': add_number(b, c->yearday, width); return true;
    case 'E': add_weekday(b, f, width); return true;
    case 'e':
    case 'c':
        if (width >= 3)
            add_weekday(b, f, width);
        else
            add_number(b, c->weekday % 7 + 1, width);
        return true;
    case 'Q':
    case 'q':
        if (width == 3)
            sl_buf_fmt(b, "Q%d", (c->month + 2) / 3);
        else if (width == 4)
            sl_buf_fmt(b, "%d%s quarter", (c->month + 2) / 3, c->month < 4 ? "st" : c->month < 7 ? "nd" : c->month < 10 ? "rd" : "th");
        else
            add_number(b, (c->month + 2) / 3, width);
        return true;
    case 'w': add_number(b, week, width); return true;
    case 'W': add_number(b, (c->day + 6 + (8 - c->weekday) % 7) / 7, width); return true;
    case 'Y': add_number(b, width == 2 ? week_year % 100 : week_year, width); return true;
    case 'F': add_number(b, (c->day + 6) / 7, width); return true;
    case 'g': add_number(b, sl_days_from_civil(c->year, c->month, c->day) + 40587, width); return true; /* modified Julian day */
    case 'G':
        if (width == 5)
            sl_buf_char(b, c->year > 0 ? 'A' : 'B');
        else
            sl_buf_addc(b, width == 4 ? (c->year > 0 ? "Anno Domini" : "Before Christ") : c->year > 0 ? "AD" : "BC");
        return true;
    default: return false;
    }
}

/* Reads a quoted piece of the pattern at *at ('' is a quote) and says where it ends. */
static void quoted(sl_str pattern, size_t *at, sl_buf *out)
{
    size_t i = *at + 1;
    if (i < pattern.n && pattern.p[i] == '\'') {
        sl_buf_char(out, '\'');
        *at = i + 1;
        return;
    }
    for (; i < pattern.n; i++) {
        if (pattern.p[i] == '\'') {
            if (i + 1 < pattern.n && pattern.p[i + 1] == '\'')
                i++;
            else
                break;
        }
        sl_buf_char(out, pattern.p[i]);
    }
    *at = i + 1;
}

/* [XXX] of a time without an offset is left out: the end of the section, or `at` when it stays. */
static size_t left_out(sl_str pattern, size_t at, sl_time_kind kind)
{
    bool local = kind == SL_TIME_LOCAL || kind == SL_TIME_DATE || kind == SL_TIME_OF_DAY, zone = false;
    size_t end = at;
    for (; end < pattern.n && pattern.p[end] != ']'; end++)
        zone |= strchr("XxZOVz", pattern.p[end]) != NULL;
    return local && zone && end < pattern.n ? end + 1 : at;
}

bool sl_time_format(sl_arena *arena, sl_time t, sl_str pattern, sl_str *ret, sl_err *err)
{
    return sl_time_format_in(arena, t, pattern, NULL, ret, err);
}

bool sl_time_format_in(sl_arena *arena, sl_time t, sl_str pattern, const sl_time_names *names, sl_str *ret, sl_err *err)
{
    fields f = { t, sl_civil_from_seconds(sl_time_wall(t)), names };
    sl_buf b = sl_buf_new(arena, 4096);
    for (size_t i = 0; i < pattern.n;) {
        char c = pattern.p[i];
        if (c == '\'') {
            quoted(pattern, &i, &b);
            continue;
        }
        if (c == '[' && left_out(pattern, i, t.kind) > i) {
            i = left_out(pattern, i, t.kind);
            continue;
        }
        if (!((c | 32) >= 'a' && (c | 32) <= 'z')) {
            if (c != '[' && c != ']')
                sl_buf_char(&b, c);
            i++;
            continue;
        }
        size_t from = i;
        while (i < pattern.n && pattern.p[i] == c)
            i++;
        int width = i - from > 19 ? 19 : (int)(i - from);
        if (names != NULL && (c == 'G' || ((c == 'Q' || c == 'q') && width >= 3)))
            return sl_err_set(err, SL_ERR_CONFIG, "time.pattern", "the date pattern '%.*s' has the letter '%c', whose names are known in English only", SL_ARG(pattern), c);
        if (!format_date_letter(&b, &f, c, width) && !format_time_letter(&b, &f, c, width) && !format_zone_letter(&b, &f, c, width))
            return sl_err_set(err, SL_ERR_CONFIG, "time.pattern", "the date pattern '%.*s' has the unknown letter '%c'; put literal text in single quotes",
                              SL_ARG(pattern), c);
    }
    if (b.overflow)
        return sl_err_set(err, SL_ERR_LIMIT, "time.pattern", "the date pattern is too long");
    *ret = sl_buf_str(&b);
    return true;
}

/* ---- parsing ---- */

typedef struct parsed {
    sl_civil c;
    int32_t ns, offset;
    bool date, clock, has_offset, pm, has_half;
    const sl_tz *zone;
} parsed;

static bool take_number(sl_str *s, int width, bool adjacent, int64_t *ret)
{
    size_t n = 0, most = adjacent || width > 1 ? (size_t)(width > 2 || adjacent ? width : width) : 19;
    while (n < s->n && n < most && s->p[n] >= '0' && s->p[n] <= '9')
        n++;
    if (n == 0 || !sl_parse_int(sl_str_sub(*s, 0, n), ret))
        return false;
    *s = sl_str_sub(*s, n, s->n);
    return true;
}

static bool take_name(sl_str *s, const char *const *names, int count, int width, int *ret)
{
    for (int i = 0; i < count; i++) {
        size_t n = width >= 4 ? strlen(names[i]) : 3;
        if (s->n >= n && sl_str_ieq(sl_str_sub(*s, 0, n), (sl_str){ names[i], n })) {
            *s = sl_str_sub(*s, n, s->n);
            *ret = i + 1;
            return true;
        }
    }
    return false;
}

static bool take_offset(sl_str *s, parsed *p)
{
    p->has_offset = true;
    if (s->n > 0 && s->p[0] == 'Z') {
        *s = sl_str_sub(*s, 1, s->n);
        return true;
    }
    size_t n = s->n >= 6 && s->p[3] == ':' ? 6 : s->n >= 5 ? 5 : 3;
    char text[48];
    int len = snprintf(text, sizeof text, "1970-01-01T00:00%.*s", (int)(n < s->n ? n : s->n), s->p);
    sl_time t;
    if (len <= 0 || !sl_time_parse((sl_str){ text, (size_t)len }, &t))
        return false;
    p->offset = t.offset_s;
    *s = sl_str_sub(*s, n, s->n);
    return true;
}

static bool take_fraction(sl_str *s, int width, parsed *p)
{
    int32_t scale = 100000000;
    p->ns = 0;
    for (int i = 0; i < width; i++, scale /= 10) {
        if (s->n == 0 || s->p[0] < '0' || s->p[0] > '9')
            return false;
        p->ns += (s->p[0] - '0') * scale;
        *s = sl_str_sub(*s, 1, s->n);
    }
    return true;
}

static bool take_field(sl_str *s, char letter, int width, parsed *p)
{
    int64_t v = 0;
    int name;
    switch (letter) {
    case 'y':
    case 'u':
        p->date = true;
        if (!take_number(s, width, width == 2 || width == 4, &v))
            return false;
        p->c.year = width == 2 ? 2000 + v : v;
        return true;
    case 'M':
    case 'L':
        if (width >= 3)
            return take_name(s, months, 12, width, &p->c.month);
        p->c.month = take_number(s, width, false, &v) ? (int)v : 0;
        return p->c.month >= 1 && p->c.month <= 12;
    case 'd': p->c.day = take_number(s, width, false, &v) ? (int)v : 0; return p->c.day >= 1 && p->c.day <= 31;
    case 'E': return take_name(s, weekdays, 7, width, &name);
    case 'H':
    case 'k':
    case 'h':
    case 'K':
        p->clock = true;
        if (!take_number(s, width, false, &v) || v > 24)
            return false;
        p->c.hour = (int)v % (letter == 'H' ? 25 : letter == 'k' ? 24 : 12);
        return p->c.hour < 24;
    case 'm': p->c.minute = take_number(s, width, false, &v) ? (int)v : 60; return p->c.minute < 60;
    case 's': p->c.second = take_number(s, width, false, &v) ? (int)v : 60; return p->c.second < 60;
    case 'S': return take_fraction(s, width, p);
    case 'a':
        p->has_half = s->n >= 2;
        p->pm = s->n >= 2 && (s->p[0] | 32) == 'p';
        *s = sl_str_sub(*s, 2, s->n);
        return p->has_half;
    case 'X':
    case 'x':
    case 'Z': return take_offset(s, p);
    default: return false;
    }
}

static sl_time assemble(const parsed *p)
{
    sl_civil c = p->c;
    if (p->has_half && p->pm)
        c.hour += 12;
    sl_time t = { .s = sl_seconds_from_civil(&c), .ns = p->ns };
    if (p->has_offset) {
        t.s -= p->offset;
        t.offset_s = p->offset;
        t.kind = SL_TIME_ZONED;
    } else if (p->clock)
        t.kind = p->date ? SL_TIME_LOCAL : SL_TIME_OF_DAY;
    else
        t.kind = SL_TIME_DATE;
    return t;
}

bool sl_time_parse_pattern(sl_str text, sl_str pattern, sl_time *ret)
{
    parsed p = { .c = { .year = 1970, .month = 1, .day = 1 } };
    for (size_t i = 0; i < pattern.n;) {
        char c = pattern.p[i];
        if (c == '[' || c == ']') {
            /* An optional section is skipped when the text has ended. */
            if (c == '[' && text.n == 0)
                while (i < pattern.n && pattern.p[i] != ']')
                    i++;
            i++;
            continue;
        }
        if (c == '\'' || !((c | 32) >= 'a' && (c | 32) <= 'z')) {
            if (c == '\'') {
                i++;
                if (i < pattern.n && pattern.p[i] != '\'' && text.n > 0 && text.p[0] == pattern.p[i]) {
                    while (i < pattern.n && pattern.p[i] != '\'' && text.n > 0 && text.p[0] == pattern.p[i]) {
                        text = sl_str_sub(text, 1, text.n);
                        i++;
                    }
                }
                i++;
                continue;
            }
            if (text.n == 0 || text.p[0] != c)
                return false;
            text = sl_str_sub(text, 1, text.n);
            i++;
            continue;
        }
        size_t from = i;
        while (i < pattern.n && pattern.p[i] == c)
            i++;
        if (!take_field(&text, c, (int)(i - from), &p))
            return false;
    }
    if (text.n != 0 || p.c.day > sl_days_in_month(p.c.year, p.c.month))
        return false;
    *ret = assemble(&p);
    return true;
}
