/*
 * connectors/postgres/load.c: io.sluice.postgres.Load: a CSV file into a table of PostgreSQL, in one transaction.
 *
 * The file is read once (twice where the table is to be made of it). Its fields become values here, and go over in COPY's binary
 * format: straight into the table where rows are added, through a temporary table where they are merged by key, or where a column
 * has a type that the server has to read.
 */
#include "base/arena.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/sql.h"
#include "connectors/csv/schema.h"
#include "connectors/csv/source.h"
#include "db/pg_binary.h"
#include "connectors/postgres/pg.h"

enum { FATE_POLL_MS = 500, TEXT_OID = 25, CANCEL_EVERY = 4096, ROW_MAX = 256 << 20 };

typedef struct load_cfg {
    sl_pg_cfg pg;
    sl_csv_given given;
    sl_str table, mode, null_text;
    const sl_val *keys;
    bool create;
} load_cfg;

static const sl_opt opts[] = {
    SL_PG_OPTS(load_cfg),
    SL_PG_SSL_OPTS(load_cfg),
    SL_CSV_GIVEN_OPTS(load_cfg),
    { .name = "table", .type = SL_OPT_STR, .offset = SL_FIELD(load_cfg, table), .flags = SL_REQUIRED, .doc = "The table, as SQL names it." },
    { .name = "mode", .type = SL_OPT_ENUM, .offset = SL_FIELD(load_cfg, mode), .values = "APPEND REPLACE MERGE", .doc = "What becomes of rows that are there; MERGE (with keys the default): those of the same keys are updated." },
    { .name = "keys", .type = SL_OPT_STRS, .offset = SL_FIELD(load_cfg, keys), .doc = "Columns of the file that say whether a row is there." },
    { .name = "createTable", .type = SL_OPT_BOOL, .offset = SL_FIELD(load_cfg, create), .fallback = "true", .doc = "A table that is not there is made, with the types that the whole file has." },
    { .name = "nullString", .type = SL_OPT_STR, .offset = SL_FIELD(load_cfg, null_text), .fallback = "", .doc = "What stands for null; else an empty field." },
    { 0 },
};
static const sl_opt outs[] = {
    { .name = "rowCount", .type = SL_OPT_INT, .doc = "Rows of the file." },
    { .name = "inserted", .type = SL_OPT_INT, .doc = "Rows that are new in the table." },
    { .name = "updated", .type = SL_OPT_INT, .doc = "MERGE: rows that were there." },
    { .name = "created", .type = SL_OPT_BOOL, .doc = "The table was made." },
    { 0 },
};

typedef struct column {
    sl_str name;                  /* as SQL has it, quoted */
    sl_str header;                /* of the file */
    sl_str type;                  /* of the table */
    unsigned oid;                 /* in which the values go over */
} column;

typedef struct load {
    sl_task *task;
    sl_arena *a;
    const load_cfg *c;
    sl_pg p;
    sl_csv_source csv;
    column *columns;
    bool merge, created, direct;
    int64_t rows, inserted, updated;
    sl_buf out;
} load;

/* ---- the table ---- */

/* One look at all of the file: one odd value makes a text of its column. */
static bool create_table(load *l, sl_err *err)
{
    sl_csv_source s;
    sl_csv_column *columns;
    sl_buf b = sl_buf_new(l->a, 4 << 20);
    bool ok = sl_csv_source_open(&s, l->task, &l->c->given, err) && sl_csv_source_look(&s, l->c->null_text, NULL, &columns, err);
    if (ok) {
        sl_buf_fmt(&b, "CREATE TABLE %.*s (", SL_ARG(l->c->table));
        for (size_t i = 0; i < s.columns; i++) {
            sl_str name = sl_sql_name(l->a, s.names[i]), type = sl_csv_postgres_type(l->a, &columns[i]);
            sl_buf_fmt(&b, "%s%.*s %.*s", i ? ", " : "", SL_ARG(name), SL_ARG(type));
        }
        for (size_t i = 0; i < sl_val_count(l->c->keys); i++) {
            sl_str name = sl_sql_name(l->a, sl_text(sl_at(l->c->keys, i)));
            sl_buf_fmt(&b, "%s%.*s", i ? ", " : ", PRIMARY KEY (", SL_ARG(name));
        }
        sl_buf_addc(&b, sl_val_count(l->c->keys) > 0 ? "))" : ")");
    }
    sl_csv_source_close(&s);
    if (!ok)
        return false;
    l->created = true;
    sl_task_log(l->task, SL_INFO, "%.*s", SL_ARG(sl_buf_str(&b)));
    return sl_pg_run(&l->p, sl_buf_str(&b).p, err);
}

