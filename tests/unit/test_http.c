/* tests/unit/test_http.c: what the HTTP client does about answers, with a transport that plays them from a list. */
#include "net/http.h"
#include "net/sse.h"
#include "tests/unit/fixture.h"

typedef struct answer {
    int status;                  /* 0: the connection breaks */
    const char *name, *value;    /* a header */
} answer;

typedef struct script {
    const answer *answers;
    int n;
    sl_buf log;                  /* "METHOD url [authorization]; " */
    int tokens;
} script;

static bool play(void *self, sl_arena *a, const sl_http_request *req, sl_http_response *ret, sl_err *err)
{
    script *s = self;
    const answer *one = &s->answers[s->n++];
    sl_str authorization = sl_get_text(req->headers, "Authorization");
    sl_buf_fmt(&s->log, "%s %.*s%s%.*s%s%.*s; ", req->method ? req->method : "GET", SL_ARG(req->url), authorization.n ? " " : "", SL_ARG(authorization), req->body.n ? " with " : "", SL_ARG(req->body));
    if (one->status == 0)
        return sl_err_set(err, SL_ERR_TRANSIENT, "http.cut", "the connection was cut");
    sl_val *headers = sl_map(a), *values = sl_list(a);
    if (one->name != NULL) {
        sl_list_add(a, values, sl_val_c(a, one->value));
        sl_map_setc(a, headers, one->name, values);
    }
    ret->status = one->status;
    ret->headers = headers;
    ret->body = SL_S("");
    ret->url = req->url;
    return true;
}

static bool authorize(void *self, sl_arena *a, const sl_http_request *req, sl_val *headers, bool refresh, sl_err *err)
{
    (void)req;
    script *s = self;
    (void)err;
    s->tokens += refresh;
    sl_map_set_str(a, headers, "Authorization", sl_fmt(a, "token-%d", s->tokens));
    return true;
}

static const struct {
    const char *method;
    bool idempotent, follow, body, auth;
    answer answers[8];
    const char *log;   /* what was sent */
    int status;        /* 0: an error */
    const char *says;
    int64_t slept;     /* at least */
} cases[] = {
    { "GET", false, false, false, false, { { 503, 0, 0 }, { 200, 0, 0 } }, "GET http://a/x; GET http://a/x; ", 200, NULL, 1 },
    { "POST", false, false, true, false, { { 503, 0, 0 }, { 200, 0, 0 } }, "POST http://a/x with body; ", 503, NULL, 0 },
    { "POST", true, false, true, false, { { 503, 0, 0 }, { 429, 0, 0 }, { 200, 0, 0 } }, "POST http://a/x with body; POST http://a/x with body; POST http://a/x with body; ", 200, NULL, 1 },
    { "POST", true, false, true, false, { { 0, 0, 0 }, { 201, 0, 0 } }, "POST http://a/x with body; POST http://a/x with body; ", 201, NULL, 1 },
    { "GET", false, false, false, false, { { 503, "retry-after", "7" }, { 200, 0, 0 } }, "GET http://a/x; GET http://a/x; ", 200, NULL, 7000 },
    { "GET", false, false, false, false, { { 404, 0, 0 } }, "GET http://a/x; ", 404, NULL, 0 },
    { "GET", false, false, false, false, { { 500, 0, 0 }, { 500, 0, 0 }, { 502, 0, 0 }, { 503, 0, 0 }, { 504, 0, 0 } }, "GET http://a/x; GET http://a/x; GET http://a/x; GET http://a/x; GET http://a/x; ", 504, NULL, 1 },
    { "GET", false, false, false, true, { { 401, 0, 0 }, { 200, 0, 0 } }, "GET http://a/x token-0; GET http://a/x token-1; ", 200, NULL, 0 },
    { "POST", false, false, true, true, { { 401, 0, 0 }, { 401, 0, 0 } }, "POST http://a/x token-0 with body; POST http://a/x token-1 with body; ", 401, NULL, 0 },
    { "GET", false, false, false, false, { { 302, "location", "/y" } }, "GET http://a/x; ", 302, NULL, 0 },
    { "GET", false, true, false, true, { { 302, "location", "/y" }, { 200, 0, 0 } }, "GET http://a/x token-0; GET http://a/y token-0; ", 200, NULL, 0 },
    { "GET", false, true, false, true, { { 302, "location", "http://b/y" }, { 200, 0, 0 } }, "GET http://a/x token-0; GET http://b/y; ", 200, NULL, 0 },
    { "GET", false, true, false, true, { { 302, "location", "http://a:81/y" }, { 200, 0, 0 } }, "GET http://a/x token-0; GET http://a:81/y; ", 200, NULL, 0 },
    { "POST", false, true, true, false, { { 303, "location", "/y" }, { 200, 0, 0 } }, "POST http://a/x with body; GET http://a/y; ", 200, NULL, 0 },
    { "POST", false, true, true, false, { { 307, "location", "/y" }, { 200, 0, 0 } }, "POST http://a/x with body; POST http://a/y with body; ", 200, NULL, 0 },
    { "GET", false, true, false, false, { { 302, "location", "file:///etc/passwd" } }, "GET http://a/x; ", 0, "file", 0 },
    { "GET", false, true, false, false, { { 302, "location", "/1" }, { 302, "location", "/2" }, { 302, "location", "/3" }, { 302, "location", "/4" }, { 302, "location", "/5" }, { 302, "location", "/6" } },
      "GET http://a/x; GET http://a/1; GET http://a/2; GET http://a/3; GET http://a/4; GET http://a/5; ", 0, "redirect", 0 },
};

