/* flows/expr_text.c: filters on texts (flow language section 5.8). */
#include "base/arena.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/regex.h"
#include "base/unicode.h"
#include "flows/expr_ast.h"

#define FILTER(name) static const sl_val *name(ex_context *x, const ex_node *at, const sl_val *in, const sl_val *const *args)
#define UNUSED_ARGS (void)at, (void)args

static sl_str text(ex_context *x, const sl_val *v)
{
    return v ? sl_val_text(x->arena, v) : SL_S("");
}

static const sl_val *str(ex_context *x, sl_str s)
{
    return sl_val_str(x->arena, s);
}

/* Bytes of the UTF-8 character at p. */
static size_t char_size(sl_str s)
{
    size_t n = 1;
    while (n < s.n && ((unsigned char)s.p[n] & 0xC0) == 0x80)
        n++;
    return n;
}

FILTER(f_lower)
{
    UNUSED_ARGS;
    return str(x, sl_unicode_lower(x->arena, text(x, in)));
}

FILTER(f_upper)
{
    UNUSED_ARGS;
    return str(x, sl_unicode_upper(x->arena, text(x, in)));
}

FILTER(f_trim)
{
    UNUSED_ARGS;
    return str(x, sl_str_trim(text(x, in)));
}

FILTER(f_capitalize)
{
    UNUSED_ARGS;
    return str(x, sl_unicode_capital(x->arena, text(x, in), false));
}

FILTER(f_title)
{
    UNUSED_ARGS;
    return str(x, sl_unicode_capital(x->arena, text(x, in), true));
}

FILTER(f_abbreviate)
{
    if (!sl_is(args[0], SL_INT) || args[0]->i < 0)
        return ex_fail(x, at, "expr.args", "`abbreviate` needs a length");
    sl_str s = text(x, in);
    size_t most = (size_t)args[0]->i, chars = 0, cut = 0, kept = most <= 3 ? most : most - 3;
    for (size_t i = 0; i < s.n; chars++) {
        if (chars == kept)
            cut = i;
        i += char_size(sl_str_sub(s, i, s.n));
    }
    if (chars < most || chars <= 3)
        return str(x, s);
    return str(x, sl_fmt(x->arena, "%.*s%s", (int)cut, s.p, most <= 3 ? "" : "..."));
}

static bool replace_pairs(ex_context *x, const ex_node *at, const sl_val *pairs, bool regexp, sl_str *s)
{
    for (size_t i = 0; i < pairs->map.n; i++) {
        sl_str what = pairs->map.entries[i].key, with = text(x, pairs->map.entries[i].value);
        if (!regexp) {
            *s = sl_str_replace(x->arena, *s, what, with);
            continue;
        }
        sl_regex *r = sl_regex_new(x->arena, what, x->err);
        if (r == NULL || !sl_regex_replace(x->arena, r, *s, with, s, x->err))
            return ex_fail(x, at, "expr.regex", "%s", sl_fmt(x->arena, "%s", x->err->message).p) != NULL;
    }
    return true;
}

static const sl_val *replace_in(ex_context *x, const ex_node *at, const sl_val *in, const sl_val *pairs, bool regexp)
{
    if (in->type == SL_LIST) {
        sl_val *out = sl_list(x->arena);
        for (size_t i = 0; i < in->list.n; i++) {
            const sl_val *v = replace_in(x, at, in->list.items[i], pairs, regexp);
            if (v == NULL)
                return NULL;
            sl_list_add(x->arena, out, v);
        }
        return out;
    }
    if (in->type == SL_MAP) {
        sl_val *out = sl_map(x->arena);
        for (size_t i = 0; i < in->map.n; i++) {
            const sl_val *v = replace_in(x, at, in->map.entries[i].value, pairs, regexp);
            if (v == NULL)
                return NULL;
            sl_map_set(x->arena, out, in->map.entries[i].key, v);
        }
        return out;
    }
    sl_str s = text(x, in);
    return replace_pairs(x, at, pairs, regexp, &s) ? str(x, s) : NULL;
}

/* replace({'a': 'b'}, regexp=true); replace('a', 'b') is accepted as well. */
FILTER(f_replace)
{
    const sl_val *pairs = args[0];
    bool regexp = sl_is(args[1], SL_BOOL) && args[1]->b;
    if (sl_is(pairs, SL_STRING) && sl_is(args[1], SL_STRING)) {
        sl_val *one = sl_map(x->arena);
        sl_map_set(x->arena, one, pairs->s, args[1]);
        pairs = one;
    }
    if (!sl_is(pairs, SL_MAP))
        return ex_fail(x, at, "expr.args", "`replace` needs a map such as {'old': 'new'}");
    return replace_in(x, at, in, pairs, regexp);
}

