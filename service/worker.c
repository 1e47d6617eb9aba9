/*
 * service/worker.c: the threads that run attempts: render the properties, bind them, call the connector, report back.
 */
#include <signal.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/secret.h"
#include "connectors/files.h"
#include "service/task_ctx.h"

enum { WORKERS = 8, QUEUED_PER_WORKER = 8, UNDO_MS = 15000 };

/* ---- the pool ---- */

static sl_job *take_job(sl_engine *e, int slot)
{
    pthread_mutex_lock(&e->jobs.lock);
    e->jobs.running[slot] = NULL;
    e->jobs.idle++;
    while (e->jobs.first == NULL && !e->jobs.stop)
        pthread_cond_wait(&e->jobs.work, &e->jobs.lock);
    e->jobs.idle--;
    sl_job *j = e->jobs.stop ? NULL : e->jobs.first;
    if (j != NULL) {
        e->jobs.first = j->next;
        if (e->jobs.first == NULL)
            e->jobs.last = NULL;
        e->jobs.waiting--;
        e->running_now++;
        e->jobs.running[slot] = j;
        j->slot = slot;
    }
    pthread_mutex_unlock(&e->jobs.lock);
    return j;
}

static void run_job(sl_engine *e, sl_job *j);
/* By a user, that is: when the process stops, what is under way is taken up again. */
static bool killed(sl_task *t)
{
    pthread_mutex_lock(&t->engine->jobs.lock);
    bool stopping = t->engine->jobs.stop;
    pthread_mutex_unlock(&t->engine->jobs.lock);
    return t->job->stop && !stopping;
}

typedef struct thread_arg {
    sl_engine *engine;
    int slot;
} thread_arg;

static void *thread_main(void *self)
{
    thread_arg arg = *(thread_arg *)self;
    free(self);
    sl_job *j;
    while ((j = take_job(arg.engine, arg.slot)) != NULL)
        run_job(arg.engine, j);
    return NULL;
}

static bool add_thread(sl_engine *e)
{
    sigset_t all, old;
    pthread_attr_t attr;
    thread_arg *arg = sl_malloc(sizeof *arg);
    *arg = (thread_arg){ e, e->thread_count };
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the main thread's */
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 1 << 20);
    bool ok = pthread_create(&e->threads[e->thread_count], &attr, thread_main, arg) == 0;
    pthread_attr_destroy(&attr);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (ok)
        e->thread_count++;
    else
        free(arg);
    return ok;
}

/* One to begin with; the others come when there is work for them. */
bool sl_workers_start(sl_engine *e, sl_err *err)
{
    return add_thread(e) || sl_err_set(err, SL_ERR_IO, "workers", "no worker thread could be started");
}

void sl_workers_stop(sl_engine *e)
{
    pthread_mutex_lock(&e->jobs.lock);
    e->jobs.stop = true;
    for (size_t i = 0; i < SL_COUNT(e->jobs.running); i++)
        if (e->jobs.running[i] != NULL)
            e->jobs.running[i]->stop = true;
    pthread_cond_broadcast(&e->jobs.work);
    pthread_mutex_unlock(&e->jobs.lock);
    pthread_mutex_lock(&e->queue.lock);
    e->queue.failed = true; /* nobody writes any more: who waits for it must not wait for ever */
    pthread_cond_broadcast(&e->queue.durable);
    pthread_mutex_unlock(&e->queue.lock);
    for (int i = 0; i < e->thread_count; i++)
        pthread_join(e->threads[i], NULL);
    e->thread_count = 0;
    while (e->jobs.first != NULL) {
        sl_job *j = e->jobs.first;
        e->jobs.first = j->next;
        sl_arena_free(j->arena);
    }
    while (e->queue.first != NULL) {
        sl_message *m = e->queue.first;
        e->queue.first = m->next;
        sl_arena_free(m->arena);
    }
}

static int thread_limit(const sl_engine *e)
{
    int wanted = e->options.workers > 0 ? e->options.workers : WORKERS;
    return wanted < SL_WORKERS_MAX ? wanted : SL_WORKERS_MAX;
}

bool sl_workers_hungry(sl_engine *e)
{
    pthread_mutex_lock(&e->jobs.lock);
    bool hungry = e->jobs.waiting < (size_t)thread_limit(e) * QUEUED_PER_WORKER;
    pthread_mutex_unlock(&e->jobs.lock);
    return hungry;
}

