/* local/gsql_stmt.c: scripts and statements: what kind each is, and the clauses of DDL that DuckDB does not have. */
#include "base/arena.h"
#include "db/duck.h"
#include "local/gsql_parser.h"

/* CREATE TABLE x LIKE y (without its rows), COPY y, CLONE y */
static bool create_copy(gs_parser *p, sl_buf *sql, bool empty)
{
    const sl_val *target = p->s->target;
    sl_str source;
    if (!gs_take_name(p, &source) || !gs_take_clauses(p) || !gs_at_end(p))
        return false;
    p->s->target = target;
    p->s->type = "CREATE_TABLE_AS_SELECT";
    sl_buf_fmt(sql, " AS FROM %.*s%s", SL_ARG(source), empty ? " LIMIT 0" : "");
    p->s->sql = sl_buf_str(sql);
    return true;
}

static bool create_table(gs_parser *p, bool external)
{
    gs_statement *s = p->s;
    sl_str name;
    sl_buf sql = sl_buf_new(p->x->arena, 64 << 20);
    if (gs_take_word(p, "IF") && gs_take_word(p, "NOT") && gs_take_word(p, "EXISTS"))
        s->if_not_exists = true;
    p->i_name = p->i;
    if (!gs_take_name(p, &name))
        return false;
    sl_buf_fmt(&sql, "CREATE %s%sTABLE %s%.*s", s->or_replace ? "OR REPLACE " : "", s->temporary ? "TEMP " : "", s->if_not_exists ? "IF NOT EXISTS " : "", SL_ARG(name));
    s->type = external ? "CREATE_EXTERNAL_TABLE" : "CREATE_TABLE";
    static const char *const copies[] = { "LIKE", "COPY", "CLONE" };
    for (size_t i = 0; i < SL_COUNT(copies) && !external; i++)
        if (gs_take_word(p, copies[i]))
            return create_copy(p, &sql, i == 0);
    sl_buf columns = sl_buf_new(p->x->arena, 16 << 20);
    if (!gs_take_columns(p, &columns) || !gs_take_clauses(p))
        return false;
    if (external) {
        return gs_at_end(p);
    }
    if (gs_take_word(p, "AS")) {
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
static bool take_view_columns(gs_parser *p, sl_str *ret)
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
        if (!gs_take_options(p, &ignored))
            return false;
        if (p->i < end && !gs_op(&p->t[p->i++], ","))
            return gs_fail(p->x, &p->t[p->i - 1], "Syntax error: Unexpected \"%.*s\" among the columns of a view", SL_ARG(p->t[p->i - 1].text));
    }
    p->i = end + 1;
    *ret = sl_fmt(p->x->arena, " (%.*s)", SL_ARG(sl_buf_str(&b)));
    return true;
}

static bool create_view(gs_parser *p, bool materialized)
{
    sl_str name, columns;
    if (gs_take_word(p, "IF") && gs_take_word(p, "NOT") && gs_take_word(p, "EXISTS"))
        p->s->if_not_exists = true;
    if (!gs_take_name(p, &name) || !take_view_columns(p, &columns) || !gs_take_clauses(p))
        return false;
    if (!gs_take_word(p, "AS"))
        return gs_fail(p->x, &p->t[p->i < p->n ? p->i : p->n - 1], "Syntax error: Expected AS");
    sl_str query = gs_rewrite(p->x, &p->t[p->i], p->n - p->i);
    p->s->view = p->i < p->n ? sl_str_sub(p->x->text, p->t[p->i].at, p->t[p->n - 1].end) : SL_S("");
    p->s->type = materialized ? "CREATE_MATERIALIZED_VIEW" : "CREATE_VIEW";
    p->s->sql = sl_fmt(p->x->arena, "CREATE %sVIEW %s%.*s%.*s AS %.*s", p->s->or_replace ? "OR REPLACE " : "", p->s->if_not_exists ? "IF NOT EXISTS " : "", SL_ARG(name), SL_ARG(columns), SL_ARG(query));
    return p->x->err->kind == SL_ERR_NONE;
}

/* ---- what lives as long as a script ---- */

bool gs_declare(gs_context *x, const gs_token *at, const gs_declared *one)
{
    if (x->declared_count == GS_DECLARED_MAX)
        return gs_fail(x, at, "a script may have %d variables and temporary tables here", GS_DECLARED_MAX);
    x->declared[x->declared_count++] = *one;
    return true;
}

