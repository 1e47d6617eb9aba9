/* service/cli_values_remote.c: see cli_values.h; over a server's API. */
#include "base/arena.h"
#include "base/json.h"
#include "service/cli_client.h"
#include "service/cli_values.h"

enum { PAGE = 1000 };

typedef struct remote {
    sl_values base;
    sl_client *client;
} remote;

static bool call(sl_values *v, const char *method, sl_str path, sl_str body, const sl_val **ret)
{
    int status;
    return sl_client_call(((remote *)v)->client, method, path, body.p ? "application/json" : NULL, body, ret, &status);
}

static sl_str path_of(sl_values *v, sl_str ns, sl_str key)
{
    sl_cli *c = v->cli;
    const char *what = v->kind == SL_KV_SECRET ? "secrets" : "kv";
    return key.n > 0 ? sl_client_path(c, "/namespaces/%s/%s/%s", sl_cstr(c->arena, ns), what, sl_cstr(c->arena, key)) : sl_client_path(c, "/namespaces/%s/%s", sl_cstr(c->arena, ns), what);
}

static bool put(sl_values *v, sl_str ns, sl_str key, sl_str value, const sl_kv_options *o)
{
    sl_client *k = ((remote *)v)->client;
    sl_arena *a = v->cli->arena;
    const sl_val *ignored;
    sl_client_header(k, "ttl", o->ttl_ms > 0 ? sl_duration_text(a, o->ttl_ms) : SL_S(""));
    if (v->kind == SL_KV_VALUE) {
        sl_client_header(k, "type", o->type);
        sl_client_header(k, "description", o->description);
        return call(v, "PUT", path_of(v, ns, key), value, &ignored);
    }
    sl_val *body = sl_map(a);
    sl_map_set_str(a, body, "key", key);
    sl_map_set_str(a, body, "value", value);
    sl_map_opt_str(a, body, "description", o->description);
    return call(v, "PUT", path_of(v, ns, SL_S("")), sl_json(a, body), &ignored);
}

static bool get(sl_values *v, sl_str ns, sl_str key, const sl_val **ret)
{
    int status;
    const sl_val *answer;
    *ret = NULL;
    if (!sl_client_try(((remote *)v)->client, "GET", path_of(v, ns, key), NULL, (sl_str){ NULL, 0 }, &answer, &status))
        return false;
    if (status == 404)
        return true;
    *ret = sl_get(answer, "value");
    return status == 200 || sl_cli_fail(1, "%.*s", SL_ARG(sl_get_text(answer, "message"))) == 0;
}

static bool list(sl_values *v, sl_str ns, const sl_val **ret)
{
    sl_cli *c = v->cli;
    sl_val *all = sl_list(c->arena);
    const sl_val *page, *rows;
    *ret = all;
    const bool values = v->kind == SL_KV_VALUE, one = ns.p != NULL;
    sl_str filter = values && one ? sl_percent(c->arena, ns, NULL) : SL_S("");
    sl_str path = values ? SL_S("/kv") : one ? path_of(v, ns, SL_S("")) : SL_S("/secrets");
    for (int number = 1;; number++) {
        if (!call(v, "GET", sl_fmt(c->arena, "%.*s?size=%d&page=%d%s%.*s", SL_ARG(path), PAGE, number, filter.n ? "&namespace=" : "", SL_ARG(filter)), (sl_str){ NULL, 0 }, &page))
            return false;
        rows = sl_get(page, "results");
        for (size_t i = 0; i < sl_val_count(rows); i++)
            sl_list_add(c->arena, all, sl_at(rows, i));
        if (sl_val_count(rows) < PAGE)
            return true;
    }
}

static bool remove_one(sl_values *v, sl_str ns, sl_str key, bool *existed)
{
    int status;
    const sl_val *answer;
    if (!sl_client_try(((remote *)v)->client, "DELETE", path_of(v, ns, key), NULL, (sl_str){ NULL, 0 }, &answer, &status))
        return false;
    *existed = status == 200 && (v->kind == SL_KV_SECRET || (sl_is(answer, SL_BOOL) && answer->b));
    return status == 200 || status == 404 || sl_cli_fail(1, "%.*s", SL_ARG(sl_get_text(answer, "message"))) == 0;
}

static void close_client(sl_values *v)
{
    (void)v; /* it dies with the arena */
}

sl_values *sl_values_remote(sl_cli *c, sl_kv_kind kind)
{
    remote *r = SL_NEW(c->arena, remote);
    *r = (remote){ { c, kind, put, get, list, remove_one, close_client, NULL }, sl_client_open(c) };
    return r->client ? &r->base : NULL;
}
