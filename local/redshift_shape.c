/*
 * local/redshift_shape.c: clauses of Redshift's SQL that stand elsewhere in DuckDB's: LISTAGG … WITHIN GROUP, SELECT TOP, SELECT … INTO,
 * CAST and CONVERT(type, x), parts of dates that are words, patterns that match anywhere.
 */
#include "base/arena.h"
#include "local/redshift_table.h"
#include "local/redshift_tokens.h"

typedef struct shaper {
    sl_arena *a;
    sl_redshift_tokens k;
    sl_buf out;
} shaper;

static bool at(const shaper *s, size_t i, const char *word)
{
    return sl_token_at(&s->k, i, word);
}

static bool gap_before(const shaper *s, size_t i)
{
    return sl_token_gap(&s->k, i);
}

static void emit(shaper *s, size_t i)
{
    sl_buf_fmt(&s->out, "%s%.*s", gap_before(s, i) ? " " : "", SL_ARG(s->k.t[i]));
}

static size_t close_of(const shaper *s, size_t i)
{
    return sl_token_close(&s->k, i);
}

static size_t find(const shaper *s, size_t from, size_t to, const char *word)
{
    return sl_token_find(&s->k, from, to, word);
}

static void shape(shaper *s, size_t from, size_t to);

/* The part of a date by its name in DuckDB; NULL: none. */
static const char *part_of(sl_str word)
{
    static const char *const parts[][8] = {
        { "year", "years", "y", "yr", "yrs" }, { "quarter", "quarters", "qtr", "qtrs" }, { "month", "months", "mon", "mons" }, { "week", "weeks", "w" }, { "day", "days", "d" }, { "hour", "hours", "h", "hr", "hrs" },
        { "minute", "minutes", "m", "min", "mins" }, { "second", "seconds", "s", "sec", "secs" }, { "millisecond", "milliseconds", "ms", "msec" }, { "microsecond", "microseconds", "us" }, { "dow", "dayofweek", "dw", "weekday" },
        { "doy", "dayofyear", "dy", "yearday" }, { "epoch" }, { "decade" }, { "century" }, { "millennium" },
    };
    if (word.n > 2 && word.p[0] == '\'')
        word = sl_str_sub(word, 1, word.n - 1);
    for (size_t i = 0; i < SL_COUNT(parts); i++)
        for (size_t k = 0; k < SL_COUNT(parts[i]) && parts[i][k] != NULL; k++)
            if (is(word, parts[i][k]))
                return parts[i][0];
    return NULL;
}

/* DATEADD(day, …): up to the comma. Where it goes on, or i. */
static size_t date_part(shaper *s, size_t i)
{
    static const char *const calls[][2] = { { "DATEADD", NULL }, { "DATE_ADD", NULL }, { "DATEDIFF", "rs_datediff" }, { "DATE_DIFF", "rs_datediff" }, { "DATE_PART", "date_part" }, { "PGDATE_PART", "date_part" }, { "DATE_TRUNC", "rs_datetrunc" } };
    const char *part = i + 3 < s->k.n && at(s, i + 1, "(") && at(s, i + 3, ",") ? part_of(s->k.t[i + 2]) : NULL;
    for (size_t k = 0; part != NULL && k < SL_COUNT(calls); k++) {
        if (!at(s, i, calls[k][0]))
            continue;
        if (calls[k][1] == NULL)
            sl_buf_fmt(&s->out, " rs_add_%s(", part);
        else
            sl_buf_fmt(&s->out, " %s('%s',", calls[k][1], part);
        return i + 4;
    }
    return i;
}

/* LISTAGG([DISTINCT] x[, separator]) [WITHIN GROUP (ORDER BY …)] */
static size_t listagg(shaper *s, size_t i)
{
    size_t end = close_of(s, i + 1), order = end + 3;
    bool ordered = at(s, end + 1, "WITHIN") && at(s, end + 2, "GROUP") && at(s, order, "(");
    sl_buf_addc(&s->out, " string_agg(");
    shape(s, i + 2, end);
    if (find(s, i + 2, end, ",") == end)
        sl_buf_addc(&s->out, ", ''");
    if (ordered)
        shape(s, order + 1, close_of(s, order));
    sl_buf_char(&s->out, ')');
    return ordered ? close_of(s, order) + 1 : end + 1;
}

