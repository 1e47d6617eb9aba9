/* base/encode.c: hex, base64, percent-encoding. Declared in str.h. Sources: RFC 4648, RFC 3986 section 2. */
#include "base/arena.h"
#include "base/str.h"

static const char base64_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

sl_str sl_hex(sl_arena *arena, sl_str bytes)
{
    static const char digits[] = "0123456789abcdef";
    char *out = sl_alloc(arena, bytes.n * 2 + 1);
    for (size_t i = 0; i < bytes.n; i++) {
        out[2 * i] = digits[(unsigned char)bytes.p[i] >> 4];
        out[2 * i + 1] = digits[bytes.p[i] & 15];
    }
    return (sl_str){ out, bytes.n * 2 };
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static sl_str base64_encode(sl_arena *arena, sl_str bytes, const char *alphabet, bool pad)
{
    char *out = sl_alloc(arena, (bytes.n + 2) / 3 * 4 + 1);
    size_t n = 0;
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        uint32_t v = (uint32_t)(unsigned char)bytes.p[i] << 16;
        v |= left > 1 ? (uint32_t)(unsigned char)bytes.p[i + 1] << 8 : 0;
        v |= left > 2 ? (uint32_t)(unsigned char)bytes.p[i + 2] : 0;
        out[n++] = alphabet[v >> 18];
        out[n++] = alphabet[v >> 12 & 63];
        if (left > 1 || pad)
            out[n++] = left > 1 ? alphabet[v >> 6 & 63] : '=';
        if (left > 2 || pad)
            out[n++] = left > 2 ? alphabet[v & 63] : '=';
    }
    return (sl_str){ out, n };
}

sl_str sl_base64(sl_arena *arena, sl_str bytes)
{
    return base64_encode(arena, bytes, base64_std, true);
}

sl_str sl_base64url(sl_arena *arena, sl_str bytes)
{
    return base64_encode(arena, bytes, base64_url, false);
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

bool sl_base64_decode(sl_arena *arena, sl_str text, sl_str *ret)
{
    while (text.n > 0 && text.p[text.n - 1] == '=' && (text.n % 4 == 0 || text.n % 4 == 3))
        text.n--;
    if (text.n % 4 == 1)
        return false;
    char *out = sl_alloc(arena, text.n / 4 * 3 + 3);
    size_t n = 0;
    uint32_t bits = 0;
    int have = 0;
    for (size_t i = 0; i < text.n; i++) {
        int v = base64_value(text.p[i]);
        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[n++] = (char)(bits >> have & 255);
        }
    }
    if ((bits & ((1U << have) - 1)) != 0)
        return false;
    out[n] = '\0';
    *ret = (sl_str){ out, n };
    return true;
}

sl_str sl_percent(sl_arena *arena, sl_str s, const char *keep)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = sl_alloc(arena, s.n * 3 + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'
                     || c == '_' || c == '~' || (c != '\0' && keep != NULL && strchr(keep, c) != NULL);
        if (plain) {
            out[n++] = c;
            continue;
        }
        out[n++] = '%';
        out[n++] = digits[(unsigned char)c >> 4];
        out[n++] = digits[c & 15];
    }
    return (sl_str){ out, n };
}

bool sl_percent_decode(sl_arena *arena, sl_str s, bool plus_is_space, sl_str *ret)
{
    char *out = sl_alloc(arena, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%') {
            if (s.n - i < 3)
                return false;
            int high = hex_value(s.p[i + 1]), low = hex_value(s.p[i + 2]);
            if (high < 0 || low < 0)
                return false;
            out[n++] = (char)(high << 4 | low);
            i += 2;
        } else
            out[n++] = s.p[i] == '+' && plus_is_space ? ' ' : s.p[i];
    }
    *ret = (sl_str){ out, n };
    return true;
}
