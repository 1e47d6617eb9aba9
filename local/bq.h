/* local/bq.h: the BigQuery face's own parts: catalogue, jobs, results. Source: BigQuery REST v2. */
#pragma once

#include "local/cloud_private.h"
#include "local/gsql.h"

struct bq_running {
    struct bq_running *next;
    sl_cloud *cloud;
    char id[1100];
    sl_duck_con *con;
};

/* ---- catalogue (bq_catalog.c) ---- */
extern const char *const bq_macros[]; /* of the warehouse, without CREATE MACRO; ends with NULL */
sl_duck_con *bq_connect(sl_cloud *c, sl_err *err);
sl_str bq_schema(sl_arena *a, sl_str project, sl_str dataset);                       /* project.dataset */
const sl_val *bq_dataset(sl_cloud *c, sl_duck_con *k, sl_arena *a, sl_str project, sl_str dataset);  /* resource or NULL */
const sl_val *bq_table(sl_cloud *c, sl_duck_con *k, sl_arena *a, sl_str project, sl_str dataset, sl_str table, bool counts);
/* [{name, type, mode, …}] of a table, from the warehouse, with the descriptions that were given. NULL when missing. */
const sl_val *bq_fields(sl_duck_con *k, sl_arena *a, sl_str project, sl_str dataset, sl_str table);
/* Remembers what DuckDB does not: descriptions, partitioning, the definition of an external table. */
bool bq_remember_table(sl_duck_con *k, sl_arena *a, const sl_val *ref, const sl_val *meta, sl_err *err);
/* With its tables; they are refused as resourceInUse unless `contents`. */
bool bq_drop_dataset(sl_duck_con *k, sl_arena *a, sl_str project, sl_str dataset, bool contents, sl_err *err);
bool bq_forget_table(sl_duck_con *k, sl_arena *a, const sl_val *ref, sl_err *err);

/* ---- files as tables (bq_reader.c) ---- */
/* A view over the files as they are now, for each external table. */
bool bq_refresh_externals(sl_cloud *c, sl_duck_con *k, sl_arena *a, sl_err *err);
/* read_csv(…), read_json(…) or read_parquet(…) for an external data configuration or a load job. */
bool bq_reader_sql(sl_cloud *c, sl_arena *a, const sl_val *config, const sl_val *fields, sl_str *ret, sl_err *err);

/* ---- answers (bq_answer.c) ---- */
/* {f: [{v: …}]} rows of a table (or view), texts as the API shows them. */
bool bq_rows(sl_duck_con *k, sl_arena *a, sl_str from, const sl_val *fields, int64_t offset, int64_t limit, bool int64_timestamp, sl_val *rows, sl_err *err);
/* DuckDB's message as BigQuery would have said it: {reason, message, location}. */
const sl_val *bq_error(sl_cloud *c, sl_arena *a, const sl_err *err);

/* ---- jobs (bq_job.c) ---- */
/* Starts the job; the effect and the finished job are one transaction (of a script: for each statement). As it is now. */
const sl_val *bq_job_submit(sl_cloud *c, sl_server_request *req, sl_server_response *resp, sl_str project, const sl_val *job);
const sl_val *bq_job_get(sl_cloud *c, sl_arena *a, sl_str project, sl_str id);
bool bq_jobs_take_up(sl_cloud *c, sl_err *err);
/* A query's text: its statements, and what they read. */
typedef struct bq_script {
    gs_statement *list;
    size_t n;
    bool information;             /* INFORMATION_SCHEMA */
    const sl_val *wildcards;      /* [{projectId, datasetId, prefix}]: the views sl_wild_0, … */
    const gs_declared *declared;  /* its variables and temporary tables */
    size_t declared_count;
} bq_script;

/* bq_run.c, inside of a transaction; fills statistics and configuration of `job`. */
bool bq_statements(sl_arena *a, const sl_val *job, bq_script *ret, sl_err *err);
/* The same for a text that a script has made: with parameters of its own, and the script's temporary tables. */
bool bq_statements_of(sl_arena *a, const sl_val *job, sl_str text, const sl_val *parameters, const bq_script *within, bq_script *ret, sl_err *err);
bool bq_run_statement(sl_cloud *c, sl_duck_con *k, sl_arena *a, sl_val *job, const bq_script *x, const gs_statement *s, sl_err *err);
/* The first value of a statement that is a query: a branch's, a message. */
bool bq_run_value(sl_cloud *c, sl_duck_con *k, sl_arena *a, const sl_val *job, const bq_script *x, const gs_statement *s, const sl_val **ret, sl_err *err);
bool bq_run_other(sl_cloud *c, sl_duck_con *k, sl_arena *a, sl_val *job, sl_err *err);
sl_str bq_result_table(sl_arena *a, sl_str job_id);

/* ---- shared by bq_job.c and bq_script.c ---- */
/* insert: fails when the id is taken. */
bool bq_job_save(sl_duck_con *k, sl_arena *a, const sl_val *job, const char *state, bool insert, sl_err *err);
void bq_job_set_status(sl_arena *a, sl_val *job, const char *state, const sl_val *error);
/* A job in memory that can be changed: the parsed one is shared, its statistics are our own. */
sl_val *bq_job_own(sl_arena *a, const sl_val *job);
/* Of what DuckDB says when two transactions change the same thing; neither has had an effect then. */
bool bq_is_conflict(const sl_err *err);
enum { BQ_TRIES = 200 };
void bq_pause(int tries);
/* s NULL: no query. A transaction of its own; *ret: the job as it ended. */
bool bq_run_one(sl_cloud *c, sl_duck_con *k, sl_arena *a, const sl_val *stored, const bq_script *x, const gs_statement *s, sl_val **ret, sl_err *err);
bool bq_controls_transaction(const gs_statement *s);
/* Is it more than one statement for one transaction? */
bool bq_is_script(const bq_script *x);
void bq_run_script(sl_cloud *c, sl_duck_con *k, sl_arena *a, const sl_val *stored, const bq_script *x);
