/*
 * flows/expr_eval.c: evaluates the tree: operators, attributes, tests, methods. Filters and functions have files of their own, and so have tags.
 */
#include <math.h>
#include <stdarg.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/limits.h"
#include "flows/expr_ast.h"

static const char UNDEFINED[] = "expr.undefined";

const sl_val *ex_fail(ex_context *x, const ex_node *at, const char *code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sl_str what = sl_vfmt(x->arena, fmt, ap);
    va_end(ap);
    sl_str line = x->text, one = { 0 };
    for (uint32_t i = 0; i < (at ? at->line : 1) && sl_str_cut(&line, '\n', &one); i++)
        ;
    one = sl_str_trim(one);
    sl_err_at(x->err, at ? at->line : 0, at ? at->column : 0, SL_ERR_CONFIG, code, "%.*s, in the expression `%.*s` at line %u", SL_ARG(what),
              (int)(one.n < 160 ? one.n : 160), one.p, at ? at->line : 1);
    return NULL;
}

bool ex_is_undefined(const sl_err *err)
{
    return strcmp(err->code, UNDEFINED) == 0;
}

bool ex_step(ex_context *x, const ex_node *at)
{
    int64_t most = x->env->steps_max > 0 ? x->env->steps_max : SL_EXPR_STEPS_MAX;
    if ((int64_t)++x->steps <= most)
        return true;
    ex_fail(x, at, "expr.steps", "the expression needs more than %lld steps", (long long)most);
    return false;
}

static const sl_val *lookup(ex_context *x, const ex_node *n)
{
    for (const ex_frame *f = x->frames; f != NULL; f = f->up)
        if (f->value != NULL && sl_str_eq(f->name, n->name))
            return f->value;
    const sl_val *v = sl_get_str(x->env->vars, n->name);
    return v ? v : ex_fail(x, n, UNDEFINED, "Unable to find `%.*s`", SL_ARG(n->name));
}

/* Evaluates what may be undefined: NULL with *undefined set, NULL with an error, or the value. */
static const sl_val *eval_tolerant(ex_context *x, const ex_node *n, bool *undefined)
{
    const sl_val *v = ex_eval(x, n);
    *undefined = v == NULL && ex_is_undefined(x->err);
    if (*undefined)
        sl_err_clear(x->err);
    return v;
}

static const sl_val *attribute(ex_context *x, const ex_node *n)
{
    const sl_val *object = ex_eval(x, n->left);
    if (object == NULL)
        return NULL;
    const sl_val *key = NULL;
    sl_str name = n->name;
    if (n->right != NULL) {
        if ((key = ex_eval(x, n->right)) == NULL)
            return NULL;
        name = sl_val_text(x->arena, key);
    }
    if (object->type == SL_NULL)
        return ex_fail(x, n, UNDEFINED, "Unable to find `%.*s` of null", SL_ARG(name));
    if (object->type == SL_MAP) {
        const sl_val *v = sl_get_str(object, name);
        return v ? v : ex_fail(x, n, UNDEFINED, "Unable to find `%.*s`", SL_ARG(name));
    }
    int64_t index;
    if (object->type == SL_LIST && key != NULL && (key->type == SL_INT || key->type == SL_STRING) && sl_parse_int(name, &index)) {
        const sl_val *v = index >= 0 ? sl_at(object, (size_t)index) : NULL;
        return v ? v : ex_fail(x, n, UNDEFINED, "Unable to find the index %lld in a list of %zu", (long long)index, object->list.n);
    }
    return ex_fail(x, n, UNDEFINED, "Unable to find `%.*s` of a %s", SL_ARG(name), sl_type_name(object->type));
}

/* ---- operators ---- */

bool ex_truth(ex_context *x, const ex_node *at, const sl_val *v, bool *ret)
{
    switch (v->type) {
    case SL_BOOL: *ret = v->b; return true;
    case SL_INT: *ret = v->i != 0; return true;
    case SL_DOUBLE: *ret = v->d != 0; return true;
    case SL_STRING: *ret = v->s.n > 0; return true;
    case SL_NULL: ex_fail(x, at, "expr.null", "null is neither true nor false; use `is defined` or `??`"); return false;
    default: ex_fail(x, at, "expr.type", "a %s is neither true nor false", sl_type_name(v->type)); return false;
    }
}

