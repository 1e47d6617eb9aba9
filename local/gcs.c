/*
 * local/gcs.c: the face of Cloud Storage: buckets, objects, listing, download, copy, compose. Uploads are upload.c.
 * Source: https://cloud.google.com/storage/docs/json_api/v1. Metadata is in SQLite, content in one file per generation.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "local/cloud_private.h"

const sl_migration sl_gcs_migrations[] = {
    { 1, "CREATE TABLE buckets(name TEXT PRIMARY KEY, project TEXT NOT NULL, meta TEXT NOT NULL, location TEXT NOT NULL, created_ms INTEGER NOT NULL, metageneration INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
         "CREATE TABLE objects(bucket TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL, metageneration INTEGER NOT NULL, blob TEXT NOT NULL, size INTEGER NOT NULL, crc32c TEXT NOT NULL,"
         " md5 TEXT, meta TEXT NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, PRIMARY KEY(bucket, name)) STRICT, WITHOUT ROWID;"
         "CREATE TABLE sessions(id TEXT PRIMARY KEY, bucket TEXT NOT NULL, name TEXT NOT NULL, meta TEXT NOT NULL, total INTEGER NOT NULL, blob TEXT NOT NULL, precondition TEXT, done TEXT,"
         " created_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
         "CREATE TABLE tokens(hash TEXT PRIMARY KEY, expires_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
         "CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID" },
    { 2, "CREATE TABLE s3_buckets(name TEXT PRIMARY KEY, region TEXT NOT NULL, created_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
         "CREATE TABLE s3_objects(bucket TEXT NOT NULL, key TEXT NOT NULL, blob TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL, algorithm TEXT NOT NULL, checksum TEXT NOT NULL, headers TEXT NOT NULL,"
         " modified_ms INTEGER NOT NULL, PRIMARY KEY(bucket, key)) STRICT, WITHOUT ROWID;"
         "CREATE TABLE s3_uploads(id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, headers TEXT NOT NULL, algorithm TEXT NOT NULL, created_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
         "CREATE TABLE s3_parts(upload TEXT NOT NULL, number INTEGER NOT NULL, blob TEXT NOT NULL, size INTEGER NOT NULL, md5 TEXT NOT NULL, checksum TEXT NOT NULL, modified_ms INTEGER NOT NULL,"
         " PRIMARY KEY(upload, number)) STRICT, WITHOUT ROWID;"
         "CREATE TABLE aws_sessions(id TEXT PRIMARY KEY, secret TEXT NOT NULL, token TEXT NOT NULL, role TEXT NOT NULL, expires_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID" },
    { 3, "CREATE TABLE ddb_tables(name TEXT PRIMARY KEY, definition TEXT NOT NULL) STRICT, WITHOUT ROWID;"
         "CREATE TABLE ddb_items(tab TEXT NOT NULL, pk TEXT NOT NULL, sk TEXT NOT NULL, ord REAL NOT NULL, item TEXT NOT NULL, PRIMARY KEY(tab, pk, sk)) STRICT, WITHOUT ROWID;"
         "CREATE INDEX ddb_order ON ddb_items(tab, pk, ord, sk)" },
    { 4, "ALTER TABLE s3_buckets ADD COLUMN versioning TEXT NOT NULL DEFAULT '';" /* '', Enabled, Suspended */
         "ALTER TABLE s3_objects ADD COLUMN version TEXT NOT NULL DEFAULT 'null';"
         "CREATE TABLE s3_versions(seq INTEGER PRIMARY KEY AUTOINCREMENT, bucket TEXT NOT NULL, key TEXT NOT NULL, version TEXT NOT NULL, marker INTEGER NOT NULL, blob TEXT NOT NULL, size INTEGER NOT NULL,"
         " etag TEXT NOT NULL, algorithm TEXT NOT NULL, checksum TEXT NOT NULL, headers TEXT NOT NULL, modified_ms INTEGER NOT NULL) STRICT;"
         "CREATE UNIQUE INDEX s3_versions_id ON s3_versions(bucket, key, version)" },
    { 0, NULL },
};

sl_str sl_cloud_now(sl_arena *a)
{
    return sl_time_rfc3339(a, sl_now_ms());
}

void sl_cloud_refuse(sl_server_request *req, sl_server_response *resp, int status, const char *reason, const char *fmt, ...)
{
    sl_arena *a = req->arena;
    va_list ap;
    va_start(ap, fmt);
    sl_str message = sl_vfmt(a, fmt, ap);
    va_end(ap);
    sl_val *doc = sl_map(a), *e = sl_map(a), *one = sl_map(a), *list = sl_list(a);
    sl_map_set_str(a, one, "domain", SL_S("global"));
    sl_map_set_str(a, one, "reason", sl_str_c(reason));
    sl_map_set_str(a, one, "message", message);
    sl_list_add(a, list, one);
    sl_map_set_int(a, e, "code", status);
    sl_map_set_str(a, e, "message", message);
    sl_map_setc(a, e, "errors", list);
    static const struct {
        int status;
        const char *text;
    } names[] = { { 400, "INVALID_ARGUMENT" }, { 401, "UNAUTHENTICATED" }, { 403, "PERMISSION_DENIED" }, { 404, "NOT_FOUND" }, { 409, "ALREADY_EXISTS" }, { 412, "FAILED_PRECONDITION" } };
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (names[i].status == status)
            sl_map_set_str(a, e, "status", sl_str_c(names[i].text));
    sl_map_setc(a, doc, "error", e);
    sl_respond_json(req, resp, status, doc);
}

