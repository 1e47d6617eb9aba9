/*
 * local/redshift_data_lists.c: what there is: statements, databases, schemas, tables, columns; in pages.
 * Source: https://docs.aws.amazon.com/redshift-data/latest/APIReference/
 */
#include "base/arena.h"
#include "base/json.h"
#include "db/duck.h"
#include "local/redshift_data.h"

enum { RESULTS_MAX = 1000, STATEMENTS_SHOWN = 100 };

/* One page of what `sql` gives, a list of texts each; *ret. */
static bool page(sl_data_call *x, sl_str sql, int64_t most, const sl_val **ret)
{
    sl_err err;
    int64_t from = 0, asked = sl_get_int(x->body, "MaxResults", most), size = asked > 0 ? asked : most;
    sl_str token = sl_get_text(x->body, "NextToken");
    if (asked < 0 || asked > most)
        return sl_data_invalid(x, "MaxResults is out of its range.");
    if (token.n > 0 && (!sl_parse_int(token, &from) || from < 0))
        return sl_data_invalid(x, "NextToken is not one that was given out.");
    if (!sl_duck_run(x->s->con, x->a, sl_fmt(x->a, "%.*s LIMIT %lld OFFSET %lld", SL_ARG(sql), (long long)size + 1, (long long)from), ret, NULL, &err))
        return sl_data_broken(x, &err);
    if ((int64_t)sl_val_count(*ret) <= size)
        return true;
    sl_val *some = sl_list(x->a);
    for (int64_t i = 0; i < size; i++)
        sl_list_add(x->a, some, sl_at(*ret, (size_t)i));
    *ret = some;
    sl_map_set_str(x->a, x->answer, "NextToken", sl_fmt(x->a, "%lld", (long long)(from + size)));
    return true;
}

/* column LIKE pattern, where the call has one. */
static sl_str like(sl_data_call *x, const char *column, const char *name)
{
    sl_str pattern = sl_get_text(x->body, name);
    return pattern.n > 0 ? sl_fmt(x->a, " AND %s LIKE %.*s ESCAPE '\\'", column, SL_ARG(sl_duck_text(x->a, pattern))) : SL_S("");
}

static bool strings(sl_data_call *x, sl_str sql, const char *name)
{
    const sl_val *rows;
    sl_val *list = sl_list(x->a);
    if (!sl_data_target(x) || !page(x, sql, RESULTS_MAX, &rows))
        return false;
    for (size_t i = 0; i < sl_val_count(rows); i++)
        sl_list_add(x->a, list, sl_at(sl_at(rows, i), 0));
    sl_map_setc(x->a, x->answer, name, list);
    return true;
}

bool sl_data_databases(sl_data_call *x)
{
    return strings(x, SL_S("SELECT 'dev'"), "Databases");
}

bool sl_data_schemas(sl_data_call *x)
{
    sl_str pattern = like(x, "s", "SchemaPattern");
    return strings(x, sl_fmt(x->a, "SELECT s FROM (SELECT DISTINCT replace(schema_name, 'main', 'public') AS s FROM duckdb_schemas() WHERE database_name = current_database() AND NOT starts_with(schema_name, '_')) WHERE true%.*s ORDER BY s", SL_ARG(pattern)), "Schemas");
}

bool sl_data_tables(sl_data_call *x)
{
    const sl_val *rows;
    sl_val *list = sl_list(x->a);
    sl_str schema = like(x, "table_schema", "SchemaPattern"), table = like(x, "table_name", "TablePattern");
    sl_str sql = sl_fmt(x->a, "SELECT table_name, table_schema, CASE table_type WHEN 'VIEW' THEN 'VIEW' ELSE 'TABLE' END FROM svv_tables WHERE NOT starts_with(table_schema, '_')%.*s%.*s ORDER BY table_schema, table_name", SL_ARG(schema), SL_ARG(table));
    if (!sl_data_target(x) || !page(x, sql, RESULTS_MAX, &rows))
        return false;
    for (size_t i = 0; i < sl_val_count(rows); i++) {
        sl_val *one = sl_map_of(x->a, "name", sl_at(sl_at(rows, i), 0));
        sl_map_setc(x->a, one, "schema", sl_at(sl_at(rows, i), 1));
        sl_map_setc(x->a, one, "type", sl_at(sl_at(rows, i), 2));
        sl_list_add(x->a, list, one);
    }
    sl_map_setc(x->a, x->answer, "Tables", list);
    return true;
}

/* A name as Redshift has it for one of DuckDB's types. */
/* The short name of a type that svv_columns has in words. */
static sl_str type_name(sl_arena *a, sl_str words)
{
    static const struct {
        const char *words, *name;
    } names[] = { { "smallint", "int2" }, { "integer", "int4" }, { "bigint", "int8" }, { "real", "float4" }, { "double", "float8" }, { "boolean", "bool" }, { "character varying", "varchar" }, { "character", "bpchar" }, { "timestamp with time zone", "timestamptz" },
                  { "timestamp", "timestamp" }, { "time", "time" }, { "binary varying", "varbyte" } };
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (sl_str_starts(words, sl_str_c(names[i].words)))
            return sl_str_c(names[i].name);
    return sl_str_dup(a, words);
}

static int64_t number(const sl_val *row, size_t i)
{
    int64_t n = 0;
    (void)sl_parse_int(sl_text(sl_at(row, i)), &n);
    return n;
}

