/* connectors/serdes/snappy.c: what snappy has packed. See avro_read.h. */
#include "base/arena.h"
#include "connectors/serdes/avro_read.h"

static bool length_of(const unsigned char **p, const unsigned char *end, size_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; shift < 35 && *p < end; shift += 7) {
        unsigned char c = *(*p)++;
        *ret |= (size_t)(c & 0x7F) << shift;
        if ((c & 0x80) == 0)
            return true;
    }
    return false;
}

static size_t little(const unsigned char *p, size_t n)
{
    size_t v = 0;
    while (n-- > 0)
        v = v << 8 | p[n];
    return v;
}

/* A tag's low bits say what it is: bytes that follow (0), or a copy of what came before, with 1, 2 or 4 bytes of how far back. */
bool sl_unsnappy(sl_arena *arena, sl_str packed, size_t max, sl_str *ret)
{
    const unsigned char *p = (const unsigned char *)packed.p, *end = p + packed.n;
    size_t size, at = 0;
    if (!length_of(&p, end, &size) || size > max)
        return false;
    char *out = SL_ARRAY(arena, char, size + 1);
    while (p < end) {
        unsigned tag = *p++, kind = tag & 3;
        size_t n, back = 0, extra = kind == 0 ? (tag >> 2 >= 60 ? (tag >> 2) - 59 : 0) : kind == 1 ? 1 : kind == 2 ? 2 : 4;
        if ((size_t)(end - p) < extra)
            return false;
        size_t number = little(p, extra);
        p += extra;
        if (kind == 0) {
            n = (extra > 0 ? number : tag >> 2) + 1;
            if (n > (size_t)(end - p) || n > size - at)
                return false;
            memcpy(out + at, p, n);
            p += n;
        } else {
            n = kind == 1 ? (tag >> 2 & 7) + 4 : (tag >> 2) + 1;
            back = kind == 1 ? (size_t)(tag >> 5) << 8 | number : number;
            if (back == 0 || back > at || n > size - at)
                return false;
            for (size_t i = 0; i < n; i++) /* one by one: it may copy what it has just written */
                out[at + i] = out[at + i - back];
        }
        at += n;
    }
    *ret = (sl_str){ out, size };
    return at == size;
}
