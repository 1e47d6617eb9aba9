/* service/stored.c: what the internal storage asks of the object store behind it. See stored.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/parallel.h"
#include "base/summed.h"
#include "service/stored_private.h"
#include "service/task_ctx.h"

enum { FILES_MAX = 1000000, PUTTERS = 8 };

bool sl_stored_url_is_good(sl_str url)
{
    sl_str rest = sl_str_sub(url, 5, url.n), bucket;
    (void)sl_str_cut(&rest, '/', &bucket);
    return (sl_str_starts(url, SL_S("s3://")) || sl_str_starts(url, SL_S("gs://"))) && bucket.n > 0 && (rest.n == 0 || sl_path_is_safe(sl_str_ends(rest, SL_S("/")) ? sl_str_sub(rest, 0, rest.n - 1) : rest));
}

/* Which files may be dropped is written beside them: without that, there is no cache. */
static bool can_mark(const char *root, sl_err *err)
{
    if (setxattr(root, SL_STORED_ATTRIBUTE, "", 0, 0) == 0)
        return true;
    return sl_err_set(err, SL_ERR_CONFIG, "storage.marks", "storage.url needs a data folder whose file system keeps extended attributes, and that of %s does not; move dataDir to another one", root);
}

sl_stored *sl_stored_new(const sl_stored_cfg *cfg, const char *root, sl_err *err)
{
    if (!can_mark(root, err))
        return NULL;
    sl_arena *a = sl_arena_new();
    sl_stored *s = SL_NEW(a, sl_stored);
    sl_str rest = sl_str_sub(cfg->url, 5, cfg->url.n);
    *s = (sl_stored){ .cfg = cfg, .root = root, .google = sl_str_starts(cfg->url, SL_S("gs://")), .arena = a, .namespaces = sl_map(a) };
    (void)sl_str_cut(&rest, '/', &s->bucket);
    s->prefix = rest.n == 0 || sl_str_ends(rest, SL_S("/")) ? rest : sl_fmt(a, "%.*s/", SL_ARG(rest));
    pthread_mutex_init(&s->namespaces_lock, NULL);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void sl_stored_free(sl_stored *s)
{
    if (s == NULL)
        return;
    pthread_mutex_destroy(&s->namespaces_lock);
    pthread_mutex_destroy(&s->lock);
    sl_arena_free(s->arena);
}

sl_bucket sl_stored_bucket(const sl_stored *s, sl_task *t)
{
    return (sl_bucket){ .task = t, .google = s->google, .name = s->bucket, .gcp = &s->cfg->gcp, .aws = &s->cfg->aws };
}

static sl_str relative(const sl_stored *s, sl_str path)
{
    return sl_str_sub(path, strlen(s->root) + 1, path.n);
}

sl_str sl_stored_key(const sl_stored *s, sl_arena *a, sl_str path)
{
    return sl_fmt(a, "%.*s%.*s", SL_ARG(s->prefix), SL_ARG(relative(s, path)));
}

/* ---- pins ---- */

void sl_stored_pin(sl_task *t, sl_str path)
{
    sl_stored *s = t->engine->stored;
    if (s == NULL)
        return;
    sl_pin *p = SL_NEW(t->arena, sl_pin);
    pthread_mutex_lock(&s->lock);
    *p = (sl_pin){ .next = s->pins, .task = t, .path = path };
    s->pins = p;
    pthread_mutex_unlock(&s->lock);
}

void sl_stored_unpin(sl_task *t)
{
    sl_stored *s = t->engine->stored;
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    for (sl_pin **p = &s->pins; *p != NULL;)
        if ((*p)->task == t)
            *p = (*p)->next;
        else
            p = &(*p)->next;
    pthread_mutex_unlock(&s->lock);
}

bool sl_stored_is_pinned(sl_stored *s, sl_str path)
{
    bool found = false;
    pthread_mutex_lock(&s->lock);
    for (const sl_pin *p = s->pins; p != NULL && !found; p = p->next)
        found = sl_str_eq(p->path, path);
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* ---- one file, from here to there and back ---- */

static bool mark(sl_str path, sl_err *err)
{
    return setxattr(path.p, SL_STORED_ATTRIBUTE, "", 0, 0) == 0 || sl_err_errno(err, "mark as stored", path.p);
}

bool sl_stored_put(sl_task *t, sl_str path, sl_err *err)
{
    const sl_stored *s = t->engine->stored;
    SL_CLEANUP(sl_target_close) sl_target *target = NULL;
    sl_target_how how = { .task = t };
    sl_bucket b = sl_stored_bucket(s, t);
    /* What goes there is what was written. */
    if (!sl_summed_check(path.p, path.p, sl_task_cancelled, t, err) || !sl_fs_size(path.p, &how.size, err))
        return false;
    SL_READER r = sl_reader_file(path.p, err);
    if (r == NULL || !SL_FAULT("stored.before_put", err) || !sl_bucket_target(&b, sl_stored_key(s, t->arena, path), &how, &target, err))
        return false;
    sl_writer *w = &target->writer;
    bool ok = sl_io_copy(r, w, sl_task_cancelled, t, NULL, err) && target->flush(target, err) && target->complete(target, err);
    if (!ok)
        target->abort(target);
    return ok && SL_FAULT("stored.after_put", err) && mark(path, err);
}

static bool make_parent(sl_arena *a, sl_str path, sl_err *err)
{
    return sl_fs_mkdirs(sl_cstr(a, sl_str_sub(path, 0, (size_t)sl_str_rfind(path, SL_S("/")))), err);
}

/* *found: false when the store has no such object. Several may fetch the same: each into a file of its own, the last one stays. */
static bool fetch(sl_task *t, sl_str key, sl_str path, bool *found, sl_err *err)
{
    sl_stored *s = t->engine->stored;
    sl_bucket b = sl_stored_bucket(s, t);
    sl_source source;
    sl_err ignored;
    *found = sl_bucket_source(&b, key, &source, err);
    if (!*found)
        return err->kind == SL_ERR_NOT_FOUND;
    sl_str own = sl_fmt(t->arena, "%.*s.%x.part", SL_ARG(path), s->fetches++);
    SL_MADE_FILE file = make_parent(t->arena, path, err) ? sl_made_file_new(own.p, err) : NULL;
    bool ok = file != NULL && sl_source_copy(&source, file, NULL, err) && sl_made_file_finish(file, err) && mark(own, err) && (rename(own.p, path.p) == 0 || sl_err_errno(err, "rename", own.p));
    if (!ok)
        (void)sl_fs_remove(own.p, &ignored);
    return ok;
}

/* ---- namespaces ---- */

static bool fetch_folder(sl_task *t, sl_str folder, sl_err *err)
{
    const sl_stored *s = t->engine->stored;
    const sl_val *keys;
    sl_bucket b = sl_stored_bucket(s, t);
    sl_str prefix = sl_fmt(t->arena, "%.*s/", SL_ARG(sl_stored_key(s, t->arena, folder))), fresh = sl_fmt(t->arena, "%.*s.new", SL_ARG(folder));
    if (!sl_bucket_list(&b, prefix, &keys, err))
        return false;
    if (sl_val_count(keys) == 0)
        return true;
    bool found, ok = sl_fs_remove(fresh.p, err) && sl_fs_mkdirs(fresh.p, err);
    for (size_t i = 0; ok && i < sl_val_count(keys); i++) {
        sl_str key = sl_text(sl_at(keys, i)), name = sl_str_sub(key, prefix.n, key.n);
        if (sl_path_is_safe(name))
            ok = fetch(t, key, sl_fmt(t->arena, "%.*s/%.*s", SL_ARG(fresh), SL_ARG(name)), &found, err);
    }
    if (ok && rename(fresh.p, folder.p) != 0)
        ok = sl_err_errno(err, "rename", fresh.p);
    if (ok)
        sl_log(SL_INFO, "storage", "%zu files of %.*s were fetched", sl_val_count(keys), SL_ARG(relative(s, folder)));
    return ok;
}

bool sl_stored_have_namespace(sl_task *t, sl_str folder, sl_err *err)
{
    sl_stored *s = t->engine->stored;
    if (s == NULL || sl_fs_exists(folder.p))
        return true;
    pthread_mutex_lock(&s->namespaces_lock);
    bool ok = sl_get_str(s->namespaces, folder) != NULL || sl_fs_exists(folder.p) || fetch_folder(t, folder, err);
    if (ok)
        sl_map_set(s->arena, s->namespaces, sl_str_dup(s->arena, folder), &sl_true_val);
    pthread_mutex_unlock(&s->namespaces_lock);
    return ok;
}

/* The folder of a namespace's file; .n == 0: it is none. */
static sl_str namespace_of(const sl_stored *s, sl_str path)
{
    ptrdiff_t at = sl_str_find(relative(s, path), SL_S("/_files/"));
    return at < 0 ? SL_S("") : sl_str_sub(path, 0, strlen(s->root) + 1 + (size_t)at + 7);
}

/* ---- reading ---- */

/* Used now: the cache drops what was used longest ago. Best effort. */
static void touch(sl_str path)
{
    const struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_OMIT } };
    (void)utimensat(AT_FDCWD, path.p, times, 0);
}

