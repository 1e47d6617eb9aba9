/*
 * local/redshift_data.c: the face of Redshift's Data API: statements are submitted, asked for, read, cancelled; they run in
 * redshift_statement.c. Source: https://docs.aws.amazon.com/redshift-data/latest/APIReference/
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "local/redshift_data.h"

enum { STATEMENTS_MAX = 40, SQL_MAX = 100 << 10, PAGE_ROWS = 1000 };

typedef sl_data_call call;

bool sl_data_invalid(call *x, const char *message)
{
    return sl_refuse(&x->why, x->a, 400, "ValidationException", "%s", message);
}

bool sl_data_broken(call *x, const sl_err *err)
{
    return sl_refuse(&x->why, x->a, 500, "InternalServerException", "%s", err->message);
}

/* ISO time and the like are not for JSON 1.1: seconds with a fraction. */
const sl_val *sl_data_seconds(call *x, const sl_val *doc, const char *name)
{
    return sl_val_double(x->a, (double)sl_get_int(doc, name, 0) / 1000);
}

static void show_place(call *x, const sl_val *doc)
{
    static const char *const names[] = { "Id", "ClusterIdentifier", "WorkgroupName", "Database", "DbUser", "SecretArn", "SessionId" };
    for (size_t i = 0; i < SL_COUNT(names); i++)
        sl_map_opt(x->a, x->answer, names[i], sl_get(doc, names[i]));
    sl_map_setc(x->a, x->answer, "CreatedAt", sl_data_seconds(x, doc, "CreatedMs"));
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

bool sl_data_target(call *x)
{
    bool cluster = sl_get_text(x->body, "ClusterIdentifier").n > 0, workgroup = sl_get_text(x->body, "WorkgroupName").n > 0;
    if (cluster == workgroup)
        return sl_data_invalid(x, "Either ClusterIdentifier or WorkgroupName must be specified.");
    if (sl_get_text(x->body, "Database").n == 0)
        return sl_data_invalid(x, "Database must be specified.");
    return true;                  /* without DbUser and SecretArn, the caller's own identity is the user */
}

static bool submit(call *x, const sl_val *sqls)
{
    static const char *const names[] = { "ClusterIdentifier", "WorkgroupName", "Database", "DbUser", "SecretArn", "StatementName", "ClientToken" };
    sl_str token = sl_get_text(x->body, "ClientToken");
    sl_val *doc = NULL;
    sl_err err;
    char id[23];
    if (!sl_data_target(x))
        return false;
    for (size_t i = 0; i < sl_val_count(sqls); i++)
        if (sl_str_trim(sl_text(sl_at(sqls, i))).n == 0 || sl_text(sl_at(sqls, i)).n > SQL_MAX)
            return sl_data_invalid(x, "A statement must have 1 to 102400 bytes.");
    if (sl_val_count(sqls) == 0 || sl_val_count(sqls) > STATEMENTS_MAX)
        return sl_data_invalid(x, "Sqls must have 1 to 40 members.");
    if (token.n > 0 && !sl_statement_find(x->s, x->a, "token", token, &doc, &err))
        return sl_data_broken(x, &err);
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
        sl_statement_set(x->a, doc, "SUBMITTED", SL_S(""));
        if (!sl_statement_save(x->s, x->a, doc, true, &err) || !sl_statement_start(x->c, sl_get_text(doc, "Id"), &err))
            return sl_data_broken(x, &err);
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
        return sl_data_invalid(x, "Id is not the id of a statement.");
    if (!sl_statement_find(x->s, x->a, "id", id, doc, &err))
        return sl_data_broken(x, &err);
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
    sl_map_setc(x->a, to, "UpdatedAt", sl_data_seconds(x, part, "UpdatedMs"));
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
        sl_map_setc(x->a, x->answer, "UpdatedAt", sl_data_seconds(x, doc, "UpdatedMs"));
        sl_map_set_bool(x->a, x->answer, "HasResultSet", false);
    }
    bool started = sl_statement_runs(x->c, sl_get_text(doc, "Id"));
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
        return sl_data_invalid(x, "NextToken is not one that was given out.");
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
    if (!need(x, &doc, &which))
        return false;
    if (!sl_statement_cancel(x->c, sl_get_text(doc, "Id")))
        return sl_data_invalid(x, "Could not cancel a query that is already in FINISHED, FAILED or ABORTED state.");
    sl_map_set_bool(x->a, x->answer, "Status", true);
    return true;
}

void sl_redshift_data_face(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_str operation)
{
    static const struct {
        const char *name;
        bool (*run)(call *x);
    } operations[] = { { "ExecuteStatement", execute },         { "BatchExecuteStatement", execute_batch }, { "DescribeStatement", describe }, { "GetStatementResult", result },
                       { "CancelStatement", cancel },           { "ListStatements", sl_data_statements },   { "ListDatabases", sl_data_databases }, { "ListSchemas", sl_data_schemas },
                       { "ListTables", sl_data_tables },        { "DescribeTable", sl_data_table } };
    call x = { .c = c, .a = req->arena, .answer = sl_map(req->arena) };
    sl_caller caller;
    sl_err err;
    bool ok = sl_aws_verify(c, req, &caller, &x.why), known = false;
    if (ok && !sl_is(x.body = sl_json_parse(x.a, req->body, &err), SL_MAP))
        ok = sl_refuse(&x.why, x.a, 400, "SerializationException", "The body is not a JSON object.");
    if (ok && (x.s = sl_redshift_session_open(c, &err)) == NULL)
        ok = sl_data_broken(&x, &err);
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
