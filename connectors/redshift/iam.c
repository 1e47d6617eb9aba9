/* connectors/redshift/iam.c: passwords that IAM gives out for some minutes. See redshift.h. */
#include "base/arena.h"
#include "base/secret.h"
#include "base/xml.h"
#include "connectors/aws/json.h"
#include "connectors/redshift/redshift.h"

typedef struct login {
    sl_task *t;
    sl_arena *arena;
    sl_aws_cfg aws;
    sl_str host, port, path, query;      /* of the URL; path with the database, no slash */
    sl_str cluster, workgroup, region, db_user, groups;
    bool auto_create;
    sl_str user, password;               /* what was given out */
} login;

/* ---- the URL ---- */

static bool is_number(sl_str s)
{
    int64_t n;
    return sl_parse_int(s, &n) && n > 0 && n < 65536;
}

static void take_pair(login *l, sl_str name, sl_str value)
{
    const struct {
        const char *name;
        sl_str *to;
    } known[] = { { "ClusterID", &l->cluster }, { "Region", &l->region }, { "DbUser", &l->db_user }, { "DbGroups", &l->groups }, { "AccessKeyID", &l->aws.key_id }, { "SecretAccessKey", &l->aws.secret },
                  { "SessionToken", &l->aws.token }, { "serverlessWorkGroup", &l->workgroup }, { "EndpointUrl", &l->aws.endpoint } };
    for (size_t i = 0; i < SL_COUNT(known); i++)
        if (sl_str_ieq(name, sl_str_c(known[i].name)))
            *known[i].to = value;
    if (sl_str_ieq(name, SL_S("AutoCreate")))
        l->auto_create = sl_str_ieq(value, SL_S("true"));
}

/* What IAM needs leaves the query; the rest is for libpq. */
static bool take_query(login *l, sl_str query, sl_err *err)
{
    sl_buf rest = sl_buf_new(l->arena, query.n + 8);
    sl_str pair;
    while (query.n > 0 && sl_str_cut(&query, '&', &pair)) {
        sl_str value = pair, name;
        (void)sl_str_cut(&value, '=', &name);
        if (!sl_percent_decode(l->arena, value.p ? value : SL_S(""), true, &value))
            return sl_err_set(err, SL_ERR_CONFIG, "redshift.url", "'%.*s' in 'url' is not well encoded", SL_ARG(name));
        take_pair(l, name, value);
        if (sl_str_starts(name, SL_S("ssl")))
            sl_buf_fmt(&rest, "%s%.*s", rest.n ? "&" : "", SL_ARG(pair));
    }
    l->query = sl_buf_str(&rest);
    return true;
}

/* cluster.hash.region.redshift.amazonaws.com, workgroup.account.region.redshift-serverless.amazonaws.com */
static void take_host(login *l)
{
    sl_str rest = l->host, first, second, region;
    bool serverless = sl_str_find(l->host, SL_S(".redshift-serverless.")) > 0;
    if (!serverless && sl_str_find(l->host, SL_S(".redshift.")) < 0)
        return;
    (void)(sl_str_cut(&rest, '.', &first) && sl_str_cut(&rest, '.', &second) && sl_str_cut(&rest, '.', &region));
    sl_str *name = serverless ? &l->workgroup : &l->cluster;
    *name = name->n > 0 ? *name : first;
    l->region = l->region.n > 0 ? l->region : region;
}

static bool read_url(login *l, sl_str url, sl_err *err)
{
    sl_str rest = sl_str_sub(sl_str_trim(url), sizeof "jdbc:redshift:iam:" - 1, url.n), place, authority;
    (void)sl_str_cut(&rest, '?', &place);
    if (!take_query(l, rest.p ? rest : SL_S(""), err))
        return false;
    if (!sl_str_starts(place, SL_S("//")))
        return sl_err_set(err, SL_ERR_CONFIG, "redshift.url", "'url' must be jdbc:redshift:iam://cluster:region/database or jdbc:redshift:iam://host:port/database");
    l->path = sl_str_sub(place, 2, place.n);
    (void)sl_str_cut(&l->path, '/', &authority);
    l->path = l->path.p ? l->path : SL_S("");
    sl_str behind = authority, before;
    (void)sl_str_cut(&behind, ':', &before);
    if (behind.p != NULL && !is_number(behind)) { /* cluster:region */
        l->cluster = before;
        l->region = behind;
    } else {
        l->host = before;
        l->port = behind.p ? behind : SL_S("5439");
        take_host(l);
    }
    if (l->cluster.n == 0 && l->workgroup.n == 0)
        return sl_err_set(err, SL_ERR_CONFIG, "redshift.url", "'url' names no cluster or workgroup: the host '%.*s' is none of AWS, and there is no ?ClusterID=…", SL_ARG(l->host));
    return true;
}

/* ---- the calls ---- */

