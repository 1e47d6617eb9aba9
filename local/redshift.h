/* local/redshift.h: the Redshift face: the PostgreSQL protocol over DuckDB, COPY from the local S3 and DynamoDB. */
#pragma once

#include "local/cloud_private.h"
#include "local/pgwire.h"

/* Starts with the cloud; the warehouse opens with the first connection. */
bool sl_redshift_start(sl_cloud *c, sl_err *err);
bool sl_redshift_join(sl_cloud *c, sl_err *err);   /* of a cloud that another process serves */
void sl_redshift_stop(sl_cloud *c);

typedef struct sl_redshift_session {
    sl_cloud *c;
    sl_duck_con *con;
    int pid;
    char status;                  /* I, T, E */
    int64_t copied;               /* pg_last_copy_count() */
    char path[1024];              /* search_path as the connection asked for it; "": the usual one */
} sl_redshift_session;

/* A session of its own; NULL with err. */
sl_redshift_session *sl_redshift_session_open(sl_cloud *c, sl_err *err);
void sl_redshift_session_close(sl_redshift_session *s);
bool sl_redshift_session_run(sl_redshift_session *s, sl_arena *arena, sl_str statement, sl_pgwire_result *ret, sl_err *err);

/* redshift_data.c: {"RedshiftData.<operation>"}: answers the request. */
void sl_redshift_data_face(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_str operation);
/* Statements that an earlier process has not done. */
bool sl_redshift_data_take_up(sl_cloud *c, sl_duck_con *con, sl_err *err);
void sl_redshift_data_stop(sl_cloud *c);

/* redshift_sql.c: a statement of Redshift as DuckDB understands it. */
bool sl_redshift_rewrite(sl_redshift_session *s, sl_arena *arena, sl_str statement, sl_str *ret, sl_err *err);
/* redshift_function.c: CREATE FUNCTION, SHOW and the like; *ret empty: it is none of them. false with err: or it is refused. */
bool sl_redshift_whole(sl_redshift_session *s, sl_arena *arena, sl_str statement, sl_str *ret, sl_err *err);
/* What becomes several statements of DuckDB, which are one transaction; empty: it stays one. */
bool sl_redshift_parts(sl_redshift_session *s, sl_arena *arena, sl_str statement, const sl_val **ret, sl_err *err);
/* redshift_macros.c: statements that make functions and views; ends with NULL. */
extern const char *const sl_redshift_macros[];
/* redshift_copy.c: COPY table FROM 's3://…' or 'dynamodb://…'. */
bool sl_redshift_copy(sl_redshift_session *s, sl_arena *arena, sl_str statement, int64_t *rows, sl_err *err);
/* redshift_external.c: external schemas, tables and partitions; *handled: it was about one of them. */
bool sl_redshift_external(sl_redshift_session *s, sl_arena *arena, sl_str statement, bool *handled, sl_str *tag, sl_err *err);
/* External tables see the objects that there are now. */
bool sl_redshift_external_refresh(sl_redshift_session *s, sl_arena *arena, sl_err *err);
extern const char *const sl_redshift_external_setup[]; /* ends with NULL */
/* redshift_unload.c: UNLOAD ('query') TO 's3://…'. */
bool sl_redshift_unload(sl_redshift_session *s, sl_arena *arena, sl_str statement, int64_t *rows, sl_err *err);
