/*
 * local/bq_insert.c: tabledata.insertAll: rows as JSON, at once. Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll
 *
 * Rows whose insertId came in the last minutes are there already. One transaction; rows that are wrong are told one by one.
 */
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "local/bq_work.h"

enum { KEPT_MS = 10 * 60 * 1000 };

typedef struct insert {
    sl_cloud *c;
    sl_duck_con *k;
    sl_arena *a;
    const sl_val *ref, *fields, *rows;
    bool ignore_unknown, skip_invalid;
    sl_val *errors;               /* [{index, errors: [{reason, location, message}]}] */
    bool *bad;                    /* of each row */
} insert;

static void tell(insert *in, size_t i, const char *reason, sl_str location, sl_str message)
{
    sl_val *one = sl_map(in->a), *list = sl_list(in->a), *entry = sl_map(in->a);
    sl_map_set_str(in->a, one, "reason", sl_str_c(reason));
    sl_map_set_str(in->a, one, "location", location);
    sl_map_set_str(in->a, one, "message", message);
    sl_list_add(in->a, list, one);
    sl_map_set_int(in->a, entry, "index", (int64_t)i);
    sl_map_setc(in->a, entry, "errors", list);
    sl_list_add(in->a, in->errors, entry);
    in->bad[i] = true;
}

static bool has(const sl_val *fields, sl_str name)
{
    for (size_t i = 0; i < sl_val_count(fields); i++)
        if (sl_str_ieq(sl_get_text(sl_at(fields, i), "name"), name))
            return true;
    return false;
}

/* What can be said of a row without its values. */
static void check_names(insert *in, size_t i, const sl_val *row)
{
    if (!sl_is(row, SL_MAP)) {
        tell(in, i, "invalid", SL_S(""), SL_S("the row has no 'json'"));
        return;
    }
    for (size_t k = 0; k < sl_val_count(row) && !in->ignore_unknown && !in->bad[i]; k++)
        if (!has(in->fields, row->map.entries[k].key))
            tell(in, i, "invalid", row->map.entries[k].key, sl_fmt(in->a, "no such field: %.*s.", SL_ARG(row->map.entries[k].key)));
    for (size_t k = 0; k < sl_val_count(in->fields) && !in->bad[i]; k++) {
        const sl_val *field = sl_at(in->fields, k);
        sl_str name = sl_get_text(field, "name");
        const sl_val *value = sl_get(row, sl_cstr(in->a, name));
        if (sl_str_eqc(sl_get_text(field, "mode"), "REQUIRED") && (value == NULL || sl_is(value, SL_NULL)))
            tell(in, i, "invalid", name, sl_fmt(in->a, "Missing required field: %.*s.", SL_ARG(name)));
    }
}

/* Rows [from, to) that are good, through the reader of JSON files, which stands behind the SQL `before`. */
static bool through_reader(insert *in, size_t from, size_t to, const char *before, sl_err *err)
{
    sl_buf text = sl_buf_new(in->a, 256 << 20);
    sl_str blob = sl_gcs_new_blob(in->c, in->a), path = sl_gcs_blob_path(in->c, in->a, blob), reader;
    for (size_t i = from; i < to; i++)
        if (!in->bad[i])
            sl_buf_fmt(&text, "%.*s\n", SL_ARG(sl_json(in->a, sl_get(sl_at(in->rows, i), "json"))));
    if (text.n == 0)
        return true;
    sl_val *config = sl_map_of(in->a, "x-upload", sl_val_str(in->a, blob));
    sl_map_set_str(in->a, config, "sourceFormat", SL_S("NEWLINE_DELIMITED_JSON"));
    bool ok = sl_fs_write_atomic(path.p, sl_buf_str(&text), 0600, err) && bq_reader_sql(in->c, in->a, config, in->fields, &reader, err)
              && sl_duck_run(in->k, in->a, sl_fmt(in->a, "%s %.*s", before, SL_ARG(reader)), NULL, NULL, err);
    (void)unlink(path.p);
    return ok;
}

/* Rows that have come before are passed over; the others' ids are kept. */
static bool keep_ids(insert *in, sl_err *err)
{
    sl_arena *a = in->a;
    sl_str table = sl_duck_text(a, bq_table_sql(a, in->ref));
    if (!sl_duck_run(in->k, a, sl_fmt(a, "DELETE FROM _sl.inserted WHERE made < %lld", (long long)(sl_now_ms() - KEPT_MS)), NULL, NULL, err))
        return false;
    for (size_t i = 0; i < sl_val_count(in->rows); i++) {
        const sl_val *known;
        sl_str id = sl_get_text(sl_at(in->rows, i), "insertId");
        if (id.n == 0 || in->bad[i])
            continue;
        sl_str text = sl_duck_text(a, id);
        if (!sl_duck_run(in->k, a, sl_fmt(a, "SELECT 1 FROM _sl.inserted WHERE tab = %.*s AND id = %.*s", SL_ARG(table), SL_ARG(text)), &known, NULL, err))
            return false;
        in->bad[i] = sl_val_count(known) > 0;
        if (!in->bad[i] && !sl_duck_run(in->k, a, sl_fmt(a, "INSERT INTO _sl.inserted VALUES (%.*s, %.*s, %lld)", SL_ARG(table), SL_ARG(text), (long long)sl_now_ms()), NULL, NULL, err))
            return false;
    }
    return true;
}