static const sl_val *logic(ex_context *x, const ex_node *n)
{
    const sl_val *left = ex_eval(x, n->left);
    bool a, b;
    if (left == NULL || !ex_truth(x, n, left, &a))
        return NULL;
    if (a == (n->op == OP_OR))
        return sl_val_bool(a);
    const sl_val *right = ex_eval(x, n->right);
    if (right == NULL || !ex_truth(x, n, right, &b))
        return NULL;
    return sl_val_bool(b);
}

static bool is_number(const sl_val *v)
{
    return v->type == SL_INT || v->type == SL_DOUBLE;
}

static double number(const sl_val *v)
{
    return v->type == SL_INT ? (double)v->i : v->d;
}

int ex_compare(const sl_val *a, const sl_val *b)
{
    if (is_number(a) && is_number(b)) {
        double x = number(a), y = number(b);
        return (x > y) - (x < y);
    }
    if (a->type == SL_STRING && b->type == SL_STRING)
        return sl_str_cmp(a->s, b->s);
    if (a->type == SL_TIME && b->type == SL_TIME)
        return a->t.s != b->t.s ? (a->t.s > b->t.s) - (a->t.s < b->t.s) : (a->t.ns > b->t.ns) - (a->t.ns < b->t.ns);
    return (int)a->type - (int)b->type;
}

static const sl_val *compare(ex_context *x, const ex_node *n, const sl_val *a, const sl_val *b)
{
    if (n->op == OP_EQ || n->op == OP_NE)
        return sl_val_bool(sl_val_eq(a, b) == (n->op == OP_EQ));
    if (a->type == SL_NULL || b->type == SL_NULL)
        return &sl_false_val;
    if (!is_number(a) || !is_number(b))
        return ex_fail(x, n, "expr.type", "only numbers can be compared with < and >, not a %s and a %s; compare dates through `timestamp`",
                       sl_type_name(a->type), sl_type_name(b->type));
    double l = number(a), r = number(b);
    return sl_val_bool(n->op == OP_LT ? l < r : n->op == OP_GT ? l > r : n->op == OP_LE ? l <= r : l >= r);
}

static const sl_val *list_plus(ex_context *x, const sl_val *list, const sl_val *v)
{
    sl_val *out = sl_list(x->arena);
    for (size_t i = 0; i < list->list.n; i++)
        sl_list_add(x->arena, out, list->list.items[i]);
    if (v->type != SL_LIST)
        sl_list_add(x->arena, out, v);
    for (size_t i = 0; v->type == SL_LIST && i < v->list.n; i++)
        sl_list_add(x->arena, out, v->list.items[i]);
    return out;
}

static const sl_val *list_minus(ex_context *x, const sl_val *list, const sl_val *v)
{
    sl_val *out = sl_list(x->arena);
    for (size_t i = 0; i < list->list.n; i++) {
        bool drop = v->type != SL_LIST && sl_val_eq(list->list.items[i], v);
        for (size_t k = 0; v->type == SL_LIST && k < v->list.n; k++)
            drop |= sl_val_eq(list->list.items[i], v->list.items[k]);
        if (!drop)
            sl_list_add(x->arena, out, list->list.items[i]);
    }
    return out;
}

static const sl_val *integers(ex_context *x, const ex_node *n, int64_t a, int64_t b)
{
    int64_t r = 0;
    bool overflow = false;
    switch (n->op) {
    case OP_ADD: overflow = __builtin_add_overflow(a, b, &r); break;
    case OP_SUB: overflow = __builtin_sub_overflow(a, b, &r); break;
    case OP_MUL: overflow = __builtin_mul_overflow(a, b, &r); break;
    default:
        if (b == 0)
            return ex_fail(x, n, "expr.zero", "division by zero");
        overflow = a == INT64_MIN && b == -1;
        if (!overflow)
            r = n->op == OP_DIV ? a / b : a % b;
    }
    return overflow ? ex_fail(x, n, "expr.overflow", "the result does not fit into 64 bits") : sl_val_int(x->arena, r);
}

