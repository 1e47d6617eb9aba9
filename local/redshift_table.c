/*
 * local/redshift_table.c: definitions of tables: lengths of text become checks, keys are taken and not enforced, LIKE brings the columns.
 * Sources: https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_TABLE_NEW.html, …/r_Character_types.html, …/r_ALTER_TABLE.html
 *
 * DuckDB's VARCHAR has no length. Its checks hold for INSERT, UPDATE, MERGE and COPY alike; its catalog is where the lengths are kept.
 */
#include "local/redshift_table.h"

#include "base/arena.h"
#include "base/sql.h"

enum { SQL_MAX = 1 << 24, LENGTH_DEFAULT = 256, VARCHAR_MAX = 65535, CHAR_MAX_LENGTH = 4096 };

/* ---- types of text ---- */

static bool length_of(sl_str *rest, sl_redshift_text *ret, sl_err *err)
{
    sl_str ahead = *rest, number;
    int64_t most = ret->fixed ? CHAR_MAX_LENGTH : VARCHAR_MAX;
    if (!is(sl_sql_token(&ahead), "("))
        return true;
    number = sl_sql_token(&ahead);
    bool max = is(number, "MAX");
    if ((!max && !sl_parse_int(number, &ret->length)) || !is(sl_sql_token(&ahead), ")"))
        return true; /* DuckDB says what is wrong with it */
    *rest = ahead;
    if (max)
        ret->length = most;
    if (ret->length < 1)
        return sl_err_set(err, SL_ERR_DATA, "pg.22023", "length for type %s must be at least 1", ret->fixed ? "char" : "varchar");
    return ret->length <= most || sl_err_set(err, SL_ERR_DATA, "pg.22023", "length for type %s cannot exceed %lld", ret->fixed ? "char" : "varchar", (long long)most);
}

bool sl_redshift_text_type(sl_str *rest, sl_redshift_text *ret, sl_err *err)
{
    static const char *const varying[] = { "VARCHAR", "NVARCHAR", "TEXT" }, *const fixed[] = { "CHAR", "CHARACTER", "NCHAR", "BPCHAR" };
    sl_str ahead = *rest, word = sl_sql_token(&ahead), behind = ahead;
    *ret = (sl_redshift_text){ 0 };
    for (size_t i = 0; i < SL_COUNT(varying); i++)
        if (is(word, varying[i]))
            ret->length = LENGTH_DEFAULT;
    for (size_t i = 0; i < SL_COUNT(fixed); i++)
        if (is(word, fixed[i]))
            *ret = (sl_redshift_text){ is(word, "BPCHAR") ? LENGTH_DEFAULT : 1, true };
    if (ret->length == 0)
        return true;
    if (ret->fixed && is(sl_sql_token(&behind), "VARYING")) {
        *ret = (sl_redshift_text){ LENGTH_DEFAULT, false };
        ahead = behind;
    }
    *rest = ahead;
    return length_of(rest, ret, err);
}

/* Blanks at the end that are too many are no error there. */
static sl_str check_of(sl_arena *a, sl_str name, sl_redshift_text t)
{
    sl_str more = t.fixed ? sl_fmt(a, " AND strlen(%.*s) = length(%.*s)", SL_ARG(name), SL_ARG(name)) : SL_S("");
    return sl_fmt(a, "CHECK (strlen(rtrim(%.*s, ' ')) <= %lld%.*s)", SL_ARG(name), (long long)t.length, SL_ARG(more));
}

bool sl_redshift_too_long(const char *message, sl_redshift_text *ret)
{
    const char *check = strstr(message, "CHECK constraint failed"), *number = check ? strstr(check, "<= ") : NULL;
    if (number == NULL || strstr(check, "strlen(rtrim(") == NULL)
        return false;
    *ret = (sl_redshift_text){ strtoll(number + 3, NULL, 10), strstr(number, " AND ") != NULL };
    return true;
}

sl_str sl_redshift_text_name(sl_arena *a, sl_redshift_text t)
{
    return sl_fmt(a, "%s(%lld)", t.fixed ? "character" : "character varying", (long long)t.length);
}

/* ---- items of a definition ---- */

static bool same_name(sl_arena *a, sl_str x, sl_str y)
{
    return sl_str_ieq(sl_str_replace(a, x, SL_S("\""), SL_S("")), sl_str_replace(a, y, SL_S("\""), SL_S("")));
}

