/*
 * flows/expr_render.c: renders templates: tags, macros, blocks, texts that hold expressions again, values with all that is in them.
 */
#include "base/arena.h"
#include "base/limits.h"
#include "flows/expr_ast.h"

enum { MACRO_DEPTH = 16 };

/* ---- macros and blocks ---- */

static bool run_nodes(ex_context *x, const tp_node *n, sl_buf *out);

/* A macro sees the other macros, and itself, but no variables. */
static ex_frame *macros_of(ex_context *x)
{
    ex_frame *all = NULL;
    for (const ex_frame *f = x->frames; f != NULL; f = f->up)
        if (f->macro != NULL) {
            ex_frame *one = SL_NEW(x->arena, ex_frame);
            *one = (ex_frame){ .up = all, .name = f->name, .macro = f->macro };
            all = one;
        }
    return all;
}

const sl_val *ex_call_macro(ex_context *x, const ex_node *n, const tp_node *macro)
{
    ex_frame *saved = x->frames;
    ex_frame *inside = macros_of(x);
    const ex_arg *given = n->args;
    for (const ex_arg *param = macro->params; param != NULL; param = param->next) {
        const sl_val *v = &sl_null_val;
        const ex_arg *named = n->args;
        while (named != NULL && !(named->name.p != NULL && sl_str_eq(named->name, param->name)))
            named = named->next;
        if (named != NULL)
            v = ex_eval(x, named->value);
        else if (given != NULL && given->name.p == NULL) {
            v = ex_eval(x, given->value);
            given = given->next;
        } else if (param->value != NULL)
            v = ex_eval(x, param->value);
        if (v == NULL)
            return NULL;
        ex_frame *f = SL_NEW(x->arena, ex_frame);
        *f = (ex_frame){ .up = inside, .name = param->name, .value = v };
        inside = f;
    }
    sl_expr_env empty = { .vars = NULL, .host = x->env->host };
    const sl_expr_env *env = x->env;
    x->env = &empty;
    x->frames = inside;
    sl_buf out = sl_buf_new(x->arena, SL_EXPR_OUTPUT_MAX);
    x->depth += MACRO_DEPTH; /* it takes more of the stack than a nested tag */
    bool ok = ex_step(x, n) && run_nodes(x, macro->body, &out);
    x->depth -= MACRO_DEPTH;
    x->env = env;
    x->frames = saved;
    return ok ? sl_val_str(x->arena, sl_buf_str(&out)) : NULL;
}

static const tp_node *find_block(const tp_node *n, sl_str name)
{
    for (; n != NULL; n = n->next) {
        if (n->kind == TP_BLOCK && sl_str_eq(n->text, name))
            return n;
        const tp_node *inner = n->body ? find_block(n->body, name) : NULL;
        if (inner == NULL && n->otherwise != NULL)
            inner = find_block(n->otherwise, name);
        if (inner != NULL)
            return inner;
    }
    return NULL;
}

const sl_val *ex_call_block(ex_context *x, const ex_node *n)
{
    const sl_val *name = ex_eval(x, n->args->value);
    const tp_node *block = name ? find_block(x->blocks, sl_val_text(x->arena, name)) : NULL;
    if (block == NULL)
        return name ? sl_val_str(x->arena, SL_S("")) : NULL;
    sl_buf out = sl_buf_new(x->arena, SL_EXPR_OUTPUT_MAX);
    return run_nodes(x, block->body, &out) ? sl_val_str(x->arena, sl_buf_str(&out)) : NULL;
}

/* ---- tags ---- */

static void push(ex_context *x, sl_str name, const sl_val *value, const tp_node *macro)
{
    ex_frame *f = SL_NEW(x->arena, ex_frame);
    *f = (ex_frame){ .up = x->frames, .name = name, .value = value, .macro = macro };
    x->frames = f;
}

/* What its body sets is set behind it, too. */
static bool run_if(ex_context *x, const tp_node *n, sl_buf *out)
{
    for (; n != NULL; n = n->otherwise) {
        const sl_val *v = ex_eval(x, n->expr);
        bool b;
        if (v == NULL || !ex_truth(x, n->expr, v, &b))
            return false;
        if (b)
            return run_nodes(x, n->body, out);
        if (n->otherwise == NULL || !n->otherwise->is_elseif)
            return run_nodes(x, n->otherwise, out);
    }
    return true;
}

/* A variable that is there changes, wherever it was made; else there is one more, here. */
static void assign(ex_context *x, sl_str name, const sl_val *value)
{
    ex_frame *f = x->frames;
    while (f != NULL && !(f->value != NULL && sl_str_eq(f->name, name)))
        f = f->up;
    if (f != NULL)
        f->value = value;
    else
        push(x, name, value, NULL);
}

