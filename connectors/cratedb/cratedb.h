/*
 * connectors/cratedb/cratedb.h: CrateDB over HTTP: one statement a request, or one with many rows of values.
 *
 * There are no transactions: a statement that was cut off may have run or not, and nobody can tell; it is repeated only where that
 * changes nothing. What CrateDB answers with status 200 although rows were lost is an error here.
 * Source: https://cratedb.com/docs/crate/reference/en/latest/interfaces/http.html, …/sql/statements/copy-from.html
 */
#pragma once

#include "connectors/task.h"

typedef struct sl_crate_cfg {
    sl_str url, username, password, schema;
} sl_crate_cfg;

#define SL_CRATE_OPTS(struct_type)                                                                                                                                                     \
    { .name = "url", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, crate.url), .flags = SL_REQUIRED, .doc = "http://host:4200 or https://…." },                                \
        { .name = "username", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, crate.username), .fallback = "crate", .doc = "Who logs in." },                                       \
        { .name = "password", .type = SL_OPT_SECRET, .offset = SL_FIELD(struct_type, crate.password), .doc = "With which password." },                                                  \
        { .name = "schema", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, crate.schema), .fallback = "doc", .doc = "Schema of names without one." }

typedef struct sl_crate {
    sl_task *task;
    sl_str url, schema, authorization;
    sl_str pool;
} sl_crate;

bool sl_crate_open(sl_crate *c, sl_task *t, const sl_crate_cfg *cfg, sl_err *err);
/*
 * One statement; args: list or NULL; bulk: list of lists or NULL. *ret: CrateDB's answer, in the arena. at_most_once: it is not sent
 * again when nobody knows whether it arrived. A refusal is err with code "cratedb.NNNN".
 */
bool sl_crate_call(sl_crate *c, sl_arena *arena, sl_str statement, const sl_val *args, const sl_val *bulk, const sl_val **ret, sl_err *err);
/* A value of a column of that type (col_types). */
const sl_val *sl_crate_value(sl_arena *arena, const sl_val *v, const sl_val *type);

/* COPY … FROM loads what it can and says that all is well. With RETURN SUMMARY it says how many rows were refused, and why. */
bool sl_crate_is_copy_from(sl_arena *arena, sl_str statement);
/* The statement with RETURN SUMMARY. */
sl_str sl_crate_with_summary(sl_arena *arena, sl_str statement);
/* One row of a summary: uri, success_count, error_count, errors ({why: {count, line_numbers}}). false: rows were refused. */
bool sl_crate_check_summary(sl_arena *arena, const sl_val *row, int64_t *loaded, sl_err *err);

extern const sl_task_type sl_crate_query, sl_crate_bulk;
