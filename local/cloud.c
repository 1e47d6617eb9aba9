/* local/cloud.c: starts and stops the local cloud; the request log. See cloud.h. */
#include "local/cloud.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "local/aws.h"
#include "local/bq.h"
#include "local/redshift.h"

static void health(void *self, sl_server_request *req, sl_server_response *resp)
{
    (void)self;
    (void)req;
    sl_respond_text(resp, 200, SL_S("ok\n"));
}

static const sl_route own_routes[] = {
    { .method = "GET", .pattern = "/health", .handle = health },
    { .method = "POST", .pattern = "/token", .handle = sl_oauth_token },
    { .method = "GET", .pattern = "/sample-data/+", .handle = sl_taxi_get },
    { .method = "GET", .pattern = "/sample-data/+/+", .handle = sl_taxi_get },
    { 0 },
};

static const sl_route *joined(sl_arena *a, const sl_route *const *tables, size_t count)
{
    size_t n = 0;
    for (size_t t = 0; t < count; t++)
        for (const sl_route *r = tables[t]; r->pattern != NULL; r++)
            n++;
    sl_route *all = SL_ARRAY(a, sl_route, n + 1);
    n = 0;
    for (size_t t = 0; t < count; t++)
        for (const sl_route *r = tables[t]; r->pattern != NULL; r++)
            all[n++] = *r;
    return all;
}

/* One line a request: what tests and people look at to see what really happened. Session ids are credentials. */
static void log_request(void *self, const char *method, sl_str target, int status, int64_t bytes)
{
    sl_cloud *c = self;
    SL_ARENA a = sl_arena_new();
    sl_val *v = sl_map(a);
    ptrdiff_t id = sl_str_find(target, SL_S("upload_id="));
    sl_map_set_str(a, v, "at", sl_cloud_now(a));
    sl_map_set_str(a, v, "method", sl_str_c(method));
    sl_map_set_str(a, v, "target", id > 0 ? sl_str_sub(target, 0, (size_t)id + 14) : target);
    sl_map_set_int(a, v, "status", status);
    sl_map_set_int(a, v, "bytes", bytes);
    sl_str line = sl_fmt(a, "%.*s\n", SL_ARG(sl_json(a, v)));
    ssize_t put = write(c->log_fd, line.p, line.n);
    (void)put;
}

bool sl_cloud_listen(sl_cloud *c, const char *file, int wanted, const sl_route *const *tables, size_t n, void (*unmatched)(void *, sl_server_request *, sl_server_response *, sl_str), sl_server **ret, char ret_url[static 64], sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_str path = sl_fmt(a, "%s/%s", c->dir, file), text;
    sl_err ignored;
    int64_t last = 0;
    if (sl_fs_read(a, path.p, 32, &text, &ignored))
        (void)sl_parse_int(sl_str_trim(text), &last);
    sl_server_options o = { .port = wanted ? wanted : (int)last, .routes = joined(c->arena, tables, n), .self = c, .unmatched = unmatched, .body_max = 64U << 20, .log = log_request };
    *ret = sl_server_start(&o, err);
    if (*ret == NULL && wanted == 0) {
        o.port = 0;
        *ret = sl_server_start(&o, err);
    }
    if (*ret == NULL)
        return false;
    int port = sl_server_port(*ret);
    (void)snprintf(ret_url, 64, "http://127.0.0.1:%d", port);
    /* Kept, so that addresses which clients have on disk (upload sessions) are good after a restart. */
    return sl_fs_write_atomic(path.p, sl_fmt(a, "%d\n", port), 0600, err);
}

static bool listen_on(sl_cloud *c, int wanted, sl_err *err)
{
    const sl_route *tables[] = { own_routes, sl_gcs_routes, sl_upload_routes, sl_bq_routes };
    return sl_cloud_listen(c, "port", wanted, tables, SL_COUNT(tables), NULL, &c->server, c->url, err);
}

static char *join(const char *dir, const char *name)
{
    size_t n = strlen(dir) + strlen(name) + 2;
    char *p = sl_malloc(n);
    (void)snprintf(p, n, "%s%s%s", dir, *name ? "/" : "", name);
    return p;
}

static sl_cloud *cloud_new(const sl_cloud_options *options)
{
    sl_cloud *c = sl_malloc(sizeof *c);
    *c = (sl_cloud){ .lock_fd = -1, .log_fd = -1, .arena = sl_arena_new() };
    pthread_mutex_init(&c->lock, NULL);
    c->dir = join(options->data_dir, "");
    c->blobs = join(options->data_dir, "blobs");
    c->anonymous = options->anonymous;
    c->project = SL_S("local-project");
    return c;
}

sl_cloud *sl_cloud_join(const sl_cloud_options *options, sl_err *err)
{
    sl_cloud *c = sl_cloud_start(options, err);
    if (c != NULL || err->kind != SL_ERR_CONFLICT)
        return c;
    sl_str port, key;
    sl_err_clear(err);
    c = cloud_new(options);
    if (sl_fs_read(c->arena, sl_fmt(c->arena, "%s/port", c->dir).p, 32, &port, err) && sl_fs_read(c->arena, sl_fmt(c->arena, "%s/service-account.json", c->dir).p, 16384, &key, err)) {
        (void)snprintf(c->url, sizeof c->url, "http://127.0.0.1:%.*s", SL_ARG(sl_str_trim(port)));
        c->key = sl_secret_new(key);
        sl_redact_add(key);
        if (sl_aws_face_join(c, err) && sl_redshift_join(c, err))
            return c;
    }
    sl_err_ctx(err, "joining the local cloud that runs with %s", c->dir);
    sl_cloud_stop(c);
    return NULL;
}

