/* connectors/csv/schema.c: see schema.h. */
#include "connectors/csv/schema.h"

#include "base/arena.h"
#include "base/sql.h"

enum { VARCHAR_MAX = 65535 };

/* Room for what other files may hold: the next power of two, from 16 on. */
static sl_str varchar(sl_arena *a, size_t bytes)
{
    size_t n = 16;
    while (n < bytes && n < VARCHAR_MAX)
        n *= 2;
    return sl_fmt(a, "varchar(%zu)", n > VARCHAR_MAX ? (size_t)VARCHAR_MAX : n);
}

static sl_str decimal(sl_arena *a, const sl_csv_column *c, const char *otherwise)
{
    int precision = c->digits + c->scale;
    return precision <= 38 ? sl_fmt(a, "decimal(%d,%d)", precision < 1 ? 1 : precision, c->scale) : sl_str_c(otherwise);
}

/* 16, 32 and 64 bits, with room to grow. */
static const char *integer(const sl_csv_column *c)
{
    return c->int_min >= -1000000000 && c->int_max <= 1000000000 ? "integer" : "bigint";
}

sl_str sl_csv_redshift_type(sl_arena *a, const sl_csv_column *c)
{
    switch (c->type) {
    case SL_CSV_BOOL: return SL_S("boolean");
    case SL_CSV_INT: return sl_str_c(integer(c));
    case SL_CSV_DECIMAL: return decimal(a, c, "double precision");
    case SL_CSV_FLOAT: return SL_S("double precision");
    case SL_CSV_DATE: return SL_S("date");
    case SL_CSV_TIME: return SL_S("time");
    case SL_CSV_TIMESTAMP: return SL_S("timestamp");
    case SL_CSV_TIMESTAMPTZ: return SL_S("timestamptz");
    default: return varchar(a, c->bytes_max);
    }
}

sl_str sl_csv_postgres_type(sl_arena *a, const sl_csv_column *c)
{
    return c->type == SL_CSV_TEXT || c->type == SL_CSV_NULL ? SL_S("text") : c->type == SL_CSV_DECIMAL ? SL_S("numeric") : sl_csv_redshift_type(a, c);
}

static const char *bigquery_type(const sl_csv_column *c)
{
    switch (c->type) {
    case SL_CSV_BOOL: return "BOOL";
    case SL_CSV_INT: return "INT64";
    case SL_CSV_DECIMAL: return c->digits <= 29 && c->scale <= 9 ? "NUMERIC" : "BIGNUMERIC";
    case SL_CSV_FLOAT: return "FLOAT64";
    case SL_CSV_DATE: return "DATE";
    case SL_CSV_TIME: return "TIME";
    case SL_CSV_TIMESTAMP: return "DATETIME";
    case SL_CSV_TIMESTAMPTZ: return "TIMESTAMP";
    default: return "STRING";
    }
}

/* Letters, digits and underscores, not a digit first: BigQuery takes no others without more ado. */
static sl_str bigquery_name(sl_arena *a, sl_str name)
{
    sl_buf b = sl_buf_new(a, name.n + 2);
    if (name.n == 0 || (name.p[0] >= '0' && name.p[0] <= '9'))
        sl_buf_char(&b, '_');
    for (size_t i = 0; i < name.n && i < 299; i++) {
        char c = name.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (plain || (c & 0xC0) != 0x80)
            sl_buf_char(&b, plain ? c : '_');
    }
    return sl_buf_str(&b);
}

