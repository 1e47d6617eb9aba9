/* connectors/s3/bucket.c: io.kestra.plugin.aws.s3.CreateBucket. */
#include "base/arena.h"
#include "base/xml.h"
#include "connectors/s3/s3.h"

typedef struct bucket_cfg {
    sl_aws_cfg aws;
    sl_str bucket, acl, full, read, read_acp, write, write_acp;
    bool object_lock;
} bucket_cfg;

static const sl_opt bucket_opts[] = {
    SL_AWS_OPTS(bucket_cfg),
    { .name = "bucket", .type = SL_OPT_STR, .offset = SL_FIELD(bucket_cfg, bucket), .flags = SL_REQUIRED, .doc = "Its name." },
    { .name = "acl", .type = SL_OPT_STR, .offset = SL_FIELD(bucket_cfg, acl), .doc = "Canned access control list." },
    { .name = "grantFullControl", .type = SL_OPT_STR, .offset = SL_FIELD(bucket_cfg, full), .doc = "Who may do all." },
    { .name = "grantRead", .type = SL_OPT_STR, .offset = SL_FIELD(bucket_cfg, read), .doc = "Who may list." },
    { .name = "grantReadACP", .type = SL_OPT_STR, .offset = SL_FIELD(bucket_cfg, read_acp), .doc = "Who may read the access control list." },
    { .name = "grantWrite", .type = SL_OPT_STR, .offset = SL_FIELD(bucket_cfg, write), .doc = "Who may make objects." },
    { .name = "grantWriteACP", .type = SL_OPT_STR, .offset = SL_FIELD(bucket_cfg, write_acp), .doc = "Who may change the access control list." },
    { .name = "objectLockEnabledForBucket", .type = SL_OPT_BOOL, .offset = SL_FIELD(bucket_cfg, object_lock), .doc = "Objects can be locked." },
    { 0 },
};
static const sl_opt bucket_outs[] = { { .name = "bucket", .type = SL_OPT_STR, .doc = "Its name." }, { .name = "region", .type = SL_OPT_STR, .doc = "Its location, as S3 says it." }, { 0 } };

static sl_outcome bucket_run(sl_task *t, void *cfg, sl_err *err)
{
    const bucket_cfg *c = cfg;
    sl_s3 s;
    sl_http_response r;
    if (!sl_s3_open(&s, t, &c->aws, c->bucket, err))
        return SL_TASK_FAILED;
    sl_arena *a = s.aws.arena;
    sl_val *headers = sl_map(a), *intent = sl_map_of(a, "bucket", sl_val_str(a, c->bucket));
    sl_map_opt_str(a, headers, "x-amz-acl", c->acl);
    sl_map_opt_str(a, headers, "x-amz-grant-full-control", c->full);
    sl_map_opt_str(a, headers, "x-amz-grant-read", c->read);
    sl_map_opt_str(a, headers, "x-amz-grant-read-acp", c->read_acp);
    sl_map_opt_str(a, headers, "x-amz-grant-write", c->write);
    sl_map_opt_str(a, headers, "x-amz-grant-write-acp", c->write_acp);
    if (c->object_lock)
        sl_map_set_str(a, headers, "x-amz-bucket-object-lock-enabled", SL_S("true"));
    sl_str place = sl_fmt(a, "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>%.*s</LocationConstraint></CreateBucketConfiguration>", SL_ARG(sl_xml_escape(a, s.aws.region)));
    sl_s3_request req = { .method = "PUT", .headers = headers, .body = sl_str_eqc(s.aws.region, "us-east-1") ? SL_S("") : place };
    bool again = sl_task_saved(t) != NULL;
    if ((!again && !sl_task_checkpoint(t, intent, err)) || !sl_s3_send(&s, a, &req, &r, err))
        return SL_TASK_FAILED;
    /* An interrupted attempt of ours may have made it. */
    if (r.status / 100 != 2 && !(again && sl_str_eqc(sl_s3_code(a, &r), "BucketAlreadyOwnedByYou"))) {
        sl_s3_error(&s, a, &r, sl_fmt(a, "creating the bucket '%.*s'", SL_ARG(c->bucket)).p, err);
        return SL_TASK_FAILED;
    }
    sl_task_out_str(t, "bucket", c->bucket);
    sl_task_out_str(t, "region", sl_http_header(&r, "location"));
    return SL_TASK_DONE;
}

const sl_task_type sl_s3_create_bucket_task = { .type = "io.kestra.plugin.aws.s3.CreateBucket", .doc = "Creates a bucket.", .cfg_size = sizeof(bucket_cfg), .opts = bucket_opts, .outs = bucket_outs, .run = bucket_run };
