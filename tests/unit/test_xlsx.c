/* tests/unit/test_xlsx.c: what Excel means by a format and by a number of days. */
#include "connectors/serdes/xlsx_read.h"
#include "tests/harness/test.h"

SL_TEST(xlsx, date_formats)
{
    static const struct {
        const char *format;
        bool date;
    } cases[] = { { "General", false }, { "0.00", false }, { "#,##0;[Red]-#,##0", false }, { "yyyy-mm-dd", true }, { "[h]:mm", true }, { "[mm]:ss", true }, { "h:mm AM/PM", true }, { "\"day\" 0", false }, { "\\d0", false },
                  { "[$-407]d. mmmm", true }, { "[Magenta]0", false }, { "@", false }, { "0.0E+00", false }, { "", false }, { "\"unclosed d", false }, { "_d0", false } };
    for (size_t i = 0; i < SL_COUNT(cases); i++)
        if (sl_xlsx_is_date_format(sl_str_c(cases[i].format)) != cases[i].date)
            sl_test_fail(t, __FILE__, __LINE__, "'%s'", cases[i].format);
}

SL_TEST(xlsx, days_of_both_calendars)
{
    static const struct {
        double serial;
        bool since_1904, good;
        const char *text;
    } cases[] = { { 1, false, true, "1900-01-01T00:00" }, { 59, false, true, "1900-02-28T00:00" }, { 61, false, true, "1900-03-01T00:00" }, { 45292.75, false, true, "2024-01-01T18:00" }, { 0, true, true, "1904-01-01T00:00" },
                  { 43830.5, true, true, "2024-01-01T12:00" }, { 0.5, false, true, "1899-12-31T12:00" }, { -1, false, false, "" }, { 2958466, false, false, "" }, { 2958465.999, false, true, "9999-12-31T23:58:33.600" } };
    for (size_t i = 0; i < SL_COUNT(cases); i++) {
        sl_time at = { .kind = SL_TIME_LOCAL };
        bool good = sl_xlsx_date(cases[i].serial, cases[i].since_1904, &at.s, &at.ns);
        sl_str text = good ? sl_time_java(t->arena, at) : SL_S("");
        if (good != cases[i].good || !sl_str_eqc(text, cases[i].text))
            sl_test_fail(t, __FILE__, __LINE__, "%f: %.*s", cases[i].serial, SL_ARG(text));
    }
}
