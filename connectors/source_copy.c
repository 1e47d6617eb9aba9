/*
 * connectors/source_copy.c: a source into a file, each piece to its place as it comes: no byte waits for another one.
 *
 * A fast source (on this machine, in its network) is read by two connections; where pieces take their time, each one that does
 * brings another connection.
 *
 * CRCs of the whole are put together from those of the pieces. Other checksums need the bytes in order: a thread of their own reads
 * what is there from the file again, out of the kernel's cache.
 */
#include <pthread.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/joined.h"
#include "connectors/source_fetch.h"

enum {
    THREADS = 2, THREADS_MAX = 16,
    SLOW_MS = 40,                 /* a piece that takes longer is a connection's fault, not this machine's: one more may help */
    CHUNK = 512 << 10,            /* bytes of one write: large ones cost the kernel less, and this one stays in the second cache */
    SMALL_CHUNK = 96 << 10,      /* where there is one piece: of those, many are on their way, and fresh memory costs more than a write */
};

typedef struct copying {
    const sl_source *s;
    sl_made_file *to;
    sl_arena *arena;
    sl_joined *crcs;              /* several pieces, and a CRC that the file itself does not have; else NULL */
    sl_checksum sum;              /* in order, where there is no other way */
    bool in_order, chosen;
    size_t pieces, next;          /* next: under the lock, as all that follows it */
    pthread_t threads[THREADS_MAX];
    size_t started;
    pthread_mutex_t lock;
    pthread_cond_t changed;       /* there is more of the file, or the end */
    _Atomic bool stop;            /* also asked without the lock */
    sl_err err;                   /* what it was stopped for */
} copying;

/* ---- one for all ---- */

