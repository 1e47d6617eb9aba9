/* db/duck_value.h: private to db/duck*.c: columns of a result, and their values as native ones (connectors reference A11). */
#pragma once

#include "db/duck_api.h"

typedef struct sl_duck_column {
    sl_str name;
    int type, internal;           /* duckdb_type; that of what is stored */
    int scale;                    /* decimals */
    bool json;
    size_t count;                 /* of children; of an array's elements */
    struct sl_duck_column *children;
    sl_str *words;                /* of an enum */
} sl_duck_column;

/* false: a type that has no native form. */
bool sl_duck_column_of(sl_arena *arena, duckdb_logical_type type, sl_duck_column *ret, sl_err *err);
const sl_val *sl_duck_value(sl_arena *arena, const sl_duck_column *c, duckdb_vector v, idx_t row, const sl_tz *zone);
