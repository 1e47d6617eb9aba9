/* net/http_server.c: the server on libmicrohttpd; the only file that knows it. */
#include "net/http_server.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/limits.h"
#include "net/arrival.h"

/* A request has to be there within this, and then its body at a kilobyte a second; a connection without one is let go. */
enum { HEAD_MS = 30000, BODY_MS = 60000, BODY_BYTES = 60 << 10, IDLE_S = 120 };

struct sl_server {
    struct MHD_Daemon *daemon;
    sl_arrivals *arrivals;
    sl_server_options options;
    int port;
};

typedef struct call {
    sl_server *server;
    sl_arrival *arrival;
    sl_server_request req;
    const sl_route *route;
    sl_buf body;
    int64_t received;
    sl_str parts[16], rests[17];
    bool parts_ok[16], too_many;
    size_t part_count;
} call;

static enum MHD_Result add_header(void *self, enum MHD_ValueKind kind, const char *name, const char *value)
{
    call *c = self;
    sl_val *map = (sl_val *)(uintptr_t)(kind == MHD_HEADER_KIND ? c->req.headers : c->req.params);
    sl_str key = sl_str_c(name);
    sl_map_set(c->req.arena, map, kind == MHD_HEADER_KIND ? sl_str_lower(c->req.arena, key) : sl_str_dup(c->req.arena, key),
               sl_val_str(c->req.arena, sl_str_dup(c->req.arena, sl_str_c(value))));
    return MHD_YES;
}

/* The raw target is kept before libmicrohttpd unescapes it: an object name may hold an encoded slash. */
static void *on_uri(void *self, const char *uri, struct MHD_Connection *connection)
{
    call *c = sl_malloc(sizeof *c);
    memset(c, 0, sizeof *c);
    c->server = self;
    c->arrival = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    c->req.arena = sl_arena_new();
    sl_str target = sl_str_dup(c->req.arena, sl_str_c(uri));
    ptrdiff_t question = sl_str_find(target, SL_S("?"));
    c->req.path = question < 0 ? target : sl_str_sub(target, 0, (size_t)question);
    c->req.query = question < 0 ? SL_S("") : sl_str_sub(target, (size_t)question + 1, target.n);
    c->req.headers = sl_map(c->req.arena);
    c->req.params = sl_map(c->req.arena);
    return c;
}

static void parse_params(call *c)
{
    sl_str rest = c->req.query, pair;
    while (rest.n > 0 && sl_str_cut(&rest, '&', &pair)) {
        sl_str value = pair, name, decoded_name, decoded;
        (void)sl_str_cut(&value, '=', &name);
        if (value.p == NULL)
            value = SL_S("");
        if (sl_percent_decode(c->req.arena, name, true, &decoded_name) && sl_percent_decode(c->req.arena, value, true, &decoded))
            sl_map_set(c->req.arena, (sl_val *)(uintptr_t)c->req.params, decoded_name, sl_val_str(c->req.arena, decoded));
    }
}

/* The path's parts, each decoded once. Parts beyond the limit, or badly encoded ones, match no pattern but a trailing #. */
static void split_path(call *c)
{
    sl_str rest = sl_str_sub(c->req.path, 1, c->req.path.n), part;
    while (c->req.path.n > 0 && c->part_count < SL_COUNT(c->parts)) {
        size_t at = c->part_count;
        c->rests[at] = rest.p ? rest : SL_S("");
        if (!sl_str_cut(&rest, '/', &part))
            return;
        c->parts_ok[at] = sl_percent_decode(c->req.arena, part, false, &c->parts[at]);
        c->part_count++;
    }
    c->too_many = rest.p != NULL;
}

static bool match(call *c, const char *pattern)
{
    sl_str want = sl_str_c(pattern + 1), piece;
    size_t at = 0;
    for (; sl_str_cut(&want, '/', &piece); at++) {
        if (sl_str_eqc(piece, "#")) {
            c->req.segment_count = at;
            c->req.rest = at <= c->part_count && at < SL_COUNT(c->rests) ? c->rests[at] : SL_S("");
            return at <= c->part_count;
        }
        if (at >= c->part_count || !c->parts_ok[at] || (!sl_str_eqc(piece, "+") && !sl_str_eq(piece, c->parts[at])))
            return false;
    }
    c->req.segment_count = at;
    return at == c->part_count && !c->too_many;
}

