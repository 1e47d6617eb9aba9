/* connectors/serdes/xlsx_parts.c: the parts of a workbook that tell of its cells: sheets, number formats, shared strings. */
#include "connectors/serdes/xlsx_parts.h"

#include "base/arena.h"
#include "connectors/serdes/numfmt.h"
#include "connectors/serdes/xlsx_read.h"

enum { BLOCK = 64 << 10, PART_MAX = 16 << 20, STRINGS_MAX = 256 << 20, SHEETS_MAX = 1024, STYLES_MAX = 1 << 16, DATE = 14 };

/* ---- any part ---- */

static const char *local_name(const char *name)
{
    const char *colon = strchr(name, ':');
    return colon ? colon + 1 : name;
}

static void on_start(void *self, const XML_Char *name, const XML_Char **attributes)
{
    sl_part *p = self;
    if (!p->stopped)
        p->start(p->self, local_name(name), attributes);
}

static void on_end(void *self, const XML_Char *name)
{
    sl_part *p = self;
    if (!p->stopped)
        p->end(p->self, local_name(name));
}

static void on_text(void *self, const XML_Char *text, int n)
{
    sl_part *p = self;
    if (!p->stopped && p->text != NULL)
        p->text(p->self, text, n);
}

static void on_doctype(void *self, const XML_Char *name, const XML_Char *id, const XML_Char *public_id, int internal)
{
    sl_part *p = self;
    (void)name, (void)id, (void)public_id, (void)internal;
    sl_err_set(p->err, SL_ERR_DATA, "xlsx.xml", "it declares a document type, which workbooks do not");
    sl_part_stop(p);
}

void sl_part_stop(sl_part *p)
{
    p->stopped = true;
    (void)XML_StopParser(p->parser, XML_FALSE);
}

sl_str sl_part_attribute(const char **attributes, const char *name)
{
    for (; attributes[0] != NULL; attributes += 2)
        if (strcmp(local_name(attributes[0]), name) == 0)
            return sl_str_c(attributes[1]);
    return SL_S("");
}

static bool feed(sl_part *p, sl_reader *in, sl_err *err)
{
    for (;;) {
        void *to = XML_GetBuffer(p->parser, BLOCK);
        if (to == NULL)
            return sl_err_set(err, SL_ERR_LIMIT, "xlsx.memory", "there is no memory for it");
        ptrdiff_t n = in->read(in, to, BLOCK, err);
        if (n < 0)
            return false;
        if (XML_ParseBuffer(p->parser, (int)n, n == 0) == XML_STATUS_ERROR)
            return p->stopped ? false
                              : sl_err_set(err, SL_ERR_DATA, "xlsx.xml", "%s at line %lu", XML_ErrorString(XML_GetErrorCode(p->parser)), (unsigned long)XML_GetCurrentLineNumber(p->parser));
        if (n == 0)
            return true;
    }
}

bool sl_part_read(sl_part *p, sl_zip *zip, const char *path, int64_t bytes_max, sl_err *err)
{
    size_t at;
    if (!sl_zip_find(zip, path, &at))
        return sl_err_set(err, SL_ERR_DATA, "xlsx.part", "the workbook has no part %s", path);
    SL_READER in = sl_zip_read(zip, at, bytes_max, err);
    if (in == NULL)
        return false;
    p->err = err;
    p->parser = XML_ParserCreate(NULL);
    XML_SetUserData(p->parser, p);
    XML_SetElementHandler(p->parser, on_start, on_end);
    XML_SetCharacterDataHandler(p->parser, on_text);
    XML_SetStartDoctypeDeclHandler(p->parser, on_doctype);
    bool ok = feed(p, in, err);
    XML_ParserFree(p->parser);
    return ok || sl_err_ctx(err, "the workbook's part %s", path);
}

static void ignore_end(void *self, const char *name)
{
    (void)self;
    (void)name;
}

/* ---- xl/workbook.xml and its relations ---- */

typedef struct workbook {
    sl_xlsx *x;
    sl_val *sheets, *targets;     /* [{name, id}]; id -> path */
} workbook;

