/* flows/cron.c: see cron.h. */
#include "flows/cron.h"

#include "base/arena.h"

enum { HOUR = 3600, DAY = 86400, YEARS = 10 };

/* ---- parsing ---- */

typedef struct field {
    const char *name;
    int least, most;
    const char *const *names;    /* of the values from `first_name` on, three letters each */
    int first_name;
} field;

static const char *const months[] = { "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC", NULL };
static const char *const weekdays[] = { "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", NULL };
enum { SECOND, MINUTE, HOUR_OF_DAY, DAY_OF_MONTH, MONTH, DAY_OF_WEEK, FIELDS };
static const field fields[FIELDS] = {
    { "second", 0, 59, NULL, 0 }, { "minute", 0, 59, NULL, 0 }, { "hour", 0, 23, NULL, 0 }, { "day-of-month", 1, 31, NULL, 0 }, { "month", 1, 12, months, 1 }, { "day-of-week", 0, 7, weekdays, 0 },
};

static bool wrong(const field *f, sl_str part, const char *why, sl_err *err)
{
    return sl_err_set(err, SL_ERR_CONFIG, "cron", "the %s field has '%.*s', %s", f->name, (int)(part.n < 60 ? part.n : 60), part.p ? part.p : "", why);
}

static bool value_of(const field *f, sl_str part, sl_str text, int *ret, sl_err *err)
{
    int64_t n;
    for (int i = 0; f->names != NULL && f->names[i] != NULL; i++)
        if (sl_str_ieq(text, sl_str_c(f->names[i]))) {
            *ret = f->first_name + i;
            return true;
        }
    if (text.n == 0 || text.n > 2 || text.p[0] < '0' || text.p[0] > '9' || !sl_parse_int(text, &n))
        return wrong(f, part, "which is not a value, a range or a list of them", err);
    if (n < f->least || n > f->most)
        return wrong(f, part, f->most == 7 ? "which is out of 0 to 7" : f->most == 59 ? "which is out of 0 to 59" : f->most == 23 ? "which is out of 0 to 23" : f->most == 31 ? "which is out of 1 to 31" : "which is out of 1 to 12", err);
    *ret = (int)n;
    return true;
}

/* L, L-3, LW, 15W of the days; 5L, 5#2 of the weekdays. *taken: it was one of those. */
static bool special(sl_cron *c, const field *f, sl_str part, bool *taken, sl_err *err)
{
    int n;
    bool day = f == &fields[DAY_OF_MONTH];
    ptrdiff_t hash = sl_str_find(part, SL_S("#"));
    *taken = true;
    if (day && sl_str_ieq(part, SL_S("L"))) {
        c->last_minus |= 1;
        return true;
    }
    if (day && sl_str_ieq(part, SL_S("LW"))) {
        c->nearest |= 1;
        return true;
    }
    if (day && part.n > 2 && sl_str_ieq(sl_str_sub(part, 0, 2), SL_S("L-"))) {
        if (!value_of(f, part, sl_str_sub(part, 2, part.n), &n, err) || n > 30)
            return err->kind != SL_ERR_NONE ? false : wrong(f, part, "which is more days than a month has", err);
        c->last_minus |= 1U << n;
        return true;
    }
    if (day && part.n > 1 && sl_str_ieq(sl_str_sub(part, part.n - 1, part.n), SL_S("W"))) {
        if (!value_of(f, part, sl_str_sub(part, 0, part.n - 1), &n, err))
            return false;
        c->nearest |= 1U << n;
        return true;
    }
    if (!day && f == &fields[DAY_OF_WEEK] && part.n > 1 && sl_str_ieq(sl_str_sub(part, part.n - 1, part.n), SL_S("L"))) {
        if (!value_of(f, part, sl_str_sub(part, 0, part.n - 1), &n, err))
            return false;
        c->last_weekdays |= (uint8_t)(1U << n % 7);
        return true;
    }
    if (f == &fields[DAY_OF_WEEK] && hash > 0) {
        sl_str k = sl_str_sub(part, (size_t)hash + 1, part.n);
        if (!value_of(f, part, sl_str_sub(part, 0, (size_t)hash), &n, err))
            return false;
        if (k.n != 1 || k.p[0] < '1' || k.p[0] > '5')
            return wrong(f, part, "where # wants a number from 1 to 5 behind it", err);
        c->nth[n % 7] |= (uint8_t)(1U << (k.p[0] - '0'));
        return true;
    }
    *taken = false;
    return true;
}

