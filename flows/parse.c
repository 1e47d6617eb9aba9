/* flows/parse.c: YAML to the model, with every problem found, not only the first. */
#include "base/arena.h"
#include "base/limits.h"
#include "base/io.h"
#include "base/yaml.h"
#include "flows/expr.h"
#include "flows/input.h"
#include "flows/model.h"
#include "flows/trigger.h"

typedef struct loader {
    sl_arena *arena;
    const sl_registry *registry;
    sl_problems *problems;
    sl_flow *flow;
    size_t capacity;
    sl_val *ids;           /* id -> line of the first task with it */
} loader;

/* ---- types ---- */

static bool in_words(const char *words, sl_str word)
{
    sl_str rest = sl_str_c(words ? words : ""), one;
    while (rest.n > 0 && sl_str_cut(&rest, ' ', &one))
        if (sl_str_eq(one, word))
            return true;
    return false;
}

static const char *find_canonical(const sl_registry *registry, sl_str name)
{
    for (const sl_flowable_type *f = sl_flowable_types; f->type != NULL; f++)
        if (sl_str_eqc(name, f->type) || in_words(f->aliases, name))
            return f->type;
    for (const sl_connector *const *c = registry->connectors; *c != NULL; c++)
        for (const sl_task_type *const *t = (*c)->tasks; *t != NULL; t++)
            if (sl_str_eqc(name, (*t)->type) || in_words((*t)->aliases, name))
                return (*t)->type;
    return NULL;
}

sl_str sl_type_canonical(sl_arena *arena, const sl_registry *registry, sl_str written)
{
    static const char *const prefixes[] = { "", "io.kestra.plugin.", "io.kestra.plugin.core." };
    for (size_t i = 0; i < SL_COUNT(prefixes); i++) {
        const char *found = find_canonical(registry, sl_fmt(arena, "%s%.*s", prefixes[i], SL_ARG(written)));
        if (found != NULL)
            return sl_str_c(found);
    }
    return sl_trigger_canonical(arena, registry, written);
}

static const sl_task_type *find_in(const sl_task_type *const *list, sl_str canonical)
{
    for (; list != NULL && *list != NULL; list++)
        if (sl_str_eqc(canonical, (*list)->type))
            return *list;
    return NULL;
}

const sl_task_type *sl_registry_find(const sl_registry *registry, sl_str canonical)
{
    const sl_task_type *found = NULL;
    for (const sl_connector *const *c = registry->connectors; *c != NULL && found == NULL; c++)
        found = find_in((*c)->tasks, canonical);
    return found;
}

const sl_task_type *sl_registry_find_trigger(const sl_registry *registry, sl_str canonical)
{
    const sl_task_type *found = NULL;
    for (const sl_connector *const *c = registry->connectors; *c != NULL && found == NULL; c++)
        found = find_in((*c)->triggers, canonical);
    return found;
}

static const char *closest_type(const sl_registry *registry, sl_arena *arena, sl_str name)
{
    const char *best = NULL;
    size_t least = 4;
    (void)arena;
    for (const sl_flowable_type *f = sl_flowable_types; f->type != NULL; f++) {
        size_t d = sl_str_distance(name, sl_str_c(f->type), 3);
        if (d < least) {
            least = d;
            best = f->type;
        }
    }
    for (const sl_connector *const *c = registry->connectors; *c != NULL; c++)
        for (const sl_task_type *const *t = (*c)->tasks; *t != NULL; t++) {
            size_t d = sl_str_distance(name, sl_str_c((*t)->type), 3);
            if (d < least) {
                least = d;
                best = (*t)->type;
            }
        }
    return best;
}

/* ---- names ---- */

static bool name_ok(sl_str s, bool dots, bool upper, size_t longest)
{
    bool ok = s.n > 0 && s.n <= longest;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (upper && c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        ok &= alnum || (i > 0 && (c == '_' || c == '-' || (dots && c == '.')));
    }
    return ok;
}