static const sl_val *text_number(ex_context *x, const sl_val *v)
{
    int64_t i;
    double d;
    if (sl_parse_int(v->s, &i))
        return sl_val_int(x->arena, i);
    return v->s.n > 0 && sl_parse_double(v->s, &d) ? sl_val_double(x->arena, d) : v;
}

static const sl_val *arithmetic(ex_context *x, const ex_node *n, const sl_val *a, const sl_val *b)
{
    if (n->op == OP_ADD && (a->type == SL_STRING || b->type == SL_STRING)) {
        sl_str l = a->type == SL_NULL ? SL_S("null") : sl_val_text(x->arena, a), r = b->type == SL_NULL ? SL_S("null") : sl_val_text(x->arena, b);
        return sl_val_str(x->arena, sl_fmt(x->arena, "%.*s%.*s", SL_ARG(l), SL_ARG(r)));
    }
    if (a->type == SL_LIST && (n->op == OP_ADD || n->op == OP_SUB))
        return n->op == OP_ADD ? list_plus(x, a, b) : list_minus(x, a, b);
    /* Text that is a number is one, but for +. */
    a = a->type == SL_STRING ? text_number(x, a) : a;
    b = b->type == SL_STRING ? text_number(x, b) : b;
    if (!is_number(a) || !is_number(b))
        return ex_fail(x, n, "expr.type", "arithmetic needs numbers, not a %s and a %s", sl_type_name(a->type), sl_type_name(b->type));
    if (a->type == SL_INT && b->type == SL_INT)
        return integers(x, n, a->i, b->i);
    double l = number(a), r = number(b);
    double d = n->op == OP_ADD ? l + r : n->op == OP_SUB ? l - r : n->op == OP_MUL ? l * r : n->op == OP_DIV ? l / r : fmod(l, r);
    return sl_val_double(x->arena, d);
}

void ex_java_text(sl_arena *a, sl_buf *b, const sl_val *v)
{
    if (v->type == SL_LIST) {
        sl_buf_char(b, '[');
        for (size_t i = 0; i < v->list.n; i++) {
            sl_buf_addc(b, i ? ", " : "");
            ex_java_text(a, b, v->list.items[i]);
        }
        sl_buf_char(b, ']');
    } else if (v->type == SL_MAP) {
        sl_buf_char(b, '{');
        for (size_t i = 0; i < v->map.n; i++) {
            sl_buf_fmt(b, "%s%.*s=", i ? ", " : "", SL_ARG(v->map.entries[i].key));
            ex_java_text(a, b, v->map.entries[i].value);
        }
        sl_buf_char(b, '}');
    } else
        sl_buf_add(b, v->type == SL_NULL ? SL_S("null") : sl_val_text(a, v));
}

static const sl_val *concat(ex_context *x, const ex_node *n, const sl_val *a, const sl_val *b)
{
    sl_buf out = sl_buf_new(x->arena, SL_EXPR_OUTPUT_MAX);
    if (a->type != SL_NULL)
        ex_java_text(x->arena, &out, a);
    if (b->type != SL_NULL)
        ex_java_text(x->arena, &out, b);
    if (out.overflow)
        return ex_fail(x, n, "expr.size", "the text is larger than %d bytes", SL_EXPR_OUTPUT_MAX);
    return sl_val_str(x->arena, sl_buf_str(&out));
}

static bool contains_one(ex_context *x, const sl_val *in, const sl_val *what)
{
    if (in->type == SL_STRING) /* the text of what is looked for */
        return what->type != SL_NULL && sl_str_find(in->s, sl_val_text(x->arena, what)) >= 0;
    if (in->type == SL_MAP)
        return what->type == SL_STRING && sl_get_str(in, what->s) != NULL;
    for (size_t i = 0; in->type == SL_LIST && i < in->list.n; i++)
        if (sl_val_eq(in->list.items[i], what))
            return true;
    return false;
}

