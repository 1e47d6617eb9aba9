/* local/s3_bucket.c: buckets of the S3 face: ListBuckets, CreateBucket, DeleteBucket, ListObjects (both versions), DeleteObjects. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/xml.h"
#include "local/s3.h"

enum { ANSWER_MAX = 32 << 20, PAGE_MAX = 1000 };

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
    if (!name_ok(x->bucket))
        return sl_refuse(&x->why, a, 400, "InvalidBucketName", "The specified bucket is not valid.");
    if (sl_s3_bucket_there(x, x->bucket))
        return sl_refuse(&x->why, a, 409, "BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it.");
    sl_db_lock(x->c->db);
    bool ok = sl_db_run(x->c->db, &err, "INSERT INTO s3_buckets(name, region, created_ms) VALUES(?,?,?)", "ssi", x->bucket, region, sl_now_ms());
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
    bool ok = sl_db_run(x->c->db, &err, "DELETE FROM s3_buckets WHERE name=?1 AND NOT EXISTS (SELECT 1 FROM s3_objects WHERE bucket=?1)", "s", x->bucket);
    int64_t changed = sl_db_changes(x->c->db);
    sl_db_unlock(x->c->db);
    if (!ok)
        return sl_s3_broken(x, &err);
    x->resp->status = 204;
    return changed > 0 || sl_refuse(&x->why, x->arena, 409, "BucketNotEmpty", "The bucket you tried to delete is not empty");
}

/* ---- listing ---- */

typedef struct page {
    sl_s3_call *x;
    sl_str prefix, delimiter, after; /* after: keys and common prefixes behind this one */
    int64_t most, count;
    bool encoded, owner, truncated;
    sl_str last;
    sl_buf contents, prefixes;
} page;

static sl_str shown(const page *p, sl_str key)
{
    return p->encoded ? sl_str_replace(p->x->arena, sl_percent(p->x->arena, key, "/"), SL_S("%20"), SL_S("+")) : sl_xml_escape(p->x->arena, key);
}

/* A common prefix ends behind the first delimiter after `prefix`; .n == 0: the key is shown itself. */
static sl_str common(const page *p, sl_str key)
{
    ptrdiff_t at = p->delimiter.n ? sl_str_find(sl_str_sub(key, p->prefix.n, key.n), p->delimiter) : -1;
    return at >= 0 ? sl_str_sub(key, 0, p->prefix.n + (size_t)at + p->delimiter.n) : SL_S("");
}

static void show(page *p, sl_stmt *s, sl_str key)
{
    sl_arena *a = p->x->arena;
    sl_str algorithm = sl_col_str(s, a, 4);
    sl_buf_fmt(&p->contents, "<Contents><Key>%.*s</Key><LastModified>%.*s</LastModified><ETag>%.*s</ETag>", SL_ARG(shown(p, key)), SL_ARG(sl_time_rfc3339(a, sl_col_int(s, 3))), SL_ARG(sl_xml_escape(a, sl_col_str(s, a, 2))));
    if (algorithm.n > 0)
        sl_buf_fmt(&p->contents, "<ChecksumAlgorithm>%.*s</ChecksumAlgorithm>", SL_ARG(algorithm));
    sl_buf_fmt(&p->contents, "<Size>%lld</Size>%s<StorageClass>STANDARD</StorageClass></Contents>", (long long)sl_col_int(s, 1), p->owner ? OWNER : "");
}

static bool fill(page *p)
{
    sl_err err;
    sl_arena *a = p->x->arena;
    sl_str group = SL_S("");
    sl_db_lock(p->x->c->db);
    sl_stmt *s = sl_db_query(p->x->c->db, &err, "SELECT key, size, etag, modified_ms, algorithm FROM s3_objects WHERE bucket=? AND key>? AND key>=? ORDER BY key", "sss", p->x->bucket, p->after, p->prefix);
    bool ok = s != NULL;
    while (s != NULL && !p->truncated && sl_stmt_next(s, &err) == 1) {
        sl_str key = sl_col_str(s, a, 0), prefix;
        if (!sl_str_starts(key, p->prefix))
            break;
        prefix = common(p, key);
        /* Keys of a common prefix that was shown before, on this page or on the one before. */
        if (prefix.n > 0 && (sl_str_eq(prefix, group) || sl_str_starts(p->after, prefix)))
            continue;
        if (p->count == p->most) {
            p->truncated = p->most > 0;
            break;
        }
        p->count++;
        p->last = prefix.n > 0 ? prefix : key;
        group = prefix;
        if (prefix.n > 0)
            sl_buf_fmt(&p->prefixes, "<CommonPrefixes><Prefix>%.*s</Prefix></CommonPrefixes>", SL_ARG(shown(p, prefix)));
        else
            show(p, s, key);
    }
    if (s != NULL)
        sl_stmt_done(s);
    sl_db_unlock(p->x->c->db);
    return ok || sl_s3_broken(p->x, &err);
}

