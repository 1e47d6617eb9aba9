/* base/fs.c: see fs.h. */
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fault.h"

bool sl_fs_read(sl_arena *arena, const char *path, size_t max, sl_str *ret, sl_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sl_err_errno(err, "open", path);
    struct stat st;
    bool ok = fstat(fd, &st) == 0;
    size_t size = ok && S_ISREG(st.st_mode) ? (size_t)st.st_size : 4096;
    char *p = sl_alloc(arena, (size < max ? size : max) + 1);
    size_t n = 0, capacity = (size < max ? size : max);
    while (ok) {
        if (n == capacity) {
            char extra;
            ssize_t more = read(fd, &extra, 1);
            if (more == 0)
                break;
            if (more < 0 || n >= max) {
                ok = more >= 0 && n < max;
                if (more > 0)
                    errno = EFBIG;
                break;
            }
            size_t wanted = capacity * 2 + 4096 < max ? capacity * 2 + 4096 : max;
            p = sl_realloc(arena, p, capacity + 1, wanted + 1);
            capacity = wanted;
            p[n++] = extra;
            continue;
        }
        ssize_t got = read(fd, p + n, capacity - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            ok = false;
        if (got <= 0 && (!ok || n == capacity || got == 0))
            break;
        n += (size_t)got;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    if (!ok)
        return sl_err_errno(err, "read", path);
    p[n] = '\0';
    *ret = (sl_str){ p, n };
    return true;
}

enum { PIECE = 16 << 10 };

/*
 * Large writes get large pages in the file's cache. In a virtual machine that hands free memory back to its host, those are the
 * pages that the host has to find again: 1 GB took 0.35 s in pieces of 16 KiB, and 0.3 to 1.7 s in larger ones (ext4, Linux 6.18).
 * Where each write is a message (FUSE, NFS, shared folders of a virtual machine), it stays whole.
 */
static bool in_pieces(int fd)
{
    struct statfs s;
    return fstatfs(fd, &s) == 0 && (s.f_type == EXT4_SUPER_MAGIC || s.f_type == XFS_SUPER_MAGIC || s.f_type == BTRFS_SUPER_MAGIC || s.f_type == OVERLAYFS_SUPER_MAGIC);
}

bool sl_fs_pwrite(int fd, const void *data, size_t n, int64_t offset, const char *path, sl_err *err)
{
    const char *p = data;
    const bool cut = n > PIECE && in_pieces(fd);
    while (n > 0) {
        size_t piece = cut ? PIECE - (size_t)offset % PIECE : n; /* they begin at multiples of their size */
        ssize_t put = pwrite(fd, p, n < piece ? n : piece, offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return sl_err_errno(err, "write", path);
        p += put;
        n -= (size_t)put;
        offset += put;
    }
    return true;
}

static sl_str dir_of(sl_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return SL_S(".");
    return slash == path ? SL_S("/") : sl_str_dup(arena, (sl_str){ path, (size_t)(slash - path) });
}

sl_str sl_fs_absolute(sl_arena *arena, const char *path)
{
    char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);
    sl_str ret = sl_fmt(arena, "%s%s%s", here ? here : "", here ? "/" : "", path);
    free(here);
    return ret;
}

bool sl_fs_write_atomic(const char *path, sl_str data, unsigned mode, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_str temp = sl_fmt(a, "%s.tmp.%ld", path, (long)getpid());
    int fd = open(temp.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return sl_err_errno(err, "create", temp.p);
    bool ok = sl_fs_pwrite(fd, data.p, data.n, 0, temp.p, err);
    if (ok && fsync(fd) != 0)
        ok = sl_err_errno(err, "sync", temp.p);
    close(fd);
    if (ok && rename(temp.p, path) != 0)
        ok = sl_err_errno(err, "rename to", path);
    if (!ok) {
        (void)unlink(temp.p);
        return false;
    }
    return sl_fs_sync_dir(dir_of(a, path).p, err);
}

bool sl_fs_sync_dir(const char *path, sl_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return sl_err_errno(err, "open the folder", path);
    bool ok = fsync(fd) == 0 || errno == EINVAL;
    if (!ok)
        sl_err_errno(err, "sync the folder", path);
    close(fd);
    return ok;
}

bool sl_fs_mkdirs(const char *path, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    char *p = (char *)(uintptr_t)sl_cstr(a, sl_str_c(path));
    for (char *s = p + 1;; s++) {
        if (*s != '/' && *s != '\0')
            continue;
        char end = *s;
        *s = '\0';
        if (mkdir(p, 0700) != 0 && errno != EEXIST)
            return sl_err_errno(err, "create the folder", p);
        *s = end;
        if (end == '\0')
            break;
    }
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return sl_err_errno(err, "use as a folder", path);
    }
    return true;
}

static bool remove_at(int parent, const char *name, int depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return true;
    if ((errno != EISDIR && errno != EPERM) || depth > 200)
        return false;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    (void)fchmod(fd, 0700);
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        close(fd);
        return false;
    }
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            ok = remove_at(dirfd(dir), e->d_name, depth + 1);
    closedir(dir);
    return ok && (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT);
}

bool sl_fs_remove(const char *path, sl_err *err)
{
    return remove_at(AT_FDCWD, path, 0) || sl_err_errno(err, "remove", path);
}

bool sl_fs_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool sl_fs_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool sl_fs_size(const char *path, int64_t *ret, sl_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return sl_err_errno(err, "look at", path);
    *ret = st.st_size;
    return true;
}

int sl_fs_lock(const char *path, int64_t wait_ms, sl_err *err)
{
    enum { STEP_MS = 10 };
    struct flock owner = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        sl_err_errno(err, "open the lock file", path);
        return -1;
    }
    if (fcntl(fd, F_SETLK, &owner) != 0) {
        if (errno == EAGAIN || errno == EACCES)
            sl_err_set(err, SL_ERR_CONFLICT, "fs.locked", "'%s' is held by another sluice process; stop it or use another --data-dir", path);
        else
            sl_err_errno(err, "lock", path);
        close(fd);
        return -1;
    }
    for (int64_t waited = 0;; waited += STEP_MS) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return fd;
        if (errno != EWOULDBLOCK || waited >= wait_ms)
            break;
        sl_sleep_ms(STEP_MS);
    }
    if (errno == EWOULDBLOCK)
        sl_err_set(err, SL_ERR_CONFLICT, "fs.locked", "'%s' is held by children of a sluice process that is gone; they have not ended within %lld s", path, (long long)(wait_ms / 1000));
    else
        sl_err_errno(err, "lock", path);
    close(fd);
    return -1;
}

