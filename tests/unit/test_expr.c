/* tests/unit/test_expr.c: the expression language against tables in tests/data/expr. */
#include "base/fs.h"
#include "base/json.h"
#include "flows/expr.h"
#include "tests/harness/test.h"

static const char CONTEXT[] = "{\"a\":\"a\",\"b\":\"b\",\"n\":null,\"list\":[\"string\",1,1.123],\"map\":{\"k\":\"v\"},\"inner\":\"test\",\"block\":{\"test\":{\"child\":\"yes\"}},"
                              "\"first\":\"1\",\"second\":\"{{first}}\",\"third\":\"{{second}}\",\"nested\":{\"third\":\"{{third}}\"},"
                              "\"vars\":{\"obj\":{\"a\":1,\"b\":[1,2,3],\"c\":{\"d\":\"x\"}},\"list\":[3,1,2],\"s\":\"Hello\",\"n\":42,\"f\":3.5,\"t\":true,\"date\":\"2024-02-29T12:34:56.789Z\",\"json\":\"{\\\"a\\\":[1,{\\\"b\\\":2}]}\",\"with-dash\":\"wd\",\"items\":[{\"n\":1,\"s\":\"a\"},{\"n\":2,\"s\":\"b\"}],\"tpl\":\"{{ vars.n }}\",\"big\":12345678901,\"int_text\":\"5\",\"multi\":\"l1\\nl2\\n\",\"yes\":true,\"day\":\"2024-01-02\"}}";

static bool fake_kv(void *self, sl_arena *arena, sl_str key, sl_str ns, const sl_val **ret, sl_err *err)
{
    (void)self;
    (void)ns;
    (void)err;
    *ret = sl_str_eqc(key, "K") ? sl_val_c(arena, "stored") : NULL;
    return true;
}

static bool fake_secret(void *self, sl_arena *arena, sl_str key, sl_str ns, sl_str *ret, sl_err *err)
{
    (void)self;
    (void)ns;
    *ret = sl_fmt(arena, "s3cret-value");
    return sl_str_eqc(key, "S") || sl_err_set(err, SL_ERR_NOT_FOUND, "x", "no secret");
}

static const sl_expr_host host = { .kv = fake_kv, .secret = fake_secret };

static void run_case(sl_test_context *t, const sl_expr_env *env, sl_str line, const char *path)
{
    ptrdiff_t arrow = sl_str_rfind(line, SL_S(" => "));
    if (arrow < 0) {
        sl_test_fail(t, path, 0, "no => in '%.*s'", SL_ARG(line));
        return;
    }
    sl_str template = sl_str_sub(line, 0, (size_t)arrow), expected = sl_str_sub(line, (size_t)arrow + 4, line.n), out;
    bool ok = sl_render(t->arena, env, template, &out, &t->err), must_fail = sl_str_starts(expected, SL_S("! "));
    if (must_fail) {
        if (ok)
            sl_test_fail(t, path, 0, "'%.*s' gave '%.*s', but should fail", SL_ARG(template), SL_ARG(out));
        else if (sl_str_find(sl_str_c(t->err.message), sl_str_trim(sl_str_sub(expected, 2, expected.n))) < 0)
            sl_test_fail(t, path, 0, "'%.*s' failed with '%s'", SL_ARG(template), t->err.message);
    } else if (!ok)
        sl_test_fail(t, path, 0, "'%.*s' failed: %s", SL_ARG(template), t->err.message);
    else if (!sl_str_eq(out, expected))
        sl_test_fail(t, path, 0, "'%.*s' gave '%.*s', expected '%.*s'", SL_ARG(template), SL_ARG(out), SL_ARG(expected));
}

static void run_file(sl_test_context *t, const char *path)
{
    sl_str text, line;
    sl_expr_env env = { .vars = sl_json_parse(t->arena, sl_str_c(CONTEXT), &t->err), .host = &host };
    CHECK_OK(env.vars != NULL);
    CHECK_OK(sl_fs_read(t->arena, path, 1 << 20, &text, &t->err));
    while (text.p != NULL && sl_str_cut(&text, '\n', &line))
        if (line.n > 0 && line.p[0] != '#')
            run_case(t, &env, line, path);
}

