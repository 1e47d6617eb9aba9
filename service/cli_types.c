/* service/cli_types.c: `sluice schema` and `sluice plugins`: the option tables of all types, for people and editors. */
#include "base/arena.h"
#include "base/json.h"
#include "service/cli.h"
#include "service/types.h"

static int schema(sl_cli *c)
{
    sl_type_entry e;
    if (c->word_count > 0 && !sl_type_find(c->arena, &sl_all_connectors, sl_str_c(c->words[0]), &e))
        return sl_cli_fail(2, "there is no type '%s'; `sluice plugins` lists them", c->words[0]);
    const sl_val *out = c->word_count > 0 ? sl_type_schema(c->arena, &e) : sl_flow_schema(c->arena, &sl_all_connectors);
    sl_cli_print("%.*s\n", SL_ARG(sl_json_pretty(c->arena, out)));
    return 0;
}

static const sl_cli_opt no_opts[] = { { 0 } };

const sl_command sl_command_schema = { "schema", "[TYPE]", "Prints the JSON Schema of a type of tasks or triggers, or of whole flows.", no_opts, 0, 1, schema };

static void print_type(void *self, const sl_type_entry *e)
{
    (void)self;
    sl_cli_print("%-62s %s\n", e->type, e->doc);
}

typedef struct listing {
    sl_arena *arena;
    sl_val *types;
} listing;

static void add_type(void *self, const sl_type_entry *e)
{
    listing *l = self;
    sl_val *v = sl_map(l->arena);
    sl_map_set_str(l->arena, v, "type", sl_str_c(e->type));
    sl_map_set_str(l->arena, v, "kind", sl_str_c(e->kind));
    sl_map_set_str(l->arena, v, "description", sl_str_c(e->doc));
    sl_map_set_bool(l->arena, v, "flowable", strcmp(e->kind, "flowable") == 0);
    sl_list_add(l->arena, l->types, v);
}

static int plugins(sl_cli *c)
{
    listing l = { c->arena, sl_list(c->arena) };
    sl_types_each(&sl_all_connectors, c->json ? add_type : print_type, &l);
    if (c->json)
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, l.types)));
    return 0;
}

const sl_command sl_command_plugins = { "plugins", "", "Lists the types of tasks and triggers.", no_opts, 0, 0, plugins };
