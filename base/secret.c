/* base/secret.c: locked memory for secret values. The redactor is redact.c. */
#include "base/secret.h"

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/arena.h"

struct sl_secret {
    size_t size;    /* of the mapping */
    size_t n;
    char value[];
};

/* One mapping each: secrets are few, and a page of its own can be locked, kept out of dumps and wiped in children. */
sl_secret *sl_secret_new(sl_str value)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = (sizeof(sl_secret) + value.n + 1 + page - 1) / page * page;
    sl_secret *s = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sl_assert(s != MAP_FAILED);
    (void)mlock(s, size); /* best effort: the limit on locked memory may be small */
    (void)madvise(s, size, MADV_DONTDUMP);
    (void)madvise(s, size, MADV_WIPEONFORK);
    s->size = size;
    s->n = value.n;
    if (value.n > 0)
        memcpy(s->value, value.p, value.n);
    s->value[value.n] = '\0';
    sl_redact_add(value);
    return s;
}

void sl_secret_free(sl_secret *s)
{
    if (s == NULL)
        return;
    size_t size = s->size;
    OPENSSL_cleanse(s, size);
    (void)munmap(s, size);
}

void sl_secret_freep(sl_secret **s)
{
    sl_secret_free(*s);
    *s = NULL;
}

static void free_object(void *s)
{
    sl_secret_free(s);
}

sl_secret *sl_secret_in(sl_arena *arena, sl_str value)
{
    sl_secret *s = sl_secret_new(value);
    sl_arena_on_free(arena, free_object, s);
    return s;
}

sl_str sl_secret_reveal(const sl_secret *s)
{
    return (sl_str){ s->value, s->n };
}

void sl_wipe(void *p, size_t n)
{
    if (n > 0)
        OPENSSL_cleanse(p, n);
}

bool sl_secret_equal(sl_str a, sl_str b)
{
    return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}

void sl_secret_harden(void)
{
    struct rlimit none = { 0, 0 };
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
