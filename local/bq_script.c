/*
 * local/bq_script.c: scripts: each statement is a job of its own, done for good when it is done.
 *
 * Taken up again after a kill, a script goes the same way (what its branches found is kept, and the errors that it handled) behind
 * the last statement that was done; only what is temporary is made anew. A transaction's statements and their jobs are written by its
 * COMMIT: killed before, it begins again.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/fault.h"
#include "local/bq.h"

enum { STEPS_MAX = 100000 };

typedef struct run {
    sl_cloud *c;
    sl_duck_con *k;
    sl_arena *arena, *a;          /* of the script, and of the step */
    const sl_val *stored;
    const bq_script *x;
    size_t at, step, jumps;
    bool within;                  /* a transaction of the script's own, which began here: */
    size_t begin_at, begin_step;
    int tries;
    bool broken;                  /* it has failed and is undone, and its ROLLBACK is still to come */
    struct {
        sl_str from;              /* the table of its rows */
        int64_t at, count;
    } cursors[GS_CURSORS_MAX];
} run;

bool bq_controls_transaction(const gs_statement *s)
{
    return strstr(s->type, "_TRANSACTION") != NULL;
}

bool bq_is_script(const bq_script *x)
{
    return x->n > 1 || (x->n == 1 && (x->list->flow != GS_RUN || bq_controls_transaction(x->list)));
}

/* The job of one statement of a script. */
static sl_val *child_of(sl_arena *a, const sl_val *parent, const gs_statement *s, size_t number)
{
    const sl_val *conf = sl_get(sl_get(parent, "configuration"), "query"), *ref = sl_get(parent, "jobReference");
    sl_val *child = sl_map_shallow(a, parent), *query = sl_map_shallow(a, conf), *own = sl_map_shallow(a, ref), *stats = sl_map(a);
    sl_str now = sl_fmt(a, "%lld", (long long)sl_now_ms()), id = sl_fmt(a, "script_job_%.*s_%zu", SL_ARG(sl_get_text(ref, "jobId")), number);
    sl_map_set_str(a, own, "jobId", id);
    sl_map_set_str(a, query, "query", sl_str_sub(sl_get_text(conf, "query"), s->from, s->to));
    sl_map_set_str(a, stats, "creationTime", now);
    sl_map_set_str(a, stats, "startTime", now);
    sl_map_set_str(a, stats, "parentJobId", sl_get_text(ref, "jobId"));
    sl_map_setc(a, stats, "scriptStatistics", sl_map_of(a, "evaluationKind", sl_val_c(a, s->flow == GS_RUN ? "STATEMENT" : "EXPRESSION")));
    sl_map_setc(a, child, "jobReference", own);
    sl_map_set_str(a, child, "id", sl_fmt(a, "%.*s:%.*s.%.*s", SL_ARG(sl_get_text(own, "projectId")), SL_ARG(sl_get_text(own, "location")), SL_ARG(id)));
    sl_map_setc(a, child, "configuration", sl_map_of(a, "query", query));
    sl_map_setc(a, child, "statistics", stats);
    return child;
}

/* ---- one step ---- */

static bool save_done(run *r, sl_val *child, sl_err *err)
{
    bq_job_set_status(r->a, child, "DONE", NULL);
    return bq_job_save(r->k, r->a, child, "DONE", false, err);
}

static bool is_ddl(const gs_statement *s)
{
    return !s->temporary && (strncmp(s->type, "CREATE", 6) == 0 || strncmp(s->type, "DROP", 4) == 0 || strncmp(s->type, "ALTER", 5) == 0);
}

