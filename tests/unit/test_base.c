/* tests/unit/test_base.c: strings, numbers, dates, YAML, JSON, streams, redaction, paths. */
#include <math.h>
#include <unistd.h>

#include "base/behind.h"
#include "base/checksum.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/ion.h"
#include "base/joined.h"
#include "base/jq.h"
#include "base/json.h"
#include "base/made_file.h"
#include "base/memory.h"
#include "base/proc.h"
#include "base/regex.h"
#include "base/sha256.h"
#include "base/secret.h"
#include "base/summed.h"
#include "base/time.h"
#include "base/yaml.h"
#include "tests/harness/test.h"

SL_TEST(str, doubles_print_as_java_does)
{
    static const struct {
        double d;
        const char *text;
    } cases[] = { { 1, "1.0" }, { 1.5, "1.5" }, { 0.001, "0.001" }, { 0.0001, "1.0E-4" }, { 1e7, "1.0E7" }, { 9999999, "9999999.0" }, { 123456.789, "123456.789" }, { 1e-5, "1.0E-5" }, { -2.5, "-2.5" },
                  { 0.1, "0.1" }, { 1e300, "1.0E300" }, { 0.05, "0.05" }, { 100, "100.0" } };
    for (size_t i = 0; i < SL_COUNT(cases); i++)
        CHECK_STR(sl_double_text(t->arena, cases[i].d), cases[i].text);
    CHECK_STR(sl_double_text(t->arena, INFINITY), "Infinity");
}

/* Against trying one digit after the other. */
SL_TEST(str, doubles_have_the_fewest_digits)
{
    uint64_t seed = 1;
    for (int i = 0; i < 30000; i++) {
        double d;
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        if (i % 3 == 0)
            d = (double)(seed >> 44) / (const double[]){ 1, 10, 100, 1000, 8, 3 }[seed % 6];
        else if (i % 3 == 1)
            d = (double)(seed >> 34) * (const double[]){ 1e-9, 0.01, 1e9, 1e-5, 1e15, 1e-310 }[seed % 6];
        else
            memcpy(&d, &seed, 8);
        d = fabs(d);
        if (!isfinite(d) || d == 0)
            continue;
        char digits[20], text[40], shortest[40];
        int exponent, n = sl_double_digits(d, digits, &exponent), precision = -1;
        do
            (void)snprintf(shortest, sizeof shortest, "%.*e", ++precision, d);
        while (strtod(shortest, NULL) != d);
        (void)snprintf(text, sizeof text, "%c.%.*se%d", digits[0], n - 1, digits + 1, exponent);
        if (strtod(text, NULL) != d || n != precision + 1)
            sl_test_fail(t, __FILE__, __LINE__, "%.17g: %s, not %s", d, text, shortest);
    }
}

SL_TEST(str, numbers_are_parsed_strictly)
{
    int64_t i;
    double d;
    CHECK(sl_parse_int(SL_S("-9223372036854775808"), &i) && i == INT64_MIN);
    CHECK(!sl_parse_int(SL_S("9223372036854775808"), &i));
    CHECK(sl_parse_size(SL_S("10MB"), &i) && i == 10 << 20);
    CHECK(sl_parse_size(SL_S(" 1.5 GB "), &i) && i == 3LL << 29);
    CHECK(sl_parse_size(SL_S("512"), &i) && i == 512 && sl_parse_size(SL_S("2k"), &i) && i == 2048 && sl_parse_size(SL_S("0"), &i) && i == 0 && sl_parse_size(SL_S("7B"), &i) && i == 7);
    CHECK(!sl_parse_size(SL_S("10XB"), &i) && !sl_parse_size(SL_S("MB"), &i) && !sl_parse_size(SL_S(""), &i) && !sl_parse_size(SL_S("-1"), &i) && !sl_parse_size(SL_S("99999999TB"), &i));
    CHECK(!sl_parse_int(SL_S("1 "), &i) && !sl_parse_int(SL_S(""), &i) && !sl_parse_int(SL_S("0x1"), &i) && !sl_parse_int(SL_S("-"), &i));
    CHECK(!sl_parse_double(SL_S("nan"), &d) && !sl_parse_double(SL_S("1e999"), &d) && !sl_parse_double(SL_S("0x1p3"), &d) && !sl_parse_double(SL_S("."), &d));
}

SL_TEST(str, encodings)
{
    sl_str out;
    CHECK_STR(sl_percent(t->arena, SL_S("a b+c/\xC3\xBC~"), NULL), "a%20b%2Bc%2F%C3%BC~");
    CHECK_STR(sl_percent(t->arena, SL_S("a b+c/\xC3\xBC~"), "/"), "a%20b%2Bc/%C3%BC~");
    CHECK(sl_percent_decode(t->arena, SL_S("a%20b%2f"), false, &out));
    CHECK_STR(out, "a b/");
    CHECK(!sl_percent_decode(t->arena, SL_S("%2"), false, &out) && !sl_percent_decode(t->arena, SL_S("%zz"), false, &out));
    static const char *const plain[] = { "", "f", "fo", "foo", "foob", "fooba", "foobar" }, *const coded[] = { "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
    for (size_t i = 0; i < SL_COUNT(plain); i++) {
        CHECK_STR(sl_base64(t->arena, sl_str_c(plain[i])), coded[i]);
        CHECK(sl_base64_decode(t->arena, sl_str_c(coded[i]), &out));
        CHECK_STR(out, plain[i]);
    }
    CHECK(!sl_base64_decode(t->arena, SL_S("Zg"), &out) == false);
    CHECK(!sl_base64_decode(t->arena, SL_S("Z"), &out) && !sl_base64_decode(t->arena, SL_S("Zm 9"), &out) && !sl_base64_decode(t->arena, SL_S("Zh=="), &out));
}

SL_TEST(digest, published_vectors)
{
    static const struct {
        const char *text, *crc;
    } cases[] = { { "123456789", "4waSgw==" }, { "hello world", "yZRlqg==" }, { "", "AAAAAA==" } };
    for (size_t i = 0; i < SL_COUNT(cases); i++)
        CHECK_STR(sl_crc32c_base64(t->arena, sl_crc32c(0, cases[i].text, strlen(cases[i].text))), cases[i].crc);
    char *many = sl_alloc(t->arena, 66560);
    memset(many, 'a', 66560);
    CHECK_STR(sl_crc32c_base64(t->arena, sl_crc32c(0, many, 66560)), "sOO8/Q==");
    uint32_t crc = 0;
    for (size_t at = 0; at < 66560; at += 1009) /* in pieces it is the same */
        crc = sl_crc32c(crc, many + at, 66560 - at < 1009 ? 66560 - at : 1009);
    CHECK_STR(sl_crc32c_base64(t->arena, crc), "sOO8/Q==");
    unsigned char ones[32], rising[32];
    memset(ones, 0xFF, sizeof ones);
    for (int i = 0; i < 32; i++)
        rising[i] = (unsigned char)i;
    CHECK_INT(sl_crc32c(0, ones, 32), 0x62a8ab43);
    CHECK_INT(sl_crc32c(0, rising, 32), 0x46dd794e);
}

/* Bit by bit, as the definition says. */
static uint32_t crc_slowly(uint32_t polynomial, const unsigned char *p, size_t n)
{
    uint32_t crc = ~0U;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (polynomial & (0 - (crc & 1)));
    }
    return ~crc;
}

