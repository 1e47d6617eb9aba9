/* connectors/s3/multipart.c: see multipart.h. */
#include "connectors/s3/multipart.h"

#include "auth/sigv4.h"
#include "base/arena.h"
#include "base/fault.h"
#include "base/xml.h"
#include "connectors/s3/trailer.h"

enum { PUT_IDLE_MS = 120000, COMPLETE_IDLE_MS = 600000, COMPLETE_MAX = 16 << 20, MIB = 1 << 20 };

/* ---- bytes ---- */

/* Some services know no checksums but Content-MD5. That is remembered for the endpoint. */
static bool refused(const sl_s3_target *to, sl_arena *a, const sl_http_response *r)
{
    if (to->algorithm_given || to->algorithm == SL_SUM_MD5 || (r->status != 400 && r->status != 501))
        return false;
    sl_str code = sl_s3_code(a, r), body = sl_str_lower(a, sl_str_sub(r->body, 0, 4096));
    return r->status == 501 || sl_str_eqc(code, "NotImplemented") || (sl_str_find(body, SL_S("checksum")) >= 0 && !sl_str_eqc(code, "BadDigest") && !sl_str_eqc(code, "XAmzContentChecksumMismatch"));
}

bool sl_s3_put_body(const sl_s3_target *to, sl_arena *a, const sl_s3_body *body, sl_str query, const sl_val *headers, sl_http_response *ret, sl_str *ret_sum, sl_err *err)
{
    bool hashed = !sl_s3_unsigned(to->s);
    for (;;) {
        sl_algorithm algorithm = sl_s3_plain(to->s) && !to->algorithm_given ? SL_SUM_MD5 : to->algorithm;
        sl_checksum sums[2] = { sl_checksum_new(a, algorithm), sl_checksum_new(a, hashed ? SL_SUM_SHA256 : SL_SUM_CRC32C) };
        if (!body->sum(body->self, sums, hashed ? 2 : 1, err))
            return false;
        *ret_sum = sl_base64(a, sl_checksum_end(&sums[0], a));
        sl_val *all = sl_map_shallow(a, headers);
        sl_map_set_str(a, all, sl_s3_checksum_header(algorithm), *ret_sum);
        sl_s3_request r = {
            .method = "PUT", .key = to->key, .query = query, .headers = all, .open_body = body->open, .body_self = body->self, .body_size = body->size,
            .body_sha256 = hashed ? sl_hex(a, sl_checksum_end(&sums[1], a)) : SL_S(""), .idle_ms = PUT_IDLE_MS,
        };
        if (!sl_s3_send(to->s, a, &r, ret, err))
            return false;
        if (ret->status / 100 == 2 || algorithm == SL_SUM_MD5 || !refused(to, a, ret))
            return true;
        sl_s3_set_plain(to->s);
    }
}

/* The sum goes behind the body. true: there is an answer; *known: the sum came back with it. */
static bool put_trailed(const sl_s3_target *to, sl_arena *a, const sl_s3_body *body, sl_str query, sl_http_response *ret, sl_str *ret_sum, bool *known, sl_err *err)
{
    const char *header = sl_s3_checksum_header(to->algorithm);
    sl_s3_trailed t = { .arena = a, .open = body->open, .self = body->self, .size = body->size, .algorithm = to->algorithm };
    sl_val *headers = sl_map_of(a, "content-encoding", sl_val_c(a, "aws-chunked"));
    sl_map_set_str(a, headers, "x-amz-decoded-content-length", sl_fmt(a, "%lld", (long long)body->size));
    sl_map_set_str(a, headers, "x-amz-trailer", sl_str_c(header));
    sl_s3_request r = {
        .method = "PUT", .key = to->key, .query = query, .headers = headers, .open_body = sl_s3_trailed_open, .body_self = &t, .body_size = sl_s3_trailed_size(body->size, to->algorithm),
        .body_sha256 = SL_S(SL_SIGV4_UNSIGNED_TRAILER), .idle_ms = PUT_IDLE_MS,
    };
    if (!sl_s3_send(to->s, a, &r, ret, err))
        return false;
    *ret_sum = t.sum;
    *known = ret->status / 100 == 2 && sl_str_eq(sl_http_header(ret, header), t.sum);
    return true;
}

