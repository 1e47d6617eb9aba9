/*
 * local/redshift_copy_errors.c: what COPY tells of rows that it does not take, and the views where it can be read. See redshift_copy.h.
 * Sources: https://docs.aws.amazon.com/redshift/latest/dg/r_STL_LOAD_ERRORS.html, …/SYS_LOAD_ERROR_DETAIL.html, …/r_Load_Error_Reference.html
 */
#include "base/arena.h"
#include "local/redshift_copy.h"

enum { RAW_MAX = 1024, TEXT_MAX = 100, ROWS_AT_ONCE = 500 };

typedef sl_redshift_copying copy;

const char *const sl_redshift_errors_setup[] = {
    "CREATE TABLE IF NOT EXISTS _sl.load_errors(query_id BIGINT, session_id INTEGER, start_time TIMESTAMP, file_name VARCHAR, line_number BIGINT, column_name VARCHAR, column_type VARCHAR, column_length VARCHAR, position INTEGER, raw_line VARCHAR,"
    " raw_field_value VARCHAR, error_code INTEGER, error_message VARCHAR)",
    "CREATE OR REPLACE VIEW sys_load_error_detail AS SELECT 100 AS user_id, query_id, CAST(0 AS BIGINT) AS transaction_id, session_id, 'dev' AS database_name, 0 AS table_id, start_time, file_name, line_number, column_name, column_type, column_length,"
    " position, error_code, error_message FROM _sl.load_errors",
    "CREATE OR REPLACE VIEW stl_load_errors AS SELECT 100 AS userid, 0 AS slice, 0 AS tbl, start_time AS starttime, session_id AS session, query_id AS query, file_name AS filename, line_number, column_name AS colname, column_type AS type,"
    " column_length AS col_length, position, raw_line, raw_field_value, error_code AS err_code, error_message AS err_reason FROM _sl.load_errors",
    NULL,
};

bool sl_redshift_errors_upgrade(sl_duck_con *con, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    const sl_val *rows;
    if (!sl_duck_run(con, a, SL_S("SELECT 1 FROM duckdb_tables() WHERE schema_name = 'main' AND table_name = 'sys_load_error_detail'"), &rows, NULL, err))
        return false;
    return sl_val_count(rows) == 0 || (sl_duck_exec(con, "DROP VIEW IF EXISTS stl_load_errors", err) && sl_duck_exec(con, "DROP TABLE sys_load_error_detail", err));
}

/* ---- reasons ---- */

/* What is no number in it, and where. */
static sl_str digits(sl_arena *a, sl_str value, const char *type, int64_t *position)
{
    size_t i = value.n > 0 && (value.p[0] == '-' || value.p[0] == '+');
    bool decimal = strcmp(type, "Decimal") == 0;
    while (i < value.n && ((value.p[i] >= '0' && value.p[i] <= '9') || (decimal && value.p[i] == '.')))
        i++;
    *position = (int64_t)i;
    if (i == value.n && value.n > 0)
        return sl_fmt(a, "Overflow, Value '%.*s', Type: %s", SL_ARG(value), type);
    size_t end = i + 1;
    while (end < value.n && ((unsigned char)value.p[end] & 0xC0) == 0x80)
        end++;
    sl_str digit = sl_str_sub(value, i, end);
    return sl_fmt(a, "Invalid digit, Value '%.*s', Pos %zu, Type: %s", SL_ARG(digit), i, type);
}

/* A value that is none of the column's type. */
static sl_str cast_reason(sl_arena *a, sl_str type, sl_str value, int64_t *code, int64_t *position)
{
    static const struct {
        const char *type, *name;
    } numbers[] = { { "SMALLINT", "Short" }, { "INTEGER", "Integer" }, { "BIGINT", "Long" }, { "DECIMAL", "Decimal" } };
    static const struct {
        const char *type;
        int code;
        const char *reason;
    } others[] = { { "DATE", 1205, "Invalid Date Format" }, { "TIMESTAMP", 1206, "Invalid timestamp format or value [YYYY-MM-DD HH24:MI:SS]" }, { "FLOAT", 1208, "Invalid float format" }, { "DOUBLE", 1208, "Invalid float format" }, { "BOOLEAN", 1210, "Unknown boolean format" } };
    for (size_t i = 0; i < SL_COUNT(numbers); i++)
        if (sl_str_starts(type, sl_str_c(numbers[i].type))) {
            *code = 1207;
            return digits(a, value, numbers[i].name, position);
        }
    for (size_t i = 0; i < SL_COUNT(others); i++)
        if (sl_str_starts(type, sl_str_c(others[i].type))) {
            *code = others[i].code;
            return sl_str_eqc(type, "DATE") && value.n < 10 ? SL_S("Invalid Date Format - length must be 10 or more") : sl_str_c(others[i].reason);
        }
    *code = 1200;
    return sl_fmt(a, "Invalid value for type %.*s", SL_ARG(type));
}

