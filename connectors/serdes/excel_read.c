/* connectors/serdes/excel_read.c: io.kestra.plugin.serdes.excel.ExcelToIon. Source: connectors reference A13. */
#include "base/arena.h"
#include "base/ion.h"
#include "connectors/serdes/serdes.h"
#include "connectors/serdes/xlsx_read.h"

typedef struct excel_cfg {
    sl_str from, values, dates;
    const sl_val *titles, *charset;
    bool header, skip_empty;
    int64_t skip;
} excel_cfg;

static const sl_opt read_opts[] = {
    { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(excel_cfg, from), .flags = SL_REQUIRED, .doc = "The workbook, .xlsx (kestra:// URI)." },
    { .name = "sheetsTitle", .type = SL_OPT_STRS, .offset = SL_FIELD(excel_cfg, titles), .doc = "Names of the sheets to read; else all." },
    { .name = "header", .type = SL_OPT_BOOL, .offset = SL_FIELD(excel_cfg, header), .fallback = "true", .doc = "The first row of a sheet names its columns; else records are lists." },
    { .name = "skipRows", .type = SL_OPT_INT, .offset = SL_FIELD(excel_cfg, skip), .fallback = "0", .doc = "Rows to pass over, behind the header." },
    { .name = "skipEmptyRows", .type = SL_OPT_BOOL, .offset = SL_FIELD(excel_cfg, skip_empty), .fallback = "false", .doc = "Pass over rows that have cells, all of them empty." },
    { .name = "valueRender", .type = SL_OPT_ENUM, .offset = SL_FIELD(excel_cfg, values), .values = "UNFORMATTED_VALUE FORMULA FORMATTED_VALUE", .fallback = "UNFORMATTED_VALUE",
      .doc = "Values; as Excel shows them, as text; or the formulas where there are some." },
    { .name = "dateTimeRender", .type = SL_OPT_ENUM, .offset = SL_FIELD(excel_cfg, dates), .values = "UNFORMATTED_VALUE SERIAL_NUMBER FORMATTED_STRING", .fallback = "UNFORMATTED_VALUE",
      .doc = "Dates and times as such, as Excel's numbers, or as Excel shows them, as text." },
    { .name = "charset", .type = SL_OPT_ANY, .offset = SL_FIELD(excel_cfg, charset), .doc = "Accepted: workbooks say themselves how they are encoded." },
    { 0 },
};
static const sl_opt read_outs[] = {
    { .name = "uris", .type = SL_OPT_MAP, .doc = "Name of each sheet and the URI of its records." },
    { .name = "size", .type = SL_OPT_INT, .doc = "Records of all sheets." },
    { 0 },
};

typedef struct reading {
    sl_task *task;
    const excel_cfg *c;
    sl_arena *arena;              /* of the sheet */
    sl_writer *out;
    sl_buf buffer;
    const sl_str *names;          /* of the columns; NULL: none so far, or never */
    size_t columns;
    int64_t skip, count;
} reading;

enum { BUFFER = 256 << 10 };

static void keep_names(reading *r, const sl_val *const *cells, size_t count)
{
    sl_str *names = SL_ARRAY(r->arena, sl_str, count + 1);
    for (size_t i = 0; i < count; i++) {
        sl_str text = sl_str_trim(cells[i]->type == SL_NULL ? SL_S("") : sl_val_text(r->arena, cells[i]));
        names[i] = text.n > 0 ? sl_str_dup(r->arena, text) : sl_fmt(r->arena, "col_%zu", i + 1);
    }
    while (count > 0 && cells[count - 1]->type == SL_NULL)
        count--;
    r->names = names;
    r->columns = count;
}

static bool write_record(reading *r, sl_arena *a, const sl_val *const *cells, size_t count, sl_err *err)
{
    sl_val *record = r->names ? sl_map(a) : sl_list(a);
    if (r->names != NULL)
        for (size_t i = 0; i < r->columns; i++)
            sl_map_set(a, record, r->names[i], i < count ? cells[i] : &sl_null_val);
    else
        for (size_t i = 0; i < count; i++)
            sl_list_add(a, record, cells[i]);
    sl_ion_write(&r->buffer, a, record);
    sl_buf_char(&r->buffer, '\n');
    r->count++;
    if (r->buffer.n < BUFFER)
        return true;
    bool ok = r->out->write(r->out, sl_buf_str(&r->buffer).p, r->buffer.n, err);
    r->buffer.n = 0;
    return ok;
}

