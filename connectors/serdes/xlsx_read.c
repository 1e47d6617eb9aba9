/* connectors/serdes/xlsx_read.c: see xlsx_read.h. */
#include "connectors/serdes/xlsx_read.h"

#include <math.h>

#include "base/arena.h"
#include "connectors/serdes/numfmt.h"
#include "connectors/serdes/xlsx_parts.h"

#define SHEET_MAX (INT64_C(16) << 30) /* bytes of a sheet's XML */
enum { CELL_MAX = 1 << 20 };      /* Excel's own limit is 32,767 characters */

sl_xlsx *sl_xlsx_open(const char *path, sl_err *err)
{
    sl_zip *zip = sl_zip_open(path, err);
    if (zip == NULL) {
        sl_err_ctx(err, "an Excel workbook (.xlsx) was expected");
        return NULL;
    }
    sl_arena *arena = sl_arena_new();
    sl_xlsx *x = SL_NEW(arena, sl_xlsx);
    *x = (sl_xlsx){ .arena = arena, .zip = zip };
    if (sl_xlsx_read_workbook(x, err) && sl_xlsx_read_styles(x, err) && sl_xlsx_read_strings(x, err))
        return x;
    sl_xlsx_close(x);
    return NULL;
}

void sl_xlsx_close(sl_xlsx *x)
{
    if (x == NULL)
        return;
    sl_zip_close(x->zip);
    sl_arena_free(x->arena);
}

size_t sl_xlsx_sheets(const sl_xlsx *x)
{
    return sl_val_count(x->sheets);
}

sl_str sl_xlsx_sheet(const sl_xlsx *x, size_t index)
{
    return sl_get_text(sl_at(x->sheets, index), "name");
}

/*
 * Day 1 is 1 January 1900, and there is a day 60, 29 February 1900, that never was: whoever made Excel wanted to be like Lotus 1-2-3.
 * In the other calendar day 0 is 1 January 1904.
 */
bool sl_xlsx_date(double serial, bool since_1904, int64_t *ret_s, int32_t *ret_ns)
{
    enum { LAST_DAY = 2958466 };  /* the day after 31 December 9999 */
    if (!(serial >= 0) || serial >= LAST_DAY)
        return false;
    int64_t ms = llround(serial * 86400000.0), days = since_1904 ? sl_days_from_civil(1904, 1, 1) : sl_days_from_civil(1899, 12, serial < 60 ? 31 : 30);
    *ret_s = days * 86400 + ms / 1000;
    *ret_ns = (int32_t)(ms % 1000) * 1000000;
    return true;
}

/* ---- a sheet ---- */

typedef struct sheet {
    sl_part part;
    const sl_xlsx *x;
    const sl_xlsx_reading *reading;
    sl_arena *arena;              /* of the row at hand */
    sl_arena_mark mark;
    const sl_val **cells;
    size_t count, column;         /* of the row so far; of the cell, from 0 */
    int64_t number;               /* of the row */
    char type;                    /* of the cell: its attribute t; n(umber), s(hared), i(nline), b(ool), e(rror), f (a formula's string), d(ate) */
    sl_str format;                /* of the cell's style; empty: General */
    bool date, in_value, in_formula, shared, phonetic, has_formula;
    sl_buf value, formula;
} sheet;

/* "BC23": column 54, from 0. false: it says none. */
static bool column_of(sl_str reference, size_t *ret)
{
    size_t n = 0, i = 0;
    for (; i < reference.n && reference.p[i] >= 'A' && reference.p[i] <= 'Z' && n <= SL_XLSX_COLUMNS_MAX; i++)
        n = n * 26 + (size_t)(reference.p[i] - 'A') + 1;
    *ret = n - 1;
    return i > 0;
}

static void start_cell(sheet *s, const char **at)
{
    sl_str type = sl_part_attribute(at, "t"), style = sl_part_attribute(at, "s");
    int64_t index = 0;
    if (!column_of(sl_part_attribute(at, "r"), &s->column))
        s->column = s->count;
    s->type = type.n == 0 ? 'n' : sl_str_eqc(type, "str") ? 'f' : type.p[0];
    bool styled = style.n > 0 && sl_parse_int(style, &index) && index >= 0 && (size_t)index < s->x->style_count;
    s->date = styled && s->x->date_styles[index];
    s->format = styled ? s->x->formats[index] : SL_S("");
    s->has_formula = s->shared = false;
    s->value = sl_buf_new(s->arena, CELL_MAX);
    s->formula = sl_buf_new(s->arena, CELL_MAX);
    if (s->column >= SL_XLSX_COLUMNS_MAX || s->column < s->count) {
        sl_err_set(s->part.err, SL_ERR_DATA, "xlsx.cell", "the cells of row %lld are not in order, or more than %d", (long long)s->number, SL_XLSX_COLUMNS_MAX);
        sl_part_stop(&s->part);
    }
}

static void sheet_start(void *self, const char *name, const char **at)
{
    sheet *s = self;
    if (strcmp(name, "row") == 0) {
        int64_t number;
        s->number = sl_parse_int(sl_part_attribute(at, "r"), &number) ? number : s->number + 1;
        s->count = 0;
    } else if (strcmp(name, "c") == 0)
        start_cell(s, at);
    else if (strcmp(name, "f") == 0) {
        s->in_formula = s->has_formula = true;
        s->shared = sl_str_eqc(sl_part_attribute(at, "t"), "shared");
    } else if (strcmp(name, "rPh") == 0)
        s->phonetic = true;
    else if (strcmp(name, "v") == 0 || (strcmp(name, "t") == 0 && !s->phonetic))
        s->in_value = true;
}

