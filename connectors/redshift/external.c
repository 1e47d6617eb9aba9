/*
 * connectors/redshift/external.c: io.sluice.redshift.CreateExternalTable: a table over objects in S3, with columns as they are told, or
 * as a CSV file of the same kind has them.
 * Source: https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_EXTERNAL_TABLE.html, …/r_CREATE_EXTERNAL_SCHEMA.html
 */
#include "base/arena.h"
#include "connectors/csv/schema.h"
#include "connectors/csv/source.h"
#include "connectors/redshift/ready.h"

typedef struct external_cfg {
    sl_pg_cfg pg;
    sl_redshift_cfg redshift;
    sl_csv_given given;
    sl_str schema, table, location, format, delimiter, serde, on_exists, catalog_database, role;
    const sl_val *columns, *partitions;
    int64_t skip;
} external_cfg;

#define TEXT(yaml, field, words) { .name = yaml, .type = SL_OPT_STR, .offset = SL_FIELD(external_cfg, field), .doc = words }
static const sl_opt opts[] = {
    SL_PG_REDSHIFT_OPTS(external_cfg),
    { .name = "schema", .type = SL_OPT_STR, .offset = SL_FIELD(external_cfg, schema), .flags = SL_REQUIRED, .doc = "The external schema." },
    { .name = "table", .type = SL_OPT_STR, .offset = SL_FIELD(external_cfg, table), .flags = SL_REQUIRED, .doc = "The table's name." },
    { .name = "location", .type = SL_OPT_STR, .offset = SL_FIELD(external_cfg, location), .flags = SL_REQUIRED, .doc = "s3://bucket/folder/, or a manifest." },
    { .name = "columns", .type = SL_OPT_LIST, .offset = SL_FIELD(external_cfg, columns), .doc = "[{name, type}]; else those of 'from'." },
    { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(external_cfg, given.from), .doc = "A stored CSV file whose columns, types, separator and header the table takes." },
    { .name = "partitionedBy", .type = SL_OPT_LIST, .offset = SL_FIELD(external_cfg, partitions), .doc = "[{name, type}] of the columns that are folders." },
    { .name = "format", .type = SL_OPT_ENUM, .offset = SL_FIELD(external_cfg, format), .values = "TEXTFILE PARQUET ORC AVRO", .fallback = "TEXTFILE", .doc = "Format of the objects." },
    { .name = "serde", .type = SL_OPT_ENUM, .offset = SL_FIELD(external_cfg, serde), .values = "DELIMITED OPENCSV", .fallback = "DELIMITED", .doc = "TEXTFILE: OPENCSV understands quotes, and reads every column as text." },
    TEXT("delimiter", delimiter, "Between columns; else as 'from' has it, or a comma."),
    { .name = "skipHeaderLines", .type = SL_OPT_INT, .offset = SL_FIELD(external_cfg, skip), .fallback = "-1", .doc = "Lines to leave out at the beginning of each object; else as 'from' has it." },
    { .name = "ifExists", .type = SL_OPT_ENUM, .offset = SL_FIELD(external_cfg, on_exists), .values = "ERROR REPLACE", .fallback = "ERROR", .doc = "REPLACE: a table of that name is dropped first." },
    TEXT("createSchemaFrom", catalog_database, "Database of the data catalog: the schema is made over it where there is none."),
    TEXT("iamRole", role, "createSchemaFrom: role of the cluster that may read the catalog and the objects."),
    { 0 },
};

/* [{name, type}] as SQL has them. */
static bool add_columns(sl_arena *a, sl_buf *b, const sl_val *list, bool text_only, sl_err *err)
{
    for (size_t i = 0; i < sl_val_count(list); i++) {
        sl_str name = sl_get_text(sl_at(list, i), "name"), type = sl_get_text(sl_at(list, i), "type"), quoted = sl_sql_name(a, name);
        for (size_t k = 0; k < type.n; k++)
            if (strchr("()<>,: ", type.p[k]) == NULL && !(type.p[k] >= '0' && type.p[k] <= '9') && !(type.p[k] >= 'a' && type.p[k] <= 'z') && !(type.p[k] >= 'A' && type.p[k] <= 'Z') && type.p[k] != '_')
                type.n = 0;
        if (name.n == 0 || type.n == 0)
            return sl_err_set(err, SL_ERR_CONFIG, "redshift.columns", "each of 'columns' and 'partitionedBy' must be {name, type}; number %zu is not", i + 1);
        sl_buf_fmt(b, "%s\n  %.*s %.*s", i ? "," : "", SL_ARG(quoted), SL_ARG(text_only ? SL_S("varchar(65535)") : type));
    }
    return true;
}

/* Spectrum has no times of day and no zones. */
static sl_str type_of(sl_arena *a, const sl_csv_column *c)
{
    return c->type == SL_CSV_TIME || c->type == SL_CSV_TIMESTAMPTZ ? SL_S("varchar(64)") : sl_csv_redshift_type(a, c);
}

