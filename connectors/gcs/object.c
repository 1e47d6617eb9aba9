/* connectors/gcs/object.c: List, Delete, DeleteList, Copy, Compose. */
#include <pthread.h>

#include "base/arena.h"
#include "connectors/gcs/gcs.h"

enum { COMPOSE_MAX = 32, DELETERS_MAX = 31 };

typedef struct object_cfg {
    sl_gcp_cfg gcp;
    sl_str from, to, uri;
    sl_gs_listing listing;
    const sl_val *list;
    bool error_on_missing, error_on_empty, delete_source, allow_empty;
    int64_t concurrent;
} object_cfg;

#define FROM(doc_text) { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(object_cfg, from), .flags = SL_REQUIRED, .doc = doc_text }
#define LISTING FROM("Prefix (gs://bucket/prefix)."), SL_GS_LISTING_OPTS(object_cfg)

static const sl_opt list_opts[] = {
    SL_GCP_OPTS(object_cfg),
    LISTING,
    { .name = "filter", .type = SL_OPT_ENUM, .offset = SL_FIELD(object_cfg, listing.filter), .values = "FILES DIRECTORY BOTH", .fallback = "BOTH", .doc = "What is listed." },
    SL_GS_MAX_FILES_OPT(object_cfg),
    { 0 },
};
static const sl_opt delete_opts[] = {
    SL_GCP_OPTS(object_cfg),
    { .name = "uri", .type = SL_OPT_STR, .offset = SL_FIELD(object_cfg, uri), .flags = SL_REQUIRED, .doc = "The object (gs://bucket/name)." },
    { .name = "errorOnMissing", .type = SL_OPT_BOOL, .offset = SL_FIELD(object_cfg, error_on_missing), .doc = "Fail when it is not there." },
    { 0 },
};
static const sl_opt delete_list_opts[] = {
    SL_GCP_OPTS(object_cfg),
    LISTING,
    { .name = "errorOnEmpty", .type = SL_OPT_BOOL, .offset = SL_FIELD(object_cfg, error_on_empty), .doc = "Fail when nothing was found." },
    { .name = "concurrent", .type = SL_OPT_INT, .offset = SL_FIELD(object_cfg, concurrent), .flags = SL_STATIC, .doc = "Deletions at the same time (1; at most 32)." },
    { 0 },
};
static const sl_opt copy_opts[] = {
    SL_GCP_OPTS(object_cfg),
    FROM("The object (gs://bucket/name)."),
    { .name = "to", .type = SL_OPT_STR, .offset = SL_FIELD(object_cfg, to), .flags = SL_REQUIRED, .doc = "Where to (gs://bucket/name)." },
    { .name = "delete", .type = SL_OPT_BOOL, .offset = SL_FIELD(object_cfg, delete_source), .doc = "Delete the source afterwards." },
    { 0 },
};
static const sl_opt compose_list_opts[] = {
    { .name = "from", .type = SL_OPT_STR, .flags = SL_REQUIRED, .doc = "Prefix (gs://bucket/prefix)." },
    { .name = "listingType", .type = SL_OPT_ENUM, .values = "DIRECTORY RECURSIVE", .doc = "Only what lies directly there, or all below." },
    { .name = "regExp", .type = SL_OPT_STR, .doc = "Regular expression for the whole gs:// URI." },
    { 0 },
};
static const sl_opt compose_opts[] = {
    SL_GCP_OPTS(object_cfg),
    { .name = "list", .type = SL_OPT_MAP, .offset = SL_FIELD(object_cfg, list), .flags = SL_REQUIRED, .sub = compose_list_opts, .doc = "The sources, at most 32." },
    { .name = "to", .type = SL_OPT_STR, .offset = SL_FIELD(object_cfg, to), .flags = SL_REQUIRED, .doc = "The object that is made." },
    { .name = "allowEmpty", .type = SL_OPT_BOOL, .offset = SL_FIELD(object_cfg, allow_empty), .doc = "No failure when there is no source; nothing is made then." },
    { 0 },
};

static const sl_opt list_outs[] = { { .name = "blobs", .type = SL_OPT_LIST, .doc = "The objects." }, { 0 } };
static const sl_opt delete_outs[] = { { .name = "uri", .type = SL_OPT_STR, .doc = "The object." }, { .name = "deleted", .type = SL_OPT_BOOL, .doc = "It was there." }, { 0 } };
static const sl_opt delete_list_outs[] = { { .name = "count", .type = SL_OPT_INT, .doc = "Objects deleted." }, { .name = "size", .type = SL_OPT_INT, .doc = "Their bytes." }, { 0 } };
static const sl_opt uri_outs[] = { { .name = "uri", .type = SL_OPT_STR, .doc = "The object that was made." }, { 0 } };

