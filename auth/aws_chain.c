/*
 * auth/aws_chain.c: where AWS keys are looked for without explicit ones, and what the shared config files say.
 * Source: https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
 */
#include "auth/aws_cred.h"

#include "auth/step.h"
#include "base/arena.h"
#include "base/fs.h"
#include "base/log.h"

#include <stdatomic.h>

enum { FILE_MAX = 1 << 20, CHAIN_MAX = 5 };

static sl_str env(const char *name)
{
    return sl_str_c(getenv(name));
}

/* ---- files ---- */

static const char *file_path(sl_arena *a, const char *variable, const char *name)
{
    sl_str own = env(variable), home = env("HOME");
    return own.n ? own.p : sl_fmt(a, "%.*s/.aws/%s", SL_ARG(home), name).p;
}

/* [profile x] of the config file, [x] of the credentials file; "sso-session x" and "services x" keep their prefix. */
static sl_str section_name(sl_str line)
{
    sl_str name = sl_str_trim(sl_str_sub(line, 1, line.n));
    ptrdiff_t end = sl_str_find(name, SL_S("]"));
    name = sl_str_trim(sl_str_sub(name, 0, end < 0 ? name.n : (size_t)end));
    return sl_str_starts(name, SL_S("profile ")) ? sl_str_trim(sl_str_sub(name, 8, name.n)) : name;
}

/* Once: it is read for every setting. */
static void say_unreadable(const sl_err *err)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&said))
        sl_log(SL_WARN, "aws", "%s; it is passed over", err->message);
}

/* Values over those that are there; nested lines (indented) belong to the key above: "s3.endpoint_url". */
static void read_ini(sl_arena *a, const char *path, sl_val *sections)
{
    sl_str text, rest, line, outer = SL_S("");
    sl_err err;
    sl_val *section = NULL;
    if (!sl_fs_exists(path))
        return;
    if (!sl_fs_read(a, path, FILE_MAX, &text, &err)) {
        say_unreadable(&err);
        return;
    }
    for (rest = text; sl_str_cut(&rest, '\n', &line);) {
        sl_str trimmed = sl_str_trim(line), key, value = trimmed;
        bool nested = line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t');
        if (trimmed.n == 0 || trimmed.p[0] == '#' || trimmed.p[0] == ';')
            continue;
        if (trimmed.p[0] == '[') {
            sl_str name = section_name(trimmed);
            section = (sl_val *)(uintptr_t)sl_get_str(sections, name);
            if (section == NULL) {
                section = sl_map(a);
                sl_map_set(a, sections, name, section);
            }
            continue;
        }
        if (section == NULL || !sl_str_cut(&value, '=', &key) || value.p == NULL)
            continue;
        key = sl_str_lower(a, sl_str_trim(key));
        if (!nested)
            outer = key;
        sl_map_set(a, section, nested ? sl_fmt(a, "%.*s.%.*s", SL_ARG(outer), SL_ARG(key)) : key, sl_val_str(a, sl_str_trim(value)));
    }
}

static const sl_val *read_profiles(sl_arena *a)
{
    sl_val *sections = sl_map(a);
    read_ini(a, file_path(a, "AWS_CONFIG_FILE", "config"), sections);
    read_ini(a, file_path(a, "AWS_SHARED_CREDENTIALS_FILE", "credentials"), sections); /* wins */
    return sections;
}

static sl_str profile_name(void)
{
    sl_str name = env("AWS_PROFILE");
    return name.n ? name : SL_S("default");
}

sl_str sl_aws_profile_value(sl_arena *a, const char *key)
{
    const sl_val *sections = read_profiles(a), *profile = sl_get_str(sections, profile_name());
    sl_str services = sl_get_text(profile, "services"), value = sl_get_text(profile, key);
    if (value.n == 0 && services.n > 0)
        value = sl_get_text(sl_get_str(sections, sl_fmt(a, "services %.*s", SL_ARG(services))), key);
    return value;
}

sl_str sl_aws_region(sl_arena *a)
{
    sl_str region = env("AWS_REGION");
    if (region.n == 0)
        region = env("AWS_DEFAULT_REGION");
    return region.n ? region : sl_aws_profile_value(a, "region");
}

