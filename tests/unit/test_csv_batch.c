/* tests/unit/test_csv_batch.c: many records at once say what they say one by one, at every level of vector instructions. */
#include "connectors/csv/batch.h"
#include "connectors/serdes/csv.h"
#include "tests/harness/test.h"

typedef struct level {
    sl_cpu least;
    void (*scan)(const char *text, size_t n, char separator, char quote, sl_csv_marks *marks);
    void (*add_rows)(sl_csv_column *c, const sl_csv_index *rows, size_t k);
} level;

static const level levels[] = {
    { SL_CPU_BASE, sl_csv_scan_base, sl_csv_column_add_rows_base },
#if defined(__x86_64__)
    { SL_CPU_AVX2, sl_csv_scan_avx2, sl_csv_column_add_rows_avx2 },
    { SL_CPU_AVX512, sl_csv_scan_avx512, sl_csv_column_add_rows_avx512 },
#endif
};

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return *seed >> 33;
}

static const char *const odd[] = { "", "-", "5.", ".5", "007", "0", "-0", "0.5", "-12.25", "true", "False", "nan", "1e5", "+3", "12345678", "-1234567", "1.234567", "123456789012", "2024-02-29", "2023-02-29", "2024-01-31",
                                   "2024-01-01 10:11:12", "2024-01-01T23:59:59", "2024-01-01 24:00:00", "10:11:12", "abcdefgh", "abcdefghi", "abcdefghijklmnop", "abcdefghijklmnopq", "1.2.3", "--1", "/", "\xC3\xA4",
                                   "9999-99-99", "0000-00-00", "1a", "2024-02-30", "00.5", "01", "-01", "-.5", "-5.", "2024-00-10", "2024-01-00", "2024-01-01 10:11:60", "2024x01-01", "2024-01-01_10:11:12", ":", "1:", "2024-13-01", "2024-01-01 10:60:12", "12:34567", "a long text of many more than sixteen bytes" };

/* Values of one kind with others now and then, so that types change in the middle. */
static void add_value(sl_buf *b, uint64_t *seed, unsigned kind)
{
    unsigned r = (unsigned)next(seed) % 100;
    if (kind == 9 || r < 2) {
        sl_buf_addc(b, odd[next(seed) % SL_COUNT(odd)]);
        return;
    }
    long n = (long)(next(seed) % 5000) - (kind % 2 ? 0 : 700);
    if (r < 10)
        return;
    if (kind < 2)
        sl_buf_fmt(b, "%ld", n * (r < 50 ? 1 : 100));
    else if (kind < 4)
        sl_buf_fmt(b, "%.*f", (int)(r % 4), (double)n / 8);
    else if (kind == 4)
        sl_buf_fmt(b, "2024-%02u-%02u %02u:%02u:%02u", 1 + r % 12, 1 + r % 28, r % 24, r % 60, (unsigned)n % 60);
    else if (kind == 5)
        sl_buf_fmt(b, "20%02u-%02u-%02u", r % 30, 1 + r % 12, 1 + r % 28);
    else if (kind == 6)
        sl_buf_addc(b, r % 2 ? "true" : "FALSE");
    else if (kind == 7)
        sl_buf_fmt(b, "text %ld", n);
    else
        sl_buf_fmt(b, "%ld%ld", labs(n) + 1, 100000000 + n);
}

