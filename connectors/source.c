/* connectors/source.c: see source.h. */
#include "connectors/source.h"

#include <pthread.h>

#include "base/arena.h"
#include "connectors/source_fetch.h"

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

/* Lays what comes into blocks. */
typedef struct sink {
    sl_writer writer;
    ahead *h;
    int64_t block;                /* that is being filled */
    size_t room;                  /* bytes that a piece may have; 0: as they come, over all blocks */
} sink;

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
    return go_on || sl_source_stopped(h->s, err);
}

static void leave_block(sink *k)
{
    pthread_mutex_lock(&k->h->lock);
    k->h->slots[k->block % SL_SOURCE_AHEAD].ready = true;
    pthread_cond_broadcast(&k->h->changed);
    pthread_mutex_unlock(&k->h->lock);
}

static bool keep(sl_writer *self, const void *data, size_t n, sl_err *err)
{
    sink *k = (sink *)self;
    const char *from = data;
    slot *s = &k->h->slots[k->block % SL_SOURCE_AHEAD];
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

static int64_t begin_of(const ahead *h, int64_t block)
{
    int64_t begin = h->from + block * SL_SOURCE_BLOCK;
    return h->s->size >= 0 && begin > h->s->size ? h->s->size : begin;
}

static bool fetch_pieces(sink *k, sl_source_fetch *f, sl_err *err)
{
    ahead *h = k->h;
    for (;;) {
        sl_arena_mark mark = sl_arena_get_mark(f->arena);
        pthread_mutex_lock(&h->lock);
        int64_t block = h->next < h->count ? h->next++ : -1;
        pthread_mutex_unlock(&h->lock);
        if (block < 0)
            return true;
        int64_t begin = begin_of(h, block), end = begin_of(h, block + 1);
        k->room = (size_t)(end - begin);
        if (!enter_block(k, block, err) || !sl_source_fetch_bytes(f, begin, end, err))
            return false;
        leave_block(k);
        sl_arena_rewind(f->arena, mark);
    }
}

static bool fetch_stream(sink *k, sl_source_fetch *f, sl_err *err)
{
    ahead *h = k->h;
    if (!enter_block(k, 0, err) || !sl_source_fetch_bytes(f, h->from, h->s->ranged ? h->s->size : -1, err))
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
    sink k = { .writer = { keep, sl_writer_no_finish, sl_writer_no_close }, .h = h };
    sl_source_fetch f = { .s = h->s, .arena = arena, .to = &k.writer, .stop = &h->stop };
    sl_err err;
    sl_err_clear(&err);
    if (h->pieces ? fetch_pieces(&k, &f, &err) : fetch_stream(&k, &f, &err))
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
    h->done = true;
    /* From the middle on, the checksum of the whole says nothing. */
    sl_source s = *h->s;
    s.summed &= h->from == 0;
    return sl_source_compare(&s, h->arena, h->at, s.summed ? sl_checksum_end(&h->sum, h->arena) : SL_S(""), err);
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

sl_str sl_source_range(sl_arena *a, int64_t begin, int64_t end)
{
    return end < 0 ? sl_fmt(a, "bytes=%lld-", (long long)begin) : sl_fmt(a, "bytes=%lld-%lld", (long long)begin, (long long)end - 1);
}