static bool keep(void *self, const sl_val *object, sl_err *err)
{
    (void)err;
    sl_gs_found *f = self;
    sl_list_add(f->arena, f->objects, object);
    return true;
}

bool sl_gs_find_all(sl_gcp *g, sl_str from, const sl_gs_listing *listing, const sl_val **ret, sl_err *err)
{
    sl_gs_uri uri;
    sl_gs_found f = { g->arena, sl_list(g->arena) };
    *ret = f.objects;
    return sl_gs_parse(g->arena, from, true, &uri, err) && sl_gs_list(g, uri, listing, keep, &f, err);
}

static sl_outcome list_run(sl_task *t, void *cfg, sl_err *err)
{
    const object_cfg *c = cfg;
    sl_gcp g;
    const sl_val *objects;
    sl_arena *a = sl_task_arena(t);
    if (!sl_gcp_open(&g, t, "gcs", &c->gcp, err) || !sl_gs_find_all(&g, c->from, &c->listing, &objects, err))
        return SL_TASK_FAILED;
    sl_val *blobs = sl_list(a);
    for (size_t i = 0; i < sl_val_count(objects); i++)
        sl_list_add(a, blobs, sl_gs_blob(a, sl_at(objects, i)));
    sl_task_out(t, "blobs", blobs);
    sl_task_counter(t, "size", (double)sl_val_count(blobs));
    sl_task_log(t, SL_INFO, "%zu objects at %.*s", sl_val_count(blobs), SL_ARG(c->from));
    return SL_TASK_DONE;
}

static sl_outcome delete_run(sl_task *t, void *cfg, sl_err *err)
{
    const object_cfg *c = cfg;
    sl_gcp g;
    sl_gs_uri uri;
    bool existed;
    if (!sl_gcp_open(&g, t, "gcs", &c->gcp, err) || !sl_gs_parse(g.arena, c->uri, false, &uri, err))
        return SL_TASK_FAILED;
    /* An interrupted attempt that got its deletion through would find nothing: that it was about to is on disk. */
    bool again = sl_task_saved(t) != NULL;
    sl_val *intent = sl_map(g.arena);
    sl_map_set_str(g.arena, intent, "uri", c->uri);
    if ((!again && !sl_task_checkpoint(t, intent, err)) || !sl_gs_delete(&g, uri, &existed, err))
        return SL_TASK_FAILED;
    if (!existed && again)
        existed = true;
    if (!existed && c->error_on_missing) {
        sl_err_set(err, SL_ERR_NOT_FOUND, "gcs.missing", "there is no object %.*s to delete (and 'errorOnMissing' is true)", SL_ARG(c->uri));
        return SL_TASK_FAILED;
    }
    sl_task_out_str(t, "uri", c->uri);
    sl_task_out(t, "deleted", sl_val_bool(existed));
    return SL_TASK_DONE;
}

/* Several threads take one object after the other from a shared list. */
typedef struct removal {
    const sl_gcp *g;
    const sl_val *objects;
    bool versions;
    pthread_mutex_t lock;
    size_t next;          /* the rest: under the lock */
    int64_t count, size;
    bool failed;
    sl_err err;
} removal;

static const sl_val *take_next(removal *r)
{
    pthread_mutex_lock(&r->lock);
    const sl_val *o = r->failed || r->next >= sl_val_count(r->objects) ? NULL : sl_at(r->objects, r->next++);
    pthread_mutex_unlock(&r->lock);
    return o;
}

static void *remover(void *self)
{
    removal *r = self;
    SL_ARENA a = sl_arena_new();
    sl_gcp g = *r->g;
    g.arena = a;
    for (const sl_val *o; (o = take_next(r)) != NULL;) {
        bool existed;
        sl_err err;
        sl_arena_mark mark = sl_arena_get_mark(a);
        sl_err_clear(&err);
        bool ok = sl_task_cancelled(g.task) ? sl_err_set(&err, SL_ERR_CANCELLED, "cancelled", "stopped while deleting")
                                            : sl_gs_delete(&g, (sl_gs_uri){ sl_get_text(o, "bucket"), sl_get_text(o, "name"), r->versions ? sl_get_text(o, "generation") : SL_S("") }, &existed, &err);
        sl_arena_rewind(a, mark);
        pthread_mutex_lock(&r->lock);
        if (ok) {
            r->count++;
            r->size += sl_get_int(o, "size", 0);
        } else if (!r->failed) {
            r->failed = true;
            r->err = err;
        }
        pthread_mutex_unlock(&r->lock);
    }
    return NULL;
}