typedef struct puller {
    size_t (*pull)(void *self, char *out, size_t n);
    void (*done)(void *self);
    void *self;
} puller;

static ssize_t pull(void *self, uint64_t position, char *out, size_t n)
{
    (void)position;
    puller *p = self;
    size_t got = p->pull(p->self, out, n);
    return got > 0 ? (ssize_t)got : MHD_CONTENT_READER_END_OF_STREAM;
}

static void pulled_out(void *self)
{
    puller *p = self;
    if (p->done != NULL)
        p->done(p->self);
    free(p);
}

static enum MHD_Result send_response(call *c, struct MHD_Connection *connection, sl_server_response *r)
{
    struct MHD_Response *m;
    if (r->pull != NULL) {
        puller *p = sl_malloc(sizeof *p);
        *p = (puller){ r->pull, r->pulled_out, r->pull_self };
        m = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, pull, p, pulled_out);
    } else if (r->file_fd > 0)
        m = MHD_create_response_from_fd_at_offset64((uint64_t)r->file_size, r->file_fd, (uint64_t)r->file_offset);
    else
        m = MHD_create_response_from_buffer(r->body.n, (void *)(uintptr_t)(r->body.p ? r->body.p : ""), MHD_RESPMEM_MUST_COPY);
    if (m == NULL)
        return MHD_NO;
    if (r->content_type != NULL)
        (void)MHD_add_response_header(m, "Content-Type", r->content_type);
    for (size_t i = 0; i < sl_val_count(r->headers); i++) {
        const sl_entry *e = &r->headers->map.entries[i];
        size_t n = e->value->type == SL_LIST ? e->value->list.n : 1;
        for (size_t k = 0; k < n; k++)
            (void)MHD_add_response_header(m, sl_cstr(c->req.arena, e->key),
                                          sl_cstr(c->req.arena, sl_val_text(c->req.arena, e->value->type == SL_LIST ? e->value->list.items[k] : e->value)));
    }
    int status = r->status ? r->status : 200;
    enum MHD_Result rc = MHD_queue_response(connection, (unsigned)status, m);
    MHD_destroy_response(m);
    if (c->server->options.log != NULL)
        c->server->options.log(c->server->options.self, c->req.method, sl_fmt(c->req.arena, "%.*s%s%.*s", SL_ARG(c->req.path), c->req.query.n ? "?" : "", SL_ARG(c->req.query)),
                               status, c->received);
    return rc;
}

static void find_route(call *c, const char *method)
{
    for (const sl_route *r = c->server->options.routes; r->pattern != NULL; r++)
        if (strcmp(r->method, method) == 0 && c->req.path.n > 0 && match(c, r->pattern)) {
            memcpy(c->req.segments, c->parts, sizeof c->parts);
            c->route = c->req.route = r;
            return;
        }
}

static void answer_unmatched(call *c, sl_server_response *r)
{
    sl_buf allow = sl_buf_new(c->req.arena, 256);
    for (const sl_route *k = c->server->options.routes; k->pattern != NULL; k++)
        if (c->req.path.n > 0 && match(c, k->pattern) && sl_str_find(sl_buf_str(&allow), sl_str_c(k->method)) < 0)
            sl_buf_fmt(&allow, "%s%s", allow.n ? ", " : "", k->method);
    if (c->server->options.unmatched != NULL)
        c->server->options.unmatched(c->server->options.self, &c->req, r, sl_buf_str(&allow));
    else
        sl_respond_text(r, 404, SL_S("Not Found\n"));
}

