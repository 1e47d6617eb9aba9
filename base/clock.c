/* base/clock.c: see clock.h. */
#include "base/clock.h"

#include <errno.h>
#include <sys/random.h>

static int64_t real_us(clockid_t id)
{
    struct timespec t;
    (void)clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t real_now_ms(void)
{
    return real_us(CLOCK_REALTIME) / 1000;
}

static int64_t real_now_us(void)
{
    return real_us(CLOCK_REALTIME);
}

static int64_t real_mono_ms(void)
{
    return real_us(CLOCK_BOOTTIME) / 1000;
}

static void real_sleep_ms(int64_t ms)
{
    struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

static void real_random(void *out, size_t n)
{
    unsigned char *p = out;
    while (n > 0) {
        ssize_t got = getrandom(p, n > 256 ? 256 : n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        sl_assert(got > 0);
        p += got;
        n -= (size_t)got;
    }
}

static const sl_seams real = { real_now_ms, real_now_us, real_mono_ms, real_sleep_ms, real_random };
static const sl_seams *seams = &real;

void sl_seams_set(const sl_seams *other)
{
    seams = other ? other : &real;
}

int64_t sl_now_ms(void)
{
    return seams->now_ms();
}

int64_t sl_now_us(void)
{
    return seams->now_us();
}

int64_t sl_mono_ms(void)
{
    return seams->mono_ms();
}

void sl_sleep_ms(int64_t ms)
{
    if (ms > 0)
        seams->sleep_ms(ms);
}

void sl_random(void *out, size_t n)
{
    seams->random(out, n);
}

uint64_t sl_random_below(uint64_t bound)
{
    sl_assert(bound > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound, x;
    do
        sl_random(&x, sizeof x);
    while (x >= limit);
    return x % bound;
}

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"; /* in byte order */

void sl_ordered_id(char *out)
{
    enum { TIME = 8 };
    int64_t ms = sl_now_ms();
    sl_random_id(out);
    for (int i = TIME - 1; i >= 0; i--) {
        out[i] = digits[ms % 62];
        ms /= 62;
    }
}

void sl_random_id(char *out)
{
    uint64_t x[2];
    sl_random(x, sizeof x);
    for (int i = 0; i < 22; i++) {
        out[i] = digits[x[i / 11] % 62];
        x[i / 11] /= 62;
    }
    out[22] = '\0';
}
