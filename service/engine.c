/* service/engine.c: the loop. See engine.h. */
#include "service/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/secret.h"
#include "flows/context.h"
#include "flows/input.h"
#include "service/ahead.h"
#include "service/engine_private.h"
#include "service/expr_host.h"
#include "service/stored.h"

enum { TICK_MS = 250, SURVIVORS_MS = 20000 }; /* how often the loop looks at the flags of signal handlers; how long children of a killed run may take to end */

/* ---- opening and closing ---- */

static char *join(const char *dir, const char *name)
{
    size_t n = strlen(dir) + strlen(name) + 2;
    char *p = sl_malloc(n);
    (void)snprintf(p, n, "%s%s%s", dir, *name ? "/" : "", name);
    return p;
}

static const sl_val *envs(sl_arena *a, const sl_engine_options *o)
{
    extern char **environ;
    sl_val *map = sl_map(a), *globals = sl_map(a);
    static const char *const prefixes[] = { "KESTRA_", "ENV_" };
    for (char **e = environ; *e != NULL; e++)
        for (size_t i = 0; i < SL_COUNT(prefixes); i++) {
            size_t n = strlen(prefixes[i]);
            const char *equals = strchr(*e, '=');
            if (strncmp(*e, prefixes[i], n) == 0 && equals != NULL)
                sl_map_set(a, map, sl_str_lower(a, (sl_str){ *e + n, (size_t)(equals - *e) - n }), sl_val_c(a, equals + 1));
        }
    sl_map_setc(a, globals, "envs", map);
    sl_map_setc(a, globals, "globals", o->globals ? o->globals : sl_map(a));
    sl_val *kestra = sl_map(a);
    sl_map_opt_str(a, kestra, "environment", o->environment);
    sl_map_opt_str(a, kestra, "url", o->url);
    sl_map_setc(a, globals, "kestra", kestra);
    return globals;
}

static bool open_parts(sl_engine *e, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    if (!sl_fs_mkdirs(e->data_dir, err))
        return false;
    if (chmod(e->data_dir, 0700) != 0)
        return sl_err_errno(err, "set the rights of", e->data_dir);
    if ((e->lock_fd = sl_fs_lock(sl_fmt(a, "%s/lock", e->data_dir).p, SURVIVORS_MS, err)) < 0)
        return false;
    if (!sl_fs_mkdirs(e->storage_root, err) || !sl_fs_mkdirs(e->work_root, err))
        return false;
    e->kv = sl_kv_open(sl_fmt(a, "%s/kv.db", e->data_dir).p, e->data_dir, false, err);
    e->store = e->kv ? sl_store_open(sl_fmt(a, "%s/state.db", e->data_dir).p, e->kv, err) : NULL;
    e->logs = e->store ? sl_logs_open(sl_fmt(a, "%s/logs", e->data_dir).p, err) : NULL;
    if (e->logs == NULL)
        return false;
    e->http = sl_http_new(NULL);
    e->google = sl_google_new(e->http);
    if (e->options.endpoints.google_key.n > 0)
        sl_google_set_default(e->google, e->options.endpoints.google_key);
    e->aws = sl_aws_new(e->http);
    if (e->options.endpoints.aws_secret.n > 0)
        sl_aws_set_default(e->aws, e->options.endpoints.aws_key_id, e->options.endpoints.aws_secret);
    if (e->options.storage != NULL && e->options.storage->url.n > 0 && (e->stored = sl_stored_new(e->options.storage, e->storage_root, err)) == NULL)
        return false;
    if (!sl_workers_start(e, err))
        return false;
    if (e->options.serve && (!sl_execution_take_up(e, sl_now_ms(), err) || (e->scheduler = sl_scheduler_new(e, err)) == NULL))
        return false;
    sl_db_shrink(sl_store_db(e->store)); /* what the start has read is not what the work will need */
    return true;
}

