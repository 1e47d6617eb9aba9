/* flows/exec_scope.c: lists of tasks: what may start, which phase comes next, loops and their values. */
#include "base/arena.h"
#include "base/json.h"
#include "flows/exec_private.h"

bool sl_scope_is_loop(const sl_scope *s)
{
    return s->owner != NULL && s->outer == NULL && s->phase == SL_PHASE_MAIN && s->owner->def->flowable == SL_FOR_EACH;
}

const sl_task_list *sl_scope_list(const sl_exec *x, const sl_scope *s)
{
    static const sl_task_list none;
    const sl_task_def *d = s->owner ? s->owner->def : NULL;
    switch (s->phase) {
    case SL_PHASE_ERRORS: return d ? &d->errors : &x->flow->errors;
    case SL_PHASE_FINALLY: return d ? &d->finally : &x->flow->finally;
    case SL_PHASE_AFTER: return d ? &none : &x->flow->after;
    case SL_PHASE_MAIN: break;
    default: return &none;
    }
    if (d == NULL)
        return &x->flow->tasks;
    if (d->flowable == SL_IF)
        return sl_str_eqc(s->owner->choice, "then") ? &d->tasks : &d->otherwise;
    if (d->flowable != SL_SWITCH)
        return &d->tasks;
    for (size_t i = 0; i < d->case_count; i++)
        if (sl_str_starts(s->owner->choice, SL_S("case:")) && sl_str_eq(d->cases[i].key, sl_str_sub(s->owner->choice, 5, s->owner->choice.n)))
            return &d->cases[i].tasks;
    return &d->otherwise;
}

sl_taskrun *sl_scope_add_run(sl_exec *x, sl_str id, const sl_task_def *def, sl_taskrun *parent, sl_phase role)
{
    sl_taskrun *r = SL_NEW(x->arena, sl_taskrun);
    r->id = id;
    r->def = def;
    r->parent = parent;
    r->role = role;
    if (x->last != NULL)
        x->last->next = r;
    else
        x->first = r;
    x->last = r;
    r->seq = x->run_count++;
    return r;
}

bool sl_flowable_evaluates(const sl_task_def *d)
{
    return d->run_if.p != NULL || d->flowable == SL_IF || d->flowable == SL_SWITCH || d->flowable == SL_WORKING_DIRECTORY || d->flowable == SL_FOR_EACH || d->flowable == SL_PAUSE
           || d->flowable == SL_LOOP_UNTIL;
}

/* ---- loops ---- */

void sl_scope_take_values(sl_exec *x, sl_taskrun *r)
{
    sl_err ignored;
    if (r->def->flowable != SL_FOR_EACH || r->values != NULL)
        return;
    r->values = sl_json_parse(x->arena, r->choice, &ignored);
    if (sl_is(r->values, SL_MAP)) {
        r->keys = sl_get(r->values, "keys");
        r->values = sl_get(r->values, "values");
    }
    sl_assert(sl_is(r->values, SL_LIST)); /* the worker wrote it */
    r->iterations = SL_ARRAY(x->arena, sl_scope *, r->values->list.n + 1);
}

sl_scope *sl_scope_iteration(sl_exec *x, sl_scope *loop, size_t index)
{
    sl_taskrun *r = loop->owner;
    if (r->iterations[index] == NULL) {
        sl_scope *s = SL_NEW(x->arena, sl_scope);
        *s = (sl_scope){ .owner = r, .outer = loop, .list = &r->def->tasks, .value = sl_text(sl_at(r->values, index)), .iteration = (int64_t)index };
        r->iterations[index] = s;
    }
    return r->iterations[index];
}

/* ---- what may start ---- */

static size_t item_count(const sl_scope *s)
{
    return sl_scope_is_loop(s) ? sl_val_count(s->owner->values) : s->list->n;
}

/* How many items may run at once; 0 = all. */
static size_t limit_of(const sl_scope *s)
{
    const sl_task_def *d = s->owner ? s->owner->def : NULL;
    if (d == NULL || s->phase != SL_PHASE_MAIN)
        return 1;
    if (s->outer != NULL)
        return d->each_parallel ? 0 : 1;
    bool many = d->flowable == SL_PARALLEL || d->flowable == SL_DAG || d->flowable == SL_FOR_EACH;
    return many ? (size_t)d->concurrent : 1;
}

static bool depends_done(const sl_exec *x, const sl_scope *s, const sl_task_def *d)
{
    for (size_t i = 0; i < sl_val_count(d->depends_on); i++) {
        sl_str id = sl_text(sl_at(d->depends_on, i));
        bool done = false;
        for (const sl_taskrun *r = x->first; r != NULL && !done; r = r->next)
            done = r->in == s && sl_str_eq(r->def->id, id) && sl_state_final(r->state);
        for (size_t k = 0; k < s->list->n && !done; k++)
            done = sl_str_eq(s->list->items[k]->id, id) && s->list->items[k]->disabled;
        if (!done)
            return false;
    }
    return true;
}

