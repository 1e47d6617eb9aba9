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
    size_t loop_count, cursors;
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

/* The tokens from here to `word` at this level, as DuckDB's SQL. */
static bool expression(script *s, const char *word, sl_str *ret)
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
    *ret = gs_rewrite(s->x, s->t + from, s->i - from);
    return s->x->err->kind == SL_ERR_NONE;
}

/* A condition up to `word`: where it is not true, the next statement is elsewhere. subject: of a CASE, what it has to be. *ret: which branch it is. */
static bool condition(script *s, const char *word, sl_str subject, size_t *ret)
{
    size_t from = s->i;
    sl_str sql;
    if (!expression(s, word, &sql))
        return false;
    if (subject.n > 0)
        sql = sl_fmt(s->x->arena, "(%.*s) = (%.*s)", SL_ARG(subject), SL_ARG(sql));
    gs_statement *branch = emit(s, "IF", GS_BRANCH, from, s->i);
    branch->sql = sl_fmt(s->x->arena, "SELECT CAST((%.*s) AS BOOLEAN)", SL_ARG(sql));
    *ret = s->count - 1;
    s->i++;
    return true;
}

static bool block(script *s);

/* END word; */
static bool end_of(script *s, const char *word)
{
    return expect(s, "END") && (word == NULL || expect(s, word));
}

/* A jump to where the caller does not know yet: `done` is the one before, the new one is given. */
static size_t jump_later(script *s, size_t done)
{
    emit(s, "GOTO", GS_GOTO, s->i < s->n ? s->i : s->n - 1, s->i)->jump = done;
    return s->count - 1;
}

/* It is known now: here. */
static void jump_here(script *s, size_t done)
{
    for (size_t next; done != SIZE_MAX; done = next) {
        next = s->list[done].jump;
        s->list[done].jump = s->count;
    }
}

/* IF … THEN … [ELSEIF … THEN …] [ELSE …] END IF */
static bool if_statement(script *s)
{
    size_t branch, done = SIZE_MAX;
    do {
        s->i++;
        if (!condition(s, "THEN", SL_S(""), &branch) || !block(s))
            return false;
        if (at(s, "ELSEIF") || at(s, "ELSE"))
            done = jump_later(s, done);
        s->list[branch].jump = s->count;
    } while (at(s, "ELSEIF"));
    if (take(s, "ELSE") && !block(s))
        return false;
    jump_here(s, done);
    return end_of(s, "IF");
}

/* CASE [subject] WHEN … THEN … [ELSE …] END CASE */
static bool case_statement(script *s)
{
    size_t branch, done = SIZE_MAX;
    sl_str subject = SL_S("");
    s->i++;
    if (!at(s, "WHEN") && !expression(s, "WHEN", &subject))
        return false;
    while (take(s, "WHEN")) {
        if (!condition(s, "THEN", subject, &branch) || !block(s))
            return false;
        done = jump_later(s, done);
        s->list[branch].jump = s->count;
    }
    if (take(s, "ELSE") && !block(s))
        return false;
    jump_here(s, done);
    return end_of(s, "CASE");
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
    jump_here(s, s->loops[--s->loop_count].breaks);
}

/* WHILE … DO … END WHILE, LOOP … END LOOP, REPEAT … UNTIL … END REPEAT */
static bool loop_statement(script *s)
{
    bool while_loop = at(s, "WHILE"), repeat = at(s, "REPEAT");
    size_t branch = SIZE_MAX, start = s->count;
    s->i++;
    if (!enter_loop(s) || (while_loop && !condition(s, "DO", SL_S(""), &branch)) || !block(s))
        return false;
    if (repeat) {
        if (!expect(s, "UNTIL") || !condition(s, "END", SL_S(""), &branch))
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

/* FOR record IN (query) DO … END FOR: the query's rows are kept as those of any query, and fetched one by one. */
static bool for_statement(script *s)
{
    size_t from = s->i;
    const gs_token *name = here(s) + 1;
    if (s->i + 4 >= s->n || name->kind != GS_IDENT || !gs_is(name + 1, "IN") || !gs_op(name + 2, "("))
        return gs_fail(s->x, here(s), "Syntax error: FOR needs a variable, IN and a query in brackets");
    if (s->cursors == GS_CURSORS_MAX)
        return gs_fail(s->x, here(s), "a script may have %d FOR loops here", GS_CURSORS_MAX);
    size_t open = s->i + 3, close = gs_close(s->t, s->n, open), cursor = ++s->cursors;
    sl_str query = gs_rewrite(s->x, s->t + open + 1, close - open - 2);
    gs_statement *rows = emit(s, "SELECT", GS_RUN, open + 1, close - 1);
    rows->sql = query;
    rows->cursor = cursor;
    s->i = close;
    if (s->x->err->kind != SL_ERR_NONE || !expect(s, "DO") || !gs_declare(s->x, name, &(gs_declared){ .name = name->text, .record = true }) || !enter_loop(s))
        return false;
    size_t declared = s->x->declared_count - 1, fetch = s->count;
    gs_statement *next = emit(s, "FETCH", GS_FETCH, from, close);
    next->cursor = cursor;
    next->record = sl_str_lower(s->x->arena, name->text);
    if (!block(s))
        return false;
    (void)jump_later(s, fetch);
    s->list[fetch].jump = s->count;
    leave_loop(s);
    s->x->declared[declared].name = SL_S(""); /* it is seen inside of the loop alone */
    return end_of(s, "FOR");
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
    sl_str message = SL_S("coalesce(getvariable('error.message'), 'Unhandled user exception')"); /* in a handler: the same error again */
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

/* BEGIN … [EXCEPTION WHEN ERROR THEN …] END */
static bool begin_end(script *s)
{
    size_t first = s->count;
    s->i++;
    if (!block(s))
        return false;
    if (take(s, "EXCEPTION")) {
        if (!expect(s, "WHEN") || !expect(s, "ERROR") || !expect(s, "THEN"))
            return false;
        size_t done = jump_later(s, SIZE_MAX);
        for (size_t i = first; i < done; i++)
            if (s->list[i].handler == 0) /* else a block within has one of its own */
                s->list[i].handler = s->count;
        if (!block(s))
            return false;
        jump_here(s, done);
    }
    return end_of(s, NULL);
}

static bool plain(script *s)
{
    size_t from = s->i;
    if (at(s, "CALL"))
        return gs_fail(s->x, here(s), "the statement CALL is not supported by the local cloud: it has no procedures");
    while (s->i < s->n && !gs_op(here(s), ";"))
        s->i++;
    gs_statement one = { 0 };
    if (!gs_one_statement(s->x, s->t + from, s->i - from, &one))
        return false;
    gs_statement *made = emit(s, one.type, one.flow, from, s->i);
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
    if (at(s, "FOR"))
        return for_statement(s);
    if (at(s, "CASE"))
        return case_statement(s);
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
    static const char *const words[] = { "END", "ELSE", "ELSEIF", "WHEN", "UNTIL", "EXCEPTION" };
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
