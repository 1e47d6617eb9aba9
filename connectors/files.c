/* connectors/files.c: see files.h. */
#include "connectors/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/regex.h"

static bool put_one(sl_task *t, sl_str dir, sl_str name, const sl_val *value, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    if (!sl_path_is_safe(name))
        return sl_err_set(err, SL_ERR_CONFIG, "files.name", "'%.*s' is not a name for an input file: it must be relative, without './' or '..'", SL_ARG(name));
    sl_str path = sl_fmt(a, "%.*s/%.*s", SL_ARG(dir), SL_ARG(name));
    ptrdiff_t slash = sl_str_rfind(path, SL_S("/"));
    if (!sl_fs_mkdirs(sl_cstr(a, sl_str_sub(path, 0, (size_t)slash)), err))
        return false;
    sl_str text = value->type == SL_NULL ? SL_S("") : sl_val_text(a, value), trimmed = sl_str_trim(text);
    if (!sl_str_starts(trimmed, SL_S("kestra:///")))
        return sl_fs_write_atomic(path.p, text, 0600, err);
    sl_reader *in = NULL;
    if (!sl_task_open_in(t, trimmed, &in, err))
        return false;
    SL_READER r = in;
    SL_WRITER w = sl_writer_file(path.p, err);
    return w != NULL && sl_io_copy(r, w, sl_task_cancelled, t, NULL, err) && w->finish(w, err);
}

bool sl_files_put(sl_task *t, sl_str dir, const sl_val *files, sl_err *err)
{
    if (sl_is(files, SL_STRING)) {
        files = sl_json_parse(sl_task_arena(t), files->s, err);
        if (files == NULL)
            return sl_err_ctx(err, "reading 'inputFiles'");
    }
    if (files != NULL && files->type != SL_MAP && files->type != SL_NULL)
        return sl_err_set(err, SL_ERR_CONFIG, "files.input", "'inputFiles' must be a map of names to contents");
    for (size_t i = 0; i < sl_val_count(files); i++)
        if (!put_one(t, dir, files->map.entries[i].key, files->map.entries[i].value, err))
            return sl_err_ctx(err, "input file '%.*s'", SL_ARG(files->map.entries[i].key));
    return true;
}

/* ---- namespace files ---- */

typedef struct bringer {
    sl_task *t;
    sl_str from, to, if_exists;
    const sl_val *include, *exclude;
} bringer;

static bool any_glob(sl_arena *a, const sl_val *globs, sl_str name)
{
    for (size_t i = 0; i < sl_val_count(globs); i++) {
        sl_str glob = sl_val_text(a, sl_at(globs, i));
        while (glob.n > 0 && glob.p[0] == '/')
            glob = sl_str_sub(glob, 1, glob.n);
        if (sl_glob_match(glob, name))
            return true;
    }
    return false;
}

static bool bring_one(void *self, sl_str name, int64_t size, sl_err *err)
{
    (void)size;
    bringer *b = self;
    sl_arena *a = sl_task_arena(b->t);
    if ((sl_val_count(b->include) > 0 && !any_glob(a, b->include, name)) || any_glob(a, b->exclude, name))
        return true;
    sl_str to = sl_fmt(a, "%.*s/%.*s", SL_ARG(b->to), SL_ARG(name));
    if (sl_fs_exists(to.p) && !sl_str_eqc(b->if_exists, "OVERWRITE") && b->if_exists.n > 0) {
        if (sl_str_eqc(b->if_exists, "FAIL"))
            return sl_err_set(err, SL_ERR_CONFLICT, "files.exists", "the working folder has a file '%.*s' already (and 'ifExists' is FAIL)", SL_ARG(name));
        if (sl_str_eqc(b->if_exists, "WARN"))
            sl_task_log(b->t, SL_WARN, "the working folder has a file '%.*s' already; it stays as it is", SL_ARG(name));
        return true;
    }
    if (!sl_fs_mkdirs(sl_cstr(a, sl_str_sub(to, 0, (size_t)sl_str_rfind(to, SL_S("/")))), err))
        return false;
    SL_READER r = sl_reader_file(sl_fmt(a, "%.*s/%.*s", SL_ARG(b->from), SL_ARG(name)).p, err);
    SL_WRITER w = r ? sl_writer_file(to.p, err) : NULL;
    return w != NULL && sl_io_copy(r, w, sl_task_cancelled, b->t, NULL, err) && w->finish(w, err);
}

