/* service/expr_host.c: see expr_host.h. */
#include "service/expr_host.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/secret.h"
#include "base/summed.h"
#include "net/http_options.h"
#include "service/reach.h"
#include "service/secret_env.h"
#include "service/engine_private.h"
#include "service/stored.h"

static bool host_kv(void *self, sl_arena *arena, sl_str key, sl_str ns, const sl_val **ret, sl_err *err)
{
    const sl_host_self *h = self;
    sl_kv_entry entry;
    bool found;
    *ret = NULL;
    if (ns.p != NULL && !sl_reach(h->engine, h->ns, ns, false, err))
        return false;
    if (!sl_kv_find(h->engine->kv, arena, SL_KV_VALUE, ns.p ? ns : h->ns, key, ns.p == NULL, &found, &entry, err))
        return false;
    return !found || (*ret = sl_kv_decode(arena, &entry, err)) != NULL;
}

/* With the local cloud, the names under which flows usually keep credentials are its own; NULL: no such name. */
static const sl_str *local_secret(const sl_engine *e, sl_str key)
{
    const sl_endpoints *ep = &e->options.endpoints;
    const struct {
        const char *name;
        const sl_str *value;
    } known[] = { { "GCP_CREDS", &ep->google_key },          { "GCP_SERVICE_ACCOUNT", &ep->google_key }, { "GOOGLE_APPLICATION_CREDENTIALS", &ep->google_key },
                  { "AWS_ACCESS_KEY_ID", &ep->aws_key_id },  { "AWS_SECRET_KEY_ID", &ep->aws_secret },   { "AWS_SECRET_ACCESS_KEY", &ep->aws_secret },
                  { "REDSHIFT_PASSWORD", &ep->aws_secret } };
    for (size_t i = 0; ep->local && i < SL_COUNT(known); i++)
        if (sl_str_eqc(key, known[i].name))
            return known[i].value;
    return NULL;
}

bool sl_host_secret(sl_engine *e, sl_arena *arena, sl_str ns, sl_str key, sl_str *ret, sl_err *err)
{
    sl_kv_entry entry;
    bool found;
    if (!sl_kv_find(e->kv, arena, SL_KV_SECRET, ns, key, true, &found, &entry, err))
        return false;
    if (found)
        *ret = entry.value;
    else if (!sl_secret_env_find(arena, key, ret)) {
        const sl_str *local = local_secret(e, key);
        if (local == NULL)
            return sl_err_set(err, SL_ERR_NOT_FOUND, "secret.missing", "Cannot find secret for key '%.*s'. Set it with: sluice secret set -n %.*s %.*s @FILE", SL_ARG(key), SL_ARG(ns), SL_ARG(key));
        *ret = sl_str_dup(arena, *local);
    }
    sl_redact_add(*ret);
    return true;
}

static bool host_secret(void *self, sl_arena *arena, sl_str key, sl_str ns, sl_str *ret, sl_err *err)
{
    const sl_host_self *h = self;
    /* A flow sees the secrets of its own namespace and its parents. */
    if (ns.p != NULL && !sl_str_eq(ns, h->ns) && !(sl_str_starts(h->ns, ns) && h->ns.n > ns.n && h->ns.p[ns.n] == '.'))
        return sl_err_set(err, SL_ERR_AUTH, "secret.namespace", "a flow of the namespace '%.*s' may not read secrets of '%.*s'", SL_ARG(h->ns), SL_ARG(ns));
    return sl_host_secret(h->engine, arena, ns.p ? ns : h->ns, key, ret, err);
}

/* The path with all links followed: only so it can be said where it lies. */
static bool real_path(sl_arena *arena, sl_str path, sl_str *ret)
{
    char *real = realpath(sl_cstr(arena, path), NULL);
    if (real == NULL)
        return false;
    *ret = sl_str_dup(arena, sl_str_c(real));
    free(real);
    return true;
}

