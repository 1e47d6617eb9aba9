/*
 * connectors/csv/column.h: what the values of one column have in common: the narrowest type that holds them all, widths, range.
 *
 * Pure: texts in, facts out. An empty text is a null. Numbers with leading zeros (postcodes) are texts; dates are ISO's. Memory: the
 * least and the greatest text, cut after SL_CSV_SHOWN_MAX bytes. One thread.
 */
#pragma once

#include "connectors/serdes/csv_index.h"
#include "base/val.h"

enum { SL_CSV_SHOWN_MAX = 64 };

typedef enum sl_csv_type { SL_CSV_NULL, SL_CSV_BOOL, SL_CSV_INT, SL_CSV_DECIMAL, SL_CSV_FLOAT, SL_CSV_DATE, SL_CSV_TIME, SL_CSV_TIMESTAMP, SL_CSV_TIMESTAMPTZ, SL_CSV_TEXT } sl_csv_type;

typedef struct sl_csv_text {
    char p[SL_CSV_SHOWN_MAX];
    size_t n;
} sl_csv_text;

typedef struct sl_csv_column {
    sl_str name;
    sl_csv_type type;
    int64_t values, nulls;
    size_t bytes_min, bytes_max;  /* of values that are not null */
    int digits, scale;            /* decimals: most digits before and behind the point */
    int64_t int_min, int_max;
    double number_min, number_max;
    sl_csv_text text_min, text_max; /* in byte order; of times this is their own */
    /* Private: the beginnings of both as numbers, so that one look tells most values apart; the value before; see batch.c. */
    bool any, any_int, any_number;
    uint64_t min_key[2], max_key[2];
    uint64_t least[16], most[16]; /* digits of a class of numbers, flush right; most 0: there are none */
    char last[32];
    size_t last_n;                /* 0 = none */
} sl_csv_column;

void sl_csv_column_add(sl_csv_column *c, sl_str value);
/* The same for column `k` of all these records; the facts hold after sl_csv_column_settle. */
void sl_csv_column_add_rows(sl_csv_column *c, const sl_csv_index *rows, size_t k);
void sl_csv_column_settle(sl_csv_column *c);
/* The narrowest type of one value, with its digits; SL_CSV_NULL for an empty one. */
sl_csv_type sl_csv_type_of(sl_str value, int *digits, int *scale);
/* The narrowest type for values of both. */
sl_csv_type sl_csv_type_join(sl_csv_type a, sl_csv_type b);
const char *sl_csv_type_name(sl_csv_type t);
bool sl_csv_type_parse(sl_str name, sl_csv_type *ret);
/* {name, type, nulls, minBytes, maxBytes, min, max, precision, scale}: what applies. */
const sl_val *sl_csv_column_facts(sl_arena *arena, const sl_csv_column *c);
