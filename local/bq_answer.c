/* local/bq_answer.c: how answers look: rows as {f: [{v}]}, and DuckDB's errors in BigQuery's words. */
#include "base/arena.h"
#include "base/json.h"
#include "local/bq_work.h"

static sl_str cell_sql(sl_arena *a, const sl_val *f, bool int64_timestamp)
{
    sl_str name = sl_duck_ident(a, sl_get_text(f, "name")), type = sl_get_text(f, "type");
    if (sl_str_eqc(sl_get_text(f, "mode"), "REPEATED") || sl_str_eqc(type, "RECORD"))
        return sl_fmt(a, "CAST(to_json(%.*s) AS VARCHAR)", SL_ARG(name));
    if (sl_str_eqc(type, "TIMESTAMP"))
        return int64_timestamp ? sl_fmt(a, "CAST(epoch_us(%.*s) AS VARCHAR)", SL_ARG(name)) : sl_fmt(a, "CAST(epoch_us(%.*s) / 1000000.0 AS VARCHAR)", SL_ARG(name));
    if (sl_str_eqc(type, "DATETIME"))
        return sl_fmt(a, "replace(CAST(%.*s AS VARCHAR), ' ', 'T')", SL_ARG(name));
    if (sl_str_eqc(type, "BYTES"))
        return sl_fmt(a, "to_base64(%.*s)", SL_ARG(name));
    return sl_fmt(a, "sl_cell(%.*s)", SL_ARG(name));
}

static const sl_val *cell_json(sl_arena *a, const sl_val *f, const sl_val *v);

static const sl_val *record_json(sl_arena *a, const sl_val *fields, const sl_val *v)
{
    sl_val *row = sl_map(a), *cells = sl_list(a);
    for (size_t i = 0; i < sl_val_count(fields); i++) {
        const sl_val *one = sl_get_str(v, sl_get_text(sl_at(fields, i), "name"));
        sl_val *cell = sl_map(a);
        sl_map_setc(a, cell, "v", cell_json(a, sl_at(fields, i), one ? one : &sl_null_val));
        sl_list_add(a, cells, cell);
    }
    sl_map_setc(a, row, "f", cells);
    return row;
}

static const sl_val *cell_json(sl_arena *a, const sl_val *f, const sl_val *v)
{
    if (sl_str_eqc(sl_get_text(f, "mode"), "REPEATED") && v->type != SL_MAP) {
        sl_val *list = sl_list(a), *plain = sl_map_shallow(a, f);
        sl_map_set_str(a, plain, "mode", SL_S("NULLABLE"));
        for (size_t i = 0; i < sl_val_count(v); i++) {
            sl_val *cell = sl_map(a);
            sl_map_setc(a, cell, "v", cell_json(a, plain, sl_at(v, i)));
            sl_list_add(a, list, cell);
        }
        return list;
    }
    if (v->type == SL_NULL)
        return v;
    return sl_str_eqc(sl_get_text(f, "type"), "RECORD") ? record_json(a, sl_get(f, "fields"), v) : sl_val_str(a, sl_val_text(a, v));
}

bool bq_rows(sl_duck_con *k, sl_arena *a, sl_str from, const sl_val *fields, int64_t offset, int64_t limit, bool int64_timestamp, sl_val *rows, sl_err *err)
{
    sl_buf b = sl_buf_new(a, 16 << 20);
    const sl_val *texts;
    sl_buf_addc(&b, "SELECT ");
    for (size_t i = 0; i < sl_val_count(fields); i++)
        sl_buf_fmt(&b, "%s%.*s", i ? ", " : "", SL_ARG(cell_sql(a, sl_at(fields, i), int64_timestamp)));
    sl_buf_fmt(&b, " FROM %.*s LIMIT %lld OFFSET %lld", SL_ARG(from), (long long)limit, (long long)offset);
    if (!sl_duck_run(k, a, sl_buf_str(&b), &texts, NULL, err))
        return false;
    for (size_t i = 0; i < sl_val_count(texts); i++) {
        sl_val *row = sl_map(a), *cells = sl_list(a);
        for (size_t n = 0; n < sl_val_count(fields); n++) {
            const sl_val *f = sl_at(fields, n), *v = sl_at(sl_at(texts, i), n);
            bool nested = sl_str_eqc(sl_get_text(f, "mode"), "REPEATED") || sl_str_eqc(sl_get_text(f, "type"), "RECORD");
            sl_err ignored;
            if (nested) {
                const sl_val *doc = v->type == SL_STRING ? sl_json_parse(a, v->s, &ignored) : NULL;
                v = cell_json(a, f, doc ? doc : &sl_null_val);
            }
            sl_val *cell = sl_map(a);
            sl_map_setc(a, cell, "v", v);
            sl_list_add(a, cells, cell);
        }
        sl_map_setc(a, row, "f", cells);
        sl_list_add(a, rows, row);
    }
    return true;
}

