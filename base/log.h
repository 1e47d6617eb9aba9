/*
 * base/log.h: the process's own log: one line per record to stderr, redacted, text or JSON.
 *
 * Logs of executions go elsewhere (flows/store.h). Folders below service/ return errors and log at debug or trace only.
 * Threads: sl_log may be called at once; a record is one write.
 */
#pragma once

#include "base/base.h"

typedef enum sl_level { SL_TRACE, SL_DEBUG, SL_INFO, SL_WARN, SL_ERROR } sl_level;

void sl_log_init(sl_level least, bool json);
bool sl_log_on(sl_level level, const char *component);
/* component: "http", "gcs", ...; SL_TRACE_COMPONENTS in the environment (comma-separated) raises single ones to trace. */
void sl_log(sl_level level, const char *component, const char *fmt, ...) SL_PRINTF(3, 4);
const char *sl_level_name(sl_level level);
bool sl_level_parse(sl_str name, sl_level *ret);