static void init_locks(sl_engine *e)
{
    pthread_mutex_init(&e->queue.lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&e->queue.wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_cond_init(&e->queue.durable, NULL);
    pthread_mutex_init(&e->jobs.lock, NULL);
    pthread_cond_init(&e->jobs.work, NULL);
}

sl_engine *sl_engine_open(const sl_engine_options *options, sl_err *err)
{
    sl_engine *e = sl_malloc(sizeof *e);
    memset(e, 0, sizeof *e);
    e->options = *options;
    e->lock_fd = -1;
    e->arena = sl_arena_new();
    e->data_dir = join(options->data_dir, "");
    e->storage_root = join(options->data_dir, "storage");
    e->work_root = join(options->data_dir, "work");
    e->storage.root = e->storage_root;
    e->globals = envs(e->arena, options);
    e->flows = sl_flow_cache_new(options->registry, options->plugin_defaults);
    e->watch = sl_watch_new();
    e->turn_arena = sl_arena_new();
    init_locks(e);
    sl_err_clear(err);
    if (open_parts(e, err))
        return e;
    sl_engine_close(e);
    return NULL;
}

static void drop_live(sl_engine *e)
{
    for (size_t i = 0; i < e->table_size; i++)
        while (e->table[i] != NULL) {
            e->table[i]->jobs = 0;
            e->table[i]->touched = false;
            sl_live_remove(e, e->table[i]);
        }
    while (e->pending_first != NULL) {
        sl_pending *p = e->pending_first;
        e->pending_first = p->next;
        free(p);
    }
}

void sl_engine_close(sl_engine *e)
{
    if (e == NULL)
        return;
    sl_workers_stop(e);
    sl_scheduler_free(e->scheduler);
    drop_live(e);
    sl_stored_free(e->stored);
    free(e->table);
    free(e->heap);
    sl_google_free(e->google);
    sl_aws_free(e->aws);
    sl_http_free(e->http);
    sl_logs_close(e->logs);
    sl_flow_cache_free(e->flows);
    sl_store_close(e->store);
    sl_kv_close(e->kv);
    sl_wipe(e->audit.key, sizeof e->audit.key);
    sl_watch_free(e->watch);
    if (e->lock_fd >= 0)
        close(e->lock_fd);
    free(e->data_dir);
    free(e->storage_root);
    free(e->work_root);
    sl_arena_free(e->turn_arena);
    sl_arena_free(e->arena);
    free(e);
}

sl_logs *sl_engine_logs(sl_engine *e) { return e->logs; }
sl_kv *sl_engine_kv(sl_engine *e) { return e->kv; }
const sl_storage *sl_engine_storage(sl_engine *e) { return &e->storage; }
const sl_registry *sl_engine_registry(sl_engine *e) { return e->options.registry; }
const sl_engine_options *sl_engine_settings(sl_engine *e) { return &e->options; }
const char *sl_engine_data_dir(sl_engine *e) { return e->data_dir; }
sl_flow_cache *sl_engine_flows(sl_engine *e) { return e->flows; }
sl_store *sl_engine_store(sl_engine *e) { return e->store; }
sl_watch *sl_engine_watch(sl_engine *e) { return e->watch; }

void sl_engine_stats_now(sl_engine *e, sl_engine_stats *ret)
{
    *ret = (sl_engine_stats){ .live = e->live_now, .running_jobs = e->running_now, .turns = e->turns, .commits = e->commits, .started = e->started };
    for (size_t i = 0; i < SL_COUNT(ret->ended); i++)
        ret->ended[i] = e->ended[i];
    pthread_mutex_lock(&e->jobs.lock);
    ret->queued_jobs = (int64_t)e->jobs.waiting;
    pthread_mutex_unlock(&e->jobs.lock);
}

void sl_engine_log(sl_engine *e, const sl_exec *x, const sl_taskrun *r, sl_level level, sl_str message)
{
    if (sl_str_eqc(x->tick_kind, SL_TICK_POLL)) { /* there is no log of an execution yet */
        sl_log(level, "trigger", "%.*s.%.*s: %.*s: %.*s", SL_ARG(x->flow->ns), SL_ARG(x->flow->id), SL_ARG(sl_get_text(x->trigger, "id")), SL_ARG(message));
        return;
    }
    sl_log_entry entry = { .execution_id = x->id, .level = level, .at_ms = sl_now_ms(), .message = message };
    if (r != NULL) {
        entry.task_id = r->def->id;
        entry.taskrun_id = r->id;
        entry.attempt = r->attempt;
    }
    sl_logs_add(e->logs, &entry, e->options.on_log, e->options.self);
    sl_watch_changed(e->watch, x->id);
}

/* ---- messages ---- */

void sl_engine_post(sl_engine *e, sl_message *m)
{
    pthread_mutex_lock(&e->queue.lock);
    m->next = NULL;
    if (e->queue.last != NULL)
        e->queue.last->next = m;
    else
        e->queue.first = m;
    e->queue.last = m;
    pthread_cond_signal(&e->queue.wake);
    pthread_mutex_unlock(&e->queue.lock);
}

bool sl_engine_wait(sl_engine *e, const bool *written, sl_err *err)
{
    pthread_mutex_lock(&e->queue.lock);
    while (!*written && !e->queue.failed)
        pthread_cond_wait(&e->queue.durable, &e->queue.lock);
    bool done = *written;
    pthread_mutex_unlock(&e->queue.lock);
    return done || sl_err_set(err, SL_ERR_IO, "engine.stopped", "the server stops, or its state can no longer be written to disk");
}

bool sl_engine_post_durable(sl_engine *e, sl_message *m, sl_err *err)
{
    bool written = false;
    m->written = &written;
    sl_engine_post(e, m);
    return sl_engine_wait(e, &written, err);
}

bool sl_engine_call(sl_engine *e, void (*fn)(sl_engine *e, void *arg, int64_t now_ms), void *arg, sl_err *err)
{
    sl_arena *a = sl_arena_new();
    sl_message *m = SL_NEW(a, sl_message);
    *m = (sl_message){ .call = fn, .arg = arg, .arena = a };
    return sl_engine_post_durable(e, m, err);
}

void sl_engine_kill_all(sl_engine *e)
{
    e->kill_requested = 1; /* the loop looks at it every TICK_MS; nothing more is safe in a signal handler */
}

void sl_engine_stop(sl_engine *e)
{
    e->stop_requested = 1;
}

void sl_engine_break(sl_engine *e, const sl_err *err)
{
    if (!e->broken)
        e->problem = *err;
    e->broken = true;
}

bool sl_engine_has_room(sl_engine *e, sl_err *err)
{
    enum { LOOK_MS = 500 };
    struct statvfs st;
    int64_t now = sl_mono_ms();
    if (e->disk_looked_ms == 0 || now - e->disk_looked_ms > LOOK_MS) {
        e->low_on_disk = statvfs(e->data_dir, &st) == 0 && (uint64_t)st.f_bavail * st.f_frsize < SL_DISK_RESERVE;
        e->disk_looked_ms = now;
    }
    return !e->low_on_disk || sl_err_set(err, SL_ERR_LIMIT, "io.disk_full", "less than %d MB are free on the disk of %s: no new work is begun until there is room; free some space", SL_DISK_RESERVE >> 20, e->data_dir);
}

/* ---- actions ---- */

sl_job *sl_engine_job(sl_engine *e, sl_live *l, const sl_action *action)
{
    sl_arena *arena = sl_arena_new();
    sl_job *j = SL_NEW(arena, sl_job);
    sl_exec *x = l->x;
    sl_taskrun *r = action->run;
    *j = (sl_job){ .kind = action->kind, .live = l, .exec = x, .run = r, .arena = arena, .attempt = r->attempt, .attempt_started_ms = r->started_ms, .run_created_ms = r->created_ms };
    j->round = r->scope != NULL && r->def->flowable == SL_LOOP_UNTIL && j->kind == SL_ACT_EVALUATE ? r->scope->iteration + 1 : -1;
    j->vars = sl_context_vars(arena, x, r, e->globals);
    j->checkpoint = r->checkpoint ? sl_val_copy(arena, r->checkpoint) : NULL;
    j->iterations = j->kind == SL_ACT_LEAVE && r->def->isolated ? sl_context_iterations(arena, x, r) : NULL;
    return j;
}

static void hand_out(sl_engine *e)
{
    while (e->pending_first != NULL && sl_workers_hungry(e)) {
        sl_pending *p = e->pending_first;
        e->pending_first = p->next;
        if (e->pending_first == NULL)
            e->pending_last = NULL;
        sl_job *j = sl_engine_job(e, p->live, &p->action);
        j->stop = p->stop;
        sl_workers_add(e, j);
        free(p);
    }
}

static void stop_run(sl_engine *e, const sl_taskrun *r)
{
    for (sl_pending *p = e->pending_first; p != NULL; p = p->next)
        p->stop = p->stop || p->action.run == r;
    sl_workers_signal(e, r);
}

void sl_engine_hand_out_later(sl_engine *e, sl_live *l, const sl_action *action)
{
    sl_pending *p = sl_malloc(sizeof *p);
    *p = (sl_pending){ .live = l, .action = *action };
    l->jobs++;
    if (e->pending_last != NULL)
        e->pending_last->next = p;
    else
        e->pending_first = p;
    e->pending_last = p;
}

/* ---- one turn ---- */

/* The flow's outputs are rendered by the loop itself: plain expressions over what is in memory. */
static sl_state render_outputs(sl_engine *e, sl_exec *x, sl_arena *a, const sl_val **ret)
{
    sl_expr_host host = sl_engine_host_of(e, a, x);
    sl_expr_env env = sl_loop_env(sl_context_vars(a, x, NULL, e->globals), &host);
    sl_val *out = sl_map(a);
    sl_state state = x->root.main_state;
    for (size_t i = 0; i < sl_val_count(x->flow->outputs); i++) {
        const sl_val *o = sl_at(x->flow->outputs, i), *v = NULL;
        sl_err err;
        bool ok = sl_render_val(a, &env, sl_get(o, "value"), true, &v, &err) && (v->type == SL_NULL || sl_input_coerce(a, o, sl_get_text(o, "type"), v, &v, &err));
        if (!ok && !sl_get_bool(o, "required", true))
            continue;
        if (!ok) {
            sl_engine_log(e, x, NULL, SL_ERROR, sl_fmt(a, "Failed to render output values: %.*s: %s", SL_ARG(sl_get_text(o, "id")), err.message));
            *ret = NULL;
            return SL_FAILED;
        }
        sl_map_set(a, out, sl_get_text(o, "id"), sl_input_plain(a, v, false));
    }
    sl_err ignored;
    *ret = sl_json_parse(a, sl_json(a, out), &ignored);
    return state;
}

/* Actions wait in the execution until the turn is on disk; see settle_touched. */
void sl_engine_feed(sl_engine *e, sl_live *l, const sl_event *event, int64_t now)
{
    sl_exec *x = l->x;
    sl_exec_event(x, event, now);
    if (x->outputs_pending) {
        sl_event done = { .kind = SL_EV_OUTPUTS };
        done.state = render_outputs(e, x, e->turn_arena, &done.outputs);
        sl_exec_event(x, &done, now);
    }
    sl_live_touch(e, l);
}

static sl_message *take_messages(sl_engine *e, int64_t until_ms)
{
    pthread_mutex_lock(&e->queue.lock);
    if (e->queue.first == NULL) {
        int64_t wait = until_ms - sl_now_ms();
        wait = wait < 0 ? 0 : wait > TICK_MS ? TICK_MS : wait;
        struct timespec at;
        (void)clock_gettime(CLOCK_MONOTONIC, &at);
        at.tv_nsec += (long)wait * 1000000;
        at.tv_sec += at.tv_nsec / 1000000000;
        at.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&e->queue.wake, &e->queue.lock, &at);
    }
    sl_message *first = e->queue.first;
    e->queue.first = e->queue.last = NULL;
    pthread_mutex_unlock(&e->queue.lock);
    return first;
}

