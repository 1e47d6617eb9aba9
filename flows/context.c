/* flows/context.c: see context.h. */
#include "flows/context.h"

#include "base/arena.h"
#include "flows/expr.h"
#include "flows/input.h"

static sl_val *instant(sl_arena *a, int64_t ms)
{
    return sl_val_time(a, (sl_time){ .s = ms / 1000, .ns = (int32_t)(ms % 1000) * 1000000, .kind = SL_TIME_INSTANT });
}

static sl_val *flow_vars(sl_arena *a, const sl_flow *f, const sl_val *globals)
{
    sl_val *vars = sl_map(a), *flow = sl_map(a);
    sl_map_set_str(a, flow, "id", f->id);
    sl_map_set_str(a, flow, "namespace", f->ns);
    sl_map_set_int(a, flow, "revision", f->revision);
    sl_map_set_str(a, flow, "tenantId", SL_S("main")); /* as in Kestra's own edition without tenants */
    sl_map_setc(a, vars, "flow", flow);
    for (size_t i = 0; i < sl_val_count(globals); i++)
        sl_map_set(a, vars, globals->map.entries[i].key, globals->map.entries[i].value);
    if (f->variables != NULL)
        sl_map_setc(a, vars, "vars", f->variables);
    return vars;
}

const sl_val *sl_context_flow_vars(sl_arena *a, const sl_flow *f, const sl_val *globals)
{
    return flow_vars(a, f, globals);
}

/* The map that is (or now is) under that name; NULL: something else is. */
static sl_val *inner_map(sl_arena *a, sl_val *map, sl_str name)
{
    const sl_val *found = sl_get_str(map, name);
    if (found == NULL)
        sl_map_set(a, map, name, found = sl_map(a));
    return found->type == SL_MAP ? (sl_val *)(uintptr_t)found : NULL; /* made here */
}

const sl_val *sl_context_labels(sl_arena *a, const sl_val *labels, const char *without)
{
    enum { PARTS_MAX = 16 };
    sl_val *out = sl_map(a);
    for (size_t i = 0; i < sl_val_count(labels); i++) {
        const sl_entry *e = &labels->map.entries[i];
        sl_val *at = out;
        sl_str rest = e->key;
        if (without != NULL && sl_str_eqc(rest, without))
            continue;
        ptrdiff_t dot;
        for (int parts = 0; at != NULL && parts < PARTS_MAX && (dot = sl_str_find(rest, SL_S("."))) > 0; parts++) {
            at = inner_map(a, at, sl_str_sub(rest, 0, (size_t)dot));
            rest = sl_str_sub(rest, (size_t)dot + 1, rest.n);
        }
        if (at == NULL || sl_is(sl_get_str(at, rest), SL_MAP)) /* both `a` and `a.b` are labels */
            sl_map_set(a, out, e->key, e->value);
        else
            sl_map_set(a, at, rest, e->value);
    }
    return out;
}

static sl_val *run_vars(sl_arena *a, const sl_taskrun *r)
{
    sl_val *v = sl_map(a);
    sl_map_set_str(a, v, "id", r->id);
    sl_map_setc(a, v, "startDate", instant(a, r->started_ms));
    sl_map_set_int(a, v, "attemptsCount", r->attempt > 0 ? r->attempt - 1 : 0);
    if (r->parent != NULL)
        sl_map_set_str(a, v, "parentId", r->parent->id);
    if (r->value.p != NULL)
        sl_map_set_str(a, v, "value", r->value);
    if (r->value.p != NULL || (r->parent != NULL && r->parent->def->flowable == SL_LOOP_UNTIL))
        sl_map_set_int(a, v, "iteration", r->iteration);
    return v;
}

