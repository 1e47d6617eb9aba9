/*
 * bench/sink.c: S3 that costs next to nothing. Bodies are read and thrown away, every request is right, and a checksum behind a
 * body (aws-chunked) is given back, as S3 does. With a file, every key is an object of its bytes, and every listing has COUNT keys.
 * Usage: bench_sink [FILE COUNT CRC32]; prints its port and the bytes received when standard input ends. CRC32: base64, as S3 says it.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_MAX = 65536, BLOCK = 1 << 20, TAIL = 256 };

static _Atomic long long received;

/* What every key has, where there is a file. */
static int object = -1;
static long long object_size, keys;
static const char *object_crc;

/* ---- the sink ---- */

static const char *answer(const char *head)
{
    if (strncmp(head, "POST ", 5) == 0 && strstr(head, "?uploads") != NULL)
        return "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
    if (strncmp(head, "POST ", 5) == 0)
        return "<CompleteMultipartUploadResult><ETag>\"0\"</ETag></CompleteMultipartUploadResult>";
    return "";
}

static bool swallow(int fd, long long left, char *block)
{
    while (left > 0) {
        /* MSG_TRUNC: the kernel throws the bytes away itself. */
        ssize_t n = recv(fd, block, left < BLOCK ? (size_t)left : BLOCK, MSG_TRUNC);
        if (n <= 0)
            return false;
        left -= n;
    }
    return true;
}

static bool receive(int fd, char *to, size_t n)
{
    return n == 0 || recv(fd, to, n, MSG_WAITALL) == (ssize_t)n;
}

/* The rest of a body whose beginning has come with the head. sum: "NAME:VALUE\r\n" of the trailer, or "". */
static bool body_end(int fd, const char *begun, long long early, long long left, char *block, bool trailer, char *sum)
{
    char tail[2 * TAIL + 1] = "";
    long long kept = early < TAIL ? early : TAIL, last = !trailer ? 0 : left < TAIL ? left : TAIL;
    memcpy(tail, begun + early - kept, (size_t)kept);
    if (!swallow(fd, left - last, block) || !receive(fd, tail + kept, (size_t)last))
        return false;
    tail[kept + last] = '\0';
    static const char name[] = "\r\nx-amz-checksum-";
    const char *line = trailer ? memmem(tail, (size_t)(kept + last), name, sizeof name - 1) : NULL, *end = line ? strstr(line + 2, "\r\n") : NULL;
    snprintf(sum, TAIL, "%.*s", end ? (int)(end + 2 - (line + 2)) : 0, end ? line + 2 : "");
    return true;
}

static long long number(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);
    return at ? strtoll(at + strlen(name), NULL, 10) : -1;
}

/* ---- the source ---- */

static bool send_all(int fd, const char *text, size_t n, int flags)
{
    for (ssize_t sent; n > 0; text += sent, n -= (size_t)sent)
        if ((sent = send(fd, text, n, flags | MSG_NOSIGNAL)) <= 0)
            return false;
    return true;
}

/* One page of `keys` keys: PREFIX and a number. */
static bool give_listing(int fd, const char *head)
{
    enum { ENTRY = 300 };
    size_t room = (size_t)keys * ENTRY + 200, n = 0;
    char *text = malloc(room), reply[200];
    const char *prefix = strstr(head, "prefix=");
    int length = prefix ? (int)strcspn(prefix + 7, "& ") : 0;
    bool slash = length > 2 && strncasecmp(prefix + 7 + length - 3, "%2F", 3) == 0;
    n += (size_t)snprintf(text + n, room - n, "<ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated>");
    for (long long i = 0; i < keys; i++)
        n += (size_t)snprintf(text + n, room - n, "<Contents><Key>%.*s%s%06lld</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;0&quot;</ETag><Size>%lld</Size><StorageClass>STANDARD</StorageClass></Contents>",
                              slash ? length - 3 : length, prefix ? prefix + 7 : "", slash ? "/" : "", i, object_size);
    n += (size_t)snprintf(text + n, room - n, "</ListBucketResult>");
    int m = snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: %zu\r\n\r\n", n);
    bool ok = send_all(fd, reply, (size_t)m, MSG_MORE) && send_all(fd, text, n, 0);
    free(text);
    return ok;
}

