/* service/api/validate.c: what is wrong with flows, parts of them, and inputs: nothing is stored or run. The same messages as the command line's. */
#include "base/arena.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/secret.h"
#include "base/yaml.h"
#include "flows/context.h"
#include "flows/hint.h"
#include "flows/input.h"
#include "service/api/execution_call.h"
#include "service/api/flow_call.h"
#include "service/execution.h"

/* ---- flows ---- */

/* With the lines and columns moved back: the text stands `lines` below and `columns` to the right of where it was written. */
static const sl_val *verdict(sl_call *c, sl_str document, size_t index, uint32_t lines, uint32_t columns)
{
    sl_problems problems = { .arena = c->arena };
    sl_val *v = sl_map(c->arena);
    sl_map_set_int(c->arena, v, "index", (int64_t)index);
    sl_val *warnings = sl_list(c->arena);
    const sl_flow *f = sl_flow_parse(c->arena, sl_engine_registry(c->engine), sl_engine_settings(c->engine)->plugin_defaults, document, &problems);
    if (f == NULL) {
        sl_buf b = sl_buf_new(c->arena, 1 << 18);
        for (const sl_problem *p = problems.first; p != NULL; p = p->next)
            sl_buf_fmt(&b, "%u:%u: %.*s%s", p->line > lines ? p->line - lines : 1, p->column > columns ? p->column - columns : 1, SL_ARG(p->message), p->next ? "\n" : "");
        sl_map_set_str(c->arena, v, "constraints", sl_buf_str(&b));
    }
    sl_map_set_bool(c->arena, v, "outdated", false);
    sl_map_setc(c->arena, v, "deprecationPaths", sl_list(c->arena));
    if (f != NULL && lines == 0) { /* of a part of a flow nobody knows what is around it */
        sl_problems hints = { .arena = c->arena };
        sl_flow_hints(c->arena, f, &hints);
        for (const sl_problem *p = hints.first; p != NULL; p = p->next)
            sl_list_add(c->arena, warnings, sl_val_str(c->arena, sl_fmt(c->arena, "%u:%u: %.*s", p->line, p->column, SL_ARG(p->message))));
    }
    sl_map_setc(c->arena, v, "warnings", warnings);
    sl_map_setc(c->arena, v, "infos", sl_list(c->arena));
    return v;
}

static void flows(sl_call *c)
{
    sl_str rest = c->body, document;
    sl_val *list = sl_list(c->arena);
    for (size_t i = 0; sl_yaml_cut(&rest, &document); i++) {
        sl_err ignored;
        const sl_val *doc = sl_yaml_parse(c->arena, document, &ignored);
        sl_val *v = sl_map_shallow(c->arena, verdict(c, document, i, 0, 0));
        sl_map_opt_str(c->arena, v, "flow", sl_get_text(doc, "id"));
        sl_map_opt_str(c->arena, v, "namespace", sl_get_text(doc, "namespace"));
        sl_list_add(c->arena, list, v);
    }
    sl_reply(c, 200, list);
}

/* One element in a flow around it, as the only one of the list `head` ends with. */
static void element(sl_call *c, const char *head, uint32_t lines)
{
    enum { INDENT = 4 };
    sl_buf b = sl_buf_new(c->arena, SL_HTTP_BODY_MAX);
    sl_str rest = c->body, line;
    sl_buf_addc(&b, head);
    for (bool first = true; rest.n > 0; first = false) {
        ptrdiff_t end = sl_str_find(rest, SL_S("\n"));
        line = sl_str_sub(rest, 0, end < 0 ? rest.n : (size_t)end + 1);
        rest = sl_str_sub(rest, line.n, rest.n);
        sl_buf_addc(&b, first ? "  - " : "    ");
        sl_buf_add(&b, line);
    }
    sl_reply(c, 200, verdict(c, sl_buf_str(&b), 0, lines, INDENT));
}

