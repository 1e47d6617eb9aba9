/*
 * db/pg_binary.h: texts as values of COPY's binary format. Pure.
 * Source: https://www.postgresql.org/docs/current/sql-copy.html (Binary Format), the send functions of each type.
 */
#pragma once

#include "base/str.h"

/* Has the type a form that is written here? Where not, the server reads the text. */
bool sl_pg_binary_knows(unsigned oid);
/* Length (four bytes) and value. false: the text is no value of the type; nothing was added. */
bool sl_pg_binary_add(sl_buf *b, unsigned oid, sl_str text);
void sl_pg_binary_null(sl_buf *b);
/* Signature, flags, no extension. */
void sl_pg_binary_begin(sl_buf *b);
void sl_pg_binary_row(sl_buf *b, size_t fields);
void sl_pg_binary_end(sl_buf *b);
