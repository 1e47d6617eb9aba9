/* tests/unit/test_auth.c: JSON Web Tokens against RFC 7515 appendix A.2 and a key of our own. */
#include "auth/jwt.h"
#include "tests/harness/test.h"

static const char KEY[] = "-----BEGIN PUBLIC KEY-----\n"
                          "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj\n"
                          "NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz\n"
                          "P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo\n"
                          "9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB\n"
                          "EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX\n"
                          "FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp\n"
                          "oQIDAQAB\n"
                          "-----END PUBLIC KEY-----\n";
static const char TOKEN[] = "eyJhbGciOiJSUzI1NiJ9."
                            "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
                            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb"
                            "1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

SL_TEST(jwt, rfc7515_a2)
{
    const sl_val *claims;
    CHECK_OK(sl_jwt_verify(t->arena, sl_str_c(TOKEN), sl_str_c(KEY), &claims, &t->err));
    CHECK_STR(sl_get_text(claims, "iss"), "joe");
    CHECK_INT(sl_get_int(claims, "exp", 0), 1300819380);
    CHECK(sl_get_bool(claims, "http://example.com/is_root", false));
    /* Any changed character of the signed parts, and of the signature, is noticed. */
    for (size_t i = 0; i < sizeof TOKEN - 1; i += 7) {
        sl_str changed = sl_str_dup(t->arena, sl_str_c(TOKEN));
        char *c = (char *)(uintptr_t)changed.p + i;
        *c = *c == 'A' ? 'B' : 'A';
        CHECK(!sl_jwt_verify(t->arena, changed, sl_str_c(KEY), &claims, &t->err));
    }
}

SL_TEST(jwt, what_is_signed_is_verified)
{
    sl_str pem = SL_S(""), other = SL_S(""), token = SL_S(""), again = SL_S("");
    const sl_val *claims;
    sl_val *header = sl_map(t->arena), *body = sl_map(t->arena);
    CHECK_OK(sl_rsa_generate(t->arena, &pem, &t->err) && sl_rsa_generate(t->arena, &other, &t->err));
    sl_map_set_str(t->arena, header, "kid", SL_S("k1"));
    sl_map_set_str(t->arena, body, "sub", SL_S("a ü \"b\""));
    CHECK_OK(sl_jwt_sign(t->arena, header, body, pem, &token, &t->err) && sl_jwt_sign(t->arena, header, body, pem, &again, &t->err));
    CHECK(sl_str_eq(token, again)); /* PKCS#1 v1.5 has no chance in it */
    CHECK_OK(sl_jwt_verify(t->arena, token, pem, &claims, &t->err));
    CHECK_STR(sl_get_text(claims, "sub"), "a ü \"b\"");
    CHECK_ERR(sl_jwt_verify(t->arena, token, other, &claims, &t->err), "signature is wrong");
    CHECK_ERR(sl_jwt_sign(t->arena, header, body, SL_S("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), &token, &t->err), "");
    CHECK(sl_str_find(sl_str_c(t->err.message), SL_S("AAAA")) < 0);
}

SL_TEST(jwt, other_forms_are_refused)
{
    static const char *const wrong[] = { "", ".", "..", "a.b", "a.b.c.d", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiJ9.e30.AAAA", "e30.e30.AAAA", "!!!.e30.AAAA" };
    const sl_val *claims;
    for (size_t i = 0; i < SL_COUNT(wrong); i++)
        CHECK(!sl_jwt_verify(t->arena, sl_str_c(wrong[i]), sl_str_c(KEY), &claims, &t->err));
}
