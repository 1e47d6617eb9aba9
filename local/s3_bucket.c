/* local/s3_bucket.c: buckets of the S3 face: ListBuckets, CreateBucket, DeleteBucket, their settings, DeleteObjects. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/xml.h"
#include "local/s3.h"

enum { ANSWER_MAX = 32 << 20, DELETE_MAX = 1000 };

#define XML_HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define NAMESPACE " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""
#define OWNER "<Owner><ID>local</ID><DisplayName>local</DisplayName></Owner>"

static void text_answer(sl_s3_call *x, const char *xml)
{
    sl_buf b = sl_buf_new(x->arena, ANSWER_MAX);
    sl_buf_fmt(&b, XML_HEAD "%s", xml);
    sl_s3_answer_xml(x, 200, &b);
}

void sl_s3_bucket_list(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_s3_call x;
    sl_err err;
    if (!sl_s3_call_begin(&x, self, req, resp))
        return;
    sl_arena *a = x.arena;
    sl_buf b = sl_buf_new(a, ANSWER_MAX);
    sl_buf_addc(&b, XML_HEAD "<ListAllMyBucketsResult" NAMESPACE ">" OWNER "<Buckets>");
    sl_db_lock(x.c->db);
    sl_stmt *s = sl_db_query(x.c->db, &err, "SELECT name, created_ms FROM s3_buckets ORDER BY name", "");
    while (s != NULL && sl_stmt_next(s, &err) == 1)
        sl_buf_fmt(&b, "<Bucket><Name>%.*s</Name><CreationDate>%.*s</CreationDate></Bucket>", SL_ARG(sl_col_str(s, a, 0)), SL_ARG(sl_time_rfc3339(a, sl_col_int(s, 1))));
    sl_db_unlock(x.c->db);
    sl_buf_addc(&b, "</Buckets></ListAllMyBucketsResult>");
    sl_s3_answer_xml(&x, 200, &b);
}

/* https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
static bool name_ok(sl_str s)
{
    bool ok = s.n >= 3 && s.n <= 63 && sl_str_find(s, SL_S("..")) < 0;
    for (size_t i = 0; i < s.n; i++) {
        bool alnum = (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9');
        ok &= alnum || (i > 0 && i + 1 < s.n && (s.p[i] == '-' || s.p[i] == '.'));
    }
    return ok;
}

static bool create(sl_s3_call *x)
{
    sl_err err;
    sl_arena *a = x->arena;
    const sl_val *doc = x->req->body.n ? sl_xml_parse(a, x->req->body, NULL, &err) : NULL;
    sl_str region = sl_xml_text(doc, "LocationConstraint");
    bool locks = sl_str_ieq(sl_request_header(x->req, "x-amz-bucket-object-lock-enabled"), SL_S("true")); /* which goes with versions only */
    if (!name_ok(x->bucket))
        return sl_refuse(&x->why, a, 400, "InvalidBucketName", "The specified bucket is not valid.");
    if (sl_s3_bucket_there(x, x->bucket))
        return sl_refuse(&x->why, a, 409, "BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it.");
    sl_db_lock(x->c->db);
    bool ok = sl_db_run(x->c->db, &err, "INSERT INTO s3_buckets(name, region, created_ms, versioning) VALUES(?,?,?,?)", "ssis", x->bucket, region, sl_now_ms(), locks ? SL_S("Enabled") : SL_S(""));
    sl_db_unlock(x->c->db);
    if (!ok)
        return sl_s3_broken(x, &err);
    x->resp->headers = sl_map_of(a, "Location", sl_val_str(a, sl_fmt(a, "/%.*s", SL_ARG(x->bucket))));
    x->resp->status = 200;
    return true;
}

static bool remove_bucket(sl_s3_call *x)
{
    sl_err err;
    if (!sl_s3_bucket_there(x, x->bucket))
        return false;
    sl_db_lock(x->c->db);
    bool ok = sl_db_run(x->c->db, &err, "DELETE FROM s3_buckets WHERE name=?1 AND NOT EXISTS (SELECT 1 FROM s3_objects WHERE bucket=?1) AND NOT EXISTS (SELECT 1 FROM s3_versions WHERE bucket=?1)", "s", x->bucket);
    int64_t changed = sl_db_changes(x->c->db);
    sl_db_unlock(x->c->db);
    if (!ok)
        return sl_s3_broken(x, &err);
    x->resp->status = 204;
    return changed > 0 || sl_refuse(&x->why, x->arena, 409, "BucketNotEmpty", "The bucket you tried to delete is not empty");
}

static void tell_deleted(sl_s3_call *x, sl_buf *b, sl_str key, sl_str version)
{
    sl_buf_fmt(b, "<Deleted><Key>%.*s</Key>", SL_ARG(sl_xml_escape(x->arena, key)));
    if (version.n > 0)
        sl_buf_fmt(b, "<VersionId>%.*s</VersionId>", SL_ARG(sl_xml_escape(x->arena, version)));
    if (x->marker)
        sl_buf_fmt(b, "<DeleteMarker>true</DeleteMarker><DeleteMarkerVersionId>%.*s</DeleteMarkerVersionId>", SL_ARG(sl_xml_escape(x->arena, x->version)));
    sl_buf_addc(b, "</Deleted>");
}

