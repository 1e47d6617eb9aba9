/*
 * local/s3_versions.c: the objects of the S3 face in the cloud's database, and their versions.
 *
 * s3_objects has what a key is now. What was replaced or deleted in a bucket with versions is in s3_versions, the newest last,
 * and so are delete markers: a key whose newest row there is a marker has none in s3_objects.
 * API: https://docs.aws.amazon.com/AmazonS3/latest/userguide/Versioning.html
 */
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "local/s3.h"

#define NONE "null" /* the version that a bucket without versions gives, or one whose versions are suspended */
#define COLUMNS "version, blob, size, etag, algorithm, checksum, headers, modified_ms"

static sl_s3_row row_of(sl_stmt *s, sl_arena *a, sl_str bucket, sl_str key)
{
    return (sl_s3_row){ .bucket = bucket, .key = key, .version = sl_col_str(s, a, 0), .blob = sl_col_str(s, a, 1), .size = sl_col_int(s, 2), .etag = sl_col_str(s, a, 3), .algorithm = sl_col_str(s, a, 4),
                        .checksum = sl_col_str(s, a, 5), .headers = sl_col_str(s, a, 6), .modified_ms = sl_col_int(s, 7) };
}

/* The next four: under the database's lock. 1: *ret; 0: there is none; -1: error. */
static int current(sl_s3_call *x, sl_str bucket, sl_str key, sl_s3_row *ret, sl_err *err)
{
    sl_stmt *s = sl_db_query(x->c->db, err, "SELECT " COLUMNS " FROM s3_objects WHERE bucket=? AND key=?", "ss", bucket, key);
    int n = s ? sl_stmt_next(s, err) : -1;
    if (n == 1) {
        *ret = row_of(s, x->arena, bucket, key);
        sl_stmt_done(s);
    }
    return n;
}

static int earlier(sl_s3_call *x, sl_str bucket, sl_str key, sl_str version, sl_s3_row *ret, sl_err *err)
{
    sl_stmt *s = sl_db_query(x->c->db, err, "SELECT " COLUMNS ", marker FROM s3_versions WHERE bucket=? AND key=? AND version=?", "sss", bucket, key, version);
    int n = s ? sl_stmt_next(s, err) : -1;
    if (n == 1) {
        *ret = row_of(s, x->arena, bucket, key);
        ret->marker = sl_col_int(s, 8) != 0;
        sl_stmt_done(s);
    }
    return n;
}

static int newest(sl_s3_call *x, sl_str bucket, sl_str key, sl_s3_row *ret, sl_err *err)
{
    sl_stmt *s = sl_db_query(x->c->db, err, "SELECT " COLUMNS ", marker FROM s3_versions WHERE bucket=? AND key=? ORDER BY seq DESC LIMIT 1", "ss", bucket, key);
    int n = s ? sl_stmt_next(s, err) : -1;
    if (n == 1) {
        *ret = row_of(s, x->arena, bucket, key);
        ret->marker = sl_col_int(s, 8) != 0;
        sl_stmt_done(s);
    }
    return n;
}

static bool versioning(sl_s3_call *x, sl_str bucket, sl_str *ret, sl_err *err)
{
    sl_stmt *s = sl_db_query(x->c->db, err, "SELECT versioning FROM s3_buckets WHERE name=?", "s", bucket);
    int n = s ? sl_stmt_next(s, err) : -1;
    *ret = SL_S("");
    if (n == 1) {
        *ret = sl_col_str(s, x->arena, 0);
        sl_stmt_done(s);
    }
    return n >= 0;
}

/* ---- changes ---- */

static bool insert(sl_s3_call *x, const sl_s3_row *r, sl_err *err)
{
    return sl_db_run(x->c->db, err, "INSERT OR REPLACE INTO s3_objects(bucket, key, " COLUMNS ") VALUES(?,?,?,?,?,?,?,?,?,?)", "ssssissssi", r->bucket, r->key, r->version, r->blob, r->size, r->etag, r->algorithm, r->checksum,
                     r->headers, r->modified_ms);
}

static bool keep_earlier(sl_s3_call *x, const sl_s3_row *r, sl_err *err)
{
    return sl_db_run(x->c->db, err, "INSERT INTO s3_versions(bucket, key, marker, " COLUMNS ") VALUES(?,?,?,?,?,?,?,?,?,?,?)", "ssississssi", r->bucket, r->key, (int64_t)r->marker, r->version, r->blob, r->size, r->etag,
                     r->algorithm, r->checksum, r->headers, r->modified_ms);
}

static bool drop_earlier(sl_s3_call *x, sl_str bucket, sl_str key, sl_str version, sl_err *err)
{
    return sl_db_run(x->c->db, err, "DELETE FROM s3_versions WHERE bucket=? AND key=? AND version=?", "sss", bucket, key, version);
}

