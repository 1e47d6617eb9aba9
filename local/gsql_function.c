/*
 * local/gsql_function.c: calls of functions. Most are translated by templates: $1 $2 … are the arguments, $@ all of them with commas,
 * $| all of them with ||. What is complicated is a macro of the warehouse (local/bq_macros.c).
 */
#include "base/arena.h"
#include "db/duck.h"
#include "local/gsql.h"

enum { ANY = 99 };

typedef struct function {
    const char *name;
    int least, most;              /* how many arguments; several rows may have one name */
    const char *template;
} function;

static const function functions[] = {
    /* conditions and numbers */
    { "IF", 3, 3, "(CASE WHEN $1 THEN $2 ELSE $3 END)" },
    { "SAFE_DIVIDE", 2, 2, "(CASE WHEN ($2) = 0 THEN NULL ELSE ($1) / ($2) END)" },
    { "SAFE_MULTIPLY", 2, 2, "TRY(($1) * ($2))" },
    { "SAFE_ADD", 2, 2, "TRY(($1) + ($2))" },
    { "SAFE_SUBTRACT", 2, 2, "TRY(($1) - ($2))" },
    { "SAFE_NEGATE", 1, 1, "TRY(-($1))" },
    { "DIV", 2, 2, "(($1) // sl_divisor($2))" },
    { "MOD", 2, 2, "(($1) % sl_divisor($2))" },
    { "IEEE_DIVIDE", 2, 2, "(CAST($1 AS DOUBLE) / CAST($2 AS DOUBLE))" },
    { "IS_INF", 1, 1, "isinf(CAST($1 AS DOUBLE))" },
    { "IS_NAN", 1, 1, "isnan(CAST($1 AS DOUBLE))" },
    { "LOG", 1, 1, "ln($1)" },
    { "LOG", 2, 2, "log($2, $1)" },
    { "ROUND", 1, 1, "round($1)" },
    { "ROUND", 2, 2, "round($1, CAST($2 AS INTEGER))" },
    { "RAND", 0, 0, "random()" },
    { "RANGE_BUCKET", 2, 2, "len(list_filter($2, sl_v -> sl_v <= ($1)))" },
    { "FARM_FINGERPRINT", 1, 1, "CAST(hash($1) & 9223372036854775807 AS BIGINT)" },
    { "GENERATE_UUID", 0, 0, "CAST(uuid() AS VARCHAR)" },
    /* texts and bytes */
    { "CONCAT", 1, ANY, "($|)" },
    { "MD5", 1, 1, "unhex(md5($1))" },
    { "SHA1", 1, 1, "unhex(sha1($1))" },
    { "SHA256", 1, 1, "unhex(sha256($1))" },
    { "TO_HEX", 1, 1, "lower(hex($1))" },
    { "FROM_HEX", 1, 1, "unhex($1)" },
    { "TO_BASE64", 1, 1, "to_base64($1)" },
    { "FROM_BASE64", 1, 1, "from_base64($1)" },
    { "SAFE_CONVERT_BYTES_TO_STRING", 1, 1, "TRY(decode($1))" },
    { "LENGTH", 1, 1, "length($1)" },
    { "CHAR_LENGTH", 1, 1, "length($1)" },
    { "CHARACTER_LENGTH", 1, 1, "length($1)" },
    { "BYTE_LENGTH", 1, 1, "octet_length(sl_bytes($1))" },
    { "OCTET_LENGTH", 1, 1, "octet_length(sl_bytes($1))" },
    { "SUBSTR", 2, 2, "substr($1, sl_begin($1, $2))" },
    { "SUBSTR", 3, 3, "substr($1, sl_begin($1, $2), $3)" },
    { "SUBSTRING", 2, 2, "substr($1, sl_begin($1, $2))" },
    { "SUBSTRING", 3, 3, "substr($1, sl_begin($1, $2), $3)" },
    { "EDIT_DISTANCE", 2, 2, "levenshtein($1, $2)" },
    { "PARSE_NUMERIC", 1, 1, "CAST(replace(replace($1, ',', ''), ' ', '') AS DECIMAL(38, 9))" },
    { "LPAD", 2, 2, "lpad($1, CAST($2 AS INTEGER), ' ')" },
    { "LPAD", 3, 3, "lpad($1, CAST($2 AS INTEGER), $3)" },
    { "RPAD", 3, 3, "rpad($1, CAST($2 AS INTEGER), $3)" },
    { "RPAD", 2, 2, "rpad($1, CAST($2 AS INTEGER), ' ')" },
    { "INITCAP", 1, 1, "array_to_string(list_transform(regexp_extract_all(lower($1), '[[:alnum:]]+|[^[:alnum:]]+'), w -> upper(w[1]) || w[2:]), '')" },
    { "SPLIT", 2, 2, "string_split($1, $2)" },
    { "SPLIT", 1, 1, "string_split($1, ',')" },
    { "STARTS_WITH", 2, 2, "starts_with($1, $2)" },
    { "ENDS_WITH", 2, 2, "ends_with($1, $2)" },
    { "CONTAINS_SUBSTR", 2, 2, "contains(lower(sl_text($1)), lower($2))" },
    { "STRPOS", 2, 2, "strpos($1, $2)" },
    { "INSTR", 2, 2, "strpos($1, $2)" },
    { "INSTR", 3, 3, "sl_instr($1, $2, $3, 1)" },
    { "INSTR", 4, 4, "sl_instr($1, $2, $3, $4)" },
    { "NORMALIZE", 1, 1, "nfc_normalize($1)" },
    { "NORMALIZE_AND_CASEFOLD", 1, 1, "lower(nfc_normalize($1))" },
    { "TO_CODE_POINTS", 1, 1, "list_transform(string_split($1, ''), c -> unicode(c))" },
    { "CODE_POINTS_TO_STRING", 1, 1, "array_to_string(list_transform($1, c -> chr(CAST(c AS INTEGER))), '')" },
    { "REGEXP_CONTAINS", 2, 2, "regexp_matches($1, $2)" },
    { "REGEXP_EXTRACT", 2, 2, "(CASE WHEN regexp_matches($1, $2) THEN regexp_extract($1, $2, sl_group($2)) END)" },
    { "REGEXP_EXTRACT", 3, 3, "(CASE WHEN regexp_matches(substr($1, $3), $2) THEN regexp_extract(substr($1, $3), $2, sl_group($2)) END)" },
    { "REGEXP_EXTRACT", 4, 4, "regexp_extract_all(substr($1, $3), $2, sl_group($2))[$4]" },
    { "REGEXP_SUBSTR", 2, 2, "(CASE WHEN regexp_matches($1, $2) THEN regexp_extract($1, $2, sl_group($2)) END)" },
    { "REGEXP_EXTRACT_ALL", 2, 2, "regexp_extract_all($1, $2, sl_group($2))" },
    { "REGEXP_INSTR", 2, 2, "(CASE WHEN NOT regexp_matches($1, $2) THEN 0 ELSE length(regexp_extract($1, '^((?s:.*?))(?:' || ($2) || ')', 1)) + 1 END)" },
    { "REGEXP_REPLACE", 3, 3, "regexp_replace($1, $2, $3, 'g')" },
    /* arrays */
    { "ARRAY_LENGTH", 1, 1, "len($1)" },
    { "ARRAY_TO_STRING", 2, 2, "array_to_string($1, $2)" },
    { "ARRAY_TO_STRING", 3, 3, "array_to_string(list_transform($1, sl_v -> coalesce(sl_v, $3)), $2)" },
    { "ARRAY_REVERSE", 1, 1, "list_reverse($1)" },
    { "ARRAY_FIRST", 1, 1, "($1)[1]" },
    { "ARRAY_LAST", 1, 1, "($1)[-1]" },
    { "ARRAY_CONCAT_AGG", 1, 1, "flatten(list($1))" },
    { "GENERATE_ARRAY", 3, 3, "generate_series($1, $2, $3)" },
    { "GENERATE_ARRAY", 2, 2, "generate_series($1, $2)" },
    { "GENERATE_DATE_ARRAY", 3, 3, "list_transform(generate_series(CAST($1 AS TIMESTAMP), CAST($2 AS TIMESTAMP), $3), d -> CAST(d AS DATE))" },
    { "GENERATE_DATE_ARRAY", 2, 2, "list_transform(generate_series(CAST($1 AS TIMESTAMP), CAST($2 AS TIMESTAMP), INTERVAL 1 DAY), d -> CAST(d AS DATE))" },
    { "GENERATE_TIMESTAMP_ARRAY", 3, 3, "generate_series(CAST($1 AS TIMESTAMP WITH TIME ZONE), CAST($2 AS TIMESTAMP WITH TIME ZONE), $3)" },
    { "OFFSET", 1, 1, "($1) + 1" },
    { "SAFE_OFFSET", 1, 1, "($1) + 1" },
    { "ORDINAL", 1, 1, "$1" },
    { "SAFE_ORDINAL", 1, 1, "$1" },
    /* aggregates */
    { "COUNTIF", 1, 1, "count_if($1)" },
    { "LOGICAL_AND", 1, 1, "bool_and($1)" },
    { "LOGICAL_OR", 1, 1, "bool_or($1)" },
    { "APPROX_COUNT_DISTINCT", 1, 1, "approx_count_distinct($1)" },
    { "PERCENTILE_CONT", 2, 2, "quantile_cont($1, $2)" },
    { "PERCENTILE_DISC", 2, 2, "quantile_disc($1, $2)" },
    /* dates and times; those with parts are in gsql_part.c */
    { "CURRENT_TIMESTAMP", 0, 0, "now()" },
    { "CURRENT_DATE", 0, 0, "CAST(now() AS DATE)" },
    { "CURRENT_DATE", 1, 1, "CAST(now() AT TIME ZONE ($1) AS DATE)" },
    { "CURRENT_DATETIME", 0, 0, "CAST(now() AS TIMESTAMP)" },
    { "CURRENT_DATETIME", 1, 1, "(now() AT TIME ZONE ($1))" },
    { "CURRENT_TIME", 0, 0, "CAST(CAST(now() AS TIMESTAMP) AS TIME)" },
    { "CURRENT_TIME", 1, 1, "CAST(now() AT TIME ZONE ($1) AS TIME)" },
    { "DATE", 3, 3, "make_date($1, $2, $3)" },
    { "DATE", 2, 2, "CAST(($1) AT TIME ZONE ($2) AS DATE)" },
    { "DATE", 1, 1, "CAST($1 AS DATE)" },
    { "DATETIME", 6, 6, "make_timestamp($@)" },
    { "DATETIME", 2, 2, "sl_datetime($1, $2)" },
    { "DATETIME", 1, 1, "CAST($1 AS TIMESTAMP)" },
    { "TIMESTAMP", 2, 2, "(CAST($1 AS TIMESTAMP) AT TIME ZONE ($2))" },
    { "TIMESTAMP", 1, 1, "CAST($1 AS TIMESTAMP WITH TIME ZONE)" },
    { "TIME", 3, 3, "make_time($1, $2, $3)" },
    { "TIME", 2, 2, "CAST(($1) AT TIME ZONE ($2) AS TIME)" },
    { "TIME", 1, 1, "CAST(CAST($1 AS TIMESTAMP) AS TIME)" },
    { "UNIX_SECONDS", 1, 1, "CAST(floor(epoch($1)) AS BIGINT)" },
    { "UNIX_MILLIS", 1, 1, "epoch_ms($1)" },
    { "UNIX_MICROS", 1, 1, "epoch_us($1)" },
    { "UNIX_DATE", 1, 1, "date_diff('day', DATE '1970-01-01', $1)" },
    { "DATE_FROM_UNIX_DATE", 1, 1, "(DATE '1970-01-01' + CAST($1 AS INTEGER))" },
    { "TIMESTAMP_SECONDS", 1, 1, "to_timestamp($1)" },
    { "TIMESTAMP_MILLIS", 1, 1, "CAST(make_timestamp(($1) * 1000) AS TIMESTAMP WITH TIME ZONE)" },
    { "TIMESTAMP_MICROS", 1, 1, "CAST(make_timestamp($1) AS TIMESTAMP WITH TIME ZONE)" },
    { "DATE_ADD", 2, 2, "CAST(($1) + $2 AS DATE)" },
    { "DATE_SUB", 2, 2, "CAST(($1) - $2 AS DATE)" },
    { "TIMESTAMP_ADD", 2, 2, "(($1) + $2)" },
    { "TIMESTAMP_SUB", 2, 2, "(($1) - $2)" },
    { "DATETIME_ADD", 2, 2, "(($1) + $2)" },
    { "DATETIME_SUB", 2, 2, "(($1) - $2)" },
    { "TIME_ADD", 2, 2, "(($1) + $2)" },
    { "TIME_SUB", 2, 2, "(($1) - $2)" },
    { "DATE_BUCKET", 2, 2, "CAST(time_bucket($2, $1, DATE '1950-01-01') AS DATE)" },
    { "TIMESTAMP_BUCKET", 2, 2, "time_bucket($2, $1, TIMESTAMP WITH TIME ZONE '1950-01-01 00:00:00+00')" },
    { "DATETIME_BUCKET", 2, 2, "time_bucket($2, $1, TIMESTAMP '1950-01-01 00:00:00')" },
    { "PARSE_DATE", 2, 2, "CAST(strptime($2, sl_formats($1)) AS DATE)" },
    { "PARSE_DATETIME", 2, 2, "CAST(strptime($2, sl_formats($1)) AS TIMESTAMP)" },
    { "PARSE_TIME", 2, 2, "CAST(strptime($2, sl_formats($1)) AS TIME)" },
    { "PARSE_TIMESTAMP", 2, 2, "CAST(strptime($2, sl_formats($1)) AS TIMESTAMP WITH TIME ZONE)" },
    { "PARSE_TIMESTAMP", 3, 3, "(CAST(strptime($2, sl_formats($1)) AS TIMESTAMP) AT TIME ZONE ($3))" },
    { "STRING", 1, 1, "sl_string_of($1)" },
    { "STRING", 2, 2, "sl_zoned_text($1, $2)" },
    /* JSON */
    { "TO_JSON_STRING", 1, 1, "CAST(to_json($1) AS VARCHAR)" },
    { "PARSE_JSON", 1, 1, "CAST($1 AS JSON)" },
    { "JSON_VALUE", 1, 1, "sl_json_scalar($1, '$')" },
    { "JSON_VALUE", 2, 2, "sl_json_scalar($1, $2)" },
    { "JSON_EXTRACT_SCALAR", 1, 1, "sl_json_scalar($1, '$')" },
    { "JSON_EXTRACT_SCALAR", 2, 2, "sl_json_scalar($1, $2)" },
    { "JSON_QUERY", 1, 1, "json_extract($1, '$')" },
    { "JSON_QUERY", 2, 2, "json_extract($1, sl_path($2))" },
    { "JSON_EXTRACT", 1, 1, "json_extract($1, '$')" },
    { "JSON_EXTRACT", 2, 2, "json_extract($1, sl_path($2))" },
    { "JSON_QUERY_ARRAY", 1, 1, "json_extract($1, '$[*]')" },
    { "JSON_QUERY_ARRAY", 2, 2, "json_extract($1, sl_path($2) || '[*]')" },
    { "JSON_EXTRACT_ARRAY", 1, 1, "json_extract($1, '$[*]')" },
    { "JSON_EXTRACT_ARRAY", 2, 2, "json_extract($1, sl_path($2) || '[*]')" },
    { "JSON_VALUE_ARRAY", 1, 1, "json_extract_string($1, '$[*]')" },
    { "JSON_VALUE_ARRAY", 2, 2, "json_extract_string($1, sl_path($2) || '[*]')" },
    { "JSON_EXTRACT_STRING_ARRAY", 1, 1, "json_extract_string($1, '$[*]')" },
    { "JSON_EXTRACT_STRING_ARRAY", 2, 2, "json_extract_string($1, sl_path($2) || '[*]')" },
    { "JSON_TYPE", 1, 1, "sl_json_type($1)" },
    { "JSON_KEYS", 1, 1, "json_keys($1)" },
    { "INT64", 1, 1, "CAST($1 AS BIGINT)" },
    { "FLOAT64", 1, 1, "CAST($1 AS DOUBLE)" },
    { "BOOL", 1, 1, "CAST($1 AS BOOLEAN)" },
    { NULL, 0, 0, NULL },
};