static void check_name(loader *l, const sl_val *map, const char *what, sl_str value, bool dots, bool upper, size_t longest)
{
    const sl_val *v = sl_get(map, what);
    if (v != NULL && v->type != SL_NULL && !name_ok(value, dots, upper, longest))
        sl_problem_add(l->problems, v->line, v->column, "'%s' is '%.*s', but may only hold %s, digits, '_', '-'%s, starting with a letter or digit, at most %zu characters", what, SL_ARG(value),
                       upper ? "letters" : "small letters", dots ? " and '.'" : "", longest);
}

/* ---- tasks ---- */

static sl_task_list parse_tasks(loader *l, const sl_val *list, const char *name, sl_task_def *parent, int depth);

static void check_unique(loader *l, sl_task_def *t)
{
    const sl_val *first = sl_get_str(l->ids, t->id);
    if (first != NULL)
        sl_problem_add(l->problems, t->line, t->column, "Duplicate task id '%.*s'; the first one is on line %lld", SL_ARG(t->id), (long long)first->i);
    else
        sl_map_set(l->arena, l->ids, t->id, sl_val_int(l->arena, t->line));
}

static void register_task(loader *l, sl_task_def *t)
{
    sl_flow *f = l->flow;
    if (f->task_count == l->capacity) {
        size_t wanted = l->capacity ? l->capacity * 2 : 32;
        f->all = sl_realloc(l->arena, f->all, l->capacity * sizeof *f->all, wanted * sizeof *f->all);
        l->capacity = wanted;
    }
    t->index = f->task_count;
    f->all[f->task_count++] = t;
}

static void parse_cases(loader *l, sl_task_def *t, const sl_val *cases, int depth)
{
    if (!sl_is(cases, SL_MAP))
        return;
    t->cases = SL_ARRAY(l->arena, sl_case, cases->map.n);
    for (size_t i = 0; i < cases->map.n; i++) {
        const sl_entry *e = &cases->map.entries[i];
        t->cases[t->case_count].key = e->key;
        t->cases[t->case_count++].tasks = parse_tasks(l, e->value, "cases", t, depth);
    }
}

static sl_task_def *parse_task(loader *l, const sl_val *v, sl_str path, sl_task_def *parent, int depth);

/* Dag: a list of {task, dependsOn}. */
static void parse_dag(loader *l, sl_task_def *t, int depth)
{
    const sl_val *list = sl_get(t->props, "tasks");
    if (!sl_is(list, SL_LIST))
        return;
    t->tasks.items = SL_ARRAY(l->arena, sl_task_def *, list->list.n + 1);
    for (size_t i = 0; i < list->list.n; i++) {
        const sl_val *one = list->list.items[i], *task = sl_get(one, "task");
        if (task == NULL) {
            sl_problem_add(l->problems, one->line, one->column, "task '%.*s': each entry of a Dag's tasks is a map with 'task' and, where it needs others, 'dependsOn'", SL_ARG(t->id));
            continue;
        }
        sl_task_def *child = parse_task(l, task, sl_fmt(l->arena, "tasks[%zu].task", i), t, depth);
        if (child == NULL)
            continue;
        child->depends_on = sl_get(one, "dependsOn");
        child->position = t->tasks.n;
        t->tasks.items[t->tasks.n++] = child;
    }
}

static sl_task_def *dag_find(const sl_task_def *t, sl_str id)
{
    for (size_t i = 0; i < t->tasks.n; i++)
        if (sl_str_eq(t->tasks.items[i]->id, id))
            return t->tasks.items[i];
    return NULL;
}

/* Takes away what depends on nothing that is left, until nothing goes any more. */
static void check_dag(loader *l, const sl_task_def *t)
{
    bool *done = SL_ARRAY(l->arena, bool, t->tasks.n + 1), more = true;
    for (size_t i = 0; i < t->tasks.n; i++)
        for (size_t k = 0; k < sl_val_count(t->tasks.items[i]->depends_on); k++)
            if (dag_find(t, sl_text(sl_at(t->tasks.items[i]->depends_on, k))) == NULL) {
                sl_problem_add(l->problems, t->tasks.items[i]->line, t->tasks.items[i]->column, "Not existing task id in dependency: %.*s", SL_ARG(sl_text(sl_at(t->tasks.items[i]->depends_on, k))));
                return;
            }
    while (more) {
        more = false;
        for (size_t i = 0; i < t->tasks.n; i++) {
            bool ready = !done[i];
            for (size_t k = 0; k < sl_val_count(t->tasks.items[i]->depends_on) && ready; k++)
                ready = done[dag_find(t, sl_text(sl_at(t->tasks.items[i]->depends_on, k)))->position];
            done[i] = done[i] || ready;
            more |= ready;
        }
    }
    for (size_t i = 0; i < t->tasks.n; i++)
        if (!done[i]) {
            sl_problem_add(l->problems, t->tasks.items[i]->line, t->tasks.items[i]->column, "Cyclic dependency detected: %.*s", SL_ARG(t->tasks.items[i]->id));
            return;
        }
}

