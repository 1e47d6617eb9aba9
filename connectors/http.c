/* connectors/http.c: io.kestra.plugin.core.http: Request, Download and Trigger. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/limits.h"
#include "connectors/connectors.h"
#include "connectors/http_body.h"
#include "connectors/http_call.h"
#include "net/multipart.h"

static const sl_opt request_opts[] = {
    SL_HTTP_SHARED,
    SL_HTTP_ALLOW_FAILED,
    { 0 },
};

static const sl_opt request_outs[] = {
    { .name = "uri", .type = SL_OPT_STR, .doc = "The address that was asked for." },
    { .name = "code", .type = SL_OPT_INT, .doc = "The status." },
    { .name = "headers", .type = SL_OPT_MAP, .doc = "Name to list of values." },
    { .name = "body", .type = SL_OPT_STR, .doc = "The body as text, where there may be one." },
    { 0 },
};

static const sl_opt trigger_opts[] = {
    SL_HTTP_SHARED,
    { .name = "responseCondition", .type = SL_OPT_STR, .offset = SL_FIELD(sl_http_cfg, response_condition), .flags = SL_LATE, .fallback = "{{ response.statusCode < 400 }}", .doc = "Fires when this holds; sees {{ response }}." },
    { 0 },
};

static const sl_opt download_opts[] = {
    SL_HTTP_SHARED,
    { .name = "failOnEmptyResponse", .type = SL_OPT_BOOL, .offset = SL_FIELD(sl_http_cfg, fail_on_empty), .fallback = "true", .doc = "An empty body is a failure." },
    SL_HTTP_ALLOW_FAILED,
    { .name = "saveAs", .type = SL_OPT_STR, .offset = SL_FIELD(sl_http_cfg, save_as), .doc = "Name of the stored file." },
    { 0 },
};

static const sl_opt download_outs[] = {
    { .name = "uri", .type = SL_OPT_STR, .doc = "The stored file." },
    { .name = "code", .type = SL_OPT_INT, .doc = "The status." },
    { .name = "length", .type = SL_OPT_INT, .doc = "Bytes." },
    { .name = "headers", .type = SL_OPT_MAP, .doc = "Name to list of values." },
    { 0 },
};

static void put_outputs(sl_task *t, const sl_http_response *r)
{
    sl_task_out_int(t, "code", r->status);
    sl_task_out(t, "headers", r->headers ? r->headers : sl_map(sl_task_arena(t)));
}

/* The answer, whatever its status; its outputs are set. */
static bool exchange(sl_task *t, const sl_http_cfg *c, sl_http_response *r, sl_err *err)
{
    sl_http_request req = { .total_ms = 600000 };
    if (!sl_http_prepare(t, c, &req, err))
        return false;
    int64_t most = sl_get_int(c->options, "maxContentLength", 0);
    req.body_max = most > 0 ? (size_t)most : 10U << 20;
    if (!sl_http_call(sl_task_http(t), sl_task_arena(t), &req, r, err))
        return false;
    sl_task_out_str(t, "uri", req.url);
    put_outputs(t, r);
    sl_task_counter(t, "request.length", (double)(req.open_body ? req.body_size : (int64_t)req.body.n));
    sl_task_counter(t, "response.length", (double)r->body_size);
    return true;
}

/* The body as text, with a word about what was none. */
static sl_str body_text(sl_task *t, const sl_http_cfg *c, const sl_http_response *r)
{
    bool damaged;
    sl_str text = sl_http_text(sl_task_arena(t), r, sl_get_text(c->options, "defaultCharset"), &damaged);
    if (damaged)
        sl_task_log(t, SL_WARN, "the answer of %.*s is not text: some of its bytes are lost in the output 'body'; http.Download keeps them", SL_ARG(c->uri));
    return text;
}

static sl_outcome request_run(sl_task *t, void *cfg, sl_err *err)
{
    const sl_http_cfg *c = cfg;
    sl_http_response r;
    if (!exchange(t, c, &r, err))
        return SL_TASK_FAILED;
    if (!sl_http_accepted(sl_task_arena(t), c, r.status))
        return sl_http_refused(&r, err);
    if (!sl_str_eqc(c->method, "HEAD") && r.status != 204 && r.status != 304)
        sl_task_out_str(t, "body", body_text(t, c, &r));
    return SL_TASK_DONE;
}

static sl_outcome trigger_run(sl_task *t, void *cfg, sl_err *err)
{
    const sl_http_cfg *c = cfg;
    sl_arena *a = sl_task_arena(t);
    sl_http_response r;
    bool fires;
    if (!exchange(t, c, &r, err))
        return SL_TASK_FAILED;
    sl_str body = body_text(t, c, &r);
    sl_task_out_str(t, "body", body);
    sl_val *response = sl_map(a);
    sl_map_set_int(a, response, "statusCode", r.status);
    sl_map_set_str(a, response, "body", body);
    sl_map_setc(a, response, "headers", r.headers ? r.headers : sl_map(a));
    sl_task_set_var(t, "response", response);
    if (!sl_task_holds(t, c->response_condition, &fires, err)) {
        sl_err_ctx(err, "property 'responseCondition'");
        return SL_TASK_FAILED;
    }
    sl_task_polled(t, fires, NULL, false);
    return SL_TASK_DONE;
}

