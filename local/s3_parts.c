/* local/s3_parts.c: multipart uploads of the S3 face. A part is a file of its own until the upload is completed. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/xml.h"
#include "local/s3.h"

enum { PART_MIN = 5 << 20, ANSWER_MAX = 16 << 20 };

#define XML_HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define NAMESPACE " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

bool sl_s3_upload_find(sl_s3_call *x, sl_str upload, sl_str *ret_headers, sl_str *ret_algorithm)
{
    sl_err err;
    sl_db_lock(x->c->db);
    sl_stmt *s = sl_db_query(x->c->db, &err, "SELECT headers, algorithm FROM s3_uploads WHERE id=? AND bucket=? AND key=?", "sss", upload, x->bucket, x->key);
    bool found = s != NULL && sl_stmt_next(s, &err) == 1;
    if (found) {
        *ret_headers = sl_col_str(s, x->arena, 0);
        *ret_algorithm = sl_col_str(s, x->arena, 1);
        sl_stmt_done(s);
    }
    sl_db_unlock(x->c->db);
    return found || sl_refuse(&x->why, x->arena, 404, "NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.");
}

static bool run(sl_s3_call *x, const char *sql, sl_str upload)
{
    sl_err err;
    sl_db_lock(x->c->db);
    bool ok = sl_db_run(x->c->db, &err, sql, "s", upload);
    sl_db_unlock(x->c->db);
    return ok || sl_s3_broken(x, &err);
}

void sl_s3_upload_begin(sl_s3_call *x)
{
    sl_err err;
    sl_arena *a = x->arena;
    sl_str id = sl_gcs_new_blob(x->c, a);
    if (!sl_s3_bucket_there(x, x->bucket) || !sl_s3_customer_fits(x) || !sl_s3_tags_fit(x, sl_request_header(x->req, "x-amz-tagging"))) {
        sl_s3_call_refused(x);
        return;
    }
    sl_str kept = sl_s3_kept_headers(x);
    sl_db_lock(x->c->db);
    bool ok = sl_db_run(x->c->db, &err, "INSERT INTO s3_uploads(id, bucket, key, headers, algorithm, created_ms) VALUES(?,?,?,?,?,?)", "sssssi", id, x->bucket, x->key, kept,
                        sl_str_upper(a, sl_request_header(x->req, "x-amz-checksum-algorithm")), sl_now_ms());
    sl_db_unlock(x->c->db);
    if (!ok) {
        sl_s3_broken(x, &err);
        sl_s3_call_refused(x);
        return;
    }
    sl_buf b = sl_buf_new(a, ANSWER_MAX);
    sl_buf_fmt(&b, XML_HEAD "<InitiateMultipartUploadResult" NAMESPACE "><Bucket>%.*s</Bucket><Key>%.*s</Key><UploadId>%.*s</UploadId></InitiateMultipartUploadResult>", SL_ARG(x->bucket),
               SL_ARG(sl_xml_escape(a, x->key)), SL_ARG(id));
    sl_s3_answer_xml(x, 200, &b);
    sl_s3_tell_encryption(x, kept);
}

bool sl_s3_part_put(sl_s3_call *x, sl_str upload, int64_t number, sl_str blob, int64_t size, sl_str md5, sl_str checksum)
{
    sl_err err;
    sl_str headers, algorithm, old = SL_S("");
    sl_db *db = x->c->db;
    if (!sl_s3_upload_find(x, upload, &headers, &algorithm))
        return false;
    sl_db_lock(db);
    sl_stmt *s = sl_db_query(db, &err, "SELECT blob FROM s3_parts WHERE upload=? AND number=?", "si", upload, number);
    if (s != NULL && sl_stmt_next(s, &err) == 1) {
        old = sl_col_str(s, x->arena, 0);
        sl_stmt_done(s);
    }
    bool ok = sl_db_run(db, &err, "INSERT OR REPLACE INTO s3_parts(upload, number, blob, size, md5, checksum, modified_ms) VALUES(?,?,?,?,?,?,?)", "sisissi", upload, number, blob, size, md5, checksum, sl_now_ms());
    sl_db_unlock(db);
    if (ok && old.n > 0)
        (void)unlink(sl_gcs_blob_path(x->c, x->arena, old).p);
    return ok || sl_s3_broken(x, &err);
}

typedef struct stored_part {
    sl_str blob, md5, checksum;
    int64_t number, size, modified_ms;
} stored_part;

static bool load_parts(sl_s3_call *x, sl_str upload, int64_t after, stored_part **ret, size_t *count)
{
    sl_err err;
    sl_arena *a = x->arena;
    *ret = SL_ARRAY(a, stored_part, 10000);
    *count = 0;
    sl_db_lock(x->c->db);
    sl_stmt *s = sl_db_query(x->c->db, &err, "SELECT number, blob, size, md5, checksum, modified_ms FROM s3_parts WHERE upload=? AND number>? ORDER BY number", "si", upload, after);
    while (s != NULL && sl_stmt_next(s, &err) == 1)
        (*ret)[(*count)++] = (stored_part){ .number = sl_col_int(s, 0), .blob = sl_col_str(s, a, 1), .size = sl_col_int(s, 2), .md5 = sl_col_str(s, a, 3), .checksum = sl_col_str(s, a, 4), .modified_ms = sl_col_int(s, 5) };
    sl_db_unlock(x->c->db);
    return s != NULL || sl_s3_broken(x, &err);
}

static sl_str bare(sl_str etag)
{
    return etag.n > 1 && etag.p[0] == '"' ? sl_str_sub(etag, 1, etag.n - 1) : etag;
}

/* The parts that the list in the body names, in its order. */
static bool chosen(sl_s3_call *x, sl_str upload, sl_str algorithm, stored_part **ret, size_t *count)
{
    sl_err err;
    sl_arena *a = x->arena;
    sl_str root;
    stored_part *have;
    size_t n, at = 0;
    int64_t last = 0;
    const sl_val *doc = sl_xml_parse(a, x->req->body, &root, &err), *list = sl_xml_all(doc, "Part");
    if (doc == NULL || !sl_str_eqc(root, "CompleteMultipartUpload") || sl_val_count(list) == 0)
        return sl_refuse(&x->why, a, 400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema");
    if (!load_parts(x, upload, 0, &have, &n))
        return false;
    for (size_t i = 0; i < sl_val_count(list); i++) {
        int64_t number = 0, before = last;
        (void)sl_parse_int(sl_xml_text(sl_at(list, i), "PartNumber"), &number);
        if ((last = number) <= before)
            return sl_refuse(&x->why, a, 400, "InvalidPartOrder", "The list of parts was not in ascending order. The parts list must be specified in order by part number.");
    }
    *ret = SL_ARRAY(a, stored_part, sl_val_count(list));
    *count = sl_val_count(list);
    for (size_t i = 0; i < *count; i++) {
        const sl_val *e = sl_at(list, i);
        int64_t number = 0;
        sl_str sum = algorithm.n ? sl_xml_text(e, sl_fmt(a, "Checksum%.*s", SL_ARG(algorithm)).p) : SL_S("");
        (void)sl_parse_int(sl_xml_text(e, "PartNumber"), &number);
        while (at < n && have[at].number < number)
            at++;
        if (at == n || have[at].number != number || !sl_str_eq(bare(sl_xml_text(e, "ETag")), have[at].md5) || (sum.n > 0 && have[at].checksum.n > 0 && !sl_str_eq(sum, have[at].checksum)))
            return sl_refuse(&x->why, a, 400, "InvalidPart", "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.");
        if (i + 1 < *count && have[at].size < PART_MIN)
            return sl_refuse(&x->why, a, 400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size");
        (*ret)[i] = have[at];
    }
    return true;
}

static bool append(int out, const char *out_path, int64_t at, const char *in_path, int64_t size, sl_err *err)
{
    int in = open(in_path, O_RDONLY | O_CLOEXEC);
    off_t to = at;
    if (in < 0)
        return sl_err_errno(err, "open", in_path);
    for (int64_t left = size; left > 0;) {
        ssize_t n = copy_file_range(in, NULL, out, &to, (size_t)left, 0);
        if (n <= 0) {
            sl_err_errno(err, "append to", out_path);
            close(in);
            return false;
        }
        left -= n;
    }
    close(in);
    return true;
}

/* ETag: MD5 of the parts' MD5s; the checksum likewise. */
static void composites(sl_arena *a, const stored_part *parts, size_t n, sl_str algorithm, sl_s3_row *row)
{
    sl_hash *md5 = sl_hash_new(a, "MD5");
    sl_algorithm which = SL_SUM_CRC32C;
    bool summed = algorithm.n > 0 && sl_checksum_find(algorithm, &which) && which != SL_SUM_CRC64NVME;
    sl_checksum sum = sl_checksum_new(a, which);
    for (size_t i = 0; i < n; i++) {
        sl_str raw;
        uint8_t bytes[16];
        for (size_t k = 0; k < sizeof bytes; k++) {
            const char *hex = "0123456789abcdef";
            bytes[k] = (uint8_t)((strchr(hex, parts[i].md5.p[2 * k]) - hex) * 16 + (strchr(hex, parts[i].md5.p[2 * k + 1]) - hex));
        }
        sl_hash_add(md5, bytes, sizeof bytes);
        summed = summed && parts[i].checksum.n > 0 && sl_base64_decode(a, parts[i].checksum, &raw);
        if (summed)
            sl_checksum_add(&sum, raw.p, raw.n);
    }
    row->etag = sl_fmt(a, "\"%.*s-%zu\"", SL_ARG(sl_hex(a, sl_hash_end(md5, a))), n);
    row->algorithm = summed ? algorithm : SL_S("");
    row->checksum = summed ? sl_fmt(a, "%.*s-%zu", SL_ARG(sl_base64(a, sl_checksum_end(&sum, a))), n) : SL_S("");
}

static bool complete(sl_s3_call *x, sl_s3_row *row)
{
    sl_err err;
    sl_arena *a = x->arena;
    stored_part *parts = NULL;
    size_t n = 0;
    sl_str upload = sl_request_param(x->req, "uploadId"), headers, algorithm;
    if (!sl_s3_bucket_there(x, x->bucket) || !sl_s3_upload_find(x, upload, &headers, &algorithm) || !chosen(x, upload, algorithm, &parts, &n))
        return false;
    *row = (sl_s3_row){ .bucket = x->bucket, .key = x->key, .blob = sl_gcs_new_blob(x->c, a), .headers = headers };
    sl_str path = sl_gcs_blob_path(x->c, a, row->blob);
    int out = open(path.p, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = out >= 0 || sl_err_errno(&err, "create", path.p);
    for (size_t i = 0; ok && i < n; i++) {
        ok = append(out, path.p, row->size, sl_gcs_blob_path(x->c, a, parts[i].blob).p, parts[i].size, &err);
        row->size += parts[i].size;
    }
    if (out >= 0)
        close(out);
    composites(a, parts, n, algorithm, row);
    ok = (ok || sl_s3_broken(x, &err)) && sl_s3_row_put(x, row, upload);
    if (!ok)
        (void)unlink(path.p);
    return ok;
}

void sl_s3_upload_complete(sl_s3_call *x)
{
    sl_s3_row row;
    sl_arena *a = x->arena;
    if (!complete(x, &row)) {
        sl_s3_call_refused(x);
        return;
    }
    sl_buf b = sl_buf_new(a, ANSWER_MAX);
    sl_buf_fmt(&b, XML_HEAD "<CompleteMultipartUploadResult" NAMESPACE "><Location>%s/%.*s/%.*s</Location><Bucket>%.*s</Bucket><Key>%.*s</Key><ETag>%.*s</ETag>", x->c->aws_url, SL_ARG(x->bucket),
               SL_ARG(sl_percent(a, x->key, "/")), SL_ARG(x->bucket), SL_ARG(sl_xml_escape(a, x->key)), SL_ARG(sl_xml_escape(a, row.etag)));
    if (row.checksum.n > 0)
        sl_buf_fmt(&b, "<Checksum%.*s>%.*s</Checksum%.*s>", SL_ARG(row.algorithm), SL_ARG(row.checksum), SL_ARG(row.algorithm));
    sl_buf_addc(&b, "</CompleteMultipartUploadResult>");
    sl_s3_answer_xml(x, 200, &b);
    sl_s3_tell_encryption(x, row.headers);
    sl_s3_tell_version(x);
}

void sl_s3_upload_abort(sl_s3_call *x)
{
    sl_str upload = sl_request_param(x->req, "uploadId"), headers, algorithm;
    stored_part *parts;
    size_t n;
    bool ok = sl_s3_bucket_there(x, x->bucket) && sl_s3_upload_find(x, upload, &headers, &algorithm) && load_parts(x, upload, 0, &parts, &n) && run(x, "DELETE FROM s3_parts WHERE upload=?", upload)
              && run(x, "DELETE FROM s3_uploads WHERE id=?", upload);
    if (!ok) {
        sl_s3_call_refused(x);
        return;
    }
    for (size_t i = 0; i < n; i++)
        (void)unlink(sl_gcs_blob_path(x->c, x->arena, parts[i].blob).p);
    x->resp->status = 204;
}

static int64_t param_int(sl_s3_call *x, const char *name, int64_t fallback)
{
    int64_t v = fallback;
    return sl_parse_int(sl_request_param(x->req, name), &v) ? v : fallback;
}

void sl_s3_part_list(sl_s3_call *x)
{
    sl_arena *a = x->arena;
    sl_str upload = sl_request_param(x->req, "uploadId"), headers, algorithm;
    stored_part *parts;
    size_t n;
    int64_t most = param_int(x, "max-parts", 1000), marker = param_int(x, "part-number-marker", 0);
    if (!sl_s3_bucket_there(x, x->bucket) || !sl_s3_upload_find(x, upload, &headers, &algorithm) || !load_parts(x, upload, marker, &parts, &n)) {
        sl_s3_call_refused(x);
        return;
    }
    size_t shown = most >= 0 && (size_t)most < n ? (size_t)most : n;
    sl_buf b = sl_buf_new(a, ANSWER_MAX);
    sl_buf_fmt(&b, XML_HEAD "<ListPartsResult" NAMESPACE "><Bucket>%.*s</Bucket><Key>%.*s</Key><UploadId>%.*s</UploadId><PartNumberMarker>%lld</PartNumberMarker><NextPartNumberMarker>%lld</NextPartNumberMarker><MaxParts>%lld</MaxParts><IsTruncated>%s</IsTruncated>",
               SL_ARG(x->bucket), SL_ARG(sl_xml_escape(a, x->key)), SL_ARG(upload), (long long)marker, (long long)(shown ? parts[shown - 1].number : 0), (long long)most, shown < n ? "true" : "false");
    for (size_t i = 0; i < shown; i++) {
        sl_buf_fmt(&b, "<Part><PartNumber>%lld</PartNumber><LastModified>%.*s</LastModified><ETag>&quot;%.*s&quot;</ETag><Size>%lld</Size>", (long long)parts[i].number, SL_ARG(sl_time_rfc3339(a, parts[i].modified_ms)), SL_ARG(parts[i].md5),
                   (long long)parts[i].size);
        if (algorithm.n > 0 && parts[i].checksum.n > 0)
            sl_buf_fmt(&b, "<Checksum%.*s>%.*s</Checksum%.*s>", SL_ARG(algorithm), SL_ARG(parts[i].checksum), SL_ARG(algorithm));
        sl_buf_addc(&b, "</Part>");
    }
    sl_buf_addc(&b, "</ListPartsResult>");
    sl_s3_answer_xml(x, 200, &b);
}

void sl_s3_upload_list(sl_s3_call *x)
{
    sl_err err;
    sl_arena *a = x->arena;
    int64_t most = param_int(x, "max-uploads", 1000), n = 0;
    sl_str prefix = sl_request_param(x->req, "prefix"), key_marker = sl_request_param(x->req, "key-marker"), id_marker = sl_request_param(x->req, "upload-id-marker"), key = SL_S(""), id = SL_S("");
    bool more = false;
    sl_buf b = sl_buf_new(a, ANSWER_MAX), items = sl_buf_new(a, ANSWER_MAX);
    sl_db_lock(x->c->db);
    sl_stmt *s = sl_db_query(x->c->db, &err, "SELECT key, id, created_ms FROM s3_uploads WHERE bucket=? AND (key, id) > (?, ?) ORDER BY key, id", "sss", x->bucket, key_marker, key_marker.n && id_marker.n == 0 ? SL_S("~") : id_marker);
    while (s != NULL && sl_stmt_next(s, &err) == 1) {
        if (!sl_str_starts(sl_col_str(s, a, 0), prefix))
            continue;
        if (n == most) {
            more = true;
            continue;
        }
        key = sl_col_str(s, a, 0);
        id = sl_col_str(s, a, 1);
        n++;
        sl_buf_fmt(&items, "<Upload><Key>%.*s</Key><UploadId>%.*s</UploadId><Initiated>%.*s</Initiated><StorageClass>STANDARD</StorageClass></Upload>", SL_ARG(sl_xml_escape(a, key)), SL_ARG(id), SL_ARG(sl_time_rfc3339(a, sl_col_int(s, 2))));
    }
    sl_db_unlock(x->c->db);
    sl_buf_fmt(&b, XML_HEAD "<ListMultipartUploadsResult" NAMESPACE "><Bucket>%.*s</Bucket><KeyMarker>%.*s</KeyMarker><NextKeyMarker>%.*s</NextKeyMarker><NextUploadIdMarker>%.*s</NextUploadIdMarker><MaxUploads>%lld</MaxUploads><IsTruncated>%s</IsTruncated>",
               SL_ARG(x->bucket), SL_ARG(sl_xml_escape(a, key_marker)), SL_ARG(more ? sl_xml_escape(a, key) : SL_S("")), SL_ARG(more ? id : SL_S("")), (long long)most, more ? "true" : "false");
    sl_buf_add(&b, sl_buf_str(&items));
    sl_buf_addc(&b, "</ListMultipartUploadsResult>");
    sl_s3_answer_xml(x, 200, &b);
}