/* The same random rows, told one by one and all at once. steady: most values are the one before. */
static void compare_columns(sl_test_context *t, const level *l, uint64_t seed, bool quoted, bool steady)
{
    sl_str before[3] = { { 0 } };
    enum { COLUMNS = 3, ROWS = 500 };
    sl_buf b = sl_buf_new(t->arena, 1 << 20);
    sl_csv_column one[COLUMNS] = { { .name = SL_S("c") }, { .name = SL_S("c") }, { .name = SL_S("c") } }, many[COLUMNS] = { one[0], one[1], one[2] };
    unsigned kinds[COLUMNS] = { (unsigned)next(&seed) % 10, (unsigned)next(&seed) % 10, (unsigned)next(&seed) % 10 };
    for (size_t r = 0; r < ROWS; r++)
        for (size_t k = 0; k < COLUMNS; k++) {
            bool q = quoted && next(&seed) % 3 == 0;
            sl_buf_addc(&b, q ? "\"" : "");
            size_t from = b.n;
            if (steady && r > 0 && next(&seed) % 24 != 0)
                sl_buf_add(&b, before[k]);
            else
                add_value(&b, &seed, kinds[k]);
            before[k] = sl_str_dup(t->arena, sl_str_sub(sl_buf_str(&b), from, b.n));
            sl_buf_addc(&b, q && next(&seed) % 8 == 0 ? ",\n" : "");
            sl_buf_addc(&b, q ? "\"" : "");
            sl_buf_addc(&b, k + 1 < COLUMNS ? "," : quoted && r % 3 == 0 ? "\r\n" : "\n");
        }
    size_t n = b.n;
    sl_buf_add(&b, SL_S("................................................................................"));
    sl_csv_index x;
    sl_csv_index_init(&x);
    const char *text = sl_buf_str(&b).p;
    size_t rows = 0;
    for (size_t at = 0; at < n; at += x.bytes, rows += x.rows) {
        sl_csv_index_find(&x, text + at, n - at, COLUMNS, ',', '"');
        if (x.rows == 0) {
            sl_test_fail(t, __FILE__, __LINE__, "seed %llu: no rows at %zu", (unsigned long long)seed, at);
            break;
        }
        for (size_t k = 0; k < COLUMNS; k++) {
            l->add_rows(&many[k], &x, k);
            for (size_t r = 0; r < x.rows; r++)
                sl_csv_column_add(&one[k], sl_csv_index_field(&x, r, k));
        }
    }
    CHECK(rows == ROWS);
    for (size_t k = 0; k < COLUMNS; k++) {
        sl_csv_column_settle(&many[k]);
        sl_str a = sl_val_text(t->arena, sl_csv_column_facts(t->arena, &one[k])), c = sl_val_text(t->arena, sl_csv_column_facts(t->arena, &many[k]));
        if (!sl_str_eq(a, c) || one[k].values != many[k].values)
            sl_test_fail(t, __FILE__, __LINE__, "kind %u: one by one %.*s, at once %.*s", kinds[k], SL_ARG(a), SL_ARG(c));
    }
    sl_csv_index_free(&x);
}

SL_TEST(csv_batch, columns)
{
    for (size_t i = 0; i < SL_COUNT(levels); i++)
        for (uint64_t seed = 1; seed <= 160 && sl_cpu_level() >= levels[i].least; seed++)
            compare_columns(t, &levels[i], seed, seed % 2 == 0, seed % 4 > 1);
}

/* Each of these beside each other one. */
SL_TEST(csv_batch, pairs)
{
    char text[400];
    sl_csv_index x;
    sl_csv_index_init(&x);
    for (size_t l = 0; l < SL_COUNT(levels) && sl_cpu_level() >= levels[l].least; l++)
        for (size_t i = 0; i < SL_COUNT(odd) * SL_COUNT(odd); i++) {
            const char *a = odd[i / SL_COUNT(odd)], *b = odd[i % SL_COUNT(odd)];
            sl_csv_column one = { .name = SL_S("c") }, many = { .name = SL_S("c") };
            /* Twice: the first batch finds the type out, the second one knows it. */
            size_t n = (size_t)snprintf(text, sizeof text, "%s,1\n%s,1\n", a, b);
            sl_csv_index_find(&x, text, n, 2, ',', '"');
            CHECK(x.rows == 2);
            for (int k = 0; k < 2; k++) {
                sl_csv_column_add(&one, sl_str_c(a));
                sl_csv_column_add(&one, sl_str_c(b));
                levels[l].add_rows(&many, &x, 0);
            }
            sl_csv_column_settle(&many);
            sl_str f = sl_val_text(t->arena, sl_csv_column_facts(t->arena, &one)), g = sl_val_text(t->arena, sl_csv_column_facts(t->arena, &many));
            if (!sl_str_eq(f, g))
                sl_test_fail(t, __FILE__, __LINE__, "'%s' and '%s': one by one %.*s, at once %.*s", a, b, SL_ARG(f), SL_ARG(g));
        }
    sl_csv_index_free(&x);
}

/* Texts whose order is told by what comes behind eight bytes, or behind sixteen; and nulls, which have no place in it. */
SL_TEST(csv_batch, ties)
{
    static const char *const texts[] = { "abcdefg", "abcdefgh", "abcdefghi", "abcdefgi", "abcdefghijklmno", "abcdefghijklmnop", "abcdefghijklmnopq", "abcdefghijklmnopr", "abcdefghijklmnoq", "abcdefghijklmnopqr", "x" };
    enum { N = SL_COUNT(texts) };
    char text[400];
    sl_csv_index x;
    sl_csv_index_init(&x);
    for (size_t l = 0; l < SL_COUNT(levels) && sl_cpu_level() >= levels[l].least; l++)
        for (size_t i = 0; i < N * N * N; i++) {
            const char *first = texts[i / N / N], *second = texts[i / N % N], *value = texts[i % N];
            sl_csv_column one = { .name = SL_S("c") }, many = { .name = SL_S("c") };
            size_t n = (size_t)snprintf(text, sizeof text, "%s,1\n,1\n%s,1\n", value, first);
            sl_csv_index_find(&x, text, n, 2, ',', '"');
            CHECK(x.rows == 3);
            const char *const all[] = { first, second, value, "", first };
            for (size_t k = 0; k < SL_COUNT(all); k++)
                sl_csv_column_add(&one, sl_str_c(all[k]));
            sl_csv_column_add(&many, sl_str_c(first));
            sl_csv_column_add(&many, sl_str_c(second));
            levels[l].add_rows(&many, &x, 0);
            sl_csv_column_settle(&many);
            sl_str f = sl_val_text(t->arena, sl_csv_column_facts(t->arena, &one)), g = sl_val_text(t->arena, sl_csv_column_facts(t->arena, &many));
            if (!sl_str_eq(f, g))
                sl_test_fail(t, __FILE__, __LINE__, "'%s' and '%s', then '%s': one by one %.*s, at once %.*s", first, second, value, SL_ARG(f), SL_ARG(g));
        }
    sl_csv_index_free(&x);
}

