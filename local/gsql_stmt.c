/* local/gsql_stmt.c: scripts and statements: what kind each is, and the clauses of DDL that DuckDB does not have. */
#include "base/arena.h"
#include "db/duck.h"
#include "local/gsql.h"

typedef struct parser {
    gs_context *x;
    const gs_token *t;
    size_t n, i;
    size_t i_name;                /* where the name of a table is that is made */
    gs_statement *s;
} parser;

static bool at_word(const parser *p, const char *word)
{
    return p->i < p->n && gs_is(&p->t[p->i], word);
}

static bool take_word(parser *p, const char *word)
{
    if (!at_word(p, word))
        return false;
    p->i++;
    return true;
}

static bool take_name(parser *p, sl_str *duck)
{
    sl_str parts[8];
    size_t count = 0;
    while (p->i < p->n && (p->t[p->i].kind == GS_IDENT || p->t[p->i].kind == GS_QUOTED) && count < SL_COUNT(parts)) {
        const gs_token *t = &p->t[p->i];
        sl_str rest = t->text, one;
        if (t->kind == GS_QUOTED)
            while (count < SL_COUNT(parts) && sl_str_cut(&rest, '.', &one))
                parts[count++] = one;
        else {
            size_t first = p->i;
            while (p->i + 2 < p->n && gs_op(&p->t[p->i + 1], "-") && !p->t[p->i + 1].space_before && !p->t[p->i + 2].space_before)
                p->i += 2;
            parts[count++] = sl_str_sub(p->x->text, p->t[first].at, p->t[p->i].end);
        }
        p->i++;
        if (p->i + 1 < p->n && gs_op(&p->t[p->i], "."))
            p->i++;
        else
            break;
    }
    if (count == 0 || count > 3)
        return gs_fail(p->x, &p->t[p->i < p->n ? p->i : p->n - 1], "Syntax error: a table's name was expected");
    if (count == 1 && (p->s->temporary || gs_find_declared(p->x, parts[0], false) != NULL)) {
        *duck = sl_duck_ident(p->x->arena, parts[0]);
        return true;
    }
    *duck = gs_table(p->x, parts, count, &p->s->target);
    if (sl_get_text(p->s->target, "datasetId").n == 0)
        return gs_fail(p->x, &p->t[0], "Table \"%.*s\" must be qualified with a dataset (e.g. dataset.table).", SL_ARG(parts[0]));
    return true;
}

/* Literals of an OPTIONS clause: texts, numbers, booleans, NULL, arrays; other expressions are kept as text. */
static const sl_val *option_value(parser *p, size_t from, size_t to)
{
    sl_arena *a = p->x->arena;
    const gs_token *t = &p->t[from];
    if (gs_op(t, "[")) {
        sl_val *list = sl_list(a);
        for (size_t i = from + 1; i + 1 < to; i++)
            if (!gs_op(&p->t[i], ","))
                sl_list_add(a, list, option_value(p, i, i + 1));
        return list;
    }
    int64_t number;
    if (to - from == 1 && t->kind == GS_STRING)
        return sl_val_str(a, t->text);
    if (to - from == 1 && t->kind == GS_NUMBER && sl_parse_int(t->text, &number))
        return sl_val_int(a, number);
    if (gs_is(t, "TRUE") || gs_is(t, "FALSE"))
        return sl_val_bool(gs_is(t, "TRUE"));
    if (gs_is(t, "NULL"))
        return &sl_null_val;
    return sl_val_str(a, sl_str_sub(p->x->text, p->t[from].at, p->t[to - 1].end));
}

static bool take_options(parser *p, const sl_val **ret)
{
    if (!take_word(p, "OPTIONS"))
        return true;
    if (p->i >= p->n || !gs_op(&p->t[p->i], "("))
        return gs_fail(p->x, &p->t[p->i < p->n ? p->i : p->n - 1], "Syntax error: Expected \"(\" after OPTIONS");
    size_t end = gs_close(p->t, p->n, p->i);
    sl_val *map = sl_map(p->x->arena);
    for (size_t i = p->i + 1; i + 1 < end;) {
        sl_str name = sl_str_lower(p->x->arena, p->t[i].text);
        if (i + 2 >= end || !gs_op(&p->t[i + 1], "="))
            return gs_fail(p->x, &p->t[i], "Syntax error: Expected name = value in OPTIONS");
        size_t from = i + 2, to = from;
        int depth = 0;
        for (; to + 1 < end; to++) {
            depth += gs_op(&p->t[to], "[") || gs_op(&p->t[to], "(");
            depth -= gs_op(&p->t[to], "]") || gs_op(&p->t[to], ")");
            if (depth == 0 && gs_op(&p->t[to], ","))
                break;
        }
        sl_map_set(p->x->arena, map, name, option_value(p, from, to));
        i = to + 1;
    }
    p->i = end;
    *ret = map;
    return true;
}

