/* service/live.c: the executions in memory: by id, by the time at which they have something to do, and those of this turn. */
#include <stdlib.h>

#include "base/arena.h"
#include "service/engine_private.h"

enum { TABLE_MIN = 64 };

static size_t slot_of(const sl_engine *e, sl_str id)
{
    return (size_t)sl_str_hash(id) & (e->table_size - 1);
}

static void grow(sl_engine *e)
{
    sl_live **old = e->table;
    size_t old_size = e->table_size;
    e->table_size = old_size ? old_size * 2 : TABLE_MIN;
    e->table = sl_malloc(e->table_size * sizeof(sl_live *));
    memset(e->table, 0, e->table_size * sizeof(sl_live *));
    for (size_t i = 0; i < old_size; i++)
        for (sl_live *l = old[i]; l != NULL;) {
            sl_live *next = l->hash_next;
            size_t at = slot_of(e, l->x->id);
            l->hash_next = e->table[at];
            e->table[at] = l;
            l = next;
        }
    free(old);
}

sl_live *sl_live_find(sl_engine *e, sl_str id)
{
    sl_live *l = e->table_size ? e->table[slot_of(e, id)] : NULL;
    while (l != NULL && !sl_str_eq(l->x->id, id))
        l = l->hash_next;
    return l;
}

sl_live *sl_live_add(sl_engine *e, sl_exec *x, sl_flow_ref *ref)
{
    if (e->live_count >= e->table_size)
        grow(e);
    sl_live *l = sl_malloc(sizeof *l);
    *l = (sl_live){ .x = x, .ref = ref, .wake_ms = INT64_MAX, .paused_told = x->state == SL_PAUSED };
    size_t at = slot_of(e, x->id);
    l->hash_next = e->table[at];
    e->table[at] = l;
    e->live_count++;
    sl_live_touch(e, l);
    return l;
}

void sl_live_remove(sl_engine *e, sl_live *l)
{
    sl_assert(l->jobs == 0 && !l->touched);
    sl_live_reschedule(e, l, INT64_MAX);
    sl_live **p = &e->table[slot_of(e, l->x->id)];
    while (*p != l)
        p = &(*p)->hash_next;
    *p = l->hash_next;
    e->live_count--;
    sl_arena_free(l->x->arena);
    sl_flow_cache_put(e->flows, l->ref);
    if (l->poll != NULL)
        sl_arena_free(l->poll->arena);
    free(l);
}

void sl_live_touch(sl_engine *e, sl_live *l)
{
    if (l->touched)
        return;
    l->touched = true;
    l->next_touched = e->touched;
    e->touched = l;
}

sl_live *sl_live_each(const sl_engine *e, size_t *at, sl_live *before)
{
    if (before != NULL && before->hash_next != NULL)
        return before->hash_next;
    while (*at < e->table_size)
        if (e->table[(*at)++] != NULL)
            return e->table[*at - 1];
    return NULL;
}

/* ---- the heap ---- */

static void place(sl_engine *e, size_t at, sl_live *l)
{
    e->heap[at] = l;
    l->heap_at = at;
}

static void sift_up(sl_engine *e, size_t at)
{
    sl_live *l = e->heap[at];
    for (; at > 0 && e->heap[(at - 1) / 2]->wake_ms > l->wake_ms; at = (at - 1) / 2)
        place(e, at, e->heap[(at - 1) / 2]);
    place(e, at, l);
}

static void sift_down(sl_engine *e, size_t at)
{
    sl_live *l = e->heap[at];
    for (;;) {
        size_t child = at * 2 + 1;
        if (child + 1 < e->heap_count && e->heap[child + 1]->wake_ms < e->heap[child]->wake_ms)
            child++;
        if (child >= e->heap_count || e->heap[child]->wake_ms >= l->wake_ms)
            break;
        place(e, at, e->heap[child]);
        at = child;
    }
    place(e, at, l);
}

void sl_live_reschedule(sl_engine *e, sl_live *l, int64_t wake_ms)
{
    int64_t was = l->wake_ms;
    l->wake_ms = wake_ms;
    if (was == wake_ms)
        return;
    if (was == INT64_MAX) {
        if (e->heap_count == e->heap_capacity) {
            size_t wanted = e->heap_capacity ? e->heap_capacity * 2 : TABLE_MIN;
            sl_live **heap = sl_malloc(wanted * sizeof *heap);
            if (e->heap_count > 0)
                memcpy(heap, e->heap, e->heap_count * sizeof *heap);
            free(e->heap);
            e->heap = heap;
            e->heap_capacity = wanted;
        }
        e->heap[e->heap_count] = l;
        l->heap_at = e->heap_count;
        sift_up(e, e->heap_count++);
        return;
    }
    size_t at = l->heap_at;
    if (wake_ms != INT64_MAX) {
        if (wake_ms < was)
            sift_up(e, at);
        else
            sift_down(e, at);
        return;
    }
    sl_live *last = e->heap[--e->heap_count];
    if (last == l)
        return;
    place(e, at, last);
    sift_up(e, at);
    sift_down(e, last->heap_at);
}

sl_live *sl_live_due(sl_engine *e, int64_t now)
{
    return e->heap_count > 0 && e->heap[0]->wake_ms <= now ? e->heap[0] : NULL;
}

int64_t sl_live_next_wake(const sl_engine *e)
{
    return e->heap_count > 0 ? e->heap[0]->wake_ms : INT64_MAX;
}
