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

/*
 * BigQuery has one kind of integers, one of floats, and decimals of 38 digits. Fewer digits come from literals alone, which are floats there, or from
 * a file that is loaded: numeric.
 */
static sl_str wide(sl_arena *a, sl_str type, bool numeric)
{
    static const char *const integers[] = { "TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT", "UHUGEINT" };
    sl_str of = type;
    while (sl_str_ends(of, SL_S("[]")))
        of.n -= 2;
    const char *wider = sl_str_eqc(of, "FLOAT") ? "DOUBLE" : NULL;
    for (size_t i = 0; i < SL_COUNT(integers); i++)
        if (sl_str_eqc(of, integers[i]))
            wider = "BIGINT";
    if (sl_str_starts(of, SL_S("DECIMAL(")) && !sl_str_starts(of, SL_S("DECIMAL(38,")))
        wider = numeric ? "DECIMAL(38,9)" : "DOUBLE";
    return wider ? sl_fmt(a, "%s%.*s", wider, SL_ARG(sl_str_sub(type, of.n, type.n))) : type;
}

bool bq_fit_schema(bq_work *w, const sl_val *conf, const sl_val *table, const sl_val *have, sl_str query)
{
    sl_arena *a = w->a;
    const sl_val *columns, *given = sl_get(sl_get(conf, "schema"), "fields");
    sl_str name = bq_table_sql(a, table);
    if (!sl_duck_run(w->k, a, sl_fmt(a, "SELECT column_name, column_type FROM (DESCRIBE %.*s)", SL_ARG(query)), &columns, NULL, w->err))
        return false;
    for (size_t i = 0; i < sl_val_count(columns); i++) {
        sl_str column = sl_text(sl_at(sl_at(columns, i), 0)), type = wide(a, sl_text(sl_at(sl_at(columns, i), 1)), true), quoted = sl_duck_ident(a, column);
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

bool bq_widen(bq_work *w, const sl_val *ref, bool loaded)
{
    sl_arena *a = w->a;
    const sl_val *columns;
    sl_str name = bq_table_sql(a, ref);
    if (!sl_duck_run(w->k, a, sl_fmt(a, "SELECT column_name, column_type FROM (DESCRIBE %.*s)", SL_ARG(name)), &columns, NULL, w->err))
        return false;
    for (size_t i = 0; i < sl_val_count(columns); i++) {
        sl_str column = sl_text(sl_at(sl_at(columns, i), 0)), type = sl_text(sl_at(sl_at(columns, i), 1)), wider = wide(a, type, loaded), quoted = sl_duck_ident(a, column);
        if (!sl_str_eq(type, wider) && !bq_run(w, sl_fmt(a, "ALTER TABLE %.*s ALTER COLUMN %.*s SET DATA TYPE %.*s", SL_ARG(name), SL_ARG(quoted), SL_ARG(wider)), NULL))
            return false;
    }
    return true;
}
