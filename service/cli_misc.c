/* service/cli_misc.c: `version`, `doctor`. */
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
