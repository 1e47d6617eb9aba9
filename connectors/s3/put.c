/* connectors/s3/put.c: one piece of a file, one PUT, and what there is already. See put.h. */
#include "connectors/s3/put.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fault.h"

bool sl_s3_put_open(sl_s3_put *p, sl_err *err)
{
    struct stat st;
    p->fd = open(p->path.p, O_RDONLY | O_CLOEXEC);
    if (p->fd < 0 || fstat(p->fd, &st) != 0)
        return sl_err_errno(err, "open", p->path.p);
    (void)posix_fadvise(p->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    p->size = st.st_size;
    p->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    if (p->expected.n == 0)
        return true;
    SL_ARENA a = sl_arena_new();
    sl_checksum sum = sl_checksum_new(a, p->to.algorithm);
    if (!sl_checksum_file(p->fd, p->path.p, 0, p->size, &sum, 1, sl_task_cancelled, p->to.s->aws.task, err))
        return false;
    sl_str ours = sl_base64(a, sl_checksum_end(&sum, a));
    return sl_str_eq(ours, p->expected)
           || sl_err_set(err, SL_ERR_DATA, "s3.checksum", "the file's %s is %.*s, expected was %.*s", sl_checksum_name(p->to.algorithm), SL_ARG(ours), SL_ARG(p->expected));
}

void sl_s3_put_close(sl_s3_put *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

bool sl_s3_put_unchanged(const sl_s3_put *p, sl_err *err)
{
    struct stat st;
    if (fstat(p->fd, &st) != 0)
        return sl_err_errno(err, "look at", p->path.p);
    bool same = st.st_size == p->size && (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec == p->mtime_ns;
    return same || sl_err_set(err, SL_ERR_DATA, "s3.changed", "'%s' has changed while it was uploaded; try again when nobody writes to it", p->path.p);
}

/* ---- a piece ---- */

static ptrdiff_t piece_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    sl_s3_piece *p = (sl_s3_piece *)self;
    if ((int64_t)n > p->end - p->at)
        n = (size_t)(p->end - p->at);
    ssize_t got = n ? pread(p->put->fd, to, n, p->at) : 0;
    if (got < 0) {
        sl_err_errno(err, "read", p->put->path.p);
        return -1;
    }
    p->at += got;
    return got;
}

static sl_reader *piece_open(void *self, sl_err *err)
{
    (void)err;
    sl_s3_piece *p = self;
    p->at = p->begin; /* also when it is sent again */
    return &p->reader;
}

static bool piece_sum(void *self, sl_checksum *sums, size_t n, sl_err *err)
{
    const sl_s3_piece *p = self;
    return sl_checksum_file(p->put->fd, p->put->path.p, p->begin, p->end, sums, n, sl_task_cancelled, p->put->to.s->aws.task, err);
}

sl_s3_body sl_s3_piece_of(const sl_s3_put *p, int64_t begin, int64_t end, sl_s3_piece *piece)
{
    *piece = (sl_s3_piece){ .reader = { piece_read, sl_reader_no_close }, .put = p, .begin = begin, .end = end };
    return (sl_s3_body){ .self = piece, .open = piece_open, .sum = piece_sum, .size = end - begin };
}

/* ---- what is there ---- */

/* The checksum that the whole object has: of the bytes, or of the parts' checksums. */
static bool whole_sum(const sl_s3_put *p, sl_arena *a, sl_algorithm algorithm, int64_t part_size, sl_str *ret, sl_err *err)
{
    sl_checksum all = sl_checksum_new(a, algorithm);
    int64_t parts = 0, step = part_size > 0 ? part_size : p->size;
    for (int64_t at = 0; at < p->size || parts == 0; at += step, parts++) {
        sl_checksum one = sl_checksum_new(a, algorithm);
        int64_t end = at + step < p->size ? at + step : p->size;
        if (!sl_checksum_file(p->fd, p->path.p, at, end, part_size > 0 ? &one : &all, 1, sl_task_cancelled, p->to.s->aws.task, err))
            return false;
        sl_str sum = part_size > 0 ? sl_checksum_end(&one, a) : SL_S("");
        sl_checksum_add(&all, sum.p, sum.n);
    }
    sl_str raw = sl_checksum_end(&all, a), text = algorithm == SL_SUM_MD5 ? sl_hex(a, raw) : sl_base64(a, raw);
    *ret = part_size > 0 ? sl_fmt(a, "%.*s-%lld", SL_ARG(text), (long long)parts) : text;
    return true;
}

/* Does the object say of itself what this upload would have it say? */
static bool same_headers(const sl_s3_put *p, sl_arena *a, const sl_http_response *r)
{
    static const char *const told[] = { "content-type", "content-encoding", "content-disposition", "content-language", "cache-control", "x-amz-storage-class", "x-amz-server-side-encryption" };
    for (size_t i = 0; i < sl_val_count(p->to.headers); i++) {
        const sl_entry *e = &p->to.headers->map.entries[i];
        bool compared = sl_str_starts(e->key, SL_S("x-amz-meta-"));
        for (size_t k = 0; k < SL_COUNT(told); k++)
            compared |= sl_str_ieq(e->key, sl_str_c(told[k]));
        sl_str theirs = sl_http_header(r, e->key.p);
        if (sl_str_eqc(e->key, "x-amz-storage-class") && theirs.n == 0)
            theirs = SL_S("STANDARD");
        if (compared && !sl_str_eq(sl_val_text(a, e->value), theirs))
            return false;
    }
    return true;
}

static sl_str unquoted(sl_str etag)
{
    return etag.n >= 2 && etag.p[0] == '"' ? sl_str_sub(etag, 1, etag.n - 1) : etag;
}

bool sl_s3_put_there(sl_s3_put *p, sl_arena *a, int64_t part_size, bool *ret, sl_err *err)
{
    sl_http_response r;
    sl_str ours, theirs;
    sl_s3_request head = { .method = "HEAD", .key = p->to.key, .headers = sl_map_of(a, "x-amz-checksum-mode", sl_val_c(a, "ENABLED")) };
    int64_t size = -1;
    *ret = false;
    if (!sl_s3_send(p->to.s, a, &head, &r, err))
        return false;
    if (r.status / 100 != 2 || !sl_parse_int(sl_http_header(&r, "content-length"), &size) || size != p->size || !same_headers(p, a, &r))
        return true;
    theirs = p->to.algorithm == SL_SUM_MD5 ? SL_S("") : sl_http_header(&r, sl_s3_checksum_header(p->to.algorithm));
    bool by_sum = theirs.n > 0;
    if (!by_sum)
        theirs = unquoted(sl_http_header(&r, "etag"));
    bool composite = memchr(theirs.p ? theirs.p : "", '-', theirs.n) != NULL;
    if ((composite && part_size == 0) || !whole_sum(p, a, by_sum ? p->to.algorithm : SL_SUM_MD5, composite ? part_size : 0, &ours, err))
        return !sl_task_cancelled(p->to.s->aws.task);
    *ret = sl_str_eq(ours, theirs);
    if (*ret) {
        p->etag = sl_http_header(&r, "etag");
        p->version = sl_http_header(&r, "x-amz-version-id");
    }
    return true;
}

/* ---- one PUT ---- */

bool sl_s3_put_one(sl_s3_put *p, sl_arena *a, sl_err *err)
{
    bool there = false;
    sl_http_response r;
    sl_str sum;
    sl_s3_piece piece;
    sl_s3_body body = sl_s3_piece_of(p, 0, p->size, &piece);
    const char *doing = sl_s3_doing(p->to.s, a, "uploading to", p->to.key);
    sl_val *headers = sl_map_shallow(a, p->to.headers);
    for (size_t i = 0; i < sl_val_count(p->to.conditions); i++)
        sl_map_set(a, headers, p->to.conditions->map.entries[i].key, p->to.conditions->map.entries[i].value);
    if (p->again && (!sl_s3_put_there(p, a, 0, &there, err) || there))
        return there;
    if (!SL_FAULT("upload.before_simple", err) || !sl_s3_put_body(&p->to, a, &body, SL_S(""), headers, &r, &sum, err) || !SL_FAULT("upload.after_simple", err))
        return sl_err_ctx(err, "%s", doing);
    /* An answer that was lost, and a condition that holds no more because of it. */
    if (r.status == 412 && r.attempts > 1 && !sl_s3_put_there(p, a, 0, &there, err))
        return false;
    if (there)
        return true;
    if (r.status / 100 != 2)
        return sl_s3_error(p->to.s, a, &r, doing, err);
    p->etag = sl_http_header(&r, "etag");
    p->version = sl_http_header(&r, "x-amz-version-id");
    return true;
}
