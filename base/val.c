/* base/val.c: see val.h. */
#include "base/val.h"

#include "base/arena.h"
#include "base/json.h"

const sl_val sl_null_val = { .type = SL_NULL };
const sl_val sl_true_val = { .type = SL_BOOL, .b = true };
const sl_val sl_false_val = { .type = SL_BOOL, .b = false };

static sl_val *val_new(sl_arena *arena, sl_type type)
{
    sl_val *v = SL_NEW(arena, sl_val);
    v->type = type;
    return v;
}

const sl_val *sl_val_bool(bool b)
{
    return b ? &sl_true_val : &sl_false_val;
}

sl_val *sl_val_int(sl_arena *arena, int64_t i)
{
    sl_val *v = val_new(arena, SL_INT);
    v->i = i;
    return v;
}

sl_val *sl_val_double(sl_arena *arena, double d)
{
    sl_val *v = val_new(arena, SL_DOUBLE);
    v->d = d;
    return v;
}

const sl_val *sl_val_decimal(sl_arena *a, sl_str s)
{
    double d;
    int64_t i;
    if (sl_parse_int(s, &i))
        return sl_val_int(a, i);
    size_t digits = 0;
    for (size_t k = 0; k < s.n; k++)
        digits += s.p[k] >= '0' && s.p[k] <= '9';
    return digits <= 15 && sl_parse_double(s, &d) ? sl_val_double(a, d) : sl_val_str(a, s);
}

sl_val *sl_val_str(sl_arena *arena, sl_str s)
{
    sl_val *v = val_new(arena, SL_STRING);
    v->s = s.p ? s : (sl_str){ "", 0 };
    return v;
}

sl_val *sl_val_c(sl_arena *arena, const char *text)
{
    return sl_val_str(arena, sl_str_dup(arena, sl_str_c(text)));
}

sl_val *sl_val_time(sl_arena *arena, sl_time t)
{
    sl_val *v = val_new(arena, SL_TIME);
    v->t = t;
    return v;
}

sl_val *sl_val_duration(sl_arena *arena, int64_t ms)
{
    sl_val *v = val_new(arena, SL_DURATION);
    v->i = ms;
    return v;
}

sl_val *sl_list(sl_arena *arena)
{
    return val_new(arena, SL_LIST);
}

sl_val *sl_map(sl_arena *arena)
{
    return val_new(arena, SL_MAP);
}

void sl_list_add(sl_arena *arena, sl_val *list, const sl_val *item)
{
    sl_assert(list->type == SL_LIST && item != NULL);
    if (list->list.n == list->list.capacity) {
        size_t old = list->list.capacity, wanted = old ? old * 2 : 4;
        list->list.items = sl_realloc(arena, list->list.items, old * sizeof(sl_val *), wanted * sizeof(sl_val *));
        list->list.capacity = wanted;
    }
    list->list.items[list->list.n++] = item;
}

enum { INDEX_FROM = 16 };

static void index_add(sl_val *map, size_t entry)
{
    size_t slot = (size_t)sl_str_hash(map->map.entries[entry].key) & (map->map.index_size - 1);
    while (map->map.index[slot] != 0)
        slot = (slot + 1) & (map->map.index_size - 1);
    __atomic_store_n(&map->map.index[slot], (uint32_t)entry + 1, __ATOMIC_RELAXED); /* a view may be looking (sl_map_view) */
}

static void index_build(sl_arena *arena, sl_val *map)
{
    size_t size = 64;
    while (size < map->map.capacity * 2)
        size *= 2;
    map->map.index = SL_ARRAY(arena, uint32_t, size);
    map->map.index_size = size;
    for (size_t i = 0; i < map->map.n; i++)
        index_add(map, i);
}

