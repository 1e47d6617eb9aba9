/*
 * net/http_curl.c: one exchange through libcurl; the only file that knows it.
 *
 * A handle keeps its connection, so handles are pooled by everything that must not be shared: origin, credentials, TLS and
 * proxy settings. Redirects, cookies, netrc and user names in URLs are switched off: they are net/http.c's business or nobody's.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "net/http.h"

enum { IDLE_MAX = 64, IDLE_MS = 60000, LIFETIME_S = 300 };

typedef struct idle {
    struct idle *next;
    CURL *curl;
    int64_t since_ms;
    char key[];
} idle;

typedef struct pool {
    pthread_mutex_t lock;
    idle *first;
    size_t n;
} pool;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void global_init(void)
{
    CURLcode rc = curl_global_init(CURL_GLOBAL_DEFAULT);
    sl_assert(rc == CURLE_OK);
}

typedef struct exchange {
    sl_arena *arena;
    const sl_http_request *req;
    sl_http_response *ret;
    sl_err *err;
    sl_reader *body_reader;
    sl_str body_left;
    int64_t body_remaining;
    sl_buf body;
    sl_val *headers;
    size_t header_bytes;
    bool failed;          /* err is set by a callback */
    bool success;         /* the status is 2xx */
    bool sent;            /* the request went out, at least in part */
    int64_t last_ms, last_bytes;
} exchange;

static size_t on_header(char *data, size_t size, size_t count, void *self)
{
    exchange *x = self;
    size_t n = size * count;
    sl_str line = sl_str_trim((sl_str){ data, n });
    x->header_bytes += n;
    if (x->header_bytes > SL_HTTP_HEADER_MAX) {
        x->failed = !sl_err_set(x->err, SL_ERR_LIMIT, "http.headers", "the headers of the answer are larger than %d bytes", SL_HTTP_HEADER_MAX);
        return 0;
    }
    if (line.n == 0 && x->req->answered != NULL && x->success) {
        x->failed = !x->req->answered(x->req->answered_self, x->err);
        return x->failed ? 0 : n;
    }
    if (sl_str_starts(line, SL_S("HTTP/"))) {
        x->success = sl_str_starts(line, SL_S("HTTP/1.1 2")) || sl_str_starts(line, SL_S("HTTP/1.0 2"));
        x->headers = sl_map(x->arena); /* a new answer begins (after 100 Continue) */
        x->ret->headers = x->headers;
        return n;
    }
    ptrdiff_t colon = sl_str_find(line, SL_S(":"));
    if (colon <= 0)
        return n;
    sl_str name = sl_str_lower(x->arena, sl_str_sub(line, 0, (size_t)colon));
    sl_val *values = (sl_val *)(uintptr_t)sl_get_str(x->headers, name);
    if (values == NULL) {
        values = sl_list(x->arena);
        sl_map_set(x->arena, x->headers, name, values);
    }
    sl_list_add(x->arena, values, sl_val_str(x->arena, sl_str_dup(x->arena, sl_str_trim(sl_str_sub(line, (size_t)colon + 1, line.n)))));
    return n;
}

static size_t on_body(char *data, size_t size, size_t count, void *self)
{
    exchange *x = self;
    size_t n = size * count;
    x->ret->body_size += (int64_t)n;
    bool to_sink = x->req->sink != NULL && x->ret->status >= 200 && x->ret->status < 300;
    if (to_sink) {
        if (x->req->sink->write(x->req->sink, data, n, x->err))
            return n;
        x->failed = true;
        return 0;
    }
    sl_buf_add(&x->body, (sl_str){ data, n });
    if (!x->body.overflow)
        return n;
    x->failed = !sl_err_set(x->err, SL_ERR_LIMIT, "http.body", "the answer is larger than %zu bytes", x->body.max);
    return 0;
}

