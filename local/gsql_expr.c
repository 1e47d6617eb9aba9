/* local/gsql_expr.c: expressions and queries: names of tables and columns, literals, clauses that differ. */
#include <stdlib.h>

#include "base/arena.h"
#include "db/duck.h"
#include "local/gsql.h"

static bool one_of(const gs_token *t, const char *const *words, size_t n);

/* INTERVAL 3 DAY, INTERVAL a * 2 MONTH: up to the part, which is behind the value. */
static sl_str interval(gs_context *x, const gs_token *t, size_t n, size_t *i)
{
    static const char *const parts[] = { "YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND" };
    size_t end = *i + 2;
    int depth = gs_op(&t[*i + 1], "(") || gs_op(&t[*i + 1], "[");
    while (end < n && !(depth == 0 && one_of(&t[end], parts, SL_COUNT(parts)))) {
        depth += gs_op(&t[end], "(") || gs_op(&t[end], "[");
        depth -= gs_op(&t[end], ")") || gs_op(&t[end], "]");
        end++;
    }
    if (end >= n) {
        gs_fail(x, &t[*i], "Syntax error: INTERVAL needs a value and a part, such as 3 DAY");
        *i = n;
        return SL_S("");
    }
    sl_str value = gs_rewrite(x, t + *i + 1, end - *i - 1), unit = t[end].text;
    *i = end + 1;
    return sl_fmt(x->arena, "(INTERVAL 1 %.*s * (%.*s))", SL_ARG(unit), SL_ARG(value));
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

static bool one_of(const gs_token *t, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (gs_is(t, words[i]))
            return true;
    return false;
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
    return gs_is(t, "AT") && !gs_is(t + 1, "TIME"); /* AT TIME ZONE */
}

/* OFFSET is a clause before a number, a parameter, or behind one; else the name that WITH OFFSET gives. */
static bool is_offset_name(const gs_token *t)
{
    return gs_is(t, "OFFSET") && !gs_op(t + 1, "(") && t[1].kind != GS_NUMBER && t[1].kind != GS_PARAM && t[-1].kind != GS_NUMBER && t[-1].kind != GS_PARAM;
}

static void add_token(gs_context *x, sl_buf *b, const gs_token *t)
{
    if (b->n > 0 && t->space_before)
        sl_buf_char(b, ' ');
    switch (t->kind) {
    case GS_STRING:
        sl_buf_fmt(b, "'%.*s'", SL_ARG(sl_str_replace(x->arena, t->text, SL_S("'"), SL_S("''"))));
        if (gs_is(t - 1, "LIKE") && sl_str_find(t->text, SL_S("\\")) >= 0) /* it escapes there without being asked to */
            sl_buf_addc(b, " ESCAPE '\\'");
        break;
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
    case GS_PARAM: sl_buf_add(b, gs_parameter(x, t)); break;
    case GS_NUMBER:
        if (t->text.n > 2 && (t->text.p[1] | 32) == 'x')
            sl_buf_fmt(b, "%llu", strtoull(sl_cstr(x->arena, t->text), NULL, 16));
        else
            sl_buf_fmt(b, "%s%.*s", t->text.p[0] == '.' ? "0" : "", SL_ARG(t->text));
        break;
    case GS_IDENT: sl_buf_add(b, needs_quotes(t) || is_offset_name(t) ? sl_duck_ident(x->arena, t->text) : t->text); break;
    default: sl_buf_add(b, t->text);
    }
}

typedef struct rewriter {
    gs_context *x;
    const gs_token *t;
    size_t n, i;
    sl_buf out;
    bool in_from;
    bool set_list;     /* behind SET: */
    bool in_set;       /* a column to be set comes */
    bool in_list;      /* between SELECT and FROM: */
    size_t item;       /* where the current column begins, */
    unsigned unnamed;  /* and how many had no name so far */
    bool wild;         /* tables are read by the beginning of their names */
    sl_str tables[32]; /* names that FROM has given so far: t.list behind them is an array */
    size_t table_count;
} rewriter;

/* ---- columns without a name: f0_, f1_, … ---- */

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
    bool schemata = sl_str_eqc(view, "schemata"), tables = sl_str_eqc(view, "__tables__");
    x->information = true;
    if (tables) { /* dataset.__TABLES__ */
        project = count >= 3 ? parts[count - 3] : x->project;
        dataset = count >= 2 ? parts[count - 2] : x->dataset;
        return sl_fmt(a, "(SELECT * FROM info___tables__ WHERE project_id=%.*s AND dataset_id=%.*s)", SL_ARG(sl_duck_text(a, project)), SL_ARG(sl_duck_text(a, dataset)));
    }
    if (schemata && count == 3) /* project.INFORMATION_SCHEMA.SCHEMATA */
        project = parts[0];
    return sl_fmt(a, "(SELECT * FROM %.*s WHERE %s=%.*s%s%.*s)", SL_ARG(sl_duck_ident(a, sl_fmt(a, "info_%.*s", SL_ARG(view)))), schemata ? "catalog_name" : "table_catalog", SL_ARG(sl_duck_text(a, project)),
                  schemata ? "" : " AND table_schema=", SL_ARG(schemata ? SL_S("") : sl_duck_text(a, dataset)));
}

