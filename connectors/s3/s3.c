/* connectors/s3/s3.c: addressing, signed calls, errors. See s3.h. */
#include "connectors/s3/s3.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/xml.h"
#include "connectors/connectors.h"

enum { TRIES_MAX = 8, CUSTOMER_KEY = 32 };

#define CUSTOMER "x-amz-server-side-encryption-customer-"

/* Lower case, digits and dashes: what can be a part of a host name (and of a certificate). */
static bool host_like(sl_str bucket)
{
    for (size_t i = 0; i < bucket.n; i++)
        if (!(bucket.p[i] >= 'a' && bucket.p[i] <= 'z') && !(bucket.p[i] >= '0' && bucket.p[i] <= '9') && bucket.p[i] != '-')
            return false;
    return bucket.n >= 3 && bucket.n <= 63;
}

static sl_str host_of(sl_str base)
{
    sl_url u;
    sl_err ignored;
    return sl_url_parse(base, &u, &ignored) ? u.host : SL_S("");
}

/* An address, or localhost: a bucket cannot stand before it. */
static bool plain_host(sl_str host)
{
    bool digits = true;
    for (size_t i = 0; i < host.n; i++)
        digits &= strchr("0123456789.:[]", host.p[i]) != NULL;
    return digits || sl_str_eqc(host, "localhost");
}

bool sl_s3_open(sl_s3 *s, sl_task *t, const sl_aws_cfg *cfg, sl_str bucket, sl_err *err)
{
    *s = (sl_s3){ .bucket = bucket };
    if (bucket.n == 0 || memchr(bucket.p, '/', bucket.n) != NULL)
        return sl_err_set(err, SL_ERR_CONFIG, "s3.bucket", "'bucket' must be the name of a bucket, not '%.*s'", SL_ARG(bucket));
    if (!sl_aws_open(&s->aws, t, "s3", "S3", cfg, err))
        return false;
    s->path_style = cfg->path_style || !host_like(bucket) || (s->aws.base.n > 0 && plain_host(host_of(s->aws.base)));
    return true;
}

bool sl_s3_unsigned(const sl_s3 *s)
{
    sl_str host = host_of(s->aws.base);
    return s->aws.base.n == 0 || sl_str_starts(s->aws.base, SL_S("https://")) || sl_str_starts(host, SL_S("127.")) || sl_str_eqc(host, "localhost") || sl_str_eqc(host, "[::1]") || sl_str_eqc(host, "::1");
}

/* https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html */
bool sl_s3_use_key(sl_s3 *s, sl_str key, sl_err *err)
{
    sl_arena *a = s->aws.arena;
    sl_str raw;
    if (key.n == 0)
        return true;
    if (!sl_base64_decode(a, key, &raw) || raw.n != CUSTOMER_KEY)
        return sl_err_set(err, SL_ERR_CONFIG, "s3.key", "'sseCustomerKey' must be 32 bytes in base64, as `openssl rand -base64 32` makes them");
    if (!sl_s3_unsigned(s))
        return sl_err_set(err, SL_ERR_CONFIG, "s3.key", "'sseCustomerKey' is not sent to %.*s: that needs https://", SL_ARG(s->aws.base));
    sl_hash *md5 = sl_hash_new(a, "MD5");
    sl_hash_add(md5, raw.p, raw.n);
    sl_val *h = sl_map_of(a, CUSTOMER "algorithm", sl_val_c(a, "AES256"));
    sl_map_set_str(a, h, CUSTOMER "key", key);
    sl_map_set_str(a, h, CUSTOMER "key-md5", sl_base64(a, sl_hash_end(md5, a)));
    s->customer = h;
    return true;
}

bool sl_s3_plain(const sl_s3 *s)
{
    return sl_aws_learnt(sl_task_aws(s->aws.task), "no checksums", s->aws.base);
}

void sl_s3_set_plain(sl_s3 *s)
{
    sl_aws_learn(sl_task_aws(s->aws.task), "no checksums", s->aws.base);
}

bool sl_s3_no_trailers(const sl_s3 *s)
{
    return sl_aws_learnt(sl_task_aws(s->aws.task), "no trailers", s->aws.base);
}

void sl_s3_set_no_trailers(sl_s3 *s)
{
    sl_aws_learn(sl_task_aws(s->aws.task), "no trailers", s->aws.base);
}

