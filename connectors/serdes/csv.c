/* connectors/serdes/csv.c: see csv.h. */
#include "connectors/serdes/csv.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include "base/arena.h"

enum { BLOCK = 256 << 10 };

struct sl_csv {
    sl_reader *in;
    sl_csv_dialect d;
    char *buffer;
    size_t at, end, capacity;     /* buffer[at..end) is not yet used */
    bool ended, blank;
    int64_t line, next_line;
    sl_str *fields;
    size_t *begins;               /* of fields, counted from `at`: the buffer may move until the record is complete */
    bool *doubled;                /* they hold doubled quotes, undone when it is */
    char *bad;                    /* a line that was skipped */
    size_t bad_n;
    size_t count, field_capacity;
    sl_csv_index index;
    size_t window;                /* bytes that the index may look at: less where much is not plain */
    sl_arena *arena;
};

static void release(void *self)
{
    sl_csv *c = self;
    free(c->buffer);
    free(c->fields);
    free(c->begins);
    free(c->doubled);
    free(c->bad);
    sl_csv_index_free(&c->index);
}

sl_csv *sl_csv_new(sl_arena *arena, sl_reader *in, const sl_csv_dialect *dialect)
{
    sl_csv *c = SL_NEW(arena, sl_csv);
    *c = (sl_csv){ .in = in, .d = *dialect, .capacity = BLOCK, .field_capacity = 64, .arena = arena, .next_line = 1 };
    c->buffer = sl_malloc(c->capacity + SL_CSV_BEHIND);
    c->fields = sl_malloc(c->field_capacity * sizeof *c->fields);
    c->begins = sl_malloc(c->field_capacity * sizeof *c->begins);
    c->doubled = sl_malloc(c->field_capacity * sizeof *c->doubled);
    sl_arena_on_free(arena, release, c);
    return c;
}

static void *grown(void *old, size_t used, size_t size)
{
    void *p = sl_malloc(size);
    memcpy(p, old, used);
    free(old);
    return p;
}

/* More bytes behind `end`; what is before `at` is let go of. 1, 0 at the end, -1. */
static int fill(sl_csv *c, sl_err *err)
{
    if (c->ended)
        return 0;
    if (c->at > 0) {
        memmove(c->buffer, c->buffer + c->at, c->end - c->at);
        c->end -= c->at;
        c->at = 0;
    }
    if (c->end == c->capacity) {
        if (c->capacity >= c->d.record_max)
            return sl_err_set(err, SL_ERR_LIMIT, "csv.record", "the record at line %lld is longer than %zu bytes; is a quote not closed?", (long long)c->line, c->d.record_max), -1;
        c->buffer = grown(c->buffer, c->end, c->capacity * 2 + SL_CSV_BEHIND);
        c->capacity *= 2;
    }
    ptrdiff_t n = c->in->read(c->in, c->buffer + c->end, c->capacity - c->end, err);
    if (n <= 0) {
        c->ended = n == 0;
        return n < 0 ? -1 : 0;
    }
    c->end += (size_t)n;
    return 1;
}

/* The first separator, LF or CR from `p` on, or `end`. Reads up to 15 bytes behind it, which are ours. */
static const char *plain_end(const char *p, const char *end, char separator)
{
#if defined(__x86_64__)
    const __m128i s = _mm_set1_epi8(separator), lf = _mm_set1_epi8('\n'), cr = _mm_set1_epi8('\r');
    for (; p < end; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        int hits = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(x, s), _mm_cmpeq_epi8(x, lf)), _mm_cmpeq_epi8(x, cr)));
        if (hits != 0) {
            p += __builtin_ctz((unsigned)hits);
            return p < end ? p : end;
        }
    }
    return end;
#else
    while (p < end && *p != separator && *p != '\n' && *p != '\r')
        p++;
    return p;
#endif
}

static void add_field(sl_csv *c, const char *from, size_t n, bool doubled)
{
    if (c->count == c->field_capacity) {
        c->fields = grown(c->fields, c->count * sizeof *c->fields, 2 * c->count * sizeof *c->fields);
        c->begins = grown(c->begins, c->count * sizeof *c->begins, 2 * c->count * sizeof *c->begins);
        c->doubled = grown(c->doubled, c->count * sizeof *c->doubled, 2 * c->count * sizeof *c->doubled);
        c->field_capacity *= 2;
    }
    c->begins[c->count] = (size_t)(from - c->buffer) - c->at;
    c->doubled[c->count] = doubled;
    c->fields[c->count++].n = n;
}