static void workbook_start(void *self, const char *name, const char **at)
{
    workbook *w = self;
    sl_arena *a = w->x->arena;
    if (strcmp(name, "workbookPr") == 0) {
        sl_str since = sl_part_attribute(at, "date1904");
        w->x->since_1904 = sl_str_eqc(since, "1") || sl_str_eqc(since, "true");
    } else if (strcmp(name, "sheet") == 0 && sl_val_count(w->sheets) < SHEETS_MAX) {
        sl_val *sheet = sl_map(a);
        sl_map_set_str(a, sheet, "name", sl_str_dup(a, sl_part_attribute(at, "name")));
        /* r:id; a workbook's sheets have a sheetId besides. */
        sl_map_set_str(a, sheet, "id", sl_str_dup(a, sl_part_attribute(at, "id")));
        sl_list_add(a, w->sheets, sheet);
    } else if (strcmp(name, "Relationship") == 0) {
        sl_str target = sl_part_attribute(at, "Target");
        sl_map_set_str(a, w->targets, sl_cstr(a, sl_part_attribute(at, "Id")), sl_str_starts(target, SL_S("/")) ? sl_str_dup(a, sl_str_sub(target, 1, target.n)) : sl_fmt(a, "xl/%.*s", SL_ARG(target)));
    }
}

bool sl_xlsx_read_workbook(sl_xlsx *x, sl_err *err)
{
    workbook w = { x, sl_list(x->arena), sl_map(x->arena) };
    sl_part book = { .self = &w, .start = workbook_start, .end = ignore_end }, relations = book;
    if (!sl_part_read(&book, x->zip, "xl/workbook.xml", PART_MAX, err) || !sl_part_read(&relations, x->zip, "xl/_rels/workbook.xml.rels", PART_MAX, err))
        return false;
    sl_val *sheets = sl_list(x->arena);
    for (size_t i = 0; i < sl_val_count(w.sheets); i++) {
        const sl_val *sheet = sl_at(w.sheets, i), *path = sl_get_str(w.targets, sl_get_text(sheet, "id"));
        size_t at;
        if (path == NULL || !sl_zip_find(x->zip, sl_cstr(x->arena, path->s), &at))
            continue; /* a chart or a macro has no cells */
        sl_val *kept = sl_map_of(x->arena, "name", sl_get(sheet, "name"));
        sl_map_setc(x->arena, kept, "path", path);
        sl_list_add(x->arena, sheets, kept);
    }
    x->sheets = sheets;
    return sl_val_count(sheets) > 0 || sl_err_set(err, SL_ERR_DATA, "xlsx.sheets", "the workbook has no sheets");
}

/* ---- xl/styles.xml ---- */

/* A letter of a date outside of quotes, brackets and escapes; [h], [mm] and the like are times too. */
bool sl_xlsx_is_date_format(sl_str format)
{
    for (size_t i = 0; i < format.n; i++) {
        char c = format.p[i];
        if (c == '\\' || c == '_' || c == '*')
            i++;
        else if (c == '"')
            while (i + 1 < format.n && format.p[++i] != '"')
                ;
        else if (c == '[') {
            char inner = i + 1 < format.n ? format.p[i + 1] : ']', behind = i + 2 < format.n ? format.p[i + 2] : ']';
            if (strchr("hmsHMS", inner) != NULL && (behind == ']' || behind == inner))
                return true;
            while (i + 1 < format.n && format.p[i] != ']')
                i++;
        } else if (strchr("ymdhsYMDHS", c) != NULL)
            return !(i + 6 < format.n && memcmp(format.p + i, "General", 7) == 0);
        else if (c == 'G' && format.n - i >= 7 && memcmp(format.p + i, "General", 7) == 0)
            i += 6;
    }
    return false;
}

typedef struct styles {
    sl_xlsx *x;
    sl_val *formats;              /* number -> text: of the workbook's own */
    bool cells;                   /* inside of cellXfs, whose order the cells' styles count */
} styles;

/* The numbers that need no format in the file. */
static bool is_built_in_date(int64_t id)
{
    return (id >= 14 && id <= 22) || (id >= 27 && id <= 36) || (id >= 45 && id <= 47) || (id >= 50 && id <= 58);
}

