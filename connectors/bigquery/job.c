/*
 * connectors/bigquery/job.c: jobs that happen once.
 *
 * The id is made from execution, task run and attempt, and is on disk before the job is sent. A lost answer, a 409 or a
 * restart lead to jobs.get, never to a second job. Only a job that is known to have failed for a passing reason is followed
 * by another one, under the next id. Following holds no thread: the task asks to be called again.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/json.h"
#include "connectors/bigquery/bigquery.h"

const sl_opt sl_bq_retry_opts[] = {
    { .name = "type", .type = SL_OPT_ENUM, .values = "CONSTANT EXPONENTIAL RANDOM", .doc = "How the time between attempts develops." },
    { .name = "interval", .type = SL_OPT_DURATION, .doc = "Time before the next attempt (PT5S)." },
    { .name = "maxInterval", .type = SL_OPT_DURATION, .doc = "Longest time between attempts (PT60M)." },
    { .name = "minInterval", .type = SL_OPT_DURATION, .doc = "Shortest time between attempts." },
    { .name = "delayFactor", .type = SL_OPT_DOUBLE, .doc = "Growth of the time." },
    { .name = "maxAttempt", .type = SL_OPT_INT, .doc = "Older spelling of maxAttempts." },
    { .name = "maxAttempts", .type = SL_OPT_INT, .doc = "Jobs in all (10)." },
    { .name = "maxDuration", .type = SL_OPT_DURATION, .doc = "No new job later than this (PT15M)." },
    { .name = "warningOnRetry", .type = SL_OPT_BOOL, .doc = "Accepted." },
    { 0 },
};

bool sl_bq_open(sl_bq *b, sl_task *t, const sl_gcp_cfg *gcp, const sl_bq_cfg *cfg, sl_err *err)
{
    *b = (sl_bq){ .cfg = cfg, .task = t, .arena = sl_task_arena(t) };
    return sl_gcp_open(&b->g, t, "bigquery", gcp, err) && sl_gcp_need_project(&b->g, err);
}

sl_str sl_bq_path(sl_bq *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sl_str rest = sl_vfmt(b->arena, fmt, ap);
    va_end(ap);
    return sl_fmt(b->arena, "/bigquery/v2/projects/%.*s/%.*s", SL_ARG(sl_percent(b->arena, b->g.project, ":")), SL_ARG(rest));
}

bool sl_bq_table_ref(sl_bq *b, sl_str name, const sl_val **ret, sl_err *err)
{
    sl_str rest = name, parts[3];
    size_t n = 0;
    while (n < 3 && sl_str_cut(&rest, '.', &parts[n]))
        n++;
    if (n < 2 || rest.p != NULL || parts[0].n == 0 || parts[n - 1].n == 0)
        return sl_err_set(err, SL_ERR_CONFIG, "bigquery.table", "'%.*s' is not a table's name; write dataset.table or project.dataset.table", SL_ARG(name));
    sl_val *v = sl_map(b->arena);
    sl_map_set_str(b->arena, v, "projectId", n == 3 ? parts[0] : b->g.project);
    sl_map_set_str(b->arena, v, "datasetId", parts[n - 2]);
    sl_map_set_str(b->arena, v, "tableId", parts[n - 1]);
    *ret = v;
    return true;
}

const sl_val *sl_bq_dataset_ref(sl_bq *b, sl_str name)
{
    ptrdiff_t dot = sl_str_find(name, SL_S("."));
    sl_val *v = sl_map(b->arena);
    sl_map_set_str(b->arena, v, "projectId", dot > 0 ? sl_str_sub(name, 0, (size_t)dot) : b->g.project);
    sl_map_set_str(b->arena, v, "datasetId", dot > 0 ? sl_str_sub(name, (size_t)dot + 1, name.n) : name);
    return v;
}

bool sl_bq_put_target(sl_bq *b, sl_val *configuration, const sl_bq_target *target, sl_err *err)
{
    const sl_val *ref;
    if (!sl_bq_table_ref(b, target->table, &ref, err))
        return false;
    sl_map_setc(b->arena, configuration, "destinationTable", ref);
    sl_map_opt_str(b->arena, configuration, "writeDisposition", target->write);
    sl_map_opt_str(b->arena, configuration, "createDisposition", target->create);
    return true;
}

void sl_bq_put_layout(sl_arena *a, sl_val *configuration, const sl_val *clustering, sl_str partition_field, sl_str partition_type)
{
    if (clustering != NULL)
        sl_map_setc(a, configuration, "clustering", sl_map_of(a, "fields", clustering));
    if (partition_field.n == 0)
        return;
    sl_val *v = sl_map(a);
    sl_map_set_str(a, v, "type", partition_type);
    sl_map_set_str(a, v, "field", partition_field);
    sl_map_setc(a, configuration, "timePartitioning", v);
}

/* ---- labels ---- */

