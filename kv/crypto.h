/*
 * kv/crypto.h: authenticated encryption of single records: XAES-256-GCM (C2SP), 192-bit random nonces on plain AES-256-GCM.
 *
 * Pure functions; keys are 32 bytes. Source: C2SP XAES-256-GCM.md; NIST SP 800-38D, SP 800-108r1; RFC 5869 for HKDF.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { SL_KEY_SIZE = 32, SL_NONCE_SIZE = 24, SL_TAG_SIZE = 16 };

/* ciphertext ‖ tag for a given nonce; for tests with vectors. */
bool sl_xaes_seal(sl_arena *arena, const uint8_t *key, const uint8_t *nonce, sl_str aad, sl_str plain, sl_str *ret, sl_err *err);
/* false with code kv.tampered when anything was changed; no plaintext is released then. */
bool sl_xaes_open(sl_arena *arena, const uint8_t *key, const uint8_t *nonce, sl_str aad, sl_str sealed, sl_str *ret, sl_err *err);
/* HKDF-SHA-256, 32 bytes out. */
bool sl_hkdf(const uint8_t *key, sl_str info, uint8_t *ret, sl_err *err);
/* First n bytes of HMAC-SHA-256. */
void sl_hmac(const uint8_t *key, sl_str data, uint8_t *ret, size_t n);
/* Length-prefixed parts, so that ("ab","c") and ("a","bc") differ. */
sl_str sl_aad(sl_arena *arena, const sl_str *parts, size_t count);
