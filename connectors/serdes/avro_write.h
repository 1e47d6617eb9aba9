/*
 * connectors/serdes/avro_write.h: values as Avro, the schema that values have (both pure), and the file that holds them.
 * Source: https://avro.apache.org/docs/1.11.1/specification/; connectors reference A13 (AvroConverter).
 */
#pragma once

#include "base/io.h"
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

/* ---- avro_file.c: an object container file, its blocks packed with deflate ---- */

typedef struct sl_avro_file {
    sl_buf block;                 /* sl_avro_encode adds a record here, then sl_avro_file_added is called */
    /* Private. */
    sl_writer *out;
    int64_t in_block;
    char sync[16];
} sl_avro_file;

/* Writes the header; `out` stays the caller's, the arena holds a block. */
bool sl_avro_file_begin(sl_avro_file *f, sl_arena *arena, sl_writer *out, const sl_val *schema, sl_err *err);
/* One record more is in the block, which is written when it is large enough. */
bool sl_avro_file_added(sl_avro_file *f, sl_err *err);
/* The last block, and the writer's own end. */
bool sl_avro_file_finish(sl_avro_file *f, sl_err *err);
