/* kv/crypto.c: see crypto.h. */
#include "kv/crypto.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/arena.h"
#include "base/secret.h"
#include "base/sha256.h"

static bool aes_block(const uint8_t *key, const uint8_t *in, uint8_t *out)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n = 0;
    bool ok = EVP_EncryptInit_ex(c, EVP_aes_256_ecb(), NULL, key, NULL) == 1 && EVP_CIPHER_CTX_set_padding(c, 0) == 1 && EVP_EncryptUpdate(c, out, &n, in, 16) == 1 && n == 16;
    EVP_CIPHER_CTX_free(c);
    return ok;
}

/* The one-time key: CMAC-based KDF with the first 12 bytes of the nonce as context. */
static bool derive(const uint8_t *key, const uint8_t *nonce, uint8_t *derived)
{
    uint8_t l[16] = { 0 }, k1[16], m[16];
    if (!aes_block(key, l, l))
        return false;
    uint8_t msb = 0;
    for (int i = 15; i >= 0; i--) {
        k1[i] = (uint8_t)(l[i] << 1 | msb);
        msb = l[i] >> 7;
    }
    k1[15] ^= (uint8_t)(msb * 0x87);
    for (uint8_t half = 0; half < 2; half++) {
        const uint8_t head[4] = { 0, (uint8_t)(half + 1), 'X', 0 };
        memcpy(m, head, 4);
        memcpy(m + 4, nonce, 12);
        for (int i = 0; i < 16; i++)
            m[i] ^= k1[i];
        if (!aes_block(key, m, derived + 16 * half))
            return false;
    }
    sl_wipe(l, sizeof l);
    sl_wipe(k1, sizeof k1);
    return true;
}

bool sl_xaes_seal(sl_arena *arena, const uint8_t *key, const uint8_t *nonce, sl_str aad, sl_str plain, sl_str *ret, sl_err *err)
{
    uint8_t one[32];
    uint8_t *out = sl_alloc(arena, plain.n + SL_TAG_SIZE);
    int n = 0, last = 0;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool ok = derive(key, nonce, one) && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, one, nonce + 12) == 1
              && EVP_EncryptUpdate(c, NULL, &n, (const uint8_t *)(aad.p ? aad.p : ""), (int)aad.n) == 1
              && EVP_EncryptUpdate(c, out, &n, (const uint8_t *)(plain.p ? plain.p : ""), (int)plain.n) == 1 && EVP_EncryptFinal_ex(c, out + n, &last) == 1
              && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, SL_TAG_SIZE, out + plain.n) == 1;
    EVP_CIPHER_CTX_free(c);
    sl_wipe(one, sizeof one);
    *ret = (sl_str){ (const char *)out, plain.n + SL_TAG_SIZE };
    return ok || sl_err_set(err, SL_ERR_BUG, "kv.crypto", "a value could not be encrypted");
}

bool sl_xaes_open(sl_arena *arena, const uint8_t *key, const uint8_t *nonce, sl_str aad, sl_str sealed, sl_str *ret, sl_err *err)
{
    if (sealed.n < SL_TAG_SIZE)
        return sl_err_set(err, SL_ERR_DATA, "kv.tampered", "an encrypted record is too short; it was damaged or changed");
    size_t size = sealed.n - SL_TAG_SIZE;
    uint8_t one[32];
    uint8_t *out = sl_alloc(arena, size + 1);
    int n = 0;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool ok = derive(key, nonce, one) && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, one, nonce + 12) == 1
              && EVP_DecryptUpdate(c, NULL, &n, (const uint8_t *)(aad.p ? aad.p : ""), (int)aad.n) == 1
              && EVP_DecryptUpdate(c, out, &n, (const uint8_t *)sealed.p, (int)size) == 1
              && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, SL_TAG_SIZE, (void *)(uintptr_t)(sealed.p + size)) == 1 && EVP_DecryptFinal_ex(c, out + n, &n) == 1;
    EVP_CIPHER_CTX_free(c);
    sl_wipe(one, sizeof one);
    if (!ok) {
        sl_wipe(out, size);
        return sl_err_set(err, SL_ERR_DATA, "kv.tampered", "an encrypted record cannot be opened: it was damaged, moved or changed, or the key is another one");
    }
    out[size] = 0;
    *ret = (sl_str){ (const char *)out, size };
    return true;
}

bool sl_hkdf(const uint8_t *key, sl_str info, uint8_t *ret, sl_err *err)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *c = EVP_KDF_CTX_new(kdf);
    EVP_KDF_free(kdf);
    char digest[] = "SHA256";
    OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
                            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key, SL_KEY_SIZE),
                            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info.p, info.n), OSSL_PARAM_construct_end() };
    bool ok = c != NULL && EVP_KDF_derive(c, ret, SL_KEY_SIZE, params) == 1;
    EVP_KDF_CTX_free(c);
    return ok || sl_err_set(err, SL_ERR_BUG, "kv.crypto", "a key could not be derived");
}

void sl_hmac(const uint8_t *key, sl_str data, uint8_t *ret, size_t n)
{
    uint8_t out[SL_SHA256];
    sl_assert(n <= sizeof out);
    sl_hmac_sha256((sl_str){ (const char *)key, SL_KEY_SIZE }, data, out);
    memcpy(ret, out, n);
}

sl_str sl_aad(sl_arena *arena, const sl_str *parts, size_t count)
{
    sl_buf b = sl_buf_new(arena, SIZE_MAX / 4);
    for (size_t i = 0; i < count; i++) {
        uint64_t n = parts[i].n;
        for (int k = 0; k < 8; k++)
            sl_buf_char(&b, (char)(n >> (8 * k) & 255));
        sl_buf_add(&b, parts[i]);
    }
    return sl_buf_str(&b);
}
