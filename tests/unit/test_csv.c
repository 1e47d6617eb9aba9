/* tests/unit/test_csv.c: types of columns, value by value; what a sample says of a file. */
#include "connectors/csv/dialect.h"
#include "connectors/csv/schema.h"
#include "tests/harness/test.h"

static const char *type_of(const char *text)
{
    int digits, scale;
    return sl_csv_type_name(sl_csv_type_of(sl_str_c(text), &digits, &scale));
}

SL_TEST(csv, type_of_one_value)
{
    static const char *const cases[][2] = {
        { "", "NULL" }, { "true", "BOOLEAN" }, { "FALSE", "BOOLEAN" }, { "yes", "TEXT" }, { "0", "INTEGER" }, { "-0", "INTEGER" }, { "+7", "INTEGER" }, { "007", "TEXT" }, { "9223372036854775807", "INTEGER" },
        { "9223372036854775808", "DECIMAL" }, { "-9223372036854775808", "INTEGER" }, { "1.0", "DECIMAL" }, { ".5", "DECIMAL" }, { "5.", "TEXT" }, { "1.2.3", "TEXT" }, { "-", "TEXT" }, { "+", "TEXT" }, { ".", "TEXT" },
        { "1e5", "FLOAT" }, { "1.5E-10", "FLOAT" }, { "1e", "TEXT" }, { "1e5000", "TEXT" }, { "nan", "FLOAT" }, { "-inf", "FLOAT" }, { "Infinity", "FLOAT" }, { "--1", "TEXT" }, { "1,5", "TEXT" }, { "12345678901234567890123456789012345678", "DECIMAL" },
        { "123456789012345678901234567890123456789", "TEXT" }, { "1234567890123456789012345678901234567.89", "FLOAT" }, { "2024-02-29", "DATE" }, { "2023-02-29", "TEXT" }, { "2024-1-1", "TEXT" }, { "2024-01-01x", "TEXT" },
        { "10:11:12", "TIME" }, { "10:11:12.123456789", "TIME" }, { "10:11:12.1234567890", "TEXT" }, { "24:00:00", "TEXT" }, { "10:61:00", "TEXT" }, { "10:11", "TEXT" }, { "2024-01-01 10:11", "TIMESTAMP" }, { "2024-01-01T10:11:12", "TIMESTAMP" },
        { "2024-01-01 10:11:12.5", "TIMESTAMP" }, { "2024-01-01 25:11:12", "TEXT" }, { "2024-01-01 10:11:12Z", "TIMESTAMPTZ" }, { "2024-01-01 10:11:12+02", "TIMESTAMPTZ" }, { "2024-01-01T10:11:12.5-03:30", "TIMESTAMPTZ" },
        { "2024-01-01 10:11:12 UTC", "TIMESTAMPTZ" }, { "2024-01-01 10:11:12+99", "TEXT" }, { "2024-01-01 10:11:12+0", "TEXT" }, { "2024-01-01 ", "TEXT" }, { "1234-5678", "TEXT" }, { "12:34567", "TEXT" }, { "x", "TEXT" },
    };
    for (size_t i = 0; i < SL_COUNT(cases); i++)
        if (strcmp(type_of(cases[i][0]), cases[i][1]) != 0)
            sl_test_fail(t, __FILE__, __LINE__, "'%s' is %s, not %s", cases[i][0], type_of(cases[i][0]), cases[i][1]);
}

/* The same whichever comes first, and never less than either. */
SL_TEST(csv, types_join)
{
    for (int a = SL_CSV_NULL; a <= SL_CSV_TEXT; a++)
        for (int b = SL_CSV_NULL; b <= SL_CSV_TEXT; b++) {
            sl_csv_type ab = sl_csv_type_join((sl_csv_type)a, (sl_csv_type)b), ba = sl_csv_type_join((sl_csv_type)b, (sl_csv_type)a);
            if (ab != ba || sl_csv_type_join(ab, (sl_csv_type)a) != ab || sl_csv_type_join(ab, (sl_csv_type)b) != ab)
                sl_test_fail(t, __FILE__, __LINE__, "%s and %s: %s, %s", sl_csv_type_name((sl_csv_type)a), sl_csv_type_name((sl_csv_type)b), sl_csv_type_name(ab), sl_csv_type_name(ba));
        }
}

static sl_csv_column column(const char *const *values)
{
    sl_csv_column c = { .name = { "c", 1 } };
    for (; *values != NULL; values++)
        sl_csv_column_add(&c, sl_str_c(*values));
    return c;
}