/* "*", "a", "a-b", each perhaps with "/n". */
static bool range(const field *f, sl_str part, uint64_t *bits, sl_err *err)
{
    sl_str rest = part, span, first, last;
    int from = f->least, to = f->most == 7 ? 6 : f->most, step = 1;
    (void)sl_str_cut(&rest, '/', &span);
    bool stepped = rest.p != NULL;
    int64_t n;
    if (stepped && (rest.n == 0 || rest.n > 4 || !sl_parse_int(rest, &n) || n < 1))
        return wrong(f, part, "where / wants a number above 0 behind it", err);
    if (stepped)
        step = (int)n;
    if (!sl_str_eqc(span, "*")) {
        last = span;
        (void)sl_str_cut(&last, '-', &first);
        if (!value_of(f, part, first, &from, err))
            return false;
        if (last.p == NULL)
            to = stepped ? to : from;
        else if (!value_of(f, part, last, &to, err))
            return false;
        if (from > to)
            return wrong(f, part, "a range that runs backwards; write two, with a comma", err);
    }
    for (int i = from; i <= to; i += step)
        *bits |= 1ULL << (f->most == 7 && i == 7 ? 0 : i);
    return true;
}

static bool parse_field(sl_cron *c, int index, sl_str text, uint64_t *bits, sl_err *err)
{
    const field *f = &fields[index];
    sl_str rest = text, part;
    *bits = 0;
    if (text.n == 0)
        return wrong(f, text, "nothing", err);
    while (rest.p != NULL && sl_str_cut(&rest, ',', &part)) {
        bool taken = false;
        if ((index == DAY_OF_MONTH || index == DAY_OF_WEEK) && !special(c, f, part, &taken, err))
            return false;
        if (!taken && !range(f, part, bits, err))
            return false;
    }
    return true;
}

static sl_str nickname(sl_str text)
{
    static const char *const names[][2] = { { "@yearly", "0 0 1 1 *" }, { "@annually", "0 0 1 1 *" }, { "@monthly", "0 0 1 * *" }, { "@weekly", "0 0 * * 0" },
                                            { "@daily", "0 0 * * *" },  { "@midnight", "0 0 * * *" }, { "@hourly", "0 * * * *" } };
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (sl_str_ieq(text, sl_str_c(names[i][0])))
            return sl_str_c(names[i][1]);
    return text;
}

/* Words between blanks; the number of them, which may be more than there is room for. */
static size_t split(sl_str text, sl_str *words, size_t room)
{
    size_t n = 0, i = 0;
    while (i < text.n) {
        while (i < text.n && (text.p[i] == ' ' || text.p[i] == '\t'))
            i++;
        size_t from = i;
        while (i < text.n && text.p[i] != ' ' && text.p[i] != '\t')
            i++;
        if (i > from && n++ < room)
            words[n - 1] = sl_str_sub(text, from, i);
    }
    return n;
}

bool sl_cron_parse(sl_str text, bool with_seconds, sl_cron *ret, sl_err *err)
{
    sl_str words[FIELDS] = { 0 }, plain = sl_str_trim(text), expression = nickname(plain);
    bool nick = expression.p != plain.p;
    size_t first = with_seconds && !nick ? SECOND : MINUTE, wanted = FIELDS - first, n = split(expression, words, FIELDS);
    uint64_t bits[FIELDS] = { 1, 0, 0, 0, 0, 0 };
    *ret = (sl_cron){ 0 };
    sl_err_clear(err);
    if (n != wanted)
        return sl_err_set(err, SL_ERR_CONFIG, "cron", "invalid cron expression '%.*s': it has %zu fields, and %zu are wanted (%sminute hour day-of-month month day-of-week)", SL_ARG(text), n, wanted, first == SECOND ? "second " : "");
    for (size_t i = 0; i < wanted; i++)
        if (!parse_field(ret, (int)(first + i), words[i], &bits[first + i], err))
            return sl_err_ctx(err, "invalid cron expression '%.*s'", SL_ARG(text));
    ret->seconds = bits[SECOND];
    ret->minutes = bits[MINUTE];
    ret->hours = (uint32_t)bits[HOUR_OF_DAY];
    ret->days = (uint32_t)bits[DAY_OF_MONTH];
    ret->months = (uint16_t)bits[MONTH];
    ret->weekdays = (uint8_t)bits[DAY_OF_WEEK];
    /* A field with all of its values, such as 1-31, restricts nothing. */
    ret->any_day = ret->days == 0xFFFFFFFEU;
    ret->any_weekday = ret->weekdays == 0x7F;
    return true;
}

