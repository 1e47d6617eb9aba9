/*
 * local/redshift_copy_formats.c: objects that COPY reads, as text, JSON or Parquet. See redshift_copy.h.
 * Sources: https://docs.aws.amazon.com/redshift/latest/dg/copy-usage_notes-copy-from-json.html, …/copy-usage_notes-copy-from-columnar.html
 */
#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "local/redshift_copy.h"

enum { SQL_MAX = 16 << 20, PATHS_MAX = 1 << 20 };

typedef sl_redshift_copying copy;

static void add_paths(copy *c, sl_buf *b, const sl_val *paths)
{
    sl_buf_addc(b, "[");
    for (size_t i = 0; i < sl_val_count(paths); i++) {
        sl_str path = sl_duck_text(c->a, sl_at(paths, i)->s);
        sl_buf_fmt(b, "%s%.*s", i ? ", " : "", SL_ARG(path));
    }
    sl_buf_addc(b, "]");
}

/* ---- text ---- */

static void text(copy *c, const sl_val *paths, sl_redshift_source *ret)
{
    sl_buf b = sl_buf_new(c->a, SQL_MAX);
    sl_buf_addc(&b, "SELECT ");
    for (size_t i = 0; i < sl_val_count(c->types); i++) {
        sl_str name = sl_duck_ident(c->a, sl_get_text(sl_at(c->types, i), "name"));
        bool blanks = c->blank_as_null && sl_str_eqc(sl_get_text(sl_at(c->types, i), "type"), "VARCHAR");
        sl_buf_fmt(&b, "%s", i ? ", " : "");
        if (blanks)
            sl_buf_fmt(&b, "CASE WHEN trim(%.*s) = '' AND %.*s <> '' THEN NULL ELSE %.*s END", SL_ARG(name), SL_ARG(name), SL_ARG(name));
        else
            sl_buf_add(&b, name);
    }
    sl_buf_addc(&b, " FROM read_csv(");
    add_paths(c, &b, paths);
    sl_buf_addc(&b, ", columns = {");
    for (size_t i = 0; i < sl_val_count(c->types); i++) {
        sl_str name = sl_duck_text(c->a, sl_get_text(sl_at(c->types, i), "name")), type = sl_duck_text(c->a, sl_get_text(sl_at(c->types, i), "type"));
        sl_buf_fmt(&b, "%s%.*s: %.*s", i ? ", " : "", SL_ARG(name), SL_ARG(type));
    }
    sl_str delimiter = sl_duck_text(c->a, c->delimiter), quote = sl_duck_text(c->a, c->csv ? (c->quote.n ? c->quote : SL_S("\"")) : SL_S("")), null_text = sl_duck_text(c->a, c->null_text.p ? c->null_text : SL_S("\\N"));
    sl_buf_fmt(&b, "}, auto_detect = false, header = false, skip = %lld, delim = %.*s, quote = %.*s, escape = %.*s, nullstr = [%.*s%s], compression = '%s', null_padding = false, store_rejects = true, rejects_table = 'sl_rejects', rejects_scan = 'sl_scans', rejects_limit = 0)",
               (long long)c->skip, SL_ARG(delimiter), SL_ARG(quote), SL_ARG(quote), SL_ARG(null_text), c->empty_as_null || c->csv ? ", ''" : "", c->packed ? c->packed : "uncompressed");
    ret->rows = sl_buf_str(&b);
    ret->rejects = SL_S("SELECT s.file_path, r.line, r.column_name, r.error_message FROM sl_rejects r JOIN sl_scans s USING (scan_id, file_id) ORDER BY r.line");
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

/* All values as text first, so that those of a wrong type can be told with their line. */
static bool json(copy *c, const sl_val *paths, sl_redshift_source *ret, sl_err *err)
{
    sl_val *columns = sl_list(c->a);
    if (!json_paths(c, columns, err))
        return false;
    sl_buf make = sl_buf_new(c->a, SQL_MAX), bad = sl_buf_new(c->a, SQL_MAX), rows = sl_buf_new(c->a, SQL_MAX);
    sl_buf_addc(&make, "CREATE TEMP TABLE sl_json AS SELECT filename, row_number() OVER (PARTITION BY filename) AS line");
    sl_buf_addc(&rows, "SELECT ");
    for (size_t i = 0; i < sl_val_count(columns); i++) {
        sl_str path = sl_duck_text(c->a, sl_at(columns, i)->s), name = sl_duck_text(c->a, sl_get_text(sl_at(c->types, i), "name")), type = sl_get_text(sl_at(c->types, i), "type");
        const char *value = c->blank_as_null && c->empty_as_null ? "CASE WHEN trim(json ->> %.*s) <> '' THEN (json ->> %.*s) END"
                            : c->blank_as_null                   ? "CASE WHEN trim(json ->> %.*s) <> '' OR (json ->> %.*s) = '' THEN (json ->> %.*s) END"
                            : c->empty_as_null                   ? "nullif(json ->> %.*s, '')"
                                                                 : "(json ->> %.*s)";
        sl_buf_addc(&make, ", ");
        sl_buf_fmt(&make, value, SL_ARG(path), SL_ARG(path), SL_ARG(path));
        sl_buf_fmt(&make, " AS c%zu", i);
        sl_buf_fmt(&rows, "%sTRY_CAST(c%zu AS %.*s)", i ? ", " : "", i, SL_ARG(type));
        sl_buf_fmt(&bad, "%sSELECT filename, line, %.*s AS name, 'Invalid value ''' || c%zu || ''' for type %.*s' AS message FROM sl_json WHERE c%zu IS NOT NULL AND TRY_CAST(c%zu AS %.*s) IS NULL", i ? " UNION ALL " : "", SL_ARG(name), i,
                   SL_ARG(type), i, i, SL_ARG(type));
    }
    sl_buf_addc(&make, " FROM read_json_objects(");
    add_paths(c, &make, paths);
    sl_buf_fmt(&make, ", format = 'unstructured', filename = true, compression = '%s'); CREATE TEMP TABLE sl_rejects AS %.*s", c->packed ? c->packed : "uncompressed", SL_ARG(sl_buf_str(&bad)));
    sl_buf_addc(&rows, " FROM sl_json j WHERE NOT EXISTS (SELECT 1 FROM sl_rejects r WHERE r.filename = j.filename AND r.line = j.line) ORDER BY filename, line");
    ret->prepare = sl_buf_str(&make);
    ret->rows = sl_buf_str(&rows);
    ret->rejects = SL_S("SELECT filename, line, name, message FROM sl_rejects ORDER BY line");
    return true;
}

bool sl_redshift_source_of(copy *c, const sl_val *paths, sl_redshift_source *ret, sl_err *err)
{
    *ret = (sl_redshift_source){ SL_S(""), SL_S(""), SL_S("") };
    if (c->json.n > 0)
        return json(c, paths, ret, err);
    if (!c->parquet) {
        text(c, paths, ret);
        return true;
    }
    sl_buf b = sl_buf_new(c->a, SQL_MAX);
    sl_buf_addc(&b, "SELECT * FROM read_parquet("); /* columns by their place, as there */
    add_paths(c, &b, paths);
    sl_buf_addc(&b, ")");
    ret->rows = sl_buf_str(&b);
    return true;
}

void sl_redshift_source_clear(copy *c)
{
    sl_err ignored;
    (void)sl_duck_exec(c->s->con, "DROP TABLE IF EXISTS sl_rejects; DROP TABLE IF EXISTS sl_scans; DROP TABLE IF EXISTS sl_json", &ignored);
}
