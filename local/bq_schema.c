/* local/bq_schema.c: columns that a table gets when rows are added that have more of them (schemaUpdateOptions), and types that BigQuery does not have. */
#include "base/arena.h"
#include "local/bq_work.h"

static bool allowed(const sl_val *conf, const char *option)
{
    const sl_val *options = sl_get(conf, "schemaUpdateOptions");
    for (size_t i = 0; i < sl_val_count(options); i++)
        if (sl_str_eqc(sl_text(sl_at(options, i)), option))
            return true;
    return false;
}

static const sl_val *find(const sl_val *fields, sl_str name)
{
    for (size_t i = 0; i < sl_val_count(fields); i++)
        if (sl_str_ieq(sl_get_text(sl_at(fields, i), "name"), name))
            return sl_at(fields, i);
    return NULL;
}

/* BigQuery has one kind of integers and one of floats. */
static sl_str wide(sl_str type)
{
    static const char *const integers[] = { "TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT", "UHUGEINT" };
    for (size_t i = 0; i < SL_COUNT(integers); i++)
        if (sl_str_eqc(type, integers[i]))
            return SL_S("BIGINT");
    return sl_str_eqc(type, "FLOAT") ? SL_S("DOUBLE") : type;
}

bool bq_fit_schema(bq_work *w, const sl_val *conf, const sl_val *table, const sl_val *have, sl_str query)
{
    sl_arena *a = w->a;
    const sl_val *columns, *given = sl_get(sl_get(conf, "schema"), "fields");
    sl_str name = bq_table_sql(a, table);
    if (!sl_duck_run(w->k, a, sl_fmt(a, "SELECT column_name, column_type FROM (DESCRIBE %.*s)", SL_ARG(query)), &columns, NULL, w->err))
        return false;
    for (size_t i = 0; i < sl_val_count(columns); i++) {
        sl_str column = sl_text(sl_at(sl_at(columns, i), 0)), type = wide(sl_text(sl_at(sl_at(columns, i), 1))), quoted = sl_duck_ident(a, column);
        const sl_val *field = find(have, column), *said = find(given, column);
        bool relaxed = field != NULL && said != NULL && sl_str_eqc(sl_get_text(field, "mode"), "REQUIRED") && !sl_str_eqc(sl_get_text(said, "mode"), "REQUIRED") && allowed(conf, "ALLOW_FIELD_RELAXATION");
        if (field == NULL && !allowed(conf, "ALLOW_FIELD_ADDITION"))
            return sl_err_set(w->err, SL_ERR_DATA, "invalid", "Provided Schema does not match Table %.*s:%.*s.%.*s. Cannot add fields (field: %.*s)", SL_ARG(sl_get_text(table, "projectId")),
                              SL_ARG(sl_get_text(table, "datasetId")), SL_ARG(sl_get_text(table, "tableId")), SL_ARG(column));
        if (field == NULL && !bq_run(w, sl_fmt(a, "ALTER TABLE %.*s ADD COLUMN %.*s %.*s", SL_ARG(name), SL_ARG(quoted), SL_ARG(type)), NULL))
            return false;
        if (relaxed && !bq_run(w, sl_fmt(a, "ALTER TABLE %.*s ALTER COLUMN %.*s DROP NOT NULL", SL_ARG(name), SL_ARG(quoted)), NULL))
            return false;
    }
    return true;
}

bool bq_widen(bq_work *w, const sl_val *ref)
{
    sl_arena *a = w->a;
    const sl_val *columns;
    sl_str name = bq_table_sql(a, ref);
    if (!sl_duck_run(w->k, a, sl_fmt(a, "SELECT column_name, column_type FROM (DESCRIBE %.*s)", SL_ARG(name)), &columns, NULL, w->err))
        return false;
    for (size_t i = 0; i < sl_val_count(columns); i++) {
        sl_str column = sl_text(sl_at(sl_at(columns, i), 0)), type = sl_text(sl_at(sl_at(columns, i), 1)), wider = wide(type), quoted = sl_duck_ident(a, column);
        if (!sl_str_eq(type, wider) && !bq_run(w, sl_fmt(a, "ALTER TABLE %.*s ALTER COLUMN %.*s SET DATA TYPE %.*s", SL_ARG(name), SL_ARG(quoted), SL_ARG(wider)), NULL))
            return false;
    }
    return true;
}
