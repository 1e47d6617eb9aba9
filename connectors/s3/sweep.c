/* connectors/s3/sweep.c: io.sluice.aws.s3.AbortUploads: parts of uploads that nobody has finished stay, and cost, until they are aborted. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/time.h"
#include "base/xml.h"
#include "connectors/s3/s3.h"

typedef struct abort_cfg {
    sl_aws_cfg aws;
    sl_str bucket, prefix;
    int64_t older_ms;
} abort_cfg;

static const sl_opt abort_opts[] = {
    SL_AWS_OPTS(abort_cfg),
    { .name = "bucket", .type = SL_OPT_STR, .offset = SL_FIELD(abort_cfg, bucket), .flags = SL_REQUIRED, .doc = "The bucket." },
    { .name = "prefix", .type = SL_OPT_STR, .offset = SL_FIELD(abort_cfg, prefix), .doc = "Beginning of the keys." },
    { .name = "olderThan", .type = SL_OPT_DURATION, .offset = SL_FIELD(abort_cfg, older_ms), .fallback = "PT24H", .doc = "Only uploads begun longer ago than this." },
    { 0 },
};
static const sl_opt abort_outs[] = { { .name = "count", .type = SL_OPT_INT, .doc = "Uploads that were aborted." }, { 0 } };

static bool abort_page(sl_s3 *s, const sl_val *uploads, int64_t before_ms, int64_t *count, sl_err *err)
{
    sl_arena *a = s->aws.arena;
    for (size_t i = 0; i < sl_val_count(uploads); i++) {
        sl_http_response r;
        sl_time begun;
        const sl_val *u = sl_at(uploads, i);
        if (!sl_time_parse(sl_xml_text(u, "Initiated"), &begun) || begun.s * 1000 > before_ms)
            continue;
        sl_s3_request req = { .method = "DELETE", .key = sl_xml_text(u, "Key"), .query = sl_fmt(a, "uploadId=%.*s", SL_ARG(sl_percent(a, sl_xml_text(u, "UploadId"), NULL))) };
        if (!sl_s3_send(s, a, &req, &r, err))
            return false;
        if (r.status / 100 != 2 && r.status != 404)
            return sl_s3_error(s, a, &r, sl_s3_doing(s, a, "aborting the upload of", req.key), err);
        *count += r.status / 100 == 2;
    }
    return true;
}

static sl_outcome abort_run(sl_task *t, void *cfg, sl_err *err)
{
    const abort_cfg *c = cfg;
    sl_s3 s;
    if (!sl_s3_open(&s, t, &c->aws, c->bucket, err))
        return SL_TASK_FAILED;
    sl_arena *a = s.aws.arena;
    sl_str key = SL_S(""), id = SL_S("");
    int64_t count = 0, before = sl_now_ms() - c->older_ms;
    do {
        sl_http_response r;
        sl_val *params = sl_map_of(a, "uploads", sl_val_c(a, ""));
        sl_map_opt_str(a, params, "prefix", c->prefix);
        sl_map_opt_str(a, params, "key-marker", key);
        sl_map_opt_str(a, params, "upload-id-marker", id);
        sl_s3_request req = { .method = "GET", .query = sl_url_query(a, params) };
        if (!sl_s3_call(&s, a, &req, sl_fmt(a, "listing the uploads to s3://%.*s", SL_ARG(c->bucket)).p, &r, err))
            return SL_TASK_FAILED;
        const sl_val *doc = sl_xml_parse(a, r.body, NULL, err);
        if (doc == NULL || !abort_page(&s, sl_xml_all(doc, "Upload"), before, &count, err))
            return SL_TASK_FAILED;
        bool more = sl_str_eqc(sl_xml_text(doc, "IsTruncated"), "true");
        key = more ? sl_xml_text(doc, "NextKeyMarker") : SL_S("");
        id = sl_xml_text(doc, "NextUploadIdMarker");
    } while (key.n > 0);
    sl_task_out_int(t, "count", count);
    sl_task_counter(t, "count", (double)count);
    return SL_TASK_DONE;
}

const sl_task_type sl_s3_abort_task = {
    .type = "io.sluice.aws.s3.AbortUploads", .doc = "Aborts multipart uploads that nobody has finished.", .cfg_size = sizeof(abort_cfg), .opts = abort_opts, .outs = abort_outs, .run = abort_run,
};
