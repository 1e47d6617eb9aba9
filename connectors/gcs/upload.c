/*
 * connectors/gcs/upload.c: io.kestra.plugin.gcp.gcs.Upload.
 *
 * One resumable session for files from 8 MiB on (gcp/resumable.h), one request below. CRC32C is compared by us with what
 * the service computed.
 */
#include "base/arena.h"
#include "base/fault.h"
#include "base/json.h"
#include "connectors/gcp/resumable.h"
#include "connectors/gcs/gcs.h"

enum { SIMPLE_MAX = 8 << 20 };

typedef struct upload_cfg {
    sl_gcp_cfg gcp;
    sl_str from, to, content_type, content_encoding, content_disposition, cache_control, md5, crc32c;
    bool validate;
    sl_str if_generation;
} upload_cfg;

static const sl_opt opts[] = {
    SL_GCP_OPTS(upload_cfg),
    { .name = "from", .type = SL_OPT_STR, .offset = SL_FIELD(upload_cfg, from), .flags = SL_REQUIRED, .doc = "The file (kestra:// URI)." },
    { .name = "to", .type = SL_OPT_STR, .offset = SL_FIELD(upload_cfg, to), .flags = SL_REQUIRED, .doc = "Where to (gs://bucket/name)." },
    { .name = "contentType", .type = SL_OPT_STR, .offset = SL_FIELD(upload_cfg, content_type), .doc = "Content-Type of the object." },
    { .name = "contentEncoding", .type = SL_OPT_STR, .offset = SL_FIELD(upload_cfg, content_encoding), .doc = "Content-Encoding of the object." },
    { .name = "contentDisposition", .type = SL_OPT_STR, .offset = SL_FIELD(upload_cfg, content_disposition), .doc = "Content-Disposition of the object." },
    { .name = "cacheControl", .type = SL_OPT_STR, .offset = SL_FIELD(upload_cfg, cache_control), .doc = "Cache-Control of the object." },
    { .name = "validateChecksum", .type = SL_OPT_BOOL, .offset = SL_FIELD(upload_cfg, validate), .fallback = "true", .doc = "Compare checksums at the end; they are compared in any case." },
    { .name = "expectedMd5", .type = SL_OPT_STR, .offset = SL_FIELD(upload_cfg, md5), .doc = "Fail when the file's MD5 (base64) is another one." },
    { .name = "expectedCrc32c", .type = SL_OPT_STR, .offset = SL_FIELD(upload_cfg, crc32c), .doc = "Fail when the file's CRC32C (base64) is another one." },
    { .name = "ifGenerationMatch", .type = SL_OPT_STR, .offset = SL_FIELD(upload_cfg, if_generation), .doc = "Only replace this generation; 0: only when there is none." },
    { 0 },
};

static const sl_opt outs[] = {
    { .name = "uri", .type = SL_OPT_STR, .doc = "The object." },
    { .name = "md5", .type = SL_OPT_STR, .doc = "Its MD5 as base64." },
    { .name = "crc32c", .type = SL_OPT_STR, .doc = "Its CRC32C as base64." },
    { 0 },
};

typedef struct upload {
    sl_gcp g;
    const upload_cfg *cfg;
    sl_gs_uri to;
    sl_resumable file;
} upload;

static const sl_val *metadata(upload *u)
{
    sl_arena *a = u->g.arena;
    sl_val *m = sl_map(a);
    sl_map_set_str(a, m, "name", u->to.object);
    const struct {
        const char *name;
        sl_str value;
    } fields[] = { { "contentType", u->cfg->content_type }, { "contentEncoding", u->cfg->content_encoding }, { "contentDisposition", u->cfg->content_disposition }, { "cacheControl", u->cfg->cache_control },
                   { "crc32c", u->cfg->crc32c }, { "md5Hash", u->cfg->md5 } };
    for (size_t i = 0; i < SL_COUNT(fields); i++)
        if (fields[i].value.n > 0)
            sl_map_set_str(a, m, fields[i].name, fields[i].value);
    return m;
}

