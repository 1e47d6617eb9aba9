/*
 * local/dynamo_update.c: UpdateItem: SET, REMOVE, ADD and DELETE over an item. Every operand is what the item was before.
 * Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
 */
#include "base/arena.h"
#include "local/dynamo.h"

typedef struct change {
    const sl_val *path, *value;   /* value NULL: it goes */
} change;

typedef struct update {
    sl_ddb_parser p;
    change *changes;
    size_t n, capacity;
    sl_val *paths;
} update;

/* ---- what becomes of a path ---- */

static const sl_val *wrapped(sl_arena *a, const char *type, const sl_val *inner)
{
    return sl_map_of(a, type, inner);
}

/* Stands for an element of a list that goes, until all changes are made: the others keep their indexes. */
static const sl_val gone;

/* `v` with the rest of the path changed; NULL: the path leads nowhere. top: v is an item, not an AttributeValue. */
static const sl_val *changed(sl_arena *a, const sl_val *v, bool top, const change *c, size_t step)
{
    const sl_val *at = sl_at(c->path, step), *inner = top ? v : sl_get(v, at->type == SL_INT ? "L" : "M"), *next;
    bool last = step + 1 == sl_val_count(c->path);
    if (inner == NULL)
        return NULL;
    if (at->type == SL_INT) {
        size_t count = sl_val_count(inner), index = (size_t)at->i;
        sl_val *list = sl_list(a);
        if (!last && index >= count)
            return NULL;
        next = !last ? changed(a, sl_at(inner, index), false, c, step + 1) : c->value != NULL ? c->value : &gone;
        if (next == NULL)
            return NULL;
        for (size_t i = 0; i < count; i++)
            sl_list_add(a, list, i == index ? next : sl_at(inner, i));
        if (index >= count && next != &gone)
            sl_list_add(a, list, next); /* behind the end: at the end */
        return wrapped(a, "L", list);
    }
    sl_val *map = sl_map_shallow(a, inner);
    next = last ? c->value : changed(a, sl_get_str(inner, at->s), false, c, step + 1);
    if (next == NULL && !last)
        return NULL;
    if (next != NULL)
        sl_map_set(a, map, at->s, next);
    else
        (void)sl_map_remove(map, at->s);
    return top ? map : wrapped(a, "M", map);
}

/* Without the elements that go. top: v is an item. */
static const sl_val *pruned(sl_arena *a, const sl_val *v, bool top)
{
    const sl_val *map = top ? v : sl_get(v, "M"), *list = top ? NULL : sl_get(v, "L");
    sl_val *out = list != NULL ? sl_list(a) : sl_map(a);
    if (map == NULL && list == NULL)
        return v;
    for (size_t i = 0; i < sl_val_count(map); i++)
        sl_map_set(a, out, map->map.entries[i].key, pruned(a, map->map.entries[i].value, false));
    for (size_t i = 0; i < sl_val_count(list); i++)
        if (sl_at(list, i) != &gone)
            sl_list_add(a, out, pruned(a, sl_at(list, i), false));
    return top ? out : wrapped(a, list != NULL ? "L" : "M", out);
}

/* Is one path the other, or the beginning of it? */
static bool overlap(const sl_val *a, const sl_val *b)
{
    for (size_t i = 0; i < sl_val_count(a) && i < sl_val_count(b); i++)
        if (!sl_val_eq(sl_at(a, i), sl_at(b, i)))
            return false;
    return true;
}

static bool note(update *u, const sl_val *path, const sl_val *value)
{
    if (u->p.failed)
        return false;
    for (size_t i = 0; i < u->n; i++)
        if (overlap(u->changes[i].path, path))
            return sl_ddb_fail(&u->p, "Two document paths overlap with each other; they must be different");
    if (u->n == u->capacity) {
        u->changes = sl_realloc(u->p.arena, u->changes, u->n * sizeof *u->changes, (u->n + 16) * sizeof *u->changes);
        u->capacity += 16;
    }
    u->changes[u->n++] = (change){ path, value };
    sl_list_add(u->p.arena, u->paths, path);
    return true;
}

/* ---- SET ---- */

static const sl_val *operand(update *u);

static bool calls(update *u, const char *name)
{
    sl_ddb_parser before = u->p;
    if (sl_ddb_take(&u->p, name) && sl_ddb_take(&u->p, "("))
        return true;
    u->p = before; /* an attribute may have that name */
    return false;
}

static const sl_val *if_not_exists(update *u)
{
    const sl_val *there = sl_ddb_at(u->p.item, sl_ddb_path(&u->p)), *otherwise = sl_ddb_expect(&u->p, ",") ? operand(u) : NULL;
    (void)sl_ddb_expect(&u->p, ")");
    return there != NULL ? there : otherwise;
}

