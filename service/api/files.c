/* service/api/files.c: files of a namespace. Every path passes one gate (sl_path_is_safe), after it was decoded. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "service/api/flow_call.h"
#include "service/stored.h"

enum { FILES_MAX = 100000 };

static sl_str folder_of(sl_call *c)
{
    return sl_fmt(c->arena, "%s/%.*s/_files", sl_engine_storage(c->engine)->root, SL_ARG(sl_str_replace(c->arena, c->args[0], SL_S("."), SL_S("/"))));
}

/* The same, and what is only in the object store is fetched. false: the answer says why not. */
static bool root_of(sl_call *c, sl_str *ret)
{
    sl_err err;
    *ret = folder_of(c);
    if (sl_stored_have_namespace(sl_task_alone(c->engine, c->arena), *ret, &err))
        return true;
    sl_reply_err(c, &err);
    return false;
}

/* A change of a file, and the object store behind it follows. */
static bool change(sl_call *c, sl_str path, bool (*act)(sl_call *c, void *arg, sl_err *err), void *arg)
{
    sl_err err;
    bool ok = sl_stored_changes(c->engine, path, &err) && act(c, arg, &err) && sl_stored_changes(c->engine, path, &err);
    if (!ok)
        sl_reply_err(c, &err);
    return ok;
}

/* ?path=/dir/x below the namespace's folder; "" or "/" is the folder itself when `top` allows it. */
static bool path_of(sl_call *c, const char *name, bool top, sl_str *ret)
{
    sl_str p = sl_query(c, name), root;
    if (!root_of(c, &root))
        return false;
    while (p.n > 0 && p.p[0] == '/')
        p = sl_str_sub(p, 1, p.n);
    while (p.n > 0 && p.p[p.n - 1] == '/')
        p = sl_str_sub(p, 0, p.n - 1);
    if (p.n == 0 && top) {
        *ret = root;
        return true;
    }
    if (!sl_path_is_safe(p)) {
        sl_reply_error(c, 422, "Invalid entity: Path must be below the namespace's files and not contain '../': '%.*s'", SL_ARG(sl_query(c, name)));
        return false;
    }
    *ret = sl_fmt(c->arena, "%.*s/%.*s", SL_ARG(root), SL_ARG(p));
    return true;
}

static void missing(sl_call *c)
{
    sl_reply_error(c, 404, "Not Found: the namespace '%.*s' has no file '%.*s'", SL_ARG(c->args[0]), SL_ARG(sl_query(c, "path")));
}

static void get(sl_call *c)
{
    sl_str path;
    struct stat st;
    if (!path_of(c, "path", false, &path))
        return;
    int fd = open(path.p, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0)
            close(fd);
        missing(c);
        return;
    }
    c->resp->file_fd = fd;
    c->resp->file_size = st.st_size;
    c->resp->content_type = "application/octet-stream";
}

static bool make_parent(sl_call *c, sl_str path, sl_err *err)
{
    ptrdiff_t slash = sl_str_rfind(path, SL_S("/"));
    return sl_fs_mkdirs(sl_cstr(c->arena, sl_str_sub(path, 0, (size_t)slash)), err);
}

typedef struct writing {
    sl_str path, data;
} writing;

static bool write_file(sl_call *c, void *arg, sl_err *err)
{
    const writing *w = arg;
    return make_parent(c, w->path, err) && sl_fs_write_atomic(w->path.p, w->data, 0600, err);
}

static bool store(sl_call *c, sl_str path, sl_str data)
{
    return change(c, path, write_file, &(writing){ path, data });
}

/* _flows/x.yaml is a flow of this namespace, whatever it says itself. */
static bool is_flow(sl_str name)
{
    return sl_str_starts(name, SL_S("_flows/")) && (sl_str_ends(name, SL_S(".yaml")) || sl_str_ends(name, SL_S(".yml")));
}

