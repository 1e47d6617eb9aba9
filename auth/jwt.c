/* auth/jwt.c: see jwt.h. */
#include "auth/jwt.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/secret.h"

static EVP_PKEY *read_key(sl_str pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p ? pem.p : "", (int)pem.n);
    EVP_PKEY *key = NULL;
    if (sl_str_find(pem, SL_S("PRIVATE KEY")) >= 0)
        key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    else
        key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (key != NULL && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

bool sl_jwt_sign(sl_arena *arena, const sl_val *header, const sl_val *claims, sl_str pem, sl_str *ret, sl_err *err)
{
    sl_val *full = sl_map(arena);
    sl_map_set_str(arena, full, "alg", SL_S("RS256"));
    sl_map_set_str(arena, full, "typ", SL_S("JWT"));
    for (size_t i = 0; i < sl_val_count(header); i++)
        sl_map_set(arena, full, header->map.entries[i].key, header->map.entries[i].value);
    sl_str head = sl_base64url(arena, sl_json(arena, full)), body = sl_base64url(arena, sl_json(arena, claims));
    sl_str input = sl_fmt(arena, "%.*s.%.*s", SL_ARG(head), SL_ARG(body));
    EVP_PKEY *key = read_key(pem);
    if (key == NULL)
        return sl_err_set(err, SL_ERR_AUTH, "jwt.key", "the private key is not a PEM-encoded RSA key");
    size_t n = (size_t)EVP_PKEY_get_size(key);
    unsigned char *signature = sl_alloc(arena, n);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1
              && EVP_DigestSign(ctx, signature, &n, (const unsigned char *)input.p, input.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (!ok)
        return sl_err_set(err, SL_ERR_AUTH, "jwt.sign", "the private key cannot sign");
    *ret = sl_fmt(arena, "%.*s.%.*s", SL_ARG(input), SL_ARG(sl_base64url(arena, (sl_str){ (char *)signature, n })));
    sl_redact_add(*ret);
    return true;
}

bool sl_jwt_verify(sl_arena *arena, sl_str token, sl_str pem, const sl_val **ret, sl_err *err)
{
    sl_str rest = token, head, body, signature, raw_head, raw_body, raw_signature;
    bool form = sl_str_cut(&rest, '.', &head) && sl_str_cut(&rest, '.', &body) && sl_str_cut(&rest, '.', &signature) && rest.p == NULL
                && sl_base64_decode(arena, head, &raw_head) && sl_base64_decode(arena, body, &raw_body) && sl_base64_decode(arena, signature, &raw_signature);
    if (!form)
        return sl_err_set(err, SL_ERR_AUTH, "jwt.form", "not a JSON Web Token");
    const sl_val *header = sl_json_parse(arena, raw_head, err), *claims = header ? sl_json_parse(arena, raw_body, err) : NULL;
    if (claims == NULL || claims->type != SL_MAP)
        return sl_err_set(err, SL_ERR_AUTH, "jwt.form", "not a JSON Web Token");
    if (!sl_str_eqc(sl_get_text(header, "alg"), "RS256"))
        return sl_err_set(err, SL_ERR_AUTH, "jwt.alg", "the token's algorithm is not RS256");
    EVP_PKEY *key = read_key(pem);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = key != NULL && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1
              && EVP_DigestVerify(ctx, (const unsigned char *)raw_signature.p, raw_signature.n, (const unsigned char *)token.p, head.n + 1 + body.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (!ok)
        return sl_err_set(err, SL_ERR_AUTH, "jwt.signature", "the token's signature is wrong");
    *ret = claims;
    return true;
}

bool sl_rsa_generate(sl_arena *arena, sl_str *ret, sl_err *err)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = key != NULL && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    char *p = NULL;
    long n = BIO_get_mem_data(bio, &p);
    if (ok)
        *ret = sl_str_dup(arena, (sl_str){ p, (size_t)n });
    BIO_free(bio);
    EVP_PKEY_free(key);
    return ok || sl_err_set(err, SL_ERR_BUG, "rsa", "a new RSA key could not be made");
}