/* Each of these between a least and a greatest one that are not like it: there, nobody looks at it again. */
SL_TEST(csv_batch, between)
{
    static const char *const ends[][2] = { { "0", "99999999" }, { "-9999999", "-1" }, { "0.0", "999999.9" }, { "0.000001", "9.999999" }, { "-99.99", "-0.01" }, { "0.01", "99.99" }, { "0000-01-01", "9999-12-28" }, { "0000-01-01 00:00:00", "9999-12-28 23:59:59" }, { "false", "true" }, { "", "~" } };
    char text[400];
    sl_csv_index x;
    sl_csv_index_init(&x);
    for (size_t l = 0; l < SL_COUNT(levels) && sl_cpu_level() >= levels[l].least; l++)
        for (size_t i = 0; i < SL_COUNT(ends) * SL_COUNT(odd); i++) {
            const char *const values[] = { ends[i % SL_COUNT(ends)][0], odd[i / SL_COUNT(ends)], ends[i % SL_COUNT(ends)][1] };
            sl_csv_column one = { .name = SL_S("c") }, many = { .name = SL_S("c") };
            for (int batch = 0; batch < 2; batch++) { /* the first finds the type out */
                size_t n = (size_t)snprintf(text, sizeof text, "%s,1\n%s,1\n%s,1\n", values[0], values[batch], values[2]);
                sl_csv_index_find(&x, text, n, 2, ',', '"');
                levels[l].add_rows(&many, &x, 0);
                for (int k = 0; k < 3; k++)
                    sl_csv_column_add(&one, sl_str_c(values[k == 1 ? batch : k]));
            }
            sl_csv_column_settle(&many);
            sl_str f = sl_val_text(t->arena, sl_csv_column_facts(t->arena, &one)), g = sl_val_text(t->arena, sl_csv_column_facts(t->arena, &many));
            if (!sl_str_eq(f, g))
                sl_test_fail(t, __FILE__, __LINE__, "'%s' between '%s' and '%s': one by one %.*s, at once %.*s", values[1], values[0], values[2], SL_ARG(f), SL_ARG(g));
        }
    sl_csv_index_free(&x);
}

/* What is not plain ends the records that are. */
SL_TEST(csv_batch, not_plain)
{
    const sl_str second[] = { SL_S("1,\0,3\n"), SL_S("1,\xFF,3\n"), SL_S("1,\xC3,3\n"), SL_S("1,2\n"), SL_S("1,2,3,4\n"), SL_S("1,2\r,3\n"), SL_S("1,\"2\"x,3\n"), SL_S("1,x\"2\",3\n"), SL_S("1,\"2\"\"3\",3\n"), SL_S("\n"), SL_S("1,2,3") };
    char text[200];
    sl_csv_index x;
    sl_csv_index_init(&x);
    for (size_t i = 0; i < SL_COUNT(second); i++) {
        memset(text, '.', sizeof text);
        memcpy(text, "a,b,c\n", 6);
        memcpy(text + 6, second[i].p, second[i].n);
        memcpy(text + 6 + second[i].n, "d,e,f\n", 6);
        size_t n = i + 1 == SL_COUNT(second) ? 6 + second[i].n : 12 + second[i].n;
        sl_csv_index_find(&x, text, n, 3, ',', '"');
        if (x.rows != 1 || x.bytes != 6 || x.stopped != (i + 1 < SL_COUNT(second)))
            sl_test_fail(t, __FILE__, __LINE__, "case %zu: %zu rows, %zu bytes", i, x.rows, x.bytes);
    }
    sl_csv_index_free(&x);
}