static void parse_loop(sl_task_def *t)
{
    const sl_val *limit = sl_get(t->props, "concurrencyLimit");
    t->each_parallel = sl_str_ends(t->type_name, SL_S(".EachParallel"));
    bool sequential = sl_str_ends(t->type_name, SL_S(".EachSequential"));
    if (sequential || (!t->each_parallel && sl_is_null(limit)))
        t->concurrent = 1;
    else if (!t->each_parallel)
        t->concurrent = sl_get_int(t->props, "concurrencyLimit", 1);
    t->isolated = sl_str_eqc(t->type_name, SL_LOOP_TYPE);
    t->forgives = t->isolated && !sl_get_bool(t->props, "transmitFailed", true);
    t->collected = t->isolated ? sl_get(t->props, "outputs") : NULL;
}

/* One of the three parts of a ForEachItem: the named properties of the whole, and where its input comes from. */
static const sl_val *item_part(loader *l, const sl_task_def *t, const char *part, const char *const *names)
{
    sl_arena *a = l->arena;
    sl_val *p = sl_map(a);
    const char *value = t->loop_depth > 0 ? "[taskrun.value]" : "";
    p->line = t->line;
    p->column = t->column;
    sl_map_set_str(a, p, "id", sl_fmt(a, "%.*s_%s", SL_ARG(t->id), part));
    sl_map_set_str(a, p, "type", sl_fmt(a, SL_FOR_EACH_ITEM_TYPE ".%c%s", part[0] - 'a' + 'A', part + 1));
    for (; *names != NULL; names++)
        if (sl_get(t->props, *names) != NULL)
            sl_map_setc(a, p, *names, sl_get(t->props, *names));
    if (strcmp(part, "items") == 0)
        sl_map_set_str(a, p, "splits", sl_fmt(a, "{{ outputs['%.*s_split']%s.splits }}", SL_ARG(t->id), value));
    if (strcmp(part, "merge") == 0)
        sl_map_set_str(a, p, "uri", sl_fmt(a, "{{ outputs['%.*s_items']%s.uri ?? '' }}", SL_ARG(t->id), value));
    return p;
}

static sl_task_list parse_for_each_item(loader *l, sl_task_def *t, int depth)
{
    static const char *const split[] = { "items", "batch", NULL }, *const none[] = { NULL };
    static const char *const items[] = { "namespace", "flowId", "revision", "inputs", "labels", "wait", "transmitFailed", "inheritLabels", "scheduleDate", NULL };
    sl_val *list = sl_list(l->arena);
    sl_list_add(l->arena, list, item_part(l, t, "split", split));
    sl_list_add(l->arena, list, item_part(l, t, "items", items));
    sl_list_add(l->arena, list, item_part(l, t, "merge", none));
    return parse_tasks(l, list, "tasks", t, depth);
}

