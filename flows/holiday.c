/* flows/holiday.c: see holiday.h. */
#include "flows/holiday.h"

#include <stdlib.h>

#include "base/time.h"

typedef struct day {
    int64_t year, days;            /* days: since 1970-01-01 */
} day;

/* ---- Easter ---- */

/* The anonymous Gregorian algorithm (Meeus, Astronomical Algorithms, chapter 8). */
static int64_t easter(int64_t y)
{
    int64_t a = y % 19, b = y / 100, c = y % 100, d = b / 4, e = b % 4, f = (b + 8) / 25, g = (b - f + 1) / 3;
    int64_t h = (19 * a + b - d - g + 15) % 30, i = c / 4, k = c % 4, l = (32 + 2 * e + 2 * i - h - k) % 7, m = (a + 11 * h + 22 * l) / 451, n = h + l - 7 * m + 114;
    return sl_days_from_civil(y, (int)(n / 31), (int)(n % 31) + 1);
}

/* The Julian one, 13 days on: right from 1900 to 2099. */
static int64_t orthodox_easter(int64_t y)
{
    int64_t a = y % 4, b = y % 7, c = y % 19, d = (19 * c + 15) % 30, e = (2 * a + 4 * b - d + 34) % 7, n = d + e + 114;
    return sl_days_from_civil(y, (int)(n / 31), (int)(n % 31) + 1) + 13;
}

/* ---- rules ---- */

static int weekday(int64_t days)
{
    return (int)(((days + 3) % 7 + 7) % 7); /* 0 = Monday; 1970-01-01 was a Thursday */
}

static int number(const char *p, int digits)
{
    int n = 0;
    for (int i = 0; i < digits; i++)
        n = 10 * n + (p[i] - '0');
    return n;
}

static int name_of_day(const char *p)
{
    static const char names[] = "montuewedthufrisatsun";
    for (int i = 0; i < 7; i++)
        if (memcmp(p, names + 3 * i, 3) == 0)
            return i;
    return -1;
}

static int64_t nth(int64_t year, int n, int wanted, int month)
{
    if (n > 0) {
        int64_t first = sl_days_from_civil(year, month, 1);
        return first + (wanted - weekday(first) + 7) % 7 + 7 * (n - 1);
    }
    int64_t last = sl_days_from_civil(year, month, sl_days_in_month(year, month));
    return last - (weekday(last) - wanted + 7) % 7;
}

/* What is given for a day on a weekend; -1: nothing. */
static int64_t in_lieu(int64_t days, sl_str how)
{
    static const struct {
        const char *how;
        int later[7];              /* by weekday; 0 = nothing */
    } all[] = { { "fm", { [5] = -1, [6] = 1 } }, { "mm", { [5] = 2, [6] = 1 } }, { "m", { [6] = 1 } }, { "22", { [5] = 2, [6] = 2 } }, { "s2", { [6] = 2, [0] = 1 } } };
    for (size_t i = 0; i < SL_COUNT(all); i++)
        if (sl_str_eqc(how, all[i].how) && all[i].later[weekday(days)] != 0)
            return days + all[i].later[weekday(days)];
    return -1;
}

/* "[2010-2020]" at the end of a rule; either year may be left out. *rule is what is before it. */
static bool in_years(sl_str *rule, int64_t year)
{
    const char *open = memchr(rule->p, '[', rule->n);
    if (open == NULL)
        return true;
    rule->n = (size_t)(open - rule->p);
    const char *dash = strchr(open, '-');
    return (dash == open + 1 || year >= number(open + 1, 4)) && (dash[1] == ']' || year <= number(dash + 1, 4));
}

/* "+50", "-2" */
static int64_t offset(sl_str s)
{
    int64_t n = 0;
    return sl_parse_int(s, &n) ? n : 0;
}

