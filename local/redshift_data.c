/*
 * local/redshift_data.c: the face of Redshift's Data API: statements that are submitted, run in a thread each, and are asked for.
 *
 * A statement's document lies in the warehouse itself (_sl.statements) and is written in the transaction of what it does: after a
 * crash, one that was not done is run again, and none twice. Source: https://docs.aws.amazon.com/redshift-data/latest/APIReference/
 */
#include <stdatomic.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/sql.h"
#include "local/aws.h"
#include "local/redshift.h"

enum { STATEMENTS_MAX = 40, SQL_MAX = 100 << 10, PAGE_ROWS = 1000, STOP_TRIES = 2000, STOP_GRACE = 100 };

typedef struct running {
    struct running *next;
    sl_cloud *c;
    sl_redshift_session *session;
    atomic_bool cancelled;
    char id[40];
} running;

static running *list_of(sl_cloud *c)
{
    return c->redshift_running;
}

/* ---- documents ---- */

static bool save(sl_redshift_session *s, sl_arena *a, const sl_val *doc, bool insert, sl_err *err)
{
    sl_str id = sl_duck_text(a, sl_get_text(doc, "Id")), token = sl_duck_text(a, sl_get_text(doc, "ClientToken")), text = sl_duck_text(a, sl_json(a, doc)), status = sl_duck_text(a, sl_get_text(doc, "Status"));
    sl_str sql = insert ? sl_fmt(a, "INSERT INTO _sl.statements VALUES (%.*s, %.*s, %.*s, %.*s)", SL_ARG(id), SL_ARG(token), SL_ARG(status), SL_ARG(text))
                        : sl_fmt(a, "UPDATE _sl.statements SET status = %.*s, doc = %.*s WHERE id = %.*s", SL_ARG(status), SL_ARG(text), SL_ARG(id));
    return sl_duck_run(s->con, a, sql, NULL, NULL, err);
}

static bool find(sl_redshift_session *s, sl_arena *a, const char *column, sl_str value, sl_val **ret, sl_err *err)
{
    const sl_val *rows;
    sl_str sql = sl_fmt(a, "SELECT doc FROM _sl.statements WHERE %s = %.*s", column, SL_ARG(sl_duck_text(a, value)));
    *ret = NULL;
    if (!sl_duck_run(s->con, a, sql, &rows, NULL, err))
        return false;
    if (sl_val_count(rows) == 0)
        return true;
    const sl_val *doc = sl_json_parse(a, sl_text(sl_at(sl_at(rows, 0), 0)), err);
    *ret = doc ? sl_map_shallow(a, doc) : NULL;
    return doc != NULL;
}

/* ---- running ---- */

static void set_state(sl_arena *a, sl_val *doc, const char *status, sl_str error)
{
    sl_map_set_str(a, doc, "Status", sl_str_c(status));
    sl_map_set_int(a, doc, "UpdatedMs", sl_now_ms());
    if (error.n > 0)
        sl_map_set_str(a, doc, "Error", error);
}

/* One statement; what came of it is added to `parts`. */
static bool run_one(running *r, sl_arena *a, const sl_val *doc, size_t i, sl_val *parts, sl_err *err)
{
    sl_pgwire_result result = { 0 };
    sl_val *values = sl_list(a), *part = sl_map(a);
    sl_str sql = sl_text(sl_at(sl_get(doc, "Sqls"), i)), bound;
    const sl_val *given = sl_get(doc, "Parameters");
    int64_t begun = sl_mono_ms(), changed = 0;
    sl_list_add(a, parts, part);
    sl_map_set_str(a, part, "QueryString", sql);
    bool ok = sl_sql_bind(a, sql, given, &bound, values, err) && (sl_val_count(values) == 0 || sl_sql_fill(a, bound, values, &bound)) && sl_redshift_session_run(r->session, a, bound, &result, err);
    set_state(a, part, ok ? "FINISHED" : r->cancelled ? "ABORTED" : "FAILED", ok ? SL_S("") : sl_fmt(a, "ERROR: %s", err->message));
    sl_map_set_int(a, part, "DurationMs", sl_mono_ms() - begun);
    sl_map_set_bool(a, part, "HasResultSet", ok && result.columns != NULL);
    ptrdiff_t blank = sl_str_rfind(result.tag, SL_S(" "));
    if (blank > 0)
        (void)sl_parse_int(sl_str_sub(result.tag, (size_t)blank + 1, result.tag.n), &changed);
    sl_map_set_int(a, part, "ResultRows", result.columns ? (int64_t)sl_val_count(result.rows) : sl_str_eqc(result.tag, "COPY") ? r->session->copied : changed);
    if (ok && result.columns != NULL) {
        sl_map_setc(a, part, "columns", result.columns);
        sl_map_setc(a, part, "rows", result.rows);
    }
    return ok;
}

