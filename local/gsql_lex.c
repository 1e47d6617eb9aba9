/* local/gsql_lex.c: tokens of GoogleSQL (lexical structure: strings in six forms, escapes, comments, quoted names). */
#include <stdarg.h>

#include "base/arena.h"
#include "local/gsql.h"

typedef struct lexer {
    sl_arena *arena;
    sl_str text;
    size_t at;
    uint32_t line, column;
    sl_err *err;
} lexer;

static void advance(lexer *l, size_t n)
{
    for (size_t i = 0; i < n && l->at < l->text.n; i++, l->at++) {
        l->column++;
        if (l->text.p[l->at] == '\n') {
            l->line++;
            l->column = 1;
        }
    }
}

static bool starts(const lexer *l, const char *what)
{
    return sl_str_starts(sl_str_sub(l->text, l->at, l->text.n), sl_str_c(what));
}

static bool skip_blank(lexer *l, bool *space)
{
    *space = false;
    while (l->at < l->text.n) {
        char c = l->text.p[l->at];
        if (c == ' ' || (c >= '\t' && c <= '\r'))
            advance(l, 1);
        else if (c == '#' || starts(l, "--")) {
            while (l->at < l->text.n && l->text.p[l->at] != '\n')
                advance(l, 1);
        } else if (starts(l, "/*")) {
            ptrdiff_t end = sl_str_find(sl_str_sub(l->text, l->at + 2, l->text.n), SL_S("*/"));
            if (end < 0)
                return sl_err_at(l->err, l->line, l->column, SL_ERR_DATA, "sql.syntax", "Syntax error: Unclosed comment at [%u:%u]", l->line, l->column);
            advance(l, (size_t)end + 4);
        } else
            break;
        *space = true;
    }
    return true;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static void add_code(sl_buf *b, uint32_t c)
{
    if (c < 0x80)
        sl_buf_char(b, (char)c);
    else if (c < 0x800) {
        sl_buf_char(b, (char)(0xC0 | c >> 6));
        sl_buf_char(b, (char)(0x80 | (c & 63)));
    } else {
        if (c >= 0x10000) {
            sl_buf_char(b, (char)(0xF0 | c >> 18));
            sl_buf_char(b, (char)(0x80 | (c >> 12 & 63)));
        } else
            sl_buf_char(b, (char)(0xE0 | c >> 12));
        sl_buf_char(b, (char)(0x80 | (c >> 6 & 63)));
        sl_buf_char(b, (char)(0x80 | (c & 63)));
    }
}

/* One escape behind the backslash at p; returns the characters it takes. */
static size_t escape(sl_buf *b, const char *p, size_t left)
{
    static const char from[] = "abfnrtv", to[] = "\a\b\f\n\r\t\v";
    const char *hit = *p ? strchr(from, *p) : NULL;
    if (hit != NULL) {
        sl_buf_char(b, to[hit - from]);
        return 1;
    }
    size_t digits = *p == 'x' || *p == 'X' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 0;
    if (digits > 0 && left > digits) {
        uint32_t code = 0;
        for (size_t i = 1; i <= digits; i++)
            code = code << 4 | (uint32_t)(hex(p[i]) & 15);
        if (digits == 2)
            sl_buf_char(b, (char)code);
        else
            add_code(b, code);
        return digits + 1;
    }
    if (*p >= '0' && *p <= '3' && left >= 3) {
        sl_buf_char(b, (char)((p[0] - '0') << 6 | (p[1] - '0') << 3 | (p[2] - '0')));
        return 3;
    }
    sl_buf_char(b, *p);
    return 1;
}

static bool lex_string(lexer *l, gs_token *t, bool raw, bool bytes)
{
    char q = l->text.p[l->at];
    char triple[4] = { q, q, q, 0 };
    bool is_triple = starts(l, triple);
    size_t width = is_triple ? 3 : 1;
    uint32_t line = l->line, column = l->column;
    sl_buf b = sl_buf_new(l->arena, l->text.n + 8);
    advance(l, width);
    for (;;) {
        if (l->at >= l->text.n || (!is_triple && l->text.p[l->at] == '\n'))
            return sl_err_at(l->err, line, column, SL_ERR_DATA, "sql.syntax", "Syntax error: Unclosed string literal at [%u:%u]", line, column);
        char c = l->text.p[l->at];
        if (is_triple ? starts(l, triple) : c == q)
            break;
        if (c == '\\' && l->at + 1 < l->text.n) {
            if (raw) {
                sl_buf_add(&b, sl_str_sub(l->text, l->at, l->at + 2));
                advance(l, 2);
            } else
                advance(l, 1 + escape(&b, l->text.p + l->at + 1, l->text.n - l->at - 1));
            continue;
        }
        sl_buf_char(&b, c);
        advance(l, 1);
    }
    advance(l, width);
    t->kind = bytes ? GS_BYTES : GS_STRING;
    t->text = sl_buf_str(&b);
    return true;
}

static bool ident_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
}

