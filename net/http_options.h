/*
 * net/http_options.h: the map `options` of Kestra's http tasks and of the function http() (flow language section 4.9), as a request
 * has it. Pure.
 */
#pragma once

#include "net/http.h"

/* Times, redirects, certificates, credentials (a header, in *headers), proxy. NULL: what they are by themselves. */
void sl_http_options_put(sl_arena *arena, const sl_val *options, sl_val *headers, sl_http_request *req);
/* Is the status none that is a failure? */
bool sl_http_options_accept(sl_arena *arena, const sl_val *options, int status);
