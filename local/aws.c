/* local/aws.c: the AWS face: its port, the access key, temporary keys (STS), and which service a request is for. See aws.h. */
#include "local/aws.h"
#include "local/dynamo.h"
#include "local/redshift.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "base/xml.h"

enum { SESSION_MIN_S = 900, SESSION_MAX_S = 43200 };

#define STS_NAMESPACE " xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\""

/* ---- keys ---- */

static sl_str random_text(sl_arena *a, size_t n, const char *alphabet)
{
    size_t letters = strlen(alphabet);
    char *text = sl_alloc(a, n + 1);
    for (size_t i = 0; i < n; i++) {
        uint8_t byte;
        do
            sl_random(&byte, 1);
        while (byte >= 256 - 256 % letters);
        text[i] = alphabet[byte % letters];
    }
    return (sl_str){ text, n };
}

static sl_str new_id(sl_arena *a, const char *prefix)
{
    return sl_fmt(a, "%s%.*s", prefix, SL_ARG(random_text(a, 16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")));
}

static sl_str new_secret(sl_arena *a)
{
    return random_text(a, 40, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
}

/* DIR/aws-key.json, made at the first start. */
static bool load_key(sl_cloud *c, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_str path = sl_fmt(a, "%s/aws-key.json", c->dir), text;
    if (!sl_fs_exists(path.p)) {
        sl_val *doc = sl_map_of(a, "accessKeyId", sl_val_str(a, new_id(a, "AKIA")));
        sl_map_set_str(a, doc, "secretAccessKey", new_secret(a));
        if (!sl_fs_write_atomic(path.p, sl_json_pretty(a, doc), 0600, err))
            return false;
    }
    const sl_val *doc = sl_fs_read(a, path.p, 4096, &text, err) ? sl_json_parse(a, text, err) : NULL;
    if (doc == NULL)
        return sl_err_ctx(err, "reading %s", path.p);
    c->aws_key_id = sl_str_dup(c->arena, sl_get_text(doc, "accessKeyId"));
    c->aws_secret = sl_secret_new(sl_get_text(doc, "secretAccessKey"));
    sl_redact_add(sl_get_text(doc, "secretAccessKey"));
    return true;
}

bool sl_aws_secret(sl_cloud *c, sl_arena *a, sl_str id, sl_str *ret_secret, sl_str *ret_token, bool *expired)
{
    sl_err err;
    *expired = false;
    *ret_token = SL_S("");
    if (sl_str_eq(id, c->aws_key_id)) {
        *ret_secret = sl_secret_reveal(c->aws_secret);
        return true;
    }
    sl_db_lock(c->db);
    sl_stmt *s = sl_db_query(c->db, &err, "SELECT secret, token, expires_ms FROM aws_sessions WHERE id=?", "s", id);
    bool found = s != NULL && sl_stmt_next(s, &err) == 1;
    if (found) {
        *ret_secret = sl_col_str(s, a, 0);
        *ret_token = sl_col_str(s, a, 1);
        *expired = sl_col_int(s, 2) <= sl_now_ms();
        sl_stmt_done(s);
    }
    sl_db_unlock(c->db);
    return found;
}

/* ---- STS ---- */

static void sts_refuse(sl_server_request *req, sl_server_response *resp, const sl_refusal *why)
{
    resp->status = why->status;
    resp->content_type = "text/xml";
    resp->body = sl_fmt(req->arena, "<ErrorResponse" STS_NAMESPACE "><Error><Type>Sender</Type><Code>%s</Code><Message>%.*s</Message></Error></ErrorResponse>", why->code, SL_ARG(sl_xml_escape(req->arena, why->message)));
}

static bool assume(sl_cloud *c, sl_server_request *req, const sl_val *form, sl_str *ret, sl_refusal *why)
{
    sl_err err;
    sl_arena *a = req->arena;
    sl_str role = sl_get_text(form, "RoleArn"), session = sl_get_text(form, "RoleSessionName");
    int64_t seconds = 3600;
    if (!sl_str_starts(role, SL_S("arn:")) || session.n < 2)
        return sl_refuse(why, a, 400, "ValidationError", "RoleArn must be the ARN of a role, and RoleSessionName must have at least 2 characters");
    if (sl_get_text(form, "DurationSeconds").n > 0 && (!sl_parse_int(sl_get_text(form, "DurationSeconds"), &seconds) || seconds < SESSION_MIN_S || seconds > SESSION_MAX_S))
        return sl_refuse(why, a, 400, "ValidationError", "DurationSeconds must be from 900 to 43200");
    sl_str id = new_id(a, "ASIA"), secret = new_secret(a), token = random_text(a, 100, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
    int64_t expires = sl_now_ms() + seconds * 1000;
    sl_db_lock(c->db);
    bool ok = sl_db_run(c->db, &err, "DELETE FROM aws_sessions WHERE expires_ms < ?", "i", sl_now_ms() - 86400000) && sl_db_run(c->db, &err, "INSERT INTO aws_sessions(id, secret, token, role, expires_ms) VALUES(?,?,?,?,?)", "ssssi", id, secret, token, role, expires);
    sl_db_unlock(c->db);
    if (!ok)
        return sl_refuse(why, a, 500, "InternalFailure", "%s", err.message);
    *ret = sl_fmt(a, "<AssumeRoleResult><AssumedRoleUser><Arn>%.*s/%.*s</Arn><AssumedRoleId>%.*s:%.*s</AssumedRoleId></AssumedRoleUser><Credentials><AccessKeyId>%.*s</AccessKeyId><SecretAccessKey>%.*s</SecretAccessKey>"
                     "<SessionToken>%.*s</SessionToken><Expiration>%.*s</Expiration></Credentials></AssumeRoleResult>",
                  SL_ARG(sl_xml_escape(a, role)), SL_ARG(sl_xml_escape(a, session)), SL_ARG(id), SL_ARG(sl_xml_escape(a, session)), SL_ARG(id), SL_ARG(secret), SL_ARG(token), SL_ARG(sl_time_rfc3339(a, expires)));
    return true;
}

static const sl_val *form_of(sl_arena *a, sl_str body)
{
    sl_val *form = sl_map(a);
    sl_str pair;
    while (body.n > 0 && sl_str_cut(&body, '&', &pair)) {
        sl_str value = pair, name;
        (void)sl_str_cut(&value, '=', &name);
        if (sl_percent_decode(a, name, true, &name) && sl_percent_decode(a, value, true, &value))
            sl_map_set(a, form, name, sl_val_str(a, value));
    }
    return form;
}

void sl_aws_sts(sl_cloud *c, sl_server_request *req, sl_server_response *resp)
{
    sl_arena *a = req->arena;
    sl_refusal why = { 0 };
    sl_caller caller;
    const sl_val *form = form_of(a, req->body);
    sl_str action = sl_get_text(form, "Action"), inner = SL_S("");
    bool ok = sl_aws_verify(c, req, &caller, &why);
    if (ok && sl_str_eqc(action, "AssumeRole"))
        ok = assume(c, req, form, &inner, &why);
    else if (ok && sl_str_eqc(action, "GetCallerIdentity"))
        inner = sl_fmt(a, "<GetCallerIdentityResult><Arn>arn:aws:iam::000000000000:user/local</Arn><UserId>%.*s</UserId><Account>000000000000</Account></GetCallerIdentityResult>", SL_ARG(caller.id));
    else if (ok)
        ok = sl_refuse(&why, a, 400, "InvalidAction", "The local cloud's STS knows AssumeRole and GetCallerIdentity, not %.*s.", SL_ARG(action));
    if (!ok) {
        sts_refuse(req, resp, &why);
        return;
    }
    char id[23];
    sl_random_id(id);
    resp->status = 200;
    resp->content_type = "text/xml";
    resp->body = sl_fmt(a, "<%.*sResponse" STS_NAMESPACE ">%.*s<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%.*sResponse>", SL_ARG(action), SL_ARG(inner), id, SL_ARG(action));
}

/* ---- the port ---- */

/* POST / is what services without paths have in common. */
static void post_root(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_str target = sl_request_header(req, "x-amz-target");
    if (target.n == 0) {
        sl_aws_sts(self, req, resp);
        return;
    }
    if (sl_str_starts(target, SL_S("DynamoDB_20120810."))) {
        sl_ddb_face(self, req, resp, sl_str_sub(target, 18, target.n));
        return;
    }
    if (sl_str_starts(target, SL_S("RedshiftData."))) {
        sl_redshift_data_face(self, req, resp, sl_str_sub(target, 13, target.n));
        return;
    }
    sl_refusal why;
    sl_refuse(&why, req->arena, 400, "UnknownOperationException", "The local cloud does not know %.*s.", SL_ARG(target));
    sl_aws_json_refuse(req, resp, &why);
}

static void unmatched(void *self, sl_server_request *req, sl_server_response *resp, sl_str allow)
{
    sl_refusal why;
    (void)self;
    (void)allow;
    sl_refuse(&why, req->arena, 405, "MethodNotAllowed", "The specified method is not allowed against this resource.");
    sl_s3_refuse(req, resp, &why);
}

static const sl_route own_routes[] = { { .method = "POST", .pattern = "/", .handle = post_root }, { 0 } };

bool sl_aws_face_start(sl_cloud *c, sl_err *err)
{
    const sl_route *tables[] = { own_routes, sl_s3_routes };
    return load_key(c, err) && sl_cloud_listen(c, "aws-port", 0, tables, SL_COUNT(tables), unmatched, &c->aws_server, c->aws_url, err);
}

bool sl_aws_face_join(sl_cloud *c, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_str port;
    if (!sl_fs_read(a, sl_fmt(a, "%s/aws-port", c->dir).p, 32, &port, err) || !load_key(c, err))
        return false;
    (void)snprintf(c->aws_url, sizeof c->aws_url, "http://127.0.0.1:%.*s", SL_ARG(sl_str_trim(port)));
    return true;
}

void sl_aws_face_stop(sl_cloud *c)
{
    if (c->aws_server != NULL)
        sl_server_stop(c->aws_server);
    sl_secret_free(c->aws_secret);
}
