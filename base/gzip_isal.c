/*
 * base/gzip_isal.c: the gzip writer of level 1 on ISA-L's igzip (several times zlib's speed at about the same size). Part of the
 * build where ISA-L is; else level 1 is zlib's. Source: RFC 1952.
 */
#include <isa-l/igzip_lib.h>

#include "base/arena.h"
#include "base/gzip.h"
#include "base/limits.h"

typedef struct gzip {
    sl_writer writer;
    sl_writer *inner;
    struct isal_zstream z;
    uint8_t *block, *level;
} gzip;

static bool deflate_some(gzip *g, const void *from, size_t n, bool end, sl_err *err)
{
    sl_assert(n <= UINT32_MAX);
    g->z.next_in = (uint8_t *)(uintptr_t)from;
    g->z.avail_in = (uint32_t)n;
    g->z.end_of_stream = end;
    do {
        g->z.next_out = g->block;
        g->z.avail_out = SL_IO_BLOCK;
        int rc = isal_deflate(&g->z);
        sl_assert(rc == COMP_OK);
        size_t made = SL_IO_BLOCK - g->z.avail_out;
        if (made > 0 && !g->inner->write(g->inner, g->block, made, err))
            return false;
    } while (g->z.avail_out == 0 || g->z.avail_in > 0 || (end && g->z.internal_state.state != ZSTATE_END));
    return true;
}

static bool gzip_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    return deflate_some((gzip *)self, from, n, false, err);
}

static bool gzip_finish(sl_writer *self, sl_err *err)
{
    gzip *g = (gzip *)self;
    return deflate_some(g, NULL, 0, true, err) && g->inner->finish(g->inner, err);
}

static void gzip_close(sl_writer *self)
{
    gzip *g = (gzip *)self;
    sl_writer_close(&g->inner);
    free(g->block);
    free(g->level);
    free(g);
}

sl_writer *sl_gzip_fast(sl_writer *inner)
{
    gzip *g = sl_malloc(sizeof *g);
    memset(g, 0, sizeof *g);
    g->writer = (sl_writer){ gzip_write, gzip_finish, gzip_close };
    g->inner = inner;
    g->block = sl_malloc(SL_IO_BLOCK);
    g->level = sl_malloc(ISAL_DEF_LVL1_SMALL); /* the larger ones pack no better, and several at once do not fit into the cache */
    isal_deflate_init(&g->z);
    g->z.level = 1;
    g->z.level_buf = g->level;
    g->z.level_buf_size = ISAL_DEF_LVL1_SMALL;
    g->z.gzip_flag = IGZIP_GZIP;
    g->z.flush = NO_FLUSH;
    return &g->writer;
}
