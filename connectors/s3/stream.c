/*
 * connectors/s3/stream.c: a stream cut into parts, several of which are on their way at a time. See stream.h and target.h.
 *
 * Memory: the parts that are on their way, and the one that is being filled.
 */
#include "connectors/s3/stream.h"

#include "base/arena.h"

enum { GROWS_EVERY = 2000, STEP = 64 << 10 }; /* parts; bytes that are summed while they are still in the cache */

/* ---- parts ---- */

/* Where the length is not known, parts grow, so that 10,000 of them hold 500 GB. */
int64_t sl_s3_stream_length(const sl_s3_streaming *s, int64_t number)
{
    return s->expected >= 0 ? s->part_size : s->part_size << ((number - 1) / GROWS_EVERY);
}

sl_s3_stream_part *sl_s3_stream_part_at(sl_s3_streaming *s, int64_t number)
{
    while (s->room < (size_t)number) {
        size_t room = s->room ? s->room * 2 : 64;
        s->parts = sl_realloc(s->arena, s->parts, s->room * sizeof *s->parts, room * sizeof *s->parts);
        memset(s->parts + s->room, 0, (room - s->room) * sizeof *s->parts);
        s->room = room;
    }
    if (s->count < (size_t)number)
        s->count = (size_t)number;
    return &s->parts[number - 1];
}

static sl_reader *piece_open(void *self, sl_err *err)
{
    (void)err;
    sl_s3_stream_piece *p = self;
    p->read = 0;
    return &p->reader;
}

static ptrdiff_t piece_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    (void)err;
    sl_s3_stream_piece *p = (sl_s3_stream_piece *)((char *)self - offsetof(sl_s3_stream_piece, reader));
    n = n < p->n - p->read ? n : p->n - p->read;
    memcpy(to, p->data + p->read, n);
    p->read += n;
    return (ptrdiff_t)n;
}

static bool piece_sum(void *self, sl_checksum *sums, size_t n, sl_err *err)
{
    (void)err;
    const sl_s3_stream_piece *p = self;
    for (size_t i = 0; i < n; i++)
        sl_checksum_add(&sums[i], p->data, p->n);
    return true;
}

/* Its bytes, as they are summed and sent. */
sl_s3_body sl_s3_stream_body(sl_s3_stream_piece *p)
{
    p->reader = (sl_reader){ piece_read, sl_reader_no_close };
    return (sl_s3_body){ .self = p, .open = piece_open, .sum = piece_sum, .size = (int64_t)p->n };
}

/* Is it there from an earlier process, with these very bytes? */
static bool there(const sl_s3_streaming *s, sl_arena *a, const sl_s3_stream_piece *p, const sl_s3_part *listed, sl_str *ret_sum)
{
    sl_checksum sum = sl_checksum_new(a, s->to.algorithm), md5 = sl_checksum_new(a, SL_SUM_MD5);
    if (listed->etag.n == 0 || listed->size != (int64_t)p->n)
        return false;
    sl_checksum_add(&sum, p->data, p->n);
    *ret_sum = sl_base64(a, sl_checksum_end(&sum, a));
    if (listed->sum.n > 0)
        return sl_str_eq(listed->sum, *ret_sum);
    sl_checksum_add(&md5, p->data, p->n);
    return sl_str_find(listed->etag, sl_hex(a, sl_checksum_end(&md5, a))) >= 0;
}

static bool send_piece(sl_s3_streaming *s, sl_s3_stream_piece *p, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_s3_part done;
    sl_s3_body body = sl_s3_stream_body(p);
    pthread_mutex_lock(&s->lock);
    sl_s3_part listed = sl_s3_stream_part_at(s, p->number)->part;
    pthread_mutex_unlock(&s->lock);
    done = listed;
    if (!there(s, a, p, &listed, &done.sum) && !sl_s3_multipart_send(&s->to, a, s->id, p->number, &body, &done, err))
        return false;
    pthread_mutex_lock(&s->lock);
    sl_s3_stream_part *m = sl_s3_stream_part_at(s, p->number);
    m->part = (sl_s3_part){ sl_str_dup(s->arena, done.etag), sl_str_dup(s->arena, done.sum), done.size };
    m->checked = true;
    pthread_mutex_unlock(&s->lock);
    return true;
}

