/* connectors/gcs/gcs.c: URIs, listings, deletion, copies. */
#include "connectors/gcs/gcs.h"

#include "base/arena.h"
#include "base/fs.h"
#include "base/regex.h"
#include "connectors/connectors.h"

bool sl_gs_parse(sl_arena *arena, sl_str uri, bool object_optional, sl_gs_uri *ret, sl_err *err)
{
    sl_str rest = uri;
    if (!sl_str_starts(uri, SL_S("gs://")))
        return sl_err_set(err, SL_ERR_CONFIG, "gcs.uri", "'%.*s' is not a Cloud Storage URI; write gs://bucket/name", (int)(uri.n < 200 ? uri.n : 200), uri.p ? uri.p : "");
    rest = sl_str_sub(uri, 5, uri.n);
    ptrdiff_t slash = sl_str_find(rest, SL_S("/"));
    ret->bucket = sl_str_dup(arena, sl_str_sub(rest, 0, slash < 0 ? rest.n : (size_t)slash));
    sl_str object = slash < 0 ? SL_S("") : sl_str_sub(rest, (size_t)slash + 1, rest.n);
    if (!sl_percent_decode(arena, object, false, &ret->object))
        ret->object = sl_str_dup(arena, object); /* a lone % is part of the name */
    if (ret->bucket.n == 0 || (ret->object.n == 0 && !object_optional))
        return sl_err_set(err, SL_ERR_CONFIG, "gcs.uri", "'%.*s' lacks the %s; write gs://bucket/name", SL_ARG(uri), ret->bucket.n ? "object's name" : "bucket");
    if (ret->object.n > 1024)
        return sl_err_set(err, SL_ERR_CONFIG, "gcs.uri", "the object's name is longer than 1024 bytes");
    return true;
}

sl_str sl_gs_text(sl_arena *arena, sl_str bucket, sl_str object)
{
    return sl_str_replace(arena, sl_fmt(arena, "gs://%.*s/%.*s", SL_ARG(bucket), SL_ARG(object)), SL_S(" "), SL_S("%20"));
}

sl_str sl_gs_object_path(sl_arena *arena, sl_str bucket, sl_str object)
{
    return sl_fmt(arena, "/storage/v1/b/%.*s/o/%.*s", SL_ARG(sl_percent(arena, bucket, NULL)), SL_ARG(sl_percent(arena, object, NULL)));
}

sl_str sl_gs_version_path(sl_arena *arena, sl_gs_uri uri)
{
    sl_str path = sl_gs_object_path(arena, uri.bucket, uri.object);
    return uri.generation.n ? sl_fmt(arena, "%.*s?generation=%.*s", SL_ARG(path), SL_ARG(uri.generation)) : path;
}

const sl_val *sl_gs_blob(sl_arena *arena, const sl_val *o)
{
    static const struct {
        const char *out, *in;
    } names[] = { { "bucket", "bucket" },         { "name", "name" },           { "generatedId", "id" },     { "selfLink", "selfLink" },
                  { "cacheControl", "cacheControl" }, { "etag", "etag" },       { "md5", "md5Hash" },        { "crc32c", "crc32c" },
                  { "customTime", "customTime" }, { "mediaLink", "mediaLink" }, { "metadata", "metadata" },  { "deleteTime", "timeDeleted" },
                  { "updateTime", "updated" },    { "createTime", "timeCreated" }, { "contentType", "contentType" }, { "contentEncoding", "contentEncoding" },
                  { "contentDisposition", "contentDisposition" }, { "contentLanguage", "contentLanguage" }, { "kmsKeyName", "kmsKeyName" },
                  { "eventBasedHold", "eventBasedHold" }, { "temporaryHold", "temporaryHold" }, { "retentionExpirationTime", "retentionExpirationTime" },
                  { "componentCount", "componentCount" }, { "timeStorageClassUpdated", "timeStorageClassUpdated" } };
    sl_val *b = sl_map(arena);
    sl_str name = sl_get_text(o, "name");
    sl_map_set_str(arena, b, "uri", sl_str_replace(arena, sl_fmt(arena, "gs://%.*s/%.*s", SL_ARG(sl_get_text(o, "bucket")), SL_ARG(name)), SL_S(" "), SL_S("+")));
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (sl_get(o, names[i].in) != NULL)
            sl_map_setc(arena, b, names[i].out, sl_get(o, names[i].in));
    sl_map_set_int(arena, b, "size", sl_get_int(o, "size", 0));
    if (sl_get(o, "metageneration") != NULL)
        sl_map_set_int(arena, b, "metaGeneration", sl_get_int(o, "metageneration", 0));
    sl_map_set_bool(arena, b, "directory", sl_str_ends(name, SL_S("/")));
    return b;
}

typedef struct page {
    sl_gcp *g;
    sl_gs_uri from;
    const sl_gs_listing *l;
    sl_regex *regex;
    bool (*on_object)(void *self, const sl_val *object, sl_err *err);
    void *self;
    int64_t count;
    bool stop;
} page;