/* Index of the item to start now; -1 = none. */
static ptrdiff_t pick(const sl_exec *x, sl_scope *s)
{
    size_t limit = limit_of(s), n = item_count(s);
    bool stops = s->phase == SL_PHASE_MAIN && (s->failed || s->killed); /* what follows a failure, or comes at the end, runs whole */
    if (stops || x->held || (x->killing && s->phase != SL_PHASE_AFTER) || (limit > 0 && s->running >= limit))
        return -1;
    if (s->begun == NULL)
        return s->next < n ? (ptrdiff_t)s->next : -1;
    for (size_t i = 0; i < n; i++)
        if (!s->begun[i] && depends_done(x, s, s->list->items[i]))
            return (ptrdiff_t)i;
    return -1;
}

static void inherit_value(sl_taskrun *r, const sl_scope *s)
{
    if (s->outer != NULL) {
        r->value = s->value;
        r->iteration = s->iteration;
        return;
    }
    if (s->owner != NULL) {
        r->value = s->owner->value;
        r->iteration = s->owner->def->flowable == SL_LOOP_UNTIL ? s->iteration : s->owner->iteration;
    }
}

static void begin_run(sl_exec *x, sl_taskrun *r, int64_t now)
{
    const sl_task_def *def = r->def;
    r->created_ms = r->started_ms = r->first_started_ms = now;
    sl_exec_set_run_state(x, r, SL_CREATED, now);
    r->attempt = def->flowable == SL_RUNNABLE ? 1 : 0;
    sl_exec_set_run_state(x, r, SL_RUNNING, now);
    if (def->flowable == SL_RUNNABLE)
        sl_exec_act(x, SL_ACT_RUN, r);
    else if (sl_flowable_evaluates(def))
        sl_exec_act(x, SL_ACT_EVALUATE, r);
    else
        sl_scope_enter(x, r, now);
}

static void start_run(sl_exec *x, sl_scope *s, const sl_task_def *def, int64_t now)
{
    sl_taskrun *r = sl_scope_add_run(x, x->new_id(x->new_id_self, x->arena), def, s->owner, s->phase);
    r->in = s;
    inherit_value(r, s);
    s->running++;
    begin_run(x, r, now);
}

void sl_scope_start_aside(sl_exec *x, sl_taskrun *beside, const sl_task_def *def, int64_t now)
{
    sl_taskrun *r = sl_scope_add_run(x, x->new_id(x->new_id_self, x->arena), def, beside, SL_PHASE_ASIDE);
    r->in = beside->in;
    r->value = beside->value;
    r->iteration = beside->iteration;
    x->aside++;
    begin_run(x, r, now);
}

static void start_item(sl_exec *x, sl_scope *s, size_t index, int64_t now)
{
    s->next++;
    if (s->begun != NULL)
        s->begun[index] = 1;
    if (sl_scope_is_loop(s)) {
        s->running++;
        sl_scope_advance(x, sl_scope_iteration(x, s, index), now);
        return;
    }
    const sl_task_def *def = s->list->items[index];
    if (!def->disabled)
        start_run(x, s, def, now);
}

/* ---- phases ---- */

static sl_state list_state(const sl_scope *s)
{
    return s->killed ? SL_KILLED : s->failed ? SL_FAILED : s->warned ? SL_WARNED : SL_SUCCESS;
}

void sl_scope_end_execution(sl_exec *x, int64_t now)
{
    sl_scope *s = &x->root;
    x->ended_ms = now;
    sl_exec_set_state(x, x->killing ? x->kill_state : s->main_state, now);
    s->phase = SL_PHASE_AFTER;
    s->list = sl_scope_list(x, s);
    s->next = 0;
    s->failed = s->warned = s->killed = false;
    sl_scope_advance(x, s, now);
}

/* Is it around the task that has ended the execution? */
static bool is_around_end(const sl_exec *x, const sl_taskrun *r)
{
    const sl_taskrun *p = x->ended_by.n > 0 ? x->first : NULL;
    while (p != NULL && !sl_str_eq(p->id, x->ended_by))
        p = p->next;
    while (p != NULL && p != r)
        p = p->parent;
    return p != NULL;
}

static void end_scope(sl_exec *x, sl_scope *s, int64_t now)
{
    sl_taskrun *r = s->owner;
    s->phase = SL_PHASE_OVER;
    s->over = true;
    x->dirty |= r == NULL;
    if (r == NULL)
        return;
    if (r->def->flowable == SL_WORKING_DIRECTORY || r->def->isolated) {
        sl_exec_act(x, SL_ACT_LEAVE, r);
        return;
    }
    bool around = s->main_state == SL_KILLED && x->killing && is_around_end(x, r);
    sl_exec_end_run(x, r, around ? x->kill_state : sl_exec_softened(r->def, s->main_state), now);
}

void sl_scope_count_iteration(const sl_exec *x, sl_scope *loop, const sl_scope *s)
{
    bool forgiven = loop->owner->def->forgives && !x->killing;
    loop->failed |= s->failed && !forgiven;
    loop->killed |= s->killed && !forgiven;
    loop->warned |= s->warned && !forgiven;
}

