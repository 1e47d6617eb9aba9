/*
 * local/aws_auth_v2.c: presigned URLs of Signature Version 2, which boto3 still makes unless it is told otherwise.
 * Source: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html (Query string request authentication)
 */
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/io.h"
#include "local/aws.h"

static int by_text(const void *a, const void *b)
{
    const sl_str *x = a, *y = b;
    return sl_str_cmp(*x, *y);
}

/* What of the query is signed, in order: ?acl&uploadId=7 */
static sl_str resources(sl_arena *a, sl_str query)
{
    static const char *const names[] = { "acl", "delete", "lifecycle", "location", "logging", "notification", "partNumber", "policy", "requestPayment", "response-cache-control", "response-content-disposition",
                                         "response-content-encoding", "response-content-language", "response-content-type", "response-expires", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website" };
    sl_str found[SL_COUNT(names)], one;
    size_t count = 0;
    while (query.n > 0 && sl_str_cut(&query, '&', &one)) {
        sl_str value = one, name;
        (void)sl_str_cut(&value, '=', &name);
        for (size_t i = 0; i < SL_COUNT(names) && count < SL_COUNT(found); i++)
            if (sl_str_eqc(name, names[i])) {
                bool has = memchr(one.p, '=', one.n) != NULL;
                sl_str decoded;
                found[count++] = has && value.n > 0 && sl_percent_decode(a, value, true, &decoded) ? sl_fmt(a, "%.*s=%.*s", SL_ARG(name), SL_ARG(decoded)) : name;
            }
    }
    qsort(found, count, sizeof *found, by_text);
    sl_buf b = sl_buf_new(a, 1 << 20);
    for (size_t i = 0; i < count; i++)
        sl_buf_fmt(&b, "%c%.*s", i ? '&' : '?', SL_ARG(found[i]));
    return sl_buf_str(&b);
}

/* x-amz-…:value, in order. */
static sl_str amz_headers(sl_arena *a, sl_server_request *req, sl_str token)
{
    size_t n = sl_val_count(req->headers), count = 0;
    sl_str *lines = SL_ARRAY(a, sl_str, n + 1);
    for (size_t i = 0; i < n; i++) {
        const sl_entry *e = &req->headers->map.entries[i];
        if (sl_str_starts(e->key, SL_S("x-amz-")))
            lines[count++] = sl_fmt(a, "%.*s:%.*s\n", SL_ARG(e->key), SL_ARG(sl_text(e->value)));
    }
    if (token.n > 0)
        lines[count++] = sl_fmt(a, "x-amz-security-token:%.*s\n", SL_ARG(token));
    qsort(lines, count, sizeof *lines, by_text);
    sl_buf b = sl_buf_new(a, 1 << 20);
    for (size_t i = 0; i < count; i++)
        sl_buf_add(&b, lines[i]);
    return sl_buf_str(&b);
}

bool sl_aws_is_v2(sl_server_request *req)
{
    return sl_request_param(req, "AWSAccessKeyId").n > 0 && sl_request_param(req, "Signature").n > 0;
}

bool sl_aws_verify_v2(sl_cloud *c, sl_server_request *req, sl_caller *ret, sl_refusal *why)
{
    sl_arena *a = req->arena;
    sl_str secret, token, given = sl_request_param(req, "x-amz-security-token"), expires = sl_request_param(req, "Expires"), signature = sl_request_param(req, "Signature");
    unsigned char out[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    int64_t until = 0;
    bool expired = false;
    *ret = (sl_caller){ .id = sl_request_param(req, "AWSAccessKeyId"), .payload = SL_S(SL_SIGV4_UNSIGNED), .scope.service = SL_S("s3") };
    if (!sl_parse_int(expires, &until))
        return sl_refuse(why, a, 403, "AccessDenied", "Query-string authentication needs AWSAccessKeyId, Expires and Signature.");
    if (sl_now_ms() / 1000 > until)
        return sl_refuse(why, a, 403, "AccessDenied", "Request has expired");
    if (!sl_aws_secret(c, a, ret->id, &secret, &token, &expired))
        return sl_refuse(why, a, 403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.");
    if (!sl_str_eq(token, given))
        return sl_refuse(why, a, 400, "InvalidToken", "The provided token is malformed or otherwise invalid.");
    if (expired)
        return sl_refuse(why, a, 400, "ExpiredToken", "The provided token has expired.");
    sl_str md5 = sl_request_header(req, "content-md5"), type = sl_request_header(req, "content-type"), amz = amz_headers(a, req, given), more = resources(a, req->query);
    sl_str text = sl_fmt(a, "%s\n%.*s\n%.*s\n%.*s\n%.*s%.*s%.*s", req->method, SL_ARG(md5), SL_ARG(type), SL_ARG(expires), SL_ARG(amz), SL_ARG(req->path), SL_ARG(more));
    if (HMAC(EVP_sha1(), secret.p, (int)secret.n, (const unsigned char *)text.p, text.n, out, &size) == NULL)
        return sl_refuse(why, a, 500, "InternalError", "The signature could not be computed.");
    sl_str ours = sl_base64(a, (sl_str){ (const char *)out, size });
    return (ours.n == signature.n && CRYPTO_memcmp(ours.p, signature.p, ours.n) == 0)
           || sl_refuse(why, a, 403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method.");
}
