/* service/flow_cache.c: see flow_cache.h. Flows without a user stay for a while: the next execution is likely to want them. */
#include "service/flow_cache.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/arena.h"

enum { BUCKETS = 256, IDLE_MAX = 32 };

struct sl_flow_cache {
    pthread_mutex_t lock;
    const sl_registry *registry;
    const sl_val *defaults;
    sl_flow_ref *buckets[BUCKETS];
    size_t idle;
    int64_t uses;
};

sl_flow_cache *sl_flow_cache_new(const sl_registry *registry, const sl_val *defaults)
{
    sl_flow_cache *c = sl_malloc(sizeof *c);
    *c = (sl_flow_cache){ .registry = registry, .defaults = defaults };
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void sl_flow_cache_free(sl_flow_cache *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (sl_flow_ref *r = c->buckets[i]; r != NULL;) {
            sl_flow_ref *next = r->next;
            sl_arena_free(r->flow->arena);
            free(r);
            r = next;
        }
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static sl_flow_ref **bucket_of(sl_flow_cache *c, sl_str source)
{
    return &c->buckets[sl_str_hash(source) % BUCKETS];
}

static sl_flow_ref *find(sl_flow_cache *c, sl_str source, int64_t revision)
{
    for (sl_flow_ref *r = *bucket_of(c, source); r != NULL; r = r->next)
        if (r->flow->revision == revision && sl_str_eq(r->flow->source, source)) {
            c->idle -= r->users == 0;
            r->users++;
            r->used = ++c->uses;
            return r;
        }
    return NULL;
}

/* The one that nobody has used for longest goes. */
static void drop_oldest(sl_flow_cache *c)
{
    sl_flow_ref **oldest = NULL;
    for (size_t i = 0; i < BUCKETS; i++)
        for (sl_flow_ref **r = &c->buckets[i]; *r != NULL; r = &(*r)->next)
            if ((*r)->users == 0 && (oldest == NULL || (*r)->used < (*oldest)->used))
                oldest = r;
    if (oldest == NULL)
        return;
    sl_flow_ref *gone = *oldest;
    *oldest = gone->next;
    c->idle--;
    sl_arena_free(gone->flow->arena);
    free(gone);
}

sl_flow_ref *sl_flow_cache_get(sl_flow_cache *c, sl_str source, int64_t revision, sl_problems *problems, sl_err *err)
{
    pthread_mutex_lock(&c->lock);
    sl_flow_ref *r = find(c, source, revision);
    pthread_mutex_unlock(&c->lock);
    if (r != NULL)
        return r;
    sl_arena *arena = sl_arena_new();
    sl_problems own = { .arena = problems ? problems->arena : arena }, *list = problems ? problems : &own;
    sl_flow *flow = sl_flow_parse(arena, c->registry, c->defaults, source, list);
    if (flow == NULL) {
        if (problems == NULL)
            sl_err_set(err, SL_ERR_CONFIG, "flow.invalid", "the stored flow is not valid any more: %.*s", SL_ARG(own.first->message));
        sl_arena_free(arena);
        return NULL;
    }
    flow->revision = revision;
    pthread_mutex_lock(&c->lock);
    r = find(c, source, revision); /* another thread may have been quicker */
    if (r == NULL) {
        r = sl_malloc(sizeof *r);
        *r = (sl_flow_ref){ .flow = flow, .users = 1, .used = ++c->uses, .next = *bucket_of(c, source) };
        *bucket_of(c, source) = r;
        flow = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    if (flow != NULL)
        sl_arena_free(arena);
    return r;
}

sl_flow_ref *sl_flow_cache_share(sl_flow_cache *c, sl_flow_ref *ref)
{
    pthread_mutex_lock(&c->lock);
    ref->users++;
    pthread_mutex_unlock(&c->lock);
    return ref;
}

void sl_flow_cache_put(sl_flow_cache *c, sl_flow_ref *ref)
{
    if (ref == NULL)
        return;
    pthread_mutex_lock(&c->lock);
    sl_assert(ref->users > 0);
    if (--ref->users == 0 && ++c->idle > IDLE_MAX)
        drop_oldest(c);
    pthread_mutex_unlock(&c->lock);
}
