/* tests/unit/test_cron.c: schedules from the tables in tests/data/cron, and each occurrence backwards from the next. */
#include "base/fs.h"
#include "flows/cron.h"
#include "tests/harness/test.h"

static sl_str said(sl_test_context *t, int64_t s)
{
    sl_str text = sl_time_rfc3339(t->arena, s * 1000);
    return s == INT64_MAX ? SL_S("never") : sl_fmt(t->arena, "%.*sZ", 19, text.p);
}

static void run_case(sl_test_context *t, sl_str line, const char *path)
{
    ptrdiff_t arrow = sl_str_rfind(line, SL_S(" => "));
    sl_str left = sl_str_sub(line, 0, (size_t)arrow), expected = sl_str_sub(line, (size_t)arrow + 4, line.n), expression, zone, after = left;
    (void)sl_str_cut(&after, '|', &expression);
    (void)sl_str_cut(&after, '|', &zone);
    bool six = sl_str_starts(expression, SL_S("6:")), shift = sl_str_ends(after, SL_S(" shift"));
    sl_cron c;
    bool ok = sl_cron_parse(sl_str_trim(six ? sl_str_sub(expression, 2, expression.n) : expression), six, &c, &t->err);
    if (sl_str_starts(expected, SL_S("! "))) {
        if (ok || sl_str_find(sl_str_c(t->err.message), sl_str_sub(expected, 2, expected.n)) < 0)
            sl_test_fail(t, path, 0, "'%.*s': %s", SL_ARG(expression), ok ? "was taken" : t->err.message);
        return;
    }
    const sl_tz *tz = sl_tz_find(sl_str_trim(zone), &t->err);
    sl_time from;
    if (!ok || tz == NULL || !sl_time_parse(sl_str_trim(sl_str_sub(after, 0, after.n - (shift ? 6 : 0))), &from)) {
        sl_test_fail(t, path, 0, "'%.*s': %s", SL_ARG(line), t->err.message);
        return;
    }
    int64_t at = from.s;
    sl_str rest = expected, want;
    while (rest.p != NULL && sl_str_cut(&rest, ' ', &want)) {
        int64_t before = at;
        at = sl_cron_next(&c, tz, shift ? SL_GAP_SHIFT : SL_GAP_SKIP, at);
        sl_str got = said(t, at);
        if (!sl_str_eq(got, want)) {
            sl_test_fail(t, path, 0, "'%.*s' gave %.*s behind %.*s", SL_ARG(line), SL_ARG(got), SL_ARG(sl_time_rfc3339(t->arena, before * 1000)));
            return;
        }
        if (at != INT64_MAX && sl_cron_previous(&c, tz, shift ? SL_GAP_SHIFT : SL_GAP_SKIP, at + 1) != at)
            sl_test_fail(t, path, 0, "'%.*s': the one before %.*s is not found", SL_ARG(line), SL_ARG(got));
    }
}

static void run_file(sl_test_context *t, const char *path)
{
    sl_str text, line;
    CHECK_OK(sl_fs_read(t->arena, path, 1 << 20, &text, &t->err));
    while (text.p != NULL && sl_str_cut(&text, '\n', &line))
        if (line.n > 0 && line.p[0] != '#')
            run_case(t, line, path);
}

SL_TEST(cron, tables)
{
    sl_test_data(t, "cron", run_file);
}

SL_TEST(cron, there_and_back_through_a_year_in_many_zones)
{
    static const char *const zones[] = { "UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/St_Johns", "Asia/Kathmandu" };
    static const char *const expressions[] = { "17 * * * *", "30 2 * * *", "*/45 1-3 * * *", "0 0 L * *", "59 23 * * 0" };
    for (size_t z = 0; z < SL_COUNT(zones); z++)
        for (size_t e = 0; e < SL_COUNT(expressions); e++) {
            sl_cron c;
            const sl_tz *tz = sl_tz_find(sl_str_c(zones[z]), &t->err);
            CHECK_OK(tz != NULL && sl_cron_parse(sl_str_c(expressions[e]), false, &c, &t->err));
            int64_t at = 1704067200, last = at, count = 0;
            while ((at = sl_cron_next(&c, tz, SL_GAP_SKIP, at)) < 1735689600) {
                if (count++ > 0 && (count % 37 == 0 || at - last > 86400) && sl_cron_previous(&c, tz, SL_GAP_SKIP, at) != last)
                    sl_test_fail(t, __FILE__, __LINE__, "%s in %s: the one before %lld is not %lld", expressions[e], zones[z], (long long)at, (long long)last);
                if (at <= last)
                    sl_test_fail(t, __FILE__, __LINE__, "%s in %s: time does not go on", expressions[e], zones[z]);
                last = at;
            }
            if (e == 0) /* every hour of the year, whatever the clocks do; Lord Howe's half an hour takes one away */
                CHECK_INT(count, strcmp(zones[z], "Australia/Lord_Howe") == 0 ? 8783 : 8784);
        }
}

/* ---- against an oracle that walks through every minute ---- */