/* The whole file is looked at: one odd value makes a text of its column. */
static bool look(sl_task *t, external_cfg *c, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_csv_source s;
    sl_csv_column *columns;
    sl_val *list = sl_list(a);
    c->given.header = SL_S("AUTO");
    c->given.field_max = 16 << 20;
    bool ok = sl_csv_source_open(&s, t, &c->given, err) && sl_csv_source_look(&s, SL_S(""), NULL, &columns, err);
    if (ok) {
        for (size_t i = 0; i < s.columns; i++) {
            sl_val *one = sl_map(a);
            sl_map_set_str(a, one, "name", sl_str_dup(a, s.names[i]));
            sl_map_set_str(a, one, "type", type_of(a, &columns[i]));
            sl_list_add(a, list, one);
        }
        c->columns = list;
        if (c->delimiter.n == 0)
            c->delimiter = sl_str_dup(a, (sl_str){ &s.shape.separator, 1 });
        if (c->skip < 0)
            c->skip = s.shape.header;
    }
    sl_csv_source_close(&s);
    return ok;
}

static void add_row_format(sl_arena *a, sl_buf *b, const external_cfg *c)
{
    sl_str delimiter = sl_str_eqc(c->delimiter, "\t") ? SL_S("'\\t'") : sl_sql_text(a, c->delimiter.n ? c->delimiter : SL_S(","));
    if (sl_str_eqc(c->format, "TEXTFILE") && sl_str_eqc(c->serde, "OPENCSV"))
        sl_buf_fmt(b, "\nROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'\nWITH SERDEPROPERTIES ('separatorChar'=%.*s, 'quoteChar'='\"', 'escapeChar'='\\\\')", SL_ARG(delimiter));
    else if (sl_str_eqc(c->format, "TEXTFILE"))
        sl_buf_fmt(b, "\nROW FORMAT DELIMITED FIELDS TERMINATED BY %.*s", SL_ARG(delimiter));
}

static bool sql_of(sl_arena *a, const external_cfg *c, sl_str *ret, sl_err *err)
{
    sl_buf b = sl_buf_new(a, 1 << 20);
    sl_str schema = sl_sql_name(a, c->schema), table = sl_sql_name(a, c->table), location = sl_sql_text(a, c->location);
    bool text_only = sl_str_eqc(c->format, "TEXTFILE") && sl_str_eqc(c->serde, "OPENCSV");
    if (c->catalog_database.n > 0) {
        sl_str database = sl_sql_text(a, c->catalog_database), role = sl_sql_text(a, c->role);
        sl_buf_fmt(&b, "CREATE EXTERNAL SCHEMA IF NOT EXISTS %.*s FROM DATA CATALOG DATABASE %.*s IAM_ROLE %.*s CREATE EXTERNAL DATABASE IF NOT EXISTS;\n", SL_ARG(schema), SL_ARG(database), SL_ARG(sl_str_eqc(c->role, "default") ? c->role : role));
    }
    if (sl_str_eqc(c->on_exists, "REPLACE"))
        sl_buf_fmt(&b, "DROP TABLE IF EXISTS %.*s.%.*s;\n", SL_ARG(schema), SL_ARG(table));
    sl_buf_fmt(&b, "CREATE EXTERNAL TABLE %.*s.%.*s (", SL_ARG(schema), SL_ARG(table));
    if (!add_columns(a, &b, c->columns, text_only, err))
        return false;
    sl_buf_addc(&b, "\n)");
    if (sl_val_count(c->partitions) > 0) {
        sl_buf_addc(&b, "\nPARTITIONED BY (");
        if (!add_columns(a, &b, c->partitions, false, err))
            return false;
        sl_buf_addc(&b, "\n)");
    }
    add_row_format(a, &b, c);
    sl_buf_fmt(&b, "\nSTORED AS %.*s\nLOCATION %.*s", SL_ARG(c->format), SL_ARG(location));
    if (c->skip > 0)
        sl_buf_fmt(&b, "\nTABLE PROPERTIES ('skip.header.line.count'='%lld')", (long long)c->skip);
    *ret = sl_buf_str(&b);
    return true;
}

static bool check(const external_cfg *c, sl_err *err)
{
    if (!sl_str_starts(c->location, SL_S("s3://")))
        return sl_err_set(err, SL_ERR_CONFIG, "redshift.location", "'location' must be s3://bucket/folder/, not '%.*s'", SL_ARG(c->location));
    if ((sl_val_count(c->columns) > 0) == (c->given.from.n > 0))
        return sl_err_set(err, SL_ERR_CONFIG, "redshift.columns", "CreateExternalTable needs either 'columns', or a CSV file in 'from' to take them of");
    if (c->given.from.n > 0 && !sl_str_eqc(c->format, "TEXTFILE"))
        return sl_err_set(err, SL_ERR_CONFIG, "redshift.from", "'from' is a CSV file, and 'format' is %.*s: give 'columns'", SL_ARG(c->format));
    return c->catalog_database.n == 0 || c->role.n > 0 || sl_err_set(err, SL_ERR_CONFIG, "redshift.role", "'createSchemaFrom' needs 'iamRole'");
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    external_cfg *c = cfg;
    sl_str sql;
    if (!check(c, err) || (c->given.from.n > 0 && !look(t, c, err)) || !sql_of(sl_task_arena(t), c, &sql, err))
        return SL_TASK_FAILED;
    return sl_redshift_ready(t, &c->pg, &c->redshift, sql, sql, true, err);
}

const sl_task_type sl_redshift_create_external_table = { .type = "io.sluice.redshift.CreateExternalTable", .doc = "Makes a table in Redshift over objects in S3.", .cfg_size = sizeof(external_cfg), .opts = opts, .outs = sl_redshift_ready_outs, .run = run, .kill = sl_redshift_ready_kill };
