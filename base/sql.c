/* base/sql.c: see sql.h. */
#include "base/sql.h"

#include "base/arena.h"

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || (c & 0x80) != 0;
}

static size_t quoted(sl_str s, size_t at)
{
    char q = s.p[at];
    /* E'…' has backslashes. */
    bool escapes = q == '\'' && at > 0 && (s.p[at - 1] == 'E' || s.p[at - 1] == 'e') && (at == 1 || !word_char(s.p[at - 2]));
    for (size_t i = at + 1; i < s.n; i++) {
        if (escapes && s.p[i] == '\\')
            i++;
        else if (s.p[i] == q) {
            if (i + 1 < s.n && s.p[i + 1] == q)
                i++;
            else
                return i + 1;
        }
    }
    return s.n;
}

static size_t block_comment(sl_str s, size_t at)
{
    size_t depth = 0;
    for (size_t i = at; i + 1 < s.n; i++) {
        if (s.p[i] == '/' && s.p[i + 1] == '*') {
            depth++;
            i++;
        } else if (s.p[i] == '*' && s.p[i + 1] == '/') {
            i++;
            if (--depth == 0)
                return i + 1;
        }
    }
    return s.n;
}

/* $tag$ … $tag$; at itself when it is no such thing. */
static size_t dollar_quoted(sl_str s, size_t at)
{
    size_t i = at + 1;
    while (i < s.n && word_char(s.p[i]) && !(i == at + 1 && s.p[i] >= '0' && s.p[i] <= '9'))
        i++;
    if (i >= s.n || s.p[i] != '$' || (at > 0 && word_char(s.p[at - 1])))
        return at;
    sl_str tag = sl_str_sub(s, at, i + 1);
    ptrdiff_t end = sl_str_find(sl_str_sub(s, i + 1, s.n), tag);
    return end < 0 ? s.n : i + 1 + (size_t)end + tag.n;
}

/* The end of what begins at `at` and is no plain text (quote, comment); at itself for plain text. */
static size_t skip(sl_str s, size_t at)
{
    char c = s.p[at], next = at + 1 < s.n ? s.p[at + 1] : '\0';
    if (c == '\'' || c == '"' || c == '`')
        return quoted(s, at);
    if (c == '-' && next == '-') {
        const char *end = memchr(s.p + at, '\n', s.n - at);
        return end ? (size_t)(end - s.p) : s.n;
    }
    if (c == '/' && next == '*')
        return block_comment(s, at);
    return c == '$' ? dollar_quoted(s, at) : at;
}

static sl_str word_at(sl_str s, size_t at)
{
    size_t end = at;
    while (end < s.n && word_char(s.p[end]))
        end++;
    return sl_str_sub(s, at, end);
}

static bool is(sl_str word, const char *upper)
{
    return sl_str_ieq(word, sl_str_c(upper));
}

/* The first words, behind comments and parentheses. */
static size_t first_words(sl_str s, sl_str *words, size_t most)
{
    size_t n = 0, at = 0;
    while (at < s.n && n < most) {
        size_t next = skip(s, at);
        if (next > at && s.p[at] != '"')
            at = next;
        else if (word_char(s.p[at])) {
            words[n] = word_at(s, at);
            at += words[n++].n;
        } else if (s.p[at] == ';')
            break;
        else
            at = next > at ? next : at + 1;
    }
    return n;
}

/* How BEGIN … END blocks of routines nest. depth changes by the word at hand. */
typedef struct blocks {
    bool routine;                 /* CREATE … PROCEDURE|FUNCTION|TRIGGER, or DECLARE */
    int depth;
    sl_str before;                /* the word before */
} blocks;

static void on_word(blocks *b, sl_str word)
{
    if (is(word, "DECLARE") && b->before.n == 0)
        b->routine = true;
    if ((is(word, "PROCEDURE") || is(word, "FUNCTION") || is(word, "TRIGGER") || is(word, "PACKAGE")) && (is(b->before, "CREATE") || is(b->before, "REPLACE") || is(b->before, "TEMPORARY")))
        b->routine = true;
    if (b->routine && is(word, "BEGIN"))
        b->depth++;
    if (b->depth > 0 && is(word, "CASE") && !is(b->before, "END"))
        b->depth++;
    if (b->depth > 0 && (is(b->before, "END")) && (is(word, "IF") || is(word, "LOOP")))
        b->depth++; /* END was counted; it closed something that did not count */
    if (b->depth > 0 && is(word, "END"))
        b->depth--;
    b->before = word;
}

static bool has_content(sl_str s)
{
    for (size_t at = 0; at < s.n;) {
        size_t next = skip(s, at);
        bool comment = next > at && (s.p[at] == '-' || s.p[at] == '/');
        if (!comment && !strchr(" \t\r\n\f;", s.p[at]))
            return true;
        at = next > at ? next : at + 1;
    }
    return false;
}

