/* base/unpacked.c: a reader that looks at the first bytes, and unpacks what is gzip. Declared in io.h. */
#include "base/arena.h"
#include "base/io.h"

typedef struct peeked {
    sl_reader reader;
    sl_reader *inner;
    unsigned char head[2];
    size_t n, at;                 /* of `head`: there, given */
} peeked;

static ptrdiff_t peeked_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    peeked *p = (peeked *)self;
    if (p->at == p->n)
        return p->inner->read(p->inner, to, n, err);
    n = n < p->n - p->at ? n : p->n - p->at;
    memcpy(to, p->head + p->at, n);
    p->at += n;
    return (ptrdiff_t)n;
}

static void peeked_close(sl_reader *self)
{
    peeked *p = (peeked *)self;
    sl_reader_close(&p->inner);
    free(p);
}

sl_reader *sl_reader_unpacked(sl_reader *inner, sl_err *err)
{
    peeked *p = sl_malloc(sizeof *p);
    *p = (peeked){ .reader = { peeked_read, peeked_close }, .inner = inner };
    ptrdiff_t got = 1;
    while (p->n < sizeof p->head && (got = inner->read(inner, p->head + p->n, sizeof p->head - p->n, err)) > 0)
        p->n += (size_t)got;
    if (got < 0) {
        peeked_close(&p->reader);
        return NULL;
    }
    bool gzip = p->n == sizeof p->head && p->head[0] == 0x1f && p->head[1] == 0x8b;
    return gzip ? sl_reader_gunzip(&p->reader) : &p->reader;
}
