/*
 * local/dynamo_expr.c: condition, filter, key-condition and projection expressions, evaluated as they are read.
 * Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
 */
#include <ctype.h>

#include "base/arena.h"
#include "local/dynamo.h"

enum { DEPTH_MAX = 64 };

typedef struct parser {
    sl_arena *arena;
    sl_str rest;
    const sl_dynamo_names *n;
    const sl_val *item;
    sl_refusal *why;
    int depth;
    bool failed;
} parser;

static bool fail(parser *p, const char *what)
{
    if (!p->failed)
        sl_refuse(p->why, p->arena, 400, "com.amazon.coral.validate#ValidationException", "Invalid expression: %s near '%.*s'", what, (int)(p->rest.n < 40 ? p->rest.n : 40), p->rest.p);
    p->failed = true;
    return false;
}

static void blanks(parser *p)
{
    while (p->rest.n > 0 && isspace((unsigned char)p->rest.p[0]))
        p->rest = sl_str_sub(p->rest, 1, p->rest.n);
}

static bool name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '#' || c == ':' || c == '-';
}

static sl_str peek_word(parser *p)
{
    blanks(p);
    size_t n = 0;
    while (n < p->rest.n && name_char(p->rest.p[n]))
        n++;
    return sl_str_sub(p->rest, 0, n);
}

static bool take(parser *p, const char *token)
{
    blanks(p);
    size_t n = strlen(token);
    bool word = isalpha((unsigned char)token[0]) != 0;
    sl_str head = word ? peek_word(p) : sl_str_sub(p->rest, 0, n);
    if (!sl_str_ieq(head, sl_str_c(token)))
        return false;
    p->rest = sl_str_sub(p->rest, n, p->rest.n);
    return true;
}

static bool expect(parser *p, const char *token)
{
    return take(p, token) || fail(p, sl_fmt(p->arena, "'%s' is expected", token).p);
}

/* ---- operands ---- */

static sl_str attribute_name(parser *p)
{
    sl_str word = peek_word(p);
    if (word.n == 0 || word.p[0] == ':') {
        fail(p, "a name is expected");
        return SL_S("");
    }
    p->rest = sl_str_sub(p->rest, word.n, p->rest.n);
    if (word.p[0] != '#')
        return word;
    const sl_val *name = sl_get_str(p->n->names, word);
    if (name == NULL)
        fail(p, sl_fmt(p->arena, "ExpressionAttributeNames lacks %.*s", SL_ARG(word)).p);
    return name ? name->s : SL_S("");
}

/* a.b[0].c; NULL: it is not there. */
static const sl_val *path(parser *p)
{
    const sl_val *v = sl_get_str(p->item, attribute_name(p));
    while (!p->failed && p->rest.n > 0 && (p->rest.p[0] == '.' || p->rest.p[0] == '[')) {
        bool index = p->rest.p[0] == '[';
        p->rest = sl_str_sub(p->rest, 1, p->rest.n);
        if (!index) {
            v = sl_get_str(sl_get(v, "M"), attribute_name(p));
            continue;
        }
        int64_t i;
        sl_str digits = peek_word(p);
        if (!sl_parse_int(digits, &i) || i < 0) {
            fail(p, "an index is expected");
            return NULL;
        }
        p->rest = sl_str_sub(p->rest, digits.n, p->rest.n);
        if (!expect(p, "]"))
            return NULL;
        const sl_val *list = sl_get(v, "L");
        v = (size_t)i < sl_val_count(list) ? sl_at(list, (size_t)i) : NULL;
    }
    return v;
}

static const sl_val *size_of(parser *p, const sl_val *v)
{
    if (v == NULL || sl_val_count(v) != 1)
        return NULL;
    const sl_val *inner = v->map.entries[0].value;
    size_t n = inner->type == SL_STRING ? inner->s.n : sl_val_count(inner);
    return sl_map_of(p->arena, "N", sl_val_str(p->arena, sl_fmt(p->arena, "%zu", n)));
}

static const sl_val *operand(parser *p)
{
    sl_str word = peek_word(p);
    if (word.n > 0 && word.p[0] == ':') {
        const sl_val *v = sl_get_str(p->n->values, word);
        p->rest = sl_str_sub(p->rest, word.n, p->rest.n);
        if (v == NULL)
            fail(p, sl_fmt(p->arena, "ExpressionAttributeValues lacks %.*s", SL_ARG(word)).p);
        return v;
    }
    sl_str after = sl_str_trim(sl_str_sub(p->rest, word.n, p->rest.n));
    if (sl_str_ieq(word, SL_S("size")) && after.n > 0 && after.p[0] == '(') {
        (void)take(p, "size");
        (void)take(p, "(");
        const sl_val *v = size_of(p, operand(p));
        (void)expect(p, ")");
        return v;
    }
    return path(p);
}

/* ---- comparing ---- */

static sl_str type_of(const sl_val *v)
{
    return v != NULL && v->type == SL_MAP && v->map.n == 1 ? v->map.entries[0].key : SL_S("");
}

int sl_dynamo_compare(const sl_val *a, const sl_val *b)
{
    sl_str type = type_of(a);
    if (type.n == 0 || !sl_str_eq(type, type_of(b)))
        return 2;
    const sl_val *x = a->map.entries[0].value, *y = b->map.entries[0].value;
    if (x->type != SL_STRING || y->type != SL_STRING)
        return sl_val_eq(x, y) ? 0 : 2;
    double m, n;
    if (sl_str_eqc(type, "N") && sl_parse_double(x->s, &m) && sl_parse_double(y->s, &n))
        return m < n ? -1 : m > n;
    int order = sl_str_cmp(x->s, y->s);
    return order < 0 ? -1 : order > 0;
}

