/*
 * tests/fuzz/fuzz.c: every parser of outside text, under libFuzzer. FUZZ_TARGET names one; the first byte chooses otherwise.
 * Built by tools/fuzz. A finding becomes a test with the fix.
 */
#include <string.h>

#include "auth/jwt.h"
#include "base/arena.h"
#include "base/ion.h"
#include "base/json.h"
#include "base/regex.h"
#include "base/time.h"
#include "base/yaml.h"
#include "flows/cron.h"
#include "flows/expr.h"
#include "flows/model.h"
#include "flows/store.h"
#include "flows/trigger.h"
#include "local/gsql.h"
#include "net/http.h"
#include "net/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const sl_connector *const connectors[] = { NULL };
static const sl_registry registry = { connectors };

static void fuzz_json(sl_arena *a, sl_str text, sl_err *err)
{
    const sl_val *v = sl_json_parse(a, text, err);
    if (v != NULL) /* what was read can be written and read again */
        sl_assert(sl_json_parse(a, sl_json(a, v), err) != NULL);
}

static void fuzz_yaml(sl_arena *a, sl_str text, sl_err *err)
{
    (void)sl_yaml_parse(a, text, err);
}

static void fuzz_flow(sl_arena *a, sl_str text, sl_err *err)
{
    (void)err;
    sl_problems problems = { .arena = a };
    (void)sl_flow_parse(a, &registry, NULL, text, &problems);
}

static void fuzz_expr(sl_arena *a, sl_str text, sl_err *err)
{
    sl_val *vars = sl_map(a), *list = sl_list(a);
    sl_list_add(a, list, sl_val_int(a, 7));
    sl_map_setc(a, vars, "list", list);
    sl_map_set_str(a, vars, "s", SL_S("text"));
    sl_expr_env env = { .vars = vars };
    sl_str out;
    (void)sl_expr_check(text, err);
    sl_err_clear(err);
    (void)sl_render(a, &env, text, &out, err);
}

static void fuzz_sql(sl_arena *a, sl_str text, sl_err *err)
{
    gs_context x = { .arena = a, .project = SL_S("p"), .dataset = SL_S("d"), .text = text, .err = err };
    gs_statement *list;
    size_t n;
    sl_err_clear(err);
    (void)gs_translate(&x, &list, &n);
}

static void fuzz_cron(sl_arena *a, sl_str text, sl_err *err)
{
    (void)a;
    sl_cron c;
    for (int six = 0; six < 2; six++)
        if (sl_cron_parse(text, six, &c, err)) {
            int64_t at = sl_cron_next(&c, sl_tz_utc(), SL_GAP_SKIP, 1700000000);
            sl_assert(at > 1700000000);
        }
}

static void fuzz_time(sl_arena *a, sl_str text, sl_err *err)
{
    sl_time t;
    int64_t ms;
    sl_str out;
    if (sl_time_parse(text, &t))
        (void)sl_time_java(a, t);
    (void)sl_duration_parse(text, &ms);
    (void)sl_time_parse_pattern(SL_S("2024-01-31 10:11"), text, &t);
    (void)sl_time_format(a, sl_time_at(1700000000, 5, sl_tz_utc()), text, &out, err);
}

static void fuzz_url(sl_arena *a, sl_str text, sl_err *err)
{
    sl_url u;
    if (sl_url_parse(text, &u, err))
        (void)sl_url_resolve(a, SL_S("http://a/b/c?d"), text);
    (void)sl_url_resolve(a, SL_S("http://a/b/c?d"), text);
    sl_str out;
    (void)sl_percent_decode(a, text, true, &out);
    (void)sl_base64_decode(a, text, &out);
}

static void fuzz_jwt(sl_arena *a, sl_str text, sl_err *err)
{
    const sl_val *claims;
    (void)sl_jwt_verify(a, text, SL_S("no key"), &claims, err);
}

static void fuzz_ion(sl_arena *a, sl_str text, sl_err *err)
{
    while (text.n > 0 && sl_ion_read(a, &text, err) != NULL)
        ;
}

static void fuzz_multipart(sl_arena *a, sl_str text, sl_err *err)
{
    const sl_val *parts;
    (void)sl_multipart_parse(a, SL_S("multipart/form-data; boundary=x"), text, &parts, err);
    sl_str rest = text, type;
    (void)sl_str_cut(&rest, '\n', &type);
    (void)sl_multipart_parse(a, type, rest.p ? rest : SL_S(""), &parts, err);
}

/* A trigger as JSON: checked, and, when it is good, asked for dates. */
static void fuzz_trigger(sl_arena *a, sl_str text, sl_err *err)
{
    sl_problems problems = { .arena = a };
    const sl_val *v = sl_json_parse(a, text, err);
    sl_schedule s;
    if (!sl_is(v, SL_MAP))
        return;
    sl_trigger_check(a, &registry, v, &problems);
    if (problems.n == 0 && sl_trigger_find(sl_get_text(v, "type")) != NULL && sl_schedule_open(a, v, &s, err)) {
        int64_t next = sl_schedule_next(&s, 1700000000000);
        sl_assert(next > 1700000000000);
        (void)sl_schedule_due(&s, 1600000000000, 1700000000000, true);
    }
    sl_history h;
    (void)sl_history_parse(a, text, &h);
}

static const struct {
    const char *name;
    void (*run)(sl_arena *a, sl_str text, sl_err *err);
} targets[] = { { "multipart", fuzz_multipart }, { "trigger", fuzz_trigger }, { "json", fuzz_json }, { "yaml", fuzz_yaml }, { "flow", fuzz_flow }, { "expr", fuzz_expr }, { "sql", fuzz_sql },
                { "cron", fuzz_cron }, { "time", fuzz_time }, { "url", fuzz_url },   { "jwt", fuzz_jwt },   { "ion", fuzz_ion } };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *wanted = getenv("FUZZ_TARGET");
    SL_ARENA a = sl_arena_new();
    sl_err err;
    sl_err_clear(&err);
    if (size == 0)
        return 0;
    size_t chosen = data[0] % SL_COUNT(targets), skip = wanted ? 0 : 1;
    for (size_t i = 0; wanted != NULL && i < SL_COUNT(targets); i++)
        if (strcmp(wanted, targets[i].name) == 0)
            chosen = i;
    targets[chosen].run(a, (sl_str){ (const char *)data + skip, size - skip }, &err);
    return 0;
}
