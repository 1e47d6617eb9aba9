/*
 * kv/kek.h: the key-encryption key: 32 bytes that live outside of the data folder.
 *
 * Sources, in order: $CREDENTIALS_DIRECTORY/sluice.kek (systemd), SLUICE_KEK_FILE, the environment SLUICE_KEK (base64; it is
 * wiped from the environment and a warning is due), the default file ~/.config/sluice/sluice.kek, which is made at first use.
 * A key file must belong to us, be no link and have no rights for others. There is no mode without a key.
 */
#pragma once

#include "base/err.h"
#include "base/secret.h"

typedef struct sl_kek {
    sl_secret *key;        /* 32 bytes */
    sl_secret *previous;   /* SLUICE_KEK_PREVIOUS_FILE while a rotation is under way; NULL otherwise */
    uint8_t id[4];         /* first bytes of SHA-256 of the key */
    uint8_t previous_id[4];
    char source[512];      /* where it came from, for people */
    char head_dir[512];    /* folder for the store's head outside the data folder */
    bool from_environment;
} sl_kek;

/* may_create: make the default file when there is none (only for a store that holds nothing yet). */
bool sl_kek_load(sl_kek *ret, const char *data_dir, bool may_create, sl_err *err);
void sl_kek_done(sl_kek *kek);
/* A new key file, mode 0600; refuses to overwrite. */
bool sl_kek_generate(const char *path, sl_err *err);
bool sl_kek_read_file(const char *path, sl_secret **ret, sl_err *err);
void sl_kek_id(const sl_secret *key, uint8_t *id);
