/*
 * local/upload.c: uploads: media, multipart, resumable; of objects, and of the files of BigQuery's load jobs. Content goes to
 * its file as it arrives; a session and what it has received survive a restart.
 * Source: https://cloud.google.com/storage/docs/performing-resumable-uploads
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "local/cloud_private.h"

enum { MD5_AT_ONCE_MAX = 64 << 20 };

/* A session in memory: the open file and the checksums of what it holds. Rebuilt from the disk after a restart. */
struct gs_upload {
    struct gs_upload *next;
    char id[32];
    sl_arena *arena;
    sl_str bucket, name, meta, blob, path, precondition;
    int64_t total, size;             /* total -1 = not known yet */
    uint32_t crc;
    int fd;
    bool busy;
};

/* What one request streams into. */
typedef struct incoming {
    gs_upload *session;              /* resumable PUT */
    int64_t skip;                    /* bytes that the session has already */
    bool gap, query, final, broken;
    int64_t last_total;
    /* media and multipart: a blob of its own */
    sl_str blob, path;
    int fd;
    int64_t size;
    uint32_t crc;
    sl_hash *md5;
    sl_buf head;                     /* multipart: until the content begins */
    sl_str boundary;
    bool multipart, in_content;
    bool bare;                       /* lines end with LF alone */
    sl_str json;
    sl_buf tail;                     /* multipart: the last bytes, which may be the boundary */
} incoming;

static void session_free(gs_upload *u)
{
    if (u->fd >= 0)
        close(u->fd);
    sl_arena_free(u->arena);
}

void sl_uploads_free(sl_cloud *c)
{
    while (c->uploads != NULL) {
        gs_upload *u = c->uploads;
        c->uploads = u->next;
        session_free(u);
    }
}

static bool rehash(gs_upload *u)
{
    char *block = sl_malloc(1 << 18);
    ssize_t n;
    int64_t at = 0;
    while ((n = pread(u->fd, block, 1 << 18, at)) > 0) {
        u->crc = sl_crc32c(u->crc, block, (size_t)n);
        at += n;
    }
    free(block);
    u->size = at;
    return n == 0;
}