static sl_str label_text(sl_arena *a, sl_str s)
{
    sl_str low = sl_str_lower(a, sl_str_sub(s, 0, 63));
    for (size_t i = 0; i < low.n; i++) {
        char c = low.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        if (!ok)
            ((char *)(uintptr_t)low.p)[i] = '_';
    }
    return low;
}

static const sl_val *job_labels(sl_bq *b, const sl_val *own)
{
    const sl_task_info *i = sl_task_about(b->task);
    sl_val *labels = sl_map(b->arena);
    sl_map_set_str(b->arena, labels, "kestra_namespace", label_text(b->arena, i->ns));
    sl_map_set_str(b->arena, labels, "kestra_flow_id", label_text(b->arena, i->flow_id));
    sl_map_set_str(b->arena, labels, "kestra_execution_id", label_text(b->arena, i->execution_id));
    sl_map_set_str(b->arena, labels, "kestra_task_id", label_text(b->arena, i->task_id));
    if (i->trigger_id.n > 0)
        sl_map_set_str(b->arena, labels, "kestra_trigger_id", label_text(b->arena, i->trigger_id));
    for (size_t k = 0; k < sl_val_count(own); k++)
        sl_map_set(b->arena, labels, own->map.entries[k].key, sl_val_str(b->arena, sl_val_text(b->arena, own->map.entries[k].value)));
    return labels;
}

/* ---- the retry of whole jobs ---- */

typedef struct policy {
    int64_t interval_ms, max_interval_ms, max_duration_ms, attempts_max;
    double factor;
} policy;

static policy policy_of(sl_bq *b)
{
    policy p = { .interval_ms = 5000, .max_interval_ms = 3600000, .max_duration_ms = 900000, .attempts_max = 10, .factor = 2 };
    const sl_val *r = b->cfg->retry;
    int64_t ms;
    if (r == NULL)
        return p;
    if (sl_get(r, "interval") && sl_duration_parse(sl_val_text(b->arena, sl_get(r, "interval")), &ms))
        p.interval_ms = ms;
    if (sl_get(r, "maxInterval") && sl_duration_parse(sl_val_text(b->arena, sl_get(r, "maxInterval")), &ms))
        p.max_interval_ms = ms;
    if (sl_get(r, "maxDuration") && sl_duration_parse(sl_val_text(b->arena, sl_get(r, "maxDuration")), &ms))
        p.max_duration_ms = ms;
    p.attempts_max = sl_get_int(r, "maxAttempts", sl_get_int(r, "maxAttempt", p.attempts_max));
    if (sl_str_ieq(sl_get_text(r, "type"), SL_S("constant")))
        p.factor = 1;
    return p;
}

static bool list_has(sl_arena *a, const sl_val *list, const char *const *fallback, sl_str text, bool part)
{
    sl_str low = sl_str_lower(a, text);
    for (size_t i = 0; i < sl_val_count(list); i++) {
        sl_str one = sl_text(sl_at(list, i));
        if (part ? sl_str_find(low, sl_str_lower(a, one)) >= 0 : sl_str_eq(one, text))
            return true;
    }
    for (; list == NULL && *fallback != NULL; fallback++)
        if (part ? sl_str_find(low, sl_str_c(*fallback)) >= 0 : sl_str_eqc(text, *fallback))
            return true;
    return false;
}