/* Of a flow, or of a Loop: `where` begins the messages. */
static void check_outputs(loader *l, const sl_val *outputs, sl_str where)
{
    static const sl_opt opts[] = {
        { .name = "id", .type = SL_OPT_STR, .flags = SL_REQUIRED | SL_STATIC },          { .name = "type", .type = SL_OPT_ENUM, .flags = SL_REQUIRED | SL_STATIC, .values = SL_INPUT_TYPES },
        { .name = "value", .type = SL_OPT_ANY, .flags = SL_REQUIRED },                   { .name = "description", .type = SL_OPT_STR, .flags = SL_STATIC },
        { .name = "displayName", .type = SL_OPT_STR, .flags = SL_STATIC },               { .name = "required", .type = SL_OPT_BOOL, .flags = SL_STATIC },
        { .name = "itemType", .type = SL_OPT_ENUM, .flags = SL_STATIC, .values = SL_INPUT_TYPES },                  { 0 },
    };
    sl_val *seen = sl_map(l->arena);
    for (size_t i = 0; i < sl_val_count(outputs); i++) {
        sl_str here = sl_fmt(l->arena, "%.*soutputs[%zu]", SL_ARG(where), i);
        if (!sl_is(sl_at(outputs, i), SL_MAP))
            continue;
        sl_bind_check(opts, NULL, sl_at(outputs, i), here, l->problems);
        sl_input_type_check(sl_at(outputs, i), here, l->problems);
        sl_str id = sl_get_text(sl_at(outputs, i), "id");
        if (sl_get_str(seen, id) != NULL)
            sl_problem_add(l->problems, sl_at(outputs, i)->line, sl_at(outputs, i)->column, "Duplicate output '%.*s'", SL_ARG(id));
        sl_map_set(l->arena, seen, id, &sl_true_val);
    }
}

static void parse_pause(loader *l, sl_task_def *t, int depth)
{
    const sl_val *task = sl_get(t->props, "onPause");
    sl_val *list = sl_list(l->arena);
    sl_inputs_check(sl_get(t->props, "onResume"), l->problems);
    if (sl_is_null(task))
        return;
    sl_list_add(l->arena, list, task);
    t->on_pause = parse_tasks(l, list, "onPause", t, depth);
}

static void parse_flowable(loader *l, sl_task_def *t, int depth)
{
    const sl_val *p = t->props;
    (void)sl_parse_int(sl_val_text(l->arena, sl_get(p, "concurrent")), &t->concurrent);
    if (t->flowable == SL_FOR_EACH)
        parse_loop(t);
    if (t->collected != NULL)
        check_outputs(l, t->collected, sl_fmt(l->arena, "task '%.*s': ", SL_ARG(t->id)));
    if (t->flowable == SL_DAG) {
        parse_dag(l, t, depth);
        check_dag(l, t);
    } else if (sl_str_eqc(t->type_name, SL_FOR_EACH_ITEM_TYPE))
        t->tasks = parse_for_each_item(l, t, depth);
    else
        t->tasks = parse_tasks(l, sl_get(p, t->flowable == SL_IF ? "then" : "tasks"), t->flowable == SL_IF ? "then" : "tasks", t, depth);
    t->otherwise = parse_tasks(l, sl_get(p, t->flowable == SL_IF ? "else" : "defaults"), "else", t, depth);
    t->errors = parse_tasks(l, sl_get(p, "errors"), "errors", t, depth);
    t->finally = parse_tasks(l, sl_get(p, "finally"), "finally", t, depth);
    if (t->flowable == SL_SWITCH)
        parse_cases(l, t, sl_get(p, "cases"), depth);
    const sl_val *condition = sl_get(p, t->flowable == SL_SWITCH ? "value" : "condition");
    t->condition = condition ? sl_val_text(l->arena, condition) : SL_S("");
    for (size_t i = 0; t->flowable == SL_WORKING_DIRECTORY && i < t->tasks.n; i++)
        if (t->tasks.items[i]->flowable != SL_RUNNABLE)
            sl_problem_add(l->problems, t->tasks.items[i]->line, t->tasks.items[i]->column, "task '%.*s': only runnable tasks are allowed in a WorkingDirectory", SL_ARG(t->tasks.items[i]->id));
    if (t->flowable == SL_PAUSE)
        parse_pause(l, t, depth);
}