/* Only those that say something: a value that is their own, or outputs. */
static void add_parents(sl_arena *a, sl_val *vars, const sl_taskrun *r)
{
    sl_val *parents = sl_list(a);
    for (const sl_taskrun *p = r->parent; p != NULL; p = p->parent) {
        sl_val *one = sl_map(a);
        if (p->in != NULL && p->in->outer != NULL)
            sl_map_setc(a, one, "taskrun", sl_map_of(a, "value", sl_val_str(a, p->value)));
        if (sl_val_count(p->outputs) > 0)
            sl_map_setc(a, one, "outputs", p->outputs);
        if (one->map.n > 0)
            sl_list_add(a, parents, one);
    }
    sl_map_setc(a, vars, "parents", parents);
    if (parents->list.n > 0)
        sl_map_setc(a, vars, "parent", parents->list.items[0]);
}

/* States of the task runs: by id as tasks.ID.state, right in a loop as tasks.ID.VALUE.state, and as a list for tasksWithState(). Costly for long flows, so only where one is asked for. own: the run that looks, which has not been started in its own eyes. */
static void add_states(sl_arena *a, sl_val *vars, const sl_exec *x, const sl_taskrun *own)
{
    sl_val *tasks = sl_map(a), *runs = sl_list(a);
    for (const sl_taskrun *r = x->first; r != NULL; r = r->next) {
        sl_val *one = sl_map(a), *run = sl_map(a);
        const sl_val *state = sl_val_str(a, sl_str_c(sl_state_name(r == own ? SL_CREATED : r->state)));
        sl_map_setc(a, one, "state", state);
        bool of_loop = r->in != NULL && r->in->outer != NULL;
        sl_val *by_value = of_loop ? inner_map(a, tasks, r->def->id) : tasks;
        sl_map_set(a, by_value, of_loop ? r->value : r->def->id, one);
        sl_map_set_str(a, run, "taskId", r->def->id);
        if (r->value.p != NULL)
            sl_map_set_str(a, run, "value", r->value);
        sl_map_setc(a, run, "state", state);
        sl_list_add(a, runs, run);
    }
    sl_map_setc(a, vars, "tasks", tasks);
    sl_map_setc(a, vars, SL_CONTEXT_RUNS, runs);
}

/* The execution goes on adding to its maps: views of those of the loops, at the level of the values too. */
static const sl_val *loop_outputs(sl_arena *a, const sl_val *by_value, int depth)
{
    if (depth <= 1 || by_value->type != SL_MAP) /* tasks of a loop's errors are not kept by value */
        return sl_map_view(a, by_value);
    sl_val *out = sl_map(a);
    for (size_t i = 0; i < by_value->map.n; i++)
        sl_map_set(a, out, by_value->map.entries[i].key, loop_outputs(a, by_value->map.entries[i].value, depth - 1));
    return out;
}

static const sl_val *views(sl_arena *a, const sl_exec *x, const sl_val *outputs, sl_val *into)
{
    for (size_t i = 0; i < sl_val_count(outputs); i++) {
        const sl_entry *e = &outputs->map.entries[i];
        const sl_task_def *d = sl_flow_task(x->flow, e->key);
        sl_map_set(a, into, e->key, d != NULL && d->loop_depth > 0 ? loop_outputs(a, e->value, d->loop_depth) : e->value);
    }
    return into;
}

static const sl_val *outputs_now(sl_arena *a, const sl_exec *x)
{
    if (!x->flow->has_loops)
        return sl_map_view(a, x->task_outputs);
    return views(a, x, x->task_outputs, sl_map(a));
}

/* ---- Loop ---- */

/* {value, index, key} of one iteration. */
static sl_val *one_item(sl_arena *a, const sl_scope *s)
{
    const sl_taskrun *loop = s->outer->owner;
    sl_val *item = sl_map(a);
    sl_map_set_str(a, item, "value", s->value);
    sl_map_set_int(a, item, "index", s->iteration);
    sl_map_opt(a, item, "key", sl_at(loop->keys, (size_t)s->iteration));
    return item;
}

static const sl_scope *iteration_around(const sl_scope *s)
{
    while (s != NULL && (s->outer == NULL || !s->outer->owner->def->isolated))
        s = s->outer ? s->outer->owner->in : s->owner ? s->owner->in : NULL;
    return s;
}

