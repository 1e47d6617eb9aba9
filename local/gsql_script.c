/* local/gsql_script.c: scripts: statements, and control flow as branches and jumps between them. */
#include "base/arena.h"
#include "local/gsql_parser.h"

enum { NESTED_MAX = 50, LOOPS_MAX = 50 };

typedef struct loop {
    size_t start;
    size_t breaks;                /* the last BREAK, which names the one before in its `jump`; SIZE_MAX = none */
} loop;

typedef struct script {
    gs_context *x;
    const gs_token *t;
    size_t n, i;
    gs_statement *list;
    size_t count, capacity, depth;
    size_t wild;                  /* wildcards of the statements so far */
    loop loops[LOOPS_MAX];
    size_t loop_count;
} script;

static const gs_token *here(const script *s)
{
    return &s->t[s->i < s->n ? s->i : s->n - 1];
}

static bool at(const script *s, const char *word)
{
    return s->i < s->n && gs_is(&s->t[s->i], word);
}

static bool take(script *s, const char *word)
{
    if (!at(s, word))
        return false;
    s->i++;
    return true;
}

static bool expect(script *s, const char *word)
{
    return take(s, word) || gs_fail(s->x, here(s), "Syntax error: Expected %s", word);
}

/* A statement of the tokens [from, to), once they were rewritten. The list may move. */
static gs_statement *emit(script *s, const char *type, gs_flow flow, size_t from, size_t to)
{
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 8;
        s->list = sl_realloc(s->x->arena, s->list, s->capacity * sizeof *s->list, capacity * sizeof *s->list);
        s->capacity = capacity;
    }
    s->list[s->count] = (gs_statement){ .type = type, .flow = flow, .from = s->t[from].at, .to = s->t[to > from ? to - 1 : from].end, .wild_from = s->wild };
    s->wild = s->list[s->count].wild_to = sl_val_count(s->x->wildcards);
    return &s->list[s->count++];
}

/* The tokens from here to `word` at this level, as a condition: where it is not true, the next statement is elsewhere. *ret: which branch it is. */
static bool condition(script *s, const char *word, size_t *ret)
{
    size_t from = s->i, cases = 0;
    int depth = 0;
    for (; s->i < s->n && !(depth == 0 && cases == 0 && at(s, word)); s->i++) {
        depth += gs_op(here(s), "(") || gs_op(here(s), "[");
        depth -= gs_op(here(s), ")") || gs_op(here(s), "]");
        cases += at(s, "CASE");
        cases -= cases > 0 && at(s, "END");
        if (gs_op(here(s), ";"))
            break;
    }
    if (s->i == from)
        return gs_fail(s->x, here(s), "Syntax error: a condition was expected");
    if (!at(s, word))
        return gs_fail(s->x, here(s), "Syntax error: Expected %s", word);
    sl_str sql = gs_rewrite(s->x, s->t + from, s->i - from);
    gs_statement *branch = emit(s, "IF", GS_BRANCH, from, s->i);
    branch->sql = sl_fmt(s->x->arena, "SELECT CAST((%.*s) AS BOOLEAN)", SL_ARG(sql));
    *ret = s->count - 1;
    s->i++;
    return s->x->err->kind == SL_ERR_NONE;
}

static bool block(script *s);

/* END word; */
static bool end_of(script *s, const char *word)
{
    return expect(s, "END") && (word == NULL || expect(s, word));
}

/* IF … THEN … [ELSEIF … THEN …] [ELSE …] END IF */
static bool if_statement(script *s)
{
    size_t branch, done = SIZE_MAX;
    do {
        s->i++;
        if (!condition(s, "THEN", &branch) || !block(s))
            return false;
        if (at(s, "ELSEIF") || at(s, "ELSE")) {
            emit(s, "GOTO", GS_GOTO, s->i, s->i)->jump = done;
            done = s->count - 1;
        }
        s->list[branch].jump = s->count;
    } while (at(s, "ELSEIF"));
    if (take(s, "ELSE") && !block(s))
        return false;
    for (size_t next; done != SIZE_MAX; done = next) {
        next = s->list[done].jump;
        s->list[done].jump = s->count;
    }
    return end_of(s, "IF");
}

