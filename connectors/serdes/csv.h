/*
 * connectors/serdes/csv.h: CSV records from a stream (RFC 4180, and what is found in its stead).
 *
 * Quoted fields may hold separators, line ends and doubled quotes; lines end with LF, CRLF or CR; a quote inside of an unquoted
 * field is a character like any other. Memory: one block, or one record where that is larger. One thread.
 */
#pragma once

#include "base/io.h"
#include "connectors/serdes/csv_index.h"

typedef struct sl_csv_dialect {
    char separator, quote;
    bool lenient;                 /* characters between a closing quote and the separator are kept */
    size_t field_max, record_max; /* bytes */
} sl_csv_dialect;

typedef struct sl_csv sl_csv;

/* The reader stays the caller's. */
sl_csv *sl_csv_new(sl_arena *arena, sl_reader *in, const sl_csv_dialect *dialect);
/*
 * 1: a record; its fields are valid until the next call. 0: the end. -1: err; with the codes csv.quote and csv.field the line or
 * record is skipped, and the next call goes on behind it.
 */
int sl_csv_next(sl_csv *c, const sl_str **fields, size_t *count, sl_err *err);
/*
 * The plain records that come next, as many as are at hand, of `columns` fields each: the same as sl_csv_next would say one by one, at
 * many times its speed. NULL: what comes next is for sl_csv_next. Valid until the next call of either.
 */
const sl_csv_index *sl_csv_next_plain(sl_csv *c, size_t columns);
/* The line at which the record begins, or the first of several, from 1. */
int64_t sl_csv_line(const sl_csv *c);
/* After -1 with SL_ERR_DATA: the line that was skipped, at most SL_CSV_BAD_MAX bytes of it; valid until the next call. */
enum { SL_CSV_BAD_MAX = 64 << 10 };
sl_str sl_csv_bad(const sl_csv *c);
/* An empty line: one empty field, without quotes. */
bool sl_csv_blank(const sl_csv *c);

/* A separator or a quote as a property says it: one byte, or the two characters \t. may_lack: "" is '\0'. */
bool sl_csv_char(sl_str text, const char *property, bool may_lack, char *ret, sl_err *err);
