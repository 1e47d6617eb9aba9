/* service/api/graph.c: flows and executions as drawings (flows/graph.h), and which flows depend on which. */
#include "base/arena.h"
#include "base/yaml.h"
#include "flows/graph.h"
#include "flows/trigger.h"
#include "service/api/execution_call.h"
#include "service/api/flow_call.h"
#include "service/api/trigger_call.h"

/* ---- drawings ---- */

static void of_flow(sl_call *c)
{
    int64_t revision = 0;
    (void)sl_parse_int(sl_query(c, "revision"), &revision);
    sl_flow_ref *ref = sl_call_flow(c, c->args[0], c->args[1], revision);
    if (ref == NULL)
        return;
    sl_reply(c, 200, sl_flow_graph(c->arena, ref->flow, NULL));
    sl_flow_cache_put(sl_engine_flows(c->engine), ref);
}

static void of_source(sl_call *c)
{
    sl_flow *flow;
    if (sl_call_flow_parse(c, c->body, &flow))
        sl_reply(c, 200, sl_flow_graph(c->arena, flow, NULL));
}

typedef struct state {
    sl_call *call;
    const sl_val *runs;            /* taskRunList of the execution */
    const sl_trigger_row *triggers;
    size_t trigger_count;
} state;

/* The last run of the task, and the values of the loops that it ran for. */
static void add_run(void *self, sl_val *node, const sl_task_def *def)
{
    const state *s = self;
    sl_arena *a = s->call->arena;
    sl_val *values = sl_list(a);
    const sl_val *last = NULL;
    for (size_t i = 0; i < sl_val_count(s->runs); i++) {
        const sl_val *run = sl_at(s->runs, i);
        if (!sl_str_eq(sl_get_text(run, "taskId"), def->id))
            continue;
        last = run;
        if (sl_get(run, "value") != NULL)
            sl_list_add(a, values, sl_get(run, "value"));
    }
    sl_map_opt(a, node, "taskRun", last);
    sl_map_setc(a, node, "values", values);
    sl_val *task = sl_map_of(a, "id", sl_val_str(a, def->id)); /* what a viewer of executions needs of it */
    sl_map_set_str(a, task, "type", def->type_name);
    sl_map_setc(a, node, "task", task);
}

static void add_trigger(void *self, sl_val *node, sl_str id)
{
    const state *s = self;
    sl_arena *a = s->call->arena;
    sl_val *declaration = sl_map_of(a, "id", sl_val_str(a, id));
    sl_map_opt(a, declaration, "type", sl_get(sl_get(node, "triggerDeclaration"), "type"));
    sl_map_setc(a, node, "triggerDeclaration", declaration);
    for (size_t i = 0; i < s->trigger_count; i++)
        if (sl_str_eq(s->triggers[i].id, id))
            sl_map_setc(a, node, "trigger", sl_call_trigger_json(a, &s->triggers[i]));
}

static void of_execution(sl_call *c)
{
    sl_str ns, flow, source;
    const sl_val *x;
    sl_trigger_row *triggers;
    int64_t revision;
    sl_err err;
    if (!sl_call_execution(c, c->args[0], &ns, &flow))
        return;
    state s = { .call = c };
    sl_flow_ref *ref = NULL;
    if (!sl_execution_json(c->store, c->arena, c->args[0], &x, &err) || !sl_repository_triggers(c->store, c->arena, ns, flow, &triggers, &s.trigger_count, &err)
        || !sl_store_flow_source(c->store, c->arena, c->args[0], &source, &revision, &err)
        || (ref = sl_flow_cache_get(sl_engine_flows(c->engine), source, revision, NULL, &err)) == NULL) {
        sl_reply_err(c, &err);
        return;
    }
    s.runs = sl_get(x, "taskRunList");
    s.triggers = triggers;
    sl_reply(c, 200, sl_flow_graph(c->arena, ref->flow, &(sl_graph_look){ &s, add_run, add_trigger }));
    sl_flow_cache_put(sl_engine_flows(c->engine), ref);
}

/* ---- dependencies ---- */

typedef struct link {
    size_t from, to;               /* indexes of rows: `to` runs because `from` calls it, or has ended */
    const char *relation;
} link;

