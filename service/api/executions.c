/* service/api/executions.c: making, finding, following executions. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/summed.h"
#include "flows/trigger.h"
#include "service/api/api.h"
#include "service/api/execution_call.h"
#include "service/execution.h"
#include "service/stored.h"

enum { WAIT_MS = 1000, WAIT_MAX_MS = 24 * 3600000 };

/* ---- making ---- */

sl_flow_ref *sl_call_flow(sl_call *c, sl_str ns, sl_str id, int64_t revision)
{
    sl_flow_row row;
    bool found;
    sl_err err;
    if (!sl_repository_flow(c->store, c->arena, ns, id, revision, &row, &found, &err)) {
        sl_reply_err(c, &err);
        return NULL;
    }
    if (!found || row.deleted) {
        sl_reply_error(c, 404, "Not Found: Requested Flow is not found.");
        return NULL;
    }
    sl_flow_ref *ref = sl_flow_cache_get(sl_engine_flows(c->engine), row.source, row.revision, NULL, &err);
    if (ref == NULL)
        sl_reply_err(c, &err);
    return ref;
}

void sl_call_reply_execution(sl_call *c, sl_str id)
{
    const sl_val *x;
    sl_err err;
    if (!sl_execution_json(c->store, c->arena, id, &x, &err))
        sl_reply_err(c, &err);
    else if (x == NULL)
        sl_reply_error(c, 404, "Not Found");
    else
        sl_reply(c, 200, x);
}

/* Until the execution has ended, or the server stops. */
static void wait_for_end(sl_call *c, sl_str id)
{
    sl_watcher *w = sl_watcher_new(sl_engine_watch(c->engine), id);
    int64_t until = sl_mono_ms() + WAIT_MAX_MS;
    for (;;) {
        bool found, over;
        sl_str ns, flow;
        sl_state state;
        sl_err err;
        if (!sl_execution_head(c->store, c->arena, id, &found, &ns, &flow, &state, &over, &err) || !found || sl_state_final(state) || sl_mono_ms() > until
            || sl_watch_stopped(sl_engine_watch(c->engine)))
            break;
        (void)sl_watcher_wait(w, WAIT_MS);
    }
    sl_watcher_free(w);
}

static bool take_file(sl_call *c, sl_str ns, sl_str flow_id, sl_str id, sl_str folder, sl_str name, sl_str data, sl_str *ret_uri)
{
    sl_str path;
    sl_err err;
    SL_WRITER w = sl_storage_input(sl_engine_storage(c->engine), c->arena, ns, flow_id, id, folder, sl_path_base(name), &path, ret_uri, &err) ? sl_writer_summed(path.p, &err) : NULL;
    if (w != NULL && w->write(w, data.p, data.n, &err) && w->finish(w, &err))
        return true;
    sl_reply_err(c, &err);
    return false;
}

const sl_val *sl_call_inputs(sl_call *c, const sl_val *declared, sl_str ns, sl_str flow_id, sl_str id, sl_str folder)
{
    sl_val *inputs = sl_map(c->arena);
    bool files = false;
    const sl_val *parts = c->body.n > 0 ? sl_call_parts(c) : sl_list(c->arena);
    for (size_t i = 0; i < sl_val_count(parts); i++) {
        const sl_val *p = sl_at(parts, i);
        sl_str name = sl_get_text(p, "name"), file = sl_get_text(p, "filename"), data = sl_get_text(p, "data"), uri;
        if (sl_get(p, "filename") == NULL) {
            sl_map_set(c->arena, inputs, name, sl_val_str(c->arena, data));
            continue;
        }
        /* curl -F 'files=@in.csv;filename=my_file': the file's name is the input's. */
        bool named = false;
        for (size_t k = 0; k < sl_val_count(declared); k++)
            named |= sl_str_eq(sl_get_text(sl_at(declared, k), "id"), name);
        sl_str input = named ? name : file;
        if (!take_file(c, ns, flow_id, id, folder.n > 0 ? sl_fmt(c->arena, "%.*s-%.*s", SL_ARG(folder), SL_ARG(input)) : input, file, data, &uri))
            return NULL;
        files = true;
        sl_map_set(c->arena, inputs, input, sl_val_str(c->arena, uri));
    }
    sl_err err;
    if (files && !sl_stored_changes(c->engine, sl_fmt(c->arena, "%s/%.*s/inputs", sl_engine_storage(c->engine)->root, SL_ARG(sl_storage_execution_prefix(c->arena, ns, flow_id, id))), &err)) {
        sl_reply_err(c, &err);
        return NULL;
    }
    return parts != NULL ? inputs : NULL;
}

