/*
 * base/clock.h: the only access to time and randomness. A test swaps the whole table with sl_seams_set.
 *
 * Wall time dates things; monotonic time (which counts suspension) measures and waits.
 */
#pragma once

#include "base/base.h"

typedef struct sl_seams {
    int64_t (*now_ms)(void);              /* milliseconds since 1970 */
    int64_t (*now_us)(void);
    int64_t (*mono_ms)(void);
    void (*sleep_ms)(int64_t ms);
    void (*random)(void *out, size_t n);  /* cryptographic; never fails */
} sl_seams;

/* NULL restores the real ones. Not while other threads run. */
void sl_seams_set(const sl_seams *seams);
int64_t sl_now_ms(void);
int64_t sl_now_us(void);
int64_t sl_mono_ms(void);
void sl_sleep_ms(int64_t ms);
void sl_random(void *out, size_t n);
uint64_t sl_random_below(uint64_t bound); /* 0 <= x < bound */
/* 22 characters of [0-9A-Za-z], 128 bits. `out` holds 23 bytes. */
void sl_random_id(char *out);
/*
 * The same, but 8 of them say the time in milliseconds and 14 (83 bits) are random: execution and task run ids. Those made later
 * sort later, so that new rows lie side by side in the database.
 */
void sl_ordered_id(char *out);