SL_TEST(http, answers)
{
    fixture_clock(1700000000000);
    for (size_t i = 0; i < SL_COUNT(cases); i++) {
        script s = { .answers = cases[i].answers, .log = sl_buf_new(t->arena, 1 << 16) };
        sl_http_transport transport = { .self = &s, .send = play };
        sl_http *http = sl_http_new(&transport);
        sl_http_auth auth = { &s, authorize };
        sl_http_request req = { .method = cases[i].method, .url = SL_S("http://a/x"), .idempotent = cases[i].idempotent, .follow = cases[i].follow, .auth = cases[i].auth ? &auth : NULL };
        if (cases[i].body)
            req.body = SL_S("body");
        sl_http_response r;
        int64_t before = fixture_slept();
        bool ok = sl_http_call(http, t->arena, &req, &r, &t->err);
        if (!sl_str_eqc(sl_buf_str(&s.log), cases[i].log))
            sl_test_fail(t, __FILE__, __LINE__, "case %zu sent '%.*s', not '%s'", i, SL_ARG(sl_buf_str(&s.log)), cases[i].log);
        if (cases[i].status == 0)
            CHECK_ERR(ok, cases[i].says);
        else if (!ok || r.status != cases[i].status)
            sl_test_fail(t, __FILE__, __LINE__, "case %zu ended with %d, not %d: %s", i, ok ? r.status : 0, cases[i].status, ok ? "" : t->err.message);
        if (fixture_slept() - before < cases[i].slept || (cases[i].slept == 0 && fixture_slept() != before))
            sl_test_fail(t, __FILE__, __LINE__, "case %zu waited %lld ms", i, (long long)(fixture_slept() - before));
        sl_http_free(http);
    }
    fixture_clock(0);
}

SL_TEST(http, https_is_not_left)
{
    static const answer answers[] = { { 302, "location", "http://a/y" } };
    script s = { .answers = answers, .log = sl_buf_new(t->arena, 1 << 16) };
    sl_http_transport transport = { .self = &s, .send = play };
    sl_http *http = sl_http_new(&transport);
    sl_http_request req = { .url = SL_S("https://a/x"), .follow = true };
    sl_http_response r;
    CHECK_ERR(sl_http_call(http, t->arena, &req, &r, &t->err), "https");
    sl_http_free(http);
}

SL_TEST(http, retry_after)
{
    static const struct {
        const char *value;
        int64_t ms;
    } values[] = { { "0", 0 }, { "12", 12000 }, { "99999", 300000 }, { "Tue, 14 Nov 2023 22:13:30 GMT", 10000 }, { "soon", -1 }, { "-5", -1 } };
    fixture_clock(1700000000000); /* Tue, 14 Nov 2023 22:13:20 GMT */
    for (size_t i = 0; i < SL_COUNT(values); i++) {
        sl_val *headers = sl_map(t->arena), *list = sl_list(t->arena);
        sl_list_add(t->arena, list, sl_val_c(t->arena, values[i].value));
        sl_map_setc(t->arena, headers, "retry-after", list);
        sl_http_response r = { .headers = headers };
        CHECK_INT(sl_http_retry_after(&r), values[i].ms);
    }
    fixture_clock(0);
}

/* ---- server-sent events ---- */

static bool note_event(void *self, const sl_sse_event *e, sl_err *err)
{
    (void)err;
    sl_buf_fmt(self, "[%.*s|%.*s|%.*s|%.*s|%lld]", SL_ARG(e->data), SL_ARG(e->id), SL_ARG(e->name), SL_ARG(e->comment), (long long)e->retry_ms);
    return true;
}

static sl_str events_of(sl_test_context *t, const char *text, size_t piece, size_t most)
{
    sl_buf out = sl_buf_new(t->arena, 10000);
    sl_sse s = { .arena = t->arena, .event = note_event, .self = &out, .bytes_max = most };
    for (size_t n = strlen(text), i = 0; i < n; i += piece)
        if (!sl_sse_feed(&s, text + i, piece < n - i ? piece : n - i, &t->err))
            return SL_S("!");
    return sl_buf_str(&out);
}

SL_TEST(http, server_sent_events)
{
    static const struct {
        const char *text, *want;
    } streams[] = {
        { "data: a\n\n", "[a||||-1]" },
        { "data: a\rdata:b\r\rdata: c\r\n\r\ndata\n\n", "[a\nb||||-1][c||||-1][||||-1]" },
        { "\xEF\xBB\xBF" "data: 1\n\ndata: cut off\n", "[1||||-1]" },
        { ": one\n: two\nid: 7\nevent: m\nretry: 15\nother: x\ndata:  d\n\ndata: 2\n\n", "[ d|7|m|two|15][2||||-1]" },
        { "id: 9\n\nevent: x\n\n:only\n\n", "" },
        { "retry: x\nretry: -1\nretry: 99999999999999999999\ndata: 1\n\n", "[1||||-1]" },
        { "data: 1\n\n\n\r\n\n", "[1||||-1]" },
    };
    for (size_t i = 0; i < SL_COUNT(streams); i++)
        for (size_t piece = 1; piece < 12; piece++)
            CHECK_STR(events_of(t, streams[i].text, piece, 1000), streams[i].want);
    CHECK_STR(events_of(t, "data: 12345\n\n", 4, 10), "!");
    CHECK(strcmp(t->err.code, "sse.size") == 0);
}
