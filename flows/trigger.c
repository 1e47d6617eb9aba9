/* flows/trigger.c: types of triggers and their properties; dates of schedules. */
#include "flows/trigger.h"

#include "base/arena.h"
#include "flows/precondition.h"

#define COMMON                                                                                                                                        \
    { .name = "id", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_STATIC, .doc = "Name of the trigger, unique in the flow." },                          \
        { .name = "type", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_STATIC, .doc = "What starts the execution." },                                  \
        { .name = "description", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "For people." },                                                        \
        { .name = "disabled", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "The trigger does nothing." },                                            \
        { .name = "inputs", .type = SL_OPT_MAP, .flags = SL_LATE, .doc = "Inputs of the executions." },                                                 \
        { .name = "labels", .type = SL_OPT_ANY, .flags = SL_LATE, .doc = "Labels of the executions." },                                                 \
        { .name = "conditions", .type = SL_OPT_LIST, .flags = SL_LATE, .doc = "All must hold." },                                                       \
        { .name = "stopAfter", .type = SL_OPT_STRS, .flags = SL_STATIC, .doc = "States of an execution that disable the trigger." },                    \
        { .name = "logLevel", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Accepted and ignored." },                                                 \
        { .name = "logToFile", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "Accepted and ignored." },                                               \
        { .name = "workerGroup", .type = SL_OPT_MAP, .flags = SL_STATIC, .doc = "Accepted and ignored." },                                              \
        { .name = "version", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Accepted and ignored: one version of each plugin is built in." },          \
        { .name = "assets", .type = SL_OPT_ANY, .flags = SL_STATIC, .doc = "Accepted and ignored." }

#define CONCURRENT(text) { .name = "allowConcurrent", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = text }
#define ON_ERROR(text) { .name = "failOnTriggerError", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = text }
#define AT_ONCE CONCURRENT("Accepted: nothing waits for an earlier execution."), ON_ERROR("Accepted: what cannot be run becomes a failed execution.")