/* true: all rows that are not bad are there. */
static bool write_rows(insert *in, sl_err *err)
{
    const char *into = sl_fmt(in->a, "INSERT INTO %.*s BY NAME SELECT * FROM", SL_ARG(bq_table_sql(in->a, in->ref))).p;
    bool *bad = in->bad, ok = false;
    size_t n = sl_val_count(in->rows);
    for (int tries = 0; !ok && tries < BQ_TRIES; tries++) {
        sl_err ignored;
        in->bad = SL_ARRAY(in->a, bool, n + 1);
        memcpy(in->bad, bad, n * sizeof *bad);
        sl_err_clear(err);
        ok = sl_duck_exec(in->k, "BEGIN TRANSACTION", err) && keep_ids(in, err) && through_reader(in, 0, n, into, err) && sl_duck_exec(in->k, "COMMIT", err);
        if (!ok)
            (void)sl_duck_exec(in->k, "ROLLBACK", &ignored);
        if (!ok && !bq_is_conflict(err))
            break;
        if (!ok)
            bq_pause(tries + 1);
    }
    in->bad = bad;
    return ok;
}

/* Which of the rows cannot be read as they are? */
static void find_bad(insert *in)
{
    for (size_t i = 0; i < sl_val_count(in->rows); i++) {
        sl_err err;
        sl_err_clear(&err);
        if (!in->bad[i] && !through_reader(in, i, i + 1, "CREATE OR REPLACE TEMP TABLE sl_row AS SELECT * FROM", &err)) {
            /* … in file "…", in line 1: what it is. */
            sl_str said = sl_str_c(err.message), place = SL_S("in line 1: ");
            ptrdiff_t at = sl_str_find(said, place), end = sl_str_find(said, SL_S("\n"));
            tell(in, i, "invalid", SL_S(""), sl_str_sub(said, at > 0 ? (size_t)at + place.n : 0, end > 0 ? (size_t)end : said.n));
        }
    }
}

static void insert_rows(insert *in, sl_server_request *req, sl_server_response *resp)
{
    sl_err err;
    size_t n = sl_val_count(in->rows), given;
    in->bad = SL_ARRAY(in->a, bool, n + 1);
    in->errors = sl_list(in->a);
    for (size_t i = 0; i < n; i++)
        check_names(in, i, sl_get(sl_at(in->rows, i), "json"));
    given = in->errors->list.n;
    bool ok = (given > 0 && !in->skip_invalid) || write_rows(in, &err);
    if (!ok) {
        find_bad(in);
        ok = in->errors->list.n > given && (!in->skip_invalid || write_rows(in, &err));
    }
    if (!ok) {
        sl_cloud_refuse(req, resp, 400, "invalid", "%s", err.message);
        return;
    }
    for (size_t i = 0; i < n && in->errors->list.n > 0 && !in->skip_invalid; i++)
        if (!in->bad[i])
            tell(in, i, "stopped", SL_S(""), SL_S(""));
    sl_val *doc = sl_map(in->a);
    sl_map_set_str(in->a, doc, "kind", SL_S("bigquery#tableDataInsertAllResponse"));
    if (in->errors->list.n > 0)
        sl_map_setc(in->a, doc, "insertErrors", in->errors);
    sl_respond_json(req, resp, 200, doc);
}

void bq_insert_all(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_err err;
    insert in = { .c = self, .a = req->arena };
    sl_str project = req->segments[3], dataset = req->segments[5], table = req->segments[7];
    if (!sl_cloud_authorized(in.c, req, resp))
        return;
    const sl_val *body = sl_json_parse(req->arena, req->body, &err);
    in.rows = sl_get(body, "rows");
    in.skip_invalid = sl_get_bool(body, "skipInvalidRows", false);
    in.ignore_unknown = sl_get_bool(body, "ignoreUnknownValues", false);
    if (!sl_is(in.rows, SL_LIST) || sl_get_text(body, "templateSuffix").n > 0) {
        sl_cloud_refuse(req, resp, 400, "invalid", sl_is(in.rows, SL_LIST) ? "templateSuffix is not supported by the local cloud" : "No rows present in the request.");
        return;
    }
    in.k = bq_connect(in.c, &err);
    if (in.k == NULL) {
        sl_cloud_refuse(req, resp, 500, "internalError", "%s", err.message);
        return;
    }
    const sl_val *t = bq_table(in.c, in.k, in.a, project, dataset, table, false);
    in.fields = sl_get(sl_get(t, "schema"), "fields");
    in.ref = sl_get(t, "tableReference");
    if (t == NULL)
        sl_cloud_refuse(req, resp, 404, "notFound", "Not found: Table %.*s:%.*s.%.*s", SL_ARG(project), SL_ARG(dataset), SL_ARG(table));
    else if (!sl_str_eqc(sl_get_text(t, "type"), "TABLE"))
        sl_cloud_refuse(req, resp, 400, "invalid", "Cannot add rows to a table of type %.*s.", SL_ARG(sl_get_text(t, "type")));
    else
        insert_rows(&in, req, resp);
    sl_duck_disconnect(in.k);
}
