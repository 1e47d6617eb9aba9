/* connectors/serdes/avro_read.c: see avro_read.h. */
#include "connectors/serdes/avro_read.h"

#include "base/arena.h"
#include "base/json.h"
#include "connectors/serdes/avro_codec.h"

enum { SYNC = 16, HEADER_MAX = 16 << 20, ITEMS_MAX = 10000000 };

/* ---- values ---- */

typedef struct source {
    sl_arena *arena;
    sl_str rest;
    sl_err *err;
    int depth;
    int64_t items;                /* of arrays and maps that were of no bytes */
} source;

static const sl_val *value(source *s, const sl_avro *t);

static bool damaged(source *s, const char *why)
{
    return sl_err_set(s->err, SL_ERR_DATA, "avro.data", "the data are damaged: %s", why);
}

static bool take(source *s, int64_t n, sl_str *ret)
{
    if (n < 0 || (uint64_t)n > s->rest.n)
        return damaged(s, "a value is longer than its block");
    *ret = sl_str_sub(s->rest, 0, (size_t)n);
    s->rest = sl_str_sub(s->rest, (size_t)n, s->rest.n);
    return true;
}

/* Zigzag, seven bits a byte, the lowest first. */
static bool take_long(source *s, int64_t *ret)
{
    uint64_t n = 0;
    for (unsigned shift = 0; shift < 64 && s->rest.n > 0; shift += 7) {
        unsigned char c = (unsigned char)s->rest.p[0];
        s->rest.p++;
        s->rest.n--;
        n |= (uint64_t)(c & 0x7F) << shift;
        if ((c & 0x80) == 0) {
            *ret = (int64_t)(n >> 1) ^ -(int64_t)(n & 1);
            return true;
        }
    }
    return damaged(s, "a number does not end");
}

/* Digits of a two's complement number, the highest byte first, with the point where it belongs. */
static const sl_val *decimal(source *s, sl_str bytes, int scale)
{
    enum { BYTES_MAX = 512 };
    unsigned char b[BYTES_MAX];
    size_t n = bytes.n, digits = 0, size = bytes.n * 5 / 2 + (size_t)scale + 8;
    char *text = SL_ARRAY(s->arena, char, size);
    bool negative = n > 0 && ((unsigned char)bytes.p[0] & 0x80) != 0;
    if (n > BYTES_MAX)
        return damaged(s, "a decimal has too many digits"), NULL;
    unsigned carry = negative;
    for (size_t i = n; i-- > 0;) {
        unsigned c = (unsigned char)bytes.p[i];
        c = negative ? (~c & 0xFF) + carry : c;
        carry = c >> 8 & 1;
        b[i] = (unsigned char)c;
    }
    /* Divided by ten until nothing is left; the lowest digit comes first, so it is written from the end. */
    size_t at = size;
    for (bool left = true; left || digits <= (size_t)scale;) {
        unsigned rest = 0;
        left = false;
        for (size_t i = 0; i < n; i++) {
            unsigned c = rest << 8 | b[i];
            b[i] = (unsigned char)(c / 10);
            rest = c % 10;
            left = left || b[i] != 0;
        }
        if (digits > 0 && digits == (size_t)scale)
            text[--at] = '.';
        text[--at] = (char)('0' + rest);
        digits++;
    }
    if (negative)
        text[--at] = '-';
    return sl_val_decimal(s->arena, (sl_str){ text + at, size - at });
}

static const sl_val *time_value(source *s, const sl_avro *t, int64_t n)
{
    int64_t unit = t->logical == SL_AVRO_TIME_MILLIS || t->logical == SL_AVRO_STAMP_MILLIS || t->logical == SL_AVRO_LOCAL_MILLIS ? 1000 : 1000000;
    int64_t seconds = n / unit, part = n % unit;
    if (part < 0) {
        part += unit;
        seconds--;
    }
    sl_time at = { .s = seconds, .ns = (int32_t)(part * (1000000000 / unit)) };
    switch (t->logical) {
    case SL_AVRO_DATE: at = (sl_time){ .s = n * 86400, .kind = SL_TIME_DATE }; break;
    case SL_AVRO_TIME_MILLIS:
    case SL_AVRO_TIME_MICROS:
        at.kind = SL_TIME_OF_DAY;
        if (n < 0 || seconds >= 86400)
            return damaged(s, "a time of day is none"), NULL;
        break;
    case SL_AVRO_STAMP_MILLIS:
    case SL_AVRO_STAMP_MICROS: at.kind = SL_TIME_INSTANT; break;
    default: at.kind = SL_TIME_LOCAL; break;
    }
    const int64_t longest = INT64_C(400000000) * 86400;
    return at.s > -longest && at.s < longest ? sl_val_time(s->arena, at) : (damaged(s, "a date is out of all calendars"), NULL);
}

