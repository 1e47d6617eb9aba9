/* connectors/serdes/numfmt.c: formats cut into sections and tokens; which section counts. See numfmt.h. */
#include "connectors/serdes/numfmt.h"

#include <math.h>

enum { SECTIONS = 4 };

const char *sl_numfmt_built_in(int64_t id)
{
    static const char *const formats[SL_NUMFMT_BUILT_IN] = {
        [1] = "0", [2] = "0.00", [3] = "#,##0", [4] = "#,##0.00", [9] = "0%", [10] = "0.00%", [11] = "0.00E+00", [12] = "# ?/?", [13] = "# ?\?/??", [14] = "m/d/yy", [15] = "d-mmm-yy", [16] = "d-mmm",
        [17] = "mmm-yy", [18] = "h:mm AM/PM", [19] = "h:mm:ss AM/PM", [20] = "h:mm", [21] = "h:mm:ss", [22] = "m/d/yy h:mm", [37] = "#,##0_);(#,##0)", [38] = "#,##0_);[Red](#,##0)",
        [39] = "#,##0.00_);(#,##0.00)", [40] = "#,##0.00_);[Red](#,##0.00)", [45] = "mm:ss", [46] = "[h]:mm:ss", [47] = "mm:ss.0", [48] = "##0.0E+0", [49] = "@",
    };
    return id > 0 && id < SL_NUMFMT_BUILT_IN ? formats[id] : NULL;
}

/* ---- tokens ---- */

typedef struct cutter {
    sl_str f;
    size_t at;
    sl_numfmt_section *s;
} cutter;

static void add(cutter *k, sl_numfmt_token t)
{
    if (k->s->count < SL_NF_TOKENS)
        k->s->tokens[k->s->count++] = t;
}

static void literal(cutter *k, size_t begin, size_t end)
{
    add(k, (sl_numfmt_token){ .kind = SL_NF_LITERAL, .text = sl_str_sub(k->f, begin, end) });
}

static bool follows(const cutter *k, const char *word)
{
    sl_str w = sl_str_c(word);
    return k->f.n - k->at >= w.n && sl_str_ieq(sl_str_sub(k->f, k->at, k->at + w.n), w);
}

/* [h], [>=100], [$€-407], [Red]: at the '['. */
static void bracket(cutter *k)
{
    size_t end = k->at;
    while (end < k->f.n && k->f.p[end] != ']')
        end++;
    sl_str in = sl_str_sub(k->f, k->at + 1, end);
    size_t run = 0;
    while (run < in.n && (in.p[run] | 32) == (in.p[0] | 32))
        run++;
    if (in.n > 0 && run == in.n && strchr("hms", in.p[0] | 32) != NULL) {
        add(k, (sl_numfmt_token){ .kind = SL_NF_ELAPSED, .c = (char)(in.p[0] | 32), .n = in.n });
        k->s->date = true;
    } else if (in.n > 0 && in.p[0] == '$') {
        ptrdiff_t dash = sl_str_find(in, SL_S("-"));
        literal(k, k->at + 2, k->at + 1 + (dash < 0 ? in.n : (size_t)dash));
    } else if (in.n > 0 && strchr("<>=", in.p[0]) != NULL) {
        size_t n = in.n > 1 && strchr("<>=", in.p[1]) != NULL ? 2 : 1;
        if (sl_parse_double(sl_str_sub(in, n, in.n), &k->s->bound)) {
            memcpy(k->s->condition, in.p, n);
            k->s->condition[n] = '\0';
        }
    }
    k->at = end < k->f.n ? end + 1 : end;
}

static void date_letters(cutter *k, char c)
{
    size_t n = 0;
    while (k->at + n < k->f.n && (k->f.p[k->at + n] | 32) == c)
        n++;
    add(k, (sl_numfmt_token){ .kind = SL_NF_DATE, .c = c, .n = n });
    k->s->date = true;
    k->at += n;
}

static void quoted(cutter *k)
{
    size_t end = k->at + 1;
    while (end < k->f.n && k->f.p[end] != '"')
        end++;
    literal(k, k->at + 1, end);
    k->at = end < k->f.n ? end + 1 : end;
}

/* Tokens of one character. */
static bool mark(cutter *k, char c)
{
    static const struct {
        char c;
        sl_numfmt_kind kind;
    } marks[] = { { '0', SL_NF_DIGIT }, { '#', SL_NF_DIGIT }, { '?', SL_NF_DIGIT }, { '.', SL_NF_POINT }, { ',', SL_NF_COMMA }, { '%', SL_NF_PERCENT }, { '/', SL_NF_SLASH }, { '@', SL_NF_AT } };
    for (size_t i = 0; i < SL_COUNT(marks); i++)
        if (marks[i].c == c) {
            add(k, (sl_numfmt_token){ .kind = marks[i].kind, .c = c });
            k->s->at |= c == '@';
            k->at++;
            return true;
        }
    return false;
}