bool sl_path_is_safe(sl_str relative)
{
    if (relative.n == 0 || relative.n > 4096 || relative.p[0] == '/' || memchr(relative.p, 0, relative.n) != NULL)
        return false;
    sl_str part;
    while (sl_str_cut(&relative, '/', &part))
        if (part.n == 0 || sl_str_eqc(part, ".") || sl_str_eqc(part, ".."))
            return false;
    return true;
}

sl_str sl_path_base(sl_str path)
{
    ptrdiff_t slash = sl_str_rfind(path, SL_S("/"));
    return sl_str_sub(path, (size_t)(slash + 1), path.n);
}

sl_str sl_path_extension(sl_str path)
{
    sl_str base = sl_path_base(path);
    ptrdiff_t dot = sl_str_rfind(base, SL_S("."));
    return dot < 0 ? SL_S("") : sl_str_sub(base, (size_t)dot, base.n);
}

typedef struct walk {
    sl_arena *arena;
    sl_str *names;
    int64_t *sizes;
    size_t n, capacity, max;
    const char *root;
} walk;

static bool walk_dir(walk *w, int fd, sl_str prefix, int depth, sl_err *err)
{
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        close(fd);
        return sl_err_errno(err, "list the folder", w->root);
    }
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(dir)) != NULL;) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0
            || fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        sl_str name = prefix.n ? sl_fmt(w->arena, "%.*s/%s", SL_ARG(prefix), e->d_name) : sl_fmt(w->arena, "%s", e->d_name);
        if (S_ISDIR(st.st_mode) && depth < 100) {
            int child = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            ok = child >= 0 ? walk_dir(w, child, name, depth + 1, err) : sl_err_errno(err, "open the folder", name.p);
        } else if (S_ISREG(st.st_mode)) {
            if (w->n == w->max) {
                ok = sl_err_set(err, SL_ERR_LIMIT, "fs.walk", "there are more than %zu files below '%s'", w->max, w->root);
                break;
            }
            if (w->n == w->capacity) {
                size_t old = w->capacity, wanted = old ? old * 2 : 64;
                w->names = sl_realloc(w->arena, w->names, old * sizeof *w->names, wanted * sizeof *w->names);
                w->sizes = sl_realloc(w->arena, w->sizes, old * sizeof *w->sizes, wanted * sizeof *w->sizes);
                w->capacity = wanted;
            }
            w->names[w->n] = name;
            w->sizes[w->n++] = st.st_size;
        }
    }
    closedir(dir);
    return ok;
}

