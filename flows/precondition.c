/* flows/precondition.c: see precondition.h. */
#include "flows/precondition.h"

#include "base/arena.h"
#include "base/regex.h"
#include "flows/trigger.h"

/* ---- the window ---- */

const sl_opt sl_window_opts[] = {
    { .name = "type", .type = SL_OPT_ENUM, .flags = SL_STATIC, .values = "DURATION_WINDOW SLIDING_WINDOW DAILY_TIME_DEADLINE DAILY_TIME_WINDOW", .doc = "How it lies (DURATION_WINDOW: lengths that begin at midnight)." },
    { .name = "window", .type = SL_OPT_DURATION, .flags = SL_STATIC, .doc = "Its length (P1D)." },
    { .name = "windowAdvance", .type = SL_OPT_DURATION, .flags = SL_STATIC, .doc = "How much later than midnight the first begins." },
    { .name = "deadline", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Time of the day until which all have to be met." },
    { .name = "startTime", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Time of the day when a DAILY_TIME_WINDOW begins." },
    { .name = "endTime", .type = SL_OPT_STR, .flags = SL_STATIC, .doc = "Time of the day when it ends." },
    { 0 },
};

static int64_t time_of_day(const sl_val *w, const char *name, int64_t fallback_s)
{
    sl_time t;
    return sl_time_parse(sl_get_text(w, name), &t) && t.kind == SL_TIME_OF_DAY ? t.s : fallback_s;
}

/* Executions that ended before *from do not count; false: now is outside of the window. */
static bool window_at(sl_arena *a, const sl_val *w, int64_t now, int64_t *from)
{
    const sl_tz *tz = sl_tz_local();
    sl_str type = sl_str_upper(a, sl_get_text(w, "type"));
    int64_t length = 86400000, advance = 0, second = now / 1000, wall = second + sl_tz_offset(tz, second, NULL), midnight = wall - wall % 86400;
    (void)sl_duration_parse(sl_get_text(w, "window"), &length);
    (void)sl_duration_parse(sl_get_text(w, "windowAdvance"), &advance);
    if (sl_str_eqc(type, "SLIDING_WINDOW")) {
        *from = now - length;
        return true;
    }
    if (sl_str_eqc(type, "DAILY_TIME_DEADLINE") || sl_str_eqc(type, "DAILY_TIME_WINDOW")) {
        bool deadline = sl_str_eqc(type, "DAILY_TIME_DEADLINE");
        int64_t start = deadline ? 0 : time_of_day(w, "startTime", 0), end = time_of_day(w, deadline ? "deadline" : "endTime", 86400);
        *from = sl_tz_to_utc(tz, midnight + start) * 1000;
        return wall - midnight >= start && wall - midnight <= end;
    }
    int64_t origin = sl_tz_to_utc(tz, midnight) * 1000 + advance;
    if (length < 86400000 && length > 0)
        origin += (now - origin) / length * length;
    *from = origin > now ? origin - length : origin;
    return true;
}

/* ---- elements ---- */

static bool listed(const sl_val *list, sl_str what)
{
    for (size_t i = 0; i < sl_val_count(list); i++)
        if (sl_str_ieq(sl_text(sl_at(list, i)), what))
            return true;
    return false;
}

bool sl_states_have(const sl_val *states, sl_str state)
{
    return sl_is(states, SL_LIST) ? listed(states, state) : states != NULL && sl_str_ieq(sl_text(states), state);
}

static bool labels_match(sl_arena *a, const sl_val *wanted, const sl_val *has)
{
    for (size_t i = 0; i < sl_val_count(wanted); i++) {
        bool map = sl_is(wanted, SL_MAP);
        sl_str key = map ? wanted->map.entries[i].key : sl_get_text(sl_at(wanted, i), "key");
        const sl_val *value = map ? wanted->map.entries[i].value : sl_get(sl_at(wanted, i), "value");
        if (!sl_str_eq(sl_val_text(a, value), sl_text(sl_get_str(has, key))))
            return false;
    }
    return true;
}

static bool flow_matches(sl_arena *a, const sl_val *f, const sl_upstream *x)
{
    sl_str ns = sl_get_text(f, "namespace"), id = sl_get_text(f, "flowId");
    const sl_val *states = sl_get(f, "states");
    sl_str state = sl_str_c(sl_state_name(x->state));
    bool good = !sl_is_null(states) ? sl_states_have(states, state) : x->state == SL_SUCCESS || x->state == SL_WARNED;
    return (ns.n == 0 || sl_str_eq(ns, x->ns)) && (id.n == 0 || sl_str_eq(id, x->flow_id)) && good && labels_match(a, sl_get(f, "labels"), x->labels);
}

static bool compare(sl_arena *a, sl_str written, sl_str is, const sl_val *filter)
{
    sl_str op = sl_str_upper(a, written), value = sl_val_text(a, sl_get(filter, "value"));
    const sl_val *values = sl_get(filter, "values");
    if (sl_str_eqc(op, "REGEX")) {
        sl_err ignored;
        bool full = false;
        sl_regex *r = sl_regex_new(a, value, &ignored);
        return r != NULL && sl_regex_full(r, is, &full, &ignored) && full;
    }
    if (sl_str_eqc(op, "EQUAL_TO")) return sl_str_eq(is, value);
    if (sl_str_eqc(op, "NOT_EQUAL_TO")) return !sl_str_eq(is, value);
    if (sl_str_eqc(op, "IN")) return listed(values, is);
    if (sl_str_eqc(op, "NOT_IN")) return !listed(values, is);
    if (sl_str_eqc(op, "IS_TRUE")) return sl_str_eqc(is, "true");
    if (sl_str_eqc(op, "IS_FALSE")) return sl_str_eqc(is, "false");
    if (sl_str_eqc(op, "IS_NULL")) return is.n == 0;
    if (sl_str_eqc(op, "IS_NOT_NULL")) return is.n > 0;
    if (sl_str_eqc(op, "STARTS_WITH")) return sl_str_starts(is, value);
    if (sl_str_eqc(op, "ENDS_WITH")) return sl_str_ends(is, value);
    return sl_str_eqc(op, "CONTAINS") && sl_str_find(is, value) >= 0;
}

static bool filter_matches(sl_arena *a, const sl_val *f, const sl_upstream *x)
{
    sl_str field = sl_str_upper(a, sl_get_text(f, "field")), is = SL_S("");
    sl_err ignored;
    if (sl_str_eqc(field, "FLOW_ID"))
        is = x->flow_id;
    else if (sl_str_eqc(field, "NAMESPACE"))
        is = x->ns;
    else if (sl_str_eqc(field, "STATE"))
        is = sl_str_c(sl_state_name(x->state));
    else if (!sl_str_eqc(field, "EXPRESSION") || !sl_render(a, x->own, sl_val_text(a, sl_get(f, "value")), &is, &ignored))
        return false;
    return compare(a, sl_get_text(f, "type"), sl_str_trim(is), f);
}

static bool where_matches(sl_arena *a, const sl_val *w, const sl_upstream *x)
{
    const sl_val *filters = sl_get(w, "filters");
    bool any = sl_str_ieq(sl_get_text(w, "operand"), SL_S("OR")), hit = !any;
    for (size_t i = 0; i < sl_val_count(filters); i++) {
        bool one = filter_matches(a, sl_at(filters, i), x);
        hit = any ? hit || one : hit && one;
    }
    return hit;
}

/* One of the named conditions of a MultipleCondition. */
static bool condition_matches(sl_arena *a, const sl_val *condition, const sl_upstream *x)
{
    sl_val *one = sl_list(a);
    bool hold;
    sl_err ignored;
    sl_list_add(a, one, condition);
    return sl_conditions_hold(a, one, x->env, &hold, &ignored) && hold;
}

static bool matches(sl_arena *a, const char *kind, const sl_val *element, const sl_upstream *x)
{
    if (strcmp(kind, "flows") == 0)
        return flow_matches(a, element, x);
    return strcmp(kind, "where") == 0 ? where_matches(a, element, x) : condition_matches(a, element, x);
}

/* What an earlier execution has said stands. */
static const sl_val *merged(sl_arena *a, const sl_val *met, const sl_val *by_element)
{
    sl_val *all = sl_map(a);
    for (int64_t before = -1;;) {
        int64_t next = INT64_MAX;
        for (size_t i = 0; i < sl_val_count(by_element); i++) {
            int64_t at = sl_get_int(met, sl_cstr(a, by_element->map.entries[i].key), 0);
            next = at > before && at < next ? at : next;
        }
        if (next == INT64_MAX)
            return all;
        for (size_t i = 0; i < sl_val_count(by_element); i++) {
            const sl_val *outputs = by_element->map.entries[i].value;
            for (size_t k = 0; sl_get_int(met, sl_cstr(a, by_element->map.entries[i].key), 0) == next && k < sl_val_count(outputs); k++)
                if (sl_get_str(all, outputs->map.entries[k].key) == NULL)
                    sl_map_set(a, all, outputs->map.entries[k].key, outputs->map.entries[k].value);
        }
        before = next;
    }
}

bool sl_preconditions_match(sl_arena *a, const sl_val *p, const sl_val *state, const sl_upstream *x, int64_t now, const sl_val **ret, const sl_val **outputs, bool *changed)
{
    static const char *const kinds[] = { "flows", "where", "conditions" };
    sl_val *met = sl_map(a), *by_element = sl_map(a);
    const sl_val *kept = sl_get(state, "outputs");
    int64_t from;
    bool all = true, inside = window_at(a, sl_get(p, "timeWindow") ? sl_get(p, "timeWindow") : p, now, &from); /* its older form: window, windowAdvance beside */
    *changed = false;
    for (size_t k = 0; k < SL_COUNT(kinds); k++)
        for (size_t i = 0; i < sl_val_count(sl_get(p, kinds[k])); i++) {
            const sl_val *list = sl_get(p, kinds[k]), *element = sl_is(list, SL_MAP) ? list->map.entries[i].value : sl_at(list, i);
            sl_str key = sl_fmt(a, "%s%zu", kinds[k], i);
            int64_t at = sl_get_int(state, key.p, 0), was = at;
            if (at < from)
                at = 0;
            const sl_val *said = sl_get_str(kept, key);
            if (inside && matches(a, kinds[k], element, x)) {
                at = now;
                said = x->outputs;
            }
            if (at > 0)
                sl_map_set_int(a, met, key.p, at);
            if (at > 0 && sl_val_count(said) > 0)
                sl_map_set(a, by_element, key, said);
            *changed |= at != was;
            all &= at > 0;
        }
    *outputs = merged(a, met, by_element);
    if (by_element->map.n > 0)
        sl_map_setc(a, met, "outputs", by_element);
    *ret = met;
    if (all && inside && sl_get_bool(p, "resetOnSuccess", true)) {
        *ret = NULL;
        *changed = true;
    }
    return all && inside;
}

/* ---- checks ---- */

static void check_state(const sl_val *v, sl_str where, sl_problems *problems)
{
    sl_state state;
    if (!sl_state_parse(sl_str_upper(problems->arena, sl_text(v)), &state))
        sl_problem_add(problems, v->line, v->column, "%.*s: there is no state '%.*s'", SL_ARG(where), SL_ARG(sl_text(v)));
}

void sl_states_check(const sl_val *states, sl_str where, sl_problems *problems)
{
    if (!sl_is_null(states) && states->type != SL_LIST)
        check_state(states, where, problems);
    for (size_t i = 0; i < sl_val_count(states); i++)
        check_state(sl_at(states, i), where, problems);
}

static void check_times(const sl_val *window, sl_str where, sl_problems *problems)
{
    static const char *const names[] = { "deadline", "startTime", "endTime" };
    for (size_t i = 0; i < SL_COUNT(names); i++) {
        const sl_val *v = sl_get(window, names[i]);
        sl_time t;
        if (!sl_is_null(v) && !(sl_time_parse(sl_text(v), &t) && t.kind == SL_TIME_OF_DAY))
            sl_problem_add(problems, v->line, v->column, "%.*s: timeWindow: '%s' must be a time of the day such as 09:00:00, not '%.*s'", SL_ARG(where), names[i], SL_ARG(sl_text(v)));
    }
}

static void check_filter(const sl_val *f, sl_str where, sl_problems *problems)
{
    sl_str op = sl_str_upper(problems->arena, sl_get_text(f, "type")), value = sl_get_text(f, "value");
    const bool list = sl_str_eqc(op, "IN") || sl_str_eqc(op, "NOT_IN"), none = sl_str_starts(op, SL_S("IS_")), expression = sl_str_ieq(sl_get_text(f, "field"), SL_S("EXPRESSION"));
    const char *needed = list ? "values" : !none || expression ? "value" : NULL;
    sl_err err;
    if (needed != NULL && sl_is_null(sl_get(f, needed)))
        sl_problem_add(problems, f->line, f->column, "%.*s: a filter of type %.*s needs '%s'", SL_ARG(where), SL_ARG(op), needed);
    if (sl_str_eqc(op, "REGEX") && value.n > 0 && sl_regex_new(problems->arena, value, &err) == NULL)
        sl_problem_add(problems, f->line, f->column, "%.*s: a filter of type REGEX: %s", SL_ARG(where), err.message);
}

void sl_preconditions_check(const sl_val *p, sl_str where, sl_problems *problems)
{
    const sl_val *flows = sl_get(p, "flows"), *filters = sl_get(p, "where");
    check_times(sl_get(p, "timeWindow"), where, problems);
    for (size_t i = 0; i < sl_val_count(flows); i++)
        sl_states_check(sl_get(sl_at(flows, i), "states"), where, problems);
    for (size_t i = 0; i < sl_val_count(filters); i++) {
        const sl_val *list = sl_get(sl_at(filters, i), "filters");
        for (size_t k = 0; k < sl_val_count(list); k++)
            check_filter(sl_at(list, k), where, problems);
    }
}
