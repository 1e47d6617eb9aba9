/*
 * local/bq_job.c: jobs: submitted under the client's id, run on a thread of their own, kept for ever.
 *
 * The row RUNNING is written first; the effect and the row DONE are one transaction of the warehouse. A kill in between
 * leaves RUNNING without effect, and the job is run when the cloud starts again: once in any case.
 */
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/json.h"
#include "local/bq.h"

const sl_val *bq_job_get(sl_cloud *c, sl_arena *a, sl_str project, sl_str id)
{
    sl_err err;
    const sl_val *rows, *job = NULL;
    sl_duck_con *k = bq_connect(c, &err);
    if (k == NULL)
        return NULL;
    if (sl_duck_run(k, a, sl_fmt(a, "SELECT job FROM _sl.jobs WHERE project=%.*s AND id=%.*s", SL_ARG(sl_duck_text(a, project)), SL_ARG(sl_duck_text(a, id))), &rows, NULL, &err) && rows->list.n > 0)
        job = sl_json_parse(a, sl_text(sl_at(sl_at(rows, 0), 0)), &err);
    sl_duck_disconnect(k);
    return job;
}

bool bq_job_save(sl_duck_con *k, sl_arena *a, const sl_val *job, const char *state, bool insert, sl_err *err)
{
    const sl_val *ref = sl_get(job, "jobReference");
    sl_str parent = sl_get_text(sl_get(job, "statistics"), "parentJobId");
    return sl_duck_run(k, a, sl_fmt(a, "INSERT %s INTO _sl.jobs VALUES(%.*s, %.*s, '%s', %.*s, %.*s, %.*s)", insert ? "" : "OR REPLACE", SL_ARG(sl_duck_text(a, sl_get_text(ref, "projectId"))),
                                    SL_ARG(sl_duck_text(a, sl_get_text(ref, "jobId"))), state, SL_ARG(parent.n ? sl_duck_text(a, parent) : SL_S("NULL")), SL_ARG(sl_get_text(sl_get(job, "statistics"), "creationTime")),
                                    SL_ARG(sl_duck_text(a, sl_json(a, job)))),
                       NULL, NULL, err);
}

void bq_job_set_status(sl_arena *a, sl_val *job, const char *state, const sl_val *error)
{
    sl_val *status = sl_map(a), *stats = (sl_val *)(uintptr_t)sl_get(job, "statistics");
    sl_map_set_str(a, status, "state", sl_str_c(state));
    if (error != NULL) {
        sl_val *errors = sl_list(a);
        sl_list_add(a, errors, error);
        sl_map_setc(a, status, "errorResult", error);
        sl_map_setc(a, status, "errors", errors);
    }
    if (strcmp(state, "DONE") == 0)
        sl_map_set_str(a, stats, "endTime", sl_fmt(a, "%lld", (long long)sl_now_ms()));
    sl_map_setc(a, job, "status", status);
}

sl_val *bq_job_own(sl_arena *a, const sl_val *job)
{
    sl_val *v = sl_map_shallow(a, job);
    sl_map_setc(a, v, "statistics", sl_map_shallow(a, sl_get(job, "statistics")));
    return v;
}

bool bq_is_conflict(const sl_err *err)
{
    static const char *const words[] = { "Transaction conflict", "Conflict on tuple", "Conflict on update", "write-write conflict", "TransactionContext Error: Conflict", "Could not serialize" };
    for (size_t i = 0; i < SL_COUNT(words); i++)
        if (sl_str_find(sl_str_c(err->message), sl_str_c(words[i])) >= 0)
            return true;
    return false;
}

void bq_pause(int tries)
{
    enum { PAUSE_MS = 50 };
    sl_sleep_ms(tries < PAUSE_MS ? tries : PAUSE_MS);
}

static bool run_once(sl_cloud *c, sl_duck_con *k, sl_arena *a, sl_val *job, const bq_script *x, const gs_statement *s, sl_err *err)
{
    bool ok = SL_FAULT("local.job.before_run", err) && sl_duck_exec(k, "BEGIN TRANSACTION", err) && (s ? bq_run_statement(c, k, a, job, x, s, err) : bq_run_other(c, k, a, job, err));
    if (ok) {
        bq_job_set_status(a, job, "DONE", NULL);
        ok = bq_job_save(k, a, job, "DONE", false, err) && sl_duck_exec(k, "COMMIT", err);
    }
    if (ok)
        return true;
    sl_err ignored;
    (void)sl_duck_exec(k, "ROLLBACK", &ignored);
    return false;
}

