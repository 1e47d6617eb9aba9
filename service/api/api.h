/*
 * service/api/api.h: the HTTP API: one table of routes with role and media type, from which requests are served, the OpenAPI
 * document is made, and the tests of access are generated.
 *
 * Paths follow Kestra (flow language section 9): each route answers below /api/v1 and below /api/v1/main. Who may call it is
 * decided by the route that matched, never by the text of a path. Errors have Kestra's shape.
 */
#pragma once

#include "net/http_server.h"
#include "service/access.h"
#include "service/engine.h"
#include "service/readers.h"

typedef struct sl_api sl_api;

typedef enum sl_body { SL_BODY_NONE, SL_BODY_JSON, SL_BODY_YAML, SL_BODY_MULTIPART, SL_BODY_TEXT, SL_BODY_ANY } sl_body;

/* One request. Everything lives in the arena. */
typedef struct sl_call {
    sl_api *api;
    sl_engine *engine;
    sl_arena *arena;
    sl_server_request *req;
    sl_server_response *resp;
    const struct sl_api_route *route;
    sl_store *store;               /* a reader */
    sl_principal who;
    sl_str args[8];                /* the {…} of the path, in order */
    sl_str body;
    const sl_val *json;            /* of a JSON body */
    bool refused;                  /* answered already */
    sl_buf buffer;
} sl_call;

typedef struct sl_api_route {
    const char *method;
    const char *path;              /* "/flows/{namespace}/{id}"; {namespace} is checked against the caller's */
    sl_role role;                  /* SL_ROLE_NONE: open */
    sl_body body;
    const char *query;             /* query parameters, blank-separated; NULL = none */
    const char *doc;               /* one sentence */
    void (*handle)(sl_call *c);
} sl_api_route;

/* Tables of the modules, each ends with {0}. */
extern const sl_api_route sl_api_flows[], sl_api_flows_many[], sl_api_executions[], sl_api_execution_actions[], sl_api_logs[], sl_api_metrics[], sl_api_triggers[], sl_api_triggers_many[], sl_api_graph[], sl_api_validate[], sl_api_kv[], sl_api_secrets[], sl_api_files[], sl_api_users[], sl_api_login[], sl_api_plugins[], sl_api_misc[];
extern const sl_api_route *const sl_api_tables[]; /* ends with NULL */

sl_api *sl_api_new(sl_engine *e);
void sl_api_free(sl_api *api);
sl_access *sl_api_access(sl_api *api);
/* For sl_server_options.routes; lives as long as the API. */
const sl_route *sl_api_routes(sl_api *api);
void sl_api_unmatched(void *self, sl_server_request *req, sl_server_response *resp, sl_str allow);
/* OpenAPI 3.1 of all routes. */
const sl_val *sl_api_document(sl_arena *arena);

/* ---- for handlers ---- */

void sl_reply(sl_call *c, int status, const sl_val *body);
void sl_reply_empty(sl_call *c, int status);
/* {message, …} with the status that belongs to the error's kind. */
void sl_reply_err(sl_call *c, const sl_err *err);
void sl_reply_error(sl_call *c, int status, const char *fmt, ...) SL_PRINTF(3, 4);
/* 422 "Invalid entity: …" with all of them. */
void sl_reply_problems(sl_call *c, const sl_problems *problems);
/* {results, total} */
void sl_reply_page(sl_call *c, const sl_val *results, int64_t total);

/* Of something done to many: {count}, or 400 with those that were refused, [{message, invalidValue}]; the others are done. */
void sl_reply_count(sl_call *c, int64_t done, const sl_val *invalid);

sl_str sl_query(const sl_call *c, const char *name);
/* The same, or as 2.0 writes it: filters[name][OPERATION]=value ("q" is "query" there). */
sl_str sl_query_filter(const sl_call *c, const char *name);
bool sl_query_bool(const sl_call *c, const char *name, bool fallback);
/* page from 1, size 1..1000; false: answered. */
bool sl_query_page(sl_call *c, int64_t *offset, int64_t *size);
/* Times as query parameters: 0 when absent; false: answered. */
bool sl_query_time(sl_call *c, const char *name, int64_t *ret_ms);
/* All values of a repeated parameter: a list of texts. */
const sl_val *sl_query_all(const sl_call *c, const char *name);
/* May the caller act on that namespace as the route asks? Answers 403 when not. */
bool sl_call_may(sl_call *c, sl_str ns);

/* Parts of a multipart body: list of {name, filename, type, data}. NULL: answered. */
const sl_val *sl_call_parts(sl_call *c);