/* The calling thread is one of them: without threads it goes more slowly, not wrong. */
bool sl_gs_delete_all(sl_gcp *g, const sl_val *objects, bool versions, int64_t concurrent, int64_t *ret_count, int64_t *ret_size, sl_err *err)
{
    removal r = { .g = g, .objects = objects, .versions = versions, .lock = PTHREAD_MUTEX_INITIALIZER };
    pthread_t threads[DELETERS_MAX];
    int started = 0;
    while (started + 1 < concurrent && started < DELETERS_MAX && pthread_create(&threads[started], NULL, remover, &r) == 0)
        started++;
    (void)remover(&r);
    while (started > 0)
        pthread_join(threads[--started], NULL);
    *ret_count = r.count;
    *ret_size = r.size;
    if (r.failed)
        *err = r.err;
    return !r.failed;
}

static sl_outcome delete_list_run(sl_task *t, void *cfg, sl_err *err)
{
    object_cfg *c = cfg;
    sl_gcp g;
    const sl_val *objects;
    int64_t count, size;
    c->listing.filter = SL_S("FILES");
    if (!sl_gcp_open(&g, t, "gcs", &c->gcp, err) || !sl_gs_find_all(&g, c->from, &c->listing, &objects, err))
        return SL_TASK_FAILED;
    if (!sl_gs_delete_all(&g, objects, c->listing.all_versions, c->concurrent > 1 ? c->concurrent : 1, &count, &size, err))
        return SL_TASK_FAILED;
    if (count == 0 && c->error_on_empty) {
        sl_err_set(err, SL_ERR_NOT_FOUND, "gcs.missing", "nothing to delete at %.*s (and 'errorOnEmpty' is true)", SL_ARG(c->from));
        return SL_TASK_FAILED;
    }
    sl_task_out_int(t, "count", count);
    sl_task_out_int(t, "size", size);
    sl_task_counter(t, "count", (double)count);
    sl_task_counter(t, "size", (double)size);
    return SL_TASK_DONE;
}

static bool exists(sl_gcp *g, sl_gs_uri uri, bool *ret, sl_err *err)
{
    sl_http_response r;
    if (!sl_gcp_send(g, "GET", sl_gs_version_path(g->arena, uri), NULL, true, &r, err))
        return false;
    *ret = r.status / 100 == 2;
    return *ret || r.status == 404 || sl_gcp_error(g, &r, sl_fmt(g->arena, "looking for gs://%.*s/%.*s", SL_ARG(uri.bucket), SL_ARG(uri.object)).p, err);
}

bool sl_gs_move(sl_gcp *g, sl_gs_uri from, sl_gs_uri to, bool delete_source, sl_err *err)
{
    bool source = true, target = false, existed;
    if (delete_source && sl_task_saved(g->task) != NULL && (!exists(g, from, &source, err) || !exists(g, to, &target, err)))
        return false;
    if (!source && (target || from.generation.n > 0))
        return true; /* an interrupted attempt has come this far */
    return sl_gs_copy(g, from, to, err) && (!delete_source || sl_gs_delete(g, from, &existed, err));
}

static sl_outcome copy_run(sl_task *t, void *cfg, sl_err *err)
{
    const object_cfg *c = cfg;
    sl_gcp g;
    sl_gs_uri from, to;
    if (!sl_gcp_open(&g, t, "gcs", &c->gcp, err) || !sl_gs_parse(g.arena, c->from, false, &from, err) || !sl_gs_parse(g.arena, c->to, false, &to, err))
        return SL_TASK_FAILED;
    if (sl_str_eq(from.bucket, to.bucket) && sl_str_eq(from.object, to.object)) {
        sl_err_set(err, SL_ERR_CONFIG, "gcs.copy", "%.*s cannot be copied onto itself; give another 'to'", SL_ARG(c->from));
        return SL_TASK_FAILED;
    }
    sl_val *intent = sl_map(g.arena);
    sl_map_set_str(g.arena, intent, "to", c->to);
    if ((c->delete_source && sl_task_saved(t) == NULL && !sl_task_checkpoint(t, intent, err)) || !sl_gs_move(&g, from, to, c->delete_source, err))
        return SL_TASK_FAILED;
    sl_task_out_str(t, "uri", sl_fmt(g.arena, "gs://%.*s/%.*s", SL_ARG(to.bucket), SL_ARG(to.object)));
    return SL_TASK_DONE;
}