static void cut_one(cutter *k)
{
    char c = k->f.p[k->at], low = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    if (c == '"')
        quoted(k);
    else if (c == '\\') {
        literal(k, k->at + 1, k->at + 2 < k->f.n ? k->at + 2 : k->f.n);
        k->at += 2;
    } else if (c == '_' || c == '*') { /* a blank as wide as the next one; the next one to the width of the cell */
        if (c == '_')
            add(k, (sl_numfmt_token){ .kind = SL_NF_LITERAL, .text = SL_S(" ") });
        k->at += 2;
    } else if (c == '[')
        bracket(k);
    else if (follows(k, "General")) {
        add(k, (sl_numfmt_token){ .kind = SL_NF_GENERAL });
        k->at += 7;
    } else if (follows(k, "AM/PM") || follows(k, "A/P")) {
        bool shorter = follows(k, "A/P");
        add(k, (sl_numfmt_token){ .kind = SL_NF_HALF, .c = shorter ? 'A' : 'M' });
        k->s->date = true;
        k->at += shorter ? 3 : 5;
    } else if (low == 'e' && k->at + 1 < k->f.n && (k->f.p[k->at + 1] == '+' || k->f.p[k->at + 1] == '-')) {
        add(k, (sl_numfmt_token){ .kind = SL_NF_EXPONENT, .c = k->f.p[k->at + 1] });
        k->at += 2;
    } else if (strchr("ymdhs", low) != NULL)
        date_letters(k, low);
    else if (!mark(k, c)) {
        literal(k, k->at, k->at + 1);
        k->at++;
    }
}

/* How many sections there are. */
static size_t cut(sl_str format, sl_numfmt_section *sections)
{
    cutter k = { .f = format, .s = sections };
    size_t n = 1;
    while (k.at < format.n)
        if (format.p[k.at] != ';')
            cut_one(&k);
        else if (n == SECTIONS)
            return n;
        else {
            k.s = &sections[n++];
            k.at++;
        }
    return n;
}

/* ---- which section ---- */

static bool holds(const sl_numfmt_section *s, double v)
{
    bool less = v < s->bound, more = v > s->bound;
    if (strcmp(s->condition, "<") == 0) return less;
    if (strcmp(s->condition, ">") == 0) return more;
    if (strcmp(s->condition, "<=") == 0) return !more;
    if (strcmp(s->condition, ">=") == 0) return !less;
    if (strcmp(s->condition, "<>") == 0) return less || more;
    return !less && !more;
}

/* *sign: the section does not say itself that the number is negative. NULL: none is for it. */
static const sl_numfmt_section *choose(const sl_numfmt_section *s, size_t n, double v, bool *sign)
{
    size_t numbers = n == SECTIONS || (n > 1 && s[n - 1].at) ? n - 1 : n;
    *sign = v < 0;
    if (s[0].condition[0] != '\0' || (numbers > 1 && s[1].condition[0] != '\0')) {
        for (size_t i = 0; i < numbers && i < 2; i++)
            if (s[i].condition[0] != '\0' ? holds(&s[i], v) : i == 0 ? v > 0 : v < 0) {
                *sign = v < 0 && !(i > 0 || (s[i].condition[0] == '<' && s[i].bound <= 0));
                return &s[i];
            }
        return numbers > 2 ? &s[2] : numbers == 2 && s[1].condition[0] == '\0' ? &s[1] : NULL;
    }
    if (numbers < 2)
        return &s[0];
    *sign = false;
    return v < 0 ? &s[1] : v == 0 && numbers > 2 ? &s[2] : &s[0];
}

static bool has_digits(const sl_numfmt_section *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->tokens[i].kind == SL_NF_DIGIT)
            return true;
    return false;
}

/* Literals, and the value where General or @ stands. */
static sl_str around(sl_arena *a, const sl_numfmt_section *s, sl_str value)
{
    sl_buf b = sl_buf_new(a, 4096 + value.n * SL_NF_TOKENS);
    for (size_t i = 0; i < s->count; i++)
        if (s->tokens[i].kind == SL_NF_LITERAL)
            sl_buf_add(&b, s->tokens[i].text);
        else if (s->tokens[i].kind == SL_NF_AT || s->tokens[i].kind == SL_NF_GENERAL)
            sl_buf_add(&b, value);
        else if (s->tokens[i].kind == SL_NF_PERCENT || s->tokens[i].kind == SL_NF_COMMA || s->tokens[i].kind == SL_NF_POINT || s->tokens[i].kind == SL_NF_SLASH)
            sl_buf_char(&b, s->tokens[i].c);
    return sl_buf_str(&b);
}

/* What rounds to nothing has no sign. */
static bool is_zero(sl_str shown)
{
    for (size_t i = 0; i < shown.n; i++)
        if (shown.p[i] >= '1' && shown.p[i] <= '9')
            return false;
    return true;
}

sl_str sl_numfmt_number(sl_arena *a, sl_str format, double v, bool since_1904)
{
    sl_numfmt_section *sections = SL_ARRAY(a, sl_numfmt_section, SECTIONS);
    sl_str text;
    bool sign;
    const sl_numfmt_section *s = choose(sections, cut(format, sections), v, &sign);
    if (s == NULL)
        return SL_S("########");
    if (s->date) /* as wide as the cell, where there is no such date */
        return v >= 0 && sl_numfmt_date(a, s, v, since_1904, &text) ? text : SL_S("########");
    if (has_digits(s))
        text = sl_numfmt_digits(a, s, fabs(v));
    else if (s->count == 0)
        text = format.n == 0 ? sl_numfmt_general(a, fabs(v)) : SL_S("");
    else
        text = around(a, s, sl_numfmt_general(a, fabs(v)));
    return sign && !is_zero(text) ? sl_fmt(a, "-%.*s", SL_ARG(text)) : text;
}

sl_str sl_numfmt_text(sl_arena *a, sl_str format, sl_str text)
{
    sl_numfmt_section *sections = SL_ARRAY(a, sl_numfmt_section, SECTIONS);
    size_t n = cut(format, sections);
    const sl_numfmt_section *s = &sections[n - 1];
    return n == SECTIONS || s->at ? around(a, s, text) : text;
}
