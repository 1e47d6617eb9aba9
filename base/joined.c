/* base/joined.c: see joined.h. */
#include "base/joined.h"

#include <pthread.h>

#include "base/arena.h"

/* Pieces without a gap between them. */
typedef struct run {
    int64_t begin, end;
    uint64_t crc;
} run;

struct sl_joined {
    sl_algorithm algorithm;
    pthread_mutex_t lock;
    run *runs;                    /* by where they begin; never touching: about as many as there are threads */
    size_t n, room;
};

sl_joined *sl_joined_new(sl_algorithm a)
{
    sl_assert(sl_checksum_joins(a));
    sl_joined *j = sl_malloc(sizeof *j);
    *j = (sl_joined){ .algorithm = a };
    pthread_mutex_init(&j->lock, NULL);
    return j;
}

static void insert(sl_joined *j, size_t at, run r)
{
    if (j->n == j->room) {
        run *larger = sl_malloc((j->room = 2 * j->room + 8) * sizeof *larger);
        if (j->n > 0)
            memcpy(larger, j->runs, j->n * sizeof *larger);
        free(j->runs);
        j->runs = larger;
    }
    memmove(j->runs + at + 1, j->runs + at, (j->n - at) * sizeof r);
    j->runs[at] = r;
    j->n++;
}

/* Run `at` and the next one are one, if nothing lies between them. */
static void join(sl_joined *j, size_t at)
{
    if (at + 1 >= j->n || j->runs[at].end != j->runs[at + 1].begin)
        return;
    run *first = &j->runs[at], *second = first + 1;
    first->crc = sl_checksum_join(j->algorithm, first->crc, second->crc, second->end - second->begin);
    first->end = second->end;
    j->n--;
    memmove(second, second + 1, (j->n - at - 1) * sizeof *second);
}

void sl_joined_add(sl_joined *j, int64_t at, int64_t n, uint64_t crc)
{
    if (n == 0)
        return;
    pthread_mutex_lock(&j->lock);
    size_t i = 0;
    while (i < j->n && j->runs[i].begin < at)
        i++;
    insert(j, i, (run){ at, at + n, crc });
    join(j, i);
    if (i > 0)
        join(j, i - 1);
    pthread_mutex_unlock(&j->lock);
}

int64_t sl_joined_begun(sl_joined *j, uint64_t *ret_crc)
{
    pthread_mutex_lock(&j->lock);
    bool any = j->n > 0 && j->runs[0].begin == 0;
    int64_t n = any ? j->runs[0].end : 0;
    *ret_crc = any ? j->runs[0].crc : 0;
    pthread_mutex_unlock(&j->lock);
    return n;
}

void sl_joined_free(sl_joined *j)
{
    if (j == NULL)
        return;
    pthread_mutex_destroy(&j->lock);
    free(j->runs);
    free(j);
}
