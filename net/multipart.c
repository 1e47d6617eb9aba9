/* net/multipart.c: see multipart.h. */
#include "net/multipart.h"

#include "base/arena.h"

static bool broken(sl_err *err, const char *why)
{
    return sl_err_set(err, SL_ERR_DATA, "multipart", "the multipart body is broken: %s", why);
}

sl_str sl_header_parameter(sl_arena *a, sl_str header, const char *name)
{
    sl_str rest = header, one, key;
    (void)sl_str_cut(&rest, ';', &one);
    while (rest.p != NULL && rest.n > 0) {
        /* A ';' inside of quotes does not end the parameter. */
        size_t end = 0;
        bool quoted = false;
        for (; end < rest.n && (quoted || rest.p[end] != ';'); end++)
            quoted ^= rest.p[end] == '"' && (end == 0 || rest.p[end - 1] != '\\');
        one = sl_str_trim(sl_str_sub(rest, 0, end));
        rest = end < rest.n ? sl_str_sub(rest, end + 1, rest.n) : (sl_str){ NULL, 0 };
        if (!sl_str_cut(&one, '=', &key) || one.p == NULL || !sl_str_ieq(sl_str_trim(key), sl_str_c(name)))
            continue;
        one = sl_str_trim(one);
        if (one.n >= 2 && one.p[0] == '"' && one.p[one.n - 1] == '"')
            one = sl_str_replace(a, sl_str_sub(one, 1, one.n - 1), SL_S("\\\""), SL_S("\""));
        return sl_str_dup(a, one);
    }
    return (sl_str){ NULL, 0 };
}

/* "Name: value" lines up to the empty one. */
static bool part_headers(sl_arena *a, sl_str text, sl_val *part, sl_err *err)
{
    sl_str rest = text, line, name;
    while (rest.p != NULL && rest.n > 0) {
        (void)sl_str_cut(&rest, '\n', &line);
        line = sl_str_trim(line);
        sl_str value = line;
        if (!sl_str_cut(&value, ':', &name) || value.p == NULL)
            return broken(err, "a part has a header without a colon");
        value = sl_str_trim(value);
        if (sl_str_ieq(name, SL_S("Content-Type")))
            sl_map_set_str(a, part, "type", value);
        if (!sl_str_ieq(name, SL_S("Content-Disposition")))
            continue;
        sl_str field = sl_header_parameter(a, value, "name"), file = sl_header_parameter(a, value, "filename");
        if (field.p == NULL)
            return broken(err, "a part has no name");
        sl_map_set_str(a, part, "name", field);
        if (file.p != NULL)
            sl_map_set_str(a, part, "filename", file);
    }
    return sl_get(part, "name") != NULL || broken(err, "a part has no Content-Disposition");
}

bool sl_multipart_parse(sl_arena *a, sl_str type, sl_str body, const sl_val **ret, sl_err *err)
{
    sl_str boundary = sl_header_parameter(a, type, "boundary");
    sl_val *list = sl_list(a);
    *ret = list;
    if (boundary.p == NULL || boundary.n == 0 || boundary.n > 70)
        return broken(err, "its Content-Type has no boundary of 1 to 70 characters");
    sl_str mark = sl_fmt(a, "--%.*s", SL_ARG(boundary)), inner = sl_fmt(a, "\r\n--%.*s", SL_ARG(boundary));
    ptrdiff_t at = sl_str_starts(body, mark) ? 0 : sl_str_find(body, inner);
    if (at < 0)
        return broken(err, "it does not hold its boundary");
    sl_str rest = sl_str_sub(body, (size_t)at + (at == 0 ? mark.n : inner.n), body.n);
    while (!sl_str_starts(rest, SL_S("--"))) {
        ptrdiff_t head = sl_str_find(rest, SL_S("\r\n")), blank = sl_str_find(rest, SL_S("\r\n\r\n"));
        if (head < 0 || sl_str_trim(sl_str_sub(rest, 0, (size_t)head)).n > 0 || blank < 0)
            return broken(err, "a part has no end of its headers");
        sl_val *part = sl_map(a);
        if (!part_headers(a, sl_str_sub(rest, (size_t)head + 2, (size_t)blank), part, err))
            return false;
        sl_str data = sl_str_sub(rest, (size_t)blank + 4, rest.n);
        ptrdiff_t end = sl_str_find(data, inner);
        if (end < 0)
            return broken(err, "it ends before its last boundary");
        sl_map_setc(a, part, "data", sl_val_str(a, sl_str_sub(data, 0, (size_t)end)));
        sl_list_add(a, list, part);
        if (list->list.n > SL_MULTIPART_PARTS_MAX)
            return sl_err_set(err, SL_ERR_LIMIT, "multipart.parts", "a multipart body has at most %d parts", SL_MULTIPART_PARTS_MAX);
        rest = sl_str_sub(data, (size_t)end + inner.n, data.n);
    }
    return true;
}
