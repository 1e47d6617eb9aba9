/*
 * kv/kv.h: typed values and secrets per namespace, encrypted record by record, with versions, expiry and rollback detection.
 *
 * Every record is sealed with a data key that the KEK wraps; namespace, kind, key, version, type, dates are bound to it, so
 * that a record that was moved, swapped, re-typed or given a longer life does not open. A head over all records is kept in
 * the store and outside of it: an older copy of the file is refused. Several processes may use one store.
 * Threads: all functions may be called at once (one lock inside).
 */
#pragma once

#include "base/err.h"
#include "base/val.h"
#include "kv/kek.h"

typedef struct sl_kv sl_kv;

typedef enum sl_kv_kind { SL_KV_VALUE, SL_KV_SECRET } sl_kv_kind;

typedef struct sl_kv_entry {
    sl_str ns, key, type, description;   /* type: STRING NUMBER BOOLEAN DATETIME DATE DURATION JSON */
    int64_t version, created_ms, updated_ms, expires_ms;  /* expires_ms 0 = never */
    sl_str value;                        /* JSON text (kv) or the bytes (secret); empty in lists */
    sl_str fingerprint;                  /* HMAC of the value, 16 hex digits: tells whether two are equal, not what they are */
} sl_kv_entry;

typedef struct sl_kv_options {
    sl_str type, description;
    int64_t ttl_ms;                      /* 0 = for ever */
    bool no_overwrite;
    bool if_version;                     /* only when `version` is the newest one (0 = there is none); else CONFLICT, code kv.changed */
    int64_t version;
} sl_kv_options;

/* Opens or creates the store; checks the head. accept_rollback: take an older state as the truth from now on. */
sl_kv *sl_kv_open(const char *path, const char *data_dir, bool accept_rollback, sl_err *err);
void sl_kv_close(sl_kv *kv);
const sl_kek *sl_kv_kek(const sl_kv *kv);

bool sl_kv_key_ok(sl_str key, sl_err *err);
bool sl_kv_put(sl_kv *kv, sl_kv_kind kind, sl_str ns, sl_str key, sl_str value, const sl_kv_options *options, sl_err *err);
/* inherit: then the parents of the namespace are asked. *found says whether there is one; an expired one is deleted and an
   error (NOT_FOUND, code kv.expired). */
bool sl_kv_find(sl_kv *kv, sl_arena *arena, sl_kv_kind kind, sl_str ns, sl_str key, bool inherit, bool *found, sl_kv_entry *ret, sl_err *err);
bool sl_kv_remove(sl_kv *kv, sl_kv_kind kind, sl_str ns, sl_str key, bool *existed, sl_err *err);
/* Newest versions that have not expired, sorted; ns.p == NULL: of all namespaces. A list of entries without values. */
bool sl_kv_entries(sl_kv *kv, sl_arena *arena, sl_kv_kind kind, sl_str ns, sl_str prefix, sl_kv_entry **ret, size_t *ret_count, sl_err *err);

/* The same of those that have expired and that nobody has asked for since. */
bool sl_kv_expired(sl_kv *kv, sl_arena *arena, sl_kv_kind kind, sl_kv_entry **ret, size_t *ret_count, sl_err *err);

/* A native value to its stored form and back. type NULL: from the value's own type. */
bool sl_kv_encode(sl_arena *arena, const sl_val *v, sl_str wanted_type, sl_str *ret_json, sl_str *ret_type, sl_err *err);
const sl_val *sl_kv_decode(sl_arena *arena, const sl_kv_entry *e, sl_err *err);

/* Re-encrypts everything under a new data key, in steps; online. Returns the number of records. */
bool sl_kv_rotate(sl_kv *kv, int64_t *ret_records, sl_err *err);
/* Wraps the data keys with another KEK. */
bool sl_kv_rewrap(sl_kv *kv, const sl_secret *new_kek, sl_err *err);
/* Opens every record and compares the head. */
bool sl_kv_verify(sl_kv *kv, int64_t *ret_records, sl_err *err);

/* Encryption of short texts for other stores (session URIs, secret inputs); purpose separates the keys. */
bool sl_kv_seal(sl_kv *kv, sl_arena *arena, const char *purpose, sl_str aad, sl_str plain, sl_str *ret, sl_err *err);
bool sl_kv_unseal(sl_kv *kv, sl_arena *arena, const char *purpose, sl_str aad, sl_str sealed, sl_str *ret, sl_err *err);
