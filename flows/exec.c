/* flows/exec.c: see exec.h. What an event does. No I/O, no clock, no randomness but what an event brings. */
#include "base/arena.h"
#include "base/clock.h"
#include "flows/exec_private.h"

void sl_exec_mark(sl_exec *x, sl_taskrun *r)
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
    x->created = true;
    x->removed = NULL;
}

static void note(sl_arena *a, sl_history *h, sl_state state, int attempt, int64_t now)
{
    if (h->n > 0 && h->items[h->n - 1].state == state && h->items[h->n - 1].attempt == attempt)
        return;
    if (h->n == h->capacity) {
        size_t wanted = h->capacity ? h->capacity * 2 : 4;
        h->items = sl_realloc(a, h->items, h->capacity * sizeof *h->items, wanted * sizeof *h->items);
        h->capacity = wanted;
    }
    h->items[h->n++] = (sl_change){ state, attempt, now };
}

/* Lists of tasks have no outputs of their own, ever. */
static bool only_holds(const sl_task_def *d)
{
    return d->flowable == SL_SEQUENTIAL || d->flowable == SL_PARALLEL || d->flowable == SL_DAG || d->flowable == SL_ALLOW_FAILURE || (d->flowable == SL_FOR_EACH && !d->isolated);
}

/* {{ outputs }} names it, if only as an empty map. What may have outputs yet is not named too soon: replacing is dear. */
static bool has_begun(const sl_taskrun *r)
{
    if (r->state == SL_SKIPPED || r->state == SL_CREATED)
        return false;
    if (r->def->flowable != SL_RUNNABLE)
        return only_holds(r->def) || sl_state_final(r->state);
    return r->attempt > 1 || r->state == SL_RETRYING || (sl_state_final(r->state) && (r->state != SL_KILLED || r->attempt > 0));
}

void sl_exec_name_outputs(sl_exec *x, const sl_taskrun *r)
{
    sl_val *map = x->task_outputs;
    if (!has_begun(r) || sl_val_count(r->outputs) > 0)
        return;
    for (sl_scope *s = r->in; s != NULL; s = s->owner ? s->owner->in : NULL)
        if (s->outer != NULL && s->outer->owner->def->isolated) {
            map = s->outputs = s->outputs ? s->outputs : sl_map(x->arena);
            break;
        }
    if (sl_get_str(map, r->def->id) == NULL)
        sl_map_set(x->arena, map, r->def->id, sl_map(x->arena));
}

void sl_exec_set_run_state(sl_exec *x, sl_taskrun *r, sl_state state, int64_t now)
{
    r->state = state;
    note(x->arena, &r->history, state, r->attempt, now);
    sl_exec_name_outputs(x, r);
    sl_exec_mark(x, r);
}

void sl_exec_set_state(sl_exec *x, sl_state state, int64_t now)
{
    x->state = state;
    note(x->arena, &x->history, state, 0, now);
    x->dirty = true;
}

void sl_exec_wake_at(sl_exec *x, sl_taskrun *r, int64_t at)
{
    r->wake_ms = at;
    if (at > 0 && at < x->wake_ms)
        x->wake_ms = at;
    sl_exec_mark(x, r);
}

void sl_exec_act(sl_exec *x, sl_action_kind kind, sl_taskrun *r)
{
    if (x->action_count == x->action_capacity) {
        size_t wanted = x->action_capacity ? x->action_capacity * 2 : 16;
        x->actions = sl_realloc(x->arena, x->actions, x->action_capacity * sizeof *x->actions, wanted * sizeof *x->actions);
        x->action_capacity = wanted;
    }
    x->actions[x->action_count++] = (sl_action){ kind, r };
    r->busy = r->busy || kind != SL_ACT_STOP;
}

static sl_str random_id(void *self, sl_arena *arena)
{
    (void)self;
    char id[23];
    sl_ordered_id(id);
    return sl_str_dup(arena, sl_str_c(id));
}