static bool take_column(parser *p, size_t end, sl_val *columns, sl_buf *sql)
{
    sl_arena *a = p->x->arena;
    sl_str name = p->t[p->i++].text, duck;
    const sl_val *field, *options = NULL;
    if (!gs_type(p->x, p->t, end, &p->i, &duck, &field))
        return false;
    sl_val *column = sl_map_shallow(a, field);
    sl_map_set_str(a, column, "name", name);
    sl_buf_fmt(sql, "%s\"%.*s\" %.*s", columns->list.n ? ", " : "", SL_ARG(name), SL_ARG(duck));
    while (p->i < end && !gs_op(&p->t[p->i], ",")) {
        if (at_word(p, "OPTIONS")) {
            if (!take_options(p, &options))
                return false;
            if (sl_get_text(options, "description").n > 0)
                sl_map_set_str(a, column, "description", sl_get_text(options, "description"));
        } else if (take_word(p, "NOT")) {
            if (!take_word(p, "NULL"))
                return gs_fail(p->x, &p->t[p->i], "Syntax error: Expected NULL after NOT");
            sl_map_set_str(a, column, "mode", SL_S("REQUIRED"));
            sl_buf_addc(sql, " NOT NULL");
        } else if (take_word(p, "DEFAULT")) {
            size_t from = p->i;
            int depth = 0;
            while (p->i < end && !(depth == 0 && (gs_op(&p->t[p->i], ",") || at_word(p, "OPTIONS") || at_word(p, "NOT")))) {
                depth += gs_op(&p->t[p->i], "(");
                depth -= gs_op(&p->t[p->i], ")");
                p->i++;
            }
            sl_str value = gs_rewrite(p->x, &p->t[from], p->i - from);
            sl_buf_fmt(sql, " DEFAULT (%.*s)", SL_ARG(value));
        } else
            return gs_fail(p->x, &p->t[p->i], "Syntax error: Unexpected %.*s in the definition of column %.*s", SL_ARG(p->t[p->i].text), SL_ARG(name));
    }
    sl_list_add(a, columns, column);
    return true;
}

static bool take_columns(parser *p, sl_buf *sql)
{
    if (p->i >= p->n || !gs_op(&p->t[p->i], "("))
        return true;
    size_t end = gs_close(p->t, p->n, p->i) - 1;
    sl_val *columns = sl_list(p->x->arena);
    p->i++;
    sl_buf_addc(sql, " (");
    while (p->i < end) {
        /* PRIMARY KEY (…) NOT ENFORCED and the like say nothing that has to be kept. */
        if (at_word(p, "PRIMARY") || at_word(p, "FOREIGN") || at_word(p, "CONSTRAINT")) {
            while (p->i < end && !gs_op(&p->t[p->i], ","))
                p->i = gs_op(&p->t[p->i], "(") ? gs_close(p->t, end, p->i) : p->i + 1;
        } else if (!take_column(p, end, columns, sql))
            return false;
        if (p->i < end && gs_op(&p->t[p->i], ","))
            p->i++;
    }
    p->i = end + 1;
    sl_buf_char(sql, ')');
    p->s->columns = columns;
    return true;
}

/* RANGE_BUCKET(col, GENERATE_ARRAY(start, end, interval)) */
static void take_range(parser *p)
{
    static const char *const names[] = { "start", "end", "interval" };
    sl_arena *a = p->x->arena;
    size_t end = gs_close(p->t, p->n, p->i + 1), found = 0;
    sl_val *range = sl_map(a), *part = sl_map(a);
    for (p->i += 2; p->i < end; p->i++) {
        const gs_token *t = &p->t[p->i];
        if (t->kind == GS_NUMBER && found < SL_COUNT(names)) {
            bool minus = gs_op(t - 1, "-");
            sl_map_set_str(a, range, names[found++], minus ? sl_fmt(a, "-%.*s", SL_ARG(t->text)) : t->text);
        } else if ((t->kind == GS_IDENT || t->kind == GS_QUOTED) && sl_get(part, "field") == NULL)
            sl_map_set_str(a, part, "field", t->text);
    }
    sl_map_setc(a, part, "range", range);
    p->s->range = part;
}

