/* flows/input.c: see input.h. */
#include "flows/input.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/regex.h"
#include "base/yaml.h"
#include "flows/model.h"

/* ---- coercion ---- */

static bool expected(sl_str type, sl_str shown, sl_err *err)
{
    return sl_err_set(err, SL_ERR_CONFIG, "input.type", "Expected `%.*s` but received `%.*s`", SL_ARG(type), (int)(shown.n < 200 ? shown.n : 200), shown.p);
}

static bool number_bounds(sl_arena *a, const sl_val *d, double v, sl_err *err)
{
    double bound;
    const sl_val *min = sl_get(d, "min"), *max = sl_get(d, "max");
    if (min != NULL && sl_parse_double(sl_val_text(a, min), &bound) && v < bound)
        return sl_err_set(err, SL_ERR_CONFIG, "input.min", "it must be more than `%.*s`", SL_ARG(sl_val_text(a, min)));
    if (max != NULL && sl_parse_double(sl_val_text(a, max), &bound) && v > bound)
        return sl_err_set(err, SL_ERR_CONFIG, "input.max", "it must be less than `%.*s`", SL_ARG(sl_val_text(a, max)));
    return true;
}

static bool coerce_number(sl_arena *a, const sl_val *d, sl_str type, const sl_val *v, const sl_val **ret, sl_err *err)
{
    sl_str text = sl_str_trim(sl_val_text(a, v));
    int64_t i;
    double x;
    if (sl_str_eqc(type, "INT")) {
        if (!sl_parse_int(text, &i) || i < INT32_MIN || i > INT32_MAX)
            return expected(type, text, err);
        *ret = sl_val_int(a, i);
        return number_bounds(a, d, (double)i, err);
    }
    if (!sl_parse_double(text, &x))
        return expected(type, text, err);
    /* A FLOAT has 32 bits; its shortest decimal is what gets printed. */
    double narrow;
    if (!sl_parse_double(sl_float_text(a, (float)x), &narrow))
        return expected(type, text, err);
    *ret = sl_val_double(a, narrow);
    return number_bounds(a, d, x, err);
}

static int64_t order_of(sl_time t)
{
    return t.s;
}

static bool coerce_time(sl_arena *a, const sl_val *d, sl_str type, const sl_val *v, const sl_val **ret, sl_err *err)
{
    sl_str text = sl_str_trim(sl_val_text(a, v));
    sl_time t, bound;
    bool ok = v->type == SL_TIME || sl_time_parse(text, &t);
    if (v->type == SL_TIME)
        t = v->t;
    if (ok && sl_str_eqc(type, "DATETIME")) {
        ok = t.kind == SL_TIME_INSTANT || t.kind == SL_TIME_ZONED;
        t.kind = SL_TIME_INSTANT;
    } else if (ok)
        ok = t.kind == (sl_str_eqc(type, "DATE") ? SL_TIME_DATE : SL_TIME_OF_DAY);
    if (!ok)
        return expected(type, text, err);
    const sl_val *after = sl_get(d, "after"), *before = sl_get(d, "before");
    if (after != NULL && sl_time_parse(sl_val_text(a, after), &bound) && order_of(t) <= order_of(bound))
        return sl_err_set(err, SL_ERR_CONFIG, "input.after", "it must be after `%.*s`", SL_ARG(sl_val_text(a, after)));
    if (before != NULL && sl_time_parse(sl_val_text(a, before), &bound) && order_of(t) >= order_of(bound))
        return sl_err_set(err, SL_ERR_CONFIG, "input.before", "it must be before `%.*s`", SL_ARG(sl_val_text(a, before)));
    *ret = sl_val_time(a, t);
    return true;
}

static bool coerce_duration(sl_arena *a, const sl_val *d, sl_str type, const sl_val *v, const sl_val **ret, sl_err *err)
{
    int64_t ms, bound;
    sl_str text = sl_str_trim(sl_val_text(a, v));
    if (v->type == SL_DURATION)
        ms = v->i;
    else if (!sl_duration_parse(text, &ms))
        return expected(type, text, err);
    const sl_val *min = sl_get(d, "min"), *max = sl_get(d, "max");
    if (min != NULL && sl_duration_parse(sl_val_text(a, min), &bound) && ms < bound)
        return sl_err_set(err, SL_ERR_CONFIG, "input.min", "It must be more than `%.*s`", SL_ARG(sl_val_text(a, min)));
    if (max != NULL && sl_duration_parse(sl_val_text(a, max), &bound) && ms > bound)
        return sl_err_set(err, SL_ERR_CONFIG, "input.max", "It must be less than `%.*s`", SL_ARG(sl_val_text(a, max)));
    *ret = sl_val_duration(a, ms);
    return true;
}