/* (a INT64, b ANY TYPE): the names. */
static bool take_function_arguments(gs_parser *p, sl_buf *names)
{
    sl_str duck;
    const sl_val *ignored;
    if (p->i >= p->n || !gs_op(&p->t[p->i], "("))
        return gs_fail(p->x, &p->t[p->i < p->n ? p->i : p->n - 1], "Syntax error: Expected \"(\" behind the name of a function");
    size_t end = gs_close(p->t, p->n, p->i) - 1;
    for (p->i++; p->i < end;) {
        sl_buf_fmt(names, "%s%.*s", names->n > 0 ? ", " : "", SL_ARG(p->t[p->i].text));
        p->i++;
        if (gs_at_word(p, "ANY"))
            p->i += 2;
        else if (!gs_type(p->x, p->t, end, &p->i, &duck, &ignored))
            return false;
        p->i += p->i < end; /* the comma */
    }
    p->i = end + 1;
    return true;
}

/* CREATE [TEMP] FUNCTION [IF NOT EXISTS] f(a INT64, b ANY TYPE) [RETURNS type] AS (expression) */
static bool create_function(gs_parser *p)
{
    sl_arena *a = p->x->arena;
    sl_buf names = sl_buf_new(a, 1 << 16);
    sl_str name, returns = SL_S("");
    const sl_val *ignored;
    p->s->if_not_exists = gs_take_word(p, "IF") && gs_take_word(p, "NOT") && gs_take_word(p, "EXISTS");
    if (!gs_take_name(p, &name) || !take_function_arguments(p, &names))
        return false;
    if (gs_take_word(p, "RETURNS") && !gs_type(p->x, p->t, p->n, &p->i, &returns, &ignored))
        return false;
    if (!gs_take_word(p, "AS") || p->i >= p->n || !gs_op(&p->t[p->i], "("))
        return gs_fail(p->x, &p->t[p->i < p->n ? p->i : p->n - 1], "a function has to be an expression in the local cloud: AS (…)");
    size_t from = p->i;
    p->i = gs_close(p->t, p->n, from);
    sl_str body = gs_rewrite(p->x, &p->t[from], p->i - from), list = sl_buf_str(&names);
    if (returns.n > 0)
        body = sl_fmt(a, "CAST(%.*s AS %.*s)", SL_ARG(body), SL_ARG(returns));
    p->s->type = "CREATE_FUNCTION";
    p->s->sql = sl_fmt(a, "CREATE OR REPLACE %sMACRO %.*s(%.*s) AS %.*s", p->s->temporary ? "TEMP " : "", SL_ARG(name), SL_ARG(list), SL_ARG(body));
    return gs_take_options(p, &ignored) && gs_at_end(p) && p->x->err->kind == SL_ERR_NONE;
}

sl_str gs_assignment(sl_arena *a, sl_str name, sl_str value, sl_str type)
{
    sl_str lower = sl_str_lower(a, name);
    if (type.n > 0)
        return sl_fmt(a, "SET VARIABLE sl_%.*s = CAST((%.*s) AS %.*s)", SL_ARG(lower), SL_ARG(value), SL_ARG(type));
    /* In one list both have one type. */
    return sl_fmt(a, "SET VARIABLE sl_%.*s = list_value(getvariable('sl_%.*s'), (%.*s))[2]", SL_ARG(lower), SL_ARG(lower), SL_ARG(value));
}

/* DECLARE a[, b] [type] [DEFAULT x]; without a type it has that of its value. */
static bool declaration(gs_parser *p)
{
    sl_arena *a = p->x->arena;
    sl_val *all = sl_list(a);
    size_t first = 1, type_at;
    sl_str duck = SL_S(""), value = SL_S("NULL");
    const sl_val *ignored;
    for (p->i = 2; p->i + 1 < p->n && gs_op(&p->t[p->i], ",");)
        p->i += 2;
    type_at = p->i;
    bool untyped = gs_at_word(p, "DEFAULT");
    if (!untyped && !gs_type(p->x, p->t, p->n, &p->i, &duck, &ignored))
        return false;
    if (gs_take_word(p, "DEFAULT")) {
        value = gs_rewrite(p->x, &p->t[p->i], p->n - p->i);
        if (p->i + 1 == p->n && gs_is_integer(&p->t[p->i]))
            value = sl_fmt(a, "CAST(%.*s AS BIGINT)", SL_ARG(value));
        p->i = p->n;
    }
    for (size_t i = first; i < type_at; i += 2) {
        sl_str name = sl_str_lower(a, p->t[i].text), first_value = untyped ? sl_fmt(a, "SET VARIABLE sl_%.*s = (%.*s)", SL_ARG(name), SL_ARG(value)) : gs_assignment(a, name, value, duck);
        sl_list_add(a, all, sl_val_str(a, first_value));
        if (!gs_declare(p->x, &p->t[0], &(gs_declared){ .name = p->t[i].text, .type = duck, .record = untyped }))
            return false;
    }
    p->s->type = "DECLARE";
    p->s->temporary = true;
    p->s->more = all;
    return gs_at_end(p);
}

