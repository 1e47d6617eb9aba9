/* connectors/serdes/xml_read.c: see xml_read.h. */
#include "connectors/serdes/xml_read.h"

#include <expat.h>

#include "base/arena.h"
#include "base/limits.h"

enum { DEPTH_MAX = 512, RECORD_MAX = 256 << 20 };

typedef struct frame {
    sl_str name;
    sl_val *map;
    sl_buf text;                  /* since the last child */
} frame;

typedef struct parse {
    const sl_xml_reading *r;
    XML_Parser parser;
    sl_err *err;
    bool failed;
    sl_arena *arena;              /* of one record */
    sl_arena_mark mark;
    frame frames[DEPTH_MAX];      /* of the record, its own element first */
    size_t depth;                 /* of the record; 0 = outside */
    size_t level, matched;        /* of the document; how many of the path's names it has come along */
    size_t bytes;
} parse;

static void fail(parse *p)
{
    p->failed = true;
    (void)XML_StopParser(p->parser, XML_FALSE);
}

static bool too_large(parse *p, size_t more)
{
    p->bytes += more;
    if (p->bytes <= RECORD_MAX)
        return false;
    sl_err_set(p->err, SL_ERR_LIMIT, "xml.record", "line %lu: the record is larger than %d MiB; 'query' makes records of smaller elements", XML_GetCurrentLineNumber(p->parser), RECORD_MAX >> 20);
    fail(p);
    return true;
}

/* ---- values ---- */

/* org.json's stringToValue: numbers as JSON has them, true, false, null. */
static const sl_val *value_of(sl_arena *a, sl_str s)
{
    int64_t i;
    size_t at = s.n > 0 && s.p[0] == '-', digits = 0, points = 0;
    if (sl_str_ieq(s, SL_S("true")) || sl_str_ieq(s, SL_S("false")))
        return sl_val_bool(sl_str_ieq(s, SL_S("true")));
    if (sl_str_ieq(s, SL_S("null")))
        return &sl_null_val;
    bool leading = s.n > at + 1 && s.p[at] == '0' && s.p[at + 1] != '.';
    for (size_t k = at; k < s.n; k++) {
        digits += s.p[k] >= '0' && s.p[k] <= '9';
        points += s.p[k] == '.';
    }
    if (leading || digits == 0 || digits + points + at != s.n || points > 1 || s.p[s.n - 1] == '.' || s.p[at] == '.')
        return sl_val_str(a, s);
    if (points == 0)
        return sl_parse_int(s, &i) ? sl_val_int(a, i) : sl_val_str(a, s);
    return sl_val_decimal(a, s);
}

static bool listed(const sl_val *names, sl_str name)
{
    for (size_t i = 0; i < sl_val_count(names); i++)
        if (sl_str_eq(sl_text(sl_at(names, i)), name))
            return true;
    return false;
}

/* A second one of a name makes a list of both. */
static void add(parse *p, sl_val *map, sl_str name, const sl_val *v)
{
    const sl_val *there = sl_get_str(map, name);
    sl_val *list;
    if (sl_is(there, SL_LIST)) {
        list = (sl_val *)(uintptr_t)there; /* lists are made here alone */
    } else {
        if (there == NULL && !listed(p->r->force_list, name)) {
            sl_map_set(p->arena, map, name, v);
            return;
        }
        list = sl_list(p->arena);
        if (there != NULL)
            sl_list_add(p->arena, list, there);
        sl_map_set(p->arena, map, name, list);
    }
    sl_list_add(p->arena, list, v);
}

static void take_text(parse *p, frame *f)
{
    sl_str text = sl_str_trim(sl_buf_str(&f->text));
    if (text.n > 0)
        add(p, f->map, SL_S("content"), value_of(p->arena, sl_str_dup(p->arena, text)));
    f->text.n = 0;
}

/* ---- events ---- */

static bool give(parse *p, const sl_val *record)
{
    bool ok = p->r->each(p->r->self, p->arena, record, p->err);
    sl_arena_rewind(p->arena, p->mark);
    p->bytes = 0;
    if (!ok)
        fail(p);
    return ok;
}

