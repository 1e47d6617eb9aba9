/* db/pg_binary.c: see binary.h. */
#include "db/pg_binary.h"

#include <math.h>

#include "base/arena.h"
#include "base/time.h"

enum { BOOL = 16, INT8 = 20, INT2 = 21, INT4 = 23, TEXT = 25, JSON = 114, FLOAT4 = 700, FLOAT8 = 701, BPCHAR = 1042, VARCHAR = 1043, DATE = 1082, TIMESTAMP = 1114, NUMERIC = 1700, UUID = 2950 };
enum { DIGITS_MAX = 400, NUMERIC_NEGATIVE = 0x4000, NUMERIC_NAN = 0xC000 };

/* Days and seconds are counted from 2000-01-01. */
static const int64_t EPOCH_DAYS = 10957;

bool sl_pg_binary_knows(unsigned oid)
{
    static const unsigned known[] = { BOOL, INT8, INT2, INT4, TEXT, JSON, FLOAT4, FLOAT8, BPCHAR, VARCHAR, DATE, TIMESTAMP, NUMERIC, UUID };
    for (size_t i = 0; i < SL_COUNT(known); i++)
        if (known[i] == oid)
            return true;
    return false;
}

/* ---- bytes, the most significant first ---- */

static char *put16(char *to, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(to, &v, sizeof v);
    return to + sizeof v;
}

static char *put32(char *to, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(to, &v, sizeof v);
    return to + sizeof v;
}

static char *put64(char *to, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(to, &v, sizeof v);
    return to + sizeof v;
}

static void add16(sl_buf *b, uint16_t v)
{
    char *to = sl_buf_room(b, sizeof v);
    if (to != NULL)
        b->n += (size_t)(put16(to, v) - to);
}

static void add32(sl_buf *b, uint32_t v)
{
    char *to = sl_buf_room(b, sizeof v);
    if (to != NULL)
        b->n += (size_t)(put32(to, v) - to);
}

/* The length, and the lowest bytes of the value. */
static bool sized(sl_buf *b, uint64_t v, size_t bytes)
{
    char *to = sl_buf_room(b, 4 + sizeof v);
    if (to == NULL)
        return true;
    put64(put32(to, (uint32_t)bytes), v << 8 * (8 - bytes));
    b->n += 4 + bytes;
    return true;
}

void sl_pg_binary_null(sl_buf *b)
{
    add32(b, UINT32_MAX);
}

void sl_pg_binary_begin(sl_buf *b)
{
    static const char signature[11] = { 'P', 'G', 'C', 'O', 'P', 'Y', '\n', (char)0xFF, '\r', '\n', 0 };
    sl_buf_add(b, (sl_str){ signature, sizeof signature });
    add32(b, 0);
    add32(b, 0);
}

void sl_pg_binary_row(sl_buf *b, size_t fields)
{
    add16(b, (uint16_t)fields);
}

void sl_pg_binary_end(sl_buf *b)
{
    add16(b, UINT16_MAX);
}

/* ---- values ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool integer(sl_buf *b, sl_str s, size_t bytes)
{
    int64_t v, least = INT64_MIN >> (64 - 8 * bytes), most = INT64_MAX >> (64 - 8 * bytes);
    return sl_parse_int(s, &v) && v >= least && v <= most && sized(b, (uint64_t)v, bytes);
}

static bool boolean(sl_buf *b, sl_str s)
{
    static const char *const yes[] = { "true", "t", "yes", "y", "on", "1" }, *const no[] = { "false", "f", "no", "n", "off", "0" };
    for (size_t i = 0; i < SL_COUNT(yes); i++) {
        if (sl_str_ieq(s, sl_str_c(yes[i])))
            return sized(b, 1, 1);
        if (sl_str_ieq(s, sl_str_c(no[i])))
            return sized(b, 0, 1);
    }
    return false;
}

static bool floating(sl_buf *b, sl_str s, bool wide)
{
    double d;
    uint64_t bits = 0;
    if (sl_str_ieq(s, SL_S("nan")))
        d = NAN;
    else if (sl_str_ieq(s, SL_S("infinity")) || sl_str_ieq(s, SL_S("inf")))
        d = INFINITY;
    else if (sl_str_ieq(s, SL_S("-infinity")) || sl_str_ieq(s, SL_S("-inf")))
        d = -INFINITY;
    else if (!sl_parse_double(s, &d) || isinf(d))
        return false;
    if (wide) {
        memcpy(&bits, &d, 8);
        return sized(b, bits, 8);
    }
    float f = (float)d;
    uint32_t half;
    if (isinf(f) && !isinf(d))
        return false;
    memcpy(&half, &f, 4);
    return sized(b, half, 4);
}

/* Decimal digits from `from` to `to`, with zeros behind them up to `places`, as groups of four; the first may have fewer. */
static size_t grouped(uint16_t *groups, const char *from, const char *to, size_t places)
{
    size_t count = 0;
    for (size_t left = places; left > 0;) {
        unsigned v = 0;
        for (size_t k = left % 4 ? left % 4 : 4; k > 0; k--, left--)
            v = v * 10 + (from < to ? (unsigned)(*from++ - '0') : 0);
        groups[count++] = (uint16_t)v;
    }
    return count;
}