static sl_str expand(gs_context *x, const char *template, const sl_str *args, size_t n)
{
    sl_buf b = sl_buf_new(x->arena, 16 << 20);
    for (const char *p = template; *p != '\0'; p++) {
        if (*p != '$' || p[1] == '\'') { /* '$' is a path */
            sl_buf_char(&b, *p);
            continue;
        }
        p++;
        if (*p == '@' || *p == '|')
            for (size_t i = 0; i < n; i++)
                sl_buf_fmt(&b, "%s%s%.*s%s", i ? (*p == '@' ? ", " : " || ") : "", *p == '|' ? "(" : "", SL_ARG(args[i]), *p == '|' ? ")" : "");
        else if ((size_t)(*p - '1') < n)
            sl_buf_add(&b, args[*p - '1']);
    }
    return sl_buf_str(&b);
}

size_t gs_arguments(const gs_token *t, size_t n, gs_range *ret, size_t room)
{
    size_t count = 0, from = 0;
    int depth = 0;
    for (size_t i = 0; i <= n && n > 0; i++) {
        if (i < n) {
            depth += gs_op(&t[i], "(") || gs_op(&t[i], "[");
            depth -= gs_op(&t[i], ")") || gs_op(&t[i], "]");
        }
        if (i < n && !(depth == 0 && gs_op(&t[i], ",")))
            continue;
        if (count < room)
            ret[count++] = (gs_range){ t + from, i - from };
        from = i + 1;
    }
    return count;
}

