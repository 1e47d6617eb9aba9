/*
 * service/ahead.h: tasks of which nothing comes but what is written to the state (connectors/task.h: pure) run in the turn itself.
 *
 * Their start, their end and whatever follows from it are in one commit: a flow of such tasks costs one, and no thread is woken. Such
 * an attempt may not reach out (no files, no network) nor take long; one that fails so is forgotten and given to a worker, so that
 * what it says is said once. The loop's thread.
 */
#pragma once

#include "service/engine_private.h"

/* For all that is touched, until nothing such is left or this turn has lasted long enough: the rest is for workers. */
void sl_ahead(sl_engine *e, int64_t now_ms);