static void add(sl_arena *a, sl_statement **list, size_t *n, size_t *capacity, sl_str sql, size_t from, size_t to)
{
    sl_str raw = sl_str_sub(sql, from, to), text = sl_str_trim(raw);
    if (!has_content(text))
        return;
    if (*n == *capacity) {
        size_t more = *capacity ? *capacity * 2 : 16;
        sl_statement *grown = SL_ARRAY(a, sl_statement, more);
        memcpy(grown, *list, *n * sizeof **list);
        *list = grown;
        *capacity = more;
    }
    (*list)[(*n)++] = (sl_statement){ .text = text, .offset = (size_t)(text.p - sql.p) };
}

size_t sl_sql_split(sl_arena *a, sl_str sql, sl_statement **ret)
{
    size_t n = 0, capacity = 1, from = 0, at = 0;
    blocks b = { 0 };
    *ret = SL_ARRAY(a, sl_statement, 1);
    while (at < sql.n) {
        size_t next = skip(sql, at);
        if (next > at)
            at = next;
        else if (word_char(sql.p[at])) {
            sl_str word = word_at(sql, at);
            on_word(&b, word);
            at += word.n;
        } else if (sql.p[at] == ';' && b.depth == 0) {
            add(a, ret, &n, &capacity, sql, from, at);
            from = ++at;
            b = (blocks){ 0 };
        } else
            at++;
    }
    add(a, ret, &n, &capacity, sql, from, sql.n);
    return n;
}

sl_str sl_sql_verb(sl_arena *a, sl_str statement)
{
    sl_str word;
    return first_words(statement, &word, 1) ? sl_str_upper(a, word) : SL_S("");
}

bool sl_sql_reads(sl_arena *a, sl_str statement)
{
    static const char *const readers[] = { "SELECT", "SHOW", "EXPLAIN", "VALUES", "TABLE", "DESCRIBE", "FETCH" };
    sl_str verb = sl_sql_verb(a, statement), words[64];
    bool reads = false;
    for (size_t i = 0; i < SL_COUNT(readers); i++)
        reads |= sl_str_eqc(verb, readers[i]);
    size_t n = first_words(statement, words, SL_COUNT(words));
    for (size_t i = 0; i < n; i++) /* SELECT … INTO makes a table; EXPLAIN ANALYZE runs what it explains */
        reads &= !is(words[i], "INTO") && !(sl_str_eqc(verb, "EXPLAIN") && is(words[i], "ANALYZE"));
    return reads;
}

bool sl_sql_repeatable(sl_arena *a, sl_str statement)
{
    static const char *const verbs[] = { "SET", "RESET", "REFRESH", "ANALYZE", "VACUUM", "TRUNCATE", "BEGIN", "START", "OPTIMIZE" };
    sl_str verb = sl_sql_verb(a, statement), upper = sl_str_upper(a, statement);
    for (size_t i = 0; i < SL_COUNT(verbs); i++)
        if (sl_str_eqc(verb, verbs[i]))
            return true;
    if (sl_str_eqc(verb, "INSERT") && sl_str_find(upper, SL_S("ON CONFLICT")) > 0 && sl_str_find(upper, SL_S("DO NOTHING")) > 0)
        return true;
    if (sl_str_eqc(verb, "UNLOAD"))
        return sl_str_find(upper, SL_S("ALLOWOVERWRITE")) > 0 || sl_str_find(upper, SL_S("CLEANPATH")) > 0;
    return (sl_str_eqc(verb, "CREATE") || sl_str_eqc(verb, "DROP")) && (sl_str_find(upper, SL_S("IF NOT EXISTS")) > 0 || sl_str_find(upper, SL_S("IF EXISTS")) > 0 || sl_str_find(upper, SL_S("OR REPLACE")) > 0);
}

bool sl_sql_in_transaction(sl_arena *a, sl_str statement)
{
    sl_str w[8], verb = sl_sql_verb(a, statement);
    size_t n = first_words(statement, w, SL_COUNT(w));
    for (size_t i = 0; i < n; i++)
        if (is(w[i], "CONCURRENTLY"))
            return false;
    bool object = n > 1 && (is(w[1], "DATABASE") || is(w[1], "TABLESPACE") || is(w[1], "SYSTEM") || is(w[1], "SUBSCRIPTION"));
    return !sl_str_eqc(verb, "VACUUM") && !sl_str_eqc(verb, "CALL") && !sl_str_eqc(verb, "CLUSTER") && !(object && (sl_str_eqc(verb, "CREATE") || sl_str_eqc(verb, "DROP") || sl_str_eqc(verb, "ALTER")))
           && !(sl_str_eqc(verb, "CREATE") && n > 2 && is(w[1], "EXTERNAL"));
}

/* ---- parameters ---- */

