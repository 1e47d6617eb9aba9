/* connectors/bigquery/bigquery.c: the list of the BigQuery tasks. */
#include "connectors/bigquery/bigquery.h"
#include "connectors/connectors.h"

static const sl_task_type *const tasks[] = { &sl_bq_query, &sl_bq_load, &sl_bq_load_from_gcs, &sl_bq_extract, &sl_bq_copy, &sl_bq_copy_partitions, &sl_bq_delete_partitions,
                                           &sl_bq_create_dataset, &sl_bq_update_dataset, &sl_bq_delete_dataset,
                                           &sl_bq_create_table, &sl_bq_update_table, &sl_bq_delete_table, &sl_bq_table_metadata, NULL };
static const sl_task_type *const triggers[] = { &sl_bq_trigger, NULL };
const sl_connector sl_connector_bigquery = { .name = "bigquery", .tasks = tasks, .triggers = triggers };