static bool offer(page *p, const sl_val *object, sl_err *err)
{
    sl_arena *a = p->g->arena;
    bool directory = sl_str_ends(sl_get_text(object, "name"), SL_S("/")), hit = true;
    if ((sl_str_eqc(p->l->filter, "FILES") && directory) || (sl_str_eqc(p->l->filter, "DIRECTORY") && !directory))
        return true;
    sl_str uri = sl_get_text(sl_gs_blob(a, object), "uri");
    if (p->regex != NULL && !sl_regex_full(p->regex, uri, &hit, err))
        return false;
    if (!hit)
        return true;
    if (p->l->max_files > 0 && p->count == p->l->max_files) {
        sl_task_log(p->g->task, SL_WARN, "only the first %lld of more objects are taken; raise maxFiles", (long long)p->count);
        p->stop = true;
        return true;
    }
    p->count++;
    return p->on_object(p->self, object, err);
}

bool sl_gs_list(sl_gcp *g, sl_gs_uri from, const sl_gs_listing *l, bool (*on_object)(void *self, const sl_val *object, sl_err *err), void *self, sl_err *err)
{
    sl_arena *a = g->arena;
    page p = { .g = g, .from = from, .l = l, .on_object = on_object, .self = self };
    if (l->reg_exp.n > 0 && (p.regex = sl_regex_new(a, l->reg_exp, err)) == NULL)
        return false;
    sl_str token = SL_S("");
    do {
        const sl_val *answer;
        sl_str path = sl_fmt(a, "/storage/v1/b/%.*s/o?prefix=%.*s%s%s%s%.*s", SL_ARG(sl_percent(a, from.bucket, NULL)), SL_ARG(sl_percent(a, from.object, NULL)),
                             sl_str_eqc(l->listing_type, "RECURSIVE") ? "" : "&delimiter=%2F", l->all_versions ? "&versions=true" : "", token.n ? "&pageToken=" : "", SL_ARG(sl_percent(a, token, NULL)));
        if (!sl_gcp_call(g, "GET", path, NULL, true, &answer, err))
            return false;
        const sl_val *prefixes = sl_get(answer, "prefixes"), *items = sl_get(answer, "items");
        for (size_t i = 0; !p.stop && i < sl_val_count(prefixes); i++) {
            sl_val *directory = sl_map(a);
            sl_map_set_str(a, directory, "bucket", from.bucket);
            sl_map_setc(a, directory, "name", sl_at(prefixes, i));
            if (!offer(&p, directory, err))
                return false;
        }
        for (size_t i = 0; !p.stop && i < sl_val_count(items); i++)
            if (!offer(&p, sl_at(items, i), err))
                return false;
        token = sl_get_text(answer, "nextPageToken");
        if (sl_task_cancelled(g->task))
            return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while listing gs://%.*s", SL_ARG(from.bucket));
    } while (token.n > 0 && !p.stop);
    return true;
}

bool sl_gs_delete(sl_gcp *g, sl_gs_uri uri, bool *existed, sl_err *err)
{
    sl_http_response r;
    if (!sl_gcp_send(g, "DELETE", sl_gs_version_path(g->arena, uri), NULL, true, &r, err))
        return false;
    *existed = r.status != 404;
    return r.status / 100 == 2 || r.status == 404 || sl_gcp_error(g, &r, sl_fmt(g->arena, "deleting gs://%.*s/%.*s", SL_ARG(uri.bucket), SL_ARG(uri.object)).p, err);
}

/* The rewrite loop: large objects are copied in several calls with the same token. */
bool sl_gs_copy(sl_gcp *g, sl_gs_uri from, sl_gs_uri to, sl_err *err)
{
    sl_str token = SL_S("");
    for (;;) {
        const sl_val *answer;
        sl_val *query = sl_map(g->arena);
        sl_map_opt_str(g->arena, query, "rewriteToken", token);
        sl_map_opt_str(g->arena, query, "sourceGeneration", from.generation);
        sl_str path = sl_fmt(g->arena, "%.*s/rewriteTo/b/%.*s/o/%.*s?%.*s", SL_ARG(sl_gs_object_path(g->arena, from.bucket, from.object)), SL_ARG(sl_percent(g->arena, to.bucket, NULL)),
                             SL_ARG(sl_percent(g->arena, to.object, NULL)), SL_ARG(sl_url_query(g->arena, query)));
        if (!sl_gcp_call(g, "POST", path, sl_map(g->arena), true, &answer, err))
            return false;
        if (sl_get_bool(answer, "done", true))
            return true;
        token = sl_get_text(answer, "rewriteToken");
        if (token.n == 0 || sl_task_cancelled(g->task))
            return sl_err_set(err, token.n ? SL_ERR_CANCELLED : SL_ERR_REMOTE, "gcs.rewrite", "the copy of gs://%.*s/%.*s was not finished", SL_ARG(from.bucket), SL_ARG(from.object));
    }
}

static const sl_task_type *const tasks[] = { &sl_gcs_upload, &sl_gcs_download, &sl_gcs_downloads, &sl_gcs_list, &sl_gcs_delete, &sl_gcs_delete_list, &sl_gcs_copy, &sl_gcs_compose,
                                           &sl_gcs_create_bucket, &sl_gcs_update_bucket, &sl_gcs_delete_bucket, &sl_gcs_create_bucket_iam_policy, NULL };
static const sl_task_type *const triggers[] = { &sl_gcs_trigger, NULL };
const sl_connector sl_connector_gcs = { .name = "gcs", .tasks = tasks, .triggers = triggers };
