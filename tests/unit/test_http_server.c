/* tests/unit/test_http_server.c: clients that send too slowly, on real sockets. */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/arrival.h"
#include "net/http_server.h"
#include "tests/unit/fixture.h"

enum { HEAD_MS = 300, BODY_MS = 300, DRIP_MS = 40, MOST_DRIPS = 100 };

static void slow_handler(void *self, sl_server_request *req, sl_server_response *resp)
{
    (void)self;
    (void)req;
    (void)usleep(2 * HEAD_MS * 1000);
    sl_respond_text(resp, 200, SL_S("ok"));
}

static void handler(void *self, sl_server_request *req, sl_server_response *resp)
{
    (void)self;
    sl_respond_text(resp, 200, sl_fmt(req->arena, "%zu bytes", req->body.n));
}

static const sl_route routes[] = { { .method = "GET", .pattern = "/slow", .handle = slow_handler }, { .method = "POST", .pattern = "/x", .handle = handler }, { 0 } };

static int dial(const sl_server *s)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)sl_server_port(s)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0 ? fd : -1;
}

/* What comes back, up to the end of the connection or of n bytes. */
static sl_str answer(sl_test_context *t, int fd)
{
    char *buffer = sl_alloc(t->arena, 4096);
    size_t n = 0;
    ssize_t got;
    while (n < 4000 && (got = recv(fd, buffer + n, 4000 - n, 0)) > 0)
        n += (size_t)got;
    return (sl_str){ buffer, n };
}

/* `head` at once, then byte by byte; how many of those were sent until the server hung up. */
static int drip(int fd, const char *head, char byte)
{
    int sent = 0;
    char ignored;
    if (send(fd, head, strlen(head), MSG_NOSIGNAL) < 0)
        return -1;
    while (sent < MOST_DRIPS && recv(fd, &ignored, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && send(fd, &byte, 1, MSG_NOSIGNAL) == 1) {
        sent++;
        (void)usleep(DRIP_MS * 1000);
    }
    return sent;
}

SL_TEST(http_server, drips)
{
    static const struct {
        const char *head;
        char byte;
    } cases[] = {
        { "", 'G' },                                                            /* no request line */
        { "GET /slow HTTP/1.1\r\nHost: a\r\nX: ", 'x' },                        /* headers without end */
        { "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", 'b' }, /* a body without end */
    };
    sl_server_options options = { .routes = routes, .body_max = 1 << 20, .head_ms = HEAD_MS, .body_ms = BODY_MS };
    sl_server *s = sl_server_start(&options, &t->err);
    CHECK(s != NULL);
    for (size_t i = 0; i < SL_COUNT(cases); i++) {
        int fd = dial(s), sent = drip(fd, cases[i].head, cases[i].byte);
        if (sent < 3 || sent >= MOST_DRIPS)
            sl_test_fail(t, __FILE__, __LINE__, "case %zu: the connection took %d bytes", i, sent);
        CHECK(sl_str_starts(answer(t, fd), SL_S("HTTP/1.1 408 ")));
        close(fd);
    }
    sl_server_stop(s);
}

/* What is slow for another reason is left alone: an answer that takes its time, and a connection between two requests. */
SL_TEST(http_server, patience)
{
    static const char request[] = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", last[] = "GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    sl_server_options options = { .routes = routes, .body_max = 1 << 20, .head_ms = HEAD_MS, .body_ms = BODY_MS };
    sl_server *s = sl_server_start(&options, &t->err);
    CHECK(s != NULL);
    int fd = dial(s);
    CHECK(send(fd, request, sizeof request - 1, 0) == (ssize_t)sizeof request - 1);
    (void)usleep(5 * HEAD_MS * 1000);
    CHECK(send(fd, last, sizeof last - 1, MSG_NOSIGNAL) == (ssize_t)sizeof last - 1);
    sl_str all = answer(t, fd);
    CHECK(sl_str_starts(all, SL_S("HTTP/1.1 200 ")));
    CHECK(sl_str_rfind(all, SL_S("HTTP/1.1 200 ")) > 0);
    close(fd);
    sl_server_stop(s);
}

/* However the thread that closes falls in with a connection that comes, nobody is late who just came. */
SL_TEST(http_server, comes_while_others_are_watched)
{
    int pair[2];
    char byte;
    sl_arrivals *all = sl_arrivals_new(60000, 60000, 1);
    CHECK(all != NULL && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    for (int i = 0; i < 1000000; i++)
        sl_arrival_close(sl_arrival_open(all, pair[0]));
    CHECK(recv(pair[1], &byte, 1, MSG_DONTWAIT) < 0);
    sl_arrivals_free(all);
    close(pair[0]);
    close(pair[1]);
}
