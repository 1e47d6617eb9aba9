/*
 * local/redshift_copy.c: COPY into a table of the Redshift face, from objects of the local S3 and items of the local DynamoDB.
 * Source: https://docs.aws.amazon.com/redshift/latest/dg/r_COPY.html
 *
 * All or nothing; what a line is wrong with is in sys_load_error_detail. Credentials must be given, as there; whose they are is
 * not looked at.
 */
#include "base/arena.h"
#include "base/json.h"
#include "base/sql.h"
#include "local/redshift_copy.h"

enum { INSERT_ROWS = 200 };

typedef sl_redshift_copying copy;

static bool number(copy *c, sl_str name, sl_str *rest, int64_t *ret, sl_err *err)
{
    sl_str text = sl_redshift_value(c->a, rest);
    return sl_parse_int(text, ret) || sl_err_set(err, SL_ERR_DATA, "pg.42601", "%.*s needs a number, not '%.*s'", SL_ARG(name), SL_ARG(text));
}

static bool option(copy *c, sl_str name, sl_str *rest, sl_err *err)
{
    static const char *const with_value[] = { "REGION", "ENCODING", "COMPUPDATE", "STATUPDATE" }, *const alone[] = { "ACCEPTANYDATE", "TRUNCATECOLUMNS", "TRIMBLANKS", "IGNOREBLANKLINES", "FILLRECORD", "ROUNDEC", "AS", "FORMAT" };
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
        return number(c, name, rest, &c->max_error, err);
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
    if (c->parquet && (c->csv || c->json.n > 0 || c->packed != NULL || c->skip > 0))
        return sl_err_set(err, SL_ERR_DATA, "pg.42601", "COPY with FORMAT PARQUET takes no options for text");
    if (c->delimiter.n == 0)
        c->delimiter = SL_S("|");
    return true;
}

/* Names and types of the columns that are filled, in their order. */
static bool load_types(copy *c, sl_err *err)
{
    const sl_val *rows;
    sl_str sql = sl_fmt(c->a, "SELECT column_name, column_type, coalesce(\"default\", '') LIKE '%%" SL_REDSHIFT_IDENTITY "%%' FROM (DESCRIBE %.*s)", SL_ARG(c->table));
    c->types = sl_list(c->a);
    if (!sl_duck_run(c->s->con, c->a, sql, &rows, NULL, err))
        return strncmp(err->message, "Catalog Error", 13) == 0 ? sl_err_set(err, SL_ERR_NOT_FOUND, "pg.42P01", "relation \"%.*s\" does not exist", SL_ARG(c->named)) : false;
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
        sl_list_add(c->a, c->types, one);
    }
    return true;
}

static sl_str column_list(copy *c)
{
    sl_buf b = sl_buf_new(c->a, 1 << 20);
    for (size_t i = 0; i < sl_val_count(c->types); i++) {
        sl_str name = sl_duck_ident(c->a, sl_get_text(sl_at(c->types, i), "name"));
        sl_buf_fmt(&b, "%s%.*s", i ? ", " : "", SL_ARG(name));
    }
    return sl_buf_str(&b);
}

/* ---- S3 ---- */

