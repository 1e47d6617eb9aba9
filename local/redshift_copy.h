/*
 * local/redshift_copy.h: private to local/redshift_copy*.c: one COPY, and how the formats of objects are read with DuckDB.
 *
 * A format is three pieces of SQL: what is made ready, the rows, and what is wrong with others of them.
 */
#pragma once

#include "local/redshift_words.h"

typedef struct sl_redshift_copying {
    sl_redshift_session *s;
    sl_arena *a;
    sl_str named, table, url;     /* the table as it was written, and as DuckDB has it */
    const sl_val *columns;        /* named in the statement; empty: all */
    sl_val *types;                /* [{name, type}] of the columns that are filled */
    sl_str delimiter, quote, null_text;
    sl_str json;                  /* JSON: 'auto', or where its paths are */
    int64_t skip, max_error;
    bool csv, parquet, manifest, empty_as_null, credentials, read_ratio, blank_as_null, explicit_ids;
    const char *packed;           /* DuckDB's word; NULL = not */
} sl_redshift_copying;

typedef struct sl_redshift_source {
    sl_str prepare, rows, rejects; /* rejects: file, line, column, message; "": none are told */
} sl_redshift_source;

/* redshift_copy_formats.c. paths: of the blobs. */
bool sl_redshift_source_of(sl_redshift_copying *c, const sl_val *paths, sl_redshift_source *ret, sl_err *err);
/* What the reader leaves in the session. */
void sl_redshift_source_clear(sl_redshift_copying *c);