typedef struct topology {
    sl_call *call;
    sl_flow_row *rows;
    size_t count;
    link *links;
    size_t link_count, link_capacity;
    const sl_val *by_name;         /* "ns/id" -> index */
} topology;

static ptrdiff_t find_row(const topology *t, sl_str ns, sl_str id)
{
    const sl_val *at = sl_get_str(t->by_name, sl_fmt(t->call->arena, "%.*s/%.*s", SL_ARG(ns), SL_ARG(id)));
    return at ? (ptrdiff_t)at->i : -1;
}

static void add_link(topology *t, size_t from, size_t to, const char *relation)
{
    for (size_t i = 0; i < t->link_count; i++)
        if (t->links[i].from == from && t->links[i].to == to && t->links[i].relation == relation)
            return;
    if (t->link_count == t->link_capacity) {
        size_t wanted = t->link_capacity ? 2 * t->link_capacity : 16;
        t->links = sl_realloc(t->call->arena, t->links, t->link_capacity * sizeof *t->links, wanted * sizeof *t->links);
        t->link_capacity = wanted;
    }
    t->links[t->link_count++] = (link){ from, to, relation };
}

/* Subflow and ForEachItem tasks anywhere in the text. */
static void find_calls(topology *t, size_t at, const sl_val *v)
{
    if (sl_is(v, SL_MAP) && sl_get(v, "flowId") != NULL && sl_get(v, "type") != NULL) {
        sl_str type = sl_type_canonical(t->call->arena, sl_engine_registry(t->call->engine), sl_get_text(v, "type"));
        ptrdiff_t to = find_row(t, sl_get_text(v, "namespace"), sl_get_text(v, "flowId"));
        if (to >= 0 && (sl_str_ends(type, SL_S(".flow.Subflow")) || sl_str_eqc(type, SL_FOR_EACH_ITEM_TYPE)))
            add_link(t, at, (size_t)to, "FLOW_TASK");
    }
    for (size_t i = 0; i < sl_val_count(v); i++)
        find_calls(t, at, sl_is(v, SL_MAP) ? v->map.entries[i].value : sl_at(v, i));
}

/* The flows that a Flow trigger names, in its conditions (however nested) or preconditions. */
static void find_sources(topology *t, size_t at, const sl_val *v)
{
    ptrdiff_t from = sl_is(v, SL_MAP) ? find_row(t, sl_get_text(v, "namespace"), sl_get_text(v, "flowId")) : -1;
    if (from >= 0)
        add_link(t, (size_t)from, at, "FLOW_TRIGGER");
    for (size_t i = 0; i < sl_val_count(v); i++)
        find_sources(t, at, sl_is(v, SL_MAP) ? v->map.entries[i].value : sl_at(v, i));
}

static void read_flow(topology *t, size_t at)
{
    sl_err ignored; /* a flow that no longer parses depends on nothing */
    const sl_val *doc = sl_yaml_parse(t->call->arena, t->rows[at].source, &ignored), *triggers = sl_get(doc, "triggers");
    find_calls(t, at, doc);
    for (size_t i = 0; i < sl_val_count(triggers); i++) {
        const sl_trigger_type *type = sl_trigger_find(sl_trigger_canonical(t->call->arena, sl_engine_registry(t->call->engine), sl_get_text(sl_at(triggers, i), "type")));
        if (type != NULL && type->kind == SL_TRIGGER_FLOW)
            find_sources(t, at, sl_at(triggers, i));
    }
}

static bool read_topology(sl_call *c, topology *t)
{
    *t = (topology){ .call = c };
    if (!sl_call_flows_found(c, &(sl_flow_search){ .size = SL_FLOWS_FOUND_MAX }, &t->rows, &t->count))
        return false;
    sl_val *names = sl_map(c->arena);
    for (size_t i = 0; i < t->count; i++)
        sl_map_set(c->arena, names, sl_fmt(c->arena, "%.*s/%.*s", SL_ARG(t->rows[i].ns), SL_ARG(t->rows[i].id)), sl_val_int(c->arena, (int64_t)i));
    t->by_name = names;
    for (size_t i = 0; i < t->count; i++)
        read_flow(t, i);
    return true;
}

