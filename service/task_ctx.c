/* service/task_ctx.c: the services of a running attempt (connectors/task.h). */
#include "service/task_ctx.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/behind.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/secret.h"
#include "base/summed.h"
#include "service/reach.h"

void sl_task_open(sl_task *t, sl_engine *e, sl_job *job)
{
    const sl_exec *x = job->exec;
    const sl_taskrun *r = job->run;
    *t = (sl_task){ .engine = e, .job = job, .arena = job->arena, .saved = job->checkpoint, .deadline_ms = INT64_MAX };
    t->info = (sl_task_info){ .ns = x->flow->ns, .flow_id = x->flow->id, .execution_id = x->id, .task_id = r->def->id, .taskrun_id = r->id, .attempt = job->attempt };
    t->info.trigger_id = sl_get_text(x->trigger, "id");
    if (job->live->poll != NULL)
        t->info.execution_id = job->live->poll->execution_id;
    t->vars = sl_map_shallow(t->arena, job->vars);
    t->host = sl_host_make(e, t->arena, x->flow, t->info.execution_id, x->trigger, x->parent_id);
    t->env = (sl_expr_env){ .vars = t->vars, .host = &t->host };
    t->outputs = sl_map(t->arena);
    t->metrics = sl_list(t->arena);
    t->made = sl_list(t->arena);
    const sl_taskrun *parent = r->parent;
    if (parent != NULL && parent->def->flowable == SL_WORKING_DIRECTORY) {
        t->workdir = sl_workdir_of(e, t->arena, parent);
        t->workdir_shared = true;
        sl_map_setc(t->arena, t->vars, "workingDir", sl_val_str(t->arena, t->workdir));
    }
}

void sl_task_close(sl_task *t)
{
    sl_err err;
    sl_stored_unpin(t);
    if (t->workdir.n > 0 && !t->workdir_shared && !sl_fs_remove(t->workdir.p, &err))
        sl_log(SL_WARN, "worker", "the working folder of a task is left behind: %s", err.message);
}

sl_task *sl_task_alone(sl_engine *e, sl_arena *arena)
{
    sl_task *t = SL_NEW(arena, sl_task);
    *t = (sl_task){ .engine = e, .job = SL_NEW(arena, sl_job), .arena = arena, .deadline_ms = INT64_MAX, .vars = sl_map(arena), .outputs = sl_map(arena), .metrics = sl_list(arena), .made = sl_list(arena) };
    return t;
}

/* An attempt, or a context on its own? */
static bool is_attempt(const sl_task *t)
{
    return t->job->run != NULL;
}

sl_str sl_workdir_of(const sl_engine *e, sl_arena *arena, const sl_taskrun *run)
{
    return sl_fmt(arena, "%s/%.*s", e->work_root, SL_ARG(run->id));
}

sl_arena *sl_task_arena(sl_task *t)
{
    return t->arena;
}

const sl_task_info *sl_task_about(const sl_task *t)
{
    return &t->info;
}

sl_http *sl_task_http(sl_task *t)
{
    return t->engine->http;
}

sl_google *sl_task_google(sl_task *t)
{
    return t->engine->google;
}

bool sl_task_cancelled(void *self)
{
    sl_task *t = self;
    if (t->undo_until_ms > 0)
        return sl_mono_ms() > t->undo_until_ms;
    if (sl_mono_ms() > t->deadline_ms)
        t->timed_out = true;
    return t->timed_out || t->job->stop || (!is_attempt(t) && t->engine->stop_requested);
}

sl_aws *sl_task_aws(sl_task *t)
{
    return t->engine->aws;
}

void sl_task_prepare(sl_task *t, sl_http_request *req)
{
    req->cancelled = sl_task_cancelled;
    req->cancel_self = t;
}

static const char *emulator(sl_arena *a, const char *variable)
{
    const char *v = getenv(variable);
    if (v == NULL || *v == '\0')
        return NULL;
    sl_str s = sl_str_c(v);
    while (s.n > 0 && s.p[s.n - 1] == '/')
        s.n--;
    return sl_fmt(a, "%s%.*s", sl_str_find(s, SL_S("://")) < 0 ? "http://" : "", SL_ARG(s)).p;
}

const char *sl_task_endpoint(sl_task *t, const char *service, bool *ret_local)
{
    const sl_endpoints *ep = &t->engine->options.endpoints;
    *ret_local = ep->local;
    const struct {
        const char *name, *configured, *variable;
    } known[] = { { "gcs", ep->gcs, "STORAGE_EMULATOR_HOST" }, { "bigquery", ep->bigquery, "BIGQUERY_EMULATOR_HOST" }, { "s3", ep->s3, NULL }, { "dynamodb", ep->dynamodb, NULL }, { "redshift", ep->redshift, NULL }, { "redshift-data", ep->s3, NULL } };
    for (size_t i = 0; i < SL_COUNT(known); i++)
        if (strcmp(service, known[i].name) == 0)
            return known[i].configured || known[i].variable == NULL ? known[i].configured : emulator(t->arena, known[i].variable);
    return NULL;
}

