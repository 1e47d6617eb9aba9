/* service/cli_local.c: `sluice local`: serves the local cloud; `local env`; `local sql`. */
#include <signal.h>
#include <unistd.h>

#include "auth/google.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "local/cloud.h"
#include "service/cli.h"

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static int serve(sl_cli *c, sl_cloud *cloud)
{
    struct sigaction act = { .sa_handler = on_signal };
    (void)sigaction(SIGINT, &act, NULL);
    (void)sigaction(SIGTERM, &act, NULL);
    sl_cli_print("the local cloud is at %s (GCS, BigQuery, OAuth, sample data) and %s (S3, DynamoDB, STS), Redshift at %s; `sluice local env` prints the settings for other clients\n", sl_cloud_url(cloud), sl_cloud_aws_url(cloud), sl_cloud_redshift_url(cloud) + sizeof "jdbc:" - 1);
    (void)fflush(stdout);
    (void)c;
    while (!stop)
        sl_sleep_ms(100);
    return 0;
}

/* From what the running one left on disk. */
static int print_env(sl_cli *c)
{
    sl_err err;
    const sl_val *env;
    sl_str port;
    const char *dir = sl_fmt(c->arena, "%s/local", c->data_dir).p;
    if (!sl_fs_read(c->arena, sl_fmt(c->arena, "%s/port", dir).p, 32, &port, &err))
        return sl_cli_fail(1, "no local cloud has run with the data folder %s; start one with `sluice local`", c->data_dir);
    if (!sl_cloud_env(c->arena, dir, false, &env, &err))
        return sl_cli_error(1, &err);
    for (size_t i = 0; i < sl_val_count(env); i++)
        sl_cli_print("export %.*s=%.*s\n", SL_ARG(env->map.entries[i].key), SL_ARG(sl_text(env->map.entries[i].value)));
    return 0;
}

static void print_names(const sl_val *fields)
{
    for (size_t i = 0; i < sl_val_count(fields); i++)
        sl_cli_print("%s%.*s", i ? "\t" : "", SL_ARG(sl_get_text(sl_at(fields, i), "name")));
    if (sl_val_count(fields) > 0)
        sl_cli_print("\n");
}

static void print_rows(sl_arena *a, const sl_val *rows)
{
    for (size_t i = 0; i < sl_val_count(rows); i++) {
        const sl_val *cells = sl_get(sl_at(rows, i), "f");
        for (size_t k = 0; k < sl_val_count(cells); k++) {
            const sl_val *v = sl_get(sl_at(cells, k), "v");
            sl_cli_print("%s%.*s", k ? "\t" : "", SL_ARG(v->type == SL_NULL ? SL_S("NULL") : sl_val_text(a, v)));
        }
        sl_cli_print("\n");
    }
}

/* A page of the answer: {schema, rows, pageToken, jobReference}. */
static bool fetch(sl_cli *c, sl_http *http, const sl_http_auth *auth, const char *method, sl_str url, sl_str body, const sl_val **ret, sl_err *err)
{
    sl_http_response r;
    sl_val *headers = sl_map(c->arena);
    sl_map_set_str(c->arena, headers, "Content-Type", SL_S("application/json"));
    sl_http_request req = { .method = method, .url = url, .headers = headers, .body = body, .attempts_max = 1, .auth = auth, .idle_ms = 3600000, .total_ms = 3600000 };
    if (!sl_http_call(http, c->arena, &req, &r, err) || (*ret = sl_json_parse(c->arena, r.body, err)) == NULL)
        return false;
    return r.status == 200 || sl_err_set(err, SL_ERR_DATA, "sql", "%.*s", SL_ARG(sl_get_text(sl_get(*ret, "error"), "message")));
}