/*
 * The effect and the row DONE in one transaction; when it fails, the row alone, with the error. BigQuery lets statements that
 * change the same table wait for each other; here the one that lost tries again.
 */
bool bq_run_one(sl_cloud *c, sl_duck_con *k, sl_arena *a, const sl_val *stored, const bq_script *x, const gs_statement *s, sl_val **ret, sl_err *err)
{
    sl_val *job = *ret = bq_job_own(a, stored);
    bool ok = run_once(c, k, a, job, x, s, err);
    for (int i = 1; !ok && i < BQ_TRIES && bq_is_conflict(err); i++) {
        bq_pause(i);
        sl_err_clear(err);
        job = *ret = bq_job_own(a, stored);
        ok = run_once(c, k, a, job, x, s, err);
    }
    if (ok)
        return true;
    sl_err ignored;
    job = *ret = bq_job_own(a, stored);
    bq_job_set_status(a, job, "DONE", bq_error(c, a, err));
    (void)bq_job_save(k, a, job, "DONE", false, &ignored);
    return false;
}

static void run_job(sl_cloud *c, sl_duck_con *k, const sl_val *stored)
{
    SL_ARENA a = sl_arena_new();
    sl_err err;
    sl_val *job;
    bq_script x = { 0 };
    sl_err_clear(&err);
    if (sl_get(sl_get(stored, "configuration"), "query") != NULL && !bq_statements(a, stored, &x, &err)) {
        job = bq_job_own(a, stored);
        bq_job_set_status(a, job, "DONE", bq_error(c, a, &err));
        (void)bq_job_save(k, a, job, "DONE", false, &err);
    } else if (bq_is_script(&x))
        bq_run_script(c, k, a, stored, &x);
    else
        (void)bq_run_one(c, k, a, stored, &x, x.list, &job, &err);
    sl_str upload = sl_get_text(sl_get(sl_get(stored, "configuration"), "load"), "x-upload");
    if (upload.n > 0)
        (void)unlink(sl_gcs_blob_path(c, a, upload).p);
}

static void *job_thread(void *self)
{
    bq_running *r = self;
    SL_ARENA a = sl_arena_new();
    sl_cloud *c = r->cloud;
    sl_str rest = sl_str_c(r->id), project;
    (void)sl_str_cut(&rest, '/', &project);
    const sl_val *job = bq_job_get(c, a, project, rest);
    if (job != NULL)
        run_job(c, r->con, job);
    pthread_mutex_lock(&c->lock);
    for (bq_running **at = &c->running; *at != NULL; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            break;
        }
    pthread_mutex_unlock(&c->lock);
    sl_duck_disconnect(r->con);
    free(r);
    return NULL;
}

static bool start(sl_cloud *c, sl_str project, sl_str id, sl_err *err)
{
    bq_running *r = sl_malloc(sizeof *r);
    *r = (bq_running){ .cloud = c };
    (void)snprintf(r->id, sizeof r->id, "%.*s/%.*s", SL_ARG(project), SL_ARG(id));
    r->con = sl_duck_connect(c->duck, err);
    if (r->con == NULL) {
        free(r);
        return false;
    }
    pthread_mutex_lock(&c->lock);
    r->next = c->running;
    c->running = r;
    pthread_t thread;
    bool ok = !c->stopping && pthread_create(&thread, NULL, job_thread, r) == 0;
    if (ok)
        pthread_detach(thread);
    else
        c->running = r->next;
    pthread_mutex_unlock(&c->lock);
    if (ok)
        return true;
    sl_duck_disconnect(r->con);
    free(r);
    return sl_err_set(err, SL_ERR_IO, "thread", "no thread for the job");
}

