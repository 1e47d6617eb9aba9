/* local/gsql_type.c: types of both sides, both ways. */
#include "base/arena.h"
#include "local/gsql.h"

static const struct {
    const char *google, *legacy, *duck;
} types[] = {
    { "INT64", "INTEGER", "BIGINT" },        { "INTEGER", "INTEGER", "BIGINT" },    { "INT", "INTEGER", "BIGINT" },           { "SMALLINT", "INTEGER", "BIGINT" },
    { "BIGINT", "INTEGER", "BIGINT" },       { "TINYINT", "INTEGER", "BIGINT" },    { "BYTEINT", "INTEGER", "BIGINT" },       { "FLOAT64", "FLOAT", "DOUBLE" },
    { "FLOAT", "FLOAT", "DOUBLE" },          { "NUMERIC", "NUMERIC", "DECIMAL(38,9)" }, { "DECIMAL", "NUMERIC", "DECIMAL(38,9)" }, { "BIGNUMERIC", "BIGNUMERIC", "DECIMAL(38,18)" },
    { "BIGDECIMAL", "BIGNUMERIC", "DECIMAL(38,18)" }, { "BOOL", "BOOLEAN", "BOOLEAN" }, { "BOOLEAN", "BOOLEAN", "BOOLEAN" },  { "STRING", "STRING", "VARCHAR" },
    { "BYTES", "BYTES", "BLOB" },            { "DATE", "DATE", "DATE" },            { "TIME", "TIME", "TIME" },               { "DATETIME", "DATETIME", "TIMESTAMP" },
    { "TIMESTAMP", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE" }, { "JSON", "JSON", "JSON" }, { "INTERVAL", "INTERVAL", "INTERVAL" }, { "GEOGRAPHY", "GEOGRAPHY", "VARCHAR" },
};

static const sl_val *field(sl_arena *a, sl_str name, const char *type, const char *mode)
{
    sl_val *f = sl_map(a);
    sl_map_set_str(a, f, "name", name);
    sl_map_set_str(a, f, "type", sl_str_c(type));
    sl_map_set_str(a, f, "mode", sl_str_c(mode));
    return f;
}

static bool struct_type(gs_context *x, const gs_token *t, size_t n, size_t *i, sl_str *duck, const sl_val **ret)
{
    sl_buf b = sl_buf_new(x->arena, 1 << 16);
    sl_val *fields = sl_list(x->arena);
    sl_buf_addc(&b, "STRUCT(");
    while (*i < n && !gs_op(&t[*i], ">")) {
        sl_str name = t[*i].text, inner;
        const sl_val *f;
        (*i)++;
        if (!gs_type(x, t, n, i, &inner, &f))
            return false;
        sl_val *named = sl_map_shallow(x->arena, f);
        sl_map_set_str(x->arena, named, "name", name);
        sl_list_add(x->arena, fields, named);
        sl_buf_fmt(&b, "%s\"%.*s\" %.*s", fields->list.n > 1 ? ", " : "", SL_ARG(name), SL_ARG(inner));
        if (*i < n && gs_op(&t[*i], ","))
            (*i)++;
    }
    (*i)++;
    sl_buf_char(&b, ')');
    sl_val *f = (sl_val *)(uintptr_t)field(x->arena, SL_S(""), "RECORD", "NULLABLE");
    sl_map_setc(x->arena, f, "fields", fields);
    *duck = sl_buf_str(&b);
    *ret = f;
    return true;
}

bool gs_type(gs_context *x, const gs_token *t, size_t n, size_t *i, sl_str *duck, const sl_val **ret)
{
    if (*i >= n)
        return gs_fail(x, &t[n > 0 ? n - 1 : 0], "Syntax error: a type was expected");
    const gs_token *at = &t[*i];
    if (gs_is(at, "ARRAY") && *i + 1 < n && gs_op(&t[*i + 1], "<")) {
        sl_str inner;
        const sl_val *f;
        *i += 2;
        if (!gs_type(x, t, n, i, &inner, &f))
            return false;
        (*i)++;
        sl_val *repeated = sl_map_shallow(x->arena, f);
        sl_map_set_str(x->arena, repeated, "mode", SL_S("REPEATED"));
        *ret = repeated;
        *duck = sl_fmt(x->arena, "%.*s[]", SL_ARG(inner));
        return true;
    }
    if (gs_is(at, "STRUCT") && *i + 1 < n && gs_op(&t[*i + 1], "<")) {
        *i += 2;
        return struct_type(x, t, n, i, duck, ret);
    }
    for (size_t k = 0; k < SL_COUNT(types); k++) {
        if (!gs_is(at, types[k].google))
            continue;
        (*i)++;
        *duck = sl_str_c(types[k].duck);
        *ret = field(x->arena, SL_S(""), types[k].legacy, "NULLABLE");
        if (*i < n && gs_op(&t[*i], "(")) { /* STRING(10), NUMERIC(10, 2): the limits are not enforced here */
            size_t close = gs_close(t, n, *i);
            *i = close;
        }
        return true;
    }
    return gs_fail(x, at, "Type not found: %.*s", SL_ARG(at->text));
}

/* Splits at commas outside of brackets. */
static size_t next_part(sl_str s, size_t from)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = from; i < s.n; i++) {
        char c = s.p[i];
        quoted ^= c == '"';
        depth += !quoted && c == '(';
        depth -= !quoted && c == ')';
        if (c == ',' && depth == 0 && !quoted)
            return i;
    }
    return s.n;
}