const char *sl_aws_endpoint(sl_arena *a, const char *service)
{
    if (sl_str_ieq(env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), SL_S("true")))
        return NULL;
    sl_str url = env(sl_fmt(a, "AWS_ENDPOINT_URL_%s", service).p);
    if (url.n == 0)
        url = env("AWS_ENDPOINT_URL");
    if (url.n == 0)
        url = sl_aws_profile_value(a, sl_fmt(a, "%.*s.endpoint_url", SL_ARG(sl_str_lower(a, sl_str_c(service)))).p);
    if (url.n == 0)
        url = sl_aws_profile_value(a, "endpoint_url");
    while (url.n > 0 && url.p[url.n - 1] == '/')
        url.n--;
    return url.n ? sl_cstr(a, url) : NULL;
}

const char *sl_aws_ca_file(sl_arena *a)
{
    sl_str path = env("AWS_CA_BUNDLE");
    if (path.n == 0)
        path = sl_aws_profile_value(a, "ca_bundle");
    return path.n ? sl_cstr(a, path) : NULL;
}

/* ---- profiles ---- */

static sl_aws_cred *container(sl_aws *aws, sl_arena *a, sl_val *steps, sl_err *err);
static sl_aws_cred *instance(sl_aws *aws, sl_arena *a, sl_val *steps, sl_err *err);

static sl_aws_cred *environment(sl_aws *aws, sl_arena *a, sl_val *steps)
{
    sl_str id = env("AWS_ACCESS_KEY_ID"), secret = env("AWS_SECRET_ACCESS_KEY");
    bool found = id.n > 0 && secret.n > 0;
    sl_auth_step(a, steps, "environment (AWS_ACCESS_KEY_ID)", found, found ? id : SL_S("not set"));
    return found ? sl_aws_static(aws, id, id, secret, env("AWS_SESSION_TOKEN")) : NULL;
}

static sl_aws_cred *profile(sl_aws *aws, sl_arena *a, const sl_val *sections, sl_str name, int depth, sl_val *steps, sl_err *err);

static sl_aws_cred *role_source(sl_aws *aws, sl_arena *a, const sl_val *sections, const sl_val *p, sl_str name, int depth, sl_val *steps, sl_err *err)
{
    sl_str source = sl_get_text(p, "source_profile"), from = sl_get_text(p, "credential_source");
    if (source.n > 0 && sl_str_eq(source, name)) /* itself: its own static keys */
        return sl_aws_static(aws, name, sl_get_text(p, "aws_access_key_id"), sl_get_text(p, "aws_secret_access_key"), sl_get_text(p, "aws_session_token"));
    if (source.n > 0)
        return profile(aws, a, sections, source, depth + 1, steps, err);
    sl_aws_cred *c = NULL;
    if (sl_str_eqc(from, "Environment"))
        c = environment(aws, a, steps);
    else if (sl_str_eqc(from, "EcsContainer"))
        c = container(aws, a, steps, err);
    else if (sl_str_eqc(from, "Ec2InstanceMetadata"))
        c = instance(aws, a, steps, err);
    if (c == NULL)
        sl_err_set(err, SL_ERR_AUTH, "aws.profile", "the AWS profile '%.*s' has a role_arn, but no usable source_profile or credential_source", SL_ARG(name));
    return c;
}

static sl_aws_cred *role_profile(sl_aws *aws, sl_arena *a, const sl_val *sections, const sl_val *p, sl_str name, int depth, sl_val *steps, sl_err *err)
{
    sl_str file = sl_get_text(p, "web_identity_token_file");
    sl_aws_cred *source = file.n ? NULL : role_source(aws, a, sections, p, name, depth, steps, err);
    if (file.n == 0 && source == NULL)
        return NULL;
    if (sl_get_text(p, "mfa_serial").n > 0) {
        sl_err_set(err, SL_ERR_AUTH, "aws.mfa", "the AWS profile '%.*s' asks for a second factor (mfa_serial), which a service cannot give", SL_ARG(name));
        return NULL;
    }
    sl_aws_cred *c = sl_aws_cred_new(aws, file.n ? SL_A_WEB_IDENTITY : SL_A_ROLE, sl_get_text(p, "role_arn"));
    c->source = source;
    c->token_file = sl_str_dup(c->arena, file);
    c->role_arn = c->name;
    c->external_id = sl_str_dup(c->arena, sl_get_text(p, "external_id"));
    c->session_name = sl_str_dup(c->arena, sl_get_text(p, "role_session_name"));
    c->duration_s = sl_get_int(p, "duration_seconds", 3600);
    c->region = sl_str_dup(c->arena, sl_get_text(p, "region"));
    return c;
}