/* What comes behind a table and is no name for it. */
static bool follows_from(const gs_token *t)
{
    static const char *const words[] = { "WHERE", "ON", "WITH", "JOIN", "LEFT", "RIGHT", "FULL", "INNER", "CROSS", "GROUP", "ORDER", "LIMIT", "UNION", "HAVING", "QUALIFY", "WINDOW", "EXCEPT", "INTERSECT" };
    return one_of(t, words, SL_COUNT(words));
}

static bool unnest(rewriter *r, sl_str list, sl_str own, bool joined);
static bool joins(const rewriter *r, size_t at);

/* The name that a table goes by: an alias, or its last part. */
static void keep_name(rewriter *r, sl_str last)
{
    const gs_token *t = &r->t[r->i];
    size_t named = r->i < r->n && gs_is(t, "AS");
    bool alias = r->i + named < r->n && ((t[named].kind == GS_IDENT && !follows_from(&t[named]) && !ends_from(&t[named])) || t[named].kind == GS_QUOTED);
    if (r->table_count < SL_COUNT(r->tables))
        r->tables[r->table_count++] = alias ? t[named].text : last;
}

/* FROM t, t.list: the elements of a column of what came before. */
static bool is_list(const rewriter *r, const sl_str *parts, size_t count)
{
    for (size_t i = 0; i < r->table_count && count >= 2; i++)
        if (sl_str_ieq(r->tables[i], parts[0]))
            return true;
    return false;
}

static sl_str path_sql(gs_context *x, const sl_str *parts, size_t count)
{
    sl_buf b = sl_buf_new(x->arena, 1 << 16);
    for (size_t i = 0; i < count; i++)
        sl_buf_fmt(&b, "%s%.*s", i ? "." : "", SL_ARG(sl_duck_ident(x->arena, parts[i])));
    return sl_buf_str(&b);
}

/* `prefix*`: the rows of all tables that begin so, in a view that is made before the statement runs. */
static sl_str wildcard(gs_context *x, const sl_str *parts, size_t count)
{
    const sl_val *ref;
    (void)gs_table(x, parts, count, &ref);
    sl_str name = sl_get_text(ref, "tableId");
    sl_val *one = sl_map_shallow(x->arena, ref);
    sl_map_set_str(x->arena, one, "prefix", sl_str_sub(name, 0, name.n - 1));
    if (x->wildcards == NULL)
        x->wildcards = sl_list(x->arena);
    sl_list_add(x->arena, x->wildcards, one);
    return sl_fmt(x->arena, "sl_wild_%zu", sl_val_count(x->wildcards) - 1);
}

static bool is_wildcard(const gs_token *t)
{
    return t->kind == GS_QUOTED && t->text.n > 0 && t->text.p[t->text.n - 1] == '*';
}

/* Does the SELECT at t[i] read such tables itself? */
static bool reads_wildcard(const gs_token *t, size_t n, size_t i)
{
    static const char *const ends[] = { "UNION", "INTERSECT" };
    for (; i < n && !one_of(&t[i], ends, SL_COUNT(ends)); i = gs_op(&t[i], "(") ? gs_close(t, n, i) : i + 1)
        if (is_wildcard(&t[i]))
            return true;
    return false;
}

