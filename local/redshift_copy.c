/*
 * local/redshift_copy.c: COPY into a table of the Redshift face, from objects of the local S3 and items of the local DynamoDB.
 * Source: https://docs.aws.amazon.com/redshift/latest/dg/r_COPY.html
 *
 * All or nothing; what a line is wrong with is in stl_load_errors. Credentials must be given, as there; whose they are is
 * not looked at.
 */
#include "base/arena.h"
#include "base/sql.h"
#include "local/redshift_copy.h"

enum { ERRORS_MAX = 100000 };

typedef sl_redshift_copying copy;

static bool number(copy *c, sl_str name, sl_str *rest, int64_t *ret, sl_err *err)
{
    sl_str text = sl_redshift_value(c->a, rest);
    return sl_parse_int(text, ret) || sl_err_set(err, SL_ERR_DATA, "pg.42601", "%.*s needs a number, not '%.*s'", SL_ARG(name), SL_ARG(text));
}

static bool option(copy *c, sl_str name, sl_str *rest, sl_err *err)
{
    static const char *const with_value[] = { "REGION", "ENCODING", "COMPUPDATE", "STATUPDATE" }, *const alone[] = { "IGNOREBLANKLINES", "AS", "FORMAT" };
    sl_str after = *rest, next = sl_sql_token(&after);
    if (is(name, "CREDENTIALS") || is(name, "IAM_ROLE") || is(name, "ACCESS_KEY_ID") || is(name, "SECRET_ACCESS_KEY") || is(name, "SESSION_TOKEN") || (is(name, "WITH") && is(next, "CREDENTIALS"))) {
        c->credentials = true;
        if (!is(name, "WITH"))
            (void)sl_redshift_value(c->a, rest);
        return true;
    }
    if (is(name, "CSV")) {
        c->csv = true;
        if (c->delimiter.n == 0)
            c->delimiter = SL_S(",");
    } else if (is(name, "DELIMITER"))
        c->delimiter = sl_str_replace(c->a, sl_redshift_value(c->a, rest), SL_S("\\t"), SL_S("\t"));
    else if (is(name, "QUOTE"))
        c->quote = sl_redshift_value(c->a, rest);
    else if (is(name, "NULL"))
        c->null_text = sl_redshift_value(c->a, rest);
    else if (is(name, "IGNOREHEADER"))
        return number(c, name, rest, &c->skip, err);
    else if (is(name, "MAXERROR"))
        return number(c, name, rest, &c->max_error, err) && ((c->max_error >= 0 && c->max_error <= ERRORS_MAX) || sl_err_set(err, SL_ERR_DATA, "pg.42601", "MAXERROR must be from 0 to %d", ERRORS_MAX));
    else if (is(name, "READRATIO")) {
        int64_t ratio = 0;
        c->read_ratio = true;
        return number(c, name, rest, &ratio, err) && ((ratio >= 1 && ratio <= 200) || sl_err_set(err, SL_ERR_DATA, "pg.42601", "READRATIO must be from 1 to 200"));
    } else if (is(name, "GZIP") || is(name, "ZSTD"))
        c->packed = is(name, "GZIP") ? "gzip" : "zstd";
    else if (is(name, "PARQUET"))
        c->parquet = true;
    else if (is(name, "JSON"))
        c->json = sl_redshift_value(c->a, rest);
    else if (is(name, "MANIFEST"))
        c->manifest = true;
    else if (is(name, "EMPTYASNULL"))
        c->empty_as_null = true;
    else if (is(name, "EXPLICIT_IDS"))
        c->explicit_ids = true;
    else if (is(name, "TRUNCATECOLUMNS"))
        c->truncate = true;
    else if (is(name, "TRIMBLANKS"))
        c->trim = true;
    else if (is(name, "ROUNDEC"))
        c->round = true;
    else if (is(name, "FILLRECORD"))
        c->fill = true;
    else if (is(name, "ACCEPTANYDATE"))
        c->any_date = true;
    else if (is(name, "BLANKSASNULL"))
        c->blank_as_null = true;
    else if (is(name, "DATEFORMAT") || is(name, "TIMEFORMAT")) {
        sl_str format = sl_redshift_value(c->a, rest);
        if (!is(format, "auto"))
            return sl_err_set(err, SL_ERR_CONFIG, "pg.0A000", "the local Redshift knows %.*s 'auto' only", SL_ARG(name));
    } else {
        for (size_t i = 0; i < SL_COUNT(with_value); i++)
            if (is(name, with_value[i])) {
                (void)sl_redshift_value(c->a, rest);
                return true;
            }
        for (size_t i = 0; i < SL_COUNT(alone); i++)
            if (is(name, alone[i]))
                return true;
        return sl_err_set(err, SL_ERR_CONFIG, "pg.0A000", "the local Redshift does not know the option %.*s of COPY", SL_ARG(name));
    }
    return true;
}

