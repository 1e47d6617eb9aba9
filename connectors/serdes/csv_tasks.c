/* connectors/serdes/csv_tasks.c: io.kestra.plugin.serdes.csv: CsvToIon, IonToCsv. */
#include "base/arena.h"
#include "base/ion.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/time.h"
#include "connectors/records.h"
#include "connectors/serdes/csv.h"
#include "connectors/serdes/serdes.h"
#include "connectors/serdes/shape.h"

enum { FIELD_MAX = 16777216, RECORD_FACTOR = 4, KEY_ROOM = 32, SHORT = 8, CLEAN = 24 };

typedef struct csv_cfg {
    sl_str from, separator, quote, line_end, charset, bad_lines, empty_header, quote_mode, date, time, date_time, zone;
    const sl_val *different, *buffer_max;
    int64_t skip_rows, field_max;
    bool header, skip_empty, lenient, always;
} csv_cfg;

#define TEXT(yaml, field, fallback_text, words) { .name = yaml, .type = SL_OPT_STR, .offset = SL_FIELD(csv_cfg, field), .fallback = fallback_text, .doc = words }
#define BOOL(yaml, field, fallback_text, words) { .name = yaml, .type = SL_OPT_BOOL, .offset = SL_FIELD(csv_cfg, field), .fallback = fallback_text, .doc = words }
#define FROM { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(csv_cfg, from), .flags = SL_REQUIRED, .doc = "The file (kestra:// URI)." }

static const sl_opt read_opts[] = {
    FROM,
    BOOL("header", header, "true", "The first line holds names; else records are lists."),
    TEXT("fieldSeparator", separator, ",", "Between fields."),
    TEXT("textDelimiter", quote, "\"", "Around fields that hold separators or line ends."),
    BOOL("skipEmptyRows", skip_empty, NULL, "Leave out empty lines."),
    { .name = "skipRows", .type = SL_OPT_INT, .offset = SL_FIELD(csv_cfg, skip_rows), .doc = "Records behind the header that are left out." },
    TEXT("charset", charset, "UTF-8", "Encoding of the file."),
    { .name = "onBadLines", .type = SL_OPT_ENUM, .offset = SL_FIELD(csv_cfg, bad_lines), .values = "ERROR WARN SKIP", .fallback = "ERROR", .doc = "What to do with lines that are not well-formed or have another number of fields." },
    { .name = "onEmptyHeader", .type = SL_OPT_ENUM, .offset = SL_FIELD(csv_cfg, empty_header), .values = "DROP RENAME", .fallback = "DROP", .doc = "Columns without a name: drop those at the end, or name them col_<number>." },
    { .name = "maxFieldSize", .type = SL_OPT_INT, .offset = SL_FIELD(csv_cfg, field_max), .fallback = "16777216", .doc = "Longest field, in bytes." },
    { .name = "maxBufferSize", .type = SL_OPT_ANY, .offset = SL_FIELD(csv_cfg, buffer_max), .doc = "Accepted: a record may have four times maxFieldSize." },
    BOOL("allowExtraCharsAfterClosingQuote", lenient, NULL, "Characters behind a closing quote belong to the field."),
    { .name = "errorOnDifferentFieldCount", .type = SL_OPT_ANY, .offset = SL_FIELD(csv_cfg, different), .flags = SL_DEPRECATED, .doc = "Older form of onBadLines." },
    { 0 },
};
static const sl_opt write_opts[] = {
    FROM,
    BOOL("header", header, "true", "Write the names of the first record's fields."),
    TEXT("fieldSeparator", separator, ",", "Between fields."),
    TEXT("textDelimiter", quote, "\"", "Around fields that hold separators or line ends."),
    TEXT("lineDelimiter", line_end, "\n", "Behind each record."),
    { .name = "quoteMode", .type = SL_OPT_ENUM, .offset = SL_FIELD(csv_cfg, quote_mode), .values = "ALWAYS REQUIRED NON_NUMERIC", .fallback = "REQUIRED", .doc = "Which fields are quoted." },
    BOOL("alwaysDelimitText", always, NULL, "Older form of quoteMode ALWAYS."),
    TEXT("charset", charset, "UTF-8", "Encoding of the file."),
    TEXT("dateFormat", date, "yyyy-MM-dd", "Pattern of dates."),
    TEXT("timeFormat", time, "HH:mm:ss[XXX]", "Pattern of times."),
    TEXT("dateTimeFormat", date_time, "yyyy-MM-dd'T'HH:mm:ss.SSS[XXX]", "Pattern of dates with a time."),
    TEXT("timeZoneId", zone, NULL, "Zone that times with a zone are written in; else the machine's."),
    { 0 },
};

