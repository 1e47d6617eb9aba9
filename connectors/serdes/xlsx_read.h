/*
 * connectors/serdes/xlsx_read.h: the cells of an Excel workbook (.xlsx), row by row.
 *
 * Whole numbers are SL_INT, others SL_DOUBLE, cells whose format is a date or time SL_TIME_LOCAL (in both calendars that Excel has),
 * errors their text. Memory: the workbook's shared strings (limited), and a row. One thread.
 * Source: ECMA-376 part 1, 18.2 (workbook), 18.3 (sheets), 18.4 (shared strings), 18.8.30 (number formats).
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

typedef struct sl_xlsx sl_xlsx;

typedef struct sl_xlsx_reading {
    bool formulas;                /* of cells that have one, "=…" in place of its result */
    bool serials;                 /* dates and times as Excel's numbers */
    bool shown, shown_dates;      /* numbers and truth values, dates and times: as a cell shows them, without blanks around */
    void *self;
    /* number: from 1; rows that are not in the file are passed over. Cells that are not are nulls. Valid until it returns. */
    bool (*row)(void *self, sl_arena *arena, int64_t number, const sl_val *const *cells, size_t count, sl_err *err);
} sl_xlsx_reading;

/* NULL with err. */
sl_xlsx *sl_xlsx_open(const char *path, sl_err *err);
void sl_xlsx_close(sl_xlsx *x);           /* NULL is fine */
size_t sl_xlsx_sheets(const sl_xlsx *x);
sl_str sl_xlsx_sheet(const sl_xlsx *x, size_t index);
bool sl_xlsx_read(sl_xlsx *x, size_t sheet, const sl_xlsx_reading *reading, sl_err *err);
/* Does this number format show a date or a time? */
bool sl_xlsx_is_date_format(sl_str format);
/* A day count of Excel as seconds, as if UTC. false: out of the calendar. */
bool sl_xlsx_date(double serial, bool since_1904, int64_t *ret_s, int32_t *ret_ns);