static bool transaction(run *r, const gs_statement *s, sl_val *child, sl_err *err)
{
    bool begins = strcmp(s->type, "BEGIN_TRANSACTION") == 0, commits = strcmp(s->type, "COMMIT_TRANSACTION") == 0;
    if (r->broken && strcmp(s->type, "ROLLBACK_TRANSACTION") == 0) {
        r->broken = false;
        return true;
    }
    if (begins && r->within)
        return sl_err_set(err, SL_ERR_DATA, "invalidQuery", "Transaction is already in progress; nested transactions are not supported");
    if (!begins && !r->within)
        return sl_err_set(err, SL_ERR_DATA, "invalidQuery", "There is no active transaction to %s", commits ? "commit" : "roll back");
    sl_map_setc(r->a, (sl_val *)(uintptr_t)sl_get(child, "statistics"), "query", sl_map_of(r->a, "statementType", sl_val_c(r->a, s->type)));
    if (begins) {
        r->begin_at = r->at;
        r->begin_step = r->step;
        r->within = sl_duck_exec(r->k, "BEGIN TRANSACTION", err);
        return r->within && save_done(r, child, err);
    }
    if (!commits) {
        r->within = false;
        return sl_duck_exec(r->k, "ROLLBACK", err);
    }
    if (!save_done(r, child, err) || !SL_FAULT("local.script.before_commit", err) || !sl_duck_exec(r->k, "COMMIT", err))
        return false;
    r->within = false;
    return SL_FAULT("local.script.after_commit", err);
}

/* Which way it goes is kept, for the next time. */
static bool branch(run *r, const gs_statement *s, const sl_val *before, sl_val *child, sl_err *err)
{
    const sl_val *value = sl_get(before, "x-outcome");
    if (value == NULL) {
        if (!bq_run_value(r->c, r->k, r->a, child, r->x, s, &value, err))
            return false;
        sl_map_set_bool(r->a, child, "x-outcome", sl_str_eqc(sl_text(value), "true"));
        value = sl_get(child, "x-outcome");
        if (!save_done(r, child, err))
            return false;
    }
    if (!value->b)
        r->at = s->jump - 1; /* the caller goes on to the next one */
    return true;
}

static bool raise_error(run *r, const gs_statement *s, const sl_val *child, sl_err *err)
{
    const sl_val *message;
    return bq_run_value(r->c, r->k, r->a, child, r->x, s, &message, err)
           && sl_err_set(err, SL_ERR_DATA, "invalidQuery", "%.*s", SL_ARG(sl_is(message, SL_STRING) ? message->s : SL_S("RAISE USING MESSAGE needs a text, not NULL")));
}

/* ---- FOR ---- */

static const sl_val *destination_of(const sl_val *job)
{
    return sl_get(sl_get(sl_get(job, "configuration"), "query"), "destinationTable");
}

/* The rows of a FOR are those that its query left behind. */
static bool open_cursor(run *r, const gs_statement *s, const sl_val *job, sl_err *err)
{
    const sl_val *ref = destination_of(job), *rows;
    bool anonymous = sl_str_starts(sl_get_text(ref, "datasetId"), SL_S("_anon"));
    sl_str schema = anonymous ? SL_S("_sl") : bq_schema(r->a, sl_get_text(ref, "projectId"), sl_get_text(ref, "datasetId"));
    sl_str from = sl_fmt(r->a, "%.*s.%.*s", SL_ARG(sl_duck_ident(r->a, schema)), SL_ARG(sl_duck_ident(r->a, sl_get_text(ref, "tableId"))));
    if (!sl_duck_run(r->k, r->a, sl_fmt(r->a, "SELECT count(*)::VARCHAR FROM %.*s", SL_ARG(from)), &rows, NULL, err))
        return false;
    r->cursors[s->cursor - 1].from = sl_str_dup(r->arena, from);
    r->cursors[s->cursor - 1].at = 0;
    return sl_parse_int(sl_text(sl_at(sl_at(rows, 0), 0)), &r->cursors[s->cursor - 1].count);
}

static bool fetch(run *r, const gs_statement *s, sl_err *err)
{
    if (r->cursors[s->cursor - 1].at == r->cursors[s->cursor - 1].count) {
        r->at = s->jump - 1;      /* the caller goes on to the next one */
        return true;
    }
    sl_str from = r->cursors[s->cursor - 1].from;
    return sl_duck_run(r->k, r->a, sl_fmt(r->a, "SET VARIABLE sl_%.*s = (SELECT t FROM (FROM %.*s LIMIT 1 OFFSET %lld) t)", SL_ARG(s->record), SL_ARG(from), (long long)r->cursors[s->cursor - 1].at++), NULL, NULL, err);
}

