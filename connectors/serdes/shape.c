/* connectors/serdes/shape.c: see shape.h. */
#include "connectors/serdes/shape.h"

#include "base/arena.h"
#include "base/ion.h"
#include "base/json.h"
#include "base/json_plain.h"

enum { FIELDS_MAX = 4096, PATIENCE = 32 };

void sl_shape_open(sl_shape *s, sl_shape_format from, sl_shape_format to)
{
    *s = (sl_shape){ .from = from, .to = to, .arena = sl_arena_new() };
}

void sl_shape_close(sl_shape *s)
{
    if (s->arena != NULL)
        sl_arena_free(s->arena);
    s->arena = NULL;
}

/* ---- taking a line apart ---- */

typedef struct scan {
    const char *p, *end;
} scan;

static inline bool at(const scan *s, char c)
{
    return s->p < s->end && *s->p == c;
}

static inline void blanks(scan *s)
{
    while (at(s, ' '))
        s->p++;
}

/* Most names are short: eight bytes at once. The key has eight behind it. */
static inline bool starts(const scan *s, sl_str key)
{
    uint64_t a, b;
    if ((size_t)(s->end - s->p) <= key.n)
        return false;
    if (key.n > 8 || s->end - s->p < 8)
        return memcmp(s->p, key.p, key.n) == 0;
    memcpy(&a, s->p, 8);
    memcpy(&b, key.p, 8);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? (a ^ b) << (64 - 8 * key.n) == 0 : (a ^ b) >> (64 - 8 * key.n) == 0;
}

static inline bool digit(const scan *s)
{
    return s->p < s->end && (unsigned char)(*s->p - '0') <= 9;
}

/* Behind the opening quote. */
static bool string(scan *s, sl_piece *ret)
{
    ret->kind = SL_PIECE_STRING;
    if (!sl_json_string(&s->p, s->end, &ret->escaped, &ret->text))
        return false;
    for (size_t i = 0; ret->escaped && i < ret->text.n; i++)
        if (ret->text.p[i] == '\\' && memchr("\"\\nrt", ret->text.p[++i], 5) == NULL)
            return false;
    return true;
}

/* A fraction that every writer here writes with just these digits: none at the end is 0, and it is neither large nor tiny. */
static bool fraction(scan *s, const char *from, size_t whole, bool ion, sl_piece *ret)
{
    enum { WHOLE_MAX = 6, DIGITS_MAX = 9 };
    const char *point = s->p++;
    while (digit(s))
        s->p++;
    size_t n = (size_t)(s->p - point) - 1;
    if (whole > WHOLE_MAX || n == 0 || n > DIGITS_MAX || s->p[-1] == '0' || (whole == 1 && point[-1] == '0' && point[1] == '0'))
        return false;
    *ret = (sl_piece){ SL_PIECE_DOUBLE, false, { from, (size_t)(s->p - from) } };
    if (!ion)
        return true;
    if (s->end - s->p < 2 || memcmp(s->p, "e0", 2) != 0)
        return false;
    s->p += 2;
    return true;
}

static bool number(scan *s, bool ion, sl_piece *ret)
{
    enum { DIGITS_MAX = 18 };
    const char *from = s->p;
    bool negative = at(s, '-');
    const char *digits = s->p += negative;
    while (digit(s))
        s->p++;
    size_t n = (size_t)(s->p - digits);
    if (n == 0 || n > DIGITS_MAX || (*digits == '0' && n > 1))
        return false;
    if (at(s, '.'))
        return fraction(s, from, n, ion, ret);
    *ret = (sl_piece){ SL_PIECE_INT, false, { from, (size_t)(s->p - from) } };
    return !negative || *digits != '0';
}

static bool word(scan *s, const char *text, size_t n, sl_piece_kind kind, sl_piece *ret)
{
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, text, n) != 0)
        return false;
    *ret = (sl_piece){ kind, false, { s->p, n } };
    s->p += n;
    return true;
}

/* A plain value, and nothing that would belong to it behind it. */
static bool value(scan *s, bool ion, sl_piece *ret)
{
    bool ok;
    switch (s->p < s->end ? *s->p : '\0') {
    case '"': s->p++; ok = string(s, ret); break;
    case 'n': ok = word(s, "null", 4, SL_PIECE_NULL, ret); break;
    case 't': ok = word(s, "true", 4, SL_PIECE_BOOL, ret); break;
    case 'f': ok = word(s, "false", 5, SL_PIECE_BOOL, ret); break;
    default: ok = number(s, ion, ret); break;
    }
    blanks(s);
    return ok && (at(s, ',') || at(s, '}'));
}

