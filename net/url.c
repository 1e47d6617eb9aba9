/* net/url.c: parsing and building of URLs. Source: RFC 3986. */
#include "base/arena.h"
#include "net/http.h"

bool sl_url_parse(sl_str text, sl_url *ret, sl_err *err)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] <= ' ' || text.p[i] == 0x7F || text.p[i] == '\\' || text.p[i] == '"' || text.p[i] == '<' || text.p[i] == '>')
            return sl_err_set(err, SL_ERR_CONFIG, "url", "the URL '%.*s' has an illegal character at position %zu; percent-encode it", SL_ARG(text), i + 1);
    ptrdiff_t colon = sl_str_find(text, SL_S("://"));
    sl_url u = { 0 };
    u.scheme = sl_str_sub(text, 0, colon < 0 ? 0 : (size_t)colon);
    bool https = sl_str_ieq(u.scheme, SL_S("https"));
    if (!https && !sl_str_ieq(u.scheme, SL_S("http")))
        return sl_err_set(err, SL_ERR_CONFIG, "url", "the URL '%.*s' must start with https:// or http://", SL_ARG(text));
    u.port = https ? 443 : 80;
    sl_str rest = sl_str_sub(text, (size_t)colon + 3, text.n);
    size_t n = 0;
    while (n < rest.n && strchr("/?#", rest.p[n]) == NULL)
        n++;
    sl_str authority = sl_str_sub(rest, 0, n);
    rest = sl_str_sub(rest, n, rest.n);
    if (sl_str_find(authority, SL_S("@")) >= 0)
        return sl_err_set(err, SL_ERR_CONFIG, "url", "a URL with a user name or password in it is refused; use the `auth` options");
    ptrdiff_t port = sl_str_rfind(authority, SL_S(":")), bracket = sl_str_rfind(authority, SL_S("]"));
    u.host = authority;
    if (port > bracket) {
        uint64_t v;
        if (!sl_parse_uint(sl_str_sub(authority, (size_t)port + 1, authority.n), &v) || v == 0 || v > 65535)
            return sl_err_set(err, SL_ERR_CONFIG, "url", "the URL '%.*s' has a wrong port", SL_ARG(text));
        u.port = (int)v;
        u.host = sl_str_sub(authority, 0, (size_t)port);
    }
    if (u.host.n == 0)
        return sl_err_set(err, SL_ERR_CONFIG, "url", "the URL '%.*s' has no host", SL_ARG(text));
    ptrdiff_t fragment = sl_str_find(rest, SL_S("#"));
    if (fragment >= 0)
        rest = sl_str_sub(rest, 0, (size_t)fragment);
    ptrdiff_t question = sl_str_find(rest, SL_S("?"));
    u.path = question < 0 ? rest : sl_str_sub(rest, 0, (size_t)question);
    u.query = question < 0 ? SL_S("") : sl_str_sub(rest, (size_t)question + 1, rest.n);
    if (u.path.n == 0)
        u.path = SL_S("/");
    *ret = u;
    return true;
}

sl_str sl_url_escape(sl_arena *arena, sl_str text)
{
    sl_buf b = sl_buf_new(arena, 4 * text.n + 1);
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == ' ' || c > 0x7E || strchr("\"<>\\^`{|}", c) != NULL)
            sl_buf_fmt(&b, "%%%02X", c);
        else
            sl_buf_char(&b, (char)c);
    }
    return sl_buf_str(&b);
}

bool sl_url_same_origin(const sl_url *a, const sl_url *b)
{
    return sl_str_ieq(a->scheme, b->scheme) && sl_str_ieq(a->host, b->host) && a->port == b->port;
}

sl_str sl_url_resolve(sl_arena *arena, sl_str base, sl_str reference)
{
    if (sl_str_find(reference, SL_S("://")) > 0)
        return sl_str_dup(arena, reference);
    ptrdiff_t scheme = sl_str_find(base, SL_S("://"));
    sl_str after = sl_str_sub(base, (size_t)(scheme + 3), base.n);
    if (sl_str_starts(reference, SL_S("//")))
        return sl_fmt(arena, "%.*s:%.*s", (int)scheme, base.p, SL_ARG(reference));
    ptrdiff_t slash = sl_str_find(after, SL_S("/"));
    size_t authority_end = (size_t)(scheme + 3) + (slash < 0 ? after.n : (size_t)slash);
    sl_str authority = sl_str_sub(base, 0, authority_end), path = sl_str_sub(base, authority_end, base.n);
    if (reference.n > 0 && reference.p[0] == '/')
        return sl_fmt(arena, "%.*s%.*s", SL_ARG(authority), SL_ARG(reference));
    ptrdiff_t question = sl_str_find(path, SL_S("?"));
    if (question >= 0)
        path = sl_str_sub(path, 0, (size_t)question);
    if (reference.n > 0 && reference.p[0] == '?')
        return sl_fmt(arena, "%.*s%.*s%.*s", SL_ARG(authority), SL_ARG(path), SL_ARG(reference));
    ptrdiff_t last = sl_str_rfind(path, SL_S("/"));
    return sl_fmt(arena, "%.*s%.*s/%.*s", SL_ARG(authority), (int)(last < 0 ? 0 : last), path.p, SL_ARG(reference));
}

static void add_pair(sl_buf *b, sl_arena *arena, sl_str key, const sl_val *value)
{
    if (b->n > 0)
        sl_buf_char(b, '&');
    sl_buf_add(b, sl_percent(arena, key, NULL));
    sl_buf_char(b, '=');
    sl_buf_add(b, sl_percent(arena, sl_val_text(arena, value), NULL));
}

sl_str sl_url_query(sl_arena *arena, const sl_val *params)
{
    sl_buf b = sl_buf_new(arena, 1 << 20);
    for (size_t i = 0; i < sl_val_count(params); i++) {
        const sl_entry *e = &params->map.entries[i];
        if (!sl_is(e->value, SL_LIST))
            add_pair(&b, arena, e->key, e->value);
        for (size_t k = 0; sl_is(e->value, SL_LIST) && k < sl_val_count(e->value); k++)
            add_pair(&b, arena, e->key, sl_at(e->value, k));
    }
    return sl_buf_str(&b);
}