#define COLUMN(...) column((const char *const[]){ __VA_ARGS__, NULL })
#define SAYS(what, expected)                                                                                                                            \
    do {                                                                                                                                                \
        sl_str got_ = sl_val_text(t->arena, sl_csv_column_facts(t->arena, &(what)));                                                                    \
        if (!sl_str_eqc(got_, expected))                                                                                                                \
            sl_test_fail(t, __FILE__, __LINE__, "%.*s, not %s", SL_ARG(got_), expected);                                                                \
    } while (0)

SL_TEST(csv, columns)
{
    sl_csv_column whole = COLUMN("5", "5", "", "-12", "100"), mixed = COLUMN("1", "2.50", "1e3"), late = COLUMN("10", "9", "abc", "10"), prefix = COLUMN("aaaaaaaaaaaaaaaab", "aaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaac"),
                  none = COLUMN("", ""), short_ones = COLUMN("b", "ab", "a", "ba");
    SAYS(whole, "{\"name\":\"c\",\"type\":\"INTEGER\",\"nulls\":1,\"minBytes\":1,\"maxBytes\":3,\"min\":-12,\"max\":100}");
    SAYS(mixed, "{\"name\":\"c\",\"type\":\"FLOAT\",\"nulls\":0,\"minBytes\":1,\"maxBytes\":4,\"min\":1.0,\"max\":1000.0}");
    SAYS(late, "{\"name\":\"c\",\"type\":\"TEXT\",\"nulls\":0,\"minBytes\":1,\"maxBytes\":3,\"min\":\"10\",\"max\":\"abc\"}");
    SAYS(prefix, "{\"name\":\"c\",\"type\":\"TEXT\",\"nulls\":0,\"minBytes\":16,\"maxBytes\":17,\"min\":\"aaaaaaaaaaaaaaaa\",\"max\":\"aaaaaaaaaaaaaaaac\"}");
    SAYS(none, "{\"name\":\"c\",\"type\":\"NULL\",\"nulls\":2}");
    SAYS(short_ones, "{\"name\":\"c\",\"type\":\"TEXT\",\"nulls\":0,\"minBytes\":1,\"maxBytes\":2,\"min\":\"a\",\"max\":\"ba\"}");
}

/* A decimal's precision holds the widest part on either side. */
SL_TEST(csv, warehouse_types)
{
    sl_csv_column wide = COLUMN("12345.5", "1.2345"), large = COLUMN("3000000000"), text = COLUMN("äöü", "a long text of more than sixteen bytes");
    sl_str redshift = sl_csv_redshift_type(t->arena, &wide), whole = sl_csv_redshift_type(t->arena, &large), letters = sl_csv_redshift_type(t->arena, &text), postgres = sl_csv_postgres_type(t->arena, &text);
    if (!sl_str_eqc(redshift, "decimal(9,4)") || !sl_str_eqc(whole, "bigint") || !sl_str_eqc(letters, "varchar(64)") || !sl_str_eqc(postgres, "text"))
        sl_test_fail(t, __FILE__, __LINE__, "%.*s %.*s %.*s %.*s", SL_ARG(redshift), SL_ARG(whole), SL_ARG(letters), SL_ARG(postgres));
}

SL_TEST(csv, shape_of_a_sample)
{
    static const struct {
        const char *text;
        char separator, quote;
        bool header;
    } cases[] = {
        { "a,b\n1,2\n", ',', '"', true },   { "a;b\n1,5;2,5\n3,5;4\n", ';', '"', true }, { "1\t2\n3\t4\n", '\t', '"', false }, { "a,b\n1,'x;y'\n2,'z'\n", ',', '\'', true },
        { "name\nx\ny\n", ',', '"', true }, { "it's,b\n1,2\n", ',', '"', true },         { "a,a\n1,2\n", ',', '"', false },    { "", ',', '"', false },
    };
    for (size_t i = 0; i < SL_COUNT(cases); i++) {
        sl_csv_shape s = { 0 };
        sl_csv_guess_shape(sl_str_c(cases[i].text), true, &s);
        if (s.separator != cases[i].separator || s.quote != cases[i].quote || s.header != cases[i].header)
            sl_test_fail(t, __FILE__, __LINE__, "'%s': %c %c %d", cases[i].text, s.separator, s.quote, s.header);
    }
}