/* The table's columns: [[name, oid, type]] */
static bool table_columns(load *l, const sl_val **ret, sl_err *err)
{
    sl_str text;
    const char *table = sl_cstr(l->a, l->c->table);
    if (!sl_pg_scalar(&l->p,
                      "SELECT coalesce(json_agg(json_build_array(attname, atttypid::bigint, format_type(atttypid, atttypmod)) ORDER BY attnum), '[]') FROM pg_attribute"
                      " WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
                      table, &text, err))
        return false;
    *ret = sl_json_parse(l->a, text, err);
    return *ret != NULL;
}

static const sl_val *find_column(const sl_val *list, sl_str name)
{
    for (int exact = 1; exact >= 0; exact--)
        for (size_t i = 0; i < sl_val_count(list); i++) {
            sl_str own = sl_text(sl_at(sl_at(list, i), 0));
            if (exact ? sl_str_eq(own, name) : sl_str_ieq(own, name))
                return sl_at(list, i);
        }
    return NULL;
}

static bool match_columns(load *l, const sl_val *list, sl_err *err)
{
    l->columns = SL_ARRAY(l->a, column, l->csv.columns);
    l->direct = !l->merge;
    if (!l->csv.shape.header && l->csv.columns != sl_val_count(list))
        return sl_err_set(err, SL_ERR_DATA, "pg.columns", "the file has no header and %zu columns, the table %.*s has %zu", l->csv.columns, SL_ARG(l->c->table), sl_val_count(list));
    for (size_t i = 0; i < l->csv.columns; i++) {
        const sl_val *found = l->csv.shape.header ? find_column(list, l->csv.names[i]) : sl_at(list, i);
        if (found == NULL)
            return sl_err_set(err, SL_ERR_DATA, "pg.columns", "the table %.*s has no column '%.*s', which the file has; add it, or leave it out of the file", SL_ARG(l->c->table), SL_ARG(l->csv.names[i]));
        unsigned oid = (unsigned)sl_at(found, 1)->i;
        bool known = sl_pg_binary_knows(oid);
        l->columns[i] = (column){ sl_sql_name(l->a, sl_text(sl_at(found, 0))), sl_str_dup(l->a, l->csv.names[i]), sl_text(sl_at(found, 2)), known ? oid : TEXT_OID };
        l->direct &= known;
    }
    return true;
}

static bool prepare_table(load *l, sl_err *err)
{
    sl_str there;
    const sl_val *list;
    if (!sl_pg_scalar(&l->p, "SELECT to_regclass($1)::text", sl_cstr(l->a, l->c->table), &there, err))
        return false;
    if (there.n == 0 && !l->c->create)
        return sl_err_set(err, SL_ERR_NOT_FOUND, "pg.table", "there is no table %.*s (and 'createTable' is false)", SL_ARG(l->c->table));
    if (there.n == 0 && !create_table(l, err))
        return false;
    return table_columns(l, &list, err) && sl_csv_source_open(&l->csv, l->task, &l->c->given, err) && match_columns(l, list, err);
}

/* ---- the rows ---- */