bool sl_call_labels(sl_call *c, const sl_val *texts, const sl_val **ret)
{
    sl_val *labels = sl_map(c->arena);
    for (size_t i = 0; i < sl_val_count(texts); i++) {
        sl_str rest = sl_text(sl_at(texts, i)), key;
        (void)sl_str_cut(&rest, ':', &key);
        if (rest.p == NULL || key.n == 0 || sl_str_starts(key, SL_S("system."))) {
            sl_reply_error(c, 422, "Invalid entity: a label is key:value, and not of the system: '%.*s'", SL_ARG(sl_text(sl_at(texts, i))));
            return false;
        }
        sl_map_set(c->arena, labels, key, sl_val_str(c->arena, rest));
    }
    *ret = labels;
    return true;
}

static void create_from(sl_call *c, sl_flow_ref *ref)
{
    char id[23];
    sl_ordered_id(id);
    sl_str own = sl_str_dup(c->arena, sl_str_c(id));
    const sl_val *inputs, *labels;
    sl_new_execution n;
    sl_problems problems = { .arena = c->arena };
    int64_t schedule;
    sl_err err;
    bool ok = sl_query_time(c, "scheduleDate", &schedule) && sl_call_labels(c, sl_query_all(c, "labels"), &labels) && (inputs = sl_call_inputs(c, ref->flow->inputs, ref->flow->ns, ref->flow->id, own, SL_S(""))) != NULL;
    if (ok && ref->flow->disabled) {
        sl_reply_error(c, 409, "Illegal state: Cannot execute a disabled flow");
        ok = false;
    }
    if (ok && !sl_execution_prepare(c->engine, c->arena, ref->flow, own, inputs, NULL, labels, NULL, &n, &problems)) {
        sl_reply_problems(c, &problems);
        ok = false;
    }
    if (!ok) {
        sl_flow_cache_put(sl_engine_flows(c->engine), ref);
        return;
    }
    n.ref = ref;
    n.schedule_ms = schedule;
    if (!sl_execution_submit(c->engine, &n, &err)) {
        sl_reply_err(c, &err);
        return;
    }
    if (sl_query_bool(c, "wait", false))
        wait_for_end(c, own);
    sl_call_reply_execution(c, own);
}

void sl_call_create(sl_call *c)
{
    int64_t revision = 0;
    (void)sl_parse_int(sl_query(c, "revision"), &revision);
    sl_flow_ref *ref = sl_call_flow(c, c->args[0], c->args[1], revision);
    if (ref != NULL)
        create_from(c, ref);
}

/* ---- webhooks ---- */

/* As clients write them: Content-Type. */
static sl_str header_name(sl_arena *a, sl_str name)
{
    char *p = sl_alloc(a, name.n + 1);
    for (size_t i = 0; i < name.n; i++) {
        bool first = i == 0 || name.p[i - 1] == '-';
        p[i] = first && name.p[i] >= 'a' && name.p[i] <= 'z' ? (char)(name.p[i] - 'a' + 'A') : name.p[i];
    }
    return (sl_str){ p, name.n };
}