/* SET (a, b) = (x, y), SET (a, b) = (SELECT AS STRUCT x, y …): by their places. */
static bool set_variables(gs_parser *p)
{
    sl_arena *a = p->x->arena;
    sl_val *all = sl_list(a);
    size_t close = gs_close(p->t, p->n, 1) - 1;
    bool query = close + 3 < p->n && (gs_is(&p->t[close + 3], "SELECT") || gs_is(&p->t[close + 3], "WITH"));
    if (close + 2 >= p->n || !gs_op(&p->t[close + 1], "=") || !gs_op(&p->t[close + 2], "("))
        return gs_fail(p->x, &p->t[close < p->n ? close : p->n - 1], "Syntax error: SET (…) needs = and a value in brackets");
    sl_str value = gs_rewrite(p->x, &p->t[close + 2], p->n - close - 2);
    bool single = close == 3 && !query;
    sl_list_add(a, all, sl_val_str(a, sl_fmt(a, "SET VARIABLE sl__values = %.*s", SL_ARG(value))));
    for (size_t i = 2; i < close; i += 2) {
        const gs_declared *v = gs_find_declared(p->x, p->t[i].text, true);
        if (v == NULL || (i + 1 < close && !gs_op(&p->t[i + 1], ",")))
            return gs_fail(p->x, &p->t[i], "SET needs variables that were declared: '%.*s' is none", SL_ARG(p->t[i].text));
        sl_str one = single ? SL_S("getvariable('sl__values')") : sl_fmt(a, "struct_extract_at(getvariable('sl__values'), %zu)", i / 2);
        sl_list_add(a, all, sl_val_str(a, gs_assignment(a, v->name, one, v->type)));
    }
    p->s->type = "ASSIGNMENT";
    p->s->temporary = true;
    p->s->more = all;
    return p->x->err->kind == SL_ERR_NONE;
}

static bool set_variable(gs_parser *p)
{
    if (p->n > 1 && gs_op(&p->t[1], "("))
        return set_variables(p);
    sl_val *all = sl_list(p->x->arena);
    const gs_declared *v = p->n > 3 ? gs_find_declared(p->x, p->t[1].text, true) : NULL;
    if (v == NULL || !gs_op(&p->t[2], "="))
        return gs_fail(p->x, &p->t[p->n > 1], "SET needs a variable that was declared, = and a value");
    sl_str value = gs_rewrite(p->x, &p->t[3], p->n - 3);
    sl_list_add(p->x->arena, all, sl_val_str(p->x->arena, gs_assignment(p->x->arena, v->name, value, v->type)));
    p->s->type = "ASSIGNMENT";
    p->s->temporary = true;
    p->s->more = all;
    return p->x->err->kind == SL_ERR_NONE;
}

/* [project.]dataset */
static bool take_dataset(gs_parser *p)
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

static bool create(gs_parser *p)
{
    p->i = 1;
    if (gs_take_word(p, "OR") && gs_take_word(p, "REPLACE"))
        p->s->or_replace = true;
    if (gs_take_word(p, "TEMP") || gs_take_word(p, "TEMPORARY")) {
        p->s->temporary = true;
        if (gs_take_word(p, "FUNCTION"))
            return create_function(p);
        const gs_token *what = &p->t[p->i];
        if (!gs_take_word(p, "TABLE"))
            return gs_fail(p->x, what, "CREATE TEMP %.*s is not supported by the local cloud", SL_ARG(what->text));
        return create_table(p, false) && gs_declare(p->x, &p->t[0], &(gs_declared){ .name = p->t[p->i_name].text });
    }
    bool external = gs_take_word(p, "EXTERNAL");
    if (gs_take_word(p, "TABLE"))
        return create_table(p, external);
    bool materialized = !external && gs_take_word(p, "MATERIALIZED");
    if (gs_take_word(p, "VIEW"))
        return create_view(p, materialized);
    if (!materialized && gs_take_word(p, "SNAPSHOT") && gs_take_word(p, "TABLE"))
        return create_table(p, false);
    if (!materialized && gs_take_word(p, "FUNCTION"))
        return create_function(p);
    if (gs_take_word(p, "SCHEMA")) {
        if (gs_take_word(p, "IF") && gs_take_word(p, "NOT") && gs_take_word(p, "EXISTS"))
            p->s->if_not_exists = true;
        p->s->type = "CREATE_SCHEMA";
        return take_dataset(p) && gs_take_options(p, &p->s->options);
    }
    return gs_fail(p->x, &p->t[1], "CREATE %.*s is not supported by the local cloud", SL_ARG(p->t[1].text));
}

