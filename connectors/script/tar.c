/* connectors/script/tar.c: see tar.h. */
#include "connectors/script/tar.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"

enum { BLOCK = 512, NAME_AT = 0, MODE_AT = 100, SIZE_AT = 124, SUM_AT = 148, TYPE_AT = 156, MAGIC_AT = 257, PREFIX_AT = 345, NAME_MAX_ = 100, EXTRA_MAX = 64 << 10 };
#define OCTAL_MAX 077777777777LL

static int64_t padded(int64_t n)
{
    return (n + BLOCK - 1) / BLOCK * BLOCK;
}

static unsigned checksum(const unsigned char *h)
{
    unsigned sum = 0;
    for (size_t i = 0; i < BLOCK; i++)
        sum += i >= SUM_AT && i < SUM_AT + 8 ? ' ' : h[i];
    return sum;
}

/* ---- writing ---- */

typedef struct member {
    struct member *next;
    sl_str name, path;            /* path .n == 0: a folder */
    unsigned mode;
    int64_t size, modified;       /* seconds since 1970 */
} member;

typedef struct tar_reader {
    sl_reader base;
    sl_arena *arena;
    sl_str root, prefix;
    member *members, **last, *now;
    sl_str head;                  /* what is given before the content */
    sl_reader *file;
    int64_t left, pad, now_s;
} tar_reader;

static void header(char *h, sl_str name, unsigned mode, int64_t size, int64_t modified, char type)
{
    memset(h, 0, BLOCK);
    memcpy(h + NAME_AT, name.p, name.n < NAME_MAX_ ? name.n : NAME_MAX_);
    (void)snprintf(h + MODE_AT, 8, "%07o", mode & 07777);
    (void)snprintf(h + MODE_AT + 8, 8, "%07o", 0);
    (void)snprintf(h + MODE_AT + 16, 8, "%07o", 0);
    (void)snprintf(h + SIZE_AT, 12, "%011llo", (long long)(size <= OCTAL_MAX ? size : 0));
    (void)snprintf(h + SIZE_AT + 12, 12, "%011llo", (long long)(modified >= 0 && modified <= OCTAL_MAX ? modified : 0));
    h[TYPE_AT] = type;
    memcpy(h + MAGIC_AT, "ustar\00000", 8);
    (void)snprintf(h + SUM_AT, 7, "%06o", checksum((unsigned char *)h) & 0777777);
    h[SUM_AT + 7] = ' ';
}

/* "LENGTH key=value\n", the length its own digits included. */
static void pax_record(sl_arena *a, sl_buf *b, const char *key, sl_str value)
{
    size_t rest = strlen(key) + value.n + 3, n = rest + 1;
    while (sl_fmt(a, "%zu", n).n + rest != n)
        n++;
    sl_buf_fmt(b, "%zu %s=%.*s\n", n, key, SL_ARG(value));
}

static sl_str member_head(sl_arena *a, const member *m)
{
    sl_buf records = sl_buf_new(a, EXTRA_MAX), out = sl_buf_new(a, EXTRA_MAX + 4 * BLOCK);
    char h[BLOCK];
    if (m->name.n > NAME_MAX_)
        pax_record(a, &records, "path", m->name);
    if (m->size > OCTAL_MAX)
        pax_record(a, &records, "size", sl_fmt(a, "%lld", (long long)m->size));
    if (records.n > 0) {
        header(h, SL_S("pax"), 0644, (int64_t)records.n, m->modified, 'x');
        sl_buf_add(&out, (sl_str){ h, BLOCK });
        sl_buf_add(&out, sl_buf_str(&records));
        while (out.n % BLOCK != 0)
            sl_buf_char(&out, '\0');
    }
    header(h, m->name, m->mode, m->size, m->modified, m->path.n > 0 ? '0' : '5');
    sl_buf_add(&out, (sl_str){ h, BLOCK });
    return sl_buf_str(&out);
}

static void add(tar_reader *r, sl_str name, sl_str path, unsigned mode, int64_t size, int64_t modified)
{
    member *m = SL_NEW(r->arena, member);
    *m = (member){ .name = name, .path = path, .mode = mode, .size = size, .modified = modified };
    *r->last = m;
    r->last = &m->next;
}