static const sl_val *request_vars(sl_call *c)
{
    sl_arena *a = c->arena;
    sl_val *vars = sl_map(a), *headers = sl_map(a), *parameters = sl_map(a);
    sl_err ignored;
    const sl_val *body = c->body.n ? sl_json_parse(a, c->body, &ignored) : NULL;
    if (c->body.n > 0)
        sl_map_setc(a, vars, "body", sl_is(body, SL_MAP) || sl_is(body, SL_LIST) ? body : sl_val_str(a, c->body));
    for (size_t i = 0; i < sl_val_count(c->req->headers); i++) {
        sl_val *one = sl_list(a);
        if (sl_str_eqc(c->req->headers->map.entries[i].key, "authorization"))
            continue;
        sl_list_add(a, one, c->req->headers->map.entries[i].value);
        sl_map_set(a, headers, header_name(a, c->req->headers->map.entries[i].key), one);
    }
    for (size_t i = 0; i < sl_val_count(c->req->params); i++)
        sl_map_set(a, parameters, c->req->params->map.entries[i].key, sl_query_all(c, sl_cstr(a, c->req->params->map.entries[i].key)));
    sl_map_setc(a, vars, "headers", headers);
    sl_map_setc(a, vars, "parameters", parameters);
    return vars;
}

/* The trigger whose key it is; compared in constant time. */
static const sl_val *find_webhook(sl_call *c, const sl_flow *flow, sl_str key)
{
    const sl_val *hit = NULL;
    sl_expr_host host = sl_engine_host(c->engine, c->arena, flow);
    sl_expr_env env = { .vars = sl_map(c->arena), .host = &host };
    for (size_t i = 0; i < sl_val_count(flow->triggers); i++) {
        const sl_val *t = sl_at(flow->triggers, i);
        const sl_trigger_type *type = sl_trigger_find(sl_get_text(t, "type"));
        sl_str wanted;
        sl_err err;
        if (type == NULL || type->kind != SL_TRIGGER_WEBHOOK || sl_get_bool(t, "disabled", false) || !sl_render(c->arena, &env, sl_val_text(c->arena, sl_get(t, "key")), &wanted, &err) || wanted.n == 0)
            continue;
        if (sl_secret_equal(key, wanted))
            hit = t;
    }
    return hit;
}

static bool webhook_inputs(sl_call *c, const sl_flow *flow, const sl_val *t, const sl_val *vars, const sl_val **ret, bool *wanted, sl_err *err)
{
    sl_expr_host host = sl_engine_host(c->engine, c->arena, flow);
    sl_val *all = sl_map_of(c->arena, "trigger", vars);
    sl_map_opt(c->arena, all, "vars", flow->variables);
    sl_expr_env env = { .vars = all, .host = &host };
    *ret = sl_map(c->arena);
    return sl_conditions_hold(c->arena, sl_get(t, "conditions"), &env, wanted, err) && (sl_get(t, "inputs") == NULL || sl_render_val(c->arena, &env, sl_get(t, "inputs"), true, ret, err));
}

