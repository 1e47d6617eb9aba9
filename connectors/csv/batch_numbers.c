/*
 * connectors/csv/batch_numbers.c: a column of short values, mostly numbers, as many at once as there are lanes; compiled for each level of base/cpu.h.
 *
 * All facts are least and greatest ones of something. Of short numbers it is enough to keep, for each class (sign and digits behind
 * the point), the least and the greatest as bytes: in one class, bytes that are flush right are in the order of the numbers.
 * sl_csv_column_settle looks at those alone. What the bytes of a group of values are is told by masks of up to 64 bits, and whether they are
 * numbers by arithmetic on these. Whatever has no usual form goes to column.c, one by one.
 */
#include "connectors/csv/batch.h"
#include "connectors/csv/lanes.h"

enum { CLASSES = 16 };            /* digits behind the point (0: no point), 8 more when negative */

typedef struct shorts {
    words least[CLASSES], most[CLASSES]; /* digits flush right; of classes that were met */
    words key_min, key_max;       /* bytes as a number, in byte order */
    uint64_t widths;              /* bit 8 * lane + n - 1: one of n bytes was met */
    /* The chunk: the first bytes of the values, then their keys; how many bytes; digits; marks: in the lane of a number, its class. */
    words key[GROUPS], bytes[GROUPS], digits[GROUPS];
    uint64_t plus[GROUPS], minus[GROUPS];
    unsigned rest[GROUPS];        /* lanes of what is no number */
    size_t place[GROUPS];         /* which group of the chunk it is */
    uint64_t same;                /* key of a number, or of a null, that is counted already; 1 = none */
    int64_t nulls, others;
    unsigned classes;             /* those that were met */
    bool truths;
} shorts;

/* The values of rows [from, from + count): eight bytes of each, as they lie in memory, and how many there are. */
static inline __attribute__((always_inline)) void load_chunk(shorts *s, const sl_csv_index *x, size_t from, size_t count, size_t k, bool careful)
{
    const uint32_t *end = x->ends + from * x->columns + k;
    for (size_t i = 0; i * LANES < count; i++, end += LANES * x->columns)
        s->key[i] = load_values(x->base, find_values(x, end, count - i * LANES, careful, k + 1 == x->columns, &s->bytes[i]), 0);
}

/*
 * Of a group of values flush right, without NULs: which are numbers without leading zeros (all ones in their lanes). Their digits lose
 * the sign, and ".5" gets its zero, since it has the order of 0.5; plus and minus: the place of the point, or the lowest bit.
 */
static inline uint64_t classify(words right, uint64_t some, words *digits, uint64_t *plus, uint64_t *minus)
{
    uint64_t digit = digit_bytes(right), zero = equal_bytes(right, '0'), first = some & ~(some >> 1 & ALL(0x7F));
    if (digit == some) { /* whole numbers, as in most columns */
        uint64_t whole = whole_lanes(some) & ~whole_lanes((first & zero) >> 1 & ALL(0x7F) & digit);
        *digits = right;
        *plus = ALL(1) & whole;
        *minus = 0;
        return whole;
    }
    uint64_t point = equal_bytes(right, '.'), sign = equal_bytes(right, '-') & first;
    uint64_t begin = (first ^ sign) | (sign >> 1 & ALL(0x7F)), bare = begin & point;
    uint64_t bad = (some & ~(digit | point | sign)) | (point & ((point | ALL(0x80)) - ALL(1))) /* two of them */ | (point & ALL(1)) | (bare & ALL(0x80)) | ((begin & zero) >> 1 & ALL(0x7F) & digit);
    uint64_t good = whole_lanes(begin) & ~whole_lanes(bad), marks = (point | (ALL(1) & ~whole_lanes(point))) & good, negative = whole_lanes(sign);
    *digits = with_bytes(with_bytes(right, sign, '\0'), (bare & ALL(0x7F)) << 1, '0');
    *plus = marks & ~negative;
    *minus = marks & negative;
    return good;
}

/* The least and the greatest of each class that is in the first `n` groups. */
static inline void add_classes(shorts *s, const uint64_t *marks, unsigned sign, size_t n)
{
    uint64_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= marks[i];
    any |= any >> 32;
    any |= any >> 16;
    for (unsigned left = (unsigned)(any | any >> 8) & 0xFF; left != 0; left &= left - 1) {
        unsigned at = (unsigned)__builtin_ctz(left), class = at + sign;
        bool met = (s->classes >> class & 1) != 0;
        words least = met ? s->least[class] : ~(words){ 0 }, most = met ? s->most[class] : (words){ 0 };
        for (size_t i = 0; i < n; i++) {
            words match = in_lanes(lanes_at(marks[i], at));
            least = lesser(least, s->digits[i] | ~match);
            most = greater(most, s->digits[i] & match);
        }
        s->least[class] = least;
        s->most[class] = most;
        s->classes |= 1U << class;
    }
}

static inline bool is_truth(uint64_t key, uint64_t n)
{
    key |= ALL(0x20) << (64 - 8 * n);
    return key == 0x7472756500000000U || key == 0x66616C7365000000U;
}

