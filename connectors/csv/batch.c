/*
 * connectors/csv/batch.c: a column of many records at once: column.c's facts, without looking closely at most values. Compiled once
 * for each level of vector instructions (base/cpu.h).
 */
#include "connectors/csv/batch.h"
#include "connectors/csv/lanes.h"

static const uint64_t low_bytes[] = { 0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFF, 0xFFFFFFFFFFFF, 0xFFFFFFFFFFFFFF, UINT64_MAX };

typedef struct texts {
    int64_t nulls;
    size_t least_n, most_n;
} texts;

static inline __attribute__((always_inline)) void add_texts(sl_csv_column *c, texts *s, const sl_csv_index *x, size_t k, bool careful)
{
    const uint32_t *end = x->ends + k;
    bool last = k + 1 == x->columns;
    for (size_t r = 0; r < x->rows; r++, end += x->columns) {
        sl_str v = field(x, end, careful, last);
        s->nulls += v.n == 0;
        size_t n = v.n == 0 ? s->most_n : v.n;
        s->least_n = n < s->least_n ? n : s->least_n;
        s->most_n = n > s->most_n ? n : s->most_n;
        uint64_t a = __builtin_bswap64(load(v.p) & low_bytes[v.n < 8 ? v.n : 8]);
        /* Only what may be the least or the greatest is looked at as a whole; the keys are column.c's. */
        if (__builtin_expect(a <= c->min_key[0] || a >= c->max_key[0], 0) && v.n > 0) {
            uint64_t b = v.n > 8 ? __builtin_bswap64(load(v.p + 8) & low_bytes[v.n < 16 ? v.n - 8 : 8]) : 0;
            bool low = a < c->min_key[0] || (a == c->min_key[0] && (b < c->min_key[1] || (b == c->min_key[1] && (v.n > 16 || c->text_min.n > 16))));
            bool high = a > c->max_key[0] || (a == c->max_key[0] && (b > c->max_key[1] || (b == c->max_key[1] && (v.n > 16 || c->text_max.n > 16))));
            if (low || high)
                sl_csv_column_order(c, v);
        }
    }
}

/* The column has a text already. */
static void text_rows(sl_csv_column *c, const sl_csv_index *x, size_t k, bool careful)
{
    texts s = { 0, c->bytes_min, c->bytes_max };
    if (careful)
        add_texts(c, &s, x, k, true);
    else
        add_texts(c, &s, x, k, false);
    c->values += (int64_t)x->rows;
    c->nulls += s.nulls;
    sl_csv_column_widths(c, s.least_n, s.most_n);
}

void SL_LEVEL_NAME(sl_csv_column_add_rows)(sl_csv_column *c, const sl_csv_index *x, size_t k)
{
    bool careful = x->quote != '\0' || k + 1 == x->columns;
    if (c->type == SL_CSV_TEXT)
        text_rows(c, x, k, careful);
    else if (c->type == SL_CSV_DATE || c->type == SL_CSV_TIMESTAMP)
        SL_LEVEL_NAME(sl_csv_column_add_stamps)(c, x, k, careful);
    else
        SL_LEVEL_NAME(sl_csv_column_add_shorts)(c, x, k, careful);
}