/* x as that type; of a text with a length, the beginning that has room there. */
static void cast(shaper *s, size_t from, size_t to, size_t type, size_t end)
{
    sl_str rest = { s->k.t[type].p, (size_t)(s->k.text.p + s->k.text.n - s->k.t[type].p) };
    sl_redshift_text text;
    sl_err ignored;
    bool is_text = sl_redshift_text_type(&rest, &text, &ignored) && text.length > 0, cut = is_text && at(s, end - 1, ")");
    sl_buf_addc(&s->out, cut ? " rs_fit(rs_text(" : is_text ? " rs_text(" : " CAST(");
    shape(s, from, to);
    if (cut)
        sl_buf_fmt(&s->out, "), %lld", (long long)text.length);
    else if (!is_text) {
        sl_buf_addc(&s->out, " AS ");
        shape(s, type, end);
    }
    sl_buf_char(&s->out, ')');
}

/* CAST(x AS type) and CONVERT(type, x); where it goes on, or i. */
static size_t conversion(shaper *s, size_t i)
{
    bool convert = at(s, i, "CONVERT");
    size_t end = close_of(s, i + 1), middle = find(s, i + 2, end, convert ? "," : "AS");
    if (middle + 1 >= end || end == s->k.n)
        return i;
    if (convert)
        cast(s, middle + 1, end, i + 2, middle);
    else
        cast(s, i + 2, middle, middle + 1, end);
    return end + 1;
}

static bool formats_number(sl_str format)
{
    return sl_str_find(format, SL_S("9")) >= 0 || sl_str_find(format, SL_S("0")) >= 0;
}

/* A moment, in a format that is known here. */
static void to_char(shaper *s, size_t from, size_t to, sl_str format)
{
    shaper inner = { .a = s->a, .k = s->k, .out = sl_buf_new(s->a, SIZE_MAX / 4) };
    shape(&inner, from, to);
    sl_str value = sl_buf_str(&inner.out), moment = sl_fmt(s->a, "CAST(%.*s AS TIMESTAMP)", SL_ARG(value)), sql = sl_redshift_to_char(s->a, moment, sl_redshift_unquoted(s->a, format));
    sl_buf_fmt(&s->out, " %.*s", SL_ARG(sql));
}

/* TO_CHAR(x, 'format'), TO_DATE(x, 'format'), TO_TIMESTAMP(x, 'format') */
static size_t formatted(shaper *s, size_t i)
{
    static const char *const calls[][3] = { { "TO_CHAR", " strftime(CAST(", " AS TIMESTAMP), rs_format(" }, { "TO_DATE", " CAST(strptime(", ", rs_format(" }, { "TO_TIMESTAMP", " CAST(strptime(", ", rs_format(" } };
    static const char *const ends[] = { "))", ")) AS DATE)", ")) AS TIMESTAMP WITH TIME ZONE)" };
    size_t end = close_of(s, i + 1), comma = find(s, i + 2, end, ",");
    for (size_t k = 0; k < SL_COUNT(calls); k++) {
        if (!at(s, i, calls[k][0]) || comma + 1 >= end)
            continue;
        bool literal = k == 0 && comma + 2 == end && s->k.t[comma + 1].p[0] == '\'', number = literal && formats_number(s->k.t[comma + 1]);
        if (literal && !number) {
            to_char(s, i + 2, comma, s->k.t[comma + 1]);
            return end + 1;
        }
        sl_buf_addc(&s->out, number ? " rs_number_text(" : calls[k][1]);
        shape(s, i + 2, comma);
        sl_buf_addc(&s->out, number ? ", " : calls[k][2]);
        shape(s, comma + 1, end);
        sl_buf_addc(&s->out, number ? ")" : ends[k]);
        return end + 1;
    }
    return i;
}

/* TO_NUMBER(s, 'format'): as many places as the format has. */
static size_t to_number(shaper *s, size_t i)
{
    size_t end = close_of(s, i + 1), comma = find(s, i + 2, end, ","), places = 0;
    if (comma + 2 != end || s->k.t[comma + 1].p[0] != '\'')
        return i;
    sl_str format = s->k.t[comma + 1];
    for (size_t at = 0, behind = 0; at < format.n; at++) {
        behind |= format.p[at] == '.' || format.p[at] == 'D' || format.p[at] == 'd';
        places += behind && (format.p[at] == '9' || format.p[at] == '0');
    }
    sl_buf_addc(&s->out, " CAST(rs_digits(");
    shape(s, i + 2, comma);
    sl_buf_fmt(&s->out, ") AS DECIMAL(38, %zu))", places);
    return end + 1;
}