/* Cut at any place: the sum of the whole from those of the pieces, in any order. */
SL_TEST(digest, joined)
{
    enum { SIZE = 70000, CUTS = 12 };
    static const sl_algorithm all[] = { SL_SUM_CRC32C, SL_SUM_CRC32, SL_SUM_CRC64NVME };
    char *data = sl_alloc(t->arena, SIZE);
    uint64_t seed = 42;
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (char)((seed = seed * 6364136223846793005ULL + 1442695040888963407ULL) >> 56);
    CHECK(!sl_checksum_joins(SL_SUM_MD5) && !sl_checksum_joins(SL_SUM_SHA256));
    for (size_t k = 0; k < SL_COUNT(all); k++) {
        sl_checksum whole = sl_checksum_new(t->arena, all[k]);
        sl_checksum_add(&whole, data, SIZE);
        CHECK(sl_checksum_join(all[k], whole.crc, 0, 0) == whole.crc);
        for (int round = 0; round < 50; round++) {
            int64_t at[CUTS + 2] = { 0 };
            size_t order[CUTS + 1];
            for (size_t i = 1; i <= CUTS; i++)
                at[i] = (int64_t)((seed = seed * 6364136223846793005ULL + 1442695040888963407ULL) >> 33) % SIZE;
            at[CUTS + 1] = SIZE;
            for (size_t i = 1; i <= CUTS + 1; i++) /* the shortest way to sort a few */
                for (size_t n = i; n > 1 && at[n] < at[n - 1]; n--) {
                    int64_t swap = at[n];
                    at[n] = at[n - 1];
                    at[n - 1] = swap;
                }
            for (size_t i = 0; i <= CUTS; i++)
                order[i] = (i * 5 + (size_t)round) % (CUTS + 1);
            sl_joined *j = sl_joined_new(all[k]);
            uint64_t crc;
            for (size_t i = 0; i <= CUTS; i++) {
                size_t n = order[i];
                CHECK(sl_joined_begun(j, &crc) < SIZE);
                sl_checksum part = sl_checksum_new(t->arena, all[k]);
                sl_checksum_add(&part, data + at[n], (size_t)(at[n + 1] - at[n]));
                sl_joined_add(j, at[n], at[n + 1] - at[n], part.crc);
            }
            CHECK_INT(sl_joined_begun(j, &crc), SIZE);
            CHECK(crc == whole.crc);
            sl_joined_free(j);
        }
    }
}

/* Pieces in any order make the file that a writer makes, its checksum too; with a gap, or without an end, there is none. */
SL_TEST(files, made_of_pieces)
{
    sl_str folder = sl_str_c(sl_test_dir(t)), path = sl_fmt(t->arena, "%.*s/made", SL_ARG(folder));
    SL_MADE_FILE f = sl_made_file_new(path.p, &t->err);
    CHECK(f != NULL);
    CHECK(sl_made_file_write(f, 6, "world", 5, &t->err));
    CHECK_INT(sl_made_file_begun(f, NULL), 0);
    CHECK(!sl_made_file_finish(f, &t->err));
    CHECK_STR(sl_str_c(t->err.code), "file.gap");
    CHECK(sl_made_file_write(f, 0, "hello ", 6, &t->err));
    uint32_t crc;
    CHECK_INT(sl_made_file_begun(f, &crc), 11);
    CHECK_INT(crc, sl_crc32c(0, "hello world", 11));
    char back[5];
    CHECK(sl_made_file_read(f, 6, back, 5, &t->err) && memcmp(back, "world", 5) == 0);
    CHECK(!sl_made_file_read(f, 9, back, 5, &t->err));
    CHECK(access(path.p, F_OK) != 0);
    CHECK(sl_made_file_finish(f, &t->err));
    sl_made_file_close(&f);
    bool carries;
    CHECK(sl_summed_check_anew(path.p, "made", &carries, &t->err));
    SL_READER r = sl_reader_file(path.p, &t->err);
    sl_str text;
    CHECK(sl_io_read_all(t->arena, r, 100, &text, &t->err));
    CHECK_STR(text, "hello world");
    sl_made_file *none = sl_made_file_new(sl_fmt(t->arena, "%.*s/none", SL_ARG(folder)).p, &t->err);
    CHECK(sl_made_file_write(none, 0, "x", 1, &t->err));
    sl_made_file_close(&none);
    CHECK(access(sl_fmt(t->arena, "%.*s/none.part", SL_ARG(folder)).p, F_OK) != 0);
}

static uint64_t crc64_slowly(const unsigned char *p, size_t n)
{
    uint64_t crc = ~0ULL;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (0x9A6C9329AC4BC9B5ULL & (0 - (crc & 1)));
    }
    return ~crc;
}