static bool list_objects(sl_s3_call *x)
{
    sl_arena *a = x->arena;
    bool two = sl_str_eqc(sl_request_param(x->req, "list-type"), "2");
    sl_str token = sl_request_param(x->req, "continuation-token"), after = sl_request_param(x->req, two ? "start-after" : "marker");
    page p = { .x = x, .prefix = sl_request_param(x->req, "prefix"), .delimiter = sl_request_param(x->req, "delimiter"), .after = after, .most = PAGE_MAX, .encoded = sl_str_eqc(sl_request_param(x->req, "encoding-type"), "url"),
               .owner = !two || sl_str_eqc(sl_request_param(x->req, "fetch-owner"), "true"), .contents = sl_buf_new(a, ANSWER_MAX / 2), .prefixes = sl_buf_new(a, ANSWER_MAX / 4) };
    sl_str most = sl_request_param(x->req, "max-keys");
    if (most.n > 0 && (!sl_parse_int(most, &p.most) || p.most < 0))
        return sl_refuse(&x->why, a, 400, "InvalidArgument", "Provided max-keys not an integer or within integer range");
    p.most = p.most > PAGE_MAX ? PAGE_MAX : p.most;
    if (two && token.n > 0 && !sl_base64_decode(a, token, &p.after))
        return sl_refuse(&x->why, a, 400, "InvalidArgument", "The continuation token provided is incorrect");
    if (!sl_s3_bucket_there(x, x->bucket) || !fill(&p))
        return false;
    sl_buf b = sl_buf_new(a, ANSWER_MAX);
    sl_str prefix = shown(&p, p.prefix), delimiter = shown(&p, p.delimiter), marker = shown(&p, after), next = two ? sl_base64(a, p.last) : shown(&p, p.last);
    sl_buf_fmt(&b, XML_HEAD "<ListBucketResult" NAMESPACE "><Name>%.*s</Name><Prefix>%.*s</Prefix><MaxKeys>%lld</MaxKeys><IsTruncated>%s</IsTruncated>", SL_ARG(x->bucket), SL_ARG(prefix), (long long)p.most,
               p.truncated ? "true" : "false");
    if (p.delimiter.n > 0)
        sl_buf_fmt(&b, "<Delimiter>%.*s</Delimiter>", SL_ARG(delimiter));
    if (p.encoded)
        sl_buf_addc(&b, "<EncodingType>url</EncodingType>");
    if (two)
        sl_buf_fmt(&b, "<KeyCount>%lld</KeyCount>", (long long)p.count);
    if (!two)
        sl_buf_fmt(&b, "<Marker>%.*s</Marker>", SL_ARG(marker));
    if (p.truncated)
        sl_buf_fmt(&b, two ? "<NextContinuationToken>%.*s</NextContinuationToken>" : "<NextMarker>%.*s</NextMarker>", SL_ARG(next));
    sl_buf_add(&b, sl_buf_str(&p.contents));
    sl_buf_add(&b, sl_buf_str(&p.prefixes));
    sl_buf_addc(&b, "</ListBucketResult>");
    sl_s3_answer_xml(x, 200, &b);
    return true;
}

static bool delete_objects(sl_s3_call *x)
{
    sl_err err;
    sl_arena *a = x->arena;
    sl_str root;
    const sl_val *doc = sl_xml_parse(a, x->req->body, &root, &err), *list = sl_xml_all(doc, "Object");
    if (doc == NULL || !sl_str_eqc(root, "Delete") || sl_val_count(list) == 0 || sl_val_count(list) > PAGE_MAX)
        return sl_refuse(&x->why, a, 400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema");
    if (!sl_s3_bucket_there(x, x->bucket))
        return false;
    bool quiet = sl_str_eqc(sl_xml_text(doc, "Quiet"), "true");
    sl_buf b = sl_buf_new(a, ANSWER_MAX);
    sl_buf_addc(&b, XML_HEAD "<DeleteResult" NAMESPACE ">");
    for (size_t i = 0; i < sl_val_count(list); i++) {
        sl_str key = sl_xml_text(sl_at(list, i), "Key");
        if (!sl_s3_row_delete(x, x->bucket, key))
            return false;
        if (!quiet)
            sl_buf_fmt(&b, "<Deleted><Key>%.*s</Key></Deleted>", SL_ARG(sl_xml_escape(a, key)));
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

static bool get(sl_s3_call *x)
{
    static const char *const known[] = { "location", "versioning", "uploads" };
    static const char *const plain[] = { "prefix", "delimiter", "marker", "max-keys", "encoding-type", "list-type", "start-after", "continuation-token", "fetch-owner", "x-id" };
    bool is_known = false;
    for (size_t i = 0; i < sl_val_count(x->req->params); i++) {
        sl_str name = x->req->params->map.entries[i].key;
        bool ok = sl_str_starts(name, SL_S("X-Amz-"));
        for (size_t k = 0; k < SL_COUNT(plain); k++)
            ok |= sl_str_eqc(name, plain[k]);
        for (size_t k = 0; k < SL_COUNT(known); k++)
            is_known |= sl_str_eqc(name, known[k]);
        if (!ok && !is_known)
            return sl_refuse(&x->why, x->arena, 501, "NotImplemented", "The local cloud does not know ?%.*s.", SL_ARG(name));
    }
    if (sl_s3_sub(x, "location"))
        return location(x);
    if (sl_s3_sub(x, "uploads")) {
        if (sl_s3_bucket_there(x, x->bucket))
            sl_s3_upload_list(x);
        return x->why.status == 0;
    }
    if (!sl_s3_sub(x, "versioning"))
        return list_objects(x);
    text_answer(x, "<VersioningConfiguration" NAMESPACE "/>");
    return sl_s3_bucket_there(x, x->bucket);
}

void sl_s3_bucket_route(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_s3_call x;
    if (!sl_s3_call_begin(&x, self, req, resp))
        return;
    bool ok;
    if (strcmp(req->method, "PUT") == 0)
        ok = req->params->map.n == 0 ? create(&x) : sl_refuse(&x.why, x.arena, 501, "NotImplemented", "The local cloud does not keep this setting of a bucket.");
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
