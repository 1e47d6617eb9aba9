/* connectors/kv.c: io.kestra.plugin.core.kv: the key-value store as tasks see it. */
#include "base/arena.h"
#include "base/limits.h"
#include "connectors/connectors.h"

#define CORE "io.kestra.plugin.core."

static const sl_opt no_outs[] = { { 0 } };

typedef struct kv_cfg {
    sl_str key, ns, type, description, prefix;
    const sl_val *value;
    int64_t ttl_ms;
    bool overwrite, error_on_missing;
} kv_cfg;

#define KV_KEY { .name = "key", .type = SL_OPT_STR, .offset = SL_FIELD(kv_cfg, key), .flags = SL_REQUIRED, .doc = "Name of the value." }
#define KV_NS { .name = "namespace", .type = SL_OPT_STR, .offset = SL_FIELD(kv_cfg, ns), .doc = "Its namespace; the flow's when absent." }
#define KV_ERROR { .name = "errorOnMissing", .type = SL_OPT_BOOL, .offset = SL_FIELD(kv_cfg, error_on_missing), .fallback = "false", .doc = "Fail when there is no such value." }

static const sl_opt set_opts[] = {
    KV_KEY,
    { .name = "value", .type = SL_OPT_ANY, .offset = SL_FIELD(kv_cfg, value), .flags = SL_REQUIRED | SL_TYPED, .doc = "The value." },
    KV_NS,
    { .name = "kvType", .type = SL_OPT_ENUM, .offset = SL_FIELD(kv_cfg, type), .values = "STRING NUMBER BOOLEAN DATETIME DATE DURATION JSON", .doc = "Type to store it as." },
    { .name = "overwrite", .type = SL_OPT_BOOL, .offset = SL_FIELD(kv_cfg, overwrite), .fallback = "true", .doc = "Replace an existing value." },
    { .name = "ttl", .type = SL_OPT_DURATION, .offset = SL_FIELD(kv_cfg, ttl_ms), .doc = "How long it is valid." },
    { .name = "kvDescription", .type = SL_OPT_STR, .offset = SL_FIELD(kv_cfg, description), .doc = "For people." },
    { 0 },
};

static const sl_opt get_opts[] = { KV_KEY, KV_NS, KV_ERROR, { 0 } };
static const sl_opt get_outs[] = { { .name = "value", .type = SL_OPT_ANY, .doc = "The value; null when there is none." }, { 0 } };
static const sl_opt delete_outs[] = { { .name = "deleted", .type = SL_OPT_BOOL, .doc = "Whether there was one." }, { 0 } };
static const sl_opt keys_opts[] = {
    { .name = "prefix", .type = SL_OPT_STR, .offset = SL_FIELD(kv_cfg, prefix), .doc = "Beginning of the names." },
    KV_NS,
    { 0 },
};
static const sl_opt keys_outs[] = { { .name = "keys", .type = SL_OPT_STRS, .doc = "Names of the values." }, { 0 } };

static sl_outcome kv_set_run(sl_task *t, void *cfg, sl_err *err)
{
    const kv_cfg *c = cfg;
    return sl_task_kv_set(t, c->ns, c->key, c->value, c->type, c->ttl_ms, c->overwrite, c->description, err) ? SL_TASK_DONE : SL_TASK_FAILED;
}

static bool missing(sl_task *t, const kv_cfg *c, sl_err *err)
{
    sl_str ns = c->ns.n ? c->ns : sl_task_about(t)->ns;
    return sl_err_set(err, SL_ERR_NOT_FOUND, "kv.missing", "The key '%.*s' does not exist in the namespace '%.*s'.", SL_ARG(c->key), SL_ARG(ns));
}

static sl_outcome kv_get_run(sl_task *t, void *cfg, sl_err *err)
{
    const kv_cfg *c = cfg;
    const sl_val *v;
    if (!sl_task_kv_get(t, c->ns, c->key, &v, err))
        return SL_TASK_FAILED;
    if (v == NULL && c->error_on_missing) {
        missing(t, c, err);
        return SL_TASK_FAILED;
    }
    sl_task_out(t, "value", v ? v : &sl_null_val);
    return SL_TASK_DONE;
}

static sl_outcome kv_delete_run(sl_task *t, void *cfg, sl_err *err)
{
    const kv_cfg *c = cfg;
    bool existed;
    if (!sl_task_kv_delete(t, c->ns, c->key, &existed, err) || (!existed && c->error_on_missing && !missing(t, c, err)))
        return SL_TASK_FAILED;
    sl_task_out(t, "deleted", sl_val_bool(existed));
    return SL_TASK_DONE;
}

static sl_outcome kv_keys_run(sl_task *t, void *cfg, sl_err *err)
{
    const kv_cfg *c = cfg;
    const sl_val *keys;
    if (!sl_task_kv_keys(t, c->ns, c->prefix, &keys, err))
        return SL_TASK_FAILED;
    sl_task_out(t, "keys", keys);
    return SL_TASK_DONE;
}