static const sl_val *struct_fields(sl_arena *a, sl_str inside)
{
    sl_val *fields = sl_list(a);
    for (size_t from = 0; from < inside.n;) {
        size_t to = next_part(inside, from);
        sl_str part = sl_str_trim(sl_str_sub(inside, from, to)), name, type;
        if (part.n > 0 && part.p[0] == '"') {
            ptrdiff_t end = sl_str_find(sl_str_sub(part, 1, part.n), SL_S("\""));
            name = sl_str_sub(part, 1, 1 + (size_t)end);
            type = sl_str_trim(sl_str_sub(part, (size_t)end + 2, part.n));
        } else {
            ptrdiff_t blank = sl_str_find(part, SL_S(" "));
            name = sl_str_sub(part, 0, blank < 0 ? part.n : (size_t)blank);
            type = sl_str_trim(sl_str_sub(part, blank < 0 ? part.n : (size_t)blank, part.n));
        }
        sl_list_add(a, fields, gs_field_of(a, name, type));
        from = to + 1;
    }
    return fields;
}

const sl_val *gs_field_of(sl_arena *a, sl_str name, sl_str duck)
{
    static const struct {
        const char *duck, *google;
    } back[] = {
        { "VARCHAR", "STRING" }, { "BIGINT", "INTEGER" }, { "INTEGER", "INTEGER" }, { "SMALLINT", "INTEGER" }, { "TINYINT", "INTEGER" }, { "UBIGINT", "INTEGER" }, { "UINTEGER", "INTEGER" },
        { "HUGEINT", "INTEGER" }, { "USMALLINT", "INTEGER" }, { "UTINYINT", "INTEGER" }, { "DOUBLE", "FLOAT" }, { "FLOAT", "FLOAT" }, { "BOOLEAN", "BOOLEAN" }, { "BLOB", "BYTES" }, { "DATE", "DATE" },
        { "TIME", "TIME" }, { "TIMESTAMP WITH TIME ZONE", "TIMESTAMP" }, { "TIMESTAMP", "DATETIME" }, { "TIMESTAMP_NS", "DATETIME" }, { "JSON", "JSON" }, { "INTERVAL", "INTERVAL" }, { "UUID", "STRING" },
    };
    if (sl_str_ends(duck, SL_S("[]"))) {
        sl_val *f = sl_map_shallow(a, gs_field_of(a, name, sl_str_sub(duck, 0, duck.n - 2)));
        sl_map_set_str(a, f, "mode", SL_S("REPEATED"));
        return f;
    }
    if (sl_str_starts(duck, SL_S("STRUCT("))) {
        sl_val *f = (sl_val *)(uintptr_t)field(a, name, "RECORD", "NULLABLE");
        sl_map_setc(a, f, "fields", struct_fields(a, sl_str_sub(duck, 7, duck.n - 1)));
        return f;
    }
    if (sl_str_starts(duck, SL_S("DECIMAL(")))
        return field(a, name, sl_str_ends(duck, SL_S(",18)")) ? "BIGNUMERIC" : "NUMERIC", "NULLABLE");
    for (size_t i = 0; i < SL_COUNT(back); i++)
        if (sl_str_eqc(duck, back[i].duck))
            return field(a, name, back[i].google, "NULLABLE");
    return field(a, name, "STRING", "NULLABLE");
}

sl_str gs_duck_type(sl_arena *a, const sl_val *f)
{
    sl_str type = sl_get_text(f, "type"), out = SL_S("VARCHAR");
    if (sl_str_eqc(type, "RECORD") || sl_str_eqc(type, "STRUCT")) {
        sl_buf b = sl_buf_new(a, 1 << 16);
        const sl_val *fields = sl_get(f, "fields");
        sl_buf_addc(&b, "STRUCT(");
        for (size_t i = 0; i < sl_val_count(fields); i++)
            sl_buf_fmt(&b, "%s\"%.*s\" %.*s", i ? ", " : "", SL_ARG(sl_get_text(sl_at(fields, i), "name")), SL_ARG(gs_duck_type(a, sl_at(fields, i))));
        sl_buf_char(&b, ')');
        out = sl_buf_str(&b);
    }
    for (size_t i = 0; i < SL_COUNT(types); i++)
        if (sl_str_ieq(type, sl_str_c(types[i].google)))
            out = sl_str_c(types[i].duck);
    return sl_str_eqc(sl_get_text(f, "mode"), "REPEATED") ? sl_fmt(a, "%.*s[]", SL_ARG(out)) : out;
}
