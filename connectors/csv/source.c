/* connectors/csv/source.c: see source.h. */
#include "connectors/csv/source.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include "base/arena.h"
#include "base/limits.h"
#include "connectors/serdes/charset.h"

enum { RECORD_FACTOR = 4, COLUMNS_MAX = 100000 };

/* ---- the file, unpacked and counted ---- */

typedef struct counter {
    sl_reader base;
    sl_reader *inner;
    int64_t *bytes;
} counter;

static ptrdiff_t counter_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    counter *c = (counter *)self;
    ptrdiff_t got = c->inner->read(c->inner, to, n, err);
    *c->bytes += got > 0 ? got : 0;
    return got;
}

static void counter_close(sl_reader *self)
{
    counter *c = (counter *)self;
    sl_reader_close(&c->inner);
}

static sl_reader *counting(sl_arena *a, sl_reader *inner, int64_t *bytes)
{
    counter *c = SL_NEW(a, counter);
    *c = (counter){ { counter_read, counter_close }, inner, bytes };
    return &c->base;
}

static bool read_some(sl_arena *a, sl_reader *in, size_t max, sl_str *ret, bool *whole, sl_err *err)
{
    char *p = SL_ARRAY(a, char, max + 16);
    size_t n = 0;
    ptrdiff_t got = 1;
    while (n < max && (got = in->read(in, p + n, max - n, err)) > 0)
        n += (size_t)got;
    *ret = (sl_str){ p, n };
    *whole = n < max;
    return got >= 0;
}

static bool open_bytes(sl_csv_source *s, sl_str from, sl_reader **ret, sl_err *err)
{
    if (!sl_task_open_in(s->task, from, ret, err))
        return false;
    if (s->shape.gzip)
        *ret = sl_reader_gunzip(*ret);
    return true;
}

/* ---- finding out ---- */

static bool is_packed(sl_csv_source *s, sl_str from, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    SL_READER in = NULL;
    sl_str start;
    bool whole;
    if (!sl_task_open_in(s->task, from, &in, err) || !read_some(a, in, 3, &start, &whole, err))
        return false;
    s->shape.gzip = sl_csv_is_gzip(start);
    return true;
}

static bool find_out(sl_csv_source *s, const sl_csv_given *g, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    SL_READER raw = NULL;
    SL_READER text = NULL;
    sl_str bytes, sample;
    bool whole, ignored;
    if (!is_packed(s, g->from, err) || !open_bytes(s, g->from, &raw, err) || !read_some(a, raw, SL_CSV_SAMPLE, &bytes, &whole, err))
        return false;
    sl_csv_guess_charset(bytes, whole, &s->shape);
    if (g->charset.n > 0)
        s->shape.charset = g->charset;
    sl_reader *memory = sl_reader_memory(bytes);
    text = sl_reader_charset(memory, s->shape.charset, err);
    if (text == NULL)
        return false;
    (void)read_some(a, text, 2 * SL_CSV_SAMPLE, &sample, &ignored, err); /* it may end in the middle of a character */
    sl_csv_guess_shape(sample, whole, &s->shape);
    if (sl_str_eqc(g->header, "TRUE") || sl_str_eqc(g->header, "FALSE"))
        s->shape.header = sl_str_eqc(g->header, "TRUE");
    sl_err_clear(err);
    return (g->separator.n == 0 || sl_csv_char(g->separator, "fieldSeparator", false, &s->shape.separator, err)) && (g->quote.n == 0 || sl_csv_char(g->quote, "textDelimiter", false, &s->shape.quote, err));
}

/* ---- records ---- */

/* Nothing but ASCII, and no NUL: the fields of a record lie behind one another. */
static bool is_plain(const sl_csv_row *row)
{
    const char *p = row->fields[0].p, *end = row->fields[row->count - 1].p + row->fields[row->count - 1].n;
#if defined(__x86_64__)
    const __m128i zero = _mm_setzero_si128();
    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        if (_mm_movemask_epi8(_mm_or_si128(x, _mm_cmpeq_epi8(x, zero))) != 0)
            return false;
    }
