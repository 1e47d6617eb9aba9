/* flows/exec_restore.c: executions taken up again: after a restart of the process, by hand after a failure, as a replay. */
#include "base/arena.h"
#include "flows/exec_private.h"

sl_taskrun *sl_exec_restore(sl_exec *x, sl_str id, const sl_task_def *def, sl_taskrun *parent, sl_phase role, sl_str value, int64_t iteration)
{
    sl_taskrun *r = sl_scope_add_run(x, sl_str_dup(x->arena, id), def, parent, role);
    r->value = value;
    r->iteration = iteration;
    return r;
}

/* ---- where everything stood ---- */

/* Parents come before their children in the order of creation: one pass gives each run its list. */
static void rebuild_tree(sl_exec *x)
{
    x->paused = x->aside = 0;
    x->wake_ms = INT64_MAX;
    for (sl_taskrun *r = x->first; r != NULL; r = r->next) {
        sl_scope *s = r->role == SL_PHASE_ASIDE ? r->parent->in : r->parent ? r->parent->scope : &x->root;
        sl_assert(s != NULL);
        if (s->owner != NULL && s->owner->def->flowable == SL_FOR_EACH && r->role == SL_PHASE_MAIN)
            s = sl_scope_iteration(x, s, (size_t)r->iteration);
        if (s->owner != NULL && s->owner->def->flowable == SL_LOOP_UNTIL && r->role == SL_PHASE_MAIN && r->iteration > s->iteration) {
            s->iteration = r->iteration;
            sl_exec_forget_outputs(x, s);
        }
        r->in = s;
        sl_exec_set_outputs(x, r, r->outputs);
        sl_exec_name_outputs(x, r);
        bool live = !sl_state_final(r->state);
        x->paused += r->state == SL_PAUSED;
        x->aside += live && r->role == SL_PHASE_ASIDE;
        if (live && r->wake_ms > 0 && r->wake_ms < x->wake_ms)
            x->wake_ms = r->wake_ms;
        bool entered = r->def->flowable != SL_RUNNABLE && r->state != SL_PAUSED && (r->chosen || !sl_flowable_evaluates(r->def));
        if (!entered || (r->def->flowable == SL_PAUSE && r->def->tasks.n == 0))
            continue;
        r->scope = SL_NEW(x->arena, sl_scope);
        r->scope->owner = r;
        r->scope->over = !live;
        r->scope->list = sl_scope_list(x, r->scope);
        sl_scope_take_values(x, r);
    }
}

static int rank(sl_state s)
{
    return s == SL_KILLED ? 3 : s == SL_FAILED || s == SL_CANCELLED ? 2 : s == SL_WARNED ? 1 : 0;
}

/* The list of a flowable or of the flow: for one value of a loop, the loop. */
static sl_scope *whole(const sl_taskrun *r)
{
    return r->in->outer ? r->in->outer : r->in;
}

/* The phase is the latest role of a run in the list; the outcome of the main list, and the round, follow from its runs. */
static void find_phases(sl_exec *x)
{
    static const sl_state outcome[] = { SL_SUCCESS, SL_WARNED, SL_FAILED, SL_KILLED };
    x->root.phase = sl_state_final(x->state) ? SL_PHASE_AFTER : SL_PHASE_MAIN;
    x->root.main_state = SL_SUCCESS;
    for (sl_taskrun *r = x->first; r != NULL; r = r->next) {
        sl_scope *s = whole(r);
        if (r->role > s->phase && r->role != SL_PHASE_ASIDE)
            s->phase = r->role;
        if (r->role != SL_PHASE_MAIN)
            continue;
        bool forgiven = s->owner != NULL && s->owner->def->forgives && !x->killing;
        if (rank(r->state) > rank(s->main_state) && !forgiven)
            s->main_state = outcome[rank(r->state)];
        if (s->owner != NULL && s->owner->def->flowable == SL_LOOP_UNTIL && r->iteration > s->iteration)
            s->iteration = r->iteration;
    }
}

static void begin_list(sl_exec *x, sl_scope *s)
{
    s->list = sl_scope_list(x, s);
    if (s->owner != NULL && s->owner->def->flowable == SL_DAG && s->phase == SL_PHASE_MAIN)
        s->begun = SL_ARRAY(x->arena, uint8_t, s->list->n + 1);
}

