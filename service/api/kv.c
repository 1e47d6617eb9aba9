/* service/api/kv.c: values of a namespace. Secrets are never read over the API. */
#include "base/arena.h"
#include "base/json.h"
#include "service/api/api.h"

static void set_time(sl_arena *a, sl_val *map, const char *key, int64_t ms)
{
    if (ms > 0)
        sl_map_set_str(a, map, key, sl_time_rfc3339(a, ms));
}

static sl_val *entry_json(sl_call *c, const sl_kv_entry *e)
{
    sl_val *one = sl_map_of(c->arena, "key", sl_val_str(c->arena, e->key));
    sl_map_set_str(c->arena, one, "namespace", e->ns);
    sl_map_opt_str(c->arena, one, "description", e->description);
    set_time(c->arena, one, "creationDate", e->created_ms);
    set_time(c->arena, one, "updateDate", e->updated_ms);
    set_time(c->arena, one, "expirationDate", e->expires_ms);
    return one;
}

/* More than Kestra tells. */
static const sl_val *detailed_json(sl_call *c, const sl_kv_entry *e)
{
    sl_val *one = entry_json(c, e);
    sl_map_set_str(c->arena, one, "type", e->type);
    sl_map_set_int(c->arena, one, "version", e->version);
    sl_map_set_str(c->arena, one, "fingerprint", e->fingerprint);
    return one;
}