static bool coerce_pattern(sl_arena *a, const char *pattern, sl_str type, sl_str text, sl_err *err)
{
    bool hit = false;
    const sl_regex *r = sl_regex_new(a, sl_str_c(pattern), err);
    if (r == NULL || !sl_regex_full(r, text, &hit, err))
        return false;
    return hit || expected(type, text, err);
}

static bool coerce_string(sl_arena *a, const sl_val *d, sl_str type, const sl_val *v, const sl_val **ret, sl_err *err)
{
    static const char uri[] = "[a-z]+://(www.)?[-a-zA-Z0-9@:%._+~#=]{1,256}\\.[a-zA-Z0-9()]{1,6}\\b([-a-zA-Z0-9()@:%_+.~#?&/=]*)";
    static const char email[] = "|[a-zA-Z0-9_!#$%&’*+/=?`{|}~^.-]+@[a-zA-Z0-9.-]+";
    sl_str text = sl_val_written(a, v), validator = sl_get_text(d, "validator");
    *ret = sl_val_str(a, text);
    if (sl_str_eqc(type, "URI") && !sl_str_starts(text, SL_S("kestra://")) && !sl_str_starts(text, SL_S("nsfile://")))
        return coerce_pattern(a, uri, type, text, err);
    if (sl_str_eqc(type, "EMAIL"))
        return coerce_pattern(a, email, type, text, err);
    if (sl_str_eqc(type, "SECRET"))
        sl_redact_add(text);
    if (validator.n == 0)
        return true;
    bool hit = false;
    const sl_regex *r = sl_regex_new(a, validator, err);
    if (r == NULL || !sl_regex_full(r, text, &hit, err))
        return false;
    return hit || sl_err_set(err, SL_ERR_CONFIG, "input.pattern", "it must match the pattern `%.*s`", SL_ARG(validator));
}

static const sl_val *as_list(sl_arena *a, const sl_val *v)
{
    sl_err ignored;
    if (v->type == SL_STRING)
        v = sl_json_parse(a, v->s, &ignored);
    return sl_is(v, SL_LIST) ? v : NULL;
}

static bool coerce_list(sl_arena *a, const sl_val *d, sl_str type, const sl_val *v, const sl_val **ret, sl_err *err)
{
    const sl_val *list = as_list(a, v);
    sl_str item = sl_get_text(d, "itemType");
    if (list == NULL)
        return expected(type, sl_val_text(a, v), err);
    sl_val *out = sl_list(a);
    for (size_t i = 0; i < list->list.n; i++) {
        const sl_val *one;
        if (!sl_input_coerce(a, &sl_null_val, item.n ? item : SL_S("STRING"), list->list.items[i], &one, err))
            return sl_err_set(err, SL_ERR_CONFIG, "input.item", "Unable to parse array element as `%.*s` on `%.*s`", SL_ARG(item), SL_ARG(sl_val_text(a, list->list.items[i])));
        sl_list_add(a, out, one);
    }
    *ret = out;
    return true;
}

