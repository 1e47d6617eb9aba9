/* connectors/fetch.h: a download that goes on where a cut connection has left it. Memory: none of its own. One thread. */
#pragma once

#include "connectors/task.h"

typedef struct sl_fetch {
    sl_writer writer;             /* private: the sink of the requests */
    sl_writer *out;
    int64_t at;                   /* bytes that are there */
    void *self;
    void (*seen)(void *self, const void *bytes, size_t n); /* every byte once, in order: for checksums */
    /* One request for all from `at` on, into `writer`. */
    bool (*get)(void *self, struct sl_fetch *f, sl_err *err);
} sl_fetch;

/* what: for messages. Does not finish `out`. */
bool sl_fetch_all(sl_fetch *f, sl_task *t, const char *what, sl_err *err);
