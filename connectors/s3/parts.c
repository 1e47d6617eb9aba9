/* connectors/s3/parts.c: multipart uploads: planned, sent several parts at a time, taken up again, completed. See put.h. */
#include <pthread.h>

#include "base/arena.h"
#include "base/fault.h"
#include "base/parallel.h"
#include "base/xml.h"
#include "connectors/s3/put.h"

enum { PARTS_MAX = 10000, PART_MIN = 8 << 20, MIB = 1 << 20, SENDERS = 8, COMPLETE_IDLE_MS = 600000, COMPLETE_MAX = 16 << 20 };

typedef struct part {
    sl_str etag, sum;             /* etag.n > 0: it is there */
} part;

typedef struct parts {
    sl_s3_put *p;
    sl_str query;                 /* uploadId=… */
    const char *doing;
    int64_t part_size;
    size_t count;
    part *part;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int active;                   /* the rest: under the lock */
    int64_t sent;
    sl_arena *arena;              /* of etags and sums */
} parts;

int64_t sl_s3_part_size(int64_t size)
{
    int64_t least = (size + PARTS_MAX - 1) / PARTS_MAX;
    return least <= PART_MIN ? PART_MIN : (least + MIB - 1) / MIB * MIB;
}

static int64_t end_of(const parts *u, size_t i)
{
    int64_t end = (int64_t)(i + 1) * u->part_size;
    return end < u->p->size ? end : u->p->size;
}

/* ---- the upload ---- */

static void set_upload(parts *u, sl_str id, int64_t part_size)
{
    sl_arena *a = u->p->s->aws.arena;
    u->query = sl_fmt(a, "uploadId=%.*s", SL_ARG(sl_percent(a, id, NULL)));
    u->part_size = part_size;
    u->count = (size_t)((u->p->size + part_size - 1) / part_size);
    u->part = sl_alloc(a, u->count * sizeof *u->part);
}

static bool begin(parts *u, sl_err *err)
{
    sl_s3_put *p = u->p;
    sl_arena *a = p->s->aws.arena;
    sl_http_response r;
    sl_val *headers = sl_map_shallow(a, p->headers);
    if (sl_s3_plain(p->s) && !p->algorithm_given)
        p->algorithm = SL_SUM_MD5;
    if (p->algorithm != SL_SUM_MD5)
        sl_map_set_str(a, headers, "x-amz-checksum-algorithm", sl_str_c(sl_checksum_name(p->algorithm)));
    sl_s3_request req = { .method = "POST", .key = p->key, .query = SL_S("uploads="), .headers = headers, .idempotent = true };
    if (!SL_FAULT("upload.before_session", err) || !sl_s3_call(p->s, a, &req, u->doing, &r, err) || !SL_FAULT("upload.after_session", err))
        return false;
    const sl_val *doc = sl_xml_parse(a, r.body, NULL, err);
    sl_str id = sl_xml_text(doc, "UploadId");
    if (id.n == 0)
        return doc == NULL ? sl_err_ctx(err, "%s", u->doing) : sl_err_set(err, SL_ERR_REMOTE, "s3.upload", "%s: S3 gave no upload id", u->doing);
    set_upload(u, id, sl_s3_part_size(p->size));
    sl_val *mark = sl_map_of(a, "key", sl_val_str(a, p->key));
    sl_map_set_int(a, mark, "size", p->size);
    sl_map_set_int(a, mark, "mtimeNs", p->mtime_ns);
    sl_map_set_str(a, mark, "uploadId", id);
    sl_map_set_int(a, mark, "partSize", u->part_size);
    sl_map_set_str(a, mark, "algorithm", sl_str_c(sl_checksum_name(p->algorithm)));
    return sl_task_checkpoint(p->s->aws.task, mark, err);
}

/* Is a part that is listed the one that we would send? The checksum says so, or the ETag where that is an MD5. */
static bool same_part(parts *u, const sl_val *e, size_t i, part *ret, sl_err *err)
{
    sl_arena *a = u->p->s->aws.arena;
    sl_s3_put *p = u->p;
    sl_checksum sums[2] = { sl_checksum_new(a, p->algorithm), sl_checksum_new(a, SL_SUM_MD5) };
    sl_str listed = sl_xml_text(e, sl_fmt(a, "Checksum%s", sl_checksum_name(p->algorithm)).p), etag = sl_xml_text(e, "ETag");
    int64_t size = -1, begin_at = (int64_t)i * u->part_size;
    if (!sl_parse_int(sl_xml_text(e, "Size"), &size) || size != end_of(u, i) - begin_at)
        return true;
    if (!sl_checksum_file(p->fd, p->path.p, begin_at, end_of(u, i), sums, listed.n ? 1 : 2, sl_task_cancelled, p->s->aws.task, err))
        return false;
    sl_str sum = sl_base64(a, sl_checksum_end(&sums[0], a)), md5 = listed.n ? SL_S("") : sl_hex(a, sl_checksum_end(&sums[1], a));
    if (listed.n ? sl_str_eq(listed, sum) : sl_str_find(etag, md5) >= 0)
        *ret = (part){ etag, sum };
    return true;
}

