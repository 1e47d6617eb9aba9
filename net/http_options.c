/* net/http_options.c: see http_options.h. */
#include "net/http_options.h"

#include "base/arena.h"
#include "base/secret.h"

static int64_t duration_of(sl_arena *a, const sl_val *map, const char *key)
{
    int64_t ms = 0;
    const sl_val *v = sl_get(map, key);
    return v != NULL && sl_duration_parse(sl_val_text(a, v), &ms) ? ms : 0;
}

static void set_auth(sl_arena *a, const sl_val *options, sl_val *headers, sl_http_request *req)
{
    const sl_val *auth = sl_get(options, "auth");
    sl_str user = sl_get_text(auth, "username"), password = sl_get_text(auth, "password"), token = sl_get_text(auth, "token");
    if (auth == NULL) {
        user = sl_get_text(options, "basicAuthUser");
        password = sl_get_text(options, "basicAuthPassword");
    }
    if (user.n > 0) {
        sl_redact_add(password);
        sl_str pair = sl_base64(a, sl_fmt(a, "%.*s:%.*s", SL_ARG(user), SL_ARG(password)));
        sl_redact_add(pair);
        sl_map_set_str(a, headers, "Authorization", sl_fmt(a, "Basic %.*s", SL_ARG(pair)));
        req->pool = sl_fmt(a, "basic %.*s", SL_ARG(user));
    } else if (token.n > 0) {
        sl_redact_add(token);
        sl_map_set_str(a, headers, "Authorization", sl_fmt(a, "Bearer %.*s", SL_ARG(token)));
        req->pool = sl_fmt(a, "bearer %.*s", SL_ARG(sl_hex(a, sl_digest(a, "SHA256", token))));
    }
}

static void set_proxy(sl_arena *a, const sl_val *options, sl_http_request *req)
{
    const sl_val *p = sl_get(options, "proxy");
    sl_str host = p ? sl_get_text(p, "address") : sl_get_text(options, "proxyAddress"), type = p ? sl_get_text(p, "type") : sl_get_text(options, "proxyType");
    int64_t port = p ? sl_get_int(p, "port", 8080) : sl_get_int(options, "proxyPort", 8080);
    req->no_proxy = sl_str_ieq(type, SL_S("DIRECT"));
    if (host.n > 0 && !req->no_proxy)
        req->proxy = sl_fmt(a, "%s://%.*s:%lld", sl_str_ieq(type, SL_S("SOCKS")) ? "socks5h" : "http", SL_ARG(host), (long long)port);
}

void sl_http_options_put(sl_arena *a, const sl_val *options, sl_val *headers, sl_http_request *req)
{
    const sl_val *timeout = sl_get(options, "timeout");
    req->connect_ms = duration_of(a, timeout ? timeout : options, "connectTimeout");
    req->idle_ms = duration_of(a, timeout ? timeout : options, "readIdleTimeout");
    if (req->idle_ms == 0)
        req->idle_ms = 300000;
    req->follow = sl_get_bool(options, "followRedirects", true);
    req->insecure = sl_get_bool(sl_get(options, "ssl"), "insecureTrustAllCertificates", false);
    set_auth(a, options, headers, req);
    set_proxy(a, options, req);
}

bool sl_http_options_accept(sl_arena *a, const sl_val *options, int status)
{
    const sl_val *codes = sl_get(options, "allowedResponseCodes");
    for (size_t i = 0; i < sl_val_count(codes); i++) {
        int64_t code;
        if (sl_parse_int(sl_val_text(a, sl_at(codes, i)), &code) && code == status)
            return true;
    }
    return status < 400 || sl_get_bool(options, "allowFailed", false);
}
