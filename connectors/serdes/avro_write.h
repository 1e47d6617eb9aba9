/*
 * connectors/serdes/avro_write.h: values as Avro, and the schema that values have. Pure.
 * Source: https://avro.apache.org/docs/1.11.1/specification/; connectors reference A13 (AvroConverter).
 */
#pragma once

#include "connectors/serdes/avro_schema.h"

/* How texts become values of the schema's types. */
typedef struct sl_avro_rules {
    const sl_val *true_words, *false_words, *null_words; /* lists; letters of any case */
    sl_str date, time, date_time; /* java.time patterns; ISO forms are always taken */
    sl_str decimal_separator;
    const sl_tz *zone;            /* of date-times without one, where an instant is wanted */
    bool all_fields;              /* the words count where a text would do as well */
    bool strict;                  /* fields that the schema has not are an error */
} sl_avro_rules;

/* The value behind what is in the buffer, which is as it was when this fails. */
bool sl_avro_encode(sl_buf *out, sl_arena *arena, const sl_avro *type, const sl_val *v, const sl_avro_rules *rules, sl_err *err);
/* Is it one of these, in letters of any case? */
bool sl_avro_is_word(const sl_val *words, sl_str text);
/* A number as Avro has them: zigzag, seven bits a byte. */
void sl_avro_put_long(sl_buf *out, int64_t n);

/* What is known of a schema after one more value; begin with NULL. */
const sl_val *sl_avro_infer(sl_arena *arena, const sl_val *so_far, const sl_val *v, const sl_avro_rules *rules);
/* As a schema: every field a union with null. NULL with err: the records are no maps, or a name is none in Avro. */
const sl_val *sl_avro_inferred(sl_arena *arena, const sl_val *so_far, sl_err *err);
