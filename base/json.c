/* base/json.c: jansson on the way in; a small writer on the way out (Java's number forms, null handling). */
#include "base/json.h"

#include <jansson.h>
#include <math.h>

#include "base/arena.h"
#include "base/json_plain.h"
#include "base/limits.h"

static const sl_val *from_jansson(sl_arena *arena, const json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_NULL: return &sl_null_val;
    case JSON_TRUE: return &sl_true_val;
    case JSON_FALSE: return &sl_false_val;
    case JSON_INTEGER: return sl_val_int(arena, json_integer_value(j));
    case JSON_REAL: return sl_val_double(arena, json_real_value(j));
    case JSON_STRING: return sl_val_str(arena, sl_str_dup(arena, (sl_str){ json_string_value(j), json_string_length(j) }));
    case JSON_ARRAY: {
        sl_val *list = sl_list(arena);
        for (size_t i = 0; i < json_array_size(j); i++)
            sl_list_add(arena, list, from_jansson(arena, json_array_get(j, i)));
        return list;
    }
    case JSON_OBJECT: {
        sl_val *map = sl_map(arena);
        json_t *object = (json_t *)(uintptr_t)j; /* the iterator API is not const-correct */
        const char *key;
        json_t *value;
        json_object_foreach(object, key, value)
            sl_map_set(arena, map, sl_str_dup(arena, sl_str_c(key)), from_jansson(arena, value));
        return map;
    }
    }
    return &sl_null_val;
}

/* jansson recurses up to its own compiled-in depth; ours is smaller and counted before it sees the text. */
static bool depth_ok(sl_str text)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"')
            in_string = true;
        else if (c == '{' || c == '[') {
            if (++depth > SL_JSON_DEPTH_MAX)
                return false;
        } else if (c == '}' || c == ']')
            depth--;
    }
    return true;
}

/* Integers of more than 64 bits as texts: they keep all their digits. */
static sl_str big_integers_quoted(sl_arena *arena, sl_str text)
{
    sl_buf b = sl_buf_new(arena, 2 * text.n + 2);
    bool inside = false;
    for (size_t i = 0; i < text.n;) {
        char c = text.p[i];
        size_t n = 1;
        if (c == '"')
            inside = !inside;
        else if (c == '\\' && inside)
            n = i + 1 < text.n ? 2 : 1;
        else if (!inside && (c == '-' || (c >= '0' && c <= '9'))) {
            int64_t ignored;
            while (i + n < text.n && strchr("0123456789.eE+-", text.p[i + n]) != NULL && text.p[i + n] != '\0')
                n++;
            sl_str number = sl_str_sub(text, i, i + n);
            bool whole = memchr(number.p, '.', n) == NULL && memchr(number.p, 'e', n) == NULL && memchr(number.p, 'E', n) == NULL;
            if (whole && n > 18 && !sl_parse_int(number, &ignored)) {
                sl_buf_fmt(&b, "\"%.*s\"", SL_ARG(number));
                i += n;
                continue;
            }
        }
        sl_buf_add(&b, sl_str_sub(text, i, i + n));
        i += n;
    }
    return sl_buf_str(&b);
}

const sl_val *sl_json_parse_exactly(sl_arena *arena, sl_str text, sl_err *err)
{
    if (text.n > SL_JSON_SIZE_MAX) {
        sl_err_set(err, SL_ERR_LIMIT, "json.size", "JSON text of %zu bytes is larger than the limit of %d", text.n, SL_JSON_SIZE_MAX);
        return NULL;
    }
    if (!depth_ok(text)) {
        sl_err_set(err, SL_ERR_LIMIT, "json.depth", "JSON text is nested deeper than %d levels", SL_JSON_DEPTH_MAX);
        return NULL;
    }
    json_error_t problem;
    const size_t flags = JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
    json_t *doc = json_loadb(text.p ? text.p : "", text.n, flags, &problem);
    if (doc == NULL && json_error_code(&problem) == json_error_numeric_overflow) {
        json_error_t ignored;
        sl_str quoted = big_integers_quoted(arena, text);
        doc = json_loadb(quoted.p, quoted.n, flags, &ignored);
    }
    if (doc == NULL) {
        sl_err_at(err, problem.line > 0 ? (uint32_t)problem.line : 0, problem.column > 0 ? (uint32_t)problem.column : 0,
                  SL_ERR_DATA, "json.syntax", "not valid JSON at line %d, column %d: %s", problem.line, problem.column,
                  problem.text);
        return NULL;
    }
    const sl_val *v = from_jansson(arena, doc);
    json_decref(doc);
    return v;
}

