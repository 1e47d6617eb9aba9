/* connectors/gcs/trigger.c: io.kestra.plugin.gcp.gcs.Trigger: fires when objects have come or changed. */
#include "base/arena.h"
#include "base/clock.h"
#include "connectors/gcs/gcs.h"

typedef struct trigger_cfg {
    sl_gcp_cfg gcp;
    sl_str from, action, move_directory, on, state_key;
    sl_gs_listing listing;
    int64_t state_ttl_ms;
} trigger_cfg;

static const sl_opt opts[] = {
    SL_GCP_OPTS(trigger_cfg),
    { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(trigger_cfg, from), .flags = SL_REQUIRED, .doc = "Prefix (gs://bucket/prefix)." },
    SL_GS_LISTING_OPTS(trigger_cfg),
    SL_GS_MAX_FILES_OPT(trigger_cfg),
    { .name = "action", .type = SL_OPT_ENUM, .offset = SL_FIELD(trigger_cfg, action), .values = "NONE DELETE MOVE", .fallback = "NONE", .doc = "What becomes of the objects once the execution exists." },
    { .name = "moveDirectory", .type = SL_OPT_STR, .offset = SL_FIELD(trigger_cfg, move_directory), .doc = "MOVE: where to (gs://bucket/prefix)." },
    { .name = "on", .type = SL_OPT_ENUM, .offset = SL_FIELD(trigger_cfg, on), .values = "CREATE UPDATE CREATE_OR_UPDATE", .fallback = "CREATE_OR_UPDATE", .doc = "Fires for new objects, for changed ones, or both." },
    { .name = "stateKey", .type = SL_OPT_STR, .offset = SL_FIELD(trigger_cfg, state_key), .doc = "Another value forgets what was seen." },
    { .name = "stateTtl", .type = SL_OPT_DURATION, .offset = SL_FIELD(trigger_cfg, state_ttl_ms), .doc = "An object that was seen longer ago counts as new." },
    { 0 },
};

static const sl_opt outs[] = {
    { .name = "blobs", .type = SL_OPT_LIST, .doc = "The objects, each with its changeType (CREATE or UPDATE); uri is the file." },
    { 0 },
};

/*
 * What is remembered: {key, seen: {gs uri: {version, at}}, pending: [{bucket, name, generation}]}. pending are objects that
 * have fired and are still to be deleted or moved: that must not come before the execution is on disk.
 */
typedef struct look {
    sl_gcp g;
    const trigger_cfg *c;
    const sl_val *before;       /* seen, earlier */
    sl_val *seen, *pending, *blobs;
    int64_t now_ms;
    bool limited;
} look;

static sl_str version_of(sl_arena *a, const sl_val *o)
{
    return sl_fmt(a, "generation:%.*s_metageneration:%.*s", SL_ARG(sl_val_text(a, sl_get(o, "generation"))), SL_ARG(sl_val_text(a, sl_get(o, "metageneration"))));
}

static void remember(look *l, sl_str uri, sl_str version, int64_t at)
{
    sl_val *entry = sl_map_of(l->g.arena, "version", sl_val_str(l->g.arena, version));
    sl_map_set_int(l->g.arena, entry, "at", at);
    sl_map_set(l->g.arena, l->seen, uri, entry);
}

static bool take(look *l, const sl_val *o, bool is_new, sl_err *err)
{
    sl_arena *a = l->g.arena;
    sl_str file, generation = sl_val_text(a, sl_get(o, "generation"));
    if (!sl_gs_download(&l->g, (sl_gs_uri){ .bucket = sl_get_text(o, "bucket"), .object = sl_get_text(o, "name") }, &file, err))
        return false;
    sl_val *blob = sl_map_shallow(a, sl_gs_blob(a, o));
    sl_map_set_str(a, blob, "uri", file);
    sl_map_set_str(a, blob, "changeType", is_new ? SL_S("CREATE") : SL_S("UPDATE"));
    sl_list_add(a, l->blobs, blob);
    if (sl_str_eqc(l->c->action, "NONE"))
        return true;
    sl_val *todo = sl_map(a);
    sl_map_setc(a, todo, "bucket", sl_get(o, "bucket"));
    sl_map_setc(a, todo, "name", sl_get(o, "name"));
    sl_map_set_str(a, todo, "generation", generation);
    sl_list_add(a, l->pending, todo);
    return true;
}

