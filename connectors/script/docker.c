/* connectors/script/docker.c: see docker.h. */
#include "connectors/script/docker.h"

#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"

enum { EVENT_MAX = 1 << 20, CLEANUP_MS = 60000 };
static const int64_t FOREVER_MS = (int64_t)1 << 50; /* silence is what most scripts give, most of the time */

static const char *default_socket(sl_arena *a)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    const char *const places[] = { "/var/run/docker.sock", runtime ? sl_fmt(a, "%s/docker.sock", runtime).p : NULL, runtime ? sl_fmt(a, "%s/podman/podman.sock", runtime).p : NULL, "/run/podman/podman.sock" };
    for (size_t i = 0; i < SL_COUNT(places); i++)
        if (places[i] != NULL && access(places[i], F_OK) == 0)
            return places[i];
    return places[0];
}

bool sl_docker_open(sl_docker *d, sl_task *t, sl_str host, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    const char *named = getenv("DOCKER_HOST");
    host = sl_str_trim(host.n > 0 ? host : sl_str_c(named));
    if (host.n == 0)
        host = sl_fmt(a, "unix://%s", default_socket(a));
    *d = (sl_docker){ .task = t, .shown = host };
    if (sl_str_starts(host, SL_S("unix://"))) {
        d->unix_socket = sl_cstr(a, sl_str_sub(host, 7, host.n));
        d->base = SL_S("http://localhost");
    } else if (sl_str_starts(host, SL_S("tcp://")))
        d->base = sl_fmt(a, "http://%.*s", SL_ARG(sl_str_sub(host, 6, host.n)));
    else
        d->base = host;
    while (sl_str_ends(d->base, SL_S("/")))
        d->base.n--;
    sl_url u;
    return sl_url_parse(d->base, &u, err) || sl_err_set(err, SL_ERR_CONFIG, "docker.host", "'%.*s' is no address of a Docker Engine; write unix:///path or tcp://host:port", SL_ARG(host));
}

static sl_http_request request(sl_docker *d, const char *method, sl_str path)
{
    sl_arena *a = sl_task_arena(d->task);
    sl_http_request req = { .method = method, .url = sl_fmt(a, "%.*s%.*s", SL_ARG(d->base), SL_ARG(path)), .unix_socket = d->unix_socket, .no_proxy = true, .pool = SL_S("docker"), .keep_encoding = true };
    return req;
}

static bool refused(sl_docker *d, const sl_http_response *r, const char *what, sl_err *err)
{
    sl_err ignored;
    sl_str text = sl_get_text(sl_json_parse(sl_task_arena(d->task), r->body, &ignored), "message");
    if (text.n == 0)
        text = sl_str_trim(r->body);
    if (text.n > 2000)
        text.n = 2000;
    return sl_err_set(err, sl_http_status_kind(r->status), "docker.refused", "the container engine at %.*s could not %s: %.*s (HTTP %d)", SL_ARG(d->shown), what, SL_ARG(text), r->status);
}

static bool exchange(sl_docker *d, sl_http_request *req, const char *what, sl_http_response *r, sl_err *err)
{
    if (!sl_http_call(sl_task_http(d->task), sl_task_arena(d->task), req, r, err)) {
        if (err->kind == SL_ERR_CANCELLED)
            return false;
        return sl_err_set(err, err->kind, "docker.unreachable", "the container engine at %.*s could not %s: %s; start Docker or Podman's service, name it with DOCKER_HOST, or run the script on this machine with taskRunner: {type: io.kestra.plugin.core.runner.Process}",
                          SL_ARG(d->shown), what, sl_fmt(sl_task_arena(d->task), "%s", err->message).p);
    }
    return r->status < 400 || refused(d, r, what, err);
}

static bool send_json(sl_docker *d, const char *method, sl_str path, const sl_val *body, const char *what, sl_http_response *r, sl_err *err)
{
    sl_http_request req = request(d, method, path);
    sl_task_prepare(d->task, &req);
    if (body != NULL) {
        req.body = sl_json_text(sl_task_arena(d->task), body);
        req.headers = sl_map_of(sl_task_arena(d->task), "Content-Type", sl_val_c(sl_task_arena(d->task), "application/json"));
    }
    return exchange(d, &req, what, r, err);
}

