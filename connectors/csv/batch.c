/*
 * connectors/csv/batch.c: a column of many records at once: column.c's facts, without looking closely at most values.
 *
 * All facts are least and greatest ones of something. Of short numbers it is enough to keep, for each class (sign and digits behind
 * the point), the least and the greatest as bytes: in one class, bytes that are flush right are in the order of the numbers.
 * sl_csv_column_settle looks at those alone. The bytes of a word are looked at together ("Multiple Byte Processing with Full-Word
 * Instructions", Lamport, 1975), and eight words at once. Whatever has no usual form goes to column.c, one by one. Compiled once
 * for each level of vector instructions (base/cpu.h).
 */
#include "connectors/csv/batch.h"

#include <string.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define ALL(byte) (0x0101010101010101U * (uint64_t)(byte))

static const uint64_t low_bytes[] = { 0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFF, 0xFFFFFFFFFFFF, 0xFFFFFFFFFFFFFF, UINT64_MAX };

/* The first byte lowest, on every machine. */
static inline uint64_t load(const char *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    return w;
}

/* careful: quotes around it and a CR behind it may be there. */
static inline __attribute__((always_inline)) sl_str field(const sl_csv_index *x, const uint32_t *end, bool careful, bool last)
{
    size_t from = (uint32_t)(end[-1] + 1), to = *end;
    if (careful) {
        if (last && to > from && x->base[to - 1] == '\r')
            to--;
        if (x->quote != '\0' && to > from && x->base[from] == x->quote) {
            from++;
            to--;
        }
    }
    return (sl_str){ x->base + from, to - from };
}

/* ---- short values: numbers, truths ---- */

/* Eight words at once; the compiler makes of it what the processor has. */
typedef uint64_t words __attribute__((vector_size(64), aligned(64)));

/* Not even with zeros, as the build has it for all: it is large. */
#if __has_attribute(uninitialized)
#define SL_UNINITIALIZED __attribute__((uninitialized))
#else
#define SL_UNINITIALIZED
#endif

enum { LANES = 8, CHUNK = 64, CLASSES = 16 }; /* a class: digits behind the point (0: no point), 8 more when negative */
#define NEGATIVE 2U               /* in a mark: beside the highest bit of the point's byte, or 1 for no point */

typedef struct shorts {
    words least[CLASSES], most[CLASSES]; /* digits flush right; of classes that were met */
    words key_min, key_max, widths; /* bytes as a number, in byte order; bit 64 - 8n: one of n bytes was met */
    /* The chunk: the first bytes of the values as keys (0: there are none, or more than 8), how many; digits, and the mark of the class. */
    words key[CHUNK / LANES], bytes[CHUNK / LANES], digits[CHUNK / LANES], mark[CHUNK / LANES];
    int64_t nulls, others;
    unsigned classes;             /* those that were met */
    bool truths;
} shorts;

static inline words lesser(words a, words b)
{
#if defined(__AVX512F__)
    return (words)_mm512_min_epu64((__m512i)a, (__m512i)b);
#else
    words less = (words)(a < b);
    return (a & less) | (b & ~less);
#endif
}

static inline words greater(words a, words b)
{
#if defined(__AVX512F__)
    return (words)_mm512_max_epu64((__m512i)a, (__m512i)b);
#else
    words less = (words)(a < b);
    return (b & less) | (a & ~less);
#endif
}

static inline uint64_t any_bit(words w)
{
    uint64_t all = 0;
    for (int i = 0; i < LANES; i++)
        all |= w[i];
    return all;
}

