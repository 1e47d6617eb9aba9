/*
 * bench/load.c: a client that costs little: POSTs executions to a server over keep-alive connections, as fast as it answers or at
 * a given rate, and prints: answered seconds p50_ms p99_ms. Any answer but 200 ends it with status 1.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct {
    int port, connections;
    long count;
    double rate;               /* a second; 0 = as fast as possible */
    char request[2048];
    size_t request_n;
    atomic_long next;
    double *latency, began;
    atomic_bool failed;
} job;

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int dial(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)job.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    if (fd >= 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* One exchange; the answer's length is in its Content-Length. */
static bool exchange(int fd)
{
    char buf[65536];
    size_t n = 0, wanted = 0;
    if (write(fd, job.request, job.request_n) != (ssize_t)job.request_n)
        return false;
    do {
        ssize_t got = read(fd, buf + n, sizeof buf - 1 - n);
        if (got <= 0)
            return false;
        n += (size_t)got;
        buf[n] = '\0';
        char *end = strstr(buf, "\r\n\r\n"), *length = end ? strcasestr(buf, "Content-Length:") : NULL;
        if (end != NULL && length != NULL)
            wanted = (size_t)(end + 4 - buf) + strtoul(length + 15, NULL, 10);
    } while (wanted == 0 || n < wanted);
    if (strncmp(buf, "HTTP/1.1 200", 12) != 0)
        (void)fprintf(stderr, "%.300s\n", buf);
    return strncmp(buf, "HTTP/1.1 200", 12) == 0;
}

static void *worker(void *arg)
{
    (void)arg;
    int fd = dial();
    long i;
    while (!job.failed && (i = atomic_fetch_add(&job.next, 1)) < job.count) {
        double due = job.rate > 0 ? job.began + (double)i / job.rate : now(), wait = due - now();
        if (wait > 0)
            (void)usleep((useconds_t)(wait * 1e6));
        if (fd < 0 || !exchange(fd))
            job.failed = true;
        job.latency[i] = now() - due;
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        (void)fprintf(stderr, "usage: bench_load PORT AUTHORIZATION PATH COUNT CONNECTIONS RATE\n");
        return 2;
    }
    job.port = (int)strtol(argv[1], NULL, 10);
    job.count = strtol(argv[4], NULL, 10);
    job.connections = (int)strtol(argv[5], NULL, 10);
    job.rate = strtod(argv[6], NULL);
    job.request_n = (size_t)snprintf(job.request, sizeof job.request, "POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\nContent-Length: 0\r\n\r\n", argv[3], argv[2]);
    job.latency = calloc((size_t)job.count + 1, sizeof(double));
    pthread_t threads[256];
    if (job.connections < 1 || job.connections > 256 || job.latency == NULL)
        return 2;
    job.began = now();
    for (int i = 0; i < job.connections; i++)
        if (pthread_create(&threads[i], NULL, worker, NULL) != 0)
            return 2;
    for (int i = 0; i < job.connections; i++)
        pthread_join(threads[i], NULL);
    double took = now() - job.began;
    qsort(job.latency, (size_t)job.count, sizeof(double), compare);
    (void)printf("%ld %.4f %.3f %.3f\n", job.count, took, job.latency[job.count / 2] * 1000, job.latency[job.count * 99 / 100] * 1000);
    free(job.latency);
    return job.failed ? 1 : 0;
}