static bool missing(const sl_stored *s, sl_str uri, sl_err *err)
{
    return sl_err_set(err, SL_ERR_NOT_FOUND, "storage.missing", "Unable to read the file '%.*s': it does not exist%s%.*s (was it purged?)", SL_ARG(uri), s ? ", nor does it at " : "", SL_ARG(s ? s->cfg->url : SL_S("")));
}

static sl_store *reader_of(sl_task *t, sl_err *err)
{
    return sl_store_open_reader(sl_fmt(t->arena, "%s/state.db", t->engine->data_dir).p, t->engine->kv, err);
}

/* Has the store yet to follow at that path (below the root), or at a folder above it? Then what is not here is no more, whatever is there. */
static bool follows_at(sl_store *reader, sl_str at, bool *ret, sl_err *err)
{
    bool ok = true;
    *ret = false;
    while (ok && !*ret && at.n > 0) {
        sl_stmt *q = sl_db_query(sl_store_db(reader), err, "SELECT 1 FROM unsynced WHERE path=?", "s", at);
        int rc = q ? sl_stmt_next(q, err) : -1;
        if (rc == 1)
            sl_stmt_done(q);
        *ret = rc == 1;
        ok = rc >= 0;
        ptrdiff_t slash = sl_str_rfind(at, SL_S("/"));
        at = sl_str_sub(at, 0, slash > 0 ? (size_t)slash : 0);
    }
    return ok;
}

