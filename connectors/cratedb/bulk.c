/*
 * connectors/cratedb/bulk.c: io.sluice.cratedb.Bulk: records of a file as rows of a table, many in one request.
 *
 * Each row's fate is in the answer and looked at. {records, doubt} is on disk before and after each request: rows that may be there
 * already are sent again only where 'onConflict' makes that harmless.
 */
#include "base/arena.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/sql.h"
#include "connectors/cratedb/cratedb.h"
#include "connectors/records.h"

enum { CHUNK_MAX = 100000, CHUNK_BYTES = 8 << 20 };

typedef struct bulk_cfg {
    sl_crate_cfg crate;
    sl_str from, table, on_conflict;
    const sl_val *columns, *keys;
    int64_t chunk;
    bool replace, refresh;
} bulk_cfg;

static const sl_opt opts[] = {
    SL_CRATE_OPTS(bulk_cfg),
    { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(bulk_cfg, from), .flags = SL_REQUIRED, .doc = "A stored file of records (Ion, or JSON lines)." },
    { .name = "table", .type = SL_OPT_STR, .offset = SL_FIELD(bulk_cfg, table), .flags = SL_REQUIRED, .doc = "The table, as SQL names it." },
    { .name = "columns", .type = SL_OPT_STRS, .offset = SL_FIELD(bulk_cfg, columns), .doc = "Keys of the records that are columns; else all of the first record." },
    { .name = "onConflict", .type = SL_OPT_ENUM, .offset = SL_FIELD(bulk_cfg, on_conflict), .values = "ERROR IGNORE UPDATE", .fallback = "ERROR", .doc = "When there is a row with the same primary key." },
    { .name = "keys", .type = SL_OPT_STRS, .offset = SL_FIELD(bulk_cfg, keys), .doc = "onConflict UPDATE: the columns of the primary key." },
    { .name = "replace", .type = SL_OPT_BOOL, .offset = SL_FIELD(bulk_cfg, replace), .doc = "The rows that are there are deleted first." },
    { .name = "refresh", .type = SL_OPT_BOOL, .offset = SL_FIELD(bulk_cfg, refresh), .fallback = "true", .doc = "At the end, so that the rows are seen at once." },
    { .name = "chunk", .type = SL_OPT_INT, .offset = SL_FIELD(bulk_cfg, chunk), .fallback = "5000", .doc = "Rows of one request; 8 MiB of values make one, too." },
    { 0 },
};
static const sl_opt outs[] = { { .name = "rowCount", .type = SL_OPT_INT, .doc = "Records." }, { .name = "changedCount", .type = SL_OPT_INT, .doc = "Rows that were written; those that were there and ignored do not count." }, { 0 } };

typedef struct bulk {
    sl_crate crate;
    sl_task *t;
    sl_arena *arena;
    const bulk_cfg *c;
    sl_records in;
    const sl_val *columns;
    sl_str statement;
    int64_t done, changed;        /* records that are through; rows written */
} bulk;

/* ---- the statement ---- */

static const sl_val *keys_of(sl_arena *a, const sl_val *record)
{
    sl_val *list = sl_list(a);
    for (size_t i = 0; sl_is(record, SL_MAP) && i < record->map.n; i++)
        sl_list_add(a, list, sl_val_str(a, sl_str_dup(a, record->map.entries[i].key)));
    return list;
}

static bool listed(const sl_val *list, sl_str name)
{
    for (size_t i = 0; i < sl_val_count(list); i++)
        if (sl_str_eq(sl_text(sl_at(list, i)), name))
            return true;
    return false;
}

static void add_names(sl_arena *a, sl_buf *b, const sl_val *list)
{
    for (size_t i = 0; i < sl_val_count(list); i++) {
        sl_str name = sl_sql_name(a, sl_text(sl_at(list, i)));
        sl_buf_fmt(b, "%s%.*s", i ? ", " : "", SL_ARG(name));
    }
}