/* file:///…, below one of the folders that the configuration allows. */
static bool local_file(const sl_host_self *h, sl_arena *arena, sl_str uri, sl_str *ret, sl_err *err)
{
    const sl_val *folders = h->engine->options.local_files;
    sl_str path = sl_str_sub(uri, 7, uri.n), folder;
    if (path.n == 0 || path.p[0] != '/' || memchr(path.p, 0, path.n) != NULL)
        return sl_err_set(err, SL_ERR_CONFIG, "file.path", "'%.*s' must name a whole path: file:///folder/name", SL_ARG(uri));
    bool found = real_path(arena, path, ret);
    for (size_t i = 0; found && i < sl_val_count(folders); i++)
        if (real_path(arena, sl_text(sl_at(folders, i)), &folder) && sl_str_starts(*ret, folder) && (ret->n == folder.n || folder.n == 1 || ret->p[folder.n] == '/'))
            return true;
    /* What lies outside of them is not told from what is not there. */
    return sl_err_set(err, SL_ERR_NOT_FOUND, "file.local", "there is no file '%.*s' that flows may read; folders are allowed with 'localFiles' in the server's configuration", SL_ARG(uri));
}

/* A file that was handed on. Mostly by what called this one, which is known; else asked for seldom, so with a connection of its own. */
static bool handed_on(const sl_host_self *h, sl_arena *arena, sl_str uri, sl_str *ret, bool *found, sl_err *err)
{
    sl_str id = sl_storage_execution_in(uri), ns, flow_id;
    *found = false;
    if (id.n == 0 || h->execution.id.n == 0)
        return true;
    *found = sl_str_eq(id, h->execution.caller);
    if (*found)
        return sl_storage_path(&h->engine->storage, arena, uri, sl_get_text(h->call, "namespace"), sl_get_text(h->call, "flowId"), id, ret, err);
    sl_store *s = sl_store_open_reader(sl_fmt(arena, "%s/state.db", h->engine->data_dir).p, h->engine->kv, err);
    bool ok = s != NULL && sl_store_related(s, arena, &h->execution, id, found, &ns, &flow_id, err);
    sl_store_close(s);
    return ok && (!*found || sl_storage_path(&h->engine->storage, arena, uri, ns, flow_id, id, ret, err));
}

bool sl_host_find(const sl_host_self *h, sl_arena *arena, sl_str uri, sl_str *ret, sl_err *err)
{
    sl_err foreign;
    bool found;
    if (sl_str_starts(uri, SL_S("file://")))
        return local_file(h, arena, uri, ret, err);
    if (sl_storage_path(&h->engine->storage, arena, uri, h->ns, h->flow_id, h->execution.id, ret, err))
        return true;
    if (strcmp(err->code, "storage.foreign") != 0)
        return false;
    foreign = *err;
    if (!handed_on(h, arena, uri, ret, &found, err))
        return false;
    if (!found)
        *err = foreign;
    return found;
}

bool sl_host_file(const sl_host_self *h, sl_task *t, sl_arena *arena, sl_str uri, sl_str *ret, sl_err *err)
{
    if (!sl_host_find(h, arena, uri, ret, err))
        return false;
    if (t != NULL)
        sl_stored_pin(t, *ret);
    return sl_str_starts(uri, SL_S("file://")) || sl_stored_have(t ? t : sl_task_alone(h->engine, arena), *ret, uri, err);
}

static bool host_path(const sl_host_self *h, sl_arena *arena, sl_str path, sl_str *ret, sl_err *err)
{
    if (!sl_str_starts(path, SL_S("kestra://")) && !sl_str_starts(path, SL_S("file://"))) {
        if (!sl_path_is_safe(path))
            return sl_err_set(err, SL_ERR_CONFIG, "file.path", "Path must not contain '../': '%.*s'", SL_ARG(path));
        path = sl_fmt(arena, "kestra:///%.*s/_files/%.*s", SL_ARG(sl_str_replace(arena, h->ns, SL_S("."), SL_S("/"))), SL_ARG(sl_percent(arena, path, "/")));
    }
    return sl_host_file(h, NULL, arena, path, ret, err);
}

static bool host_read(void *self, sl_arena *arena, sl_str path, sl_str *ret, sl_err *err)
{
    sl_str file;
    return host_path(self, arena, path, &file, err) && sl_fs_read(arena, file.p, SL_EXPR_OUTPUT_MAX, ret, err) && sl_summed_check(file.p, sl_cstr(arena, path), NULL, NULL, err);
}

static bool host_file_size(void *self, sl_str uri, int64_t *ret, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_str file;
    return host_path(self, a, uri, &file, err) && sl_fs_size(file.p, ret, err);
}

