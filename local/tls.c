/* local/tls.c: see tls.h. */
#include "local/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/arena.h"
#include "base/fs.h"

enum { YEARS = 10, PEM_MAX = 64 << 10 };

static bool failed(const char *what, sl_err *err)
{
    char text[256];
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    return sl_err_set(err, SL_ERR_IO, "tls.certificate", "%s: %s", what, text);
}

static bool extend(X509 *x, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool ok = e != NULL && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static X509 *certificate(EVP_PKEY *key)
{
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    bool ok = X509_set_version(x, 2) == 1 && ASN1_INTEGER_set_int64(X509_get_serialNumber(x), 1) == 1 && X509_gmtime_adj(X509_getm_notBefore(x), -86400) != NULL
              && X509_time_adj_ex(X509_getm_notAfter(x), YEARS * 365, 0, NULL) != NULL && X509_set_pubkey(x, key) == 1
              && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0) == 1 && X509_set_issuer_name(x, name) == 1
              && extend(x, NID_basic_constraints, "critical,CA:TRUE") && extend(x, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1") && X509_sign(x, key, EVP_sha256()) > 0;
    if (ok)
        return x;
    X509_free(x);
    return NULL;
}

static bool keep(sl_arena *a, BIO *from, sl_str path, sl_err *err)
{
    char *text;
    long n = BIO_get_mem_data(from, &text);
    (void)a;
    return sl_fs_write_atomic(path.p, (sl_str){ text, (size_t)n }, 0600, err);
}

static bool make(sl_arena *a, sl_str key_path, sl_str cert_path, sl_err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = key ? certificate(key) : NULL;
    BIO *k = BIO_new(BIO_s_mem()), *c = BIO_new(BIO_s_mem());
    bool ok = (x != NULL && PEM_write_bio_PrivateKey(k, key, NULL, NULL, 0, NULL, NULL) == 1 && PEM_write_bio_X509(c, x) == 1) || failed("making a certificate for the local cloud", err);
    /* The certificate last: where it is, there is its key. */
    ok = ok && keep(a, k, key_path, err) && keep(a, c, cert_path, err);
    BIO_free(k);
    BIO_free(c);
    X509_free(x);
    EVP_PKEY_free(key);
    return ok;
}

SSL_CTX *sl_tls_server(const char *dir, const char *name, sl_err *err)
{
    SL_ARENA a = sl_arena_new();
    sl_str key = sl_fmt(a, "%s/%s.key", dir, name), cert = sl_fmt(a, "%s/%s.crt", dir, name);
    if (!sl_fs_exists(cert.p) && !make(a, key, cert, err))
        return NULL;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 && SSL_CTX_use_certificate_file(ctx, cert.p, SSL_FILETYPE_PEM) == 1 && SSL_CTX_use_PrivateKey_file(ctx, key.p, SSL_FILETYPE_PEM) == 1)
        return ctx;
    SSL_CTX_free(ctx);
    failed(sl_fmt(a, "the certificate %.*s of the local cloud", SL_ARG(cert)).p, err);
    return NULL;
}