sl_str sl_s3_text(const sl_s3 *s, sl_arena *arena, sl_str key)
{
    return sl_fmt(arena, "s3://%.*s/%.*s", SL_ARG(s->bucket), SL_ARG(key));
}

const char *sl_s3_doing(const sl_s3 *s, sl_arena *arena, const char *what, sl_str key)
{
    return sl_fmt(arena, "%s s3://%.*s/%.*s", what, SL_ARG(s->bucket), SL_ARG(key)).p;
}

static sl_str url_of(const sl_s3 *s, sl_arena *a, const sl_s3_request *r, sl_str region)
{
    sl_str key = sl_percent(a, r->key, "/"), authority;
    const char *scheme = "https";
    if (s->aws.base.n > 0) {
        ptrdiff_t at = sl_str_find(s->aws.base, SL_S("://"));
        scheme = sl_cstr(a, sl_str_sub(s->aws.base, 0, (size_t)at));
        authority = sl_str_sub(s->aws.base, (size_t)at + 3, s->aws.base.n);
    } else
        authority = sl_fmt(a, "s3.%.*s.%s", SL_ARG(region), sl_aws_domain(region));
    sl_str place = s->path_style ? sl_fmt(a, "%.*s/%.*s", SL_ARG(authority), SL_ARG(sl_percent(a, s->bucket, NULL))) : sl_fmt(a, "%.*s.%.*s", SL_ARG(s->bucket), SL_ARG(authority));
    return sl_fmt(a, "%s://%.*s%s%.*s%s%.*s", scheme, SL_ARG(place), s->path_style && r->key.n == 0 ? "" : "/", SL_ARG(key), r->query.n ? "?" : "", SL_ARG(r->query));
}

const char *sl_s3_checksum_header(sl_algorithm a)
{
    static const char *const headers[] = {
        [SL_SUM_CRC32C] = "x-amz-checksum-crc32c", [SL_SUM_CRC32] = "x-amz-checksum-crc32", [SL_SUM_CRC64NVME] = "x-amz-checksum-crc64nvme", [SL_SUM_SHA1] = "x-amz-checksum-sha1",
        [SL_SUM_SHA256] = "x-amz-checksum-sha256", [SL_SUM_MD5] = "content-md5",
    };
    return headers[a];
}

/* ---- answers ---- */

static const sl_val *error_of(sl_arena *a, const sl_http_response *r)
{
    sl_err ignored;
    sl_str root;
    const sl_val *doc = r->body.n > 0 ? sl_xml_parse(a, r->body, &root, &ignored) : NULL;
    return doc != NULL && sl_str_eqc(root, "Error") ? doc : NULL;
}

sl_str sl_s3_code(sl_arena *a, const sl_http_response *r)
{
    return sl_xml_text(error_of(a, r), "Code");
}

static sl_err_kind kind_of(int status, sl_str code)
{
    static const struct {
        const char *code;
        sl_err_kind kind;
    } codes[] = { { "SlowDown", SL_ERR_THROTTLED },     { "InternalError", SL_ERR_TRANSIENT },       { "ServiceUnavailable", SL_ERR_TRANSIENT }, { "RequestTimeout", SL_ERR_TRANSIENT },
                  { "BadDigest", SL_ERR_TRANSIENT },    { "OperationAborted", SL_ERR_TRANSIENT },    { "ConditionalRequestConflict", SL_ERR_TRANSIENT }, { "NoSuchKey", SL_ERR_NOT_FOUND },
                  { "NoSuchBucket", SL_ERR_NOT_FOUND }, { "NoSuchUpload", SL_ERR_NOT_FOUND },        { "InvalidAccessKeyId", SL_ERR_AUTH },      { "SignatureDoesNotMatch", SL_ERR_AUTH },
                  { "ExpiredToken", SL_ERR_AUTH },      { "InvalidToken", SL_ERR_AUTH } };
    for (size_t i = 0; i < SL_COUNT(codes); i++)
        if (sl_str_eqc(code, codes[i].code))
            return codes[i].kind;
    return status == 200 ? SL_ERR_REMOTE : sl_http_status_kind(status);
}