static const sl_val *bigquery(sl_arena *a, const sl_csv_table *t)
{
    sl_val *v = sl_map(a), *fields = sl_list(a), *load = sl_map(a), *csv = sl_map(a);
    for (size_t i = 0; i < t->count; i++) {
        sl_val *f = sl_map(a);
        sl_map_set_str(a, f, "name", bigquery_name(a, t->columns[i].name));
        sl_map_set_str(a, f, "type", sl_str_c(bigquery_type(&t->columns[i])));
        sl_list_add(a, fields, f);
    }
    sl_map_setc(a, v, "schema", sl_map_of(a, "fields", fields));
    sl_map_set_str(a, csv, "fieldDelimiter", sl_str_dup(a, (sl_str){ &t->shape->separator, 1 }));
    sl_map_set_str(a, csv, "quote", sl_str_dup(a, (sl_str){ &t->shape->quote, 1 }));
    sl_map_set_int(a, csv, "skipLeadingRows", t->shape->header);
    sl_map_set_bool(a, csv, "allowQuotedNewLines", true);
    sl_map_set_str(a, csv, "encoding", sl_str_starts(t->shape->charset, SL_S("UTF")) ? t->shape->charset : SL_S("ISO-8859-1"));
    sl_map_set_str(a, load, "format", SL_S("CSV"));
    sl_map_setc(a, load, "csvOptions", csv);
    sl_map_setc(a, v, "load", load);
    return v;
}

static sl_str create(sl_arena *a, const sl_csv_table *t, sl_str table, sl_str (*type)(sl_arena *, const sl_csv_column *))
{
    sl_buf b = sl_buf_new(a, SIZE_MAX / 4);
    sl_buf_fmt(&b, "CREATE TABLE %.*s (", SL_ARG(table));
    for (size_t i = 0; i < t->count; i++) {
        sl_str name = sl_sql_name(a, t->columns[i].name), is = type(a, &t->columns[i]);
        sl_buf_fmt(&b, "%s\n  %.*s %.*s", i ? "," : "", SL_ARG(name), SL_ARG(is));
    }
    sl_buf_addc(&b, "\n)");
    return sl_buf_str(&b);
}

static sl_str literal(sl_arena *a, char c)
{
    return c == '\t' ? SL_S("E'\\t'") : sl_sql_text(a, sl_str_dup(a, (sl_str){ &c, 1 }));
}

static sl_str redshift_copy(sl_arena *a, const sl_csv_table *t, sl_str table)
{
    sl_str separator = t->shape->separator == '\t' ? SL_S("'\\t'") : literal(a, t->shape->separator), quote = literal(a, t->shape->quote);
    return sl_fmt(a, "COPY %.*s FROM 's3://…' IAM_ROLE default CSV DELIMITER %.*s QUOTE %.*s%s%s%s", SL_ARG(table), SL_ARG(separator), SL_ARG(quote), t->shape->header ? " IGNOREHEADER 1" : "", t->shape->gzip ? " GZIP" : "",
                  sl_str_eqc(t->shape->charset, "UTF-16LE") ? " ENCODING UTF16LE" : sl_str_eqc(t->shape->charset, "UTF-16BE") ? " ENCODING UTF16BE" : "");
}

static sl_str postgres_copy(sl_arena *a, const sl_csv_table *t, sl_str table)
{
    sl_str separator = literal(a, t->shape->separator), quote = literal(a, t->shape->quote), charset = t->shape->charset;
    return sl_fmt(a, "COPY %.*s FROM STDIN WITH (FORMAT csv, DELIMITER %.*s, QUOTE %.*s, HEADER %s%s)", SL_ARG(table), SL_ARG(separator), SL_ARG(quote), t->shape->header ? "true" : "false",
                  sl_str_eqc(charset, "windows-1252") ? ", ENCODING 'WIN1252'" : "");
}

const sl_val *sl_csv_schemas(sl_arena *a, const sl_csv_table *t, sl_str table)
{
    sl_val *v = sl_map(a), *redshift = sl_map(a), *postgres = sl_map(a);
    sl_map_set_str(a, redshift, "create", create(a, t, table, sl_csv_redshift_type));
    sl_map_set_str(a, redshift, "copy", redshift_copy(a, t, table));
    sl_map_set_str(a, postgres, "create", create(a, t, table, sl_csv_postgres_type));
    sl_map_set_str(a, postgres, "copy", postgres_copy(a, t, table));
    sl_map_setc(a, v, "bigquery", bigquery(a, t));
    sl_map_setc(a, v, "redshift", redshift);
    sl_map_setc(a, v, "postgresql", postgres);
    return v;
}
