/* bench/gunzip.c: the gunzip filter alone: FILE to nothing. Prints the bytes that came out and the seconds that it took. */
#include <stdio.h>
#include <time.h>

#include "base/arena.h"
#include "base/io.h"

int main(int argc, char **argv)
{
    sl_err err;
    sl_err_clear(&err);
    sl_reader *file = argc == 2 ? sl_reader_file(argv[1], &err) : NULL;
    if (file == NULL) {
        (void)fprintf(stderr, "%s\n", argc == 2 ? err.message : "usage: bench_gunzip FILE");
        return 2;
    }
    SL_READER r = sl_reader_gunzip(file);
    SL_ARENA a = sl_arena_new();
    char *block = sl_alloc(a, 256 << 10);
    struct timespec from, to;
    int64_t total = 0;
    uint32_t crc = 0;
    ptrdiff_t n;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    while ((n = r->read(r, block, 256 << 10, &err)) > 0) {
        total += n;
        crc ^= (uint32_t)(unsigned char)block[0]; /* so that the bytes are needed */
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    if (n < 0) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    (void)printf("%lld %.6f %u\n", (long long)total, seconds, crc);
    return 0;
}