/* PARTITION BY DATE(col), col, TIMESTAMP_TRUNC(col, HOUR), RANGE_BUCKET(col, …) */
static void take_partition(parser *p)
{
    sl_arena *a = p->x->arena;
    if (at_word(p, "RANGE_BUCKET")) {
        take_range(p);
        return;
    }
    sl_val *part = sl_map(a);
    size_t from = p->i;
    sl_str field = SL_S(""), type = SL_S("DAY");
    while (p->i < p->n && !at_word(p, "CLUSTER") && !at_word(p, "OPTIONS") && !at_word(p, "AS") && !gs_op(&p->t[p->i], ";")) {
        const gs_token *t = &p->t[p->i];
        bool function = p->i + 1 < p->n && gs_op(t + 1, "(");
        static const char *const units[] = { "HOUR", "DAY", "MONTH", "YEAR" };
        bool unit = false;
        for (size_t k = 0; k < SL_COUNT(units); k++)
            unit |= p->i > from + 1 && gs_is(t, units[k]);
        if (unit)
            type = sl_str_upper(a, t->text);
        else if ((t->kind == GS_IDENT || t->kind == GS_QUOTED) && !function && field.n == 0)
            field = t->text;
        p->i++;
    }
    sl_map_set_str(a, part, "type", type);
    if (field.n > 0 && !sl_str_ieq(field, SL_S("_PARTITIONDATE")))
        sl_map_set_str(a, part, "field", field);
    p->s->partition = part;
}

static bool take_clauses(parser *p)
{
    for (;;) {
        if (at_word(p, "PARTITION")) {
            p->i += 2;
            take_partition(p);
        } else if (at_word(p, "CLUSTER")) {
            p->i += 2;
            sl_val *list = sl_list(p->x->arena);
            while (p->i < p->n && (p->t[p->i].kind == GS_IDENT || p->t[p->i].kind == GS_QUOTED || gs_op(&p->t[p->i], ",")) && !at_word(p, "OPTIONS") && !at_word(p, "AS")) {
                if (!gs_op(&p->t[p->i], ","))
                    sl_list_add(p->x->arena, list, sl_val_str(p->x->arena, p->t[p->i].text));
                p->i++;
            }
            p->s->clustering = list;
        } else if (at_word(p, "OPTIONS")) {
            if (!take_options(p, &p->s->options))
                return false;
        } else
            return true;
    }
}

/* CREATE TABLE x LIKE y (without its rows), COPY y, CLONE y */
static bool create_copy(parser *p, sl_buf *sql, bool empty)
{
    const sl_val *target = p->s->target;
    sl_str source;
    if (!take_name(p, &source) || !take_clauses(p))
        return false;
    if (p->i < p->n)
        return gs_fail(p->x, &p->t[p->i], "Syntax error: Unexpected \"%.*s\"", SL_ARG(p->t[p->i].text));
    p->s->target = target;
    p->s->type = "CREATE_TABLE_AS_SELECT";
    sl_buf_fmt(sql, " AS FROM %.*s%s", SL_ARG(source), empty ? " LIMIT 0" : "");
    p->s->sql = sl_buf_str(sql);
    return true;
}

static bool create_table(parser *p, bool external)
{
    gs_statement *s = p->s;
    sl_str name;
    sl_buf sql = sl_buf_new(p->x->arena, 64 << 20);
    if (take_word(p, "IF") && take_word(p, "NOT") && take_word(p, "EXISTS"))
        s->if_not_exists = true;
    p->i_name = p->i;
    if (!take_name(p, &name))
        return false;
    sl_buf_fmt(&sql, "CREATE %s%sTABLE %s%.*s", s->or_replace ? "OR REPLACE " : "", s->temporary ? "TEMP " : "", s->if_not_exists ? "IF NOT EXISTS " : "", SL_ARG(name));
    s->type = external ? "CREATE_EXTERNAL_TABLE" : "CREATE_TABLE";
    static const char *const copies[] = { "LIKE", "COPY", "CLONE" };
    for (size_t i = 0; i < SL_COUNT(copies) && !external; i++)
        if (take_word(p, copies[i]))
            return create_copy(p, &sql, i == 0);
    sl_buf columns = sl_buf_new(p->x->arena, 16 << 20);
    if (!take_columns(p, &columns) || !take_clauses(p))
        return false;
    if (external) {
        if (p->i < p->n)
            return gs_fail(p->x, &p->t[p->i], "Syntax error: Unexpected \"%.*s\"", SL_ARG(p->t[p->i].text));
        return true;
    }
    if (take_word(p, "AS")) {
        s->type = "CREATE_TABLE_AS_SELECT";
        sl_str query = gs_rewrite(p->x, &p->t[p->i], p->n - p->i);
        sl_buf_fmt(&sql, " AS %.*s", SL_ARG(query));
    } else if (p->i < p->n)
        return gs_fail(p->x, &p->t[p->i], "Syntax error: Unexpected \"%.*s\"", SL_ARG(p->t[p->i].text));
    else if (columns.n == 0)
        return gs_fail(p->x, &p->t[0], "Syntax error: a table needs columns, or AS and a query");
    else
        sl_buf_add(&sql, sl_buf_str(&columns));
    s->sql = sl_buf_str(&sql);
    return p->x->err->kind == SL_ERR_NONE;
}