static void forget_blob(sl_s3_call *x, sl_val *blobs, sl_str blob)
{
    if (blob.n > 0)
        sl_list_add(x->arena, blobs, sl_val_str(x->arena, blob));
}

/* Makes way for a new version, or for a marker: what is there becomes an earlier one, or goes with the version of the same name. */
static bool displace(sl_s3_call *x, sl_str bucket, sl_str key, sl_str version, sl_val *blobs, sl_err *err)
{
    sl_s3_row now, same;
    int found = current(x, bucket, key, &now, err), other;
    if (found < 0 || (other = earlier(x, bucket, key, version, &same, err)) < 0)
        return false;
    if (other == 1) {
        forget_blob(x, blobs, same.blob);
        if (!drop_earlier(x, bucket, key, version, err))
            return false;
    }
    if (found == 0)
        return true;
    if (sl_str_eq(now.version, version))
        forget_blob(x, blobs, now.blob);
    else if (!keep_earlier(x, &now, err))
        return false;
    return sl_db_run(x->c->db, err, "DELETE FROM s3_objects WHERE bucket=? AND key=?", "ss", bucket, key);
}

/* The version that a change in this bucket makes. */
static sl_str new_version(sl_s3_call *x, sl_str setting)
{
    return sl_str_eqc(setting, "Enabled") ? sl_gcs_new_blob(x->c, x->arena) : SL_S(NONE);
}

/* Ends a change: all of it, or nothing; then the contents that nothing refers to any more go. */
static bool finish(sl_s3_call *x, bool ok, const sl_val *blobs, sl_err *err)
{
    ok = ok && sl_db_commit(x->c->db, err);
    if (!ok)
        sl_db_rollback(x->c->db);
    sl_db_unlock(x->c->db);
    for (size_t i = 0; ok && i < sl_val_count(blobs); i++)
        (void)unlink(sl_gcs_blob_path(x->c, x->arena, sl_at(blobs, i)->s).p);
    return ok || (x->why.status == 0 && sl_s3_broken(x, err));
}

static bool end_upload(sl_s3_call *x, sl_str upload, sl_val *blobs, sl_err *err)
{
    int n = 0;
    if (upload.n == 0)
        return true;
    sl_stmt *s = sl_db_query(x->c->db, err, "SELECT blob FROM s3_parts WHERE upload=?", "s", upload);
    while (s != NULL && (n = sl_stmt_next(s, err)) == 1)
        forget_blob(x, blobs, sl_col_str(s, x->arena, 0));
    return s != NULL && n == 0 && sl_db_run(x->c->db, err, "DELETE FROM s3_parts WHERE upload=?", "s", upload) && sl_db_run(x->c->db, err, "DELETE FROM s3_uploads WHERE id=?", "s", upload);
}

bool sl_s3_row_put(sl_s3_call *x, sl_s3_row *row, sl_str upload)
{
    sl_err err;
    sl_s3_row old = { 0 };
    sl_str setting;
    sl_val *blobs = sl_list(x->arena);
    int found = -1;
    sl_db_lock(x->c->db);
    bool ok = sl_db_begin(x->c->db, &err) && versioning(x, row->bucket, &setting, &err) && (found = current(x, row->bucket, row->key, &old, &err)) >= 0 && sl_s3_may_write(x, found == 1, &old);
    if (ok) {
        row->version = new_version(x, setting);
        row->modified_ms = sl_now_ms();
        ok = displace(x, row->bucket, row->key, row->version, blobs, &err) && insert(x, row, &err) && end_upload(x, upload, blobs, &err);
        x->version = setting.n ? row->version : SL_S("");
    }
    return finish(x, ok, blobs, &err);
}

static bool delete_now(sl_s3_call *x, sl_str bucket, sl_str key, sl_str setting, sl_val *blobs, sl_err *err)
{
    sl_s3_row marker = { .bucket = bucket, .key = key, .marker = true, .version = new_version(x, setting), .blob = SL_S(""), .etag = SL_S(""), .algorithm = SL_S(""), .checksum = SL_S(""), .headers = SL_S("{}"),
                         .modified_ms = sl_now_ms() };
    if (!displace(x, bucket, key, marker.version, blobs, err))
        return false;
    if (setting.n == 0)
        return true;
    x->version = marker.version;
    x->marker = true;
    return keep_earlier(x, &marker, err);
}

