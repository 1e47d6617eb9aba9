/*
 * local/redshift_function.c: statements that have another form in DuckDB as a whole: functions of one's own, SHOW, ALTER TABLE … APPEND, DROP TABLE a, b.
 * Source: https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_FUNCTION.html, …/r_ALTER_TABLE_APPEND.html
 */
#include "base/arena.h"
#include "base/sql.h"
#include "local/redshift_table.h"

enum { ARGUMENTS_MAX = 32 };

static bool expect(sl_str *rest, const char *word, const char *where, sl_err *err)
{
    sl_str token = sl_sql_token(rest);
    return is(token, word) || sl_err_set(err, SL_ERR_DATA, "pg.42601", "syntax error at or near \"%.*s\": %s needs %s", SL_ARG(token), where, word);
}

/* $$ … $$, $name$ … $name$ or '…' without what is around it. */
static sl_str body_of(sl_arena *a, sl_str token)
{
    if (token.n > 0 && token.p[0] == '$') {
        const char *second = token.n > 1 ? memchr(token.p + 1, '$', token.n - 1) : NULL;
        size_t mark = second ? (size_t)(second - token.p) + 1 : 1;
        return token.n >= 2 * mark ? sl_str_sub(token, mark, token.n - mark) : SL_S("");
    }
    return sl_redshift_unquoted(a, token);
}

/* $1 is the first argument. */
static sl_str with_arguments(sl_arena *a, sl_str body, const sl_str *types, size_t count)
{
    sl_buf b = sl_buf_new(a, 1 << 20);
    for (size_t i = 0; i < body.n; i++) {
        size_t end = i + 1;
        int64_t number;
        while (end < body.n && body.p[end] >= '0' && body.p[end] <= '9')
            end++;
        if (body.p[i] == '$' && sl_parse_int(sl_str_sub(body, i + 1, end), &number) && number >= 1 && (size_t)number <= count) {
            sl_buf_fmt(&b, "CAST(sl_%lld AS %.*s)", (long long)number, SL_ARG(types[number - 1]));
            i = end - 1;
        } else
            sl_buf_char(&b, body.p[i]);
    }
    return sl_buf_str(&b);
}

/* [OR REPLACE] FUNCTION name ([type, …]) RETURNS type {VOLATILE|STABLE|IMMUTABLE} AS $$ SELECT expression $$ LANGUAGE sql: behind FUNCTION. */
static bool create_function(sl_redshift_session *s, sl_arena *a, sl_str rest, sl_str *ret, sl_err *err)
{
    sl_str name = sl_sql_token(&rest), types[ARGUMENTS_MAX], returns = SL_S(""), token;
    sl_buf list = sl_buf_new(a, 1 << 16);
    size_t count = 0;
    bool last = false;
    if (!expect(&rest, "(", "a function", err))
        return false;
    while (!last) {
        sl_str type = sl_redshift_item(&rest, &last);
        if (type.n == 0)
            continue;
        if (count == ARGUMENTS_MAX)
            return sl_err_set(err, SL_ERR_LIMIT, "pg.54023", "a function may have %d arguments", ARGUMENTS_MAX);
        sl_buf_fmt(&list, "%ssl_%zu", count ? ", " : "", count + 1);
        types[count++] = type;
    }
    if (!expect(&rest, "RETURNS", "a function", err))
        return false;
    for (const char *from = rest.p; (token = sl_sql_token(&rest)).n > 0 && !is(token, "VOLATILE") && !is(token, "STABLE") && !is(token, "IMMUTABLE") && !is(token, "AS");)
        returns = sl_str_trim((sl_str){ from, (size_t)(rest.p - from) });
    if (!is(token, "AS") && !expect(&rest, "AS", "a function", err))
        return false;
    sl_str body = sl_str_trim(body_of(a, sl_sql_token(&rest)));
    sl_str inside = body;
    if (!expect(&rest, "LANGUAGE", "a function", err))
        return false;
    if (!is(sl_sql_token(&rest), "sql"))
        return sl_err_set(err, SL_ERR_CONFIG, "pg.0A000", "the local Redshift has functions in SQL only (LANGUAGE sql)");
    if (!is(sl_sql_token(&inside), "SELECT"))
        return sl_err_set(err, SL_ERR_DATA, "pg.42601", "the body of a function in SQL is SELECT and an expression");
    sl_str typed = with_arguments(a, inside, types, count), expression, names = sl_buf_str(&list);
    if (!sl_redshift_rewrite(s, a, sl_fmt(a, "SELECT CAST((%.*s) AS %.*s)", SL_ARG(typed), SL_ARG(returns)), &expression, err))
        return false;
    *ret = sl_fmt(a, "CREATE OR REPLACE MACRO %.*s(%.*s) AS (%.*s)", SL_ARG(name), SL_ARG(names), SL_ARG(expression));
    return true;
}

