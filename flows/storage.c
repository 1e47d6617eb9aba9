/* flows/storage.c: see storage.h. */
#include "flows/storage.h"

#include "base/arena.h"
#include "base/fs.h"

/* Ids hold ASCII only (checked at save), so this is the slug rule for them: lower case, '_' and '.' to '-', collapsed. */
sl_str sl_slugify(sl_arena *arena, sl_str text)
{
    sl_buf b = sl_buf_new(arena, text.n + 1);
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (alnum)
            sl_buf_char(&b, (char)(c >= 'A' && c <= 'Z' ? c + 32 : c));
        else if (b.n > 0 && b.p[b.n - 1] != '-')
            sl_buf_char(&b, '-');
    }
    while (b.n > 0 && b.p[b.n - 1] == '-')
        b.n--;
    return sl_buf_str(&b);
}

static sl_str ns_path(sl_arena *arena, sl_str ns)
{
    return sl_str_replace(arena, ns, SL_S("."), SL_S("/"));
}

sl_str sl_storage_execution_prefix(sl_arena *arena, sl_str ns, sl_str flow_id, sl_str execution_id)
{
    return sl_fmt(arena, "%.*s/%.*s/executions/%.*s", SL_ARG(ns_path(arena, ns)), SL_ARG(sl_slugify(arena, flow_id)), SL_ARG(execution_id));
}

bool sl_storage_path(const sl_storage *s, sl_arena *arena, sl_str uri, sl_str ns, sl_str flow_id, sl_str execution_id, sl_str *ret, sl_err *err)
{
    if (!sl_str_starts(uri, SL_S("kestra:///")))
        return sl_err_set(err, SL_ERR_CONFIG, "storage.uri", "'%.*s' is not a file of the internal storage (kestra:///…)", (int)(uri.n < 200 ? uri.n : 200), uri.p);
    sl_str path;
    if (!sl_percent_decode(arena, sl_str_sub(uri, 10, uri.n), false, &path) || !sl_path_is_safe(path))
        return sl_err_set(err, SL_ERR_CONFIG, "storage.uri", "the URI '%.*s' is not a safe path", (int)(uri.n < 200 ? uri.n : 200), uri.p);
    sl_str own = sl_fmt(arena, "%.*s/", SL_ARG(sl_storage_execution_prefix(arena, ns, flow_id, execution_id)));
    sl_str files = sl_fmt(arena, "%.*s/_files/", SL_ARG(ns_path(arena, ns)));
    if (!sl_str_starts(path, own) && !sl_str_starts(path, files))
        return sl_err_set(err, SL_ERR_AUTH, "storage.foreign", "Unable to read the file '%.*s': it belongs to another execution", SL_ARG(uri));
    *ret = sl_fmt(arena, "%s/%.*s", s->root, SL_ARG(path));
    return true;
}

sl_str sl_storage_execution_in(sl_str uri)
{
    enum { ID = 22 };
    sl_str mark = SL_S("/executions/");
    for (ptrdiff_t at = sl_str_find(uri, mark); at >= 0; at = sl_str_find(uri, mark)) {
        uri = sl_str_sub(uri, (size_t)at + mark.n, uri.n);
        if (uri.n > ID && uri.p[ID] == '/' && memchr(uri.p, '/', ID) == NULL)
            return sl_str_sub(uri, 0, ID);
    }
    return (sl_str){ NULL, 0 };
}

static bool place(const sl_storage *s, sl_arena *arena, sl_str dir, sl_str name, sl_str *ret_path, sl_str *ret_uri, sl_err *err)
{
    if (!sl_path_is_safe(name))
        return sl_err_set(err, SL_ERR_CONFIG, "storage.name", "'%.*s' is not a safe file name", (int)(name.n < 200 ? name.n : 200), name.p);
    *ret_path = sl_fmt(arena, "%s/%.*s/%.*s", s->root, SL_ARG(dir), SL_ARG(name));
    *ret_uri = sl_fmt(arena, "kestra:///%.*s/%.*s", SL_ARG(dir), SL_ARG(sl_percent(arena, name, "/")));
    ptrdiff_t slash = sl_str_rfind(*ret_path, SL_S("/"));
    return sl_fs_mkdirs(sl_cstr(arena, sl_str_sub(*ret_path, 0, (size_t)slash)), err);
}

bool sl_storage_new(const sl_storage *s, sl_arena *arena, sl_str ns, sl_str flow_id, sl_str execution_id, sl_str task_id, sl_str taskrun_id, sl_str name, sl_str *ret_path,
                    sl_str *ret_uri, sl_err *err)
{
    sl_str dir = sl_fmt(arena, "%.*s/tasks/%.*s/%.*s", SL_ARG(sl_storage_execution_prefix(arena, ns, flow_id, execution_id)), SL_ARG(sl_slugify(arena, task_id)), SL_ARG(taskrun_id));
    return place(s, arena, dir, name, ret_path, ret_uri, err);
}

bool sl_storage_input(const sl_storage *s, sl_arena *arena, sl_str ns, sl_str flow_id, sl_str execution_id, sl_str input_id, sl_str name, sl_str *ret_path, sl_str *ret_uri, sl_err *err)
{
    sl_str dir = sl_fmt(arena, "%.*s/inputs/%.*s", SL_ARG(sl_storage_execution_prefix(arena, ns, flow_id, execution_id)), SL_ARG(sl_slugify(arena, input_id)));
    return place(s, arena, dir, name, ret_path, ret_uri, err);
}

typedef struct lister {
    sl_arena *arena;
    sl_str prefix;
    sl_val *uris;
} lister;

static bool on_file(void *self, sl_str relative, int64_t size, sl_err *err)
{
    (void)size;
    (void)err;
    lister *l = self;
    sl_list_add(l->arena, l->uris, sl_val_str(l->arena, sl_fmt(l->arena, "kestra:///%.*s/%.*s", SL_ARG(l->prefix), SL_ARG(sl_percent(l->arena, relative, "/")))));
    return true;
}

bool sl_storage_purge(const sl_storage *s, sl_arena *arena, sl_str ns, sl_str flow_id, sl_str execution_id, const sl_val **ret, sl_err *err)
{
    lister l = { .arena = arena, .prefix = sl_storage_execution_prefix(arena, ns, flow_id, execution_id), .uris = sl_list(arena) };
    sl_str dir = sl_fmt(arena, "%s/%.*s", s->root, SL_ARG(l.prefix));
    *ret = l.uris;
    if (!sl_fs_exists(dir.p))
        return true;
    return sl_fs_walk(dir.p, 1000000, on_file, &l, err) && sl_fs_remove(dir.p, err);
}
