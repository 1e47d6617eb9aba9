/* connectors/pieces.c: see pieces.h. */
#include "connectors/pieces.h"

#include "base/arena.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/regex.h"

enum { SEPARATOR_MAX = 256, PIECES_MAX = 1000 }; /* open at once */

/* ---- rows ---- */

/* The pieces of a stream between separators, each without its own; a last one without separator included. */
typedef struct rows {
    sl_reader *in;
    sl_str separator;
    sl_buf text;
    size_t at;                     /* what is before it was given out */
    bool ended;
} rows;

/* 1: a row, good until the next call; 0: the end; -1: err. */
static int next_row(rows *r, sl_str *ret, sl_err *err)
{
    size_t searched = r->at;
    for (;;) {
        sl_str rest = { r->text.p + searched, r->text.n - searched };
        ptrdiff_t hit = rest.n > 0 ? sl_str_find(rest, r->separator) : -1;
        if (hit >= 0) {
            *ret = (sl_str){ r->text.p + r->at, searched + (size_t)hit - r->at };
            r->at = searched + (size_t)hit + r->separator.n;
            return 1;
        }
        if (r->ended) {
            *ret = (sl_str){ r->text.p + r->at, r->text.n - r->at };
            r->at = r->text.n;
            return ret->n > 0;
        }
        if (r->at > 0)
            memmove(r->text.p, r->text.p + r->at, r->text.n - r->at);
        r->text.n -= r->at;
        r->at = 0;
        searched = r->text.n >= r->separator.n ? r->text.n - r->separator.n + 1 : 0;
        char block[SL_IO_BLOCK / 8];
        ptrdiff_t n = r->in->read(r->in, block, sizeof block, err);
        if (n < 0)
            return -1;
        r->ended = n == 0;
        sl_buf_add(&r->text, (sl_str){ block, (size_t)n });
        if (r->text.overflow)
            return sl_err_set(err, SL_ERR_LIMIT, "storage.row", "a row is longer than %d bytes; is the separator right?", SL_RECORD_MAX) ? 0 : -1;
    }
}

static bool open_rows(sl_task *t, sl_str uri, sl_str separator, rows *ret, sl_err *err)
{
    *ret = (rows){ .separator = separator, .text = sl_buf_new(sl_task_arena(t), SL_RECORD_MAX) };
    if (separator.n == 0 || separator.n > SEPARATOR_MAX)
        return sl_err_set(err, SL_ERR_CONFIG, "storage.separator", "'separator' must have 1 to %d bytes", SEPARATOR_MAX);
    return sl_task_open_in(t, uri, &ret->in, err);
}

/* ---- pieces ---- */

typedef struct pieces {
    sl_task *t;
    const sl_pieces_how *how;
    const char *stem;
    sl_str extension;
    sl_val *uris;
    sl_regex *regex;
    sl_str *groups;                /* what the regex has matched: a piece each */
    size_t groups_n, last_group;
    sl_writer **open;              /* of partitions and groups: all; else the last one */
    size_t count;
    int64_t bytes_max, bytes, rows;
} pieces;

static bool add_piece(pieces *p, sl_writer **ret, sl_err *err)
{
    sl_str uri, name = sl_fmt(sl_task_arena(p->t), "%s-%05zu%.*s", p->stem, p->count++, SL_ARG(p->extension));
    if (!sl_task_open_out(p->t, name, ret, &uri, err))
        return false;
    sl_list_add(sl_task_arena(p->t), p->uris, sl_val_str(sl_task_arena(p->t), uri));
    p->bytes = p->rows = 0;
    return true;
}

static bool end_piece(sl_writer **w, sl_err *err)
{
    bool ok = *w == NULL || (*w)->finish(*w, err);
    sl_writer_close(w);
    *w = NULL;
    return ok;
}

static bool write_row(pieces *p, sl_writer *w, sl_str row, sl_err *err)
{
    return w->write(w, row.p, row.n, err) && w->write(w, p->how->separator.p, p->how->separator.n, err);
}

