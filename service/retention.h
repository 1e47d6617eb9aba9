/* service/retention.h: old executions are removed with their logs and files, a few at a time, so that nothing is held up. */
#pragma once

#include "service/engine.h"

typedef struct sl_retention {
    int64_t keep_ms;               /* remove what ended longer ago */
    int64_t keep_count;            /* remove the oldest when there are more that have ended */
    int64_t keep_bytes;            /* remove the oldest when logs and files take more */
} sl_retention;                    /* 0: not for that reason */

/*
 * One step: at most RETENTION_STEP executions. *ret_more: there are others to remove. *excess, the caller's between steps: bytes that
 * are still to go; -1 before the first step, which looks at everything. Any thread but the loop's.
 */
bool sl_retention_step(sl_engine *e, sl_store *reader, const sl_retention *r, int64_t *excess, bool *ret_more, sl_err *err);
