/*
 * connectors/csv/clean.c: io.sluice.csv.Clean: a CSV file as every warehouse takes it (UTF-8, commas, RFC 4180), and apart from it the
 * rows that cannot be taken, each with its line and the reason.
 */
#include "base/arena.h"
#include "connectors/csv/source.h"
#include "connectors/serdes/serdes.h"

enum { CANCEL_EVERY = 4096 };

typedef struct clean_cfg {
    sl_csv_given given;
    const sl_val *types, *nulls, *required;
    int64_t bad_max;
    bool trim, write_header;
} clean_cfg;

static const sl_opt opts[] = {
    SL_CSV_GIVEN_OPTS(clean_cfg),
    { .name = "types", .type = SL_OPT_MAP, .offset = SL_FIELD(clean_cfg, types), .doc = "Column to BOOLEAN, INTEGER, DECIMAL, FLOAT, DATE, TIME, TIMESTAMP, TIMESTAMPTZ or TEXT: rows with other values are bad." },
    { .name = "required", .type = SL_OPT_STRS, .offset = SL_FIELD(clean_cfg, required), .doc = "Columns that may not be empty." },
    { .name = "nullStrings", .type = SL_OPT_STRS, .offset = SL_FIELD(clean_cfg, nulls), .doc = "Values that stand for null, such as NULL and N/A; they become empty." },
    { .name = "trim", .type = SL_OPT_BOOL, .offset = SL_FIELD(clean_cfg, trim), .doc = "White space around values goes." },
    { .name = "writeHeader", .type = SL_OPT_BOOL, .offset = SL_FIELD(clean_cfg, write_header), .fallback = "true", .doc = "The names come first." },
    { .name = "maxBadRows", .type = SL_OPT_INT, .offset = SL_FIELD(clean_cfg, bad_max), .fallback = "-1", .doc = "With more bad rows the task fails; -1: never." },
    { 0 },
};
static const sl_opt outs[] = {
    { .name = "uri", .type = SL_OPT_STR, .doc = "The clean file." },
    { .name = "size", .type = SL_OPT_INT, .doc = "Its rows." },
    { .name = "quarantineUri", .type = SL_OPT_STR, .doc = "CSV of the bad rows: line, reason, record." },
    { .name = "badRows", .type = SL_OPT_INT, .doc = "How many." },
    { 0 },
};

typedef struct rule {
    sl_csv_type type;             /* SL_CSV_NULL: any */
    bool required;
} rule;

typedef struct cleaning {
    sl_task *t;
    const clean_cfg *c;
    sl_csv_source s;
    rule *rules;
    sl_out *good;
    sl_writer *bad;
    sl_str bad_uri;
    sl_arena *bad_arena;
    char reason[300];
    int64_t written, quarantined;
} cleaning;

/* ---- writing ---- */

static bool needs_quotes(sl_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == ',' || s.p[i] == '"' || s.p[i] == '\n' || s.p[i] == '\r')
            return true;
    return s.n > 0 && (s.p[0] == ' ' || s.p[s.n - 1] == ' ');
}

static void add_field(sl_buf *b, sl_str s, bool first)
{
    if (!first)
        sl_buf_char(b, ',');
    if (!needs_quotes(s)) {
        sl_buf_add(b, s);
        return;
    }
    sl_buf_char(b, '"');
    for (const char *q; (q = memchr(s.p, '"', s.n)) != NULL;) {
        size_t n = (size_t)(q - s.p) + 1;
        sl_buf_add(b, sl_str_sub(s, 0, n));
        sl_buf_char(b, '"');
        s = sl_str_sub(s, n, s.n);
    }
    sl_buf_add(b, s);
    sl_buf_char(b, '"');
}

/* ---- rules ---- */

static bool column_index(const cleaning *k, sl_str name, const char *property, size_t *ret, sl_err *err)
{
    for (*ret = 0; *ret < k->s.columns; ++*ret)
        if (sl_str_eq(k->s.names[*ret], name))
            return true;
    return sl_err_set(err, SL_ERR_CONFIG, "csv.column", "'%s' names the column '%.*s', which the file does not have", property, SL_ARG(name));
}

static bool read_rules(cleaning *k, sl_err *err)
{
    size_t i;
    k->rules = SL_ARRAY(sl_task_arena(k->t), rule, k->s.columns);
    for (size_t n = 0; n < sl_val_count(k->c->types); n++) {
        const sl_entry *e = &k->c->types->map.entries[n];
        sl_csv_type type = SL_CSV_TEXT;
        if (!sl_csv_type_parse(sl_text(e->value), &type))
            return sl_err_set(err, SL_ERR_CONFIG, "csv.type", "'%.*s' is no type of a column; known are BOOLEAN, INTEGER, DECIMAL, FLOAT, DATE, TIME, TIMESTAMP, TIMESTAMPTZ and TEXT", SL_ARG(sl_text(e->value)));
        if (!column_index(k, e->key, "types", &i, err))
            return false;
        k->rules[i].type = type;
    }
    for (size_t n = 0; n < sl_val_count(k->c->required); n++) {
        if (!column_index(k, sl_text(sl_at(k->c->required, n)), "required", &i, err))
            return false;
        k->rules[i].required = true;
    }
    return true;
}

static sl_str cleaned(const cleaning *k, sl_str value)
{
    if (k->c->trim)
        value = sl_str_trim(value);
    for (size_t i = 0; i < sl_val_count(k->c->nulls); i++)
        if (sl_str_eq(value, sl_text(sl_at(k->c->nulls, i))))
            return SL_S("");
    return value;
}

