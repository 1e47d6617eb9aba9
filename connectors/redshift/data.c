/*
 * connectors/redshift/data.c: statements through the Data API. See redshift.h.
 *
 * A checkpoint is {statements, since}: the ids, and when the last one was submitted (ms). ClientToken is the attempt's key:
 * submitted again after a crash, the same statement is meant. Several statements are one batch, which is a transaction; those
 * that are to stand for themselves are submitted one after the other.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/secret.h"
#include "connectors/aws/json.h"
#include "connectors/postgres/pg.h"
#include "connectors/redshift/redshift.h"

enum { STATEMENTS_MAX = 40, POLL_MIN_MS = 200, POLL_MAX_MS = 5000, DETAIL_MS = 30000 };

bool sl_redshift_is_data(const sl_redshift_cfg *c)
{
    return c->cluster.n > 0 || c->workgroup.n > 0;
}

typedef struct data {
    sl_task *t;
    sl_arena *arena;
    const sl_redshift_cfg *c;
    sl_redshift_job *job;
    sl_aws_api api;
} data;

static bool open_api(data *d, sl_task *t, const sl_aws_cfg *aws, sl_err *err)
{
    sl_aws_cfg none = { 0 };
    d->t = t;
    d->arena = sl_task_arena(t);
    d->api = (sl_aws_api){ .target = "RedshiftData", .version = "1.1", .name = "RedshiftData" };
    return sl_aws_open(&d->api.aws, t, "redshift-data", "REDSHIFT_DATA", aws ? aws : &none, err);
}

/* ---- submitting ---- */

static bool check(const data *d, sl_err *err)
{
    const sl_redshift_cfg *c = d->c;
    if (c->cluster.n > 0 && c->workgroup.n > 0)
        return sl_err_set(err, SL_ERR_CONFIG, "redshift.data", "'clusterIdentifier' and 'workgroupName' exclude one another");
    if (d->job->count > STATEMENTS_MAX)
        return sl_err_set(err, SL_ERR_CONFIG, "redshift.data", "'sql' holds %zu statements; the Data API takes %d at once: cut it into several tasks", d->job->count, STATEMENTS_MAX);
    if (d->job->count > 1 && sl_val_count(d->job->parameters) > 0)
        return sl_err_set(err, SL_ERR_CONFIG, "redshift.data", "the Data API takes 'parameters' with one statement only; 'sql' holds %zu: make a task of each", d->job->count);
    return true;
}

/* Values are texts there, and null cannot be said. */
static bool parameters(data *d, sl_val *body, sl_err *err)
{
    const sl_val *given = d->job->parameters;
    sl_val *list = sl_list(d->arena), *values = sl_list(d->arena);
    sl_str text;
    if (!sl_sql_bind(d->arena, d->job->list[0].text, given, &text, values, err)) /* all of them are there */
        return false;
    for (size_t i = 0; i < sl_val_count(given); i++) {
        const sl_entry *e = &given->map.entries[i];
        sl_val *one = sl_map_of(d->arena, "name", sl_val_str(d->arena, e->key));
        if (e->value->type == SL_NULL)
            return sl_err_set(err, SL_ERR_CONFIG, "redshift.data", "the parameter '%.*s' is null, which the Data API cannot say; write NULL into the SQL", SL_ARG(e->key));
        sl_map_set_str(d->arena, one, "value", sl_val_text(d->arena, e->value));
        sl_list_add(d->arena, list, one);
    }
    sl_map_setc(d->arena, body, "Parameters", list);
    return true;
}

static void where(data *d, sl_val *body)
{
    sl_map_opt_str(d->arena, body, "ClusterIdentifier", d->c->cluster);
    sl_map_opt_str(d->arena, body, "WorkgroupName", d->c->workgroup);
    sl_map_opt_str(d->arena, body, "Database", d->c->database);
    sl_map_opt_str(d->arena, body, "DbUser", d->c->db_user);
    sl_map_opt_str(d->arena, body, "SecretArn", d->c->secret_arn);
}

static bool one_by_one(const data *d)
{
    return d->job->count > 1 && !d->job->transaction;
}

