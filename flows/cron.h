/*
 * flows/cron.h: cron expressions: when the next occurrence is, in a time zone (flow language sections 7.1 and 7.2).
 *
 * Five fields (minute hour day-of-month month day-of-week), or six with seconds first; lists, ranges, steps, names; the
 * nicknames @yearly @annually @monthly @weekly @daily @midnight @hourly; and, beyond what Kestra takes, L (last day of the
 * month, L-3), 15W (nearest weekday), LW, 5L (last Friday), 5#2 (second Friday). When day-of-month and day-of-week are both
 * restricted, either one is enough. Pure; no state.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

typedef struct sl_cron {
    uint64_t seconds, minutes;   /* bit n: the value n */
    uint32_t hours, days;        /* days: bits 1..31 */
    uint16_t months;             /* bits 1..12 */
    uint8_t weekdays;            /* bits 0..6, Sunday is 0 */
    bool any_day, any_weekday;   /* the field restricts nothing: *, or all values */
    uint32_t last_minus;         /* bit n: L-n */
    uint32_t nearest;            /* bit n: nW; bit 0: LW */
    uint8_t last_weekdays;       /* bit n: nL */
    uint8_t nth[7];              /* bit k: n#k */
} sl_cron;

/* What becomes of an occurrence whose wall time does not exist because the clocks go forward. */
typedef enum sl_cron_gap {
    SL_GAP_SKIP,                 /* it falls away on that day (Kestra) */
    SL_GAP_SHIFT,                /* it comes at the first instant after the gap */
} sl_cron_gap;

/* with_seconds: six fields. The error says which field is wrong, and why. */
bool sl_cron_parse(sl_str text, bool with_seconds, sl_cron *ret, sl_err *err);
/*
 * The first occurrence after `after_s` (seconds since 1970, UTC), or the last one before. When the clocks go back, an hour of
 * wall time comes twice: a schedule that runs in every hour runs in both, any other one in the first only.
 * INT64_MAX (INT64_MIN) when there is none within ten years.
 */
int64_t sl_cron_next(const sl_cron *c, const sl_tz *tz, sl_cron_gap gap, int64_t after_s);
int64_t sl_cron_previous(const sl_cron *c, const sl_tz *tz, sl_cron_gap gap, int64_t before_s);