static bool drop(gs_parser *p)
{
    p->i = 1;
    bool external = gs_take_word(p, "EXTERNAL");
    if (!external && gs_take_word(p, "SCHEMA")) {
        p->s->if_not_exists = gs_take_word(p, "IF") && gs_take_word(p, "EXISTS");
        p->s->type = "DROP_SCHEMA";
        if (!take_dataset(p))
            return false;
        p->s->cascade = gs_take_word(p, "CASCADE");
        if (!p->s->cascade)
            (void)gs_take_word(p, "RESTRICT");
        return gs_at_end(p);
    }
    bool materialized = gs_take_word(p, "MATERIALIZED");
    bool function = gs_at_word(p, "FUNCTION"), view = gs_at_word(p, "VIEW"), table = !materialized && (gs_at_word(p, "TABLE") || (gs_take_word(p, "SNAPSHOT") && gs_at_word(p, "TABLE")));
    if (!view && !table && !function)
        return gs_fail(p->x, &p->t[1], "DROP %.*s is not supported by the local cloud", SL_ARG(p->t[1].text));
    p->i++;
    bool if_exists = gs_take_word(p, "IF") && gs_take_word(p, "EXISTS");
    sl_str name;
    if (!gs_take_name(p, &name))
        return false;
    p->s->type = external ? "DROP_EXTERNAL_TABLE" : function ? "DROP_FUNCTION" : view ? "DROP_VIEW" : "DROP_TABLE";
    p->s->sql = sl_fmt(p->x->arena, "DROP %s %s%.*s", function ? "MACRO" : view ? "VIEW" : "TABLE", if_exists ? "IF EXISTS " : "", SL_ARG(name));
    p->s->if_not_exists = if_exists;
    return true;
}

/* ---- ALTER TABLE ---- */

/* One action; its SQL behind ALTER TABLE name, empty when only metadata change. */
static bool take_action(gs_parser *p, sl_str *ret)
{
    sl_arena *a = p->x->arena;
    sl_str duck;
    const sl_val *field, *ignored;
    const gs_token *at = &p->t[p->i];
    *ret = SL_S("");
    if (gs_take_word(p, "SET") && gs_at_word(p, "OPTIONS"))
        return gs_take_options(p, &p->s->options);
    if (gs_take_word(p, "RENAME") && gs_take_word(p, "TO")) {
        p->s->renamed = p->t[p->i++].text;
        *ret = sl_fmt(a, "RENAME TO %.*s", SL_ARG(sl_duck_ident(a, p->s->renamed)));
        return true;
    }
    bool renames = gs_is(at, "RENAME"), adds = gs_take_word(p, "ADD"), drops = !adds && gs_take_word(p, "DROP"), alters = !adds && !drops && !renames && gs_take_word(p, "ALTER");
    if ((!renames && !adds && !drops && !alters) || !gs_take_word(p, "COLUMN"))
        return gs_fail(p->x, at, "ALTER TABLE … %.*s is not supported by the local cloud", SL_ARG(at->text));
    bool if_not = gs_take_word(p, "IF") && gs_take_word(p, "NOT") && gs_take_word(p, "EXISTS"), if_exists = !if_not && gs_take_word(p, "EXISTS");
    if (p->i + 1 > p->n)
        return gs_fail(p->x, &p->t[p->n - 1], "Syntax error: a column's name was expected");
    sl_str name = sl_duck_ident(a, p->t[p->i++].text);
    if (adds) {
        if (!gs_type(p->x, p->t, p->n, &p->i, &duck, &field) || !gs_take_options(p, &ignored))
            return false;
        *ret = sl_fmt(a, "ADD COLUMN %s%.*s %.*s", if_not ? "IF NOT EXISTS " : "", SL_ARG(name), SL_ARG(duck));
    } else if (drops)
        *ret = sl_fmt(a, "DROP COLUMN %s%.*s", if_exists ? "IF EXISTS " : "", SL_ARG(name));
    else if (renames && gs_take_word(p, "TO")) {
        sl_str to = sl_duck_ident(a, p->t[p->i++].text);
        *ret = sl_fmt(a, "RENAME COLUMN %.*s TO %.*s", SL_ARG(name), SL_ARG(to));
    } else if (gs_take_word(p, "DROP") && gs_take_word(p, "NOT") && gs_take_word(p, "NULL"))
        *ret = sl_fmt(a, "ALTER COLUMN %.*s DROP NOT NULL", SL_ARG(name));
    else if (gs_take_word(p, "SET") && gs_take_word(p, "DATA") && gs_take_word(p, "TYPE")) {
        if (!gs_type(p->x, p->t, p->n, &p->i, &duck, &field))
            return false;
        *ret = sl_fmt(a, "ALTER COLUMN %.*s SET DATA TYPE %.*s", SL_ARG(name), SL_ARG(duck));
    } else if (gs_is(&p->t[p->i - 1], "SET") && gs_at_word(p, "OPTIONS"))
        return gs_take_options(p, &ignored);
    else
        return gs_fail(p->x, &p->t[p->i < p->n ? p->i : p->n - 1], "this change of a column is not supported by the local cloud");
    return true;
}

