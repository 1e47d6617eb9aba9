/*
 * auth/google.h: Google credentials: where they come from, and access tokens.
 *
 * Kinds: service_account (RS256 JWT bearer grant, RFC 7523), authorized_user (RFC 6749 refresh), the metadata server,
 * impersonated_service_account, external_account with a file or URL source (RFC 8693). Search order without an explicit
 * key: Application Default Credentials (GOOGLE_APPLICATION_CREDENTIALS, gcloud's file, metadata server).
 * A token is cached once per identity and refreshed early by one caller while the others go on with the old one.
 * Threads: everything may be called at once.
 */
#pragma once

#include "net/http.h"

typedef struct sl_google sl_google;
typedef struct sl_google_cred sl_google_cred;

typedef struct sl_google_options {
    sl_str service_account;        /* JSON text; empty = Application Default Credentials */
    sl_str impersonate;            /* e-mail of a further account to act as; empty = none */
    const sl_val *scopes;          /* list of texts; NULL = cloud-platform */
} sl_google_options;

sl_google *sl_google_new(sl_http *http);
void sl_google_free(sl_google *g);
/* A JSON credential to be used where ADC would search; for the local cloud. Copied. */
void sl_google_set_default(sl_google *g, sl_str json);

/* The credential for these options; the same object for the same options, owned by g. No network, but files are read. */
sl_google_cred *sl_google_find(sl_google *g, const sl_google_options *options, sl_err *err);
/* Adds `Authorization: Bearer …` (and x-goog-user-project) to requests. */
const sl_http_auth *sl_google_http_auth(sl_google_cred *cred);
sl_str sl_google_identity(const sl_google_cred *cred);   /* e-mail or kind; no secret; stable, good as a pool key */
sl_str sl_google_project(const sl_google_cred *cred);    /* the key's project; empty when it has none */
/* A token good for some minutes. *ret_expires_s may be NULL. */
bool sl_google_token(sl_google_cred *cred, sl_arena *arena, bool refresh, sl_str *ret, int64_t *ret_expires_s, sl_err *err);

/* What was tried, in order, for `sluice auth explain google`: a list of {link, found, detail}. Returns the winner or NULL. */
sl_google_cred *sl_google_explain(sl_google *g, sl_arena *arena, const sl_google_options *options, sl_val *steps, sl_err *err);
