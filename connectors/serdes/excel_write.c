/* connectors/serdes/excel_write.c: io.kestra.plugin.serdes.excel.IonToExcel, by libxlsxwriter. Source: connectors reference A13. */
#include <xlsxwriter.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "connectors/records.h"
#include "connectors/serdes/serdes.h"

enum { ROWS_MAX = 1048576, COLUMNS_MAX = 16384, TEXT_MAX = 32767, SHEETS_MAX = 255 };
#define EXACT_MAX (INT64_C(1) << 53) /* whole numbers beyond are none that Excel's doubles hold */

typedef struct excel_cfg {
    const sl_val *from;
    sl_str title, date, time, date_time, zone;
    bool header, styles;
} excel_cfg;

static const sl_opt write_opts[] = {
    { .name = "from", .type = SL_OPT_ANY, .offset = SL_FIELD(excel_cfg, from), .flags = SL_REQUIRED, .doc = "The file (kestra:// URI), or a map of names of sheets to files." },
    { .name = "sheetsTitle", .type = SL_OPT_STR, .offset = SL_FIELD(excel_cfg, title), .fallback = "Sheet", .doc = "Name of the sheet, where 'from' is one file." },
    { .name = "header", .type = SL_OPT_BOOL, .offset = SL_FIELD(excel_cfg, header), .fallback = "true", .doc = "First a row of the names of the first record." },
    { .name = "styles", .type = SL_OPT_BOOL, .offset = SL_FIELD(excel_cfg, styles), .fallback = "true", .doc = "Dates and times as Excel's own, in these formats, and a bold header; else they are texts." },
    { .name = "dateFormat", .type = SL_OPT_STR, .offset = SL_FIELD(excel_cfg, date), .fallback = "yyyy-MM-dd", .doc = "Format of dates." },
    { .name = "timeFormat", .type = SL_OPT_STR, .offset = SL_FIELD(excel_cfg, time), .fallback = "HH:mm:ss[XXX]", .doc = "Format of times of day." },
    { .name = "dateTimeFormat", .type = SL_OPT_STR, .offset = SL_FIELD(excel_cfg, date_time), .fallback = "yyyy-MM-dd'T'HH:mm:ss.SSS[XXX]", .doc = "Format of dates with a time." },
    { .name = "timeZoneId", .type = SL_OPT_STR, .offset = SL_FIELD(excel_cfg, zone), .doc = "Zone that times with a zone are written in; else the machine's." },
    { 0 },
};

typedef struct writing {
    sl_task *task;
    const excel_cfg *c;
    sl_arena *arena;              /* of the record at hand */
    const sl_tz *zone;
    lxw_workbook *book;
    lxw_worksheet *sheet;
    lxw_format *bold, *formats[SL_TIME_OF_DAY + 1];
    int64_t count;
} writing;

/* A pattern of java.time as Excel's number format: yyyy-MM-dd'T'HH:mm as yyyy-mm-dd"T"hh:mm. Offsets, which a cell has none of, fall away. */
static const char *number_format(sl_arena *a, sl_str pattern)
{
    sl_buf b = sl_buf_new(a, 4096);
    bool quoted = false;
    for (size_t i = 0; i < pattern.n; i++) {
        char c = pattern.p[i];
        if (c == '\'') {
            quoted = !quoted;
            sl_buf_char(&b, '"');
        } else if (quoted)
            sl_buf_char(&b, c);
        else if (c == '[' || c == ']' || c == 'X' || c == 'x' || c == 'Z' || c == 'V' || c == 'z')
            continue;
        else
            sl_buf_addc(&b, c == 'u' ? "y" : c == 'M' || c == 'L' ? "m" : c == 'H' ? "h" : c == 'S' || c == 'n' ? "0" : c == 'a' ? "AM/PM" : (const char[]){ c, '\0' });
    }
    return sl_cstr(a, sl_buf_str(&b));
}

static bool check(lxw_error got, const char *what, sl_err *err)
{
    return got == LXW_NO_ERROR || sl_err_set(err, got == LXW_ERROR_SHEETNAME_ALREADY_USED || got == LXW_ERROR_INVALID_SHEETNAME_CHARACTER || got == LXW_ERROR_SHEETNAME_LENGTH_EXCEEDED ? SL_ERR_CONFIG : SL_ERR_IO, "excel.write", "%s: %s", what, lxw_strerror(got));
}

