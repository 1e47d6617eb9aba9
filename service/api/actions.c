/* service/api/actions.c: what can be done to executions; the paths of 1.x, those of 2.0 (/actions/…), one by one and in bulk. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "flows/input.h"
#include "service/api/api.h"
#include "service/api/execution_call.h"
#include "service/execution.h"

/* Answers errors; false then. */
static bool perform(sl_call *c, sl_request *r)
{
    sl_str ns, flow;
    sl_err err;
    if (!sl_call_execution(c, r->id, &ns, &flow))
        return false;
    if (sl_execution_do(c->engine, r, &err))
        return true;
    sl_reply_err(c, &err);
    return false;
}

bool sl_call_names_flow(sl_call *c)
{
    bool found, over;
    sl_str ns, flow, path = sl_str_c(c->route->path), rest = path, name = path;
    sl_state state;
    sl_err err;
    if (strcmp(c->route->method, "POST") != 0 || sl_str_find(path, SL_S("/actions/")) >= 0 || !sl_execution_head(c->store, c->arena, c->args[0], &found, &ns, &flow, &state, &over, &err) || found)
        return false;
    for (int i = 0; i < 4; i++) /* "/executions/{…}/NAME" */
        (void)sl_str_cut(&rest, '/', &name);
    c->args[1] = name;
    return true;
}

bool sl_call_meant_flow(sl_call *c)
{
    if (!sl_call_names_flow(c))
        return false;
    if (sl_call_may(c, c->args[0]))
        sl_call_create(c);
    return true;
}

static void act(sl_call *c, sl_request r, int status)
{
    if (sl_call_meant_flow(c))
        return;
    r.id = c->args[0];
    if (!perform(c, &r))
        return;
    /* 2.0's paths answer with the execution where 1.x's have no body. */
    if (status == 200 || sl_str_find(sl_str_c(c->route->path), SL_S("/actions/")) >= 0)
        sl_call_reply_execution(c, r.new_id[0] != '\0' ? sl_str_c(r.new_id) : r.id);
    else
        sl_reply_empty(c, status);
}

static void act_on_revision(sl_call *c, sl_request r)
{
    sl_str revision = sl_query(c, "revision");
    if (revision.n > 0 && (!sl_parse_int(revision, &r.revision) || r.revision < 1))
        sl_reply_error(c, 400, "Bad Request: 'revision' must be a number from 1 on, not '%.*s'", SL_ARG(revision));
    else
        act(c, r, 200);
}

static void kill_one(sl_call *c)
{
    act(c, (sl_request){ .verb = SL_DO_KILL, .alone = !sl_query_bool(c, "isOnKillCascade", true) }, 202);
}

static void pause_one(sl_call *c)
{
    act(c, (sl_request){ .verb = SL_DO_PAUSE }, 204);
}

static void restart_one(sl_call *c)
{
    act_on_revision(c, (sl_request){ .verb = SL_DO_RESTART });
}

static void replay_one(sl_call *c)
{
    act_on_revision(c, (sl_request){ .verb = SL_DO_REPLAY, .taskrun_id = sl_query(c, "taskRunId") });
}

static void run_one(sl_call *c)
{
    act(c, (sl_request){ .verb = SL_DO_RUN }, 200);
}

static void delete_one(sl_call *c)
{
    act(c, (sl_request){ .verb = SL_DO_DELETE, .keep_logs = !sl_query_bool(c, "deleteLogs", true), .keep_files = !sl_query_bool(c, "deleteStorage", true) }, 204);
}

static void status_one(sl_call *c)
{
    sl_request r = { .verb = SL_DO_STATUS };
    sl_str status = sl_query(c, "status");
    if (!sl_state_parse(status, &r.status)) {
        sl_reply_error(c, 422, "Illegal argument: there is no state '%.*s'", SL_ARG(status));
        return;
    }
    act(c, r, 200);
}