static bool on_row(void *self, sl_arena *arena, int64_t number, const sl_val *const *cells, size_t count, sl_err *err)
{
    reading *r = self;
    bool empty = true;
    for (size_t i = 0; i < count && empty; i++)
        empty = cells[i]->type == SL_NULL || (cells[i]->type == SL_STRING && cells[i]->s.n == 0);
    if ((number & 1023) == 0 && sl_task_cancelled(r->task))
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while reading");
    if (r->c->header && r->names == NULL) {
        keep_names(r, cells, count);
        return true;
    }
    if (r->skip > 0) {
        r->skip--;
        return true;
    }
    return (empty && r->c->skip_empty) || write_record(r, arena, cells, count, err);
}

static bool wanted(const excel_cfg *c, sl_str title)
{
    bool any = sl_val_count(c->titles) == 0;
    for (size_t i = 0; i < sl_val_count(c->titles) && !any; i++)
        any = sl_str_eq(sl_text(sl_at(c->titles, i)), title);
    return any;
}

/* All titles must be sheets: a misspelt one is no empty result. */
static bool check_titles(const excel_cfg *c, const sl_xlsx *x, sl_err *err)
{
    for (size_t i = 0; i < sl_val_count(c->titles); i++) {
        sl_str title = sl_text(sl_at(c->titles, i));
        bool there = false;
        for (size_t k = 0; k < sl_xlsx_sheets(x) && !there; k++)
            there = sl_str_eq(sl_xlsx_sheet(x, k), title);
        if (!there)
            return sl_err_set(err, SL_ERR_NOT_FOUND, "excel.sheet", "the workbook has no sheet '%.*s'; its first is '%.*s'", SL_ARG(title), SL_ARG(sl_xlsx_sheet(x, 0)));
    }
    return true;
}

static bool read_sheet(sl_task *t, const excel_cfg *c, sl_xlsx *x, size_t index, sl_val *uris, int64_t *total, sl_err *err)
{
    SL_ARENA arena = sl_arena_new();
    SL_WRITER out = NULL;
    sl_str uri, title = sl_xlsx_sheet(x, index);
    reading r = { .task = t, .c = c, .arena = arena, .buffer = sl_buf_new(arena, SIZE_MAX / 4), .skip = c->skip };
    sl_xlsx_reading how = { .formulas = sl_str_eqc(c->values, "FORMULA"), .serials = sl_str_eqc(c->dates, "SERIAL_NUMBER"), .shown = sl_str_eqc(c->values, "FORMATTED_VALUE"), .shown_dates = sl_str_eqc(c->dates, "FORMATTED_STRING"), .self = &r, .row = on_row };
    if (!sl_task_open_out(t, sl_fmt(arena, "sheet_%zu.ion", index + 1), &out, &uri, err))
        return false;
    r.out = out;
    if (!sl_xlsx_read(x, index, &how, err))
        return sl_err_ctx(err, "sheet '%.*s'", SL_ARG(title));
    if (!out->write(out, sl_buf_str(&r.buffer).p, r.buffer.n, err) || !out->finish(out, err))
        return false;
    sl_map_set_str(sl_task_arena(t), uris, sl_str_dup(sl_task_arena(t), title).p, uri);
    *total += r.count;
    return true;
}

static sl_outcome read_run(sl_task *t, void *cfg, sl_err *err)
{
    const excel_cfg *c = cfg;
    sl_str path;
    int64_t total = 0;
    sl_val *uris = sl_map(sl_task_arena(t));
    if (!sl_task_local_file(t, c->from, &path, err))
        return SL_TASK_FAILED;
    sl_xlsx *x = sl_xlsx_open(path.p, err);
    bool ok = x != NULL && check_titles(c, x, err);
    for (size_t i = 0; ok && i < sl_xlsx_sheets(x); i++)
        ok = !wanted(c, sl_xlsx_sheet(x, i)) || read_sheet(t, c, x, i, uris, &total, err);
    sl_xlsx_close(x);
    if (!ok) {
        (void)sl_err_ctx(err, "%.*s", SL_ARG(c->from));
        return SL_TASK_FAILED;
    }
    sl_task_out(t, "uris", uris);
    sl_task_out_int(t, "size", total);
    sl_task_counter(t, "records", (double)total);
    return SL_TASK_DONE;
}

#define EXCEL "io.kestra.plugin.serdes.excel."
const sl_task_type sl_excel_to_ion = { .type = EXCEL "ExcelToIon", .aliases = EXCEL "ExcelReader", .doc = "Reads the sheets of an Excel workbook into records.", .cfg_size = sizeof(excel_cfg), .opts = read_opts, .outs = read_outs, .run = read_run };
