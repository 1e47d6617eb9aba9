/* connectors/serdes/avro_encode.c: values as Avro. See avro_write.h. */
#include "base/arena.h"
#include "base/json.h"
#include "base/time.h"
#include "connectors/serdes/avro_write.h"

typedef struct sink {
    sl_buf *out;
    sl_arena *arena;
    const sl_avro_rules *rules;
    sl_err *err;
    int depth;
} sink;

static bool put(sink *s, const sl_avro *t, const sl_val *v);

static bool refuse(sink *s, const sl_val *v, const char *wanted)
{
    sl_str text = sl_val_text(s->arena, v);
    return sl_err_set(s->err, SL_ERR_DATA, "avro.value", "'%.*s' is no %s", (int)(text.n < 100 ? text.n : 100), text.p, wanted);
}

void sl_avro_put_long(sl_buf *out, int64_t n)
{
    for (uint64_t u = (uint64_t)n << 1 ^ (uint64_t)(n >> 63);; u >>= 7) {
        sl_buf_char(out, (char)(u < 0x80 ? u : (u & 0x7F) | 0x80));
        if (u < 0x80)
            return;
    }
}

static void put_bytes(sink *s, sl_str bytes)
{
    sl_avro_put_long(s->out, (int64_t)bytes.n);
    sl_buf_add(s->out, bytes);
}

bool sl_avro_is_word(const sl_val *words, sl_str text)
{
    for (size_t i = 0; i < sl_val_count(words); i++)
        if (sl_str_ieq(sl_text(sl_at(words, i)), text))
            return true;
    return false;
}

/* ---- numbers ---- */

/* Digits with the rules' separator as others know them. */
static sl_str number_text(const sink *s, const sl_val *v)
{
    sl_str text = sl_str_trim(sl_val_text(s->arena, v)), separator = s->rules->decimal_separator;
    return v->type == SL_STRING && separator.n > 0 && !sl_str_eqc(separator, ".") ? sl_str_replace(s->arena, text, separator, SL_S(".")) : text;
}

static bool whole_of(sink *s, const sl_val *v, int64_t least, int64_t most, const char *wanted, int64_t *ret)
{
    double d;
    bool ok = v->type == SL_INT || v->type == SL_STRING || v->type == SL_DOUBLE;
    if (v->type == SL_INT)
        *ret = v->i;
    else if (ok && !sl_parse_int(number_text(s, v), ret)) {
        ok = sl_parse_double(number_text(s, v), &d) && d >= -9007199254740992.0 && d <= 9007199254740992.0 && d == (double)(int64_t)d;
        *ret = ok ? (int64_t)d : 0;
    }
    return (ok && *ret >= least && *ret <= most) || refuse(s, v, wanted);
}

static bool put_floating(sink *s, const sl_val *v, bool is_double)
{
    double d;
    if (v->type == SL_INT)
        d = (double)v->i;
    else if ((v->type != SL_DOUBLE && v->type != SL_STRING) || (v->type == SL_DOUBLE ? (d = v->d, false) : !sl_parse_double(number_text(s, v), &d)))
        return refuse(s, v, "number");
    float f = (float)d;
    uint64_t bits = 0;
    uint32_t low;
    memcpy(&low, &f, 4);
    if (is_double)
        memcpy(&bits, &d, 8);
    else
        bits = low;
    for (int i = 0; i < (is_double ? 8 : 4); i++)
        sl_buf_char(s->out, (char)(bits >> 8 * i & 0xFF));
    return true;
}

