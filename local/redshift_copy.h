/*
 * local/redshift_copy.h: private to local/redshift_copy*.c: one COPY, how its sources are read with DuckDB, and what is told of rows that are not taken.
 *
 * A source is pieces of SQL: what is made ready, the rows, and what is wrong with others of them.
 */
#pragma once

#include "local/redshift_table.h"

enum { SL_REDSHIFT_COPY_SQL = 16 << 20 };

typedef struct sl_redshift_copying {
    sl_redshift_session *s;
    sl_arena *a;
    sl_str named, table, url;     /* the table as it was written, and as DuckDB has it */
    const sl_val *columns;        /* named in the statement; empty: all */
    sl_val *types;                /* [{name, type, length, fixed, required}] of the columns that are filled; length: 0 = any */
    sl_str delimiter, quote, null_text;
    sl_str json;                  /* JSON: 'auto', or where its paths are */
    int64_t skip, max_error;
    bool csv, parquet, manifest, empty_as_null, credentials, read_ratio, blank_as_null, explicit_ids, truncate, trim, fill, any_date, round;
    const char *packed;           /* DuckDB's word; NULL = not */
} sl_redshift_copying;

/* A column that is filled. */
typedef struct sl_redshift_column {
    sl_str name, type;
    sl_redshift_text text;
    bool is_text, required;
} sl_redshift_column;
sl_redshift_column sl_redshift_column_at(const sl_redshift_copying *c, size_t i);

typedef struct sl_redshift_source {
    sl_str prepare, rows;
    sl_str wrong, right;          /* how many rows the table would not take; the rows without them. "": all are taken */
    sl_str rejects;               /* file, line, column, kind (redshift_copy_errors.c), value of rows that are left out; "": none are told. File '': any that has it */
} sl_redshift_source;

/* redshift_copy_formats.c: text and Parquet. paths: of the blobs. */
bool sl_redshift_source_of(sl_redshift_copying *c, const sl_val *paths, sl_redshift_source *ret, sl_err *err);
/* ['path', …] */
sl_str sl_redshift_paths(sl_arena *arena, const sl_val *paths);
/* A column's value as it is loaded, from the SQL that gives it. */
sl_str sl_redshift_copy_value(const sl_redshift_copying *c, const sl_redshift_column *column, sl_str from);
/* Conditions under which that value is too long, or null where it must not be; "" where there is none. */
sl_str sl_redshift_copy_long(const sl_redshift_copying *c, const sl_redshift_column *column, sl_str value);

/* redshift_copy_records.c: JSON, and items of DynamoDB. */
bool sl_redshift_source_json(sl_redshift_copying *c, const sl_val *paths, sl_redshift_source *ret, sl_err *err);
bool sl_redshift_source_dynamo(sl_redshift_copying *c, sl_redshift_source *ret, sl_err *err);

/* redshift_copy_errors.c: views of what COPY did not take; ends with NULL. */
extern const char *const sl_redshift_errors_setup[];
/* An earlier version had a table where there is a view now. */
bool sl_redshift_errors_upgrade(sl_duck_con *con, sl_err *err);
/* One row that was not taken, with what stl_load_errors has of it. */
sl_val *sl_redshift_reject(const sl_redshift_copying *c, sl_str file, int64_t line, sl_str column, sl_str kind, sl_str value, sl_str raw);
/* Keeps them on a connection of their own: they stay when the transaction is rolled back. */
bool sl_redshift_errors_keep(sl_redshift_copying *c, const sl_val *rejects, sl_err *err);

/*
 * redshift_copy_lines.c: the rows of text that are not taken, with their lines. rejects: rows of the source's query; most: how many are wanted.
 * The lines of DuckDB count records, in which there may be line ends.
 */
bool sl_redshift_copy_lines(sl_redshift_copying *c, const sl_redshift_files *files, const sl_val *rejects, size_t most, sl_val *ret, sl_err *err);