static void on_start(void *self, const XML_Char *name, const XML_Char **attributes)
{
    parse *p = self;
    size_t wanted = sl_val_count(p->r->path);
    p->level++;
    if (p->depth == 0) {
        bool along = p->matched + 1 == p->level && p->level <= wanted && sl_str_eqc(sl_text(sl_at(p->r->path, p->level - 1)), name);
        p->matched += along;
        if (wanted > 0 && !(along && p->matched == wanted))
            return;
    } else if (p->depth == DEPTH_MAX) {
        sl_err_set(p->err, SL_ERR_LIMIT, "xml.depth", "line %lu: elements are nested deeper than %d", XML_GetCurrentLineNumber(p->parser), DEPTH_MAX);
        fail(p);
        return;
    } else
        take_text(p, &p->frames[p->depth - 1]);
    frame *f = &p->frames[p->depth++];
    sl_str own = sl_str_dup(p->arena, sl_str_c(name));
    *f = (frame){ .name = own, .map = sl_map(p->arena), .text = sl_buf_new(p->arena, RECORD_MAX) };
    if (too_large(p, own.n + 64))
        return;
    for (size_t i = 0; attributes[i] != NULL; i += 2) {
        sl_str value = sl_str_dup(p->arena, sl_str_c(attributes[i + 1]));
        if (too_large(p, value.n + 64))
            return;
        add(p, f->map, sl_str_dup(p->arena, sl_str_c(attributes[i])), value_of(p->arena, value));
    }
}

static void on_text(void *self, const XML_Char *text, int n)
{
    parse *p = self;
    if (p->depth > 0 && !too_large(p, (size_t)n))
        sl_buf_add(&p->frames[p->depth - 1].text, (sl_str){ text, (size_t)n });
}

static void on_end(void *self, const XML_Char *name)
{
    (void)name;
    parse *p = self;
    if (p->failed)
        return;
    if (p->depth > 0) {
        frame *f = &p->frames[p->depth - 1];
        const sl_val *v = f->map;
        if (sl_val_count(f->map) > 0)
            take_text(p, f);
        else
            v = value_of(p->arena, sl_str_dup(p->arena, sl_str_trim(sl_buf_str(&f->text))));
        if (--p->depth > 0)
            add(p, p->frames[p->depth - 1].map, f->name, v);
        else if (sl_val_count(p->r->path) > 0 ? !give(p, v) : !give(p, sl_map_of(p->arena, sl_cstr(p->arena, f->name), v)))
            return;
    }
    if (p->depth == 0 && p->matched == p->level)
        p->matched--;
    p->level--;
}

static void on_entity(void *self, const XML_Char *name, int parameter, const XML_Char *value, int n, const XML_Char *base, const XML_Char *system_id, const XML_Char *public_id, const XML_Char *notation)
{
    parse *p = self;
    (void)parameter, (void)value, (void)n, (void)base, (void)system_id, (void)public_id, (void)notation;
    sl_err_set(p->err, SL_ERR_DATA, "xml.entity", "line %lu: the document declares the entity '%.100s'; such documents are not read", XML_GetCurrentLineNumber(p->parser), name);
    fail(p);
}

bool sl_xml_read(const sl_xml_reading *r, sl_reader *in, sl_err *err)
{
    parse *p = sl_malloc(sizeof *p);
    *p = (parse){ .r = r, .err = err, .parser = XML_ParserCreate(r->utf8 ? "UTF-8" : NULL), .arena = sl_arena_new() };
    sl_assert(p->parser != NULL);
    p->mark = sl_arena_get_mark(p->arena);
    XML_SetUserData(p->parser, p);
    XML_SetElementHandler(p->parser, on_start, on_end);
    XML_SetCharacterDataHandler(p->parser, on_text);
    XML_SetEntityDeclHandler(p->parser, on_entity);
    char *block = sl_malloc(SL_IO_BLOCK);
    bool ok = true;
    for (ptrdiff_t n = 1; ok && n > 0;) {
        n = in->read(in, block, SL_IO_BLOCK, err);
        ok = n >= 0 && XML_Parse(p->parser, block, (int)n, n == 0) == XML_STATUS_OK && !p->failed;
        if (!ok && n >= 0 && !p->failed)
            sl_err_set(err, SL_ERR_DATA, "xml.syntax", "line %lu, column %lu: %s", XML_GetCurrentLineNumber(p->parser), XML_GetCurrentColumnNumber(p->parser) + 1, XML_ErrorString(XML_GetErrorCode(p->parser)));
    }
    free(block);
    XML_ParserFree(p->parser);
    sl_arena_free(p->arena);
    free(p);
    return ok;
}