static bool job_may_be_retried(sl_bq *b, const sl_val *error)
{
    static const char *const reasons[] = { "rateLimitExceeded", "jobBackendError", "backendError", "internalError", "jobInternalError", NULL };
    static const char *const messages[] = { "due to concurrent update", "retrying the job may solve the problem", "retrying may solve the problem", NULL };
    return list_has(b->arena, b->cfg->retry_reasons, reasons, sl_get_text(error, "reason"), false) || list_has(b->arena, b->cfg->retry_messages, messages, sl_get_text(error, "message"), true);
}

/* All that the job says, with the place in the data where it knows one. */
static bool job_error(sl_bq *b, const sl_val *job, sl_err *err)
{
    const sl_val *status = sl_get(job, "status"), *first = sl_get(status, "errorResult"), *errors = sl_get(status, "errors");
    sl_buf text = sl_buf_new(b->arena, 3500);
    sl_buf_fmt(&text, "Bigquery Errors: %.*s (%.*s", SL_ARG(sl_get_text(first, "message")), SL_ARG(sl_get_text(first, "reason")));
    if (sl_get_text(first, "location").n > 0)
        sl_buf_fmt(&text, " at %.*s", SL_ARG(sl_get_text(first, "location")));
    sl_buf_addc(&text, ")");
    for (size_t i = 0; i < sl_val_count(errors) && i < 6; i++) {
        sl_str message = sl_get_text(sl_at(errors, i), "message"), place = sl_get_text(sl_at(errors, i), "location");
        if (sl_str_eq(message, sl_get_text(first, "message")))
            continue;
        sl_buf_fmt(&text, "; %.*s%s%.*s", SL_ARG(message), place.n ? " at " : "", SL_ARG(place));
    }
    sl_str id = sl_get_text(sl_get(job, "jobReference"), "jobId");
    sl_err_kind kind = sl_str_eqc(sl_get_text(first, "reason"), "accessDenied") ? SL_ERR_AUTH : sl_str_eqc(sl_get_text(first, "reason"), "notFound") ? SL_ERR_NOT_FOUND : SL_ERR_DATA;
    return sl_err_set(err, kind, "bigquery.job", "%.*s; job %.*s", SL_ARG(sl_buf_str(&text)), SL_ARG(id));
}

/* ---- submission ---- */

static sl_str job_id(sl_bq *b, int64_t number)
{
    return sl_task_key(b->task, sl_fmt(b->arena, "job%lld", (long long)number).p);
}

static bool remember(sl_bq *b, int64_t number, int64_t first_ms, int64_t not_before_ms, sl_str location, sl_err *err)
{
    sl_val *doc = sl_map(b->arena);
    sl_map_set_int(b->arena, doc, "number", number);
    sl_map_set_int(b->arena, doc, "firstMs", first_ms);
    sl_map_set_int(b->arena, doc, "notBeforeMs", not_before_ms);
    sl_map_set_str(b->arena, doc, "project", b->g.project);
    sl_map_set_str(b->arena, doc, "location", location);
    sl_map_set_str(b->arena, doc, "jobId", job_id(b, number));
    return sl_task_checkpoint(b->task, doc, err);
}

static bool get_job(sl_bq *b, sl_str id, sl_str location, const sl_val **ret, bool *found, sl_err *err)
{
    sl_http_response r;
    sl_str path = sl_bq_path(b, "jobs/%.*s%s%.*s", SL_ARG(id), location.n ? "?location=" : "", SL_ARG(sl_percent(b->arena, location, NULL)));
    *found = false;
    if (!sl_gcp_send(&b->g, "GET", path, NULL, true, &r, err))
        return false;
    if (r.status == 404)
        return true;
    if (r.status / 100 != 2)
        return sl_gcp_error(&b->g, &r, sl_fmt(b->arena, "asking for job %.*s", SL_ARG(id)).p, err);
    *found = (*ret = sl_json_parse(b->arena, r.body, err)) != NULL;
    return *found;
}

