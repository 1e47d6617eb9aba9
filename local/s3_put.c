/* local/s3_put.c: PutObject and UploadPart: streamed to a file, unpacked, every hash and checksum compared at the end. */
#include <fcntl.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/io.h"
#include "local/aws_chunked.h"
#include "local/s3.h"

enum { TAGGING_MAX = 64 << 10 };

typedef struct incoming {
    sl_s3_call x;
    bool refused, chunked, taken; /* taken: the blob belongs to an object or a part now */
    sl_chunked chunks;
    sl_str blob, path;
    int fd;
    int64_t size;
    sl_hash *md5, *sha256;        /* sha256: of a body with its hash in x-amz-content-sha256 */
    sl_checksum sum;
    bool summed;
} incoming;

static void refuse(incoming *in)
{
    in->refused = true;
}

/* Which checksum the request brings, in a header or in a trailer. */
static void choose_sum(incoming *in, sl_server_request *req)
{
    sl_str trailer = sl_str_lower(req->arena, sl_request_header(req, "x-amz-trailer")), named = sl_request_header(req, "x-amz-sdk-checksum-algorithm");
    for (int i = 0; i < SL_SUM_MD5 && !in->summed; i++) {
        sl_str header = sl_fmt(req->arena, "x-amz-checksum-%.*s", SL_ARG(sl_str_lower(req->arena, sl_str_c(sl_checksum_name((sl_algorithm)i)))));
        in->summed = sl_request_header(req, header.p).n > 0 || sl_str_eq(trailer, header) || sl_str_ieq(named, sl_str_c(sl_checksum_name((sl_algorithm)i)));
        if (in->summed)
            in->sum = sl_checksum_new(req->arena, (sl_algorithm)i);
    }
}

