/* connectors/gcs/gcs.h: what the Google Cloud Storage tasks share. API: https://cloud.google.com/storage/docs/json_api/v1 */
#pragma once

#include "connectors/gcp/gcp.h"
#include "connectors/source.h"
#include "connectors/target.h"

typedef struct sl_gs_uri {
    sl_str bucket, object; /* decoded */
    sl_str generation;     /* .n == 0: the current one */
} sl_gs_uri;

/* gs://bucket/object; %20 and other escapes are decoded, + stays +. object may be empty where `object_optional`. */
bool sl_gs_parse(sl_arena *arena, sl_str uri, bool object_optional, sl_gs_uri *ret, sl_err *err);
/* How an output names an object: blanks as %20. */
sl_str sl_gs_text(sl_arena *arena, sl_str bucket, sl_str object);
/* /storage/v1/b/BUCKET/o/OBJECT, encoded. */
sl_str sl_gs_object_path(sl_arena *arena, sl_str bucket, sl_str object);
/* The same, with the generation where there is one. */
sl_str sl_gs_version_path(sl_arena *arena, sl_gs_uri uri);
/* One entry of an output list, from an object resource. */
const sl_val *sl_gs_blob(sl_arena *arena, const sl_val *object);

typedef struct sl_gs_listing {
    sl_str listing_type, reg_exp, filter;   /* DIRECTORY|RECURSIVE; FILES|DIRECTORY|BOTH */
    bool all_versions;
    int64_t max_files;                      /* 0 = no limit */
} sl_gs_listing;

/* For a config with a member `listing`. */
#define SL_GS_LISTING_OPTS(struct_type)                                                                                                                                     \
    { .name = "listingType", .type = SL_OPT_ENUM, .offset = SL_FIELD(struct_type, listing.listing_type), .values = "DIRECTORY RECURSIVE", .fallback = "DIRECTORY",         \
      .doc = "Only what lies directly there, or all below." },                                                                                                             \
        { .name = "regExp", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, listing.reg_exp), .doc = "Regular expression for the whole gs:// URI." },                  \
        { .name = "allVersions", .type = SL_OPT_BOOL, .offset = SL_FIELD(struct_type, listing.all_versions), .doc = "Old versions, too." }
#define SL_GS_MAX_FILES_OPT(struct_type)                                                                                                   \
    { .name = "maxFiles", .type = SL_OPT_INT, .offset = SL_FIELD(struct_type, listing.max_files), .fallback = "25", .doc = "At most so many; a warning says when there are more." }

/* Calls on_object for each object resource ("directories" have only bucket and name). Stops early when it returns false. */
bool sl_gs_list(sl_gcp *g, sl_gs_uri from, const sl_gs_listing *listing, bool (*on_object)(void *self, const sl_val *object, sl_err *err), void *self, sl_err *err);

typedef struct sl_gs_found {
    sl_arena *arena;
    sl_val *objects; /* list of object resources */
} sl_gs_found;
/* The whole listing at once. */
bool sl_gs_find_all(sl_gcp *g, sl_str from, const sl_gs_listing *listing, const sl_val **ret, sl_err *err);

/* An object as it is now, its bytes as they are stored. `g` must outlive the source. */
bool sl_gs_source(sl_gcp *g, sl_gs_uri from, sl_source *ret, sl_err *err);
/* A stream as an object. *ret is to be closed in any case. */
bool sl_gs_stream(const sl_target_how *how, const sl_gcp_cfg *cfg, sl_gs_uri to, sl_target **ret, sl_err *err);
/* Missing is no error. */
bool sl_gs_delete(sl_gcp *g, sl_gs_uri uri, bool *existed, sl_err *err);
bool sl_gs_delete_all(sl_gcp *g, const sl_val *objects, bool versions, int64_t concurrent, int64_t *ret_count, int64_t *ret_size, sl_err *err);
bool sl_gs_copy(sl_gcp *g, sl_gs_uri from, sl_gs_uri to, sl_err *err);
/*
 * Copy, then deletion of the source. After an interruption (there is a checkpoint), one that was finished is recognised. A
 * generation that is gone meanwhile is let be: what is there now is newer.
 */
bool sl_gs_move(sl_gcp *g, sl_gs_uri from, sl_gs_uri to, bool delete_source, sl_err *err);

/* One object into the internal storage. */
bool sl_gs_download(sl_gcp *g, sl_gs_uri from, sl_str *ret_uri, sl_err *err);
/* NONE, DELETE or MOVE (to gs://bucket/prefix) for each of a list of {bucket, name} (with `generation`: only that one). */
bool sl_gs_act(sl_gcp *g, sl_str action, sl_str move_directory, const sl_val *objects, sl_err *err);

extern const sl_task_type sl_gcs_trigger, sl_gcs_upload, sl_gcs_download, sl_gcs_downloads, sl_gcs_list, sl_gcs_delete, sl_gcs_delete_list, sl_gcs_copy, sl_gcs_compose, sl_gcs_create_bucket,
    sl_gcs_update_bucket, sl_gcs_delete_bucket, sl_gcs_create_bucket_iam_policy;
