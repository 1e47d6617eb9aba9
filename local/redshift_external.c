/*
 * local/redshift_external.c: external schemas and tables: views over objects of the local S3, as Spectrum's tables are.
 *
 * A definition lies in _sl.external_*; the view reads the files that a variable of the session names, and the variable is set
 * before each statement: objects that come and go are seen at once. What cannot be read as a column's type is null.
 * Sources: https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_EXTERNAL_TABLE.html, …/r_ALTER_TABLE_external-table.html
 */
#include "base/arena.h"
#include "base/json.h"
#include "base/sql.h"
#include "local/redshift_external.h"

const char *const sl_redshift_external_setup[] = {
    "CREATE TABLE IF NOT EXISTS _sl.external_schemas(schema_name VARCHAR, database_name VARCHAR)",
    "CREATE TABLE IF NOT EXISTS _sl.external_tables(schema_name VARCHAR, table_name VARCHAR, location VARCHAR, format VARCHAR, parted BOOLEAN, parameters VARCHAR)",
    "CREATE TABLE IF NOT EXISTS _sl.external_columns(schema_name VARCHAR, table_name VARCHAR, column_name VARCHAR, type VARCHAR, number INTEGER, part_key INTEGER)",
    "CREATE TABLE IF NOT EXISTS _sl.external_partitions(schema_name VARCHAR, table_name VARCHAR, vals VARCHAR, location VARCHAR)",
    "CREATE OR REPLACE VIEW svv_external_schemas AS SELECT 0 AS esoid, 1 AS eskind, schema_name AS schemaname, 1 AS esowner, database_name AS databasename, '' AS esoptions FROM _sl.external_schemas",
    "CREATE OR REPLACE VIEW svv_external_tables AS SELECT 'dev' AS redshift_database_name, schema_name AS schemaname, table_name AS tablename, 'TABLE' AS tabletype, location, format AS input_format, parameters FROM _sl.external_tables",
    "CREATE OR REPLACE VIEW svv_external_columns AS SELECT 'dev' AS redshift_database_name, schema_name AS schemaname, table_name AS tablename, column_name AS columnname, type AS external_type, number AS columnnum, part_key,"
    " 'true' AS is_nullable FROM _sl.external_columns",
    "CREATE OR REPLACE VIEW svv_external_partitions AS SELECT schema_name AS schemaname, table_name AS tablename, vals AS \"values\", location FROM _sl.external_partitions",
    NULL,
};

static sl_str literal(sl_external *x, sl_str text)
{
    return sl_duck_text(x->a, text);
}

static bool keep_definition(sl_external *x, sl_err *err)
{
    sl_val *parameters = sl_map(x->a);
    if (x->skip > 0)
        sl_map_set_int(x->a, parameters, "skip.header.line.count", x->skip);
    sl_str s = literal(x, x->schema), t = literal(x, x->table), texts[] = { literal(x, x->location), literal(x, x->format), literal(x, sl_json(x->a, parameters)) };
    if (!sl_external_run(x, sl_fmt(x->a, "INSERT INTO _sl.external_tables VALUES (%.*s, %.*s, %.*s, %.*s, %s, %.*s)", SL_ARG(s), SL_ARG(t), SL_ARG(texts[0]), SL_ARG(texts[1]), x->parts > 0 ? "true" : "false", SL_ARG(texts[2])), NULL, err))
        return false;
    for (size_t i = 0; i < x->count; i++) {
        size_t own = x->count - x->parts;
        sl_str name = literal(x, x->columns[i].name), type = literal(x, x->columns[i].type);
        if (!sl_external_run(x, sl_fmt(x->a, "INSERT INTO _sl.external_columns VALUES (%.*s, %.*s, %.*s, %.*s, %zu, %zu)", SL_ARG(s), SL_ARG(t), SL_ARG(name), SL_ARG(type), i + 1, i < own ? 0 : i - own + 1), NULL, err))
            return false;
    }
    return true;
}

