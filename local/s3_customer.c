/*
 * local/s3_customer.c: objects with a key that the client brings along (SSE-C). The object keeps the key's MD5 and opens for
 * that key only; its content is on this machine's disk as it is.
 * API: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html
 */
#include "base/arena.h"
#include "base/checksum.h"
#include "base/json.h"
#include "local/s3.h"

#define SSE "x-amz-server-side-encryption"
#define CUSTOMER SSE "-customer-"

enum { KEY_BYTES = 32 };

static sl_str header(const sl_s3_call *x, const char *prefix, const char *name)
{
    return sl_request_header(x->req, sl_fmt(x->arena, "%sserver-side-encryption-customer-%s", *prefix ? prefix : "x-amz-", name).p);
}

static bool key_fits(sl_s3_call *x, const char *prefix)
{
    sl_arena *a = x->arena;
    sl_str algorithm = header(x, prefix, "algorithm"), text = header(x, prefix, "key"), md5 = header(x, prefix, "key-md5"), key;
    if (algorithm.n == 0 && text.n == 0 && md5.n == 0)
        return true;
    if (!sl_str_eqc(algorithm, "AES256"))
        return sl_refuse(&x->why, a, 400, "InvalidEncryptionAlgorithmError", "The encryption request that you specified is not valid. The valid value is AES256.");
    if (text.n == 0)
        return sl_refuse(&x->why, a, 400, "InvalidArgument", "Requests specifying Server Side Encryption with Customer provided keys must provide an appropriate secret key.");
    if (!sl_base64_decode(a, text, &key) || key.n != KEY_BYTES)
        return sl_refuse(&x->why, a, 400, "InvalidArgument", "The secret key was invalid for the specified algorithm.");
    sl_hash *h = sl_hash_new(a, "MD5");
    sl_hash_add(h, key.p, key.n);
    return sl_str_eq(sl_base64(a, sl_hash_end(h, a)), md5) || sl_refuse(&x->why, a, 400, "InvalidArgument", "The calculated MD5 hash of the key did not match the hash that was provided.");
}

bool sl_s3_customer_fits(sl_s3_call *x)
{
    if (header(x, "", "algorithm").n > 0 && sl_request_header(x->req, SSE).n > 0)
        return sl_refuse(&x->why, x->arena, 400, "InvalidArgument", "Server Side Encryption with Customer provided key is incompatible with the encryption method specified");
    return key_fits(x, "");
}

bool sl_s3_customer_opens(sl_s3_call *x, sl_str headers, const char *prefix, bool part)
{
    sl_err ignored;
    sl_arena *a = x->arena;
    sl_str kept = sl_get_text(sl_json_parse(a, headers, &ignored), CUSTOMER "key-md5"), given = header(x, prefix, "key-md5");
    if (!key_fits(x, prefix))
        return false;
    if (kept.n > 0 && given.n == 0)
        return part ? sl_refuse(&x->why, a, 400, "InvalidRequest", "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters.")
                    : sl_refuse(&x->why, a, 400, "InvalidRequest", "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.");
    if (kept.n == 0 && given.n > 0)
        return sl_refuse(&x->why, a, 400, "InvalidRequest", "The encryption parameters are not applicable to this object.");
    return sl_str_eq(kept, given) || sl_refuse(&x->why, a, 403, "AccessDenied", "Access Denied");
}

sl_str sl_s3_opaque_etag(sl_s3_call *x, sl_str blob)
{
    sl_hash *h = sl_hash_new(x->arena, "MD5");
    sl_hash_add(h, blob.p, blob.n);
    return sl_fmt(x->arena, "\"%.*s\"", SL_ARG(sl_hex(x->arena, sl_hash_end(h, x->arena))));
}

void sl_s3_tell_encryption(sl_s3_call *x, sl_str headers)
{
    sl_err ignored;
    const sl_val *kept = sl_json_parse(x->arena, headers, &ignored);
    sl_val *h = sl_map_shallow(x->arena, x->resp->headers);
    for (size_t i = 0; i < sl_val_count(kept); i++)
        if (sl_str_starts(kept->map.entries[i].key, SL_S(SSE)))
            sl_map_set(x->arena, h, kept->map.entries[i].key, kept->map.entries[i].value);
    x->resp->headers = h;
}
