/*
 * connectors/csv/source.h: a stored CSV file, opened by what it is found to be, record by record, with what is wrong with each.
 *
 * One pass over the whole file, after a look at its beginning. Bad records are told, not errors: another number of fields than the
 * header or first record has, a quote that is not closed or has something behind it, bytes that are no UTF-8, NUL bytes, fields
 * that are too long. Memory: one block, or one record. One thread.
 */
#pragma once

#include "connectors/csv/column.h"
#include "connectors/csv/dialect.h"
#include "connectors/serdes/csv.h"
#include "connectors/task.h"

/* What the tasks' properties say; the rest is found out. */
typedef struct sl_csv_given {
    sl_str from, charset, separator, quote, header; /* header: AUTO, TRUE, FALSE */
    int64_t field_max;
} sl_csv_given;

#define SL_CSV_GIVEN_OPTS(struct_type)                                                                                                                                                            \
    { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, given.from), .flags = SL_REQUIRED, .doc = "The file (kestra:// URI); gzip is unpacked." },                              \
        { .name = "charset", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, given.charset), .doc = "Its encoding; else it is found out." },                                                  \
        { .name = "fieldSeparator", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, given.separator), .doc = "Between fields; else it is found out." },                                       \
        { .name = "textDelimiter", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, given.quote), .doc = "Around fields; else it is found out." },                                              \
        { .name = "header", .type = SL_OPT_ENUM, .offset = SL_FIELD(struct_type, given.header), .values = "AUTO TRUE FALSE", .fallback = "AUTO", .doc = "Does the first record hold names?" },    \
        { .name = "maxFieldSize", .type = SL_OPT_INT, .offset = SL_FIELD(struct_type, given.field_max), .fallback = "16777216", .doc = "Longest field, in bytes." }

typedef struct sl_csv_source {
    sl_csv_shape shape;
    const sl_str *names;          /* column_1, … where there is no header */
    size_t columns;
    int64_t rows, bad;            /* good and bad records so far */
    int64_t bytes;                /* of the file, unpacked, in its own encoding; at the end */
    /* Private. */
    sl_task *task;
    sl_arena *arena;
    sl_reader *in;
    sl_csv *csv;
    int64_t *read_bytes;
    const sl_csv_index *plain;    /* records that were found in one go, NULL when they are used up */
    size_t plain_at;
    int64_t plain_line;           /* where the next of them begins */
    sl_str *fields;
    char why[200];
} sl_csv_source;

typedef struct sl_csv_row {
    const sl_str *fields;         /* of a bad one: as far as they go */
    size_t count;
    int64_t line;
    const char *why;              /* NULL = good; valid until the next record */
    sl_str raw;                   /* of a bad one that has no fields */
} sl_csv_row;

/* Close it in any case. */
bool sl_csv_source_open(sl_csv_source *s, sl_task *t, const sl_csv_given *given, sl_err *err);
void sl_csv_source_close(sl_csv_source *s);
/* 1: a record; 0: the end; -1: err. */
int sl_csv_source_next(sl_csv_source *s, sl_csv_row *row, sl_err *err);

typedef struct sl_csv_listener {
    void *self;
    void (*tell)(void *self, const sl_csv_row *row);
} sl_csv_listener;

/* What all good records to the end have in common: a column each. null_text: what stands for null. on_bad hears of the others; NULL: nobody. */
bool sl_csv_source_look(sl_csv_source *s, sl_str null_text, const sl_csv_listener *on_bad, sl_csv_column **ret, sl_err *err);

extern const sl_task_type sl_csv_inspect, sl_csv_clean;
