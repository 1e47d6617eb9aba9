/*
 * local/redshift_sql.c: what Redshift's SQL has and DuckDB's has not: attributes of distribution and order are left out, some
 * types and functions have other names. What cannot be done here is an error, not a silence.
 */
#include "base/arena.h"
#include "base/sql.h"
#include "local/redshift_words.h"

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

/* (…), if that is what comes next. */
static void skip_list(sl_str *rest)
{
    int depth = 0;
    if (!is(peek(*rest), "("))
        return;
    do {
        sl_str token = sl_sql_token(rest);
        depth += is(token, "(") - is(token, ")");
        if (token.n == 0)
            return;
    } while (depth > 0);
}

/* DISTKEY(a), ENCODE zstd, COMPOUND SORTKEY (a, b), …: taken, and gone. */
static bool attribute(sl_str token, sl_str *rest)
{
    if (is(token, "DISTKEY") || is(token, "SORTKEY")) {
        if (is(token, "SORTKEY") && is(peek(*rest), "AUTO"))
            (void)sl_sql_token(rest);
        skip_list(rest);
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

/* A type or function under its name in DuckDB; .n == 0: it has the same. */
static sl_str renamed(sl_str token, sl_str *rest, bool definition)
{
    static const char *const functions[][2] = { { "NVL", "coalesce" }, { "LEN", "length" }, { "CHARINDEX", "instr" } };
    bool call = is(peek(*rest), "(");
    if ((is(token, "GETDATE") && call) || is(token, "SYSDATE")) {
        if (call)
            skip_list(rest);
        return SL_S("(current_timestamp AT TIME ZONE 'UTC')");
    }
    for (size_t i = 0; i < SL_COUNT(functions); i++)
        if (call && is(token, functions[i][0]))
            return sl_str_c(functions[i][1]);
    if (is(token, "FLOAT") || is(token, "FLOAT8")) /* eight bytes there, four here */
        return SL_S("double");
    if (definition && is(token, "SUPER"))
        return SL_S("json");
    if (is(token, "VARCHAR") && call) {
        sl_str after = *rest;
        (void)sl_sql_token(&after);
        if (is(sl_sql_token(&after), "MAX")) {
            skip_list(rest);
            return SL_S("varchar");
        }
    }
    return SL_S("");
}

static bool refused(sl_arena *a, sl_str statement, sl_err *err)
{
    sl_str rest = statement, first = sl_sql_token(&rest), second = sl_sql_token(&rest);
    (void)a;
    if ((is(first, "ALTER") && is(second, "EXTERNAL")) || is(first, "GRANT") || is(first, "REVOKE"))
        return sl_err_set(err, SL_ERR_CONFIG, "pg.0A000", "the local Redshift does not know %.*s%s", SL_ARG(first), is(first, "ALTER") ? " EXTERNAL" : "");
    return true;
}

bool sl_redshift_rewrite(sl_redshift_session *s, sl_arena *a, sl_str statement, sl_str *ret, sl_err *err)
{
    sl_buf b = sl_buf_new(a, SIZE_MAX / 4);
    sl_str rest = statement, token, first = peek(statement);
    bool definition = is(first, "CREATE") || is(first, "ALTER");
    if (!refused(a, statement, err))
        return false;
    if (is(first, "VACUUM") || is(first, "ANALYZE")) { /* nothing to do here */
        *ret = SL_S("CHECKPOINT");
        return true;
    }
    while ((token = sl_sql_token(&rest)).n > 0) {
        if (definition && attribute(token, &rest))
            continue;
        if (definition && is(token, "IDENTITY") && is(peek(rest), "("))
            return sl_err_set(err, SL_ERR_CONFIG, "pg.0A000", "the local Redshift has no IDENTITY columns");
        sl_str other = renamed(token, &rest, definition);
        if (is(token, "PG_BACKEND_PID") && is(peek(rest), "(")) {
            skip_list(&rest);
            other = sl_fmt(a, "%d", s->pid);
        } else if (is(token, "PG_LAST_COPY_COUNT") && is(peek(rest), "(")) {
            skip_list(&rest);
            other = sl_fmt(a, "%lld", (long long)s->copied);
        }
        /* Blanks between all tokens, but not where DuckDB reads them as one: a.b, ::, <=, 1.5. */
        bool gap = b.n > 0 && token.p > statement.p && strchr(" \t\r\n\f/", token.p[-1]) != NULL;
        sl_buf_fmt(&b, "%s%.*s", gap ? " " : "", SL_ARG(other.n ? other : token));
    }
    *ret = sl_buf_str(&b);
    return true;
}