sl_exec *sl_exec_new(const sl_flow *flow, sl_str id, int64_t now_ms)
{
    sl_arena *arena = sl_arena_new();
    sl_exec *x = SL_NEW(arena, sl_exec);
    x->arena = arena;
    x->flow = flow;
    x->id = x->original_id = sl_str_dup(arena, id);
    x->attempt_number = 1;
    x->inputs = sl_map(arena);
    x->labels = sl_map(arena);
    x->task_outputs = sl_map(arena);
    x->created_ms = now_ms;
    x->kill_state = SL_KILLED;
    x->wake_ms = INT64_MAX;
    x->root.list = &flow->tasks;
    x->new_id = random_id;
    sl_exec_set_state(x, SL_CREATED, now_ms);
    return x;
}

sl_state sl_exec_softened(const sl_task_def *d, sl_state s)
{
    if (s == SL_FAILED && d->flowable == SL_ALLOW_FAILURE)
        return SL_WARNED; /* what it allows stays a warning, as in Kestra; those of its tasks do not */
    if (s == SL_FAILED && d->allow_failure)
        s = SL_WARNED;
    return s == SL_WARNED && d->allow_warning ? SL_SUCCESS : s;
}

void sl_exec_end_run(sl_exec *x, sl_taskrun *r, sl_state state, int64_t now)
{
    sl_assert(!sl_state_final(r->state));
    if (r->state == SL_PAUSED)
        x->paused--;
    r->ended_ms = now;
    r->wake_ms = 0;
    r->waiting = false;
    r->busy = false;
    sl_exec_set_run_state(x, r, state, now);
    sl_scope_child_ended(x, r, now);
}

void sl_exec_start(sl_exec *x, int64_t now)
{
    if (x->state != SL_CREATED && x->state != SL_QUEUED)
        return;
    x->started_ms = now;
    sl_exec_set_state(x, SL_RUNNING, now);
    sl_scope_advance(x, &x->root, now);
}

static void refuse(sl_exec *x, sl_state state, int64_t now)
{
    x->ended_ms = now;
    x->root.over = true;
    x->root.phase = SL_PHASE_OVER;
    sl_exec_set_state(x, state, now);
}

/* ---- attempts ---- */

static const sl_retry *retry_of(const sl_exec *x, const sl_taskrun *r)
{
    for (const sl_task_def *d = r->def; d != NULL; d = d->parent)
        if (d->retry != NULL)
            return d->retry;
    return x->flow->retry;
}

/* Between that attempt and the next. */
static int64_t retry_wait(const sl_retry *p, int64_t attempt, double random)
{
    double wait = (double)p->interval_ms;
    if (p->kind == SL_RETRY_RANDOM)
        wait = (double)p->min_interval_ms + random * (double)(p->max_interval_ms - p->min_interval_ms);
    for (int64_t i = 1; p->kind == SL_RETRY_EXPONENTIAL && i < attempt && wait < (double)p->max_interval_ms; i++)
        wait *= p->factor;
    if (p->kind == SL_RETRY_EXPONENTIAL && wait > (double)p->max_interval_ms)
        wait = (double)p->max_interval_ms;
    return (int64_t)wait;
}

/* When the next attempt may start; 0 = no more. */
static int64_t retry_at(const sl_retry *p, const sl_taskrun *r, int64_t now, double random)
{
    if (p == NULL || p->new_execution || (p->attempts_max > 0 && r->attempt >= p->attempts_max))
        return 0;
    int64_t at = now + retry_wait(p, r->attempt, random);
    return p->max_duration_ms > 0 && at > r->first_started_ms + p->max_duration_ms ? 0 : at;
}

/* Attempts that are executions: none starts later than this. */
static int64_t last_start(const sl_exec *x, const sl_retry *p)
{
    return p->max_duration_ms > 0 ? (x->first_attempt_ms > 0 ? x->first_attempt_ms : x->started_ms) + p->max_duration_ms : INT64_MAX;
}

/* Is the whole execution the attempt, and may there be another? */
static bool retries_as_execution(const sl_exec *x, const sl_retry *p, sl_state state, int64_t now, double random)
{
    return state == SL_FAILED && !x->killing && p != NULL && p->new_execution && (p->attempts_max == 0 || x->attempt_number < p->attempts_max)
           && now + retry_wait(p, x->attempt_number, random) <= last_start(x, p);
}

