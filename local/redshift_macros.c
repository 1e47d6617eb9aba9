/*
 * local/redshift_macros.c: functions and views of Redshift that DuckDB has not, as macros of the warehouse. What DuckDB has under the
 * same name and means otherwise is called rs_… here; local/redshift_shape.c and redshift_sql.c give it that name.
 */
#include "local/redshift_words.h"

#define MACRO "CREATE OR REPLACE MACRO "
/* What information_schema says, of the one database and its schema public; sl_redshift_rewrite gives it this place. */
#define INFORMATION(name, catalog, schema) \
    "CREATE OR REPLACE VIEW " SL_REDSHIFT_INFORMATION "." name " AS SELECT * REPLACE ('dev' AS " catalog ", replace(" schema ", 'main', 'public') AS " schema ") FROM information_schema." name " WHERE NOT starts_with(" schema ", '_')"
/* How many bytes of a character there are before byte n ends; in hexadecimal, bytes that go on begin with 8, 9, A or B. */
#define GOES_ON(byte) "substr(hex(encode(x)), 2 * (" byte ") + 1, 1) IN ('8', '9', 'A', 'B')"
#define CUT "CASE WHEN NOT (" GOES_ON("n") ") THEN 0 WHEN NOT (" GOES_ON("n - 1") ") THEN 1 WHEN NOT (" GOES_ON("n - 2") ") THEN 2 ELSE 3 END"
#define TYPE_NAME \
    "CASE WHEN data_type = 'VARCHAR' THEN CASE WHEN l.fixed THEN 'character' ELSE 'character varying' END WHEN starts_with(data_type, 'DECIMAL') THEN 'numeric' WHEN data_type = 'DOUBLE' THEN 'double precision' WHEN data_type = 'FLOAT' THEN 'real'" \
    " WHEN data_type = 'JSON' THEN 'super' WHEN data_type = 'TIMESTAMP' THEN 'timestamp without time zone' WHEN data_type = 'TIME' THEN 'time without time zone' WHEN data_type = 'BLOB' THEN 'binary varying' ELSE lower(data_type) END"
#define CASE_OF(n) " WHEN e IS NOT DISTINCT FROM s" #n " THEN r" #n
#define MOMENT "CAST(d AS TIMESTAMP)"