static bool put_row(pieces *p, int64_t number, sl_str row, sl_err *err)
{
    int64_t size = (int64_t)(row.n + p->how->separator.n);
    sl_writer **w = &p->open[p->bytes_max == 0 && p->how->partitions > 0 ? number % p->how->partitions : 0];
    bool full = p->bytes_max > 0 ? p->rows > 0 && p->bytes + size > p->bytes_max : p->how->partitions <= 0 && p->rows >= p->how->rows;
    if (*w != NULL && full && !end_piece(w, err))
        return false;
    if (*w == NULL && !add_piece(p, w, err))
        return false;
    p->bytes += size;
    p->rows++;
    return write_row(p, *w, row, err);
}

/* Rows of a group often follow one another. */
static bool put_grouped(pieces *p, sl_str row, sl_err *err)
{
    bool found;
    sl_str group;
    if (!sl_regex_group(p->regex, row, &found, &group, err))
        return false;
    if (!found)
        return true;
    size_t i = p->last_group;
    if (i >= p->groups_n || !sl_str_eq(p->groups[i], group))
        for (i = 0; i < p->groups_n && !sl_str_eq(p->groups[i], group); i++)
            ;
    if (i == PIECES_MAX)
        return sl_err_set(err, SL_ERR_LIMIT, "split.groups", "'regexPattern' matches more than %d different texts, a file each", PIECES_MAX);
    if (i == p->groups_n) {
        p->groups[p->groups_n++] = sl_str_dup(sl_task_arena(p->t), group);
        if (!add_piece(p, &p->open[i], err))
            return false;
    }
    p->last_group = i;
    return write_row(p, p->open[i], row, err);
}

static bool cut_rows(pieces *p, sl_str from, sl_err *err)
{
    rows r;
    sl_str row;
    int rc;
    bool ok = true;
    if (!open_rows(p->t, from, p->how->separator, &r, err))
        return false;
    for (int64_t i = 0; ok && (rc = next_row(&r, &row, err)) != 0; i++)
        ok = rc == 1 && (i % 1024 != 0 || !sl_task_cancelled(p->t) || sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "killed")) && (p->regex ? put_grouped(p, row, err) : put_row(p, i, row, err));
    sl_reader_close(&r.in);
    return ok;
}

static bool prepare(pieces *p, sl_err *err)
{
    const sl_pieces_how *how = p->how;
    sl_arena *a = sl_task_arena(p->t);
    sl_str bytes = how->bytes ? sl_str_trim(sl_val_text(a, how->bytes)) : SL_S("");
    size_t most = how->regex.n > 0 ? PIECES_MAX : how->partitions > 0 ? (size_t)how->partitions : 1;
    if (bytes.n > 0 && (!sl_parse_size(bytes, &p->bytes_max) || p->bytes_max <= 0))
        return sl_err_set(err, SL_ERR_CONFIG, "split.bytes", "'bytes' must be a size such as 10MB, not '%.*s'", SL_ARG(bytes));
    if (how->regex.n == 0 && bytes.n == 0 && how->partitions <= 0 && how->rows <= 0)
        return sl_err_set(err, SL_ERR_CONFIG, "split.how", "one of 'bytes', 'partitions', 'rows' and 'regexPattern' has to say how the file is cut");
    if (most > PIECES_MAX)
        return sl_err_set(err, SL_ERR_LIMIT, "split.partitions", "a file is cut into at most %d partitions", PIECES_MAX);
    if (how->regex.n > 0 && (p->regex = sl_regex_new(a, how->regex, err)) == NULL)
        return sl_err_ctx(err, "property 'regexPattern'");
    p->open = SL_ARRAY(a, sl_writer *, most);
    p->groups = SL_ARRAY(a, sl_str, most);
    return true;
}

bool sl_pieces_cut(sl_task *t, sl_str from, const sl_pieces_how *how, const char *stem, const sl_val **ret, sl_err *err)
{
    pieces p = { .t = t, .how = how, .stem = stem, .extension = sl_path_extension(sl_path_base(from)), .uris = sl_list(sl_task_arena(t)) };
    if (!prepare(&p, err))
        return false;
    size_t open = p.regex ? PIECES_MAX : how->partitions > 0 ? (size_t)how->partitions : 1;
    bool ok = cut_rows(&p, from, err);
    for (size_t i = 0; i < open; i++) {
        ok = ok && end_piece(&p.open[i], err);
        sl_writer_close(&p.open[i]);
    }
    *ret = p.uris;
    return ok;
}