static bool delete_objects(sl_s3_call *x)
{
    sl_err err;
    sl_arena *a = x->arena;
    sl_str root;
    const sl_val *doc = sl_xml_parse(a, x->req->body, &root, &err), *list = sl_xml_all(doc, "Object");
    if (doc == NULL || !sl_str_eqc(root, "Delete") || sl_val_count(list) == 0 || sl_val_count(list) > DELETE_MAX)
        return sl_refuse(&x->why, a, 400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema");
    if (!sl_s3_bucket_there(x, x->bucket))
        return false;
    bool quiet = sl_str_eqc(sl_xml_text(doc, "Quiet"), "true");
    sl_buf b = sl_buf_new(a, ANSWER_MAX);
    sl_buf_addc(&b, XML_HEAD "<DeleteResult" NAMESPACE ">");
    for (size_t i = 0; i < sl_val_count(list); i++) {
        sl_str key = sl_xml_text(sl_at(list, i), "Key"), version = sl_xml_text(sl_at(list, i), "VersionId");
        if (!sl_s3_row_delete(x, x->bucket, key, version))
            return false;
        if (!quiet)
            tell_deleted(x, &b, key, version);
    }
    sl_buf_addc(&b, "</DeleteResult>");
    sl_s3_answer_xml(x, 200, &b);
    return true;
}

static bool location(sl_s3_call *x)
{
    sl_err err;
    sl_str region = SL_S("");
    if (!sl_s3_bucket_there(x, x->bucket))
        return false;
    sl_db_lock(x->c->db);
    sl_stmt *s = sl_db_query(x->c->db, &err, "SELECT region FROM s3_buckets WHERE name=?", "s", x->bucket);
    if (s != NULL && sl_stmt_next(s, &err) == 1) {
        region = sl_col_str(s, x->arena, 0);
        sl_stmt_done(s);
    }
    sl_db_unlock(x->c->db);
    text_answer(x, sl_fmt(x->arena, "<LocationConstraint" NAMESPACE ">%.*s</LocationConstraint>", SL_ARG(sl_xml_escape(x->arena, region))).p);
    return true;
}

static bool tell_versioning(sl_s3_call *x)
{
    sl_str setting;
    if (!sl_s3_bucket_there(x, x->bucket) || !sl_s3_versioning(x, &setting))
        return false;
    text_answer(x, setting.n > 0 ? sl_fmt(x->arena, "<VersioningConfiguration" NAMESPACE "><Status>%.*s</Status></VersioningConfiguration>", SL_ARG(setting)).p : "<VersioningConfiguration" NAMESPACE "/>");
    return true;
}

static bool set_versioning(sl_s3_call *x)
{
    sl_err err;
    sl_str root;
    const sl_val *doc = sl_xml_parse(x->arena, x->req->body, &root, &err);
    sl_str setting = sl_xml_text(doc, "Status");
    if (doc == NULL || !sl_str_eqc(root, "VersioningConfiguration") || (!sl_str_eqc(setting, "Enabled") && !sl_str_eqc(setting, "Suspended")))
        return sl_refuse(&x->why, x->arena, 400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema");
    if (!sl_s3_bucket_there(x, x->bucket) || !sl_s3_set_versioning(x, setting))
        return false;
    x->resp->status = 200;
    return true;
}

static bool get(sl_s3_call *x)
{
    static const char *const known[] = { "location", "versioning", "versions", "uploads" };
    static const char *const plain[] = { "prefix", "delimiter", "marker", "max-keys", "encoding-type", "list-type", "start-after", "continuation-token", "fetch-owner", "x-id" };
    bool is_known = false;
    for (size_t k = 0; k < SL_COUNT(known); k++)
        is_known |= sl_s3_sub(x, known[k]);
    for (size_t i = 0; !is_known && i < sl_val_count(x->req->params); i++) {
        sl_str name = x->req->params->map.entries[i].key;
        bool ok = sl_str_starts(name, SL_S("X-Amz-"));
        for (size_t k = 0; k < SL_COUNT(plain); k++)
            ok |= sl_str_eqc(name, plain[k]);
        if (!ok)
            return sl_refuse(&x->why, x->arena, 501, "NotImplemented", "The local cloud does not know ?%.*s.", SL_ARG(name));
    }
    if (sl_s3_sub(x, "location"))
        return location(x);
    if (sl_s3_sub(x, "uploads")) {
        if (sl_s3_bucket_there(x, x->bucket))
            sl_s3_upload_list(x);
        return x->why.status == 0;
    }
    return sl_s3_sub(x, "versioning") ? tell_versioning(x) : sl_s3_sub(x, "versions") ? sl_s3_list_versions(x) : sl_s3_list_objects(x);
}

void sl_s3_bucket_route(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_s3_call x;
    if (!sl_s3_call_begin(&x, self, req, resp))
        return;
    bool ok;
    if (strcmp(req->method, "PUT") == 0)
        ok = sl_s3_sub(&x, "versioning") ? set_versioning(&x) : req->params->map.n == 0 ? create(&x) : sl_refuse(&x.why, x.arena, 501, "NotImplemented", "The local cloud does not keep this setting of a bucket.");
    else if (strcmp(req->method, "DELETE") == 0)
        ok = remove_bucket(&x);
    else if (strcmp(req->method, "POST") == 0)
        ok = sl_s3_sub(&x, "delete") ? delete_objects(&x) : sl_refuse(&x.why, x.arena, 405, "MethodNotAllowed", "The specified method is not allowed against this resource.");
    else if (strcmp(req->method, "HEAD") == 0)
        ok = sl_s3_bucket_there(&x, x.bucket);
    else
        ok = get(&x);
    if (!ok) {
        *resp = (sl_server_response){ 0 };
        sl_s3_call_refused(&x);
    }
}
