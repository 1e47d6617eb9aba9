/* connectors/csv/dialect.c: see dialect.h. */
#include "connectors/csv/dialect.h"

#include "base/arena.h"
#include "connectors/csv/column.h"
#include "connectors/serdes/csv.h"

enum { RECORDS_MAX = 500, COLUMNS_MAX = 100000 };

bool sl_csv_is_gzip(sl_str raw)
{
    return raw.n > 2 && (unsigned char)raw.p[0] == 0x1f && (unsigned char)raw.p[1] == 0x8b;
}

/* ---- encoding ---- */

/* A character that the sample cuts in two is not its fault. */
static sl_str whole_characters(sl_str s, bool whole)
{
    for (size_t i = 1; !whole && i <= 3 && i <= s.n; i++) {
        unsigned char c = (unsigned char)s.p[s.n - i];
        if (c >= 0xC0)
            return sl_str_sub(s, 0, s.n - i);
        if (c < 0x80)
            break;
    }
    return s;
}

void sl_csv_guess_charset(sl_str b, bool whole, sl_csv_shape *ret)
{
    static const struct {
        const char *bytes, *charset;
        size_t n;
    } marks[] = { { "\xEF\xBB\xBF", "UTF-8", 3 }, { "\xFF\xFE\0\0", "UTF-32LE", 4 }, { "\0\0\xFE\xFF", "UTF-32BE", 4 }, { "\xFF\xFE", "UTF-16LE", 2 }, { "\xFE\xFF", "UTF-16BE", 2 } };
    size_t even = 0, odd = 0;
    ret->bom = false;
    for (size_t i = 0; i < SL_COUNT(marks); i++)
        if (b.n >= marks[i].n && memcmp(b.p, marks[i].bytes, marks[i].n) == 0) {
            ret->bom = true;
            ret->charset = sl_str_c(marks[i].charset);
            return;
        }
    for (size_t i = 0; i < b.n; i++)
        *(i % 2 ? &odd : &even) += b.p[i] == '\0';
    if (b.n >= 4 && (odd > b.n / 4 || even > b.n / 4)) /* the upper halves of Latin letters */
        ret->charset = odd > even ? SL_S("UTF-16LE") : SL_S("UTF-16BE");
    else
        ret->charset = sl_str_is_utf8(whole_characters(b, whole)) ? SL_S("UTF-8") : SL_S("windows-1252");
}

/* ---- separator ---- */

typedef struct look {
    size_t records, agreeing, columns; /* columns: of the first record */
    size_t bad;
} look;

static look try_separator(sl_str text, bool whole, char separator, char quote)
{
    SL_ARENA a = sl_arena_new();
    SL_READER in = sl_reader_memory(text);
    sl_csv_dialect d = { .separator = separator, .quote = quote, .field_max = SL_CSV_SAMPLE, .record_max = 4 * SL_CSV_SAMPLE };
    sl_csv *csv = sl_csv_new(a, in, &d);
    const sl_str *fields;
    size_t n, before = 0;
    look l = { 0 };
    sl_err err;
    for (int got; l.records < RECORDS_MAX && (got = sl_csv_next(csv, &fields, &n, &err)) != 0;) {
        if (got < 0) {
            l.bad++;
            if (err.kind != SL_ERR_DATA)
                break;
            continue;
        }
        if (sl_csv_blank(csv))
            continue;
        l.agreeing += before != 0 && before == l.columns; /* one late: the sample may cut the last record */
        before = n;
        if (l.records++ == 0)
            l.columns = n;
    }
    if (whole)
        l.agreeing += before != 0 && before == l.columns;
    else if (l.records > 1)
        l.records--;
    return l;
}

static double score(const look *l)
{
    if (l->records == 0 || l->columns < 2)
        return 0;
    double share = (double)l->agreeing / (double)(l->records + l->bad);
    return share * share * (l->columns < 50 ? 1 + (double)l->columns / 100 : 1.5);
}

/* ---- header ---- */

/* Names are texts, different from one another, over columns of which not all are texts too. */
static bool guess_header(sl_str text, const sl_csv_shape *s)
{
    SL_ARENA a = sl_arena_new();
    SL_READER in = sl_reader_memory(text);
    sl_csv_dialect d = { .separator = s->separator, .quote = s->quote, .field_max = SL_CSV_SAMPLE, .record_max = 4 * SL_CSV_SAMPLE };
    sl_csv *csv = sl_csv_new(a, in, &d);
    const sl_str *fields;
    size_t n;
    int digits, scale;
    sl_err err;
    sl_val *names = sl_map(a);
    if (sl_csv_next(csv, &fields, &n, &err) != 1 || n > COLUMNS_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        sl_str name = sl_str_trim(fields[i]);
        sl_csv_type t = sl_csv_type_of(name, &digits, &scale);
        if (t == SL_CSV_NULL)     /* a separator at the end of each line */
            continue;
        if (t != SL_CSV_TEXT || sl_get_str(names, name) != NULL)
            return false;
        sl_map_set(a, names, sl_str_dup(a, name), &sl_true_val);
    }
    return sl_val_count(names) > 0;
}

/* At the beginning of a field. */
static bool opens_fields(sl_str text, char quote)
{
    for (const char *q = text.p; (q = memchr(q, quote, (size_t)(text.p + text.n - q))) != NULL; q++)
        if (q == text.p || strchr(",;\t|\n\r", q[-1]) != NULL)
            return true;
    return false;
}

void sl_csv_guess_shape(sl_str text, bool whole, sl_csv_shape *ret)
{
    static const char separators[] = ",;\t|";
    double best = 0;
    ret->separator = ',';
    ret->quote = !opens_fields(text, '"') && opens_fields(text, '\'') ? '\'' : '"';
    for (const char *s = separators; *s != '\0'; s++) {
        look l = try_separator(text, whole, *s, ret->quote);
        if (score(&l) > best) {
            best = score(&l);
            ret->separator = *s;
        }
    }
    ptrdiff_t lf = sl_str_find(text, SL_S("\n")), cr = sl_str_find(text, SL_S("\r"));
    ret->line_end = cr >= 0 && lf == cr + 1 ? "\r\n" : cr >= 0 && (lf < 0 || cr < lf) ? "\r" : "\n";
    ret->header = guess_header(text, ret);
}

const sl_val *sl_csv_shape_facts(sl_arena *a, const sl_csv_shape *s)
{
    sl_val *v = sl_map(a);
    sl_map_set_str(a, v, "encoding", s->charset);
    sl_map_set_bool(a, v, "bom", s->bom);
    sl_map_set_str(a, v, "compression", s->gzip ? SL_S("GZIP") : SL_S("NONE"));
    sl_map_set_str(a, v, "separator", sl_str_dup(a, (sl_str){ &s->separator, 1 }));
    sl_map_set_str(a, v, "quote", sl_str_dup(a, (sl_str){ &s->quote, 1 }));
    sl_map_set_bool(a, v, "header", s->header);
    sl_map_set_str(a, v, "lineEnd", sl_str_c(s->line_end));
    return v;
}
