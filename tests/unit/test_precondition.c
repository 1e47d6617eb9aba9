/* tests/unit/test_precondition.c: windows and filters of preconditions, at times that the test says. */
#include "base/yaml.h"
#include "flows/precondition.h"
#include "tests/harness/test.h"

/* 2024-03-05, as the machine's clock has it. */
static int64_t at(const char *clock)
{
    sl_time t;
    char text[32];
    (void)snprintf(text, sizeof text, "2024-03-05T%s", clock);
    (void)sl_time_parse(sl_str_c(text), &t);
    return sl_tz_to_utc(sl_tz_local(), t.s) * 1000;
}

static const sl_val *yaml(sl_test_context *t, const char *text)
{
    const sl_val *v = sl_yaml_parse(t->arena, sl_str_c(text), &t->err);
    CHECK(v != NULL);
    return v;
}

typedef struct step {
    const char *flow, *clock;
    bool fires;
} step;

/* The executions end one after the other. */
static void play(sl_test_context *t, const char *preconditions, const step *steps, size_t n)
{
    const sl_val *p = yaml(t, preconditions), *state = NULL, *outputs;
    for (size_t i = 0; i < n; i++) {
        sl_upstream x = { .ns = SL_S("n"), .flow_id = sl_str_c(steps[i].flow), .state = SL_SUCCESS };
        bool changed, fires = sl_preconditions_match(t->arena, p, state, &x, at(steps[i].clock), &state, &outputs, &changed);
        if (fires != steps[i].fires)
            sl_test_fail(t, __FILE__, __LINE__, "%s: %s at %s %s", preconditions, steps[i].flow, steps[i].clock, fires ? "fires" : "does not fire");
    }
}

#define PLAY(preconditions, ...)                                       \
    do {                                                               \
        const step steps[] = { __VA_ARGS__ };                          \
        play(t, "{id: p, " preconditions ", flows: [{flowId: a}, {flowId: b}]}", steps, SL_COUNT(steps)); \
    } while (0)

SL_TEST(precondition, windows)
{
    PLAY("timeWindow: {type: DAILY_TIME_DEADLINE, deadline: '09:00:00'}", { "a", "08:00:00", false }, { "b", "08:59:59", true });
    PLAY("timeWindow: {type: DAILY_TIME_DEADLINE, deadline: '09:00:00'}", { "a", "08:00:00", false }, { "b", "09:00:01", false });
    PLAY("timeWindow: {type: DAILY_TIME_DEADLINE, deadline: '09:00:00'}", { "a", "09:00:00", false }, { "b", "09:00:00", true });
    PLAY("timeWindow: {type: DAILY_TIME_WINDOW, startTime: '06:00:00', endTime: '09:00'}", { "a", "05:59:59", false }, { "b", "06:30:00", false }, { "a", "07:00:00", true });
    PLAY("timeWindow: {type: DAILY_TIME_WINDOW, startTime: '06:00:00', endTime: '09:00'}", { "a", "06:00:00", false }, { "b", "09:01:00", false });
    PLAY("timeWindow: {type: SLIDING_WINDOW, window: PT1H}", { "a", "06:00:00", false }, { "b", "07:00:00", true });
    PLAY("timeWindow: {type: SLIDING_WINDOW, window: PT1H}", { "a", "06:00:00", false }, { "b", "07:00:01", false }, { "a", "07:30:00", true });
    PLAY("timeWindow: {type: DURATION_WINDOW, window: PT6H}", { "a", "05:59:00", false }, { "b", "06:01:00", false }, { "a", "11:59:00", true });
    PLAY("timeWindow: {type: DURATION_WINDOW, window: PT6H, windowAdvance: PT1H}", { "a", "05:59:00", false }, { "b", "06:01:00", true });
    PLAY("timeWindow: {window: P1D, windowAdvance: PT8H}", { "a", "07:00:00", false }, { "b", "07:59:00", true });
    PLAY("timeWindow: {window: P1D, windowAdvance: PT8H}", { "a", "07:59:00", false }, { "b", "08:01:00", false });
    PLAY("window: PT6H, windowAdvance: PT0S", { "a", "05:59:00", false }, { "b", "06:01:00", false });
}

SL_TEST(precondition, reset)
{
    PLAY("resetOnSuccess: true", { "a", "01:00:00", false }, { "b", "02:00:00", true }, { "b", "03:00:00", false }, { "a", "03:00:00", true });
    PLAY("resetOnSuccess: false", { "a", "01:00:00", false }, { "b", "02:00:00", true }, { "b", "03:00:00", true }, { "other", "04:00:00", true });
}

