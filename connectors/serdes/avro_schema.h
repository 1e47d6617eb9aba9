/*
 * connectors/serdes/avro_schema.h: Avro schemas. Pure.
 *
 * Logical types that are not known, or do not fit their type, are passed over, as the specification wants it.
 * Source: https://avro.apache.org/docs/1.11.1/specification/
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

enum { SL_AVRO_DEPTH_MAX = 64 };  /* of schemas and of values */

typedef enum sl_avro_kind {
    SL_AVRO_NULL, SL_AVRO_BOOLEAN, SL_AVRO_INT, SL_AVRO_LONG, SL_AVRO_FLOAT, SL_AVRO_DOUBLE, SL_AVRO_BYTES, SL_AVRO_STRING,
    SL_AVRO_RECORD, SL_AVRO_ENUM, SL_AVRO_ARRAY, SL_AVRO_MAP, SL_AVRO_UNION, SL_AVRO_FIXED
} sl_avro_kind;

typedef enum sl_avro_logical {
    SL_AVRO_PLAIN, SL_AVRO_DECIMAL, SL_AVRO_DATE, SL_AVRO_TIME_MILLIS, SL_AVRO_TIME_MICROS, SL_AVRO_STAMP_MILLIS, SL_AVRO_STAMP_MICROS,
    SL_AVRO_LOCAL_MILLIS, SL_AVRO_LOCAL_MICROS, SL_AVRO_UUID
} sl_avro_logical;

typedef struct sl_avro sl_avro;

typedef struct sl_avro_field {
    sl_str name;
    const sl_avro *type;
    const sl_val *fallback;       /* its "default"; NULL: none */
} sl_avro_field;

struct sl_avro {
    sl_avro_kind kind;
    sl_avro_logical logical;
    sl_str name;                  /* full; of records, enums and fixed */
    int precision, scale;         /* decimals */
    int64_t size;                 /* fixed: bytes */
    const sl_avro_field *fields;  /* records */
    const sl_avro **branches;     /* unions; arrays and maps: the one of their values */
    size_t count;                 /* of fields, branches, symbols */
    const sl_val *symbols;        /* enums */
};

/* NULL with err. */
const sl_avro *sl_avro_parse(sl_arena *arena, const sl_val *schema, sl_err *err);