static bool query(sl_cli *c, const char *base, sl_http *http, const sl_http_auth *auth, sl_str text, sl_err *err)
{
    sl_arena *a = c->arena;
    sl_val *body = sl_map(a), *all = sl_map(a), *rows = sl_list(a);
    const sl_val *page;
    sl_map_set_str(a, body, "query", text);
    sl_map_set_bool(a, body, "useLegacySql", false);
    sl_str url = sl_fmt(a, "%s/bigquery/v2/projects/local-project/queries", base);
    if (!fetch(c, http, auth, "POST", url, sl_json(a, body), &page, err))
        return false;
    const sl_val *fields = sl_get(sl_get(page, "schema"), "fields"), *job = sl_get(page, "jobReference");
    if (!c->json)
        print_names(fields);
    for (;;) {
        for (size_t i = 0; c->json && i < sl_val_count(sl_get(page, "rows")); i++)
            sl_list_add(a, rows, sl_at(sl_get(page, "rows"), i));
        if (!c->json)
            print_rows(a, sl_get(page, "rows"));
        sl_str token = sl_get_text(page, "pageToken");
        if (token.n == 0)
            break;
        sl_str next = sl_fmt(a, "%.*s/%.*s?pageToken=%.*s&location=%.*s", SL_ARG(url), SL_ARG(sl_get_text(job, "jobId")), SL_ARG(sl_percent(a, token, NULL)), SL_ARG(sl_percent(a, sl_get_text(job, "location"), NULL)));
        if (!fetch(c, http, auth, "GET", next, SL_S(""), &page, err))
            return false;
    }
    sl_map_setc(a, all, "fields", fields ? fields : sl_list(a));
    sl_map_setc(a, all, "rows", rows);
    if (c->json)
        sl_cli_print("%.*s\n", SL_ARG(sl_json(a, all)));
    return true;
}

/* Over its own API, as any other client. */
static int sql(sl_cli *c, const sl_cloud *cloud, sl_str text)
{
    sl_err err;
    sl_http *http = sl_http_new(NULL);
    sl_google *google = sl_google_new(http);
    sl_google_options key = { .service_account = sl_cloud_key(cloud) };
    sl_google_cred *cred = sl_google_find(google, &key, &err);
    bool ok = cred != NULL && query(c, sl_cloud_url(cloud), http, sl_google_http_auth(cred), text, &err);
    sl_google_free(google);
    sl_http_free(http);
    return ok ? 0 : sl_cli_error(1, &err);
}

static int run(sl_cli *c)
{
    sl_err err;
    const char *verb = c->word_count > 0 ? c->words[0] : "";
    if (strcmp(verb, "env") == 0)
        return print_env(c);
    bool asks = strcmp(verb, "sql") == 0;
    if (c->word_count > 0 && (!asks || c->word_count != 2))
        return sl_cli_fail(2, "usage: sluice local [--port N] [--anonymous]   sluice local env   sluice local sql \"SELECT …\"");
    sl_cloud_options o = { .data_dir = sl_fmt(c->arena, "%s/local", c->data_dir).p, .anonymous = sl_cli_has(c, "--anonymous") };
    sl_str port = sl_cli_text(c, "--port");
    int64_t number = 0;
    if (port.n > 0 && (!sl_parse_int(port, &number) || number < 1 || number > 65535))
        return sl_cli_fail(2, "--port must be from 1 to 65535");
    o.port = (int)number;
    sl_cloud *cloud = asks ? sl_cloud_join(&o, &err) : sl_cloud_start(&o, &err);
    if (cloud == NULL)
        return sl_cli_error(1, &err);
    int rc = asks ? sql(c, cloud, sl_str_c(c->words[1])) : serve(c, cloud);
    sl_cloud_stop(cloud);
    return rc;
}

static const sl_cli_opt opts[] = { { "--port", NULL, "PORT", false, "where to listen (the one used last, or any free one)" },
                                   { "--anonymous", NULL, NULL, false, "serve requests without a token, too" },
                                   { 0 } };

const sl_command sl_command_local = { "local", "[--port PORT] [--anonymous] | env | sql \"SELECT …\"", "Serves the local cloud: GCS, BigQuery and OAuth on loopback.", opts, 0, 2, run };
