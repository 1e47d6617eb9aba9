/* local/cloud_private.h: what the faces of the local cloud share. */
#pragma once

#include <pthread.h>

#include "base/secret.h"
#include "db/db.h"
#include "local/cloud.h"
#include "db/duck.h"
#include "net/http_server.h"

typedef struct gs_upload gs_upload;
typedef struct bq_running bq_running;

struct sl_cloud {
    char *dir, *blobs;
    char url[64];
    sl_server *server;
    char aws_url[64];
    sl_server *aws_server;        /* the AWS services have a port of their own: S3's paths begin with any bucket's name */
    sl_str aws_key_id;
    sl_secret *aws_secret;
    char redshift_url[64];        /* jdbc:redshift://127.0.0.1:PORT/dev */
    struct sl_pgwire *redshift;
    struct ssl_ctx_st *redshift_tls;
    sl_duck *redshift_duck;       /* NULL until the first connection */
    void *redshift_running;       /* statements of the Data API; under lock */
    sl_db *db;                    /* buckets, objects, sessions, tokens; locked with sl_db_lock */
    sl_secret *key;               /* the service account's JSON */
    sl_str project;
    sl_arena *arena;
    int lock_fd, log_fd;
    sl_duck *duck;                /* NULL until the first BigQuery request */
    pthread_mutex_t lock;         /* of duck's opening, uploads, running jobs */
    gs_upload *uploads;
    bq_running *running;
    bool stopping, anonymous;
};

/* Google's error body. Returns nothing: the response is set. */
void sl_cloud_refuse(sl_server_request *req, sl_server_response *resp, int status, const char *reason, const char *fmt, ...) SL_PRINTF(5, 6);
/* false (and a 401 is set) unless there is a bearer token that this cloud has given out, or none and none is asked for. */
bool sl_cloud_authorized(sl_cloud *c, sl_server_request *req, sl_server_response *resp);
sl_str sl_cloud_now(sl_arena *a);

/* Listens on `wanted`, or the port of the file DIR/`file`, or any free one; keeps it in that file. */
bool sl_cloud_listen(sl_cloud *c, const char *file, int wanted, const sl_route *const *tables, size_t n, void (*unmatched)(void *, sl_server_request *, sl_server_response *, sl_str), sl_server **ret, char ret_url[static 64], sl_err *err);

/* oauth.c */
bool sl_oauth_init(sl_cloud *c, sl_err *err);
void sl_oauth_token(void *self, sl_server_request *req, sl_server_response *resp);
/* gcs.c */
extern const sl_migration sl_gcs_migrations[];
extern const sl_route sl_gcs_routes[];
typedef struct sl_gcs_object {
    sl_str bucket, name, blob, crc32c, md5, meta;
    int64_t generation, metageneration, size, created_ms, updated_ms;
} sl_gcs_object;
bool sl_gcs_find(sl_cloud *c, sl_arena *a, sl_str bucket, sl_str name, int64_t generation, sl_gcs_object *ret);
bool sl_gcs_bucket_exists(sl_cloud *c, sl_arena *a, sl_str bucket, sl_str *ret_location);
const sl_val *sl_gcs_resource(sl_cloud *c, sl_arena *a, const sl_gcs_object *o);
/* A complete blob becomes the object; preconditions in `req`'s query. md5: NULL text = none, empty = not computed yet. */
void sl_gcs_put(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_str bucket, sl_str name, const sl_val *meta, sl_str blob, int64_t size, uint32_t crc, sl_str md5, const char *if_generation);
bool sl_gcs_md5(sl_cloud *c, sl_arena *a, sl_str blob, sl_str *ret, sl_err *err); /* base64 */
sl_str sl_gcs_new_blob(sl_cloud *c, sl_arena *a);
sl_str sl_gcs_blob_path(sl_cloud *c, sl_arena *a, sl_str blob);
/* gs:// URI of the object whose content lies at that path; empty when there is none. */
sl_str sl_gcs_uri_of(sl_cloud *c, sl_arena *a, sl_str path);
/* Paths and names of the objects that a gs:// URI (with one *) names. */
bool sl_gcs_resolve(sl_cloud *c, sl_arena *a, sl_str uri, sl_val *paths, sl_val *names, sl_err *err);
/* upload.c */
extern const sl_route sl_upload_routes[];
void sl_uploads_free(sl_cloud *c);
/* bigquery*.c */
extern const sl_route sl_bq_routes[];
bool sl_bq_warehouse(sl_cloud *c, sl_err *err);     /* opens DuckDB, takes up jobs that were interrupted */
void sl_bq_stop(sl_cloud *c);
/* A load job's file has arrived as `blob`: the job is submitted. Takes the blob over in any case. */
void sl_bq_load_uploaded(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_str project, const sl_val *job, sl_str blob);
/* taxi.c */
void sl_taxi_get(void *self, sl_server_request *req, sl_server_response *resp);