static bool parse(copy *c, sl_str statement, sl_err *err)
{
    sl_str rest = statement, token;
    sl_val *columns = sl_list(c->a);
    (void)sl_sql_token(&rest);
    sl_buf table = sl_buf_new(c->a, 1024);
    while ((token = sl_sql_token(&rest)).n > 0 && !is(token, "FROM") && !is(token, "("))
        sl_buf_add(&table, token);
    while (is(token, "(") || is(token, ",")) {
        sl_list_add(c->a, columns, sl_val_str(c->a, sl_sql_token(&rest)));
        token = sl_sql_token(&rest);
    }
    if (is(token, ")"))
        token = sl_sql_token(&rest);
    c->named = sl_buf_str(&table);
    if (!sl_redshift_rewrite(c->s, c->a, c->named, &c->table, err))
        return false;
    c->columns = columns;
    c->url = sl_redshift_unquoted(c->a, sl_sql_token(&rest));
    if (!is(token, "FROM") || c->table.n == 0 || c->url.n == 0)
        return sl_err_set(err, SL_ERR_DATA, "pg.42601", "syntax error in COPY: COPY table FROM 's3://bucket/prefix' with credentials is expected");
    while ((token = sl_sql_token(&rest)).n > 0)
        if (!option(c, token, &rest, err))
            return false;
    if (!c->credentials)
        return sl_err_set(err, SL_ERR_DATA, "pg.42601", "COPY needs credentials: IAM_ROLE '…', CREDENTIALS '…', or ACCESS_KEY_ID and SECRET_ACCESS_KEY");
    if (c->parquet && (c->csv || c->json.n > 0 || c->packed != NULL || c->skip > 0 || c->truncate || c->trim || c->fill || c->any_date))
        return sl_err_set(err, SL_ERR_DATA, "pg.42601", "COPY with FORMAT PARQUET takes no options for text");
    if (c->delimiter.n == 0)
        c->delimiter = SL_S("|");
    if (c->delimiter.n != 1 || c->quote.n > 1)
        return sl_err_set(err, SL_ERR_DATA, "pg.42601", "COPY %s must be one character", c->delimiter.n != 1 ? "delimiter" : "quote");
    if (c->null_text.p == NULL)
        c->null_text = SL_S("\\N");
    return true;
}

