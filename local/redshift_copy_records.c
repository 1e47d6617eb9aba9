/*
 * local/redshift_copy_records.c: values that COPY takes by name: objects of JSON, items of DynamoDB. See redshift_copy.h.
 * Sources: https://docs.aws.amazon.com/redshift/latest/dg/copy-usage_notes-copy-from-json.html, …/t_Loading-data-from-dynamodb.html
 *
 * All values are texts in a table of the session first, so that those of a wrong type can be told with their line.
 */
#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "local/redshift_copy.h"

enum { PATHS_MAX = 1 << 20, INSERT_ROWS = 200, INSERT_MAX = 64 << 20 };

typedef sl_redshift_copying copy;

/* What is wrong in sl_records, and the rows without it. */
static void from_records(copy *c, sl_redshift_source *ret)
{
    sl_buf bad = sl_buf_new(c->a, SL_REDSHIFT_COPY_SQL), rows = sl_buf_new(c->a, SL_REDSHIFT_COPY_SQL);
    sl_buf_addc(&rows, "SELECT ");
    for (size_t i = 0; i < sl_val_count(c->types); i++) {
        sl_redshift_column col = sl_redshift_column_at(c, i);
        sl_str from = sl_fmt(c->a, "c%zu", i), value = sl_redshift_copy_value(c, &col, from), name = sl_duck_text(c->a, col.name), too_long = sl_redshift_copy_long(c, &col, value);
        bool any = c->any_date && (sl_str_eqc(col.type, "DATE") || sl_str_starts(col.type, SL_S("TIMESTAMP")));
        sl_buf_fmt(&rows, "%sTRY_CAST(%.*s AS %.*s)", i ? ", " : "", SL_ARG(value), SL_ARG(col.type));
        if (too_long.n > 0)
            sl_buf_fmt(&bad, "%sSELECT filename, line, %.*s AS name, CASE WHEN %.*s IS NULL THEN 'NULL' WHEN strlen(rtrim(%.*s, ' ')) > %lld THEN 'LONG' ELSE 'CHAR' END AS kind, %.*s AS value FROM sl_records WHERE %.*s", bad.n ? " UNION ALL " : "",
                       SL_ARG(name), SL_ARG(value), SL_ARG(from), (long long)col.text.length, SL_ARG(from), SL_ARG(too_long));
        if (!col.is_text && !any)
            sl_buf_fmt(&bad, "%sSELECT filename, line, %.*s AS name, 'CAST' AS kind, %.*s AS value FROM sl_records WHERE %.*s IS NOT NULL AND TRY_CAST(%.*s AS %.*s) IS NULL", bad.n ? " UNION ALL " : "", SL_ARG(name), SL_ARG(from), SL_ARG(from), SL_ARG(value),
                       SL_ARG(col.type));
    }
    sl_str what = bad.n ? sl_buf_str(&bad) : SL_S("SELECT '' AS filename, 0 AS line, '' AS name, '' AS kind, '' AS value WHERE false");
    sl_buf_addc(&rows, " FROM sl_records j WHERE NOT EXISTS (SELECT 1 FROM sl_rejects r WHERE r.filename = j.filename AND r.line = j.line) ORDER BY filename, line");
    ret->prepare = sl_fmt(c->a, "%.*sCREATE TEMP TABLE sl_rejects AS %.*s", SL_ARG(ret->prepare), SL_ARG(what));
    ret->rows = sl_buf_str(&rows);
    ret->rejects = SL_S("SELECT DISTINCT ON (filename, line) filename, line, name, kind, value FROM sl_rejects ORDER BY filename, line");
}

/* ---- JSON ---- */

/* $['a']['b'][0] and $.a.b[0] as DuckDB writes them. */
static sl_str duck_path(copy *c, sl_str path)
{
    return sl_str_replace(c->a, sl_str_replace(c->a, path, SL_S("['"), SL_S(".\"")), SL_S("']"), SL_S("\""));
}

/* The path of each column: its name, or the one at its place in a file of paths. */
static bool json_paths(copy *c, sl_val *ret, sl_err *err)
{
    sl_redshift_files file = { sl_list(c->a), sl_list(c->a) };
    sl_str content;
    bool automatic = is(c->json, "auto");
    if (!automatic && !sl_str_starts(c->json, SL_S("s3://")))
        return sl_err_set(err, SL_ERR_CONFIG, "pg.0A000", "the local Redshift knows JSON 'auto' and JSON 's3://bucket/paths' only, not '%.*s'", SL_ARG(c->json));
    for (size_t i = 0; automatic && i < sl_val_count(c->types); i++)
        sl_list_add(c->a, ret, sl_val_str(c->a, sl_fmt(c->a, "$.\"%.*s\"", SL_ARG(sl_get_text(sl_at(c->types, i), "name")))));
    if (automatic)
        return true;
    if (!sl_redshift_objects_there(c->s, c->a, c->json, true, &file, err) || !sl_fs_read(c->a, sl_at(file.paths, 0)->s.p, PATHS_MAX, &content, err))
        return false;
    const sl_val *doc = sl_json_parse(c->a, content, err), *paths = sl_get(doc, "jsonpaths");
    if (doc == NULL)
        return sl_err_ctx(err, "the paths at %.*s", SL_ARG(c->json));
    if (sl_val_count(paths) != sl_val_count(c->types))
        return sl_err_set(err, SL_ERR_DATA, "pg.XX000", "Number of jsonpaths and the number of columns should match. JSONPath size: %zu, Number of columns in table or column list: %zu", sl_val_count(paths), sl_val_count(c->types));
    for (size_t i = 0; i < sl_val_count(paths); i++)
        sl_list_add(c->a, ret, sl_val_str(c->a, duck_path(c, sl_text(sl_at(paths, i)))));
    return true;
}

