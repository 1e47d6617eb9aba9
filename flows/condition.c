/* flows/condition.c: conditions of triggers (flow language section 4.12). */
#include "base/arena.h"
#include "base/json.h"
#include "flows/holiday.h"
#include "flows/precondition.h"
#include "flows/trigger.h"

typedef struct eval {
    sl_arena *arena;
    const sl_expr_env *env;
    sl_err *err;
} eval;

typedef struct condition_type {
    const char *name;                       /* behind the prefix; an older suffix "Condition" is accepted */
    const sl_opt *opts;
    bool (*holds)(eval *e, const sl_val *c, bool *ret);
} condition_type;

enum { TYPES = 19 }; /* the last one ends the table */
static const condition_type types[TYPES];

static sl_str bare_name(sl_str type)
{
    static const char *const prefixes[] = { "io.kestra.plugin.core.condition.", "io.kestra.core.models.conditions.types.", "core.condition.", "condition." };
    for (size_t i = 0; i < SL_COUNT(prefixes); i++)
        if (sl_str_starts(type, sl_str_c(prefixes[i]))) {
            type = sl_str_sub(type, strlen(prefixes[i]), type.n);
            return sl_str_ends(type, SL_S("Condition")) && type.n > 9 ? sl_str_sub(type, 0, type.n - 9) : type;
        }
    return (sl_str){ "", 0 };
}

static const condition_type *find(sl_str type)
{
    sl_str name = bare_name(type);
    if (sl_str_eqc(name, "Variable")) /* VariableCondition */
        name = SL_S("Expression");
    for (const condition_type *t = types; t->name != NULL; t++)
        if (sl_str_eqc(name, t->name))
            return t;
    return NULL;
}

static bool one_holds(eval *e, const sl_val *c, bool *ret)
{
    const condition_type *t = find(sl_get_text(c, "type"));
    *ret = false;
    if (t == NULL)
        return sl_err_set(e->err, SL_ERR_CONFIG, "condition.type", "there is no condition of type '%.*s'", SL_ARG(sl_get_text(c, "type")));
    return t->holds(e, c, ret);
}

bool sl_conditions_hold(sl_arena *arena, const sl_val *conditions, const sl_expr_env *env, bool *ret, sl_err *err)
{
    eval e = { arena, env, err };
    *ret = true;
    for (size_t i = 0; *ret && i < sl_val_count(conditions); i++)
        if (!one_holds(&e, sl_at(conditions, i), ret))
            return false;
    return true;
}

static bool is_multiple(const sl_val *c)
{
    return sl_str_eqc(bare_name(sl_get_text(c, "type")), "Multiple");
}

const sl_val *sl_conditions_multiple(const sl_val *conditions)
{
    for (size_t i = 0; i < sl_val_count(conditions); i++)
        if (is_multiple(sl_at(conditions, i)))
            return sl_at(conditions, i);
    return NULL;
}

/* {name: condition, …} */
static void check_multiple(sl_arena *arena, const sl_val *c, sl_str where, sl_problems *problems)
{
    const sl_val *named = sl_get(c, "conditions");
    if (!sl_is(named, SL_MAP) || named->map.n == 0)
        sl_problem_add(problems, c->line, c->column, "%.*s: condition MultipleCondition: 'conditions' must be a map of names to conditions", SL_ARG(where));
    for (size_t i = 0; sl_is(named, SL_MAP) && i < named->map.n; i++) {
        sl_val *one = sl_list(arena);
        sl_list_add(arena, one, named->map.entries[i].value);
        if (is_multiple(named->map.entries[i].value))
            sl_problem_add(problems, c->line, c->column, "%.*s: condition MultipleCondition: none may be in another", SL_ARG(where));
        else
            sl_conditions_check(arena, one, where, problems);
    }
}

/* States, times and the like: a condition without an expression is tried on a date. */
static void check_values(sl_arena *arena, const condition_type *t, const sl_val *c, sl_str where, sl_problems *problems)
{
    bool dates = sl_opt_find(t->opts, SL_S("date")) != NULL && sl_opt_find(t->opts, SL_S("conditions")) == NULL, holds;
    sl_err err;
    sl_preconditions_check(c, where, problems); /* of a MultipleCondition */
    sl_states_check(sl_get(c, "in"), where, problems);
    sl_states_check(sl_get(c, "notIn"), where, problems);
    const bool here = strcmp(t->name, "PublicHoliday") == 0 && sl_is_null(sl_get(c, "country")); /* the country is the server's */
    if (!dates || here || sl_str_find(sl_json(arena, c), SL_S("{{")) >= 0)
        return;
    sl_expr_env env = { .vars = sl_map_of(arena, "trigger", sl_map_of(arena, "date", sl_val_c(arena, "2024-02-29T12:00:00Z"))) };
    eval e = { arena, &env, &err };
    if (!t->holds(&e, c, &holds))
        sl_problem_add(problems, c->line, c->column, "%.*s: %s", SL_ARG(where), err.message);
}

