/*
 * local/gsql_expr.c: expressions and queries. Functions are translated by templates: $1 $2 … are the arguments, $@ all of
 * them with commas, $| all of them with ||; a part such as DAY is passed as written.
 */
#include "base/arena.h"
#include "db/duck.h"
#include "local/gsql.h"

typedef struct function {
    const char *name;
    int least;              /* arguments from which the template applies; several rows may have one name */
    const char *template;
} function;

static const function functions[] = {
    { "CONCAT", 1, "($|)" },
    { "MD5", 1, "unhex(md5($1))" },
    { "SHA1", 1, "unhex(sha1($1))" },
    { "SHA256", 1, "unhex(sha256($1))" },
    { "TO_HEX", 1, "lower(hex($1))" },
    { "FROM_HEX", 1, "unhex($1)" },
    { "TO_BASE64", 1, "to_base64($1)" },
    { "FROM_BASE64", 1, "from_base64($1)" },
    { "TO_JSON_STRING", 1, "CAST(to_json($1) AS VARCHAR)" },
    { "SAFE_DIVIDE", 2, "(CASE WHEN ($2) = 0 THEN NULL ELSE ($1) / ($2) END)" },
    { "SAFE_MULTIPLY", 2, "TRY(($1) * ($2))" },
    { "SAFE_ADD", 2, "TRY(($1) + ($2))" },
    { "SAFE_SUBTRACT", 2, "TRY(($1) - ($2))" },
    { "DIV", 2, "(($1) // ($2))" },
    { "IEEE_DIVIDE", 2, "(CAST($1 AS DOUBLE) / CAST($2 AS DOUBLE))" },
    { "IF", 3, "(CASE WHEN $1 THEN $2 ELSE $3 END)" },
    { "COUNTIF", 1, "count_if($1)" },
    { "LOGICAL_AND", 1, "bool_and($1)" },
    { "LOGICAL_OR", 1, "bool_or($1)" },
    { "APPROX_COUNT_DISTINCT", 1, "approx_count_distinct($1)" },
    { "ARRAY_LENGTH", 1, "len($1)" },
    { "ARRAY_TO_STRING", 2, "array_to_string($1, $2)" },
    { "ARRAY_CONCAT", 2, "list_concat($1, $2)" },
    { "ARRAY_REVERSE", 1, "list_reverse($1)" },
    { "GENERATE_ARRAY", 3, "generate_series($1, $2, $3)" },
    { "GENERATE_ARRAY", 2, "generate_series($1, $2)" },
    { "GENERATE_DATE_ARRAY", 3, "list_transform(generate_series(CAST($1 AS TIMESTAMP), CAST($2 AS TIMESTAMP), $3), d -> CAST(d AS DATE))" },
    { "GENERATE_DATE_ARRAY", 2, "list_transform(generate_series(CAST($1 AS TIMESTAMP), CAST($2 AS TIMESTAMP), INTERVAL 1 DAY), d -> CAST(d AS DATE))" },
    { "INITCAP", 1, "array_to_string(list_transform(regexp_extract_all(lower($1), '[[:alnum:]]+|[^[:alnum:]]+'), w -> upper(w[1]) || w[2:]), '')" },
    { "GENERATE_UUID", 0, "CAST(uuid() AS VARCHAR)" },
    { "REGEXP_CONTAINS", 2, "regexp_matches($1, $2)" },
    { "REGEXP_EXTRACT", 2, "nullif(regexp_extract($1, $2, CASE WHEN regexp_matches($2, '[(][^?]') THEN 1 ELSE 0 END), '')" },
    { "REGEXP_REPLACE", 3, "regexp_replace($1, $2, $3, 'g')" },
    { "SPLIT", 2, "string_split($1, $2)" },
    { "SPLIT", 1, "string_split($1, ',')" },
    { "STARTS_WITH", 2, "starts_with($1, $2)" },
    { "ENDS_WITH", 2, "ends_with($1, $2)" },
    { "STRPOS", 2, "strpos($1, $2)" },
    { "INSTR", 2, "strpos($1, $2)" },
    { "CHAR_LENGTH", 1, "length($1)" },
    { "BYTE_LENGTH", 1, "octet_length(CAST($1 AS BLOB))" },
    { "CURRENT_TIMESTAMP", 0, "now()" },
    { "CURRENT_DATE", 0, "CAST(now() AS DATE)" },
    { "CURRENT_DATETIME", 0, "CAST(now() AS TIMESTAMP)" },
    { "CURRENT_TIME", 0, "CAST(CAST(now() AS TIMESTAMP) AS TIME)" },
    { "DATE", 3, "make_date($1, $2, $3)" },
    { "DATE", 1, "CAST($1 AS DATE)" },
    { "DATETIME", 6, "make_timestamp($@)" },
    { "DATETIME", 1, "CAST($1 AS TIMESTAMP)" },
    { "TIMESTAMP", 1, "CAST($1 AS TIMESTAMP WITH TIME ZONE)" },
    { "TIME", 1, "CAST($1 AS TIME)" },
    { "UNIX_SECONDS", 1, "CAST(floor(epoch($1)) AS BIGINT)" },
    { "UNIX_MILLIS", 1, "epoch_ms($1)" },
    { "UNIX_MICROS", 1, "epoch_us($1)" },
    { "UNIX_DATE", 1, "date_diff('day', DATE '1970-01-01', $1)" },
    { "TIMESTAMP_SECONDS", 1, "to_timestamp($1)" },
    { "TIMESTAMP_MILLIS", 1, "to_timestamp(($1) / 1000.0)" },
    { "TIMESTAMP_MICROS", 1, "CAST(make_timestamp($1) AS TIMESTAMP WITH TIME ZONE)" },
    { "DATE_TRUNC", 2, "CAST(date_trunc('$2', $1) AS DATE)" },
    { "TIMESTAMP_TRUNC", 2, "date_trunc('$2', $1)" },
    { "DATETIME_TRUNC", 2, "date_trunc('$2', $1)" },
    { "DATE_DIFF", 3, "date_diff('$3', $2, $1)" },
    { "TIMESTAMP_DIFF", 3, "date_sub('$3', $2, $1)" },
    { "DATETIME_DIFF", 3, "date_diff('$3', $2, $1)" },
    { "DATE_ADD", 2, "CAST(($1) + $2 AS DATE)" },
    { "DATE_SUB", 2, "CAST(($1) - $2 AS DATE)" },
    { "TIMESTAMP_ADD", 2, "(($1) + $2)" },
    { "TIMESTAMP_SUB", 2, "(($1) - $2)" },
    { "DATETIME_ADD", 2, "(($1) + $2)" },
    { "DATETIME_SUB", 2, "(($1) - $2)" },
    { "FORMAT_DATE", 2, "strftime($2, $1)" },
    { "FORMAT_TIMESTAMP", 2, "strftime(CAST($2 AS TIMESTAMP), $1)" },
    { "FORMAT_DATETIME", 2, "strftime($2, $1)" },
    { "PARSE_DATE", 2, "CAST(strptime($2, $1) AS DATE)" },
    { "PARSE_TIMESTAMP", 2, "CAST(strptime($2, $1) AS TIMESTAMP WITH TIME ZONE)" },
    { "PARSE_DATETIME", 2, "strptime($2, $1)" },
    { "LAST_DAY", 1, "last_day($1)" },
    { "JSON_VALUE", 2, "json_extract_string($1, $2)" },
    { "JSON_EXTRACT_SCALAR", 2, "json_extract_string($1, $2)" },
    { "JSON_QUERY", 2, "json_extract($1, $2)" },
    { "JSON_EXTRACT", 2, "json_extract($1, $2)" },
    { "PARSE_JSON", 1, "CAST($1 AS JSON)" },
    { "FARM_FINGERPRINT", 1, "CAST(hash($1) & 9223372036854775807 AS BIGINT)" },
    { "RAND", 0, "random()" },
    { "OFFSET", 1, "($1) + 1" },
    { "SAFE_OFFSET", 1, "($1) + 1" },
    { "ORDINAL", 1, "$1" },
    { "SAFE_ORDINAL", 1, "$1" },
    { "ROUND", 1, "round($@)" },
    { "LENGTH", 1, "length($1)" },
    { "SAFE_CONVERT_BYTES_TO_STRING", 1, "TRY(decode($1))" },
    { NULL, 0, NULL },
};

