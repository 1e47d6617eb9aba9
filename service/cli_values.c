/* service/cli_values.c: see cli_values.h; the store of the data folder. */
#include "service/cli_values.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/fs.h"

static bool put(sl_values *v, sl_str ns, sl_str key, sl_str value, const sl_kv_options *o)
{
    sl_err err;
    return sl_kv_put(v->kv, v->kind, ns, key, value, o, &err) || sl_cli_error(1, &err) == 0;
}

static bool get(sl_values *v, sl_str ns, sl_str key, const sl_val **ret)
{
    sl_kv_entry e;
    bool found;
    sl_err err;
    *ret = NULL;
    if (!sl_kv_find(v->kv, v->cli->arena, v->kind, ns, key, false, &found, &e, &err))
        return sl_cli_error(1, &err) == 0;
    return !found || (*ret = sl_kv_decode(v->cli->arena, &e, &err)) != NULL || sl_cli_error(1, &err) == 0;
}

static const sl_val *entry_json(sl_arena *a, const sl_kv_entry *e)
{
    sl_val *v = sl_map(a);
    sl_map_set_str(a, v, "namespace", e->ns);
    sl_map_set_str(a, v, "key", e->key);
    sl_map_set_str(a, v, "type", e->type);
    sl_map_set_int(a, v, "version", e->version);
    sl_map_set_str(a, v, "creationDate", sl_time_rfc3339(a, e->created_ms));
    sl_map_set_str(a, v, "updateDate", sl_time_rfc3339(a, e->updated_ms));
    if (e->expires_ms > 0)
        sl_map_set_str(a, v, "expirationDate", sl_time_rfc3339(a, e->expires_ms));
    sl_map_opt_str(a, v, "description", e->description);
    sl_map_set_str(a, v, "fingerprint", e->fingerprint);
    return v;
}

static bool list(sl_values *v, sl_str ns, const sl_val **ret)
{
    sl_kv_entry *entries;
    size_t n;
    sl_err err;
    sl_arena *a = v->cli->arena;
    if (!sl_kv_entries(v->kv, a, v->kind, ns, SL_S(""), &entries, &n, &err))
        return sl_cli_error(1, &err) == 0;
    sl_val *out = sl_list(a);
    for (size_t i = 0; i < n; i++)
        sl_list_add(a, out, entry_json(a, &entries[i]));
    *ret = out;
    return true;
}

static bool remove_one(sl_values *v, sl_str ns, sl_str key, bool *existed)
{
    sl_err err;
    return sl_kv_remove(v->kv, v->kind, ns, key, existed, &err) || sl_cli_error(1, &err) == 0;
}

static void close_store(sl_values *v)
{
    sl_kv_close(v->kv);
}

sl_values *sl_values_open(sl_cli *c, sl_kv_kind kind)
{
    const char *url = getenv("SLUICE_URL");
    sl_err err;
    if (url != NULL && *url != '\0')
        return sl_values_remote(c, kind);
    sl_values *v = SL_NEW(c->arena, sl_values);
    *v = (sl_values){ c, kind, put, get, list, remove_one, close_store, NULL };
    if (sl_fs_mkdirs(c->data_dir, &err))
        v->kv = sl_kv_open(sl_fmt(c->arena, "%s/kv.db", c->data_dir).p, c->data_dir, sl_cli_has(c, "--accept-rollback"), &err);
    if (v->kv == NULL) {
        (void)sl_cli_error(1, &err);
        return NULL;
    }
    if (sl_kv_kek(v->kv)->from_environment)
        (void)sl_cli_fail(0, "warning: the key comes from the environment, where other programs of this user may see it; a key file is safer");
    return v;
}