static void end_iteration(sl_exec *x, sl_scope *s, int64_t now)
{
    sl_scope *loop = s->outer;
    s->over = true;
    sl_assert(loop->running > 0);
    loop->running--;
    sl_scope_count_iteration(x, loop, s);
    sl_scope_advance(x, loop, now);
}

static bool phase_has_tasks(const sl_exec *x, sl_scope *s, sl_phase phase)
{
    sl_phase was = s->phase;
    s->phase = phase;
    bool has = sl_scope_list(x, s)->n > 0;
    s->phase = was;
    return has;
}

static void note_outcome(sl_scope *s)
{
    sl_state state = list_state(s);
    if (s->phase == SL_PHASE_MAIN)
        s->main_state = state;
    else if (state == SL_KILLED) /* failures of the other lists never change the result */
        s->main_state = SL_KILLED;
}

static void end_flow(sl_exec *x, sl_scope *s, int64_t now)
{
    s->phase = SL_PHASE_END;
    x->dirty = true;
    if (sl_val_count(x->flow->outputs) > 0 && !x->killing)
        x->outputs_pending = true; /* the caller renders them and answers with SL_EV_OUTPUTS */
    else
        sl_scope_end_execution(x, now);
}

/* The current list is over: which one comes next? false: this scope has nothing more to start. */
static bool next_phase(sl_exec *x, sl_scope *s, int64_t now)
{
    sl_phase was = s->phase;
    if (s->outer != NULL) {
        end_iteration(x, s, now);
        return false;
    }
    if (was == SL_PHASE_MAIN && s->owner != NULL && s->owner->def->flowable == SL_LOOP_UNTIL && !s->failed && !s->killed && !x->killing) {
        if (s->owner->wake_ms == 0 && !s->owner->busy)
            sl_exec_act(x, SL_ACT_EVALUATE, s->owner); /* once more? */
        return false;
    }
    note_outcome(s);
    s->next = 0;
    s->begun = NULL;
    s->failed = s->warned = s->killed = false;
    if (was == SL_PHASE_MAIN && s->main_state == SL_FAILED && !x->killing && phase_has_tasks(x, s, SL_PHASE_ERRORS))
        s->phase = SL_PHASE_ERRORS;
    else if (was < SL_PHASE_FINALLY && !x->killing && phase_has_tasks(x, s, SL_PHASE_FINALLY))
        s->phase = SL_PHASE_FINALLY;
    else if (was == SL_PHASE_AFTER || s->owner != NULL) {
        end_scope(x, s, now);
        return false;
    } else {
        end_flow(x, s, now);
        return !x->outputs_pending; /* on to what comes after the end */
    }
    s->list = sl_scope_list(x, s);
    x->dirty |= s->owner == NULL;
    return true;
}

/* A loop, not a recursion, so that disabled tasks and empty lists cost no stack. */
void sl_scope_advance(sl_exec *x, sl_scope *s, int64_t now)
{
    if (s->advancing)
        return;
    s->advancing = true;
    for (;;) {
        ptrdiff_t at;
        while (!s->over && s->phase != SL_PHASE_END && (at = pick(x, s)) >= 0)
            start_item(x, s, (size_t)at, now);
        if (s->over || s->phase == SL_PHASE_END || s->running > 0 || x->held || (s == &x->root && x->aside > 0))
            break;
        if (x->killing && s->phase != SL_PHASE_AFTER)
            s->killed = true;
        if (s->outer != NULL)
            s->advancing = false; /* its loop may go on with it gone */
        if (!next_phase(x, s, now))
            break;
    }
    s->advancing = false;
}

void sl_scope_enter(sl_exec *x, sl_taskrun *r, int64_t now)
{
    r->scope = SL_NEW(x->arena, sl_scope);
    r->scope->owner = r;
    r->scope->phase = SL_PHASE_MAIN;
    r->scope->list = sl_scope_list(x, r->scope);
    sl_scope_take_values(x, r);
    if (r->def->flowable == SL_DAG)
        r->scope->begun = SL_ARRAY(x->arena, uint8_t, r->scope->list->n + 1);
    sl_scope_advance(x, r->scope, now);
}

void sl_scope_again(sl_exec *x, sl_scope *s, int64_t now)
{
    s->iteration++;
    sl_exec_forget_outputs(x, s);
    s->next = s->running = 0;
    s->failed = s->warned = s->killed = false;
    sl_scope_advance(x, s, now);
}

void sl_scope_child_ended(sl_exec *x, sl_taskrun *r, int64_t now)
{
    sl_scope *s = r->in;
    if (r->role == SL_PHASE_ASIDE) { /* what becomes of it is nobody's matter, but nothing ends before it */
        x->aside--;
        sl_scope_advance(x, &x->root, now);
        return;
    }
    sl_assert(s->running > 0);
    s->running--;
    s->failed |= r->state == SL_FAILED || r->state == SL_CANCELLED;
    s->killed |= r->state == SL_KILLED;
    s->warned |= r->state == SL_WARNED;
    sl_scope_advance(x, s, now);
}
