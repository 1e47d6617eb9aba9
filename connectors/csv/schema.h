/*
 * connectors/csv/schema.h: columns as a table's definition, and the options with which a service loads the file. Pure.
 *
 * Sources: https://cloud.google.com/bigquery/docs/schemas, https://docs.aws.amazon.com/redshift/latest/dg/c_Supported_data_types.html,
 * https://www.postgresql.org/docs/current/datatype.html
 */
#pragma once

#include "connectors/csv/column.h"
#include "connectors/csv/dialect.h"

typedef struct sl_csv_table {
    const sl_csv_column *columns;
    size_t count;
    const sl_csv_shape *shape;
} sl_csv_table;

/* {bigquery: {schema, load}, redshift: {create, copy}, postgresql: {create, copy}}; table: as SQL names it. */
const sl_val *sl_csv_schemas(sl_arena *arena, const sl_csv_table *t, sl_str table);
/* The type of a column, as the service's SQL writes it. */
sl_str sl_csv_redshift_type(sl_arena *arena, const sl_csv_column *c);
sl_str sl_csv_postgres_type(sl_arena *arena, const sl_csv_column *c);
