/* base/arena.c: a list of chunks, newest first; chunks double up to 1 MiB. */
#include "base/arena.h"

#include <stdalign.h>

enum { CHUNK_MIN = 4096, CHUNK_MAX = 1 << 20 };

typedef struct chunk {
    struct chunk *next;
    size_t size, used;
    alignas(max_align_t) unsigned char data[];
} chunk;

typedef struct cleanup {
    struct cleanup *next;
    void (*fn)(void *);
    void *object;
} cleanup;

struct sl_arena {
    chunk *top;
    cleanup *cleanups;
};

void *sl_malloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (p == NULL) {
        (void)fprintf(stderr, "sluice: out of memory (%zu bytes asked); the process stops, its work can be continued\n", size);
        exit(75);
    }
    return p;
}

static chunk *chunk_new(size_t size)
{
    chunk *c = sl_malloc(sizeof(chunk) + size);
    c->next = NULL;
    c->size = size;
    c->used = 0;
    return c;
}

sl_arena *sl_arena_new(void)
{
    sl_arena *a = sl_malloc(sizeof *a);
    a->top = chunk_new(CHUNK_MIN - sizeof(chunk));
    a->cleanups = NULL;
    return a;
}

static void run_cleanups(sl_arena *a, cleanup *until)
{
    while (a->cleanups != until) {
        cleanup *c = a->cleanups;
        sl_assert(c != NULL);
        a->cleanups = c->next;
        c->fn(c->object);
    }
}

void sl_arena_free(sl_arena *a)
{
    if (a == NULL)
        return;
    run_cleanups(a, NULL);
    for (chunk *c = a->top; c != NULL;) {
        chunk *next = c->next;
        free(c);
        c = next;
    }
    free(a);
}

void sl_arena_freep(sl_arena **a)
{
    sl_arena_free(*a);
    *a = NULL;
}

static size_t align_up(size_t n)
{
    const size_t a = alignof(max_align_t);
    return (n + a - 1) & ~(a - 1);
}

void *sl_alloc(sl_arena *a, size_t size)
{
    sl_assert(a != NULL);
    sl_assert(size < SIZE_MAX / 2);
    size_t need = align_up(size ? size : 1);
    chunk *c = a->top;
    if (c->size - c->used < need) {
        size_t next = c->size * 2 < CHUNK_MAX ? c->size * 2 : CHUNK_MAX;
        chunk *fresh = chunk_new(need > next ? need : next);
        fresh->next = c;
        a->top = c = fresh;
    }
    void *p = c->data + c->used;
    c->used += need;
    memset(p, 0, need);
    return p;
}

void *sl_alloc_array(sl_arena *a, size_t count, size_t size)
{
    sl_assert(size == 0 || count < SIZE_MAX / 2 / size);
    return sl_alloc(a, count * size);
}

void *sl_realloc(sl_arena *a, void *old, size_t old_size, size_t new_size)
{
    sl_assert(new_size >= old_size);
    chunk *c = a->top;
    size_t old_need = align_up(old_size ? old_size : 1), new_need = align_up(new_size ? new_size : 1);
    if (old != NULL && c->used >= old_need && (unsigned char *)old == c->data + c->used - old_need
        && c->size - (c->used - old_need) >= new_need) {
        memset(c->data + c->used - old_need + old_size, 0, new_need - old_size);
        c->used += new_need - old_need;
        return old;
    }
    void *p = sl_alloc(a, new_size);
    if (old_size > 0)
        memcpy(p, old, old_size);
    return p;
}

void sl_arena_on_free(sl_arena *a, void (*fn)(void *), void *object)
{
    cleanup *c = SL_NEW(a, cleanup);
    *c = (cleanup){ .next = a->cleanups, .fn = fn, .object = object };
    a->cleanups = c;
}

sl_arena_mark sl_arena_get_mark(sl_arena *a)
{
    return (sl_arena_mark){ .chunk = a->top, .used = a->top->used, .cleanups = a->cleanups };
}

void sl_arena_rewind(sl_arena *a, sl_arena_mark mark)
{
    run_cleanups(a, mark.cleanups);
    while (a->top != mark.chunk) {
        chunk *c = a->top;
        sl_assert(c->next != NULL);
        a->top = c->next;
        free(c);
    }
    sl_assert(mark.used <= a->top->used);
    a->top->used = mark.used;
}
