/* tests/harness/test.c: see test.h. */
#include "tests/harness/test.h"

#include <stdarg.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/secret.h"

static sl_test *tests;

void sl_test_register(sl_test *test)
{
    test->next = tests;
    tests = test;
}

void sl_test_fail(sl_test_context *t, const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)printf("  %s:%d: ", file, line);
    (void)vprintf(fmt, ap);
    (void)printf("\n");
    va_end(ap);
    t->failed = true;
}

const char *sl_test_dir(sl_test_context *t)
{
    if (t->dir[0] == '\0') {
        (void)snprintf(t->dir, sizeof t->dir, "/tmp/sluice-test-XXXXXX");
        sl_assert(mkdtemp(t->dir) != NULL);
    }
    return t->dir;
}

typedef struct data_visit {
    sl_test_context *t;
    const char *root;
    void (*fn)(sl_test_context *t, const char *path);
} data_visit;

static bool visit(void *self, sl_str relative, int64_t size, sl_err *err)
{
    (void)size;
    (void)err;
    const data_visit *v = self;
    SL_ARENA a = sl_arena_new();
    v->fn(v->t, sl_fmt(a, "%s/%.*s", v->root, SL_ARG(relative)).p);
    return true;
}

void sl_test_data(sl_test_context *t, const char *folder, void (*fn)(sl_test_context *t, const char *path))
{
    SL_ARENA a = sl_arena_new();
    data_visit v = { t, sl_fmt(a, "%s/tests/data/%s", SL_SOURCE_DIR, folder).p, fn };
    CHECK_OK(sl_fs_walk(v.root, 10000, visit, &v, &t->err));
}

static bool run_one(const sl_test *test)
{
    sl_test_context t = { .arena = sl_arena_new() };
    sl_err ignored;
    sl_err_clear(&t.err);
    test->fn(&t);
    sl_redact_reset();
    if (t.dir[0] != '\0')
        (void)sl_fs_remove(t.dir, &ignored);
    sl_arena_free(t.arena);
    if (t.failed)
        (void)printf("FAILED %s/%s\n", test->group, test->name);
    return !t.failed;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;
    (void)setenv("TZ", "UTC", 1); /* what tests expect does not depend on where they run */
    for (const sl_test *test = tests; test != NULL; test = test->next) {
        char name[200];
        (void)snprintf(name, sizeof name, "%s/%s", test->group, test->name);
        if (argc > 1 && strstr(name, argv[1]) == NULL)
            continue;
        if (run_one(test))
            passed++;
        else
            failed++;
    }
    (void)printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
