/*
 * flows/logs.h: the log of an execution: one JSON object a line, appended to a file of its own, apart from all state.
 *
 * Lines are redacted before they are written. Threads: all functions may be called at once.
 */
#pragma once

#include "base/err.h"
#include "base/log.h"
#include "base/val.h"

typedef struct sl_logs sl_logs;

typedef struct sl_log_entry {
    sl_str execution_id, taskrun_id, task_id;
    int attempt;
    sl_level level;
    int64_t at_ms;
    sl_str message;
} sl_log_entry;

sl_logs *sl_logs_open(const char *dir, sl_err *err);
void sl_logs_close(sl_logs *logs);
/* Splits long messages. The message that was written (redacted) is given to `also` as well, when it is not NULL. */
void sl_logs_add(sl_logs *logs, const sl_log_entry *e, void (*also)(void *self, const sl_log_entry *e), void *self);
/* Entries of at least that level, in order; a list of maps. */
bool sl_logs_read(sl_logs *logs, sl_arena *arena, sl_str execution_id, sl_level least, const sl_val **ret, sl_err *err);
/* Removes the log of an execution; missing is fine. */
bool sl_logs_delete(sl_logs *logs, sl_str execution_id, sl_err *err);
/* How many entries of these levels (bits 1 << sl_level) there are; with `remove` they go. Of a log that nobody adds to any more. */
bool sl_logs_cut(sl_logs *logs, sl_str execution_id, unsigned levels, bool remove, int64_t *ret_count, sl_err *err);
/* The file itself: for following it, and for a download. */
const char *sl_logs_dir(const sl_logs *l);
sl_str sl_logs_path(const sl_logs *logs, sl_arena *arena, sl_str execution_id);
/* How many records could not be written (disk full): shown at the end, never silent. */
int64_t sl_logs_lost(sl_logs *logs);