void sl_conditions_check(sl_arena *arena, const sl_val *conditions, sl_str where, sl_problems *problems)
{
    for (size_t i = 0; sl_is(conditions, SL_LIST) && i < sl_val_count(conditions); i++) { /* another shape is already reported */
        const sl_val *c = sl_at(conditions, i);
        const condition_type *t = find(sl_get_text(c, "type"));
        if (!sl_is(c, SL_MAP) || t == NULL) {
            sl_problem_add(problems, c->line, c->column, "%.*s: condition: Invalid type: '%.*s' is not supported", SL_ARG(where), SL_ARG(sl_get_text(c, "type")));
            continue;
        }
        sl_str here = sl_fmt(arena, "%.*s: condition %s", SL_ARG(where), t->name);
        size_t before = problems->n;
        sl_bind_check(t->opts, NULL, c, here, problems);
        if (problems->n == before)
            check_values(arena, t, c, here, problems);
        if (is_multiple(c))
            check_multiple(arena, c, where, problems);
        sl_conditions_check(arena, sl_is(sl_get(c, "conditions"), SL_LIST) ? sl_get(c, "conditions") : NULL, where, problems);
    }
}

/* ---- values ---- */

static bool text_of(eval *e, const sl_val *c, const char *name, const char *fallback, sl_str *ret)
{
    const sl_val *v = sl_get(c, name);
    *ret = v ? sl_val_text(e->arena, v) : sl_str_c(fallback);
    return sl_render(e->arena, e->env, *ret, ret, e->err);
}

/* The date that is looked at: `date`, {{ trigger.date }} when absent. */
static bool date_of(eval *e, const sl_val *c, const char *name, const char *fallback, sl_time *ret)
{
    sl_str text;
    if (!text_of(e, c, name, fallback, &text))
        return false;
    return sl_time_parse(sl_str_trim(text), ret) || sl_err_set(e->err, SL_ERR_CONFIG, "condition.date", "'%s' is not a date: '%.*s'", name, SL_ARG(text));
}

/* ---- dates ---- */

static bool between(eval *e, const sl_val *c, bool *ret)
{
    sl_time at, bound;
    if (!date_of(e, c, "date", "{{ trigger.date }}", &at))
        return false;
    *ret = true;
    if (sl_get(c, "after") != NULL) {
        if (!date_of(e, c, "after", "", &bound))
            return false;
        *ret = *ret && at.s > bound.s;
    }
    if (sl_get(c, "before") != NULL) {
        if (!date_of(e, c, "before", "", &bound))
            return false;
        *ret = *ret && at.s < bound.s;
    }
    return true;
}

static int64_t day_second(sl_time t)
{
    int64_t s = t.kind == SL_TIME_OF_DAY ? t.s : sl_time_wall(t);
    return (s % 86400 + 86400) % 86400;
}

/* Times with an offset are compared on the wall clock of that offset. */
static bool time_between(eval *e, const sl_val *c, bool *ret)
{
    static const char *const names[] = { "after", "before" };
    sl_time at;
    if (!date_of(e, c, "date", "{{ trigger.date }}", &at))
        return false;
    *ret = true;
    for (size_t i = 0; i < 2; i++) {
        sl_time bound;
        sl_str text;
        if (sl_get(c, names[i]) == NULL)
            continue;
        if (!text_of(e, c, names[i], "", &text))
            return false;
        /* An offset time is parsed as a date-time of that offset on the day that is looked at. */
        sl_civil day = sl_civil_from_seconds(sl_time_wall(at));
        sl_str full = sl_fmt(e->arena, "%04lld-%02d-%02dT%.*s", (long long)day.year, day.month, day.day, SL_ARG(sl_str_trim(text)));
        if (!sl_time_parse(full, &bound))
            return sl_err_set(e->err, SL_ERR_CONFIG, "condition.time", "'%s' is not a time such as 16:19:12+02:00: '%.*s'", names[i], SL_ARG(text));
        bool zoned = bound.kind == SL_TIME_ZONED || bound.kind == SL_TIME_INSTANT;
        int64_t here = zoned ? ((at.s + bound.offset_s) % 86400 + 86400) % 86400 : day_second(at), there = day_second(bound);
        *ret = *ret && (i == 0 ? here > there : here < there);
    }
    return true;
}

