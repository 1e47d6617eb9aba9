/* service/api/trigger_call.h: what the handlers about triggers share. */
#pragma once

#include "service/api/api.h"
#include "service/scheduler.h"

/* How a trigger stands, as Kestra's API says it. */
const sl_val *sl_call_trigger_json(sl_arena *arena, const sl_trigger_row *t);
/* Those of a namespace and a flow (.n == 0: of all) that the caller may see and that hold `text`. false: answered. */
bool sl_call_triggers_found(sl_call *c, sl_str ns, sl_str flow, sl_str text, sl_trigger_row **rows, size_t *n);
/* {namespace, flowId, triggerId} of a body. */
sl_trigger_request sl_call_trigger_request(const sl_val *body, sl_trigger_verb verb);
/* {start, end, inputs, labels, …} of a body. false: answered. */
bool sl_call_backfill(sl_call *c, const sl_val *backfill, sl_trigger_request *r);
/* Does it and answers with how the trigger stands then. */
void sl_call_trigger_do(sl_call *c, sl_trigger_request *r);
