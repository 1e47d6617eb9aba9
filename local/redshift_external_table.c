/*
 * local/redshift_external_table.c: CREATE EXTERNAL TABLE as a structure.
 * Source: https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_EXTERNAL_TABLE.html
 */
#include "base/arena.h"
#include "base/sql.h"
#include "local/redshift_external.h"

bool sl_external_syntax(const char *what, sl_str token, sl_err *err)
{
    return sl_err_set(err, SL_ERR_DATA, "pg.42601", "syntax error at or near \"%.*s\": %s is expected", SL_ARG(token), what);
}

bool sl_external_take(sl_str *rest, const char *word, sl_err *err)
{
    sl_str token = sl_sql_token(rest);
    return is(token, word) || sl_external_syntax(word, token, err);
}

bool sl_external_taken(sl_str *rest, const char *word)
{
    sl_str after = *rest;
    if (!is(sl_sql_token(&after), word))
        return false;
    *rest = after;
    return true;
}

sl_str sl_external_name(sl_arena *a, sl_str token)
{
    return sl_str_lower(a, sl_str_replace(a, token, SL_S("\""), SL_S("")));
}

/* name type, … ) */
static bool columns(sl_external *x, sl_str *rest, sl_err *err)
{
    for (;;) {
        sl_str token = sl_sql_token(rest), name = sl_external_name(x->a, token);
        sl_buf type = sl_buf_new(x->a, 256);
        int depth = 0;
        while ((token = sl_sql_token(rest)).n > 0 && (depth > 0 || (!is(token, ",") && !is(token, ")")))) {
            depth += is(token, "(") - is(token, ")");
            bool tight = type.n == 0 || strchr("(),", token.p[0]) != NULL || type.p[type.n - 1] == '(' || type.p[type.n - 1] == ',';
            sl_buf_fmt(&type, "%s%.*s", tight ? "" : " ", SL_ARG(token));
        }
        if (name.n == 0 || type.n == 0 || token.n == 0 || x->count == SL_EXTERNAL_COLUMNS_MAX)
            return sl_external_syntax("a column's name and type", token.n ? token : name, err);
        sl_str t = sl_buf_str(&type);
        x->columns[x->count++] = (sl_external_column){ name, is(t, "FLOAT") ? SL_S("double") : is(t, "STRING") ? SL_S("varchar") : t };
        if (is(token, ")"))
            return true;
    }
}

/* \t, \001, or what it is. */
static sl_str separator(sl_external *x, sl_str text)
{
    char c = 0;
    if (sl_str_eqc(text, "\\t"))
        return SL_S("\t");
    if (text.n != 4 || text.p[0] != '\\')
        return text;
    for (size_t i = 1; i < 4; i++)
        c = (char)(c * 8 + (text.p[i] - '0'));
    return sl_str_dup(x->a, (sl_str){ &c, 1 });
}

/* ('key'='value', …): those that we know. */
static bool properties(sl_external *x, sl_str *rest, sl_err *err)
{
    if (!sl_external_take(rest, "(", err))
        return false;
    for (sl_str token; !is(token = sl_sql_token(rest), ")");) {
        sl_str key = sl_redshift_unquoted(x->a, token), value;
        if (is(token, ","))
            continue;
        if (!sl_external_take(rest, "=", err))
            return false;
        value = sl_redshift_unquoted(x->a, sl_sql_token(rest));
        if (is(key, "skip.header.line.count") && !sl_parse_int(value, &x->skip))
            return sl_err_set(err, SL_ERR_DATA, "pg.22023", "'skip.header.line.count' is '%.*s', not a number", SL_ARG(value));
        if (is(key, "separatorChar") || is(key, "field.delim"))
            x->delimiter = separator(x, value);
        else if (is(key, "quoteChar"))
            x->quote = value;
        else if (is(key, "escapeChar"))
            x->escape = sl_str_eqc(value, "\\\\") ? SL_S("\\") : value;
    }
    return true;
}

static bool row_format(sl_external *x, sl_str *rest, sl_err *err)
{
    if (!sl_external_take(rest, "FORMAT", err))
        return false;
    if (sl_external_taken(rest, "DELIMITED")) {
        while (sl_external_taken(rest, "FIELDS") || sl_external_taken(rest, "LINES")) {
            bool fields = x->delimiter.n == 0;
            if (!sl_external_take(rest, "TERMINATED", err) || !sl_external_take(rest, "BY", err))
                return false;
            sl_str text = separator(x, sl_redshift_unquoted(x->a, sl_sql_token(rest)));
            x->delimiter = fields ? text : x->delimiter;
        }
        return true;
    }
    if (!sl_external_take(rest, "SERDE", err))
        return false;
    sl_str serde = sl_redshift_unquoted(x->a, sl_sql_token(rest));
    if (sl_str_find(serde, SL_S("OpenCSVSerde")) >= 0) {
        x->delimiter = SL_S(",");
        x->quote = SL_S("\"");
        x->escape = SL_S("\\");
    } else if (sl_str_find(serde, SL_S("LazySimpleSerDe")) < 0 && sl_str_find(serde, SL_S("ParquetHiveSerDe")) < 0)
        return sl_err_set(err, SL_ERR_CONFIG, "pg.0A000", "the local Redshift does not know the SERDE '%.*s'", SL_ARG(serde));
    return !sl_external_taken(rest, "WITH") || (sl_external_take(rest, "SERDEPROPERTIES", err) && properties(x, rest, err));
}

/* Behind CREATE EXTERNAL TABLE. */
bool sl_external_parse(sl_external *x, sl_str *rest, sl_err *err)
{
    sl_str token;
    x->schema = sl_external_name(x->a, sl_sql_token(rest));
    x->columns = SL_ARRAY(x->a, sl_external_column, SL_EXTERNAL_COLUMNS_MAX);
    if (!sl_external_take(rest, ".", err))
        return false;
    x->table = sl_external_name(x->a, sl_sql_token(rest));
    if (!sl_external_take(rest, "(", err) || !columns(x, rest, err))
        return false;
    size_t own = x->count;
    while ((token = sl_sql_token(rest)).n > 0) {
        bool ok = true;
        if (is(token, "PARTITIONED"))
            ok = sl_external_take(rest, "BY", err) && sl_external_take(rest, "(", err) && columns(x, rest, err);
        else if (is(token, "ROW"))
            ok = row_format(x, rest, err);
        else if (is(token, "STORED")) {
            ok = sl_external_take(rest, "AS", err);
            x->format = sl_str_upper(x->a, sl_sql_token(rest));
        } else if (is(token, "LOCATION"))
            x->location = sl_redshift_unquoted(x->a, sl_sql_token(rest));
        else if (is(token, "TABLE"))
            ok = sl_external_take(rest, "PROPERTIES", err) && properties(x, rest, err);
        else
            ok = sl_external_syntax("PARTITIONED BY, ROW FORMAT, STORED AS, LOCATION or TABLE PROPERTIES", token, err);
        if (!ok)
            return false;
    }
    x->parts = x->count - own;
    if (!is(x->format, "TEXTFILE") && !is(x->format, "PARQUET"))
        return sl_err_set(err, SL_ERR_CONFIG, "pg.0A000", "the local Redshift knows external tables STORED AS TEXTFILE and PARQUET, not '%.*s'", SL_ARG(x->format));
    return x->location.n > 0 || sl_external_syntax("LOCATION", SL_S(";"), err);
}
