/*
 * connectors/csv/batch_stamps.c: a column of dates, or of dates with a time to the second, a group at once; compiled for each level
 * of base/cpu.h.
 *
 * The bytes of a word are looked at together ("Multiple Byte Processing with Full-Word Instructions", Lamport, 1975), and several words
 * at once. A stamp fits into one number that is in the order of the texts: two digits, or the letter between date and time, a byte.
 */
#include "connectors/csv/batch.h"
#include "connectors/csv/lanes.h"

typedef struct stamps {
    words least, most;
    /* The chunk: bytes 0 to 7 (zeros: it has another width), 8 to 15, and the last 8; in `first`, afterwards: all ones if it is a stamp. */
    words first[GROUPS], middle[GROUPS], time[GROUPS];
    int64_t nulls, slow;
} stamps;

static inline __attribute__((always_inline)) void load_chunk(stamps *s, const sl_csv_index *x, size_t from, size_t count, size_t k, size_t width, bool careful)
{
    const uint32_t *end = x->ends + from * x->columns + k;
    for (size_t i = 0; i * LANES < count; i++, end += LANES * x->columns) {
        words bytes;
        places at = find_values(x, end, count - i * LANES, careful, k + 1 == x->columns, &bytes);
        s->first[i] = load_values(x->base, at, 0) & (words)(bytes == width);
        s->middle[i] = load_values(x->base, at, 8);
        if (width == 19)
            s->time[i] = load_values(x->base, at, 11);
    }
}

/* y: words with their pattern taken out. The highest bit of bytes that are more than 9, or at no digit's place and not zero. */
static inline words no_digits(words y, uint64_t digits)
{
    return ((y + ((digits & ALL(0x76)) | (~digits & ALL(0x7F)))) | y) & ALL(0x80);
}

/* In each byte: ten times it and the one behind it. */
static inline words pairs(words y)
{
    return (y << 3) + (y << 1) + (y >> 8);
}

/* Stamps as numbers; *bad: not zero where it is none, or may be one of the 29th of February. */
static inline words stamp_of(words first, words middle, words time, bool clock, words *bad)
{
    words a = first ^ 0x2D30302D30303030U, b = (middle & 0xFFFF) ^ 0x3030, year = pairs(a), month = year >> 40 & 0xFF, day = pairs(b) & 0xFF;
    words february = (words)(month == 2), days = 30 + ((month ^ month >> 3) & 1) - (february & 2);
    *bad = no_digits(a, 0x00FFFF00FFFFFFFFU) | no_digits(b, 0xFFFF) | (words)(month - 1 > 11) | (words)(day - 1 >= days);
    words date = (year << 56) | (year & 0xFF0000) << 32 | month << 40 | day << 32;
    if (!clock)
        return date;
    const uint64_t parts = 0x00FF0000FF0000FFU, within = 0x0044000044000068U; /* up to 59, 59 and 23, before the highest bit is set */
    words t = time ^ 0x30303A30303A3030U, hms = pairs(t) & parts, between = middle >> 16 & 0xFF;
    *bad |= no_digits(t, 0xFFFF00FFFF00FFFFU) | ((hms + within) & ALL(0x80)) | (words)((between != ' ') & (between != 'T'));
    return date | between << 24 | (hms << 16 & 0xFF0000) | (hms >> 16 & 0xFF00) | hms >> 48;
}

/* What is no stamp, or is not there. */
static void add_rest(sl_csv_column *c, stamps *s, const sl_csv_index *x, size_t from, size_t count, size_t k)
{
    const uint64_t *good = (const uint64_t *)s->first;
    for (size_t i = 0; i < count; i++) {
        if (good[i] != 0)
            continue;
        sl_str v = sl_csv_index_field(x, from + i, k);
        if (v.n == 0)
            s->nulls++;
        else {
            s->slow++;
            sl_csv_column_add(c, v);
        }
    }
}

static inline __attribute__((always_inline)) void add_chunk(sl_csv_column *c, stamps *s, const sl_csv_index *x, size_t from, size_t count, size_t k, size_t width, bool careful)
{
    words least = s->least, most = s->most, all = ~(words){ 0 };
    size_t n = (count + LANES - 1) / LANES;
    load_chunk(s, x, from, count, k, width, careful);
    for (size_t i = 0; i < n; i++) {
        words bad, stamp = stamp_of(s->first[i], s->middle[i], s->time[i], width == 19, &bad), good = (words)(bad == 0);
        least = lesser(least, stamp | ~good);
        most = greater(most, stamp & good);
        s->first[i] = good;
        all &= good;
    }
    s->least = least;
    s->most = most;
    if (zero_lanes(all) != 0)
        add_rest(c, s, x, from, count, k);
}

static void look_at(sl_csv_column *c, uint64_t stamp, size_t width)
{
    char text[8 * 3 + 6]; /* GCC does not see that each part has two digits */
    int part[8];
    for (int i = 0; i < 8; i++)
        part[i] = (int)(stamp >> (56 - 8 * i) & 0xFF);
    (void)snprintf(text, sizeof text, "%02d%02d-%02d-%02d%c%02d:%02d:%02d", part[0], part[1], part[2], part[3], width == 19 ? part[4] : ' ', part[5], part[6], part[7]);
    sl_csv_column_look(c, (sl_str){ text, width });
}

/* The column is one of dates, or of timestamps. */
void SL_LEVEL_NAME(sl_csv_column_add_stamps)(sl_csv_column *c, const sl_csv_index *x, size_t k, bool careful)
{
    stamps s SL_UNINITIALIZED;
    size_t width = c->type == SL_CSV_DATE ? 10 : 19;
    uint64_t least = UINT64_MAX, most = 0;
    s.nulls = s.slow = 0;
    s.least = ~(words){ 0 };
    s.most = (words){ 0 };
    for (size_t from = 0; from < x->rows; from += CHUNK) {
        size_t count = x->rows - from < CHUNK ? x->rows - from : CHUNK;
        if (width == 10)
            add_chunk(c, &s, x, from, count, k, 10, careful);
        else if (careful)
            add_chunk(c, &s, x, from, count, k, 19, true);
        else
            add_chunk(c, &s, x, from, count, k, 19, false);
    }
    c->values += (int64_t)x->rows - s.slow;
    c->nulls += s.nulls;
    for (int i = 0; i < LANES; i++) {
        least = s.least[i] < least ? s.least[i] : least;
        most = s.most[i] > most ? s.most[i] : most;
    }
    if (most == 0)
        return;
    look_at(c, least, width);
    look_at(c, most, width);
}
