/* tests/unit/test_shape.c: what is copied from lines of one shape is what the parsers and writers make of them. */
#include "base/ion.h"
#include "base/json.h"
#include "connectors/serdes/shape.h"
#include "tests/unit/fixture.h"

enum { ROUNDS = 40000, LINE_MAX = 4096 };

static uint64_t state = 7;

static unsigned any(unsigned n)
{
    state = state * 6364136223846793005U + 1442695040888963407U;
    return (unsigned)(state >> 33) % n;
}

static const char *const texts[] = { "",      "a",         "plain text, longer than eight", "with \"quotes\"", "back\\slash", "two\nlines\tand\rmore", "\x01\x1f", "ä€😀", "// no /* comment */", "\\N", "12", "a/b",
                                     "\x7f", "null", "{}", "\xe2\x80\xa8 line separator", "'single'",  "}" };
static const char *const numbers[] = { "0", "-1", "9223372036854775807", "123456789012345678", "-999999999999999999", "1.5", "0.1", "-0.25", "0.001", "0.01", "123456.789", "1234567.5", "10.0", "1e3", "1.5e300",
                                       "0.000123", "100000.000000001", "3.141592653589793", "-0.0", "1.10", "007", "1.", "0.5e0", "12.25e0", "9999999.9" };
static const char *const keys[] = { "a", "name", "with blank", "ä", "null", "x1", "_y", "a", "quote'd", "tip_amount" };

/* One field's value as text of that format; wrong ones among them. */
static void put_value(sl_test_context *t, sl_buf *b, bool ion, unsigned depth)
{
    unsigned kind = any(12);
    switch (kind == 6 && depth == 2 ? 7 : kind) {
    case 0: sl_buf_addc(b, "null"); break;
    case 1: sl_buf_addc(b, any(2) ? "true" : "false"); break;
    case 2:
    case 3:
    case 4: sl_buf_addc(b, numbers[any(SL_COUNT(numbers))]); break;
    case 5:
        sl_buf_addc(b, numbers[any(SL_COUNT(numbers))]);
        if (ion)
            sl_buf_addc(b, "e0");
        break;
    case 6:
        sl_buf_char(b, '[');
        put_value(t, b, ion, depth + 1);
        sl_buf_char(b, ']');
        break;
    case 7: sl_buf_addc(b, ion ? "2024-01-02T03:04:05.000Z" : "\"\\u00e4\\/\\b\""); break;
    default: sl_json_quote(b, sl_str_c(texts[any(SL_COUNT(texts))])); break;
    }
}

/* A record of `n` fields from keys[first] on; a few are spaced, or spoilt. */
static sl_str line_of(sl_test_context *t, bool ion, unsigned first, unsigned n)
{
    sl_buf b = sl_buf_new(t->arena, LINE_MAX);
    const char *blank = any(6) == 0 ? " " : "";
    sl_buf_char(&b, '{');
    for (unsigned i = 0; i < n; i++) {
        const char *key = keys[(first + i) % SL_COUNT(keys)];
        sl_buf_fmt(&b, i ? ",%s" : "%s", blank);
        if (!ion)
            sl_json_quote(&b, sl_str_c(key));
        else {
            sl_val *one = sl_map(t->arena);
            sl_map_setc(t->arena, one, key, &sl_null_val);
            sl_buf name = sl_buf_new(t->arena, LINE_MAX);
            sl_ion_write(&name, t->arena, one);
            sl_buf_add(&b, sl_str_sub(sl_buf_str(&name), 1, name.n - 6));
        }
        sl_buf_fmt(&b, "%s:%s", blank, blank);
        put_value(t, &b, ion, 0);
    }
    sl_buf_char(&b, '}');
    sl_str line = sl_str_dup(t->arena, sl_buf_str(&b));
    if (any(4) == 0)
        ((char *)(uintptr_t)line.p)[any((unsigned)line.n)] = "\"\\,:{}.e0-1 x\xc3"[any(13)];
    return line;
}

static const sl_val *parse(sl_test_context *t, bool ion, sl_str line)
{
    sl_err err;
    sl_str rest = line;
    if (!ion)
        return sl_json_parse(t->arena, line, &err);
    const sl_val *v = sl_ion_read(t->arena, &rest, &err);
    return v != NULL && sl_str_trim(rest).n == 0 ? v : NULL;
}

static sl_str written(sl_test_context *t, bool ion, const sl_val *v)
{
    sl_buf b = sl_buf_new(t->arena, SIZE_MAX / 4);
    if (!ion)
        return sl_json(t->arena, v);
    sl_ion_write(&b, t->arena, v);
    return sl_buf_str(&b);
}