static void sheet_text(void *self, const char *text, int n)
{
    sheet *s = self;
    if (s->in_value || s->in_formula)
        sl_buf_add(s->in_value ? &s->value : &s->formula, (sl_str){ text, (size_t)n });
}

static const sl_val *number_of(sheet *s, sl_str text)
{
    int64_t whole, seconds;
    int32_t ns;
    double d;
    if ((s->date ? s->reading->shown_dates : s->reading->shown) && sl_parse_double(text, &d))
        return sl_val_str(s->arena, sl_str_trim(sl_numfmt_number(s->arena, s->format, d, s->x->since_1904)));
    if (s->date && !s->reading->serials && sl_parse_double(text, &d) && sl_xlsx_date(d, s->x->since_1904, &seconds, &ns))
        return sl_val_time(s->arena, (sl_time){ .s = seconds, .ns = ns, .kind = SL_TIME_LOCAL });
    if (sl_parse_int(text, &whole))
        return sl_val_int(s->arena, whole);
    return sl_parse_double(text, &d) ? sl_val_double(s->arena, d) : sl_val_str(s->arena, text);
}

static const sl_val *string_of(const sheet *s, sl_str text)
{
    return sl_val_str(s->arena, s->reading->shown && s->format.n > 0 ? sl_numfmt_text(s->arena, s->format, text) : text);
}

/* NULL with the part's err. */
static const sl_val *value_of(sheet *s)
{
    sl_str text = sl_buf_str(&s->value);
    int64_t index;
    sl_time t;
    if (s->value.overflow || s->formula.overflow) {
        sl_err_set(s->part.err, SL_ERR_LIMIT, "xlsx.cell", "a cell of row %lld holds more than %d bytes", (long long)s->number, CELL_MAX);
        return NULL;
    }
    if (s->reading->formulas && s->has_formula) {
        if (s->formula.n > 0)
            return sl_val_str(s->arena, sl_fmt(s->arena, "=%.*s", SL_ARG(sl_buf_str(&s->formula))));
        sl_err_set(s->part.err, SL_ERR_DATA, "xlsx.formula", "row %lld has a formula that is shared with another cell's, whose text is not in the file for itself; read the values with valueRender: UNFORMATTED_VALUE", (long long)s->number);
        return NULL;
    }
    switch (s->type) {
    case 's':
        if (sl_parse_int(text, &index) && index >= 0 && (size_t)index < s->x->string_count)
            return string_of(s, s->x->strings[index]);
        sl_err_set(s->part.err, SL_ERR_DATA, "xlsx.string", "row %lld refers to the shared string '%.*s', which there is not", (long long)s->number, SL_ARG(text));
        return NULL;
    case 'b':
        if (s->reading->shown)
            return sl_val_str(s->arena, sl_str_eqc(text, "1") ? SL_S("TRUE") : SL_S("FALSE"));
        return sl_str_eqc(text, "1") ? &sl_true_val : &sl_false_val;
    case 'd': return sl_time_parse(text, &t) ? sl_val_time(s->arena, t) : sl_val_str(s->arena, text);
    case 'n': return text.n > 0 ? number_of(s, text) : &sl_null_val;
    case 'e': return sl_val_str(s->arena, text);
    default: return string_of(s, text); /* inline and formulas' strings */
    }
}

static void end_cell(sheet *s)
{
    while (s->count < s->column)
        s->cells[s->count++] = &sl_null_val;
    const sl_val *v = value_of(s);
    if (v == NULL)
        sl_part_stop(&s->part);
    else
        s->cells[s->count++] = v;
}

static void sheet_end(void *self, const char *name)
{
    sheet *s = self;
    if (strcmp(name, "rPh") == 0)
        s->phonetic = false;
    else if (strcmp(name, "v") == 0 || strcmp(name, "t") == 0)
        s->in_value = false;
    else if (strcmp(name, "f") == 0)
        s->in_formula = false;
    else if (strcmp(name, "c") == 0)
        end_cell(s);
    else if (strcmp(name, "row") == 0) {
        if (!s->reading->row(s->reading->self, s->arena, s->number, s->cells, s->count, s->part.err))
            sl_part_stop(&s->part);
        sl_arena_rewind(s->arena, s->mark);
    }
}

bool sl_xlsx_read(sl_xlsx *x, size_t index, const sl_xlsx_reading *reading, sl_err *err)
{
    SL_ARENA held = sl_arena_new();
    SL_ARENA arena = sl_arena_new();
    sheet s = { .x = x, .reading = reading, .arena = arena, .mark = sl_arena_get_mark(arena), .cells = SL_ARRAY(held, const sl_val *, SL_XLSX_COLUMNS_MAX + 1) };
    s.value = s.formula = sl_buf_new(arena, CELL_MAX);
    s.part = (sl_part){ .self = &s, .start = sheet_start, .end = sheet_end, .text = sheet_text };
    return sl_part_read(&s.part, x->zip, sl_cstr(held, sl_get_text(sl_at(x->sheets, index), "path")), SHEET_MAX, err);
}
