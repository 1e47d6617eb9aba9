/*
 * connectors/csv/lanes.h: several words at once, and what of it differs between processors; for sources of base/cpu.h.
 *
 * As many words as a vector register of the level has: compilers take wider vectors to pieces, one word at a time. A lane is one of
 * them, lane 0 in the lowest bits of a result: masks of bytes have bit 8 * lane + byte (lowest first), masks of lanes have bit `lane`.
 */
#pragma once

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "connectors/serdes/csv_index.h"

#if defined(__AVX512F__)
enum { LANES = 8 };
#elif defined(__AVX2__)
enum { LANES = 4 };
#else
enum { LANES = 2 };
#endif
enum { CHUNK = 64, GROUPS = CHUNK / LANES }; /* rows that are looked at together, in groups of as many as there are lanes */
enum { EVERY_LANE = (1 << LANES) - 1 };

typedef uint64_t words __attribute__((vector_size(8 * LANES), aligned(8 * LANES)));
typedef uint8_t octets __attribute__((vector_size(8 * LANES), aligned(8 * LANES)));

#define EVERY_BYTE (UINT64_MAX >> (64 - 8 * LANES))
#define ALL(byte) (0x0101010101010101U * (uint64_t)(byte))

/* Not even with zeros, as the build has it for all: it is large. */
#if __has_attribute(uninitialized)
#define SL_UNINITIALIZED __attribute__((uninitialized))
#else
#define SL_UNINITIALIZED
#endif

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

static inline words all_of(uint64_t word)
{
    return (words){ 0 } + word;
}

/* ---- values ---- */

/* Where values begin, counted from the text's first byte. */
#if defined(__AVX512F__)
typedef words places;
#define PLACE(p, i) ((p)[i])

/* In which of these lanes is the byte there this one? */
static inline __mmask8 bytes_are(const char *base, __m512i at, __mmask8 lanes, char byte)
{
    __m512i found = _mm512_mask_i64gather_epi64(_mm512_setzero_si512(), lanes, at, base, 1);
    return _mm512_mask_cmpeq_epi64_mask(lanes, _mm512_and_si512(found, _mm512_set1_epi64(0xFF)), _mm512_set1_epi64((unsigned char)byte));
}
#else
typedef struct places {
    size_t at[LANES];
} places;
#define PLACE(p, i) ((p).at[i])

static inline __attribute__((always_inline)) void find_one(const sl_csv_index *x, const uint32_t *end, bool there, bool careful, bool last, size_t *ret_at, size_t *ret_count)
{
    sl_str v = there ? field(x, end, careful, last) : (sl_str){ x->base, 0 };
    *ret_at = (size_t)(v.p - x->base);
    *ret_count = v.n;
}
#endif

/*
 * The values of a group of records, or of the first n of it, whose fields end at end[0], end[x->columns] and so on; *bytes: how long
 * they are, none in lanes that are left over.
 */
static inline __attribute__((always_inline)) places find_values(const sl_csv_index *x, const uint32_t *end, size_t n, bool careful, bool last, words *bytes)
{
#if defined(__AVX512F__)
    const __m256i every = _mm256_mullo_epi32(_mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0), _mm256_set1_epi32((int)x->columns));
    const __m512i low = _mm512_set1_epi64(UINT32_MAX), one = _mm512_set1_epi64(1);
    __m512i pair = _mm512_mask_i32gather_epi64(low, (__mmask8)(n < LANES ? (1U << n) - 1 : EVERY_LANE), every, end - 1, 4);
    __m512i begin = _mm512_and_si512(_mm512_add_epi64(pair, one), low), count = _mm512_sub_epi64(_mm512_srli_epi64(pair, 32), begin);
    if (careful && last)
        count = _mm512_mask_sub_epi64(count, bytes_are(x->base, _mm512_sub_epi64(_mm512_add_epi64(begin, count), one), _mm512_test_epi64_mask(count, count), '\r'), count, one);
    if (careful && x->quote != '\0') {
        __mmask8 quoted = bytes_are(x->base, begin, _mm512_test_epi64_mask(count, count), x->quote);
        begin = _mm512_mask_add_epi64(begin, quoted, begin, one);
        count = _mm512_mask_sub_epi64(count, quoted, count, _mm512_set1_epi64(2));
    }
    *bytes = (words)count;
    return (places)begin;
#else
    /* No loop: what is in registers stays there. */
    places from;
    size_t count[LANES];
#define FIND(i) find_one(x, end + (i) * x->columns, (i) < n, careful, last, &from.at[i], &count[i])
    FIND(0);
    FIND(1);
#if defined(__AVX2__)
    FIND(2);
    FIND(3);
    *bytes = (words){ count[0], count[1], count[2], count[3] };
#else
    *bytes = (words){ count[0], count[1] };
#endif
#undef FIND
    return from;
#endif
}

/* Eight bytes of each, from this one on. */
static inline __attribute__((always_inline)) words load_values(const char *base, places from, size_t skip)
{
#if defined(__AVX512F__)
    return (words)_mm512_i64gather_epi64((__m512i)from, base + skip, 1);
#elif defined(__AVX2__)
    return (words){ load(base + from.at[0] + skip), load(base + from.at[1] + skip), load(base + from.at[2] + skip), load(base + from.at[3] + skip) };
#else
    return (words){ load(base + from.at[0] + skip), load(base + from.at[1] + skip) };
#endif
}