static sl_str insert(bulk *k)
{
    sl_arena *a = k->arena;
    sl_buf b = sl_buf_new(a, 1 << 20);
    size_t set = 0;
    sl_buf_fmt(&b, "INSERT INTO %.*s (", SL_ARG(k->c->table));
    add_names(a, &b, k->columns);
    sl_buf_addc(&b, ") VALUES (");
    for (size_t i = 0; i < sl_val_count(k->columns); i++)
        sl_buf_addc(&b, i ? ", ?" : "?");
    sl_buf_char(&b, ')');
    if (sl_str_eqc(k->c->on_conflict, "IGNORE"))
        sl_buf_addc(&b, " ON CONFLICT DO NOTHING");
    if (sl_str_eqc(k->c->on_conflict, "UPDATE")) {
        sl_buf_addc(&b, " ON CONFLICT (");
        add_names(a, &b, k->c->keys);
        sl_buf_addc(&b, ") DO UPDATE SET ");
        for (size_t i = 0; i < sl_val_count(k->columns); i++) {
            sl_str name = sl_text(sl_at(k->columns, i)), quoted = sl_sql_name(a, name);
            if (!listed(k->c->keys, name))
                sl_buf_fmt(&b, "%s%.*s = excluded.%.*s", set++ ? ", " : "", SL_ARG(quoted), SL_ARG(quoted));
        }
    }
    return sl_buf_str(&b);
}

static bool check(const bulk *k, sl_err *err)
{
    bool update = sl_str_eqc(k->c->on_conflict, "UPDATE");
    size_t others = 0;
    for (size_t i = 0; i < sl_val_count(k->columns); i++)
        others += !listed(k->c->keys, sl_text(sl_at(k->columns, i)));
    if (update && (sl_val_count(k->c->keys) == 0 || others == 0))
        return sl_err_set(err, SL_ERR_CONFIG, "cratedb.keys", "onConflict: UPDATE needs 'keys', the columns of the primary key, and others to update");
    return true;
}

/* ---- chunks ---- */

static bool remember(bulk *k, bool doubt, sl_err *err)
{
    sl_val *doc = sl_map(k->arena);
    sl_map_set_int(k->arena, doc, "records", k->done);
    sl_map_set_int(k->arena, doc, "changed", k->changed);
    sl_map_set_bool(k->arena, doc, "doubt", doubt);
    sl_map_opt(k->arena, doc, "columns", k->columns);
    return sl_task_checkpoint(k->t, doc, err);
}

static const sl_val *row_of(sl_arena *a, const bulk *k, const sl_val *record)
{
    sl_val *row = sl_list(a);
    for (size_t i = 0; i < sl_val_count(k->columns); i++) {
        const sl_val *v = sl_is(record, SL_LIST) ? sl_at(record, i) : sl_get_str(record, sl_text(sl_at(k->columns, i)));
        sl_list_add(a, row, v == NULL ? &sl_null_val : v->type == SL_TIME || v->type == SL_DURATION ? sl_val_str(a, sl_val_text(a, v)) : v);
    }
    return row;
}

/* HTTP 200 says nothing of a single row. */
static bool look_at(bulk *k, const sl_val *results, size_t sent, sl_err *err)
{
    if (sl_val_count(results) != sent)
        return sl_err_set(err, SL_ERR_DATA, "cratedb.bulk", "CrateDB answered for %zu rows where %zu were sent", sl_val_count(results), sent);
    int64_t failed = 0, first = 0;
    sl_str why = SL_S("");
    for (size_t i = 0; i < sent; i++) {
        int64_t n = sl_get_int(sl_at(results, i), "rowcount", -2);
        k->changed += n > 0 ? n : 0;
        if (n < 0 && failed++ == 0) {
            first = k->done + (int64_t)i + 1;
            why = sl_get_text(sl_get(sl_at(results, i), "error"), "message");
        }
    }
    return failed == 0 || sl_err_set(err, SL_ERR_DATA, "cratedb.rows", "CrateDB refused %lld of %zu rows, the first is record %lld of the file: %.*s; the others are there", (long long)failed, sent, (long long)first, SL_ARG(why.n ? why : SL_S("it does not say why")));
}

static bool send_chunk(bulk *k, sl_arena *a, const sl_val *rows, sl_err *err)
{
    const sl_val *answer;
    if (sl_val_count(rows) == 0)
        return true;
    if (!remember(k, true, err) || !SL_FAULT("cratedb.before_bulk", err) || !sl_crate_call(&k->crate, a, k->statement, NULL, rows, &answer, err) || !SL_FAULT("cratedb.after_bulk", err) || !look_at(k, sl_get(answer, "results"), sl_val_count(rows), err))
        return false;
    k->done += (int64_t)sl_val_count(rows);
    sl_task_progress(k->t, k->done, -1);
    return remember(k, false, err);
}

