/* connectors/http_body.c: see http_body.h. */
#include "connectors/http_body.h"

#include <sys/stat.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "connectors/serdes/charset.h"
#include "net/multipart.h"

/* ---- encodings ---- */

static bool is_utf8_name(sl_str charset)
{
    return charset.n == 0 || sl_str_ieq(charset, SL_S("UTF-8")) || sl_str_ieq(charset, SL_S("UTF8"));
}

static bool encode(sl_arena *a, sl_str text, sl_str charset, sl_str *ret, sl_err *err)
{
    sl_buf b = sl_buf_new(a, SL_HTTP_BODY_MAX);
    SL_WRITER w = sl_writer_charset(sl_writer_memory(&b), charset, err);
    if (w == NULL || !w->write(w, text.p, text.n, err) || !w->finish(w, err))
        return sl_err_ctx(err, "the body in %.*s", SL_ARG(charset));
    *ret = sl_buf_str(&b);
    return true;
}

static bool decode(sl_arena *a, sl_str bytes, sl_str charset, sl_str *ret)
{
    sl_err ignored = { 0 };
    SL_READER in = sl_reader_charset(sl_reader_memory(bytes), charset, &ignored);
    return in != NULL && sl_io_read_all(a, in, 4 * bytes.n + 16, ret, &ignored);
}

/* Each byte that begins no character becomes U+FFFD. */
static sl_str mended(sl_arena *a, sl_str bytes)
{
    sl_buf b = sl_buf_new(a, 3 * bytes.n + 1);
    for (size_t at = 0; at < bytes.n;) {
        size_t n = 1;
        while (n <= 4 && at + n <= bytes.n && !sl_str_is_utf8((sl_str){ bytes.p + at, n }))
            n++;
        bool good = n <= 4 && at + n <= bytes.n;
        sl_buf_add(&b, good ? (sl_str){ bytes.p + at, n } : SL_S("\xEF\xBF\xBD"));
        at += good ? n : 1;
    }
    return sl_buf_str(&b);
}

sl_str sl_http_text(sl_arena *a, const sl_http_response *r, sl_str charset, bool *damaged)
{
    sl_str named = sl_header_parameter(a, sl_http_header(r, "content-type"), "charset"), text;
    *damaged = false;
    charset = named.n > 0 ? named : charset;
    if (!is_utf8_name(charset) && decode(a, r->body, charset, &text))
        return text;
    if (sl_str_is_utf8(r->body))
        return r->body;
    *damaged = true;
    return mended(a, r->body);
}

/* ---- forms with files ---- */

typedef struct piece {
    sl_str text, path;            /* either, or */
} piece;

typedef struct form {
    piece *pieces;
    size_t count;
} form;

typedef struct form_reader {
    sl_reader reader;
    const form *form;
    size_t at;                    /* the piece that is read */
    sl_reader *in;                /* NULL: it is not open */
} form_reader;

static ptrdiff_t form_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    form_reader *r = (form_reader *)self;
    while (r->at < r->form->count) {
        const piece *p = &r->form->pieces[r->at];
        if (r->in == NULL)
            r->in = p->path.n > 0 ? sl_reader_file(p->path.p, err) : sl_reader_memory(p->text);
        if (r->in == NULL)
            return -1;
        ptrdiff_t got = r->in->read(r->in, to, n, err);
        if (got != 0)
            return got;
        sl_reader_close(&r->in);
        r->at++;
    }
    return 0;
}

static void form_close(sl_reader *self)
{
    sl_reader_close(&((form_reader *)self)->in);
    free(self);
}

static sl_reader *open_form(void *self, sl_err *err)
{
    (void)err;
    form_reader *r = sl_malloc(sizeof *r);
    *r = (form_reader){ .reader = { form_read, form_close }, .form = self };
    return &r->reader;
}

/* As browsers write names into the header of a part. */
static sl_str quoted(sl_arena *a, sl_str name)
{
    sl_str s = sl_str_replace(a, sl_str_replace(a, name, SL_S("\r"), SL_S("%0D")), SL_S("\n"), SL_S("%0A"));
    return sl_str_replace(a, s, SL_S("\""), SL_S("%22"));
}

static sl_str last_segment(sl_str path)
{
    ptrdiff_t slash = sl_str_rfind(path, SL_S("/"));
    return sl_str_sub(path, (size_t)(slash + 1), path.n);
}

