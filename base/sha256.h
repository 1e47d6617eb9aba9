/*
 * base/sha256.h: SHA-256 (FIPS 180-4) and HMAC-SHA256 (RFC 2104) in one call.
 *
 * OpenSSL's own one-call functions look their algorithm up by name in every call, which costs several times the hash of a short
 * text. Here it is looked up once. Threads: any.
 */
#pragma once

#include "base/str.h"

enum { SL_SHA256 = 32, SL_SHA256_HEX = 64 };

void sl_sha256(sl_str data, uint8_t out[static SL_SHA256]);
sl_str sl_sha256_hex(sl_arena *arena, sl_str data);
/* key and out may be the same bytes. */
void sl_hmac_sha256(sl_str key, sl_str text, uint8_t out[static SL_SHA256]);