/* Once for each time that it pauses, in the transaction of the pause itself. */
static bool tell_pause(sl_engine *e, sl_live *l, int64_t now)
{
    bool begins = l->poll == NULL && l->x->state == SL_PAUSED && !l->paused_told;
    l->paused_told = l->x->state == SL_PAUSED;
    if (begins && e->scheduler != NULL)
        sl_scheduler_paused(e, l, now);
    return begins;
}

/* What follows from the end of executions may start others, which may end at once: until nothing new has ended. */
static void follow_ends(sl_engine *e, int64_t now)
{
    for (bool more = true; more;) {
        more = false;
        for (sl_live *l = e->touched; l != NULL; l = l->next_touched) {
            more |= tell_pause(e, l, now);
            if (!l->ended && sl_state_final(l->x->state)) {
                l->ended = true;
                more = true;
                if (l->poll != NULL) {
                    sl_poll_ended(e, l, now);
                    continue;
                }
                e->ended[l->x->state]++;
                sl_execution_ended(e, l, now);
                if (e->scheduler != NULL)
                    sl_scheduler_ended(e, l, now);
            }
        }
    }
}

static bool save_touched(sl_engine *e, sl_err *err)
{
    for (sl_live *l = e->touched; l != NULL; l = l->next_touched)
        if (l->poll == NULL && (l->x->dirty || l->x->dirty_runs != NULL || l->x->removed != NULL) && !sl_store_save(e->store, l->x, err))
            return false;
    return true;
}

