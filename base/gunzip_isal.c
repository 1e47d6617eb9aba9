/*
 * base/gunzip_isal.c: the gunzip filter on ISA-L's igzip (about three times zlib's speed). Chosen by the build; gunzip_zlib.c
 * is the other one. Source: RFC 1952.
 */
#include <isa-l/igzip_lib.h>

#include "base/arena.h"
#include "base/gunzip.h"
#include "base/io.h"
#include "base/limits.h"

typedef struct gunzip {
    sl_reader reader;
    sl_reader *inner;
    struct inflate_state state;
    uint8_t *block;
    int64_t in, out;
    bool member_open, ended;
} gunzip;

static bool refill(gunzip *g, sl_err *err)
{
    if (g->state.avail_in > 0 || g->ended)
        return true;
    ptrdiff_t n = g->inner->read(g->inner, g->block, SL_IO_BLOCK, err);
    if (n < 0)
        return false;
    g->ended = n == 0;
    g->in += n;
    g->state.next_in = g->block;
    g->state.avail_in = (uint32_t)n;
    return true;
}

static void next_member(gunzip *g)
{
    uint8_t *next = g->state.next_in;
    uint32_t left = g->state.avail_in;
    isal_inflate_reset(&g->state);
    g->state.crc_flag = ISAL_GZIP;
    g->state.next_in = next;
    g->state.avail_in = left;
    g->member_open = true;
}

static ptrdiff_t gunzip_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    gunzip *g = (gunzip *)self;
    uint32_t room = n > (1U << 30) ? 1U << 30 : (uint32_t)n;
    g->state.next_out = to;
    g->state.avail_out = room;
    while (g->state.avail_out == room) {
        if (!refill(g, err))
            return -1;
        if (g->state.avail_in == 0 && g->ended) {
            if (!g->member_open && g->in > 0)
                return 0;
            sl_gunzip_truncated(g->in, err);
            return -1;
        }
        if (!g->member_open)
            next_member(g);
        int rc = isal_inflate(&g->state);
        if (rc != ISAL_DECOMP_OK && rc != ISAL_END_INPUT) {
            sl_gunzip_corrupt(g->in, g->out, rc == ISAL_INCORRECT_CHECKSUM ? "its checksum is wrong" : "its compressed data is damaged or is not gzip", err);
            return -1;
        }
        if (g->state.block_state == ISAL_BLOCK_FINISH)
            g->member_open = false;
    }
    g->out += room - g->state.avail_out;
    if (!sl_gunzip_ratio_ok(g->in, g->out, err))
        return -1;
    return (ptrdiff_t)(room - g->state.avail_out);
}

static void gunzip_close(sl_reader *self)
{
    gunzip *g = (gunzip *)self;
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
    isal_inflate_init(&g->state);
    return &g->reader;
}