static void parse_common(loader *l, sl_task_def *t, sl_str where)
{
    const sl_val *p = t->props, *v;
    t->disabled = sl_get_bool(p, "disabled", false);
    t->allow_failure = sl_get_bool(p, "allowFailure", false) || t->flowable == SL_ALLOW_FAILURE;
    t->allow_warning = sl_get_bool(p, "allowWarning", false);
    t->level = SL_TRACE;
    (void)sl_level_parse(sl_get_text(p, "logLevel"), &t->level);
    if ((v = sl_get(p, "runIf")) != NULL)
        t->run_if = sl_val_text(l->arena, v);
    if ((v = sl_get(p, "timeout")) != NULL && v->type != SL_NULL)
        t->timeout = sl_val_text(l->arena, v);
    (void)sl_retry_parse(l->arena, sl_get(p, "retry"), where, &t->retry, l->problems);
    const sl_val *cache = sl_get(p, "taskCache"), *ttl = sl_get(cache, "ttl");
    t->cached = sl_get_bool(cache, "enabled", false);
    if (ttl != NULL)
        (void)sl_duration_parse(sl_val_text(l->arena, ttl), &t->cache_ttl_ms);
    if (t->cached && t->flowable != SL_RUNNABLE)
        sl_problem_add(l->problems, cache->line, cache->column, "%.*s: a taskCache is only supported on runnable tasks", SL_ARG(where));
}

static void check_type(loader *l, sl_task_def *t, const sl_val *v, sl_str written, sl_str where)
{
    const sl_flowable_type *flowable = sl_flowable_find(t->type_name);
    t->type = sl_registry_find(l->registry, t->type_name);
    if (flowable != NULL) {
        t->flowable = flowable->kind;
        sl_bind_check(flowable->opts, sl_common_opts, t->props, where, l->problems);
        return;
    }
    if (t->type != NULL) {
        sl_bind_check(t->type->opts, sl_common_opts, t->props, where, l->problems);
        if (t->type->check != NULL)
            t->type->check(t->props, where, l->problems);
        return;
    }
    const sl_val *type = sl_get(v, "type");
    const char *near = closest_type(l->registry, l->arena, t->type_name), *unsupported = sl_type_unsupported(t->type_name);
    if (near != NULL)
        sl_problem_add(l->problems, type->line, type->column, "%.*s: Invalid type: %.*s; did you mean %s?", SL_ARG(where), SL_ARG(written), near);
    else
        sl_problem_add(l->problems, type->line, type->column, "%.*s: Invalid type: %.*s %s; `sluice plugins` lists what there is", SL_ARG(where), SL_ARG(written),
                       unsupported ? unsupported : "is unknown");
}

static sl_task_def *parse_task(loader *l, const sl_val *v, sl_str path, sl_task_def *parent, int depth)
{
    if (v->type != SL_MAP) {
        sl_problem_add(l->problems, v->line, v->column, "%.*s: a task must be a map with 'id' and 'type'", SL_ARG(path));
        return NULL;
    }
    sl_task_def *t = SL_NEW(l->arena, sl_task_def);
    t->props = v;
    t->line = v->line;
    t->column = v->column;
    t->parent = parent;
    t->loop_depth = parent == NULL || parent->isolated ? 0 : parent->loop_depth + (parent->flowable == SL_FOR_EACH);
    l->flow->has_loops |= parent != NULL && parent->flowable == SL_FOR_EACH;
    const sl_val *id = sl_get(v, "id");
    t->id = id ? sl_val_text(l->arena, id) : SL_S("");
    sl_str written = sl_get_text(v, "type");
    sl_str where = t->id.n ? sl_fmt(l->arena, "task '%.*s'", SL_ARG(t->id)) : path;
    if (written.n == 0) {
        sl_problem_add(l->problems, v->line, v->column, "%.*s: the property 'type' is missing", SL_ARG(where));
        return NULL;
    }
    check_name(l, v, "id", t->id, false, true, 256);
    t->type_name = sl_type_canonical(l->arena, l->registry, written);
    check_type(l, t, v, written, where);
    parse_common(l, t, where);
    register_task(l, t);
    if (t->id.n > 0)
        check_unique(l, t);
    if (t->flowable != SL_RUNNABLE)
        parse_flowable(l, t, depth + 1);
    return t;
}

