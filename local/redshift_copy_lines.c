/* local/redshift_copy_lines.c: text read once more, line by line, to say which rows COPY does not take and why. See redshift_copy.h. */
#include "base/arena.h"
#include "local/redshift_copy.h"

enum { RECORD_MAX = 16 << 20 };

typedef sl_redshift_copying copy;

typedef struct scan {
    copy *c;
    sl_arena *a;                  /* for the record at hand */
    sl_val *ret;
    size_t most;
    const sl_val *mismatches;     /* {column: {value: …}} that are of no such type */
    const sl_val *rejects;        /* of this file, by record: file, record, column, kind */
    size_t next;
    sl_str file;
    int64_t line, first, record;  /* the last one read, the first one of the record, and its number as DuckDB counts */
    sl_buf raw;                   /* the record as far as it was read */
    bool quoted;                  /* its end is inside of quotes */
} scan;

static char quote_of(const copy *c)
{
    return !c->csv ? '\0' : c->quote.n ? c->quote.p[0] : '"';
}

/* The next field of the record, without its quotes; *rest.p NULL: that was the last. */
static sl_str field(const copy *c, sl_arena *a, sl_str *rest)
{
    char quote = quote_of(c);
    sl_str text = *rest, ret;
    if (quote != '\0' && text.n > 0 && text.p[0] == quote) {
        sl_buf b = sl_buf_new(a, RECORD_MAX);
        size_t i = 1;
        for (; i < text.n && (text.p[i] != quote || (i + 1 < text.n && text.p[i + 1] == quote)); i++) {
            i += text.p[i] == quote;
            sl_buf_char(&b, text.p[i]);
        }
        *rest = sl_str_sub(text, i < text.n ? i + 1 : i, text.n);
        ret = sl_buf_str(&b);
        (void)sl_str_cut(rest, c->delimiter.p[0], &text);
        return ret;
    }
    (void)sl_str_cut(rest, c->delimiter.p[0], &ret);
    return ret;
}

/* Does a record go on behind this line of it? */
static bool ends_quoted(const copy *c, sl_str line, bool quoted)
{
    char quote = quote_of(c);
    bool begins = !quoted; /* of a field */
    for (size_t i = 0; quote != '\0' && i < line.n; i++) {
        if (line.p[i] == quote && quoted && i + 1 < line.n && line.p[i + 1] == quote)
            i++;
        else if (line.p[i] == quote && (quoted || begins))
            quoted = !quoted;
        begins = !quoted && line.p[i] == c->delimiter.p[0];
    }
    return quoted;
}

/* What is wrong with a value for its column; "": nothing. */
static const char *wrong(const scan *s, const sl_redshift_column *col, sl_str value)
{
    const copy *c = s->c;
    bool null = sl_str_eq(value, c->null_text) || (value.n == 0 && (!col->is_text || c->empty_as_null));
    sl_str shown = value;
    while (shown.n > 0 && shown.p[shown.n - 1] == ' ')
        shown.n--;
    null |= c->blank_as_null && col->is_text && value.n > 0 && shown.n == 0;
    if (null)
        return col->required ? "NULL" : "";
    if (!col->is_text)
        return sl_get_str(sl_get_str(s->mismatches, col->name), value) != NULL ? "CAST" : "";
    if (col->text.length == 0)
        return "";
    if (shown.n > (size_t)col->text.length && !c->truncate)
        return "LONG";
    for (size_t i = 0; col->text.fixed && i < value.n; i++)
        if ((unsigned char)value.p[i] > 127)
            return "CHAR";
    return "";
}

static void add(scan *s, sl_str column, sl_str kind, sl_str value, sl_str raw)
{
    sl_list_add(s->c->a, s->ret, sl_redshift_reject(s->c, s->file, s->first, column, kind, sl_str_dup(s->c->a, value), sl_str_dup(s->c->a, raw)));
}

/* The whole record: is it one that DuckDB has left out, or that the table does not take? */
static void record(scan *s)
{
    copy *c = s->c;
    sl_str raw = sl_buf_str(&s->raw), rest = raw, value = SL_S(""), column = SL_S(""), kind = SL_S("");
    bool known = false;
    s->record++;
    for (; s->next < sl_val_count(s->rejects); s->next++) {
        const sl_val *r = sl_at(s->rejects, s->next);
        int64_t number = 0;
        (void)sl_parse_int(sl_at(r, 1)->s, &number);
        if (number > s->record)
            break;
        if (known || number < s->record)
            continue;
        known = true;
        kind = sl_at(r, 3)->s;
        column = sl_at(r, 2)->type == SL_STRING ? sl_at(r, 2)->s : column;
    }
    if (raw.n == 0 || (s->record <= c->skip && !known))
        return;
    for (size_t i = 0; i < sl_val_count(c->types) && rest.p != NULL; i++) {
        sl_redshift_column col = sl_redshift_column_at(c, i);
        value = field(c, s->a, &rest);
        bool misses = known && sl_str_eqc(kind, "MISSING COLUMNS");
        if (misses)
            column = col.name; /* behind which there should be a delimiter */
        else if (known && sl_str_eq(col.name, column))
            break;
        const char *why = known ? "" : wrong(s, &col, value);
        if (why[0] != '\0') {
            add(s, col.name, sl_str_c(why), value, raw);
            return;
        }
        if (known && !misses)
            value = SL_S("");
    }
    if (known)
        add(s, column, kind, value, raw);
}