static sl_aws_cred *sso_profile(sl_aws *aws, sl_arena *a, const sl_val *sections, const sl_val *p)
{
    sl_str session = sl_get_text(p, "sso_session");
    const sl_val *s = session.n ? sl_get_str(sections, sl_fmt(a, "sso-session %.*s", SL_ARG(session))) : p;
    sl_aws_cred *c = sl_aws_cred_new(aws, SL_A_SSO, sl_fmt(a, "SSO role %.*s", SL_ARG(sl_get_text(p, "sso_role_name"))));
    c->sso_session = sl_str_dup(c->arena, session);
    c->sso_start = sl_str_dup(c->arena, sl_get_text(s, "sso_start_url"));
    c->sso_region = sl_str_dup(c->arena, sl_get_text(s, "sso_region"));
    c->sso_account = sl_str_dup(c->arena, sl_get_text(p, "sso_account_id"));
    c->sso_role = sl_str_dup(c->arena, sl_get_text(p, "sso_role_name"));
    return c;
}

/* NULL with err cleared: the profile has nothing to log in with. */
static sl_aws_cred *profile(sl_aws *aws, sl_arena *a, const sl_val *sections, sl_str name, int depth, sl_val *steps, sl_err *err)
{
    const sl_val *p = sl_get_str(sections, name);
    if (depth > CHAIN_MAX) {
        sl_err_set(err, SL_ERR_AUTH, "aws.profile", "the AWS profiles refer to each other more than %d times (source_profile of '%.*s')", CHAIN_MAX, SL_ARG(name));
        return NULL;
    }
    if (p == NULL && depth > 0) {
        sl_err_set(err, SL_ERR_AUTH, "aws.profile", "there is no AWS profile '%.*s'", SL_ARG(name));
        return NULL;
    }
    if (sl_get_text(p, "role_arn").n > 0)
        return role_profile(aws, a, sections, p, name, depth, steps, err);
    if (sl_get_text(p, "aws_access_key_id").n > 0 && sl_get_text(p, "aws_secret_access_key").n > 0)
        return sl_aws_static(aws, sl_get_text(p, "aws_access_key_id"), sl_get_text(p, "aws_access_key_id"), sl_get_text(p, "aws_secret_access_key"), sl_get_text(p, "aws_session_token"));
    if (sl_get_text(p, "credential_process").n > 0) {
        sl_aws_cred *c = sl_aws_cred_new(aws, SL_A_PROCESS, SL_S("credential_process"));
        c->command = sl_str_dup(c->arena, sl_get_text(p, "credential_process"));
        return c;
    }
    if (sl_get_text(p, "sso_account_id").n > 0 && sl_get_text(p, "sso_role_name").n > 0)
        return sso_profile(aws, a, sections, p);
    return NULL;
}

/* ---- the chain ---- */

static sl_aws_cred *web_identity(sl_aws *aws, sl_arena *a, sl_val *steps)
{
    sl_str file = env("AWS_WEB_IDENTITY_TOKEN_FILE"), role = env("AWS_ROLE_ARN");
    bool found = file.n > 0 && role.n > 0;
    sl_auth_step(a, steps, "web identity (AWS_WEB_IDENTITY_TOKEN_FILE)", found, found ? role : SL_S("not set"));
    if (!found)
        return NULL;
    sl_aws_cred *c = sl_aws_cred_new(aws, SL_A_WEB_IDENTITY, role);
    c->role_arn = c->name;
    c->token_file = sl_str_dup(c->arena, file);
    c->session_name = sl_str_dup(c->arena, env("AWS_ROLE_SESSION_NAME"));
    c->duration_s = 3600;
    return c;
}

