/* connectors/transfer/place.c: addresses of sources and targets. See transfer.h. */
#include "base/arena.h"
#include "connectors/gcs/gcs.h"
#include "connectors/s3/s3.h"
#include "connectors/transfer/transfer.h"

static bool bucket_and_key(sl_str uri, sl_str *bucket, sl_str *key, sl_err *err)
{
    sl_str rest = sl_str_sub(uri, 5, uri.n);
    ptrdiff_t slash = sl_str_find(rest, SL_S("/"));
    if (slash <= 0 || (size_t)slash + 1 == rest.n)
        return sl_err_set(err, SL_ERR_CONFIG, "copy.place", "'%.*s' must name an object: s3://bucket/key", SL_ARG(uri));
    *bucket = sl_str_sub(rest, 0, (size_t)slash);
    *key = sl_str_sub(rest, (size_t)slash + 1, rest.n);
    return true;
}

static bool s3_source(sl_task *t, const sl_copy_cfg *c, sl_source *ret, sl_err *err)
{
    sl_str bucket, key;
    sl_http_response head;
    sl_s3 *s = sl_alloc(sl_task_arena(t), sizeof *s);
    return bucket_and_key(c->from, &bucket, &key, err) && sl_s3_open(s, t, &c->aws, bucket, err) && sl_s3_use_key(s, c->from_key, err) && sl_s3_source(s, s->aws.arena, key, SL_S(""), NULL, ret, &head, err);
}

static bool gs_source(sl_task *t, const sl_copy_cfg *c, sl_source *ret, sl_err *err)
{
    sl_gs_uri uri;
    sl_gcp *g = sl_alloc(sl_task_arena(t), sizeof *g);
    return sl_gcp_open(g, t, "gcs", &c->gcp, err) && sl_gs_parse(sl_task_arena(t), c->from, false, &uri, err) && sl_gs_source(g, uri, ret, err);
}

static bool file_source(sl_task *t, sl_str uri, sl_source *ret, sl_err *err)
{
    sl_str path;
    return sl_task_local_file(t, uri, &path, err) && sl_source_file(t, path, sl_cstr(sl_task_arena(t), uri), ret, err);
}

/* A key for a place that takes none would leave the bytes open that were to be closed. */
static bool key_fits(sl_str key, sl_str place, const char *property, sl_err *err)
{
    return key.n == 0 || sl_str_starts(place, SL_S("s3://")) || sl_err_set(err, SL_ERR_CONFIG, "copy.key", "'%s' is for s3://, and cannot encrypt %.*s", property, SL_ARG(place));
}

bool sl_copy_source(sl_task *t, const sl_copy_cfg *c, sl_source *ret, sl_err *err)
{
    sl_str from = c->from;
    if (!key_fits(c->from_key, from, "fromSseCustomerKey", err))
        return false;
    if (sl_str_starts(from, SL_S("http://")) || sl_str_starts(from, SL_S("https://")))
        return sl_copy_web(t, from, c->headers, ret, err);
    if (sl_str_starts(from, SL_S("s3://")))
        return s3_source(t, c, ret, err);
    if (sl_str_starts(from, SL_S("gs://")))
        return gs_source(t, c, ret, err);
    if (sl_str_starts(from, SL_S("kestra://")) || sl_str_starts(from, SL_S("file://")))
        return file_source(t, from, ret, err);
    return sl_err_set(err, SL_ERR_CONFIG, "copy.place", "'from' must begin with https://, http://, s3://, gs://, kestra:// or file://, not '%.*s'", SL_ARG(from));
}

bool sl_copy_target(const sl_copy_cfg *c, sl_str to, const sl_target_how *how, sl_target **ret, sl_err *err)
{
    sl_gs_uri uri;
    sl_str bucket, key;
    if (!key_fits(c->to_key, to, "toSseCustomerKey", err))
        return false;
    if (sl_str_starts(to, SL_S("s3://")))
        return bucket_and_key(to, &bucket, &key, err) && sl_s3_stream(how, &c->aws, bucket, key, c->to_key, ret, err);
    if (sl_str_starts(to, SL_S("gs://")))
        return sl_gs_parse(sl_task_arena(how->task), to, false, &uri, err) && sl_gs_stream(how, &c->gcp, uri, ret, err);
    if (sl_str_find(to, SL_S("://")) >= 0)
        return sl_err_set(err, SL_ERR_CONFIG, "copy.place", "'to' must begin with s3:// or gs://, or be the name of a stored file, not '%.*s'", SL_ARG(to));
    return sl_target_stored(how, to, ret, err);
}