static bool is_changing(sl_task *t, sl_str path, bool *ret, sl_err *err)
{
    sl_store *reader = reader_of(t, err); /* seldom: files are mostly here */
    bool ok = reader != NULL && follows_at(reader, relative(t->engine->stored, path), ret, err);
    sl_store_close(reader);
    return ok;
}

/* What is not here. *found: it is now. */
static bool bring(sl_task *t, sl_str path, bool *found, sl_err *err)
{
    const sl_stored *s = t->engine->stored;
    sl_str ns = namespace_of(s, path);
    bool changing = false, ok = ns.n > 0 ? sl_stored_have_namespace(t, sl_str_dup(t->arena, ns), err) : is_changing(t, path, &changing, err) && (changing || fetch(t, sl_stored_key(s, t->arena, path), path, found, err));
    *found = ok && sl_fs_exists(path.p);
    return ok;
}

bool sl_stored_have(sl_task *t, sl_str path, sl_str uri, sl_err *err)
{
    const sl_stored *s = t->engine->stored;
    bool found = sl_fs_exists(path.p);
    if (!found && s != NULL && !bring(t, path, &found, err))
        return sl_err_ctx(err, "fetching '%.*s' from %.*s", SL_ARG(uri), SL_ARG(s->cfg->url));
    if (!found)
        return missing(s, uri, err);
    if (s != NULL)
        touch(path);
    return true;
}

bool sl_stored_exists(sl_task *t, sl_str path, bool *ret, sl_err *err)
{
    const sl_stored *s = t->engine->stored;
    sl_source source;
    bool changing = false;
    *ret = sl_fs_exists(path.p);
    if (*ret || s == NULL)
        return true;
    if (!is_changing(t, path, &changing, err) || changing)
        return changing;
    sl_bucket b = sl_stored_bucket(s, t);
    *ret = sl_bucket_source(&b, sl_stored_key(s, t->arena, path), &source, err);
    return *ret || err->kind == SL_ERR_NOT_FOUND;
}

typedef struct lister {
    sl_arena *arena;
    sl_str folder;                /* relative */
    sl_val *seen, *uris;
} lister;

static bool on_file(void *self, sl_str name, int64_t size, sl_err *err)
{
    (void)size;
    (void)err;
    lister *l = self;
    sl_str uri = sl_fmt(l->arena, "kestra:///%.*s/%.*s", SL_ARG(l->folder), SL_ARG(sl_percent(l->arena, name, "/")));
    if (sl_get_str(l->seen, uri) == NULL)
        sl_list_add(l->arena, l->uris, sl_val_str(l->arena, uri));
    sl_map_set(l->arena, l->seen, uri, &sl_true_val);
    return true;
}

