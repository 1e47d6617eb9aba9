/*
 * net/http.h: the HTTP client. Deadlines, retries by error kind, our own redirects, pools that never cross credentials,
 * streaming both ways in fixed memory, a redacted trace.
 *
 * sl_http_call sends until it has an answer or gives up; a status is an answer, not an error. Sources: RFC 9110, RFC 9112.
 * Ownership: what a response points to lives in the arena given. Threads: one sl_http serves all threads at once.
 */
#pragma once

#include "base/err.h"
#include "base/io.h"
#include "base/val.h"

typedef struct sl_http sl_http;

/*
 * Adds credentials to `headers` before every attempt; a signature covers req (where it goes now, and its body) and them.
 * refresh: the last ones were answered with 401.
 */
struct sl_http_request;
typedef struct sl_http_auth {
    void *self;
    bool (*authorize)(void *self, sl_arena *arena, const struct sl_http_request *req, sl_val *headers, bool refresh, sl_err *err);
} sl_http_auth;

typedef struct sl_http_request {
    const char *method;            /* "GET" when NULL */
    sl_str url;                    /* absolute, already encoded */
    const sl_val *headers;         /* map name -> text (or list of texts); NULL = none */
    sl_str body;                   /* held in memory */
    sl_reader *(*open_body)(void *self, sl_err *err); /* or streamed: a fresh reader for every attempt */
    void *body_self;
    int64_t body_size;             /* of the streamed body; must be known */

    sl_writer *sink;               /* takes a 2xx body; NULL = the body is held in memory. Not retried once bytes came */
    size_t body_max;               /* limit of a body in memory; 0 = SL_HTTP_BODY_MAX */

    const sl_http_auth *auth;      /* NULL = none */
    sl_str pool;                   /* identity of the credentials: connections are not shared between different ones */
    bool idempotent;               /* may be sent again after it was possibly processed; GET, HEAD, PUT, DELETE are anyway */
    int attempts_max;              /* 0 = 5; 1 = never again */
    int64_t connect_ms;            /* 0 = 10 s */
    int64_t idle_ms;               /* no byte either way for so long: 0 = 60 s */
    int64_t total_ms;              /* all attempts together; 0 = 10 min for bodies in memory, none when streamed */
    bool follow;                   /* redirects, up to 5; https to http is refused; credentials stay at their origin */
    bool keep_encoding;            /* do not ask for, nor undo, Content-Encoding */
    bool insecure;                 /* no certificate check: only with the server's consent */
    const char *ca_file;           /* certificates that are trusted; NULL: CURL_CA_BUNDLE, SSL_CERT_FILE, the system's */
    bool link_local;               /* allow 169.254.0.0/16 and fe80::/10: the metadata services */
    bool no_proxy;
    const char *unix_socket;       /* path of the socket to use instead of the URL's host; NULL = none */
    sl_str proxy;                  /* "http://host:port", "socks5://…"; the environment's when empty */
    bool (*cancelled)(void *self); /* asked about ten times a second */
    void *cancel_self;
    bool (*answered)(void *self, sl_err *err); /* the headers of a 2xx answer are there, its body is to come; false ends the call */
    void *answered_self;
    void (*progress)(void *self, int64_t sent, int64_t received);
    void *progress_self;
} sl_http_request;

typedef struct sl_http_response {
    int status;
    const sl_val *headers;         /* map lower-case name -> list of texts; a transport sets it before the sink gets the body */
    sl_str body;                   /* empty when it went to the sink */
    int64_t body_size;             /* bytes received */
    int64_t unpacked_size;         /* bytes of the body without its Content-Encoding */
    sl_str url;                    /* after redirects */
    int attempts;
} sl_http_response;

/* One exchange without retries or redirects. A test gives its own. */
typedef struct sl_http_transport {
    void *self;
    bool (*send)(void *self, sl_arena *arena, const sl_http_request *req, sl_http_response *ret, sl_err *err);
    void (*close)(void *self);
} sl_http_transport;

sl_http *sl_http_new(const sl_http_transport *transport); /* NULL: libcurl */
void sl_http_free(sl_http *http);
sl_http_transport sl_http_curl(void);

/* false only when there is no usable answer: kinds TRANSIENT, TIMEOUT, CANCELLED, AUTH (certificates), CONFIG, LIMIT. */
bool sl_http_call(sl_http *http, sl_arena *arena, const sl_http_request *req, sl_http_response *ret, sl_err *err);

sl_str sl_http_header(const sl_http_response *r, const char *name);    /* first value; empty when absent */
/* Retry-After in milliseconds (seconds or HTTP date), capped at 5 minutes; -1 when absent. */
int64_t sl_http_retry_after(const sl_http_response *r);
/* Kind that a status means: 401 AUTH, 403 AUTH, 404 NOT_FOUND, 409/412 CONFLICT, 408/5xx TRANSIENT, 429 THROTTLED, else REMOTE. */
sl_err_kind sl_http_status_kind(int status);
/* full jitter: random in [base/2, base*2^n], capped. n from 0. */
int64_t sl_http_backoff_ms(int n, int64_t base_ms, int64_t cap_ms);
/* Sleeps in small steps; false when cancelled meanwhile. */
bool sl_http_sleep(const sl_http_request *req, int64_t ms);

/* ---- URLs (net/url.c) ---- */
typedef struct sl_url {
    sl_str scheme, host, path, query;  /* path with its leading slash; query without '?' */
    int port;                          /* the scheme's default when absent */
} sl_url;
/* http and https only; user info, control characters and blanks are refused. */
bool sl_url_parse(sl_str text, sl_url *ret, sl_err *err);
bool sl_url_same_origin(const sl_url *a, const sl_url *b);
/* As browsers take it: blanks, what is no ASCII, and other characters that a URL cannot hold become %XX; a '%' is left as it is. */
sl_str sl_url_escape(sl_arena *arena, sl_str text);
/* RFC 3986 section 5 for a Location header. */
sl_str sl_url_resolve(sl_arena *arena, sl_str base, sl_str reference);
/* a=b&c=d with everything percent-encoded; values of the map as text, a list's one after the other under the same name. */
sl_str sl_url_query(sl_arena *arena, const sl_val *params);