/* Folders come before what is in them: those of a name that are not those of the name before. */
static void add_folders(tar_reader *r, sl_str relative, sl_str *before)
{
    for (size_t i = 0; i < relative.n; i++) {
        sl_str folder = sl_str_sub(relative, 0, i + 1);
        if (relative.p[i] == '/' && !sl_str_starts(*before, folder))
            add(r, sl_fmt(r->arena, "%.*s/%.*s", SL_ARG(r->prefix), SL_ARG(folder)), SL_S(""), 0777, 0, r->now_s);
    }
    *before = relative;
}

typedef struct walk {
    tar_reader *r;
    sl_str before;
} walk;

static bool visit(void *self, sl_str relative, int64_t size, sl_err *err)
{
    walk *w = self;
    tar_reader *r = w->r;
    struct stat st;
    sl_str own = sl_str_dup(r->arena, relative), path = sl_fmt(r->arena, "%.*s/%.*s", SL_ARG(r->root), SL_ARG(own));
    if (stat(path.p, &st) != 0)
        return sl_err_errno(err, "look at", path.p);
    add_folders(r, own, &w->before);
    add(r, sl_fmt(r->arena, "%.*s/%.*s", SL_ARG(r->prefix), SL_ARG(own)), path, (st.st_mode & 0777) | 0644, size, st.st_mtime);
    return true;
}

/* The next piece that is at hand; false: an error. */
static bool advance(tar_reader *r, sl_err *err)
{
    sl_reader_close(&r->file);
    if (r->now == NULL)
        return true;
    r->now = r->now->next;
    if (r->now == NULL) {
        char *zeros = SL_ARRAY(r->arena, char, 2 * BLOCK);
        r->head = (sl_str){ zeros, 2 * BLOCK };
        return true;
    }
    r->head = member_head(r->arena, r->now);
    r->left = r->now->size;
    r->pad = padded(r->left) - r->left;
    return r->now->path.n == 0 || (r->file = sl_reader_file(r->now->path.p, err)) != NULL;
}

static ptrdiff_t tar_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    tar_reader *r = (tar_reader *)self;
    if (r->head.n == 0 && r->left == 0 && r->pad == 0 && !advance(r, err))
        return -1;
    if (r->head.n > 0) {
        size_t part = n < r->head.n ? n : r->head.n;
        memcpy(to, r->head.p, part);
        r->head = sl_str_sub(r->head, part, r->head.n);
        return (ptrdiff_t)part;
    }
    if (r->left > 0) {
        ptrdiff_t got = r->file->read(r->file, to, (int64_t)n < r->left ? n : (size_t)r->left, err);
        if (got == 0)
            sl_err_set(err, SL_ERR_DATA, "tar.changed", "the file '%.*s' became shorter while it was read", SL_ARG(r->now->path));
        r->left -= got > 0 ? got : 0;
        return got > 0 ? got : -1;
    }
    size_t part = (int64_t)n < r->pad ? n : (size_t)r->pad;
    memset(to, 0, part);
    r->pad -= (int64_t)part;
    return (ptrdiff_t)part;
}

static void tar_close(sl_reader *self)
{
    tar_reader *r = (tar_reader *)self;
    sl_reader_close(&r->file);
}

sl_reader *sl_tar_reader(sl_arena *arena, sl_str root, sl_str prefix, size_t max_files, int64_t *ret_size, sl_err *err)
{
    tar_reader *r = SL_NEW(arena, tar_reader);
    walk w = { .r = r, .before = SL_S("") };
    *r = (tar_reader){ .base = { tar_read, tar_close }, .arena = arena, .root = root, .prefix = prefix, .last = &r->members, .now_s = sl_now_ms() / 1000 };
    add(r, sl_fmt(arena, "%.*s/", SL_ARG(prefix)), SL_S(""), 0777, 0, r->now_s);
    if (!sl_fs_walk(sl_cstr(arena, root), max_files, visit, &w, err))
        return NULL;
    *ret_size = 2 * BLOCK;
    for (const member *m = r->members; m != NULL; m = m->next)
        *ret_size += (int64_t)member_head(arena, m).n + padded(m->size);
    r->now = SL_NEW(arena, member); /* stands before the first */
    *r->now = (member){ .next = r->members };
    return &r->base;
}

