/*
 * base/time.h: instants, zoned and local dates, durations; time zones from the system's TZif files.
 *
 * Calendar arithmetic is proleptic Gregorian (Howard Hinnant's civil-days algorithm). Zones are loaded once and kept for the
 * life of the process. Threads: all functions may be called at once; the zone table has its own lock.
 * Sources: ISO 8601, RFC 3339, RFC 8536 (TZif), java.time.format.DateTimeFormatter's pattern letters.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"

typedef struct sl_tz sl_tz;

typedef enum sl_time_kind {
    SL_TIME_INSTANT,      /* a point on the time line, printed in UTC with Z */
    SL_TIME_ZONED,        /* with an offset, and perhaps a zone */
    SL_TIME_LOCAL,        /* date and time without offset: s counts as if UTC */
    SL_TIME_DATE,         /* a date: s is its midnight as if UTC */
    SL_TIME_OF_DAY,       /* s is seconds of the day */
} sl_time_kind;

typedef struct sl_time {
    int64_t s;            /* seconds since 1970-01-01T00:00:00Z */
    int32_t ns;
    int32_t offset_s;     /* SL_TIME_ZONED: east of UTC */
    const sl_tz *zone;    /* SL_TIME_ZONED: NULL when only the offset is known */
    sl_time_kind kind;
} sl_time;

typedef struct sl_civil {
    int64_t year;
    int month, day, hour, minute, second; /* month and day from 1 */
    int weekday;                          /* 1 = Monday .. 7 = Sunday */
    int yearday;                          /* 1 .. 366 */
} sl_civil;

int64_t sl_days_from_civil(int64_t year, int month, int day);
sl_civil sl_civil_from_seconds(int64_t s);
int64_t sl_seconds_from_civil(const sl_civil *c);
int sl_days_in_month(int64_t year, int month);

/* "UTC", "Z", "Europe/Paris", "+02:00". NULL with err when unknown. */
const sl_tz *sl_tz_find(sl_str name, sl_err *err);
const sl_tz *sl_tz_utc(void);
/* The process's zone: TZ, then /etc/localtime, then UTC. */
const sl_tz *sl_tz_local(void);
sl_str sl_tz_name(const sl_tz *tz);
int32_t sl_tz_offset(const sl_tz *tz, int64_t utc_s, sl_str *abbreviation);
/* Local wall time to UTC. A time in a gap moves forward by the gap's length, an ambiguous one takes the first (java.time). */
int64_t sl_tz_to_utc(const sl_tz *tz, int64_t local_s);

sl_time sl_time_at(int64_t s, int32_t ns, const sl_tz *tz);
/* The wall clock's reading of t, as if UTC. */
int64_t sl_time_wall(sl_time t);

/* ISO forms: offset or Z or zone in brackets, local date-time, local date, time; kind tells which was found. */
bool sl_time_parse(sl_str text, sl_time *ret);
/* With a java.time pattern, English texts. Fields left out default to 1970-01-01T00:00; kind says what the pattern had. */
bool sl_time_parse_pattern(sl_str text, sl_str pattern, sl_time *ret);
/* Java's toString: 2024-01-02T03:04:05.678Z, 2013-09-08T16:19+02:00[Europe/Paris], 2024-01-02, 18:27. */
sl_str sl_time_java(sl_arena *arena, sl_time t);
/* RFC 3339 in UTC with milliseconds. */
sl_str sl_time_rfc3339(sl_arena *arena, int64_t epoch_ms);
/* java.time pattern letters, English locale. Unknown letters are an error. */
bool sl_time_format(sl_arena *arena, sl_time t, sl_str pattern, sl_str *ret, sl_err *err);

/* Names in a language: twelve, seven or two, | between them. _alone: of a month without a day; NULL = the same. */
typedef struct sl_time_names {
    const char *language;         /* ISO 639: fr */
    const char *months, *months_short, *months_alone, *months_short_alone, *days, *days_short, *halves;
} sl_time_names;
const sl_time_names *sl_time_names_find(sl_str language); /* NULL: not known */
/* names NULL: English. In another language eras and quarters have no names here: asking for them is an error. */
bool sl_time_format_in(sl_arena *arena, sl_time t, sl_str pattern, const sl_time_names *names, sl_str *ret, sl_err *err);

/* ISO-8601 duration (years and months refused), or a bare number of seconds. */
bool sl_duration_parse(sl_str text, int64_t *ret_ms);
sl_str sl_duration_text(sl_arena *arena, int64_t ms);  /* PT1H30M, PT0.5S, PT0S */