static void fail(copying *c, const sl_err *err)
{
    pthread_mutex_lock(&c->lock);
    if (!c->stop)
        c->err = *err;
    c->stop = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

/* CRC32C is the file's own. */
static void choose_sum(copying *c)
{
    const sl_source *s = c->s;
    bool other = s->summed && s->algorithm != SL_SUM_CRC32C;
    c->chosen = true;
    c->in_order = other && (c->pieces == 1 || !sl_checksum_joins(s->algorithm));
    if (c->in_order)
        c->sum = sl_checksum_new(c->arena, s->algorithm);
    else if (other)
        c->crcs = sl_joined_new(s->algorithm);
}

/* ---- one piece ---- */

typedef struct chunk {
    sl_writer writer;
    copying *c;
    int64_t at, end;              /* place of the first byte in `data`; of the piece's end, -1: nobody knows */
    size_t n, room;
    sl_checksum sum;
    char *data;
} chunk;

static bool put(chunk *k, sl_err *err)
{
    copying *c = k->c;
    if (!c->chosen)
        choose_sum(c);
    if (c->crcs != NULL)
        sl_checksum_add(&k->sum, k->data, k->n);
    else if (c->in_order && c->pieces == 1)
        sl_checksum_add(&c->sum, k->data, k->n);
    if (!sl_made_file_write(c->to, k->at, k->data, k->n, err))
        return false;
    k->at += (int64_t)k->n;
    k->n = 0;
    return true;
}

static bool take(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    chunk *k = (chunk *)self;
    const char *p = from;
    if (k->end >= 0 && (int64_t)n > k->end - k->at - (int64_t)k->n)
        return sl_err_set(err, SL_ERR_REMOTE, "source.range", "%s: more bytes came than were asked for; does the server understand ranges?", k->c->s->what);
    while (n > 0) {
        size_t part = n < k->room - k->n ? n : k->room - k->n;
        memcpy(k->data + k->n, p, part);
        k->n += part;
        p += part;
        n -= part;
        if (k->n == k->room && !put(k, err))
            return false;
    }
    return true;
}

static bool fetch_piece(copying *c, int64_t begin, int64_t end, sl_arena *arena, sl_err *err)
{
    size_t room = c->pieces > 1 ? CHUNK : SMALL_CHUNK;
    chunk k = { .writer = { take, sl_writer_no_finish, sl_writer_no_close }, .c = c, .at = begin, .end = end, .room = room, .data = sl_malloc(room) };
    sl_source_fetch f = { .s = c->s, .arena = arena, .to = &k.writer, .stop = &c->stop };
    k.sum = sl_checksum_new(arena, c->crcs != NULL ? c->s->algorithm : SL_SUM_CRC32C);
    bool ok = sl_source_fetch_bytes(&f, begin, end, err) && put(&k, err);
    if (ok && c->crcs != NULL)
        sl_joined_add(c->crcs, begin, k.at - begin, k.sum.crc);
    free(k.data);
    return ok;
}

/* ---- threads ---- */

static bool take_piece(copying *c, size_t *index)
{
    pthread_mutex_lock(&c->lock);
    bool more = !c->stop && c->next < c->pieces;
    if (more)
        *index = c->next++;
    pthread_mutex_unlock(&c->lock);
    return more;
}

static void *work(void *self);

static void start_another(copying *c)
{
    pthread_mutex_lock(&c->lock);
    if (!c->stop && c->started < THREADS_MAX && c->next < c->pieces && pthread_create(&c->threads[c->started], NULL, work, c) == 0)
        c->started++;
    pthread_mutex_unlock(&c->lock);
}

static void *work(void *self)
{
    copying *c = self;
    SL_ARENA arena = sl_arena_new();
    sl_err err;
    for (size_t index; take_piece(c, &index);) {
        sl_arena_mark mark = sl_arena_get_mark(arena);
        int64_t began_ms = sl_mono_ms(), begin = (int64_t)index * SL_SOURCE_PIECE, size = c->s->size, end = c->pieces == 1 || begin + SL_SOURCE_PIECE > size ? size : begin + SL_SOURCE_PIECE;
        if (!fetch_piece(c, begin, c->s->ranged ? end : -1, arena, &err))
            fail(c, &err);
        pthread_mutex_lock(&c->lock);
        pthread_cond_broadcast(&c->changed);
        pthread_mutex_unlock(&c->lock);
        if (sl_mono_ms() - began_ms > SLOW_MS)
            start_another(c);
        sl_arena_rewind(arena, mark);
    }
    return NULL;
}

/* The next thread to wait for; with the last one, there are no more who might start another. */
static bool thread_to_join(copying *c, size_t i, pthread_t *ret)
{
    pthread_mutex_lock(&c->lock);
    bool more = i < c->started;
    if (more)
        *ret = c->threads[i];
    pthread_mutex_unlock(&c->lock);
    return more;
}

static void fetch_pieces(copying *c)
{
    pthread_t thread;
    for (size_t i = 1; i < THREADS && i < c->pieces; i++)
        start_another(c);
    (void)work(c);
    for (size_t i = 0; thread_to_join(c, i, &thread); i++)
        pthread_join(thread, NULL);
}

/* ---- a checksum that needs the bytes in order ---- */

/* Where the file is longer than this, or 0: it was stopped. */
static int64_t wait_for_more(copying *c, int64_t than)
{
    int64_t there;
    pthread_mutex_lock(&c->lock);
    while ((there = sl_made_file_begun(c->to, NULL)) == than && !c->stop)
        pthread_cond_wait(&c->changed, &c->lock);
    there = c->stop ? 0 : there;
    pthread_mutex_unlock(&c->lock);
    return there;
}

static void *follow(void *self)
{
    enum { BLOCK = 128 << 10 };
    copying *c = self;
    sl_err err;
    char *block = sl_malloc(BLOCK);
    for (int64_t at = 0, there = 0; at < c->s->size;) {
        if (at == there && (there = wait_for_more(c, at)) == 0)
            break;
        size_t n = there - at < BLOCK ? (size_t)(there - at) : BLOCK;
        if (!sl_made_file_read(c->to, at, block, n, &err) || (sl_task_cancelled(c->s->task) && !sl_source_stopped(c->s, &err))) {
            fail(c, &err);
            break;
        }
        sl_checksum_add(&c->sum, block, n);
        at += (int64_t)n;
    }
    free(block);
    return NULL;
}

/* ---- all of it ---- */

static void fetch_all(copying *c)
{
    pthread_t follower;
    bool follows = c->in_order && c->pieces > 1, apart = follows && pthread_create(&follower, NULL, follow, c) == 0;
    fetch_pieces(c);
    if (apart)
        pthread_join(follower, NULL);
    else if (follows)
        (void)follow(c);
}

static bool compare(copying *c, int64_t *ret_size, sl_err *err)
{
    uint32_t crc;
    *ret_size = sl_made_file_begun(c->to, &crc);
    if (!c->in_order) {
        c->sum = (sl_checksum){ .algorithm = c->crcs != NULL ? c->s->algorithm : SL_SUM_CRC32C, .crc = crc };
        if (c->crcs != NULL)
            (void)sl_joined_begun(c->crcs, &c->sum.crc);
    }
    return sl_source_compare(c->s, c->arena, *ret_size, sl_checksum_end(&c->sum, c->arena), err);
}

bool sl_source_copy(const sl_source *s, sl_made_file *to, int64_t *ret_size, sl_err *err)
{
    sl_assert(s->open == NULL);
    SL_ARENA arena = sl_arena_new();
    copying c = { .s = s, .to = to, .arena = arena, .pieces = 1, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
    int64_t size;
    if (s->ranged && s->size > SL_SOURCE_PIECE)
        c.pieces = (size_t)((s->size + SL_SOURCE_PIECE - 1) / SL_SOURCE_PIECE);
    if (c.pieces > 1)
        choose_sum(&c);
    fetch_all(&c);
    bool ok = !c.stop && compare(&c, &size, err);
    if (c.stop)
        *err = c.err;
    if (ok && ret_size != NULL)
        *ret_size = size;
    sl_joined_free(c.crcs);
    pthread_cond_destroy(&c.changed);
    pthread_mutex_destroy(&c.lock);
    return ok;
}