static bool command(running *r, sl_arena *a, const char *sql, sl_err *err)
{
    sl_pgwire_result ignored = { 0 };
    return sl_redshift_session_run(r->session, a, sl_str_c(sql), &ignored, err);
}

/* One transaction, which holds the state that it leads to. */
static void run_all(running *r, sl_arena *a, sl_val *doc)
{
    sl_val *parts = sl_list(a);
    sl_err err, ignored;
    sl_map_setc(a, doc, "parts", parts);
    sl_map_set_int(a, doc, "RedshiftPid", r->session->pid);
    bool ok = command(r, a, "BEGIN", &err);
    for (size_t i = 0; ok && i < sl_val_count(sl_get(doc, "Sqls")); i++)
        ok = run_one(r, a, doc, i, parts, &err);
    set_state(a, doc, "FINISHED", SL_S(""));
    if (ok && save(r->session, a, doc, false, &err) && command(r, a, "COMMIT", &err))
        return;
    (void)command(r, a, "ROLLBACK", &ignored);
    pthread_mutex_lock(&r->c->lock);
    bool stops = r->c->stopping;
    pthread_mutex_unlock(&r->c->lock);
    if (stops && !r->cancelled)
        return;                   /* it runs again at the next start */
    set_state(a, doc, r->cancelled ? "ABORTED" : "FAILED", sl_fmt(a, "ERROR: %s", err.message));
    (void)save(r->session, a, doc, false, &ignored);
}

static void *thread(void *self)
{
    running *r = self;
    sl_cloud *c = r->c;
    SL_ARENA a = sl_arena_new();
    sl_val *doc;
    sl_err err;
    if (find(r->session, a, "id", sl_str_c(r->id), &doc, &err) && doc != NULL)
        run_all(r, a, doc);
    pthread_mutex_lock(&c->lock);
    for (running **at = (running **)&c->redshift_running; *at != NULL; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            break;
        }
    pthread_mutex_unlock(&c->lock);
    sl_redshift_session_close(r->session);
    free(r);
    return NULL;
}

static bool start(sl_cloud *c, sl_str id, sl_err *err)
{
    running *r = sl_malloc(sizeof *r);
    pthread_t t;
    *r = (running){ .c = c, .session = sl_redshift_session_open(c, err) };
    (void)snprintf(r->id, sizeof r->id, "%.*s", SL_ARG(id));
    if (r->session == NULL) {
        free(r);
        return false;
    }
    pthread_mutex_lock(&c->lock);
    r->next = list_of(c);
    c->redshift_running = r;
    bool ok = !c->stopping && pthread_create(&t, NULL, thread, r) == 0;
    if (ok)
        pthread_detach(t);
    else
        c->redshift_running = r->next;
    pthread_mutex_unlock(&c->lock);
    if (ok)
        return true;
    sl_redshift_session_close(r->session);
    free(r);
    return sl_err_set(err, SL_ERR_IO, "thread", "no thread for the statement");
}

bool sl_redshift_data_take_up(sl_cloud *c, sl_duck_con *con, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    const sl_val *rows;
    if (!sl_duck_run(con, a, SL_S("SELECT id FROM _sl.statements WHERE status IN ('SUBMITTED', 'STARTED')"), &rows, NULL, err))
        return false;
    for (size_t i = 0; i < sl_val_count(rows); i++)
        if (!start(c, sl_text(sl_at(sl_at(rows, i), 0)), err))
            return false;
    return true;
}