static bool starts_query(const gs_token *t)
{
    return gs_is(t, "SELECT") || gs_is(t, "WITH");
}

/* That word outside of brackets, from `from` on; n when there is none. */
static size_t find_word(const gs_token *t, size_t n, size_t from, const char *word)
{
    int depth = 0;
    for (size_t i = from; i < n; i++) {
        depth += gs_op(&t[i], "(") || gs_op(&t[i], "[");
        depth -= gs_op(&t[i], ")") || gs_op(&t[i], "]");
        if (depth == 0 && gs_is(&t[i], word))
            return i;
    }
    return n;
}

/* ---- CAST(x AS type [FORMAT …]) ---- */

static sl_str formatted(gs_context *x, sl_str value, sl_str duck, const gs_token *format)
{
    sl_str text;
    if (!gs_date_format(x, format, &text))
        return SL_S("");
    return sl_str_eqc(duck, "VARCHAR") ? sl_fmt(x->arena, "strftime(%.*s, %.*s)", SL_ARG(value), SL_ARG(text)) : sl_fmt(x->arena, "CAST(strptime(%.*s, %.*s) AS %.*s)", SL_ARG(value), SL_ARG(text), SL_ARG(duck));
}

static bool cast(gs_context *x, const gs_token *name, const gs_token *t, size_t n, sl_str *ret)
{
    const bool safe = gs_is(name, "SAFE_CAST");
    size_t as = find_word(t, n, 0, "AS"), i = as + 1;
    sl_str duck, value;
    const sl_val *field;
    if (as >= n)
        return gs_fail(x, name, "Syntax error: CAST needs AS and a type");
    if (!gs_type(x, t, n, &i, &duck, &field))
        return false;
    value = gs_rewrite(x, t, as);
    if (i + 1 < n && gs_is(&t[i], "FORMAT")) {
        sl_str text = formatted(x, value, duck, &t[i + 1]);
        *ret = safe ? sl_fmt(x->arena, "TRY(%.*s)", SL_ARG(text)) : text;
    } else if (i < n)
        return gs_fail(x, &t[i], "Syntax error: Unexpected \"%.*s\" in CAST", SL_ARG(t[i].text));
    else if (sl_str_eqc(duck, "VARCHAR"))
        *ret = sl_fmt(x->arena, "sl_text(%.*s)", SL_ARG(value));
    else if (sl_str_eqc(duck, "BLOB"))
        *ret = sl_fmt(x->arena, "sl_bytes(%.*s)", SL_ARG(value));
    else if (sl_str_eqc(duck, "BIGINT")) /* halves away from zero, of floats, too */
        *ret = sl_fmt(x->arena, safe ? "TRY(sl_int(%.*s))" : "sl_int(%.*s)", SL_ARG(value));
    else
        *ret = sl_fmt(x->arena, "%s(%.*s AS %.*s)", safe ? "TRY_CAST" : "CAST", SL_ARG(value), SL_ARG(duck));
    return true;
}

