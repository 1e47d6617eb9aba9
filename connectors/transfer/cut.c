/* connectors/transfer/cut.c: where records end; names of parts. Pure. See transfer.h. */
#include "base/arena.h"
#include "connectors/transfer/transfer.h"

typedef unsigned char block __attribute__((vector_size(32), aligned(1), may_alias));

/* 32 bytes at a time; a byte of `found` counts to 255 at most. */
static size_t count_of(const char *text, size_t n, char c)
{
    size_t count = 0, i = 0;
    block wanted = (block){ 0 } + (unsigned char)c;
    while (n - i >= sizeof wanted) {
        block found = { 0 };
        for (int k = 0; k < 255 && n - i >= sizeof wanted; k++, i += sizeof wanted)
            found -= (block)(*(const block *)(const void *)(text + i) == wanted);
        for (size_t k = 0; k < sizeof found; k++)
            count += found[k];
    }
    for (; i < n; i++)
        count += text[i] == c;
    return count;
}

size_t sl_split_end(const char *text, size_t n, char quote, bool *quoted)
{
    bool inside = *quoted;
    if (quote != 0)
        inside ^= count_of(text, n, quote) % 2 == 1;
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