static size_t on_send(char *to, size_t size, size_t count, void *self)
{
    exchange *x = self;
    size_t room = size * count;
    x->sent = true;
    if (x->body_reader == NULL) {
        size_t n = x->body_left.n < room ? x->body_left.n : room;
        memcpy(to, x->body_left.p, n);
        x->body_left = sl_str_sub(x->body_left, n, x->body_left.n);
        return n;
    }
    if ((int64_t)room > x->body_remaining)
        room = (size_t)x->body_remaining;
    if (room == 0)
        return 0;
    ptrdiff_t n = x->body_reader->read(x->body_reader, to, room, x->err);
    if (n == 0)
        sl_err_set(x->err, SL_ERR_DATA, "http.short", "the data to send ended %lld bytes too early", (long long)x->body_remaining);
    if (n <= 0) {
        x->failed = true;
        return CURL_READFUNC_ABORT;
    }
    x->body_remaining -= n;
    return (size_t)n;
}

static int on_progress(void *self, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    exchange *x = self;
    (void)down_total;
    (void)up_total;
    if (x->req->progress != NULL)
        x->req->progress(x->req->progress_self, up, down);
    if (x->req->cancelled != NULL && x->req->cancelled(x->req->cancel_self)) {
        x->failed = !sl_err_set(x->err, SL_ERR_CANCELLED, "cancelled", "stopped on request while talking to %.*s", SL_ARG(x->req->url));
        return 1;
    }
    int64_t now = sl_mono_ms(), idle_ms = x->req->idle_ms > 0 ? x->req->idle_ms : 60000;
    if (up + down != x->last_bytes || x->last_ms == 0) {
        x->last_bytes = up + down;
        x->last_ms = now;
    } else if (now - x->last_ms > idle_ms) {
        x->failed = !sl_err_set(x->err, SL_ERR_TRANSIENT, "http.idle", "%.*s was silent for %lld s", SL_ARG(x->req->url), (long long)idle_ms / 1000);
        return 1;
    }
    return 0;
}

