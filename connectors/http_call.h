/*
 * connectors/http_call.h: what the tasks of io.kestra.plugin.core.http have in common: properties, and the request that they make
 * (flow language section 4.9). Threads: no state.
 */
#pragma once

#include "connectors/task.h"
#include "net/http_options.h"

typedef struct sl_http_cfg {
    sl_str uri, method, content_type, save_as;
    const sl_val *params, *headers, *body, *form, *options, *ssl;
    sl_str response_condition;
    bool allow_failed, fail_on_empty;
} sl_http_cfg;

extern const sl_opt sl_http_option_opts[], sl_http_ssl_opts[];

#define SL_HTTP_METHODS "GET POST PUT DELETE PATCH HEAD OPTIONS TRACE CONNECT"
#define SL_HTTP_SHARED                                                                                                                                         \
    { .name = "uri", .type = SL_OPT_STR, .offset = SL_FIELD(sl_http_cfg, uri), .flags = SL_REQUIRED, .doc = "The address." },                             \
    { .name = "method", .type = SL_OPT_ENUM, .offset = SL_FIELD(sl_http_cfg, method), .values = SL_HTTP_METHODS, .fallback = "GET", .doc = "The HTTP method." }, \
    { .name = "params", .type = SL_OPT_MAP, .offset = SL_FIELD(sl_http_cfg, params), .doc = "Query parameters." },                                       \
    { .name = "headers", .type = SL_OPT_MAP, .offset = SL_FIELD(sl_http_cfg, headers), .doc = "Request headers." },                                      \
    { .name = "contentType", .type = SL_OPT_STR, .offset = SL_FIELD(sl_http_cfg, content_type), .doc = "Content-Type of the body." },                    \
    { .name = "body", .type = SL_OPT_ANY, .offset = SL_FIELD(sl_http_cfg, body), .doc = "The body: a text, or what becomes JSON." },                     \
    { .name = "formData", .type = SL_OPT_MAP, .offset = SL_FIELD(sl_http_cfg, form), .doc = "A form: URL-encoded, or as multipart/form-data, with files." }, \
    { .name = "options", .type = SL_OPT_MAP, .offset = SL_FIELD(sl_http_cfg, options), .sub = sl_http_option_opts, .doc = "Times, proxy, authentication." },     \
    { .name = "sslOptions", .type = SL_OPT_MAP, .offset = SL_FIELD(sl_http_cfg, ssl), .sub = sl_http_ssl_opts, .flags = SL_DEPRECATED, .doc = "Older form of options.ssl." }

#define SL_HTTP_ALLOW_FAILED { .name = "allowFailed", .type = SL_OPT_BOOL, .offset = SL_FIELD(sl_http_cfg, allow_failed), .doc = "A status of 400 or more is no failure." }

/* Address, headers, body, times and credentials of *req. */
bool sl_http_prepare(sl_task *t, const sl_http_cfg *c, sl_http_request *req, sl_err *err);
/* Is a status none that fails the task? */
bool sl_http_accepted(sl_arena *arena, const sl_http_cfg *c, int status);
/* The error of a status, with the beginning of the body; SL_TASK_FAILED. */
sl_outcome sl_http_refused(const sl_http_response *r, sl_err *err);
