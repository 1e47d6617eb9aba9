/* connectors/state.h: checkpoints with a member of any size: one that does not fit lies in a file of the task run. One thread. */
#pragma once

#include "connectors/task.h"

/* sl_task_checkpoint. `doc` may lose its `member` on the way. */
bool sl_state_keep(sl_task *t, sl_val *doc, const char *member, sl_err *err);
/* The member of what was saved; *ret NULL when there is none. */
bool sl_state_load(sl_task *t, const sl_val *saved, const char *member, const sl_val **ret, sl_err *err);