/* Everything is looked at before anything is stored: one bad name or flow, and there is nothing of it. */
static void unpack(sl_call *c, sl_str bytes)
{
    const sl_val *entries = sl_call_unzip(c, bytes);
    sl_str root;
    sl_flow **flows = NULL;
    size_t n = 0;
    if (!root_of(c, &root))
        return;
    for (size_t i = 0; i < sl_val_count(entries); i++) {
        sl_str name = sl_get_text(sl_at(entries, i), "name");
        if (!sl_path_is_safe(name)) {
            sl_reply_error(c, 422, "Invalid entity: the ZIP file's entry '%.*s' would lead out of the namespace's files", SL_ARG(name));
            return;
        }
        if (is_flow(name) && !sl_call_flows_parse(c, sl_flow_source_with(c->arena, sl_get_text(sl_at(entries, i), "text"), "namespace", c->args[0]), &flows, &n))
            return;
    }
    sl_flow_change change = { .flows = flows, .count = n, .if_revision = -1 };
    if (entries == NULL || (n > 0 && !sl_call_flows_put(c, &change)))
        return;
    for (size_t i = 0; i < sl_val_count(entries); i++) {
        sl_str name = sl_get_text(sl_at(entries, i), "name");
        if (!is_flow(name) && !store(c, sl_fmt(c->arena, "%.*s/%.*s", SL_ARG(root), SL_ARG(name)), sl_get_text(sl_at(entries, i), "text")))
            return;
    }
    sl_reply_empty(c, 200);
}

static void post(sl_call *c)
{
    sl_str path, data = { NULL, 0 };
    const sl_val *parts;
    if (!path_of(c, "path", false, &path) || (parts = sl_call_parts(c)) == NULL)
        return;
    for (size_t i = 0; i < sl_val_count(parts); i++) {
        data = sl_get_text(sl_at(parts, i), "data");
        if (sl_str_ends(sl_get_text(sl_at(parts, i), "filename"), SL_S(".zip"))) {
            unpack(c, data);
            return;
        }
    }
    if (data.p == NULL)
        sl_reply_error(c, 422, "Invalid entity: the file is the part fileContent of the form");
    else if (store(c, path, data))
        sl_reply_empty(c, 200);
}

typedef struct moving {
    sl_str from, to;
} moving;

static bool rename_file(sl_call *c, void *arg, sl_err *err)
{
    const moving *m = arg;
    return sl_stored_changes(c->engine, m->to, err) && make_parent(c, m->to, err) && (rename(m->from.p, m->to.p) == 0 || sl_err_errno(err, "move", m->from.p))
           && sl_stored_changes(c->engine, m->to, err);
}

static void move_file(sl_call *c)
{
    moving m;
    if (!path_of(c, "from", false, &m.from) || !path_of(c, "to", false, &m.to))
        return;
    if (!sl_fs_exists(m.from.p))
        sl_reply_error(c, 404, "Not Found: the namespace '%.*s' has no file '%.*s'", SL_ARG(c->args[0]), SL_ARG(sl_query(c, "from")));
    else if (change(c, m.from, rename_file, &m))
        sl_reply_empty(c, 200);
}

static bool unlink_file(sl_call *c, void *arg, sl_err *err)
{
    (void)c;
    return sl_fs_remove(((const sl_str *)arg)->p, err);
}

static void remove_file(sl_call *c)
{
    sl_str path;
    if (!path_of(c, "path", false, &path))
        return;
    if (!sl_fs_exists(path.p))
        missing(c);
    else if (change(c, path, unlink_file, &path))
        sl_reply_empty(c, 200);
}

static const sl_val *stat_json(sl_arena *a, sl_str name, const struct stat *st)
{
    sl_val *v = sl_map(a);
    int64_t ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
    sl_map_set_str(a, v, "type", S_ISDIR(st->st_mode) ? SL_S("Directory") : SL_S("File"));
    sl_map_set_str(a, v, "fileName", name);
    sl_map_set_int(a, v, "size", st->st_size);
    sl_map_set_int(a, v, "lastModifiedTime", ms);
    sl_map_set_int(a, v, "creationTime", ms);
    return v;
}

static void stats(sl_call *c)
{
    sl_str path;
    struct stat st;
    if (!path_of(c, "path", true, &path))
        return;
    if (lstat(path.p, &st) != 0)
        missing(c);
    else
        sl_reply(c, 200, stat_json(c->arena, sl_path_base(path), &st));
}

