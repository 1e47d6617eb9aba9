/*
 * connectors/serdes/csv_scan.h: the structure of CSV text as positions: 64 bytes at a time, without a branch for each byte.
 *
 * Pure; the work of csv_index.c, compiled once for each level of vector instructions (base/cpu.h).
 * Source: the bit masks of simdjson (Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019).
 */
#pragma once

#include "base/base.h"
#include "base/cpu.h"

enum { SL_CSV_SCAN_SLACK = 128 }; /* words behind the last position that may be written */

typedef struct sl_csv_marks {
    uint32_t *ends, *lines, *inner; /* separators and LFs outside of quotes; those LFs alone; LFs inside of quotes. Room for n and the slack each */
    size_t ends_n, lines_n, inner_n;
    size_t limit;                 /* the marks hold before here; n, or where something is that is not plain */
    bool quotes, returns, high;   /* there are quotes; there are CRs; there are bytes above 127, before the limit or a little behind it */
    bool special;                 /* there or inside of quotes: what a string of JSON has to escape, but for the quote at hand and the ends of records */
} sl_csv_marks;

/* text[0, n + 80) may be read. quote '\0': none. */
SL_LEVELS_DECLARE(void, sl_csv_scan, (const char *text, size_t n, char separator, char quote, sl_csv_marks *marks));
