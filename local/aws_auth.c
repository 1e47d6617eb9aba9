/*
 * local/aws_auth.c: Signature Version 4 verified as AWS does it: in the Authorization header, or in a presigned URL.
 * Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
 */
#include <stdarg.h>

#include <openssl/crypto.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/time.h"
#include "base/xml.h"
#include "local/aws.h"

bool sl_refuse(sl_refusal *why, sl_arena *arena, int status, const char *code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    *why = (sl_refusal){ .status = status, .code = code, .message = sl_vfmt(arena, fmt, ap) };
    va_end(ap);
    return false;
}

void sl_s3_refuse(sl_server_request *req, sl_server_response *resp, const sl_refusal *why)
{
    sl_arena *a = req->arena;
    char id[23];
    sl_random_id(id);
    resp->status = why->status;
    resp->content_type = "application/xml";
    if (strcmp(req->method, "HEAD") != 0 && why->status != 304)
        resp->body = sl_fmt(a, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%.*s</Message><Resource>%.*s</Resource><RequestId>%s</RequestId></Error>", why->code, SL_ARG(sl_xml_escape(a, why->message)),
                            SL_ARG(sl_xml_escape(a, req->path)), id);
}

void sl_aws_json_code(sl_refusal *why)
{
#define SERVICE "com.amazon.coral.service#"
    static const char *const names[][2] = {
        { "SignatureDoesNotMatch", SERVICE "InvalidSignatureException" }, { "RequestTimeTooSkewed", SERVICE "InvalidSignatureException" }, { "InvalidAccessKeyId", SERVICE "UnrecognizedClientException" },
        { "InvalidToken", SERVICE "UnrecognizedClientException" },        { "ExpiredToken", SERVICE "ExpiredTokenException" },             { "AccessDenied", SERVICE "MissingAuthenticationTokenException" },
    };
#undef SERVICE
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (strcmp(why->code, names[i][0]) == 0) {
            why->code = names[i][1];
            break;
        }
    why->status = why->status == 500 ? 500 : 400;
}

void sl_aws_json_refuse(sl_server_request *req, sl_server_response *resp, const sl_refusal *why)
{
    sl_val *doc = sl_map_of(req->arena, "__type", sl_val_c(req->arena, why->code));
    sl_map_set_str(req->arena, doc, "message", why->message);
    sl_respond_json(req, resp, why->status, doc);
    resp->content_type = "application/x-amz-json-1.0";
}

typedef struct claim {
    sl_str credential, signed_headers, signature, time, token;
    int64_t expires_s;
    bool presigned;
} claim;

static bool read_header(sl_arena *a, sl_server_request *req, claim *ret, sl_refusal *why)
{
    sl_str text = sl_request_header(req, "authorization"), one;
    if (!sl_str_starts(text, SL_S("AWS4-HMAC-SHA256 ")))
        return sl_refuse(why, a, 400, "InvalidRequest", "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.");
    sl_str rest = sl_str_sub(text, 17, text.n);
    while (rest.n > 0 && sl_str_cut(&rest, ',', &one)) {
        sl_str value = sl_str_trim(one), name;
        (void)sl_str_cut(&value, '=', &name);
        if (sl_str_eqc(name, "Credential"))
            ret->credential = value;
        else if (sl_str_eqc(name, "SignedHeaders"))
            ret->signed_headers = value;
        else if (sl_str_eqc(name, "Signature"))
            ret->signature = value;
    }
    ret->time = sl_request_header(req, "x-amz-date");
    ret->token = sl_request_header(req, "x-amz-security-token");
    return (ret->credential.n > 0 && ret->signed_headers.n > 0 && ret->signature.n == SL_SIGV4_HEX) || sl_refuse(why, a, 400, "AuthorizationHeaderMalformed", "The authorization header that you provided is not valid.");
}

static bool read_query(sl_arena *a, sl_server_request *req, claim *ret, sl_refusal *why)
{
    *ret = (claim){ .credential = sl_request_param(req, "X-Amz-Credential"), .signed_headers = sl_request_param(req, "X-Amz-SignedHeaders"), .signature = sl_request_param(req, "X-Amz-Signature"), .time = sl_request_param(req, "X-Amz-Date"),
                    .token = sl_request_param(req, "X-Amz-Security-Token"), .presigned = true };
    bool ok = sl_str_eqc(sl_request_param(req, "X-Amz-Algorithm"), "AWS4-HMAC-SHA256") && sl_parse_int(sl_request_param(req, "X-Amz-Expires"), &ret->expires_s) && ret->expires_s > 0 && ret->expires_s <= 604800
              && ret->credential.n > 0 && ret->signed_headers.n > 0 && ret->time.n > 0;
    return ok || sl_refuse(why, a, 400, "AuthorizationQueryParametersError", "Query-string authentication needs X-Amz-Algorithm, X-Amz-Credential, X-Amz-Date, X-Amz-Expires (1 to 604800), X-Amz-SignedHeaders and X-Amz-Signature.");
}