/* ---- EXECUTE IMMEDIATE ---- */

static bool set_all(run *r, const sl_val *statements, sl_err *err)
{
    for (size_t i = 0; i < sl_val_count(statements); i++)
        if (!sl_duck_run(r->k, r->a, sl_text(sl_at(statements, i)), NULL, NULL, err))
            return false;
    return true;
}

/* INTO: the first row of what was found, NULLs where there is none. */
static bool keep_into(run *r, const gs_statement *s, const sl_val *job, sl_err *err)
{
    const sl_val *rows, *ref = destination_of(job);
    if (s->columns == NULL)
        return true;
    sl_str from = sl_fmt(r->a, "_sl.%.*s", SL_ARG(sl_duck_ident(r->a, sl_get_text(ref, "tableId"))));
    if (!sl_str_starts(sl_get_text(ref, "datasetId"), SL_S("_anon")))
        return sl_err_set(err, SL_ERR_DATA, "invalidQuery", "EXECUTE IMMEDIATE … INTO needs a query");
    if (!sl_duck_run(r->k, r->a, sl_fmt(r->a, "SELECT (SELECT count(*)::VARCHAR FROM %.*s), (SELECT count(*)::VARCHAR FROM (DESCRIBE %.*s))", SL_ARG(from), SL_ARG(from)), &rows, NULL, err))
        return false;
    int64_t count = 0, width = 0;
    (void)sl_parse_int(sl_text(sl_at(sl_at(rows, 0), 0)), &count);
    (void)sl_parse_int(sl_text(sl_at(sl_at(rows, 0), 1)), &width);
    if (count > 1)
        return sl_err_set(err, SL_ERR_DATA, "invalidQuery", "EXECUTE IMMEDIATE … INTO may find one row at most, not %lld", (long long)count);
    if (width != (int64_t)sl_val_count(s->columns))
        return sl_err_set(err, SL_ERR_DATA, "invalidQuery", "EXECUTE IMMEDIATE … INTO has %zu variables for %lld columns", sl_val_count(s->columns), (long long)width);
    for (size_t i = 0; i < sl_val_count(s->columns); i++) {
        const sl_val *one = sl_at(s->columns, i);
        sl_str value = sl_fmt(r->a, "SELECT struct_extract_at(t, %zu) FROM %.*s t", i + 1, SL_ARG(from));
        if (!sl_duck_run(r->k, r->a, gs_assignment(r->a, sl_get_text(one, "name"), value, sl_get_text(one, "type")), NULL, NULL, err))
            return false;
    }
    return true;
}

static bool run_statement(run *r, const bq_script *x, const gs_statement *s, sl_val *child, sl_val **last, sl_err *err);

/* The text is that of its job: taken up again, it is not asked for twice. */
static bool execute(run *r, const gs_statement *s, const sl_val *before, sl_val *child, sl_val **last, sl_err *err)
{
    const sl_val *text = sl_get(sl_get(sl_get(before, "configuration"), "query"), "query");
    bq_script inner = { 0 };
    if (!set_all(r, s->more, err) || (before == NULL && !bq_run_value(r->c, r->k, r->a, child, r->x, s, &text, err)))
        return false;
    if (!sl_is(text, SL_STRING))
        return sl_err_set(err, SL_ERR_DATA, "invalidQuery", "The text of EXECUTE IMMEDIATE is NULL");
    if (!bq_statements_of(r->a, child, text->s, s->options, r->x, &inner, err))
        return sl_err_ctx(err, "Invalid EXECUTE IMMEDIATE sql string");
    if (inner.n != 1 || inner.list->flow != GS_RUN || bq_controls_transaction(inner.list) || strcmp(inner.list->type, "DECLARE") == 0)
        return sl_err_set(err, SL_ERR_DATA, "invalidQuery", "EXECUTE IMMEDIATE takes one statement that is no part of a script");
    sl_map_set_str(r->a, (sl_val *)(uintptr_t)sl_get(sl_get(child, "configuration"), "query"), "query", text->s);
    return ((before != NULL && !inner.list->temporary) || run_statement(r, &inner, inner.list, child, last, err)) && keep_into(r, s, *last, err);
}

