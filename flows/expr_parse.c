/*
 * flows/expr_parse.c: template text to a tree. One pass, precedence climbing with the table of flow language section 5.2.
 */
#include <stdarg.h>

#include "base/arena.h"
#include "base/limits.h"
#include "flows/expr_ast.h"

typedef enum token { T_END, T_NAME, T_INT, T_DOUBLE, T_STRING, T_OP, T_CLOSE } token;

typedef struct parser {
    sl_arena *arena;
    sl_err *err;
    sl_str text;
    size_t at;              /* next character */
    const char *close;      /* "}}" or "%}" while inside one, NULL outside */
    token kind;             /* the current token */
    sl_str word;            /* its text; the content of a string */
    size_t start;
    int64_t integer;
    double number;
    bool double_quoted;
    int depth;
    int braces; /* of maps still open: }} inside them closes two maps, not the expression */
} parser;

static uint32_t line_at(const parser *p, size_t at, uint32_t *column)
{
    uint32_t line = 1, col = 1;
    for (size_t i = 0; i < at && i < p->text.n; i++) {
        col++;
        if (p->text.p[i] == '\n') {
            line++;
            col = 1;
        }
    }
    if (column != NULL)
        *column = col;
    return line;
}

static bool fail_at(parser *p, size_t at, const char *fmt, ...) SL_PRINTF(3, 4);

