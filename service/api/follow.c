/*
 * service/api/follow.c: Server-sent events: an execution at each change, a log as it grows. History first, then what comes;
 * ids are numbers that go up, so that Last-Event-ID takes a reader up where it was. Nothing here ever holds up the engine.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "service/api/execution_call.h"

enum { PING_MS = 10000, LINE_MAX = 1 << 20, READ_MAX = 64 << 10 };

typedef struct follower {
    sl_engine *engine;
    sl_store *store;             /* its own: the request's goes back when its handler returns */
    sl_watcher *watcher;
    sl_arena *arena;             /* of what is being sent */
    sl_str id, out;              /* what is left to send */
    char execution[64];
    bool ended, logs;
    int64_t seq, skip;           /* number of the last event; those up to `skip` were seen before */
    int fd;                      /* log file; -1 = not there yet */
    sl_level least;
    char *part;                  /* a line that is not complete yet */
    size_t part_n;
} follower;

static void release(void *self)
{
    follower *f = self;
    sl_watcher_free(f->watcher);
    sl_store_close(f->store);
    sl_arena_free(f->arena);
    if (f->fd >= 0)
        close(f->fd);
    free(f->part);
    free(f);
}

static bool state_of(follower *f, bool *over)
{
    bool found;
    sl_str ns, flow;
    sl_state state;
    sl_err err;
    bool root_over;
    if (!sl_execution_head(f->store, f->arena, sl_str_c(f->execution), &found, &ns, &flow, &state, &root_over, &err) || !found)
        return false;
    *over = root_over;
    return true;
}

/* ---- executions ---- */

static bool next_execution(follower *f, sl_buf *b)
{
    const sl_val *x;
    sl_err err;
    bool over = true;
    if (!state_of(f, &over) || !sl_execution_json(f->store, f->arena, sl_str_c(f->execution), &x, &err) || x == NULL) {
        f->ended = true;
        return true;
    }
    sl_buf_fmt(b, "id: %s\ndata: %.*s\n\n", over ? "end" : "progress", SL_ARG(sl_json(f->arena, x)));
    f->ended = over;
    return true;
}

/* ---- logs ---- */

static void one_line(follower *f, sl_buf *b, sl_str line)
{
    sl_err ignored;
    sl_level level;
    const sl_val *v = sl_json_parse(f->arena, line, &ignored);
    f->seq++;
    if (f->seq <= f->skip || v == NULL || !sl_level_parse(sl_get_text(v, "level"), &level) || level < f->least)
        return;
    sl_val *out = sl_map_of(f->arena, "executionId", sl_val_c(f->arena, f->execution));
    for (size_t i = 0; i < v->map.n; i++)
        sl_map_set(f->arena, out, v->map.entries[i].key, v->map.entries[i].value);
    sl_buf_fmt(b, "id: %lld\nevent: progress\ndata: %.*s\n\n", (long long)f->seq, SL_ARG(sl_json(f->arena, out)));
}

/* What the file has got since the last time; at most some hundred KB at once. */
static bool next_lines(follower *f, sl_buf *b)
{
    if (f->fd < 0)
        f->fd = open(sl_logs_path(sl_engine_logs(f->engine), f->arena, sl_str_c(f->execution)).p, O_RDONLY | O_CLOEXEC);
    bool over = true, known = state_of(f, &over); /* asked before reading: nothing is written after the end */
    char *block = sl_malloc(READ_MAX);
    ssize_t n = f->fd >= 0 ? read(f->fd, block, READ_MAX) : 0;
    size_t from = 0;
    for (ssize_t i = 0; i < n; i++) {
        if (block[i] != '\n')
            continue;
        sl_str rest = { block + from, (size_t)i - from };
        one_line(f, b, f->part_n > 0 ? sl_fmt(f->arena, "%.*s%.*s", (int)f->part_n, f->part, SL_ARG(rest)) : rest);
        f->part_n = 0;
        from = (size_t)i + 1;
    }
    if (n > 0 && from < (size_t)n && f->part_n + (size_t)n - from < LINE_MAX) {
        char *more = sl_malloc(f->part_n + (size_t)n - from);
        if (f->part_n > 0)
            memcpy(more, f->part, f->part_n);
        memcpy(more + f->part_n, block + from, (size_t)n - from);
        free(f->part);
        f->part = more;
        f->part_n += (size_t)n - from;
    }
    free(block);
    if (n <= 0 && (over || !known)) {
        sl_buf_fmt(b, "id: %lld\nevent: end\ndata: {}\n\n", (long long)f->seq);
        f->ended = true;
    }
    return n > 0 || f->ended;
}

/* ---- both ---- */

static void fetch(follower *f)
{
    for (bool first = f->seq == 0 && !f->logs;;) {
        sl_arena_free(f->arena);
        f->arena = sl_arena_new();
        sl_buf b = sl_buf_new(f->arena, 64 << 20);
        bool got = false;
        if (f->logs)
            got = next_lines(f, &b);
        else if (first || sl_watcher_wait(f->watcher, PING_MS)) {
            f->seq++;
            got = next_execution(f, &b);
        }
        if (!got && f->logs)
            got = sl_watcher_wait(f->watcher, PING_MS) && next_lines(f, &b);
        if (sl_watch_stopped(sl_engine_watch(f->engine)))
            f->ended = true;
        if (b.n == 0 && !f->ended && (f->logs && got))
            continue; /* lines that the reader does not want */
        if (b.n == 0 && !f->ended)
            sl_buf_addc(&b, ": still here\n\n"); /* so that a client that is gone is noticed */
        f->out = sl_buf_str(&b);
        return;
    }
}

static size_t pull(void *self, char *out, size_t n)
{
    follower *f = self;
    if (f->out.n == 0 && !f->ended)
        fetch(f);
    size_t k = f->out.n < n ? f->out.n : n;
    if (k > 0)
        memcpy(out, f->out.p, k);
    f->out = sl_str_sub(f->out, k, f->out.n);
    return k;
}

static void follow(sl_call *c, bool logs)
{
    sl_str ns, flow, last = sl_request_header(c->req, "last-event-id"), least = sl_query(c, "minLevel");
    sl_err err;
    if (!sl_call_execution(c, c->args[0], &ns, &flow))
        return;
    follower *f = sl_malloc(sizeof *f);
    *f = (follower){ .engine = c->engine, .logs = logs, .fd = -1, .arena = sl_arena_new() };
    (void)snprintf(f->execution, sizeof f->execution, "%.*s", SL_ARG(c->args[0]));
    (void)sl_level_parse(least, &f->least);
    if (last.n > 0)
        (void)sl_parse_int(last, &f->skip);
    f->watcher = sl_watcher_new(sl_engine_watch(c->engine), c->args[0]);
    f->store = sl_store_open_reader(sl_fmt(c->arena, "%s/state.db", sl_engine_data_dir(c->engine)).p, sl_engine_kv(c->engine), &err);
    if (f->store == NULL) {
        release(f);
        sl_reply_err(c, &err);
        return;
    }
    c->resp->content_type = "text/event-stream";
    c->resp->pull = pull;
    c->resp->pulled_out = release;
    c->resp->pull_self = f;
}

void sl_follow_execution(sl_call *c)
{
    follow(c, false);
}

void sl_follow_logs(sl_call *c)
{
    follow(c, true);
}