static void styles_start(void *self, const char *name, const char **at)
{
    styles *s = self;
    sl_arena *a = s->x->arena;
    int64_t id;
    if (strcmp(name, "numFmt") == 0)
        sl_map_set_str(a, s->formats, sl_cstr(a, sl_part_attribute(at, "numFmtId")), sl_str_dup(a, sl_part_attribute(at, "formatCode")));
    s->cells = s->cells || strcmp(name, "cellXfs") == 0;
    if (!s->cells || strcmp(name, "xf") != 0 || s->x->style_count == STYLES_MAX)
        return;
    sl_str number = sl_part_attribute(at, "numFmtId");
    const sl_val *own = sl_get_str(s->formats, number);
    const char *built_in = sl_parse_int(number, &id) ? is_built_in_date(id) && sl_numfmt_built_in(id) == NULL ? sl_numfmt_built_in(DATE) : sl_numfmt_built_in(id) : NULL;
    s->x->formats[s->x->style_count] = own != NULL ? own->s : sl_str_c(built_in ? built_in : "");
    s->x->date_styles[s->x->style_count++] = own != NULL ? sl_xlsx_is_date_format(own->s) : sl_parse_int(number, &id) && is_built_in_date(id);
}

static void styles_end(void *self, const char *name)
{
    styles *s = self;
    s->cells = s->cells && strcmp(name, "cellXfs") != 0;
}

bool sl_xlsx_read_styles(sl_xlsx *x, sl_err *err)
{
    size_t at;
    styles s = { .x = x, .formats = sl_map(x->arena) };
    sl_part p = { .self = &s, .start = styles_start, .end = styles_end };
    x->date_styles = SL_ARRAY(x->arena, bool, STYLES_MAX);
    x->formats = SL_ARRAY(x->arena, sl_str, STYLES_MAX);
    return !sl_zip_find(x->zip, "xl/styles.xml", &at) || sl_part_read(&p, x->zip, "xl/styles.xml", PART_MAX, err);
}

/* ---- xl/sharedStrings.xml ---- */

typedef struct strings {
    sl_xlsx *x;
    sl_buf text;                  /* of the one at hand */
    bool inside, phonetic;        /* of t; of rPh, which says how to pronounce it */
} strings;

static void strings_start(void *self, const char *name, const char **at)
{
    strings *s = self;
    (void)at;
    if (strcmp(name, "si") == 0)
        s->text.n = 0;
    s->phonetic = s->phonetic || strcmp(name, "rPh") == 0;
    s->inside = strcmp(name, "t") == 0 && !s->phonetic;
}

static void strings_end(void *self, const char *name)
{
    strings *s = self;
    sl_xlsx *x = s->x;
    s->inside = false;
    if (strcmp(name, "rPh") == 0)
        s->phonetic = false;
    if (strcmp(name, "si") != 0)
        return;
    if (x->string_count == x->string_capacity) {
        size_t wanted = x->string_capacity ? 2 * x->string_capacity : 1024;
        x->strings = sl_realloc(x->arena, x->strings, x->string_capacity * sizeof *x->strings, wanted * sizeof *x->strings);
        x->string_capacity = wanted;
    }
    x->strings[x->string_count++] = sl_str_dup(x->arena, sl_buf_str(&s->text));
}

static void strings_text(void *self, const char *text, int n)
{
    strings *s = self;
    if (s->inside)
        sl_buf_add(&s->text, (sl_str){ text, (size_t)n });
}

bool sl_xlsx_read_strings(sl_xlsx *x, sl_err *err)
{
    size_t at;
    SL_ARENA scratch = sl_arena_new();
    strings s = { .x = x, .text = sl_buf_new(scratch, STRINGS_MAX) };
    sl_part p = { .self = &s, .start = strings_start, .end = strings_end, .text = strings_text };
    return !sl_zip_find(x->zip, "xl/sharedStrings.xml", &at) || sl_part_read(&p, x->zip, "xl/sharedStrings.xml", STRINGS_MAX, err);
}