/* {taskRunId, state}; also of a flow that is called "state". */
static void run_state_one(sl_call *c)
{
    sl_request r = { .verb = SL_DO_RUN_STATE };
    sl_err err;
    if (sl_call_meant_flow(c))
        return;
    const sl_val *body = sl_json_parse(c->arena, c->body, &err);
    r.taskrun_id = sl_get_text(body, "taskRunId");
    if (r.taskrun_id.n == 0 || !sl_state_parse(sl_get_text(body, "state"), &r.status))
        sl_reply_error(c, 422, "Invalid entity: the body is {\"taskRunId\": …, \"state\": …}, in JSON, with a state such as SUCCESS");
    else
        act(c, r, 200);
}

/* [{"key","value"}] */
static bool labels_of(sl_call *c, const sl_val *list, const sl_val **ret)
{
    sl_val *labels = sl_map(c->arena);
    bool ok = sl_is(list, SL_LIST);
    for (size_t i = 0; ok && i < sl_val_count(list); i++) {
        const sl_val *key = sl_get(sl_at(list, i), "key"), *value = sl_get(sl_at(list, i), "value");
        ok = sl_is(key, SL_STRING) && value != NULL;
        if (ok)
            sl_map_set(c->arena, labels, key->s, sl_val_str(c->arena, sl_val_text(c->arena, value)));
    }
    *ret = labels;
    if (!ok)
        sl_reply_error(c, 422, "Invalid entity: labels are a list of {\"key\", \"value\"}");
    return ok;
}

static void labels_one(sl_call *c)
{
    sl_request r = { .verb = SL_DO_LABELS };
    if (labels_of(c, c->json, &r.values))
        act(c, r, 200);
}

/* ---- resume ---- */

bool sl_call_asked(sl_call *c, sl_str ns, sl_str flow_id, const sl_val **ret)
{
    const sl_val *x;
    sl_err err;
    *ret = NULL;
    if (!sl_execution_json(c->store, c->arena, c->args[0], &x, &err)) {
        sl_reply_err(c, &err);
        return false;
    }
    sl_flow_ref *ref = sl_call_flow(c, ns, flow_id, sl_get_int(x, "flowRevision", 0));
    if (ref == NULL)
        return false;
    const sl_val *runs = sl_get(x, "taskRunList");
    for (size_t i = 0; i < sl_val_count(runs); i++) {
        const sl_task_def *d = sl_flow_task(ref->flow, sl_get_text(sl_at(runs, i), "taskId"));
        if (d != NULL && d->flowable == SL_PAUSE && sl_str_eqc(sl_get_text(sl_get(sl_at(runs, i), "state"), "current"), "PAUSED") && sl_get(d->props, "onResume") != NULL)
            *ret = sl_val_copy(c->arena, sl_inputs_flat(c->arena, sl_get(d->props, "onResume")));
    }
    sl_flow_cache_put(sl_engine_flows(c->engine), ref);
    return true;
}

/* The inputs that the paused task asks for, checked against its onResume. */
static bool resume_values(sl_call *c, sl_str ns, sl_str flow_id, const sl_val **ret)
{
    const sl_val *asked, *given, *resolved;
    char fresh[23];
    *ret = NULL;
    if (!sl_call_asked(c, ns, flow_id, &asked))
        return false;
    if (asked == NULL)
        return c->body.n == 0 || sl_call_parts(c) != NULL;
    /* Files of each time it is resumed lie apart: those of an earlier time are outputs of its task. */
    sl_ordered_id(fresh);
    if ((given = sl_call_inputs(c, asked, ns, flow_id, c->args[0], sl_fmt(c->arena, "resume-%s", fresh))) == NULL)
        return false;
    sl_problems problems = { .arena = c->arena };
    sl_expr_env env = { .vars = sl_map(c->arena) };
    if (!sl_inputs_resolve(c->arena, asked, given, &env, &resolved, &problems)) {
        sl_reply_problems(c, &problems);
        return false;
    }
    *ret = sl_map_of(c->arena, "onResume", resolved);
    return true;
}

static void resume_one(sl_call *c)
{
    sl_request r = { .verb = SL_DO_RESUME };
    sl_str ns, flow;
    if (!sl_call_meant_flow(c) && sl_call_execution(c, c->args[0], &ns, &flow) && resume_values(c, ns, flow, &r.values))
        act(c, r, 204);
}