static gs_upload *load_session(sl_cloud *c, sl_str id)
{
    sl_err err;
    sl_arena *a = sl_arena_new();
    gs_upload *u = NULL;
    sl_db_lock(c->db);
    sl_stmt *s = sl_db_query(c->db, &err, "SELECT bucket, name, meta, total, blob, precondition FROM sessions WHERE id=? AND done IS NULL", "s", id);
    if (s != NULL && sl_stmt_next(s, &err) == 1) {
        u = SL_NEW(a, gs_upload);
        (void)snprintf(u->id, sizeof u->id, "%.*s", SL_ARG(id));
        u->arena = a;
        u->bucket = sl_col_str(s, a, 0);
        u->name = sl_col_str(s, a, 1);
        u->meta = sl_col_str(s, a, 2);
        u->total = sl_col_int(s, 3);
        u->blob = sl_col_str(s, a, 4);
        u->precondition = sl_col_str(s, a, 5);
        sl_stmt_done(s);
    }
    sl_db_unlock(c->db);
    if (u == NULL) {
        sl_arena_free(a);
        return NULL;
    }
    u->path = sl_gcs_blob_path(c, a, u->blob);
    u->fd = open(u->path.p, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (u->fd >= 0 && rehash(u))
        return u;
    session_free(u);
    return NULL;
}

/* The session, held by this request; NULL when unknown (or already finished). */
static gs_upload *take_session(sl_cloud *c, sl_str id)
{
    pthread_mutex_lock(&c->lock);
    gs_upload *u = c->uploads;
    while (u != NULL && !sl_str_eqc(id, u->id))
        u = u->next;
    if (u == NULL && (u = load_session(c, id)) != NULL) {
        u->next = c->uploads;
        c->uploads = u;
    }
    /* A client that gave up may leave a request behind that still reads: the new one waits for it. */
    while (u != NULL && u->busy) {
        pthread_mutex_unlock(&c->lock);
        sl_sleep_ms(5);
        pthread_mutex_lock(&c->lock);
    }
    if (u != NULL)
        u->busy = true;
    pthread_mutex_unlock(&c->lock);
    return u;
}

static void drop_session(sl_cloud *c, gs_upload *u)
{
    pthread_mutex_lock(&c->lock);
    for (gs_upload **at = &c->uploads; *at != NULL; at = &(*at)->next)
        if (*at == u) {
            *at = u->next;
            break;
        }
    pthread_mutex_unlock(&c->lock);
    session_free(u);
}

/* ---- Content-Range ---- */

/* bytes a-b/T, bytes a-b/STAR, bytes STAR/T, bytes STAR/STAR */
static bool content_range(sl_str text, int64_t *from, int64_t *to, int64_t *total)
{
    *from = *to = *total = -1;
    if (!sl_str_starts(text, SL_S("bytes ")))
        return false;
    sl_str rest = sl_str_sub(text, 6, text.n), range;
    (void)sl_str_cut(&rest, '/', &range);
    if (rest.p == NULL)
        return false;
    if (!sl_str_eqc(rest, "*") && !sl_parse_int(rest, total))
        return false;
    if (sl_str_eqc(range, "*"))
        return true;
    sl_str first, last = range;
    (void)sl_str_cut(&last, '-', &first);
    return last.p != NULL && sl_parse_int(first, from) && sl_parse_int(last, to) && *from >= 0 && *to >= *from;
}

static void begin_put(sl_cloud *c, sl_server_request *req, incoming *in)
{
    int64_t from, to, total, length = 0;
    sl_str header = sl_request_header(req, "content-range");
    in->session = take_session(c, sl_request_param(req, "upload_id"));
    if (in->session == NULL)
        return;
    gs_upload *u = in->session;
    (void)sl_parse_int(sl_request_header(req, "content-length"), &length);
    in->last_total = -1;
    if (header.n == 0) { /* the whole content in one request */
        in->final = true;
        in->skip = u->size;
        return;
    }
    if (!content_range(header, &from, &to, &total)) {
        in->broken = true;
        return;
    }
    if (from < 0) {
        in->query = true;
        in->final = total >= 0 && total == u->size;
        in->last_total = total;
        return;
    }
    in->gap = from > u->size;
    in->skip = u->size - from;
    in->last_total = total;
    in->final = total >= 0 && to + 1 == total;
}

static void begin_blob(sl_cloud *c, sl_server_request *req, incoming *in)
{
    sl_arena *a = req->arena;
    in->blob = sl_gcs_new_blob(c, a);
    in->path = sl_gcs_blob_path(c, a, in->blob);
    in->fd = open(in->path.p, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    in->md5 = sl_hash_new(a, "MD5");
    in->multipart = sl_str_eqc(sl_request_param(req, "uploadType"), "multipart");
    in->head = sl_buf_new(a, 1 << 20);
    in->tail = sl_buf_new(a, 1 << 10);
    sl_str type = sl_request_header(req, "content-type");
    ptrdiff_t at = sl_str_find(type, SL_S("boundary="));
    if (at >= 0) {
        sl_str b = sl_str_sub(type, (size_t)at + 9, type.n), first;
        (void)sl_str_cut(&b, ';', &first);
        first = sl_str_trim(first);
        if (first.n > 1 && (first.p[0] == '"' || first.p[0] == '\''))
            first = sl_str_sub(first, 1, first.n - 1);
        in->boundary = first;
    }
}

static void *upload_begin(void *self, sl_server_request *req)
{
    sl_cloud *c = self;
    incoming *in = SL_NEW(req->arena, incoming);
    in->fd = -1;
    in->head = sl_buf_new(req->arena, 1 << 20);
    if (strcmp(req->method, "PUT") == 0)
        begin_put(c, req, in);
    else if (!sl_str_eqc(sl_request_param(req, "uploadType"), "resumable"))
        begin_blob(c, req, in);
    return in;
}

static bool add_content(incoming *in, const char *data, size_t n)
{
    sl_err err;
    if (n == 0)
        return true;
    if (!sl_fs_pwrite(in->fd, data, n, in->size, in->path.p, &err))
        return false;
    in->crc = sl_crc32c(in->crc, data, n);
    sl_hash_add(in->md5, data, n);
    in->size += (int64_t)n;
    return true;
}

/* The end of the content is known only when the closing boundary has been seen, so the last bytes are held back. */
static bool add_tail(incoming *in, const char *data, size_t n)
{
    size_t keep = in->boundary.n + 16, out = in->tail.n + n > keep ? in->tail.n + n - keep : 0, old = out < in->tail.n ? out : in->tail.n;
    sl_str tail = sl_buf_str(&in->tail);
    if (!add_content(in, tail.p, old) || !add_content(in, data, out - old))
        return false;
    if (old > 0) {
        memmove(in->tail.p, in->tail.p + old, in->tail.n - old);
        in->tail.n -= old;
    }
    sl_buf_add(&in->tail, (sl_str){ data + (out - old), n - (out - old) });
    return !in->tail.overflow;
}

static bool multipart_data(sl_server_request *req, incoming *in, const char *data, size_t n)
{
    if (in->in_content)
        return add_tail(in, data, n);
    sl_buf_add(&in->head, (sl_str){ data, n });
    sl_str all = sl_buf_str(&in->head), mark = sl_fmt(req->arena, "--%.*s", SL_ARG(in->boundary));
    ptrdiff_t first = sl_str_find(all, mark);
    if (first < 0 || in->boundary.n == 0)
        return true;
    sl_str rest = sl_str_sub(all, (size_t)first + mark.n, all.n);
    in->bare = rest.n > 0 && rest.p[0] == '\n'; /* gsutil ends its lines so */
    sl_str empty = in->bare ? SL_S("\n\n") : SL_S("\r\n\r\n");
    ptrdiff_t blank = sl_str_find(rest, empty);
    if (blank < 0)
        return true;
    sl_str json = sl_str_sub(rest, (size_t)blank + empty.n, rest.n);
    ptrdiff_t second = sl_str_find(json, mark);
    if (second < 0)
        return true;
    sl_str after = sl_str_sub(json, (size_t)second + mark.n, json.n);
    ptrdiff_t body = sl_str_find(after, empty);
    if (body < 0)
        return true;
    in->json = sl_str_trim(sl_str_sub(json, 0, (size_t)second));
    in->in_content = true;
    return add_tail(in, after.p + body + empty.n, after.n - (size_t)body - empty.n);
}

static bool session_data(incoming *in, const char *data, size_t n)
{
    gs_upload *u = in->session;
    sl_err err;
    if (u == NULL || in->gap || in->broken || in->query)
        return true; /* read and thrown away; the answer says why */
    if (in->skip > 0) {
        size_t skip = (int64_t)n < in->skip ? n : (size_t)in->skip;
        in->skip -= (int64_t)skip;
        data += skip;
        n -= skip;
    }
    if (n == 0)
        return true;
    if (!sl_fs_pwrite(u->fd, data, n, u->size, u->path.p, &err))
        return false;
    u->crc = sl_crc32c(u->crc, data, n);
    u->size += (int64_t)n;
    return true;
}

static bool upload_data(void *self, sl_server_request *req, const void *data, size_t n)
{
    (void)self;
    incoming *in = req->stream;
    if (strcmp(req->method, "PUT") == 0)
        return session_data(in, data, n);
    if (in->fd < 0) {
        sl_buf_add(&in->head, (sl_str){ data, n });
        return !in->head.overflow;
    }
    return in->multipart ? multipart_data(req, in, data, n) : add_content(in, data, n);
}

/* ---- answers ---- */

/* /resumable/upload/… is an older way to say it, which gsutil uses. */
static const sl_str *behind_upload(const sl_server_request *req)
{
    return req->segments + (sl_str_eqc(req->segments[0], "resumable") ? 2 : 1);
}

/* /upload/bigquery/v2/projects/P/jobs: the metadata is a job, P takes the place of the bucket, and there is no name. */
static bool for_load(const sl_server_request *req)
{
    return sl_str_eqc(behind_upload(req)[0], "bigquery");
}

static void start_session(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_str bucket)
{
    sl_arena *a = req->arena;
    sl_err err;
    incoming *in = req->stream;
    sl_str body = sl_buf_str(&in->head), name = sl_request_param(req, "name");
    const sl_val *doc = body.n > 0 ? sl_json_parse(a, body, &err) : sl_map(a);
    if (doc == NULL) {
        sl_cloud_refuse(req, resp, 400, "parseError", "Parse Error");
        return;
    }
    if (name.n == 0)
        name = sl_get_text(doc, "name");
    if (for_load(req))
        name = SL_S("");
    else if (name.n == 0) {
        sl_cloud_refuse(req, resp, 400, "required", "Required object name");
        return;
    }
    sl_val *meta = sl_map_shallow(a, doc);
    sl_str type = sl_request_header(req, "x-upload-content-type"), cond = sl_request_param(req, "ifGenerationMatch");
    if (type.n > 0 && sl_get(meta, "contentType") == NULL)
        sl_map_set_str(a, meta, "contentType", type);
    int64_t total = -1;
    (void)sl_parse_int(sl_request_header(req, "x-upload-content-length"), &total);
    char id[23];
    sl_random_id(id);
    sl_db_lock(c->db);
    bool ok = sl_db_run(c->db, &err, "INSERT INTO sessions(id, bucket, name, meta, total, blob, precondition, created_ms) VALUES(?,?,?,?,?,?,?,?)", "ssssissi", sl_str_c(id), bucket, name, sl_json(a, meta), total,
                        sl_gcs_new_blob(c, a), cond.n ? cond : (sl_str){ NULL, 0 }, sl_now_ms());
    sl_db_unlock(c->db);
    if (!ok) {
        sl_cloud_refuse(req, resp, 500, "internalError", "%s", err.message);
        return;
    }
    sl_val *h = sl_map(a);
    sl_str object = for_load(req) ? SL_S("") : sl_fmt(a, "&name=%.*s", SL_ARG(sl_percent(a, name, NULL)));
    sl_map_set_str(a, h, "Location", sl_fmt(a, "%s%.*s?uploadType=resumable%.*s&upload_id=%s", c->url, SL_ARG(req->path), SL_ARG(object), id));
    sl_map_set_str(a, h, "X-GUploader-UploadID", sl_str_c(id));
    resp->status = 200;
    resp->headers = h;
}

static bool finish_multipart(sl_server_request *req, incoming *in, const sl_val **meta)
{
    sl_err err;
    sl_str tail = sl_buf_str(&in->tail), mark = sl_fmt(req->arena, "%s--%.*s", in->bare ? "\n" : "\r\n", SL_ARG(in->boundary));
    ptrdiff_t end = sl_str_rfind(tail, mark);
    *meta = sl_json_parse(req->arena, in->json, &err);
    return end >= 0 && *meta != NULL && add_content(in, tail.p, (size_t)end);
}

static void upload_post(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    sl_arena *a = req->arena;
    incoming *in = req->stream;
    sl_str bucket = behind_upload(req)[3];
    bool allowed = sl_cloud_authorized(c, req, resp), exists = allowed && (for_load(req) || sl_gcs_bucket_exists(c, a, bucket, NULL));
    if (allowed && !exists)
        sl_cloud_refuse(req, resp, 404, "notFound", "The specified bucket does not exist.");
    if (!exists || in->fd < 0) {
        if (exists)
            start_session(c, req, resp, bucket);
        return;
    }
    const sl_val *meta = sl_map(a);
    bool ok = !req->body_failed && (!in->multipart || finish_multipart(req, in, &meta));
    close(in->fd);
    in->fd = -1;
    sl_str name = sl_request_param(req, "name");
    if (name.n == 0)
        name = sl_get_text(meta, "name");
    if (!ok || (name.n == 0 && !for_load(req))) {
        (void)unlink(in->path.p);
        sl_cloud_refuse(req, resp, req->body_failed ? 507 : 400, req->body_failed ? "insufficientStorage" : "badRequest", req->body_failed ? "the disk is full" : "Missing end boundary in multipart body, metadata, or name.");
        return;
    }
    if (!in->multipart) {
        sl_val *plain = sl_map(a);
        sl_map_set_str(a, plain, "contentType", sl_request_header(req, "content-type"));
        meta = plain;
    }
    if (for_load(req))
        sl_bq_load_uploaded(c, req, resp, bucket, meta, in->blob);
    else
        sl_gcs_put(c, req, resp, bucket, name, meta, in->blob, in->size, in->crc, sl_base64(a, sl_hash_end(in->md5, a)), NULL);
}

static void resume_incomplete(sl_server_request *req, sl_server_response *resp, const gs_upload *u)
{
    sl_val *h = sl_map(req->arena);
    if (u->size > 0)
        sl_map_set_str(req->arena, h, "Range", sl_fmt(req->arena, "bytes=0-%lld", (long long)u->size - 1));
    sl_map_set_str(req->arena, h, "X-GUploader-UploadID", sl_str_c(u->id));
    resp->headers = h;
    resp->status = 308;
}

/* The answer of a finished session is kept: who lost it asks again and gets it again. */
static bool finished_before(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_str id)
{
    sl_err err;
    sl_str done = { NULL, 0 };
    sl_db_lock(c->db);
    sl_stmt *s = sl_db_query(c->db, &err, "SELECT done FROM sessions WHERE id=? AND done IS NOT NULL", "s", id);
    if (s != NULL && sl_stmt_next(s, &err) == 1) {
        done = sl_col_str(s, req->arena, 0);
        sl_stmt_done(s);
    }
    sl_db_unlock(c->db);
    if (done.p == NULL)
        return false;
    resp->status = 200;
    resp->content_type = "application/json; charset=UTF-8";
    resp->body = done;
    return true;
}

static void finish_session(sl_cloud *c, sl_server_request *req, sl_server_response *resp, gs_upload *u)
{
    sl_arena *a = req->arena;
    sl_err err;
    const sl_val *meta = sl_json_parse(a, u->meta, &err);
    sl_str hash = sl_request_header(req, "x-goog-hash"), rest = hash, part;
    sl_val *wanted = sl_map_shallow(a, meta);
    while (hash.n > 0 && sl_str_cut(&rest, ',', &part)) {
        part = sl_str_trim(part);
        if (sl_str_starts(part, SL_S("crc32c=")))
            sl_map_set_str(a, wanted, "crc32c", sl_str_sub(part, 7, part.n));
    }
    /* Only a client that says what it is to be, or asks for it, waits for the MD5 of something large. */
    bool wants = u->size <= MD5_AT_ONCE_MAX || sl_get(meta, "md5Hash") != NULL || sl_str_find(sl_request_param(req, "fields"), SL_S("md5Hash")) >= 0;
    sl_str md5 = SL_S("");
    if (for_load(req))
        sl_bq_load_uploaded(c, req, resp, u->bucket, meta, u->blob);
    else if (wants && !sl_gcs_md5(c, a, u->blob, &md5, &err))
        sl_cloud_refuse(req, resp, 500, "internalError", "%s", err.message);
    else
        sl_gcs_put(c, req, resp, u->bucket, u->name, wanted, u->blob, u->size, u->crc, md5, u->precondition.p ? u->precondition.p : NULL);
    sl_db_lock(c->db);
    bool ok = resp->status == 200 ? sl_db_run(c->db, &err, "UPDATE sessions SET done=? WHERE id=?", "ss", resp->body, sl_str_c(u->id)) : sl_db_run(c->db, &err, "DELETE FROM sessions WHERE id=?", "s", sl_str_c(u->id));
    sl_db_unlock(c->db);
    if (!ok)
        sl_cloud_refuse(req, resp, 500, "internalError", "%s", err.message);
    drop_session(c, u);
}

static void upload_put(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    incoming *in = req->stream;
    gs_upload *u = in->session;
    if (u == NULL) {
        if (!finished_before(c, req, resp, sl_request_param(req, "upload_id")))
            sl_cloud_refuse(req, resp, 404, "notFound", "No such upload session");
        return;
    }
    if (in->last_total >= 0 && u->total < 0)
        u->total = in->last_total;
    bool complete = in->final && !in->gap && !in->broken && !req->body_failed && (in->last_total < 0 || u->size == in->last_total);
    if (complete) {
        in->session = NULL;
        finish_session(c, req, resp, u);
        return;
    }
    if (in->broken || in->gap)
        sl_cloud_refuse(req, resp, in->gap ? 503 : 400, in->gap ? "backendError" : "badRequest", in->gap ? "Invalid request. The sent range leaves a gap behind the %lld bytes that are stored." : "Invalid Content-Range", (long long)u->size);
    else if (req->body_failed)
        sl_cloud_refuse(req, resp, 507, "insufficientStorage", "the disk is full");
    else
        resume_incomplete(req, resp, u);
}

/* A request that was cut off gives its session back, so that the next one can go on with it. */
static void upload_end(void *self, sl_server_request *req)
{
    sl_cloud *c = self;
    incoming *in = req->stream;
    if (in == NULL)
        return;
    if (in->session != NULL) {
        pthread_mutex_lock(&c->lock);
        in->session->busy = false;
        pthread_mutex_unlock(&c->lock);
    }
    if (in->fd >= 0) {
        close(in->fd);
        (void)unlink(in->path.p);
    }
}

static void upload_delete(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    sl_err err;
    gs_upload *u = take_session(c, sl_request_param(req, "upload_id"));
    if (u == NULL) {
        sl_cloud_refuse(req, resp, 404, "notFound", "No such upload session");
        return;
    }
    (void)unlink(u->path.p);
    sl_db_lock(c->db);
    (void)sl_db_run(c->db, &err, "DELETE FROM sessions WHERE id=?", "s", sl_str_c(u->id));
    sl_db_unlock(c->db);
    drop_session(c, u);
    resp->status = 499;
}

#define STREAMED .on_begin = upload_begin, .on_data = upload_data, .on_end = upload_end
#define SESSIONS(path)                                                                         \
    { .method = "POST", .pattern = path, .handle = upload_post, STREAMED },                    \
        { .method = "PUT", .pattern = path, .handle = upload_put, STREAMED }, { .method = "DELETE", .pattern = path, .handle = upload_delete }

const sl_route sl_upload_routes[] = {
    SESSIONS("/upload/storage/v1/b/+/o"),
    SESSIONS("/resumable/upload/storage/v1/b/+/o"),
    SESSIONS("/upload/bigquery/v2/projects/+/jobs"),
    { 0 },
};