static void *work(void *self)
{
    sl_s3_streaming *s = self;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (s->queue == NULL && !s->stop)
            pthread_cond_wait(&s->changed, &s->lock);
        if (s->queue == NULL)
            break;
        sl_s3_stream_piece *p = s->queue;
        s->queue = p->next;
        bool skip = s->failed || s->stop;
        pthread_mutex_unlock(&s->lock);
        sl_err err;
        sl_err_clear(&err);
        bool ok = skip || send_piece(s, p, &err);
        pthread_mutex_lock(&s->lock);
        p->next = s->spare;
        s->spare = p;
        if (!ok && !s->failed) {
            s->failed = true;
            s->err = err;
        }
        s->flying--;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* SlowDown answers make fewer requests at a time; so do large parts. */
static int senders(const sl_s3_streaming *s)
{
    int n = SL_S3_SENDERS / (1 + s->s.slow);
    int64_t length = sl_s3_stream_length(s, s->number);
    while (n > 1 && n * length > (int64_t)SL_S3_SENDERS * SL_S3_PART_MIN)
        n--;
    return n > 0 ? n : 1;
}

/* Waits until so few are on their way. */
static bool wait_for(sl_s3_streaming *s, int flying, sl_err *err)
{
    pthread_mutex_lock(&s->lock);
    while (s->flying > flying && !s->failed)
        pthread_cond_wait(&s->changed, &s->lock);
    bool ok = !s->failed;
    if (!ok)
        *err = s->err;
    pthread_mutex_unlock(&s->lock);
    return ok;
}

bool sl_s3_stream_begin(sl_s3_streaming *s, sl_err *err)
{
    return sl_s3_multipart_begin(&s->to, &s->id, err) && (s->target.keep == NULL || s->target.keep(s->target.owner, err));
}

static bool submit(sl_s3_streaming *s, sl_err *err)
{
    sl_s3_stream_piece *p = s->filling;
    s->filling = NULL;
    pthread_mutex_lock(&s->lock);
    sl_s3_stream_part_at(s, p->number)->crc = s->target.crc;
    pthread_mutex_unlock(&s->lock);
    while (!s->several && s->started < SL_S3_SENDERS && pthread_create(&s->threads[s->started], NULL, work, s) == 0)
        s->started++;
    if (s->started == 0) {
        bool ok = send_piece(s, p, err);
        free(p);
        return ok;
    }
    if (!wait_for(s, senders(s) - 1, err)) {
        free(p);
        return false;
    }
    pthread_mutex_lock(&s->lock);
    sl_s3_stream_piece **last = &s->queue;
    while (*last != NULL)
        last = &(*last)->next;
    *last = p;
    s->flying++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return true;
}

static sl_s3_stream_piece *new_piece(sl_s3_streaming *s, size_t room)
{
    pthread_mutex_lock(&s->lock);
    sl_s3_stream_piece *p = s->spare;
    if (p != NULL)
        s->spare = p->next;
    pthread_mutex_unlock(&s->lock);
    if (p == NULL || p->room < room) {
        free(p);
        p = sl_malloc(sizeof *p + room);
        p->room = room;
    }
    *p = (sl_s3_stream_piece){ .number = s->number, .room = p->room };
    return p;
}

bool sl_s3_stream_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    sl_s3_streaming *s = (sl_s3_streaming *)self;
    const char *p = from;
    while (n > 0 && !s->target.whole) {
        size_t length = (size_t)sl_s3_stream_length(s, s->number);
        if (s->filling != NULL && s->filling->n == length) {
            if (s->id.n == 0 && !sl_s3_stream_begin(s, err))
                return false;
            if (s->number == SL_S3_PARTS_MAX)
                return sl_err_set(err, SL_ERR_LIMIT, "s3.size", "%s: the stream does not fit into %d parts", s->target.what, SL_S3_PARTS_MAX);
            if (!submit(s, err))
                return false;
            s->number++;
            length = (size_t)sl_s3_stream_length(s, s->number);
        }
        if (s->filling == NULL)
            s->filling = new_piece(s, length);
        size_t part = length - s->filling->n < n ? length - s->filling->n : n;
        part = part < STEP ? part : STEP;
        memcpy(s->filling->data + s->filling->n, p, part);
        s->filling->n += part;
        s->target.crc = sl_crc32c(s->target.crc, p, part);
        s->target.at += (int64_t)part;
        p += part;
        n -= part;
    }
    return true;
}

/* What is on its way comes to its end, what waits does not go out. */
void sl_s3_stream_stop(sl_s3_streaming *s)
{
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < s->started; i++)
        pthread_join(s->threads[i], NULL);
    s->started = 0;
}

void sl_s3_stream_close(sl_writer *self)
{
    sl_s3_streaming *s = (sl_s3_streaming *)self;
    sl_s3_stream_stop(s);
    free(s->filling);
    for (sl_s3_stream_piece *p = s->spare, *next; p != NULL; p = next) {
        next = p->next;
        free(p);
    }
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    sl_arena_free(s->arena);
    free(s);
}

bool sl_s3_stream_flush(sl_target *t, sl_err *err)
{
    sl_s3_streaming *s = (sl_s3_streaming *)t;
    if (s->id.n == 0 || t->whole)
        return true; /* one PUT, when it is complete */
    if (s->filling == NULL && s->count == 0)
        *(s->filling = sl_malloc(sizeof *s->filling)) = (sl_s3_stream_piece){ .number = 1 };
    /* An earlier process may have sent more: another source, then. Those parts are no parts of this object. */
    size_t count = (size_t)(s->filling != NULL ? s->number : s->number - 1);
    if ((s->filling != NULL && !submit(s, err)) || !wait_for(s, 0, err))
        return false;
    s->count = count;
    return true;
}
