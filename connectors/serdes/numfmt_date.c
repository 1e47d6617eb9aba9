/* connectors/serdes/numfmt_date.c: dates and times. See numfmt.h. */
#include <math.h>

#include "base/time.h"
#include "connectors/serdes/numfmt.h"
#include "connectors/serdes/xlsx_read.h"

static const char *const months[] = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December" };
static const char *const days[] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" };

typedef struct moment {
    int year, month, day, weekday; /* month: from 1; weekday: 0 is Sunday */
    int64_t second;                /* of the day */
    int64_t elapsed;               /* seconds in all */
    int64_t fraction;              /* of a second, in units of the last place that is shown */
} moment;

/* m is minutes behind hours, and before seconds. */
static bool is_minute(const sl_numfmt_section *s, size_t at)
{
    for (size_t i = at; i-- > 0;)
        if (s->tokens[i].kind == SL_NF_DATE || s->tokens[i].kind == SL_NF_ELAPSED) {
            if (s->tokens[i].c == 'h')
                return true;
            break;
        }
    for (size_t i = at + 1; i < s->count; i++)
        if (s->tokens[i].kind == SL_NF_DATE || s->tokens[i].kind == SL_NF_ELAPSED)
            return s->tokens[i].c == 's';
    return false;
}

/* .000 behind seconds. */
static int places_of(const sl_numfmt_section *s, size_t at)
{
    int n = 0;
    while (at + 1 + (size_t)n < s->count && s->tokens[at].kind == SL_NF_POINT && s->tokens[at + 1 + (size_t)n].kind == SL_NF_DIGIT && s->tokens[at + 1 + (size_t)n].c == '0')
        n++;
    return n;
}

static bool moment_of(const sl_numfmt_section *s, double v, bool since_1904, moment *m)
{
    int places = 0;
    for (size_t i = 0; i < s->count; i++)
        places = places_of(s, i) > places ? places_of(s, i) : places;
    places = places > 9 ? 9 : places;
    double unit = pow(10, places), day = floor(v);
    int64_t units = llround((v - day) * 86400 * unit), per_day = (int64_t)(86400 * unit), seconds;
    int32_t ignored;
    if (units == per_day) { /* it rounds up to the next day */
        units = 0;
        day += 1;
    }
    if (!sl_xlsx_date(day, since_1904, &seconds, &ignored))
        return false;
    m->second = units / (int64_t)unit;
    m->fraction = units % (int64_t)unit;
    m->elapsed = (int64_t)day * 86400 + m->second;
    bool never = day == 60 && !since_1904; /* 29 February 1900 */
    sl_civil c = sl_civil_from_seconds(seconds);
    m->year = never ? 1900 : (int)c.year;
    m->month = never ? 2 : c.month;
    m->day = never ? 29 : c.day;
    /* Excel's week goes on over the day that never was. */
    m->weekday = since_1904 ? (int)(((int64_t)day + 5) % 7) : (int)(((int64_t)day + 6) % 7);
    if (day == 0 && !since_1904) {
        m->year = 1900;
        m->month = 1;
        m->day = 0;
    }
    return true;
}

static void number(sl_buf *b, int64_t v, size_t width)
{
    sl_buf_fmt(b, "%0*lld", (int)width, (long long)v);
}

static void show(sl_buf *b, const sl_numfmt_token *t, bool minute, bool half, const moment *m)
{
    size_t two = t->n > 1 ? 2 : 1;
    int64_t hour = m->second / 3600;
    switch (t->c) {
    case 'y': number(b, t->n > 2 ? m->year : m->year % 100, t->n > 2 ? 4 : 2); break;
    case 'm':
        if (minute)
            number(b, m->second / 60 % 60, two);
        else if (t->n < 3)
            number(b, m->month, two);
        else
            sl_buf_add(b, sl_str_sub(sl_str_c(months[m->month - 1]), 0, t->n == 3 ? 3 : t->n == 5 ? 1 : strlen(months[m->month - 1])));
        break;
    case 'd':
        if (t->n < 3)
            number(b, m->day, two);
        else
            sl_buf_add(b, sl_str_sub(sl_str_c(days[m->weekday]), 0, t->n == 3 ? 3 : strlen(days[m->weekday])));
        break;
    case 'h': number(b, half ? (hour + 11) % 12 + 1 : hour, two); break;
    default: number(b, m->second % 60, two); break;
    }
}

static void elapsed(sl_buf *b, const sl_numfmt_token *t, const moment *m)
{
    number(b, t->c == 'h' ? m->elapsed / 3600 : t->c == 'm' ? m->elapsed / 60 : m->elapsed, t->n);
}

bool sl_numfmt_date(sl_arena *a, const sl_numfmt_section *s, double value, bool since_1904, sl_str *ret)
{
    moment m;
    bool half = false;
    if (!moment_of(s, value, since_1904, &m))
        return false;
    for (size_t i = 0; i < s->count; i++)
        half |= s->tokens[i].kind == SL_NF_HALF;
    sl_buf b = sl_buf_new(a, 4096);
    for (size_t i = 0; i < s->count; i++) {
        const sl_numfmt_token *t = &s->tokens[i];
        int places = places_of(s, i);
        if (places > 0) {
            sl_buf_char(&b, '.');
            number(&b, m.fraction, (size_t)places);
            i += (size_t)places;
        } else if (t->kind == SL_NF_LITERAL)
            sl_buf_add(&b, t->text);
        else if (t->kind == SL_NF_DATE)
            show(&b, t, t->c == 'm' && t->n < 3 && is_minute(s, i), half, &m);
        else if (t->kind == SL_NF_ELAPSED)
            elapsed(&b, t, &m);
        else if (t->kind == SL_NF_HALF)
            sl_buf_addc(&b, t->c == 'A' ? (m.second < 43200 ? "A" : "P") : m.second < 43200 ? "AM" : "PM");
        else if (t->kind == SL_NF_GENERAL)
            sl_buf_add(&b, sl_numfmt_general(a, value));
        else
            sl_buf_char(&b, t->c);
    }
    *ret = sl_buf_str(&b);
    return true;
}