static const sl_val *contains(ex_context *x, const ex_node *n, const sl_val *in, const sl_val *what)
{
    if (in->type == SL_NULL)
        return &sl_false_val;
    if (in->type != SL_STRING && in->type != SL_MAP && in->type != SL_LIST)
        return ex_fail(x, n, "expr.type", "`contains` needs a list, a map or a text, not a %s", sl_type_name(in->type));
    if (in->type == SL_LIST && what->type == SL_LIST) {
        for (size_t i = 0; i < what->list.n; i++)
            if (!contains_one(x, in, what->list.items[i]))
                return &sl_false_val;
        return &sl_true_val;
    }
    return sl_val_bool(contains_one(x, in, what));
}

/* `isIn` compares texts, and a map's keys and values; what is no list and no map holds nothing. */
static const sl_val *is_in(ex_context *x, const sl_val *what, const sl_val *in)
{
    sl_buf wanted = sl_buf_new(x->arena, SL_EXPR_OUTPUT_MAX);
    ex_java_text(x->arena, &wanted, what);
    sl_str key = sl_buf_str(&wanted);
    bool map = in->type == SL_MAP, hit = false;
    for (size_t i = 0; what->type != SL_NULL && !hit && i < (map || in->type == SL_LIST ? sl_val_count(in) : 0); i++) {
        sl_buf one = sl_buf_new(x->arena, SL_EXPR_OUTPUT_MAX);
        ex_java_text(x->arena, &one, map ? in->map.entries[i].value : in->list.items[i]);
        hit = sl_str_eq(sl_buf_str(&one), key) || (map && sl_str_eq(in->map.entries[i].key, key));
    }
    return sl_val_bool(hit);
}

const sl_val *ex_range(ex_context *x, const ex_node *at, const sl_val *from, const sl_val *to, const sl_val *increment)
{
    bool letters = from->type == SL_STRING && to->type == SL_STRING && from->s.n == 1 && to->s.n == 1;
    if (!letters && (from->type != SL_INT || to->type != SL_INT))
        return ex_fail(x, at, "expr.type", "a range needs two integers or two characters");
    int64_t first = letters ? from->s.p[0] : from->i, last = letters ? to->s.p[0] : to->i;
    int64_t by = increment && increment->type == SL_INT ? increment->i : 1;
    if (by == 0)
        return ex_fail(x, at, "expr.range", "a range cannot advance by 0");
    sl_val *out = sl_list(x->arena);
    for (int64_t i = first; by > 0 ? i <= last : i >= last; i += by) {
        if (!ex_step(x, at))
            return NULL;
        char c = (char)i;
        sl_list_add(x->arena, out, letters ? sl_val_str(x->arena, sl_str_dup(x->arena, (sl_str){ &c, 1 })) : sl_val_int(x->arena, i));
    }
    return out;
}

static const sl_val *coalesce(ex_context *x, const ex_node *n)
{
    bool undefined;
    const sl_val *left = eval_tolerant(x, n->left, &undefined);
    if (left == NULL && !undefined)
        return NULL;
    if (left != NULL && (n->op == OP_IF_UNDEFINED || left->type != SL_NULL))
        return left;
    return ex_eval(x, n->right);
}

static const sl_val *binary(ex_context *x, const ex_node *n)
{
    if (n->op == OP_OR || n->op == OP_AND)
        return logic(x, n);
    if (n->op == OP_COALESCE || n->op == OP_IF_UNDEFINED)
        return coalesce(x, n);
    const sl_val *a = ex_eval(x, n->left);
    const sl_val *b = a ? ex_eval(x, n->right) : NULL;
    if (b == NULL)
        return NULL;
    switch (n->op) {
    case OP_CONTAINS: return contains(x, n, a, b);
    case OP_IN: return contains(x, n, b, a);
    case OP_IS_IN: return is_in(x, a, b);
    case OP_NOT_IN: {
        const sl_val *v = contains(x, n, b, a);
        return v ? sl_val_bool(!v->b) : NULL;
    }
    case OP_CONCAT: return concat(x, n, a, b);
    case OP_RANGE: return ex_range(x, n, a, b, NULL);
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_DIV:
    case OP_MOD: return arithmetic(x, n, a, b);
    default: return compare(x, n, a, b);
    }
}

