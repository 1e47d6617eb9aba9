/*
 * connectors/csv/batch.h: between column.c and batch*.c, which are compiled once for each level of vector instructions (base/cpu.h).
 */
#pragma once

#include "base/cpu.h"
#include "connectors/csv/column.h"

/* Column `k` of all these records: nulls, texts and other values as sl_csv_column_add takes them, numbers by c->least and c->most. */
SL_LEVELS_DECLARE(void, sl_csv_column_add_rows, (sl_csv_column *c, const sl_csv_index *rows, size_t k));
/* For batch.c; careful: quotes, or a CR, may be there. */
SL_LEVELS_DECLARE(void, sl_csv_column_add_shorts, (sl_csv_column *c, const sl_csv_index *rows, size_t k, bool careful));
SL_LEVELS_DECLARE(void, sl_csv_column_add_stamps, (sl_csv_column *c, const sl_csv_index *rows, size_t k, bool careful));

/* What a value says of its column besides that it is there; where it is in the order of texts. */
void sl_csv_column_look(sl_csv_column *c, sl_str value);
void sl_csv_column_widths(sl_csv_column *c, size_t least, size_t most);
void sl_csv_column_order(sl_csv_column *c, sl_str value);
/* The bytes of a key in byte order, or of digits flush right: those that are not NUL, behind a sign. */
sl_str sl_csv_spell(char to[9], bool negative, uint64_t key);