static sl_str container_path(sl_docker *d, sl_str name, const char *rest)
{
    return sl_fmt(sl_task_arena(d->task), "/containers/%.*s%s", SL_ARG(name), rest);
}

/* ---- images ---- */

bool sl_docker_has_image(sl_docker *d, sl_str image, bool *ret, sl_err *err)
{
    sl_http_response r;
    sl_arena *a = sl_task_arena(d->task);
    *ret = send_json(d, "GET", sl_fmt(a, "/images/%.*s/json", SL_ARG(sl_percent(a, image, "/:@"))), NULL, "look for the image", &r, err);
    return *ret || err->kind == SL_ERR_NOT_FOUND;
}

/* One JSON document a line; an error comes with status 200. */
typedef struct events {
    sl_writer base;
    sl_docker *d;
    sl_buf line;
    sl_arena *arena;
    sl_arena_mark start;
    char error[1000];
} events;

static void take_event(events *e)
{
    sl_err ignored;
    const sl_val *doc = sl_json_parse(e->arena, sl_buf_str(&e->line), &ignored);
    sl_str error = sl_get_text(doc, "error"), status = sl_get_text(doc, "status"), id = sl_get_text(doc, "id");
    if (error.n > 0)
        (void)snprintf(e->error, sizeof e->error, "%.*s", SL_ARG(error));
    else if (status.n > 0 && sl_val_count(sl_get(doc, "progressDetail")) == 0)
        sl_task_log(e->d->task, SL_DEBUG, "%.*s%s%.*s", SL_ARG(id), id.n ? ": " : "", SL_ARG(status));
    sl_arena_rewind(e->arena, e->start);
    e->line = sl_buf_new(e->arena, EVENT_MAX);
}

static bool events_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    events *e = (events *)self;
    (void)err;
    for (size_t i = 0; i < n; i++) {
        char c = ((const char *)from)[i];
        if (c == '\n')
            take_event(e);
        else
            sl_buf_char(&e->line, c);
    }
    return true;
}

/* "name:tag" → name and tag; a digest stays with the name. */
static void split_image(sl_str image, sl_str *name, sl_str *tag)
{
    ptrdiff_t colon = sl_str_rfind(image, SL_S(":")), slash = sl_str_rfind(image, SL_S("/"));
    bool digest = sl_str_find(image, SL_S("@")) >= 0;
    *name = !digest && colon > slash ? sl_str_sub(image, 0, (size_t)colon) : image;
    *tag = digest ? SL_S("") : colon > slash ? sl_str_sub(image, (size_t)colon + 1, image.n) : SL_S("latest");
}

bool sl_docker_pull(sl_docker *d, sl_str image, const sl_val *auth, sl_err *err)
{
    sl_arena *a = sl_task_arena(d->task);
    sl_str name, tag;
    sl_http_response r;
    split_image(image, &name, &tag);
    sl_val *query = sl_map_of(a, "fromImage", sl_val_str(a, name));
    sl_map_opt_str(a, query, "tag", tag);
    sl_http_request req = request(d, "POST", sl_fmt(a, "/images/create?%.*s", SL_ARG(sl_url_query(a, query))));
    sl_task_prepare(d->task, &req);
    if (auth != NULL)
        req.headers = sl_map_of(a, "X-Registry-Auth", sl_val_str(a, sl_base64url(a, sl_json_text(a, auth))));
    SL_ARENA line = sl_arena_new();
    events e = { .base = { .write = events_write }, .d = d, .arena = line, .start = sl_arena_get_mark(line), .line = sl_buf_new(line, EVENT_MAX) };
    req.sink = &e.base;
    req.idle_ms = 600000;
    req.idempotent = true;
    sl_task_log(d->task, SL_INFO, "pulling the image %.*s", SL_ARG(image));
    if (!exchange(d, &req, "pull the image", &r, err))
        return sl_err_ctx(err, "%.*s", SL_ARG(image));
    if (e.line.n > 0)
        take_event(&e);
    return e.error[0] == '\0' || sl_err_set(err, SL_ERR_REMOTE, "docker.pull", "the image '%.*s' could not be pulled: %s", SL_ARG(image), e.error);
}

/* ---- containers ---- */

bool sl_docker_create(sl_docker *d, sl_str name, const sl_val *document, sl_err *err)
{
    sl_http_response r;
    return send_json(d, "POST", sl_fmt(sl_task_arena(d->task), "/containers/create?name=%.*s", SL_ARG(name)), document, "create the container", &r, err);
}