int64_t sl_exec_new_attempt_at(const sl_exec *x, int64_t now, double random)
{
    const sl_taskrun *r = x->first;
    while (r != NULL && (r->state != SL_RETRIED || r->scope != NULL))
        r = r->next;
    if (x->state != SL_RETRIED || r == NULL)
        return 0;
    const sl_retry *p = retry_of(x, r);
    int64_t at = now + retry_wait(p, x->attempt_number, random), last = last_start(x, p);
    return at < last ? at : last; /* the end of what else ran has taken its time */
}

/* {{ outputs }} of a task in loops: by value, from the outermost loop to the innermost. */
static sl_val *output_slot(sl_exec *x, const sl_taskrun *r, sl_scope *s, sl_str *ret_key)
{
    while (s != NULL && s->outer == NULL)
        s = s->owner ? s->owner->in : NULL;
    if (s == NULL) {
        *ret_key = r->def->id;
        return x->task_outputs;
    }
    if (s->outer->owner->def->isolated) {
        *ret_key = r->def->id;
        if (s->outputs == NULL)
            s->outputs = sl_map(x->arena);
        return s->outputs;
    }
    sl_str key;
    sl_val *around = output_slot(x, r, s->owner->in, &key), *map = (sl_val *)(uintptr_t)sl_get_str(around, key);
    if (map == NULL) {
        map = sl_map(x->arena);
        sl_map_set(x->arena, around, key, map);
    }
    *ret_key = s->value;
    return map;
}

void sl_exec_set_outputs(sl_exec *x, sl_taskrun *r, const sl_val *outputs)
{
    if (outputs == NULL)
        return;
    r->outputs = sl_val_copy(x->arena, outputs);
    sl_str key;
    sl_val *map = output_slot(x, r, r->in, &key);
    if (sl_get_str(map, key) != NULL) {
        /* Somebody may hold a view of the map, in which nothing may be replaced: it gets entries of its own. */
        sl_val *fresh = sl_map_shallow(x->arena, map);
        *map = *fresh;
    }
    sl_map_set(x->arena, map, key, r->outputs);
}

static bool is_within(const sl_task_def *d, const sl_task_def *around)
{
    for (d = d->parent; d != NULL; d = d->parent)
        if (d == around)
            return true;
    return false;
}