/* Groups of four decimal digits around the point, without those that are 0 at the ends. */
static bool numeric(sl_buf *b, sl_str s)
{
    uint16_t groups[DIGITS_MAX / 4 + 2], *first = groups;
    bool negative = s.n > 0 && s.p[0] == '-';
    const char *left = s.p + (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+')), *end = s.p + s.n, *point = left, *last = left;
    while (point < end && is_digit(*point))
        point++;
    size_t whole = (size_t)(point - left), fraction = 0;
    if (point < end && *point == '.') {
        for (last = point + 1; last < end && is_digit(*last); last++)
            fraction++;
    } else
        last = point;
    if (last != end || whole + fraction == 0 || whole + fraction > DIGITS_MAX - 8) { /* 1e5 among them: the server says what it thinks of it */
        bool nan = sl_str_ieq(s, SL_S("nan"));
        return nan && sized(b, (uint64_t)NUMERIC_NAN << 16, 8);
    }
    int weight = (int)((whole + 3) / 4) - 1;
    size_t count = grouped(groups, left, point, whole);
    count += grouped(groups + count, point + 1, last, (fraction + 3) / 4 * 4);
    for (; count > 0 && *first == 0; first++, count--)
        weight--;
    while (count > 0 && first[count - 1] == 0)
        count--;
    char *room = sl_buf_room(b, 12 + 2 * count), *to = room;
    if (room == NULL)
        return true;
    to = put32(to, (uint32_t)(8 + 2 * count));
    to = put16(to, (uint16_t)count);
    to = put16(to, (uint16_t)(count > 0 ? weight : 0));
    to = put16(to, negative && count > 0 ? NUMERIC_NEGATIVE : 0);
    to = put16(to, (uint16_t)fraction);
    for (size_t i = 0; i < count; i++)
        to = put16(to, first[i]);
    b->n += (size_t)(to - room);
    return true;
}

static bool two(const char *p, int most, int *ret)
{
    *ret = (p[0] - '0') * 10 + p[1] - '0';
    return is_digit(p[0]) && is_digit(p[1]) && *ret <= most;
}

/* yyyy-mm-dd at the beginning. */
static bool day_of(sl_str s, int64_t *days)
{
    int high, low, month, day;
    if (s.n < 10 || s.p[4] != '-' || s.p[7] != '-' || !two(s.p, 99, &high) || !two(s.p + 2, 99, &low) || !two(s.p + 5, 12, &month) || !two(s.p + 8, 31, &day))
        return false;
    int year = high * 100 + low;
    if (year == 0 || month == 0 || day == 0 || day > sl_days_in_month(year, month))
        return false;
    *days = sl_days_from_civil(year, month, day) - EPOCH_DAYS;
    return true;
}

/* … hh:mm[:ss[.ffffff]] behind a day. */
static bool timestamp(sl_buf *b, sl_str s)
{
    int64_t days, micros = 0;
    int hour, minute, second = 0;
    if (!day_of(s, &days))
        return false;
    if (s.n > 10) {
        if (s.n < 16 || (s.p[10] != ' ' && s.p[10] != 'T') || !two(s.p + 11, 23, &hour) || s.p[13] != ':' || !two(s.p + 14, 59, &minute))
            return false;
        if (s.n > 16 && (s.n < 19 || s.p[16] != ':' || !two(s.p + 17, 59, &second)))
            return false;
        if (s.n > 19) {
            if (s.p[19] != '.' || s.n == 20 || s.n > 26)
                return false;
            for (size_t i = 20; i < 26; i++) {
                if (i < s.n && !is_digit(s.p[i]))
                    return false;
                micros = micros * 10 + (i < s.n ? s.p[i] - '0' : 0);
            }
        }
        micros += ((int64_t)hour * 3600 + minute * 60 + second) * 1000000;
    }
    return sized(b, (uint64_t)(days * 86400000000 + micros), 8);
}

static bool uuid(sl_buf *b, sl_str s)
{
    uint64_t half[2] = { 0 };
    size_t count = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        int v = is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (c == '-' && (i == 8 || i == 13 || i == 18 || i == 23))
            continue;
        if (v < 0 || count == 32)
            return false;
        half[count / 16] = half[count / 16] << 4 | (uint64_t)v;
        count++;
    }
    if (count != 32)
        return false;
    char *to = sl_buf_room(b, 20);
    if (to != NULL) {
        put64(put64(put32(to, 16), half[0]), half[1]);
        b->n += 20;
    }
    return true;
}

bool sl_pg_binary_add(sl_buf *b, unsigned oid, sl_str s)
{
    int64_t days;
    switch (oid) {
    case BOOL: return boolean(b, s);
    case INT2: return integer(b, s, 2);
    case INT4: return integer(b, s, 4);
    case INT8: return integer(b, s, 8);
    case FLOAT4: return floating(b, s, false);
    case FLOAT8: return floating(b, s, true);
    case NUMERIC: return numeric(b, s);
    case DATE: return s.n == 10 && day_of(s, &days) && sized(b, (uint64_t)days, 4);
    case TIMESTAMP: return timestamp(b, s);
    case UUID: return uuid(b, s);
    default:
        add32(b, (uint32_t)s.n);
        sl_buf_add(b, s);
        return true;
    }
}
