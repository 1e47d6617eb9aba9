/* connectors/connectors.h: the connectors of this build. The one list of them is service/registry.c. */
#pragma once

#include "connectors/task.h"

extern const sl_connector sl_connector_core, sl_connector_executions, sl_connector_flow, sl_connector_http, sl_connector_script, sl_connector_gcs, sl_connector_bigquery, sl_connector_s3, sl_connector_dynamodb, sl_connector_postgres, sl_connector_serdes, sl_connector_embedded, sl_connector_cratedb, sl_connector_transfer, sl_connector_storage, sl_connector_namespace, sl_connector_kv, sl_connector_states, sl_connector_templated;
extern const sl_task_type sl_storage_filter, sl_storage_deduplicate; /* storage_records.c */
extern const sl_task_type sl_http_sse; /* http_sse.c */
