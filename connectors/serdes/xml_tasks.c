/* connectors/serdes/xml_tasks.c: io.kestra.plugin.serdes.xml: XmlToIon, IonToXml. */
#include "base/arena.h"
#include "base/ion.h"
#include "base/xml.h"
#include "connectors/records.h"
#include "connectors/serdes/serdes.h"
#include "connectors/serdes/xml_read.h"

typedef struct xml_cfg {
    sl_str from, charset, query, root, zone;
    const sl_val *parser;
} xml_cfg;

#define FROM { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(xml_cfg, from), .flags = SL_REQUIRED, .doc = "The file (kestra:// URI)." }
static const sl_opt parser_opts[] = { { .name = "forceList", .type = SL_OPT_STRS, .doc = "Names of elements that are lists even if there is one." }, { 0 } };
static const sl_opt read_opts[] = {
    FROM,
    { .name = "charset", .type = SL_OPT_STR, .offset = SL_FIELD(xml_cfg, charset), .doc = "Encoding; else as the file declares it." },
    { .name = "query", .type = SL_OPT_STR, .offset = SL_FIELD(xml_cfg, query), .doc = "/names/of/elements: each such element is a record, however large the file is. Else the document is one record, or its root's only list are the records." },
    { .name = "parserConfiguration", .type = SL_OPT_MAP, .offset = SL_FIELD(xml_cfg, parser), .sub = parser_opts, .doc = "How elements become values." },
    { 0 },
};
static const sl_opt write_opts[] = {
    FROM,
    { .name = "charset", .type = SL_OPT_STR, .offset = SL_FIELD(xml_cfg, charset), .fallback = "UTF-8", .doc = "Encoding of the XML." },
    { .name = "rootName", .type = SL_OPT_STR, .offset = SL_FIELD(xml_cfg, root), .fallback = "items", .doc = "Name of the root element." },
    { .name = "timeZoneId", .type = SL_OPT_STR, .offset = SL_FIELD(xml_cfg, zone), .doc = "Zone that times with a zone are written in." },
    { 0 },
};

/* ---- XmlToIon ---- */

typedef struct reading {
    sl_task *task;
    sl_out *out;
    bool document;
    int64_t count;
} reading;

static bool put(reading *r, sl_arena *a, const sl_val *record, sl_err *err)
{
    sl_ion_write(sl_out_buffer(r->out), a, record);
    sl_buf_char(sl_out_buffer(r->out), '\n');
    if ((++r->count & 4095) == 0 && sl_task_cancelled(r->task))
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while reading");
    return sl_out_pass(r->out, err);
}

static bool on_record(void *self, sl_arena *a, const sl_val *record, sl_err *err)
{
    reading *r = self;
    const sl_val *root = r->document ? record->map.entries[0].value : NULL, *only = sl_is(root, SL_MAP) && root->map.n == 1 ? root->map.entries[0].value : NULL;
    if (!sl_is(only, SL_LIST))
        return put(r, a, record, err);
    for (size_t i = 0; i < only->list.n; i++)
        if (!put(r, a, only->list.items[i], err))
            return false;
    return true;
}

static bool path_of(sl_arena *a, sl_str query, sl_val *ret, sl_err *err)
{
    sl_str rest = query, name;
    while (rest.n > 0 && rest.p[rest.n - 1] == '/')
        rest.n--;
    if (rest.n > 0 && rest.p[0] != '/')
        return sl_err_set(err, SL_ERR_CONFIG, "xml.query", "'query' must be a path of names such as /root/element, not '%.*s'", SL_ARG(query));
    rest = rest.n > 0 ? sl_str_sub(rest, 1, rest.n) : rest;
    while (rest.n > 0) {
        if (!sl_str_cut(&rest, '/', &name)) {
            name = rest;
            rest = SL_S("");
        }
        int64_t index;
        if (name.n == 0 || sl_parse_int(name, &index) || strpbrk(sl_cstr(a, name), "[]*@()") != NULL)
            return sl_err_set(err, SL_ERR_CONFIG, "xml.query", "'query' may hold names alone, without numbers, conditions and attributes: '%.*s' in '%.*s'", SL_ARG(name), SL_ARG(query));
        sl_list_add(a, ret, sl_val_str(a, name));
    }
    return true;
}