sl_cloud *sl_cloud_start(const sl_cloud_options *options, sl_err *err)
{
    sl_cloud *c = cloud_new(options);
    sl_arena *a = c->arena;
    bool ok = sl_fs_mkdirs(c->blobs, err) && (c->lock_fd = sl_fs_lock(sl_fmt(a, "%s/lock", c->dir).p, 20000, err)) >= 0
              && (c->db = sl_db_open(sl_fmt(a, "%s/cloud.db", c->dir).p, sl_gcs_migrations, err)) != NULL;
    c->log_fd = ok ? open(sl_fmt(a, "%s/requests.jsonl", c->dir).p, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    ok = ok && (c->log_fd >= 0 || sl_err_errno(err, "open the request log in", c->dir));
    ok = ok && listen_on(c, options->port, err) && sl_oauth_init(c, err) && sl_aws_face_start(c, err) && sl_redshift_start(c, err);
    if (ok)
        return c;
    sl_err_ctx(err, "starting the local cloud");
    sl_cloud_stop(c);
    return NULL;
}

void sl_cloud_stop(sl_cloud *c)
{
    if (c == NULL)
        return;
    if (c->server != NULL)
        sl_server_stop(c->server);
    if (c->aws_server != NULL)    /* no more requests for what is closed now */
        sl_server_stop(c->aws_server);
    c->aws_server = NULL;
    sl_redshift_stop(c);
    sl_aws_face_stop(c);
    sl_bq_stop(c);
    sl_uploads_free(c);
    sl_secret_free(c->key);
    if (c->db != NULL)
        sl_db_close(c->db);
    if (c->log_fd >= 0)
        close(c->log_fd);
    if (c->lock_fd >= 0)
        close(c->lock_fd);
    pthread_mutex_destroy(&c->lock);
    free(c->dir);
    free(c->blobs);
    sl_arena_free(c->arena);
    free(c);
}

const char *sl_cloud_url(const sl_cloud *c)
{
    return c->url;
}

sl_str sl_cloud_key(const sl_cloud *c)
{
    return sl_secret_reveal(c->key);
}

const char *sl_cloud_aws_url(const sl_cloud *c)
{
    return c->aws_url;
}

const char *sl_cloud_redshift_url(const sl_cloud *c)
{
    return c->redshift_url;
}

sl_str sl_cloud_aws_key_id(const sl_cloud *c)
{
    return c->aws_key_id;
}

sl_str sl_cloud_aws_secret(const sl_cloud *c)
{
    return sl_secret_reveal(c->aws_secret);
}

sl_str sl_cloud_engine(sl_arena *arena, sl_err *err)
{
    return sl_duck_library(arena, err);
}

static bool read_word(sl_arena *a, const char *dir, const char *file, sl_str *ret, sl_err *err)
{
    if (!sl_fs_read(a, sl_fmt(a, "%s/%s", dir, file).p, 4096, ret, err))
        return false;
    *ret = sl_str_trim(*ret);
    return true;
}

bool sl_cloud_env(sl_arena *a, const char *dir, bool scripts, const sl_val **ret, sl_err *err)
{
    sl_str port, aws_port, text, redshift;
    if (!read_word(a, dir, "port", &port, err) || !read_word(a, dir, "aws-port", &aws_port, err) || !read_word(a, dir, "redshift-port", &redshift, err) || !read_word(a, dir, "aws-key.json", &text, err))
        return false;
    const sl_val *key = sl_json_parse(a, text, err);
    if (key == NULL)
        return false;
    sl_val *env = sl_map(a);
    sl_str url = sl_fmt(a, "http://127.0.0.1:%.*s", SL_ARG(port)), secret = sl_get_text(key, "secretAccessKey");
    sl_map_set_str(a, env, scripts ? "API_ENDPOINT_OVERRIDE" : "STORAGE_EMULATOR_HOST", url);
    sl_map_set_str(a, env, "BIGQUERY_EMULATOR_HOST", url);
    sl_map_set_str(a, env, "GOOGLE_APPLICATION_CREDENTIALS", sl_fmt(a, "%s/service-account.json", dir));
    sl_map_set_str(a, env, "GOOGLE_CLOUD_PROJECT", SL_S("local-project"));
    sl_map_set_str(a, env, "REDSHIFT_HOST", SL_S("127.0.0.1"));
    sl_map_set_str(a, env, "REDSHIFT_PORT", redshift);
    sl_map_set_str(a, env, "REDSHIFT_DATABASE", SL_S("dev"));
    sl_map_set_str(a, env, "REDSHIFT_USER", SL_S("local"));
    sl_map_set_str(a, env, "REDSHIFT_PASSWORD", secret);
    sl_map_set_str(a, env, "REDSHIFT_CA", sl_fmt(a, "%s/redshift.crt", dir));
    sl_map_set_str(a, env, "AWS_ENDPOINT_URL", sl_fmt(a, "http://127.0.0.1:%.*s", SL_ARG(aws_port)));
    sl_map_set_str(a, env, "AWS_ACCESS_KEY_ID", sl_get_text(key, "accessKeyId"));
    sl_map_set_str(a, env, "AWS_SECRET_ACCESS_KEY", secret);
    sl_map_set_str(a, env, "AWS_REGION", SL_S("us-east-1"));
    sl_map_set_str(a, env, "AWS_DEFAULT_REGION", SL_S("us-east-1")); /* some know the one, some the other */
    *ret = env;
    return true;
}
