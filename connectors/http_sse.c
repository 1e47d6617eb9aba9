/* connectors/http_sse.c: io.kestra.plugin.core.http.SseRequest: the events that a server sends until it ends the answer. */
#include "base/arena.h"
#include "base/jq.h"
#include "base/json.h"
#include "base/limits.h"
#include "connectors/connectors.h"
#include "connectors/http_call.h"
#include "net/sse.h"

typedef struct sse_cfg {
    sl_http_cfg http;
    sl_str expression;
    bool fail_on_missing;
} sse_cfg;

static const sl_opt opts[] = {
    SL_HTTP_SHARED,
    SL_HTTP_ALLOW_FAILED,
    { .name = "concatJqExpression", .type = SL_OPT_STR, .offset = SL_FIELD(sse_cfg, expression), .doc = "jq over each event ({data, id, name, comment, retry}); the texts become one." },
    { .name = "failedOnMissingJq", .type = SL_OPT_BOOL, .offset = SL_FIELD(sse_cfg, fail_on_missing), .fallback = "true", .doc = "An event that the expression finds nothing in is a failure." },
    { 0 },
};

static const sl_opt outs[] = {
    { .name = "uri", .type = SL_OPT_STR, .doc = "The address that was asked for." },
    { .name = "events", .type = SL_OPT_LIST, .doc = "The events, without concatJqExpression." },
    { .name = "size", .type = SL_OPT_INT, .doc = "How many there were." },
    { .name = "result", .type = SL_OPT_STR, .doc = "The texts that concatJqExpression found, one after the other." },
    { 0 },
};

typedef struct receiver {
    sl_writer writer;
    sl_task *t;
    sl_sse parser;
    sl_val *events;
} receiver;

static bool take_event(void *self, const sl_sse_event *e, sl_err *err)
{
    receiver *r = self;
    sl_arena *a = sl_task_arena(r->t);
    sl_err ignored;
    const sl_val *data = sl_json_parse(a, e->data, &ignored);
    sl_val *event = sl_map(a);
    (void)err;
    sl_map_setc(a, event, "data", data ? data : sl_val_str(a, e->data));
    sl_map_opt_str(a, event, "name", e->name);
    sl_map_opt_str(a, event, "comment", e->comment);
    if (e->id.p != NULL)
        sl_map_set_str(a, event, "id", e->id);
    if (e->retry_ms >= 0)
        sl_map_setc(a, event, "retry", sl_val_double(a, (double)e->retry_ms / 1000)); /* seconds */
    sl_list_add(a, r->events, event);
    return true;
}

static bool receive(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    receiver *r = (receiver *)self;
    return sl_sse_feed(&r->parser, from, n, err);
}

static bool finish(sl_writer *self, sl_err *err)
{
    (void)self;
    (void)err;
    return true;
}

static void leave(sl_writer *self) { (void)self; }

/* A text, a number or a boolean; not NULL, which is what an event without it gives. */
static bool is_text(const sl_val *v)
{
    return !sl_is_null(v) && !sl_is(v, SL_MAP) && !sl_is(v, SL_LIST);
}

static bool concatenate(sl_task *t, const sse_cfg *c, const sl_val *events, sl_str *ret, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_buf out = sl_buf_new(a, SL_OUTPUTS_SIZE_MAX);
    const char *end = sl_str_find(c->expression, SL_S("#")) < 0 ? "" : "\n"; /* a comment goes to the end of its line */
    sl_str program = sl_fmt(a, c->fail_on_missing ? "[.[] | [(%.*s%s)]]" : "[.[] | [try (%.*s%s) catch empty]]", SL_ARG(c->expression), end);
    const sl_val *found = sl_jq(a, events, program, SL_JQ_MS, err);
    if (found == NULL)
        return sl_err_ctx(err, "property 'concatJqExpression'");
    for (size_t i = 0; i < sl_val_count(events); i++) {
        const sl_val *of_event = sl_at(sl_at(found, 0), i), *v = sl_at(of_event, sl_val_count(of_event) - 1);
        if (is_text(v))
            sl_buf_add(&out, sl_val_text(a, v));
        else if (c->fail_on_missing)
            return sl_err_set(err, SL_ERR_DATA, "http.sse", "'concatJqExpression' gives %s for the event number %zu, %.*s, and not a text (failedOnMissingJq: false passes over such events)",
                              v == NULL ? "nothing" : sl_type_name(v->type), i + 1, SL_ARG(sl_str_sub(sl_json(a, sl_at(events, i)), 0, 200)));
    }
    *ret = sl_buf_str(&out);
    return true;
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    const sse_cfg *c = cfg;
    sl_arena *a = sl_task_arena(t);
    sl_http_request req = { .body_max = SL_HTTP_ERROR_BODY_MAX };
    sl_http_response answer = { 0 };
    int64_t most = sl_get_int(c->http.options, "maxContentLength", 0);
    receiver r = { .writer = { receive, finish, leave }, .t = t, .events = sl_list(a) };
    r.parser = (sl_sse){ .arena = a, .event = take_event, .self = &r, .bytes_max = most > 0 ? (size_t)most : SL_OUTPUTS_SIZE_MAX };
    if (!sl_http_prepare(t, &c->http, &req, err))
        return SL_TASK_FAILED;
    sl_val *headers = sl_map_shallow(a, req.headers);
    if (sl_get(headers, "Accept") == NULL)
        sl_map_set_str(a, headers, "Accept", SL_S("text/event-stream"));
    req.headers = headers;
    req.sink = &r.writer;
    if (!sl_http_call(sl_task_http(t), a, &req, &answer, err))
        return SL_TASK_FAILED;
    if (!sl_http_accepted(a, &c->http, answer.status))
        return sl_http_refused(&answer, err);
    sl_str type = sl_http_header(&answer, "content-type");
    if (sl_val_count(r.events) == 0 && !sl_str_starts(type, SL_S("text/event-stream")))
        sl_task_log(t, SL_WARN, "%.*s did not send events, but '%.*s'", SL_ARG(req.url), SL_ARG(type));
    sl_task_out_str(t, "uri", req.url);
    sl_task_out_int(t, "size", (int64_t)sl_val_count(r.events));
    sl_task_counter(t, "response.length", (double)answer.body_size);
    sl_str result;
    if (c->expression.n == 0)
        sl_task_out(t, "events", r.events);
    else if (!concatenate(t, c, r.events, &result, err))
        return SL_TASK_FAILED;
    else
        sl_task_out_str(t, "result", result);
    return SL_TASK_DONE;
}

const sl_task_type sl_http_sse = { .type = "io.kestra.plugin.core.http.SseRequest", .doc = "Takes the events that a server sends (text/event-stream).", .cfg_size = sizeof(sse_cfg), .opts = opts, .outs = outs, .run = run };
