/*
 * local/redshift_copy_formats.c: objects that COPY reads as text or Parquet, and what becomes of a value. See redshift_copy.h.
 * Sources: https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-conversion.html, …/copy-usage_notes-copy-from-columnar.html
 */
#include "base/arena.h"
#include "local/redshift_copy.h"

typedef sl_redshift_copying copy;

sl_redshift_column sl_redshift_column_at(const copy *c, size_t i)
{
    const sl_val *v = sl_at(c->types, i);
    sl_redshift_column ret = { sl_get_text(v, "name"), sl_get_text(v, "type"), { sl_get_int(v, "length", 0), sl_get_bool(v, "fixed", false) }, false, sl_get_bool(v, "required", false) };
    ret.is_text = sl_str_eqc(ret.type, "VARCHAR");
    return ret;
}

sl_str sl_redshift_paths(sl_arena *a, const sl_val *paths)
{
    sl_buf b = sl_buf_new(a, SL_REDSHIFT_COPY_SQL);
    sl_buf_addc(&b, "[");
    for (size_t i = 0; i < sl_val_count(paths); i++) {
        sl_str path = sl_duck_text(a, sl_at(paths, i)->s);
        sl_buf_fmt(&b, "%s%.*s", i ? ", " : "", SL_ARG(path));
    }
    sl_buf_addc(&b, "]");
    return sl_buf_str(&b);
}

/* ---- values ---- */

/* Of DECIMAL(p,s), the places behind s. */
static sl_str cut_places(sl_arena *a, sl_str type, sl_str x)
{
    sl_str rest = type, precision;
    int64_t places = 0;
    if (!sl_str_starts(type, SL_S("DECIMAL(")) || !sl_str_cut(&rest, ',', &precision) || !sl_parse_int(sl_str_sub(rest, 0, rest.n - 1), &places))
        return x;
    return sl_fmt(a, "rs_places(%.*s, %lld)", SL_ARG(x), (long long)places);
}

sl_str sl_redshift_copy_value(const copy *c, const sl_redshift_column *column, sl_str x)
{
    if (!column->is_text)
        return c->round ? x : cut_places(c->a, column->type, x);
    if (c->blank_as_null && c->empty_as_null)
        x = sl_fmt(c->a, "CASE WHEN trim(%.*s) <> '' THEN %.*s END", SL_ARG(x), SL_ARG(x));
    else if (c->blank_as_null)
        x = sl_fmt(c->a, "CASE WHEN trim(%.*s) <> '' OR %.*s = '' THEN %.*s END", SL_ARG(x), SL_ARG(x), SL_ARG(x));
    else if (c->empty_as_null)
        x = sl_fmt(c->a, "nullif(%.*s, '')", SL_ARG(x));
    if (c->trim)
        x = sl_fmt(c->a, "rtrim(%.*s)", SL_ARG(x));
    return c->truncate && column->text.length > 0 ? sl_fmt(c->a, "rs_fit(%.*s, %lld)", SL_ARG(x), (long long)column->text.length) : x;
}

sl_str sl_redshift_copy_long(const copy *c, const sl_redshift_column *column, sl_str value)
{
    sl_buf b = sl_buf_new(c->a, SL_REDSHIFT_COPY_SQL);
    if (column->is_text && column->text.length > 0)
        sl_buf_fmt(&b, "strlen(rtrim(%.*s, ' ')) > %lld", SL_ARG(value), (long long)column->text.length);
    if (column->is_text && column->text.fixed)
        sl_buf_fmt(&b, " OR strlen(%.*s) <> length(%.*s)", SL_ARG(value), SL_ARG(value));
    if (column->required)
        sl_buf_fmt(&b, "%s(%.*s) IS NULL", b.n ? " OR " : "", SL_ARG(value));
    return sl_buf_str(&b);
}

/* ---- text ---- */

static bool is_moment(const sl_redshift_column *col)
{
    return sl_str_eqc(col->type, "DATE") || sl_str_starts(col->type, SL_S("TIMESTAMP"));
}

