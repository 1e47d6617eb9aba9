/*
 * connectors/s3/stream_object.c: the object that a stream becomes: opened, taken up by a later process, completed. See stream.h.
 *
 * A stream that fits into one part is one PUT. state(): {uploadId, algorithm, partSize}, and before the end {size, crc, sum},
 * by which a finished object is recognised.
 */
#include "base/arena.h"
#include "base/fault.h"
#include "connectors/s3/stream.h"

enum { SEVERAL_PART = 5 << 20 };

/* Does the object say of itself what the one that we make would? sum: of the whole, or of its parts. */
static bool made_already(sl_s3_streaming *s, int64_t size, sl_str sum, bool *ret, sl_err *err)
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

static bool complete_small(sl_s3_streaming *s, sl_err *err)
{
    sl_arena *a = s->arena;
    sl_http_response r;
    sl_str sum;
    bool done = false;
    sl_s3_stream_piece empty = { .number = 1 }, *p = s->filling ? s->filling : &empty;
    sl_s3_body body = sl_s3_stream_body(p);
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

static bool complete_parts(sl_s3_streaming *s, sl_err *err)
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
    sl_s3_streaming *s = (sl_s3_streaming *)t;
    if (t->etag.n > 0)
        return true; /* an earlier process has come this far */
    return s->id.n == 0 ? complete_small(s, err) : complete_parts(s, err);
}

static void stream_abort(sl_target *t)
{
    sl_s3_streaming *s = (sl_s3_streaming *)t;
    sl_s3_stream_stop(s); /* a part that came behind the abortion would stay */
    if (t->etag.n == 0)
        sl_s3_multipart_abort(&s->s, s->to.key, s->id);
}

static void stream_durable(sl_target *t, int64_t *bytes, uint32_t *crc)
{
    sl_s3_streaming *s = (sl_s3_streaming *)t;
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
    const sl_s3_streaming *s = (const sl_s3_streaming *)t;
    *ret = sl_map(a);
    sl_map_set_int(a, *ret, "partSize", s->part_size);
    sl_map_set_int(a, *ret, "expected", s->expected);
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
    sl_s3_streaming *s = self;
    sl_s3_stream_part_at(s, number)->part = *part;
    return true;
}

/* The parts before the start were there for good; those behind it are compared when their bytes come. */
static bool trust_up_to(sl_s3_streaming *s, const sl_target_how *how, sl_err *err)
{
    int64_t at = 0;
    while (at < how->at) {
        int64_t length = sl_s3_stream_length(s, s->number);
        sl_s3_stream_part *m = sl_s3_stream_part_at(s, s->number);
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

static bool take_up(sl_s3_streaming *s, const sl_target_how *how, sl_err *err)
{
    const sl_val *state = how->state;
    bool known = false, done = false;
    s->id = sl_str_dup(s->arena, sl_get_text(state, "uploadId"));
    s->part_size = sl_get_int(state, "partSize", s->part_size);
    s->expected = sl_get_int(state, "expected", s->expected);
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

bool sl_s3_stream(const sl_target_how *how, const sl_aws_cfg *cfg, sl_str bucket, sl_str key, sl_str customer_key, sl_target **ret, sl_err *err)
{
    sl_s3 opened;
    if (!sl_s3_open(&opened, how->task, cfg, bucket, err) || !sl_s3_use_key(&opened, customer_key, err))
        return false;
    sl_s3_streaming *s = sl_malloc(sizeof *s);
    memset(s, 0, sizeof *s);
    s->arena = sl_arena_new();
    s->s = opened;
    s->s.aws.arena = s->arena; /* its requests may run on a thread of its own */
    s->to = (sl_s3_target){ .s = &s->s, .key = sl_str_dup(s->arena, key), .headers = headers_of(s->arena, how), .algorithm = SL_SUM_CRC32C };
    s->expected = how->size;
    s->part_size = how->several ? SEVERAL_PART : how->size < 0 ? SL_S3_PART_MIN : sl_s3_part_size(how->size);
    s->several = how->several;
    s->number = 1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->target = (sl_target){
        .writer = { sl_s3_stream_write, sl_writer_no_finish, sl_s3_stream_close }, .what = sl_s3_text(&s->s, s->arena, s->to.key).p, .at = how->at, .crc = how->crc, .flush = sl_s3_stream_flush, .complete = stream_complete, .abort = stream_abort,
        .durable = stream_durable, .state = stream_state, .uri = sl_s3_text(&s->s, s->arena, s->to.key),
    };
    *ret = &s->target;
    return how->state != NULL ? take_up(s, how, err) : !how->several || sl_s3_stream_begin(s, err);
}