/* All columns, *: _TABLE_SUFFIX is none of them. */
static bool rewrite_star(rewriter *r)
{
    const gs_token *t = &r->t[r->i];
    if (!r->in_list || !r->wild || !gs_op(t, "*") || !(r->i == r->item || gs_op(t - 1, ".") || gs_is(t - 1, "DISTINCT") || gs_is(t - 1, "ALL")))
        return false;
    add_token(r->x, &r->out, t);
    sl_str more = SL_S("");
    if (++r->i + 1 < r->n && gs_is(t + 1, "EXCEPT") && gs_op(t + 2, "(")) {
        size_t open = r->i + 1, end = gs_close(r->t, r->n, open);
        more = gs_rewrite(r->x, r->t + open + 1, end - open - 2);
        r->i = end;
    }
    sl_buf_fmt(&r->out, " EXCLUDE (_TABLE_SUFFIX%s%.*s)", more.n ? ", " : "", SL_ARG(more));
    return true;
}

/* Behind the operand at t[i]: a value with its sign, calls, parts and elements. */
static size_t operand_end(const gs_token *t, size_t n, size_t i)
{
    while (i < n && (gs_op(&t[i], "-") || gs_op(&t[i], "+") || gs_op(&t[i], "~")))
        i++;
    if (i < n && gs_is(&t[i], "CASE")) {
        size_t open = 0;
        do {
            open += gs_is(&t[i], "CASE");
            open -= gs_is(&t[i], "END");
            i++;
        } while (i < n && open > 0);
        return i;
    }
    i = i < n && (gs_op(&t[i], "(") || gs_op(&t[i], "[")) ? gs_close(t, n, i) : i + 1;
    while (i < n) {
        if (gs_op(&t[i], "(") || gs_op(&t[i], "["))
            i = gs_close(t, n, i);
        else if (i + 1 < n && (gs_op(&t[i], ".") || (gs_is(&t[i], "OVER") && !gs_op(&t[i + 1], "("))))
            i += 2;
        else if (gs_is(&t[i], "OVER"))
            i++;
        else
            break;
    }
    return i < n ? i : n;
}

/* x / y: an error where y is 0; DuckDB gives NULL. */
static bool rewrite_division(rewriter *r)
{
    const gs_token *t = &r->t[r->i];
    if (!gs_op(t, "/") || r->i + 1 >= r->n)
        return false;
    size_t end = operand_end(r->t, r->n, r->i + 1);
    double number;
    if (end == r->i + 2 && t[1].kind == GS_NUMBER && sl_parse_double(t[1].text, &number) && number != 0)
        return false;
    sl_str divisor = gs_rewrite(r->x, t + 1, end - r->i - 1);
    sl_buf_fmt(&r->out, " / sl_divisor(%.*s)", SL_ARG(divisor));
    r->i = end;
    return true;
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
    if (is_list(r, parts, count))
        return unnest(r, path_sql(r->x, parts, count), parts[count - 1], joins(r, at));
    keep_name(r, count > 0 ? parts[count - 1] : SL_S(""));
    if (is_wildcard(t) && count <= 3 && (count > 1 || r->x->dataset.n > 0)) {
        sl_buf_fmt(&r->out, " %.*s", SL_ARG(wildcard(r->x, parts, count)));
        return true;
    }
    if (count == 0 || (count == 1 && (r->x->dataset.n == 0 || gs_find_declared(r->x, parts[0], false) != NULL))) {
        r->i = at;
        return false;
    }
    if (count >= 2 && (sl_str_ieq(parts[count - 2], SL_S("INFORMATION_SCHEMA")) || sl_str_ieq(parts[count - 1], SL_S("__TABLES__")))) {
        sl_buf_fmt(&r->out, " %.*s", SL_ARG(information_table(r->x, parts, count)));
        return true;
    }
    if (count > 3)
        count = 3;
    sl_buf_fmt(&r->out, " %.*s", SL_ARG(gs_table(r->x, parts, count, NULL)));
    return true;
}

static bool joins(const rewriter *r, size_t at)
{
    const gs_token *t = &r->t[at];
    return at > 0 && gs_is(t - 1, "JOIN") && !gs_is(t - 2, "CROSS");
}

