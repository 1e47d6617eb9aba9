/* service/stored_private.h: shared by stored.c and stored_keeper.c. */
#pragma once

#include <pthread.h>

#include "connectors/bucket.h"
#include "service/stored.h"

/* The store has this file, with this content. Local files without it are never dropped. */
#define SL_STORED_ATTRIBUTE "user.sluice.stored"

typedef struct sl_pin {
    struct sl_pin *next;
    const sl_task *task;
    sl_str path;                  /* in the task's arena */
} sl_pin;

struct sl_stored {
    const sl_stored_cfg *cfg;
    const char *root;
    bool google;
    sl_str bucket, prefix;        /* prefix: ends with '/', or is empty */
    sl_arena *arena;
    pthread_mutex_t namespaces_lock;
    sl_val *namespaces;           /* folders that were looked for in the store */
    pthread_mutex_t lock;
    sl_pin *pins;
    _Atomic unsigned fetches;     /* numbers them */
};

sl_bucket sl_stored_bucket(const sl_stored *s, sl_task *t);
/* PREFIX/my/ns/…: of a path below the root. */
sl_str sl_stored_key(const sl_stored *s, sl_arena *arena, sl_str path);
/* One file into the store. */
bool sl_stored_put(sl_task *t, sl_str path, sl_err *err);
bool sl_stored_is_pinned(sl_stored *s, sl_str path);
