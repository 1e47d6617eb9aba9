/* service/cli_server.c: `sluice server`: the engine, its HTTP API, and the housekeeping, until SIGTERM. */
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/secret.h"
#include "local/cloud.h"
#include "service/api/api.h"
#include "service/cli.h"
#include "service/config.h"
#include "service/retention.h"

enum { HOUSEKEEPING_MS = 600000, CHECKPOINT_MS = 1000, FIRST_MS = 3000, CONNECTIONS_MAX = 2000, HEADERS_MAX = 64 << 10 };

static sl_engine *running; /* for the signal handler */

static void on_signal(int number)
{
    (void)number;
    if (running != NULL)
        sl_engine_stop(running);
}

/* systemd's notification protocol (sd_notify(3)): a datagram to the socket that it names; nothing without one. */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    size_t n = path ? strlen(path) : 0;
    if (n == 0 || n >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, path, n);
    if (to.sun_path[0] == '@')
        to.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), 0, (const struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

/* ---- the first administrator ---- */

static bool has_user(sl_engine *e, bool *ret, sl_err *err)
{
    sl_stmt *q = sl_db_query(sl_store_db(sl_engine_store(e)), err, "SELECT 1 FROM users LIMIT 1", "");
    int rc = q ? sl_stmt_next(q, err) : -1;
    *ret = rc == 1;
    if (rc == 1)
        sl_stmt_done(q);
    return rc >= 0;
}

static bool given_password(sl_cli *c, sl_str *ret, sl_err *err)
{
    const char *value = getenv("SLUICE_ADMIN_PASSWORD"), *file = getenv("SLUICE_ADMIN_PASSWORD_FILE");
    *ret = SL_S("");
    if (file != NULL && *file != '\0') {
        if (!sl_fs_read(c->arena, file, 4096, ret, err))
            return false;
        *ret = sl_str_trim(*ret);
    } else if (value != NULL)
        *ret = sl_str_dup(c->arena, sl_str_c(value));
    (void)unsetenv("SLUICE_ADMIN_PASSWORD");
    return true;
}

/* Before the loop runs, so the store is this thread's. */
static bool first_user(sl_cli *c, sl_engine *e, bool loopback, sl_err *err)
{
    bool there;
    sl_str password;
    char random[23];
    if (!has_user(e, &there, err) || !given_password(c, &password, err))
        return false;
    if (there)
        return true;
    bool printed = password.n == 0;
    if (printed && !loopback)
        return sl_err_set(err, SL_ERR_CONFIG, "server.user", "no user exists yet: set SLUICE_ADMIN_PASSWORD, or start on 127.0.0.1 first, before listening to the network");
    if (printed) {
        sl_random_id(random);
        password = sl_str_c(random);
    }
    if (!sl_access_put_user(sl_engine_store(e), SL_S("admin"), password, SL_ROLE_ADMIN, SL_S(""), sl_now_ms(), err))
        return false;
    if (printed) /* once, and past the redactor */
        (void)fprintf(stderr, "The first user is admin with the password %s\nIt is shown this once; `sluice user add` makes others.\n", random);
    return true;
}

/* ---- housekeeping ---- */

typedef struct keeper {
    pthread_t thread;
    sl_engine *engine;
    sl_readers *readers;
    const sl_config *config;
    int64_t excess;                /* see sl_retention_step */
} keeper;

/* A step of each; *more: old executions are left to remove. */
static void keep_house(keeper *k, bool retain, bool *more)
{
    if (!*more)
        k->excess = -1;
    sl_err err;
    sl_store *s = sl_readers_take(k->readers, &err);
    if (s == NULL || !sl_db_checkpoint(sl_store_db(s), &err))
        sl_log(SL_WARN, "housekeeping", "%s", err.message);
    else if (retain && !sl_retention_step(k->engine, s, &k->config->retention, &k->excess, more, &err))
        sl_log(SL_WARN, "retention", "old executions could not be removed: %s", err.message);
    sl_readers_put(k->readers, s);
}

/* The write-ahead log is emptied every second in which something was written, so that no commit ever has to; after the first in which nothing was, memory is given back. */
static void *keep(void *self)
{
    keeper *k = self;
    sl_watcher *w = sl_watcher_new(sl_engine_watch(k->engine), SL_S("$housekeeping"));
    int64_t retained = sl_mono_ms() - HOUSEKEEPING_MS + FIRST_MS, written = -1;
    bool more = false, gave_back = false;
    while (!sl_watch_stopped(sl_engine_watch(k->engine))) {
        sl_engine_stats stats;
        sl_engine_stats_now(k->engine, &stats);
        bool retain = more || sl_mono_ms() - retained > HOUSEKEEPING_MS;
        if (retain || stats.commits != written)
            keep_house(k, retain, &more);
        if (retain)
            retained = sl_mono_ms();
        if (stats.commits == written && !gave_back)
            (void)sl_memory_give_back();
        gave_back = stats.commits == written;
        written = stats.commits;
        (void)sl_watcher_wait(w, more ? 100 : CHECKPOINT_MS);
    }
    sl_watcher_free(w);
    return NULL;
}

/* ---- running ---- */

static bool write_port(sl_cli *c, sl_engine *e, int port, sl_api *api, sl_err *err)
{
    sl_str token;
    return sl_fs_write_atomic(sl_fmt(c->arena, "%s/port", sl_engine_data_dir(e)).p, sl_fmt(c->arena, "%d\n", port), 0600, err)
           && sl_access_local_token(sl_api_access(api), c->arena, &token)
           && sl_fs_write_atomic(sl_fmt(c->arena, "%s/cli-token", sl_engine_data_dir(e)).p, token, 0600, err);
}

static void handle_signals(void)
{
    struct sigaction act = { .sa_handler = on_signal };
    (void)sigaction(SIGINT, &act, NULL);
    (void)sigaction(SIGTERM, &act, NULL);
}

static int serve(sl_cli *c, sl_engine *e, const sl_config *config)
{
    sl_err err;
    running = e;
    handle_signals(); /* before anybody can know that it is there */
    bool loopback = sl_str_starts(config->host, SL_S("127."));
    sl_api *api = sl_api_new(e);
    sl_server_options o = { .host = config->host.p, .port = (int)config->port, .routes = sl_api_routes(api), .self = api, .unmatched = sl_api_unmatched, .body_max = 1 << 16, .header_max = HEADERS_MAX,
                            .connections_max = CONNECTIONS_MAX };
    sl_server *server = first_user(c, e, loopback, &err) ? sl_server_start(&o, &err) : NULL;
    if (server == NULL || !write_port(c, e, sl_server_port(server), api, &err) || !SL_FAULT("server.after_port", &err)) {
        running = NULL;
        sl_server_stop(server);
        sl_api_free(api);
        return sl_cli_error(1, &err);
    }
    keeper k = { .engine = e, .readers = sl_readers_new(e), .config = config };
    if (!sl_db_checkpoint_elsewhere(sl_store_db(sl_engine_store(e)), &err))
        sl_log(SL_WARN, "housekeeping", "%s", err.message);
    bool keeping = pthread_create(&k.thread, NULL, keep, &k) == 0;
    sl_stored_keeper *store = sl_stored_keeper_start(e);
    sl_cli_print("sluice %s listens on http://%.*s:%d, data folder %s\n", SL_VERSION, SL_ARG(config->host), sl_server_port(server), sl_engine_data_dir(e));
    (void)fflush(stdout);
    notify("READY=1");
    bool ok = sl_engine_loop(e, &err);
    notify("STOPPING=1");
    sl_watch_stop(sl_engine_watch(e));
    if (keeping)
        pthread_join(k.thread, NULL);
    sl_stored_keeper_join(store);
    running = NULL;
    sl_server_stop(server);
    sl_readers_free(k.readers);
    sl_api_free(api);
    return ok ? 0 : sl_cli_error(1, &err);
}

static bool load_config(sl_cli *c, sl_config *config)
{
    sl_problems problems = { .arena = c->arena };
    const char *path = sl_cli_has(c, "--config") ? sl_cli_text(c, "--config").p : getenv("SLUICE_CONFIG");
    sl_str port = sl_cli_text(c, "--port"), host = sl_cli_text(c, "--host");
    if (!sl_config_load(c->arena, path && *path ? path : NULL, config, &problems)) {
        sl_cli_problems(path ? path : "configuration", &problems);
        return false;
    }
    if (port.n > 0 && (!sl_parse_int(port, &config->port) || config->port < 0 || config->port > 65535))
        return sl_cli_fail(2, "--port must be from 0 to 65535") == 0;
    if (host.n > 0)
        config->host = host;
    return true;
}

/*
 * A password's hash takes 19 MiB once; with the defaults, glibc would keep such blocks for ever after. And a few arenas are
 * enough for threads that mostly wait.
 */
static void tame_malloc(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 256 << 10);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
    (void)mallopt(M_ARENA_MAX, 2);
}

