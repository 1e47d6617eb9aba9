/* service/api/secrets.c: secrets of a namespace: set and removed, listed by name; no route gives a value. Paths and shapes of Kestra EE. */
#include "base/arena.h"
#include "base/secret.h"
#include "service/api/api.h"

static const sl_val *meta_json(sl_call *c, const sl_kv_entry *e)
{
    sl_val *one = sl_map_of(c->arena, "namespace", sl_val_str(c->arena, e->ns));
    sl_map_set_str(c->arena, one, "key", e->key);
    sl_map_opt_str(c->arena, one, "description", e->description);
    sl_map_setc(c->arena, one, "tags", sl_list(c->arena));
    sl_map_set_int(c->arena, one, "version", e->version);
    sl_map_set_str(c->arena, one, "updateDate", sl_time_rfc3339(c->arena, e->updated_ms));
    if (e->expires_ms > 0)
        sl_map_set_str(c->arena, one, "expirationDate", sl_time_rfc3339(c->arena, e->expires_ms));
    sl_map_set_str(c->arena, one, "fingerprint", e->fingerprint);
    return one;
}

/* ns .p NULL: of all namespaces that the caller may see. */
static void reply_names(sl_call *c, sl_str ns)
{
    sl_kv_entry *entries;
    size_t n;
    int64_t offset, size, at = 0;
    sl_err err;
    sl_val *results = sl_list(c->arena), *out = sl_map_of(c->arena, "readOnly", sl_val_bool(false));
    if (!sl_query_page(c, &offset, &size))
        return;
    if (!sl_kv_entries(sl_engine_kv(c->engine), c->arena, SL_KV_SECRET, ns, SL_S(""), &entries, &n, &err)) {
        sl_reply_err(c, &err);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (!sl_principal_may(&c->who, c->route->role, entries[i].ns))
            continue;
        if (at >= offset && at < offset + size)
            sl_list_add(c->arena, results, meta_json(c, &entries[i]));
        at++;
    }
    sl_map_setc(c->arena, out, "results", results);
    sl_map_set_int(c->arena, out, "total", at);
    sl_reply(c, 200, out);
}

static void list(sl_call *c)
{
    reply_names(c, c->args[0]);
}

static void list_all(sl_call *c)
{
    reply_names(c, (sl_str){ NULL, 0 });
}

static void put(sl_call *c)
{
    sl_str key = sl_get_text(c->json, "key"), ttl = sl_request_header(c->req, "ttl");
    const sl_val *value = sl_get(c->json, "value");
    sl_kv_options o = { .description = sl_get_text(c->json, "description") };
    sl_err err;
    if (!sl_is(value, SL_STRING) || value->s.n == 0) {
        sl_reply_error(c, 422, "Invalid entity: 'value' must be a text that is not empty");
        return;
    }
    sl_redact_add(value->s);
    if (sl_val_count(sl_get(c->json, "tags")) > 0) {
        sl_reply_error(c, 422, "Invalid entity: 'tags' of secrets are not supported");
        return;
    }
    if (ttl.n > 0 && !sl_duration_parse(ttl, &o.ttl_ms)) {
        sl_reply_error(c, 422, "Invalid entity: the header ttl must be a duration such as PT1H, not '%.*s'", SL_ARG(ttl));
        return;
    }
    bool ok = sl_kv_put(sl_engine_kv(c->engine), SL_KV_SECRET, c->args[0], key, value->s, &o, &err);
    sl_wipe((void *)(uintptr_t)value->s.p, value->s.n); /* both are this call's own */
    sl_wipe((void *)(uintptr_t)c->body.p, c->body.n);
    if (!ok) {
        sl_reply_err(c, &err);
        return;
    }
    sl_val *meta = sl_map_of(c->arena, "namespace", sl_val_str(c->arena, c->args[0])), *out = sl_list(c->arena);
    sl_map_set_str(c->arena, meta, "key", key);
    sl_map_opt_str(c->arena, meta, "description", o.description);
    sl_map_setc(c->arena, meta, "tags", sl_list(c->arena));
    sl_list_add(c->arena, out, meta);
    sl_reply(c, 200, out);
}

static void remove_one(sl_call *c)
{
    bool existed;
    sl_err err;
    if (!sl_kv_remove(sl_engine_kv(c->engine), SL_KV_SECRET, c->args[0], c->args[1], &existed, &err))
        sl_reply_err(c, &err);
    else if (existed)
        sl_reply_empty(c, 200);
    else
        sl_reply_error(c, 404, "Not Found: there is no secret '%.*s' in the namespace '%.*s'", SL_ARG(c->args[1]), SL_ARG(c->args[0]));
}

const sl_api_route sl_api_secrets[] = {
    { "GET", "/secrets", SL_ROLE_AUTHOR, SL_BODY_NONE, "page size", "Names of the secrets of all namespaces.", list_all },
    { "GET", "/namespaces/{namespace}/secrets", SL_ROLE_AUTHOR, SL_BODY_NONE, "page size", "Names of the secrets of a namespace.", list },
    { "PUT", "/namespaces/{namespace}/secrets", SL_ROLE_ADMIN, SL_BODY_JSON, NULL, "Stores a secret, {key, value, description}; the header ttl limits its life.", put },
    { "DELETE", "/namespaces/{namespace}/secrets/{key}", SL_ROLE_ADMIN, SL_BODY_NONE, NULL, "Removes a secret.", remove_one },
    { 0 },
};