/* (a, b OPTIONS(…)): names for the columns of a view; *ret with brackets, or empty. */
static bool take_view_columns(parser *p, sl_str *ret)
{
    const sl_val *ignored;
    *ret = SL_S("");
    if (p->i >= p->n || !gs_op(&p->t[p->i], "("))
        return true;
    sl_buf b = sl_buf_new(p->x->arena, 1 << 16);
    size_t end = gs_close(p->t, p->n, p->i) - 1;
    for (p->i++; p->i < end;) {
        sl_buf_fmt(&b, "%s%.*s", b.n > 0 ? ", " : "", SL_ARG(sl_duck_ident(p->x->arena, p->t[p->i].text)));
        p->i++;
        if (!take_options(p, &ignored))
            return false;
        if (p->i < end && !gs_op(&p->t[p->i++], ","))
            return gs_fail(p->x, &p->t[p->i - 1], "Syntax error: Unexpected \"%.*s\" among the columns of a view", SL_ARG(p->t[p->i - 1].text));
    }
    p->i = end + 1;
    *ret = sl_fmt(p->x->arena, " (%.*s)", SL_ARG(sl_buf_str(&b)));
    return true;
}

static bool create_view(parser *p, bool materialized)
{
    sl_str name, columns;
    if (take_word(p, "IF") && take_word(p, "NOT") && take_word(p, "EXISTS"))
        p->s->if_not_exists = true;
    if (!take_name(p, &name) || !take_view_columns(p, &columns) || !take_clauses(p))
        return false;
    if (!take_word(p, "AS"))
        return gs_fail(p->x, &p->t[p->i < p->n ? p->i : p->n - 1], "Syntax error: Expected AS");
    sl_str query = gs_rewrite(p->x, &p->t[p->i], p->n - p->i);
    p->s->type = materialized ? "CREATE_MATERIALIZED_VIEW" : "CREATE_VIEW";
    p->s->sql = sl_fmt(p->x->arena, "CREATE %sVIEW %s%.*s%.*s AS %.*s", p->s->or_replace ? "OR REPLACE " : "", p->s->if_not_exists ? "IF NOT EXISTS " : "", SL_ARG(name), SL_ARG(columns), SL_ARG(query));
    return p->x->err->kind == SL_ERR_NONE;
}

/* ---- what lives as long as a script ---- */

static bool declare(parser *p, sl_str name, sl_str type)
{
    gs_context *x = p->x;
    if (x->declared_count == GS_DECLARED_MAX)
        return gs_fail(x, &p->t[0], "a script may have %d variables and temporary tables here", GS_DECLARED_MAX);
    x->declared[x->declared_count++] = (gs_declared){ name, type };
    return true;
}

