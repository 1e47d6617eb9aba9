/*
 * connectors/pieces.h: a stored file of rows, cut into stored files: storage.Split, and the batches of ForEachItem.
 *
 * Rows end with a separator, which each piece keeps. Memory: one row. Threads: one task's.
 */
#pragma once

#include "connectors/task.h"

typedef struct sl_pieces_how {        /* one of these; where there are several, the first of regex, bytes, partitions, rows */
    sl_str regex;                     /* a piece for each text that the first group matches, in the order of their first rows; other rows are left out */
    const sl_val *bytes;              /* the most that a piece has: a number, or a text such as "10MB"; a longer row is a piece of its own */
    int64_t partitions;               /* so many pieces; rows go round */
    int64_t rows;                     /* of a piece */
    sl_str separator;
} sl_pieces_how;

/* *ret: list of URIs. The files are called STEM-00000.EXT, as the extension of the file is. */
bool sl_pieces_cut(sl_task *t, sl_str from, const sl_pieces_how *how, const char *stem, const sl_val **ret, sl_err *err);
