/*
 * connectors/serdes/shape.h: records that look like the ones before them, rewritten without making values of them.
 *
 * Nearly every file of records has the same fields in the same order on each line, with plain values. A line of that shape is cut into
 * pieces that are copied as they are. Any other line is left to the parsers, which say what is wrong and do all the rest: what
 * comes out is the same both ways (tests/unit/test_shape.c). One thread.
 */
#pragma once

#include "base/str.h"
#include "base/val.h"

typedef enum sl_shape_format { SL_SHAPE_ION, SL_SHAPE_JSON } sl_shape_format;

typedef enum sl_piece_kind {
    SL_PIECE_STRING,              /* between the quotes; escapes are \" \\ \n \r \t, where there are any */
    SL_PIECE_INT,
    SL_PIECE_DOUBLE,              /* a decimal fraction without exponent, and no digit too many */
    SL_PIECE_BOOL,
    SL_PIECE_NULL,
} sl_piece_kind;

typedef struct sl_piece {
    sl_piece_kind kind;
    bool escaped;
    sl_str text;                  /* a view of the line */
} sl_piece;

typedef struct sl_shape {
    size_t n;                     /* fields; 0 = nothing is known yet */
    sl_piece *pieces;             /* of the line that matched last */
    /* Private. */
    sl_shape_format from, to;
    sl_arena *arena;              /* of the names */
    sl_str *keys, *names;         /* as they are written in lines; as they are to be written, with ':' */
    size_t misses;
} sl_shape;

/* Close it in any case. */
void sl_shape_open(sl_shape *s, sl_shape_format from, sl_shape_format to);
void sl_shape_close(sl_shape *s);
/* Is the line, a whole record without blanks around it, of this shape, and plain? Its pieces are there then. */
bool sl_shape_match(sl_shape *s, sl_str line);
/* Of a line that did not match: what was read of it. */
void sl_shape_learn(sl_shape *s, sl_str line, const sl_val *v);
/* The pieces as a record, without a line end. */
void sl_shape_write(const sl_shape *s, sl_buf *to);