SL_TEST(precondition, filters)
{
    static const struct {
        const char *filter;
        bool fires;
    } cases[] = {
        { "{field: FLOW_ID, type: EQUAL_TO, value: orders}", true },      { "{field: FLOW_ID, type: NOT_EQUAL_TO, value: orders}", false },
        { "{field: FLOW_ID, type: IN, values: [a, orders]}", true },      { "{field: FLOW_ID, type: NOT_IN, values: [a, orders]}", false },
        { "{field: NAMESPACE, type: STARTS_WITH, value: comp}", true },   { "{field: NAMESPACE, type: STARTS_WITH, value: any}", false },
        { "{field: NAMESPACE, type: ENDS_WITH, value: .team}", true },    { "{field: NAMESPACE, type: CONTAINS, value: any.t}", true },
        { "{field: NAMESPACE, type: REGEX, value: 'company\\..*'}", true }, { "{field: NAMESPACE, type: REGEX, value: 'company'}", false },
        { "{field: STATE, type: EQUAL_TO, value: SUCCESS}", true },       { "{field: STATE, type: IN, values: [FAILED, KILLED]}", false },
        { "{field: EXPRESSION, type: IS_TRUE, value: '{{ 1 == 1 }}'}", true }, { "{field: EXPRESSION, type: IS_FALSE, value: '{{ 1 == 1 }}'}", false },
        { "{field: EXPRESSION, type: IS_NULL, value: '{{ null }}'}", true },   { "{field: EXPRESSION, type: IS_NOT_NULL, value: '{{ n }}'}", true },
        { "{field: EXPRESSION, type: IS_TRUE, value: '{{ nothing.here }}'}", false },
    };
    sl_val *vars = sl_map(t->arena);
    sl_map_set_int(t->arena, vars, "n", 7);
    const sl_expr_env own = { .vars = vars };
    const sl_upstream x = { .ns = SL_S("company.team"), .flow_id = SL_S("orders"), .state = SL_SUCCESS, .own = &own };
    for (size_t i = 0; i < SL_COUNT(cases); i++)
        for (int negated = 0; negated < 2; negated++) {
            const sl_val *state, *outputs, *p;
            bool changed;
            /* Beside one that holds, or that does not: AND, OR. */
            p = yaml(t, sl_fmt(t->arena, "{id: p, where: [{id: w, operand: %s, filters: [%s, {field: FLOW_ID, type: %s, value: orders}]}]}", negated ? "OR" : "AND", cases[i].filter, negated ? "NOT_EQUAL_TO" : "EQUAL_TO").p);
            if (sl_preconditions_match(t->arena, p, NULL, &x, at("10:00:00"), &state, &outputs, &changed) != cases[i].fires)
                sl_test_fail(t, __FILE__, __LINE__, "%s (%s)", cases[i].filter, negated ? "OR" : "AND");
        }
}

SL_TEST(precondition, states_and_labels)
{
    static const struct {
        const char *flow;
        sl_state state;
        bool fires;
    } cases[] = {
        { "{flowId: f}", SL_SUCCESS, true },   { "{flowId: f}", SL_WARNED, true },                      { "{flowId: f}", SL_FAILED, false },
        { "{namespace: n, flowId: f, states: [FAILED, KILLED]}", SL_FAILED, true },                      { "{flowId: f, states: [FAILED]}", SL_SUCCESS, false },
        { "{flowId: f, labels: {team: x}}", SL_SUCCESS, true }, { "{flowId: f, labels: [{key: team, value: y}]}", SL_SUCCESS, false },
        { "{namespace: other}", SL_SUCCESS, false },
    };
    sl_val *labels = sl_map(t->arena);
    sl_map_set_str(t->arena, labels, "team", SL_S("x"));
    for (size_t i = 0; i < SL_COUNT(cases); i++) {
        const sl_upstream x = { .ns = SL_S("n"), .flow_id = SL_S("f"), .state = cases[i].state, .labels = labels };
        const sl_val *state, *outputs;
        bool changed, fires = sl_preconditions_match(t->arena, yaml(t, sl_fmt(t->arena, "{id: p, flows: [%s]}", cases[i].flow).p), NULL, &x, at("10:00:00"), &state, &outputs, &changed);
        if (fires != cases[i].fires)
            sl_test_fail(t, __FILE__, __LINE__, "%s in state %s", cases[i].flow, sl_state_name(cases[i].state));
    }
}