/* ---- reading ---- */

typedef struct tar_writer {
    sl_writer base;
    sl_arena *arena;
    sl_str root, skip;
    size_t files, max_files;
    char block[BLOCK];
    size_t have;                  /* bytes of the block */
    sl_writer *file;
    sl_str path;                  /* of the file */
    unsigned mode;
    int64_t left, pad;            /* of the member's content */
    sl_buf extra;                 /* content of a pax or GNU record */
    char extra_type;              /* what is being collected; '\0' = nothing */
    sl_str long_name;             /* for the next member */
    int64_t long_size;            /* -1 = none */
    bool ended;
} tar_writer;

static int64_t number(const char *p, size_t n)
{
    int64_t v = 0;
    if ((unsigned char)p[0] & 0x80) { /* GNU's binary form */
        for (size_t i = 1; i < n; i++)
            v = v > INT64_MAX >> 9 ? INT64_MAX : (v << 8 | (unsigned char)p[i]);
        return v;
    }
    for (size_t i = 0; i < n && p[i] != '\0'; i++)
        if (p[i] >= '0' && p[i] <= '7')
            v = v << 3 | (p[i] - '0');
    return v;
}

static sl_str field(const char *p, size_t n)
{
    const char *end = memchr(p, '\0', n);
    return (sl_str){ p, end ? (size_t)(end - p) : n };
}

static void take_pax(tar_writer *w, sl_str records)
{
    sl_str length;
    while (sl_str_cut(&records, ' ', &length) && records.p != NULL) {
        int64_t n;
        if (!sl_parse_int(length, &n) || n <= (int64_t)length.n + 1 || (size_t)n - length.n - 1 > records.n)
            return;
        sl_str line = sl_str_sub(records, 0, (size_t)n - length.n - 2), key;
        records = sl_str_sub(records, (size_t)n - length.n - 1, records.n);
        if (!sl_str_cut(&line, '=', &key) || line.p == NULL)
            continue;
        if (sl_str_eqc(key, "path"))
            w->long_name = sl_str_dup(w->arena, line);
        else if (sl_str_eqc(key, "size") && sl_parse_int(line, &n) && n >= 0)
            w->long_size = n;
    }
}

static bool end_member(tar_writer *w, sl_err *err)
{
    if (w->extra_type != '\0') {
        sl_str text = sl_buf_str(&w->extra);
        if (w->extra_type == 'x')
            take_pax(w, text);
        else
            w->long_name = sl_str_dup(w->arena, field(text.p, text.n));
        w->extra_type = '\0';
        return !w->extra.overflow || sl_err_set(err, SL_ERR_LIMIT, "tar.record", "a record of the container's archive is larger than %d bytes", EXTRA_MAX);
    }
    if (w->file == NULL)
        return true;
    bool ok = w->file->finish(w->file, err);
    sl_writer_close(&w->file);
    return ok && (chmod(w->path.p, (w->mode & 0777) | 0600) == 0 || sl_err_errno(err, "set the mode of", w->path.p));
}

static bool open_member(tar_writer *w, sl_str name, char type, sl_err *err)
{
    sl_str first;
    (void)sl_str_cut(&name, '/', &first);
    if (name.p == NULL || name.n == 0 || (w->skip.n > 0 && sl_str_starts(name, w->skip)) || (type != '0' && type != '\0' && type != '5'))
        return true;
    bool folder = type == '5';
    if (folder && sl_str_ends(name, SL_S("/")))
        name.n--;
    if (!sl_path_is_safe(name))
        return sl_err_set(err, SL_ERR_DATA, "tar.name", "the container's archive holds the name '%.*s', which leads out of the working folder", SL_ARG(name));
    if (++w->files > w->max_files)
        return sl_err_set(err, SL_ERR_LIMIT, "tar.files", "the container's working folder holds more than %zu files", w->max_files);
    w->path = sl_fmt(w->arena, "%.*s/%.*s", SL_ARG(w->root), SL_ARG(name));
    sl_str parent = folder ? w->path : sl_str_sub(w->path, 0, (size_t)sl_str_rfind(w->path, SL_S("/")));
    return sl_fs_mkdirs(sl_cstr(w->arena, parent), err) && (folder || (w->file = sl_writer_file(w->path.p, err)) != NULL);
}

