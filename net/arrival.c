/* net/arrival.c: see arrival.h. */
#include "net/arrival.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"

typedef enum phase { HEAD, BODY, ANSWER, IDLE, CLOSED } phase;

struct sl_arrival {
    sl_arrivals *all;
    sl_arrival *next, *previous;
    int fd;
    phase phase;
    int64_t deadline_ms;           /* by the monotonic clock */
    int64_t window_bytes;          /* of the body, since the deadline was set */
};

struct sl_arrivals {
    int64_t head_ms, body_ms, body_bytes;
    pthread_mutex_t lock;
    pthread_cond_t changed;        /* a first connection to wait for, or the end */
    sl_arrival *first;
    bool stop;
    pthread_t thread;
};

/* The client is told, in as far as it listens; libmicrohttpd sees the end of the connection and lets go of it. */
static void cut(sl_arrival *one)
{
    static const char text[] = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    if (one->phase != IDLE)
        (void)send(one->fd, text, sizeof text - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(one->fd, SHUT_RDWR);
    one->phase = CLOSED;
}

static int64_t cut_late(sl_arrivals *all, int64_t now)
{
    int64_t next = INT64_MAX;
    for (sl_arrival *one = all->first; one != NULL; one = one->next) {
        if (one->phase == ANSWER || one->phase == CLOSED)
            continue;
        if (one->deadline_ms <= now)
            cut(one);
        else if (one->deadline_ms < next)
            next = one->deadline_ms;
    }
    return next;
}

static void *watch(void *self)
{
    enum { LEAST_MS = 20 };        /* deadlines only move on: so often is enough */
    sl_arrivals *all = self;
    pthread_mutex_lock(&all->lock);
    while (!all->stop) {
        int64_t now = sl_mono_ms(), until = cut_late(all, now);
        if (until == INT64_MAX) {
            pthread_cond_wait(&all->changed, &all->lock);
            continue;
        }
        int64_t wait = until - now > LEAST_MS ? until - now : LEAST_MS;
        struct timespec at;
        (void)clock_gettime(CLOCK_MONOTONIC, &at);
        at.tv_sec += wait / 1000;
        at.tv_nsec += wait % 1000 * 1000000;
        if (at.tv_nsec >= 1000000000) {
            at.tv_sec++;
            at.tv_nsec -= 1000000000;
        }
        (void)pthread_cond_timedwait(&all->changed, &all->lock, &at);
    }
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

sl_arrivals *sl_arrivals_new(int64_t head_ms, int64_t body_ms, int64_t body_bytes)
{
    sl_arrivals *all = sl_malloc(sizeof *all);
    *all = (sl_arrivals){ .head_ms = head_ms, .body_ms = body_ms, .body_bytes = body_bytes };
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&all->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&all->lock, NULL);
    if (pthread_create(&all->thread, NULL, watch, all) == 0)
        return all;
    pthread_cond_destroy(&all->changed);
    pthread_mutex_destroy(&all->lock);
    free(all);
    return NULL;
}

void sl_arrivals_free(sl_arrivals *all)
{
    if (all == NULL)
        return;
    pthread_mutex_lock(&all->lock);
    all->stop = true;
    pthread_cond_signal(&all->changed);
    pthread_mutex_unlock(&all->lock);
    pthread_join(all->thread, NULL);
    pthread_cond_destroy(&all->changed);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

static void enter(sl_arrival *one, phase to, int64_t ms)
{
    sl_arrivals *all = one->all;
    pthread_mutex_lock(&all->lock);
    if (one->phase != CLOSED) {
        one->phase = to;
        one->window_bytes = 0;
        one->deadline_ms = sl_mono_ms() + ms;
        if (to != ANSWER)
            pthread_cond_signal(&all->changed);
    }
    pthread_mutex_unlock(&all->lock);
}

sl_arrival *sl_arrival_open(sl_arrivals *all, int fd)
{
    sl_arrival *one = sl_malloc(sizeof *one);
    *one = (sl_arrival){ .all = all, .fd = fd, .phase = HEAD, .deadline_ms = sl_mono_ms() + all->head_ms };
    pthread_mutex_lock(&all->lock);
    one->next = all->first;
    if (one->next != NULL)
        one->next->previous = one;
    all->first = one;
    pthread_cond_signal(&all->changed);
    pthread_mutex_unlock(&all->lock);
    return one;
}

void sl_arrival_close(sl_arrival *one)
{
    sl_arrivals *all = one->all;
    pthread_mutex_lock(&all->lock);
    if (one->previous != NULL)
        one->previous->next = one->next;
    else
        all->first = one->next;
    if (one->next != NULL)
        one->next->previous = one->previous;
    pthread_mutex_unlock(&all->lock);
    free(one);
}

void sl_arrival_head(sl_arrival *one)
{
    enter(one, BODY, one->all->body_ms);
}

void sl_arrival_body(sl_arrival *one, size_t bytes)
{
    sl_arrivals *all = one->all;
    pthread_mutex_lock(&all->lock);
    one->window_bytes += (int64_t)bytes;
    if (one->phase == BODY && one->window_bytes >= all->body_bytes) {
        one->window_bytes = 0;
        one->deadline_ms = sl_mono_ms() + all->body_ms;
    }
    pthread_mutex_unlock(&all->lock);
}

void sl_arrival_complete(sl_arrival *one)
{
    enter(one, ANSWER, 0);
}

void sl_arrival_next(sl_arrival *one, int64_t idle_ms)
{
    enter(one, IDLE, idle_ms);
}
