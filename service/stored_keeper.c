/*
 * service/stored_keeper.c: the object store follows the folder; the folder is kept in bounds. See stored.h.
 *
 * A path of `unsynced` is done when the store has what the folder has at it: a file, the files below it, or nothing. Its row goes
 * only if the path has not changed again meanwhile.
 */
#include <fts.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "service/stored_private.h"
#include "service/task_ctx.h"

enum { ROWS = 100, WAIT_MS = 5000, AGAIN_MS = 10000, TIDY_MS = 30000, USED_S = 60, FILES_MAX = 1000000 };

struct sl_stored_keeper {
    pthread_t thread;
    sl_engine *engine;
    sl_store *store;
    int64_t tidied_ms;            /* monotonic */
};

/* ---- the store follows ---- */

typedef struct sync_work {
    sl_task *task;
    sl_str path;
    sl_val *here;                 /* keys of what lies there locally */
} sync_work;

static bool put_one(sync_work *y, sl_str path, sl_err *err)
{
    sl_map_set(y->task->arena, y->here, sl_stored_key(y->task->engine->stored, y->task->arena, path), &sl_true_val);
    return sl_stored_put(y->task, path, err);
}

static bool on_file(void *self, sl_str name, int64_t size, sl_err *err)
{
    (void)size;
    sync_work *y = self;
    return sl_str_ends(name, SL_S(".part")) || put_one(y, sl_fmt(y->task->arena, "%.*s/%.*s", SL_ARG(y->path), SL_ARG(name)), err);
}

static sl_str local_of(const sync_work *y, sl_str key)
{
    const sl_stored *s = y->task->engine->stored;
    return sl_fmt(y->task->arena, "%s/%.*s", s->root, SL_ARG(sl_str_sub(key, s->prefix.n, key.n)));
}

static bool is_here(const sync_work *y, sl_str key)
{
    sl_str path = local_of(y, key);
    return sl_get_str(y->here, key) != NULL || (sl_fs_exists(path.p) && !sl_fs_is_dir(path.p));
}

static bool remove_others(sync_work *y, sl_err *err)
{
    sl_arena *a = y->task->arena;
    const sl_stored *s = y->task->engine->stored;
    sl_bucket b = sl_stored_bucket(s, y->task);
    sl_str key = sl_stored_key(s, a, y->path);
    sl_val *gone = sl_list(a);
    const sl_val *there;
    if (!sl_bucket_list(&b, sl_fmt(a, "%.*s/", SL_ARG(key)), &there, err))
        return false;
    for (size_t i = 0; i < sl_val_count(there); i++)
        if (!is_here(y, sl_text(sl_at(there, i))))
            sl_list_add(a, gone, sl_at(there, i));
    if (!is_here(y, key))
        sl_list_add(a, gone, sl_val_str(a, key));
    if (!sl_bucket_delete(&b, gone, err))
        return false;
    /* What a task has made meanwhile, and stored before it was removed there, is stored again. */
    for (size_t i = 0; i < sl_val_count(gone); i++)
        if (is_here(y, sl_text(sl_at(gone, i))) && !sl_stored_put(y->task, local_of(y, sl_text(sl_at(gone, i))), err))
            return false;
    return true;
}

static bool sync_path(sl_task *t, sl_str path, sl_err *err)
{
    sync_work y = { .task = t, .path = path, .here = sl_map(t->arena) };
    bool ok = !sl_fs_exists(path.p) || (sl_fs_is_dir(path.p) ? sl_fs_walk(path.p, FILES_MAX, on_file, &y, err) : put_one(&y, path, err));
    return ok && remove_others(&y, err);
}

typedef struct row {
    sl_str path;
    int64_t seq;
} row;

typedef struct done {
    const row *row;
    bool ok;
    sl_err err;
} done;

static void forget(sl_engine *e, void *arg, int64_t now_ms)
{
    (void)now_ms;
    done *d = arg;
    d->ok = sl_db_run(sl_store_db(e->store), &d->err, "DELETE FROM unsynced WHERE path=? AND seq=?", "si", d->row->path, d->row->seq);
}

static bool follow_one(sl_engine *e, const row *r, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    done d = { .row = r };
    if (!sync_path(sl_task_alone(e, a), sl_fmt(a, "%s/%.*s", e->storage_root, SL_ARG(r->path)), err) || !sl_engine_call(e, forget, &d, err))
        return false;
    if (!d.ok)
        *err = d.err;
    return d.ok;
}

/* The first rows; *more: there may be others. */
static bool follow(sl_stored_keeper *k, sl_arena *a, bool *more, sl_err *err)
{
    row rows[ROWS];
    size_t n = 0;
    int rc = 0;
    sl_stmt *q = sl_db_query(sl_store_db(k->store), err, "SELECT path, seq FROM unsynced ORDER BY seq LIMIT ?", "i", (int64_t)ROWS);
    if (q == NULL)
        return false;
    while (n < ROWS && (rc = sl_stmt_next(q, err)) == 1) {
        rows[n] = (row){ .path = sl_col_str(q, a, 0), .seq = sl_col_int(q, 1) };
        n++;
    }
    if (n == ROWS)
        sl_stmt_done(q);
    *more = n == ROWS;
    bool ok = rc >= 0;
    for (size_t i = 0; i < n && rc >= 0; i++) {
        sl_err own;
        if (follow_one(k->engine, &rows[i], &own))
            continue;
        *err = own;
        ok = false;
        if (own.kind != SL_ERR_IO && own.kind != SL_ERR_DATA)
            return false;
        /* A file that is damaged or cannot be read holds up no others. */
    }
    return ok;
}

/* ---- the cache ---- */

typedef struct used {
    int64_t at;                   /* s since 1970 */
    int64_t bytes;
} used;