bool sl_s3_error(sl_s3 *s, sl_arena *a, const sl_http_response *r, const char *doing, sl_err *err)
{
    const sl_val *e = error_of(a, r);
    sl_str code = sl_xml_text(e, "Code"), message = sl_xml_text(e, "Message");
    const char *advice = "";
    if (message.n == 0 && r->body.n > 0 && e == NULL)
        message = sl_str_trim(sl_str_sub(r->body, 0, 300));
    if (sl_str_eqc(code, "SignatureDoesNotMatch"))
        advice = "; is 'secretKeyId' the secret of this access key?";
    else if (sl_str_eqc(code, "InvalidAccessKeyId"))
        advice = "; the access key does not exist (any more)";
    else if (r->status == 400 && r->body.n == 0 && s->customer == NULL) /* a HEAD: there is nothing else to go by */
        advice = "; is it encrypted with a key of its own? Then 'sseCustomerKey' is needed";
    else if (r->status == 403 && s->customer != NULL)
        advice = sl_fmt(a, "; is 'sseCustomerKey' the key of this object, and has %.*s the permission?", SL_ARG(sl_aws_identity(s->aws.cred))).p;
    else if (r->status == 403)
        advice = sl_fmt(a, "; %.*s lacks the permission", SL_ARG(sl_aws_identity(s->aws.cred))).p;
    sl_err_set(err, kind_of(r->status, code), sl_fmt(a, "s3.%d", r->status).p, "%s: S3 answered %d%s%.*s%s%s%.*s%s", doing, r->status, code.n ? " (" : "", SL_ARG(code), code.n ? ")" : "", message.n ? ": " : "",
               SL_ARG(message), advice);
    err->status = r->status;
    err->retry_after_ms = sl_http_retry_after(r);
    sl_redact_err(err);
    return false;
}

/* ---- calls ---- */

/* What an answer says about the region that the bucket is in; "" when it says nothing new. */
static sl_str other_region(sl_arena *a, const sl_http_response *r, sl_str code, sl_str now)
{
    sl_str region = sl_http_header(r, "x-amz-bucket-region");
    if (sl_str_eqc(code, "AuthorizationHeaderMalformed") || sl_str_eqc(code, "PermanentRedirect") || sl_str_eqc(code, "IncorrectEndpoint"))
        region = region.n ? region : sl_xml_text(error_of(a, r), "Region");
    else if (r->status != 301 && r->status != 307)
        return SL_S("");
    return region.n > 0 && !sl_str_eq(region, now) ? sl_str_dup(a, region) : SL_S("");
}

static bool once(sl_s3 *s, sl_arena *a, const sl_s3_request *r, sl_str region, bool refresh, sl_http_response *ret, sl_err *err)
{
    sl_val *headers = sl_map_shallow(a, r->headers);
    sl_aws_signer *signer = sl_aws_signer_new(a, s->aws.cred, region, SL_S("s3"));
    sl_aws_keys keys;
    for (size_t i = 0; i < sl_val_count(s->customer) && r->key.n > 0 && strcmp(r->method, "DELETE") != 0; i++)
        sl_map_set(a, headers, s->customer->map.entries[i].key, s->customer->map.entries[i].value);
    if (refresh && !sl_aws_get_keys(s->aws.cred, a, true, &keys, err))
        return false;
    if (r->open_body != NULL)
        sl_map_set_str(a, headers, "x-amz-content-sha256", r->body_sha256.n ? r->body_sha256 : SL_S("UNSIGNED-PAYLOAD"));
    sl_http_request req = {
        .method = r->method, .url = url_of(s, a, r, region), .headers = headers, .body = r->body, .open_body = r->open_body, .body_self = r->body_self, .body_size = r->body_size, .sink = r->sink,
        .body_max = r->sink ? SL_HTTP_ERROR_BODY_MAX : 0, .auth = &signer->auth, .pool = s->aws.pool, .idempotent = r->idempotent, .attempts_max = 1, .idle_ms = r->idle_ms, .keep_encoding = true, .ca_file = s->aws.ca_file,
    };
    sl_task_prepare(s->aws.task, &req);
    return sl_http_call(sl_task_http(s->aws.task), a, &req, ret, err);
}