/* ---- reading ---- */

typedef struct reading {
    sl_task *t;
    const csv_cfg *c;
    sl_csv *csv;
    sl_out *out;
    sl_arena *arena;              /* of the header */
    sl_str *keys;                 /* as Ion writes them, with ':' */
    sl_str *openings;             /* what stands before each value of a record that needs no escapes: `{name:"`, `,name:"`, … */
    size_t openings_bytes;
    size_t columns;
    int64_t count, bad;
} reading;

/* The names, ready to be written. Blank ones at the end are dropped, or all of them named. */
static bool read_header(reading *r, sl_err *err)
{
    const sl_str *fields;
    size_t n;
    int got = sl_csv_next(r->csv, &fields, &n, err);
    if (got < 0)
        return sl_err_ctx(err, "the header of %.*s", SL_ARG(r->c->from));
    if (got == 0)
        return true;
    bool rename = sl_str_eqc(r->c->empty_header, "RENAME");
    while (!rename && n > 1 && sl_str_trim(fields[n - 1]).n == 0)
        n--;
    r->keys = SL_ARRAY(r->arena, sl_str, n + 1);
    r->columns = n;
    for (size_t i = 0; i < n; i++) {
        sl_str name = fields[i];
        if (rename && sl_str_trim(name).n == 0)
            name = sl_fmt(r->arena, "col_%zu", i);
        sl_buf b = sl_buf_new(r->arena, SIZE_MAX / 4);
        sl_val *one = sl_map(r->arena);
        sl_map_set(r->arena, one, name, &sl_null_val);
        sl_ion_write(&b, r->arena, one); /* {name:null} */
        sl_str text = sl_buf_str(&b);
        char *key = sl_alloc(r->arena, text.n + KEY_ROOM);
        r->keys[i] = (sl_str){ memcpy(key, text.p + 1, text.n - sizeof "null}"), text.n - sizeof "null}" };
    }
    return true;
}

/* Names and fields are short: a copy of a fixed length, of which the end is overwritten, is quicker than one of the right length. */
static inline char *put_key(char *to, sl_str key)
{
    memcpy(to, key.p, KEY_ROOM);
    if (key.n > KEY_ROOM)
        memcpy(to, key.p, key.n);
    return to + key.n;
}

static inline char *put_short(char *to, sl_str s)
{
    *to = '"';
    memcpy(to + 1, s.p, SHORT);
    to[s.n + 1] = '"';
    return to + s.n + 2;
}

/* Room for the whole record once: this is what most of the time goes into. padded: behind each field are eight bytes that may be read. */
static inline bool write_record(reading *r, const sl_str *fields, size_t n, bool padded, sl_err *err)
{
    sl_buf *b = sl_out_buffer(r->out);
    bool header = r->c->header;
    size_t most = 4 + KEY_ROOM;
    for (size_t i = 0; i < n; i++)
        most += 4 * fields[i].n + 8 + SHORT + (header ? r->keys[i].n : 0);
    char *from = sl_buf_room(b, most), *to = from;
    if (from == NULL)
        return sl_err_set(err, SL_ERR_LIMIT, "csv.record", "the record at line %lld is too long", (long long)sl_csv_line(r->csv));
    *to++ = header ? '{' : '[';
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            *to++ = ',';
        if (header)
            to = put_key(to, r->keys[i]);
        if (fields[i].n == 2 && memcmp(fields[i].p, "\\N", 2) == 0) {
            memcpy(to, "null", 4);
            to += 4;
        } else if (padded && fields[i].n <= SHORT && sl_json_plain_bytes(fields[i].p) >= fields[i].n)
            to = put_short(to, fields[i]);
        else
            to = sl_serdes_quote(to, fields[i]);
    }
    *to++ = header ? '}' : ']';
    *to++ = '\n';
    b->n += (size_t)(to - from);
    r->count++;
    return sl_out_pass(r->out, err);
}

/* What stands before each value, its quote included. */
static void make_openings(reading *r)
{
    bool header = r->c->header;
    r->openings = SL_ARRAY(r->arena, sl_str, r->columns);
    for (size_t i = 0; i < r->columns; i++) {
        sl_str text = sl_fmt(r->arena, "%c%.*s\"", i > 0 ? ',' : header ? '{' : '[', SL_ARG(header ? r->keys[i] : SL_S("")));
        r->openings[i] = (sl_str){ memcpy(sl_alloc(r->arena, text.n + KEY_ROOM), text.p, text.n), text.n };
        r->openings_bytes += text.n;
    }
}