static bool known(sl_external *x, const char *table, sl_str condition, bool *ret, sl_err *err)
{
    const sl_val *rows;
    if (!sl_external_run(x, sl_fmt(x->a, "SELECT 1 FROM _sl.%s %.*s", table, SL_ARG(condition)), &rows, err))
        return false;
    *ret = sl_val_count(rows) > 0;
    return true;
}

static bool create_table(sl_external *x, sl_str *rest, sl_err *err)
{
    bool there, schema;
    if (x->s->status != 'I')
        return sl_err_set(err, SL_ERR_DATA, "pg.25001", "CREATE EXTERNAL TABLE cannot run inside a transaction block");
    if (!sl_external_parse(x, rest, err) || !known(x, "external_schemas", sl_fmt(x->a, "WHERE schema_name=%.*s", SL_ARG(literal(x, x->schema))), &schema, err) || !known(x, "external_tables", sl_external_where(x), &there, err))
        return false;
    if (!schema)
        return sl_err_set(err, SL_ERR_NOT_FOUND, "pg.3F000", "schema \"%.*s\" does not exist, or is no external schema", SL_ARG(x->schema));
    if (there)
        return sl_err_set(err, SL_ERR_CONFLICT, "pg.42P07", "relation \"%.*s\" already exists", SL_ARG(x->table));
    sl_str name = sl_fmt(x->a, "%.*s.%.*s", SL_ARG(sl_duck_ident(x->a, x->schema)), SL_ARG(sl_duck_ident(x->a, x->table)));
    sl_err ignored;
    if (!sl_external_make_empty(x, err) || !sl_external_set(x, x->parts > 0, err) || !sl_duck_exec(x->s->con, "BEGIN", err))
        return false;
    bool ok = keep_definition(x, err) && sl_external_run(x, sl_fmt(x->a, "CREATE VIEW %.*s AS %.*s", SL_ARG(name), SL_ARG(sl_external_view(x))), NULL, err);
    return sl_duck_exec(x->s->con, ok ? "COMMIT" : "ROLLBACK", ok ? err : &ignored) && ok;
}

/* ---- the rest ---- */

/* Behind CREATE EXTERNAL SCHEMA: [IF NOT EXISTS] name FROM DATA CATALOG DATABASE '…' IAM_ROLE '…' … */
static bool create_schema(sl_external *x, sl_str *rest, sl_err *err)
{
    bool there, maybe = sl_external_taken(rest, "IF"), role = false;
    if (maybe && (!sl_external_take(rest, "NOT", err) || !sl_external_take(rest, "EXISTS", err)))
        return false;
    x->schema = sl_external_name(x->a, sl_sql_token(rest));
    if (!sl_external_take(rest, "FROM", err) || !sl_external_take(rest, "DATA", err) || !sl_external_take(rest, "CATALOG", err) || !sl_external_take(rest, "DATABASE", err))
        return false;
    sl_str database = sl_redshift_unquoted(x->a, sl_sql_token(rest)), token;
    while ((token = sl_sql_token(rest)).n > 0)
        role |= is(token, "IAM_ROLE");
    if (!role)
        return sl_external_syntax("IAM_ROLE", SL_S(";"), err);
    if (!known(x, "external_schemas", sl_fmt(x->a, "WHERE schema_name=%.*s", SL_ARG(literal(x, x->schema))), &there, err))
        return false;
    if (there)
        return maybe || sl_err_set(err, SL_ERR_CONFLICT, "pg.42P06", "schema \"%.*s\" already exists", SL_ARG(x->schema));
    return sl_external_run(x, sl_fmt(x->a, "CREATE SCHEMA %.*s", SL_ARG(sl_duck_ident(x->a, x->schema))), NULL, err)
           && sl_external_run(x, sl_fmt(x->a, "INSERT INTO _sl.external_schemas VALUES (%.*s, %.*s)", SL_ARG(literal(x, x->schema)), SL_ARG(literal(x, database))), NULL, err);
}