/* CREATE TEMP FUNCTION f(a INT64, b ANY TYPE) [RETURNS type] AS (expression) */
static bool create_function(parser *p)
{
    sl_arena *a = p->x->arena;
    sl_buf names = sl_buf_new(a, 1 << 16);
    sl_str name = p->i < p->n ? p->t[p->i++].text : SL_S(""), duck;
    const sl_val *ignored;
    if (p->i >= p->n || !gs_op(&p->t[p->i], "("))
        return gs_fail(p->x, &p->t[p->i < p->n ? p->i : p->n - 1], "Syntax error: Expected \"(\" behind the name of a function");
    size_t end = gs_close(p->t, p->n, p->i) - 1;
    for (p->i++; p->i < end;) {
        sl_buf_fmt(&names, "%s%.*s", names.n > 0 ? ", " : "", SL_ARG(p->t[p->i].text));
        p->i++;
        if (at_word(p, "ANY"))
            p->i += 2;
        else if (!gs_type(p->x, p->t, end, &p->i, &duck, &ignored))
            return false;
        p->i += p->i < end; /* the comma */
    }
    p->i = end + 1;
    if (take_word(p, "RETURNS") && !gs_type(p->x, p->t, p->n, &p->i, &duck, &ignored))
        return false;
    if (!take_word(p, "AS") || p->i >= p->n || !gs_op(&p->t[p->i], "("))
        return gs_fail(p->x, &p->t[p->i < p->n ? p->i : p->n - 1], "a function has to be an expression in the local cloud: AS (…)");
    sl_str body = gs_rewrite(p->x, &p->t[p->i], p->n - p->i), list = sl_buf_str(&names);
    p->s->type = "CREATE_FUNCTION";
    p->s->sql = sl_fmt(a, "CREATE OR REPLACE TEMP MACRO %.*s(%.*s) AS %.*s", SL_ARG(name), SL_ARG(list), SL_ARG(body));
    return p->x->err->kind == SL_ERR_NONE;
}

static sl_str assignment(parser *p, sl_str name, sl_str value, sl_str type)
{
    return sl_fmt(p->x->arena, "SET VARIABLE sl_%.*s = CAST((%.*s) AS %.*s)", SL_ARG(sl_str_lower(p->x->arena, name)), SL_ARG(value), SL_ARG(type));
}

/* DECLARE a[, b] type [DEFAULT x]; DECLARE a DEFAULT x is not: its type is not known before it runs. */
static bool declaration(parser *p)
{
    sl_arena *a = p->x->arena;
    sl_val *all = sl_list(a);
    size_t first = 1, type_at;
    sl_str duck, value = SL_S("NULL");
    const sl_val *ignored;
    for (p->i = 2; p->i + 1 < p->n && gs_op(&p->t[p->i], ",");)
        p->i += 2;
    type_at = p->i;
    if (at_word(p, "DEFAULT"))
        return gs_fail(p->x, &p->t[p->i], "DECLARE needs a type in the local cloud");
    if (!gs_type(p->x, p->t, p->n, &p->i, &duck, &ignored))
        return false;
    if (take_word(p, "DEFAULT")) {
        value = gs_rewrite(p->x, &p->t[p->i], p->n - p->i);
        p->i = p->n;
    }
    for (size_t i = first; i < type_at; i += 2) {
        sl_list_add(a, all, sl_val_str(a, assignment(p, p->t[i].text, value, duck)));
        if (!declare(p, p->t[i].text, duck))
            return false;
    }
    p->s->type = "DECLARE";
    p->s->temporary = true;
    p->s->more = all;
    return p->i == p->n || gs_fail(p->x, &p->t[p->i], "Syntax error: Unexpected \"%.*s\"", SL_ARG(p->t[p->i].text));
}

static bool set_variable(parser *p)
{
    sl_val *all = sl_list(p->x->arena);
    const gs_declared *v = p->n > 3 ? gs_find_declared(p->x, p->t[1].text, true) : NULL;
    if (v == NULL || !gs_op(&p->t[2], "="))
        return gs_fail(p->x, &p->t[p->n > 1], "SET needs a variable that was declared, = and a value");
    sl_str value = gs_rewrite(p->x, &p->t[3], p->n - 3);
    sl_list_add(p->x->arena, all, sl_val_str(p->x->arena, assignment(p, v->name, value, v->type)));
    p->s->type = "ASSIGNMENT";
    p->s->temporary = true;
    p->s->more = all;
    return p->x->err->kind == SL_ERR_NONE;
}

/* [project.]dataset */
static bool take_dataset(parser *p)
{
    if (p->i >= p->n)
        return gs_fail(p->x, &p->t[p->n - 1], "Syntax error: a dataset's name was expected");
    sl_val *target = sl_map(p->x->arena);
    sl_str text = p->t[p->i++].text, project = p->x->project;
    ptrdiff_t dot = sl_str_rfind(text, SL_S("."));
    if (dot > 0) {
        project = sl_str_sub(text, 0, (size_t)dot);
        text = sl_str_sub(text, (size_t)dot + 1, text.n);
    } else if (p->i + 1 < p->n && gs_op(&p->t[p->i], ".")) {
        project = text;
        text = p->t[p->i + 1].text;
        p->i += 2;
    }
    sl_map_set_str(p->x->arena, target, "projectId", project);
    sl_map_set_str(p->x->arena, target, "datasetId", text);
    p->s->target = target;
    return true;
}

