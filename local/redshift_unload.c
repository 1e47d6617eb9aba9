/*
 * local/redshift_unload.c: UNLOAD ('query') TO 's3://…': rows of the Redshift face as objects of the local S3.
 * Source: https://docs.aws.amazon.com/redshift/latest/dg/r_UNLOAD.html
 *
 * One object for each file, as one slice would write it. What is there is only written over where that is asked for.
 */
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "base/sql.h"
#include "local/redshift_words.h"
#include "local/s3.h"

typedef struct unload {
    sl_redshift_session *s;
    sl_arena *a;
    sl_server_request req;        /* empty: a write without conditions */
    sl_s3_call x;                 /* what the S3 face wants to see */
    sl_str query, url, bucket, prefix, format, delimiter, null_text, extension;
    bool header, gzip, zstd, quotes, overwrite, clean, manifest, verbose, credentials, serial;
} unload;

static bool option(unload *u, sl_str name, sl_str *rest, sl_err *err)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = { { "HEADER", &u->header }, { "GZIP", &u->gzip }, { "ZSTD", &u->zstd }, { "ADDQUOTES", &u->quotes }, { "ALLOWOVERWRITE", &u->overwrite }, { "CLEANPATH", &u->clean }, { "MANIFEST", &u->manifest }, { "VERBOSE", &u->verbose } };
    static const char *const credentials[] = { "CREDENTIALS", "IAM_ROLE", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN" };
    for (size_t i = 0; i < SL_COUNT(flags); i++)
        if (is(name, flags[i].name))
            return *flags[i].flag = true;
    for (size_t i = 0; i < SL_COUNT(credentials); i++)
        if (is(name, credentials[i])) {
            (void)sl_redshift_value(u->a, rest);
            return u->credentials = true;
        }
    if (is(name, "CSV") || is(name, "PARQUET") || is(name, "JSON"))
        u->format = sl_str_upper(u->a, name);
    else if (is(name, "DELIMITER"))
        u->delimiter = sl_str_replace(u->a, sl_redshift_value(u->a, rest), SL_S("\\t"), SL_S("\t"));
    else if (is(name, "NULL"))
        u->null_text = sl_redshift_value(u->a, rest);
    else if (is(name, "EXTENSION"))
        u->extension = sl_redshift_value(u->a, rest);
    else if (is(name, "PARALLEL")) {
        sl_str how = sl_redshift_value(u->a, rest);
        u->serial = is(how, "OFF") || is(how, "FALSE");
    } else if (is(name, "REGION") || is(name, "ROWGROUPSIZE"))
        (void)sl_redshift_value(u->a, rest);
    else if (!is(name, "FORMAT") && !is(name, "AS") && !is(name, "WITH"))
        return sl_err_set(err, SL_ERR_CONFIG, "pg.0A000", "the local Redshift does not know the option %.*s of UNLOAD", SL_ARG(name));
    return true;
}

static bool parse(unload *u, sl_str statement, sl_err *err)
{
    sl_str rest = statement, token;
    (void)sl_sql_token(&rest);
    bool open = is(sl_sql_token(&rest), "(");
    u->query = sl_redshift_unquoted(u->a, sl_sql_token(&rest));
    bool closed = is(sl_sql_token(&rest), ")"), to = is(sl_sql_token(&rest), "TO");
    u->url = sl_redshift_unquoted(u->a, sl_sql_token(&rest));
    u->prefix = sl_str_sub(u->url, 5, u->url.n);
    if (!open || !closed || !to || !sl_str_starts(u->url, SL_S("s3://")) || !sl_str_cut(&u->prefix, '/', &u->bucket) || u->prefix.p == NULL)
        return sl_err_set(err, SL_ERR_DATA, "pg.42601", "syntax error in UNLOAD: UNLOAD ('select …') TO 's3://bucket/prefix' with credentials is expected");
    while ((token = sl_sql_token(&rest)).n > 0)
        if (!option(u, token, &rest, err))
            return false;
    if (!u->credentials)
        return sl_err_set(err, SL_ERR_DATA, "pg.42601", "UNLOAD needs credentials: IAM_ROLE '…', CREDENTIALS '…', or ACCESS_KEY_ID and SECRET_ACCESS_KEY");
    if (u->format.n > 0 && is(u->format, "PARQUET") && (u->gzip || u->zstd || u->header))
        return sl_err_set(err, SL_ERR_DATA, "pg.42601", "UNLOAD FORMAT PARQUET takes no HEADER and no compression");
    return true;
}

/* ---- the objects ---- */

static bool broken(unload *u, sl_err *err)
{
    return sl_err_set(err, SL_ERR_IO, "pg.58030", "S3ServiceException: %.*s", SL_ARG(u->x.why.message));
}

/* The keys that begin with the prefix. */
static bool there(unload *u, sl_val *keys, sl_err *err)
{
    sl_db_lock(u->s->c->db);
    sl_stmt *s = sl_db_query(u->s->c->db, err, "SELECT key FROM s3_objects WHERE bucket=? AND key>=? ORDER BY key", "ss", u->bucket, u->prefix);
    bool ok = s != NULL;
    while (s != NULL && sl_stmt_next(s, err) == 1) {
        sl_str key = sl_col_str(s, u->a, 0);
        if (!sl_str_starts(key, u->prefix)) {
            sl_stmt_done(s);
            break;
        }
        sl_list_add(u->a, keys, sl_val_str(u->a, key));
    }
    sl_db_unlock(u->s->c->db);
    return ok;
}