const sl_entry *sl_map_entry(const sl_val *map, sl_str key)
{
    if (map == NULL || map->type != SL_MAP)
        return NULL;
    if (map->map.index == NULL) {
        for (size_t i = 0; i < map->map.n; i++)
            if (sl_str_eq(map->map.entries[i].key, key))
                return &map->map.entries[i];
        return NULL;
    }
    size_t slot = (size_t)sl_str_hash(key) & (map->map.index_size - 1);
    for (uint32_t at; (at = __atomic_load_n(&map->map.index[slot], __ATOMIC_RELAXED)) != 0; slot = (slot + 1) & (map->map.index_size - 1))
        if (at <= map->map.n && sl_str_eq(map->map.entries[at - 1].key, key))
            return &map->map.entries[at - 1];
    return NULL;
}

const sl_val *sl_map_view(sl_arena *arena, const sl_val *map)
{
    sl_val *v = SL_NEW(arena, sl_val);
    *v = *map;
    return v;
}

void sl_map_set(sl_arena *arena, sl_val *map, sl_str key, const sl_val *value)
{
    sl_assert(map->type == SL_MAP && value != NULL);
    const sl_entry *old = sl_map_entry(map, key);
    if (old != NULL) {
        map->map.entries[old - map->map.entries].value = value;
        return;
    }
    if (map->map.n == map->map.capacity) {
        size_t have = map->map.capacity, wanted = have ? have * 2 : 4;
        map->map.entries = sl_realloc(arena, map->map.entries, have * sizeof(sl_entry), wanted * sizeof(sl_entry));
        map->map.capacity = wanted;
        if (wanted >= INDEX_FROM) {
            map->map.entries[map->map.n] = (sl_entry){ .key = key, .value = value };
            map->map.n++;
            index_build(arena, map);
            return;
        }
    }
    map->map.entries[map->map.n] = (sl_entry){ .key = key, .value = value };
    map->map.n++;
    if (map->map.index != NULL)
        index_add(map, map->map.n - 1);
}

/* Length and the bytes at either end choose one of 64 bits: a bit that is not set says that the key is new. */
static uint64_t key_bit(sl_str key)
{
    uint64_t first = 0, last = 0;
    size_t n = key.n < 8 ? key.n : 8;
    memcpy(&first, key.p, n);
    memcpy(&last, key.p + key.n - n, n);
    return UINT64_C(1) << (((first ^ last * 31 ^ key.n) * UINT64_C(0x9E3779B97F4A7C15)) >> 58);
}

void sl_map_put(sl_arena *arena, sl_val *map, sl_str key, const sl_val *value, uint64_t *seen)
{
    enum { LARGE = 64 };          /* an index is worth its while only when so many keys are looked for again */
    uint64_t bit = key.n > 0 ? key_bit(key) : 1;
    bool known = (*seen & bit) != 0;
    *seen |= bit;
    if (known || map->map.index != NULL || map->map.n >= LARGE) {
        sl_map_set(arena, map, key, value);
        return;
    }
    if (map->map.n == map->map.capacity) {
        size_t have = map->map.capacity, wanted = have ? have * 2 : 8;
        map->map.entries = sl_realloc(arena, map->map.entries, have * sizeof(sl_entry), wanted * sizeof(sl_entry));
        map->map.capacity = wanted;
    }
    map->map.entries[map->map.n++] = (sl_entry){ .key = key, .value = value };
}

void sl_map_setc(sl_arena *arena, sl_val *map, const char *key, const sl_val *value)
{
    sl_map_set(arena, map, sl_str_dup(arena, sl_str_c(key)), value);
}

void sl_map_set_str(sl_arena *arena, sl_val *map, const char *key, sl_str value)
{
    sl_map_setc(arena, map, key, sl_val_str(arena, sl_str_dup(arena, value)));
}

void sl_map_set_int(sl_arena *arena, sl_val *map, const char *key, int64_t value)
{
    sl_map_setc(arena, map, key, sl_val_int(arena, value));
}

void sl_map_set_bool(sl_arena *arena, sl_val *map, const char *key, bool value)
{
    sl_map_setc(arena, map, key, sl_val_bool(value));
}