static const sl_val *whole(source *s, const sl_avro *t)
{
    int64_t n;
    if (!take_long(s, &n))
        return NULL;
    if (t->kind == SL_AVRO_INT && (n < INT32_MIN || n > INT32_MAX))
        return damaged(s, "an int is out of range"), NULL;
    return t->logical == SL_AVRO_PLAIN ? sl_val_int(s->arena, n) : time_value(s, t, n);
}

static const sl_val *floating(source *s, bool is_double)
{
    sl_str bytes;
    uint64_t bits = 0;
    double d;
    float f;
    if (!take(s, is_double ? 8 : 4, &bytes))
        return NULL;
    for (size_t i = bytes.n; i-- > 0;)
        bits = bits << 8 | (unsigned char)bytes.p[i];
    uint32_t low = (uint32_t)bits;
    memcpy(&f, &low, 4);
    memcpy(&d, &bits, 8);
    if (is_double)
        return sl_val_double(s->arena, d);
    /* 0.1f is meant as 0.1, not as 0.10000000149011612. */
    double shortest;
    return sl_parse_double(sl_fmt(s->arena, "%.9g", (double)f), &shortest) && sl_parse_double(sl_fmt(s->arena, "%.7g", (double)f), &d) ? sl_val_double(s->arena, (float)d == f ? d : shortest) : sl_val_double(s->arena, (double)f);
}

static const sl_val *record(source *s, const sl_avro *t)
{
    sl_val *map = sl_map(s->arena);
    for (size_t i = 0; i < t->count; i++) {
        const sl_val *v = value(s, t->fields[i].type);
        if (v == NULL)
            return NULL;
        sl_map_set(s->arena, map, t->fields[i].name, v);
    }
    return map;
}

/* Blocks of items, each with its count; a negative one is followed by the block's size in bytes. */
static const sl_val *items(source *s, const sl_avro *t)
{
    sl_val *out = t->kind == SL_AVRO_ARRAY ? sl_list(s->arena) : sl_map(s->arena);
    int64_t n = 0, bytes;
    while (take_long(s, &n)) {
        if (n == 0)
            return out;
        if (n < 0 && (n == INT64_MIN || !take_long(s, &bytes)))
            return damaged(s, "a count is none"), NULL;
        for (n = n < 0 ? -n : n; n > 0; n--) {
            size_t before = s->rest.n;
            sl_str key = { NULL, 0 };
            int64_t key_n;
            if (t->kind == SL_AVRO_MAP && (!take_long(s, &key_n) || !take(s, key_n, &key)))
                return NULL;
            const sl_val *v = value(s, t->branches[0]);
            if (v == NULL || (before == s->rest.n && ++s->items > ITEMS_MAX && !damaged(s, "it claims too many items of no bytes")))
                return NULL;
            if (t->kind == SL_AVRO_ARRAY)
                sl_list_add(s->arena, out, v);
            else
                sl_map_set(s->arena, out, sl_str_dup(s->arena, key), v);
        }
    }
    return NULL;
}

static const sl_val *bytes_value(source *s, const sl_avro *t)
{
    int64_t n = t->size;
    sl_str bytes;
    if ((t->kind != SL_AVRO_FIXED && !take_long(s, &n)) || !take(s, n, &bytes))
        return NULL;
    if (t->logical == SL_AVRO_DECIMAL)
        return decimal(s, bytes, t->scale);
    if (t->kind != SL_AVRO_STRING)
        return sl_val_str(s->arena, sl_base64(s->arena, bytes));
    return sl_str_is_utf8(bytes) ? sl_val_str(s->arena, sl_str_dup(s->arena, bytes)) : (damaged(s, "a string is not UTF-8"), NULL);
}