/* PRIMARY KEY (a, b), UNIQUE (…), FOREIGN KEY (…) REFERENCES …, with or without a name. keys: the columns of the first. */
static bool is_key(sl_arena *a, sl_str item, sl_val *keys)
{
    sl_str rest = item, word = sl_sql_token(&rest);
    bool last = false;
    if (is(word, "CONSTRAINT")) {
        (void)sl_sql_token(&rest);
        word = sl_sql_token(&rest);
    }
    if (is(word, "UNIQUE") || is(word, "FOREIGN"))
        return true;
    if (!is(word, "PRIMARY") || !is(sl_sql_token(&rest), "KEY") || !is(sl_sql_token(&rest), "("))
        return false;
    while (!last)
        sl_list_add(a, keys, sl_val_str(a, sl_redshift_item(&rest, &last)));
    return true;
}

/* PRIMARY KEY, UNIQUE, REFERENCES t (c), CONSTRAINT name behind a column: gone. Is it one? */
static bool key_of_column(sl_str token, sl_str *rest, bool *primary)
{
    if (is(token, "CONSTRAINT"))
        (void)sl_sql_token(rest);
    else if (is(token, "PRIMARY")) {
        (void)sl_sql_token(rest);
        *primary = true;
    } else if (is(token, "REFERENCES")) {
        for (sl_str ahead = *rest; *rest = ahead, sl_sql_token(&ahead).n > 0;) {
            *rest = ahead;
            if (!is(sl_sql_token(&ahead), "."))
                break;
        }
        sl_redshift_skip_list(rest);
    } else
        return is(token, "UNIQUE");
    return true;
}

/* name type [attributes], and its check behind a comma. */
static bool column(sl_arena *a, sl_str item, const sl_val *keys, sl_buf *b, sl_err *err)
{
    sl_str rest = item, name = sl_sql_token(&rest), token;
    sl_redshift_text type;
    bool primary = false, not_null = false;
    int depth = 0;
    if (!sl_redshift_text_type(&rest, &type, err))
        return false;
    sl_buf_fmt(b, "%.*s%s", SL_ARG(name), type.length > 0 ? " varchar" : "");
    while ((token = sl_sql_token(&rest)).n > 0) {
        depth += is(token, "(") - is(token, ")");
        if (depth == 0 && key_of_column(token, &rest, &primary))
            continue;
        sl_str ahead = rest;
        not_null |= depth == 0 && is(token, "NOT") && is(sl_sql_token(&ahead), "NULL");
        sl_buf_fmt(b, "%s%.*s", strchr(" \t\r\n\f/", token.p[-1]) ? " " : "", SL_ARG(token));
    }
    for (size_t i = 0; i < sl_val_count(keys); i++)
        primary |= same_name(a, name, sl_at(keys, i)->s);
    sl_buf_addc(b, primary && !not_null ? " NOT NULL" : "");
    if (type.length > 0)
        sl_buf_fmt(b, ", %s", check_of(a, name, type).p);
    return true;
}

/* LIKE table [INCLUDING DEFAULTS]: types, lengths and what may not be null. */
static bool like(sl_redshift_session *s, sl_arena *a, sl_str item, sl_buf *b, sl_err *err)
{
    sl_redshift_place from;
    const sl_val *columns, *checks;
    sl_str rest = item, table;
    (void)sl_sql_token(&rest);
    table = sl_redshift_take_table(&rest);
    bool defaults = is(sl_sql_token(&rest), "INCLUDING");
    if (!sl_redshift_find(s, a, table, &from, err))
        return false;
    sl_str sql = sl_fmt(a, "SELECT column_name, replace(data_type, 'FLOAT', 'REAL'), is_nullable, CASE WHEN column_default NOT LIKE '%%" SL_REDSHIFT_IDENTITY "%%' THEN column_default END FROM duckdb_columns() WHERE %s ORDER BY column_index",
                        sl_redshift_where(a, &from).p);
    if (!sl_duck_run(s->con, a, sql, &columns, NULL, err) || !sl_duck_run(s->con, a, sl_fmt(a, "SELECT constraint_text FROM duckdb_constraints() WHERE constraint_type = 'CHECK' AND %s", sl_redshift_where(a, &from).p), &checks, NULL, err))
        return false;
    for (size_t i = 0; i < sl_val_count(columns); i++) {
        const sl_val *c = sl_at(columns, i);
        sl_buf_fmt(b, "%s%s %s%s", i ? ", " : "", sl_duck_ident(a, sl_at(c, 0)->s).p, sl_cstr(a, sl_at(c, 1)->s), sl_str_eqc(sl_at(c, 2)->s, "false") ? " NOT NULL" : "");
        if (defaults && sl_is(sl_at(c, 3), SL_STRING))
            sl_buf_fmt(b, " DEFAULT %s", sl_cstr(a, sl_at(c, 3)->s));
    }
    for (size_t i = 0; i < sl_val_count(checks); i++)
        sl_buf_fmt(b, ", %s", sl_cstr(a, sl_at(sl_at(checks, i), 0)->s));
    return true;
}

