/*
 * service/task_cache.c: taskCache: outputs of an earlier run of the same task, in place of another one (flow language section 2.1).
 *
 * A run is the same when flow, task, loop value and all properties, rendered, are. What is kept is DATA/cache/tasks/TASK/RUN/: the
 * outputs, sealed, since they may hold secrets, and copies of the files that they name, which outlive their execution. A folder is
 * made under another name and renamed: it is complete, or not there.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/summed.h"
#include "service/task_ctx.h"

#define PURPOSE "task-cache"

enum { KEPT_MAX = 50 };                /* runs of one task */

/* ---- which run it is ---- */

/* What is common to all tasks says when and how often one runs, not what comes of it. */
static bool counts(sl_str name)
{
    return sl_str_eqc(name, "type") || sl_opt_find(sl_common_opts, name) == NULL;
}

/* A script's folders have another name each time: what it is told of them does not count. */
static sl_expr_env stable_env(sl_task *t)
{
    static const char *const folders[] = { "workingDir", "outputDir" };
    sl_val *vars = sl_map_shallow(t->arena, t->vars);
    for (size_t i = 0; i < SL_COUNT(folders); i++)
        sl_map_set_str(t->arena, vars, folders[i], sl_str_c(folders[i]));
    sl_expr_env env = t->env;
    env.vars = vars;
    return env;
}

bool sl_task_cache_find(sl_task *t, const sl_task_def *def, sl_str *ret, sl_err *err)
{
    sl_expr_env env = stable_env(t);
    sl_val *all = sl_map(t->arena);
    const sl_val *rendered;
    for (size_t i = 0; i < sl_val_count(def->props); i++) {
        sl_str name = def->props->map.entries[i].key;
        if (!counts(name))
            continue;
        if (!sl_render_val(t->arena, &env, def->props->map.entries[i].value, true, &rendered, err))
            return sl_err_ctx(err, "property '%.*s'", SL_ARG(name));
        sl_map_set(t->arena, all, name, rendered);
    }
    sl_str task = sl_fmt(t->arena, "%.*s/%.*s/%.*s", SL_ARG(t->info.ns), SL_ARG(t->info.flow_id), SL_ARG(def->id));
    sl_str run = sl_fmt(t->arena, "%.*s\n%.*s", SL_ARG(t->job->run->value.p ? t->job->run->value : SL_S("")), SL_ARG(sl_json(t->arena, all)));
    *ret = sl_fmt(t->arena, "%s/cache/tasks/%.*s/%.*s", t->engine->data_dir, SL_ARG(sl_hex(t->arena, sl_digest(t->arena, "SHA256", task))), SL_ARG(sl_hex(t->arena, sl_digest(t->arena, "SHA256", run))));
    return true;
}

/* ---- files that outputs name ---- */

typedef struct mover {
    sl_task *t;
    sl_str folder;
    int count;
    sl_err *err;
    bool (*move)(struct mover *m, sl_str text, sl_str *ret);
} mover;

/* Every text that names a file is replaced by what `move` makes of it. NULL: an error. */
static const sl_val *replace(mover *m, const sl_val *v)
{
    sl_arena *a = m->t->arena;
    sl_str text;
    if (sl_is(v, SL_STRING)) {
        text = v->s;
        return !m->move(m, v->s, &text) ? NULL : text.p == v->s.p ? v : sl_val_str(a, text);
    }
    if (!sl_is(v, SL_LIST) && !sl_is(v, SL_MAP))
        return v;
    sl_val *out = sl_is(v, SL_LIST) ? sl_list(a) : sl_map(a);
    for (size_t i = 0; i < sl_val_count(v); i++) {
        const sl_val *one = replace(m, sl_is(v, SL_LIST) ? sl_at(v, i) : v->map.entries[i].value);
        if (one == NULL)
            return NULL;
        if (sl_is(v, SL_LIST))
            sl_list_add(a, out, one);
        else
            sl_map_set(a, out, v->map.entries[i].key, one);
    }
    return out;
}

static bool copy(mover *m, const char *from, sl_writer *w)
{
    SL_READER r = sl_reader_file(from, m->err);
    return r != NULL && sl_io_copy(r, w, sl_task_cancelled, m->t, NULL, m->err) && w->finish(w, m->err);
}

#define KEPT "sluice-cache://"

/* kestra:///… of this execution -> a copy in the folder. */
static bool take_in(mover *m, sl_str text, sl_str *ret)
{
    sl_str path, name;
    if (!sl_str_starts(text, SL_S("kestra:///")))
        return true;
    if (!sl_task_local_file(m->t, text, &path, m->err))
        return false;
    name = sl_fmt(m->t->arena, "%d/%.*s", m->count++, SL_ARG(sl_path_base(path)));
    sl_str to = sl_fmt(m->t->arena, "%.*s/%.*s", SL_ARG(m->folder), SL_ARG(name));
    SL_WRITER w = sl_fs_mkdirs(sl_fmt(m->t->arena, "%.*s/%d", SL_ARG(m->folder), m->count - 1).p, m->err) ? sl_writer_summed(to.p, m->err) : NULL;
    *ret = sl_fmt(m->t->arena, KEPT "%.*s", SL_ARG(name));
    return w != NULL && copy(m, path.p, w);
}