SL_TEST(digest, crc_of_every_length)
{
    enum { SIZE = 5000 };
    unsigned char *data = sl_alloc(t->arena, SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (unsigned char)(i * 2654435761U >> 13);
    for (size_t n = 0; n < SIZE - 8; n = n < 300 ? n + 1 : n * 9 / 8) {
        const unsigned char *p = data + n % 8;
        uint32_t c = crc_slowly(0x82F63B78U, p, n), z = crc_slowly(0xEDB88320U, p, n);
        CHECK_INT(sl_crc32c(0, p, n), c);
        CHECK_INT(sl_crc32(0, p, n), z);
        CHECK(sl_crc64nvme(0, p, n) == crc64_slowly(p, n));
        CHECK(sl_crc64nvme(sl_crc64nvme(0, p, n / 3), p + n / 3, n - n / 3) == crc64_slowly(p, n));
        CHECK_INT(sl_crc32c(sl_crc32c(0, p, n / 3), p + n / 3, n - n / 3), c);
        CHECK_INT(sl_crc32(sl_crc32(0, p, n / 3), p + n / 3, n - n / 3), z);
    }
    sl_checksum nvme = sl_checksum_new(t->arena, SL_SUM_CRC64NVME);
    sl_checksum_add(&nvme, "123456789", 9);
    CHECK_STR(sl_hex(t->arena, sl_checksum_end(&nvme, t->arena)), "ae8b14860a799888");
}

static sl_str hmac(sl_test_context *t, sl_str key, sl_str text)
{
    uint8_t out[SL_SHA256];
    sl_hmac_sha256(key, text, out);
    return sl_hex(t->arena, (sl_str){ (const char *)out, sizeof out });
}

/* RFC 4231, sections 4.2 to 4.8; the keys of the last two are longer than a block. */
SL_TEST(digest, hmac_sha256)
{
    char key[131], text[50];
    memset(key, 0x0b, 20);
    CHECK_STR(hmac(t, (sl_str){ key, 20 }, SL_S("Hi There")), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    CHECK_STR(hmac(t, SL_S("Jefe"), SL_S("what do ya want for nothing?")), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    memset(text, 0xdd, sizeof text);
    CHECK_STR(hmac(t, (sl_str){ key, 20 }, (sl_str){ text, sizeof text }), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    CHECK_STR(hmac(t, (sl_str){ key, sizeof key }, SL_S("Test Using Larger Than Block-Size Key - Hash Key First")), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    CHECK_STR(hmac(t, (sl_str){ key, sizeof key }, SL_S("This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.")),
              "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
    CHECK_STR(hmac(t, SL_S(""), (sl_str){ NULL, 0 }), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
    CHECK_STR(sl_sha256_hex(t->arena, (sl_str){ NULL, 0 }), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

SL_TEST(time, parsing_and_printing)
{
    static const char *const same[] = { "2024-01-02T03:04:05.678Z", "2013-09-08T16:19+02:00", "2024-01-02", "18:27:49", "2024-02-29T23:59:59.000000001Z", "2013-09-08T16:19:12+02:00[Europe/Paris]" };
    for (size_t i = 0; i < SL_COUNT(same); i++) {
        sl_time v;
        CHECK(sl_time_parse(sl_str_c(same[i]), &v));
        CHECK_STR(sl_time_java(t->arena, v), same[i]);
    }
    static const char *const wrong[] = { "2023-02-29", "2024-13-01", "24:00", "2024-01-01T", "2024-1-1", "", "2024-01-01T00:00:60Z", "2024-01-01T00:00:00+2:00" };
    for (size_t i = 0; i < SL_COUNT(wrong); i++) {
        sl_time v;
        CHECK(!sl_time_parse(sl_str_c(wrong[i]), &v));
    }
}

SL_TEST(time, zones_follow_the_rules_of_their_place)
{
    const sl_tz *paris = sl_tz_find(SL_S("Europe/Paris"), &t->err);
    CHECK_OK(paris != NULL);
    CHECK_INT(sl_tz_offset(paris, 1711846799, NULL), 3600);  /* 2024-03-31T00:59:59Z */
    CHECK_INT(sl_tz_offset(paris, 1711846800, NULL), 7200);
    CHECK_INT(sl_tz_offset(paris, 4102444800, NULL), 3600);  /* 2100-01-01: by the rule behind the table */
    CHECK_INT(sl_tz_offset(paris, 4118083200, NULL), 7200);  /* 2100-07-01 */
    int64_t gap = sl_days_from_civil(2024, 3, 31) * 86400 + 9000; /* 02:30 does not exist: it moves by the gap */
    CHECK_INT(sl_tz_to_utc(paris, gap), 1711846800 + 1800);
    const sl_tz *howe = sl_tz_find(SL_S("Australia/Lord_Howe"), &t->err);
    CHECK_OK(howe != NULL);
    CHECK_INT(sl_tz_offset(howe, 1704067200, NULL), 39600);
    CHECK_INT(sl_tz_offset(howe, 1719792000, NULL), 37800);
    CHECK_ERR(sl_tz_find(SL_S("Mars/Base"), &t->err) != NULL, "unknown time zone");
    CHECK(sl_tz_find(SL_S("../../etc/passwd"), &t->err) == NULL);
}

SL_TEST(time, durations)
{
    static const struct {
        const char *text;
        int64_t ms;
        const char *back;
    } cases[] = { { "PT1H30M", 5400000, "PT1H30M" }, { "P1D", 86400000, "PT24H" }, { "PT0.5S", 500, "PT0.5S" }, { "15", 15000, "PT15S" }, { "1.5", 1500, "PT1.5S" }, { "PT15S", 15000, "PT15S" }, { "P1DT2H", 93600000, "PT26H" } };
    for (size_t i = 0; i < SL_COUNT(cases); i++) {
        int64_t ms;
        CHECK(sl_duration_parse(sl_str_c(cases[i].text), &ms));
        CHECK_INT(ms, cases[i].ms);
        CHECK_STR(sl_duration_text(t->arena, ms), cases[i].back);
    }
    int64_t ms;
    CHECK(!sl_duration_parse(SL_S("P1Y"), &ms) && !sl_duration_parse(SL_S("PT"), &ms) && !sl_duration_parse(SL_S("1h"), &ms));
}

SL_TEST(yaml, scalars_and_places)
{
    const sl_val *v = sl_yaml_parse(t->arena, SL_S("a: yes\nb: true\nc: 012\nd: 12\ne: ~\nf: 'x'\ng: 1.5\n2024: k\nh: |\n  two\n  lines\n"), &t->err);
    CHECK_OK(v != NULL);
    CHECK_STR(sl_json(t->arena, v), "{\"a\":true,\"b\":true,\"c\":10,\"d\":12,\"e\":null,\"f\":\"x\",\"g\":1.5,\"2024\":\"k\",\"h\":\"two\\nlines\\n\"}");
    CHECK_INT(sl_get(v, "d")->line, 4);
    CHECK_INT(sl_get(v, "d")->column, 4);
    CHECK_INT(sl_map_entry(v, SL_S("f"))->line, 6);
}

/* As Kestra 1.3.31 reads them. */
SL_TEST(yaml, what_words_mean)
{
    static const char *const cases[][2] = {
        { "yes", "true" }, { "Yes", "true" }, { "ON", "true" }, { "off", "false" }, { "No", "false" }, { "y", "\"y\"" }, { "tRUE", "\"tRUE\"" }, { "NULL", "null" }, { "nULL", "\"nULL\"" }, { "010", "8" }, { "00", "0" },
        { "08", "\"08\"" }, { "0o10", "\"0o10\"" }, { "0x1F", "31" }, { "0x_1F", "31" }, { "0b11", "3" }, { "1_000", "1000" }, { "1__0", "10" }, { "0_1", "1" }, { "_1", "\"_1\"" }, { "1_000.5", "1000.5" }, { "-5", "-5" },
        { "+5", "5" }, { "1e3", "1000.0" }, { ".5", "0.5" }, { "12:30", "\"12:30\"" }, { "2024-01-02", "\"2024-01-02\"" }, { "1.2.3", "\"1.2.3\"" }, { "9223372036854775807", "9223372036854775807" }, 
        { "9223372036854775808", "\"9223372036854775808\"" }, { "100000000000000000000", "\"100000000000000000000\"" }, { "!!str 5", "\"5\"" }, { "!!int '5'", "5" }, { "!!float 5", "5.0" }, { "!!bool 'yes'", "true" }, { "! 5", "\"5\"" },
        { "\"\\ud83c\\udf89 \\\\ud83c \\uD83D\\uDE00\"", "\"\xF0\x9F\x8E\x89 \\\\ud83c \xF0\x9F\x98\x80\"" }, { "'\\ud83c\\udf89'", "\"\\\\ud83c\\\\udf89\"" },
    };
    for (size_t i = 0; i < SL_COUNT(cases); i++) {
        const sl_val *v = sl_yaml_parse(t->arena, sl_fmt(t->arena, "k: %s\n", cases[i][0]), &t->err);
        CHECK_OK(v != NULL);
        CHECK_STR(sl_json(t->arena, sl_get(v, "k")), cases[i][1]);
    }
    CHECK_ERR(sl_yaml_parse(t->arena, SL_S("k: \"\\ud83c x\""), &t->err) != NULL, "Unicode");
}

SL_TEST(yaml, what_is_written)
{
    static const char *const cases[][2] = {
        { "[1,[2,3],{\"k\":\"v\"}]", " - 1\n -\n   - 2\n   - 3\n -\n  k: v\n" },
        { "{\"a\":{\"b\":[1,{\"c\":2}]}}", "a:\n  b:\n   - 1\n   -\n    c: 2\n" },
        { "[{\"a\":{\"b\":1}},{\"a\":[1,2]}]", " -\n  a:\n    b: 1\n -\n  a:\n   - 1\n   - 2\n" },
        { "{\"t\":true,\"n\":null,\"e\":\"\",\"y\":\"yes\",\"num\":\"12\",\"o\":\"010\",\"1\":1.5}", "t: true\n\"n\": null\ne: \"\"\n\"y\": \"yes\"\nnum: 12\no: '010'\n\"1\": 1.5\n" },
        { "{\"q\":\"it's\",\"c\":\"a: b\",\"at\":\"@x\",\"d\":\"say \\\"x\\\"\",\"h\":\"# x\",\"l\":\" l\",\"s\":\"- x\"}", "q: it's\nc: \"a: b\"\nat: '@x'\nd: say \"x\"\nh: \"# x\"\nl: ' l'\ns: '- x'\n" },
        { "{\"a\":[],\"b\":{}}", "a: []\nb: {}\n" }, { "[]", "[]\n" }, { "null", "null" },
    };
    for (size_t i = 0; i < SL_COUNT(cases); i++)
        CHECK_STR(sl_yaml_write(t->arena, sl_json_parse(t->arena, sl_str_c(cases[i][0]), &t->err)), cases[i][1]);
}

SL_TEST(yaml, what_is_refused)
{
    CHECK_ERR(sl_yaml_parse(t->arena, SL_S("a: 1\na: 2\n"), &t->err) != NULL, "written twice");
    CHECK_INT(t->err.line, 2);
    CHECK_ERR(sl_yaml_parse(t->arena, SL_S("a: [1\nb: 2\n"), &t->err) != NULL, "not valid YAML");
    CHECK_ERR(sl_yaml_parse(t->arena, SL_S("a: !Ref x\n"), &t->err) != NULL, "tags");
    CHECK_ERR(sl_yaml_parse(t->arena, SL_S("a: !!python/object x\n"), &t->err) != NULL, "not what its tag");
    CHECK_ERR(sl_yaml_parse(t->arena, SL_S("a: !!int x\n"), &t->err) != NULL, "not what its tag");
    CHECK_ERR(sl_yaml_parse(t->arena, SL_S("a: 1\n---\nb: 2\n"), &t->err) != NULL, "second document");
    sl_buf bomb = sl_buf_new(t->arena, 1 << 16);
    sl_buf_addc(&bomb, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 9; i++)
        sl_buf_fmt(&bomb, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    CHECK_ERR(sl_yaml_parse(t->arena, sl_buf_str(&bomb), &t->err) != NULL, "aliases");
    sl_buf deep = sl_buf_new(t->arena, 1 << 16);
    for (int i = 0; i < 1000; i++)
        sl_buf_char(&deep, '[');
    CHECK_ERR(sl_yaml_parse(t->arena, sl_buf_str(&deep), &t->err) != NULL, "deep");
}

SL_TEST(json, limits_and_round_trip)
{
    static const char text[] = "{\"a\":[1,2.5,true,null,\"\\u00fc\\n\"],\"b\":{}}";
    const sl_val *v = sl_json_parse(t->arena, sl_str_c(text), &t->err);
    CHECK_OK(v != NULL);
    CHECK_STR(sl_json(t->arena, v), "{\"a\":[1,2.5,true,null,\"\xC3\xBC\\n\"],\"b\":{}}");
    CHECK_ERR(sl_json_parse(t->arena, SL_S("{\"a\":1,\"a\":2}"), &t->err) != NULL, "duplicate");
    sl_buf deep = sl_buf_new(t->arena, 1 << 16);
    for (int i = 0; i < 5000; i++)
        sl_buf_char(&deep, '[');
    CHECK_ERR(sl_json_parse(t->arena, sl_buf_str(&deep), &t->err) != NULL, "nested deeper");
}

static sl_str gzip_of(sl_test_context *t, sl_str data, int level)
{
    sl_str path = sl_fmt(t->arena, "%s/x.gz", sl_test_dir(t)), out = { 0 };
    SL_WRITER w = sl_writer_gzip(sl_writer_file(path.p, &t->err), level);
    CHECK_OK(w->write(w, data.p, data.n, &t->err) && w->finish(w, &t->err));
    CHECK_OK(sl_fs_read(t->arena, path.p, 1 << 24, &out, &t->err));
    return out;
}

static bool gunzip(sl_test_context *t, sl_str data, sl_str *ret)
{
    SL_READER r = sl_reader_gunzip(sl_reader_memory(data));
    return sl_io_read_all(t->arena, r, 1 << 26, ret, &t->err);
}

SL_TEST(gzip, every_truncation_and_every_flipped_bit_of_the_trailer_is_found)
{
    sl_buf plain = sl_buf_new(t->arena, 1 << 16);
    for (int i = 0; i < 500; i++)
        sl_buf_fmt(&plain, "%d,%d\n", i, i * 7919 % 1000);
    sl_str data = gzip_of(t, sl_buf_str(&plain), 6), out;
    for (int level = 1; level <= 9; level++) { /* 1 is another writer */
        CHECK_OK(gunzip(t, gzip_of(t, sl_buf_str(&plain), level), &out));
        CHECK(sl_str_eq(out, sl_buf_str(&plain)));
        CHECK_OK(gunzip(t, gzip_of(t, SL_S(""), level), &out));
        CHECK_INT(out.n, 0);
    }
    for (size_t n = 0; n < data.n; n++)
        CHECK(!gunzip(t, sl_str_sub(data, 0, n), &out));
    for (size_t bit = 0; bit < 64; bit++) {
        sl_str bad = sl_str_dup(t->arena, data);
        ((char *)(uintptr_t)bad.p)[data.n - 8 + bit / 8] ^= (char)(1 << bit % 8);
        CHECK(!gunzip(t, bad, &out));
    }
    sl_str twice = sl_fmt(t->arena, "%s", "");
    sl_buf two = sl_buf_new(t->arena, 1 << 16);
    sl_buf_add(&two, data);
    sl_buf_add(&two, data);
    (void)twice;
    CHECK_OK(gunzip(t, sl_buf_str(&two), &out));
    CHECK_INT(out.n, plain.n * 2);
    sl_buf_addc(&two, "junk behind the end");
    CHECK(!gunzip(t, sl_buf_str(&two), &out));
}

typedef struct kept {
    sl_writer writer;
    sl_buf *to;
} kept;

static bool keep(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    (void)err;
    sl_buf_add(((kept *)self)->to, (sl_str){ from, n });
    return true;
}

/* Pushed in pieces. */
static bool pushed(sl_test_context *t, sl_str data, size_t piece, sl_buf *out)
{
    kept sink = { { keep, sl_writer_no_finish, sl_writer_no_close }, out };
    SL_WRITER w = sl_writer_gunzip(&sink.writer);
    sl_err_clear(&t->err);
    for (size_t at = 0; at < data.n; at += piece)
        if (!w->write(w, data.p + at, data.n - at < piece ? data.n - at : piece, &t->err))
            return false;
    return w->finish(w, &t->err);
}

SL_TEST(gzip, what_is_pushed_is_what_is_read)
{
    sl_buf plain = sl_buf_new(t->arena, 1 << 22), two = sl_buf_new(t->arena, 1 << 22);
    for (int i = 0; i < 100000; i++) /* more than one block comes out of one piece */
        sl_buf_fmt(&plain, "%d,%d\n", i % 10, i % 7);
    sl_str data = gzip_of(t, sl_buf_str(&plain), 6);
    sl_buf_add(&two, data);
    sl_buf_add(&two, gzip_of(t, SL_S("end"), 6));
    static const size_t pieces[] = { 1, 7, 4096, 1 << 22 };
    for (size_t i = 0; i < SL_COUNT(pieces); i++) {
        sl_buf out = sl_buf_new(t->arena, 1 << 22);
        CHECK_OK(pushed(t, sl_buf_str(&two), pieces[i], &out));
        CHECK(out.n == plain.n + 3 && memcmp(out.p, plain.p, plain.n) == 0);
        sl_buf junk = sl_buf_new(t->arena, 1 << 22);
        sl_buf_add(&junk, data);
        sl_buf_addc(&junk, "junk");
        CHECK_ERR(pushed(t, sl_buf_str(&junk), pieces[i], &out), "damaged");
        CHECK_ERR(pushed(t, sl_str_sub(data, 0, data.n - 1), pieces[i], &out), "ends too early");
    }
    sl_buf out = sl_buf_new(t->arena, 1 << 26);
    CHECK_ERR(pushed(t, gzip_of(t, (sl_str){ sl_alloc(t->arena, 32 << 20), 32 << 20 }, 6), 1000, &out), "bomb");
}

SL_TEST(gzip, bombs_are_stopped)
{
    char *zeros = sl_alloc(t->arena, 32 << 20);
    sl_str data = gzip_of(t, (sl_str){ zeros, 32 << 20 }, 1), out;
    CHECK_ERR(gunzip(t, data, &out), "bomb");
}

SL_TEST(redact, all_forms_of_a_value_are_hidden)
{
    sl_str value = SL_S("pa\"ss/w\xC3\xB6rd+1&2");
    SL_SECRET s = sl_secret_new(value);
    CHECK(s != NULL);
    sl_buf q = sl_buf_new(t->arena, 200);
    sl_json_quote(&q, value);
    sl_str b64 = sl_base64(t->arena, sl_fmt(t->arena, "user:%.*s", SL_ARG(value)));
    sl_str forms[] = { value, sl_buf_str(&q), sl_percent(t->arena, value, NULL), sl_hex(t->arena, value), sl_base64(t->arena, value), b64, sl_base64(t->arena, sl_fmt(t->arena, "x%.*s", SL_ARG(value))) };
    for (size_t i = 0; i < SL_COUNT(forms); i++) {
        sl_str clean = sl_redact(t->arena, sl_fmt(t->arena, "before %.*s after", SL_ARG(forms[i])));
        CHECK(sl_str_find(clean, SL_S("******")) > 0);
        CHECK(sl_str_find(clean, sl_str_sub(forms[i], 6, forms[i].n - 6)) < 0);
        CHECK(sl_str_starts(clean, SL_S("before ")) && sl_str_ends(clean, SL_S(" after")));
    }
    CHECK_STR(sl_redact(t->arena, SL_S("nothing to hide")), "nothing to hide");
    sl_redact_add(SL_S("line one is long\nshort\nline three is long"));
    CHECK_STR(sl_redact(t->arena, SL_S("x line three is long y")), "x ****** y");
}

SL_TEST(path, only_safe_names_pass)
{
    static const char *const bad[] = { "", "/etc/passwd", "..", "a/../b", "./a", "a//b", "a/.", "a/" };
    static const char *const good[] = { "a", "a/b.csv", "..a", "a..", ".hidden" };
    for (size_t i = 0; i < SL_COUNT(bad); i++)
        CHECK(!sl_path_is_safe(sl_str_c(bad[i])));
    for (size_t i = 0; i < SL_COUNT(good); i++)
        CHECK(sl_path_is_safe(sl_str_c(good[i])));
    CHECK(!sl_path_is_safe((sl_str){ "a\0b", 3 }));
}

SL_TEST(path, globs)
{
    static const struct {
        const char *glob, *path;
        bool hit;
    } cases[] = { { "*.csv", "a.csv", true }, { "*.csv", "d/a.csv", false }, { "**/*.csv", "d/e/a.csv", true }, { "**/*.csv", "a.csv", true }, { "out/**", "out/x/y", true }, { "{a,b}.txt", "b.txt", true },
                  { "[a-c]?.x", "b1.x", true }, { "[!a]*", "abc", false }, { "data.json", "data.json", true }, { "glob:*.csv", "x.csv", true } };
    for (size_t i = 0; i < SL_COUNT(cases); i++)
        CHECK_INT(sl_glob_match(sl_str_c(cases[i].glob), sl_str_c(cases[i].path)), cases[i].hit);
    CHECK(!sl_glob_match(SL_S("*a*a*a*a*a*a*a*a*a*a*a*b"), SL_S("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
}

/* What is read in one pass is what jansson reads; what is not JSON is not read by either. */
SL_TEST(json, plain_is_what_jansson_reads)
{
    static const char *const texts[] = {
        "0", "-0", "7", "-12", "123456789012345678", "1234567890123456789", "9223372036854775808", "01", "-", "+1", "1.", ".5", "1.5", "-0.0", "1e5", "1E+5", "1e-5", "1e", "1e+", "1.e5", "1.5e400", "1e400", "0.1", "123456.789", "1.7976931348623157e308", "5e-324",
        "12345678901234567.25", "3.14159265358979312", "true", "false", "null", "tru", "nul", "truex", "\"\"", "\"a\"", "\"a\\n\\\"b\"", "\"\\u00e4\"", "\"\\ud83d\\ude00\"", "\"\\u0000\"", "\"\\x\"", "\"a", "\"a\nb\"", "\"\xC3\xA4\"", "\"\xC3\"", "\"\xED\xA0\x80\"",
        "\"12345678\"", "\"1234567\\n\"", "\"12345678\\t9\"", "[]", "[1]", "[1,]", "[,1]", "[1 2]", "[1,[2,[3]]]", "{}", "{\"a\":1}", "{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":1,}", "{\"a\"}", "{a:1}", "{\"\":1}", "{\"aa\":1,\"ab\":2,\"ba\":3,\"bb\":4}", " { \"a\" : [ 1 , 2 ] } \n",
        "{\"a\":1} x", "", " ", "[", "{", "\xEF\xBB\xBF{}", "{\"k1\":1,\"k2\":2,\"k3\":3,\"k4\":4,\"k5\":5,\"k6\":6,\"k7\":7,\"k8\":8,\"k9\":9,\"k10\":10,\"k11\":11,\"k12\":12,\"k13\":13,\"k14\":14,\"k15\":15,\"k16\":16,\"k17\":17,\"k18\":18,\"k1\":19}",
    };
    for (size_t i = 0; i < SL_COUNT(texts); i++) {
        sl_err e, f;
        const sl_val *v = sl_json_parse(t->arena, sl_str_c(texts[i]), &e), *w = sl_json_parse_exactly(t->arena, sl_str_c(texts[i]), &f);
        if ((v != NULL) != (w != NULL) || (v != NULL && !sl_str_eq(sl_json(t->arena, v), sl_json(t->arena, w))) || (v == NULL && strcmp(e.message, f.message) != 0))
            sl_test_fail(t, __FILE__, __LINE__, "'%s'", texts[i]);
    }
}

/* However many keys, none is lost, and a second one of a kind is found. */
SL_TEST(json, all_keys_are_found)
{
    for (int n = 2; n < 200; n++) {
        SL_ARENA a = sl_arena_new();
        sl_buf b = sl_buf_new(a, 1 << 20);
        for (int i = 0; i < n; i++)
            sl_buf_fmt(&b, "%s\"key %d\":%d", i ? "," : "{", (i * 7919 + n) % 1000, i);
        sl_str open = sl_buf_str(&b), whole = sl_fmt(a, "%.*s}", SL_ARG(open)), twice = sl_fmt(a, "%.*s,\"key %d\":1}", SL_ARG(open), n);
        const sl_val *v = sl_json_parse(a, whole, &t->err);
        for (int i = 0; i < n; i++)
            if (sl_get_int(v, sl_fmt(a, "key %d", (i * 7919 + n) % 1000).p, -1) != i)
                sl_test_fail(t, __FILE__, __LINE__, "key %d of %d", i, n);
        CHECK(sl_val_count(v) == (size_t)n && sl_json_parse(a, twice, &t->err) == NULL);
    }
}

SL_TEST(regex, work_is_bounded)
{
    bool hit;
    const sl_regex *r = sl_regex_new(t->arena, SL_S("(a+)+$"), &t->err);
    CHECK_OK(r != NULL);
    CHECK_ERR(sl_regex_full(r, SL_S("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), &hit, &t->err) && hit, "regular expression");
    CHECK_ERR(sl_regex_new(t->arena, SL_S("("), &t->err) != NULL, "wrong at character");
}

SL_TEST(ion, round_trip)
{
    sl_str rest = SL_S("{a:1,'b c':\"x\\ny\",c:[true,null],d:12.5e0,e:2024-01-31,f:ZonedDateTime::\"2024-01-31T10:00:00Z[UTC]\"}\n{a:2}");
    const sl_val *v = sl_ion_read(t->arena, &rest, &t->err);
    CHECK_OK(v != NULL);
    CHECK_INT(sl_get_int(v, "a", 0), 1);
    CHECK_STR(sl_get_text(v, "b c"), "x\ny");
    CHECK(sl_is(sl_get(v, "e"), SL_TIME) && sl_is(sl_get(v, "f"), SL_TIME));
    sl_buf b = sl_buf_new(t->arena, 1000);
    sl_ion_write(&b, t->arena, v);
    CHECK_STR(sl_buf_str(&b), "{a:1,'b c':\"x\\ny\",c:[true,null],d:12.5e0,e:2024-01-31,f:ZonedDateTime::\"2024-01-31T10:00Z\"}");
    v = sl_ion_read(t->arena, &rest, &t->err);
    CHECK(v != NULL && sl_get_int(v, "a", 0) == 2);
    CHECK(sl_ion_read(t->arena, &rest, &t->err) == NULL && t->err.kind == SL_ERR_NONE);
}

typedef struct heard {
    sl_arena *arena;
    sl_buf out;
} heard;

static void hear(void *self, bool is_stderr, sl_str line)
{
    heard *h = self;
    sl_buf_fmt(&h->out, "%s%.*s|", is_stderr ? "E:" : "", SL_ARG(line));
}

SL_TEST(proc, output_environment_and_exit_code)
{
    heard h = { t->arena, sl_buf_new(t->arena, 10000) };
    static const char *const argv[] = { "/bin/sh", "-c", "echo $A; echo err >&2; printf last; exit 3", NULL }, *const env[] = { "A=value", "PATH=/bin", NULL };
    sl_proc p = { .argv = argv, .env = env, .pass_fd = -1, .grace_ms = 1000, .self = &h, .on_line = hear };
    sl_proc_result r;
    CHECK_OK(sl_proc_run(&p, &r, &t->err));
    CHECK_INT(r.exit_code, 3);
    sl_str out = sl_buf_str(&h.out);
    CHECK(sl_str_find(out, SL_S("value|")) >= 0 && sl_str_find(out, SL_S("E:err|")) >= 0 && sl_str_find(out, SL_S("last|")) >= 0);
}

static bool at_once(void *self)
{
    (void)self;
    return true;
}

SL_TEST(proc, nothing_survives)
{
    sl_str pid_file = sl_fmt(t->arena, "%s/pid", sl_test_dir(t)), pid;
    heard h = { t->arena, sl_buf_new(t->arena, 10000) };
    /* A daemon: forked twice, in a session of its own, deaf to TERM. */
    const char *script = sl_fmt(t->arena, "(setsid sh -c 'trap \"\" TERM; echo $$ > %.*s; sleep 300' &) ; while [ ! -s %.*s ]; do sleep 0.01; done; exit 0", SL_ARG(pid_file), SL_ARG(pid_file)).p;
    const char *argv[] = { "/bin/sh", "-c", script, NULL };
    static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
    sl_proc p = { .argv = argv, .env = env, .pass_fd = -1, .grace_ms = 200, .self = &h, .on_line = hear };
    sl_proc_result r;
    CHECK_OK(sl_proc_run(&p, &r, &t->err));
    CHECK_OK(sl_fs_read(t->arena, pid_file.p, 100, &pid, &t->err));
    CHECK(!sl_fs_exists(sl_fmt(t->arena, "/proc/%.*s", SL_ARG(sl_str_trim(pid))).p));
    static const char *const sleeper[] = { "/bin/sh", "-c", "sleep 300", NULL };
    sl_proc q = { .argv = sleeper, .env = env, .pass_fd = -1, .grace_ms = 200, .self = &h, .on_line = hear, .cancelled = at_once };
    CHECK_ERR(sl_proc_run(&q, &r, &t->err), "stopped");
    q.cancelled = NULL;
    q.timeout_ms = 100;
    CHECK_ERR(sl_proc_run(&q, &r, &t->err), "timeout");
}

static size_t resident_bytes(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f != NULL && fscanf(f, "%*d %ld", &pages) != 1)
        pages = 0;
    if (f != NULL)
        (void)fclose(f);
    return (size_t)pages * 4096;
}

static sl_str jq(sl_test_context *t, const char *program)
{
    sl_err_clear(&t->err);
    const sl_val *v = sl_jq(t->arena, sl_json_parse(t->arena, SL_S("{\"a\":[1,{\"b\":2.50}]}"), &t->err), sl_str_c(program), SL_JQ_MS, &t->err);
    return v ? sl_json(t->arena, v) : sl_fmt(t->arena, "%s: %s", t->err.code, t->err.message);
}

SL_TEST(jq, results_and_errors)
{
    CHECK_STR(jq(t, ".a[0], .a[1].b, .none"), "[1,2.5,null]");
    CHECK_STR(jq(t, "empty"), "[]");
    CHECK_STR(jq(t, "error(\"no\")"), "jq.run: the jq program `error(\"no\")` failed: no");
    CHECK(sl_str_starts(jq(t, ".a["), SL_S("jq.compile: the jq program `.a[` is wrong: ")));
    CHECK_STR(jq(t, "input"), "jq.run: the jq program `input` failed: there is no further input");
    CHECK_STR(jq(t, "debug | .a[0]"), "[1]");
}

/* libjq 1.6 calls abort() for the first, and never ends the fifth. */
SL_TEST(jq, nothing_gets_out)
{
    CHECK(sl_str_starts(jq(t, "1e300 | todate"), SL_S("jq.fault: ")));
    CHECK(sl_str_starts(jq(t, "import \"/etc/passwd\" as $x; $x"), SL_S("jq.")));
    CHECK_STR(jq(t, "env, $ENV"), "[{},{}]");
    CHECK(sl_str_starts(jq(t, "[range(1e9)]"), SL_S("jq.fault: ")));
    CHECK(sl_str_starts(jq(t, "def f: f; f"), SL_S("jq.time: ")));
    CHECK(sl_str_starts(jq(t, "range(1e9)"), SL_S("jq.results: ")));
    CHECK_STR(jq(t, ".a[0]"), "[1]");
}

SL_TEST(memory, what_is_given_back_comes_again)
{
    static char written[1 << 16] = "kept";
    memset(written + 4, 'x', sizeof written - 5);
    size_t before = resident_bytes();
    CHECK(sl_memory_give_back() > 1 << 20);
    CHECK(resident_bytes() < before);
    /* Code, constants and what was written are all still there. */
    CHECK_STR(sl_fmt(t->arena, "%.5s %d", written, 42), "keptx 42");
    CHECK(sl_memory_give_back() > 1 << 20);
}

/* ---- a writer whose bytes another thread takes along ---- */

typedef struct taker {
    sl_writer writer;
    size_t bytes, fails_at;      /* 0: never */
    uint32_t crc;
    bool finished, closed;
} taker;

static bool taker_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    taker *k = (taker *)self;
    k->bytes += n;
    k->crc = sl_crc32c(k->crc, from, n);
    return k->fails_at == 0 || k->bytes < k->fails_at || sl_err_set(err, SL_ERR_LIMIT, "full", "it is full");
}

static bool taker_finish(sl_writer *self, sl_err *err)
{
    (void)err;
    ((taker *)self)->finished = true;
    return true;
}

static void taker_close(sl_writer *self) { ((taker *)self)->closed = true; }

/* Pieces of odd sizes, `most` bytes in all; how it went. */
static bool send_behind(taker *k, size_t most, bool finish, uint32_t *crc, sl_err *err)
{
    char piece[70001];
    SL_WRITER w = sl_writer_behind(&k->writer);
    *crc = 0;
    for (size_t sent = 0, n = 1; sent < most; sent += n) {
        n = (n * 7 + 13) % sizeof piece;
        n = n < most - sent ? n : most - sent;
        memset(piece, (int)(sent % 251), n);
        *crc = sl_crc32c(*crc, piece, n);
        if (!w->write(w, piece, n, err))
            return false;
    }
    return !finish || w->finish(w, err);
}

SL_TEST(io, unpacked)
{
    static const unsigned char packed[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 0x4c, 0x4a, 6, 0, 0xc2, 0x41, 0x24, 0x35, 3, 0, 0, 0 }; /* "abc" */
    const struct {
        sl_str from, to;
    } cases[] = { { SL_S(""), SL_S("") }, { SL_S("a"), SL_S("a") }, { SL_S("\x1f"), SL_S("\x1f") }, { SL_S("plain text"), SL_S("plain text") }, { { (const char *)packed, sizeof packed }, SL_S("abc") } };
    for (size_t i = 0; i < SL_COUNT(cases); i++) {
        sl_err err;
        sl_str got;
        SL_READER r = sl_reader_unpacked(sl_reader_memory(cases[i].from), &err);
        CHECK(r != NULL && sl_io_read_all(t->arena, r, 100, &got, &err) && sl_str_eq(got, cases[i].to));
    }
}

SL_TEST(io, behind)
{
    static const size_t sizes[] = { 0, 1, 100000, 4 << 20, (4 << 20) + 1, 9000001, 40 << 20 };
    for (size_t i = 0; i < SL_COUNT(sizes); i++) {
        taker k = { .writer = { taker_write, taker_finish, taker_close } };
        uint32_t crc;
        CHECK_OK(send_behind(&k, sizes[i], true, &crc, &t->err));
        CHECK(k.bytes == sizes[i] && k.crc == crc && k.finished && k.closed);
        taker left = { .writer = { taker_write, taker_finish, taker_close } };
        CHECK_OK(send_behind(&left, sizes[i], false, &crc, &t->err));
        CHECK(left.bytes <= sizes[i] && !left.finished && left.closed);
        taker full = { .writer = { taker_write, taker_finish, taker_close }, .fails_at = sizes[i] / 2 + 1 };
        if (sizes[i] == 0)
            continue;
        CHECK(!send_behind(&full, sizes[i], true, &crc, &t->err));
        CHECK(strcmp(t->err.code, "full") == 0 && !full.finished && full.closed);
    }
}
