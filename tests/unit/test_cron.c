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
