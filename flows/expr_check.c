/* flows/expr_check.c: what the names of filters and functions mean; templates looked at without being evaluated. */
#include "base/arena.h"
#include "flows/expr_ast.h"

static const ex_entry *const filters[] = { ex_text_filters, ex_value_filters, ex_date_filters, NULL };
static const ex_entry *const functions[] = { ex_functions, ex_date_functions, NULL };

static const ex_entry *find(const ex_entry *const *tables, sl_str name)
{
    for (; *tables != NULL; tables++)
        for (const ex_entry *e = *tables; e->name != NULL; e++)
            if (sl_str_eqc(name, e->name))
                return e;
    return NULL;
}

/* What it is instead, or the name that was probably meant. */
static sl_str hint(ex_context *x, const ex_entry *const *own, const ex_entry *const *others, sl_str name, const char *how)
{
    const char *near = NULL;
    size_t least = name.n < 5 ? 2 : 3; /* a short name is near to many */
    if (find(others, name) != NULL)
        return sl_fmt(x->arena, how, SL_ARG(name));
    for (; *own != NULL; own++)
        for (const ex_entry *e = *own; e->name != NULL; e++) {
            size_t d = sl_str_distance(name, sl_str_c(e->name), least);
            if (d < least) {
                least = d;
                near = e->name;
            }
        }
    return near != NULL ? sl_fmt(x->arena, "; did you mean `%s`?", near) : SL_S("");
}

const ex_entry *ex_find_filter(ex_context *x, const ex_node *n)
{
    const ex_entry *e = find(filters, n->name);
    if (e == NULL)
        ex_fail(x, n, "expr.filter", "there is no filter `%.*s`%.*s", SL_ARG(n->name), SL_ARG(hint(x, filters, functions, n->name, "; it is a function: {{ %.*s(…) }}")));
    return e;
}

const ex_entry *ex_find_function(ex_context *x, const ex_node *n)
{
    const ex_entry *e = find(functions, n->name);
    if (e == NULL)
        ex_fail(x, n, "expr.function", "there is no function `%.*s`%.*s", SL_ARG(n->name), SL_ARG(hint(x, functions, filters, n->name, "; it is a filter: {{ … | %.*s }}")));
    return e;
}

/* ---- a template that is not run ---- */

static bool has_macro(const tp_node *n, sl_str name)
{
    for (; n != NULL; n = n->next)
        if ((n->kind == TP_MACRO && sl_str_eq(n->text, name)) || has_macro(n->body, name) || has_macro(n->otherwise, name))
            return true;
    return false;
}

static bool check_node(ex_context *x, const ex_node *n)
{
    if (n == NULL)
        return true;
    if (n->kind == EX_FILTER && ex_find_filter(x, n) == NULL)
        return false;
    if (n->kind == EX_CALL && !sl_str_eqc(n->name, "block") && !has_macro(x->blocks, n->name) && ex_find_function(x, n) == NULL)
        return false;
    for (const ex_arg *a = n->args; a != NULL; a = a->next)
        if (!check_node(x, a->value))
            return false;
    return check_node(x, n->left) && check_node(x, n->right) && check_node(x, n->third);
}

static bool check_nodes(ex_context *x, const tp_node *n)
{
    for (; n != NULL; n = n->next) {
        for (const ex_arg *a = n->params; a != NULL; a = a->next)
            if (!check_node(x, a->value))
                return false;
        if (!check_node(x, n->expr) || !check_nodes(x, n->body) || !check_nodes(x, n->otherwise))
            return false;
    }
    return true;
}

bool sl_expr_check(sl_str text, sl_err *err)
{
    SL_ARENA arena = sl_arena_new();
    tp_node *nodes;
    if (!ex_parse(arena, text, &nodes, err))
        return false;
    ex_context x = { .arena = arena, .text = text, .blocks = nodes, .err = err };
    return check_nodes(&x, nodes);
}

/* ---- the names that it asks for ---- */

typedef struct visit {
    const tp_node *nodes;
    void (*on_name)(void *self, sl_str root, sl_str name, uint32_t line, uint32_t column);
    void *self;
} visit;

/* {% set x %}, {% for x %}, {% macro m(x) %}: its own. */
static bool sets(const tp_node *n, sl_str name)
{
    for (; n != NULL; n = n->next) {
        for (const ex_arg *a = n->params; a != NULL; a = a->next)
            if (sl_str_eq(a->name, name))
                return true;
        if (((n->kind == TP_SET || n->kind == TP_FOR) && sl_str_eq(n->text, name)) || sets(n->body, name) || sets(n->otherwise, name))
            return true;
    }
    return false;
}

/* What may be missing in its left side, or in all of it. */
static bool forgives(const ex_node *n)
{
    static const char *const names[] = { "default", "defined", "null", "empty" };
    bool by_name = n->kind == EX_FILTER || n->kind == EX_TEST;
    for (size_t i = 0; by_name && i < SL_COUNT(names); i++)
        if (sl_str_eqc(n->name, names[i]))
            return true;
    return n->kind == EX_BINARY && (n->op == OP_COALESCE || n->op == OP_IF_UNDEFINED);
}

static void visit_node(const visit *v, const ex_node *n)
{
    if (n == NULL)
        return;
    const ex_node *root = n->kind == EX_ATTRIBUTE ? n->left : NULL;
    bool literal = n->right != NULL && n->right->kind == EX_LITERAL && sl_is(n->right->literal, SL_STRING);
    if (root != NULL && root->kind == EX_NAME && (n->right == NULL || literal) && !sets(v->nodes, root->name))
        v->on_name(v->self, root->name, literal ? n->right->literal->s : n->name, n->line, n->column);
    for (const ex_arg *a = n->args; a != NULL; a = a->next)
        visit_node(v, a->value);
    if (!forgives(n))
        visit_node(v, n->left);
    visit_node(v, n->right);
    visit_node(v, n->third);
}

static void visit_nodes(const visit *v, const tp_node *n)
{
    for (; n != NULL; n = n->next) {
        for (const ex_arg *a = n->params; a != NULL; a = a->next)
            visit_node(v, a->value);
        visit_node(v, n->expr);
        visit_nodes(v, n->body);
        visit_nodes(v, n->otherwise);
    }
}

void sl_expr_names(sl_str text, void (*on_name)(void *self, sl_str root, sl_str name, uint32_t line, uint32_t column), void *self)
{
    SL_ARENA arena = sl_arena_new();
    tp_node *nodes;
    sl_err ignored;
    if (ex_parse(arena, text, &nodes, &ignored))
        visit_nodes(&(visit){ nodes, on_name, self }, nodes);
}
