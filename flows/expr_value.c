/* flows/expr_value.c: filters on numbers and collections, and serialisation (flow language section 5.8). */
#include <math.h>

#include "base/arena.h"
#include "base/jq.h"
#include "base/unicode.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/yaml.h"
#include "flows/expr_ast.h"
#include "flows/number_format.h"
#include "base/ion.h"

#define FILTER(name) static const sl_val *name(ex_context *x, const ex_node *at, const sl_val *in, const sl_val *const *args)
#define UNUSED_ARGS (void)at, (void)args

static const sl_val *wrong_type(ex_context *x, const ex_node *at, const char *filter, const char *needs, const sl_val *in)
{
    return ex_fail(x, at, "expr.type", "`%s` needs %s, not a %s", filter, needs, sl_type_name(in->type));
}

FILTER(f_abs)
{
    (void)args;
    if (in->type == SL_INT)
        return sl_val_int(x->arena, in->i < 0 ? -in->i : in->i);
    return in->type == SL_DOUBLE ? sl_val_double(x->arena, fabs(in->d)) : wrong_type(x, at, "abs", "a number", in);
}

FILTER(f_number)
{
    if (in->type != SL_STRING)
        return wrong_type(x, at, "number", "a string", in);
    sl_str kind = args[0] ? sl_val_text(x->arena, args[0]) : SL_S("");
    sl_str s = sl_str_trim(in->s);
    int64_t i;
    double d;
    bool integral = kind.n == 0 || sl_str_eqc(kind, "INT") || sl_str_eqc(kind, "LONG") || sl_str_eqc(kind, "BIGINTEGER");
    if (integral && sl_parse_int(s, &i)) {
        if (sl_str_eqc(kind, "INT") && (i < INT32_MIN || i > INT32_MAX))
            return ex_fail(x, at, "expr.number", "'%.*s' does not fit into an INT", SL_ARG(s));
        return sl_val_int(x->arena, i);
    }
    bool decimal = kind.n == 0 || sl_str_eqc(kind, "FLOAT") || sl_str_eqc(kind, "DOUBLE") || sl_str_eqc(kind, "BIGDECIMAL");
    if (sl_str_eqc(kind, "BIGDECIMAL") && sl_parse_int(s, &i))
        return sl_val_int(x->arena, i);
    if (decimal && sl_parse_double(s, &d))
        return sl_val_double(x->arena, d);
    return ex_fail(x, at, "expr.number", "'%.*s' is not a number%s%.*s", SL_ARG(s), kind.n ? " of type " : "", SL_ARG(kind));
}

FILTER(f_number_format)
{
    sl_str out;
    if (in->type != SL_INT && in->type != SL_DOUBLE)
        return wrong_type(x, at, "numberFormat", "a number", in);
    if (!sl_number_format(x->arena, args[0] ? sl_val_text(x->arena, args[0]) : SL_S("#,##0.###"), in, &out, x->err))
        return ex_fail(x, at, "expr.number", "%s", sl_fmt(x->arena, "%s", x->err->message).p);
    return sl_val_str(x->arena, out);
}

FILTER(f_length)
{
    UNUSED_ARGS;
    return sl_val_int(x->arena, (int64_t)(in->type == SL_STRING ? sl_unicode_units(in->s) : sl_val_count(in)));
}

static const sl_val *end_of(ex_context *x, const ex_node *at, const sl_val *in, bool first)
{
    if (in->type == SL_LIST)
        return in->list.n == 0 ? &sl_null_val : in->list.items[first ? 0 : in->list.n - 1];
    if (in->type != SL_STRING)
        return wrong_type(x, at, first ? "first" : "last", "a list or a string", in);
    if (in->s.n == 0)
        return ex_fail(x, at, "expr.empty", "`%s` of an empty string", first ? "first" : "last");
    size_t from = first ? 0 : in->s.n - 1, to = first ? 1 : in->s.n;
    while (first && to < in->s.n && ((unsigned char)in->s.p[to] & 0xC0) == 0x80)
        to++;
    while (!first && from > 0 && ((unsigned char)in->s.p[from] & 0xC0) == 0x80)
        from--;
    return sl_val_str(x->arena, sl_str_dup(x->arena, sl_str_sub(in->s, from, to)));
}

FILTER(f_first)
{
    (void)args;
    return end_of(x, at, in, true);
}

FILTER(f_last)
{
    (void)args;
    return end_of(x, at, in, false);
}

FILTER(f_join)
{
    if (in->type != SL_LIST)
        return wrong_type(x, at, "join", "a list", in);
    sl_buf b = sl_buf_new(x->arena, SL_EXPR_OUTPUT_MAX);
    for (size_t i = 0; i < in->list.n; i++) {
        if (i > 0 && args[0] != NULL)
            sl_buf_add(&b, sl_val_text(x->arena, args[0]));
        sl_buf_add(&b, sl_is_null(in->list.items[i]) ? SL_S("null") : sl_val_text(x->arena, in->list.items[i]));
    }
    return b.overflow ? ex_fail(x, at, "expr.size", "the joined text is too large") : sl_val_str(x->arena, sl_buf_str(&b));
}