static bool show(sl_str what, sl_str *ret, sl_err *err)
{
    if (!is(what, "search_path"))
        return sl_err_set(err, SL_ERR_CONFIG, "pg.0A000", "the local Redshift does not know SHOW %.*s; svv_tables and svv_columns say what there is", SL_ARG(what));
    *ret = SL_S("SELECT CASE current_setting('search_path') WHEN '' THEN '$user, public' ELSE replace(replace(current_setting('search_path'), 'main', 'public'), ',', ', ') END AS search_path");
    return true;
}

bool sl_redshift_whole(sl_redshift_session *s, sl_arena *a, sl_str statement, sl_str *ret, sl_err *err)
{
    sl_str rest = statement, first = sl_sql_token(&rest), second = sl_sql_token(&rest);
    *ret = SL_S("");
    if (is(first, "ALTER") && is(second, "EXTERNAL"))
        return sl_err_set(err, SL_ERR_CONFIG, "pg.0A000", "the local Redshift does not know ALTER EXTERNAL");
    if (is(first, "SHOW"))
        return show(second, ret, err);
    if (is(first, "RESET")) /* the one setting that does something */
        *ret = !is(second, "search_path") && !is(second, "ALL") ? SL_REDSHIFT_NOTHING : sl_fmt(a, "SET search_path = %.*s", SL_ARG(sl_duck_text(a, sl_str_c(s->path))));
    if (is(first, "CREATE") && is(second, "OR") && is(sl_sql_token(&rest), "REPLACE"))
        second = sl_sql_token(&rest);
    if (is(first, "CALL") || ((is(first, "CREATE") || is(first, "DROP")) && is(second, "PROCEDURE")))
        return sl_err_set(err, SL_ERR_CONFIG, "pg.0A000", "the local Redshift has no stored procedures");
    if (is(first, "CREATE") && is(second, "FUNCTION"))
        return create_function(s, a, rest, ret, err);
    if (is(first, "DROP") && is(second, "FUNCTION")) {
        sl_str name = sl_sql_token(&rest);
        bool may_lack = is(name, "IF") && is(sl_sql_token(&rest), "EXISTS");
        if (may_lack)
            name = sl_sql_token(&rest);
        *ret = sl_fmt(a, "DROP MACRO %s%.*s", may_lack ? "IF EXISTS " : "", SL_ARG(name));
    }
    return true;
}

/* ---- what becomes several statements ---- */

/* Columns of the first that the second has (or has not), quoted, with commas; empty: none. */
static bool columns_of(sl_redshift_session *s, sl_arena *a, sl_str table, bool has, sl_str in, sl_str *ret, sl_err *err)
{
    const sl_val *rows;
    sl_str sql = sl_fmt(a, "SELECT string_agg('\"' || replace(column_name, '\"', '\"\"') || '\"', ', ') FROM (DESCRIBE %.*s) WHERE column_name %sIN (SELECT column_name FROM (DESCRIBE %.*s))", SL_ARG(table),
                        has ? "" : "NOT ", SL_ARG(in));
    if (!sl_duck_run(s->con, a, sql, &rows, NULL, err))
        return false;
    const sl_val *v = sl_at(sl_at(rows, 0), 0);
    *ret = sl_is(v, SL_STRING) ? v->s : SL_S("");
    return true;
}

/* view RENAME TO name: ALTER TABLE does that there. */
static bool rename_view(sl_redshift_session *s, sl_arena *a, sl_str view, sl_str rest, sl_val *parts, sl_err *err)
{
    const sl_val *found;
    sl_str schema = SL_S(""), name, to, written = view;
    if (!is(sl_sql_token(&rest), "TO"))
        return true;
    to = sl_sql_token(&rest);
    if (!sl_redshift_rewrite(s, a, written, &view, err))
        return false;
    name = sl_str_replace(a, view, SL_S("\""), SL_S(""));
    ptrdiff_t dot = sl_str_rfind(name, SL_S("."));
    if (dot > 0) {
        schema = sl_str_trim(sl_str_sub(name, 0, (size_t)dot));
        name = sl_str_sub(name, (size_t)dot + 1, name.n);
    }
    sl_str sql = sl_fmt(a, "SELECT 1 FROM duckdb_views() WHERE lower(view_name) = lower(%.*s) AND (%.*s = '' OR lower(schema_name) = lower(%.*s))", SL_ARG(sl_duck_text(a, sl_str_trim(name))), SL_ARG(sl_duck_text(a, schema)),
                        SL_ARG(sl_duck_text(a, schema)));
    if (!sl_duck_run(s->con, a, sql, &found, NULL, err))
        return false;
    if (sl_val_count(found) > 0)
        sl_list_add(a, parts, sl_val_str(a, sl_fmt(a, "ALTER VIEW %.*s RENAME TO %.*s", SL_ARG(view), SL_ARG(to))));
    return true;
}

