/* net/unpack.c: see unpack.h. Source: RFC 9110 section 8.4. */
#include "net/unpack.h"

#include "base/arena.h"
#include "base/limits.h"

static bool is_packed(const sl_http_response *r)
{
    sl_str coding = sl_http_header(r, "content-encoding");
    return sl_str_ieq(coding, SL_S("gzip")) || sl_str_ieq(coding, SL_S("x-gzip"));
}

static bool broken(sl_str url, sl_err *err)
{
    sl_err why = *err;
    return sl_err_set(err, why.kind == SL_ERR_LIMIT ? SL_ERR_LIMIT : SL_ERR_TRANSIENT, "http.encoding", "the answer of %.*s cannot be unpacked (Content-Encoding: gzip): %s", SL_ARG(url), why.message);
}

/* How it was packed, and how long it was then, is no longer true of it. */
static void forget_packing(sl_arena *arena, sl_http_response *r)
{
    sl_val *headers = sl_map_shallow(arena, r->headers);
    (void)sl_map_remove(headers, SL_S("content-encoding"));
    (void)sl_map_remove(headers, SL_S("content-length"));
    r->headers = headers;
}

/* ---- into a sink ---- */

typedef struct counted {
    sl_writer writer;
    sl_unpack *u;
} counted;

static bool count_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    sl_unpack *u = ((counted *)self)->u;
    u->answer->unpacked_size += (int64_t)n;
    return u->sink->write(u->sink, from, n, err);
}

static void count_close(sl_writer *self)
{
    free(self);
}

static bool unpack_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    sl_unpack *u = (sl_unpack *)self;
    if (!u->begun && is_packed(u->answer)) {
        counted *to = sl_malloc(sizeof *to);
        *to = (counted){ { count_write, sl_writer_no_finish, count_close }, u };
        u->gunzip = sl_writer_gunzip(&to->writer);
    }
    u->begun = true;
    if (u->gunzip != NULL)
        return u->gunzip->write(u->gunzip, from, n, err);
    u->answer->unpacked_size += (int64_t)n;
    return u->sink->write(u->sink, from, n, err);
}

void sl_unpack_begin(sl_unpack *u, sl_writer *sink, sl_http_response *answer)
{
    *u = (sl_unpack){ .writer = { unpack_write, sl_writer_no_finish, sl_writer_no_close }, .sink = sink, .answer = answer };
}

bool sl_unpack_end(sl_unpack *u, sl_arena *arena, sl_str url, bool complete, sl_err *err)
{
    if (u->gunzip == NULL)
        return complete;
    bool ok = complete && (u->gunzip->finish(u->gunzip, err) || broken(url, err));
    sl_writer_close(&u->gunzip);
    if (ok)
        forget_packing(arena, u->answer);
    return ok;
}

/* ---- in memory ---- */

bool sl_unpack_body(sl_arena *arena, const sl_http_request *req, sl_http_response *r, sl_err *err)
{
    if (r->body.n > 0 && !req->keep_encoding && is_packed(r)) {
        SL_READER packed = sl_reader_gunzip(sl_reader_memory(r->body));
        if (!sl_io_read_all(arena, packed, req->body_max > 0 ? req->body_max : SL_HTTP_BODY_MAX, &r->body, err))
            return broken(req->url, err);
        forget_packing(arena, r);
    }
    if (r->body.n > 0)
        r->unpacked_size = (int64_t)r->body.n;
    return true;
}
