/* base/io.c: reading files, memory, copying, lines. Files are written by made_file.c; filters are gunzip*.c and gzip.c, checksums digest.c. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/limits.h"

void sl_reader_close(sl_reader **r)
{
    if (*r != NULL)
        (*r)->close(*r);
    *r = NULL;
}

void sl_writer_close(sl_writer **w)
{
    if (*w != NULL)
        (*w)->close(*w);
    *w = NULL;
}

bool sl_writer_no_finish(sl_writer *self, sl_err *err)
{
    (void)self;
    (void)err;
    return true;
}

void sl_writer_no_close(sl_writer *self)
{
    (void)self;
}

void sl_reader_no_close(sl_reader *self)
{
    (void)self;
}

typedef struct file_reader {
    sl_reader reader;
    int fd;
    char path[];
} file_reader;

static ptrdiff_t file_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    file_reader *f = (file_reader *)self;
    for (;;) {
        ssize_t got = read(f->fd, to, n);
        if (got >= 0)
            return got;
        if (errno != EINTR) {
            sl_err_errno(err, "read", f->path);
            return -1;
        }
    }
}

static void file_close(sl_reader *self)
{
    close(((file_reader *)self)->fd);
    free(self);
}

sl_reader *sl_reader_file(const char *path, sl_err *err)
{
    size_t n = strlen(path) + 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        sl_err_errno(err, "open", path);
        return NULL;
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    file_reader *f = sl_malloc(sizeof *f + n);
    f->reader = (sl_reader){ file_read, file_close };
    f->fd = fd;
    memcpy(f->path, path, n);
    return &f->reader;
}

typedef struct memory_reader {
    sl_reader reader;
    sl_str rest;
} memory_reader;

static ptrdiff_t memory_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    (void)err;
    memory_reader *m = (memory_reader *)self;
    if (n > m->rest.n)
        n = m->rest.n;
    if (n > 0)
        memcpy(to, m->rest.p, n);
    m->rest = sl_str_sub(m->rest, n, m->rest.n);
    return (ptrdiff_t)n;
}

static void memory_close(sl_reader *self)
{
    free(self);
}

sl_reader *sl_reader_memory(sl_str data)
{
    memory_reader *m = sl_malloc(sizeof *m);
    *m = (memory_reader){ { memory_read, memory_close }, data };
    return &m->reader;
}

typedef struct memory_writer {
    sl_writer writer;
    sl_buf *to;
} memory_writer;

static bool memory_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    sl_buf *to = ((memory_writer *)self)->to;
    sl_buf_add(to, (sl_str){ from, n });
    return !to->overflow || sl_err_set(err, SL_ERR_LIMIT, "io.memory", "there are more than %zu bytes, too many to hold in memory", to->max);
}

static void memory_writer_close(sl_writer *self)
{
    free(self);
}

sl_writer *sl_writer_memory(sl_buf *to)
{
    memory_writer *m = sl_malloc(sizeof *m);
    *m = (memory_writer){ { memory_write, sl_writer_no_finish, memory_writer_close }, to };
    return &m->writer;
}

bool sl_io_copy(sl_reader *from, sl_writer *to, bool (*stop)(void *), void *stop_arg, int64_t *ret_bytes, sl_err *err)
{
    char *block = sl_malloc(SL_IO_BLOCK);
    int64_t total = 0;
    bool ok = true;
    for (;;) {
        if (stop != NULL && stop(stop_arg)) {
            ok = sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped after %lld bytes", (long long)total);
            break;
        }
        ptrdiff_t n = from->read(from, block, SL_IO_BLOCK, err);
        if (n <= 0) {
            ok = n == 0;
            break;
        }
        if (!to->write(to, block, (size_t)n, err)) {
            ok = false;
            break;
        }
        total += n;
    }
    free(block);
    if (ok && ret_bytes != NULL)
        *ret_bytes = total;
    return ok;
}

bool sl_io_read_all(sl_arena *arena, sl_reader *r, size_t max, sl_str *ret, sl_err *err)
{
    sl_buf b = sl_buf_new(arena, max);
    char block[16384];
    for (;;) {
        ptrdiff_t n = r->read(r, block, sizeof block, err);
        if (n < 0)
            return false;
        if (n == 0)
            break;
        sl_buf_add(&b, (sl_str){ block, (size_t)n });
        if (b.overflow)
            return sl_err_set(err, SL_ERR_LIMIT, "io.size", "the content is larger than the limit of %zu bytes", max);
    }
    *ret = sl_buf_str(&b);
    return true;
}

enum { LINES_BLOCK = 128 << 10 };

struct sl_lines {
    sl_reader *r;
    char *block;
    size_t from, to, size, max;   /* the block grows up to max with the lines that need it */
    bool ended;
};

static void free_lines(void *self)
{
    free(((sl_lines *)self)->block);
}

sl_lines *sl_lines_new(sl_arena *arena, sl_reader *r, size_t line_max)
{
    sl_lines *l = SL_NEW(arena, sl_lines);
    l->r = r;
    l->max = line_max < LINES_BLOCK ? LINES_BLOCK : line_max;
    l->size = LINES_BLOCK;
    l->block = sl_malloc(l->size);
    sl_arena_on_free(arena, free_lines, l);
    return l;
}

int sl_lines_next(sl_lines *l, sl_str *line, sl_err *err)
{
    size_t searched = 0;
    for (;;) {
        char *hit = l->to > l->from + searched ? memchr(l->block + l->from + searched, '\n', l->to - l->from - searched) : NULL;
        if (hit != NULL || l->ended) {
            size_t n = hit ? (size_t)(hit - l->block) - l->from : l->to - l->from;
            if (hit == NULL && n == 0)
                return 0;
            *line = (sl_str){ l->block + l->from, n };
            l->from += n + (hit != NULL);
            if (n > 0 && line->p[n - 1] == '\r')
                line->n--;
            return 1;
        }
        searched = l->to - l->from;
        if (l->from > 0) {
            memmove(l->block, l->block + l->from, searched);
            l->from = 0;
            l->to = searched;
        }
        if (l->to == l->max) {
            sl_err_set(err, SL_ERR_LIMIT, "io.line", "a line is longer than %zu bytes", l->max);
            return -1;
        }
        if (l->to == l->size) {
            size_t wanted = 2 * l->size < l->max ? 2 * l->size : l->max;
            char *larger = sl_malloc(wanted);
            memcpy(larger, l->block, l->to);
            free(l->block);
            l->block = larger;
            l->size = wanted;
        }
        ptrdiff_t n = l->r->read(l->r, l->block + l->to, l->size - l->to, err);
        if (n < 0)
            return -1;
        l->ended = n == 0;
        l->to += (size_t)n;
    }
}