/* ---- errors ---- */

static const sl_val *error_of(sl_arena *a, const char *reason, sl_str message, const char *location)
{
    sl_val *v = sl_map(a);
    sl_map_set_str(a, v, "reason", sl_str_c(reason));
    if (location != NULL)
        sl_map_set_str(a, v, "location", sl_str_c(location));
    sl_map_set_str(a, v, "message", message);
    return v;
}

/* What stands behind `label` in the message, to the end of that line. */
static sl_str line_behind(sl_str message, const char *label)
{
    ptrdiff_t at = sl_str_find(message, sl_str_c(label));
    sl_str rest = at < 0 ? SL_S("") : sl_str_sub(message, (size_t)at + strlen(label), message.n), line = rest;
    (void)sl_str_cut(&rest, '\n', &line);
    return sl_str_trim(line);
}

/* A row that could not be read: with its line, and the object that it is in. */
static const sl_val *csv_error(sl_cloud *c, sl_arena *a, sl_str m)
{
    sl_str line = line_behind(m, "Line: "), what = line_behind(m, "Error when converting"), uri = sl_gcs_uri_of(c, a, line_behind(m, "file = "));
    sl_str number = line.n ? line : SL_S("?"), detail = what.n ? sl_fmt(a, "Error when converting %.*s", SL_ARG(what)) : SL_S("the row does not fit the schema");
    sl_str text = sl_fmt(a, "Error while reading data, error message: CSV table encountered too many errors, giving up. Rows: %.*s; errors: 1. %.*s; line_number: %.*s%s%.*s", SL_ARG(number), SL_ARG(detail),
                         SL_ARG(number), uri.n ? " File: " : "", SL_ARG(uri));
    return error_of(a, "invalid", text, uri.n ? uri.p : NULL);
}

const sl_val *bq_error(sl_cloud *c, sl_arena *a, const sl_err *err)
{
    sl_str m = sl_str_c(err->message), first = m;
    ptrdiff_t line_end = sl_str_find(m, SL_S("\n"));
    if (line_end > 0)
        first = sl_str_sub(m, 0, (size_t)line_end);
    if (strcmp(err->code, "notFound") == 0 || strcmp(err->code, "invalid") == 0 || strcmp(err->code, "duplicate") == 0)
        return error_of(a, err->code, m, NULL);
    if (sl_str_find(m, SL_S("CSV Error on Line: ")) >= 0 || sl_str_find(m, SL_S("Error when converting column")) >= 0)
        return csv_error(c, a, m);
    if (sl_str_find(m, SL_S("does not exist")) >= 0 && sl_str_find(m, SL_S("Catalog Error: Table")) >= 0) {
        ptrdiff_t at = sl_str_find(m, SL_S("with name "));
        sl_str name = at >= 0 ? sl_str_sub(m, (size_t)at + 10, m.n) : m, only;
        (void)sl_str_cut(&name, ' ', &only);
        return error_of(a, "notFound", sl_fmt(a, "Not found: Table %.*s was not found", SL_ARG(only)), NULL);
    }
    if (sl_str_find(m, SL_S("Transaction conflict")) >= 0 || sl_str_find(m, SL_S("Conflict on ")) >= 0 || sl_str_find(m, SL_S("write-write conflict")) >= 0)
        return error_of(a, "invalidQuery", SL_S("Could not serialize access to table due to concurrent update"), NULL);
    if (sl_str_find(m, SL_S("string 'division by zero'")) >= 0) /* sl_divisor */
        return error_of(a, "invalidQuery", SL_S("division by zero"), "query");
    if (sl_str_find(m, SL_S("INTERRUPT")) >= 0)
        return error_of(a, "stopped", SL_S("Job execution was cancelled: User requested cancellation"), NULL);
    return error_of(a, "invalidQuery", first, "query");
}