static const sl_val *unary(ex_context *x, const ex_node *n)
{
    const sl_val *v = ex_eval(x, n->left);
    bool b;
    if (v == NULL)
        return NULL;
    if (n->op == OP_NOT)
        return ex_truth(x, n, v, &b) ? sl_val_bool(!b) : NULL;
    v = v->type == SL_STRING ? text_number(x, v) : v;
    if (!is_number(v))
        return ex_fail(x, n, "expr.type", "a sign needs a number, not a %s", sl_type_name(v->type));
    if (n->op == OP_PLUS)
        return v;
    return v->type == SL_INT ? sl_val_int(x->arena, -v->i) : sl_val_double(x->arena, -v->d);
}

static const sl_val *test(ex_context *x, const ex_node *n)
{
    bool undefined = false, hit;
    const sl_val *v = sl_str_eqc(n->name, "defined") ? eval_tolerant(x, n->left, &undefined) : ex_eval(x, n->left);
    if (v == NULL && !undefined)
        return NULL;
    if (sl_str_eqc(n->name, "defined"))
        hit = v != NULL && v->type != SL_NULL;
    else if (sl_str_eqc(n->name, "null"))
        hit = v->type == SL_NULL;
    else if (sl_str_eqc(n->name, "empty"))
        hit = v->type == SL_NULL || (v->type == SL_STRING && sl_str_trim(v->s).n == 0) || ((v->type == SL_LIST || v->type == SL_MAP) && sl_val_count(v) == 0);
    else if (sl_str_eqc(n->name, "even") || sl_str_eqc(n->name, "odd")) {
        if (v->type != SL_INT)
            return ex_fail(x, n, "expr.type", "`is %.*s` needs an integer, not a %s", SL_ARG(n->name), sl_type_name(v->type));
        hit = (v->i % 2 == 0) == sl_str_eqc(n->name, "even");
    } else if (sl_str_eqc(n->name, "iterable"))
        hit = v->type == SL_LIST;
    else if (sl_str_eqc(n->name, "map"))
        hit = v->type == SL_MAP;
    else if (sl_str_eqc(n->name, "json")) {
        sl_err ignored;
        hit = v->type == SL_STRING && sl_json_parse(x->arena, v->s, &ignored) != NULL;
    } else
        return ex_fail(x, n, "expr.test", "there is no test `is %.*s`", SL_ARG(n->name));
    return sl_val_bool(hit != n->negated);
}

/* ---- calls ---- */

static bool bind_args(ex_context *x, const ex_node *n, const ex_entry *e, const sl_val **args)
{
    size_t at = 0;
    for (const ex_arg *arg = n->args; arg != NULL; arg = arg->next) {
        sl_str rest = sl_str_c(e->params), param;
        size_t index = 0;
        bool found = false;
        while (rest.p != NULL && rest.n > 0 && sl_str_cut(&rest, ' ', &param)) {
            if (arg->name.p != NULL ? sl_str_eq(param, arg->name) : index == at) {
                found = true;
                break;
            }
            index++;
        }
        if (!found)
            return ex_fail(x, n, "expr.args", arg->name.p ? "`%s` has no parameter `%.*s`; it takes (%s)" : "`%s` got too many arguments%.*s; it takes (%s)", e->name,
                           SL_ARG(arg->name), e->params) != NULL;
        if ((args[index] = ex_eval(x, arg->value)) == NULL)
            return false;
        at += arg->name.p == NULL;
    }
    return true;
}

static const sl_val *filter(ex_context *x, const ex_node *n)
{
    bool undefined = false;
    const sl_val *input = sl_str_eqc(n->name, "default") ? eval_tolerant(x, n->left, &undefined) : ex_eval(x, n->left);
    if (input == NULL && !undefined)
        return NULL;
    const ex_entry *e = ex_find_filter(x, n);
    if (e == NULL)
        return NULL;
    const sl_val *args[EX_ARGS_MAX] = { 0 };
    if (!bind_args(x, n, e, args))
        return NULL;
    if (undefined)
        input = &sl_null_val;
    return input->type == SL_NULL && !e->null_passes ? input : e->fn(x, n, input, args);
}

