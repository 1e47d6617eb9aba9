/*
 * base/json_plain.c: the plain JSON that nearly all is, read into values in one pass; whatever is not plain is left to jansson (json.c).
 *
 * Plain means: valid as RFC 8259 has it, whole numbers of at most 18 digits, fractions that sl_parse_double takes, no \u escapes, no key twice
 * in one object. What is said no to here is thereby no error yet: jansson says what is wrong, and where.
 */
#include "base/json_plain.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/limits.h"

typedef struct plain {
    sl_arena *arena;
    const char *p, *end;
    int depth;
} plain;

static const sl_val *value(plain *s);

static inline void blanks(plain *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r'))
        s->p++;
}

/* The escapes undone; NULL: there is one that is not plain. */
static char *unescaped(plain *s, const char *from, size_t n, size_t *ret_n)
{
    static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    char *to = SL_ARRAY(s->arena, char, n + 1);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (from[i] != '\\') {
            to[at++] = from[i];
            continue;
        }
        const char *hit = i + 1 < n ? memchr(names, from[++i], sizeof names - 1) : NULL;
        if (hit == NULL)
            return NULL;
        to[at++] = bytes[hit - names];
    }
    *ret_n = at;
    return to;
}

/* At the opening quote. */
static bool string(plain *s, sl_str *ret)
{
    bool escapes;
    s->p++;
    if (!sl_json_string(&s->p, s->end, &escapes, ret))
        return false;
    if (!escapes) {
        *ret = sl_str_dup(s->arena, *ret);
        return true;
    }
    ret->p = unescaped(s, ret->p, ret->n, &ret->n);
    return ret->p != NULL;
}

static const sl_val *number(plain *s)
{
    const char *from = s->p;
    int64_t whole = 0;
    bool negative = *s->p == '-';
    const char *digits = s->p += negative;
    while (s->p < s->end && (unsigned char)(*s->p - '0') <= 9)
        whole = whole * 10 + (*s->p++ - '0');
    size_t n = (size_t)(s->p - digits);
    if (n == 0 || n > 18 || (n > 1 && *digits == '0'))
        return NULL;
    if (s->p == s->end || (*s->p != '.' && *s->p != 'e' && *s->p != 'E'))
        return sl_val_int(s->arena, negative ? -whole : whole);
    bool digit = true; /* there must be one behind the point, and at the end */
    for (char before = '0'; s->p < s->end && ((unsigned char)(*s->p - '0') <= 9 || *s->p == '.' || (*s->p | 32) == 'e' || *s->p == '-' || *s->p == '+'); before = *s->p++) {
        digit = (unsigned char)(*s->p - '0') <= 9;
        if ((before == '.' && !digit) || (*s->p == '.' && before == '-'))
            return NULL;
    }
    double d;
    return digit && sl_parse_double((sl_str){ from, (size_t)(s->p - from) }, &d) ? sl_val_double(s->arena, d) : NULL;
}

static const sl_val *array(plain *s)
{
    sl_val *list = sl_list(s->arena);
    s->p++;
    blanks(s);
    if (s->p < s->end && *s->p == ']') {
        s->p++;
        return list;
    }
    for (;;) {
        const sl_val *v = value(s);
        if (v == NULL)
            return NULL;
        sl_list_add(s->arena, list, v);
        blanks(s);
        if (s->p == s->end || (*s->p != ',' && *s->p != ']'))
            return NULL;
        if (*s->p++ == ']')
            return list;
    }
}

static const sl_val *object(plain *s)
{
    sl_val *map = sl_map(s->arena);
    uint64_t seen = 0;
    s->p++;
    blanks(s);
    if (s->p < s->end && *s->p == '}') {
        s->p++;
        return map;
    }
    for (;;) {
        sl_str key;
        blanks(s);
        if (s->p == s->end || *s->p != '"' || !string(s, &key))
            return NULL;
        blanks(s);
        if (s->p == s->end || *s->p++ != ':')
            return NULL;
        const sl_val *v = value(s);
        size_t before = map->map.n;
        if (v == NULL)
            return NULL;
        sl_map_put(s->arena, map, key, v, &seen);
        blanks(s);
        if (map->map.n == before || s->p == s->end || (*s->p != ',' && *s->p != '}'))
            return NULL;
        if (*s->p++ == '}')
            return map;
    }
}

static bool word(plain *s, const char *text, size_t n)
{
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, text, n) != 0)
        return false;
    s->p += n;
    return true;
}

static const sl_val *value(plain *s)
{
    sl_str text;
    const sl_val *v = NULL;
    blanks(s);
    if (s->p == s->end || ++s->depth > SL_JSON_DEPTH_MAX)
        return NULL;
    switch (*s->p) {
    case '{': v = object(s); break;
    case '[': v = array(s); break;
    case '"': v = string(s, &text) ? sl_val_str(s->arena, text) : NULL; break;
    case 't': v = word(s, "true", 4) ? &sl_true_val : NULL; break;
    case 'f': v = word(s, "false", 5) ? &sl_false_val : NULL; break;
    case 'n': v = word(s, "null", 4) ? &sl_null_val : NULL; break;
    default: v = number(s); break;
    }
    s->depth--;
    return v;
}

const sl_val *sl_json_plain(sl_arena *arena, sl_str text)
{
    plain s = { .arena = arena, .p = text.p, .end = text.p + text.n };
    if (text.n == 0)
        return NULL;
    const sl_val *v = value(&s);
    blanks(&s);
    return s.p == s.end ? v : NULL;
}