static int64_t date_of(sl_str rule, int64_t year)
{
    const char *p = rule.p;
    if (p[0] == '@')
        return number(p + 1, 4) == year ? sl_days_from_civil(year, number(p + 6, 2), number(p + 9, 2)) : -1;
    if (p[0] == 'E' || p[0] == 'O')
        return (p[0] == 'E' ? easter(year) : orthodox_easter(year)) + offset(sl_str_sub(rule, 1, rule.n));
    if (p[0] == '-')
        return nth(year, -1, name_of_day(p + 2), number(p + 5, 2));
    if (p[1] >= 'a' && p[0] <= '9')
        return nth(year, p[0] - '0', name_of_day(p + 1), number(p + 4, 2));
    if (p[3] == '>') {
        int64_t from = sl_days_from_civil(year, number(p + 4, 2), number(p + 7, 2));
        return from + (name_of_day(p) - weekday(from) + 7) % 7;
    }
    int64_t days = sl_days_from_civil(year, number(p, 2), number(p + 3, 2));
    return rule.n > 6 ? in_lieu(days, sl_str_sub(rule, 6, rule.n)) : days;
}

/* What is given for a weekend may lie in the year before or after: New Year's Day on a Saturday is given on the Friday before. */
static bool rule_hits(sl_str rule, const day *d)
{
    int64_t around = memchr(rule.p, '/', rule.n) != NULL || rule.p[3] == '>' ? 1 : 0;
    for (int64_t year = d->year - around; year <= d->year + around; year++) {
        sl_str bare = rule;
        if (in_years(&bare, year) && date_of(bare, year) == d->days)
            return true;
    }
    return false;
}

static bool any_hits(const char *rules, char sign, const day *d)
{
    sl_str rest = sl_str_c(rules), rule;
    while (rest.n > 0 && sl_str_cut(&rest, ' ', &rule)) {
        if (sign != '\0' && rule.p[0] != sign)
            continue;
        if (rule_hits(sign ? sl_str_sub(rule, 1, rule.n) : rule, d))
            return true;
    }
    return false;
}

static int by_country(const void *key, const void *row)
{
    const sl_str *country = key;
    const char *name = ((const sl_holiday_rules *)row)->country;
    for (size_t i = 0; i < 2; i++)
        if ((country->p[i] & ~0x20) != name[i])
            return (country->p[i] & ~0x20) - name[i];
    return 0;
}

/* The row of the country as a whole, which is its first; NULL: there is none. */
static const sl_holiday_rules *find_country(sl_str country)
{
    const sl_holiday_rules *r = country.n == 2 ? bsearch(&country, sl_holiday_table, sl_holiday_count, sizeof *sl_holiday_table, by_country) : NULL;
    while (r != NULL && *r->subdivision != '\0')
        r--;
    return r;
}

static const sl_holiday_rules *find_part(const sl_holiday_rules *whole, sl_str subdivision)
{
    for (const sl_holiday_rules *r = whole; r->country != NULL && strcmp(r->country, whole->country) == 0; r++)
        if (sl_str_ieq(subdivision, sl_str_c(r->subdivision)))
            return r;
    return NULL;
}

bool sl_holiday_is(sl_str country, sl_str subdivision, int64_t year, int month, int date, bool *ret, sl_err *err)
{
    const sl_holiday_rules *whole = find_country(country), *part = whole != NULL && subdivision.n > 0 ? find_part(whole, subdivision) : NULL;
    if (whole == NULL)
        return sl_err_set(err, SL_ERR_CONFIG, "holiday.country", "the public holidays of the country '%.*s' are not known; name one by its two letters, such as DE or US", SL_ARG(country));
    if (subdivision.n > 0 && part == NULL)
        return sl_err_set(err, SL_ERR_CONFIG, "holiday.subdivision", "the country %s has no subdivision '%.*s' with holidays of its own", whole->country, SL_ARG(subdivision));
    if (whole->rules == NULL || (part != NULL && part->rules == NULL))
        return sl_err_set(err, SL_ERR_CONFIG, "holiday.calendar", "the public holidays of %s%s%s follow calendars that are not computed here", whole->country, part ? "-" : "", part ? part->subdivision : "");
    if (year < SL_HOLIDAY_FIRST || year > SL_HOLIDAY_LAST)
        return sl_err_set(err, SL_ERR_CONFIG, "holiday.year", "public holidays are known from %d to %d, not of %lld", SL_HOLIDAY_FIRST, SL_HOLIDAY_LAST, (long long)year);
    day d = { year, sl_days_from_civil(year, month, date) };
    *ret = (any_hits(whole->rules, '\0', &d) && (part == NULL || !any_hits(part->rules, '-', &d))) || (part != NULL && any_hits(part->rules, '+', &d));
    return true;
}
