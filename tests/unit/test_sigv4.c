/*
 * tests/unit/test_sigv4.c: AWS's published examples (Signature Version 4 test suite; Amazon S3 API reference, "Examples:
 * Signature Calculations" and the streaming examples). Further case folders: SIGV4_SUITE names a folder of them.
 */
#include "auth/sigv4.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/sha256.h"
#include "tests/harness/test.h"

typedef struct example {
    const char *name, *service, *key_id, *secret, *time, *method, *path, *query, *headers, *payload, *signature;
    bool s3;
} example;

#define SUITE "service", "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830T123600Z"
#define IAM "iam", "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830T123600Z"
#define S3 "s3", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524T000000Z"
#define HOST "Host:example.amazonaws.com\nX-Amz-Date:20150830T123600Z"
#define BUCKET "Host:examplebucket.s3.amazonaws.com\nx-amz-date:20130524T000000Z\nx-amz-content-sha256:"
#define UTF8 "\xe1\x88\xb4"

static const example examples[] = {
    { "get-vanilla", SUITE, "GET", "/", "", HOST, SL_SIGV4_EMPTY, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", false },
    { "get-vanilla-query-order-key", SUITE, "GET", "/", "Param2=value2&Param1=value1", HOST, SL_SIGV4_EMPTY, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500", false },
    { "get-unreserved", SUITE, "GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "", HOST, SL_SIGV4_EMPTY, "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f", false },
    { "get-utf8", SUITE, "GET", "/" UTF8, "", HOST, SL_SIGV4_EMPTY, "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85", false },
    { "get-vanilla-utf8-query", SUITE, "GET", "/", UTF8 "=bar", HOST, SL_SIGV4_EMPTY, "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04", false },
    { "get-space", SUITE, "GET", "/example space/", "", HOST, SL_SIGV4_EMPTY, "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741", false },
    { "get-slash", SUITE, "GET", "//", "", HOST, SL_SIGV4_EMPTY, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", false },
    { "get-relative", SUITE, "GET", "/example/..", "", HOST, SL_SIGV4_EMPTY, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", false },
    { "get-slash-dot-slash", SUITE, "GET", "/./", "", HOST, SL_SIGV4_EMPTY, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", false },
    { "get-header-value-trim", SUITE, "GET", "/", "", HOST "\nMy-Header1: value1\nMy-Header2: \"a   b   c\"", SL_SIGV4_EMPTY, "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736", false },
    { "get-header-key-duplicate", SUITE, "GET", "/", "", HOST "\nMy-Header1:value2\nMy-Header1:value2\nMy-Header1:value1", SL_SIGV4_EMPTY, "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea", false },
    { "post-vanilla", SUITE, "POST", "/", "", HOST, SL_SIGV4_EMPTY, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", false },
    { "post-x-www-form-urlencoded", SUITE, "POST", "/", "", HOST "\nContent-Type:application/x-www-form-urlencoded", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
      "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a", false },
    { "session token", SUITE, "GET", "/", "", HOST "\nx-amz-security-token:6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267", SL_SIGV4_EMPTY, "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
      false },
    { "iam ListUsers", IAM, "GET", "/", "Action=ListUsers&Version=2010-05-08", "host:iam.amazonaws.com\nx-amz-date:20150830T123600Z\ncontent-type:application/x-www-form-urlencoded; charset=utf-8",
      SL_SIGV4_EMPTY, "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7", false },
    { "s3 get", S3, "GET", "/test.txt", "", BUCKET SL_SIGV4_EMPTY "\nrange:bytes=0-9", SL_SIGV4_EMPTY, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41", true },
    { "s3 put", S3, "PUT", "/test%24file.text", "", BUCKET "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\ndate:Fri, 24 May 2013 00:00:00 GMT\nx-amz-storage-class:REDUCED_REDUNDANCY",
      "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd", true },
    { "s3 get lifecycle", S3, "GET", "/", "lifecycle", BUCKET SL_SIGV4_EMPTY, SL_SIGV4_EMPTY, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543", true },
    { "s3 list", S3, "GET", "/", "max-keys=2&prefix=J", BUCKET SL_SIGV4_EMPTY, SL_SIGV4_EMPTY, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7", true },
};

static const sl_val *headers_of(sl_arena *a, sl_str lines)
{
    sl_val *map = sl_map(a);
    sl_str line, name;
    while (lines.n > 0 && sl_str_cut(&lines, '\n', &line)) {
        sl_str value = line;
        (void)sl_str_cut(&value, ':', &name);
        const sl_val *before = sl_get_str(map, name);
        sl_val *list = sl_list(a);
        for (size_t i = 0; i < sl_val_count(before); i++)
            sl_list_add(a, list, sl_at(before, i));
        sl_list_add(a, list, sl_val_str(a, value));
        sl_map_set(a, map, name, list);
    }
    return map;
}

static sl_sigv4_scope scope_of(const char *time, const char *service)
{
    sl_sigv4_scope s = { .region = SL_S("us-east-1"), .service = sl_str_c(service) };
    (void)snprintf(s.time, sizeof s.time, "%s", time);
    return s;
}

SL_TEST(sigv4, published_signatures)
{
    for (size_t i = 0; i < SL_COUNT(examples); i++) {
        const example *e = &examples[i];
        sl_sigv4_scope scope = scope_of(e->time, e->service);
        sl_sigv4_request r = { .method = sl_str_c(e->method), .path = sl_str_c(e->path), .query = sl_str_c(e->query), .headers = headers_of(t->arena, sl_str_c(e->headers)), .payload = sl_str_c(e->payload), .s3 = e->s3 };
        uint8_t key[SL_SIGV4_KEY];
        sl_str signature, header;
        sl_sigv4_key(sl_str_c(e->secret), &scope, key);
        header = sl_sigv4_authorization(t->arena, &r, &scope, sl_str_c(e->key_id), key, &signature);
        if (!sl_str_eqc(signature, e->signature))
            sl_test_fail(t, __FILE__, __LINE__, "%s: %.*s", e->name, SL_ARG(signature));
        CHECK(sl_str_ends(header, sl_fmt(t->arena, "Signature=%.*s", SL_ARG(signature))));
    }
}

SL_TEST(sigv4, the_key_of_a_day)
{
    sl_sigv4_scope scope = scope_of("20150830T123600Z", "service");
    uint8_t key[SL_SIGV4_KEY];
    sl_sigv4_key(SL_S("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), &scope, key);
    CHECK_STR(sl_hex(t->arena, (sl_str){ (const char *)key, sizeof key }), "938127b5336810ddb6a5d6af445fcac9e371f9ed418ed386b022aed82901be75");
    sl_sigv4_scope_at(&scope, 1440938160, SL_S("us-east-1"), SL_S("service"));
    CHECK_STR(sl_str_c(scope.time), "20150830T123600Z");
}

SL_TEST(sigv4, presigned)
{
    uint8_t key[SL_SIGV4_KEY];
    sl_sigv4_scope scope = scope_of("20130524T000000Z", "s3");
    sl_sigv4_key(SL_S("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), &scope, key);
    sl_sigv4_request r = { .method = SL_S("GET"), .path = SL_S("/test.txt"), .headers = headers_of(t->arena, SL_S("host:examplebucket.s3.amazonaws.com")), .payload = SL_S(SL_SIGV4_UNSIGNED), .s3 = true };
    sl_str query = sl_sigv4_presign(t->arena, &r, &scope, SL_S("AKIAIOSFODNN7EXAMPLE"), SL_S(""), key, 86400);
    CHECK(sl_str_ends(query, SL_S("&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")));
    scope = scope_of("20150830T123600Z", "service");
    sl_sigv4_key(SL_S("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), &scope, key);
    r = (sl_sigv4_request){ .method = SL_S("GET"), .path = SL_S("/"), .headers = headers_of(t->arena, SL_S("host:example.amazonaws.com")), .payload = SL_S(SL_SIGV4_EMPTY) };
    query = sl_sigv4_presign(t->arena, &r, &scope, SL_S("AKIDEXAMPLE"), SL_S(""), key, 3600);
    CHECK(sl_str_ends(query, SL_S("&X-Amz-Signature=e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d")));
}

SL_TEST(sigv4, chunks_and_trailers)
{
    static char a[65536];
    uint8_t key[SL_SIGV4_KEY];
    memset(a, 'a', sizeof a);
    sl_sigv4_scope scope = scope_of("20130524T000000Z", "s3");
    sl_sigv4_key(SL_S("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), &scope, key);
#define CHUNKED "host:s3.amazonaws.com\nx-amz-date:20130524T000000Z\nx-amz-storage-class:REDUCED_REDUNDANCY\ncontent-encoding:aws-chunked\nx-amz-decoded-content-length:66560\n"
    static const struct {
        const char *headers, *payload, *seed, *chunks[3], *trailer;
    } streams[] = {
        { CHUNKED "content-length:66824\nx-amz-content-sha256:" SL_SIGV4_STREAM, SL_SIGV4_STREAM, "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
          { "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648", "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9" }, NULL },
        { CHUNKED "x-amz-trailer:x-amz-checksum-crc32c\nx-amz-content-sha256:" SL_SIGV4_STREAM_TRAILER, SL_SIGV4_STREAM_TRAILER, "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
          { "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2", "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992" },
          "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435" },
    };
    static const size_t sizes[] = { 65536, 1024, 0 };
    for (size_t i = 0; i < SL_COUNT(streams); i++) {
        sl_sigv4_request r = { .method = SL_S("PUT"), .path = SL_S("/examplebucket/chunkObject.txt"), .headers = headers_of(t->arena, sl_str_c(streams[i].headers)), .payload = sl_str_c(streams[i].payload), .s3 = true };
        sl_str signature;
        (void)sl_sigv4_authorization(t->arena, &r, &scope, SL_S("AKIAIOSFODNN7EXAMPLE"), key, &signature);
        CHECK_STR(signature, streams[i].seed);
        for (size_t k = 0; k < SL_COUNT(sizes); k++) {
            signature = sl_sigv4_chunk(t->arena, key, &scope, signature, sl_sha256_hex(t->arena, (sl_str){ a, sizes[k] }));
            CHECK_STR(signature, streams[i].chunks[k]);
        }
        if (streams[i].trailer != NULL)
            CHECK_STR(sl_sigv4_trailer(t->arena, key, &scope, signature, SL_S("x-amz-checksum-crc32c:sOO8/Q==\n")), streams[i].trailer);
    }
}

SL_TEST(sigv4, names_that_are_awkward)
{
    /* A key is encoded once, whatever it holds; // and dots stay. */
    static const char *const paths[][2] = { { "/a//b", "/a//b" }, { "/a/../b", "/a/../b" }, { "/a%20b%2Bc", "/a%20b%2Bc" }, { "/a+b", "/a%2Bb" }, { "/%C3%BC~", "/%C3%BC~" }, { "/a%zz", "/a%25zz" } };
    for (size_t i = 0; i < SL_COUNT(paths); i++) {
        sl_str names;
        sl_sigv4_request r = { .method = SL_S("GET"), .path = sl_str_c(paths[i][0]), .query = SL_S("b&a=1&a=&c=%2f"), .headers = sl_map(t->arena), .payload = SL_S("x"), .s3 = true };
        CHECK_STR(sl_sigv4_canonical(t->arena, &r, &names), sl_fmt(t->arena, "GET\n%s\na=&a=1&b=&c=%%2F\n\n\nx", paths[i][1]).p);
    }
}