bool sl_docker_inspect(sl_docker *d, sl_str name, const sl_val **ret, sl_err *err)
{
    sl_http_response r;
    *ret = NULL;
    if (!send_json(d, "GET", container_path(d, name, "/json"), NULL, "look at the container", &r, err))
        return err->kind == SL_ERR_NOT_FOUND;
    *ret = sl_json_parse(sl_task_arena(d->task), r.body, err);
    return *ret != NULL || sl_err_ctx(err, "reading what the container engine says of the container");
}

typedef struct starter {
    sl_docker *d;
    sl_str name;
} starter;

static bool start(void *self, sl_err *err)
{
    starter *s = self;
    sl_http_response r;
    return send_json(s->d, "POST", container_path(s->d, s->name, "/start"), NULL, "start the container", &r, err);
}

static sl_http_request frames_of(sl_docker *d, const char *method, sl_str path, sl_writer *frames)
{
    sl_http_request req = request(d, method, path);
    sl_task_prepare(d->task, &req);
    req.sink = frames;
    req.idle_ms = FOREVER_MS;
    return req;
}

bool sl_docker_attach_and_start(sl_docker *d, sl_str name, sl_writer *frames, sl_err *err)
{
    sl_http_response r;
    sl_http_request req = frames_of(d, "POST", container_path(d, name, "/attach?stream=1&stdout=1&stderr=1"), frames);
    starter s = { d, name };
    req.answered = start;
    req.answered_self = &s;
    req.attempts_max = 1;
    return exchange(d, &req, "give the container's output", &r, err);
}

bool sl_docker_output(sl_docker *d, sl_str name, sl_writer *frames, sl_err *err)
{
    sl_http_response r;
    sl_http_request req = frames_of(d, "GET", container_path(d, name, "/logs?stdout=1&stderr=1"), frames);
    return exchange(d, &req, "give the container's output", &r, err);
}

bool sl_docker_put(sl_docker *d, sl_str name, sl_reader *(*open)(void *self, sl_err *err), void *self, int64_t size, sl_err *err)
{
    sl_http_response r;
    sl_arena *a = sl_task_arena(d->task);
    sl_http_request req = request(d, "PUT", container_path(d, name, "/archive?path=/"));
    sl_task_prepare(d->task, &req);
    req.headers = sl_map_of(a, "Content-Type", sl_val_c(a, "application/x-tar"));
    req.open_body = open;
    req.body_self = self;
    req.body_size = size;
    return exchange(d, &req, "take the input files", &r, err);
}

bool sl_docker_get(sl_docker *d, sl_str name, sl_str folder, sl_writer *tar, sl_err *err)
{
    sl_http_response r;
    sl_arena *a = sl_task_arena(d->task);
    sl_str query = sl_fmt(a, "/archive?path=%.*s", SL_ARG(sl_percent(a, folder, "/")));
    sl_http_request req = request(d, "GET", container_path(d, name, query.p));
    sl_task_prepare(d->task, &req);
    req.sink = tar;
    return exchange(d, &req, "give the output files", &r, err) && tar->finish(tar, err);
}

void sl_docker_stop(sl_docker *d, sl_str name, int64_t grace_s)
{
    sl_http_response r;
    sl_err err;
    sl_arena *a = sl_task_arena(d->task);
    sl_str how = grace_s > 0 ? sl_fmt(a, "/stop?t=%lld", (long long)grace_s) : SL_S("/kill");
    sl_http_request req = request(d, "POST", container_path(d, name, how.p));
    req.total_ms = grace_s * 1000 + CLEANUP_MS;
    req.idle_ms = req.total_ms;
    if (!exchange(d, &req, "stop the container", &r, &err) && err.kind != SL_ERR_NOT_FOUND && err.kind != SL_ERR_CONFLICT)
        sl_task_log(d->task, SL_WARN, "%s", err.message);
}

bool sl_docker_remove(sl_docker *d, sl_str name, sl_err *err)
{
    sl_http_response r;
    sl_http_request req = request(d, "DELETE", container_path(d, name, "?force=1&v=1"));
    req.total_ms = CLEANUP_MS;
    return exchange(d, &req, "remove the container", &r, err) || err->kind == SL_ERR_NOT_FOUND;
}
