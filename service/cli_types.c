/* service/cli_types.c: `sluice schema` and `sluice plugins`: the option tables of all types, for people and editors. */
#include "base/arena.h"
#include "base/json.h"
#include "flows/trigger.h"
#include "service/cli.h"

/* One type of a task or a trigger. */
typedef struct type_entry {
    const char *type, *doc, *kind;       /* kind: task, flowable or trigger */
    const sl_opt *opts, *common;         /* common: NULL = opts has all */
} type_entry;

static const sl_val *type_schema(sl_arena *a, const type_entry *e)
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

typedef void (*each_type)(void *self, const type_entry *e);

static void for_each_type(each_type fn, void *self)
{
    for (const sl_flowable_type *f = sl_flowable_types; f->type != NULL; f++)
        fn(self, &(type_entry){ f->type, f->doc, "flowable", f->opts, sl_common_opts });
    for (const sl_connector *const *k = sl_all_connectors.connectors; *k != NULL; k++)
        for (const sl_task_type *const *t = (*k)->tasks; *t != NULL; t++)
            fn(self, &(type_entry){ (*t)->type, (*t)->doc, "task", (*t)->opts, sl_common_opts });
    for (const sl_trigger_type *t = sl_trigger_types; t->type != NULL; t++)
        fn(self, &(type_entry){ t->type, t->doc, "trigger", t->opts, NULL });
    for (const sl_connector *const *k = sl_all_connectors.connectors; *k != NULL; k++)
        for (const sl_task_type *const *t = (*k)->triggers; t != NULL && *t != NULL; t++)
            fn(self, &(type_entry){ (*t)->type, (*t)->doc, "trigger", (*t)->opts, sl_polling_opts });
}

typedef struct schema_self {
    sl_arena *arena;
    sl_str wanted;
    const sl_val *found;
    sl_val *tasks, *triggers;
} schema_self;

static void add_schema(void *self, const type_entry *e)
{
    schema_self *s = self;
    if (s->wanted.n == 0)
        sl_list_add(s->arena, strcmp(e->kind, "trigger") == 0 ? s->triggers : s->tasks, type_schema(s->arena, e));
    else if (sl_str_eqc(s->wanted, e->type))
        s->found = type_schema(s->arena, e);
}

static const sl_val *array_of(sl_arena *a, const char *ref)
{
    sl_val *list = sl_map(a);
    sl_map_set_str(a, list, "type", SL_S("array"));
    sl_map_setc(a, list, "items", sl_map_of(a, "$ref", sl_val_str(a, sl_str_c(ref))));
    return list;
}

static const sl_val *flow_schema(sl_arena *a, const schema_self *s)
{
    const sl_val *flow = sl_opt_schema(a, sl_flow_opts);
    sl_val *doc = sl_map(a), *defs = sl_map(a), *properties = sl_map_shallow(a, sl_get(flow, "properties"));
    sl_map_setc(a, defs, "task", sl_map_of(a, "oneOf", s->tasks));
    sl_map_setc(a, defs, "trigger", sl_map_of(a, "oneOf", s->triggers));
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

static int schema(sl_cli *c)
{
    schema_self s = { .arena = c->arena, .tasks = sl_list(c->arena), .triggers = sl_list(c->arena) };
    if (c->word_count > 0)
        s.wanted = sl_type_canonical(c->arena, &sl_all_connectors, sl_str_c(c->words[0]));
    for_each_type(add_schema, &s);
    const sl_val *out = s.wanted.n == 0 ? flow_schema(c->arena, &s) : s.found;
    if (out == NULL)
        return sl_cli_fail(2, "there is no type '%s'; `sluice plugins` lists them", c->words[0]);
    sl_cli_print("%.*s\n", SL_ARG(sl_json_pretty(c->arena, out)));
    return 0;
}

static const sl_cli_opt no_opts[] = { { 0 } };

const sl_command sl_command_schema = { "schema", "[TYPE]", "Prints the JSON Schema of a type of tasks or triggers, or of whole flows.", no_opts, 0, 1, schema };

static void add_plugin(void *self, const type_entry *e)
{
    schema_self *s = self;
    if (s->tasks == NULL) {
        sl_cli_print("%-62s %s\n", e->type, e->doc);
        return;
    }
    sl_val *v = sl_map(s->arena);
    sl_map_set_str(s->arena, v, "type", sl_str_c(e->type));
    sl_map_set_str(s->arena, v, "kind", sl_str_c(e->kind));
    sl_map_set_str(s->arena, v, "description", sl_str_c(e->doc));
    sl_map_set_bool(s->arena, v, "flowable", strcmp(e->kind, "flowable") == 0);
    sl_list_add(s->arena, s->tasks, v);
}

static int plugins(sl_cli *c)
{
    schema_self s = { .arena = c->arena, .tasks = c->json ? sl_list(c->arena) : NULL };
    for_each_type(add_plugin, &s);
    if (c->json)
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, s.tasks)));
    return 0;
}

const sl_command sl_command_plugins = { "plugins", "", "Lists the types of tasks and triggers.", no_opts, 0, 0, plugins };