/* The values of rows [from, from + count), eight bytes of each and how long it is; rows that fill the last eight are empty. */
static inline __attribute__((always_inline)) void load_chunk(shorts *s, const sl_csv_index *x, size_t from, size_t count, size_t k, bool careful)
{
    const size_t columns = x->columns;
    const bool last = k + 1 == columns;
    const uint32_t *end = x->ends + from * columns + k;
    uint64_t *key = (uint64_t *)s->key, *bytes = (uint64_t *)s->bytes;
    for (size_t i = 0; i < count; i++, end += columns) {
        sl_str v = field(x, end, careful, last);
        memcpy(&key[i], v.p, 8);
        bytes[i] = v.n;
    }
    for (size_t i = count; i % LANES != 0; i++)
        bytes[i] = 0;
}

/* Its first byte highest. */
static inline words in_byte_order(words w)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#if defined(__AVX512BW__)
    const __m512i reversed = _mm512_set4_epi32(0x08090A0B, 0x0C0D0E0F, 0x00010203, 0x04050607);
    return (words)_mm512_shuffle_epi8((__m512i)w, reversed);
#else
    for (int i = 0; i < LANES; i++)
        w[i] = __builtin_bswap64(w[i]);
#endif
#endif
    return w;
}

/*
 * Which of eight are numbers without leading zeros (all ones where so), with their digits flush right and the marks of their classes
 * (all ones where not). A field holds neither NULs nor, after a sign, another one.
 */
static inline words classify(words key, words blank, words *digits, words *mark)
{
    words negative = (words)(key >> 56 == '-'), left = key << (negative & 8);
    blank = (blank + (negative & 8)) & 63; /* a lone '-', and nothing, are found by the first digit, which is missing */
    words right = left >> blank, point = right ^ ALL('.');
    point = (point - ALL(1)) & ~point & ALL(0x80);
    point &= -point;
    /* '.' becomes '0', and so does what is not there. */
    words y = ((right ^ (point >> 3 | point >> 4 | point >> 5 | point >> 6)) | (ALL('0') & ~(~(words){ 0 } >> blank))) ^ ALL('0');
    words first = left >> 56, second = left >> 48 & 0xFF;
    words good = (words)((((y | (y + ALL(6))) & ALL(0xF0)) == 0) & (point != 0x80) & (first != '.') & (first != 0) & ((first != '0') | (second == 0) | (second == '.')));
    *digits = right;
    *mark = point | ((words)(point == 0) & 1) | (negative & NEGATIVE) | ~good;
    return good;
}

