/* base/made_file.c: files that are written: in order (io.h, summed.h), or piece by piece (made_file.h). */
#include "base/made_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/joined.h"
#include "base/summed.h"

enum { SEND = 8 << 20 };

struct sl_made_file {
    sl_writer writer;             /* in order */
    int fd;
    pthread_mutex_t lock;         /* around each write: the kernel lets only one in, and those that wait there spin */
    int64_t written;
    bool finished, summed;
    uint32_t crc;                 /* in order, where it is summed */
    sl_joined *pieces;            /* NULL: in order */
    char *path, *temp;
};

static void unmake(sl_made_file *f)
{
    if (f->fd >= 0 && !f->finished)
        (void)unlink(f->temp);
    if (f->fd >= 0)
        close(f->fd);
    pthread_mutex_destroy(&f->lock);
    sl_joined_free(f->pieces);
    free(f->path);
    free(f->temp);
    free(f);
}

static sl_made_file *make(const char *path, sl_err *err)
{
    size_t n = strlen(path) + 1;
    sl_made_file *f = sl_malloc(sizeof *f);
    *f = (sl_made_file){ .path = memcpy(sl_malloc(n), path, n), .temp = sl_malloc(n + 5) };
    pthread_mutex_init(&f->lock, NULL);
    (void)snprintf(f->temp, n + 5, "%s.part", path);
    f->fd = open(f->temp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (f->fd >= 0)
        return f;
    sl_err_errno(err, "create", f->temp);
    unmake(f);
    return NULL;
}

static bool put(sl_made_file *f, int64_t at, const void *from, size_t n, sl_err *err)
{
    pthread_mutex_lock(&f->lock);
    bool ok = sl_fs_pwrite(f->fd, from, n, at, f->path, err);
    int64_t before = f->written, after = before + (int64_t)n;
    f->written = ok ? after : before;
    pthread_mutex_unlock(&f->lock);
    /* The disk begins while there is more to come: the fsync at the end finds little left. A hint; its failure means nothing. */
    if (ok && before / SEND != after / SEND)
        (void)sync_file_range(f->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    return ok;
}

static bool commit(sl_made_file *f, uint32_t crc, sl_err *err)
{
    if (f->summed && !sl_summed_set(f->fd, f->path, f->written, crc, err))
        return false;
    if (fsync(f->fd) != 0)
        return sl_err_errno(err, "sync", f->path);
    if (rename(f->temp, f->path) != 0)
        return sl_err_errno(err, "rename to", f->path);
    f->finished = true;
    if (f->summed)
        sl_summed_know(f->fd);
    return true;
}

/* ---- in order ---- */

static bool file_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    sl_made_file *f = (sl_made_file *)self;
    if (!put(f, f->written, from, n, err))
        return false;
    if (f->summed)
        f->crc = sl_crc32c(f->crc, from, n);
    return true;
}

static bool file_finish(sl_writer *self, sl_err *err)
{
    sl_made_file *f = (sl_made_file *)self;
    return commit(f, f->crc, err);
}

static void file_close(sl_writer *self)
{
    unmake((sl_made_file *)self);
}

static sl_writer *in_order(const char *path, bool summed, sl_err *err)
{
    sl_made_file *f = make(path, err);
    if (f == NULL)
        return NULL;
    f->writer = (sl_writer){ file_write, file_finish, file_close };
    f->summed = summed;
    return &f->writer;
}

sl_writer *sl_writer_file(const char *path, sl_err *err)
{
    return in_order(path, false, err);
}

sl_writer *sl_writer_summed(const char *path, sl_err *err)
{
    return in_order(path, true, err);
}

/* ---- piece by piece ---- */

sl_made_file *sl_made_file_new(const char *path, sl_err *err)
{
    sl_made_file *f = make(path, err);
    if (f == NULL)
        return NULL;
    f->summed = true;
    f->pieces = sl_joined_new(SL_SUM_CRC32C);
    return f;
}

bool sl_made_file_write(sl_made_file *f, int64_t at, const void *from, size_t n, sl_err *err)
{
    uint32_t crc = sl_crc32c(0, from, n); /* first: what is read here, the kernel finds in the cache */
    if (!put(f, at, from, n, err))
        return false;
    sl_joined_add(f->pieces, at, (int64_t)n, crc);
    return true;
}

int64_t sl_made_file_begun(sl_made_file *f, uint32_t *ret_crc)
{
    uint64_t crc;
    int64_t n = sl_joined_begun(f->pieces, &crc);
    if (ret_crc != NULL)
        *ret_crc = (uint32_t)crc;
    return n;
}

bool sl_made_file_read(sl_made_file *f, int64_t at, void *to, size_t n, sl_err *err)
{
    for (char *p = to; n > 0;) {
        ssize_t got = pread(f->fd, p, n, at);
        if (got == 0 || (got < 0 && errno != EINTR))
            return got == 0 ? sl_err_set(err, SL_ERR_IO, "file.short", "'%s' ends at byte %lld, which was written", f->temp, (long long)at) : sl_err_errno(err, "read", f->temp);
        got = got < 0 ? 0 : got;
        p += got;
        n -= (size_t)got;
        at += got;
    }
    return true;
}

bool sl_made_file_finish(sl_made_file *f, sl_err *err)
{
    uint32_t crc;
    int64_t begun = sl_made_file_begun(f, &crc);
    if (begun != f->written)
        return sl_err_set(err, SL_ERR_IO, "file.gap", "'%s' has a gap at byte %lld", f->path, (long long)begun);
    return commit(f, crc, err);
}

void sl_made_file_close(sl_made_file **f)
{
    if (*f != NULL)
        unmake(*f);
    *f = NULL;
}