static bool put_text(writing *w, lxw_row_t row, lxw_col_t column, sl_str text, lxw_format *format, sl_err *err)
{
    if (memchr(text.p, '\0', text.n) != NULL)
        return sl_err_set(err, SL_ERR_DATA, "excel.text", "a text holds a NUL, which a cell cannot");
    lxw_error got = worksheet_write_string(w->sheet, row, column, sl_cstr(w->arena, text), format);
    return got != LXW_ERROR_MAX_STRING_LENGTH_EXCEEDED ? check(got, "a cell", err) : sl_err_set(err, SL_ERR_LIMIT, "excel.text", "a text is longer than the %d characters that a cell may hold", TEXT_MAX);
}

static bool put_time(writing *w, lxw_row_t row, lxw_col_t column, sl_time t, sl_err *err)
{
    sl_str text, pattern = t.kind == SL_TIME_DATE ? w->c->date : t.kind == SL_TIME_OF_DAY ? w->c->time : w->c->date_time;
    if (t.kind == SL_TIME_ZONED)
        t = sl_time_at(t.s, t.ns, w->zone);
    int64_t wall = t.kind == SL_TIME_INSTANT ? t.s : sl_time_wall(t);
    sl_civil d = sl_civil_from_seconds(wall);
    /* Excel's calendar begins with 1900 and ends with 9999. */
    if (!w->c->styles || (t.kind != SL_TIME_OF_DAY && (d.year < 1900 || d.year > 9999)))
        return sl_time_format(w->arena, t, pattern, &text, err) && put_text(w, row, column, text, NULL, err);
    lxw_datetime at = { .year = t.kind == SL_TIME_OF_DAY ? 0 : (int)d.year, .month = t.kind == SL_TIME_OF_DAY ? 0 : d.month, .day = t.kind == SL_TIME_OF_DAY ? 0 : d.day, .hour = d.hour, .min = d.minute, .sec = d.second + t.ns / 1e9 };
    return check(worksheet_write_datetime(w->sheet, row, column, &at, w->formats[t.kind]), "a cell", err);
}

static bool put(writing *w, lxw_row_t row, size_t at, const sl_val *v, sl_err *err)
{
    lxw_col_t column = (lxw_col_t)at;
    switch (v->type) {
    case SL_NULL: return true;
    case SL_BOOL: return check(worksheet_write_boolean(w->sheet, row, column, v->b, NULL), "a cell", err);
    case SL_TIME: return put_time(w, row, column, v->t, err);
    case SL_DOUBLE: return check(worksheet_write_number(w->sheet, row, column, v->d, NULL), "a cell", err);
    case SL_INT:
        if (v->i >= -EXACT_MAX && v->i <= EXACT_MAX)
            return check(worksheet_write_number(w->sheet, row, column, (double)v->i, NULL), "a cell", err);
        return put_text(w, row, column, sl_val_text(w->arena, v), NULL, err);
    default: return put_text(w, row, column, v->type == SL_MAP || v->type == SL_LIST ? sl_json(w->arena, v) : sl_val_text(w->arena, v), NULL, err);
    }
}

static bool put_row(writing *w, lxw_row_t row, const sl_val *record, bool header, sl_err *err)
{
    size_t n = sl_val_count(record);
    if (row >= ROWS_MAX || n > COLUMNS_MAX)
        return sl_err_set(err, SL_ERR_LIMIT, "excel.size", "a sheet has at most %d rows of %d columns", ROWS_MAX, COLUMNS_MAX);
    for (size_t i = 0; i < n; i++) {
        const sl_val *v = record->type == SL_LIST ? record->list.items[i] : record->map.entries[i].value;
        if (header ? !put_text(w, row, (lxw_col_t)i, record->map.entries[i].key, w->bold, err) : !put(w, row, i, v, err))
            return false;
    }
    return true;
}

static bool put_rows(writing *w, sl_records *in, sl_err *err)
{
    sl_arena_mark mark = sl_arena_get_mark(w->arena);
    const sl_val *record;
    lxw_row_t row = 0;
    int got;
    while ((got = sl_records_next(in, w->arena, &record, err)) == 1) {
        if (record->type != SL_MAP && (record->type != SL_LIST || (w->c->header && in->count == 1)))
            return sl_err_set(err, SL_ERR_DATA, "excel.record", "record %lld is %s", (long long)in->count, record->type == SL_LIST ? "a list, which has no names for a header; set 'header: false'" : "neither a map nor a list");
        if ((in->count == 1 && w->c->header && !put_row(w, row++, record, true, err)) || !put_row(w, row++, record, false, err))
            return sl_err_ctx(err, "record %lld", (long long)in->count);
        if ((in->count & 1023) == 0 && sl_task_cancelled(w->task))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while writing");
        sl_arena_rewind(w->arena, mark);
    }
    return got == 0;
}

