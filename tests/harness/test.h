/*
 * tests/harness/test.h: a small harness: SL_TEST(group, name) { … } registers itself; CHECK… say what was expected.
 *
 * A test gets an arena of its own and a temporary folder on demand. The runner takes a substring of group/name as its argument.
 */
#pragma once

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

typedef struct sl_test_context {
    sl_arena *arena;
    sl_err err;
    bool failed;
    char dir[64];
} sl_test_context;

typedef struct sl_test {
    struct sl_test *next;
    const char *group, *name;
    void (*fn)(sl_test_context *t);
} sl_test;

void sl_test_register(sl_test *test);
void sl_test_fail(sl_test_context *t, const char *file, int line, const char *fmt, ...) SL_PRINTF(4, 5);
const char *sl_test_dir(sl_test_context *t);  /* an empty folder, removed afterwards */
/* Calls fn with the path of every file below tests/data/FOLDER. */
void sl_test_data(sl_test_context *t, const char *folder, void (*fn)(sl_test_context *t, const char *path));

#define SL_TEST(group_name, test_name)                                                                                       \
    static void test_##group_name##_##test_name(sl_test_context *t);                                                         \
    static sl_test reg_##group_name##_##test_name = { NULL, #group_name, #test_name, test_##group_name##_##test_name };      \
    __attribute__((constructor)) static void add_##group_name##_##test_name(void)                                           \
    {                                                                                                                        \
        sl_test_register(&reg_##group_name##_##test_name);                                                                   \
    }                                                                                                                        \
    static void test_##group_name##_##test_name(SL_UNUSED sl_test_context *t)

#define CHECK(cond)                                                                  \
    do {                                                                             \
        if (!(cond))                                                                 \
            sl_test_fail(t, __FILE__, __LINE__, "%s does not hold", #cond);          \
    } while (0)
#define CHECK_OK(cond)                                                               \
    do {                                                                             \
        if (!(cond))                                                                 \
            sl_test_fail(t, __FILE__, __LINE__, "%s: %s", #cond, t->err.message);    \
    } while (0)
#define CHECK_STR(actual, expected)                                                                                                        \
    do {                                                                                                                                   \
        sl_str check_a = (actual), check_e = sl_str_c(expected);                                                                           \
        if (!sl_str_eq(check_a, check_e))                                                                                                  \
            sl_test_fail(t, __FILE__, __LINE__, "%s is '%.*s', expected '%.*s'", #actual, SL_ARG(check_a), SL_ARG(check_e));              \
    } while (0)
#define CHECK_INT(actual, expected)                                                                                              \
    do {                                                                                                                         \
        long long check_a = (long long)(actual), check_e = (long long)(expected);                                                \
        if (check_a != check_e)                                                                                                  \
            sl_test_fail(t, __FILE__, __LINE__, "%s is %lld, expected %lld", #actual, check_a, check_e);                         \
    } while (0)
#define CHECK_ERR(cond, part)                                                                                                    \
    do {                                                                                                                         \
        if (cond)                                                                                                                \
            sl_test_fail(t, __FILE__, __LINE__, "%s should have failed", #cond);                                                 \
        else if (sl_str_find(sl_str_c(t->err.message), sl_str_c(part)) < 0)                                                     \
            sl_test_fail(t, __FILE__, __LINE__, "the error is '%s', expected it to say '%s'", t->err.message, part);             \
    } while (0)