static const sl_val *list_append(update *u)
{
    const sl_val *first = operand(u), *second = sl_ddb_expect(&u->p, ",") ? operand(u) : NULL;
    sl_val *all = sl_list(u->p.arena);
    if (!sl_ddb_expect(&u->p, ")"))
        return NULL;
    if (!sl_str_eqc(sl_ddb_type(first), "L") || !sl_str_eqc(sl_ddb_type(second), "L")) {
        sl_ddb_fail(&u->p, "An operand of list_append is no list");
        return NULL;
    }
    for (int k = 0; k < 2; k++) {
        const sl_val *list = sl_get(k == 0 ? first : second, "L");
        for (size_t i = 0; i < sl_val_count(list); i++)
            sl_list_add(u->p.arena, all, sl_at(list, i));
    }
    return wrapped(u->p.arena, "L", all);
}

static const sl_val *operand(update *u)
{
    sl_str word = sl_ddb_peek(&u->p);
    const sl_val *v;
    if (++u->p.depth > 32) {
        sl_ddb_fail(&u->p, "it is nested too deeply");
        return NULL;
    }
    if (word.n > 0 && word.p[0] == ':')
        v = sl_ddb_value(&u->p);
    else if (calls(u, "if_not_exists"))
        v = if_not_exists(u);
    else if (calls(u, "list_append"))
        v = list_append(u);
    else
        v = sl_ddb_at(u->p.item, sl_ddb_path(&u->p));
    u->p.depth--;
    if (v == NULL && !u->p.failed)
        sl_ddb_fail(&u->p, "The provided expression refers to an attribute that does not exist in the item");
    return v;
}

static const sl_val *sum(update *u, const sl_val *a, const sl_val *b, bool minus)
{
    sl_str text;
    if (u->p.failed)
        return NULL;
    if (sl_str_eqc(sl_ddb_type(a), "N") && sl_str_eqc(sl_ddb_type(b), "N") && sl_ddb_sum(u->p.arena, sl_get_text(a, "N"), sl_get_text(b, "N"), minus, &text))
        return wrapped(u->p.arena, "N", sl_val_str(u->p.arena, text));
    sl_ddb_fail(&u->p, "An operand in the update expression has an incorrect data type, or the result has more than 38 digits");
    return NULL;
}

static bool set_one(update *u)
{
    const sl_val *path = sl_ddb_path(&u->p);
    if (!sl_ddb_expect(&u->p, "="))
        return false;
    const sl_val *v = operand(u);
    bool plus = sl_ddb_take(&u->p, "+"), minus = !plus && sl_ddb_take(&u->p, "-");
    if (plus || minus)
        v = sum(u, v, operand(u), minus);
    return note(u, path, v);
}

/* ---- REMOVE, ADD, DELETE ---- */

static bool remove_one(update *u)
{
    return note(u, sl_ddb_path(&u->p), NULL);
}

static bool among(const sl_val *set, const sl_val *v)
{
    for (size_t i = 0; i < sl_val_count(set); i++)
        if (sl_val_eq(sl_at(set, i), v))
            return true;
    return false;
}

/* Of two sets of one type: both together, or what is in the first alone. NULL: nothing is left. */
static const sl_val *sets(update *u, const sl_val *a, const sl_val *b, bool without)
{
    sl_str type = sl_ddb_type(b);
    const sl_val *x = sl_get_str(a, type), *y = sl_get_str(b, type);
    sl_val *out = sl_list(u->p.arena);
    for (size_t i = 0; i < sl_val_count(x); i++)
        if (!without || !among(y, sl_at(x, i)))
            sl_list_add(u->p.arena, out, sl_at(x, i));
    for (size_t i = 0; i < sl_val_count(y) && !without; i++)
        if (!among(x, sl_at(y, i)))
            sl_list_add(u->p.arena, out, sl_at(y, i));
    sl_val *v = sl_map(u->p.arena);
    sl_map_set(u->p.arena, v, type, out);
    return out->list.n > 0 ? v : NULL;
}

static bool add_or_delete(update *u, bool add)
{
    const sl_val *path = sl_ddb_path(&u->p), *v = sl_ddb_value(&u->p), *now = sl_ddb_at(u->p.item, path);
    if (u->p.failed)
        return false;
    sl_str type = sl_ddb_type(v);
    bool number = sl_str_eqc(type, "N"), set = type.n == 2 && type.p[1] == 'S';
    if (!(set || (number && add)) || (now != NULL && !sl_str_eq(sl_ddb_type(now), type)))
        return sl_ddb_fail(&u->p, add ? "ADD takes a number or a set, and what is there must be of the same type" : "DELETE takes a set, and what is there must be one of the same type");
    if (now == NULL)
        return add ? note(u, path, v) : !u->p.failed;
    return note(u, path, number ? sum(u, now, v, false) : sets(u, now, v, !add));
}

