/*
 * local/pgwire_value.h: values of the PostgreSQL protocol in binary form, by the OIDs of their types. Pure.
 *
 * Numbers are big-endian; times are microseconds and dates days since 2000.
 * Source: https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES
 */
#pragma once

#include "base/str.h"

/* Bytes of a type of fixed width, -1 for the others. */
int sl_pgwire_width(int64_t oid);
/* A value that is given as text: its length and its bytes. false: there is no such form here, or the text has none. */
bool sl_pgwire_put_binary(sl_buf *b, int64_t oid, sl_str s);
/* The other way: bytes in binary form, as text. false: not of this type. *ret may point into raw. */
bool sl_pgwire_text(sl_arena *a, int64_t oid, sl_str raw, sl_str *ret);
