/*
 * connectors/s3/stream.c: an object made of a stream: cut into parts, several of which are on their way at a time. See target.h.
 *
 * A stream that fits into one part is one PUT. state(): {uploadId, algorithm, partSize}, and before the end {size, crc, sum},
 * by which a finished object is recognised. Memory: the parts that are on their way, and the one that is being filled.
 */
#include <pthread.h>

#include "base/arena.h"
#include "base/fault.h"
#include "connectors/s3/multipart.h"

enum { SENDERS = 3, SEVERAL_PART = 5 << 20, GROWS_EVERY = 2000 };

typedef struct piece {
    struct piece *next;
    int64_t number;               /* from 1 */
    size_t n;
    sl_reader reader;
    size_t read;
    char data[];
} piece;

typedef struct made {
    sl_s3_part part;              /* etag.n == 0: not there; heap texts */
    bool checked;                 /* its bytes are those of this stream */
    uint32_t crc;                 /* of all bytes up to its end */
} made;

typedef struct stream {
    sl_target target;
    sl_s3 s;
    sl_arena *arena;
    sl_s3_target to;
    sl_str id;                    /* .n == 0: not begun */
    int64_t part_size, first_size;
    bool several, resumed;
    sl_str sum;                   /* before the end: what the object will say of itself */
    piece *filling;
    int64_t number;               /* of the part that is being filled */
    pthread_t threads[SENDERS];
    int started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    made *parts;                  /* the rest: under the lock; parts, and how many there is room for */
    size_t count, room;
    piece *queue;
    int flying;
    bool failed, stop;
    sl_err err;
} stream;

/* ---- parts ---- */

/* Where the length is not known, parts grow, so that 10,000 of them hold 500 GB. */
static int64_t length_of(const stream *s, int64_t number)
{
    return s->first_size >= 0 ? s->part_size : s->part_size << ((number - 1) / GROWS_EVERY);
}

static made *part_at(stream *s, int64_t number)
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
    piece *p = self;
    p->read = 0;
    return &p->reader;
}

static ptrdiff_t piece_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    (void)err;
    piece *p = (piece *)((char *)self - offsetof(piece, reader));
    n = n < p->n - p->read ? n : p->n - p->read;
    memcpy(to, p->data + p->read, n);
    p->read += n;
    return (ptrdiff_t)n;
}

static bool piece_sum(void *self, sl_checksum *sums, size_t n, sl_err *err)
{
    (void)err;
    const piece *p = self;
    for (size_t i = 0; i < n; i++)
        sl_checksum_add(&sums[i], p->data, p->n);
    return true;
}

/* Is it there from an earlier process, with these very bytes? */
static bool there(const stream *s, sl_arena *a, const piece *p, const sl_s3_part *listed, sl_str *ret_sum)
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

static bool send_piece(stream *s, piece *p, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_s3_part done;
    sl_s3_body body = { .self = p, .open = piece_open, .sum = piece_sum, .size = (int64_t)p->n };
    p->reader = (sl_reader){ piece_read, sl_reader_no_close };
    pthread_mutex_lock(&s->lock);
    sl_s3_part listed = part_at(s, p->number)->part;
    pthread_mutex_unlock(&s->lock);
    done = listed;
    if (!there(s, a, p, &listed, &done.sum) && !sl_s3_multipart_send(&s->to, a, s->id, p->number, &body, &done, err))
        return false;
    pthread_mutex_lock(&s->lock);
    made *m = part_at(s, p->number);
    m->part = (sl_s3_part){ sl_str_dup(s->arena, done.etag), sl_str_dup(s->arena, done.sum), done.size };
    m->checked = true;
    pthread_mutex_unlock(&s->lock);
    return true;
}