static int by_name(const void *a, const void *b, void *names)
{
    const sl_str *n = names;
    return sl_str_cmp(n[*(const size_t *)a], n[*(const size_t *)b]);
}

bool sl_fs_walk(const char *root, size_t max_files, sl_fs_visit visit, void *self, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    walk w = { .arena = a, .max = max_files, .root = root };
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return sl_err_errno(err, "open the folder", root);
    if (!walk_dir(&w, fd, SL_S(""), 0, err))
        return false;
    size_t *order = SL_ARRAY(a, size_t, w.n + 1);
    for (size_t i = 0; i < w.n; i++)
        order[i] = i;
    qsort_r(order, w.n, sizeof *order, by_name, w.names);
    for (size_t i = 0; i < w.n; i++)
        if (!visit(self, w.names[order[i]], w.sizes[order[i]], err))
            return false;
    return true;
}

/* ---- globs ---- */

static bool match_class(sl_str pattern, size_t *at, char c)
{
    size_t i = *at + 1;
    bool negate = i < pattern.n && (pattern.p[i] == '!' || pattern.p[i] == '^'), hit = false;
    i += negate;
    for (bool first = true; i < pattern.n && (first || pattern.p[i] != ']'); first = false) {
        char low = pattern.p[i++], high = low;
        if (i + 1 < pattern.n && pattern.p[i] == '-' && pattern.p[i + 1] != ']') {
            high = pattern.p[i + 1];
            i += 2;
        }
        hit |= c >= low && c <= high;
    }
    *at = i;
    return i < pattern.n && c != '/' && hit != negate;
}

static bool match(sl_str pattern, sl_str path, int *budget);

static bool match_braces(sl_str pattern, size_t at, sl_str path, int *budget)
{
    size_t close = at, depth = 0;
    for (; close < pattern.n; close++) {
        depth += pattern.p[close] == '{';
        depth -= pattern.p[close] == '}';
        if (depth == 0)
            break;
    }
    if (close >= pattern.n)
        return false;
    SL_ARENA a = sl_arena_new();
    sl_str options = sl_str_sub(pattern, at + 1, close), option, rest = sl_str_sub(pattern, close + 1, pattern.n);
    while (sl_str_cut(&options, ',', &option))
        if (match(sl_fmt(a, "%.*s%.*s", SL_ARG(option), SL_ARG(rest)), path, budget))
            return true;
    return false;
}

static bool match(sl_str pattern, sl_str path, int *budget)
{
    size_t p = 0, s = 0;
    while (p < pattern.n) {
        if (--*budget <= 0)
            return false;
        char c = pattern.p[p];
        if (c == '*') {
            bool deep = p + 1 < pattern.n && pattern.p[p + 1] == '*';
            sl_str rest = sl_str_sub(pattern, p + (deep ? 2 : 1), pattern.n);
            if (deep && rest.n > 0 && rest.p[0] == '/' && match(sl_str_sub(rest, 1, rest.n), sl_str_sub(path, s, path.n), budget))
                return true;
            for (size_t i = s; i <= path.n; i++) {
                if (match(rest, sl_str_sub(path, i, path.n), budget))
                    return true;
                if (i < path.n && path.p[i] == '/' && !deep)
                    return false;
            }
            return false;
        }
        if (c == '{')
            return match_braces(pattern, p, sl_str_sub(path, s, path.n), budget);
        if (s >= path.n)
            return false;
        if (c == '[') {
            if (!match_class(pattern, &p, path.p[s]))
                return false;
        } else if (c == '?') {
            if (path.p[s] == '/')
                return false;
        } else {
            if (c == '\\' && p + 1 < pattern.n)
                c = pattern.p[++p];
            if (c != path.p[s])
                return false;
        }
        p++;
        s++;
    }
    return s == path.n;
}

bool sl_glob_match(sl_str pattern, sl_str path)
{
    if (sl_str_starts(pattern, SL_S("glob:")))
        pattern = sl_str_sub(pattern, 5, pattern.n);
    int budget = 100000;
    return match(pattern, path, &budget);
}