/* target APPEND FROM source [IGNOREEXTRA|FILLTARGET], view RENAME TO name, and what is about texts and keys: behind TABLE. */
static bool alter_table(sl_redshift_session *s, sl_arena *a, sl_str rest, sl_val *parts, sl_err *err)
{
    sl_str target = sl_redshift_take_table(&rest), source, option, extra, lacks, common, action = sl_sql_token(&rest);
    if (is(action, "RENAME"))
        return rename_view(s, a, target, rest, parts, err);
    if (!is(action, "APPEND"))
        return sl_redshift_alter_table(s, a, target, action, rest, parts, err);
    if (!expect(&rest, "FROM", "ALTER TABLE APPEND", err))
        return false;
    source = sl_redshift_take_table(&rest);
    option = sl_sql_token(&rest);
    bool ignores = is(option, "IGNOREEXTRA"), fills = is(option, "FILLTARGET");
    if (!sl_redshift_rewrite(s, a, target, &target, err) || !sl_redshift_rewrite(s, a, source, &source, err))
        return false;
    if (option.n > 0 && !ignores && !fills)
        return sl_err_set(err, SL_ERR_DATA, "pg.42601", "syntax error at or near \"%.*s\": IGNOREEXTRA or FILLTARGET may stand there", SL_ARG(option));
    if (!columns_of(s, a, source, false, target, &extra, err) || !columns_of(s, a, target, false, source, &lacks, err) || !columns_of(s, a, source, true, target, &common, err))
        return false;
    if (extra.n > 0 && !ignores)
        return sl_err_set(err, SL_ERR_DATA, "pg.42703", "%.*s of %.*s is no column of %.*s; IGNOREEXTRA leaves it out", SL_ARG(extra), SL_ARG(source), SL_ARG(target));
    if (lacks.n > 0 && !fills)
        return sl_err_set(err, SL_ERR_DATA, "pg.42703", "%.*s of %.*s is no column of %.*s; FILLTARGET gives it its default", SL_ARG(lacks), SL_ARG(target), SL_ARG(source));
    if (common.n == 0)
        return sl_err_set(err, SL_ERR_DATA, "pg.42703", "%.*s and %.*s have no column in common", SL_ARG(source), SL_ARG(target));
    sl_list_add(a, parts, sl_val_str(a, sl_fmt(a, "INSERT INTO %.*s BY NAME SELECT %.*s FROM %.*s", SL_ARG(target), SL_ARG(common), SL_ARG(source))));
    sl_list_add(a, parts, sl_val_str(a, sl_fmt(a, "DELETE FROM %.*s", SL_ARG(source))));
    return true;
}

/* DROP TABLE a, b …: what: TABLE or VIEW; behind it. */
static bool drop_several(sl_redshift_session *s, sl_arena *a, sl_str what, sl_str rest, sl_val *parts, sl_err *err)
{
    sl_str ahead = rest, names[ARGUMENTS_MAX], token = sl_sql_token(&ahead);
    bool may_lack = is(token, "IF") && is(sl_sql_token(&ahead), "EXISTS");
    size_t count = 0;
    if (may_lack)
        rest = ahead;
    do {
        if (count == ARGUMENTS_MAX)
            return sl_err_set(err, SL_ERR_LIMIT, "pg.54000", "at most %d tables may be dropped at once here", ARGUMENTS_MAX);
        names[count++] = sl_redshift_take_table(&rest);
    } while (is(token = sl_sql_token(&rest), ","));
    for (size_t i = 0; i < count && count > 1; i++) {
        sl_str name;
        if (!sl_redshift_rewrite(s, a, names[i], &name, err))
            return false;
        sl_list_add(a, parts, sl_val_str(a, sl_fmt(a, "DROP %.*s %s%.*s%s", SL_ARG(what), may_lack ? "IF EXISTS " : "", SL_ARG(name), is(token, "CASCADE") ? " CASCADE" : "")));
    }
    return true;
}

bool sl_redshift_parts(sl_redshift_session *s, sl_arena *a, sl_str statement, const sl_val **ret, sl_err *err)
{
    sl_str rest = statement, first = sl_sql_token(&rest), second = sl_sql_token(&rest);
    sl_val *parts = sl_list(a);
    bool table = is(second, "TABLE");
    *ret = parts;
    if (is(first, "ALTER") && table)
        return alter_table(s, a, rest, parts, err);
    return !is(first, "DROP") || !(table || is(second, "VIEW")) || drop_several(s, a, second, rest, parts, err);
}
