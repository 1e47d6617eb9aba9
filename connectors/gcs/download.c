/*
 * connectors/gcs/download.c: an object as a source of bytes; Download and Downloads.
 *
 * The generation is fixed first; every request names it, so that an object replaced meanwhile is an error and never a mix.
 * API: https://cloud.google.com/storage/docs/json_api/v1/objects/get
 */
#include <pthread.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "connectors/gcs/gcs.h"

typedef struct stored {
    const sl_gcp *g;
    sl_str url;
    const char *what;
    int64_t size;
} stored;

static bool fetch(void *self, sl_arena *a, int64_t begin, int64_t end, sl_writer *to, sl_err *err)
{
    const stored *b = self;
    sl_gcp g = *b->g;
    sl_http_response r;
    bool part = begin > 0 || (end >= 0 && end < b->size);
    sl_val *headers = sl_map(a);
    g.arena = a;
    sl_map_set_str(a, headers, "Accept-Encoding", SL_S("gzip")); /* bytes as stored: else GCS unpacks what is stored packed */
    if (part)
        sl_map_set_str(a, headers, "Range", sl_source_range(a, begin, end < b->size ? end : -1));
    sl_http_request req = { .url = b->url, .headers = headers, .sink = to, .keep_encoding = true, .attempts_max = begin > 0 ? 1 : 0 };
    sl_gcp_prepare(&g, &req);
    if (!sl_http_call(sl_task_http(g.task), a, &req, &r, err))
        return false;
    if (r.status / 100 != 2)
        return sl_gcp_error(&g, &r, sl_fmt(a, "downloading %s", b->what).p, err);
    return !part || r.status == 206 || sl_err_set(err, SL_ERR_REMOTE, "gcs.range", "asked for %s from byte %lld, GCS sent something else (status %d)", b->what, (long long)begin, r.status);
}

/* object: its resource, as a listing or a request for it has it. All in the arena of `g`. */
static void source_of(const sl_gcp *g, sl_gs_uri from, const sl_val *object, sl_source *ret)
{
    sl_arena *a = g->arena;
    stored *b = sl_alloc(a, sizeof *b);
    sl_str generation = sl_val_text(a, sl_get(object, "generation")), crc = sl_get_text(object, "crc32c"), md5 = sl_get_text(object, "md5Hash");
    *b = (stored){ .g = g, .what = sl_gs_text(a, from.bucket, from.object).p, .size = -1 };
    b->url = sl_fmt(a, "%.*s%.*s?alt=media&generation=%.*s", SL_ARG(g->base), SL_ARG(sl_gs_object_path(a, from.bucket, from.object)), SL_ARG(generation));
    (void)sl_parse_int(sl_val_text(a, sl_get(object, "size")), &b->size);
    *ret = (sl_source){
        .task = g->task, .what = b->what, .service = "gcs", .size = b->size, .ranged = b->size >= 0, .state = generation, .summed = crc.n > 0 || md5.n > 0, .algorithm = crc.n > 0 ? SL_SUM_CRC32C : SL_SUM_MD5,
        .expected = crc.n > 0 ? crc : md5, .self = b, .fetch = fetch,
    };
}

bool sl_gs_source(sl_gcp *g, sl_gs_uri from, sl_source *ret, sl_err *err)
{
    const sl_val *object;
    if (!sl_gcp_call(g, "GET", sl_gs_object_path(g->arena, from.bucket, from.object), NULL, true, &object, err))
        return sl_err_ctx(err, "looking for %s", sl_gs_text(g->arena, from.bucket, from.object).p);
    source_of(g, from, object, ret);
    return true;
}

/* ---- tasks ---- */

typedef struct download_cfg {
    sl_gcp_cfg gcp;
    sl_str from, action, move_directory;
    sl_gs_listing listing;
    bool validate;
} download_cfg;

#define FROM { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(download_cfg, from), .flags = SL_REQUIRED, .doc = "Where from (gs://bucket/name)." }
#define VALIDATE { .name = "validateChecksum", .type = SL_OPT_BOOL, .offset = SL_FIELD(download_cfg, validate), .fallback = "true", .doc = "Compare checksums; they are compared in any case." }

