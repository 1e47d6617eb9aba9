/* local/s3_store.c: what requests of the S3 face share: is the bucket there, may this be written, what an object keeps of a request. See s3.h. */
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

sl_str sl_s3_kept_headers(sl_s3_call *x)
{
    static const char *const kept[] = { "content-type",         "content-encoding",       "content-disposition",
                                        "content-language",     "cache-control",          "expires",
                                        "x-amz-storage-class",  "x-amz-tagging",          "x-amz-website-redirect-location",
                                        "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-object-lock-legal-hold" };
    sl_arena *a = x->arena;
    sl_val *out = sl_map(a);
    for (size_t i = 0; i < sl_val_count(x->req->headers); i++) {
        const sl_entry *e = &x->req->headers->map.entries[i];
        bool keep = sl_str_starts(e->key, SL_S("x-amz-meta-")) || (sl_str_starts(e->key, SL_S("x-amz-server-side-encryption")) && !sl_str_eqc(e->key, "x-amz-server-side-encryption-customer-key"));
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