static bool again(const sl_s3_request *r, bool ok, const sl_http_response *ret, sl_str code, const sl_err *err)
{
    bool repeatable = r->idempotent || strcmp(r->method, "POST") != 0;
    if (!ok)
        return (repeatable || strcmp(err->code, "http.connect") == 0) && sl_err_retryable(err) && !(r->sink != NULL && ret->body_size > 0);
    sl_err_kind kind = kind_of(ret->status, code);
    return repeatable && (kind == SL_ERR_TRANSIENT || kind == SL_ERR_THROTTLED);
}

/* The bucket's region, once an answer has told it, is for all further calls. */
static void move_to(sl_s3 *s, sl_str region)
{
    int expected = 0;
    if (region.n < sizeof s->moved_to && atomic_compare_exchange_strong(&s->moved, &expected, 1)) {
        memcpy(s->moved_to, region.p, region.n);
        s->moved = 2;
    }
}

bool sl_s3_send(sl_s3 *s, sl_arena *a, const sl_s3_request *r, sl_http_response *ret, sl_err *err)
{
    sl_str region = s->moved == 2 ? sl_str_c(s->moved_to) : s->aws.region;
    bool refresh = false, clock_tried = false;
    for (int n = 0;; n++) {
        *ret = (sl_http_response){ 0 };
        sl_err_clear(err);
        bool ok = once(s, a, r, region, refresh, ret, err), fine = ok && ret->status / 100 == 2;
        ret->attempts = n + 1;
        sl_str code = ok && (!fine || r->xml_result) ? sl_s3_code(a, ret) : SL_S("");
        if (fine && code.n == 0)
            return true;
        sl_str elsewhere = ok ? other_region(a, ret, code, region) : SL_S("");
        bool wrong_clock = (sl_str_eqc(code, "RequestTimeTooSkewed") || sl_str_eqc(code, "RequestExpired")) && !clock_tried && sl_aws_set_clock(s->aws.cred, sl_http_header(ret, "date"));
        bool expired = sl_str_eqc(code, "ExpiredToken") && !refresh;
        if (n + 1 < TRIES_MAX && (elsewhere.n > 0 || wrong_clock || expired)) {
            region = elsewhere.n ? elsewhere : region;
            if (elsewhere.n > 0)
                move_to(s, elsewhere);
            clock_tried |= wrong_clock;
            refresh = expired;
            continue;
        }
        s->slow += sl_str_eqc(code, "SlowDown");
        if (n + 1 == TRIES_MAX || !again(r, ok, ret, code, err))
            return ok;
        refresh = false;
        int64_t wait = ok ? sl_http_retry_after(ret) : -1;
        sl_http_request stop = { 0 };
        sl_task_prepare(s->aws.task, &stop);
        if (!sl_http_sleep(&stop, wait >= 0 ? wait : sl_http_backoff_ms(n, 200, 20000)))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while waiting for S3");
    }
}

bool sl_s3_call(sl_s3 *s, sl_arena *a, const sl_s3_request *r, const char *doing, sl_http_response *ret, sl_err *err)
{
    if (!sl_s3_send(s, a, r, ret, err))
        return sl_err_ctx(err, "%s", doing);
    return (ret->status / 100 == 2 && (!r->xml_result || error_of(a, ret) == NULL)) || sl_s3_error(s, a, ret, doing, err);
}

bool sl_s3_delete(sl_s3 *s, sl_arena *a, sl_str key, sl_http_response *ret, sl_err *err)
{
    sl_s3_request r = { .method = "DELETE", .key = key };
    if (!sl_s3_send(s, a, &r, ret, err))
        return false;
    return ret->status / 100 == 2 || sl_str_eqc(sl_s3_code(a, ret), "NoSuchKey") || sl_s3_error(s, a, ret, sl_s3_doing(s, a, "deleting", key), err);
}

static const sl_task_type *const tasks[] = { &sl_s3_upload_task, &sl_s3_download_task, &sl_s3_downloads_task, &sl_s3_list_task, &sl_s3_delete_task, &sl_s3_delete_list_task, &sl_s3_copy_task, &sl_s3_create_bucket_task, &sl_s3_abort_task, NULL };
static const sl_task_type *const triggers[] = { &sl_s3_trigger, NULL };
const sl_connector sl_connector_s3 = { .name = "s3", .tasks = tasks, .triggers = triggers };