/* ---- matching, in wall time ---- */

/* Weekday of a date, Sunday 0. */
static int weekday(int64_t year, int month, int day)
{
    int64_t days = sl_days_from_civil(year, month, day);
    return (int)(((days % 7) + 11) % 7); /* 1970-01-01 was a Thursday */
}

static int nearest_weekday(int64_t year, int month, int wanted)
{
    int last = sl_days_in_month(year, month), day = wanted > last ? last : wanted, at = weekday(year, month, day);
    if (wanted > last)
        return 0; /* there is no 31st in June, and none near it */
    if (at == 6)
        return day > 1 ? day - 1 : day + 2;
    if (at == 0)
        return day < last ? day + 1 : day - 2;
    return day;
}

static bool day_of_month_hits(const sl_cron *c, int64_t year, int month, int day)
{
    int last = sl_days_in_month(year, month);
    if ((c->days >> day & 1) != 0 || (last - day < 31 && (c->last_minus >> (last - day) & 1) != 0))
        return true;
    if (c->nearest == 0)
        return false;
    for (int n = 1; n <= 31; n++)
        if ((c->nearest >> n & 1) != 0 && nearest_weekday(year, month, n) == day)
            return true;
    int end = last;
    while (weekday(year, month, end) == 0 || weekday(year, month, end) == 6)
        end--;
    return (c->nearest & 1) != 0 && day == end;
}

static bool day_of_week_hits(const sl_cron *c, int64_t year, int month, int day)
{
    int at = weekday(year, month, day);
    return (c->weekdays >> at & 1) != 0 || ((c->last_weekdays >> at & 1) != 0 && day + 7 > sl_days_in_month(year, month)) || (c->nth[at] >> ((day - 1) / 7 + 1) & 1) != 0;
}

static bool day_hits(const sl_cron *c, const sl_civil *d)
{
    if ((c->months >> d->month & 1) == 0)
        return false;
    if (c->any_day)
        return c->any_weekday || day_of_week_hits(c, d->year, d->month, d->day);
    if (c->any_weekday)
        return day_of_month_hits(c, d->year, d->month, d->day);
    return day_of_month_hits(c, d->year, d->month, d->day) || day_of_week_hits(c, d->year, d->month, d->day);
}

static int64_t floor_days(int64_t s)
{
    return s >= 0 ? s / DAY : -((-s + DAY - 1) / DAY);
}

/* The first second of the day from `from` on that hits; -1: none. */
static int first_in_day(const sl_cron *c, int from)
{
    for (int h = from / HOUR; h < 24; h++) {
        if ((c->hours >> h & 1) == 0)
            continue;
        for (int m = h == from / HOUR ? from % HOUR / 60 : 0; m < 60; m++) {
            if ((c->minutes >> m & 1) == 0)
                continue;
            for (int s = h == from / HOUR && m == from % HOUR / 60 ? from % 60 : 0; s < 60; s++)
                if ((c->seconds >> s & 1) != 0)
                    return h * HOUR + m * 60 + s;
        }
    }
    return -1;
}

/* The first wall time from `local` on that hits, not beyond `limit`; INT64_MAX: none. Counts days along, which is cheaper than converting each. */
static int64_t next_wall(const sl_cron *c, int64_t local, int64_t limit)
{
    int64_t first = floor_days(local);
    sl_civil d = sl_civil_from_seconds(first * DAY);
    int last = sl_days_in_month(d.year, d.month);
    for (int64_t day = first; day * DAY <= limit; day++) {
        int at = day_hits(c, &d) ? first_in_day(c, day == first ? (int)(local - day * DAY) : 0) : -1;
        if (at >= 0)
            return day * DAY + at;
        if (++d.day <= last)
            continue;
        d.day = 1;
        d.year += d.month == 12;
        d.month = d.month % 12 + 1;
        last = sl_days_in_month(d.year, d.month);
    }
    return INT64_MAX;
}

