/* local/redshift_catalog.c: tables by their names, and views of what there is under Redshift's names. See redshift_table.h. */
#include "base/arena.h"
#include "base/sql.h"
#include "local/redshift_table.h"

sl_str sl_redshift_take_table(sl_str *rest)
{
    sl_str name = sl_sql_token(rest), ahead = *rest;
    if (is(name, "#")) {
        sl_str behind = sl_sql_token(&ahead);
        name = (sl_str){ name.p, (size_t)(behind.p - name.p) + behind.n };
        *rest = ahead;
    }
    while (is(sl_sql_token(&ahead), ".")) {
        (void)sl_sql_token(&ahead);
        name = (sl_str){ name.p, (size_t)(ahead.p - name.p) };
        *rest = ahead;
    }
    return name;
}

static sl_str unquoted(sl_arena *a, sl_str name)
{
    name = sl_str_trim(name);
    return name.n >= 2 && name.p[0] == '"' ? sl_str_replace(a, sl_str_sub(name, 1, name.n - 1), SL_S("\"\""), SL_S("\"")) : name;
}

bool sl_redshift_find(sl_redshift_session *s, sl_arena *a, sl_str table, sl_redshift_place *ret, sl_err *err)
{
    sl_str written, schema = SL_S(""), name, token;
    const sl_val *rows;
    if (!sl_redshift_rewrite(s, a, table, &written, err))
        return false;
    sl_str rest = written;
    for (name = sl_sql_token(&rest); is(token = sl_sql_token(&rest), ".") && token.n > 0; name = sl_sql_token(&rest))
        schema = name;
    schema = sl_duck_text(a, unquoted(a, schema));
    name = sl_duck_text(a, unquoted(a, name));
    sl_str sql = sl_fmt(a, "SELECT database_name, schema_name, table_name, sql FROM duckdb_tables() WHERE lower(table_name) = lower(%.*s) AND (%.*s = '' OR lower(schema_name) = lower(%.*s))"
                           " ORDER BY CASE WHEN temporary THEN 0 ELSE coalesce(list_position(current_schemas(false), schema_name), 1000) END LIMIT 1", SL_ARG(name), SL_ARG(schema), SL_ARG(schema));
    if (!sl_duck_run(s->con, a, sql, &rows, NULL, err))
        return false;
    if (sl_val_count(rows) == 0)
        return sl_err_set(err, SL_ERR_NOT_FOUND, "pg.42P01", "relation \"%.*s\" does not exist", SL_ARG(table));
    const sl_val *row = sl_at(rows, 0);
    *ret = (sl_redshift_place){ sl_at(row, 0)->s, sl_at(row, 1)->s, sl_at(row, 2)->s, sl_at(row, 3)->s };
    return true;
}

sl_str sl_redshift_where(sl_arena *a, const sl_redshift_place *p)
{
    sl_str database = sl_duck_text(a, p->database), schema = sl_duck_text(a, p->schema), name = sl_duck_text(a, p->name);
    return sl_fmt(a, "database_name = %.*s AND schema_name = %.*s AND table_name = %.*s", SL_ARG(database), SL_ARG(schema), SL_ARG(name));
}