static sl_task_list parse_tasks(loader *l, const sl_val *list, const char *name, sl_task_def *parent, int depth)
{
    sl_task_list out = { 0 };
    if (sl_is_null(list))
        return out;
    if (list->type != SL_LIST) {
        sl_problem_add(l->problems, list->line, list->column, "'%s' must be a list of tasks", name);
        return out;
    }
    if (depth > SL_FLOW_NESTING_MAX || l->flow->task_count > SL_FLOW_TASKS_MAX) {
        sl_problem_add(l->problems, list->line, list->column, "the flow has more than %d tasks, or nests them deeper than %d levels", SL_FLOW_TASKS_MAX, SL_FLOW_NESTING_MAX);
        return out;
    }
    out.items = SL_ARRAY(l->arena, sl_task_def *, list->list.n);
    for (size_t i = 0; i < list->list.n; i++) {
        sl_task_def *t = parse_task(l, list->list.items[i], sl_fmt(l->arena, "%s[%zu]", name, i), parent, depth);
        if (t == NULL)
            continue;
        t->position = out.n;
        out.items[out.n++] = t;
    }
    return out;
}

/* ---- the rest of the flow ---- */

static const sl_val *parse_labels(loader *l, const sl_val *v)
{
    sl_val *out = sl_map(l->arena);
    if (sl_is_null(v))
        return out;
    if (v->type != SL_MAP && v->type != SL_LIST) {
        sl_problem_add(l->problems, v->line, v->column, "'labels' must be a map, or a list of {key, value}");
        return out;
    }
    for (size_t i = 0; i < sl_val_count(v); i++) {
        sl_str key = v->type == SL_MAP ? v->map.entries[i].key : sl_get_text(v->list.items[i], "key");
        const sl_val *value = v->type == SL_MAP ? v->map.entries[i].value : sl_get(v->list.items[i], "value");
        if (sl_str_starts(key, SL_S("system.")) && !sl_str_eqc(key, "system.readOnly"))
            sl_problem_add(l->problems, v->line, v->column, "System labels can only be set by the system itself, offending label: %.*s", SL_ARG(key));
        sl_map_set(l->arena, out, key, sl_val_str(l->arena, sl_val_text(l->arena, value ? value : &sl_null_val)));
    }
    return out;
}

/* As everywhere, and with the types by their current names: *ret is the list as it is kept. */
static const sl_val *parse_triggers(loader *l, const sl_val *triggers)
{
    sl_val *ids = sl_map(l->arena), *out = sl_list(l->arena);
    for (size_t i = 0; sl_is(triggers, SL_LIST) && i < sl_val_count(triggers); i++) { /* another shape is already reported */
        const sl_val *t = sl_at(triggers, i);
        sl_str id = sl_get_text(t, "id");
        if (!sl_is(t, SL_MAP)) {
            sl_problem_add(l->problems, t->line, t->column, "triggers[%zu]: a trigger must be a map with 'id' and 'type'", i);
            continue;
        }
        if (sl_get_str(ids, id) != NULL)
            sl_problem_add(l->problems, t->line, t->column, "Duplicate trigger id '%.*s'", SL_ARG(id));
        sl_map_set(l->arena, ids, id, &sl_true_val);
        sl_trigger_check(l->arena, l->registry, t, l->problems);
        sl_val *kept = sl_map_shallow(l->arena, t);
        sl_map_setc(l->arena, kept, "type", sl_val_str(l->arena, sl_trigger_canonical(l->arena, l->registry, sl_get_text(t, "type"))));
        sl_list_add(l->arena, out, kept);
    }
    return out;
}

/* Every template is parsed once now: a typo in {{ }} is found before anything runs, except in parts that may never run. */
static void check_templates(loader *l, const sl_val *v, sl_str where)
{
    if (v->type == SL_STRING && sl_has_template(v)) {
        sl_err err;
        if (!sl_expr_check(v->s, &err)) {
            bool block = v->quoted && memchr(v->s.p, '\n', v->s.n) != NULL;
            sl_problem_add(l->problems, v->line + (block ? err.line : 0), block ? err.column : v->column, "%.*s: %s", SL_ARG(where), err.message);
        }
    }
    for (size_t i = 0; i < sl_val_count(v); i++)
        check_templates(l, v->type == SL_LIST ? v->list.items[i] : v->map.entries[i].value, where);
}