/* As a whole number of 10^-scale, in two's complement, the highest byte first. Exact, or refused. */
static bool put_decimal(sink *s, const sl_avro *t, const sl_val *v)
{
    enum { DIGITS_MAX = 38 };
    __extension__ typedef unsigned __int128 wide;
    sl_str text = v->type == SL_DOUBLE ? sl_fmt(s->arena, "%.17g", v->d) : number_text(s, v);
    double shortest;
    for (int digits = 1; v->type == SL_DOUBLE && digits <= 17; digits++)
        if (sl_parse_double(text = sl_fmt(s->arena, "%.*f", digits, v->d), &shortest) && shortest == v->d)
            break;
    bool negative = text.n > 0 && text.p[0] == '-';
    wide n = 0;
    int digits = 0, behind = -1;
    for (size_t i = negative || (text.n > 0 && text.p[0] == '+'); i < text.n; i++) {
        if (text.p[i] == '.' && behind < 0) {
            behind = 0;
            continue;
        }
        if (text.p[i] < '0' || text.p[i] > '9' || (behind >= t->scale && text.p[i] != '0') || digits > DIGITS_MAX)
            return refuse(s, v, "decimal of the schema's precision and scale");
        if (behind >= 0 && behind++ >= t->scale)
            continue;
        n = n * 10 + (unsigned)(text.p[i] - '0');
        digits += n > 0;
    }
    for (behind = behind < 0 ? 0 : behind; behind < t->scale && digits <= DIGITS_MAX; behind++, digits += n > 0)
        n *= 10;
    if (text.n == negative || digits > DIGITS_MAX || digits > t->precision)
        return refuse(s, v, "decimal of the schema's precision and scale");
    wide bits = negative ? (wide)0 - n : n;
    size_t size = t->kind == SL_AVRO_FIXED ? (size_t)t->size : 1;
    /* As few bytes as keep the sign, where there is a choice. */
    while (t->kind != SL_AVRO_FIXED && size < 17 && size < 16 && (negative ? (wide)~bits >> (8 * size - 1) : bits >> (8 * size - 1)) != 0)
        size++;
    if (size < 16 && (negative ? (wide)~bits >> (8 * size - 1) : bits >> (8 * size - 1)) != 0)
        return refuse(s, v, "decimal that the schema's fixed size holds");
    if (t->kind != SL_AVRO_FIXED)
        sl_avro_put_long(s->out, (int64_t)size);
    for (size_t i = size; i-- > 0;) {
        unsigned byte = i >= 16 ? (negative ? 0xFFU : 0) : (unsigned)(bits >> (8 * i)) & 0xFF;
        sl_buf_char(s->out, (char)byte);
    }
    return true;
}

/* ---- times ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static bool time_of(const sl_val *v, sl_str pattern, sl_time *ret)
{
    if (v->type == SL_TIME) {
        *ret = v->t;
        return true;
    }
    return v->type == SL_STRING && (sl_time_parse_pattern(v->s, pattern, ret) || sl_time_parse(v->s, ret));
}

/* Seconds of an instant; of a time without a zone, in the rules' zone. */
static int64_t instant_of(const sink *s, sl_time t)
{
    return t.kind == SL_TIME_LOCAL || t.kind == SL_TIME_DATE ? sl_tz_to_utc(s->rules->zone, t.s) : t.s;
}

static int64_t wall_of(const sink *s, sl_time t)
{
    return t.kind == SL_TIME_INSTANT ? sl_time_wall(sl_time_at(t.s, t.ns, s->rules->zone)) : t.kind == SL_TIME_ZONED ? sl_time_wall(t) : t.s;
}

static bool put_time(sink *s, const sl_avro *t, const sl_val *v)
{
    const sl_avro_rules *r = s->rules;
    bool day = t->logical == SL_AVRO_DATE, of_day = t->logical == SL_AVRO_TIME_MILLIS || t->logical == SL_AVRO_TIME_MICROS;
    bool millis = t->logical == SL_AVRO_TIME_MILLIS || t->logical == SL_AVRO_STAMP_MILLIS || t->logical == SL_AVRO_LOCAL_MILLIS;
    bool stamp = t->logical == SL_AVRO_STAMP_MILLIS || t->logical == SL_AVRO_STAMP_MICROS;
    sl_time at;
    int64_t n;
    if (v->type == SL_INT) { /* as it is in the file */
        if (!whole_of(s, v, t->kind == SL_AVRO_INT ? INT32_MIN : INT64_MIN, t->kind == SL_AVRO_INT ? INT32_MAX : INT64_MAX, "time", &n))
            return false;
        sl_avro_put_long(s->out, n);
        return true;
    }
    if (!time_of(v, day ? r->date : of_day ? r->time : r->date_time, &at) || (of_day != (at.kind == SL_TIME_OF_DAY)))
        return refuse(s, v, day ? "date" : of_day ? "time of day" : "date with a time");
    if (day)
        n = floor_div(wall_of(s, at), 86400);
    else
        n = (stamp ? instant_of(s, at) : of_day ? at.s : wall_of(s, at)) * (millis ? 1000 : 1000000) + at.ns / (millis ? 1000000 : 1000);
    if (t->kind == SL_AVRO_INT && (n < INT32_MIN || n > INT32_MAX))
        return refuse(s, v, "date that an int holds");
    sl_avro_put_long(s->out, n);
    return true;
}

