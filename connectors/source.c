/* connectors/source.c: see source.h. */
#include "connectors/source.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/limits.h"

enum { ROUNDS_MAX = 8 };

typedef struct slot {
    char *data;
    size_t n;
    bool ready;
} slot;

typedef struct ahead {
    sl_reader reader;
    const sl_source *s;
    int64_t from, count;          /* where it begins; blocks, -1: not known */
    bool pieces;                  /* several threads, a request for each block */
    pthread_t threads[SL_SOURCE_THREADS];
    int started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    slot slots[SL_SOURCE_AHEAD];  /* the rest: under the lock */
    int64_t next, taken;          /* block to be fetched; block that is read */
    _Atomic bool stop;            /* also asked without it */
    bool failed;
    sl_err err;
    /* The reading side's own. */
    size_t offset;                /* in the block that is read */
    int64_t at;
    bool done;
    sl_arena *arena;
    sl_checksum sum;
} ahead;

/* ---- the fetching side ---- */

/* Takes what one request brings: the part of it that is not there yet. */
typedef struct sink {
    sl_writer writer;
    ahead *h;
    sl_arena *arena;
    int64_t block;                /* that is being filled */
    size_t room;                  /* bytes that a piece may have; 0: as they come, over all blocks */
    int64_t at, skip;             /* bytes of the source before this request's next one; those to be left out */
    uint32_t crc, skipped;        /* of what is there; of what was left out */
} sink;

static bool stopped(const sink *k, sl_err *err)
{
    return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while reading %s", k->h->s->what);
}

/* Waits until there is room for the block. */
static bool enter_block(sink *k, int64_t block, sl_err *err)
{
    ahead *h = k->h;
    pthread_mutex_lock(&h->lock);
    while (!h->stop && !h->failed && block - h->taken >= SL_SOURCE_AHEAD)
        pthread_cond_wait(&h->changed, &h->lock);
    bool go_on = !h->stop && !h->failed;
    pthread_mutex_unlock(&h->lock);
    slot *s = &h->slots[block % SL_SOURCE_AHEAD];
    if (go_on && s->data == NULL)
        s->data = sl_malloc(SL_SOURCE_BLOCK);
    s->n = go_on ? 0 : s->n;
    k->block = block;
    return go_on || stopped(k, err);
}

static void leave_block(sink *k)
{
    pthread_mutex_lock(&k->h->lock);
    k->h->slots[k->block % SL_SOURCE_AHEAD].ready = true;
    pthread_cond_broadcast(&k->h->changed);
    pthread_mutex_unlock(&k->h->lock);
}

static bool keep(sink *k, const char *from, size_t n, sl_err *err)
{
    slot *s = &k->h->slots[k->block % SL_SOURCE_AHEAD];
    if (!k->h->s->ranged)
        k->crc = sl_crc32c(k->crc, from, n);
    while (n > 0) {
        size_t room = (k->room ? k->room : SL_SOURCE_BLOCK) - s->n, part = n < room ? n : room;
        if (part == 0 && k->room > 0)
            return sl_err_set(err, SL_ERR_REMOTE, "source.range", "%s: more bytes came than were asked for; does the server understand ranges?", k->h->s->what);
        memcpy(s->data + s->n, from, part);
        s->n += part;
        from += part;
        n -= part;
        if (k->room > 0 || s->n < SL_SOURCE_BLOCK)
            continue;
        leave_block(k);
        if (!enter_block(k, k->block + 1, err))
            return false;
        s = &k->h->slots[k->block % SL_SOURCE_AHEAD];
    }
    return true;
}

static bool sink_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    sink *k = (sink *)self;
    const char *p = from;
    if (k->h->stop)
        return stopped(k, err);
    if (k->skip > 0) { /* it began anew: what is there already must come again */
        size_t part = (int64_t)n < k->skip ? n : (size_t)k->skip;
        k->skipped = sl_crc32c(k->skipped, p, part);
        k->skip -= (int64_t)part;
        p += part;
        n -= part;
        if (k->skip == 0 && k->skipped != k->crc)
            return sl_err_set(err, SL_ERR_DATA, "source.changed", "%s has changed while it was read; try again", k->h->s->what);
    }
    k->at += (int64_t)n;
    return keep(k, p, n, err);
}

