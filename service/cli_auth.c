/* service/cli_auth.c: `auth explain`: which credentials win, and whether they work. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "service/cli.h"

static int tell(sl_cli *c, const sl_val *steps, sl_val *doc, const char *sentence)
{
    if (c->json) {
        sl_map_setc(c->arena, doc, "steps", steps);
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, doc)));
    } else
        sl_cli_print("%s\n", sentence);
    return 0;
}

static void show_steps(const sl_cli *c, const sl_val *steps)
{
    for (size_t i = 0; !c->json && i < sl_val_count(steps); i++)
        sl_cli_print("%-4s %-34.*s %.*s\n", sl_get_bool(sl_at(steps, i), "found", false) ? "->" : "", SL_ARG(sl_get_text(sl_at(steps, i), "link")), SL_ARG(sl_get_text(sl_at(steps, i), "detail")));
}

static int explain_google(sl_cli *c, sl_http *http)
{
    sl_err err;
    sl_arena *a = c->arena;
    sl_google_options o = { .impersonate = sl_cli_text(c, "--impersonate") };
    sl_str file = sl_cli_text(c, "--key"), token;
    int64_t expires = 0;
    sl_val *steps = sl_list(a), *doc = sl_map(a);
    if (file.n > 0 && !sl_fs_read(a, file.p, 1 << 20, &o.service_account, &err))
        return sl_cli_error(1, &err);
    sl_google *g = sl_google_new(http);
    sl_google_cred *cred = sl_google_explain(g, a, &o, steps, &err);
    show_steps(c, steps);
    bool ok = cred != NULL && sl_google_token(cred, a, false, &token, &expires, &err);
    if (ok) {
        sl_str until = sl_time_rfc3339(a, expires * 1000);
        sl_map_set_str(a, doc, "identity", sl_google_identity(cred));
        sl_map_set_str(a, doc, "project", sl_google_project(cred));
        sl_map_set_str(a, doc, "expires", until);
        tell(c, steps, doc, sl_fmt(a, "identity %.*s, project %.*s, token good until %.*s", SL_ARG(sl_google_identity(cred)), SL_ARG(sl_google_project(cred)), SL_ARG(until)).p);
    }
    sl_google_free(g);
    return ok ? 0 : sl_cli_error(1, &err);
}

static int explain_aws(sl_cli *c, sl_http *http)
{
    sl_err err;
    sl_arena *a = c->arena;
    sl_aws_options o = { .role_arn = sl_cli_text(c, "--role"), .external_id = sl_cli_text(c, "--external-id"), .region = sl_aws_region(a) };
    sl_aws_keys keys;
    sl_val *steps = sl_list(a), *doc = sl_map(a);
    sl_aws *aws = sl_aws_new(http);
    sl_aws_cred *cred = sl_aws_explain(aws, a, &o, steps, &err);
    show_steps(c, steps);
    bool ok = cred != NULL && sl_aws_get_keys(cred, a, false, &keys, &err);
    if (ok) {
        sl_str until = keys.expires_s ? sl_time_rfc3339(a, keys.expires_s * 1000) : SL_S(""), region = o.region.n ? o.region : SL_S("none");
        sl_map_set_str(a, doc, "identity", sl_aws_identity(cred));
        sl_map_set_str(a, doc, "accessKeyId", keys.id);
        sl_map_set_bool(a, doc, "temporary", keys.token.n > 0);
        sl_map_opt_str(a, doc, "region", o.region);
        sl_map_opt_str(a, doc, "expires", until);
        tell(c, steps, doc, sl_fmt(a, "access key %.*s, region %.*s, %s%.*s", SL_ARG(keys.id), SL_ARG(region), until.n ? "good until " : "does not expire", SL_ARG(until)).p);
    }
    sl_aws_free(aws);
    return ok ? 0 : sl_cli_error(1, &err);
}

static int explain(sl_cli *c)
{
    bool google = strcmp(c->words[0], "google") == 0;
    if (!google && strcmp(c->words[0], "aws") != 0)
        return sl_cli_fail(2, "there is no `sluice auth explain %s`; there are google and aws", c->words[0]);
    sl_http *http = sl_http_new(NULL);
    int rc = google ? explain_google(c, http) : explain_aws(c, http);
    sl_http_free(http);
    return rc;
}

static const sl_cli_opt auth_opts[] = {
    { "--key", NULL, "FILE", false, "google: a key file to try, as the property serviceAccount would" },
    { "--impersonate", NULL, "EMAIL", false, "google: an account to act as" },
    { "--role", NULL, "ARN", false, "aws: a role to assume, as the property stsRoleArn would" },
    { "--external-id", NULL, "TEXT", false, "aws: what the role asks for" },
    { 0 },
};

const sl_command sl_command_auth = { "auth explain", "google|aws", "Shows which credentials win, for whom, and until when.", auth_opts, 1, 1, explain };