/* Of the value t[from, *end): behind AS, which is left out then, or the last part of a path. */
static sl_str own_name(const gs_token *t, size_t from, size_t *end)
{
    if (*end - from >= 3 && gs_is(&t[*end - 2], "AS")) {
        *end -= 2;
        return t[*end + 1].text;
    }
    return *end > from && t[*end - 1].kind == GS_IDENT ? t[*end - 1].text : SL_S("");
}

static bool has_names(const gs_token *t, size_t n)
{
    gs_range args[GS_ARGUMENTS_MAX];
    size_t count = gs_arguments(t, n, args, SL_COUNT(args));
    for (size_t i = 0; i < count; i++)
        if (args[i].n >= 3 && gs_is(&args[i].t[args[i].n - 2], "AS"))
            return true;
    return count > 0 && count == SL_COUNT(args); /* more than are looked at */
}

/* STRUCT(x AS a, y): names are kept, others are numbered as BigQuery does. */
sl_str gs_structure(gs_context *x, const gs_token *t, size_t n)
{
    sl_buf b = sl_buf_new(x->arena, 16 << 20);
    if (x->by_place && !has_names(t, n)) {
        sl_str values = gs_rewrite(x, t, n);
        return sl_fmt(x->arena, "row(%.*s)", SL_ARG(values));
    }
    sl_buf_addc(&b, "struct_pack(");
    const bool by_place = x->by_place;
    x->by_place = false;          /* this one has the names, and so have those inside */
    size_t from = 0, number = 0;
    int depth = 0;
    for (size_t i = 0; i <= n && n > 0; i++) {
        if (i < n) {
            depth += gs_op(&t[i], "(") || gs_op(&t[i], "[");
            depth -= gs_op(&t[i], ")") || gs_op(&t[i], "]");
        }
        if (i < n && !(depth == 0 && gs_op(&t[i], ",")))
            continue;
        size_t end = i;
        sl_str name = own_name(t, from, &end);
        number++;
        if (name.n == 0)
            name = sl_fmt(x->arena, "_field_%zu", number);
        sl_str value = gs_rewrite(x, t + from, end - from);
        sl_buf_fmt(&b, "%s\"%.*s\" := %.*s", number > 1 ? ", " : "", SL_ARG(name), SL_ARG(value));
        from = i + 1;
    }
    x->by_place = by_place;
    sl_buf_char(&b, ')');
    return sl_buf_str(&b);
}