/* What was wrong goes into the system's table, on a connection of its own: it stays when the transaction is rolled back. */
static bool keep_rejects(copy *c, const sl_val *rejects, const sl_val *paths, const sl_val *names, sl_err *err)
{
    sl_duck_con *con = sl_duck_connect(c->s->c->redshift_duck, err);
    bool ok = con != NULL;
    for (size_t i = 0; ok && i < sl_val_count(rejects); i++) {
        const sl_val *r = sl_at(rejects, i);
        sl_str file = sl_at(r, 0)->s, column = sl_at(r, 2)->type == SL_NULL ? SL_S("") : sl_at(r, 2)->s, type = SL_S("");
        for (size_t k = 0; k < sl_val_count(paths); k++)
            if (sl_str_eq(sl_at(paths, k)->s, file))
                file = sl_at(names, k)->s;
        for (size_t k = 0; k < sl_val_count(c->types); k++)
            if (sl_str_eq(sl_get_text(sl_at(c->types, k), "name"), column))
                type = sl_get_text(sl_at(c->types, k), "type");
        sl_str line = sl_at(r, 1)->s, texts[4] = { sl_duck_text(c->a, file), sl_duck_text(c->a, column), sl_duck_text(c->a, type), sl_duck_text(c->a, sl_str_sub(sl_at(r, 3)->s, 0, 500)) };
        ok = sl_duck_run(con, c->a, sl_fmt(c->a, "INSERT INTO sys_load_error_detail VALUES (100, 0, 0, %d, 'dev', 0, (now() AT TIME ZONE 'UTC')::TIMESTAMP, %.*s, %.*s, %.*s, %.*s, '', 0, 1207, %.*s)", c->s->pid, SL_ARG(texts[0]),
                                                 SL_ARG(line), SL_ARG(texts[1]), SL_ARG(texts[2]), SL_ARG(texts[3])),
                         NULL, NULL, err);
    }
    sl_duck_disconnect(con);
    return ok;
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

static bool load(copy *c, const sl_redshift_source *from, const sl_val **rejects, int64_t *rows, sl_err *err)
{
    sl_duck_con *con = c->s->con;
    sl_str list = column_list(c);
    *rejects = NULL;
    return (from->prepare.n == 0 || sl_duck_exec(con, sl_cstr(c->a, from->prepare), err))
           && sl_duck_run(con, c->a, sl_fmt(c->a, "INSERT INTO %.*s (%.*s) %.*s", SL_ARG(c->table), SL_ARG(list), SL_ARG(from->rows)), NULL, rows, err)
           && (from->rejects.n == 0 || sl_duck_run(con, c->a, from->rejects, rejects, NULL, err));
}

static bool from_s3(copy *c, int64_t *rows, sl_err *err)
{
    sl_redshift_files files = { sl_list(c->a), sl_list(c->a) };
    sl_redshift_source from;
    const sl_val *rejects;
    sl_err ignored;
    sl_duck_con *con = c->s->con;
    bool own = c->s->status == 'I';
    if (!(c->manifest ? sl_redshift_manifest(c->s, c->a, c->url, &files, err) : sl_redshift_objects_there(c->s, c->a, c->url, false, &files, err)) || !sl_redshift_source_of(c, files.paths, &from, err))
        return false;
    sl_redshift_source_clear(c);
    if (own && !sl_duck_exec(con, "BEGIN", err))
        return false;
    bool ok = load(c, &from, &rejects, rows, err);
    bool good = ok && (int64_t)sl_val_count(rejects) <= c->max_error;
    if (own && !sl_duck_exec(con, good ? "COMMIT" : "ROLLBACK", ok ? err : &ignored))
        return false;
    sl_redshift_source_clear(c);
    if (!ok)
        return in_urls(c, &files, err);
    if (!keep_rejects(c, rejects, files.paths, files.names, err))
        return false;
    return good || sl_err_set(err, SL_ERR_DATA, "pg.XX000", "Load into table '%.*s' failed. Check 'sys_load_error_detail' system table for details.", SL_ARG(c->named));
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

static bool insert_items(copy *c, const sl_val *items, int64_t *rows, sl_err *err)
{
    sl_str list = column_list(c);
    for (size_t at = 0; at < sl_val_count(items); at += INSERT_ROWS) {
        sl_buf b = sl_buf_new(c->a, 64 << 20);
        int64_t changed = 0;
        sl_buf_fmt(&b, "INSERT INTO %.*s (%.*s) VALUES ", SL_ARG(c->table), SL_ARG(list));
        for (size_t i = at; i < sl_val_count(items) && i < at + INSERT_ROWS; i++) {
            sl_buf_addc(&b, i > at ? ", (" : "(");
            for (size_t k = 0; k < sl_val_count(c->types); k++) {
                sl_str text = cell(c, sl_at(items, i), sl_get_text(sl_at(c->types, k), "name"));
                sl_buf_fmt(&b, "%s%.*s", k ? ", " : "", SL_ARG(text));
            }
            sl_buf_addc(&b, ")");
        }
        if (!sl_duck_run(c->s->con, c->a, sl_buf_str(&b), NULL, &changed, err))
            return false;
        *rows += changed;
    }
    return true;
}

static bool from_dynamo(copy *c, int64_t *rows, sl_err *err)
{
    sl_str table = sl_str_sub(c->url, 11, c->url.n);
    sl_val *items = sl_list(c->a);
    bool known = false, own = c->s->status == 'I';
    sl_err ignored;
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
    *rows = 0;
    if (own && !sl_duck_exec(c->s->con, "BEGIN", err))
        return false;
    bool ok = insert_items(c, items, rows, err);
    return (!own || sl_duck_exec(c->s->con, ok ? "COMMIT" : "ROLLBACK", ok ? err : &ignored)) && ok;
}

bool sl_redshift_copy(sl_redshift_session *s, sl_arena *a, sl_str statement, int64_t *rows, sl_err *err)
{
    copy c = { .s = s, .a = a };
    return parse(&c, statement, err) && load_types(&c, err) && (sl_str_starts(c.url, SL_S("dynamodb://")) ? from_dynamo(&c, rows, err) : from_s3(&c, rows, err));
}
