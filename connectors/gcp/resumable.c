/* connectors/gcp/resumable.c: see resumable.h. */
#include "connectors/gcp/resumable.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/limits.h"

enum { CHUNK = 64 << 20, ROUNDS_MAX = 12, SESSIONS_MAX = 3 };

/* ---- the file ---- */

static sl_resumable *of_reader(sl_reader *r)
{
    return (sl_resumable *)((char *)r - offsetof(sl_resumable, reader));
}

static ptrdiff_t piece_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    sl_resumable *u = of_reader(self);
    if ((int64_t)n > u->end - u->offset)
        n = (size_t)(u->end - u->offset);
    if (n == 0)
        return 0;
    ssize_t got = pread(u->fd, to, n, u->offset);
    if (got < 0) {
        sl_err_errno(err, "read", u->path.p);
        return -1;
    }
    if (u->offset + got > u->hashed && u->offset <= u->hashed) {
        const char *fresh = (const char *)to + (u->hashed - u->offset);
        size_t count = (size_t)(u->offset + got - u->hashed);
        u->crc = sl_crc32c(u->crc, fresh, count);
        if (u->md5 != NULL)
            sl_hash_add(u->md5, fresh, count);
        u->hashed += (int64_t)count;
    }
    u->offset += got;
    return got;
}

static void piece_close(sl_reader *self)
{
    (void)self;
}

static sl_reader *open_piece(void *self, sl_err *err)
{
    (void)err;
    sl_resumable *u = self;
    u->offset = u->begin; /* also when it is sent again, with another token */
    return &u->reader;
}

/* Bytes that an earlier process has sent have to pass through the checksum as well. */
static bool read_up_to(sl_resumable *u, int64_t to, sl_err *err)
{
    char *block = sl_malloc(SL_IO_BLOCK);
    bool ok = true;
    u->offset = u->hashed;
    u->end = to;
    while (ok && u->hashed < to)
        ok = piece_read(&u->reader, block, SL_IO_BLOCK, err) > 0 && !sl_task_cancelled(u->g->task);
    free(block);
    return ok || err->kind != SL_ERR_NONE || sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped");
}

static void on_progress(void *self, int64_t sent, int64_t received)
{
    sl_resumable *u = self;
    (void)sent;
    (void)received;
    sl_task_progress(u->g->task, u->offset, u->size);
}

