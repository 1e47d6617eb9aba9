/* connectors/s3/store.c: objects into the internal storage: one, or all of a listing, small ones many at a time. */
#include <pthread.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "connectors/s3/s3.h"

static bool open_file(sl_s3 *s, sl_str key, sl_made_file **ret, sl_str *ret_uri, sl_err *err)
{
    return sl_task_make_file(s->aws.task, sl_str_sub(key, (size_t)(sl_str_rfind(key, SL_S("/")) + 1), key.n), ret, ret_uri, err);
}

bool sl_s3_store(sl_s3 *s, const sl_s3_wanted *w, sl_val **ret, sl_err *err)
{
    SL_MADE_FILE file = NULL;
    sl_str uri;
    if (!open_file(s, w->key, &file, &uri, err) || !sl_s3_download(s, s->aws.arena, w, file, ret, err))
        return false;
    sl_map_set_str(s->aws.arena, *ret, "uri", uri);
    sl_task_counter(s->aws.task, "file.size", (double)sl_get_int(*ret, "contentLength", 0));
    return true;
}

typedef struct batch {
    sl_s3 *s;
    const sl_val *objects, *headers;
    const sl_val **got;           /* one for each object; NULL: not yet */
    pthread_mutex_t lock;         /* on the task, its arena and what follows */
    int64_t done;
} batch;

static sl_s3_wanted wanted(const batch *b, size_t i)
{
    const sl_val *o = sl_at(b->objects, i);
    return (sl_s3_wanted){ .key = sl_get_text(o, "key"), .headers = b->headers, .etag = sl_get_text(o, "etag"), .size = sl_get_int(o, "size", 0) };
}

static void count(batch *b)
{
    sl_task_progress(b->s->aws.task, ++b->done, (int64_t)sl_val_count(b->objects));
}

/* A small one; a large one is left for later, when all connections are for it. */
static bool get_small(void *self, size_t i, sl_arena *arena, sl_err *err)
{
    batch *b = self;
    SL_MADE_FILE file = NULL;
    sl_str uri;
    sl_val *got;
    sl_s3_wanted w = wanted(b, i);
    if (sl_task_cancelled(b->s->aws.task))
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while downloading");
    if (w.size > SL_SOURCE_PIECE)
        return true;
    pthread_mutex_lock(&b->lock);
    bool ok = open_file(b->s, w.key, &file, &uri, err);
    pthread_mutex_unlock(&b->lock);
    if (!ok || !sl_s3_download(b->s, arena, &w, file, &got, err))
        return false;
    sl_map_set_str(arena, got, "uri", uri);
    pthread_mutex_lock(&b->lock);
    b->got[i] = sl_val_copy(b->s->aws.arena, got);
    count(b);
    pthread_mutex_unlock(&b->lock);
    return true;
}

bool sl_s3_store_all(sl_s3 *s, const sl_val *objects, const sl_val *headers, const sl_val **ret, sl_err *err)
{
    sl_arena *a = s->aws.arena;
    size_t n = sl_val_count(objects);
    sl_val *list = sl_list(a);
    double size = 0;
    batch b = { .s = s, .objects = objects, .headers = headers, .got = sl_alloc(a, (n + 1) * sizeof *b.got), .lock = PTHREAD_MUTEX_INITIALIZER };
    memset(b.got, 0, n * sizeof *b.got);
    if (!sl_parallel(SL_SOURCE_TOGETHER, n, get_small, &b, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        sl_s3_wanted w = wanted(&b, i);
        sl_val *large;
        if (b.got[i] == NULL) {
            if (!sl_s3_store(s, &w, &large, err))
                return false;
            b.got[i] = large;
            count(&b);
        } else
            size += (double)sl_get_int(b.got[i], "contentLength", 0);
        sl_list_add(a, list, b.got[i]);
    }
    if (size > 0)
        sl_task_counter(s->aws.task, "file.size", size);
    *ret = list;
    return true;
}
