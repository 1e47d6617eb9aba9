/* connectors/bigquery/bigquery.h: what the BigQuery tasks share. API: https://cloud.google.com/bigquery/docs/reference/rest/v2 */
#pragma once

#include "connectors/gcp/gcp.h"

/* Second member of every BigQuery task's config, behind sl_gcp_cfg gcp. */
typedef struct sl_bq_cfg {
    sl_str location;
    const sl_val *retry, *retry_reasons, *retry_messages;
} sl_bq_cfg;

extern const sl_opt sl_bq_retry_opts[];

#define SL_BQ_OPTS(struct_type)                                                                                                                                                      \
    SL_GCP_OPTS(struct_type), { .name = "location", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, bq.location), .doc = "Location of jobs and datasets, such as EU." },        \
        { .name = "retryAuto", .type = SL_OPT_MAP, .offset = SL_FIELD(struct_type, bq.retry), .sub = sl_bq_retry_opts, .doc = "When a failed job is submitted anew." },              \
        { .name = "retryReasons", .type = SL_OPT_STRS, .offset = SL_FIELD(struct_type, bq.retry_reasons), .doc = "Reasons of a job's error that allow it." },                        \
        { .name = "retryMessages", .type = SL_OPT_STRS, .offset = SL_FIELD(struct_type, bq.retry_messages), .doc = "Parts of a job's error message that allow it." }

/* Member `target` of tasks that write a table. */
typedef struct sl_bq_target {
    sl_str table, write, create;
} sl_bq_target;

#define SL_BQ_TARGET_OPTS(struct_type)                                                                                                                                                          \
    { .name = "destinationTable", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, target.table), .flags = SL_REQUIRED, .doc = "The table (dataset.table or project.dataset.table)." },     \
        { .name = "writeDisposition", .type = SL_OPT_ENUM, .offset = SL_FIELD(struct_type, target.write), .values = "WRITE_TRUNCATE WRITE_APPEND WRITE_EMPTY", .doc = "What to do with rows that are there." }, \
        { .name = "createDisposition", .type = SL_OPT_ENUM, .offset = SL_FIELD(struct_type, target.create), .values = "CREATE_IF_NEEDED CREATE_NEVER", .doc = "Whether the table is made." }

typedef struct sl_bq {
    sl_gcp g;
    const sl_bq_cfg *cfg;
    sl_task *task;
    sl_arena *arena;
} sl_bq;

bool sl_bq_open(sl_bq *b, sl_task *t, const sl_gcp_cfg *gcp, const sl_bq_cfg *cfg, sl_err *err);
/* /bigquery/v2/projects/P/ + rest */
sl_str sl_bq_path(sl_bq *b, const char *fmt, ...) SL_PRINTF(2, 3);

/* dataset.table or project.dataset.table (partition decorator allowed) to a tableReference. */
bool sl_bq_table_ref(sl_bq *b, sl_str name, const sl_val **ret, sl_err *err);
const sl_val *sl_bq_dataset_ref(sl_bq *b, sl_str name);

/*
 * Submits a job under an id that is on disk first, and follows it: SL_TASK_DONE with *ret_job (a finished job without error),
 * SL_TASK_WAIT (come back), or SL_TASK_FAILED. After a restart the id is asked for before anything is submitted again.
 */
sl_outcome sl_bq_job(sl_bq *b, const sl_val *configuration, const sl_val *labels, int64_t timeout_ms, const sl_val **ret_job, sl_err *err);
/*
 * The same with another way than jobs.insert to bring the job (a Job resource with its id) to BigQuery: a load that sends
 * the file itself. It is called again after a restart when BigQuery does not know the id. SL_ERR_CONFLICT = it knows it.
 */
typedef bool (*sl_bq_submit)(void *self, sl_bq *b, const sl_val *job, const sl_val **ret_job, sl_err *err);
sl_outcome sl_bq_job_by(sl_bq *b, sl_bq_submit submit, void *self, const sl_val *configuration, const sl_val *labels, int64_t timeout_ms, const sl_val **ret_job, sl_err *err);
/* Cancels the job of the checkpoint. */
void sl_bq_cancel(sl_task *t, const sl_gcp_cfg *gcp, const sl_bq_cfg *cfg);
/* A dry run: not a job, nothing to follow. */
bool sl_bq_dry_run(sl_bq *b, const sl_val *configuration, const sl_val **ret_job, sl_err *err);

/* destinationTable, writeDisposition and createDisposition of a job's configuration. */
bool sl_bq_put_target(sl_bq *b, sl_val *configuration, const sl_bq_target *target, sl_err *err);
/* timePartitioning and clustering of a job's configuration, where they are given. */
void sl_bq_put_layout(sl_arena *arena, sl_val *configuration, const sl_val *clustering, sl_str partition_field, sl_str partition_type);

/* Cells to native values; schema is {fields: [...]}. */
const sl_val *sl_bq_row(sl_arena *arena, const sl_val *schema, const sl_val *row);

extern const sl_task_type sl_bq_trigger, sl_bq_query, sl_bq_load, sl_bq_load_from_gcs, sl_bq_extract, sl_bq_copy, sl_bq_copy_partitions, sl_bq_delete_partitions, sl_bq_create_dataset, sl_bq_update_dataset, sl_bq_delete_dataset, sl_bq_create_table, sl_bq_update_table,
    sl_bq_delete_table, sl_bq_table_metadata;