/* As sl_s3_put_body, for what nobody sees yet. That an endpoint does not know trailers is remembered, once it took the bytes without. */
static bool put_part(const sl_s3_target *to, sl_arena *a, const sl_s3_body *body, sl_str query, sl_http_response *ret, sl_str *ret_sum, sl_err *err)
{
    bool known = false, tries = to->algorithm != SL_SUM_MD5 && !sl_s3_plain(to->s) && sl_s3_unsigned(to->s) && !sl_s3_no_trailers(to->s);
    if (tries) {
        if (!put_trailed(to, a, body, query, ret, ret_sum, &known, err))
            return false;
        if (known || (ret->status / 100 == 5 && ret->status != 501))
            return true;
    }
    if (!sl_s3_put_body(to, a, body, query, NULL, ret, ret_sum, err))
        return false;
    if (tries && ret->status / 100 == 2)
        sl_s3_set_no_trailers(to->s);
    return true;
}

/* ---- the upload ---- */

int64_t sl_s3_part_size(int64_t size)
{
    int64_t least = (size + SL_S3_PARTS_MAX - 1) / SL_S3_PARTS_MAX;
    return least <= SL_S3_PART_MIN ? SL_S3_PART_MIN : (least + MIB - 1) / MIB * MIB;
}

static sl_str query_of(sl_arena *a, sl_str id)
{
    return sl_fmt(a, "uploadId=%.*s", SL_ARG(sl_percent(a, id, NULL)));
}

static const char *doing(const sl_s3_target *to, sl_arena *a)
{
    return sl_s3_doing(to->s, a, "uploading to", to->key);
}

bool sl_s3_multipart_begin(sl_s3_target *to, sl_str *ret_id, sl_err *err)
{
    sl_arena *a = to->s->aws.arena;
    sl_http_response r;
    sl_val *headers = sl_map_shallow(a, to->headers);
    if (sl_s3_plain(to->s) && !to->algorithm_given)
        to->algorithm = SL_SUM_MD5;
    if (to->algorithm != SL_SUM_MD5)
        sl_map_set_str(a, headers, "x-amz-checksum-algorithm", sl_str_c(sl_checksum_name(to->algorithm)));
    sl_s3_request req = { .method = "POST", .key = to->key, .query = SL_S("uploads="), .headers = headers, .idempotent = true };
    if (!SL_FAULT("upload.before_session", err) || !sl_s3_call(to->s, a, &req, doing(to, a), &r, err) || !SL_FAULT("upload.after_session", err))
        return false;
    const sl_val *doc = sl_xml_parse(a, r.body, NULL, err);
    if (doc == NULL)
        return sl_err_ctx(err, "%s", doing(to, a));
    *ret_id = sl_xml_text(doc, "UploadId");
    return ret_id->n > 0 || sl_err_set(err, SL_ERR_REMOTE, "s3.upload", "%s: S3 gave no upload id", doing(to, a));
}

bool sl_s3_multipart_list(const sl_s3_target *to, sl_str id, bool (*on_part)(void *self, int64_t number, const sl_s3_part *part, sl_err *err), void *self, bool *known, sl_err *err)
{
    sl_arena *a = to->s->aws.arena;
    sl_str marker = SL_S("0");
    const char *sum = sl_fmt(a, "Checksum%s", sl_checksum_name(to->algorithm)).p;
    *known = true;
    do {
        sl_http_response r;
        sl_s3_request req = { .method = "GET", .key = to->key, .query = sl_fmt(a, "max-parts=1000&part-number-marker=%.*s&%.*s", SL_ARG(marker), SL_ARG(query_of(a, id))) };
        if (!sl_s3_send(to->s, a, &req, &r, err))
            return false;
        if (sl_str_eqc(sl_s3_code(a, &r), "NoSuchUpload")) {
            *known = false;
            return true;
        }
        const sl_val *doc = r.status / 100 == 2 ? sl_xml_parse(a, r.body, NULL, err) : NULL;
        if (doc == NULL)
            return r.status / 100 == 2 ? sl_err_ctx(err, "%s", doing(to, a)) : sl_s3_error(to->s, a, &r, doing(to, a), err);
        const sl_val *found = sl_xml_all(doc, "Part");
        for (size_t i = 0; i < sl_val_count(found); i++) {
            int64_t number = 0;
            const sl_val *e = sl_at(found, i);
            sl_s3_part part = { .etag = sl_xml_text(e, "ETag"), .sum = sl_xml_text(e, sum), .size = -1 };
            if (sl_parse_int(sl_xml_text(e, "PartNumber"), &number) && number >= 1 && number <= SL_S3_PARTS_MAX && sl_parse_int(sl_xml_text(e, "Size"), &part.size) && !on_part(self, number, &part, err))
                return false;
        }
        marker = sl_str_eqc(sl_xml_text(doc, "IsTruncated"), "true") ? sl_xml_text(doc, "NextPartNumberMarker") : SL_S("");
    } while (marker.n > 0);
    return true;
}