FILTER(f_slice)
{
    if (in->type != SL_LIST && in->type != SL_STRING)
        return wrong_type(x, at, "slice", "a list or a string", in);
    int64_t size = in->type == SL_LIST ? (int64_t)in->list.n : (int64_t)sl_unicode_units(in->s);
    int64_t from = sl_is(args[0], SL_INT) ? args[0]->i : 0, to = sl_is(args[1], SL_INT) ? args[1]->i : size;
    if (from < 0 || to > size || from > to)
        return ex_fail(x, at, "expr.range", "slice(%lld, %lld) is outside of %lld elements", (long long)from, (long long)to, (long long)size);
    if (in->type == SL_STRING)
        return sl_val_str(x->arena, sl_str_dup(x->arena, sl_str_sub(in->s, sl_unicode_offset(in->s, (size_t)from), sl_unicode_offset(in->s, (size_t)to))));
    sl_val *out = sl_list(x->arena);
    for (int64_t i = from; i < to; i++)
        sl_list_add(x->arena, out, in->list.items[i]);
    return out;
}

static int by_value(const void *a, const void *b)
{
    return ex_compare(*(const sl_val *const *)a, *(const sl_val *const *)b);
}

static sl_val *list_copy(ex_context *x, const sl_val *in, bool reversed)
{
    sl_val *out = sl_list(x->arena);
    for (size_t i = 0; i < in->list.n; i++)
        sl_list_add(x->arena, out, in->list.items[reversed ? in->list.n - i - 1 : i]);
    return out;
}

FILTER(f_sort)
{
    (void)args;
    if (in->type != SL_LIST)
        return wrong_type(x, at, "sort", "a list", in);
    sl_val *out = list_copy(x, in, false);
    if (out->list.n > 1)
        qsort(out->list.items, out->list.n, sizeof *out->list.items, by_value);
    return out;
}

FILTER(f_reverse)
{
    (void)args;
    return in->type == SL_LIST ? list_copy(x, in, true) : wrong_type(x, at, "reverse", "a list", in);
}

FILTER(f_rsort)
{
    const sl_val *sorted = f_sort(x, at, in, args);
    return sorted ? list_copy(x, sorted, true) : NULL;
}

static void add_all(ex_context *x, sl_val *to, const sl_val *from)
{
    for (size_t i = 0; i < sl_val_count(from); i++) {
        const sl_val *v = from->type == SL_LIST ? from->list.items[i] : from->map.entries[i].value;
        if (to->type == SL_MAP)
            sl_map_set(x->arena, to, from->type == SL_MAP ? from->map.entries[i].key : sl_val_text(x->arena, v), v);
        else if (from->type == SL_LIST)
            sl_list_add(x->arena, to, v);
        else {
            sl_val *entry = sl_map(x->arena);
            sl_map_set(x->arena, entry, from->map.entries[i].key, v);
            sl_list_add(x->arena, to, entry);
        }
    }
}

FILTER(f_merge)
{
    if (in->type != SL_LIST && in->type != SL_MAP)
        return wrong_type(x, at, "merge", "a list or a map", in);
    if (args[0] == NULL || (args[0]->type != SL_LIST && args[0]->type != SL_MAP))
        return ex_fail(x, at, "expr.args", "`merge` needs a list or a map to merge with");
    sl_val *out = in->type == SL_LIST ? sl_list(x->arena) : sl_map(x->arena);
    add_all(x, out, in);
    add_all(x, out, args[0]);
    return out;
}

FILTER(f_keys)
{
    (void)args;
    if (in->type != SL_LIST && in->type != SL_MAP)
        return wrong_type(x, at, "keys", "a map or a list", in);
    sl_val *out = sl_list(x->arena);
    for (size_t i = 0; i < sl_val_count(in); i++)
        sl_list_add(x->arena, out, in->type == SL_MAP ? sl_val_str(x->arena, in->map.entries[i].key) : sl_val_int(x->arena, (int64_t)i));
    return out;
}

FILTER(f_values)
{
    (void)args;
    if (in->type != SL_MAP)
        return wrong_type(x, at, "values", "a map", in);
    sl_val *out = sl_list(x->arena);
    for (size_t i = 0; i < in->map.n; i++)
        sl_list_add(x->arena, out, in->map.entries[i].value);
    return out;
}

FILTER(f_flatten)
{
    (void)args;
    if (in->type != SL_LIST)
        return wrong_type(x, at, "flatten", "a list", in);
    sl_val *out = sl_list(x->arena);
    for (size_t i = 0; i < in->list.n; i++) {
        if (in->list.items[i]->type == SL_LIST)
            add_all(x, out, in->list.items[i]);
        else
            sl_list_add(x->arena, out, in->list.items[i]);
    }
    return out;
}