static const sl_task_type kv_set = { .type = CORE "kv.Set", .doc = "Stores a value.", .cfg_size = sizeof(kv_cfg), .opts = set_opts, .outs = no_outs, .run = kv_set_run };
static const sl_task_type kv_get = { .type = CORE "kv.Get", .doc = "Reads a stored value.", .cfg_size = sizeof(kv_cfg), .opts = get_opts, .outs = get_outs, .run = kv_get_run };
static const sl_task_type kv_delete = { .type = CORE "kv.Delete", .doc = "Removes a stored value.", .cfg_size = sizeof(kv_cfg), .opts = get_opts, .outs = delete_outs, .run = kv_delete_run };
static const sl_task_type kv_keys = { .type = CORE "kv.GetKeys", .doc = "Lists the names of stored values.", .cfg_size = sizeof(kv_cfg), .opts = keys_opts, .outs = keys_outs, .run = kv_keys_run };

/* ---- Put ---- */

typedef struct put_cfg {
    sl_str key, ns;
    const sl_val *value;
    bool error_on_missing;
} put_cfg;

static const sl_opt put_opts[] = {
    { .name = "key", .type = SL_OPT_STR, .offset = SL_FIELD(put_cfg, key), .flags = SL_REQUIRED, .doc = "Name of the value." },
    { .name = "value", .type = SL_OPT_ANY, .offset = SL_FIELD(put_cfg, value), .flags = SL_REQUIRED | SL_TYPED, .doc = "The value; a map is merged; [{key: a.b, value}] sets parts of a map." },
    { .name = "namespace", .type = SL_OPT_STR, .offset = SL_FIELD(put_cfg, ns), .doc = "Its namespace; the flow's when absent." },
    { .name = "errorOnMissing", .type = SL_OPT_BOOL, .offset = SL_FIELD(put_cfg, error_on_missing), .fallback = "false", .doc = "Fail when there is no such value." },
    { 0 },
};

static bool refuse(sl_err *err, const char *why)
{
    return sl_err_set(err, SL_ERR_CONFIG, "kv.entries", "property 'value': %s", why);
}

/* Only maps with a 'value', and with nothing but a 'key' beside it. */
static bool are_entries(const sl_val *list)
{
    for (size_t i = 0; i < sl_val_count(list); i++) {
        const sl_val *e = sl_at(list, i);
        if (!sl_is(e, SL_MAP) || sl_get(e, "value") == NULL || sl_val_count(e) > (sl_get(e, "key") != NULL ? 2U : 1U))
            return false;
    }
    return sl_is(list, SL_LIST) && sl_val_count(list) > 0;
}

/* {a: {b: value}} of the path a.b; NULL when it has too many parts. */
static const sl_val *nested(sl_arena *a, sl_str path, const sl_val *value)
{
    for (int parts = 1; parts < SL_JSON_DEPTH_MAX / 2; parts++) {
        ptrdiff_t dot = sl_str_rfind(path, SL_S("."));
        sl_val *map = sl_map(a);
        sl_map_set(a, map, sl_str_sub(path, (size_t)(dot + 1), path.n), value);
        if (dot < 0)
            return map;
        value = map;
        path.n = (size_t)dot;
    }
    return NULL;
}

static const sl_val *merged(sl_arena *a, const sl_val *old, const sl_val *new)
{
    if (!sl_is(old, SL_MAP) || !sl_is(new, SL_MAP))
        return new;
    sl_val *out = sl_map_shallow(a, old);
    for (size_t i = 0; i < new->map.n; i++)
        sl_map_set(a, out, new->map.entries[i].key, merged(a, sl_get_str(old, new->map.entries[i].key), new->map.entries[i].value));
    return out;
}

static bool set_parts(sl_arena *a, const sl_val *old, const sl_val *entries, const sl_val **ret, sl_err *err)
{
    if (old != NULL && !sl_is(old, SL_MAP))
        return refuse(err, "entries with a key change parts of a map, and what is stored is no map");
    for (size_t i = 0; i < sl_val_count(entries); i++) {
        const sl_val *key = sl_get(sl_at(entries, i), "key");
        if (key == NULL)
            return refuse(err, "entries with and without a key cannot be mixed");
        if (sl_str_trim(sl_text(key)).n == 0)
            return refuse(err, "the key of an entry must be a text that is not empty");
        const sl_val *part = nested(a, sl_text(key), sl_get(sl_at(entries, i), "value"));
        if (part == NULL)
            return refuse(err, "the key of an entry has too many parts");
        old = merged(a, old, part);
    }
    *ret = old;
    return true;
}

