/* auth/google_cred.h: the inside of a Google credential, shared by google.c (finding, caching) and google_fetch.c (asking). */
#pragma once

#include <pthread.h>

#include "auth/google.h"
#include "base/secret.h"

typedef enum sl_google_kind { SL_G_SERVICE_ACCOUNT, SL_G_USER, SL_G_METADATA, SL_G_IMPERSONATED, SL_G_EXTERNAL } sl_google_kind;

struct sl_google_cred {
    struct sl_google_cred *next;
    sl_google *owner;
    sl_google_kind kind;
    sl_arena *arena;
    sl_str key;                    /* hash of the options: identity in the table */
    sl_str email, project, quota_project, scopes, token_uri, key_id;
    sl_secret *secret;             /* private key, refresh token */
    sl_secret *client_secret;
    sl_str client_id;
    sl_str url;                    /* impersonation: generateAccessToken */
    const sl_val *delegates, *source_config;
    int64_t lifetime_s;
    sl_str audience, subject_token_type, workforce_project;
    struct sl_google_cred *source; /* whom an impersonation or a federation starts from */
    sl_http_auth http_auth;

    struct {
        pthread_mutex_t lock;
        pthread_cond_t done;
        bool refreshing;
        sl_secret *token;
        int64_t expires_s;
    } locked;
};

/* One token request; when to ask is google.c's business. *ret lives in `arena`. */
bool sl_google_fetch(sl_http *http, const sl_google_cred *cred, sl_arena *arena, sl_str *ret, int64_t *ret_expires_s, sl_err *err);
/* The metadata server's base URL with trailing path, from GCE_METADATA_HOST. */
sl_str sl_google_metadata_url(sl_arena *arena, const char *path);
bool sl_google_metadata_get(sl_http *http, sl_arena *arena, const char *path, int64_t timeout_ms, sl_http_response *ret, sl_err *err);