/* JSON_EXTRACT_PATH_TEXT(j, …, true) and its like: NULL where j is no JSON. */
static size_t json_or_null(shaper *s, size_t i)
{
    size_t end = close_of(s, i + 1), first = find(s, i + 2, end, ",");
    bool null = end < s->k.n && at(s, end - 1, "TRUE");
    if (end == s->k.n || !(null || at(s, end - 1, "FALSE")) || !at(s, end - 2, ","))
        return i;
    if (null) {
        sl_buf_addc(&s->out, " CASE WHEN json_valid(");
        shape(s, i + 2, first);
        sl_buf_addc(&s->out, ") THEN");
    }
    sl_buf_fmt(&s->out, " %.*s(", SL_ARG(s->k.t[i]));
    shape(s, i + 2, end - 2);
    sl_buf_addc(&s->out, null ? ") END" : ")");
    return end + 1;
}

/* AVG of integers is one, cut; DuckDB's is a float. With its OVER. */
static size_t average(shaper *s, size_t i)
{
    size_t end = close_of(s, i + 1), behind = end + 1;
    bool window = at(s, behind, "OVER");
    if (window)
        behind = at(s, behind + 1, "(") ? close_of(s, behind + 1) + 1 : behind + 2;
    if (end == s->k.n || behind > s->k.n)
        return i;
    for (int part = 0; part < 2; part++) {
        sl_buf_addc(&s->out, part ? " / nullif(count(" : " (sum(");
        shape(s, i + 2, end);
        sl_buf_char(&s->out, ')');
        if (window)
            shape(s, end + 1, behind);
    }
    sl_buf_addc(&s->out, ", 0))");
    return behind;
}

/* TRUNC(GETDATE()) and the like: a date. Of a column nobody can say here what it is: numbers are cut. */
static size_t truncated(shaper *s, size_t i)
{
    static const char *const words[] = { "GETDATE", "SYSDATE", "CURRENT_TIMESTAMP", "TIMESTAMP", "DATEADD", "CONVERT_TIMEZONE", "TO_TIMESTAMP" };
    size_t end = close_of(s, i + 1);
    bool moment = false;
    for (size_t k = i + 2; k < end; k++)
        for (size_t w = 0; w < SL_COUNT(words); w++)
            moment |= at(s, k, words[w]);
    if (!moment || find(s, i + 2, end, ",") < end)
        return i;
    sl_buf_addc(&s->out, " CAST(");
    shape(s, i + 2, end);
    sl_buf_addc(&s->out, " AS DATE)");
    return end + 1;
}

/* SIMILAR TO 'pattern': % and _ are SQL's, the rest is a regular expression's. */
static size_t similar(shaper *s, size_t i)
{
    if (!at(s, i + 1, "TO") || i + 2 >= s->k.n || s->k.t[i + 2].p[0] != '\'')
        return i;
    sl_str pattern_text = sl_str_replace(s->a, sl_str_replace(s->a, s->k.t[i + 2], SL_S("%"), SL_S(".*")), SL_S("_"), SL_S("."));
    sl_buf_fmt(&s->out, " SIMILAR TO %.*s", SL_ARG(pattern_text));
    return i + 3;
}

static size_t ratio(shaper *s, size_t i)
{
    size_t end = close_of(s, i + 1);
    sl_buf_addc(&s->out, " 1.0 * (");
    shape(s, i + 2, end);
    sl_buf_addc(&s->out, ") / SUM(");
    shape(s, i + 2, end);
    sl_buf_char(&s->out, ')');
    return end + 1;
}

/* x ~ 'pattern', !~, ~*, !~*: anywhere in the text; DuckDB's ~ matches all of it. */
static size_t pattern(shaper *s, size_t i)
{
    bool not = at(s, i, "!");
    size_t next = i + 1 + not;
    bool any_case = at(s, next, "*") && !gap_before(s, next);
    next += any_case;
    if (next >= s->k.n)
        return i;
    sl_buf_fmt(&s->out, " %s ('(?s%s).*(?:' || %.*s || ').*')", not ? "!~" : "~", any_case ? "i" : "", SL_ARG(s->k.t[next]));
    return next + 1;
}

