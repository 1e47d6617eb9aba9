/* flows/hint.c: see hint.h. */
#include "flows/hint.h"

#include "base/arena.h"
#include "base/yaml.h"
#include "flows/expr.h"

typedef struct looker {
    sl_arena *arena;
    const sl_flow *flow;
    sl_problems *hints;
    const sl_val *at;             /* the text that is looked at */
    bool sets_variables;
} looker;

/* The name that was probably meant; empty: none is near. */
static sl_str nearest(sl_str name, sl_str candidate, sl_str so_far, size_t *least)
{
    size_t d = sl_str_distance(name, candidate, *least);
    if (d >= *least)
        return so_far;
    *least = d;
    return candidate;
}

static size_t limit_of(sl_str name)
{
    return name.n < 5 ? 2 : 3; /* a short name is near to many */
}

static void tell(looker *l, uint32_t line, uint32_t column, const char *what, sl_str name, sl_str advice)
{
    const sl_val *v = l->at;
    bool block = v->quoted && memchr(v->s.p, '\n', v->s.n) != NULL;
    sl_problem_add(l->hints, v->line + (block ? line : 0), block ? column : v->column, "there is no %s '%.*s' in this flow%.*s", what, SL_ARG(name), SL_ARG(advice));
}

/* ForEachItem is several tasks, which share its id. */
static bool is_task(const sl_flow *f, sl_str name)
{
    static const char *const parts[] = { "_split", "_items", "_merge" };
    if (sl_flow_task(f, name) != NULL)
        return true;
    for (size_t i = 0; i < SL_COUNT(parts); i++)
        if (sl_str_ends(name, sl_str_c(parts[i])) && sl_flow_task(f, sl_str_sub(name, 0, name.n - strlen(parts[i]))) != NULL)
            return true;
    return false;
}

static void look_at_output(looker *l, sl_str name, uint32_t line, uint32_t column)
{
    const sl_flow *f = l->flow;
    sl_str near = SL_S(""), dashed = SL_S("");
    size_t least = limit_of(name);
    if (is_task(f, name))
        return;
    for (size_t i = 0; i < f->task_count; i++) {
        sl_str id = f->all[i]->id;
        near = nearest(name, id, near, &least);
        if (sl_str_starts(id, name) && id.n > name.n && id.p[name.n] == '-')
            dashed = id;
    }
    sl_str advice = dashed.n > 0 ? sl_fmt(l->arena, "; a name with a dash is written outputs['%.*s']", SL_ARG(dashed)) : near.n > 0 ? sl_fmt(l->arena, "; did you mean '%.*s'?", SL_ARG(near)) : SL_S("");
    tell(l, line, column, "task", name, advice);
}

static void look_at_input(looker *l, sl_str name, uint32_t line, uint32_t column)
{
    sl_str near = SL_S("");
    size_t least = limit_of(name);
    for (size_t i = 0; i < sl_val_count(l->flow->inputs); i++) {
        sl_str id = sl_get_text(sl_at(l->flow->inputs, i), "id");
        if (sl_str_starts(id, name) && (id.n == name.n || id.p[name.n] == '.')) /* an id with dots is a map of maps */
            return;
        near = nearest(name, id, near, &least);
    }
    tell(l, line, column, "input", name, near.n > 0 ? sl_fmt(l->arena, "; did you mean '%.*s'?", SL_ARG(near)) : SL_S(""));
}

static void look_at_variable(looker *l, sl_str name, uint32_t line, uint32_t column)
{
    const sl_val *variables = l->flow->variables;
    sl_str near = SL_S("");
    size_t least = limit_of(name);
    if (l->sets_variables || sl_get_str(variables, name) != NULL)
        return;
    for (size_t i = 0; i < sl_val_count(variables); i++)
        near = nearest(name, variables->map.entries[i].key, near, &least);
    tell(l, line, column, "variable", name, near.n > 0 ? sl_fmt(l->arena, "; did you mean '%.*s'?", SL_ARG(near)) : SL_S(""));
}

static void on_name(void *self, sl_str root, sl_str name, uint32_t line, uint32_t column)
{
    looker *l = self;
    if (sl_str_eqc(root, "outputs"))
        look_at_output(l, name, line, column);
    else if (sl_str_eqc(root, "inputs"))
        look_at_input(l, name, line, column);
    else if (sl_str_eqc(root, "vars"))
        look_at_variable(l, name, line, column);
}

static void look(looker *l, const sl_val *v)
{
    if (sl_has_template(v)) {
        l->at = v;
        sl_expr_names(v->s, on_name, l);
    }
    for (size_t i = 0; i < sl_val_count(v); i++)
        look(l, v->type == SL_LIST ? v->list.items[i] : v->map.entries[i].value);
}

void sl_flow_hints(sl_arena *arena, const sl_flow *flow, sl_problems *hints)
{
    /* Triggers have variables of their own. */
    static const char *const sections[] = { "variables", "tasks", "errors", "finally", "afterExecution", "outputs" };
    looker l = { .arena = arena, .flow = flow, .hints = hints };
    sl_err ignored;
    const sl_val *doc = sl_yaml_parse(arena, flow->source, &ignored);
    for (size_t i = 0; i < flow->task_count; i++)
        l.sets_variables |= sl_str_ends(flow->all[i]->type_name, SL_S(".execution.SetVariables"));
    for (size_t i = 0; i < SL_COUNT(sections); i++)
        if (sl_get(doc, sections[i]) != NULL)
            look(&l, sl_get(doc, sections[i]));
}