bool sl_s3_multipart_send(const sl_s3_target *to, sl_arena *a, sl_str id, int64_t number, const sl_s3_body *body, sl_s3_part *ret, sl_err *err)
{
    sl_http_response r;
    sl_str query = sl_fmt(a, "partNumber=%lld&%.*s", (long long)number, SL_ARG(query_of(a, id)));
    *ret = (sl_s3_part){ .size = body->size };
    if (!SL_FAULT("upload.before_chunk", err) || !put_part(to, a, body, query, &r, &ret->sum, err) || !SL_FAULT("upload.after_chunk", err))
        return sl_err_ctx(err, "%s, part %lld", doing(to, a), (long long)number);
    if (r.status / 100 != 2)
        return sl_s3_error(to->s, a, &r, doing(to, a), err);
    ret->etag = sl_http_header(&r, "etag");
    return ret->etag.n > 0 || sl_err_set(err, SL_ERR_REMOTE, "s3.upload", "%s: S3 gave no ETag for part %lld", doing(to, a), (long long)number);
}

static sl_str completion(const sl_s3_target *to, sl_arena *a, const sl_s3_part *parts, size_t count)
{
    sl_buf b = sl_buf_new(a, COMPLETE_MAX);
    const char *name = sl_checksum_name(to->algorithm);
    sl_buf_addc(&b, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < count; i++) {
        sl_buf_fmt(&b, "<Part><PartNumber>%zu</PartNumber><ETag>%.*s</ETag>", i + 1, SL_ARG(sl_xml_escape(a, parts[i].etag)));
        if (to->algorithm != SL_SUM_MD5 && !sl_s3_plain(to->s))
            sl_buf_fmt(&b, "<Checksum%s>%.*s</Checksum%s>", name, SL_ARG(parts[i].sum), name);
        sl_buf_addc(&b, "</Part>");
    }
    sl_buf_addc(&b, "</CompleteMultipartUpload>");
    return sl_buf_str(&b);
}

bool sl_s3_multipart_complete(const sl_s3_target *to, sl_str id, const sl_s3_part *parts, size_t count, sl_s3_made *ret, sl_err *err)
{
    sl_arena *a = to->s->aws.arena;
    sl_http_response r;
    *ret = (sl_s3_made){ 0 };
    sl_s3_request req = {
        .method = "POST", .key = to->key, .query = query_of(a, id), .headers = to->conditions, .body = completion(to, a, parts, count), .xml_result = true, .idempotent = true, .idle_ms = COMPLETE_IDLE_MS,
    };
    if (!SL_FAULT("upload.before_complete", err) || !sl_s3_send(to->s, a, &req, &r, err) || !SL_FAULT("upload.after_complete", err))
        return sl_err_ctx(err, "%s", doing(to, a));
    if (r.status / 100 != 2 || sl_s3_code(a, &r).n > 0) {
        ret->gone = r.attempts > 1;
        return sl_s3_error(to->s, a, &r, doing(to, a), err);
    }
    const sl_val *doc = sl_xml_parse(a, r.body, NULL, err);
    ret->etag = sl_xml_text(doc, "ETag");
    ret->version = sl_http_header(&r, "x-amz-version-id");
    return doc != NULL || sl_err_ctx(err, "%s", doing(to, a));
}

void sl_s3_multipart_abort(sl_s3 *s, sl_str key, sl_str id)
{
    sl_arena *a = s->aws.arena;
    sl_http_response r;
    sl_err err;
    sl_s3_request req = { .method = "DELETE", .key = key, .query = query_of(a, id) };
    if (id.n > 0 && !sl_s3_call(s, a, &req, "aborting it", &r, &err) && err.kind != SL_ERR_NOT_FOUND)
        sl_task_log(s->aws.task, SL_WARN, "the parts of the upload to %.*s stay; io.sluice.aws.s3.AbortUploads removes them: %s", SL_ARG(key), err.message);
}

sl_str sl_s3_multipart_sum(sl_arena *a, sl_algorithm algorithm, const sl_s3_part *parts, size_t count)
{
    sl_checksum all = sl_checksum_new(a, algorithm);
    for (size_t i = 0; i < count; i++) {
        sl_str raw;
        if (sl_base64_decode(a, parts[i].sum, &raw))
            sl_checksum_add(&all, raw.p, raw.n);
    }
    sl_str raw = sl_checksum_end(&all, a), text = algorithm == SL_SUM_MD5 ? sl_hex(a, raw) : sl_base64(a, raw);
    return sl_fmt(a, "%.*s-%zu", SL_ARG(text), count);
}
