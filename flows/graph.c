/* flows/graph.c: see graph.h. */
#include "flows/graph.h"

#include "base/arena.h"

#define TYPE(name) "io.kestra.core.models.hierarchies." name

typedef struct drawing {
    sl_arena *arena;
    sl_val *nodes, *edges, *clusters, *flowables;
    const sl_graph_look *look;
} drawing;

/* A box: what is in it lies between its start and its end. */
typedef struct box {
    const struct box *around;
    sl_str uid, start, end;        /* uid: "root.task"; those of its nodes begin with it */
    sl_val *members;               /* uids */
    const char *branch;            /* ERROR, FINALLY, AFTER_EXECUTION; NULL = the main list */
} box;

/* Where a task begins and ends: one node, or the ends of its box. */
typedef struct span {
    sl_str first, last;
} span;

static sl_val *add_node(drawing *d, const box *b, sl_str uid, const char *type)
{
    sl_val *node = sl_map(d->arena);
    sl_map_set_str(d->arena, node, "uid", uid);
    sl_map_set_str(d->arena, node, "type", sl_str_c(type));
    sl_map_set_bool(d->arena, node, "error", b->branch != NULL && strcmp(b->branch, "ERROR") == 0);
    if (b->branch != NULL)
        sl_map_set_str(d->arena, node, "branchType", sl_str_c(b->branch));
    sl_list_add(d->arena, d->nodes, node);
    sl_list_add(d->arena, b->members, sl_val_str(d->arena, uid));
    return node;
}

static void add_edge(drawing *d, sl_str from, sl_str to, const char *relation, sl_str value)
{
    sl_val *edge = sl_map(d->arena), *r = sl_map(d->arena);
    if (relation != NULL)
        sl_map_set_str(d->arena, r, "relationType", sl_str_c(relation));
    sl_map_opt_str(d->arena, r, "value", value);
    sl_map_set_str(d->arena, edge, "source", from);
    sl_map_set_str(d->arena, edge, "target", to);
    sl_map_setc(d->arena, edge, "relation", r);
    sl_list_add(d->arena, d->edges, edge);
}

/* '$' is in no task's id. */
static box open_box(drawing *d, const box *around, sl_str uid, const char *branch)
{
    box b = { .around = around, .uid = uid, .members = sl_list(d->arena), .branch = branch };
    b.start = sl_fmt(d->arena, "%.*s.$start", SL_ARG(uid));
    b.end = sl_fmt(d->arena, "%.*s.$end", SL_ARG(uid));
    (void)add_node(d, &b, b.start, TYPE("GraphClusterRoot"));
    (void)add_node(d, &b, b.end, TYPE("GraphClusterEnd"));
    return b;
}

static sl_str cluster_uid(drawing *d, const box *b)
{
    return sl_fmt(d->arena, "cluster_%.*s", SL_ARG(b->uid));
}

static void close_box(drawing *d, const box *b)
{
    sl_val *entry = sl_map(d->arena), *cluster = sl_map(d->arena), *parents = sl_list(d->arena);
    sl_map_set_str(d->arena, cluster, "uid", cluster_uid(d, b));
    sl_map_set_str(d->arena, cluster, "type", SL_S(TYPE("GraphCluster")));
    sl_map_set_bool(d->arena, cluster, "error", false);
    for (const box *p = b->around; p != NULL && p->around != NULL; p = p->around)
        sl_list_add(d->arena, parents, sl_val_str(d->arena, cluster_uid(d, p)));
    sl_map_setc(d->arena, entry, "cluster", cluster);
    sl_map_setc(d->arena, entry, "nodes", b->members);
    sl_map_setc(d->arena, entry, "parents", parents);
    sl_map_set_str(d->arena, entry, "start", b->start);
    sl_map_set_str(d->arena, entry, "end", b->end);
    sl_list_add(d->arena, d->clusters, entry);
}

static span draw_task(drawing *d, const box *b, const sl_task_def *t, const char *relation);

