/* local/redshift_objects.c: objects of the local S3 by prefix, or as a manifest names them. See redshift_words.h. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "local/redshift_words.h"

enum { MANIFEST_MAX = 16 << 20 };

bool sl_redshift_objects(sl_redshift_session *x, sl_arena *a, sl_str url, bool exact, sl_redshift_files *files, sl_err *err)
{
    sl_str key = sl_str_sub(url, 5, url.n), bucket;
    if (!sl_str_starts(url, SL_S("s3://")) || !sl_str_cut(&key, '/', &bucket) || key.p == NULL)
        return sl_err_set(err, SL_ERR_CONFIG, "pg.0A000", "objects are named s3://bucket/prefix, not '%.*s'", SL_ARG(url));
    sl_db_lock(x->c->db);
    sl_stmt *s = sl_db_query(x->c->db, err, "SELECT key, blob FROM s3_objects WHERE bucket=? AND key>=? ORDER BY key", "ss", bucket, key);
    bool opened = s != NULL;
    while (s != NULL && sl_stmt_next(s, err) == 1) {
        sl_str name = sl_col_str(s, a, 0);
        if (!sl_str_starts(name, key) || (exact && !sl_str_eq(name, key))) {
            sl_stmt_done(s);
            break;
        }
        sl_list_add(a, files->paths, sl_val_str(a, sl_gcs_blob_path(x->c, a, sl_col_str(s, a, 1))));
        sl_list_add(a, files->names, sl_val_str(a, sl_fmt(a, "s3://%.*s/%.*s", SL_ARG(bucket), SL_ARG(name))));
    }
    sl_db_unlock(x->c->db);
    return opened;
}

bool sl_redshift_objects_there(sl_redshift_session *x, sl_arena *a, sl_str url, bool exact, sl_redshift_files *files, sl_err *err)
{
    size_t before = sl_val_count(files->paths);
    if (!sl_redshift_objects(x, a, url, exact, files, err))
        return false;
    if (sl_val_count(files->paths) > before)
        return true;
    sl_str key = sl_str_sub(url, 5, url.n), bucket;
    (void)sl_str_cut(&key, '/', &bucket);
    return sl_err_set(err, SL_ERR_NOT_FOUND, "pg.XX000", "The specified S3 prefix '%.*s' does not exist in the bucket '%.*s'", SL_ARG(key), SL_ARG(bucket));
}

/* {"entries": [{"url": …, "mandatory": true}]} */
bool sl_redshift_manifest(sl_redshift_session *x, sl_arena *a, sl_str url, sl_redshift_files *files, sl_err *err)
{
    sl_redshift_files own = { sl_list(a), sl_list(a) };
    sl_str text;
    if (!sl_redshift_objects_there(x, a, url, true, &own, err) || !sl_fs_read(a, sl_at(own.paths, 0)->s.p, MANIFEST_MAX, &text, err))
        return false;
    const sl_val *doc = sl_json_parse(a, text, err), *entries = sl_get(doc, "entries");
    if (doc == NULL)
        return sl_err_ctx(err, "the manifest %.*s", SL_ARG(url));
    for (size_t i = 0; i < sl_val_count(entries); i++) {
        const sl_val *e = sl_at(entries, i);
        if (!sl_redshift_objects_there(x, a, sl_get_text(e, "url"), true, files, err)) {
            if (sl_get_bool(e, "mandatory", false))
                return false;
            sl_err_clear(err);
        }
    }
    return true;
}