/* ---- words ---- */

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

/* All ones in these lanes. */
static inline words in_lanes(unsigned lanes)
{
#if defined(__AVX512DQ__)
    return (words)_mm512_movm_epi64((__mmask8)lanes);
#elif defined(__AVX2__)
    const words bit = { 1, 2, 4, 8 };
    return (words)((bit & lanes) == bit);
#else
    return (words){ -(uint64_t)(lanes & 1), -(uint64_t)(lanes >> 1 & 1) };
#endif
}

static inline unsigned zero_lanes(words w)
{
#if defined(__AVX512F__)
    return (unsigned)_mm512_testn_epi64_mask((__m512i)w, (__m512i)w);
#elif defined(__AVX2__)
    return (unsigned)_mm256_movemask_pd((__m256d)(w == 0));
#else
    return (unsigned)(w[0] == 0) | (unsigned)(w[1] == 0) << 1;
#endif
}

/* Is every lane this word? */
static inline bool all_lanes(words w, uint64_t word)
{
    return zero_lanes(w ^ word) == EVERY_LANE;
}

/* Zero where the shift is 64 or more. */
static inline words shifted_right(words w, words by)
{
#if defined(__AVX512F__)
    return (words)_mm512_srlv_epi64((__m512i)w, (__m512i)by);
#elif defined(__AVX2__)
    return (words)_mm256_srlv_epi64((__m256i)w, (__m256i)by);
#else
    return (words){ by[0] < 64 ? w[0] >> by[0] : 0, by[1] < 64 ? w[1] >> by[1] : 0 };
#endif
}

/* Words as they lie in memory, now with their first bytes highest. */
static inline words in_byte_order(words w)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#if defined(__AVX512BW__)
    const __m512i reversed = _mm512_set4_epi32(0x08090A0B, 0x0C0D0E0F, 0x00010203, 0x04050607);
    return (words)_mm512_shuffle_epi8((__m512i)w, reversed);
#elif defined(__AVX2__)
    const __m256i reversed = _mm256_set_epi32(0x08090A0B, 0x0C0D0E0F, 0x00010203, 0x04050607, 0x08090A0B, 0x0C0D0E0F, 0x00010203, 0x04050607);
    return (words)_mm256_shuffle_epi8((__m256i)w, reversed);
#else
    return (words){ __builtin_bswap64(w[0]), __builtin_bswap64(w[1]) };
#endif
#else
    return w;
#endif
}

/* ---- masks of bytes ---- */

#if !defined(__AVX512BW__)
/* The highest bit of each byte. */
static inline uint64_t high_bits(octets o)
{
#if defined(__AVX2__)
    return (uint32_t)_mm256_movemask_epi8((__m256i)o);
#elif defined(__x86_64__)
    return (uint32_t)_mm_movemask_epi8((__m128i)o);
#else
    words w = (words)o & ALL(0x80);
    return (w[0] * 0x0002040810204081U >> 56) | (w[1] * 0x0002040810204081U >> 56) << 8;
#endif
}
#endif

static inline uint64_t equal_bytes(words w, char c)
{
#if defined(__AVX512BW__)
    return _mm512_cmpeq_epi8_mask((__m512i)w, _mm512_set1_epi8(c));
#else
    return high_bits((octets)((octets)w == (uint8_t)c));
#endif
}

static inline uint64_t digit_bytes(words w)
{
#if defined(__AVX512BW__)
    return _mm512_cmplt_epu8_mask(_mm512_sub_epi8((__m512i)w, _mm512_set1_epi8('0')), _mm512_set1_epi8(10));
#else
    return high_bits((octets)((octets)w - '0' < 10));
#endif
}

/* The word with `c` in these bytes. */
static inline words with_bytes(words w, uint64_t bytes, char c)
{
#if defined(__AVX512BW__)
    return (words)_mm512_mask_set1_epi8((__m512i)w, bytes, c);
#else
    for (; bytes != 0; bytes &= bytes - 1) {
        int at = __builtin_ctzll(bytes), shift = at % 8 * 8;
        w[at / 8] = (w[at / 8] & ~((uint64_t)0xFF << shift)) | (uint64_t)(unsigned char)c << shift;
    }
    return w;
#endif
}

/* In each lane of a mask of bytes: all ones if there are any. */
static inline uint64_t whole_lanes(uint64_t bytes)
{
    return ((((bytes & ALL(0x7F)) + ALL(0x7F)) | bytes) >> 7 & ALL(1)) * 0xFF;
}

/* Byte `at` of each lane, as a mask of lanes. */
static inline unsigned lanes_at(uint64_t bytes, unsigned at)
{
#if defined(__BMI2__)
    return (unsigned)_pext_u64(bytes, ALL(1) << at);
#else
    return (unsigned)((bytes >> at & ALL(1)) * 0x0102040810204080U >> 56);
#endif
}
