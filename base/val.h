/*
 * base/val.h: one value type for everything that is data: YAML nodes, JSON, expression values, inputs, outputs.
 *
 * A value lives in an arena and is immutable once somebody else can see it; builders change only what they made themselves.
 * Maps keep their insertion order. A value read from a text carries its line and column (from 1; 0 = none).
 * Integers are 64-bit; a decimal that a double cannot hold exactly is kept as a string by whoever reads it.
 */
#pragma once

#include "base/base.h"
#include "base/str.h"
#include "base/time.h"

typedef enum sl_type {
    SL_NULL, SL_BOOL, SL_INT, SL_DOUBLE, SL_STRING, SL_LIST, SL_MAP,
    SL_TIME,      /* an instant, a date, a time of day: sl_time says which */
    SL_DURATION,  /* milliseconds */
} sl_type;

typedef struct sl_entry {
    sl_str key;
    uint32_t line, column; /* of the key */
    const sl_val *value;
} sl_entry;

struct sl_val {
    sl_type type;
    uint32_t line, column;
    bool quoted;           /* a YAML scalar written in quotes, or a block */
    union {
        struct {
            union {
                bool b;
                int64_t i; /* also SL_DURATION, in ms */
                double d;
            };
            sl_str written; /* the word of a YAML text that became this: 010, yes, 1.50; .p == NULL: it came otherwise */
        };
        sl_str s;
        sl_time t;
        struct {
            const sl_val **items;
            size_t n, capacity;
        } list;
        struct {
            sl_entry *entries;
            size_t n, capacity;
            uint32_t *index;   /* open addressing over entries, built from 16 entries on; 0 = free, else entry + 1 */
            size_t index_size;
        } map;
    };
};

extern const sl_val sl_null_val, sl_true_val, sl_false_val;

const sl_val *sl_val_bool(bool b);
sl_val *sl_val_int(sl_arena *arena, int64_t i);
sl_val *sl_val_double(sl_arena *arena, double d);
/* A decimal number becomes an int or a double when that holds it exactly, and stays text otherwise. */
const sl_val *sl_val_decimal(sl_arena *arena, sl_str digits);
sl_val *sl_val_str(sl_arena *arena, sl_str s);      /* the view is kept, not copied */
sl_val *sl_val_c(sl_arena *arena, const char *text);
sl_val *sl_val_time(sl_arena *arena, sl_time t);
sl_val *sl_val_duration(sl_arena *arena, int64_t ms);
sl_val *sl_list(sl_arena *arena);
sl_val *sl_map(sl_arena *arena);

void sl_list_add(sl_arena *arena, sl_val *list, const sl_val *item);
/* Adds or replaces. The key is kept, not copied. */
void sl_map_set(sl_arena *arena, sl_val *map, sl_str key, const sl_val *value);
/* The same while a map is being filled: *seen, 0 to begin with, spares most looks for an entry of the same key. */
void sl_map_put(sl_arena *arena, sl_val *map, sl_str key, const sl_val *value, uint64_t *seen);
void sl_map_setc(sl_arena *arena, sl_val *map, const char *key, const sl_val *value);
void sl_map_set_str(sl_arena *arena, sl_val *map, const char *key, sl_str value);
void sl_map_set_int(sl_arena *arena, sl_val *map, const char *key, int64_t value);
void sl_map_set_bool(sl_arena *arena, sl_val *map, const char *key, bool value);
/* Optional members of a request: left out when the text is empty or the value NULL. */
void sl_map_opt_str(sl_arena *arena, sl_val *map, const char *key, sl_str value);
void sl_map_opt(sl_arena *arena, sl_val *map, const char *key, const sl_val *value);
/* {key: value} */
sl_val *sl_map_of(sl_arena *arena, const char *key, const sl_val *value);
bool sl_map_remove(sl_val *map, sl_str key);

/* Reading. `v` may be NULL or of another type: the answer is then NULL or the fallback. */
const sl_val *sl_get(const sl_val *v, const char *key);
const sl_val *sl_get_str(const sl_val *v, sl_str key);
const sl_entry *sl_map_entry(const sl_val *map, sl_str key);
const sl_val *sl_at(const sl_val *list, size_t index);
sl_str sl_text(const sl_val *v);                     /* SL_STRING's text, or the empty view */
sl_str sl_get_text(const sl_val *v, const char *key);
/* An integer, or text that is one (cloud APIs send 64-bit integers as strings). */
int64_t sl_get_int(const sl_val *v, const char *key, int64_t fallback);
bool sl_get_bool(const sl_val *v, const char *key, bool fallback);
size_t sl_val_count(const sl_val *v);                /* entries, items; 0 otherwise */
bool sl_is_null(const sl_val *v);
bool sl_is(const sl_val *v, sl_type type);
const char *sl_type_name(sl_type type);

bool sl_val_eq(const sl_val *a, const sl_val *b);    /* deep; 1 == 1.0 */
const sl_val *sl_val_copy(sl_arena *arena, const sl_val *v);  /* deep, strings too */
sl_val *sl_map_shallow(sl_arena *arena, const sl_val *map);   /* own entries, shared values; NULL gives an empty map */

/*
 * The map as it is now, in constant time, while its owner goes on adding new keys (never replacing or removing any): other
 * threads may read the view meanwhile. The view itself must not be changed.
 */
const sl_val *sl_map_view(sl_arena *arena, const sl_val *map);

/* The word that stood in a YAML text, where that is known; else as sl_val_text. */
sl_str sl_val_written(sl_arena *arena, const sl_val *v);

/* How an expression prints a value: strings raw, null empty, lists and maps as compact JSON (flow language section 5.5). */
sl_str sl_val_text(sl_arena *arena, const sl_val *v);
