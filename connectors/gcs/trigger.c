/* connectors/gcs/trigger.c: io.kestra.plugin.gcp.gcs.Trigger: fires when objects have come or changed. */
#include "base/arena.h"
#include "connectors/gcs/gcs.h"
#include "connectors/seen.h"

typedef struct trigger_cfg {
    sl_gcp_cfg gcp;
    sl_str from, action, move_directory;
    sl_gs_listing listing;
    sl_seen_cfg seen;
} trigger_cfg;

static const sl_opt opts[] = {
    SL_GCP_OPTS(trigger_cfg),
    { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(trigger_cfg, from), .flags = SL_REQUIRED, .doc = "Prefix (gs://bucket/prefix)." },
    SL_GS_LISTING_OPTS(trigger_cfg),
    SL_GS_MAX_FILES_OPT(trigger_cfg),
    { .name = "action", .type = SL_OPT_ENUM, .offset = SL_FIELD(trigger_cfg, action), .values = "NONE DELETE MOVE", .fallback = "NONE", .doc = "What becomes of the objects once the execution exists." },
    { .name = "moveDirectory", .type = SL_OPT_STR, .offset = SL_FIELD(trigger_cfg, move_directory), .doc = "MOVE: where to (gs://bucket/prefix)." },
    SL_SEEN_OPTS(trigger_cfg),
    { 0 },
};

static const sl_opt outs[] = {
    { .name = "blobs", .type = SL_OPT_LIST, .doc = "The objects, each with its changeType (CREATE or UPDATE); uri is the file." },
    { 0 },
};

typedef struct look {
    sl_gcp g;
    const trigger_cfg *c;
} look;

static bool list(void *self, const sl_val **ret, sl_err *err)
{
    look *l = self;
    sl_gs_listing listing = l->c->listing;
    listing.filter = SL_S("FILES");
    listing.max_files = 0; /* those that are known do not count */
    return sl_gs_find_all(&l->g, l->c->from, &listing, ret, err);
}

static sl_str id_of(void *self, const sl_val *o)
{
    look *l = self;
    return sl_gs_text(l->g.arena, sl_get_text(o, "bucket"), sl_get_text(o, "name"));
}

static sl_str version_of(void *self, const sl_val *o)
{
    look *l = self;
    sl_arena *a = l->g.arena;
    return sl_fmt(a, "generation:%.*s_metageneration:%.*s", SL_ARG(sl_val_text(a, sl_get(o, "generation"))), SL_ARG(sl_val_text(a, sl_get(o, "metageneration"))));
}

static bool take(void *self, const sl_val *o, sl_val **ret, const sl_val **todo, sl_err *err)
{
    look *l = self;
    sl_arena *a = l->g.arena;
    sl_str file;
    if (!sl_gs_download(&l->g, (sl_gs_uri){ .bucket = sl_get_text(o, "bucket"), .object = sl_get_text(o, "name") }, &file, err))
        return false;
    *ret = sl_map_shallow(a, sl_gs_blob(a, o));
    sl_map_set_str(a, *ret, "uri", file);
    sl_val *mark = sl_map(a);
    sl_map_setc(a, mark, "bucket", sl_get(o, "bucket"));
    sl_map_setc(a, mark, "name", sl_get(o, "name"));
    sl_map_set_str(a, mark, "generation", sl_val_text(a, sl_get(o, "generation")));
    *todo = mark;
    return true;
}

static bool act(void *self, const sl_val *todo, sl_err *err)
{
    look *l = self;
    return sl_gs_act(&l->g, l->c->action, l->c->move_directory, todo, err);
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    look l = { .c = cfg };
    sl_seen_store store = {
        .task = t, .self = &l, .output = "blobs", .max_files = l.c->listing.max_files, .acts = !sl_str_eqc(l.c->action, "NONE"), .list = list, .id = id_of, .version = version_of, .take = take, .act = act,
    };
    if (sl_str_eqc(l.c->action, "MOVE") && l.c->move_directory.n == 0) {
        sl_err_set(err, SL_ERR_CONFIG, "gcs.move", "action MOVE needs 'moveDirectory' (gs://bucket/prefix)");
        return SL_TASK_FAILED;
    }
    if (!sl_gcp_open(&l.g, t, "gcs", &l.c->gcp, err))
        return SL_TASK_FAILED;
    return sl_seen_look(&store, &l.c->seen, err);
}

const sl_task_type sl_gcs_trigger = {
    .type = "io.kestra.plugin.gcp.gcs.Trigger", .doc = "Fires when objects have come or changed.", .cfg_size = sizeof(trigger_cfg), .opts = opts, .outs = outs, .run = run,
};
