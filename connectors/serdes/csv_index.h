/*
 * connectors/serdes/csv_index.h: where the fields of plain CSV records end.
 *
 * A record is plain when it has the wanted number of fields, each either without any quote or quoted as a whole without doubled
 * quotes, ends with LF or CRLF, and holds neither a NUL nor a lone CR outside of quotes nor bytes that are no UTF-8. What is plain means what
 * sl_csv_next says of it; all else is left to it. Pure; one thread for each index.
 */
#pragma once

#include "connectors/serdes/csv_scan.h"

enum { SL_CSV_WINDOW = 64 << 10, SL_CSV_BEHIND = 80 }; /* bytes looked at by one call; bytes behind the text that may be read (of any value) */

typedef struct sl_csv_index {
    /* The result: field k of record r (from 0) ends before base[ends[r * columns + k]], a separator, or the LF of the record. */
    const char *base;
    const uint32_t *ends;         /* ends[-1] is there too: UINT32_MAX, behind which 0 comes */
    size_t columns, rows;
    size_t bytes;                 /* of these records */
    size_t inner_lines;           /* LFs inside of quoted fields */
    char quote;                   /* '\0' = none of the fields is quoted */
    bool returns;                 /* there are CRs: one may end the last field */
    bool clean;                   /* no field holds a byte that a string of JSON has to escape */
    bool stopped;                 /* what follows is not plain; else it is not complete */
    /* Private. */
    sl_csv_marks marks;
    uint32_t *store;
} sl_csv_index;

void sl_csv_index_init(sl_csv_index *x);
void sl_csv_index_free(sl_csv_index *x);
/*
 * As many plain records as there are at the beginning of text[0, n), of the first SL_CSV_WINDOW bytes; *rows may become 0. The
 * results are valid until the next call and as long as the text is. columns: 1 to SL_CSV_WINDOW.
 */
void sl_csv_index_find(sl_csv_index *x, const char *text, size_t n, size_t columns, char separator, char quote);

/* Field `k` of record `r`, without its quotes. */
static inline sl_str sl_csv_index_field(const sl_csv_index *x, size_t r, size_t k)
{
    const uint32_t *end = x->ends + r * x->columns + k;
    size_t from = (uint32_t)(end[-1] + 1), to = *end;
    if (k + 1 == x->columns && to > from && x->base[to - 1] == '\r')
        to--;
    if (x->quote != '\0' && to > from && x->base[from] == x->quote) {
        from++;
        to--;
    }
    return (sl_str){ x->base + from, to - from };
}
