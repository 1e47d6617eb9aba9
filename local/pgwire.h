/*
 * local/pgwire.h: a server of the PostgreSQL protocol (3.0) on loopback: login by MD5, simple and extended queries.
 *
 * What a statement means is the backend's. Results are held in memory. TLS for those who ask. Each connection has a thread.
 * Source: https://www.postgresql.org/docs/current/protocol.html
 */
#pragma once

#include <openssl/ssl.h>

#include "base/err.h"
#include "base/val.h"

typedef struct sl_pgwire sl_pgwire;

typedef struct sl_pgwire_result {
    const sl_val *columns;        /* [{name, oid}]; NULL: no rows */
    const sl_val *rows;           /* list of lists of texts and nulls */
    sl_str tag;                   /* "INSERT 0 3" */
} sl_pgwire_result;

typedef struct sl_pgwire_backend {
    void *self;
    /* A session; NULL with err. */
    void *(*open)(void *self, sl_err *err);
    void (*close)(void *session);
    /* One statement. false: err; its code may begin with "pg." and an SQLSTATE. */
    bool (*run)(void *session, sl_arena *arena, sl_str statement, sl_pgwire_result *ret, sl_err *err);
    /* The columns that a statement will have, without running it; *columns NULL: none. */
    bool (*describe)(void *session, sl_arena *arena, sl_str statement, const sl_val **columns, sl_err *err);
    void (*started)(void *session);  /* the options of the connection are set: what RESET goes back to */
    char (*status)(void *session); /* I: idle, T: in a transaction, E: in one that has failed */
    int (*pid)(void *session);
    sl_str password;              /* of every user; must outlive the server */
    const char *version;          /* server_version */
    SSL_CTX *tls;                 /* NULL: there is none; must outlive the server */
} sl_pgwire_backend;

/* port 0: any free one. */
sl_pgwire *sl_pgwire_start(const sl_pgwire_backend *backend, int port, sl_err *err);
int sl_pgwire_port(const sl_pgwire *w);
void sl_pgwire_stop(sl_pgwire *w); /* NULL is fine; ends the connections */
