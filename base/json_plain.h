/* base/json_plain.h: for readers of the JSON that nearly all is, at many times jansson's speed. */
#pragma once

#include "base/json.h"
#include "base/val.h"

/* NULL: it is not plain, or not JSON; what the arena got in between stays there. */
const sl_val *sl_json_plain(sl_arena *arena, sl_str text);

/* *p stands behind the opening quote of a string, and behind the closing one afterwards; *ret is what is between, escapes not undone. false: no valid string. */
static inline bool sl_json_string(const char **p, const char *end, bool *escapes, sl_str *ret)
{
    const char *at = *p, *from = *p;
    uint64_t w, all = 0;
    *escapes = false;
    for (;;) {
        for (size_t n = 8; n == 8 && end - at >= 8; at += n) {
            __builtin_memcpy(&w, at, 8);
            all |= w;
            n = sl_json_plain_bytes(at);
        }
        if (at >= end || (unsigned char)*at < 0x20)
            return false;
        if (*at == '"')
            break;
        if (*at == '\\') {
            *escapes = true;
            if (++at >= end)
                return false;
        }
        all |= (unsigned char)*at++;
    }
    *ret = (sl_str){ from, (size_t)(at - from) };
    *p = at + 1;
    return (all & 0x8080808080808080U) == 0 || sl_str_is_utf8(*ret);
}