static void broken(sl_server_request *req, sl_server_response *resp, const sl_err *err)
{
    sl_cloud_refuse(req, resp, 500, "internalError", "%s", err->message);
}

/* ---- buckets ---- */

bool sl_gcs_bucket_exists(sl_cloud *c, sl_arena *a, sl_str bucket, sl_str *ret_location)
{
    sl_err err;
    sl_db_lock(c->db);
    sl_stmt *s = sl_db_query(c->db, &err, "SELECT location FROM buckets WHERE name=?", "s", bucket);
    bool found = s != NULL && sl_stmt_next(s, &err) == 1;
    if (found) {
        if (ret_location != NULL)
            *ret_location = sl_col_str(s, a, 0);
        sl_stmt_done(s);
    }
    sl_db_unlock(c->db);
    return found;
}

static const sl_val *bucket_resource(sl_cloud *c, sl_arena *a, sl_str name, sl_str meta, sl_str location, int64_t created_ms, int64_t metageneration)
{
    sl_err err;
    sl_val *v = sl_map_shallow(a, sl_json_parse(a, meta, &err));
    sl_map_set_str(a, v, "kind", SL_S("storage#bucket"));
    sl_map_set_str(a, v, "id", name);
    sl_map_set_str(a, v, "name", name);
    sl_map_set_str(a, v, "selfLink", sl_fmt(a, "%s/storage/v1/b/%.*s", c->url, SL_ARG(name)));
    sl_map_set_str(a, v, "projectNumber", SL_S("100000000000"));
    sl_map_set_str(a, v, "location", location);
    sl_map_set_str(a, v, "locationType", sl_str_eqc(location, "US") || sl_str_eqc(location, "EU") ? SL_S("multi-region") : SL_S("region"));
    if (sl_get(v, "storageClass") == NULL)
        sl_map_set_str(a, v, "storageClass", SL_S("STANDARD"));
    sl_map_set_str(a, v, "metageneration", sl_fmt(a, "%lld", (long long)metageneration));
    sl_map_set_str(a, v, "timeCreated", sl_time_rfc3339(a, created_ms));
    sl_map_set_str(a, v, "updated", sl_time_rfc3339(a, created_ms));
    sl_map_set_str(a, v, "etag", sl_fmt(a, "CA%lld=", (long long)metageneration));
    return v;
}

static const sl_val *find_bucket(sl_cloud *c, sl_arena *a, sl_str name)
{
    sl_err err;
    const sl_val *v = NULL;
    sl_db_lock(c->db);
    sl_stmt *s = sl_db_query(c->db, &err, "SELECT meta, location, created_ms, metageneration FROM buckets WHERE name=?", "s", name);
    if (s != NULL && sl_stmt_next(s, &err) == 1) {
        v = bucket_resource(c, a, name, sl_col_str(s, a, 0), sl_col_str(s, a, 1), sl_col_int(s, 2), sl_col_int(s, 3));
        sl_stmt_done(s);
    }
    sl_db_unlock(c->db);
    return v;
}

static bool bucket_name_ok(sl_str s)
{
    bool ok = s.n >= 3 && s.n <= 222 && !sl_str_starts(s, SL_S("goog"));
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i];
        bool alnum = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9');
        ok &= alnum || (i > 0 && i + 1 < s.n && (ch == '-' || ch == '_' || ch == '.'));
    }
    return ok;
}

static void missing_bucket(sl_server_request *req, sl_server_response *resp)
{
    sl_cloud_refuse(req, resp, 404, "notFound", "The specified bucket does not exist.");
}

static void bucket_get(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    if (!sl_cloud_authorized(c, req, resp))
        return;
    const sl_val *v = find_bucket(c, req->arena, req->segments[3]);
    if (v == NULL)
        missing_bucket(req, resp);
    else
        sl_respond_json(req, resp, 200, v);
}

static void bucket_insert(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    sl_err err;
    sl_arena *a = req->arena;
    if (!sl_cloud_authorized(c, req, resp))
        return;
    const sl_val *body = sl_json_parse(a, req->body, &err);
    sl_str name = sl_get_text(body, "name"), location = sl_str_upper(a, sl_get_text(body, "location"));
    if (!bucket_name_ok(name)) {
        sl_cloud_refuse(req, resp, 400, "invalid", "Invalid bucket name: '%.*s'", SL_ARG(name));
        return;
    }
    if (find_bucket(c, a, name) != NULL) {
        sl_cloud_refuse(req, resp, 409, "conflict", "Your previous request to create the named bucket succeeded and you already own it.");
        return;
    }
    sl_db_lock(c->db);
    bool ok = sl_db_run(c->db, &err, "INSERT INTO buckets(name, project, meta, location, created_ms, metageneration) VALUES(?,?,?,?,?,1)", "ssssi", name, sl_request_param(req, "project"), sl_json(a, body),
                        location.n ? location : SL_S("US"), sl_now_ms());
    sl_db_unlock(c->db);
    if (!ok)
        broken(req, resp, &err);
    else
        sl_respond_json(req, resp, 200, find_bucket(c, a, name));
}

