/* service/watch.c: see watch.h. */
#include "service/watch.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"

struct sl_watcher {
    sl_watch *watch;
    sl_watcher *next, **back;
    char id[64];
    bool changed;
    pthread_cond_t cond;
};

struct sl_watch {
    pthread_mutex_t lock;
    sl_watcher *first;
    bool stopped;
};

sl_watch *sl_watch_new(void)
{
    sl_watch *w = sl_malloc(sizeof *w);
    *w = (sl_watch){ 0 };
    pthread_mutex_init(&w->lock, NULL);
    return w;
}

void sl_watch_free(sl_watch *w)
{
    if (w == NULL)
        return;
    sl_assert(w->first == NULL);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static void wake(sl_watch *w, bool all, sl_str id)
{
    for (sl_watcher *x = w->first; x != NULL; x = x->next)
        if (all || sl_str_eqc(id, x->id)) {
            x->changed = true;
            pthread_cond_signal(&x->cond);
        }
}

void sl_watch_stop(sl_watch *w)
{
    pthread_mutex_lock(&w->lock);
    w->stopped = true;
    wake(w, true, SL_S(""));
    pthread_mutex_unlock(&w->lock);
}

bool sl_watch_stopped(sl_watch *w)
{
    pthread_mutex_lock(&w->lock);
    bool stopped = w->stopped;
    pthread_mutex_unlock(&w->lock);
    return stopped;
}

void sl_watch_changed(sl_watch *w, sl_str id)
{
    pthread_mutex_lock(&w->lock);
    wake(w, false, id);
    pthread_mutex_unlock(&w->lock);
}

sl_watcher *sl_watcher_new(sl_watch *w, sl_str id)
{
    sl_watcher *x = sl_malloc(sizeof *x);
    *x = (sl_watcher){ .watch = w };
    (void)snprintf(x->id, sizeof x->id, "%.*s", SL_ARG(id));
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&x->cond, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_lock(&w->lock);
    x->next = w->first;
    x->back = &w->first;
    if (w->first != NULL)
        w->first->back = &x->next;
    w->first = x;
    pthread_mutex_unlock(&w->lock);
    return x;
}

bool sl_watcher_wait(sl_watcher *x, int64_t ms)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(ms / 1000);
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    at.tv_sec += at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    pthread_mutex_lock(&x->watch->lock);
    int rc = 0;
    while (!x->changed && !x->watch->stopped && rc == 0)
        rc = pthread_cond_timedwait(&x->cond, &x->watch->lock, &at);
    bool changed = x->changed;
    x->changed = false;
    pthread_mutex_unlock(&x->watch->lock);
    return changed;
}

void sl_watcher_free(sl_watcher *x)
{
    if (x == NULL)
        return;
    pthread_mutex_lock(&x->watch->lock);
    *x->back = x->next;
    if (x->next != NULL)
        x->next->back = x->back;
    pthread_mutex_unlock(&x->watch->lock);
    pthread_cond_destroy(&x->cond);
    free(x);
}