void sl_exec_forget_outputs(sl_exec *x, const sl_scope *s)
{
    for (size_t i = 0; i < x->flow->task_count; i++) {
        if (!is_within(x->flow->all[i], s->owner->def))
            continue;
        sl_taskrun child = { .def = x->flow->all[i] };
        sl_str key;
        sl_val *map = output_slot(x, &child, (sl_scope *)(uintptr_t)s, &key);
        if (sl_get_str(map, key) == NULL)
            continue;
        sl_val *fresh = sl_map_shallow(x->arena, map); /* somebody may hold a view of the map */
        *map = *fresh;
        (void)sl_map_remove(map, key);
    }
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

static void kill_all(sl_exec *x, sl_state end, int64_t now);
static void end_all(sl_exec *x, sl_state end, int64_t now);

/* That run ends with the state that the execution ends in, and so does what is around it; all else is killed. */
static void end_with(sl_exec *x, sl_taskrun *r, sl_state state, int64_t now)
{
    x->ended_by = r->id;
    x->held = true; /* nothing more is started before the end */
    sl_exec_end_run(x, r, state, now);
    x->held = false;
    end_all(x, state, now);
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
    sl_exec_set_outputs(x, r, e->outputs);
    merge_labels(x, e->labels);
    if (e->variables != NULL) {
        x->variables = sl_val_copy(x->arena, e->variables);
        x->dirty = true;
    }
    const sl_retry *p = retry_of(x, r);
    sl_state state = e->state;
    if (state == SL_SUCCESS && p != NULL && p->warning_on_retry && (p->new_execution ? x->first_attempt_ms > 0 : r->attempt > 1))
        state = SL_WARNED;
    if (x->killing && state == SL_FAILED)
        state = SL_KILLED;
    int64_t at = state == SL_FAILED ? retry_at(p, r, now, e->random) : 0;
    if (at > 0) {
        sl_exec_set_run_state(x, r, SL_FAILED, now); /* of this attempt */
        sl_exec_set_run_state(x, r, SL_RETRYING, now);
        sl_exec_wake_at(x, r, at);
        return;
    }
    bool again = retries_as_execution(x, p, state, now, e->random), exits = (e->exits || again) && !x->killing;
    if (exits)
        end_with(x, r, again ? SL_RETRIED : e->exit_state, now);
    else
        sl_exec_end_run(x, r, sl_exec_softened(r->def, state), now);
}

/* ---- flowables ---- */

static void begin_pause(sl_exec *x, sl_taskrun *r, const sl_event *e, int64_t now)
{
    x->paused++;
    sl_exec_set_run_state(x, r, SL_PAUSED, now);
    sl_exec_wake_at(x, r, e->wake_ms);
    for (size_t i = 0; i < r->def->on_pause.n; i++)
        if (!r->def->on_pause.items[i]->disabled)
            sl_scope_start_aside(x, r, r->def->on_pause.items[i], now);
}

/* Outputs: {resumed: {on, to}}, over what somebody gave. */
static void tell_resumed(sl_exec *x, sl_taskrun *r, sl_state state, int64_t now)
{
    sl_arena *a = x->arena;
    sl_val *outputs = r->outputs ? sl_map_shallow(a, r->outputs) : sl_map(a), *resumed = sl_map(a);
    sl_map_setc(a, resumed, "on", sl_val_time(a, (sl_time){ .s = now / 1000, .ns = (int32_t)(now % 1000) * 1000000, .kind = SL_TIME_INSTANT }));
    sl_map_set_str(a, resumed, "to", sl_str_c(sl_state_name(state)));
    sl_map_setc(a, outputs, "resumed", resumed);
    sl_exec_set_outputs(x, r, outputs);
}

static void end_pause(sl_exec *x, sl_taskrun *r, sl_state state, int64_t now)
{
    tell_resumed(x, r, state, now);
    if (state == SL_SUCCESS && r->def->tasks.n > 0) { /* older form: tasks to run after it */
        x->paused--;
        r->wake_ms = 0;
        sl_exec_set_run_state(x, r, SL_RUNNING, now);
        sl_scope_enter(x, r, now);
        return;
    }
    sl_exec_end_run(x, r, sl_exec_softened(r->def, state), now);
}

static void pause_elapsed(sl_exec *x, sl_taskrun *r, int64_t now)
{
    static const struct {
        const char *behavior;
        sl_state state;
    } ends[] = { { "WARN", SL_WARNED }, { "FAIL", SL_FAILED }, { "CANCEL", SL_CANCELLED } };
    sl_state state = SL_SUCCESS;
    for (size_t i = 0; i < SL_COUNT(ends); i++)
        if (sl_str_eqc(r->choice, ends[i].behavior))
            state = ends[i].state;
    if (state == SL_CANCELLED) {
        tell_resumed(x, r, state, now);
        end_with(x, r, state, now);
    } else
        end_pause(x, r, state, now);
}

/* LoopUntil: its list is over, and the condition was looked at. */
static void loop_evaluated(sl_exec *x, const sl_event *e, int64_t now)
{
    sl_taskrun *r = e->run;
    if (e->wake_ms > 0 && e->state == SL_RUNNING && !x->killing) {
        sl_exec_wake_at(x, r, e->wake_ms);
        return;
    }
    if (e->error.n > 0)
        r->error = sl_str_dup(x->arena, e->error);
    r->scope->phase = SL_PHASE_OVER;
    r->scope->over = true;
    sl_exec_end_run(x, r, x->killing ? SL_KILLED : sl_exec_softened(r->def, e->state == SL_RUNNING ? SL_SUCCESS : e->state), now);
}

static void evaluated(sl_exec *x, const sl_event *e, int64_t now)
{
    sl_taskrun *r = e->run;
    if (sl_state_final(r->state))
        return;
    r->busy = false;
    sl_exec_set_outputs(x, r, e->outputs);
    if (r->scope != NULL) {
        loop_evaluated(x, e, now);
        return;
    }
    if (x->killing || e->state == SL_FAILED || e->state == SL_SKIPPED) {
        if (e->error.n > 0)
            r->error = sl_str_dup(x->arena, e->error);
        sl_exec_end_run(x, r, x->killing ? SL_KILLED : sl_exec_softened(r->def, e->state), now);
        return;
    }
    r->choice = sl_str_dup(x->arena, e->choice);
    r->chosen = true;
    sl_exec_mark(x, r);
    if (r->def->flowable == SL_PAUSE)
        begin_pause(x, r, e, now);
    else
        sl_scope_enter(x, r, now);
}

static void left(sl_exec *x, const sl_event *e, int64_t now)
{
    sl_taskrun *r = e->run;
    r->busy = false;
    sl_exec_set_outputs(x, r, e->outputs);
    if (e->error.n > 0)
        r->error = sl_str_dup(x->arena, e->error);
    sl_state state = e->state == SL_FAILED && r->scope->main_state != SL_KILLED ? SL_FAILED : r->scope->main_state;
    sl_exec_end_run(x, r, sl_exec_softened(r->def, state), now);
}

/* ---- time, pause, kill ---- */

static void wake(sl_exec *x, sl_taskrun *r, int64_t now)
{
    r->wake_ms = 0;
    r->woken = false;
    sl_exec_mark(x, r);
    if (r->state == SL_PAUSED) {
        pause_elapsed(x, r, now);
        return;
    }
    if (r->scope != NULL) {
        sl_scope_again(x, r->scope, now);
        return;
    }
    if (r->state == SL_RETRYING) {
        r->attempt++;
        r->started_ms = now;
        sl_exec_set_run_state(x, r, SL_RUNNING, now);
    }
    sl_exec_act(x, SL_ACT_RUN, r);
}

static void timer(sl_exec *x, int64_t now)
{
    sl_taskrun *last = x->last; /* what is started here is not to be looked at */
    x->wake_ms = INT64_MAX;
    for (sl_taskrun *r = x->first; r != NULL; r = r == last ? NULL : r->next) {
        if (r->wake_ms == 0 || r->busy || sl_state_final(r->state))
            continue;
        if (r->wake_ms <= now && !(x->held && r->state == SL_RETRYING))
            wake(x, r, now);
        else if (r->wake_ms > now && r->wake_ms < x->wake_ms)
            x->wake_ms = r->wake_ms;
    }
}

static void advance_all(sl_exec *x, int64_t now)
{
    sl_taskrun **open = SL_ARRAY(x->arena, sl_taskrun *, x->run_count + 1);
    size_t n = 0;
    for (sl_taskrun *r = x->first; r != NULL; r = r->next)
        if (r->scope != NULL && !r->scope->over)
            open[n++] = r;
    while (n > 0) { /* innermost first */
        sl_taskrun *r = open[--n];
        for (size_t i = 0; r->iterations != NULL && i < sl_val_count(r->values) && !r->scope->over; i++)
            if (r->iterations[i] != NULL && !r->iterations[i]->over)
                sl_scope_advance(x, r->iterations[i], now);
        if (!r->scope->over)
            sl_scope_advance(x, r->scope, now);
    }
    if (!x->root.over)
        sl_scope_advance(x, &x->root, now);
}

static void kill_all(sl_exec *x, sl_state end, int64_t now)
{
    if (!sl_state_final(x->state) && !x->killing && x->state != SL_CREATED && x->state != SL_QUEUED)
        sl_exec_set_state(x, SL_KILLING, now);
    end_all(x, end, now);
}

/* Nothing more is started; what runs is stopped. */
static void end_all(sl_exec *x, sl_state end, int64_t now)
{
    if (sl_state_final(x->state) || x->killing)
        return;
    x->killing = x->dirty = true;
    x->kill_state = end;
    x->held = false;
    if (x->state == SL_CREATED || x->state == SL_QUEUED) {
        refuse(x, end, now);
        return;
    }
    for (sl_taskrun *r = x->first; r != NULL; r = r->next) {
        if (sl_state_final(r->state))
            continue;
        if (r->scope != NULL)
            r->wake_ms = 0;
        else if (r->busy)
            sl_exec_act(x, SL_ACT_STOP, r);
        else if (r->waiting)
            sl_exec_act(x, SL_ACT_KILL, r);
        else
            sl_exec_end_run(x, r, SL_KILLED, now);
    }
    advance_all(x, now);
}

/* The execution pauses as long as a task run does, or as it is held. */
static void follow_pauses(sl_exec *x, int64_t now)
{
    bool pauses = x->held || x->paused > 0;
    if (pauses && x->state == SL_RUNNING)
        sl_exec_set_state(x, SL_PAUSED, now);
    else if (!pauses && x->state == SL_PAUSED) {
        sl_exec_set_state(x, SL_RESTARTED, now);
        sl_exec_set_state(x, SL_RUNNING, now);
    }
}

static void resume(sl_exec *x, const sl_event *e, int64_t now)
{
    sl_taskrun *last = x->last;
    x->held = x->held && e->run != NULL;
    for (sl_taskrun *r = x->first; r != NULL; r = r == last ? NULL : r->next)
        if (r->state == SL_PAUSED && (e->run == NULL || e->run == r)) {
            sl_exec_set_outputs(x, r, e->outputs);
            end_pause(x, r, SL_SUCCESS, now);
        }
    if (x->held)
        return;
    advance_all(x, now);
    timer(x, now); /* retries that came due meanwhile */
}

static void flow_outputs(sl_exec *x, const sl_event *e, int64_t now)
{
    if (!x->outputs_pending)
        return;
    x->outputs_pending = false;
    x->outputs = e->outputs ? sl_val_copy(x->arena, e->outputs) : NULL;
    if (e->state == SL_FAILED)
        x->root.main_state = SL_FAILED;
    sl_scope_end_execution(x, now);
}

static void waiting(sl_exec *x, const sl_event *e)
{
    e->run->busy = false;
    e->run->waiting = true;
    sl_exec_wake_at(x, e->run, e->run->woken ? 1 : e->wake_ms);
    if (x->killing)
        sl_exec_act(x, SL_ACT_KILL, e->run);
}

void sl_exec_event(sl_exec *x, const sl_event *e, int64_t now)
{
    switch (e->kind) {
    case SL_EV_START: sl_exec_start(x, now); break;
    case SL_EV_QUEUE: sl_exec_set_state(x, SL_QUEUED, now); break;
    case SL_EV_REFUSE: refuse(x, e->state, now); break;
    case SL_EV_FINISHED: finished(x, e, now); break;
    case SL_EV_EVALUATED: evaluated(x, e, now); break;
    case SL_EV_LEFT: left(x, e, now); break;
    case SL_EV_TIMER: timer(x, now); break;
    case SL_EV_WAKE:
        if (e->run->wake_ms > 0 && !e->run->busy && e->run->waiting)
            wake(x, e->run, now);
        else
            e->run->woken = e->run->busy;
        break;
    case SL_EV_KILL: kill_all(x, e->state == SL_CREATED ? SL_KILLED : e->state, now); break;
    case SL_EV_PAUSE: x->held = x->state == SL_RUNNING; break;
    case SL_EV_RESUME: resume(x, e, now); break;
    case SL_EV_LABELS: merge_labels(x, e->labels); break;
    case SL_EV_OUTPUTS: flow_outputs(x, e, now); break;
    case SL_EV_WAITING: waiting(x, e); break;
    case SL_EV_CHECKPOINT:
        e->run->checkpoint = sl_val_copy(x->arena, e->checkpoint);
        sl_exec_mark(x, e->run);
        break;
    }
    follow_pauses(x, now);
}

void sl_exec_set_final(sl_exec *x, sl_state state, int64_t now)
{
    sl_assert(sl_exec_over(x) && sl_state_final(state));
    sl_exec_set_state(x, state, now);
}

int64_t sl_exec_next_wake(const sl_exec *x)
{
    return sl_state_final(x->state) && x->root.over ? INT64_MAX : x->wake_ms;
}

bool sl_exec_over(const sl_exec *x)
{
    return sl_state_final(x->state) && x->root.over;
}