static enum MHD_Result on_request(void *self, struct MHD_Connection *connection, const char *url, const char *method, const char *version, const char *data, size_t *size,
                                  void **state)
{
    (void)self;
    (void)url;
    (void)version;
    call *c = *state;
    if (c->req.method == NULL) {
        sl_arrival_head(c->arrival);
        c->req.method = sl_cstr(c->req.arena, sl_str_c(method));
        (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, add_header, c);
        parse_params(c);
        c->body = sl_buf_new(c->req.arena, c->server->options.body_max);
        split_path(c);
        find_route(c, method);
        if (c->route != NULL && c->route->on_begin != NULL)
            c->req.stream = c->route->on_begin(c->server->options.self, &c->req);
        return MHD_YES;
    }
    if (*size > 0) {
        sl_arrival_body(c->arrival, *size);
        c->received += (int64_t)*size;
        if (c->route != NULL && c->route->on_data != NULL) {
            if (!c->req.body_failed)
                c->req.body_failed = !c->route->on_data(c->server->options.self, &c->req, data, *size);
        } else
            sl_buf_add(&c->body, (sl_str){ data, *size });
        *size = 0;
        return MHD_YES;
    }
    sl_server_response r = { 0 };
    sl_arrival_complete(c->arrival);
    c->req.body = sl_buf_str(&c->body);
    if (c->route == NULL)
        answer_unmatched(c, &r);
    else if (c->body.overflow)
        sl_respond_text(&r, 413, SL_S("the body is too large\n"));
    else
        c->route->handle(c->server->options.self, &c->req, &r);
    return send_response(c, connection, &r);
}

static void on_done(void *self, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
    (void)self;
    (void)connection;
    (void)code;
    call *c = *state;
    if (c == NULL)
        return;
    if (c->route != NULL && c->route->on_end != NULL && c->req.method != NULL)
        c->route->on_end(c->server->options.self, &c->req);
    sl_arrival_next(c->arrival, IDLE_S * 1000 + HEAD_MS);
    sl_arena_free(c->req.arena);
    free(c);
    *state = NULL;
}

static void on_connection(void *self, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode code)
{
    sl_server *s = self;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *context = sl_arrival_open(s->arrivals, MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
    else
        sl_arrival_close(*context);
}

sl_server *sl_server_start(const sl_server_options *options, sl_err *err)
{
    const char *host = options->host ? options->host : "127.0.0.1";
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)options->port) };
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        sl_err_set(err, SL_ERR_CONFIG, "server.host", "'%s' is not an IPv4 address to listen on", host);
        return NULL;
    }
    sl_server *s = sl_malloc(sizeof *s);
    *s = (sl_server){ .options = *options };
    s->arrivals = sl_arrivals_new(options->head_ms ? options->head_ms : HEAD_MS, options->body_ms ? options->body_ms : BODY_MS, BODY_BYTES);
    if (s->arrivals == NULL) {
        sl_err_set(err, SL_ERR_IO, "server.thread", "no thread could be started for the server on %s:%d", host, options->port);
        free(s);
        return NULL;
    }
    s->daemon = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, on_request, s, MHD_OPTION_SOCK_ADDR,
                                 (struct sockaddr *)&address, MHD_OPTION_URI_LOG_CALLBACK, on_uri, s, MHD_OPTION_NOTIFY_COMPLETED, on_done, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_CONNECTION_LIMIT,
                                 options->connections_max ? options->connections_max : 256U, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(options->header_max ? options->header_max : 1 << 20),
                                 MHD_OPTION_THREAD_STACK_SIZE, (size_t)(512 << 10),
                                 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1U, MHD_OPTION_END);
    if (s->daemon == NULL) {
        sl_err_set(err, SL_ERR_CONFLICT, "server.bind", "cannot listen on %s:%d; another program uses that port, or it is not allowed", host, options->port);
        sl_arrivals_free(s->arrivals);
        free(s);
        return NULL;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    s->port = info ? (int)info->port : options->port;
    return s;
}

int sl_server_port(const sl_server *s)
{
    return s->port;
}

void sl_server_stop(sl_server *s)
{
    if (s == NULL)
        return;
    MHD_stop_daemon(s->daemon);
    sl_arrivals_free(s->arrivals);
    free(s);
}

void sl_respond_json(sl_server_request *req, sl_server_response *resp, int status, const sl_val *body)
{
    resp->status = status;
    resp->content_type = "application/json; charset=UTF-8";
    resp->body = sl_json(req->arena, body);
}

void sl_respond_text(sl_server_response *resp, int status, sl_str text)
{
    resp->status = status;
    resp->content_type = "text/plain; charset=UTF-8";
    resp->body = text;
}

sl_str sl_request_header(const sl_server_request *req, const char *name)
{
    return sl_get_text(req->headers, name);
}

sl_str sl_request_param(const sl_server_request *req, const char *name)
{
    return sl_get_text(req->params, name);
}