/* ---- a step ---- */

static bool run_statement(run *r, const bq_script *x, const gs_statement *s, sl_val *child, sl_val **last, sl_err *err)
{
    if (!r->within)
        return bq_run_one(r->c, r->k, r->a, child, x, s, last, err);
    if (is_ddl(s))
        return sl_err_set(err, SL_ERR_DATA, "invalidQuery", "DDL statements are not supported in a transaction, except for those targeting temporary tables or temporary functions.");
    *last = child;
    return bq_run_statement(r->c, r->k, r->a, child, x, s, err) && save_done(r, child, err);
}

static bool runs_when_broken(const gs_statement *s)
{
    return s->flow == GS_BRANCH || s->flow == GS_RAISE || s->flow == GS_FETCH || s->temporary || strcmp(s->type, "SELECT") == 0 || strcmp(s->type, "ROLLBACK_TRANSACTION") == 0;
}

/* *last: the job as it is afterwards. */
static bool step(run *r, const gs_statement *s, sl_val **last, sl_err *err)
{
    sl_val *child = child_of(r->a, r->stored, s, r->step);
    const sl_val *ref = sl_get(child, "jobReference"), *before = bq_job_get(r->c, r->a, sl_get_text(ref, "projectId"), sl_get_text(ref, "jobId"));
    *last = before && !s->temporary ? bq_job_own(r->a, before) : child;
    if (!SL_FAULT("local.script.before_step", err))
        return false;
    if (r->broken && !runs_when_broken(s))
        return sl_err_set(err, SL_ERR_DATA, "invalidQuery", "The transaction has failed: in the local cloud only ROLLBACK TRANSACTION, queries and variables may follow");
    if (s->flow == GS_FETCH)
        return fetch(r, s, err);
    if (sl_get(sl_get(before, "status"), "errorResult") != NULL) {
        *last = bq_job_own(r->a, before);
        return sl_err_set(err, SL_ERR_DATA, "invalid", "the statement has failed before");
    }
    if (s->flow == GS_BRANCH)
        return branch(r, s, before, child, err);
    if (s->flow == GS_RAISE)
        return raise_error(r, s, child, err);
    if (s->flow == GS_EXECUTE)
        return execute(r, s, before, child, last, err);
    bool done = before != NULL && !s->temporary;
    if (!done && bq_controls_transaction(s))
        return transaction(r, s, child, err);
    return (done || run_statement(r, r->x, s, child, last, err)) && (s->cursor == 0 || open_cursor(r, s, *last, err));
}

/* ---- all of them ---- */

/* What the transaction did is undone; after a conflict it begins again. */
static bool begins_again(run *r, const sl_err *err)
{
    sl_err ignored;
    (void)sl_duck_exec(r->k, "ROLLBACK", &ignored);
    r->within = false;
    r->broken = true;
    if (!bq_is_conflict(err) || ++r->tries >= BQ_TRIES)
        return false;
    bq_pause(r->tries);
    r->broken = false;
    r->at = r->begin_at;
    r->step = r->begin_step;
    return true;
}

/* The script goes on where the error is handled, and knows it; so that it goes the same way again, the error is kept with its job. */
static bool handle(run *r, const gs_statement *s, const sl_val *error, sl_err *err)
{
    sl_arena *a = r->a;
    sl_val *child = child_of(a, r->stored, s, r->step);
    sl_str text = sl_str_sub(sl_get_text(sl_get(sl_get(r->stored, "configuration"), "query"), "query"), s->from, s->to);
    const struct {
        const char *name;
        sl_str value;
    } told[] = { { "error.message", sl_get_text(error, "message") }, { "error.statement_text", text }, { "error.formatted_stack_trace", sl_fmt(a, "At %.*s", SL_ARG(text)) } };
    bq_job_set_status(a, child, "DONE", error);
    if (!bq_job_save(r->k, a, child, "DONE", false, err))
        return false;
    for (size_t i = 0; i < SL_COUNT(told); i++)
        if (!sl_duck_run(r->k, a, sl_fmt(a, "SET VARIABLE \"%s\" = %.*s", told[i].name, SL_ARG(sl_duck_text(a, told[i].value))), NULL, NULL, err))
            return false;
    r->at = s->handler;
    return SL_FAULT("local.script.after_handled", err);
}