void sl_workers_add(sl_engine *e, sl_job *j)
{
    pthread_mutex_lock(&e->jobs.lock);
    j->next = NULL;
    if (e->jobs.last != NULL && e->jobs.first != NULL)
        e->jobs.last->next = j;
    else
        e->jobs.first = j;
    e->jobs.last = j;
    e->jobs.waiting++;
    bool more = e->jobs.waiting > (size_t)e->jobs.idle && e->thread_count < thread_limit(e);
    pthread_cond_signal(&e->jobs.work);
    pthread_mutex_unlock(&e->jobs.lock);
    if (more)
        (void)add_thread(e); /* without it, one of those that are there takes the job a little later */
}

void sl_workers_signal(sl_engine *e, const sl_taskrun *run)
{
    pthread_mutex_lock(&e->jobs.lock);
    for (size_t i = 0; i < SL_COUNT(e->jobs.running); i++)
        if (e->jobs.running[i] != NULL && e->jobs.running[i]->run == run)
            e->jobs.running[i]->stop = true;
    for (sl_job *j = e->jobs.first; j != NULL; j = j->next)
        if (j->run == run)
            j->stop = true;
    pthread_mutex_unlock(&e->jobs.lock);
}

/* ---- one attempt ---- */

/* The arena goes to the loop with the message: by then the folder is gone and the pool has let go of the job. */
void sl_task_hand_over(sl_task *t, sl_message *m)
{
    sl_engine *e = t->engine;
    sl_task_close(t);
    m->live = t->job->live;
    m->metrics = t->metrics;
    m->arena = t->arena;
    if (t->job->ahead) {
        t->job->result = m;
        return;
    }
    pthread_mutex_lock(&e->jobs.lock);
    e->jobs.running[t->job->slot] = NULL;
    pthread_mutex_unlock(&e->jobs.lock);
    m->ends_job = true;
    e->running_now--;
    sl_engine_post(e, m);
}

/* Only what the table calls for is rendered; `sub` tables do not matter here. */
static bool render_props(sl_task *t, const sl_opt *opts, const sl_val *props, const sl_val **ret, sl_err *err)
{
    sl_val *out = sl_map(t->arena);
    for (const sl_opt *o = opts; o->type != SL_OPT_END; o++) {
        const sl_val *v = sl_get(props, o->name), *rendered = v;
        if (v == NULL)
            continue;
        if (!(o->flags & (SL_STATIC | SL_LATE)) && o->type != SL_OPT_TASKS && !sl_render_val(t->arena, &t->env, v, (o->flags & SL_TYPED) != 0, &rendered, err))
            return sl_err_ctx(err, "property '%s'", o->name);
        sl_map_setc(t->arena, out, o->name, rendered);
    }
    *ret = out;
    return true;
}

static bool set_deadline(sl_task *t, const sl_task_def *def, sl_err *err)
{
    sl_str text;
    int64_t ms;
    if (def->timeout.n == 0)
        return true;
    if (!sl_task_render(t, def->timeout, &text, err))
        return sl_err_ctx(err, "property 'timeout'");
    if (!sl_duration_parse(sl_str_trim(text), &ms))
        return sl_err_set(err, SL_ERR_CONFIG, "task.timeout", "'timeout' must be a duration such as PT30S, not '%.*s'", SL_ARG(text));
    int64_t used = sl_now_ms() - t->job->attempt_started_ms;
    t->deadline_ms = sl_mono_ms() + (ms > used ? ms - used : 0);
    return true;
}

bool sl_task_should_run(sl_task *t, const sl_task_def *def, bool *ret, sl_err *err)
{
    sl_str text;
    *ret = true;
    if (def->run_if.p == NULL || t->saved != NULL)
        return true;
    if (!sl_task_render(t, def->run_if, &text, err))
        return sl_err_ctx(err, "property 'runIf'");
    *ret = sl_truthy_text(text);
    return true;
}

static sl_outcome call_task(sl_task *t, const sl_task_def *def, sl_err *err)
{
    const sl_val *props = NULL;
    if (def->type->before != NULL && !def->type->before(t, def->props, err))
        return SL_TASK_FAILED;
    if (!render_props(t, def->type->opts, def->props, &props, err))
        return SL_TASK_FAILED;
    void *cfg = sl_alloc(t->arena, def->type->cfg_size);
    if (!sl_bind(t->arena, def->type->opts, props, cfg, err))
        return SL_TASK_FAILED;
    if (t->job->kind == SL_ACT_KILL) {
        t->undo_until_ms = sl_mono_ms() + UNDO_MS;
        if (def->type->kill != NULL)
            def->type->kill(t, cfg);
        t->undo_until_ms = 0;
        t->job->stop = true;
        sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "killed");
        return SL_TASK_FAILED;
    }
    if (!SL_FAULT("task.before_run", err))
        return SL_TASK_FAILED;
    return def->type->run(t, cfg, err);
}