/* Position and counts follow from the runs of the phase. */
static void count_runs(sl_exec *x)
{
    for (sl_taskrun *r = x->first; r != NULL; r = r->next) {
        sl_scope *s = r->in;
        bool rounds = s->owner != NULL && s->owner->def->flowable == SL_LOOP_UNTIL && s->phase == SL_PHASE_MAIN;
        if (r->role != s->phase || (rounds && r->iteration != s->iteration))
            continue;
        s->running += !sl_state_final(r->state);
        s->failed |= rank(r->state) == 2;
        s->killed |= r->state == SL_KILLED;
        s->warned |= r->state == SL_WARNED;
        if (r->def->position + 1 > s->next)
            s->next = r->def->position + 1;
        if (s->begun != NULL)
            s->begun[r->def->position] = 1;
    }
}

static void count_iterations(const sl_exec *x, sl_scope *loop)
{
    const sl_taskrun *r = loop->owner;
    for (size_t i = 0; !sl_scope_is_loop(loop) && i < sl_val_count(r->values); i++)
        if (r->iterations[i] != NULL)
            r->iterations[i]->over = true; /* it is at its errors, or later */
    if (!sl_scope_is_loop(loop))
        return;
    for (size_t i = 0; i < sl_val_count(r->values); i++) {
        sl_scope *s = r->iterations[i];
        if (s == NULL)
            continue;
        size_t enabled = 0;
        for (size_t k = s->next; k < s->list->n; k++)
            enabled += !s->list->items[k]->disabled;
        s->over = s->running == 0 && (enabled == 0 || s->failed || s->killed);
        loop->running += !s->over;
        if (s->over)
            sl_scope_count_iteration(x, loop, s);
        loop->next = i + 1;
    }
}

void sl_exec_rebuild(sl_exec *x)
{
    x->task_outputs = sl_map(x->arena);
    rebuild_tree(x);
    find_phases(x);
    begin_list(x, &x->root);
    for (sl_taskrun *r = x->first; r != NULL; r = r->next)
        if (r->scope != NULL)
            begin_list(x, r->scope);
    count_runs(x);
    for (sl_taskrun *r = x->first; r != NULL; r = r->next)
        if (r->scope != NULL && r->iterations != NULL)
            count_iterations(x, r->scope);
    if (sl_state_final(x->state))
        x->root.main_state = x->state;
}

static void offer_again(sl_exec *x, sl_taskrun *r)
{
    if (sl_state_final(r->state) || r->wake_ms > 0 || r->state == SL_PAUSED)
        return;
    if (r->def->flowable == SL_RUNNABLE)
        sl_exec_act(x, SL_ACT_RUN, r);
    else if (r->scope == NULL)
        sl_exec_act(x, SL_ACT_EVALUATE, r);
}

/* Scopes in which nothing runs any more: the end came between a child's end and the next start. Innermost first. */
static void advance_open(sl_exec *x, int64_t now)
{
    sl_taskrun **order = SL_ARRAY(x->arena, sl_taskrun *, x->run_count + 1);
    size_t n = 0;
    for (sl_taskrun *r = x->first; r != NULL; r = r->next)
        if (r->scope != NULL && !r->scope->over)
            order[n++] = r;
    while (n > 0) {
        sl_taskrun *r = order[--n];
        for (size_t i = 0; r->iterations != NULL && i < sl_val_count(r->values) && !r->scope->over; i++)
            if (r->iterations[i] != NULL && !r->iterations[i]->over)
                sl_scope_advance(x, r->iterations[i], now);
        if (!r->scope->over)
            sl_scope_advance(x, r->scope, now);
    }
}

void sl_exec_resume(sl_exec *x, int64_t now)
{
    sl_exec_rebuild(x);
    for (sl_taskrun *r = x->first; r != NULL; r = r->next)
        offer_again(x, r);
    advance_open(x, now);
    if (x->state == SL_QUEUED || (x->state == SL_CREATED && x->first == NULL))
        return; /* the engine decides when it starts */
    sl_scope_advance(x, &x->root, now);
}

/* ---- restart and replay ---- */

static bool gone(const sl_exec *x, const sl_taskrun *r)
{
    for (const sl_taskrun *p = r; p != NULL; p = p->parent)
        if (sl_get_str(x->removed, p->id) != NULL)
            return true;
    return false;
}

static void remove_run(sl_exec *x, const sl_taskrun *r)
{
    sl_map_set(x->arena, x->removed, r->id, &sl_true_val);
}

/* What ran because something had failed, and after the end; and the children of a WorkingDirectory, whose folder is gone. */
static void drop_consequences(sl_exec *x, const bool *again)
{
    for (const sl_taskrun *r = x->first; r != NULL; r = r->next) {
        bool around = r->parent == NULL || again[r->parent->seq];
        bool folder = r->parent != NULL && r->parent->def->flowable == SL_WORKING_DIRECTORY && again[r->parent->seq];
        if ((r->role != SL_PHASE_MAIN && around) || folder)
            remove_run(x, r);
    }
}