static bool struct_call(gs_context *x, const gs_token *name, const gs_token *t, size_t n, sl_str *ret)
{
    (void)name;
    *ret = gs_structure(x, t, n);
    return true;
}

/* ---- aggregates with words inside: [DISTINCT] x[, separator] [IGNORE NULLS] [HAVING MAX y] [ORDER BY …] [LIMIT n] ---- */

typedef struct aggregate {
    bool distinct, ignore_nulls, greatest;
    sl_str value, separator, having, order, limit; /* .n == 0: there is none */
} aggregate;

static void take_aggregate(gs_context *x, const gs_token *t, size_t n, aggregate *ret)
{
    *ret = (aggregate){ .distinct = n > 0 && gs_is(t, "DISTINCT") };
    gs_range args[2];
    size_t limit = find_word(t, n, 0, "LIMIT"), order = find_word(t, limit, 0, "ORDER"), end = order;
    if (limit < n)
        ret->limit = gs_rewrite(x, t + limit + 1, n - limit - 1);
    if (order < limit)
        ret->order = gs_rewrite(x, t + order, limit - order);
    size_t having = find_word(t, end, 0, "HAVING");
    if (having + 2 < end) {
        ret->greatest = gs_is(&t[having + 1], "MAX");
        ret->having = gs_rewrite(x, t + having + 2, end - having - 2);
        end = having;
    }
    if (end >= 2 && gs_is(&t[end - 1], "NULLS") && (gs_is(&t[end - 2], "IGNORE") || gs_is(&t[end - 2], "RESPECT"))) {
        ret->ignore_nulls = gs_is(&t[end - 2], "IGNORE");
        end -= 2;
    }
    size_t first = ret->distinct ? 1 : 0, count = gs_arguments(t + first, end > first ? end - first : 0, args, SL_COUNT(args));
    ret->value = count > 0 ? gs_rewrite(x, args[0].t, args[0].n) : SL_S("");
    ret->separator = count > 1 ? gs_rewrite(x, args[1].t, args[1].n) : SL_S("");
}