sl_outcome sl_task_run_as(sl_task *t, const sl_val *task, sl_err *err)
{
    sl_task_def def = *t->job->run->def;
    sl_problems problems = { .arena = t->arena };
    const sl_registry *registry = sl_engine_registry(t->engine);
    sl_str type = sl_type_canonical(t->arena, registry, sl_get_text(task, "type"));
    const sl_task_type *outer = def.type;
    def.type = sl_registry_find(registry, type);
    if (sl_is(task, SL_MAP) && sl_get(task, "id") == NULL) {
        sl_val *named = sl_map_shallow(t->arena, task);
        sl_map_set_str(t->arena, named, "id", def.id);
        task = named;
    }
    def.props = task;
    if (type.n == 0)
        sl_err_set(err, SL_ERR_CONFIG, "task.type", "the task that was made has no 'type'");
    else if (def.type == NULL)
        sl_err_set(err, SL_ERR_CONFIG, "task.type", "the task that was made has the type '%.*s', which %s", SL_ARG(type), sl_flowable_find(type) ? "holds other tasks; it must be one that does something itself" : "does not exist");
    else if (def.type == outer)
        sl_err_set(err, SL_ERR_CONFIG, "task.type", "the task that was made cannot be of the type '%.*s' itself", SL_ARG(type));
    else {
        sl_bind_check(def.type->opts, sl_common_opts, task, SL_S("the task that was made"), &problems);
        if (def.type->check != NULL)
            def.type->check(task, SL_S("the task that was made"), &problems);
        if (problems.n == 0)
            return call_task(t, &def, err);
        sl_err_set(err, SL_ERR_CONFIG, "task.properties", "%.*s", SL_ARG(problems.first->message));
    }
    return SL_TASK_FAILED;
}

/* Outputs as they will be after a restart: through JSON, and bounded. */
bool sl_task_settle_outputs(sl_task *t, const sl_val **ret, sl_err *err)
{
    if (t->outputs->map.n == 0)
        return true;
    sl_str text = sl_json(t->arena, t->outputs);
    if (text.n > SL_OUTPUTS_SIZE_MAX)
        return sl_err_set(err, SL_ERR_LIMIT, "task.outputs", "the outputs are larger than %d bytes; use fetchType STORE, or write a file", SL_OUTPUTS_SIZE_MAX);
    *ret = sl_json_parse(t->arena, text, err);
    return *ret != NULL;
}

static void report(sl_task *t, sl_outcome outcome, bool skipped, sl_err *err)
{
    sl_job *j = t->job;
    sl_message *m = SL_NEW(t->arena, sl_message);
    *m = (sl_message){ .event = { .kind = SL_EV_FINISHED, .run = j->run, .labels = t->labels, .variables = t->variables, .exits = t->exits, .exit_state = t->exit_state } };
    sl_event *ev = &m->event;
    if (outcome == SL_TASK_WAIT) {
        ev->kind = SL_EV_WAITING;
        ev->wake_ms = sl_now_ms() + t->wait_ms;
        if (t->deadline_ms != INT64_MAX && sl_mono_ms() + t->wait_ms > t->deadline_ms)
            ev->wake_ms = sl_now_ms() + (t->deadline_ms - sl_mono_ms()) + 1;
        sl_task_hand_over(t, m);
        return;
    }
    if (!sl_task_settle_outputs(t, &ev->outputs, err))
        outcome = SL_TASK_FAILED;
    ev->state = skipped ? SL_SKIPPED : outcome == SL_TASK_DONE ? SL_SUCCESS : outcome == SL_TASK_WARNING ? SL_WARNED : SL_FAILED;
    if (outcome == SL_TASK_FAILED) {
        if (t->timed_out)
            sl_err_set(err, SL_ERR_TIMEOUT, "task.timeout", "Timeout after %.*s", SL_ARG(j->run->def->timeout));
        else if (j->stop)
            ev->state = SL_KILLED;
        sl_redact_err(err);
        ev->error = sl_fmt(t->arena, "%s", err->message);
        if (ev->state == SL_FAILED && !j->ahead) /* else it is tried again where it may do more */
            sl_task_log_str(t, SL_ERROR, ev->error);
    }
    uint64_t r;
    sl_random(&r, sizeof r);
    ev->random = (double)(r >> 11) / 9007199254740992.0;
    sl_task_hand_over(t, m);
}