static bool add_keys(sl_call *c, sl_str ns, sl_val *out)
{
    sl_kv_entry *entries;
    size_t n;
    sl_err err;
    if (!sl_kv_entries(sl_engine_kv(c->engine), c->arena, SL_KV_VALUE, ns, SL_S(""), &entries, &n, &err)) {
        sl_reply_err(c, &err);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        sl_list_add(c->arena, out, entry_json(c, &entries[i]));
    return true;
}

/* Of all namespaces that the caller may see, or of one. */
static void list_all(sl_call *c)
{
    sl_kv_entry *entries;
    size_t n;
    int64_t offset, size, at = 0;
    sl_err err;
    sl_val *out = sl_list(c->arena);
    sl_str ns = sl_query_filter(c, "namespace"), q = sl_query_filter(c, "q");
    if (!sl_query_page(c, &offset, &size))
        return;
    if (!sl_kv_entries(sl_engine_kv(c->engine), c->arena, SL_KV_VALUE, ns.n > 0 ? ns : (sl_str){ NULL, 0 }, SL_S(""), &entries, &n, &err)) {
        sl_reply_err(c, &err);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (!sl_principal_may(&c->who, SL_ROLE_VIEWER, entries[i].ns) || (q.n > 0 && sl_str_find(entries[i].key, q) < 0))
            continue;
        if (at >= offset && at < offset + size)
            sl_list_add(c->arena, out, detailed_json(c, &entries[i]));
        at++;
    }
    sl_reply_page(c, out, at);
}

static void list(sl_call *c)
{
    sl_val *out = sl_list(c->arena);
    if (add_keys(c, c->args[0], out))
        sl_reply(c, 200, out);
}

/* What a flow of the namespace sees besides its own: the keys of the namespaces above it, as far as the caller may look. */
static void inherited(sl_call *c)
{
    sl_val *out = sl_list(c->arena);
    sl_str ns = c->args[0], own = sl_str_c(c->who.ns);
    for (ptrdiff_t dot; (dot = sl_str_rfind(ns, SL_S("."))) > 0;) {
        ns = sl_str_sub(ns, 0, (size_t)dot);
        if (own.n > 0 && !sl_str_eq(ns, own) && !(sl_str_starts(ns, own) && ns.p[own.n] == '.'))
            break;
        if (!add_keys(c, ns, out))
            return;
    }
    sl_reply(c, 200, out);
}

static void get(sl_call *c)
{
    sl_kv_entry entry;
    bool found;
    sl_err err;
    if (!sl_kv_find(sl_engine_kv(c->engine), c->arena, SL_KV_VALUE, c->args[0], c->args[1], false, &found, &entry, &err)) {
        sl_reply_err(c, &err);
        return;
    }
    const sl_val *value = found ? sl_kv_decode(c->arena, &entry, &err) : NULL;
    if (!found)
        sl_reply_error(c, 404, "Not Found: No value found for key '%.*s' in namespace '%.*s'", SL_ARG(c->args[1]), SL_ARG(c->args[0]));
    else if (value == NULL)
        sl_reply_err(c, &err);
    else {
        sl_val *out = sl_map_of(c->arena, "type", sl_val_str(c->arena, entry.type));
        sl_map_setc(c->arena, out, "value", value);
        sl_reply(c, 200, out);
    }
}

/* A body that is JSON is that value; any other text is a string, or a date or duration when it looks like one. */
static const sl_val *value_of(sl_call *c)
{
    sl_err ignored;
    sl_str text = sl_str_trim(c->body);
    const sl_val *v = sl_json_parse(c->arena, text, &ignored);
    return v != NULL ? v : sl_val_str(c->arena, text);
}

static sl_str type_of(sl_call *c, const sl_val *v)
{
    sl_err ignored;
    sl_time t;
    int64_t ms;
    bool bare = sl_is(v, SL_STRING) && !sl_json_parse(c->arena, sl_str_trim(c->body), &ignored);
    if (bare && v->s.n > 1 && v->s.p[0] == 'P' && sl_duration_parse(v->s, &ms))
        return SL_S("DURATION");
    if (bare && sl_time_parse(v->s, &t) && t.kind == SL_TIME_DATE)
        return SL_S("DATE");
    if (bare && sl_time_parse(v->s, &t) && (t.kind == SL_TIME_INSTANT || t.kind == SL_TIME_ZONED))
        return SL_S("DATETIME");
    return (sl_str){ NULL, 0 };
}

static void put(sl_call *c)
{
    const sl_val *v = value_of(c);
    sl_str json, type, wanted = sl_str_upper(c->arena, sl_request_header(c->req, "type")), ttl = sl_request_header(c->req, "ttl");
    sl_kv_options o = { .description = sl_request_header(c->req, "description") };
    sl_err err;
    if (ttl.n > 0 && !sl_duration_parse(ttl, &o.ttl_ms)) {
        sl_reply_error(c, 422, "Invalid entity: the header ttl must be a duration such as PT1H, not '%.*s'", SL_ARG(ttl));
        return;
    }
    if (wanted.n == 0)
        wanted = type_of(c, v);
    if (!sl_kv_encode(c->arena, v, wanted, &json, &type, &err)) {
        sl_reply_err(c, &err);
        return;
    }
    o.type = type;
    if (sl_kv_put(sl_engine_kv(c->engine), SL_KV_VALUE, c->args[0], c->args[1], json, &o, &err))
        sl_reply_empty(c, 200);
    else
        sl_reply_err(c, &err);
}

static void remove_one(sl_call *c)
{
    bool existed;
    sl_err err;
    if (sl_kv_remove(sl_engine_kv(c->engine), SL_KV_VALUE, c->args[0], c->args[1], &existed, &err))
        sl_reply(c, 200, sl_val_bool(existed));
    else
        sl_reply_err(c, &err);
}

static void remove_many(sl_call *c)
{
    const sl_val *keys = sl_get(c->json, "keys");
    sl_val *gone = sl_list(c->arena);
    for (size_t i = 0; i < sl_val_count(keys); i++) {
        bool existed;
        sl_err err;
        if (!sl_kv_remove(sl_engine_kv(c->engine), SL_KV_VALUE, c->args[0], sl_text(sl_at(keys, i)), &existed, &err)) {
            sl_reply_err(c, &err);
            return;
        }
        if (existed)
            sl_list_add(c->arena, gone, sl_at(keys, i));
    }
    sl_reply(c, 200, sl_map_of(c->arena, "keys", gone));
}

const sl_api_route sl_api_kv[] = {
    { "GET", "/kv", SL_ROLE_VIEWER, SL_BODY_NONE, "namespace q page size", "Keys of all namespaces, without their values.", list_all },
    { "GET", "/namespaces/{namespace}/kv", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "Keys of a namespace.", list },
    { "GET", "/namespaces/{namespace}/kv/inheritance", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "Keys of the namespaces above.", inherited },
    { "GET", "/namespaces/{namespace}/kv/{key}", SL_ROLE_VIEWER, SL_BODY_NONE, NULL, "A value with its type.", get },
    { "PUT", "/namespaces/{namespace}/kv/{key}", SL_ROLE_AUTHOR, SL_BODY_ANY, NULL, "Stores a value; headers: ttl limits its life, type is STRING, NUMBER, … (else it is what the text looks like), description is for people.", put },
    { "DELETE", "/namespaces/{namespace}/kv/{key}", SL_ROLE_AUTHOR, SL_BODY_NONE, NULL, "Removes a value.", remove_one },
    { "DELETE", "/namespaces/{namespace}/kv", SL_ROLE_AUTHOR, SL_BODY_JSON, NULL, "Removes several values.", remove_many },
    { 0 },
};