/* Names and types of the columns that are filled, in their order. */
static bool load_types(copy *c, sl_err *err)
{
    const sl_val *rows;
    sl_redshift_place place;
    c->types = sl_list(c->a);
    if (!sl_redshift_find(c->s, c->a, c->named, &place, err))
        return false;
    sl_str sql = sl_fmt(c->a, "SELECT column_name, data_type, coalesce(column_default, '') LIKE '%%" SL_REDSHIFT_IDENTITY "%%', length, fixed, NOT is_nullable FROM duckdb_columns() LEFT JOIN " SL_REDSHIFT_INFORMATION
                              ".lengths USING (database_name, schema_name, table_name, column_name) WHERE %s ORDER BY column_index",
                        sl_redshift_where(c->a, &place).p);
    if (!sl_duck_run(c->s->con, c->a, sql, &rows, NULL, err))
        return false;
    size_t n = sl_val_count(c->columns) > 0 ? sl_val_count(c->columns) : sl_val_count(rows);
    for (size_t i = 0; i < n; i++) {
        if (sl_val_count(c->columns) == 0 && !c->explicit_ids && sl_str_eqc(sl_at(sl_at(rows, i), 2)->s, "true"))
            continue;
        const sl_val *row = sl_val_count(c->columns) > 0 ? NULL : sl_at(rows, i);
        for (size_t k = 0; row == NULL && k < sl_val_count(rows); k++)
            if (sl_str_ieq(sl_at(sl_at(rows, k), 0)->s, sl_str_replace(c->a, sl_at(c->columns, i)->s, SL_S("\""), SL_S(""))))
                row = sl_at(rows, k);
        if (row == NULL)
            return sl_err_set(err, SL_ERR_NOT_FOUND, "pg.42703", "column \"%.*s\" of relation \"%.*s\" does not exist", SL_ARG(sl_at(c->columns, i)->s), SL_ARG(c->named));
        if (!c->explicit_ids && sl_str_eqc(sl_at(row, 2)->s, "true"))
            return sl_err_set(err, SL_ERR_DATA, "pg.XX000", "COPY cannot fill the IDENTITY column \"%.*s\" without EXPLICIT_IDS", SL_ARG(sl_at(row, 0)->s));
        sl_val *one = sl_map_of(c->a, "name", sl_at(row, 0));
        sl_map_setc(c->a, one, "type", sl_at(row, 1));
        int64_t length = 0;
        if (sl_is(sl_at(row, 3), SL_STRING))
            (void)sl_parse_int(sl_at(row, 3)->s, &length);
        sl_map_set_int(c->a, one, "length", length);
        sl_map_set_bool(c->a, one, "fixed", sl_is(sl_at(row, 4), SL_STRING) && sl_str_eqc(sl_at(row, 4)->s, "true"));
        sl_map_set_bool(c->a, one, "required", sl_str_eqc(sl_at(row, 5)->s, "true"));
        sl_list_add(c->a, c->types, one);
    }
    return true;
}

/* ---- the load ---- */

static bool is_dynamo(const copy *c)
{
    return sl_str_starts(c->url, SL_S("dynamodb://"));
}

/* Of DuckDB's words the name of a file means nothing to who reads them. */
static bool in_urls(copy *c, const sl_redshift_files *files, sl_err *err)
{
    sl_err own = *err;
    sl_str text = sl_str_c(own.message);
    for (size_t i = 0; i < sl_val_count(files->paths); i++)
        text = sl_str_replace(c->a, text, sl_at(files->paths, i)->s, sl_at(files->names, i)->s);
    return sl_err_set(err, own.kind, own.code, "%.*s", SL_ARG(text));
}

static sl_str url_of(const sl_redshift_files *files, sl_str path)
{
    for (size_t i = 0; i < sl_val_count(files->paths); i++)
        if (sl_str_eq(sl_at(files->paths, i)->s, path))
            return sl_at(files->names, i)->s;
    return path;
}

/* Of a file of Parquet no row can be told: the statement's own error says which column it is. */
static bool too_wide(copy *c, const sl_redshift_files *files, const sl_val *reject, sl_err *err)
{
    sl_str column = sl_at(reject, 2)->s, length = sl_at(reject, 4)->s, url = url_of(files, sl_at(reject, 0)->s);
    int64_t room = 0;
    for (size_t i = 0; i < sl_val_count(c->types); i++)
        if (sl_str_eq(sl_redshift_column_at(c, i).name, column))
            room = sl_redshift_column_at(c, i).text.length;
    return sl_err_set(err, SL_ERR_DATA, "pg.XX000", "Spectrum Scan Error: The length of the data column %.*s is longer than the length defined in the table. Table: %lld, Data: %.*s, File name: %.*s", SL_ARG(column), (long long)room, SL_ARG(length),
                      SL_ARG(url));
}

/* What the source leaves out, with where it is and why. */
static bool explain(copy *c, const sl_redshift_source *from, const sl_redshift_files *files, bool wrong, size_t most, sl_val *ret, sl_err *err)
{
    const sl_val *rejects = NULL;
    if (from->rejects.n == 0 || (c->parquet && !wrong))
        return true;
    if (!sl_duck_run(c->s->con, c->a, from->rejects, &rejects, NULL, err))
        return false;
    if (c->parquet)
        return sl_val_count(rejects) == 0 || too_wide(c, files, sl_at(rejects, 0), err);
    if (c->json.n == 0 && !is_dynamo(c))
        return (!wrong && sl_val_count(rejects) == 0) || sl_redshift_copy_lines(c, files, rejects, most, ret, err);
    for (size_t i = 0; i < sl_val_count(rejects) && sl_val_count(ret) < most; i++) {
        const sl_val *r = sl_at(rejects, i), *value = sl_at(r, 4);
        int64_t line = 0;
        (void)sl_parse_int(sl_at(r, 1)->s, &line);
        sl_list_add(c->a, ret, sl_redshift_reject(c, url_of(files, sl_at(r, 0)->s), line, sl_at(r, 2)->s, sl_at(r, 3)->s, sl_is(value, SL_STRING) ? value->s : SL_S(""), SL_S("")));
    }
    return true;
}

