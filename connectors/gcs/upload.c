/*
 * connectors/gcs/upload.c: io.kestra.plugin.gcp.gcs.Upload.
 *
 * One resumable session for files from 8 MiB on, one request below. The session's URI (a credential: sealed) and the
 * generation that it may replace are on disk before the first byte. After a crash, or any doubt, the session is asked how
 * much it has ("bytes STAR/N") and the upload goes on there; a finished one is recognised. CRC32C is computed in the reading
 * pass and compared by us with what the service computed. Memory: one block.
 * API: https://cloud.google.com/storage/docs/performing-resumable-uploads
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/limits.h"
#include "connectors/gcs/gcs.h"

enum { SIMPLE_MAX = 8 << 20, CHUNK = 64 << 20, ROUNDS_MAX = 12 };

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
    int fd;
    sl_str path;
    int64_t size;
    struct timespec mtime;
    /* What has been read in order so far. A part that is sent again is not added again. */
    int64_t hashed;
    uint32_t crc;
    sl_hash *md5;
    /* The piece being sent. */
    int64_t offset, end;
    sl_reader reader;
    sl_str session;
} upload;

static upload *of_reader(sl_reader *r)
{
    return (upload *)((char *)r - offsetof(upload, reader));
}

static ptrdiff_t piece_read(sl_reader *self, void *to, size_t n, sl_err *err)
{
    upload *u = of_reader(self);
    if ((int64_t)n > u->end - u->offset)
        n = (size_t)(u->end - u->offset);
    if (n == 0)
        return 0;
    ssize_t got = pread(u->fd, to, n, u->offset);
    if (got < 0) {
        sl_err_errno(err, "read", u->path.p);
        return -1;
    }
    if (u->offset + got > u->hashed && u->offset <= u->hashed) {
        const char *fresh = (const char *)to + (u->hashed - u->offset);
        size_t count = (size_t)(u->offset + got - u->hashed);
        u->crc = sl_crc32c(u->crc, fresh, count);
        if (u->md5 != NULL)
            sl_hash_add(u->md5, fresh, count);
        u->hashed += (int64_t)count;
    }
    u->offset += got;
    return got;
}

static void piece_close(sl_reader *self)
{
    (void)self;
}

static sl_reader *open_piece(void *self, sl_err *err)
{
    (void)err;
    upload *u = self;
    u->reader = (sl_reader){ piece_read, piece_close };
    return &u->reader;
}

/* Bytes that an earlier process has sent have to pass through the checksum as well. */
static bool hash_up_to(upload *u, int64_t to, sl_err *err)
{
    char *block = sl_malloc(SL_IO_BLOCK);
    bool ok = true;
    u->offset = u->hashed;
    u->end = to;
    while (ok && u->hashed < to)
        ok = piece_read(&u->reader, block, SL_IO_BLOCK, err) > 0 && !sl_task_cancelled(u->g.task);
    free(block);
    return ok || err->kind != SL_ERR_NONE || sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped");
}

static void on_progress(void *self, int64_t sent, int64_t received)
{
    upload *u = self;
    (void)sent;
    (void)received;
    sl_task_progress(u->g.task, u->offset, u->size);
}

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

static sl_str target(const upload *u)
{
    return sl_gs_text(u->g.arena, u->to.bucket, u->to.object);
}

/* What the checkpoint says of the file, so that a changed one is not taken for it. */
static sl_val *file_mark(const upload *u)
{
    sl_val *doc = sl_map(u->g.arena);
    sl_map_set_int(u->g.arena, doc, "size", u->size);
    sl_map_set_int(u->g.arena, doc, "mtimeNs", (int64_t)u->mtime.tv_sec * 1000000000 + u->mtime.tv_nsec);
    return doc;
}

