/* local/gsql_clause.c: the parts of statements: words, names of tables, columns, OPTIONS, PARTITION BY. See gsql_parser.h. */
#include "base/arena.h"
#include "db/duck.h"
#include "local/gsql_parser.h"

bool gs_at_word(const gs_parser *p, const char *word)
{
    return p->i < p->n && gs_is(&p->t[p->i], word);
}

bool gs_take_word(gs_parser *p, const char *word)
{
    if (!gs_at_word(p, word))
        return false;
    p->i++;
    return true;
}

bool gs_at_end(gs_parser *p)
{
    return p->i >= p->n || gs_fail(p->x, &p->t[p->i], "Syntax error: Unexpected \"%.*s\"", SL_ARG(p->t[p->i].text));
}

bool gs_take_name(gs_parser *p, sl_str *duck)
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
static const sl_val *option_value(gs_parser *p, size_t from, size_t to)
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

bool gs_take_options(gs_parser *p, const sl_val **ret)
{
    return !gs_take_word(p, "OPTIONS") || gs_take_list(p, ret);
}

bool gs_take_list(gs_parser *p, const sl_val **ret)
{
    if (p->i >= p->n || !gs_op(&p->t[p->i], "("))
        return gs_fail(p->x, &p->t[p->i < p->n ? p->i : p->n - 1], "Syntax error: Expected \"(\" and name = value");
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

static bool take_column(gs_parser *p, size_t end, sl_val *columns, sl_buf *sql)
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
        if (gs_at_word(p, "OPTIONS")) {
            if (!gs_take_options(p, &options))
                return false;
            if (sl_get_text(options, "description").n > 0)
                sl_map_set_str(a, column, "description", sl_get_text(options, "description"));
        } else if (gs_take_word(p, "NOT")) {
            if (!gs_take_word(p, "NULL"))
                return gs_fail(p->x, &p->t[p->i], "Syntax error: Expected NULL after NOT");
            sl_map_set_str(a, column, "mode", SL_S("REQUIRED"));
            sl_buf_addc(sql, " NOT NULL");
        } else if (gs_take_word(p, "DEFAULT")) {
            size_t from = p->i;
            int depth = 0;
            while (p->i < end && !(depth == 0 && (gs_op(&p->t[p->i], ",") || gs_at_word(p, "OPTIONS") || gs_at_word(p, "NOT")))) {
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

bool gs_take_columns(gs_parser *p, sl_buf *sql)
{
    if (p->i >= p->n || !gs_op(&p->t[p->i], "("))
        return true;
    size_t end = gs_close(p->t, p->n, p->i) - 1;
    sl_val *columns = sl_list(p->x->arena);
    p->i++;
    sl_buf_addc(sql, " (");
    while (p->i < end) {
        /* PRIMARY KEY (…) NOT ENFORCED and the like say nothing that has to be kept. */
        if (gs_at_word(p, "PRIMARY") || gs_at_word(p, "FOREIGN") || gs_at_word(p, "CONSTRAINT")) {
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
static void take_range(gs_parser *p)
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
static void take_partition(gs_parser *p)
{
    sl_arena *a = p->x->arena;
    if (gs_at_word(p, "RANGE_BUCKET")) {
        take_range(p);
        return;
    }
    sl_val *part = sl_map(a);
    size_t from = p->i;
    sl_str field = SL_S(""), type = SL_S("DAY");
    while (p->i < p->n && !gs_at_word(p, "CLUSTER") && !gs_at_word(p, "OPTIONS") && !gs_at_word(p, "AS") && !gs_op(&p->t[p->i], ";")) {
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

bool gs_take_clauses(gs_parser *p)
{
    for (;;) {
        if (gs_at_word(p, "PARTITION")) {
            p->i += 2;
            take_partition(p);
        } else if (gs_at_word(p, "CLUSTER")) {
            p->i += 2;
            sl_val *list = sl_list(p->x->arena);
            while (p->i < p->n && (p->t[p->i].kind == GS_IDENT || p->t[p->i].kind == GS_QUOTED || gs_op(&p->t[p->i], ",")) && !gs_at_word(p, "OPTIONS") && !gs_at_word(p, "AS")) {
                if (!gs_op(&p->t[p->i], ","))
                    sl_list_add(p->x->arena, list, sl_val_str(p->x->arena, p->t[p->i].text));
                p->i++;
            }
            p->s->clustering = list;
        } else if (gs_at_word(p, "OPTIONS")) {
            if (!gs_take_options(p, &p->s->options))
                return false;
        } else
            return true;
    }
}