static const sl_val *chosen(source *s, const sl_avro *t)
{
    int64_t n;
    if (!take_long(s, &n))
        return NULL;
    if (n < 0 || (uint64_t)n >= t->count)
        return damaged(s, "it chooses what the schema does not offer"), NULL;
    return t->kind == SL_AVRO_UNION ? value(s, t->branches[n]) : sl_at(t->symbols, (size_t)n);
}

static const sl_val *value(source *s, const sl_avro *t)
{
    const sl_val *v = NULL;
    sl_str one;
    if (++s->depth > SL_AVRO_DEPTH_MAX)
        return damaged(s, "it is nested too deeply"), NULL;
    switch (t->kind) {
    case SL_AVRO_NULL: v = &sl_null_val; break;
    case SL_AVRO_BOOLEAN: v = take(s, 1, &one) ? sl_val_bool(one.p[0] != 0) : NULL; break;
    case SL_AVRO_INT:
    case SL_AVRO_LONG: v = whole(s, t); break;
    case SL_AVRO_FLOAT:
    case SL_AVRO_DOUBLE: v = floating(s, t->kind == SL_AVRO_DOUBLE); break;
    case SL_AVRO_BYTES:
    case SL_AVRO_STRING:
    case SL_AVRO_FIXED: v = bytes_value(s, t); break;
    case SL_AVRO_RECORD: v = record(s, t); break;
    case SL_AVRO_ENUM:
    case SL_AVRO_UNION: v = chosen(s, t); break;
    case SL_AVRO_ARRAY:
    case SL_AVRO_MAP: v = items(s, t); break;
    }
    s->depth--;
    return v;
}

const sl_val *sl_avro_value(sl_arena *arena, const sl_avro *type, sl_str *from, sl_err *err)
{
    source s = { .arena = arena, .rest = *from, .err = err };
    const sl_val *v = value(&s, type);
    *from = s.rest;
    return v;
}

/* ---- the file ---- */

typedef struct file {
    const sl_avro_reading *reading;
    sl_reader *in;
    sl_arena *arena;              /* of the file */
    sl_err *err;
    const sl_avro *schema;
    sl_str codec;
    char sync[SYNC];
} file;

/* true: all of them; *end when there are none, and that is fine. */
static bool read_bytes(file *f, char *to, size_t n, bool *end)
{
    size_t have = 0;
    while (have < n) {
        ptrdiff_t got = f->in->read(f->in, to + have, n - have, f->err);
        if (got < 0)
            return false;
        if (got == 0) {
            *end = have == 0 && *end;
            return *end || sl_err_set(f->err, SL_ERR_DATA, "avro.cut", "the file ends in the middle of a block");
        }
        have += (size_t)got;
    }
    *end = false;
    return true;
}

static bool read_long(file *f, int64_t *ret, bool *end)
{
    char text[10];
    for (size_t n = 0; n < sizeof text; n++) {
        if (!read_bytes(f, text + n, 1, end))
            return false;
        if (*end)
            return true;
        if ((text[n] & 0x80) == 0) {
            source s = { .arena = f->arena, .rest = { text, n + 1 }, .err = f->err };
            return take_long(&s, ret);
        }
    }
    return sl_err_set(f->err, SL_ERR_DATA, "avro.data", "the data are damaged: a number does not end");
}

static bool read_sized(file *f, sl_arena *arena, int64_t n, size_t max, sl_str *ret)
{
    bool end = false;
    if (n < 0 || (uint64_t)n > max)
        return sl_err_set(f->err, SL_ERR_LIMIT, "avro.block", "a part of the file is said to have %lld bytes, at most %zu are taken", (long long)n, max);
    char *p = SL_ARRAY(arena, char, (size_t)n + 1);
    *ret = (sl_str){ p, (size_t)n };
    return read_bytes(f, p, (size_t)n, &end);
}

