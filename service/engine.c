/* service/engine.c: see engine.h. */
#include "service/engine.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/secret.h"
#include "flows/context.h"
#include "flows/input.h"
#include "service/engine_private.h"
#include "service/expr_host.h"

/* ---- opening and closing ---- */

static char *join(const char *dir, const char *name)
{
    size_t n = strlen(dir) + strlen(name) + 2;
    char *p = sl_malloc(n);
    (void)snprintf(p, n, "%s/%s", dir, name);
    return p;
}

static const sl_val *envs(sl_arena *a)
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
    sl_map_setc(a, globals, "globals", sl_map(a));
    return globals;
}

static bool open_parts(sl_engine *e, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    if (!sl_fs_mkdirs(e->data_dir, err))
        return false;
    if (chmod(e->data_dir, 0700) != 0)
        return sl_err_errno(err, "set the rights of", e->data_dir);
    if ((e->lock_fd = sl_fs_lock(sl_fmt(a, "%s/lock", e->data_dir).p, err)) < 0)
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
    return sl_workers_start(e, err);
}

sl_engine *sl_engine_open(const sl_engine_options *options, sl_err *err)
{
    sl_engine *e = sl_malloc(sizeof *e);
    *e = (sl_engine){ .options = *options, .lock_fd = -1, .arena = sl_arena_new() };
    e->data_dir = join(options->data_dir, "");
    e->data_dir[strlen(e->data_dir) - 1] = '\0';
    e->storage_root = join(options->data_dir, "storage");
    e->work_root = join(options->data_dir, "work");
    e->storage.root = e->storage_root;
    e->globals = envs(e->arena);
    pthread_mutex_init(&e->queue.lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&e->queue.wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_cond_init(&e->queue.durable, NULL);
    pthread_mutex_init(&e->jobs.lock, NULL);
    pthread_cond_init(&e->jobs.work, NULL);
    sl_err_clear(err);
    if (open_parts(e, err))
        return e;
    sl_engine_close(e);
    return NULL;
}

void sl_engine_close(sl_engine *e)
{
    if (e == NULL)
        return;
    sl_workers_stop(e);
    for (size_t i = 0; i < e->exec_count; i++)
        sl_arena_free(e->execs[i]->arena);
    sl_google_free(e->google);
    sl_http_free(e->http);
    sl_logs_close(e->logs);
    sl_kv_close(e->kv);
    sl_store_close(e->store);
    if (e->lock_fd >= 0)
        close(e->lock_fd);
    free(e->data_dir);
    free(e->storage_root);
    free(e->work_root);
    sl_arena_free(e->arena);
    free(e);
}

sl_logs *sl_engine_logs(sl_engine *e)
{
    return e->logs;
}

void sl_engine_log(sl_engine *e, const sl_exec *x, const sl_taskrun *r, sl_level level, sl_str message)
{
    sl_log_entry entry = { .execution_id = x->id, .level = level, .at_ms = sl_now_ms(), .message = message };
    if (r != NULL) {
        entry.task_id = r->def->id;
        entry.taskrun_id = r->id;
        entry.attempt = r->attempt;
    }
    sl_logs_add(e->logs, &entry, e->options.on_log, e->options.self);
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

bool sl_engine_post_durable(sl_engine *e, sl_message *m, sl_err *err)
{
    bool written = false;
    m->written = &written;
    sl_engine_post(e, m);
    pthread_mutex_lock(&e->queue.lock);
    while (!written && !e->queue.failed)
        pthread_cond_wait(&e->queue.durable, &e->queue.lock);
    pthread_mutex_unlock(&e->queue.lock);
    return written || sl_err_set(err, SL_ERR_IO, "engine.stopped", "the state can no longer be written to disk");
}

void sl_engine_kill_all(sl_engine *e)
{
    e->kill_requested = 1; /* the loop looks at it at least every 100 ms; nothing more is safe in a signal handler */
}

/* ---- actions ---- */

static sl_job *job_new(sl_engine *e, sl_exec *x, const sl_action *a)
{
    sl_arena *arena = sl_arena_new();
    sl_job *j = SL_NEW(arena, sl_job);
    *j = (sl_job){ .kind = a->kind, .exec = x, .run = a->run, .arena = arena, .attempt = a->run->attempt, .attempt_started_ms = a->run->started_ms };
    j->vars = sl_context_vars(arena, x, a->run, e->globals);
    j->checkpoint = a->run->checkpoint ? sl_val_copy(arena, a->run->checkpoint) : NULL;
    return j;
}

static void carry_out(sl_engine *e, sl_exec *x, const sl_action *actions, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (actions[i].kind == SL_ACT_STOP)
            sl_workers_signal(e, actions[i].run);
        else
            sl_workers_add(e, job_new(e, x, &actions[i]));
    }
}

/* The flow's outputs are rendered by the loop itself: plain expressions over what is in memory. */
static sl_state render_outputs(sl_engine *e, sl_exec *x, sl_arena *a, const sl_val **ret)
{
    sl_expr_host host = sl_engine_host(e, x->flow, x->id);
    sl_expr_env env = { .vars = sl_context_vars(a, x, NULL, e->globals), .host = &host };
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
        sl_map_set(a, out, sl_get_text(o, "id"), v);
    }
    sl_err ignored;
    *ret = sl_json_parse(a, sl_json(a, out), &ignored);
    return state;
}

