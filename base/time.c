/* base/time.c: calendar, ISO parsing and printing, durations. Zones are in tz.c, patterns in timefmt.c. */
#include "base/time.h"

#include "base/arena.h"
#include "base/str.h"

int64_t sl_days_from_civil(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t yoe = year - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

sl_civil sl_civil_from_seconds(int64_t s)
{
    int64_t days = floor_div(s, 86400), rest = s - days * 86400, z = days + 719468;
    int64_t era = floor_div(z, 146097), doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    sl_civil c = { 0 };
    c.day = (int)(doy - (153 * mp + 2) / 5 + 1);
    c.month = (int)(mp < 10 ? mp + 3 : mp - 9);
    c.year = yoe + era * 400 + (c.month <= 2);
    c.hour = (int)(rest / 3600);
    c.minute = (int)(rest / 60 % 60);
    c.second = (int)(rest % 60);
    c.weekday = (int)(((days + 3) % 7 + 7) % 7) + 1;
    c.yearday = (int)(days - sl_days_from_civil(c.year, 1, 1)) + 1;
    return c;
}

int64_t sl_seconds_from_civil(const sl_civil *c)
{
    return sl_days_from_civil(c->year, c->month, c->day) * 86400 + c->hour * 3600 + c->minute * 60 + c->second;
}

int sl_days_in_month(int64_t year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

sl_time sl_time_at(int64_t s, int32_t ns, const sl_tz *tz)
{
    return (sl_time){ .s = s, .ns = ns, .zone = tz, .offset_s = sl_tz_offset(tz, s, NULL), .kind = SL_TIME_ZONED };
}

int64_t sl_time_wall(sl_time t)
{
    return t.kind == SL_TIME_ZONED ? t.s + t.offset_s : t.s;
}

/* A cursor over the text; every helper moves it on success only. */
typedef struct cursor {
    const char *p, *end;
} cursor;

static bool digits(cursor *c, int least, int most, int64_t *ret)
{
    int64_t v = 0;
    int n = 0;
    while (n < most && c->p + n < c->end && c->p[n] >= '0' && c->p[n] <= '9')
        v = v * 10 + (c->p[n++] - '0');
    if (n < least)
        return false;
    c->p += n;
    *ret = v;
    return true;
}

static bool literal(cursor *c, char wanted)
{
    if (c->p < c->end && *c->p == wanted) {
        c->p++;
        return true;
    }
    return false;
}

static bool parse_date(cursor *c, int64_t *days)
{
    int64_t y, m, d;
    if (!digits(c, 4, 4, &y) || !literal(c, '-') || !digits(c, 2, 2, &m) || !literal(c, '-') || !digits(c, 2, 2, &d))
        return false;
    if (m < 1 || m > 12 || d < 1 || d > sl_days_in_month(y, (int)m))
        return false;
    *days = sl_days_from_civil(y, (int)m, (int)d);
    return true;
}

static bool parse_clock(cursor *c, int64_t *seconds, int32_t *ns)
{
    int64_t h, m, s = 0;
    if (!digits(c, 2, 2, &h) || !literal(c, ':') || !digits(c, 2, 2, &m))
        return false;
    *ns = 0;
    if (literal(c, ':')) {
        if (!digits(c, 2, 2, &s))
            return false;
        if (literal(c, '.') || literal(c, ',')) {
            int32_t scale = 100000000;
            bool any = false;
            for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++, scale /= 10, any = true)
                *ns += (*c->p - '0') * scale;
            if (!any)
                return false;
        }
    }
    if (h > 23 || m > 59 || s > 59)
        return false;
    *seconds = h * 3600 + m * 60 + s;
    return true;
}

/* Z, +02:00, +0200, +02; then perhaps [Zone]. */
static bool parse_offset(cursor *c, sl_time *t)
{
    t->kind = SL_TIME_ZONED;
    if (literal(c, 'Z') || literal(c, 'z')) {
        t->offset_s = 0;
        t->kind = SL_TIME_INSTANT;
    } else {
        int sign = literal(c, '+') ? 1 : literal(c, '-') ? -1 : 0;
        int64_t h, m = 0;
        if (sign == 0 || !digits(c, 2, 2, &h))
            return false;
        if (literal(c, ':') ? !digits(c, 2, 2, &m) : (c->p < c->end && *c->p != '[' && !digits(c, 2, 2, &m)))
            return false;
        t->offset_s = (int32_t)(sign * (h * 3600 + m * 60));
    }
    if (literal(c, '[')) {
        const char *close = memchr(c->p, ']', (size_t)(c->end - c->p));
        sl_err ignored;
        if (close == NULL || (t->zone = sl_tz_find((sl_str){ c->p, (size_t)(close - c->p) }, &ignored)) == NULL)
            return false;
        c->p = close + 1;
        t->kind = SL_TIME_ZONED;
    }
    return true;
}

bool sl_time_parse(sl_str text, sl_time *ret)
{
    cursor c = { text.p, text.p + text.n };
    sl_time t = { 0 };
    int64_t days, seconds;
    if (text.n >= 3 && text.p[2] == ':') {
        if (!parse_clock(&c, &t.s, &t.ns) || c.p != c.end)
            return false;
        t.kind = SL_TIME_OF_DAY;
        *ret = t;
        return true;
    }
    if (!parse_date(&c, &days))
        return false;
    t.s = days * 86400;
    t.kind = SL_TIME_DATE;
    if (c.p == c.end) {
        *ret = t;
        return true;
    }
    if (!literal(&c, 'T') && !literal(&c, 't') && !literal(&c, ' '))
        return false;
    if (!parse_clock(&c, &seconds, &t.ns))
        return false;
    t.s += seconds;
    t.kind = SL_TIME_LOCAL;
    if (c.p < c.end) {
        if (!parse_offset(&c, &t) || c.p != c.end)
            return false;
        t.s -= t.offset_s;
    }
    *ret = t;
    return true;
}

static void add_clock(sl_buf *b, const sl_civil *c, int32_t ns, bool always_seconds)
{
    sl_buf_fmt(b, "%02d:%02d", c->hour, c->minute);
    if (!always_seconds && c->second == 0 && ns == 0)
        return;
    sl_buf_fmt(b, ":%02d", c->second);
    if (ns == 0)
        return;
    if (ns % 1000000 == 0)
        sl_buf_fmt(b, ".%03d", ns / 1000000);
    else if (ns % 1000 == 0)
        sl_buf_fmt(b, ".%06d", ns / 1000);
    else
        sl_buf_fmt(b, ".%09d", ns);
}

static void add_offset(sl_buf *b, int32_t offset)
{
    if (offset == 0) {
        sl_buf_char(b, 'Z');
        return;
    }
    int32_t a = offset < 0 ? -offset : offset;
    sl_buf_fmt(b, "%c%02d:%02d", offset < 0 ? '-' : '+', a / 3600, a / 60 % 60);
}

sl_str sl_time_java(sl_arena *arena, sl_time t)
{
    sl_civil c = sl_civil_from_seconds(sl_time_wall(t));
    sl_buf b = sl_buf_new(arena, 128);
    if (t.kind != SL_TIME_OF_DAY)
        sl_buf_fmt(&b, "%04lld-%02d-%02d", (long long)c.year, c.month, c.day);
    if (t.kind == SL_TIME_DATE)
        return sl_buf_str(&b);
    if (t.kind != SL_TIME_OF_DAY)
        sl_buf_char(&b, 'T');
    add_clock(&b, &c, t.ns, t.kind == SL_TIME_INSTANT);
    if (t.kind == SL_TIME_INSTANT)
        sl_buf_char(&b, 'Z');
    if (t.kind == SL_TIME_ZONED) {
        add_offset(&b, t.offset_s);
        if (t.zone != NULL && t.zone != sl_tz_utc() && sl_str_find(sl_tz_name(t.zone), SL_S("/")) > 0)
            sl_buf_fmt(&b, "[%.*s]", SL_ARG(sl_tz_name(t.zone)));
    }
    return sl_buf_str(&b);
}

sl_str sl_time_rfc3339(sl_arena *arena, int64_t epoch_ms)
{
    int64_t s = floor_div(epoch_ms, 1000);
    sl_civil c = sl_civil_from_seconds(s);
    return sl_fmt(arena, "%04lld-%02d-%02dT%02d:%02d:%02d.%03dZ", (long long)c.year, c.month, c.day, c.hour, c.minute, c.second,
                  (int)(epoch_ms - s * 1000));
}

bool sl_duration_parse(sl_str text, int64_t *ret_ms)
{
    double number;
    if (sl_parse_double(text, &number)) {
        if (number < 0 || number > 9e15)
            return false;
        *ret_ms = (int64_t)(number * 1000 + 0.5);
        return true;
    }
    bool negative = text.n > 0 && text.p[0] == '-';
    size_t at = negative ? 1 : 0;
    if (text.n < at + 3 || (text.p[at] | 32) != 'p')
        return false;
    at++;
    bool in_time = false, any = false;
    double total = 0;
    while (at < text.n) {
        if ((text.p[at] | 32) == 't' && !in_time) {
            in_time = true;
            at++;
            continue;
        }
        size_t from = at;
        while (at < text.n && ((text.p[at] >= '0' && text.p[at] <= '9') || strchr(".+-", text.p[at]) != NULL))
            at++;
        if (at >= text.n || !sl_parse_double(sl_str_sub(text, from, at), &number))
            return false;
        char unit = (char)(text.p[at++] | 32);
        double factor = !in_time ? (unit == 'd' ? 86400 : unit == 'w' ? 604800 : 0)
                                 : (unit == 'h' ? 3600 : unit == 'm' ? 60 : unit == 's' ? 1 : 0);
        if (factor <= 0)
            return false;
        total += number * factor;
        any = true;
    }
    if (!any || total > 9e15)
        return false;
    *ret_ms = (int64_t)(total * 1000 + (total < 0 ? -0.5 : 0.5)) * (negative ? -1 : 1);
    return true;
}

sl_str sl_duration_text(sl_arena *arena, int64_t ms)
{
    if (ms == 0)
        return SL_S("PT0S");
    sl_buf b = sl_buf_new(arena, 64);
    bool negative = ms < 0;
    uint64_t left = negative ? 0 - (uint64_t)ms : (uint64_t)ms;
    const char *sign = negative ? "-" : "";
    sl_buf_addc(&b, "PT");
    if (left >= 3600000)
        sl_buf_fmt(&b, "%s%lluH", sign, (unsigned long long)(left / 3600000));
    left %= 3600000;
    if (left >= 60000)
        sl_buf_fmt(&b, "%s%lluM", sign, (unsigned long long)(left / 60000));
    left %= 60000;
    if (left > 0) {
        sl_buf_fmt(&b, "%s%llu", sign, (unsigned long long)(left / 1000));
        char fraction[8];
        (void)snprintf(fraction, sizeof fraction, "%03u", (unsigned)(left % 1000));
        size_t n = 3;
        while (n > 0 && fraction[n - 1] == '0')
            n--;
        if (n > 0)
            sl_buf_fmt(&b, ".%.*s", (int)n, fraction);
        sl_buf_char(&b, 'S');
    }
    return sl_buf_str(&b);
}