/* Files that are here or there below a folder, as URIs. */
static bool list(sl_task *t, sl_str folder, const sl_val **ret, sl_err *err)
{
    const sl_stored *s = t->engine->stored;
    sl_str name = sl_str_sub(folder, strlen(t->engine->storage_root) + 1, folder.n);
    lister l = { .arena = t->arena, .folder = name, .seen = sl_map(t->arena), .uris = sl_list(t->arena) };
    *ret = l.uris;
    if (sl_fs_exists(folder.p) && !sl_fs_walk(folder.p, FILES_MAX, on_file, &l, err))
        return false;
    if (s == NULL)
        return true;
    const sl_val *keys;
    sl_bucket b = sl_stored_bucket(s, t);
    sl_str prefix = sl_fmt(t->arena, "%.*s/", SL_ARG(sl_stored_key(s, t->arena, folder)));
    if (!sl_bucket_list(&b, prefix, &keys, err))
        return false;
    sl_store *reader = reader_of(t, err);
    bool ok = reader != NULL, gone;
    for (size_t i = 0; ok && i < sl_val_count(keys); i++) {
        sl_str file = sl_str_sub(sl_text(sl_at(keys, i)), prefix.n, sl_text(sl_at(keys, i)).n);
        ok = follows_at(reader, sl_fmt(t->arena, "%.*s/%.*s", SL_ARG(name), SL_ARG(file)), &gone, err);
        if (ok && !gone) /* what is here was listed above */
            (void)on_file(&l, file, 0, err);
    }
    sl_store_close(reader);
    return ok;
}

bool sl_stored_purge(sl_task *t, sl_str ns, sl_str flow_id, sl_str execution_id, const sl_val **ret, sl_err *err)
{
    sl_str folder = sl_fmt(t->arena, "%s/%.*s", t->engine->storage_root, SL_ARG(sl_storage_execution_prefix(t->arena, ns, flow_id, execution_id)));
    return list(t, folder, ret, err) && (sl_val_count(*ret) == 0 || (sl_stored_changes(t->engine, folder, err) && sl_fs_remove(folder.p, err) && sl_stored_changes(t->engine, folder, err)));
}

/* ---- writing ---- */

/* On a thread of its own: the attempt's deadline and kill count, its arena does not. */
static bool put_nth(void *self, size_t i, sl_arena *arena, sl_err *err)
{
    const sl_task *t = self;
    sl_task own = *t;
    sl_str path = sl_text(sl_at(t->made, i));
    own.arena = arena;
    return !sl_fs_exists(path.p) || sl_stored_put(&own, path, err) || sl_err_ctx(err, "storing '%.*s' at %.*s", SL_ARG(sl_path_base(path)), SL_ARG(t->engine->stored->cfg->url));
}

bool sl_stored_keep_made(sl_task *t, sl_err *err)
{
    size_t n = sl_val_count(t->made);
    if (n > 0 && !sl_parallel(n < PUTTERS ? n : PUTTERS, n, put_nth, t, err))
        return false;
    t->made = sl_list(t->arena);
    return true;
}

bool sl_stored_changes_now(sl_engine *e, sl_str path, sl_err *err)
{
    return e->stored == NULL
           || sl_db_run(sl_store_db(e->store), err, "INSERT INTO unsynced(path, seq) VALUES(?, (SELECT coalesce(max(seq), 0) + 1 FROM unsynced)) ON CONFLICT(path) DO UPDATE SET seq=excluded.seq", "s",
                        relative(e->stored, path));
}

typedef struct change {
    sl_str path;
    bool ok;
    sl_err err;
} change;

static void apply(sl_engine *e, void *arg, int64_t now_ms)
{
    (void)now_ms;
    change *c = arg;
    c->ok = sl_stored_changes_now(e, c->path, &c->err);
}

bool sl_stored_changes(sl_engine *e, sl_str path, sl_err *err)
{
    change c = { .path = path };
    if (e->stored == NULL)
        return true;
    if (!sl_engine_call(e, apply, &c, err))
        return false;
    if (!c.ok)
        *err = c.err;
    sl_watch_changed(e->watch, SL_S("$storage"));
    return c.ok;
}