/* (a='x', b=2): the values in the order of the folders. */
static bool partition_values(sl_external *x, sl_str *rest, sl_str *ret, sl_err *err)
{
    const sl_val *rows;
    if (!sl_external_take(rest, "(", err) || !sl_external_run(x, sl_fmt(x->a, "SELECT column_name FROM _sl.external_columns %.*s AND part_key > 0 ORDER BY part_key", SL_ARG(sl_external_where(x))), &rows, err))
        return false;
    size_t n = sl_val_count(rows), found = 0;
    sl_val *by_name = sl_map(x->a), *list = sl_list(x->a);
    for (sl_str token; !is(token = sl_sql_token(rest), ")");) {
        if (token.n == 0)
            return sl_external_syntax(")", token, err);
        if (is(token, ","))
            continue;
        if (!sl_external_take(rest, "=", err))
            return false;
        sl_map_set_str(x->a, by_name, sl_external_name(x->a, token).p, sl_redshift_unquoted(x->a, sl_sql_token(rest)));
    }
    for (size_t i = 0; i < n; i++) {
        sl_str value = sl_get_text(by_name, sl_at(sl_at(rows, i), 0)->s.p);
        found += value.p != NULL && sl_get(by_name, sl_at(sl_at(rows, i), 0)->s.p) != NULL;
        sl_list_add(x->a, list, sl_val_str(x->a, value));
    }
    *ret = sl_json(x->a, list);
    return (found == n && sl_val_count(by_name) == n) || sl_err_set(err, SL_ERR_DATA, "pg.42601", "PARTITION must give each partition column of \"%.*s\" once", SL_ARG(x->table));
}

/* Behind ALTER TABLE schema.table: ADD [IF NOT EXISTS] PARTITION (…) LOCATION '…' …, or DROP PARTITION (…) */
static bool alter(sl_external *x, sl_str *rest, sl_err *err)
{
    bool add = sl_external_taken(rest, "ADD"), there, maybe;
    if (!add && !sl_external_take(rest, "DROP", err))
        return false;
    maybe = sl_external_taken(rest, "IF");
    if (maybe && (!sl_external_take(rest, "NOT", err) || !sl_external_take(rest, "EXISTS", err)))
        return false;
    while (sl_external_taken(rest, "PARTITION")) {
        sl_str values;
        if (!partition_values(x, rest, &values, err))
            return false;
        sl_str condition = sl_fmt(x->a, "%.*s AND vals=%.*s", SL_ARG(sl_external_where(x)), SL_ARG(literal(x, values)));
        if (!known(x, "external_partitions", condition, &there, err))
            return false;
        if (add && there && !maybe)
            return sl_err_set(err, SL_ERR_CONFLICT, "pg.42710", "Partition already exists.");
        if (!add && !there)
            return sl_err_set(err, SL_ERR_NOT_FOUND, "pg.42704", "Partition does not exist.");
        if (!add && !sl_external_run(x, sl_fmt(x->a, "DELETE FROM _sl.external_partitions %.*s", SL_ARG(condition)), NULL, err))
            return false;
        if (!add)
            continue;
        if (!sl_external_take(rest, "LOCATION", err))
            return false;
        sl_str location = literal(x, sl_redshift_unquoted(x->a, sl_sql_token(rest))), s = literal(x, x->schema), t = literal(x, x->table), v = literal(x, values);
        if (!there && !sl_external_run(x, sl_fmt(x->a, "INSERT INTO _sl.external_partitions VALUES (%.*s, %.*s, %.*s, %.*s)", SL_ARG(s), SL_ARG(t), SL_ARG(v), SL_ARG(location)), NULL, err))
            return false;
    }
    return true;
}

