/*
 * local/cloud.h: the local cloud: the wire protocols of GCS, BigQuery, Google's token endpoint, S3, DynamoDB, STS and Redshift on loopback, over one data
 * folder, with DuckDB as the warehouse.
 *
 * State survives a restart and a kill at any instant. Every request is written to requests.jsonl in the data folder.
 * Threads: start and stop from one; requests are served by their own.
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

typedef struct sl_cloud sl_cloud;

typedef struct sl_cloud_options {
    const char *data_dir;
    int port;              /* 0: the one used last time, else any free one */
    bool anonymous;        /* requests without a token are served, too (clients with anonymous credentials) */
} sl_cloud_options;

sl_cloud *sl_cloud_start(const sl_cloud_options *options, sl_err *err);
/* The same, or the one that serves this folder already, in another process. */
sl_cloud *sl_cloud_join(const sl_cloud_options *options, sl_err *err);
void sl_cloud_stop(sl_cloud *c);               /* NULL is fine */
const char *sl_cloud_url(const sl_cloud *c);   /* http://127.0.0.1:PORT */
sl_str sl_cloud_key(const sl_cloud *c);        /* its own service account key (JSON); a secret */
/* The AWS services' address, and an access key for them; the secret is one. */
const char *sl_cloud_aws_url(const sl_cloud *c);
const char *sl_cloud_redshift_url(const sl_cloud *c); /* jdbc:redshift://…; any user, the secret as password */
sl_str sl_cloud_aws_key_id(const sl_cloud *c);
sl_str sl_cloud_aws_secret(const sl_cloud *c);
/*
 * What other clients have to know of the cloud that runs, or ran last, with `dir`: names of environment variables -> values, a secret among them.
 * scripts: for Google's Python client; STORAGE_EMULATOR_HOST would make it come without a token.
 */
bool sl_cloud_env(sl_arena *arena, const char *dir, bool scripts, const sl_val **ret, sl_err *err);
/* Where DuckDB's library was found, with its version; empty with err when it is missing. */
sl_str sl_cloud_engine(sl_arena *arena, sl_err *err);