const char *const sl_redshift_macros[] = {
    /* conditions */
    MACRO "nvl2(a, b, c) AS CASE WHEN a IS NOT NULL THEN b ELSE c END",
    MACRO "rs_decode(e, s1, r1) AS CASE" CASE_OF(1) " END, (e, s1, r1, z) AS CASE" CASE_OF(1) " ELSE z END, (e, s1, r1, s2, r2) AS CASE" CASE_OF(1) CASE_OF(2) " END,"
          " (e, s1, r1, s2, r2, z) AS CASE" CASE_OF(1) CASE_OF(2) " ELSE z END, (e, s1, r1, s2, r2, s3, r3) AS CASE" CASE_OF(1) CASE_OF(2) CASE_OF(3) " END,"
          " (e, s1, r1, s2, r2, s3, r3, z) AS CASE" CASE_OF(1) CASE_OF(2) CASE_OF(3) " ELSE z END, (e, s1, r1, s2, r2, s3, r3, s4, r4) AS CASE" CASE_OF(1) CASE_OF(2) CASE_OF(3) CASE_OF(4) " END,"
          " (e, s1, r1, s2, r2, s3, r3, s4, r4, z) AS CASE" CASE_OF(1) CASE_OF(2) CASE_OF(3) CASE_OF(4) " ELSE z END",
    MACRO "rs_divisor(x) AS CASE WHEN x = 0 THEN CAST('division by zero' AS BIGINT) ELSE x END", /* not error(): TRY and the optimizer do not like it */
    MACRO "rs_concat(a, b) AS CAST(a AS VARCHAR) || CAST(b AS VARCHAR)", /* NULL where one of them is */
    MACRO "rs_mod(x, y) AS x % rs_divisor(y)",
    /* dates */
    MACRO "rs_last_day(d) AS last_day(CAST(d AS DATE))",
    MACRO "rs_add_year(n, d) AS " MOMENT " + to_years(CAST(n AS INTEGER))",
    MACRO "rs_add_quarter(n, d) AS " MOMENT " + to_months(CAST(n AS INTEGER) * 3)",
    MACRO "rs_add_month(n, d) AS " MOMENT " + to_months(CAST(n AS INTEGER))",
    MACRO "rs_add_week(n, d) AS " MOMENT " + to_days(CAST(n AS INTEGER) * 7)",
    MACRO "rs_add_day(n, d) AS " MOMENT " + to_days(CAST(n AS INTEGER))",
    MACRO "rs_add_hour(n, d) AS " MOMENT " + to_hours(n)",
    MACRO "rs_add_minute(n, d) AS " MOMENT " + to_minutes(n)",
    MACRO "rs_add_second(n, d) AS " MOMENT " + to_seconds(n)",
    MACRO "rs_add_millisecond(n, d) AS " MOMENT " + to_milliseconds(n)",
    MACRO "rs_add_microsecond(n, d) AS " MOMENT " + to_microseconds(n)",
    MACRO "rs_datediff(p, a, b) AS date_diff(p, CAST(a AS TIMESTAMP), CAST(b AS TIMESTAMP))",
    MACRO "rs_datetrunc(p, d) AS CAST(date_trunc(p, " MOMENT ") AS TIMESTAMP)",
    MACRO "add_months(d, n) AS " MOMENT " + to_months(CAST(n AS INTEGER)) + CASE WHEN CAST(d AS DATE) = last_day(CAST(d AS DATE)) THEN to_days(CAST(day(last_day(CAST(" MOMENT " + to_months(CAST(n AS INTEGER)) AS DATE))) - day(" MOMENT
          " + to_months(CAST(n AS INTEGER))) AS INTEGER)) ELSE to_days(0) END",
    MACRO "rs_months_between(a, b) AS (year(a) - year(b)) * 12 + month(a) - month(b) + CASE WHEN day(a) = day(b) OR (a = last_day(a) AND b = last_day(b)) THEN 0.0 ELSE (day(a) - day(b)) / 31.0 END",
    MACRO "months_between(a, b) AS rs_months_between(CAST(a AS DATE), CAST(b AS DATE))",
    MACRO "rs_cmp(a, b) AS CASE WHEN a < b THEN -1 WHEN a > b THEN 1 WHEN a = b THEN 0 END",
    MACRO "date_cmp(a, b) AS rs_cmp(CAST(a AS DATE), CAST(b AS DATE))",
    MACRO "timestamp_cmp(a, b) AS rs_cmp(CAST(a AS TIMESTAMP), CAST(b AS TIMESTAMP))",
    MACRO "next_day(d, name) AS CAST(d AS DATE) + CAST((CASE lower(left(name, 2)) WHEN 'su' THEN 0 WHEN 'mo' THEN 1 WHEN 'tu' THEN 2 WHEN 'we' THEN 3 WHEN 'th' THEN 4 WHEN 'fr' THEN 5 WHEN 'sa' THEN 6 END - dayofweek(CAST(d AS DATE)) + 6) % 7 + 1"
          " AS INTEGER)",
    MACRO "convert_timezone(z, d) AS (" MOMENT " AT TIME ZONE 'UTC') AT TIME ZONE z, (y, z, d) AS (" MOMENT " AT TIME ZONE y) AT TIME ZONE z",
    MACRO "rs_format(f) AS replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(upper(f), '\"', ''), 'IYYY', '%G'), 'YYYY', '%Y'),"
          " 'YY', '%y'), 'MONTH', '%B'), 'MON', '%b'), 'MM', '%m'), 'MI', '%M'), 'HH24', '%H'), 'HH12', '%I'), 'HH', '%I'), 'SS', '%S'), 'MS', '%g'), 'US', '%f'), 'DDD', '%j'), 'DD', '%d'), 'DAY', '%A'), 'DY', '%a'), 'IW', '%V'), 'AM', '%p'), 'PM', '%p')",
    MACRO "rs_number(x, f) AS lpad(format('{:' || CASE WHEN contains(f, ',') THEN ',' ELSE '' END || '.' || CASE WHEN contains(f, '.') THEN length(f) - strpos(f, '.') ELSE 0 END || 'f}', TRY_CAST(CAST(x AS VARCHAR) AS DOUBLE)),"
          " CAST(CASE WHEN starts_with(f, '0') THEN length(f) ELSE length(f) + 1 END AS INTEGER), CASE WHEN starts_with(f, '0') THEN '0' ELSE ' ' END)",
    MACRO "rs_number_text(x, f) AS CASE WHEN starts_with(upper(f), 'FM') THEN trim(rs_number(x, f[3:])) ELSE rs_number(x, f) END",
    /* texts */
    MACRO "charindex(what, s) AS instr(s, what)",
    MACRO "btrim(s) AS trim(s), (s, c) AS trim(s, c)",
    MACRO "initcap(s) AS array_to_string(list_transform(regexp_extract_all(lower(s), '[[:alnum:]]+|[^[:alnum:]]+'), w -> upper(w[1]) || w[2:]), '')",
    MACRO "rs_regexp_replace(s, re) AS regexp_replace(s, re, '', 'g'), (s, re, r) AS regexp_replace(s, re, r, 'g')",
    /* position, occurrence, i: any case, e: the group */
    MACRO "rs_re(re, o) AS CASE WHEN contains(o, 'i') THEN '(?i)' || re ELSE re END",
    MACRO "regexp_substr(s, re) AS regexp_extract(s, re), (s, re, p) AS regexp_extract(substr(s, p), re), (s, re, p, n) AS coalesce(regexp_extract_all(substr(s, p), re)[n], ''),"
          " (s, re, p, n, o) AS coalesce(regexp_extract_all(substr(s, p), rs_re(re, o), CASE WHEN contains(o, 'e') THEN 1 ELSE 0 END)[n], ''),"
          " (s, re, p, n, o, g) AS coalesce(regexp_extract_all(substr(s, p), rs_re(re, o), CASE WHEN contains(o, 'e') THEN g ELSE 0 END)[n], '')",
    MACRO "regexp_count(s, re) AS len(regexp_extract_all(s, re)), (s, re, p) AS len(regexp_extract_all(substr(s, p), re)), (s, re, p, o) AS len(regexp_extract_all(substr(s, p), rs_re(re, o)))",
    MACRO "rs_lpad(s, n) AS lpad(CAST(s AS VARCHAR), CAST(n AS INTEGER), ' '), (s, n, f) AS lpad(CAST(s AS VARCHAR), CAST(n AS INTEGER), f)",
    MACRO "rs_rpad(s, n) AS rpad(CAST(s AS VARCHAR), CAST(n AS INTEGER), ' '), (s, n, f) AS rpad(CAST(s AS VARCHAR), CAST(n AS INTEGER), f)",
    MACRO "regexp_instr(s, re) AS CASE WHEN NOT regexp_matches(s, re) THEN 0 ELSE length(regexp_extract(s, '^((?s:.*?))(?:' || re || ')', 1)) + 1 END",
    MACRO "rs_to_hex(x) AS lower(to_hex(x))",
    MACRO "quote_ident(s) AS CASE WHEN regexp_full_match(s, '[a-z_][a-z0-9_]*') THEN s ELSE '\"' || replace(s, '\"', '\"\"') || '\"' END",
    MACRO "quote_literal(s) AS chr(39) || replace(CAST(s AS VARCHAR), chr(39), chr(39) || chr(39)) || chr(39)",
    MACRO "sha2(s, n) AS CASE WHEN n IN (0, 256) THEN sha256(s) ELSE error('the local Redshift has SHA2 with 256 bits only') END",
    MACRO "strtol(s, b) AS list_reduce(list_prepend(0::BIGINT, list_transform(string_split(lower(s), ''), c -> CAST(strpos('0123456789abcdefghijklmnopqrstuvwxyz', c) - 1 AS BIGINT))), (x, y) -> x * b + y)",
    MACRO "fnv_hash(x) AS CAST(hash(x) & 9223372036854775807 AS BIGINT)",
    /* numbers */
    MACRO "square(x) AS x * x",
    MACRO "dexp(x) AS exp(x)",
    MACRO "dlog1(x) AS ln(x)",
    MACRO "dlog10(x) AS log10(x)",
    /* JSON */
    MACRO "rs_json_path(j, a) AS json_extract_string(j, '$.\"' || a || '\"'), (j, a, b) AS json_extract_string(j, '$.\"' || a || '\".\"' || b || '\"'), (j, a, b, c) AS json_extract_string(j, '$.\"' || a || '\".\"' || b || '\".\"' || c || '\"'),"
          " (j, a, b, c, d) AS json_extract_string(j, '$.\"' || a || '\".\"' || b || '\".\"' || c || '\".\"' || d || '\"')",
    MACRO "json_extract_array_element_text(j, i) AS json_extract_string(j, '$[' || i || ']')",
    MACRO "is_valid_json(j) AS json_valid(j) AND json_type(j) = 'OBJECT'",
    MACRO "is_valid_json_array(j) AS json_valid(j) AND json_type(j) = 'ARRAY'",
    MACRO "can_json_parse(j) AS json_valid(j)",
    MACRO "json_parse(s) AS CAST(s AS JSON)",
    MACRO "json_serialize(j) AS CAST(j AS VARCHAR)",
    MACRO "json_typeof(j) AS CASE json_type(j) WHEN 'OBJECT' THEN 'object' WHEN 'ARRAY' THEN 'array' WHEN 'VARCHAR' THEN 'string' WHEN 'BOOLEAN' THEN 'boolean' WHEN 'NULL' THEN 'null' ELSE 'number' END",
    MACRO "get_array_length(j) AS json_array_length(j)",
    MACRO "split_to_array(s) AS to_json(string_split(s, ',')), (s, c) AS to_json(string_split(s, c))",
    MACRO "timeofday() AS strftime(now() AT TIME ZONE 'UTC', '%a %b %d %H:%M:%S.%f %Y UTC')",
    MACRO "width_bucket(x, least_x, most_x, n) AS CASE WHEN x < least_x THEN 0 WHEN x >= most_x THEN n + 1 ELSE CAST(floor((x - least_x) * n / (most_x - least_x)) AS BIGINT) + 1 END",
    /* of '1,234.5-' what a number needs */
    MACRO "rs_digits(s) AS CASE WHEN regexp_matches(s, '-|<') THEN '-' ELSE '' END || regexp_replace(s, '[^0-9.]', '', 'g')",
    MACRO "has_table_privilege(t, p) AS true, (u, t, p) AS true",
    MACRO "has_schema_privilege(s, p) AS true, (u, s, p) AS true",
    MACRO "has_database_privilege(d, p) AS true, (u, d, p) AS true",
    MACRO "rs_text(x) AS CASE WHEN typeof(x) = 'JSON' THEN json_extract_string(TRY_CAST(x AS JSON), '$') ELSE CAST(x AS VARCHAR) END", /* a SUPER without its quotes */
    /* the beginning of a text that has so many bytes at most: a character is not cut */
    MACRO "rs_fit(x, n) AS CASE WHEN strlen(x) <= n THEN x ELSE decode(unhex(left(hex(encode(x)), 2 * (n - " CUT ")))) END",
    MACRO "rs_places(x, n) AS CASE WHEN instr(x, '.') > 0 AND instr(lower(x), 'e') = 0 THEN left(x, instr(x, '.') + n) ELSE x END",
    /* what tools ask for; the schema public is main here */
    "CREATE SCHEMA IF NOT EXISTS " SL_REDSHIFT_INFORMATION,
    /* lengths of text are checks here: redshift_table.c */
    "CREATE OR REPLACE VIEW " SL_REDSHIFT_INFORMATION ".lengths AS SELECT database_name, schema_name, table_name, constraint_column_names[1] AS column_name, CAST(regexp_extract(expression, '<= ([0-9]+)', 1) AS INTEGER) AS length,"
    " contains(expression, ' AND ') AS fixed FROM duckdb_constraints() WHERE constraint_type = 'CHECK' AND contains(expression, 'strlen(rtrim(')",
    "CREATE OR REPLACE VIEW " SL_REDSHIFT_INFORMATION ".columns AS SELECT c.* REPLACE ('dev' AS table_catalog, replace(table_schema, 'main', 'public') AS table_schema, " TYPE_NAME " AS data_type, CASE WHEN data_type = 'VARCHAR' THEN coalesce(l.length, 65535) END AS"
    " character_maximum_length) FROM information_schema.columns c LEFT JOIN " SL_REDSHIFT_INFORMATION ".lengths l ON l.database_name = c.table_catalog AND l.schema_name = c.table_schema AND l.table_name = c.table_name AND l.column_name = c.column_name"
    " WHERE NOT starts_with(table_schema, '_') ORDER BY c.table_schema, c.table_name, c.ordinal_position",
    "CREATE OR REPLACE VIEW svv_tables AS SELECT 'dev' AS table_catalog, replace(table_schema, 'main', 'public') AS table_schema, table_name, table_type, CAST(NULL AS VARCHAR) AS remarks FROM information_schema.tables WHERE table_schema <> '_sl'",
    "CREATE OR REPLACE VIEW svv_table_info AS SELECT 'dev' AS database, replace(schema_name, 'main', 'public') AS schema, table_oid AS table_id, table_name AS \"table\", 'N' AS encoded, 'AUTO(ALL)' AS diststyle, CAST(NULL AS VARCHAR) AS sortkey1,"
    " CAST(NULL AS INTEGER) AS max_varchar, CAST(NULL AS VARCHAR) AS sortkey1_enc, 0 AS sortkey_num, CAST(NULL AS BIGINT) AS size, CAST(NULL AS DECIMAL(10,4)) AS pct_used, 0 AS empty, CAST(NULL AS DECIMAL(5,2)) AS unsorted,"
    " CAST(0 AS DECIMAL(5,2)) AS stats_off, estimated_size AS tbl_rows, CAST(NULL AS DECIMAL(19,2)) AS skew_sortkey1, CAST(NULL AS DECIMAL(19,2)) AS skew_rows, estimated_size AS estimated_visible_rows, '' AS risk_event"
    " FROM duckdb_tables() WHERE database_name = current_database() AND NOT starts_with(schema_name, '_')",
    INFORMATION("tables", "table_catalog", "table_schema"),
    INFORMATION("views", "table_catalog", "table_schema"),
    "CREATE OR REPLACE VIEW svv_columns AS SELECT table_catalog, table_schema, table_name, column_name, ordinal_position, column_default, is_nullable, data_type, character_maximum_length, numeric_precision, numeric_scale FROM " SL_REDSHIFT_INFORMATION ".columns",
    "CREATE OR REPLACE VIEW pg_table_def AS SELECT table_schema AS schemaname, table_name AS tablename, column_name AS \"column\", data_type || CASE WHEN character_maximum_length IS NOT NULL THEN '(' || character_maximum_length || ')'"
    " WHEN data_type = 'numeric' THEN '(' || numeric_precision || ',' || numeric_scale || ')' ELSE '' END AS type, 'none' AS encoding, false AS distkey, 0 AS sortkey, is_nullable = 'NO' AS \"notnull\" FROM svv_columns",
    INFORMATION("schemata", "catalog_name", "schema_name"),
    "CREATE OR REPLACE VIEW rs_view_columns AS SELECT c.table_schema, c.table_name, c.column_name, c.data_type AS column_type, c.ordinal_position FROM " SL_REDSHIFT_INFORMATION ".columns c JOIN " SL_REDSHIFT_INFORMATION
    ".views v USING (table_schema, table_name)",
    "CREATE OR REPLACE VIEW pg_rewrite AS SELECT CAST(0 AS BIGINT) AS oid, CAST(0 AS BIGINT) AS ev_class, '' AS rulename WHERE false",
    "CREATE OR REPLACE VIEW stv_recents AS SELECT 0 AS userid, 'Done' AS status, CAST(NULL AS TIMESTAMP) AS starttime, 0 AS duration, '' AS user_name, 'dev' AS db_name, '' AS query, 0 AS pid WHERE false",
    NULL,
};