static bool add_one(update *u)
{
    return add_or_delete(u, true);
}

static bool delete_one(update *u)
{
    return add_or_delete(u, false);
}

static bool parse(update *u)
{
    static const struct {
        const char *word;
        bool (*one)(update *);
    } clauses[] = { { "SET", set_one }, { "REMOVE", remove_one }, { "ADD", add_one }, { "DELETE", delete_one } };
    bool seen[SL_COUNT(clauses)] = { false };
    while (!u->p.failed && !sl_ddb_end(&u->p)) {
        size_t i = 0;
        while (i < SL_COUNT(clauses) && !sl_ddb_take(&u->p, clauses[i].word))
            i++;
        if (i == SL_COUNT(clauses) || seen[i])
            return sl_ddb_fail(&u->p, i == SL_COUNT(clauses) ? "SET, REMOVE, ADD or DELETE is expected" : "a section may be there once only");
        seen[i] = true;
        while (clauses[i].one(u) && sl_ddb_take(&u->p, ","))
            ;
    }
    return !u->p.failed;
}

/* ---- the request ---- */

static bool apply(sl_ddb_call *x, const update *u, const sl_val **item)
{
    for (size_t i = 0; i < u->n; i++) {
        const sl_val *next = changed(x->a, *item, true, &u->changes[i], 0);
        if (next == NULL)
            return sl_ddb_invalid(x, "The document path provided in the update expression is invalid for update");
        *item = next;
    }
    *item = pruned(x->a, *item, true);
    return true;
}

static bool keys_stay(sl_ddb_call *x, const update *u, const sl_ddb_key *k)
{
    for (size_t i = 0; i < u->n; i++)
        if (sl_get_str(k->map, sl_at(u->changes[i].path, 0)->s) != NULL)
            return sl_refuse(&x->why, x->a, 400, SL_DDB_INVALID, "One or more parameter values were invalid: Cannot update attribute %.*s. This attribute is part of the key", SL_ARG(sl_at(u->changes[i].path, 0)->s));
    return true;
}

static bool tell(sl_ddb_call *x, const update *u, const sl_val *old, const sl_val *item)
{
    sl_str want = sl_get_text(x->body, "ReturnValues");
    const sl_val *shown = NULL;
    if (sl_str_eqc(want, "ALL_OLD"))
        shown = old;
    else if (sl_str_eqc(want, "ALL_NEW"))
        shown = item;
    else if (sl_str_eqc(want, "UPDATED_OLD") || sl_str_eqc(want, "UPDATED_NEW"))
        shown = sl_ddb_pick(x->a, u->paths, sl_str_eqc(want, "UPDATED_OLD") ? old : item);
    else if (want.n > 0 && !sl_str_eqc(want, "NONE"))
        return sl_ddb_invalid(x, "ReturnValues is NONE, ALL_OLD, UPDATED_OLD, ALL_NEW or UPDATED_NEW");
    if (sl_val_count(shown) > 0)
        sl_map_setc(x->a, x->answer, "Attributes", shown);
    return true;
}

bool sl_ddb_update_item(sl_ddb_call *x)
{
    sl_ddb_key k;
    const sl_val *old, *item;
    bool holds;
    sl_ddb_names n = sl_ddb_names_of(x);
    if (sl_get(x->body, "AttributeUpdates") != NULL || sl_get(x->body, "Expected") != NULL)
        return sl_ddb_invalid(x, "The local cloud knows UpdateExpression and ConditionExpression, not their older forms AttributeUpdates and Expected");
    if (!sl_ddb_need_table(x) || !sl_ddb_read_key(x, sl_get(x->body, "Key"), true, &k) || !sl_ddb_load(x, &k, &old) || !sl_ddb_holds(x->a, sl_get_text(x->body, "ConditionExpression"), &n, old, &holds, &x->why))
        return false;
    if (!holds)
        return sl_refuse(&x->why, x->a, 400, SL_DDB_ERROR "ConditionalCheckFailedException", "The conditional request failed");
    item = old != NULL ? old : k.map;
    update u = { .p = { .arena = x->a, .rest = sl_get_text(x->body, "UpdateExpression"), .n = &n, .item = item, .why = &x->why }, .paths = sl_list(x->a) };
    return parse(&u) && keys_stay(x, &u, &k) && apply(x, &u, &item) && sl_ddb_indexable(x, item) && tell(x, &u, old, item) && sl_ddb_store(x, &k, item);
}