static const char *const weekdays[] = { "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY" };

static bool weekday_is(eval *e, const sl_val *c, const sl_civil *day, bool *ret)
{
    sl_str wanted;
    if (!text_of(e, c, "dayOfWeek", "", &wanted))
        return false;
    *ret = sl_str_ieq(wanted, sl_str_c(weekdays[day->weekday - 1]));
    for (size_t i = 0; i < 7; i++)
        if (sl_str_ieq(wanted, sl_str_c(weekdays[i])))
            return true;
    return sl_err_set(e->err, SL_ERR_CONFIG, "condition.day", "'dayOfWeek' must be MONDAY to SUNDAY, not '%.*s'", SL_ARG(wanted));
}

static bool day_week(eval *e, const sl_val *c, bool *ret)
{
    sl_time at;
    if (!date_of(e, c, "date", "{{ trigger.date }}", &at))
        return false;
    sl_civil day = sl_civil_from_seconds(sl_time_wall(at));
    return weekday_is(e, c, &day, ret);
}

static bool day_week_in_month(eval *e, const sl_val *c, bool *ret)
{
    static const char *const nth[] = { "FIRST", "SECOND", "THIRD", "FOURTH" };
    sl_time at;
    sl_str wanted;
    if (!date_of(e, c, "date", "{{ trigger.date }}", &at) || !text_of(e, c, "dayInMonth", "", &wanted))
        return false;
    sl_civil day = sl_civil_from_seconds(sl_time_wall(at));
    if (!weekday_is(e, c, &day, ret))
        return false;
    bool hit = sl_str_ieq(wanted, SL_S("LAST")) && day.day + 7 > sl_days_in_month(day.year, day.month);
    if (!sl_str_ieq(wanted, SL_S("LAST")) && !sl_str_ieq(wanted, SL_S("FIRST")) && !sl_str_ieq(wanted, SL_S("SECOND")) && !sl_str_ieq(wanted, SL_S("THIRD")) && !sl_str_ieq(wanted, SL_S("FOURTH")))
        return sl_err_set(e->err, SL_ERR_CONFIG, "condition.day", "'dayInMonth' must be FIRST, SECOND, THIRD, FOURTH or LAST, not '%.*s'", SL_ARG(wanted));
    for (size_t i = 0; i < SL_COUNT(nth); i++)
        hit |= sl_str_ieq(wanted, sl_str_c(nth[i])) && (size_t)(day.day - 1) / 7 == i;
    *ret = *ret && hit;
    return true;
}

static bool weekend(eval *e, const sl_val *c, bool *ret)
{
    sl_time at;
    if (!date_of(e, c, "date", "{{ trigger.date }}", &at))
        return false;
    *ret = sl_civil_from_seconds(sl_time_wall(at)).weekday >= 6;
    return true;
}

/* Of the country that the machine's locale names ("de_DE.UTF-8"), where none is named. */
static sl_str own_country(void)
{
    static const char *const variables[] = { "LC_ALL", "LC_TIME", "LANG" };
    for (size_t i = 0; i < SL_COUNT(variables); i++) {
        const char *v = getenv(variables[i]), *line = v ? strchr(v, '_') : NULL;
        if (line != NULL && strlen(line) >= 3)
            return (sl_str){ line + 1, 2 };
    }
    return SL_S("");
}

static bool public_holiday(eval *e, const sl_val *c, bool *ret)
{
    sl_time at;
    sl_str country, part;
    if (!date_of(e, c, "date", "{{ trigger.date }}", &at) || !text_of(e, c, "country", "", &country) || !text_of(e, c, "subDivision", "", &part))
        return false;
    country = country.n > 0 ? sl_str_trim(country) : own_country();
    if (country.n == 0)
        return sl_err_set(e->err, SL_ERR_CONFIG, "condition.country", "the condition PublicHoliday needs a 'country', such as DE: the server's locale names none");
    sl_civil day = sl_civil_from_seconds(sl_time_wall(at));
    return sl_holiday_is(country, sl_str_trim(part), day.year, day.month, day.day, ret, e->err);
}