/* ---- the rest ---- */

static bool put_boolean(sink *s, const sl_val *v)
{
    sl_str text = v->type == SL_STRING ? sl_str_trim(v->s) : v->type == SL_INT ? sl_val_text(s->arena, v) : SL_S("-");
    bool yes = v->type == SL_BOOL ? v->b : sl_avro_is_word(s->rules->true_words, text);
    if (v->type != SL_BOOL && !yes && !sl_avro_is_word(s->rules->false_words, text))
        return refuse(s, v, "boolean");
    sl_buf_char(s->out, yes ? 1 : 0);
    return true;
}

static bool put_text(sink *s, const sl_avro *t, const sl_val *v)
{
    sl_str text = v->type == SL_LIST || v->type == SL_MAP ? sl_json(s->arena, v) : sl_val_text(s->arena, v), bytes;
    if (v->type == SL_NULL)
        return refuse(s, v, "string");
    if (t->kind == SL_AVRO_STRING) {
        put_bytes(s, text);
        return true;
    }
    for (size_t i = 0; t->kind == SL_AVRO_ENUM && i < t->count; i++)
        if (sl_str_eq(sl_text(sl_at(t->symbols, i)), text)) {
            sl_avro_put_long(s->out, (int64_t)i);
            return true;
        }
    if (t->kind == SL_AVRO_ENUM)
        return refuse(s, v, "symbol of the schema's enum");
    /* Bytes are base64 in records, as the readers here write them; text that is none stands for its own bytes. */
    if (!sl_base64_decode(s->arena, text, &bytes))
        bytes = text;
    if (t->kind == SL_AVRO_FIXED && bytes.n != (size_t)t->size)
        return refuse(s, v, "value of the schema's fixed size");
    if (t->kind == SL_AVRO_FIXED)
        sl_buf_add(s->out, bytes);
    else
        put_bytes(s, bytes);
    return true;
}

static bool put_items(sink *s, const sl_avro *t, const sl_val *v)
{
    bool array = t->kind == SL_AVRO_ARRAY;
    if (v->type != (array ? SL_LIST : SL_MAP))
        return refuse(s, v, array ? "list" : "map");
    if (sl_val_count(v) > 0)
        sl_avro_put_long(s->out, (int64_t)sl_val_count(v));
    for (size_t i = 0; i < sl_val_count(v); i++) {
        if (!array)
            put_bytes(s, v->map.entries[i].key);
        if (!put(s, t->branches[0], array ? v->list.items[i] : v->map.entries[i].value))
            return false;
    }
    sl_avro_put_long(s->out, 0);
    return true;
}

static bool put_record(sink *s, const sl_avro *t, const sl_val *v)
{
    size_t known = 0;
    if (v->type != SL_MAP)
        return refuse(s, v, "record");
    for (size_t i = 0; i < t->count; i++) {
        const sl_avro_field *f = &t->fields[i];
        const sl_val *one = sl_get_str(v, f->name);
        known += one != NULL;
        one = one ? one : f->fallback ? f->fallback : &sl_null_val;
        if (!put(s, f->type, one))
            return sl_err_ctx(s->err, "field '%.*s'", SL_ARG(f->name));
    }
    return !s->rules->strict || known == v->map.n || sl_err_set(s->err, SL_ERR_DATA, "avro.strict", "the record has %zu fields that the schema has not, and 'strictSchema' is true", v->map.n - known);
}