static bool add_row(load *l, const sl_csv_row *row, sl_err *err)
{
    if (row->why != NULL)
        return sl_err_set(err, SL_ERR_DATA, "pg.row", "line %lld of the file: %s", (long long)row->line, row->why);
    sl_pg_binary_row(&l->out, l->csv.columns);
    for (size_t i = 0; i < l->csv.columns; i++) {
        sl_str field = row->fields[i];
        if (sl_str_eq(field, l->c->null_text))
            sl_pg_binary_null(&l->out);
        else if (!sl_pg_binary_add(&l->out, l->columns[i].oid, field))
            return sl_err_set(err, SL_ERR_DATA, "pg.value", "line %lld of the file, column '%.*s': '%.*s' is no %.*s", (long long)row->line, SL_ARG(l->columns[i].header), SL_ARG(sl_str_sub(field, 0, 100)),
                              SL_ARG(l->columns[i].type));
    }
    return !l->out.overflow || sl_err_set(err, SL_ERR_LIMIT, "pg.row", "the row at line %lld of the file is larger than %d MiB", (long long)row->line, ROW_MAX >> 20);
}

static bool send_rows(load *l, bool *refused, sl_err *err)
{
    sl_csv_row row;
    int got;
    sl_pg_binary_begin(&l->out);
    while ((got = sl_csv_source_next(&l->csv, &row, err)) == 1) {
        if (!add_row(l, &row, err))
            return false;
        l->rows++;
        if (l->rows % CANCEL_EVERY == 0 && sl_task_cancelled(l->task))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while loading");
        if (l->out.n < SL_IO_BLOCK)
            continue;
        if (!sl_pg_copy_send(&l->p, sl_buf_str(&l->out), refused, err))
            return false;
        if (*refused)
            return true;
        l->out.n = 0;
        sl_task_progress(l->task, l->csv.bytes, -1);
    }
    sl_pg_binary_end(&l->out);
    return got == 0 && sl_pg_copy_send(&l->p, sl_buf_str(&l->out), refused, err);
}

static sl_str names(load *l, const char *before, bool cast)
{
    sl_buf b = sl_buf_new(l->a, 4 << 20);
    for (size_t i = 0; i < l->csv.columns; i++) {
        const column *c = &l->columns[i];
        sl_buf_fmt(&b, "%s%s%.*s", i ? ", " : "", before, SL_ARG(c->name));
        if (cast && c->oid == TEXT_OID)
            sl_buf_fmt(&b, "::%.*s", SL_ARG(c->type));
    }
    return sl_buf_str(&b);
}

static bool copy_rows(load *l, sl_err *err)
{
    bool refused = false;
    sl_err ignored;
    int64_t rows;
    sl_str into = l->direct ? l->c->table : SL_S("pg_temp.sl_load");
    sl_str sql = sl_fmt(l->a, "COPY %.*s (%.*s) FROM STDIN WITH (FORMAT binary)", SL_ARG(into), SL_ARG(names(l, "", false)));
    l->out = sl_buf_new(l->a, ROW_MAX);
    if (!sl_pg_copy_begin(&l->p, sql, err))
        return false;
    if (!send_rows(l, &refused, err)) {
        (void)PQputCopyEnd(l->p.conn, "stopped");
        (void)sl_pg_copy_end(&l->p, &rows, &ignored);
        return false;
    }
    (void)PQputCopyEnd(l->p.conn, NULL);
    return sl_pg_copy_end(&l->p, &rows, err);
}

/* ---- merging ---- */

static bool make_staging(load *l, sl_err *err)
{
    sl_buf b = sl_buf_new(l->a, 4 << 20);
    sl_buf_addc(&b, "CREATE TEMPORARY TABLE sl_load (");
    for (size_t i = 0; i < l->csv.columns; i++)
        sl_buf_fmt(&b, "%s%.*s %.*s", i ? ", " : "", SL_ARG(l->columns[i].name), SL_ARG(l->columns[i].oid == TEXT_OID ? SL_S("text") : l->columns[i].type));
    sl_buf_addc(&b, ") ON COMMIT DROP");
    return sl_pg_run(&l->p, sl_buf_str(&b).p, err);
}

/* Column i of the file: is it a key? */
static bool is_key(const load *l, size_t i)
{
    for (size_t k = 0; k < sl_val_count(l->c->keys); k++)
        if (sl_str_ieq(sl_text(sl_at(l->c->keys, k)), l->columns[i].header))
            return true;
    return false;
}