static bool make_room(unload *u, sl_err *err)
{
    sl_val *keys = sl_list(u->a);
    if (!sl_s3_bucket_there(&u->x, u->bucket))
        return sl_err_set(err, SL_ERR_NOT_FOUND, "pg.XX000", "S3ServiceException: The specified bucket does not exist (%.*s)", SL_ARG(u->bucket));
    if (u->overwrite || !there(u, keys, err))
        return u->overwrite;
    if (sl_val_count(keys) > 0 && !u->clean)
        return sl_err_set(err, SL_ERR_CONFLICT, "pg.XX000", "Specified unload destination on S3 is not empty. Consider using a different bucket / prefix, manually removing the target files in S3, or using the ALLOWOVERWRITE option.");
    for (size_t i = 0; i < sl_val_count(keys); i++)
        if (!sl_s3_row_delete(&u->x, u->bucket, sl_text(sl_at(keys, i)), SL_S("")))
            return broken(u, err);
    return true;
}

static bool put(unload *u, sl_str key, sl_str blob, int64_t *ret_size, sl_err *err)
{
    sl_str path = sl_gcs_blob_path(u->s->c, u->a, blob), md5, raw;
    if (!sl_fs_size(path.p, ret_size, err) || !sl_gcs_md5(u->s->c, u->a, blob, &md5, err) || !sl_base64_decode(u->a, md5, &raw))
        return false;
    sl_s3_row row = { .bucket = u->bucket, .key = key, .blob = blob, .etag = sl_fmt(u->a, "\"%.*s\"", SL_ARG(sl_hex(u->a, raw))), .algorithm = SL_S(""), .checksum = SL_S(""), .headers = SL_S("{}"), .size = *ret_size, .modified_ms = sl_now_ms() };
    return sl_s3_row_put(&u->x, &row, SL_S("")) || broken(u, err);
}

/* DuckDB's words for the format. */
static sl_str format(unload *u)
{
    if (is(u->format, "PARQUET"))
        return SL_S("FORMAT parquet");
    const char *packed = u->gzip ? ", COMPRESSION gzip" : u->zstd ? ", COMPRESSION zstd" : "";
    if (is(u->format, "JSON"))
        return sl_fmt(u->a, "FORMAT json%s", packed);
    bool csv = is(u->format, "CSV");
    sl_str delimiter = sl_duck_text(u->a, u->delimiter.n ? u->delimiter : csv ? SL_S(",") : SL_S("|")), null_text = sl_duck_text(u->a, u->null_text);
    return sl_fmt(u->a, "FORMAT csv, HEADER %s, DELIMITER %.*s, NULLSTR %.*s%s%s", u->header ? "true" : "false", SL_ARG(delimiter), SL_ARG(null_text), csv ? "" : u->quotes ? ", FORCE_QUOTE *" : ", QUOTE ''", packed);
}

static bool write_manifest(unload *u, sl_str key, int64_t size, int64_t rows, sl_err *err)
{
    sl_val *entry = sl_map(u->a), *entries = sl_list(u->a), *doc = sl_map(u->a), *meta = sl_map(u->a);
    int64_t ignored;
    sl_map_set_str(u->a, entry, "url", sl_fmt(u->a, "s3://%.*s/%.*s", SL_ARG(u->bucket), SL_ARG(key)));
    sl_map_set_int(u->a, meta, "content_length", size);
    if (u->verbose)
        sl_map_set_int(u->a, meta, "record_count", rows);
    if (u->verbose || is(u->format, "PARQUET"))
        sl_map_setc(u->a, entry, "meta", meta);
    sl_list_add(u->a, entries, entry);
    sl_map_setc(u->a, doc, "entries", entries);
    sl_str blob = sl_gcs_new_blob(u->s->c, u->a);
    return sl_fs_write_atomic(sl_gcs_blob_path(u->s->c, u->a, blob).p, sl_json(u->a, doc), 0600, err) && put(u, sl_fmt(u->a, "%.*smanifest", SL_ARG(u->prefix)), blob, &ignored, err);
}

bool sl_redshift_unload(sl_redshift_session *s, sl_arena *a, sl_str statement, int64_t *rows, sl_err *err)
{
    unload u = { .s = s, .a = a, .x = { .c = s->c, .arena = a }, .format = SL_S(""), .delimiter = SL_S(""), .null_text = SL_S(""), .extension = SL_S("") };
    sl_str query;
    int64_t size;
    u.req = (sl_server_request){ .arena = a, .method = "PUT", .headers = sl_map(a), .params = sl_map(a) };
    u.x.req = &u.req;
    if (!parse(&u, statement, err) || !sl_redshift_rewrite(s, a, u.query, &query, err) || !make_room(&u, err))
        return false;
    sl_str blob = sl_gcs_new_blob(s->c, a), path = sl_duck_text(a, sl_gcs_blob_path(s->c, a, blob)), words = format(&u);
    if (!sl_duck_run(s->con, a, sl_fmt(a, "COPY (%.*s) TO %.*s (%.*s)", SL_ARG(query), SL_ARG(path), SL_ARG(words)), NULL, rows, err)) {
        (void)unlink(sl_gcs_blob_path(s->c, a, blob).p);
        return false;
    }
    sl_str tail = u.extension.n ? sl_fmt(a, ".%.*s", SL_ARG(u.extension)) : is(u.format, "PARQUET") ? SL_S(".parquet") : u.gzip ? SL_S(".gz") : u.zstd ? SL_S(".zst") : SL_S("");
    sl_str key = sl_fmt(a, u.serial ? "%.*s000%.*s" : "%.*s0000_part_00%.*s", SL_ARG(u.prefix), SL_ARG(tail));
    return put(&u, key, blob, &size, err) && (!u.manifest || write_manifest(&u, key, size, *rows, err));
}
