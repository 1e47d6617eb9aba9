/* flows/exec.c: see exec.h. No I/O, no clock, no randomness but what an event brings. */
#include "flows/exec.h"

#include "base/arena.h"
#include "base/clock.h"

static const char *const names[] = { "CREATED", "RUNNING", "PAUSED", "RESTARTED", "KILLING", "SUCCESS", "WARNING", "FAILED", "KILLED", "CANCELLED", "QUEUED", "RETRYING", "RETRIED", "SKIPPED" };

const char *sl_state_name(sl_state s)
{
    sl_assert((size_t)s < SL_COUNT(names));
    return names[s];
}

bool sl_state_parse(sl_str name, sl_state *ret)
{
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (sl_str_eqc(name, names[i])) {
            *ret = (sl_state)i;
            return true;
        }
    return false;
}

bool sl_state_final(sl_state s)
{
    return s == SL_SUCCESS || s == SL_WARNED || s == SL_FAILED || s == SL_KILLED || s == SL_CANCELLED || s == SL_RETRIED || s == SL_SKIPPED;
}

static void mark(sl_exec *x, sl_taskrun *r)
{
    if (r->dirty)
        return;
    r->dirty = true;
    r->next_dirty = x->dirty_runs;
    x->dirty_runs = r;
}

void sl_exec_written(sl_exec *x)
{
    for (sl_taskrun *r = x->dirty_runs; r != NULL; r = r->next_dirty)
        r->dirty = false;
    x->dirty_runs = NULL;
    x->dirty = false;
}

static void act(sl_exec *x, sl_action_kind kind, sl_taskrun *r)
{
    if (x->action_count == x->action_capacity) {
        size_t wanted = x->action_capacity ? x->action_capacity * 2 : 16;
        x->actions = sl_realloc(x->arena, x->actions, x->action_capacity * sizeof *x->actions, wanted * sizeof *x->actions);
        x->action_capacity = wanted;
    }
    x->actions[x->action_count++] = (sl_action){ kind, r };
    r->busy = kind == SL_ACT_RUN || kind == SL_ACT_EVALUATE || kind == SL_ACT_LEAVE || kind == SL_ACT_KILL || r->busy;
}

static sl_str random_id(void *self, sl_arena *arena)
{
    (void)self;
    char id[23];
    sl_random_id(id);
    return sl_str_dup(arena, sl_str_c(id));
}

sl_exec *sl_exec_new(const sl_flow *flow, sl_str id, int64_t now_ms)
{
    sl_arena *arena = sl_arena_new();
    sl_exec *x = SL_NEW(arena, sl_exec);
    x->arena = arena;
    x->flow = flow;
    x->id = sl_str_dup(arena, id);
    x->state = SL_CREATED;
    x->inputs = sl_map(arena);
    x->labels = sl_map(arena);
    x->task_outputs = sl_map(arena);
    x->created_ms = now_ms;
    x->root.list = &flow->tasks;
    x->new_id = random_id;
    x->dirty = true;
    return x;
}

static const sl_task_list *list_of(const sl_exec *x, const sl_scope *s)
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

static sl_taskrun *add_run(sl_exec *x, sl_str id, const sl_task_def *def, sl_taskrun *parent, sl_phase role)
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

static void advance(sl_exec *x, sl_scope *s, int64_t now);

static void enter(sl_exec *x, sl_taskrun *r, int64_t now)
{
    r->scope = SL_NEW(x->arena, sl_scope);
    r->scope->owner = r;
    r->scope->phase = SL_PHASE_MAIN;
    r->scope->list = list_of(x, r->scope);
    advance(x, r->scope, now);
}

/* Only what has something to evaluate, or a folder to fill, goes to a worker first. */
static bool needs_evaluation(const sl_task_def *d)
{
    return d->run_if.n > 0 || d->flowable == SL_IF || d->flowable == SL_SWITCH || d->flowable == SL_WORKING_DIRECTORY;
}

