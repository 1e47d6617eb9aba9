/*
 * connectors/s3/s3.h: what the S3 tasks share: addressing, signed calls, errors, listings.
 * API: https://docs.aws.amazon.com/AmazonS3/latest/API/
 */
#pragma once

#include <stdatomic.h>

#include "base/checksum.h"
#include "connectors/aws/aws.h"
#include "connectors/source.h"
#include "connectors/target.h"

typedef struct sl_s3 {
    sl_aws_client aws;
    sl_str bucket;
    bool path_style;
    const sl_val *customer;       /* headers of every request for an object, but its deletion: the key that opens it (SSE-C); NULL = none */
    _Atomic int slow;             /* 503 SlowDown answers seen: fewer requests at a time */
    _Atomic int moved;            /* 0: region is right as far as we know; 1: being written; 2: `moved_to` is the region */
    char moved_to[40];
} sl_s3;

bool sl_s3_open(sl_s3 *s, sl_task *t, const sl_aws_cfg *cfg, sl_str bucket, sl_err *err);

#define SL_S3_KEY_DOC "AES-256 key of your own (SSE-C), base64: S3 encrypts with it and does not keep it."
/* The objects are encrypted with this key of 32 bytes, base64; .n == 0: with none. It goes over TLS or to this machine, nowhere else. */
bool sl_s3_use_key(sl_s3 *s, sl_str key, sl_err *err);

typedef struct sl_s3_request {
    const char *method;
    sl_str key;                   /* not encoded; .n == 0: the bucket itself */
    sl_str query;                 /* encoded, without '?' */
    const sl_val *headers;
    sl_str body;
    sl_reader *(*open_body)(void *self, sl_err *err);
    void *body_self;
    int64_t body_size;
    sl_str body_sha256;           /* of a streamed body: hex, or one of SigV4's words; .n == 0: it is not known */
    sl_writer *sink;
    bool xml_result;              /* a 200 may hold an <Error> (CompleteMultipartUpload, CopyObject, UploadPartCopy) */
    bool idempotent;
    int64_t idle_ms;              /* 0 = 60 s */
} sl_s3_request;

/*
 * One call: re-signed on every retry; another region or a wrong clock are learnt from the answer. true: there is an answer;
 * 2xx or not is for the caller. Threads: may be called at once with arenas of their own.
 */
bool sl_s3_send(sl_s3 *s, sl_arena *arena, const sl_s3_request *r, sl_http_response *ret, sl_err *err);
/* As sl_s3_send, and a status other than 2xx is an error. doing: "uploading s3://b/k". */
bool sl_s3_call(sl_s3 *s, sl_arena *arena, const sl_s3_request *r, const char *doing, sl_http_response *ret, sl_err *err);
/* The error that an answer means. Returns false. */
bool sl_s3_error(sl_s3 *s, sl_arena *arena, const sl_http_response *r, const char *doing, sl_err *err);
/* <Error><Code>; "" when there is none. */
sl_str sl_s3_code(sl_arena *arena, const sl_http_response *r);

/* s3://bucket/key, for messages. */
sl_str sl_s3_text(const sl_s3 *s, sl_arena *arena, sl_str key);
/* "uploading to s3://bucket/key" */
const char *sl_s3_doing(const sl_s3 *s, sl_arena *arena, const char *what, sl_str key);
/* May a streamed body go without its hash? Over TLS it may, and where nobody can touch it on its way: on this machine. */
bool sl_s3_unsigned(const sl_s3 *s);
/* Has this endpoint refused a checksum? Remembered for the process. */
bool sl_s3_plain(const sl_s3 *s);
void sl_s3_set_plain(sl_s3 *s);
/* Does it not know checksums behind a body (trailer.h)? Remembered as well. */
bool sl_s3_no_trailers(const sl_s3 *s);
void sl_s3_set_no_trailers(sl_s3 *s);

typedef struct sl_s3_listing {
    sl_str prefix, delimiter, marker, encoding_type, owner, regexp, filter, payer;
    int64_t max_keys, max_files;  /* 0 = no limit */
} sl_s3_listing;