/*
 * An earlier run's outputs, when they will do; else *folder is where this one's are to be left (.n == 0: nowhere). What is wrong with
 * the cache is no reason to fail: the task can run.
 */
static bool from_cache(sl_task *t, const sl_task_def *def, sl_str *folder)
{
    sl_err err;
    bool hit = false;
    *folder = SL_S("");
    if (!def->cached || t->job->kind == SL_ACT_KILL)
        return false;
    if (!sl_task_cache_find(t, def, folder, &err) || (t->saved == NULL && !sl_task_cache_take(t, *folder, def->cache_ttl_ms, &hit, &err))) {
        sl_redact_err(&err);
        sl_task_log(t, SL_WARN, "taskCache: %s", err.message);
    }
    if (hit)
        sl_task_log(t, SL_INFO, "taskCache: these are the outputs of an earlier run");
    return hit;
}

static void to_cache(sl_task *t, const sl_task_def *def, sl_str folder)
{
    sl_err err;
    if (folder.n == 0 || sl_task_cache_keep(t, folder, def->cache_ttl_ms, &err))
        return;
    sl_redact_err(&err);
    sl_task_log(t, SL_WARN, "taskCache: %s", err.message);
}

/* What it has made is where it belongs before anybody hears of it. Of a failed attempt as far as it goes. */
static bool keep_files(sl_task *t, sl_outcome outcome, sl_err *err)
{
    sl_err own;
    if (outcome != SL_TASK_FAILED)
        return sl_stored_keep_made(t, err);
    if (!sl_task_cancelled(t) && !sl_stored_keep_made(t, &own)) {
        sl_redact_err(&own);
        sl_task_log(t, SL_WARN, "%s", own.message);
    }
    return true;
}

static void run_attempt(sl_task *t)
{
    const sl_task_def *def = t->job->run->def;
    sl_err err;
    sl_err_clear(&err);
    bool run = true;
    sl_str folder;
    sl_outcome outcome = SL_TASK_FAILED;
    if (set_deadline(t, def, &err) && sl_task_should_run(t, def, &run, &err)) {
        outcome = SL_TASK_DONE;
        if (sl_task_cancelled(t) && t->job->kind != SL_ACT_KILL)
            outcome = SL_TASK_FAILED;
        else if (run && !from_cache(t, def, &folder)) {
            outcome = call_task(t, def, &err);
            if (outcome == SL_TASK_DONE)
                to_cache(t, def, folder);
        }
        /* An attempt that is killed, or whose time is up, has its remote work undone. */
        if (outcome == SL_TASK_WAIT && sl_task_cancelled(t)) {
            t->job->kind = SL_ACT_KILL;
            outcome = call_task(t, def, &err);
        } else if (outcome == SL_TASK_FAILED && (t->timed_out || killed(t)) && t->saved != NULL && t->job->kind != SL_ACT_KILL && def->type->kill != NULL) {
            t->job->kind = SL_ACT_KILL;
            (void)call_task(t, def, &err);
        }
    }
    if (!keep_files(t, outcome, &err))
        outcome = SL_TASK_FAILED;
    report(t, outcome, !run, &err);
}

sl_message *sl_workers_ahead(sl_engine *e, sl_live *l, const sl_action *action)
{
    enum { STEPS = 20000 };
    sl_task t;
    sl_job *j = sl_engine_job(e, l, action);
    j->ahead = true;
    sl_task_open(&t, e, j);
    t.host = (sl_expr_host){ .self = t.host.self, .file_uri = t.host.file_uri };
    t.env.steps_max = STEPS;
    t.env.jq_ms = -1;
    run_attempt(&t);
    sl_message *m = j->result;
    if (m->event.kind == SL_EV_FINISHED && m->event.state != SL_FAILED && m->event.state != SL_KILLED)
        return m;
    sl_arena_free(j->arena);
    return NULL;
}

static void run_job(sl_engine *e, sl_job *j)
{
    sl_task t;
    sl_task_open(&t, e, j);
    if (j->kind == SL_ACT_EVALUATE)
        sl_flowable_evaluate(&t);
    else if (j->kind == SL_ACT_LEAVE)
        sl_flowable_leave(&t);
    else
        run_attempt(&t);
}