/* Behind the operand at i: a value with its sign, calls, parts and casts. */
static size_t operand_end(const shaper *s, size_t i)
{
    while (at(s, i, "-") || at(s, i, "+"))
        i++;
    if (at(s, i, "CASE")) {
        size_t open = 0;
        do {
            open += at(s, i, "CASE");
            open -= at(s, i, "END");
            i++;
        } while (i < s->k.n && open > 0);
    } else
        i = at(s, i, "(") ? close_of(s, i) + 1 : i + 1;
    while (i + 1 < s->k.n) {
        if (at(s, i, "("))
            i = close_of(s, i) + 1;
        else if (at(s, i, ".") || at(s, i, "OVER"))
            i += at(s, i, ".") ? 2 : 1;
        else if (at(s, i, ":") && at(s, i + 1, ":"))
            i += at(s, i + 2, "double") && at(s, i + 3, "precision") ? 4 : 3;
        else if (at(s, i, "["))
            while (i < s->k.n && !at(s, i++, "]"))
                continue;
        else
            break;
    }
    return i < s->k.n ? i : s->k.n;
}

/* x / y, x % y: an error where y is 0; DuckDB gives NULL. */
static size_t division(shaper *s, size_t i)
{
    if (at(s, i + 1, "/") || at(s, i + 1, "%")) /* no operand: DuckDB says so */
        return i;
    size_t end = operand_end(s, i + 1);
    double number;
    if (end == i + 2 && sl_parse_double(s->k.t[i + 1], &number) && number != 0)
        return i;
    sl_buf_fmt(&s->out, " %.*s rs_divisor(", SL_ARG(s->k.t[i]));
    shape(s, i + 1, end);
    sl_buf_char(&s->out, ')');
    return end;
}

/* pg_get_late_binding_view_cols() name(column type, …): without the types. */
static size_t view_columns(shaper *s, size_t i)
{
    size_t open = close_of(s, i + 1) + 1;
    sl_buf_addc(&s->out, " rs_view_columns");
    while (open < s->k.n && !at(s, open, "(") && !at(s, open, "WHERE"))
        emit(s, open++);
    if (!at(s, open, "("))
        return open;
    size_t end = close_of(s, open);
    for (size_t k = open; k < end; k = find(s, k + 1, end, ","))
        sl_buf_fmt(&s->out, "%s%.*s", k == open ? "(" : ", ", SL_ARG(s->k.t[k + 1]));
    sl_buf_char(&s->out, ')');
    return end + 1;
}

/* A clause at i that has another shape; where it goes on, or i. */
static size_t clause(shaper *s, size_t i)
{
    bool call = at(s, i + 1, "(");
    if (call && at(s, i, "LISTAGG"))
        return listagg(s, i);
    if (call && (at(s, i, "CONVERT") || at(s, i, "CAST")))
        return conversion(s, i);
    if (call && at(s, i, "pg_get_late_binding_view_cols"))
        return view_columns(s, i);
    if (call && at(s, i, "RATIO_TO_REPORT"))
        return ratio(s, i);
    if (call && (at(s, i, "JSON_EXTRACT_PATH_TEXT") || at(s, i, "JSON_EXTRACT_ARRAY_ELEMENT_TEXT") || at(s, i, "JSON_ARRAY_LENGTH"))) {
        size_t next = json_or_null(s, i);
        if (next > i)
            return next;
    }
    if (call && at(s, i, "AVG"))
        return average(s, i);
    if (call && at(s, i, "TO_NUMBER"))
        return to_number(s, i);
    if (call && at(s, i, "TRUNC"))
        return truncated(s, i);
    if (at(s, i, "SIMILAR"))
        return similar(s, i);
    if (at(s, i, "APPROXIMATE") && !call)
        return i + 1;
    if ((at(s, i, "/") || at(s, i, "%")) && i + 1 < s->k.n)
        return division(s, i);
    if (at(s, i, "MINUS") && (at(s, i + 1, "SELECT") || at(s, i + 1, "ALL") || call)) {
        sl_buf_addc(&s->out, " EXCEPT");
        return i + 1;
    }
    if (at(s, i, "~") || (at(s, i, "!") && at(s, i + 1, "~")))
        return pattern(s, i);
    if (at(s, i, "#") && i + 1 < s->k.n) {
        sl_buf_fmt(&s->out, " \"#%.*s\"", SL_ARG(s->k.t[i + 1]));
        return i + 2;
    }
    size_t next = call ? date_part(s, i) : i;
    return call && next == i ? formatted(s, i) : next;
}

