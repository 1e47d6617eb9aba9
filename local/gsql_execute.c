/*
 * local/gsql_execute.c: EXECUTE IMMEDIATE text [INTO variable, …] [USING value [AS name], …].
 * Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/procedural-language#execute_immediate
 */
#include "base/arena.h"
#include "local/gsql_parser.h"

/* The end of what stands at p->i: INTO, USING or nothing more. */
static size_t end_of(const gs_parser *p, const char *word)
{
    size_t i = p->i;
    while (i < p->n && !gs_is(&p->t[i], word) && !gs_is(&p->t[i], "USING"))
        i = gs_op(&p->t[i], "(") || gs_op(&p->t[i], "[") ? gs_close(p->t, p->n, i) : i + 1;
    return i;
}

/* a, b: variables that were declared. */
static bool take_into(gs_parser *p, size_t to)
{
    sl_arena *a = p->x->arena;
    sl_val *into = sl_list(a);
    while (p->i < to) {
        const gs_declared *v = gs_find_declared(p->x, p->t[p->i].text, true);
        if (v == NULL)
            return gs_fail(p->x, &p->t[p->i], "INTO needs variables that were declared: '%.*s' is none", SL_ARG(p->t[p->i].text));
        sl_val *one = sl_map_of(a, "name", sl_val_str(a, v->name));
        sl_map_set_str(a, one, "type", v->type);
        sl_list_add(a, into, one);
        if (++p->i < to && !gs_op(&p->t[p->i++], ","))
            return gs_fail(p->x, &p->t[p->i - 1], "Syntax error: Unexpected \"%.*s\"", SL_ARG(p->t[p->i - 1].text));
    }
    p->s->columns = into;
    return true;
}

/* Each value is kept in a variable of DuckDB, which the statement's parameters name. */
static void take_using(gs_parser *p)
{
    sl_arena *a = p->x->arena;
    gs_range values[GS_ARGUMENTS_MAX];
    size_t count = gs_arguments(p->t + p->i, p->n - p->i, values, GS_ARGUMENTS_MAX);
    sl_val *parameters = sl_list(a), *sets = sl_list(a);
    for (size_t i = 0; i < count; i++) {
        gs_range v = values[i];
        sl_str name = SL_S(""), variable = sl_fmt(a, "sl__using_%zu", i + 1);
        if (v.n > 2 && gs_is(&v.t[v.n - 2], "AS")) {
            name = v.t[v.n - 1].text;
            v.n -= 2;
        }
        sl_list_add(a, sets, sl_val_str(a, sl_fmt(a, "SET VARIABLE %.*s = (%.*s)", SL_ARG(variable), SL_ARG(gs_rewrite(p->x, v.t, v.n)))));
        sl_val *one = sl_map_of(a, "variable", sl_val_str(a, variable));
        if (name.n > 0)
            sl_map_set_str(a, one, "name", name);
        sl_list_add(a, parameters, one);
    }
    p->i = p->n;
    p->s->more = sets;
    p->s->options = parameters;
}

bool gs_execute(gs_parser *p)
{
    p->i = 1;
    if (!gs_take_word(p, "IMMEDIATE"))
        return gs_fail(p->x, &p->t[p->n > 1], "Syntax error: Expected IMMEDIATE");
    size_t from = p->i, to = end_of(p, "INTO");
    if (to == from)
        return gs_fail(p->x, &p->t[0], "Syntax error: EXECUTE IMMEDIATE needs the text of a statement");
    sl_str text = gs_rewrite(p->x, p->t + from, to - from);
    p->s->type = "EXECUTE_IMMEDIATE";
    p->s->flow = GS_EXECUTE;
    p->s->sql = sl_fmt(p->x->arena, "SELECT CAST((%.*s) AS VARCHAR)", SL_ARG(text));
    p->i = to;
    if (gs_take_word(p, "INTO") && !take_into(p, end_of(p, "USING")))
        return false;
    if (gs_take_word(p, "USING"))
        take_using(p);
    return gs_at_end(p) && p->x->err->kind == SL_ERR_NONE;
}
