/* connectors/serdes/csv_index.c: see csv_index.h. */
#include "connectors/serdes/csv_index.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/str.h"

void sl_csv_index_init(sl_csv_index *x)
{
    enum { WORDS = SL_CSV_WINDOW + SL_CSV_SCAN_SLACK };
    *x = (sl_csv_index){ .store = sl_malloc((3 * WORDS + 1) * sizeof *x->store) };
    x->store[0] = UINT32_MAX;     /* so that the first field begins behind it as others do: at 0 */
    x->marks = (sl_csv_marks){ .ends = x->store + 1, .lines = x->store + 1 + WORDS, .inner = x->store + 1 + 2 * WORDS };
    x->ends = x->marks.ends;
}

void sl_csv_index_free(sl_csv_index *x)
{
    free(x->store);
}

/* Records of the wanted number of fields: the r-th line's end is then the end of that many fields. */
static size_t plain_rows(const sl_csv_marks *m, size_t columns)
{
    size_t r = 0;
    while (r < m->lines_n && (r + 1) * columns <= m->ends_n && m->lines[r] < m->limit && m->lines[r] == m->ends[(r + 1) * columns - 1])
        r++;
    return r;
}

/* Records before the first that is no UTF-8. */
static size_t readable_rows(const sl_csv_marks *m, const char *text, size_t rows)
{
    if (rows == 0 || sl_str_is_utf8((sl_str){ text, m->lines[rows - 1] }))
        return rows;
    size_t r = 0, from = 0;
    while (r < rows && sl_str_is_utf8((sl_str){ text + from, m->lines[r] - from }))
        from = m->lines[r++] + 1;
    return r;
}

void sl_csv_index_find(sl_csv_index *x, const char *text, size_t n, size_t columns, char separator, char quote)
{
    sl_csv_marks *m = &x->marks;
    n = n < SL_CSV_WINDOW ? n : SL_CSV_WINDOW;
    SL_LEVEL_PICK(sl_csv_scan)(text, n, separator, quote, m);
    x->rows = plain_rows(m, columns);
    if (m->high)
        x->rows = readable_rows(m, text, x->rows);
    x->stopped = m->limit < n || (x->rows < m->lines_n && m->lines[x->rows] < n);
    x->base = text;
    x->columns = columns;
    x->bytes = x->rows > 0 ? m->lines[x->rows - 1] + 1 : 0;
    x->quote = m->quotes ? quote : '\0';
    x->returns = m->returns;
    x->clean = !m->special;
    x->inner_lines = 0;
    while (x->inner_lines < m->inner_n && m->inner[x->inner_lines] < x->bytes)
        x->inner_lines++;
}
