/*
 * connectors/gcp/gcp.h: what all Google Cloud tasks share: common properties, endpoints, credentials, JSON calls, errors.
 *
 * Endpoints: STORAGE_EMULATOR_HOST and BIGQUERY_EMULATOR_HOST replace scheme and host; with them and without explicit
 * credentials no token is asked for.
 */
#pragma once

#include "connectors/task.h"

/* First member of every Google task's config. */
typedef struct sl_gcp_cfg {
    sl_str project, service_account, impersonate;
    const sl_val *scopes;
} sl_gcp_cfg;

#define SL_GCP_OPTS(struct_type)                                                                                                                                              \
    { .name = "projectId", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, gcp.project), .doc = "Project; the key's own when absent." },                                  \
    { .name = "serviceAccount", .type = SL_OPT_SECRET, .offset = SL_FIELD(struct_type, gcp.service_account), .doc = "Service account key (JSON); else Application Default Credentials." }, \
    { .name = "impersonatedServiceAccount", .type = SL_OPT_STR, .offset = SL_FIELD(struct_type, gcp.impersonate), .doc = "E-mail of an account to act as." },                 \
    { .name = "scopes", .type = SL_OPT_STRS, .offset = SL_FIELD(struct_type, gcp.scopes), .doc = "OAuth scopes (cloud-platform)." }

typedef struct sl_gcp {
    sl_task *task;
    sl_arena *arena;
    sl_str base;                  /* https://storage.googleapis.com, without trailing slash */
    const char *service;          /* "GCS", "BigQuery": for messages */
    const sl_http_auth *auth;     /* NULL: an emulator without credentials */
    sl_str pool, project, identity;
    bool local;
} sl_gcp;

/* service: "gcs" or "bigquery". */
bool sl_gcp_open(sl_gcp *g, sl_task *t, const char *service, const sl_gcp_cfg *cfg, sl_err *err);
bool sl_gcp_need_project(const sl_gcp *g, sl_err *err);

/* One call. body NULL = none. true = there is an answer; 2xx or not is for the caller (r->status). */
bool sl_gcp_send(sl_gcp *g, const char *method, sl_str path, const sl_val *body, bool idempotent, sl_http_response *r, sl_err *err);
/* As sl_gcp_send, and a status other than 2xx is an error. *ret: the parsed answer (an empty map when there is none). */
bool sl_gcp_call(sl_gcp *g, const char *method, sl_str path, const sl_val *body, bool idempotent, const sl_val **ret, sl_err *err);
/* The error that an answer means: kind, code such as gcs.404, reason and message of the service. Returns false. */
bool sl_gcp_error(const sl_gcp *g, const sl_http_response *r, const char *doing, sl_err *err);
void sl_gcp_prepare(sl_gcp *g, sl_http_request *req);
