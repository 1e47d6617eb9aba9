/* service/readers.c: see readers.h. A few stay open; more are opened when more are asked for at once. */
#include "service/readers.h"

#include <stdlib.h>

#include "base/arena.h"

enum { IDLE_MAX = 8 };

struct sl_readers {
    pthread_mutex_t lock;
    sl_engine *engine;
    sl_store *idle[IDLE_MAX];
    size_t count;
};

sl_readers *sl_readers_new(sl_engine *e)
{
    sl_readers *r = sl_malloc(sizeof *r);
    *r = (sl_readers){ .engine = e };
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

void sl_readers_free(sl_readers *r)
{
    if (r == NULL)
        return;
    while (r->count > 0)
        sl_store_close(r->idle[--r->count]);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

sl_store *sl_readers_take(sl_readers *r, sl_err *err)
{
    pthread_mutex_lock(&r->lock);
    sl_store *s = r->count > 0 ? r->idle[--r->count] : NULL;
    pthread_mutex_unlock(&r->lock);
    if (s != NULL)
        return s;
    SL_ARENA a = sl_arena_new();
    return sl_store_open_reader(sl_fmt(a, "%s/state.db", sl_engine_data_dir(r->engine)).p, sl_engine_kv(r->engine), err);
}

void sl_readers_put(sl_readers *r, sl_store *s)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    bool keep = r->count < IDLE_MAX;
    if (keep)
        r->idle[r->count++] = s;
    pthread_mutex_unlock(&r->lock);
    if (!keep)
        sl_store_close(s);
}