static void *work(void *self)
{
    stream *s = self;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (s->queue == NULL && !s->stop)
            pthread_cond_wait(&s->changed, &s->lock);
        if (s->queue == NULL)
            break;
        piece *p = s->queue;
        s->queue = p->next;
        bool skip = s->failed || s->stop;
        pthread_mutex_unlock(&s->lock);
        sl_err err;
        sl_err_clear(&err);
        bool ok = skip || send_piece(s, p, &err);
        free(p);
        pthread_mutex_lock(&s->lock);
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
static int senders(const stream *s)
{
    int n = SENDERS / (1 + s->s.slow);
    int64_t length = length_of(s, s->number);
    while (n > 1 && n * length > (int64_t)SENDERS * SL_S3_PART_MIN)
        n--;
    return n > 0 ? n : 1;
}

/* Waits until so few are on their way. */
static bool wait_for(stream *s, int flying, sl_err *err)
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

static bool begin(stream *s, sl_err *err)
{
    return sl_s3_multipart_begin(&s->to, &s->id, err) && (s->target.keep == NULL || s->target.keep(s->target.owner, err));
}

static bool submit(stream *s, sl_err *err)
{
    piece *p = s->filling;
    s->filling = NULL;
    pthread_mutex_lock(&s->lock);
    part_at(s, p->number)->crc = s->target.crc;
    pthread_mutex_unlock(&s->lock);
    while (!s->several && s->started < SENDERS && pthread_create(&s->threads[s->started], NULL, work, s) == 0)
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
    piece **last = &s->queue;
    while (*last != NULL)
        last = &(*last)->next;
    *last = p;
    s->flying++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return true;
}

static bool stream_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    stream *s = (stream *)self;
    const char *p = from;
    while (n > 0 && !s->target.whole) {
        size_t length = (size_t)length_of(s, s->number);
        if (s->filling != NULL && s->filling->n == length) {
            if (s->id.n == 0 && !begin(s, err))
                return false;
            if (s->number == SL_S3_PARTS_MAX)
                return sl_err_set(err, SL_ERR_LIMIT, "s3.size", "%s: the stream does not fit into %d parts", s->target.what, SL_S3_PARTS_MAX);
            if (!submit(s, err))
                return false;
            s->number++;
            length = (size_t)length_of(s, s->number);
        }
        if (s->filling == NULL) {
            s->filling = sl_malloc(sizeof *s->filling + length);
            *s->filling = (piece){ .number = s->number };
        }
        size_t part = length - s->filling->n < n ? length - s->filling->n : n;
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
static void stop_senders(stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < s->started; i++)
        pthread_join(s->threads[i], NULL);
    s->started = 0;
}

static void stream_close(sl_writer *self)
{
    stream *s = (stream *)self;
    stop_senders(s);
    free(s->filling);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    sl_arena_free(s->arena);
    free(s);
}

/* ---- the end ---- */

static bool stream_flush(sl_target *t, sl_err *err)
{
    stream *s = (stream *)t;
    if (s->id.n == 0 || t->whole)
        return true; /* one PUT, when it is complete */
    if (s->filling == NULL && s->count == 0)
        *(s->filling = sl_malloc(sizeof *s->filling)) = (piece){ .number = 1 };
    /* An earlier process may have sent more: another source, then. Those parts are no parts of this object. */
    size_t count = (size_t)(s->filling != NULL ? s->number : s->number - 1);
    if ((s->filling != NULL && !submit(s, err)) || !wait_for(s, 0, err))
        return false;
    s->count = count;
    return true;
}

/* Does the object say of itself what the one that we make would? sum: of the whole, or of its parts. */
static bool made_already(stream *s, int64_t size, sl_str sum, bool *ret, sl_err *err)
{
    sl_arena *a = s->arena;
    sl_http_response r;
    int64_t theirs = -1;
    sl_s3_request head = { .method = "HEAD", .key = s->to.key, .headers = sl_map_of(a, "x-amz-checksum-mode", sl_val_c(a, "ENABLED")) };
    *ret = false;
    if (!sl_s3_send(&s->s, a, &head, &r, err))
        return false;
    if (r.status / 100 != 2 || !sl_parse_int(sl_http_header(&r, "content-length"), &theirs) || theirs != size)
        return true;
    sl_str etag = sl_http_header(&r, "etag");
    *ret = sum.n > 0 && (sl_str_eq(sl_http_header(&r, sl_s3_checksum_header(s->to.algorithm)), sum) || sl_str_eq(etag, sl_fmt(a, "\"%.*s\"", SL_ARG(sum))));
    if (*ret) {
        s->target.etag = etag;
        s->target.version = sl_http_header(&r, "x-amz-version-id");
    }
    return true;
}

static bool complete_small(stream *s, sl_err *err)
{
    sl_arena *a = s->arena;
    sl_http_response r;
    sl_str sum;
    bool done = false;
    piece empty = { .number = 1 }, *p = s->filling ? s->filling : &empty;
    sl_s3_body body = { .self = p, .open = piece_open, .sum = piece_sum, .size = (int64_t)p->n };
    p->reader = (sl_reader){ piece_read, sl_reader_no_close };
    if (s->resumed && (!made_already(s, s->target.at, sl_crc32c_base64(a, s->target.crc), &done, err) || done))
        return done;
    if (!SL_FAULT("upload.before_simple", err) || !sl_s3_put_body(&s->to, a, &body, SL_S(""), s->to.headers, &r, &sum, err) || !SL_FAULT("upload.after_simple", err))
        return sl_err_ctx(err, "%s", sl_s3_doing(&s->s, a, "uploading to", s->to.key));
    if (r.status / 100 != 2)
        return sl_s3_error(&s->s, a, &r, sl_s3_doing(&s->s, a, "uploading to", s->to.key), err);
    s->target.etag = sl_http_header(&r, "etag");
    s->target.version = sl_http_header(&r, "x-amz-version-id");
    return true;
}

static bool complete_parts(stream *s, sl_err *err)
{
    sl_s3_made end;
    bool done = false;
    sl_s3_part *parts = sl_alloc(s->arena, (s->count + 1) * sizeof *parts);
    for (size_t i = 0; i < s->count; i++)
        parts[i] = s->parts[i].part;
    if (!s->target.whole) {
        s->sum = sl_s3_multipart_sum(s->arena, s->to.algorithm, parts, s->count);
        if (s->target.keep != NULL && !s->target.keep(s->target.owner, err))
            return false;
    }
    if (sl_s3_multipart_complete(&s->to, s->id, parts, s->count, &end, err)) {
        s->target.etag = end.etag;
        s->target.version = end.version;
        return true;
    }
    sl_err why = *err;
    if (end.gone && !made_already(s, s->target.at, s->sum, &done, err))
        return false;
    if (!done)
        *err = why;
    return done;
}

static bool stream_complete(sl_target *t, sl_err *err)
{
    stream *s = (stream *)t;
    if (t->etag.n > 0)
        return true; /* an earlier process has come this far */
    return s->id.n == 0 ? complete_small(s, err) : complete_parts(s, err);
}

static void stream_abort(sl_target *t)
{
    stream *s = (stream *)t;
    stop_senders(s); /* a part that came behind the abortion would stay */
    if (t->etag.n == 0)
        sl_s3_multipart_abort(&s->s, s->to.key, s->id);
}

static void stream_durable(sl_target *t, int64_t *bytes, uint32_t *crc)
{
    stream *s = (stream *)t;
    *bytes = 0;
    *crc = 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->count && s->parts[i].checked; i++) {
        *bytes += s->parts[i].part.size;
        *crc = s->parts[i].crc;
    }
    pthread_mutex_unlock(&s->lock);
}

