/* base/summed.c: see summed.h. */
#include "base/summed.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/checksum.h"

/* ---- what need not be read again ---- */

typedef struct identity {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec written;
} identity;

enum { KNOWN = 1024 };             /* one that falls out is read again, no more */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static identity known[KNOWN];

static identity *slot(const struct stat *st)
{
    return &known[(st->st_ino ^ st->st_dev) % KNOWN];
}

static bool is_known(const struct stat *st)
{
    pthread_mutex_lock(&lock);
    const identity *i = slot(st);
    bool is = i->inode == st->st_ino && i->device == st->st_dev && i->size == st->st_size && i->written.tv_sec == st->st_mtim.tv_sec && i->written.tv_nsec == st->st_mtim.tv_nsec;
    pthread_mutex_unlock(&lock);
    return is;
}

static void know(const struct stat *st)
{
    pthread_mutex_lock(&lock);
    *slot(st) = (identity){ st->st_dev, st->st_ino, st->st_size, st->st_mtim };
    pthread_mutex_unlock(&lock);
}

void sl_summed_know(int fd)
{
    struct stat st;
    if (fstat(fd, &st) == 0)
        know(&st);
}

/* ---- the attribute ---- */

bool sl_summed_set(int fd, const char *path, int64_t size, uint32_t crc, sl_err *err)
{
    char text[40];
    int n = snprintf(text, sizeof text, "%lld %08x", (long long)size, crc);
    if (fsetxattr(fd, SL_SUMMED_ATTRIBUTE, text, (size_t)n, 0) == 0 || errno == ENOTSUP || errno == EPERM)
        return true;
    return sl_err_errno(err, "keep the checksum of", path);
}

typedef struct sum {
    int64_t size;
    uint32_t crc;
} sum;

static bool get(int fd, sum *ret)
{
    char text[40], *end;
    ssize_t n = fgetxattr(fd, SL_SUMMED_ATTRIBUTE, text, sizeof text - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    ret->size = strtoll(text, &end, 10);
    ret->crc = (uint32_t)strtoul(end, NULL, 16);
    return true;
}

static bool crc_of(int fd, const char *path, int64_t size, bool (*stop)(void *), void *stop_arg, uint32_t *ret, sl_err *err)
{
    sl_checksum c = sl_checksum_new(NULL, SL_SUM_CRC32C);
    bool ok = sl_checksum_file(fd, path, 0, size, &c, 1, stop, stop_arg, err);
    *ret = (uint32_t)c.crc;
    return ok;
}

bool sl_summed_add(const char *path, bool (*stop)(void *), void *stop_arg, sl_err *err)
{
    struct stat st;
    uint32_t crc;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return sl_err_errno(err, "open", path);
    bool ok = fstat(fd, &st) == 0 || sl_err_errno(err, "look at", path);
    ok = ok && crc_of(fd, path, st.st_size, stop, stop_arg, &crc, err) && sl_summed_set(fd, path, st.st_size, crc, err);
    if (ok)
        know(&st);
    close(fd);
    return ok;
}

static bool compare(int fd, const char *what, const struct stat *st, const sum *s, bool (*stop)(void *), void *stop_arg, sl_err *err)
{
    uint32_t crc = s->crc;
    if (st->st_size != s->size)
        return sl_err_set(err, SL_ERR_IO, "file.damaged", "'%s' has %lld bytes, but %lld were written: it was damaged; run again what made it", what, (long long)st->st_size, (long long)s->size);
    if (!crc_of(fd, what, s->size, stop, stop_arg, &crc, err))
        return false;
    if (crc != s->crc)
        return sl_err_set(err, SL_ERR_IO, "file.damaged", "'%s' is not what was written (CRC32C %08x, not %08x): it was damaged; run again what made it", what, crc, s->crc);
    return true;
}

static bool check(const char *path, const char *what, bool anew, bool (*stop)(void *), void *stop_arg, bool *ret_carries, sl_err *err)
{
    struct stat st;
    sum s;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sl_err_errno(err, "open", path);
    bool ok = fstat(fd, &st) == 0 || sl_err_errno(err, "look at", path);
    *ret_carries = false;
    if (ok && (anew || !is_known(&st)) && get(fd, &s)) {
        *ret_carries = true;
        if ((ok = compare(fd, what, &st, &s, stop, stop_arg, err)))
            know(&st);
    }
    close(fd);
    return ok;
}

bool sl_summed_check(const char *path, const char *what, bool (*stop)(void *), void *stop_arg, sl_err *err)
{
    bool carries;
    return check(path, what, false, stop, stop_arg, &carries, err);
}

bool sl_summed_check_anew(const char *path, const char *what, bool *ret_carries, sl_err *err)
{
    return check(path, what, true, NULL, NULL, ret_carries, err);
}