/* The outcome of looking at one field. */
typedef enum found { MORE, NEXT_FIELD, RECORD_END, FAILED } found;

/* What comes behind a field at `p`. */
static found behind(sl_csv *c, size_t *p, sl_err *err)
{
    if (*p == c->end)
        return c->ended ? RECORD_END : MORE;
    char ch = c->buffer[*p];
    if (ch == c->d.separator) {
        ++*p;
        return NEXT_FIELD;
    }
    if (ch == '\r' && *p + 1 == c->end && !c->ended)
        return MORE; /* an LF may follow */
    if (ch == '\n' || ch == '\r') {
        *p += ch == '\r' && *p + 1 < c->end && c->buffer[*p + 1] == '\n' ? 2 : 1;
        c->next_line++;
        return RECORD_END;
    }
    sl_err_at(err, (uint32_t)c->next_line, 0, SL_ERR_DATA, "csv.quote", "a closing quote is followed by '%c' at line %lld; fields must be quoted as a whole", ch, (long long)c->next_line);
    return FAILED;
}

static void keep_bad(sl_csv *c, const char *from, size_t n)
{
    if (c->bad == NULL)
        c->bad = sl_malloc(SL_CSV_BAD_MAX);
    if (n > SL_CSV_BAD_MAX - c->bad_n)
        n = SL_CSV_BAD_MAX - c->bad_n;
    memcpy(c->bad + c->bad_n, from, n);
    c->bad_n += n;
}

/* buffer[*p] is the opening quote. */
static found quoted(sl_csv *c, size_t *p, sl_err *err)
{
    size_t begin = *p + 1, scan = begin, doubled = 0, lines = 0;
    char q = c->d.quote;
    for (;;) {
        const char *hit = memchr(c->buffer + scan, q, c->end - scan);
        if (hit == NULL) {
            if (!c->ended)
                return MORE;
            sl_err_at(err, (uint32_t)c->line, 0, SL_ERR_DATA, "csv.quote", "the quote that is opened in the record at line %lld is never closed", (long long)c->line);
            keep_bad(c, c->buffer + c->at, c->end - c->at);
            c->at = c->end;
            return FAILED;
        }
        scan = (size_t)(hit - c->buffer);
        if (scan + 1 == c->end && !c->ended)
            return MORE;
        if (scan + 1 == c->end || c->buffer[scan + 1] != q)
            break;
        doubled++;
        scan += 2;
    }
    for (const char *l = c->buffer + begin; (l = memchr(l, '\n', (size_t)(c->buffer + scan - l))) != NULL; l++)
        lines++;
    size_t end = scan, extra = 0;
    if (c->d.lenient) {
        const char *stop = plain_end(c->buffer + scan + 1, c->buffer + c->end, c->d.separator);
        if (stop == c->buffer + c->end && !c->ended)
            return MORE;
        extra = (size_t)(stop - c->buffer) - scan - 1;
    }
    size_t after = scan + 1 + extra;
    int64_t before = c->next_line;
    c->next_line += (int64_t)lines;
    found f = behind(c, &after, err);
    if (f == MORE) {
        c->next_line = before;
        return MORE; /* nothing may have been changed so far: the field is looked at again */
    }
    memmove(c->buffer + scan, c->buffer + scan + 1, extra);
    end = scan + extra;
    add_field(c, c->buffer + begin, end - begin, doubled > 0);
    *p = after;
    return f;
}

static found unquoted(sl_csv *c, size_t *p, sl_err *err)
{
    const char *stop = plain_end(c->buffer + *p, c->buffer + c->end, c->d.separator);
    size_t end = (size_t)(stop - c->buffer), after = end;
    if (end == c->end && !c->ended)
        return MORE;
    found f = behind(c, &after, err);
    if (f != MORE) {
        add_field(c, c->buffer + *p, end - *p, false);
        *p = after;
    }
    return f;
}