static sl_str as_list(gs_context *x, const aggregate *g, bool no_nulls)
{
    sl_str filter = no_nulls ? sl_fmt(x->arena, " FILTER (WHERE (%.*s) IS NOT NULL)", SL_ARG(g->value)) : SL_S("");
    sl_str list = sl_fmt(x->arena, "array_agg(%s%.*s %.*s)%.*s", g->distinct ? "DISTINCT " : "", SL_ARG(g->value), SL_ARG(g->order), SL_ARG(filter));
    return g->limit.n > 0 ? sl_fmt(x->arena, "(%.*s)[1:(%.*s)]", SL_ARG(list), SL_ARG(g->limit)) : list;
}

static bool array_agg(gs_context *x, const gs_token *name, const gs_token *t, size_t n, sl_str *ret)
{
    (void)name;
    aggregate g;
    take_aggregate(x, t, n, &g);
    *ret = as_list(x, &g, g.ignore_nulls);
    return true;
}

static bool string_agg(gs_context *x, const gs_token *name, const gs_token *t, size_t n, sl_str *ret)
{
    (void)name;
    aggregate g;
    take_aggregate(x, t, n, &g);
    sl_str separator = g.separator.n > 0 ? g.separator : SL_S("','");
    if (g.limit.n > 0) {
        sl_str list = as_list(x, &g, true);
        *ret = sl_fmt(x->arena, "array_to_string(%.*s, %.*s)", SL_ARG(list), SL_ARG(separator));
    } else
        *ret = sl_fmt(x->arena, "string_agg(%s%.*s, %.*s %.*s)", g.distinct ? "DISTINCT " : "", SL_ARG(g.value), SL_ARG(separator), SL_ARG(g.order));
    return true;
}

