/* connectors/csv/inspect.c: io.sluice.csv.Inspect: one pass over a CSV file: what it is, what is in it, what is wrong with it. */
#include "base/arena.h"
#include "connectors/csv/schema.h"
#include "connectors/csv/source.h"

enum { SHOWN_MAX = 20 };

typedef struct inspect_cfg {
    sl_csv_given given;
    sl_str table;
    int64_t bad_max;
} inspect_cfg;

static const sl_opt opts[] = {
    SL_CSV_GIVEN_OPTS(inspect_cfg),
    { .name = "table", .type = SL_OPT_STR, .offset = SL_FIELD(inspect_cfg, table), .fallback = "my_table", .doc = "Name in the schemas that are written." },
    { .name = "maxBadRows", .type = SL_OPT_INT, .offset = SL_FIELD(inspect_cfg, bad_max), .fallback = "-1", .doc = "With more bad rows the task fails; -1: never." },
    { 0 },
};
static const sl_opt outs[] = {
    { .name = "rows", .type = SL_OPT_INT, .doc = "Good rows, without the header." },
    { .name = "badRows", .type = SL_OPT_INT, .doc = "Rows that cannot be taken as they are." },
    { .name = "bytes", .type = SL_OPT_INT, .doc = "Of the file, unpacked." },
    { .name = "dialect", .type = SL_OPT_MAP, .doc = "{encoding, bom, compression, separator, quote, header, lineEnd}." },
    { .name = "columns", .type = SL_OPT_LIST, .doc = "[{name, type, nulls, minBytes, maxBytes, min, max, precision, scale}]." },
    { .name = "problems", .type = SL_OPT_LIST, .doc = "The first bad rows: [{line, reason}]." },
    { .name = "schemas", .type = SL_OPT_MAP, .doc = "{bigquery: {schema, load}, redshift: {create, copy}, postgresql: {create, copy}}." },
    { 0 },
};

typedef struct findings {
    sl_task *task;
    sl_val *problems;             /* the first SHOWN_MAX */
} findings;

static void note(void *self, const sl_csv_row *row)
{
    findings *f = self;
    sl_arena *a = sl_task_arena(f->task);
    if (sl_val_count(f->problems) == SHOWN_MAX)
        return;
    sl_val *one = sl_map(a);
    sl_map_set_int(a, one, "line", row->line);
    sl_map_set_str(a, one, "reason", sl_fmt(a, "%s", row->why));
    sl_list_add(a, f->problems, one);
}

static void tell(sl_task *t, const inspect_cfg *c, const sl_csv_source *s, const sl_csv_column *columns, const sl_val *problems)
{
    sl_arena *a = sl_task_arena(t);
    sl_val *list = sl_list(a);
    sl_csv_table table = { columns, s->columns, &s->shape };
    for (size_t i = 0; i < s->columns; i++)
        sl_list_add(a, list, sl_csv_column_facts(a, &columns[i]));
    sl_task_out_int(t, "rows", s->rows);
    sl_task_out_int(t, "badRows", s->bad);
    sl_task_out_int(t, "bytes", s->bytes);
    sl_task_out(t, "dialect", sl_csv_shape_facts(a, &s->shape));
    sl_task_out(t, "columns", sl_val_copy(a, list));
    sl_task_out(t, "problems", problems);
    sl_task_out(t, "schemas", sl_val_copy(a, sl_csv_schemas(a, &table, c->table)));
    sl_task_counter(t, "rows", (double)s->rows);
    sl_task_counter(t, "bad.rows", (double)s->bad);
    sl_task_log(t, s->bad > 0 ? SL_WARN : SL_INFO, "%lld rows of %zu columns, %lld bad rows", (long long)s->rows, s->columns, (long long)s->bad);
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    const inspect_cfg *c = cfg;
    sl_csv_source s;
    sl_csv_column *columns;
    sl_val *problems = sl_list(sl_task_arena(t));
    findings found = { t, problems };
    bool ok = sl_csv_source_open(&s, t, &c->given, err) && sl_csv_source_look(&s, SL_S(""), &(sl_csv_listener){ &found, note }, &columns, err);
    if (ok) {
        tell(t, c, &s, columns, problems);
        if (c->bad_max >= 0 && s.bad > c->bad_max)
            ok = sl_err_set(err, SL_ERR_DATA, "csv.bad_rows", "the file has %lld bad rows, and 'maxBadRows' is %lld; the first is at line %lld: %.*s", (long long)s.bad, (long long)c->bad_max,
                            (long long)sl_get_int(sl_at(problems, 0), "line", 0), SL_ARG(sl_get_text(sl_at(problems, 0), "reason")));
    }
    sl_csv_source_close(&s);
    return ok ? SL_TASK_DONE : SL_TASK_FAILED;
}

const sl_task_type sl_csv_inspect = { .type = "io.sluice.csv.Inspect", .doc = "Says what is in a CSV file: dialect, columns with types and ranges, bad rows, schemas for the warehouses.", .cfg_size = sizeof(inspect_cfg), .opts = opts, .outs = outs, .run = run };