/* A field of numbers, lists, ranges and steps as a set; written apart from the one under test. */
static uint64_t set_of(const char **p, int low, int high)
{
    uint64_t set = 0;
    for (;;) {
        int from = low, to = high, step = 1;
        if (**p == '*')
            ++*p;
        else {
            from = to = (int)strtol(*p, (char **)(uintptr_t)p, 10);
            if (**p == '-') {
                ++*p;
                to = (int)strtol(*p, (char **)(uintptr_t)p, 10);
            }
        }
        if (**p == '/') {
            ++*p;
            step = (int)strtol(*p, (char **)(uintptr_t)p, 10);
        }
        for (int v = from; v <= to; v += step)
            set |= 1ULL << v;
        if (**p != ',')
            break;
        ++*p;
    }
    while (**p == ' ')
        ++*p;
    return set;
}

typedef struct oracle {
    uint64_t minutes, hours, days, months, weekdays;
    bool any_day, any_weekday, hourly;
    sl_cron cron;
    int64_t at;            /* the last date that the tested one gave */
    bool today;
} oracle;

static void oracle_open(sl_test_context *t, oracle *o, const char *text)
{
    const char *p = text;
    CHECK_OK(sl_cron_parse(sl_str_c(text), false, &o->cron, &t->err));
    o->minutes = set_of(&p, 0, 59);
    o->hours = set_of(&p, 0, 23);
    o->any_day = *p == '*' && p[1] == ' ';
    o->days = set_of(&p, 1, 31);
    o->months = set_of(&p, 1, 12);
    o->any_weekday = *p == '*' && p[1] == '\0';
    o->weekdays = set_of(&p, 0, 7);
    o->weekdays |= o->weekdays >> 7 & 1;
    o->hourly = o->hours == (1ULL << 24) - 1;
}

static void oracle_day(oracle *o, const sl_civil *d)
{
    bool day = o->days >> d->day & 1, weekday = o->weekdays >> (d->weekday % 7) & 1;
    bool hit = o->any_day ? o->any_weekday || weekday : o->any_weekday ? day : day || weekday;
    o->today = hit && (o->months >> d->month & 1);
}

static void walk(sl_test_context *t, const char *zone, oracle *list, size_t n, int64_t from, int64_t to)
{
    const sl_tz *tz = sl_tz_find(sl_str_c(zone), &t->err);
    int64_t wall_before = INT64_MIN, day_before = INT64_MIN;
    int32_t offset = 0;
    bool changes = false;
    CHECK_OK(tz != NULL);
    for (size_t i = 0; i < n; i++)
        list[i].at = sl_cron_next(&list[i].cron, tz, SL_GAP_SKIP, from - 1);
    for (int64_t at = from; at < to; at += 60) {
        if (at % 900 == 0)
            changes = sl_tz_offset(tz, at - 1, NULL) != sl_tz_offset(tz, at + 899, NULL);
        if (at % 900 == 0 || changes)
            offset = sl_tz_offset(tz, at, NULL);
        int64_t wall = at + offset, day = wall / 86400, minute = wall % 86400 / 60;
        bool again = wall <= wall_before; /* this wall time has been before */
        wall_before = again ? wall_before : wall;
        if (day != day_before) {
            sl_civil d = sl_civil_from_seconds(wall);
            for (size_t i = 0; i < n; i++)
                oracle_day(&list[i], &d);
            day_before = day;
        }
        for (size_t i = 0; i < n; i++) {
            oracle *o = &list[i];
            bool due = o->today && (o->minutes >> (minute % 60) & 1) && (o->hours >> (minute / 60) & 1) && (!again || o->hourly);
            if (due != (o->at == at)) {
                sl_test_fail(t, __FILE__, __LINE__, "cron %zu in %s: the oracle says %s at %lld, the next date is %lld", i, zone, due ? "now" : "not", (long long)at, (long long)o->at);
                return;
            }
            if (due)
                o->at = sl_cron_next(&o->cron, tz, SL_GAP_SKIP, at);
        }
    }
}

SL_TEST(cron, equal_to_an_oracle_for_ten_years)
{
    static const char *const zones[] = { "UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia", "America/Sao_Paulo",
                                         "Asia/Tehran", "Antarctica/Troll", "Europe/London" };
    static const char *const crons[] = { "* * * * *", "*/5 * * * *", "0 * * * *", "30 2 * * *", "0 0 * * *", "15 1-3 * * *", "0 9 1 * *", "0 10 1 1 *", "59 23 31 12 *", "0 0 29 2 *", "*/45 */2 * * *",
                                         "10,20,50 0,12 * * *", "0 12 * * 1-5", "30 1 * * 0", "0 3 15 * 5", "5 4 13 * 7", "0 0 1,15 3-11/2 *", "17 2 8-14 3 0", "0 1-23/3 * 10 6", "55 * 25 * *" };
    static oracle list[SL_COUNT(crons)];
    for (size_t i = 0; i < SL_COUNT(crons); i++)
        oracle_open(t, &list[i], crons[i]);
    for (size_t z = 0; z < SL_COUNT(zones); z++) /* Apia left out a day in 2011; Sao Paulo changed at midnight until 2019 */
        walk(t, zones[z], list, SL_COUNT(crons), 1293840000, 1293840000 + 10LL * 365 * 86400);
}