/* ---- checkpoints ---- */

bool sl_task_checkpoint(sl_task *t, const sl_val *document, sl_err *err)
{
    if (!is_attempt(t))
        return true; /* nobody takes it up */
    sl_arena *a = sl_arena_new();
    sl_str text = sl_json(a, document);
    if (text.n > SL_CHECKPOINT_SIZE_MAX) {
        sl_arena_free(a);
        return sl_err_set(err, SL_ERR_BUG, "task.checkpoint", "the checkpoint of task '%.*s' is too large", SL_ARG(t->info.task_id));
    }
    if (!SL_FAULT("task.before_checkpoint", err)) {
        sl_arena_free(a);
        return false;
    }
    sl_message *m = SL_NEW(a, sl_message);
    *m = (sl_message){ .live = t->job->live, .arena = a, .event = { .kind = SL_EV_CHECKPOINT, .run = t->job->run, .checkpoint = sl_val_copy(a, document) } };
    if (!sl_engine_post_durable(t->engine, m, err))
        return false;
    t->saved = sl_val_copy(t->arena, document);
    return SL_FAULT("task.after_checkpoint", err);
}

const sl_val *sl_task_saved(const sl_task *t)
{
    return t->saved;
}

bool sl_task_seal(sl_task *t, sl_str plain, sl_str *ret, sl_err *err)
{
    sl_str raw;
    sl_redact_add(plain);
    if (!sl_kv_seal(t->engine->kv, t->arena, "checkpoint", t->info.taskrun_id, plain, &raw, err))
        return false;
    *ret = sl_base64(t->arena, raw);
    return true;
}

bool sl_task_unseal(sl_task *t, sl_str sealed, sl_str *ret, sl_err *err)
{
    sl_str raw;
    if (!sl_base64_decode(t->arena, sealed, &raw))
        return sl_err_set(err, SL_ERR_DATA, "task.checkpoint", "a sealed checkpoint is damaged");
    if (!sl_kv_unseal(t->engine->kv, t->arena, "checkpoint", t->info.taskrun_id, raw, ret, err))
        return false;
    sl_redact_add(*ret);
    return true;
}

sl_str sl_task_key(sl_task *t, const char *part)
{
    sl_str parts = sl_fmt(t->arena, "%.*s/%.*s/%d/%s", SL_ARG(t->info.execution_id), SL_ARG(t->info.taskrun_id), t->info.attempt, part);
    sl_str hash = sl_hex(t->arena, sl_digest(t->arena, "SHA256", parts));
    return sl_fmt(t->arena, "sluice_%.32s_a%d", hash.p, t->info.attempt);
}

sl_outcome sl_task_wait(sl_task *t, int64_t ms)
{
    t->wait_ms = ms > 0 ? ms : 1;
    return SL_TASK_WAIT;
}

/* ---- logs, outputs, metrics ---- */

void sl_task_log_str(sl_task *t, sl_level level, sl_str message)
{
    if (!is_attempt(t))
        sl_log(level, "storage", "%.*s", SL_ARG(message));
    else if (level >= t->job->run->def->level)
        sl_engine_log(t->engine, t->job->exec, t->job->run, level, message);
}

void sl_task_log(sl_task *t, sl_level level, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sl_str s = sl_vfmt(t->arena, fmt, ap);
    va_end(ap);
    sl_task_log_str(t, level, s);
}

void sl_task_out(sl_task *t, const char *name, const sl_val *value)
{
    sl_map_setc(t->arena, t->outputs, name, value);
}

void sl_task_out_str(sl_task *t, const char *name, sl_str value)
{
    sl_map_set_str(t->arena, t->outputs, name, value);
}

void sl_task_out_int(sl_task *t, const char *name, int64_t value)
{
    sl_map_set_int(t->arena, t->outputs, name, value);
}

static void metric(sl_task *t, const char *type, const char *name, double value)
{
    bool whole = value == (double)(int64_t)value;
    sl_str text = whole ? sl_fmt(t->arena, "%lld", (long long)value) : sl_double_text(t->arena, value);
    sl_task_log(t, SL_DEBUG, "metric %s %s = %.*s", type, name, SL_ARG(text));
    if (t->metrics->list.n >= SL_METRICS_MAX)
        return;
    sl_val *one = sl_map_of(t->arena, "kind", sl_val_str(t->arena, sl_str_dup(t->arena, sl_str_c(type))));
    sl_map_set_str(t->arena, one, "name", sl_str_dup(t->arena, sl_str_c(name)));
    sl_map_setc(t->arena, one, "value", sl_val_double(t->arena, value));
    sl_list_add(t->arena, t->metrics, one);
}

