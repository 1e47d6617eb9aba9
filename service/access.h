/*
 * service/access.h: who may do what: users, API tokens, roles.
 *
 * Passwords are hashed with argon2id (RFC 9106), tokens are 256 random bits of which only the SHA-256 is kept. A role holds
 * for a namespace and everything below it; "" is all namespaces. Whatever is unknown is refused. Threads: any.
 */
#pragma once

#include "service/engine.h"

typedef enum sl_role {
    SL_ROLE_NONE,       /* nobody has it; of a route: open to all */
    SL_ROLE_VIEWER,     /* reads */
    SL_ROLE_OPERATOR,   /* and runs, kills, backfills */
    SL_ROLE_AUTHOR,     /* and changes flows, values, files */
    SL_ROLE_ADMIN,      /* and users, secrets, tokens of others */
} sl_role;

const char *sl_role_name(sl_role role);
bool sl_role_parse(sl_str name, sl_role *ret); /* SL_ROLE_NONE is no role */

typedef struct sl_principal {
    char name[128];
    char ns[152];
    sl_role role;
} sl_principal;

bool sl_principal_may(const sl_principal *p, sl_role role, sl_str ns);

typedef struct sl_access sl_access;

sl_access *sl_access_new(void);
void sl_access_free(sl_access *a);

/* The Authorization header's value; false with AUTH, or LIMIT after too many wrong passwords. */
bool sl_access_check(sl_access *a, sl_store *store, sl_str authorization, sl_principal *ret, sl_err *err);
/* A name and a password; errors as above. */
bool sl_access_password(sl_access *a, sl_store *store, sl_str name, sl_str password, sl_principal *ret, sl_err *err);
/* A token with all rights that only this process knows, for who can read the data folder anyway. */
bool sl_access_local_token(sl_access *a, sl_arena *arena, sl_str *ret);
/* Somebody's rights have changed: what was verified before counts no longer. */
void sl_access_forget(sl_access *a);

/* These write; they belong into a call on the loop, or to a store that nobody else writes. */
bool sl_access_put_user(sl_store *store, sl_str name, sl_str password, sl_role role, sl_str ns, int64_t now_ms, sl_err *err);
bool sl_access_delete_user(sl_store *store, sl_str name, bool *existed, sl_err *err);
/* *ret is the token itself, shown once. expires_ms 0 = in 90 days. */
bool sl_access_make_token(sl_store *store, sl_arena *arena, sl_str name, sl_str owner, sl_role role, sl_str ns, int64_t now_ms, int64_t expires_ms, sl_str *ret, sl_str *ret_id, sl_err *err);
bool sl_access_delete_token(sl_store *store, sl_str id, bool *existed, sl_err *err);

/* Lists of maps, without anything secret. */
bool sl_access_users(sl_store *store, sl_arena *arena, const sl_val **ret, sl_err *err);
bool sl_access_tokens(sl_store *store, sl_arena *arena, const sl_val **ret, sl_err *err);
