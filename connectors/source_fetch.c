/* connectors/source_fetch.c: see source_fetch.h. */
#include "connectors/source_fetch.h"

#include "base/arena.h"

enum { ROUNDS_MAX = 8 };

bool sl_source_stopped(const sl_source *s, sl_err *err)
{
    return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while reading %s", s->what);
}

static sl_source_fetch *of_writer(sl_writer *w)
{
    return (sl_source_fetch *)((char *)w - offsetof(sl_source_fetch, writer));
}

/* Takes what one request brings: the part of it that is not there yet. */
static bool take(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    sl_source_fetch *f = of_writer(self);
    const char *p = from;
    if (*f->stop)
        return sl_source_stopped(f->s, err);
    if (f->skip > 0) { /* it began anew: what is there already must come again */
        size_t part = (int64_t)n < f->skip ? n : (size_t)f->skip;
        f->skipped = sl_crc32c(f->skipped, p, part);
        f->skip -= (int64_t)part;
        p += part;
        n -= part;
        if (f->skip == 0 && f->skipped != f->crc)
            return sl_err_set(err, SL_ERR_DATA, "source.changed", "%s has changed while it was read; try again", f->s->what);
    }
    f->at += (int64_t)n;
    if (!f->s->ranged)
        f->crc = sl_crc32c(f->crc, p, n);
    return f->to->write(f->to, p, n, err);
}

static bool request(sl_source_fetch *f, int64_t end, sl_err *err)
{
    const sl_source *s = f->s;
    f->skip = s->ranged ? 0 : f->at;
    f->skipped = 0;
    if (!s->fetch(s->self, f->arena, s->ranged ? f->at : 0, end, &f->writer, err))
        return false;
    if (f->skip > 0)
        return sl_err_set(err, SL_ERR_DATA, "source.changed", "%s has become shorter while it was read; try again", s->what);
    return end < 0 || f->at >= end
           || sl_err_set(err, SL_ERR_TRANSIENT, "source.short", "%s: asked for the bytes up to %lld, they ended at %lld", s->what, (long long)end, (long long)f->at);
}

bool sl_source_fetch_bytes(sl_source_fetch *f, int64_t begin, int64_t end, sl_err *err)
{
    const sl_source *s = f->s;
    f->writer = (sl_writer){ take, sl_writer_no_finish, sl_writer_no_close };
    f->at = begin;
    f->crc = 0;
    for (int round = 0;;) {
        int64_t before = f->at;
        sl_arena_mark mark = sl_arena_get_mark(f->arena);
        sl_err_clear(err);
        if ((end >= 0 && f->at == end) || request(f, end, err))
            return true;
        round = f->at > before ? 1 : round + 1;
        if (!sl_err_retryable(err) || round > ROUNDS_MAX || sl_task_cancelled(s->task))
            return false;
        sl_task_log_str(s->task, SL_WARN, sl_fmt(f->arena, "%s; going on at byte %lld", err->message, (long long)f->at));
        sl_arena_rewind(f->arena, mark);
        sl_http_request wait = { 0 };
        sl_task_prepare(s->task, &wait);
        if (!sl_http_sleep(&wait, sl_http_backoff_ms(round, 200, 16000)))
            return sl_source_stopped(s, err);
    }
}

bool sl_source_compare(const sl_source *s, sl_arena *arena, int64_t size, sl_str sum, sl_err *err)
{
    if (s->size >= 0 && size != s->size)
        return sl_err_set(err, SL_ERR_DATA, sl_fmt(arena, "%s.size", s->service).p, "%s has %lld bytes, but %lld came; try again", s->what, (long long)s->size, (long long)size);
    if (!s->summed)
        return true;
    sl_str ours = s->algorithm == SL_SUM_MD5 && s->expected.n == 32 ? sl_hex(arena, sum) : sl_base64(arena, sum);
    return sl_str_eq(ours, s->expected)
           || sl_err_set(err, SL_ERR_DATA, sl_fmt(arena, "%s.checksum", s->service).p, "%s has the %s %.*s, but what came has %.*s; try again", s->what, sl_checksum_name(s->algorithm), SL_ARG(s->expected),
                         SL_ARG(ours));
}