/* Link-local addresses hold metadata services with credentials; nothing but our own providers may reach them. */
static curl_socket_t on_socket(void *self, curlsocktype purpose, struct curl_sockaddr *address)
{
    exchange *x = self;
    (void)purpose;
    bool link_local = false;
    if (address->family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&address->addr;
        link_local = ntohl(in->sin_addr.s_addr) >> 16 == 0xA9FE;
    } else if (address->family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)&address->addr;
        const uint8_t *a = in->sin6_addr.s6_addr;
        bool mapped = IN6_IS_ADDR_V4MAPPED(&in->sin6_addr);
        link_local = (a[0] == 0xFE && (a[1] & 0xC0) == 0x80) || (mapped && a[12] == 169 && a[13] == 254);
    }
    if (link_local && !x->req->link_local) {
        x->failed = !sl_err_set(x->err, SL_ERR_CONFIG, "http.link_local", "%.*s leads to a link-local address, which is refused", SL_ARG(x->req->url));
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static sl_str pool_key(sl_arena *a, const sl_http_request *req)
{
    sl_url u = { 0 };
    sl_err ignored;
    (void)sl_url_parse(req->url, &u, &ignored);
    const char *socket_path = req->unix_socket ? req->unix_socket : "";
    return sl_fmt(a, "%.*s://%.*s:%d %.*s %d%d %.*s %s", SL_ARG(u.scheme), SL_ARG(u.host), u.port, SL_ARG(req->pool), req->insecure, req->no_proxy, SL_ARG(req->proxy), socket_path);
}

static CURL *take_handle(pool *p, sl_str key)
{
    CURL *found = NULL;
    int64_t now = sl_mono_ms();
    pthread_mutex_lock(&p->lock);
    for (idle **at = &p->first; *at != NULL;) {
        idle *i = *at;
        bool old = now - i->since_ms > IDLE_MS, hit = found == NULL && !old && sl_str_eqc(key, i->key);
        if (!old && !hit) {
            at = &i->next;
            continue;
        }
        *at = i->next;
        p->n--;
        if (hit)
            found = i->curl;
        else
            curl_easy_cleanup(i->curl);
        free(i);
    }
    pthread_mutex_unlock(&p->lock);
    if (found != NULL)
        curl_easy_reset(found);
    else
        found = curl_easy_init();
    sl_assert(found != NULL);
    return found;
}

static void give_handle(pool *p, sl_str key, CURL *curl, bool healthy)
{
    pthread_mutex_lock(&p->lock);
    bool keep = healthy && p->n < IDLE_MAX;
    if (keep) {
        idle *i = sl_malloc(sizeof *i + key.n + 1);
        i->curl = curl;
        i->since_ms = sl_mono_ms();
        memcpy(i->key, key.p, key.n + 1);
        i->next = p->first;
        p->first = i;
        p->n++;
    }
    pthread_mutex_unlock(&p->lock);
    if (!keep)
        curl_easy_cleanup(curl);
}

static struct curl_slist *header_list(sl_arena *a, const sl_http_request *req)
{
    struct curl_slist *list = NULL;
    bool content_type = false;
    for (size_t i = 0; i < sl_val_count(req->headers); i++) {
        const sl_entry *e = &req->headers->map.entries[i];
        size_t n = e->value->type == SL_LIST ? e->value->list.n : 1;
        content_type |= sl_str_ieq(e->key, SL_S("content-type"));
        for (size_t k = 0; k < n; k++) {
            sl_str value = sl_val_text(a, e->value->type == SL_LIST ? e->value->list.items[k] : e->value);
            if (memchr(value.p, '\n', value.n) || memchr(value.p, '\r', value.n))
                continue; /* never lets a value add a header */
            list = curl_slist_append(list, value.n ? sl_fmt(a, "%.*s: %.*s", SL_ARG(e->key), SL_ARG(value)).p : sl_fmt(a, "%.*s;", SL_ARG(e->key)).p);
        }
    }
    if (!req->keep_encoding && req->sink == NULL) /* undone by net/http.c: libcurl does not notice a packed body that was cut off */
        list = curl_slist_append(list, "Accept-Encoding: gzip");
    list = curl_slist_append(list, "Expect:"); /* a refused upload is learnt from the answer; see curl's lib/http.c on 100-continue */
    if (!content_type)
        list = curl_slist_append(list, "Content-Type:");
    return list;
}

/* NULL: the system's. */
static const char *ca_file(const sl_http_request *req)
{
    const char *const said[] = { req->ca_file, getenv("CURL_CA_BUNDLE"), getenv("SSL_CERT_FILE") };
    for (size_t i = 0; i < SL_COUNT(said); i++)
        if (said[i] != NULL && *said[i] != '\0')
            return said[i];
    return NULL;
}

static void set_tls_and_proxy(CURL *c, sl_arena *a, const sl_http_request *req)
{
    if (ca_file(req) != NULL)
        curl_easy_setopt(c, CURLOPT_CAINFO, ca_file(req));
    curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, req->insecure ? 0L : 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, req->insecure ? 0L : 2L);
    if (req->unix_socket != NULL)
        curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, req->unix_socket);
    if (req->no_proxy)
        curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    else if (req->proxy.n > 0)
        curl_easy_setopt(c, CURLOPT_PROXY, sl_cstr(a, req->proxy));
}

static void set_body(CURL *c, exchange *x)
{
    const sl_http_request *req = x->req;
    const char *method = req->method;
    bool streamed = req->open_body != NULL;
    int64_t size = streamed ? req->body_size : (int64_t)req->body.n;
    bool sends = size > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    if (sends) {
        curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
        curl_easy_setopt(c, CURLOPT_READFUNCTION, on_send);
        curl_easy_setopt(c, CURLOPT_READDATA, x);
        curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10); /* what is read into it is still in the second cache when it is sent */
        x->body_left = req->body;
        x->body_remaining = size;
    }
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
}

static void set_options(CURL *c, exchange *x, struct curl_slist *headers)
{
    const sl_http_request *req = x->req;
    curl_easy_setopt(c, CURLOPT_URL, sl_cstr(x->arena, req->url));
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "sluice/0.1");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_MAXLIFETIME_CONN, (long)LIFETIME_S);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)(req->connect_ms > 0 ? req->connect_ms : 10000));
    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 256L << 10);
    curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
    int64_t total = req->total_ms > 0 ? req->total_ms : req->sink || req->open_body ? 0 : 600000;
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)total);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, x);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, x);
    set_tls_and_proxy(c, x->arena, req);
    set_body(c, x);
}