static bool forget(sl_external *x, sl_str condition, sl_err *err)
{
    static const char *const tables[] = { "external_partitions", "external_columns", "external_tables" };
    for (size_t i = 0; i < SL_COUNT(tables); i++)
        if (!sl_external_run(x, sl_fmt(x->a, "DELETE FROM _sl.%s %.*s", tables[i], SL_ARG(condition)), NULL, err))
            return false;
    return true;
}

static bool drop_schema(sl_external *x, sl_str rest, sl_err *err)
{
    bool used, cascade = false;
    sl_str condition = sl_fmt(x->a, "WHERE schema_name=%.*s", SL_ARG(literal(x, x->schema))), token;
    while ((token = sl_sql_token(&rest)).n > 0)
        cascade |= is(token, "CASCADE");
    if (!known(x, "external_tables", condition, &used, err))
        return false;
    if (used && !cascade)
        return sl_err_set(err, SL_ERR_CONFLICT, "pg.2BP01", "cannot drop schema %.*s because other objects depend on it; use DROP … CASCADE", SL_ARG(x->schema));
    return forget(x, condition, err) && sl_external_run(x, sl_fmt(x->a, "DELETE FROM _sl.external_schemas %.*s", SL_ARG(condition)), NULL, err)
           && sl_external_run(x, sl_fmt(x->a, "DROP SCHEMA %.*s CASCADE", SL_ARG(sl_duck_ident(x->a, x->schema))), NULL, err);
}

/* DROP or ALTER of something: is it external? The schema, and the table, are set then. */
static bool named(sl_external *x, bool table, sl_str *rest, bool *ret, sl_err *err)
{
    if (sl_external_taken(rest, "IF"))
        (void)sl_external_taken(rest, "EXISTS");
    x->schema = sl_external_name(x->a, sl_sql_token(rest));
    *ret = false;
    if (!table)
        return known(x, "external_schemas", sl_fmt(x->a, "WHERE schema_name=%.*s", SL_ARG(literal(x, x->schema))), ret, err);
    if (!sl_external_taken(rest, "."))
        return true;
    x->table = sl_external_name(x->a, sl_sql_token(rest));
    return known(x, "external_tables", sl_external_where(x), ret, err);
}

bool sl_redshift_external(sl_redshift_session *s, sl_arena *a, sl_str statement, bool *handled, sl_str *tag, sl_err *err)
{
    sl_external x = { .s = s, .a = a };
    sl_str rest = statement, first = sl_sql_token(&rest), second = sl_sql_token(&rest), third;
    bool table = is(second, "TABLE"), found = false;
    *handled = true;
    if (is(first, "CREATE") && is(second, "EXTERNAL")) {
        third = sl_sql_token(&rest);
        *tag = sl_fmt(a, "CREATE EXTERNAL %.*s", SL_ARG(sl_str_upper(a, third)));
        return is(third, "TABLE") ? create_table(&x, &rest, err) : is(third, "SCHEMA") ? create_schema(&x, &rest, err) : sl_external_syntax("SCHEMA or TABLE", third, err);
    }
    *handled = false;
    if ((!is(first, "DROP") && !is(first, "ALTER")) || (!table && !is(second, "SCHEMA")))
        return true;
    if (!named(&x, table, &rest, &found, err) || !found)
        return !found && err->kind == SL_ERR_NONE;
    *handled = true;
    *tag = sl_fmt(a, "%.*s %.*s", SL_ARG(sl_str_upper(a, first)), SL_ARG(sl_str_upper(a, second)));
    if (is(first, "ALTER"))
        return table ? alter(&x, &rest, err) : sl_err_set(err, SL_ERR_CONFIG, "pg.0A000", "the local Redshift does not alter external schemas");
    if (!table)
        return drop_schema(&x, rest, err);
    return forget(&x, sl_external_where(&x), err) && sl_external_run(&x, sl_fmt(a, "DROP VIEW %.*s.%.*s", SL_ARG(sl_duck_ident(a, x.schema)), SL_ARG(sl_duck_ident(a, x.table))), NULL, err);
}
