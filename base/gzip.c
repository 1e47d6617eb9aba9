/* base/gzip.c: the writers that pack and unpack (zlib), and what the gunzip filters share. */
#include <zlib.h>

#include "base/arena.h"
#include "base/gunzip.h"
#include "base/gzip.h"
#include "base/io.h"
#include "base/limits.h"

void sl_gunzip_truncated(int64_t in, sl_err *err)
{
    if (in == 0)
        sl_err_set(err, SL_ERR_DATA, "gzip.empty", "the gzip file is empty");
    else
        sl_err_set(err, SL_ERR_DATA, "gzip.truncated", "the gzip file ends too early, after %lld bytes; fetch it again", (long long)in);
}

void sl_gunzip_corrupt(int64_t in, int64_t out, const char *why, sl_err *err)
{
    sl_err_set(err, SL_ERR_DATA, "gzip.corrupt", "the gzip file is damaged before byte %lld (%lld bytes came out of it): %s", (long long)in, (long long)out, why);
}

bool sl_gunzip_ratio_ok(int64_t in, int64_t out, sl_err *err)
{
    if (out < 10LL << 20 || out / 200 <= in)
        return true;
    return sl_err_set(err, SL_ERR_LIMIT, "gzip.ratio", "the gzip file expands more than 200 times (%lld bytes from %lld); it is taken for a bomb", (long long)out, (long long)in);
}

typedef struct gzip {
    sl_writer writer;
    sl_writer *inner;
    z_stream z;
    unsigned char *block;
} gzip;

static bool deflate_some(gzip *g, int flush, sl_err *err)
{
    int rc;
    do {
        g->z.next_out = g->block;
        g->z.avail_out = SL_IO_BLOCK;
        rc = deflate(&g->z, flush);
        sl_assert(rc != Z_STREAM_ERROR);
        size_t n = SL_IO_BLOCK - g->z.avail_out;
        if (n > 0 && !g->inner->write(g->inner, g->block, n, err))
            return false;
    } while (g->z.avail_out == 0 || (flush == Z_FINISH && rc != Z_STREAM_END));
    return true;
}

static bool gzip_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    gzip *g = (gzip *)self;
    sl_assert(n <= UINT32_MAX);
    g->z.next_in = (unsigned char *)(uintptr_t)from;
    g->z.avail_in = (unsigned)n;
    return deflate_some(g, Z_NO_FLUSH, err);
}

static bool gzip_finish(sl_writer *self, sl_err *err)
{
    gzip *g = (gzip *)self;
    g->z.avail_in = 0;
    return deflate_some(g, Z_FINISH, err) && g->inner->finish(g->inner, err);
}

static void gzip_close(sl_writer *self)
{
    gzip *g = (gzip *)self;
    (void)deflateEnd(&g->z);
    sl_writer_close(&g->inner);
    free(g->block);
    free(g);
}

sl_writer *sl_writer_gzip(sl_writer *inner, int level)
{
#ifdef SL_ISAL
    if (level == 1)
        return sl_gzip_fast(inner);
#endif
    gzip *g = sl_malloc(sizeof *g);
    memset(g, 0, sizeof *g);
    g->writer = (sl_writer){ gzip_write, gzip_finish, gzip_close };
    g->inner = inner;
    g->block = sl_malloc(SL_IO_BLOCK);
    int rc = deflateInit2(&g->z, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    sl_assert(rc == Z_OK);
    return &g->writer;
}

/* ---- unpacking what is pushed ---- */

typedef struct gunzip {
    sl_writer writer;
    sl_writer *inner;
    z_stream z;
    int64_t in, out;
    bool between;                 /* a member has ended, and no byte came behind it */
    unsigned char *block;
} gunzip;

static bool inflate_some(gunzip *g, sl_err *err)
{
    if (g->between) {
        if (inflateReset(&g->z) != Z_OK)
            return sl_gunzip_corrupt(g->in, g->out, "zlib cannot begin anew", err), false;
        g->between = false;
    }
    unsigned before = g->z.avail_in;
    g->z.next_out = g->block;
    g->z.avail_out = SL_IO_BLOCK;
    int rc = inflate(&g->z, Z_NO_FLUSH);
    size_t n = SL_IO_BLOCK - g->z.avail_out;
    g->in += before - g->z.avail_in;
    g->out += (int64_t)n;
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
        return sl_gunzip_corrupt(g->in, g->out, g->z.msg ? g->z.msg : "it is no gzip file", err), false;
    g->between = rc == Z_STREAM_END;
    return sl_gunzip_ratio_ok(g->in, g->out, err) && (n == 0 || g->inner->write(g->inner, g->block, n, err));
}

static bool gunzip_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    gunzip *g = (gunzip *)self;
    sl_assert(n <= UINT32_MAX);
    g->z.next_in = (unsigned char *)(uintptr_t)from;
    g->z.avail_in = (unsigned)n;
    do {
        if (g->z.avail_in > 0 && !inflate_some(g, err))
            return false;
        while (!g->between && g->z.avail_out == 0) /* more of it may be waiting in zlib */
            if (!inflate_some(g, err))
                return false;
    } while (g->z.avail_in > 0);
    return true;
}

static bool gunzip_finish(sl_writer *self, sl_err *err)
{
    gunzip *g = (gunzip *)self;
    if (!g->between)
        return sl_gunzip_truncated(g->in, err), false;
    return g->inner->finish(g->inner, err);
}

static void gunzip_close(sl_writer *self)
{
    gunzip *g = (gunzip *)self;
    (void)inflateEnd(&g->z);
    sl_writer_close(&g->inner);
    free(g->block);
    free(g);
}

sl_writer *sl_writer_gunzip(sl_writer *inner)
{
    gunzip *g = sl_malloc(sizeof *g);
    memset(g, 0, sizeof *g);
    g->writer = (sl_writer){ gunzip_write, gunzip_finish, gunzip_close };
    g->inner = inner;
    g->block = sl_malloc(SL_IO_BLOCK);
    g->z.avail_out = SL_IO_BLOCK;
    int rc = inflateInit2(&g->z, 15 + 16);
    sl_assert(rc == Z_OK);
    return &g->writer;
}