static const sl_opt download_opts[] = { SL_GCP_OPTS(download_cfg), FROM, VALIDATE, { 0 } };
static const sl_opt downloads_opts[] = {
    SL_GCP_OPTS(download_cfg),
    FROM,
    VALIDATE,
    SL_GS_LISTING_OPTS(download_cfg),
    SL_GS_MAX_FILES_OPT(download_cfg),
    { .name = "action", .type = SL_OPT_ENUM, .offset = SL_FIELD(download_cfg, action), .values = "NONE DELETE MOVE", .fallback = "NONE", .doc = "What becomes of the objects afterwards." },
    { .name = "moveDirectory", .type = SL_OPT_STR, .offset = SL_FIELD(download_cfg, move_directory), .doc = "MOVE: where to (gs://bucket/prefix)." },
    { 0 },
};
static const sl_opt download_outs[] = {
    { .name = "bucket", .type = SL_OPT_STR, .doc = "The bucket." }, { .name = "path", .type = SL_OPT_STR, .doc = "The object's name." }, { .name = "uri", .type = SL_OPT_STR, .doc = "The file." }, { 0 },
};
static const sl_opt downloads_outs[] = {
    { .name = "blobs", .type = SL_OPT_LIST, .doc = "The objects; uri is the file." }, { .name = "outputFiles", .type = SL_OPT_MAP, .doc = "Name of the object to file." }, { 0 },
};

static bool open_file(const sl_gcp *g, sl_str object, sl_made_file **ret, sl_str *ret_uri, sl_err *err)
{
    return sl_task_make_file(g->task, sl_str_sub(object, (size_t)(sl_str_rfind(object, SL_S("/")) + 1), object.n), ret, ret_uri, err);
}

bool sl_gs_download(sl_gcp *g, sl_gs_uri from, sl_str *ret_uri, sl_err *err)
{
    SL_MADE_FILE file = NULL;
    sl_source source;
    int64_t size;
    if (!open_file(g, from.object, &file, ret_uri, err) || !sl_gs_source(g, from, &source, err) || !sl_source_copy(&source, file, &size, err) || !sl_made_file_finish(file, err))
        return false;
    sl_task_counter(g->task, "file.size", (double)size);
    return true;
}

static sl_outcome download_run(sl_task *t, void *cfg, sl_err *err)
{
    const download_cfg *c = cfg;
    sl_gcp g;
    sl_gs_uri from;
    sl_str uri;
    if (!sl_gcp_open(&g, t, "gcs", &c->gcp, err) || !sl_gs_parse(g.arena, c->from, false, &from, err) || !sl_gs_download(&g, from, &uri, err))
        return SL_TASK_FAILED;
    sl_task_out_str(t, "bucket", from.bucket);
    sl_task_out_str(t, "path", from.object);
    sl_task_out_str(t, "uri", uri);
    return SL_TASK_DONE;
}

/* ---- many ---- */

typedef struct batch {
    const sl_gcp *g;
    const sl_val *objects;
    sl_str *uris;                 /* .n == 0: not yet */
    pthread_mutex_t lock;         /* on the task, its arena and what follows */
    int64_t done;
    double size;
} batch;

static sl_gs_uri address(const batch *b, size_t i)
{
    const sl_val *o = sl_at(b->objects, i);
    return (sl_gs_uri){ .bucket = sl_get_text(o, "bucket"), .object = sl_get_text(o, "name") };
}

/* A small one, as the listing has told of it, or, if it was replaced since, as it is now; a large one is left for later. */
static bool get_small(void *self, size_t i, sl_arena *arena, sl_err *err)
{
    batch *b = self;
    SL_MADE_FILE file = NULL;
    sl_gcp g = *b->g;
    sl_source source;
    sl_gs_uri from = address(b, i);
    sl_str uri;
    int64_t size;
    g.arena = arena;
    if (sl_task_cancelled(g.task))
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while downloading");
    source_of(&g, from, sl_at(b->objects, i), &source);
    if (source.size < 0 || source.size > SL_SOURCE_PIECE || source.state.n == 0)
        return true;
    pthread_mutex_lock(&b->lock);
    bool ok = open_file(&g, from.object, &file, &uri, err);
    pthread_mutex_unlock(&b->lock);
    if (!ok)
        return false;
    ok = sl_source_copy(&source, file, &size, err);
    if (!ok && err->kind == SL_ERR_NOT_FOUND && sl_made_file_begun(file, NULL) == 0)
        ok = sl_gs_source(&g, from, &source, err) && sl_source_copy(&source, file, &size, err);
    if (!ok || !sl_made_file_finish(file, err))
        return false;
    pthread_mutex_lock(&b->lock);
    b->uris[i] = uri;
    b->size += (double)size;
    sl_task_progress(g.task, ++b->done, (int64_t)sl_val_count(b->objects));
    pthread_mutex_unlock(&b->lock);
    return true;
}

static bool get_all(sl_gcp *g, const sl_val *objects, sl_str *uris, sl_err *err)
{
    size_t n = sl_val_count(objects);
    batch b = { .g = g, .objects = objects, .uris = uris, .lock = PTHREAD_MUTEX_INITIALIZER };
    if (!sl_parallel(SL_SOURCE_TOGETHER, n, get_small, &b, err))
        return false;
    if (b.size > 0)
        sl_task_counter(g->task, "file.size", b.size);
    for (size_t i = 0; i < n; i++) {
        if (uris[i].n > 0)
            continue;
        if (sl_task_cancelled(g->task))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while downloading");
        if (!sl_gs_download(g, address(&b, i), &uris[i], err))
            return false;
        sl_task_progress(g->task, ++b.done, (int64_t)n);
    }
    return true;
}