#define SCHEDULED                                                                                                                                     \
    { .name = "timezone", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Time zone of the dates; the server's when absent." },                         \
        { .name = "recoverMissedSchedules", .type = SL_OPT_ENUM, .flags = SL_STATIC, .values = "ALL LAST NONE", .doc = "Which missed dates are made up for (ALL)." }, \
        CONCURRENT("A date may fire while an earlier execution runs."), ON_ERROR("Accepted: an error of a condition always makes a failed execution.")

const sl_opt sl_polling_opts[] = {
    COMMON,
    { .name = "interval", .type = SL_OPT_DURATION, .flags = SL_STATIC, .fallback = "PT60S", .doc = "Time between two looks." },
    CONCURRENT("Look while an execution that an earlier look has made still runs."),
    ON_ERROR("A look that fails becomes a failed execution; else it is a word on the trigger, and the next look follows."),
    { 0 },
};

static const sl_opt schedule_opts[] = {
    COMMON,
    SCHEDULED,
    { .name = "cron", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_STATIC, .doc = "Cron expression of five fields." },
    { .name = "withSeconds", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "The cron expression has six fields, seconds first." },
    { .name = "dst", .type = SL_OPT_ENUM, .flags = SL_STATIC, .values = "SKIP SHIFT", .doc = "A time that the clocks jump over falls away on that day (SKIP), or comes right after the gap (SHIFT)." },
    { .name = "scheduleConditions", .type = SL_OPT_LIST, .flags = SL_LATE | SL_DEPRECATED, .doc = "Older name of conditions." },
    { .name = "lateMaximumDelay", .type = SL_OPT_DURATION, .flags = SL_STATIC, .doc = "Older dates are left out." },
    { .name = "backfill", .type = SL_OPT_ANY, .flags = SL_STATIC | SL_DEPRECATED, .doc = "Ignored: backfills are started on the command line or over the API." },
    { 0 },
};

static const sl_opt dates_opts[] = {
    COMMON,
    SCHEDULED,
    { .name = "dates", .type = SL_OPT_LIST, .flags = SL_REQUIRED | SL_STATIC, .doc = "Date-times, each of which fires once." },
    { 0 },
};

static const sl_opt upstream_opts[] = {
    { .name = "namespace", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Namespace of the flow." },
    { .name = "flowId", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "The flow; all of the namespace when absent." },
    { .name = "states", .type = SL_OPT_STRS, .flags = SL_STATIC, .doc = "States it has to end in." },
    { .name = "labels", .type = SL_OPT_ANY, .flags = SL_STATIC, .doc = "Labels it has to have." },
    { 0 },
};

static const sl_opt filter_opts[] = {
    { .name = "field", .type = SL_OPT_ENUM, .flags = SL_REQUIRED | SL_STATIC, .values = "FLOW_ID NAMESPACE STATE EXPRESSION", .doc = "What is looked at; EXPRESSION: what the expression in 'value' gives." },
    { .name = "type", .type = SL_OPT_ENUM, .flags = SL_REQUIRED | SL_STATIC, .values = "EQUAL_TO NOT_EQUAL_TO IN NOT_IN IS_TRUE IS_FALSE IS_NULL IS_NOT_NULL STARTS_WITH ENDS_WITH REGEX CONTAINS", .doc = "The comparison." },
    { .name = "value", .type = SL_OPT_ANY, .flags = SL_LATE, .doc = "What it is compared with." },
    { .name = "values", .type = SL_OPT_LIST, .flags = SL_STATIC, .doc = "Those of IN and NOT_IN." },
    { 0 },
};

static const sl_opt where_opts[] = {
    { .name = "id", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Its name." },
    { .name = "operand", .type = SL_OPT_ENUM, .flags = SL_STATIC, .values = "AND OR", .doc = "Whether all filters have to match, or one (AND)." },
    { .name = "filters", .type = SL_OPT_LIST, .flags = SL_REQUIRED | SL_STATIC, .sub = filter_opts, .doc = "What an execution is asked." },
    { 0 },
};

static const sl_opt preconditions_opts[] = {
    { .name = "id", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_STATIC, .doc = "Name of the set." },
    { .name = "description", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "For people." },
    { .name = "timeWindow", .type = SL_OPT_MAP, .flags = SL_STATIC, .sub = sl_window_opts, .doc = "Within which time all have to be met (a day)." },
    { .name = "resetOnSuccess", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "Begin anew after firing (true)." },
    { .name = "flows", .type = SL_OPT_LIST, .flags = SL_STATIC, .sub = upstream_opts, .doc = "Executions that have to end; each once." },
    { .name = "where", .type = SL_OPT_LIST, .flags = SL_STATIC, .sub = where_opts, .doc = "Filters over executions." },
    { 0 },
};

static const sl_opt flow_opts[] = {
    COMMON,
    AT_ONCE,
    { .name = "states", .type = SL_OPT_STRS, .flags = SL_STATIC, .doc = "States of the other execution that fire (all final ones)." },
    { .name = "preconditions", .type = SL_OPT_MAP, .flags = SL_STATIC, .sub = preconditions_opts, .doc = "Several executions that have to end within a window." },
    { 0 },
};

static const sl_opt webhook_opts[] = {
    COMMON,
    AT_ONCE,
    { .name = "key", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_LATE, .doc = "Secret part of the address; at most 256 characters." },
    { .name = "wait", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "Answer at the end of the execution." },
    { .name = "returnOutputs", .type = SL_OPT_BOOL, .flags = SL_STATIC, .doc = "With wait: answer with the flow's outputs." },
    { .name = "responseContentType", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Media type of that answer (application/json)." },
    { .name = "responseCode", .type = SL_OPT_INT, .flags = SL_STATIC, .doc = "Status of that answer (200)." },
    { 0 },
};

#define CORE "io.kestra.plugin.core.trigger."
#define OLD "io.kestra.core.models.triggers.types."

const sl_trigger_type sl_trigger_types[] = {
    { CORE "Schedule", OLD "Schedule", "Fires on the dates of a cron expression.", SL_TRIGGER_SCHEDULE, schedule_opts },
    { CORE "ScheduleOnDates", OLD "ScheduleOnDates", "Fires on each date of a list.", SL_TRIGGER_DATES, dates_opts },
    { CORE "Flow", OLD "Flow", "Fires when another flow's execution ends.", SL_TRIGGER_FLOW, flow_opts },
    { CORE "Webhook", OLD "Webhook", "Fires when its address is called.", SL_TRIGGER_WEBHOOK, webhook_opts },
    { 0 },
};

const sl_trigger_type *sl_trigger_find(sl_str type)
{
    for (const sl_trigger_type *t = sl_trigger_types; t->type != NULL; t++)
        if (sl_str_eqc(type, t->type))
            return t;
    return NULL;
}

static const char *current_name(const sl_registry *registry, sl_str name)
{
    for (const sl_trigger_type *t = sl_trigger_types; t->type != NULL; t++)
        if (sl_str_eqc(name, t->type) || sl_str_eqc(name, t->aliases))
            return t->type;
    for (const sl_connector *const *c = registry->connectors; *c != NULL; c++)
        for (const sl_task_type *const *t = (*c)->triggers; t != NULL && *t != NULL; t++)
            if (sl_str_eqc(name, (*t)->type) || ((*t)->aliases != NULL && sl_str_eqc(name, (*t)->aliases)))
                return (*t)->type;
    return NULL;
}

sl_str sl_trigger_canonical(sl_arena *arena, const sl_registry *registry, sl_str written)
{
    static const char *const prefixes[] = { "", "io.kestra.plugin.", "io.kestra.plugin.core." };
    for (size_t i = 0; i < SL_COUNT(prefixes); i++) {
        const char *found = current_name(registry, sl_fmt(arena, "%s%.*s", prefixes[i], SL_ARG(written)));
        if (found != NULL)
            return sl_str_c(found);
    }
    return written;
}

int64_t sl_trigger_interval(const sl_val *trigger)
{
    int64_t ms = 60000;
    (void)sl_duration_parse(sl_get_text(trigger, "interval"), &ms);
    return ms;
}

/* MultipleCondition is for what other executions fire, once, and in place of preconditions. */
static void check_multiple(const sl_val *t, bool flow, sl_str where, sl_problems *problems)
{
    static const char *const lists[] = { "conditions", "scheduleConditions" };
    size_t count = flow && sl_get(t, "preconditions") != NULL;
    for (size_t k = 0; k < SL_COUNT(lists); k++)
        for (size_t i = 0; i < sl_val_count(sl_get(t, lists[k])); i++) {
            sl_val one = { .type = SL_LIST, .list = { .items = (const sl_val *[]){ sl_at(sl_get(t, lists[k]), i) }, .n = 1 } };
            const sl_val *found = sl_conditions_multiple(&one);
            if (found != NULL && (!flow || ++count > 1))
                sl_problem_add(problems, found->line, found->column, flow ? "%.*s: condition MultipleCondition: there may be one, or 'preconditions'" : "%.*s: condition MultipleCondition is for triggers of type Flow", SL_ARG(where));
        }
}

static void check_polling(sl_arena *arena, const sl_task_type *type, const sl_val *t, sl_str where, sl_problems *problems)
{
    enum { INTERVAL_MIN_MS = 100 };
    size_t before = problems->n;
    sl_bind_check(type->opts, sl_polling_opts, t, where, problems);
    sl_states_check(sl_get(t, "stopAfter"), where, problems);
    if (problems->n == before && type->check != NULL)
        type->check(t, where, problems);
    if (problems->n == before && sl_trigger_interval(t) < INTERVAL_MIN_MS)
        sl_problem_add(problems, t->line, t->column, "%.*s: 'interval' must be at least PT0.1S", SL_ARG(where));
    sl_conditions_check(arena, sl_get(t, "conditions"), where, problems);
    check_multiple(t, false, where, problems);
}

static void check_schedule(sl_arena *arena, const sl_val *t, sl_str where, sl_problems *problems)
{
    sl_schedule ignored;
    sl_err err;
    const sl_val *cron = sl_get(t, "cron"), *zone = sl_get(t, "timezone"), *blame = cron ? cron : t;
    if (sl_is(zone, SL_STRING) && sl_tz_find(zone->s, &err) == NULL)
        blame = zone;
    if ((sl_is(cron, SL_STRING) || sl_is(sl_get(t, "dates"), SL_LIST)) && !sl_schedule_open(arena, t, &ignored, &err))
        sl_problem_add(problems, blame->line, blame->column, "%.*s: %s", SL_ARG(where), err.message);
}

void sl_trigger_check(sl_arena *arena, const sl_registry *registry, const sl_val *t, sl_problems *problems)
{
    sl_str id = sl_get_text(t, "id"), written = sl_get_text(t, "type"), where = sl_fmt(arena, "trigger '%.*s'", SL_ARG(id));
    sl_str type = sl_trigger_canonical(arena, registry, written);
    const sl_trigger_type *known = sl_trigger_find(type);
    const sl_task_type *polling = known ? NULL : sl_registry_find_trigger(registry, type);
    if (polling != NULL) {
        check_polling(arena, polling, t, where, problems);
        return;
    }
    if (known == NULL) {
        sl_problem_add(problems, t->line, t->column, "%.*s: Invalid type: %.*s %s", SL_ARG(where), SL_ARG(written), sl_type_unsupported(type) ? "is not supported by this version of Sluice" : "is unknown");
        return;
    }
    size_t before = problems->n;
    sl_bind_check(known->opts, NULL, t, where, problems);
    sl_states_check(sl_get(t, "stopAfter"), where, problems);
    if (known->kind == SL_TRIGGER_FLOW && problems->n == before) {
        sl_states_check(sl_get(t, "states"), where, problems);
        sl_preconditions_check(sl_get(t, "preconditions"), where, problems);
    }
    if (known->kind == SL_TRIGGER_SCHEDULE || known->kind == SL_TRIGGER_DATES)
        check_schedule(arena, t, where, problems);
    if (known->kind == SL_TRIGGER_WEBHOOK && sl_get_text(t, "key").n > 256)
        sl_problem_add(problems, t->line, t->column, "%.*s: a webhook's key has at most 256 characters", SL_ARG(where));
    int64_t code = sl_get_int(t, "responseCode", 200);
    if (code < 200 || code > 599)
        sl_problem_add(problems, t->line, t->column, "%.*s: 'responseCode' must be a status from 200 to 599", SL_ARG(where));
    sl_conditions_check(arena, sl_get(t, "conditions"), where, problems);
    sl_conditions_check(arena, sl_get(t, "scheduleConditions"), where, problems);
    check_multiple(t, known->kind == SL_TRIGGER_FLOW, where, problems);
}

/* ---- schedules ---- */

static int compare_dates(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static bool open_dates(sl_arena *arena, const sl_val *list, sl_schedule *s, sl_err *err)
{
    s->dates = SL_ARRAY(arena, int64_t, sl_val_count(list) + 1);
    for (size_t i = 0; i < sl_val_count(list); i++) {
        sl_time t;
        sl_str text = sl_val_text(arena, sl_at(list, i));
        if (!sl_time_parse(text, &t) || t.kind == SL_TIME_OF_DAY)
            return sl_err_set(err, SL_ERR_CONFIG, "trigger.date", "'%.*s' is not a date-time such as 2024-03-30T00:00:00Z", SL_ARG(text));
        bool wall = t.kind != SL_TIME_INSTANT && t.kind != SL_TIME_ZONED;
        s->dates[s->date_count++] = (wall ? sl_tz_to_utc(s->tz, t.s) : t.s) * 1000;
    }
    qsort(s->dates, s->date_count, sizeof *s->dates, compare_dates);
    return true;
}

bool sl_schedule_open(sl_arena *arena, const sl_val *t, sl_schedule *ret, sl_err *err)
{
    *ret = (sl_schedule){ .tz = sl_tz_local() };
    sl_str zone = sl_get_text(t, "timezone"), recover = sl_get_text(t, "recoverMissedSchedules"), late = sl_get_text(t, "lateMaximumDelay");
    if (zone.n > 0 && (ret->tz = sl_tz_find(zone, err)) == NULL)
        return false;
    ret->gap = sl_str_ieq(sl_get_text(t, "dst"), SL_S("SHIFT")) ? SL_GAP_SHIFT : SL_GAP_SKIP;
    ret->recover = sl_str_ieq(recover, SL_S("LAST")) ? SL_RECOVER_LAST : sl_str_ieq(recover, SL_S("NONE")) ? SL_RECOVER_NONE : SL_RECOVER_ALL;
    ret->concurrent = sl_get_bool(t, "allowConcurrent", false);
    if (late.n > 0 && !sl_duration_parse(late, &ret->late_max_ms))
        return sl_err_set(err, SL_ERR_CONFIG, "trigger.late", "'lateMaximumDelay' must be a duration such as PT1H, not '%.*s'", SL_ARG(late));
    if (sl_get(t, "dates") != NULL)
        return open_dates(arena, sl_get(t, "dates"), ret, err);
    return sl_cron_parse(sl_get_text(t, "cron"), sl_get_bool(t, "withSeconds", false), &ret->cron, err);
}

int64_t sl_schedule_next(const sl_schedule *s, int64_t after_ms)
{
    if (s->dates != NULL) {
        for (size_t i = 0; i < s->date_count; i++)
            if (s->dates[i] > after_ms)
                return s->dates[i];
        return INT64_MAX;
    }
    int64_t second = after_ms / 1000 - (after_ms % 1000 < 0), at = sl_cron_next(&s->cron, s->tz, s->gap, second);
    return at == INT64_MAX ? INT64_MAX : at * 1000;
}

int64_t sl_schedule_previous(const sl_schedule *s, int64_t before_ms)
{
    if (s->dates != NULL) {
        for (size_t i = s->date_count; i > 0; i--)
            if (s->dates[i - 1] < before_ms)
                return s->dates[i - 1];
        return INT64_MIN;
    }
    int64_t second = before_ms / 1000 + (before_ms % 1000 > 0), at = sl_cron_previous(&s->cron, s->tz, s->gap, second);
    return at == INT64_MIN ? INT64_MIN : at * 1000;
}

sl_str sl_schedule_text(sl_arena *arena, const sl_schedule *s, int64_t at_ms)
{
    sl_str text = SL_S("");
    sl_err ignored;
    (void)sl_time_format(arena, sl_time_at(at_ms / 1000, (int32_t)(at_ms % 1000) * 1000000, s->tz), SL_S("yyyy-MM-dd'T'HH:mm:ss.SSSXXX"), &text, &ignored);
    return text;
}

const sl_val *sl_schedule_variables(sl_arena *arena, const sl_schedule *s, int64_t at_ms, int64_t next, int64_t previous)
{
    sl_val *v = sl_map(arena);
    sl_map_set_str(arena, v, "date", sl_schedule_text(arena, s, at_ms));
    if (next != INT64_MAX)
        sl_map_set_str(arena, v, "next", sl_schedule_text(arena, s, next));
    if (previous != INT64_MIN)
        sl_map_set_str(arena, v, "previous", sl_schedule_text(arena, s, previous));
    return v;
}

int64_t sl_schedule_due(const sl_schedule *s, int64_t next, int64_t now, bool after_outage)
{
    if (next > now)
        return next;
    if (after_outage && s->recover == SL_RECOVER_NONE)
        return sl_schedule_next(s, now);
    if (after_outage && s->recover == SL_RECOVER_LAST) {
        int64_t last = sl_schedule_previous(s, now + 1);
        next = last > next ? last : next;
    }
    if (s->late_max_ms > 0 && next < now - s->late_max_ms)
        next = sl_schedule_next(s, now - s->late_max_ms - 1);
    return next;
}

/* ---- dates for which the conditions hold ---- */

const sl_val *sl_schedule_conditions(const sl_val *trigger)
{
    const sl_val *c = sl_get(trigger, "conditions");
    return c ? c : sl_get(trigger, "scheduleConditions");
}

bool sl_schedule_holds(const sl_schedule_filter *f, int64_t at_ms, bool *ret, sl_err *err)
{
    *ret = true;
    if (sl_val_count(f->conditions) == 0)
        return true;
    SL_ARENA a = sl_arena_new();
    const sl_val *own = sl_schedule_variables(a, f->schedule, at_ms, sl_schedule_next(f->schedule, at_ms), sl_schedule_previous(f->schedule, at_ms));
    sl_val *vars = sl_map_shallow(a, f->env->vars);
    sl_map_setc(a, vars, "trigger", own);
    sl_map_setc(a, vars, "schedule", own);
    sl_expr_env env = *f->env;
    env.vars = vars;
    return sl_conditions_hold(a, f->conditions, &env, ret, err);
}

bool sl_schedule_seek(const sl_schedule_filter *f, int64_t from_ms, bool forward, int64_t *ret, sl_err *err)
{
    const int64_t span = (int64_t)10 * 366 * 86400000, none = forward ? INT64_MAX : INT64_MIN;
    int64_t at = from_ms;
    for (int steps = 0; steps < SL_SCHEDULE_STEPS; steps++) {
        bool hold;
        at = forward ? sl_schedule_next(f->schedule, at) : sl_schedule_previous(f->schedule, at);
        if (at == none || (forward ? at - from_ms : from_ms - at) > span)
            break;
        if (!sl_schedule_holds(f, at, &hold, err))
            return false;
        if (hold) {
            *ret = at;
            return true;
        }
    }
    *ret = none;
    return true;
}