static const sl_val *job_body(sl_bq *b, const sl_val *configuration, const sl_val *labels, int64_t timeout_ms, sl_str id)
{
    sl_arena *a = b->arena;
    sl_val *body = sl_map(a), *ref = sl_map(a), *conf = sl_map_shallow(a, configuration);
    sl_map_set_str(a, ref, "projectId", b->g.project);
    if (id.n > 0)
        sl_map_set_str(a, ref, "jobId", id);
    if (b->cfg->location.n > 0)
        sl_map_set_str(a, ref, "location", b->cfg->location);
    sl_map_setc(a, conf, "labels", job_labels(b, labels));
    if (timeout_ms > 0)
        sl_map_set_str(a, conf, "jobTimeoutMs", sl_fmt(a, "%lld", (long long)timeout_ms));
    sl_map_setc(a, body, "jobReference", ref);
    sl_map_setc(a, body, "configuration", conf);
    return body;
}

static bool insert(void *self, sl_bq *b, const sl_val *body, const sl_val **ret, sl_err *err)
{
    sl_http_response r;
    (void)self;
    if (!sl_gcp_send(&b->g, "POST", sl_bq_path(b, "jobs"), body, true, &r, err))
        return false;
    if (r.status / 100 != 2)
        return sl_gcp_error(&b->g, &r, "submitting a job", err);
    return (*ret = sl_json_parse(b->arena, r.body, err)) != NULL;
}

static bool submit(sl_bq *b, sl_bq_submit bring, void *self, const sl_val *body, sl_str id, const sl_val **ret, sl_err *err)
{
    bool found = false;
    if (!SL_FAULT("bigquery.job.before_insert", err))
        return false;
    bool ok = bring(self, b, body, ret, err);
    if (!SL_FAULT("bigquery.job.after_insert", err))
        return false;
    if (ok)
        sl_task_log(b->task, SL_DEBUG, "submitted job %.*s", SL_ARG(id));
    if (ok || err->kind != SL_ERR_CONFLICT)
        return ok;
    /* It arrived at an earlier try: follow that one. */
    sl_err_clear(err);
    if (!get_job(b, id, b->cfg->location, ret, &found, err))
        return false;
    return found || sl_err_set(err, SL_ERR_CONFLICT, "bigquery.job", "BigQuery says that job %.*s exists, but does not show it; is 'location' right?", SL_ARG(id));
}

/* The longer it takes, the less often is asked: a quarter of its age, from 20 ms (local) or 500 ms to 10 s. */
static int64_t poll_ms(const sl_bq *b, const sl_val *job)
{
    int64_t age = sl_now_ms() - sl_get_int(sl_get(job, "statistics"), "creationTime", sl_now_ms()), least = b->g.local ? 20 : 500;
    int64_t wait = age / 4;
    return wait < least ? least : wait > 10000 ? 10000 : wait;
}

static sl_outcome failed_job(sl_bq *b, const sl_val *job, int64_t number, int64_t first_ms, sl_err *err)
{
    const sl_val *error = sl_get(sl_get(job, "status"), "errorResult");
    policy p = policy_of(b);
    job_error(b, job, err);
    double wait = (double)p.interval_ms;
    for (int64_t i = 1; i < number && wait < (double)p.max_interval_ms; i++)
        wait *= p.factor;
    if (wait > (double)p.max_interval_ms)
        wait = (double)p.max_interval_ms;
    int64_t now = sl_now_ms();
    if (!job_may_be_retried(b, error) || number >= p.attempts_max || now + (int64_t)wait > first_ms + p.max_duration_ms)
        return SL_TASK_FAILED;
    sl_task_log(b->task, SL_WARN, "%s; submitting it again in %lld ms", err->message, (long long)wait);
    if (!remember(b, number + 1, first_ms, now + (int64_t)wait, b->cfg->location, err))
        return SL_TASK_FAILED;
    return sl_task_wait(b->task, (int64_t)wait);
}

sl_outcome sl_bq_job(sl_bq *b, const sl_val *configuration, const sl_val *labels, int64_t timeout_ms, const sl_val **ret_job, sl_err *err)
{
    return sl_bq_job_by(b, insert, NULL, configuration, labels, timeout_ms, ret_job, err);
}

