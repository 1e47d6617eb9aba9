/* auth/sigv4.c: see sigv4.h. */
#include "auth/sigv4.h"

#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/secret.h"
#include "base/sha256.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

/* ---- scope ---- */

void sl_sigv4_scope_at(sl_sigv4_scope *scope, int64_t seconds, sl_str region, sl_str service)
{
    time_t at = (time_t)seconds;
    struct tm t;
    *scope = (sl_sigv4_scope){ .region = region, .service = service };
    (void)gmtime_r(&at, &t);
    (void)strftime(scope->time, sizeof scope->time, "%Y%m%dT%H%M%SZ", &t);
}

sl_str sl_sigv4_scope_text(sl_arena *a, const sl_sigv4_scope *s)
{
    return SL_CAT(a, sl_str_sub(sl_str_c(s->time), 0, 8), SL_S("/"), s->region, SL_S("/"), s->service, SL_S("/aws4_request"));
}

/* ---- canonical request ---- */

/* RFC 3986 section 5.2.4, and // as /. */
static sl_str normalised(sl_arena *a, sl_str path)
{
    sl_buf b = sl_buf_new(a, path.n + 2);
    sl_str rest = path, part;
    bool last_empty = true;
    while (sl_str_cut(&rest, '/', &part)) {
        last_empty = part.n == 0 || sl_str_eqc(part, ".") || sl_str_eqc(part, "..");
        if (sl_str_eqc(part, ".."))
            while (b.n > 0 && b.p[--b.n] != '/')
                ;
        else if (!last_empty) {
            sl_buf_char(&b, '/');
            sl_buf_add(&b, part);
        }
    }
    if (last_empty || b.n == 0)
        sl_buf_char(&b, '/');
    return sl_buf_str(&b);
}

static sl_str canonical_path(sl_arena *a, const sl_sigv4_request *r)
{
    sl_str path = r->path.n ? r->path : SL_S("/"), plain;
    if (!r->s3)
        return sl_percent(a, normalised(a, path), "/");
    return sl_percent_decode(a, path, false, &plain) ? sl_percent(a, plain, "/") : sl_percent(a, path, "/");
}

typedef struct pair {
    sl_str name, value;
} pair;

static int compare_pairs(const void *x, const void *y)
{
    const pair *a = x, *b = y;
    int c = sl_str_cmp(a->name, b->name);
    return c ? c : sl_str_cmp(a->value, b->value);
}

static sl_str encoded_again(sl_arena *a, sl_str s)
{
    sl_str plain;
    return sl_percent(a, sl_percent_decode(a, s, false, &plain) ? plain : s, NULL);
}

static sl_str canonical_query(sl_arena *a, sl_str query)
{
    size_t n = 0, most = 1;
    for (size_t i = 0; i < query.n; i++)
        most += query.p[i] == '&';
    pair *pairs = SL_ARRAY(a, pair, most);
    sl_str rest = query, one, name;
    while (rest.n > 0 && sl_str_cut(&rest, '&', &one)) {
        sl_str value = one;
        if (one.n == 0)
            continue;
        (void)sl_str_cut(&value, '=', &name);
        pairs[n++] = (pair){ encoded_again(a, name), value.p ? encoded_again(a, value) : SL_S("") };
    }
    qsort(pairs, n, sizeof *pairs, compare_pairs);
    sl_buf b = sl_buf_new(a, query.n * 3 + most + 1);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            sl_buf_char(&b, '&');
        sl_buf_add(&b, pairs[i].name);
        sl_buf_char(&b, '=');
        sl_buf_add(&b, pairs[i].value);
    }
    return sl_buf_str(&b);
}

/* Headers that somebody on the way may change, or that a client adds of itself. */
static bool unsigned_header(sl_str name)
{
    static const char *const names[] = { "authorization", "user-agent", "connection", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "x-amzn-trace-id" };
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (sl_str_eqc(name, names[i]))
            return true;
    return sl_str_starts(name, SL_S("proxy-"));
}

/* Trimmed, runs of blanks as one. */
static void add_value(sl_buf *b, sl_str value)
{
    sl_str v = sl_str_trim(value);
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] != ' ' || v.p[i - 1] != ' ')
            sl_buf_char(b, v.p[i]);
}

static void add_header(sl_buf *b, sl_arena *a, sl_str name, const sl_val *v)
{
    sl_buf_add(b, name);
    sl_buf_char(b, ':');
    if (v->type != SL_LIST)
        add_value(b, sl_val_text(a, v));
    for (size_t i = 0; v->type == SL_LIST && i < v->list.n; i++) {
        if (i > 0)
            sl_buf_char(b, ',');
        add_value(b, sl_val_text(a, v->list.items[i]));
    }
    sl_buf_char(b, '\n');
}

typedef struct header {
    sl_str name;
    const sl_val *value;
} header;

/* By name; a request has a dozen at most. */
static size_t sorted_headers(sl_arena *a, const sl_val *headers, header *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < sl_val_count(headers); i++) {
        header h = { sl_str_lower(a, headers->map.entries[i].key), headers->map.entries[i].value };
        size_t at = n;
        if (unsigned_header(h.name))
            continue;
        for (; at > 0 && sl_str_cmp(ret[at - 1].name, h.name) > 0; at--)
            ret[at] = ret[at - 1];
        ret[at] = h;
        n++;
    }
    return n;
}

static sl_str canonical_headers(sl_arena *a, const sl_val *headers, sl_str *ret_signed)
{
    header *sorted = SL_ARRAY(a, header, sl_val_count(headers) + 1);
    size_t n = sorted_headers(a, headers, sorted);
    sl_buf lines = sl_buf_new(a, 1 << 20), names = sl_buf_new(a, 1 << 16);
    (void)sl_buf_room(&lines, 512), (void)sl_buf_room(&names, 128);
    for (size_t i = 0; i < n; i++) {
        add_header(&lines, a, sorted[i].name, sorted[i].value);
        if (i > 0)
            sl_buf_char(&names, ';');
        sl_buf_add(&names, sorted[i].name);
    }
    *ret_signed = sl_buf_str(&names);
    return sl_buf_str(&lines);
}

