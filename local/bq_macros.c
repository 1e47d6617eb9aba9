/* local/bq_macros.c: what functions of GoogleSQL do, as macros of the warehouse; local/gsql_function.c makes calls of them. */
#include "local/bq_work.h"

/* A CASE over typeof() is decided before a row is read; TRY_CAST keeps the branches that are not taken from failing. */
const char *const bq_macros[] = {
    /* SUBSTR begins at 1 where it would begin before the text */
    "sl_begin(x, p) AS CASE WHEN p = 0 OR -p > length(x) THEN 1 ELSE p END",
    "sl_string(x) AS CASE WHEN typeof(x) LIKE 'DECIMAL%' AND contains(CAST(x AS VARCHAR), '.') THEN rtrim(rtrim(CAST(x AS VARCHAR), '0'), '.')"
    " WHEN typeof(x) IN ('DOUBLE', 'FLOAT') AND ends_with(CAST(x AS VARCHAR), '.0') THEN replace(CAST(x AS VARCHAR), '.0', '') ELSE CAST(x AS VARCHAR) END",
    /* a cell of an answer */
    "sl_cell(x) AS CASE WHEN typeof(x) NOT IN ('DOUBLE', 'FLOAT') THEN sl_string(x) WHEN isnan(TRY_CAST(x AS DOUBLE)) THEN 'NaN' WHEN isinf(TRY_CAST(x AS DOUBLE)) THEN CASE WHEN TRY_CAST(x AS DOUBLE) > 0 THEN 'Infinity' ELSE '-Infinity' END"
    " ELSE sl_string(x) END",
    /* parts of a second have three digits or six */
    "sl_moment(s) AS CASE WHEN contains(s, '.') THEN regexp_replace(s, '\\.[0-9]+', '.' || rpad(regexp_extract(s, '\\.([0-9]+)', 1), CASE WHEN length(regexp_extract(s, '\\.([0-9]+)', 1)) > 3 THEN 6 ELSE 3 END, '0')) ELSE s END",
    "sl_text(x) AS CASE WHEN typeof(x) = 'BLOB' THEN decode(TRY_CAST(x AS BLOB)) WHEN typeof(x) IN ('TIMESTAMP', 'TIMESTAMP WITH TIME ZONE', 'TIME') THEN sl_moment(CAST(x AS VARCHAR)) ELSE sl_string(x) END",
    "sl_bytes(x) AS CASE WHEN typeof(x) = 'BLOB' THEN TRY_CAST(x AS BLOB) ELSE encode(CAST(x AS VARCHAR)) END",
    "sl_int(x) AS CASE WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN CAST(round(TRY_CAST(x AS DOUBLE)) AS BIGINT) ELSE CAST(x AS BIGINT) END",
    "sl_divisor(x) AS CASE WHEN x = 0 THEN CAST('division by zero' AS BIGINT) ELSE x END", /* not error(): TRY and the optimizer do not like it */
    "sl_literal(x) AS CASE WHEN typeof(x) = 'VARCHAR' THEN '\"' || CAST(x AS VARCHAR) || '\"' ELSE sl_text(x) END",
    /* weeks: k is the day that begins them, 0 = Sunday */
    "sl_week(x, k) AS date_trunc('day', x) - to_days(CAST((dayofweek(x) - k + 7) % 7 AS INTEGER))",
    "sl_weeknumber(x, k) AS (dayofyear(x) + 6 - ((dayofweek(x) - k + 7) % 7)) // 7",
    "sl_isoyear(x) AS date_trunc('week', make_date(CAST(isoyear(x) AS INTEGER), 1, 4))",
    /* formats of dates: what strftime here has not */
    "sl_formats(f) AS replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(f, '%F', '%Y-%m-%d'), '%T', '%H:%M:%S'), '%R', '%H:%M'), '%D', '%m/%d/%y'), '%E4Y', '%Y'), '%h', '%b'), '%e', '%d'),"
    " '%E*S', '%S.%f'), '%E6S', '%S.%f'), '%Ez', '%z')",
    "sl_offset(x, z, colon) AS printf('%s%02d%s%02d', CASE WHEN date_diff('minute', x AT TIME ZONE 'UTC', x AT TIME ZONE z) < 0 THEN '-' ELSE '+' END, abs(date_diff('minute', x AT TIME ZONE 'UTC', x AT TIME ZONE z)) // 60, colon,"
    " abs(date_diff('minute', x AT TIME ZONE 'UTC', x AT TIME ZONE z)) % 60)",
    "sl_zoned_text(x, z) AS CAST(x AT TIME ZONE z AS VARCHAR) || regexp_replace(sl_offset(x, z, ':'), ':00$', '')",
    "sl_datetime(x, y) AS CASE WHEN typeof(y) = 'TIME' THEN CAST(CAST(x AS DATE) + TRY_CAST(y AS TIME) AS TIMESTAMP) ELSE CAST(x AS TIMESTAMP WITH TIME ZONE) AT TIME ZONE CAST(y AS VARCHAR) END",
    /* texts */
    "sl_instr(s, what, pos, nth) AS CASE WHEN s IS NULL OR what IS NULL THEN NULL ELSE coalesce(CASE WHEN pos > 0 THEN list_filter(range(pos, length(s) + 1), i -> substr(s, i, length(what)) = what)[nth]"
    " ELSE list_reverse(list_filter(range(1, length(s) + pos + 2), i -> substr(s, i, length(what)) = what))[nth] END, 0) END",
    "sl_group(re) AS CASE WHEN regexp_matches(regexp_replace(regexp_replace(re, '\\\\.', '', 'g'), '\\[\\^?\\]?[^\\]]*\\]', '', 'g'), '[(]([^?]|[?]P?<)') THEN 1 ELSE 0 END",
    /* JSON */
    "sl_path(p) AS regexp_replace(p, '\\[''([^'']*)''\\]', '.\"\\1\"', 'g')",
    "sl_json_scalar(x, p) AS CASE WHEN json_type(x, sl_path(p)) NOT IN ('OBJECT', 'ARRAY') THEN json_extract_string(x, sl_path(p)) END",
    "sl_json_type(x) AS CASE json_type(x) WHEN 'OBJECT' THEN 'object' WHEN 'ARRAY' THEN 'array' WHEN 'VARCHAR' THEN 'string' WHEN 'BOOLEAN' THEN 'boolean' WHEN 'NULL' THEN 'null' ELSE 'number' END",
    "sl_string_of(x) AS CASE WHEN typeof(x) = 'JSON' THEN json_extract_string(TRY_CAST(x AS JSON), '$') ELSE sl_text(x) END",
    NULL,
};
