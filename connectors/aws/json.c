/* connectors/aws/json.c: see json.h. */
#include "connectors/aws/json.h"

#include <zlib.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/secret.h"

enum { TRIES_MAX = 10, BACKOFF_MS = 50, BACKOFF_CAP_MS = 20000 };

/* com.amazonaws.dynamodb.v20120810#ResourceNotFoundException, or with ':' behind it. */
static sl_str exception_of(const sl_http_response *r, const sl_val *doc)
{
    sl_str type = sl_get_text(doc, "__type");
    if (type.n == 0)
        type = sl_http_header(r, "x-amzn-errortype");
    ptrdiff_t hash = sl_str_rfind(type, SL_S("#")), colon;
    type = sl_str_sub(type, (size_t)(hash + 1), type.n);
    colon = sl_str_find(type, SL_S(":"));
    return colon >= 0 ? sl_str_sub(type, 0, (size_t)colon) : type;
}

static sl_err_kind kind_of(int status, sl_str exception)
{
    static const struct {
        const char *name;
        sl_err_kind kind;
    } known[] = { { "ProvisionedThroughputExceededException", SL_ERR_THROTTLED }, { "ThrottlingException", SL_ERR_THROTTLED },   { "RequestLimitExceeded", SL_ERR_THROTTLED },
                  { "LimitExceededException", SL_ERR_THROTTLED },                 { "ActiveStatementsExceededException", SL_ERR_THROTTLED }, { "TransactionInProgressException", SL_ERR_TRANSIENT },
                  { "InternalServerError", SL_ERR_TRANSIENT },                    { "InternalServerException", SL_ERR_TRANSIENT }, { "ReplicatedWriteConflictException", SL_ERR_TRANSIENT },
                  { "ResourceNotFoundException", SL_ERR_NOT_FOUND },              { "ResourceInUseException", SL_ERR_CONFLICT }, { "ConditionalCheckFailedException", SL_ERR_CONFLICT },
                  { "UnrecognizedClientException", SL_ERR_AUTH },                 { "InvalidSignatureException", SL_ERR_AUTH }, { "AccessDeniedException", SL_ERR_AUTH },
                  { "ExpiredTokenException", SL_ERR_AUTH },                       { "MissingAuthenticationTokenException", SL_ERR_AUTH } };
    for (size_t i = 0; i < SL_COUNT(known); i++)
        if (sl_str_eqc(exception, known[i].name))
            return known[i].kind;
    return status == 400 ? SL_ERR_REMOTE : sl_http_status_kind(status);
}

static bool refused(const sl_aws_api *api, sl_arena *a, const sl_http_response *r, const sl_val *doc, const char *doing, sl_err *err)
{
    sl_str exception = exception_of(r, doc), message = sl_get_text(doc, "message");
    if (message.n == 0)
        message = sl_get_text(doc, "Message");
    if (message.n == 0 && doc == NULL)
        message = sl_str_trim(sl_str_sub(r->body, 0, 300));
    sl_err_set(err, kind_of(r->status, exception), sl_fmt(a, "%s.%.*s", api->name, SL_ARG(exception)).p, "%s: %s answered %d%s%.*s%s%s%.*s", doing, api->name, r->status, exception.n ? " (" : "", SL_ARG(exception),
               exception.n ? ")" : "", message.n ? ": " : "", SL_ARG(message));
    err->status = r->status;
    sl_redact_err(err);
    return false;
}

bool sl_aws_is(const sl_aws_api *api, const sl_err *err, const char *exception)
{
    size_t n = strlen(api->name);
    return strncmp(err->code, api->name, n) == 0 && err->code[n] == '.' && strcmp(err->code + n + 1, exception) == 0;
}

static bool once(sl_aws_api *api, sl_arena *a, const char *operation, sl_str body, bool refresh, sl_http_response *ret, sl_err *err)
{
    sl_val *headers = sl_map_of(a, "content-type", sl_val_str(a, sl_fmt(a, "application/x-amz-json-%s", api->version)));
    sl_aws_signer *signer = sl_aws_signer_new(a, api->aws.cred, api->aws.region, sl_str_c(api->aws.service));
    sl_aws_keys keys;
    sl_str base = sl_aws_base(&api->aws, a);
    int64_t crc;
    if (refresh && !sl_aws_get_keys(api->aws.cred, a, true, &keys, err))
        return false;
    sl_map_set_str(a, headers, "x-amz-target", sl_fmt(a, "%s.%s", api->target, operation));
    sl_http_request req = { .method = "POST", .url = sl_fmt(a, "%.*s/", SL_ARG(base)), .headers = headers, .body = body, .auth = &signer->auth, .pool = api->aws.pool, .attempts_max = 1, .keep_encoding = true,
                            .ca_file = api->aws.ca_file };
    sl_task_prepare(api->aws.task, &req);
    if (!sl_http_call(sl_task_http(api->aws.task), a, &req, ret, err))
        return false;
    sl_str sent = sl_http_header(ret, "x-amz-crc32");
    if (api->crc32 && sl_parse_int(sent, &crc) && (uLong)crc != crc32_z(0, (const Bytef *)ret->body.p, ret->body.n))
        return sl_err_set(err, SL_ERR_TRANSIENT, "aws.crc32", "the answer of %s was damaged on its way", api->name);
    return true;
}

bool sl_aws_json(sl_aws_api *api, sl_arena *a, const char *operation, const sl_val *body, const char *doing, const sl_val **ret, sl_err *err)
{
    sl_str text = sl_json(a, body);
    bool refresh = false, refreshed = false, clock_set = false;
    for (int n = 0;; n++) {
        sl_http_response r = { 0 };
        sl_err ignored;
        sl_err_clear(err);
        bool ok = once(api, a, operation, text, refresh, &r, err);
        const sl_val *doc = ok ? sl_json_parse(a, r.body, r.status == 200 ? err : &ignored) : NULL;
        *ret = doc;
        if (ok && r.status == 200)
            return doc != NULL || sl_err_ctx(err, "%s: the answer of %s", doing, api->name);
        if (ok)
            refused(api, a, &r, doc, doing, err);
        else
            sl_err_ctx(err, "%s", doing);
        bool skewed = ok && !clock_set && (sl_aws_is(api, err, "InvalidSignatureException") || sl_aws_is(api, err, "RequestExpired")) && sl_aws_set_clock(api->aws.cred, sl_http_header(&r, "date"));
        bool expired = ok && !refreshed && sl_aws_is(api, err, "ExpiredTokenException");
        clock_set |= skewed;
        refreshed |= expired;
        refresh = expired;
        if (skewed || expired)
            continue;
        if (n + 1 == TRIES_MAX || !sl_err_retryable(err))
            return false;
        sl_http_request stop = { 0 };
        sl_task_prepare(api->aws.task, &stop);
        if (!sl_http_sleep(&stop, sl_http_backoff_ms(n, BACKOFF_MS, BACKOFF_CAP_MS)))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while waiting for %s", api->name);
    }
}