/* Java's String.split: a regular expression; without a limit trailing empty parts are dropped. */
FILTER(f_split)
{
    sl_str s = text(x, in);
    sl_regex *r = sl_regex_new(x->arena, text(x, args[0]), x->err);
    if (r == NULL)
        return ex_fail(x, at, "expr.regex", "%s", sl_fmt(x->arena, "%s", x->err->message).p);
    int64_t limit = sl_is(args[1], SL_INT) ? args[1]->i : 0;
    sl_val *out = sl_list(x->arena);
    size_t from = 0, search = 0, start, end;
    bool found;
    while (search <= s.n && (limit <= 0 || (int64_t)out->list.n < limit - 1)) {
        if (!sl_regex_find(r, s, search, &found, &start, &end, x->err))
            return NULL;
        if (!found)
            break;
        if (end == start) { /* an empty match separates characters */
            if (start >= s.n)
                break;
            end = start == from ? start + char_size(sl_str_sub(s, start, s.n)) : start;
            start = end;
            if (start >= s.n)
                break;
        }
        sl_list_add(x->arena, out, str(x, sl_str_dup(x->arena, sl_str_sub(s, from, start))));
        from = search = end;
    }
    sl_list_add(x->arena, out, str(x, sl_str_dup(x->arena, sl_str_sub(s, from, s.n))));
    size_t least = out->list.n > 1 ? 0 : 1; /* where nothing was found, the text itself stays, be it empty */
    while (limit == 0 && out->list.n > least && out->list.items[out->list.n - 1]->s.n == 0)
        out->list.n--;
    return out;
}

static const sl_val *substring(ex_context *x, const sl_val *in, const sl_val *separator, bool last, bool after)
{
    sl_str s = text(x, in), sep = text(x, separator);
    ptrdiff_t hit = last ? sl_str_rfind(s, sep) : sl_str_find(s, sep);
    if (hit < 0)
        return str(x, after ? SL_S("") : s);
    return str(x, sl_str_dup(x->arena, after ? sl_str_sub(s, (size_t)hit + sep.n, s.n) : sl_str_sub(s, 0, (size_t)hit)));
}

FILTER(f_before)
{
    (void)at;
    return substring(x, in, args[0], false, false);
}

FILTER(f_before_last)
{
    (void)at;
    return substring(x, in, args[0], true, false);
}

FILTER(f_after)
{
    (void)at;
    return substring(x, in, args[0], false, true);
}

FILTER(f_after_last)
{
    (void)at;
    return substring(x, in, args[0], true, true);
}

FILTER(f_starts)
{
    (void)at;
    return sl_val_bool(sl_str_starts(text(x, in), text(x, args[0])));
}

FILTER(f_ends)
{
    (void)at;
    return sl_val_bool(sl_str_ends(text(x, in), text(x, args[0])));
}

/* Latin letters with accents to their base letter: U+00C0..U+017F, enough for names; what is no letter and an accent (ß, ø, đ) and other scripts are dropped like Kestra's \W. */
static char base_letter(uint32_t c)
{
    static const char latin1[] = "aaaaaa ceeeeiiii nooooo  uuuuy  "
                                 "aaaaaa ceeeeiiii nooooo  uuuuy y";
    static const char extended[] = "aaaaaaccccccccdd  eeeeeeeeeegggggggghh  iiiiiiiii   jjkk llllll    nnnnnn   oooooo  rrrrrrssssssss"
                                   "tttt  uuuuuuuuuuuuwwyyyzzzzzz ";
    if (c >= 0xC0 && c <= 0xFF)
        return latin1[c - 0xC0];
    return c >= 0x100 && c <= 0x17F && c - 0x100 < sizeof extended - 1 ? extended[c - 0x100] : ' ';
}

FILTER(f_slugify)
{
    UNUSED_ARGS;
    sl_str s = text(x, in);
    sl_buf b = sl_buf_new(x->arena, s.n + 1);
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        size_t n = char_size(sl_str_sub(s, i, s.n));
        char out = 0;
        if (c >= 0x80) {
            uint32_t code = n == 2 ? (uint32_t)(c & 0x1F) << 6 | ((unsigned char)s.p[i + 1] & 0x3F) : 0;
            char letter = base_letter(code);
            out = letter == ' ' ? 0 : letter;
        } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            out = (char)c;
        else if (c >= 'A' && c <= 'Z')
            out = (char)(c + 32);
        else if (c == '_' || c == '-' || c == ' ' || (c >= '\t' && c <= '\r'))
            out = '-';
        if (out != 0 && !(out == '-' && (b.n == 0 || b.p[b.n - 1] == '-')))
            sl_buf_char(&b, out);
        i += n;
    }
    while (b.n > 0 && b.p[b.n - 1] == '-')
        b.n--;
    return str(x, sl_buf_str(&b));
}

static const sl_val *indented(ex_context *x, const ex_node *at, const sl_val *in, const sl_val *const *args, bool leading)
{
    if (!sl_is(args[0], SL_INT) || args[0]->i < 0 || args[0]->i > 1000)
        return ex_fail(x, at, "expr.args", "`indent` needs an amount from 0 to 1000");
    sl_str s = text(x, in), prefix = args[1] ? text(x, args[1]) : SL_S(" "), line;
    if (s.n == 0)
        return str(x, s);
    sl_buf b = sl_buf_new(x->arena, SL_EXPR_OUTPUT_MAX);
    for (bool first = true; sl_str_cut(&s, '\n', &line); first = false) {
        if (leading || !first) {
            if (leading || !first)
                sl_buf_char(&b, '\n');
            for (int64_t i = 0; i < args[0]->i; i++)
                sl_buf_add(&b, prefix);
        }
        sl_buf_add(&b, line);
    }
    if (b.overflow)
        return ex_fail(x, at, "expr.size", "the indented text is larger than %d bytes", SL_EXPR_OUTPUT_MAX);
    return str(x, sl_buf_str(&b));
}