static bool fail_at(parser *p, size_t at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sl_str what = sl_vfmt(p->arena, fmt, ap);
    va_end(ap);
    uint32_t column, line = line_at(p, at, &column);
    size_t from = at;
    while (from > 0 && p->text.p[from - 1] != '\n')
        from--;
    size_t to = at;
    while (to < p->text.n && p->text.p[to] != '\n')
        to++;
    sl_str shown = sl_str_trim(sl_str_sub(p->text, from, to));
    return sl_err_at(p->err, line, column, SL_ERR_CONFIG, "expr.syntax", "%.*s, in the expression `%.*s` at line %u, column %u", SL_ARG(what),
                     (int)(shown.n < 160 ? shown.n : 160), shown.p, line, column);
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool lex_number(parser *p)
{
    size_t i = p->at;
    while (i < p->text.n && is_digit(p->text.p[i]))
        i++;
    bool fraction = i + 1 < p->text.n && p->text.p[i] == '.' && is_digit(p->text.p[i + 1]);
    if (fraction)
        for (i++; i < p->text.n && is_digit(p->text.p[i]); i++)
            ;
    p->word = sl_str_sub(p->text, p->at, i);
    p->kind = fraction ? T_DOUBLE : T_INT;
    bool ok = fraction ? sl_parse_double(p->word, &p->number) : sl_parse_int(p->word, &p->integer);
    if (!ok)
        return fail_at(p, p->at, "the number '%.*s' is too large", SL_ARG(p->word));
    p->at = i + (!fraction && i < p->text.n && (p->text.p[i] | 32) == 'l');
    return true;
}

/* Only the quote itself can be escaped; every other backslash stays. */
static bool lex_string(parser *p)
{
    char quote = p->text.p[p->at];
    sl_buf b = sl_buf_new(p->arena, p->text.n + 1);
    size_t i = p->at + 1;
    int braces = 0; /* inside #{ } of a double-quoted string quotes belong to the inner expression */
    for (; i < p->text.n; i++) {
        char c = p->text.p[i];
        if (quote == '"' && c == '#' && i + 1 < p->text.n && p->text.p[i + 1] == '{')
            braces++;
        else if (braces > 0 && c == '}')
            braces--;
        if (c == '\\' && i + 1 < p->text.n && p->text.p[i + 1] == quote && braces == 0) {
            sl_buf_char(&b, quote);
            i++;
            continue;
        }
        if (c == quote && braces == 0)
            break;
        sl_buf_char(&b, c);
    }
    if (i >= p->text.n)
        return fail_at(p, p->at, "a string is not closed with %c", quote);
    p->word = sl_buf_str(&b);
    p->kind = T_STRING;
    p->double_quoted = quote == '"';
    p->at = i + 1;
    return true;
}

static bool next(parser *p)
{
    while (p->at < p->text.n && strchr(" \t\r\n", p->text.p[p->at]) != NULL && p->text.p[p->at] != '\0')
        p->at++;
    p->start = p->at;
    if (p->at >= p->text.n) {
        p->kind = T_END;
        return true;
    }
    sl_str rest = sl_str_sub(p->text, p->at, p->text.n);
    size_t dash = p->close != NULL && rest.n > 1 && rest.p[0] == '-' ? 1 : 0;
    if (p->close != NULL && p->braces == 0 && sl_str_starts(sl_str_sub(rest, dash, rest.n), sl_str_c(p->close))) {
        p->kind = T_CLOSE;
        p->word = sl_str_sub(rest, 0, dash + 2);
        return true;
    }
    char c = rest.p[0];
    if (is_name_start(c)) {
        size_t n = 1;
        while (n < rest.n && (is_name_start(rest.p[n]) || is_digit(rest.p[n])))
            n++;
        p->kind = T_NAME;
        p->word = sl_str_sub(rest, 0, n);
        p->at += n;
        return true;
    }
    if (is_digit(c))
        return lex_number(p);
    if (c == '\'' || c == '"')
        return lex_string(p);
    static const char *const ops[] = { "???", "??", "..", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "|", "~",
                                       "?",   ":",  "(",  ")",  "[",  "]",  "{",  "}", ",", ".", "=", NULL };
    for (const char *const *op = ops; *op != NULL; op++)
        if (sl_str_starts(rest, sl_str_c(*op))) {
            p->kind = T_OP;
            p->word = sl_str_sub(rest, 0, strlen(*op));
            p->at += strlen(*op);
            p->braces += c == '{' ? 1 : c == '}' && p->braces > 0 ? -1 : 0;
            return true;
        }
    return fail_at(p, p->at, "unexpected character '%c'", c);
}

static bool is_op(const parser *p, const char *op)
{
    return p->kind == T_OP && sl_str_eqc(p->word, op);
}

static bool is_word(const parser *p, const char *word)
{
    return p->kind == T_NAME && sl_str_eqc(p->word, word);
}

static bool expect_op(parser *p, const char *op)
{
    if (is_op(p, op))
        return next(p);
    return fail_at(p, p->start, "'%s' was expected", op);
}

static ex_node *node(parser *p, ex_kind kind)
{
    ex_node *n = SL_NEW(p->arena, ex_node);
    n->kind = kind;
    n->line = line_at(p, p->start, &n->column);
    return n;
}

static ex_node *parse_expr(parser *p);
static ex_node *parse_binary(parser *p, int least);

static bool parse_args(parser *p, const char *end, ex_arg **ret)
{
    ex_arg **tail = ret;
    if (!next(p))
        return false;
    while (!is_op(p, end)) {
        ex_arg *arg = SL_NEW(p->arena, ex_arg);
        if (p->kind == T_NAME) {
            parser ahead = *p;
            sl_err ignored;
            ahead.err = &ignored;
            if (next(&ahead) && is_op(&ahead, "=")) {
                arg->name = p->word;
                if (!next(p) || !next(p))
                    return false;
            }
        }
        if ((arg->value = parse_expr(p)) == NULL)
            return false;
        *tail = arg;
        tail = &arg->next;
        if (is_op(p, end))
            break;
        if (!expect_op(p, ","))
            return false;
    }
    return next(p);
}

static ex_node *parse_map(parser *p)
{
    ex_node *map = node(p, EX_MAP);
    ex_arg **tail = &map->args;
    if (!next(p))
        return NULL;
    while (!is_op(p, "}")) {
        ex_node *pair = node(p, EX_MAP);
        if ((pair->left = parse_expr(p)) == NULL || !expect_op(p, ":") || (pair->right = parse_expr(p)) == NULL)
            return NULL;
        *tail = SL_NEW(p->arena, ex_arg);
        (*tail)->value = pair;
        tail = &(*tail)->next;
        if (is_op(p, "}"))
            break;
        if (!expect_op(p, ","))
            return NULL;
    }
    return next(p) ? map : NULL;
}

/* "a #{expr} b": the pieces, joined as text. */
static ex_node *parse_interpolated(parser *p)
{
    sl_str rest = p->word;
    ex_node *join = node(p, EX_JOIN);
    ex_arg **tail = &join->args;
    while (rest.n > 0) {
        ptrdiff_t open = sl_str_find(rest, SL_S("#{"));
        ex_node *piece = node(p, EX_LITERAL);
        piece->literal = sl_val_str(p->arena, sl_str_sub(rest, 0, open < 0 ? rest.n : (size_t)open));
        *tail = SL_NEW(p->arena, ex_arg);
        (*tail)->value = piece;
        tail = &(*tail)->next;
        if (open < 0)
            break;
        parser inner = { .arena = p->arena, .err = p->err, .text = sl_str_sub(rest, (size_t)open + 2, rest.n), .close = "}", .depth = p->depth + 1 };
        inner.close = NULL;
        ex_node *value = next(&inner) ? parse_expr(&inner) : NULL;
        if (value == NULL)
            return NULL;
        if (!is_op(&inner, "}")) {
            fail_at(p, p->start, "'#{' is not closed with '}'");
            return NULL;
        }
        *tail = SL_NEW(p->arena, ex_arg);
        (*tail)->value = value;
        tail = &(*tail)->next;
        rest = sl_str_sub(inner.text, inner.at, inner.text.n);
    }
    return join;
}

static ex_node *parse_literal(parser *p)
{
    ex_node *n;
    if (p->kind == T_STRING && p->double_quoted && sl_str_find(p->word, SL_S("#{")) >= 0)
        n = parse_interpolated(p);
    else {
        n = node(p, EX_LITERAL);
        n->literal = p->kind == T_INT      ? sl_val_int(p->arena, p->integer)
                     : p->kind == T_DOUBLE ? sl_val_double(p->arena, p->number)
                                           : sl_val_str(p->arena, p->word);
    }
    return n != NULL && next(p) ? n : NULL;
}

static ex_node *parse_name(parser *p)
{
    static const struct {
        const char *word;
        const sl_val *value;
    } constants[] = { { "true", &sl_true_val }, { "false", &sl_false_val }, { "null", &sl_null_val }, { "none", &sl_null_val } };
    for (size_t i = 0; i < SL_COUNT(constants); i++)
        if (sl_str_ieq(p->word, sl_str_c(constants[i].word)) && ((p->word.p[0] & 32) != 0) == ((p->word.p[p->word.n - 1] & 32) != 0)) {
            ex_node *n = node(p, EX_LITERAL);
            n->literal = constants[i].value;
            return next(p) ? n : NULL;
        }
    ex_node *n = node(p, EX_NAME);
    n->name = p->word;
    if (!next(p))
        return NULL;
    if (is_op(p, "(")) {
        n->kind = EX_CALL;
        if (!parse_args(p, ")", &n->args))
            return NULL;
    }
    return n;
}

static ex_node *parse_postfix(parser *p, ex_node *n)
{
    while (n != NULL) {
        if (is_op(p, ".")) {
            ex_node *attribute = node(p, EX_ATTRIBUTE);
            if (!next(p))
                return NULL;
            if (p->kind != T_NAME) {
                fail_at(p, p->start, "a name was expected after '.'");
                return NULL;
            }
            attribute->left = n;
            attribute->name = p->word;
            if (!next(p))
                return NULL;
            if (is_op(p, "(")) {
                attribute->kind = EX_METHOD;
                if (!parse_args(p, ")", &attribute->args))
                    return NULL;
            }
            n = attribute;
        } else if (is_op(p, "[")) {
            ex_node *subscript = node(p, EX_ATTRIBUTE);
            subscript->left = n;
            if (!next(p) || (subscript->right = parse_expr(p)) == NULL || !expect_op(p, "]"))
                return NULL;
            n = subscript;
        } else
            return n;
    }
    return NULL;
}

static ex_node *parse_unary(parser *p)
{
    ex_op op;
    if (is_word(p, "not"))
        op = OP_NOT;
    else if (is_op(p, "+"))
        op = OP_PLUS;
    else if (is_op(p, "-"))
        op = OP_MINUS;
    else {
        if (p->kind == T_INT || p->kind == T_DOUBLE || p->kind == T_STRING)
            return parse_postfix(p, parse_literal(p));
        if (p->kind == T_NAME)
            return parse_postfix(p, parse_name(p));
        if (is_op(p, "(")) {
            if (!next(p))
                return NULL;
            ex_node *n = parse_expr(p);
            return n != NULL && expect_op(p, ")") ? parse_postfix(p, n) : NULL;
        }
        if (is_op(p, "[")) {
            ex_node *list = node(p, EX_LIST);
            return parse_args(p, "]", &list->args) ? list : NULL;
        }
        if (is_op(p, "{"))
            return parse_map(p);
        fail_at(p, p->start, p->kind == T_CLOSE || p->kind == T_END ? "the expression ends where a value was expected" : "a value was expected, not '%.*s'",
                SL_ARG(p->word));
        return NULL;
    }
    ex_node *n = node(p, EX_UNARY);
    n->op = op;
    return next(p) && (n->left = parse_unary(p)) != NULL ? n : NULL;
}

static const struct {
    const char *text;
    int precedence;
    ex_op op;
} binaries[] = {
    { "or", 10, OP_OR },          { "and", 15, OP_AND },        { "contains", 20, OP_CONTAINS }, { "in", 20, OP_IN },   { "==", 30, OP_EQ },
    { "equals", 30, OP_EQ },      { "!=", 30, OP_NE },          { "<", 30, OP_LT },              { ">", 30, OP_GT },    { "<=", 30, OP_LE },
    { ">=", 30, OP_GE },          { "+", 40, OP_ADD },          { "-", 40, OP_SUB },             { "*", 60, OP_MUL },   { "/", 60, OP_DIV },
    { "%", 60, OP_MOD },          { "~", 110, OP_CONCAT },      { "..", 120, OP_RANGE },         { "??", 120, OP_COALESCE },
    { "???", 120, OP_IF_UNDEFINED }, { "isIn", 120, OP_IS_IN },
};

enum { PRECEDENCE_TEST = 20, PRECEDENCE_FILTER = 100 };

static ex_node *parse_filter(parser *p, ex_node *left)
{
    ex_node *n = node(p, EX_FILTER);
    if (!next(p))
        return NULL;
    if (p->kind != T_NAME) {
        fail_at(p, p->start, "the name of a filter was expected after '|'");
        return NULL;
    }
    n->left = left;
    n->name = p->word;
    if (!next(p) || (is_op(p, "(") && !parse_args(p, ")", &n->args)))
        return NULL;
    return n;
}

static ex_node *parse_test(parser *p, ex_node *left)
{
    ex_node *n = node(p, EX_TEST);
    n->left = left;
    if (!next(p))
        return NULL;
    if (is_word(p, "not")) {
        n->negated = true;
        if (!next(p))
            return NULL;
    }
    if (p->kind != T_NAME) {
        fail_at(p, p->start, "the name of a test was expected after 'is'");
        return NULL;
    }
    n->name = p->word;
    if (!next(p) || (is_op(p, "(") && !parse_args(p, ")", &n->args)))
        return NULL;
    return n;
}

/* `not in` is two words; only as a binary operator. */
static bool at_not_in(const parser *p)
{
    if (!is_word(p, "not"))
        return false;
    parser ahead = *p;
    sl_err ignored;
    ahead.err = &ignored;
    return next(&ahead) && is_word(&ahead, "in");
}

static ex_node *parse_operation(parser *p, ex_node *left, int least, bool *matched)
{
    bool not_in = at_not_in(p);
    for (size_t i = 0; i < SL_COUNT(binaries) && (p->kind == T_OP || p->kind == T_NAME); i++) {
        bool hit = not_in ? binaries[i].op == OP_IN : sl_str_eqc(p->word, binaries[i].text);
        if (!hit || binaries[i].precedence < least)
            continue;
        ex_node *n = node(p, EX_BINARY);
        n->op = not_in ? OP_NOT_IN : binaries[i].op;
        n->left = left;
        *matched = true;
        if (!next(p) || (not_in && !next(p)))
            return NULL;
        return (n->right = parse_binary(p, binaries[i].precedence + 1)) != NULL ? n : NULL;
    }
    return left;
}

static ex_node *parse_binary(parser *p, int least)
{
    ex_node *left = parse_unary(p);
    while (left != NULL) {
        bool matched = false;
        if (is_op(p, "|") && PRECEDENCE_FILTER >= least) {
            left = parse_filter(p, left);
            continue;
        }
        if (is_word(p, "is") && PRECEDENCE_TEST >= least) {
            left = parse_test(p, left);
            continue;
        }
        left = parse_operation(p, left, least, &matched);
        if (!matched)
            break;
    }
    return left;
}

static ex_node *parse_expr(parser *p)
{
    if (++p->depth > SL_EXPR_DEPTH_MAX) {
        fail_at(p, p->start, "the expression is nested deeper than %d levels", SL_EXPR_DEPTH_MAX);
        return NULL;
    }
    ex_node *n = parse_binary(p, 0);
    if (n != NULL && is_op(p, "?")) {
        ex_node *choice = node(p, EX_TERNARY);
        choice->left = n;
        if (!next(p) || (choice->right = parse_expr(p)) == NULL || !expect_op(p, ":") || (choice->third = parse_expr(p)) == NULL)
            return NULL;
        n = choice;
    }
    p->depth--;
    return n;
}

/* ---- the template around the expressions ---- */

static bool close_tag(parser *p)
{
    if (p->kind != T_CLOSE)
        return fail_at(p, p->start, p->kind == T_END ? "'%s' is missing" : "'%s' was expected", p->close);
    p->at = p->start + p->word.n;
    bool trim = p->word.p[0] == '-';
    p->close = NULL;
    while (trim && p->at < p->text.n && strchr(" \t\r\n", p->text.p[p->at]) != NULL)
        p->at++;
    return true;
}

/* Opens a tag or print: {{, {{-, {%, {%-. */
static bool open_tag(parser *p, const char *close)
{
    p->at += 2;
    p->close = close;
    if (p->at < p->text.n && p->text.p[p->at] == '-')
        p->at++;
    return next(p);
}

static bool parse_body(parser *p, const char *const *ends, tp_node **ret, sl_str *end);

static bool take_name(parser *p, const char *what, sl_str *name)
{
    if (p->kind != T_NAME)
        return fail_at(p, p->start, "%s was expected", what);
    *name = p->word;
    return next(p);
}

static bool parse_if(parser *p, tp_node *n)
{
    static const char *const ends[] = { "elseif", "else", "endif", NULL }, *const last[] = { "endif", NULL };
    sl_str end;
    n->kind = TP_IF;
    if ((n->expr = parse_expr(p)) == NULL || !close_tag(p) || !parse_body(p, ends, &n->body, &end))
        return false;
    if (sl_str_eqc(end, "elseif")) {
        n->otherwise = SL_NEW(p->arena, tp_node);
        n->otherwise->line = line_at(p, p->start, NULL);
        n->otherwise->is_elseif = true;
        return parse_if(p, n->otherwise);
    }
    if (sl_str_eqc(end, "else") && (!close_tag(p) || !parse_body(p, last, &n->otherwise, &end)))
        return false;
    return close_tag(p);
}

static bool parse_for(parser *p, tp_node *n)
{
    static const char *const ends[] = { "else", "endfor", NULL }, *const last[] = { "endfor", NULL };
    sl_str end;
    n->kind = TP_FOR;
    if (!take_name(p, "a name after 'for'", &n->text))
        return false;
    if (!is_word(p, "in"))
        return fail_at(p, p->start, "'in' was expected");
    if (!next(p) || (n->expr = parse_expr(p)) == NULL || !close_tag(p) || !parse_body(p, ends, &n->body, &end))
        return false;
    if (sl_str_eqc(end, "else") && (!close_tag(p) || !parse_body(p, last, &n->otherwise, &end)))
        return false;
    return close_tag(p);
}

static bool parse_macro(parser *p, tp_node *n)
{
    static const char *const ends[] = { "endmacro", NULL };
    sl_str end;
    n->kind = TP_MACRO;
    if (!take_name(p, "a name after 'macro'", &n->text) || !is_op(p, "("))
        return fail_at(p, p->start, "'(' was expected after the macro's name");
    if (!next(p))
        return false;
    ex_arg **tail = &n->params;
    while (!is_op(p, ")")) {
        ex_arg *arg = SL_NEW(p->arena, ex_arg);
        if (!take_name(p, "a parameter's name", &arg->name))
            return false;
        if (is_op(p, "=") && (!next(p) || (arg->value = parse_expr(p)) == NULL))
            return false;
        *tail = arg;
        tail = &arg->next;
        if (is_op(p, ",") && !next(p))
            return false;
    }
    return next(p) && close_tag(p) && parse_body(p, ends, &n->body, &end) && (p->kind == T_CLOSE || next(p)) && close_tag(p);
}

static bool parse_block(parser *p, tp_node *n)
{
    static const char *const ends[] = { "endblock", NULL };
    sl_str end;
    n->kind = TP_BLOCK;
    if (p->kind != T_STRING && p->kind != T_NAME)
        return fail_at(p, p->start, "the block's name was expected");
    n->text = p->word;
    if (!next(p) || !close_tag(p) || !parse_body(p, ends, &n->body, &end))
        return false;
    if (p->kind == T_NAME || p->kind == T_STRING)
        if (!next(p))
            return false;
    return close_tag(p);
}

static bool parse_filter_block(parser *p, tp_node *n)
{
    static const char *const ends[] = { "endfilter", NULL };
    sl_str end;
    n->kind = TP_FILTER;
    ex_node *input = node(p, EX_LITERAL);
    input->literal = &sl_null_val;
    p->at = p->start; /* parse_filter moves over the '|', which is not there for the first one */
    n->expr = input;
    do {
        n->expr = parse_filter(p, n->expr);
    } while (n->expr != NULL && is_op(p, "|"));
    return n->expr != NULL && close_tag(p) && parse_body(p, ends, &n->body, &end) && close_tag(p);
}

static bool parse_set(parser *p, tp_node *n)
{
    n->kind = TP_SET;
    return take_name(p, "a name after 'set'", &n->text) && expect_op(p, "=") && (n->expr = parse_expr(p)) != NULL && close_tag(p);
}

/* {% raw %} … {% endraw %}: finds the end by text, so that nothing inside is looked at. */
static bool parse_raw(parser *p, tp_node *n, const char *name)
{
    if (!close_tag(p))
        return false;
    size_t from = p->at;
    for (size_t i = from; i + 1 < p->text.n; i++) {
        if (p->text.p[i] != '{' || p->text.p[i + 1] != '%')
            continue;
        sl_str inside = sl_str_sub(p->text, i + 2, p->text.n);
        ptrdiff_t close = sl_str_find(inside, SL_S("%}"));
        if (close < 0)
            break;
        sl_str word = sl_str_sub(inside, 0, (size_t)close);
        while (word.n > 0 && strchr("- \t\r\n", word.p[0]) != NULL)
            word = sl_str_sub(word, 1, word.n);
        while (word.n > 0 && strchr("- \t\r\n", word.p[word.n - 1]) != NULL)
            word.n--;
        if (word.n != strlen(name) + 3 || !sl_str_starts(word, SL_S("end")) || !sl_str_eqc(sl_str_sub(word, 3, word.n), name))
            continue;
        n->kind = TP_RAW;
        n->text = sl_str_sub(p->text, from, i);
        p->at = i + 2 + (size_t)close + 2;
        return true;
    }
    return fail_at(p, from, "{%% %s %%} is not closed", name);
}

static bool parse_tag(parser *p, tp_node *n)
{
    sl_str word = p->word;
    size_t start = p->start;
    if (p->kind != T_NAME)
        return fail_at(p, p->start, "the name of a tag was expected");
    if (sl_str_eqc(word, "raw") || sl_str_eqc(word, "verbatim"))
        return next(p) && parse_raw(p, n, sl_cstr(p->arena, word));
    if (!next(p))
        return false;
    if (sl_str_eqc(word, "if"))
        return parse_if(p, n);
    if (sl_str_eqc(word, "for"))
        return parse_for(p, n);
    if (sl_str_eqc(word, "set"))
        return parse_set(p, n);
    if (sl_str_eqc(word, "macro"))
        return parse_macro(p, n);
    if (sl_str_eqc(word, "block"))
        return parse_block(p, n);
    if (sl_str_eqc(word, "filter"))
        return parse_filter_block(p, n);
    return fail_at(p, start, "unknown tag '%.*s'; there are if, for, set, macro, block, filter, raw and verbatim", SL_ARG(word));
}

/* The next {{, {% or {# at or after `from`; the text's length when there is none. */
static size_t find_open(sl_str text, size_t from)
{
    for (size_t i = from; i + 1 < text.n; i++)
        if (text.p[i] == '{' && (text.p[i + 1] == '{' || text.p[i + 1] == '%' || text.p[i + 1] == '#'))
            return i;
    return text.n;
}

static void add_text(parser *p, tp_node ***tail, sl_str text, bool trim_right)
{
    while (trim_right && text.n > 0 && strchr(" \t\r\n", text.p[text.n - 1]) != NULL)
        text.n--;
    if (text.n == 0)
        return;
    tp_node *n = SL_NEW(p->arena, tp_node);
    n->kind = TP_TEXT;
    n->text = text;
    **tail = n;
    *tail = &n->next;
}

static bool skip_comment(parser *p)
{
    ptrdiff_t close = sl_str_find(sl_str_sub(p->text, p->at + 2, p->text.n), SL_S("#}"));
    if (close < 0)
        return fail_at(p, p->at, "a comment {# is not closed with #}; a shell text such as ${#array} needs {%% raw %%} around it");
    p->at += (size_t)close + 4;
    return true;
}

/* Up to one of `ends` (left as the current token's name in *end, the token after it is read), or the text's end. */
static bool parse_body(parser *p, const char *const *ends, tp_node **ret, sl_str *end)
{
    if (++p->depth > SL_EXPR_DEPTH_MAX)
        return fail_at(p, p->at, "tags are nested deeper than %d levels", SL_EXPR_DEPTH_MAX);
    tp_node **tail = ret;
    for (;;) {
        size_t open = find_open(p->text, p->at);
        bool trim = open + 2 < p->text.n && p->text.p[open + 2] == '-' && p->text.p[open + 1] != '#';
        add_text(p, &tail, sl_str_sub(p->text, p->at, open), trim);
        p->at = open;
        if (open >= p->text.n) {
            p->depth--;
            while (ends != NULL && ends[0] != NULL && ends[1] != NULL)
                ends++; /* the last one is the tag that closes */
            return ends == NULL || fail_at(p, open, "{%% %s %%} is missing", ends[0]);
        }
        char kind = p->text.p[open + 1];
        if (kind == '#') {
            if (!skip_comment(p))
                return false;
            continue;
        }
        tp_node *n = SL_NEW(p->arena, tp_node);
        n->line = line_at(p, open, NULL);
        if (!open_tag(p, kind == '{' ? "}}" : "%}"))
            return false;
        if (kind == '{') {
            n->kind = TP_PRINT;
            n->text = sl_str_sub(p->text, open, p->text.n);
            if ((n->expr = parse_expr(p)) == NULL || !close_tag(p))
                return false;
        } else {
            for (size_t i = 0; ends != NULL && ends[i] != NULL; i++)
                if (is_word(p, ends[i])) {
                    *end = p->word;
                    p->depth--;
                    return next(p);
                }
            if (!parse_tag(p, n))
                return false;
        }
        *tail = n;
        tail = &n->next;
    }
}

bool ex_parse(sl_arena *arena, sl_str text, tp_node **ret, sl_err *err)
{
    parser p = { .arena = arena, .err = err, .text = text };
    *ret = NULL;
    return parse_body(&p, NULL, ret, NULL);
}