/* A list as a table at r->i, behind it: [AS] name, WITH OFFSET [[AS] name]. own: its name where none is given; empty: it needs one. */
static bool unnest(rewriter *r, sl_str list, sl_str own, bool joined)
{
    const gs_token *t = &r->t[r->i];
    sl_str name = own, offset = SL_S("offset");
    size_t named = r->i < r->n && gs_is(t, "AS");
    if (r->i + named < r->n && ((t[named].kind == GS_IDENT && !follows_from(&t[named]) && !ends_from(&t[named])) || t[named].kind == GS_QUOTED)) {
        name = t[named].text;
        r->i += named + 1;
    }
    if (name.n == 0)
        return false;
    sl_arena *a = r->x->arena;
    sl_str alias = sl_duck_ident(a, name);
    t = &r->t[r->i];
    if (r->i + 1 < r->n && gs_is(t, "WITH") && gs_is(t + 1, "OFFSET")) {
        r->i += 2;
        t += 2;
        named = r->i < r->n && gs_is(t, "AS");
        if (r->i + named < r->n && ((t[named].kind == GS_IDENT && !ends_from(&t[named]) && !follows_from(&t[named])) || t[named].kind == GS_QUOTED)) {
            offset = t[named].text;
            r->i += named + 1;
        }
        sl_buf_fmt(&r->out, " (SELECT unnest(%.*s) AS %.*s, generate_subscripts(%.*s, 1) - 1 AS %.*s)", SL_ARG(list), SL_ARG(alias), SL_ARG(list), SL_ARG(sl_duck_ident(a, offset)));
    } else
        sl_buf_fmt(&r->out, " UNNEST(%.*s) AS %.*s(%.*s)", SL_ARG(list), SL_ARG(alias), SL_ARG(alias));
    if (joined && !(r->i < r->n && (gs_is(&r->t[r->i], "ON") || gs_is(&r->t[r->i], "USING"))))
        sl_buf_addc(&r->out, " ON TRUE"); /* which GoogleSQL does not ask for */
    return true;
}

/* [STRUCT(…), …], ARRAY<STRUCT<…>>[…]: what else is a list of structs cannot be seen. */
static bool are_structs(const gs_token *t)
{
    return gs_op(t, "[") ? gs_is(t + 1, "STRUCT") : gs_is(t, "ARRAY") && gs_op(t + 1, "<") && gs_is(t + 2, "STRUCT");
}

/* FROM UNNEST(list) AS name: in GoogleSQL the name is the element, in DuckDB it would be a row of one column. */
static bool rewrite_unnest(rewriter *r)
{
    const size_t at = r->i;
    if (!gs_is(&r->t[at], "UNNEST") || at + 1 >= r->n || !gs_op(&r->t[at + 1], "("))
        return false;
    size_t open = at + 1, end = gs_close(r->t, r->n, open), name = end + (end < r->n && gs_is(&r->t[end], "AS"));
    sl_str list = gs_rewrite(r->x, r->t + open + 1, end - open - 2);
    bool named = name < r->n && ((r->t[name].kind == GS_IDENT && !follows_from(&r->t[name]) && !ends_from(&r->t[name])) || r->t[name].kind == GS_QUOTED);
    r->i = end;
    if (named && !are_structs(&r->t[open + 1]))
        return unnest(r, list, SL_S(""), joins(r, at));
    /* Structs are rows then: their fields are columns. */
    sl_buf_fmt(&r->out, " (SELECT unnest(%.*s, max_depth := 2))", SL_ARG(list));
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
    if (!gs_call(r->x, t, r->t + open + 1, end - open - 2, &text)) {
        if (!safe)
            return false;
        text = gs_rewrite(r->x, t, end - (size_t)(t - r->t));
    }
    sl_buf_fmt(&r->out, safe ? " TRY(%.*s)" : " %.*s", SL_ARG(text));
    r->i = end;
    return true;
}

/* [project.]dataset.function(…): one that stays, as DuckDB's macro. */
static bool rewrite_routine(rewriter *r)
{
    static const char *const families[] = { "SAFE", "NET", "KEYS", "AEAD", "HLL_COUNT", "ML", "AI" };
    sl_str parts[4];
    size_t count = 0, i = r->i;
    for (;; i++) {
        const gs_token *t = &r->t[i];
        sl_str rest = t->text;
        if (i >= r->n || (t->kind != GS_IDENT && t->kind != GS_QUOTED))
            return false;
        while (count < SL_COUNT(parts) && t->kind == GS_QUOTED && sl_str_cut(&rest, '.', &parts[count]))
            count++;
        if (count < SL_COUNT(parts) && t->kind == GS_IDENT)
            parts[count++] = t->text;
        if (++i >= r->n || !gs_op(&r->t[i], "."))
            break;
    }
    if (count < 2 || count > 3 || i >= r->n || !gs_op(&r->t[i], "("))
        return false;
    for (size_t k = 0; k < SL_COUNT(families); k++)
        if (sl_str_ieq(parts[0], sl_str_c(families[k])))
            return false;
    size_t end = gs_close(r->t, r->n, i);
    sl_str name = gs_table(r->x, parts, count, NULL), arguments = gs_rewrite(r->x, r->t + i + 1, end - i - 2);
    sl_buf_fmt(&r->out, " %.*s(%.*s)", SL_ARG(name), SL_ARG(arguments));
    r->i = end;
    return true;
}