#endif
    while (p < end && *p > 0)
        p++;
    return p == end;
}

static const char *trouble(const sl_csv_row *row)
{
    if (row->count == 0 || is_plain(row))
        return NULL;
    for (size_t i = 0; i < row->count; i++) {
        sl_str f = row->fields[i];
        if (f.n > 0 && memchr(f.p, '\0', f.n) != NULL)
            return "a field holds a NUL byte";
        if (!sl_str_is_utf8(f))
            return "a field is not valid text in the file's encoding";
    }
    return NULL;
}

static int next_record(sl_csv_source *s, sl_csv_row *row, sl_err *err)
{
    int got;
    do {
        *row = (sl_csv_row){ .fields = NULL };
        got = sl_csv_next(s->csv, &row->fields, &row->count, err);
        row->line = sl_csv_line(s->csv);
    } while (got == 1 && sl_csv_blank(s->csv) && s->columns != 1);
    if (got == -1 && (strcmp(err->code, "csv.quote") == 0 || strcmp(err->code, "csv.field") == 0)) {
        (void)snprintf(s->why, sizeof s->why, "%.*s", (int)sizeof s->why - 1, err->message);
        row->why = s->why;
        row->raw = sl_csv_bad(s->csv);
        row->count = 0;
        sl_err_clear(err);
        return 1;
    }
    if (got == 1)
        row->why = trouble(row);
    return got;
}

static bool read_names(sl_csv_source *s, sl_err *err)
{
    sl_csv_row row;
    int got = next_record(s, &row, err);
    if (got < 0)
        return false;
    if (got == 0)
        return sl_err_set(err, SL_ERR_DATA, "csv.empty", "the file holds no record");
    if (row.why != NULL)
        return sl_err_set(err, SL_ERR_DATA, "csv.first", "the first record cannot be read: %s", row.why);
    if (row.count > COLUMNS_MAX)
        return sl_err_set(err, SL_ERR_LIMIT, "csv.columns", "the first record has %zu fields, at most %d are taken", row.count, COLUMNS_MAX);
    sl_str *names = SL_ARRAY(s->arena, sl_str, row.count);
    for (size_t i = 0; i < row.count; i++) {
        sl_str name = s->shape.header ? sl_str_trim(row.fields[i]) : SL_S("");
        names[i] = name.n > 0 ? sl_str_dup(s->arena, name) : sl_fmt(s->arena, "column_%zu", i + 1);
    }
    s->names = names;
    s->fields = SL_ARRAY(s->arena, sl_str, row.count);
    s->columns = row.count;
    return true;
}

static bool open_records(sl_csv_source *s, const sl_csv_given *g, sl_err *err)
{
    sl_reader_close(&s->in);
    s->bytes = 0;
    if (!open_bytes(s, g->from, &s->in, err))
        return false;
    s->in = sl_reader_charset(counting(s->arena, s->in, s->read_bytes), s->shape.charset, err);
    size_t field = g->field_max > 0 ? (size_t)g->field_max : 1;
    sl_csv_dialect d = { .separator = s->shape.separator, .quote = s->shape.quote, .field_max = field, .record_max = RECORD_FACTOR * field };
    s->csv = s->in ? sl_csv_new(s->arena, s->in, &d) : NULL;
    return s->csv != NULL;
}

bool sl_csv_source_open(sl_csv_source *s, sl_task *t, const sl_csv_given *g, sl_err *err)
{
    *s = (sl_csv_source){ .task = t, .arena = sl_arena_new(), .shape.charset = SL_S("UTF-8") };
    s->read_bytes = SL_NEW(s->arena, int64_t);
    if (!find_out(s, g, err) || !open_records(s, g, err) || !read_names(s, err))
        return sl_err_ctx(err, "%.*s", SL_ARG(g->from));
    /* Without a header, the first record is one of the rows: it is read again. */
    *s->read_bytes = s->shape.header ? *s->read_bytes : 0;
    return s->shape.header || open_records(s, g, err);
}