/* *known: false when the service knows this upload no more. */
static bool list_parts(parts *u, bool *known, sl_err *err)
{
    sl_arena *a = u->p->s->aws.arena;
    sl_str marker = SL_S("0");
    *known = true;
    do {
        sl_http_response r;
        sl_s3_request req = { .method = "GET", .key = u->p->key, .query = sl_fmt(a, "max-parts=1000&part-number-marker=%.*s&%.*s", SL_ARG(marker), SL_ARG(u->query)) };
        if (!sl_s3_send(u->p->s, a, &req, &r, err))
            return false;
        if (sl_str_eqc(sl_s3_code(a, &r), "NoSuchUpload")) {
            *known = false;
            return true;
        }
        const sl_val *doc = r.status / 100 == 2 ? sl_xml_parse(a, r.body, NULL, err) : NULL;
        if (doc == NULL)
            return r.status / 100 == 2 ? sl_err_ctx(err, "%s", u->doing) : sl_s3_error(u->p->s, a, &r, u->doing, err);
        const sl_val *found = sl_xml_all(doc, "Part");
        for (size_t i = 0; i < sl_val_count(found); i++) {
            int64_t number = 0;
            if (sl_parse_int(sl_xml_text(sl_at(found, i), "PartNumber"), &number) && number >= 1 && number <= (int64_t)u->count
                && !same_part(u, sl_at(found, i), (size_t)number - 1, &u->part[number - 1], err))
                return false;
        }
        marker = sl_str_eqc(sl_xml_text(doc, "IsTruncated"), "true") ? sl_xml_text(doc, "NextPartNumberMarker") : SL_S("");
    } while (marker.n > 0);
    return true;
}

/* ---- the parts ---- */

/* SlowDown answers make fewer requests at a time. */
static void enter(parts *u)
{
    pthread_mutex_lock(&u->lock);
    while (u->active > 0 && u->active >= SENDERS / (1 + u->p->s->slow))
        pthread_cond_wait(&u->changed, &u->lock);
    u->active++;
    pthread_mutex_unlock(&u->lock);
}

static void leave(parts *u, const part *done, size_t i)
{
    pthread_mutex_lock(&u->lock);
    u->active--;
    if (done != NULL) {
        u->part[i] = (part){ sl_str_dup(u->arena, done->etag), sl_str_dup(u->arena, done->sum) };
        u->sent += end_of(u, i) - (int64_t)i * u->part_size;
        sl_task_progress(u->p->s->aws.task, u->sent, u->p->size);
    }
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->lock);
}

static bool send_part(void *self, size_t i, sl_arena *a, sl_err *err)
{
    parts *u = self;
    part done;
    sl_http_response r;
    if (u->part[i].etag.n > 0)
        return true;
    if (sl_task_cancelled(u->p->s->aws.task))
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while %s", u->doing);
    enter(u);
    bool ok = SL_FAULT("upload.before_chunk", err)
              && sl_s3_put_piece(u->p, a, (int64_t)i * u->part_size, end_of(u, i), sl_fmt(a, "partNumber=%zu&%.*s", i + 1, SL_ARG(u->query)), NULL, &r, &done.sum, err) && SL_FAULT("upload.after_chunk", err);
    if (!ok)
        sl_err_ctx(err, "%s, part %zu of %zu", u->doing, i + 1, u->count);
    else if (r.status / 100 != 2)
        ok = sl_s3_error(u->p->s, a, &r, u->doing, err);
    else if ((done.etag = sl_http_header(&r, "etag")).n == 0)
        ok = sl_err_set(err, SL_ERR_REMOTE, "s3.upload", "%s: S3 gave no ETag for part %zu", u->doing, i + 1);
    leave(u, ok ? &done : NULL, i);
    return ok;
}

