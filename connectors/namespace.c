/* connectors/namespace.c: io.kestra.plugin.core.namespace: files of a namespace from and for tasks. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/regex.h"
#include "connectors/connectors.h"

#define TYPE "io.kestra.plugin.core.namespace."

#define NAMESPACE(struct_name) { .name = "namespace", .type = SL_OPT_STR, .offset = SL_FIELD(struct_name, ns), .doc = "Namespace of the files; the flow's when absent." }

static const sl_opt files_outs[] = { { .name = "files", .type = SL_OPT_MAP, .doc = "Path of each file to its URI." }, { 0 } };

/* A list, one text, or a text that is a list in JSON. */
static const sl_val *patterns(sl_arena *a, const sl_val *v)
{
    sl_err ignored;
    sl_val *one = sl_list(a);
    if (sl_is(v, SL_STRING)) {
        const sl_val *list = sl_str_starts(sl_str_trim(v->s), SL_S("[")) ? sl_json_parse(a, v->s, &ignored) : NULL;
        if (sl_is(list, SL_LIST))
            return list;
        sl_list_add(a, one, v);
        return one;
    }
    return sl_is(v, SL_LIST) ? v : one;
}

/* Globs, with or without "glob:", or "regex:…"; a slash in front is the namespace's own. */
static bool matches(sl_arena *a, const sl_val *list, sl_str path, bool *ret, sl_err *err)
{
    *ret = false;
    for (size_t i = 0; !*ret && i < sl_val_count(list); i++) {
        sl_str p = sl_val_text(a, sl_at(list, i));
        if (sl_str_starts(p, SL_S("regex:"))) {
            const sl_regex *r = sl_regex_new(a, sl_str_sub(p, 6, p.n), err);
            if (r == NULL || !sl_regex_full(r, path, ret, err))
                return false;
            continue;
        }
        if (sl_str_starts(p, SL_S("glob:")))
            p = sl_str_sub(p, 5, p.n);
        while (p.n > 0 && p.p[0] == '/')
            p = sl_str_sub(p, 1, p.n);
        *ret = sl_glob_match(p, path);
    }
    return true;
}

/* Destination and name as a path below the folder; false: it leads out. */
static bool join(sl_arena *a, sl_str destination, sl_str name, sl_str *ret, sl_err *err)
{
    while (destination.n > 0 && destination.p[0] == '/')
        destination = sl_str_sub(destination, 1, destination.n);
    while (destination.n > 0 && destination.p[destination.n - 1] == '/')
        destination.n--;
    while (name.n > 0 && name.p[0] == '/')
        name = sl_str_sub(name, 1, name.n);
    *ret = destination.n > 0 ? sl_fmt(a, "%.*s/%.*s", SL_ARG(destination), SL_ARG(name)) : name;
    return sl_path_is_safe(*ret) || sl_err_set(err, SL_ERR_CONFIG, "namespace.path", "'%.*s' is not a path below the namespace's files", SL_ARG(*ret));
}

static sl_str namespace_of(sl_task *t, sl_str named)
{
    return named.n > 0 ? named : sl_task_about(t)->ns;
}

static bool copy(sl_task *t, const char *from, sl_writer *w, sl_err *err)
{
    SL_READER r = sl_reader_file(from, err);
    return r != NULL && sl_io_copy(r, w, sl_task_cancelled, t, NULL, err) && w->finish(w, err);
}

/* ---- UploadFiles ---- */

typedef struct upload_cfg {
    sl_str ns, destination, conflict;
    const sl_val *files, *files_map;
} upload_cfg;

static const sl_opt upload_opts[] = {
    NAMESPACE(upload_cfg),
    { .name = "files", .type = SL_OPT_ANY, .offset = SL_FIELD(upload_cfg, files), .flags = SL_TYPED, .doc = "Globs over the working folder (of a WorkingDirectory), or a map of path to URI." },
    { .name = "filesMap", .type = SL_OPT_ANY, .offset = SL_FIELD(upload_cfg, files_map), .flags = SL_TYPED, .doc = "Path to the URI of a file, as a map or in JSON." },
    { .name = "destination", .type = SL_OPT_STR, .offset = SL_FIELD(upload_cfg, destination), .fallback = "/", .doc = "Folder that the paths are below." },
    { .name = "conflict", .type = SL_OPT_ENUM, .offset = SL_FIELD(upload_cfg, conflict), .values = "OVERWRITE ERROR SKIP", .fallback = "OVERWRITE", .doc = "What becomes of a file that is there already." },
    { 0 },
};

typedef struct uploader {
    sl_task *t;
    const upload_cfg *c;
    sl_str folder, from;           /* of the namespace; the working folder */
    const sl_val *globs;
    sl_val *out;
} uploader;

