/* connectors/serdes/csv_scan.c: see csv_scan.h. */
#include "connectors/serdes/csv_scan.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Of 64 bytes: bit i tells of byte i. */
typedef struct masks {
    uint64_t separators, lines, returns, quotes, nuls, high, controls, marked;
} masks;

#if defined(__AVX512VBMI2__)
static inline masks look(const char *p, char separator, char quote, char mark)
{
    __m512i v = _mm512_loadu_si512(p);
    return (masks){ _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(separator)), _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('\n')), _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('\r')),
                    quote ? _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(quote)) : 0, _mm512_cmpeq_epi8_mask(v, _mm512_setzero_si512()), _mm512_movepi8_mask(v),
                    _mm512_cmplt_epu8_mask(v, _mm512_set1_epi8(' ')), _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('\\')) | _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(mark)) };
}
#elif defined(__AVX2__)
static inline uint64_t equal(__m256i a, __m256i b, char c)
{
    const __m256i x = _mm256_set1_epi8(c);
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, x)) | (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b, x)) << 32;
}

static inline uint64_t below_blank(__m256i a, __m256i b)
{
    const __m256i x = _mm256_set1_epi8(31);
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(a, x), a)) | (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(b, x), b)) << 32;
}

static inline masks look(const char *p, char separator, char quote, char mark)
{
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)p), b = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
    uint64_t high = (uint32_t)_mm256_movemask_epi8(a) | (uint64_t)(uint32_t)_mm256_movemask_epi8(b) << 32;
    return (masks){ equal(a, b, separator), equal(a, b, '\n'), equal(a, b, '\r'), quote ? equal(a, b, quote) : 0, equal(a, b, '\0'), high, below_blank(a, b), equal(a, b, '\\') | equal(a, b, mark) };
}
#elif defined(__x86_64__)
static inline uint64_t equal(const __m128i v[4], char c)
{
    const __m128i x = _mm_set1_epi8(c);
    uint64_t r = 0;
    for (int i = 0; i < 4; i++)
        r |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v[i], x)) << (16 * i);
    return r;
}

static inline masks look(const char *p, char separator, char quote, char mark)
{
    __m128i v[4];
    uint64_t high = 0, controls = 0;
    for (int i = 0; i < 4; i++) {
        v[i] = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * (ptrdiff_t)i));
        high |= (uint64_t)(uint32_t)_mm_movemask_epi8(v[i]) << (16 * i);
        controls |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(v[i], _mm_set1_epi8(31)), v[i])) << (16 * i);
    }
    return (masks){ equal(v, separator), equal(v, '\n'), equal(v, '\r'), quote ? equal(v, quote) : 0, equal(v, '\0'), high, controls, equal(v, '\\') | equal(v, mark) };
}
#else
static inline masks look(const char *p, char separator, char quote, char mark)
{
    masks m = { 0 };
    for (int i = 0; i < 64; i++) {
        m.separators |= (uint64_t)(p[i] == separator) << i;
        m.lines |= (uint64_t)(p[i] == '\n') << i;
        m.returns |= (uint64_t)(p[i] == '\r') << i;
        m.quotes |= (uint64_t)(quote != '\0' && p[i] == quote) << i;
        m.nuls |= (uint64_t)(p[i] == '\0') << i;
        m.high |= (uint64_t)((unsigned char)p[i] >> 7) << i;
        m.controls |= (uint64_t)((unsigned char)p[i] < ' ') << i;
        m.marked |= (uint64_t)(p[i] == '\\' || p[i] == mark) << i;
    }
    return m;
}
#endif