static bool alter(gs_parser *p)
{
    sl_arena *a = p->x->arena;
    sl_str name, action;
    sl_val *all = sl_list(a);
    p->i = 1;
    if (!gs_take_word(p, "TABLE"))
        return gs_fail(p->x, &p->t[1], "ALTER %.*s is not supported by the local cloud", SL_ARG(p->t[1].text));
    p->s->if_not_exists = gs_take_word(p, "IF") && gs_take_word(p, "EXISTS");
    if (!gs_take_name(p, &name))
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

/* Of a statement that changes a table: what its columns may be called by. */
static void keep_target(gs_parser *p)
{
    const gs_token *t = &p->t[p->i];
    bool as = gs_is(t, "AS");
    p->x->target[0] = sl_get_text(p->s->target, "tableId");
    p->x->target[1] = t[as].kind == GS_IDENT && !gs_is(t, "SET") && !gs_is(t, "USING") && !gs_is(t, "WHERE") ? t[as].text : SL_S("");
}

/* BEGIN [TRANSACTION], COMMIT [TRANSACTION], ROLLBACK [TRANSACTION] */
static bool transaction(gs_parser *p, const char *type)
{
    p->i = 1;
    (void)gs_take_word(p, "TRANSACTION");
    p->s->type = type;
    return gs_at_end(p);
}

/* The first word decides; DML and queries are passed through the rewriter. */
static bool statement(gs_parser *p)
{
    static const struct {
        const char *word, *type;
    } kinds[] = { { "SELECT", "SELECT" }, { "WITH", "SELECT" }, { "INSERT", "INSERT" }, { "UPDATE", "UPDATE" }, { "DELETE", "DELETE" }, { "MERGE", "MERGE" }, { "TRUNCATE", "TRUNCATE_TABLE" } };
    static const struct {
        const char *word, *type;
    } controls[] = { { "BEGIN", "BEGIN_TRANSACTION" }, { "COMMIT", "COMMIT_TRANSACTION" }, { "ROLLBACK", "ROLLBACK_TRANSACTION" } };
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
    if (gs_is(&p->t[0], "LOAD"))
        return gs_load_data(p);
    if (gs_is(&p->t[0], "EXPORT"))
        return gs_export_data(p);
    if (gs_is(&p->t[0], "EXECUTE"))
        return gs_execute(p);
    for (size_t i = 0; i < SL_COUNT(controls); i++)
        if (gs_is(&p->t[0], controls[i].word))
            return transaction(p, controls[i].type);
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
            if (gs_at_word(p, "INTO") || gs_at_word(p, "TABLE") || gs_at_word(p, "FROM"))
                p->i++;
            sl_str ignored;
            if (!gs_take_name(p, &ignored))
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

bool gs_one_statement(gs_context *x, const gs_token *t, size_t n, gs_statement *ret)
{
    gs_parser p = { .x = x, .t = t, .n = n, .s = ret };
    return statement(&p);
}