static void start_run(sl_exec *x, sl_scope *s, const sl_task_def *def, int64_t now)
{
    sl_taskrun *r = add_run(x, x->new_id(x->new_id_self, x->arena), def, s->owner, s->phase);
    r->created_ms = now;
    r->started_ms = r->first_started_ms = now;
    r->state = SL_RUNNING;
    if (s->owner != NULL) {
        r->value = def->flowable != SL_RUNNABLE ? (sl_str){ NULL, 0 } : s->owner->value;
        r->iteration = s->owner->iteration;
    }
    s->running++;
    mark(x, r);
    if (def->flowable == SL_RUNNABLE) {
        r->attempt = 1;
        act(x, SL_ACT_RUN, r);
    } else if (needs_evaluation(def))
        act(x, SL_ACT_EVALUATE, r);
    else
        enter(x, r, now);
}

static sl_state list_state(const sl_scope *s)
{
    return s->killed ? SL_KILLED : s->failed ? SL_FAILED : s->warned ? SL_WARNED : SL_SUCCESS;
}

static void child_ended(sl_exec *x, sl_taskrun *r, int64_t now);

static sl_state softened(const sl_task_def *d, sl_state s)
{
    if (s == SL_FAILED && d->allow_failure)
        s = SL_WARNED;
    return s == SL_WARNED && d->allow_warning ? SL_SUCCESS : s;
}

static void end_run(sl_exec *x, sl_taskrun *r, sl_state state, int64_t now)
{
    sl_assert(!sl_state_final(r->state));
    r->state = state;
    r->ended_ms = now;
    r->wake_ms = 0;
    r->waiting = false;
    r->busy = false;
    mark(x, r);
    child_ended(x, r, now);
}

static void end_execution(sl_exec *x, sl_scope *s, int64_t now)
{
    x->state = s->main_state;
    x->ended_ms = now;
    x->dirty = true;
    s->phase = SL_PHASE_AFTER;
    s->list = list_of(x, s);
    s->next = 0;
    s->failed = s->warned = s->killed = false;
    advance(x, s, now);
}

static void end_scope(sl_exec *x, sl_scope *s, int64_t now)
{
    s->over = true;
    sl_taskrun *r = s->owner;
    if (r == NULL)
        return;
    r->state = SL_RUNNING;
    if (r->def->flowable == SL_WORKING_DIRECTORY) {
        act(x, SL_ACT_LEAVE, r);
        return;
    }
    end_run(x, r, softened(r->def, s->main_state), now);
}

/* The current list is over: which one comes next? */
static bool next_phase(sl_exec *x, sl_scope *s, int64_t now)
{
    sl_state state = list_state(s);
    bool has_errors, has_finally;
    if (s->phase == SL_PHASE_MAIN)
        s->main_state = state;
    else if (s->phase == SL_PHASE_FINALLY && (state == SL_FAILED || state == SL_KILLED) && s->main_state != SL_KILLED)
        s->main_state = state; /* an errors list never changes the result, a failing finally does */
    else if (s->phase == SL_PHASE_ERRORS && state == SL_KILLED)
        s->main_state = SL_KILLED;
    sl_phase was = s->phase;
    s->phase = SL_PHASE_ERRORS;
    has_errors = list_of(x, s)->n > 0;
    s->phase = SL_PHASE_FINALLY;
    has_finally = list_of(x, s)->n > 0;
    s->next = 0;
    s->failed = s->warned = s->killed = false;
    if (was == SL_PHASE_MAIN && has_errors && s->main_state == SL_FAILED && !x->killing)
        s->phase = SL_PHASE_ERRORS;
    else if (was < SL_PHASE_FINALLY && has_finally && !x->killing)
        s->phase = SL_PHASE_FINALLY;
    else if (was == SL_PHASE_AFTER) {
        s->phase = SL_PHASE_OVER;
        end_scope(x, s, now);
        return false;
    } else if (s->owner == NULL) {
        s->phase = SL_PHASE_END;
        x->dirty = true;
        if (sl_val_count(x->flow->outputs) > 0 && !x->killing)
            x->outputs_pending = true; /* the caller renders them and answers with SL_EV_OUTPUTS */
        else
            end_execution(x, s, now);
        return false;
    } else {
        s->phase = SL_PHASE_OVER;
        end_scope(x, s, now);
        return false;
    }
    s->list = list_of(x, s);
    x->dirty |= s->owner == NULL;
    return true;
}

static bool may_start(const sl_exec *x, const sl_scope *s)
{
    if (s->next >= s->list->n || s->failed || s->killed || (x->killing && s->phase != SL_PHASE_AFTER))
        return false;
    const sl_task_def *d = s->owner ? s->owner->def : NULL;
    if (d != NULL && d->flowable == SL_PARALLEL && s->phase == SL_PHASE_MAIN)
        return d->concurrent <= 0 || s->running < (size_t)d->concurrent;
    return s->running == 0;
}