/* AWS's query protocol: a form, answered in XML. */
static bool action(login *l, const char *name, sl_val *form, const sl_val **ret, sl_err *err)
{
    sl_arena *a = l->arena;
    sl_aws_client client;
    sl_http_response r;
    sl_err ignored;
    if (!sl_aws_open(&client, l->t, "redshift", "REDSHIFT", &l->aws, err))
        return false;
    sl_map_set_str(a, form, "Action", sl_str_c(name));
    sl_map_set_str(a, form, "Version", SL_S("2012-12-01"));
    sl_str base = sl_aws_base(&client, a);
    sl_aws_signer *signer = sl_aws_signer_new(a, client.cred, client.region, SL_S("redshift"));
    sl_http_request req = { .method = "POST", .url = sl_fmt(a, "%.*s/", SL_ARG(base)), .headers = sl_map_of(a, "Content-Type", sl_val_c(a, "application/x-www-form-urlencoded; charset=utf-8")),
                            .body = sl_url_query(a, form), .auth = &signer->auth, .pool = client.pool, .idempotent = true, .total_ms = 60000, .ca_file = client.ca_file };
    sl_task_prepare(l->t, &req);
    if (!sl_http_call(sl_task_http(l->t), a, &req, &r, err))
        return sl_err_ctx(err, "asking Redshift for credentials (%s)", name);
    const sl_val *doc = sl_xml_parse(a, r.body, NULL, &ignored);
    if (r.status == 200 && doc != NULL) {
        *ret = sl_xml_get(doc, sl_fmt(a, "%sResult", name).p);
        return *ret != NULL || sl_err_set(err, SL_ERR_DATA, "redshift.iam", "Redshift's answer to %s holds no result", name);
    }
    sl_str code = sl_xml_text(doc, "Error/Code"), message = sl_xml_text(doc, "Error/Message");
    return sl_err_set(err, r.status == 400 ? SL_ERR_CONFIG : sl_http_status_kind(r.status), "redshift.iam", "Redshift gave no credentials for the cluster '%.*s' (%s: HTTP %d%s%.*s%s%.*s)", SL_ARG(l->cluster), name, r.status,
                      code.n ? ", " : "", SL_ARG(code), message.n ? ": " : "", SL_ARG(message));
}

static bool find_cluster(login *l, sl_err *err)
{
    const sl_val *doc;
    sl_val *form = sl_map_of(l->arena, "ClusterIdentifier", sl_val_str(l->arena, l->cluster));
    if (l->host.n > 0)
        return true;
    if (!action(l, "DescribeClusters", form, &doc, err))
        return false;
    l->host = sl_xml_text(doc, "Clusters/Cluster/Endpoint/Address");
    l->port = sl_xml_text(doc, "Clusters/Cluster/Endpoint/Port");
    return l->host.n > 0 || sl_err_set(err, SL_ERR_NOT_FOUND, "redshift.cluster", "the cluster '%.*s' has no address now; it is being made, or paused", SL_ARG(l->cluster));
}

static bool ask_cluster(login *l, sl_err *err)
{
    sl_arena *a = l->arena;
    const sl_val *doc;
    sl_str group;
    sl_val *form = sl_map_of(a, "ClusterIdentifier", sl_val_str(a, l->cluster));
    bool named = l->db_user.n > 0;
    sl_map_opt_str(a, form, "DbName", l->path);
    if (named) {
        sl_map_set_str(a, form, "DbUser", l->db_user);
        sl_map_set_str(a, form, "AutoCreate", l->auto_create ? SL_S("true") : SL_S("false"));
        for (int i = 1; l->groups.n > 0 && sl_str_cut(&l->groups, ',', &group); i++)
            sl_map_set(a, form, sl_fmt(a, "DbGroups.DbGroup.%d", i), sl_val_str(a, sl_str_trim(group)));
    }
    if (!find_cluster(l, err) || !action(l, named ? "GetClusterCredentials" : "GetClusterCredentialsWithIAM", form, &doc, err))
        return false;
    l->user = sl_xml_text(doc, "DbUser");
    l->password = sl_xml_text(doc, "DbPassword");
    return true;
}

static bool ask_workgroup(login *l, sl_err *err)
{
    sl_aws_api api = { .target = "RedshiftServerless", .version = "1.1", .name = "RedshiftServerless" };
    const sl_val *doc;
    sl_val *body = sl_map_of(l->arena, "workgroupName", sl_val_str(l->arena, l->workgroup));
    sl_map_opt_str(l->arena, body, "dbName", l->path);
    if (!sl_aws_open(&api.aws, l->t, "redshift-serverless", "REDSHIFT_SERVERLESS", &l->aws, err) || !sl_aws_json(&api, l->arena, "GetCredentials", body, "asking for credentials", &doc, err))
        return false;
    l->user = sl_get_text(doc, "dbUser");
    l->password = sl_get_text(doc, "dbPassword");
    return l->host.n > 0 || sl_err_set(err, SL_ERR_CONFIG, "redshift.url", "'url' of a workgroup needs its host: jdbc:redshift:iam://workgroup.account.region.redshift-serverless.amazonaws.com:5439/database");
}

bool sl_redshift_iam(sl_task *t, const sl_aws_cfg *aws, sl_str *url, sl_str *user, sl_str *password, sl_err *err)
{
    login l = { .t = t, .arena = sl_task_arena(t), .host = SL_S(""), .port = SL_S("5439"), .cluster = SL_S(""), .workgroup = SL_S(""), .region = SL_S(""), .db_user = *user, .groups = SL_S("") };
    if (aws != NULL)
        l.aws = *aws;
    if (!read_url(&l, *url, err))
        return false;
    if (l.region.n > 0)
        l.aws.region = l.region;
    if (!(l.workgroup.n > 0 ? ask_workgroup(&l, err) : ask_cluster(&l, err)))
        return false;
    if (l.user.n == 0 || l.password.n == 0)
        return sl_err_set(err, SL_ERR_DATA, "redshift.iam", "Redshift's answer holds no user and password");
    sl_redact_add(l.password);
    /* A password for a quarter of an hour still goes over TLS only, unless the URL says otherwise. */
    bool said = sl_str_find(l.query, SL_S("sslmode=")) >= 0 || sl_str_find(l.query, SL_S("ssl=")) >= 0;
    *url = sl_fmt(l.arena, "jdbc:redshift://%.*s:%.*s/%.*s?%.*s%s", SL_ARG(l.host), SL_ARG(l.port), SL_ARG(l.path), SL_ARG(l.query), said ? "" : l.query.n ? "&sslmode=require" : "sslmode=require");
    *user = l.user;
    *password = l.password;
    return true;
}
