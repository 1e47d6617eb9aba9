/*
 * base/base.h: the one header everyone includes first: sized types, attributes, string views, assertions.
 *
 * A view (sl_str) never owns memory. Every string that comes out of an arena is followed by a NUL byte, so that .p can be
 * handed to C libraries; a view cut out of another one is not, which is why such calls take an arena copy first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/banned.h"

typedef struct sl_arena sl_arena;
typedef struct sl_err sl_err;
typedef struct sl_val sl_val;

typedef struct sl_str {
    const char *p;
    size_t n;
} sl_str;

#define SL_S(literal) ((sl_str){ "" literal, sizeof(literal) - 1 })
#define SL_ARG(s) (int)(s).n, ((s).p ? (s).p : "")

#define SL_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define SL_UNUSED __attribute__((unused))
#define SL_NORETURN __attribute__((noreturn))
#define SL_CLEANUP(f) __attribute__((cleanup(f)))
#define SL_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Ends the process with a report: a broken invariant of ours, never a reaction to outside data. On in release builds too. */
SL_NORETURN void sl_panic(const char *file, int line, const char *what);
#define sl_assert(cond) ((cond) ? (void)0 : sl_panic(__FILE__, __LINE__, #cond))