/* And back: a file of this task run. */
static bool give_out(mover *m, sl_str text, sl_str *ret)
{
    SL_WRITER w = NULL;
    if (!sl_str_starts(text, SL_S(KEPT)))
        return true;
    sl_str name = sl_str_sub(text, sizeof KEPT - 1, text.n);
    if (!sl_path_is_safe(name))
        return sl_err_set(m->err, SL_ERR_DATA, "cache.name", "a name in it is damaged");
    const char *from = sl_fmt(m->t->arena, "%.*s/%.*s", SL_ARG(m->folder), SL_ARG(name)).p;
    return sl_summed_check(from, from, sl_task_cancelled, m->t, m->err) && sl_task_open_out(m->t, name, &w, ret, m->err) && copy(m, from, w);
}

/* ---- entries ---- */

/* Is there one that is not older than ttl (0: any age)? */
static bool is_fresh(sl_arena *a, sl_str folder, int64_t ttl_ms)
{
    struct stat st;
    if (stat(sl_fmt(a, "%.*s/outputs", SL_ARG(folder)).p, &st) != 0)
        return false;
    int64_t age = sl_now_ms() - ((int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000);
    return ttl_ms == 0 || age <= ttl_ms;
}

bool sl_task_cache_take(sl_task *t, sl_str folder, int64_t ttl_ms, bool *hit, sl_err *err)
{
    sl_str sealed, plain;
    *hit = is_fresh(t->arena, folder, ttl_ms);
    if (!*hit)
        return true;
    *hit = false;
    if (!sl_fs_read(t->arena, sl_fmt(t->arena, "%.*s/outputs", SL_ARG(folder)).p, 2 * SL_OUTPUTS_SIZE_MAX, &sealed, err) || !sl_kv_unseal(t->engine->kv, t->arena, PURPOSE, folder, sealed, &plain, err))
        return sl_err_ctx(err, "reading the cached outputs");
    const sl_val *outputs = sl_json_parse(t->arena, plain, err);
    mover m = { .t = t, .folder = folder, .err = err, .move = give_out };
    if (outputs == NULL || (outputs = replace(&m, outputs)) == NULL)
        return sl_err_ctx(err, "taking up the cached outputs");
    t->outputs = sl_map_shallow(t->arena, outputs);
    *hit = true;
    return true;
}

typedef struct kept {
    sl_arena *arena;
    sl_str root;
    struct {
        sl_str folder;
        int64_t at;
    } all[4 * KEPT_MAX];
    size_t n;
} kept;

static bool on_file(void *self, sl_str relative, int64_t size, sl_err *err)
{
    (void)size;
    (void)err;
    kept *k = self;
    struct stat st;
    sl_str path = sl_fmt(k->arena, "%.*s/%.*s", SL_ARG(k->root), SL_ARG(relative));
    if (!sl_str_ends(relative, SL_S("/outputs")) || k->n == SL_COUNT(k->all) || stat(path.p, &st) != 0)
        return true;
    k->all[k->n].folder = sl_str_sub(path, 0, path.n - 8);
    k->all[k->n++].at = (int64_t)st.st_mtim.tv_sec;
    return true;
}

/* Those that are too old, and the oldest when there are many. */
static bool tidy(sl_task *t, sl_str root, int64_t ttl_ms, sl_err *err)
{
    enum { FILES_MAX = 1000000 };
    kept k = { .arena = t->arena, .root = root };
    if (!sl_fs_walk(root.p, FILES_MAX, on_file, &k, err))
        return false;
    for (size_t i = 0; i < k.n; i++) {
        size_t newer = 0;
        for (size_t j = 0; j < k.n; j++)
            newer += k.all[j].at > k.all[i].at || (k.all[j].at == k.all[i].at && j < i);
        bool gone = newer >= KEPT_MAX || !is_fresh(t->arena, k.all[i].folder, ttl_ms);
        if (gone && !sl_fs_remove(sl_cstr(t->arena, k.all[i].folder), err))
            return false;
    }
    return true;
}

bool sl_task_cache_keep(sl_task *t, sl_str folder, int64_t ttl_ms, sl_err *err)
{
    sl_str fresh = sl_fmt(t->arena, "%.*s.%.*s", SL_ARG(folder), SL_ARG(t->info.taskrun_id)), sealed, root = sl_str_sub(folder, 0, (size_t)sl_str_rfind(folder, SL_S("/")));
    mover m = { .t = t, .folder = fresh, .err = err, .move = take_in };
    if (!sl_fs_remove(fresh.p, err) || !sl_fs_mkdirs(fresh.p, err))
        return false;
    const sl_val *outputs = replace(&m, t->outputs);
    bool ok = outputs != NULL && sl_kv_seal(t->engine->kv, t->arena, PURPOSE, folder, sl_json(t->arena, outputs), &sealed, err)
              && sl_fs_write_atomic(sl_fmt(t->arena, "%.*s/outputs", SL_ARG(fresh)).p, sealed, 0600, err) && sl_fs_remove(folder.p, err);
    if (ok && rename(fresh.p, folder.p) != 0)
        ok = sl_err_errno(err, "rename", fresh.p);
    if (ok)
        return tidy(t, sl_str_dup(t->arena, root), ttl_ms, err);
    sl_err ignored;
    (void)sl_fs_remove(fresh.p, &ignored);
    return false;
}
