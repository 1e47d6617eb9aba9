/*
 * flows/holiday.h: public holidays by rules, for the condition PublicHoliday.
 *
 * What falls on other calendars than the Christian one (Islamic, Chinese, Hindu) is not computed: countries with many such days are
 * not known here, and that is an error, not a silence. The rules hold from SL_HOLIDAY_FIRST to SL_HOLIDAY_LAST. Threads: no state.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { SL_HOLIDAY_FIRST = 2000, SL_HOLIDAY_LAST = 2050 };

/*
 * rules: blank-separated, each with an optional [first-last] year.
 *   MM-DD            that date                      E+n, O+n    days from Easter, from Orthodox Easter
 *   1mon09           first Monday of September      -1mon05     last Monday of May
 *   sat>06-20        first Saturday from that date on           @YYYY-MM-DD  once
 * and after MM-DD: what is given for one that falls on a weekend. /fm: Friday for Saturday, Monday for Sunday; /mm: Monday for both;
 * /m: Monday for Sunday; /22: two days later for both; /s2: Tuesday for Sunday and for Monday.
 * In those of a subdivision, each begins with + or -: besides, or without, the country's.
 */
typedef struct sl_holiday_rules {
    const char *country, *subdivision, *rules; /* subdivision "": the country as a whole; rules NULL: known, but cannot be computed */
} sl_holiday_rules;
extern const sl_holiday_rules sl_holiday_table[]; /* holiday_data.c; by country, the whole before its parts; ends with {0} */
extern const size_t sl_holiday_count;

/* ISO 3166-1 alpha-2 and the subdivision's code ("" = none). */
bool sl_holiday_is(sl_str country, sl_str subdivision, int64_t year, int month, int day, bool *ret, sl_err *err);
