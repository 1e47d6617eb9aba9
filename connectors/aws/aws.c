/* connectors/aws/aws.c: see aws.h. */
#include "connectors/aws/aws.h"

#include "base/arena.h"
#include "base/secret.h"

static sl_str without_slash(sl_str s)
{
    s = sl_str_trim(s);
    while (s.n > 0 && s.p[s.n - 1] == '/')
        s.n--;
    return s;
}

/* The local cloud takes its own keys: those of a flow that is meant for AWS are of no use to it. */
static bool find_credentials(sl_aws_client *c, const sl_aws_cfg *cfg, bool local, sl_err *err)
{
    sl_aws_options o = {
        .key_id = sl_str_trim(cfg->key_id), .secret = sl_str_trim(cfg->secret), .token = sl_str_trim(cfg->token), .role_arn = cfg->role_arn, .external_id = cfg->role_external_id, .session_name = cfg->role_session_name,
        .role_duration_s = cfg->role_duration_ms / 1000, .sts_endpoint = without_slash(cfg->sts_endpoint), .region = c->region,
    };
    if (local) {
        o.key_id = o.secret = o.token = SL_S("");
        o.sts_endpoint = c->base;
    }
    sl_redact_add(o.secret);
    sl_redact_add(o.token);
    c->cred = sl_aws_find(sl_task_aws(c->task), &o, err);
    if (c->cred == NULL)
        return false;
    c->pool = sl_fmt(c->arena, "aws %.*s", SL_ARG(sl_aws_identity(c->cred)));
    return true;
}

bool sl_aws_open(sl_aws_client *c, sl_task *t, const char *service, const char *variable, const sl_aws_cfg *cfg, sl_err *err)
{
    bool local;
    *c = (sl_aws_client){ .task = t, .arena = sl_task_arena(t), .service = service, .region = sl_str_trim(cfg->region), .base = without_slash(cfg->endpoint), .ca_file = sl_aws_ca_file(sl_task_arena(t)) };
    const char *configured = sl_task_endpoint(t, service, &local);
    if (local && configured == NULL && c->base.n == 0)
        return sl_err_set(err, SL_ERR_CONFIG, "aws.local", "the local cloud has no %s; set 'endpointOverride', or run without --local", service);
    if (c->base.n == 0)
        c->base = sl_str_c(configured ? configured : sl_aws_endpoint(c->arena, variable));
    if (c->base.n > 0 && sl_str_find(c->base, SL_S("://")) < 0)
        c->base = sl_fmt(c->arena, "https://%.*s", SL_ARG(c->base));
    if (c->region.n == 0)
        c->region = sl_aws_region(c->arena);
    if (c->region.n == 0 && (local || c->base.n > 0))
        c->region = SL_S("us-east-1"); /* what servers that are not AWS call themselves */
    if (c->region.n == 0)
        return sl_err_set(err, SL_ERR_CONFIG, "aws.region", "no AWS region is known; set the property 'region', or AWS_REGION");
    return find_credentials(c, cfg, local && cfg->endpoint.n == 0, err);
}

const char *sl_aws_domain(sl_str region)
{
    return sl_str_starts(region, SL_S("cn-")) ? "amazonaws.com.cn" : "amazonaws.com";
}

sl_str sl_aws_base(const sl_aws_client *c, sl_arena *arena)
{
    return c->base.n ? c->base : sl_fmt(arena, "https://%s.%.*s.%s", c->service, SL_ARG(c->region), sl_aws_domain(c->region));
}