static void check_pieces(sl_test_context *t, const sl_shape *s, const sl_val *v)
{
    CHECK(v->type == SL_MAP && v->map.n == s->n);
    for (size_t i = 0; i < s->n && i < v->map.n; i++) {
        const sl_piece *p = &s->pieces[i];
        const sl_val *x = v->map.entries[i].value;
        sl_str text = x->type == SL_NULL ? SL_S("null") : sl_val_text(t->arena, x);
        CHECK(p->escaped ? memchr(p->text.p, '\\', p->text.n) != NULL : sl_str_eq(p->text, text));
        CHECK((p->kind == SL_PIECE_STRING) == (x->type == SL_STRING) && (p->kind == SL_PIECE_DOUBLE) == (x->type == SL_DOUBLE) && (p->kind == SL_PIECE_NULL) == (x->type == SL_NULL));
    }
}

static void compare(sl_test_context *t, bool from_ion, bool to_ion)
{
    sl_shape s;
    int hits = 0;
    sl_shape_open(&s, from_ion ? SL_SHAPE_ION : SL_SHAPE_JSON, to_ion ? SL_SHAPE_ION : SL_SHAPE_JSON);
    unsigned first = 0, n = 1;
    for (int i = 0; i < ROUNDS; i++) {
        sl_arena_mark mark = sl_arena_get_mark(t->arena);
        if (i % 50 == 0) {
            first = any(SL_COUNT(keys));
            n = 1 + any(8);
        }
        sl_str line = line_of(t, from_ion, first, n);
        bool match = sl_shape_match(&s, line);
        const sl_val *v = parse(t, from_ion, line);
        if (match) {
            hits++;
            sl_buf b = sl_buf_new(t->arena, SIZE_MAX / 4);
            sl_shape_write(&s, &b);
            if (v == NULL)
                (void)fprintf(stderr, "  not valid: %.*s\n", SL_ARG(line));
            CHECK(v != NULL);
            if (v != NULL && !sl_str_eq(sl_buf_str(&b), written(t, to_ion, v)))
                (void)fprintf(stderr, "  %.*s became %.*s, not %.*s\n", SL_ARG(line), SL_ARG(sl_buf_str(&b)), SL_ARG(written(t, to_ion, v)));
            CHECK(v == NULL || sl_str_eq(sl_buf_str(&b), written(t, to_ion, v)));
            if (v != NULL)
                check_pieces(t, &s, v);
        } else if (v != NULL)
            sl_shape_learn(&s, line, v);
        sl_arena_rewind(t->arena, mark);
    }
    CHECK(hits > ROUNDS / 50);
    sl_shape_close(&s);
}

SL_TEST(shape, ion_to_json) { compare(t, true, false); }
SL_TEST(shape, ion_to_ion) { compare(t, true, true); }
SL_TEST(shape, json_to_ion) { compare(t, false, true); }
SL_TEST(shape, json_to_json) { compare(t, false, false); }

/* The usual line is copied, not parsed: else nothing would be won. */
SL_TEST(shape, usual_lines_match)
{
    sl_shape s;
    sl_str first = SL_S("{id:1,name:\"a\",'x y':1.5e0,at:null}"), next = SL_S("{id:-20,name:\"a \\\"b\\\"\",'x y':0.25e0,at:true}"), other = SL_S("{id:1,nome:\"a\",'x y':1.5e0,at:null}");
    sl_shape_open(&s, SL_SHAPE_ION, SL_SHAPE_JSON);
    CHECK(!sl_shape_match(&s, first));
    sl_shape_learn(&s, first, parse(t, true, first));
    sl_buf b = sl_buf_new(t->arena, 1000);
    CHECK(sl_shape_match(&s, next) && s.n == 4);
    sl_shape_write(&s, &b);
    CHECK_STR(sl_buf_str(&b), "{\"id\":-20,\"name\":\"a \\\"b\\\"\",\"x y\":0.25,\"at\":true}");
    CHECK(!sl_shape_match(&s, other));
    /* One line of another shape does not make the first one forgotten; many do. */
    sl_shape_learn(&s, other, parse(t, true, other));
    CHECK(sl_shape_match(&s, next));
    for (int i = 0; i < 100; i++)
        if (!sl_shape_match(&s, other))
            sl_shape_learn(&s, other, parse(t, true, other));
    CHECK(sl_shape_match(&s, other));
    sl_shape_close(&s);
}
