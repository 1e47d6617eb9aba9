/* base/behind.c: see behind.h. */
#include "base/behind.h"

#include <pthread.h>

#include "base/arena.h"

enum {
    BLOCK = 256 << 10,
    BLOCKS = 4,
    ALONE = 4 << 20,             /* so many bytes are not worth a thread */
};

typedef struct behind {
    sl_writer writer, *to;
    size_t passed;               /* bytes before there was a thread */
    bool runs, refused;          /* refused: no thread could be had */
    pthread_t thread;
    pthread_mutex_t lock;        /* over all below; a block belongs to the caller until it is full, then to the thread */
    pthread_cond_t changed;
    char *blocks[BLOCKS];
    size_t sizes[BLOCKS];
    unsigned filled, taken;      /* blocks so far */
    size_t at;                   /* in the block that is being filled: the caller's */
    bool ends, drops, failed;    /* drops: what is left is of no use */
    sl_err err;
} behind;

static void *carry(void *self)
{
    behind *b = self;
    pthread_mutex_lock(&b->lock);
    for (;;) {
        while (b->taken == b->filled && !b->ends)
            pthread_cond_wait(&b->changed, &b->lock);
        if (b->taken == b->filled || b->drops || b->failed)
            break;
        unsigned i = b->taken % BLOCKS;
        pthread_mutex_unlock(&b->lock);
        sl_err err;
        bool ok = b->to->write(b->to, b->blocks[i], b->sizes[i], &err);
        pthread_mutex_lock(&b->lock);
        b->taken++;
        if (!ok) {
            b->failed = true;
            b->err = err;
        }
        pthread_cond_signal(&b->changed);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

/* The block goes to the thread, and there is room for another one. */
static bool hand_over(behind *b, sl_err *err)
{
    pthread_mutex_lock(&b->lock);
    b->sizes[b->filled % BLOCKS] = b->at;
    b->filled += b->at > 0;
    b->at = 0;
    pthread_cond_signal(&b->changed);
    while (b->filled - b->taken == BLOCKS && !b->failed)
        pthread_cond_wait(&b->changed, &b->lock);
    bool ok = !b->failed;
    if (!ok)
        *err = b->err;
    pthread_mutex_unlock(&b->lock);
    return ok;
}

static void start(behind *b)
{
    for (int i = 0; i < BLOCKS; i++)
        b->blocks[i] = sl_malloc(BLOCK);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    b->runs = pthread_create(&b->thread, NULL, carry, b) == 0;
    b->refused = !b->runs;
}

static void stop(behind *b, bool drops)
{
    pthread_mutex_lock(&b->lock);
    b->ends = true;
    b->drops = drops;
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->thread, NULL);
    b->runs = false;
}

static bool behind_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    behind *b = (behind *)self;
    const char *p = from;
    if (!b->runs && !b->refused && b->passed + n > ALONE)
        start(b);
    if (!b->runs) {
        b->passed += n;
        return b->to->write(b->to, from, n, err);
    }
    while (n > 0) {
        size_t part = n < BLOCK - b->at ? n : BLOCK - b->at;
        memcpy(b->blocks[b->filled % BLOCKS] + b->at, p, part);
        b->at += part;
        p += part;
        n -= part;
        if (b->at == BLOCK && !hand_over(b, err))
            return false;
    }
    return true;
}

static bool behind_finish(sl_writer *self, sl_err *err)
{
    behind *b = (behind *)self;
    if (b->runs) {
        bool ok = hand_over(b, err);
        stop(b, !ok);
        if (b->failed) {
            *err = b->err;
            return false;
        }
    }
    return b->to->finish(b->to, err);
}

static void behind_close(sl_writer *self)
{
    behind *b = (behind *)self;
    if (b->runs)
        stop(b, true);
    if (b->blocks[0] != NULL) {
        pthread_mutex_destroy(&b->lock);
        pthread_cond_destroy(&b->changed);
    }
    for (int i = 0; i < BLOCKS; i++)
        free(b->blocks[i]);
    sl_writer_close(&b->to);
    free(b);
}

sl_writer *sl_writer_behind(sl_writer *to)
{
    behind *b = sl_malloc(sizeof *b);
    *b = (behind){ .writer = { behind_write, behind_finish, behind_close }, .to = to };
    return &b->writer;
}