static bool create(parser *p)
{
    p->i = 1;
    if (take_word(p, "OR") && take_word(p, "REPLACE"))
        p->s->or_replace = true;
    if (take_word(p, "TEMP") || take_word(p, "TEMPORARY")) {
        p->s->temporary = true;
        if (take_word(p, "FUNCTION"))
            return create_function(p);
        const gs_token *what = &p->t[p->i];
        if (!take_word(p, "TABLE"))
            return gs_fail(p->x, what, "CREATE TEMP %.*s is not supported by the local cloud", SL_ARG(what->text));
        return create_table(p, false) && declare(p, p->t[p->i_name].text, SL_S(""));
    }
    bool external = take_word(p, "EXTERNAL");
    if (take_word(p, "TABLE"))
        return create_table(p, external);
    bool materialized = !external && take_word(p, "MATERIALIZED");
    if (take_word(p, "VIEW"))
        return create_view(p, materialized);
    if (!materialized && take_word(p, "SNAPSHOT") && take_word(p, "TABLE"))
        return create_table(p, false);
    if (take_word(p, "SCHEMA")) {
        if (take_word(p, "IF") && take_word(p, "NOT") && take_word(p, "EXISTS"))
            p->s->if_not_exists = true;
        p->s->type = "CREATE_SCHEMA";
        return take_dataset(p) && take_options(p, &p->s->options);
    }
    return gs_fail(p->x, &p->t[1], "CREATE %.*s is not supported by the local cloud", SL_ARG(p->t[1].text));
}

static bool drop(parser *p)
{
    p->i = 1;
    bool external = take_word(p, "EXTERNAL");
    if (!external && take_word(p, "SCHEMA")) {
        p->s->if_not_exists = take_word(p, "IF") && take_word(p, "EXISTS");
        p->s->type = "DROP_SCHEMA";
        if (!take_dataset(p))
            return false;
        p->s->cascade = take_word(p, "CASCADE");
        if (!p->s->cascade)
            (void)take_word(p, "RESTRICT");
        return p->i == p->n || gs_fail(p->x, &p->t[p->i], "Syntax error: Unexpected \"%.*s\"", SL_ARG(p->t[p->i].text));
    }
    bool materialized = take_word(p, "MATERIALIZED");
    bool view = at_word(p, "VIEW"), table = !materialized && (at_word(p, "TABLE") || (take_word(p, "SNAPSHOT") && at_word(p, "TABLE")));
    if (!view && !table)
        return gs_fail(p->x, &p->t[1], "DROP %.*s is not supported by the local cloud", SL_ARG(p->t[1].text));
    p->i++;
    bool if_exists = take_word(p, "IF") && take_word(p, "EXISTS");
    sl_str name;
    if (!take_name(p, &name))
        return false;
    p->s->type = external ? "DROP_EXTERNAL_TABLE" : view ? "DROP_VIEW" : "DROP_TABLE";
    p->s->sql = sl_fmt(p->x->arena, "DROP %s %s%.*s", view ? "VIEW" : "TABLE", if_exists ? "IF EXISTS " : "", SL_ARG(name));
    p->s->if_not_exists = if_exists;
    return true;
}

/* ---- ALTER TABLE ---- */

