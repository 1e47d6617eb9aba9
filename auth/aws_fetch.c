/* auth/aws_fetch.c: one renewal of AWS keys, one function per kind of credential. Sources: see aws.h. */
#include "auth/aws_cred.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/proc.h"
#include "base/time.h"
#include "base/xml.h"

enum { TOKEN_MAX = 64 << 10, PROCESS_MS = 60000 };

static bool take_keys(sl_str id, sl_str secret, sl_str token, sl_str expires, const char *who, sl_aws_keys *ret, sl_err *err)
{
    sl_time t;
    sl_redact_add(secret);
    sl_redact_add(token);
    if (id.n == 0 || secret.n == 0)
        return sl_err_set(err, SL_ERR_REMOTE, "aws.keys", "the answer of %s has no keys", who);
    *ret = (sl_aws_keys){ .id = id, .secret = secret, .token = token };
    if (expires.n == 0)
        return true;
    if (!sl_time_parse(expires, &t) || t.kind == SL_TIME_OF_DAY)
        return sl_err_set(err, SL_ERR_REMOTE, "aws.keys", "the answer of %s has a wrong expiration '%.*s'", who, SL_ARG(expires));
    ret->expires_s = t.s;
    return true;
}

/* {AccessKeyId, SecretAccessKey, Token | SessionToken, Expiration} */
static bool take_json(sl_arena *a, sl_str body, const char *token_name, const char *who, sl_aws_keys *ret, sl_err *err)
{
    const sl_val *doc = sl_json_parse(a, body, err);
    if (doc == NULL)
        return sl_err_ctx(err, "reading the answer of %s", who);
    return take_keys(sl_get_text(doc, "AccessKeyId"), sl_get_text(doc, "SecretAccessKey"), sl_get_text(doc, token_name), sl_get_text(doc, "Expiration"), who, ret, err);
}

/* ---- STS ---- */

static sl_str sts_region(const sl_aws_cred *c, sl_arena *a)
{
    sl_str region = c->region.n ? c->region : sl_aws_region(a);
    return region.n ? region : SL_S("us-east-1");
}

static sl_str sts_url(const sl_aws_cred *c, sl_arena *a)
{
    const char *own = c->sts_endpoint.n ? c->sts_endpoint.p : sl_aws_endpoint(a, "STS");
    sl_str region = sts_region(c, a);
    if (own != NULL)
        return sl_fmt(a, "%s%s", own, own[strlen(own) - 1] == '/' ? "" : "/");
    return sl_fmt(a, "https://sts.%.*s.amazonaws.com%s/", SL_ARG(region), sl_str_starts(region, SL_S("cn-")) ? ".cn" : "");
}

static bool sts_refused(const sl_aws_cred *c, sl_arena *a, const sl_http_response *r, sl_err *err)
{
    sl_err ignored;
    const sl_val *doc = sl_xml_parse(a, r->body, NULL, &ignored);
    sl_str code = sl_xml_text(doc, "Error/Code"), message = sl_xml_text(doc, "Error/Message");
    sl_err_set(err, r->status == 400 || r->status == 403 ? SL_ERR_AUTH : sl_http_status_kind(r->status), "aws.sts", "STS does not give keys for the role %.*s (HTTP %d %.*s): %.*s", SL_ARG(c->role_arn), r->status, SL_ARG(code),
               SL_ARG(message.n ? message : sl_str_sub(r->body, 0, 200)));
    err->status = r->status;
    sl_redact_err(err);
    return false;
}

/* RoleSessionName: 2 to 64 of [\w+=,.@-]. */
static sl_str session_name(const sl_aws_cred *c, sl_arena *a)
{
    return c->session_name.n ? c->session_name : sl_fmt(a, "sluice-%lld", (long long)sl_now_ms());
}

