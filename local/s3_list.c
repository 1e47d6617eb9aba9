/*
 * local/s3_list.c: listings of the S3 face: ListObjects (1 and 2), ListObjectVersions.
 * API: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/xml.h"
#include "local/s3.h"

enum { ANSWER_MAX = 32 << 20, PAGE_MAX = 1000 };

#define XML_HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define NAMESPACE " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""
#define OWNER "<Owner><ID>local</ID><DisplayName>local</DisplayName></Owner>"

typedef struct page {
    sl_s3_call *x;
    sl_str prefix, delimiter, after; /* after: keys and common prefixes behind this one */
    int64_t most, count;
    bool encoded, owner, truncated;
    sl_str last, last_version;
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

/* after: where the listing goes on, as the request says it. */
static bool begin(page *p, sl_s3_call *x, sl_str after)
{
    sl_arena *a = x->arena;
    *p = (page){ .x = x, .prefix = sl_request_param(x->req, "prefix"), .delimiter = sl_request_param(x->req, "delimiter"), .after = after, .most = PAGE_MAX, .encoded = sl_str_eqc(sl_request_param(x->req, "encoding-type"), "url"),
                 .contents = sl_buf_new(a, ANSWER_MAX / 2), .prefixes = sl_buf_new(a, ANSWER_MAX / 4) };
    sl_str most = sl_request_param(x->req, "max-keys");
    if (most.n > 0 && (!sl_parse_int(most, &p->most) || p->most < 0))
        return sl_refuse(&x->why, a, 400, "InvalidArgument", "Provided max-keys not an integer or within integer range");
    p->most = p->most > PAGE_MAX ? PAGE_MAX : p->most;
    return true;
}

