/*
 * local/redshift_sql.c: what Redshift's SQL has and DuckDB's has not: attributes of distribution and order are left out, some
 * types and functions have other names. What cannot be done here is an error, not a silence.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/sql.h"
#include "local/redshift_table.h"

sl_str sl_redshift_unquoted(sl_arena *a, sl_str token)
{
    return token.n >= 2 && token.p[0] == '\'' ? sl_str_replace(a, sl_str_sub(token, 1, token.n - 1), SL_S("''"), SL_S("'")) : token;
}

sl_str sl_redshift_value(sl_arena *a, sl_str *rest)
{
    sl_str token = sl_sql_token(rest);
    return sl_redshift_unquoted(a, is(token, "AS") ? sl_sql_token(rest) : token);
}

static sl_str peek(sl_str rest)
{
    return sl_sql_token(&rest);
}

/* DISTKEY(a), ENCODE zstd, COMPOUND SORTKEY (a, b), …: taken, and gone. */
static bool attribute(sl_str token, sl_str *rest)
{
    if (is(token, "DISTKEY") || is(token, "SORTKEY")) {
        if (is(token, "SORTKEY") && is(peek(*rest), "AUTO"))
            (void)sl_sql_token(rest);
        sl_redshift_skip_list(rest);
        return true;
    }
    if ((is(token, "COMPOUND") || is(token, "INTERLEAVED")) && is(peek(*rest), "SORTKEY"))
        return true;
    if (is(token, "WITH") && is(peek(*rest), "NO")) { /* views are bound late in any case */
        for (int i = 0; i < 3; i++)
            (void)sl_sql_token(rest);
        return true;
    }
    if (is(token, "DISTSTYLE") || is(token, "ENCODE") || is(token, "BACKUP")) {
        (void)sl_sql_token(rest);
        return true;
    }
    return false;
}

/* dev.schema.table: there is one database. */
static bool in_database(sl_str token, sl_str rest)
{
    if ((!is(token, "dev") && !sl_str_eqc(token, "\"dev\"")) || !is(sl_sql_token(&rest), "."))
        return false;
    return sl_sql_token(&rest).n > 0 && is(sl_sql_token(&rest), ".");
}

/* pg_catalog.svv_tables: DuckDB's own pg_catalog has none of Redshift's. */
static bool is_of_redshift(sl_str token, sl_str rest)
{
    static const char *const beginnings[] = { "svv_", "stv_", "stl_", "svl_", "sys_", "pg_table_def", "pg_rewrite" };
    if ((!is(token, "pg_catalog") && !sl_str_eqc(token, "\"pg_catalog\"")) || !is(sl_sql_token(&rest), "."))
        return false;
    sl_str view = sl_sql_token(&rest);
    for (size_t i = 0; i < SL_COUNT(beginnings); i++)
        if (is(sl_str_sub(view, 0, strlen(beginnings[i])), beginnings[i]))
            return true;
    return false;
}

/* information_schema.tables and its like. */
static bool is_information(sl_str token, sl_str rest)
{
    static const char *const views[] = { "tables", "views", "columns", "schemata" };
    if ((!is(token, "information_schema") && !sl_str_eqc(token, "\"information_schema\"")) || !is(sl_sql_token(&rest), "."))
        return false;
    sl_str view = sl_sql_token(&rest);
    for (size_t i = 0; i < SL_COUNT(views); i++)
        if (is(view, views[i]))
            return true;
    return false;
}

/* A type or function under its name in DuckDB; .n == 0: it has the same. */
static sl_str renamed(sl_str token, sl_str *rest, bool definition)
{
    static const char *const functions[][2] = { { "NVL", "coalesce" }, { "LEN", "length" }, { "DECODE", "rs_decode" }, { "REGEXP_REPLACE", "rs_regexp_replace" },
                                                { "TO_HEX", "rs_to_hex" }, { "JSON_EXTRACT_PATH_TEXT", "rs_json_path" }, { "DATE_TRUNC", "rs_datetrunc" }, { "LAST_DAY", "rs_last_day" },
                                                { "REPLICATE", "repeat" }, { "FUNC_SHA1", "sha1" }, { "SHA", "sha1" }, { "MOD", "rs_mod" }, { "ISNULL", "coalesce" }, { "CONCAT", "rs_concat" }, { "LPAD", "rs_lpad" }, { "RPAD", "rs_rpad" }, { "OCTET_LENGTH", "strlen" } };
    bool call = is(peek(*rest), "(");
    if ((is(token, "GETDATE") && call) || is(token, "SYSDATE")) {
        if (call)
            sl_redshift_skip_list(rest);
        return SL_S("(current_timestamp AT TIME ZONE 'UTC')");
    }
    for (size_t i = 0; i < SL_COUNT(functions); i++)
        if (call && is(token, functions[i][0]))
            return sl_str_c(functions[i][1]);
    if (is(token, "VERSION") && call) {
        sl_redshift_skip_list(rest);
        return SL_S("'PostgreSQL 8.0.2, Redshift 1.0 (the local cloud of Sluice)'");
    }
    if (is(token, "CURRENT_SCHEMA") && call) {
        sl_redshift_skip_list(rest);
        return SL_S("replace(current_schema(), 'main', 'public')");
    }
    if ((is(token, "public") || sl_str_eqc(token, "\"public\"")) && is(peek(*rest), "."))
        return SL_S("main");
    if (is_of_redshift(token, *rest))
        return SL_S("main");
    if (is_information(token, *rest))
        return SL_S(SL_REDSHIFT_INFORMATION);
    if (is(token, "CURRENT_DATABASE") && call) {
        sl_redshift_skip_list(rest);
        return SL_S("'dev'");
    }
    if ((is(token, "CURRENT_USER") || is(token, "SESSION_USER")) && !call)
        return SL_S("'local'");
    if (is(token, "FLOAT") || is(token, "FLOAT8")) /* eight bytes there, four here */
        return SL_S("double");
    if (definition && is(token, "SUPER"))
        return SL_S("json");
    if (is(token, "VARCHAR") && call) {
        sl_str after = *rest;
        (void)sl_sql_token(&after);
        if (is(sl_sql_token(&after), "MAX")) {
            sl_redshift_skip_list(rest);
            return SL_S("varchar");
        }
    }
    return SL_S("");
}