bool sl_resumable_open(sl_resumable *u, sl_str from, sl_err *err)
{
    struct stat st;
    u->fd = -1;
    u->reader = (sl_reader){ piece_read, piece_close };
    if (!sl_task_local_file(u->g->task, from, &u->path, err))
        return false;
    u->fd = open(u->path.p, O_RDONLY | O_CLOEXEC);
    if (u->fd < 0 || fstat(u->fd, &st) != 0)
        return sl_err_errno(err, "open", u->path.p);
    (void)posix_fadvise(u->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    u->size = st.st_size;
    u->mtime = st.st_mtim;
    return true;
}

void sl_resumable_close(sl_resumable *u)
{
    if (u->path.n > 0 && u->fd >= 0)
        close(u->fd);
    u->fd = -1;
}

bool sl_resumable_sum(sl_resumable *u, sl_err *err)
{
    return read_up_to(u, u->size, err);
}

bool sl_resumable_read(sl_resumable *u, char *to, sl_err *err)
{
    u->offset = 0;
    u->end = u->size;
    while (u->offset < u->size)
        if (piece_read(&u->reader, to + u->offset, (size_t)(u->size - u->offset), err) <= 0)
            return err->kind != SL_ERR_NONE ? false : sl_err_set(err, SL_ERR_DATA, "upload.short", "'%.*s' became shorter while it was read", SL_ARG(u->path));
    return true;
}

sl_val *sl_resumable_mark(const sl_resumable *u)
{
    sl_arena *a = u->g->arena;
    sl_val *doc = u->checkpoint ? sl_map_shallow(a, u->checkpoint) : sl_map(a);
    sl_map_set_int(a, doc, "size", u->size);
    sl_map_set_int(a, doc, "mtimeNs", (int64_t)u->mtime.tv_sec * 1000000000 + u->mtime.tv_nsec);
    return doc;
}

bool sl_resumable_same(const sl_resumable *u, const sl_val *saved)
{
    const sl_val *mark = sl_resumable_mark(u);
    return sl_get_int(saved, "size", -1) == u->size && sl_get_int(saved, "mtimeNs", -1) == sl_get_int(mark, "mtimeNs", 0);
}

/* ---- the session ---- */

/* Starts a session and puts its URI on disk. */
static bool start_session(sl_resumable *u, sl_err *err)
{
    sl_arena *a = u->g->arena;
    sl_val *headers = sl_map(a);
    sl_map_set_str(a, headers, "Content-Type", SL_S("application/json; charset=UTF-8"));
    sl_map_set_str(a, headers, "X-Upload-Content-Length", sl_fmt(a, "%lld", (long long)u->size));
    sl_map_set_str(a, headers, "X-Upload-Content-Type", u->content_type.n ? u->content_type : SL_S("application/octet-stream"));
    sl_http_request req = { .method = "POST", .url = u->url, .headers = headers, .body = u->metadata, .idempotent = true };
    sl_http_response r;
    sl_gcp_prepare(u->g, &req);
    if (!SL_FAULT("upload.before_session", err) || !sl_http_call(sl_task_http(u->g->task), a, &req, &r, err) || !SL_FAULT("upload.after_session", err))
        return false;
    if (r.status / 100 != 2)
        return sl_gcp_error(u->g, &r, sl_fmt(a, "starting the upload to %.*s", SL_ARG(u->target)).p, err);
    u->session = sl_http_header(&r, "location");
    if (u->session.n == 0)
        return sl_err_set(err, SL_ERR_REMOTE, "upload.session", "%s gave no session address for the upload to %.*s", u->g->service, SL_ARG(u->target));
    sl_str sealed;
    if (!sl_task_seal(u->g->task, u->session, &sealed, err))
        return false;
    sl_val *doc = sl_resumable_mark(u);
    sl_map_set_str(a, doc, "session", sealed);
    return sl_task_checkpoint(u->g->task, doc, err);
}

/* What a PUT to the session said: finished (object in *ret), the offset to go on from, or an error. */
static bool session_answer(sl_resumable *u, const sl_http_response *r, int64_t *next, const sl_val **ret, sl_err *err)
{
    if (r->status == 200 || r->status == 201) {
        *ret = sl_json_parse(u->g->arena, r->body, err);
        return *ret != NULL || sl_err_ctx(err, "reading what %s made of the upload to %.*s", u->g->service, SL_ARG(u->target));
    }
    if (r->status != 308)
        return sl_gcp_error(u->g, r, sl_fmt(u->g->arena, "uploading to %.*s", SL_ARG(u->target)).p, err);
    sl_str range = sl_http_header(r, "range");
    ptrdiff_t dash = sl_str_rfind(range, SL_S("-"));
    int64_t last = -1;
    if (range.n > 0 && (dash < 0 || !sl_parse_int(sl_str_sub(range, (size_t)dash + 1, range.n), &last) || last >= u->size))
        return sl_err_set(err, SL_ERR_REMOTE, "upload.range", "%s answered the upload to %.*s with a strange range '%.*s'", u->g->service, SL_ARG(u->target), SL_ARG(range));
    /* Sessions keep whole blocks of 256 KiB; a server that says 0-0 means that it has nothing, and sending byte 0 again harms nothing. */
    *next = last > 0 ? last + 1 : 0;
    return true;
}

static bool put(sl_resumable *u, int64_t from, int64_t to, sl_http_response *r, sl_err *err)
{
    sl_arena *a = u->g->arena;
    sl_val *headers = sl_map(a);
    sl_str range = to > from ? sl_fmt(a, "bytes %lld-%lld/%lld", (long long)from, (long long)to - 1, (long long)u->size) : sl_fmt(a, "bytes */%lld", (long long)u->size);
    sl_map_set_str(a, headers, "Content-Range", range);
    sl_http_request req = { .method = "PUT", .url = u->session, .headers = headers, .attempts_max = 1, .idle_ms = 120000, .progress = on_progress, .progress_self = u };
    sl_gcp_prepare(u->g, &req); /* the address is the credential, but servers other than Google's may want the token as well */
    if (to > from) {
        u->begin = from;
        u->end = to;
        req.open_body = open_piece;
        req.body_self = u;
        req.body_size = to - from;
    }
    return sl_http_call(sl_task_http(u->g->task), a, &req, r, err);
}

/* Is it gone (a week old, or lost by the server)? Then a new one is started; never more than twice. */
static bool session_lost(const sl_http_response *r)
{
    return r->status == 404 || r->status == 410;
}

/* Asks the session where it stands: the only thing that is trusted after a failure. */
static bool ask(sl_resumable *u, int64_t *next, const sl_val **done, bool *lost, sl_err *err)
{
    sl_http_response r = { 0 };
    if (!put(u, 0, 0, &r, err))
        return false;
    *lost = session_lost(&r);
    return *lost || session_answer(u, &r, next, done, err);
}

static bool worth_another_round(sl_resumable *u, int round, sl_err *err)
{
    if (round >= ROUNDS_MAX || !sl_err_retryable(err) || sl_task_cancelled(u->g->task))
        return false;
    sl_http_request req = { 0 };
    sl_task_prepare(u->g->task, &req);
    int64_t wait = err->retry_after_ms >= 0 ? err->retry_after_ms : sl_http_backoff_ms(round < 6 ? round : 6, 500, 32000);
    sl_task_log(u->g->task, SL_WARN, "%s; asking the session and going on in %lld ms", err->message, (long long)wait);
    return sl_http_sleep(&req, wait);
}

static bool send_pieces(sl_resumable *u, int64_t next, bool unsure, const sl_val **done, sl_err *err)
{
    int round = 0, sessions = 1;
    *done = NULL;
    while (*done == NULL) {
        bool lost = false, ok;
        sl_err_clear(err);
        if (unsure)
            ok = ask(u, &next, done, &lost, err);
        else {
            int64_t end = u->size - next > CHUNK ? next + CHUNK : u->size;
            sl_http_response r = { 0 };
            ok = read_up_to(u, next, err) && SL_FAULT("upload.before_chunk", err) && put(u, next, end, &r, err) && SL_FAULT("upload.after_chunk", err);
            lost = ok && session_lost(&r);
            int64_t before = next;
            ok = ok && (lost || session_answer(u, &r, &next, done, err));
            if (ok && next > before)
                round = 0; /* progress: patience starts anew */
        }
        if (lost) {
            if (++sessions > SESSIONS_MAX)
                return sl_err_set(err, SL_ERR_REMOTE, "upload.session", "%s has lost the upload session of %.*s %d times", u->g->service, SL_ARG(u->target), SESSIONS_MAX);
            next = 0;
            unsure = false;
            if (!start_session(u, err))
                return false;
            continue;
        }
        unsure = !ok;
        if (!ok && !worth_another_round(u, round++, err))
            return false;
    }
    return true;
}

bool sl_resumable_send(sl_resumable *u, const sl_val **ret_answer, sl_err *err)
{
    const sl_val *saved = sl_task_saved(u->g->task);
    if (sl_get(saved, "session") == NULL || !sl_resumable_same(u, saved))
        return start_session(u, err) && send_pieces(u, 0, false, ret_answer, err);
    if (!sl_task_unseal(u->g->task, sl_get_text(saved, "session"), &u->session, err))
        return false;
    sl_task_log(u->g->task, SL_INFO, "taking up the upload to %.*s where it stands", SL_ARG(u->target));
    return send_pieces(u, 0, true, ret_answer, err);
}

void sl_resumable_cancel(sl_gcp *g, const sl_val *saved)
{
    sl_err err;
    sl_str session;
    if (sl_get(saved, "session") == NULL || !sl_task_unseal(g->task, sl_get_text(saved, "session"), &session, &err))
        return;
    sl_http_request req = { .method = "DELETE", .url = session, .attempts_max = 2, .total_ms = 10000, .auth = g->auth, .pool = g->pool };
    sl_http_response r;
    (void)sl_http_call(sl_task_http(g->task), g->arena, &req, &r, &err);
}
