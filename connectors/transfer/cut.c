/* connectors/transfer/cut.c: where records end; names of parts. Pure. See transfer.h. */
#include "base/arena.h"
#include "connectors/transfer/transfer.h"

typedef unsigned char octets __attribute__((vector_size(16)));

/* Is the number of these bytes odd? Each byte of `a` and `b` is all ones where that of its column is. */
static bool odd_count(const char *text, size_t n, char c)
{
    octets wanted = (octets){ 0 } + (unsigned char)c, a = { 0 }, b = { 0 }, x, y;
    size_t i = 0;
    uint64_t half[2];
    for (; n - i >= 32; i += 32) {
        memcpy(&x, text + i, 16);
        memcpy(&y, text + i + 16, 16);
        a ^= (octets)(x == wanted);
        b ^= (octets)(y == wanted);
    }
    a ^= b;
    memcpy(half, &a, 16);
    bool odd = __builtin_parityll((half[0] ^ half[1]) & 0x0101010101010101U);
    for (; i < n; i++)
        odd ^= text[i] == c;
    return odd;
}

size_t sl_split_end(const char *text, size_t n, char quote, bool *quoted)
{
    bool inside = *quoted;
    if (quote != 0)
        inside ^= odd_count(text, n, quote);
    *quoted = inside;
    /* From the end back: the last newline is mostly outside of quotes, and near. */
    for (size_t end = n;;) {
        const char *q = quote != 0 ? memrchr(text, quote, end) : NULL;
        size_t begin = q != NULL ? (size_t)(q - text) + 1 : 0;
        const char *newline = inside ? NULL : memrchr(text + begin, '\n', end - begin);
        if (newline != NULL)
            return (size_t)(newline - text) + 1;
        if (q == NULL)
            return 0;
        end = begin - 1;
        inside = !inside;
    }
}

size_t sl_split_first(const char *text, size_t n, char quote)
{
    bool inside = false;
    for (size_t i = 0; i < n; i++) {
        inside ^= quote != 0 && text[i] == quote;
        if (text[i] == '\n' && !inside)
            return i + 1;
    }
    return 0;
}

sl_str sl_copy_name(sl_str address)
{
    ptrdiff_t query = sl_str_starts(address, SL_S("http")) ? sl_str_find(address, SL_S("?")) : -1;
    sl_str path = query >= 0 ? sl_str_sub(address, 0, (size_t)query) : address;
    return sl_str_sub(path, (size_t)(sl_str_rfind(path, SL_S("/")) + 1), path.n);
}

sl_str sl_copy_part_name(sl_arena *a, sl_str to, size_t number)
{
    size_t begin = (size_t)(sl_str_rfind(to, SL_S("/")) + 1);
    ptrdiff_t dot = sl_str_find(sl_str_sub(to, begin, to.n), SL_S("."));
    size_t cut = dot > 0 ? begin + (size_t)dot : to.n;
    return sl_fmt(a, "%.*s-%04zu%.*s", SL_ARG(sl_str_sub(to, 0, cut)), number, SL_ARG(sl_str_sub(to, cut, to.n)));
}