/* Is it of this type already? */
static bool fits(const sl_avro *t, const sl_val *v)
{
    switch (v->type) {
    case SL_NULL: return t->kind == SL_AVRO_NULL;
    case SL_BOOL: return t->kind == SL_AVRO_BOOLEAN;
    case SL_INT: return (t->kind == SL_AVRO_INT && v->i >= INT32_MIN && v->i <= INT32_MAX && t->logical == SL_AVRO_PLAIN) || (t->kind == SL_AVRO_LONG && t->logical == SL_AVRO_PLAIN);
    case SL_DOUBLE: return t->kind == SL_AVRO_DOUBLE || t->kind == SL_AVRO_FLOAT;
    case SL_TIME: return t->logical >= SL_AVRO_DATE && t->logical <= SL_AVRO_LOCAL_MICROS;
    case SL_LIST: return t->kind == SL_AVRO_ARRAY;
    case SL_MAP: return t->kind == SL_AVRO_RECORD || t->kind == SL_AVRO_MAP;
    default: return t->kind == SL_AVRO_STRING;
    }
}

/* The branch that is of the value's own type, or else the first that it can be turned into. */
static bool put_union(sink *s, const sl_avro *t, const sl_val *v)
{
    size_t begin = s->out->n;
    bool text = false;
    for (size_t i = 0; i < t->count; i++)
        text = text || t->branches[i]->kind == SL_AVRO_STRING;
    bool null_word = v->type == SL_STRING && (s->rules->all_fields || !text) && sl_avro_is_word(s->rules->null_words, v->s);
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < t->count; i++) {
            const sl_avro *b = t->branches[i];
            if (null_word != (b->kind == SL_AVRO_NULL) && (null_word || v->type != SL_NULL))
                continue;
            if (pass == 0 && !fits(b, null_word ? &sl_null_val : v))
                continue;
            sl_avro_put_long(s->out, (int64_t)i);
            if (put(s, b, null_word ? &sl_null_val : v))
                return true;
            s->out->n = begin;
        }
    return t->count > 2 || s->err->code[0] == '\0' ? refuse(s, v, "value of any of the schema's types") : false;
}

static bool put(sink *s, const sl_avro *t, const sl_val *v)
{
    bool ok = false;
    int64_t n;
    if (++s->depth > SL_AVRO_DEPTH_MAX)
        return sl_err_set(s->err, SL_ERR_DATA, "avro.depth", "a record is nested too deeply");
    switch (t->kind) {
    case SL_AVRO_NULL: ok = v->type == SL_NULL || (v->type == SL_STRING && sl_avro_is_word(s->rules->null_words, v->s)) || refuse(s, v, "null"); break;
    case SL_AVRO_BOOLEAN: ok = put_boolean(s, v); break;
    case SL_AVRO_INT:
    case SL_AVRO_LONG:
        if (t->logical != SL_AVRO_PLAIN)
            ok = put_time(s, t, v);
        else if ((ok = whole_of(s, v, t->kind == SL_AVRO_INT ? INT32_MIN : INT64_MIN, t->kind == SL_AVRO_INT ? INT32_MAX : INT64_MAX, t->kind == SL_AVRO_INT ? "int" : "long", &n)))
            sl_avro_put_long(s->out, n);
        break;
    case SL_AVRO_FLOAT:
    case SL_AVRO_DOUBLE: ok = put_floating(s, v, t->kind == SL_AVRO_DOUBLE); break;
    case SL_AVRO_BYTES:
    case SL_AVRO_FIXED:
    case SL_AVRO_STRING:
    case SL_AVRO_ENUM: ok = t->logical == SL_AVRO_DECIMAL ? put_decimal(s, t, v) : put_text(s, t, v); break;
    case SL_AVRO_RECORD: ok = put_record(s, t, v); break;
    case SL_AVRO_ARRAY:
    case SL_AVRO_MAP: ok = put_items(s, t, v); break;
    case SL_AVRO_UNION: ok = put_union(s, t, v); break;
    }
    s->depth--;
    return ok;
}

bool sl_avro_encode(sl_buf *out, sl_arena *arena, const sl_avro *type, const sl_val *v, const sl_avro_rules *rules, sl_err *err)
{
    sink s = { .out = out, .arena = arena, .rules = rules, .err = err };
    size_t begin = out->n;
    sl_err_clear(err);
    if (put(&s, type, v) && !out->overflow)
        return true;
    out->n = begin;
    return out->overflow ? sl_err_set(err, SL_ERR_LIMIT, "avro.record", "a record is larger than %zu bytes", out->max) : false;
}