bool sl_s3_list_objects(sl_s3_call *x)
{
    sl_arena *a = x->arena;
    bool two = sl_str_eqc(sl_request_param(x->req, "list-type"), "2");
    sl_str token = sl_request_param(x->req, "continuation-token"), after = sl_request_param(x->req, two ? "start-after" : "marker");
    page p;
    if (!begin(&p, x, after))
        return false;
    p.owner = !two || sl_str_eqc(sl_request_param(x->req, "fetch-owner"), "true");
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

/* ---- versions ---- */

static void show_version(page *p, sl_stmt *s, sl_str key, sl_str version, bool latest)
{
    sl_arena *a = p->x->arena;
    bool marker = sl_col_int(s, 5) != 0;
    const char *element = marker ? "DeleteMarker" : "Version";
    sl_buf_fmt(&p->contents, "<%s><Key>%.*s</Key><VersionId>%.*s</VersionId><IsLatest>%s</IsLatest><LastModified>%.*s</LastModified>" OWNER, element, SL_ARG(shown(p, key)), SL_ARG(version), latest ? "true" : "false",
               SL_ARG(sl_time_rfc3339(a, sl_col_int(s, 4))));
    if (!marker)
        sl_buf_fmt(&p->contents, "<ETag>%.*s</ETag><Size>%lld</Size><StorageClass>STANDARD</StorageClass>", SL_ARG(sl_xml_escape(a, sl_col_str(s, a, 3))), (long long)sl_col_int(s, 2));
    sl_buf_fmt(&p->contents, "</%s>", element);
}

/* One row, in order of key and, newest first, of version. Returns false at the end of the page. */
static bool take_version(page *p, sl_stmt *s, sl_str *group, sl_str *last_key, sl_str after_version, bool *passing)
{
    sl_arena *a = p->x->arena;
    sl_str key = sl_col_str(s, a, 0), version = sl_col_str(s, a, 1), prefix = common(p, key);
    bool latest = !sl_str_eq(key, *last_key);
    *last_key = key;
    if (p->after.n > 0 && sl_str_eq(key, p->after) && (after_version.n == 0 || *passing)) {
        *passing = *passing && !sl_str_eq(version, after_version);
        return true;
    }
    if (prefix.n > 0 && (sl_str_eq(prefix, *group) || sl_str_starts(p->after, prefix)))
        return true;
    if (p->count == p->most) {
        p->truncated = p->most > 0;
        return false;
    }
    p->count++;
    p->last = prefix.n > 0 ? prefix : key;
    p->last_version = prefix.n > 0 ? SL_S("") : version;
    *group = prefix;
    if (prefix.n > 0)
        sl_buf_fmt(&p->prefixes, "<CommonPrefixes><Prefix>%.*s</Prefix></CommonPrefixes>", SL_ARG(shown(p, prefix)));
    else
        show_version(p, s, key, version, latest);
    return true;
}

static bool fill_versions(page *p, sl_str after_version)
{
    sl_err err;
    sl_str group = SL_S(""), last_key = SL_S("");
    bool passing = after_version.n > 0, more = true;
    sl_db_lock(p->x->c->db);
    sl_stmt *s = sl_db_query(p->x->c->db, &err,
                             "SELECT key, version, size, etag, modified_ms, 0, 9223372036854775807 AS seq FROM s3_objects WHERE bucket=?1 AND key>=?2 AND key>=?3"
                             " UNION ALL SELECT key, version, size, etag, modified_ms, marker, seq FROM s3_versions WHERE bucket=?1 AND key>=?2 AND key>=?3 ORDER BY key, seq DESC",
                             "sss", p->x->bucket, p->after, p->prefix);
    bool ok = s != NULL;
    while (s != NULL && more && sl_stmt_next(s, &err) == 1)
        more = sl_str_starts(sl_col_str(s, p->x->arena, 0), p->prefix) && take_version(p, s, &group, &last_key, after_version, &passing);
    if (s != NULL)
        sl_stmt_done(s);
    sl_db_unlock(p->x->c->db);
    return ok || sl_s3_broken(p->x, &err);
}

bool sl_s3_list_versions(sl_s3_call *x)
{
    sl_arena *a = x->arena;
    sl_str after_version = sl_request_param(x->req, "version-id-marker");
    page p;
    if (!begin(&p, x, sl_request_param(x->req, "key-marker")) || !sl_s3_bucket_there(x, x->bucket) || !fill_versions(&p, after_version))
        return false;
    sl_buf b = sl_buf_new(a, ANSWER_MAX);
    sl_str prefix = shown(&p, p.prefix), delimiter = shown(&p, p.delimiter), marker = shown(&p, p.after);
    sl_buf_fmt(&b, XML_HEAD "<ListVersionsResult" NAMESPACE "><Name>%.*s</Name><Prefix>%.*s</Prefix><KeyMarker>%.*s</KeyMarker><VersionIdMarker>%.*s</VersionIdMarker><MaxKeys>%lld</MaxKeys><IsTruncated>%s</IsTruncated>", SL_ARG(x->bucket),
               SL_ARG(prefix), SL_ARG(marker), SL_ARG(sl_xml_escape(a, after_version)), (long long)p.most, p.truncated ? "true" : "false");
    if (p.delimiter.n > 0)
        sl_buf_fmt(&b, "<Delimiter>%.*s</Delimiter>", SL_ARG(delimiter));
    if (p.encoded)
        sl_buf_addc(&b, "<EncodingType>url</EncodingType>");
    sl_str next = shown(&p, p.last);
    if (p.truncated)
        sl_buf_fmt(&b, "<NextKeyMarker>%.*s</NextKeyMarker><NextVersionIdMarker>%.*s</NextVersionIdMarker>", SL_ARG(next), SL_ARG(p.last_version));
    sl_buf_add(&b, sl_buf_str(&p.contents));
    sl_buf_add(&b, sl_buf_str(&p.prefixes));
    sl_buf_addc(&b, "</ListVersionsResult>");
    sl_s3_answer_xml(x, 200, &b);
    return true;
}