/* Starts what can start; goes on to the next phase when a list is over. Loops, so that disabled tasks cost no stack. */
static void advance(sl_exec *x, sl_scope *s, int64_t now)
{
    for (;;) {
        if (s->over || s->phase == SL_PHASE_END)
            return;
        while (may_start(x, s)) {
            const sl_task_def *def = s->list->items[s->next++];
            if (!def->disabled)
                start_run(x, s, def, now);
            if (s->over)
                return;
        }
        if (s->running > 0)
            return;
        if (x->killing && s->phase != SL_PHASE_AFTER)
            s->killed = true;
        if (!next_phase(x, s, now))
            return;
    }
}

static sl_scope *scope_of(sl_exec *x, const sl_taskrun *r)
{
    return r->parent ? r->parent->scope : &x->root;
}

static void child_ended(sl_exec *x, sl_taskrun *r, int64_t now)
{
    sl_scope *s = scope_of(x, r);
    sl_assert(s->running > 0);
    s->running--;
    s->failed |= r->state == SL_FAILED;
    s->killed |= r->state == SL_KILLED;
    s->warned |= r->state == SL_WARNED;
    advance(x, s, now);
}

static void start_execution(sl_exec *x, int64_t now)
{
    x->state = SL_RUNNING;
    x->started_ms = now;
    x->dirty = true;
    advance(x, &x->root, now);
}

/* ---- attempts ---- */

static const sl_retry *retry_of(const sl_exec *x, const sl_taskrun *r)
{
    for (const sl_task_def *d = r->def; d != NULL; d = d->parent)
        if (d->retry != NULL)
            return d->retry;
    return x->flow->retry;
}

/* When the next attempt may start; 0 = no more. */
static int64_t retry_at(const sl_retry *p, const sl_taskrun *r, int64_t now, double random)
{
    if (p == NULL || (p->attempts_max > 0 && r->attempt >= p->attempts_max))
        return 0;
    double wait = (double)p->interval_ms;
    if (p->kind == SL_RETRY_RANDOM)
        wait = (double)p->min_interval_ms + random * (double)(p->max_interval_ms - p->min_interval_ms);
    for (int i = 1; p->kind == SL_RETRY_EXPONENTIAL && i < r->attempt && wait < (double)p->max_interval_ms; i++)
        wait *= p->factor;
    if (p->kind == SL_RETRY_EXPONENTIAL && wait > (double)p->max_interval_ms)
        wait = (double)p->max_interval_ms;
    int64_t at = now + (int64_t)wait;
    return p->max_duration_ms > 0 && at > r->first_started_ms + p->max_duration_ms ? 0 : at;
}

static void set_outputs(sl_exec *x, sl_taskrun *r, const sl_val *outputs)
{
    if (outputs == NULL)
        return;
    r->outputs = sl_val_copy(x->arena, outputs);
    if (r->value.p == NULL) {
        sl_map_set(x->arena, x->task_outputs, r->def->id, r->outputs);
        return;
    }
    /* Copied before it is changed: a snapshot of the top level may still point to it. */
    sl_val *by_value = sl_map_shallow(x->arena, sl_get_str(x->task_outputs, r->def->id));
    sl_map_set(x->arena, by_value, r->value, r->outputs);
    sl_map_set(x->arena, x->task_outputs, r->def->id, by_value);
}

static void merge_labels(sl_exec *x, const sl_val *labels)
{
    if (sl_val_count(labels) == 0)
        return;
    sl_val *all = sl_map_shallow(x->arena, x->labels);
    for (size_t i = 0; i < labels->map.n; i++)
        sl_map_set(x->arena, all, sl_str_dup(x->arena, labels->map.entries[i].key), sl_val_copy(x->arena, labels->map.entries[i].value));
    x->labels = all;
    x->dirty = true;
}

