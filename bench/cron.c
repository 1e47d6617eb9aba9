/* bench/cron.c: how many next dates a second: bench_cron COUNT prints "EXPRESSION ZONE RATE" a line. The dates have to rise. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "flows/cron.h"

int main(int argc, char **argv)
{
    static const struct {
        const char *cron, *zone;
    } cases[] = { { "*/5 * * * *", "UTC" }, { "0 9 1 * *", "America/New_York" }, { "30 2 * * 1-5", "Europe/Paris" } };
    long count = argc > 1 ? strtol(argv[1], NULL, 10) : 100000;
    for (size_t i = 0; i < SL_COUNT(cases); i++) {
        sl_cron c;
        sl_err err;
        const sl_tz *tz = sl_tz_find(sl_str_c(cases[i].zone), &err);
        if (tz == NULL || !sl_cron_parse(sl_str_c(cases[i].cron), false, &c, &err))
            return 1;
        struct timespec a, b;
        int64_t at = 1577836800, start = at;
        (void)clock_gettime(CLOCK_MONOTONIC, &a);
        for (long n = 0; n < count; n++) {
            int64_t next = sl_cron_next(&c, tz, SL_GAP_SKIP, at);
            if (next <= at)
                return 1;
            at = next > start + 20LL * 365 * 86400 ? start : next; /* within the years that the zones know */
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &b);
        (void)printf("%s %s %.0f\n", cases[i].cron, cases[i].zone, (double)count / ((double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9));
    }
    return 0;
}
