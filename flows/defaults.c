/* flows/defaults.c: plugin defaults (flow language section 2.9). */
#include "base/arena.h"
#include "flows/model.h"

typedef struct rule {
    struct rule *next;
    sl_str type;
    bool forced, server;
    const sl_val *values;
    size_t order;
} rule;

typedef struct applier {
    sl_arena *arena;
    const sl_registry *registry;
    rule *rules;
    size_t count;
} applier;

static void add_rules(applier *a, const sl_val *list, bool server, sl_problems *problems)
{
    if (!sl_is_null(list) && !sl_is(list, SL_LIST)) {
        sl_problem_add(problems, list->line, list->column, "'pluginDefaults' must be a list of {type, values}");
        return;
    }
    for (size_t i = 0; i < sl_val_count(list); i++) {
        const sl_val *entry = sl_at(list, i), *values = sl_get(entry, "values");
        sl_str type = sl_get_text(entry, "type");
        if (type.n == 0 || !sl_is(values, SL_MAP)) {
            sl_problem_add(problems, entry->line, entry->column, "pluginDefaults[%zu]: 'type' and 'values' are needed", i);
            continue;
        }
        rule *r = SL_NEW(a->arena, rule);
        *r = (rule){ .type = sl_type_canonical(a->arena, a->registry, type), .forced = sl_get_bool(entry, "forced", false), .server = server, .values = values, .order = a->count++ };
        rule **at = &a->rules;
        /* The most specific first, then as listed; the flow's before the server's. */
        while (*at != NULL && ((*at)->type.n > r->type.n || ((*at)->type.n == r->type.n && (*at)->order < r->order)))
            at = &(*at)->next;
        r->next = *at;
        *at = r;
    }
}

static const sl_val *merge(applier *a, const sl_val *high, const sl_val *low, bool low_first);

/* Entries that come from a default have no position: the checker knows them by that. */
static void put(applier *a, sl_val *map, sl_str key, const sl_val *value, bool from_default, const sl_entry *place)
{
    sl_map_set(a->arena, map, key, value);
    sl_entry *e = (sl_entry *)(uintptr_t)sl_map_entry(map, key);
    e->line = from_default ? 0 : place->line;
    e->column = from_default ? 0 : place->column;
}

static const sl_val *merge_lists(applier *a, const sl_val *first, const sl_val *second)
{
    sl_val *out = sl_list(a->arena);
    out->line = first->line;
    out->column = first->column;
    for (size_t i = 0; i < first->list.n; i++)
        sl_list_add(a->arena, out, first->list.items[i]);
    for (size_t i = 0; i < second->list.n; i++)
        sl_list_add(a->arena, out, second->list.items[i]);
    return out;
}

/* `high` wins for scalars; low_first: the low one's list items come first. */
static const sl_val *merge(applier *a, const sl_val *high, const sl_val *low, bool low_first)
{
    if (high->type == SL_NULL)
        return low;
    if (low->type == SL_NULL)
        return high;
    if (high->type == SL_LIST && low->type == SL_LIST)
        return low_first ? merge_lists(a, low, high) : merge_lists(a, high, low);
    if (high->type != SL_MAP || low->type != SL_MAP)
        return high;
    sl_val *out = sl_map_shallow(a->arena, high);
    for (size_t i = 0; i < low->map.n; i++) {
        const sl_entry *e = &low->map.entries[i];
        const sl_entry *own = sl_map_entry(high, e->key);
        if (own == NULL)
            put(a, out, e->key, e->value, true, e);
        else
            put(a, out, e->key, merge(a, own->value, e->value, low_first), own->line == 0, own);
    }
    return out;
}

static bool matches(const rule *r, sl_str type)
{
    return sl_str_starts(type, r->type);
}

/* Lowest to highest: server's, flow's, the task's own, flow's forced, server's forced (the flow's forced wins over it). */
static const sl_val *apply_rules(applier *a, const sl_val *map, sl_str type)
{
    sl_val *defaults = sl_map(a->arena), *forced = sl_map(a->arena);
    const sl_val *d = defaults, *f = forced;
    for (int server = 0; server <= 1; server++)
        for (const rule *r = a->rules; r != NULL; r = r->next)
            if (r->server == (server == 1) && matches(r, type)) {
                if (r->forced)
                    f = merge(a, f, r->values, false);
                else
                    d = merge(a, d, r->values, true);
            }
    const sl_val *out = sl_val_count(d) ? merge(a, map, d, true) : map;
    if (sl_val_count(f) == 0)
        return out;
    sl_val *result = sl_map_shallow(a->arena, out);
    for (size_t i = 0; i < f->map.n; i++) {
        const sl_entry *e = &f->map.entries[i], *own = sl_map_entry(out, e->key);
        const sl_val *v = own && (own->value->type == SL_MAP || own->value->type == SL_LIST) ? merge(a, e->value, own->value, true) : e->value;
        put(a, result, e->key, v, own == NULL || own->line == 0, own ? own : e);
    }
    return result;
}

static const sl_val *walk(applier *a, const sl_val *v)
{
    if (v->type == SL_LIST) {
        sl_val *out = sl_list(a->arena);
        out->line = v->line;
        out->column = v->column;
        for (size_t i = 0; i < v->list.n; i++)
            sl_list_add(a->arena, out, walk(a, v->list.items[i]));
        return out;
    }
    if (v->type != SL_MAP)
        return v;
    const sl_val *type = sl_get(v, "type");
    if (sl_is(type, SL_STRING) && sl_str_find(type->s, SL_S(".")) > 0)
        v = apply_rules(a, v, sl_type_canonical(a->arena, a->registry, type->s));
    sl_val *out = sl_map(a->arena);
    out->line = v->line;
    out->column = v->column;
    for (size_t i = 0; i < v->map.n; i++) {
        const sl_entry *e = &v->map.entries[i];
        put(a, out, e->key, walk(a, e->value), e->line == 0, e);
    }
    return out;
}

const sl_val *sl_defaults_apply(sl_arena *arena, const sl_registry *registry, const sl_val *flow, const sl_val *server, sl_problems *problems)
{
    applier a = { .arena = arena, .registry = registry };
    const sl_val *own = sl_get(flow, "pluginDefaults");
    add_rules(&a, own ? own : sl_get(flow, "taskDefaults"), false, problems);
    add_rules(&a, server, true, problems);
    if (a.rules == NULL)
        return flow;
    sl_val *out = sl_map(arena);
    out->line = flow->line;
    out->column = flow->column;
    for (size_t i = 0; i < flow->map.n; i++) {
        const sl_entry *e = &flow->map.entries[i];
        bool skip = sl_str_eqc(e->key, "pluginDefaults") || sl_str_eqc(e->key, "taskDefaults");
        put(&a, out, e->key, skip ? e->value : walk(&a, e->value), false, e);
    }
    return out;
}