static void finished(sl_exec *x, const sl_event *e, int64_t now)
{
    sl_taskrun *r = e->run;
    if (sl_state_final(r->state))
        return;
    r->busy = false;
    r->waiting = false;
    r->wake_ms = 0;
    r->checkpoint = NULL;
    if (e->error.n > 0)
        r->error = sl_str_dup(x->arena, e->error);
    set_outputs(x, r, e->outputs);
    merge_labels(x, e->labels);
    const sl_retry *p = retry_of(x, r);
    sl_state state = e->state;
    if (state == SL_SUCCESS && p != NULL && p->warning_on_retry && r->attempt > 1)
        state = SL_WARNED;
    if (x->killing && state == SL_FAILED)
        state = SL_KILLED;
    int64_t at = state == SL_FAILED ? retry_at(p, r, now, e->random) : 0;
    if (at > 0) {
        r->state = SL_RETRYING;
        r->wake_ms = at;
        mark(x, r);
        return;
    }
    end_run(x, r, softened(r->def, state), now);
}

static void evaluated(sl_exec *x, const sl_event *e, int64_t now)
{
    sl_taskrun *r = e->run;
    if (sl_state_final(r->state))
        return;
    r->busy = false;
    set_outputs(x, r, e->outputs);
    if (x->killing || e->state == SL_FAILED || e->state == SL_SKIPPED) {
        if (e->error.n > 0)
            r->error = sl_str_dup(x->arena, e->error);
        end_run(x, r, x->killing ? SL_KILLED : softened(r->def, e->state), now);
        return;
    }
    r->choice = sl_str_dup(x->arena, e->choice);
    r->chosen = true;
    mark(x, r);
    enter(x, r, now);
}

static void left(sl_exec *x, const sl_event *e, int64_t now)
{
    sl_taskrun *r = e->run;
    r->busy = false;
    set_outputs(x, r, e->outputs);
    if (e->error.n > 0)
        r->error = sl_str_dup(x->arena, e->error);
    sl_state state = e->state == SL_FAILED && r->scope->main_state != SL_KILLED ? SL_FAILED : r->scope->main_state;
    end_run(x, r, softened(r->def, state), now);
}

static void timer(sl_exec *x, int64_t now)
{
    for (sl_taskrun *r = x->first; r != NULL; r = r->next) {
        if (r->wake_ms == 0 || r->wake_ms > now || r->busy || sl_state_final(r->state))
            continue;
        r->wake_ms = 0;
        if (r->state == SL_RETRYING) {
            r->state = SL_RUNNING;
            r->attempt++;
            r->started_ms = now;
            mark(x, r);
        }
        act(x, SL_ACT_RUN, r);
    }
}

static void kill_all(sl_exec *x, int64_t now)
{
    if (sl_state_final(x->state) || x->killing)
        return;
    x->killing = true;
    x->state = SL_KILLING;
    x->dirty = true;
    bool any = false;
    for (sl_taskrun *r = x->first; r != NULL; r = r->next) {
        if (sl_state_final(r->state) || r->scope != NULL)
            continue;
        any = true;
        if (r->busy)
            act(x, SL_ACT_STOP, r);
        else if (r->waiting)
            act(x, SL_ACT_KILL, r);
        else
            end_run(x, r, SL_KILLED, now);
    }
    if (!any)
        advance(x, &x->root, now);
}

static void flow_outputs(sl_exec *x, const sl_event *e, int64_t now)
{
    if (!x->outputs_pending)
        return;
    x->outputs_pending = false;
    x->outputs = e->outputs ? sl_val_copy(x->arena, e->outputs) : NULL;
    if (e->state == SL_FAILED)
        x->root.main_state = SL_FAILED;
    end_execution(x, &x->root, now);
}

void sl_exec_event(sl_exec *x, const sl_event *e, int64_t now)
{
    x->action_count = 0;
    switch (e->kind) {
    case SL_EV_START: start_execution(x, now); break;
    case SL_EV_FINISHED: finished(x, e, now); break;
    case SL_EV_EVALUATED: evaluated(x, e, now); break;
    case SL_EV_LEFT: left(x, e, now); break;
    case SL_EV_TIMER: timer(x, now); break;
    case SL_EV_KILL: kill_all(x, now); break;
    case SL_EV_OUTPUTS: flow_outputs(x, e, now); break;
    case SL_EV_CHECKPOINT:
        e->run->checkpoint = sl_val_copy(x->arena, e->checkpoint);
        mark(x, e->run);
        break;
    case SL_EV_WAITING:
        e->run->busy = false;
        e->run->waiting = true;
        e->run->wake_ms = e->wake_ms;
        mark(x, e->run);
        if (x->killing)
            act(x, SL_ACT_KILL, e->run);
        break;
    }
}

