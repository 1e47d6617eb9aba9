/* net/sse.c: see sse.h. */
#include "net/sse.h"

#include "base/arena.h"

static void clear(sl_sse *s)
{
    s->now = (sl_sse_event){ .retry_ms = -1 };
    s->data = sl_buf_new(s->arena, SIZE_MAX / 4);
    s->has_data = false;
}

static bool dispatch(sl_sse *s, sl_err *err)
{
    s->now.data = sl_buf_str(&s->data);
    bool ok = !s->has_data || s->event(s->self, &s->now, err);
    clear(s);
    return ok;
}

static void take_field(sl_sse *s, sl_str name, sl_str value)
{
    int64_t ms;
    if (name.n == 0)
        s->now.comment = value;
    else if (sl_str_eqc(name, "data")) {
        if (s->has_data)
            sl_buf_char(&s->data, '\n');
        sl_buf_add(&s->data, value);
        s->has_data = true;
    } else if (sl_str_eqc(name, "event"))
        s->now.name = value;
    else if (sl_str_eqc(name, "id") && (value.n == 0 || memchr(value.p, 0, value.n) == NULL))
        s->now.id = value;
    else if (sl_str_eqc(name, "retry") && value.n > 0 && value.p[0] >= '0' && value.p[0] <= '9' && sl_parse_int(value, &ms))
        s->now.retry_ms = ms;
}

static bool end_line(sl_sse *s, sl_err *err)
{
    sl_str line = sl_buf_str(&s->line);
    s->line = sl_buf_new(s->arena, SIZE_MAX / 4);
    if (!s->begun && sl_str_starts(line, SL_S("\xEF\xBB\xBF")))
        line = sl_str_sub(line, 3, line.n);
    s->begun = true;
    if (line.n == 0)
        return dispatch(s, err);
    ptrdiff_t colon = sl_str_find(line, SL_S(":"));
    if (colon < 0) {
        take_field(s, line, SL_S(""));
        return true;
    }
    sl_str value = sl_str_sub(line, (size_t)colon + 1, line.n);
    if (value.n > 0 && value.p[0] == ' ')
        value = sl_str_sub(value, 1, value.n);
    take_field(s, sl_str_sub(line, 0, (size_t)colon), value);
    return true;
}

bool sl_sse_feed(sl_sse *s, const void *from, size_t n, sl_err *err)
{
    const char *p = from, *end = p + n;
    if (s->bytes == 0) {
        clear(s);
        s->line = sl_buf_new(s->arena, SIZE_MAX / 4);
    }
    s->bytes += n;
    if (s->bytes > s->bytes_max)
        return sl_err_set(err, SL_ERR_LIMIT, "sse.size", "the events are more than %zu bytes; 'options.maxContentLength' allows more", s->bytes_max);
    while (p < end) {
        const char *stop = p;
        if (s->after_cr && *p == '\n')
            stop = ++p;
        s->after_cr = false;
        while (stop < end && *stop != '\n' && *stop != '\r')
            stop++;
        sl_buf_add(&s->line, (sl_str){ p, (size_t)(stop - p) });
        if (stop == end)
            return true;
        s->after_cr = *stop == '\r';
        if (!end_line(s, err))
            return false;
        p = stop + 1;
    }
    return true;
}