/* Requests until all up to `end` (-1: the end) is there. Patience starts anew with each byte that comes. */
static bool fetch_all(sink *k, int64_t end, sl_err *err)
{
    const sl_source *s = k->h->s;
    for (int round = 0;;) {
        int64_t before = k->at;
        sl_arena_mark mark = sl_arena_get_mark(k->arena);
        sl_err_clear(err);
        k->skip = s->ranged ? 0 : k->at;
        k->skipped = 0;
        if (end >= 0 && k->at == end)
            return true;
        bool ok = s->fetch(s->self, k->arena, s->ranged ? k->at : 0, end, &k->writer, err);
        if (ok && k->skip > 0)
            ok = sl_err_set(err, SL_ERR_DATA, "source.changed", "%s has become shorter while it was read; try again", s->what);
        if (ok && end >= 0 && k->at < end)
            ok = sl_err_set(err, SL_ERR_TRANSIENT, "source.short", "%s: asked for the bytes up to %lld, they ended at %lld", s->what, (long long)end, (long long)k->at);
        if (ok)
            return true;
        round = k->at > before ? 1 : round + 1;
        if (!sl_err_retryable(err) || round > ROUNDS_MAX || sl_task_cancelled(s->task))
            return false;
        sl_task_log_str(s->task, SL_WARN, sl_fmt(k->arena, "%s; going on at byte %lld", err->message, (long long)k->at));
        sl_arena_rewind(k->arena, mark);
        sl_http_request wait = { 0 };
        sl_task_prepare(s->task, &wait);
        if (!sl_http_sleep(&wait, sl_http_backoff_ms(round, 200, 16000)))
            return stopped(k, err);
    }
}

static int64_t begin_of(const ahead *h, int64_t block)
{
    int64_t begin = h->from + block * SL_SOURCE_BLOCK;
    return h->s->size >= 0 && begin > h->s->size ? h->s->size : begin;
}

static bool fetch_pieces(sink *k, sl_err *err)
{
    ahead *h = k->h;
    for (;;) {
        sl_arena_mark mark = sl_arena_get_mark(k->arena);
        pthread_mutex_lock(&h->lock);
        int64_t block = h->next < h->count ? h->next++ : -1;
        pthread_mutex_unlock(&h->lock);
        if (block < 0)
            return true;
        k->at = begin_of(h, block);
        k->room = (size_t)(begin_of(h, block + 1) - k->at);
        if (!enter_block(k, block, err) || !fetch_all(k, begin_of(h, block + 1), err))
            return false;
        leave_block(k);
        sl_arena_rewind(k->arena, mark);
    }
}

static bool fetch_stream(sink *k, sl_err *err)
{
    ahead *h = k->h;
    k->at = h->from;
    if (!enter_block(k, 0, err) || !fetch_all(k, h->s->ranged ? h->s->size : -1, err))
        return false;
    leave_block(k);
    pthread_mutex_lock(&h->lock);
    h->count = k->block + 1;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return true;
}

