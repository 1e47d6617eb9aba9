/*
 * local/bq_info.c: INFORMATION_SCHEMA (SCHEMATA, TABLES, VIEWS, COLUMNS and their like), __TABLES__, and what a partition is. The views
 * are filled into temporary tables of the job's connection when a query reads them.
 * Source: https://cloud.google.com/bigquery/docs/information-schema-intro
 */
#include "base/arena.h"
#include "base/json.h"
#include "local/bq_work.h"

sl_str bq_partition_sql(sl_arena *a, const sl_val *table)
{
    static const char *const formats[][2] = { { "DAY", "%Y%m%d" }, { "HOUR", "%Y%m%d%H" }, { "MONTH", "%Y%m" }, { "YEAR", "%Y" } };
    const sl_val *time = sl_get(table, "timePartitioning"), *range = sl_get(table, "rangePartitioning"), *bounds = sl_get(range, "range");
    sl_str field = sl_duck_ident(a, sl_get_text(time ? time : range, "field")), type = sl_get_text(time, "type"), format = SL_S("%Y%m%d");
    if (sl_get_text(time ? time : range, "field").n == 0)
        return SL_S("");
    if (time == NULL)
        return sl_fmt(a, "coalesce(CAST(%.*s - (%.*s - %lld) %% %lld AS VARCHAR), '__NULL__')", SL_ARG(field), SL_ARG(field), (long long)sl_get_int(bounds, "start", 0), (long long)sl_get_int(bounds, "interval", 1));
    for (size_t i = 0; i < SL_COUNT(formats); i++)
        if (sl_str_eqc(type, formats[i][0]))
            format = sl_str_c(formats[i][1]);
    return sl_fmt(a, "coalesce(strftime(%.*s, '%.*s'), '__NULL__')", SL_ARG(field), SL_ARG(format));
}

#define TABLE "(table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, "
#define MAKE "CREATE OR REPLACE TEMP TABLE "
static const char SETUP[] =
    MAKE "info_schemata(catalog_name VARCHAR, schema_name VARCHAR, location VARCHAR, creation_time TIMESTAMPTZ);"
    MAKE "info_tables" TABLE "table_type VARCHAR, creation_time TIMESTAMPTZ);"
    MAKE "info_views" TABLE "view_definition VARCHAR, check_option VARCHAR, use_standard_sql VARCHAR);"
    MAKE "info_materialized_views" TABLE "last_refresh_time TIMESTAMPTZ);"
    MAKE "info_table_options" TABLE "option_name VARCHAR, option_type VARCHAR, option_value VARCHAR);"
    MAKE "info_columns" TABLE "column_name VARCHAR, ordinal_position BIGINT, is_nullable VARCHAR, data_type VARCHAR, is_partitioning_column VARCHAR, clustering_ordinal_position BIGINT);"
    MAKE "info_column_field_paths" TABLE "column_name VARCHAR, field_path VARCHAR, data_type VARCHAR, description VARCHAR);"
    MAKE "info_partitions" TABLE "partition_id VARCHAR, total_rows BIGINT);"
    MAKE "info___tables__(project_id VARCHAR, dataset_id VARCHAR, table_id VARCHAR, creation_time BIGINT, last_modified_time BIGINT, row_count BIGINT, size_bytes BIGINT, type BIGINT)";

/* A column's type in GoogleSQL's words. */
static sl_str type_text(sl_arena *a, const sl_val *field)
{
    static const char *const names[][2] = { { "INTEGER", "INT64" }, { "FLOAT", "FLOAT64" }, { "BOOLEAN", "BOOL" } };
    sl_str type = sl_get_text(field, "type");
    const sl_val *inner = sl_get(field, "fields");
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (sl_str_eqc(type, names[i][0]))
            type = sl_str_c(names[i][1]);
    if (sl_str_eqc(type, "RECORD")) {
        sl_buf b = sl_buf_new(a, 1 << 16);
        for (size_t i = 0; i < sl_val_count(inner); i++)
            sl_buf_fmt(&b, "%s%.*s %.*s", i ? ", " : "STRUCT<", SL_ARG(sl_get_text(sl_at(inner, i), "name")), SL_ARG(type_text(a, sl_at(inner, i))));
        sl_buf_char(&b, '>');
        type = sl_buf_str(&b);
    }
    return sl_str_eqc(sl_get_text(field, "mode"), "REPEATED") ? sl_fmt(a, "ARRAY<%.*s>", SL_ARG(type)) : type;
}

