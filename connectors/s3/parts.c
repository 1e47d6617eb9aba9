/* connectors/s3/parts.c: multipart uploads: planned, sent several parts at a time, taken up again, completed. See put.h. */
#include <pthread.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "connectors/s3/put.h"

enum { SENDERS = 8 };

typedef struct parts {
    sl_s3_put *p;
    sl_str id;
    int64_t part_size;
    size_t count;
    sl_s3_part *part;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int active;                   /* the rest: under the lock */
    int64_t sent;
    sl_arena *arena;              /* of etags and sums */
} parts;

static int64_t end_of(const parts *u, size_t i)
{
    int64_t end = (int64_t)(i + 1) * u->part_size;
    return end < u->p->size ? end : u->p->size;
}

/* ---- the upload ---- */

static void set_upload(parts *u, sl_str id, int64_t part_size)
{
    u->id = id;
    u->part_size = part_size;
    u->count = (size_t)((u->p->size + part_size - 1) / part_size);
    u->part = sl_alloc(u->p->to.s->aws.arena, u->count * sizeof *u->part);
}

static bool begin(parts *u, sl_err *err)
{
    sl_s3_put *p = u->p;
    sl_arena *a = p->to.s->aws.arena;
    sl_str id;
    if (!sl_s3_multipart_begin(&p->to, &id, err))
        return false;
    set_upload(u, id, sl_s3_part_size(p->size));
    sl_val *mark = sl_map_of(a, "key", sl_val_str(a, p->to.key));
    sl_map_set_int(a, mark, "size", p->size);
    sl_map_set_int(a, mark, "mtimeNs", p->mtime_ns);
    sl_map_set_str(a, mark, "uploadId", id);
    sl_map_set_int(a, mark, "partSize", u->part_size);
    sl_map_set_str(a, mark, "algorithm", sl_str_c(sl_checksum_name(p->to.algorithm)));
    return sl_task_checkpoint(p->to.s->aws.task, mark, err);
}

/* Is a part that is listed the one that we would send? The checksum says so, or the ETag where that is an MD5. */
static bool on_listed(void *self, int64_t number, const sl_s3_part *listed, sl_err *err)
{
    parts *u = self;
    sl_s3_put *p = u->p;
    sl_arena *a = p->to.s->aws.arena;
    sl_checksum sums[2] = { sl_checksum_new(a, p->to.algorithm), sl_checksum_new(a, SL_SUM_MD5) };
    int64_t begin_at = (number - 1) * u->part_size;
    if (number > (int64_t)u->count || listed->size != end_of(u, (size_t)number - 1) - begin_at)
        return true;
    if (!sl_checksum_file(p->fd, p->path.p, begin_at, begin_at + listed->size, sums, listed->sum.n ? 1 : 2, sl_task_cancelled, p->to.s->aws.task, err))
        return false;
    sl_str sum = sl_base64(a, sl_checksum_end(&sums[0], a)), md5 = listed->sum.n ? SL_S("") : sl_hex(a, sl_checksum_end(&sums[1], a));
    if (listed->sum.n ? sl_str_eq(listed->sum, sum) : sl_str_find(listed->etag, md5) >= 0)
        u->part[number - 1] = (sl_s3_part){ listed->etag, sum, listed->size };
    return true;
}

/* ---- the parts ---- */

/* SlowDown answers make fewer requests at a time. */
static void enter(parts *u)
{
    pthread_mutex_lock(&u->lock);
    while (u->active > 0 && u->active >= SENDERS / (1 + u->p->to.s->slow))
        pthread_cond_wait(&u->changed, &u->lock);
    u->active++;
    pthread_mutex_unlock(&u->lock);
}

static void leave(parts *u, const sl_s3_part *done, size_t i)
{
    pthread_mutex_lock(&u->lock);
    u->active--;
    if (done != NULL) {
        u->part[i] = (sl_s3_part){ sl_str_dup(u->arena, done->etag), sl_str_dup(u->arena, done->sum), done->size };
        u->sent += done->size;
        sl_task_progress(u->p->to.s->aws.task, u->sent, u->p->size);
    }
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->lock);
}

static bool send_part(void *self, size_t i, sl_arena *a, sl_err *err)
{
    parts *u = self;
    sl_s3_part done;
    sl_s3_piece piece;
    if (u->part[i].etag.n > 0)
        return true;
    if (sl_task_cancelled(u->p->to.s->aws.task))
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while uploading to %.*s", SL_ARG(sl_s3_text(u->p->to.s, a, u->p->to.key)));
    sl_s3_body body = sl_s3_piece_of(u->p, (int64_t)i * u->part_size, end_of(u, i), &piece);
    enter(u);
    bool ok = sl_s3_multipart_send(&u->p->to, a, u->id, (int64_t)i + 1, &body, &done, err);
    leave(u, ok ? &done : NULL, i);
    return ok;
}

static bool complete(parts *u, sl_err *err)
{
    sl_s3_put *p = u->p;
    sl_s3_made made;
    bool there = false;
    if (sl_s3_multipart_complete(&p->to, u->id, u->part, u->count, &made, err)) {
        p->etag = made.etag;
        p->version = made.version;
        return true;
    }
    /* An answer that was lost: the upload is no more because it is an object now. */
    sl_err why = *err;
    if (made.gone && !sl_s3_put_there(p, p->to.s->aws.arena, u->part_size, &there, err))
        return false;
    if (!there)
        *err = why;
    return there;
}

static bool take_up(parts *u, const sl_val *saved, bool *done, sl_err *err)
{
    sl_s3_put *p = u->p;
    bool known;
    *done = false;
    int64_t part_size = sl_get_int(saved, "partSize", 0);
    if (sl_get_text(saved, "uploadId").n == 0 || part_size <= 0 || sl_get_int(saved, "size", -1) != p->size || sl_get_int(saved, "mtimeNs", -1) != p->mtime_ns || !sl_str_eq(sl_get_text(saved, "key"), p->to.key))
        return begin(u, err);
    if (!sl_checksum_find(sl_get_text(saved, "algorithm"), &p->to.algorithm))
        p->to.algorithm = SL_SUM_MD5;
    set_upload(u, sl_get_text(saved, "uploadId"), part_size);
    sl_task_log(p->to.s->aws.task, SL_INFO, "taking up the upload to %.*s where it stands", SL_ARG(sl_s3_text(p->to.s, p->to.s->aws.arena, p->to.key)));
    if (!sl_s3_multipart_list(&p->to, u->id, on_listed, u, &known, err))
        return false;
    if (known)
        return true;
    return sl_s3_put_there(p, p->to.s->aws.arena, part_size, done, err) && (*done || begin(u, err));
}

bool sl_s3_put_parts(sl_s3_put *p, sl_err *err)
{
    sl_arena *a = p->to.s->aws.arena;
    bool done = false;
    parts u = { .p = p, .arena = a, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
    if (!take_up(&u, sl_task_saved(p->to.s->aws.task), &done, err))
        return false;
    bool sent = done || sl_parallel(SENDERS, u.count, send_part, &u, err);
    if (!sent && err->kind == SL_ERR_DATA)
        (void)sl_s3_put_unchanged(p, err); /* a file that was cut: that is why */
    bool ok = sent && (done || (sl_s3_put_unchanged(p, err) && complete(&u, err)));
    /* What was stopped can be taken up again; what failed is not, and its parts would stay. */
    if (!ok && err->kind != SL_ERR_CANCELLED)
        sl_s3_multipart_abort(p->to.s, p->to.key, u.id);
    return ok;
}
