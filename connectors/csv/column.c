/* connectors/csv/column.c: see column.h. */
#include "connectors/csv/batch.h"

#include "base/arena.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t digits_at(sl_str s, size_t at)
{
    size_t n = 0;
    while (at + n < s.n && is_digit(s.p[at + n]))
        n++;
    return n;
}

/* ---- times ---- */

static int two(const char *p)
{
    return (p[0] - '0') * 10 + (p[1] - '0');
}

/* "dd-dd" and so on: d is a digit, all else itself. */
static bool shaped(sl_str s, const char *shape, size_t n)
{
    if (s.n < n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (shape[i] == 'd' ? !is_digit(s.p[i]) : s.p[i] != shape[i])
            return false;
    return true;
}

static bool is_date(sl_str s)
{
    if (!shaped(s, "dddd-dd-dd", 10))
        return false;
    int year = two(s.p) * 100 + two(s.p + 2), month = two(s.p + 5), day = two(s.p + 8);
    return month >= 1 && month <= 12 && day >= 1 && (day <= 28 || day <= sl_days_in_month(year, month));
}

/* hh:mm[:ss[.f…]]; *rest: what comes behind. */
static bool is_clock(sl_str s, bool seconds, sl_str *rest)
{
    if (!shaped(s, "dd:dd", 5) || two(s.p) > 23 || two(s.p + 3) > 59)
        return false;
    size_t at = 5;
    if (shaped(sl_str_sub(s, 5, s.n), ":dd", 3)) {
        if (two(s.p + 6) > 59)
            return false;
        at = 8;
        if (at < s.n && s.p[at] == '.') {
            size_t n = digits_at(s, at + 1);
            if (n == 0 || n > 9)
                return false;
            at += 1 + n;
        }
    } else if (seconds)
        return false;
    *rest = sl_str_sub(s, at, s.n);
    return true;
}

static bool is_offset(sl_str s)
{
    if (sl_str_eqc(s, "Z") || sl_str_eqc(s, "z") || sl_str_eqc(s, " UTC"))
        return true;
    if (s.n < 3 || (s.p[0] != '+' && s.p[0] != '-') || !is_digit(s.p[1]) || !is_digit(s.p[2]) || two(s.p + 1) > 15)
        return false;
    sl_str minutes = sl_str_sub(s, 3, s.n);
    if (minutes.n > 0 && minutes.p[0] == ':')
        minutes = sl_str_sub(minutes, 1, minutes.n);
    return minutes.n == 0 ? s.n == 3 : minutes.n == 2 && digits_at(minutes, 0) == 2 && two(minutes.p) < 60;
}

/* yyyy-mm-dd hh:mm:ss, as nearly all are: every look at it costs a little, so that it is one. */
static bool is_plain_stamp(const char *p)
{
    static const unsigned char places[] = { 0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18 };
    unsigned bad = 0;
    for (size_t i = 0; i < sizeof places; i++)
        bad |= (unsigned)((unsigned)(unsigned char)p[places[i]] - '0' > 9);
    bad |= (unsigned)(p[4] != '-') | (unsigned)(p[7] != '-') | (unsigned)(p[10] != ' ' && p[10] != 'T') | (unsigned)(p[13] != ':') | (unsigned)(p[16] != ':');
    if (bad)
        return false;
    int month = two(p + 5), day = two(p + 8);
    return month >= 1 && month <= 12 && day >= 1 && (day <= 28 || day <= sl_days_in_month(two(p) * 100 + two(p + 2), month)) && two(p + 11) < 24 && two(p + 14) < 60 && two(p + 17) < 60;
}

static sl_csv_type time_type(sl_str s)
{
    sl_str rest;
    if (s.n == 19 && is_plain_stamp(s.p))
        return SL_CSV_TIMESTAMP;
    if (is_date(s)) {
        if (s.n == 10)
            return SL_CSV_DATE;
        if ((s.p[10] != ' ' && s.p[10] != 'T') || !is_clock(sl_str_sub(s, 11, s.n), false, &rest))
            return SL_CSV_TEXT;
        return rest.n == 0 ? SL_CSV_TIMESTAMP : is_offset(rest) ? SL_CSV_TIMESTAMPTZ : SL_CSV_TEXT;
    }
    return is_clock(s, true, &rest) && rest.n == 0 ? SL_CSV_TIME : SL_CSV_TEXT;
}

/* ---- numbers ---- */

static bool is_word(sl_str s, const char *const *words)
{
    for (; *words != NULL; words++)
        if (sl_str_ieq(s, sl_str_c(*words)))
            return true;
    return false;
}

static sl_csv_type number_type(sl_str s, int *digits, int *scale)
{
    size_t at = s.p[0] == '-' || s.p[0] == '+', whole = digits_at(s, at), fraction = 0;
    *digits = *scale = 0;
    if (whole > 1 && s.p[at] == '0')
        return SL_CSV_TEXT;
    bool zero = whole == 1 && s.p[at] == '0';
    at += whole;
    if (at < s.n && s.p[at] == '.') {
        fraction = digits_at(s, at + 1);
        at += 1 + fraction;
    }
    if (whole + fraction == 0)
        return SL_CSV_TEXT;
    if (at < s.n) {
        if (s.p[at] != 'e' && s.p[at] != 'E')
            return SL_CSV_TEXT;
        at += at + 1 < s.n && (s.p[at + 1] == '-' || s.p[at + 1] == '+') ? 2 : 1;
        size_t exponent = digits_at(s, at);
        return exponent > 0 && exponent <= 3 && at + exponent == s.n ? SL_CSV_FLOAT : SL_CSV_TEXT;
    }
    if (whole + fraction > 38)
        return fraction > 0 ? SL_CSV_FLOAT : SL_CSV_TEXT; /* such a whole number is a name, not a quantity */
    *digits = zero ? 0 : (int)whole;
    *scale = (int)fraction;
    int64_t ignored;
    return s.p[s.n - 1] == '.' ? SL_CSV_TEXT : fraction == 0 && sl_parse_int(s, &ignored) ? SL_CSV_INT : SL_CSV_DECIMAL;
}

sl_csv_type sl_csv_type_of(sl_str s, int *digits, int *scale)
{
    static const char *const truths[] = { "true", "false", NULL }, *const special[] = { "nan", "inf", "-inf", "infinity", "-infinity", NULL };
    *digits = *scale = 0;
    if (s.n == 0)
        return SL_CSV_NULL;
    char first = s.p[0];
    if (s.n >= 8 && is_digit(first) && (s.p[2] == ':' || s.p[4] == '-'))
        return time_type(s);
    if (is_digit(first) || first == '-' || first == '+' || first == '.') {
        sl_csv_type t = number_type(s, digits, scale);
        return t != SL_CSV_TEXT || first != '-' ? t : is_word(s, special) ? SL_CSV_FLOAT : SL_CSV_TEXT;
    }
    if (s.n > 9)
        return SL_CSV_TEXT;
    return is_word(s, truths) ? SL_CSV_BOOL : is_word(s, special) ? SL_CSV_FLOAT : SL_CSV_TEXT;
}

sl_csv_type sl_csv_type_join(sl_csv_type a, sl_csv_type b)
{
    if (a == b || b == SL_CSV_NULL)
        return a;
    if (a == SL_CSV_NULL)
        return b;
    if (a > b)
        return sl_csv_type_join(b, a);
    if (a >= SL_CSV_INT && b <= SL_CSV_FLOAT)
        return b;
    return a == SL_CSV_DATE && b == SL_CSV_TIMESTAMP ? b : SL_CSV_TEXT;
}

/* ---- the column ---- */

static int compare(const sl_csv_text *t, sl_str value)
{
    size_t n = value.n < SL_CSV_SHOWN_MAX ? value.n : SL_CSV_SHOWN_MAX;
    int order = memcmp(t->p, value.p, t->n < n ? t->n : n);
    return order != 0 ? order : t->n < n ? -1 : t->n > n;
}

/* Cut at the beginning of a character. */
static void keep(sl_csv_text *t, sl_str value)
{
    size_t n = value.n;
    if (n > SL_CSV_SHOWN_MAX)
        for (n = SL_CSV_SHOWN_MAX; n > 0 && (value.p[n] & 0xC0) == 0x80; n--)
            ;
    memcpy(t->p, value.p, n);
    t->n = n;
}

/*
 * [+-]digits[.digits] of at most 18 digits, in one pass: most numbers are such. false: look closer. *mantissa: without the point.
 */
static bool plain_number(sl_str s, int64_t *mantissa, int *digits, int *scale)
{
    size_t at = s.p[0] == '-' || s.p[0] == '+', point = 0;
    uint64_t m = 0;
    size_t first = at;
    if (s.n - at > 19)
        return false;
    for (; at < s.n; at++) {
        unsigned d = (unsigned)(unsigned char)s.p[at] - '0';
        if (d <= 9)
            m = m * 10 + d;
        else if (s.p[at] == '.' && point == 0 && at > first)
            point = at;
        else
            return false;
    }
    size_t whole = (point ? point : s.n) - first, fraction = point ? s.n - point - 1 : 0;
    if (whole + fraction > 18 || whole == 0 || (point && fraction == 0) || (whole > 1 && s.p[first] == '0'))
        return false;
    *mantissa = s.p[0] == '-' ? -(int64_t)m : (int64_t)m;
    *digits = s.p[first] == '0' ? 0 : (int)whole;
    *scale = (int)fraction;
    return true;
}

static void add_number(sl_csv_column *c, double d)
{
    c->number_min = !c->any_number || d < c->number_min ? d : c->number_min;
    c->number_max = !c->any_number || d > c->number_max ? d : c->number_max;
    c->any_number = true;
}

static sl_csv_type look(sl_csv_column *c, sl_str value)
{
    static const double tens[] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18 };
    int digits = 0, scale = 0;
    int64_t i = 0;
    double d;
    sl_csv_type type;
    if (plain_number(value, &i, &digits, &scale)) {
        type = scale > 0 ? SL_CSV_DECIMAL : SL_CSV_INT;
        if (scale > 0)
            add_number(c, (double)i / tens[scale]);
    } else {
        type = sl_csv_type_of(value, &digits, &scale);
        if (type < SL_CSV_INT || type > SL_CSV_FLOAT)
            return type;
        if (type == SL_CSV_INT)
            (void)sl_parse_int(value, &i);
        else if (sl_parse_double(value, &d)) /* nan and its like have no place in an order */
            add_number(c, d);
    }
    if (type == SL_CSV_INT) {
        c->int_min = !c->any_int || i < c->int_min ? i : c->int_min;
        c->int_max = !c->any_int || i > c->int_max ? i : c->int_max;
        c->any_int = true;
        add_number(c, (double)i);
    }
    c->digits = digits > c->digits ? digits : c->digits;
    c->scale = scale > c->scale ? scale : c->scale;
    return type;
}

