/*
 * local/gsql_part.c: functions that take a part of a date: DAY, ISOWEEK, WEEK(MONDAY). A week begins on Sunday there, on Monday in
 * DuckDB. Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/date_functions
 */
#include "base/arena.h"
#include "local/gsql.h"

typedef struct part {
    sl_str name;                  /* as DuckDB has it, or WEEK */
    int first;                    /* of WEEK: the day that begins it, 0 = Sunday */
} part;

static const char *const days[] = { "SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY" };
static const char *const parts[] = { "MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "MONTH", "QUARTER", "YEAR", "ISOWEEK", "ISOYEAR", "DAYOFWEEK", "DAYOFYEAR" };

static bool take_part(gs_context *x, const gs_token *t, size_t n, part *ret)
{
    *ret = (part){ .name = SL_S("WEEK") };
    if (n >= 1 && gs_is(t, "WEEK")) {
        for (int i = 0; n == 4 && i < 7; i++)
            if (gs_op(&t[1], "(") && gs_is(&t[2], days[i])) {
                ret->first = i;
                return true;
            }
        return n == 1 || gs_fail(x, t, "A valid date part argument for WEEK is required: WEEK, or WEEK(SUNDAY) to WEEK(SATURDAY)");
    }
    for (size_t i = 0; n == 1 && i < SL_COUNT(parts); i++)
        if (gs_is(t, parts[i])) {
            ret->name = sl_str_c(parts[i]);
            return true;
        }
    return gs_fail(x, t, "A valid date part name is required but found %.*s", SL_ARG(t->text));
}

static bool is(const part *p, const char *name)
{
    return sl_str_eqc(p->name, name);
}

static sl_str truncated(gs_context *x, const part *p, sl_str value)
{
    if (is(p, "WEEK"))
        return sl_fmt(x->arena, "sl_week(%.*s, %d)", SL_ARG(value), p->first);
    if (is(p, "ISOYEAR"))
        return sl_fmt(x->arena, "sl_isoyear(%.*s)", SL_ARG(value));
    return sl_fmt(x->arena, "date_trunc('%.*s', %.*s)", SL_ARG(is(p, "ISOWEEK") ? SL_S("week") : p->name), SL_ARG(value));
}

static sl_str in_zone(gs_context *x, sl_str value, sl_str zone)
{
    return sl_fmt(x->arena, "((%.*s) AT TIME ZONE (%.*s))", SL_ARG(value), SL_ARG(zone));
}

/* DATE_TRUNC(value, part), TIMESTAMP_TRUNC(value, part[, zone]). */
static sl_str trunc_call(gs_context *x, const gs_token *name, const gs_range *args, size_t count)
{
    part p;
    bool timestamp = gs_is(name, "TIMESTAMP_TRUNC");
    if (count == 1)
        p = (part){ .name = SL_S("DAY") };
    else if (count < 2 || count > (timestamp ? 3U : 2U) || !take_part(x, args[1].t, args[1].n, &p))
        return SL_S("");
    sl_str value = gs_rewrite(x, args[0].t, args[0].n), zone = count == 3 ? gs_rewrite(x, args[2].t, args[2].n) : SL_S("'UTC'");
    const bool date = gs_is(name, "DATE_TRUNC");
    if (gs_is(name, "TIME_TRUNC"))
        return sl_fmt(x->arena, "CAST(date_trunc('%.*s', DATE '1970-01-01' + (%.*s)) AS TIME)", SL_ARG(p.name), SL_ARG(value));
    if (date)
        value = sl_fmt(x->arena, "CAST(%.*s AS DATE)", SL_ARG(value));
    else if (timestamp)
        value = in_zone(x, value, zone);
    value = truncated(x, &p, value);
    value = sl_fmt(x->arena, "CAST(%.*s AS %s)", SL_ARG(value), date ? "DATE" : "TIMESTAMP");
    return timestamp ? in_zone(x, value, zone) : value;
}

/* How many boundaries of the part lie between; of timestamps, how often it fits. */
static sl_str diff_call(gs_context *x, const gs_token *name, const gs_range *args, size_t count)
{
    part p = { .name = SL_S("DAY") };
    if (count < 2 || count > 3 || (count == 3 && !take_part(x, args[2].t, args[2].n, &p)))
        return SL_S("");
    sl_str later = gs_rewrite(x, args[0].t, args[0].n), before = gs_rewrite(x, args[1].t, args[1].n);
    if (gs_is(name, "TIMESTAMP_DIFF"))
        return sl_fmt(x->arena, "date_sub('%.*s', %.*s, %.*s)", SL_ARG(p.name), SL_ARG(before), SL_ARG(later));
    if (gs_is(name, "DATE_DIFF")) {
        later = sl_fmt(x->arena, "CAST(%.*s AS DATE)", SL_ARG(later));
        before = sl_fmt(x->arena, "CAST(%.*s AS DATE)", SL_ARG(before));
    }
    if (is(&p, "WEEK") || is(&p, "ISOWEEK")) {
        sl_str a = truncated(x, &p, before), b = truncated(x, &p, later);
        return sl_fmt(x->arena, "(date_diff('day', %.*s, %.*s) // 7)", SL_ARG(a), SL_ARG(b));
    }
    if (is(&p, "ISOYEAR"))
        return sl_fmt(x->arena, "(isoyear(%.*s) - isoyear(%.*s))", SL_ARG(later), SL_ARG(before));
    return sl_fmt(x->arena, "date_diff('%.*s', %.*s, %.*s)", SL_ARG(p.name), SL_ARG(before), SL_ARG(later));
}

/* The last day of the month, or of another part. */
static sl_str last_day_call(gs_context *x, const gs_token *name, const gs_range *args, size_t count)
{
    (void)name;
    static const char *const lengths[][2] = { { "YEAR", "12 MONTH" }, { "QUARTER", "3 MONTH" }, { "MONTH", "1 MONTH" }, { "WEEK", "7 DAY" }, { "ISOWEEK", "7 DAY" } };
    part p = { .name = SL_S("MONTH") };
    if (count < 1 || count > 2 || (count == 2 && !take_part(x, args[1].t, args[1].n, &p)))
        return SL_S("");
    sl_str first = truncated(x, &p, gs_rewrite(x, args[0].t, args[0].n));
    for (size_t i = 0; i < SL_COUNT(lengths); i++)
        if (is(&p, lengths[i][0]))
            return sl_fmt(x->arena, "CAST(%.*s + INTERVAL %s - INTERVAL 1 DAY AS DATE)", SL_ARG(first), lengths[i][1]);
    gs_fail(x, args[1].t, "LAST_DAY does not take the part %.*s", SL_ARG(p.name));
    return SL_S("");
}

/* EXTRACT(part FROM value [AT TIME ZONE zone]) */
static sl_str extract(gs_context *x, const gs_token *t, size_t n)
{
    static const char *const own[][2] = {
        { "MICROSECOND", "(extract(microsecond FROM %.*s) %% 1000000)" }, { "MILLISECOND", "(extract(millisecond FROM %.*s) %% 1000)" }, { "DAYOFWEEK", "(dayofweek(%.*s) + 1)" }, { "DAYOFYEAR", "dayofyear(%.*s)" },
        { "ISOWEEK", "extract(week FROM %.*s)" }, { "ISOYEAR", "isoyear(%.*s)" },
    };
    size_t from = 0;
    part p;
    while (from < n && !gs_is(&t[from], "FROM"))
        from++;
    if (from == 0 || from >= n) {
        gs_fail(x, &t[0], "Syntax error: EXTRACT needs a part, FROM and a value");
        return SL_S("");
    }
    sl_str value = gs_rewrite(x, t + from + 1, n - from - 1);
    if (gs_is(&t[0], "DATE") || gs_is(&t[0], "TIME") || gs_is(&t[0], "DATETIME"))
        return sl_fmt(x->arena, "CAST(%.*s AS %s)", SL_ARG(value), gs_is(t, "DATE") ? "DATE" : gs_is(t, "TIME") ? "TIME" : "TIMESTAMP");
    if (!take_part(x, t, from, &p))
        return SL_S("");
    if (is(&p, "WEEK"))
        return sl_fmt(x->arena, "sl_weeknumber(%.*s, %d)", SL_ARG(value), p.first);
    for (size_t i = 0; i < SL_COUNT(own); i++)
        if (is(&p, own[i][0]))
            return sl_fmt(x->arena, own[i][1], SL_ARG(value));
    return sl_fmt(x->arena, "extract(%.*s FROM %.*s)", SL_ARG(p.name), SL_ARG(value));
}

bool gs_part_call(gs_context *x, const gs_token *name, const gs_token *inside, size_t n, sl_str *ret)
{
    static const struct {
        const char *name;
        sl_str (*call)(gs_context *x, const gs_token *name, const gs_range *args, size_t count);
    } calls[] = {
        { "DATE_TRUNC", trunc_call }, { "TIMESTAMP_TRUNC", trunc_call }, { "DATETIME_TRUNC", trunc_call }, { "TIME_TRUNC", trunc_call }, { "DATE_DIFF", diff_call },
        { "TIMESTAMP_DIFF", diff_call }, { "DATETIME_DIFF", diff_call }, { "TIME_DIFF", diff_call }, { "LAST_DAY", last_day_call },
    };
    gs_range args[GS_ARGUMENTS_MAX];
    if (gs_is(name, "EXTRACT")) {
        *ret = extract(x, inside, n);
        return true;
    }
    for (size_t i = 0; i < SL_COUNT(calls); i++) {
        if (!gs_is(name, calls[i].name))
            continue;
        size_t count = gs_arguments(inside, n, args, SL_COUNT(args));
        *ret = calls[i].call(x, name, args, count);
        if (ret->n == 0 && x->err->kind == SL_ERR_NONE)
            gs_fail(x, name, "No matching signature for function %s with %zu arguments", calls[i].name, count);
        return true;
    }
    return false;
}