static void bucket_patch(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    sl_err err;
    sl_arena *a = req->arena;
    if (!sl_cloud_authorized(c, req, resp))
        return;
    const sl_val *old = find_bucket(c, a, req->segments[3]), *body = sl_json_parse(a, req->body, &err);
    if (old == NULL || body == NULL) {
        if (old == NULL)
            missing_bucket(req, resp);
        else
            sl_cloud_refuse(req, resp, 400, "parseError", "Parse Error");
        return;
    }
    sl_val *merged = sl_map_shallow(a, old);
    for (size_t i = 0; i < sl_val_count(body); i++)
        if (!sl_str_eqc(body->map.entries[i].key, "location"))
            sl_map_set(a, merged, body->map.entries[i].key, body->map.entries[i].value);
    sl_db_lock(c->db);
    bool ok = sl_db_run(c->db, &err, "UPDATE buckets SET meta=?, metageneration=metageneration+1 WHERE name=?", "ss", sl_json(a, merged), req->segments[3]);
    sl_db_unlock(c->db);
    if (!ok)
        broken(req, resp, &err);
    else
        sl_respond_json(req, resp, 200, find_bucket(c, a, req->segments[3]));
}

static void bucket_delete(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    sl_err err;
    if (!sl_cloud_authorized(c, req, resp))
        return;
    if (find_bucket(c, req->arena, req->segments[3]) == NULL) {
        missing_bucket(req, resp);
        return;
    }
    sl_db_lock(c->db);
    bool ok = sl_db_run(c->db, &err, "DELETE FROM buckets WHERE name=?1 AND NOT EXISTS (SELECT 1 FROM objects WHERE bucket=?1)", "s", req->segments[3]);
    int64_t changed = sl_db_changes(c->db);
    sl_db_unlock(c->db);
    if (!ok)
        broken(req, resp, &err);
    else if (changed == 0)
        sl_cloud_refuse(req, resp, 409, "conflict", "The bucket you tried to delete is not empty.");
    else
        resp->status = 204;
}

static void bucket_list(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    sl_err err;
    sl_arena *a = req->arena;
    if (!sl_cloud_authorized(c, req, resp))
        return;
    sl_val *doc = sl_map(a), *items = sl_list(a);
    sl_db_lock(c->db);
    sl_stmt *s = sl_db_query(c->db, &err, "SELECT name, meta, location, created_ms, metageneration FROM buckets ORDER BY name", "");
    while (s != NULL && sl_stmt_next(s, &err) == 1)
        sl_list_add(a, items, bucket_resource(c, a, sl_col_str(s, a, 0), sl_col_str(s, a, 1), sl_col_str(s, a, 2), sl_col_int(s, 3), sl_col_int(s, 4)));
    sl_db_unlock(c->db);
    sl_map_set_str(a, doc, "kind", SL_S("storage#buckets"));
    sl_map_setc(a, doc, "items", items);
    sl_respond_json(req, resp, 200, doc);
}