/* Those that are no number: truths, and what is for column.c. */
static void add_rest(sl_csv_column *c, shorts *s, const sl_csv_index *x, size_t from, size_t n, size_t k)
{
    const uint64_t *keys = (const uint64_t *)s->key, *bytes = (const uint64_t *)s->bytes;
    for (size_t group = 0; group < n; group++)
        for (unsigned left = s->rest[group]; left != 0; left &= left - 1) {
            size_t i = s->place[group] * LANES + (unsigned)__builtin_ctz(left);
            if (bytes[i] <= 8 && is_truth(keys[i], bytes[i])) {
                s->truths = true;
                s->key_min[0] = keys[i] < s->key_min[0] ? keys[i] : s->key_min[0];
                s->key_max[0] = keys[i] > s->key_max[0] ? keys[i] : s->key_max[0];
                s->widths |= (uint64_t)1 << (bytes[i] - 1);
            } else {
                s->others++;
                sl_csv_column_add(c, sl_csv_index_field(x, from + i, k));
            }
        }
}

static inline __attribute__((always_inline)) void add_chunk(sl_csv_column *c, shorts *s, const sl_csv_index *x, size_t from, size_t count, size_t k, bool careful)
{
    size_t groups = (count + LANES - 1) / LANES, n = 0;
    words key_min = s->key_min, key_max = s->key_max;
    unsigned rest = 0;
    load_chunk(s, x, from, count, k, careful);
    for (size_t i = 0; i < groups; i++) {
        words blank = 64 - 8 * s->bytes[i], right = shifted_right(in_byte_order(s->key[i]), blank), key = right << (blank & 63);
        /* As in columns that hardly change: nothing but their number is news. Long values have the key 0, too. */
        if (all_lanes(key, s->same) && (s->same != 0 || zero_lanes(s->bytes[i]) == EVERY_LANE)) {
            s->nulls += s->same == 0 ? LANES : 0;
            continue;
        }
        uint64_t some = ~equal_bytes(right, '\0') & EVERY_BYTE, good = classify(right, some, &s->digits[n], &s->plus[n], &s->minus[n]);
        unsigned numbers = lanes_at(good, 0), nulls = 0;
        s->key[i] = key;
        key_min = lesser(key_min, key | ~in_lanes(numbers));
        key_max = greater(key_max, key & in_lanes(numbers));
        s->widths |= some & ~(some >> 1 & ALL(0x7F)) & good;
        if (numbers != EVERY_LANE) {
            nulls = zero_lanes(s->bytes[i]);
            s->nulls += __builtin_popcount(nulls);
        }
        s->same = ((numbers | nulls) & 1) != 0 ? key[0] : 1;
        s->place[n] = i;
        rest |= s->rest[n++] = ~(numbers | nulls) & EVERY_LANE;
    }
    s->key_min = key_min;
    s->key_max = key_max;
    s->nulls -= (int64_t)(groups * LANES - count); /* those that filled the last group */
    add_classes(s, s->plus, 0, n);
    add_classes(s, s->minus, 8, n);
    if (rest != 0)
        add_rest(c, s, x, from, n, k);
}

/* What the groups have found, into the column. */
static void keep_shorts(sl_csv_column *c, const shorts *s)
{
    char text[9];
    uint64_t key_min = UINT64_MAX, key_max = 0, widths = s->widths | s->widths >> 32;
    widths |= widths >> 16;
    widths = (widths | widths >> 8) & 0xFF;
    if (widths == 0)
        return;
    for (unsigned class = 0; class < CLASSES; class++)
        for (int i = 0; i < LANES && (s->classes >> class & 1) != 0; i++) {
            uint64_t low = s->least[class][i], high = s->most[class][i];
            c->least[class] = c->most[class] == 0 || low < c->least[class] ? low : c->least[class];
            c->most[class] = high > c->most[class] ? high : c->most[class];
        }
    for (int i = 0; i < LANES; i++) {
        key_min = s->key_min[i] < key_min ? s->key_min[i] : key_min;
        key_max = s->key_max[i] > key_max ? s->key_max[i] : key_max;
    }
    if ((s->classes & 0x0101) != 0)
        c->type = sl_csv_type_join(c->type, SL_CSV_INT);
    if ((s->classes & ~0x0101U) != 0)
        c->type = sl_csv_type_join(c->type, SL_CSV_DECIMAL);
    if (s->truths)
        c->type = sl_csv_type_join(c->type, SL_CSV_BOOL);
    sl_csv_column_widths(c, (size_t)__builtin_ctzll(widths) + 1, 64 - (size_t)__builtin_clzll(widths));
    sl_csv_column_order(c, sl_csv_spell(text, false, key_min));
    sl_csv_column_order(c, sl_csv_spell(text, false, key_max));
}

void SL_LEVEL_NAME(sl_csv_column_add_shorts)(sl_csv_column *c, const sl_csv_index *x, size_t k, bool careful)
{
    shorts s SL_UNINITIALIZED;
    s.nulls = s.others = 0;
    s.classes = 0;
    s.truths = false;
    s.widths = 0;
    s.same = 1;
    s.key_max = (words){ 0 };
    s.key_min = ~(words){ 0 };
    for (size_t from = 0; from < x->rows; from += CHUNK) {
        size_t count = x->rows - from < CHUNK ? x->rows - from : CHUNK;
        if (careful)
            add_chunk(c, &s, x, from, count, k, true);
        else
            add_chunk(c, &s, x, from, count, k, false);
    }
    c->values += (int64_t)x->rows - s.others;
    c->nulls += s.nulls;
    keep_shorts(c, &s);
}