/* One action; its SQL behind ALTER TABLE name, empty when only metadata change. */
static bool take_action(parser *p, sl_str *ret)
{
    sl_arena *a = p->x->arena;
    sl_str duck;
    const sl_val *field, *ignored;
    const gs_token *at = &p->t[p->i];
    *ret = SL_S("");
    if (take_word(p, "SET") && at_word(p, "OPTIONS"))
        return take_options(p, &p->s->options);
    if (take_word(p, "RENAME") && take_word(p, "TO")) {
        p->s->renamed = p->t[p->i++].text;
        *ret = sl_fmt(a, "RENAME TO %.*s", SL_ARG(sl_duck_ident(a, p->s->renamed)));
        return true;
    }
    bool renames = gs_is(at, "RENAME"), adds = take_word(p, "ADD"), drops = !adds && take_word(p, "DROP"), alters = !adds && !drops && !renames && take_word(p, "ALTER");
    if ((!renames && !adds && !drops && !alters) || !take_word(p, "COLUMN"))
        return gs_fail(p->x, at, "ALTER TABLE … %.*s is not supported by the local cloud", SL_ARG(at->text));
    bool if_not = take_word(p, "IF") && take_word(p, "NOT") && take_word(p, "EXISTS"), if_exists = !if_not && take_word(p, "EXISTS");
    if (p->i + 1 > p->n)
        return gs_fail(p->x, &p->t[p->n - 1], "Syntax error: a column's name was expected");
    sl_str name = sl_duck_ident(a, p->t[p->i++].text);
    if (adds) {
        if (!gs_type(p->x, p->t, p->n, &p->i, &duck, &field) || !take_options(p, &ignored))
            return false;
        *ret = sl_fmt(a, "ADD COLUMN %s%.*s %.*s", if_not ? "IF NOT EXISTS " : "", SL_ARG(name), SL_ARG(duck));
    } else if (drops)
        *ret = sl_fmt(a, "DROP COLUMN %s%.*s", if_exists ? "IF EXISTS " : "", SL_ARG(name));
    else if (renames && take_word(p, "TO")) {
        sl_str to = sl_duck_ident(a, p->t[p->i++].text);
        *ret = sl_fmt(a, "RENAME COLUMN %.*s TO %.*s", SL_ARG(name), SL_ARG(to));
    } else if (take_word(p, "DROP") && take_word(p, "NOT") && take_word(p, "NULL"))
        *ret = sl_fmt(a, "ALTER COLUMN %.*s DROP NOT NULL", SL_ARG(name));
    else if (take_word(p, "SET") && take_word(p, "DATA") && take_word(p, "TYPE")) {
        if (!gs_type(p->x, p->t, p->n, &p->i, &duck, &field))
            return false;
        *ret = sl_fmt(a, "ALTER COLUMN %.*s SET DATA TYPE %.*s", SL_ARG(name), SL_ARG(duck));
    } else if (gs_is(&p->t[p->i - 1], "SET") && at_word(p, "OPTIONS"))
        return take_options(p, &ignored);
    else
        return gs_fail(p->x, &p->t[p->i < p->n ? p->i : p->n - 1], "this change of a column is not supported by the local cloud");
    return true;
}

static bool alter(parser *p)
{
    sl_arena *a = p->x->arena;
    sl_str name, action;
    sl_val *all = sl_list(a);
    p->i = 1;
    if (!take_word(p, "TABLE"))
        return gs_fail(p->x, &p->t[1], "ALTER %.*s is not supported by the local cloud", SL_ARG(p->t[1].text));
    p->s->if_not_exists = take_word(p, "IF") && take_word(p, "EXISTS");
    if (!take_name(p, &name))
        return false;
    p->s->type = "ALTER_TABLE";
    do {
        if (p->i >= p->n)
            return gs_fail(p->x, &p->t[p->n - 1], "Syntax error: Unexpected end of statement");
        if (!take_action(p, &action))
            return false;
        if (action.n > 0)
            sl_list_add(a, all, sl_val_str(a, sl_fmt(a, "ALTER TABLE %.*s %.*s", SL_ARG(name), SL_ARG(action))));
    } while (p->i < p->n && gs_op(&p->t[p->i++], ","));
    p->s->more = all;
    return p->i == p->n || gs_fail(p->x, &p->t[p->i - 1], "Syntax error: Unexpected \"%.*s\"", SL_ARG(p->t[p->i - 1].text));
}

/* Every bracket has its partner, and none is nested too deep: everything behind relies on it. */
static bool balanced(parser *p)
{
    enum { DEPTH_MAX = 200 };
    const gs_token *open[DEPTH_MAX];
    size_t depth = 0;
    for (size_t i = 0; i < p->n; i++) {
        const gs_token *t = &p->t[i];
        bool closes = gs_op(t, ")") || gs_op(t, "]");
        if (gs_op(t, "(") || gs_op(t, "[")) {
            if (depth == DEPTH_MAX)
                return gs_fail(p->x, t, "Syntax error: brackets are nested deeper than %d levels", DEPTH_MAX);
            open[depth++] = t;
        } else if (closes && (depth == 0 || gs_op(open[depth - 1], "(") != gs_op(t, ")")))
            return gs_fail(p->x, t, "Syntax error: Unexpected \"%.*s\"", SL_ARG(t->text));
        else if (closes)
            depth--;
    }
    return depth == 0 || gs_fail(p->x, open[depth - 1], "Syntax error: \"%.*s\" is not closed", SL_ARG(open[depth - 1]->text));
}