static void webhook(sl_call *c)
{
    sl_flow_ref *ref = sl_call_flow(c, c->args[0], c->args[1], 0);
    if (ref == NULL)
        return;
    const sl_val *t = find_webhook(c, ref->flow, c->args[2]), *vars = request_vars(c), *inputs;
    sl_new_execution n;
    sl_problems problems = { .arena = c->arena };
    sl_err err;
    bool wanted = true, ok = false;
    if (t == NULL)
        sl_reply_error(c, 404, "Not Found: Webhook not found");
    else if (ref->flow->disabled)
        sl_reply_error(c, 409, "Illegal state: Cannot execute a disabled flow");
    else if (!webhook_inputs(c, ref->flow, t, vars, &inputs, &wanted, &err))
        sl_reply_err(c, &err);
    else if (!wanted)
        sl_reply_empty(c, 204);
    else {
        sl_val *trigger = sl_map_of(c->arena, "id", sl_get(t, "id"));
        sl_map_setc(c->arena, trigger, "type", sl_get(t, "type"));
        sl_map_setc(c->arena, trigger, "variables", vars);
        ok = sl_execution_prepare(c->engine, c->arena, ref->flow, SL_S(""), inputs, NULL, NULL, trigger, &n, &problems);
        if (!ok)
            sl_reply_problems(c, &problems);
    }
    if (!ok) {
        sl_flow_cache_put(sl_engine_flows(c->engine), ref);
        return;
    }
    n.ref = ref;
    if (!sl_execution_submit(c->engine, &n, &err)) {
        sl_reply_err(c, &err);
        return;
    }
    if (sl_get_bool(t, "wait", false))
        wait_for_end(c, n.id);
    const sl_val *x = NULL;
    if (sl_get_bool(t, "returnOutputs", false) && sl_execution_json(c->store, c->arena, n.id, &x, &err) && x != NULL) {
        sl_str type = sl_get_text(t, "responseContentType");
        sl_reply(c, (int)sl_get_int(t, "responseCode", 200), sl_get(x, "outputs") ? sl_get(x, "outputs") : sl_map(c->arena));
        if (type.n > 0)
            c->resp->content_type = sl_cstr(c->arena, type);
    } else
        sl_call_reply_execution(c, n.id);
}

/* ---- finding ---- */

bool sl_call_execution(sl_call *c, sl_str id, sl_str *ret_ns, sl_str *ret_flow)
{
    bool found, over;
    sl_state state;
    sl_err err;
    if (!sl_execution_head(c->store, c->arena, id, &found, ret_ns, ret_flow, &state, &over, &err)) {
        sl_reply_err(c, &err);
        return false;
    }
    if (!found) {
        sl_reply_error(c, 404, "Not Found");
        return false;
    }
    return sl_call_may(c, *ret_ns);
}

static void get(sl_call *c)
{
    sl_str ns, flow;
    if (sl_call_execution(c, c->args[0], &ns, &flow))
        sl_call_reply_execution(c, c->args[0]);
}

/* 2.0: filters[field][OPERATION]=value; an IN has several, comma-separated. Fields that are not known ask for nothing here. */
static void take_filters(sl_call *c, sl_execution_filter *f)
{
    const sl_val *params = c->req->params;
    sl_val *states = sl_list(c->arena), *labels = sl_list(c->arena);
    for (size_t i = 0; i < sl_val_count(params); i++) {
        sl_str key = params->map.entries[i].key, value = sl_text(params->map.entries[i].value), field, one;
        if (!sl_str_starts(key, SL_S("filters[")))
            continue;
        key = sl_str_sub(key, 8, key.n);
        (void)sl_str_cut(&key, ']', &field);
        if (sl_str_eqc(field, "namespace"))
            f->ns = value;
        else if (sl_str_eqc(field, "flowId"))
            f->flow_id = value;
        else if (sl_str_eqc(field, "query") || sl_str_eqc(field, "q"))
            f->text = value;
        else if (sl_str_eqc(field, "triggerExecutionId"))
            f->parent_execution = value;
        while (sl_str_eqc(field, "state") && value.n > 0 && sl_str_cut(&value, ',', &one))
            sl_list_add(c->arena, states, sl_val_str(c->arena, one));
        if (sl_str_eqc(field, "labels") && key.n > 2) { /* filters[labels][EQUALS][key]=value */
            ptrdiff_t open = sl_str_rfind(key, SL_S("["));
            sl_list_add(c->arena, labels, sl_val_str(c->arena, sl_fmt(c->arena, "%.*s:%.*s", SL_ARG(sl_str_sub(key, (size_t)open + 1, key.n - 1)), SL_ARG(value))));
        }
    }
    if (states->list.n > 0)
        f->states = states;
    if (labels->list.n > 0)
        f->labels = labels;
}