static bool read_header(file *f)
{
    bool end = false;
    char magic[4];
    int64_t n, size;
    sl_str key, text, schema = { NULL, 0 };
    size_t left = HEADER_MAX;
    if (!read_bytes(f, magic, 4, &end) || memcmp(magic, "Obj\1", 4) != 0)
        return sl_err_set(f->err, SL_ERR_DATA, "avro.magic", "this is no Avro file: it does not begin with Obj and 1");
    for (;;) {
        if (!read_long(f, &n, &end) || (n < 0 && !read_long(f, &size, &end)))
            return false;
        if (n == 0)
            break;
        for (n = n < 0 ? -n : n; n > 0; n--) {
            if (!read_long(f, &size, &end) || !read_sized(f, f->arena, size, left, &key) || !read_long(f, &size, &end) || !read_sized(f, f->arena, size, left - key.n, &text))
                return false;
            left -= key.n + text.n < left ? key.n + text.n + 1 : left;
            if (sl_str_eqc(key, "avro.schema"))
                schema = text;
            else if (sl_str_eqc(key, "avro.codec"))
                f->codec = text;
        }
    }
    if (schema.p == NULL)
        return sl_err_set(f->err, SL_ERR_DATA, "avro.schema", "the file's header has no schema");
    const sl_val *doc = sl_json_parse(f->arena, schema, f->err);
    f->schema = doc ? sl_avro_parse(f->arena, doc, f->err) : NULL;
    if (f->schema == NULL)
        return sl_err_ctx(f->err, "the schema in the file's header");
    return read_bytes(f, f->sync, SYNC, &end);
}

static bool each_record(file *f, sl_str block, int64_t count)
{
    SL_ARENA arena = sl_arena_new();
    sl_arena_mark mark = sl_arena_get_mark(arena);
    for (int64_t i = 0; i < count; i++) {
        if (block.n == 0 && i > ITEMS_MAX)
            return sl_err_set(f->err, SL_ERR_DATA, "avro.data", "the data are damaged: a block claims %lld records of no bytes", (long long)count);
        const sl_val *v = sl_avro_value(arena, f->schema, &block, f->err);
        if (v == NULL) {
            sl_err_ctx(f->err, "record %lld of its block", (long long)i + 1);
            return f->reading->bad != NULL && f->reading->bad(f->reading->self, f->err);
        }
        if (!f->reading->each(f->reading->self, arena, v, f->err))
            return false;
        sl_arena_rewind(arena, mark);
    }
    return block.n == 0 || sl_err_set(f->err, SL_ERR_DATA, "avro.data", "the data are damaged: a block is longer than its records");
}

/* *end: there are no more. */
static bool read_block(file *f, bool *end)
{
    SL_ARENA arena = sl_arena_new();
    int64_t count, size;
    sl_str packed, block;
    char sync[SYNC];
    bool inside = false;
    if (!read_long(f, &count, end) || *end)
        return *end;
    if (count < 0 || !read_long(f, &size, &inside) || !read_sized(f, arena, size, SL_AVRO_BLOCK_MAX, &packed) || !read_bytes(f, sync, SYNC, &inside))
        return count >= 0 ? false : sl_err_set(f->err, SL_ERR_DATA, "avro.data", "the data are damaged: a block's count is negative");
    if (memcmp(sync, f->sync, SYNC) != 0)
        return sl_err_set(f->err, SL_ERR_DATA, "avro.sync", "the data are damaged: a block does not end with the file's sync marker");
    return sl_avro_unpack(arena, f->codec, packed, &block, f->err) && each_record(f, block, count);
}

bool sl_avro_read(const sl_avro_reading *reading, sl_reader *in, sl_err *err)
{
    SL_ARENA arena = sl_arena_new();
    file f = { .reading = reading, .in = in, .arena = arena, .err = err };
    if (!read_header(&f))
        return false;
    if (!sl_avro_codec_is_known(f.codec))
        return sl_err_set(err, SL_ERR_DATA, "avro.codec", "its blocks are packed with '%.*s'; null, deflate, snappy, bzip2, xz and zstandard are supported", SL_ARG(f.codec));
    bool end = false;
    for (int64_t n = 1; !end; n++) {
        end = true; /* it may end here, and only here */
        if (!read_block(&f, &end))
            return sl_err_ctx(err, "block %lld", (long long)n);
    }
    return true;
}
