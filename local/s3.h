/* local/s3.h: the inside of the S3 face: its rows, and what its files share. */
#pragma once

#include "local/aws.h"

typedef struct sl_s3_row {
    sl_str bucket, key, version, blob, etag, algorithm, checksum, headers; /* etag: quoted; headers: JSON, lower-case names */
    int64_t size, modified_ms;
    bool marker;                  /* a delete marker: it has no content */
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
    /* Of the version that was read, made or removed; "": the bucket has none. */
    sl_str version;
    bool marker;
} sl_s3_call;

/* s3_store.c. A failure of the disk or the database: false, why is InternalError. */
bool sl_s3_bucket_there(sl_s3_call *x, sl_str bucket);          /* false: why is NoSuchBucket */
/* If-Match and If-None-Match of a write, against what is there. */
bool sl_s3_may_write(sl_s3_call *x, bool found, const sl_s3_row *old);
bool sl_s3_broken(sl_s3_call *x, const sl_err *err);            /* always false */
/* The headers of a request that an object keeps, as JSON. */
sl_str sl_s3_kept_headers(sl_s3_call *x);
sl_str sl_http_date(sl_arena *arena, int64_t ms);

/* s3_versions.c. version "": the one that there is now. All set x->version and x->marker. */
bool sl_s3_row_find(sl_s3_call *x, sl_str bucket, sl_str key, sl_str version, sl_s3_row *ret); /* false: NoSuchKey, NoSuchVersion, or a delete marker */
/* The row becomes the object, where the request's conditions allow it. upload: a multipart upload that is over with it ("" = none). Frees what it replaces. */
bool sl_s3_row_put(sl_s3_call *x, sl_s3_row *row, sl_str upload);
bool sl_s3_row_delete(sl_s3_call *x, sl_str bucket, sl_str key, sl_str version);
bool sl_s3_row_describe(sl_s3_call *x, const sl_s3_row *row);   /* its headers have changed */
bool sl_s3_versioning(sl_s3_call *x, sl_str *ret);              /* of x->bucket: "", Enabled, Suspended */
bool sl_s3_set_versioning(sl_s3_call *x, sl_str setting);
void sl_s3_tell_version(sl_s3_call *x);                         /* adds to the answer's headers */

/* s3_tags.c */
bool sl_s3_tags_fit(sl_s3_call *x, sl_str header);              /* x-amz-tagging: a=1&b=2 */
bool sl_s3_tags_get(sl_s3_call *x);
bool sl_s3_tags_put(sl_s3_call *x, sl_str body);
bool sl_s3_tags_delete(sl_s3_call *x);

/* s3_customer.c: keys that a client brings along (SSE-C). prefix: "" or "x-amz-copy-source-". */
bool sl_s3_customer_fits(sl_s3_call *x);                        /* a key that the request brings is one */
bool sl_s3_customer_opens(sl_s3_call *x, sl_str headers, const char *prefix, bool part); /* what has these headers is read, or gets a part */
sl_str sl_s3_opaque_etag(sl_s3_call *x, sl_str blob);           /* of an object with such a key: not the MD5 of its content */
void sl_s3_tell_encryption(sl_s3_call *x, sl_str headers);      /* adds to the answer's headers */

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
/* s3_list.c */
bool sl_s3_list_objects(sl_s3_call *x);
bool sl_s3_list_versions(sl_s3_call *x);

void sl_s3_bucket_list(void *self, sl_server_request *req, sl_server_response *resp);
void sl_s3_bucket_route(void *self, sl_server_request *req, sl_server_response *resp);
