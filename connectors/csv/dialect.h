/*
 * connectors/csv/dialect.h: how a CSV file is written, told from its first bytes: encoding, separator, whether it has a header.
 *
 * Pure. What a sample cannot tell is a guess: properties of the tasks come first.
 */
#pragma once

#include "base/io.h"
#include "base/val.h"

enum { SL_CSV_SAMPLE = 256 << 10 }; /* bytes that are looked at */

typedef struct sl_csv_shape {
    sl_str charset;               /* "UTF-8", "UTF-16LE", "UTF-16BE", "windows-1252" */
    bool bom, gzip;
    char separator, quote;
    bool header;
    const char *line_end;         /* "\n", "\r\n", "\r" */
} sl_csv_shape;

/* Is it gzip? Of the raw bytes. */
bool sl_csv_is_gzip(sl_str raw);
/* charset and bom, from bytes that are no longer packed. whole: they are the whole file. */
void sl_csv_guess_charset(sl_str bytes, bool whole, sl_csv_shape *ret);
/* The rest, from UTF-8 text without a byte order mark. */
void sl_csv_guess_shape(sl_str text, bool whole, sl_csv_shape *ret);
/* {encoding, bom, compression, separator, quote, header, lineEnd} */
const sl_val *sl_csv_shape_facts(sl_arena *arena, const sl_csv_shape *s);
