/* local/bq_work.h: one job's work: bq_run.c (queries), bq_move.c (load, extract, copy), bq_info.c (INFORMATION_SCHEMA). */
#pragma once

#include "local/bq.h"

typedef struct bq_work {
    sl_cloud *c;
    sl_duck_con *k;
    sl_arena *a;
    sl_val *job, *stats, *query; /* statistics and statistics.query */
    sl_str project, location;
    sl_err *err;
} bq_work;

bool bq_run(bq_work *w, sl_str sql, int64_t *changed);
int64_t bq_count(bq_work *w, sl_str from);
/* "project.dataset"."table" of a tableReference; a partition's $ is left out. */
sl_str bq_table_sql(sl_arena *a, const sl_val *ref);
/* Numbers of a table that a query or a file has made get their 64 bits. */
bool bq_widen(bq_work *w, const sl_val *ref, bool loaded);
/* The dataset is there, and in the job's location. */
bool bq_dataset_known(bq_work *w, const sl_val *ref);
/* Rows that CSV readers have left out so far, against the limit that each of them was given. */
bool bq_check_bad_records(bq_work *w, int64_t *ret_count);

/* *ret: what the statistics say of it. */
bool bq_load(bq_work *w, const sl_val *conf, const sl_val **ret);
bool bq_extract(bq_work *w, const sl_val *conf);
/* EXPORT DATA: the rows of a query of DuckDB's into Cloud Storage. */
bool bq_export(bq_work *w, sl_str query, const sl_val *options);
bool bq_copy(bq_work *w, const sl_val *conf);

/* The views sl_wild_<from> … of all[from, to): the rows of all tables that begin so, with _TABLE_SUFFIX (bq_wildcard.c). */
bool bq_make_wildcards(bq_work *w, const sl_val *all, size_t from, size_t to);

/* The table, which has the columns `have`, takes what the query gives, if need be with more columns where conf's schemaUpdateOptions allow it (bq_schema.c). */
bool bq_fit_schema(bq_work *w, const sl_val *conf, const sl_val *table, const sl_val *have, sl_str query);
/* A route (bq_insert.c). */
void bq_insert_all(void *self, sl_server_request *req, sl_server_response *resp);

/* Fills the temporary tables that a query of INFORMATION_SCHEMA is rewritten to. */
bool bq_information(bq_work *w);
/* SQL that gives the id of a row's partition; empty when the table (a resource) is not partitioned by a column. */
sl_str bq_partition_sql(sl_arena *a, const sl_val *table);
/* "table$id": the id; empty without one. */
sl_str bq_partition_of(sl_str table_id);