/* SELECT [ALL|DISTINCT] TOP n: the same as LIMIT at the end of its brackets. */
static size_t top(shaper *s, size_t i, sl_str *limit)
{
    emit(s, i++);
    if (at(s, i, "ALL") || at(s, i, "DISTINCT"))
        emit(s, i++);
    if (!at(s, i, "TOP") || i + 1 >= s->k.n)
        return i;
    *limit = s->k.t[i + 1];
    return i + 2;
}

static void shape(shaper *s, size_t from, size_t to)
{
    sl_str limit = SL_S("");
    for (size_t i = from; i < to;) {
        size_t next = clause(s, i);
        if (next > i)
            i = next;
        else if (at(s, i, "SELECT"))
            i = top(s, i, &limit);
        else if (at(s, i, "(")) {
            size_t end = close_of(s, i);
            emit(s, i);
            shape(s, i + 1, end < to ? end : to);
            if (end < to)
                emit(s, end);
            i = end + 1;
        } else
            emit(s, i++);
    }
    if (limit.n > 0)
        sl_buf_fmt(&s->out, " LIMIT %.*s", SL_ARG(limit));
}

/* ---- whole statements ---- */

/* SET search_path TO a, b; all other settings change nothing here. */
static sl_str setting(shaper *s)
{
    sl_buf path = sl_buf_new(s->a, 1 << 16);
    if (!at(s, 1, "search_path"))
        return SL_REDSHIFT_NOTHING;
    for (size_t i = 3; i < s->k.n; i++)
        if (!at(s, i, ",") && !at(s, i, "$")) {
            sl_str name = sl_redshift_unquoted(s->a, s->k.t[i]);
            sl_buf_fmt(&path, "%s%.*s", path.n > 0 ? "," : "", SL_ARG(is(name, "public") ? SL_S("main") : name));
        }
    const sl_str names = sl_buf_str(&path);
    return sl_fmt(s->a, "SET search_path = '%.*s'", SL_ARG(names));
}

/* SELECT … INTO [TEMP] name FROM … */
static bool into(shaper *s)
{
    size_t i = find(s, 0, s->k.n, "INTO"), from = find(s, 0, s->k.n, "FROM");
    if (i >= from)
        return false;
    size_t name = i + 1, end;
    bool temporary = at(s, name, "TEMP") || at(s, name, "TEMPORARY") || at(s, name, "#");
    name += at(s, name, "TEMP") || at(s, name, "TEMPORARY");
    name += at(s, name, "TABLE");
    for (end = name; end < s->k.n && !at(s, end, "FROM");)
        end++;
    sl_buf_fmt(&s->out, "CREATE %sTABLE ", temporary ? "TEMP " : "");
    shape(s, name, end);
    sl_buf_addc(&s->out, " AS ");
    shape(s, 0, i);
    shape(s, end, s->k.n);
    return true;
}

static void create(shaper *s)
{
    size_t what = 1;
    size_t owner = at(s, what, "SCHEMA") ? find(s, 0, s->k.n, "AUTHORIZATION") : s->k.n;
    for (size_t i = 0; i < owner; i++)
        if (at(s, i, "MATERIALIZED") && i == 1) {
            sl_buf_addc(&s->out, " OR REPLACE");
            what = 2;
        } else if (at(s, i, "TABLE") && i == 1 && at(s, 2, "#")) {
            sl_buf_addc(&s->out, " TEMP TABLE");
            what = 2;
        } else if (i >= 2 || i <= what) {
            if (i >= 2) {
                shape(s, i, owner);
                return;
            }
            emit(s, i);
        }
}

sl_str sl_redshift_shape(sl_arena *a, sl_str statement)
{
    shaper s = { .a = a, .out = sl_buf_new(a, SIZE_MAX / 4) };
    if (!sl_redshift_tokens_of(a, statement, &s.k))
        return statement;
    if (at(&s, 0, "SET"))
        return setting(&s);
    if (at(&s, 0, "REFRESH") || at(&s, 0, "LOCK") || (at(&s, 0, "COMMENT") && at(&s, 1, "ON")))
        return SL_REDSHIFT_NOTHING;
    if (at(&s, 0, "CREATE"))
        create(&s);
    else if (!at(&s, 0, "SELECT") || !into(&s))
        shape(&s, 0, s.k.n);
    return sl_buf_str(&s.out);
}