static const sl_val *compose_body(sl_arena *a, const sl_val *objects)
{
    sl_val *body = sl_map(a), *sources = sl_list(a);
    for (size_t i = 0; i < sl_val_count(objects); i++) {
        sl_val *one = sl_map(a);
        sl_map_set_str(a, one, "name", sl_get_text(sl_at(objects, i), "name"));
        if (sl_get(sl_at(objects, i), "generation") != NULL)
            sl_map_setc(a, one, "generation", sl_get(sl_at(objects, i), "generation"));
        sl_list_add(a, sources, one);
    }
    sl_map_setc(a, body, "sourceObjects", sources);
    return body;
}

static bool composable(sl_gs_uri from, sl_gs_uri to, size_t n, bool allow_empty, sl_err *err)
{
    if (!sl_str_eq(from.bucket, to.bucket))
        return sl_err_set(err, SL_ERR_CONFIG, "gcs.compose", "objects of '%.*s' cannot be composed into the other bucket '%.*s'; compose there and copy", SL_ARG(from.bucket), SL_ARG(to.bucket));
    if (n > COMPOSE_MAX)
        return sl_err_set(err, SL_ERR_LIMIT, "gcs.compose", "%zu objects were found at gs://%.*s/%.*s, but at most %d can be composed at once; narrow 'list'", n, SL_ARG(from.bucket), SL_ARG(from.object), COMPOSE_MAX);
    return n > 0 || allow_empty
           || sl_err_set(err, SL_ERR_NOT_FOUND, "gcs.compose", "there is no object to compose at gs://%.*s/%.*s (and 'allowEmpty' is false)", SL_ARG(from.bucket), SL_ARG(from.object));
}

static sl_outcome compose_run(sl_task *t, void *cfg, sl_err *err)
{
    const object_cfg *c = cfg;
    sl_gcp g;
    sl_gs_uri to, from;
    const sl_val *objects, *made;
    sl_str type = sl_get_text(c->list, "listingType"), source = sl_get_text(c->list, "from");
    sl_gs_listing listing = { .listing_type = type.n ? type : SL_S("DIRECTORY"), .reg_exp = sl_get_text(c->list, "regExp"), .filter = SL_S("FILES") };
    if (!sl_gcp_open(&g, t, "gcs", &c->gcp, err) || !sl_gs_parse(g.arena, c->to, false, &to, err) || !sl_gs_parse(g.arena, source, true, &from, err) || !sl_gs_find_all(&g, source, &listing, &objects, err))
        return SL_TASK_FAILED;
    size_t n = sl_val_count(objects);
    if (!composable(from, to, n, c->allow_empty, err))
        return SL_TASK_FAILED;
    if (n == 0)
        return SL_TASK_DONE;
    sl_str path = sl_fmt(g.arena, "%.*s/compose", SL_ARG(sl_gs_object_path(g.arena, to.bucket, to.object)));
    if (!sl_gcp_call(&g, "POST", path, compose_body(g.arena, objects), true, &made, err))
        return SL_TASK_FAILED;
    sl_task_out_str(t, "uri", sl_gs_text(g.arena, to.bucket, to.object));
    sl_task_counter(t, "count", (double)n);
    return SL_TASK_DONE;
}

#define GCS "io.kestra.plugin.gcp.gcs."
const sl_task_type sl_gcs_list = { .type = GCS "List", .doc = "Lists the objects of a bucket.", .cfg_size = sizeof(object_cfg), .opts = list_opts, .outs = list_outs, .run = list_run };
const sl_task_type sl_gcs_delete = { .type = GCS "Delete", .doc = "Deletes an object.", .cfg_size = sizeof(object_cfg), .opts = delete_opts, .outs = delete_outs, .run = delete_run };
const sl_task_type sl_gcs_delete_list = {
    .type = GCS "DeleteList", .doc = "Deletes all objects that a listing finds.", .cfg_size = sizeof(object_cfg), .opts = delete_list_opts, .outs = delete_list_outs, .run = delete_list_run,
};
const sl_task_type sl_gcs_copy = { .type = GCS "Copy", .doc = "Copies or moves an object inside of Cloud Storage.", .cfg_size = sizeof(object_cfg), .opts = copy_opts, .outs = uri_outs, .run = copy_run };
const sl_task_type sl_gcs_compose = {
    .type = GCS "Compose", .doc = "Makes one object of several.", .cfg_size = sizeof(object_cfg), .opts = compose_opts, .outs = uri_outs, .run = compose_run,
};
