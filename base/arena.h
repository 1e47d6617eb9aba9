/*
 * base/arena.h: memory by lifetime. Everything made for a flow, an execution, an attempt or a request dies with its arena.
 *
 * Running out of memory ends the process with a report (docs/adr/0002): state is always resumable, half-handled
 * allocation failures are not. Sizes that come from outside are checked against base/limits.h before they get here.
 * Threads: an arena belongs to one thread at a time.
 */
#pragma once

#include "base/base.h"

typedef struct sl_arena_mark {
    void *chunk;
    size_t used;
    void *cleanups;
} sl_arena_mark;

sl_arena *sl_arena_new(void);
/* Runs the cleanups, newest first, and frees everything. NULL is fine. */
void sl_arena_free(sl_arena *arena);
void sl_arena_freep(sl_arena **arena);
#define SL_ARENA SL_CLEANUP(sl_arena_freep) sl_arena *

/* Zeroed, aligned for any type. size 0 gives a valid pointer. */
void *sl_alloc(sl_arena *arena, size_t size);
void *sl_alloc_array(sl_arena *arena, size_t count, size_t size);
#define SL_NEW(arena, type) ((type *)sl_alloc((arena), sizeof(type)))
#define SL_ARRAY(arena, type, count) ((type *)sl_alloc_array((arena), (count), sizeof(type)))
/* Grows the newest allocation in place when it can, copies otherwise. The new part is zeroed. */
void *sl_realloc(sl_arena *arena, void *old, size_t old_size, size_t new_size);

/* fn(object) is called when the arena is freed or rewound past this point. */
void sl_arena_on_free(sl_arena *arena, void (*fn)(void *), void *object);

sl_arena_mark sl_arena_get_mark(sl_arena *arena);
void sl_arena_rewind(sl_arena *arena, sl_arena_mark mark);
/* Bytes handed out so far; for limits and reports. */

/* malloc that ends the process when memory is short; for the few objects that live outside arenas. Free with free(). */
void *sl_malloc(size_t size);