static void directory(sl_call *c)
{
    sl_str path;
    sl_val *list = sl_list(c->arena);
    if (!path_of(c, "path", true, &path))
        return;
    DIR *d = opendir(path.p);
    if (d == NULL && !sl_str_eq(path, folder_of(c))) {
        missing(c);
        return;
    }
    for (struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;) {
        struct stat st;
        sl_str name = sl_str_dup(c->arena, sl_str_c(entry->d_name));
        if (entry->d_name[0] != '.' && lstat(sl_fmt(c->arena, "%.*s/%s", SL_ARG(path), entry->d_name).p, &st) == 0)
            sl_list_add(c->arena, list, stat_json(c->arena, name, &st));
    }
    if (d != NULL)
        closedir(d);
    sl_reply(c, 200, list);
}

static void make_directory(sl_call *c)
{
    sl_str path;
    sl_err err;
    if (!path_of(c, "path", false, &path))
        return;
    if (sl_fs_mkdirs(path.p, &err))
        sl_reply_empty(c, 200);
    else
        sl_reply_err(c, &err);
}

typedef struct finding {
    sl_call *call;
    sl_val *list;
    sl_str text;
} finding;

static bool visit(void *self, sl_str relative, int64_t size, sl_err *err)
{
    finding *f = self;
    (void)size;
    (void)err;
    if (f->text.n == 0 || sl_str_find(relative, f->text) >= 0)
        sl_list_add(f->call->arena, f->list, sl_val_str(f->call->arena, sl_fmt(f->call->arena, "/%.*s", SL_ARG(relative))));
    return true;
}

static void search(sl_call *c)
{
    sl_str root;
    finding f = { c, sl_list(c->arena), sl_query(c, "q") };
    sl_err err;
    if (!root_of(c, &root))
        return;
    if (sl_fs_exists(root.p) && !sl_fs_walk(root.p, FILES_MAX, visit, &f, &err))
        sl_reply_err(c, &err);
    else
        sl_reply(c, 200, f.list);
}

typedef struct packing {
    sl_call *call;
    sl_str root;
    sl_val *entries;
} packing;

static bool pack(void *self, sl_str relative, int64_t size, sl_err *err)
{
    packing *p = self;
    sl_arena *a = p->call->arena;
    sl_val *entry = sl_map(a);
    (void)size;
    (void)err;
    sl_map_set_str(a, entry, "name", sl_str_dup(a, relative));
    sl_map_set_str(a, entry, "path", sl_fmt(a, "%.*s/%.*s", SL_ARG(p->root), SL_ARG(relative)));
    sl_list_add(a, p->entries, entry);
    return true;
}

static void export_files(sl_call *c)
{
    packing p = { .call = c, .entries = sl_list(c->arena) };
    sl_err err;
    if (!root_of(c, &p.root))
        return;
    if (sl_fs_exists(p.root.p) && !sl_fs_walk(p.root.p, FILES_MAX, pack, &p, &err))
        sl_reply_err(c, &err);
    else
        sl_call_reply_zip(c, p.entries, "files.zip");
}

const sl_api_route sl_api_files[] = {
    { "GET", "/namespaces/{namespace}/files", SL_ROLE_VIEWER, SL_BODY_NONE, "path", "Content of a file.", get },
    { "POST", "/namespaces/{namespace}/files", SL_ROLE_AUTHOR, SL_BODY_MULTIPART, "path", "Stores a file (the part fileContent); a .zip is unpacked at the top, its _flows/*.yaml become flows.", post },
    { "GET", "/namespaces/{namespace}/files/export", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "A ZIP file of all files.", export_files },
    { "PUT", "/namespaces/{namespace}/files", SL_ROLE_AUTHOR, SL_BODY_NONE, "from to", "Moves a file.", move_file },
    { "DELETE", "/namespaces/{namespace}/files", SL_ROLE_AUTHOR, SL_BODY_NONE, "path", "Removes a file or a folder.", remove_file },
    { "GET", "/namespaces/{namespace}/files/search", SL_ROLE_VIEWER, SL_BODY_NONE, "q", "Paths that hold a text.", search },
    { "GET", "/namespaces/{namespace}/files/stats", SL_ROLE_VIEWER, SL_BODY_NONE, "path", "Size and dates of a file.", stats },
    { "GET", "/namespaces/{namespace}/files/directory", SL_ROLE_VIEWER, SL_BODY_NONE, "path", "What is in a folder.", directory },
    { "POST", "/namespaces/{namespace}/files/directory", SL_ROLE_AUTHOR, SL_BODY_NONE, "path", "Makes a folder.", make_directory },
    { 0 },
};