/* Starts a session and puts its URI on disk. */
static bool start_session(upload *u, sl_err *err)
{
    sl_arena *a = u->g.arena;
    sl_val *headers = sl_map(a);
    sl_map_set_str(a, headers, "Content-Type", SL_S("application/json; charset=UTF-8"));
    sl_map_set_str(a, headers, "X-Upload-Content-Length", sl_fmt(a, "%lld", (long long)u->size));
    sl_map_set_str(a, headers, "X-Upload-Content-Type", u->cfg->content_type.n ? u->cfg->content_type : SL_S("application/octet-stream"));
    sl_http_request req = { .method = "POST", .url = upload_url(u, "resumable"), .headers = headers, .body = sl_json(a, metadata(u)), .idempotent = true };
    sl_http_response r;
    sl_gcp_prepare(&u->g, &req);
    if (!SL_FAULT("gcs.upload.before_session", err) || !sl_http_call(sl_task_http(u->g.task), a, &req, &r, err) || !SL_FAULT("gcs.upload.after_session", err))
        return false;
    if (r.status / 100 != 2)
        return sl_gcp_error(&u->g, &r, sl_fmt(a, "starting the upload to %.*s", SL_ARG(target(u))).p, err);
    u->session = sl_http_header(&r, "location");
    if (u->session.n == 0)
        return sl_err_set(err, SL_ERR_REMOTE, "gcs.session", "GCS gave no session address for the upload to %.*s", SL_ARG(target(u)));
    sl_str sealed;
    if (!sl_task_seal(u->g.task, u->session, &sealed, err))
        return false;
    sl_val *doc = file_mark(u);
    sl_map_set_str(a, doc, "session", sealed);
    return sl_task_checkpoint(u->g.task, doc, err);
}

/* What a PUT to the session said: finished (object in *ret), the offset to go on from, or an error. */
static bool session_answer(upload *u, const sl_http_response *r, int64_t *next, const sl_val **ret, sl_err *err)
{
    if (r->status == 200 || r->status == 201) {
        *ret = sl_json_parse(u->g.arena, r->body, err);
        return *ret != NULL || sl_err_ctx(err, "reading the object that GCS made of %.*s", SL_ARG(target(u)));
    }
    if (r->status != 308)
        return sl_gcp_error(&u->g, r, sl_fmt(u->g.arena, "uploading to %.*s", SL_ARG(target(u))).p, err);
    sl_str range = sl_http_header(r, "range");
    ptrdiff_t dash = sl_str_rfind(range, SL_S("-"));
    int64_t last = -1;
    if (range.n > 0 && (dash < 0 || !sl_parse_int(sl_str_sub(range, (size_t)dash + 1, range.n), &last) || last >= u->size))
        return sl_err_set(err, SL_ERR_REMOTE, "gcs.range", "GCS answered with a strange range '%.*s'", SL_ARG(range));
    *next = last + 1;
    return true;
}

static bool put(upload *u, int64_t from, int64_t to, sl_http_response *r, sl_err *err)
{
    sl_arena *a = u->g.arena;
    sl_val *headers = sl_map(a);
    sl_str range = to > from ? sl_fmt(a, "bytes %lld-%lld/%lld", (long long)from, (long long)to - 1, (long long)u->size) : sl_fmt(a, "bytes */%lld", (long long)u->size);
    sl_map_set_str(a, headers, "Content-Range", range);
    sl_http_request req = { .method = "PUT", .url = u->session, .headers = headers, .attempts_max = 1, .idle_ms = 120000, .progress = on_progress, .progress_self = u };
    sl_gcp_prepare(&u->g, &req); /* the address is the credential, but servers other than Google's may want the token as well */
    if (to > from) {
        u->offset = from;
        u->end = to;
        req.open_body = open_piece;
        req.body_self = u;
        req.body_size = to - from;
    }
    return sl_http_call(sl_task_http(u->g.task), a, &req, r, err);
}

/* Is it gone (a week old, or lost by the server)? Then a new one is started; never more than twice. */
static bool session_lost(const sl_http_response *r)
{
    return r->status == 404 || r->status == 410;
}

/* Asks the session where it stands: the only thing that is trusted after a failure. */
static bool ask(upload *u, int64_t *next, const sl_val **done, bool *lost, sl_err *err)
{
    sl_http_response r = { 0 };
    if (!put(u, 0, 0, &r, err))
        return false;
    *lost = session_lost(&r);
    return *lost || session_answer(u, &r, next, done, err);
}

static bool worth_another_round(upload *u, int round, sl_err *err)
{
    if (round >= ROUNDS_MAX || !sl_err_retryable(err) || sl_task_cancelled(u->g.task))
        return false;
    sl_http_request req = { 0 };
    sl_task_prepare(u->g.task, &req);
    int64_t wait = err->retry_after_ms >= 0 ? err->retry_after_ms : sl_http_backoff_ms(round < 6 ? round : 6, 500, 32000);
    sl_task_log(u->g.task, SL_WARN, "%s; asking the session and going on in %lld ms", err->message, (long long)wait);
    return sl_http_sleep(&req, wait);
}

