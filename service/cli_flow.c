/* service/cli_flow.c: `flow validate`, `render`, `schema`, `plugins`. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "flows/context.h"
#include "flows/input.h"
#include "service/cli.h"

static const sl_cli_opt no_opts[] = { { 0 } };

static sl_flow *parse_file(sl_cli *c, const char *path, sl_problems *problems, sl_err *err)
{
    sl_str source;
    if (!sl_fs_read(c->arena, path, SL_YAML_SIZE_MAX, &source, err)) {
        sl_problem_add(problems, 0, 0, "%s", err->message);
        return NULL;
    }
    return sl_flow_parse(c->arena, &sl_all_connectors, NULL, source, problems);
}

sl_flow *sl_cli_flow(sl_cli *c, const char *path)
{
    sl_problems problems = { .arena = c->arena };
    sl_err err;
    sl_flow *f = parse_file(c, path, &problems, &err);
    if (f == NULL)
        sl_cli_problems(path, &problems);
    return f;
}

static int validate(sl_cli *c)
{
    int rc = 0;
    sl_val *all = sl_list(c->arena);
    for (int i = 0; i < c->word_count; i++) {
        sl_problems problems = { .arena = c->arena };
        sl_err err;
        const sl_flow *f = parse_file(c, c->words[i], &problems, &err);
        rc |= f == NULL;
        if (c->json) {
            sl_val *one = sl_map(c->arena), *list = sl_list(c->arena);
            sl_map_set_str(c->arena, one, "file", sl_str_c(c->words[i]));
            sl_map_set_bool(c->arena, one, "valid", f != NULL);
            for (const sl_problem *p = problems.first; p != NULL; p = p->next) {
                sl_val *v = sl_map(c->arena);
                sl_map_set_int(c->arena, v, "line", p->line);
                sl_map_set_int(c->arena, v, "column", p->column);
                sl_map_set_str(c->arena, v, "message", p->message);
                sl_list_add(c->arena, list, v);
            }
            sl_map_setc(c->arena, one, "problems", list);
            sl_list_add(c->arena, all, one);
        } else if (f == NULL)
            sl_cli_problems(c->words[i], &problems);
        else
            sl_cli_print("%s: valid (%.*s.%.*s, %zu tasks)\n", c->words[i], SL_ARG(f->ns), SL_ARG(f->id), f->task_count);
    }
    if (c->json)
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, all)));
    return rc;
}

const sl_command sl_command_validate = { "flow validate", "FILE...", "Checks flows without running them; prints file:line:column: message.", no_opts, 1, 16, validate };

static int render(sl_cli *c)
{
    const sl_flow *flow = sl_cli_flow(c, c->words[0]);
    const sl_val *given, *inputs, *v;
    sl_err err;
    if (flow == NULL || !sl_cli_inputs(c, &given))
        return 2;
    sl_engine_options o = { .data_dir = c->data_dir, .registry = &sl_all_connectors, .workers = 1 };
    sl_engine *e = sl_engine_open(&o, &err);
    if (e == NULL)
        return sl_cli_error(1, &err);
    sl_expr_host host = sl_engine_host(e, c->arena, flow, SL_S("render"));
    sl_expr_env env = { .vars = sl_context_flow_vars(c->arena, flow, NULL), .host = &host };
    sl_problems problems = { .arena = c->arena };
    int rc = 0;
    if (!sl_inputs_resolve(c->arena, flow->inputs, given, &env, &inputs, &problems)) {
        sl_cli_problems(c->words[0], &problems);
        rc = 2;
    } else {
        sl_val *vars = sl_map_shallow(c->arena, env.vars);
        sl_map_setc(c->arena, vars, "inputs", inputs);
        env.vars = vars;
        if (!sl_render_typed(c->arena, &env, sl_str_c(c->words[1]), &v, &err))
            rc = sl_cli_error(1, &err);
        else
            sl_cli_print("%.*s\n", SL_ARG(c->json ? sl_json(c->arena, v) : sl_val_text(c->arena, v)));
    }
    sl_engine_close(e);
    return rc;
}

static const sl_cli_opt render_opts[] = {
    { "--input", "-i", "KEY=VALUE", true, "value of an input" },
    { "--input-json", NULL, "FILE", false, "inputs as a JSON map" },
    { 0 },
};

const sl_command sl_command_render = { "render", "FLOW.yaml EXPRESSION [-i key=value]...", "Shows what an expression gives with the flow's inputs, variables and values.", render_opts, 2, 2, render };

/* ---- tables ---- */

