/* Values of COPY's binary format, beside what PostgreSQL 15's own COPY TO wrote for them. */
#include "base/arena.h"
#include "db/pg_binary.h"
#include "tests/harness/test.h"

SL_TEST(pg_binary, values)
{
    static const struct {
        unsigned oid;
        const char *text, *hex;   /* hex NULL: it is no value of the type */
    } cases[] = {
        { 16, "true", "0000000101" }, { 16, "F", "0000000100" }, { 16, "2", NULL },
        { 21, "-2", "00000002fffe" }, { 21, "32768", NULL }, { 23, "2147483647", "000000047fffffff" }, { 23, "2147483648", NULL }, { 23, "+7", "0000000400000007" }, { 23, "1.0", NULL }, { 23, "", NULL },
        { 20, "-9223372036854775808", "000000088000000000000000" },
        { 701, "1.5", "000000083ff8000000000000" }, { 701, "-Infinity", "00000008fff0000000000000" }, { 701, "1e400", NULL }, { 701, "0x1", NULL }, { 700, "0.1", "000000043dcccccd" }, { 700, "1e39", NULL },
        { 1082, "2000-01-01", "0000000400000000" }, { 1082, "1999-12-31", "00000004ffffffff" }, { 1082, "2023-02-29", NULL }, { 1082, "2024-02-29", "0000000400002279" }, { 1082, "2024-2-9", NULL },
        { 1114, "2000-01-01 00:00:00.000001", "000000080000000000000001" }, { 1114, "1999-12-31T23:59:59.5", "00000008fffffffffff85ee0" }, { 1114, "2000-01-01 24:00:00", NULL }, { 1114, "2000-01-01 10:00:00Z", NULL },
        { 1700, "0", "0000000800000000" "00000000" }, { 1700, "-0.00", "000000080000000000000002" }, { 1700, "1", "0000000a0001000000000000" "0001" }, { 1700, "10000", "0000000a0001000100000000" "0001" },
        { 1700, "-12345.678", "0000000e0003000140000003" "000109291a7c" }, { 1700, "0.0001", "0000000a0001ffff00000004" "0001" }, { 1700, "0.00010", "0000000a0001ffff00000005" "0001" }, { 1700, "NaN", "0000000800000000c0000000" },
        { 1700, ".", NULL }, { 1700, "1e5", NULL }, { 1700, "1.2.3", NULL },
        { 2950, "12345678-9abc-def0-1234-56789ABCDEF0", "00000010123456789abcdef0123456789abcdef0" }, { 2950, "1234", NULL }, { 25, "x", "0000000178" }, { 25, "", "00000000" },
    };
    for (size_t i = 0; i < SL_COUNT(cases); i++) {
        sl_buf b = sl_buf_new(t->arena, 1 << 16);
        bool ok = sl_pg_binary_add(&b, cases[i].oid, sl_str_c(cases[i].text));
        if (ok != (cases[i].hex != NULL) || (ok && !sl_str_eqc(sl_hex(t->arena, sl_buf_str(&b)), cases[i].hex)))
            CHECK_STR(sl_fmt(t->arena, "%u %s: %.*s", cases[i].oid, cases[i].text, SL_ARG(sl_hex(t->arena, sl_buf_str(&b)))), cases[i].hex ? cases[i].hex : "refused");
        if (!ok)
            CHECK_INT(b.n, 0);
    }
}