sl_outcome sl_bq_job_by(sl_bq *b, sl_bq_submit bring, void *self, const sl_val *configuration, const sl_val *labels, int64_t timeout_ms, const sl_val **ret_job, sl_err *err)
{
    const sl_val *saved = sl_task_saved(b->task), *job = NULL;
    int64_t number = sl_get_int(saved, "number", 1), first_ms = sl_get_int(saved, "firstMs", sl_now_ms()), not_before = sl_get_int(saved, "notBeforeMs", 0);
    bool found = false;
    sl_str id = job_id(b, number);
    if (saved != NULL && not_before > sl_now_ms())
        return sl_task_wait(b->task, not_before - sl_now_ms());
    sl_str location = sl_get_text(saved, "location");
    if (saved == NULL) {
        if (!remember(b, number, first_ms, 0, b->cfg->location, err))
            return SL_TASK_FAILED;
    } else if (!get_job(b, id, location, &job, &found, err))
        return SL_TASK_FAILED;
    if (!found && !submit(b, bring, self, job_body(b, configuration, labels, timeout_ms, id), id, &job, err))
        return SL_TASK_FAILED;
    sl_str actual = sl_get_text(sl_get(job, "jobReference"), "location");
    if (actual.n > 0 && !sl_str_eq(actual, sl_get_text(sl_task_saved(b->task), "location")) && !sl_str_eqc(sl_get_text(sl_get(job, "status"), "state"), "DONE")
        && !remember(b, number, first_ms, 0, actual, err))
        return SL_TASK_FAILED;
    if (!sl_str_eqc(sl_get_text(sl_get(job, "status"), "state"), "DONE"))
        return sl_task_wait(b->task, poll_ms(b, job));
    if (!SL_FAULT("bigquery.job.after_done", err))
        return SL_TASK_FAILED;
    if (sl_get(sl_get(job, "status"), "errorResult") != NULL)
        return failed_job(b, job, number, first_ms, err);
    const sl_val *warnings = sl_get(sl_get(job, "status"), "errors");
    for (size_t i = 0; i < sl_val_count(warnings) && i < 20; i++)
        sl_task_log(b->task, SL_WARN, "BigQuery: %.*s", SL_ARG(sl_get_text(sl_at(warnings, i), "message")));
    *ret_job = job;
    return SL_TASK_DONE;
}

void sl_bq_cancel(sl_task *t, const sl_gcp_cfg *gcp, const sl_bq_cfg *cfg)
{
    sl_bq b;
    sl_err err;
    const sl_val *saved = sl_task_saved(t);
    sl_str id = sl_get_text(saved, "jobId"), location = sl_get_text(saved, "location");
    if (id.n == 0)
        return;
    if (!sl_bq_open(&b, t, gcp, cfg, &err)) {
        sl_task_log(t, SL_ERROR, "job %.*s could not be cancelled; it may go on in BigQuery: %s", SL_ARG(id), err.message);
        return;
    }
    sl_str path = sl_bq_path(&b, "jobs/%.*s/cancel%s%.*s", SL_ARG(id), location.n ? "?location=" : "", SL_ARG(sl_percent(b.arena, location, NULL)));
    sl_str url = sl_fmt(b.arena, "%.*s%.*s", SL_ARG(b.g.base), SL_ARG(path));
    sl_http_request req = { .method = "POST", .url = url, .idempotent = true, .attempts_max = 3, .total_ms = 20000, .auth = b.g.auth, .pool = b.g.pool };
    sl_http_response r;
    bool answered = sl_http_call(sl_task_http(t), b.arena, &req, &r, &err);
    if (answered && r.status / 100 == 2)
        sl_task_log(t, SL_WARN, "cancelled job %.*s", SL_ARG(id));
    else if (!answered)
        sl_task_log(t, SL_ERROR, "job %.*s could not be cancelled; it may go on in BigQuery: %s", SL_ARG(id), err.message);
    else if (r.status != 404) /* its id was put on disk, but it was not submitted */
        sl_task_log(t, SL_ERROR, "job %.*s could not be cancelled (status %d); it may go on in BigQuery", SL_ARG(id), r.status);
}

bool sl_bq_dry_run(sl_bq *b, const sl_val *configuration, const sl_val **ret_job, sl_err *err)
{
    sl_val *conf = sl_map_shallow(b->arena, configuration);
    sl_map_set_bool(b->arena, conf, "dryRun", true);
    return sl_gcp_call(&b->g, "POST", sl_bq_path(b, "jobs"), job_body(b, conf, NULL, 0, SL_S("")), true, ret_job, err);
}