static bool contains(const sl_val *whole, const sl_val *part)
{
    sl_str type = type_of(whole);
    const sl_val *v = type.n ? whole->map.entries[0].value : NULL;
    if (sl_str_eqc(type, "S"))
        return sl_str_eqc(type_of(part), "S") && sl_str_find(v->s, sl_get_text(part, "S")) >= 0;
    for (size_t i = 0; i < sl_val_count(v) && v->type == SL_LIST; i++)
        if (sl_str_eqc(type, "L") ? sl_val_eq(sl_at(v, i), part) : type_of(part).n > 0 && sl_val_eq(sl_at(v, i), part->map.entries[0].value))
            return true;
    return false;
}

/* ---- conditions ---- */

static bool condition(parser *p);

static bool function(parser *p, sl_str name)
{
    bool ret = false;
    p->rest = sl_str_sub(p->rest, name.n, p->rest.n);
    if (!expect(p, "("))
        return false;
    const sl_val *first = path(p), *second = NULL;
    bool two = !sl_str_ieq(name, SL_S("attribute_exists")) && !sl_str_ieq(name, SL_S("attribute_not_exists"));
    if (two && expect(p, ","))
        second = operand(p);
    if (!expect(p, ")"))
        return false;
    if (!two)
        ret = (first != NULL) == sl_str_ieq(name, SL_S("attribute_exists"));
    else if (sl_str_ieq(name, SL_S("begins_with")))
        ret = sl_str_eqc(type_of(first), "S") && sl_str_starts(sl_get_text(first, "S"), sl_get_text(second, "S"));
    else if (sl_str_ieq(name, SL_S("contains")))
        ret = contains(first, second);
    else
        ret = sl_str_eq(type_of(first), sl_get_text(second, "S")); /* attribute_type */
    return ret;
}

static bool is_function(sl_str word)
{
    static const char *const names[] = { "attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains" };
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (sl_str_ieq(word, sl_str_c(names[i])))
            return true;
    return false;
}

static bool comparison(parser *p)
{
    const sl_val *left = operand(p);
    if (p->failed)
        return false;
    if (take(p, "BETWEEN")) {
        const sl_val *low = operand(p);
        const sl_val *high = expect(p, "AND") ? operand(p) : NULL;
        int a = sl_dynamo_compare(left, low), b = sl_dynamo_compare(left, high);
        return (a == 0 || a == 1) && (b == 0 || b == -1);
    }
    if (take(p, "IN")) {
        bool hit = false;
        if (!expect(p, "("))
            return false;
        do
            hit |= sl_dynamo_compare(left, operand(p)) == 0;
        while (!p->failed && take(p, ","));
        return expect(p, ")") && hit;
    }
    static const char *const operators[] = { "<>", "<=", ">=", "=", "<", ">" };
    for (size_t i = 0; i < SL_COUNT(operators); i++) {
        if (!take(p, operators[i]))
            continue;
        const sl_val *right = operand(p);
        int c = sl_dynamo_compare(left, right);
        const bool results[] = { c != 0, c == -1 || c == 0, c == 0 || c == 1, c == 0, c == -1, c == 1 };
        return results[i];
    }
    return fail(p, "an operator is expected");
}

static bool primary(parser *p)
{
    if (++p->depth > DEPTH_MAX)
        return fail(p, "it is nested too deeply");
    bool ret;
    if (take(p, "NOT"))
        ret = !primary(p);
    else if (take(p, "(")) {
        ret = condition(p);
        (void)expect(p, ")");
    } else
        ret = is_function(peek_word(p)) ? function(p, peek_word(p)) : comparison(p);
    p->depth--;
    return ret && !p->failed;
}

static bool conjunction(parser *p)
{
    bool ret = primary(p);
    while (!p->failed && take(p, "AND"))
        ret &= primary(p);
    return ret;
}

static bool condition(parser *p)
{
    bool ret = conjunction(p);
    while (!p->failed && take(p, "OR"))
        ret |= conjunction(p);
    return ret;
}

bool sl_dynamo_holds(sl_arena *arena, sl_str expression, const sl_dynamo_names *n, const sl_val *item, bool *ret, sl_refusal *why)
{
    parser p = { .arena = arena, .rest = expression, .n = n, .item = item, .why = why };
    *ret = true;
    if (sl_str_trim(expression).n == 0)
        return true;
    *ret = condition(&p);
    blanks(&p);
    if (!p.failed && p.rest.n > 0)
        fail(&p, "the end is expected");
    return !p.failed;
}

bool sl_dynamo_project(sl_arena *arena, sl_str expression, const sl_dynamo_names *n, const sl_val *item, const sl_val **ret, sl_refusal *why)
{
    parser p = { .arena = arena, .rest = expression, .n = n, .item = item, .why = why };
    sl_val *out = sl_map(arena);
    *ret = item;
    if (sl_str_trim(expression).n == 0)
        return true;
    do {
        sl_str name = attribute_name(&p);
        const sl_val *v = sl_get_str(item, name);
        blanks(&p);
        if (!p.failed && p.rest.n > 0 && p.rest.p[0] != ',')
            fail(&p, "the local cloud projects whole attributes only");
        if (v != NULL)
            sl_map_set(arena, out, name, v);
    } while (!p.failed && take(&p, ","));
    *ret = out;
    return !p.failed;
}