/* The positions of all bits; words up to the slack behind the last may be written. */
#if defined(__AVX512VBMI2__)
static inline uint32_t *flatten(uint32_t *to, uint64_t bits, uint32_t at)
{
    const __m512i iota = _mm512_set_epi8(63, 62, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23,
                                         22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i base = _mm512_set1_epi32((int)at);
    size_t n = (size_t)__builtin_popcountll(bits);
    __m512i found = _mm512_maskz_compress_epi8(bits, iota);
    _mm512_storeu_si512(to, _mm512_add_epi32(base, _mm512_cvtepu8_epi32(_mm512_castsi512_si128(found))));
    if (n > 16) {
        _mm512_storeu_si512(to + 16, _mm512_add_epi32(base, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(found, 1))));
        _mm512_storeu_si512(to + 32, _mm512_add_epi32(base, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(found, 2))));
        _mm512_storeu_si512(to + 48, _mm512_add_epi32(base, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(found, 3))));
    }
    return to + n;
}
#else
/* Eight at a time: how many there are is then seldom guessed wrong. */
static inline uint32_t *flatten(uint32_t *to, uint64_t bits, uint32_t at)
{
    while (bits != 0) {
        uint32_t *next = to;
        for (int i = 0; i < 8; i++) {
            *to++ = at + (uint32_t)__builtin_ctzll(bits | (uint64_t)1 << 63);
            next += bits != 0;
            bits &= bits - 1;
        }
        to = next;
    }
    return to;
}
#endif

/* Bit i of the result: is the number of bits 0 to i odd? */
static inline uint64_t parity(uint64_t x)
{
    x ^= x << 1;
    x ^= x << 2;
    x ^= x << 4;
    x ^= x << 8;
    x ^= x << 16;
    return x ^ x << 32;
}

/* What one block hands to the next. */
typedef struct carry {
    uint64_t quoted;              /* all ones inside of quotes */
    uint64_t boundary;            /* 1 = the byte before is a separator or a line's end */
} carry;

/*
 * Where something begins that is not plain. Opening quotes must come behind a boundary, closing ones before one, which finds
 * doubled quotes and quotes inside of unquoted fields; a CR must come before an LF.
 */
static inline uint64_t odd_bits(const char *p, char separator, const masks *m, uint64_t inside, const carry *c)
{
    uint64_t outside = ~inside, bounds = (m->separators | m->lines) & outside, odd = m->nuls;
    if (m->quotes != 0) {
        uint64_t follows = (uint64_t)(p[64] == separator || p[64] == '\n' || p[64] == '\r') << 63, next = bounds | (m->returns & outside);
        odd |= (m->quotes & inside & ~(bounds << 1 | c->boundary)) | (m->quotes & outside & ~(next >> 1 | follows));
    }
    if (m->returns != 0)
        odd |= m->returns & outside & ~((m->lines & outside) >> 1 | (uint64_t)(p[64] == '\n') << 63);
    return odd;
}

void SL_LEVEL_NAME(sl_csv_scan)(const char *text, size_t n, char separator, char quote, sl_csv_marks *marks)
{
    uint32_t *end = marks->ends, *line = marks->lines, *inner = marks->inner;
    carry c = { .boundary = 1 };
    size_t limit = n;
    uint64_t quotes = 0, returns = 0, high = 0, special = 0;
    const char mark = quote == '"' ? '\\' : '"';
    for (size_t at = 0; at < limit; at += 64) {
        const char *p = text + at;
        masks m = look(p, separator, quote, mark);
        uint64_t inside = c.quoted;
        if ((m.quotes | inside) != 0) {
            inside ^= parity(m.quotes);
            if ((m.lines & inside) != 0)
                inner = flatten(inner, m.lines & inside, (uint32_t)at);
        }
        uint64_t lines = m.lines & ~inside, bounds = lines | (m.separators & ~inside), odd = odd_bits(p, separator, &m, inside, &c);
        end = flatten(end, bounds, (uint32_t)at);
        if (lines != 0)
            line = flatten(line, lines, (uint32_t)at);
        c = (carry){ (uint64_t)((int64_t)inside >> 63), bounds >> 63 };
        quotes |= m.quotes;
        returns |= m.returns;
        high |= m.high;
        special |= m.marked | (m.controls & ~((m.lines | m.returns | m.separators) & ~inside));
        if (odd != 0 && at + (size_t)__builtin_ctzll(odd) < limit)
            limit = at + (size_t)__builtin_ctzll(odd);
    }
    marks->ends_n = (size_t)(end - marks->ends);
    marks->lines_n = (size_t)(line - marks->lines);
    marks->inner_n = (size_t)(inner - marks->inner);
    marks->limit = limit;
    marks->quotes = quotes != 0;
    marks->returns = returns != 0;
    marks->high = high != 0;
    marks->special = special != 0;
}
