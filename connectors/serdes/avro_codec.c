/* connectors/serdes/avro_codec.c: see avro_codec.h. */
#include "connectors/serdes/avro_codec.h"

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "connectors/serdes/avro_read.h"
#include "connectors/serdes/serdes.h"

enum { STEP = 64 << 10 };

static bool plain(sl_arena *arena, sl_str packed, sl_str *ret)
{
    (void)arena;
    *ret = packed;
    return true;
}

static bool inflated(sl_arena *arena, sl_str packed, sl_str *ret)
{
    z_stream z = { 0 };
    sl_buf out = sl_buf_new(arena, SL_AVRO_BLOCK_MAX);
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
        return false;
    z.next_in = (Bytef *)(uintptr_t)packed.p;
    z.avail_in = (uInt)packed.n;
    int got = Z_OK;
    for (char *to; got == Z_OK && (to = sl_buf_room(&out, STEP)) != NULL;) {
        z.next_out = (Bytef *)to;
        z.avail_out = STEP;
        got = inflate(&z, Z_NO_FLUSH);
        out.n += STEP - z.avail_out;
    }
    (void)inflateEnd(&z);
    *ret = sl_buf_str(&out);
    return got == Z_STREAM_END;
}

/* Behind what snappy packed, the CRC-32 of what it was. */
static bool unsnapped(sl_arena *arena, sl_str packed, sl_str *ret)
{
    sl_str body = sl_str_sub(packed, 0, packed.n > 4 ? packed.n - 4 : 0), sum = sl_str_sub(packed, body.n, packed.n);
    uint32_t wanted = 0;
    for (size_t i = 0; i < sum.n; i++)
        wanted = wanted << 8 | (unsigned char)sum.p[i];
    return sum.n == 4 && sl_unsnappy(arena, body, SL_AVRO_BLOCK_MAX, ret) && crc32(0, (const Bytef *)ret->p, (uInt)ret->n) == wanted;
}

static bool unbzipped(sl_arena *arena, sl_str packed, sl_str *ret)
{
    bz_stream z = { 0 };
    sl_buf out = sl_buf_new(arena, SL_AVRO_BLOCK_MAX);
    if (BZ2_bzDecompressInit(&z, 0, 0) != BZ_OK)
        return false;
    z.next_in = (char *)(uintptr_t)packed.p;
    z.avail_in = (unsigned)packed.n;
    int got = BZ_OK;
    for (char *to; got == BZ_OK && (to = sl_buf_room(&out, STEP)) != NULL;) {
        z.next_out = to;
        z.avail_out = STEP;
        got = BZ2_bzDecompress(&z);
        out.n += STEP - z.avail_out;
        if (got == BZ_OK && z.avail_in == 0 && z.avail_out == STEP)
            break; /* it is cut off */
    }
    (void)BZ2_bzDecompressEnd(&z);
    *ret = sl_buf_str(&out);
    return got == BZ_STREAM_END;
}

static bool unxzed(sl_arena *arena, sl_str packed, sl_str *ret)
{
    enum { MEMORY_MAX = 512 << 20 };
    lzma_stream z = LZMA_STREAM_INIT;
    sl_buf out = sl_buf_new(arena, SL_AVRO_BLOCK_MAX);
    if (lzma_stream_decoder(&z, MEMORY_MAX, 0) != LZMA_OK)
        return false;
    z.next_in = (const uint8_t *)packed.p;
    z.avail_in = packed.n;
    lzma_ret got = LZMA_OK;
    for (char *to; got == LZMA_OK && (to = sl_buf_room(&out, STEP)) != NULL;) {
        z.next_out = (uint8_t *)to;
        z.avail_out = STEP;
        got = lzma_code(&z, LZMA_FINISH);
        out.n += STEP - z.avail_out;
    }
    lzma_end(&z);
    *ret = sl_buf_str(&out);
    return got == LZMA_STREAM_END;
}

static bool unzstd(sl_arena *arena, sl_str packed, sl_str *ret)
{
    ZSTD_DStream *z = ZSTD_createDStream();
    sl_buf out = sl_buf_new(arena, SL_AVRO_BLOCK_MAX);
    ZSTD_inBuffer in = { packed.p, packed.n, 0 };
    size_t left = 1; /* bytes that the frame still wants; 0: it is whole */
    for (char *to; z != NULL && !ZSTD_isError(left) && (left > 0 || in.pos < in.size) && (to = sl_buf_room(&out, STEP)) != NULL;) {
        ZSTD_outBuffer block = { to, STEP, 0 };
        size_t before = in.pos;
        left = ZSTD_decompressStream(z, &block, &in);
        out.n += block.pos;
        if (block.pos == 0 && in.pos == before)
            break; /* it is cut off */
    }
    (void)ZSTD_freeDStream(z);
    *ret = sl_buf_str(&out);
    return z != NULL && left == 0 && in.pos == in.size;
}

static const struct {
    const char *name;
    bool (*unpack)(sl_arena *arena, sl_str packed, sl_str *ret);
} codecs[] = { { "", plain }, { "null", plain }, { "deflate", inflated }, { "snappy", unsnapped }, { "bzip2", unbzipped }, { "xz", unxzed }, { "zstandard", unzstd } };

bool sl_avro_codec_is_known(sl_str codec)
{
    bool known = false;
    for (size_t i = 0; i < SL_COUNT(codecs) && !known; i++)
        known = sl_str_eqc(codec, codecs[i].name);
    return known;
}

bool sl_avro_unpack(sl_arena *arena, sl_str codec, sl_str packed, sl_str *ret, sl_err *err)
{
    for (size_t i = 0; i < SL_COUNT(codecs); i++)
        if (sl_str_eqc(codec, codecs[i].name))
            return codecs[i].unpack(arena, packed, ret)
                   || sl_err_set(err, SL_ERR_DATA, "avro.block", "a block cannot be unpacked (%s): it is damaged, or larger than %d bytes", codecs[i].name, SL_AVRO_BLOCK_MAX);
    return sl_err_set(err, SL_ERR_BUG, "avro.codec", "the codec '%.*s' is not known", SL_ARG(codec));
}