/* IAM policies are kept as they are written, with an etag that must be the current one. */
static void iam(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    sl_err err;
    sl_arena *a = req->arena;
    if (!sl_cloud_authorized(c, req, resp))
        return;
    const sl_val *bucket = find_bucket(c, a, req->segments[3]);
    if (bucket == NULL) {
        missing_bucket(req, resp);
        return;
    }
    const sl_val *policy = sl_get(bucket, "x-iam");
    int64_t etag = sl_get_int(policy, "x-number", 0);
    if (strcmp(req->method, "PUT") == 0) {
        const sl_val *body = sl_json_parse(a, req->body, &err);
        sl_str given = sl_get_text(body, "etag");
        if (given.n > 0 && !sl_str_eq(given, sl_fmt(a, "CAE%lld=", (long long)etag))) {
            sl_cloud_refuse(req, resp, 412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.");
            return;
        }
        sl_val *stored = sl_map_shallow(a, body), *merged = sl_map_shallow(a, bucket);
        sl_map_set_int(a, stored, "x-number", ++etag);
        sl_map_setc(a, merged, "x-iam", stored);
        policy = stored;
        sl_db_lock(c->db);
        bool ok = sl_db_run(c->db, &err, "UPDATE buckets SET meta=? WHERE name=?", "ss", sl_json(a, merged), req->segments[3]);
        sl_db_unlock(c->db);
        if (!ok) {
            broken(req, resp, &err);
            return;
        }
    }
    sl_val *out = sl_map(a);
    sl_map_set_str(a, out, "kind", SL_S("storage#policy"));
    sl_map_set_str(a, out, "etag", sl_fmt(a, "CAE%lld=", (long long)etag));
    sl_map_set_int(a, out, "version", 1);
    sl_map_setc(a, out, "bindings", sl_get(policy, "bindings") ? sl_get(policy, "bindings") : sl_list(a));
    sl_respond_json(req, resp, 200, out);
}

/* ---- objects ---- */

static void read_object(sl_stmt *s, sl_arena *a, sl_gcs_object *o)
{
    *o = (sl_gcs_object){ .bucket = sl_col_str(s, a, 0), .name = sl_col_str(s, a, 1), .generation = sl_col_int(s, 2), .metageneration = sl_col_int(s, 3), .blob = sl_col_str(s, a, 4), .size = sl_col_int(s, 5),
                          .crc32c = sl_col_str(s, a, 6), .md5 = sl_col_str(s, a, 7), .meta = sl_col_str(s, a, 8), .created_ms = sl_col_int(s, 9), .updated_ms = sl_col_int(s, 10) };
}

#define OBJECT "bucket, name, generation, metageneration, blob, size, crc32c, md5, meta, created_ms, updated_ms"

bool sl_gcs_find(sl_cloud *c, sl_arena *a, sl_str bucket, sl_str name, int64_t generation, sl_gcs_object *ret)
{
    sl_err err;
    sl_db_lock(c->db);
    sl_stmt *s = sl_db_query(c->db, &err, "SELECT " OBJECT " FROM objects WHERE bucket=?1 AND name=?2 AND (?3=0 OR generation=?3)", "ssi", bucket, name, generation);
    bool found = s != NULL && sl_stmt_next(s, &err) == 1;
    if (found) {
        read_object(s, a, ret);
        sl_stmt_done(s);
    }
    sl_db_unlock(c->db);
    return found;
}

sl_str sl_gcs_new_blob(sl_cloud *c, sl_arena *a)
{
    (void)c;
    char id[23];
    sl_random_id(id);
    return sl_fmt(a, "%s", id);
}

sl_str sl_gcs_blob_path(sl_cloud *c, sl_arena *a, sl_str blob)
{
    return sl_fmt(a, "%s/%.*s", c->blobs, SL_ARG(blob));
}

const sl_val *sl_gcs_resource(sl_cloud *c, sl_arena *a, const sl_gcs_object *o)
{
    sl_err err;
    static const char *const kept[] = { "contentType", "contentEncoding", "contentDisposition", "contentLanguage", "cacheControl", "metadata", "customTime", "componentCount", "storageClass" };
    const sl_val *meta = sl_json_parse(a, o->meta, &err);
    sl_val *v = sl_map(a);
    sl_str link = sl_fmt(a, "%s/storage/v1/b/%.*s/o/%.*s", c->url, SL_ARG(o->bucket), SL_ARG(sl_percent(a, o->name, NULL)));
    sl_map_set_str(a, v, "kind", SL_S("storage#object"));
    sl_map_set_str(a, v, "id", sl_fmt(a, "%.*s/%.*s/%lld", SL_ARG(o->bucket), SL_ARG(o->name), (long long)o->generation));
    sl_map_set_str(a, v, "selfLink", link);
    sl_map_set_str(a, v, "mediaLink", sl_fmt(a, "%s/download/storage/v1/b/%.*s/o/%.*s?generation=%lld&alt=media", c->url, SL_ARG(o->bucket), SL_ARG(sl_percent(a, o->name, NULL)), (long long)o->generation));
    sl_map_set_str(a, v, "name", o->name);
    sl_map_set_str(a, v, "bucket", o->bucket);
    sl_map_set_str(a, v, "generation", sl_fmt(a, "%lld", (long long)o->generation));
    sl_map_set_str(a, v, "metageneration", sl_fmt(a, "%lld", (long long)o->metageneration));
    sl_map_set_str(a, v, "storageClass", SL_S("STANDARD"));
    sl_map_set_str(a, v, "size", sl_fmt(a, "%lld", (long long)o->size));
    sl_map_set_str(a, v, "crc32c", o->crc32c);
    if (o->md5.p != NULL && o->md5.n > 0)
        sl_map_set_str(a, v, "md5Hash", o->md5);
    sl_map_set_str(a, v, "etag", sl_fmt(a, "C%lld/%lld=", (long long)o->generation, (long long)o->metageneration));
    sl_map_set_str(a, v, "timeCreated", sl_time_rfc3339(a, o->created_ms));
    sl_map_set_str(a, v, "updated", sl_time_rfc3339(a, o->updated_ms));
    for (size_t i = 0; i < SL_COUNT(kept); i++)
        if (sl_get(meta, kept[i]) != NULL)
            sl_map_setc(a, v, kept[i], sl_get(meta, kept[i]));
    return v;
}

/* Preconditions of a request against what is there (NULL: nothing). false = 412 (or 304) is set. */
static bool conditions_hold(sl_server_request *req, sl_server_response *resp, const sl_gcs_object *o)
{
    static const char *const names[] = { "ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch" };
    for (size_t i = 0; i < SL_COUNT(names); i++) {
        sl_str text = sl_request_param(req, names[i]);
        int64_t wanted, have = o ? (i < 2 ? o->generation : o->metageneration) : 0;
        if (text.n == 0 || !sl_parse_int(text, &wanted))
            continue;
        if ((wanted == have) == (i % 2 == 0))
            continue;
        sl_cloud_refuse(req, resp, 412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.");
        return false;
    }
    return true;
}

static int64_t next_generation(sl_cloud *c, sl_err *err)
{
    int64_t now = sl_now_us(), value = now;
    sl_stmt *s = sl_db_query(c->db, err, "INSERT INTO counters(name, value) VALUES('generation', ?1) ON CONFLICT(name) DO UPDATE SET value=max(value+1, ?1) RETURNING value", "i", now);
    if (s != NULL && sl_stmt_next(s, err) == 1) {
        value = sl_col_int(s, 0);
        sl_stmt_done(s);
    }
    return value;
}

void sl_gcs_put(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_str bucket, sl_str name, const sl_val *meta, sl_str blob, int64_t size, uint32_t crc, sl_str md5, const char *if_generation)
{
    sl_arena *a = req->arena;
    sl_err err;
    sl_gcs_object old = { 0 };
    sl_str crc_text = sl_crc32c_base64(a, crc), wanted = sl_get_text(meta, "crc32c"), wanted_md5 = sl_get_text(meta, "md5Hash");
    if ((wanted.n > 0 && !sl_str_eq(wanted, crc_text)) || (wanted_md5.n > 0 && md5.n > 0 && !sl_str_eq(wanted_md5, md5))) {
        (void)unlink(sl_gcs_blob_path(c, a, blob).p);
        sl_cloud_refuse(req, resp, 400, "invalid", "Provided CRC32C \"%.*s\" doesn't match calculated CRC32C \"%.*s\".", SL_ARG(wanted), SL_ARG(crc_text));
        return;
    }
    bool exists = sl_gcs_find(c, a, bucket, name, 0, &old);
    if (if_generation != NULL) {
        sl_val *params = sl_map_shallow(a, req->params);
        sl_map_set_str(a, params, "ifGenerationMatch", sl_str_c(if_generation));
        req->params = params;
    }
    if (!conditions_hold(req, resp, exists ? &old : NULL)) {
        (void)unlink(sl_gcs_blob_path(c, a, blob).p);
        return;
    }
    int64_t now = sl_now_ms();
    sl_db_lock(c->db);
    bool ok = sl_db_begin(c->db, &err)
              && sl_db_run(c->db, &err,
                           "INSERT INTO objects(" OBJECT ") VALUES(?,?,?,1,?,?,?,?,?,?,?) ON CONFLICT(bucket, name) DO UPDATE SET generation=excluded.generation, metageneration=1, blob=excluded.blob,"
                           " size=excluded.size, crc32c=excluded.crc32c, md5=excluded.md5, meta=excluded.meta, created_ms=excluded.created_ms, updated_ms=excluded.updated_ms",
                           "ssisisssii", bucket, name, next_generation(c, &err), blob, size, crc_text, md5, sl_json(a, meta ? meta : sl_map(a)), now, now)
              && sl_db_commit(c->db, &err);
    if (!ok)
        sl_db_rollback(c->db);
    sl_db_unlock(c->db);
    sl_gcs_object fresh;
    if (!ok || !sl_gcs_find(c, a, bucket, name, 0, &fresh)) {
        broken(req, resp, &err);
        return;
    }
    if (exists)
        (void)unlink(sl_gcs_blob_path(c, a, old.blob).p);
    sl_respond_json(req, resp, 200, sl_gcs_resource(c, a, &fresh));
}

static bool find_or_404(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_gcs_object *o)
{
    int64_t generation = 0;
    (void)sl_parse_int(sl_request_param(req, "generation"), &generation);
    (void)sl_parse_int(sl_request_param(req, "sourceGeneration"), &generation); /* of a copy */
    if (!sl_cloud_authorized(c, req, resp))
        return false;
    size_t base = sl_str_eqc(req->segments[0], "download") ? 4 : 3;
    sl_str bucket = req->segments[base], name = req->segments[base + 2];
    if (!sl_gcs_bucket_exists(c, req->arena, bucket, NULL)) {
        missing_bucket(req, resp);
        return false;
    }
    if (!sl_gcs_find(c, req->arena, bucket, name, generation, o)) {
        sl_cloud_refuse(req, resp, 404, "notFound", "No such object: %.*s/%.*s", SL_ARG(bucket), SL_ARG(name));
        return false;
    }
    return conditions_hold(req, resp, o);
}

/* bytes=a-b, bytes=a-, bytes=-n */
static bool parse_range(sl_str text, int64_t size, int64_t *from, int64_t *count)
{
    sl_str rest = text, first;
    int64_t a = 0, b = size - 1;
    if (!sl_str_starts(text, SL_S("bytes=")))
        return false;
    rest = sl_str_sub(text, 6, text.n);
    (void)sl_str_cut(&rest, '-', &first);
    if (rest.p == NULL)
        return false;
    if (first.n == 0) {
        if (!sl_parse_int(rest, &a))
            return false;
        a = size - a < 0 ? 0 : size - a;
    } else if (!sl_parse_int(first, &a) || (rest.n > 0 && !sl_parse_int(rest, &b)))
        return false;
    if (b >= size)
        b = size - 1;
    *from = a;
    *count = b - a + 1;
    return true;
}

static void download(sl_cloud *c, sl_server_request *req, sl_server_response *resp, const sl_gcs_object *o)
{
    sl_arena *a = req->arena;
    sl_err err;
    int64_t from = 0, count = o->size;
    sl_val *h = sl_map(a), *hashes = sl_list(a);
    sl_str range = sl_request_header(req, "range");
    bool partial = range.n > 0 && parse_range(range, o->size, &from, &count);
    if (partial && (from >= o->size || count <= 0)) {
        sl_cloud_refuse(req, resp, 416, "requestedRangeNotSatisfiable", "The requested range cannot be satisfied.");
        return;
    }
    sl_list_add(a, hashes, sl_val_str(a, sl_fmt(a, "crc32c=%.*s", SL_ARG(o->crc32c))));
    if (o->md5.n > 0)
        sl_list_add(a, hashes, sl_val_str(a, sl_fmt(a, "md5=%.*s", SL_ARG(o->md5))));
    sl_map_setc(a, h, "X-Goog-Hash", hashes);
    sl_map_set_str(a, h, "X-Goog-Generation", sl_fmt(a, "%lld", (long long)o->generation));
    sl_map_set_str(a, h, "X-Goog-Metageneration", sl_fmt(a, "%lld", (long long)o->metageneration));
    sl_map_set_str(a, h, "X-Goog-Stored-Content-Length", sl_fmt(a, "%lld", (long long)o->size));
    sl_map_set_str(a, h, "X-Goog-Stored-Content-Encoding", SL_S("identity"));
    sl_map_set_str(a, h, "Accept-Ranges", SL_S("bytes"));
    if (partial)
        sl_map_set_str(a, h, "Content-Range", sl_fmt(a, "bytes %lld-%lld/%lld", (long long)from, (long long)(from + count - 1), (long long)o->size));
    sl_str type = sl_get_text(sl_json_parse(a, o->meta, &err), "contentType");
    resp->status = partial ? 206 : 200;
    resp->headers = h;
    resp->content_type = type.n ? sl_cstr(a, type) : "application/octet-stream";
    if (count == 0)
        return;
    resp->file_fd = open(sl_gcs_blob_path(c, a, o->blob).p, O_RDONLY | O_CLOEXEC);
    resp->file_offset = from;
    resp->file_size = count;
    if (resp->file_fd < 0) {
        resp->file_fd = 0;
        sl_cloud_refuse(req, resp, 500, "internalError", "the object's content is missing from the disk");
    }
}

bool sl_gcs_md5(sl_cloud *c, sl_arena *a, sl_str blob, sl_str *ret, sl_err *err)
{
    SL_READER r = sl_reader_file(sl_gcs_blob_path(c, a, blob).p, err);
    if (r == NULL)
        return false;
    sl_hash *md5 = sl_hash_new(a, "MD5");
    char *block = sl_malloc(1 << 18);
    ptrdiff_t n;
    while ((n = r->read(r, block, 1 << 18, err)) > 0)
        sl_hash_add(md5, block, (size_t)n);
    free(block);
    *ret = sl_base64(a, sl_hash_end(md5, a));
    return n == 0;
}

/*
 * MD5 is slower than everything else that happens to a large object, so it is computed when it is asked for first.
 * An object that was composed has none.
 */
static bool complete_md5(sl_cloud *c, sl_arena *a, sl_gcs_object *o, sl_err *err)
{
    if (o->md5.p == NULL || o->md5.n > 0)
        return true;
    if (!sl_gcs_md5(c, a, o->blob, &o->md5, err))
        return false;
    sl_db_lock(c->db);
    bool ok = sl_db_run(c->db, err, "UPDATE objects SET md5=? WHERE bucket=? AND name=? AND generation=?", "sssi", o->md5, o->bucket, o->name, o->generation);
    sl_db_unlock(c->db);
    return ok;
}

static void object_get(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    sl_gcs_object o;
    sl_err err;
    if (!find_or_404(c, req, resp, &o))
        return;
    if (sl_str_eqc(sl_request_param(req, "alt"), "media"))
        download(c, req, resp, &o);
    else if (!complete_md5(c, req->arena, &o, &err))
        broken(req, resp, &err);
    else
        sl_respond_json(req, resp, 200, sl_gcs_resource(c, req->arena, &o));
}

static void object_delete(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    sl_gcs_object o;
    sl_err err;
    if (!find_or_404(c, req, resp, &o))
        return;
    sl_db_lock(c->db);
    bool ok = sl_db_run(c->db, &err, "DELETE FROM objects WHERE bucket=? AND name=? AND generation=?", "ssi", o.bucket, o.name, o.generation);
    sl_db_unlock(c->db);
    if (!ok) {
        broken(req, resp, &err);
        return;
    }
    (void)unlink(sl_gcs_blob_path(c, req->arena, o.blob).p);
    resp->status = 204;
}

static void object_patch(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    sl_gcs_object o;
    sl_err err;
    sl_arena *a = req->arena;
    if (!find_or_404(c, req, resp, &o))
        return;
    const sl_val *body = sl_json_parse(a, req->body, &err);
    sl_val *meta = sl_map_shallow(a, sl_json_parse(a, o.meta, &err));
    for (size_t i = 0; i < sl_val_count(body); i++)
        sl_map_set(a, meta, body->map.entries[i].key, body->map.entries[i].value);
    sl_db_lock(c->db);
    bool ok = sl_db_run(c->db, &err, "UPDATE objects SET meta=?, metageneration=metageneration+1, updated_ms=? WHERE bucket=? AND name=?", "siss", sl_json(a, meta), sl_now_ms(), o.bucket, o.name);
    sl_db_unlock(c->db);
    if (!ok || !sl_gcs_find(c, a, o.bucket, o.name, 0, &o))
        broken(req, resp, &err);
    else
        sl_respond_json(req, resp, 200, sl_gcs_resource(c, a, &o));
}

/* ---- listing ---- */

typedef struct lister {
    sl_cloud *c;
    sl_arena *a;
    sl_str prefix, delimiter;
    sl_val *items, *prefixes;
    size_t most;
    sl_str last;
} lister;

static bool offer(lister *l, const sl_gcs_object *o)
{
    sl_str rest = sl_str_sub(o->name, l->prefix.n, o->name.n);
    ptrdiff_t hit = l->delimiter.n ? sl_str_find(rest, l->delimiter) : -1;
    if (hit >= 0) {
        sl_str prefix = sl_str_sub(o->name, 0, l->prefix.n + (size_t)hit + l->delimiter.n);
        const sl_val *previous = sl_at(l->prefixes, l->prefixes->list.n - 1);
        if (previous != NULL && sl_str_eq(previous->s, prefix)) {
            l->last = o->name;
            return true;
        }
        if (l->items->list.n + l->prefixes->list.n >= l->most)
            return false;
        sl_list_add(l->a, l->prefixes, sl_val_str(l->a, prefix));
    } else {
        if (l->items->list.n + l->prefixes->list.n >= l->most)
            return false;
        sl_list_add(l->a, l->items, sl_gcs_resource(l->c, l->a, o));
    }
    l->last = o->name;
    return true;
}

static void object_list(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    sl_arena *a = req->arena;
    sl_err err;
    int64_t most = 1000;
    if (!sl_cloud_authorized(c, req, resp))
        return;
    sl_str bucket = req->segments[3], token = SL_S(""), start = sl_request_param(req, "startOffset"), end = sl_request_param(req, "endOffset"), glob = sl_request_param(req, "matchGlob");
    if (!sl_gcs_bucket_exists(c, a, bucket, NULL)) {
        missing_bucket(req, resp);
        return;
    }
    (void)sl_parse_int(sl_request_param(req, "maxResults"), &most);
    (void)sl_base64_decode(a, sl_request_param(req, "pageToken"), &token);
    lister l = { .c = c, .a = a, .prefix = sl_request_param(req, "prefix"), .delimiter = sl_request_param(req, "delimiter"), .items = sl_list(a), .prefixes = sl_list(a), .most = most < 1 || most > 1000 ? 1000 : (size_t)most };
    bool more = false;
    sl_db_lock(c->db);
    sl_stmt *s = sl_db_query(c->db, &err, "SELECT " OBJECT " FROM objects WHERE bucket=?1 AND name>?2 AND name>=?3 AND (?4='' OR name<?4) AND substr(name,1,length(?5))=?5 ORDER BY name", "sssss", bucket, token,
                             start, end, l.prefix);
    while (s != NULL && !more && sl_stmt_next(s, &err) == 1) {
        sl_gcs_object o;
        read_object(s, a, &o);
        more = (glob.n == 0 || sl_glob_match(glob, o.name)) && !offer(&l, &o);
    }
    if (more)
        sl_stmt_done(s);
    sl_db_unlock(c->db);
    sl_val *doc = sl_map(a);
    sl_map_set_str(a, doc, "kind", SL_S("storage#objects"));
    if (l.items->list.n > 0)
        sl_map_setc(a, doc, "items", l.items);
    if (l.prefixes->list.n > 0)
        sl_map_setc(a, doc, "prefixes", l.prefixes);
    if (more)
        sl_map_set_str(a, doc, "nextPageToken", sl_base64url(a, l.last));
    sl_respond_json(req, resp, 200, doc);
}

/* ---- copy and compose ---- */

static bool append_blob(sl_cloud *c, sl_arena *a, sl_str blob, int to, int64_t *offset, uint32_t *crc, sl_hash *md5, sl_err *err)
{
    SL_READER r = sl_reader_file(sl_gcs_blob_path(c, a, blob).p, err);
    if (r == NULL)
        return false;
    char *block = sl_malloc(1 << 18);
    ptrdiff_t n;
    bool ok = true;
    while (ok && (n = r->read(r, block, 1 << 18, err)) != 0) {
        ok = n > 0 && sl_fs_pwrite(to, block, (size_t)n, *offset, "the new object", err);
        if (ok) {
            *crc = sl_crc32c(*crc, block, (size_t)n);
            sl_hash_add(md5, block, (size_t)n);
            *offset += n;
        }
    }
    free(block);
    return ok;
}

static void assemble(sl_cloud *c, sl_server_request *req, sl_server_response *resp, const sl_gcs_object *parts, size_t count, sl_str bucket, sl_str name, const sl_val *meta, bool keep_md5)
{
    sl_arena *a = req->arena;
    sl_err err;
    sl_str blob = sl_gcs_new_blob(c, a), path = sl_gcs_blob_path(c, a, blob);
    sl_hash *md5 = sl_hash_new(a, "MD5");
    int64_t size = 0;
    uint32_t crc = 0;
    int fd = open(path.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = fd >= 0;
    if (!ok)
        sl_err_errno(&err, "create", path.p);
    for (size_t i = 0; ok && i < count; i++)
        ok = append_blob(c, a, parts[i].blob, fd, &size, &crc, md5, &err);
    if (fd >= 0)
        close(fd);
    if (!ok)
        broken(req, resp, &err);
    else
        sl_gcs_put(c, req, resp, bucket, name, meta, blob, size, crc, keep_md5 ? sl_base64(a, sl_hash_end(md5, a)) : (sl_str){ NULL, 0 }, NULL);
}

/* POST /storage/v1/b/SB/o/SO/{rewriteTo|copyTo}/b/DB/o/DO */
static void object_copy(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    sl_gcs_object o;
    sl_err err;
    sl_arena *a = req->arena;
    sl_str bucket = req->segments[8], name = req->segments[10];
    bool rewrite = sl_str_eqc(req->segments[6], "rewriteTo");
    if (!find_or_404(c, req, resp, &o))
        return;
    if (!sl_gcs_bucket_exists(c, a, bucket, NULL)) {
        missing_bucket(req, resp);
        return;
    }
    const sl_val *body = req->body.n > 0 ? sl_json_parse(a, req->body, &err) : NULL;
    const sl_val *meta = sl_val_count(body) > 0 ? body : sl_json_parse(a, o.meta, &err);
    assemble(c, req, resp, &o, 1, bucket, name, meta, true);
    if (!rewrite || resp->status != 200)
        return;
    sl_val *doc = sl_map(a);
    sl_map_set_str(a, doc, "kind", SL_S("storage#rewriteResponse"));
    sl_map_set_str(a, doc, "totalBytesRewritten", sl_fmt(a, "%lld", (long long)o.size));
    sl_map_set_str(a, doc, "objectSize", sl_fmt(a, "%lld", (long long)o.size));
    sl_map_set_bool(a, doc, "done", true);
    sl_map_setc(a, doc, "resource", sl_json_parse(a, resp->body, &err));
    sl_respond_json(req, resp, 200, doc);
}

static void object_compose(void *self, sl_server_request *req, sl_server_response *resp)
{
    sl_cloud *c = self;
    sl_err err;
    sl_arena *a = req->arena;
    if (!sl_cloud_authorized(c, req, resp))
        return;
    const sl_val *body = sl_json_parse(a, req->body, &err), *sources = sl_get(body, "sourceObjects");
    sl_str bucket = req->segments[3], name = req->segments[5];
    size_t n = sl_val_count(sources);
    if (n == 0 || n > 32) {
        sl_cloud_refuse(req, resp, 400, "invalid", "The number of source components provided (%zu) must be from 1 to 32", n);
        return;
    }
    sl_gcs_object *parts = SL_ARRAY(a, sl_gcs_object, n);
    for (size_t i = 0; i < n; i++)
        if (!sl_gcs_find(c, a, bucket, sl_get_text(sl_at(sources, i), "name"), sl_get_int(sl_at(sources, i), "generation", 0), &parts[i])) {
            sl_cloud_refuse(req, resp, 404, "notFound", "Object %.*s/%.*s not found.", SL_ARG(bucket), SL_ARG(sl_get_text(sl_at(sources, i), "name")));
            return;
        }
    sl_val *meta = sl_map_shallow(a, sl_get(body, "destination"));
    sl_map_set_int(a, meta, "componentCount", (int64_t)n);
    assemble(c, req, resp, parts, n, bucket, name, meta, false);
}

bool sl_gcs_resolve(sl_cloud *c, sl_arena *a, sl_str uri, sl_val *paths, sl_val *names, sl_err *err)
{
    sl_str rest = sl_str_sub(uri, 5, uri.n), bucket;
    (void)sl_str_cut(&rest, '/', &bucket);
    if (!sl_str_starts(uri, SL_S("gs://")) || rest.p == NULL)
        return sl_err_set(err, SL_ERR_DATA, "invalid", "Invalid source URI: %.*s", SL_ARG(uri));
    if (!sl_gcs_bucket_exists(c, a, bucket, NULL))
        return sl_err_set(err, SL_ERR_NOT_FOUND, "notFound", "Not found: URI %.*s", SL_ARG(uri));
    ptrdiff_t star = sl_str_find(rest, SL_S("*"));
    sl_str head = star < 0 ? rest : sl_str_sub(rest, 0, (size_t)star), tail = star < 0 ? SL_S("") : sl_str_sub(rest, (size_t)star + 1, rest.n);
    size_t before = paths->list.n;
    sl_db_lock(c->db);
    sl_stmt *s = sl_db_query(c->db, err, "SELECT " OBJECT " FROM objects WHERE bucket=?1 AND substr(name,1,length(?2))=?2 ORDER BY name", "ss", bucket, head);
    while (s != NULL && sl_stmt_next(s, err) == 1) {
        sl_gcs_object o;
        read_object(s, a, &o);
        if (star < 0 ? !sl_str_eq(o.name, rest) : !(sl_str_ends(o.name, tail) && o.name.n >= head.n + tail.n))
            continue;
        sl_list_add(a, paths, sl_val_str(a, sl_gcs_blob_path(c, a, o.blob)));
        sl_list_add(a, names, sl_val_str(a, o.name));
    }
    sl_db_unlock(c->db);
    return paths->list.n > before || sl_err_set(err, SL_ERR_NOT_FOUND, "notFound", "Not found: URI %.*s", SL_ARG(uri));
}

sl_str sl_gcs_uri_of(sl_cloud *c, sl_arena *a, sl_str path)
{
    sl_err err;
    sl_str uri = SL_S("");
    sl_db_lock(c->db);
    sl_stmt *s = sl_db_query(c->db, &err, "SELECT 'gs://' || bucket || '/' || name FROM objects WHERE blob=?", "s", sl_path_base(path));
    if (s != NULL && sl_stmt_next(s, &err) == 1) {
        uri = sl_col_str(s, a, 0);
        sl_stmt_done(s);
    }
    sl_db_unlock(c->db);
    return uri;
}

const sl_route sl_gcs_routes[] = {
    { .method = "GET", .pattern = "/storage/v1/b", .handle = bucket_list },
    { .method = "POST", .pattern = "/storage/v1/b", .handle = bucket_insert },
    { .method = "GET", .pattern = "/storage/v1/b/+", .handle = bucket_get },
    { .method = "PATCH", .pattern = "/storage/v1/b/+", .handle = bucket_patch },
    { .method = "DELETE", .pattern = "/storage/v1/b/+", .handle = bucket_delete },
    { .method = "GET", .pattern = "/storage/v1/b/+/iam", .handle = iam },
    { .method = "PUT", .pattern = "/storage/v1/b/+/iam", .handle = iam },
    { .method = "GET", .pattern = "/storage/v1/b/+/o", .handle = object_list },
    { .method = "GET", .pattern = "/storage/v1/b/+/o/+", .handle = object_get },
    { .method = "PATCH", .pattern = "/storage/v1/b/+/o/+", .handle = object_patch },
    { .method = "DELETE", .pattern = "/storage/v1/b/+/o/+", .handle = object_delete },
    { .method = "GET", .pattern = "/download/storage/v1/b/+/o/+", .handle = object_get },
    { .method = "POST", .pattern = "/storage/v1/b/+/o/+/rewriteTo/b/+/o/+", .handle = object_copy },
    { .method = "POST", .pattern = "/storage/v1/b/+/o/+/copyTo/b/+/o/+", .handle = object_copy },
    { .method = "POST", .pattern = "/storage/v1/b/+/o/+/compose", .handle = object_compose },
    { 0 },
};
