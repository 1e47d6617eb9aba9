/*
 * connectors/postgres/pg.h: what the tasks for PostgreSQL, Redshift and CrateDB share: one connection over libpq.
 *
 * Results come row by row; a task that is killed has its statement cancelled on the server. One thread.
 * Sources: https://www.postgresql.org/docs/current/libpq.html, …/protocol.html;
 * https://docs.aws.amazon.com/redshift/latest/dg/c_redshift-and-postgres-sql.html; https://cratedb.com/docs/crate/reference/en/latest/interfaces/postgres.html
 */
#pragma once

#include <libpq-fe.h>

#include "base/time.h"
#include "connectors/redshift/redshift.h"
#include "connectors/result.h"

typedef enum sl_pg_dialect { SL_PG_POSTGRES, SL_PG_REDSHIFT, SL_PG_CRATE } sl_pg_dialect;

/* First member of every such task's config. */
typedef struct sl_pg_cfg {
    sl_str url, username, password, zone, ssl_mode, ssl_root, ssl_cert, ssl_key, ssl_key_password;
    const sl_val *pooling, *pool_size, *autocommit;
    bool ssl;
    const sl_aws_cfg *aws;        /* no property: credentials for jdbc:redshift:iam://; NULL = the default chain */
} sl_pg_cfg;

#define SL_PG_OPTS(struct_type)                                                                                                                                                                    \
    { .name = "url", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, pg.url), .flags = SL_REQUIRED, .doc = "jdbc:postgresql://host:port/database." }, SL_PG_LOGIN_OPTS(struct_type)
#define SL_PG_REDSHIFT_OPTS(struct_type)                                                                                                                                                           \
    { .name = "url", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, pg.url), .doc = "jdbc:redshift://host:port/database, or jdbc:redshift:iam://… for temporary credentials." },             \
        SL_REDSHIFT_OPTS(struct_type), SL_PG_LOGIN_OPTS(struct_type)
#define SL_PG_LOGIN_OPTS(struct_type)                                                                                                                                                              \
    { .name = "username", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, pg.username), .doc = "Who logs in." },                                                                          \
        { .name = "password", .type = SL_OPT_SECRET, .offset = SL_FIELD(struct_type, pg.password), .doc = "With which password." },                                                               \
        { .name = "timeZoneId", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, pg.zone), .doc = "Zone that times with a zone are shown in; else the server's." },                            \
        { .name = "connectionPooling", .type = SL_OPT_ANY, .offset = SL_FIELD(struct_type, pg.pooling), .doc = "Accepted: each task has a connection of its own." },                               \
        { .name = "connectionPoolSize", .type = SL_OPT_ANY, .offset = SL_FIELD(struct_type, pg.pool_size), .doc = "Accepted." },                                                                   \
        { .name = "autoCommit", .type = SL_OPT_ANY, .offset = SL_FIELD(struct_type, pg.autocommit), .flags = SL_DEPRECATED, .doc = "Accepted." }
#define SL_PG_SSL_OPTS(struct_type)                                                                                                                                                                \
    { .name = "ssl", .type = SL_OPT_BOOL, .offset = SL_FIELD(struct_type, pg.ssl), .doc = "TLS with a verified certificate." },                                                                    \
        { .name = "sslMode", .type = SL_OPT_ENUM, .offset = SL_FIELD(struct_type, pg.ssl_mode), .values = "DISABLE ALLOW PREFER REQUIRE VERIFY_CA VERIFY_FULL", .doc = "How much TLS is asked for." }, \
        { .name = "sslRootCert", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, pg.ssl_root), .doc = "Certificates that are trusted (PEM)." },                                                \
        { .name = "sslCert", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, pg.ssl_cert), .doc = "The client's certificate (PEM)." },                                                         \
        { .name = "sslKey", .type = SL_OPT_SECRET, .offset = SL_FIELD(struct_type, pg.ssl_key), .doc = "Its key (PEM)." },                                                                         \
        { .name = "sslKeyPassword", .type = SL_OPT_SECRET, .offset = SL_FIELD(struct_type, pg.ssl_key_password), .doc = "The key's password." }

typedef struct sl_pg {
    PGconn *conn;
    sl_task *task;
    sl_arena *arena;
    sl_pg_dialect dialect;
    bool knows_fate;              /* can be asked what became of a transaction (txid_status) */
    const sl_tz *zone;
    sl_str sql;                   /* the user's whole text, for positions in errors */
    int64_t affected;             /* rows that statements have changed */
} sl_pg;

/* url.c: keywords and values for libpq; ends with NULL. */
bool sl_pg_keywords(sl_arena *arena, sl_str url, const char *scheme, const char *port, sl_val *ret, sl_err *err);