FILTER(f_chunk)
{
    if (in->type != SL_LIST)
        return wrong_type(x, at, "chunk", "a list", in);
    if (!sl_is(args[0], SL_INT) || args[0]->i < 1)
        return ex_fail(x, at, "expr.args", "`chunk` needs a size of at least 1");
    sl_val *out = sl_list(x->arena), *part = NULL;
    for (size_t i = 0; i < in->list.n; i++) {
        if (i % (size_t)args[0]->i == 0) {
            part = sl_list(x->arena);
            sl_list_add(x->arena, out, part);
        }
        sl_list_add(x->arena, part, in->list.items[i]);
    }
    return out;
}

FILTER(f_distinct)
{
    (void)args;
    if (in->type != SL_LIST)
        return wrong_type(x, at, "distinct", "a list", in);
    sl_val *out = sl_list(x->arena), *seen = sl_map(x->arena);
    for (size_t i = 0; i < in->list.n; i++) {
        sl_str key = sl_json(x->arena, in->list.items[i]);
        if (sl_get_str(seen, key) != NULL)
            continue;
        sl_map_set(x->arena, seen, key, &sl_true_val);
        sl_list_add(x->arena, out, in->list.items[i]);
    }
    return out;
}

FILTER(f_jq)
{
    if (!sl_is(args[0], SL_STRING))
        return ex_fail(x, at, "expr.args", "`jq` needs a program");
    int64_t ms = x->env->jq_ms ? x->env->jq_ms : SL_JQ_MS;
    if (ms < 0)
        return ex_fail(x, at, "expr.jq", "`jq` takes too long for this place");
    const sl_val *v = sl_jq(x->arena, in, args[0]->s, ms, x->err), *doc;
    sl_err ignored;
    /* Text is text; but a program that wants an object or an array finds it in the JSON that a file holds: read(…) | jq('.a'). */
    if (v == NULL && in->type == SL_STRING && (doc = sl_json_parse(x->arena, in->s, &ignored)) != NULL && (doc->type == SL_MAP || doc->type == SL_LIST)) {
        sl_err_clear(x->err);
        v = sl_jq(x->arena, doc, args[0]->s, ms, x->err);
    }
    return v ? v : ex_fail(x, at, "expr.jq", "%s", sl_fmt(x->arena, "%s", x->err->message).p);
}

FILTER(f_default)
{
    (void)x;
    (void)at;
    bool empty = in->type == SL_NULL || (in->type == SL_STRING && sl_str_trim(in->s).n == 0) || ((in->type == SL_LIST || in->type == SL_MAP) && sl_val_count(in) == 0);
    return empty && args[0] != NULL ? args[0] : in;
}

FILTER(f_json)
{
    UNUSED_ARGS;
    return sl_val_str(x->arena, sl_json_text(x->arena, in));
}

FILTER(f_ion)
{
    UNUSED_ARGS;
    sl_buf b = sl_buf_new(x->arena, SL_EXPR_OUTPUT_MAX);
    sl_ion_write(&b, x->arena, in);
    return sl_val_str(x->arena, sl_buf_str(&b));
}

FILTER(f_yaml)
{
    UNUSED_ARGS;
    return sl_val_str(x->arena, sl_yaml_write(x->arena, in));
}

FILTER(f_class_name)
{
    UNUSED_ARGS;
    static const char *const names[] = { "null", "java.lang.Boolean", "java.lang.Long", "java.lang.Double", "java.lang.String", "java.util.ArrayList",
                                         "java.util.LinkedHashMap", "java.time.ZonedDateTime", "java.time.Duration" };
    bool narrow = in->type == SL_INT && in->i >= INT32_MIN && in->i <= INT32_MAX;
    return sl_val_c(x->arena, narrow ? "java.lang.Integer" : names[in->type]);
}

const ex_entry ex_value_filters[] = {
    { "abs", "", f_abs, false },
    { "number", "type", f_number, false },
    { "numberFormat", "format", f_number_format, false },
    { "length", "", f_length, true },
    { "first", "", f_first, false },
    { "last", "", f_last, false },
    { "join", "separator", f_join, false },
    { "slice", "fromIndex toIndex", f_slice, false },
    { "sort", "", f_sort, false },
    { "rsort", "", f_rsort, false },
    { "reverse", "", f_reverse, false },
    { "merge", "items", f_merge, false },
    { "keys", "", f_keys, false },
    { "values", "", f_values, false },
    { "flatten", "", f_flatten, false },
    { "chunk", "size", f_chunk, false },
    { "distinct", "", f_distinct, false },
    { "jq", "expression", f_jq, false },
    { "default", "default", f_default, true },
    { "toJson", "", f_json, true },
    { "json", "", f_json, true },
    { "toIon", "", f_ion, true },
    { "yaml", "", f_yaml, true },
    { "className", "", f_class_name, false },
    { 0 },
};