static bool keep_row_count(run *r, const sl_val *last, sl_err *err)
{
    sl_str changed = sl_get_text(sl_get(sl_get(last, "statistics"), "query"), "numDmlAffectedRows");
    return changed.n == 0 || sl_duck_run(r->k, r->a, sl_fmt(r->a, "SET VARIABLE row_count = %.*s", SL_ARG(changed)), NULL, NULL, err);
}

/* The next step. *error: of one that failed and that nothing handles, NULL = none. *destination: where the last query's rows are. */
static void run_next(run *r, const gs_statement *s, const sl_val **error, const sl_val **destination)
{
    sl_err err;
    sl_val *last = NULL;
    sl_err_clear(&err);
    bool ok = r->step < STEPS_MAX && s->flow != GS_GOTO ? step(r, s, &last, &err) && keep_row_count(r, last, &err) : sl_err_set(&err, SL_ERR_LIMIT, "invalidQuery", "the script has taken %d steps; the local cloud runs no more", STEPS_MAX);
    if (!ok && r->within && begins_again(r, &err))
        return;
    if (!ok) {
        const sl_val *own = sl_get(sl_get(last, "status"), "errorResult"), *found = own ? own : bq_error(r->c, r->a, &err);
        sl_err_clear(&err);
        bool handled = s->handler != 0 && r->step < STEPS_MAX && s->flow != GS_GOTO && handle(r, s, found, &err);
        if (!handled)
            *error = sl_val_copy(r->arena, err.kind == SL_ERR_NONE ? found : bq_error(r->c, r->a, &err));
        r->step++;
        return;
    }
    if (s->flow == GS_RUN || s->flow == GS_EXECUTE)
        *destination = strcmp(s->type, "SELECT") == 0 || s->flow == GS_EXECUTE ? sl_val_copy(r->arena, destination_of(last)) : NULL;
    r->at++;
    r->step += s->flow != GS_FETCH;
}

static void run_all(run *r, const sl_val **error, const sl_val **destination)
{
    while (r->at < r->x->n && *error == NULL) {
        const gs_statement *s = &r->x->list[r->at];
        if (s->flow == GS_GOTO && r->jumps++ < STEPS_MAX) {
            r->at = s->jump;
            continue;
        }
        SL_ARENA step_arena = sl_arena_new();
        r->a = step_arena;
        run_next(r, s, error, destination);
    }
}

void bq_run_script(sl_cloud *c, sl_duck_con *k, sl_arena *a, const sl_val *stored, const bq_script *x)
{
    run r = { .c = c, .k = k, .arena = a, .stored = stored, .x = x };
    const sl_val *error = NULL, *destination = NULL;
    sl_err err;
    run_all(&r, &error, &destination);
    if (r.within)                 /* never committed */
        (void)sl_duck_exec(k, "ROLLBACK", &err);
    sl_val *job = bq_job_own(a, stored), *conf = sl_map_shallow(a, sl_get(job, "configuration")), *inner = sl_map_shallow(a, sl_get(conf, "query"));
    sl_map_opt(a, inner, "destinationTable", destination);
    sl_map_setc(a, conf, "query", inner);
    sl_map_setc(a, job, "configuration", conf);
    sl_val *stats = (sl_val *)(uintptr_t)sl_get(job, "statistics");
    sl_map_setc(a, stats, "query", sl_map_of(a, "statementType", sl_val_c(a, "SCRIPT")));
    sl_map_set_str(a, stats, "numChildJobs", sl_fmt(a, "%zu", r.step));
    bq_job_set_status(a, job, "DONE", error);
    (void)bq_job_save(k, a, job, "DONE", false, &err);
}