/* x IN UNNEST(list) */
static bool rewrite_in(rewriter *r)
{
    if (!gs_is(&r->t[r->i], "IN") || r->i + 2 >= r->n || !gs_is(&r->t[r->i + 1], "UNNEST") || !gs_op(&r->t[r->i + 2], "("))
        return false;
    size_t open = r->i + 2, end = gs_close(r->t, r->n, open);
    sl_str list = gs_rewrite(r->x, r->t + open + 1, end - open - 2);
    sl_buf_fmt(&r->out, " IN (SELECT unnest(%.*s))", SL_ARG(list));
    r->i = end;
    return true;
}

/* ARRAY<INT64>[…], STRUCT<a INT64, b STRING>(…) */
static bool rewrite_typed(rewriter *r)
{
    const gs_token *t = &r->t[r->i];
    sl_str duck;
    const sl_val *ignored;
    size_t open = r->i;
    if ((!gs_is(t, "ARRAY") && !gs_is(t, "STRUCT")) || r->i + 1 >= r->n || !gs_op(t + 1, "<") || !gs_type(r->x, r->t, r->n, &open, &duck, &ignored))
        return false;
    bool list = gs_is(t, "ARRAY");
    if (open >= r->n || !gs_op(&r->t[open], list ? "[" : "("))
        return !gs_fail(r->x, t, "Syntax error: %s", list ? "ARRAY<type> needs [ and values" : "STRUCT<types> needs ( and values");
    size_t end = gs_close(r->t, r->n, open);
    sl_str inside = gs_rewrite(r->x, r->t + open + 1, end - open - 2);
    sl_buf_fmt(&r->out, list ? " CAST([%.*s] AS %.*s)" : " CAST(row(%.*s) AS %.*s)", SL_ARG(inside), SL_ARG(duck));
    r->i = end;
    return true;
}

/* SELECT AS STRUCT a, b AS c FROM …; SELECT AS VALUE x. At SELECT. */
static bool rewrite_select_as(rewriter *r)
{
    if (!gs_is(&r->t[r->i], "SELECT") || r->i + 2 >= r->n || !gs_is(&r->t[r->i + 1], "AS"))
        return false;
    size_t from = r->i + 3, end = from;
    if (r->t[(ptrdiff_t)r->i - 1].kind == GS_END || gs_op(&r->t[(ptrdiff_t)r->i - 1], ";")) { /* the statement itself: as many columns */
        sl_buf_addc(&r->out, " SELECT");
        r->i = from;
        r->in_list = true;
        r->item = from;
        return true;
    }
    for (int depth = 0; end < r->n && !(depth == 0 && ends_list(r->t, end)); end++) {
        depth += gs_op(&r->t[end], "(") || gs_op(&r->t[end], "[");
        depth -= gs_op(&r->t[end], ")") || gs_op(&r->t[end], "]");
    }
    sl_str value = gs_is(&r->t[r->i + 2], "STRUCT") ? gs_structure(r->x, r->t + from, end - from) : gs_rewrite(r->x, r->t + from, end - from);
    sl_buf_fmt(&r->out, " SELECT %.*s", SL_ARG(value));
    r->i = end;
    return true;
}

/* What would mean something else in DuckDB, or nothing. */
static bool refuse(rewriter *r)
{
    const gs_token *t = &r->t[r->i];
    if (gs_op(t, "^"))
        return gs_fail(r->x, t, "the operator ^ is not supported by the local cloud");
    if (gs_op(t, "/") && gs_op(t + 1, "/"))
        return gs_fail(r->x, t, "Syntax error: Unexpected \"/\"");
    if (gs_is(t, "FOR") && gs_is(t + 1, "SYSTEM_TIME"))
        return gs_fail(r->x, t, "FOR SYSTEM_TIME is not supported by the local cloud: it keeps no earlier rows");
    if (gs_is(t, "LIKE") && (gs_is(t + 1, "ANY") || gs_is(t + 1, "ALL") || gs_is(t + 1, "SOME")))
        return gs_fail(r->x, t, "LIKE %.*s is not supported by the local cloud", SL_ARG(t[1].text));
    return true;
}

