/* local/s3_store.c: buckets and objects of the S3 face in the cloud's database. See s3.h. */
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/time.h"
#include "local/s3.h"

bool sl_s3_broken(sl_s3_call *x, const sl_err *err)
{
    return sl_refuse(&x->why, x->arena, 500, "InternalError", "%s", err->message);
}

bool sl_s3_bucket_there(sl_s3_call *x, sl_str bucket)
{
    sl_err err;
    sl_db_lock(x->c->db);
    sl_stmt *s = sl_db_query(x->c->db, &err, "SELECT 1 FROM s3_buckets WHERE name=?", "s", bucket);
    bool found = s != NULL && sl_stmt_next(s, &err) == 1;
    if (found)
        sl_stmt_done(s);
    sl_db_unlock(x->c->db);
    return found || sl_refuse(&x->why, x->arena, 404, "NoSuchBucket", "The specified bucket does not exist");
}

bool sl_s3_row_find(sl_s3_call *x, sl_str bucket, sl_str key, bool *found, sl_s3_row *ret)
{
    sl_err err;
    sl_arena *a = x->arena;
    *ret = (sl_s3_row){ 0 };
    sl_db_lock(x->c->db);
    sl_stmt *s = sl_db_query(x->c->db, &err, "SELECT blob, size, etag, algorithm, checksum, headers, modified_ms FROM s3_objects WHERE bucket=? AND key=?", "ss", bucket, key);
    *found = s != NULL && sl_stmt_next(s, &err) == 1;
    if (*found) {
        *ret = (sl_s3_row){ .bucket = bucket, .key = key, .blob = sl_col_str(s, a, 0), .size = sl_col_int(s, 1), .etag = sl_col_str(s, a, 2), .algorithm = sl_col_str(s, a, 3), .checksum = sl_col_str(s, a, 4),
                            .headers = sl_col_str(s, a, 5), .modified_ms = sl_col_int(s, 6) };
        sl_stmt_done(s);
    }
    sl_db_unlock(x->c->db);
    return s != NULL || sl_s3_broken(x, &err);
}

static bool etag_in(sl_str list, sl_str etag)
{
    sl_str one, bare = sl_str_sub(etag, 1, etag.n - 1);
    while (list.n > 0 && sl_str_cut(&list, ',', &one)) {
        one = sl_str_trim(one);
        if (sl_str_eqc(one, "*") || sl_str_eq(one, etag) || sl_str_eq(one, bare))
            return true;
    }
    return false;
}

bool sl_s3_may_write(sl_s3_call *x, bool found, const sl_s3_row *old)
{
    sl_str match = sl_request_header(x->req, "if-match"), none = sl_request_header(x->req, "if-none-match");
    if (match.n > 0 && !found)
        return sl_refuse(&x->why, x->arena, 404, "NoSuchKey", "The specified key does not exist.");
    if ((match.n > 0 && !etag_in(match, old->etag)) || (none.n > 0 && found && etag_in(none, old->etag)))
        return sl_refuse(&x->why, x->arena, 412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
    return true;
}

bool sl_s3_row_put(sl_s3_call *x, const sl_s3_row *row, sl_str upload)
{
    sl_err err;
    sl_s3_row old;
    bool found = false;
    sl_val *parts = sl_list(x->arena);
    sl_db *db = x->c->db;
    if (!sl_s3_row_find(x, row->bucket, row->key, &found, &old) || !sl_s3_may_write(x, found, &old))
        return false;
    sl_db_lock(db);
    sl_stmt *s = upload.n ? sl_db_query(db, &err, "SELECT blob FROM s3_parts WHERE upload=?", "s", upload) : NULL;
    while (s != NULL && sl_stmt_next(s, &err) == 1)
        sl_list_add(x->arena, parts, sl_val_str(x->arena, sl_col_str(s, x->arena, 0)));
    bool ok = sl_db_begin(db, &err)
              && sl_db_run(db, &err, "INSERT OR REPLACE INTO s3_objects(bucket, key, blob, size, etag, algorithm, checksum, headers, modified_ms) VALUES(?,?,?,?,?,?,?,?,?)", "sssissssi", row->bucket, row->key, row->blob, row->size,
                           row->etag, row->algorithm, row->checksum, row->headers, sl_now_ms())
              && sl_db_run(db, &err, "DELETE FROM s3_parts WHERE upload=?", "s", upload) && sl_db_run(db, &err, "DELETE FROM s3_uploads WHERE id=?", "s", upload) && sl_db_commit(db, &err);
    if (!ok)
        sl_db_rollback(db);
    sl_db_unlock(db);
    if (!ok)
        return sl_s3_broken(x, &err);
    if (found)
        (void)unlink(sl_gcs_blob_path(x->c, x->arena, old.blob).p);
    for (size_t i = 0; i < sl_val_count(parts); i++)
        (void)unlink(sl_gcs_blob_path(x->c, x->arena, sl_at(parts, i)->s).p);
    return true;
}

bool sl_s3_row_delete(sl_s3_call *x, sl_str bucket, sl_str key)
{
    sl_err err;
    sl_s3_row old;
    bool found;
    if (!sl_s3_row_find(x, bucket, key, &found, &old))
        return false;
    sl_db_lock(x->c->db);
    bool ok = sl_db_run(x->c->db, &err, "DELETE FROM s3_objects WHERE bucket=? AND key=?", "ss", bucket, key);
    sl_db_unlock(x->c->db);
    if (ok && found)
        (void)unlink(sl_gcs_blob_path(x->c, x->arena, old.blob).p);
    return ok || sl_s3_broken(x, &err);
}

sl_str sl_s3_kept_headers(sl_s3_call *x)
{
    static const char *const kept[] = { "content-type",         "content-encoding",       "content-disposition",
                                        "content-language",     "cache-control",          "expires",
                                        "x-amz-storage-class",  "x-amz-server-side-encryption", "x-amz-website-redirect-location",
                                        "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-object-lock-legal-hold" };
    sl_arena *a = x->arena;
    sl_val *out = sl_map(a);
    for (size_t i = 0; i < sl_val_count(x->req->headers); i++) {
        const sl_entry *e = &x->req->headers->map.entries[i];
        bool keep = sl_str_starts(e->key, SL_S("x-amz-meta-"));
        for (size_t k = 0; k < SL_COUNT(kept); k++)
            keep |= sl_str_eqc(e->key, kept[k]);
        if (keep)
            sl_map_set(a, out, e->key, e->value);
    }
    /* aws-chunked is how it came, not what it is. */
    sl_str coding = sl_get_text(out, "content-encoding"), one, rest = coding;
    sl_buf left = sl_buf_new(a, coding.n + 1);
    while (rest.n > 0 && sl_str_cut(&rest, ',', &one))
        if (!sl_str_eqc(sl_str_trim(one), "aws-chunked"))
            sl_buf_fmt(&left, "%s%.*s", left.n ? "," : "", SL_ARG(sl_str_trim(one)));
    if (coding.n > 0 && left.n > 0)
        sl_map_set_str(a, out, "content-encoding", sl_buf_str(&left));
    else
        (void)sl_map_remove(out, SL_S("content-encoding"));
    return sl_json(a, out);
}

sl_str sl_http_date(sl_arena *a, int64_t ms)
{
    sl_str text;
    sl_err ignored;
    int64_t s = ms >= 0 ? ms / 1000 : -((999 - ms) / 1000);
    return sl_time_format(a, sl_time_at(s, 0, sl_tz_utc()), SL_S("EEE, dd MMM yyyy HH:mm:ss 'GMT'"), &text, &ignored) ? text : SL_S("");
}
