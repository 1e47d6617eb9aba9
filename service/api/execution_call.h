/* service/api/execution_call.h: what the handlers about executions and logs share. */
#pragma once

#include "service/api/api.h"
#include "service/api/execution_json.h"

/* Each answers the request and gives false (NULL) when it cannot give what was asked for. */
sl_flow_ref *sl_call_flow(sl_call *c, sl_str ns, sl_str id, int64_t revision); /* to be given back to the cache */
bool sl_call_execution(sl_call *c, sl_str id, sl_str *ret_ns, sl_str *ret_flow);
bool sl_call_labels(sl_call *c, const sl_val *texts, const sl_val **ret);
bool sl_call_filter(sl_call *c, sl_execution_filter *f);
void sl_call_reply_execution(sl_call *c, sl_str id);
/* The request's execution of the flow args[0].args[1]. */
void sl_call_create(sl_call *c);
/* POST /executions/NAMESPACE/pause is about a flow of that name, too: true when there is no such execution; args[1] is the name then. */
bool sl_call_names_flow(sl_call *c);
/* The same, and it is answered: the flow has been run. */
bool sl_call_meant_flow(sl_call *c);
/* The inputs that a paused task of the execution args[0] asks for (onResume); NULL: none. false: answered. */
bool sl_call_asked(sl_call *c, sl_str ns, sl_str flow_id, const sl_val **ret);
/*
 * The parts of the form: texts as they are, files as URIs, for those are in the execution's storage now, below inputs/FOLDER…; FOLDER .n == 0:
 * below the input's own name. declared: the inputs that there are. NULL: answered.
 */
const sl_val *sl_call_inputs(sl_call *c, const sl_val *declared, sl_str ns, sl_str flow_id, sl_str id, sl_str folder);
/* follow.c: Server-sent events. */
void sl_follow_execution(sl_call *c);
void sl_follow_logs(sl_call *c);
