/* local/gsql_param.c: parameters of a query, as literals. Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/QueryParameter. */
#include "base/arena.h"
#include "db/duck.h"
#include "local/gsql.h"

enum { NESTED_MAX = 15 };

/* A literal of the type {type, arrayType, structTypes} for {value, arrayValues, structValues}. */
static sl_str literal(gs_context *x, const gs_token *at, const sl_val *type, const sl_val *value, int depth)
{
    sl_arena *a = x->arena;
    sl_buf b = sl_buf_new(a, 16 << 20);
    sl_str name = sl_get_text(type, "type"), duck = gs_duck_type(a, sl_map_of(a, "type", sl_val_str(a, name)));
    const sl_val *text = sl_get(value, "value"), *values = sl_get(value, "arrayValues"), *fields = sl_get(type, "structTypes");
    if (depth > NESTED_MAX || name.n == 0) {
        gs_fail(x, at, depth > NESTED_MAX ? "Query parameter %.*s is nested too deep" : "Query parameter %.*s has no type", SL_ARG(at->text));
        return SL_S("NULL");
    }
    if (sl_str_ieq(name, SL_S("ARRAY"))) {
        const sl_val *of = sl_get(type, "arrayType");
        sl_buf_char(&b, '[');
        for (size_t i = 0; i < sl_val_count(values); i++)
            sl_buf_fmt(&b, "%s%.*s", i ? ", " : "", SL_ARG(literal(x, at, of, sl_at(values, i), depth + 1)));
        sl_buf_char(&b, ']');
        bool structs = sl_str_ieq(sl_get_text(of, "type"), SL_S("STRUCT"));
        sl_str list = sl_buf_str(&b), element = gs_duck_type(a, sl_map_of(a, "type", sl_val_str(a, sl_get_text(of, "type"))));
        return structs ? list : sl_fmt(a, "CAST(%.*s AS %.*s[])", SL_ARG(list), SL_ARG(element));
    }
    if (sl_str_ieq(name, SL_S("STRUCT"))) {
        for (size_t i = 0; i < sl_val_count(fields); i++) {
            sl_str field = sl_get_text(sl_at(fields, i), "name");
            const sl_val *own = sl_get(sl_get(value, "structValues"), sl_cstr(a, field));
            sl_str quoted = sl_duck_ident(a, field.n ? field : sl_fmt(a, "_field_%zu", i + 1)), one = literal(x, at, sl_get(sl_at(fields, i), "type"), own, depth + 1);
            sl_buf_fmt(&b, "%s%.*s := %.*s", i ? ", " : "struct_pack(", SL_ARG(quoted), SL_ARG(one));
        }
        sl_buf_addc(&b, b.n > 0 ? ")" : "NULL");
        return sl_fmt(a, "(%.*s)", SL_ARG(sl_buf_str(&b)));
    }
    if (text == NULL || sl_is(text, SL_NULL))
        return sl_fmt(a, "CAST(NULL AS %.*s)", SL_ARG(duck));
    sl_str quoted = sl_duck_text(a, sl_val_text(a, text));
    return sl_str_ieq(name, SL_S("BYTES")) ? sl_fmt(a, "from_base64(%.*s)", SL_ARG(quoted)) : sl_fmt(a, "CAST(%.*s AS %.*s)", SL_ARG(quoted), SL_ARG(duck));
}

void gs_number_parameters(gs_context *x, gs_token *t, size_t n)
{
    size_t number = 0;
    for (size_t i = 0; i < n; i++)
        if (gs_op(&t[i], "?")) {
            t[i].kind = GS_PARAM;
            t[i].text = sl_fmt(x->arena, "%zu", ++number);
        }
}

/* https://cloud.google.com/bigquery/docs/reference/system-variables */
static sl_str system_variable(gs_context *x, const gs_token *t)
{
    static const char *const texts[] = { "error.message", "error.statement_text", "error.formatted_stack_trace" };
    sl_str name = sl_str_sub(t->text, 1, t->text.n);
    for (size_t i = 0; i < SL_COUNT(texts); i++)
        if (sl_str_ieq(name, sl_str_c(texts[i])))
            return sl_fmt(x->arena, "CAST(getvariable('%s') AS VARCHAR)", texts[i]);
    if (sl_str_ieq(name, SL_S("row_count")))
        return SL_S("CAST(getvariable('row_count') AS BIGINT)");
    if (sl_str_ieq(name, SL_S("project_id")))
        return sl_duck_text(x->arena, x->project);
    gs_fail(x, t, "the system variable @%.*s is not supported by the local cloud", SL_ARG(t->text));
    return SL_S("NULL");
}

sl_str gs_parameter(gs_context *x, const gs_token *t)
{
    if (t->text.n > 0 && t->text.p[0] == '@')
        return system_variable(x, t);
    int64_t number = 0;
    const sl_val *found = NULL;
    (void)sl_parse_int(t->text, &number);
    for (size_t i = 0; i < sl_val_count(x->parameters) && found == NULL; i++) {
        const sl_val *one = sl_at(x->parameters, i);
        sl_str name = sl_get_text(one, "name");
        if (name.n > 0 ? sl_str_ieq(name, t->text) : number == (int64_t)i + 1)
            found = one;
    }
    if (found == NULL) {
        gs_fail(x, t, number > 0 ? "Not enough positional parameters were given: there is none for place %.*s" : "Query parameter '%.*s' not found", SL_ARG(t->text));
        return SL_S("NULL");
    }
    sl_str variable = sl_get_text(found, "variable");
    if (variable.n > 0)
        return sl_fmt(x->arena, "getvariable(%.*s)", SL_ARG(sl_duck_text(x->arena, variable)));
    return literal(x, t, sl_get(found, "parameterType"), sl_get(found, "parameterValue"), 0);
}
