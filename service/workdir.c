/*
 * service/workdir.c: the shared folder of a WorkingDirectory: filled, emptied, and the files that its `cache` keeps.
 *
 * A kept set is storage/NS/FLOW/TASK/cache/current/, written beside and renamed, so that it is complete or not there. As in
 * Kestra it counts from the execution that made it: one that found the set makes no new one. Regular files only.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/limits.h"
#include "connectors/files.h"
#include "service/task_ctx.h"

typedef struct copier {
    sl_task *t;
    sl_str from, to;
    const sl_val *globs; /* NULL: everything */
} copier;

static bool wanted(const copier *k, sl_str name)
{
    for (size_t i = 0; i < sl_val_count(k->globs); i++)
        if (sl_glob_match(sl_text(sl_at(k->globs, i)), name))
            return true;
    return k->globs == NULL;
}

static bool copy_one(void *self, sl_str name, int64_t size, sl_err *err)
{
    (void)size;
    copier *k = self;
    struct stat st;
    if (!wanted(k, name))
        return true;
    SL_ARENA a = sl_arena_new();
    sl_str from = sl_fmt(a, "%.*s/%.*s", SL_ARG(k->from), SL_ARG(name)), to = sl_fmt(a, "%.*s/%.*s", SL_ARG(k->to), SL_ARG(name));
    if (!sl_fs_mkdirs(sl_cstr(a, sl_str_sub(to, 0, (size_t)sl_str_rfind(to, SL_S("/")))), err))
        return false;
    SL_READER r = sl_reader_file(from.p, err);
    SL_WRITER w = r ? sl_writer_file(to.p, err) : NULL;
    if (w == NULL || !sl_io_copy(r, w, sl_task_cancelled, k->t, NULL, err) || !w->finish(w, err))
        return false;
    /* Programs stay programs. */
    return (stat(from.p, &st) == 0 && chmod(to.p, st.st_mode & 0700) == 0) || sl_err_errno(err, "set the rights of", to.p);
}

static sl_str cache_root(sl_task *t)
{
    sl_str ns = sl_str_replace(t->arena, t->info.ns, SL_S("."), SL_S("/"));
    return sl_fmt(t->arena, "%s/%.*s/%.*s/%.*s/cache", t->engine->storage_root, SL_ARG(ns), SL_ARG(sl_slugify(t->arena, t->info.flow_id)), SL_ARG(sl_slugify(t->arena, t->info.task_id)));
}

/* The set that is good now; empty when there is none. An old one is removed. */
static bool find_cache(sl_task *t, const sl_val *cache, sl_str *ret, sl_err *err)
{
    sl_str root = cache_root(t), current = sl_fmt(t->arena, "%.*s/current", SL_ARG(root)), ttl = sl_get_text(cache, "ttl");
    struct stat st;
    int64_t ms = 0;
    *ret = SL_S("");
    if (stat(current.p, &st) != 0)
        return true;
    if (ttl.n > 0 && !sl_duration_parse(ttl, &ms))
        return sl_err_set(err, SL_ERR_CONFIG, "cache.ttl", "the cache's ttl '%.*s' is not a duration", SL_ARG(ttl));
    int64_t made = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    if (ttl.n > 0 && made + ms <= sl_now_ms())
        return sl_fs_remove(current.p, err);
    *ret = current;
    return true;
}

static bool restore(sl_task *t, const sl_val *cache, sl_str dir, sl_err *err)
{
    sl_str set;
    if (!find_cache(t, cache, &set, err) || set.n == 0)
        return err->kind == SL_ERR_NONE;
    copier k = { .t = t, .from = set, .to = dir };
    sl_task_log(t, SL_DEBUG, "taking up the cached files");
    return sl_fs_walk(set.p, SL_SCRIPT_FILES_MAX, copy_one, &k, err);
}

static bool keep(sl_task *t, const sl_val *cache, sl_str dir, sl_err *err)
{
    sl_str set, root = cache_root(t), fresh = sl_fmt(t->arena, "%.*s/%.*s.new", SL_ARG(root), SL_ARG(t->info.taskrun_id)), current = sl_fmt(t->arena, "%.*s/current", SL_ARG(root));
    if (!find_cache(t, cache, &set, err))
        return false;
    if (set.n > 0)
        return true;
    copier k = { .t = t, .from = dir, .to = fresh, .globs = sl_get(cache, "patterns") };
    if (!sl_fs_remove(fresh.p, err) || !sl_fs_mkdirs(fresh.p, err) || !sl_fs_walk(dir.p, SL_SCRIPT_FILES_MAX, copy_one, &k, err))
        return false;
    /* Two at once: one of them wins, both are good. */
    return rename(fresh.p, current.p) == 0 || sl_fs_remove(fresh.p, err);
}

bool sl_workdir_enter(sl_task *t, sl_err *err)
{
    const sl_task_def *d = t->job->run->def;
    if (d->flowable != SL_WORKING_DIRECTORY)
        return true;
    sl_str dir = sl_workdir_of(t->engine, t->arena, t->job->run);
    const sl_val *files = sl_get(d->props, "inputFiles"), *cache = sl_get(d->props, "cache"), *own = sl_get(d->props, "namespaceFiles");
    sl_task_set_var(t, "workingDir", sl_val_str(t->arena, dir));
    sl_err_clear(err);
    return sl_fs_remove(dir.p, err) && sl_fs_mkdirs(dir.p, err) && (cache == NULL || restore(t, cache, dir, err))
           && (own == NULL || (sl_task_render_val(t, own, &own, err) && sl_files_bring(t, dir, own, err))) && (files == NULL || sl_task_render_val(t, files, &files, err))
           && sl_files_put(t, dir, files, err);
}

bool sl_workdir_leave(sl_task *t, sl_err *err)
{
    const sl_taskrun *run = t->job->run;
    sl_str dir = sl_workdir_of(t->engine, t->arena, run);
    const sl_val *globs = sl_get(run->def->props, "outputFiles"), *cache = sl_get(run->def->props, "cache"), *files = NULL;
    sl_err_clear(err);
    if (globs != NULL && !sl_task_render_val(t, globs, &globs, err))
        return false;
    bool there = sl_fs_exists(dir.p), good = run->scope->main_state == SL_SUCCESS || run->scope->main_state == SL_WARNED;
    /* The cache first: what is an output is moved away. */
    if ((cache != NULL && there && good && !keep(t, cache, dir, err)) || (globs != NULL && there && !sl_files_take(t, dir, globs, &files, err)))
        return false;
    if (files != NULL)
        sl_task_out(t, "outputFiles", files);
    return sl_fs_remove(dir.p, err);
}