static void task(sl_call *c)
{
    static const char tasks[] = "id: validation\nnamespace: validation\ntasks:\n";
    static const char rest[] = "id: validation\nnamespace: validation\ntasks: [{id: validation, type: io.kestra.plugin.core.log.Log, message: x}]\n%.*s:\n";
    sl_str section = sl_query(c, "section");
    static const char *const names[][2] = { { "", NULL }, { "TASKS", NULL }, { "ERRORS", "errors" }, { "FINALLY", "finally" }, { "AFTER_EXECUTION", "afterExecution" }, { "TRIGGERS", "triggers" } };
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (sl_str_ieq(section, sl_str_c(names[i][0]))) {
            element(c, names[i][1] ? sl_fmt(c->arena, rest, SL_ARG(sl_str_c(names[i][1]))).p : tasks, names[i][1] ? 4 : 3);
            return;
        }
    sl_reply_error(c, 422, "Illegal argument: there is no section '%.*s'; it is TASKS, ERRORS, FINALLY, AFTER_EXECUTION or TRIGGERS", SL_ARG(section));
}

static void trigger(sl_call *c)
{
    element(c, "id: validation\nnamespace: validation\ntasks: [{id: validation, type: io.kestra.plugin.core.log.Log, message: x}]\ntriggers:\n", 4);
}

/* ---- inputs ---- */

/* Texts of the form; of a file, its name: its content is not looked at. NULL: answered. */
static const sl_val *given_inputs(sl_call *c)
{
    const sl_val *parts = c->body.n > 0 ? sl_call_parts(c) : sl_list(c->arena);
    sl_val *given = sl_map(c->arena);
    for (size_t i = 0; i < sl_val_count(parts); i++) {
        const sl_val *p = sl_at(parts, i);
        sl_str name = sl_get_text(p, "name");
        bool file = sl_get(p, "filename") != NULL, classic = sl_str_eqc(name, "files"); /* -F 'files=@in.csv;filename=INPUT' */
        sl_map_set(c->arena, given, file && classic ? sl_get_text(p, "filename") : name, sl_get(p, file ? "filename" : "data"));
    }
    return parts ? given : NULL;
}

static void inputs(sl_call *c)
{
    int64_t revision = 0;
    const sl_val *labels, *given, *resolved;
    (void)sl_parse_int(sl_query(c, "revision"), &revision);
    sl_flow_ref *ref = sl_call_labels(c, sl_query_all(c, "labels"), &labels) && (given = given_inputs(c)) != NULL ? sl_call_flow(c, c->args[0], c->args[1], revision) : NULL;
    if (ref == NULL)
        return;
    sl_problems problems = { .arena = c->arena };
    sl_expr_host host = sl_engine_host(c->engine, c->arena, ref->flow);
    sl_val *vars = sl_map_shallow(c->arena, sl_context_flow_vars(c->arena, ref->flow, sl_engine_settings(c->engine)->globals)), *report = sl_list(c->arena);
    sl_expr_env env = { .vars = vars, .host = &host };
    bool good = sl_inputs_look(c->arena, ref->flow->inputs, given, &env, &resolved, report, &problems);
    sl_map_setc(c->arena, vars, "inputs", resolved);
    sl_val *out = sl_map_of(c->arena, "id", sl_val_str(c->arena, ref->flow->id));
    sl_map_set_str(c->arena, out, "namespace", ref->flow->ns);
    sl_map_setc(c->arena, out, "inputs", report);
    sl_map_setc(c->arena, out, "checks", good ? sl_execution_checks(c->arena, ref->flow, &env) : sl_list(c->arena));
    sl_reply(c, 200, sl_redact_val(c->arena, out));
    sl_flow_cache_put(sl_engine_flows(c->engine), ref);
}

/* What the paused task asks for. */
static void resume_inputs(sl_call *c)
{
    sl_str ns, flow;
    const sl_val *asked, *given, *resolved;
    if (sl_call_names_flow(c)) {
        if (sl_call_may(c, c->args[0]))
            inputs(c);
        return;
    }
    if (!sl_call_execution(c, c->args[0], &ns, &flow) || !sl_call_asked(c, ns, flow, &asked) || (given = given_inputs(c)) == NULL)
        return;
    sl_problems problems = { .arena = c->arena };
    sl_expr_env env = { .vars = sl_map(c->arena) };
    sl_val *report = sl_list(c->arena);
    (void)sl_inputs_look(c->arena, asked, given, &env, &resolved, report, &problems);
    sl_val *out = sl_map_of(c->arena, "id", sl_val_str(c->arena, flow));
    sl_map_set_str(c->arena, out, "namespace", ns);
    sl_map_setc(c->arena, out, "inputs", report);
    sl_map_setc(c->arena, out, "checks", sl_list(c->arena));
    sl_reply(c, 200, sl_redact_val(c->arena, out));
}