sl_str sl_sigv4_canonical(sl_arena *a, const sl_sigv4_request *r, sl_str *ret_signed)
{
    sl_str headers = canonical_headers(a, r->headers, ret_signed), line = SL_S("\n");
    return SL_CAT(a, r->method, line, canonical_path(a, r), line, canonical_query(a, r->query), line, headers, line, *ret_signed, line, r->payload);
}

/* ---- signature ---- */

sl_str sl_sigv4_string_to_sign(sl_arena *a, const sl_sigv4_scope *scope, sl_str canonical)
{
    return SL_CAT(a, SL_S(ALGORITHM "\n"), sl_str_c(scope->time), SL_S("\n"), sl_sigv4_scope_text(a, scope), SL_S("\n"), sl_sha256_hex(a, canonical));
}

void sl_sigv4_key(sl_str secret, const sl_sigv4_scope *scope, uint8_t key[static SL_SIGV4_KEY])
{
    char first[256];
    int n = snprintf(first, sizeof first, "AWS4%.*s", SL_ARG(secret));
    sl_hmac_sha256((sl_str){ first, n < (int)sizeof first ? (size_t)n : sizeof first - 1 }, sl_str_sub(sl_str_c(scope->time), 0, 8), key);
    sl_wipe(first, sizeof first);
    sl_str chain = { (const char *)key, SL_SIGV4_KEY };
    sl_hmac_sha256(chain, scope->region, key);
    sl_hmac_sha256(chain, scope->service, key);
    sl_hmac_sha256(chain, SL_S("aws4_request"), key);
}

sl_str sl_sigv4_signature(sl_arena *a, const uint8_t key[static SL_SIGV4_KEY], sl_str string_to_sign)
{
    uint8_t out[SL_SIGV4_KEY];
    sl_hmac_sha256((sl_str){ (const char *)key, SL_SIGV4_KEY }, string_to_sign, out);
    return sl_hex(a, (sl_str){ (const char *)out, sizeof out });
}

sl_str sl_sigv4_authorization(sl_arena *a, const sl_sigv4_request *r, const sl_sigv4_scope *scope, sl_str key_id, const uint8_t key[static SL_SIGV4_KEY], sl_str *ret_signature)
{
    sl_str names, canonical = sl_sigv4_canonical(a, r, &names), signature = sl_sigv4_signature(a, key, sl_sigv4_string_to_sign(a, scope, canonical));
    if (ret_signature != NULL)
        *ret_signature = signature;
    return SL_CAT(a, SL_S(ALGORITHM " Credential="), key_id, SL_S("/"), sl_sigv4_scope_text(a, scope), SL_S(", SignedHeaders="), names, SL_S(", Signature="), signature);
}

sl_str sl_sigv4_presign(sl_arena *a, const sl_sigv4_request *r, const sl_sigv4_scope *scope, sl_str key_id, sl_str token, const uint8_t key[static SL_SIGV4_KEY], int64_t expires_s)
{
    sl_str names, credential = sl_percent(a, sl_fmt(a, "%.*s/%.*s", SL_ARG(key_id), SL_ARG(sl_sigv4_scope_text(a, scope))), NULL);
    (void)canonical_headers(a, r->headers, &names);
    sl_buf q = sl_buf_new(a, 1 << 16);
    sl_buf_fmt(&q, "%.*s%sX-Amz-Algorithm=" ALGORITHM "&X-Amz-Credential=%.*s&X-Amz-Date=%s&X-Amz-Expires=%lld&X-Amz-SignedHeaders=%.*s", SL_ARG(r->query), r->query.n ? "&" : "", SL_ARG(credential), scope->time,
               (long long)expires_s, SL_ARG(sl_percent(a, names, NULL)));
    if (token.n > 0)
        sl_buf_fmt(&q, "&X-Amz-Security-Token=%.*s", SL_ARG(sl_percent(a, token, NULL)));
    sl_sigv4_request signed_one = *r;
    signed_one.query = sl_str_dup(a, sl_buf_str(&q));
    sl_str signature = sl_sigv4_signature(a, key, sl_sigv4_string_to_sign(a, scope, sl_sigv4_canonical(a, &signed_one, &names)));
    sl_buf_fmt(&q, "&X-Amz-Signature=%.*s", SL_ARG(signature));
    return sl_buf_str(&q);
}

sl_str sl_sigv4_chunk(sl_arena *a, const uint8_t key[static SL_SIGV4_KEY], const sl_sigv4_scope *scope, sl_str previous, sl_str payload)
{
    return sl_sigv4_signature(a, key, sl_fmt(a, ALGORITHM "-PAYLOAD\n%s\n%.*s\n%.*s\n" SL_SIGV4_EMPTY "\n%.*s", scope->time, SL_ARG(sl_sigv4_scope_text(a, scope)), SL_ARG(previous), SL_ARG(payload)));
}

sl_str sl_sigv4_trailer(sl_arena *a, const uint8_t key[static SL_SIGV4_KEY], const sl_sigv4_scope *scope, sl_str previous, sl_str trailer)
{
    return sl_sigv4_signature(a, key, sl_fmt(a, ALGORITHM "-TRAILER\n%s\n%.*s\n%.*s\n%.*s", scope->time, SL_ARG(sl_sigv4_scope_text(a, scope)), SL_ARG(previous), SL_ARG(sl_sha256_hex(a, trailer))));
}