/* What read_csv is called with, but for what becomes of wrong rows. All are texts: what is null, or wrong, depends on the column. */
static sl_str reader(copy *c, const sl_val *paths)
{
    sl_buf b = sl_buf_new(c->a, SL_REDSHIFT_COPY_SQL);
    sl_str list = sl_redshift_paths(c->a, paths), quote = c->csv ? (c->quote.n ? c->quote : SL_S("\"")) : SL_S("");
    sl_buf_fmt(&b, "read_csv(%.*s, columns = {", SL_ARG(list));
    for (size_t i = 0; i < sl_val_count(c->types); i++) {
        sl_str name = sl_duck_text(c->a, sl_redshift_column_at(c, i).name);
        sl_buf_fmt(&b, "%s%.*s: 'VARCHAR'", i ? ", " : "", SL_ARG(name));
    }
    sl_str delimiter = sl_duck_text(c->a, c->delimiter), null_text = sl_duck_text(c->a, c->null_text);
    quote = sl_duck_text(c->a, quote);
    sl_buf_fmt(&b, "}, auto_detect = false, header = false, skip = %lld, delim = %.*s, quote = %.*s, escape = %.*s, nullstr = [%.*s], compression = '%s', null_padding = %s", (long long)c->skip, SL_ARG(delimiter), SL_ARG(quote), SL_ARG(quote),
               SL_ARG(null_text), c->packed ? c->packed : "uncompressed", c->fill ? "true" : "false");
    return sl_buf_str(&b);
}

/* A column of text: its value, when that is wrong, and all values that are of no such type. */
static void add_column(copy *c, size_t i, sl_str from, sl_buf *list, sl_buf *wrong, sl_buf *rejects)
{
    sl_redshift_column col = sl_redshift_column_at(c, i);
    sl_str name = sl_duck_ident(c->a, col.name), plain = sl_redshift_copy_value(c, &col, sl_fmt(c->a, "nullif(%.*s, '')", SL_ARG(name))), value = plain;
    bool any = c->any_date && is_moment(&col);
    if (col.is_text)
        value = sl_redshift_copy_value(c, &col, name);
    else
        value = sl_fmt(c->a, "%s(%.*s AS %.*s)", any ? "TRY_CAST" : "CAST", SL_ARG(plain), SL_ARG(col.type));
    sl_buf_fmt(list, "%s%.*s", i ? ", " : "", SL_ARG(value));
    sl_str too_long = sl_redshift_copy_long(c, &col, col.is_text ? value : plain);
    if (too_long.n > 0)
        sl_buf_fmt(wrong, "%s%.*s", wrong->n ? " OR " : "", SL_ARG(too_long));
    if (col.is_text || any)
        return;
    sl_str mismatch = sl_fmt(c->a, "(%.*s IS NOT NULL AND TRY_CAST(%.*s AS %.*s) IS NULL)", SL_ARG(plain), SL_ARG(plain), SL_ARG(col.type));
    sl_str quoted = sl_duck_text(c->a, col.name);
    sl_buf_fmt(wrong, "%s%.*s", wrong->n ? " OR " : "", SL_ARG(mismatch));
    sl_buf_fmt(rejects, " UNION ALL (SELECT DISTINCT '', 0, %.*s, 'CAST', %.*s FROM %.*s, ignore_errors = true) WHERE %.*s LIMIT %lld)", SL_ARG(quoted), SL_ARG(name), SL_ARG(from), SL_ARG(mismatch), (long long)c->max_error + 1);
}