void *sl_s3_put_begin(void *self, sl_server_request *req)
{
    sl_cloud *c = self;
    incoming *in = SL_NEW(req->arena, incoming);
    *in = (incoming){ .x = { .c = c, .req = req, .arena = req->arena, .bucket = req->segments[0] }, .fd = -1 };
    if (!sl_percent_decode(req->arena, req->rest, false, &in->x.key) || in->x.key.n == 0 || in->x.key.n > 1024) {
        sl_refuse(&in->x.why, req->arena, 400, in->x.key.n > 1024 ? "KeyTooLongError" : "InvalidArgument", "The key of an object has 1 to 1024 bytes.");
        refuse(in);
        return in;
    }
    if (!sl_aws_verify(c, req, &in->x.caller, &in->x.why) || !sl_s3_bucket_there(&in->x, in->x.bucket)) {
        refuse(in);
        return in;
    }
    if (sl_request_header(req, "x-amz-copy-source").n > 0)
        return in;
    in->chunked = sl_chunked_begin(&in->chunks, req->arena, &in->x.caller, in->x.caller.payload);
    in->blob = sl_gcs_new_blob(c, req->arena);
    in->path = sl_gcs_blob_path(c, req->arena, in->blob);
    in->fd = open(in->path.p, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    in->md5 = sl_hash_new(req->arena, "MD5");
    in->sha256 = in->x.caller.payload.n == SL_SIGV4_HEX ? sl_hash_new(req->arena, "SHA256") : NULL;
    choose_sum(in, req);
    return in;
}

static bool add_content(void *self, const void *data, size_t n)
{
    incoming *in = self;
    sl_err err;
    if (!sl_fs_pwrite(in->fd, data, n, in->size, in->path.p, &err)) {
        sl_s3_broken(&in->x, &err);
        return false;
    }
    sl_hash_add(in->md5, data, n);
    if (in->sha256 != NULL)
        sl_hash_add(in->sha256, data, n);
    if (in->summed)
        sl_checksum_add(&in->sum, data, n);
    in->size += (int64_t)n;
    return true;
}

bool sl_s3_put_data(void *self, sl_server_request *req, const void *data, size_t n)
{
    (void)self;
    incoming *in = req->stream;
    if (in->refused || in->fd < 0)
        return true; /* read and thrown away; the answer says why */
    bool ok = in->chunked ? sl_chunked_add(&in->chunks, data, n, add_content, in, &in->x.why) : add_content(in, data, n);
    if (!ok)
        refuse(in);
    return true;
}

void sl_s3_put_end(void *self, sl_server_request *req)
{
    (void)self;
    incoming *in = req->stream;
    if (in == NULL)
        return;
    if (in->fd >= 0)
        close(in->fd);
    if (in->blob.n > 0 && !in->taken)
        (void)unlink(in->path.p);
}

static bool fits(incoming *in, sl_str md5, sl_str sum)
{
    sl_server_request *req = in->x.req;
    sl_arena *a = req->arena;
    sl_str wanted_md5 = sl_request_header(req, "content-md5"), length = sl_request_header(req, "x-amz-decoded-content-length"), wanted = SL_S(""), raw;
    int64_t announced;
    if (in->chunked && !sl_chunked_complete(&in->chunks))
        return sl_refuse(&in->x.why, a, 400, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header");
    if (length.n > 0 && (!sl_parse_int(length, &announced) || announced != in->size))
        return sl_refuse(&in->x.why, a, 400, "IncompleteBody", "x-amz-decoded-content-length is not the length of the content");
    if (in->sha256 != NULL && !sl_str_eq(sl_hex(a, sl_hash_end(in->sha256, a)), in->x.caller.payload))
        return sl_refuse(&in->x.why, a, 400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.");
    if (wanted_md5.n > 0 && (!sl_base64_decode(a, wanted_md5, &raw) || raw.n != 16))
        return sl_refuse(&in->x.why, a, 400, "InvalidDigest", "The Content-MD5 you specified is not valid.");
    if (wanted_md5.n > 0 && !sl_str_eq(raw, md5))
        return sl_refuse(&in->x.why, a, 400, "BadDigest", "The Content-MD5 you specified did not match what we received.");
    if (in->summed) {
        sl_str header = sl_fmt(a, "x-amz-checksum-%.*s", SL_ARG(sl_str_lower(a, sl_str_c(sl_checksum_name(in->sum.algorithm)))));
        wanted = sl_request_header(req, header.p);
        if (wanted.n == 0 && in->chunked)
            wanted = sl_get_text(in->chunks.trailers, header.p);
    }
    return wanted.n == 0 || sl_str_eq(wanted, sum) || sl_refuse(&in->x.why, a, 400, "BadDigest", "The %s you specified did not match the calculated checksum.", sl_checksum_name(in->sum.algorithm));
}

/* ?tagging: what has arrived is no content. */
static void set_tags(incoming *in)
{
    sl_err err;
    sl_str body;
    if (!sl_fs_read(in->x.arena, in->path.p, TAGGING_MAX, &body, &err))
        sl_refuse(&in->x.why, in->x.arena, 400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema");
    if (in->x.why.status != 0 || !sl_s3_tags_put(&in->x, body))
        sl_s3_call_refused(&in->x);
}

static void finish(incoming *in, sl_server_response *resp)
{
    sl_s3_call *x = &in->x;
    sl_arena *a = x->arena;
    int64_t number = 0;
    sl_str md5 = sl_hash_end(in->md5, a), sum = in->summed ? sl_base64(a, sl_checksum_end(&in->sum, a)) : SL_S(""), upload = sl_request_param(x->req, "uploadId"), kept = SL_S("{}"), ignored;
    sl_str etag = sl_fmt(a, "\"%.*s\"", SL_ARG(sl_hex(a, md5))), algorithm = in->summed ? sl_str_c(sl_checksum_name(in->sum.algorithm)) : SL_S("");
    bool part = upload.n > 0, ok = fits(in, md5, sum);
    if (ok && part && (!sl_parse_int(sl_request_param(x->req, "partNumber"), &number) || number < 1 || number > 10000))
        ok = sl_refuse(&x->why, a, 400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive");
    if (ok && sl_s3_sub(x, "tagging")) {
        set_tags(in);
        return;
    }
    if (ok && part)
        ok = sl_s3_upload_find(x, upload, &kept, &ignored) && sl_s3_customer_opens(x, kept, "", true) && sl_s3_part_put(x, upload, number, in->blob, in->size, sl_hex(a, md5), sum);
    else if (ok && (ok = sl_s3_customer_fits(x) && sl_s3_tags_fit(x, sl_request_header(x->req, "x-amz-tagging")))) {
        if (sl_request_header(x->req, "x-amz-server-side-encryption-customer-key").n > 0)
            etag = sl_s3_opaque_etag(x, in->blob);
        kept = sl_s3_kept_headers(x);
        sl_s3_row row = { .bucket = x->bucket, .key = x->key, .blob = in->blob, .size = in->size, .etag = etag, .algorithm = algorithm, .checksum = sum, .headers = kept };
        ok = sl_s3_row_put(x, &row, SL_S(""));
    }
    if (!ok) {
        sl_s3_call_refused(x);
        return;
    }
    in->taken = true;
    sl_val *headers = sl_map_of(a, "ETag", sl_val_str(a, etag));
    if (in->summed)
        sl_map_set_str(a, headers, sl_fmt(a, "x-amz-checksum-%.*s", SL_ARG(sl_str_lower(a, algorithm))).p, sum);
    resp->headers = headers;
    resp->status = 200;
    sl_s3_tell_encryption(x, kept);
    sl_s3_tell_version(x);
}

void sl_s3_object_put(void *self, sl_server_request *req, sl_server_response *resp)
{
    (void)self;
    incoming *in = req->stream;
    static const char *const unknown[] = { "acl", "retention", "legal-hold", "torrent", "select" };
    in->x.resp = resp;
    in->x.req = req;
    for (size_t i = 0; i < SL_COUNT(unknown) && !in->refused; i++)
        if (sl_s3_sub(&in->x, unknown[i])) {
            sl_refuse(&in->x.why, req->arena, 501, "NotImplemented", "The local cloud does not know ?%s.", unknown[i]);
            refuse(in);
        }
    if (in->refused)
        sl_s3_call_refused(&in->x);
    else if (sl_request_header(req, "x-amz-copy-source").n > 0)
        sl_s3_copy(&in->x);
    else if (in->fd < 0) {
        sl_refuse(&in->x.why, req->arena, 500, "InternalError", "the disk took no new file");
        sl_s3_call_refused(&in->x);
    } else
        finish(in, resp);
}