SL_TEST(expr, tables)
{
    sl_test_data(t, "expr", run_file);
}

SL_TEST(expr, typed_rendering_keeps_the_native_value)
{
    sl_expr_env env = { .vars = sl_json_parse(t->arena, SL_S("{\"n\":5}"), &t->err) };
    const sl_val *v;
    CHECK_OK(sl_render_typed(t->arena, &env, SL_S(" {{ n }} "), &v, &t->err));
    CHECK(v->type == SL_INT && v->i == 5);
    CHECK_OK(sl_render_typed(t->arena, &env, SL_S("{{ n }}x"), &v, &t->err));
    CHECK(v->type == SL_STRING);
}

SL_TEST(expr, loops_without_end_are_stopped)
{
    sl_expr_env env = { .vars = sl_json_parse(t->arena, SL_S("{\"x\":\"{{ x }}y\"}"), &t->err) };
    sl_str out;
    CHECK_ERR(sl_render(t->arena, &env, SL_S("{{ render(x) }}"), &out, &t->err), "Too many rendering attempts");
    CHECK_ERR(sl_render(t->arena, &env, SL_S("{{ 1..99999999 }}"), &out, &t->err), "steps");
    sl_buf deep = sl_buf_new(t->arena, 1 << 20);
    sl_buf_addc(&deep, "{{ ");
    for (int i = 0; i < 1000; i++)
        sl_buf_char(&deep, '(');
    CHECK_ERR(sl_render(t->arena, &env, sl_buf_str(&deep), &out, &t->err), "nested deeper");
}

SL_TEST(expr, truth_of_conditions)
{
    static const char *const no[] = { "", " ", "0", "-0", "false", "false\n" }, *const yes[] = { "False", "null", "[]", "no", "1" };
    for (size_t i = 0; i < SL_COUNT(no); i++)
        CHECK(!sl_truthy_text(sl_str_c(no[i])));
    for (size_t i = 0; i < SL_COUNT(yes); i++)
        CHECK(sl_truthy_text(sl_str_c(yes[i])));
}

/* Names that mean nothing are found without anything being evaluated. */
SL_TEST(expr, names_are_checked)
{
    static const struct {
        const char *text, *said; /* NULL: it is good */
    } cases[] = {
        { "{{ inputs.x | upper }} {{ now() }}", NULL },
        { "{% macro twice(a) %}{{ a }}{{ a }}{% endmacro %}{{ twice('x') }}", NULL },
        { "{% raw %}{{ nothing() }}{% endraw %}", NULL },
        { "{% block b %}x{% endblock %}{{ block('b') }}", NULL },
        { "{{ md5('a') }}", "there is no function `md5`; it is a filter: {{ … | md5 }}" },
        { "{{ inputs.x | uppper }}", "there is no filter `uppper`; did you mean `upper`?" },
        { "{{ 'a' | now }}", "there is no filter `now`; it is a function: {{ now(…) }}" },
        { "{{ inputs.x | zzzzz }}", "there is no filter `zzzzz`, in the expression" },
        { "{% if inputs.x %}{{ [1, {'a': f(2)}] }}{% endif %}", "there is no function `f`" },
        { "{% for i in g(1) %}{{ i }}{% endfor %}", "there is no function `g`" },
        { "{{ inputs.a ? 1 : (2 | h) }}", "there is no filter `h`" },
        { "{{ inputs.a }", "`{{ inputs.a }`" },
    };
    for (size_t i = 0; i < SL_COUNT(cases); i++) {
        bool good = sl_expr_check(sl_str_c(cases[i].text), &t->err);
        CHECK(good == (cases[i].said == NULL));
        if (!good && (cases[i].said == NULL || strstr(t->err.message, cases[i].said) == NULL))
            CHECK_STR(sl_str_c(t->err.message), cases[i].text);
    }
}