void sl_task_counter(sl_task *t, const char *name, double value)
{
    metric(t, "counter", name, value);
}

void sl_task_timer(sl_task *t, const char *name, double seconds)
{
    metric(t, "timer", name, seconds);
}

void sl_task_progress(sl_task *t, int64_t done, int64_t total)
{
    if (t->engine->options.on_progress != NULL)
        t->engine->options.on_progress(t->engine->options.self, t->info.task_id, done, total);
}

/* ---- rendering ---- */

bool sl_task_render(sl_task *t, sl_str text, sl_str *ret, sl_err *err)
{
    return sl_render(t->arena, &t->env, text, ret, err);
}

bool sl_task_holds(sl_task *t, sl_str condition, bool *ret, sl_err *err)
{
    sl_str text;
    if (!sl_task_render(t, condition, &text, err))
        return false;
    *ret = sl_truthy_text(text);
    return true;
}

bool sl_task_render_val(sl_task *t, const sl_val *v, const sl_val **ret, sl_err *err)
{
    return sl_render_val(t->arena, &t->env, v, false, ret, err);
}

bool sl_task_render_with(sl_task *t, sl_arena *a, sl_str text, const sl_val *fields, sl_str *ret, sl_err *err)
{
    sl_val *vars = sl_map_shallow(a, t->vars);
    for (size_t i = 0; sl_is(fields, SL_MAP) && i < fields->map.n; i++)
        sl_map_set(a, vars, fields->map.entries[i].key, fields->map.entries[i].value);
    if (!sl_is(fields, SL_MAP))
        sl_map_setc(a, vars, "value", fields);
    sl_expr_env env = t->env;
    env.vars = vars;
    return sl_render(a, &env, text, ret, err);
}

void sl_task_set_var(sl_task *t, const char *name, const sl_val *value)
{
    sl_map_setc(t->arena, t->vars, name, value);
}

/* ---- files ---- */

bool sl_task_local_file(sl_task *t, sl_str uri, sl_str *ret, sl_err *err)
{
    return sl_host_file(t->host.self, t, t->arena, uri, ret, err) && sl_summed_check(ret->p, sl_cstr(t->arena, uri), sl_task_cancelled, t, err);
}

bool sl_task_open_in(sl_task *t, sl_str uri, sl_reader **ret, sl_err *err)
{
    sl_str path;
    return sl_task_local_file(t, uri, &path, err) && (*ret = sl_reader_file(path.p, err)) != NULL;
}

bool sl_task_namespace_folder(sl_task *t, sl_str ns, bool changes, sl_str *ret, sl_err *err)
{
    sl_str path = sl_str_replace(t->arena, ns, SL_S("."), SL_S("/"));
    if (!sl_reach(t->engine, t->info.ns, ns, changes, err))
        return false;
    if (!sl_path_is_safe(path))
        return sl_err_set(err, SL_ERR_CONFIG, "files.namespace", "'%.*s' is not a namespace", SL_ARG(ns));
    *ret = sl_fmt(t->arena, "%s/%.*s/_files", t->engine->storage.root, SL_ARG(path));
    return sl_stored_have_namespace(t, *ret, err);
}

bool sl_task_file_changes(sl_task *t, sl_str path, sl_err *err)
{
    return sl_stored_changes(t->engine, path, err);
}

bool sl_task_remove_file(sl_task *t, sl_str uri, bool *ret_was_there, sl_err *err)
{
    sl_str path;
    *ret_was_there = false;
    if (!sl_host_find(t->host.self, t->arena, uri, &path, err))
        return err->kind == SL_ERR_NOT_FOUND;
    if (sl_str_starts(uri, SL_S("file://")))
        return (*ret_was_there = true) && sl_fs_remove(path.p, err);
    if (!sl_stored_exists(t, path, ret_was_there, err))
        return false;
    return !*ret_was_there || (sl_stored_changes(t->engine, path, err) && sl_fs_remove(path.p, err) && sl_stored_changes(t->engine, path, err));
}

static bool new_file(sl_task *t, sl_str name, sl_str *path, sl_str *uri, sl_err *err)
{
    if (!sl_storage_new(&t->engine->storage, t->arena, t->info.ns, t->info.flow_id, t->info.execution_id, t->info.task_id, t->info.taskrun_id, name, path, uri, err))
        return false;
    if (t->engine->stored != NULL)
        sl_list_add(t->arena, t->made, sl_val_str(t->arena, *path));
    return true;
}

bool sl_task_open_out(sl_task *t, sl_str name, sl_writer **ret, sl_str *ret_uri, sl_err *err)
{
    sl_str path;
    sl_writer *file = new_file(t, name, &path, ret_uri, err) ? sl_writer_summed(path.p, err) : NULL;
    if (file != NULL)
        *ret = sl_writer_behind(file);
    return file != NULL;
}