static const sl_val *loop_info(ex_context *x, size_t i, size_t n)
{
    sl_val *loop = sl_map(x->arena);
    sl_map_set_int(x->arena, loop, "index", (int64_t)i);
    sl_map_set_int(x->arena, loop, "length", (int64_t)n);
    sl_map_set_int(x->arena, loop, "revindex", (int64_t)(n - i - 1));
    sl_map_set_bool(x->arena, loop, "first", i == 0);
    sl_map_set_bool(x->arena, loop, "last", i + 1 == n);
    return loop;
}

static bool run_for(ex_context *x, const tp_node *n, sl_buf *out)
{
    const sl_val *over = ex_eval(x, n->expr);
    if (over == NULL)
        return false;
    if (over->type != SL_LIST && over->type != SL_MAP && over->type != SL_NULL)
        return ex_fail(x, n->expr, "expr.type", "`for` needs a list or a map, not a %s", sl_type_name(over->type)) != NULL;
    size_t count = sl_val_count(over);
    ex_frame *saved = x->frames;
    for (size_t i = 0; i < count; i++) {
        const sl_val *item;
        if (over->type == SL_MAP) {
            sl_val *entry = sl_map(x->arena);
            sl_map_setc(x->arena, entry, "key", sl_val_str(x->arena, over->map.entries[i].key));
            sl_map_setc(x->arena, entry, "value", over->map.entries[i].value);
            item = entry;
        } else
            item = over->list.items[i];
        push(x, n->text, item, NULL);
        push(x, SL_S("loop"), loop_info(x, i, count), NULL);
        bool ok = ex_step(x, n->expr) && run_nodes(x, n->body, out);
        x->frames = saved;
        if (!ok)
            return false;
    }
    return count > 0 || run_nodes(x, n->otherwise, out);
}

static bool run_filter(ex_context *x, const tp_node *n, sl_buf *out)
{
    sl_buf inner = sl_buf_new(x->arena, SL_EXPR_OUTPUT_MAX);
    if (!run_nodes(x, n->body, &inner))
        return false;
    ex_node *input = n->expr;
    while (input->kind == EX_FILTER)
        input = input->left;
    input->literal = sl_val_str(x->arena, sl_buf_str(&inner));
    const sl_val *v = ex_eval(x, n->expr);
    if (v != NULL)
        sl_buf_add(out, sl_val_text(x->arena, v));
    return v != NULL;
}

static bool run_node(ex_context *x, const tp_node *n, sl_buf *out)
{
    const sl_val *v;
    switch (n->kind) {
    case TP_TEXT: sl_buf_add(out, n->text); return true;
    case TP_RAW:
        if (x->raw_texts == NULL) {
            sl_buf_add(out, n->text);
            return true;
        }
        sl_buf_fmt(out, "\x01raw%zu\x01", x->raw_texts->list.n);
        sl_list_add(x->arena, x->raw_texts, sl_val_str(x->arena, n->text));
        return true;
    case TP_PRINT:
        v = ex_eval(x, n->expr);
        if (v != NULL)
            sl_buf_add(out, sl_val_text(x->arena, v));
        return v != NULL;
    case TP_IF: return run_if(x, n, out);
    case TP_FOR: return run_for(x, n, out);
    case TP_SET:
        v = ex_eval(x, n->expr);
        if (v != NULL)
            assign(x, n->text, v);
        return v != NULL;
    case TP_MACRO: push(x, n->text, NULL, n); return true;
    case TP_BLOCK: return run_nodes(x, n->body, out);
    case TP_FILTER: return run_filter(x, n, out);
    }
    return false;
}

static bool run_nodes(ex_context *x, const tp_node *n, sl_buf *out)
{
    if (++x->depth > SL_EXPR_DEPTH_MAX * 16)
        return ex_fail(x, NULL, "expr.depth", "the template calls itself too deeply") != NULL;
    for (; n != NULL; n = n->next)
        if (!run_node(x, n, out))
            return false;
    x->depth--;
    if (out->overflow)
        return ex_fail(x, NULL, "expr.size", "the rendered text is larger than %d bytes", SL_EXPR_OUTPUT_MAX) != NULL;
    return true;
}

static bool has_tags(sl_str s)
{
    for (size_t i = 0; i + 1 < s.n; i++)
        if (s.p[i] == '{' && (s.p[i + 1] == '{' || s.p[i + 1] == '%' || s.p[i + 1] == '#'))
            return true;
    return false;
}

static bool render_once(ex_context *x, sl_str text, sl_str *ret)
{
    tp_node *nodes;
    sl_str saved = x->text;
    const tp_node *saved_blocks = x->blocks;
    ex_frame *frames = x->frames;
    x->text = text;
    bool ok = ex_parse(x->arena, text, &nodes, x->err);
    sl_buf out = sl_buf_new(x->arena, SL_EXPR_OUTPUT_MAX);
    x->blocks = ok ? nodes : NULL;
    ok = ok && run_nodes(x, nodes, &out);
    x->text = saved;
    x->blocks = saved_blocks;
    x->frames = frames;
    *ret = sl_buf_str(&out);
    return ok;
}