static bool enter_loop(script *s)
{
    if (s->loop_count == LOOPS_MAX)
        return gs_fail(s->x, here(s), "loops are nested deeper than %d levels", LOOPS_MAX);
    s->loops[s->loop_count++] = (loop){ s->count, SIZE_MAX };
    return true;
}

static void leave_loop(script *s)
{
    const loop *l = &s->loops[--s->loop_count];
    for (size_t at = l->breaks, next; at != SIZE_MAX; at = next) {
        next = s->list[at].jump;
        s->list[at].jump = s->count;
    }
}

/* WHILE … DO … END WHILE, LOOP … END LOOP, REPEAT … UNTIL … END REPEAT */
static bool loop_statement(script *s)
{
    bool while_loop = at(s, "WHILE"), repeat = at(s, "REPEAT");
    size_t branch = SIZE_MAX, start = s->count;
    s->i++;
    if (!enter_loop(s) || (while_loop && !condition(s, "DO", &branch)) || !block(s))
        return false;
    if (repeat) {
        if (!expect(s, "UNTIL") || !condition(s, "END", &branch))
            return false;
        s->list[branch].jump = start;
        leave_loop(s);
        return expect(s, "REPEAT");
    }
    emit(s, "GOTO", GS_GOTO, s->i < s->n ? s->i : s->n - 1, s->i)->jump = start;
    if (while_loop)
        s->list[branch].jump = s->count;
    leave_loop(s);
    return end_of(s, while_loop ? "WHILE" : "LOOP");
}

/* BREAK, LEAVE; CONTINUE, ITERATE */
static bool jump_statement(script *s)
{
    bool leaves = at(s, "BREAK") || at(s, "LEAVE");
    if (s->loop_count == 0)
        return gs_fail(s->x, here(s), "%.*s is allowed inside of a loop only", SL_ARG(here(s)->text));
    loop *l = &s->loops[s->loop_count - 1];
    emit(s, "GOTO", GS_GOTO, s->i, s->i)->jump = leaves ? l->breaks : l->start;
    if (leaves)
        l->breaks = s->count - 1;
    s->i++;
    return true;
}

/* RAISE [USING MESSAGE = text] */
static bool raise_statement(script *s)
{
    size_t from = s->i++, value = from;
    sl_str message = SL_S("'Unhandled user exception'");
    if (take(s, "USING")) {
        if (!expect(s, "MESSAGE") || !(gs_op(here(s), "=") || gs_fail(s->x, here(s), "Syntax error: Expected =")))
            return false;
        value = ++s->i;
        while (s->i < s->n && !gs_op(here(s), ";"))
            s->i++;
        message = gs_rewrite(s->x, s->t + value, s->i - value);
    }
    emit(s, "RAISE", GS_RAISE, from, s->i)->sql = sl_fmt(s->x->arena, "SELECT CAST((%.*s) AS VARCHAR)", SL_ARG(message));
    return s->x->err->kind == SL_ERR_NONE;
}

static bool begins_block(const script *s)
{
    return at(s, "BEGIN") && s->i + 1 < s->n && !gs_is(here(s) + 1, "TRANSACTION") && !gs_op(here(s) + 1, ";");
}

/* BEGIN … END */
static bool begin_end(script *s)
{
    s->i++;
    if (!block(s))
        return false;
    if (at(s, "EXCEPTION"))
        return gs_fail(s->x, here(s), "EXCEPTION is not supported by the local cloud");
    return end_of(s, NULL);
}

static bool plain(script *s)
{
    static const char *const not_here[] = { "FOR", "CASE", "CALL", "EXECUTE" };
    for (size_t i = 0; i < SL_COUNT(not_here); i++)
        if (at(s, not_here[i]))
            return gs_fail(s->x, here(s), "the statement %s is not supported by the local cloud", not_here[i]);
    size_t from = s->i;
    while (s->i < s->n && !gs_op(here(s), ";"))
        s->i++;
    gs_statement one = { 0 };
    if (!gs_one_statement(s->x, s->t + from, s->i - from, &one))
        return false;
    gs_statement *made = emit(s, one.type, GS_RUN, from, s->i);
    one.from = made->from;
    one.to = made->to;
    one.wild_from = made->wild_from;
    one.wild_to = made->wild_to;
    *made = one;
    return true;
}