/* The first sixteen bytes as two numbers that are in byte order. */
static void key_of(sl_str s, uint64_t key[2])
{
    unsigned char b[16] = { 0 };
    if (s.n >= 16)
        memcpy(b, s.p, 16);
    else
        memcpy(b, s.p, s.n);
    for (int i = 0; i < 2; i++) {
        memcpy(&key[i], b + i * 8, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        key[i] = __builtin_bswap64(key[i]);
#endif
    }
}

static int key_order(const uint64_t a[2], const uint64_t b[2])
{
    return a[0] != b[0] ? (a[0] < b[0] ? -1 : 1) : a[1] != b[1] ? (a[1] < b[1] ? -1 : 1) : 0;
}

void sl_csv_column_order(sl_csv_column *c, sl_str value)
{
    bool first = !c->any;
    uint64_t key[2];
    key_of(value, key);
    int low = first ? -1 : key_order(key, c->min_key), high = first ? 1 : key_order(key, c->max_key);
    if (low < 0 || (low == 0 && value.n > 16 && compare(&c->text_min, value) > 0) || (low == 0 && value.n <= 16 && value.n < c->text_min.n)) {
        keep(&c->text_min, value);
        memcpy(c->min_key, key, sizeof key);
    }
    if (high > 0 || (high == 0 && compare(&c->text_max, value) < 0)) {
        keep(&c->text_max, value);
        memcpy(c->max_key, key, sizeof key);
    }
    c->any = true;
}

void sl_csv_column_widths(sl_csv_column *c, size_t least, size_t most)
{
    c->bytes_min = !c->any || least < c->bytes_min ? least : c->bytes_min;
    c->bytes_max = most > c->bytes_max ? most : c->bytes_max;
}

void sl_csv_column_add(sl_csv_column *c, sl_str value)
{
    c->values++;
    if (value.n == 0) {
        c->nulls++;
        return;
    }
    if (value.n == c->last_n && memcmp(value.p, c->last, value.n) == 0)
        return;                   /* it changes nothing */
    c->last_n = value.n <= sizeof c->last ? value.n : 0;
    memcpy(c->last, value.p, c->last_n);
    sl_csv_column_look(c, value);
}

void sl_csv_column_look(sl_csv_column *c, sl_str value)
{
    /* Once a text, always a text. */
    c->type = sl_csv_type_join(c->type, c->type == SL_CSV_TEXT ? SL_CSV_TEXT : look(c, value));
    sl_csv_column_widths(c, value.n, value.n);
    sl_csv_column_order(c, value);
}

/* The bytes of a key, or of digits flush right; they hold no NUL. */
sl_str sl_csv_spell(char to[9], bool negative, uint64_t key)
{
    size_t n = 0;
    if (negative)
        to[n++] = '-';
    for (int shift = 56; shift >= 0; shift -= 8)
        if ((key >> shift & 0xFF) != 0)
            to[n++] = (char)(key >> shift & 0xFF);
    return (sl_str){ to, n };
}

void sl_csv_column_add_rows(sl_csv_column *c, const sl_csv_index *rows, size_t k)
{
    SL_LEVEL_PICK(sl_csv_column_add_rows)(c, rows, k);
}

void sl_csv_column_settle(sl_csv_column *c)
{
    char text[9];
    for (unsigned class = 0; class < SL_COUNT(c->most); class++)
        if (c->most[class] != 0 && c->type != SL_CSV_TEXT) {
            (void)look(c, sl_csv_spell(text, class >= 8, c->least[class]));
            (void)look(c, sl_csv_spell(text, class >= 8, c->most[class]));
        }
}

static const char *const names[] = { "NULL", "BOOLEAN", "INTEGER", "DECIMAL", "FLOAT", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "TEXT" };

const char *sl_csv_type_name(sl_csv_type t)
{
    return names[t];
}

bool sl_csv_type_parse(sl_str name, sl_csv_type *ret)
{
    for (size_t i = 1; i < SL_COUNT(names); i++)
        if (sl_str_ieq(name, sl_str_c(names[i]))) {
            *ret = (sl_csv_type)i;
            return true;
        }
    return false;
}

static const sl_val *text_val(sl_arena *a, const sl_csv_text *t)
{
    return sl_val_str(a, sl_str_dup(a, (sl_str){ t->p, t->n }));
}

const sl_val *sl_csv_column_facts(sl_arena *a, const sl_csv_column *c)
{
    sl_val *v = sl_map(a);
    bool any = c->values > c->nulls, number = c->type == SL_CSV_DECIMAL || c->type == SL_CSV_FLOAT;
    sl_map_set_str(a, v, "name", c->name);
    sl_map_set_str(a, v, "type", sl_str_c(names[c->type]));
    sl_map_set_int(a, v, "nulls", c->nulls);
    if (!any)
        return v;
    sl_map_set_int(a, v, "minBytes", (int64_t)c->bytes_min);
    sl_map_set_int(a, v, "maxBytes", (int64_t)c->bytes_max);
    sl_map_setc(a, v, "min", c->type == SL_CSV_INT ? sl_val_int(a, c->int_min) : number ? sl_val_double(a, c->number_min) : text_val(a, &c->text_min));
    sl_map_setc(a, v, "max", c->type == SL_CSV_INT ? sl_val_int(a, c->int_max) : number ? sl_val_double(a, c->number_max) : text_val(a, &c->text_max));
    if (c->type == SL_CSV_DECIMAL) {
        sl_map_set_int(a, v, "precision", c->digits + c->scale);
        sl_map_set_int(a, v, "scale", c->scale);
    }
    return v;
}