/* ---- in a time zone ---- */

/* The first instant in (from, to] at which the offset is another one; `to` is known to have another one than `from`. */
static int64_t transition(const sl_tz *tz, int64_t from, int64_t to)
{
    int32_t before = sl_tz_offset(tz, from, NULL);
    while (to - from > 1) {
        int64_t middle = from + (to - from) / 2;
        if (sl_tz_offset(tz, middle, NULL) == before)
            from = middle;
        else
            to = middle;
    }
    return to;
}

/* The end of the stretch with one offset that `t` lies in, looked for up to `limit`. */
static int64_t stretch_end(const sl_tz *tz, int64_t t, int64_t limit)
{
    enum { STRIDE = 7 * DAY }; /* no zone changes twice in a week, but for a few in wartime */
    int32_t offset = sl_tz_offset(tz, t, NULL);
    for (int64_t at = t; at < limit; at += STRIDE)
        if (sl_tz_offset(tz, at + STRIDE, NULL) != offset)
            return transition(tz, at, at + STRIDE);
    return INT64_MAX;
}

static bool every_hour(const sl_cron *c)
{
    return c->hours == (1U << 24) - 1;
}

/* Does an occurrence fall into the wall times from..to that the clocks leave out, and is it to be made up for? */
static bool shifted(const sl_cron *c, sl_cron_gap gap, int64_t from, int64_t to)
{
    return gap == SL_GAP_SHIFT && to > from && !every_hour(c) && next_wall(c, from, to) < to;
}

int64_t sl_cron_next(const sl_cron *c, const sl_tz *tz, sl_cron_gap gap, int64_t after_s)
{
    int64_t t = after_s + 1, limit = after_s + (int64_t)YEARS * 366 * DAY, repeated_until = INT64_MIN;
    int32_t earlier = sl_tz_offset(tz, t - 3 * HOUR, NULL), before = sl_tz_offset(tz, t - 1, NULL), now = sl_tz_offset(tz, t, NULL);
    if (shifted(c, gap, t + before, t + now))
        return t;
    /* Just behind a change backwards? Then the wall time up to there has been before. */
    if (earlier > now)
        repeated_until = transition(tz, t - 3 * HOUR, t) + earlier;
    while (t <= limit) {
        int32_t offset = sl_tz_offset(tz, t, NULL);
        int64_t from = every_hour(c) || repeated_until < t + offset ? t + offset : repeated_until, wall = next_wall(c, from, limit + offset);
        int64_t end = stretch_end(tz, t, wall == INT64_MAX ? limit : wall - offset);
        if (wall != INT64_MAX && wall - offset < end)
            return wall - offset;
        if (end == INT64_MAX)
            return INT64_MAX;
        int32_t later = sl_tz_offset(tz, end, NULL);
        if (shifted(c, gap, end + offset, end + later))
            return end;
        repeated_until = later < offset ? end + offset : INT64_MIN;
        t = end;
    }
    return INT64_MAX;
}

int64_t sl_cron_previous(const sl_cron *c, const sl_tz *tz, sl_cron_gap gap, int64_t before_s)
{
    /* Steps back that grow until there is an occurrence in them; then forward to the last one. */
    for (int64_t back = DAY; back <= (int64_t)YEARS * 366 * DAY; back *= 4) {
        int64_t at = sl_cron_next(c, tz, gap, before_s - back), last = INT64_MIN;
        if (at >= before_s)
            continue;
        /* Halve the way, so that a schedule of every second does not take a day's steps. */
        int64_t low = before_s - back, high = before_s;
        while (high - low > 1) {
            int64_t middle = low + (high - low) / 2, found = sl_cron_next(c, tz, gap, middle);
            if (found < before_s) {
                last = found;
                low = middle;
            } else
                high = middle;
        }
        return last != INT64_MIN ? last : at;
    }
    return INT64_MIN;
}