/* ANY_VALUE, MAX and MIN, which may have HAVING MAX y: the value where y is greatest. */
static bool any_value(gs_context *x, const gs_token *name, const gs_token *t, size_t n, sl_str *ret)
{
    aggregate g;
    take_aggregate(x, t, n, &g);
    if (g.having.n > 0)
        *ret = sl_fmt(x->arena, "%s(%.*s, %.*s)", g.greatest ? "arg_max" : "arg_min", SL_ARG(g.value), SL_ARG(g.having));
    else
        *ret = sl_fmt(x->arena, "%.*s(%s%.*s)", SL_ARG(name->text), g.distinct ? "DISTINCT " : "", SL_ARG(g.value));
    return true;
}

static bool approx_quantiles(gs_context *x, const gs_token *name, const gs_token *t, size_t n, sl_str *ret)
{
    enum { QUANTILES_MAX = 1000 };
    gs_range args[GS_ARGUMENTS_MAX];
    size_t count = gs_arguments(t, n, args, SL_COUNT(args));
    int64_t number;
    if (count != 2 || args[1].n != 1 || !sl_parse_int(args[1].t->text, &number) || number < 1 || number > QUANTILES_MAX)
        return gs_fail(x, name, "APPROX_QUANTILES takes a value and a literal number from 1 to %d in the local cloud", QUANTILES_MAX);
    sl_buf b = sl_buf_new(x->arena, 1 << 16);
    sl_str value = gs_rewrite(x, args[0].t, args[0].n);
    sl_buf_fmt(&b, "quantile_disc(%.*s, [", SL_ARG(value));
    for (int64_t i = 0; i <= number; i++)
        sl_buf_fmt(&b, "%s%.17g", i ? ", " : "", (double)i / (double)number);
    sl_buf_addc(&b, "])");
    *ret = sl_buf_str(&b);
    return true;
}

/* ---- others that no template can say ---- */

