/*
 * auth/jwt.h: JSON Web Tokens with RS256, both ways. Pure: no clock, no network. Sources: RFC 7515, RFC 7518, RFC 7519.
 */
#pragma once

#include "base/err.h"
#include "base/val.h"

/* header (kid may be in it; alg and typ are added) and claims, signed with a PEM private key. The result is a credential. */
bool sl_jwt_sign(sl_arena *arena, const sl_val *header, const sl_val *claims, sl_str private_key_pem, sl_str *ret, sl_err *err);
/* Checks form, algorithm and signature against a PEM public or private key; claims are the caller's to judge. */
bool sl_jwt_verify(sl_arena *arena, sl_str token, sl_str key_pem, const sl_val **ret_claims, sl_err *err);
/* A new RSA key of 2048 bits, PKCS#8 PEM. */
bool sl_rsa_generate(sl_arena *arena, sl_str *ret_pem, sl_err *err);
