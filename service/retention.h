/* service/retention.h: old executions are removed with their logs and files, a few at a time, so that nothing is held up. */
#pragma once

#include "service/engine.h"

/* One step: at most RETENTION_STEP executions. *ret_more: there are others to remove. Any thread but the loop's. */
bool sl_retention_step(sl_engine *e, sl_store *reader, int64_t keep_ms, int64_t keep_count, bool *ret_more, sl_err *err);
