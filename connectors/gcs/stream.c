/*
 * connectors/gcs/stream.c: an object made of a stream through a resumable session. See target.h and gcp/session.h.
 *
 * state(): {session} (sealed), and before the last bytes {size, crc}, by which a finished object is recognised. CRC32C is compared
 * with what the service computed. Memory: one chunk, which can be sent again.
 */
#include "base/arena.h"
#include "base/json.h"
#include "connectors/gcp/session.h"
#include "connectors/gcs/gcs.h"

enum { CHUNK = 16 << 20, SEVERAL_CHUNK = 4 << 20 }; /* multiples of 256 KiB, as sessions want them */

typedef struct stream {
    sl_target target;
    sl_gcp g;
    sl_arena *arena;
    sl_gs_uri to;
    sl_session session;           /* uri.n == 0: not begun */
    char *chunk;
    size_t n, room;               /* bytes of the chunk */
    int64_t begin;                /* where the chunk begins */
    int64_t there;                /* the session has so many */
    int64_t chunk_at;             /* of what is being sent */
    size_t left;
    sl_reader reader;
    int64_t durable;
    uint32_t durable_crc;
    bool ending;                  /* size and CRC32C are known */
    const sl_val *done;           /* the object resource */
} stream;

static ptrdiff_t chunk_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    (void)err;
    stream *s = (stream *)((char *)self - offsetof(stream, reader));
    n = n < s->left ? n : s->left;
    memcpy(to, s->chunk + (s->chunk_at - s->begin), n);
    s->chunk_at += (int64_t)n;
    s->left -= n;
    return (ptrdiff_t)n;
}

static sl_reader *chunk_open(void *self, sl_err *err)
{
    (void)err;
    stream *s = self;
    s->chunk_at = s->there; /* also when it is sent again */
    s->left = (size_t)(s->begin + (int64_t)s->n - s->there);
    s->reader = (sl_reader){ chunk_read, sl_reader_no_close };
    return &s->reader;
}

static bool lose(stream *s, sl_err *err)
{
    s->target.lost = true;
    return sl_err_set(err, SL_ERR_TRANSIENT, "upload.session", "GCS has lost the upload session of %s; it begins anew", s->target.what);
}

/* Sends the chunk; last: nothing follows. What the session has not got is sent again, until it has. */
static bool send_chunk(stream *s, bool last, sl_err *err)
{
    int64_t end = s->begin + (int64_t)s->n;
    bool unsure = false;
    for (int round = 0; s->done == NULL && (last || s->there < end);) {
        sl_arena_mark mark = sl_arena_get_mark(s->arena);
        sl_session_state now;
        sl_session_put put = { .from = s->there, .to = unsure ? s->there : end, .total = last ? end : -1, .open_body = chunk_open, .body_self = s };
        sl_err_clear(err);
        bool ok = sl_session_send(&s->session, s->arena, &put, &now, err);
        if (ok && (now.lost || (now.done == NULL && (now.next < s->begin || now.next > end))))
            return lose(s, err);
        if (ok && now.done != NULL) {
            s->done = now.done;
            return true;
        }
        if (ok && now.next > s->there)
            round = 0;
        else
            round++;
        if (ok)
            s->there = now.next;
        unsure = !ok;
        if (!ok && !sl_session_retry(&s->session, round, err))
            return false;
        if (ok && round > 3)
            return sl_err_set(err, SL_ERR_REMOTE, "upload.range", "GCS takes no more bytes of %s behind byte %lld", s->target.what, (long long)s->there);
        sl_arena_rewind(s->arena, mark);
    }
    return true;
}

static bool keep(stream *s, sl_err *err)
{
    return s->target.keep == NULL || s->target.keep(s->target.owner, err);
}

static bool begin(stream *s, sl_err *err)
{
    return s->session.uri.n > 0 || (sl_session_start(&s->session, -1, err) && keep(s, err));
}

static bool stream_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    stream *s = (stream *)self;
    const char *p = from;
    while (n > 0 && !s->target.whole) {
        if (s->n == s->room) {
            if (!begin(s, err) || !send_chunk(s, false, err))
                return false;
            s->begin += (int64_t)s->n;
            s->durable = s->begin;
            s->durable_crc = s->target.crc;
            s->n = 0;
        }
        size_t part = s->room - s->n < n ? s->room - s->n : n;
        if (s->chunk == NULL)
            s->chunk = sl_malloc(s->room);
        memcpy(s->chunk + s->n, p, part);
        s->n += part;
        s->target.crc = sl_crc32c(s->target.crc, p, part);
        s->target.at += (int64_t)part;
        if (s->there < s->begin)
            s->there = s->begin;
        p += part;
        n -= part;
    }
    return true;
}

static void stream_close(sl_writer *self)
{
    stream *s = (stream *)self;
    free(s->chunk);
    sl_arena_free(s->arena);
    free(s);
}

/* The last bytes make the object: they wait for complete(). */
static bool stream_flush(sl_target *t, sl_err *err)
{
    (void)t;
    (void)err;
    return true;
}

/* Another object than was sent is none that anybody may find. How that went, for the error. */
static const char *undo(stream *s)
{
    bool existed;
    sl_err err;
    sl_gs_uri made = { s->to.bucket, s->to.object, sl_val_text(s->arena, sl_get(s->done, "generation")) };
    if (sl_gs_delete(&s->g, made, &existed, &err))
        return "it is deleted, copy it again";
    return sl_fmt(s->arena, "delete it and copy it again, since deleting it failed: %s", err.message).p;
}