static sl_str upload_url(upload *u, const char *type)
{
    sl_arena *a = u->g.arena;
    sl_buf b = sl_buf_new(a, 8192);
    sl_buf_fmt(&b, "%.*s/upload/storage/v1/b/%.*s/o?uploadType=%s&name=%.*s", SL_ARG(u->g.base), SL_ARG(sl_percent(a, u->to.bucket, NULL)), type, SL_ARG(sl_percent(a, u->to.object, NULL)));
    if (u->cfg->if_generation.n > 0)
        sl_buf_fmt(&b, "&ifGenerationMatch=%.*s", SL_ARG(sl_percent(a, u->cfg->if_generation, NULL)));
    return sl_buf_str(&b);
}

/* Did an interrupted attempt get its one request through? The object with these very bytes is there then. */
static bool adopt_simple(upload *u, const sl_val **done, sl_err *err)
{
    sl_http_response r;
    *done = NULL;
    if (!sl_gcp_send(&u->g, "GET", sl_gs_object_path(u->g.arena, u->to.bucket, u->to.object), NULL, true, &r, err))
        return false;
    if (r.status / 100 != 2)
        return true; /* the upload itself will say what is wrong */
    const sl_val *object = sl_json_parse(u->g.arena, r.body, err);
    if (object == NULL || !sl_resumable_sum(&u->file, err))
        return false;
    if (sl_get_int(object, "size", -1) == u->file.size && sl_str_eq(sl_get_text(object, "crc32c"), sl_crc32c_base64(u->g.arena, u->file.crc)))
        *done = object;
    return true;
}

/* One request for small files; that it is about to be sent is on disk first. */
static bool send_simple(upload *u, const sl_val **done, sl_err *err)
{
    sl_arena *a = u->g.arena;
    static const char boundary[] = "sluice-5c1d5a0e7f2b4c9d";
    sl_str meta = sl_json(a, metadata(u));
    sl_buf b = sl_buf_new(a, SIMPLE_MAX + 65536);
    sl_buf_fmt(&b, "--%s\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%.*s\r\n--%s\r\nContent-Type: %.*s\r\n\r\n", boundary, SL_ARG(meta), boundary,
               SL_ARG(u->cfg->content_type.n ? u->cfg->content_type : SL_S("application/octet-stream")));
    char *to = sl_buf_room(&b, (size_t)u->file.size + 64);
    sl_assert(to != NULL);
    if (!sl_resumable_read(&u->file, to, err))
        return false;
    b.n += (size_t)u->file.size;
    sl_buf_fmt(&b, "\r\n--%s--\r\n", boundary);
    sl_val *headers = sl_map(a);
    sl_map_set_str(a, headers, "Content-Type", sl_fmt(a, "multipart/related; boundary=%s", boundary));
    sl_http_request req = { .method = "POST", .url = upload_url(u, "multipart"), .headers = headers, .body = sl_buf_str(&b), .idempotent = true, .idle_ms = 120000 };
    sl_http_response r;
    sl_gcp_prepare(&u->g, &req);
    if (!SL_FAULT("upload.before_simple", err) || !sl_http_call(sl_task_http(u->g.task), a, &req, &r, err) || !SL_FAULT("upload.after_simple", err))
        return false;
    if (r.status / 100 != 2)
        return sl_gcp_error(&u->g, &r, sl_fmt(a, "uploading to %.*s", SL_ARG(u->file.session.target)).p, err);
    *done = sl_json_parse(a, r.body, err);
    return *done != NULL;
}