static sl_str expand(gs_context *x, const char *template, const sl_str *args, size_t n)
{
    sl_buf b = sl_buf_new(x->arena, 16 << 20);
    for (const char *p = template; *p != '\0'; p++) {
        if (*p != '$') {
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

static bool starts_query(const gs_token *t)
{
    return gs_is(t, "SELECT") || gs_is(t, "WITH");
}

/* CAST(x AS type [FORMAT …]) */
static sl_str cast(gs_context *x, const gs_token *t, size_t n, bool safe)
{
    size_t as = n;
    int depth = 0;
    for (size_t i = 0; i < n; i++) {
        depth += gs_op(&t[i], "(");
        depth -= gs_op(&t[i], ")");
        if (depth == 0 && gs_is(&t[i], "AS"))
            as = i;
    }
    sl_str duck;
    const sl_val *field;
    size_t i = as + 1;
    if (as >= n || !gs_type(x, t, n, &i, &duck, &field)) {
        if (x->err->kind == SL_ERR_NONE)
            gs_fail(x, &t[0], "Syntax error: CAST needs AS and a type");
        return SL_S("");
    }
    sl_str value = gs_rewrite(x, t, as);
    if (sl_str_eqc(duck, "VARCHAR"))
        return sl_fmt(x->arena, "sl_string(%.*s)", SL_ARG(value));
    /* BigQuery takes blanks around numbers and rounds halves away from zero when a float becomes an integer; so does DuckDB. */
    return sl_fmt(x->arena, "%s(%.*s AS %.*s)", safe ? "TRY_CAST" : "CAST", SL_ARG(value), SL_ARG(duck));
}

/* INTERVAL 3 DAY, INTERVAL n MONTH */
static sl_str interval(gs_context *x, const gs_token *t, size_t n, size_t *i)
{
    size_t end = *i + 1;
    if (end < n && gs_op(&t[end], "("))
        end = gs_close(t, n, end);
    else {
        if (end < n && gs_op(&t[end], "-"))
            end++;
        end++;
        while (end < n && gs_op(&t[end], "."))
            end += 2;
    }
    sl_str value = gs_rewrite(x, t + *i + 1, (end < n ? end : n) - *i - 1);
    sl_str unit = end < n ? t[end].text : SL_S("DAY");
    *i = end + 1;
    return sl_fmt(x->arena, "(INTERVAL 1 %.*s * (%.*s))", SL_ARG(unit), SL_ARG(value));
}

static sl_str extract(gs_context *x, const gs_token *t, size_t n)
{
    size_t from = 0;
    while (from < n && !gs_is(&t[from], "FROM"))
        from++;
    sl_str value = from < n ? gs_rewrite(x, t + from + 1, n - from - 1) : SL_S("");
    if (gs_is(&t[0], "DATE") || gs_is(&t[0], "TIME"))
        return sl_fmt(x->arena, "CAST(%.*s AS %.*s)", SL_ARG(value), SL_ARG(t[0].text));
    if (gs_is(&t[0], "DAYOFWEEK"))
        return sl_fmt(x->arena, "(dayofweek(%.*s) + 1)", SL_ARG(value));
    return sl_fmt(x->arena, "extract(%.*s FROM %.*s)", SL_ARG(t[0].text), SL_ARG(value));
}

/* STRUCT(x AS a, y): names are kept, others are numbered as BigQuery does. */
static sl_str structure(gs_context *x, const gs_token *t, size_t n)
{
    sl_buf b = sl_buf_new(x->arena, 16 << 20);
    sl_buf_addc(&b, "struct_pack(");
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
        sl_str name = sl_fmt(x->arena, "_field_%zu", ++number);
        if (end - from >= 3 && gs_is(&t[end - 2], "AS")) {
            name = t[end - 1].text;
            end -= 2;
        } else if (end > from && t[end - 1].kind == GS_IDENT)
            name = t[end - 1].text;
        sl_str value = gs_rewrite(x, t + from, end - from);
        sl_buf_fmt(&b, "%s\"%.*s\" := %.*s", number > 1 ? ", " : "", SL_ARG(name), SL_ARG(value));
        from = i + 1;
    }
    sl_buf_char(&b, ')');
    return sl_buf_str(&b);
}

/* name ( … ): t[0] is the name, inside are the tokens between the brackets. */
static bool call(gs_context *x, const gs_token *name, const gs_token *inside, size_t n, sl_str *ret)
{
    sl_str args[16];
    size_t count = 0, from = 0;
    int depth = 0;
    if (gs_is(name, "CAST") || gs_is(name, "SAFE_CAST")) {
        *ret = cast(x, inside, n, gs_is(name, "SAFE_CAST"));
        return true;
    }
    if (gs_is(name, "EXTRACT")) {
        *ret = extract(x, inside, n);
        return true;
    }
    if (gs_is(name, "STRUCT")) {
        *ret = structure(x, inside, n);
        return true;
    }
    bool known = false;
    for (const function *f = functions; f->name != NULL && !known; f++)
        known = gs_is(name, f->name);
    if (!known || (n > 0 && starts_query(inside)))
        return false;
    for (size_t i = 0; i <= n && n > 0; i++) {
        if (i < n) {
            depth += gs_op(&inside[i], "(") || gs_op(&inside[i], "[");
            depth -= gs_op(&inside[i], ")") || gs_op(&inside[i], "]");
        }
        if (i < n && !(depth == 0 && gs_op(&inside[i], ",")))
            continue;
        if (count < SL_COUNT(args))
            args[count++] = gs_rewrite(x, inside + from, i - from);
        from = i + 1;
    }
    for (const function *f = functions; f->name != NULL; f++)
        if (gs_is(name, f->name) && count >= (size_t)f->least) {
            *ret = expand(x, f->template, args, count);
            return true;
        }
    return false;
}

sl_str gs_table(gs_context *x, const sl_str *parts, size_t count, const sl_val **ret_ref)
{
    sl_str project = x->project, dataset = x->dataset, table = parts[count - 1];
    if (count >= 2)
        dataset = parts[count - 2];
    if (count >= 3)
        project = parts[count - 3];
    if (ret_ref != NULL) {
        sl_val *ref = sl_map(x->arena);
        sl_map_set_str(x->arena, ref, "projectId", project);
        sl_map_set_str(x->arena, ref, "datasetId", dataset);
        sl_map_set_str(x->arena, ref, "tableId", table);
        *ret_ref = ref;
    }
    if (dataset.n == 0)
        return sl_duck_ident(x->arena, table);
    return sl_fmt(x->arena, "%.*s.%.*s", SL_ARG(sl_duck_ident(x->arena, sl_fmt(x->arena, "%.*s.%.*s", SL_ARG(project), SL_ARG(dataset)))), SL_ARG(sl_duck_ident(x->arena, table)));
}

/* a.b.c, `a.b.c`, my-project.b.c at t[*i]; moves past it. */
static size_t table_path(gs_context *x, const gs_token *t, size_t n, size_t *i, sl_str *parts, size_t room)
{
    size_t count = 0;
    while (*i < n && (t[*i].kind == GS_IDENT || t[*i].kind == GS_QUOTED) && count < room) {
        sl_str rest = t[*i].text, one;
        if (t[*i].kind == GS_QUOTED)
            while (count < room && sl_str_cut(&rest, '.', &one))
                parts[count++] = one;
        else {
            /* Dashes belong to an unquoted project name. */
            size_t first = *i;
            while (*i + 2 < n && gs_op(&t[*i + 1], "-") && !t[*i + 1].space_before && !t[*i + 2].space_before && (t[*i + 2].kind == GS_IDENT || t[*i + 2].kind == GS_NUMBER))
                *i += 2;
            parts[count++] = sl_str_sub(x->text, t[first].at, t[*i].end);
        }
        (*i)++;
        if (*i + 1 < n && gs_op(&t[*i], ".") && !t[*i].space_before)
            (*i)++;
        else
            break;
    }
    return count;
}

static bool introduces_table(const gs_token *t, size_t i)
{
    if (gs_is(&t[i], "FROM") && i > 0 && gs_is(&t[i - 1], "DISTINCT")) /* a IS DISTINCT FROM b */
        return false;
    static const char *const words[] = { "FROM", "JOIN", "INTO", "UPDATE", "USING", "TABLE", "MERGE" };
    for (size_t k = 0; k < SL_COUNT(words); k++)
        if (gs_is(&t[i], words[k]))
            return true;
    return false;
}

static bool ends_from(const gs_token *t)
{
    static const char *const words[] = { "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "UNION", "QUALIFY", "WINDOW", "SELECT", "ON", "WHEN", "SET", "VALUES", "EXCEPT", "INTERSECT" };
    for (size_t k = 0; k < SL_COUNT(words); k++)
        if (gs_is(t, words[k]))
            return true;
    return false;
}

/* Words that DuckDB reserves and GoogleSQL does not, so that they may be names there. */
static bool needs_quotes(const gs_token *t)
{
    static const char *const words[] = { "ANALYSE",   "ANALYZE", "ANTI",    "ASOF",    "ASYMMETRIC", "AUTHORIZATION", "BINARY",     "BOTH",      "CHECK",     "COLUMNS", "CONCURRENTLY", "DEFERRABLE",
                                         "DO",        "FREEZE",  "GENERATED", "GLOB",  "ILIKE",      "INITIALLY",     "ISNULL",     "LAMBDA",    "LEADING",   "MAP",     "NOTNULL",      "ONLY",
                                         "OVERLAPS",  "PLACING", "POSITIONAL", "RETURNING", "SEMI",  "SHOW",          "SIMILAR",    "SUMMARIZE", "SYMMETRIC", "TRAILING", "UNIQUE",      "UNPACK",
                                         "VARIADIC",  "VERBOSE" };
    for (size_t i = 0; i < SL_COUNT(words) && !gs_op(t + 1, "("); i++)
        if (gs_is(t, words[i]))
            return true;
    return false;
}

static void add_token(gs_context *x, sl_buf *b, const gs_token *t)
{
    if (b->n > 0 && t->space_before)
        sl_buf_char(b, ' ');
    switch (t->kind) {
    case GS_STRING: sl_buf_fmt(b, "'%.*s'", SL_ARG(sl_str_replace(x->arena, t->text, SL_S("'"), SL_S("''")))); break;
    case GS_BYTES: sl_buf_fmt(b, "unhex('%.*s')", SL_ARG(sl_hex(x->arena, t->text))); break;
    case GS_QUOTED: {
        sl_str rest = t->text, one;
        bool first = true;
        while (sl_str_cut(&rest, '.', &one)) {
            sl_buf_fmt(b, "%s%.*s", first ? "" : ".", SL_ARG(sl_duck_ident(x->arena, one)));
            first = false;
        }
        break;
    }
    case GS_PARAM: sl_buf_fmt(b, "$%.*s", SL_ARG(t->text)); break;
    case GS_IDENT: sl_buf_add(b, needs_quotes(t) ? sl_duck_ident(x->arena, t->text) : t->text); break;
    default: sl_buf_add(b, t->text);
    }
}

typedef struct rewriter {
    gs_context *x;
    const gs_token *t;
    size_t n, i;
    sl_buf out;
    bool in_from;
    bool in_list;      /* between SELECT and FROM: */
    size_t item;       /* where the current column begins, */
    unsigned unnamed;  /* and how many had no name so far */
} rewriter;

/* ---- columns without a name: f0_, f1_, … ---- */

static bool one_of(const gs_token *t, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (gs_is(t, words[i]))
            return true;
    return false;
}

static bool ends_list(const gs_token *t, size_t i)
{
    static const char *const words[] = { "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "UNION", "QUALIFY", "WINDOW", "INTERSECT" };
    if (gs_is(&t[i], "FROM"))
        return !gs_is(&t[i - 1], "DISTINCT");
    if (gs_is(&t[i], "EXCEPT"))
        return !gs_op(&t[i - 1], "*");
    return one_of(&t[i], words, SL_COUNT(words));
}

/* Does BigQuery find a name for the column t[from, to)? A path's last part, an alias with or without AS, or a star. */
static bool has_name(const gs_token *t, size_t from, size_t to)
{
    static const char *const modifiers[] = { "DISTINCT", "ALL" }, *const values[] = { "NULL", "TRUE", "FALSE", "END", "CURRENT_DATE", "CURRENT_TIMESTAMP", "CURRENT_DATETIME", "CURRENT_TIME" },
                             *const operators[] = { "AND", "OR", "NOT", "IS", "LIKE", "IN", "BETWEEN", "THEN", "ELSE", "DISTINCT", "FROM" };
    while (from < to && one_of(&t[from], modifiers, SL_COUNT(modifiers)))
        from++;
    if (from + 1 < to && gs_is(&t[from], "AS")) /* SELECT AS STRUCT */
        return true;
    size_t depth = 0;
    for (size_t i = from; i < to; i++) {
        depth += gs_op(&t[i], "(") || gs_op(&t[i], "[");
        depth -= depth > 0 && (gs_op(&t[i], ")") || gs_op(&t[i], "]"));
        if (depth == 0 && gs_op(&t[i], "*") && (i == from || gs_op(&t[i - 1], ".")))
            return true;
    }
    if (from >= to)
        return true;
    const gs_token *last = &t[to - 1];
    if (last->kind != GS_QUOTED && (last->kind != GS_IDENT || one_of(last, values, SL_COUNT(values))))
        return false;
    if (to - 1 == from)
        return true;
    const gs_token *before = last - 1;
    if (gs_op(before, ".") || gs_op(before, ")") || gs_op(before, "]") || before->kind == GS_STRING || before->kind == GS_NUMBER || before->kind == GS_QUOTED)
        return true;
    return before->kind == GS_IDENT && !one_of(before, operators, SL_COUNT(operators));
}

static void end_column(rewriter *r)
{
    if (!has_name(r->t, r->item, r->i))
        sl_buf_fmt(&r->out, " AS f%u_", r->unnamed++);
    r->item = r->i + 1;
}

/* [[project.]dataset.]INFORMATION_SCHEMA.X: the rows of that dataset in a temporary table. */
static sl_str information_table(gs_context *x, const sl_str *parts, size_t count)
{
    sl_arena *a = x->arena;
    sl_str project = count >= 4 ? parts[count - 4] : x->project, dataset = count >= 3 ? parts[count - 3] : x->dataset, view = sl_str_lower(a, parts[count - 1]);
    bool schemata = sl_str_eqc(view, "schemata");
    x->information = true;
    if (schemata && count == 3) /* project.INFORMATION_SCHEMA.SCHEMATA */
        project = parts[0];
    return sl_fmt(a, "(SELECT * FROM %.*s WHERE %s=%.*s%s%.*s)", SL_ARG(sl_duck_ident(a, sl_fmt(a, "info_%.*s", SL_ARG(view)))), schemata ? "catalog_name" : "table_catalog", SL_ARG(sl_duck_text(a, project)),
                  schemata ? "" : " AND table_schema=", SL_ARG(schemata ? SL_S("") : sl_duck_text(a, dataset)));
}

/* A table's name behind FROM and its like, unless it is a subquery, UNNEST, or a name of a WITH clause. */
static bool rewrite_table(rewriter *r)
{
    sl_str parts[8];
    const gs_token *t = &r->t[r->i];
    if ((t->kind != GS_IDENT && t->kind != GS_QUOTED) || gs_is(t, "UNNEST") || gs_is(t, "SELECT") || gs_is(t, "LATERAL"))
        return false;
    if (r->i + 1 < r->n && gs_op(&r->t[r->i + 1], "("))
        return false;
    size_t at = r->i, count = table_path(r->x, r->t, r->n, &r->i, parts, SL_COUNT(parts));
    if (count == 0 || (count == 1 && r->x->dataset.n == 0)) {
        r->i = at;
        return false;
    }
    if (count >= 2 && sl_str_ieq(parts[count - 2], SL_S("INFORMATION_SCHEMA"))) {
        sl_buf_fmt(&r->out, " %.*s", SL_ARG(information_table(r->x, parts, count)));
        return true;
    }
    if (count > 3)
        count = 3;
    sl_buf_fmt(&r->out, " %.*s", SL_ARG(gs_table(r->x, parts, count, NULL)));
    return true;
}

/* FROM UNNEST(list) AS name: in GoogleSQL the name is the element, in DuckDB it would be a row of one column. */
static bool rewrite_unnest(rewriter *r)
{
    static const char *const follow[] = { "WHERE", "ON", "WITH", "JOIN", "LEFT", "RIGHT", "FULL", "INNER", "CROSS", "GROUP", "ORDER", "LIMIT", "UNION", "HAVING", "QUALIFY", "WINDOW", "EXCEPT", "INTERSECT" };
    if (!gs_is(&r->t[r->i], "UNNEST") || r->i + 1 >= r->n || !gs_op(&r->t[r->i + 1], "("))
        return false;
    size_t open = r->i + 1, end = gs_close(r->t, r->n, open), name = end;
    if (name < r->n && gs_is(&r->t[name], "AS"))
        name++;
    if (name >= r->n || (r->t[name].kind != GS_IDENT && r->t[name].kind != GS_QUOTED))
        return false;
    for (size_t i = 0; i < SL_COUNT(follow); i++)
        if (gs_is(&r->t[name], follow[i]))
            return false;
    sl_str alias = sl_duck_ident(r->x->arena, r->t[name].text);
    sl_str list = gs_rewrite(r->x, r->t + open + 1, end - open - 2);
    sl_buf_fmt(&r->out, " UNNEST(%.*s) AS %.*s(%.*s)", SL_ARG(list), SL_ARG(alias), SL_ARG(alias));
    r->i = name + 1;
    return true;
}

static bool rewrite_call(rewriter *r)
{
    const gs_token *t = &r->t[r->i];
    size_t open = r->i + 1;
    sl_str text;
    bool safe = gs_is(t, "SAFE") && r->i + 3 < r->n && gs_op(&r->t[r->i + 1], ".") && gs_op(&r->t[r->i + 3], "(");
    if (safe) {
        t = &r->t[r->i + 2];
        open = r->i + 3;
    }
    if (t->kind != GS_IDENT || open >= r->n || !gs_op(&r->t[open], "("))
        return false;
    size_t end = gs_close(r->t, r->n, open);
    if (!call(r->x, t, r->t + open + 1, end - open - 2, &text)) {
        if (!safe)
            return false;
        text = gs_rewrite(r->x, t, end - (size_t)(t - r->t));
    }
    sl_buf_fmt(&r->out, safe ? " TRY(%.*s)" : " %.*s", SL_ARG(text));
    r->i = end;
    return true;
}

/* Words that differ: * EXCEPT (…), literals DATE '…', TIMESTAMP '…', typed arrays. */
static bool rewrite_word(rewriter *r)
{
    const gs_token *t = &r->t[r->i], *next = r->i + 1 < r->n ? t + 1 : NULL;
    if (gs_is(t, "EXCEPT") && r->i > 0 && (gs_op(t - 1, "*")) && next != NULL && gs_op(next, "(")) {
        sl_buf_addc(&r->out, " EXCLUDE");
        r->i++;
        return true;
    }
    if (gs_is(t, "EXCEPT") && next != NULL && gs_is(next, "DISTINCT")) {
        sl_buf_addc(&r->out, " EXCEPT");
        r->i += 2;
        return true;
    }
    if (gs_is(t, "INSERT") && next != NULL && gs_is(next, "ROW")) { /* of MERGE: all columns by position */
        sl_buf_addc(&r->out, " INSERT *");
        r->i += 2;
        return true;
    }
    if (gs_is(t, "UNION") && next != NULL && gs_is(next, "DISTINCT")) {
        sl_buf_addc(&r->out, " UNION");
        r->i += 2;
        return true;
    }
    if (gs_is(t, "TIMESTAMP") && next != NULL && next->kind == GS_STRING) {
        sl_buf_fmt(&r->out, " CAST('%.*s' AS TIMESTAMP WITH TIME ZONE)", SL_ARG(next->text));
        r->i += 2;
        return true;
    }
    if (gs_is(t, "DATETIME") && next != NULL && next->kind == GS_STRING) {
        sl_buf_fmt(&r->out, " CAST('%.*s' AS TIMESTAMP)", SL_ARG(next->text));
        r->i += 2;
        return true;
    }
    if ((gs_is(t, "NUMERIC") || gs_is(t, "BIGNUMERIC") || gs_is(t, "JSON")) && next != NULL && next->kind == GS_STRING) {
        sl_buf_fmt(&r->out, " CAST('%.*s' AS %s)", SL_ARG(sl_str_replace(r->x->arena, next->text, SL_S("'"), SL_S("''"))), gs_is(t, "JSON") ? "JSON" : "DECIMAL(38,9)");
        r->i += 2;
        return true;
    }
    if (gs_is(t, "INTERVAL") && next != NULL && next->kind != GS_STRING) {
        sl_str text = interval(r->x, r->t, r->n, &r->i);
        sl_buf_fmt(&r->out, " %.*s", SL_ARG(text));
        return true;
    }
    if (gs_is(t, "CURRENT_TIMESTAMP") || gs_is(t, "CURRENT_DATE")) { /* also without brackets */
        sl_buf_addc(&r->out, gs_is(t, "CURRENT_DATE") ? " CAST(now() AS DATE)" : " now()");
        r->i++;
        return true;
    }
    return false;
}

sl_str gs_rewrite(gs_context *x, const gs_token *t, size_t n)
{
    rewriter r = { .x = x, .t = t, .n = n, .out = sl_buf_new(x->arena, 64 << 20) };
    bool table_next = false;
    while (r.i < n && x->err->kind == SL_ERR_NONE) {
        const gs_token *at = &t[r.i];
        if (r.in_list && (gs_op(at, ",") || ends_list(t, r.i))) {
            end_column(&r);
            r.in_list = gs_op(at, ",");
        }
        if (table_next) {
            table_next = false;
            if (rewrite_unnest(&r) || rewrite_table(&r))
                continue;
        }
        if (gs_op(at, "(") || gs_op(at, "[")) { /* a scope of its own: commas and FROM inside are its business */
            size_t end = gs_close(t, n, r.i);
            add_token(x, &r.out, at);
            sl_buf_add(&r.out, gs_rewrite(x, at + 1, end > r.i + 2 ? end - r.i - 2 : 0));
            if (end > r.i + 1)
                add_token(x, &r.out, &t[end - 1]);
            r.i = end;
            continue;
        }
        if (at->kind == GS_IDENT && !(r.i > 0 && gs_op(at - 1, ".")) && (rewrite_call(&r) || rewrite_word(&r)))
            continue;
        if (ends_from(at))
            r.in_from = false;
        if (introduces_table(t, r.i)) {
            table_next = !(gs_is(at, "MERGE") && r.i + 1 < n && gs_is(at + 1, "INTO"));
            r.in_from |= gs_is(at, "FROM") || gs_is(at, "JOIN");
        } else if (r.in_from && gs_op(at, ","))
            table_next = true;
        if (r.out.n > 0 && !at->space_before && at->kind == GS_IDENT && r.i > 0 && t[r.i - 1].kind == GS_NUMBER)
            sl_buf_char(&r.out, ' ');
        add_token(x, &r.out, at);
        r.i++;
        if (gs_is(at, "SELECT")) {
            r.in_list = true;
            r.item = r.i;
            r.unnamed = 0;
        }
    }
    if (r.in_list)
        end_column(&r);
    if (r.out.overflow)
        sl_err_set(x->err, SL_ERR_LIMIT, "sql.size", "the SQL is too large");
    return sl_buf_str(&r.out);
}