/* ---- expressions ---- */

static const sl_taskrun *find_run(const sl_exec *x, sl_str id)
{
    for (const sl_taskrun *r = x->first; r != NULL; r = r->next)
        if (sl_str_eq(r->id, id))
            return r;
    return NULL;
}

static void evaluate_in(sl_call *c, const sl_exec *x)
{
    sl_str run = c->args[1], text;
    const sl_taskrun *r = run.n > 0 ? find_run(x, run) : NULL;
    sl_err err;
    if (run.n > 0 && r == NULL) {
        sl_reply_error(c, 404, "Not Found: the execution has no task run '%.*s'", SL_ARG(run));
        return;
    }
    sl_expr_host host = sl_engine_host_of(c->engine, c->arena, x);
    sl_expr_env env = { .vars = sl_context_vars(c->arena, x, r, sl_engine_settings(c->engine)->globals), .host = &host };
    sl_val *out = sl_map(c->arena);
    if (sl_render(c->arena, &env, c->body, &text, &err))
        sl_map_set_str(c->arena, out, "result", sl_redact(c->arena, text));
    else
        sl_map_set_str(c->arena, out, "error", sl_redact(c->arena, sl_str_c(err.message)));
    sl_reply(c, 200, out);
}

/* As the execution, or one of its task runs, would see it. For authors only: an expression may read secrets and values, as a task may. */
static void evaluate(sl_call *c)
{
    sl_str ns, flow, source;
    int64_t revision;
    sl_err err;
    if (sl_call_meant_flow(c) || !sl_call_execution(c, c->args[0], &ns, &flow))
        return;
    sl_flow_ref *ref = sl_store_flow_source(c->store, c->arena, c->args[0], &source, &revision, &err) ? sl_flow_cache_get(sl_engine_flows(c->engine), source, revision, NULL, &err) : NULL;
    sl_exec *x = ref && sl_db_snapshot(sl_store_db(c->store), &err) ? sl_store_load(c->store, ref->flow, c->args[0], &err) : NULL;
    sl_db_rollback(sl_store_db(c->store));
    if (x != NULL) {
        sl_exec_rebuild(x);
        evaluate_in(c, x);
        sl_arena_free(x->arena);
    } else
        sl_reply_err(c, &err);
    sl_flow_cache_put(sl_engine_flows(c->engine), ref);
}

#define EVALUATE(path) { "POST", "/executions/{executionId}/" path, SL_ROLE_AUTHOR, SL_BODY_ANY, NULL, "An expression as the execution, or one of its task runs, sees it.", evaluate }

const sl_api_route sl_api_validate[] = {
    { "POST", "/flows/validate", SL_ROLE_VIEWER, SL_BODY_YAML, NULL, "What is wrong with flows, line by line; nothing is stored.", flows },
    { "POST", "/flows/validate/task", SL_ROLE_VIEWER, SL_BODY_ANY, "section", "What is wrong with a task (YAML or JSON).", task },
    { "POST", "/flows/validate/trigger", SL_ROLE_VIEWER, SL_BODY_ANY, NULL, "What is wrong with a trigger (YAML or JSON).", trigger },
    { "POST", "/executions/{executionId}/resume/validate", SL_ROLE_OPERATOR, SL_BODY_MULTIPART, NULL, "What is wrong with the inputs that a paused task asks for.", resume_inputs },
    { "POST", "/executions/{executionId}/actions/resume/validate", SL_ROLE_OPERATOR, SL_BODY_MULTIPART, NULL, "The same.", resume_inputs },
    { "POST", "/executions/{namespace}/{id}/validate", SL_ROLE_OPERATOR, SL_BODY_MULTIPART, "labels revision", "What is wrong with the inputs of an execution; none is made.", inputs },
    EVALUATE("eval"),
    EVALUATE("eval/{taskRunId}"),
    EVALUATE("actions/eval"),
    EVALUATE("actions/eval/{taskRunId}"),
    { 0 },
};