/* For a config with a member `listing`. */
#define SL_S3_LISTING_OPTS(struct_type)                                                                                                                                          \
    { .name = "prefix", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, listing.prefix), .doc = "Beginning of the keys." },                                                 \
        { .name = "delimiter", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, listing.delimiter), .doc = "Keys that have it behind the prefix are left out." },            \
        { .name = "marker", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, listing.marker), .doc = "Only keys after this one." },                                          \
        { .name = "encodingType", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, listing.encoding_type), .doc = "Accepted: an encoding is asked for where a key needs it." },   \
        { .name = "expectedBucketOwner", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, listing.owner), .doc = "Fail when the bucket belongs to another account." },       \
        { .name = "regexp", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, listing.regexp), .doc = "Regular expression for the whole key." },                              \
        { .name = "requestPayer", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, listing.payer), .doc = "'requester' where the caller pays." },                            \
        { .name = "maxKeys", .type = SL_OPT_INT, .offset = SL_FIELD(struct_type, listing.max_keys), .fallback = "1000", .doc = "At most so many keys are looked at." }
#define SL_S3_MAX_FILES_OPT(struct_type) \
    { .name = "maxFiles", .type = SL_OPT_INT, .offset = SL_FIELD(struct_type, listing.max_files), .fallback = "25", .doc = "At most so many objects; a warning says when there are more." }

/* The objects, as outputs name them: [{uri, key, etag, size, lastModified, owner}]. */
bool sl_s3_find(sl_s3 *s, const sl_s3_listing *listing, const sl_val **ret, sl_err *err);

/* x-amz-checksum-crc32c; MD5: content-md5 */
const char *sl_s3_checksum_header(sl_algorithm a);
/* An object as it is now. `head`: what S3 says of it. headers: of every request; NULL = none. `s` must outlive the source. */
bool sl_s3_source(sl_s3 *s, sl_arena *arena, sl_str key, sl_str version, const sl_val *headers, sl_source *ret, sl_http_response *head, sl_err *err);
/* A stream as an object. *ret is to be closed in any case. */
bool sl_s3_stream(const sl_target_how *how, const sl_aws_cfg *cfg, sl_str bucket, sl_str key, sl_str customer_key, sl_target **ret, sl_err *err);
/* Missing is no error. */
bool sl_s3_delete(sl_s3 *s, sl_arena *arena, sl_str key, sl_http_response *ret, sl_err *err);
/* Within the service; objects of more than 5 GB in parts. *ret_etag may be NULL. */
typedef struct sl_s3_copy {
    sl_str bucket, key, version;  /* source */
    sl_str to_key;                /* in the bucket of `s` */
    const sl_val *customer;       /* of the source, as in sl_s3 */
    const sl_val *headers;        /* of the new object; NULL = none */
} sl_s3_copy;
bool sl_s3_copy_object(sl_s3 *s, const sl_s3_copy *c, sl_str *ret_etag, sl_err *err);
extern const sl_opt sl_s3_move_opts[];
bool sl_s3_may_act(sl_str action, const sl_val *move_to, sl_err *err);
/* NONE, DELETE or MOVE to {bucket, key} for each of a list of {key, etag}; one that was replaced meanwhile stays. cfg: to reach the other bucket. */
bool sl_s3_act(sl_s3 *s, const sl_aws_cfg *cfg, sl_str action, const sl_val *move_to, const sl_val *objects, sl_err *err);
/* One object into a file, which is finished then; *ret: what the outputs say of it: {key, eTag, contentLength, contentType, metadata, versionId}. */
typedef struct sl_s3_wanted {
    sl_str key, version;
    const sl_val *headers;        /* of every request; NULL = none */
    sl_str etag;                  /* as a listing says it, its newest state; .n == 0: it is not known */
    int64_t size;                 /* with etag */
} sl_s3_wanted;
bool sl_s3_download(sl_s3 *s, sl_arena *arena, const sl_s3_wanted *w, sl_made_file *to, sl_val **ret, sl_err *err);
/* One object into the internal storage, on the task's thread; the outputs have its `uri` then, too. */
bool sl_s3_store(sl_s3 *s, const sl_s3_wanted *w, sl_val **ret, sl_err *err);
/* All of a listing, several at a time: the outputs of each, in its order. */
bool sl_s3_store_all(sl_s3 *s, const sl_val *objects, const sl_val *headers, const sl_val **ret, sl_err *err);

extern const sl_task_type sl_s3_upload_task, sl_s3_download_task, sl_s3_downloads_task, sl_s3_list_task, sl_s3_delete_task, sl_s3_delete_list_task, sl_s3_copy_task, sl_s3_create_bucket_task, sl_s3_abort_task, sl_s3_trigger;