/* Those from `first` on: one, or a batch. Its id joins `ids`. */
static bool submit(data *d, size_t first, sl_val *ids, sl_err *err)
{
    sl_arena *a = d->arena;
    const sl_val *answer;
    sl_val *body = sl_map(a), *texts = sl_list(a), *doc = sl_map_of(a, "statements", ids);
    bool batch = d->job->count > 1 && !one_by_one(d);
    where(d, body);
    sl_map_set_str(a, body, "ClientToken", sl_str_sub(sl_task_key(d->t, sl_fmt(a, "sql%zu", first).p), 0, 64));
    for (size_t i = first; i < d->job->count; i++)
        sl_list_add(a, texts, sl_val_str(a, d->job->list[i].text));
    sl_map_setc(a, body, batch ? "Sqls" : "Sql", batch ? texts : sl_at(texts, 0));
    if (sl_val_count(d->job->parameters) > 0 && !parameters(d, body, err))
        return false;
    if (!SL_FAULT("redshift.data.before_submit", err) || !sl_aws_json(&d->api, a, batch ? "BatchExecuteStatement" : "ExecuteStatement", body, "submitting the statement", &answer, err) || !SL_FAULT("redshift.data.after_submit", err))
        return false;
    sl_str id = sl_get_text(answer, "Id");
    if (id.n == 0)
        return sl_err_set(err, SL_ERR_DATA, "redshift.data", "the Data API gave no id for the statement");
    sl_task_log(d->t, SL_INFO, "statement %.*s is submitted", SL_ARG(id));
    sl_list_add(a, ids, sl_val_str(a, id));
    sl_map_set_int(a, doc, "since", sl_now_ms());
    return sl_task_checkpoint(d->t, doc, err);
}

static bool describe(data *d, sl_str id, const sl_val **ret, sl_err *err)
{
    if (sl_aws_json(&d->api, d->arena, "DescribeStatement", sl_map_of(d->arena, "Id", sl_val_str(d->arena, id)), "asking for the statement", ret, err))
        return true;
    if (err->kind == SL_ERR_NOT_FOUND)
        return sl_err_set(err, SL_ERR_CONFLICT, "redshift.data.forgotten", "the Data API does not know the statement %.*s any more (it keeps them for a day): look whether it ran, and start a new execution", SL_ARG(id));
    return false;
}

/* ---- results ---- */

/* PostgreSQL's numbers of the types, for sl_pg_value. */
static unsigned oid_of(sl_str type)
{
    static const struct {
        const char *name;
        unsigned oid;
    } known[] = { { "numeric", 1700 }, { "decimal", 1700 }, { "date", 1082 }, { "time", 1083 }, { "timetz", 1266 }, { "timestamp", 1114 }, { "timestamptz", 1184 }, { "super", 4000 } };
    for (size_t i = 0; i < SL_COUNT(known); i++)
        if (sl_str_ieq(type, sl_str_c(known[i].name)))
            return known[i].oid;
    return 1043;
}

static const sl_val *field_value(sl_arena *a, const sl_val *field, unsigned oid, const sl_tz *zone)
{
    static const char *const native[] = { "longValue", "doubleValue", "booleanValue" };
    const sl_val *text = sl_get(field, "stringValue"), *blob = sl_get(field, "blobValue");
    for (size_t i = 0; i < SL_COUNT(native); i++)
        if (sl_get(field, native[i]) != NULL)
            return sl_get(field, native[i]);
    if (blob != NULL)
        return blob;              /* base64, as everywhere */
    return text != NULL && !sl_get_bool(field, "isNull", false) ? sl_pg_value(a, oid, sl_text(text), zone) : &sl_null_val;
}

static bool add_page(data *d, const sl_val *page, sl_result *result, sl_err *err)
{
    const sl_val *columns = sl_get(page, "ColumnMetadata"), *records = sl_get(page, "Records");
    for (size_t i = 0; i < sl_val_count(records); i++) {
        const sl_val *record = sl_at(records, i);
        SL_ARENA own = sl_arena_new();
        sl_val *row = sl_map(own);
        for (size_t k = 0; k < sl_val_count(columns); k++) {
            const sl_val *column = sl_at(columns, k);
            sl_str name = sl_get_text(column, "label").n ? sl_get_text(column, "label") : sl_get_text(column, "name");
            sl_map_set(own, row, name, field_value(own, sl_at(record, k), oid_of(sl_get_text(column, "typeName")), d->job->zone));
        }
        if (!sl_result_add(result, sl_result_keeps(result) ? sl_val_copy(d->arena, row) : row, err))
            return false;
    }
    return true;
}

