/* connectors/serdes/avro_file.c: the file that holds records. See avro_write.h. */
#include <zlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "connectors/serdes/avro_write.h"

enum { BLOCK = 64 << 10, RECORD_BYTES_MAX = 64 << 20 };

static bool deflated(sl_arena *a, sl_str from, sl_str *ret, sl_err *err)
{
    z_stream z = { 0 };
    *ret = SL_S("");
    if (deflateInit2(&z, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return sl_err_set(err, SL_ERR_LIMIT, "avro.memory", "there is no memory for packing");
    uLong bound = deflateBound(&z, (uLong)from.n);
    char *to = SL_ARRAY(a, char, bound + 1);
    z.next_in = (Bytef *)(uintptr_t)from.p;
    z.avail_in = (uInt)from.n;
    z.next_out = (Bytef *)to;
    z.avail_out = (uInt)bound;
    int got = deflate(&z, Z_FINISH);
    *ret = (sl_str){ to, (size_t)z.total_out };
    (void)deflateEnd(&z);
    return got == Z_STREAM_END || sl_err_set(err, SL_ERR_BUG, "avro.deflate", "a block could not be packed");
}

static bool write_block(sl_avro_file *f, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_buf head = sl_buf_new(a, 64);
    sl_str packed;
    if (f->in_block == 0)
        return true;
    if (!deflated(a, sl_buf_str(&f->block), &packed, err))
        return false;
    sl_avro_put_long(&head, f->in_block);
    sl_avro_put_long(&head, (int64_t)packed.n);
    f->block.n = 0;
    f->in_block = 0;
    return f->out->write(f->out, sl_buf_str(&head).p, head.n, err) && f->out->write(f->out, packed.p, packed.n, err) && f->out->write(f->out, f->sync, sizeof f->sync, err);
}

static void put_entry(sl_buf *b, sl_str key, sl_str value)
{
    sl_avro_put_long(b, (int64_t)key.n);
    sl_buf_add(b, key);
    sl_avro_put_long(b, (int64_t)value.n);
    sl_buf_add(b, value);
}

bool sl_avro_file_begin(sl_avro_file *f, sl_arena *arena, sl_writer *out, const sl_val *schema, sl_err *err)
{
    sl_buf b = sl_buf_new(arena, RECORD_BYTES_MAX);
    *f = (sl_avro_file){ .block = sl_buf_new(arena, RECORD_BYTES_MAX), .out = out };
    sl_random(f->sync, sizeof f->sync);
    sl_buf_add(&b, (sl_str){ "Obj\1", 4 });
    sl_avro_put_long(&b, 2);
    put_entry(&b, SL_S("avro.schema"), sl_json(arena, schema));
    put_entry(&b, SL_S("avro.codec"), SL_S("deflate"));
    sl_avro_put_long(&b, 0);
    sl_buf_add(&b, (sl_str){ f->sync, sizeof f->sync });
    return out->write(out, sl_buf_str(&b).p, b.n, err);
}

bool sl_avro_file_added(sl_avro_file *f, sl_err *err)
{
    f->in_block++;
    return f->block.n < BLOCK || write_block(f, err);
}

bool sl_avro_file_finish(sl_avro_file *f, sl_err *err)
{
    return write_block(f, err) && f->out->finish(f->out, err);
}