static bool send_pieces(upload *u, int64_t next, bool unsure, const sl_val **done, sl_err *err)
{
    int round = 0, sessions = 1;
    *done = NULL;
    while (*done == NULL) {
        bool lost = false, ok;
        sl_err_clear(err);
        if (unsure)
            ok = ask(u, &next, done, &lost, err);
        else {
            int64_t end = u->size - next > CHUNK ? next + CHUNK : u->size;
            sl_http_response r = { 0 };
            ok = hash_up_to(u, next, err) && SL_FAULT("gcs.upload.before_chunk", err) && put(u, next, end, &r, err) && SL_FAULT("gcs.upload.after_chunk", err);
            lost = ok && session_lost(&r);
            int64_t before = next;
            ok = ok && (lost || session_answer(u, &r, &next, done, err));
            if (ok && next > before)
                round = 0; /* progress: patience starts anew */
        }
        if (lost) {
            if (++sessions > 3)
                return sl_err_set(err, SL_ERR_REMOTE, "gcs.session", "GCS has lost the upload session of %.*s three times", SL_ARG(target(u)));
            next = 0;
            unsure = false;
            if (!start_session(u, err))
                return false;
            continue;
        }
        unsure = !ok;
        if (!ok && !worth_another_round(u, round++, err))
            return false;
    }
    return true;
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
    if (object == NULL || !hash_up_to(u, u->size, err))
        return false;
    if (sl_get_int(object, "size", -1) == u->size && sl_str_eq(sl_get_text(object, "crc32c"), sl_crc32c_base64(u->g.arena, u->crc)))
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
    char *to = sl_buf_room(&b, (size_t)u->size + 64);
    sl_assert(to != NULL);
    u->offset = 0;
    u->end = u->size;
    while (u->offset < u->size)
        if (piece_read(&u->reader, to + u->offset, (size_t)(u->size - u->offset), err) <= 0)
            return err->kind != SL_ERR_NONE ? false : sl_err_set(err, SL_ERR_DATA, "gcs.short", "'%.*s' became shorter while it was read", SL_ARG(u->path));
    b.n += (size_t)u->size;
    sl_buf_fmt(&b, "\r\n--%s--\r\n", boundary);
    sl_val *headers = sl_map(a);
    sl_map_set_str(a, headers, "Content-Type", sl_fmt(a, "multipart/related; boundary=%s", boundary));
    sl_http_request req = { .method = "POST", .url = upload_url(u, "multipart"), .headers = headers, .body = sl_buf_str(&b), .idempotent = true, .idle_ms = 120000 };
    sl_http_response r;
    sl_gcp_prepare(&u->g, &req);
    if (!SL_FAULT("gcs.upload.before_simple", err) || !sl_http_call(sl_task_http(u->g.task), a, &req, &r, err) || !SL_FAULT("gcs.upload.after_simple", err))
        return false;
    if (r.status / 100 != 2)
        return sl_gcp_error(&u->g, &r, sl_fmt(a, "uploading to %.*s", SL_ARG(target(u))).p, err);
    *done = sl_json_parse(a, r.body, err);
    return *done != NULL;
}

static bool check_sums(upload *u, const sl_val *object, sl_err *err)
{
    sl_arena *a = u->g.arena;
    if (!hash_up_to(u, u->size, err))
        return false;
    sl_str crc = sl_crc32c_base64(a, u->crc), theirs = sl_get_text(object, "crc32c"), md5 = u->md5 ? sl_base64(a, sl_hash_end(u->md5, a)) : SL_S("");
    if (u->cfg->crc32c.n > 0 && !sl_str_eq(u->cfg->crc32c, crc))
        return sl_err_set(err, SL_ERR_DATA, "gcs.checksum", "the file's CRC32C is %.*s, expected was %.*s", SL_ARG(crc), SL_ARG(u->cfg->crc32c));
    if (u->cfg->md5.n > 0 && !sl_str_eq(u->cfg->md5, md5))
        return sl_err_set(err, SL_ERR_DATA, "gcs.checksum", "the file's MD5 is %.*s, expected was %.*s", SL_ARG(md5), SL_ARG(u->cfg->md5));
    if (theirs.n > 0 && !sl_str_eq(theirs, crc))
        return sl_err_set(err, SL_ERR_DATA, "gcs.checksum", "%.*s has the CRC32C %.*s, but %.*s was sent; upload it again", SL_ARG(target(u)), SL_ARG(theirs), SL_ARG(crc));
    if (sl_get_int(object, "size", u->size) != u->size)
        return sl_err_set(err, SL_ERR_DATA, "gcs.size", "%.*s has %lld bytes, but %lld were sent", SL_ARG(target(u)), (long long)sl_get_int(object, "size", 0), (long long)u->size);
    return true;
}