static int run(sl_cli *c)
{
    tame_malloc();
    sl_config config;
    sl_err err;
    if (!load_config(c, &config))
        return 2;
    if (sl_cli_has(c, "--check")) {
        sl_cli_print("the configuration is good\n");
        return 0;
    }
    bool explicit_dir = sl_cli_has(c, "--data-dir") || getenv("SLUICE_DATA_DIR") != NULL;
    const char *dir = !explicit_dir && config.data_dir.n > 0 ? sl_fs_absolute(c->arena, config.data_dir.p).p : c->data_dir;
    sl_engine_options o = { .data_dir = dir, .registry = &sl_all_connectors, .workers = (int)config.workers, .process_env = config.process_environment, .container_host_access = config.container_host_access, .namespace_isolation = config.namespace_isolation, .local_files = config.local_files, .plugin_defaults = config.plugin_defaults,
                            .globals = config.globals, .environment = config.environment, .url = config.url, .storage = &config.storage, .serve = true };
    sl_cloud *cloud = NULL;
    if (sl_cli_has(c, "--local")) {
        sl_cloud_options lo = { .data_dir = sl_fmt(c->arena, "%s/local", dir).p };
        if ((cloud = sl_cloud_join(&lo, &err)) == NULL)
            return sl_cli_error(1, &err);
        sl_cli_use_cloud(c, cloud, &o);
    }
    sl_engine *e = sl_engine_open(&o, &err);
    int rc = e ? serve(c, e, &config) : sl_cli_error(1, &err);
    sl_engine_close(e);
    sl_cloud_stop(cloud);
    return rc;
}

static const sl_cli_opt opts[] = {
    { "--host", NULL, "ADDRESS", false, "IPv4 address to listen on (127.0.0.1)" },
    { "--port", NULL, "PORT", false, "port to listen on (8080); 0 is any free one" },
    { "--config", NULL, "FILE", false, "configuration ($SLUICE_CONFIG)" },
    { "--check", NULL, NULL, false, "only look whether the configuration is good" },
    { "--local", NULL, NULL, false, "use the local cloud: no account, no network" },
    { 0 },
};

const sl_command sl_command_server = { "server", "[--port PORT] [--host ADDRESS] [--config FILE] [--local]", "Runs flows on their schedules and serves the API, until it is stopped.", opts, 0, 0, run };