const sl_val *sl_json_parse(sl_arena *arena, sl_str text, sl_err *err)
{
    sl_arena_mark mark = sl_arena_get_mark(arena);
    const sl_val *v = text.n <= SL_JSON_SIZE_MAX ? sl_json_plain(arena, text) : NULL;
    if (v != NULL)
        return v;
    sl_arena_rewind(arena, mark);
    return sl_json_parse_exactly(arena, text, err);
}

void sl_json_quote(sl_buf *b, sl_str s)
{
    sl_buf_char(b, '"');
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        for (size_t n = 8; n == 8 && i + 8 <= s.n; i += n)
            n = sl_json_plain_bytes(s.p + i);
        if (i == s.n)
            break;
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        sl_buf_add(b, (sl_str){ s.p + from, i - from });
        from = i + 1;
        switch (c) {
        case '"': sl_buf_addc(b, "\\\""); break;
        case '\\': sl_buf_addc(b, "\\\\"); break;
        case '\n': sl_buf_addc(b, "\\n"); break;
        case '\r': sl_buf_addc(b, "\\r"); break;
        case '\t': sl_buf_addc(b, "\\t"); break;
        case '\b': sl_buf_addc(b, "\\b"); break;
        case '\f': sl_buf_addc(b, "\\f"); break;
        default: sl_buf_fmt(b, "\\u%04x", c);
        }
    }
    sl_buf_add(b, (sl_str){ s.p + from, s.n - from });
    sl_buf_char(b, '"');
}

typedef struct writer {
    sl_arena *arena;
    sl_buf buf;
    bool skip_nulls;
    int indent; /* -1 = compact */
} writer;

static void write_val(writer *w, const sl_val *v, int level);

static void newline(writer *w, int level)
{
    if (w->indent < 0)
        return;
    sl_buf_char(&w->buf, '\n');
    for (int i = 0; i < level * w->indent; i++)
        sl_buf_char(&w->buf, ' ');
}

static void write_map(writer *w, const sl_val *v, int level)
{
    bool first = true;
    sl_buf_char(&w->buf, '{');
    for (size_t i = 0; i < v->map.n; i++) {
        const sl_entry *e = &v->map.entries[i];
        if (w->skip_nulls && e->value->type == SL_NULL)
            continue;
        if (!first)
            sl_buf_char(&w->buf, ',');
        first = false;
        newline(w, level + 1);
        sl_json_quote(&w->buf, e->key);
        sl_buf_addc(&w->buf, w->indent < 0 ? ":" : ": ");
        write_val(w, e->value, level + 1);
    }
    if (!first)
        newline(w, level);
    sl_buf_char(&w->buf, '}');
}

static void write_list(writer *w, const sl_val *v, int level)
{
    sl_buf_char(&w->buf, '[');
    for (size_t i = 0; i < v->list.n; i++) {
        if (i > 0)
            sl_buf_char(&w->buf, ',');
        newline(w, level + 1);
        write_val(w, v->list.items[i], level + 1);
    }
    if (v->list.n > 0)
        newline(w, level);
    sl_buf_char(&w->buf, ']');
}

static void write_val(writer *w, const sl_val *v, int level)
{
    switch (v->type) {
    case SL_NULL: sl_buf_addc(&w->buf, "null"); break;
    case SL_BOOL: sl_buf_addc(&w->buf, v->b ? "true" : "false"); break;
    case SL_INT: sl_buf_int(&w->buf, v->i); break;
    case SL_DOUBLE: {
        char text[40];
        sl_buf_add(&w->buf, isfinite(v->d) ? (sl_str){ text, sl_double_java(v->d, text) } : SL_S("null"));
        break;
    }
    case SL_STRING: sl_json_quote(&w->buf, v->s); break;
    case SL_TIME: sl_json_quote(&w->buf, sl_time_java(w->arena, v->t)); break;
    case SL_DURATION: sl_json_quote(&w->buf, sl_duration_text(w->arena, v->i)); break;
    case SL_LIST: write_list(w, v, level); break;
    case SL_MAP: write_map(w, v, level); break;
    }
}

static sl_str write_json(sl_arena *arena, const sl_val *v, bool skip_nulls, int indent)
{
    writer w = { .arena = arena, .buf = sl_buf_new(arena, SIZE_MAX / 4), .skip_nulls = skip_nulls, .indent = indent };
    write_val(&w, v ? v : &sl_null_val, 0);
    return sl_buf_str(&w.buf);
}

sl_str sl_json(sl_arena *arena, const sl_val *v)
{
    return write_json(arena, v, false, -1);
}

sl_str sl_json_text(sl_arena *arena, const sl_val *v)
{
    return write_json(arena, v, true, -1);
}

sl_str sl_json_pretty(sl_arena *arena, const sl_val *v)
{
    return write_json(arena, v, false, 2);
}
