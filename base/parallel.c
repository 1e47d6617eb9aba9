/* base/parallel.c: see parallel.h. */
#include "base/parallel.h"

#include <pthread.h>

#include "base/arena.h"

enum { THREADS_MAX = 64 };

typedef struct crew {
    pthread_mutex_t lock;
    size_t next, count;          /* the rest: under the lock */
    bool failed;
    sl_err err;
    sl_parallel_fn fn;
    void *self;
} crew;

static bool take(crew *c, size_t *index)
{
    pthread_mutex_lock(&c->lock);
    bool more = !c->failed && c->next < c->count;
    if (more)
        *index = c->next++;
    pthread_mutex_unlock(&c->lock);
    return more;
}

static void *work(void *self)
{
    crew *c = self;
    size_t index;
    while (take(c, &index)) {
        SL_ARENA arena = sl_arena_new();
        sl_err err;
        sl_err_clear(&err);
        if (c->fn(c->self, index, arena, &err))
            continue;
        pthread_mutex_lock(&c->lock);
        if (!c->failed)
            c->err = err;
        c->failed = true;
        pthread_mutex_unlock(&c->lock);
    }
    return NULL;
}

bool sl_parallel(size_t threads, size_t count, sl_parallel_fn fn, void *self, sl_err *err)
{
    pthread_t others[THREADS_MAX];
    size_t started = 0, wanted = threads < count ? threads : count;
    crew c = { .count = count, .fn = fn, .self = self };
    pthread_mutex_init(&c.lock, NULL);
    /* With fewer threads than wanted it takes longer, no more. */
    while (started + 1 < wanted && started < THREADS_MAX && pthread_create(&others[started], NULL, work, &c) == 0)
        started++;
    (void)work(&c);
    for (size_t i = 0; i < started; i++)
        pthread_join(others[i], NULL);
    pthread_mutex_destroy(&c.lock);
    if (c.failed)
        *err = c.err;
    return !c.failed;
}
