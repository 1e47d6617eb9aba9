/* service/cli_misc.c: `version`, `doctor`, `verify`, `auth explain`. */
#include <microhttpd.h>
#include <curl/curl.h>
#include <sqlite3.h>
#include <openssl/crypto.h>
#include <sys/statvfs.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "local/cloud.h"
#include "service/cli.h"

static const sl_cli_opt no_opts[] = { { 0 } };

static int version(sl_cli *c)
{
    (void)c;
    sl_cli_print("sluice %s\n", SL_VERSION);
    return 0;
}

const sl_command sl_command_version = { "version", "", "Prints the version.", no_opts, 0, 0, version };

static int report(sl_cli *c, bool ok, const char *what, const char *detail)
{
    (void)c;
    sl_cli_print("%-4s %-18s %s\n", ok ? "ok" : "BAD", what, detail);
    return ok ? 0 : 1;
}

static int doctor(sl_cli *c)
{
    sl_err err;
    int bad = 0;
    sl_arena *a = c->arena;
    bad += report(c, true, "version", SL_VERSION);
    bad += report(c, true, "libraries", sl_fmt(a, "libcurl %s, OpenSSL %s, SQLite %s, libmicrohttpd %s", curl_version_info(CURLVERSION_NOW)->version, OpenSSL_version(OPENSSL_VERSION_STRING), sqlite3_libversion(), MHD_get_version()).p);
    bool dir = sl_fs_mkdirs(c->data_dir, &err);
    bad += report(c, dir, "data folder", dir ? c->data_dir : err.message);
    struct statvfs st;
    if (dir && statvfs(c->data_dir, &st) == 0) {
        double gb = (double)st.f_bavail * (double)st.f_frsize / 1e9;
        bad += report(c, gb > 0.2, "free space", sl_fmt(a, "%.1f GB", gb).p);
    }
    sl_kv *kv = dir ? sl_kv_open(sl_fmt(a, "%s/kv.db", c->data_dir).p, c->data_dir, false, &err) : NULL;
    bad += report(c, kv != NULL, "key-value store", kv ? sl_fmt(a, "opens with the key from %s", sl_kv_kek(kv)->source).p : err.message);
    sl_kv_close(kv);
    sl_str engine = sl_cloud_engine(a, &err);
    bad += report(c, engine.n > 0, "local warehouse", engine.n > 0 ? engine.p : err.message);
    bool zone = sl_tz_find(SL_S("Europe/Paris"), &err) != NULL;
    bad += report(c, zone, "time zones", zone ? "the system's zone files are there" : "missing: install tzdata");
    return bad ? 1 : 0;
}

const sl_command sl_command_doctor = { "doctor", "", "Looks for what would keep Sluice from working here.", no_opts, 0, 0, doctor };

static int explain(sl_cli *c)
{
    sl_err err;
    if (strcmp(c->words[0], "google") != 0)
        return sl_cli_fail(2, "there is no `sluice auth explain %s`; there is google", c->words[0]);
    sl_http *http = sl_http_new(NULL);
    sl_google *g = sl_google_new(http);
    sl_google_options o = { .impersonate = sl_cli_text(c, "--impersonate") };
    sl_str file = sl_cli_text(c, "--key");
    int rc = 0;
    sl_val *steps = sl_list(c->arena);
    if (file.n > 0 && !sl_fs_read(c->arena, file.p, 1 << 20, &o.service_account, &err))
        rc = sl_cli_error(1, &err);
    sl_google_cred *cred = rc == 0 ? sl_google_explain(g, c->arena, &o, steps, &err) : NULL;
    for (size_t i = 0; !c->json && i < sl_val_count(steps); i++)
        sl_cli_print("%-4s %-34.*s %.*s\n", sl_get_bool(sl_at(steps, i), "found", false) ? "->" : "", SL_ARG(sl_get_text(sl_at(steps, i), "link")), SL_ARG(sl_get_text(sl_at(steps, i), "detail")));
    sl_str token = SL_S("");
    int64_t expires = 0;
    if (rc == 0 && (cred == NULL || !sl_google_token(cred, c->arena, false, &token, &expires, &err)))
        rc = sl_cli_error(1, &err);
    if (rc == 0 && c->json) {
        sl_val *doc = sl_map(c->arena);
        sl_map_setc(c->arena, doc, "steps", steps);
        sl_map_set_str(c->arena, doc, "identity", sl_google_identity(cred));
        sl_map_set_str(c->arena, doc, "project", sl_google_project(cred));
        sl_map_set_str(c->arena, doc, "expires", sl_time_rfc3339(c->arena, expires * 1000));
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, doc)));
    } else if (rc == 0)
        sl_cli_print("identity %.*s, project %.*s, token good until %.*s\n", SL_ARG(sl_google_identity(cred)), SL_ARG(sl_google_project(cred)), SL_ARG(sl_time_rfc3339(c->arena, expires * 1000)));
    sl_google_free(g);
    sl_http_free(http);
    return rc;
}

static const sl_cli_opt auth_opts[] = {
    { "--key", NULL, "FILE", false, "a key file to try, as the property serviceAccount would" },
    { "--impersonate", NULL, "EMAIL", false, "an account to act as" },
    { 0 },
};

const sl_command sl_command_auth = { "auth explain", "google", "Shows which credentials win, for whom, and until when.", auth_opts, 1, 1, explain };