static bool stream_state(sl_target *t, sl_arena *a, sl_val **ret, sl_err *err)
{
    (void)err;
    const stream *s = (const stream *)t;
    *ret = sl_map(a);
    sl_map_set_int(a, *ret, "partSize", s->part_size);
    sl_map_set_int(a, *ret, "expected", s->first_size);
    sl_map_opt_str(a, *ret, "uploadId", s->id);
    sl_map_set_str(a, *ret, "algorithm", sl_str_c(sl_checksum_name(s->to.algorithm)));
    if (s->sum.n > 0) {
        sl_map_set_str(a, *ret, "sum", s->sum);
        sl_map_set_int(a, *ret, "size", t->at);
        sl_map_set_int(a, *ret, "crc", t->crc);
        sl_map_set_int(a, *ret, "parts", (int64_t)s->count);
    }
    return true;
}

/* ---- opening ---- */

static bool on_listed(void *self, int64_t number, const sl_s3_part *part, sl_err *err)
{
    (void)err;
    stream *s = self;
    part_at(s, number)->part = *part;
    return true;
}

/* The parts before the start were there for good; those behind it are compared when their bytes come. */
static bool trust_up_to(stream *s, const sl_target_how *how, sl_err *err)
{
    int64_t at = 0;
    while (at < how->at) {
        int64_t length = length_of(s, s->number);
        made *m = part_at(s, s->number);
        if (m->part.etag.n == 0 || m->part.size != length || at + length > how->at) {
            s->target.lost = true;
            return sl_err_set(err, SL_ERR_TRANSIENT, "s3.parts", "%s: parts of the interrupted upload are missing; it begins anew", s->target.what);
        }
        m->checked = true;
        m->crc = how->crc;
        at += length;
        s->number++;
    }
    return true;
}