static bool fetch_all(sl_gcp *g, const download_cfg *c, const sl_val **ret, sl_err *err)
{
    const sl_val *objects;
    sl_arena *a = g->arena;
    sl_val *blobs = sl_list(a), *files = sl_map(a), *doc = sl_map(a);
    if (!sl_gs_find_all(g, c->from, &c->listing, &objects, err))
        return false;
    size_t n = sl_val_count(objects);
    sl_str *uris = sl_alloc(a, (n + 1) * sizeof *uris);
    memset(uris, 0, n * sizeof *uris);
    if (!get_all(g, objects, uris, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        const sl_val *o = sl_at(objects, i);
        sl_val *blob = sl_map_shallow(a, sl_gs_blob(a, o));
        sl_map_set_str(a, blob, "uri", uris[i]);
        sl_list_add(a, blobs, blob);
        sl_map_set(a, files, sl_get_text(o, "name"), sl_val_str(a, uris[i]));
    }
    sl_map_setc(a, doc, "blobs", blobs);
    sl_map_setc(a, doc, "outputFiles", files);
    *ret = doc;
    return true;
}

bool sl_gs_act(sl_gcp *g, sl_str action, sl_str move_directory, const sl_val *objects, sl_err *err)
{
    sl_gs_uri to = { 0 };
    bool move = sl_str_eqc(action, "MOVE"), existed;
    if (sl_str_eqc(action, "NONE"))
        return true;
    if (move && !sl_gs_parse(g->arena, move_directory, true, &to, err))
        return false;
    while (to.object.n > 0 && to.object.p[to.object.n - 1] == '/')
        to.object.n--;
    for (size_t i = 0; i < sl_val_count(objects); i++) {
        const sl_val *o = sl_at(objects, i);
        sl_gs_uri from = { sl_get_text(o, "bucket"), sl_get_text(o, "name"), sl_get_text(o, "generation") }, target = to;
        ptrdiff_t slash = sl_str_rfind(from.object, SL_S("/"));
        sl_str name = sl_str_sub(from.object, (size_t)(slash + 1), from.object.n);
        target.object = to.object.n ? sl_fmt(g->arena, "%.*s/%.*s", SL_ARG(to.object), SL_ARG(name)) : name;
        if (!(move ? sl_gs_move(g, from, target, true, err) : sl_gs_delete(g, from, &existed, err)))
            return false;
    }
    return true;
}

static sl_outcome downloads_run(sl_task *t, void *cfg, sl_err *err)
{
    download_cfg *c = cfg;
    sl_gcp g;
    bool acts = !sl_str_eqc(c->action, "NONE");
    const sl_val *done = sl_task_saved(t);
    c->listing.filter = SL_S("FILES");
    if (sl_str_eqc(c->action, "MOVE") && c->move_directory.n == 0) {
        sl_err_set(err, SL_ERR_CONFIG, "gcs.move", "action MOVE needs 'moveDirectory' (gs://bucket/prefix)");
        return SL_TASK_FAILED;
    }
    /* Before the first object is moved or deleted, it is on disk that all are here. */
    if (!sl_gcp_open(&g, t, "gcs", &c->gcp, err) || (done == NULL && (!fetch_all(&g, c, &done, err) || (acts && !sl_task_checkpoint(t, done, err)))))
        return SL_TASK_FAILED;
    if (acts && !sl_gs_act(&g, c->action, c->move_directory, sl_get(done, "blobs"), err))
        return SL_TASK_FAILED;
    sl_task_out(t, "blobs", sl_get(done, "blobs"));
    sl_task_out(t, "outputFiles", sl_get(done, "outputFiles"));
    sl_task_log(t, SL_INFO, "%zu objects downloaded from %.*s", sl_val_count(sl_get(done, "blobs")), SL_ARG(c->from));
    return SL_TASK_DONE;
}

#define GCS "io.kestra.plugin.gcp.gcs."
const sl_task_type sl_gcs_download = { .type = GCS "Download", .doc = "Downloads an object.", .cfg_size = sizeof(download_cfg), .opts = download_opts, .outs = download_outs, .run = download_run };
const sl_task_type sl_gcs_downloads = {
    .type = GCS "Downloads", .doc = "Downloads all objects that a listing finds.", .cfg_size = sizeof(download_cfg), .opts = downloads_opts, .outs = downloads_outs, .run = downloads_run,
};
