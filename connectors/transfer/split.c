/* connectors/transfer/split.c: see transfer.h. */
#include <pthread.h>

#include "base/arena.h"
#include "connectors/transfer/transfer.h"

enum { BLOCK_MIN = 16 << 10, BLOCK_MAX = 512 << 10, EVENNESS = 32, ROOM = 2 << 20, RECORD_MAX = 64 << 20, THREADS_MAX = 8, WAITING_MAX = 2 };

/* ---- threads ---- */

typedef struct piece {
    size_t part, n;
    char *data;
} piece;

typedef struct writer {
    const sl_split_cfg *cfg;
    size_t index, step;           /* the parts index, index + step, … are its own */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    piece waiting[WAITING_MAX];   /* the rest: under the lock */
    size_t count;
    bool ended, stop, failed;
    sl_err err;
} writer;

static bool take(writer *w, piece *ret)
{
    pthread_mutex_lock(&w->lock);
    while (w->count == 0 && !w->ended && !w->stop)
        pthread_cond_wait(&w->changed, &w->lock);
    bool got = w->count > 0 && !w->stop;
    if (got) {
        *ret = w->waiting[0];
        memmove(w->waiting, w->waiting + 1, --w->count * sizeof *w->waiting);
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return got;
}

static bool write_all(writer *w, sl_err *err)
{
    piece p;
    bool ok = true;
    while (ok && take(w, &p)) {
        ok = w->cfg->outs[p.part]->write(w->cfg->outs[p.part], p.data, p.n, err);
        free(p.data);
    }
    for (size_t i = w->index; ok && !w->stop && i < w->cfg->parts; i += w->step)
        ok = w->cfg->outs[i]->finish(w->cfg->outs[i], err) && w->cfg->targets[i]->flush(w->cfg->targets[i], err);
    return ok;
}

static void *work(void *self)
{
    writer *w = self;
    sl_err err;
    sl_err_clear(&err);
    bool ok = write_all(w, &err);
    pthread_mutex_lock(&w->lock);
    w->failed = !ok;
    if (!ok)
        w->err = err;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* Takes the data over. */
static bool give(writer *w, size_t part, char *data, size_t n, sl_err *err)
{
    pthread_mutex_lock(&w->lock);
    while (w->count == WAITING_MAX && !w->failed)
        pthread_cond_wait(&w->changed, &w->lock);
    bool ok = !w->failed;
    if (ok)
        w->waiting[w->count++] = (piece){ part, n, data };
    else
        *err = w->err;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    if (!ok)
        free(data);
    return ok;
}

static void tell(writer *w, bool stop)
{
    pthread_mutex_lock(&w->lock);
    w->ended = true;
    w->stop = stop;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

/* ---- dealing ---- */

typedef struct dealer {
    sl_task *task;
    const sl_split_cfg *cfg;
    writer *writers;
    size_t threads;
    int64_t dealt[SL_SPLIT_PARTS_MAX], total; /* bytes */
    size_t goal;                  /* bytes of the block that are looked at together: how they come does not matter */
    char *block;
    size_t n, room;
    bool header_done;
    bool quoted;                  /* at the end of what was looked at */
    size_t looked;                /* bytes of the block */
} dealer;

static char *heap_copy(const char *text, size_t n)
{
    return memcpy(sl_malloc(n), text, n);
}

static bool deal_header(dealer *d, size_t n, sl_err *err)
{
    for (size_t i = 0; i < d->cfg->parts; i++)
        if (!give(&d->writers[i % d->threads], i, heap_copy(d->block, n), n, err))
            return false;
    memmove(d->block, d->block + n, d->n - n);
    d->n -= n;
    d->looked = 0;
    d->quoted = false;
    d->header_done = true;
    return true;
}

/* Blocks grow with what was dealt, so that parts of small files are alike, too. */
static size_t block_size(const dealer *d)
{
    int64_t size = d->total / (int64_t)(d->cfg->parts * EVENNESS);
    return size < BLOCK_MIN ? BLOCK_MIN : size > BLOCK_MAX ? BLOCK_MAX : (size_t)size;
}

/* That has the least. */
static size_t next_part(const dealer *d)
{
    size_t least = 0;
    for (size_t i = 1; i < d->cfg->parts; i++)
        if (d->dealt[i] < d->dealt[least])
            least = i;
    return least;
}

/* The whole records of the block; at the end all that is left. */
static bool deal(dealer *d, bool end, sl_err *err)
{
    if (d->cfg->header && !d->header_done) {
        size_t first = sl_split_first(d->block, d->n, d->cfg->quote);
        first = first == 0 && end ? d->n : first;
        if (first > 0 && !deal_header(d, first, err))
            return false;
        if (first == 0)
            return true;
    }
    /* Parity is kept over what was looked at: a long record is not counted again with each block. */
    bool quoted = d->quoted;
    size_t found = sl_split_end(d->block + d->looked, d->n - d->looked, d->cfg->quote, &quoted), cut = end ? d->n : found ? d->looked + found : 0;
    d->quoted = quoted;
    d->looked = d->n - cut;
    if (cut == 0)
        return true;
    size_t part = next_part(d);
    /* The block itself goes; what is left of it begins the next. */
    char *whole = d->block;
    d->n -= cut;
    d->room = d->n < ROOM / 2 ? ROOM : d->n * 2;
    d->block = sl_malloc(d->room);
    memcpy(d->block, whole + cut, d->n);
    d->dealt[part] += (int64_t)cut;
    d->total += (int64_t)cut;
    return give(&d->writers[part % d->threads], part, whole, cut, err);
}

static bool read_all(dealer *d, sl_reader *in, int64_t *ret_bytes, sl_err *err)
{
    *ret_bytes = 0;
    for (;;) {
        if (sl_task_cancelled(d->task))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped after %lld bytes", (long long)*ret_bytes);
        if (d->n == d->room) {
            if (d->room >= RECORD_MAX)
                return sl_err_set(err, SL_ERR_LIMIT, "split.record", "a record is longer than %d MiB (after byte %lld): is a quote not closed? 'split.quote' may name another one, or be empty", RECORD_MAX >> 20,
                                  (long long)(*ret_bytes - (int64_t)d->n));
            char *larger = sl_malloc(d->room * 2);
            memcpy(larger, d->block, d->n);
            free(d->block);
            d->block = larger;
            d->room *= 2;
        }
        size_t wanted = d->goal - d->n;
        ptrdiff_t got = in->read(in, d->block + d->n, wanted < d->room - d->n ? wanted : d->room - d->n, err);
        if (got < 0)
            return false;
        d->n += (size_t)got;
        *ret_bytes += got;
        if (got == 0)
            return deal(d, true, err);
        if (d->n < d->goal)
            continue;
        if (!deal(d, false, err))
            return false;
        size_t size = block_size(d);
        d->goal = d->n < size ? size : d->n + size;
    }
}

bool sl_split(sl_task *t, sl_reader *in, const sl_split_cfg *cfg, int64_t *ret_bytes, sl_err *err)
{
    writer writers[THREADS_MAX] = { 0 };
    dealer d = { .task = t, .cfg = cfg, .writers = writers, .threads = cfg->parts < THREADS_MAX ? cfg->parts : THREADS_MAX, .room = ROOM };
    size_t started = 0;
    for (size_t i = 0; i < d.threads; i++) {
        writers[i] = (writer){ .cfg = cfg, .index = i, .step = d.threads, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
        started += started == i && pthread_create(&writers[i].thread, NULL, work, &writers[i]) == 0;
    }
    d.block = sl_malloc(d.room);
    d.goal = BLOCK_MIN;
    bool ok = started == d.threads ? read_all(&d, in, ret_bytes, err) : sl_err_set(err, SL_ERR_TRANSIENT, "split.thread", "no threads could be started to write the parts; try again");
    for (size_t i = 0; i < started; i++)
        tell(&writers[i], !ok);
    for (size_t i = 0; i < started; i++) {
        pthread_join(writers[i].thread, NULL);
        for (size_t k = 0; k < writers[i].count; k++)
            free(writers[i].waiting[k].data);
        if (ok && writers[i].failed) {
            *err = writers[i].err;
            ok = false;
        }
    }
    free(d.block);
    return ok;
}