/* The least and the greatest of each class that is in the first `n` eights. */
static inline void add_classes(shorts *s, uint64_t marks, uint64_t sign, size_t n)
{
    for (marks &= ~(uint64_t)NEGATIVE; marks != 0; marks &= marks - 1) {
        unsigned class = (unsigned)__builtin_ctzll(marks) / 8 + (sign != 0 ? 8 : 0);
        uint64_t mark = (marks & -marks) | sign;
        bool met = (s->classes >> class & 1) != 0;
        words least = met ? s->least[class] : ~(words){ 0 }, most = met ? s->most[class] : (words){ 0 };
        for (size_t i = 0; i < n; i++) {
            words match = (words)(s->mark[i] == mark);
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

/* Those that are no number: nulls, truths, and what is for column.c. */
static void add_others(sl_csv_column *c, shorts *s, const sl_csv_index *x, size_t from, size_t count, size_t k)
{
    const uint64_t *keys = (const uint64_t *)s->key, *bytes = (const uint64_t *)s->bytes, *marks = (const uint64_t *)s->mark;
    for (size_t i = 0; i < count; i++) {
        if (marks[i] != UINT64_MAX || bytes[i] == 0)
            continue;
        if (bytes[i] <= 8 && is_truth(keys[i], bytes[i])) {
            s->truths = true;
            s->key_min[0] = keys[i] < s->key_min[0] ? keys[i] : s->key_min[0];
            s->key_max[0] = keys[i] > s->key_max[0] ? keys[i] : s->key_max[0];
            s->widths[0] |= (uint64_t)1 << (64 - 8 * bytes[i]);
        } else {
            s->others++;
            sl_csv_column_add(c, sl_csv_index_field(x, from + i, k));
        }
    }
}

static inline __attribute__((always_inline)) void add_chunk(sl_csv_column *c, shorts *s, const sl_csv_index *x, size_t from, size_t count, size_t k, bool careful)
{
    size_t n = (count + LANES - 1) / LANES;
    words plus = { 0 }, minus = { 0 }, others = { 0 }, nulls = { 0 }, key_min = s->key_min, key_max = s->key_max, widths = s->widths;
    load_chunk(s, x, from, count, k, careful);
    for (size_t i = 0; i < n; i++) {
        words bytes = s->bytes[i], fits = (words)(bytes - 1 < 8), blank = (64 - 8 * bytes) & 63, key = (in_byte_order(s->key[i]) >> blank << blank) & fits;
        words good = classify(key, blank, &s->digits[i], &s->mark[i]), negative = (words)((s->mark[i] & NEGATIVE) != 0);
        s->key[i] = key;
        key_min = lesser(key_min, key | ~good);
        key_max = greater(key_max, key & good);
        widths |= ((words){ 1, 1, 1, 1, 1, 1, 1, 1 } << blank) & good;
        plus |= s->mark[i] & good & ~negative;
        minus |= s->mark[i] & good & negative;
        nulls -= (words)(bytes == 0);
        others |= (words)(bytes != 0) & ~good;
    }
    s->key_min = key_min;
    s->key_max = key_max;
    s->widths = widths;
    for (int i = 0; i < LANES; i++)
        s->nulls += (int64_t)nulls[i];
    s->nulls -= (int64_t)(n * LANES - count); /* those that filled the last eight */
    add_classes(s, any_bit(plus), 0, n);
    add_classes(s, any_bit(minus), NEGATIVE, n);
    if (any_bit(others) != 0)
        add_others(c, s, x, from, count, k);
}

static void keep_widths(sl_csv_column *c, size_t least, size_t most)
{
    c->bytes_min = !c->any || least < c->bytes_min ? least : c->bytes_min;
    c->bytes_max = most > c->bytes_max ? most : c->bytes_max;
}

/* What the eights have found, into the column. */
static void keep_shorts(sl_csv_column *c, const shorts *s)
{
    char text[9];
    uint64_t key_min = UINT64_MAX, key_max = 0, widths = any_bit(s->widths);
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
    keep_widths(c, 8 - (63 - (size_t)__builtin_clzll(widths)) / 8, 8 - (size_t)__builtin_ctzll(widths) / 8);
    sl_csv_column_order(c, sl_csv_spell(text, false, key_min));
    sl_csv_column_order(c, sl_csv_spell(text, false, key_max));
}

static void short_rows(sl_csv_column *c, const sl_csv_index *x, size_t k, bool careful)
{
    shorts s SL_UNINITIALIZED;
    s.nulls = s.others = 0;
    s.classes = 0;
    s.truths = false;
    s.widths = s.key_max = (words){ 0 };
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

/* ---- dates, and dates with a time to the second ---- */

typedef struct stamps {
    int64_t nulls, slow;
    uint64_t least[3], most[3];   /* bytes 0 to 7, 8 to 15, and the last 8, as numbers in byte order */
    const char *least_at, *most_at;
    unsigned widths;
} stamps;

static inline bool digits_only(uint64_t y, uint64_t digits)
{
    /* y: the word with its pattern taken out: digits as numbers, all else zero. */
    return (((y + (digits & ALL(0x76)) + (~digits & ALL(0x7F))) | y) & ALL(0x80)) == 0;
}

static inline unsigned two_at(uint64_t y, int byte)
{
    return (unsigned)(y >> 8 * byte & 0xFF) * 10 + (unsigned)(y >> (8 * byte + 8) & 0xFF);
}

/* yyyy-mm-dd, its first eight bytes in `a`, the two others the lowest of `b`. A day from 29 on is for column.c. */
static inline bool is_day(uint64_t a, uint64_t b)
{
    const uint64_t dashed = 0x2D30302D30303030U, places = 0x00FFFF00FFFFFFFFU;
    uint64_t y = a ^ dashed, d = (b ^ ALL('0')) & 0xFFFF;
    return digits_only(y, places) && digits_only(d, 0xFFFF) && two_at(y, 5) - 1 < 12 && two_at(d, 0) - 1 < 28;
}

/* hh:mm:ss. */
static inline bool is_time(uint64_t w)
{
    uint64_t y = w ^ 0x30303A30303A3030U;
    return digits_only(y, 0xFFFF00FFFF00FFFFU) && two_at(y, 0) < 24 && two_at(y, 3) < 60 && two_at(y, 6) < 60;
}

static inline bool later(uint64_t a, uint64_t b, uint64_t c, const uint64_t than[3])
{
    return a > than[0] || (a == than[0] && (b > than[1] || (b == than[1] && c > than[2])));
}

static inline bool earlier(uint64_t a, uint64_t b, uint64_t c, const uint64_t than[3])
{
    return a < than[0] || (a == than[0] && (b < than[1] || (b == than[1] && c < than[2])));
}

static inline __attribute__((always_inline)) void add_stamps(sl_csv_column *c, stamps *s, const sl_csv_index *x, size_t k, size_t width, bool careful)
{
    const uint32_t *end = x->ends + k;
    bool last = k + 1 == x->columns;
    for (size_t r = 0; r < x->rows; r++, end += x->columns) {
        sl_str v = field(x, end, careful, last);
        if (v.n != width) {
            if (v.n == 0)
                s->nulls++;
            else {
                s->slow++;
                sl_csv_column_add(c, v);
            }
            continue;
        }
        uint64_t a = load(v.p), b = load(v.p + 8), t = width == 19 ? load(v.p + 11) : 0;
        if (!is_day(a, b) || (width == 19 && ((v.p[10] != ' ' && v.p[10] != 'T') || !is_time(t)))) {
            s->slow++;
            sl_csv_column_add(c, v);
            continue;
        }
        a = __builtin_bswap64(a);
        b = __builtin_bswap64(width == 19 ? b : b & 0xFFFF);
        t = __builtin_bswap64(t);
        if (s->least_at == NULL || earlier(a, b, t, s->least)) {
            s->least[0] = a, s->least[1] = b, s->least[2] = t;
            s->least_at = v.p;
        }
        if (s->most_at == NULL || later(a, b, t, s->most)) {
            s->most[0] = a, s->most[1] = b, s->most[2] = t;
            s->most_at = v.p;
        }
    }
}

static void stamp_rows(sl_csv_column *c, const sl_csv_index *x, size_t k, bool careful)
{
    stamps s = { .nulls = 0 };
    size_t width = c->type == SL_CSV_DATE ? 10 : 19;
    if (width == 10)
        add_stamps(c, &s, x, k, 10, careful);
    else if (careful)
        add_stamps(c, &s, x, k, 19, true);
    else
        add_stamps(c, &s, x, k, 19, false);
    c->values += (int64_t)x->rows - s.slow;
    c->nulls += s.nulls;
    if (s.least_at != NULL) {
        sl_csv_column_look(c, (sl_str){ s.least_at, width });
        sl_csv_column_look(c, (sl_str){ s.most_at, width });
    }
}

/* ---- texts ---- */

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
    keep_widths(c, s.least_n, s.most_n);
}

void SL_LEVEL_NAME(sl_csv_column_add_rows)(sl_csv_column *c, const sl_csv_index *x, size_t k)
{
    bool careful = x->quote != '\0' || k + 1 == x->columns;
    if (c->type == SL_CSV_TEXT)
        text_rows(c, x, k, careful);
    else if (c->type == SL_CSV_DATE || c->type == SL_CSV_TIMESTAMP)
        stamp_rows(c, x, k, careful);
    else
        short_rows(c, x, k, careful);
}