static bool check_keys(load *l, sl_err *err)
{
    for (size_t k = 0; k < sl_val_count(l->c->keys); k++) {
        bool found = false;
        for (size_t i = 0; i < l->csv.columns; i++)
            found |= sl_str_ieq(sl_text(sl_at(l->c->keys, k)), l->columns[i].header);
        if (!found)
            return sl_err_set(err, SL_ERR_CONFIG, "pg.keys", "the file has no column '%.*s', which is one of 'keys'", SL_ARG(sl_text(sl_at(l->c->keys, k))));
    }
    return true;
}

/* Same keys: t.a = s.a AND … */
static sl_str matching(load *l)
{
    sl_buf b = sl_buf_new(l->a, 1 << 20);
    for (size_t i = 0; i < l->csv.columns; i++)
        if (is_key(l, i)) {
            sl_str cast = l->columns[i].oid == TEXT_OID ? sl_fmt(l->a, "::%.*s", SL_ARG(l->columns[i].type)) : SL_S("");
            sl_buf_fmt(&b, "%st.%.*s = s.%.*s%.*s", b.n ? " AND " : "", SL_ARG(l->columns[i].name), SL_ARG(l->columns[i].name), SL_ARG(cast));
        }
    return sl_buf_str(&b);
}

/* Two rows of one key: which of them is right, nobody can tell. */
static bool check_unique(load *l, sl_err *err)
{
    sl_buf list = sl_buf_new(l->a, 1 << 20);
    sl_str twice;
    for (size_t i = 0; i < l->csv.columns; i++)
        if (is_key(l, i))
            sl_buf_fmt(&list, "%s%.*s", list.n ? ", " : "", SL_ARG(l->columns[i].name));
    sl_str by = sl_buf_str(&list), sql = sl_fmt(l->a, "SELECT concat_ws(', ', %.*s) FROM pg_temp.sl_load GROUP BY %.*s HAVING count(*) > 1 LIMIT 1", SL_ARG(by), SL_ARG(by));
    if (!sl_pg_scalar(&l->p, sql.p, NULL, &twice, err))
        return false;
    return twice.n == 0 || sl_err_set(err, SL_ERR_DATA, "pg.keys", "the file has several rows with the key '%.*s' (%.*s), so that it is not clear which to keep", SL_ARG(twice), SL_ARG(by));
}

static bool change(load *l, sl_str sql, int64_t *count, sl_err *err)
{
    l->p.affected = 0;
    bool ok = sl_pg_exec(&l->p, sql, NULL, SIZE_MAX, NULL, NULL, err);
    *count = l->p.affected;
    return ok;
}

static bool merge_rows(load *l, sl_err *err)
{
    sl_str match = matching(l), table = l->c->table;
    sl_buf set = sl_buf_new(l->a, 4 << 20);
    for (size_t i = 0; i < l->csv.columns; i++)
        if (!is_key(l, i)) {
            const column *c = &l->columns[i];
            sl_str cast = c->oid == TEXT_OID ? sl_fmt(l->a, "::%.*s", SL_ARG(c->type)) : SL_S("");
            sl_buf_fmt(&set, "%s%.*s = s.%.*s%.*s", set.n ? ", " : "", SL_ARG(c->name), SL_ARG(c->name), SL_ARG(cast));
        }
    if (!check_unique(l, err) || !sl_pg_run(&l->p, "ANALYZE pg_temp.sl_load", err))
        return false;
    if (set.n > 0 && !change(l, sl_fmt(l->a, "UPDATE %.*s AS t SET %.*s FROM pg_temp.sl_load s WHERE %.*s", SL_ARG(table), SL_ARG(sl_buf_str(&set)), SL_ARG(match)), &l->updated, err))
        return false;
    return change(l, sl_fmt(l->a, "INSERT INTO %.*s (%.*s) SELECT %.*s FROM pg_temp.sl_load s WHERE NOT EXISTS (SELECT FROM %.*s AS t WHERE %.*s)", SL_ARG(table), SL_ARG(names(l, "", false)), SL_ARG(names(l, "s.", true)),
                            SL_ARG(table), SL_ARG(match)),
                  &l->inserted, err);
}