/* A number with its sign. */
static bool number_of(sl_arena *a, sl_str *rest, int64_t *ret)
{
    sl_str token = sl_sql_token(rest);
    bool minus = is(token, "-");
    if (minus)
        token = sl_sql_token(rest);
    return sl_parse_int(minus ? sl_fmt(a, "-%.*s", SL_ARG(token)) : token, ret);
}

/* IDENTITY(seed, step), or GENERATED BY DEFAULT AS IDENTITY(…): the next value of a sequence of its own. */
static bool identity(sl_redshift_session *s, sl_arena *a, sl_str token, sl_str *rest, sl_str *ret, sl_err *err)
{
    static _Atomic unsigned next;
    int64_t seed = 0, step = 0;
    while (token.n > 0 && !is(token, "IDENTITY"))
        token = sl_sql_token(rest);
    bool good = is(sl_sql_token(rest), "(") && number_of(a, rest, &seed) && is(sl_sql_token(rest), ",") && number_of(a, rest, &step) && is(sl_sql_token(rest), ")");
    if (!good || step == 0)
        return sl_err_set(err, SL_ERR_DATA, "pg.42601", "IDENTITY needs a seed and a step: IDENTITY(1, 1)");
    sl_str name = sl_fmt(a, SL_REDSHIFT_IDENTITY "%llx_%u", (unsigned long long)sl_now_ms(), next++);
    *ret = sl_fmt(a, "DEFAULT nextval('%.*s')", SL_ARG(name));
    const char *bound = step > 0 ? "MAXVALUE 9223372036854775807" : "MINVALUE -9223372036854775808 MAXVALUE 9223372036854775807";
    return sl_duck_exec(s->con, sl_fmt(a, "CREATE SEQUENCE %.*s START WITH %lld INCREMENT BY %lld %s%s", SL_ARG(name), (long long)seed, (long long)step, seed < 1 && step > 0 ? "MINVALUE -9223372036854775808 " : "", bound).p, err);
}

/* Names have no upper case there, not even quoted ones. */
static void add_folded(sl_buf *b, sl_str token)
{
    bool name = token.p[0] != '\'' && token.p[0] != '$';
    for (size_t i = 0; i < token.n; i++)
        sl_buf_char(b, name && token.p[i] >= 'A' && token.p[i] <= 'Z' ? (char)(token.p[i] + 32) : token.p[i]);
}

bool sl_redshift_rewrite(sl_redshift_session *s, sl_arena *a, sl_str statement, sl_str *ret, sl_err *err)
{
    sl_buf b = sl_buf_new(a, SIZE_MAX / 4);
    statement = sl_redshift_literals(a, statement);
    if (!sl_redshift_whole(s, a, statement, ret, err) || ret->n > 0)
        return ret->n > 0;
    if (!sl_redshift_table(s, a, statement, &statement, err))
        return false;
    statement = sl_redshift_shape(a, sl_redshift_casts(a, sl_redshift_names(a, sl_redshift_unnest(a, statement))));
    sl_str rest = statement, token, first = peek(statement);
    bool definition = is(first, "CREATE") || is(first, "ALTER");
    /* Nothing to do here; and there is one user, who may do all. */
    sl_str behind = statement;
    (void)sl_sql_token(&behind);
    bool user = (definition || is(first, "DROP")) && (is(peek(behind), "USER") || is(peek(behind), "GROUP") || is(peek(behind), "ROLE"));
    if (is(first, "VACUUM") || is(first, "ANALYZE") || is(first, "GRANT") || is(first, "REVOKE") || user) {
        *ret = SL_REDSHIFT_NOTHING;
        return true;
    }
    while ((token = sl_sql_token(&rest)).n > 0) {
        if (definition && attribute(token, &rest))
            continue;
        if (in_database(token, rest)) {
            (void)sl_sql_token(&rest);
            sl_buf_char(&b, ' ');
            continue;
        }
        sl_str other = renamed(token, &rest, definition);
        if (definition && ((is(token, "IDENTITY") && is(peek(rest), "(")) || is(token, "GENERATED"))) {
            if (!identity(s, a, token, &rest, &other, err))
                return false;
        }
        if (is(token, "AT") && !is(peek(rest), "TIME")) /* a name, where it is not AT TIME ZONE */
            other = SL_S("\"at\"");
        if (is(token, "PG_BACKEND_PID") && is(peek(rest), "(")) {
            sl_redshift_skip_list(&rest);
            other = sl_fmt(a, "%d", s->pid);
        } else if (is(token, "PG_LAST_COPY_COUNT") && is(peek(rest), "(")) {
            sl_redshift_skip_list(&rest);
            other = sl_fmt(a, "%lld", (long long)s->copied);
        }
        /* Blanks between all tokens, but not where DuckDB reads them as one: a.b, ::, <=, 1.5. */
        bool gap = b.n > 0 && token.p > statement.p && strchr(" \t\r\n\f/", token.p[-1]) != NULL;
        sl_buf_addc(&b, gap ? " " : "");
        if (other.n > 0)
            sl_buf_add(&b, other);
        else
            add_folded(&b, token);
    }
    *ret = sl_buf_str(&b);
    return true;
}