/* One after the other: the first is reached from `from` as `relation` says. */
static void draw_sequence(drawing *d, const box *b, sl_str from, const sl_task_list *list, const char *relation, const char *inner, sl_str value)
{
    sl_str last = from;
    for (size_t i = 0; i < list->n; i++) {
        span s = draw_task(d, b, list->items[i], i == 0 && relation ? relation : inner);
        add_edge(d, last, s.first, i == 0 ? relation : inner, i == 0 ? value : SL_S(""));
        last = s.last;
    }
    add_edge(d, last, b->end, NULL, SL_S(""));
}

static void draw_parallel(drawing *d, const box *b, sl_str from, const sl_task_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        span s = draw_task(d, b, list->items[i], "PARALLEL");
        add_edge(d, from, s.first, "PARALLEL", SL_S(""));
        add_edge(d, s.last, b->end, NULL, SL_S(""));
    }
}

static void draw_dag(drawing *d, const box *b, sl_str from, const sl_task_list *list)
{
    span *spans = SL_ARRAY(d->arena, span, list->n + 1);
    bool *awaited = SL_ARRAY(d->arena, bool, list->n + 1);
    for (size_t i = 0; i < list->n; i++)
        spans[i] = draw_task(d, b, list->items[i], "PARALLEL");
    for (size_t i = 0; i < list->n; i++) {
        const sl_val *needs = list->items[i]->depends_on;
        if (sl_val_count(needs) == 0)
            add_edge(d, from, spans[i].first, "PARALLEL", SL_S(""));
        for (size_t k = 0; k < list->n; k++)
            for (size_t n = 0; n < sl_val_count(needs); n++)
                if (sl_str_eq(list->items[k]->id, sl_text(sl_at(needs, n)))) {
                    add_edge(d, spans[k].last, spans[i].first, "PARALLEL", SL_S(""));
                    awaited[k] = true;
                }
    }
    for (size_t i = 0; i < list->n; i++)
        if (!awaited[i])
            add_edge(d, spans[i].last, b->end, NULL, SL_S(""));
}

/* What runs because something failed, or at the end in any case. */
static void draw_branch(drawing *d, const box *b, sl_str from, const sl_task_list *list, const char *branch)
{
    box as = *b;
    as.branch = branch;
    if (list->n > 0)
        draw_sequence(d, &as, from, list, branch, "SEQUENTIAL", SL_S(""));
}

static void draw_children(drawing *d, const box *b, sl_str from, const sl_task_def *t)
{
    switch (t->flowable) {
    case SL_IF:
        draw_sequence(d, b, from, &t->tasks, "CHOICE", "SEQUENTIAL", SL_S("then"));
        if (t->otherwise.n > 0)
            draw_sequence(d, b, from, &t->otherwise, "CHOICE", "SEQUENTIAL", SL_S("else"));
        return;
    case SL_SWITCH:
        for (size_t i = 0; i < t->case_count; i++)
            draw_sequence(d, b, from, &t->cases[i].tasks, "CHOICE", "SEQUENTIAL", t->cases[i].key);
        if (t->otherwise.n > 0)
            draw_sequence(d, b, from, &t->otherwise, "CHOICE", "SEQUENTIAL", SL_S("defaults"));
        return;
    case SL_PARALLEL: draw_parallel(d, b, from, &t->tasks); return;
    case SL_DAG: draw_dag(d, b, from, &t->tasks); return;
    case SL_FOR_EACH: draw_sequence(d, b, from, &t->tasks, "DYNAMIC", "SEQUENTIAL", SL_S("")); return;
    default: draw_sequence(d, b, from, &t->tasks, NULL, "SEQUENTIAL", SL_S("")); return;
    }
}