/* saveAs, else Content-Disposition's file name, else a fixed stem with the extension of the address. */
static sl_str stored_name(sl_task *t, const sl_http_cfg *c, const sl_http_response *r)
{
    enum { NAME_MAX_BYTES = 120 };
    sl_arena *a = sl_task_arena(t);
    sl_str given = sl_header_parameter(a, sl_http_header(r, "content-disposition"), "filename");
    if (c->save_as.n > 0)
        return c->save_as;
    if (given.n > 0 && given.n <= NAME_MAX_BYTES && given.p[0] != '.')
        return sl_str_replace(a, sl_str_replace(a, given, SL_S("/"), SL_S("_")), SL_S("\\"), SL_S("_"));
    sl_url u;
    sl_err ignored;
    sl_str ext = sl_url_parse(sl_url_escape(a, c->uri), &u, &ignored) ? sl_path_extension(u.path) : SL_S("");
    if (ext.n > 16 || memchr(ext.p, '%', ext.n) != NULL)
        ext = SL_S("");
    return sl_fmt(a, "download%.*s", SL_ARG(ext));
}

/* The stored file: made when the first byte comes, since its name is told by the answer's headers. */
typedef struct stored {
    sl_writer writer;
    sl_task *t;
    const sl_http_cfg *c;
    const sl_http_response *answer;
    sl_writer *out;
    sl_str uri;
} stored;

static bool stored_open(stored *s, sl_err *err)
{
    return s->out != NULL || sl_task_open_out(s->t, stored_name(s->t, s->c, s->answer), &s->out, &s->uri, err);
}

static bool stored_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    stored *s = (stored *)self;
    return stored_open(s, err) && s->out->write(s->out, from, n, err);
}

static bool stored_finish(sl_writer *self, sl_err *err)
{
    stored *s = (stored *)self;
    return stored_open(s, err) && s->out->finish(s->out, err);
}

static void stored_close(sl_writer *self)
{
    sl_writer_close(&((stored *)self)->out);
}

typedef struct progress_self {
    sl_task *t;
} progress_self;

static void on_progress(void *self, int64_t sent, int64_t received)
{
    (void)sent;
    sl_task_progress(((progress_self *)self)->t, received, -1);
}

static sl_outcome download_run(sl_task *t, void *cfg, sl_err *err)
{
    const sl_http_cfg *c = cfg;
    sl_http_request req = { .body_max = SL_HTTP_ERROR_BODY_MAX };
    sl_http_response r = { 0 };
    progress_self progress = { t };
    stored file = { .writer = { stored_write, stored_finish, stored_close }, .t = t, .c = c, .answer = &r };
    if (!sl_http_prepare(t, c, &req, err))
        return SL_TASK_FAILED;
    req.progress = on_progress;
    req.progress_self = &progress;
    SL_WRITER sink = &file.writer;
    req.sink = sink;
    if (!sl_http_call(sl_task_http(t), sl_task_arena(t), &req, &r, err))
        return SL_TASK_FAILED;
    put_outputs(t, &r);
    if (!sl_http_accepted(sl_task_arena(t), c, r.status) || r.status / 100 != 2)
        return sl_http_refused(&r, err);
    sl_task_out_int(t, "length", r.unpacked_size);
    if (r.unpacked_size == 0 && c->fail_on_empty) {
        sl_err_set(err, SL_ERR_DATA, "http.empty", "No response from server: %.*s sent an empty body (allow it with failOnEmptyResponse: false)", SL_ARG(c->uri));
        return SL_TASK_FAILED;
    }
    int64_t announced;
    if (sl_parse_int(sl_http_header(&r, "content-length"), &announced) && announced != r.body_size) {
        sl_err_set(err, SL_ERR_TRANSIENT, "http.short", "%.*s announced %lld bytes and sent %lld", SL_ARG(c->uri), (long long)announced, (long long)r.body_size);
        return SL_TASK_FAILED;
    }
    if (!sink->finish(sink, err))
        return SL_TASK_FAILED;
    sl_task_out_str(t, "uri", file.uri);
    sl_task_counter(t, "response.length", (double)r.unpacked_size);
    return SL_TASK_DONE;
}

static const sl_task_type http_request = {
    .type = "io.kestra.plugin.core.http.Request", .aliases = "io.kestra.plugin.fs.http.Request", .doc = "Sends an HTTP request.", .cfg_size = sizeof(sl_http_cfg), .opts = request_opts, .outs = request_outs,
    .run = request_run,
};
static const sl_task_type http_download = {
    .type = "io.kestra.plugin.core.http.Download", .aliases = "io.kestra.plugin.fs.http.Download", .doc = "Fetches a file into the internal storage.", .cfg_size = sizeof(sl_http_cfg), .opts = download_opts,
    .outs = download_outs, .run = download_run,
};

static const sl_task_type http_trigger = {
    .type = "io.kestra.plugin.core.http.Trigger", .aliases = "io.kestra.plugin.fs.http.Trigger", .doc = "Fires when an HTTP answer meets a condition.", .cfg_size = sizeof(sl_http_cfg), .opts = trigger_opts,
    .outs = request_outs, .run = trigger_run,
};

static const sl_task_type *const tasks[] = { &http_request, &http_download, &sl_http_sse, NULL };
static const sl_task_type *const triggers[] = { &http_trigger, NULL };
const sl_connector sl_connector_http = { .name = "http", .tasks = tasks, .triggers = triggers };
