/* connectors/fetch.c: see fetch.h. */
#include "connectors/fetch.h"

enum { ROUNDS_MAX = 8 };

static bool fetch_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    sl_fetch *f = (sl_fetch *)self;
    if (!f->out->write(f->out, from, n, err))
        return false;
    f->seen(f->self, from, n);
    f->at += (int64_t)n;
    return true;
}

static bool fetch_finish(sl_writer *self, sl_err *err)
{
    (void)self;
    (void)err;
    return true;
}

static void fetch_close(sl_writer *self)
{
    (void)self;
}

bool sl_fetch_all(sl_fetch *f, sl_task *t, const char *what, sl_err *err)
{
    f->writer = (sl_writer){ fetch_write, fetch_finish, fetch_close };
    for (int round = 0;;) {
        int64_t before = f->at;
        sl_err_clear(err);
        if (f->get(f->self, f, err))
            return true;
        round = f->at > before ? 1 : round + 1;
        if (!sl_err_retryable(err) || round > ROUNDS_MAX || sl_task_cancelled(t))
            return false;
        sl_task_log(t, SL_WARN, "%s; going on at byte %lld", err->message, (long long)f->at);
        sl_http_request wait = { 0 };
        sl_task_prepare(t, &wait);
        if (!sl_http_sleep(&wait, sl_http_backoff_ms(round, 200, 16000)))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while downloading %s", what);
    }
}
