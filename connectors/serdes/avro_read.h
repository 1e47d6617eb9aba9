/*
 * connectors/serdes/avro_read.h: the records of an Avro object container file.
 *
 * Codecs null, deflate and snappy. Decimals are exact (sl_val_decimal), bytes and fixed base64, dates and times SL_TIME. Memory: a
 * block (at most SL_AVRO_BLOCK_MAX bytes, packed and unpacked). Nothing that the file says is trusted. One thread.
 * Source: https://avro.apache.org/docs/1.11.1/specification/ (Object Container Files), https://github.com/google/snappy (format_description.txt)
 */
#pragma once

#include "base/io.h"
#include "connectors/serdes/avro_schema.h"

enum { SL_AVRO_BLOCK_MAX = 256 << 20 };

typedef struct sl_avro_reading {
    void *self;
    bool (*each)(void *self, sl_arena *arena, const sl_val *record, sl_err *err); /* valid until it returns */
    /* A record cannot be read; true: the rest of its block is left out, and the next block is read. NULL: never. */
    bool (*bad)(void *self, const sl_err *why);
} sl_avro_reading;

/* sl_err's context says which block and record. */
bool sl_avro_read(const sl_avro_reading *r, sl_reader *in, sl_err *err);
/* One value at *from, which moves behind it; NULL with err. */
const sl_val *sl_avro_value(sl_arena *arena, const sl_avro *type, sl_str *from, sl_err *err);
/* What snappy has packed. false: it is damaged, or larger than max. */
bool sl_unsnappy(sl_arena *arena, sl_str packed, size_t max, sl_str *ret);