bool sl_input_coerce(sl_arena *a, const sl_val *d, sl_str type, const sl_val *v, const sl_val **ret, sl_err *err)
{
    sl_str text = v->type == SL_STRING ? v->s : SL_S("");
    if (sl_str_eqc(type, "INT") || sl_str_eqc(type, "FLOAT"))
        return coerce_number(a, d, type, v, ret, err);
    if (sl_str_eqc(type, "BOOLEAN") || sl_str_eqc(type, "BOOL")) {
        *ret = v->type == SL_BOOL ? v : sl_val_bool(sl_str_ieq(sl_str_trim(sl_val_text(a, v)), SL_S("true")));
        return true;
    }
    if (sl_str_eqc(type, "DATETIME") || sl_str_eqc(type, "DATE") || sl_str_eqc(type, "TIME"))
        return coerce_time(a, d, type, v, ret, err);
    if (sl_str_eqc(type, "DURATION"))
        return coerce_duration(a, d, type, v, ret, err);
    if (sl_str_eqc(type, "ARRAY") || sl_str_eqc(type, "MULTISELECT"))
        return coerce_list(a, d, type, v, ret, err);
    if (sl_str_eqc(type, "JSON") || sl_str_eqc(type, "YAML")) {
        if (v->type != SL_STRING) {
            *ret = v;
            return true;
        }
        *ret = sl_str_eqc(type, "JSON") ? sl_json_parse(a, text, err) : sl_yaml_parse(a, text, err);
        return *ret != NULL || expected(type, text, err);
    }
    return coerce_string(a, d, type, v, ret, err);
}

/* ISO_LOCAL_TIME of Java: no zeros at the end of a fraction. */
static sl_str time_of_day(sl_arena *a, sl_time t)
{
    sl_buf b = sl_buf_new(a, 32);
    sl_buf_fmt(&b, "%02d:%02d:%02d", (int)(t.s / 3600), (int)(t.s / 60 % 60), (int)(t.s % 60));
    if (t.ns > 0)
        sl_buf_fmt(&b, ".%09d", t.ns);
    while (t.ns > 0 && b.p[b.n - 1] == '0')
        b.n--;
    return sl_buf_str(&b);
}

const sl_val *sl_input_plain(sl_arena *a, const sl_val *v, bool input)
{
    if (v->type == SL_DURATION)
        return sl_val_double(a, (double)v->i / 1000);
    if (v->type == SL_TIME && v->t.kind == SL_TIME_OF_DAY)
        return sl_val_str(a, time_of_day(a, v->t));
    if (v->type == SL_TIME && v->t.kind == SL_TIME_INSTANT && input) {
        sl_time whole = v->t;
        whole.ns = 0;
        sl_str text = sl_val_text(a, sl_val_time(a, whole));
        return sl_val_str(a, sl_fmt(a, "%.*s.%06dZ", (int)text.n - 1, text.p, v->t.ns / 1000));
    }
    if (v->type != SL_LIST)
        return v->type == SL_TIME ? sl_val_str(a, sl_val_text(a, v)) : v;
    sl_val *list = sl_list(a);
    for (size_t i = 0; i < v->list.n; i++)
        sl_list_add(a, list, sl_input_plain(a, v->list.items[i], input));
    return list;
}

/* ---- resolution ---- */

typedef struct resolver {
    sl_arena *arena;
    const sl_val *inputs, *given;
    const sl_expr_env *env;
    sl_val *values;      /* nested, for {{ inputs }} */
    sl_val *done;        /* id -> true (enabled) or false (disabled) */
    sl_val *report;      /* list, or NULL */
    sl_problems *problems;
} resolver;

static void invalid(resolver *r, sl_str id, const char *reason, sl_str received)
{
    sl_problem_add(r->problems, 0, 0, "%.*s: Invalid input for `%.*s`, %s, but received `%.*s`", SL_ARG(id), SL_ARG(id), reason, (int)(received.n < 200 ? received.n : 200), received.p ? received.p : "");
}

static void put_nested(resolver *r, sl_str id, const sl_val *v)
{
    sl_val *map = r->values;
    ptrdiff_t dot;
    while ((dot = sl_str_find(id, SL_S("."))) > 0) {
        sl_str head = sl_str_sub(id, 0, (size_t)dot);
        sl_val *inner = (sl_val *)(uintptr_t)sl_get_str(map, head);
        if (!sl_is(inner, SL_MAP)) {
            inner = sl_map(r->arena);
            sl_map_set(r->arena, map, head, inner);
        }
        map = inner;
        id = sl_str_sub(id, (size_t)dot + 1, id.n);
    }
    sl_map_set(r->arena, map, id, v);
}

static sl_expr_env env_with_inputs(resolver *r)
{
    sl_expr_env env = *r->env;
    sl_val *vars = sl_map_shallow(r->arena, env.vars);
    sl_map_setc(r->arena, vars, "inputs", r->values);
    env.vars = vars;
    return env;
}