bool sl_files_bring(sl_task *t, sl_str dir, const sl_val *c, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_val *own = sl_list(a);
    sl_list_add(a, own, sl_val_str(a, sl_task_about(t)->ns));
    const sl_val *namespaces = sl_val_count(sl_get(c, "namespaces")) > 0 ? sl_get(c, "namespaces") : own;
    if (c == NULL || c->type == SL_NULL || !sl_get_bool(c, "enabled", true))
        return true;
    for (size_t i = 0; i < sl_val_count(namespaces); i++) {
        sl_str ns = sl_val_text(a, sl_at(namespaces, i));
        bringer b = { .t = t, .to = sl_get_bool(c, "folderPerNamespace", false) ? sl_fmt(a, "%.*s/%.*s", SL_ARG(dir), SL_ARG(ns)) : dir, .if_exists = sl_get_text(c, "ifExists"), .include = sl_get(c, "include"), .exclude = sl_get(c, "exclude") };
        if (!sl_task_namespace_folder(t, ns, false, &b.from, err) || (sl_fs_exists(b.from.p) && !sl_fs_walk(b.from.p, SL_SCRIPT_FILES_MAX, bring_one, &b, err)))
            return sl_err_ctx(err, "bringing files of the namespace '%.*s'", SL_ARG(ns));
    }
    return true;
}

typedef struct taker {
    sl_task *t;
    sl_str dir;
    const sl_val *globs;
    sl_val *out;
} taker;

static bool matches(taker *k, sl_str name, bool *hit, sl_err *err)
{
    sl_arena *a = sl_task_arena(k->t);
    *hit = false;
    for (size_t i = 0; !*hit && i < sl_val_count(k->globs); i++) {
        sl_str glob = sl_text(sl_at(k->globs, i));
        if (sl_str_starts(glob, SL_S("regex:"))) {
            const sl_regex *r = sl_regex_new(a, sl_str_sub(glob, 6, glob.n), err);
            if (r == NULL || !sl_regex_full(r, name, hit, err))
                return false;
        } else
            *hit = sl_glob_match(sl_str_starts(glob, SL_S("./")) ? sl_str_sub(glob, 2, glob.n) : glob, name);
    }
    return true;
}

static bool take_one(void *self, sl_str name, int64_t size, sl_err *err)
{
    (void)size;
    taker *k = self;
    bool hit;
    sl_str uri, own = sl_str_dup(sl_task_arena(k->t), name);
    if (!matches(k, own, &hit, err))
        return false;
    if (!hit)
        return true;
    if (!sl_task_store_file(k->t, sl_fmt(sl_task_arena(k->t), "%.*s/%.*s", SL_ARG(k->dir), SL_ARG(own)).p, own, &uri, err))
        return sl_err_ctx(err, "keeping the output file '%.*s'", SL_ARG(own));
    sl_map_set(sl_task_arena(k->t), k->out, own, sl_val_str(sl_task_arena(k->t), uri));
    return true;
}

bool sl_files_take(sl_task *t, sl_str dir, const sl_val *globs, const sl_val **ret, sl_err *err)
{
    taker k = { .t = t, .dir = dir, .globs = globs, .out = sl_map(sl_task_arena(t)) };
    *ret = k.out;
    return sl_val_count(globs) == 0 || sl_fs_walk(dir.p, SL_SCRIPT_FILES_MAX, take_one, &k, err);
}
