/* service/task_kv.c: the key-value store as a running attempt sees it (connectors/task.h). */
#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "service/reach.h"
#include "service/task_ctx.h"

/* *ns empty: the flow's own. */
static bool own_or_reached(const sl_task *t, sl_str *ns, bool changes, sl_err *err)
{
    if (ns->n == 0)
        *ns = t->info.ns;
    return sl_reach(t->engine, t->info.ns, *ns, changes, err);
}

bool sl_task_kv_get(sl_task *t, sl_str ns, sl_str key, const sl_val **ret, sl_err *err)
{
    sl_kv_entry entry;
    bool found;
    *ret = NULL;
    if (!own_or_reached(t, &ns, false, err))
        return false;
    if (!sl_kv_find(t->engine->kv, t->arena, SL_KV_VALUE, ns, key, false, &found, &entry, err))
        return false;
    return !found || (*ret = sl_kv_decode(t->arena, &entry, err)) != NULL;
}

bool sl_task_kv_set(sl_task *t, sl_str ns, sl_str key, const sl_val *value, sl_str type, int64_t ttl_ms, bool overwrite, sl_str description, sl_err *err)
{
    sl_str json, own;
    if (!own_or_reached(t, &ns, true, err))
        return false;
    if (!sl_kv_encode(t->arena, value, type, &json, &own, err))
        return false;
    sl_kv_options o = { .type = own, .ttl_ms = ttl_ms, .no_overwrite = !overwrite, .description = description };
    return sl_kv_put(t->engine->kv, SL_KV_VALUE, ns, key, json, &o, err);
}

bool sl_task_kv_change(sl_task *t, sl_str ns, sl_str key, sl_kv_change fn, void *self, sl_str description, sl_err *err)
{
    enum { TRIES = 100 };
    sl_kv *kv = t->engine->kv;
    if (!own_or_reached(t, &ns, true, err))
        return false;
    for (int i = 0; i < TRIES; i++) {
        sl_kv_entry e = { 0 };
        bool found;
        const sl_val *old = NULL, *changed;
        sl_str json, type;
        if (!sl_kv_find(kv, t->arena, SL_KV_VALUE, ns, key, false, &found, &e, err) && strcmp(err->code, "kv.expired") != 0)
            return false;
        if ((found && (old = sl_kv_decode(t->arena, &e, err)) == NULL) || !fn(self, t->arena, old, &changed, err) || !sl_kv_encode(t->arena, changed, SL_S(""), &json, &type, err))
            return false;
        sl_kv_options o = { .type = type, .description = found && e.description.n > 0 ? e.description : description, .if_version = true, .version = found ? e.version : 0 };
        if (found && e.expires_ms > 0 && (o.ttl_ms = e.expires_ms - sl_now_ms()) <= 0)
            continue;
        if (sl_kv_put(kv, SL_KV_VALUE, ns, key, json, &o, err))
            return true;
        if (strcmp(err->code, "kv.changed") != 0 || sl_task_cancelled(t))
            return false;
    }
    return sl_err_set(err, SL_ERR_CONFLICT, "kv.changed", "the value of '%.*s' was changed by others each of %d times that this task tried; try again", SL_ARG(key), TRIES);
}

bool sl_task_kv_delete(sl_task *t, sl_str ns, sl_str key, bool *existed, sl_err *err)
{
    return own_or_reached(t, &ns, true, err) && sl_kv_remove(t->engine->kv, SL_KV_VALUE, ns, key, existed, err);
}

bool sl_task_kv_keys(sl_task *t, sl_str ns, sl_str prefix, const sl_val **ret, sl_err *err)
{
    sl_kv_entry *entries;
    size_t n;
    if (!own_or_reached(t, &ns, false, err))
        return false;
    if (!sl_kv_entries(t->engine->kv, t->arena, SL_KV_VALUE, ns, prefix, &entries, &n, err))
        return false;
    sl_val *list = sl_list(t->arena);
    for (size_t i = 0; i < n; i++)
        sl_list_add(t->arena, list, sl_val_str(t->arena, entries[i].key));
    *ret = list;
    return true;
}

/* ---- purging ---- */

static bool named(const sl_task *t, const sl_kv_purge *p, sl_str ns)
{
    if (p->namespace_pattern.n > 0)
        return sl_glob_match(p->namespace_pattern, ns);
    sl_str own = t->info.ns;
    size_t n = sl_val_count(p->namespaces);
    for (size_t i = 0; i < (n ? n : 1); i++) {
        sl_str wanted = n ? sl_text(sl_at(p->namespaces, i)) : own;
        if (sl_str_eq(ns, wanted) || (p->children && sl_namespace_is_below(ns, wanted)))
            return true;
    }
    return false;
}

static bool purge_entries(sl_task *t, const sl_kv_purge *p, const sl_kv_entry *entries, size_t n, int64_t *count, sl_err *err)
{
    for (size_t i = 0; i < n; i++) {
        bool existed;
        if (!sl_glob_match(p->pattern, entries[i].key) || !named(t, p, entries[i].ns) || !sl_reach_below(t->info.ns, entries[i].ns))
            continue;
        if (!sl_kv_remove(t->engine->kv, SL_KV_VALUE, entries[i].ns, entries[i].key, &existed, err))
            return false;
        *count += existed;
    }
    return true;
}

bool sl_task_kv_purge(sl_task *t, const sl_kv_purge *p, int64_t *count, sl_err *err)
{
    sl_kv_entry *entries;
    size_t n;
    sl_str all = { NULL, 0 };
    *count = 0;
    for (size_t i = 0; p->namespace_pattern.n == 0 && i < sl_val_count(p->namespaces); i++)
        if (!sl_reach_below(t->info.ns, sl_text(sl_at(p->namespaces, i))))
            return sl_err_set(err, SL_ERR_CONFIG, "kv.namespace", "a flow of the namespace '%.*s' removes values of it and those below, not of '%.*s'; flows of the namespace '" SL_HOUSEKEEPING "' remove all",
                              SL_ARG(t->info.ns), SL_ARG(sl_text(sl_at(p->namespaces, i))));
    if (!sl_kv_expired(t->engine->kv, t->arena, SL_KV_VALUE, &entries, &n, err) || !purge_entries(t, p, entries, n, count, err))
        return false;
    return p->expired_only || (sl_kv_entries(t->engine->kv, t->arena, SL_KV_VALUE, all, SL_S(""), &entries, &n, err) && purge_entries(t, p, entries, n, count, err));
}