/* CREATE [TEMP] TABLE [IF NOT EXISTS] name: where its brackets open; 0: it has none, or is another statement. */
static size_t definition(sl_str statement)
{
    sl_str rest = statement, word;
    if (!is(sl_sql_token(&rest), "CREATE"))
        return 0;
    do
        word = sl_sql_token(&rest);
    while (is(word, "LOCAL") || is(word, "TEMP") || is(word, "TEMPORARY"));
    sl_str ahead = rest;
    if (!is(word, "TABLE"))
        return 0;
    if (is(sl_sql_token(&ahead), "IF"))
        for (int i = 0; i < 3; i++)
            (void)sl_sql_token(&rest);
    (void)sl_redshift_take_table(&rest);
    word = sl_sql_token(&rest);
    return is(word, "(") ? (size_t)(word.p - statement.p) + 1 : 0;
}

bool sl_redshift_table(sl_redshift_session *s, sl_arena *a, sl_str statement, sl_str *ret, sl_err *err)
{
    size_t open = definition(statement);
    sl_val *keys = sl_list(a);
    sl_buf b = sl_buf_new(a, SQL_MAX);
    *ret = statement;
    if (open == 0)
        return true;
    bool last = false, any = false;
    for (sl_str rest = sl_str_sub(statement, open, statement.n); !last;)
        (void)is_key(a, sl_redshift_item(&rest, &last), keys);
    sl_buf_add(&b, sl_str_sub(statement, 0, open));
    sl_str rest = sl_str_sub(statement, open, statement.n);
    for (last = false; !last;) {
        sl_str item = sl_redshift_item(&rest, &last), ahead = item;
        if (is_key(a, item, keys))
            continue;
        sl_buf_addc(&b, any ? ", " : "");
        any = true;
        if (!(is(sl_sql_token(&ahead), "LIKE") ? like(s, a, item, &b, err) : column(a, item, keys, &b, err)))
            return false;
    }
    sl_buf_fmt(&b, ")%.*s", SL_ARG(rest));
    *ret = sl_buf_str(&b);
    return true;
}

/* ---- ALTER TABLE ---- */

/* DuckDB has no way to add or change a check: another table takes the rows, and the name. */
static void rebuild(sl_arena *a, const sl_redshift_place *t, sl_str items, sl_val *parts)
{
    sl_str schema = sl_fmt(a, "%s.%s", sl_duck_ident(a, t->database).p, sl_duck_ident(a, t->schema).p), name = sl_duck_ident(a, t->name);
    sl_list_add(a, parts, sl_val_str(a, sl_fmt(a, "CREATE TABLE %s.sl_new (%.*s)", schema.p, SL_ARG(items))));
    sl_list_add(a, parts, sl_val_str(a, sl_fmt(a, "INSERT INTO %s.sl_new BY NAME SELECT * FROM %s.%s", schema.p, schema.p, name.p)));
    sl_list_add(a, parts, sl_val_str(a, sl_fmt(a, "DROP TABLE %s.%s", schema.p, name.p)));
    sl_list_add(a, parts, sl_val_str(a, sl_fmt(a, "ALTER TABLE %s.sl_new RENAME TO %s", schema.p, name.p)));
}

/* What stands between the brackets of the table's CREATE TABLE. */
static sl_str items_of(const sl_redshift_place *t)
{
    sl_str rest = t->sql, token;
    while ((token = sl_sql_token(&rest)).n > 0 && !is(token, "("))
        continue;
    ptrdiff_t end = sl_str_rfind(rest, SL_S(")"));
    return end < 0 ? SL_S("") : sl_str_sub(rest, 0, (size_t)end);
}

