/*
 * local/redshift_data.h: private to local/redshift_data*.c: a call of the Data API.
 *
 * false: `why` says what is wrong with it.
 */
#pragma once

#include "local/aws.h"
#include "local/redshift_statement.h"

typedef struct sl_data_call {
    sl_cloud *c;
    sl_arena *a;
    sl_redshift_session *s;
    const sl_val *body;
    sl_val *answer;
    sl_refusal why;
} sl_data_call;

bool sl_data_invalid(sl_data_call *x, const char *message);
bool sl_data_broken(sl_data_call *x, const sl_err *err);
/* Of a time in milliseconds: seconds, with a fraction. */
const sl_val *sl_data_seconds(sl_data_call *x, const sl_val *doc, const char *name);
/* A cluster or a workgroup, and a database. */
bool sl_data_target(sl_data_call *x);

/* redshift_data_lists.c */
bool sl_data_statements(sl_data_call *x);
bool sl_data_databases(sl_data_call *x);
bool sl_data_schemas(sl_data_call *x);
bool sl_data_tables(sl_data_call *x);
bool sl_data_table(sl_data_call *x);
