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
    sl_cli_print("the local cloud is at %s (GCS, BigQuery, OAuth, sample data); `sluice local env` prints the settings for other clients\n", sl_cloud_url(cloud));
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
    sl_str port, dir = sl_fmt(c->arena, "%s/local", c->data_dir);
    if (!sl_fs_read(c->arena, sl_fmt(c->arena, "%.*s/port", SL_ARG(dir)).p, 32, &port, &err))
        return sl_cli_fail(1, "no local cloud has run with the data folder %s; start one with `sluice local`", c->data_dir);
    port = sl_str_trim(port);
    sl_cli_print("export STORAGE_EMULATOR_HOST=http://127.0.0.1:%.*s\n", SL_ARG(port));
    sl_cli_print("export BIGQUERY_EMULATOR_HOST=http://127.0.0.1:%.*s\n", SL_ARG(port));
    sl_cli_print("export GOOGLE_APPLICATION_CREDENTIALS=%.*s/service-account.json\n", SL_ARG(dir));
    sl_cli_print("export GOOGLE_CLOUD_PROJECT=local-project\n");
    return 0;
}

static void print_rows(sl_cli *c, const sl_val *doc)
{
    const sl_val *fields = sl_get(doc, "fields"), *rows = sl_get(doc, "rows");
    for (size_t i = 0; i < sl_val_count(fields); i++)
        sl_cli_print("%s%.*s", i ? "\t" : "", SL_ARG(sl_get_text(sl_at(fields, i), "name")));
    if (sl_val_count(fields) > 0)
        sl_cli_print("\n");
    for (size_t i = 0; i < sl_val_count(rows); i++) {
        const sl_val *cells = sl_get(sl_at(rows, i), "f");
        for (size_t k = 0; k < sl_val_count(cells); k++) {
            const sl_val *v = sl_get(sl_at(cells, k), "v");
            sl_cli_print("%s%.*s", k ? "\t" : "", SL_ARG(v->type == SL_NULL ? SL_S("NULL") : sl_val_text(c->arena, v)));
        }
        sl_cli_print("\n");
    }
}

/* Asks a running one over its own API; opens the warehouse itself when none runs. */
static int sql_over_http(sl_cli *c, sl_str text)
{
    sl_err err;
    sl_str port;
    sl_http_response r;
    if (!sl_fs_read(c->arena, sl_fmt(c->arena, "%s/local/port", c->data_dir).p, 32, &port, &err))
        return sl_cli_error(1, &err);
    sl_val *body = sl_map(c->arena), *headers = sl_map(c->arena);
    sl_map_set_str(c->arena, body, "query", text);
    sl_map_set_bool(c->arena, body, "useLegacySql", false);
    sl_map_set_str(c->arena, headers, "Content-Type", SL_S("application/json"));
    sl_http *http = sl_http_new(NULL);
    sl_google *google = sl_google_new(http);
    sl_google_options key = { 0 };
    sl_google_cred *cred = sl_fs_read(c->arena, sl_fmt(c->arena, "%s/local/service-account.json", c->data_dir).p, 16384, &key.service_account, &err) ? sl_google_find(google, &key, &err) : NULL;
    sl_http_request req = { .method = "POST", .url = sl_fmt(c->arena, "http://127.0.0.1:%.*s/bigquery/v2/projects/local-project/queries", SL_ARG(sl_str_trim(port))), .headers = headers, .body = sl_json(c->arena, body), .attempts_max = 1, .auth = cred ? sl_google_http_auth(cred) : NULL };
    bool ok = cred != NULL && sl_http_call(http, c->arena, &req, &r, &err);
    sl_google_free(google);
    sl_http_free(http);
    if (!ok)
        return sl_cli_error(1, &err);
    const sl_val *doc = sl_json_parse(c->arena, r.body, &err);
    if (r.status != 200)
        return sl_cli_fail(1, "%.*s", SL_ARG(sl_get_text(sl_get(doc, "error"), "message")));
    sl_val *flat = sl_map(c->arena);
    sl_map_setc(c->arena, flat, "fields", sl_get(sl_get(doc, "schema"), "fields") ? sl_get(sl_get(doc, "schema"), "fields") : sl_list(c->arena));
    sl_map_setc(c->arena, flat, "rows", sl_get(doc, "rows") ? sl_get(doc, "rows") : sl_list(c->arena));
    if (c->json)
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, flat)));
    else
        print_rows(c, flat);
    return 0;
}

static int run(sl_cli *c)
{
    sl_err err;
    const char *verb = c->word_count > 0 ? c->words[0] : "";
    if (strcmp(verb, "env") == 0)
        return print_env(c);
    bool sql = strcmp(verb, "sql") == 0;
    if (c->word_count > 0 && (!sql || c->word_count != 2))
        return sl_cli_fail(2, "usage: sluice local [--port N] [--anonymous]   sluice local env   sluice local sql \"SELECT …\"");
    sl_cloud_options o = { .data_dir = sl_fmt(c->arena, "%s/local", c->data_dir).p };
    sl_str port = sl_cli_text(c, "--port");
    int64_t number = 0;
    if (port.n > 0 && (!sl_parse_int(port, &number) || number < 1 || number > 65535))
        return sl_cli_fail(2, "--port must be from 1 to 65535");
    o.port = (int)number;
    o.anonymous = sl_cli_has(c, "--anonymous");
    sl_cloud *cloud = sl_cloud_start(&o, &err);
    if (cloud == NULL && sql && err.kind == SL_ERR_CONFLICT)
        return sql_over_http(c, sl_str_c(c->words[1]));
    if (cloud == NULL)
        return sl_cli_error(1, &err);
    int rc = 0;
    const sl_val *doc;
    if (!sql)
        rc = serve(c, cloud);
    else if (!sl_cloud_sql(cloud, c->arena, sl_str_c(c->words[1]), &doc, &err))
        rc = sl_cli_error(1, &err);
    else if (c->json)
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, doc)));
    else
        print_rows(c, doc);
    sl_cloud_stop(cloud);
    return rc;
}

static const sl_cli_opt opts[] = { { "--port", NULL, "PORT", false, "where to listen (the one used last, or any free one)" },
                                   { "--anonymous", NULL, NULL, false, "serve requests without a token, too" },
                                   { 0 } };

const sl_command sl_command_local = { "local", "[--port PORT] [--anonymous] | env | sql \"SELECT …\"", "Serves the local cloud: GCS, BigQuery and OAuth on loopback.", opts, 0, 2, run };