static bool consider(look *l, const sl_val *o, sl_err *err)
{
    sl_arena *a = l->g.arena;
    sl_str uri = sl_gs_text(a, sl_get_text(o, "bucket"), sl_get_text(o, "name")), version = version_of(a, o);
    const sl_val *was = sl_get_str(l->before, uri);
    int64_t at = sl_get_int(was, "at", 0);
    bool is_new = was == NULL || (l->c->state_ttl_ms > 0 && at + l->c->state_ttl_ms <= l->now_ms), changed = !is_new && !sl_str_eq(sl_get_text(was, "version"), version);
    if (!is_new && !changed) {
        remember(l, uri, version, at);
        return true;
    }
    bool wanted = !sl_str_eqc(l->c->on, is_new ? "UPDATE" : "CREATE");
    if (wanted && l->c->listing.max_files > 0 && l->blobs->list.n >= (size_t)l->c->listing.max_files) {
        if (was != NULL && !is_new)
            remember(l, uri, sl_get_text(was, "version"), at); /* it is still changed at the next look */
        l->limited = true;
        return true;
    }
    if (sl_task_cancelled(l->g.task))
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while looking");
    if (wanted && !take(l, o, is_new, err))
        return false;
    if (!wanted || sl_str_eqc(l->c->action, "NONE"))
        remember(l, uri, version, l->now_ms);
    return true;
}

static bool look_around(look *l, sl_err *err)
{
    const sl_val *objects;
    sl_gs_listing listing = l->c->listing;
    listing.filter = SL_S("FILES");
    listing.max_files = 0; /* those that are known do not count */
    if (!sl_gs_find_all(&l->g, l->c->from, &listing, &objects, err))
        return false;
    for (size_t i = 0; i < sl_val_count(objects); i++)
        if (!consider(l, sl_at(objects, i), err))
            return false;
    return true;
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    const trigger_cfg *c = cfg;
    const sl_val *state = sl_task_trigger_state(t);
    look l = { .c = c, .now_ms = sl_now_ms() };
    if (sl_str_eqc(c->action, "MOVE") && c->move_directory.n == 0) {
        sl_err_set(err, SL_ERR_CONFIG, "gcs.move", "action MOVE needs 'moveDirectory' (gs://bucket/prefix)");
        return SL_TASK_FAILED;
    }
    if (!sl_gcp_open(&l.g, t, "gcs", &c->gcp, err))
        return SL_TASK_FAILED;
    sl_arena *a = l.g.arena;
    l.seen = sl_map(a);
    l.pending = sl_list(a);
    l.blobs = sl_list(a);
    if (sl_val_count(sl_get(state, "pending")) > 0) {
        sl_val *rest = sl_map_shallow(a, state);
        sl_map_setc(a, rest, "pending", l.pending);
        /* Each may have been done before the process was lost: the checkpoint makes a move ask. */
        if (!sl_task_checkpoint(t, sl_map(a), err) || !sl_gs_act(&l.g, c->action, c->move_directory, sl_get(state, "pending"), err))
            return SL_TASK_FAILED;
        sl_task_polled(t, false, rest, false);
        return SL_TASK_DONE;
    }
    if (sl_str_eq(sl_get_text(state, "key"), c->state_key))
        l.before = sl_get(state, "seen");
    if (!look_around(&l, err))
        return SL_TASK_FAILED;
    sl_val *next = sl_map(a);
    sl_map_set_str(a, next, "key", c->state_key);
    sl_map_setc(a, next, "seen", l.seen);
    sl_map_setc(a, next, "pending", l.pending);
    if (l.limited)
        sl_task_log(t, SL_INFO, "%lld objects are taken (maxFiles), the others at a later look", (long long)c->listing.max_files);
    sl_task_out(t, "blobs", l.blobs);
    sl_task_polled(t, l.blobs->list.n > 0, next, l.pending->list.n > 0);
    return SL_TASK_DONE;
}

const sl_task_type sl_gcs_trigger = {
    .type = "io.kestra.plugin.gcp.gcs.Trigger", .doc = "Fires when objects have come or changed.", .cfg_size = sizeof(trigger_cfg), .opts = opts, .outs = outs, .run = run,
};