static bool host_file_uri(void *self, sl_arena *arena, sl_str path, sl_str *ret, sl_err *err)
{
    const sl_host_self *h = self;
    if (!sl_path_is_safe(path))
        return sl_err_set(err, SL_ERR_CONFIG, "file.path", "Path must not contain '../': '%.*s'", SL_ARG(path));
    *ret = sl_fmt(arena, "kestra:///%.*s/_files/%.*s", SL_ARG(sl_str_replace(arena, h->ns, SL_S("."), SL_S("/"))), SL_ARG(path));
    return true;
}

static bool host_error_logs(void *self, sl_arena *arena, const sl_val **ret, sl_err *err)
{
    const sl_host_self *h = self;
    return sl_logs_read(h->engine->logs, arena, h->execution.id, SL_ERROR, ret, err);
}

/* GET and the like for expressions; the answer is parsed when it is JSON. */
static bool host_http(void *self, sl_arena *arena, const sl_val *request, const sl_val **ret, sl_err *err)
{
    const sl_host_self *h = self;
    sl_str uri = sl_get_text(request, "uri"), query = sl_url_query(arena, sl_get(request, "query"));
    sl_val *headers = sl_map_shallow(arena, sl_get(request, "headers"));
    if (sl_get_text(request, "accept").n > 0)
        sl_map_set_str(arena, headers, "Accept", sl_get_text(request, "accept"));
    if (sl_get(request, "body") != NULL)
        sl_map_set_str(arena, headers, "Content-Type", sl_get(request, "contentType") ? sl_get_text(request, "contentType") : SL_S("application/json"));
    sl_str method = sl_get_text(request, "method");
    sl_http_request req = { .method = method.n ? sl_cstr(arena, method) : "GET", .url = query.n ? sl_fmt(arena, "%.*s?%.*s", SL_ARG(uri), SL_ARG(query)) : uri, .headers = headers,
                            .body = sl_get(request, "body") ? sl_val_text(arena, sl_get(request, "body")) : SL_S(""), .body_max = SL_EXPR_OUTPUT_MAX, .total_ms = 60000, .attempts_max = 3 };
    sl_http_options_put(arena, sl_get(request, "options"), headers, &req);
    sl_http_response r;
    if (!sl_http_call(h->engine->http, arena, &req, &r, err))
        return false;
    if (!sl_http_options_accept(arena, sl_get(request, "options"), r.status))
        return sl_err_set(err, sl_http_status_kind(r.status), "http.status", "%.*s answered with HTTP %d", SL_ARG(uri), r.status);
    sl_err ignored;
    *ret = sl_json_parse(arena, r.body, &ignored);
    if (*ret == NULL)
        *ret = sl_val_str(arena, r.body);
    return true;
}

static bool is_called(const sl_val *trigger)
{
    return sl_get(sl_get(trigger, "variables"), "taskRunId") != NULL || sl_str_ends(sl_get_text(trigger, "type"), SL_S(".trigger.Flow"));
}

sl_expr_host sl_host_make(sl_engine *e, sl_arena *arena, const sl_flow *flow, sl_str execution_id, const sl_val *trigger, sl_str replayed)
{
    sl_host_self *h = SL_NEW(arena, sl_host_self);
    *h = (sl_host_self){ .engine = e, .ns = flow->ns, .flow_id = flow->id, .execution = { .id = sl_str_dup(arena, execution_id), .replayed = replayed } };
    h->call = is_called(trigger) ? sl_get(trigger, "variables") : NULL;
    h->execution.caller = sl_get_text(h->call, "executionId");
    return (sl_expr_host){ .self = h, .kv = host_kv, .secret = host_secret, .read = host_read, .file_size = host_file_size, .file_uri = host_file_uri, .error_logs = host_error_logs, .http = host_http };
}

sl_expr_host sl_engine_host(sl_engine *e, sl_arena *arena, const sl_flow *flow)
{
    return sl_host_make(e, arena, flow, SL_S(""), NULL, SL_S(""));
}

sl_expr_env sl_loop_env(const sl_val *vars, sl_expr_host *host)
{
    host->http = NULL;
    return (sl_expr_env){ .vars = vars, .host = host, .jq_ms = 1000 };
}

sl_expr_host sl_engine_host_of(sl_engine *e, sl_arena *arena, const sl_exec *x)
{
    return sl_host_make(e, arena, x->flow, x->id, x->trigger, x->parent_id);
}