static sl_str instant(sl_arena *a, const sl_val *resource)
{
    return sl_fmt(a, "make_timestamptz(%lld)", (long long)sl_get_int(resource, "creationTime", 0) * 1000);
}

/* A column and the fields in it, by their paths. */
static bool add_paths(bq_work *w, const sl_val *field, sl_str prefix, sl_str column, sl_str path)
{
    sl_arena *a = w->a;
    sl_str description = sl_get_text(field, "description"), type = type_text(a, field);
    const sl_val *inner = sl_get(field, "fields");
    bool ok = bq_run(w, sl_fmt(a, "INSERT INTO info_column_field_paths VALUES(%.*s, %.*s, %.*s, %.*s, %.*s)", SL_ARG(prefix), SL_ARG(sl_duck_text(a, column)), SL_ARG(sl_duck_text(a, path)), SL_ARG(sl_duck_text(a, type)),
                               SL_ARG(description.n > 0 ? sl_duck_text(a, description) : SL_S("NULL"))),
                     NULL);
    for (size_t i = 0; ok && i < sl_val_count(inner); i++)
        ok = add_paths(w, sl_at(inner, i), prefix, column, sl_fmt(a, "%.*s.%.*s", SL_ARG(path), SL_ARG(sl_get_text(sl_at(inner, i), "name"))));
    return ok;
}

/* Its place among the columns that the table is clustered by, from 1; NULL. */
static sl_str clustering(sl_arena *a, const sl_val *table, sl_str name)
{
    const sl_val *fields = sl_get(sl_get(table, "clustering"), "fields");
    for (size_t i = 0; i < sl_val_count(fields); i++)
        if (sl_str_ieq(sl_text(sl_at(fields, i)), name))
            return sl_fmt(a, "%zu", i + 1);
    return SL_S("NULL");
}

static bool add_columns(bq_work *w, const sl_val *table, sl_str prefix)
{
    const sl_val *fields = sl_get(sl_get(table, "schema"), "fields");
    sl_str partition = sl_get_text(sl_get(table, "timePartitioning") ? sl_get(table, "timePartitioning") : sl_get(table, "rangePartitioning"), "field");
    for (size_t i = 0; i < sl_val_count(fields); i++) {
        const sl_val *f = sl_at(fields, i);
        sl_str name = sl_get_text(f, "name");
        if (!bq_run(w, sl_fmt(w->a, "INSERT INTO info_columns VALUES(%.*s, %.*s, %zu, '%s', %.*s, '%s', %.*s)", SL_ARG(prefix), SL_ARG(sl_duck_text(w->a, name)), i + 1, sl_str_eqc(sl_get_text(f, "mode"), "REQUIRED") ? "NO" : "YES",
                              SL_ARG(sl_duck_text(w->a, type_text(w->a, f))), partition.n > 0 && sl_str_ieq(name, partition) ? "YES" : "NO", SL_ARG(clustering(w->a, table, name))),
                    NULL)
            || !add_paths(w, f, prefix, name, name))
            return false;
    }
    return true;
}

/* What only views, and tables with a description, have. */
static bool add_more(bq_work *w, const sl_val *table, sl_str prefix)
{
    sl_arena *a = w->a;
    sl_str type = sl_get_text(table, "type"), description = sl_get_text(table, "description"), sql = sl_get_text(sl_get(table, "view"), "query");
    if (sl_str_eqc(type, "VIEW") && !bq_run(w, sl_fmt(a, "INSERT INTO info_views VALUES(%.*s, %.*s, NULL, 'YES')", SL_ARG(prefix), SL_ARG(sl_duck_text(a, sql))), NULL))
        return false;
    if (sl_str_eqc(type, "MATERIALIZED_VIEW") && !bq_run(w, sl_fmt(a, "INSERT INTO info_materialized_views VALUES(%.*s, %.*s)", SL_ARG(prefix), SL_ARG(instant(a, table))), NULL))
        return false;
    if (description.n == 0)
        return true;
    sl_str literal = sl_duck_text(a, sl_json(a, sl_val_str(a, description))); /* as an expression of GoogleSQL: "text" */
    return bq_run(w, sl_fmt(a, "INSERT INTO info_table_options VALUES(%.*s, 'description', 'STRING', %.*s)", SL_ARG(prefix), SL_ARG(literal)), NULL);
}

