/* local/redshift_external_files.c: which objects an external table consists of, and the view that reads them. See redshift_external.h. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "local/redshift_external.h"

bool sl_external_run(sl_external *x, sl_str sql, const sl_val **rows, sl_err *err)
{
    return sl_duck_run(x->s->con, x->a, sql, rows, NULL, err);
}

static sl_str literal(sl_external *x, sl_str text)
{
    return sl_duck_text(x->a, text);
}

sl_str sl_external_where(sl_external *x)
{
    return sl_fmt(x->a, "WHERE schema_name=%.*s AND table_name=%.*s", SL_ARG(literal(x, x->schema)), SL_ARG(literal(x, x->table)));
}

/* ---- files ---- */

/* Whose table it is, in the name of a variable. */
static sl_str variable(sl_external *x, const char *kind)
{
    return sl_fmt(x->a, "sl_%s_%.*s_%.*s", kind, SL_ARG(sl_hex(x->a, x->schema)), SL_ARG(sl_hex(x->a, x->table)));
}

static sl_str empty_file(sl_external *x)
{
    bool text = is(x->format, "TEXTFILE");
    return text ? sl_fmt(x->a, "%s/redshift-empty.csv", x->s->c->dir) : sl_fmt(x->a, "%s/redshift-empty-%.*s-%.*s.parquet", x->s->c->dir, SL_ARG(sl_hex(x->a, x->schema)), SL_ARG(sl_hex(x->a, x->table)));
}

static bool hidden(sl_str url)
{
    sl_str base = sl_path_base(url);
    return base.n == 0 || strchr("._#", base.p[0]) != NULL || base.p[base.n - 1] == '~';
}

/* The files below a location; a location that is one object is a manifest, or that file. */
static bool find(sl_external *x, sl_str location, sl_redshift_files *ret, sl_err *err)
{
    sl_redshift_files one = { sl_list(x->a), sl_list(x->a) }, all = { sl_list(x->a), sl_list(x->a) };
    sl_str text;
    *ret = (sl_redshift_files){ sl_list(x->a), sl_list(x->a) };
    if (location.n > 0 && location.p[location.n - 1] != '/') {
        if (!sl_redshift_objects(x->s, x->a, location, true, &one, err))
            return false;
        sl_err ignored;
        bool found = sl_val_count(one.paths) == 1;
        if (found && sl_fs_read(x->a, sl_at(one.paths, 0)->s.p, 1 << 20, &text, &ignored) && sl_str_starts(sl_str_trim(text), SL_S("{")))
            return sl_redshift_manifest(x->s, x->a, location, ret, err);
        location = found ? location : sl_fmt(x->a, "%.*s/", SL_ARG(location));
    }
    if (!sl_redshift_objects(x->s, x->a, location, false, &all, err))
        return false;
    for (size_t i = 0; i < sl_val_count(all.paths); i++)
        if (!hidden(sl_at(all.names, i)->s)) {
            sl_list_add(x->a, ret->paths, sl_at(all.paths, i));
            sl_list_add(x->a, ret->names, sl_at(all.names, i));
        }
    return true;
}

typedef struct variables {
    sl_buf paths, values;         /* ['…', …]; MAP {'…': ['2024', …], …} */
    size_t count, packed;
} variables;

static bool add_files(sl_external *x, variables *v, sl_str location, const sl_val *values, sl_err *err)
{
    sl_redshift_files files;
    if (!find(x, location, &files, err))
        return false;
    for (size_t i = 0; i < sl_val_count(files.paths); i++, v->count++) {
        sl_str path = literal(x, sl_at(files.paths, i)->s), name = sl_at(files.names, i)->s;
        sl_buf_fmt(&v->paths, "%s%.*s", v->count ? ", " : "", SL_ARG(path));
        sl_buf_fmt(&v->values, "%s%.*s: [", v->count ? ", " : "", SL_ARG(path));
        for (size_t k = 0; k < sl_val_count(values); k++) {
            sl_str text = literal(x, sl_text(sl_at(values, k)));
            sl_buf_fmt(&v->values, "%s%.*s", k ? ", " : "", SL_ARG(text));
        }
        sl_buf_addc(&v->values, "]");
        v->packed += name.n > 3 && is(sl_str_sub(name, name.n - 3, name.n), ".gz");
    }
    return true;
}

/* The session's variables say what there is now. */
bool sl_external_set(sl_external *x, bool parted, sl_err *err)
{
    variables v = { sl_buf_new(x->a, 64 << 20), sl_buf_new(x->a, 64 << 20), 0, 0 };
    const sl_val *rows = NULL;
    bool text = is(x->format, "TEXTFILE");
    if (!parted && !add_files(x, &v, x->location, NULL, err))
        return false;
    if (parted && !sl_external_run(x, sl_fmt(x->a, "SELECT vals, location FROM _sl.external_partitions %.*s", SL_ARG(sl_external_where(x))), &rows, err))
        return false;
    for (size_t i = 0; i < sl_val_count(rows); i++)
        if (!add_files(x, &v, sl_at(sl_at(rows, i), 1)->s, sl_json_parse(x->a, sl_at(sl_at(rows, i), 0)->s, err), err))
            return false;
    if (text && v.packed > 0 && v.packed < v.count)
        return sl_err_set(err, SL_ERR_CONFIG, "pg.0A000", "the local Redshift reads an external table whose objects are all packed (.gz), or none; below %.*s there are both", SL_ARG(x->location));
    sl_str none = literal(x, empty_file(x));
    if (v.count == 0) {
        sl_buf_add(&v.paths, none);
        sl_buf_fmt(&v.values, "%.*s: ['']", SL_ARG(none));
    }
    return sl_external_run(x, sl_fmt(x->a, "SET VARIABLE %.*s = [%.*s]", SL_ARG(variable(x, "p")), SL_ARG(sl_buf_str(&v.paths))), NULL, err)
           && sl_external_run(x, sl_fmt(x->a, "SET VARIABLE %.*s = MAP {%.*s}", SL_ARG(variable(x, "v")), SL_ARG(sl_buf_str(&v.values))), NULL, err)
           && sl_external_run(x, sl_fmt(x->a, "SET VARIABLE %.*s = '%s'", SL_ARG(variable(x, "z")), v.packed > 0 ? "gzip" : "none"), NULL, err);
}