static bool fetch(data *d, sl_str id, sl_result *result, sl_err *err)
{
    char next[4096] = "";
    do {
        SL_ARENA page_arena = sl_arena_new();
        const sl_val *page;
        sl_val *body = sl_map_of(page_arena, "Id", sl_val_str(page_arena, id));
        sl_map_opt_str(page_arena, body, "NextToken", sl_str_c(next));
        if (!sl_aws_json(&d->api, page_arena, "GetStatementResult", body, "reading the rows", &page, err) || !add_page(d, page, result, err))
            return false;
        sl_str token = sl_get_text(page, "NextToken");
        if (token.n >= sizeof next)
            return sl_err_set(err, SL_ERR_LIMIT, "redshift.data", "the Data API's token for the next page is longer than %zu bytes", sizeof next - 1);
        (void)snprintf(next, sizeof next, "%.*s", SL_ARG(token));
    } while (next[0] != '\0');
    return true;
}

/* One result, or one of its own for each statement with rows. */
static bool collect(data *d, const sl_val *statements, sl_err *err)
{
    sl_result result = { 0 };
    bool none = sl_str_eqc(d->job->fetch_type, "NONE"), ok = true, open = false;
    for (size_t i = 0; ok && i < sl_val_count(statements); i++) {
        const sl_val *s = sl_at(statements, i);
        int64_t rows = sl_get_int(s, "ResultRows", -1);
        if (!sl_get_bool(s, "HasResultSet", false)) {
            d->job->changed += rows > 0 ? rows : 0;
            continue;
        }
        if (none) {
            sl_list_add(d->arena, d->job->outputs, sl_map(d->arena));
            continue;
        }
        ok = (open || (open = sl_result_open(&result, d->t, d->job->fetch_type, d->job->joined ? 0 : i, err))) && fetch(d, sl_get_text(s, "Id"), &result, err);
        if (ok && !d->job->joined) {
            sl_val *out = sl_map(d->arena);
            ok = sl_result_end(&result, out, err);
            sl_result_close(&result);
            open = false;
            sl_list_add(d->arena, d->job->outputs, out);
        }
    }
    if (ok && d->job->joined && !none) {
        sl_val *out = sl_map(d->arena);
        ok = (open || sl_result_open(&result, d->t, d->job->fetch_type, 0, err)) && sl_result_end(&result, out, err);
        open = true;
        sl_list_add(d->arena, d->job->outputs, out);
    }
    if (open)
        sl_result_close(&result);
    return ok;
}

/* ---- failures ---- */

/* A small query of ours, waited for. "" when it gives nothing. */
static sl_str ask(data *d, sl_str sql)
{
    const sl_val *answer, *now = NULL, *page;
    sl_err ignored;
    sl_val *body = sl_map_of(d->arena, "Sql", sl_val_str(d->arena, sql));
    where(d, body);
    if (!sl_aws_json(&d->api, d->arena, "ExecuteStatement", body, "asking for the reason", &answer, &ignored))
        return SL_S("");
    sl_val *id = sl_map_of(d->arena, "Id", sl_get(answer, "Id"));
    for (int64_t until = sl_mono_ms() + DETAIL_MS; sl_mono_ms() < until && !sl_task_cancelled(d->t); sl_sleep_ms(POLL_MIN_MS)) {
        if (!sl_aws_json(&d->api, d->arena, "DescribeStatement", id, "asking for the reason", &now, &ignored))
            return SL_S("");
        sl_str status = sl_get_text(now, "Status");
        if (sl_str_eqc(status, "FAILED") || sl_str_eqc(status, "ABORTED"))
            return SL_S("");
        if (sl_str_eqc(status, "FINISHED"))
            return sl_aws_json(&d->api, d->arena, "GetStatementResult", id, "reading the reason", &page, &ignored) ? sl_get_text(sl_at(sl_at(sl_get(page, "Records"), 0), 0), "stringValue") : SL_S("");
    }
    return SL_S("");
}

/* A COPY that failed says only where the reason can be read. */
static bool failed(data *d, const sl_val *s, sl_err *err)
{
    sl_str why = sl_str_replace(d->arena, sl_str_replace(d->arena, sl_get_text(s, "Error"), SL_S("\n\n"), SL_S("; ")), SL_S("\n"), SL_S(" "));
    bool aborted = sl_str_eqc(sl_get_text(s, "Status"), "ABORTED");
    sl_err_set(err, aborted ? SL_ERR_CONFLICT : SL_ERR_DATA, aborted ? "redshift.data.aborted" : "redshift.data.failed", "%s%.*s", aborted ? "the statement was cancelled in Redshift: " : "", SL_ARG(why));
    const sl_val *parts = sl_get(s, "SubStatements");
    for (size_t i = 0; i < sl_val_count(parts); i++)
        if (sl_str_eqc(sl_get_text(sl_at(parts, i), "Status"), "FAILED")) {
            sl_str part = sl_get_text(sl_at(parts, i), "Error");
            (void)sl_err_ctx(err, "statement %zu of %zu%s%.*s", i + 1, sl_val_count(parts), why.n ? "" : ": ", SL_ARG(why.n ? SL_S("") : part));
        }
    if (strstr(err->message, "load_error") != NULL) {
        long long session = (long long)sl_get_int(s, "RedshiftPid", 0);
        sl_str detail = ask(d, sl_fmt(d->arena, SL_REDSHIFT_LOAD_ERROR("%lld"), session));
        if (detail.n == 0)
            detail = ask(d, sl_fmt(d->arena, SL_REDSHIFT_LOAD_ERROR_SERVERLESS("%lld"), session));
        if (detail.n > 0)
            (void)sl_err_ctx(err, "%.*s", SL_ARG(detail));
    }
    sl_redact_err(err);
    return false;
}

