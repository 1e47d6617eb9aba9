/* local/bq_wildcard.c: the tables whose names begin alike, as one. Source: https://cloud.google.com/bigquery/docs/querying-wildcard-tables. */
#include "base/arena.h"
#include "local/bq_work.h"

/* [[name, when it was made]] of the tables that begin so. */
static bool find_tables(bq_work *w, const sl_val *wild, const sl_val **ret)
{
    sl_arena *a = w->a;
    sl_str project = sl_get_text(wild, "projectId"), dataset = sl_get_text(wild, "datasetId"), prefix = sl_get_text(wild, "prefix");
    sl_str sql = sl_fmt(a,
                        "SELECT t.table_name FROM duckdb_tables() t LEFT JOIN _sl.tables m ON m.project=%.*s AND m.dataset=%.*s AND m.name=t.table_name WHERE t.database_name=current_database()"
                        " AND t.schema_name=%.*s AND starts_with(t.table_name, %.*s) ORDER BY CAST(json_extract_string(m.meta, '$.creationTime') AS BIGINT) DESC NULLS LAST, 1 DESC",
                        SL_ARG(sl_duck_text(a, project)), SL_ARG(sl_duck_text(a, dataset)), SL_ARG(sl_duck_text(a, bq_schema(a, project, dataset))), SL_ARG(sl_duck_text(a, prefix)));
    if (!bq_dataset_known(w, wild) || !sl_duck_run(w->k, a, sql, ret, NULL, w->err))
        return false;
    return sl_val_count(*ret) > 0 || sl_err_set(w->err, SL_ERR_NOT_FOUND, "notFound", "%.*s:%.*s.%.*s* does not match any table.", SL_ARG(project), SL_ARG(dataset), SL_ARG(prefix));
}

static bool has_field(const sl_val *fields, sl_str name)
{
    for (size_t i = 0; i < sl_val_count(fields); i++)
        if (sl_str_ieq(sl_get_text(sl_at(fields, i), "name"), name))
            return true;
    return false;
}

/* The rows of one, with the columns that the newest of them has. */
static void add_table(bq_work *w, sl_buf *b, const sl_val *wild, sl_str name, const sl_val *columns)
{
    sl_arena *a = w->a;
    sl_val *ref = sl_map_shallow(a, wild);
    sl_map_set_str(a, ref, "tableId", name);
    const sl_val *own = bq_fields(w->k, a, sl_get_text(wild, "projectId"), sl_get_text(wild, "datasetId"), name);
    sl_buf_addc(b, b->n > 0 ? " UNION ALL SELECT " : "SELECT ");
    for (size_t i = 0; i < sl_val_count(columns); i++) {
        sl_str column = sl_get_text(sl_at(columns, i), "name");
        if (has_field(own, column))
            sl_buf_fmt(b, "%.*s, ", SL_ARG(sl_duck_ident(a, column)));
        else
            sl_buf_fmt(b, "CAST(NULL AS %.*s) AS %.*s, ", SL_ARG(gs_duck_type(a, sl_at(columns, i))), SL_ARG(sl_duck_ident(a, column)));
    }
    sl_str suffix = sl_str_sub(name, sl_get_text(wild, "prefix").n, name.n);
    sl_buf_fmt(b, "%.*s AS _TABLE_SUFFIX FROM %.*s", SL_ARG(sl_duck_text(a, suffix)), SL_ARG(bq_table_sql(a, ref)));
}

bool bq_make_wildcards(bq_work *w, const sl_val *all, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        const sl_val *wild = sl_at(all, i), *tables;
        if (!find_tables(w, wild, &tables))
            return false;
        const sl_val *columns = bq_fields(w->k, w->a, sl_get_text(wild, "projectId"), sl_get_text(wild, "datasetId"), sl_text(sl_at(sl_at(tables, 0), 0)));
        sl_buf b = sl_buf_new(w->a, 64 << 20);
        for (size_t k = 0; k < sl_val_count(tables); k++)
            add_table(w, &b, wild, sl_text(sl_at(sl_at(tables, k), 0)), columns);
        if (!bq_run(w, sl_fmt(w->a, "CREATE OR REPLACE TEMP VIEW sl_wild_%zu AS %.*s", i, SL_ARG(sl_buf_str(&b))), NULL))
            return false;
    }
    return true;
}