/* ---- bulk ---- */

static const struct {
    const char *name;
    sl_verb verb;
} bulk_verbs[] = { { "kill", SL_DO_KILL },       { "restart", SL_DO_RESTART },  { "replay", SL_DO_REPLAY },     { "pause", SL_DO_PAUSE },  { "resume", SL_DO_RESUME },
                   { "labels", SL_DO_LABELS },   { "unqueue", SL_DO_RUN },      { "force-run", SL_DO_RUN },     { "change-status", SL_DO_STATUS } };

static bool bulk_request(sl_call *c, sl_request *r, const sl_val **ids)
{
    *ids = c->json;
    *r = (sl_request){ .verb = SL_DO_DELETE, .keep_logs = !sl_query_bool(c, "deleteLogs", true), .keep_files = !sl_query_bool(c, "deleteStorage", true) };
    if (strcmp(c->route->method, "DELETE") == 0 && sl_str_find(sl_str_c(c->route->path), SL_S("/kill/")) < 0)
        return true;
    for (size_t i = 0; i < SL_COUNT(bulk_verbs); i++)
        if (sl_str_find(sl_str_c(c->route->path), sl_fmt(c->arena, "/%s/", bulk_verbs[i].name)) >= 0)
            r->verb = bulk_verbs[i].verb;
    if (r->verb == SL_DO_LABELS) {
        bool query = sl_str_ends(sl_str_c(c->route->path), SL_S("by-query")); /* the body is the labels then */
        *ids = sl_get(c->json, "executionsId");
        return labels_of(c, query ? c->json : sl_get(c->json, "executionLabels"), &r->values);
    }
    if (r->verb != SL_DO_STATUS)
        return true;
    sl_str status = sl_query(c, sl_query(c, "newStatus").n ? "newStatus" : "status");
    if (sl_state_parse(status, &r->status))
        return true;
    sl_reply_error(c, 422, "Illegal argument: there is no state '%.*s'", SL_ARG(status));
    return false;
}

/* Each by itself; what was refused is listed, the others are done. */
static void bulk(sl_call *c, sl_request like, const sl_val *ids)
{
    sl_val *invalid = sl_list(c->arena);
    int64_t done = 0;
    for (size_t i = 0; i < sl_val_count(ids); i++) {
        sl_request r = like;
        sl_str ns, flow;
        sl_err err;
        sl_state state;
        bool found = false, over;
        r.id = sl_text(sl_at(ids, i));
        bool ok = sl_execution_head(c->store, c->arena, r.id, &found, &ns, &flow, &state, &over, &err) && found && sl_principal_may(&c->who, c->route->role, ns) && sl_execution_do(c->engine, &r, &err);
        done += ok;
        if (ok)
            continue;
        sl_val *one = sl_map_of(c->arena, "message", sl_val_str(c->arena, found ? sl_fmt(c->arena, "%s", err.message) : SL_S("execution not found")));
        sl_map_set_str(c->arena, one, "invalidValue", r.id);
        sl_list_add(c->arena, invalid, one);
    }
    sl_reply_count(c, done, invalid);
}

static void by_ids(sl_call *c)
{
    sl_request r;
    const sl_val *ids;
    if (!bulk_request(c, &r, &ids))
        return;
    if (sl_is(ids, SL_LIST))
        bulk(c, r, ids);
    else
        sl_reply_error(c, 422, "Invalid entity: the body is a list of ids");
}

static void by_query(sl_call *c)
{
    sl_request r;
    sl_execution_filter f;
    const sl_val *ids, *found;
    int64_t total;
    sl_err err;
    if (!bulk_request(c, &r, &ids) || !sl_call_filter(c, &f))
        return;
    sl_val *list = sl_list(c->arena);
    f.offset = 0;
    f.size = 1000;
    do {
        if (!sl_execution_search(c->store, c->arena, &f, &found, &total, &err)) {
            sl_reply_err(c, &err);
            return;
        }
        for (size_t i = 0; i < sl_val_count(found); i++)
            sl_list_add(c->arena, list, sl_get(sl_at(found, i), "id"));
        f.offset += f.size;
    } while (f.offset < total);
    bulk(c, r, list);
}