static bool upload_one(uploader *u, const char *from, sl_str name, sl_err *err)
{
    sl_arena *a = sl_task_arena(u->t);
    sl_str path;
    if (!join(a, u->c->destination, name, &path, err))
        return false;
    sl_str to = sl_fmt(a, "%.*s/%.*s", SL_ARG(u->folder), SL_ARG(path));
    if (sl_fs_exists(to.p) && !sl_str_eqc(u->c->conflict, "OVERWRITE"))
        return sl_str_eqc(u->c->conflict, "SKIP") || sl_err_set(err, SL_ERR_CONFLICT, "namespace.exists", "the namespace '%.*s' has a file '%.*s' already (and 'conflict' is ERROR)", SL_ARG(namespace_of(u->t, u->c->ns)), SL_ARG(path));
    SL_WRITER w = sl_fs_mkdirs(sl_cstr(a, sl_str_sub(to, 0, (size_t)sl_str_rfind(to, SL_S("/")))), err) ? sl_writer_file(to.p, err) : NULL;
    if (w == NULL || !sl_task_file_changes(u->t, to, err) || !copy(u->t, from, w, err) || !sl_task_file_changes(u->t, to, err))
        return false;
    sl_map_set_str(a, u->out, sl_fmt(a, "/%.*s", SL_ARG(path)).p, sl_fmt(a, "kestra:///%.*s/_files/%.*s", SL_ARG(sl_str_replace(a, namespace_of(u->t, u->c->ns), SL_S("."), SL_S("/"))), SL_ARG(sl_percent(a, path, "/"))));
    return true;
}

static bool upload_found(void *self, sl_str name, int64_t size, sl_err *err)
{
    (void)size;
    uploader *u = self;
    sl_arena *a = sl_task_arena(u->t);
    bool hit;
    if (!matches(a, u->globs, name, &hit, err))
        return false;
    return !hit || upload_one(u, sl_fmt(a, "%.*s/%.*s", SL_ARG(u->from), SL_ARG(name)).p, sl_str_dup(a, name), err);
}

/* Path to URI. */
static bool upload_map(uploader *u, const sl_val *map, sl_err *err)
{
    sl_arena *a = sl_task_arena(u->t);
    if (sl_is(map, SL_STRING) && (map = sl_json_parse(a, map->s, err)) == NULL)
        return sl_err_ctx(err, "property 'filesMap'");
    for (size_t i = 0; sl_is(map, SL_MAP) && i < map->map.n; i++) {
        sl_str path;
        if (!sl_task_local_file(u->t, sl_val_text(a, map->map.entries[i].value), &path, err) || !upload_one(u, path.p, map->map.entries[i].key, err))
            return false;
    }
    return true;
}

static sl_outcome upload_run(sl_task *t, void *cfg, sl_err *err)
{
    const upload_cfg *c = cfg;
    uploader u = { .t = t, .c = c, .out = sl_map(sl_task_arena(t)) };
    bool by_map = sl_is(c->files, SL_MAP), ok = sl_task_namespace_folder(t, namespace_of(t, c->ns), true, &u.folder, err) && upload_map(&u, c->files_map, err) && upload_map(&u, by_map ? c->files : NULL, err);
    u.globs = by_map ? NULL : patterns(sl_task_arena(t), c->files);
    if (ok && sl_val_count(u.globs) > 0)
        ok = sl_task_workdir(t, &u.from, err) && sl_fs_walk(u.from.p, SL_SCRIPT_FILES_MAX, upload_found, &u, err);
    sl_task_out(t, "files", u.out);
    return ok ? SL_TASK_DONE : SL_TASK_FAILED;
}

static const sl_task_type namespace_upload = { .type = TYPE "UploadFiles", .doc = "Stores files as files of a namespace.", .cfg_size = sizeof(upload_cfg), .opts = upload_opts, .outs = files_outs, .run = upload_run };

/* ---- DownloadFiles, DeleteFiles ---- */

typedef struct files_cfg {
    sl_str ns, destination;
    const sl_val *files;
    bool parents;
} files_cfg;

typedef struct visitor {
    sl_task *t;
    const files_cfg *c;
    sl_str folder;
    const sl_val *globs;
    sl_val *out;
} visitor;

static bool each_match(sl_task *t, const files_cfg *c, bool changes, bool (*visit)(void *self, sl_str relative, int64_t size, sl_err *err), visitor *v, sl_err *err)
{
    *v = (visitor){ .t = t, .c = c, .globs = patterns(sl_task_arena(t), c->files), .out = sl_map(sl_task_arena(t)) };
    if (!sl_task_namespace_folder(t, namespace_of(t, c->ns), changes, &v->folder, err))
        return false;
    return !sl_fs_exists(v->folder.p) || sl_fs_walk(v->folder.p, SL_SCRIPT_FILES_MAX, visit, v, err);
}

