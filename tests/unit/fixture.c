/* tests/unit/fixture.c: see fixture.h. */
#include "tests/unit/fixture.h"

#include <time.h>

#include "base/clock.h"
#include "base/fs.h"

sl_kv *fixture_kv(sl_test_context *t)
{
    const char *dir = sl_test_dir(t), *data = sl_fmt(t->arena, "%s/data", dir).p;
    (void)setenv("XDG_CONFIG_HOME", sl_fmt(t->arena, "%s/config", dir).p, 1);
    (void)unsetenv("SLUICE_KEK_FILE");
    (void)unsetenv("CREDENTIALS_DIRECTORY");
    return sl_fs_mkdirs(data, &t->err) ? sl_kv_open(sl_fmt(t->arena, "%s/kv.db", data).p, data, false, &t->err) : NULL;
}

static int64_t fake_now, slept;

static int64_t now_ms(void)
{
    return fake_now;
}

static int64_t now_us(void)
{
    return fake_now * 1000;
}

static int64_t mono_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 + slept;
}

static void no_sleep(int64_t ms)
{
    slept += ms;
}

int64_t fixture_slept(void)
{
    return slept;
}

static void counted(void *out, size_t n)
{
    static unsigned char next;
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)out)[i] = next++;
}

void fixture_clock(int64_t ms)
{
    static const sl_seams seams = { .now_ms = now_ms, .now_us = now_us, .mono_ms = mono_ms, .sleep_ms = no_sleep, .random = counted };
    fake_now = ms;
    slept = 0;
    sl_seams_set(ms ? &seams : NULL);
}
