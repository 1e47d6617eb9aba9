/*
 * net/http_server.h: a small HTTP/1.1 server on loopback or behind a proxy: a route table, bodies in memory or streamed.
 *
 * Handlers may block; each connection has a thread (limit: connections_max). TLS is a proxy's business.
 * Ownership: a request and what it points to live until its handler has returned; a response's body is copied or taken.
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

typedef struct sl_server sl_server;
typedef struct sl_server_request sl_server_request;

struct sl_server_request {
    sl_arena *arena;
    const char *method;
    sl_str path;                   /* as sent: still percent-encoded */
    sl_str query;                  /* as sent, without '?' */
    const sl_val *headers;         /* map lower-case name -> text */
    const sl_val *params;          /* query parameters, decoded: map name -> text (last one wins) */
    sl_str segments[16];           /* the path's parts, decoded */
    size_t segment_count;
    sl_str rest;                   /* the path behind a trailing # of the pattern, still encoded */
    sl_str body;                   /* when the route does not stream */
    const struct sl_route *route;
    void *stream;                  /* what on_begin returned */
    bool body_failed;              /* on_data said no */
};

typedef struct sl_server_response {
    int status;                    /* 200 when left 0 */
    const char *content_type;
    const sl_val *headers;         /* map name -> text or list of texts */
    sl_str body;
    int file_fd;                   /* > 0: the body is file_size bytes of this file from file_offset; closed by the server */
    int64_t file_offset, file_size;
    /*
     * OPTIONAL: a body that comes bit by bit, such as events. Called on the connection's thread, may block; fills at most n
     * bytes and returns how many, 0 = the end. pulled_out is called once, at the end or when the client is gone.
     */
    size_t (*pull)(void *self, char *out, size_t n);
    void (*pulled_out)(void *self);
    void *pull_self;
} sl_server_response;

typedef struct sl_route {
    const char *method;
    const char *pattern;           /* "/b/+/o/+": + is one part, a trailing # the rest */
    void (*handle)(void *self, sl_server_request *req, sl_server_response *resp);
    /* Streaming: both or none. on_begin may return NULL; on_data returns false to stop listening to the body. */
    void *(*on_begin)(void *self, sl_server_request *req);
    bool (*on_data)(void *self, sl_server_request *req, const void *data, size_t n);
    const void *data;              /* the owner's */
    /* OPTIONAL. The exchange is over, answered or cut off: let go of what on_begin took. */
    void (*on_end)(void *self, sl_server_request *req);
} sl_route;

typedef struct sl_server_options {
    const char *host;              /* "127.0.0.1" when NULL */
    int port;                      /* 0 = any free one */
    const sl_route *routes;        /* ends with {0}; the first match wins */
    /* OPTIONAL. Nothing matches: `allow` lists the methods that the path knows ("" = the path is unknown). */
    void (*unmatched)(void *self, sl_server_request *req, sl_server_response *resp, sl_str allow);
    void *self;
    size_t body_max;               /* of a body in memory */
    size_t header_max;             /* request line and headers; 0 = 1 MiB */
    unsigned connections_max;
    int64_t head_ms, body_ms;      /* how long a request's headers, and each 60 KiB of its body, may take to arrive; 0 = 30 s, 60 s */
    void (*log)(void *self, const char *method, sl_str target, int status, int64_t body_bytes); /* after each answer; may be NULL */
} sl_server_options;

sl_server *sl_server_start(const sl_server_options *options, sl_err *err);
int sl_server_port(const sl_server *server);
void sl_server_stop(sl_server *server);   /* waits for running handlers */

/* {"error": …} bodies and the like: sets status, type and body from a value. */
void sl_respond_json(sl_server_request *req, sl_server_response *resp, int status, const sl_val *body);
void sl_respond_text(sl_server_response *resp, int status, sl_str text);
sl_str sl_request_header(const sl_server_request *req, const char *name);
sl_str sl_request_param(const sl_server_request *req, const char *name);