/* The three pieces of a part: its header, its content, the line's end. */
static bool add_part(sl_task *t, form *f, sl_str boundary, sl_str name, const sl_val *v, int64_t *size, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    const sl_val *inner = sl_is(v, SL_MAP) ? sl_get(v, "content") : NULL;
    sl_str text = sl_val_text(a, inner ? inner : v), file = inner ? sl_get_text(v, "name") : SL_S(""), path = { NULL, 0 };
    if (sl_str_starts(text, SL_S("kestra://"))) {
        struct stat st;
        if (!sl_task_local_file(t, text, &path, err))
            return sl_err_ctx(err, "the form's field '%.*s'", SL_ARG(name));
        if (stat(path.p, &st) != 0)
            return sl_err_set(err, SL_ERR_NOT_FOUND, "http.form", "the file %.*s of the form's field '%.*s' is not there", SL_ARG(text), SL_ARG(name));
        *size += (int64_t)st.st_size;
        file = file.n > 0 ? file : last_segment(text);
    } else {
        text = sl_is(v, SL_STRING) ? text : sl_json(a, v);
        *size += (int64_t)text.n;
        file = SL_S("");
    }
    sl_str head = path.n > 0 ? sl_fmt(a, "--%.*s\r\nContent-Disposition: form-data; name=\"%.*s\"; filename=\"%.*s\"\r\nContent-Type: application/octet-stream\r\n\r\n", SL_ARG(boundary), SL_ARG(quoted(a, name)), SL_ARG(quoted(a, file)))
                             : sl_fmt(a, "--%.*s\r\nContent-Disposition: form-data; name=\"%.*s\"\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n", SL_ARG(boundary), SL_ARG(quoted(a, name)));
    f->pieces[f->count++] = (piece){ .text = head };
    f->pieces[f->count++] = path.n > 0 ? (piece){ .path = path } : (piece){ .text = text };
    f->pieces[f->count++] = (piece){ .text = SL_S("\r\n") };
    *size += (int64_t)head.n + 2;
    return true;
}

static bool put_multipart(sl_task *t, const sl_val *values, sl_val *headers, sl_http_request *req, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    unsigned char random[16];
    sl_random(random, sizeof random);
    sl_str boundary = sl_fmt(a, "sluice-%.*s", SL_ARG(sl_hex(a, (sl_str){ (const char *)random, sizeof random }))), end = sl_fmt(a, "--%.*s--\r\n", SL_ARG(boundary));
    form *f = SL_NEW(a, form);
    f->pieces = SL_ARRAY(a, piece, 3 * sl_val_count(values) + 1);
    req->body_size = (int64_t)end.n;
    for (size_t i = 0; i < sl_val_count(values); i++)
        if (!add_part(t, f, boundary, values->map.entries[i].key, values->map.entries[i].value, &req->body_size, err))
            return false;
    f->pieces[f->count++] = (piece){ .text = end };
    req->open_body = open_form;
    req->body_self = f;
    sl_map_set_str(a, headers, "Content-Type", sl_fmt(a, "multipart/form-data; boundary=%.*s", SL_ARG(boundary)));
    return true;
}

bool sl_http_content_put(sl_task *t, const sl_http_content *c, sl_val *headers, sl_http_request *req, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_str type = c->type;
    req->body = SL_S("");
    if (c->form != NULL && sl_str_ieq(type, SL_S("multipart/form-data")))
        return put_multipart(t, c->form, headers, req, err);
    if (c->form != NULL) {
        req->body = sl_url_query(a, c->form);
        type = type.n > 0 ? type : SL_S("application/x-www-form-urlencoded");
    } else if (c->body != NULL) {
        req->body = sl_is(c->body, SL_STRING) ? sl_val_text(a, c->body) : sl_json(a, c->body);
        type = type.n > 0 || req->body.n == 0 ? type : SL_S("application/json");
        if (!is_utf8_name(c->charset)) {
            if (!encode(a, req->body, c->charset, &req->body, err))
                return false;
            if (type.n > 0 && sl_header_parameter(a, type, "charset").p == NULL)
                type = sl_fmt(a, "%.*s; charset=%.*s", SL_ARG(type), SL_ARG(c->charset));
        }
    }
    if (type.n > 0)
        sl_map_set_str(a, headers, "Content-Type", type);
    return true;
}
