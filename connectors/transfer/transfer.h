/* connectors/transfer/transfer.h: what io.sluice.transfer.Copy is made of. */
#pragma once

#include "connectors/aws/aws.h"
#include "connectors/gcp/gcp.h"
#include "connectors/source.h"
#include "connectors/target.h"

typedef struct sl_copy_cfg {
    sl_gcp_cfg gcp;
    sl_aws_cfg aws;
    sl_str from, to, from_compression, to_compression, content_type, content_encoding, storage_class, from_key, to_key;
    const sl_val *headers, *metadata, *split;
    int64_t level;
} sl_copy_cfg;

/* ---- place.c: where bytes come from and go to ---- */
bool sl_copy_source(sl_task *t, const sl_copy_cfg *cfg, sl_source *ret, sl_err *err);
/* to: s3://, gs://, or the name of a stored file. *ret is to be closed in any case. */
bool sl_copy_target(const sl_copy_cfg *cfg, sl_str to, const sl_target_how *how, sl_target **ret, sl_err *err);

/* ---- web.c: http(s) ---- */
bool sl_copy_web(sl_task *t, sl_str url, const sl_val *headers, sl_source *ret, sl_err *err);

/* ---- split.c: records dealt out to several streams ---- */

enum { SL_SPLIT_PARTS_MAX = 64 };

typedef struct sl_split_cfg {
    sl_writer *outs[SL_SPLIT_PARTS_MAX];     /* not finished, not closed here */
    sl_target *targets[SL_SPLIT_PARTS_MAX];  /* what the writers end in: flushed here */
    size_t parts;
    bool header;                  /* the first record goes to each of them */
    char quote;                   /* a record does not end between two of these; 0 = none */
} sl_split_cfg;

/*
 * Blocks of whole records go to one part after the other, the same to the same each time. Threads write; the caller reads.
 * Memory: two blocks for each thread, or the longest record.
 */
bool sl_split(sl_task *t, sl_reader *in, const sl_split_cfg *cfg, int64_t *ret_bytes, sl_err *err);

/* ---- cut.c: pure ---- */
/* Where the last record that is whole ends; 0 = nowhere. *quoted: does the text begin, and end, between quotes? '\n' ends records. */
size_t sl_split_end(const char *text, size_t n, char quote, bool *quoted);
/* Where the first record ends; 0: it is not whole. */
size_t sl_split_first(const char *text, size_t n, char quote);
/* The last segment of an address's path, without its query. */
sl_str sl_copy_name(sl_str address);
/* s3://b/k/orders.csv.gz, 2: s3://b/k/orders-0002.csv.gz */
sl_str sl_copy_part_name(sl_arena *arena, sl_str to, size_t number);

extern const sl_task_type sl_transfer_copy;