static bool prepare(bulk *k, const sl_val *first, sl_err *err)
{
    if (k->columns == NULL)
        k->columns = sl_val_count(k->c->columns) > 0 ? k->c->columns : keys_of(k->arena, first);
    if (sl_val_count(k->columns) == 0)
        return sl_err_set(err, SL_ERR_DATA, "cratedb.columns", "the first record is no map, so 'columns' must name the columns");
    k->statement = insert(k);
    return check(k, err);
}

/* One chunk from the file. *more: there may be others behind it. */
static bool one_chunk(bulk *k, bool *more, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_val *rows = sl_list(a);
    size_t bytes = 0;
    int got = 1;
    while (sl_val_count(rows) < (size_t)k->c->chunk && bytes < CHUNK_BYTES) {
        const sl_val *record;
        if ((got = sl_records_next(&k->in, a, &record, err)) != 1)
            break;
        if (k->statement.n == 0 && !prepare(k, record, err))
            return false;
        const sl_val *row = row_of(a, k, record);
        bytes += sl_json(a, row).n;
        sl_list_add(a, rows, row);
    }
    *more = got == 1;
    return got >= 0 && send_chunk(k, a, rows, err);
}

static bool resume(bulk *k, sl_err *err)
{
    const sl_val *saved = sl_task_saved(k->t), *answer;
    k->done = sl_get_int(saved, "records", 0);
    k->changed = sl_get_int(saved, "changed", 0);
    k->columns = sl_get(saved, "columns");
    if (sl_get_bool(saved, "doubt", false) && sl_str_eqc(k->c->on_conflict, "ERROR"))
        return sl_err_set(err, SL_ERR_REMOTE, "cratedb.doubt", "the process was interrupted while rows behind record %lld were sent, and CrateDB cannot tell whether they are there; with onConflict IGNORE or UPDATE they could be sent again: look, and restart the execution", (long long)k->done);
    if (saved == NULL && k->c->replace) /* twice deletes nothing more: no row is there yet */
        return sl_crate_call(&k->crate, k->arena, sl_fmt(k->arena, "DELETE FROM %.*s", SL_ARG(k->c->table)), NULL, NULL, &answer, err);
    return true;
}

static bool work(bulk *k, sl_err *err)
{
    const sl_val *answer;
    bool more = true;
    if (k->c->chunk < 1 || k->c->chunk > CHUNK_MAX)
        return sl_err_set(err, SL_ERR_CONFIG, "cratedb.chunk", "'chunk' must be from 1 to %d", CHUNK_MAX);
    if (!resume(k, err) || !sl_records_open(&k->in, k->t, k->c->from, err))
        return false;
    bool ok = sl_records_skip(&k->in, k->done, err);
    while (ok && more) {
        ok = !sl_task_cancelled(k->t) || sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped on request");
        ok = ok && one_chunk(k, &more, err);
    }
    sl_records_close(&k->in);
    return ok && (!k->c->refresh || sl_crate_call(&k->crate, k->arena, sl_fmt(k->arena, "REFRESH TABLE %.*s", SL_ARG(k->c->table)), NULL, NULL, &answer, err));
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    bulk k = { .t = t, .arena = sl_task_arena(t), .c = cfg };
    if (!sl_crate_open(&k.crate, t, &k.c->crate, err) || !work(&k, err))
        return SL_TASK_FAILED;
    sl_task_out_int(t, "rowCount", k.done);
    sl_task_out_int(t, "changedCount", k.changed);
    sl_task_counter(t, "records", (double)k.done);
    sl_task_log(t, SL_INFO, "%lld records are in %.*s", (long long)k.done, SL_ARG(k.c->table));
    return SL_TASK_DONE;
}

const sl_task_type sl_crate_bulk = { .type = "io.sluice.cratedb.Bulk", .doc = "Writes the records of a file into a table of CrateDB.", .cfg_size = sizeof(bulk_cfg), .opts = opts, .outs = outs, .run = run };
