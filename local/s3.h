/* local/s3.h: the inside of the S3 face: its rows, and what its files share. */
#pragma once

#include "local/aws.h"

typedef struct sl_s3_row {
    sl_str bucket, key, blob, etag, algorithm, checksum, headers; /* etag: quoted; headers: JSON, lower-case names */
    int64_t size, modified_ms;
} sl_s3_row;

/* One request whose signature was verified (or is anonymous, where that is allowed). */
typedef struct sl_s3_call {
    sl_cloud *c;
    sl_server_request *req;
    sl_server_response *resp;
    sl_arena *arena;
    sl_caller caller;
    sl_str bucket, key;
    sl_refusal why;
} sl_s3_call;

/* s3_store.c. A failure of the disk or the database: false, why is InternalError. */
bool sl_s3_bucket_there(sl_s3_call *x, sl_str bucket);          /* false: why is NoSuchBucket */
bool sl_s3_row_find(sl_s3_call *x, sl_str bucket, sl_str key, bool *found, sl_s3_row *ret);
/* If-Match and If-None-Match of a write, against what is there. */
bool sl_s3_may_write(sl_s3_call *x, bool found, const sl_s3_row *old);
/* The row becomes the object. upload: a multipart upload that is over with it ("" = none). Frees what it replaces. */
bool sl_s3_row_put(sl_s3_call *x, const sl_s3_row *row, sl_str upload);
bool sl_s3_row_delete(sl_s3_call *x, sl_str bucket, sl_str key);
bool sl_s3_broken(sl_s3_call *x, const sl_err *err);            /* always false */
/* The headers of a request that an object keeps, as JSON. */
sl_str sl_s3_kept_headers(sl_s3_call *x);
sl_str sl_http_date(sl_arena *arena, int64_t ms);

/* s3_object.c, s3_put.c, s3_parts.c, s3_bucket.c: what the routes do. */
void sl_s3_answer_xml(sl_s3_call *x, int status, sl_buf *body);
/* Opens the call; false: it is answered. */
bool sl_s3_call_begin(sl_s3_call *x, sl_cloud *c, sl_server_request *req, sl_server_response *resp);
void sl_s3_call_refused(sl_s3_call *x);
bool sl_s3_sub(const sl_s3_call *x, const char *name);          /* is ?name there? */

void *sl_s3_put_begin(void *self, sl_server_request *req);
bool sl_s3_put_data(void *self, sl_server_request *req, const void *data, size_t n);
void sl_s3_put_end(void *self, sl_server_request *req);
void sl_s3_object_put(void *self, sl_server_request *req, sl_server_response *resp);
void sl_s3_copy(sl_s3_call *x);                                 /* CopyObject, UploadPartCopy */
bool sl_s3_parse_range(sl_str text, int64_t size, int64_t *from, int64_t *count);

void sl_s3_upload_begin(sl_s3_call *x);
void sl_s3_upload_complete(sl_s3_call *x);
void sl_s3_upload_abort(sl_s3_call *x);
void sl_s3_upload_list(sl_s3_call *x);
void sl_s3_part_list(sl_s3_call *x);
/* A part that has arrived as `blob`; md5 in hex. Takes the blob over. */
bool sl_s3_part_put(sl_s3_call *x, sl_str upload, int64_t number, sl_str blob, int64_t size, sl_str md5, sl_str checksum);
bool sl_s3_upload_find(sl_s3_call *x, sl_str upload, sl_str *ret_headers, sl_str *ret_algorithm); /* false: NoSuchUpload */
void sl_s3_bucket_list(void *self, sl_server_request *req, sl_server_response *resp);
void sl_s3_bucket_route(void *self, sl_server_request *req, sl_server_response *resp);