void sl_redshift_data_stop(sl_cloud *c)
{
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    for (int i = 0; list_of(c) != NULL && i < STOP_TRIES; i++) {
        if (i == STOP_GRACE)
            for (running *r = list_of(c); r != NULL; r = r->next)
                sl_duck_interrupt(r->session->con);
        pthread_mutex_unlock(&c->lock);
        sl_sleep_ms(10);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- operations ---- */

typedef struct call {
    sl_cloud *c;
    sl_arena *a;
    sl_redshift_session *s;
    const sl_val *body;
    sl_val *answer;
    sl_refusal why;
} call;

static bool invalid(call *x, const char *message)
{
    return sl_refuse(&x->why, x->a, 400, "ValidationException", "%s", message);
}

static bool broken(call *x, const sl_err *err)
{
    return sl_refuse(&x->why, x->a, 500, "InternalServerException", "%s", err->message);
}

/* ISO time and the like are not for JSON 1.1: seconds with a fraction. */
static const sl_val *seconds(call *x, const sl_val *doc, const char *name)
{
    return sl_val_double(x->a, (double)sl_get_int(doc, name, 0) / 1000);
}

static void show_place(call *x, const sl_val *doc)
{
    static const char *const names[] = { "Id", "ClusterIdentifier", "WorkgroupName", "Database", "DbUser", "SecretArn", "SessionId" };
    for (size_t i = 0; i < SL_COUNT(names); i++)
        sl_map_opt(x->a, x->answer, names[i], sl_get(doc, names[i]));
    sl_map_setc(x->a, x->answer, "CreatedAt", seconds(x, doc, "CreatedMs"));
}

/* [{name, value}] as a map. */
static const sl_val *parameter_map(call *x)
{
    const sl_val *list = sl_get(x->body, "Parameters");
    sl_val *map = sl_map(x->a);
    for (size_t i = 0; i < sl_val_count(list); i++)
        sl_map_set(x->a, map, sl_get_text(sl_at(list, i), "name"), sl_get(sl_at(list, i), "value"));
    return map;
}

static bool check_target(call *x)
{
    bool cluster = sl_get_text(x->body, "ClusterIdentifier").n > 0, workgroup = sl_get_text(x->body, "WorkgroupName").n > 0;
    if (cluster == workgroup)
        return invalid(x, "Either ClusterIdentifier or WorkgroupName must be specified.");
    if (sl_get_text(x->body, "Database").n == 0)
        return invalid(x, "Database must be specified.");
    return true;                  /* without DbUser and SecretArn, the caller's own identity is the user */
}

static bool submit(call *x, const sl_val *sqls)
{
    static const char *const names[] = { "ClusterIdentifier", "WorkgroupName", "Database", "DbUser", "SecretArn", "StatementName", "ClientToken" };
    sl_str token = sl_get_text(x->body, "ClientToken");
    sl_val *doc = NULL;
    sl_err err;
    char id[23];
    if (!check_target(x))
        return false;
    for (size_t i = 0; i < sl_val_count(sqls); i++)
        if (sl_str_trim(sl_text(sl_at(sqls, i))).n == 0 || sl_text(sl_at(sqls, i)).n > SQL_MAX)
            return invalid(x, "A statement must have 1 to 102400 bytes.");
    if (sl_val_count(sqls) == 0 || sl_val_count(sqls) > STATEMENTS_MAX)
        return invalid(x, "Sqls must have 1 to 40 members.");
    if (token.n > 0 && !find(x->s, x->a, "token", token, &doc, &err))
        return broken(x, &err);
    if (doc == NULL) {
        doc = sl_map(x->a);
        sl_random_id(id);
        sl_map_set_str(x->a, doc, "Id", sl_fmt(x->a, "%s", id));
        for (size_t i = 0; i < SL_COUNT(names); i++)
            sl_map_opt(x->a, doc, names[i], sl_get(x->body, names[i]));
        sl_map_setc(x->a, doc, "Sqls", sqls);
        sl_map_setc(x->a, doc, "Parameters", parameter_map(x));
        sl_map_set_bool(x->a, doc, "Batch", sl_get(x->body, "Sqls") != NULL);
        sl_map_set_int(x->a, doc, "CreatedMs", sl_now_ms());
        set_state(x->a, doc, "SUBMITTED", SL_S(""));
        if (!save(x->s, x->a, doc, true, &err) || !start(x->c, sl_get_text(doc, "Id"), &err))
            return broken(x, &err);
    }
    show_place(x, doc);
    return true;
}

static bool execute(call *x)
{
    sl_val *sqls = sl_list(x->a);
    sl_list_add(x->a, sqls, sl_get(x->body, "Sql") ? sl_get(x->body, "Sql") : sl_val_c(x->a, ""));
    return submit(x, sqls);
}

static bool execute_batch(call *x)
{
    return submit(x, sl_get(x->body, "Sqls"));
}

/* "id", or "id:2" for the second statement of a batch. *part .n == 0: the whole. */
static bool need(call *x, sl_val **doc, int64_t *part)
{
    sl_str rest = sl_get_text(x->body, "Id"), id;
    sl_err err;
    *part = 0;
    (void)sl_str_cut(&rest, ':', &id);
    if (rest.p != NULL && (!sl_parse_int(rest, part) || *part < 1))
        return invalid(x, "Id is not the id of a statement.");
    if (!find(x->s, x->a, "id", id, doc, &err))
        return broken(x, &err);
    if (*doc == NULL || (size_t)*part > sl_val_count(sl_get(*doc, "Sqls")))
        return sl_refuse(&x->why, x->a, 400, "ResourceNotFoundException", "Query does not exist.");
    return true;
}

static void show_part(call *x, sl_val *to, const sl_val *part, sl_str id)
{
    static const char *const names[] = { "Status", "Error", "QueryString", "HasResultSet", "ResultRows" };
    sl_map_set_str(x->a, to, "Id", id);
    for (size_t i = 0; i < SL_COUNT(names); i++)
        sl_map_opt(x->a, to, names[i], sl_get(part, names[i]));
    sl_map_set_int(x->a, to, "Duration", sl_get_int(part, "DurationMs", 0) * 1000000);
    sl_map_set_int(x->a, to, "ResultSize", -1);
    sl_map_setc(x->a, to, "UpdatedAt", seconds(x, part, "UpdatedMs"));
}

static bool describe(call *x)
{
    sl_val *doc;
    int64_t which;
    if (!need(x, &doc, &which))
        return false;
    const sl_val *parts = sl_get(doc, "parts");
    bool batch = sl_get_bool(doc, "Batch", false);
    sl_str id = sl_get_text(x->body, "Id");
    show_place(x, doc);
    if (which > 0 || (!batch && sl_val_count(parts) > 0))
        show_part(x, x->answer, sl_at(parts, (size_t)(which > 0 ? which - 1 : 0)), id);
    else {
        sl_map_set_str(x->a, x->answer, "QueryString", sl_text(sl_at(sl_get(doc, "Sqls"), 0)));
        sl_map_setc(x->a, x->answer, "UpdatedAt", seconds(x, doc, "UpdatedMs"));
        sl_map_set_bool(x->a, x->answer, "HasResultSet", false);
    }
    bool started = false;
    pthread_mutex_lock(&x->c->lock);
    for (running *r = list_of(x->c); r != NULL; r = r->next)
        started |= sl_str_eqc(sl_get_text(doc, "Id"), r->id);
    pthread_mutex_unlock(&x->c->lock);
    if (which == 0) {             /* the state of the transaction, which may be another one than its statement's */
        bool waits = sl_str_eqc(sl_get_text(doc, "Status"), "SUBMITTED");
        sl_map_set_str(x->a, x->answer, "Status", waits && started ? SL_S("STARTED") : sl_get_text(doc, "Status"));
        sl_map_opt(x->a, x->answer, "Error", sl_get(doc, "Error"));
        sl_map_opt(x->a, x->answer, "RedshiftPid", sl_get(doc, "RedshiftPid"));
    }
    if (batch && which == 0) {
        sl_val *subs = sl_list(x->a);
        for (size_t i = 0; i < sl_val_count(parts); i++) {
            sl_val *one = sl_map(x->a);
            show_part(x, one, sl_at(parts, i), sl_fmt(x->a, "%.*s:%zu", SL_ARG(id), i + 1));
            sl_list_add(x->a, subs, one);
        }
        sl_map_setc(x->a, x->answer, "SubStatements", subs);
    }
    return true;
}

static const struct {
    int oid;
    const char *name, *field;
} types[] = { { 16, "bool", "booleanValue" }, { 21, "int2", "longValue" }, { 23, "int4", "longValue" }, { 20, "int8", "longValue" }, { 700, "float4", "doubleValue" }, { 701, "float8", "doubleValue" }, { 1700, "numeric", "stringValue" },
              { 1082, "date", "stringValue" }, { 1083, "time", "stringValue" }, { 1114, "timestamp", "stringValue" }, { 1184, "timestamptz", "stringValue" }, { 1043, "varchar", "stringValue" } };

static size_t type_of(const sl_val *column)
{
    size_t i = 0;
    while (i + 1 < SL_COUNT(types) && types[i].oid != sl_get_int(column, "oid", 0))
        i++;
    return i;
}

static const sl_val *shown(call *x, const sl_val *column, const sl_val *v)
{
    const char *field = types[type_of(column)].field;
    int64_t whole;
    double d;
    if (sl_is_null(v))
        return sl_map_of(x->a, "isNull", &sl_true_val);
    if (strcmp(field, "booleanValue") == 0)
        return sl_map_of(x->a, field, sl_val_bool(sl_str_eqc(sl_text(v), "t")));
    if (strcmp(field, "longValue") == 0 && sl_parse_int(sl_text(v), &whole))
        return sl_map_of(x->a, field, sl_val_int(x->a, whole));
    if (strcmp(field, "doubleValue") == 0 && sl_parse_double(sl_text(v), &d))
        return sl_map_of(x->a, field, sl_val_double(x->a, d));
    return sl_map_of(x->a, "stringValue", v);
}

static bool result(call *x)
{
    sl_val *doc, *columns = sl_list(x->a), *records = sl_list(x->a);
    int64_t which, from = 0;
    if (!need(x, &doc, &which))
        return false;
    const sl_val *part = sl_at(sl_get(doc, "parts"), (size_t)(which > 0 ? which - 1 : 0)), *rows = sl_get(part, "rows"), *named = sl_get(part, "columns");
    sl_str token = sl_get_text(x->body, "NextToken");
    if (!sl_str_eqc(sl_get_text(doc, "Status"), "FINISHED") || named == NULL)
        return sl_refuse(&x->why, x->a, 400, "ResourceNotFoundException", "Query does not have result. Please check query status with DescribeStatement.");
    if (token.n > 0 && !sl_parse_int(token, &from))
        return invalid(x, "NextToken is not one that was given out.");
    for (size_t i = 0; i < sl_val_count(named); i++) {
        const sl_val *name = sl_get(sl_at(named, i), "name");
        sl_val *one = sl_map_of(x->a, "name", name);
        sl_map_setc(x->a, one, "label", name);
        sl_map_set_str(x->a, one, "typeName", sl_str_c(types[type_of(sl_at(named, i))].name));
        sl_map_set_int(x->a, one, "nullable", 1);
        sl_list_add(x->a, columns, one);
    }
    for (size_t i = (size_t)from; i < sl_val_count(rows) && i < (size_t)from + PAGE_ROWS; i++) {
        sl_val *record = sl_list(x->a);
        for (size_t k = 0; k < sl_val_count(named); k++)
            sl_list_add(x->a, record, shown(x, sl_at(named, k), sl_at(sl_at(rows, i), k)));
        sl_list_add(x->a, records, record);
    }
    sl_map_setc(x->a, x->answer, "ColumnMetadata", columns);
    sl_map_setc(x->a, x->answer, "Records", records);
    sl_map_set_int(x->a, x->answer, "TotalNumRows", (int64_t)sl_val_count(rows));
    if ((size_t)from + PAGE_ROWS < sl_val_count(rows))
        sl_map_set_str(x->a, x->answer, "NextToken", sl_fmt(x->a, "%lld", (long long)from + PAGE_ROWS));
    return true;
}

static bool cancel(call *x)
{
    sl_val *doc;
    int64_t which;
    bool hit = false;
    if (!need(x, &doc, &which))
        return false;
    pthread_mutex_lock(&x->c->lock);
    for (running *r = list_of(x->c); r != NULL; r = r->next)
        if (sl_str_eqc(sl_get_text(doc, "Id"), r->id)) {
            hit = true;
            r->cancelled = true;
            sl_duck_interrupt(r->session->con);
        }
    pthread_mutex_unlock(&x->c->lock);
    if (!hit)
        return invalid(x, "Could not cancel a query that is already in FINISHED, FAILED or ABORTED state.");
    sl_map_set_bool(x->a, x->answer, "Status", true);
    return true;
}

void sl_redshift_data_face(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_str operation)
{
    static const struct {
        const char *name;
        bool (*run)(call *x);
    } operations[] = { { "ExecuteStatement", execute }, { "BatchExecuteStatement", execute_batch }, { "DescribeStatement", describe }, { "GetStatementResult", result }, { "CancelStatement", cancel } };
    call x = { .c = c, .a = req->arena, .answer = sl_map(req->arena) };
    sl_caller caller;
    sl_err err;
    bool ok = sl_aws_verify(c, req, &caller, &x.why), known = false;
    if (ok && !sl_is(x.body = sl_json_parse(x.a, req->body, &err), SL_MAP))
        ok = sl_refuse(&x.why, x.a, 400, "SerializationException", "The body is not a JSON object.");
    if (ok && (x.s = sl_redshift_session_open(c, &err)) == NULL)
        ok = broken(&x, &err);
    for (size_t i = 0; ok && i < SL_COUNT(operations); i++)
        if (sl_str_eqc(operation, operations[i].name)) {
            known = true;
            ok = operations[i].run(&x);
            break;
        }
    if (ok && !known)
        ok = sl_refuse(&x.why, x.a, 400, "UnknownOperationException", "The local cloud's Data API does not know %.*s.", SL_ARG(operation));
    if (x.s != NULL)
        sl_redshift_session_close(x.s);
    if (!ok) {
        sl_aws_json_code(&x.why);
        sl_aws_json_refuse(req, resp, &x.why);
        return;
    }
    resp->status = 200;
    resp->content_type = "application/x-amz-json-1.1";
    resp->body = sl_json(x.a, x.answer);
}