/* ID/20261121/region/service/aws4_request */
static bool read_scope(sl_arena *a, const claim *k, sl_caller *ret, sl_refusal *why)
{
    sl_str rest = k->credential, day, last;
    bool ok = sl_str_cut(&rest, '/', &ret->id) && sl_str_cut(&rest, '/', &day) && sl_str_cut(&rest, '/', &ret->scope.region) && sl_str_cut(&rest, '/', &ret->scope.service) && sl_str_cut(&rest, '/', &last)
              && sl_str_eqc(last, "aws4_request") && k->time.n == 16 && sl_str_eq(day, sl_str_sub(k->time, 0, 8));
    if (!ok)
        return sl_refuse(why, a, 400, "AuthorizationHeaderMalformed", "The credential '%.*s' does not fit the date '%.*s'.", SL_ARG(k->credential), SL_ARG(k->time));
    memcpy(ret->scope.time, k->time.p, 16);
    ret->scope.time[16] = '\0';
    return true;
}

static bool in_time(sl_arena *a, const claim *k, sl_refusal *why)
{
    sl_time t;
    if (!sl_time_parse_pattern(k->time, SL_S("yyyyMMdd'T'HHmmss'Z'"), &t))
        return sl_refuse(why, a, 403, "AccessDenied", "X-Amz-Date must be in ISO 8601 basic form.");
    int64_t now = sl_now_ms() / 1000;
    if (k->presigned)
        return now <= t.s + k->expires_s || sl_refuse(why, a, 403, "AccessDenied", "Request has expired");
    return (t.s >= now - SL_AWS_SKEW_S && t.s <= now + SL_AWS_SKEW_S) || sl_refuse(why, a, 403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.");
}

static bool listed(sl_str list, sl_str name)
{
    sl_str one;
    while (list.n > 0 && sl_str_cut(&list, ';', &one))
        if (sl_str_ieq(one, name))
            return true;
    return false;
}

/* The headers that were signed; what x-amz-… says must be among them. */
static bool signed_headers(sl_arena *a, sl_server_request *req, const claim *k, const sl_val **ret, sl_refusal *why)
{
    sl_val *headers = sl_map(a);
    for (size_t i = 0; i < sl_val_count(req->headers); i++) {
        const sl_entry *e = &req->headers->map.entries[i];
        if (listed(k->signed_headers, e->key))
            sl_map_set(a, headers, e->key, e->value);
        else if (sl_str_starts(e->key, SL_S("x-amz-")))
            return sl_refuse(why, a, 403, "AccessDenied", "There were headers present in the request which were not signed: %.*s", SL_ARG(e->key));
    }
    *ret = headers;
    return sl_get(headers, "host") != NULL || sl_refuse(why, a, 403, "AccessDenied", "The header host must be signed.");
}

static sl_str without_signature(sl_arena *a, sl_str query)
{
    sl_buf b = sl_buf_new(a, query.n + 1);
    sl_str one;
    while (query.n > 0 && sl_str_cut(&query, '&', &one))
        if (!sl_str_starts(one, SL_S("X-Amz-Signature=")))
            sl_buf_fmt(&b, "%s%.*s", b.n ? "&" : "", SL_ARG(one));
    return sl_buf_str(&b);
}

static bool same(sl_str x, sl_str y)
{
    return x.n == y.n && CRYPTO_memcmp(x.p, y.p, x.n) == 0;
}

bool sl_aws_verify(sl_cloud *c, sl_server_request *req, sl_caller *ret, sl_refusal *why)
{
    sl_arena *a = req->arena;
    claim k = { 0 };
    bool presigned = sl_request_param(req, "X-Amz-Signature").n > 0, expired = false;
    sl_str secret, token, ignored;
    const sl_val *headers;
    *ret = (sl_caller){ 0 };
    if (sl_aws_is_v2(req) && strcmp(req->method, "POST") != 0) /* the other services are asked by POST */
        return sl_aws_verify_v2(c, req, ret, why);
    if (!presigned && sl_request_header(req, "authorization").n == 0)
        return sl_refuse(why, a, 403, "AccessDenied", "Access Denied: the request is not signed");
    if (!(presigned ? read_query(a, req, &k, why) : read_header(a, req, &k, why)) || !read_scope(a, &k, ret, why) || !in_time(a, &k, why))
        return false;
    if (!sl_aws_secret(c, a, ret->id, &secret, &token, &expired))
        return sl_refuse(why, a, 403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.");
    if (!same(token, k.token))
        return sl_refuse(why, a, 400, "InvalidToken", "The provided token is malformed or otherwise invalid.");
    if (expired)
        return sl_refuse(why, a, 400, "ExpiredToken", "The provided token has expired.");
    if (!signed_headers(a, req, &k, &headers, why))
        return false;
    bool s3 = sl_str_eqc(ret->scope.service, "s3");
    ret->payload = sl_request_header(req, "x-amz-content-sha256");
    if (ret->payload.n == 0 && s3 && !presigned)
        return sl_refuse(why, a, 400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256");
    if (ret->payload.n == 0)
        ret->payload = presigned ? SL_S(SL_SIGV4_UNSIGNED) : sl_sha256_hex(a, req->body);
    sl_sigv4_request r = { .method = sl_str_c(req->method), .path = req->path, .query = presigned ? without_signature(a, req->query) : req->query, .headers = headers, .payload = ret->payload, .s3 = s3 };
    sl_sigv4_key(secret, &ret->scope, ret->key);
    ret->signature = sl_sigv4_signature(a, ret->key, sl_sigv4_string_to_sign(a, &ret->scope, sl_sigv4_canonical(a, &r, &ignored)));
    return same(ret->signature, k.signature) || sl_refuse(why, a, 403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method.");
}
