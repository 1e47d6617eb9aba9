/* auth/aws_cred.h: the inside of an AWS credential, shared by aws.c (caching, signing), aws_chain.c (finding) and aws_fetch.c (asking). */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "auth/aws.h"
#include "auth/sigv4.h"

enum { SL_AWS_FACTS_MAX = 256 };

typedef enum sl_aws_kind { SL_A_STATIC, SL_A_ROLE, SL_A_WEB_IDENTITY, SL_A_PROCESS, SL_A_SSO, SL_A_CONTAINER, SL_A_INSTANCE } sl_aws_kind;

struct sl_aws_cred {
    struct sl_aws_cred *next;
    sl_aws *owner;
    sl_aws_kind kind;
    sl_arena *arena;
    sl_str hash;                   /* of the options: identity in the table */
    sl_str name;                   /* for messages */
    sl_str key_id;                 /* STATIC */
    sl_secret *secret, *token;
    struct sl_aws_cred *source;    /* ROLE: who asks */
    sl_str role_arn, external_id, session_name, sts_endpoint, region, token_file;
    int64_t duration_s;
    sl_str command;                /* PROCESS */
    sl_str sso_start, sso_session, sso_region, sso_account, sso_role;
    sl_str url, auth_token, auth_file; /* CONTAINER */
    struct {
        pthread_mutex_t lock;
        pthread_cond_t done;
        bool refreshing;
        sl_str id;                 /* of fetched keys; malloc'ed */
        sl_secret *secret, *token;
        int64_t expires_s, retry_s; /* retry_s: after a failed renewal, not before */
        char scope_day[9];         /* the key below is for */
        char scope_place[96];
        uint8_t scope_key[SL_SIGV4_KEY];
    } locked;
};

struct sl_aws {
    sl_http *http;
    pthread_mutex_t lock;
    sl_aws_cred *creds;
    uint64_t facts[SL_AWS_FACTS_MAX]; /* hashes of fact and endpoint; with their count under the lock */
    size_t fact_count;
    sl_str fallback_id;            /* the local cloud's; malloc'ed */
    sl_secret *fallback_secret;
    _Atomic int64_t clock_offset_s;
};

sl_aws_cred *sl_aws_cred_new(sl_aws *aws, sl_aws_kind kind, sl_str name);
sl_aws_cred *sl_aws_static(sl_aws *aws, sl_str name, sl_str id, sl_str secret, sl_str token);
/* aws_chain.c: the default chain. Under aws->lock. */
sl_aws_cred *sl_aws_chain(sl_aws *aws, sl_arena *arena, sl_val *steps, sl_err *err);
/* A property of the profile in use; empty when there is none. */
sl_str sl_aws_profile_value(sl_arena *arena, const char *key);
/* aws_fetch.c: one renewal. */
bool sl_aws_fetch(sl_http *http, sl_aws_cred *cred, sl_arena *arena, sl_aws_keys *ret, sl_err *err);