static void check_slas(loader *l, const sl_val *slas)
{
    for (size_t i = 0; i < sl_val_count(slas); i++) {
        const sl_val *s = sl_at(slas, i);
        bool timed = sl_str_eqc(sl_get_text(s, "type"), "MAX_DURATION");
        const char *needed = timed ? "duration" : "assert";
        if (sl_is(s, SL_MAP) && sl_get(s, needed) == NULL)
            sl_problem_add(l->problems, s->line, s->column, "sla '%.*s': the property '%s' is missing", SL_ARG(sl_get_text(s, "id")), needed);
    }
}

/* Does some text name `tasks`, other than as a key, or ask for all variables? Too often does no harm. */
static bool mentions_states(sl_str text)
{
    if (sl_str_find(text, SL_S("Context(")) >= 0)
        return true;
    for (ptrdiff_t at; (at = sl_str_find(text, SL_S("tasks"))) >= 0;) {
        text = sl_str_sub(text, (size_t)at + 5, text.n);
        sl_str rest = text;
        while (rest.n > 0 && (rest.p[0] == '"' || rest.p[0] == '\'' || rest.p[0] == ' '))
            rest = sl_str_sub(rest, 1, rest.n);
        if (rest.n > 0 && rest.p[0] != ':')
            return true;
    }
    return false;
}

/* It would never end. */
static void check_recursion(loader *l, const sl_task_def *t)
{
    const sl_flow *f = l->flow;
    if (sl_str_ends(t->type_name, SL_S(".flow.Subflow")) && sl_str_eq(sl_get_text(t->props, "namespace"), f->ns) && sl_str_eq(sl_get_text(t->props, "flowId"), f->id))
        sl_problem_add(l->problems, t->props->line, t->props->column, "task '%.*s': Recursive call to flow [%.*s.%.*s]", SL_ARG(t->id), SL_ARG(f->ns), SL_ARG(f->id));
}

static void parse_sections(loader *l, const sl_val *doc)
{
    sl_flow *f = l->flow;
    f->tasks = parse_tasks(l, sl_get(doc, "tasks"), "tasks", NULL, 0);
    f->errors = parse_tasks(l, sl_get(doc, "errors"), "errors", NULL, 0);
    f->finally = parse_tasks(l, sl_get(doc, "finally"), "finally", NULL, 0);
    f->after = parse_tasks(l, sl_get(doc, "afterExecution"), "afterExecution", NULL, 0);
    const sl_val *tasks = sl_get(doc, "tasks");
    if (sl_is(tasks, SL_LIST) && tasks->list.n == 0)
        sl_problem_add(l->problems, tasks->line, tasks->column, "'tasks' must not be empty");
    for (size_t i = 0; i < f->task_count; i++)
        check_recursion(l, f->all[i]);
    for (size_t i = 0; i < f->task_count; i++)
        for (size_t k = 0; k < f->all[i]->props->map.n; k++) {
            const sl_entry *e = &f->all[i]->props->map.entries[k];
            bool nested = f->all[i]->flowable != SL_RUNNABLE && e->value->type != SL_STRING;
            if (!nested && !f->all[i]->disabled)
                check_templates(l, e->value, sl_fmt(l->arena, "task '%.*s': '%.*s'", SL_ARG(f->all[i]->id), SL_ARG(e->key)));
        }
    sl_inputs_check(sl_get(doc, "inputs"), l->problems);
    f->inputs = sl_inputs_flat(l->arena, sl_get(doc, "inputs"));
    f->variables = sl_is(sl_get(doc, "variables"), SL_MAP) ? sl_get(doc, "variables") : NULL;
    f->outputs = sl_get(doc, "outputs");
    check_outputs(l, f->outputs, SL_S(""));
    f->triggers = parse_triggers(l, sl_get(doc, "triggers"));
    f->concurrency = sl_is(sl_get(doc, "concurrency"), SL_MAP) ? sl_get(doc, "concurrency") : NULL;
    if (f->concurrency != NULL && sl_get_int(f->concurrency, "limit", 1) < 1)
        sl_problem_add(l->problems, f->concurrency->line, f->concurrency->column, "flow: concurrency's limit must be at least 1");
    f->sla = sl_get(doc, "sla");
    check_slas(l, f->sla);
    f->checks = sl_get(doc, "checks");
    f->wants_states = mentions_states(f->source);
    (void)sl_retry_parse(l->arena, sl_get(doc, "retry"), SL_S("flow"), &f->retry, l->problems);
}