FILTER(f_indent)
{
    return indented(x, at, in, args, false);
}

FILTER(f_nindent)
{
    return indented(x, at, in, args, true);
}

FILTER(f_escape_char)
{
    sl_str kind = text(x, args[0]), s = text(x, in);
    if (sl_str_eqc(kind, "single"))
        return str(x, sl_str_replace(x->arena, s, SL_S("'"), SL_S("\\'")));
    if (sl_str_eqc(kind, "double"))
        return str(x, sl_str_replace(x->arena, s, SL_S("\""), SL_S("\\\"")));
    if (sl_str_eqc(kind, "shell"))
        return str(x, sl_str_replace(x->arena, s, SL_S("'"), SL_S("'\\''")));
    return ex_fail(x, at, "expr.args", "`escapeChar` knows single, double and shell, not '%.*s'", SL_ARG(kind));
}

/* application/x-www-form-urlencoded, as java.net.URLEncoder. */
FILTER(f_urlencode)
{
    UNUSED_ARGS;
    sl_str s = sl_percent(x->arena, text(x, in), "* ");
    s = sl_str_replace(x->arena, s, SL_S("~"), SL_S("%7E"));
    return str(x, sl_str_replace(x->arena, s, SL_S(" "), SL_S("+")));
}

FILTER(f_urldecode)
{
    (void)args;
    sl_str out;
    if (!sl_percent_decode(x->arena, text(x, in), true, &out))
        return ex_fail(x, at, "expr.decode", "the text is not URL-encoded");
    return str(x, out);
}

FILTER(f_base64encode)
{
    UNUSED_ARGS;
    return str(x, sl_base64(x->arena, text(x, in)));
}

FILTER(f_base64decode)
{
    (void)args;
    sl_str out;
    if (!sl_base64_decode(x->arena, text(x, in), &out))
        return ex_fail(x, at, "expr.decode", "the text is not base64");
    return str(x, out);
}

static const sl_val *hash(ex_context *x, const ex_node *at, const sl_val *in, const char *name)
{
    if (in->type != SL_STRING)
        return ex_fail(x, at, "expr.type", "a hash needs a string, not a %s", sl_type_name(in->type));
    return str(x, sl_hex(x->arena, sl_digest(x->arena, name, in->s)));
}

FILTER(f_md5)
{
    (void)args;
    return hash(x, at, in, "MD5");
}

FILTER(f_sha1)
{
    (void)args;
    return hash(x, at, in, "SHA1");
}

FILTER(f_sha256)
{
    (void)args;
    return hash(x, at, in, "SHA256");
}

FILTER(f_sha512)
{
    (void)args;
    return hash(x, at, in, "SHA512");
}

/* Each end of a line becomes <br />. */
FILTER(f_nl2br)
{
    UNUSED_ARGS;
    sl_str lines = sl_str_replace(x->arena, text(x, in), SL_S("\r\n"), SL_S("\n"));
    return str(x, sl_str_replace(x->arena, lines, SL_S("\n"), SL_S("<br />")));
}

FILTER(f_string)
{
    UNUSED_ARGS;
    return str(x, text(x, in));
}

const ex_entry ex_text_filters[] = {
    { "lower", "", f_lower, false },
    { "upper", "", f_upper, false },
    { "trim", "", f_trim, false },
    { "capitalize", "", f_capitalize, false },
    { "title", "", f_title, false },
    { "abbreviate", "length", f_abbreviate, false },
    { "replace", "replace_pairs regexp", f_replace, false },
    { "split", "delimiter limit", f_split, false },
    { "substringBefore", "separator", f_before, false },
    { "substringBeforeLast", "separator", f_before_last, false },
    { "substringAfter", "separator", f_after, false },
    { "substringAfterLast", "separator", f_after_last, false },
    { "startsWith", "value", f_starts, false },
    { "endsWith", "value", f_ends, false },
    { "slugify", "", f_slugify, false },
    { "indent", "amount prefix", f_indent, false },
    { "nindent", "amount prefix", f_nindent, false },
    { "escapeChar", "type", f_escape_char, false },
    { "urlencode", "", f_urlencode, false },
    { "urldecode", "", f_urldecode, false },
    { "base64encode", "", f_base64encode, false },
    { "base64decode", "", f_base64decode, false },
    { "md5", "", f_md5, false },
    { "sha1", "", f_sha1, false },
    { "sha256", "", f_sha256, false },
    { "sha512", "", f_sha512, false },
    { "string", "", f_string, false },
    { "nl2br", "", f_nl2br, false },
    { "format", "a b c d e f g h", ex_format, false },
    { 0 },
};
