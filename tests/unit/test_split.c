/* Where records end: against a scan byte by byte, for all texts of a few characters, and with the state carried over cuts. */
#include "base/arena.h"
#include "connectors/transfer/transfer.h"
#include "tests/harness/test.h"

/* The slow truth: the end of the last whole record, and whether the end lies between quotes. */
static size_t scan(const char *text, size_t n, char quote, bool *quoted)
{
    size_t end = 0;
    for (size_t i = 0; i < n; i++) {
        *quoted ^= quote != 0 && text[i] == quote;
        if (text[i] == '\n' && !*quoted)
            end = i + 1;
    }
    return end;
}

SL_TEST(split, every_short_text)
{
    static const char letters[] = "a\n\"";
    for (size_t n = 0; n <= 9; n++) {
        size_t count = 1;
        for (size_t i = 0; i < n; i++)
            count *= 3;
        for (size_t code = 0; code < count; code++) {
            char text[9];
            size_t left = code;
            for (size_t i = 0; i < n; i++, left /= 3)
                text[i] = letters[left % 3];
            for (int k = 0; k < 4; k++) {
                bool ours = k & 1, theirs = k & 1;
                char quote = k & 2 ? '"' : 0;
                if (quote == 0)
                    ours = theirs = false;
                size_t a = sl_split_end(text, n, quote, &ours), b = scan(text, n, quote, &theirs);
                if (a != b || ours != theirs)
                    CHECK_INT(a, b);
            }
        }
    }
}

SL_TEST(split, the_state_is_carried_over_cuts)
{
    static const char text[] = "a,\"b\nc\"\nd,\"\"\"\n\"\ne\n\"\n\n\"x\ny";
    size_t n = sizeof text - 1;
    bool whole = false;
    size_t end = scan(text, n, '"', &whole);
    for (size_t i = 0; i <= n; i++)
        for (size_t j = i; j <= n; j++) {
            bool quoted = false;
            size_t found = 0, cuts[4] = { 0, i, j, n };
            for (int k = 0; k < 3; k++) {
                size_t f = sl_split_end(text + cuts[k], cuts[k + 1] - cuts[k], '"', &quoted);
                found = f > 0 ? cuts[k] + f : found;
            }
            if (found != end || quoted != whole)
                CHECK_INT(found, end);
        }
}

SL_TEST(split, names_of_parts)
{
    CHECK_STR(sl_copy_part_name(t->arena, SL_S("s3://b/k.d/orders.csv.gz"), 2), "s3://b/k.d/orders-0002.csv.gz");
    CHECK_STR(sl_copy_part_name(t->arena, SL_S("s3://b/k.d/orders"), 12), "s3://b/k.d/orders-0012");
    CHECK_STR(sl_copy_part_name(t->arena, SL_S("gs://b/.hidden"), 1), "gs://b/.hidden-0001");
    CHECK_STR(sl_copy_name(SL_S("https://h/a/b.csv.gz?x=/y.txt")), "b.csv.gz");
    CHECK_STR(sl_copy_name(SL_S("s3://b/a?b")), "a?b");
}