/* Of a statement that changes a table: what its columns may be called by. */
static void keep_target(parser *p)
{
    const gs_token *t = &p->t[p->i];
    bool as = gs_is(t, "AS");
    p->x->target[0] = sl_get_text(p->s->target, "tableId");
    p->x->target[1] = t[as].kind == GS_IDENT && !gs_is(t, "SET") && !gs_is(t, "USING") && !gs_is(t, "WHERE") ? t[as].text : SL_S("");
}

/* The first word decides; DML and queries are passed through the rewriter. */
static bool statement(parser *p)
{
    static const struct {
        const char *word, *type;
    } kinds[] = { { "SELECT", "SELECT" }, { "WITH", "SELECT" }, { "INSERT", "INSERT" }, { "UPDATE", "UPDATE" }, { "DELETE", "DELETE" }, { "MERGE", "MERGE" }, { "TRUNCATE", "TRUNCATE_TABLE" },
                  { "BEGIN", "BEGIN_TRANSACTION" }, { "COMMIT", "COMMIT_TRANSACTION" }, { "ROLLBACK", "ROLLBACK_TRANSACTION" } };
    if (gs_is(&p->t[0], "CREATE"))
        return create(p);
    if (gs_is(&p->t[0], "DROP"))
        return drop(p);
    if (gs_is(&p->t[0], "ALTER"))
        return alter(p);
    if (gs_is(&p->t[0], "DECLARE"))
        return declaration(p);
    if (gs_is(&p->t[0], "SET"))
        return set_variable(p);
    if (gs_op(&p->t[0], "(")) {
        p->s->type = "SELECT";
        p->s->sql = gs_rewrite(p->x, p->t, p->n);
        return p->x->err->kind == SL_ERR_NONE;
    }
    for (size_t i = 0; i < SL_COUNT(kinds); i++) {
        if (!gs_is(&p->t[0], kinds[i].word))
            continue;
        p->s->type = kinds[i].type;
        bool dml = i >= 2 && i <= 6;
        if (dml) {
            p->i = 1;
            if (at_word(p, "INTO") || at_word(p, "TABLE") || at_word(p, "FROM"))
                p->i++;
            sl_str ignored;
            if (!take_name(p, &ignored))
                return false;
            keep_target(p);
            /* INSERT t …, DELETE t …, MERGE t …: INTO and FROM may be left out in GoogleSQL. */
            static const char *const heads[] = { "INSERT INTO", "UPDATE", "DELETE FROM", "MERGE INTO", "TRUNCATE" };
            p->x->by_place = true;
            sl_str rest = gs_rewrite(p->x, &p->t[p->i], p->n - p->i);
            p->x->by_place = false;
            p->s->sql = sl_fmt(p->x->arena, "%s %.*s %.*s", heads[i - 2], SL_ARG(ignored), SL_ARG(rest));
        } else
            p->s->sql = gs_rewrite(p->x, p->t, p->n);
        return p->x->err->kind == SL_ERR_NONE;
    }
    return gs_fail(p->x, &p->t[0], "Syntax error: Unexpected \"%.*s\"", SL_ARG(p->t[0].text));
}

bool gs_translate(gs_context *x, gs_statement **ret, size_t *ret_count)
{
    size_t n, count = 0, capacity = 8;
    sl_err_clear(x->err);
    gs_token *t = gs_lex(x->arena, x->text, &n, x->err);
    if (t == NULL)
        return false;
    gs_statement *list = SL_ARRAY(x->arena, gs_statement, capacity);
    for (size_t from = 0; from < n;) {
        size_t to = from;
        while (to < n && !gs_op(&t[to], ";"))
            to++;
        if (to > from) {
            if (count == capacity) {
                list = sl_realloc(x->arena, list, capacity * sizeof *list, capacity * 2 * sizeof *list);
                capacity *= 2;
            }
            list[count] = (gs_statement){ .from = t[from].at, .to = t[to - 1].end };
            parser p = { .x = x, .t = t + from, .n = to - from, .s = &list[count] };
            if (!balanced(&p) || !statement(&p))
                return false;
            count++;
        }
        from = to + 1;
    }
    if (count == 0)
        return sl_err_at(x->err, 1, 1, SL_ERR_DATA, "sql.syntax", "Syntax error: Unexpected end of script at [1:1]");
    *ret = list;
    *ret_count = count;
    return true;
}
