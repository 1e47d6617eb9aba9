/* local/s3_object.c: the routes of the S3 face; GetObject, HeadObject, DeleteObject, CopyObject, UploadPartCopy. */
#include <fcntl.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/time.h"
#include "base/xml.h"
#include "local/s3.h"

enum { COPY_BLOCK = 1 << 20 };

bool sl_s3_sub(const sl_s3_call *x, const char *name)
{
    return sl_get(x->req->params, name) != NULL || sl_str_eqc(x->req->query, name) || sl_str_starts(x->req->query, sl_fmt(x->arena, "%s&", name));
}

void sl_s3_call_refused(sl_s3_call *x)
{
    sl_s3_refuse(x->req, x->resp, &x->why);
}

void sl_s3_answer_xml(sl_s3_call *x, int status, sl_buf *body)
{
    x->resp->status = status;
    x->resp->content_type = "application/xml";
    x->resp->body = sl_buf_str(body);
}

bool sl_s3_call_begin(sl_s3_call *x, sl_cloud *c, sl_server_request *req, sl_server_response *resp)
{
    *x = (sl_s3_call){ .c = c, .req = req, .resp = resp, .arena = req->arena, .bucket = req->segment_count > 0 ? req->segments[0] : SL_S("") };
    bool ok = (req->rest.n == 0 || sl_percent_decode(req->arena, req->rest, false, &x->key)) || sl_refuse(&x->why, req->arena, 400, "InvalidURI", "Couldn't parse the specified URI.");
    ok = ok && sl_aws_verify(c, req, &x->caller, &x->why);
    if (ok && req->body.n > 0 && x->caller.payload.n == SL_SIGV4_HEX && !sl_str_eq(x->caller.payload, sl_sha256_hex(req->arena, req->body)))
        ok = sl_refuse(&x->why, req->arena, 400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.");
    if (!ok)
        sl_s3_call_refused(x);
    return ok;
}

/* ---- GET and HEAD ---- */

static bool etag_is(sl_str list, const sl_s3_row *row)
{
    sl_str one;
    while (list.n > 0 && sl_str_cut(&list, ',', &one)) {
        one = sl_str_trim(one);
        if (sl_str_eqc(one, "*") || sl_str_eq(one, row->etag) || sl_str_eq(one, sl_str_sub(row->etag, 1, row->etag.n - 1)))
            return true;
    }
    return false;
}

/* prefix: "" or "x-amz-copy-source-". RFC 9110 section 13.2.2. */
static bool may_read(sl_s3_call *x, const sl_s3_row *row, const char *prefix)
{
    sl_arena *a = x->arena;
    sl_str match = sl_request_header(x->req, sl_fmt(a, "%sif-match", prefix).p), none = sl_request_header(x->req, sl_fmt(a, "%sif-none-match", prefix).p);
    sl_str since = sl_request_header(x->req, sl_fmt(a, "%sif-modified-since", prefix).p), until = sl_request_header(x->req, sl_fmt(a, "%sif-unmodified-since", prefix).p);
    sl_time t;
    bool date = sl_time_parse_pattern(since.n ? since : until, SL_S("EEE, dd MMM yyyy HH:mm:ss 'GMT'"), &t);
    int64_t modified = row->modified_ms / 1000;
    if ((match.n > 0 && !etag_is(match, row)) || (match.n == 0 && until.n > 0 && since.n == 0 && date && modified > t.s))
        return sl_refuse(&x->why, a, 412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
    if ((none.n > 0 && etag_is(none, row)) || (none.n == 0 && since.n > 0 && date && modified <= t.s))
        return sl_refuse(&x->why, a, *prefix ? 412 : 304, *prefix ? "PreconditionFailed" : "NotModified", "Not Modified");
    return true;
}

bool sl_s3_parse_range(sl_str text, int64_t size, int64_t *from, int64_t *count)
{
    sl_str rest = sl_str_sub(text, 6, text.n), first;
    int64_t a = 0, b = size - 1;
    if (!sl_str_starts(text, SL_S("bytes=")) || memchr(rest.p, ',', rest.n) != NULL)
        return false;
    (void)sl_str_cut(&rest, '-', &first);
    if (rest.p == NULL || (first.n == 0 && rest.n == 0))
        return false;
    if (first.n == 0) {
        if (!sl_parse_int(rest, &a) || a < 0)
            return false;
        a = size > a ? size - a : 0;
    } else if (!sl_parse_int(first, &a) || (rest.n > 0 && !sl_parse_int(rest, &b)))
        return false;
    b = b >= size ? size - 1 : b;
    *from = a;
    *count = b - a + 1;
    return true;
}

static const sl_val *object_headers(sl_s3_call *x, const sl_s3_row *row)
{
    sl_err ignored;
    sl_arena *a = x->arena;
    static const char *const overrides[][2] = { { "response-content-type", "content-type" }, { "response-content-disposition", "content-disposition" }, { "response-cache-control", "cache-control" }, { "response-content-encoding", "content-encoding" } };
    sl_val *h = sl_map_shallow(a, sl_json_parse(a, row->headers, &ignored));
    sl_str tags = sl_get_text(h, "x-amz-tagging"), one;
    int64_t count = 0;
    while (tags.n > 0 && sl_str_cut(&tags, '&', &one))
        count++;
    if (sl_map_remove(h, SL_S("x-amz-tagging")))
        sl_map_set_int(a, h, "x-amz-tagging-count", count);
    for (size_t i = 0; i < SL_COUNT(overrides); i++)
        if (sl_request_param(x->req, overrides[i][0]).n > 0)
            sl_map_set_str(a, h, overrides[i][1], sl_request_param(x->req, overrides[i][0]));
    if (sl_get(h, "content-type") == NULL)
        sl_map_set_str(a, h, "content-type", SL_S("binary/octet-stream"));
    sl_map_set_str(a, h, "ETag", row->etag);
    sl_map_set_str(a, h, "Last-Modified", sl_http_date(a, row->modified_ms));
    sl_map_set_str(a, h, "Accept-Ranges", SL_S("bytes"));
    if (row->checksum.n > 0 && sl_str_ieq(sl_request_header(x->req, "x-amz-checksum-mode"), SL_S("ENABLED"))) {
        sl_map_set_str(a, h, sl_fmt(a, "x-amz-checksum-%.*s", SL_ARG(sl_str_lower(a, row->algorithm))).p, row->checksum);
        sl_map_set_str(a, h, "x-amz-checksum-type", memchr(row->checksum.p, '-', row->checksum.n) ? SL_S("COMPOSITE") : SL_S("FULL_OBJECT"));
    }
    return h;
}

static bool find(sl_s3_call *x, sl_s3_row *row)
{
    bool found = sl_s3_bucket_there(x, x->bucket) && sl_s3_row_find(x, x->bucket, x->key, sl_request_param(x->req, "versionId"), row);
    sl_s3_tell_version(x); /* that a marker is there, too */
    return found && sl_s3_customer_opens(x, row->headers, "", false);
}

static bool object_get(sl_s3_call *x)
{
    sl_s3_row row;
    sl_arena *a = x->arena;
    if (!find(x, &row) || !may_read(x, &row, ""))
        return false;
    int64_t from = 0, count = row.size;
    sl_str range = sl_request_header(x->req, "range");
    bool partial = range.n > 0 && sl_s3_parse_range(range, row.size, &from, &count);
    if (partial && (from >= row.size || count <= 0))
        return sl_refuse(&x->why, a, 416, "InvalidRange", "The requested range is not satisfiable");
    sl_val *headers = sl_map_shallow(a, object_headers(x, &row));
    if (partial) {
        sl_map_set_str(a, headers, "Content-Range", sl_fmt(a, "bytes %lld-%lld/%lld", (long long)from, (long long)(from + count - 1), (long long)row.size));
        for (int i = 0; i < SL_SUM_MD5; i++) /* that of the whole says nothing about a part of it */
            (void)sl_map_remove(headers, sl_fmt(a, "x-amz-checksum-%.*s", SL_ARG(sl_str_lower(a, sl_str_c(sl_checksum_name((sl_algorithm)i))))));
    }
    x->resp->status = partial ? 206 : 200;
    x->resp->headers = headers;
    sl_s3_tell_version(x);
    if (count == 0)
        return true;
    x->resp->file_fd = open(sl_gcs_blob_path(x->c, a, row.blob).p, O_RDONLY | O_CLOEXEC);
    x->resp->file_offset = from;
    x->resp->file_size = count;
    if (x->resp->file_fd > 0)
        return true;
    *x->resp = (sl_server_response){ 0 };
    return sl_refuse(&x->why, a, 500, "InternalError", "the object's content is missing from the disk");
}

/* ---- copies ---- */

/* A new blob with bytes from..from+count-1 of another. */
static bool copy_blob(sl_s3_call *x, sl_str source, int64_t from, int64_t count, sl_str *ret_blob, sl_hash *md5)
{
    sl_err err;
    sl_arena *a = x->arena;
    *ret_blob = sl_gcs_new_blob(x->c, a);
    sl_str in_path = sl_gcs_blob_path(x->c, a, source), out_path = sl_gcs_blob_path(x->c, a, *ret_blob);
    int in = open(in_path.p, O_RDONLY | O_CLOEXEC), out = open(out_path.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    char *block = sl_malloc(COPY_BLOCK);
    bool ok = (in >= 0 && out >= 0) || sl_err_errno(&err, "copy", in_path.p);
    for (int64_t done = 0; ok && done < count;) {
        ssize_t n = pread(in, block, count - done < COPY_BLOCK ? (size_t)(count - done) : COPY_BLOCK, from + done);
        ok = n > 0 ? sl_fs_pwrite(out, block, (size_t)n, done, out_path.p, &err) : sl_err_errno(&err, "read", in_path.p);
        if (ok)
            sl_hash_add(md5, block, (size_t)n);
        done += n;
    }
    free(block);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    if (!ok)
        (void)unlink(out_path.p);
    return ok || sl_s3_broken(x, &err);
}

/* x-amz-copy-source: /bucket/key, encoded as a form is (a + is a blank, as for S3), perhaps with ?versionId=… */
static bool find_source(sl_s3_call *x, sl_s3_row *row)
{
    sl_arena *a = x->arena;
    sl_str path = sl_request_header(x->req, "x-amz-copy-source"), bucket, key, version = path;
    (void)sl_str_cut(&version, '?', &path);
    bool ok = sl_percent_decode(a, path, true, &path);
    if (ok && path.n > 0 && path.p[0] == '/')
        path = sl_str_sub(path, 1, path.n);
    key = path;
    ok = ok && sl_str_cut(&key, '/', &bucket) && key.n > 0;
    if (!ok)
        return sl_refuse(&x->why, a, 400, "InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
    if (version.p != NULL && version.n > 0 && (!sl_str_starts(version, SL_S("versionId=")) || !sl_percent_decode(a, sl_str_sub(version, 10, version.n), false, &version)))
        return sl_refuse(&x->why, a, 400, "InvalidArgument", "Copy Source has an unknown parameter");
    if (!sl_s3_bucket_there(x, bucket) || !sl_s3_row_find(x, bucket, key, version.p != NULL ? version : SL_S(""), row)) {
        if (x->why.status == 405)
            sl_refuse(&x->why, a, 400, "InvalidRequest", "The source of a copy request may not specifically refer to a delete marker by version id.");
        return false;
    }
    if (x->version.n > 0)
        x->resp->headers = sl_map_of(a, "x-amz-copy-source-version-id", sl_val_str(a, x->version));
    x->version = SL_S("");
    return may_read(x, row, "x-amz-copy-source-") && sl_s3_customer_opens(x, row->headers, "x-amz-copy-source-", false);
}

static bool copy_part(sl_s3_call *x, const sl_s3_row *source, sl_str upload, sl_str *blob, sl_str *etag)
{
    sl_arena *a = x->arena;
    int64_t from = 0, count = source->size, number = 0;
    sl_str range = sl_request_header(x->req, "x-amz-copy-source-range");
    sl_hash *md5 = sl_hash_new(a, "MD5");
    if (!sl_parse_int(sl_request_param(x->req, "partNumber"), &number) || number < 1 || number > 10000)
        return sl_refuse(&x->why, a, 400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive");
    if (range.n > 0 && (!sl_s3_parse_range(range, source->size, &from, &count) || from >= source->size || count <= 0))
        return sl_refuse(&x->why, a, 416, "InvalidRange", "The requested range is not satisfiable");
    if (!copy_blob(x, source->blob, from, count, blob, md5))
        return false;
    sl_str hex = sl_hex(a, sl_hash_end(md5, a));
    *etag = sl_fmt(a, "\"%.*s\"", SL_ARG(hex));
    return sl_s3_part_put(x, upload, number, *blob, count, hex, SL_S(""));
}

/* Metadata and tags are the source's or the request's, as the directives say; class and encryption are always the request's. */
static sl_str copied_headers(sl_s3_call *x, const sl_s3_row *source)
{
    sl_err ignored;
    sl_arena *a = x->arena;
    const sl_val *from = sl_json_parse(a, source->headers, &ignored), *asked = sl_json_parse(a, sl_s3_kept_headers(x), &ignored);
    bool replace = sl_str_ieq(sl_request_header(x->req, "x-amz-metadata-directive"), SL_S("REPLACE")), retag = sl_str_ieq(sl_request_header(x->req, "x-amz-tagging-directive"), SL_S("REPLACE"));
    sl_val *h = sl_map(a);
    for (int i = 0; i < 2; i++) {
        const sl_val *part = i == 0 ? from : asked;
        for (size_t k = 0; k < sl_val_count(part); k++) {
            sl_str name = part->map.entries[k].key;
            bool own = sl_str_starts(name, SL_S("x-amz-server-side-encryption")) || sl_str_starts(name, SL_S("x-amz-object-lock-")) || sl_str_eqc(name, "x-amz-storage-class");
            bool from_request = own || (sl_str_eqc(name, "x-amz-tagging") ? retag : replace);
            if (from_request == (i == 1))
                sl_map_set(a, h, name, part->map.entries[k].value);
        }
    }
    return sl_json(a, h);
}

static bool copy_object(sl_s3_call *x, const sl_s3_row *source, sl_str *blob, sl_str *etag)
{
    sl_arena *a = x->arena;
    bool replace = sl_str_ieq(sl_request_header(x->req, "x-amz-metadata-directive"), SL_S("REPLACE")), earlier = sl_str_find(sl_request_header(x->req, "x-amz-copy-source"), SL_S("?versionId=")) >= 0;
    bool encrypts = sl_request_header(x->req, "x-amz-server-side-encryption").n > 0 || sl_request_header(x->req, "x-amz-server-side-encryption-customer-algorithm").n > 0;
    if (!sl_s3_customer_fits(x) || !sl_s3_tags_fit(x, sl_request_header(x->req, "x-amz-tagging")))
        return false;
    if (!replace && !earlier && !encrypts && sl_str_eq(source->bucket, x->bucket) && sl_str_eq(source->key, x->key) && sl_request_header(x->req, "x-amz-storage-class").n == 0)
        return sl_refuse(&x->why, a, 400, "InvalidRequest", "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class or encryption attributes.");
    sl_hash *md5 = sl_hash_new(a, "MD5");
    if (!copy_blob(x, source->blob, 0, source->size, blob, md5))
        return false;
    *etag = sl_request_header(x->req, "x-amz-server-side-encryption-customer-key").n > 0 ? sl_s3_opaque_etag(x, *blob) : sl_fmt(a, "\"%.*s\"", SL_ARG(sl_hex(a, sl_hash_end(md5, a))));
    bool composite = memchr(source->checksum.p ? source->checksum.p : "", '-', source->checksum.n) != NULL;
    sl_s3_row row = { .bucket = x->bucket, .key = x->key, .blob = *blob, .size = source->size, .etag = *etag, .algorithm = composite ? SL_S("") : source->algorithm, .checksum = composite ? SL_S("") : source->checksum,
                      .headers = copied_headers(x, source) };
    sl_s3_tell_encryption(x, row.headers);
    return sl_s3_row_put(x, &row, SL_S(""));
}

void sl_s3_copy(sl_s3_call *x)
{
    sl_s3_row source;
    sl_arena *a = x->arena;
    sl_str upload = sl_request_param(x->req, "uploadId"), blob = SL_S(""), etag, headers, algorithm;
    const char *element = upload.n ? "CopyPartResult" : "CopyObjectResult";
    bool ok = find_source(x, &source) && (upload.n == 0 || (sl_s3_upload_find(x, upload, &headers, &algorithm) && sl_s3_customer_opens(x, headers, "", true))) && (upload.n ? copy_part(x, &source, upload, &blob, &etag) : copy_object(x, &source, &blob, &etag));
    if (!ok) {
        if (blob.n > 0)
            (void)unlink(sl_gcs_blob_path(x->c, a, blob).p);
        sl_s3_call_refused(x);
        return;
    }
    sl_buf b = sl_buf_new(a, 4096);
    sl_buf_fmt(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%s xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LastModified>%.*s</LastModified><ETag>%.*s</ETag></%s>", element, SL_ARG(sl_cloud_now(a)),
               SL_ARG(sl_xml_escape(a, etag)), element);
    sl_s3_answer_xml(x, 200, &b);
    sl_s3_tell_version(x);
}

/* ---- routes ---- */

static bool no_method(sl_s3_call *x)
{
    return sl_refuse(&x->why, x->arena, 405, "MethodNotAllowed", "The specified method is not allowed against this resource.");
}

static bool object_delete(sl_s3_call *x)
{
    if (!sl_s3_bucket_there(x, x->bucket) || !sl_s3_row_delete(x, x->bucket, x->key, sl_request_param(x->req, "versionId")))
        return false;
    sl_s3_tell_version(x);
    x->resp->status = 204;
    return true;
}

static void object_route(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_s3_call x;
    static const char *const unknown[] = { "acl", "retention", "legal-hold", "torrent", "attributes", "restore", "select" };
    if (!sl_s3_call_begin(&x, self, req, resp))
        return;
    for (size_t i = 0; i < SL_COUNT(unknown); i++)
        if (sl_s3_sub(&x, unknown[i])) {
            sl_refuse(&x.why, x.arena, 501, "NotImplemented", "The local cloud does not know ?%s.", unknown[i]);
            sl_s3_call_refused(&x);
            return;
        }
    bool upload = sl_request_param(req, "uploadId").n > 0, post = strcmp(req->method, "POST") == 0, delete = strcmp(req->method, "DELETE") == 0;
    if (post && sl_s3_sub(&x, "uploads"))
        sl_s3_upload_begin(&x);
    else if (post && upload)
        sl_s3_upload_complete(&x);
    else if (delete && upload)
        sl_s3_upload_abort(&x);
    else if (upload)
        sl_s3_part_list(&x);
    else if (!(post ? no_method(&x) : sl_s3_sub(&x, "tagging") ? (delete ? sl_s3_tags_delete(&x) : sl_s3_tags_get(&x)) : delete ? object_delete(&x) : object_get(&x)))
        sl_s3_call_refused(&x);
}

static void bucket_or_object(void *self, sl_server_request *req, sl_server_response *resp)
{
    if (req->rest.n == 0) { /* /bucket/ is the bucket */
        sl_s3_bucket_route(self, req, resp);
        return;
    }
    object_route(self, req, resp);
}

static void put_route(void *self, sl_server_request *req, sl_server_response *resp)
{
    if (req->rest.n == 0)
        sl_s3_bucket_route(self, req, resp);
    else
        sl_s3_object_put(self, req, resp);
}

const sl_route sl_s3_routes[] = {
    { .method = "GET", .pattern = "/", .handle = sl_s3_bucket_list },
    { .method = "GET", .pattern = "/+", .handle = sl_s3_bucket_route },
    { .method = "HEAD", .pattern = "/+", .handle = sl_s3_bucket_route },
    { .method = "PUT", .pattern = "/+", .handle = sl_s3_bucket_route },
    { .method = "POST", .pattern = "/+", .handle = sl_s3_bucket_route },
    { .method = "DELETE", .pattern = "/+", .handle = sl_s3_bucket_route },
    { .method = "PUT", .pattern = "/+/", .handle = sl_s3_bucket_route },
    { .method = "PUT", .pattern = "/+/#", .handle = put_route, .on_begin = sl_s3_put_begin, .on_data = sl_s3_put_data, .on_end = sl_s3_put_end },
    { .method = "GET", .pattern = "/+/#", .handle = bucket_or_object },
    { .method = "HEAD", .pattern = "/+/#", .handle = bucket_or_object },
    { .method = "POST", .pattern = "/+/#", .handle = bucket_or_object },
    { .method = "DELETE", .pattern = "/+/#", .handle = bucket_or_object },
    { 0 },
};
