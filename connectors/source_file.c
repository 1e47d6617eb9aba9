/* connectors/source_file.c: a file of this machine as a source: read as it is, without threads. See source.h. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "connectors/source.h"

typedef struct file {
    sl_reader reader;
    sl_task *task;
    sl_str path, state;
    int64_t at;
    int fd;                       /* -1: not open yet */
} file;

static sl_str file_state(sl_arena *a, const struct stat *st)
{
    return sl_fmt(a, "%lld.%09ld-%lld", (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (long long)st->st_size);
}

static ptrdiff_t file_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    file *f = (file *)self;
    struct stat st;
    if (f->fd < 0 && (f->fd = open(f->path.p, O_RDONLY | O_CLOEXEC)) < 0) {
        sl_err_errno(err, "open", f->path.p);
        return -1;
    }
    ssize_t got = pread(f->fd, to, n, f->at);
    if (got < 0)
        sl_err_errno(err, "read", f->path.p);
    else if (got == 0 && (fstat(f->fd, &st) != 0 || !sl_str_eq(file_state(sl_task_arena(f->task), &st), f->state))) {
        sl_err_set(err, SL_ERR_DATA, "source.changed", "'%.*s' has changed while it was read; try again", SL_ARG(f->path));
        return -1;
    }
    f->at += got > 0 ? got : 0;
    return got;
}

static void file_close(sl_reader *self)
{
    file *f = (file *)self;
    if (f->fd >= 0)
        close(f->fd);
    free(f);
}

static sl_reader *open_file(const sl_source *s, int64_t from)
{
    file *f = sl_malloc(sizeof *f);
    *f = *(const file *)s->self;
    f->at = from;
    return &f->reader;
}

bool sl_source_file(sl_task *t, sl_str path, const char *what, sl_source *ret, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    struct stat st;
    file *f = sl_alloc(a, sizeof *f);
    *f = (file){ .reader = { file_read, file_close }, .task = t, .path = sl_str_dup(a, path), .fd = -1 };
    if (stat(f->path.p, &st) != 0)
        return sl_err_errno(err, "open", f->path.p);
    if (!S_ISREG(st.st_mode))
        return sl_err_set(err, SL_ERR_CONFIG, "source.file", "'%.*s' is not a file", SL_ARG(path));
    f->state = file_state(a, &st);
    *ret = (sl_source){ .task = t, .what = what, .service = "file", .size = st.st_size, .ranged = true, .state = f->state, .self = f, .open = open_file };
    return true;
}
