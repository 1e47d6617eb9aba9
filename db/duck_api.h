/*
 * db/duck_api.h: private to db/duck*.c: the functions of DuckDB's stable C API that are used, found at run time.
 *
 * Source of prototypes and numbers: https://duckdb.org/docs/stable/clients/c/api
 */
#pragma once

#include "db/duck.h"

typedef void *duckdb_database, *duckdb_connection, *duckdb_config, *duckdb_instance_cache, *duckdb_prepared_statement, *duckdb_extracted_statements, *duckdb_data_chunk, *duckdb_vector, *duckdb_logical_type;
typedef uint64_t idx_t;

typedef struct duckdb_result {
    idx_t deprecated[4];
    void *deprecated_columns;
    char *deprecated_error;
    void *internal;
    void *spare[4];
} duckdb_result;

/* X(name behind duckdb_, result, parameters…); int is duckdb_state (0 = success) or an enumeration. */
#define SL_DUCK_FUNCTIONS                                                                                  \
    X(open_ext, int, const char *path, duckdb_database *out, duckdb_config config, char **error)            \
    X(create_instance_cache, duckdb_instance_cache, void)                                                   \
    X(get_or_create_from_cache, int, duckdb_instance_cache cache, const char *path, duckdb_database *out, duckdb_config config, char **error) \
    X(close, void, duckdb_database *db)                                                                     \
    X(create_config, int, duckdb_config *out)                                                               \
    X(set_config, int, duckdb_config config, const char *name, const char *value)                           \
    X(destroy_config, void, duckdb_config *config)                                                          \
    X(connect, int, duckdb_database db, duckdb_connection *out)                                             \
    X(disconnect, void, duckdb_connection *con)                                                             \
    X(interrupt, void, duckdb_connection con)                                                               \
    X(query, int, duckdb_connection con, const char *sql, duckdb_result *out)                               \
    X(destroy_result, void, duckdb_result *r)                                                               \
    X(result_error, const char *, duckdb_result *r)                                                         \
    X(column_count, idx_t, duckdb_result *r)                                                                \
    X(row_count, idx_t, duckdb_result *r)                                                                   \
    X(rows_changed, idx_t, duckdb_result *r)                                                                \
    X(value_varchar, char *, duckdb_result *r, idx_t col, idx_t row)                                        \
    X(column_data, void *, duckdb_result *r, idx_t col)                                                     \
    X(value_is_null, bool, duckdb_result *r, idx_t col, idx_t row)                                          \
    X(free, void, void *p)                                                                                  \
    X(library_version, const char *, void)                                                                  \
    X(column_name, const char *, duckdb_result *r, idx_t col)                                               \
    X(column_type, int, duckdb_result *r, idx_t col)                                                        \
    X(result_return_type, int, duckdb_result r)                                                             \
    X(extract_statements, idx_t, duckdb_connection con, const char *sql, duckdb_extracted_statements *out)  \
    X(extract_statements_error, const char *, duckdb_extracted_statements list)                             \
    X(destroy_extracted, void, duckdb_extracted_statements *list)                                           \
    X(prepare_extracted_statement, int, duckdb_connection con, duckdb_extracted_statements list, idx_t index, duckdb_prepared_statement *out) \
    X(prepare_error, const char *, duckdb_prepared_statement s)                                             \
    X(destroy_prepare, void, duckdb_prepared_statement *s)                                                  \
    X(prepared_statement_type, int, duckdb_prepared_statement s)                                            \
    X(bind_boolean, int, duckdb_prepared_statement s, idx_t index, bool value)                              \
    X(bind_int64, int, duckdb_prepared_statement s, idx_t index, int64_t value)                             \
    X(bind_double, int, duckdb_prepared_statement s, idx_t index, double value)                             \
    X(bind_varchar_length, int, duckdb_prepared_statement s, idx_t index, const char *value, idx_t n)       \
    X(bind_null, int, duckdb_prepared_statement s, idx_t index)                                             \
    X(execute_prepared, int, duckdb_prepared_statement s, duckdb_result *out)                               \
    X(execute_prepared_streaming, int, duckdb_prepared_statement s, duckdb_result *out)                     \
    X(fetch_chunk, duckdb_data_chunk, duckdb_result r)                                                      \
    X(destroy_data_chunk, void, duckdb_data_chunk *chunk)                                                   \
    X(data_chunk_get_size, idx_t, duckdb_data_chunk chunk)                                                  \
    X(data_chunk_get_vector, duckdb_vector, duckdb_data_chunk chunk, idx_t col)                             \
    X(vector_get_data, void *, duckdb_vector v)                                                             \
    X(vector_get_validity, uint64_t *, duckdb_vector v)                                                     \
    X(list_vector_get_child, duckdb_vector, duckdb_vector v)                                                \
    X(struct_vector_get_child, duckdb_vector, duckdb_vector v, idx_t index)                                 \
    X(array_vector_get_child, duckdb_vector, duckdb_vector v)                                               \
    X(column_logical_type, duckdb_logical_type, duckdb_result *r, idx_t col)                                \
    X(destroy_logical_type, void, duckdb_logical_type *type)                                                \
    X(get_type_id, int, duckdb_logical_type type)                                                           \
    X(logical_type_get_alias, char *, duckdb_logical_type type)                                             \
    X(decimal_scale, uint8_t, duckdb_logical_type type)                                                     \
    X(decimal_internal_type, int, duckdb_logical_type type)                                                 \
    X(enum_internal_type, int, duckdb_logical_type type)                                                    \
    X(enum_dictionary_size, uint32_t, duckdb_logical_type type)                                             \
    X(enum_dictionary_value, char *, duckdb_logical_type type, idx_t index)                                 \
    X(list_type_child_type, duckdb_logical_type, duckdb_logical_type type)                                  \
    X(array_type_child_type, duckdb_logical_type, duckdb_logical_type type)                                 \
    X(array_type_array_size, idx_t, duckdb_logical_type type)                                               \
    X(map_type_key_type, duckdb_logical_type, duckdb_logical_type type)                                     \
    X(map_type_value_type, duckdb_logical_type, duckdb_logical_type type)                                   \
    X(struct_type_child_count, idx_t, duckdb_logical_type type)                                             \
    X(struct_type_child_name, char *, duckdb_logical_type type, idx_t index)                                \
    X(struct_type_child_type, duckdb_logical_type, duckdb_logical_type type, idx_t index)

typedef struct sl_duck_api {
    void *handle;
    char path[512];
    struct {
#define X(name, returns, ...) returns (*name)(__VA_ARGS__);
        SL_DUCK_FUNCTIONS
#undef X
    } functions;
} sl_duck_api;

extern sl_duck_api sl_duck_library_api;

struct sl_duck_con {
    duckdb_connection con;
};
