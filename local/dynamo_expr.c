/*
 * local/dynamo_expr.c: condition, filter, key-condition and projection expressions, evaluated as they are read.
 * Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
 */
#include <ctype.h>

#include "base/arena.h"
#include "local/dynamo.h"

enum { DEPTH_MAX = 64, INDEX_MAX = 1 << 20 };

typedef sl_ddb_parser parser;

bool sl_ddb_fail(parser *p, const char *what)
{
    if (!p->failed)
        sl_refuse(p->why, p->arena, 400, SL_DDB_INVALID, "Invalid expression: %s near '%.*s'", what, (int)(p->rest.n < 40 ? p->rest.n : 40), p->rest.p);
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

sl_str sl_ddb_peek(parser *p)
{
    blanks(p);
    size_t n = 0;
    while (n < p->rest.n && name_char(p->rest.p[n]))
        n++;
    return sl_str_sub(p->rest, 0, n);
}

bool sl_ddb_take(parser *p, const char *token)
{
    blanks(p);
    size_t n = strlen(token);
    bool word = isalpha((unsigned char)token[0]) != 0;
    sl_str head = word ? sl_ddb_peek(p) : sl_str_sub(p->rest, 0, n);
    if (!sl_str_ieq(head, sl_str_c(token)))
        return false;
    p->rest = sl_str_sub(p->rest, n, p->rest.n);
    return true;
}

bool sl_ddb_expect(parser *p, const char *token)
{
    return sl_ddb_take(p, token) || sl_ddb_fail(p, sl_fmt(p->arena, "'%s' is expected", token).p);
}

/* ---- operands ---- */

static sl_str attribute_name(parser *p)
{
    sl_str word = sl_ddb_peek(p);
    if (word.n == 0 || word.p[0] == ':') {
        sl_ddb_fail(p, "a name is expected");
        return SL_S("");
    }
    p->rest = sl_str_sub(p->rest, word.n, p->rest.n);
    if (word.p[0] != '#') {
        if (sl_ddb_reserved(p->arena, word))
            sl_ddb_fail(p, sl_fmt(p->arena, "Attribute name is a reserved keyword (#name and ExpressionAttributeNames stand for it); reserved keyword: %.*s", SL_ARG(word)).p);
        return word;
    }
    const sl_val *name = sl_get_str(p->n->names, word);
    if (name == NULL)
        sl_ddb_fail(p, sl_fmt(p->arena, "ExpressionAttributeNames lacks %.*s", SL_ARG(word)).p);
    return name ? name->s : SL_S("");
}

const sl_val *sl_ddb_path(parser *p)
{
    sl_val *steps = sl_list(p->arena);
    sl_list_add(p->arena, steps, sl_val_str(p->arena, attribute_name(p)));
    while (!p->failed && p->rest.n > 0 && (p->rest.p[0] == '.' || p->rest.p[0] == '[')) {
        bool index = p->rest.p[0] == '[';
        p->rest = sl_str_sub(p->rest, 1, p->rest.n);
        if (!index) {
            sl_list_add(p->arena, steps, sl_val_str(p->arena, attribute_name(p)));
            continue;
        }
        int64_t i;
        sl_str digits = sl_ddb_peek(p);
        if (!sl_parse_int(digits, &i) || i < 0 || i > INDEX_MAX) {
            sl_ddb_fail(p, "an index is expected");
            return steps;
        }
        p->rest = sl_str_sub(p->rest, digits.n, p->rest.n);
        sl_list_add(p->arena, steps, sl_val_int(p->arena, i));
        (void)sl_ddb_expect(p, "]");
    }
    return steps;
}

const sl_val *sl_ddb_at(const sl_val *item, const sl_val *path)
{
    const sl_val *v = item;
    for (size_t i = 0; i < sl_val_count(path); i++) {
        const sl_val *step = sl_at(path, i);
        v = step->type == SL_INT ? sl_at(sl_get(v, "L"), (size_t)step->i) : sl_get_str(i == 0 ? v : sl_get(v, "M"), step->s);
    }
    return v;
}

/* What is there in the item; NULL: nothing. */
static const sl_val *path(parser *p)
{
    return sl_ddb_at(p->item, sl_ddb_path(p));
}

const sl_val *sl_ddb_value(parser *p)
{
    sl_str word = sl_ddb_peek(p);
    const sl_val *v = sl_get_str(p->n->values, word);
    if (word.n == 0 || word.p[0] != ':')
        sl_ddb_fail(p, "a value (:name) is expected");
    else if (v == NULL)
        sl_ddb_fail(p, sl_fmt(p->arena, "ExpressionAttributeValues lacks %.*s", SL_ARG(word)).p);
    p->rest = sl_str_sub(p->rest, word.n, p->rest.n);
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
    sl_str word = sl_ddb_peek(p);
    if (word.n > 0 && word.p[0] == ':')
        return sl_ddb_value(p);
    sl_str after = sl_str_trim(sl_str_sub(p->rest, word.n, p->rest.n));
    if (sl_str_ieq(word, SL_S("size")) && after.n > 0 && after.p[0] == '(') {
        (void)sl_ddb_take(p, "size");
        (void)sl_ddb_take(p, "(");
        const sl_val *v = size_of(p, operand(p));
        (void)sl_ddb_expect(p, ")");
        return v;
    }
    return path(p);
}

/* ---- comparing ---- */

sl_str sl_ddb_type(const sl_val *v)
{
    return v != NULL && v->type == SL_MAP && v->map.n == 1 ? v->map.entries[0].key : SL_S("");
}

/* Numbers of up to 38 digits that a double cannot tell apart. */
static int nearly_equal(sl_str a, sl_str b)
{
    SL_ARENA scratch = sl_arena_new();
    sl_str difference;
    if (sl_str_eq(a, b) || !sl_ddb_sum(scratch, a, b, true, &difference) || sl_str_eqc(difference, "0"))
        return 0;
    return difference.p[0] == '-' ? -1 : 1;
}

int sl_ddb_compare(const sl_val *a, const sl_val *b)
{
    sl_str type = sl_ddb_type(a);
    if (type.n == 0 || !sl_str_eq(type, sl_ddb_type(b)))
        return 2;
    const sl_val *x = a->map.entries[0].value, *y = b->map.entries[0].value;
    if (x->type != SL_STRING || y->type != SL_STRING)
        return sl_val_eq(x, y) ? 0 : 2;
    double m, n;
    if (sl_str_eqc(type, "N") && sl_parse_double(x->s, &m) && sl_parse_double(y->s, &n))
        return m < n ? -1 : m > n ? 1 : nearly_equal(x->s, y->s);
    int order = sl_str_cmp(x->s, y->s);
    return order < 0 ? -1 : order > 0;
}

static bool contains(const sl_val *whole, const sl_val *part)
{
    sl_str type = sl_ddb_type(whole);
    const sl_val *v = type.n ? whole->map.entries[0].value : NULL;
    if (sl_str_eqc(type, "S"))
        return sl_str_eqc(sl_ddb_type(part), "S") && sl_str_find(v->s, sl_get_text(part, "S")) >= 0;
    for (size_t i = 0; i < sl_val_count(v) && v->type == SL_LIST; i++)
        if (sl_str_eqc(type, "L") ? sl_val_eq(sl_at(v, i), part) : sl_ddb_type(part).n > 0 && sl_val_eq(sl_at(v, i), part->map.entries[0].value))
            return true;
    return false;
}

/* ---- conditions ---- */

static bool condition(parser *p);

static bool function(parser *p, sl_str name)
{
    bool ret = false;
    p->rest = sl_str_sub(p->rest, name.n, p->rest.n);
    if (!sl_ddb_expect(p, "("))
        return false;
    const sl_val *first = path(p), *second = NULL;
    bool two = !sl_str_ieq(name, SL_S("attribute_exists")) && !sl_str_ieq(name, SL_S("attribute_not_exists"));
    if (two && sl_ddb_expect(p, ","))
        second = operand(p);
    if (!sl_ddb_expect(p, ")"))
        return false;
    if (!two)
        ret = (first != NULL) == sl_str_ieq(name, SL_S("attribute_exists"));
    else if (sl_str_ieq(name, SL_S("begins_with")))
        ret = sl_str_eqc(sl_ddb_type(first), "S") && sl_str_starts(sl_get_text(first, "S"), sl_get_text(second, "S"));
    else if (sl_str_ieq(name, SL_S("contains")))
        ret = contains(first, second);
    else
        ret = sl_str_eq(sl_ddb_type(first), sl_get_text(second, "S")); /* attribute_type */
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

/* "key = :v": what is asked of the key that p->key names. */
static void note_key(parser *p, sl_str before, bool equal, const sl_val *right)
{
    parser again = { .arena = p->arena, .rest = before, .n = p->n, .why = p->why };
    if (p->key.n > 0 && equal && before.n > 0 && before.p[0] != ':' && sl_str_eq(attribute_name(&again), p->key))
        p->key_value = right;
}

static bool comparison(parser *p)
{
    blanks(p);
    sl_str before = p->rest;
    const sl_val *left = operand(p);
    if (p->failed)
        return false;
    if (sl_ddb_take(p, "BETWEEN")) {
        const sl_val *low = operand(p);
        const sl_val *high = sl_ddb_expect(p, "AND") ? operand(p) : NULL;
        int a = sl_ddb_compare(left, low), b = sl_ddb_compare(left, high);
        return (a == 0 || a == 1) && (b == 0 || b == -1);
    }
    if (sl_ddb_take(p, "IN")) {
        bool hit = false;
        if (!sl_ddb_expect(p, "("))
            return false;
        do
            hit |= sl_ddb_compare(left, operand(p)) == 0;
        while (!p->failed && sl_ddb_take(p, ","));
        return sl_ddb_expect(p, ")") && hit;
    }
    static const char *const operators[] = { "<>", "<=", ">=", "=", "<", ">" };
    for (size_t i = 0; i < SL_COUNT(operators); i++) {
        if (!sl_ddb_take(p, operators[i]))
            continue;
        const sl_val *right = operand(p);
        int c = sl_ddb_compare(left, right);
        note_key(p, before, strcmp(operators[i], "=") == 0, right);
        const bool results[] = { c != 0, c == -1 || c == 0, c == 0 || c == 1, c == 0, c == -1, c == 1 };
        return results[i];
    }
    return sl_ddb_fail(p, "an operator is expected");
}

static bool primary(parser *p)
{
    if (++p->depth > DEPTH_MAX)
        return sl_ddb_fail(p, "it is nested too deeply");
    bool ret;
    if (sl_ddb_take(p, "NOT"))
        ret = !primary(p);
    else if (sl_ddb_take(p, "(")) {
        ret = condition(p);
        (void)sl_ddb_expect(p, ")");
    } else
        ret = is_function(sl_ddb_peek(p)) ? function(p, sl_ddb_peek(p)) : comparison(p);
    p->depth--;
    return ret && !p->failed;
}

static bool conjunction(parser *p)
{
    bool ret = primary(p);
    while (!p->failed && sl_ddb_take(p, "AND"))
        ret &= primary(p);
    return ret;
}

static bool condition(parser *p)
{
    bool ret = conjunction(p);
    while (!p->failed && sl_ddb_take(p, "OR"))
        ret |= conjunction(p);
    return ret;
}

bool sl_ddb_end(parser *p)
{
    blanks(p);
    return p->rest.n == 0;
}

static bool run(parser *p)
{
    bool ret = condition(p);
    if (!p->failed && !sl_ddb_end(p))
        sl_ddb_fail(p, "the end is expected");
    return ret;
}

bool sl_ddb_holds(sl_arena *arena, sl_str expression, const sl_ddb_names *n, const sl_val *item, bool *ret, sl_refusal *why)
{
    parser p = { .arena = arena, .rest = expression, .n = n, .item = item, .why = why };
    *ret = true;
    if (sl_str_trim(expression).n == 0)
        return true;
    *ret = run(&p);
    return !p.failed;
}

const sl_val *sl_ddb_key_asked(sl_arena *arena, sl_str expression, const sl_ddb_names *n, sl_str key, sl_refusal *why)
{
    parser p = { .arena = arena, .rest = expression, .n = n, .why = why, .key = key };
    (void)run(&p);
    return p.failed ? NULL : p.key_value;
}

/* ---- projections ---- */

/* {name or [index]: true, or more of these} of all paths. */
static void wish(sl_arena *a, sl_val *tree, const sl_val *path, size_t step)
{
    const sl_val *at = sl_at(path, step);
    sl_str name = at->type == SL_INT ? sl_fmt(a, "[%lld]", (long long)at->i) : at->s;
    const sl_val *below = sl_get_str(tree, name);
    if (step + 1 == sl_val_count(path)) {
        sl_map_set(a, tree, name, &sl_true_val);
        return;
    }
    if (below != NULL && below->type != SL_MAP)
        return; /* all of it is there */
    sl_val *own = sl_map_shallow(a, below);
    wish(a, own, path, step + 1);
    sl_map_set(a, tree, name, own);
}

/* top: v is an item. NULL: nothing of it. */
static const sl_val *granted(sl_arena *a, const sl_val *tree, const sl_val *v, bool top)
{
    const sl_val *map = top ? v : sl_get(v, "M"), *list = top ? NULL : sl_get(v, "L"), *part;
    if (tree->type != SL_MAP || v == NULL)
        return v;
    sl_val *out = list != NULL ? sl_list(a) : sl_map(a);
    for (size_t i = 0; i < sl_val_count(tree) && map != NULL; i++)
        if ((part = granted(a, tree->map.entries[i].value, sl_get_str(map, tree->map.entries[i].key), false)) != NULL)
            sl_map_set(a, out, tree->map.entries[i].key, part);
    for (size_t i = 0; i < sl_val_count(list); i++) {
        const sl_val *wanted = sl_get_str(tree, sl_fmt(a, "[%zu]", i));
        if (wanted != NULL && (part = granted(a, wanted, sl_at(list, i), false)) != NULL)
            sl_list_add(a, out, part);
    }
    if (top)
        return out;
    return sl_val_count(out) > 0 ? sl_map_of(a, list != NULL ? "L" : "M", out) : NULL;
}

sl_val *sl_ddb_pick(sl_arena *a, const sl_val *paths, const sl_val *item)
{
    sl_val *tree = sl_map(a);
    for (size_t i = 0; i < sl_val_count(paths); i++)
        wish(a, tree, sl_at(paths, i), 0);
    return sl_map_shallow(a, granted(a, tree, item, true));
}

bool sl_ddb_project(sl_arena *arena, sl_str expression, const sl_ddb_names *n, const sl_val *item, const sl_val **ret, sl_refusal *why)
{
    parser p = { .arena = arena, .rest = expression, .n = n, .item = item, .why = why };
    sl_val *paths = sl_list(arena);
    *ret = item;
    if (sl_str_trim(expression).n == 0)
        return true;
    do
        sl_list_add(arena, paths, sl_ddb_path(&p));
    while (!p.failed && sl_ddb_take(&p, ","));
    if (!p.failed && !sl_ddb_end(&p))
        sl_ddb_fail(&p, "the end is expected");
    *ret = p.failed ? NULL : sl_ddb_pick(arena, paths, item);
    return !p.failed;
}
