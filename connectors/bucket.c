/* connectors/bucket.c: see bucket.h. */
#include "connectors/bucket.h"

#include "base/arena.h"
#include "base/parallel.h"
#include "connectors/gcs/gcs.h"
#include "connectors/s3/s3.h"

enum { DELETERS = 8 };

/* Of which there may be sources: they stay where they are. */
static bool open_s3(const sl_bucket *b, sl_s3 **ret, sl_err *err)
{
    *ret = sl_alloc(sl_task_arena(b->task), sizeof **ret);
    return sl_s3_open(*ret, b->task, b->aws, b->name, err);
}

static bool open_gcs(const sl_bucket *b, sl_gcp **ret, sl_err *err)
{
    *ret = sl_alloc(sl_task_arena(b->task), sizeof **ret);
    return sl_gcp_open(*ret, b->task, "gcs", b->gcp, err);
}

bool sl_bucket_source(const sl_bucket *b, sl_str key, sl_source *ret, sl_err *err)
{
    sl_http_response head;
    sl_s3 *s;
    sl_gcp *g;
    if (b->google)
        return open_gcs(b, &g, err) && sl_gs_source(g, (sl_gs_uri){ .bucket = b->name, .object = key }, ret, err);
    return open_s3(b, &s, err) && sl_s3_source(s, s->aws.arena, key, SL_S(""), NULL, ret, &head, err);
}

bool sl_bucket_target(const sl_bucket *b, sl_str key, const sl_target_how *how, sl_target **ret, sl_err *err)
{
    if (b->google)
        return sl_gs_stream(how, b->gcp, (sl_gs_uri){ .bucket = b->name, .object = key }, ret, err);
    return sl_s3_stream(how, b->aws, b->name, key, SL_S(""), ret, err);
}

typedef struct lister {
    sl_arena *arena;
    sl_val *keys;
} lister;

static bool on_object(void *self, const sl_val *object, sl_err *err)
{
    (void)err;
    lister *l = self;
    sl_list_add(l->arena, l->keys, sl_val_str(l->arena, sl_get_text(object, "name")));
    return true;
}

bool sl_bucket_list(const sl_bucket *b, sl_str prefix, const sl_val **ret, sl_err *err)
{
    lister l = { .arena = sl_task_arena(b->task), .keys = sl_list(sl_task_arena(b->task)) };
    const sl_val *objects;
    sl_s3 *s;
    sl_gcp *g;
    *ret = l.keys;
    if (b->google) {
        sl_gs_listing all = { .listing_type = SL_S("RECURSIVE"), .filter = SL_S("BOTH") };
        return open_gcs(b, &g, err) && sl_gs_list(g, (sl_gs_uri){ .bucket = b->name, .object = prefix }, &all, on_object, &l, err);
    }
    sl_s3_listing all = { .prefix = prefix, .filter = SL_S("BOTH") };
    if (!open_s3(b, &s, err) || !sl_s3_find(s, &all, &objects, err))
        return false;
    for (size_t i = 0; i < sl_val_count(objects); i++)
        sl_list_add(l.arena, l.keys, sl_get(sl_at(objects, i), "key"));
    return true;
}

typedef struct deletion {
    const sl_bucket *bucket;
    sl_s3 *s3;
    const sl_gcp *gcs;
    const sl_val *keys;
} deletion;

static bool delete_nth(void *self, size_t i, sl_arena *arena, sl_err *err)
{
    deletion *d = self;
    sl_str key = sl_text(sl_at(d->keys, i));
    sl_http_response r;
    bool existed;
    if (sl_task_cancelled(d->bucket->task))
        return sl_err_set(err, SL_ERR_CANCELLED, "cancelled", "stopped while deleting");
    if (!d->bucket->google)
        return sl_s3_delete(d->s3, arena, key, &r, err);
    sl_gcp g = *d->gcs; /* one for each request: its arena is not for several threads */
    g.arena = arena;
    return sl_gs_delete(&g, (sl_gs_uri){ .bucket = d->bucket->name, .object = key }, &existed, err);
}

bool sl_bucket_delete(const sl_bucket *b, const sl_val *keys, sl_err *err)
{
    sl_gcp *g = NULL;
    deletion d = { .bucket = b, .keys = keys };
    size_t n = sl_val_count(keys);
    if (n == 0)
        return true;
    if (!(b->google ? open_gcs(b, &g, err) : open_s3(b, &d.s3, err)))
        return false;
    d.gcs = g;
    return sl_parallel(n < DELETERS ? n : DELETERS, n, delete_nth, &d, err);
}
