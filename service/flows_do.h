/* service/flows_do.h: changes of stored flows: several at once, all or nothing. */
#pragma once

#include "service/engine.h"

typedef struct sl_flow_change {
    sl_flow **flows;               /* stored, in one transaction */
    size_t count;
    bool must_be_new, must_exist;
    int64_t if_revision;           /* -1 or 0: whatever it is; else it must be this one */
    sl_str only_ns;                /* the other flows of this namespace are deleted; .n == 0: they stay */
    sl_str delete_ns, delete_id;   /* instead of storing: delete this one */
    sl_str author;
    sl_err err;                    /* NOT_FOUND, CONFLICT, CONFIG */
    bool ok;
} sl_flow_change;

/* Any thread; on disk, and the triggers follow, when it returns true. */
bool sl_flows_put(sl_engine *e, sl_flow_change *change, sl_err *err);