/* kind: of DuckDB's rejects_table, or LONG, CHAR, NULL. */
static sl_str reason(sl_arena *a, sl_str kind, sl_str type, sl_str value, int64_t *code, int64_t *position)
{
    static const struct {
        const char *kind;
        int code;
        const char *reason;
    } known[] = { { "LONG", 1204, "String length exceeds DDL length" },
                  { "CHAR", 1215, "Multibyte character not supported for CHAR (Hint: try using VARCHAR)" },
                  { "NULL", 1213, "Missing data for not-null field" },
                  { "MISSING COLUMNS", 1214, "Delimiter not found" },
                  { "TOO MANY COLUMNS", 1202, "Extra column(s) found" },
                  { "UNQUOTED VALUE", 1216, "Invalid quote formatting for CSV" },
                  { "INVALID ENCODING", 1220, "String contains invalid or unsupported UTF8 codepoints" } };
    for (size_t i = 0; i < SL_COUNT(known); i++)
        if (sl_str_eqc(kind, known[i].kind)) {
            *code = known[i].code;
            return sl_str_c(known[i].reason);
        }
    if (sl_str_eqc(kind, "CAST"))
        return cast_reason(a, type, value, code, position);
    *code = 1216;
    return sl_fmt(a, "Invalid input line: %.*s", SL_ARG(kind));
}

/* As many bytes at most, without a piece of a character. */
static sl_str cut(sl_str text, size_t most)
{
    if (text.n <= most)
        return text;
    while (most > 0 && ((unsigned char)text.p[most] & 0xC0) == 0x80)
        most--;
    return sl_str_sub(text, 0, most);
}

/* DuckDB's type under its name there. */
static const char *type_name(sl_redshift_column col)
{
    static const char *const names[][2] = { { "VARCHAR", "varchar" }, { "INTEGER", "int4" }, { "BIGINT", "int8" }, { "SMALLINT", "int2" }, { "DOUBLE", "float8" }, { "FLOAT", "float4" }, { "DECIMAL", "numeric" }, { "BOOLEAN", "bool" },
                                            { "DATE", "date" }, { "TIMESTAMP WITH", "timestamptz" }, { "TIMESTAMP", "timestamp" }, { "JSON", "super" } };
    if (col.text.fixed)
        return "char";
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (sl_str_starts(col.type, sl_str_c(names[i][0])))
            return names[i][1];
    return "";
}

sl_val *sl_redshift_reject(const copy *c, sl_str file, int64_t line, sl_str column, sl_str kind, sl_str value, sl_str raw)
{
    sl_val *ret = sl_map(c->a);
    sl_redshift_column col = { 0 };
    int64_t code, position = 0;
    for (size_t i = 0; i < sl_val_count(c->types); i++)
        if (sl_str_eq(sl_redshift_column_at(c, i).name, column))
            col = sl_redshift_column_at(c, i);
    sl_str length = col.is_text ? sl_fmt(c->a, "%lld", (long long)col.text.length) : SL_S("");
    sl_map_set_str(c->a, ret, "reason", reason(c->a, kind, col.type, value, &code, &position));
    sl_map_set_int(c->a, ret, "code", code);
    sl_map_set_int(c->a, ret, "position", position);
    sl_map_set_str(c->a, ret, "file", file);
    sl_map_set_int(c->a, ret, "line", line);
    sl_map_set_str(c->a, ret, "column", column);
    sl_map_set_str(c->a, ret, "type", sl_str_c(type_name(col)));
    sl_map_set_str(c->a, ret, "length", length);
    sl_map_set_str(c->a, ret, "value", value);
    sl_map_set_str(c->a, ret, "raw", raw);
    return ret;
}

/* (…), of VALUES. */
static void add_row(copy *c, const sl_val *r, sl_buf *b)
{
    static const struct {
        const char *key;
        size_t most;
    } texts[] = { { "column", 128 }, { "type", 16 }, { "length", 10 }, { "raw", RAW_MAX }, { "value", RAW_MAX }, { "reason", TEXT_MAX }, { "file", 256 } };
    sl_str t[SL_COUNT(texts)];
    for (size_t k = 0; k < SL_COUNT(texts); k++)
        t[k] = sl_duck_text(c->a, cut(sl_get_text(r, texts[k].key), texts[k].most));
    sl_buf_fmt(b, "%s(0, %d, (now() AT TIME ZONE 'UTC')::TIMESTAMP, %.*s, %lld, %.*s, %.*s, %.*s, %lld, %.*s, %.*s, %lld, %.*s)", b->n > 0 ? ", " : "", c->s->pid, SL_ARG(t[6]), (long long)sl_get_int(r, "line", 0), SL_ARG(t[0]), SL_ARG(t[1]),
               SL_ARG(t[2]), (long long)sl_get_int(r, "position", 0), SL_ARG(t[3]), SL_ARG(t[4]), (long long)sl_get_int(r, "code", 0), SL_ARG(t[5]));
}

bool sl_redshift_errors_keep(copy *c, const sl_val *rejects, sl_err *err)
{
    sl_duck_con *con = sl_val_count(rejects) > 0 ? sl_duck_connect(c->s->c->redshift_duck, err) : NULL;
    bool ok = con != NULL || sl_val_count(rejects) == 0;
    for (size_t i = 0; ok && i < sl_val_count(rejects);) {
        sl_buf b = sl_buf_new(c->a, SL_REDSHIFT_COPY_SQL);
        for (size_t end = i + ROWS_AT_ONCE; i < end && i < sl_val_count(rejects); i++)
            add_row(c, sl_at(rejects, i), &b);
        sl_str rows = sl_buf_str(&b);
        ok = sl_duck_run(con, c->a, sl_fmt(c->a, "INSERT INTO _sl.load_errors VALUES %.*s", SL_ARG(rows)), NULL, NULL, err);
    }
    sl_duck_disconnect(con);
    return ok;
}