/* The item of the innermost Loop around, with those of the Loops around that one; NULL: there is none. */
static const sl_val *item_vars(sl_arena *a, const sl_scope *in)
{
    const sl_scope *s = iteration_around(in);
    if (s == NULL)
        return NULL;
    sl_val *item = one_item(a, s), *parents = sl_list(a);
    for (const sl_scope *p = iteration_around(s->outer->owner->in); p != NULL; p = iteration_around(p->outer->owner->in))
        sl_list_add(a, parents, one_item(a, p));
    if (parents->list.n > 0) {
        sl_map_setc(a, item, "parent", sl_at(parents, 0));
        sl_map_setc(a, item, "parents", parents);
    }
    return item;
}

/* What is known outside of the Loops around, and over it what their iterations have, the outermost first. */
static const sl_val *outputs_in(sl_arena *a, const sl_exec *x, const sl_val *outside, const sl_scope *in)
{
    const sl_scope *s = iteration_around(in);
    if (s == NULL)
        return outside;
    return views(a, x, s->outputs, sl_map_shallow(a, outputs_in(a, x, outside, s->outer->owner->in)));
}

const sl_val *sl_context_iterations(sl_arena *a, const sl_exec *x, const sl_taskrun *loop)
{
    sl_val *list = sl_list(a);
    const sl_val *outside = outputs_now(a, x);
    for (size_t i = 0; i < sl_val_count(loop->values); i++) {
        const sl_scope *s = loop->iterations[i];
        if (s == NULL)
            continue; /* one before it has failed, or the execution was killed */
        sl_val *one = sl_map(a), *vars = sl_map(a);
        sl_map_setc(a, vars, "item", item_vars(a, s));
        sl_map_setc(a, vars, "outputs", outputs_in(a, x, outside, s));
        sl_map_setc(a, one, "item", one_item(a, s));
        sl_map_set_str(a, one, "state", sl_str_c(sl_state_name(s->killed ? SL_KILLED : s->failed ? SL_FAILED : s->warned ? SL_WARNED : SL_SUCCESS)));
        sl_map_setc(a, one, "vars", vars);
        sl_list_add(a, list, one);
    }
    return list;
}

const sl_val *sl_context_vars(sl_arena *a, const sl_exec *x, const sl_taskrun *r, const sl_val *globals)
{
    sl_val *vars = flow_vars(a, x->flow, globals), *execution = sl_map(a);
    sl_map_set_str(a, execution, "id", x->id);
    sl_map_set_str(a, execution, "originalId", x->original_id);
    sl_map_set_str(a, execution, "state", sl_str_c(sl_state_name(x->state)));
    sl_map_setc(a, execution, "startDate", instant(a, x->created_ms));
    if (x->outputs != NULL)
        sl_map_setc(a, execution, "outputs", x->outputs);
    sl_map_setc(a, vars, "execution", execution);
    sl_map_setc(a, vars, "inputs", sl_inputs_with_defaults(a, x->flow->inputs, x->inputs, &(sl_expr_env){ .vars = vars }));
    sl_map_setc(a, vars, "outputs", outputs_in(a, x, outputs_now(a, x), r ? r->in : NULL));
    sl_map_opt(a, vars, "item", r ? item_vars(a, r->in) : NULL);
    if (x->variables != NULL)
        sl_map_setc(a, vars, "vars", x->variables);
    sl_map_setc(a, vars, "labels", sl_context_labels(a, x->labels, NULL));
    const sl_val *trigger = sl_get(x->trigger, "variables");
    if (trigger != NULL)
        sl_map_setc(a, vars, "trigger", trigger);
    if (sl_get(trigger, "date") != NULL)
        sl_map_setc(a, vars, "schedule", trigger); /* older name */
    if (x->flow->wants_states)
        add_states(a, vars, x, r);
    if (r == NULL)
        return vars;
    sl_val *task = sl_map(a);
    sl_map_set_str(a, task, "id", r->def->id);
    sl_map_set_str(a, task, "type", r->def->type_name);
    sl_map_setc(a, vars, "task", task);
    sl_map_setc(a, vars, "taskrun", run_vars(a, r));
    add_parents(a, vars, r);
    return vars;
}