static bool failure(exchange *x, CURLcode rc, const char *detail)
{
    const char *why = *detail ? detail : curl_easy_strerror(rc);
    sl_str url = x->req->url;
    switch (rc) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return sl_err_set(x->err, SL_ERR_TRANSIENT, "http.connect", "cannot reach %.*s: %s", SL_ARG(url), why);
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        return sl_err_set(x->err, SL_ERR_AUTH, "http.tls", "no safe connection to %.*s: %s; certificates were checked against %s", SL_ARG(url), why, ca_file(x->req) ? ca_file(x->req) : "the system's list");
    case CURLE_OPERATION_TIMEDOUT:
        return sl_err_set(x->err, SL_ERR_TRANSIENT, x->sent ? "http.timeout" : "http.connect", "%.*s did not answer in time: %s", SL_ARG(url), why);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return sl_err_set(x->err, SL_ERR_CONFIG, "url", "the URL '%.*s' cannot be used: %s", SL_ARG(url), why);
    default: return sl_err_set(x->err, SL_ERR_TRANSIENT, "http.broken", "the connection to %.*s broke: %s", SL_ARG(url), why);
    }
}

/* The status must be known when the body arrives: it decides where the body goes. */
typedef struct with_handle {
    exchange x;
    CURL *curl;
} with_handle;

static size_t on_first_body(char *data, size_t size, size_t count, void *self)
{
    with_handle *w = self;
    if (w->x.ret->status == 0) {
        long status = 0;
        curl_easy_getinfo(w->curl, CURLINFO_RESPONSE_CODE, &status);
        w->x.ret->status = (int)status;
    }
    return on_body(data, size, count, &w->x);
}

static bool curl_send(void *self, sl_arena *arena, const sl_http_request *req, sl_http_response *ret, sl_err *err)
{
    pool *p = self;
    sl_url checked;
    if (!sl_url_parse(req->url, &checked, err))
        return false;
    with_handle w = { .x = { .arena = arena, .req = req, .ret = ret, .err = err, .headers = sl_map(arena) } };
    ret->body_size = 0;
    ret->status = 0;
    w.x.body = sl_buf_new(arena, req->body_max ? req->body_max : SL_HTTP_BODY_MAX);
    if (req->open_body != NULL && (w.x.body_reader = req->open_body(req->body_self, err)) == NULL)
        return false;
    /* Here, and not at the start: TLS takes a third of a megabyte, and many flows send nothing. */
    (void)pthread_once(&once, global_init);
    sl_str key = pool_key(arena, req);
    char detail[CURL_ERROR_SIZE] = "";
    CURL *c = w.curl = take_handle(p, key);
    struct curl_slist *headers = header_list(arena, req);
    set_options(c, &w.x, headers);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_first_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &w);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, detail);
    CURLcode rc = curl_easy_perform(c);
    long status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_off_t up = 0;
    curl_easy_getinfo(c, CURLINFO_SIZE_UPLOAD_T, &up);
    long request_size = 0;
    curl_easy_getinfo(c, CURLINFO_REQUEST_SIZE, &request_size);
    w.x.sent |= up > 0 || request_size > 0;
    ret->status = (int)status;
    ret->headers = w.x.headers;
    ret->body = sl_buf_str(&w.x.body);
    curl_slist_free_all(headers);
    sl_reader_close(&w.x.body_reader);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, NULL);
    give_handle(p, key, c, rc == CURLE_OK);
    /* A server may answer and close before it has read the whole body: the answer counts. */
    if (rc == CURLE_SEND_ERROR && status >= 400 && !w.x.failed)
        return true;
    if (rc == CURLE_OK)
        return true;
    if (w.x.failed)
        return false;
    return failure(&w.x, rc, detail);
}

static void curl_close(void *self)
{
    pool *p = self;
    while (p->first != NULL) {
        idle *i = p->first;
        p->first = i->next;
        curl_easy_cleanup(i->curl);
        free(i);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

sl_http_transport sl_http_curl(void)
{
    pool *p = sl_malloc(sizeof *p);
    *p = (pool){ .first = NULL };
    pthread_mutex_init(&p->lock, NULL);
    return (sl_http_transport){ .self = p, .send = curl_send, .close = curl_close };
}