bool sl_shape_match(sl_shape *s, sl_str line)
{
    scan in = { line.p, line.p + line.n };
    if (s->n == 0 || !at(&in, '{'))
        return false;
    for (size_t i = 0; i < s->n; i++) {
        in.p++; /* '{' or ',' */
        blanks(&in);
        sl_str key = s->keys[i];
        if (!starts(&in, key))
            return false;
        in.p += key.n;
        blanks(&in);
        if (!at(&in, ':'))
            return false;
        in.p++;
        blanks(&in);
        if (!value(&in, s->from == SL_SHAPE_ION, &s->pieces[i]) || *in.p != (i + 1 < s->n ? ',' : '}'))
            return false;
    }
    s->misses = 0;
    return in.p + 1 == in.end;
}

/* ---- its names ---- */

/* The next key as it is written, when it is that one without escapes. */
static bool key_of(scan *s, bool ion, sl_str wanted, sl_str *ret)
{
    const char *from = s->p;
    bool quoted = at(s, '"') || (ion && at(s, '\''));
    size_t n = wanted.n + 2 * quoted;
    if (wanted.n == 0 || (!quoted && !ion) || (size_t)(s->end - s->p) < n || memcmp(from + quoted, wanted.p, wanted.n) != 0 || (quoted && from[n - 1] != *from))
        return false;
    *ret = (sl_str){ from, n };
    s->p += n;
    return true;
}

static sl_str padded(sl_arena *arena, sl_str s)
{
    char *copy = SL_ARRAY(arena, char, s.n + 8);
    memcpy(copy, s.p, s.n);
    return (sl_str){ copy, s.n };
}

static sl_str name_to_write(const sl_shape *s, sl_str key)
{
    sl_val *one = sl_map(s->arena);
    sl_map_set(s->arena, one, key, &sl_null_val);
    sl_str text = s->to == SL_SHAPE_JSON ? sl_json(s->arena, one) : (sl_str){ NULL, 0 };
    if (s->to == SL_SHAPE_ION) {
        sl_buf b = sl_buf_new(s->arena, SIZE_MAX / 4);
        sl_ion_write(&b, s->arena, one);
        text = sl_buf_str(&b);
    }
    return sl_str_sub(text, 1, text.n - sizeof "null}" + 1); /* of {name:null} */
}

static bool learn(sl_shape *s, sl_str line, const sl_val *v)
{
    size_t n = v->map.n;
    scan in = { line.p, line.p + line.n };
    if (n == 0 || n > FIELDS_MAX || !at(&in, '{'))
        return false;
    s->keys = SL_ARRAY(s->arena, sl_str, n);
    s->names = SL_ARRAY(s->arena, sl_str, n);
    s->pieces = SL_ARRAY(s->arena, sl_piece, n);
    for (size_t i = 0; i < n; i++) {
        sl_str wanted = v->map.entries[i].key;
        in.p++;
        blanks(&in);
        if (!key_of(&in, s->from == SL_SHAPE_ION, wanted, &s->keys[i]))
            return false;
        s->keys[i] = padded(s->arena, s->keys[i]);
        blanks(&in);
        if (!at(&in, ':'))
            return false;
        in.p++;
        blanks(&in);
        if (!value(&in, s->from == SL_SHAPE_ION, &s->pieces[i]))
            return false;
        s->names[i] = name_to_write(s, wanted);
    }
    s->n = n;
    return at(&in, '}') && in.p + 1 == in.end;
}

void sl_shape_learn(sl_shape *s, sl_str line, const sl_val *v)
{
    /* Where lines of several shapes take turns, looking at each costs more than it saves. */
    if (v->type != SL_MAP || (s->n > 0 && ++s->misses % PATIENCE != 0))
        return;
    sl_arena_free(s->arena);
    s->arena = sl_arena_new();
    s->n = 0;
    if (!learn(s, line, v))
        s->n = 0;
}

/* ---- and written ---- */

void sl_shape_write(const sl_shape *s, sl_buf *b)
{
    size_t most = 2;
    for (size_t i = 0; i < s->n; i++)
        most += s->names[i].n + s->pieces[i].text.n + 3;
    char *from = sl_buf_room(b, most), *to = from;
    if (from == NULL)
        return; /* the buffer says so itself */
    for (size_t i = 0; i < s->n; i++) {
        const sl_piece *p = &s->pieces[i];
        *to++ = i == 0 ? '{' : ',';
        memcpy(to, s->names[i].p, s->names[i].n);
        to += s->names[i].n;
        if (p->kind == SL_PIECE_STRING)
            *to++ = '"';
        memcpy(to, p->text.p, p->text.n);
        to += p->text.n;
        if (p->kind == SL_PIECE_STRING)
            *to++ = '"';
        else if (p->kind == SL_PIECE_DOUBLE && s->to == SL_SHAPE_ION) {
            *to++ = 'e';
            *to++ = '0';
        }
    }
    *to++ = '}';
    b->n += (size_t)(to - from);
}