/* ---- the run ---- */

/* What is there to be collected: the statements of the batch, or all that stood for themselves. */
static bool parts_of(data *d, const sl_val *ids, const sl_val *last, const sl_val **ret, sl_err *err)
{
    sl_val *all = sl_list(d->arena);
    *ret = sl_get(last, "SubStatements");
    if (sl_val_count(*ret) > 0)
        return true;
    *ret = all;
    for (size_t i = 0; i + 1 < sl_val_count(ids); i++) {
        const sl_val *one;
        if (!describe(d, sl_text(sl_at(ids, i)), &one, err))
            return false;
        sl_list_add(d->arena, all, one);
    }
    sl_list_add(d->arena, all, last);
    return true;
}

static bool go_on(data *d, bool *waits, sl_err *err)
{
    const sl_val *saved = sl_task_saved(d->t), *now, *parts;
    sl_val *ids = sl_list(d->arena);
    for (size_t i = 0; i < sl_val_count(sl_get(saved, "statements")); i++)
        sl_list_add(d->arena, ids, sl_at(sl_get(saved, "statements"), i));
    int64_t age_ms = sl_now_ms() - sl_get_int(saved, "since", sl_now_ms());
    if (sl_val_count(ids) == 0 && !submit(d, 0, ids, err))
        return false;
    if (!describe(d, sl_text(sl_at(ids, sl_val_count(ids) - 1)), &now, err))
        return false;
    sl_str status = sl_get_text(now, "Status");
    bool over = sl_str_eqc(status, "FINISHED"), more = one_by_one(d) && sl_val_count(ids) < d->job->count;
    if (sl_str_eqc(status, "FAILED") || sl_str_eqc(status, "ABORTED"))
        return failed(d, now, err) || (one_by_one(d) && sl_err_ctx(err, "statement %zu of %zu", sl_val_count(ids), d->job->count));
    if (over && more && !submit(d, sl_val_count(ids), ids, err))
        return false;
    *waits = !over || more;
    if (!*waits)
        return parts_of(d, ids, now, &parts, err) && collect(d, parts, err);
    int64_t pause_ms = over ? 0 : age_ms / 4;
    (void)sl_task_wait(d->t, pause_ms < POLL_MIN_MS ? POLL_MIN_MS : pause_ms > POLL_MAX_MS ? POLL_MAX_MS : pause_ms);
    return true;
}

sl_outcome sl_redshift_data(sl_task *t, const sl_redshift_cfg *c, const sl_aws_cfg *aws, sl_redshift_job *job, sl_err *err)
{
    data d = { .c = c, .job = job };
    bool waits = false;
    job->outputs = sl_list(sl_task_arena(t));
    bool ok = open_api(&d, t, aws, err) && check(&d, err) && go_on(&d, &waits, err);
    return !ok ? SL_TASK_FAILED : waits ? SL_TASK_WAIT : SL_TASK_DONE;
}

void sl_redshift_data_kill(sl_task *t, const sl_aws_cfg *aws)
{
    data d = { 0 };
    const sl_val *answer;
    sl_err err;
    const sl_val *ids = sl_get(sl_task_saved(t), "statements");
    sl_str id = sl_text(sl_at(ids, sl_val_count(ids) - 1));
    if (id.n > 0 && (!open_api(&d, t, aws, &err) || !sl_aws_json(&d.api, d.arena, "CancelStatement", sl_map_of(d.arena, "Id", sl_val_str(d.arena, id)), "cancelling the statement", &answer, &err)))
        sl_task_log(t, SL_WARN, "the statement %.*s goes on in Redshift: %s", SL_ARG(id), err.message);
}