static bool give_object(int fd, const char *head, bool body)
{
    const char *range = strcasestr(head, "\nrange: bytes=");
    char reply[600], ranged[100] = "", *rest = NULL;
    off_t begin = range ? strtoll(range + 14, &rest, 10) : 0, end = object_size;
    if (range != NULL && rest[1] >= '0' && rest[1] <= '9' && (end = strtoll(rest + 1, NULL, 10) + 1) > object_size)
        end = object_size;
    if (range != NULL)
        snprintf(ranged, sizeof ranged, "Content-Range: bytes %lld-%lld/%lld\r\n", (long long)begin, (long long)end - 1, object_size);
    int n = snprintf(reply, sizeof reply, "HTTP/1.1 %s\r\nETag: \"0\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nAccept-Ranges: bytes\r\nContent-Type: binary/octet-stream\r\n%s%s%s%sContent-Length: %lld\r\n\r\n",
                     range ? "206 Partial Content" : "200 OK", ranged, range ? "" : "x-amz-checksum-crc32: ", range ? "" : object_crc, range ? "" : "\r\nx-amz-checksum-type: FULL_OBJECT\r\n", (long long)(end - begin));
    if (!send_all(fd, reply, (size_t)n, body ? MSG_MORE : 0))
        return false;
    while (body && begin < end)
        if (sendfile(fd, object, &begin, (size_t)(end - begin)) <= 0)
            return false;
    return true;
}

/* Requests of this kind have no body. */
static bool give(int fd, char *head, size_t *have, size_t used)
{
    bool get = strncmp(head, "GET ", 4) == 0, ok = get && strstr(head, "list-type=2") != NULL ? give_listing(fd, head) : give_object(fd, head, get);
    memmove(head, head + used, *have - used);
    *have -= used;
    return ok;
}

static bool exchange(int fd, char *head, size_t *have, char *block)
{
    char *end;
    while ((end = memmem(head, *have, "\r\n\r\n", 4)) == NULL) {
        ssize_t n = *have < HEAD_MAX - 1 ? recv(fd, head + *have, HEAD_MAX - 1 - *have, 0) : 0;
        if (n <= 0)
            return false;
        *have += (size_t)n;
    }
    *end = '\0';
    long long size = number(head, "\ncontent-length:"), content = number(head, "\nx-amz-decoded-content-length:");
    size = size < 0 ? 0 : size;
    bool waits = strcasestr(head, "\nexpect: 100-continue") != NULL, chunked = strcasestr(head, "\ntransfer-encoding: chunked") != NULL, trailer = strcasestr(head, "\nx-amz-trailer:") != NULL;
    const char *body = answer(head);
    char reply[1024], sum[TAIL];
    size_t used = (size_t)(end - head) + 4, extra = *have - used;
    if (object >= 0 && (strncmp(head, "GET ", 4) == 0 || strncmp(head, "HEAD ", 5) == 0))
        return give(fd, head, have, used);
    if (chunked || (waits && send(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL) != 25))
        return false;
    long long early = (long long)extra < size ? (long long)extra : size;
    if (!body_end(fd, head + used, early, size - early, block, trailer, sum))
        return false;
    memmove(head, head + used + early, extra - (size_t)early);
    *have = extra - (size_t)early;
    int n = snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nETag: \"0\"\r\n%sContent-Type: application/xml\r\nContent-Length: %zu\r\n\r\n%s", sum, strlen(body), body);
    if (send(fd, reply, (size_t)n, MSG_NOSIGNAL) != n)
        return false;
    if (body[0] == '\0')
        received += content >= 0 ? content : size;
    return true;
}

static void *serve(void *self)
{
    int fd = (int)(long)self;
    char *head = calloc(1, HEAD_MAX), *block = malloc(BLOCK);
    size_t have = 0;
    while (head != NULL && block != NULL && exchange(fd, head, &have, block))
        ;
    free(head);
    free(block);
    close(fd);
    return NULL;
}

static void *listener(void *self)
{
    int fd = (int)(long)self;
    for (;;) {
        pthread_t t;
        int client = accept(fd, NULL, NULL);
        if (client >= 0 && pthread_create(&t, NULL, serve, (void *)(long)client) == 0)
            pthread_detach(t);
    }
    return NULL;
}

static bool open_object(char **argv)
{
    struct stat st;
    object = open(argv[1], O_RDONLY | O_CLOEXEC);
    keys = strtoll(argv[2], NULL, 10);
    object_crc = argv[3];
    bool ok = object >= 0 && fstat(object, &st) == 0;
    object_size = ok ? st.st_size : 0;
    return ok;
}

int main(int argc, char **argv)
{
    if (argc > 1 && (argc != 4 || !open_object(argv)))
        return 2;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    pthread_t t;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 128) != 0 || getsockname(fd, (struct sockaddr *)&address, &size) != 0 || pthread_create(&t, NULL, listener, (void *)(long)fd) != 0)
        return 1;
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    while (getchar() != EOF)
        ;
    printf("%lld\n", (long long)received);
    return 0;
}
