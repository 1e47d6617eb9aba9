/* service/api/plugins.c: the types of tasks and triggers, their documentation and schemas. */
#include "base/arena.h"
#include "base/fs.h"
#include "service/api/api.h"
#include "service/types.h"

/* io.kestra.plugin.gcp.gcs.Upload -> io.kestra.plugin.gcp; io.sluice.csv.Inspect -> io.sluice.csv */
static sl_str group_of(const char *type)
{
    bool own = sl_str_starts(sl_str_c(type), SL_S("io.sluice."));
    int dots = own ? 3 : 4;
    size_t n = 0;
    for (; type[n] != '\0'; n++)
        if (type[n] == '.' && --dots == 0)
            break;
    return (sl_str){ type, n };
}

typedef struct groups {
    sl_arena *arena;
    sl_val *by_name;
} groups;

static void add_type(void *self, const sl_type_entry *e)
{
    groups *g = self;
    sl_str name = group_of(e->type);
    sl_val *group = (sl_val *)(uintptr_t)sl_get_str(g->by_name, name);
    if (group == NULL) {
        group = sl_map(g->arena);
        sl_map_set_str(g->arena, group, "name", name);
        sl_map_set_str(g->arena, group, "title", sl_path_extension(name).n ? sl_str_sub(sl_path_extension(name), 1, name.n) : name);
        sl_map_set_str(g->arena, group, "group", name);
        sl_map_set_str(g->arena, group, "version", SL_S(SL_VERSION));
        sl_map_setc(g->arena, group, "tasks", sl_list(g->arena));
        sl_map_setc(g->arena, group, "triggers", sl_list(g->arena));
        sl_map_set(g->arena, g->by_name, name, group);
    }
    sl_val *one = sl_map(g->arena);
    sl_map_set_str(g->arena, one, "cls", sl_str_c(e->type));
    sl_map_set_bool(g->arena, one, "deprecated", false);
    sl_map_set_str(g->arena, one, "title", sl_str_c(e->doc));
    sl_list_add(g->arena, (sl_val *)(uintptr_t)sl_get(group, strcmp(e->kind, "trigger") == 0 ? "triggers" : "tasks"), one);
}

static void list(sl_call *c)
{
    groups g = { c->arena, sl_map(c->arena) };
    sl_val *out = sl_list(c->arena);
    sl_types_each(sl_engine_registry(c->engine), add_type, &g);
    for (size_t i = 0; i < g.by_name->map.n; i++)
        sl_list_add(c->arena, out, g.by_name->map.entries[i].value);
    sl_reply(c, 200, out);
}

static void add_table(sl_buf *b, const char *title, const sl_opt *opts)
{
    if (opts == NULL || opts->type == SL_OPT_END)
        return;
    sl_buf_fmt(b, "\n## %s\n\n", title);
    for (const sl_opt *o = opts; o->type != SL_OPT_END; o++)
        sl_buf_fmt(b, "* `%s`%s: %s\n", o->name, o->flags & SL_REQUIRED ? " (required)" : "", o->doc);
}

static void one(sl_call *c)
{
    sl_type_entry e;
    if (!sl_type_find(c->arena, sl_engine_registry(c->engine), c->args[0], &e)) {
        sl_reply_error(c, 404, "Not Found: there is no type '%.*s'; GET /plugins lists them", SL_ARG(c->args[0]));
        return;
    }
    sl_buf b = sl_buf_new(c->arena, 1 << 20);
    sl_buf_fmt(&b, "# %s\n\n%s\n", e.type, e.doc);
    add_table(&b, "Properties", e.opts);
    add_table(&b, "Properties of all", e.common);
    add_table(&b, "Outputs", e.outputs);
    sl_val *out = sl_map(c->arena), *schema = sl_map_of(c->arena, "properties", sl_type_schema(c->arena, &e));
    sl_map_setc(c->arena, schema, "outputs", e.outputs ? sl_opt_schema(c->arena, e.outputs) : sl_map(c->arena));
    sl_map_setc(c->arena, schema, "definitions", sl_map(c->arena));
    sl_map_set_str(c->arena, out, "markdown", sl_buf_str(&b));
    sl_map_setc(c->arena, out, "schema", schema);
    sl_reply(c, 200, out);
}

static void flow_schema(sl_call *c)
{
    sl_reply(c, 200, sl_flow_schema(c->arena, sl_engine_registry(c->engine)));
}

const sl_api_route sl_api_plugins[] = {
    { "GET", "/plugins", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "Types of tasks and triggers, by group.", list },
    { "GET", "/plugins/schemas/flow", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "JSON Schema of a flow.", flow_schema },
    { "GET", "/plugins/{cls}", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "Documentation and JSON Schema of a type.", one },
    { 0 },
};