sl_str sl_csv_bad(const sl_csv *c)
{
    sl_str s = { c->bad, c->bad_n };
    while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
        s.n--;
    return s;
}

/* A line that is not well-formed. */
static void skip_line(sl_csv *c)
{
    sl_err ignored;
    for (;;) {
        const char *end = memchr(c->buffer + c->at, '\n', c->end - c->at);
        size_t to = end ? (size_t)(end - c->buffer) + 1 : c->end;
        keep_bad(c, c->buffer + c->at, to - c->at);
        c->at = to;
        if (end != NULL || fill(c, &ignored) != 1)
            break;
    }
    c->next_line++;
}

/* Doubled quotes, in place. */
static size_t undouble(char *p, size_t n, char q)
{
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        p[to++] = p[i];
        i += p[i] == q && i + 1 < n && p[i + 1] == q;
    }
    return to;
}

static int complete(sl_csv *c, size_t p, const sl_str **fields, size_t *count, sl_err *err)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->fields[i].n > c->d.field_max) {
            c->at = p;
            return sl_err_set(err, SL_ERR_LIMIT, "csv.field", "field %zu of the record at line %lld is longer than %zu bytes", i + 1, (long long)c->line, c->d.field_max), -1;
        }
        c->fields[i].p = c->buffer + c->at + c->begins[i];
        if (c->doubled[i])
            c->fields[i].n = undouble(c->buffer + c->at + c->begins[i], c->fields[i].n, c->d.quote);
    }
    c->blank = c->count == 1 && c->fields[0].n == 0 && c->buffer[c->at] != c->d.quote;
    c->at = p;
    *fields = c->fields;
    *count = c->count;
    return 1;
}

int sl_csv_next(sl_csv *c, const sl_str **fields, size_t *count, sl_err *err)
{
    c->line = c->next_line;
    c->bad_n = 0;
    if (c->at == c->end) {
        int got = fill(c, err);
        if (got != 1)
            return got;
    }
    size_t p = c->at;
    c->count = 0;
    for (;;) {
        found f = p < c->end && c->buffer[p] == c->d.quote && c->d.quote != '\0' ? quoted(c, &p, err) : p == c->end && !c->ended ? MORE : unquoted(c, &p, err);
        if (f == RECORD_END)
            return complete(c, p, fields, count, err);
        if (f == FAILED) {
            skip_line(c);
            return -1;
        }
        if (f == NEXT_FIELD)
            continue;
        size_t done = p - c->at;
        int got = fill(c, err);
        if (got < 0)
            return -1;
        p = c->at + done;
    }
}

const sl_csv_index *sl_csv_next_plain(sl_csv *c, size_t columns)
{
    enum { WINDOW_MIN = 2 << 10 };
    if (c->at == c->end || c->d.field_max < SL_CSV_WINDOW)
        return NULL;
    if (c->window == 0) {
        sl_csv_index_init(&c->index);
        c->window = SL_CSV_WINDOW;
    }
    size_t n = c->end - c->at;
    sl_csv_index_find(&c->index, c->buffer + c->at, n < c->window ? n : c->window, columns, c->d.separator, c->d.quote);
    if (c->index.stopped)
        c->window = c->window > 2 * WINDOW_MIN ? c->window / 2 : WINDOW_MIN;
    else if (c->window < SL_CSV_WINDOW)
        c->window *= 2;
    c->line = c->next_line;
    c->next_line += (int64_t)(c->index.rows + c->index.inner_lines);
    c->at += c->index.bytes;
    return c->index.rows > 0 ? &c->index : NULL;
}

int64_t sl_csv_line(const sl_csv *c)
{
    return c->line;
}

bool sl_csv_blank(const sl_csv *c)
{
    return c->blank;
}

bool sl_csv_char(sl_str s, const char *property, bool may_lack, char *ret, sl_err *err)
{
    *ret = s.n == 1 ? s.p[0] : '\0';
    if (sl_str_eqc(s, "\\t"))
        *ret = '\t';
    return (*ret != '\0' && *ret != '\n' && *ret != '\r') || (may_lack && s.n == 0) || sl_err_set(err, SL_ERR_CONFIG, "csv.dialect", "'%s' must be one character (of one byte), not '%.*s'", property, SL_ARG(s));
}