/* One of records that hold nothing to escape, behind whose end bytes may be read. */
static inline bool write_clean(reading *r, const sl_csv_index *x, size_t row, sl_err *err)
{
    sl_buf *b = sl_out_buffer(r->out);
    const uint32_t *end = x->ends + row * r->columns;
    size_t bytes = end[r->columns - 1] - (uint32_t)(end[-1] + 1);
    char *from = sl_buf_room(b, bytes + r->openings_bytes + r->columns + 4 + KEY_ROOM + CLEAN), *to = from;
    if (from == NULL)
        return sl_err_set(err, SL_ERR_LIMIT, "csv.record", "the record at line %lld is too long", (long long)sl_csv_line(r->csv));
    for (size_t i = 0; i < r->columns; i++) {
        sl_str f = sl_csv_index_field(x, row, i);
        to = put_key(to, r->openings[i]);
        memcpy(to, f.p, CLEAN);
        if (f.n > CLEAN)
            memcpy(to, f.p, f.n);
        to[f.n] = '"';
        to += f.n + 1;
    }
    *to++ = r->c->header ? '}' : ']';
    *to++ = '\n';
    b->n += (size_t)(to - from);
    r->count++;
    return sl_out_pass(r->out, err);
}

/* A line that is wrong: by the property an error, a warning, or nothing. */
static bool bad_line(reading *r, sl_err *err)
{
    r->bad++;
    if (err->kind != SL_ERR_DATA || sl_str_eqc(r->c->bad_lines, "ERROR"))
        return sl_err_ctx(err, "%.*s", SL_ARG(r->c->from));
    if (sl_str_eqc(r->c->bad_lines, "WARN"))
        sl_task_log(r->t, SL_WARN, "%s; left out", err->message);
    sl_err_clear(err);
    return true;
}

/* The plain records that are at hand, in pieces. */
static bool write_plain(reading *r, sl_str *fields, sl_err *err)
{
    const sl_csv_index *plain;
    while ((plain = sl_csv_next_plain(r->csv, r->columns)) != NULL) {
        if (r->openings == NULL)
            make_openings(r);
        for (size_t row = 0; plain->clean && row < plain->rows; row++)
            if (!write_clean(r, plain, row, err))
                return false;
        for (size_t row = 0; !plain->clean && row < plain->rows; row++) {
            for (size_t i = 0; i < r->columns; i++)
                fields[i] = sl_csv_index_field(plain, row, i);
            if (!write_record(r, fields, r->columns, true, err))
                return false;
        }
        if (sl_task_cancelled(r->t))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while reading");
    }
    return true;
}

static bool read_records(reading *r, sl_err *err)
{
    const sl_str *fields;
    size_t n;
    int got;
    int64_t skip = r->c->skip_rows;
    sl_str *plain = NULL;
    for (;;) {
        /* Not in a file of one column, where a blank line is a record like others. */
        if (skip == 0 && r->columns > 1) {
            plain = plain ? plain : SL_ARRAY(r->arena, sl_str, r->columns);
            if (!write_plain(r, plain, err))
                return false;
        }
        if ((got = sl_csv_next(r->csv, &fields, &n, err)) == 0)
            return true;
        if (got < 0) {
            if (!bad_line(r, err))
                return false;
            continue;
        }
        if (skip > 0) {
            skip--;
            continue;
        }
        if (r->c->skip_empty && sl_csv_blank(r->csv))
            continue;
        if (r->columns == 0)
            r->columns = n;
        /* Fields behind a dropped header, when they are empty, are dropped as well. */
        while (r->c->header && n > r->columns && fields[n - 1].n == 0)
            n--;
        if (n != r->columns) {
            sl_err_at(err, (uint32_t)sl_csv_line(r->csv), 0, SL_ERR_DATA, "csv.fields", "the record at line %lld has %zu fields, %zu were expected", (long long)sl_csv_line(r->csv), n, r->columns);
            if (!bad_line(r, err))
                return false;
            continue;
        }
        if (!write_record(r, fields, n, false, err))
            return false;
        if ((r->count & 4095) == 0 && sl_task_cancelled(r->t))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while reading");
    }
}