static bool take_header(tar_writer *w, sl_err *err)
{
    const char *h = w->block;
    bool zero = true;
    for (size_t i = 0; i < BLOCK; i++)
        zero &= h[i] == '\0';
    if (zero || w->ended) {
        w->ended = true;
        return true;
    }
    if (number(h + SUM_AT, 8) != checksum((const unsigned char *)h))
        return sl_err_set(err, SL_ERR_DATA, "tar.header", "the container's archive is damaged: a header's checksum is wrong");
    char type = h[TYPE_AT];
    w->left = w->long_size >= 0 && type != 'x' ? w->long_size : number(h + SIZE_AT, 12);
    if (type != '0' && type != '\0' && type != 'x' && type != 'g' && type != 'L' && type != 'K')
        w->left = 0;
    w->pad = padded(w->left) - w->left;
    w->mode = (unsigned)number(h + MODE_AT, 8);
    if (type == 'x' || type == 'L') {
        w->extra_type = type;
        w->extra = sl_buf_new(w->arena, EXTRA_MAX);
        return w->left > 0 || end_member(w, err);
    }
    if (type == 'g' || type == 'K')
        return true;
    sl_str prefix = field(h + PREFIX_AT, 155), name = sl_str_dup(w->arena, field(h, NAME_MAX_));
    if (prefix.n > 0 && memcmp(h + MAGIC_AT, "ustar\0", 6) == 0)
        name = sl_fmt(w->arena, "%.*s/%.*s", SL_ARG(prefix), SL_ARG(name));
    if (w->long_name.n > 0)
        name = w->long_name;
    w->long_name = SL_S("");
    w->long_size = -1;
    return open_member(w, name, type, err) && (w->left > 0 || end_member(w, err));
}

static bool content(tar_writer *w, sl_str part, sl_err *err)
{
    if (w->extra_type != '\0')
        sl_buf_add(&w->extra, part);
    else if (w->file != NULL && !w->file->write(w->file, part.p, part.n, err))
        return false;
    w->left -= (int64_t)part.n;
    return w->left > 0 || end_member(w, err);
}

static bool tar_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    tar_writer *w = (tar_writer *)self;
    sl_str rest = { from, n };
    while (rest.n > 0) {
        size_t part;
        if (w->left > 0) {
            part = (int64_t)rest.n < w->left ? rest.n : (size_t)w->left;
            if (!content(w, sl_str_sub(rest, 0, part), err))
                return false;
        } else if (w->pad > 0) {
            part = (int64_t)rest.n < w->pad ? rest.n : (size_t)w->pad;
            w->pad -= (int64_t)part;
        } else {
            part = rest.n < BLOCK - w->have ? rest.n : BLOCK - w->have;
            memcpy(w->block + w->have, rest.p, part);
            w->have += part;
            if (w->have == BLOCK) {
                w->have = 0;
                if (!take_header(w, err))
                    return false;
            }
        }
        rest = sl_str_sub(rest, part, rest.n);
    }
    return true;
}

static bool tar_finish(sl_writer *self, sl_err *err)
{
    tar_writer *w = (tar_writer *)self;
    return w->ended || sl_err_set(err, SL_ERR_TRANSIENT, "tar.short", "the container's archive ended too early");
}

static void tar_end(sl_writer *self)
{
    tar_writer *w = (tar_writer *)self;
    sl_writer_close(&w->file);
}

sl_writer *sl_tar_writer(sl_arena *arena, sl_str root, sl_str skip, size_t max_files)
{
    tar_writer *w = SL_NEW(arena, tar_writer);
    *w = (tar_writer){ .base = { tar_write, tar_finish, tar_end }, .arena = arena, .root = root, .skip = skip, .max_files = max_files, .long_size = -1 };
    return &w->base;
}