static bool sts(sl_http *http, sl_aws_cred *c, sl_arena *a, sl_val *form, const sl_http_auth *auth, const char *result, sl_aws_keys *ret, sl_err *err)
{
    sl_map_set_str(a, form, "Version", SL_S("2011-06-15"));
    sl_map_set_str(a, form, "RoleArn", c->role_arn);
    sl_map_set_str(a, form, "RoleSessionName", session_name(c, a));
    sl_map_set_int(a, form, "DurationSeconds", c->duration_s);
    sl_val *headers = sl_map(a);
    sl_map_set_str(a, headers, "Content-Type", SL_S("application/x-www-form-urlencoded; charset=utf-8"));
    sl_http_request req = { .method = "POST", .url = sts_url(c, a), .headers = headers, .body = sl_url_query(a, form), .auth = auth, .idempotent = true, .attempts_max = 4, .total_ms = 60000,
                            .body_max = SL_HTTP_ERROR_BODY_MAX, .pool = SL_S("aws-sts"), .ca_file = sl_aws_ca_file(a) };
    sl_http_response r;
    if (!sl_http_call(http, a, &req, &r, err))
        return sl_err_ctx(err, "asking STS for keys of the role %.*s", SL_ARG(c->role_arn));
    if (r.status != 200)
        return sts_refused(c, a, &r, err);
    const sl_val *doc = sl_xml_parse(a, r.body, NULL, err), *keys = sl_xml_get(doc, sl_fmt(a, "%s/Credentials", result).p);
    if (doc == NULL)
        return sl_err_ctx(err, "reading the answer of STS");
    return take_keys(sl_xml_text(keys, "AccessKeyId"), sl_xml_text(keys, "SecretAccessKey"), sl_xml_text(keys, "SessionToken"), sl_xml_text(keys, "Expiration"), "STS", ret, err);
}

static bool fetch_role(sl_http *http, sl_aws_cred *c, sl_arena *a, sl_aws_keys *ret, sl_err *err)
{
    sl_val *form = sl_map(a);
    sl_map_set_str(a, form, "Action", SL_S("AssumeRole"));
    sl_map_opt_str(a, form, "ExternalId", c->external_id);
    sl_aws_signer *signer = sl_aws_signer_new(a, c->source, sts_region(c, a), SL_S("sts"));
    return sts(http, c, a, form, &signer->auth, "AssumeRoleResult", ret, err);
}

/* The file is read anew each time: whoever writes it rotates the token. */
static bool fetch_web_identity(sl_http *http, sl_aws_cred *c, sl_arena *a, sl_aws_keys *ret, sl_err *err)
{
    sl_str token;
    sl_val *form = sl_map(a);
    if (!sl_fs_read(a, c->token_file.p, TOKEN_MAX, &token, err))
        return sl_err_ctx(err, "reading the web identity token");
    sl_redact_add(sl_str_trim(token));
    sl_map_set_str(a, form, "Action", SL_S("AssumeRoleWithWebIdentity"));
    sl_map_set_str(a, form, "WebIdentityToken", sl_str_trim(token));
    return sts(http, c, a, form, NULL, "AssumeRoleWithWebIdentityResult", ret, err);
}

/* ---- credential_process ---- */

typedef struct output {
    sl_buf out, errors;
} output;

static void on_line(void *self, bool is_stderr, sl_str line)
{
    output *o = self;
    sl_buf *b = is_stderr ? &o->errors : &o->out;
    sl_buf_add(b, line);
    sl_buf_char(b, '\n');
}

static bool fetch_process(sl_aws_cred *c, sl_arena *a, sl_aws_keys *ret, sl_err *err)
{
    extern char **environ;
    const char *argv[] = { "sh", "-c", c->command.p, NULL };
    output o = { sl_buf_new(a, TOKEN_MAX), sl_buf_new(a, TOKEN_MAX) };
    sl_proc p = { .argv = argv, .env = (const char *const *)environ, .cwd = "/", .pass_fd = -1, .timeout_ms = PROCESS_MS, .grace_ms = 1000, .self = &o, .on_line = on_line };
    sl_proc_result r;
    if (!sl_proc_run(&p, &r, err))
        return sl_err_ctx(err, "running the credential_process of the AWS profile");
    if (r.exit_code != 0) {
        sl_str said = sl_str_trim(sl_buf_str(&o.errors));
        return sl_err_set(err, SL_ERR_AUTH, "aws.process", "the credential_process of the AWS profile ended with %d: %.*s", r.exit_code, (int)(said.n < 300 ? said.n : 300), said.p);
    }
    const sl_val *doc = sl_json_parse(a, sl_buf_str(&o.out), err);
    if (doc == NULL)
        return sl_err_set(err, SL_ERR_AUTH, "aws.process", "what the credential_process of the AWS profile printed is not JSON");
    if (sl_get_int(doc, "Version", 0) != 1)
        return sl_err_set(err, SL_ERR_AUTH, "aws.process", "what the credential_process of the AWS profile printed has no \"Version\": 1");
    return take_keys(sl_get_text(doc, "AccessKeyId"), sl_get_text(doc, "SecretAccessKey"), sl_get_text(doc, "SessionToken"), sl_get_text(doc, "Expiration"), "the credential_process", ret, err);
}