/* Slots that have become free are given away after the rows of this turn are in the transaction: the queue is read from it. */
static bool write_turn(sl_engine *e, int64_t now, sl_err *err)
{
    if (!save_touched(e, err))
        return false;
    if (sl_val_count(e->slots_freed) == 0)
        return true;
    if (!sl_execution_fill_slots(e, now, err))
        return false;
    follow_ends(e, now);
    return save_touched(e, err);
}

static void release_messages(sl_engine *e, sl_message *m, bool written)
{
    pthread_mutex_lock(&e->queue.lock);
    if (!written)
        e->queue.failed = true;
    while (m != NULL) {
        sl_message *next = m->next;
        if (m->written != NULL && written)
            *m->written = true;
        sl_arena_free(m->arena);
        m = next;
    }
    pthread_cond_broadcast(&e->queue.durable);
    pthread_mutex_unlock(&e->queue.lock);
}

/* After the commit: actions are handed out, watchers told, and what has ended leaves the memory. */
static void settle_touched(sl_engine *e)
{
    sl_live *l = e->touched, *next;
    e->touched = NULL;
    for (; l != NULL; l = next) {
        next = l->next_touched;
        l->touched = false;
        sl_exec *x = l->x;
        sl_exec_written(x);
        sl_watch_changed(e->watch, x->id);
        for (size_t i = 0; i < x->action_count; i++) {
            if (x->actions[i].kind == SL_ACT_STOP) {
                stop_run(e, x->actions[i].run);
                continue;
            }
            sl_engine_hand_out_later(e, l, &x->actions[i]);
        }
        x->action_count = 0;
        bool asleep = sl_exec_over(x) || x->state == SL_QUEUED;
        if (asleep && l->jobs == 0 && !l->keep)
            sl_live_remove(e, l);
        else
            sl_live_reschedule(e, l, sl_execution_wake(l));
    }
}