/* [COLUMN] name text… */
static bool add_column(sl_redshift_session *s, sl_arena *a, sl_str table, sl_str rest, sl_val *parts, sl_err *err)
{
    static const char prefix[] = "ALTER TABLE x ADD COLUMN ";
    sl_redshift_place place;
    sl_redshift_text type;
    sl_str ahead = rest, items;
    sl_buf b = sl_buf_new(a, SQL_MAX);
    if (is(sl_sql_token(&ahead), "COLUMN"))
        rest = ahead;
    ahead = rest;
    (void)sl_sql_token(&ahead);
    if (!sl_redshift_text_type(&ahead, &type, err))
        return false;
    if (type.length == 0)
        return true;
    if (!sl_redshift_find(s, a, table, &place, err) || !column(a, rest, NULL, &b, err))
        return false;
    sl_str written = sl_buf_str(&b);
    if (!sl_redshift_rewrite(s, a, sl_fmt(a, "%s%.*s", prefix, SL_ARG(written)), &items, err))
        return false;
    sl_str before = items_of(&place), item = sl_str_sub(items, sizeof prefix - 1, items.n);
    rebuild(a, &place, sl_fmt(a, "%.*s, %.*s", SL_ARG(before), SL_ARG(item)), parts);
    return true;
}

/* COLUMN name TYPE text */
static bool alter_type(sl_redshift_session *s, sl_arena *a, sl_str table, sl_str rest, sl_val *parts, sl_err *err)
{
    sl_redshift_place place;
    sl_redshift_text type;
    const sl_val *found;
    sl_str name = sl_sql_token(&rest);
    if (is(name, "COLUMN"))
        name = sl_sql_token(&rest);
    if (!is(sl_sql_token(&rest), "TYPE"))
        return true;
    if (!sl_redshift_text_type(&rest, &type, err) || !sl_redshift_find(s, a, table, &place, err))
        return false;
    sl_str plain = sl_duck_text(a, sl_str_replace(a, name, SL_S("\""), SL_S(""))), where = sl_redshift_where(a, &place);
    sl_str sql = sl_fmt(a, "SELECT (SELECT data_type FROM duckdb_columns() WHERE %s AND lower(column_name) = lower(%s)), (SELECT constraint_text FROM duckdb_constraints() WHERE %s AND constraint_type = 'CHECK' AND lower(constraint_column_names[1]) = lower(%s))", where.p,
                        plain.p, where.p, plain.p);
    if (!sl_duck_run(s->con, a, sql, &found, NULL, err))
        return false;
    const sl_val *was = sl_at(sl_at(found, 0), 0), *check = sl_at(sl_at(found, 0), 1);
    if (!sl_is(was, SL_STRING))
        return sl_err_set(err, SL_ERR_NOT_FOUND, "pg.42703", "column \"%.*s\" of relation \"%.*s\" does not exist", SL_ARG(name), SL_ARG(place.name));
    if (type.length == 0 || type.fixed || !sl_str_eqc(was->s, "VARCHAR"))
        return sl_err_set(err, SL_ERR_CONFIG, "pg.0A000", "the type of column \"%.*s\" cannot change: Redshift changes lengths of VARCHAR columns only", SL_ARG(name));
    sl_str items = items_of(&place), now = check_of(a, name, type);
    items = sl_is(check, SL_STRING) ? sl_str_replace(a, items, check->s, now) : sl_fmt(a, "%.*s, %s", SL_ARG(items), now.p);
    rebuild(a, &place, items, parts);
    return true;
}

bool sl_redshift_alter_table(sl_redshift_session *s, sl_arena *a, sl_str table, sl_str action, sl_str rest, sl_val *parts, sl_err *err)
{
    sl_str ahead = rest, what = sl_sql_token(&ahead);
    bool key = is(what, "CONSTRAINT") || is(what, "PRIMARY") || is(what, "UNIQUE") || is(what, "FOREIGN");
    bool lies = is(what, "DISTKEY") || is(what, "SORTKEY") || is(what, "DISTSTYLE") || is(what, "COMPOUND") || is(what, "ENCODE");
    if (is(what, "COLUMN")) {
        (void)sl_sql_token(&ahead);
        lies = is(sl_sql_token(&ahead), "ENCODE");
    }
    if (((is(action, "ADD") || is(action, "DROP")) && key) || (is(action, "ALTER") && lies) || is(action, "OWNER")) { /* nothing to do here */
        sl_list_add(a, parts, sl_val_str(a, SL_REDSHIFT_NOTHING));
        return true;
    }
    return is(action, "ADD") ? add_column(s, a, table, rest, parts, err) : !is(action, "ALTER") || alter_type(s, a, table, rest, parts, err);
}