/* Keys may only be asked for over TLS, or from the machine itself and its two well-known neighbours. */
static bool container_url_allowed(sl_str url, sl_err *err)
{
    static const char *const hosts[] = { "127.0.0.1", "localhost", "::1", "[::1]", "169.254.170.2", "169.254.170.23", "fd00:ec2::23", "[fd00:ec2::23]" };
    sl_url u;
    if (!sl_url_parse(url, &u, err))
        return false;
    bool ok = sl_str_ieq(u.scheme, SL_S("https"));
    for (size_t i = 0; i < SL_COUNT(hosts); i++)
        ok |= sl_str_eqc(u.host, hosts[i]);
    return ok || sl_err_set(err, SL_ERR_AUTH, "aws.container", "AWS_CONTAINER_CREDENTIALS_FULL_URI names the host '%.*s', which may not be asked for keys without TLS", SL_ARG(u.host));
}

static sl_aws_cred *container(sl_aws *aws, sl_arena *a, sl_val *steps, sl_err *err)
{
    sl_str relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), full = env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    sl_str url = relative.n ? sl_fmt(a, "http://169.254.170.2%.*s", SL_ARG(relative)) : full;
    sl_auth_step(a, steps, "container (AWS_CONTAINER_CREDENTIALS_…)", url.n > 0, url.n ? url : SL_S("not set"));
    if (url.n == 0 || !container_url_allowed(url, err))
        return NULL;
    sl_aws_cred *c = sl_aws_cred_new(aws, SL_A_CONTAINER, SL_S("container role"));
    c->url = sl_str_dup(c->arena, url);
    c->auth_token = sl_str_dup(c->arena, env("AWS_CONTAINER_AUTHORIZATION_TOKEN"));
    c->auth_file = sl_str_dup(c->arena, env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"));
    return c;
}

static sl_aws_cred *instance(sl_aws *aws, sl_arena *a, sl_val *steps, sl_err *err)
{
    bool off = sl_str_ieq(env("AWS_EC2_METADATA_DISABLED"), SL_S("true"));
    sl_auth_step(a, steps, "instance (IMDS)", !off, off ? SL_S("switched off by AWS_EC2_METADATA_DISABLED") : SL_S("is asked when keys are needed"));
    if (!off)
        return sl_aws_cred_new(aws, SL_A_INSTANCE, SL_S("instance role"));
    sl_err_set(err, SL_ERR_AUTH, "aws.none",
               "no AWS credentials were found; set the properties 'accessKeyId' and 'secretKeyId' (for example to \"{{ secret('AWS_ACCESS_KEY_ID') }}\"), or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
               "`sluice auth explain aws` shows where was looked");
    return NULL;
}

sl_aws_cred *sl_aws_chain(sl_aws *aws, sl_arena *a, sl_val *steps, sl_err *err)
{
    sl_err_clear(err);
    sl_aws_cred *c = environment(aws, a, steps);
    if (c == NULL)
        c = web_identity(aws, a, steps);
    if (c != NULL)
        return c;
    c = profile(aws, a, read_profiles(a), profile_name(), 0, steps, err);
    sl_auth_step(a, steps, sl_fmt(a, "profile '%.*s'", SL_ARG(profile_name())).p, c != NULL, c ? c->name : err->kind ? sl_str_dup(a, sl_str_c(err->message)) : SL_S("has no keys"));
    if (c != NULL || err->message[0] != '\0') /* a profile that is there and broken is no reason to go on */
        return c;
    if (env("AWS_PROFILE").n > 0 && sl_get_str(read_profiles(a), profile_name()) == NULL) {
        sl_err_set(err, SL_ERR_AUTH, "aws.profile", "there is no AWS profile '%.*s' (AWS_PROFILE)", SL_ARG(profile_name()));
        return NULL;
    }
    c = container(aws, a, steps, err);
    return c != NULL || err->message[0] != '\0' ? c : instance(aws, a, steps, err);
}