static sl_outcome read_run(sl_task *t, void *cfg, sl_err *err)
{
    const csv_cfg *c = cfg;
    SL_ARENA arena = sl_arena_new();
    SL_READER text = NULL;
    sl_csv_dialect d = { .lenient = c->lenient, .field_max = (size_t)c->field_max, .record_max = (size_t)c->field_max * RECORD_FACTOR };
    reading r = { .t = t, .c = c, .arena = arena };
    if (c->field_max < 1 || c->field_max > 1 << 30) {
        sl_err_set(err, SL_ERR_CONFIG, "csv.dialect", "'maxFieldSize' must be from 1 to 1073741824");
        return SL_TASK_FAILED;
    }
    if (!sl_csv_char(c->separator, "fieldSeparator", false, &d.separator, err) || !sl_csv_char(c->quote, "textDelimiter", true, &d.quote, err) || (text = sl_serdes_in(t, c->from, c->charset, err)) == NULL)
        return SL_TASK_FAILED;
    r.csv = sl_csv_new(arena, text, &d);
    r.out = sl_out_open(t, "records.ion", SL_S(""), err);
    bool ok = r.out != NULL && (!c->header || read_header(&r, err)) && read_records(&r, err) && sl_out_finish(r.out, r.count, err);
    sl_out_close(r.out);
    if (ok && r.bad > 0)
        sl_task_log(t, SL_WARN, "%lld lines were left out", (long long)r.bad);
    return ok ? SL_TASK_DONE : SL_TASK_FAILED;
}

/* ---- writing ---- */

typedef struct writing {
    const csv_cfg *c;
    sl_out *out;
    sl_arena *arena;              /* of the record at hand */
    const sl_tz *zone;
    char separator, quote;
    bool always, non_numeric;
    sl_shape shape;
} writing;

static bool time_text(writing *w, sl_time t, sl_str *ret, sl_err *err)
{
    if (t.kind == SL_TIME_DATE)
        return sl_time_format(w->arena, t, w->c->date, ret, err);
    if (t.kind == SL_TIME_OF_DAY)
        return sl_time_format(w->arena, t, w->c->time, ret, err);
    if (t.kind == SL_TIME_ZONED)
        t = sl_time_at(t.s, t.ns, w->zone);
    return sl_time_format(w->arena, t, w->c->date_time, ret, err);
}

static bool write_field(writing *w, const sl_val *v, sl_err *err)
{
    sl_buf *b = sl_out_buffer(w->out);
    sl_str text = SL_S("");
    bool number = v->type == SL_INT || v->type == SL_DOUBLE;
    if (v->type == SL_TIME) {
        if (!time_text(w, v->t, &text, err))
            return false;
    } else if (v->type == SL_MAP || v->type == SL_LIST)
        text = sl_json(w->arena, v);
    else if (v->type != SL_NULL)
        text = sl_val_text(w->arena, v);
    bool quoted = w->always || (w->non_numeric && !number && v->type != SL_NULL);
    for (size_t i = 0; i < text.n && !quoted; i++)
        quoted = text.p[i] == w->separator || text.p[i] == w->quote || text.p[i] == '\n' || text.p[i] == '\r';
    if (!quoted || w->quote == '\0') {
        sl_buf_add(b, text);
        return true;
    }
    sl_buf_char(b, w->quote);
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == w->quote)
            sl_buf_char(b, w->quote);
        sl_buf_char(b, text.p[i]);
    }
    sl_buf_char(b, w->quote);
    return true;
}

static bool write_row(writing *w, const sl_val *row, bool header, sl_err *err)
{
    sl_buf *b = sl_out_buffer(w->out);
    size_t n = sl_val_count(row);
    for (size_t i = 0; i < n; i++) {
        const sl_val *v = row->type == SL_LIST ? row->list.items[i] : header ? sl_val_str(w->arena, row->map.entries[i].key) : row->map.entries[i].value;
        if (i > 0)
            sl_buf_char(b, w->separator);
        if (!write_field(w, v, err))
            return false;
    }
    sl_buf_add(b, w->c->line_end);
    return sl_out_pass(w->out, err);
}

static sl_str unescaped(sl_arena *arena, sl_str s)
{
    sl_buf b = sl_buf_new(arena, s.n);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\\')
            c = s.p[++i] == 'n' ? '\n' : s.p[i] == 'r' ? '\r' : s.p[i] == 't' ? '\t' : s.p[i];
        sl_buf_char(&b, c);
    }
    return sl_buf_str(&b);
}

static bool holds(sl_str s, char a, char b)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == a || s.p[i] == b)
            return true;
    return false;
}