static bool stream_complete(sl_target *t, sl_err *err)
{
    stream *s = (stream *)t;
    if (s->done == NULL) {
        s->ending = true;
        if ((s->session.uri.n == 0 ? !begin(s, err) : !keep(s, err)) || !send_chunk(s, true, err))
            return false;
    }
    sl_str theirs = sl_get_text(s->done, "crc32c"), ours = sl_crc32c_base64(s->arena, t->crc);
    bool size = sl_get_int(s->done, "size", t->at) == t->at, sum = theirs.n == 0 || sl_str_eq(theirs, ours);
    if (!size)
        sl_err_set(err, SL_ERR_DATA, "gcs.size", "%s had %lld bytes, but %lld were sent; %s", t->what, (long long)sl_get_int(s->done, "size", 0), (long long)t->at, undo(s));
    else if (!sum)
        sl_err_set(err, SL_ERR_DATA, "gcs.checksum", "%s had the CRC32C %.*s, but %.*s was sent; %s", t->what, SL_ARG(theirs), SL_ARG(ours), undo(s));
    if (!size || !sum)
        return false;
    t->etag = sl_get_text(s->done, "etag");
    t->version = sl_val_text(s->arena, sl_get(s->done, "generation"));
    return true;
}

static void stream_abort(sl_target *t)
{
    stream *s = (stream *)t;
    sl_str sealed;
    sl_err ignored;
    if (s->done == NULL && s->session.uri.n > 0 && sl_session_seal(&s->session, &sealed, &ignored))
        sl_session_cancel(&s->g, sealed);
}

static void stream_durable(sl_target *t, int64_t *bytes, uint32_t *crc)
{
    const stream *s = (const stream *)t;
    *bytes = s->durable;
    *crc = s->durable_crc;
}

static bool stream_state(sl_target *t, sl_arena *a, sl_val **ret, sl_err *err)
{
    const stream *s = (const stream *)t;
    sl_str sealed;
    *ret = sl_map(a);
    if (s->session.uri.n > 0) {
        if (!sl_session_seal(&s->session, &sealed, err))
            return false;
        sl_map_set_str(a, *ret, "session", sealed);
    }
    if (s->ending) {
        sl_map_set_int(a, *ret, "size", t->at);
        sl_map_set_int(a, *ret, "crc", t->crc);
    }
    return true;
}

/* ---- opening ---- */

static bool take_up(stream *s, const sl_target_how *how, sl_err *err)
{
    sl_session_state now;
    sl_session_put ask = { .total = sl_get_int(how->state, "size", -1) };
    if (sl_get_text(how->state, "session").n == 0)
        return true;
    if (!sl_session_take_up(&s->session, sl_get_text(how->state, "session"), err))
        return false;
    for (int round = 0; !sl_session_send(&s->session, s->arena, &ask, &now, err); round++) {
        if (!sl_session_retry(&s->session, round, err))
            return false;
        sl_err_clear(err);
    }
    if (now.lost || (now.done == NULL && now.next < how->at))
        return lose(s, err);
    s->done = now.done;
    s->there = now.next;
    if (now.done != NULL) {
        s->target.whole = true;
        s->target.at = sl_get_int(how->state, "size", -1);
        s->target.crc = (uint32_t)sl_get_int(how->state, "crc", 0);
    }
    return true;
}

static sl_str metadata_of(sl_arena *a, sl_gs_uri to, const sl_target_how *how)
{
    sl_val *m = sl_map_of(a, "name", sl_val_str(a, to.object));
    sl_map_opt_str(a, m, "contentType", how->content_type);
    sl_map_opt_str(a, m, "contentEncoding", how->content_encoding);
    sl_map_opt_str(a, m, "storageClass", how->storage_class);
    if (sl_val_count(how->metadata) > 0)
        sl_map_setc(a, m, "metadata", how->metadata);
    return sl_json(a, m);
}

bool sl_gs_stream(const sl_target_how *how, const sl_gcp_cfg *cfg, sl_gs_uri to, sl_target **ret, sl_err *err)
{
    sl_gcp g;
    if (!sl_gcp_open(&g, how->task, "gcs", cfg, err))
        return false;
    stream *s = sl_malloc(sizeof *s);
    memset(s, 0, sizeof *s);
    s->arena = sl_arena_new();
    s->g = g;
    s->g.arena = s->arena; /* its requests may run on a thread of its own */
    s->to = to;
    s->room = how->several ? SEVERAL_CHUNK : CHUNK;
    s->begin = s->durable = how->at;
    s->durable_crc = how->crc;
    sl_str uri = sl_gs_text(s->arena, to.bucket, to.object);
    s->session = (sl_session){
        .g = &s->g, .metadata = metadata_of(s->arena, to, how), .content_type = how->content_type, .target = uri,
        .url = sl_fmt(s->arena, "%.*s/upload/storage/v1/b/%.*s/o?uploadType=resumable&name=%.*s", SL_ARG(g.base), SL_ARG(sl_percent(s->arena, to.bucket, NULL)), SL_ARG(sl_percent(s->arena, to.object, NULL))),
    };
    s->target = (sl_target){
        .writer = { stream_write, sl_writer_no_finish, stream_close }, .what = uri.p, .at = how->at, .crc = how->crc, .flush = stream_flush, .complete = stream_complete, .abort = stream_abort, .durable = stream_durable,
        .state = stream_state, .uri = uri,
    };
    *ret = &s->target;
    return how->state != NULL ? take_up(s, how, err) : !how->several || begin(s, err);
}