static bool line(void *self, const sl_val *row, sl_err *err)
{
    scan *s = self;
    const sl_val *v = sl_get(row, "l");
    sl_str text = sl_is(v, SL_STRING) ? v->s : SL_S("");
    s->line++;
    if (s->quoted)
        sl_buf_addc(&s->raw, "\n");
    else {
        s->first = s->line;
        s->raw.n = 0;
    }
    sl_buf_add(&s->raw, text);
    if (!s->raw.overflow && s->line > s->c->skip && (s->quoted = ends_quoted(s->c, text, s->quoted)))
        return true;
    s->quoted = false;
    sl_arena_mark mark = sl_arena_get_mark(s->a);
    record(s);
    sl_arena_rewind(s->a, mark);
    return sl_val_count(s->ret) < s->most || sl_err_set(err, SL_ERR_CANCELLED, "enough", "as many as are wanted");
}

/* One file. Lines that cannot be read (no UTF-8, …) are told as DuckDB counts them. */
static bool file(scan *s, sl_duck_con *con, sl_str path, sl_err *err)
{
    copy *c = s->c;
    sl_duck_rows lines = { .self = s, .each = line };
    sl_str quoted = sl_duck_text(c->a, path);
    sl_str sql = sl_fmt(c->a, "SELECT l FROM read_csv(%.*s, columns = {'l': 'VARCHAR'}, auto_detect = false, header = false, delim = '', quote = '', escape = '', max_line_size = %d, compression = '%s')", SL_ARG(quoted), RECORD_MAX,
                        c->packed ? c->packed : "uncompressed");
    bool ok = sl_duck_each(con, sql, NULL, &lines, err) || strcmp(err->code, "enough") == 0;
    if (!ok && s->next == sl_val_count(s->rejects))
        return false;
    sl_err_clear(err);
    for (; s->next < sl_val_count(s->rejects) && sl_val_count(s->ret) < s->most; s->next++) {
        const sl_val *r = sl_at(s->rejects, s->next), *column = sl_at(r, 2);
        int64_t number = 0;
        (void)sl_parse_int(sl_at(r, 1)->s, &number);
        sl_list_add(c->a, s->ret, sl_redshift_reject(c, s->file, number, sl_is(column, SL_STRING) ? column->s : SL_S(""), sl_at(r, 3)->s, SL_S(""), SL_S("")));
    }
    return true;
}

bool sl_redshift_copy_lines(copy *c, const sl_redshift_files *files, const sl_val *rejects, size_t most, sl_val *ret, sl_err *err)
{
    sl_duck_con *con = sl_duck_connect(c->s->c->redshift_duck, err); /* what cannot be read must not end the transaction */
    bool ok = con != NULL;
    sl_val *mismatches = sl_map(c->a);
    for (size_t i = 0; i < sl_val_count(c->types); i++)
        sl_map_set(c->a, mismatches, sl_redshift_column_at(c, i).name, sl_map(c->a));
    for (size_t i = 0; i < sl_val_count(rejects); i++) {
        const sl_val *r = sl_at(rejects, i);
        if (sl_at(r, 0)->s.n == 0)
            sl_map_set(c->a, (sl_val *)sl_get_str(mismatches, sl_at(r, 2)->s), sl_at(r, 4)->s, r);
    }
    for (size_t i = 0; ok && i < sl_val_count(files->paths) && sl_val_count(ret) < most; i++) {
        SL_ARENA scratch = sl_arena_new();
        sl_str path = sl_at(files->paths, i)->s;
        sl_val *own = sl_list(c->a);
        for (size_t k = 0; k < sl_val_count(rejects); k++)
            if (sl_str_eq(sl_at(sl_at(rejects, k), 0)->s, path))
                sl_list_add(c->a, own, sl_at(rejects, k));
        scan s = { .c = c, .a = scratch, .ret = ret, .most = most, .mismatches = mismatches, .rejects = own, .file = sl_at(files->names, i)->s, .raw = sl_buf_new(c->a, RECORD_MAX) };
        ok = file(&s, con, path, err);
    }
    sl_duck_disconnect(con);
    return ok;
}
