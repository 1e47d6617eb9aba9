/*
 * connectors/seen.h: triggers that fire for objects which have come to a store or have changed there.
 *
 * What is remembered: {key, seen: {id: {version, at}}, pending: [...]}. pending are objects that have fired and are still to be
 * deleted or moved: that must not come before the execution is on disk, so it is what the next look does.
 */
#pragma once

#include "connectors/task.h"

typedef struct sl_seen_cfg {
    sl_str on, state_key;
    int64_t ttl_ms;
} sl_seen_cfg;

/* For a config with a member `seen`. */
#define SL_SEEN_OPTS(struct_type)                                                                                                                                                                                  \
    { .name = "on", .type = SL_OPT_ENUM, .offset = SL_FIELD(struct_type, seen.on), .values = "CREATE UPDATE CREATE_OR_UPDATE", .fallback = "CREATE_OR_UPDATE", .doc = "Fires for new objects, for changed ones, or both." }, \
        { .name = "stateKey", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, seen.state_key), .doc = "Another value forgets what was seen." },                                                                \
        { .name = "stateTtl", .type = SL_OPT_DURATION, .offset = SL_FIELD(struct_type, seen.ttl_ms), .doc = "An object that was seen longer ago counts as new." }

typedef struct sl_seen_store {
    sl_task *task;
    void *self;
    const char *output;           /* name of the list of objects */
    int64_t max_files;            /* taken at one look; 0 = no limit */
    bool acts;                    /* objects are deleted or moved afterwards */
    bool (*list)(void *self, const sl_val **ret, sl_err *err);
    sl_str (*id)(void *self, const sl_val *object);
    sl_str (*version)(void *self, const sl_val *object);
    /* Downloads it. *ret: what the execution gets to see; *todo: what act() needs of it. */
    bool (*take)(void *self, const sl_val *object, sl_val **ret, const sl_val **todo, sl_err *err);
    bool (*act)(void *self, const sl_val *todo, sl_err *err);
} sl_seen_store;

/* One look: run() of such a trigger. */
sl_outcome sl_seen_look(const sl_seen_store *store, const sl_seen_cfg *cfg, sl_err *err);