bool sl_sql_bind(sl_arena *a, sl_str s, const sl_val *parameters, sl_str *ret, sl_val *values, sl_err *err)
{
    sl_buf b = sl_buf_new(a, s.n * 2 + 64);
    sl_val *numbers = sl_map(a);
    *ret = s;
    if (sl_val_count(parameters) == 0)
        return true;
    for (size_t at = 0; at < s.n;) {
        size_t next = skip(s, at);
        if (next == at && s.p[at] == ':' && at + 1 < s.n && s.p[at + 1] == ':')
            next = at + 2;
        if (next == at && s.p[at] == ':' && at + 1 < s.n && word_char(s.p[at + 1]) && !(s.p[at + 1] >= '0' && s.p[at + 1] <= '9') && !(at > 0 && word_char(s.p[at - 1]))) {
            sl_str name = word_at(s, at + 1);
            const sl_val *value = sl_get_str(parameters, name);
            if (value == NULL)
                return sl_err_set(err, SL_ERR_CONFIG, "sql.parameter", "the SQL names the parameter :%.*s, which 'parameters' does not have", SL_ARG(name));
            if (sl_get_str(numbers, name) == NULL) {
                sl_list_add(a, values, value);
                sl_map_set(a, numbers, name, sl_val_int(a, (int64_t)values->list.n));
            }
            sl_buf_fmt(&b, "$%lld", (long long)sl_get_str(numbers, name)->i);
            at += 1 + name.n;
            continue;
        }
        next = next > at ? next : at + 1;
        sl_buf_add(&b, sl_str_sub(s, at, next));
        at = next;
    }
    *ret = sl_buf_str(&b);
    return true;
}

sl_str sl_sql_positions(sl_arena *a, sl_str s, size_t *count)
{
    sl_buf b = sl_buf_new(a, s.n * 7 + 64);
    *count = 0;
    for (size_t at = 0; at < s.n;) {
        size_t next = skip(s, at);
        if (next == at && s.p[at] == '?') {
            sl_buf_fmt(&b, "$%zu", ++*count);
            at++;
            continue;
        }
        next = next > at ? next : at + 1;
        sl_buf_add(&b, sl_str_sub(s, at, next));
        at = next;
    }
    return sl_buf_str(&b);
}

bool sl_sql_fill(sl_arena *a, sl_str s, const sl_val *values, sl_str *ret)
{
    sl_buf b = sl_buf_new(a, SIZE_MAX / 4);
    for (size_t at = 0; at < s.n;) {
        size_t next = skip(s, at), digits = at + 1;
        while (next == at && s.p[at] == '$' && digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
            digits++;
        if (next == at && digits > at + 1) {
            int64_t n = 0;
            if (!sl_parse_int(sl_str_sub(s, at + 1, digits), &n) || n < 1 || (size_t)n > sl_val_count(values))
                return false;
            const sl_val *v = sl_at(values, (size_t)n - 1);
            bool escaped = v->type != SL_NULL && sl_str_find(v->s, SL_S("\\")) >= 0;
            sl_buf_addc(&b, escaped ? " E" : "");
            sl_buf_add(&b, v->type == SL_NULL ? SL_S("NULL") : sl_sql_text(a, escaped ? sl_str_replace(a, v->s, SL_S("\\"), SL_S("\\\\")) : v->s));
            at = digits;
            continue;
        }
        next = next > at ? next : at + 1;
        sl_buf_add(&b, sl_str_sub(s, at, next));
        at = next;
    }
    *ret = sl_buf_str(&b);
    return true;
}

sl_str sl_sql_token(sl_str *rest)
{
    size_t at = 0;
    while (at < rest->n) {
        size_t next = skip(*rest, at);
        bool comment = next > at && (rest->p[at] == '-' || rest->p[at] == '/');
        if (!comment && !strchr(" \t\r\n\f", rest->p[at])) {
            size_t end = next > at ? next : word_char(rest->p[at]) ? at + word_at(*rest, at).n : at + 1;
            sl_str token = sl_str_sub(*rest, at, end);
            *rest = sl_str_sub(*rest, end, rest->n);
            return token;
        }
        at = comment ? next : at + 1;
    }
    *rest = SL_S("");
    return SL_S("");
}

void sl_sql_place(sl_str sql, size_t offset, uint32_t *line, uint32_t *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < offset && i < sql.n; i++) {
        if (sql.p[i] == '\n') {
            ++*line;
            *column = 1;
        } else if ((sql.p[i] & 0xC0) != 0x80)
            ++*column;
    }
}

static sl_str wrapped(sl_arena *a, sl_str s, char quote)
{
    char one[2] = { quote, '\0' }, two[3] = { quote, quote, '\0' };
    return sl_fmt(a, "%c%.*s%c", quote, SL_ARG(sl_str_replace(a, s, sl_str_c(one), sl_str_c(two))), quote);
}

sl_str sl_sql_name(sl_arena *a, sl_str name)
{
    return wrapped(a, name, '"');
}

sl_str sl_sql_text(sl_arena *a, sl_str text)
{
    return wrapped(a, text, '\'');
}