static bool add_table(bq_work *w, sl_str project, sl_str dataset, sl_str name)
{
    static const char *const numbers[] = { "TABLE", "VIEW", "EXTERNAL", "MATERIALIZED_VIEW" };
    sl_arena *a = w->a;
    const sl_val *table = bq_table(w->c, w->k, a, project, dataset, name, false);
    sl_str type = sl_get_text(table, "type"), prefix = sl_fmt(a, "%.*s, %.*s, %.*s", SL_ARG(sl_duck_text(a, project)), SL_ARG(sl_duck_text(a, dataset)), SL_ARG(sl_duck_text(a, name))), from, id;
    bool plain = sl_str_eqc(type, "TABLE");
    size_t number = 0;
    if (table == NULL)
        return true;
    if (!bq_run(w, sl_fmt(a, "INSERT INTO info_tables VALUES(%.*s, '%.*s', %.*s)", SL_ARG(prefix), SL_ARG(plain ? SL_S("BASE TABLE") : type), SL_ARG(instant(a, table))), NULL) || !add_columns(w, table, prefix)
        || !add_more(w, table, prefix))
        return false;
    while (number + 1 < SL_COUNT(numbers) && !sl_str_eqc(type, numbers[number]))
        number++;
    from = plain ? sl_fmt(a, "FROM %.*s", SL_ARG(bq_table_sql(a, sl_get(table, "tableReference")))) : SL_S("");
    if (!bq_run(w, sl_fmt(a, "INSERT INTO info___tables__ SELECT %.*s, %lld, %lld, %s, %s * %zu, %zu %.*s", SL_ARG(prefix), (long long)sl_get_int(table, "creationTime", 0), (long long)sl_get_int(table, "lastModifiedTime", 0),
                          plain ? "count(*)" : "0", plain ? "count(*)" : "0", 16 * sl_val_count(sl_get(sl_get(table, "schema"), "fields")), number + 1, SL_ARG(from)),
                NULL))
        return false;
    if (!plain)
        return true;
    id = bq_partition_sql(a, table);
    return bq_run(w, sl_fmt(a, "INSERT INTO info_partitions SELECT %.*s, %.*s, count(*) %.*s%s", SL_ARG(prefix), SL_ARG(id.n ? id : SL_S("NULL")), SL_ARG(from), id.n ? " GROUP BY 4" : ""), NULL);
}

bool bq_information(bq_work *w)
{
    sl_arena *a = w->a;
    const sl_val *datasets, *tables;
    sl_str rest = sl_str_c(SETUP), one;
    while (rest.n > 0 && sl_str_cut(&rest, ';', &one))
        if (!bq_run(w, one, NULL))
            return false;
    if (!sl_duck_run(w->k, a, SL_S("SELECT project, dataset FROM _sl.datasets"), &datasets, NULL, w->err))
        return false;
    for (size_t i = 0; i < sl_val_count(datasets); i++) {
        sl_str project = sl_text(sl_at(sl_at(datasets, i), 0)), dataset = sl_text(sl_at(sl_at(datasets, i), 1));
        const sl_val *d = bq_dataset(w->c, w->k, a, project, dataset);
        if (!bq_run(w, sl_fmt(a, "INSERT INTO info_schemata VALUES(%.*s, %.*s, %.*s, %.*s)", SL_ARG(sl_duck_text(a, project)), SL_ARG(sl_duck_text(a, dataset)), SL_ARG(sl_duck_text(a, sl_get_text(d, "location"))), SL_ARG(instant(a, d))), NULL)
            || !sl_duck_run(w->k, a, sl_fmt(a, "SELECT table_name FROM information_schema.tables WHERE table_schema=%.*s", SL_ARG(sl_duck_text(a, bq_schema(a, project, dataset)))), &tables, NULL, w->err))
            return false;
        for (size_t k = 0; k < sl_val_count(tables); k++)
            if (!add_table(w, project, dataset, sl_text(sl_at(sl_at(tables, k), 0))))
                return false;
    }
    return true;
}