static void take_in(sl_engine *e, sl_message *messages, int64_t now)
{
    for (sl_message *m = messages; m != NULL && !e->broken; m = m->next) {
        if (m->call != NULL) {
            m->call(e, m->arg, now);
            continue;
        }
        if (m->ends_job)
            m->live->jobs--;
        sl_err err;
        if (m->live->poll == NULL && !sl_store_add_metrics(e->store, m->live->x, m->event.run, m->metrics, now, &err))
            sl_engine_break(e, &err);
        sl_engine_feed(e, m->live, &m->event, now);
    }
    sl_live *l;
    while ((l = sl_live_due(e, now)) != NULL) {
        sl_live_reschedule(e, l, INT64_MAX);
        sl_execution_wake_up(e, l, now);
        sl_live_touch(e, l);
    }
    size_t at = 0;
    bool kill_all = e->kill_requested != 0;
    if (e->options.serve)
        e->kill_requested = 0;
    for (l = kill_all ? sl_live_each(e, &at, NULL) : NULL; l != NULL; l = sl_live_each(e, &at, l))
        if (!l->x->killing && !sl_exec_over(l->x))
            sl_engine_feed(e, l, &(sl_event){ .kind = SL_EV_KILL }, now);
}

static bool turn(sl_engine *e, sl_message *messages, sl_err *err)
{
    int64_t now = sl_now_ms();
    bool begun = sl_store_begin(e->store, err);
    if (begun) {
        take_in(e, messages, now);
        if (e->scheduler != NULL && !e->broken)
            sl_scheduler_turn(e, now);
        for (sl_live *l = e->touched; l != NULL; l = l->next_touched)
            sl_execution_assert(e, l, now);
        sl_ahead(e, now);
        follow_ends(e, now);
    }
    bool ok = begun && SL_FAULT("engine.before_write", err) && !e->broken && write_turn(e, now, err) && !e->broken && sl_store_commit(e->store, err) && SL_FAULT("engine.after_write", err);
    if (e->broken)
        *err = e->problem;
    sl_message *ahead = e->ahead;
    e->ahead = NULL;
    if (!ok) {
        sl_store_rollback(e->store);
        release_messages(e, ahead, false);
        release_messages(e, messages, false);
        return false;
    }
    e->turns++;
    e->commits++;
    settle_touched(e);
    release_messages(e, ahead, true);
    release_messages(e, messages, true);
    hand_out(e);
    e->slots_freed = NULL;
    sl_arena_free(e->turn_arena);
    e->turn_arena = sl_arena_new();
    e->live_now = (int64_t)e->live_count;
    return true;
}

