/* connectors/gcp/resumable.c: see resumable.h. */
#include "connectors/gcp/resumable.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/limits.h"

enum { CHUNK = 64 << 20, SESSIONS_MAX = 3 };

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
        ok = piece_read(&u->reader, block, SL_IO_BLOCK, err) > 0 && !sl_task_cancelled(u->session.g->task);
    free(block);
    return ok || err->kind != SL_ERR_NONE || sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped");
}

static void on_progress(void *self, int64_t sent, int64_t received)
{
    sl_resumable *u = self;
    (void)sent;
    (void)received;
    sl_task_progress(u->session.g->task, u->offset, u->size);
}

bool sl_resumable_open(sl_resumable *u, sl_str from, sl_err *err)
{
    struct stat st;
    u->fd = -1;
    u->reader = (sl_reader){ piece_read, sl_reader_no_close };
    if (!sl_task_local_file(u->session.g->task, from, &u->path, err))
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
    sl_arena *a = u->session.g->arena;
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
    sl_str sealed;
    if (!sl_session_start(&u->session, u->size, err) || !sl_session_seal(&u->session, &sealed, err))
        return false;
    sl_val *doc = sl_resumable_mark(u);
    sl_map_set_str(u->session.g->arena, doc, "session", sealed);
    return sl_task_checkpoint(u->session.g->task, doc, err);
}

/* One request: the next piece, or where it stands (the only thing that is trusted after a failure). */
static bool step(sl_resumable *u, int64_t next, bool unsure, sl_session_state *ret, sl_err *err)
{
    int64_t end = u->size - next > CHUNK ? next + CHUNK : u->size;
    sl_session_put put = { .from = next, .to = unsure ? next : end, .total = u->size, .open_body = open_piece, .body_self = u, .progress = on_progress };
    if (!unsure && !read_up_to(u, next, err))
        return false;
    u->begin = next;
    u->end = end;
    return sl_session_send(&u->session, u->session.g->arena, &put, ret, err);
}

static bool send_pieces(sl_resumable *u, bool unsure, const sl_val **done, sl_err *err)
{
    int round = 0, sessions = 1;
    int64_t next = 0;
    for (;;) {
        sl_session_state now;
        sl_err_clear(err);
        bool ok = step(u, next, unsure, &now, err);
        if (ok && now.done != NULL) {
            *done = now.done;
            return true;
        }
        if (ok && now.lost) {
            if (++sessions > SESSIONS_MAX)
                return sl_err_set(err, SL_ERR_REMOTE, "upload.session", "%s has lost the upload session of %.*s %d times", u->session.g->service, SL_ARG(u->session.target), SESSIONS_MAX);
            if (!start_session(u, err))
                return false;
            next = 0;
            unsure = false;
            continue;
        }
        if (ok && now.next > next && !unsure)
            round = 0; /* progress: patience starts anew */
        if (ok)
            next = now.next;
        unsure = !ok;
        if (!ok && !sl_session_retry(&u->session, round++, err))
            return false;
    }
}

bool sl_resumable_send(sl_resumable *u, const sl_val **ret_answer, sl_err *err)
{
    const sl_val *saved = sl_task_saved(u->session.g->task);
    if (sl_get(saved, "session") == NULL || !sl_resumable_same(u, saved))
        return start_session(u, err) && send_pieces(u, false, ret_answer, err);
    return sl_session_take_up(&u->session, sl_get_text(saved, "session"), err) && send_pieces(u, true, ret_answer, err);
}