bool sl_call_filter(sl_call *c, sl_execution_filter *f)
{
    *f = (sl_execution_filter){ .ns = sl_query(c, "namespace"), .flow_id = sl_query(c, "flowId"), .text = sl_query(c, "q"), .trigger_id = sl_query(c, "triggerId"),
                                .parent_execution = sl_query(c, "triggerExecutionId"), .states = sl_query_all(c, "state"), .labels = sl_query_all(c, "labels"), .visible_ns = sl_str_c(c->who.ns) };
    take_filters(c, f);
    sl_str sort = sl_query(c, "sort"), range = sl_query(c, "timeRange"), field = sort;
    int64_t ms;
    if (sort.n > 0) {
        (void)sl_str_cut(&sort, ':', &field);
        f->ascending = sl_str_ieq(sort.p ? sort : SL_S("asc"), SL_S("asc"));
        if (!sl_str_eqc(field, "state.startDate") && !sl_str_eqc(field, "id") && !sl_str_eqc(field, "startDate")) {
            sl_reply_error(c, 422, "Unprocessable Entity: Invalid sort parameter");
            return false;
        }
    }
    if (!sl_query_page(c, &f->offset, &f->size) || !sl_query_time(c, "startDate", &f->from_ms) || !sl_query_time(c, "endDate", &f->to_ms))
        return false;
    if (range.n > 0 && sl_duration_parse(range, &ms))
        f->from_ms = sl_now_ms() - ms;
    return true;
}

static void search(sl_call *c)
{
    sl_execution_filter f;
    const sl_val *list;
    int64_t total;
    sl_err err;
    if (!sl_call_filter(c, &f))
        return;
    if (sl_execution_search(c->store, c->arena, &f, &list, &total, &err))
        sl_reply_page(c, list, total);
    else
        sl_reply_err(c, &err);
}

/* ---- files ---- */

/* Of the execution, or of one that it is related to. */
static bool open_file(sl_call *c, sl_str *path)
{
    sl_str ns, flow, uri = sl_query(c, "path"), id = sl_storage_execution_in(uri);
    sl_err err;
    bool found;
    if (!sl_call_execution(c, c->args[0], &ns, &flow))
        return false;
    if (!sl_store_related(c->store, c->arena, &(sl_lineage){ .id = c->args[0] }, id, &found, &ns, &flow, &err)) {
        sl_reply_err(c, &err);
        return false;
    }
    if (found && !sl_call_may(c, ns))
        return false;
    if (sl_storage_path(sl_engine_storage(c->engine), c->arena, uri, ns, flow, found ? id : c->args[0], path, &err) && sl_stored_have(sl_task_alone(c->engine, c->arena), *path, uri, &err))
        return true;
    if (err.kind != SL_ERR_NOT_FOUND && err.kind != SL_ERR_AUTH && err.kind != SL_ERR_CONFIG)
        sl_reply_err(c, &err);
    else
        sl_reply_error(c, 404, "Not Found: the execution has no file '%.*s'", SL_ARG(uri));
    return false;
}

static void file(sl_call *c)
{
    sl_str path;
    struct stat st;
    sl_err err;
    if (!open_file(c, &path))
        return;
    if (!sl_summed_check(path.p, sl_cstr(c->arena, sl_query(c, "path")), NULL, NULL, &err)) {
        sl_reply_err(c, &err);
        return;
    }
    int fd = open(path.p, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0)
            close(fd);
        sl_reply_error(c, 404, "Not Found: the file is gone");
        return;
    }
    c->resp->file_fd = fd;
    c->resp->file_size = st.st_size;
    c->resp->content_type = "application/octet-stream";
    sl_str name = sl_path_base(path);
    c->resp->headers = sl_map_of(c->arena, "Content-Disposition", sl_val_str(c->arena, sl_fmt(c->arena, "attachment; filename=\"%.*s\"", SL_ARG(sl_str_replace(c->arena, name, SL_S("\""), SL_S("_"))))));
}

