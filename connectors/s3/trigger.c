/* connectors/s3/trigger.c: io.kestra.plugin.aws.s3.Trigger: fires when objects have come or changed. */
#include "base/arena.h"
#include "connectors/s3/s3.h"
#include "connectors/seen.h"

typedef struct trigger_cfg {
    sl_aws_cfg aws;
    sl_str bucket, action, customer_key;
    const sl_val *move_to;
    sl_s3_listing listing;
    sl_seen_cfg seen;
} trigger_cfg;

static const sl_opt opts[] = {
    SL_AWS_OPTS(trigger_cfg),
    { .name = "bucket", .type = SL_OPT_STR, .offset = SL_FIELD(trigger_cfg, bucket), .flags = SL_REQUIRED, .doc = "The bucket." },
    SL_S3_LISTING_OPTS(trigger_cfg),
    SL_S3_MAX_FILES_OPT(trigger_cfg),
    { .name = "filter", .type = SL_OPT_ENUM, .offset = SL_FIELD(trigger_cfg, listing.filter), .values = "FILES DIRECTORY BOTH", .fallback = "BOTH", .doc = "Keys that end in / are directories, and never taken." },
    { .name = "action", .type = SL_OPT_ENUM, .offset = SL_FIELD(trigger_cfg, action), .values = "NONE DELETE MOVE", .fallback = "NONE", .doc = "What becomes of the objects once the execution exists." },
    { .name = "moveTo", .type = SL_OPT_MAP, .offset = SL_FIELD(trigger_cfg, move_to), .sub = sl_s3_move_opts, .doc = "MOVE: where to." },
    { .name = "sseCustomerKey", .type = SL_OPT_SECRET, .offset = SL_FIELD(trigger_cfg, customer_key), .doc = SL_S3_KEY_DOC },
    SL_SEEN_OPTS(trigger_cfg),
    { 0 },
};

static const sl_opt outs[] = {
    { .name = "objects", .type = SL_OPT_LIST, .doc = "The objects, each with its changeType (CREATE or UPDATE); uri is the file." },
    { 0 },
};

typedef struct look {
    sl_s3 s;
    const trigger_cfg *c;
} look;

static bool list(void *self, const sl_val **ret, sl_err *err)
{
    look *l = self;
    sl_s3_listing listing = l->c->listing;
    listing.filter = SL_S("FILES");
    listing.max_files = 0; /* those that are known do not count */
    return sl_s3_find(&l->s, &listing, ret, err);
}

static sl_str id_of(void *self, const sl_val *object)
{
    (void)self;
    return sl_get_text(object, "uri");
}

static sl_str version_of(void *self, const sl_val *object)
{
    (void)self;
    return sl_get_text(object, "etag");
}

static bool take(void *self, const sl_val *object, sl_val **ret, const sl_val **todo, sl_err *err)
{
    look *l = self;
    sl_arena *a = l->s.aws.arena;
    sl_val *got;
    sl_s3_wanted w = { .key = sl_get_text(object, "key"), .etag = sl_get_text(object, "etag"), .size = sl_get_int(object, "size", 0) };
    if (!sl_s3_store(&l->s, &w, &got, err))
        return false;
    *ret = sl_map_shallow(a, object);
    sl_map_setc(a, *ret, "uri", sl_get(got, "uri"));
    sl_val *mark = sl_map_of(a, "key", sl_get(object, "key"));
    sl_map_setc(a, mark, "etag", sl_get(got, "eTag"));
    *todo = mark;
    return true;
}

static bool act(void *self, const sl_val *todo, sl_err *err)
{
    look *l = self;
    return sl_s3_act(&l->s, &l->c->aws, l->c->action, l->c->move_to, todo, err);
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    look l = { .c = cfg };
    sl_seen_store store = {
        .task = t, .self = &l, .output = "objects", .max_files = l.c->listing.max_files, .acts = !sl_str_eqc(l.c->action, "NONE"), .list = list, .id = id_of, .version = version_of, .take = take, .act = act,
    };
    if (!sl_s3_may_act(l.c->action, l.c->move_to, err) || !sl_s3_open(&l.s, t, &l.c->aws, l.c->bucket, err) || !sl_s3_use_key(&l.s, l.c->customer_key, err))
        return SL_TASK_FAILED;
    return sl_seen_look(&store, &l.c->seen, err);
}

const sl_task_type sl_s3_trigger = {
    .type = "io.kestra.plugin.aws.s3.Trigger", .doc = "Fires when objects have come or changed.", .cfg_size = sizeof(trigger_cfg), .opts = opts, .outs = outs, .run = run,
};