static int by_time(const void *x, const void *y)
{
    const used *a = x, *b = y;
    return (a->at > b->at) - (a->at < b->at);
}

/* Calls `visit` for each local file of an execution. */
static void each_file(const sl_stored *s, void (*visit)(void *self, const FTSENT *f), void *self)
{
    char *roots[] = { (char *)(uintptr_t)s->root, NULL };
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW, NULL);
    for (FTSENT *f; walk != NULL && (f = fts_read(walk)) != NULL;)
        if (f->fts_info == FTS_F && strstr(f->fts_path, "/executions/") != NULL)
            visit(self, f);
    if (walk != NULL)
        (void)fts_close(walk);
}

typedef struct tidying {
    sl_stored *stored;
    sl_arena *arena;
    used *all;
    size_t n, room;
    int64_t total, limit, oldest_kept;
    int64_t dropped;
} tidying;

static void count(void *self, const FTSENT *f)
{
    tidying *d = self;
    if (d->n == d->room) {
        size_t room = d->room ? 2 * d->room : 1024;
        d->all = sl_realloc(d->arena, d->all, d->room * sizeof *d->all, room * sizeof *d->all);
        d->room = room;
    }
    d->all[d->n] = (used){ (int64_t)f->fts_statp->st_atim.tv_sec, (int64_t)f->fts_statp->st_blocks * 512 };
    d->total += d->all[d->n++].bytes;
}

static void drop(void *self, const FTSENT *f)
{
    tidying *d = self;
    if (d->total <= d->limit || (int64_t)f->fts_statp->st_atim.tv_sec >= d->oldest_kept || getxattr(f->fts_path, SL_STORED_ATTRIBUTE, NULL, 0) < 0 || sl_stored_is_pinned(d->stored, sl_str_c(f->fts_path)))
        return;
    if (unlink(f->fts_path) == 0) {
        d->total -= (int64_t)f->fts_statp->st_blocks * 512;
        d->dropped++;
    }
}

/* What was used longest ago goes, so that a tenth is free. */
static void tidy(sl_stored *s)
{
    SL_ARENA a = sl_arena_new();
    tidying d = { .stored = s, .arena = a, .limit = s->cfg->cache_bytes, .oldest_kept = sl_now_ms() / 1000 - USED_S };
    if (d.limit <= 0)
        return;
    each_file(s, count, &d);
    if (d.total > d.limit) {
        int64_t left = d.total;
        size_t i = 0;
        d.limit -= d.limit / 10;
        qsort(d.all, d.n, sizeof *d.all, by_time);
        while (i < d.n && left > d.limit)
            left -= d.all[i++].bytes;
        if (i < d.n && d.all[i].at < d.oldest_kept)
            d.oldest_kept = d.all[i].at + 1;
        each_file(s, drop, &d);
        sl_log(SL_DEBUG, "storage", "%lld local files were dropped; the object store has them", (long long)d.dropped);
    }
}

/* ---- the thread ---- */

/* A wrong bucket or key is told at once, not by the first task that has a file. */
static void probe(sl_engine *e)
{
    SL_ARENA a = sl_arena_new();
    const sl_stored *s = e->stored;
    const sl_val *keys;
    sl_err err;
    sl_bucket b = sl_stored_bucket(s, sl_task_alone(e, a));
    if (!sl_bucket_list(&b, sl_fmt(a, "%.*s_files/", SL_ARG(s->prefix)), &keys, &err) && !e->stop_requested)
        sl_log(SL_ERROR, "storage", "%.*s cannot be used: %s", SL_ARG(s->cfg->url), err.message);
}

static void *keep(void *self)
{
    sl_stored_keeper *k = self;
    probe(k->engine);
    sl_watch *watch = sl_engine_watch(k->engine);
    sl_watcher *w = sl_watcher_new(watch, SL_S("$storage"));
    bool told = false;
    while (!sl_watch_stopped(watch)) {
        SL_ARENA a = sl_arena_new();
        sl_err err;
        bool more = false, ok = follow(k, a, &more, &err);
        if (!ok && !sl_watch_stopped(watch) && !told)
            sl_log(SL_WARN, "storage", "%.*s does not follow the local files: %s; it is tried again", SL_ARG(k->engine->stored->cfg->url), err.message);
        if (ok && told)
            sl_log(SL_INFO, "storage", "%.*s follows the local files again", SL_ARG(k->engine->stored->cfg->url));
        told = !ok;
        if (sl_mono_ms() - k->tidied_ms > TIDY_MS) {
            tidy(k->engine->stored);
            k->tidied_ms = sl_mono_ms();
        }
        if (!more || !ok)
            (void)sl_watcher_wait(w, ok ? WAIT_MS : AGAIN_MS);
    }
    sl_watcher_free(w);
    return NULL;
}

sl_stored_keeper *sl_stored_keeper_start(sl_engine *e)
{
    SL_ARENA a = sl_arena_new();
    sl_err err;
    if (e->stored == NULL)
        return NULL;
    sl_stored_keeper *k = sl_malloc(sizeof *k);
    *k = (sl_stored_keeper){ .engine = e, .store = sl_store_open_reader(sl_fmt(a, "%s/state.db", e->data_dir).p, e->kv, &err), .tidied_ms = sl_mono_ms() - TIDY_MS + 5000 };
    if (k->store != NULL && pthread_create(&k->thread, NULL, keep, k) == 0)
        return k;
    sl_log(SL_ERROR, "storage", "the object store does not follow the local files: no thread or no connection for that; start the server again");
    sl_store_close(k->store);
    free(k);
    return NULL;
}

void sl_stored_keeper_join(sl_stored_keeper *k)
{
    if (k == NULL)
        return;
    pthread_join(k->thread, NULL);
    sl_store_close(k->store);
    free(k);
}