static void file_metas(sl_call *c)
{
    sl_str path;
    int64_t size;
    sl_err err;
    if (!open_file(c, &path))
        return;
    if (sl_fs_size(path.p, &size, &err))
        sl_reply(c, 200, sl_map_of(c->arena, "size", sl_val_int(c->arena, size)));
    else
        sl_reply_err(c, &err);
}

static void file_preview(sl_call *c)
{
    sl_str path, line, extension;
    int64_t rows = 100;
    sl_err err;
    (void)sl_parse_int(sl_query(c, "maxRows"), &rows);
    if (!open_file(c, &path))
        return;
    SL_READER r = sl_reader_file(path.p, &err);
    sl_lines *lines = r ? sl_lines_new(c->arena, r, 1 << 20) : NULL;
    sl_buf text = sl_buf_new(c->arena, 4 << 20);
    bool more = false;
    for (int64_t i = 0; lines != NULL && sl_lines_next(lines, &line, &err) == 1; i++) {
        more = i >= rows;
        if (more)
            break;
        sl_buf_fmt(&text, "%.*s\n", SL_ARG(line));
    }
    sl_val *out = sl_map(c->arena);
    extension = sl_path_extension(path);
    sl_map_set_str(c->arena, out, "extension", sl_str_sub(extension, extension.n > 0, extension.n));
    sl_map_set_str(c->arena, out, "type", SL_S("TEXT"));
    sl_map_set_str(c->arena, out, "content", sl_redact(c->arena, sl_buf_str(&text)));
    sl_map_set_bool(c->arena, out, "truncated", more || text.overflow);
    sl_reply(c, 200, out);
}

const sl_api_route sl_api_executions[] = {
    { "GET", "/executions/search", SL_ROLE_VIEWER, SL_BODY_NONE, "q page size sort namespace flowId state labels startDate endDate timeRange triggerId triggerExecutionId", "Executions that match, newest first.", search },
    { "GET", "/executions", SL_ROLE_VIEWER, SL_BODY_NONE, "page size namespace flowId", "Executions of a flow.", search },
    { "POST", "/executions/webhook/{namespace}/{id}/{key}", SL_ROLE_NONE, SL_BODY_ANY, NULL, "Fires a webhook; the key is the secret.", webhook },
    { "GET", "/executions/webhook/{namespace}/{id}/{key}", SL_ROLE_NONE, SL_BODY_NONE, NULL, "Fires a webhook; the key is the secret.", webhook },
    { "PUT", "/executions/webhook/{namespace}/{id}/{key}", SL_ROLE_NONE, SL_BODY_ANY, NULL, "Fires a webhook; the key is the secret.", webhook },
    { "POST", "/executions/trigger/{namespace}/{id}", SL_ROLE_OPERATOR, SL_BODY_MULTIPART, "labels wait revision scheduleDate", "Older path for making an execution.", sl_call_create },
    { "GET", "/executions/{executionId}/follow", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "Server-sent events: the execution at each change.", sl_follow_execution },
    { "GET", "/executions/{executionId}/file", SL_ROLE_VIEWER, SL_BODY_NONE, "path", "A file of the execution.", file },
    { "GET", "/executions/{executionId}/file/metas", SL_ROLE_VIEWER, SL_BODY_NONE, "path", "Size of a file.", file_metas },
    { "GET", "/executions/{executionId}/file/preview", SL_ROLE_VIEWER, SL_BODY_NONE, "path maxRows", "First lines of a file.", file_preview },
    { "GET", "/executions/{executionId}", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "One execution.", get },
    { "POST", "/executions/{namespace}/{id}", SL_ROLE_OPERATOR, SL_BODY_MULTIPART, "labels wait revision scheduleDate", "Makes an execution; inputs are the parts of the form.", sl_call_create },
    { 0 },
};