static bool all_over(sl_engine *e)
{
    size_t at = 0;
    for (sl_live *l = sl_live_each(e, &at, NULL); l != NULL; l = sl_live_each(e, &at, l))
        if (!sl_exec_over(l->x) || l->jobs > 0)
            return false;
    return true;
}

int64_t sl_engine_next_wake(const sl_engine *e)
{
    int64_t live = sl_live_next_wake(e), schedule = e->scheduler ? sl_scheduler_next_wake(e) : INT64_MAX;
    return live < schedule ? live : schedule;
}

bool sl_engine_step(sl_engine *e, sl_err *err)
{
    sl_message *messages = take_messages(e, e->touched != NULL ? 0 : sl_engine_next_wake(e));
    bool due = sl_engine_next_wake(e) <= sl_now_ms() || e->touched != NULL || e->kill_requested;
    return (messages == NULL && !due) || turn(e, messages, err);
}

bool sl_engine_loop(sl_engine *e, sl_err *err)
{
    for (bool first = true; !e->stop_requested; first = false) {
        if (!e->options.serve && !first && e->touched == NULL && all_over(e))
            return true;
        if (!sl_engine_step(e, err))
            return sl_err_ctx(err, "writing the state; nothing after the last completed step was done");
    }
    /* Whoever still waits for a commit is told that there will be none. */
    pthread_mutex_lock(&e->queue.lock);
    e->queue.failed = true;
    pthread_cond_broadcast(&e->queue.durable);
    pthread_mutex_unlock(&e->queue.lock);
    return true;
}
