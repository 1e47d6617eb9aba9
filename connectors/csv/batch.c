/*
 * connectors/csv/batch.c: a column of many records at once: column.c's facts, without looking closely at most values. Compiled once
 * for each level of vector instructions (base/cpu.h).
 */
#include "connectors/csv/batch.h"
#include "connectors/csv/lanes.h"

typedef struct texts {
    words least_n, most_n;        /* of those that are not null */
    int64_t nulls;
} texts;

/* Up to eight bytes of each as a number that is in byte order. */
static inline words key_of(const char *base, places at, size_t skip, words bytes)
{
    words blank = 64 - 8 * lesser(bytes, all_of(8));
    return shifted_right(in_byte_order(load_values(base, at, skip)), blank) << (blank & 63);
}

/* Only what may be the least or the greatest is looked at as a whole: by its second eight bytes here, then by column.c. */
static __attribute__((noinline)) void add_candidates(sl_csv_column *c, const sl_csv_index *x, const places *at, const words *bytes, const words *key)
{
    words second = key_of(x->base, *at, 8, *bytes - lesser(*bytes, all_of(8))), long_one = (words)(*bytes > 16);
    words low_tie = long_one | -(uint64_t)(c->text_min.n > 16), high_tie = long_one | -(uint64_t)(c->text_max.n > 16);
    words low = (words)(*key < c->min_key[0]) | ((words)(*key == c->min_key[0]) & ((words)(second < c->min_key[1]) | ((words)(second == c->min_key[1]) & low_tie)));
    words high = (words)(*key > c->max_key[0]) | ((words)(*key == c->max_key[0]) & ((words)(second > c->max_key[1]) | ((words)(second == c->max_key[1]) & high_tie)));
    for (unsigned lanes = zero_lanes(~(low | high)) & ~zero_lanes(*bytes); lanes != 0; lanes &= lanes - 1) {
        int i = __builtin_ctz(lanes);
        sl_csv_column_order(c, (sl_str){ x->base + PLACE(*at, i), (*bytes)[i] });
    }
}

/* Keys of what may be less than the least: those less than this, less one (a null's is then the greatest). As great: a tie is told behind eight bytes. */
static inline uint64_t least_limit(const sl_csv_column *c)
{
    return c->min_key[0] - (c->text_min.n <= 8);
}

static inline uint64_t most_limit(const sl_csv_column *c)
{
    return c->max_key[0] - (c->text_max.n >= 8);
}

static inline __attribute__((always_inline)) void add_texts(sl_csv_column *c, texts *s, const sl_csv_index *x, size_t k, bool careful)
{
    const uint32_t *end = x->ends + k;
    for (size_t from = 0; from < x->rows; from += LANES, end += LANES * x->columns) {
        words bytes;
        places at = find_values(x, end, x->rows - from, careful, k + 1 == x->columns, &bytes);
        words key = key_of(x->base, at, 0, bytes);
        s->least_n = lesser(s->least_n, bytes | (words)(bytes == 0));
        s->most_n = greater(s->most_n, bytes);
        s->nulls += __builtin_popcount(zero_lanes(bytes));
        if (__builtin_expect(zero_lanes(~((words)(key - 1 < least_limit(c)) | (words)(key > most_limit(c)))) != 0, 0))
            add_candidates(c, x, &at, &bytes, &key);
    }
    s->nulls -= (int64_t)((LANES - x->rows % LANES) % LANES); /* those that filled the last group */
}

/* The column has a text already. */
static void text_rows(sl_csv_column *c, const sl_csv_index *x, size_t k, bool careful)
{
    texts s = { .least_n = ~(words){ 0 } };
    if (careful)
        add_texts(c, &s, x, k, true);
    else
        add_texts(c, &s, x, k, false);
    c->values += (int64_t)x->rows;
    c->nulls += s.nulls;
    size_t least = SIZE_MAX, most = 0;
    for (int i = 0; i < LANES; i++) {
        least = s.least_n[i] < least ? s.least_n[i] : least;
        most = s.most_n[i] > most ? s.most_n[i] : most;
    }
    if (most > 0)
        sl_csv_column_widths(c, least, most);
}

void SL_LEVEL_NAME(sl_csv_column_add_rows)(sl_csv_column *c, const sl_csv_index *x, size_t k)
{
    bool careful = x->quote != '\0' || (x->returns && k + 1 == x->columns);
    if (c->type == SL_CSV_TEXT)
        text_rows(c, x, k, careful);
    else if (c->type == SL_CSV_DATE || c->type == SL_CSV_TIMESTAMP)
        SL_LEVEL_NAME(sl_csv_column_add_stamps)(c, x, k, careful);
    else
        SL_LEVEL_NAME(sl_csv_column_add_shorts)(c, x, k, careful);
}
