/*
 * local/redshift_names.c: columns of a SELECT that were given no name, under the name that Redshift gives them: count, max, ?column?.
 * DuckDB calls a column after its whole expression, and a flow that reads `row.count` would not find it.
 * Source: the rules of PostgreSQL 8.0 (FigureColname), from which Redshift comes: https://www.postgresql.org/docs/8.0/sql-select.html
 */
#include "base/arena.h"
#include "local/redshift_tokens.h"

typedef sl_redshift_tokens tokens;

/* Only a name of strength 2 (a column's, a function's) shines through a CASE; 1: a type's or CASE itself; 0: ?column?. */
typedef struct figure {
    sl_str name;
    int strength;
} figure;

static bool at(const tokens *k, size_t i, const char *word)
{
    return sl_token_at(k, i, word);
}

static const char *type_name(sl_str word)
{
    static const char *const types[][2] = { { "INT", "int4" }, { "INTEGER", "int4" }, { "BIGINT", "int8" }, { "SMALLINT", "int2" }, { "CHARACTER", "bpchar" }, { "CHAR", "bpchar" }, { "NVARCHAR", "varchar" }, { "DECIMAL", "numeric" },
                                            { "FLOAT", "float8" }, { "DOUBLE", "float8" }, { "REAL", "float4" }, { "BOOLEAN", "bool" } };
    for (size_t i = 0; i < SL_COUNT(types); i++)
        if (is(word, types[i][0]))
            return types[i][1];
    return NULL;
}

static figure of_type(sl_str word)
{
    const char *known = type_name(word);
    return (figure){ known ? sl_str_c(known) : word, 1 };
}

static figure figure_of(const tokens *k, size_t b, size_t e);

/* x AS type */
static figure of_cast(const tokens *k, size_t b, size_t e)
{
    size_t as = sl_token_find(k, b, e, "AS");
    figure ret = figure_of(k, b, as);
    return ret.strength > 0 || as + 1 >= e ? ret : of_type(k->t[as + 1]);
}

static figure of_call(const tokens *k, size_t open)
{
    static const char *const others[][2] = { { "NVL", "coalesce" }, { "NVL2", "case" }, { "DECODE", "case" }, { "EXTRACT", "date_part" }, { "TRIM", "btrim" } };
    size_t end = sl_token_close(k, open);
    sl_str name = k->t[open - 1];
    if (is(name, "CAST"))
        return of_cast(k, open + 1, end);
    if (is(name, "CONVERT") && sl_token_find(k, open + 1, end, ",") < end) {
        figure ret = figure_of(k, sl_token_find(k, open + 1, end, ",") + 1, end);
        return ret.strength > 0 ? ret : of_type(k->t[open + 1]);
    }
    for (size_t i = 0; i < SL_COUNT(others); i++)
        if (is(name, others[i][0]))
            name = sl_str_c(others[i][1]);
    return (figure){ name, 2 };
}

/* CASE … END: what ELSE gives names it, if that has a name. */
static figure of_case(const tokens *k, size_t b, size_t e)
{
    size_t depth = 0, other = e;
    for (size_t i = b; i < e; i++) {
        if (depth == 1 && at(k, i, "ELSE"))
            other = i + 1;
        depth += at(k, i, "CASE");
        depth -= at(k, i, "END");
    }
    figure ret = other < e - 1 ? figure_of(k, other, e - 1) : (figure){ SL_S(""), 0 };
    return ret.strength > 1 ? ret : (figure){ SL_S("case"), 1 };
}

static figure of_word(const tokens *k, size_t i)
{
    static const char *const words[][2] = { { "SYSDATE", "timestamp" }, { "CURRENT_DATE", "date" }, { "CURRENT_TIMESTAMP", "timestamptz" }, { "TRUE", "bool" }, { "FALSE", "bool" } };
    for (size_t w = 0; w < SL_COUNT(words); w++)
        if (at(k, i, words[w][0]))
            return (figure){ sl_str_c(words[w][1]), 1 };
    return sl_token_is_name(k, i) ? (figure){ k->t[i], 2 } : (figure){ SL_S("?column?"), 0 };
}

/* The last `::` that is not inside of something; e: there is none. */
static size_t last_cast(const tokens *k, size_t b, size_t e)
{
    size_t ret = e;
    for (size_t i = b; i + 1 < e; i++) {
        if (at(k, i, "("))
            i = sl_token_close(k, i);
        if (at(k, i, ":") && at(k, i + 1, ":"))
            ret = i++;
    }
    return ret;
}