int64_t sl_exec_next_wake(const sl_exec *x)
{
    int64_t at = INT64_MAX;
    for (const sl_taskrun *r = x->first; r != NULL; r = r->next)
        if (r->wake_ms > 0 && !r->busy && !sl_state_final(r->state) && r->wake_ms < at)
            at = r->wake_ms;
    return at;
}

bool sl_exec_over(const sl_exec *x)
{
    return sl_state_final(x->state) && x->root.over;
}

/* ---- restoring ---- */

sl_taskrun *sl_exec_restore(sl_exec *x, sl_str id, const sl_task_def *def, sl_taskrun *parent, sl_phase role, sl_str value, int64_t iteration)
{
    sl_taskrun *r = add_run(x, sl_str_dup(x->arena, id), def, parent, role);
    r->value = value;
    r->iteration = iteration;
    return r;
}

/* Where a scope stands follows from the task runs in it: the phase is the latest role, the position the last one's. */
static void rebuild(sl_exec *x, sl_scope *s)
{
    s->phase = s->owner == NULL ? s->phase : SL_PHASE_MAIN;
    bool root_after = s->owner == NULL && sl_state_final(x->state);
    if (root_after)
        s->phase = SL_PHASE_AFTER;
    for (int pass = 0; pass < 2; pass++) {
        s->next = s->running = 0;
        s->failed = s->killed = s->warned = false;
        s->list = list_of(x, s);
        bool main_failed = false, main_warned = false, main_killed = false;
        for (sl_taskrun *r = x->first; r != NULL; r = r->next) {
            if ((r->parent ? r->parent->scope : &x->root) != s)
                continue;
            if (r->role > s->phase && pass == 0)
                s->phase = r->role;
            if (r->role == SL_PHASE_MAIN) {
                main_failed |= r->state == SL_FAILED;
                main_killed |= r->state == SL_KILLED;
                main_warned |= r->state == SL_WARNED;
            }
            if (r->role != s->phase)
                continue;
            s->running += !sl_state_final(r->state);
            s->failed |= r->state == SL_FAILED;
            s->killed |= r->state == SL_KILLED;
            s->warned |= r->state == SL_WARNED;
            for (size_t i = 0; i < s->list->n; i++)
                if (s->list->items[i] == r->def && i + 1 > s->next)
                    s->next = i + 1;
        }
        s->main_state = main_killed ? SL_KILLED : main_failed ? SL_FAILED : main_warned ? SL_WARNED : SL_SUCCESS;
    }
    if (root_after)
        s->main_state = x->state;
}

void sl_exec_resume(sl_exec *x, int64_t now)
{
    x->action_count = 0;
    for (sl_taskrun *r = x->first; r != NULL; r = r->next) {
        if (r->outputs != NULL)
            set_outputs(x, r, r->outputs);
        bool entered = r->def->flowable != SL_RUNNABLE && (r->chosen || !needs_evaluation(r->def));
        if (entered) {
            r->scope = SL_NEW(x->arena, sl_scope);
            r->scope->owner = r;
        }
    }
    x->root.phase = SL_PHASE_MAIN;
    rebuild(x, &x->root);
    for (sl_taskrun *r = x->first; r != NULL; r = r->next)
        if (r->scope != NULL) {
            rebuild(x, r->scope);
            r->scope->over = sl_state_final(r->state);
        }
    for (sl_taskrun *r = x->first; r != NULL; r = r->next) {
        if (sl_state_final(r->state) || r->wake_ms > 0)
            continue;
        if (r->def->flowable == SL_RUNNABLE)
            act(x, SL_ACT_RUN, r);
        else if (r->scope == NULL)
            act(x, SL_ACT_EVALUATE, r);
    }
    /* Scopes in which nothing runs any more (the crash came between a child's end and the next start). Innermost first. */
    sl_taskrun **order = SL_ARRAY(x->arena, sl_taskrun *, x->run_count + 1);
    size_t n = 0;
    for (sl_taskrun *r = x->first; r != NULL; r = r->next)
        if (r->scope != NULL && !r->scope->over)
            order[n++] = r;
    while (n > 0)
        advance(x, order[--n]->scope, now);
    if (x->state == SL_CREATED)
        start_execution(x, now);
    else
        advance(x, &x->root, now);
}