static bool check_sums(upload *u, const sl_val *object, sl_err *err)
{
    sl_arena *a = u->g.arena;
    if (!sl_resumable_sum(&u->file, err))
        return false;
    sl_str crc = sl_crc32c_base64(a, u->file.crc), theirs = sl_get_text(object, "crc32c"), md5 = u->file.md5 ? sl_base64(a, sl_hash_end(u->file.md5, a)) : SL_S("");
    if (u->cfg->crc32c.n > 0 && !sl_str_eq(u->cfg->crc32c, crc))
        return sl_err_set(err, SL_ERR_DATA, "gcs.checksum", "the file's CRC32C is %.*s, expected was %.*s", SL_ARG(crc), SL_ARG(u->cfg->crc32c));
    if (u->cfg->md5.n > 0 && !sl_str_eq(u->cfg->md5, md5))
        return sl_err_set(err, SL_ERR_DATA, "gcs.checksum", "the file's MD5 is %.*s, expected was %.*s", SL_ARG(md5), SL_ARG(u->cfg->md5));
    if (theirs.n > 0 && !sl_str_eq(theirs, crc))
        return sl_err_set(err, SL_ERR_DATA, "gcs.checksum", "%.*s has the CRC32C %.*s, but %.*s was sent; upload it again", SL_ARG(u->file.session.target), SL_ARG(theirs), SL_ARG(crc));
    if (sl_get_int(object, "size", u->file.size) != u->file.size)
        return sl_err_set(err, SL_ERR_DATA, "gcs.size", "%.*s has %lld bytes, but %lld were sent", SL_ARG(u->file.session.target), (long long)sl_get_int(object, "size", 0), (long long)u->file.size);
    return true;
}

static bool transfer(upload *u, const sl_val **object, sl_err *err)
{
    const sl_val *saved = sl_task_saved(u->g.task);
    bool again = sl_resumable_same(&u->file, saved);
    if (u->file.size > SIMPLE_MAX || (again && sl_get(saved, "session") != NULL))
        return sl_resumable_send(&u->file, object, err);
    if (again && (!adopt_simple(u, object, err) || *object != NULL))
        return *object != NULL;
    return (again || sl_task_checkpoint(u->g.task, sl_resumable_mark(&u->file), err)) && send_simple(u, object, err);
}

static bool prepare(upload *u, sl_task *t, sl_err *err)
{
    sl_arena *a = sl_task_arena(t);
    if (!sl_gcp_open(&u->g, t, "gcs", &u->cfg->gcp, err) || !sl_gs_parse(a, u->cfg->to, false, &u->to, err))
        return false;
    u->file = (sl_resumable){ .session = { .g = &u->g, .url = upload_url(u, "resumable"), .metadata = sl_json(a, metadata(u)), .content_type = u->cfg->content_type, .target = sl_gs_text(a, u->to.bucket, u->to.object) } };
    if (u->cfg->md5.n > 0)
        u->file.md5 = sl_hash_new(a, "MD5");
    return sl_resumable_open(&u->file, u->cfg->from, err);
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    upload u = { .cfg = cfg };
    const sl_val *object = NULL;
    sl_arena *a = sl_task_arena(t);
    bool ok = prepare(&u, t, err) && transfer(&u, &object, err) && check_sums(&u, object, err);
    sl_resumable_close(&u.file);
    if (!ok)
        return SL_TASK_FAILED;
    sl_task_out_str(t, "uri", u.file.session.target);
    sl_task_out_str(t, "crc32c", sl_crc32c_base64(a, u.file.crc));
    if (sl_get_text(object, "md5Hash").n > 0)
        sl_task_out_str(t, "md5", sl_get_text(object, "md5Hash"));
    sl_task_counter(t, "file.size", (double)u.file.size);
    sl_task_log(t, SL_INFO, "%lld bytes are at %.*s", (long long)u.file.size, SL_ARG(u.file.session.target));
    return SL_TASK_DONE;
}

/* Killed while an upload was interrupted. */
static void kill_upload(sl_task *t, void *cfg)
{
    const upload_cfg *c = cfg;
    sl_gcp g;
    sl_err err;
    sl_str session = sl_get_text(sl_task_saved(t), "session");
    if (session.n == 0)
        return;
    if (sl_gcp_open(&g, t, "gcs", &c->gcp, &err))
        sl_session_cancel(&g, session);
    else
        sl_task_log(t, SL_WARN, "the unfinished upload stays until its session ends in a week: %s", err.message);
}

const sl_task_type sl_gcs_upload = {
    .type = "io.kestra.plugin.gcp.gcs.Upload", .doc = "Uploads a file to a bucket.", .cfg_size = sizeof(upload_cfg), .opts = opts, .outs = outs, .run = run, .kill = kill_upload,
};
