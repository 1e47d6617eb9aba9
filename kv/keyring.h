/* kv/keyring.h: data keys in memory, sealing of records. Private to kv/. Not thread-safe: kv.c holds its lock. */
#pragma once

#include "db/db.h"
#include "kv/crypto.h"
#include "kv/kek.h"

typedef struct sl_dek {
    struct sl_dek *next;
    int64_t id;
    sl_secret *key;          /* 32 bytes; per-purpose keys are derived from it */
} sl_dek;

typedef struct sl_keyring {
    sl_db *db;
    sl_kek kek;
    sl_dek *deks;            /* newest first */
} sl_keyring;

bool sl_keyring_load(sl_keyring *k, sl_err *err);
bool sl_keyring_add(sl_keyring *k, sl_err *err);          /* a new data key; inside a transaction of the caller */
void sl_keyring_done(sl_keyring *k);
bool sl_keyring_rewrap(sl_keyring *k, const sl_secret *new_kek, sl_err *err);

/* magic(2) format(1) kek(4) dek(4) nonce(24) ciphertext tag. The plaintext is padded to 32 bytes. */
bool sl_record_seal(sl_keyring *k, sl_arena *arena, const char *purpose, sl_str aad, sl_str plain, sl_str *ret, sl_err *err);
bool sl_record_open(sl_keyring *k, sl_arena *arena, const char *purpose, sl_str aad, sl_str record, sl_str *ret, sl_err *err);
/* HMAC under a key of that purpose. */
bool sl_keyring_mac(sl_keyring *k, const char *purpose, sl_str data, uint8_t *ret, size_t n, sl_err *err);