/* NULL when one of them is; DuckDB's pass over it. */
static bool extreme(gs_context *x, const gs_token *name, const gs_token *t, size_t n, sl_str *ret)
{
    gs_range args[GS_ARGUMENTS_MAX];
    size_t count = gs_arguments(t, n, args, SL_COUNT(args));
    sl_buf all = sl_buf_new(x->arena, 16 << 20), nulls = sl_buf_new(x->arena, 16 << 20);
    for (size_t i = 0; i < count; i++) {
        sl_str one = gs_rewrite(x, args[i].t, args[i].n);
        sl_buf_fmt(&all, "%s%.*s", i ? ", " : "", SL_ARG(one));
        sl_buf_fmt(&nulls, "%s(%.*s) IS NULL", i ? " OR " : "", SL_ARG(one));
    }
    if (count == 0)
        return gs_fail(x, name, "No matching signature for function %.*s without arguments", SL_ARG(name->text));
    const sl_str tests = sl_buf_str(&nulls), list = sl_buf_str(&all);
    *ret = sl_fmt(x->arena, "(CASE WHEN %.*s THEN NULL ELSE %.*s(%.*s) END)", SL_ARG(tests), SL_ARG(name->text), SL_ARG(list));
    return true;
}

static bool array_concat(gs_context *x, const gs_token *name, const gs_token *t, size_t n, sl_str *ret)
{
    (void)name;
    gs_range args[GS_ARGUMENTS_MAX];
    size_t count = gs_arguments(t, n, args, SL_COUNT(args));
    *ret = count > 0 ? gs_rewrite(x, args[0].t, args[0].n) : SL_S("[]");
    for (size_t i = 1; i < count; i++)
        *ret = sl_fmt(x->arena, "list_concat(%.*s, %.*s)", SL_ARG(*ret), SL_ARG(gs_rewrite(x, args[i].t, args[i].n)));
    return true;
}

static const struct {
    const char *name;
    bool (*call)(gs_context *x, const gs_token *name, const gs_token *t, size_t n, sl_str *ret);
} special[] = {
    { "CAST", cast }, { "SAFE_CAST", cast }, { "STRUCT", struct_call }, { "FORMAT", gs_format }, { "FORMAT_DATE", gs_format_date }, { "FORMAT_DATETIME", gs_format_date }, { "FORMAT_TIMESTAMP", gs_format_date }, { "FORMAT_TIME", gs_format_date }, { "ARRAY_AGG", array_agg }, { "STRING_AGG", string_agg }, { "ANY_VALUE", any_value }, { "MAX", any_value },
    { "MIN", any_value }, { "APPROX_QUANTILES", approx_quantiles }, { "GREATEST", extreme }, { "LEAST", extreme }, { "ARRAY_CONCAT", array_concat },
};

static bool by_template(gs_context *x, const gs_token *name, const gs_token *inside, size_t n, sl_str *ret)
{
    gs_range args[GS_ARGUMENTS_MAX];
    sl_str texts[GS_ARGUMENTS_MAX];
    const function *hit = NULL;
    bool known = false;
    size_t count = gs_arguments(inside, n, args, SL_COUNT(args));
    for (const function *f = functions; f->name != NULL && hit == NULL; f++)
        if (gs_is(name, f->name)) {
            known = true;
            hit = count >= (size_t)f->least && count <= (size_t)f->most ? f : NULL;
        }
    if (!known)
        return false;
    if (hit == NULL) {
        gs_fail(x, name, "No matching signature for function %.*s with %zu arguments", SL_ARG(name->text), count);
        return true;
    }
    for (size_t i = 0; i < count; i++)
        texts[i] = gs_rewrite(x, args[i].t, args[i].n);
    *ret = expand(x, hit->template, texts, count);
    return true;
}

bool gs_call(gs_context *x, const gs_token *name, const gs_token *inside, size_t n, sl_str *ret)
{
    *ret = SL_S("");
    for (size_t i = 0; i < SL_COUNT(special); i++)
        if (gs_is(name, special[i].name))
            return special[i].call(x, name, inside, n, ret) || x->err->kind != SL_ERR_NONE;
    if (n > 0 && starts_query(inside))
        return false;
    return gs_part_call(x, name, inside, n, ret) || by_template(x, name, inside, n, ret);
}