static const sl_val *call(ex_context *x, const ex_node *n)
{
    for (const ex_frame *f = x->frames; f != NULL; f = f->up)
        if (f->macro != NULL && sl_str_eq(f->name, n->name))
            return ex_call_macro(x, n, f->macro);
    if (sl_str_eqc(n->name, "block") && n->args != NULL)
        return ex_call_block(x, n);
    const ex_entry *e = ex_find_function(x, n);
    const sl_val *args[EX_ARGS_MAX] = { 0 };
    return e != NULL && bind_args(x, n, e, args) ? e->fn(x, n, NULL, args) : NULL;
}

/* The harmless Java methods that flows use on texts, lists and maps; each is a filter or an operator by another name. */
static const sl_val *method_text(ex_context *x, const ex_node *n, sl_str s, const sl_val *const *args)
{
    sl_arena *a = x->arena;
    sl_str arg = args[0] ? sl_val_text(a, args[0]) : SL_S("");
    if (sl_str_eqc(n->name, "toUpperCase"))
        return sl_val_str(a, sl_str_upper(a, s));
    if (sl_str_eqc(n->name, "toLowerCase"))
        return sl_val_str(a, sl_str_lower(a, s));
    if (sl_str_eqc(n->name, "trim") || sl_str_eqc(n->name, "strip"))
        return sl_val_str(a, sl_str_trim(s));
    if (sl_str_eqc(n->name, "startsWith"))
        return sl_val_bool(sl_str_starts(s, arg));
    if (sl_str_eqc(n->name, "endsWith"))
        return sl_val_bool(sl_str_ends(s, arg));
    if (sl_str_eqc(n->name, "indexOf"))
        return sl_val_int(a, sl_str_find(s, arg));
    if (sl_str_eqc(n->name, "replace") && args[1] != NULL)
        return sl_val_str(a, sl_str_replace(a, s, arg, sl_val_text(a, args[1])));
    if (sl_str_eqc(n->name, "substring") && sl_is(args[0], SL_INT)) {
        int64_t to = sl_is(args[1], SL_INT) ? args[1]->i : (int64_t)s.n;
        if (args[0]->i < 0 || to > (int64_t)s.n || args[0]->i > to)
            return ex_fail(x, n, "expr.range", "substring(%lld, %lld) is outside of a text of %zu characters", (long long)args[0]->i, (long long)to, s.n);
        return sl_val_str(a, sl_str_dup(a, sl_str_sub(s, (size_t)args[0]->i, (size_t)to)));
    }
    return NULL;
}

static const sl_val *method_map(ex_context *x, const ex_node *n, const sl_val *map, const sl_val *const *args)
{
    if (args[0] != NULL && (sl_str_eqc(n->name, "get") || sl_str_eqc(n->name, "containsKey"))) {
        const sl_val *v = sl_get_str(map, sl_val_text(x->arena, args[0]));
        return sl_str_eqc(n->name, "get") ? (v ? v : &sl_null_val) : sl_val_bool(v != NULL);
    }
    bool keys = sl_str_eqc(n->name, "keySet"), values = sl_str_eqc(n->name, "values"), entries = sl_str_eqc(n->name, "entrySet");
    if (!keys && !values && !entries)
        return NULL;
    sl_val *list = sl_list(x->arena);
    for (size_t i = 0; i < map->map.n; i++) {
        const sl_entry *e = &map->map.entries[i];
        sl_val *pair = sl_map(x->arena);
        if (entries) {
            sl_map_setc(x->arena, pair, "key", sl_val_str(x->arena, e->key));
            sl_map_setc(x->arena, pair, "value", e->value);
        }
        sl_list_add(x->arena, list, keys ? sl_val_str(x->arena, e->key) : values ? e->value : pair);
    }
    return list;
}

