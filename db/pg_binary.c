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

static void number(sl_buf *b, uint64_t v, size_t bytes)
{
    char out[8];
    for (size_t i = 0; i < bytes; i++)
        out[i] = (char)(v >> 8 * (bytes - 1 - i));
    sl_buf_add(b, (sl_str){ out, bytes });
}

static bool sized(sl_buf *b, uint64_t v, size_t bytes)
{
    number(b, bytes, 4);
    number(b, v, bytes);
    return true;
}

void sl_pg_binary_null(sl_buf *b)
{
    number(b, UINT32_MAX, 4);
}

void sl_pg_binary_begin(sl_buf *b)
{
    static const char signature[11] = { 'P', 'G', 'C', 'O', 'P', 'Y', '\n', (char)0xFF, '\r', '\n', 0 };
    sl_buf_add(b, (sl_str){ signature, sizeof signature });
    number(b, 0, 4);
    number(b, 0, 4);
}

void sl_pg_binary_row(sl_buf *b, size_t fields)
{
    number(b, fields, 2);
}

void sl_pg_binary_end(sl_buf *b)
{
    number(b, UINT16_MAX, 2);
}

/* ---- values ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool integer(sl_buf *b, sl_str s, size_t bytes)
{
    int64_t v, least = INT64_MIN >> (64 - 8 * bytes), most = INT64_MAX >> (64 - 8 * bytes);
    if (s.n > 0 && s.p[0] == '+')
        s = sl_str_sub(s, 1, s.n);
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

/* Groups of four decimal digits around the point, without those that are 0 at the ends. */
static bool numeric(sl_buf *b, sl_str s)
{
    uint16_t groups[DIGITS_MAX / 4 + 2];
    size_t at = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'), begin = at, whole, fraction = 0, count = 0;
    bool negative = s.n > 0 && s.p[0] == '-';
    if (sl_str_ieq(s, SL_S("nan"))) {
        number(b, 8, 4);
        number(b, (uint64_t)NUMERIC_NAN << 16, 8);
        return true;
    }
    while (at < s.n && is_digit(s.p[at]))
        at++;
    whole = at - begin;
    if (at < s.n && s.p[at] == '.') {
        for (at++; at < s.n && is_digit(s.p[at]); at++)
            fraction++;
    }
    if (at != s.n || whole + fraction == 0 || whole + fraction > DIGITS_MAX - 8)
        return false; /* 1e5 among them: the server says what it thinks of it */
    const char *left = s.p + begin, *right = left + whole + 1;
    int weight = (int)((whole + 3) / 4) - 1;
    for (size_t i = 0, first = whole % 4 ? whole % 4 : 4; i < whole; first = 4) {
        uint16_t v = 0;
        for (size_t k = 0; k < first; k++, i++)
            v = (uint16_t)(v * 10 + (left[i] - '0'));
        groups[count++] = v;
    }
    for (size_t i = 0; i < fraction;) {
        uint16_t v = 0;
        for (size_t k = 0; k < 4; k++, i++)
            v = (uint16_t)(v * 10 + (i < fraction ? right[i] - '0' : 0));
        groups[count++] = v;
    }
    size_t skip = 0;
    while (skip < count && groups[skip] == 0) {
        skip++;
        weight--;
    }
    while (count > skip && groups[count - 1] == 0)
        count--;
    bool zero = count == skip;
    number(b, 8 + 2 * (count - skip), 4);
    number(b, count - skip, 2);
    number(b, (uint16_t)(zero ? 0 : weight), 2);
    number(b, negative && !zero ? NUMERIC_NEGATIVE : 0, 2);
    number(b, fraction, 2);
    for (size_t i = skip; i < count; i++)
        number(b, groups[i], 2);
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
    number(b, 16, 4);
    number(b, half[0], 8);
    number(b, half[1], 8);
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
        number(b, s.n, 4);
        sl_buf_add(b, s);
        return true;
    }
}
