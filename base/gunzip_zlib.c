/* base/gunzip_zlib.c: the gunzip filter on zlib, for machines without ISA-L. Source: RFC 1952. */
#include <zlib.h>

#include "base/arena.h"
#include "base/gunzip.h"
#include "base/io.h"
#include "base/limits.h"

typedef struct gunzip {
    sl_reader reader;
    sl_reader *inner;
    z_stream z;
    unsigned char *block;
    int64_t in, out;
    bool member_open, ended;
} gunzip;

static ptrdiff_t gunzip_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    gunzip *g = (gunzip *)self;
    unsigned room = n > (1U << 30) ? 1U << 30 : (unsigned)n;
    g->z.next_out = to;
    g->z.avail_out = room;
    while (g->z.avail_out == room) {
        if (g->z.avail_in == 0 && !g->ended) {
            ptrdiff_t got = g->inner->read(g->inner, g->block, SL_IO_BLOCK, err);
            if (got < 0)
                return -1;
            g->ended = got == 0;
            g->in += got;
            g->z.next_in = g->block;
            g->z.avail_in = (unsigned)got;
        }
        if (g->z.avail_in == 0 && g->ended) {
            if (!g->member_open && g->in > 0)
                return 0;
            sl_gunzip_truncated(g->in, err);
            return -1;
        }
        if (!g->member_open) {
            (void)inflateReset(&g->z);
            g->member_open = true;
        }
        int rc = inflate(&g->z, Z_NO_FLUSH);
        if (rc == Z_STREAM_END)
            g->member_open = false;
        else if (rc != Z_OK && rc != Z_BUF_ERROR) {
            sl_gunzip_corrupt(g->in, g->out, g->z.msg ? g->z.msg : "its compressed data is damaged or is not gzip", err);
            return -1;
        }
    }
    g->out += room - g->z.avail_out;
    if (!sl_gunzip_ratio_ok(g->in, g->out, err))
        return -1;
    return (ptrdiff_t)(room - g->z.avail_out);
}

static void gunzip_close(sl_reader *self)
{
    gunzip *g = (gunzip *)self;
    (void)inflateEnd(&g->z);
    sl_reader_close(&g->inner);
    free(g->block);
    free(g);
}

sl_reader *sl_reader_gunzip(sl_reader *inner)
{
    gunzip *g = sl_malloc(sizeof *g);
    memset(g, 0, sizeof *g);
    g->reader = (sl_reader){ gunzip_read, gunzip_close };
    g->inner = inner;
    g->block = sl_malloc(SL_IO_BLOCK);
    int rc = inflateInit2(&g->z, 15 + 16);
    sl_assert(rc == Z_OK);
    return &g->reader;
}