static bool download_one(void *self, sl_str name, int64_t size, sl_err *err)
{
    (void)size;
    visitor *v = self;
    sl_arena *a = sl_task_arena(v->t);
    SL_WRITER w = NULL;
    sl_str path, uri;
    bool hit;
    if (!matches(a, v->globs, name, &hit, err))
        return false;
    if (!hit)
        return true;
    if (!join(a, v->c->destination, sl_str_dup(a, name), &path, err) || !sl_task_open_out(v->t, path, &w, &uri, err) || !copy(v->t, sl_fmt(a, "%.*s/%.*s", SL_ARG(v->folder), SL_ARG(name)).p, w, err))
        return false;
    sl_map_set_str(a, v->out, sl_fmt(a, "/%.*s", SL_ARG(path)).p, uri);
    return true;
}

static const sl_opt download_opts[] = {
    NAMESPACE(files_cfg),
    { .name = "files", .type = SL_OPT_ANY, .offset = SL_FIELD(files_cfg, files), .flags = SL_REQUIRED | SL_TYPED, .doc = "Globs of files of the namespace: a list or one text." },
    { .name = "destination", .type = SL_OPT_STR, .offset = SL_FIELD(files_cfg, destination), .fallback = "", .doc = "Folder that the names of the outputs are below." },
    { 0 },
};

static sl_outcome download_run(sl_task *t, void *cfg, sl_err *err)
{
    visitor v;
    if (!each_match(t, cfg, false, download_one, &v, err))
        return SL_TASK_FAILED;
    sl_task_out(t, "files", v.out);
    return SL_TASK_DONE;
}

static const sl_task_type namespace_download = { .type = TYPE "DownloadFiles", .doc = "Copies files of a namespace into the execution's storage.", .cfg_size = sizeof(files_cfg), .opts = download_opts, .outs = files_outs, .run = download_run };

/* The folders above that are empty now. rmdir refuses others. */
static void remove_parents(visitor *v, sl_str path)
{
    for (ptrdiff_t slash; (slash = sl_str_rfind(path, SL_S("/"))) > 0;) {
        path = sl_str_sub(path, 0, (size_t)slash);
        if (remove(sl_fmt(sl_task_arena(v->t), "%.*s/%.*s", SL_ARG(v->folder), SL_ARG(path)).p) != 0)
            return;
    }
}

static bool delete_one(void *self, sl_str name, int64_t size, sl_err *err)
{
    (void)size;
    visitor *v = self;
    sl_arena *a = sl_task_arena(v->t);
    sl_str own = sl_str_dup(a, name);
    bool hit;
    if (!matches(a, v->globs, own, &hit, err))
        return false;
    if (!hit)
        return true;
    sl_str path = sl_fmt(a, "%.*s/%.*s", SL_ARG(v->folder), SL_ARG(own));
    if (!sl_task_file_changes(v->t, path, err) || !sl_fs_remove(path.p, err) || !sl_task_file_changes(v->t, path, err))
        return false;
    sl_map_set(a, v->out, own, &sl_true_val);
    if (v->c->parents)
        remove_parents(v, own);
    return true;
}

static const sl_opt delete_opts[] = {
    NAMESPACE(files_cfg),
    { .name = "files", .type = SL_OPT_ANY, .offset = SL_FIELD(files_cfg, files), .flags = SL_REQUIRED | SL_TYPED, .doc = "Globs of files of the namespace: a list or one text." },
    { .name = "deleteParentFolder", .type = SL_OPT_BOOL, .offset = SL_FIELD(files_cfg, parents), .fallback = "false", .doc = "Folders that are empty then go, too." },
    { 0 },
};

static const sl_opt delete_outs[] = { { .name = "count", .type = SL_OPT_INT, .doc = "How many files were removed." }, { 0 } };

static sl_outcome delete_run(sl_task *t, void *cfg, sl_err *err)
{
    visitor v;
    bool ok = each_match(t, cfg, true, delete_one, &v, err);
    sl_task_out_int(t, "count", ok ? (int64_t)sl_val_count(v.out) : 0);
    return ok ? SL_TASK_DONE : SL_TASK_FAILED;
}

static const sl_task_type namespace_delete = { .type = TYPE "DeleteFiles", .doc = "Removes files of a namespace.", .cfg_size = sizeof(files_cfg), .opts = delete_opts, .outs = delete_outs, .run = delete_run };

static const sl_task_type *const tasks[] = { &namespace_upload, &namespace_download, &namespace_delete, NULL };
const sl_connector sl_connector_namespace = { .name = "namespace", .tasks = tasks };