void sl_csv_source_close(sl_csv_source *s)
{
    sl_reader_close(&s->in);
    if (s->arena != NULL)
        sl_arena_free(s->arena);
    s->arena = NULL;
}

/* A good or a bad record, whatever it looks like. */
static int next_single(sl_csv_source *s, sl_csv_row *row, sl_err *err)
{
    int got = next_record(s, row, err);
    s->bytes = *s->read_bytes;
    if (got != 1)
        return got;
    if (row->why == NULL && row->count != s->columns) {
        (void)snprintf(s->why, sizeof s->why, "it has %zu fields in place of %zu", row->count, s->columns);
        row->why = s->why;
    }
    s->bad += row->why != NULL;
    s->rows += row->why == NULL;
    return 1;
}

static int64_t lines_within(const sl_csv_row *row)
{
    int64_t lines = 0;
    for (size_t i = 0; i < row->count; i++)
        for (size_t k = 0; k < row->fields[i].n; k++)
            lines += row->fields[i].p[k] == '\n';
    return lines;
}

/* One of the records that were found in one go. */
static bool next_plain(sl_csv_source *s, sl_csv_row *row)
{
    if (s->columns < 2) /* a blank line is a record there */
        return false;
    if (s->plain == NULL) {
        s->plain = sl_csv_next_plain(s->csv, s->columns);
        s->plain_at = 0;
        s->plain_line = sl_csv_line(s->csv);
    }
    if (s->plain == NULL)
        return false;
    size_t at = s->plain_at++;
    for (size_t i = 0; i < s->columns; i++)
        s->fields[i] = sl_csv_index_field(s->plain, at, i);
    *row = (sl_csv_row){ .fields = s->fields, .count = s->columns, .line = s->plain_line };
    s->plain_line += 1 + (s->plain->inner_lines > 0 ? lines_within(row) : 0);
    if (s->plain_at == s->plain->rows)
        s->plain = NULL;
    return true;
}

int sl_csv_source_next(sl_csv_source *s, sl_csv_row *row, sl_err *err)
{
    if (!next_plain(s, row))
        return next_single(s, row, err);
    s->bytes = *s->read_bytes;
    s->rows++;
    return 1;
}

/* The plain records that are at hand, in one piece. */
static void look_at_plain(sl_csv_source *s, sl_csv_column *columns)
{
    const sl_csv_index *plain = sl_csv_next_plain(s->csv, s->columns);
    for (size_t i = 0; plain != NULL && i < s->columns; i++)
        sl_csv_column_add_rows(&columns[i], plain, i);
    s->rows += plain ? (int64_t)plain->rows : 0;
}

bool sl_csv_source_look(sl_csv_source *s, sl_str null_text, const sl_csv_listener *on_bad, sl_csv_column **ret, sl_err *err)
{
    enum { CANCEL_EVERY = 1 << 20 };
    sl_csv_row row;
    int got;
    int64_t looked = 0;
    sl_csv_column *columns = SL_ARRAY(s->arena, sl_csv_column, s->columns);
    for (size_t i = 0; i < s->columns; i++)
        columns[i].name = s->names[i];
    do {
        if (null_text.n == 0)
            look_at_plain(s, columns);
        if ((got = next_single(s, &row, err)) != 1)
            break;
        for (size_t i = 0; row.why == NULL && i < s->columns; i++)
            sl_csv_column_add(&columns[i], sl_str_eq(row.fields[i], null_text) ? SL_S("") : row.fields[i]);
        if (row.why != NULL && on_bad != NULL)
            on_bad->tell(on_bad->self, &row);
        if (s->bytes - looked < CANCEL_EVERY)
            continue;
        looked = s->bytes;
        sl_task_progress(s->task, s->bytes, -1);
        if (sl_task_cancelled(s->task))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped on request");
    } while (true);
    for (size_t i = 0; i < s->columns; i++)
        sl_csv_column_settle(&columns[i]);
    *ret = columns;
    return got == 0;
}