static bool transfer(upload *u, const sl_val **object, sl_err *err)
{
    const sl_val *saved = sl_task_saved(u->g.task), *mark = file_mark(u);
    bool same = sl_get_int(saved, "size", -1) == u->size && sl_get_int(saved, "mtimeNs", -1) == sl_get_int(mark, "mtimeNs", 0);
    if (same && sl_get(saved, "session") != NULL) {
        if (!sl_task_unseal(u->g.task, sl_get_text(saved, "session"), &u->session, err))
            return false;
        sl_task_log(u->g.task, SL_INFO, "taking up the upload to %.*s where it stands", SL_ARG(target(u)));
        return send_pieces(u, 0, true, object, err);
    }
    if (u->size > SIMPLE_MAX)
        return start_session(u, err) && send_pieces(u, 0, false, object, err);
    if (same && (!adopt_simple(u, object, err) || *object != NULL))
        return *object != NULL;
    return (same || sl_task_checkpoint(u->g.task, mark, err)) && send_simple(u, object, err);
}

static bool open_file(upload *u, sl_err *err)
{
    struct stat st;
    if (!sl_task_local_file(u->g.task, u->cfg->from, &u->path, err))
        return false;
    u->fd = open(u->path.p, O_RDONLY | O_CLOEXEC);
    if (u->fd < 0 || fstat(u->fd, &st) != 0)
        return sl_err_errno(err, "open", u->path.p);
    (void)posix_fadvise(u->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    u->size = st.st_size;
    u->mtime = st.st_mtim;
    return true;
}

static sl_outcome run(sl_task *t, void *cfg, sl_err *err)
{
    upload u = { .cfg = cfg, .fd = -1, .reader = { piece_read, piece_close } };
    const sl_val *object = NULL;
    sl_arena *a = sl_task_arena(t);
    bool ok = sl_gcp_open(&u.g, t, "gcs", &u.cfg->gcp, err) && sl_gs_parse(a, u.cfg->to, false, &u.to, err) && open_file(&u, err);
    if (ok && u.cfg->md5.n > 0)
        u.md5 = sl_hash_new(a, "MD5");
    ok = ok && transfer(&u, &object, err) && check_sums(&u, object, err);
    if (u.fd >= 0)
        close(u.fd);
    if (!ok)
        return SL_TASK_FAILED;
    sl_task_out_str(t, "uri", target(&u));
    sl_task_out_str(t, "crc32c", sl_crc32c_base64(a, u.crc));
    if (sl_get_text(object, "md5Hash").n > 0)
        sl_task_out_str(t, "md5", sl_get_text(object, "md5Hash"));
    sl_task_counter(t, "file.size", (double)u.size);
    sl_task_log(t, SL_INFO, "%lld bytes are at %.*s", (long long)u.size, SL_ARG(target(&u)));
    return SL_TASK_DONE;
}

/* Killed while an upload was interrupted: the session is cancelled, so that nothing half-done stays behind. */
static void kill_upload(sl_task *t, void *cfg)
{
    upload u = { .cfg = cfg };
    sl_err err;
    sl_str session;
    const sl_val *saved = sl_task_saved(t);
    if (sl_get(saved, "session") == NULL || !sl_gcp_open(&u.g, t, "gcs", &u.cfg->gcp, &err) || !sl_task_unseal(t, sl_get_text(saved, "session"), &session, &err))
        return;
    sl_http_request req = { .method = "DELETE", .url = session, .attempts_max = 2, .total_ms = 10000, .auth = u.g.auth, .pool = u.g.pool };
    sl_http_response r;
    (void)sl_http_call(sl_task_http(t), u.g.arena, &req, &r, &err);
}

const sl_task_type sl_gcs_upload = {
    .type = "io.kestra.plugin.gcp.gcs.Upload", .doc = "Uploads a file to a bucket.", .cfg_size = sizeof(upload_cfg), .opts = opts, .outs = outs, .run = run, .kill = kill_upload,
};