/* ---- logic ---- */

static bool none_of(eval *e, const sl_val *c, bool *ret)
{
    bool any = false;
    for (size_t i = 0; !any && i < sl_val_count(sl_get(c, "conditions")); i++)
        if (!one_holds(e, sl_at(sl_get(c, "conditions"), i), &any))
            return false;
    *ret = !any;
    return true;
}

static bool any_of(eval *e, const sl_val *c, bool *ret)
{
    return none_of(e, c, ret) && ((*ret = !*ret), true);
}

static bool expression(eval *e, const sl_val *c, bool *ret)
{
    sl_str text;
    if (!text_of(e, c, "expression", "", &text))
        return false;
    text = sl_str_trim(text);
    *ret = text.n > 0 && !sl_str_ieq(text, SL_S("false"));
    return true;
}

/* ---- the trigger's own flow ---- */

static bool own_flow(eval *e, const sl_val *c, bool *ret)
{
    const sl_val *flow = sl_get(e->env->vars, "flow");
    *ret = sl_str_eq(sl_get_text(c, "namespace"), sl_get_text(flow, "namespace")) && sl_str_eq(sl_get_text(c, "flowId"), sl_get_text(flow, "id"));
    return true;
}

static bool own_namespace(eval *e, const sl_val *c, bool *ret)
{
    sl_str wanted = sl_get_text(c, "namespace"), is = sl_get_text(sl_get(e->env->vars, "flow"), "namespace");
    *ret = sl_get_bool(c, "prefix", false) ? sl_str_starts(is, wanted) : sl_str_eq(is, wanted);
    return true;
}

/* ---- the execution that ended: {{ trigger }} of a Flow trigger ---- */

static sl_str upstream(const eval *e, const char *name)
{
    return sl_get_text(sl_get(e->env->vars, "trigger"), name);
}

static bool execution_flow(eval *e, const sl_val *c, bool *ret)
{
    sl_str ns = sl_get_text(c, "namespace"), id = sl_get_text(c, "flowId");
    *ret = (ns.n == 0 || sl_str_eq(ns, upstream(e, "namespace"))) && (id.n == 0 || sl_str_eq(id, upstream(e, "flowId")));
    return true;
}

static bool execution_namespace(eval *e, const sl_val *c, bool *ret)
{
    sl_str wanted = sl_get_text(c, "namespace"), how = sl_get_text(c, "comparison"), is = upstream(e, "namespace");
    if (sl_str_ieq(how, SL_S("PREFIX")) || (how.n == 0 && sl_get_bool(c, "prefix", false)))
        *ret = sl_str_starts(is, wanted);
    else if (sl_str_ieq(how, SL_S("SUFFIX")))
        *ret = sl_str_ends(is, wanted);
    else
        *ret = sl_str_eq(is, wanted);
    return true;
}

static bool execution_status(eval *e, const sl_val *c, bool *ret)
{
    const sl_val *in = sl_get(c, "in"), *not_in = sl_get(c, "notIn");
    sl_str state = upstream(e, "state");
    *ret = (sl_is_null(in) || sl_states_have(in, state)) && !sl_states_have(not_in, state);
    return true;
}

/* Was a task tried again, and has an attempt of it had such a state? notIn: none has. */
static bool retry_attempt(eval *e, const sl_val *c, bool *ret)
{
    const sl_val *in = sl_get(c, "in"), *not_in = sl_get(c, "notIn"), *states = sl_get(e->env->vars, "$attempts");
    bool any = sl_is_null(in) && (!sl_is_null(not_in) || sl_val_count(states) > 0), none = true;
    for (size_t i = 0; i < sl_val_count(states); i++) {
        any |= sl_states_have(in, sl_text(sl_at(states, i)));
        none &= !sl_states_have(not_in, sl_text(sl_at(states, i)));
    }
    *ret = any && none;
    return true;
}

static bool execution_labels(eval *e, const sl_val *c, bool *ret)
{
    const sl_val *labels = sl_get(c, "labels"), *has = sl_get(e->env->vars, "$labels");
    *ret = true;
    for (size_t i = 0; i < sl_val_count(labels); i++) {
        bool map = sl_is(labels, SL_MAP);
        sl_str key = map ? labels->map.entries[i].key : sl_get_text(sl_at(labels, i), "key");
        const sl_val *value = map ? labels->map.entries[i].value : sl_get(sl_at(labels, i), "value");
        *ret = *ret && sl_str_eq(sl_val_text(e->arena, value), sl_text(sl_get_str(has, key)));
    }
    return true;
}

