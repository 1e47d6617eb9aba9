/* flows/expr_date.c: date filters and now() (flow language section 5.8). */
#include "base/arena.h"
#include "base/clock.h"
#include "flows/expr_ast.h"

#define FILTER(name) static const sl_val *name(ex_context *x, const ex_node *at, const sl_val *in, const sl_val *const *args)

static sl_str text(ex_context *x, const sl_val *v)
{
    return v ? sl_val_text(x->arena, v) : SL_S("");
}

static bool zone(ex_context *x, const ex_node *at, const sl_val *name, const sl_tz **ret)
{
    *ret = sl_tz_local();
    if (name == NULL || name->type == SL_NULL)
        return true;
    sl_str wanted = text(x, name);
    if ((*ret = sl_tz_find(wanted, x->err)) != NULL)
        return true;
    return ex_fail(x, at, "expr.zone", "%s", sl_fmt(x->arena, "%s", x->err->message).p) != NULL;
}

/* Seconds since 1970; numbers of 13 digits are milliseconds, of 19 nanoseconds, as Kestra's engine has it. */
static sl_time of_number(int64_t n)
{
    const int64_t milli = 1000000000000, nano = 1000000000000000000;
    if (n >= milli && n < 10 * milli)
        return (sl_time){ .s = n / 1000, .ns = (int32_t)(n % 1000) * 1000000, .kind = SL_TIME_INSTANT };
    if (n >= nano)
        return (sl_time){ .s = n / 1000000000, .ns = (int32_t)(n % 1000000000), .kind = SL_TIME_INSTANT };
    return (sl_time){ .s = n, .kind = SL_TIME_INSTANT };
}

/* The names of a locale: fr, fr-FR, fr_FR. NULL: English. A language whose names are not known is an error where they are wanted. */
static bool locale_names(ex_context *x, const ex_node *at, const sl_val *locale, sl_str pattern, const sl_time_names **ret)
{
    sl_str name = locale != NULL && locale->type != SL_NULL ? text(x, locale) : SL_S("en"), language = name;
    *ret = NULL;
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] == '-' || name.p[i] == '_') {
            language = sl_str_sub(name, 0, i);
            break;
        }
    if (sl_str_ieq(language, SL_S("en")) || (*ret = sl_time_names_find(language)) != NULL)
        return true;
    bool quoted = false, wanted = false;
    for (size_t i = 0; i < pattern.n; i++) {
        quoted ^= pattern.p[i] == '\'';
        wanted |= !quoted && (strchr("EaGc", pattern.p[i]) != NULL || (strchr("MLQqez", pattern.p[i]) != NULL && i + 2 < pattern.n && pattern.p[i + 1] == pattern.p[i] && pattern.p[i + 2] == pattern.p[i]));
    }
    return !wanted || ex_fail(x, at, "expr.locale", "names of days and months are not known in the locale '%.*s'", SL_ARG(name)) != NULL;
}

/* Any date-like input as a time with a zone: its own, or tz where it has none. */
static bool to_zoned(ex_context *x, const ex_node *at, const sl_val *in, const sl_tz *tz, sl_str pattern, sl_time *ret)
{
    sl_time t;
    if (in->type == SL_INT)
        t = of_number(in->i);
    else if (in->type == SL_TIME)
        t = in->t;
    else {
        sl_str s = sl_str_trim(text(x, in));
        if (!(pattern.n > 0 ? sl_time_parse_pattern(s, pattern, &t) : sl_time_parse(s, &t)))
            return ex_fail(x, at, "expr.date", "'%.*s' is not a date%s%.*s", SL_ARG(s), pattern.n ? " of the form " : "", SL_ARG(pattern)) != NULL;
    }
    switch (t.kind) {
    case SL_TIME_INSTANT: *ret = sl_time_at(t.s, t.ns, in->type == SL_INT || in->type == SL_TIME ? tz : sl_tz_utc()); return true; /* …Z is an offset, too */
    case SL_TIME_ZONED: *ret = t; return true;
    case SL_TIME_LOCAL: *ret = sl_time_at(sl_tz_to_utc(tz, t.s), t.ns, tz); return true;
    case SL_TIME_DATE: *ret = sl_time_at(sl_tz_to_utc(tz, t.s + (in->type == SL_TIME ? 43200 : 0)), 0, tz); return true;
    case SL_TIME_OF_DAY: return ex_fail(x, at, "expr.date", "a time of day has no date") != NULL;
    }
    return false;
}