/* Is every value what its column wants? */
static bool keeps_rules(cleaning *k, const sl_csv_row *row)
{
    int digits, scale;
    for (size_t i = 0; i < row->count; i++) {
        const rule *r = &k->rules[i];
        sl_str value = cleaned(k, row->fields[i]), name = k->s.names[i];
        if (r->required && value.n == 0) {
            (void)snprintf(k->reason, sizeof k->reason, "column '%.*s' is empty", (int)(name.n < 60 ? name.n : 60), name.p);
            return false;
        }
        if (r->type == SL_CSV_NULL || r->type == SL_CSV_TEXT || value.n == 0)
            continue;
        sl_csv_type is = sl_csv_type_of(value, &digits, &scale);
        if (sl_csv_type_join(r->type, is) != r->type) {
            (void)snprintf(k->reason, sizeof k->reason, "column '%.*s' should be %s, not '%.*s'", (int)(name.n < 60 ? name.n : 60), name.p, sl_csv_type_name(r->type), (int)(value.n < 60 ? value.n : 60), value.p);
            return false;
        }
    }
    return true;
}

/* ---- the pass ---- */

static bool quarantine(cleaning *k, const sl_csv_row *row, const char *reason, sl_err *err)
{
    sl_arena_mark mark = sl_arena_get_mark(k->bad_arena);
    sl_buf record = sl_buf_new(k->bad_arena, SIZE_MAX / 4), line = sl_buf_new(k->bad_arena, SIZE_MAX / 4);
    for (size_t i = 0; i < row->count; i++)
        add_field(&record, row->fields[i], i == 0);
    if (k->quarantined++ == 0)
        sl_buf_addc(&line, "line,reason,record\n");
    sl_buf_fmt(&line, "%lld", (long long)row->line);
    add_field(&line, sl_str_c(reason), false);
    add_field(&line, row->count > 0 ? sl_buf_str(&record) : row->raw.n > 0 ? row->raw : SL_S(""), false);
    sl_buf_char(&line, '\n');
    bool ok = k->bad->write(k->bad, line.p, line.n, err);
    sl_arena_rewind(k->bad_arena, mark);
    return ok;
}

static bool one(cleaning *k, const sl_csv_row *row, sl_err *err)
{
    if (row->why != NULL)
        return quarantine(k, row, row->why, err);
    if (!keeps_rules(k, row))
        return quarantine(k, row, k->reason, err);
    sl_buf *b = sl_out_buffer(k->good);
    for (size_t i = 0; i < row->count; i++)
        add_field(b, cleaned(k, row->fields[i]), i == 0);
    sl_buf_char(b, '\n');
    k->written++;
    return sl_out_pass(k->good, err);
}

static bool pass(cleaning *k, sl_err *err)
{
    sl_csv_row row;
    int got;
    for (size_t i = 0; k->c->write_header && i < k->s.columns; i++)
        add_field(sl_out_buffer(k->good), k->s.names[i], i == 0);
    if (k->c->write_header)
        sl_buf_char(sl_out_buffer(k->good), '\n');
    while ((got = sl_csv_source_next(&k->s, &row, err)) == 1) {
        if (!one(k, &row, err))
            return false;
        if ((k->written + k->quarantined) % CANCEL_EVERY != 0)
            continue;
        if (sl_task_cancelled(k->t))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped on request");
        sl_task_progress(k->t, k->s.bytes, -1);
    }
    return got == 0;
}

static bool finish(cleaning *k, sl_err *err)
{
    sl_task_out_int(k->t, "badRows", k->quarantined);
    sl_task_counter(k->t, "bad.rows", (double)k->quarantined);
    if (k->quarantined > 0) {
        if (!k->bad->finish(k->bad, err))
            return false;
        sl_task_out_str(k->t, "quarantineUri", k->bad_uri);
    }
    if (!sl_out_finish(k->good, k->written, err))
        return false;
    if (k->quarantined > 0)
        sl_task_log(k->t, SL_WARN, "%lld of %lld rows are in quarantine: %.*s", (long long)k->quarantined, (long long)(k->written + k->quarantined), SL_ARG(k->bad_uri));
    return k->c->bad_max < 0 || k->quarantined <= k->c->bad_max
           || sl_err_set(err, SL_ERR_DATA, "csv.bad_rows", "%lld rows are bad, and 'maxBadRows' is %lld; they are in %.*s, with the reasons", (long long)k->quarantined, (long long)k->c->bad_max, SL_ARG(k->bad_uri));
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    cleaning k = { .t = t, .c = cfg, .bad_arena = sl_arena_new() };
    bool ok = sl_csv_source_open(&k.s, t, &k.c->given, err) && read_rules(&k, err) && (k.good = sl_out_open(t, "clean.csv", SL_S(""), err)) != NULL
              && sl_task_open_out(t, SL_S("quarantine.csv"), &k.bad, &k.bad_uri, err) && pass(&k, err) && finish(&k, err);
    sl_out_close(k.good);
    sl_writer_close(&k.bad);
    sl_csv_source_close(&k.s);
    sl_arena_free(k.bad_arena);
    return ok ? SL_TASK_DONE : SL_TASK_FAILED;
}

const sl_task_type sl_csv_clean = { .type = "io.sluice.csv.Clean", .doc = "Rewrites a CSV file in one dialect, with bad rows put apart.", .cfg_size = sizeof(clean_cfg), .opts = opts, .outs = outs, .run = run };