static bool execution_outputs(eval *e, const sl_val *c, bool *ret)
{
    sl_str text;
    if (!text_of(e, c, "expression", "", &text))
        return false;
    *ret = sl_truthy_text(text);
    return true;
}

/* It needs several executions: flows/precondition.c sees to it. */
static bool multiple(eval *e, const sl_val *c, bool *ret)
{
    (void)e;
    (void)c;
    *ret = true;
    return true;
}

#define TEXT(text) { .name = text, .type = SL_OPT_STR, .flags = SL_LATE }
#define NEEDED(text) { .name = text, .type = SL_OPT_STR, .flags = SL_LATE | SL_REQUIRED }
#define FIXED(text, how) { .name = text, .type = how, .flags = SL_STATIC }
#define TYPE { .name = "type", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_STATIC }
static const sl_opt bounds_opts[] = { TYPE, TEXT("date"), TEXT("after"), TEXT("before"), { 0 } };
static const sl_opt day_opts[] = { TYPE, TEXT("date"), NEEDED("dayOfWeek"), { 0 } };
static const sl_opt day_in_month_opts[] = { TYPE, TEXT("date"), NEEDED("dayOfWeek"), NEEDED("dayInMonth"), { 0 } };
static const sl_opt date_opts[] = { TYPE, TEXT("date"), { 0 } };
static const sl_opt holiday_opts[] = { TYPE, TEXT("date"), TEXT("country"), TEXT("subDivision"), { 0 } };
static const sl_opt logic_opts[] = { TYPE, TEXT("date"), { .name = "conditions", .type = SL_OPT_LIST, .flags = SL_REQUIRED | SL_LATE }, { 0 } };
static const sl_opt expression_opts[] = { TYPE, NEEDED("expression"), { 0 } };
static const sl_opt flow_opts[] = { TYPE, TEXT("namespace"), TEXT("flowId"), { 0 } };
static const sl_opt own_namespace_opts[] = { TYPE, NEEDED("namespace"), FIXED("prefix", SL_OPT_BOOL), { 0 } };
static const sl_opt namespace_opts[] = { TYPE, NEEDED("namespace"), FIXED("prefix", SL_OPT_BOOL), { .name = "comparison", .type = SL_OPT_ENUM, .flags = SL_STATIC, .values = "EQUALS PREFIX SUFFIX" }, { 0 } };
static const sl_opt states_opts[] = { TYPE, FIXED("in", SL_OPT_STRS), FIXED("notIn", SL_OPT_STRS), { 0 } };
static const sl_opt labels_opts[] = { TYPE, { .name = "labels", .type = SL_OPT_ANY, .flags = SL_REQUIRED | SL_STATIC }, { 0 } };
static const sl_opt multiple_opts[] = {
    TYPE, FIXED("id", SL_OPT_STR), FIXED("description", SL_OPT_STR), FIXED("window", SL_OPT_DURATION), FIXED("windowAdvance", SL_OPT_DURATION),
    { .name = "timeWindow", .type = SL_OPT_MAP, .flags = SL_STATIC, .sub = sl_window_opts }, FIXED("resetOnSuccess", SL_OPT_BOOL), FIXED("conditions", SL_OPT_ANY), { 0 },
};

static const condition_type types[TYPES] = {
    { "DateTimeBetween", bounds_opts, between },
    { "TimeBetween", bounds_opts, time_between },
    { "DayWeek", day_opts, day_week },
    { "DayWeekInMonth", day_in_month_opts, day_week_in_month },
    { "Weekend", date_opts, weekend },
    { "PublicHoliday", holiday_opts, public_holiday },
    { "Not", logic_opts, none_of },
    { "Or", logic_opts, any_of },
    { "Expression", expression_opts, expression },
    { "Flow", flow_opts, own_flow },
    { "FlowNamespace", own_namespace_opts, own_namespace },
    { "ExecutionFlow", flow_opts, execution_flow },
    { "ExecutionNamespace", namespace_opts, execution_namespace },
    { "ExecutionStatus", states_opts, execution_status },
    { "HasRetryAttempt", states_opts, retry_attempt },
    { "ExecutionLabels", labels_opts, execution_labels },
    { "ExecutionOutputs", expression_opts, execution_outputs },
    { "Multiple", multiple_opts, multiple },
    { NULL, NULL, NULL },
};