static void text(copy *c, const sl_val *paths, sl_redshift_source *ret)
{
    sl_buf list = sl_buf_new(c->a, SL_REDSHIFT_COPY_SQL), wrong = sl_buf_new(c->a, SL_REDSHIFT_COPY_SQL), rejects = sl_buf_new(c->a, SL_REDSHIFT_COPY_SQL);
    sl_str from = reader(c, paths);
    for (size_t i = 0; i < sl_val_count(c->types); i++)
        add_column(c, i, from, &list, &wrong, &rejects);
    sl_str values = sl_buf_str(&list), condition = sl_buf_str(&wrong), mismatches = sl_buf_str(&rejects);
    ret->rows = sl_fmt(c->a, "SELECT %.*s FROM %.*s, store_rejects = true, rejects_table = 'sl_rejects', rejects_scan = 'sl_scans', rejects_limit = 0)", SL_ARG(values), SL_ARG(from));
    if (condition.n > 0) {
        ret->wrong = sl_fmt(c->a, "SELECT count(*) FROM %.*s, ignore_errors = true) WHERE %.*s", SL_ARG(from), SL_ARG(condition));
        ret->right = sl_fmt(c->a, "%.*s WHERE NOT coalesce(%.*s, false)", SL_ARG(ret->rows), SL_ARG(condition));
    }
    ret->rejects = sl_fmt(c->a, "(SELECT s.file_path, r.line, r.column_name, CAST(r.error_type AS VARCHAR), NULL FROM sl_rejects r JOIN sl_scans s USING (scan_id, file_id) ORDER BY ALL LIMIT %lld)%.*s", 2 * (long long)c->max_error + 2, SL_ARG(mismatches));
}

/* ---- Parquet ---- */

/* Columns by their place, as there. Of a text that is too long the statement itself says where it is. */
static void parquet(copy *c, const sl_val *paths, sl_redshift_source *ret)
{
    sl_buf wrong = sl_buf_new(c->a, SL_REDSHIFT_COPY_SQL), names = sl_buf_new(c->a, SL_REDSHIFT_COPY_SQL), rejects = sl_buf_new(c->a, SL_REDSHIFT_COPY_SQL);
    sl_str list = sl_redshift_paths(c->a, paths);
    ret->rows = sl_fmt(c->a, "SELECT * FROM read_parquet(%.*s)", SL_ARG(list));
    for (size_t i = 0; i < sl_val_count(c->types); i++)
        sl_buf_fmt(&names, "%sc%zu", i ? ", " : "", i);
    sl_str from = sl_fmt(c->a, "read_parquet(%.*s, filename = true) p(%s)", SL_ARG(list), sl_buf_str(&names).p);
    for (size_t i = 0; i < sl_val_count(c->types); i++) {
        sl_redshift_column col = sl_redshift_column_at(c, i);
        if (!col.is_text || col.text.length == 0)
            continue;
        sl_str value = sl_fmt(c->a, "rtrim(CAST(c%zu AS VARCHAR), ' ')", i), name = sl_duck_text(c->a, col.name);
        sl_buf_fmt(&wrong, "%sstrlen(%.*s) > %lld", wrong.n ? " OR " : "", SL_ARG(value), (long long)col.text.length);
        sl_buf_fmt(&rejects, "%sSELECT max_by(filename, strlen(%.*s)), 0, %.*s, 'LONG', CAST(max(strlen(%.*s)) AS VARCHAR) FROM %.*s HAVING max(strlen(%.*s)) > %lld", rejects.n ? " UNION ALL " : "", SL_ARG(value), SL_ARG(name), SL_ARG(value),
                   SL_ARG(from), SL_ARG(value), (long long)col.text.length);
    }
    if (wrong.n == 0)
        return;
    sl_str condition = sl_buf_str(&wrong);
    ret->wrong = sl_fmt(c->a, "SELECT count(*) FROM %.*s WHERE %.*s", SL_ARG(from), SL_ARG(condition));
    ret->right = sl_fmt(c->a, "%.*s LIMIT 0", SL_ARG(ret->rows)); /* none: it fails in any case */
    ret->rejects = sl_buf_str(&rejects);
}

bool sl_redshift_source_of(copy *c, const sl_val *paths, sl_redshift_source *ret, sl_err *err)
{
    *ret = (sl_redshift_source){ SL_S(""), SL_S(""), SL_S(""), SL_S(""), SL_S("") };
    if (c->json.n > 0)
        return sl_redshift_source_json(c, paths, ret, err);
    (c->parquet ? parquet : text)(c, paths, ret);
    return true;
}