static bool put_change(void *self, sl_arena *a, const sl_val *old, const sl_val **ret, sl_err *err)
{
    const put_cfg *c = self;
    if (old == NULL && c->error_on_missing)
        return sl_err_set(err, SL_ERR_NOT_FOUND, "kv.missing", "there is no value for the key '%.*s' (and 'errorOnMissing' is true)", SL_ARG(c->key));
    if (!are_entries(c->value)) {
        *ret = merged(a, old, c->value);
        return true;
    }
    if (sl_get(sl_at(c->value, 0), "key") != NULL)
        return set_parts(a, old, c->value, ret, err);
    if (sl_val_count(c->value) > 1)
        return refuse(err, "an entry without a key replaces the whole value, and must be the only one");
    *ret = sl_get(sl_at(c->value, 0), "value");
    return true;
}

static sl_outcome kv_put_run(sl_task *t, void *cfg, sl_err *err)
{
    put_cfg *c = cfg;
    return sl_task_kv_change(t, c->ns, c->key, put_change, c, SL_S(""), err) ? SL_TASK_DONE : SL_TASK_FAILED;
}

static const sl_task_type kv_put = { .type = CORE "kv.Put", .doc = "Changes a stored value, or parts of it.", .cfg_size = sizeof(put_cfg), .opts = put_opts, .outs = no_outs, .run = kv_put_run };

/* ---- PurgeKV ---- */

typedef struct purge_cfg {
    sl_str pattern, namespace_pattern;
    const sl_val *namespaces, *behavior, *expired_only;
    bool children;
} purge_cfg;

static const sl_opt behavior_opts[] = {
    { .name = "type", .type = SL_OPT_STR, .doc = "key." },
    { .name = "expiredOnly", .type = SL_OPT_BOOL, .doc = "Only keys whose time is up (true)." },
    { 0 },
};

static const sl_opt purge_opts[] = {
    { .name = "keyPattern", .type = SL_OPT_STR, .offset = SL_FIELD(purge_cfg, pattern), .fallback = "*", .doc = "Glob of the keys." },
    { .name = "namespaces", .type = SL_OPT_STRS, .offset = SL_FIELD(purge_cfg, namespaces), .doc = "Namespaces; the flow's when neither these nor a pattern are given." },
    { .name = "namespacePattern", .type = SL_OPT_STR, .offset = SL_FIELD(purge_cfg, namespace_pattern), .doc = "Glob of the namespaces." },
    { .name = "includeChildNamespaces", .type = SL_OPT_BOOL, .offset = SL_FIELD(purge_cfg, children), .fallback = "true", .doc = "Those below the namespaces, too." },
    { .name = "behavior", .type = SL_OPT_MAP, .offset = SL_FIELD(purge_cfg, behavior), .sub = behavior_opts, .doc = "{type: key, expiredOnly}." },
    { .name = "expiredOnly", .type = SL_OPT_ANY, .offset = SL_FIELD(purge_cfg, expired_only), .flags = SL_DEPRECATED, .doc = "Older place of behavior.expiredOnly." },
    { 0 },
};

static const sl_opt purge_outs[] = { { .name = "size", .type = SL_OPT_INT, .doc = "How many keys were removed." }, { 0 } };

static sl_outcome purge_run(sl_task *t, void *cfg, sl_err *err)
{
    const purge_cfg *c = cfg;
    sl_arena *a = sl_task_arena(t);
    sl_str type = sl_get_text(c->behavior, "type");
    sl_kv_purge what = { .pattern = c->pattern, .namespaces = c->namespaces, .namespace_pattern = c->namespace_pattern, .children = c->children };
    const sl_val *flag = sl_get(c->behavior, "expiredOnly") ? sl_get(c->behavior, "expiredOnly") : c->expired_only;
    what.expired_only = flag == NULL || sl_str_ieq(sl_val_text(a, flag), SL_S("true"));
    if (type.n > 0 && !sl_str_eqc(type, "key")) {
        sl_err_set(err, SL_ERR_CONFIG, "kv.behavior", "the behavior '%.*s' is not supported; only 'key' is", SL_ARG(type));
        return SL_TASK_FAILED;
    }
    int64_t count = 0;
    if (!sl_task_kv_purge(t, &what, &count, err))
        return SL_TASK_FAILED;
    sl_task_out_int(t, "size", count);
    return SL_TASK_DONE;
}

static const sl_task_type kv_purge = { .type = CORE "kv.PurgeKV", .doc = "Removes keys, those whose time is up or all that match.", .cfg_size = sizeof(purge_cfg), .opts = purge_opts, .outs = purge_outs, .run = purge_run };

static const sl_task_type *const tasks[] = { &kv_set, &kv_put, &kv_get, &kv_delete, &kv_keys, &kv_purge, NULL };
const sl_connector sl_connector_kv = { .name = "kv", .tasks = tasks };
