/* base/xml.c: see xml.h. */
#include "base/xml.h"

#include <expat.h>

#include "base/arena.h"

enum { DEPTH_MAX = 64 };

typedef struct builder {
    sl_arena *arena;
    XML_Parser parser;
    sl_val *stack[DEPTH_MAX];
    sl_buf text[DEPTH_MAX];
    int depth;
    sl_val *root;
    sl_str root_name;
    const char *refused;
} builder;

static void stop(builder *b, const char *why)
{
    b->refused = why;
    (void)XML_StopParser(b->parser, XML_FALSE);
}

static sl_str local_name(const char *name)
{
    const char *colon = strchr(name, ':');
    return sl_str_c(colon ? colon + 1 : name);
}

static void on_start(void *self, const XML_Char *name, const XML_Char **attributes)
{
    builder *b = self;
    (void)attributes;
    if (b->depth == DEPTH_MAX) {
        stop(b, "it is nested too deeply");
        return;
    }
    sl_str key = sl_str_dup(b->arena, local_name(name));
    sl_val *element = sl_map(b->arena);
    if (b->depth == 0) {
        b->root = element;
        b->root_name = key;
    } else {
        sl_val *parent = b->stack[b->depth - 1];
        sl_val *list = (sl_val *)(uintptr_t)sl_get_str(parent, key);
        if (list == NULL) {
            list = sl_list(b->arena);
            sl_map_set(b->arena, parent, key, list);
        }
        sl_list_add(b->arena, list, element);
    }
    b->text[b->depth] = sl_buf_new(b->arena, SIZE_MAX / 4);
    b->stack[b->depth++] = element;
}

static void on_end(void *self, const XML_Char *name)
{
    builder *b = self;
    (void)name;
    if (b->refused != NULL)
        return;
    b->depth--;
    sl_map_set_str(b->arena, b->stack[b->depth], "#", sl_buf_str(&b->text[b->depth]));
}

static void on_text(void *self, const XML_Char *text, int n)
{
    builder *b = self;
    if (b->depth > 0)
        sl_buf_add(&b->text[b->depth - 1], (sl_str){ text, (size_t)n });
}

static void on_doctype(void *self, const XML_Char *name, const XML_Char *system_id, const XML_Char *public_id, int internal)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)internal;
    stop(self, "it has a document type declaration");
}

const sl_val *sl_xml_parse(sl_arena *arena, sl_str text, sl_str *ret_root, sl_err *err)
{
    builder b = { .arena = arena, .parser = XML_ParserCreate("UTF-8") };
    sl_assert(b.parser != NULL);
    XML_SetUserData(b.parser, &b);
    XML_SetElementHandler(b.parser, on_start, on_end);
    XML_SetCharacterDataHandler(b.parser, on_text);
    XML_SetStartDoctypeDeclHandler(b.parser, on_doctype);
    bool ok = text.n <= INT32_MAX && XML_Parse(b.parser, text.p ? text.p : "", (int)text.n, XML_TRUE) == XML_STATUS_OK;
    unsigned long line = XML_GetCurrentLineNumber(b.parser);
    const char *why = b.refused ? b.refused : XML_ErrorString(XML_GetErrorCode(b.parser));
    XML_ParserFree(b.parser);
    if (!ok) {
        sl_err_set(err, SL_ERR_DATA, "xml.syntax", "the XML cannot be read, line %lu: %s", line, why);
        return NULL;
    }
    if (ret_root != NULL)
        *ret_root = b.root_name;
    return b.root;
}

const sl_val *sl_xml_get(const sl_val *element, const char *path)
{
    sl_str rest = sl_str_c(path), name;
    while (element != NULL && rest.n > 0 && sl_str_cut(&rest, '/', &name))
        element = sl_at(sl_get_str(element, name), 0);
    return element;
}

sl_str sl_xml_text(const sl_val *element, const char *path)
{
    return sl_get_text(sl_xml_get(element, path), "#");
}

const sl_val *sl_xml_all(const sl_val *element, const char *name)
{
    return sl_get(element, name);
}

sl_str sl_xml_escape(sl_arena *arena, sl_str text)
{
    sl_buf b = sl_buf_new(arena, text.n * 6 + 1);
    for (size_t i = 0; i < text.n; i++)
        switch (text.p[i]) {
        case '&': sl_buf_addc(&b, "&amp;"); break;
        case '<': sl_buf_addc(&b, "&lt;"); break;
        case '>': sl_buf_addc(&b, "&gt;"); break;
        case '"': sl_buf_addc(&b, "&quot;"); break;
        case '\'': sl_buf_addc(&b, "&apos;"); break;
        case '\t':
        case '\n':
        case '\r': sl_buf_fmt(&b, "&#%d;", text.p[i]); break;
        default: sl_buf_char(&b, text.p[i]);
        }
    return sl_buf_str(&b);
}