static figure figure_of(const tokens *k, size_t b, size_t e)
{
    while (b < e && at(k, b, "(") && sl_token_close(k, b) == e - 1) {
        b++;
        e--;
    }
    b += b + 1 < e && at(k, b, "APPROXIMATE");
    if (b >= e || at(k, b, "SELECT") || sl_token_value(k, e - 1) != b)
        return (figure){ SL_S("?column?"), 0 };
    if (e - b == 1)
        return of_word(k, b);
    size_t cast = last_cast(k, b, e), bracket = b;
    if (at(k, b, "CASE") && at(k, e - 1, "END"))
        return of_case(k, b, e);
    if (cast < e && cast + 2 < e) {
        figure ret = figure_of(k, b, cast);
        return ret.strength > 0 ? ret : of_type(k->t[cast + 2]);
    }
    while (bracket < e && !at(k, bracket, "(") && !at(k, bracket, "["))
        bracket++;
    if (bracket > b && at(k, bracket, "("))
        return of_call(k, bracket);
    if (bracket > b && bracket < e && !at(k, e - 2, ".")) /* an element of a list */
        return of_word(k, bracket - 1);
    return k->t[e - 1].p[0] == '\'' ? of_type(k->t[b]) : of_word(k, e - 1); /* DATE '…', or t.column */
}

/* Has the item a name of its own, or is it a column or columns? */
static bool is_named(const tokens *k, size_t b, size_t e)
{
    size_t last = e - 1;
    if (b >= e || at(k, last, "*") || sl_token_find(k, b, e, "AS") < e)
        return true;
    bool plain = sl_token_is_name(k, b) && of_word(k, b).strength == 2;
    for (size_t i = b + 1; i < e && plain; i++)
        plain = at(k, i, ".") || (sl_token_is_name(k, i) && at(k, i - 1, "."));
    if (plain)
        return true;
    if (last == b || !sl_token_is_name(k, last) || (at(k, last, "PRECISION") && at(k, last - 1, "DOUBLE")))
        return false;
    char before = k->t[last - 1].p[0];
    return sl_token_is_name(k, last - 1) || at(k, last - 1, "END") || at(k, last - 1, "NULL") || at(k, last - 1, "TRUE") || at(k, last - 1, "FALSE") || strchr(")]'", before) != NULL || (before >= '0' && before <= '9');
}

static bool ends_list(const tokens *k, size_t i)
{
    static const char *const words[] = { "FROM", "INTO", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "UNION", "EXCEPT", "MINUS", "INTERSECT", "QUALIFY", ")", ";" };
    if (at(k, i, "GROUP") && at(k, i - 1, "WITHIN"))
        return false;
    for (size_t w = 0; w < SL_COUNT(words); w++)
        if (at(k, i, words[w]))
            return true;
    return false;
}

static size_t items_begin(const tokens *k, size_t i)
{
    i += at(k, i, "ALL") || at(k, i, "DISTINCT");
    return at(k, i, "TOP") ? i + 2 : i;
}

/* ret: behind which token which name is written. */
static void name_list(const tokens *k, size_t i, sl_str *ret)
{
    size_t begin = items_begin(k, i);
    int brackets = 0;
    for (i = begin; i <= k->n; i++) {
        bool ends = i == k->n || ends_list(k, i);
        brackets += at(k, i, "[") - at(k, i, "]");
        if (ends || (at(k, i, ",") && brackets == 0)) {
            if (i > begin && !is_named(k, begin, i))
                ret[i - 1] = figure_of(k, begin, i).name;
            begin = i + 1;
        }
        if (ends)
            return;
        if (at(k, i, "("))
            i = sl_token_close(k, i);
    }
}

/* As Redshift folds it. */
static void add_name(sl_buf *b, sl_str name)
{
    sl_buf_addc(b, " AS \"");
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] != '"')
            sl_buf_char(b, name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 32) : name.p[i]);
    sl_buf_char(b, '"');
}

sl_str sl_redshift_names(sl_arena *a, sl_str statement)
{
    tokens k;
    if (!sl_redshift_tokens_of(a, statement, &k))
        return statement;
    sl_str *names = SL_ARRAY(a, sl_str, k.n);
    sl_buf b = sl_buf_new(a, SIZE_MAX / 4);
    const char *done = statement.p;
    for (size_t i = 0; i < k.n; i++)
        if (at(&k, i, "SELECT"))
            name_list(&k, i + 1, names);
    for (size_t i = 0; i < k.n; i++)
        if (names[i].n > 0) {
            const char *end = k.t[i].p + k.t[i].n;
            sl_buf_add(&b, (sl_str){ done, (size_t)(end - done) });
            add_name(&b, names[i]);
            done = end;
        }
    sl_buf_add(&b, (sl_str){ done, (size_t)(statement.p + statement.n - done) });
    return sl_buf_str(&b);
}
