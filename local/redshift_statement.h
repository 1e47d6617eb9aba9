/*
 * local/redshift_statement.h: private to local/redshift_*.c: statements of the Data API: their documents, and the threads that run them.
 *
 * A document lies in the warehouse itself (_sl.statements) and is written in the transaction of what its statement does: after a
 * crash, one that was not done is run again, and none twice. Threads: everything may be called at once.
 */
#pragma once

#include "local/redshift.h"

bool sl_statement_save(sl_redshift_session *s, sl_arena *arena, const sl_val *doc, bool insert, sl_err *err);
/* column: "id" or "token". *ret NULL: there is none. */
bool sl_statement_find(sl_redshift_session *s, sl_arena *arena, const char *column, sl_str value, sl_val **ret, sl_err *err);
void sl_statement_set(sl_arena *arena, sl_val *doc, const char *status, sl_str error);
/* In a thread of its own. */
bool sl_statement_start(sl_cloud *c, sl_str id, sl_err *err);
bool sl_statement_runs(sl_cloud *c, sl_str id);
/* false: it does not run. */
bool sl_statement_cancel(sl_cloud *c, sl_str id);