bool bq_jobs_take_up(sl_cloud *c, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    const sl_val *rows;
    sl_duck_con *k = sl_duck_connect(c->duck, err);
    bool ok = k != NULL && sl_duck_run(k, a, SL_S("SELECT project, id FROM _sl.jobs WHERE state='RUNNING' ORDER BY created"), &rows, NULL, err);
    for (size_t i = 0; ok && i < sl_val_count(rows); i++)
        ok = start(c, sl_text(sl_at(sl_at(rows, i), 0)), sl_text(sl_at(sl_at(rows, i), 1)), err);
    sl_duck_disconnect(k);
    return ok;
}

/* The first dataset that the job names, for its location. */
static sl_str find_location(sl_cloud *c, sl_duck_con *k, sl_arena *a, sl_str project)
{
    const sl_val *rows;
    sl_err err;
    (void)c;
    if (sl_duck_run(k, a, sl_fmt(a, "SELECT DISTINCT json_extract_string(meta, '$.location') FROM _sl.datasets WHERE project=%.*s", SL_ARG(sl_duck_text(a, project))), &rows, NULL, &err) && rows->list.n == 1)
        return sl_text(sl_at(sl_at(rows, 0), 0));
    return SL_S("US");
}

static sl_val *prepare(sl_cloud *c, sl_duck_con *k, sl_server_request *req, const sl_val *given, sl_str project)
{
    sl_arena *a = req->arena;
    sl_val *job = sl_map(a), *ref = sl_map(a), *stats = sl_map(a), *status = sl_map(a);
    sl_str id = sl_get_text(sl_get(given, "jobReference"), "jobId"), location = sl_get_text(sl_get(given, "jobReference"), "location"), now = sl_fmt(a, "%lld", (long long)sl_now_ms());
    char random[23];
    sl_random_id(random);
    sl_map_set_str(a, ref, "projectId", project);
    sl_map_set_str(a, ref, "jobId", id.n ? id : sl_fmt(a, "job_%s", random));
    sl_map_set_str(a, ref, "location", location.n ? location : find_location(c, k, a, project));
    sl_map_set_str(a, stats, "creationTime", now);
    sl_map_set_str(a, stats, "startTime", now);
    sl_map_set_str(a, status, "state", SL_S("RUNNING"));
    sl_val *conf = sl_map_shallow(a, sl_get(given, "configuration"));
    static const char *const kinds[][2] = { { "query", "QUERY" }, { "load", "LOAD" }, { "extract", "EXTRACT" }, { "copy", "COPY" } };
    for (size_t i = 0; i < SL_COUNT(kinds); i++)
        if (sl_get(conf, kinds[i][0]) != NULL)
            sl_map_set_str(a, conf, "jobType", sl_str_c(kinds[i][1]));
    sl_map_set_str(a, job, "kind", SL_S("bigquery#job"));
    sl_map_set_str(a, job, "id", sl_fmt(a, "%.*s:%.*s.%.*s", SL_ARG(project), SL_ARG(sl_get_text(ref, "location")), SL_ARG(sl_get_text(ref, "jobId"))));
    sl_map_set_str(a, job, "selfLink", sl_fmt(a, "%s/bigquery/v2/projects/%.*s/jobs/%.*s", c->url, SL_ARG(project), SL_ARG(sl_get_text(ref, "jobId"))));
    sl_map_set_str(a, job, "user_email", sl_fmt(a, "local@%.*s.iam.gserviceaccount.com", SL_ARG(c->project)));
    sl_map_setc(a, job, "jobReference", ref);
    sl_map_setc(a, job, "configuration", conf);
    sl_map_setc(a, job, "statistics", stats);
    sl_map_setc(a, job, "status", status);
    return job;
}

/* A dry run: translated, and tried in a transaction that is rolled back, so that names and types are checked. Which way a script goes, nobody knows before it runs. */
static const sl_val *dry_run(sl_cloud *c, sl_duck_con *k, sl_server_request *req, sl_server_response *resp, sl_val *job)
{
    sl_arena *a = req->arena;
    sl_err err, ignored;
    bq_script x = { 0 };
    bool query = sl_get(sl_get(job, "configuration"), "query") != NULL, straight = true, ok = (!query || bq_statements(a, job, &x, &err)) && sl_duck_exec(k, "BEGIN TRANSACTION", &err);
    for (size_t i = 0; i < x.n; i++)
        straight &= x.list[i].flow == GS_RUN && !bq_controls_transaction(&x.list[i]);
    for (size_t i = 0; ok && straight && i < x.n; i++)
        ok = bq_run_statement(c, k, a, job, &x, &x.list[i], &err);
    ok = ok && (query || bq_run_other(c, k, a, job, &err));
    (void)sl_duck_exec(k, "ROLLBACK", &ignored);
    if (!ok) {
        const sl_val *e = bq_error(c, a, &err);
        sl_cloud_refuse(req, resp, sl_str_eqc(sl_get_text(e, "reason"), "notFound") ? 404 : 400, sl_get_text(e, "reason").p, "%.*s", SL_ARG(sl_get_text(e, "message")));
        return NULL;
    }
    bq_job_set_status(a, job, "DONE", NULL);
    return job;
}