static void *work(void *self)
{
    ahead *h = self;
    SL_ARENA arena = sl_arena_new();
    sink k = { .writer = { sink_write, sl_writer_no_finish, sl_writer_no_close }, .h = h, .arena = arena };
    sl_err err;
    sl_err_clear(&err);
    if (h->pieces ? fetch_pieces(&k, &err) : fetch_stream(&k, &err))
        return NULL;
    pthread_mutex_lock(&h->lock);
    if (!h->failed)
        h->err = err;
    h->failed = true;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* ---- the reading side ---- */

static bool start(ahead *h, sl_err *err)
{
    int wanted = h->pieces ? SL_SOURCE_THREADS : 1;
    while (h->started < wanted && h->started < (h->pieces ? h->count : 1) && pthread_create(&h->threads[h->started], NULL, work, h) == 0)
        h->started++;
    return h->started > 0 || sl_err_set(err, SL_ERR_TRANSIENT, "source.thread", "no thread could be started to read %s; try again", h->s->what);
}

static bool compare(ahead *h, sl_err *err)
{
    const sl_source *s = h->s;
    h->done = true;
    if (s->size >= 0 && h->at != s->size)
        return sl_err_set(err, SL_ERR_DATA, sl_fmt(h->arena, "%s.size", s->service).p, "%s has %lld bytes, but %lld came; try again", s->what, (long long)s->size, (long long)h->at);
    if (!s->summed || h->from > 0)
        return true;
    sl_str raw = sl_checksum_end(&h->sum, h->arena), ours = s->algorithm == SL_SUM_MD5 && s->expected.n == 32 ? sl_hex(h->arena, raw) : sl_base64(h->arena, raw);
    return sl_str_eq(ours, s->expected)
           || sl_err_set(err, SL_ERR_DATA, sl_fmt(h->arena, "%s.checksum", s->service).p, "%s has the %s %.*s, but what came has %.*s; try again", s->what, sl_checksum_name(s->algorithm), SL_ARG(s->expected),
                         SL_ARG(ours));
}

/* The block that is to be read; NULL at the end, or where *err says. */
static slot *next_block(ahead *h, sl_err *err)
{
    slot *found = NULL;
    pthread_mutex_lock(&h->lock);
    slot *s = &h->slots[h->taken % SL_SOURCE_AHEAD];
    while (!s->ready && !h->failed && (h->count < 0 || h->taken < h->count))
        pthread_cond_wait(&h->changed, &h->lock);
    if (s->ready && (h->count < 0 || h->taken < h->count))
        found = s;
    else if (h->failed)
        *err = h->err;
    pthread_mutex_unlock(&h->lock);
    return found;
}

static void give_block_back(ahead *h, slot *s)
{
    pthread_mutex_lock(&h->lock);
    s->ready = false;
    h->taken++;
    h->offset = 0;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static ptrdiff_t ahead_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    ahead *h = (ahead *)self;
    if (h->done || (h->started == 0 && !start(h, err)))
        return h->done ? 0 : -1;
    for (;;) {
        sl_err_clear(err);
        slot *s = next_block(h, err);
        if (s == NULL)
            return err->kind != SL_ERR_NONE || !compare(h, err) ? -1 : 0;
        size_t part = s->n - h->offset < n ? s->n - h->offset : n;
        if (part > 0) {
            memcpy(to, s->data + h->offset, part);
            if (h->s->summed && h->from == 0)
                sl_checksum_add(&h->sum, to, part);
            h->offset += part;
            h->at += (int64_t)part;
        }
        if (h->offset == s->n)
            give_block_back(h, s);
        if (part > 0)
            return (ptrdiff_t)part;
    }
}

static void ahead_close(sl_reader *self)
{
    ahead *h = (ahead *)self;
    pthread_mutex_lock(&h->lock);
    h->stop = true;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    for (int i = 0; i < h->started; i++)
        pthread_join(h->threads[i], NULL);
    for (int i = 0; i < SL_SOURCE_AHEAD; i++)
        free(h->slots[i].data);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->changed);
    sl_arena_free(h->arena);
    free(h);
}

sl_reader *sl_source_open(const sl_source *s, int64_t from)
{
    if (s->open != NULL)
        return s->open(s, from);
    ahead *h = sl_malloc(sizeof *h);
    memset(h, 0, sizeof *h);
    h->reader = (sl_reader){ ahead_read, ahead_close };
    h->s = s;
    h->from = h->at = from;
    h->pieces = s->ranged && s->size - from > SL_SOURCE_BLOCK;
    h->count = h->pieces ? (s->size - from + SL_SOURCE_BLOCK - 1) / SL_SOURCE_BLOCK : -1;
    h->arena = sl_arena_new();
    h->sum = sl_checksum_new(h->arena, s->algorithm);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    return &h->reader;
}

/* Block by block as they come, without a copy of their bytes. */
bool sl_source_copy(const sl_source *s, sl_writer *out, int64_t *ret_size, sl_err *err)
{
    sl_assert(s->open == NULL);
    SL_READER in = sl_source_open(s, 0);
    ahead *h = (ahead *)in;
    if (!start(h, err))
        return false;
    for (;;) {
        sl_err_clear(err);
        slot *b = next_block(h, err);
        if (b == NULL)
            break;
        if (sl_task_cancelled(s->task))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped after %lld bytes", (long long)h->at);
        if (s->summed)
            sl_checksum_add(&h->sum, b->data, b->n);
        if (!out->write(out, b->data, b->n, err))
            return false;
        h->at += (int64_t)b->n;
        give_block_back(h, b);
    }
    if (ret_size != NULL)
        *ret_size = h->at;
    return err->kind == SL_ERR_NONE && compare(h, err);
}

sl_str sl_source_range(sl_arena *a, int64_t begin, int64_t end)
{
    return end < 0 ? sl_fmt(a, "bytes=%lld-", (long long)begin) : sl_fmt(a, "bytes=%lld-%lld", (long long)begin, (long long)end - 1);
}