bool sl_redshift_external_refresh(sl_redshift_session *s, sl_arena *a, sl_err *err)
{
    const sl_val *rows;
    if (!sl_duck_run(s->con, a, SL_S("SELECT schema_name, table_name, location, format, parted FROM _sl.external_tables"), &rows, NULL, err))
        return false;
    for (size_t i = 0; i < sl_val_count(rows); i++) {
        const sl_val *r = sl_at(rows, i);
        sl_external x = { .s = s, .a = a, .schema = sl_at(r, 0)->s, .table = sl_at(r, 1)->s, .location = sl_at(r, 2)->s, .format = sl_at(r, 3)->s };
        if (!sl_external_set(&x, sl_str_eqc(sl_at(r, 4)->s, "true"), err))
            return false;
    }
    return true;
}

/* ---- the view ---- */

/* A file without rows stands in where there are no objects. */
bool sl_external_make_empty(sl_external *x, sl_err *err)
{
    sl_str path = empty_file(x);
    sl_buf b = sl_buf_new(x->a, 1 << 20);
    if (is(x->format, "TEXTFILE"))
        return sl_fs_write_atomic(path.p, SL_S(""), 0600, err);
    sl_buf_addc(&b, "COPY (SELECT ");
    for (size_t i = 0; i < x->count - x->parts; i++) {
        sl_str name = sl_duck_ident(x->a, x->columns[i].name), type = x->columns[i].type;
        sl_buf_fmt(&b, "%sNULL::%.*s AS %.*s", i ? ", " : "", SL_ARG(type), SL_ARG(name));
    }
    sl_buf_fmt(&b, " LIMIT 0) TO %.*s (FORMAT parquet)", SL_ARG(literal(x, path)));
    return sl_external_run(x, sl_buf_str(&b), NULL, err);
}

/* SELECT of the view: a text is cast where it can be, a folder's value comes from the map. */
sl_str sl_external_view(sl_external *x)
{
    sl_buf b = sl_buf_new(x->a, 4 << 20);
    bool text = is(x->format, "TEXTFILE");
    size_t own = x->count - x->parts;
    sl_buf_addc(&b, "SELECT ");
    for (size_t i = 0; i < x->count; i++) {
        sl_str name = sl_duck_ident(x->a, x->columns[i].name), type = x->columns[i].type, lower = sl_str_lower(x->a, type);
        bool as_it_is = sl_str_starts(lower, SL_S("varchar")) || sl_str_starts(lower, SL_S("char")) || sl_str_starts(lower, SL_S("text"));
        sl_buf_addc(&b, i ? ", " : "");
        if (i >= own)
            sl_buf_fmt(&b, "TRY_CAST(getvariable('%.*s')[filename][%zu] AS %.*s)", SL_ARG(variable(x, "v")), i - own + 1, SL_ARG(type));
        else if (!text)
            sl_buf_fmt(&b, "CAST(%.*s AS %.*s)", SL_ARG(name), SL_ARG(type));
        else if (as_it_is)
            sl_buf_fmt(&b, "c%zu", i);
        else
            sl_buf_fmt(&b, "TRY_CAST(nullif(trim(c%zu), '') AS %.*s)", i, SL_ARG(type));
        sl_buf_fmt(&b, " AS %.*s", SL_ARG(name));
    }
    if (!text) {
        sl_buf_fmt(&b, " FROM read_parquet(getvariable('%.*s'), filename = true, union_by_name = true)", SL_ARG(variable(x, "p")));
        return sl_buf_str(&b);
    }
    sl_buf_fmt(&b, " FROM read_csv(getvariable('%.*s'), columns = {", SL_ARG(variable(x, "p")));
    for (size_t i = 0; i < own; i++)
        sl_buf_fmt(&b, "%s'c%zu': 'VARCHAR'", i ? ", " : "", i);
    sl_str delimiter = literal(x, x->delimiter.n ? x->delimiter : SL_S("\001")), quote = literal(x, x->quote), escape = literal(x, x->escape);
    sl_buf_fmt(&b, "}, auto_detect = false, header = false, skip = %lld, delim = %.*s, quote = %.*s, escape = %.*s, nullstr = '\\N', null_padding = true, strict_mode = false, compression = getvariable('%.*s'), filename = true)", (long long)x->skip,
               SL_ARG(delimiter), SL_ARG(quote), SL_ARG(escape), SL_ARG(variable(x, "z")));
    return sl_buf_str(&b);
}