static bool delete_version(sl_s3_call *x, sl_str bucket, sl_str key, sl_str version, sl_val *blobs, sl_err *err)
{
    sl_s3_row row = { 0 }, next;
    int found = current(x, bucket, key, &row, err);
    bool now = found == 1 && sl_str_eq(row.version, version), ok = found >= 0;
    x->version = version;
    if (ok && !now) {
        int n = earlier(x, bucket, key, version, &row, err);
        ok = n >= 0 && drop_earlier(x, bucket, key, version, err);
        x->marker = n == 1 && row.marker;
        now = n == 1 && found == 0; /* it may have been the marker that hid the rest */
        if (n == 1)
            forget_blob(x, blobs, row.blob);
    } else if (ok) {
        ok = sl_db_run(x->c->db, err, "DELETE FROM s3_objects WHERE bucket=? AND key=?", "ss", bucket, key);
        forget_blob(x, blobs, row.blob);
    }
    if (!ok || !now)
        return ok;
    int n = newest(x, bucket, key, &next, err);
    return n == 1 && !next.marker ? drop_earlier(x, bucket, key, next.version, err) && insert(x, &next, err) : n >= 0;
}

bool sl_s3_row_delete(sl_s3_call *x, sl_str bucket, sl_str key, sl_str version)
{
    sl_err err;
    sl_str setting;
    sl_val *blobs = sl_list(x->arena);
    x->version = SL_S("");
    x->marker = false;
    sl_db_lock(x->c->db);
    bool ok = sl_db_begin(x->c->db, &err) && versioning(x, bucket, &setting, &err)
              && (version.n > 0 ? delete_version(x, bucket, key, version, blobs, &err) : delete_now(x, bucket, key, setting, blobs, &err));
    return finish(x, ok, blobs, &err);
}

/* ---- reading ---- */

bool sl_s3_row_find(sl_s3_call *x, sl_str bucket, sl_str key, sl_str version, sl_s3_row *ret)
{
    sl_err err;
    sl_str setting;
    *ret = (sl_s3_row){ 0 };
    x->marker = false;
    sl_db_lock(x->c->db);
    int n = versioning(x, bucket, &setting, &err) ? current(x, bucket, key, ret, &err) : -1;
    if (n >= 0 && version.n > 0 && !(n == 1 && sl_str_eq(ret->version, version)))
        n = earlier(x, bucket, key, version, ret, &err);
    else if (n == 0) /* does a marker hide it? */
        x->marker = newest(x, bucket, key, ret, &err) == 1 && ret->marker;
    sl_db_unlock(x->c->db);
    if (n < 0)
        return sl_s3_broken(x, &err);
    x->version = setting.n > 0 && (n == 1 || x->marker) ? ret->version : SL_S("");
    if (n == 0)
        return version.n > 0 ? sl_refuse(&x->why, x->arena, 404, "NoSuchVersion", "The specified version does not exist.") : sl_refuse(&x->why, x->arena, 404, "NoSuchKey", "The specified key does not exist.");
    x->marker = ret->marker;
    return !ret->marker || sl_refuse(&x->why, x->arena, 405, "MethodNotAllowed", "The specified method is not allowed against this resource.");
}

bool sl_s3_row_describe(sl_s3_call *x, const sl_s3_row *row)
{
    sl_err err;
    sl_db_lock(x->c->db);
    bool ok = sl_db_run(x->c->db, &err, "UPDATE s3_objects SET headers=? WHERE bucket=? AND key=? AND version=?", "ssss", row->headers, row->bucket, row->key, row->version)
              && sl_db_run(x->c->db, &err, "UPDATE s3_versions SET headers=? WHERE bucket=? AND key=? AND version=?", "ssss", row->headers, row->bucket, row->key, row->version);
    sl_db_unlock(x->c->db);
    return ok || sl_s3_broken(x, &err);
}

/* ---- ?versioning ---- */

bool sl_s3_versioning(sl_s3_call *x, sl_str *ret)
{
    sl_err err;
    sl_db_lock(x->c->db);
    bool ok = versioning(x, x->bucket, ret, &err);
    sl_db_unlock(x->c->db);
    return ok || sl_s3_broken(x, &err);
}

bool sl_s3_set_versioning(sl_s3_call *x, sl_str setting)
{
    sl_err err;
    sl_db_lock(x->c->db);
    bool ok = sl_db_run(x->c->db, &err, "UPDATE s3_buckets SET versioning=? WHERE name=?", "ss", setting, x->bucket);
    sl_db_unlock(x->c->db);
    return ok || sl_s3_broken(x, &err);
}

/* What x->version and x->marker say, as headers of the answer. */
void sl_s3_tell_version(sl_s3_call *x)
{
    sl_val *h = sl_map_shallow(x->arena, x->resp->headers);
    if (x->version.n > 0)
        sl_map_set_str(x->arena, h, "x-amz-version-id", x->version);
    if (x->marker)
        sl_map_set_str(x->arena, h, "x-amz-delete-marker", SL_S("true"));
    x->resp->headers = h;
}