static void notify(sl_engine *e, sl_exec *x)
{
    for (sl_taskrun *r = x->dirty_runs; e->options.on_run != NULL && r != NULL; r = r->next_dirty)
        e->options.on_run(e->options.self, x, r);
}

/* ---- the loop ---- */

typedef struct batch {
    sl_arena *arena;
    sl_action *actions;
    sl_exec **owners;
    size_t n, capacity;
} batch;

/* Actions point to runs and survive the next event of the same execution, so they are copied out. */
static void collect(batch *b, sl_exec *x)
{
    if (b->n + x->action_count > b->capacity) {
        size_t wanted = (b->n + x->action_count) * 2 + 16;
        b->actions = sl_realloc(b->arena, b->actions, b->capacity * sizeof *b->actions, wanted * sizeof *b->actions);
        b->owners = sl_realloc(b->arena, b->owners, b->capacity * sizeof(sl_exec *), wanted * sizeof(sl_exec *));
        b->capacity = wanted;
    }
    for (size_t i = 0; i < x->action_count; i++) {
        b->actions[b->n] = x->actions[i];
        b->owners[b->n++] = x;
    }
    x->action_count = 0;
}

static void feed(sl_engine *e, batch *b, sl_exec *x, const sl_event *event, int64_t now)
{
    sl_exec_event(x, event, now);
    collect(b, x);
    if (x->outputs_pending) {
        sl_event done = { .kind = SL_EV_OUTPUTS };
        done.state = render_outputs(e, x, b->arena, &done.outputs);
        sl_exec_event(x, &done, now);
        collect(b, x);
    }
}