/* rejects: at most so many as make it fail. */
static bool load(copy *c, const sl_redshift_source *from, const sl_redshift_files *files, size_t most, sl_val *rejects, int64_t *rows, sl_err *err)
{
    sl_duck_con *con = c->s->con;
    sl_buf list = sl_buf_new(c->a, SL_REDSHIFT_COPY_SQL);
    const sl_val *count = NULL;
    for (size_t i = 0; i < sl_val_count(c->types); i++)
        sl_buf_fmt(&list, "%s%s", i ? ", " : "", sl_duck_ident(c->a, sl_redshift_column_at(c, i).name).p);
    if (from->prepare.n > 0 && !sl_duck_exec(con, sl_cstr(c->a, from->prepare), err))
        return false;
    if (from->wrong.n > 0 && !sl_duck_run(con, c->a, from->wrong, &count, NULL, err))
        return false;
    bool wrong = count != NULL && !sl_str_eqc(sl_at(sl_at(count, 0), 0)->s, "0");
    sl_str columns = sl_buf_str(&list), taken = wrong ? from->right : from->rows;
    return sl_duck_run(con, c->a, sl_fmt(c->a, "INSERT INTO %.*s (%.*s) %.*s", SL_ARG(c->table), SL_ARG(columns), SL_ARG(taken)), NULL, rows, err) && explain(c, from, files, wrong, most, rejects, err);
}

/* What a source leaves in the session. */
static void clear(copy *c)
{
    sl_err ignored;
    (void)sl_duck_exec(c->s->con, "DROP TABLE IF EXISTS sl_rejects; DROP TABLE IF EXISTS sl_scans; DROP TABLE IF EXISTS sl_records", &ignored);
}

static bool source(copy *c, sl_redshift_files *files, sl_redshift_source *ret, sl_err *err)
{
    if (is_dynamo(c))
        return sl_redshift_source_dynamo(c, ret, err);
    return (c->manifest ? sl_redshift_manifest(c->s, c->a, c->url, files, err) : sl_redshift_objects_there(c->s, c->a, c->url, false, files, err)) && sl_redshift_source_of(c, files->paths, ret, err);
}

static bool run(copy *c, int64_t *rows, sl_err *err)
{
    sl_redshift_files files = { sl_list(c->a), sl_list(c->a) };
    sl_redshift_source from;
    sl_val *rejects = sl_list(c->a);
    sl_err ignored;
    size_t most = c->max_error > 1 ? (size_t)c->max_error : 1;
    bool own = c->s->status == 'I';
    clear(c);
    if (!source(c, &files, &from, err) || (own && !sl_duck_exec(c->s->con, "BEGIN", err)))
        return false;
    bool ok = load(c, &from, &files, most, rejects, rows, err), good = ok && sl_val_count(rejects) < most;
    if (own && !sl_duck_exec(c->s->con, good ? "COMMIT" : "ROLLBACK", ok ? err : &ignored))
        return false;
    clear(c);
    if (!ok)
        return in_urls(c, &files, err);
    if (!sl_redshift_errors_keep(c, rejects, err))
        return false;
    return good || sl_err_set(err, SL_ERR_DATA, "pg.XX000", "Load into table '%.*s' failed. Check 'sys_load_error_detail' system table for details.", SL_ARG(c->named));
}

bool sl_redshift_copy(sl_redshift_session *s, sl_arena *a, sl_str statement, int64_t *rows, sl_err *err)
{
    copy c = { .s = s, .a = a };
    return parse(&c, statement, err) && load_types(&c, err) && run(&c, rows, err);
}
