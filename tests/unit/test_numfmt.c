/* tests/unit/test_numfmt.c: what a cell shows, against the table in tests/data/numfmt. */
#include "base/fs.h"
#include "connectors/serdes/numfmt.h"
#include "tests/harness/test.h"

SL_TEST(numfmt, numbers_and_dates)
{
    sl_str rest, line;
    size_t n = 0;
    CHECK_OK(sl_fs_read(t->arena, SL_SOURCE_DIR "/tests/data/numfmt/shown.tsv", 1 << 20, &rest, &t->err));
    while (sl_str_cut(&rest, '\n', &line)) {
        sl_str format, number, left = line;
        double value;
        if (line.n == 0 || sl_str_starts(line, SL_S("# FORMAT")))
            continue;
        (void)sl_str_cut(&left, '\t', &format);
        (void)sl_str_cut(&left, '\t', &number);
        CHECK(sl_parse_double(number, &value));
        sl_str shown = sl_numfmt_number(t->arena, format, value, false);
        if (!sl_str_eq(shown, left.p ? left : SL_S("")))
            sl_test_fail(t, __FILE__, __LINE__, "'%.*s' of %.*s is '%.*s', not '%.*s'", SL_ARG(format), SL_ARG(number), SL_ARG(shown), SL_ARG(left));
        n++;
    }
    CHECK(n > 500);
}

SL_TEST(numfmt, texts)
{
    static const struct {
        const char *format, *text, *shown;
    } cases[] = { { "@", "x", "x" }, { "0.00", "x", "x" }, { "0;-0;0;\"<\"@\">\"", "x", "<x>" }, { "0;-0;0;", "x", "" }, { "General", "x", "x" }, { "@ \"!\"", "x", "x !" }, { "", "x", "x" } };
    for (size_t i = 0; i < SL_COUNT(cases); i++)
        CHECK_STR(sl_numfmt_text(t->arena, sl_str_c(cases[i].format), sl_str_c(cases[i].text)), cases[i].shown);
}

/* Nothing that a file may hold is more than a text. */
SL_TEST(numfmt, anything_is_a_format)
{
    static const char letters[] = "0#?.,%E+-/\\\"[]<>=$@;*_ymdhsAMP G1";
    uint64_t r = 1;
    for (int i = 0; i < 200000; i++) {
        SL_ARENA a = sl_arena_new();
        char text[24];
        size_t n = 0;
        for (; n < sizeof text; n++) {
            r = r * 6364136223846793005u + 1442695040888963407u;
            text[n] = letters[(r >> 33) % (sizeof letters - 1)];
        }
        double values[] = { 0, -1.5, 45351.7, 1e300, 1e-300, -1e15 };
        sl_str shown = sl_numfmt_number(a, (sl_str){ text, (size_t)(r >> 40) % sizeof text }, values[i % 6], (i & 1) != 0);
        CHECK(shown.n < 8192);
    }
}
