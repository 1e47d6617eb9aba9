/*
 * local/bq_script.c: scripts: each statement is a job of its own, done for good when it is done.
 *
 * Taken up again after a kill, a script goes the same way (what its branches found is kept) behind the last statement that was
 * done; only what is temporary is made anew. A transaction's statements and their jobs are written by its COMMIT: killed before, it begins again.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/fault.h"
#include "local/bq.h"

enum { STEPS_MAX = 100000 };

typedef struct run {
    sl_cloud *c;
    sl_duck_con *k;
    sl_arena *a;                  /* of the step */
    const sl_val *stored;
    const bq_script *x;
    size_t at, step;
    bool within;                  /* a transaction of the script's own, which began here: */
    size_t begin_at, begin_step;
    int tries;
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

/* *last: the job as it is afterwards. */
static bool step(run *r, const gs_statement *s, sl_val **last, sl_err *err)
{
    sl_val *child = child_of(r->a, r->stored, s, r->step);
    const sl_val *ref = sl_get(child, "jobReference"), *before = bq_job_get(r->c, r->a, sl_get_text(ref, "projectId"), sl_get_text(ref, "jobId"));
    *last = before && !s->temporary ? bq_job_own(r->a, before) : child;
    if (!SL_FAULT("local.script.before_step", err))
        return false;
    if (s->flow == GS_BRANCH)
        return branch(r, s, before, child, err);
    if (s->flow == GS_RAISE)
        return raise_error(r, s, child, err);
    if (before != NULL && !s->temporary)
        return sl_get(sl_get(before, "status"), "errorResult") == NULL || sl_err_set(err, SL_ERR_DATA, "invalid", "the statement has failed before");
    if (bq_controls_transaction(s))
        return transaction(r, s, child, err);
    if (!r->within)
        return bq_run_one(r->c, r->k, r->a, child, r->x, s, last, err);
    if (is_ddl(s))
        return sl_err_set(err, SL_ERR_DATA, "invalidQuery", "DDL statements are not supported in a transaction, except for those targeting temporary tables or temporary functions.");
    return bq_run_statement(r->c, r->k, r->a, child, r->x, s, err) && save_done(r, child, err);
}

/* ---- all of them ---- */

/* What the transaction did is undone; after a conflict it begins again. */
static bool begins_again(run *r, const sl_err *err)
{
    sl_err ignored;
    (void)sl_duck_exec(r->k, "ROLLBACK", &ignored);
    r->within = false;
    if (!bq_is_conflict(err) || ++r->tries >= BQ_TRIES)
        return false;
    bq_pause(r->tries);
    r->at = r->begin_at;
    r->step = r->begin_step;
    return true;
}

/* One step after the other; *error: of the one that failed, NULL = none. *destination: where the last query's rows are. */
static void run_all(run *r, sl_arena *a, const sl_val **error, const sl_val **destination)
{
    sl_err err;
    while (r->at < r->x->n && *error == NULL) {
        const gs_statement *s = &r->x->list[r->at];
        if (s->flow == GS_GOTO) {
            r->at = s->jump;
            continue;
        }
        SL_ARENA step_arena = sl_arena_new();
        sl_val *last;
        r->a = step_arena;
        sl_err_clear(&err);
        bool ok = r->step < STEPS_MAX ? step(r, s, &last, &err) : sl_err_set(&err, SL_ERR_LIMIT, "invalidQuery", "the script has taken %d steps; the local cloud runs no more", STEPS_MAX);
        if (!ok && r->within && begins_again(r, &err))
            continue;
        if (!ok) {
            const sl_val *own = r->step < STEPS_MAX ? sl_get(sl_get(last, "status"), "errorResult") : NULL;
            *error = sl_val_copy(a, own ? own : bq_error(r->c, step_arena, &err));
        } else if (s->flow == GS_RUN)
            *destination = strcmp(s->type, "SELECT") == 0 ? sl_val_copy(a, sl_get(sl_get(sl_get(last, "configuration"), "query"), "destinationTable")) : NULL;
        r->at++;
        r->step++;
    }
}

void bq_run_script(sl_cloud *c, sl_duck_con *k, sl_arena *a, const sl_val *stored, const bq_script *x)
{
    run r = { .c = c, .k = k, .stored = stored, .x = x };
    const sl_val *error = NULL, *destination = NULL;
    sl_err err;
    run_all(&r, a, &error, &destination);
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