static bool lex_quoted_name(lexer *l, gs_token *t)
{
    ptrdiff_t end = sl_str_find(sl_str_sub(l->text, l->at + 1, l->text.n), SL_S("`"));
    if (end < 0)
        return sl_err_at(l->err, l->line, l->column, SL_ERR_DATA, "sql.syntax", "Syntax error: Unclosed identifier literal at [%u:%u]", l->line, l->column);
    t->kind = GS_QUOTED;
    t->text = sl_str_sub(l->text, l->at + 1, l->at + 1 + (size_t)end);
    advance(l, (size_t)end + 2);
    return true;
}

static void lex_number(lexer *l, gs_token *t)
{
    size_t n = 0;
    sl_str rest = sl_str_sub(l->text, l->at, l->text.n);
    bool is_hex = rest.n > 2 && rest.p[0] == '0' && (rest.p[1] | 32) == 'x';
    n = is_hex ? 2 : 0;
    while (n < rest.n && ((is_hex && hex(rest.p[n]) >= 0) || (!is_hex && ((rest.p[n] >= '0' && rest.p[n] <= '9') || rest.p[n] == '.'))))
        n++;
    if (!is_hex && n < rest.n && (rest.p[n] | 32) == 'e') {
        size_t k = n + 1;
        if (k < rest.n && (rest.p[k] == '+' || rest.p[k] == '-'))
            k++;
        if (k < rest.n && rest.p[k] >= '0' && rest.p[k] <= '9')
            for (n = k; n < rest.n && rest.p[n] >= '0' && rest.p[n] <= '9'; n++)
                ;
    }
    t->kind = GS_NUMBER;
    t->text = sl_str_sub(rest, 0, n);
    advance(l, n);
}

/* r'…', b"…", rb'…' */
static size_t string_prefix(const lexer *l, bool *raw, bool *bytes)
{
    size_t n = 0;
    *raw = *bytes = false;
    while (n < 2 && l->at + n < l->text.n) {
        char c = (char)(l->text.p[l->at + n] | 32);
        if (c == 'r' && !*raw)
            *raw = true;
        else if (c == 'b' && !*bytes)
            *bytes = true;
        else
            break;
        n++;
    }
    char next = l->at + n < l->text.n ? l->text.p[l->at + n] : 0;
    return next == '\'' || next == '"' ? n : SIZE_MAX;
}

/* @@error.message: one token, "@error.message". */
static bool lex_system_variable(lexer *l, gs_token *t)
{
    size_t n = 2;
    if (!starts(l, "@@"))
        return false;
    while (l->at + n < l->text.n && (ident_char(l->text.p[l->at + n], n == 2) || (n > 2 && l->text.p[l->at + n] == '.')))
        n++;
    t->kind = GS_PARAM;
    t->text = sl_str_sub(l->text, l->at + 1, l->at + n);
    advance(l, n);
    return true;
}