static sl_message *take_messages(sl_engine *e, int64_t until_ms)
{
    pthread_mutex_lock(&e->queue.lock);
    if (e->queue.first == NULL) {
        int64_t wait = until_ms - sl_now_ms();
        wait = wait < 0 ? 0 : wait > 100 ? 100 : wait;
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

static bool write_all(sl_engine *e, int64_t now, sl_err *err)
{
    bool any = false;
    for (size_t i = 0; i < e->exec_count; i++)
        any |= e->execs[i]->dirty || e->execs[i]->dirty_runs != NULL;
    if (!any)
        return true;
    if (!sl_store_begin(e->store, err))
        return false;
    for (size_t i = 0; i < e->exec_count; i++)
        if (!sl_store_save(e->store, e->execs[i], now, err)) {
            sl_store_rollback(e->store);
            return false;
        }
    if (sl_store_commit(e->store, err))
        return true;
    sl_store_rollback(e->store);
    return false;
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

static bool turn(sl_engine *e, sl_message *messages, sl_err *err)
{
    SL_ARENA arena = sl_arena_new();
    batch b = { .arena = arena };
    int64_t now = sl_now_ms();
    for (sl_message *m = messages; m != NULL; m = m->next)
        feed(e, &b, m->exec, &m->event, now);
    for (size_t i = 0; i < e->exec_count; i++) {
        sl_exec *x = e->execs[i];
        if (e->kill_requested && !x->killing)
            feed(e, &b, x, &(sl_event){ .kind = SL_EV_KILL }, now);
        if (sl_exec_next_wake(x) <= now)
            feed(e, &b, x, &(sl_event){ .kind = SL_EV_TIMER }, now);
    }
    if (!SL_FAULT("engine.before_write", err) || !write_all(e, now, err) || !SL_FAULT("engine.after_write", err)) {
        release_messages(e, messages, false);
        return false;
    }
    for (size_t i = 0; i < e->exec_count; i++) {
        notify(e, e->execs[i]);
        sl_exec_written(e->execs[i]);
    }
    release_messages(e, messages, true);
    for (size_t i = 0; i < b.n; i++)
        carry_out(e, b.owners[i], &b.actions[i], 1);
    return true;
}

bool sl_engine_loop(sl_engine *e, sl_err *err)
{
    for (;;) {
        int64_t wake = INT64_MAX;
        bool live = false;
        for (size_t i = 0; i < e->exec_count; i++) {
            live |= !sl_exec_over(e->execs[i]);
            int64_t at = sl_exec_next_wake(e->execs[i]);
            wake = at < wake ? at : wake;
        }
        if (!live)
            return true;
        if (!turn(e, take_messages(e, wake), err))
            return sl_err_ctx(err, "writing the state; nothing after the last completed step was done");
    }
}

/* ---- executions ---- */

static void post_start(sl_engine *e, sl_exec *x)
{
    sl_arena *a = sl_arena_new();
    sl_message *m = SL_NEW(a, sl_message);
    *m = (sl_message){ .exec = x, .event = { .kind = SL_EV_START }, .arena = a };
    sl_engine_post(e, m);
}

/* Copies the files of FILE inputs into the storage; *ret is `given` with their URIs. */
static bool take_files(sl_engine *e, sl_arena *a, const sl_flow *flow, sl_str id, const sl_val *files, const sl_val *given, const sl_val **ret, sl_problems *problems)
{
    sl_val *all = sl_map_shallow(a, given);
    for (size_t i = 0; i < sl_val_count(files); i++) {
        sl_str name = files->map.entries[i].key, from = sl_text(files->map.entries[i].value), path, uri;
        sl_err err;
        SL_READER r = sl_reader_file(sl_cstr(a, from), &err);
        SL_WRITER w = r && sl_storage_input(&e->storage, a, flow->ns, flow->id, id, name, sl_path_base(from), &path, &uri, &err) ? sl_writer_file(path.p, &err) : NULL;
        if (w == NULL || !sl_io_copy(r, w, NULL, NULL, NULL, &err) || !w->finish(w, &err)) {
            sl_problem_add(problems, 0, 0, "the input '%.*s': %s", SL_ARG(name), err.message);
            return false;
        }
        sl_map_set_str(a, all, sl_cstr(a, name), uri);
    }
    *ret = all;
    return true;
}

sl_exec *sl_engine_create(sl_engine *e, const sl_flow *flow, const sl_val *given, const sl_val *files, const sl_val *labels, sl_problems *problems)
{
    SL_ARENA a = sl_arena_new();
    char id[23];
    sl_random_id(id);
    sl_expr_host host = sl_engine_host(e, flow, sl_str_c(id));
    sl_expr_env env = { .vars = sl_context_flow_vars(a, flow, e->globals), .host = &host };
    const sl_val *inputs;
    if (flow->disabled)
        sl_problem_add(problems, 0, 0, "the flow '%.*s' is disabled", SL_ARG(flow->id));
    if (flow->disabled || !take_files(e, a, flow, sl_str_c(id), files, given, &given, problems) || !sl_inputs_resolve(a, flow->inputs, given, &env, &inputs, problems)) {
        const sl_val *gone;
        sl_err ignored;
        (void)sl_storage_purge(&e->storage, a, flow->ns, flow->id, sl_str_c(id), &gone, &ignored);
        return NULL;
    }
    sl_assert(e->exec_count < SL_COUNT(e->execs));
    sl_exec *x = sl_exec_new(flow, sl_str_c(id), sl_now_ms());
    x->inputs = sl_val_copy(x->arena, inputs);
    sl_val *all = sl_map(x->arena);
    for (int pass = 0; pass < 2; pass++) {
        const sl_val *from = pass == 0 ? flow->labels : labels;
        for (size_t i = 0; i < sl_val_count(from); i++)
            sl_map_set(x->arena, all, sl_str_dup(x->arena, from->map.entries[i].key), sl_val_copy(x->arena, from->map.entries[i].value));
    }
    sl_map_set_str(x->arena, all, "system.correlationId", x->id);
    x->labels = all;
    e->execs[e->exec_count++] = x;
    post_start(e, x);
    return x;
}

sl_exec *sl_engine_continue(sl_engine *e, sl_arena *arena, sl_str id, sl_err *err)
{
    sl_str source;
    if (!sl_store_flow_source(e->store, arena, id, &source, err))
        return NULL;
    sl_problems problems = { .arena = arena };
    sl_flow *flow = sl_flow_parse(arena, e->options.registry, NULL, source, &problems);
    if (flow == NULL) {
        sl_err_set(err, SL_ERR_CONFIG, "flow.invalid", "the stored flow of the execution is not valid any more: %.*s", SL_ARG(problems.first->message));
        return NULL;
    }
    sl_exec *x = sl_store_load(e->store, flow, id, err);
    if (x == NULL)
        return NULL;
    x->inputs = sl_context_inputs(x->arena, flow, x->inputs);
    e->execs[e->exec_count++] = x;
    if (sl_exec_over(x))
        return x; /* asked again: its result is shown, nothing is done */
    sl_engine_log(e, x, NULL, SL_INFO, SL_S("continuing after an interruption"));
    sl_exec_resume(x, sl_now_ms());
    size_t n = x->action_count;
    sl_action *actions = SL_ARRAY(arena, sl_action, n + 1);
    if (n > 0)
        memcpy(actions, x->actions, n * sizeof *actions);
    x->action_count = 0;
    /* What was taken up again may have moved the state on: written before anything is done. */
    if (!write_all(e, sl_now_ms(), err))
        return NULL;
    sl_exec_written(x);
    carry_out(e, x, actions, n);
    return x;
}