static const sl_val *type_schema(sl_arena *a, const char *type, const char *doc, const sl_opt *opts)
{
    const sl_val *own = sl_opt_schema(a, opts), *shared = sl_opt_schema(a, sl_common_opts);
    sl_val *out = sl_map(a), *properties = sl_map_shallow(a, sl_get(shared, "properties"));
    for (size_t i = 0; i < sl_val_count(sl_get(own, "properties")); i++)
        sl_map_set(a, properties, sl_get(own, "properties")->map.entries[i].key, sl_get(own, "properties")->map.entries[i].value);
    sl_val *constant = sl_map(a);
    sl_map_set_str(a, constant, "const", sl_str_c(type));
    sl_map_setc(a, properties, "type", constant);
    sl_val *required = sl_list(a);
    for (int pass = 0; pass < 2; pass++) {
        const sl_val *list = sl_get(pass ? own : shared, "required");
        for (size_t i = 0; i < sl_val_count(list); i++)
            sl_list_add(a, required, sl_at(list, i));
    }
    sl_map_set_str(a, out, "title", sl_str_c(type));
    sl_map_set_str(a, out, "description", sl_str_c(doc));
    sl_map_set_str(a, out, "type", SL_S("object"));
    sl_map_setc(a, out, "properties", properties);
    sl_map_setc(a, out, "required", required);
    sl_map_set_bool(a, out, "additionalProperties", false);
    return out;
}

typedef void (*each_type)(void *self, const char *type, const char *doc, const sl_opt *opts, const sl_opt *outs, bool flowable);

static void for_each_type(each_type fn, void *self)
{
    for (const sl_flowable_type *f = sl_flowable_types; f->type != NULL; f++)
        fn(self, f->type, f->doc, f->opts, f->outs, true);
    for (const sl_connector *const *k = sl_all_connectors.connectors; *k != NULL; k++)
        for (const sl_task_type *const *t = (*k)->tasks; *t != NULL; t++)
            fn(self, (*t)->type, (*t)->doc, (*t)->opts, (*t)->outs, false);
}

typedef struct schema_self {
    sl_arena *arena;
    sl_str wanted;
    const sl_val *found;
    sl_val *all;
} schema_self;

static void add_schema(void *self, const char *type, const char *doc, const sl_opt *opts, const sl_opt *outs, bool flowable)
{
    (void)outs;
    (void)flowable;
    schema_self *s = self;
    if (s->wanted.n == 0)
        sl_list_add(s->arena, s->all, type_schema(s->arena, type, doc, opts));
    else if (sl_str_eqc(s->wanted, type))
        s->found = type_schema(s->arena, type, doc, opts);
}

static int schema(sl_cli *c)
{
    schema_self s = { .arena = c->arena, .all = sl_list(c->arena) };
    if (c->word_count > 0)
        s.wanted = sl_type_canonical(c->arena, &sl_all_connectors, sl_str_c(c->words[0]));
    for_each_type(add_schema, &s);
    const sl_val *out = s.found;
    if (s.wanted.n == 0) {
        sl_val *doc = sl_map(c->arena), *task = sl_map(c->arena), *flow = (sl_val *)(uintptr_t)sl_opt_schema(c->arena, sl_flow_opts), *tasks = sl_map(c->arena), *defs = sl_map(c->arena), *ref = sl_map(c->arena);
        sl_map_setc(c->arena, task, "oneOf", s.all);
        sl_map_setc(c->arena, defs, "task", task);
        sl_map_set_str(c->arena, ref, "$ref", SL_S("#/$defs/task"));
        sl_map_set_str(c->arena, tasks, "type", SL_S("array"));
        sl_map_setc(c->arena, tasks, "items", ref);
        sl_map_set_str(c->arena, doc, "$schema", SL_S("https://json-schema.org/draft/2020-12/schema"));
        sl_map_set_str(c->arena, doc, "title", SL_S("Sluice flow"));
        for (size_t i = 0; i < flow->map.n; i++)
            sl_map_set(c->arena, doc, flow->map.entries[i].key, flow->map.entries[i].value);
        sl_map_setc(c->arena, (sl_val *)(uintptr_t)sl_get(doc, "properties"), "tasks", tasks);
        sl_map_setc(c->arena, doc, "$defs", defs);
        out = doc;
    }
    if (out == NULL)
        return sl_cli_fail(2, "there is no type '%s'; `sluice plugins` lists them", c->words[0]);
    sl_cli_print("%.*s\n", SL_ARG(sl_json_pretty(c->arena, out)));
    return 0;
}

const sl_command sl_command_schema = { "schema", "[TYPE]", "Prints the JSON Schema of a task type, or of whole flows.", no_opts, 0, 1, schema };

static void add_plugin(void *self, const char *type, const char *doc, const sl_opt *opts, const sl_opt *outs, bool flowable)
{
    (void)opts;
    (void)outs;
    schema_self *s = self;
    if (s->all == NULL) {
        sl_cli_print("%-62s %s\n", type, doc);
        return;
    }
    sl_val *v = sl_map(s->arena);
    sl_map_set_str(s->arena, v, "type", sl_str_c(type));
    sl_map_set_str(s->arena, v, "description", sl_str_c(doc));
    sl_map_set_bool(s->arena, v, "flowable", flowable);
    sl_list_add(s->arena, s->all, v);
}

static int plugins(sl_cli *c)
{
    schema_self s = { .arena = c->arena, .all = c->json ? sl_list(c->arena) : NULL };
    for_each_type(add_plugin, &s);
    if (c->json)
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, s.all)));
    return 0;
}

const sl_command sl_command_plugins = { "plugins", "", "Lists the task types.", no_opts, 0, 0, plugins };