void sl_map_opt_str(sl_arena *arena, sl_val *map, const char *key, sl_str value)
{
    if (value.n > 0)
        sl_map_set_str(arena, map, key, value);
}

void sl_map_opt(sl_arena *arena, sl_val *map, const char *key, const sl_val *value)
{
    if (value != NULL)
        sl_map_setc(arena, map, key, value);
}

sl_val *sl_map_of(sl_arena *arena, const char *key, const sl_val *value)
{
    sl_val *v = sl_map(arena);
    sl_map_setc(arena, v, key, value);
    return v;
}

bool sl_map_remove(sl_val *map, sl_str key)
{
    const sl_entry *e = sl_map_entry(map, key);
    if (e == NULL)
        return false;
    size_t at = (size_t)(e - map->map.entries);
    memmove(map->map.entries + at, map->map.entries + at + 1, (map->map.n - at - 1) * sizeof(sl_entry));
    map->map.n--;
    if (map->map.index != NULL) {
        memset(map->map.index, 0, map->map.index_size * sizeof(uint32_t));
        for (size_t i = 0; i < map->map.n; i++)
            index_add(map, i);
    }
    return true;
}

const sl_val *sl_get_str(const sl_val *v, sl_str key)
{
    const sl_entry *e = sl_map_entry(v, key);
    return e ? e->value : NULL;
}

const sl_val *sl_get(const sl_val *v, const char *key)
{
    return sl_get_str(v, sl_str_c(key));
}

const sl_val *sl_at(const sl_val *list, size_t index)
{
    return list != NULL && list->type == SL_LIST && index < list->list.n ? list->list.items[index] : NULL;
}

sl_str sl_text(const sl_val *v)
{
    return v != NULL && v->type == SL_STRING ? v->s : (sl_str){ "", 0 };
}

sl_str sl_get_text(const sl_val *v, const char *key)
{
    return sl_text(sl_get(v, key));
}

int64_t sl_get_int(const sl_val *v, const char *key, int64_t fallback)
{
    const sl_val *x = sl_get(v, key);
    int64_t i;
    if (x != NULL && x->type == SL_INT)
        return x->i;
    return x != NULL && x->type == SL_STRING && sl_parse_int(x->s, &i) ? i : fallback;
}

bool sl_get_bool(const sl_val *v, const char *key, bool fallback)
{
    const sl_val *x = sl_get(v, key);
    if (x != NULL && x->type == SL_STRING)
        return sl_str_eq(x->s, SL_S("true")) ? true : sl_str_eq(x->s, SL_S("false")) ? false : fallback;
    return x != NULL && x->type == SL_BOOL ? x->b : fallback;
}

size_t sl_val_count(const sl_val *v)
{
    if (v == NULL)
        return 0;
    return v->type == SL_LIST ? v->list.n : v->type == SL_MAP ? v->map.n : 0;
}

bool sl_is_null(const sl_val *v)
{
    return v == NULL || v->type == SL_NULL;
}

bool sl_is(const sl_val *v, sl_type type)
{
    return v != NULL && v->type == type;
}

const char *sl_type_name(sl_type type)
{
    static const char *const names[] = { "null", "boolean", "integer", "number", "string", "list", "map", "date", "duration" };
    return (size_t)type < SL_COUNT(names) ? names[type] : "?";
}

static bool list_eq(const sl_val *a, const sl_val *b)
{
    if (a->list.n != b->list.n)
        return false;
    for (size_t i = 0; i < a->list.n; i++)
        if (!sl_val_eq(a->list.items[i], b->list.items[i]))
            return false;
    return true;
}

static bool map_eq(const sl_val *a, const sl_val *b)
{
    if (a->map.n != b->map.n)
        return false;
    for (size_t i = 0; i < a->map.n; i++) {
        const sl_val *other = sl_get_str(b, a->map.entries[i].key);
        if (other == NULL || !sl_val_eq(a->map.entries[i].value, other))
            return false;
    }
    return true;
}

