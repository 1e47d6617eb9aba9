/* service/cli_trigger.c: `trigger next`: when the schedules of a flow's file come next, in UTC and in their own time. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "flows/context.h"
#include "flows/trigger.h"
#include "service/cli.h"

enum { COUNT_MAX = 1000 };

static sl_str local_text(sl_arena *a, const sl_tz *tz, int64_t at)
{
    sl_str text = SL_S("");
    sl_err ignored;
    (void)sl_time_format(a, sl_time_at(at, 0, tz), SL_S("EEE yyyy-MM-dd HH:mm:ss xxx"), &text, &ignored);
    return text;
}

/* The next `count` dates of one schedule for which its conditions hold; one on which the clocks have changed since the one before is marked. */
static bool dates_of(sl_arena *a, const sl_flow *flow, const sl_val *trigger, int64_t from, int64_t count, const sl_val **ret, sl_err *err)
{
    sl_schedule schedule;
    sl_val *dates = sl_list(a);
    sl_expr_env env = { .vars = sl_context_flow_vars(a, flow, NULL) };
    sl_schedule_filter filter = { &schedule, sl_schedule_conditions(trigger), &env };
    *ret = dates;
    if (!sl_schedule_open(a, trigger, &schedule, err))
        return false;
    int32_t offset = sl_tz_offset(schedule.tz, from / 1000, NULL);
    for (int64_t at = from; count > 0; count--) {
        if (!sl_schedule_seek(&filter, at, true, &at, err))
            return sl_err_ctx(err, "the conditions of '%.*s' cannot be looked at without a server", SL_ARG(sl_get_text(trigger, "id")));
        if (at == INT64_MAX)
            return true;
        sl_val *one = sl_map(a);
        sl_map_set_str(a, one, "date", sl_time_rfc3339(a, at));
        sl_map_set_str(a, one, "local", local_text(a, schedule.tz, at / 1000));
        sl_map_set_bool(a, one, "clocksChanged", sl_tz_offset(schedule.tz, at / 1000, NULL) != offset);
        offset = sl_tz_offset(schedule.tz, at / 1000, NULL);
        sl_list_add(a, dates, one);
    }
    return true;
}

static void print_dates(const sl_val *trigger, const sl_val *dates)
{
    sl_str cron = sl_get_text(trigger, "cron");
    sl_cli_print("%.*s: %.*s%s\n", SL_ARG(sl_get_text(trigger, "id")), SL_ARG(cron.n > 0 ? cron : SL_S("dates")), sl_get_bool(trigger, "disabled", false) ? " (disabled)" : "");
    for (size_t i = 0; i < sl_val_count(dates); i++) {
        const sl_val *d = sl_at(dates, i);
        sl_cli_print("  %.*s  %.*s%s\n", SL_ARG(sl_get_text(d, "date")), SL_ARG(sl_get_text(d, "local")), sl_get_bool(d, "clocksChanged", false) ? "  the clocks have changed" : "");
    }
    if (sl_val_count(dates) == 0)
        sl_cli_print("  never\n");
}

static bool has_dates(const sl_val *trigger)
{
    const sl_trigger_type *type = sl_trigger_find(sl_get_text(trigger, "type"));
    return type != NULL && (type->kind == SL_TRIGGER_SCHEDULE || type->kind == SL_TRIGGER_DATES);
}

static int next(sl_cli *c)
{
    const sl_flow *flow = sl_cli_flow(c, c->words[0]);
    if (flow == NULL)
        return 2;
    int64_t count = 5;
    sl_time from = { .s = sl_now_ms() / 1000 };
    sl_str number = sl_cli_text(c, "--count"), start = sl_cli_text(c, "--from");
    if (number.n > 0 && (!sl_parse_int(number, &count) || count < 1 || count > COUNT_MAX))
        return sl_cli_fail(2, "--count must be from 1 to %d", COUNT_MAX);
    if (start.n > 0 && (!sl_time_parse(start, &from) || from.kind == SL_TIME_OF_DAY))
        return sl_cli_fail(2, "--from must be a date or a date-time such as 2024-03-30T00:00:00Z, not '%.*s'", SL_ARG(start));
    sl_val *all = sl_list(c->arena);
    for (size_t i = 0; i < sl_val_count(flow->triggers); i++) {
        const sl_val *trigger = sl_at(flow->triggers, i), *dates;
        sl_val *one = sl_map(c->arena);
        sl_err err;
        if (!has_dates(trigger))
            continue;
        if (!dates_of(c->arena, flow, trigger, from.s * 1000, count, &dates, &err))
            return sl_cli_error(1, &err);
        sl_map_set_str(c->arena, one, "trigger", sl_get_text(trigger, "id"));
        sl_map_setc(c->arena, one, "dates", dates);
        sl_list_add(c->arena, all, one);
        if (!c->json)
            print_dates(trigger, dates);
    }
    if (c->json)
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, all)));
    else if (all->list.n == 0)
        sl_cli_print(sl_val_count(flow->triggers) > 0 ? "the flow's triggers have no dates\n" : "the flow has no triggers\n");
    return 0;
}

static const sl_cli_opt opts[] = {
    { "--count", NULL, "N", false, "how many dates of each (5)" },
    { "--from", NULL, "DATE", false, "dates after this one (now)" },
    { 0 },
};

const sl_command sl_command_trigger_next = { "trigger next", "FLOW.yaml [--count N] [--from DATE]", "Shows when the schedules of a flow come next.", opts, 1, 1, next };