static bool lex_one(lexer *l, gs_token *t)
{
    static const char *const ops[] = { "<=>", "<>", "<=", ">=", "!=", "||", "<<", "=>", NULL }; /* not >>, which ends two types, too */
    char c = l->text.p[l->at];
    bool raw, bytes;
    size_t prefix = string_prefix(l, &raw, &bytes);
    if (prefix != SIZE_MAX) {
        advance(l, prefix);
        return lex_string(l, t, raw, bytes);
    }
    if (c == '`')
        return lex_quoted_name(l, t);
    if (lex_system_variable(l, t))
        return true;
    if (ident_char(c, true) || (c == '@' && l->at + 1 < l->text.n && ident_char(l->text.p[l->at + 1], true))) {
        size_t n = 1;
        while (l->at + n < l->text.n && ident_char(l->text.p[l->at + n], false))
            n++;
        t->kind = c == '@' ? GS_PARAM : GS_IDENT;
        t->text = sl_str_sub(l->text, l->at + (c == '@'), l->at + n);
        advance(l, n);
        return true;
    }
    bool fraction = c == '.' && l->at + 1 < l->text.n && l->text.p[l->at + 1] >= '0' && l->text.p[l->at + 1] <= '9' && (l->at == 0 || !ident_char(l->text.p[l->at - 1], false));
    if ((c >= '0' && c <= '9') || fraction) {
        lex_number(l, t);
        return true;
    }
    t->kind = GS_OP;
    for (const char *const *op = ops; *op != NULL; op++)
        if (starts(l, *op)) {
            t->text = sl_str_c(*op);
            advance(l, strlen(*op));
            return true;
        }
    t->text = sl_str_sub(l->text, l->at, l->at + 1);
    advance(l, 1);
    return true;
}

/* Who looks a few tokens ahead or back from anywhere finds GS_END there. */
static gs_token *with_margins(sl_arena *arena, const gs_token *list, size_t n)
{
    enum { MARGIN = 8 };
    gs_token *all = SL_ARRAY(arena, gs_token, n + 1 + 2 * MARGIN);
    memcpy(all + MARGIN, list, (n + 1) * sizeof *list);
    return all + MARGIN;
}

gs_token *gs_lex(sl_arena *arena, sl_str text, size_t *ret_count, sl_err *err)
{
    lexer l = { .arena = arena, .text = text, .line = 1, .column = 1, .err = err };
    size_t n = 0, capacity = 256;
    gs_token *list = SL_ARRAY(arena, gs_token, capacity);
    for (;;) {
        bool space;
        if (!skip_blank(&l, &space))
            return NULL;
        if (n + 2 > capacity) {
            list = sl_realloc(arena, list, capacity * sizeof *list, capacity * 2 * sizeof *list);
            capacity *= 2;
        }
        gs_token *t = &list[n];
        *t = (gs_token){ .at = l.at, .line = l.line, .column = l.column, .space_before = space };
        if (l.at >= text.n)
            break;
        if (!lex_one(&l, t))
            return NULL;
        t->end = l.at;
        n++;
    }
    *ret_count = n;
    return with_margins(arena, list, n);
}

bool gs_fail(gs_context *x, const gs_token *at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sl_str what = sl_vfmt(x->arena, fmt, ap);
    va_end(ap);
    return sl_err_at(x->err, at->line, at->column, SL_ERR_DATA, "sql.syntax", "%.*s at [%u:%u]", SL_ARG(what), at->line, at->column);
}

bool gs_is(const gs_token *t, const char *word)
{
    return t->kind == GS_IDENT && sl_str_ieq(t->text, sl_str_c(word));
}

bool gs_op(const gs_token *t, const char *op)
{
    return t->kind == GS_OP && sl_str_eqc(t->text, op);
}

size_t gs_close(const gs_token *t, size_t n, size_t i)
{
    int depth = 0;
    for (; i < n; i++) {
        depth += gs_op(&t[i], "(") || gs_op(&t[i], "[");
        depth -= gs_op(&t[i], ")") || gs_op(&t[i], "]");
        if (depth == 0)
            return i + 1;
    }
    return n;
}
