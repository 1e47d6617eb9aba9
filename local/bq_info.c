/*
 * local/bq_info.c: INFORMATION_SCHEMA (SCHEMATA, TABLES, COLUMNS, PARTITIONS) and what a partition is. The views are filled
 * into temporary tables of the job's connection when a query reads them.
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

static const char SETUP[] =
    "CREATE OR REPLACE TEMP TABLE info_schemata(catalog_name VARCHAR, schema_name VARCHAR, location VARCHAR, creation_time TIMESTAMPTZ);"
    "CREATE OR REPLACE TEMP TABLE info_tables(table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, table_type VARCHAR, creation_time TIMESTAMPTZ);"
    "CREATE OR REPLACE TEMP TABLE info_columns(table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, column_name VARCHAR, ordinal_position BIGINT, is_nullable VARCHAR, data_type VARCHAR,"
    " is_partitioning_column VARCHAR);"
    "CREATE OR REPLACE TEMP TABLE info_partitions(table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, partition_id VARCHAR, total_rows BIGINT)";

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

static bool add_columns(bq_work *w, const sl_val *table, sl_str prefix)
{
    const sl_val *fields = sl_get(sl_get(table, "schema"), "fields");
    sl_str partition = sl_get_text(sl_get(table, "timePartitioning") ? sl_get(table, "timePartitioning") : sl_get(table, "rangePartitioning"), "field");
    for (size_t i = 0; i < sl_val_count(fields); i++) {
        const sl_val *f = sl_at(fields, i);
        sl_str name = sl_get_text(f, "name");
        if (!bq_run(w, sl_fmt(w->a, "INSERT INTO info_columns VALUES(%.*s, %.*s, %zu, '%s', %.*s, '%s')", SL_ARG(prefix), SL_ARG(sl_duck_text(w->a, name)), i + 1, sl_str_eqc(sl_get_text(f, "mode"), "REQUIRED") ? "NO" : "YES",
                              SL_ARG(sl_duck_text(w->a, type_text(w->a, f))), partition.n > 0 && sl_str_ieq(name, partition) ? "YES" : "NO"),
                    NULL))
            return false;
    }
    return true;
}

static bool add_table(bq_work *w, sl_str project, sl_str dataset, sl_str name)
{
    sl_arena *a = w->a;
    const sl_val *table = bq_table(w->c, w->k, a, project, dataset, name, false);
    sl_str type = sl_get_text(table, "type"), prefix = sl_fmt(a, "%.*s, %.*s, %.*s", SL_ARG(sl_duck_text(a, project)), SL_ARG(sl_duck_text(a, dataset)), SL_ARG(sl_duck_text(a, name)));
    bool plain = sl_str_eqc(type, "TABLE");
    if (table == NULL)
        return true;
    if (!bq_run(w, sl_fmt(a, "INSERT INTO info_tables VALUES(%.*s, '%.*s', %.*s)", SL_ARG(prefix), SL_ARG(plain ? SL_S("BASE TABLE") : type), SL_ARG(instant(a, table))), NULL) || !add_columns(w, table, prefix))
        return false;
    if (!plain)
        return true;
    sl_str id = bq_partition_sql(a, table);
    return bq_run(w, sl_fmt(a, "INSERT INTO info_partitions SELECT %.*s, %.*s, count(*) FROM %.*s%s", SL_ARG(prefix), SL_ARG(id.n ? id : SL_S("NULL")), SL_ARG(bq_table_sql(a, sl_get(table, "tableReference"))), id.n ? " GROUP BY 4" : ""), NULL);
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
