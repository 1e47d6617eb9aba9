/* service/cli_flow.c: `flow validate`, `render`, `schema`, `plugins`. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "flows/context.h"
#include "flows/hint.h"
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

static const sl_val *as_list(sl_arena *a, const sl_problems *problems)
{
    sl_val *list = sl_list(a);
    for (const sl_problem *p = problems->first; p != NULL; p = p->next) {
        sl_val *v = sl_map(a);
        sl_map_set_int(a, v, "line", p->line);
        sl_map_set_int(a, v, "column", p->column);
        sl_map_set_str(a, v, "message", p->message);
        sl_list_add(a, list, v);
    }
    return list;
}

static int validate(sl_cli *c)
{
    int rc = 0;
    sl_val *all = sl_list(c->arena);
    for (int i = 0; i < c->word_count; i++) {
        sl_problems problems = { .arena = c->arena }, hints = { .arena = c->arena };
        sl_err err;
        const sl_flow *f = parse_file(c, c->words[i], &problems, &err);
        rc |= f == NULL;
        if (f != NULL)
            sl_flow_hints(c->arena, f, &hints);
        if (c->json) {
            sl_val *one = sl_map(c->arena);
            sl_map_set_str(c->arena, one, "file", sl_str_c(c->words[i]));
            sl_map_set_bool(c->arena, one, "valid", f != NULL);
            sl_map_setc(c->arena, one, "problems", as_list(c->arena, &problems));
            sl_map_setc(c->arena, one, "hints", as_list(c->arena, &hints));
            sl_list_add(c->arena, all, one);
        } else if (f == NULL)
            sl_cli_problems(c->words[i], &problems);
        else {
            sl_cli_hints(c->words[i], &hints);
            sl_cli_print("%s: valid (%.*s.%.*s, %zu tasks)\n", c->words[i], SL_ARG(f->ns), SL_ARG(f->id), f->task_count);
        }
    }
    if (c->json)
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, all)));
    return rc;
}

const sl_command sl_command_validate = { "flow validate", "FILE...", "Checks flows without running them; prints file:line:column: message, and hints at names that nothing gives.", no_opts, 1, 16, validate };

static int render(sl_cli *c)
{
    const sl_flow *flow = sl_cli_flow(c, c->words[0]);
    const sl_val *given, *inputs, *v;
    sl_err err;
    if (flow == NULL || !sl_cli_inputs(c, &given))
        return 2;
    sl_cli_unused_inputs(c, flow, given);
    sl_engine_options o = { .data_dir = c->data_dir, .registry = &sl_all_connectors, .workers = 1 };
    sl_engine *e = sl_engine_open(&o, &err);
    if (e == NULL)
        return sl_cli_error(1, &err);
    sl_expr_host host = sl_engine_host(e, c->arena, flow);
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