static const char *named_format(sl_str name)
{
    static const struct {
        const char *name, *pattern;
    } formats[] = {
        { "iso", "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX" },
        { "iso_sec", "yyyy-MM-dd'T'HH:mm:ssXXX" },
        { "iso_milli", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX" },
        { "sql", "yyyy-MM-dd HH:mm:ss.SSSSSS" },
        { "sql_milli", "yyyy-MM-dd HH:mm:ss.SSS" },
        { "sql_sec", "yyyy-MM-dd HH:mm:ss" },
        { "sql_seq", "yyyy-MM-dd HH:mm:ss" },
        { "iso_local_date", "yyyy-MM-dd" },
        { "iso_date", "yyyy-MM-ddXXX" },
        { "iso_ordinal_date", "yyyy-DDDXXX" },
        { "rfc_1123_date_time", "E, d MMM yyyy HH:mm:ss 'GMT'" },
        { "full", "EEEE, MMMM d, yyyy, h:mm:ss\xE2\x80\xAF" "a z" },
        { "long", "MMMM d, yyyy, h:mm:ss\xE2\x80\xAF" "a z" },
        { "medium", "MMM d, yyyy, h:mm:ss\xE2\x80\xAF" "a" },
        { "short", "M/d/yy, h:mm\xE2\x80\xAF" "a" },
    };
    for (size_t i = 0; i < SL_COUNT(formats); i++)
        if (sl_str_ieq(name, sl_str_c(formats[i].name)))
            return formats[i].pattern;
    return NULL;
}

/* ".12": as many digits as there are; nothing for whole seconds. */
static sl_str fraction(ex_context *x, int32_t ns)
{
    sl_str digits = sl_fmt(x->arena, ".%09d", (int)ns);
    while (digits.n > 0 && (digits.p[digits.n - 1] == '0' || digits.p[digits.n - 1] == '.'))
        digits.n--;
    return digits;
}

/* 2025-W01-1: the week belongs to the year that its Thursday is in (ISO 8601). */
static sl_str week_date(ex_context *x, sl_time t)
{
    int64_t day = (sl_time_wall(t) - (((sl_time_wall(t) % 86400) + 86400) % 86400)) / 86400;
    int64_t weekday = ((day + 3) % 7 + 7) % 7; /* Monday is 0: 1970 began on a Thursday */
    int64_t thursday = day - weekday + 3, year = sl_civil_from_seconds(thursday * 86400).year;
    int64_t first = thursday;
    while (sl_civil_from_seconds((first - 7) * 86400).year == year)
        first -= 7;
    return sl_fmt(x->arena, "%04lld-W%02lld-%lld", (long long)year, (long long)((thursday - first) / 7 + 1), (long long)weekday + 1);
}

/* The ISO formats that depend on the value. */
static bool iso_variable(ex_context *x, sl_time t, sl_str name, sl_str *ret)
{
    enum { DATE = 1, TIME = 2, OFFSET = 4, ZONE = 8, WEEK = 16 };
    static const struct {
        const char *name;
        int parts;
    } formats[] = { { "iso_date_time", DATE | TIME | OFFSET | ZONE }, { "iso_zoned_date_time", DATE | TIME | OFFSET | ZONE }, { "iso_offset_date_time", DATE | TIME | OFFSET },
                    { "iso_local_date_time", DATE | TIME }, { "iso_local_time", TIME }, { "iso_time", TIME | OFFSET }, { "iso_offset_time", TIME | OFFSET }, { "iso_week_date", WEEK | OFFSET } };
    sl_err ignored;
    sl_str date = SL_S(""), clock = SL_S(""), offset = SL_S("");
    int parts = 0;
    for (size_t i = 0; i < SL_COUNT(formats); i++)
        if (sl_str_ieq(name, sl_str_c(formats[i].name)))
            parts = formats[i].parts;
    if (sl_str_ieq(name, SL_S("iso_instant"))) {
        *ret = sl_time_java(x->arena, (sl_time){ .s = t.s, .ns = t.ns, .kind = SL_TIME_INSTANT });
        return true;
    }
    if (parts == 0)
        return false;
    if ((parts & DATE && !sl_time_format(x->arena, t, SL_S("yyyy-MM-dd"), &date, &ignored)) || (parts & TIME && !sl_time_format(x->arena, t, SL_S("HH:mm:ss"), &clock, &ignored))
        || (parts & OFFSET && !sl_time_format(x->arena, t, SL_S("XXX"), &offset, &ignored)))
        return false;
    bool named = parts & ZONE && t.zone != NULL && (sl_str_eqc(sl_tz_name(t.zone), "UTC") || sl_str_find(sl_tz_name(t.zone), SL_S("/")) > 0);
    *ret = sl_fmt(x->arena, "%.*s%s%.*s%.*s%.*s", SL_ARG(parts & WEEK ? week_date(x, t) : date), parts & DATE ? "T" : "", SL_ARG(clock), SL_ARG(parts & TIME ? fraction(x, t.ns) : SL_S("")), SL_ARG(offset));
    if (named)
        *ret = sl_fmt(x->arena, "%.*s[%.*s]", SL_ARG(*ret), SL_ARG(sl_tz_name(t.zone)));
    return true;
}

static const sl_val *format(ex_context *x, const ex_node *at, sl_time t, const sl_val *wanted, const sl_val *locale)
{
    const sl_time_names *names;
    sl_str name = wanted && wanted->type != SL_NULL ? text(x, wanted) : SL_S("iso"), out;
    if (iso_variable(x, t, name, &out))
        return sl_val_str(x->arena, out);
    if (sl_str_ieq(name, SL_S("rfc_1123_date_time")))
        t = sl_time_at(t.s, t.ns, sl_tz_utc());
    const char *named = named_format(name);
    sl_str pattern = named ? sl_str_c(named) : name;
    bool fixed = sl_str_ieq(name, SL_S("rfc_1123_date_time")); /* English everywhere */
    if (!locale_names(x, at, fixed ? NULL : locale, pattern, &names))
        return NULL;
    if (named != NULL && names != NULL && strchr(named, ',') != NULL)
        return ex_fail(x, at, "expr.locale", "the format '%.*s' is known in English only; give a pattern", SL_ARG(name));
    if (sl_time_format_in(x->arena, t, pattern, names, &out, x->err))
        return sl_val_str(x->arena, out);
    return ex_fail(x, at, "expr.date", "%s", sl_fmt(x->arena, "%s", x->err->message).p);
}

FILTER(f_date)
{
    const sl_tz *tz;
    sl_time t;
    if (!zone(x, at, args[1], &tz) || !to_zoned(x, at, in, tz, text(x, args[2]), &t))
        return NULL;
    return format(x, at, sl_time_at(t.s, t.ns, tz), args[0], args[3]);
}

static void add_months(sl_time *t, int64_t months)
{
    sl_civil c = sl_civil_from_seconds(sl_time_wall(*t));
    int64_t total = c.year * 12 + (c.month - 1) + months;
    c.year = total >= 0 ? total / 12 : -((11 - total) / 12);
    c.month = (int)(total - c.year * 12) + 1;
    if (c.day > sl_days_in_month(c.year, c.month))
        c.day = sl_days_in_month(c.year, c.month);
    int64_t wall = sl_seconds_from_civil(&c);
    *t = t->zone ? sl_time_at(sl_tz_to_utc(t->zone, wall), t->ns, t->zone)
                 : (sl_time){ .s = wall - t->offset_s, .ns = t->ns, .offset_s = t->offset_s, .kind = SL_TIME_ZONED };
}

/* Days and longer keep the wall clock; hours and shorter keep the time line (java.time). */
static bool add_unit(sl_time *t, int64_t amount, sl_str unit)
{
    static const struct {
        const char *name;
        int64_t ns, s, days, months;
    } units[] = {
        { "NANOS", 1, 0, 0, 0 },       { "MICROS", 1000, 0, 0, 0 },    { "MILLIS", 1000000, 0, 0, 0 }, { "SECONDS", 0, 1, 0, 0 },    { "MINUTES", 0, 60, 0, 0 },
        { "HOURS", 0, 3600, 0, 0 },    { "HALF_DAYS", 0, 43200, 0, 0 }, { "DAYS", 0, 0, 1, 0 },        { "WEEKS", 0, 0, 7, 0 },      { "MONTHS", 0, 0, 0, 1 },
        { "YEARS", 0, 0, 0, 12 },      { "DECADES", 0, 0, 0, 120 },    { "CENTURIES", 0, 0, 0, 1200 }, { "MILLENNIA", 0, 0, 0, 12000 },
    };
    if (amount > 1000000000000LL || amount < -1000000000000LL)
        return false;
    for (size_t i = 0; i < SL_COUNT(units); i++) {
        if (!sl_str_ieq(unit, sl_str_c(units[i].name)))
            continue;
        if (units[i].months) {
            add_months(t, amount * units[i].months);
            return true;
        }
        if (units[i].days) {
            int64_t wall = sl_time_wall(*t) + amount * units[i].days * 86400;
            *t = t->zone ? sl_time_at(sl_tz_to_utc(t->zone, wall), t->ns, t->zone)
                         : (sl_time){ .s = wall - t->offset_s, .ns = t->ns, .offset_s = t->offset_s, .kind = SL_TIME_ZONED };
            return true;
        }
        int64_t ns = t->ns + amount % 1000000000 * units[i].ns;
        int64_t s = t->s + amount * units[i].s + amount / 1000000000 * units[i].ns;
        s += ns >= 0 ? ns / 1000000000 : -((999999999 - ns) / 1000000000);
        ns = ((ns % 1000000000) + 1000000000) % 1000000000;
        *t = t->zone ? sl_time_at(s, (int32_t)ns, t->zone) : (sl_time){ .s = s, .ns = (int32_t)ns, .offset_s = t->offset_s, .kind = SL_TIME_ZONED };
        return true;
    }
    return false;
}

FILTER(f_date_add)
{
    const sl_tz *tz;
    sl_time t;
    int64_t amount;
    if (args[0] == NULL || args[1] == NULL || !sl_parse_int(sl_str_trim(text(x, args[0])), &amount))
        return ex_fail(x, at, "expr.args", "`dateAdd` needs a whole amount and a unit, such as dateAdd(-1, 'DAYS')");
    if (!zone(x, at, args[3], &tz) || !to_zoned(x, at, in, tz, text(x, args[4]), &t))
        return NULL;
    if (!add_unit(&t, amount, text(x, args[1])))
        return ex_fail(x, at, "expr.args", "`dateAdd` does not know the unit '%.*s'; there are NANOS, MICROS, MILLIS, SECONDS, MINUTES, HOURS, HALF_DAYS, DAYS, WEEKS, MONTHS, YEARS and DECADES",
                       SL_ARG(text(x, args[1])));
    /* A day was added by the clock of the date's own zone: only then it is looked at from here. */
    return format(x, at, sl_time_at(t.s, t.ns, tz), args[2], args[5]);
}

static const sl_val *timestamp(ex_context *x, const ex_node *at, const sl_val *in, const sl_val *const *args, int64_t per_second)
{
    const sl_tz *tz;
    sl_time t;
    if (!zone(x, at, args[0], &tz) || !to_zoned(x, at, in, tz, text(x, args[1]), &t))
        return NULL;
    return sl_val_int(x->arena, t.s * per_second + t.ns / (1000000000 / per_second));
}

FILTER(f_timestamp)
{
    return timestamp(x, at, in, args, 1);
}

FILTER(f_timestamp_milli)
{
    return timestamp(x, at, in, args, 1000);
}

FILTER(f_timestamp_micro)
{
    return timestamp(x, at, in, args, 1000000);
}

FILTER(f_timestamp_nano)
{
    return timestamp(x, at, in, args, 1000000000);
}

FILTER(now)
{
    (void)in;
    const sl_tz *tz;
    if (!zone(x, at, args[1], &tz))
        return NULL;
    int64_t us = sl_now_us();
    return format(x, at, sl_time_at(us / 1000000, (int32_t)(us % 1000000) * 1000, tz), args[0], args[3]);
}

const ex_entry ex_date_filters[] = {
    { "date", "format timeZone existingFormat locale", f_date, false },
    { "dateAdd", "amount unit format timeZone existingFormat locale", f_date_add, false },
    { "timestamp", "timeZone existingFormat", f_timestamp, false },
    { "timestampMilli", "timeZone existingFormat", f_timestamp_milli, false },
    { "timestampMicro", "timeZone existingFormat", f_timestamp_micro, false },
    { "timestampNano", "timeZone existingFormat", f_timestamp_nano, false },
    { 0 },
};

const ex_entry ex_date_functions[] = {
    { "now", "format timeZone existingFormat locale", now, false },
    { 0 },
};