const gs_declared *gs_find_declared(const gs_context *x, sl_str name, bool variable)
{
    for (size_t i = 0; i < x->declared_count; i++)
        if (sl_str_ieq(x->declared[i].name, name) && (x->declared[i].type.n > 0 || x->declared[i].record) == variable)
            return &x->declared[i];
    return NULL;
}

/* Is the token here a column of a SELECT, and nothing else of it? *named: by AS. */
static bool is_column(const rewriter *r, bool *named)
{
    static const char *const ends[] = { "FROM", "AS", "UNION", "EXCEPT", "INTERSECT", "WHERE", "LIMIT", "ORDER" };
    const gs_token *next = &r->t[r->i + 1];
    *named = gs_is(next, "AS");
    return r->in_list && r->item == r->i && (r->i + 1 >= r->n || next->kind == GS_END || gs_op(next, ",") || gs_op(next, ";") || one_of(next, ends, SL_COUNT(ends)));
}

/* A variable of the script. A column of the same name is not seen as one: it needs its table before it. */
static bool rewrite_variable(rewriter *r)
{
    bool named;
    const gs_token *t = &r->t[r->i];
    const gs_declared *v = r->x->declared_count > 0 ? gs_find_declared(r->x, t->text, true) : NULL;
    if (v == NULL || r->in_set || gs_is(t - 1, "AS") || gs_op(t + 1, "("))
        return false;
    sl_str name = sl_str_lower(r->x->arena, v->name);
    if (v->record)
        sl_buf_fmt(&r->out, " (getvariable('sl_%.*s'))", SL_ARG(name));
    else
        sl_buf_fmt(&r->out, " CAST(getvariable('sl_%.*s') AS %.*s)", SL_ARG(name), SL_ARG(v->type));
    if (is_column(r, &named) && !named) {
        sl_str own = sl_duck_ident(r->x->arena, t->text);
        sl_buf_fmt(&r->out, " AS %.*s", SL_ARG(own));
    }
    r->i++;
    return true;
}

/* Words that differ: * EXCEPT (…), literals DATE '…', TIMESTAMP '…'. */
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
    if (gs_is(t, "CURRENT_TIMESTAMP") || gs_is(t, "CURRENT_DATE") || gs_is(t, "CURRENT_DATETIME") || gs_is(t, "CURRENT_TIME")) { /* without brackets */
        sl_str text;
        (void)gs_call(r->x, t, t, 0, &text);
        sl_buf_fmt(&r->out, " %.*s", SL_ARG(text));
        r->i++;
        return true;
    }
    return false;
}

/* SET t.column = …: DuckDB has columns without their table there. */
static bool is_target(const gs_context *x, const gs_token *t, size_t n)
{
    if (n < 4 || !gs_op(&t[1], ".") || !gs_op(&t[3], "=") || (t->kind != GS_IDENT && t->kind != GS_QUOTED))
        return false;
    return sl_str_ieq(t->text, x->target[0]) || (x->target[1].n > 0 && sl_str_ieq(t->text, x->target[1]));
}

/* Of a list: the first one's names are those of all. */
static sl_str elements(gs_context *x, const gs_token *t, size_t n)
{
    gs_range first;
    if (!gs_is(t, "STRUCT") || gs_arguments(t, n, &first, 1) == 0 || first.n == n)
        return gs_rewrite(x, t, n);
    const bool by_place = x->by_place;
    sl_str head = gs_rewrite(x, t, first.n);
    x->by_place = true;
    sl_str rest = gs_rewrite(x, t + first.n, n - first.n);
    x->by_place = by_place;
    return sl_fmt(x->arena, "%.*s%.*s", SL_ARG(head), SL_ARG(rest));
}

bool gs_is_integer(const gs_token *t)
{
    for (size_t i = 0; i < t->text.n; i++)
        if (t->text.p[i] < '0' || t->text.p[i] > '9')
            return false;
    return t->kind == GS_NUMBER;
}