static sl_str draw_node(drawing *d, const box *b, const sl_task_def *t, const char *relation)
{
    sl_str uid = sl_fmt(d->arena, "%.*s.%.*s", SL_ARG(b->uid), SL_ARG(t->id));
    bool calls = sl_str_ends(t->type_name, SL_S(".flow.Subflow"));
    sl_val *node = add_node(d, b, uid, calls ? TYPE("SubflowGraphTask") : TYPE("GraphTask"));
    sl_map_setc(d->arena, node, "task", t->props);
    if (relation != NULL)
        sl_map_set_str(d->arena, node, "relationType", sl_str_c(relation));
    if (d->look != NULL && d->look->task != NULL)
        d->look->task(d->look->self, node, t);
    return uid;
}

static span draw_task(drawing *d, const box *b, const sl_task_def *t, const char *relation)
{
    if (t->flowable == SL_RUNNABLE || (t->flowable == SL_PAUSE && t->tasks.n == 0)) {
        sl_str uid = draw_node(d, b, t, relation);
        return (span){ uid, uid };
    }
    sl_list_add(d->arena, d->flowables, sl_val_str(d->arena, t->id));
    box own = open_box(d, b, sl_fmt(d->arena, "%.*s.%.*s", SL_ARG(b->uid), SL_ARG(t->id)), b->branch);
    box inside = own;
    inside.uid = b->uid;
    sl_str uid = draw_node(d, &inside, t, relation); /* its own node goes by its own name */
    add_edge(d, own.start, uid, NULL, SL_S(""));
    draw_children(d, &own, uid, t);
    draw_branch(d, &own, uid, &t->errors, "ERROR");
    draw_branch(d, &own, uid, &t->finally, "FINALLY");
    close_box(d, &own);
    return (span){ own.start, own.end };
}

static void draw_triggers(drawing *d, const box *root, const sl_flow *flow)
{
    if (sl_val_count(flow->triggers) == 0)
        return;
    box b = open_box(d, root, SL_S("root.Triggers"), NULL);
    for (size_t i = 0; i < sl_val_count(flow->triggers); i++) {
        const sl_val *t = sl_at(flow->triggers, i);
        sl_str uid = sl_fmt(d->arena, "%.*s.%.*s", SL_ARG(b.uid), SL_ARG(sl_get_text(t, "id")));
        sl_val *node = add_node(d, &b, uid, TYPE("GraphTrigger"));
        sl_map_setc(d->arena, node, "triggerDeclaration", t);
        if (d->look != NULL && d->look->trigger != NULL)
            d->look->trigger(d->look->self, node, sl_get_text(t, "id"));
        add_edge(d, b.start, uid, NULL, SL_S(""));
        add_edge(d, uid, b.end, NULL, SL_S(""));
    }
    add_edge(d, b.end, root->start, NULL, SL_S(""));
    close_box(d, &b);
}

/* It begins where everything else has ended. */
static void draw_after(drawing *d, const box *root, const sl_task_list *list)
{
    if (list->n == 0)
        return;
    box b = open_box(d, root, SL_S("root.$after"), "AFTER_EXECUTION");
    add_edge(d, root->end, b.start, "AFTER_EXECUTION", SL_S(""));
    draw_sequence(d, &b, b.start, list, NULL, "SEQUENTIAL", SL_S(""));
    close_box(d, &b);
}

const sl_val *sl_flow_graph(sl_arena *arena, const sl_flow *flow, const sl_graph_look *look)
{
    drawing d = { arena, sl_list(arena), sl_list(arena), sl_list(arena), sl_list(arena), look };
    box root = open_box(&d, NULL, SL_S("root"), NULL);
    draw_triggers(&d, &root, flow);
    draw_sequence(&d, &root, root.start, &flow->tasks, NULL, "SEQUENTIAL", SL_S(""));
    draw_branch(&d, &root, root.start, &flow->errors, "ERROR");
    draw_branch(&d, &root, root.start, &flow->finally, "FINALLY");
    draw_after(&d, &root, &flow->after);
    sl_val *out = sl_map_of(arena, "nodes", d.nodes);
    sl_map_setc(arena, out, "edges", d.edges);
    sl_map_setc(arena, out, "clusters", d.clusters);
    sl_map_setc(arena, out, "flowables", d.flowables);
    return out;
}