static const sl_val *method(ex_context *x, const ex_node *n)
{
    const sl_val *object = ex_eval(x, n->left);
    if (object == NULL)
        return NULL;
    const sl_val *args[EX_ARGS_MAX] = { 0 };
    size_t count = 0;
    for (const ex_arg *arg = n->args; arg != NULL && count < EX_ARGS_MAX; arg = arg->next)
        if ((args[count++] = ex_eval(x, arg->value)) == NULL)
            return NULL;
    sl_err_clear(x->err);
    const sl_val *v = NULL;
    bool sized = object->type == SL_STRING || object->type == SL_LIST || object->type == SL_MAP;
    size_t size = object->type == SL_STRING ? object->s.n : sl_val_count(object);
    if (sl_str_eqc(n->name, "toString"))
        v = sl_val_str(x->arena, sl_val_text(x->arena, object));
    else if (sized && (sl_str_eqc(n->name, "size") || sl_str_eqc(n->name, "length")))
        v = sl_val_int(x->arena, (int64_t)size);
    else if (sized && sl_str_eqc(n->name, "isEmpty"))
        v = sl_val_bool(size == 0);
    else if (sized && args[0] != NULL && sl_str_eqc(n->name, "contains"))
        v = sl_val_bool(contains_one(x, object, args[0]));
    else if (object->type == SL_LIST && sl_str_eqc(n->name, "get") && sl_is(args[0], SL_INT))
        v = args[0]->i >= 0 ? sl_at(object, (size_t)args[0]->i) : NULL;
    else if (object->type == SL_STRING)
        v = method_text(x, n, object->s, args);
    else if (object->type == SL_MAP)
        v = method_map(x, n, object, args);
    if (v == NULL && x->err->kind == SL_ERR_NONE)
        return ex_fail(x, n, "expr.method", "a %s has no method `%.*s` with %zu arguments", sl_type_name(object->type), SL_ARG(n->name), count);
    return v;
}

/* ---- literals and the rest ---- */

static const sl_val *collection(ex_context *x, const ex_node *n)
{
    sl_val *out = n->kind == EX_LIST ? sl_list(x->arena) : sl_map(x->arena);
    for (const ex_arg *arg = n->args; arg != NULL; arg = arg->next) {
        const sl_val *key = n->kind == EX_MAP ? ex_eval(x, arg->value->left) : &sl_null_val;
        const sl_val *v = key ? ex_eval(x, n->kind == EX_MAP ? arg->value->right : arg->value) : NULL;
        if (v == NULL)
            return NULL;
        if (n->kind == EX_LIST)
            sl_list_add(x->arena, out, v);
        else
            sl_map_set(x->arena, out, sl_val_text(x->arena, key), v);
    }
    return out;
}

static const sl_val *join(ex_context *x, const ex_node *n)
{
    sl_buf out = sl_buf_new(x->arena, SL_EXPR_OUTPUT_MAX);
    for (const ex_arg *arg = n->args; arg != NULL; arg = arg->next) {
        const sl_val *v = ex_eval(x, arg->value);
        if (v == NULL)
            return NULL;
        sl_buf_add(&out, sl_val_text(x->arena, v));
    }
    return sl_val_str(x->arena, sl_buf_str(&out));
}

static const sl_val *ternary(ex_context *x, const ex_node *n)
{
    const sl_val *condition = ex_eval(x, n->left);
    bool b = false;
    if (condition == NULL || (condition->type != SL_NULL && !ex_truth(x, n, condition, &b)))
        return NULL;
    return ex_eval(x, b ? n->right : n->third);
}

const sl_val *ex_eval(ex_context *x, const ex_node *n)
{
    if (!ex_step(x, n))
        return NULL;
    if (++x->depth > SL_EXPR_DEPTH_MAX * 16)
        return ex_fail(x, n, "expr.depth", "the evaluation is nested too deeply");
    const sl_val *v = NULL;
    switch (n->kind) {
    case EX_LITERAL: v = n->literal; break;
    case EX_NAME: v = lookup(x, n); break;
    case EX_LIST:
    case EX_MAP: v = collection(x, n); break;
    case EX_ATTRIBUTE: v = attribute(x, n); break;
    case EX_CALL: v = call(x, n); break;
    case EX_METHOD: v = method(x, n); break;
    case EX_FILTER: v = filter(x, n); break;
    case EX_UNARY: v = unary(x, n); break;
    case EX_BINARY: v = binary(x, n); break;
    case EX_TEST: v = test(x, n); break;
    case EX_TERNARY: v = ternary(x, n); break;
    case EX_JOIN: v = join(x, n); break;
    }
    x->depth--;
    return v;
}
