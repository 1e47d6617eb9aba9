/*
 * service/watch.h: who waits for something to happen to an execution. Threads: any; nobody ever holds up the loop.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

typedef struct sl_watch sl_watch;
typedef struct sl_watcher sl_watcher;

sl_watch *sl_watch_new(void);
void sl_watch_free(sl_watch *w);
/* Everybody is woken, now and from now on: the server stops. */
void sl_watch_stop(sl_watch *w);
bool sl_watch_stopped(sl_watch *w);
/* The execution has changed: state or log. */
void sl_watch_changed(sl_watch *w, sl_str execution_id);

/* Counts changes of one execution from now on. */
sl_watcher *sl_watcher_new(sl_watch *w, sl_str execution_id);
/* Waits until there was a change since the last call, at most ms milliseconds. true: there was. */
bool sl_watcher_wait(sl_watcher *x, int64_t ms);
void sl_watcher_free(sl_watcher *x);