static bool put_sheet(writing *w, sl_str title, sl_str uri, sl_err *err)
{
    sl_records in = { 0 };
    const char *name = sl_cstr(sl_task_arena(w->task), title);
    if (!check(workbook_validate_sheet_name(w->book, name), name, err))
        return false;
    w->sheet = workbook_add_worksheet(w->book, name);
    bool ok = w->sheet != NULL ? sl_records_open(&in, w->task, uri, err) && put_rows(w, &in, err) : sl_err_set(err, SL_ERR_IO, "excel.write", "the sheet could not be made");
    w->count += in.count;
    sl_records_close(&in);
    return ok || sl_err_ctx(err, "sheet '%.*s'", SL_ARG(title));
}

static bool put_sheets(writing *w, sl_err *err)
{
    const sl_val *from = w->c->from;
    const sl_str patterns[] = { [SL_TIME_INSTANT] = w->c->date_time, [SL_TIME_ZONED] = w->c->date_time, [SL_TIME_LOCAL] = w->c->date_time, [SL_TIME_DATE] = w->c->date, [SL_TIME_OF_DAY] = w->c->time };
    for (size_t i = 0; i < SL_COUNT(patterns) && w->c->styles; i++) {
        w->formats[i] = workbook_add_format(w->book);
        format_set_num_format(w->formats[i], number_format(sl_task_arena(w->task), patterns[i]));
    }
    if (w->c->styles) {
        w->bold = workbook_add_format(w->book);
        format_set_bold(w->bold);
    }
    if (sl_is(from, SL_STRING))
        return put_sheet(w, w->c->title, from->s, err);
    if (!sl_is(from, SL_MAP) || from->map.n == 0 || from->map.n > SHEETS_MAX)
        return sl_err_set(err, SL_ERR_CONFIG, "excel.from", "'from' must be a file, or a map of 1 to %d names of sheets to files", SHEETS_MAX);
    for (size_t i = 0; i < from->map.n; i++)
        if (!put_sheet(w, from->map.entries[i].key, sl_text(from->map.entries[i].value), err))
            return false;
    return true;
}

static sl_outcome write_run(sl_task *t, void *cfg, sl_err *err)
{
    const excel_cfg *c = cfg;
    SL_ARENA arena = sl_arena_new();
    sl_str dir, uri;
    writing w = { .task = t, .c = c, .arena = arena, .zone = sl_tz_local() };
    if ((c->zone.n > 0 && (w.zone = sl_tz_find(c->zone, err)) == NULL) || !sl_task_workdir(t, &dir, err))
        return SL_TASK_FAILED;
    sl_str made = sl_fmt(sl_task_arena(t), "%.*s/.result.xlsx", SL_ARG(dir));
    /* Rows are written as they come, so that memory does not grow with them. */
    lxw_workbook_options options = { .constant_memory = LXW_TRUE, .tmpdir = (char *)(uintptr_t)dir.p };
    w.book = workbook_new_opt(made.p, &options);
    if (w.book == NULL) {
        sl_err_set(err, SL_ERR_IO, "excel.write", "the workbook could not be begun in %.*s", SL_ARG(dir));
        return SL_TASK_FAILED;
    }
    bool ok = put_sheets(&w, err);
    lxw_error closed = workbook_close(w.book);
    if (!ok || !check(closed, "the workbook could not be written", err) || !sl_task_store_file(t, made.p, SL_S("result.xlsx"), &uri, err))
        return SL_TASK_FAILED;
    sl_task_out_str(t, "uri", uri);
    sl_task_out_int(t, "size", w.count);
    sl_task_counter(t, "records", (double)w.count);
    return SL_TASK_DONE;
}

#define EXCEL "io.kestra.plugin.serdes.excel."
const sl_task_type sl_ion_to_excel = { .type = EXCEL "IonToExcel", .aliases = EXCEL "ExcelWriter", .doc = "Writes records into the sheets of an Excel workbook.", .cfg_size = sizeof(excel_cfg), .opts = write_opts, .outs = sl_serdes_outs, .run = write_run };