/* A native value, or the text that a --input key=value or a form gives; also by nested maps. */
static const sl_val *find_given(const sl_val *given, sl_str id)
{
    const sl_val *v = sl_get_str(given, id);
    ptrdiff_t dot = sl_str_find(id, SL_S("."));
    if (v == NULL && dot > 0)
        return find_given(sl_get_str(given, sl_str_sub(id, 0, (size_t)dot)), sl_str_sub(id, (size_t)dot + 1, id.n));
    return v;
}

static bool enabled(resolver *r, const sl_val *input, sl_str id)
{
    const sl_val *depends = sl_get(input, "dependsOn"), *names = sl_get(depends, "inputs"), *condition = sl_get(depends, "condition"), *v;
    for (size_t i = 0; i < sl_val_count(names); i++) {
        const sl_val *state = sl_get_str(r->done, sl_text(sl_at(names, i)));
        if (state != NULL && !state->b)
            return false;
    }
    if (condition == NULL)
        return true;
    sl_expr_env env = env_with_inputs(r);
    sl_err err;
    if (!sl_render_typed(r->arena, &env, sl_val_text(r->arena, condition), &v, &err)) {
        invalid(r, id, err.message, SL_S(""));
        return false;
    }
    return v->type == SL_BOOL && v->b;
}

/* Allowed values: as listed, or what the expression gives. */
static const sl_val *options_of(resolver *r, const sl_val *input, sl_str id)
{
    const sl_val *values = sl_get(input, "values"), *v;
    if (values == NULL)
        values = sl_get(input, "options");
    sl_str expression = sl_get_text(input, "expression");
    if (expression.n == 0)
        return values;
    sl_expr_env env = env_with_inputs(r);
    sl_err err;
    if (!sl_render_typed(r->arena, &env, expression, &v, &err)) {
        invalid(r, id, sl_fmt(r->arena, "Cannot render 'expression'. Cause: %s", err.message).p, SL_S(""));
        return NULL;
    }
    v = as_list(r->arena, v);
    if (v == NULL)
        invalid(r, id, "Invalid expression result. Expected a list of strings", SL_S(""));
    return v;
}

static bool allowed(sl_arena *a, const sl_val *options, const sl_val *v)
{
    for (size_t i = 0; i < sl_val_count(options); i++)
        if (sl_str_eq(sl_val_written(a, sl_at(options, i)), sl_val_text(a, v)))
            return true;
    return false;
}

static bool check_choice(resolver *r, const sl_val *input, sl_str id, sl_str type, const sl_val *v)
{
    bool multi = sl_str_eqc(type, "MULTISELECT");
    if ((!multi && !sl_str_eqc(type, "SELECT") && !sl_str_eqc(type, "ENUM")) || sl_get_bool(input, "allowCustomValue", false))
        return true;
    const sl_val *options = options_of(r, input, id);
    if (options == NULL)
        return false;
    bool ok = multi || allowed(r->arena, options, v);
    for (size_t i = 0; multi && i < sl_val_count(v); i++)
        ok &= allowed(r->arena, options, sl_at(v, i));
    if (!ok) {
        sl_buf b = sl_buf_new(r->arena, 4096);
        for (size_t i = 0; i < sl_val_count(options); i++)
            sl_buf_fmt(&b, "%s%.*s", i ? ", " : "", SL_ARG(sl_val_written(r->arena, sl_at(options, i))));
        invalid(r, id, sl_fmt(r->arena, "it must match the values `[%.*s]`", SL_ARG(sl_buf_str(&b))).p, sl_val_text(r->arena, v));
    }
    return ok;
}

static const sl_val *default_of(resolver *r, const sl_val *input, sl_str id)
{
    const sl_val *v = sl_get(input, "defaults");
    if (sl_is_null(v) && sl_get_bool(input, "autoSelectFirst", false))
        v = sl_at(options_of(r, input, id), 0);
    if (!sl_is(v, SL_STRING) || !sl_has_template(v))
        return v;
    sl_expr_env env = env_with_inputs(r);
    sl_err err;
    if (sl_render_typed(r->arena, &env, v->s, &v, &err))
        return v;
    invalid(r, id, err.message, SL_S(""));
    return NULL;
}

