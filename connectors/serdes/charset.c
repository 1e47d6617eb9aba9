/* connectors/serdes/charset.c: see charset.h. */
#include "connectors/serdes/charset.h"

#include <errno.h>
#include <iconv.h>

#include "base/arena.h"
#include "base/limits.h"

enum { ROOM = SL_IO_BLOCK, NAME_MAX_LENGTH = 40 };

static bool is_utf8(sl_str name)
{
    return name.n == 0 || sl_str_ieq(name, SL_S("UTF-8")) || sl_str_ieq(name, SL_S("UTF8"));
}

static iconv_t open_converter(sl_str charset, bool to_utf8, sl_err *err)
{
    char name[NAME_MAX_LENGTH + 1];
    (void)snprintf(name, sizeof name, "%.*s", (int)(charset.n < NAME_MAX_LENGTH ? charset.n : NAME_MAX_LENGTH), charset.p);
    iconv_t cd = charset.n <= NAME_MAX_LENGTH ? iconv_open(to_utf8 ? "UTF-8" : name, to_utf8 ? name : "UTF-8") : (iconv_t)-1;
    if (cd == (iconv_t)-1)
        sl_err_set(err, SL_ERR_CONFIG, "charset", "the encoding '%.*s' is not known here; `iconv -l` lists those that are", SL_ARG(charset));
    return cd;
}

/* ---- reading ---- */

typedef struct decoder {
    sl_reader reader;
    sl_reader *inner;
    bool convert, begun, ended;
    iconv_t cd;
    sl_str charset;
    char *in, *out;
    size_t in_n, out_at, out_n;
    int64_t read;
} decoder;

/* Fills `out`. */
static bool step(decoder *d, sl_err *err)
{
    ptrdiff_t n = d->inner->read(d->inner, d->in + d->in_n, ROOM - d->in_n, err);
    if (n < 0)
        return false;
    d->ended = n == 0;
    d->in_n += (size_t)n;
    char *from = d->in, *to = d->out;
    size_t left = d->in_n, room = 4 * ROOM;
    if (iconv(d->cd, &from, &left, &to, &room) == (size_t)-1 && errno != EINVAL)
        return sl_err_set(err, SL_ERR_DATA, "charset", "byte %lld of the file is not %.*s; is 'charset' right?", (long long)(d->read + (from - d->in) + 1), SL_ARG(d->charset));
    if (d->ended && left > 0)
        return sl_err_set(err, SL_ERR_DATA, "charset", "the file ends in the middle of a character of %.*s", SL_ARG(d->charset));
    d->read += from - d->in;
    memmove(d->in, from, left);
    d->in_n = left;
    d->out_at = 0;
    d->out_n = (size_t)(to - d->out);
    return true;
}

/* The mark may come in pieces. */
static bool skip_mark(decoder *d, sl_err *err)
{
    while (d->out_n < 3 && !d->ended && !d->convert) {
        ptrdiff_t n = d->inner->read(d->inner, d->out + d->out_n, ROOM - d->out_n, err);
        if (n < 0)
            return false;
        d->ended = n == 0;
        d->out_n += (size_t)n;
    }
    while (d->convert && d->out_n == 0 && !d->ended)
        if (!step(d, err))
            return false;
    if (d->out_n >= 3 && memcmp(d->out, "\xEF\xBB\xBF", 3) == 0)
        d->out_at = 3;
    d->begun = true;
    return true;
}

static ptrdiff_t decoder_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    decoder *d = (decoder *)self;
    if (!d->begun && !skip_mark(d, err))
        return -1;
    if (d->out_at == d->out_n && !d->convert && !d->ended) { /* nothing to be done with it: past our own memory */
        ptrdiff_t got = d->inner->read(d->inner, to, n, err);
        d->ended = got <= 0;
        return got;
    }
    while (d->out_at == d->out_n && !d->ended)
        if (!step(d, err))
            return -1;
    size_t take = d->out_n - d->out_at < n ? d->out_n - d->out_at : n;
    memcpy(to, d->out + d->out_at, take);
    d->out_at += take;
    return (ptrdiff_t)take;
}

static void decoder_close(sl_reader *self)
{
    decoder *d = (decoder *)self;
    sl_reader_close(&d->inner);
    if (d->convert)
        iconv_close(d->cd);
    free(d->in);
    free(d->out);
    free(d);
}

sl_reader *sl_reader_charset(sl_reader *inner, sl_str charset, sl_err *err)
{
    bool convert = !is_utf8(charset);
    iconv_t cd = convert ? open_converter(charset, true, err) : (iconv_t)-1;
    if (convert && cd == (iconv_t)-1) {
        sl_reader_close(&inner);
        return NULL;
    }
    decoder *d = sl_malloc(sizeof *d);
    *d = (decoder){ .reader = { decoder_read, decoder_close }, .inner = inner, .convert = convert, .cd = cd, .charset = charset, .in = sl_malloc(ROOM), .out = sl_malloc(4 * ROOM) };
    return &d->reader;
}

/* ---- writing ---- */

typedef struct encoder {
    sl_writer writer;
    sl_writer *inner;
    iconv_t cd;
    sl_str charset;
    char left[8];                 /* of a character that is cut */
    size_t left_n;
    char *in, *out;
} encoder;

static bool encode(encoder *e, const char *data, size_t n, sl_err *err)
{
    while (n > 0) {
        size_t take = n < ROOM ? n : ROOM;
        memcpy(e->in, e->left, e->left_n);
        memcpy(e->in + e->left_n, data, take);
        char *from = e->in, *to = e->out;
        size_t have = e->left_n + take, room = 4 * (ROOM + sizeof e->left);
        if (iconv(e->cd, &from, &have, &to, &room) == (size_t)-1 && errno != EINVAL)
            return sl_err_set(err, SL_ERR_DATA, "charset", "a character of the records cannot be written in %.*s; choose another 'charset'", SL_ARG(e->charset));
        if (have > sizeof e->left)
            return sl_err_set(err, SL_ERR_DATA, "charset", "the records are not valid UTF-8");
        memcpy(e->left, from, have);
        e->left_n = have;
        if (!e->inner->write(e->inner, e->out, (size_t)(to - e->out), err))
            return false;
        data += take;
        n -= take;
    }
    return true;
}

static bool encoder_write(sl_writer *self, const void *from, size_t n, sl_err *err)
{
    return encode((encoder *)self, from, n, err);
}

static bool encoder_finish(sl_writer *self, sl_err *err)
{
    encoder *e = (encoder *)self;
    return e->inner->finish(e->inner, err);
}

static void encoder_close(sl_writer *self)
{
    encoder *e = (encoder *)self;
    sl_writer_close(&e->inner);
    iconv_close(e->cd);
    free(e->in);
    free(e->out);
    free(e);
}

sl_writer *sl_writer_charset(sl_writer *inner, sl_str charset, sl_err *err)
{
    if (is_utf8(charset))
        return inner;
    iconv_t cd = open_converter(charset, false, err);
    if (cd == (iconv_t)-1) {
        sl_writer_close(&inner);
        return NULL;
    }
    encoder *e = sl_malloc(sizeof *e);
    *e = (encoder){ .writer = { encoder_write, encoder_finish, encoder_close }, .inner = inner, .cd = cd, .charset = charset, .in = sl_malloc(ROOM + sizeof e->left), .out = sl_malloc(4 * (ROOM + sizeof e->left)) };
    return &e->writer;
}