static bool one(script *s)
{
    if (at(s, "IF"))
        return if_statement(s);
    if (at(s, "WHILE") || at(s, "LOOP") || at(s, "REPEAT"))
        return loop_statement(s);
    if (at(s, "BREAK") || at(s, "LEAVE") || at(s, "CONTINUE") || at(s, "ITERATE"))
        return jump_statement(s);
    if (at(s, "RAISE"))
        return raise_statement(s);
    if (begins_block(s))
        return begin_end(s);
    if (at(s, "RETURN")) {
        emit(s, "GOTO", GS_GOTO, s->i, s->i)->jump = SIZE_MAX; /* behind the last one, whichever that will be */
        s->i++;
        return true;
    }
    return plain(s);
}

static bool ends_block(const script *s)
{
    static const char *const words[] = { "END", "ELSE", "ELSEIF", "UNTIL", "EXCEPTION" };
    for (size_t i = 0; i < SL_COUNT(words); i++)
        if (at(s, words[i]))
            return true;
    return false;
}

/* Statements up to a word that ends them, or to the end. */
static bool block(script *s)
{
    if (++s->depth > NESTED_MAX)
        return gs_fail(s->x, here(s), "statements are nested deeper than %d levels", NESTED_MAX);
    while (s->i < s->n && !ends_block(s)) {
        if (gs_op(here(s), ";")) {
            s->i++;
            continue;
        }
        if (!one(s))
            return false;
        if (s->i < s->n && !gs_op(here(s), ";"))
            return gs_fail(s->x, here(s), "Syntax error: Expected \";\" but got \"%.*s\"", SL_ARG(here(s)->text));
    }
    s->depth--;
    return true;
}

/* Every bracket has its partner in the same statement, and none is nested too deep: everything behind relies on it. */
static bool balanced(gs_context *x, const gs_token *t, size_t n)
{
    enum { DEPTH_MAX = 200 };
    const gs_token *open[DEPTH_MAX];
    size_t depth = 0;
    for (size_t i = 0; i < n; i++) {
        bool closes = gs_op(&t[i], ")") || gs_op(&t[i], "]");
        if (gs_op(&t[i], "(") || gs_op(&t[i], "[")) {
            if (depth == DEPTH_MAX)
                return gs_fail(x, &t[i], "Syntax error: brackets are nested deeper than %d levels", DEPTH_MAX);
            open[depth++] = &t[i];
        } else if (closes && (depth == 0 || gs_op(open[depth - 1], "(") != gs_op(&t[i], ")")))
            return gs_fail(x, &t[i], "Syntax error: Unexpected \"%.*s\"", SL_ARG(t[i].text));
        else if (closes)
            depth--;
        else if (depth > 0 && gs_op(&t[i], ";"))
            break;
    }
    return depth == 0 || gs_fail(x, open[depth - 1], "Syntax error: \"%.*s\" is not closed", SL_ARG(open[depth - 1]->text));
}

bool gs_translate(gs_context *x, gs_statement **ret, size_t *ret_count)
{
    script s = { .x = x };
    sl_err_clear(x->err);
    gs_token *tokens = gs_lex(x->arena, x->text, &s.n, x->err);
    if (tokens == NULL)
        return false;
    gs_number_parameters(x, tokens, s.n);
    s.t = tokens;
    if (!balanced(x, s.t, s.n) || !block(&s))
        return false;
    if (s.i < s.n)
        return gs_fail(x, &s.t[s.i], "Syntax error: Unexpected \"%.*s\"", SL_ARG(s.t[s.i].text));
    if (s.count == 0)
        return sl_err_at(x->err, 1, 1, SL_ERR_DATA, "sql.syntax", "Syntax error: Unexpected end of script at [1:1]");
    for (size_t i = 0; i < s.count; i++)
        s.list[i].jump = s.list[i].jump < s.count ? s.list[i].jump : s.count;
    *ret = s.list;
    *ret_count = s.count;
    return true;
}