static void unlink_removed(sl_exec *x)
{
    sl_taskrun *r = x->first;
    x->first = x->last = NULL;
    x->run_count = 0;
    while (r != NULL) {
        sl_taskrun *next = r->next;
        r->next = NULL;
        if (!gone(x, r)) {
            if (x->last != NULL)
                x->last->next = r;
            else
                x->first = r;
            x->last = r;
            x->run_count = r->seq + 1; /* rows keep their numbers */
        } else
            remove_run(x, r);
        r = next;
    }
}

static void reopen_run(sl_exec *x, sl_taskrun *r, int64_t now)
{
    r->ended_ms = r->wake_ms = 0;
    r->waiting = r->busy = false;
    r->checkpoint = NULL;
    r->error = (sl_str){ NULL, 0 };
    r->scope = NULL;
    sl_exec_set_run_state(x, r, SL_RESTARTED, now);
    if (r->def->flowable == SL_RUNNABLE) {
        r->attempt++;
        r->started_ms = r->first_started_ms = now;
    } else if (r->def->flowable == SL_WORKING_DIRECTORY)
        r->chosen = false;
    sl_exec_set_run_state(x, r, SL_RUNNING, now);
}

static void forget_scopes(sl_exec *x)
{
    for (sl_taskrun *r = x->first; r != NULL; r = r->next) {
        r->scope = r->in = NULL;
        r->values = r->keys = NULL;
        r->iterations = NULL;
    }
    x->root = (sl_scope){ .list = &x->flow->tasks };
}

static void reopen(sl_exec *x, int64_t now)
{
    forget_scopes(x);
    x->killing = x->held = false;
    x->kill_state = SL_KILLED;
    x->ended_by = (sl_str){ NULL, 0 };
    x->ended_ms = 0;
    x->outputs = NULL;
    sl_exec_set_state(x, SL_RESTARTED, now);
    sl_exec_set_state(x, SL_RUNNING, now);
    x->attempt_number++;
}

bool sl_exec_restart(sl_exec *x, int64_t now)
{
    bool any = false, *again = SL_ARRAY(x->arena, bool, x->run_count + 1);
    for (const sl_taskrun *r = x->first; r != NULL; r = r->next) {
        bool failed = r->state == SL_FAILED || r->state == SL_KILLED || r->state == SL_CANCELLED;
        if (r->role == SL_PHASE_AFTER || r->role == SL_PHASE_ASIDE || !failed)
            continue;
        any = true;
        for (const sl_taskrun *p = r; p != NULL; p = p->parent)
            again[p->seq] = true;
    }
    if (!any)
        return false;
    x->removed = sl_map(x->arena);
    drop_consequences(x, again);
    unlink_removed(x);
    for (sl_taskrun *r = x->first; r != NULL; r = r->next)
        if (again[r->seq])
            reopen_run(x, r, now);
    reopen(x, now);
    return true;
}

bool sl_exec_set_run(sl_exec *x, sl_taskrun *r, sl_state state, int64_t now)
{
    bool *again = SL_ARRAY(x->arena, bool, x->run_count + 1);
    for (const sl_taskrun *p = r; p != NULL; p = p->parent)
        if (p->role != SL_PHASE_MAIN || (p != r && p->def->flowable == SL_WORKING_DIRECTORY))
            return false;
    for (const sl_taskrun *p = r->parent; p != NULL; p = p->parent)
        again[p->seq] = true;
    x->removed = sl_map(x->arena);
    drop_consequences(x, again);
    unlink_removed(x);
    r->ended_ms = now;
    r->error = (sl_str){ NULL, 0 };
    sl_exec_set_run_state(x, r, state, now);
    for (sl_taskrun *p = r->parent; p != NULL; p = p->parent)
        reopen_run(x, p, now);
    reopen(x, now);
    return true;
}

/* The task of a run in the flow of x, which may be another revision; NULL: it is not there, or in another list. */
static const sl_task_def *same_task(const sl_exec *x, const sl_taskrun *r, sl_taskrun *parent)
{
    const sl_task_def *found = sl_flow_task(x->flow, r->def->id);
    if (found == NULL || found->flowable != r->def->flowable)
        return NULL;
    sl_scope s = { .owner = parent, .phase = r->role };
    const sl_task_list *list = sl_scope_list(x, &s);
    return found->position < list->n && list->items[found->position] == found ? found : NULL;
}