bool sl_task_make_file(sl_task *t, sl_str name, sl_made_file **ret, sl_str *ret_uri, sl_err *err)
{
    sl_str path;
    return new_file(t, name, &path, ret_uri, err) && (*ret = sl_made_file_new(path.p, err)) != NULL;
}

bool sl_task_store_file(sl_task *t, const char *from, sl_str name, sl_str *ret_uri, sl_err *err)
{
    sl_str path;
    struct stat st;
    if (!new_file(t, name, &path, ret_uri, err))
        return false;
    /* A file in a shared folder is needed by the tasks after this one, and a hard link may be written through. */
    bool movable = !t->workdir_shared && stat(from, &st) == 0 && st.st_nlink == 1;
    if (movable && rename(from, path.p) == 0)
        return (chmod(path.p, 0600) == 0 || sl_err_errno(err, "set the rights of", path.p)) && sl_summed_add(path.p, sl_task_cancelled, t, err);
    SL_READER r = sl_reader_file(from, err);
    SL_WRITER w = r ? sl_writer_summed(path.p, err) : NULL;
    return w != NULL && sl_io_copy(r, w, sl_task_cancelled, t, NULL, err) && w->finish(w, err);
}

bool sl_task_purge_files(sl_task *t, const sl_val **ret, sl_err *err)
{
    return sl_stored_purge(t, t->info.ns, t->info.flow_id, t->info.execution_id, ret, err);
}

bool sl_task_cache_dir(sl_task *t, const char *kind, sl_str *ret, sl_err *err)
{
    *ret = sl_fmt(t->arena, "%s/cache/%s", t->engine->data_dir, kind);
    return sl_fs_mkdirs(ret->p, err);
}

bool sl_task_workdir(sl_task *t, sl_str *ret, sl_err *err)
{
    if (t->workdir.n == 0) {
        t->workdir = sl_fmt(t->arena, "%s/%.*s-%d", t->engine->work_root, SL_ARG(t->info.taskrun_id), t->info.attempt);
        /* What a killed run left behind is not this attempt's. */
        if (!sl_fs_remove(t->workdir.p, err) || !sl_fs_mkdirs(t->workdir.p, err))
            return false;
        sl_task_set_var(t, "workingDir", sl_val_str(t->arena, t->workdir));
    }
    *ret = t->workdir;
    return true;
}

bool sl_task_workdir_shared(const sl_task *t)
{
    return t->workdir_shared;
}

bool sl_task_labels(sl_task *t, const sl_val *labels, sl_err *err)
{
    sl_val *out = sl_map(t->arena);
    for (size_t i = 0; i < sl_val_count(labels); i++) {
        const sl_entry *e = &labels->map.entries[i];
        if (sl_str_starts(e->key, SL_S("system.")))
            return sl_err_set(err, SL_ERR_CONFIG, "labels.system", "System labels can only be set by the system itself, offending label: %.*s", SL_ARG(e->key));
        sl_map_set(t->arena, out, e->key, sl_val_str(t->arena, sl_redact(t->arena, sl_val_text(t->arena, e->value))));
    }
    t->labels = out;
    return true;
}

const sl_val *sl_task_trigger_state(const sl_task *t)
{
    return sl_get(t->job->exec->trigger, "state");
}

void sl_task_polled(sl_task *t, bool fires, const sl_val *state, bool again)
{
    sl_val *v = sl_map(t->arena);
    sl_map_set_bool(t->arena, v, "fires", fires);
    sl_map_set_bool(t->arena, v, "again", again);
    sl_map_opt(t->arena, v, "kept", state);
    sl_task_out(t, SL_POLL_RESULT, v);
}

bool sl_task_host_access(const sl_task *t)
{
    return t->engine->options.container_host_access;
}

const sl_val *sl_task_cloud_env(const sl_task *t)
{
    return t->engine->options.endpoints.env;
}

const sl_val *sl_task_process_env(sl_task *t)
{
    sl_val *list = sl_list(t->arena);
    const char *path = getenv("PATH");
    sl_list_add(t->arena, list, sl_val_str(t->arena, sl_fmt(t->arena, "PATH=%s", path ? path : "/usr/local/bin:/usr/bin:/bin")));
    for (size_t i = 0; i < sl_val_count(t->engine->options.process_env); i++) {
        sl_str name = sl_text(sl_at(t->engine->options.process_env, i));
        const char *value = getenv(sl_cstr(t->arena, name));
        if (value != NULL)
            sl_list_add(t->arena, list, sl_val_str(t->arena, sl_fmt(t->arena, "%.*s=%s", SL_ARG(name), value)));
    }
    return list;
}