/* ---- HTTP ---- */

static bool get(sl_http *http, sl_arena *a, const char *method, sl_str url, const sl_val *headers, int64_t ms, sl_http_response *r, sl_err *err)
{
    sl_http_request req = { .method = method, .url = url, .headers = headers, .attempts_max = 3, .connect_ms = ms, .idle_ms = ms, .total_ms = ms * 4, .body_max = SL_HTTP_ERROR_BODY_MAX, .link_local = true, .no_proxy = true,
                            .pool = SL_S("aws-metadata") };
    return sl_http_call(http, a, &req, r, err);
}

static bool answered(const sl_http_response *r, const char *who, sl_err *err)
{
    if (r->status == 200)
        return true;
    sl_err_set(err, SL_ERR_AUTH, "aws.metadata", "%s answered %d instead of giving keys", who, r->status);
    err->status = r->status;
    return false;
}

static bool fetch_container(sl_http *http, sl_aws_cred *c, sl_arena *a, sl_aws_keys *ret, sl_err *err)
{
    sl_val *headers = sl_map(a);
    sl_str token = c->auth_token;
    sl_http_response r;
    if (c->auth_file.n > 0 && !sl_fs_read(a, c->auth_file.p, TOKEN_MAX, &token, err))
        return sl_err_ctx(err, "reading AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    token = sl_str_trim(token);
    sl_redact_add(token);
    if (memchr(token.p ? token.p : "", '\n', token.n) != NULL || memchr(token.p ? token.p : "", '\r', token.n) != NULL)
        return sl_err_set(err, SL_ERR_AUTH, "aws.container", "the container authorization token has a line break");
    if (token.n > 0)
        sl_map_set_str(a, headers, "Authorization", token);
    if (!get(http, a, "GET", c->url, headers, 2000, &r, err))
        return sl_err_ctx(err, "asking the container's credential service");
    return answered(&r, "the container's credential service", err) && take_json(a, r.body, "Token", "the container's credential service", ret, err);
}

static sl_str imds_url(sl_arena *a, const char *path)
{
    const char *own = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"), *mode = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    sl_str base = own && *own ? sl_str_c(own) : mode && sl_str_ieq(sl_str_c(mode), SL_S("IPv6")) ? SL_S("http://[fd00:ec2::254]") : SL_S("http://169.254.169.254");
    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    return sl_fmt(a, "%.*s/latest/%s", SL_ARG(base), path);
}

/* A token first; version 1 only where version 2 does not exist and is not forbidden to be left out. */
static bool imds_token(sl_http *http, sl_arena *a, sl_val *headers, sl_err *err)
{
    sl_val *ttl = sl_map_of(a, "x-aws-ec2-metadata-token-ttl-seconds", sl_val_str(a, SL_S("21600")));
    const char *only2 = getenv("AWS_EC2_METADATA_V1_DISABLED");
    sl_http_response r;
    if (!get(http, a, "PUT", imds_url(a, "api/token"), ttl, 1000, &r, err))
        return sl_err_set(err, SL_ERR_AUTH, "aws.none", "no AWS credentials were found: nothing is configured, and there is no instance metadata service (this is no EC2 machine); set 'accessKeyId' and 'secretKeyId', "
                                                        "or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; `sluice auth explain aws` shows where was looked");
    if (r.status == 200) {
        sl_redact_add(sl_str_trim(r.body));
        sl_map_set_str(a, headers, "x-aws-ec2-metadata-token", sl_str_trim(r.body));
        return true;
    }
    bool absent = r.status == 403 || r.status == 404 || r.status == 405;
    if (absent && !(only2 != NULL && sl_str_ieq(sl_str_c(only2), SL_S("true"))))
        return true;
    return answered(&r, "the instance metadata service", err);
}

static bool fetch_instance(sl_http *http, sl_arena *a, sl_aws_keys *ret, sl_err *err)
{
    sl_val *headers = sl_map(a);
    sl_http_response r;
    if (!imds_token(http, a, headers, err) || !get(http, a, "GET", imds_url(a, "meta-data/iam/security-credentials/"), headers, 1000, &r, err) || !answered(&r, "the instance metadata service", err))
        return false;
    sl_str role, rest = sl_str_trim(r.body);
    (void)sl_str_cut(&rest, '\n', &role);
    sl_str path = sl_fmt(a, "meta-data/iam/security-credentials/%.*s", SL_ARG(sl_percent(a, sl_str_trim(role), NULL)));
    return get(http, a, "GET", imds_url(a, path.p), headers, 1000, &r, err) && answered(&r, "the instance metadata service", err) && take_json(a, r.body, "Token", "the instance metadata service", ret, err);
}

/* The token that `aws sso login` has cached, by the SHA-1 of the session's name or the start URL. */
static bool sso_token(const sl_aws_cred *c, sl_arena *a, sl_str *ret, sl_err *err)
{
    sl_str key = c->sso_session.n ? c->sso_session : c->sso_start, text;
    const char *home = getenv("HOME");
    sl_str path = sl_fmt(a, "%s/.aws/sso/cache/%.*s.json", home ? home : "", SL_ARG(sl_hex(a, sl_digest(a, "SHA1", key))));
    sl_time expires;
    sl_err ignored;
    const sl_val *doc = sl_fs_read(a, path.p, TOKEN_MAX, &text, &ignored) ? sl_json_parse(a, text, &ignored) : NULL;
    *ret = sl_get_text(doc, "accessToken");
    sl_redact_add(*ret);
    bool valid = ret->n > 0 && sl_time_parse(sl_get_text(doc, "expiresAt"), &expires) && expires.s > sl_now_ms() / 1000;
    return valid || sl_err_set(err, SL_ERR_AUTH, "aws.sso", "there is no valid SSO login for '%.*s'; run `aws sso login`", SL_ARG(key));
}

static bool fetch_sso(sl_http *http, sl_aws_cred *c, sl_arena *a, sl_aws_keys *ret, sl_err *err)
{
    sl_str token;
    sl_http_response r;
    const char *own = sl_aws_endpoint(a, "SSO");
    if (!sso_token(c, a, &token, err))
        return false;
    sl_str base = own ? sl_str_c(own) : sl_fmt(a, "https://portal.sso.%.*s.amazonaws.com", SL_ARG(c->sso_region));
    sl_str url = sl_fmt(a, "%.*s/federation/credentials?role_name=%.*s&account_id=%.*s", SL_ARG(base), SL_ARG(sl_percent(a, c->sso_role, NULL)), SL_ARG(sl_percent(a, c->sso_account, NULL)));
    sl_val *headers = sl_map_of(a, "x-amz-sso_bearer_token", sl_val_str(a, token));
    sl_http_request req = { .url = url, .headers = headers, .attempts_max = 4, .total_ms = 60000, .body_max = SL_HTTP_ERROR_BODY_MAX, .pool = SL_S("aws-sso"), .ca_file = sl_aws_ca_file(a) };
    if (!sl_http_call(http, a, &req, &r, err) || !answered(&r, "SSO", err))
        return sl_err_ctx(err, "asking for keys of %.*s", SL_ARG(c->name));
    const sl_val *doc = sl_json_parse(a, r.body, err), *keys = sl_get(doc, "roleCredentials");
    if (doc == NULL)
        return sl_err_ctx(err, "reading the answer of SSO");
    if (!take_keys(sl_get_text(keys, "accessKeyId"), sl_get_text(keys, "secretAccessKey"), sl_get_text(keys, "sessionToken"), SL_S(""), "SSO", ret, err))
        return false;
    ret->expires_s = sl_get_int(keys, "expiration", 0) / 1000;
    return true;
}

bool sl_aws_fetch(sl_http *http, sl_aws_cred *c, sl_arena *a, sl_aws_keys *ret, sl_err *err)
{
    switch (c->kind) {
    case SL_A_ROLE: return fetch_role(http, c, a, ret, err);
    case SL_A_WEB_IDENTITY: return fetch_web_identity(http, c, a, ret, err);
    case SL_A_PROCESS: return fetch_process(c, a, ret, err);
    case SL_A_SSO: return fetch_sso(http, c, a, ret, err);
    case SL_A_CONTAINER: return fetch_container(http, c, a, ret, err);
    case SL_A_INSTANCE: return fetch_instance(http, a, ret, err);
    case SL_A_STATIC: break;
    }
    return sl_err_set(err, SL_ERR_BUG, "aws.kind", "static keys are not fetched");
}