/* ---- all of it ---- */

static bool load_file(load *l, sl_err *err)
{
    if (!sl_pg_run(&l->p, "BEGIN", err) || !prepare_table(l, err) || !check_keys(l, err))
        return false;
    if (sl_str_eqc(l->c->mode, "REPLACE") && !l->created && !sl_pg_run(&l->p, sl_fmt(l->a, "TRUNCATE %.*s", SL_ARG(l->c->table)).p, err))
        return false;
    if ((!l->direct && !make_staging(l, err)) || !copy_rows(l, err))
        return false;
    if (l->merge)
        return merge_rows(l, err);
    l->inserted = l->rows;
    return l->direct || change(l, sl_fmt(l->a, "INSERT INTO %.*s (%.*s) SELECT %.*s FROM pg_temp.sl_load s", SL_ARG(l->c->table), SL_ARG(names(l, "", false)), SL_ARG(names(l, "s.", true))), &l->inserted, err);
}

static const sl_val *state_of(const load *l)
{
    sl_val *v = sl_map(l->a);
    sl_map_set_int(l->a, v, "rowCount", l->rows);
    sl_map_set_int(l->a, v, "inserted", l->inserted);
    sl_map_set_int(l->a, v, "updated", l->updated);
    sl_map_set_bool(l->a, v, "created", l->created);
    return v;
}

static bool check(load *l, sl_err *err)
{
    bool keys = sl_val_count(l->c->keys) > 0;
    l->merge = sl_str_eqc(l->c->mode, "MERGE") || (l->c->mode.n == 0 && keys);
    if (l->merge && !keys)
        return sl_err_set(err, SL_ERR_CONFIG, "pg.keys", "mode MERGE needs 'keys'");
    if (l->p.dialect == SL_PG_CRATE)
        return sl_err_set(err, SL_ERR_CONFIG, "crate.copy", "CrateDB has no COPY FROM STDIN; use io.sluice.cratedb.Bulk");
    return true;
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    load l = { .task = t, .a = sl_task_arena(t), .c = cfg };
    sl_pg_work w = { .p = &l.p, .cfg = &l.c->pg };
    const sl_val *state = NULL;
    bool wait = false, ok = sl_pg_open(&l.p, t, &l.c->pg, false, err) && check(&l, err) && sl_pg_fate(&w, &state, &wait, err);
    if (ok && !wait && state == NULL) {
        ok = load_file(&l, err);
        state = state_of(&l);
        ok = ok && sl_pg_commit(&w, state, err);
    }
    sl_csv_source_close(&l.csv);
    sl_pg_close(&l.p);
    if (ok && wait)
        return sl_task_wait(t, FATE_POLL_MS);
    if (!ok) {
        (void)sl_err_ctx(err, "loading %.*s into %.*s", SL_ARG(l.c->given.from), SL_ARG(l.c->table));
        return SL_TASK_FAILED;
    }
    for (const sl_opt *o = outs; o->name != NULL; o++)
        sl_task_out(t, o->name, sl_get(state, o->name));
    sl_task_counter(t, "row.count", (double)sl_get_int(state, "rowCount", 0));
    sl_task_log(t, SL_INFO, "%lld rows loaded into %.*s: %lld new, %lld updated", (long long)sl_get_int(state, "rowCount", 0), SL_ARG(l.c->table), (long long)sl_get_int(state, "inserted", 0),
                (long long)sl_get_int(state, "updated", 0));
    return SL_TASK_DONE;
}

const sl_task_type sl_pg_load = { .type = "io.sluice.postgres.Load", .doc = "Loads a CSV file into a table of PostgreSQL, which is made where it is not there; by key, or at the end.", .cfg_size = sizeof(load_cfg), .opts = opts, .outs = outs, .run = run };
