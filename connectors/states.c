/* connectors/states.c: io.kestra.plugin.core.state, kept in the key-value store. */
#include "base/arena.h"
#include "base/io.h"
#include "connectors/connectors.h"

#define CORE "io.kestra.plugin.core."
#define OLD "io.kestra.core.tasks.states."

/* ---- state.Set, Get, Delete ---- */

typedef struct state_cfg {
    sl_str name;
    const sl_val *data;
    bool shared, by_value, error_on_missing;
} state_cfg;

#define STATE_OPTS                                                                                                                                                                              \
    { .name = "name", .type = SL_OPT_STR, .offset = SL_FIELD(state_cfg, name), .fallback = "default", .doc = "Name of the state." },                                                            \
        { .name = "namespace", .type = SL_OPT_BOOL, .offset = SL_FIELD(state_cfg, shared), .fallback = "false", .doc = "All flows of the namespace share it." },                                \
        { .name = "taskrunValue", .type = SL_OPT_BOOL, .offset = SL_FIELD(state_cfg, by_value), .fallback = "true", .doc = "Each value of a loop has a state of its own." }

/* Names that the store takes; what else there is in them goes into a hash. */
static bool key_of(sl_task *t, const state_cfg *c, sl_str *ret, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    sl_str value = SL_S("");
    if (c->by_value && !sl_task_render(t, SL_S("{{ taskrun.value ?? '' }}"), &value, err))
        return false;
    sl_str own = sl_fmt(a, "%.*s\n%.*s\n%.*s", SL_ARG(c->shared ? SL_S("") : sl_task_about(t)->flow_id), SL_ARG(c->name), SL_ARG(value));
    *ret = sl_fmt(a, "state-%.32s", sl_hex(a, sl_digest(a, "SHA256", own)).p);
    return true;
}

static const sl_opt set_opts[] = {
    STATE_OPTS,
    { .name = "data", .type = SL_OPT_MAP, .offset = SL_FIELD(state_cfg, data), .doc = "Merged with what is there." },
    { 0 },
};

static const sl_opt set_outs[] = {
    { .name = "count", .type = SL_OPT_INT, .doc = "How many entries the state has." },
    { .name = "key", .type = SL_OPT_STR, .doc = "Its key in the store." },
    { 0 },
};

static bool read_state(sl_task *t, sl_str key, const sl_val **ret, sl_err *err)
{
    sl_str whole = SL_S("");
    if (!sl_task_kv_get(t, whole, key, ret, err))
        return false;
    *ret = sl_is(*ret, SL_MAP) ? *ret : NULL;
    return true;
}

typedef struct setting {
    const sl_val *data;
    size_t count;
} setting;

static bool set_change(void *self, sl_arena *a, const sl_val *old, const sl_val **ret, sl_err *err)
{
    setting *s = self;
    sl_val *all = sl_map_shallow(a, sl_is(old, SL_MAP) ? old : NULL);
    (void)err;
    for (size_t i = 0; i < sl_val_count(s->data); i++)
        sl_map_set(a, all, s->data->map.entries[i].key, s->data->map.entries[i].value);
    s->count = all->map.n;
    *ret = all;
    return true;
}

static sl_outcome set_run(sl_task *t, void *cfg, sl_err *err)
{
    const state_cfg *c = cfg;
    setting s = { .data = c->data };
    sl_str key;
    if (!key_of(t, c, &key, err) || !sl_task_kv_change(t, SL_S(""), key, set_change, &s, sl_fmt(sl_task_arena(t), "state '%.*s'", SL_ARG(c->name)), err))
        return SL_TASK_FAILED;
    sl_task_out_int(t, "count", (int64_t)s.count);
    sl_task_out_str(t, "key", key);
    return SL_TASK_DONE;
}

static const sl_task_type state_set = { .type = CORE "state.Set", .aliases = OLD "Set", .doc = "Keeps values for later executions.", .cfg_size = sizeof(state_cfg), .opts = set_opts, .outs = set_outs, .run = set_run };

static const sl_opt get_opts[] = {
    STATE_OPTS,
    { .name = "errorOnMissing", .type = SL_OPT_BOOL, .offset = SL_FIELD(state_cfg, error_on_missing), .fallback = "false", .doc = "A state that is not there is a failure." },
    { 0 },
};

static const sl_opt get_outs[] = {
    { .name = "count", .type = SL_OPT_INT, .doc = "How many entries the state has." },
    { .name = "data", .type = SL_OPT_MAP, .doc = "Its entries." },
    { 0 },
};

static bool missing(const state_cfg *c, sl_err *err)
{
    return sl_err_set(err, SL_ERR_NOT_FOUND, "state.missing", "there is no state '%.*s'", SL_ARG(c->name));
}

static sl_outcome get_run(sl_task *t, void *cfg, sl_err *err)
{
    const state_cfg *c = cfg;
    const sl_val *data;
    sl_str key;
    if (!key_of(t, c, &key, err) || !read_state(t, key, &data, err) || (data == NULL && c->error_on_missing && !missing(c, err)))
        return SL_TASK_FAILED;
    sl_task_out_int(t, "count", (int64_t)sl_val_count(data));
    sl_task_out(t, "data", data ? data : sl_map(sl_task_arena(t)));
    return SL_TASK_DONE;
}

static const sl_task_type state_get = { .type = CORE "state.Get", .aliases = OLD "Get", .doc = "Reads what earlier executions have kept.", .cfg_size = sizeof(state_cfg), .opts = get_opts, .outs = get_outs, .run = get_run };

static const sl_opt delete_outs[] = { { .name = "deleted", .type = SL_OPT_BOOL, .doc = "Whether it was there." }, { 0 } };

static sl_outcome delete_run(sl_task *t, void *cfg, sl_err *err)
{
    const state_cfg *c = cfg;
    bool there;
    sl_str key;
    if (!key_of(t, c, &key, err) || !sl_task_kv_delete(t, SL_S(""), key, &there, err) || (!there && c->error_on_missing && !missing(c, err)))
        return SL_TASK_FAILED;
    sl_task_out(t, "deleted", sl_val_bool(there));
    return SL_TASK_DONE;
}

static const sl_task_type state_delete = { .type = CORE "state.Delete", .aliases = OLD "Delete", .doc = "Forgets what was kept.", .cfg_size = sizeof(state_cfg), .opts = get_opts, .outs = delete_outs, .run = delete_run };

static const sl_task_type *const tasks[] = { &state_set, &state_get, &state_delete, NULL };
const sl_connector sl_connector_states = { .name = "states", .tasks = tasks };