/* A record of the shape of those before it. */
static bool write_pieces(writing *w, sl_err *err)
{
    sl_buf *b = sl_out_buffer(w->out);
    for (size_t i = 0; i < w->shape.n; i++) {
        const sl_piece *p = &w->shape.pieces[i];
        if (i > 0)
            sl_buf_char(b, w->separator);
        if (p->kind == SL_PIECE_NULL)
            continue;
        if (p->kind != SL_PIECE_STRING || (!p->escaped && !holds(p->text, w->separator, w->quote)))
            sl_buf_add(b, p->text);
        else if (!write_field(w, sl_val_str(w->arena, p->escaped ? unescaped(w->arena, p->text) : p->text), err))
            return false;
    }
    sl_buf_add(b, w->c->line_end);
    return sl_out_pass(w->out, err);
}

/* Where pieces of lines can be copied as they are: nothing but strings may need quotes. */
static bool copies(const writing *w)
{
    sl_str marks = SL_S("-.0123456789aeflrstu");
    return !w->always && !w->non_numeric && !holds(marks, w->separator, w->quote);
}

static bool write_all(writing *w, sl_records *in, sl_task *t, sl_err *err)
{
    const sl_val *row;
    sl_str line;
    int got;
    bool fast = copies(w);
    sl_arena_mark mark = sl_arena_get_mark(w->arena);
    while ((got = sl_records_line(in, &line, err)) == 1) {
        if ((in->count & 4095) == 0 && sl_task_cancelled(t))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while writing");
        if (fast && sl_shape_match(&w->shape, line)) {
            if (!write_pieces(w, err))
                return false;
            sl_arena_rewind(w->arena, mark);
            continue;
        }
        if ((row = sl_records_parse(in, w->arena, line, err)) == NULL)
            return false;
        if (row->type != SL_MAP && row->type != SL_LIST)
            return sl_err_set(err, SL_ERR_DATA, "csv.record", "record %lld of %.*s is neither a map nor a list", (long long)in->count, SL_ARG(in->uri));
        if (in->count == 1 && w->c->header && row->type == SL_LIST)
            return sl_err_set(err, SL_ERR_DATA, "csv.header", "the records of %.*s are lists, which have no names for a header; set 'header: false'", SL_ARG(in->uri));
        if ((in->count == 1 && w->c->header && !write_row(w, row, true, err)) || !write_row(w, row, false, err))
            return false;
        if (fast)
            sl_shape_learn(&w->shape, line, row);
        sl_arena_rewind(w->arena, mark);
    }
    return got == 0;
}

static sl_outcome write_run(sl_task *t, void *cfg, sl_err *err)
{
    const csv_cfg *c = cfg;
    SL_ARENA arena = sl_arena_new();
    sl_records in = { 0 };
    writing w = { .c = c, .arena = arena, .always = c->always || sl_str_eqc(c->quote_mode, "ALWAYS"), .non_numeric = sl_str_eqc(c->quote_mode, "NON_NUMERIC"), .zone = sl_tz_local() };
    if (!sl_csv_char(c->separator, "fieldSeparator", false, &w.separator, err) || !sl_csv_char(c->quote, "textDelimiter", true, &w.quote, err) || (c->zone.n > 0 && (w.zone = sl_tz_find(c->zone, err)) == NULL))
        return SL_TASK_FAILED;
    w.out = sl_out_open(t, "records.csv", c->charset, err);
    sl_shape_open(&w.shape, SL_SHAPE_ION, SL_SHAPE_ION);
    bool ok = w.out != NULL && sl_records_open(&in, t, c->from, err) && write_all(&w, &in, t, err) && sl_out_finish(w.out, in.count, err);
    sl_records_close(&in);
    sl_shape_close(&w.shape);
    sl_out_close(w.out);
    return ok ? SL_TASK_DONE : SL_TASK_FAILED;
}

#define CSV "io.kestra.plugin.serdes.csv."
const sl_task_type sl_csv_to_ion = { .type = CSV "CsvToIon", .aliases = CSV "CsvReader", .doc = "Reads CSV into records.", .cfg_size = sizeof(csv_cfg), .opts = read_opts, .outs = sl_serdes_outs, .run = read_run };
const sl_task_type sl_ion_to_csv = { .type = CSV "IonToCsv", .aliases = CSV "CsvWriter", .doc = "Writes records as CSV.", .cfg_size = sizeof(csv_cfg), .opts = write_opts, .outs = sl_serdes_outs, .run = write_run };
