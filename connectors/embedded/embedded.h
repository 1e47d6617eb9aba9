/*
 * connectors/embedded/embedded.h: what the tasks for DuckDB and SQLite share: a database that is a file of ours, or the user's.
 *
 * Without a path the database lives in the attempt's folder and goes with it; a crash begins anew. In a file that stays, each
 * transaction writes its key into a table of ours, so that after a crash the file itself tells what was committed:
 * everything happens once there, too. Source: connectors reference A8, A11.
 */
#pragma once

#include "connectors/result.h"

typedef struct sl_embedded_cfg {
    sl_str url, username, password, zone, sql, after_sql, fetch_type, database_uri, memory_limit;
    const sl_val *input_files, *output_files, *parameters, *fetch_size, *pooling, *pool_size, *extensions;
    bool fetch, store, fetch_one, transaction, output_file;
    int64_t threads;
} sl_embedded_cfg;

typedef struct sl_embedded_rows {
    void *self;
    bool (*each)(void *self, const sl_val *row, sl_err *err); /* the row lives until it returns */
    const sl_tz *zone;
    bool rows;                    /* the statement has a result set */
    int64_t changed;
} sl_embedded_rows;

typedef struct sl_embedded_driver {
    const char *name, *scheme;    /* "DuckDB", "jdbc:duckdb:" */
    const char *extension;        /* of its files */
    /* path "": in memory. dir: where relative names are looked for. NULL: err. */
    void *(*open)(sl_task *t, const sl_embedded_cfg *c, const char *path, sl_str dir, sl_err *err);
    void (*close)(void *db);
    bool (*exec)(void *db, sl_str statement, const sl_val *values, sl_embedded_rows *r, sl_err *err);
    /* May it stand in a transaction? */
    bool (*fits)(sl_arena *arena, sl_str statement);
    /* OPTIONAL. Is there nothing to do for it here? */
    bool (*skips)(void *db, sl_arena *arena, sl_str statement);
    /* The table of keys: made, looked into ($1), written ($1), kept small. */
    const char *const *make_keys; /* ends with NULL */
    const char *has_key, *add_key, *forget_keys;
} sl_embedded_driver;

#define SL_EMBEDDED_OPTS(url_default, fetch_default)                                                                                                                                               \
    { .name = "url", .type = SL_OPT_STR, .offset = SL_FIELD(sl_embedded_cfg, url), .fallback = url_default, .doc = url_default "/path/of/a.file; without a path, a database of the task's own." }, \
        { .name = "username", .type = SL_OPT_STR, .offset = SL_FIELD(sl_embedded_cfg, username), .doc = "Accepted: files have no users." },                                                       \
        { .name = "password", .type = SL_OPT_SECRET, .offset = SL_FIELD(sl_embedded_cfg, password), .doc = "Accepted." },                                                                          \
        { .name = "timeZoneId", .type = SL_OPT_STR, .offset = SL_FIELD(sl_embedded_cfg, zone), .doc = "Zone of times that have none; else the server's." },                                        \
        { .name = "connectionPooling", .type = SL_OPT_ANY, .offset = SL_FIELD(sl_embedded_cfg, pooling), .doc = "Accepted." },                                                                    \
        { .name = "connectionPoolSize", .type = SL_OPT_ANY, .offset = SL_FIELD(sl_embedded_cfg, pool_size), .doc = "Accepted." },                                                                 \
        { .name = "sql", .type = SL_OPT_STR, .offset = SL_FIELD(sl_embedded_cfg, sql), .flags = SL_REQUIRED | SL_LATE, .doc = "The SQL; :name stands for a parameter; sees {{ workingDir }}, {{ dbFilePath }}, {{ outputFiles.name }}." }, \
        { .name = "fetchType", .type = SL_OPT_ENUM, .offset = SL_FIELD(sl_embedded_cfg, fetch_type), .values = SL_FETCH_TYPES, .fallback = fetch_default, .doc = "What becomes of the rows." },   \
        { .name = "fetch", .type = SL_OPT_BOOL, .offset = SL_FIELD(sl_embedded_cfg, fetch), .flags = SL_DEPRECATED, .doc = "Older form of fetchType FETCH." },                                    \
        { .name = "store", .type = SL_OPT_BOOL, .offset = SL_FIELD(sl_embedded_cfg, store), .flags = SL_DEPRECATED, .doc = "Older form of fetchType STORE." },                                    \
        { .name = "fetchOne", .type = SL_OPT_BOOL, .offset = SL_FIELD(sl_embedded_cfg, fetch_one), .flags = SL_DEPRECATED, .doc = "Older form of fetchType FETCH_ONE." },                         \
        { .name = "fetchSize", .type = SL_OPT_ANY, .offset = SL_FIELD(sl_embedded_cfg, fetch_size), .doc = "Accepted: rows come in blocks in any case." },                                         \
        { .name = "parameters", .type = SL_OPT_MAP, .offset = SL_FIELD(sl_embedded_cfg, parameters), .doc = "Values of :names in the SQL; they are bound, never pasted." },                        \
        { .name = "inputFiles", .type = SL_OPT_ANY, .offset = SL_FIELD(sl_embedded_cfg, input_files), .doc = "Files to put into the working folder: name to content or kestra:// URI." },          \
        { .name = "outputFiles", .type = SL_OPT_STRS, .offset = SL_FIELD(sl_embedded_cfg, output_files), .doc = "Files of the working folder to keep." },                                          \
        { .name = "outputDbFile", .type = SL_OPT_BOOL, .offset = SL_FIELD(sl_embedded_cfg, output_file), .doc = "Keep the database's file as an output." }
#define SL_EMBEDDED_AFTER { .name = "afterSQL", .type = SL_OPT_STR, .offset = SL_FIELD(sl_embedded_cfg, after_sql), .flags = SL_LATE, .doc = "One more statement, in the same transaction." }
#define SL_EMBEDDED_TRANSACTION { .name = "transaction", .type = SL_OPT_BOOL, .offset = SL_FIELD(sl_embedded_cfg, transaction), .fallback = "true", .doc = "All statements in one transaction; false: each in its own." }

extern const sl_opt sl_embedded_query_outs[], sl_embedded_queries_outs[];

/* *ret_size (may be NULL): rows of the first result. */
sl_outcome sl_embedded_run(sl_task *t, const sl_embedded_driver *driver, const sl_embedded_cfg *c, bool several, int64_t *ret_size, sl_err *err);
/* One look of a trigger that fires when there are rows. */
sl_outcome sl_embedded_look(sl_task *t, const sl_embedded_driver *driver, const sl_embedded_cfg *c, sl_err *err);

extern const sl_task_type sl_duckdb_query, sl_duckdb_queries, sl_duckdb_trigger, sl_sqlite_query, sl_sqlite_queries, sl_sqlite_trigger;
