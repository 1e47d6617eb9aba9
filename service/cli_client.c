/* service/cli_client.c: see cli_client.h. */
#include "service/cli_client.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/secret.h"
#include "net/http.h"

struct sl_client {
    sl_cli *cli;
    sl_http *http;
    sl_str url, token;
    sl_val *headers;
};

static void done(void *http)
{
    sl_http_free(http);
}

/* What a server on this machine has left in the data folder. */
static bool find_local(sl_cli *c, sl_client *k)
{
    sl_str port;
    sl_err err;
    if (!sl_fs_read(c->arena, sl_fmt(c->arena, "%s/port", c->data_dir).p, 32, &port, &err) || !sl_fs_read(c->arena, sl_fmt(c->arena, "%s/cli-token", c->data_dir).p, 256, &k->token, &err))
        return false;
    k->url = sl_fmt(c->arena, "http://127.0.0.1:%.*s", SL_ARG(sl_str_trim(port)));
    return true;
}

sl_client *sl_client_open(sl_cli *c)
{
    sl_client *k = SL_NEW(c->arena, sl_client);
    const char *url = getenv("SLUICE_URL"), *token = getenv("SLUICE_TOKEN");
    *k = (sl_client){ .cli = c, .headers = sl_map(c->arena) };
    if (url != NULL && *url != '\0') {
        k->url = sl_str_c(url);
        while (k->url.n > 0 && k->url.p[k->url.n - 1] == '/')
            k->url.n--;
        k->token = sl_str_c(token);
    } else if (!find_local(c, k)) {
        (void)sl_cli_fail(1, "there is no server to talk to: start one with `sluice server` on this data folder (%s), or set SLUICE_URL and SLUICE_TOKEN", c->data_dir);
        return NULL;
    }
    sl_redact_add(k->token);
    k->http = sl_http_new(NULL);
    sl_arena_on_free(c->arena, done, k->http);
    return k;
}

sl_str sl_client_path(sl_cli *c, const char *fmt, ...)
{
    sl_buf b = sl_buf_new(c->arena, 1 << 16);
    va_list ap;
    va_start(ap, fmt);
    for (; *fmt != '\0'; fmt++) {
        if (fmt[0] == '%' && fmt[1] == 's') {
            sl_buf_add(&b, sl_percent(c->arena, sl_str_c(va_arg(ap, const char *)), NULL));
            fmt++;
        } else
            sl_buf_char(&b, *fmt);
    }
    va_end(ap);
    return sl_buf_str(&b);
}

void sl_client_header(sl_client *k, const char *name, sl_str value)
{
    sl_map_set_str(k->cli->arena, k->headers, name, value);
}

static sl_http_request request_of(sl_client *k, const char *method, sl_str path, const char *type, sl_str body)
{
    sl_arena *a = k->cli->arena;
    sl_val *headers = sl_map(a);
    for (size_t i = 0; i < k->headers->map.n; i++)
        if (sl_text(k->headers->map.entries[i].value).n > 0)
            sl_map_set(a, headers, k->headers->map.entries[i].key, k->headers->map.entries[i].value);
    if (k->token.n > 0)
        sl_map_set_str(a, headers, "Authorization", sl_fmt(a, "Bearer %.*s", SL_ARG(k->token)));
    if (body.p != NULL && type != NULL)
        sl_map_set_str(a, headers, "Content-Type", sl_str_c(type));
    return (sl_http_request){ .method = method, .url = sl_fmt(a, "%.*s/api/v1/main%.*s", SL_ARG(k->url), SL_ARG(path)), .headers = headers, .body = body.p ? body : SL_S(""), .attempts_max = 1,
                              .idle_ms = 3600000, .total_ms = 24 * 3600000, .body_max = 256 << 20, .no_proxy = true };
}

bool sl_client_try(sl_client *k, const char *method, sl_str path, const char *type, sl_str body, const sl_val **ret, int *status)
{
    sl_http_request req = request_of(k, method, path, type, body);
    sl_http_response r;
    sl_err err;
    *status = 0;
    *ret = NULL;
    if (!sl_http_call(k->http, k->cli->arena, &req, &r, &err))
        return sl_cli_fail(1, "the server at %.*s does not answer: %s", SL_ARG(k->url), err.message) == 0;
    *status = r.status;
    if (r.body.n > 0) {
        *ret = sl_json_parse(k->cli->arena, r.body, &err);
        if (*ret == NULL)
            *ret = sl_val_str(k->cli->arena, r.body);
    }
    return true;
}

bool sl_client_call(sl_client *k, const char *method, sl_str path, const char *type, sl_str body, const sl_val **ret, int *status)
{
    if (!sl_client_try(k, method, path, type, body, ret, status))
        return false;
    if (*status < 300)
        return true;
    sl_str message = sl_get_text(*ret, "message");
    return sl_cli_fail(*status >= 500 ? 1 : 2, "%.*s", SL_ARG(message.n ? message : sl_fmt(k->cli->arena, "the server answers with status %d", *status))) == 0;
}

/* ---- streams ---- */

typedef struct line_sink {
    sl_writer w;
    sl_arena *arena;
    sl_buf part;
    bool (*on_line)(void *self, sl_str line);
    void *self;
    bool stopped;
} line_sink;

static bool sink_write(sl_writer *w, const void *data, size_t n, sl_err *err)
{
    line_sink *s = (line_sink *)w;
    const char *p = data;
    for (size_t i = 0; i < n; i++) {
        if (p[i] != '\n') {
            sl_buf_char(&s->part, p[i]);
            continue;
        }
        sl_str line = sl_buf_str(&s->part);
        s->stopped = s->stopped || !s->on_line(s->self, line);
        s->part.n = 0;
    }
    return !s->stopped || sl_err_set(err, SL_ERR_CANCELLED, "stream.stop", "enough was read");
}

static bool sink_finish(sl_writer *w, sl_err *err)
{
    (void)w;
    (void)err;
    return true;
}

static void sink_close(sl_writer *w)
{
    (void)w;
}

bool sl_client_stream(sl_client *k, sl_str path, bool (*on_line)(void *self, sl_str line), void *self)
{
    line_sink s = { .w = { .write = sink_write, .finish = sink_finish, .close = sink_close }, .arena = k->cli->arena, .part = sl_buf_new(k->cli->arena, 64 << 20), .on_line = on_line, .self = self };
    sl_http_request req = request_of(k, "GET", path, NULL, (sl_str){ NULL, 0 });
    req.sink = &s.w;
    sl_http_response r;
    sl_err err;
    if (!sl_http_call(k->http, k->cli->arena, &req, &r, &err))
        return s.stopped || sl_cli_fail(1, "the server at %.*s stopped answering: %s", SL_ARG(k->url), err.message) == 0;
    return r.status < 300 || sl_cli_fail(2, "the server answers with status %d: %.*s", r.status, SL_ARG(r.body)) == 0;
}