static void take_value(resolver *r, const sl_val *input)
{
    sl_str id = sl_input_id(input), type = sl_get_text(input, "type");
    const sl_val *v = find_given(r->given, id);
    if (sl_is_null(v))
        v = default_of(r, input, id);
    if (sl_is_null(v)) {
        if (sl_get_bool(input, "required", true))
            invalid(r, id, "missing required input", SL_S("null"));
        else
            put_nested(r, id, &sl_null_val);
        return;
    }
    const sl_val *out;
    sl_err err;
    if (!sl_input_coerce(r->arena, input, type, v, &out, &err))
        invalid(r, id, err.message, sl_str_eqc(type, "SECRET") ? SL_S("******") : sl_val_text(r->arena, v));
    else if (check_choice(r, input, id, type, out))
        put_nested(r, id, sl_input_plain(r->arena, out, true));
}

/* before: how many problems there were when it came to this input. */
static void add_report(resolver *r, const sl_val *input, bool on, size_t before)
{
    if (r->report == NULL)
        return;
    sl_str id = sl_input_id(input);
    sl_val *one = sl_map_of(r->arena, "input", input), *errors = sl_list(r->arena);
    const sl_val *v = sl_str_eqc(sl_get_text(input, "type"), "SECRET") ? NULL : find_given(r->values, id);
    sl_map_set_bool(r->arena, one, "enabled", on);
    sl_map_set_bool(r->arena, one, "isDefault", on && sl_is_null(find_given(r->given, id)));
    sl_map_opt(r->arena, one, "value", v);
    size_t at = 0;
    for (const sl_problem *p = r->problems->first; p != NULL; p = p->next)
        if (at++ >= before)
            sl_list_add(r->arena, errors, sl_map_of(r->arena, "message", sl_val_str(r->arena, p->message)));
    sl_map_setc(r->arena, one, "errors", errors);
    sl_list_add(r->arena, r->report, one);
}

static void resolve_one(resolver *r, const sl_val *input)
{
    sl_str id = sl_input_id(input);
    if (sl_get_str(r->done, id) != NULL)
        return;
    const sl_val *names = sl_get(sl_get(input, "dependsOn"), "inputs");
    for (size_t i = 0; i < sl_val_count(names); i++) {
        const sl_val *other = sl_input_find(r->inputs, sl_text(sl_at(names, i)));
        if (other != NULL)
            resolve_one(r, other);
    }
    size_t before = r->problems->n;
    bool on = enabled(r, input, id);
    sl_map_set(r->arena, r->done, id, sl_val_bool(on));
    if (on)
        take_value(r, input);
    add_report(r, input, on, before);
}

bool sl_inputs_look(sl_arena *arena, const sl_val *inputs, const sl_val *given, const sl_expr_env *env, const sl_val **ret, sl_val *report, sl_problems *problems)
{
    resolver r = { .arena = arena, .inputs = inputs, .given = given, .env = env, .values = sl_map(arena), .done = sl_map(arena), .report = report, .problems = problems };
    size_t before = problems->n;
    for (size_t i = 0; i < sl_val_count(inputs); i++)
        resolve_one(&r, sl_at(inputs, i));
    *ret = r.values;
    return problems->n == before;
}

const sl_val *sl_inputs_with_defaults(sl_arena *arena, const sl_val *inputs, const sl_val *stored, const sl_expr_env *env)
{
    sl_problems ignored = { .arena = arena };
    resolver r = { .arena = arena, .inputs = inputs, .env = env, .problems = &ignored };
    for (size_t i = 0; i < sl_val_count(inputs); i++) {
        const sl_val *input = sl_at(inputs, i);
        if (find_given(stored, sl_input_id(input)) != NULL || sl_is_null(sl_get(input, "defaults")))
            continue;
        if (r.values == NULL)
            r.values = (sl_val *)(uintptr_t)sl_val_copy(arena, stored); /* seldom */
        take_value(&r, input);
    }
    return r.values ? r.values : stored;
}

bool sl_inputs_resolve(sl_arena *arena, const sl_val *inputs, const sl_val *given, const sl_expr_env *env, const sl_val **ret, sl_problems *problems)
{
    return sl_inputs_look(arena, inputs, given, env, ret, NULL, problems);
}
