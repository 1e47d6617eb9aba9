/* local/pgwire_value.c: see pgwire_value.h. */
#include "local/pgwire_value.h"

#include "base/time.h"
#include "db/pg_binary.h"

enum { EPOCH_2000_S = 946684800, DAY_S = 86400 };

int sl_pgwire_width(int64_t oid)
{
    return oid == 16 ? 1 : oid == 21 ? 2 : oid == 23 || oid == 700 || oid == 1082 ? 4 : oid == 20 || oid == 701 || oid == 1114 || oid == 1184 ? 8 : -1;
}

static void put(sl_buf *b, uint64_t v, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        sl_buf_char(b, (char)(v >> (8 * i) & 255));
}

/* A value and, before it, how many bytes it has. */
static void put_field(sl_buf *b, uint64_t v, int bytes)
{
    put(b, (uint64_t)bytes, 4);
    put(b, v, bytes);
}

bool sl_pgwire_put_binary(sl_buf *b, int64_t oid, sl_str s)
{
    int64_t i = 0;
    double d = 0;
    sl_time t;
    sl_str iso = s;
    char text[40];
    int width = sl_pgwire_width(oid);
    if (oid == 16)
        put_field(b, sl_str_eqc(s, "t"), 1);
    else if (oid == 21 || oid == 23 || oid == 20) {
        if (!sl_parse_int(s, &i))
            return false;
        put_field(b, (uint64_t)i, width);
    } else if (oid == 700 || oid == 701) {
        uint64_t bits = 0;
        if (!sl_parse_double(s, &d))
            return false;
        float f = (float)d;
        memcpy(&bits, oid == 700 ? (const void *)&f : (const void *)&d, (size_t)width);
        put_field(b, bits, width);
    } else if (oid == 1082 || oid == 1114 || oid == 1184) {
        if (s.n > 10 && s.n < sizeof text) {
            (void)snprintf(text, sizeof text, "%.*sT%.*s%s", 10, s.p, (int)s.n - 11, s.p + 11, oid == 1184 ? ":00" : "");
            iso = sl_str_c(text);
        }
        if (!sl_time_parse(iso, &t))
            return false;
        put_field(b, oid == 1082 ? (uint64_t)((t.s - EPOCH_2000_S) / DAY_S) : (uint64_t)((t.s - EPOCH_2000_S) * 1000000 + t.ns / 1000), width);
    } else if (oid == 25 || oid == 1043) {
        put(b, s.n, 4);
        sl_buf_add(b, s);
    } else
        return oid == 1700 && sl_pg_binary_add(b, 1700, s);
    return true;
}

bool sl_pgwire_text(sl_arena *a, int64_t oid, sl_str raw, sl_str *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < raw.n && i < 8; i++)
        v = v << 8 | (unsigned char)raw.p[i];
    if (oid == 16 && raw.n == 1)
        *ret = v ? SL_S("true") : SL_S("false");
    else if (oid == 21 || oid == 23 || oid == 20)
        *ret = sl_fmt(a, "%lld", raw.n == 2 ? (long long)(int16_t)v : raw.n == 4 ? (long long)(int32_t)v : (long long)v);
    else if (oid == 701 && raw.n == 8) {
        double d;
        memcpy(&d, &v, sizeof d);
        *ret = sl_double_text(a, d);
    } else if (oid == 700 && raw.n == 4) {
        float f;
        uint32_t bits = (uint32_t)v;
        memcpy(&f, &bits, sizeof f);
        *ret = sl_float_text(a, f);
    } else if ((oid == 1114 || oid == 1184) && raw.n == 8) {
        int64_t us = (int64_t)v, s = us >= 0 ? us / 1000000 : -((999999 - us) / 1000000);
        *ret = sl_time_java(a, (sl_time){ .s = s + EPOCH_2000_S, .ns = (int32_t)(us - s * 1000000) * 1000, .kind = oid == 1114 ? SL_TIME_LOCAL : SL_TIME_INSTANT });
    } else if (oid == 1082 && raw.n == 4)
        *ret = sl_time_java(a, (sl_time){ .s = (int64_t)(int32_t)v * DAY_S + EPOCH_2000_S, .kind = SL_TIME_DATE });
    else if (oid == 25 || oid == 1043 || oid == 1042 || oid == 705 || oid == 0)
        *ret = raw;
    else
        return false;
    return true;
}