static sl_str restore_raws(ex_context *x, sl_str text, const sl_val *raws)
{
    for (size_t i = 0; i < raws->list.n; i++)
        text = sl_str_replace(x->arena, text, sl_fmt(x->arena, "\x01raw%zu\x01", i), raws->list.items[i]->s);
    return text;
}

static const sl_val *render_text_again(ex_context *x, const ex_node *at, sl_str text, bool recursive)
{
    sl_val *saved = x->raw_texts, *raws = sl_list(x->arena);
    x->raw_texts = recursive ? raws : NULL;
    for (int pass = 0; has_tags(text); pass++) {
        sl_str out;
        if (pass >= SL_EXPR_RENDER_PASSES_MAX) {
            x->raw_texts = saved;
            return ex_fail(x, at, "expr.passes", "Too many rendering attempts: the text still changes after %d passes", SL_EXPR_RENDER_PASSES_MAX);
        }
        bool ok = render_once(x, text, &out);
        if (!ok) {
            x->raw_texts = saved;
            return NULL;
        }
        bool same = sl_str_eq(out, text);
        text = out;
        if (!recursive || same)
            break;
    }
    x->raw_texts = saved;
    return sl_val_str(x->arena, restore_raws(x, text, raws));
}

const sl_val *ex_render_again(ex_context *x, const ex_node *at, const sl_val *v, bool recursive)
{
    if (v->type == SL_STRING)
        return render_text_again(x, at, v->s, recursive);
    if (v->type != SL_LIST && v->type != SL_MAP)
        return v;
    sl_val *out = v->type == SL_LIST ? sl_list(x->arena) : sl_map(x->arena);
    for (size_t i = 0; i < sl_val_count(v); i++) {
        const sl_val *item = ex_render_again(x, at, v->type == SL_LIST ? v->list.items[i] : v->map.entries[i].value, recursive);
        if (item == NULL)
            return NULL;
        if (v->type == SL_LIST)
            sl_list_add(x->arena, out, item);
        else
            sl_map_set(x->arena, out, v->map.entries[i].key, item);
    }
    return out;
}

bool sl_render(sl_arena *arena, const sl_expr_env *env, sl_str text, sl_str *ret, sl_err *err)
{
    if (!has_tags(text)) {
        *ret = text;
        return true;
    }
    sl_err_clear(err);
    ex_context x = { .arena = arena, .env = env, .err = err };
    return render_once(&x, text, ret);
}

bool sl_render_typed(sl_arena *arena, const sl_expr_env *env, sl_str text, const sl_val **ret, sl_err *err)
{
    tp_node *nodes;
    if (!has_tags(text)) {
        *ret = sl_val_str(arena, text);
        return true;
    }
    sl_err_clear(err);
    ex_context x = { .arena = arena, .env = env, .text = sl_str_trim(text), .err = err };
    if (!ex_parse(arena, x.text, &nodes, err))
        return false;
    if (nodes != NULL && nodes->next == NULL && nodes->kind == TP_PRINT) {
        x.blocks = nodes;
        return (*ret = ex_eval(&x, nodes->expr)) != NULL;
    }
    sl_str out;
    if (!sl_render(arena, env, text, &out, err))
        return false;
    *ret = sl_val_str(arena, out);
    return true;
}

bool sl_render_val(sl_arena *arena, const sl_expr_env *env, const sl_val *v, bool typed, const sl_val **ret, sl_err *err)
{
    if (v->type == SL_STRING) {
        sl_str text;
        if (typed)
            return sl_render_typed(arena, env, v->s, ret, err);
        if (!sl_render(arena, env, v->s, &text, err))
            return false;
        if (text.p == v->s.p) {
            *ret = v;
            return true;
        }
        sl_val *out = sl_val_str(arena, text);
        out->line = v->line;
        out->column = v->column;
        *ret = out;
        return true;
    }
    if (v->type != SL_LIST && v->type != SL_MAP) {
        *ret = v;
        return true;
    }
    sl_val *out = v->type == SL_LIST ? sl_list(arena) : sl_map(arena);
    out->line = v->line;
    out->column = v->column;
    for (size_t i = 0; i < sl_val_count(v); i++) {
        const sl_val *item;
        sl_str key = v->type == SL_MAP ? v->map.entries[i].key : (sl_str){ 0 };
        if (!sl_render_val(arena, env, v->type == SL_LIST ? v->list.items[i] : v->map.entries[i].value, typed, &item, err))
            return false;
        if (v->type == SL_LIST)
            sl_list_add(arena, out, item);
        else if (sl_render(arena, env, key, &key, err))
            sl_map_set(arena, out, key, item);
        else
            return false;
    }
    *ret = out;
    return true;
}

bool sl_truthy_text(sl_str text)
{
    text = sl_str_trim(text);
    return text.n > 0 && !sl_str_eqc(text, "0") && !sl_str_eqc(text, "-0") && !sl_str_eqc(text, "false");
}