bool sl_val_eq(const sl_val *a, const sl_val *b)
{
    if ((a->type == SL_INT || a->type == SL_DOUBLE) && (b->type == SL_INT || b->type == SL_DOUBLE)) {
        if (a->type == SL_INT && b->type == SL_INT)
            return a->i == b->i;
        return (a->type == SL_INT ? (double)a->i : a->d) == (b->type == SL_INT ? (double)b->i : b->d);
    }
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case SL_NULL: return true;
    case SL_BOOL: return a->b == b->b;
    case SL_INT:
    case SL_DURATION: return a->i == b->i;
    case SL_DOUBLE: return a->d == b->d;
    case SL_STRING: return sl_str_eq(a->s, b->s);
    case SL_TIME: return a->t.s == b->t.s && a->t.ns == b->t.ns && a->t.kind == b->t.kind;
    case SL_LIST: return list_eq(a, b);
    case SL_MAP: return map_eq(a, b);
    }
    return false;
}

const sl_val *sl_val_copy(sl_arena *arena, const sl_val *v)
{
    if (v == NULL)
        return NULL;
    if (v == &sl_null_val || v == &sl_true_val || v == &sl_false_val)
        return v;
    sl_val *c = val_new(arena, v->type);
    *c = *v;
    if (v->type == SL_STRING)
        c->s = sl_str_dup(arena, v->s);
    if ((v->type == SL_BOOL || v->type == SL_INT || v->type == SL_DOUBLE) && v->written.p != NULL)
        c->written = sl_str_dup(arena, v->written);
    if (v->type == SL_LIST) {
        c->list.capacity = c->list.n;
        c->list.items = SL_ARRAY(arena, const sl_val *, v->list.n);
        for (size_t i = 0; i < v->list.n; i++)
            c->list.items[i] = sl_val_copy(arena, v->list.items[i]);
    }
    if (v->type == SL_MAP) {
        memset(&c->map, 0, sizeof c->map);
        for (size_t i = 0; i < v->map.n; i++) {
            const sl_entry *e = &v->map.entries[i];
            sl_map_set(arena, c, sl_str_dup(arena, e->key), sl_val_copy(arena, e->value));
            c->map.entries[c->map.n - 1].line = e->line;
            c->map.entries[c->map.n - 1].column = e->column;
        }
    }
    return c;
}

sl_val *sl_map_shallow(sl_arena *arena, const sl_val *map)
{
    sl_val *c = sl_map(arena);
    if (map == NULL || map->type != SL_MAP)
        return c;
    c->line = map->line;
    c->column = map->column;
    for (size_t i = 0; i < map->map.n; i++) {
        sl_map_set(arena, c, map->map.entries[i].key, map->map.entries[i].value);
        c->map.entries[c->map.n - 1].line = map->map.entries[i].line;
        c->map.entries[c->map.n - 1].column = map->map.entries[i].column;
    }
    return c;
}

sl_str sl_val_written(sl_arena *arena, const sl_val *v)
{
    bool scalar = v->type == SL_BOOL || v->type == SL_INT || v->type == SL_DOUBLE;
    return scalar && v->written.p != NULL ? v->written : sl_val_text(arena, v);
}

sl_str sl_val_text(sl_arena *arena, const sl_val *v)
{
    if (v == NULL)
        return SL_S("");
    switch (v->type) {
    case SL_NULL: return SL_S("");
    case SL_BOOL: return v->b ? SL_S("true") : SL_S("false");
    case SL_INT: return sl_fmt(arena, "%lld", (long long)v->i);
    case SL_DOUBLE: return sl_double_text(arena, v->d);
    case SL_STRING: return v->s;
    case SL_TIME: return sl_time_java(arena, v->t);
    case SL_DURATION: return sl_duration_text(arena, v->i);
    case SL_LIST:
    case SL_MAP: return sl_json_text(arena, v);
    }
    return SL_S("");
}