static sl_str completion(const parts *u, sl_arena *a)
{
    sl_buf b = sl_buf_new(a, COMPLETE_MAX);
    sl_buf_addc(&b, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < u->count; i++) {
        const char *name = sl_checksum_name(u->p->algorithm);
        sl_buf_fmt(&b, "<Part><PartNumber>%zu</PartNumber><ETag>%.*s</ETag>", i + 1, SL_ARG(sl_xml_escape(a, u->part[i].etag)));
        if (u->p->algorithm != SL_SUM_MD5 && !sl_s3_plain(u->p->s))
            sl_buf_fmt(&b, "<Checksum%s>%.*s</Checksum%s>", name, SL_ARG(u->part[i].sum), name);
        sl_buf_addc(&b, "</Part>");
    }
    sl_buf_addc(&b, "</CompleteMultipartUpload>");
    return sl_buf_str(&b);
}

static bool complete(parts *u, sl_err *err)
{
    sl_s3_put *p = u->p;
    sl_arena *a = p->s->aws.arena;
    sl_http_response r;
    bool there = false;
    sl_s3_request req = { .method = "POST", .key = p->key, .query = u->query, .headers = p->conditions, .body = completion(u, a), .xml_result = true, .idempotent = true, .idle_ms = COMPLETE_IDLE_MS };
    if (!SL_FAULT("upload.before_complete", err) || !sl_s3_send(p->s, a, &req, &r, err) || !SL_FAULT("upload.after_complete", err))
        return sl_err_ctx(err, "%s", u->doing);
    sl_str code = sl_s3_code(a, &r);
    if (r.status / 100 == 2 && code.n == 0) {
        const sl_val *doc = sl_xml_parse(a, r.body, NULL, err);
        p->etag = sl_xml_text(doc, "ETag");
        p->version = sl_http_header(&r, "x-amz-version-id");
        return doc != NULL || sl_err_ctx(err, "%s", u->doing);
    }
    /* An answer that was lost: the upload is no more because it is an object now. */
    if (r.attempts > 1 && !sl_s3_put_there(p, a, u->part_size, &there, err))
        return false;
    return there || sl_s3_error(p->s, a, &r, u->doing, err);
}

static bool take_up(parts *u, const sl_val *saved, bool *done, sl_err *err)
{
    sl_s3_put *p = u->p;
    bool known;
    *done = false;
    int64_t part_size = sl_get_int(saved, "partSize", 0);
    if (sl_get_text(saved, "uploadId").n == 0 || part_size <= 0 || sl_get_int(saved, "size", -1) != p->size || sl_get_int(saved, "mtimeNs", -1) != p->mtime_ns || !sl_str_eq(sl_get_text(saved, "key"), p->key))
        return begin(u, err);
    if (!sl_checksum_find(sl_get_text(saved, "algorithm"), &p->algorithm))
        p->algorithm = SL_SUM_MD5;
    set_upload(u, sl_get_text(saved, "uploadId"), part_size);
    sl_task_log(p->s->aws.task, SL_INFO, "taking up the upload to %.*s where it stands", SL_ARG(sl_s3_text(p->s, p->s->aws.arena, p->key)));
    if (!list_parts(u, &known, err))
        return false;
    if (known)
        return true;
    return sl_s3_put_there(p, p->s->aws.arena, part_size, done, err) && (*done || begin(u, err));
}

bool sl_s3_put_parts(sl_s3_put *p, sl_err *err)
{
    sl_arena *a = p->s->aws.arena;
    bool done = false;
    parts u = { .p = p, .arena = a, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
    u.doing = sl_s3_doing(p->s, a, "uploading to", p->key);
    if (!take_up(&u, sl_task_saved(p->s->aws.task), &done, err))
        return false;
    bool ok = done || (sl_parallel(SENDERS, u.count, send_part, &u, err) && complete(&u, err));
    /* What was stopped can be taken up again; what failed is not, and its parts would stay. */
    if (!ok && err->kind != SL_ERR_CANCELLED)
        sl_s3_put_abort(p->s, sl_task_saved(p->s->aws.task));
    return ok;
}

void sl_s3_put_abort(sl_s3 *s, const sl_val *saved)
{
    sl_arena *a = s->aws.arena;
    sl_http_response r;
    sl_err ignored;
    sl_str id = sl_get_text(saved, "uploadId");
    sl_s3_request req = { .method = "DELETE", .key = sl_get_text(saved, "key"), .query = sl_fmt(a, "uploadId=%.*s", SL_ARG(sl_percent(a, id, NULL))) };
    if (id.n > 0)
        (void)sl_s3_send(s, a, &req, &r, &ignored);
}