/* conn.c. Close it in any case; a second open on it connects anew. */
bool sl_pg_open(sl_pg *p, sl_task *t, const sl_pg_cfg *cfg, bool redshift, sl_err *err);
void sl_pg_close(sl_pg *p);
/* One statement; values: list, bound as text. Rows go to `result` (NULL: dropped). *rows: it has a result set. offset: of the statement in p->sql. */
bool sl_pg_exec(sl_pg *p, sl_str statement, const sl_val *values, size_t offset, sl_result *result, bool *rows, sl_err *err);
/* Without results or positions: BEGIN and its like. */
bool sl_pg_run(sl_pg *p, const char *statement, sl_err *err);
/* The first value of the first row as text; "" when there is none or it is null. */
bool sl_pg_scalar(sl_pg *p, const char *statement, const char *value, sl_str *ret, sl_err *err);
/* Waits until the socket can be read (or written); false: the task is to stop, or the connection is lost. */
bool sl_pg_wait(sl_pg *p, bool write, sl_err *err);
/* As poll(2): is there something to read (or room to write)? */
int sl_pg_poll(const sl_pg *p, bool write, int ms);
/* The next result, waited for. *ret NULL: there are no more. */
bool sl_pg_next(sl_pg *p, PGresult **ret, sl_err *err);
/* Reads away what is left of a statement that failed. */
void sl_pg_drain(sl_pg *p);
/* What a failed result says. Returns false. offset SIZE_MAX: no position. */
bool sl_pg_failed(sl_pg *p, const PGresult *r, size_t offset, sl_err *err);

/* copy.c: COPY … FROM STDIN. *refused: the server has ended it; sl_pg_copy_end says why. */
bool sl_pg_copy_begin(sl_pg *p, sl_str statement, sl_err *err);
bool sl_pg_copy_send(sl_pg *p, sl_str bytes, bool *refused, sl_err *err);
/* After PQputCopyEnd: how many rows. */
bool sl_pg_copy_end(sl_pg *p, int64_t *rows, sl_err *err);

/* value.c */
const sl_val *sl_pg_value(sl_arena *arena, unsigned oid, sl_str text, const sl_tz *zone);
/* Text that the server reads as the value; array: as an array literal. NULL for null. */
const char *sl_pg_text(sl_arena *arena, const sl_val *v, bool array);
bool sl_pg_is_array(unsigned oid);

/*
 * transaction.c: effects that happen once. Before each COMMIT the transaction's id and what is known so far are on disk; after a
 * crash (or a lost answer) the server is asked what became of it.
 */
typedef struct sl_pg_work {
    sl_pg *p;
    const sl_pg_cfg *cfg;
    bool redshift;
} sl_pg_work;
/* COMMIT. state: what the task needs to go on behind it. Whatever happens, true means committed. */
bool sl_pg_commit(sl_pg_work *w, const sl_val *state, sl_err *err);
/*
 * At the start: *ret_state is the state of the last sl_pg_commit that got through (or NULL). *wait: its fate is open, look again
 * soon. An effect whose fate nobody can tell is an error.
 */
bool sl_pg_fate(sl_pg_work *w, const sl_val **ret_state, bool *wait, sl_err *err);
/* A statement outside of a transaction is about to run: remembered, so that it is not repeated blindly. Reading ones need not. */
bool sl_pg_bare(sl_pg_work *w, sl_str statement, const sl_val *state, sl_err *err);
/* It has run. */
bool sl_pg_done(sl_pg_work *w, const sl_val *state, sl_err *err);

/* query.c: statements in one transaction on Redshift, without results. */
sl_outcome sl_redshift_execute(sl_task *t, const sl_pg_cfg *cfg, const sl_redshift_cfg *redshift, sl_str sql, sl_err *err);
/* The same, each statement for itself: what may not stand in a transaction. */
sl_outcome sl_redshift_execute_each(sl_task *t, const sl_pg_cfg *cfg, const sl_redshift_cfg *redshift, sl_str sql, sl_err *err);

extern const sl_task_type sl_redshift_copy_from_s3, sl_redshift_merge, sl_redshift_unload_task, sl_redshift_create_external_table;
extern const sl_task_type sl_pg_query, sl_pg_queries, sl_pg_trigger, sl_pg_copy_in, sl_pg_copy_out, sl_pg_batch, sl_pg_load, sl_redshift_query, sl_redshift_queries, sl_redshift_trigger;

/*
 * SQL that tells of the row for which a session's last COPY failed, as one text: file, line, column, value and reason. A serverless
 * workgroup has the second view alone, which has no values.
 * Sources: https://docs.aws.amazon.com/redshift/latest/dg/r_STL_LOAD_ERRORS.html, …/SYS_LOAD_ERROR_DETAIL.html
 */
#define SL_REDSHIFT_LOAD_ERROR(session)                                                                                                                                     \
    "SELECT 'file ' || trim(filename) || ', line ' || line_number || ', column ' || trim(colname) || ' (' || trim(type) || '), value ''' || left(trim(raw_field_value), 100)" \
    " || ''': ' || trim(err_reason) FROM stl_load_errors WHERE session = " session " ORDER BY starttime DESC, line_number LIMIT 1"
#define SL_REDSHIFT_LOAD_ERROR_SERVERLESS(session)                                                                                                                     \
    "SELECT 'file ' || trim(file_name) || ', line ' || line_number || ', column ' || trim(column_name) || ' (' || trim(column_type) || '): ' || trim(error_message)" \
    " FROM sys_load_error_detail WHERE session_id = " session " ORDER BY start_time DESC, line_number LIMIT 1"