static bool take_up(stream *s, const sl_target_how *how, sl_err *err)
{
    const sl_val *state = how->state;
    bool known = false, done = false;
    s->id = sl_str_dup(s->arena, sl_get_text(state, "uploadId"));
    s->part_size = sl_get_int(state, "partSize", s->part_size);
    s->first_size = sl_get_int(state, "expected", s->first_size);
    s->sum = sl_str_dup(s->arena, sl_get_text(state, "sum"));
    s->resumed = true;
    if (!sl_checksum_find(sl_get_text(state, "algorithm"), &s->to.algorithm) || s->id.n == 0)
        return true;
    sl_task_log(how->task, SL_INFO, "taking up the upload to %s where it stands", s->target.what);
    if (!sl_s3_multipart_list(&s->to, s->id, on_listed, s, &known, err))
        return false;
    if (s->sum.n > 0) {
        s->target.at = sl_get_int(state, "size", 0);
        s->target.crc = (uint32_t)sl_get_int(state, "crc", 0);
        s->target.whole = known && (int64_t)s->count >= sl_get_int(state, "parts", 0);
        s->count = (size_t)sl_get_int(state, "parts", 0);
        if (!known && !made_already(s, s->target.at, s->sum, &done, err))
            return false;
        s->target.whole |= done;
        if (s->target.whole)
            return true;
    }
    if (known)
        return trust_up_to(s, how, err);
    s->target.lost = true;
    return sl_err_set(err, SL_ERR_TRANSIENT, "s3.upload", "%s: the interrupted upload is gone; it begins anew", s->target.what);
}

static const sl_val *headers_of(sl_arena *a, const sl_target_how *how)
{
    sl_val *h = sl_map_of(a, "content-type", sl_val_str(a, how->content_type.n ? how->content_type : SL_S("application/octet-stream")));
    sl_map_opt_str(a, h, "content-encoding", how->content_encoding);
    sl_map_opt_str(a, h, "x-amz-storage-class", how->storage_class);
    for (size_t i = 0; i < sl_val_count(how->metadata); i++)
        sl_map_set_str(a, h, sl_fmt(a, "x-amz-meta-%.*s", SL_ARG(sl_str_lower(a, how->metadata->map.entries[i].key))).p, sl_val_text(a, how->metadata->map.entries[i].value));
    return h;
}

bool sl_s3_stream(const sl_target_how *how, const sl_aws_cfg *cfg, sl_str bucket, sl_str key, sl_target **ret, sl_err *err)
{
    sl_s3 opened;
    if (!sl_s3_open(&opened, how->task, cfg, bucket, err))
        return false;
    stream *s = sl_malloc(sizeof *s);
    memset(s, 0, sizeof *s);
    s->arena = sl_arena_new();
    s->s = opened;
    s->s.aws.arena = s->arena; /* its requests may run on a thread of its own */
    s->to = (sl_s3_target){ .s = &s->s, .key = sl_str_dup(s->arena, key), .headers = headers_of(s->arena, how), .algorithm = SL_SUM_CRC32C };
    s->first_size = how->size;
    s->part_size = how->several ? SEVERAL_PART : how->size < 0 ? SL_S3_PART_MIN : sl_s3_part_size(how->size);
    s->several = how->several;
    s->number = 1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->target = (sl_target){
        .writer = { stream_write, sl_writer_no_finish, stream_close }, .what = sl_s3_text(&s->s, s->arena, s->to.key).p, .at = how->at, .crc = how->crc, .flush = stream_flush, .complete = stream_complete, .abort = stream_abort,
        .durable = stream_durable, .state = stream_state, .uri = sl_s3_text(&s->s, s->arena, s->to.key),
    };
    *ret = &s->target;
    return how->state != NULL ? take_up(s, how, err) : !how->several || begin(s, err);
}