/* All levels mark the same places. */
SL_TEST(csv_batch, marks)
{
    enum { SIZE = 700, WORDS = SIZE + 64 + SL_CSV_SCAN_SLACK };
    static const char letters[] = "ab,\n\r\"\0\xC3\xA4" "1;,\n,,abc";
    char text[SIZE + 80];
    uint64_t seed = 7;
    for (int round = 0; round < 2000; round++) {
        size_t n = 1 + next(&seed) % SIZE, used = 3 + next(&seed) % (sizeof letters - 4);
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = round % 3 == 2 ? 'a' : round % 3 ? letters[next(&seed) % used] : letters[next(&seed) % sizeof letters];
        if (round % 3 == 2) /* one byte of any value among plain ones */
            text[next(&seed) % n] = (char)(next(&seed) % 256);
        char separator = round % 5 == 0 ? '\t' : ',', quote = "\"'"[round % 7 == 0];
        sl_csv_marks first = { 0 };
        for (size_t i = 0; i < SL_COUNT(levels) && sl_cpu_level() >= levels[i].least; i++) {
            sl_csv_marks m = { .ends = SL_ARRAY(t->arena, uint32_t, WORDS), .lines = SL_ARRAY(t->arena, uint32_t, WORDS), .inner = SL_ARRAY(t->arena, uint32_t, WORDS) };
            levels[i].scan(text, n, separator, quote, &m);
            if (i == 0) {
                first = m;
                continue;
            }
            bool same = m.ends_n == first.ends_n && m.lines_n == first.lines_n && m.inner_n == first.inner_n && m.limit == first.limit && m.quotes == first.quotes && m.high == first.high && m.special == first.special
                        && memcmp(m.ends, first.ends, m.ends_n * sizeof *m.ends) == 0 && memcmp(m.lines, first.lines, m.lines_n * sizeof *m.lines) == 0 && memcmp(m.inner, first.inner, m.inner_n * sizeof *m.inner) == 0;
            if (!same)
                sl_test_fail(t, __FILE__, __LINE__, "round %d, level %zu: other marks", round, i);
        }
    }
}

/* The records of a text, and what is wrong with it: with the plain ones in one piece, or without. */
static sl_str records(sl_test_context *t, sl_str text, bool plain)
{
    static const sl_csv_dialect dialect = { .separator = ',', .quote = '"', .field_max = 1 << 20, .record_max = 1 << 22 };
    SL_READER in = sl_reader_memory(text);
    sl_csv *c = sl_csv_new(t->arena, in, &dialect);
    sl_buf b = sl_buf_new(t->arena, 1 << 20);
    const sl_csv_index *x;
    const sl_str *fields;
    size_t count;
    sl_err err;
    int got = 1;
    while (got != 0) {
        while (plain && (x = sl_csv_next_plain(c, 3)) != NULL)
            for (size_t r = 0; r < x->rows; r++)
                for (size_t k = 0; k < 3; k++) {
                    sl_str f = sl_csv_index_field(x, r, k);
                    sl_buf_fmt(&b, "[%.*s]%s", SL_ARG(f), k == 2 ? "\n" : "");
                }
        sl_err_clear(&err);
        if ((got = sl_csv_next(c, &fields, &count, &err)) < 0)
            sl_buf_fmt(&b, "%lld: %s\n", (long long)sl_csv_line(c), err.code);
        for (size_t k = 0; got == 1 && k < count; k++)
            sl_buf_fmt(&b, "[%.*s]%s", SL_ARG(fields[k]), k + 1 == count ? "\n" : "");
    }
    return sl_buf_str(&b);
}

SL_TEST(csv_batch, records)
{
    static const char *const pieces[] = { "a,b,c\n", "1,2,3\r\n", "\"x\",\"y\ny\",\"z\"\n", "\"d\"\"d\",2,3\n", "a\"b,2,3\n", "1,2\n", "1,2,3,4\n", "\n", "a,b,c\r", "z\rb,c,d\n", "\"q\"x,2,3\n", ",,\n", "\"\",\"\",\"\"\n", "\xC3\xA4,\xC3\xB6,c\n",
                                          "\"a,b\",\"\r\",c\n", "long enough to fill more than one block of sixty-four bytes at once,b,c\n" };
    uint64_t seed = 3;
    for (int round = 0; round < 400; round++) {
        sl_buf b = sl_buf_new(t->arena, 1 << 20);
        size_t strange = next(&seed) % 20;
        for (size_t n = next(&seed) % 400; n > 0; n--)
            sl_buf_addc(&b, pieces[next(&seed) % 20 < strange ? next(&seed) % SL_COUNT(pieces) : next(&seed) % 3]);
        sl_buf_addc(&b, round % 3 == 0 ? "the,last," : round % 3 == 1 ? "\"not closed,2,3\n" : "");
        sl_str text = sl_buf_str(&b), one = records(t, text, false), many = records(t, text, true);
        if (!sl_str_eq(one, many))
            sl_test_fail(t, __FILE__, __LINE__, "round %d:\n%.*s\n---- one by one\n%.*s\n---- in pieces\n%.*s", round, SL_ARG(text), SL_ARG(one), SL_ARG(many));
    }
}