static sl_taskrun *copy_run(sl_exec *x, const sl_taskrun *r, sl_taskrun *parent)
{
    sl_arena *a = x->arena;
    const sl_task_def *def = same_task(x, r, parent);
    if (def == NULL)
        return NULL;
    sl_taskrun *c = sl_scope_add_run(x, x->new_id(x->new_id_self, a), def, parent, r->role);
    c->value = r->value.p ? sl_str_dup(a, r->value) : r->value;
    c->iteration = r->iteration;
    c->state = r->state;
    c->attempt = r->attempt;
    c->created_ms = r->created_ms;
    c->started_ms = r->started_ms;
    c->first_started_ms = r->first_started_ms;
    c->ended_ms = r->ended_ms;
    c->outputs = r->outputs ? sl_val_copy(a, r->outputs) : NULL;
    c->choice = r->choice.p ? sl_str_dup(a, r->choice) : r->choice;
    c->chosen = r->chosen;
    c->history.items = SL_ARRAY(a, sl_change, r->history.n + 1);
    c->history.n = r->history.n;
    c->history.capacity = r->history.n + 1;
    if (r->history.n > 0)
        memcpy(c->history.items, r->history.items, r->history.n * sizeof *r->history.items);
    sl_exec_mark(x, c);
    return c;
}

static bool is_ancestor(const sl_taskrun *p, const sl_taskrun *of)
{
    for (const sl_taskrun *q = of; q != NULL; q = q->parent)
        if (q == p)
            return true;
    return false;
}

static sl_exec *begin_copy(const sl_exec *from, const sl_flow *flow, sl_str id, int64_t now)
{
    sl_exec *x = sl_exec_new(flow, id, now);
    sl_arena *a = x->arena;
    x->inputs = sl_val_copy(a, from->inputs);
    x->labels = sl_val_copy(a, from->labels);
    x->trigger = from->trigger ? sl_val_copy(a, from->trigger) : NULL;
    x->variables = from->variables ? sl_val_copy(a, from->variables) : NULL;
    x->original_id = sl_str_dup(a, from->original_id);
    x->parent_id = sl_str_dup(a, from->id);
    x->attempt_number = from->attempt_number + 1;
    return x;
}

/* Loops of another length, branches that were not taken then: what a copied run's parent chose holds for it. */
sl_exec *sl_exec_replay(const sl_exec *from, const sl_flow *flow, const sl_taskrun *at, sl_str id, int64_t now)
{
    sl_exec *x = begin_copy(from, flow, id, now);
    if (at == NULL)
        return x;
    sl_taskrun **copies = SL_ARRAY(x->arena, sl_taskrun *, from->run_count + 1);
    for (const sl_taskrun *r = from->first; r != NULL && r->seq <= at->seq; r = r->next) {
        bool on_path = is_ancestor(r, at), orphan = r->parent != NULL && copies[r->parent->seq] == NULL;
        if (!on_path && (!sl_state_final(r->state) || r->state == SL_FAILED || r->state == SL_KILLED || orphan))
            continue;
        sl_taskrun *c = orphan ? NULL : copy_run(x, r, r->parent ? copies[r->parent->seq] : NULL);
        copies[r->seq] = c;
        if (c == NULL && on_path) {
            sl_arena_free(x->arena);
            return NULL;
        }
        if (on_path)
            reopen_run(x, c, now);
    }
    reopen(x, now);
    x->attempt_number--;
    x->started_ms = now;
    return x;
}

sl_exec *sl_exec_restart_as(const sl_exec *from, const sl_flow *flow, sl_str id, int64_t now)
{
    sl_exec *x = begin_copy(from, flow, id, now);
    sl_taskrun **copies = SL_ARRAY(x->arena, sl_taskrun *, from->run_count + 1);
    for (const sl_taskrun *r = from->first; r != NULL; r = r->next)
        if (r->parent == NULL || copies[r->parent->seq] != NULL)
            copies[r->seq] = copy_run(x, r, r->parent ? copies[r->parent->seq] : NULL);
    x->state = from->state;
    if (!sl_exec_restart(x, now)) {
        sl_arena_free(x->arena);
        return NULL;
    }
    x->dirty_runs = NULL; /* without those that were thrown away */
    for (sl_taskrun *r = x->first; r != NULL; r = r->next) {
        r->dirty = false;
        sl_exec_mark(x, r);
    }
    x->removed = NULL;
    x->attempt_number--;
    x->started_ms = now;
    return x;
}