static bool still_running(sl_cloud *c, sl_str key)
{
    bool running = false;
    pthread_mutex_lock(&c->lock);
    for (const bq_running *r = c->running; r != NULL; r = r->next)
        running |= sl_str_eqc(key, r->id);
    pthread_mutex_unlock(&c->lock);
    return running;
}

const sl_val *bq_job_submit(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_str project, const sl_val *given)
{
    sl_arena *a = req->arena;
    sl_err err;
    sl_duck_con *k = bq_connect(c, &err);
    if (k == NULL) {
        sl_cloud_refuse(req, resp, 500, "internalError", "%s", err.message);
        return NULL;
    }
    sl_val *job = prepare(c, k, req, given, project);
    sl_str id = sl_get_text(sl_get(job, "jobReference"), "jobId");
    if (sl_get_bool(sl_get(given, "configuration"), "dryRun", false)) {
        const sl_val *done = dry_run(c, k, req, resp, job);
        sl_duck_disconnect(k);
        return done;
    }
    bool ok = bq_job_save(k, a, job, "RUNNING", true, &err);
    sl_duck_disconnect(k);
    if (!ok) {
        if (bq_job_get(c, a, project, id) != NULL)
            sl_cloud_refuse(req, resp, 409, "duplicate", "Already Exists: Job %.*s:%.*s.%.*s", SL_ARG(project), SL_ARG(sl_get_text(sl_get(job, "jobReference"), "location")), SL_ARG(id));
        else
            sl_cloud_refuse(req, resp, 500, "internalError", "%s", err.message);
        return NULL;
    }
    if (!start(c, project, id, &err)) {
        sl_cloud_refuse(req, resp, 503, "backendError", "%s", err.message);
        return NULL;
    }
    /* Most jobs here are over in a moment: an answer that says so saves the client a poll. */
    sl_str key = sl_fmt(a, "%.*s/%.*s", SL_ARG(project), SL_ARG(id));
    for (int i = 0; i < 100 && still_running(c, key); i++)
        sl_sleep_ms(i < 20 ? 1 : 5);
    return bq_job_get(c, a, project, id);
}

void sl_bq_load_uploaded(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_str project, const sl_val *given, sl_str blob)
{
    sl_arena *a = req->arena;
    const sl_val *load = sl_get(sl_get(given, "configuration"), "load"), *job = NULL;
    if (load == NULL)
        sl_cloud_refuse(req, resp, 400, "invalid", "Required parameter is missing: configuration.load");
    else {
        sl_val *with = sl_map_shallow(a, given), *conf = sl_map_shallow(a, sl_get(given, "configuration")), *inner = sl_map_shallow(a, load);
        sl_map_set_str(a, inner, "x-upload", blob);
        sl_map_setc(a, conf, "load", inner);
        sl_map_setc(a, with, "configuration", conf);
        job = bq_job_submit(c, req, resp, project, with);
    }
    if (job != NULL)
        sl_respond_json(req, resp, 200, job);
    else
        (void)unlink(sl_gcs_blob_path(c, a, blob).p);
}

void sl_bq_stop(sl_cloud *c)
{
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    for (int i = 0; c->running != NULL && i < 2000; i++) {
        if (i == 100) /* given a second to finish; what is cut off runs again at the next start */
            for (bq_running *r = c->running; r != NULL; r = r->next)
                sl_duck_interrupt(r->con);
        pthread_mutex_unlock(&c->lock);
        sl_sleep_ms(10);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    sl_duck_close(c->duck);
    c->duck = NULL;
}
