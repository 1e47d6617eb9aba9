/* service/registry.c: the connectors of this build: a new one is one line here and one in connectors/CMakeLists.txt. */
#include "connectors/connectors.h"
#include "service/cli.h"

static const sl_connector *const connectors[] = {
    &sl_connector_core, &sl_connector_storage, &sl_connector_namespace, &sl_connector_kv, &sl_connector_states, &sl_connector_templated, &sl_connector_executions, &sl_connector_flow, &sl_connector_http, &sl_connector_script, &sl_connector_gcs, &sl_connector_bigquery, &sl_connector_s3, &sl_connector_dynamodb, &sl_connector_postgres, &sl_connector_serdes, &sl_connector_embedded, &sl_connector_cratedb, &sl_connector_transfer, NULL,
};

const sl_registry sl_all_connectors = { connectors };