#define ONE(method, name, role, body, query, status_doc, fn)                                  \
    { method, "/executions/{executionId}/" name, role, body, query, status_doc, fn },         \
    {                                                                                         \
        method, "/executions/{executionId}/actions/" name, role, body, query, status_doc, fn  \
    }
#define BULK(method, name, body)                                                                                                     \
    { method, "/executions/" name "/by-ids", SL_ROLE_OPERATOR, body, "status newStatus", "The same for a list of ids.", by_ids },    \
    {                                                                                                                                \
        method, "/executions/" name "/by-query", SL_ROLE_OPERATOR, SL_BODY_NONE, "q namespace flowId state labels startDate endDate status newStatus", "The same for all that match.", by_query \
    }

const sl_api_route sl_api_execution_actions[] = {
    BULK("DELETE", "kill", SL_BODY_JSON),
    BULK("POST", "restart", SL_BODY_JSON),
    BULK("POST", "replay", SL_BODY_JSON),
    BULK("POST", "pause", SL_BODY_JSON),
    BULK("POST", "resume", SL_BODY_JSON),
    BULK("POST", "unqueue", SL_BODY_JSON),
    BULK("POST", "force-run", SL_BODY_JSON),
    BULK("POST", "change-status", SL_BODY_JSON),
    { "POST", "/executions/labels/by-ids", SL_ROLE_OPERATOR, SL_BODY_JSON, NULL, "Labels for a list of executions.", by_ids },
    { "POST", "/executions/labels/by-query", SL_ROLE_OPERATOR, SL_BODY_JSON, "q namespace flowId state labels startDate endDate", "Labels for all that match.", by_query },
    { "DELETE", "/executions/by-ids", SL_ROLE_OPERATOR, SL_BODY_JSON, "deleteLogs deleteStorage", "Deletes a list of executions.", by_ids },
    { "DELETE", "/executions/by-query", SL_ROLE_OPERATOR, SL_BODY_NONE, "q namespace flowId state labels startDate endDate deleteLogs deleteStorage", "Deletes all that match.", by_query },
    ONE("DELETE", "kill", SL_ROLE_OPERATOR, SL_BODY_NONE, "isOnKillCascade", "Ends it as KILLED, and those that it has called.", kill_one),
    ONE("POST", "pause", SL_ROLE_OPERATOR, SL_BODY_NONE, NULL, "What runs ends, nothing new starts.", pause_one),
    ONE("POST", "resume", SL_ROLE_OPERATOR, SL_BODY_MULTIPART, NULL, "Goes on after a pause; inputs are the parts of the form.", resume_one),
    ONE("POST", "restart", SL_ROLE_OPERATOR, SL_BODY_NONE, "revision", "Runs what has failed again; with a revision of the flow, as a new execution.", restart_one),
    ONE("POST", "replay", SL_ROLE_OPERATOR, SL_BODY_NONE, "taskRunId revision", "A new execution, from the start or from a task run on.", replay_one),
    ONE("POST", "unqueue", SL_ROLE_OPERATOR, SL_BODY_NONE, NULL, "Starts a queued one whatever the limit says.", run_one),
    ONE("POST", "force-run", SL_ROLE_OPERATOR, SL_BODY_NONE, NULL, "Starts a queued one whatever the limit says.", run_one),
    ONE("POST", "change-status", SL_ROLE_OPERATOR, SL_BODY_NONE, "status", "Another final state for one that has ended.", status_one),
    ONE("POST", "state", SL_ROLE_OPERATOR, SL_BODY_ANY, NULL, "Another state for a task run of one that has ended, which goes on from there.", run_state_one),
    ONE("POST", "labels", SL_ROLE_OPERATOR, SL_BODY_JSON, NULL, "Sets labels.", labels_one),
    { "DELETE", "/executions/{executionId}", SL_ROLE_OPERATOR, SL_BODY_NONE, "deleteLogs deleteStorage deleteMetrics", "Deletes one that has ended.", delete_one },
    { 0 },
};
