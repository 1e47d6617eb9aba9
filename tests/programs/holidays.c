/*
 * tests/programs/holidays.c: every public holiday that flows/holiday.h knows, for a comparison with what others say.
 *
 * One line for each country and subdivision: "DE\tBY\t2000-01-01 …", or "AE\t\tunknown" where it cannot be computed.
 */
#include <stdio.h>

#include "base/time.h"
#include "flows/holiday.h"

static void print_days(const sl_holiday_rules *r)
{
    enum { DAY_S = 86400 };
    int64_t last = sl_days_from_civil(SL_HOLIDAY_LAST, 12, 31);
    for (int64_t day = sl_days_from_civil(SL_HOLIDAY_FIRST, 1, 1); day <= last; day++) {
        sl_civil c = sl_civil_from_seconds(day * DAY_S);
        bool is = false;
        sl_err err;
        if (!sl_holiday_is(sl_str_c(r->country), sl_str_c(r->subdivision), c.year, c.month, c.day, &is, &err)) {
            (void)printf("unknown");
            return;
        }
        if (is)
            (void)printf("%04d-%02d-%02d ", (int)c.year, c.month, c.day);
    }
}

int main(void)
{
    for (const sl_holiday_rules *r = sl_holiday_table; r->country != NULL; r++) {
        (void)printf("%s\t%s\t", r->country, r->subdivision);
        print_days(r);
        (void)printf("\n");
    }
    return 0;
}
