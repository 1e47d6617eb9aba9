/* service/types.c: see types.h. */
#include "service/types.h"

#include "base/arena.h"
#include "flows/trigger.h"

const sl_val *sl_type_schema(sl_arena *a, const sl_type_entry *e)
{
    const sl_val *own = sl_opt_schema(a, e->opts), *shared = e->common ? sl_opt_schema(a, e->common) : sl_map(a);
    sl_val *out = sl_map(a), *properties = sl_map_shallow(a, sl_get(shared, "properties"));
    for (size_t i = 0; i < sl_val_count(sl_get(own, "properties")); i++)
        sl_map_set(a, properties, sl_get(own, "properties")->map.entries[i].key, sl_get(own, "properties")->map.entries[i].value);
    sl_val *constant = sl_map(a);
    sl_map_set_str(a, constant, "const", sl_str_c(e->type));
    sl_map_setc(a, properties, "type", constant);
    sl_val *required = sl_list(a);
    for (int pass = 0; pass < 2; pass++) {
        const sl_val *list = sl_get(pass ? own : shared, "required");
        for (size_t i = 0; i < sl_val_count(list); i++)
            sl_list_add(a, required, sl_at(list, i));
    }
    sl_map_set_str(a, out, "title", sl_str_c(e->type));
    sl_map_set_str(a, out, "description", sl_str_c(e->doc));
    sl_map_set_str(a, out, "type", SL_S("object"));
    sl_map_setc(a, out, "properties", properties);
    sl_map_setc(a, out, "required", required);
    sl_map_set_bool(a, out, "additionalProperties", false);
    return out;
}

void sl_types_each(const sl_registry *registry, void (*fn)(void *self, const sl_type_entry *e), void *self)
{
    for (const sl_flowable_type *f = sl_flowable_types; f->type != NULL; f++)
        fn(self, &(sl_type_entry){ f->type, f->doc, "flowable", f->opts, sl_common_opts, f->outs });
    for (const sl_connector *const *k = registry->connectors; *k != NULL; k++)
        for (const sl_task_type *const *t = (*k)->tasks; *t != NULL; t++)
            fn(self, &(sl_type_entry){ (*t)->type, (*t)->doc, "task", (*t)->opts, sl_common_opts, (*t)->outs });
    for (const sl_trigger_type *t = sl_trigger_types; t->type != NULL; t++)
        fn(self, &(sl_type_entry){ t->type, t->doc, "trigger", t->opts, NULL, NULL });
    for (const sl_connector *const *k = registry->connectors; *k != NULL; k++)
        for (const sl_task_type *const *t = (*k)->triggers; t != NULL && *t != NULL; t++)
            fn(self, &(sl_type_entry){ (*t)->type, (*t)->doc, "trigger", (*t)->opts, sl_polling_opts, (*t)->outs });
}

typedef struct search {
    sl_str task, trigger;
    sl_type_entry *ret;
    bool found;
} search;

static void compare(void *self, const sl_type_entry *e)
{
    search *s = self;
    if (!sl_str_eqc(strcmp(e->kind, "trigger") == 0 ? s->trigger : s->task, e->type))
        return;
    *s->ret = *e;
    s->found = true;
}

bool sl_type_find(sl_arena *arena, const sl_registry *registry, sl_str name, sl_type_entry *ret)
{
    search s = { sl_type_canonical(arena, registry, name), sl_trigger_canonical(arena, registry, name), ret, false };
    sl_types_each(registry, compare, &s);
    return s.found;
}

/* ---- of a flow ---- */

static const sl_val *array_of(sl_arena *a, const char *ref)
{
    sl_val *list = sl_map(a);
    sl_map_set_str(a, list, "type", SL_S("array"));
    sl_map_setc(a, list, "items", sl_map_of(a, "$ref", sl_val_str(a, sl_str_c(ref))));
    return list;
}

typedef struct schemas {
    sl_arena *arena;
    sl_val *tasks, *triggers;
} schemas;

static void add_schema(void *self, const sl_type_entry *e)
{
    schemas *s = self;
    sl_list_add(s->arena, strcmp(e->kind, "trigger") == 0 ? s->triggers : s->tasks, sl_type_schema(s->arena, e));
}

const sl_val *sl_flow_schema(sl_arena *a, const sl_registry *registry)
{
    schemas s = { a, sl_list(a), sl_list(a) };
    sl_types_each(registry, add_schema, &s);
    const sl_val *flow = sl_opt_schema(a, sl_flow_opts);
    sl_val *doc = sl_map(a), *defs = sl_map(a), *properties = sl_map_shallow(a, sl_get(flow, "properties"));
    sl_map_setc(a, defs, "task", sl_map_of(a, "oneOf", s.tasks));
    sl_map_setc(a, defs, "trigger", sl_map_of(a, "oneOf", s.triggers));
    sl_map_setc(a, properties, "tasks", array_of(a, "#/$defs/task"));
    sl_map_setc(a, properties, "triggers", array_of(a, "#/$defs/trigger"));
    sl_map_set_str(a, doc, "$schema", SL_S("https://json-schema.org/draft/2020-12/schema"));
    sl_map_set_str(a, doc, "title", SL_S("Sluice flow"));
    for (size_t i = 0; i < flow->map.n; i++)
        sl_map_set(a, doc, flow->map.entries[i].key, flow->map.entries[i].value);
    sl_map_setc(a, doc, "properties", properties);
    sl_map_setc(a, doc, "$defs", defs);
    return doc;
}