bool sl_data_table(sl_data_call *x)
{
    sl_arena *a = x->a;
    const sl_val *rows;
    sl_val *columns = sl_list(a);
    sl_str schema = sl_get_text(x->body, "Schema"), table = sl_get_text(x->body, "Table");
    schema = schema.n > 0 ? schema : SL_S("public");
    sl_str sql = sl_fmt(a, "SELECT column_name, data_type, is_nullable = 'YES', coalesce(character_maximum_length, 0)::VARCHAR, coalesce(numeric_precision, 0)::VARCHAR, coalesce(numeric_scale, 0)::VARCHAR, column_default FROM svv_columns"
                           " WHERE table_schema = %.*s AND table_name = %.*s ORDER BY ordinal_position", SL_ARG(sl_duck_text(a, schema)), SL_ARG(sl_duck_text(a, table)));
    if (!sl_data_target(x))
        return false;
    if (table.n == 0)
        return sl_data_invalid(x, "Table must be specified.");
    if (!page(x, sql, RESULTS_MAX, &rows))
        return false;
    for (size_t i = 0; i < sl_val_count(rows); i++) {
        const sl_val *row = sl_at(rows, i);
        sl_str type = sl_text(sl_at(row, 1)), shown = type_name(a, type);
        bool numeric = number(row, 4) > 0;
        sl_val *one = sl_map_of(a, "name", sl_at(row, 0));
        sl_map_setc(a, one, "label", sl_at(row, 0));
        sl_map_set_str(a, one, "typeName", shown);
        sl_map_set_int(a, one, "nullable", sl_str_eqc(sl_text(sl_at(row, 2)), "true"));
        sl_map_set_int(a, one, "length", number(row, 3));
        sl_map_set_int(a, one, "precision", number(row, 4));
        sl_map_set_int(a, one, "scale", number(row, 5));
        sl_map_set_bool(a, one, "isSigned", numeric);
        sl_map_set_bool(a, one, "isCurrency", false);
        sl_map_set_bool(a, one, "isCaseSensitive", !numeric);
        sl_map_set_str(a, one, "schemaName", schema);
        sl_map_set_str(a, one, "tableName", table);
        if (!sl_is(sl_at(row, 6), SL_NULL))
            sl_map_setc(a, one, "columnDefault", sl_at(row, 6));
        sl_list_add(a, columns, one);
    }
    sl_map_setc(a, x->answer, "ColumnList", columns);
    sl_map_set_str(a, x->answer, "TableName", table);
    return true;
}

/* The newest first. */
bool sl_data_statements(sl_data_call *x)
{
    static const char *const states[] = { "SUBMITTED", "PICKED", "STARTED", "FINISHED", "ABORTED", "FAILED", "ALL" };
    sl_arena *a = x->a;
    sl_err err;
    const sl_val *rows;
    sl_val *list = sl_list(a);
    sl_str status = sl_get_text(x->body, "Status"), name = sl_get_text(x->body, "StatementName"), where = SL_S("");
    bool known = status.n == 0;
    for (size_t i = 0; i < SL_COUNT(states); i++)
        known |= sl_str_eqc(status, states[i]);
    if (!known)
        return sl_data_invalid(x, "Status is not a state of statements.");
    if (status.n > 0 && !sl_str_eqc(status, "ALL"))
        where = sl_fmt(a, " AND (doc->>'$.Status') = %.*s", SL_ARG(sl_duck_text(a, status)));
    if (name.n > 0)
        where = sl_fmt(a, "%.*s AND starts_with((doc->>'$.StatementName'), %.*s)", SL_ARG(where), SL_ARG(sl_duck_text(a, name)));
    if (!page(x, sl_fmt(a, "SELECT doc FROM _sl.statements WHERE true%.*s ORDER BY (doc->>'$.CreatedMs')::BIGINT DESC, id", SL_ARG(where)), STATEMENTS_SHOWN, &rows))
        return false;
    for (size_t i = 0; i < sl_val_count(rows); i++) {
        const sl_val *doc = sl_json_parse(a, sl_text(sl_at(sl_at(rows, i), 0)), &err), *sqls = sl_get(doc, "Sqls");
        if (doc == NULL)
            return sl_data_broken(x, &err);
        static const char *const names[] = { "Id", "StatementName", "SecretArn", "Status" };
        sl_val *one = sl_map(a);
        for (size_t k = 0; k < SL_COUNT(names); k++)
            sl_map_opt(a, one, names[k], sl_get(doc, names[k]));
        bool batch = sl_get_bool(doc, "Batch", false);
        sl_map_set_bool(a, one, "IsBatchStatement", batch);
        sl_map_setc(a, one, batch ? "QueryStrings" : "QueryString", batch ? sqls : sl_at(sqls, 0));
        sl_map_opt(a, one, "QueryParameters", batch || sl_val_count(sl_get(doc, "Parameters")) == 0 ? NULL : sl_get(doc, "Parameters"));
        sl_map_setc(a, one, "CreatedAt", sl_data_seconds(x, doc, "CreatedMs"));
        sl_map_setc(a, one, "UpdatedAt", sl_data_seconds(x, doc, "UpdatedMs"));
        sl_list_add(a, list, one);
    }
    sl_map_setc(a, x->answer, "Statements", list);
    return true;
}
