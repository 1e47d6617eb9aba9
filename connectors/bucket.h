/*
 * connectors/bucket.h: objects of one bucket of S3 or Google Cloud Storage, by their keys.
 *
 * Keys are plain text. What these functions return lives in the task's arena; the bucket must outlive sources made of it.
 */
#pragma once

#include "connectors/aws/aws.h"
#include "connectors/gcp/gcp.h"
#include "connectors/source.h"
#include "connectors/target.h"

typedef struct sl_bucket {
    sl_task *task;
    bool google;                  /* else S3 */
    sl_str name;
    const sl_gcp_cfg *gcp;        /* how it is reached: the one that counts */
    const sl_aws_cfg *aws;
} sl_bucket;

/* An object as it is now. SL_ERR_NOT_FOUND: there is none. */
bool sl_bucket_source(const sl_bucket *b, sl_str key, sl_source *ret, sl_err *err);
/* *ret is to be closed in any case. how->task counts, not that of the bucket. */
bool sl_bucket_target(const sl_bucket *b, sl_str key, const sl_target_how *how, sl_target **ret, sl_err *err);
/* All keys that begin so, as a list of texts. */
bool sl_bucket_list(const sl_bucket *b, sl_str prefix, const sl_val **ret, sl_err *err);
/* What is missing is no error. */
bool sl_bucket_delete(const sl_bucket *b, const sl_val *keys, sl_err *err);