/* Integers have 64 bits here, DuckDB's literals 32: one that is a column of its own, or that is reckoned with another one, says so. */
static bool rewrite_integer(rewriter *r)
{
    bool named;
    const gs_token *t = &r->t[r->i], *next = t + 1;
    bool reckons = r->i + 2 < r->n && (gs_op(next, "+") || gs_op(next, "-") || gs_op(next, "*")) && gs_is_integer(next + 1);
    if (!gs_is_integer(t) || (!is_column(r, &named) && !reckons))
        return false;
    sl_buf_fmt(&r->out, " CAST(%.*s AS BIGINT)", SL_ARG(t->text));
    r->i++;
    return true;
}

/* [1, 2, NULL], and no subscript. */
static bool is_integer_list(const gs_token *t, size_t n)
{
    static const char *const before[] = { "ARRAY", "SELECT", "THEN", "ELSE", "IN", "AND", "OR", "RETURN", "DEFAULT" };
    bool any = false;
    if (gs_op(t - 1, ")") || gs_op(t - 1, "]") || t[-1].kind == GS_QUOTED || (t[-1].kind == GS_IDENT && !one_of(t - 1, before, SL_COUNT(before))))
        return false;
    for (size_t i = 1; i + 1 < n; i++) {
        if (!gs_is_integer(&t[i]) && !gs_op(&t[i], ",") && !gs_op(&t[i], "-") && !gs_is(&t[i], "NULL"))
            return false;
        any |= gs_is_integer(&t[i]);
    }
    return any;
}

sl_str gs_rewrite(gs_context *x, const gs_token *t, size_t n)
{
    rewriter r = { .x = x, .t = t, .n = n, .out = sl_buf_new(x->arena, 64 << 20) };
    bool table_next = false;
    while (r.i < n && x->err->kind == SL_ERR_NONE) {
        const gs_token *at = &t[r.i];
        if (!refuse(&r))
            break;
        if (r.in_list && (gs_op(at, ",") || ends_list(t, r.i))) {
            end_column(&r);
            r.in_list = gs_op(at, ",");
        }
        if (table_next) {
            table_next = false;
            if (rewrite_unnest(&r) || rewrite_table(&r))
                continue;
        }
        if (r.in_set && is_target(x, &t[r.i], n - r.i)) {
            sl_buf_char(&r.out, ' ');
            r.i += 2;
        }
        at = &t[r.i];
        r.set_list = (r.set_list || gs_is(at, "SET")) && !gs_is(at, "FROM") && !gs_is(at, "WHERE") && !gs_is(at, "WHEN");
        r.in_set = r.set_list && (gs_is(at, "SET") || gs_op(at, ","));
        if (gs_op(at, "(") || gs_op(at, "[")) { /* a scope of its own: commas and FROM inside are its business */
            size_t end = gs_close(t, n, r.i);
            bool integers = gs_op(at, "[") && is_integer_list(at, end - r.i);
            sl_buf_addc(&r.out, integers ? " (" : "");
            add_token(x, &r.out, at);
            sl_buf_add(&r.out, gs_op(at, "[") ? elements(x, at + 1, end > r.i + 2 ? end - r.i - 2 : 0) : gs_rewrite(x, at + 1, end > r.i + 2 ? end - r.i - 2 : 0));
            if (end > r.i + 1)
                add_token(x, &r.out, &t[end - 1]);
            sl_buf_addc(&r.out, integers ? "::BIGINT[])" : "");
            r.i = end;
            continue;
        }
        if ((at->kind == GS_QUOTED || gs_op(at + 1, ".")) && !(r.i > 0 && gs_op(at - 1, ".")) && rewrite_routine(&r))
            continue;
        if (at->kind == GS_IDENT && !(r.i > 0 && gs_op(at - 1, ".")) && (rewrite_variable(&r) || rewrite_in(&r) || rewrite_typed(&r) || rewrite_select_as(&r) || rewrite_call(&r) || rewrite_word(&r)))
            continue;
        if (rewrite_star(&r) || rewrite_division(&r) || rewrite_integer(&r))
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
            r.wild = reads_wildcard(t, n, r.i);
        }
    }
    if (r.in_list)
        end_column(&r);
    if (r.out.overflow)
        sl_err_set(x->err, SL_ERR_LIMIT, "sql.size", "the SQL is too large");
    return sl_buf_str(&r.out);
}