static sl_outcome read_run(sl_task *t, void *cfg, sl_err *err)
{
    const xml_cfg *c = cfg;
    sl_arena *a = sl_task_arena(t);
    sl_val *path = sl_list(a);
    reading r = { .task = t };
    sl_reader *opened = NULL;
    if (!path_of(a, c->query, path, err))
        return SL_TASK_FAILED;
    r.document = sl_val_count(path) == 0;
    if (c->charset.n > 0)
        opened = sl_serdes_in(t, c->from, c->charset, err);
    else if (!sl_task_open_in(t, c->from, &opened, err))
        return SL_TASK_FAILED;
    SL_READER in = opened;
    sl_xml_reading x = { .path = path, .force_list = sl_get(c->parser, "forceList"), .utf8 = c->charset.n > 0, .self = &r, .each = on_record };
    bool ok = in != NULL && (r.out = sl_out_open(t, "records.ion", SL_S(""), err)) != NULL && (sl_xml_read(&x, in, err) || sl_err_ctx(err, "%.*s", SL_ARG(c->from))) && sl_out_finish(r.out, r.count, err);
    sl_out_close(r.out);
    return ok ? SL_TASK_DONE : SL_TASK_FAILED;
}

/* ---- IonToXml ---- */

/* What may not stand in a name becomes _. */
static sl_str element_name(sl_arena *a, sl_str name)
{
    sl_buf b = sl_buf_new(a, name.n + 2);
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80, other = (c >= '0' && c <= '9') || c == '-' || c == '.';
        if (i == 0 && !letter)
            sl_buf_char(&b, '_');
        if (letter || other || i > 0)
            sl_buf_char(&b, letter || other ? c : '_');
    }
    return b.n > 0 ? sl_buf_str(&b) : SL_S("_");
}

static void element(sl_arena *a, sl_buf *b, sl_str name, const sl_val *v, int depth)
{
    sl_str tag = element_name(a, name);
    if (v->type == SL_LIST) { /* each under the same name */
        for (size_t i = 0; i < v->list.n; i++)
            element(a, b, name, v->list.items[i], depth);
        return;
    }
    sl_buf_fmt(b, "%*s", 2 * depth, "");
    if (v->type == SL_NULL || (v->type == SL_MAP && v->map.n == 0)) {
        sl_buf_fmt(b, "<%.*s/>\n", SL_ARG(tag));
        return;
    }
    sl_buf_fmt(b, "<%.*s>", SL_ARG(tag));
    if (v->type == SL_MAP) {
        sl_buf_char(b, '\n');
        for (size_t i = 0; i < v->map.n; i++)
            element(a, b, v->map.entries[i].key, v->map.entries[i].value, depth + 1);
        sl_buf_fmt(b, "%*s", 2 * depth, "");
    } else
        sl_buf_add(b, sl_xml_escape(a, sl_val_text(a, v)));
    sl_buf_fmt(b, "</%.*s>\n", SL_ARG(tag));
}

static bool write_all(const xml_cfg *c, sl_task *t, sl_records *in, sl_out *out, const sl_tz *zone, sl_err *err)
{
    SL_ARENA arena = sl_arena_new();
    sl_str root = element_name(sl_task_arena(t), c->root);
    sl_arena_mark mark = sl_arena_get_mark(arena);
    const sl_val *row;
    int got;
    sl_buf_fmt(sl_out_buffer(out), "<?xml version=\"1.0\" encoding=\"%.*s\"?>\n<%.*s>\n", SL_ARG(c->charset), SL_ARG(root));
    while ((got = sl_records_next(in, arena, &row, err)) == 1) {
        element(arena, sl_out_buffer(out), SL_S("item"), sl_serdes_moved(arena, row, zone), 1);
        if (!sl_out_pass(out, err))
            return false;
        if ((in->count & 4095) == 0 && sl_task_cancelled(t))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while writing");
        sl_arena_rewind(arena, mark);
    }
    sl_buf_fmt(sl_out_buffer(out), "</%.*s>\n", SL_ARG(root));
    return got == 0;
}

static sl_outcome write_run(sl_task *t, void *cfg, sl_err *err)
{
    const xml_cfg *c = cfg;
    sl_records in = { 0 };
    const sl_tz *zone = c->zone.n > 0 ? sl_tz_find(c->zone, err) : NULL;
    if (c->zone.n > 0 && zone == NULL)
        return SL_TASK_FAILED;
    sl_out *out = sl_out_open(t, "records.xml", c->charset, err);
    bool ok = out != NULL && sl_records_open(&in, t, c->from, err) && write_all(c, t, &in, out, zone, err) && sl_out_finish(out, in.count, err);
    sl_records_close(&in);
    sl_out_close(out);
    return ok ? SL_TASK_DONE : SL_TASK_FAILED;
}

#define XML "io.kestra.plugin.serdes.xml."
const sl_task_type sl_xml_to_ion = { .type = XML "XmlToIon", .aliases = XML "XmlReader", .doc = "Reads XML into records.", .cfg_size = sizeof(xml_cfg), .opts = read_opts, .outs = sl_serdes_outs, .run = read_run };
const sl_task_type sl_ion_to_xml = { .type = XML "IonToXml", .aliases = XML "XmlWriter", .doc = "Writes records as XML, each an element <item>.", .cfg_size = sizeof(xml_cfg), .opts = write_opts, .outs = sl_serdes_outs, .run = write_run };