bool sl_redshift_source_json(copy *c, const sl_val *paths, sl_redshift_source *ret, sl_err *err)
{
    sl_val *columns = sl_list(c->a);
    sl_str list = sl_redshift_paths(c->a, paths);
    sl_buf make = sl_buf_new(c->a, SL_REDSHIFT_COPY_SQL);
    if (!json_paths(c, columns, err))
        return false;
    sl_buf_addc(&make, "CREATE TEMP TABLE sl_records AS SELECT filename, row_number() OVER (PARTITION BY filename) AS line");
    for (size_t i = 0; i < sl_val_count(columns); i++) {
        sl_str path = sl_duck_text(c->a, sl_at(columns, i)->s);
        sl_buf_fmt(&make, ", json ->> %.*s AS c%zu", SL_ARG(path), i);
    }
    sl_buf_fmt(&make, " FROM read_json_objects(%.*s, format = 'unstructured', filename = true, compression = '%s'); ", SL_ARG(list), c->packed ? c->packed : "uncompressed");
    ret->prepare = sl_buf_str(&make);
    from_records(c, ret);
    return true;
}

/* ---- DynamoDB ---- */

/* Attributes of types S and N, found by name without regard to case. */
static sl_str cell(copy *c, const sl_val *item, sl_str column)
{
    for (size_t i = 0; i < sl_val_count(item); i++) {
        const sl_entry *e = &item->map.entries[i];
        sl_str text = sl_get_text(e->value, "S");
        if (text.p == NULL || text.n == 0)
            text = sl_get(e->value, "N") ? sl_get_text(e->value, "N") : text;
        if (sl_str_ieq(e->key, column) && (sl_get(e->value, "S") != NULL || sl_get(e->value, "N") != NULL))
            return sl_duck_text(c->a, text);
    }
    return SL_S("NULL");
}

static bool insert_items(copy *c, const sl_val *items, sl_err *err)
{
    sl_buf make = sl_buf_new(c->a, SL_REDSHIFT_COPY_SQL);
    sl_buf_addc(&make, "CREATE TEMP TABLE sl_records (filename VARCHAR, line BIGINT");
    for (size_t i = 0; i < sl_val_count(c->types); i++)
        sl_buf_fmt(&make, ", c%zu VARCHAR", i);
    sl_buf_addc(&make, ")");
    if (!sl_duck_exec(c->s->con, sl_buf_str(&make).p, err))
        return false;
    sl_str name = sl_duck_text(c->a, c->url);
    for (size_t at = 0; at < sl_val_count(items); at += INSERT_ROWS) {
        sl_buf b = sl_buf_new(c->a, INSERT_MAX);
        sl_buf_addc(&b, "INSERT INTO sl_records VALUES ");
        for (size_t i = at; i < sl_val_count(items) && i < at + INSERT_ROWS; i++) {
            sl_buf_fmt(&b, "%s(%.*s, %zu", i > at ? ", " : "", SL_ARG(name), i + 1);
            for (size_t k = 0; k < sl_val_count(c->types); k++) {
                sl_str text = cell(c, sl_at(items, i), sl_get_text(sl_at(c->types, k), "name"));
                sl_buf_fmt(&b, ", %.*s", SL_ARG(text));
            }
            sl_buf_addc(&b, ")");
        }
        if (!sl_duck_run(c->s->con, c->a, sl_buf_str(&b), NULL, NULL, err))
            return false;
    }
    return true;
}

bool sl_redshift_source_dynamo(copy *c, sl_redshift_source *ret, sl_err *err)
{
    sl_str table = sl_str_sub(c->url, 11, c->url.n);
    sl_val *items = sl_list(c->a);
    bool known = false;
    *ret = (sl_redshift_source){ SL_S(""), SL_S(""), SL_S(""), SL_S(""), SL_S("") };
    if (!c->read_ratio)
        return sl_err_set(err, SL_ERR_DATA, "pg.42601", "COPY from DynamoDB needs READRATIO");
    sl_db_lock(c->s->c->db);
    sl_stmt *s = sl_db_query(c->s->c->db, err, "SELECT 1 FROM ddb_tables WHERE name=?", "s", table);
    if (s != NULL && (known = sl_stmt_next(s, err) == 1))
        sl_stmt_done(s);
    s = known ? sl_db_query(c->s->c->db, err, "SELECT item FROM ddb_items WHERE tab=? ORDER BY pk, ord, sk", "s", table) : NULL;
    while (s != NULL && sl_stmt_next(s, err) == 1)
        sl_list_add(c->a, items, sl_json_parse(c->a, sl_col_str(s, c->a, 0), err));
    sl_db_unlock(c->s->c->db);
    if (!known)
        return sl_err_set(err, SL_ERR_NOT_FOUND, "pg.XX000", "there is no DynamoDB table '%.*s'", SL_ARG(table));
    if (!insert_items(c, items, err))
        return false;
    from_records(c, ret);
    return true;
}