/* Marks what is reached from what is marked; once, or until there is no more. */
static void spread(const topology *t, bool *shown, bool up, bool everything)
{
    bool more = true, *fresh = SL_ARRAY(t->call->arena, bool, t->count + 1);
    while (more) {
        more = false;
        memcpy(fresh, shown, t->count * sizeof *fresh);
        for (size_t i = 0; i < t->link_count; i++) {
            const link *l = &t->links[i];
            bool *to = &fresh[l->to], *from = &fresh[l->from];
            if ((shown[l->from] && !*to) || (up && shown[l->to] && !*from)) {
                *to = true;
                *from = true;
                more = everything;
            }
        }
        memcpy(shown, fresh, t->count * sizeof *fresh);
    }
}

static sl_str uid(const topology *t, size_t at)
{
    return sl_fmt(t->call->arena, "main_%.*s_%.*s", SL_ARG(t->rows[at].ns), SL_ARG(t->rows[at].id));
}

static void reply_topology(const topology *t, const bool *shown)
{
    sl_arena *a = t->call->arena;
    sl_val *nodes = sl_list(a), *edges = sl_list(a);
    for (size_t i = 0; i < t->count; i++) {
        if (!shown[i])
            continue;
        sl_val *node = sl_map_of(a, "uid", sl_val_str(a, uid(t, i)));
        sl_map_set_str(a, node, "namespace", t->rows[i].ns);
        sl_map_set_str(a, node, "id", t->rows[i].id);
        sl_list_add(a, nodes, node);
    }
    for (size_t i = 0; i < t->link_count; i++) {
        if (!shown[t->links[i].from] || !shown[t->links[i].to])
            continue;
        sl_val *edge = sl_map_of(a, "source", sl_val_str(a, uid(t, t->links[i].from)));
        sl_map_set_str(a, edge, "target", uid(t, t->links[i].to));
        sl_map_set_str(a, edge, "relation", sl_str_c(t->links[i].relation));
        sl_list_add(a, edges, edge);
    }
    sl_val *out = sl_map_of(a, "nodes", nodes);
    sl_map_setc(a, out, "edges", edges);
    sl_reply(t->call, 200, out);
}

static void reply_dependencies(sl_call *c, topology *t, bool *shown)
{
    spread(t, shown, !sl_query_bool(c, "destinationOnly", false), sl_query_bool(c, "expandAll", false));
    reply_topology(t, shown);
}

static void dependencies(sl_call *c)
{
    topology t;
    if (!read_topology(c, &t))
        return;
    ptrdiff_t at = find_row(&t, c->args[0], c->args[1]);
    if (at < 0) {
        sl_reply_error(c, 404, "Not Found: there is no flow '%.*s' in '%.*s'", SL_ARG(c->args[1]), SL_ARG(c->args[0]));
        return;
    }
    bool *shown = SL_ARRAY(c->arena, bool, t.count + 1);
    shown[at] = true;
    reply_dependencies(c, &t, shown);
}

static void of_namespace(sl_call *c)
{
    topology t;
    if (!read_topology(c, &t))
        return;
    bool *shown = SL_ARRAY(c->arena, bool, t.count + 1);
    for (size_t i = 0; i < t.count; i++)
        shown[i] = sl_str_eq(t.rows[i].ns, c->args[0]) || sl_str_starts(t.rows[i].ns, sl_fmt(c->arena, "%.*s.", SL_ARG(c->args[0])));
    reply_dependencies(c, &t, shown);
}

const sl_api_route sl_api_graph[] = {
    { "POST", "/flows/graph", SL_ROLE_VIEWER, SL_BODY_YAML, NULL, "A flow's text as a drawing: nodes, edges, clusters.", of_source },
    { "GET", "/flows/{namespace}/{id}/graph", SL_ROLE_VIEWER, SL_BODY_NONE, "revision", "A flow as a drawing.", of_flow },
    { "GET", "/flows/{namespace}/{id}/dependencies", SL_ROLE_VIEWER, SL_BODY_NONE, "destinationOnly expandAll", "Flows that it calls or starts, and that call or start it.", dependencies },
    { "GET", "/namespaces/{namespace}/dependencies", SL_ROLE_VIEWER, SL_BODY_NONE, "destinationOnly expandAll", "The same for all flows of a namespace.", of_namespace },
    { "GET", "/executions/{executionId}/graph", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "An execution as a drawing, with its task runs.", of_execution },
    { 0 },
};