const sl_task_def *sl_flow_task(const sl_flow *f, sl_str id)
{
    const sl_val *at = sl_get_str(f->by_id, id);
    return at ? f->all[at->i] : NULL;
}

static void index_tasks(loader *l)
{
    sl_val *map = sl_map(l->arena);
    for (size_t i = 0; i < l->flow->task_count; i++)
        sl_map_set(l->arena, map, l->flow->all[i]->id, sl_val_int(l->arena, (int64_t)i));
    l->flow->by_id = map;
}

/* ---- names ---- */

static void name_as_written(sl_arena *arena, const sl_val *map, const char *key)
{
    const sl_val *v = sl_get(map, key);
    if (v != NULL && (v->type == SL_BOOL || v->type == SL_INT || v->type == SL_DOUBLE)) {
        sl_val *text = sl_val_str(arena, sl_val_written(arena, v));
        text->line = v->line;
        text->column = v->column;
        *(sl_val *)(uintptr_t)v = *text;
    }
}

/* Tasks, inputs, triggers, outputs may be called `yes`, or 010: a name is never a boolean or a number. */
static void names_as_written(sl_arena *arena, const sl_val *v, int depth)
{
    static const char *const parts[] = { "tasks", "errors", "finally", "afterExecution", "then", "else", "defaults", "inputs", "outputs", "triggers", "sla", "listeners", "task" };
    if (v == NULL || depth > SL_YAML_DEPTH_MAX)
        return;
    for (size_t i = 0; v->type == SL_LIST && i < sl_val_count(v); i++)
        names_as_written(arena, sl_at(v, i), depth + 1);
    if (v->type != SL_MAP)
        return;
    name_as_written(arena, v, "id");
    for (size_t i = 0; i < SL_COUNT(parts); i++) {
        const sl_val *part = sl_get(v, parts[i]);
        if (sl_is(part, SL_LIST) || strcmp(parts[i], "task") == 0)
            names_as_written(arena, part, depth + 1);
    }
    const sl_val *cases = sl_get(v, "cases");
    for (size_t i = 0; sl_is(cases, SL_MAP) && i < sl_val_count(cases); i++)
        if (cases->map.entries[i].value->type == SL_LIST)
            names_as_written(arena, cases->map.entries[i].value, depth + 1);
}

sl_flow *sl_flow_parse(sl_arena *arena, const sl_registry *registry, const sl_val *server_defaults, sl_str source, sl_problems *problems)
{
    sl_err err;
    const sl_val *raw = sl_yaml_parse(arena, source, &err);
    if (raw == NULL) {
        sl_problem_add(problems, err.line, err.column, "%s", err.message);
        return NULL;
    }
    if (raw->type != SL_MAP) {
        sl_problem_add(problems, 1, 1, "a flow must be a map with 'id', 'namespace' and 'tasks'");
        return NULL;
    }
    name_as_written(arena, raw, "namespace");
    names_as_written(arena, raw, 0);
    const sl_val *doc = sl_defaults_apply(arena, registry, raw, server_defaults, problems);
    loader l = { .arena = arena, .registry = registry, .problems = problems, .flow = SL_NEW(arena, sl_flow), .ids = sl_map(arena) };
    sl_flow *f = l.flow;
    f->arena = arena;
    f->source = sl_str_dup(arena, source);
    f->hash = sl_hex(arena, sl_digest(arena, "SHA256", f->source));
    f->revision = 1;
    sl_bind_check(sl_flow_opts, NULL, doc, SL_S("flow"), problems);
    f->id = sl_val_text(arena, sl_get(doc, "id"));
    f->ns = sl_val_text(arena, sl_get(doc, "namespace"));
    check_name(&l, doc, "id", f->id, true, true, 100);
    check_name(&l, doc, "namespace", f->ns, true, false, 150);
    f->description = sl_get_text(doc, "description");
    f->disabled = sl_get_bool(doc, "disabled", false);
    f->labels = parse_labels(&l, sl_get(doc, "labels"));
    parse_sections(&l, doc);
    index_tasks(&l);
    return problems->n == 0 ? f : NULL;
}
